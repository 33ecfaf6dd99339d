"""Source files -> rows: parquet, arrow, jsonl, csv, tsv (with a header) and txt files.

READERS give the rows of a file as arrow arrays, a chunk at a time, as work that any thread may do. jsonl, csv, tsv
and txt may be compressed (.gz, .zst, .bz2, .xz). What cannot be read as it is is an InputError that names the file
and the row, from 1.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson
import pyarrow.parquet as pq

from winnow.documents.columns import Column, Repeated, number, plain, to_array, whole
from winnow.formats import file_format
from winnow.stage import InputError

CHUNK = 8 << 20
EXACT = float(1 << 53)
TXT_COLUMNS = ("text", "folder", "file")
"""Columns of a txt file: its text, the name of its folder, its own name."""


# ---------------------------------------------------------------- files of lines


def _open(path: str, compression: str | None) -> Any:
    if compression == "xz":
        return _Xz(path)
    raw = pa.OSFile(path, "rb")
    return pa.CompressedInputStream(raw, compression) if compression else raw


class _Xz:
    """A decompressed xz file, of one or several streams. Not lzma.open: that takes a damaged second stream for the end."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "rb")  # noqa: SIM115 (closed by __exit__)
        self.decoder = lzma.LZMADecompressor()

    def __enter__(self) -> _Xz:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self, size: int) -> bytes:
        parts, found, raw = [], 0, b""
        while found < size:
            if self.decoder.eof:  # another stream, or padding of zeros
                raw = (self.decoder.unused_data or raw or self.file.read(1 << 20)).lstrip(b"\x00")
                if not raw:
                    if self.file.peek(1):
                        continue
                    break
                self.decoder = lzma.LZMADecompressor()
            elif self.decoder.needs_input:
                raw = self.file.read(1 << 20)
                if not raw:
                    raise EOFError("the file is cut short: end-of-stream marker not found")
            else:
                raw = b""
            parts.append(self.decoder.decompress(raw, size - found))
            found += len(parts[-1])
            raw = b""
        return b"".join(parts)


BROKEN = (OSError, EOFError, lzma.LZMAError, pa.ArrowException)


def _broken(path: str, compression: str | None, rows: int, error: BaseException) -> InputError:
    """A file that cannot be decompressed or read to its end."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if "requires too much memory" in reason:
        return InputError(
            f"{path}: zstd with a window of more than 128 MB (made with --long or --ultra); recompress it: "
            "zstd -d --long=31 -c OLD.zst | zstd -o NEW.zst"
        )
    if "runcated" in reason or "end-of-stream" in reason:
        reason = "the file is cut short"
    return InputError(f"{path}: broken {compression or 'file'} after row {rows}: {reason}; get it again")


def blocks(path: str, compression: str | None) -> Iterator[bytes]:
    """The bytes of a file, decompressed, in pieces of at most CHUNK, without a byte order mark."""
    rows = 0
    try:
        with _open(path, compression) as stream:
            data = _without_mark(path, stream.read(CHUNK))
            while data:
                yield data
                rows += data.count(b"\n") if compression else 0
                data = stream.read(CHUNK)
    except BROKEN as error:
        raise _broken(path, compression, rows, error) from None


def chunks(path: str, compression: str | None) -> Iterator[tuple[bytes, int]]:
    """The bytes of a file of lines in pieces of whole lines of about CHUNK bytes, each with its lines; none of an empty
    file."""
    rest: list[bytes] = []
    for data in blocks(path, compression):
        end = data.rfind(b"\n") + 1
        if not end:
            rest.append(data)
            continue
        chunk = b"".join((*rest, data[:end])) if rest or end < len(data) else data
        rest = [data[end:]] if end < len(data) else []
        yield chunk, chunk.count(b"\n")
    if rest:
        yield b"".join(rest), 1


def _without_mark(path: str, data: bytes) -> bytes:
    """The first bytes of a file without the byte order mark of UTF-8. Raises InputError for UTF-16 and UTF-32."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: UTF-16; store it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
    return data.removeprefix(b"\xef\xbb\xbf")


def _lines(chunk: bytes) -> int:
    return chunk.count(b"\n") + (not chunk.endswith(b"\n"))


def count_lines(path: str, compression: str | None) -> int:
    lines, last = 0, b"\n"
    for data in blocks(path, compression):
        lines += data.count(b"\n")
        last = data[-1:]
    return lines + (last != b"\n")


# ---------------------------------------------------------------- jsonl


def json_rows(path: str, chunk: bytes, first: int) -> Iterator[dict[str, Any]]:
    """Rows of a chunk by the standard parser, exact about what is wrong where. A blank line is `{}`.

    Bytes that are not UTF-8 come as surrogates, for the columns that are read to be named.
    """
    for row, line in enumerate(chunk.removesuffix(b"\n").split(b"\n"), start=first + 1):
        if not line.strip():
            yield {}
            continue
        try:
            value = json.loads(
                line.decode("utf-8", "surrogateescape"),
                object_pairs_hook=_object,
                parse_float=number,
                parse_int=_digits,
            )
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "a number of too many digits")
            if isinstance(error, RecursionError):
                reason = "nested too deeply"
            raise InputError(f"{path}: row {row}: not JSON ({reason}); one object a line is needed") from None
        if not isinstance(value, dict):
            raise InputError(f"{path}: row {row}: a JSON {_json_name(value)}; one object a line is needed")
        yield value


def _digits(text: str) -> int | float:
    return int(text) if len(text) < 400 else number(text + ".0")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = Repeated(pairs)
    keys = [key for key, _ in pairs]
    repeated.names = frozenset(key for key in keys if keys.count(key) > 1)
    return repeated


def _json_name(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def json_value(path: str, row: dict[str, Any], number: int, way: tuple[str, ...]) -> Any:
    """The value at the end of a way of fields, None where a field is missing.

    Raises InputError if a field on the way is no object, or stands twice.
    """
    value: Any = row
    for depth, name in enumerate(way):
        if value is None:
            return None
        if not isinstance(value, dict):
            above, shown = ".".join(way[:depth]), ".".join(way)
            raise InputError(
                f"{path}: row {number}: column {above!r} is no object, so it has no {shown!r}; "
                "make it an object in every row, or take the column out of the config"
            )
        if isinstance(value, Repeated) and name in value.names:
            raise InputError(f"{path}: row {number}: column {name!r} is named twice; name it once")
        value = value.get(name)
    return value


def one_object_a_line(chunk: bytes) -> int | None:
    """The lines of a chunk if each begins with { and ends with }, so that as many rows as lines are one a line; else None:
    there are blank lines, or objects over several."""
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
    """Columns of a chunk of lines by pyarrow, or None where it meets something odd: the standard parser then says
    what. `unexpected`: `infer` lets structs have more fields than their types."""
    wanted: dict[str, Any] = {}
    for column in columns:
        place = wanted
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
                explicit_schema=pa.schema([(name, nest(value)) for name, value in wanted.items()]),
                unexpected_field_behavior=unexpected,
            ),
        )
        if table.num_rows != lines:
            return None
        arrays = [_select(table, column) for column in columns]
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
    found = []
    for column in columns:
        values = [json_value(path, row, n, column.path) for n, row in enumerate(rows, first + 1)]
        if any(isinstance(value, str) and not value.isascii() for value in values):
            _check_bytes(path, column, chunk, values, first)
        found.append(to_array(path, column, values, first))
    return found


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


def _select(table: pa.Table, column: Column) -> pa.Array:
    array = table.column(column.path[0]).combine_chunks()
    for name in column.path[1:]:
        array = pc.struct_field(array, name)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


Work = Callable[[], list[pa.Array]]


def _read_jsonl(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path = file["path"]
    for row, rows, piece in _pieces(path, start, stop):
        yield row, rows, lambda piece=piece, row=row: _parse_json(path, columns, piece, row)


def _pieces(path: str, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
    """(first row, rows, bytes) of the chunks of a file of lines, cut to the rows from `start` to `stop`."""
    first = 0
    for chunk, lines in chunks(path, file_format(path)[1]):
        low, high = max(start - first, 0), min(stop - first, lines)
        if low < high:
            if (low, high) != (0, lines):
                ends = np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == 10) + 1
                cuts = np.append(np.concatenate(([0], ends)), len(chunk))
                chunk = chunk[cuts[low] : cuts[high]]
            yield first + low, high - low, chunk
        first += lines
        if first >= stop:
            return


# ---------------------------------------------------------------- parquet and arrow


def open_parquet(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except BROKEN as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a whole parquet file ({reason}); get the file again") from None


def _read_parquet(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
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


def _read_arrow(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
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
"""What a value raises that Arrow or Python cannot hold: no UTF-8, a date out of range, an unknown time zone."""


def _check_arrays(path: str, table: pa.Table, columns: tuple[Column, ...], first: int) -> Work:
    """Columns of a table in their types; a cast that would change a value is an InputError with its row."""

    def work() -> list[pa.Array]:
        arrays = []
        for column in columns:
            array = _select(table, column)
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


# ---------------------------------------------------------------- csv, tsv


def csv_records(path: str) -> Iterator[list[str]]:
    """Header and records of a csv or tsv file; blank lines are none, as in pandas. Undecodable bytes come as
    surrogates, for the row to be named. Raises InputError for a header that is no text or names a column twice."""
    csv.field_size_limit(1 << 31)
    kind, compression = file_format(path)
    row = 0
    try:
        with _open(path, compression) as stream:
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
        raise _broken(path, compression, max(0, row - 1), error) from None


class _Marked(io.RawIOBase):
    """The bytes of a stream without its byte order mark."""

    def __init__(self, path: str, stream: Any) -> None:
        self.path, self.stream, self.first = path, stream, True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        if self.first:
            data, self.first = _without_mark(self.path, data), False
        buffer[: len(data)] = data
        return len(data)


def _check_header(path: str, header: list[str]) -> None:
    if len(set(header)) < len(header):
        raise InputError(f"{path}: the header names a column twice: {', '.join(header)}")
    try:
        "".join(header).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{path}: the header is not valid UTF-8; store the file as UTF-8") from None


def _read_csv(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path = file["path"]
    records = csv_records(path)
    header = next(records, [])
    places = [header.index(column.path[0]) for column in columns]
    rows: list[list[str]] = []
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
        rows.append([record[place] for place in places])
        size += sum(map(len, rows[-1]))
        if size >= CHUNK:
            yield row, len(rows), lambda rows=rows, row=row: _csv_arrays(path, columns, rows, row)
            rows, size, row = [], 0, at + 1
    if rows:
        yield row, len(rows), lambda: _csv_arrays(path, columns, rows, row)


def _csv_arrays(path: str, columns: tuple[Column, ...], rows: list[list[str]], first: int) -> list[pa.Array]:
    arrays = []
    without_text = [not row[0].replace("\x00", "").strip() for row in rows]
    for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
        values: list[Any] = list(cells)
        for row, value in enumerate(values, first + 1):
            if not value.isascii() and re.search("[\udc80-\udcff]", value):
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
            f"{path}: row {row}: label {column.name!r} is {value!r}, no whole number as the others are"
        ) from None


# ---------------------------------------------------------------- txt


def _read_txt(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path = file["path"]

    def work() -> list[pa.Array]:
        data = b"".join(blocks(path, file_format(path)[1]))
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: row 1: invalid UTF-8 at byte {error.start + 1} of the file; store it as UTF-8"
            ) from None
        return _txt_arrays(path, columns, [text], 0)

    yield 0, 1, work


def _read_lines(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
    path = file["path"]

    def parse(chunk: bytes, first: int) -> list[pa.Array]:
        texts = []
        for row, line in enumerate(chunk.removesuffix(b"\n").split(b"\n"), first + 1):
            try:
                texts.append(line.removesuffix(b"\r").decode("utf-8"))
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}: row {row}: invalid UTF-8 at byte {error.start + 1} of the line; store it as UTF-8"
                ) from None
        return _txt_arrays(path, columns, texts, first)

    for row, rows, piece in _pieces(path, start, stop):
        yield row, rows, lambda piece=piece, row=row: parse(piece, row)


def _txt_arrays(path: str, columns: tuple[Column, ...], texts: list[str], first: int) -> list[pa.Array]:
    folder, name = os.path.split(os.path.abspath(path))
    values = {"text": texts, "folder": [os.path.basename(folder)] * len(texts), "file": [name] * len(texts)}
    return [to_array(path, column, list(values[column.path[0]]), first) for column in columns]


READERS = {
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
    "arrow": _read_arrow,
    "csv": _read_csv,
    "tsv": _read_csv,
    "txt": _read_txt,
    "lines": _read_lines,
}


def blank(text: pa.Array) -> pa.Array:
    """Which texts are null, empty or white space only."""
    return pc.fill_null(pc.or_(pc.equal(pc.binary_length(text), 0), pc.utf8_is_space(text)), True)


def count_rows(path: str, kind: str) -> int:
    """Rows of a file."""
    compression = file_format(path)[1]
    if kind in ("jsonl", "lines"):
        return count_lines(path, compression)
    if kind in ("csv", "tsv"):
        return max(0, sum(1 for _ in csv_records(path)) - 1)
    if kind == "arrow":
        rows = 0
        try:
            for batch in arrow_batches(path)[1]:
                rows += len(batch)
        except BROKEN as error:
            raise _broken(path, None, rows, error) from None
        return rows
    return open_parquet(path).metadata.num_rows if kind == "parquet" else 1
