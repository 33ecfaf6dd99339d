"""Files of a Hub repository, pinned to a commit, through the Hub's cache.

In: owner/name, a commit (40 hex digits), globs of files. Out: a JSON file with the repository, the revision,
the snapshot's folder and the absolute paths of the files, in the order of the globs, matches sorted.
With HF_HUB_OFFLINE=1 there is no network access: the cache (HF_HOME, HF_HUB_CACHE) must hold the files.
Files whose digests are in the lock file (config/hub.lock.yaml, see winnow.config.pins) must match them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

from winnow.config.pins import locked_files, read_lock
from winnow.schema import check_definition, is_commit, read_spec
from winnow.stage import InputError, Progress, run, say, sha256, write_json

STAGE_VERSION = 1
DATASET_FILES = ("**/*.parquet",)
MODEL_FILES = ("**/*",)
MODEL_SKIP = [
    "*.bin",
    "*.pt",
    "*.pth",
    "*.h5",
    "*.msgpack",
    "*.onnx",
    "*.ot",
    "*.ckpt",
    "*.gguf",
    "*.tflite",
    "*.mlmodel",
    "onnx/*",
    "openvino/*",
    "coreml/*",
]


def match(folder: Path, patterns: list[str], skip: list[str]) -> list[Path]:
    """Files below `folder` that match the globs: in the order of the globs, matches sorted, each once.

    Raises InputError for a glob without a file.
    """
    files: dict[Path, None] = {}
    for pattern in patterns:
        matches = sorted(
            path
            for path in folder.glob(pattern)
            if path.is_file() and not any(path.relative_to(folder).match(name) for name in skip)
        )
        if not matches:
            some = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())[:8]
            raise InputError(
                f"files: no file matches {pattern!r} in {folder}; there are: {', '.join(some) or 'none'}"
            )
        files.update(dict.fromkeys(matches))
    return list(files)


def hub_patterns(source: dict[str, Any], repo_type: str) -> tuple[list[str], list[str]]:
    """Globs of the files that a source downloads, and of those among them that it omits (of a model, by default all files
    but weights in other formats than safetensors)."""
    patterns = list(source.get("files") or (DATASET_FILES if repo_type == "dataset" else MODEL_FILES))
    return patterns, list(MODEL_SKIP) if repo_type == "model" and not source.get("files") else []


def hub_globs(patterns: list[str]) -> list[str]:
    """The same globs for the Hub, which uses fnmatch: there, "**/x" does not match a file x at the root."""
    return [p for pattern in patterns for p in dict.fromkeys((pattern, pattern.replace("**/", "")))]


def file_digest(path: Path, kind: Literal["sha256", "blob"]) -> str:
    """The sha256 of a file, or the git id of its content (the sha1 of a header and the content), as hex digits."""
    if kind == "sha256":
        return sha256(path)
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def check_digests(files: list[Path], root: Path, locked: dict[str, dict[str, Any]], where: str) -> int:
    """Compares files below `root` with the sizes and digests of a lock file, `where`, which lists them by their path from
    `root`. Returns how many are listed. Raises InputError for the first that differs."""
    pairs = [(path, locked[name]) for path in files if (name := path.relative_to(root).as_posix()) in locked]
    progress = Progress("check digests", sum(entry["size"] for _, entry in pairs) / 1e6, "MB")
    for path, entry in pairs:
        size = path.stat().st_size
        difference = f"{size:,} bytes, in {where} {entry['size']:,}" if size != entry["size"] else ""
        for kind in ("sha256", "blob"):
            if not difference and kind in entry and (digest := file_digest(path, kind)) != entry[kind]:
                difference = f"{kind} is {digest}, in {where} {entry[kind]}"
        if difference:
            raise InputError(
                f"{path}: {difference}; delete {' and '.join(dict.fromkeys((str(path), os.path.realpath(path))))}, then "
                "run the same command again"
            )
        progress.add(size / 1e6)
    return len(pairs)


def fetch(source: dict[str, Any], repo_type: str, pinned: str = "") -> dict[str, Any]:
    """Downloads the files that are not in the cache yet.

    Parameters: `source`, {"hub", "revision", "files"?}; `repo_type`, dataset or model; `pinned`, for messages: the branch
    or tag whose commit it was, and on which day.
    Returns {"repository", "revision", "folder", "files"}.
    Raises InputError with one line: offline and not in the cache, no such repository or commit, no access,
    no file that matches.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub import errors as hub

    name, revision = source["hub"], source["revision"]
    patterns, skip = hub_patterns(source, repo_type)
    what = f"{repo_type} {name} at {revision}"
    cache = constants.HF_HUB_CACHE
    try:
        folder = snapshot_download(
            name,
            revision=revision,
            repo_type=repo_type,
            allow_patterns=hub_globs(patterns),
            ignore_patterns=skip or None,
        )
    except hub.GatedRepoError:
        raise InputError(f"{what}: gated; request access on the Hub, and set HF_TOKEN") from None
    except hub.RevisionNotFoundError:
        advice = "take one from the repository's history"
        if pinned:
            advice = (
                f"it was {pinned}, which has moved: `winnow pin --update CONFIG` accepts the present commit"
            )
        raise InputError(f"{what}: the Hub has no such commit; {advice}") from None
    except hub.RepositoryNotFoundError:
        raise InputError(f"{what}: the Hub has no such repository, or it is private; set HF_TOKEN") from None
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled):
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the Hub cannot be reached"
        raise InputError(
            f"{what}: not in the cache {cache}, and {why}; download it where there is a network, "
            "or point HF_HOME to a cache that has it"
        ) from None
    except hub.HfHubHTTPError as error:
        raise InputError(f"{what}: the Hub refused: {str(error).splitlines()[0]}") from None
    except OSError as error:
        if error.errno == 28:
            raise
        raise InputError(f"{what}: the download failed: {str(error).splitlines()[0]}; try again") from None
    root = Path(os.path.abspath(folder))
    try:
        files = match(root, patterns, skip)
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
    return {"repository": name, "revision": revision, "folder": str(root), "files": [str(f) for f in files]}


def download(
    *, spec: str, repo_type: Literal["dataset", "model"], lock: Path | None = None, out: Path
) -> None:
    """Fetches a Hub repository's files into the Hub's cache.

    Args:
        spec: {"source": {"hub": "owner/name", "revision": "<40 hex digits>", "files": [globs]}}; files is optional.
        repo_type: dataset or model
        lock: Lock file (config/hub.lock.yaml); downloads are checked against the digests that it has of this commit.
        out: JSON with the folder and the files.
    """
    source = read_spec(spec, "source")["source"]
    check_definition("corpus", {"source": source, "text": "-"}, where="--spec")
    if "hub" not in source or not is_commit(source["revision"]):
        raise InputError("--spec source: must have hub (owner/name) and revision (a commit of 40 hex digits)")
    say(f"[download] {repo_type} {source['hub']} at {source['revision'][:12]}")
    pinned, locked = locked_files(
        read_lock(lock) if lock else {}, repo_type, source["hub"], source["revision"]
    )
    result = fetch(source, repo_type, pinned)
    files = list(map(Path, result["files"]))
    if checked := check_digests(files, Path(result["folder"]), locked, where=str(lock)):
        say(f"[download] {repo_type} {source['hub']}: {checked} digests match {lock}")
    write_json(out, result)
    say(f"[download] {repo_type} {source['hub']}: {len(result['files'])} files in {result['folder']}")


if __name__ == "__main__":
    run(download)
