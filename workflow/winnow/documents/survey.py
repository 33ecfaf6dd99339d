"""A survey of source files: rows, the one type that each column needs, and the classes of a label.

Types are settled on every row, not on a sample, so they depend neither on the order of rows nor on the size of a
file. What is already known is not read: a declared column, the schema of a parquet or arrow file, the text of csv and
txt files, and a jsonl column of texts or truth values, in which any other value is an error when the documents are
written.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from winnow.documents.columns import (
    ADVICE,
    DECLARED,
    RESERVED,
    Column,
    Labels,
    Layout,
    Mixed,
    find,
    infer,
    known,
    names,
    plain,
    shown,
    storable,
    to_array,
    whole,
    widen,
)
from winnow.documents.readers import (
    READERS,
    TXT_COLUMNS,
    arrow_batches,
    blank,
    chunks,
    count_lines,
    count_rows,
    csv_records,
    json_rows,
    json_value,
    open_parquet,
    read_json,
)
from winnow.formats import file_format
from winnow.stage import InputError

MAX_LABELS = 1_000
FIRST_ROWS = 50

_END = object()


def ahead(items: Iterator, pool: ThreadPoolExecutor) -> Iterator:
    """The same items, one made ahead by a thread of its own."""
    future = pool.submit(next, items, _END)
    while (item := future.result()) is not _END:
        future = pool.submit(next, items, _END)
        yield item


def in_order(function: Callable, items: Iterable, pool: ThreadPoolExecutor, depth: int) -> Iterator:
    """`function` of each item, by several threads, in order; at most `depth` items in flight."""
    flying: deque[Future] = deque()
    for item in items:
        flying.append(pool.submit(function, item))
        if len(flying) >= depth:
            yield flying.popleft().result()
    while flying:
        yield flying.popleft().result()


@dataclass
class Seen:
    """What was seen of a column: the way to it, its type, and the row (from 1) of its first value, 0 if there is none."""

    way: tuple[str, ...]
    type: pa.DataType
    row: int = 0


@dataclass
class Survey:
    """What a file holds: its rows, what was seen of each wanted column that it has, all its columns (for messages),
    names that the file itself gives the classes of a label."""

    path: str
    rows: int
    seen: dict[str, Seen]
    columns: str
    class_names: tuple[str, ...] | None = None


# ---------------------------------------------------------------- jsonl


def _conflict(path: str, name: str, old: Seen, kind: pa.DataType, row: int) -> InputError:
    return InputError(
        f"{path}: row {row}: column {name!r} is {shown(kind)}, but {shown(old.type)} in row {old.row}; "
        + ADVICE.format(name)
    )


def _merge(path: str, name: str, old: Seen | None, new: Seen) -> Seen:
    """What two parts of a file show of a column, the earlier one first. Raises InputError if they have no type in common."""
    if old is None:
        return new
    if old.way != new.way and old.row and new.row:
        raise InputError(
            f"{path}: row {new.row}: {name!r} is {'.'.join(new.way)} here and a field of an object in row {old.row}; "
            "name it one way"
        )
    both = widen(old.type, new.type)
    if both is None:
        raise _conflict(path, name, old, new.type, new.row)
    return Seen(old.way if old.row else new.way, both, old.row or new.row)


def find_way(row: dict[str, Any], name: str) -> tuple[str, ...] | None:
    """The way to a column in a row: its literal name, or fields of objects."""
    if name in row:
        return (name,)
    for dot in (match.start() for match in re.finditer(r"\.", name)):
        inner = row.get(name[:dot])
        if isinstance(inner, dict):
            below = find_way(inner, name[dot + 1 :])
            if below:
                return (name[:dot], *below)
    return None


def _look(path: str, rows: list[dict[str, Any]], first: int, wanted: list[str]) -> dict[str, Seen]:
    """What rows of JSON show of columns, by the values themselves. Raises InputError at the first row that does not fit."""
    found: dict[str, Seen] = {}
    for name in wanted:
        for number, row in enumerate(rows, first + 1):
            seen = found.get(name)
            way = find_way(row, name) or (seen.way if seen else None)
            if way is None:
                continue
            value = json_value(path, row, number, way)
            try:
                kind = infer(value)
            except Mixed as error:
                raise InputError(f"{path}: row {number}: column {name!r} {error}") from None
            if seen is None or kind != seen.type or not seen.row:
                found[name] = _merge(path, name, seen, Seen(way, kind, 0 if value is None else number))
    return found


def _has_struct(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _has_struct(kind.value_type)
    return pa.types.is_struct(kind)


def _observe(
    path: str, chunk: bytes, first: int, wanted: list[str], hints: dict[str, Seen]
) -> dict[str, Seen]:
    """What a chunk shows of the wanted columns: by pyarrow, if all are as the `hints` from earlier chunks say; by the
    standard parser otherwise. The hints change no result."""
    if all(name in hints for name in wanted):
        columns = tuple(Column(name, hints[name].way, known(hints[name].type)) for name in wanted)
        unexpected = "infer" if any(_has_struct(column.type) for column in columns) else "ignore"
        arrays = read_json(chunk, columns, unexpected)
        exact = arrays is not None and all(
            column.type == array.type for column, array in zip(columns, arrays, strict=True)
        )
        if arrays is not None and exact:
            found = {}
            for column, array in zip(columns, arrays, strict=True):
                valid = array.is_valid()
                some = array.null_count < len(array)
                kind = _shrink(array) if some else pa.null()
                row = first + 1 + pc.index(valid, True).as_py() if some else 0
                found[column.name] = Seen(column.path, kind, row)
            return found
    return _look(path, list(json_rows(path, chunk, first)), first, wanted)


def _shrink(array: pa.Array) -> pa.DataType:
    """The type of an array with null where nothing inside has a value."""
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


def _jsonl(path: str, compression: str | None, corpus: dict[str, Any]) -> Survey:
    """Survey of a jsonl file: of its first rows, and of every row if a wanted column can widen."""
    declared = corpus.get("types") or {}
    every = wanted_columns(corpus)
    wanted = [name for name in every if name not in declared]
    seen: dict[str, Seen] = {}
    rows, columns, whole_file = 0, "", True
    settled = (pa.string(), pa.bool_())
    with ThreadPoolExecutor(1) as reader:
        for chunk, lines in ahead(chunks(path, compression), reader):
            if not rows:
                some = list(json_rows(path, b"\n".join(chunk.split(b"\n", FIRST_ROWS)[:FIRST_ROWS]), 0))
                columns = ", ".join(_row_names(some))
                seen = _look(path, some, 0, wanted)
                whole_file = any(name not in seen or seen[name].type not in settled for name in wanted)
                found = {name: _way_in(some, name) for name in declared}
                if not whole_file and all(found.values()):
                    seen |= {n: Seen(way, DECLARED[declared[n]], 1) for n, way in found.items() if way}
                    return Survey(path, count_lines(path, compression), seen, columns)
            if whole_file:
                for name, new in _observe(path, chunk, rows, wanted, seen).items():
                    seen[name] = _merge(path, name, seen.get(name), new)
            if lost := [name for name in declared if name not in seen]:
                for number, row in enumerate(json_rows(path, chunk, rows), rows + 1):
                    for name in lost:
                        if name not in seen and (way := find_way(row, name)):
                            seen[name] = Seen(way, DECLARED[declared[name]], number)
            rows += lines
    return Survey(path, rows, seen, columns)


def _way_in(rows: list[dict[str, Any]], name: str) -> tuple[str, ...] | None:
    return next((way for row in rows if (way := find_way(row, name))), None)


def wanted_columns(corpus: dict[str, Any]) -> list[str]:
    """Names of the source columns that a corpus reads."""
    label = corpus.get("label")
    return [corpus["text"], *([label] if label else []), *(corpus.get("meta") or [])]


def _row_names(rows: list[dict[str, Any]]) -> list[str]:
    found: dict[str, None] = {}
    for row in rows:
        for name, value in row.items():
            below = [f"{name}.{inner}" for inner in value] if isinstance(value, dict) else []
            found.update(dict.fromkeys(below or [name]))
    return list(found)


# ---------------------------------------------------------------- any file


def survey(
    path: str, kind: str, compression: str | None, corpus: dict[str, Any], limit: int | None = None
) -> Survey:
    """What a file holds of the columns of a corpus.

    Parameters: `path`, `kind` and `compression` as `readers.file_format` gives them; `corpus`, its config (text,
    label, meta, types); `limit`, rows to look at for a first look (rows are then not counted), None for all.
    Raises InputError for a file that cannot be read and for values of a column that have no type in common.
    """
    every, label = wanted_columns(corpus), corpus.get("label")
    if kind == "jsonl":
        return _first_rows(path, compression, every, limit) if limit else _jsonl(path, compression, corpus)
    if kind in ("csv", "tsv"):
        schema = pa.schema([(name, pa.string()) for name in next(csv_records(path), [])])
    elif kind in ("txt", "lines"):
        schema = pa.schema([(name, pa.string()) for name in TXT_COLUMNS])
    elif kind == "arrow":
        schema = arrow_batches(path)[0]
    else:
        schema = open_parquet(path).schema_arrow
    flat = pa.schema([(field.name, plain(field.type)) for field in schema])
    twice = {name for name in flat.names if flat.names.count(name) > 1} & {n.split(".")[0] for n in every}
    if twice:
        raise InputError(f"{path}: the file names column {min(twice)!r} twice; rename one")
    rows = 0 if limit else count_rows(path, kind)
    seen = {}
    for name in every:
        place = find(flat, name)
        if place is None and (rows or limit or kind not in ("csv", "tsv")):
            raise InputError(f"{path}: no column {name!r}; {_columns(names(flat), name)}")
        if place is not None:
            seen[name] = Seen(*place, 1)
    found = Survey(path, rows, seen, names(flat))
    if label and label in seen and len(seen[label].way) == 1:
        found.class_names = _class_names(schema, label)
    return found


def _columns(there: str, name: str) -> str:
    near = [column for column in there.split(", ") if column.strip() == name]
    return f"columns: {there}" + (f" (did you mean {near[0]!r}, with its blanks?)" if near else "")


def _first_rows(path: str, compression: str | None, wanted: list[str], limit: int) -> Survey:
    chunk, _ = next(chunks(path, compression), (b"", 0))
    lines = chunk.split(b"\n", limit)
    head = b"\n".join(lines[:limit])
    rows = list(json_rows(path, head, 0)) if head.strip() else []
    return Survey(path, len(rows), _look(path, rows, 0, wanted), ", ".join(_row_names(rows)))


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Names of the classes of a column that `datasets` wrote as a ClassLabel."""
    try:
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        feature = info["info"]["features"][label]
        return tuple(map(str, feature["names"])) if feature["_type"] == "ClassLabel" else None
    except (KeyError, TypeError, ValueError):
        return None


# ---------------------------------------------------------------- all files


def settle(surveys: list[Survey], corpus: dict[str, Any]) -> dict[str, Column]:
    """The columns that a corpus reads, with the one type each that all its files need.

    Raises InputError: a column that is in no file (naming those that are there), text that is no text, a name that
    Winnow itself uses, values of a column that have no type in common.
    """
    label, meta, declared = corpus.get("label"), list(corpus.get("meta") or []), corpus.get("types") or {}
    for name in meta:
        if name in RESERVED:
            raise InputError(f"meta: {name!r} is a column of Winnow's own; rename it in the source")
    for name in declared:
        if name not in (*meta, corpus["text"]):
            raise InputError(
                f"types: {name!r} is not among text and meta: {', '.join([corpus['text'], *meta])}"
            )
    columns = {}
    for name in wanted_columns(corpus):
        having = [survey for survey in surveys if name in survey.seen]
        if name == corpus["text"]:
            lacking = [survey for survey in surveys if survey.rows and name not in survey.seen]
        else:
            lacking = [] if having else surveys
        if lacking:
            raise InputError(f"{lacking[0].path}: no column {name!r}; {_columns(lacking[0].columns, name)}")
        first = next((survey for survey in having if survey.seen[name].row), having[0])
        kind: pa.DataType = pa.null()
        for survey in having:
            seen = survey.seen[name]
            if seen.row and seen.way != first.seen[name].way:
                raise InputError(
                    f"{survey.path}: {name!r} is found as {' > '.join(seen.way)}, in {first.path} as "
                    f"{' > '.join(first.seen[name].way)}; name it one way"
                )
            both = widen(kind, seen.type)
            if both is None and name in declared:
                continue
            if both is None:
                other = next(s for s in having if widen(s.seen[name].type, seen.type) is None)
                raise InputError(
                    f"{survey.path}: row {seen.row}: column {name!r} is {shown(seen.type)}, but "
                    f"{shown(other.seen[name].type)} in {other.path}; {ADVICE.format(name)}"
                )
            kind = both
        if name in declared:
            columns[name] = Column(name, first.seen[name].way, DECLARED[declared[name]], True)
            continue
        if name == corpus["text"] and not (pa.types.is_string(kind) or pa.types.is_null(kind)):
            raise InputError(
                f"{first.path}: text column {name!r} is {shown(kind)}, not text; columns: {first.columns}"
            )
        if why := storable(known(kind)):
            raise InputError(f"{first.path}: column {name!r} {why}")
        columns[name] = Column(name, first.seen[name].way, known(kind))
    if label:
        _check_label(columns[label], surveys[0].path)
    return columns


def _check_label(column: Column, path: str) -> None:
    t, kind = pa.types, column.type
    if not (t.is_integer(kind) or t.is_string(kind) or t.is_boolean(kind) or t.is_floating(kind)):
        raise InputError(
            f"{path}: label column {column.name!r} is {shown(kind)}; a label is text, a whole number, or true or false"
        )


def read_labels(path: str, kind: str, text: Column, label: Column) -> dict[Any, int]:
    """The distinct labels of the rows of a file that have a text, each with its first row (from 1).

    Raises InputError for a label that is missing, empty, negative or no whole number, and beyond MAX_LABELS.
    """
    found: dict[Any, int] = {}
    for first, _, work in READERS[kind]({"path": path}, (text, label), 0, 1 << 62):
        texts, labels = work()
        texts_there = pc.invert(blank(pc.replace_substring(texts, "\x00", "")))
        if pa.types.is_float16(labels.type):
            labels = labels.cast(pa.float64())
        lacking = pc.and_(labels.is_null(nan_is_null=True), texts_there)
        if pc.any(lacking).as_py():
            row = first + 1 + pc.index(lacking, True).as_py()
            raise InputError(missing_label(path, row, label.name))
        for value in pc.unique(labels.filter(texts_there)).to_pylist():
            if value not in found:
                row = first + 1 + pc.index(labels, pa.scalar(value, labels.type)).as_py()
                found[_class(path, row, label.name, value)] = row
        if len(found) > MAX_LABELS:
            raise InputError(
                f"{path}: label {label.name!r} has more than {MAX_LABELS:,} different values; a label names a class: "
                "is this an id?"
            )
    return found


def missing_label(path: str, row: int, name: str) -> str:
    return f"{path}: row {row}: label {name!r} is missing; label the row, or leave it out"


def _class(path: str, row: int, name: str, value: Any) -> Any:
    """A label as the value of a class."""
    where = f"{path}: row {row}: label {name!r}"
    if isinstance(value, str):
        if not value.strip():
            raise InputError(missing_label(path, row, name))
        if value != value.strip():
            raise InputError(f"{where} is {value!r}; take the blanks at its ends away")
        return value
    if isinstance(value, float):
        if not value.is_integer():
            raise InputError(f"{where} is {value}; a label is text, a whole number, or true or false")
        value = int(value)
    if value < 0:
        raise InputError(f"{where} is {value}, which marks rows without a label; leave such rows out")
    return value


def classes(found: list[tuple[str, dict[Any, int]]], surveys: list[Survey], name: str) -> Labels:
    """The classes of a corpus from the labels of its files: texts in sorted order, numbers in ascending order; those of
    a ClassLabel in its own order.

    Raises InputError for a label outside a ClassLabel.
    """
    path = found[0][0]
    values = {value: (where, row) for where, labels in reversed(found) for value, row in labels.items()}
    given = {survey.class_names for survey in surveys if survey.rows} - {None}
    if len(given) > 1:
        raise InputError(f"{path}: the files name the classes of {name!r} differently; make them one")
    if given:
        class_names = given.pop() or ()
        for value, (where, row) in values.items():
            if not isinstance(value, int) or value >= len(class_names):
                raise InputError(
                    f"{where}: row {row}: label {name!r} is {value!r}, but the file names {len(class_names)} classes"
                )
        return Labels(class_names, tuple(range(len(class_names))))
    order = sorted(values)
    return Labels(tuple(_name(value) for value in order), tuple(order))


def class_number(value: Any, labels: Labels) -> int | None:
    """The class of a label: by its value in the source, or by its name; None if it is none of the classes."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value in labels.values:
        return labels.values.index(value)
    return labels.names.index(_name(value)) if _name(value) in labels.names else None


def unknown_label(value: Any, name: str, labels: Labels) -> str:
    """What is wrong with a label that is none of the corpus's classes."""
    near = difflib.get_close_matches(str(value), labels.names, 1) or [
        n for n in labels.names if n.lower() == str(value).lower()
    ]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join(labels.names[:10]) + (", ..." if len(labels.names) > 10 else "")
    return f"label {name!r} is {value!r}, which is none of the corpus's {len(labels.names)} classes ({known}){hint}"


def _name(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def layout(
    files: list[tuple[str, str, str | None]],
    corpus: dict[str, Any],
    pool: ThreadPoolExecutor,
    depth: int,
    done: Callable[[str], None] = lambda path: None,
    given: Labels | None = None,
) -> tuple[Layout, list[Survey]]:
    """What is read of each row of the files of a corpus, and the survey of each file, in order.

    Parameters: `files`, (path, format, compression); `corpus`, its config; `pool`, threads at work, with `depth`
    files in flight; `done`, told of each file that was surveyed; `given`, the classes where they are known: a label
    that is none of them is an error. Raises InputError as `settle`, `read_labels` and `classes` do.
    """
    surveys = []
    for found_in_file in in_order(lambda file: survey(file[0], file[1], file[2], corpus), files, pool, depth):
        surveys.append(found_in_file)
        done(found_in_file.path)
    if not any(survey.rows for survey in surveys):
        raise InputError(f"{files[0][0]}: no rows in {'this file' if len(files) == 1 else 'any file'}")
    columns = settle(surveys, corpus)
    name = corpus.get("label")
    if not name:
        return Layout(columns[corpus["text"]], None, None, _meta(columns, corpus)), surveys
    text, label = columns[corpus["text"]], columns[name]
    found = list(
        in_order(lambda file: (file[0], read_labels(file[0], file[1], text, label)), files, pool, depth)
    )
    if pa.types.is_string(label.type) and all(kind in ("csv", "tsv") for _, kind, _ in files):
        numbers = _whole_numbers(found, name)
        if numbers is not None:
            label, found = Column(label.name, label.path, pa.int64()), numbers
    if not any(labels for _, labels in found):
        return Layout(text, label, Labels((), ()), _meta(columns, corpus)), surveys
    if given:
        for named in surveys:
            if named.class_names not in (None, given.names):
                raise InputError(
                    f"{named.path}: names its classes {', '.join(named.class_names or ())}, the corpus "
                    f"{', '.join(given.names)}; store the labels as text"
                )
        for path, labels in found:
            for value, row in labels.items():
                if class_number(value, given) is None:
                    raise InputError(f"{path}: row {row}: {unknown_label(value, name, given)}")
    return Layout(text, label, given or classes(found, surveys, name), _meta(columns, corpus)), surveys


def _meta(columns: dict[str, Column], corpus: dict[str, Any]) -> tuple[Column, ...]:
    return tuple(columns[name] for name in corpus.get("meta") or [])


def _whole_numbers(
    found: list[tuple[str, dict[Any, int]]], name: str
) -> list[tuple[str, dict[Any, int]]] | None:
    """The labels of csv files as whole numbers, or None if one of them is none."""
    try:
        return [
            (path, {_class(path, row, name, whole(value)): row for value, row in labels.items()})
            for path, labels in found
        ]
    except ValueError:
        return None


# ---------------------------------------------------------------- a whole file as a table


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
