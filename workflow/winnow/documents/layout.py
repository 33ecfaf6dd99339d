"""The layout of a corpus: the one type of each column that all its files need, and the classes of its label."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from winnow.documents.classes import class_number, classes, read_labels, unknown_label, whole_numbers
from winnow.documents.columns import (
    DECLARED,
    RESERVED,
    Column,
    Labels,
    Layout,
    advice,
    known,
    shown,
    storable,
    widen,
)
from winnow.documents.survey import Survey, columns_there, survey, wanted_columns
from winnow.documents.threads import in_order
from winnow.stage import InputError


def unify_columns(surveys: list[Survey], corpus: dict[str, Any]) -> dict[str, Column]:
    """The columns that a corpus reads, by name, each with the one type that all its files need.

    A meta column that some files lack is null in their rows. Raises InputError for a column that is in no file (naming
    those that are there), a text column of another type, a name that Winnow itself uses, and values of a column that have
    no type in common.
    """
    label, meta, declared = corpus.get("label"), list(corpus.get("meta") or []), corpus.get("types") or {}
    for name in meta:
        if name in RESERVED:
            raise InputError(f"meta: {name!r} is a name that Winnow itself uses; rename it in the source")
    for name in declared:
        if name not in (*meta, corpus["text"]):
            raise InputError(
                f"types: {name!r} is not among text and meta: {', '.join([corpus['text'], *meta])}"
            )
    columns = {}
    for name in wanted_columns(corpus):
        having = [one for one in surveys if name in one.seen]
        if name == corpus["text"]:
            lacking = [one for one in surveys if one.rows and name not in one.seen]
        else:
            lacking = [] if having else surveys
        if lacking:
            raise InputError(
                f"{lacking[0].path}: no column {name!r}; {columns_there(lacking[0].columns, name)}"
            )
        first = next((one for one in having if one.seen[name].row), having[0])
        kind: pa.DataType = pa.null()
        for one in having:
            seen = one.seen[name]
            if seen.row and seen.path != first.seen[name].path:
                raise InputError(
                    f"{one.path}: {name!r} is found as {' > '.join(seen.path)}, in {first.path} as "
                    f"{' > '.join(first.seen[name].path)}; write it in one form"
                )
            both = widen(kind, seen.type)
            if both is None and name in declared:
                continue
            if both is None:
                other = next(s for s in having if widen(s.seen[name].type, seen.type) is None)
                raise InputError(
                    f"{one.path}: row {seen.row}: column {name!r} is {shown(seen.type)}, but "
                    f"{shown(other.seen[name].type)} in {other.path}; {advice(name, name == label)}"
                )
            kind = both
        if name in declared:
            columns[name] = Column(name, first.seen[name].path, DECLARED[declared[name]], True)
            continue
        if name == corpus["text"] and not (pa.types.is_string(kind) or pa.types.is_null(kind)):
            raise InputError(
                f"{first.path}: text column {name!r} is {shown(kind)}, not text; columns: {first.columns}"
            )
        if why := storable(known(kind)):
            raise InputError(f"{first.path}: column {name!r} {why}")
        columns[name] = Column(name, first.seen[name].path, known(kind), label=name == label)
    if label:
        _check_label(columns[label], surveys[0].path)
    return columns


def _check_label(column: Column, path: str) -> None:
    t, kind = pa.types, column.type
    if not (t.is_integer(kind) or t.is_string(kind) or t.is_boolean(kind) or t.is_floating(kind)):
        raise InputError(
            f"{path}: label column {column.name!r} is {shown(kind)}; a label is text, a whole number, or true or false"
        )


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
    files in flight; `done`, called with each file that was surveyed; `given`, the classes where they are known: a label
    that is none of them is an error. Raises InputError as `unify_columns`, `read_labels` and `classes` do.
    """
    surveys = []
    for file_survey in in_order(lambda file: survey(file[0], file[1], file[2], corpus), files, pool, depth):
        surveys.append(file_survey)
        done(file_survey.path)
    if not any(survey.rows for survey in surveys):
        raise InputError(f"{files[0][0]}: no rows in {'this file' if len(files) == 1 else 'any file'}")
    columns = unify_columns(surveys, corpus)
    name = corpus.get("label")
    if not name:
        return Layout(columns[corpus["text"]], None, None, _meta(columns, corpus)), surveys
    text, label = columns[corpus["text"]], columns[name]
    labels_of_files = list(
        in_order(lambda file: (file[0], read_labels(file[0], file[1], text, label)), files, pool, depth)
    )
    if pa.types.is_string(label.type) and all(kind in ("csv", "tsv") for _, kind, _ in files):
        numbers = whole_numbers(labels_of_files, name)
        if numbers is not None:
            label, labels_of_files = Column(label.name, label.path, pa.int64(), label=True), numbers
    if not any(labels for _, labels in labels_of_files):
        return Layout(text, label, Labels((), ()), _meta(columns, corpus)), surveys
    if given:
        for of_file in surveys:
            if of_file.class_names not in (None, given.names):
                raise InputError(
                    f"{of_file.path}: names its classes {', '.join(of_file.class_names or ())}, the corpus "
                    f"{', '.join(given.names)}; store the labels as text"
                )
        for path, labels in labels_of_files:
            for value, row in labels.items():
                if class_number(value, given) is None:
                    raise InputError(f"{path}: row {row}: {unknown_label(value, name, given)}")
    return Layout(
        text, label, given or classes(labels_of_files, surveys, name), _meta(columns, corpus)
    ), surveys


def _meta(columns: dict[str, Column], corpus: dict[str, Any]) -> tuple[Column, ...]:
    return tuple(columns[name] for name in corpus.get("meta") or [])
