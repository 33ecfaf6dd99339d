"""Documents and bytes of the corpora of a configuration, as far as they are known before or after they are read.

In: a checked configuration, the folder of results, the lock file of Hub revisions. Out: `winnow.work.sizes.CorpusSize`.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from winnow.commands.first_rows import first_rows
from winnow.config.pins import read_lock
from winnow.stage import InputError
from winnow.work.requests import Sizes
from winnow.work.sizes import USUAL_BYTES, CorpusSize, assumed

GENERATED = {"python-packages": (2444, 1122), "sentiment-grammar": (0, 53), "story-grammar": (0, 684)}
"""Documents (0: what the config says) and bytes of each, of the embedded corpora."""
TEXT_SHARE = {".gz": 2.6, ".zst": 3.0, ".bz2": 3.2, ".xz": 3.5, ".parquet": 1.8}
"""Bytes of text in a byte of a compressed file."""


def corpus_size(
    config: dict[str, Any], results: str, name: str, lock: str | None = None, look: bool = True
) -> CorpusSize | None:
    """What is known of a corpus: from its index, if it was made; else from its key `size`, the first rows of local files, or
    the sizes of its files on the Hub that the file `lock` has. None if nothing is known. Without `look` no row is read of
    a corpus that has an index."""
    corpus = config["corpora"][name]
    source, stated = corpus["source"], corpus.get("size") or {}
    index = _index(Path(results) / name / "source.json")
    size: float | None = stated.get("bytes") and stated["bytes"] / stated["documents"]
    if "generator" in source:
        fixed, size = GENERATED[source["generator"]]
        return CorpusSize(index[0] if index else fixed or source.get("documents", 0), size)
    if index:
        first = _local(corpus) if look and not size and "hub" not in source else None
        return CorpusSize(index[0], size or (first.bytes if first else index[1]) or USUAL_BYTES)
    if stated:
        return CorpusSize(stated["documents"], size or USUAL_BYTES)
    if "hub" in source:
        return _on_the_hub(source, lock)
    return _local(corpus)


def _local(corpus: dict[str, Any]) -> CorpusSize | None:
    """From the first rows of local files."""
    try:
        first = first_rows(corpus)
    except InputError:
        return None
    count = first and (first.rows or first.estimated)
    return CorpusSize(count, first.bytes / max(1, first.read)) if first and count else None


def _index(path: Path) -> tuple[int, float | None] | None:
    """Rows of a source.json, and bytes of a text, by the sizes of its files; None if it is not made, or of another version."""
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        rows = int(made["rows"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    try:
        text = sum(file["bytes"] * TEXT_SHARE.get(Path(file["path"]).suffix, 1.0) for file in made["files"])
    except (TypeError, KeyError):
        return rows, None
    return rows, text / rows if rows else None


def _on_the_hub(source: dict[str, Any], lock: str | None) -> CorpusSize | None:
    """From the sizes of the files in the lock file: documents of USUAL_BYTES, which is few bytes for long texts only."""
    revisions = read_lock(lock).get("dataset", {}).get(source["hub"], {}) if lock else {}
    for name, entry in revisions.items():
        if source["revision"] in (name, entry["commit"]):
            files = [(file, one) for file, one in entry.get("files", {}).items() if one.get("size")]
            matching = [
                (file, one) for file, one in files if any(Path(file).match(glob) for glob in source["files"])
            ]
            text = sum(one["size"] * TEXT_SHARE.get(Path(file).suffix, 1.0) for file, one in matching)
            return CorpusSize(int(text / USUAL_BYTES), USUAL_BYTES, counted=False) if text else None
    return None


def labelled_size(config: dict[str, Any], name: str) -> CorpusSize | None:
    """Items of a benchmark with labelled files of its own, and bytes of one; None if they are not known."""
    labelled = config["benchmarks"][name].get("labelled")
    if labelled is None or "hub" in labelled:
        return None
    shape = {
        "source": {"files": labelled["files"]},
        "text": labelled["text"],
        "label": labelled["label"],
        "meta": [],
    }
    return _local(shape)


def sizes(config: dict[str, Any], results: str, lock: str | None = None, look: bool = True) -> Sizes:
    """The sizes of all corpora, each looked up once (`corpus_size`); of those of which nothing is known, what is assumed."""

    @functools.cache
    def corpus(name: str) -> CorpusSize:
        return corpus_size(config, results, name, lock, look) or assumed(config, name)

    return Sizes(corpus, functools.cache(lambda name: labelled_size(config, name)))
