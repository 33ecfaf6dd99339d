"""The page of what samplers favour or lose: rows of `winnow.profile.shift` in, a table and a plot an arm out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from winnow.pages import Page, Section, number, probability
from winnow.profile.shift_plot import shift
from winnow.profile.shift_tests import Row, differs

NAMED = 4
"""Findings of an arm that its line of the first table names, of each kind."""
LEGEND = [
    "The corpus: all its documents but those that are held out and duplicates; documents of excluded clusters are part of it, so "
    "what an exclusion removes counts as lost.",
    "A number is compared by its mean: the standardised difference, (drawn - corpus) in standard deviations of the corpus, with a "
    "normal test for samples without replacement. Categories and labels are compared by the total variation of their shares (0: "
    "as in the corpus, 1: nothing in common) against random draws of the same size; each category or label by its share of the "
    "documents, in percentage points, with an exact hypergeometric test.",
    "95 % of random draws lie within the range in the column of random draws. Figures are means over the data seeds. The "
    "p-value of several seeds is twice the mean of theirs, which is valid however they depend on each other; all p-values of a "
    "page are adjusted by Benjamini and Hochberg's method, those of measures and those of labels apart. A difference is called "
    "one below .05.",
    "A random sampler should differ in nothing. A sampler that differs is not a better or a worse one: the tables of benchmarks "
    "say whether it is.",
    "Words of the text: of the 200 most frequent words those that at most half of the documents have.",
]  # fmt: skip


def points(value: float | None) -> str:
    """A difference of shares in percentage points."""
    return "" if value is None else f"{100 * value:+.2f}".replace("-", "−")


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"


def _verdict(row: Row) -> str:
    if row["p"] is None:
        return "no test"
    if not differs(row):
        return "as random"
    if row["measure"] == "total variation":
        return "differs"
    return "higher" if row["value"] > 0 else "lower"


def in_words(arms: Sequence[Row], labels: Sequence[Row]) -> tuple[str, str]:
    """(what an arm favours, what it loses): its largest differences of each kind."""
    out = []
    for sign in (1, -1):
        numbers = [
            r for r in arms if differs(r) and r["measure"] != "total variation" and sign * r["value"] > 0
        ]
        shares = [r for r in labels if differs(r) and sign * r["difference"] > 0]
        numbers.sort(key=lambda r: -abs(r["value"]))
        shares.sort(key=lambda r: -abs(r["difference"]))
        parts = [f"{r['column']} ({number(r['value'], signed=True)} SD)" for r in numbers[:NAMED]]
        parts += [f"{r['column']} {r['label']} ({points(r['difference'])} points)" for r in shares[:NAMED]]
        out.append(", ".join(parts) or "nothing")
    return out[0], out[1]


def arm_section(arm: str, rows: Sequence[Row]) -> Section:
    """All columns of an arm, those that differ first, the least p-value first."""
    ordered = sorted(
        rows, key=lambda r: (not differs(r), 2.0 if r["p_adjusted"] is None else r["p_adjusted"])
    )
    body = []
    for row in ordered:
        numbers = row["measure"] != "total variation"
        limit = row["random"]
        shown = "" if limit is None else f"within {number(limit)}" if numbers else f"up to {number(limit)}"
        body.append([
            row["column"], row["measure"], number(row["pool"]), number(row["drawn"]),
            number(row["value"], signed=numbers), shown, probability(row["p_adjusted"]), _verdict(row),
        ])  # fmt: skip
    head = ["Column", "Compared by", "Corpus (mean)", "Drawn (mean)", "Difference", "Random draws", "p (adjusted)", "Verdict"]  # fmt: skip
    return Section(f"{arm}: measures", (head, body))


def label_section(arm: str, rows: Sequence[Row]) -> Section | None:
    """Categories and labels of an arm that differ; None if none does."""
    found = sorted((r for r in rows if differs(r)), key=lambda r: -abs(r["difference"]))
    if not found:
        return None
    body = [
        [r["column"], r["label"], _share(r["pool_share"]), _share(r["drawn_share"]), points(r["difference"]),
         probability(r["p_adjusted"])]
        for r in found
    ]  # fmt: skip
    head = ["Column", "Label", "Corpus", "Drawn", "Points", "p (adjusted)"]
    return Section(
        f"{arm}: the {len(body)} of {len(rows)} categories and labels that differ", (head, body), True
    )


def make_page(
    name: str, rows: Sequence[Row], label_rows: Sequence[Row], arms: Sequence[Row], labels: Sequence[Row]
) -> Page:
    """The page of an experiment. `rows`, `label_rows`: of draws; `arms`, `labels`: of arms (winnow.profile.shift_tests)."""
    names = list(dict.fromkeys(row["arm"] for row in arms))
    summary: list[list[str]] = []
    sections: list[Section] = []
    plots: list[tuple[str, str]] = []
    for arm in names:
        of_arm: list[dict[str, Any]] = [row for row in arms if row["arm"] == arm]
        of_labels = [row for row in labels if row["arm"] == arm]
        favours, loses = in_words(of_arm, of_labels)
        count = sum(map(differs, of_arm))
        tested = sum(row["p"] is not None for row in of_arm)
        documents = number(of_arm[0]["documents"]) if of_arm else ""
        summary.append([arm, str(of_arm[0]["seeds"]), documents, f"{count} of {tested}", favours, loses])
        sections.append(arm_section(arm, of_arm))
        if section := label_section(arm, of_labels):
            sections.append(section)
        plots.append(
            (arm, shift([r for r in rows if r["arm"] == arm], [r for r in label_rows if r["arm"] == arm]))
        )
    head = ["Arm", "Draws", "Documents (mean)", "Columns that differ", "Favours", "Loses"]
    first = Section("What each arm favours and loses, compared with the corpus", (head, summary))
    return Page(
        title=f"{name}: what the samplers favour or lose" if name else "What the samplers favour or lose",
        warnings=[] if arms else ["There is nothing to compare: no draws, or no columns."],
        legend=LEGEND,
        sections=[first, *sections],
        plots=plots,
        links=[
            ("All draws and columns", "shift.csv"),
            ("All draws, categories and labels", "shift-labels.csv"),
        ],
    )
