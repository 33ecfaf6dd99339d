"""`winnow pin`: looks up the commits of Hub revisions that are named by branch or tag, and records them in the lock file.

In: run configs, and network access. Out: config/hub.lock.yaml (winnow.config.pins): for each branch or tag its commit,
the day, and the sizes and digests of the files that the workflow downloads, from the Hub's API.
"""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from winnow.config.checks import resolve
from winnow.config.files import definition_files, read_files
from winnow.config.pins import (
    Lock,
    Place,
    RepoType,
    by_name,
    lock_file,
    pin_command,
    read_lock,
    repo_type,
)
from winnow.download import hub_globs, hub_patterns
from winnow.schema import is_commit
from winnow.stage import InputError, say, write_text

HEAD = """\
# Written by `winnow pin` (config/README.md, Pins): the commit of each branch or tag of a Hub repository on the given date,
# and the sizes and digests of the files that the workflow downloads. A run reads these commits; `winnow pin CONFIG` adds
# missing ones and shows which branches and tags have moved, `--update` accepts their new commits.
"""
TIMEOUT = 60
"""Seconds to wait for an answer of the Hub."""


@dataclass(frozen=True)
class Revision:
    """A branch or tag of a Hub repository."""

    kind: RepoType
    hub: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.hub} at {self.name}"


def named_revisions(sources: dict[Place, dict[str, Any]]) -> dict[Revision, dict[Place, dict[str, Any]]]:
    """The sources of each branch or tag, sorted by repository type, repository and name."""
    revisions: dict[Revision, dict[Place, dict[str, Any]]] = {}
    for path, source in sources.items():
        revision = Revision(repo_type(path), source["hub"], source["revision"])
        revisions.setdefault(revision, {})[path] = source
    return dict(sorted(revisions.items(), key=lambda pair: (pair[0].kind, pair[0].hub, pair[0].name)))


def look_up(revision: Revision, sources: dict[Place, dict[str, Any]]) -> dict[str, Any]:
    """The entry {commit, date, files} of a lock file for a branch or tag, as the Hub returns it, with the files that any of
    `sources` downloads.

    Raises InputError with one line: no network, no such repository, no access, no such branch or tag, no file that the
    sources name. ConnectionError: nothing further can be looked up.
    """
    from huggingface_hub import HfApi
    from huggingface_hub import errors as hub
    from huggingface_hub.utils import filter_repo_objects

    api = HfApi()
    try:
        ask = api.dataset_info if revision.kind == "dataset" else api.model_info
        info = ask(revision.hub, revision=revision.name, files_metadata=True, timeout=TIMEOUT)
    except hub.RevisionNotFoundError:
        raise InputError(f"{revision}: the Hub has no such branch or tag; {_names(api, revision)}") from None
    except (hub.GatedRepoError, hub.DisabledRepoError):
        raise InputError(f"{revision}: gated; request access on the Hub, and set HF_TOKEN") from None
    except hub.RepositoryNotFoundError:
        raise InputError(
            f"{revision}: the Hub has no such repository, or it is private; correct the name, or set HF_TOKEN"
        ) from None
    except hub.HFValidationError as error:
        raise InputError(f"{revision}: not the name of a repository: {_line(error)}") from None
    except hub.HfHubHTTPError as error:
        if error.response.status_code in (401, 403, 404):
            raise InputError(f"{revision}: no access; correct the name, or set HF_TOKEN") from None
        raise InputError(f"{revision}: the Hub returned an error: {_line(error)}") from None
    except hub.OfflineModeIsEnabled:
        raise ConnectionError("HF_HUB_OFFLINE is set; unset it if there is network access") from None
    except hub.HTTPError as error:
        raise ConnectionError(f"the Hub cannot be reached ({_line(error)})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{revision}: unexpected answer of the Hub: {_line(error)}") from None
    files: dict[str, dict[str, Any]] = {}
    for path, source in sources.items():
        patterns, skip = hub_patterns(source, revision.kind)
        matches = list(
            filter_repo_objects(
                info.siblings or [],
                allow_patterns=hub_globs(patterns),
                ignore_patterns=skip or None,
                key=lambda sibling: sibling.rfilename,
            )
        )
        if not matches:
            names = ", ".join(sorted(sibling.rfilename for sibling in info.siblings or [])[:8])
            raise InputError(
                f"{revision}: no file matches {', '.join(patterns)} of {'.'.join(path)}; there are: {names or 'none'}"
            )
        files |= {sibling.rfilename: _file(revision, sibling) for sibling in matches}
    if not is_commit(info.sha or ""):
        raise InputError(f"{revision}: the Hub returned no commit; try again")
    weights = revision.kind == "model" and any(path[0] != "tokenizers" for path in sources)
    if weights and not any(name.endswith(".safetensors") for name in files):
        say(f"note: {revision}: no safetensors; weights in other formats are not downloaded")
    return {"commit": info.sha, "date": datetime.now(UTC).date().isoformat(), "files": files}


def _file(revision: Revision, sibling: Any) -> dict[str, Any]:
    """Size and digest of a file: the sha256 if it is in large-file storage, else the git id of its content."""
    large = sibling.lfs
    entry = {"sha256": large.sha256} if large else {"blob": sibling.blob_id}
    size = large.size if large else sibling.size
    if size is None or None in entry.values():
        raise InputError(f"{revision}: the Hub returned no size or digest of {sibling.rfilename}; try again")
    return {"size": size, **entry}


def _names(api: Any, revision: Revision) -> str:
    """Suggestions for a branch or tag that does not exist."""
    from huggingface_hub import errors as hub

    try:
        refs = api.list_repo_refs(revision.hub, repo_type=revision.kind)
    except (hub.HTTPError, ValueError, KeyError):
        return "see Files and versions on its page"
    known = [ref.name for ref in (*refs.branches, *refs.tags)]
    near = difflib.get_close_matches(revision.name, known, 3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are: {', '.join(known[:8]) or 'none'}{f' and {len(known) - 8} more' if len(known) > 8 else ''}"


def _line(error: BaseException) -> str:
    """The first line of an error's message that is not empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def changed_files(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Which files differ between two entries of the same revision."""
    names = [
        name
        for name in sorted(old["files"].keys() | new["files"].keys())
        if old["files"].get(name) != new["files"].get(name)
    ]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"other files: {shown}" if names else "the same files"


def lock_text(lock: Lock) -> str:
    """The text of a lock file: a comment, and sorted YAML with one line per file."""
    body = yaml.safe_dump(lock, sort_keys=True, allow_unicode=True, default_flow_style=None, width=10_000)
    return HEAD + body


def pin(files: list[Path] = [], /, *, update: bool = False) -> None:
    """Look up the commits of Hub revisions that are named by branch or tag: missing ones are added to config/hub.lock.yaml,
    moved ones are shown.

    Args:
        files: Run configs, later ones over earlier ones; without any, every definition of config/.
        update: Accept the new commits of what has moved.
    """
    root = Path(__file__).parents[3]
    paths: list[str | Path] = [*definition_files(root), *files]
    path = Path(lock_file(root))
    lock = read_lock(path)
    before = copy.deepcopy(lock)
    config = resolve(read_files(paths), paths, tables=False, local=False)
    revisions = named_revisions(by_name(config, needed_only=bool(files)))
    added, updated, moved, problems = 0, 0, 0, []
    for revision, sources in revisions.items():
        old = lock.get(revision.kind, {}).get(revision.hub, {}).get(revision.name)
        try:
            new = look_up(revision, sources)
        except InputError as error:
            problems.append(str(error))
            continue
        except ConnectionError as error:
            problems.append(
                f"{revision}: {error}; run `{pin_command(files)}` on a machine with network access and copy {path} here"
            )
            break
        if old is None:
            added += 1
            print(f"pinned: {revision}: {new['commit']} ({len(new['files'])} files)")
        elif old["commit"] == new["commit"]:
            # The first date is kept; other sources may download more files of it.
            new = {**old, "files": {**old["files"], **new["files"]}}
        else:
            line = f"moved: {revision}: {old['commit']} ({old['date']}) is now {new['commit']}; {changed_files(old, new)}"
            print(line)
            moved += 1
            if not update:
                continue
            updated += 1
        lock.setdefault(revision.kind, {}).setdefault(revision.hub, {})[revision.name] = new
    if lock != before:
        _write(path, lock)
    for problem in problems[:-1]:
        say(f"error: {problem}")
    if problems:
        raise InputError(problems[-1])
    if moved > updated:
        raise InputError(
            f"{moved} of {len(revisions)} revisions moved on the Hub; {path} keeps their old commits, which runs read: "
            f"`{pin_command(['--update', *files])}` accepts the new ones, and only what reads them runs again"
        )
    print(f"{path}: {len(revisions)} named revisions, {added} added, {updated} updated")


def _write(path: Path, lock: Lock) -> None:
    try:
        write_text(path, lock_text(lock))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); create config/hub.lock.yaml in the working directory"
        ) from None
