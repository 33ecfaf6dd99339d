"""Pages of tables for readers: Markdown, LaTeX and HTML of one `Page`, and how numbers are printed in them.

What all chapters share, and nothing of what a table is about. Bytes repeat for equal pages. HTML is written by one
template engine (`render`) from the folder `templates/`: `base.html` and `style.css` of all pages, and a page's own template,
style sheet and script beside them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any, NamedTuple

from winnow.figures import in_page
from winnow.stage import write_text

STAGE_VERSION = 3
TEMPLATES = Path(__file__).parent / "templates"
NOTES = "notes"
PROSE = (NOTES, "text", "Favours", "Loses", "command", "packages")
"""Headings of columns of prose, which wrap and are aligned to the left."""
HOW_TO_READ = "How to read a table"


def number(value: float | None, signed: bool = False) -> str:
    """Four decimals, fewer of large numbers; full precision is in the CSV."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "inf" if value > 0 else "-inf" if value < 0 else "nan"
    size = abs(value)
    places = 0 if size >= 1000 else 2 if size >= 10 else 4
    if 0 < size < 5e-5:
        return f"{value:{'+' if signed else ''}.0e}".replace("-", "\u2212" if signed else "-", 1)
    text = f"{value:{'+' if signed else ''},.{places}f}"
    return text.replace("-", "\u2212") if signed else text


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}".replace("-", "\u2212")


def probability(value: float | None, level: float = 0.05) -> str:
    """Three significant digits, rounded up, so that the printed p is never smaller than p; but rounded down where this
    would reach `level`, .05, .01 or .001 from below: the printed p is on the same side of each as p."""
    if value is None:
        return ""
    least = min(0.001, level)
    if value < least:
        return f"<{least:g}"
    exact = Decimal(repr(min(1.0, float(value))))
    step = Decimal(1).scaleb(exact.adjusted() - 2)
    up = exact.quantize(step, ROUND_CEILING)
    crossed = any(value < threshold <= float(up) for threshold in (level, 0.05, 0.01))
    shown = exact.quantize(step, ROUND_FLOOR) if crossed else up
    return f"{shown:.{max(2, 2 - shown.adjusted())}f}"


def group_name(name: str) -> str:
    """Name of a group in a table: in quotes where it is empty or begins or ends with a blank."""
    return json.dumps(name, ensure_ascii=False) if name.strip() != name or not name else name


Table = tuple[list[str], list[list[str]]]
"""Headings, and rows of cells."""


class Section(NamedTuple):
    """A table with its heading; `folded`: hidden behind a click, in formats that can. `notes`: sentences above it; `plots`
    (name and SVG) below them, in HTML; `level` of the heading. Without a table it is a heading with notes and plots."""

    title: str
    table: Table | None
    folded: bool = False
    notes: Sequence[str] = ()
    plots: Sequence[tuple[str, str]] = ()
    level: int = 2


@dataclass(frozen=True)
class Page:
    """What all formats show: a title, the answer in words, warnings, tables, plots (SVG) below the first table, and
    sentences that explain them, with `links` (text and file) and a link to the guide (None: there is none). `cell_classes`: CSS class, by text, of
    the cells that are this text or end with a blank and it."""

    title: str
    warnings: list[str]
    legend: list[str]
    sections: list[Section]
    plots: list[tuple[str, str]] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    guide: str | None = None
    cell_classes: Mapping[str, str] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)


def _numeric(text: str) -> bool:
    return bool(text) and (text[0].isdigit() or text[0] in "+−-<[")


def to_right(head: list[str], body: list[list[str]]) -> list[bool]:
    """Which columns hold numbers, and are aligned to the right."""
    return [name not in PROSE and any(_numeric(line[i]) for line in body) for i, name in enumerate(head)]


def markdown(page: Page) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    out = [f"# {page.title}"]
    for sentence in page.answer:
        out += ["", f"**{sentence}**"]
    for note in page.warnings:
        out += ["", f"> **{note}**"]
    for section in page.sections:
        title, folded = section.title, section.folded
        out += ["", f"<details><summary>{html.escape(title)}</summary>" if folded else f"{'#' * section.level} {title}", ""]  # fmt: skip
        for note in section.notes:
            out += [note, ""]
        if section.table:
            head, body = section.table
            right = to_right(head, body)
            out += [line(head), line(["---:" if r else "---" for r in right])]
            out += [line(cells) for cells in body]
        out += ["", "</details>"] if folded else []
    out += ["", "## What it means", ""]
    out += [f"- {sentence}" for sentence in page.legend]
    for text, file in [*page.links, *([(HOW_TO_READ, page.guide)] if page.guide else [])]:
        out += ["", f"[{text}]({file})"]
    return "\n".join(out) + "\n"


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
        "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
        ">": r"\textgreater{}", "−": "$-$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
        "√": r"$\surd$", "±": r"$\pm$", "²": r"$^2$",
        "▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$",
    }
)  # fmt: skip


def latex(page: Page) -> str:
    """Fragments for `\\input`: one table each (booktabs), with a caption."""
    out = ["% Needs \\usepackage{booktabs,amssymb,longtable}"]
    notes = " ".join([*page.answer, *page.warnings, *page.legend]).translate(_LATEX)
    for index, (title, table, *_) in enumerate(page.sections):
        if table is None:
            continue
        head, body = table
        right = to_right(head, body)
        caption = f"{page.title}: {title[:1].lower()}{title[1:]}.".translate(_LATEX)
        columns = " & ".join(cell.translate(_LATEX) for cell in head) + r" \\"
        out += [
            "",
            rf"\begin{{longtable}}{{{''.join('r' if r else 'l' for r in right)}}}",
            rf"\caption{{{caption}{' ' + notes if index == 0 else ''}}}\\",
            r"\toprule",
            columns,
            r"\midrule",
            r"\endfirsthead",
            r"\toprule",
            columns,
            r"\midrule",
            r"\endhead",
            r"\bottomrule",
            r"\endlastfoot",
        ]
        # A line that begins with [ would be read as the optional argument of the \\ before it.
        out += [" & ".join(("{}" if c[:1] == "[" else "") + c.translate(_LATEX) for c in line) + r" \\" for line in body]  # fmt: skip
        out.append(r"\end{longtable}")
    return "\n".join(out) + "\n"


def _cells(table: Table, cell_classes: Mapping[str, str]) -> tuple[list, list[list]]:
    """Headings and rows of a table as (text, CSS classes) of each cell."""
    head, body = table
    right = to_right(head, body)

    def cell(text: str, i: int, heading: bool = False) -> tuple[str, str]:
        kind = "r" if right[i] else "n" if head[i] in PROSE else ""
        colour = cell_classes.get(text) or cell_classes.get(text.rpartition(" ")[2], "")
        return text, " ".join(filter(None, (kind, "" if heading else colour)))

    return [cell(text, i, True) for i, text in enumerate(head)], [
        [cell(text, i) for i, text in enumerate(line)] for line in body
    ]


@functools.cache
def _environment() -> Any:
    """The template engine of all pages: Jinja2 over the folder `templates/`, which escapes every value.

    In templates: `file(name)`, the text of a file of that folder (style sheets, scripts), as it is; `text | svg`, a plot in
    the colours of the page (`winnow.figures.in_page`); `script | digest`, the digest by which a page allows its one script and no other.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"file": lambda name: Markup(read_template(name)), "cells": _cells, "script": ""}
    environment.filters |= {
        "svg": lambda plot: Markup(in_page(plot)),
        "digest": lambda text: (
            "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        ),
    }
    return environment


def read_template(name: str) -> str:
    """The text of a file of the folder `templates/`."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """One self-contained HTML page of a template that extends `base.html`.

    `values`: `title`, and what the template names. As they are, unescaped: `script`, the source of the page's one script,
    which the template puts into a `<script>` without a blank around it, and `data`, JSON for it (`script_json`). No page loads
    anything: its Content-Security-Policy forbids it.
    """
    from markupsafe import Markup

    as_is = {name: Markup(values[name]) for name in ("script", "data") if name in values}
    return _environment().get_template(template).render(**values | as_is)


_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029\x7f"}
_UNSAFE |= {number: f"\\u{number:04x}" for number in range(0x80, 0xA0)}


def script_json(value: Any) -> str:
    """JSON for a `<script>` of an HTML page: no `<`, `>` or `&`, no line separator and no control character in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_UNSAFE)


def html_page(page: Page) -> str:
    """One self-contained HTML page: no script, plots inline; its links are to pages beside it."""
    links = [*page.links, *([(HOW_TO_READ, page.guide)] if page.guide else [])]
    return render("page.html", title=page.title, page=page, links=links)


def write_page(out: Path, page: Page) -> None:
    """Writes `{out}.md`, `.tex` and `.html`."""
    write_text(Path(f"{out}.md"), markdown(page))
    write_text(Path(f"{out}.tex"), latex(page))
    write_text(Path(f"{out}.html"), html_page(page))


def source_text(source: Mapping[str, Any]) -> str:
    """Where the documents of a corpus come from, in words. `source`: corpora.NAME.source of the config."""
    if "hub" in source:
        return f"Hub data set {source['hub']}, revision {source['revision']}"
    if "generator" in source:
        return f"generated here ({source['generator']})"
    return f"local files: {', '.join(source['files'])}"
