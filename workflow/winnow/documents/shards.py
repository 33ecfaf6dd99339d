"""Documents of a corpus: source files in, clean numbered documents out, in shards of whole blocks.

`index` counts the rows of every source file and finds the columns' types and the classes of a label; `write` makes
one shard.

In: parquet, arrow, jsonl, csv, tsv and txt files (winnow.documents.readers). A row is a parquet or arrow row, a line of a jsonl
file, a record of a csv file, a whole txt file or, where the config says so, a line of one. Errors count rows of a file
from 1. The columns of csv files are text, but for whole-number labels and for what the config declares. A meta column
that a file, or a row of a jsonl file, lacks is null there; a column that all files lack is an error.
Out: `source.json` (files with their rows, steps of cleaning, columns with their types, classes of the label) and
`documents/{shard}.parquet` with `doc`, `text`, `bytes`, `digest`, `label` (labelled corpora), meta columns.

`doc` is the number of the row over all files, from 0. A row whose text is null, empty or only white space
is dropped, counted, and leaves a gap. NUL characters are removed, then the steps of the corpus's `clean` are applied
(CLEANING); whether a row has a text, its bytes and its digest are those of the result. Text is otherwise stored unchanged.
Invalid UTF-8, a text that is not a string, values that a column's type does not hold exactly, and broken files are errors.

Memory: a few chunks of CHUNK bytes (or the largest single document), never the corpus.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.documents.classes import class_number, missing_label, unknown_label
from winnow.documents.columns import Column, Labels, Layout, type_from_json, type_to_json
from winnow.documents.layout import layout
from winnow.documents.readers import READERS, blank
from winnow.documents.streams import Work
from winnow.documents.threads import ahead, in_order
from winnow.formats import file_format
from winnow.paths import check_unchanged, expand, file_states
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, read_json, run, write_json

STAGE_VERSION = 2
BLOCK = 4096
ROW_GROUP_BYTES = 64 << 20
CLEANING: dict[str, Callable[[pa.Array], pa.Array]] = {
    "strip": pc.utf8_trim_whitespace,
    "lower": pc.utf8_lower,
}
"""Steps of a corpus's `clean`; of Unicode white space and letters."""


# ---------------------------------------------------------------- pure functions


def shard_range(rows: int, shard: int, shards: int) -> tuple[int, int]:
    """First and one-past-last source row of a shard: whole blocks of BLOCK rows, split evenly."""
    blocks = -(-rows // BLOCK)
    return min(shard * blocks // shards * BLOCK, rows), min((shard + 1) * blocks // shards * BLOCK, rows)


def digests(text: pa.Array) -> np.ndarray:
    """BLAKE2b (8 bytes, read as little-endian) of the UTF-8 of each text; uint64 [n]. No nulls."""
    if not len(text):
        return np.zeros(0, dtype=np.uint64)
    _, offsets, data = text.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[text.offset : text.offset + len(text) + 1].tolist()
    view = memoryview(data) if data is not None else memoryview(b"")
    joined = b"".join([blake2b(view[a:b], digest_size=8).digest() for a, b in pairwise(ends)])
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64, copy=False)


def clean(
    path: str, layout: Layout, doc: np.ndarray, first: int, arrays: list[pa.Array], steps: Sequence[str] = ()
) -> pa.Table:
    """Documents of consecutive rows, cleaned.

    Parameters: `doc`, int64 [n]; `first`, the first row's number in its file (from 0), for messages;
    `arrays`, one of n values for each of `layout.columns`; `steps`: names in CLEANING, applied to the text in this order.
    Returns a table of `layout.schema`.
    Raises InputError for a label that is null, or unknown to the index.
    """
    text = arrays[0]
    if pc.any(pc.match_substring(text, "\x00")).as_py():
        text = pc.replace_substring(text, "\x00", "")
    for step in steps:
        text = CLEANING[step](text)
    empty = blank(text)
    rows = np.arange(first, first + len(doc))
    rest = arrays[1:]
    if pc.any(empty).as_py():
        keep = pc.invert(empty)
        kept = keep.to_numpy(zero_copy_only=False)
        doc, rows, text, rest = (
            doc[kept],
            rows[kept],
            text.filter(keep),
            [array.filter(keep) for array in rest],
        )
    columns: list[Any] = [doc, text, pc.binary_length(text), digests(text)]
    if layout.label:
        columns.append(_labels(path, layout, rest.pop(0), rows))
    return pa.Table.from_arrays([*map(pa.array, columns), *rest], schema=layout.schema)


def _labels(path: str, layout: Layout, label: pa.Array, rows: np.ndarray) -> pa.Array:
    """Class numbers, int32 [n], of the labels of rows."""
    assert layout.label is not None
    assert layout.labels is not None
    name = layout.label.name
    if label.null_count:
        where = int(np.flatnonzero(label.is_null().to_numpy(False))[0])
        raise InputError(missing_label(path, int(rows[where]) + 1, name))
    encoded = label.dictionary_encode()
    numbers = []
    for place, value in enumerate(encoded.dictionary.to_pylist()):
        number = class_number(value, layout.labels)
        if number is None:
            row = int(rows[np.flatnonzero(encoded.indices.to_numpy() == place)[0]]) + 1
            raise InputError(f"{path}: row {row}: {unknown_label(value, name, layout.labels)}")
        numbers.append(number)
    return pa.array(numbers, pa.int32()).take(encoded.indices)


def row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, cut at every BLOCK source rows and before ROW_GROUP_BYTES of text.

    The cuts depend on the documents alone, not on how they came in.
    """
    pending: list[pa.Table] = []
    held, block = 0, -1
    for table in tables:
        blocks = table["doc"].to_numpy() // BLOCK
        lengths = table["bytes"].to_numpy().astype(np.int64)
        at = 0
        while at < len(table):
            if pending and blocks[at] != block:
                yield pa.concat_tables(pending)
                pending, held = [], 0
            block = blocks[at]
            stop = int(np.searchsorted(blocks, block, side="right"))
            sums = np.cumsum(lengths[at:stop])
            fits = int(np.searchsorted(sums, ROW_GROUP_BYTES - held, side="right"))
            if not fits and pending:
                yield pa.concat_tables(pending)
                pending, held = [], 0
                continue
            fits = max(fits, 1)
            pending.append(table.slice(at, fits))
            held += int(sums[fits - 1])
            at += fits
    if pending:
        yield pa.concat_tables(pending)


# ---------------------------------------------------------------- file functions


def index_files(
    paths: list[str], corpus: dict[str, Any], threads: int = 2, labels: Labels | None = None
) -> dict[str, Any]:
    """What source.json holds: files with rows, bytes and format; rows in all; how texts are cleaned; columns;
    classes of the label.

    `labels`: the classes, where the files are more documents of a corpus that has them. Raises InputError as the
    module says.
    """
    for path in paths:
        if any("\udc80" <= character <= "\udcff" for character in path):
            raise InputError(f"{path!a}: the name of the file is not UTF-8; rename it")
        if os.path.getsize(path) == 0 and file_format(path)[0] != "txt":
            raise InputError(f"{path}: an empty file (0 bytes); get it again, or take it out of the source")
    lines = corpus.get("source", {}).get("txt") == "lines"
    files = [(path, *file_format(path, lines)) for path in paths]
    sizes = [os.path.getsize(path) for path in paths]
    progress = Progress("documents index", sum(sizes) / 1e6, "MB")
    with ThreadPoolExecutor(threads) as pool:
        rows_read, surveys = layout(
            files, corpus, pool, threads + 1, lambda path: progress.add(os.path.getsize(path) / 1e6), labels
        )
    total = sum(survey.rows for survey in surveys)
    progress.line(f"{total:,} rows in {len(paths)} file{'s' * (len(paths) > 1)}")
    return {
        "files": [
            {"path": path, "rows": survey.rows, "bytes": size, "format": kind}
            for (path, kind, _), survey, size in zip(files, surveys, sizes, strict=True)
        ],
        "rows": total,
        "clean": list(corpus.get("clean", [])),
        "format": "+".join(sorted({kind for _, kind, _ in files})),
        "columns": {
            column.name: {
                "path": list(column.path),
                "type": type_to_json(column.type),
                "declared": column.declared,
            }
            for column in rows_read.columns
        },
        "labels": rows_read.labels
        and {"names": list(rows_read.labels.names), "values": list(rows_read.labels.values)},
    }


def classes_of(source: dict[str, Any]) -> Labels | None:
    """The classes of a labelled corpus from its source.json, None of another."""
    labels = source["labels"]
    return Labels(tuple(labels["names"]), tuple(labels["values"])) if labels else None


def layout_of(source: dict[str, Any], corpus: dict[str, Any], where: str) -> Layout:
    """What is read of each row, from source.json. Raises InputError for a column that is not in it."""

    def column(name: str) -> Column:
        if name not in source["columns"]:
            raise InputError(f"{where}: made without column {name!r}; make it again with this config")
        entry = source["columns"][name]
        kind = type_from_json(entry["type"])
        return Column(name, tuple(entry["path"]), kind, entry["declared"], name == label)

    label = corpus.get("label")
    return Layout(
        column(corpus["text"]),
        column(label) if label else None,
        classes_of(source),
        tuple(column(name) for name in corpus.get("meta") or []),
    )


def write_shard(
    source: dict[str, Any],
    corpus: dict[str, Any],
    shard: int,
    shards: int,
    out: Path,
    threads: int = 2,
    where: str = "source.json",
) -> int:
    """Writes one shard of a corpus; returns its number of documents.

    Parameters: `source`, what `index_files` returned; `corpus`, its config; `threads` changes no byte.
    Raises InputError as the module says, and for a file that changed since it was indexed.
    """
    if not 0 <= shard < shards:
        raise InputError(f"--shard {shard}: of {shards} shards, 0 to {shards - 1} exist")
    layout = layout_of(source, corpus, where)
    start, stop = shard_range(source["rows"], shard, shards)
    progress = Progress(f"documents {shard + 1}/{shards}", stop - start, "rows")

    def pieces() -> Iterator[tuple[str, int, int, int, Work]]:
        base = 0
        for file in source["files"]:
            low, high = max(start - base, 0), min(stop - base, file["rows"])
            if low < high:
                path, at = file["path"], low
                if not os.path.isfile(path) or os.path.getsize(path) != file["bytes"]:
                    raise InputError(f"{path}: gone or changed since {where} was made; make that again")
                for first, rows, work in READERS[file["format"]](file, layout.columns, low, high):
                    yield path, base, first, rows, work
                    at = first + rows
                if at != high:
                    raise InputError(
                        f"{path}: has {at} rows, {file['rows']} when {where} was made; make it again"
                    )
            base += file["rows"]

    def finish(piece: tuple[str, int, int, int, Work]) -> tuple[int, pa.Table]:
        path, base, first, rows, work = piece
        doc = np.arange(base + first, base + first + rows, dtype=np.int64)
        return rows, clean(path, layout, doc, first, work(), corpus.get("clean", []))

    written = 0
    strings = [column.name for column in layout.meta if pa.types.is_string(column.type)]
    with (
        atomic_path(Path(out)) as partial,
        ThreadPoolExecutor(1) as reader,
        ThreadPoolExecutor(max(1, threads)) as workers,
        pq.ParquetWriter(
            partial,
            layout.schema,
            compression="zstd",
            use_dictionary=strings or False,
            write_statistics=["doc", "bytes"],
        ) as writer,
    ):

        def tables() -> Iterator[pa.Table]:
            for rows, table in in_order(finish, ahead(pieces(), reader), workers, threads + 1):
                progress.add(rows)
                yield table

        for table in row_groups(tables()):
            writer.write_table(table, row_group_size=len(table))
            written += len(table)
        dropped = stop - start - written
        writer.add_key_value_metadata({"rows": str(stop - start), "rows_without_text": str(dropped)})
    progress.line(f"{written:,} documents" + (f", {dropped:,} rows without text left out" if dropped else ""))
    return written


# ---------------------------------------------------------------- command line


def index(
    *,
    spec: str,
    out: Path,
    files: list[str] = [],
    download: list[Path] = [],
    threads: int = 2,
) -> None:
    """Counts the rows of a corpus's files and finds the types of its columns.

    Args:
        spec: {"corpus": {...}} as in the config; source, text, label and meta are read.
        out: source.json
        files: Files or globs, for a generated corpus; by default those of the corpus's source in the spec.
        download: What `winnow.download` wrote, for a corpus from the Hub.
        threads: Files read at a time.
    """
    corpus = read_spec(spec, "corpus")["corpus"]
    if (files and download) or len(download) > 1:
        raise InputError("--files and --download: give one of them, and one download")
    if download:
        paths = list(read_json(download[0])["files"])
    elif files:
        paths = expand(files)
    elif "hub" in corpus["source"]:
        raise InputError("--download: missing; a Hub corpus is read from what winnow.download wrote")
    elif "generator" in corpus["source"]:
        raise InputError(
            "--files: missing; a generated corpus is read from what winnow.documents.generate wrote"
        )
    else:
        paths = expand(corpus["source"]["files"])
    states = file_states(paths)
    source = index_files(paths, corpus, threads)
    for file, (size, state) in zip(source["files"], states, strict=True):
        file.update(bytes=size, state=None if download else state)  # a commit's files do not change
    check_unchanged(source["files"], "the index of it")
    if source["labels"] and len(source["labels"]["names"]) == 1:
        name = source["labels"]["names"][0]
        raise InputError(
            f"{paths[0]}: label {corpus['label']!r} is {name!r} in every row; two classes at least are needed"
        )
    write_json(out, source)


def write(*, source: Path, shard: int, shards: int, spec: str, out: Path, threads: int = 2) -> None:
    """Writes one shard of a corpus's documents.

    Args:
        source: source.json, as `index` wrote it.
        shard: Which shard, from 0.
        shards: How many there are; the documents do not depend on it.
        spec: {"corpus": {...}} as in the config; text, clean, label and meta are read.
        out: documents/{shard}.parquet
        threads: Threads that parse; the bytes do not depend on it.
    """
    corpus = read_spec(spec, "corpus")["corpus"]
    index = read_json(source)
    start, stop = shard_range(index["rows"], shard, shards)
    ends = accumulate(file["rows"] for file in index["files"])
    check_unchanged(
        (f for f, end in zip(index["files"], ends, strict=True) if start < end and end - f["rows"] < stop),
        str(source),
    )
    write_shard(index, corpus, shard, shards, out, threads, str(source))


if __name__ == "__main__":
    run(index, write)
