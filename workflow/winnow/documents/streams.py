"""Bytes of a source file: decompressed, without a byte order mark, in pieces of whole lines.

Compressions: gzip, zstd, bz2, xz. A file that is broken or cut short is an InputError that names the row after which it is.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.formats import file_format
from winnow.stage import InputError

CHUNK = 8 << 20
LONGEST = 256 << 20
"""Bytes of a row beyond which it is refused: a small compressed file can hold one of many GB."""

Work = Callable[[], list[pa.Array]]
"""What a reader yields for consecutive rows: their columns, read by any thread."""


def open_bytes(path: str, compression: str | None) -> Any:
    if compression == "xz":
        return _Xz(path)
    raw = pa.OSFile(path, "rb")
    return pa.CompressedInputStream(raw, compression) if compression else raw


class _Xz:
    """A decompressed xz file of one or several streams. lzma.open takes a damaged second stream for the end of the file."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "rb")  # noqa: SIM115 (closed by __exit__)
        self.decoder = lzma.LZMADecompressor()

    def __enter__(self) -> _Xz:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self, size: int) -> bytes:
        parts, length, raw = [], 0, b""
        while length < size:
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
            parts.append(self.decoder.decompress(raw, size - length))
            length += len(parts[-1])
            raw = b""
        return b"".join(parts)


BROKEN = (OSError, EOFError, lzma.LZMAError, pa.ArrowException)


def broken_file(path: str, compression: str | None, rows: int, error: BaseException) -> InputError:
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
        with open_bytes(path, compression) as stream:
            data = without_mark(path, stream.read(CHUNK))
            while data:
                yield data
                rows += data.count(b"\n") if compression else 0
                data = stream.read(CHUNK)
    except BROKEN as error:
        raise broken_file(path, compression, rows, error) from None


def chunks(path: str, compression: str | None) -> Iterator[tuple[bytes, int]]:
    """The bytes of a file in pieces of whole lines of about CHUNK bytes, each with its number of lines; none of an empty
    file."""
    rest: list[bytes] = []
    rows = 0
    for data in blocks(path, compression):
        end = data.rfind(b"\n") + 1
        if not end:
            rest.append(data)
            if sum(map(len, rest)) > LONGEST:
                raise InputError(
                    f"{path}: row {rows + 1} is longer than {LONGEST >> 20} MB; each row must end in a line feed"
                )
            continue
        chunk = b"".join((*rest, data[:end])) if rest or end < len(data) else data
        rest = [data[end:]] if end < len(data) else []
        lines = chunk.count(b"\n")
        yield chunk, lines
        rows += lines
    if rest:
        yield b"".join(rest), 1


def without_mark(path: str, data: bytes) -> bytes:
    """The first bytes of a file without the byte order mark of UTF-8. Raises InputError for UTF-16 and UTF-32."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: UTF-16; store it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
    return data.removeprefix(b"\xef\xbb\xbf")


def count_lines(path: str, compression: str | None) -> int:
    lines, last = 0, b"\n"
    for data in blocks(path, compression):
        lines += data.count(b"\n")
        last = data[-1:]
    return lines + (last != b"\n")


def row_pieces(path: str, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
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
