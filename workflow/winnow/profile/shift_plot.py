"""The plot of what draws favour or lose. In: rows of `winnow.profile.shift`. Out: SVG; bytes repeat for equal inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from winnow.profile.creativity_plots import _nothing, _pyplot, _svg

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = "osD^vP*"
SHOWN = 20
"""Labels of the last panel."""


def shift(rows: Sequence[dict[str, Any]], labels: Sequence[dict[str, Any]], draws: Sequence[str]) -> str:
    """Three panels: differences of means, total variations, and the labels that differ most; filled: adjusted p < .05. Grey:
    where 95 % of random draws lie."""
    with _pyplot("shift") as pyplot:
        panels = []
        for measure, title in (
            ("standardised difference", "means, in standard deviations of the corpus"),
            ("total variation", "total variation of shares (0: as the corpus, 1: nothing in common)"),
        ):
            shown = [row for row in rows if row["measure"] == measure and row["value"] is not None]
            if shown:
                panels.append((title, shown, [row["column"] for row in shown]))
        largest: dict[tuple[str, str], float] = {}
        for row in labels:
            key = (row["column"], row["label"])
            largest[key] = max(largest.get(key, 0.0), abs(row["difference"] or 0.0))
        top = sorted(largest, key=lambda key: (-largest[key], key))[:SHOWN]
        shown = sorted(
            (row for row in labels if (row["column"], row["label"]) in top),
            key=lambda row: top.index((row["column"], row["label"])),
        )
        if shown:
            panels.append(
                (
                    "shares of documents with a label: drawn less corpus, percentage points",
                    [
                        {**row, "value": None if row["difference"] is None else 100 * row["difference"]}
                        for row in shown
                    ],
                    [f"{row['column']}: {row['label']}"[:48] for row in shown],
                )
            )
        if not panels:
            return _nothing(pyplot, "nothing to compare")
        sizes = [len(set(names)) for _, _, names in panels]
        plot, axes = pyplot.subplots(
            len(panels), 1, figsize=(7.2, sum(0.26 * size + 0.8 for size in sizes) + 0.5), squeeze=False,
            layout="constrained", height_ratios=[size + 1.5 for size in sizes],
        )  # fmt: skip
        for axis, (title, of_panel, names) in zip(axes[:, 0], panels, strict=True):
            order = list(dict.fromkeys(names))
            for row, name in zip(of_panel, names, strict=True):
                _point(axis, row, order.index(name), draws)
            axis.axvline(0, color="black", linewidth=0.8)
            axis.set_yticks(range(len(order)), order, fontsize=8)
            axis.set_ylim(len(order) - 0.5, -0.5)
            axis.set_xlabel(title, fontsize=8)
            axis.grid(axis="y", color="#dddddd", linewidth=0.5)
            axis.set_axisbelow(True)
        for place, draw in enumerate(draws):
            marker, colour = MARKERS[place % len(MARKERS)], COLOURS[place % len(COLOURS)]
            axes[0, 0].plot([], [], marker, color=colour, label=draw, markersize=5)
        axes[0, 0].plot([], [], color="#bbbbbb", linewidth=5, label="95 % of random draws")
        axes[0, 0].plot(
            [], [], "o", color="#555555", markersize=5, label="filled: differs (adjusted p < .05)"
        )
        plot.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8)
        return _svg(plot)


def _point(axis: Any, row: dict[str, Any], y: int, draws: Sequence[str]) -> None:
    place = draws.index(row["draw"])
    step = 0.5 / len(draws)
    at = y + step * (place - (len(draws) - 1) / 2)
    marker, colour = MARKERS[place % len(MARKERS)], COLOURS[place % len(COLOURS)]
    if row.get("random"):
        low = -row["random"] if row["measure"] == "standardised difference" else 0.0
        axis.plot(
            [low, row["random"]], [at, at], color="#bbbbbb", linewidth=4, solid_capstyle="butt", zorder=1
        )
    significant = row["p_adjusted"] is not None and row["p_adjusted"] < 0.05
    if row["value"] is not None:
        axis.plot(
            [row["value"]],
            [at],
            marker,
            color=colour,
            markersize=5,
            markerfacecolor=colour if significant else "white",
        )
