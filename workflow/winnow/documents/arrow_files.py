"""Parquet files, and Arrow files and streams (what `datasets` keeps), a few hundred rows at a time.

A value that its column's type does not hold exactly is an InputError that names the row, from 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.documents.columns import Column, plain, to_array
from winnow.documents.streams import BROKEN, Work
from winnow.stage import InputError


def select_column(table: pa.Table, column: Column) -> pa.Array:
    """A column of a table by its path; null in every row if the table lacks it."""
    fields = pa.struct(list(table.schema))
    for name in column.path:
        if not pa.types.is_struct(fields) or fields.get_field_index(name) < 0:
            return pa.nulls(len(table), column.type)
        fields = fields.field(name).type
    array = table.column(column.path[0]).combine_chunks()
    for name in column.path[1:]:
        array = pc.struct_field(array, name)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def open_parquet(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except BROKEN as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a whole parquet file ({reason}); get the file again") from None


def read_parquet(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path, first = file["path"], 0
    source = open_parquet(path)
    for group in range(source.num_row_groups):
        rows = source.metadata.row_group(group).num_rows
        if first < stop and first + rows > start:
            row = first
            try:
                names = [".".join(column.path) for column in columns]
                for batch in source.iter_batches(512, row_groups=[group], columns=names, use_threads=False):
                    low, high = max(start - row, 0), min(stop - row, len(batch))
                    if low < high:
                        table = pa.Table.from_batches([batch.slice(low, high - low)])
                        yield row + low, high - low, _check_arrays(path, table, columns, row + low)
                    row += len(batch)
            except BROKEN as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"{path}: broken after row {row}: {reason}; get the file again") from None
        first += rows


END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def arrow_batches(path: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Schema and batches of an Arrow file or stream (what `datasets` keeps), memory-mapped."""
    try:
        source = pa.memory_map(path)
        try:
            reader: Any = pa.ipc.open_file(source)
            return reader.schema, (reader.get_batch(i) for i in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            source.seek(0)
            reader = pa.ipc.open_stream(source)
            with open(path, "rb") as file:
                file.seek(-8, os.SEEK_END)
                whole = file.read() == END_OF_STREAM
            if not whole:
                raise InputError(
                    f"{path}: cut short, without its end-of-stream marker; get the file again"
                ) from None
            return reader.schema, iter(reader)
    except BROKEN as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not an Arrow file or stream ({reason}); get the file again") from None


def read_arrow(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path, row = file["path"], 0
    try:
        for batch in arrow_batches(path)[1]:
            low, high = max(start - row, 0), min(stop - row, len(batch))
            for at in range(low, high, 512):
                table = pa.Table.from_batches([batch.slice(at, min(512, high - at))])
                yield row + at, len(table), _check_arrays(path, table, columns, row + at)
            row += len(batch)
            if row >= stop:
                return
    except BROKEN as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: broken after row {row}: {reason}; get the file again") from None


UNREADABLE = (pa.ArrowException, ValueError, OverflowError, KeyError)
"""Raised for a value that Arrow or Python cannot hold: invalid UTF-8, a date out of range, an unknown time zone."""


def _check_arrays(path: str, table: pa.Table, columns: tuple[Column, ...], first: int) -> Work:
    """The columns of a table in their types. Raises InputError for a cast that would change a value, naming its row."""

    def work() -> list[pa.Array]:
        arrays = []
        for column in columns:
            array = select_column(table, column)
            array = array if array.type == plain(array.type) else array.cast(plain(array.type))
            try:
                array.validate(full=True)
                if column.declared and array.type != column.type:
                    arrays.append(to_array(path, column, array.to_pylist(), first))
                else:
                    arrays.append(array if array.type == column.type else array.cast(column.type, safe=True))
            except UNREADABLE:
                for row in range(len(array)):
                    _check_cell(path, column, array.slice(row, 1), first + row + 1)
                raise
        return arrays

    return work


def _check_cell(path: str, column: Column, cell: pa.Array, row: int) -> None:
    try:
        cell.validate(full=True)
        cell[0].as_py()
    except (OverflowError, KeyError) as error:
        raise InputError(f"{path}: row {row}: column {column.name!r} cannot be read: {error}") from None
    except (pa.ArrowException, ValueError):
        raise InputError(
            f"{path}: row {row}: column {column.name!r} is not valid UTF-8; store it as UTF-8"
        ) from None
    try:
        cell.cast(column.type, safe=True)
    except UNREADABLE:
        raise InputError(
            f"{path}: row {row}: column {column.name!r} is {str(cell[0])[:40]}, which {column.type} does not "
            "hold exactly; make it one type"
        ) from None
