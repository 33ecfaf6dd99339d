"""Plots of the variety of answers: groups against groups drawn at random, all measures, and the ends. Out: SVG.

In: rows and summary of `winnow.profile.creativity`. Bytes repeat for equal inputs. Colours are those of Okabe and Ito,
which colour-blind readers tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from winnow import figures
from winnow.profile.variety import MEASURES

GROUPS, CHANCE = "#0072B2", "#E69F00"
BINS = 20
NAMES = {
    "dispersion": "dispersion of embeddings",
    "distinct_1": "distinct words",
    "distinct_2": "distinct pairs of words",
    "distinct_3": "distinct triples of words",
    "self_bleu": "self-BLEU",
    "compression": "bytes added, compressed",
    "same_opening": "repeated openings",
    "same_ending": "repeated endings",
}


PLAIN = {"axes.spines.top": False, "axes.spines.right": False}
"""Style of axes without a frame."""


def nothing(pyplot: Any, why: str) -> str:
    """A figure that says why there is none."""
    plot, axis = pyplot.subplots(figsize=(6.4, 1.2), layout="constrained")
    axis.set_axis_off()
    axis.text(0.5, 0.5, why, ha="center", va="center")
    return figures.svg(plot)


def dispersion(rows: Sequence[Mapping[str, Any]], reference: Mapping[str, np.ndarray]) -> str:
    """Histogram of the dispersion of groups, with counts, and the share of random groups at the same bins as a line."""
    with figures.pyplot("creativity-dispersion", **PLAIN) as pyplot:
        if not rows:
            return nothing(pyplot, "no groups of similar prompts")
        values = np.array([row["dispersion"] for row in rows])
        random = reference.get("dispersion", np.zeros(0))
        every = np.concatenate([values, random])
        low, high = float(every.min()), float(every.max())
        if high - low < 1e-6:
            low, high = max(0.0, low - 0.05), high + 0.05
        edges = np.linspace(low, high, BINS + 1)
        counts = np.histogram(values, edges)[0]
        plot, axis = pyplot.subplots(figsize=(6.8, 3.8), layout="constrained")
        shares = 100 * counts / len(values)
        bars = axis.bar(
            edges[:-1],
            shares,
            np.diff(edges),
            align="edge",
            color=GROUPS,
            edgecolor="white",
            label=f"{len(values):,} groups of similar prompts (counts on the bars)",
        )
        axis.bar_label(bars, [f"{count:,}" if count else "" for count in counts], fontsize=7, padding=1)
        if len(random):
            drawn = 100 * np.histogram(random, edges)[0] / len(random)
            axis.stairs(
                drawn, edges, color=CHANCE, linewidth=2, label=f"{len(random):,} groups drawn at random"
            )
        axis.set_xlabel("dispersion within a group: 1 - mean cosine of two documents (0: the same text)")
        axis.set_ylabel("share of groups, %")
        axis.margins(y=0.12)
        plot.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
        return figures.svg(plot)


def measures(summary: Mapping[str, Mapping[str, Any]], compared: bool) -> str:
    """Each measure's mean over the groups against random groups, in their standard deviations, so directed that the right
    is more varied; figures beside it."""
    with figures.pyplot("creativity-measures", **PLAIN) as pyplot:
        if not compared:
            return nothing(pyplot, "too few groups to compare with documents drawn at random")
        names = list(MEASURES)
        plot, (axis, table) = pyplot.subplots(
            1,
            2,
            figsize=(7.6, 1.4 + 0.34 * len(names)),
            layout="constrained",
            sharey=True,
            width_ratios=[5, 2],
        )
        table.set_axis_off()
        widest = 1.0
        for y, name in enumerate(names):
            one = summary[name]
            mean, chance = one["mean"], one["reference"]
            _cells(table, y, f"{mean:.3f}", f"{chance:.3f}", _p(one["p"]))
            if one["effect"] is None:
                continue
            sign = MEASURES[name]
            axis.plot([0, sign * one["effect"]], [y, y], color=GROUPS, linewidth=1)
            ends = [one["effect"]]
            if one["low"] is not None and mean != chance:
                ends = [(one[end] - chance) * one["effect"] / (mean - chance) for end in ("low", "high")]
                axis.plot([sign * end for end in ends], [y, y], color=GROUPS, linewidth=4, alpha=0.4, solid_capstyle="butt")  # fmt: skip
            axis.plot([sign * one["effect"]], [y], "o", color=GROUPS, markersize=5)
            widest = max(widest, *map(abs, ends))
        axis.axvline(0, color=CHANCE, linewidth=2)
        axis.set_xlim(-1.1 * widest, 1.1 * widest)
        axis.set_yticks(range(len(names)), [NAMES[name] for name in names])
        axis.set_ylim(len(names) - 0.5, -1)
        _cells(table, -0.6, "groups", "chance", "p", fontweight="bold")
        axis.set_xlabel(
            "mean of the groups less chance, in standard deviations of random groups\n"
            "left: answers to similar prompts are more alike; right: more varied\n(band: 95 % interval)",
            fontsize=8,
        )
        return figures.svg(plot)


def _cells(axis: Any, y: float, *cells: str, **style: Any) -> None:
    """Cells of a table on an axis of its own, at the height `y` of its data."""
    for place, cell in enumerate(cells, start=1):
        at = (place / len(cells), y)
        axis.annotate(
            cell, at, xycoords=("axes fraction", "data"), va="center", ha="right", fontsize=8, **style
        )


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def groups(summary: Mapping[str, Any], reference: Mapping[str, np.ndarray]) -> str:
    """The most and the least varied groups, and the range of 95 % of the random groups."""
    with figures.pyplot("creativity-groups", **PLAIN) as pyplot:
        if not summary["groups"]:
            return nothing(pyplot, "no groups of similar prompts")
        rows = summary["most_varied"] + summary["least_varied"][::-1]
        rows = list({(row["group"], row["dispersion"]): row for row in rows}.values())
        plot, axis = pyplot.subplots(figsize=(7.6, 1.2 + 0.22 * len(rows)), layout="constrained")
        if len(random := reference.get("dispersion", np.zeros(0))):
            low, high = np.quantile(random, [0.025, 0.975])
            axis.axvspan(
                low, high, color=CHANCE, alpha=0.3, linewidth=0, label="95 % of the groups drawn at random"
            )
        for y, row in enumerate(rows):
            adjusted = row["dispersion_p_adjusted"]
            significant = adjusted is not None and adjusted < 0.05
            axis.plot(
                [row["dispersion"]],
                [y],
                "o",
                color=GROUPS,
                markerfacecolor=GROUPS if significant else "white",
            )
            axis.annotate(
                f"{row['documents']:,}",
                (1.01, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=7,
            )
        axis.plot([], [], "o", color=GROUPS, label="differs from chance (adjusted p < .05)")
        axis.plot([], [], "o", color=GROUPS, markerfacecolor="white", label="does not")
        if len(rows) > 2:
            axis.axhline(len(summary["most_varied"]) - 0.5, color="#999999", linewidth=0.8, linestyle=":")
        names = [row["group"] if len(row["group"]) <= 56 else row["group"][:55] + "…" for row in rows]
        axis.set_yticks(range(len(rows)), names, fontsize=7)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlim(left=0)
        axis.set_xlabel(
            "dispersion: 1 - mean cosine of two documents; right: documents of the group", fontsize=8
        )
        plot.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=7)
        return figures.svg(plot)
