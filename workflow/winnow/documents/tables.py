"""A whole source file as a table: all its rows and columns (data of benchmarks)."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from winnow.documents.arrow_files import arrow_batches, open_parquet
from winnow.documents.columns import Column, Mixed, infer, plain, shown, to_array, widen
from winnow.documents.delimited import csv_records
from winnow.documents.json_lines import json_rows, json_value
from winnow.documents.readers import READERS
from winnow.documents.streams import chunks
from winnow.formats import file_format
from winnow.stage import InputError


def read_table(path: str) -> pa.Table:
    """All rows and columns of one source file (benchmark data).

    Raises InputError for a file that cannot be read, a value that has no type in common with those before it, and a
    row of a jsonl file that lacks a key which others have.
    """
    kind, compression = file_format(path)
    if kind == "jsonl":
        return _json_table(path, compression)
    if kind in ("parquet", "arrow"):
        schema = open_parquet(path).schema_arrow if kind == "parquet" else arrow_batches(path)[0]
        if len(set(schema.names)) < len(schema.names):
            raise InputError(f"{path}: the file names a column twice: {', '.join(schema.names)}")
        columns = tuple(Column(f.name, (f.name,), plain(f.type)) for f in schema)
    else:
        header = next(csv_records(path), []) if kind in ("csv", "tsv") else ["text"]
        columns = tuple(Column(name, (name,), pa.string()) for name in header)
    parts: list[list[pa.Array]] = [
        work() for _, _, work in READERS[kind]({"path": path}, columns, 0, 1 << 62)
    ]
    if not parts:
        raise InputError(f"{path}: no rows in this file")
    return pa.table(
        {
            column.name: pa.chunked_array(arrays)
            for column, arrays in zip(columns, zip(*parts, strict=True), strict=True)
        }
    )


def _json_table(path: str, compression: str | None) -> pa.Table:
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    line = 0
    for chunk, _ in chunks(path, compression):
        for row in json_rows(path, chunk, line):
            line += 1
            if row:
                rows.append(row)
                numbers.append(line)
    if not rows:
        raise InputError(f"{path}: no rows in this file")
    every = list(dict.fromkeys(name for row in rows for name in row))
    for row, number in zip(rows, numbers, strict=True):
        lacking = [name for name in every if name not in row]
        if lacking:
            having = next(n for other, n in zip(rows, numbers, strict=True) if lacking[0] in other)
            raise InputError(
                f"{path}: row {number}: no {lacking[0]!r}, which row {having} has; write it in every row"
            )
    table = {}
    for name in every:
        kind: pa.DataType = pa.null()
        for row, number in zip(rows, numbers, strict=True):
            value = json_value(path, row, number, (name,))
            try:
                both = widen(kind, infer(value))
            except Mixed as error:
                raise InputError(f"{path}: row {number}: column {name!r} {error}") from None
            if both is None:
                raise InputError(
                    f"{path}: row {number}: column {name!r} is {shown(infer(value))}, but {shown(kind)} in the rows "
                    "before it; make it one type"
                )
            kind = both
        table[name] = to_array(path, Column(name, (name,), kind), [row[name] for row in rows], 0)
    return pa.table(table)
