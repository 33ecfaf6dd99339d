"""Formats of source files, by their names. Light to import: the checks of the configuration use it."""

from __future__ import annotations

import os

from winnow.stage import InputError

ENDINGS = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".jsonl": "jsonl",
    ".jsonlines": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "txt",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}


def file_format(path: str, lines: bool = False) -> tuple[str, str | None]:
    """Format (parquet, arrow, jsonl, csv, tsv, txt, or lines: a txt file with one document per line, which `lines`
    asks for) and compression (gzip, zstd, bz2, xz or None), by the file's name."""
    stem, ending = os.path.splitext(path.lower())
    compression = COMPRESSIONS.get(ending)
    if compression:
        ending = os.path.splitext(stem)[1]
    kind = ENDINGS.get(ending)
    if kind is None or (kind in ("parquet", "arrow") and compression):
        raise InputError(
            f"{path}: unknown file format; known: .parquet, .arrow, .jsonl, .csv, .tsv, .txt "
            "(all but parquet and arrow also with .gz, .zst, .bz2 or .xz)"
        )
    return ("lines" if lines and kind == "txt" else kind), compression
