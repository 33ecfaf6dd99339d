"""Pages of tables for readers: Markdown, LaTeX and HTML of one `Page`, and how numbers are printed in them.

What all chapters share, and nothing of what a table is about. Bytes repeat for equal pages.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import NamedTuple

from winnow.stage import write_text

STAGE_VERSION = 1
NOTES = "notes"
PROSE = (NOTES, "text", "Favours", "Loses")
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


STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th{border-bottom:2px solid #222;text-align:left;padding:.3rem .6rem;vertical-align:bottom}
td{border-bottom:1px solid #ddd;padding:.25rem .6rem;white-space:nowrap}
td.r,th.r{text-align:right}
td.n{white-space:normal;min-width:14rem}
p.answer{font-size:17px;font-weight:600;margin:.4rem 0}
details{margin:1rem 0}
summary{cursor:pointer;font-size:1.2em;font-weight:600}
p.warning{border-left:4px solid #b2182b;background:#fdf0ed;padding:.5rem .8rem;font-weight:600}
.better{color:#1b7837}.worse{color:#b2182b}.little{color:#777}
svg{max-width:100%;height:auto}
"""


def html_head(title: str, style: str = "") -> str:
    """Beginning of a self-contained HTML page, up to its first heading; `style`: CSS beside STYLE."""
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}{style}</style>"
    )


def _figure(name: str, plot: str, level: int) -> str:
    return f"<h{level}>{html.escape(name)}</h{level}>\n<figure>{plot[plot.index('<svg') :]}</figure>"


def _html_table(table: Table, cell_classes: Mapping[str, str]) -> list[str]:
    head, body = table
    right = to_right(head, body)

    def cell(tag: str, text: str, i: int) -> str:
        kind = "r" if right[i] else "n" if head[i] in PROSE else ""
        colour = cell_classes.get(text) or cell_classes.get(text.rpartition(" ")[2], "")
        names = " ".join(filter(None, (kind, colour if tag == "td" else "")))
        attribute = f' class="{names}"' if names else ""
        return f"<{tag}{attribute}>{html.escape(text)}</{tag}>"

    out = ['<div class="wide"><table>\n<thead><tr>']
    out.append("".join(cell("th", text, i) for i, text in enumerate(head)) + "</tr></thead>\n<tbody>")
    out += ["<tr>" + "".join(cell("td", text, i) for i, text in enumerate(line)) + "</tr>" for line in body]
    out.append("</tbody></table></div>")
    return out


def html_page(page: Page) -> str:
    """One self-contained HTML page: no script, plots inline; its links are to pages beside it."""
    title = html.escape(page.title)
    out = [f"{html_head(page.title)}\n<h1>{title}</h1>"]
    out += [f'<p class="answer">{html.escape(sentence)}</p>' for sentence in page.answer]
    out += [f'<p class="warning">{html.escape(note)}</p>' for note in page.warnings]
    for index, section in enumerate(page.sections):
        heading, size = html.escape(section.title), f"h{section.level}"
        out.append(f"<details><summary>{heading}</summary>" if section.folded else f"<{size}>{heading}</{size}>")  # fmt: skip
        out += [f"<p>{html.escape(note)}</p>" for note in section.notes]
        out += [_figure(name, plot, section.level + 1) for name, plot in section.plots]
        if section.table:
            out += _html_table(section.table, page.cell_classes)
        out[-1] += "</details>" if section.folded else ""
        out += [_figure(name, plot, 2) for name, plot in page.plots] if index == 0 else []
    out.append("<h2>What it means</h2>")
    out += [f"<p>{html.escape(sentence)}</p>" for sentence in page.legend]
    for text, file in [*page.links, *([(HOW_TO_READ, page.guide)] if page.guide else [])]:
        out.append(f'<p><a href="{html.escape(file)}">{html.escape(text)}</a></p>')
    return "\n".join(out) + "\n</html>\n"


def write_page(out: Path, page: Page) -> None:
    """Writes `{out}.md`, `.tex` and `.html`."""
    write_text(Path(f"{out}.md"), markdown(page))
    write_text(Path(f"{out}.tex"), latex(page))
    write_text(Path(f"{out}.html"), html_page(page))
