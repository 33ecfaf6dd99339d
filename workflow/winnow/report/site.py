"""The report of a run: one self-contained page that begins with the answer, and links to all other pages of the run.

In: tables of `winnow.compare`, their ledgers and plots, learning curves, costs, and the items of the evaluations. Out:
index.html. Every figure links to the files that it came from. Nothing is loaded from elsewhere.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from winnow import csv_files
from winnow.pages import number, percent, probability, read_template, render
from winnow.report.answers import LEGEND, SYMBOLS, answer_of, compared, labels, of_run
from winnow.report.flips import flips
from winnow.schema import read_spec
from winnow.stage import InputError, read_json, run, say, write_text

STAGE_VERSION = 1
NUMBERS = ("figure", "effect", "ci_low", "ci_high", "p_adjusted", "seeds", "runs", "items", "chance", "percent_difference",
           "minimum_detectable_effect_family")  # fmt: skip


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV of `winnow.compare`: numbers as float or None, `is_baseline` and `detectable_family` as bool."""
    rows: list[dict[str, Any]] = [
        *csv_files.read_rows(path, ["arm", "benchmark", "metric", "is_baseline", "verdict"])
    ]
    for row in rows:
        for name in NUMBERS:
            if name in row:
                row[name] = float(row[name]) if row[name] else None
        for name in ("is_baseline", "detectable_family"):
            row[name] = row.get(name) == "true"
        row["group"] = row.get("group") or None
    names = labels([row["arm"] for row in rows])
    for row in rows:
        row["label"], row["baseline_label"] = (
            names[row["arm"]],
            names.get(row.get("baseline") or "", row.get("baseline")),
        )
    return rows


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


INTERVAL = "interval"
HEAD = ["arm", "benchmark", "figure", "baseline", "difference", "%", INTERVAL, "p (adjusted)", "min. detectable", "seeds"]  # fmt: skip


def comparisons(
    rows: Sequence[dict[str, Any]], claims: Sequence[dict[str, Any]], link: Any, level: float
) -> dict[str, Any]:
    """The main table: `head`; `lines` of cells (text, value to sort by, whether a number), verdict and files behind the figures;
    columns of which no line has a value are left out."""
    files = {
        (c["arm"], c["benchmark"], c["metric"]): c
        for c in claims
        if c["group"] is None and c["kind"] == "measured"
    }
    baselines = {
        (row["benchmark"], row["metric"]): row for row in rows if row["is_baseline"] and row["group"] is None
    }
    lines = []
    for row in compared(rows):
        claim = files.get((row["arm"], row["benchmark"], row["metric"]), {})
        base = baselines.get((row["benchmark"], row["metric"]), {})
        sources = [
            *claim.get("figure_files", []),
            *claim.get("baseline_files", []),
            *claim.get("source_files", []),
        ]
        log = " (log)" if row.get("scale") == "log ratio" else ""
        least = row.get("minimum_detectable_effect_family")
        interval = (
            ""
            if row["ci_low"] is None or row["ci_low"] == row["ci_high"]
            else f"[{number(row['ci_low'], True)}, {number(row['ci_high'], True)}]"
        )
        name = f"{row['benchmark']} {row['metric']}"
        lines.append(
            {
                "cells": [
                    (row["label"], row["label"], False),
                    (name, name, False),
                    (number(row["figure"]), row["figure"], True),
                    (number(base.get("figure")), base.get("figure"), True),
                    (number(row["effect"], True) + log, row["effect"], True),
                    (percent(row.get("percent_difference")), row.get("percent_difference"), True),
                    (interval, row["ci_low"], True),
                    (probability(row["p_adjusted"], level), row["p_adjusted"], True),
                    ("none" if least is not None and not row["detectable_family"] else number(least), least, True),
                    (str(int(row["seeds"] or 0)), row["seeds"], True),
                ],
                "verdict": row["verdict"],
                "symbol": SYMBOLS.get(row["verdict"], ""),
                "files": [(source, link(source)) for source in dict.fromkeys(sources)],
            }
        )  # fmt: skip
    shown = [i for i in range(len(HEAD)) if any(line["cells"][i][0] for line in lines)]
    for line in lines:
        line["cells"] = [line["cells"][i] for i in shown]
    head = [f"{100 * (1 - level):g} % interval" if name == INTERVAL else name for name in HEAD]
    return {"head": [head[i] for i in shown], "lines": lines, "files": any(line["files"] for line in lines)}


def flip_lines(
    claims: Sequence[dict[str, Any]], known: dict[str, Path], names: dict[str, str]
) -> list[dict[str, Any]]:
    """What changes item by item between each arm and its baseline, where answers are right or wrong."""
    lines = []
    for claim in claims:
        if claim["group"] is not None or claim["kind"] != "measured":
            continue
        files = [[known[f] for f in claim[side] if f in known] for side in ("figure_files", "baseline_files")]
        found = flips(files[0], files[1], claim["benchmark"], claim["metric"]) if all(files) else None
        if found:
            lines.append({"arm": names.get(claim["arm"], claim["arm"]), "benchmark": f"{claim['benchmark']} {claim['metric']}", "flips": found})  # fmt: skip
    return lines


def curve_lines(path: Path) -> tuple[list[str], list[list[str]]]:
    """Learning curves as a table: an arm a line, a column a number of labels."""
    rows = csv_files.read_rows(path, ["benchmark", "arm", "labels", "accuracy"])
    names = labels([row["arm"] for row in rows])
    budgets = sorted({int(float(row["labels"])) for row in rows if row["labels"]})
    body: dict[tuple[str, str], dict[int, str]] = {}
    for row in rows:
        if row["labels"] and row.get("accuracy"):
            key = (row["benchmark"], names[row["arm"]])
            body.setdefault(key, {})[int(float(row["labels"]))] = number(float(row["accuracy"]))
    return ["benchmark", "arm", *(f"{b:,} labels" for b in budgets)], [
        [*key, *(cells.get(b, "") for b in budgets)] for key, cells in body.items()
    ]


def svg_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if "<svg" not in text:
        raise InputError(f"{path}: no SVG; make it again with the rule that draws it")
    return text


def main(
    *,
    tables: list[Path],
    claims: list[Path],
    plots: list[Path],
    spec: str,
    out: Path,
    items: list[Path] = [],
    fronts: list[Path] = [],
    curves: list[Path] = [],
    curve_plots: list[Path] = [],
    pages: list[Path] = [],
    costs: list[Path] = [],
    areas: list[Path] = [],
) -> None:
    """Write the report of a run.

    Args:
        tables: TABLE.csv of each table, in the order of the spec.
        claims: TABLE.claims.json of each.
        plots: TABLE.svg of each, its forest plot.
        spec: JSON: tables (name, title, confidence, and whether there are costs and curves), pages (chapter and title, in the order of
            --pages).
        out: index.html to write.
        items: items.parquet of all evaluations of the tables.
        fronts: TABLE.pareto.svg of the tables with costs.
        curves: TABLE.curves.csv of the tables with rounds of labelling.
        curve_plots: TABLE.curves.svg of these.
        pages: other pages of the run, which are linked.
        costs: TABLE.costs.csv of the tables with costs.
        areas: TABLE.curves.areas.csv of the tables with rounds: their headline.
    """
    settings = read_spec(spec, "tables", "pages")
    names = settings["tables"]
    for option, given, wanted in (
        ("tables", tables, len(names)), ("claims", claims, len(names)), ("plots", plots, len(names)), ("pages", pages, len(settings["pages"])),
        ("fronts", fronts, sum(t["costs"] for t in names)), ("costs", costs, sum(t["costs"] for t in names)),
        ("curves", curves, sum(t["curves"] for t in names)), ("areas", areas, sum(t["curves"] for t in names)), ("curve-plots", curve_plots, sum(t["curves"] for t in names)),
    ):  # fmt: skip
        if len(given) != wanted:
            raise InputError(f"--{option}: {len(given)} files; the spec names {wanted}")

    def link(path: Path | str) -> str:
        return os.path.relpath(path, out.parent)

    known = {str(path): path for path in items}
    of_front, of_costs = iter(fronts), iter(costs)
    of_curves, of_curve_plots, of_areas = iter(curves), iter(curve_plots), iter(areas)
    chapters = []
    read = []
    for table, path, ledger, plot in zip(names, tables, claims, plots, strict=True):
        rows, claimed = read_rows(path), read_json(ledger)
        level = round(1 - table["confidence"], 9)
        headline = read_rows(next(of_areas)) if table["curves"] else rows
        read.append((table["title"], headline))
        one: dict[str, Any] = {
            "name": table["name"],
            "title": table["title"],
            "answer": answer_of(headline, level),
            "comparisons": comparisons(rows, claimed, link, level),
            "headline": comparisons(headline, [], link, level) if table["curves"] else None,
            "forest": svg_of(plot),
            "flips": flip_lines(claimed, known, {row["arm"]: row["label"] for row in rows}),
            "links": [(text, link(path.with_name(f"{table['name']}{end}"))) for text, end in
                      (("CSV", ".csv"), ("LaTeX", ".tex"), ("all figures and tests", ".html"), ("claims", ".claims.csv"))],
            "front": None, "curves": None, "curve_plot": None, "costs": None,
        }  # fmt: skip
        if table["costs"]:
            one["front"] = svg_of(next(of_front))
            rows_of_costs = csv_files.read_rows(next(of_costs), ["arm"])
            columns = [n for n in ("arm", "runs", "unit", "selection_hours", "training_hours", "training_labels", "peak_memory_mb")
                       if rows_of_costs and n in rows_of_costs[0]]  # fmt: skip
            one["costs"] = [c.replace("_", " ") for c in columns], [[_cost(row[c]) for c in columns] for row in rows_of_costs]  # fmt: skip
            one["links"].append(("costs", link(path.with_name(f"{table['name']}.costs.html"))))
        if table["curves"]:
            one["curves"], one["curve_plot"] = curve_lines(next(of_curves)), svg_of(next(of_curve_plots))
            one["links"].append(("learning curves", link(path.with_name(f"{table['name']}.curves.html"))))
        chapters.append(one)
    kinds: dict[str, list[tuple[str, str]]] = {}
    for page, path in zip(settings["pages"], pages, strict=True):
        kinds.setdefault(page["chapter"], []).append((page["title"], link(path)))
    provenance = [(str(path), f"sha256 {digest(path)}") for path in (*tables, *claims)]
    text = render(
        "report.html",
        title="Which documents are worth training on?",
        answer=of_run(read),
        chapters=chapters,
        pages=kinds,
        provenance=provenance,
        symbols=[(symbol, verdict, LEGEND[verdict]) for verdict, symbol in SYMBOLS.items()],
        script=read_template("report.js"),
    )
    write_text(out, text)
    say(
        f"[report] {len(chapters)} tables, {sum(len(c['comparisons']['lines']) for c in chapters)} comparisons: {out}"
    )


def _cost(text: str) -> str:
    try:
        return number(float(text))
    except ValueError:
        return text


if __name__ == "__main__":
    run(main)
