"""Plots of a profile: bars of counts and of shares, histograms of measures, a heat map. In: rows of its tables. Out: SVG.

Bytes repeat for equal inputs. Colours are of the palette of Okabe and Ito, and cividis: both can be told apart by the
colour-blind, and in print.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from winnow import figures

STAGE_VERSION = 3
BLUE, ORANGE = "#0072b2", "#d55e00"
COLUMNS = 3  # panels in a row


def svg(draw: Any, columns: int, width: float, heights: Sequence[float]) -> str:
    """A figure of rows of panels: `draw` is called with them, a list of axes; those that it does not use are to be switched
    off. `heights`, of each row, and `width` are inches."""
    with figures.pyplot("profile", **{"font.size": 8}) as pyplot:
        figure, axes = pyplot.subplots(
            len(heights),
            columns,
            figsize=(width, sum(heights)),
            height_ratios=heights,
            squeeze=False,
            layout="constrained",
        )
        draw(list(axes.flat))
        return figures.svg(figure)


def short(count: float) -> str:
    """A count of at most four characters: 950, 12.4k, 1.5M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:.0f}"


def _bare(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=7)


def cut(text: str, most: int = 28) -> str:
    """A label cut to `most` characters. A dollar sign would begin a formula."""
    return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")


def of_documents(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the shares of rows are of, with its number: documents that have the measure, which may be few of all."""
    counts = (round(row["documents"] / row["share"]) for row in rows if row["share"])
    count = next(counts, 0)
    return f"the {count:,} documents with a value" if count > 1 else "documents with a value"


def bars(counts: Sequence[tuple[str, int]], what: str) -> str:
    """Names and their counts, the most frequent at the top."""

    def draw(axes: list[Any]) -> None:
        axis = axes[0]
        names, values = [cut(name) for name, _ in counts], [count for _, count in counts]
        drawn = axis.barh(range(len(names)), values, color=BLUE)
        axis.bar_label(drawn, [f"{count:,}" for count in values], padding=2, fontsize=7)
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_xlim(0, 1.15 * max(values))
        axis.set_xlabel(what)
        _bare(axis)

    return svg(draw, 1, 6.4, [0.9 + 0.2 * len(counts)])


def histograms(of_measure: Mapping[str, Sequence[tuple[float, float, int]]], labels: Mapping[str, str]) -> str:  # fmt: skip
    """A panel for each measure: documents by value. The first and the last bin hold all beyond the quantiles .01 and .99."""
    lines = math.ceil(len(of_measure) / COLUMNS)

    def draw(axes: list[Any]) -> None:
        for axis, (measure, bins) in zip(axes, of_measure.items(), strict=False):
            counts = [count for _, _, count in bins]
            drawn = axis.bar(range(len(bins)), counts, width=0.95, color=BLUE)
            axis.bar_label(drawn, [short(count) for count in counts], fontsize=5.5, padding=1)
            edges = [bins[0][0], *(high for _, high, _ in bins)]
            shown = range(0, len(edges), 2) if len(bins) > 1 else [0]
            axis.set_xticks(
                [i - 0.5 if len(bins) > 1 else 0 for i in shown],
                [f"{edges[i]:.3g}" if abs(edges[i]) < 1000 else f"{edges[i]:,.0f}" for i in shown],
            )
            axis.set_ylim(0, 1.15 * max(counts))
            axis.set_xlabel(cut(labels[measure], 56), fontsize=7)
            axis.set_ylabel("documents")
            axis.set_title(measure, fontsize=8)
            _bare(axis)
        for axis in axes[len(of_measure) :]:
            axis.set_axis_off()

    columns = min(COLUMNS, len(of_measure))
    return svg(draw, columns, 3.8 * columns, [2.3] * lines)


def shares(of_measure: Mapping[str, Sequence[Mapping[str, Any]]], labels: Mapping[str, str]) -> str:
    """A panel for each measure that is text: share of its levels with their intervals, and counts. Rows of levels.csv."""

    def draw(axes: list[Any]) -> None:
        for axis, (measure, levels) in zip(axes, of_measure.items(), strict=True):
            values = np.array([row["share"] or 0.0 for row in levels])
            ends = np.array([[row["ci_low"] or 0.0, row["ci_high"] or 0.0] for row in levels])
            spread = np.clip(np.abs(ends - values[:, None]).T, 0, None)
            places = range(len(levels))
            axis.barh(places, 100 * values, color=BLUE)
            axis.errorbar(100 * values, places, xerr=100 * spread, fmt="none", ecolor=ORANGE, capsize=2, linewidth=1)  # fmt: skip
            for place, row in enumerate(levels):
                end = 100 * max(values[place], ends[place, 1])
                axis.annotate(f"{row['documents']:,}", (end, place), xytext=(4, 0), textcoords="offset points",
                              va="center", fontsize=7)  # fmt: skip
            axis.set_yticks(places, [cut(row["level"].replace("_", " ")) for row in levels])
            axis.set_ylim(len(levels) - 0.4, -0.6)
            axis.set_xlim(0, min(112, 120 * max(values.max(), 0.01)))
            axis.set_xlabel(f"{cut(labels[measure], 40)}: % of {of_documents(levels)}")
            axis.set_title(measure, fontsize=8)
            _bare(axis)

    return svg(draw, 1, 6.4, [0.9 + 0.2 * len(levels) for levels in of_measure.values()])


def heat_maps(of_measure: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A panel for each measure that is text: share of each level among the documents of each feature, in percent. Rows of
    cooccurrence.csv."""

    def draw(axes: list[Any]) -> None:
        for axis, (measure, rows) in zip(axes, of_measure.items(), strict=True):
            _heat_map(axis, rows, measure)

    widest = max(len({row["level"] for row in rows}) for rows in of_measure.values())
    heights = [1.4 + 0.28 * (len({row["feature"] for row in rows}) + 1) for rows in of_measure.values()]
    return svg(draw, 1, 3 + 0.6 * max(widest, 5), heights)


def _heat_map(axis: Any, rows: Sequence[Mapping[str, Any]], measure: str) -> None:
    features = list(dict.fromkeys(row["feature"] for row in rows))
    levels = list(dict.fromkeys(row["level"] for row in rows))
    values = np.zeros((len(features) + 1, len(levels)))
    for row in rows:
        values[features.index(row["feature"]), levels.index(row["level"])] = 100 * (row["share"] or 0.0)
        values[-1, levels.index(row["level"])] = 100 * (row["overall"] or 0.0)
    image = axis.imshow(values, cmap="cividis", aspect="auto", vmin=0)
    axis.set_xticks(
        range(len(levels)), [cut(name.replace("_", " "), 20) for name in levels], rotation=30, ha="right"
    )
    axis.set_yticks(range(len(features) + 1), [*(cut(name) for name in features), "all documents"])
    axis.axhline(len(features) - 0.5, color=figures.ON_DARK, linewidth=2)
    for (line, column), value in np.ndenumerate(values):
        dark = value < 0.6 * max(values.max(), 1e-9)
        axis.text(column, line, f"{value:.1f}", ha="center", va="center", fontsize=6,
                  color=figures.ON_DARK if dark else figures.ON_LIGHT)  # fmt: skip
    axis.set_title(measure, fontsize=8)
    axis.set_ylabel("feature of the prompt")
    axis.figure.colorbar(image, ax=axis, label="% of documents with a value")
    axis.tick_params(labelsize=7)


def crosstable(rows: Sequence[Mapping[str, Any]]) -> str:
    """A heat map of documents by two levels; shares are of a row. Rows of crosstable.csv."""
    levels = list(dict.fromkeys(row["first"] for row in rows))
    counts = np.array([row["documents"] for row in rows]).reshape(len(levels), len(levels))
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)

    def draw(axes: list[Any]) -> None:
        axis = axes[0]
        image = axis.imshow(shares, cmap="cividis", aspect="auto", vmin=0, vmax=100)
        names = [cut(level.replace("_", " ")) for level in levels]
        axis.set_xticks(range(len(levels)), names)
        axis.set_yticks(range(len(levels)), names)
        for (line, column), value in np.ndenumerate(shares):
            axis.text(column, line, f"{counts[line, column]:,}\n{value:.1f} %", ha="center", va="center", fontsize=7,
                      color=figures.ON_DARK if value < 60 else figures.ON_LIGHT)  # fmt: skip
        axis.set_xlabel("reading level by zero-shot labels")
        axis.set_ylabel("reading level by formulas")
        axis.figure.colorbar(image, ax=axis, label="% of the documents of a row")
        axis.tick_params(labelsize=7)

    return svg(draw, 1, 6.4, [0.8 + 0.5 * len(levels)])


def prevalence(rows: Sequence[Mapping[str, Any]]) -> str:
    """Two panels: documents with a word of each group of the lexicon, and flagged documents. Rows of prevalence.csv."""
    panels: dict[str, list[dict[str, Any]]] = {"words": [], "flags": []}
    for row in rows:
        flag = row["measure"].startswith("flag_")
        name = row["measure"].removeprefix("flag_").removesuffix("_words").replace("_", " ")
        panels["flags" if flag else "words"].append({**row, "level": name})
    labels = {"words": "at least one word of the group", "flags": "flagged"}
    return shares({name: panel for name, panel in panels.items() if panel}, labels)


def associations(rows: Sequence[Mapping[str, Any]]) -> str:
    """A panel for each two classifications: log odds ratios with their intervals. Rows of associations.csv."""
    panels: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        panels.setdefault((row["first"], row["second"]), []).append(row)
    greatest = max((abs(row["log_odds"]) for row in rows if row["log_odds"] is not None), default=1.0)

    def draw(axes: list[Any]) -> None:
        for axis, ((first, second), many) in zip(axes, panels.items(), strict=True):
            ours = list(dict.fromkeys(row["feature"] for row in many))
            theirs = list(dict.fromkeys(row["class"] for row in many))
            values = np.full((len(ours), len(theirs)), np.nan)
            for row in many:
                line, column = ours.index(row["feature"]), theirs.index(row["class"])
                if row["log_odds"] is None:
                    axis.text(column, line, "–", ha="center", va="center", fontsize=7)
                    continue
                values[line, column] = row["log_odds"]
                text = f"{row['log_odds']:+.2f}{'*' if row['p'] < 0.05 else ''}\n[{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]"
                dark = abs(row["log_odds"]) > 0.65 * greatest
                axis.text(column, line, text.replace("-", "−"), ha="center", va="center", fontsize=6,
                          color=figures.ON_DARK if dark else figures.ON_LIGHT)  # fmt: skip
            image = axis.imshow(values, cmap="PuOr_r", aspect="auto", vmin=-greatest, vmax=greatest)
            axis.set_xticks(range(len(theirs)), [cut(name.replace("_", " "), 20) for name in theirs])
            axis.set_yticks(range(len(ours)), [cut(name.replace("_", " ")) for name in ours])
            axis.set_xlabel(f"{second} of the text")
            axis.set_ylabel("feature of the prompt" if first == "feature" else f"{first} of the text")
            axis.set_facecolor("#dddddd")
            axis.set_title(
                f"{first} with {second}: log odds ratio [95 % CI]; *: p < .05 (Holm); –: in none or all of the documents",
                fontsize=8,
            )
            axis.figure.colorbar(image, ax=axis, label="log odds ratio")
            axis.tick_params(labelsize=7)

    widest = max(len({row["class"] for row in many}) for many in panels.values())
    heights = [1.0 + 0.36 * len({row["feature"] for row in many}) for many in panels.values()]
    return svg(draw, 1, 2.2 + 0.9 * max(widest, 4), heights)
