"""CSV files: rows read with the columns that a stage requires, and rows written with every number in full."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from winnow.stage import InputError, atomic_path, canonical


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file that must have `columns`, cells without surrounding blanks.

    Raises InputError naming what is missing or cannot be read, and for a file without rows.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path}: no column {missing[0]!r}; columns: {', '.join(reader.fieldnames or ())}"
                )
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    if not rows:
        raise InputError(f"{path}: no rows")
    return rows


def cell(value: Any) -> str:
    """A CSV cell: floats by their shortest exact form, lists joined by "; ", mappings as JSON, None empty."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "; ".join(map(cell, value))
    if isinstance(value, dict):
        return canonical(value) if value else ""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Writes `columns` of rows (see `cell`), in UTF-8, one line per row."""
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([cell(row[name]) for name in columns] for row in rows)
