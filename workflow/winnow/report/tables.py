"""The chapter of a table: its answer, comparisons with their verdicts and files, plots, costs, and which items changed.

In: TABLE.csv, its ledger, plots, learning curves and costs (winnow.compare), and items of the evaluations. Out: what the
template shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from winnow import csv_files
from winnow.pages import number, percent, probability
from winnow.report.answers import LEGEND, SYMBOLS, answer_of, compared, labels
from winnow.report.flips import flips
from winnow.report.parts import Files, Link, read_plot
from winnow.stage import read_json

NUMBERS = ("figure", "effect", "ci_low", "ci_high", "p_adjusted", "seeds", "runs", "items", "chance", "percent_difference",
           "minimum_detectable_effect_family")  # fmt: skip


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV of `winnow.compare`: numbers as float or None, `is_baseline` as bool, `detectable_family`
    as bool or None (not known)."""
    rows: list[dict[str, Any]] = [
        *csv_files.read_rows(path, ["arm", "benchmark", "metric", "is_baseline", "verdict"])
    ]
    for row in rows:
        for name in NUMBERS:
            if name in row:
                row[name] = float(row[name]) if row[name] else None
        row["is_baseline"] = row["is_baseline"] == "true"
        able = row.get("detectable_family")
        row["detectable_family"] = able == "true" if able else None
        row["group"] = row.get("group") or None
    names = labels([row["arm"] for row in rows])
    for row in rows:
        row["label"], row["baseline_label"] = (
            names[row["arm"]],
            names.get(row.get("baseline") or "", row.get("baseline")),
        )
    return rows


INTERVAL = "interval"
STATISTICS = ("p (adjusted)", "min. detectable", "seeds")
"""Columns that are shown on demand."""
HEAD = ["arm", "benchmark", "figure", "baseline", "difference", "%", INTERVAL, "p (adjusted)", "min. detectable", "seeds"]  # fmt: skip


def comparisons(
    rows: Sequence[dict[str, Any]], claims: Sequence[dict[str, Any]], link: Link, level: float
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
                    ("none" if row["detectable_family"] is False else number(least), least, True),
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
    return {
        "head": [head[i] for i in shown],
        "statistics": [HEAD[i] in STATISTICS for i in shown],
        "lines": lines,
        "files": any(line["files"] for line in lines),
    }


def flip_lines(
    claims: Sequence[dict[str, Any]], known: Mapping[str, Path], names: dict[str, str]
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


def _cost(text: str) -> str:
    try:
        return number(float(text))
    except ValueError:
        return text


def chapter(table: Mapping[str, Any], files: Files, known: Mapping[str, Path], link: Link) -> dict[str, Any]:
    """What the template shows of a table, and `rows`, by which the whole run is summed up.

    `table`: name, title, confidence, and whether there are costs and curves. `known`: items.parquet of the evaluations, by path.
    """
    name, path, ledger, plot = table["name"], files.next("tables"), files.next("claims"), files.next("plots")
    rows, claimed = read_rows(path), read_json(ledger)
    level = round(1 - table["confidence"], 9)
    areas = files.next("areas") if table["curves"] else None
    headline = read_rows(areas) if areas else rows
    links = [
        ("CSV", ".csv"),
        ("LaTeX", ".tex"),
        ("all figures and tests", ".html"),
        ("claims", ".claims.csv"),
    ]
    one: dict[str, Any] = {
        "anchor": f"table-{name}",
        "title": table["title"],
        "rows": headline,
        "answer": answer_of(headline, level),
        "comparisons": comparisons(rows, claimed, link, level),
        "headline": comparisons(headline, [], link, level) if areas else None,
        "forest": read_plot(plot),
        "flips": flip_lines(claimed, known, {row["arm"]: row["label"] for row in rows}),
        "links": [(text, link(path.with_name(f"{name}{end}"))) for text, end in links],
        "front": None, "curves": None, "curve_plot": None, "costs": None,
        "sources": [path, ledger],
    }  # fmt: skip
    verdicts = {row["verdict"] for row in (*compared(rows), *compared(headline))}
    one["legend"] = [
        (symbol, verdict, LEGEND[verdict]) for verdict, symbol in SYMBOLS.items() if verdict in verdicts
    ]
    if table["costs"]:
        one["front"] = read_plot(files.next("fronts"))
        costs = files.next("costs")
        of_costs = csv_files.read_rows(costs, ["arm"])
        columns = [n for n in ("arm", "runs", "unit", "selection_hours", "training_hours", "training_labels", "peak_memory_mb")
                   if of_costs and n in of_costs[0]]  # fmt: skip
        one["costs"] = [c.replace("_", " ") for c in columns], [[_cost(row[c]) for c in columns] for row in of_costs]  # fmt: skip
        one["links"] += [
            ("costs", link(path.with_name(f"{name}.costs.html"))),
            ("CSV of the costs", link(costs)),
        ]
        one["sources"].append(costs)
    if table["curves"]:
        curves = files.next("curves")
        one["curves"], one["curve_plot"] = curve_lines(curves), read_plot(files.next("curve_plots"))
        one["links"].append(("learning curves", link(path.with_name(f"{name}.curves.html"))))
        one["links"].append(("CSV of the curves", link(curves)))
        one["sources"] += [curves, areas]
    return one
