"""The chapter of the samplers of a corpus: are their draws different at all, and from what did they draw?

In: compare_samplers.csv of the corpus, manifest.json of its subsets. Out: a chapter of the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from winnow import csv_files
from winnow.pages import number
from winnow.report.answers import listed
from winnow.report.parts import Cell, Chapter, Link, Part, text_cells
from winnow.stage import read_json

COLUMNS = {
    "b": "arm", "a": "compared with", "jaccard": "overlap", "chance_jaccard": "by chance", "allocation_tv": "allocations",
    "group_tv": "domains", "label_tv": "labels", "distance_ks": "distance", "length_ks": "length", "verdict": "verdict",
}  # fmt: skip
NUMBERS = tuple(name for name in COLUMNS if name not in ("a", "b", "verdict"))
DIFFER = "differ"
OTHERS = {
    "hardly differ": "hardly different from {baseline}: {arms}",
    "nearly the same documents": "nearly the same documents as {baseline}: {arms}",
    "no difference seen": "other documents than {baseline}, but no difference seen in what is measured: {arms}",
}
LEGEND = (
    "Overlap: documents of both over documents of either. Allocations, domains, labels: total variation between the mixes, 0 "
    "(equal) to 1. Distance, length: Kolmogorov-Smirnov distance between distributions, 0 to 1. The reference is two "
    "random draws of the pool. Arms whose draws hardly differ can show only noise after training."
)


def read(path: Path) -> list[dict[str, str]]:
    return csv_files.read_rows(path, [*COLUMNS, "table", "experiment", "kind", "pool"])


def table(rows: Sequence[Mapping[str, str]]) -> tuple[list[str], list[list[Cell]]]:
    """Columns of which a row has a value."""
    shown = [name for name in COLUMNS if any(row[name] for row in rows)]
    body = []
    for row in rows:
        texts = [number(float(row[name])) if name in NUMBERS and row[name] else row[name] for name in shown]
        if row["kind"] == "reference" and "verdict" in shown:
            texts[shown.index("verdict")] = "reference"
        body.append(texts)
    return [COLUMNS[name] for name in shown], text_cells(body)


def answers(by_table: Mapping[str, Sequence[Mapping[str, str]]]) -> list[str]:
    """One sentence a table: which arms drew other documents than the baseline, and which did not."""
    sentences = []
    for name, rows in by_table.items():
        pairs = [row for row in rows if row["kind"] == "pair"]
        if not pairs:
            continue
        baseline = pairs[0]["a"]
        by_verdict: dict[str, list[str]] = {}
        for row in pairs:
            by_verdict.setdefault(row["verdict"], []).append(row["b"])
        differ = by_verdict.pop(DIFFER, [])
        clauses = (
            [f"{listed(differ)} {'differs' if len(differ) == 1 else 'differ'} from {baseline}"]
            if differ
            else []
        )
        clauses += [
            OTHERS.get(verdict, f"{verdict}: {{arms}}").format(arms=listed(arms), baseline=baseline)
            for verdict, arms in by_verdict.items()
        ]
        sentences.append(f"Table {name}: {'; '.join(clauses)}.")
    return sentences


def draws(manifests: Sequence[Path], link: Link) -> Part | None:
    """From which pool each subset was drawn, and what it holds; None without subsets."""
    rows = []
    reasons: list[str] = []
    read_manifests = [(path, read_json(path)) for path in manifests]
    for _, made in read_manifests:
        reasons += [reason for reason, count in made["pool"]["excluded"].items() if count]
    reasons = list(dict.fromkeys(reasons))
    for path, made in read_manifests:
        ids, counts = made["ids"], made["counts"]
        texts = [
            f"{made['pool']['documents']:,}", *(f"{made['pool']['excluded'].get(reason, 0):,}" for reason in reasons),
            f"{counts['splits']['train']['documents']:,}", f"{counts['splits']['train']['bytes']:,}",
            f"{sum(made.get('removed', {}).values()):,}",
        ]  # fmt: skip
        names = [ids["sampler"], ids["clustering"], ids["budget"], str(ids["data_seed"])]
        rows.append([Cell(names[0], link(path)), *text_cells([[*names[1:], *texts]])[0]])
    if not rows:
        return None
    head = ["sampler", "clustering", "budget", "data seed", "pool", *(f"out: {reason}" for reason in reasons),
            "training documents", "bytes", "near-duplicates removed"]  # fmt: skip
    return Part("Subsets", ["What each sampler drew from, and what it drew; the name links to the manifest."], head, rows, folded=True)  # fmt: skip


def chapter(
    corpus: str, path: Path | None, page: Path | None, manifests: Sequence[Path], link: Link
) -> Chapter | None:
    """The chapter of a corpus; None where there is neither a comparison (`path`, and its page) nor a subset."""
    parts: list[Part] = []
    sentences: list[str] = []
    if path and page:
        by_table: dict[str, list[dict[str, str]]] = {}
        by_experiment: dict[str, list[dict[str, str]]] = {}
        for row in read(path):
            into, name = (by_table, row["table"]) if row["table"] else (by_experiment, row["experiment"])
            into.setdefault(name, []).append(row)
        sentences = answers(by_table)
        files = [("the page of this comparison", link(page)), (path.name, link(path))]
        for rows_of, folded in ((by_table, False), (by_experiment, True)):
            for name, rows in rows_of.items():
                head, body = table(rows)
                what = (
                    f"Arms of {name}, each against another"
                    if folded
                    else f"Arms of table {name} against its baseline"
                )
                pool = f"Draws from a pool of {int(float(rows[0]['pool'])):,} documents."
                parts.append(Part(what, [pool], head, body, files=files, folded=folded))  # fmt: skip
        parts.append(Part("What is measured", [LEGEND], folded=True))
    if subsets := draws(manifests, link):
        parts.append(subsets)
    if not parts:
        return None
    return Chapter(f"samplers-{corpus}", f"Samplers of {corpus}: are they different at all?", "Samplers", corpus, sentences, parts)  # fmt: skip
