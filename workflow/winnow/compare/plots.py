"""Plots: the forest plot of a table, cost against quality, loss curves. In: rows of facts, or points. Out: SVG (and PNG).

Bytes repeat for equal inputs.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from winnow import figures
from winnow.compare.claims import Row
from winnow.compare.sentences import label_of
from winnow.compare.statistics import BETTER, LITTLE, SAME, WORSE

STAGE_VERSION = 2
COLOURS = {BETTER: "#1b7837", WORSE: "#b2182b", SAME: "#4d4d4d", LITTLE: "#999999"}
ZERO = 1e-9
"""An axis whose limits are closer to 0 shows rounding only, and is drawn as an axis of zeros."""
SMOOTHING = 0.05
"""Share of the steps over which a loss curve is averaged."""
POINTS = 200
"""Of a loss curve, at most: a page holds those of many runs."""


def forest(rows: Sequence[Row], name: str) -> tuple[str, bytes]:
    """Forest plot, one panel per benchmark and metric: effect and interval of each arm, a small point for the effect of each
    data seed. Returns (SVG, PNG)."""
    shown = [row for row in rows if row.group is None and row.verdict is not None]
    panels = list(dict.fromkeys(row.pair for row in shown))
    labels = {row.arm: label_of(row, rows) for row in shown}
    arms = list(labels)
    baseline = next(label_of(row, rows) for row in rows if row.is_baseline)
    columns = min(3, max(1, len(panels)))
    lines = math.ceil(max(1, len(panels)) / columns)
    with figures.pyplot(name) as pyplot:
        plot, axes = pyplot.subplots(
            lines,
            columns,
            figsize=(1.2 + 3.2 * columns, lines * (1.1 + 0.28 * len(arms)) + 0.4),
            squeeze=False,
            sharey=True,
            layout="constrained",
        )
        for axis, panel in zip(axes.flat, panels, strict=False):
            of_panel = [row for row in shown if row.pair == panel]
            for row in of_panel:
                _draw_effect(axis, row, arms.index(row.arm))
            axis.axvline(0, color="black", linewidth=0.8)
            axis.set_title(" ".join(panel), fontsize=9)
            axis.set_yticks(range(len(arms)), list(labels.values()))
            axis.set_ylim(len(arms) - 0.5, -0.5)
            scale = "log ratio, " if of_panel[0].is_log else ""
            better = "higher" if of_panel[0].higher_is_better else "lower"
            axis.set_xlabel(f"{scale}{better} is better", fontsize=8)
            axis.locator_params(axis="x", nbins=5)
            if max(map(abs, axis.get_xlim())) < ZERO:
                axis.set_xlim(-1, 1)
                axis.set_xticks([0])
            axis.tick_params(labelsize=8)
            axis.spines[["top", "right"]].set_visible(False)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        plot.suptitle(
            f"Effect against {baseline}, with intervals; small points: data seeds; dotted: items only, too little data",
            fontsize=9,
        )
        vector, raster = figures.svg(plot), io.BytesIO()
        plot.savefig(raster, format="png", dpi=150, metadata={"Software": None})
        return vector, raster.getvalue()


def _draw_effect(axis: Any, row: Row, y: int) -> None:
    if row.effect is None or not math.isfinite(row.effect):
        return
    colour, little = COLOURS[row.verdict or LITTLE], row.verdict == LITTLE
    seeds = [effect for _, effect in row.effects_by_seed] if row.seeds > 1 else []
    above = [y + 0.22] * len(seeds)
    axis.plot(seeds, above, "o", markersize=3, color=colour, alpha=0.5, markeredgewidth=0)
    ends = (row.ci_low, row.ci_high)
    if all(end is not None and math.isfinite(end) for end in ends):
        axis.plot(ends, [y, y], color=colour, linewidth=1.5, linestyle=":" if little else "-")
    axis.plot([row.effect], [y], "o", markersize=5, color=colour, markerfacecolor="white" if little else colour)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """An arm in the plot of cost against quality: hours charged, a figure, and whether no arm is better for less."""

    label: str
    hours: float
    figure: float
    on_front: bool


def pareto(points: Sequence[Point], unit: str, quality: str, name: str) -> str:
    """Quality over the hours charged for one run, selection included; the Pareto front is a line. SVG."""
    with figures.pyplot(name) as pyplot:
        plot, axis = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
        for point in points:
            colour = "#1b7837" if point.on_front else "#999999"
            axis.plot([point.hours], [point.figure], "o", color=colour)
            axis.annotate(point.label, (point.hours, point.figure), xytext=(4, 4), textcoords="offset points", fontsize=8)  # fmt: skip
        front = sorted((point.hours, point.figure) for point in points if point.on_front)
        if front:
            axis.step(*zip(*front, strict=True), where="post", color="#1b7837", linewidth=1)
        axis.set_xlabel(f"{unit} a run: selection of its documents, then training")
        if points:
            axis.set_xlim(left=0)
            axis.set_ylabel(quality)
        axis.spines[["top", "right"]].set_visible(False)
        return figures.svg(plot)


def smooth(losses: np.ndarray) -> np.ndarray:
    """Mean over a trailing window of SMOOTHING of the steps: float64 [steps] -> [steps]."""
    window = max(1, round(SMOOTHING * len(losses)))
    sums = np.cumsum(np.concatenate([[0.0], losses]))
    starts = np.maximum(0, np.arange(1, len(losses) + 1) - window)
    ends = np.arange(1, len(losses) + 1)
    return (sums[ends] - sums[starts]) / (ends - starts)


def losses(
    curves: Mapping[str, Sequence[tuple[float, np.ndarray]]], name: str, baseline: str | None = None
) -> str:
    """Training loss over the tokens or examples read: a panel per arm, a line per run; the baseline's runs in grey behind them.
    SVG.

    `curves`: of each arm, of each run, what it read in all and its loss by step, float64 [steps].
    """
    columns = min(4, max(1, len(curves)))
    lines = max(1, math.ceil(len(curves) / columns))
    several = len({arm.rpartition("/")[0] for arm in curves}) > 1
    with figures.pyplot(name) as pyplot:
        plot, axes = pyplot.subplots(
            lines, columns, figsize=(0.8 + 2.4 * columns, 0.7 + 2 * lines), squeeze=False, sharex=True, sharey=True,
            layout="constrained",
        )  # fmt: skip
        for axis, (arm, runs) in zip(axes.flat, curves.items(), strict=False):
            behind = curves.get(baseline, []) if baseline and baseline != arm else []
            for colour, width, shown in (("#999999", 0.6, behind), ("#0072b2", 0.9, runs)):
                for amount, by_step in shown:
                    steps = len(by_step)
                    at = np.unique(np.linspace(0, steps - 1, min(steps, POINTS)).round().astype(int))
                    read = amount * (at + 1) / max(1, steps)
                    axis.plot(read, smooth(by_step)[at], color=colour, linewidth=width)
            axis.set_title(arm if several else arm.rpartition("/")[2], fontsize=9)
            axis.tick_params(labelsize=7)
            axis.locator_params(axis="x", nbins=3)
            axis.xaxis.set_major_formatter("{x:,.0f}")
            axis.spines[["top", "right"]].set_visible(False)
        for axis in axes.flat[len(curves) :]:
            axis.set_axis_off()
        grey = f"; grey: {baseline.rpartition('/')[2]}" if baseline and baseline in curves and len(curves) > 1 else ""  # fmt: skip
        plot.supxlabel(f"training tokens (classifiers: examples){grey}", fontsize=8)
        plot.supylabel(f"loss, nats (mean of {100 * SMOOTHING:g} % of the steps)", fontsize=8)
        return figures.svg(plot)
