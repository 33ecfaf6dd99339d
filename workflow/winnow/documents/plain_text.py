"""txt files: one document per file, or one per line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from winnow.documents.columns import Column, to_array
from winnow.documents.streams import blocks, row_pieces
from winnow.formats import file_format
from winnow.stage import InputError

TXT_COLUMNS = ("text", "folder", "file")
"""Columns of a txt file: its text, the name of its folder, its own name."""


def read_txt(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
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


def read_lines(file: dict[str, Any], columns: tuple[Column, ...], start: int, stop: int) -> Iterator:
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

    for row, rows, piece in row_pieces(path, start, stop):
        yield row, rows, lambda piece=piece, row=row: parse(piece, row)


def _txt_arrays(path: str, columns: tuple[Column, ...], texts: list[str], first: int) -> list[pa.Array]:
    folder, name = os.path.split(os.path.abspath(path))
    rows = len(texts)
    values: dict[tuple[str, ...], list[str]] = {
        ("text",): texts,
        ("folder",): [os.path.basename(folder)] * rows,
        ("file",): [name] * rows,
    }
    return [to_array(path, column, values.get(column.path) or [None] * rows, first) for column in columns]
