"""Classes of a labelled corpus, from the labels of its files.

In: the label column of each file. Out: the classes (texts in sorted order, numbers in ascending order, those of a
ClassLabel of `datasets` in its own), and the class of a label.
"""

from __future__ import annotations

import difflib
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from winnow.documents.columns import Column, Labels, whole
from winnow.documents.readers import READERS, blank
from winnow.documents.survey import Survey
from winnow.stage import InputError

MAX_LABELS = 1_000


def read_labels(path: str, kind: str, text: Column, label: Column) -> dict[Any, int]:
    """The distinct labels of the rows of a file that have a text, each with its first row (from 1).

    Raises InputError for a label that is missing, empty, negative or a fraction, and for more than MAX_LABELS.
    """
    first_rows: dict[Any, int] = {}
    for first, _, work in READERS[kind]({"path": path}, (text, label), 0, 1 << 62):
        texts, labels = work()
        with_text = pc.invert(blank(pc.replace_substring(texts, "\x00", "")))
        if pa.types.is_float16(labels.type):
            labels = labels.cast(pa.float64())
        missing = pc.and_(labels.is_null(nan_is_null=True), with_text)
        if pc.any(missing).as_py():
            row = first + 1 + pc.index(missing, True).as_py()
            raise InputError(missing_label(path, row, label.name))
        for value in pc.unique(labels.filter(with_text)).to_pylist():
            if value not in first_rows:
                row = first + 1 + pc.index(labels, pa.scalar(value, labels.type)).as_py()
                first_rows[_class(path, row, label.name, value)] = row
        if len(first_rows) > MAX_LABELS:
            raise InputError(
                f"{path}: label {label.name!r} has more than {MAX_LABELS:,} different values; a label names a class: "
                "is this an id?"
            )
    return first_rows


def missing_label(path: str, row: int, name: str) -> str:
    """The error of a row with a text and no label."""
    return f"{path}: row {row}: label {name!r} is missing; label the row, or remove it"


def _class(path: str, row: int, name: str, value: Any) -> Any:
    """A label as the value of a class."""
    where = f"{path}: row {row}: label {name!r}"
    if isinstance(value, str):
        if not value.strip():
            raise InputError(missing_label(path, row, name))
        if value != value.strip():
            raise InputError(f"{where} is {value!r}; remove the spaces at its ends")
        return value
    if isinstance(value, float):
        if not value.is_integer():
            raise InputError(f"{where} is {value}; a label is text, a whole number, or true or false")
        value = int(value)
    if value < 0:
        raise InputError(f"{where} is {value}, which marks rows without a label; remove such rows")
    return value


def classes(labels_of_files: list[tuple[str, dict[Any, int]]], surveys: list[Survey], name: str) -> Labels:
    """The classes of a corpus from the labels of its files: texts in sorted order, numbers in ascending order; those of
    a ClassLabel in its own order.

    Raises InputError for a label outside a ClassLabel.
    """
    path = labels_of_files[0][0]
    values = {
        value: (where, row) for where, labels in reversed(labels_of_files) for value, row in labels.items()
    }
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
    """The class of a label, by its value in the source or by its name; None of an unknown label."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    for number, known in enumerate(labels.values):
        if value == known and isinstance(value, bool) == isinstance(known, bool):  # 1 == True
            return number
    return labels.names.index(_name(value)) if _name(value) in labels.names else None


def unknown_label(value: Any, name: str, labels: Labels) -> str:
    """The error of a label that is not one of the corpus's classes."""
    near = difflib.get_close_matches(str(value), labels.names, 1) or [
        n for n in labels.names if n.lower() == str(value).lower()
    ]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join(labels.names[:10]) + (", ..." if len(labels.names) > 10 else "")
    return f"label {name!r} is {value!r}, which is not one of the corpus's {len(labels.names)} classes ({known}){hint}"


def _name(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def whole_numbers(
    labels_of_files: list[tuple[str, dict[Any, int]]], name: str
) -> list[tuple[str, dict[Any, int]]] | None:
    """The labels of csv files as whole numbers, or None if one of them is another text."""
    try:
        return [
            (path, {_class(path, row, name, whole(value)): row for value, row in labels.items()})
            for path, labels in labels_of_files
        ]
    except ValueError:
        return None
