"""Shards of measures and of documents -> tables with the columns that draws are compared by.

In: measures (winnow.profile.measure), a file a family and shard; documents, of which are read the words and features of prompts
and some words of the text. Out: sources, of which one shard at a time is read as a table: `doc` int64, and columns of numbers,
categories or labels (lists of texts).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from winnow.parquet import open_parquet
from winnow.profile.counts import Entries, column_entries
from winnow.profile.words import words
from winnow.stage import InputError

PROMPTS = {"words": "prompt words", "features": "prompt features"}
TEXT = "text words"
BATCH = 2048


@dataclass(frozen=True)
class Source:
    """Shards that have the same columns, and how one is read."""

    paths: list[Path]
    columns: list[str]
    read: Callable[[Path], pa.Table]


def measured(paths: Sequence[Path], columns: Sequence[str] | None) -> list[Source]:
    """Sources of measures: files with the same columns are the shards of one. `columns`: only these; None: all.

    Raises InputError for a column that no file has, or that files of two sources have.
    """
    groups: dict[tuple[str, ...], list[Path]] = {}
    of_column: dict[str, tuple[str, ...]] = {}
    for path in paths:
        with open_parquet(path, ["doc"]) as file:
            names = tuple(name for name in file.schema_arrow.names if name != "doc")
        for name in names:
            if of_column.setdefault(name, names) != names:
                raise InputError(
                    f"{path}: column {name!r} is also in {groups[of_column[name]][0]}, whose other columns differ"
                )
        groups.setdefault(names, []).append(path)
    for name in columns or []:
        if name not in of_column:
            raise InputError(f"--measures: no column {name!r}; columns: {', '.join(of_column)}")
    sources = []
    for names, files in groups.items():
        if kept := [name for name in names if columns is None or name in columns]:
            sources.append(Source(files, kept, partial(_read_measures, columns=kept)))
    return sources


def _read_measures(path: Path, columns: list[str]) -> pa.Table:
    with open_parquet(path, ["doc", *columns]) as file:
        return file.read(columns=["doc", *columns])


def of_documents(paths: Sequence[Path], prompts: Mapping[str, str | None], words_of_text: Sequence[str]) -> list[Source]:  # fmt: skip
    """The source of documents: labels of their prompts (PROMPTS, of the columns `prompts` that are not None), and of their texts
    (TEXT): which of some words they have. None if there is nothing to read."""
    columns = {name: column for what, name in PROMPTS.items() if (column := prompts[what])}
    names = [*columns, *([TEXT] if words_of_text else [])]
    if not paths or not names:
        return []
    read = partial(_read_documents, columns=columns, words_of_text=frozenset(words_of_text))
    return [Source(list(paths), names, read)]


def _read_documents(path: Path, columns: Mapping[str, str], words_of_text: frozenset[str]) -> pa.Table:
    with open_parquet(path, ["doc", "text"]) as file:
        table = {"doc": file.read(columns=["doc"])["doc"]}
        for name, column in columns.items():
            parts = [_lists(rows, listed) for rows, listed in column_entries(path, column)]
            table[name] = pa.chunked_array(parts, pa.list_(pa.string()))
        if words_of_text:
            texts = [
                pa.array(
                    [
                        sorted(words_of_text.intersection(words(text or "")))
                        for text in batch["text"].to_pylist()
                    ],
                    pa.list_(pa.string()),
                )
                for batch in file.iter_batches(BATCH, columns=["text"])
            ]
            table[TEXT] = pa.chunked_array(texts, pa.list_(pa.string()))
    return pa.table(table)


def _lists(rows: int, listed: Entries) -> pa.Array:
    """The entries of each row, as lists."""
    offsets = np.searchsorted(listed.row, np.arange(rows + 1)).astype(np.int32)
    values = pa.array(listed.names, pa.string()).take(pa.array(listed.place))
    return pa.ListArray.from_arrays(pa.array(offsets), values)
