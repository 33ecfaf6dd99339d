"""Parts of the report on profiles: what is in a corpus, and what its samplers favour or lose.

In: facts.json, describe.csv and plots of a profile; shift.csv and shift.svg of an experiment. Out: parts, and a chapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from winnow import csv_files
from winnow.pages import number, probability
from winnow.report.answers import listed
from winnow.report.parts import Cell, Chapter, Link, Part, read_plot, text_cells
from winnow.stage import read_json

LEVEL = 0.05
LARGEST = 15
"""Differences of an experiment that are listed, the largest first."""


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV, none of one that has only its headings."""
    with open(path, encoding="utf-8") as file:
        file.readline()
        if not file.readline():
            return []
    return csv_files.read_rows(path, columns)


def profile_parts(
    facts: Path, measures: Path, plots: Sequence[Path], page: Path, card: Path, link: Link
) -> list[Part]:
    """What a profile measured. `facts`: facts.json; `measures`: describe.csv; `page` and `card` are linked."""
    note = f"{read_json(facts)['documents']:,} documents were measured."
    files = [("the whole profile", link(page)), ("card of the corpus", link(card))]
    parts = [Part("Profile", [note], files=files)]
    if rows := read_rows(measures, []):
        head = list(rows[0])
        cells = text_cells([[_number(row[name]) for name in head] for row in rows])
        parts.append(
            Part(
                "Measures of the profile",
                [],
                head,
                cells,
                files=[(measures.name, link(measures))],
                folded=True,
            )
        )
    drawn = [read_plot(path) for path in plots]
    if drawn:
        parts.append(Part("Plots of the profile", plots=drawn, files=files[:1], folded=True))
    return parts


def _number(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return text
    return f"{value:,.0f}" if value.is_integer() else number(value)


def shift_chapter(experiment: str, corpus: str, table: Path, plot: Path, page: Path, link: Link) -> Chapter:
    """What the samplers of an experiment favour or lose. `table`: shift.csv; `plot`: shift.svg; `page` is linked."""
    rows = read_rows(table, ["arm", "data_seed", "column", "measure", "pool", "drawn", "value", "p_adjusted"])
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    beyond = {arm: {row["column"] for row in rows if row["arm"] == arm and row["p_adjusted"] and float(row["p_adjusted"]) < LEVEL} for arm in arms}  # fmt: skip
    columns = len({row["column"] for row in rows if row["p_adjusted"]})
    one_draw = ", in one of its draws or more" if len({row["data_seed"] for row in rows}) > 1 else ""
    sentences = [
        f"{arm} differs from random draws in {len(beyond[arm]):,} of {columns:,} measures{one_draw}."
        for arm in arms
        if beyond[arm]
    ]
    same = [arm for arm in arms if not beyond[arm]]
    if same:
        sentences.append(f"No measure of the draws of {listed(same)} differs from random draws.")
    ranked = sorted(
        (row for row in rows if row["p_adjusted"] and float(row["p_adjusted"]) < LEVEL and row["value"]),
        key=lambda row: -abs(float(row["value"])),
    )[:LARGEST]
    body = [
        [
            Cell(row["arm"]), Cell(row["data_seed"], kind="r"), Cell(row["column"]), Cell(_number(row["pool"]), kind="r"),
            Cell(_number(row["drawn"]), kind="r"), Cell(row["measure"]), Cell(number(float(row["value"]), True), kind="r"),
            Cell(probability(float(row["p_adjusted"])), kind="r"),
        ]
        for row in ranked
    ]  # fmt: skip
    files = [("the page of these shifts", link(page)), (table.name, link(table))]
    head = ["arm", "data seed", "measure", "corpus", "draw", "difference as", "difference", "p (adjusted)"]
    return Chapter(
        f"shifts-{experiment}",
        f"What the samplers of {experiment} favour or lose",
        "Subset profiles",
        experiment,
        sentences,
        [
            Part("The largest differences", [] if body else ["None is beyond those of random draws."], head if body else [], body, files=files),
            Part("All arms and measures", [f"Measures of what each sampler drew from {corpus}, beside the corpus."], plots=[read_plot(plot)], files=files, folded=True),
        ],
    )  # fmt: skip
