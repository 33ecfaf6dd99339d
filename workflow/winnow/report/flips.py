"""Which items of a benchmark two arms answer differently, from their items. In: items.parquet files. Out: counts and items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

METRICS = ("acc", "acc_norm", "exact_match")
"""Metrics that are 1 for a right answer and 0 for a wrong one."""


@dataclass(frozen=True)
class Flips:
    """Items that most models of an arm answer otherwise than most of the baseline's: `gained` right by the arm, `lost` by it, of
    `items`. `largest`: (item, group, share of the arm's models that are right, share of the baseline's), largest difference
    first, each item once."""

    items: int
    gained: int
    lost: int
    largest: list[tuple[int, str, float, float]]


def shares(files: Sequence[Path], benchmark: str, metric: str) -> dict[int, tuple[str, float]]:
    """(group, share of right answers over all models) of each item. Of a file that has rounds the last one counts."""
    right: dict[int, list[float]] = {}
    groups: dict[int, str] = {}
    for path in files:
        names = pq.read_schema(path).names
        columns = ["item", "group", "value", *[n for n in ("round",) if n in names]]
        rows = pq.read_table(
            path,
            columns=columns,
            filters=(pc.field("benchmark") == benchmark) & (pc.field("metric") == metric),
        )
        if "round" in names and len(rows):
            rows = rows.filter(pc.equal(rows["round"], pc.max(rows["round"])))
        for item, group, value in zip(
            *(rows[name].to_pylist() for name in ("item", "group", "value")), strict=True
        ):
            right.setdefault(item, []).append(value)
            groups[item] = group or ""
    return {item: (groups[item], float(np.mean(values))) for item, values in right.items()}


def flips(
    files: Sequence[Path], baseline_files: Sequence[Path], benchmark: str, metric: str, most: int = 10
) -> Flips | None:
    """What changes between two arms on a benchmark; None where the metric is not one of right and wrong answers."""
    if metric not in METRICS:
        return None
    ours, theirs = shares(files, benchmark, metric), shares(baseline_files, benchmark, metric)
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return None
    a = np.array([ours[item][1] for item in common])
    b = np.array([theirs[item][1] for item in common])
    order = np.argsort(-np.abs(a - b), kind="stable")[:most]
    largest = [
        (common[i], ours[common[i]][0], float(a[i]), float(b[i])) for i in order.tolist() if a[i] != b[i]
    ]
    return Flips(
        len(common), int(((a > 0.5) & (b <= 0.5)).sum()), int(((a <= 0.5) & (b > 0.5)).sum()), largest
    )
