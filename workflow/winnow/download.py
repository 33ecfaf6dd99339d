"""Files of a Hub repository, pinned to a commit, through the Hub's cache.

In: owner/name, a commit (40 hex digits), globs of files. Out: a JSON file with the repository, the revision,
the snapshot's folder and the absolute paths of the files, in the order of the globs, matches sorted.
With HF_HUB_OFFLINE=1 there is no network access: the cache (HF_HOME, HF_HUB_CACHE) must hold the files.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from winnow.schema import check_definition, read_spec
from winnow.stage import InputError, run, say, write_json

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


def fetch(source: dict[str, Any], repo_type: str) -> dict[str, Any]:
    """Downloads the files that are not in the cache yet.

    Parameters: `source`, {"hub", "revision", "files"?}; `repo_type`, dataset or model (of a model, by default all files
    but weights in other formats than safetensors).
    Returns {"repository", "revision", "folder", "files"}.
    Raises InputError with one line: offline and not in the cache, no such repository or commit, no access,
    no file that matches.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub import errors as hub

    name, revision = source["hub"], source["revision"]
    patterns = list(source.get("files") or (DATASET_FILES if repo_type == "dataset" else MODEL_FILES))
    skip = list(MODEL_SKIP) if repo_type == "model" and not source.get("files") else []
    what = f"{repo_type} {name} at {revision}"
    cache = constants.HF_HUB_CACHE
    try:
        folder = snapshot_download(
            name,
            revision=revision,
            repo_type=repo_type,
            # The Hub's patterns are fnmatch's: there, "**/x" does not match a file x at the root.
            allow_patterns=[p for pattern in patterns for p in {pattern, pattern.replace("**/", "")}],
            ignore_patterns=skip or None,
        )
    except hub.GatedRepoError:
        raise InputError(f"{what}: gated; request access on the Hub, and set HF_TOKEN") from None
    except hub.RevisionNotFoundError:
        raise InputError(
            f"{what}: the Hub has no such commit; take one from the repository's history"
        ) from None
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


def download(*, spec: str, repo_type: Literal["dataset", "model"], out: Path) -> None:
    """Fetches a Hub repository's files into the Hub's cache.

    Args:
        spec: {"source": {"hub": "owner/name", "revision": "<40 hex digits>", "files": [globs]}}; files is optional.
        repo_type: dataset or model
        out: JSON with the folder and the files.
    """
    source = read_spec(spec, "source")["source"]
    check_definition("corpus", {"source": source, "text": "-"}, where="--spec")
    if "hub" not in source or not re.fullmatch(r"[0-9a-f]{40}", source["revision"]):
        raise InputError("--spec source: must have hub (owner/name) and revision (a commit of 40 hex digits)")
    say(f"[download] {repo_type} {source['hub']} at {source['revision'][:12]}")
    result = fetch(source, repo_type)
    write_json(out, result)
    say(f"[download] {repo_type} {source['hub']}: {len(result['files'])} files in {result['folder']}")


if __name__ == "__main__":
    run(download)
