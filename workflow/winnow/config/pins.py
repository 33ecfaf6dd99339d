"""Hub revisions that are named by branch or tag, and their commits, which config/hub.lock.yaml records.

In: a configuration and the lock file. Out: the configuration with commits in place of names, and which sources have no
commit yet. Pure except for reading the lock; `winnow pin` (winnow.commands.pin) writes it. Imported by the Snakefile at
parse time: nothing heavy here.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from winnow.config.files import compose, place
from winnow.experiments import needs
from winnow.schema import LOADER, ConfigError, check_definition, dotted, is_commit

LOCK = "config/hub.lock.yaml"
DATASETS = ("corpora", "benchmarks")
"""Sections of a configuration whose Hub sources are data sets; those of the others are models."""

Place = tuple[str, ...]
RepoType = Literal["dataset", "model"]
Lock = dict[str, dict[str, dict[str, dict[str, Any]]]]
"""Repository type -> owner/name -> revision -> {commit, date, files: {name: {size, sha256 or blob}}}."""


def lock_file(root: str | Path) -> str:
    """The lock file: the working directory's own if it has one, else that of the workflow's folder `root`."""
    return LOCK if os.path.exists(LOCK) else str(Path(root) / LOCK)


def read_lock(path: str | Path) -> Lock:
    """The entries of a lock file; none if the file does not exist.

    Raises InputError: not YAML, a duplicate key, or an entry of another form ($defs/hub-lock of the schema).
    """
    if not os.path.exists(path):
        return {}
    compose(Path(path), keys="dataset and model")
    lock = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=LOADER) or {}
    check_definition("hub-lock", lock, where=str(path))
    return lock


def repo_type(path: Place) -> RepoType:
    return "dataset" if path[0] in DATASETS else "model"


def hub_sources(config: Mapping[str, Any], path: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every Hub source of a configuration, {hub, revision, ...}, and its place (lists contain none)."""
    for key, value in config.items():
        if isinstance(value, dict):
            if "hub" in value and "revision" in value:
                yield (*path, key), value
            else:
                yield from hub_sources(value, (*path, key))


def resolve_names(config: dict[str, Any], lock: Lock) -> None:
    """Replaces in place each branch or tag that the lock has by its commit; the others are kept."""
    for path, source in hub_sources(config):
        entry = lock.get(repo_type(path), {}).get(source["hub"], {}).get(source["revision"])
        if entry is not None:
            source["revision"] = entry["commit"]


def by_name(config: dict[str, Any], needed_only: bool) -> dict[Place, dict[str, Any]]:
    """Sources whose revision is a branch or tag, by their place: all of a configuration, or those that its experiments and
    targets read (it has passed its cross-checks then)."""
    sources: Iterable[tuple[Place, dict[str, Any]]] = hub_sources(config)
    if needed_only:
        needed = needs(config)
        read: set[Place] = {("corpora", name, "source") for name in needed.corpora}
        read |= {("benchmarks", name, key) for name in needed.benchmarks for key in ("data", "labelled")}
        read |= set(needed.weights)
        sources = ((path, source) for path, source in sources if path in read)
    return {path: source for path, source in sources if not is_commit(source["revision"])}


def pin_command(files: Iterable[str | Path]) -> str:
    """The command that pins what a run with these run configs needs; every definition, if there are none."""
    shown = []
    for file in map(str, files):
        near = os.path.relpath(file)
        shown.append(shlex.quote(file if near.startswith("..") else near))
    return " ".join(["winnow pin", *shown])


def not_pinned(source: Mapping[str, Any], command: str) -> str:
    """Why a run cannot read a source whose revision is a branch or tag."""
    return (
        f"{source['revision']!r} of {source['hub']} is not pinned to a commit; "
        f"`{command}` looks it up, on a machine with network access"
    )


def require_pins(config: dict[str, Any], command: str) -> None:
    """Raises ConfigError for the first source that the run reads and whose revision has no commit."""
    missing = by_name(config, needed_only=True)
    for path, source in missing.items():
        more = f" ({len(missing) - 1} more are not pinned)" if len(missing) > 1 else ""
        raise ConfigError((*path, "revision"), not_pinned(source, command) + more)


def where_named(
    config: dict[str, Any], files: Iterable[str | Path], source: Mapping[str, Any], kind: RepoType
) -> str:
    """File, line and key of the first place in a configuration, merged from `files`, that names this revision of this
    repository: `config/models.yaml:25: models.NAME.weights.revision`."""
    same = ("hub", "revision")
    for path, other in hub_sources(config):
        if repo_type(path) == kind and all(other[key] == source[key] for key in same):
            trees = [(file, compose(Path(file))) for file in files]
            return place(trees, (*path, "revision")) + dotted((*path, "revision"))
    return f"{kind} {source['hub']}"


def locked_files(lock: Lock, kind: RepoType, hub: str, commit: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """The branches and tags under which the lock has a commit of a repository, with their dates, and the files of all of
    them: {name: {size, sha256 or blob}}. ("", {}) for a commit that it does not have."""
    names, files = [], {}
    for name, entry in lock.get(kind, {}).get(hub, {}).items():
        if entry["commit"] == commit:
            names.append(f"{name} on {entry['date']}")
            files.update(entry["files"])
    return " and ".join(names), files
