"""A survey of one source file: its rows, and the type that each column needs.

Types are found from every row, not from a sample, so they depend neither on the order of rows nor on the size of a
file. What is already known is not read: a declared column, the schema of a parquet or arrow file, the text of csv and
txt files, and a jsonl column of texts or truth values, in which any other value is an error when the documents are
written.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from winnow.documents.arrow_files import arrow_batches, open_parquet
from winnow.documents.columns import (
    DECLARED,
    TOO_DEEP,
    Column,
    Deep,
    Mixed,
    advice,
    find_column,
    infer,
    known,
    names,
    plain,
    shown,
    widen,
)
from winnow.documents.delimited import csv_records
from winnow.documents.json_lines import json_rows, json_value, read_json
from winnow.documents.plain_text import TXT_COLUMNS
from winnow.documents.readers import count_rows
from winnow.documents.streams import chunks, count_lines
from winnow.documents.threads import ahead
from winnow.stage import InputError

FIRST_ROWS = 50


@dataclass
class Seen:
    """What is known of a column: its path, its type, and the row (from 1) of its first value, 0 if there is none."""

    path: tuple[str, ...]
    type: pa.DataType
    row: int = 0


@dataclass
class Survey:
    """What a file holds: its rows, what is known of each column of the corpus that it has, all its columns (for messages),
    and the names of the classes of a label where the file has them."""

    path: str
    rows: int
    seen: dict[str, Seen]
    columns: str
    class_names: tuple[str, ...] | None = None


def _merge(path: str, name: str, label: bool, old: Seen | None, new: Seen) -> Seen:
    """What two parts of a file show of a column, the earlier one first. Raises InputError if they have no type in common."""
    if old is None:
        return new
    if old.path != new.path and old.row and new.row:
        raise InputError(
            f"{path}: row {new.row}: {name!r} is {'.'.join(new.path)} here and a field of an object in row {old.row}; "
            "write it in one form"
        )
    both = widen(old.type, new.type)
    if both is None:
        raise InputError(
            f"{path}: row {new.row}: column {name!r} is {shown(new.type)}, but {shown(old.type)} in row {old.row}; "
            + advice(name, label)
        )
    return Seen(old.path if old.row else new.path, both, old.row or new.row)


def find_fields(row: dict[str, Any], name: str) -> tuple[str, ...] | None:
    """The path of a column in a row of JSON: its literal name, or fields of objects; None if the row has neither."""
    if name in row:
        return (name,)
    for dot in (match.start() for match in re.finditer(r"\.", name)):
        inner = row.get(name[:dot])
        if isinstance(inner, dict):
            below = find_fields(inner, name[dot + 1 :])
            if below:
                return (name[:dot], *below)
    return None


def _survey_rows(
    path: str, rows: list[dict[str, Any]], first: int, undeclared: list[str], label: str | None
) -> dict[str, Seen]:
    """What rows of JSON show of columns, value by value. Raises InputError at the first row that does not fit."""
    seen: dict[str, Seen] = {}
    for name in undeclared:
        for number, row in enumerate(rows, first + 1):
            earlier = seen.get(name)
            fields = find_fields(row, name) or (earlier.path if earlier else None)
            if fields is None:
                continue
            value = json_value(path, row, number, fields)
            try:
                kind = infer(value)
            except (Mixed, RecursionError) as error:
                reason = error if isinstance(error, Mixed) else TOO_DEEP
                raise InputError(f"{path}: row {number}: column {name!r} {reason}") from None
            if earlier is None or kind != earlier.type or not earlier.row:
                new = Seen(fields, kind, 0 if value is None else number)
                seen[name] = _merge(path, name, name == label, earlier, new)
    return seen


def _has_struct(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _has_struct(kind.value_type)
    return pa.types.is_struct(kind)


def _survey_chunk(
    path: str, chunk: bytes, first: int, undeclared: list[str], label: str | None, hints: dict[str, Seen]
) -> dict[str, Seen]:
    """What a chunk shows of columns: by pyarrow, if all have the types of the `hints` from earlier chunks; by the
    standard parser otherwise. The hints change no result."""
    if all(name in hints for name in undeclared):
        columns = tuple(Column(name, hints[name].path, known(hints[name].type)) for name in undeclared)
        unexpected = "infer" if any(_has_struct(column.type) for column in columns) else "ignore"
        arrays = read_json(chunk, columns, unexpected)
        exact = arrays is not None and all(
            column.type == array.type for column, array in zip(columns, arrays, strict=True)
        )
        if arrays is not None and exact:
            seen = {}
            for column, array in zip(columns, arrays, strict=True):
                valid = array.is_valid()
                some = array.null_count < len(array)
                kind = _shrink(array) if some else pa.null()
                row = first + 1 + pc.index(valid, True).as_py() if some else 0
                seen[column.name] = Seen(column.path, kind, row)
            return seen
    return _survey_rows(path, list(json_rows(path, chunk, first)), first, undeclared, label)


def _shrink(array: pa.Array) -> pa.DataType:
    """The type of an array, with null in the place of what has no value in any row."""
    kind = array.type
    if pa.types.is_list(kind):
        return pa.list_(_shrink(array.flatten()))
    if pa.types.is_struct(kind):
        inner = [_shrink(part) for part in array.flatten()]
        fields = sorted((f.name, t) for f, t in zip(kind, inner, strict=True))
        return pa.struct(fields)
    if array.null_count == len(array):
        return pa.null()
    return kind


def _survey_json(path: str, compression: str | None, corpus: dict[str, Any]) -> Survey:
    """Survey of a jsonl file: of its first rows, and of every row if the type of an undeclared column can widen."""
    declared, label = corpus.get("types") or {}, corpus.get("label")
    undeclared = [name for name in wanted_columns(corpus) if name not in declared]
    seen: dict[str, Seen] = {}
    rows, columns, whole_file = 0, "", True
    final = (pa.string(), pa.bool_())  # types that nothing else widens
    with ThreadPoolExecutor(1) as reader:
        for chunk, lines in ahead(chunks(path, compression), reader):
            if not rows:
                start = list(json_rows(path, b"\n".join(chunk.split(b"\n", FIRST_ROWS)[:FIRST_ROWS]), 0))
                columns = ", ".join(_row_names(start))
                seen = _survey_rows(path, start, 0, undeclared, label)
                whole_file = any(name not in seen or seen[name].type not in final for name in undeclared)
                paths = {name: _fields_in(start, name) for name in declared}
                if not whole_file and all(paths.values()):
                    seen |= {
                        n: Seen(fields, DECLARED[declared[n]], 1) for n, fields in paths.items() if fields
                    }
                    return Survey(path, count_lines(path, compression), seen, columns)
            if whole_file:
                for name, new in _survey_chunk(path, chunk, rows, undeclared, label, seen).items():
                    seen[name] = _merge(path, name, name == label, seen.get(name), new)
            if missing := [name for name in declared if name not in seen]:
                for number, row in enumerate(json_rows(path, chunk, rows), rows + 1):
                    for name in missing:
                        if name not in seen and (fields := find_fields(row, name)):
                            seen[name] = Seen(fields, DECLARED[declared[name]], number)
            rows += lines
    return Survey(path, rows, seen, columns)


def _fields_in(rows: list[dict[str, Any]], name: str) -> tuple[str, ...] | None:
    return next((fields for row in rows if (fields := find_fields(row, name))), None)


def wanted_columns(corpus: dict[str, Any]) -> list[str]:
    """Names of the source columns that a corpus reads."""
    label = corpus.get("label")
    return [corpus["text"], *([label] if label else []), *(corpus.get("meta") or [])]


def _row_names(rows: list[dict[str, Any]]) -> list[str]:
    names: dict[str, None] = {}
    for row in rows:
        for name, value in row.items():
            below = (
                [f"{name}.{inner}" for inner in value]
                if isinstance(value, dict) and not isinstance(value, Deep)
                else []
            )
            names.update(dict.fromkeys(below or [name]))
    return list(names)


def survey(path: str, kind: str, compression: str | None, corpus: dict[str, Any]) -> Survey:
    """What a file holds of the columns of a corpus.

    Parameters: `path`, `kind` and `compression` as `winnow.formats.file_format` returns them; `corpus`, its config (text,
    label, meta, types). Raises InputError for a file that cannot be read or has rows but no text or label column, and for
    values of a column that have no type in common.
    """
    every, label = wanted_columns(corpus), corpus.get("label")
    if kind == "jsonl":
        return _survey_json(path, compression, corpus)
    if kind in ("csv", "tsv"):
        schema = pa.schema([(name, pa.string()) for name in next(csv_records(path), [])])
    elif kind in ("txt", "lines"):
        schema = pa.schema([(name, pa.string()) for name in TXT_COLUMNS])
    elif kind == "arrow":
        schema = arrow_batches(path)[0]
    else:
        schema = open_parquet(path).schema_arrow
    flat = pa.schema([(field.name, plain(field.type)) for field in schema])
    repeated = {name for name in flat.names if flat.names.count(name) > 1} & {n.split(".")[0] for n in every}
    if repeated:
        raise InputError(f"{path}: the file names column {min(repeated)!r} twice; rename one of them")
    rows = count_rows(path, kind)
    seen = {}
    for name in every:
        column = find_column(flat, name)
        if column is None and name in (corpus["text"], label) and (rows or kind not in ("csv", "tsv")):
            raise InputError(f"{path}: no column {name!r}; {columns_there(names(flat), name)}")
        if column is not None:
            seen[name] = Seen(*column, 1)
    known_names = _class_names(schema, label) if label in seen and seen[label].path == (label,) else None
    return Survey(path, rows, seen, names(flat), known_names)


def columns_there(there: str, name: str) -> str:
    near = [column for column in there.split(", ") if column.strip() == name]
    return f"columns: {there}" + (f" (did you mean {near[0]!r}, with its blanks?)" if near else "")


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Names of the classes of a column that `datasets` wrote as a ClassLabel; None of another column."""
    try:
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        feature = info["info"]["features"][label]
        return tuple(map(str, feature["names"])) if feature["_type"] == "ClassLabel" else None
    except (KeyError, TypeError, ValueError):
        return None
