"""What a chapter of the report is made of: sentences, tables whose cells may be links, plots, and links to files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from winnow.stage import InputError

Link = Callable[[Path | str], str]
"""The address of a file, relative to the report."""


class Cell(NamedTuple):
    """Text of a cell, the address that it links to (empty: none), and a CSS class."""

    text: str
    target: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Part:
    """A table (`head` and `rows`; none where `head` is empty) and plots (SVG) with a heading, sentences above them, and the
    files that the numbers are from (text, address); `folded`: hidden behind a click."""

    title: str
    notes: Sequence[str] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    plots: Sequence[str] = ()
    files: Sequence[tuple[str, str]] = ()
    folded: bool = False

    @property
    def right(self) -> list[bool]:
        """Which columns hold numbers only, and are aligned to the right."""
        columns = [[row[i].text for row in self.rows if row[i].text] for i in range(len(self.head))]
        return [bool(texts) and all(text[0] in "0123456789+-\u2212<" for text in texts) for texts in columns]


@dataclass(frozen=True)
class Chapter:
    """A chapter: its anchor, its heading, the chapters it is listed with and its name among them, sentences that say what it
    shows, and its parts."""

    anchor: str
    title: str
    group: str
    name: str
    answer: Sequence[str] = ()
    parts: Sequence[Part] = field(default_factory=list)


def linker(out: Path) -> Link:
    """Addresses relative to the folder of the page `out`."""
    return lambda path: os.path.relpath(path, out.parent)


def text_cells(rows: Sequence[Sequence[str]]) -> list[list[Cell]]:
    return [[Cell(text) for text in row] for row in rows]


def share(count: int, total: int) -> str:
    """`1,234 (5.6 %)`."""
    return f"{count:,} ({100 * count / total:.1f} %)" if total else f"{count:,}"


def read_plot(path: Path) -> str:
    """An SVG. Raises InputError for a file that is none."""
    text = path.read_text(encoding="utf-8")
    if "<svg" not in text:
        raise InputError(f"{path}: no SVG; make it again with the rule that draws it")
    return text


class Files:
    """Files by option, which are taken in the order in which they were given."""

    def __init__(self, given: Mapping[str, Sequence[Path]], expected: Mapping[str, int]):
        """`expected`: how many files the spec names for each option. Raises InputError if another number was given."""
        for option, paths in given.items():
            if len(paths) != expected[option]:
                raise InputError(
                    f"--{option.replace('_', '-')}: {len(paths)} files; the spec names {expected[option]}"
                )
        self._rest = {option: iter(paths) for option, paths in given.items()}

    def next(self, option: str) -> Path:
        return next(self._rest[option])

    def take(self, option: str, count: int) -> list[Path]:
        return [self.next(option) for _ in range(count)]
