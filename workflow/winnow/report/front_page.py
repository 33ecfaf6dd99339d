"""The first things of the report as reStructuredText, for the front page of Snakemake's own report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def escape(text: str) -> str:
    """Text of which docutils makes the same text and nothing else, on one line."""
    return re.sub(r"([^\w\s])", r"\\\1", " ".join(text.split()))


COLUMNS = ("arm", "benchmark", "figure", "baseline", "difference", "p (adjusted)")
"""Of the main table; Snakemake's front page is no wider."""


def main_table(table: Mapping[str, Any]) -> list[str]:
    """Lines of the main table of a chapter: `head`, and `lines` with `cells`, `symbol` and `verdict`."""
    shown = [place for place, name in enumerate(table["head"]) if name in COLUMNS]
    rows = [[*(table["head"][place] for place in shown), "verdict"]]
    for line in table["lines"]:
        rows.append([*(line["cells"][place][0] for place in shown), f"{line['symbol']} {line['verdict']}"])
    out = ["", ".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        out += [
            f"   {'* -' if place == 0 else '  -'} {escape(cell)}".rstrip() for place, cell in enumerate(row)
        ]
    return out


def front_page(
    question: str, title: str, answer: Sequence[str], chapters: Sequence[Mapping[str, Any]]
) -> str:
    """The question, the answer of the run, and each table with its answer, verdicts and their legend. `chapters` as the
    template's."""
    out = [escape(title), "=" * max(4, 2 * len(title)), "", escape(question), ""]
    out += [f"**{escape(sentence)}**\n" for sentence in answer]
    for chapter in chapters:
        out += ["", escape(chapter["title"]), "-" * max(4, 2 * len(chapter["title"])), ""]
        out += [escape(" ".join(chapter["answer"]))]
        if chapter["comparisons"]["lines"]:
            out += main_table(chapter["headline"] or chapter["comparisons"])
            out += ["", "; ".join(f"{escape(f'{symbol} {verdict}')}: {escape(text)}" for symbol, verdict, text in chapter["legend"]) + "."]  # fmt: skip
    return "\n".join(out) + "\n"
