"""Parquet files of the stages, and the vectors beside them: opened with one-line errors, read in batches, looked up by
document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.stage import InputError

BATCH = 1 << 17  # rows of a batch, which fit the processor's cache


def open_parquet(path: Path, columns: Sequence[str]) -> pq.ParquetFile:
    """The file, known to hold `columns`. Raises InputError if it is absent, not parquet, or lacks one."""
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError):
        what = "a folder, not a file" if Path(path).is_dir() else "not a parquet file, or cut short"
        raise InputError(f"{path}: {what}; make it again") from None
    for name in columns:
        if name not in file.schema_arrow.names:
            raise InputError(f"{path}: no column {name!r}; columns: {', '.join(file.schema_arrow.names)}")
    return file


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The file, or `columns` of it. Raises InputError as `open_parquet` does, and for pages that are damaged."""
    with open_parquet(path, columns or ()) as file:
        try:
            return file.read(columns=None if columns is None else list(columns))
        except (pa.ArrowException, OSError):
            raise InputError(f"{path}: damaged; make it again") from None


def open_array(path: Path, dimensions: int = 2, mmap: bool = False) -> np.ndarray:
    """An array of numbers of a .npy file, or one with named fields; `mmap`: memory-mapped.

    Raises InputError for a file that is absent, is not one (an array of pickled objects is none), is cut short, or has
    not so many `dimensions`.
    """
    try:
        array = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, SyntaxError):
        what = "a folder, not a file" if Path(path).is_dir() else "not an .npy file of numbers, or cut short"
        raise InputError(f"{path}: {what}; make it again") from None
    if not isinstance(array, np.ndarray):  # an archive
        raise InputError(f"{path}: an .npz archive, not an .npy file; make it again")
    if array.dtype.names is None and (array.ndim != dimensions or array.dtype.kind not in "fiu"):
        raise InputError(
            f"{path}: holds {array.dtype} of shape {array.shape}; numbers in {dimensions} dimensions are required; "
            "make it again"
        )
    return array


def check_finite(values: np.ndarray, path: Path, doc: np.ndarray | None = None) -> None:
    """Raises InputError for the first of `values` [n] or [n, d], of the documents `doc` [n], that is not finite."""
    finite = np.isfinite(values) if values.ndim == 1 else np.isfinite(values).all(1)
    if not finite.all():
        row = int(np.argmin(finite))
        whose = f"row {row}" if doc is None else f"document {doc[row]}"
        raise InputError(f"{path}: the vector of {whose} is not finite; make it again")


def batches(path: Path, columns: Sequence[str]) -> Iterator[list[np.ndarray]]:
    """The columns as arrays, BATCH rows at a time. Raises InputError for a missing value."""
    with open_parquet(path, columns) as file:
        for batch in file.iter_batches(BATCH, columns=list(columns)):
            yield [_array(batch.column(name), name, path) for name in columns]


def _array(column: pa.Array, name: str, path: Path) -> np.ndarray:
    if column.null_count:
        raise InputError(f"{path}: column {name!r} has no value in {column.null_count} rows")
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"{path}: column {name!r} holds {column.type} where numbers are required")
    return column.to_numpy(zero_copy_only=False)


def doc_column(path: Path, column: str = "doc") -> np.ndarray:
    """Documents (or items, of another column) of a file in the order of its rows, int64 [rows]. Raises InputError as
    `batches` does."""
    return np.concatenate([np.zeros(0, dtype=np.int64), *(doc for (doc,) in batches(path, [column]))])


def listed_docs(paths: Iterable[Path]) -> np.ndarray:
    """Documents that files with a column `doc` list (held-out documents, draws): int64 [n], ascending, each once.

    Raises InputError as `batches` does.
    """
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *map(doc_column, paths)]))


def is_listed(values: np.ndarray, listed: np.ndarray) -> np.ndarray:
    """Which of `values` are in `listed` (ascending), bool [n]; faster than np.isin where `listed` is short."""
    if not len(listed):
        return np.zeros(len(values), dtype=bool)
    return listed[np.minimum(np.searchsorted(listed, values), len(listed) - 1)] == values


def open_vectors(embeddings: Path, documents: int, of: Path) -> np.ndarray:
    """Vectors of a shard, float16 [documents, d], memory-mapped. Raises InputError if they are not one for each of the
    `documents` of the file `of`."""
    vectors = open_array(embeddings, mmap=True)
    if len(vectors) != documents:
        raise InputError(f"{embeddings}: {len(vectors)} vectors for the {documents} documents of {of}")
    return vectors


def vectors_of(embeddings: Path, doc: np.ndarray, of: Path) -> np.ndarray:
    """Vectors of the documents `doc` int64 [n] of the file `of`, float16 [n, d], memory-mapped: of a shard, one for each
    document, or of one file of all documents that has the fields `doc` (ascending) and `vector` (winnow.cluster.reduce).

    Raises InputError as `open_vectors` does, and for a document that such a file lacks.
    """
    table = open_array(embeddings, mmap=True)
    if table.dtype.names is None:
        return open_vectors(embeddings, len(doc), of)
    row = np.searchsorted(table["doc"], doc)
    absent = row == len(table)
    absent[~absent] = table["doc"][row[~absent]] != doc[~absent]
    if absent.any():
        raise InputError(f"{embeddings}: no vector of document {doc[absent][0]} of {of}; make it again")
    whole = len(row) > 0 and bool((np.diff(row) == 1).all())
    return table["vector"][row[0] : row[-1] + 1] if whole else table["vector"][row]


def vectors_of_shards(embeddings: Sequence[Path], documents: Sequence[Path]) -> Iterator[np.ndarray]:
    """`vectors_of` of each shard of documents, one after the other: `embeddings` are as many shards, or one file of all documents.

    A shard is mapped when it is asked for: pages that were read count as memory of the process until it is let go.
    """
    if len(embeddings) == 1:
        embeddings = [embeddings[0]] * len(documents)
    if len(embeddings) != len(documents):
        raise InputError(
            f"--embeddings: {len(embeddings)} files for {len(documents)} shards; one for each, or one for all"
        )
    pairs = zip(embeddings, documents, strict=True)
    return (vectors_of(path, doc_column(shard), shard) for path, shard in pairs)


def doc_range(file: pq.ParquetFile) -> tuple[int, int]:
    """Smallest and largest `doc` of a file, from the statistics of its row groups; (0, -1) if it is empty."""
    at = file.schema_arrow.names.index("doc")
    low, high = [], []
    for group in range(file.metadata.num_row_groups):
        chunk = file.metadata.row_group(group)
        if not chunk.num_rows:
            continue
        column = next(c for c in map(chunk.column, range(chunk.num_columns)) if c.path_in_schema == "doc")
        if column.statistics is not None and column.statistics.has_min_max:
            low.append(column.statistics.min)
            high.append(column.statistics.max)
        else:
            values = file.read_row_group(group, columns=[file.schema_arrow.names[at]])["doc"].to_numpy()
            low.append(int(values.min()))
            high.append(int(values.max()))
    return (min(low), max(high)) if low else (0, -1)


def matches(path: Path, column: str, condition: Mapping[str, Any]) -> np.ndarray:
    """Whether each row of a file meets a condition in a column of strings or numbers: bool [rows]. A row without a value
    does not.

    `condition`: `values` (one of them), `min` and `max` (a number within), as far as they are set; without any, every value
    does. Raises InputError for values of another type than the column's.
    """
    with open_parquet(path, [column]) as file:
        rows = file.read(columns=[column])[column]
    if pa.types.is_dictionary(rows.type):
        rows = rows.cast(rows.type.value_type)
    passes = pc.is_valid(rows)
    if not len(rows):
        return np.zeros(0, dtype=bool)
    if (values := condition.get("values")) is not None:
        try:
            accepted = pa.array(list(values)).cast(rows.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            raise InputError(
                f"{path}: column {column!r} holds {rows.type}, which {list(values)} is not"
            ) from None
        passes = pc.and_(passes, pc.is_in(rows, accepted))
    for bound, test in (("min", pc.greater_equal), ("max", pc.less_equal)):
        if (limit := condition.get(bound)) is not None:
            if not (pa.types.is_integer(rows.type) or pa.types.is_floating(rows.type)):
                raise InputError(f"{path}: column {column!r} holds {rows.type}; {bound} requires numbers")
            numbers = rows.cast(pa.float64())
            passes = pc.and_(passes, pc.fill_null(test(numbers, float(limit)), False))
    return passes.to_numpy(zero_copy_only=False).astype(bool)


class Lookup:
    """A number for each document, looked up in shards with `doc` and a column, one shard in memory.

    Shards may be in any order, and cut otherwise than those of the documents. Raises InputError for files
    that cannot be read, and for a document that is in none of them.
    """

    def __init__(self, paths: Sequence[Path], column: str):
        self.paths, self.column = list(paths), column
        self.ranges = []
        for path in self.paths:
            with open_parquet(path, ["doc", column]) as file:
                self.ranges.append(doc_range(file))
        self._loaded: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def _shard(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        if i not in self._loaded:
            doc, values = self._read(self.paths[i])
            if not (doc[1:] > doc[:-1]).all():
                order = np.argsort(doc, kind="stable")
                doc, values = doc[order], values[order]
            self._loaded[i] = (doc, values)
        return self._loaded[i]

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        parts = list(batches(path, ["doc", self.column]))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def __call__(self, doc: np.ndarray) -> np.ndarray:
        """The column's values of documents, float64 [n] for `doc` int64 [n]."""
        result = np.zeros(len(doc))
        if not len(doc):
            return result
        has_value = np.zeros(len(doc), dtype=bool)
        low, high = int(doc.min()), int(doc.max())
        near = [i for i, (a, b) in enumerate(self.ranges) if a <= high and b >= low]
        for i in near:
            for stale in set(self._loaded) - {i}:
                del self._loaded[stale]
            known, values = self._shard(i)
            at = np.minimum(np.searchsorted(known, doc), len(known) - 1)
            hit = known[at] == doc
            result[hit] = values[at[hit]]
            has_value |= hit
        if not has_value.all():
            missing = doc[~has_value]
            raise InputError(f"column {self.column!r}: no value for document {missing[0]} and {len(missing) - 1} "
                             f"more like it in the {len(self.paths)} files from {self.paths[0]}")  # fmt: skip
        bad = ~np.isfinite(result)
        if bad.any():
            raise InputError(f"column {self.column!r}: the value of document {doc[bad][0]} is {result[bad][0]}; "
                             "a finite number is required")  # fmt: skip
        return result


class Where(Lookup):
    """Whether each document meets a condition in a column (1.0) or not (0.0); see `matches`."""

    def __init__(self, paths: Sequence[Path], column: str, condition: Mapping[str, Any]):
        super().__init__(paths, column)
        self.condition = condition

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        return doc_column(path), matches(path, self.column, self.condition).astype(np.float64)


class Measure(Lookup):
    """A measure of the profile, which not all documents have; only those that have it may be looked up."""

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        with open_parquet(path, ["doc", self.column]) as file:
            values = file.read(columns=[self.column])[self.column]
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)) and len(values):
            raise InputError(f"{path}: column {self.column!r} holds {values.type} where numbers are required")
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return doc_column(path), numbers
