"""Plots of what draws favour or lose. In: rows of `winnow.profile.shift`. Out: SVG; bytes repeat for equal inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from winnow import figures
from winnow.profile.creativity_plots import PLAIN, nothing
from winnow.profile.shift_tests import differs

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = "osD^vP*"
SHOWN = 20
"""Columns, or labels, of a panel: those that differ most."""
HIGHER, LOWER, OTHER = "#0072B2", "#E69F00", "#999999"


def shift(rows: Sequence[dict[str, Any]], labels: Sequence[dict[str, Any]]) -> str:
    """The draws of an arm. Three panels: differences of means, total variations, and shares of labels, of each those that
    differ most; filled: adjusted p < .05. Grey: where 95 % of random draws lie."""
    seeds = list(dict.fromkeys(row["data_seed"] for row in rows))
    with figures.pyplot("shift", **PLAIN) as pyplot:
        panels: list[tuple[str, list[dict[str, Any]], str, tuple[str, ...]]] = []
        for measure, title in (
            ("standardised difference", "means, in standard deviations of the corpus"),
            ("total variation", "total variation of shares (0: as the corpus, 1: nothing in common)"),
        ):
            of_measure = [row for row in rows if row["measure"] == measure and row["value"] is not None]
            panels.append((title, _most(of_measure, ("column",), "value"), "value", ("column",)))
        shares = [{**row, "measure": "points", "points": 100 * (row["difference"] or 0.0)} for row in labels]
        title = "shares of documents with a label: drawn less corpus, percentage points"
        panels.append((title, _most(shares, ("column", "label"), "points"), "points", ("column", "label")))
        panels = [panel for panel in panels if panel[1]]
        if not panels:
            return nothing(pyplot, "nothing to compare")
        order = [list(dict.fromkeys(_name(row, keys) for row in shown)) for _, shown, _, keys in panels]
        plot, axes = pyplot.subplots(
            len(panels), 1, figsize=(7.2, sum(0.24 * len(names) + 0.8 for names in order) + 0.5), squeeze=False,
            layout="constrained", height_ratios=[len(names) + 1.5 for names in order],
        )  # fmt: skip
        for axis, (title, shown, value, keys), names in zip(axes[:, 0], panels, order, strict=True):
            for row in shown:
                _point(axis, row, value, names.index(_name(row, keys)), seeds)
            axis.axvline(0, color="black", linewidth=0.8)
            axis.set_yticks(range(len(names)), names, fontsize=8)
            axis.set_ylim(len(names) - 0.5, -0.5)
            axis.set_xlabel(title, fontsize=8)
            axis.grid(axis="y", color="#dddddd", linewidth=0.5)
            axis.set_axisbelow(True)
        for place, seed in enumerate(seeds):
            marker, colour = MARKERS[place % len(MARKERS)], COLOURS[place % len(COLOURS)]
            axes[0, 0].plot([], [], marker, color=colour, label=f"data seed {seed}", markersize=5)
        axes[0, 0].plot([], [], color="#bbbbbb", linewidth=5, label="95 % of random draws")
        axes[0, 0].plot(
            [], [], "o", color="#555555", markersize=5, label="filled: differs (adjusted p < .05)"
        )
        plot.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8)
        return figures.svg(plot)


def _name(row: dict[str, Any], keys: tuple[str, ...]) -> str:
    return ": ".join(str(row[key]) for key in keys)[:48]


def _most(rows: Sequence[dict[str, Any]], keys: tuple[str, ...], value: str) -> list[dict[str, Any]]:
    """Rows of the SHOWN columns or labels that differ most, the largest difference first."""
    largest: dict[tuple[str, ...], float] = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        largest[key] = max(largest.get(key, 0.0), abs(row[value]))
    top = sorted(largest, key=lambda key: (-largest[key], key))[:SHOWN]
    kept = [row for row in rows if tuple(row[name] for name in keys) in top]
    return sorted(kept, key=lambda row: top.index(tuple(row[name] for name in keys)))


def _point(axis: Any, row: dict[str, Any], value: str, y: int, seeds: Sequence[int]) -> None:
    place = seeds.index(row["data_seed"])
    at = y + 0.5 / len(seeds) * (place - (len(seeds) - 1) / 2)
    marker, colour = MARKERS[place % len(MARKERS)], COLOURS[place % len(COLOURS)]
    if row.get("random"):
        low = -row["random"] if row["measure"] == "standardised difference" else 0.0
        axis.plot(
            [low, row["random"]], [at, at], color="#bbbbbb", linewidth=4, solid_capstyle="butt", zorder=1
        )
    face = colour if differs(row) else "white"
    axis.plot([row[value]], [at], marker, color=colour, markersize=5, markerfacecolor=face)


def overview(arms: Sequence[dict[str, Any]]) -> str:
    """All columns (down) and arms (across): differences of means and total variations; coloured where they are beyond random
    draws. Rows of `winnow.profile.shift_tests.arm_measures`."""
    names = list(dict.fromkeys(row["arm"] for row in arms))
    columns = list(dict.fromkeys(row["column"] for row in arms))
    with figures.pyplot("shift-overview", **PLAIN) as pyplot:
        if not arms:
            return nothing(pyplot, "nothing to compare")
        plot, axis = pyplot.subplots(
            figsize=(2.2 + 0.62 * max(len(names), 5), 1.6 + 0.2 * len(columns)), layout="constrained"
        )
        for row in arms:
            if row["value"] is None:
                continue
            x, y = names.index(row["arm"]), columns.index(row["column"])
            numbers = row["measure"] == "standardised difference"
            if differs(row):
                colour = OTHER if not numbers else HIGHER if row["value"] > 0 else LOWER
                strength = 0.25 + 0.6 * min(1.0, abs(row["value"]))
                axis.add_patch(
                    pyplot.Rectangle((x - 0.5, y - 0.5), 1, 1, color=colour, alpha=strength, linewidth=0)
                )
            text = f"{row['value']:+.2f}" if numbers else f"{row['value']:.2f}"
            axis.text(x, y, text, ha="center", va="center", fontsize=6)
        axis.set_xticks(range(len(names)), names, rotation=40, ha="left", fontsize=7)
        axis.xaxis.tick_top()
        axis.set_yticks(range(len(columns)), columns, fontsize=7)
        axis.set_xlim(-0.5, len(names) - 0.5)
        axis.set_ylim(len(columns) - 0.5, -0.5)
        axis.tick_params(length=0)
        axis.set_xlabel(
            "with a sign: difference of means, in standard\ndeviations of the corpus; without: total variation of shares\n"
            "coloured: beyond random draws (adjusted p < .05)\nblue: higher, orange: lower, grey: other shares",
            fontsize=7,
            loc="left",
        )
        return figures.svg(plot)
