"""Source files -> rows: parquet, jsonl (plain, .gz, .zst), csv (with a header) and txt files.

`settle` finds the columns' types; READERS give the rows of a file as arrow arrays, a chunk at a time, as work
that any thread may do. What cannot be read is an InputError that names the file and the row, from 1.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson
import pyarrow.parquet as pq

from winnow.stage import InputError

CHUNK = 8 << 20
RESERVED = ("doc", "text", "bytes", "digest", "label")
ENDINGS = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".txt": "txt",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class Column:
    """A source column: the name in the config, the way to it (fields of structs), its Arrow type."""

    name: str
    path: tuple[str, ...]
    type: pa.DataType


@dataclass(frozen=True)
class Layout:
    """What is read of each row: the text column, the label column and its string labels, meta columns."""

    text: Column
    label: Column | None
    labels: tuple[str, ...] | None
    meta: tuple[Column, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self.text, *([self.label] if self.label else []), *self.meta)

    @property
    def schema(self) -> pa.Schema:
        fields = [("doc", pa.int64()), ("text", pa.string()), ("bytes", pa.int32()), ("digest", pa.uint64())]
        if self.label:
            fields.append(("label", pa.int32()))
        return pa.schema(fields + [(column.name, column.type) for column in self.meta])


# ---------------------------------------------------------------- files and formats


def file_format(path: str) -> tuple[str, str | None]:
    """Format (parquet, jsonl, csv, txt) and compression (gzip, zstd or None), by the file's name."""
    stem, ending = os.path.splitext(path.lower())
    compression = COMPRESSIONS.get(ending)
    if compression:
        ending = os.path.splitext(stem)[1]
    kind = ENDINGS.get(ending)
    if kind is None or (kind == "parquet" and compression):
        raise InputError(
            f"{path}: format not known by its name; known: .parquet, .jsonl, .csv, .txt "
            "(all but parquet also with .gz or .zst)"
        )
    return kind, compression


def _open(path: str, compression: str | None) -> Any:
    raw = pa.OSFile(path, "rb")
    return pa.CompressedInputStream(raw, compression) if compression else raw


def _chunks(path: str, compression: str | None) -> Iterator[bytes]:
    """The bytes of a file of lines, decompressed, in pieces of whole lines of about CHUNK bytes."""
    rows, rest = 0, []
    with _open(path, compression) as stream:
        first = True
        while True:
            try:
                data = stream.read(CHUNK)
            except (OSError, pa.ArrowException) as error:
                reason = "the file is cut short" if "runcated" in str(error) else str(error).splitlines()[0]
                raise InputError(
                    f"{path}: broken {compression or 'file'} after row {rows}: {reason}; get it again"
                ) from None
            if first:
                data, first = data.removeprefix(b"\xef\xbb\xbf"), False
            if not data:
                break
            end = data.rfind(b"\n") + 1
            if not end:
                rest.append(data)
                continue
            chunk = b"".join((*rest, data[:end]))
            rest = [data[end:]] if end < len(data) else []
            rows += chunk.count(b"\n")
            yield chunk
    if rest:
        yield b"".join(rest)


def _lines(chunk: bytes) -> int:
    return chunk.count(b"\n") + (not chunk.endswith(b"\n"))


# ---------------------------------------------------------------- types and columns


def _plain(kind: pa.DataType, texts: bool = False) -> pa.DataType:
    """The type that is stored for a source type: no dictionaries, no large or fixed-size variants.

    `texts`: times are text, as they are in JSON (pyarrow guesses times from strings).
    """
    t = pa.types
    if t.is_dictionary(kind):
        return _plain(kind.value_type, texts)
    if t.is_large_string(kind) or t.is_string_view(kind) or (texts and t.is_timestamp(kind)):
        return pa.string()
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type, texts))
    if t.is_struct(kind):
        return pa.struct([(field.name, _plain(field.type, texts)) for field in kind])
    return kind


def _known(kind: pa.DataType) -> pa.DataType:
    """`kind` with text in the place of what is null everywhere."""
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_known(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _known(field.type)) for field in kind])
    return kind


def type_to_json(kind: pa.DataType) -> Any:
    """An Arrow type as JSON: its name, `{"list": type}` or `{"struct": {name: type}}`."""
    if pa.types.is_list(kind):
        return {"list": type_to_json(kind.value_type)}
    if pa.types.is_struct(kind):
        return {"struct": [[field.name, type_to_json(field.type)] for field in kind]}
    return str(kind)


def type_from_json(value: Any) -> pa.DataType:
    """The inverse of `type_to_json`. Raises ValueError for a type of another kind (decimal, map)."""
    if isinstance(value, dict) and "list" in value:
        return pa.list_(type_from_json(value["list"]))
    if isinstance(value, dict):
        return pa.struct([(name, type_from_json(kind)) for name, kind in value["struct"]])
    if value == "null":
        return pa.null()
    return pa.type_for_alias(re.sub(r"^(double|float|halffloat)$", _FLOATS, value))


def _FLOATS(match: re.Match[str]) -> str:
    return {"double": "float64", "float": "float32", "halffloat": "float16"}[match.group(1)]


def _find(schema: pa.Schema, name: str) -> tuple[tuple[str, ...], pa.DataType] | None:
    """The way to column `name` (`a.b`: field b of struct a, unless a column is called so) and its type."""
    fields = {field.name: field.type for field in schema}
    if name in fields:
        return (name,), fields[name]
    for dot in (match.start() for match in re.finditer(r"\.", name)):
        head, tail = name[:dot], name[dot + 1 :]
        if head in fields and pa.types.is_struct(fields[head]):
            below = _find(pa.schema(list(fields[head])), tail)
            if below:
                return (head, *below[0]), below[1]
    return None


def _value(row: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(row, dict):
            return None
        row = row.get(name)
    return row


def _names(schema: pa.Schema) -> str:
    names = []
    for field in schema:
        below = list(field.type) if pa.types.is_struct(field.type) else []
        names += [f"{field.name}.{sub.name}" for sub in below] or [field.name]
    return ", ".join(names)


def _json_rows(path: str, chunk: bytes, first: int) -> Iterator[dict[str, Any]]:
    """Rows of a chunk by the standard parser: exact about what is wrong where. A blank line is `{}`."""
    for number, line in enumerate(chunk.removesuffix(b"\n").split(b"\n"), start=first + 1):
        if not line.strip():
            yield {}
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: row {number}: invalid UTF-8 at byte {error.start + 1} of the line; store it as UTF-8"
            ) from None
        except (json.JSONDecodeError, RecursionError) as error:
            reason = getattr(error, "msg", "nested too deeply")
            raise InputError(
                f"{path}: row {number}: not JSON ({reason}); one object a line is wanted"
            ) from None
        if not isinstance(row, dict):
            raise InputError(f"{path}: row {number}: a JSON {_json_name(row)}; one object a line is wanted")
        yield row


def _json_name(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def _sample_schema(path: str, kind: str, compression: str | None, wanted: list[str]) -> pa.Schema:
    """Schema of a file: a parquet file's own, a csv file's header, the first CHUNK of a jsonl file."""
    if kind == "parquet":
        schema = _parquet(path).schema_arrow
        return pa.schema([(field.name, _plain(field.type)) for field in schema])
    if kind == "txt":
        return pa.schema([("text", pa.string())])
    if kind == "csv":
        header = next(_csv_records(path, compression), [])
        if len(set(header)) < len(header):
            raise InputError(f"{path}: the header names a column twice: {', '.join(header)}")
        return pa.schema([(name, pa.string()) for name in header])
    chunk = next(_chunks(path, compression))
    try:
        options = pajson.ReadOptions(use_threads=False, block_size=len(chunk) + 1)
        schema = pajson.read_json(pa.BufferReader(chunk), read_options=options).schema
    except pa.ArrowException:
        schema = _infer(path, list(_json_rows(path, chunk, 0)), wanted)
    return pa.schema([(field.name, _plain(field.type, texts=True)) for field in schema])


def _infer(path: str, rows: list[dict[str, Any]], wanted: list[str]) -> pa.Schema:
    """Schema of rows of which pyarrow could not make a table; only the wanted columns need one type."""
    names = dict.fromkeys(name for row in rows for name in row)
    fields = []
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            kind = pa.array(values).type
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            if not any(w == name or w.startswith(name + ".") for w in wanted):
                continue
            if all(isinstance(value, str | None) for value in values):
                _array(path, Column(name, (name,), pa.string()), values, 0)
            kinds: dict[str, int] = {}
            for number, value in enumerate(values, start=1):
                if value is not None:
                    kinds.setdefault(_json_name(value), number)
            seen = ", ".join(f"{kind} in row {number}" for kind, number in kinds.items())
            raise InputError(f"{path}: column {name!r} has mixed types ({seen}); make it one type") from None
        fields.append((name, kind))
    return pa.schema(fields)


def _unify(name: str, kinds: dict[str, pa.DataType]) -> pa.DataType:
    """One type for a column of several files ({path: type})."""
    known = {path: kind for path, kind in kinds.items() if not pa.types.is_null(kind)}
    try:
        schemas = [pa.schema([("x", kind)]) for kind in known.values()]
        kind = (
            pa.unify_schemas(schemas, promote_options="permissive").field("x").type if schemas else pa.null()
        )
    except pa.ArrowException:
        (a, first), (b, other) = next(
            (one, two) for one in known.items() for two in known.items() if one[1] != two[1]
        )
        raise InputError(f"{b}: column {name!r} is {other}, but {first} in {a}; make it one type") from None
    kind = _known(kind)
    try:
        type_from_json(type_to_json(kind))
    except ValueError:
        path = next(iter(known))
        raise InputError(f"{path}: column {name!r} is {kind}; store it as text or a number") from None
    return kind


def settle(files: list[tuple[str, str, str | None]], corpus: dict[str, Any]) -> Layout:
    """The columns that a corpus reads, found in its files, with one type each over all files.

    Parameters: `files`, (path, format, compression); `corpus`, its config (text, label, meta).
    Raises InputError: a column that is not there (naming those that are), text that is no text, a name
    that Winnow itself uses, a column of several types.
    """
    label, meta = corpus.get("label"), list(corpus.get("meta") or [])
    for name in meta:
        if name in RESERVED:
            raise InputError(f"meta: {name!r} is a column of Winnow's own; rename it in the source")
    wanted = [corpus["text"], *([label] if label else []), *meta]
    kinds: dict[str, dict[str, pa.DataType]] = {name: {} for name in wanted}
    ways: dict[str, tuple[str, ...]] = {}
    missing: dict[str, tuple[str, str]] = {}
    for path, kind, compression in files:
        schema = _sample_schema(path, kind, compression, wanted)
        for name in wanted:
            found = _find(schema, name)
            if found is None:
                if kind != "jsonl" or name == corpus["text"]:
                    raise InputError(f"{path}: no column {name!r}; columns: {_names(schema)}")
                missing.setdefault(name, (path, _names(schema)))
                continue
            ways.setdefault(name, found[0])
            kinds[name][path] = found[1]
            if name == corpus["text"] and not (pa.types.is_string(found[1]) or pa.types.is_null(found[1])):
                texts = [field.name for field in schema if pa.types.is_string(field.type)]
                raise InputError(
                    f"{path}: text column {name!r} is {found[1]}, not text; text columns: {', '.join(texts)}"
                )
    for name in wanted:
        if name not in ways:
            path, names = missing[name]
            raise InputError(f"{path}: no column {name!r}; columns: {names}")
    columns = {name: Column(name, ways[name], _unify(name, kinds[name])) for name in kinds}
    if label and not _is_label(columns[label].type):
        raise InputError(f"{files[0][0]}: label column {label!r} is {columns[label].type}; integer or text")
    return Layout(
        columns[corpus["text"]], columns[label] if label else None, None, tuple(columns[n] for n in meta)
    )


def _is_label(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind)


# ---------------------------------------------------------------- readers: (first row, columns) of a file


def _parquet(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a whole parquet file ({reason}); get the file again") from None


def _csv_records(path: str, compression: str | None) -> Iterator[list[str]]:
    """Header and records of a csv file. Undecodable bytes come as surrogates, for the row to be named."""
    csv.field_size_limit(1 << 31)
    with _open(path, compression) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        number = 0
        try:
            for record in csv.reader(text, strict=True):
                yield record
                number += 1
        except csv.Error as error:
            raise InputError(
                f"{path}: row {number}: not csv ({error}); quote fields with line ends"
            ) from None
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: broken file after row {max(0, number - 1)}: {reason}") from None


def _array(path: str, column: Column, values: list[Any], first: int) -> pa.Array:
    """Values of rows `first`... as an array of the column's type, or an InputError naming the row."""
    try:
        return pa.array(values, type=column.type)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError):
        for number, value in enumerate(values, start=first + 1):
            try:
                pa.array([value], type=column.type)
            except UnicodeEncodeError:
                raise InputError(
                    f"{path}: row {number}: column {column.name!r} is not valid UTF-8; store it as UTF-8"
                ) from None
            except (pa.ArrowException, OverflowError, TypeError):
                raise InputError(
                    f"{path}: row {number}: column {column.name!r} is a {_json_name(value)} where "
                    f"{'text' if pa.types.is_string(column.type) else column.type} is wanted; make it one type"
                ) from None
        raise


def _parse_json(path: str, columns: tuple[Column, ...], chunk: bytes, first: int) -> list[pa.Array]:
    """Columns of a chunk of lines: by pyarrow; by the standard parser where that meets something odd."""
    wanted: dict[str, Any] = {}
    for column in columns:
        place = wanted
        for name in column.path[:-1]:
            place = place.setdefault(name, {})
        if isinstance(place, dict):
            place[column.path[-1]] = column.type

    def nest(value: Any) -> pa.DataType:
        if isinstance(value, dict):
            return pa.struct([(name, nest(below)) for name, below in value.items()])
        return value

    lines = _lines(chunk)
    try:
        table = pajson.read_json(
            pa.BufferReader(chunk),
            read_options=pajson.ReadOptions(use_threads=False, block_size=len(chunk) + 1),
            parse_options=pajson.ParseOptions(
                explicit_schema=pa.schema([(name, nest(value)) for name, value in wanted.items()]),
                unexpected_field_behavior="ignore",
            ),
        )
        table.validate(full=True)
        if table.num_rows == lines:
            return [_select(table, column) for column in columns]
    except pa.ArrowException:
        pass
    rows = list(_json_rows(path, chunk, first))
    return [_array(path, column, [_value(row, column.path) for row in rows], first) for column in columns]


def _select(table: pa.Table, column: Column) -> pa.Array:
    array = table.column(column.path[0]).combine_chunks()
    for name in column.path[1:]:
        array = pc.struct_field(array, name)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array if array.type == column.type else array.cast(column.type)


Work = Callable[[], list[pa.Array]]


def _read_jsonl(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path, first = file["path"], 0
    for chunk in _chunks(path, file_format(path)[1]):
        lines = _lines(chunk)
        low, high = max(start - first, 0), min(stop - first, lines)
        if low < high:
            if (low, high) != (0, lines):
                ends = np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == 10) + 1
                cuts = np.append(np.concatenate(([0], ends)), len(chunk))
                piece = chunk[cuts[low] : cuts[high]]
            else:
                piece = chunk
            row = first + low
            yield row, high - low, lambda piece=piece, row=row: _parse_json(path, columns, piece, row)
        first += lines
        if first >= stop:
            return


def _read_parquet(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path, first = file["path"], 0
    source = _parquet(path)
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
                        yield row + low, high - low, _check_parquet(path, table, columns, row + low)
                    row += len(batch)
            except (pa.ArrowException, OSError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"{path}: broken after row {row}: {reason}; get the file again") from None
        first += rows


def _check_parquet(path: str, table: pa.Table, columns: tuple[Column, ...], first: int) -> Work:
    def work() -> list[pa.Array]:
        arrays = []
        for column in columns:
            array = _select(table, column)
            try:
                array.validate(full=True)
            except pa.ArrowException:
                for number, value in enumerate(array, start=first + 1):
                    try:
                        value.as_py()
                    except UnicodeDecodeError:
                        raise InputError(
                            f"{path}: row {number}: column {column.name!r} is not valid UTF-8; store it as UTF-8"
                        ) from None
                raise
            arrays.append(array)
        return arrays

    return work


def _read_csv(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path = file["path"]
    records = _csv_records(path, file_format(path)[1])
    header = next(records)
    places = [header.index(column.path[0]) for column in columns]
    rows: list[list[str]] = []
    size, row = 0, start
    for number, record in enumerate(records):
        if number >= stop:
            break
        if number < start:
            continue
        if len(record) != len(header):
            raise InputError(
                f"{path}: row {number + 1}: {len(record)} fields, the header has {len(header)}; "
                "quote fields that hold commas or line ends"
            )
        rows.append([record[place] for place in places])
        size += sum(map(len, rows[-1]))
        if size >= CHUNK:
            yield row, len(rows), lambda rows=rows, row=row: _columns(path, columns, rows, row)
            rows, size, row = [], 0, number + 1
    if rows:
        yield row, len(rows), lambda: _columns(path, columns, rows, row)


def _columns(path: str, columns: tuple[Column, ...], rows: list[list[str]], first: int) -> list[pa.Array]:
    arrays = []
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        if pa.types.is_integer(column.type):
            values = tuple(_integer(path, column, value, first + n) for n, value in enumerate(values, 1))
        arrays.append(_array(path, column, list(values), first))
    return arrays


def _integer(path: str, column: Column, value: str, row: int) -> int:
    try:
        return int(value)
    except ValueError:
        raise InputError(f"{path}: row {row}: label {value!r} is no integer, as the others are") from None


def _read_txt(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path = file["path"]

    def work() -> list[pa.Array]:
        data = b"".join(_chunks(path, file_format(path)[1]))
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: row 1: invalid UTF-8 at byte {error.start + 1} of the file; store it as UTF-8"
            ) from None
        return [pa.array([text], type=pa.string()) for _ in columns]

    yield 0, 1, work


READERS = {"jsonl": _read_jsonl, "parquet": _read_parquet, "csv": _read_csv, "txt": _read_txt}


def blank(text: pa.Array) -> pa.Array:
    """Which texts are null, empty or white space only."""
    return pc.fill_null(pc.or_(pc.equal(pc.binary_length(text), 0), pc.utf8_is_space(text)), True)


def count_rows(path: str, layout: Layout) -> tuple[int, set[str]]:
    """Rows of a file, and its distinct labels where they are text."""
    kind, compression = file_format(path)
    wanted = layout.label if layout.label and pa.types.is_string(layout.label.type) else None
    if wanted is None and kind == "jsonl":
        return sum(_lines(chunk) for chunk in _chunks(path, compression)), set()
    if wanted is None and kind == "csv":
        return sum(1 for _ in _csv_records(path, compression)) - 1, set()
    if wanted is None:
        return _parquet(path).metadata.num_rows if kind == "parquet" else 1, set()
    rows, labels = 0, set()
    for _, count, work in READERS[kind]({"path": path}, (layout.text, wanted), 0, 1 << 62):
        text, label = work()
        labels.update(pc.unique(label.filter(pc.invert(blank(text))).drop_null()).to_pylist())
        rows += count
    return rows, labels
