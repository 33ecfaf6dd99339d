"""The first rows of local sources, read as `winnow.documents` reads them, for checks before any job.

In: a corpus of the config with local files. Out: its columns' values, its rows as far as they are known or can be estimated.
Light at import; what reads data is imported when there is a source to read.
"""

from __future__ import annotations

import bz2
import contextlib
import csv
import functools
import gzip
import io
import json
import lzma
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.paths import expand
from winnow.stage import InputError, canonical

SAMPLE = 1 << 20
"""Bytes that are read of a source; a smaller source is read as a whole."""
FILES, COUNTED = 20, 200
"""Files that are read, and parquet files whose rows are counted (from their metadata), at most."""
MAX_VALUES = 10_000
"""Distinct values of a column that are remembered at most."""


@dataclass(frozen=True)
class FirstRows:
    """What the first rows of a source tell.

    `rows`: of all files, where they are known without reading them; `estimated`: their estimated number, if not.
    `read`: how many were read; `whole`: whether those are all. `bytes`: of their texts (UTF-8), in all.
    `counts`: distinct values of the label and of meta columns; `values`: those of meta columns of texts or whole
    numbers, where they are not too many to keep. `labels`: file and row (from 1) of the first of each label. `absent`:
    label and meta columns that none of the rows has.
    """

    rows: int | None
    estimated: int | None
    read: int
    whole: bool
    bytes: int
    counts: dict[str, int]
    values: dict[str, set[str | int]]
    labels: dict[str, tuple[str, int]]
    absent: tuple[str, ...] = ()


NO_ROWS = FirstRows(None, None, 0, False, 0, {}, {}, {})
"""Of a source of which no row with a text is among the first."""


def first_rows(corpus: dict[str, Any]) -> FirstRows | None:
    """The first rows of the local files of a corpus (or of a benchmark in its shape); None where a format has no rows
    that could be read alone.

    Raises InputError as the stage documents does, for what is wrong in these rows.
    """
    paths = expand(corpus["source"]["files"])
    state = tuple((path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths)
    settings = {k: v for k, v in corpus.items() if k not in ("heldout", "shards", "group")}
    return _first_rows(state, canonical(settings))


@functools.cache
def _first_rows(state: tuple[tuple[str, int, int], ...], text: str) -> FirstRows | None:
    corpus, paths = json.loads(text), [path for path, _, _ in state]
    with tempfile.TemporaryDirectory() as name:
        samples: dict[str, str] = {}  # path of the sample -> path in the source
        size = read = 0
        whole = True
        for index, path in enumerate(paths):
            if index >= FILES or size >= SAMPLE:
                whole = False
                break
            sample = _sample(path, Path(name) / str(index))
            if sample is None:
                return None
            samples[sample[0]] = path
            size += os.path.getsize(sample[0])
            read += sample[1]
            whole = whole and sample[2]
        return _read_samples(corpus, paths, samples, read, whole)


def _sample(path: str, folder: Path) -> tuple[str, int, bool] | None:
    """The first rows of a file, as a file of its own in `folder` unless it is small: that path, the bytes of the file
    that were read, and whether they are all. None where the format allows no cut."""
    size = os.path.getsize(path)
    stem, ending = os.path.splitext(path)
    compressed = ending.lower() in (".gz", ".bz2", ".xz", ".zst")
    small = (path, size, True)
    if size <= SAMPLE and not compressed:
        return small
    folder.mkdir()
    if ending.lower() == ".parquet":
        return _parquet_sample(path, folder)
    kind = os.path.splitext(stem)[1].lower() if compressed else ending.lower()
    if kind not in (".jsonl", ".ndjson", ".json", ".jsonlines", ".csv", ".tsv", ".txt"):
        return None
    try:
        data, used = _head(path, ending.lower() if compressed else "")
    except (OSError, EOFError, lzma.LZMAError, ValueError):  # broken: the stage that reads all of it says how
        return small if size <= SAMPLE else None
    if len(data) < SAMPLE:
        return small
    data = data[: data.rfind(b"\n") + 1]
    if kind in (".csv", ".tsv"):
        data = _records(data, "\t" if kind == ".tsv" else ",")
    if not data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return None
    sample = folder / os.path.basename(stem if compressed else path)
    sample.write_bytes(data)
    return str(sample), max(1, used), False


def _head(path: str, compression: str) -> tuple[bytes, int]:
    """The first SAMPLE bytes of a file, decompressed, and how many of its own bytes were read for them."""
    with open(path, "rb") as raw:
        stream: Any = raw
        if compression == ".gz":
            stream = gzip.GzipFile(fileobj=raw)
        elif compression == ".bz2":
            stream = bz2.BZ2File(raw)
        elif compression == ".xz":
            stream = lzma.LZMAFile(raw)  # noqa: SIM115 (closing it would close nothing more)
        elif compression == ".zst":
            import pyarrow as pa

            stream = pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")
        parts, size = [], 0
        while size < SAMPLE and (data := stream.read(SAMPLE - size)):
            parts.append(data)
            size += len(data)
        return b"".join(parts), raw.tell()


def _records(data: bytes, delimiter: str) -> bytes:
    """Whole records of csv: the lines before the last record, which the cut may have hit."""
    lines = list(io.StringIO(data.decode("utf-8-sig", "surrogateescape"), newline=""))
    reader, ends = csv.reader(lines, delimiter=delimiter, strict=True), [0]
    with contextlib.suppress(csv.Error):
        for _ in reader:
            ends.append(reader.line_num)
    return "".join(lines[: ends[-2] if len(ends) > 1 else 0]).encode("utf-8", "surrogateescape")


def _parquet_sample(path: str, folder: Path) -> tuple[str, int, bool] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sample = folder / os.path.basename(path)
    try:
        with pq.ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=256), None)
            if batch is None:
                return path, os.path.getsize(path), True
            pq.write_table(pa.Table.from_batches([batch]), sample)
            share = batch.num_rows / file.metadata.num_rows
    except (pa.ArrowException, OSError):
        return None
    return str(sample), max(1, int(share * os.path.getsize(path))), share == 1


def _read_samples(
    corpus: dict[str, Any], paths: list[str], samples: dict[str, str], read: int, whole: bool
) -> FirstRows:
    """Reads samples (path of each -> path in the source; `read` bytes of the source) as the stage documents reads
    sources: the same columns, types and errors."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from winnow.documents.shards import index_files, write_shard

    absent: tuple[str, ...] = ()
    if not whole:
        columns = [*([corpus["label"]] if corpus.get("label") else []), *corpus.get("meta", [])]
        try:
            present = _without_absent(corpus, list(samples))
        except (InputError, ValueError):
            present = corpus  # the error is raised below, or does not concern these columns
        if present is None:
            return NO_ROWS
        corpus = present
        absent = tuple(n for n in columns if n not in (corpus.get("label"), *corpus.get("meta", [])))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        out = Path(folder) / "documents.parquet"
        try:
            source = index_files(list(samples), corpus)
            write_shard(source, corpus, 0, 1, out)
        except InputError as error:
            message = str(error)
            for sample, path in samples.items():
                message = message.replace(sample, path)
            if not whole and ": no rows in " in message:
                return NO_ROWS
            raise InputError(message) from None
        table = pq.read_table(out)
    counts: dict[str, int] = {}
    values: dict[str, set[str | int]] = {}
    for column in [*(["label"] if corpus.get("label") else []), *corpus.get("meta", [])]:
        try:
            distinct = pc.unique(table[column].combine_chunks().drop_null())
        except NotImplementedError:  # lists and structs have no equality in Arrow
            continue
        counts[column] = len(distinct)
        plain = pa.types.is_string(distinct.type) or pa.types.is_integer(distinct.type)
        if column != "label" and plain and len(distinct) <= MAX_VALUES:
            values[column] = set(distinct.to_pylist())
    labels: dict[str, tuple[str, int]] = {}
    if corpus.get("label") and counts["label"] <= MAX_VALUES:
        names = source["labels"]["names"]
        for value, row in zip(table["label"].to_pylist(), table["doc"].to_pylist(), strict=True):
            label = names[value]
            if label not in labels:
                labels[label] = _place(source["files"], samples, row)
    rows = source["rows"] if whole else _counted(paths)
    estimated = None
    if rows is None and not any(path.lower().endswith((".txt", ".txt.gz")) for path in paths):
        estimated = round(sum(map(os.path.getsize, paths)) * source["rows"] / read)
    size = int(pc.sum(table["bytes"]).as_py() or 0)
    return FirstRows(rows, estimated, len(table), whole, size, counts, values, labels, absent)


def _place(files: list[dict[str, Any]], samples: dict[str, str], row: int) -> tuple[str, int]:
    """File and row in it (from 1) of a row of several files."""
    for file in files:
        if row < file["rows"]:
            return samples[file["path"]], row + 1
        row -= file["rows"]
    raise ValueError(row)


def _without_absent(corpus: dict[str, Any], samples: list[str]) -> dict[str, Any] | None:
    """The corpus without the label and meta columns of which no row of JSON samples has a value: later rows may have one.
    None if no row has a text."""
    from winnow.documents.columns import infer, known, storable
    from winnow.documents.json_lines import json_rows
    from winnow.documents.survey import find_fields

    names = [corpus["text"], *([corpus["label"]] if corpus.get("label") else []), *corpus.get("meta", [])]
    present = set()
    for path in samples:
        if not path.lower().endswith((".jsonl", ".ndjson", ".json", ".jsonlines")):
            return corpus
        for row in json_rows(path, Path(path).read_bytes(), 0):
            for name in names:
                if name not in present and (keys := find_fields(row, name)):
                    value: Any = row
                    for key in keys:
                        value = value[key]
                    if value is not None and storable(known(infer(value))) is None:
                        present.add(name)
    if corpus["text"] not in present:
        return None
    meta = [name for name in corpus.get("meta", []) if name in present]
    return {
        **corpus,
        "label": corpus.get("label") if corpus.get("label") in present else None,
        "meta": meta,
        "types": {n: t for n, t in (corpus.get("types") or {}).items() if n in (*meta, corpus["text"])},
    }


def _counted(paths: list[str]) -> int | None:
    """Rows of parquet files, from their metadata; None for other formats and for very many files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if len(paths) > COUNTED or not all(path.lower().endswith(".parquet") for path in paths):
        return None
    try:
        return sum(pq.read_metadata(path).num_rows for path in paths)
    except (pa.ArrowException, OSError):
        return None
