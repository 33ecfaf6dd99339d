"""Delimited text: csv and tsv files with a header.

Their columns are text, but for whole-number labels and for what the configuration declares. Rows count from 1.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from winnow.documents import streams
from winnow.documents.columns import Column, to_array, whole
from winnow.documents.streams import BROKEN, broken_file, open_bytes, without_mark
from winnow.formats import file_format
from winnow.stage import InputError


def csv_records(path: str) -> Iterator[list[str]]:
    """Header and records of a csv or tsv file; blank lines are skipped, as in pandas. Bytes that are not UTF-8 become
    surrogates. Raises InputError for a header that is not UTF-8 or names a column twice, and for broken quoting."""
    csv.field_size_limit(1 << 31)
    kind, compression = file_format(path)
    row = 0
    try:
        with open_bytes(path, compression) as stream:
            buffered = io.BufferedReader(_Marked(path, stream), 1 << 20)
            text = io.TextIOWrapper(buffered, encoding="utf-8", errors="surrogateescape", newline="")
            for record in csv.reader(text, strict=True, delimiter="\t" if kind == "tsv" else ","):
                if not record:
                    continue
                if row == 0:
                    _check_header(path, record)
                yield record
                row += 1
    except csv.Error as error:
        where = f"row {row}" if row else "header"
        raise InputError(
            f"{path}: {where}: not {kind} ({error}); quote fields that hold quotes or line ends"
        ) from None
    except BROKEN as error:
        raise broken_file(path, compression, max(0, row - 1), error) from None


class _Marked(io.RawIOBase):
    """The bytes of a stream without its byte order mark."""

    def __init__(self, path: str, stream: Any) -> None:
        self.path, self.stream, self.first = path, stream, True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        if self.first:
            data, self.first = without_mark(self.path, data), False
        buffer[: len(data)] = data
        return len(data)


def _check_header(path: str, header: list[str]) -> None:
    if len(set(header)) < len(header):
        raise InputError(f"{path}: the header names a column twice: {', '.join(header)}")
    try:
        "".join(header).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{path}: the header is not valid UTF-8; store the file as UTF-8") from None


def read_delimited(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path = file["path"]
    records = csv_records(path)
    header = next(records, [])
    places = [header.index(c.path[0]) if c.path[0] in header and len(c.path) == 1 else None for c in columns]
    rows: list[list[str | None]] = []
    size, row = 0, start
    for at, record in enumerate(records):
        if at >= stop:
            break
        if at < start:
            continue
        if len(record) != len(header):
            raise InputError(
                f"{path}: row {at + 1}: {len(record)} fields, the header has {len(header)}; "
                "quote fields that hold separators or line ends"
            )
        rows.append([None if place is None else record[place] for place in places])
        size += sum(len(cell or "") for cell in rows[-1])
        if size >= streams.CHUNK:
            yield row, len(rows), lambda rows=rows, row=row: _csv_arrays(path, columns, rows, row)
            rows, size, row = [], 0, at + 1
    if rows:
        yield row, len(rows), lambda: _csv_arrays(path, columns, rows, row)


def _csv_arrays(
    path: str, columns: tuple[Column, ...], rows: list[list[str | None]], first: int
) -> list[pa.Array]:
    """Columns of records in their types; the first one is the text."""
    arrays = []
    without_text = [not (row[0] or "").replace("\x00", "").strip() for row in rows]
    for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
        values: list[Any] = list(cells)
        for row, value in enumerate(values, first + 1):
            if value and not value.isascii() and re.search("[\udc80-\udcff]", value):
                raise InputError(
                    f"{path}: row {row}: column {column.name!r} is not valid UTF-8; store it as UTF-8"
                )
        if pa.types.is_integer(column.type) and not column.declared:
            values = [
                None if blank_text else _label(path, column, value, row)
                for row, (value, blank_text) in enumerate(zip(values, without_text, strict=True), first + 1)
            ]
        arrays.append(to_array(path, column, values, first))
    return arrays


def _label(path: str, column: Column, value: str, row: int) -> int | None:
    try:
        return whole(value) if value else None
    except ValueError:
        raise InputError(
            f"{path}: row {row}: label {column.name!r} is {value!r}, not a whole number as the others are"
        ) from None
