"""Folders of models from a pinned source: a Python package of the lock, a local folder, or a Hub repository at a commit."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from winnow.paths import existing_path
from winnow.schema import is_commit
from winnow.stage import InputError, disk_full, sha256


def weights_folder(source: dict[str, Any]) -> Path:
    """The local folder of a `weights` source (schema: $defs/weights), in Hugging Face layout.

    A package is not imported. The model.safetensors of a package or folder must have the given digest. A Hub repository
    must be in the cache, at a commit: compute nodes have no internet (rule download_model, which checks the digests of
    config/hub.lock.yaml).

    Raises InputError if it is absent or has another digest.
    """
    if "package" in source:
        name = source["package"].replace("-", "_")
        package = importlib.util.find_spec(name)
        if package is None or not package.submodule_search_locations:
            raise InputError(
                f"package {source['package']!r} is not installed; `make install` installs what lock.txt names"
            )
        files = sorted(Path(package.submodule_search_locations[0]).rglob("model.safetensors"))
        if not files:
            raise InputError(f"package {source['package']!r} holds no model.safetensors")
        return _checked(files[0], source["sha256"])
    if "folder" in source:
        folder = Path(existing_path(source["folder"]))
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise InputError(f"{folder}: has no model.safetensors; name a folder in Hugging Face layout")
        return _checked(weights, source["sha256"])
    if not is_commit(source["revision"]):
        raise InputError(f"{source['hub']} at {source['revision']}: expected: a commit of 40 hex digits")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source["hub"], revision=source["revision"], local_files_only=True))
    except HFValidationError:
        raise InputError(f"{source['hub']}: no name of a Hub repository; expected: OWNER/NAME") from None
    except LocalEntryNotFoundError:
        raise InputError(
            f"{source['hub']} at {source['revision']} is not in the Hub cache; "
            "run the workflow where there is internet (rule download_model fetches it)"
        ) from None


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Around the loading of a model or its tokenizer from a folder: what transformers and safetensors say of a file that is
    absent, cut short, of another format, or asks to run code of its own becomes an InputError of one line."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, SafetensorError) as error:
        if disk_full(error):
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            first = "its config.json asks to run code of its own (auto_map), which Winnow never does"
        raise InputError(
            f"{folder}: no model can be loaded ({first}); expected: a whole folder in Hugging Face layout with "
            "model.safetensors and an architecture that transformers has"
        ) from None


def _checked(weights: Path, expected: str) -> Path:
    digest = sha256(weights)
    if digest != expected:
        raise InputError(f"{weights}: sha256 is {digest}, but {expected} in the config")
    return weights.parent
