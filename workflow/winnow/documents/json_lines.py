"""JSON lines: one object per line, read by pyarrow where it is exact, by the standard parser otherwise.

Rows count from 1 in messages. Fields of objects are named by their path, ("a", "b") for field b of column a.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson

from winnow.documents.arrow_files import select_column
from winnow.documents.columns import TOO_DEEP, Column, Deep, Repeated, number, to_array
from winnow.documents.streams import row_pieces
from winnow.stage import InputError

EXACT = float(1 << 53)
DEPTH = 64
DEEP = '{"\\u0000winnow: nested too deeply": null}'
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def json_rows(path: str, chunk: bytes, first: int) -> Iterator[dict[str, Any]]:
    """Rows of a chunk by the standard parser, which names the row of an error. A blank line is `{}`.

    Bytes that are not UTF-8 become surrogates, an error only in the columns that are read; so is a value that is nested
    too deeply (Deep). Raises InputError for a line that is not an object.
    """
    for row, line in enumerate(chunk.removesuffix(b"\n").split(b"\n"), start=first + 1):
        if not line.strip():
            yield {}
            continue
        text = line.decode("utf-8", "surrogateescape")
        try:
            try:
                value = _parse(text)
            except RecursionError:
                value = _parse(_without_deep(text))
        except ValueError as error:
            reason = getattr(error, "msg", "a number of too many digits")
            raise InputError(
                f"{path}: row {row}: not JSON ({reason}); one object per line is needed"
            ) from None
        if not isinstance(value, dict):
            raise InputError(f"{path}: row {row}: a JSON {_json_name(value)}; one object per line is needed")
        yield value


def _parse(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object, parse_float=number, parse_int=_digits)


def _without_deep(text: str) -> str:
    """JSON with DEEP in the place of each list or object at the depth DEPTH."""
    parts, depth, start = [], 0, 0
    for token in TOKEN.finditer(text):
        if token.group() in "[{":
            depth += 1
            if depth == DEPTH:
                parts.append(text[start : token.start()])
        elif token.group() in "]}":
            if depth == DEPTH:
                parts.append(DEEP)
                start = token.end()
            depth -= 1
    return "".join((*parts, text[start:] if depth < DEPTH else ""))


def _digits(text: str) -> int | float:
    return int(text) if len(text) < 400 else number(text + ".0")


DEEP_PAIRS = list(json.loads(DEEP).items())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if pairs == DEEP_PAIRS:
        return Deep()
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    repeated = Repeated(pairs)
    keys = [key for key, _ in pairs]
    repeated.names = frozenset(key for key in keys if keys.count(key) > 1)
    return repeated


def _json_name(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def json_value(path: str, row: dict[str, Any], number: int, fields: tuple[str, ...]) -> Any:
    """The value of a path of fields in row `number` of the file `path`, None where a field is missing.

    Raises InputError if a value on the path is not an object, has a key twice, or is nested too deeply.
    """
    value: Any = row
    for depth, name in enumerate(fields):
        if value is None:
            return None
        if isinstance(value, Deep) or not isinstance(value, dict):
            above, shown = ".".join(fields[:depth]), ".".join(fields)
            what = TOO_DEEP.split(";")[0] if isinstance(value, Deep) else "is not an object"
            raise InputError(
                f"{path}: row {number}: column {above!r} {what}, so it has no {shown!r}; "
                "make it an object in every row, or remove the column from the config"
            )
        if isinstance(value, Repeated) and name in value.names:
            raise InputError(f"{path}: row {number}: duplicate key {name!r}; keep one of them")
        value = value.get(name)
    return value


def one_object_a_line(chunk: bytes) -> int | None:
    """The number of lines of a chunk if each begins with { and ends with }; else None: there are blank lines, or objects
    of several lines. As many rows as lines are then one object per line."""
    data = np.frombuffer(chunk, dtype=np.uint8)
    ends = np.flatnonzero(data == 10)
    if not chunk.endswith(b"\n"):
        ends = np.append(ends, len(data))
    begins = np.concatenate(([0], ends[:-1] + 1))
    if (ends <= begins).any() or (data[begins] != ord("{")).any():
        return None
    last = ends - 1 - (data[ends - 1] == 13)
    return None if (data[last] != ord("}")).any() else len(ends)


def read_json(chunk: bytes, columns: tuple[Column, ...], unexpected: str = "ignore") -> list[pa.Array] | None:
    """Columns of a chunk of lines by pyarrow, or None where they are not what it expects: the standard parser then names
    the error. `unexpected`: `infer` lets structs have more fields than their types."""
    tree: dict[str, Any] = {}
    for column in columns:
        place = tree
        for name in column.path[:-1]:
            below = place.setdefault(name, {})
            if not isinstance(below, dict):  # a whole object and a field of it are both read
                return None
            place = below
        if place.setdefault(column.path[-1], column.type) is not column.type:
            return None

    def nest(value: Any) -> pa.DataType:
        if isinstance(value, dict):
            return pa.struct([(name, nest(below)) for name, below in value.items()])
        return value

    lines = one_object_a_line(chunk)
    if lines is None:
        return None
    try:
        table = pajson.read_json(
            pa.BufferReader(chunk),
            read_options=pajson.ReadOptions(use_threads=False, block_size=len(chunk) + 1),
            parse_options=pajson.ParseOptions(
                explicit_schema=pa.schema([(name, nest(value)) for name, value in tree.items()]),
                unexpected_field_behavior=unexpected,
            ),
        )
        if table.num_rows != lines:
            return None
        arrays = [select_column(table, column) for column in columns]
        for array in arrays:
            array.validate(full=True)
    except pa.ArrowException:
        return None
    return arrays


def _parse_json(path: str, columns: tuple[Column, ...], chunk: bytes, first: int) -> list[pa.Array]:
    """Columns of a chunk of lines in their types. Raises InputError as the module says."""
    arrays = read_json(chunk, columns)
    if arrays is not None and not any(map(_inexact, arrays)):
        return arrays
    rows = list(json_rows(path, chunk, first))
    arrays = []
    for column in columns:
        values = [json_value(path, row, n, column.path) for n, row in enumerate(rows, first + 1)]
        if any(isinstance(value, str) and not value.isascii() for value in values):
            _check_bytes(path, column, chunk, values, first)
        arrays.append(to_array(path, column, values, first))
    return arrays


def _inexact(array: pa.Array) -> bool:
    """Whether doubles may come from whole numbers that no double holds."""
    if pa.types.is_list(array.type):
        return _inexact(array.flatten())
    if pa.types.is_struct(array.type):
        return any(map(_inexact, array.flatten()))
    if not pa.types.is_floating(array.type):
        return False
    return bool(pc.any(pc.greater_equal(pc.abs(array), EXACT)).as_py())


def _check_bytes(path: str, column: Column, chunk: bytes, values: list[Any], first: int) -> None:
    """Raises InputError for the first row with a surrogate in `values` whose line is not UTF-8."""
    lines = chunk.split(b"\n")
    for row, value in enumerate(values):
        if isinstance(value, str) and re.search("[\udc80-\udcff]", value):
            try:
                lines[row].decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}: row {first + row + 1}: invalid UTF-8 at byte {error.start + 1} of the line "
                    f"(column {column.name!r}); store it as UTF-8"
                ) from None


def read_jsonl(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path = file["path"]
    for row, rows, piece in row_pieces(path, start, stop):
        yield row, rows, lambda piece=piece, row=row: _parse_json(path, columns, piece, row)
