"""A/A calibration of the comparison of samplers: arms that differ in nothing but their seeds.

    .venv/bin/python tests/benchmarks/calibrate.py 1000 4 results/*/models/*/random/*/*/*/*/evaluation/*

EVALUATION folders hold items.parquet, of runs of one sampler; without any, the random runs of results/ of which there are
most, and without those, made-up variances. From the runs' items it estimates, for each benchmark and metric, the variance of
the seed, of the item and of the rest (two-way random effects). Each round is a table: every arm against the first one, on all
items (the headline family) and in GROUPS groups of items (the other family), among them one of fewer items than are tested.
Printed are the share of tests that call an arm different at 5 %, and the share of tables with any such verdict in a family
(Holm), with Monte-Carlo errors.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
from common import ROOT, figure, options, processor, skipped
from winnow.compare.arms import read_items
from winnow.compare.statistics import FEWEST_GROUP_ITEMS, FEWEST_ITEMS, compare_samplers, holm

ROUNDS, ARMS, SEEDS, GROUPS, LEVEL = 400, 4, 3, 6, 0.05
KINDS = ("own seeds", "same seeds")
MADE_UP = {
    ("accuracy, seeds matter", "acc"): (0.0004, 0.02, 0.18, 400),
    ("accuracy, items only", "acc"): (0.0, 0.02, 0.2, 400),
    ("bits per byte", "bits_per_byte"): (0.0001, 0.05, 0.01, 300),
}
"""Variances of seed, item and rest, and items; an accuracy's items are right or wrong."""


def components(block: np.ndarray) -> tuple[float, float, float]:
    """Variances of seed, item and residual of influence values, float64 [seeds, items]; negative estimates cut at 0."""
    seeds, items = block.shape
    noise = block - block.mean(1, keepdims=True) - block.mean(0) + block.mean()
    rest = float((noise**2).sum() / ((seeds - 1) * (items - 1)))
    seed = max(0.0, float(np.var(block.mean(1), ddof=1)) - rest / items)
    return seed, max(0.0, float(np.var(block.mean(0), ddof=1)) - rest / seeds), rest


def evaluations() -> list[Path]:
    """Evaluations of the largest group of random runs that differ by their seeds alone; none, saying so, without two."""
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path in sorted(ROOT.glob("results/*/models/*/random/*/seed*/*/seed*/evaluation/*/items.parquet")):
        place = path.parent.relative_to(ROOT).parts
        groups.setdefault((place[1], place[5], place[7], place[10]), []).append(path.parent)
    best = max(groups.values(), key=len, default=[])
    if len(best) < 2:
        skipped(
            "measured variances", "results/ holds no two random runs (`make demo`); made-up ones are used"
        )
        return []
    return best


def estimated(folders: list[Path]) -> dict[tuple[str, str], tuple[float, float, float, int]]:
    runs = [read_items(Path(folder, "items.parquet"), False) for folder in folders]
    found = {}
    for pair in sorted(set.intersection(*(set(run) for run in runs))):
        block = np.stack(
            [run[pair].influence_values(pair[1], np.arange(len(run[pair].values))) for run in runs]
        )
        if np.isfinite(block).all() and block.std() > 0:
            found[pair] = (*components(block), block.shape[1])
    return found


def groups_of(items: int) -> np.ndarray:
    """Group of each item: one of half as many items as are tested, the others alike."""
    few = FEWEST_GROUP_ITEMS // 2
    rest = 1 + np.arange(items - few) * (GROUPS - 1) // (items - few)
    return np.concatenate([np.zeros(few, dtype=int), rest])


def draw(
    generator: np.random.Generator, arms: int, metric: str, seed: float, item: float, rest: float, items: int
) -> list[np.ndarray]:
    """Influence values [SEEDS, items] of each arm. Right or wrong items are so with the probability that seed and item make."""
    ease = math.sqrt(item) * generator.normal(size=items)
    shifts = [math.sqrt(seed) * generator.normal(size=(SEEDS, 1)) for _ in range(arms)]
    if metric == "acc":
        return [
            (generator.random((SEEDS, items)) < np.clip(0.35 + ease + s, 0.02, 0.98)).astype(float)
            for s in shifts
        ]
    return [ease + s + math.sqrt(rest) * generator.normal(size=(SEEDS, items)) for s in shifts]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=ROUNDS, help="tables that are drawn")
    parser.add_argument("arms", type=int, nargs="?", default=ARMS)
    parser.add_argument("folders", nargs="*", metavar="EVALUATION")
    asked = parser.parse_args()
    rounds, arms = asked.rounds, asked.arms
    print(processor())
    folders = asked.folders or evaluations()
    found = estimated(folders) if folders else MADE_UP
    for pair, (seed, item, rest, items) in found.items():
        print(f"{pair[0]} {pair[1]}: {items} items, variance of the seed {seed:.3g}, of the item {item:.3g}, of the rest {rest:.3g}", flush=True)  # fmt: skip
    generator = np.random.default_rng(0)
    tests = {(kind, family): 0 for kind in KINDS for family in ("headline", "groups")}
    hits, tables = dict.fromkeys(tests, 0), dict.fromkeys(tests, 0)
    by_pair = {(kind, pair): 0 for kind in KINDS for pair in found}
    started = time.monotonic()
    for _ in range(rounds):
        for kind in KINDS:
            p: dict[str, list[float]] = {"headline": [], "groups": []}
            for pair, (seed, item, rest, items) in found.items():
                group = groups_of(items)
                made = draw(generator, arms, pair[1], seed, item, rest, items)
                for number, block in enumerate(made[1:], start=1):
                    offset = SEEDS * number if kind == "own seeds" else 0
                    for part in (None, *range(GROUPS)):
                        chosen = slice(None) if part is None else group == part
                        value = compare_samplers(
                            {(offset + s, offset + s): block[s][chosen] for s in range(SEEDS)},
                            {(s, s): made[0][s][chosen] for s in range(SEEDS)},
                            fewest_items=FEWEST_ITEMS if part is None else FEWEST_GROUP_ITEMS,
                        ).p
                        if value is not None:
                            p["headline" if part is None else "groups"].append(value)
                        if part is None and value is not None:
                            by_pair[kind, pair] += value < LEVEL
            for family, values in p.items():
                tests[kind, family] += len(values)
                hits[kind, family] += sum(value < LEVEL for value in values)
                tables[kind, family] += bool(values) and min(holm(values)) < LEVEL
    for (kind, pair), count in by_pair.items():
        n = rounds * (arms - 1)
        print(f"{pair[0]} {pair[1]}, all items, {kind}: called different {count / n:.4f} (Monte-Carlo error {math.sqrt(LEVEL * (1 - LEVEL) / n):.4f})")  # fmt: skip
    for key, n in tests.items():
        error = math.sqrt(LEVEL * (1 - LEVEL) / max(1, n))
        print(f"single tests, {key[1]}, {key[0]}: {hits[key] / max(1, n):.4f} of {n:,} (nominal {LEVEL}, Monte-Carlo error at least {error:.4f})")  # fmt: skip
    error = math.sqrt(LEVEL * (1 - LEVEL) / rounds)
    for key, count in tables.items():
        size = tests[key] / rounds
        figure(
            f"tables with any verdict among equal arms, {key[1]}, {key[0]}",
            "share",
            count / rounds,
            None,
            f"at most {LEVEL}",
        )
        print(f"family {key[1]} ({size:.0f} tests a table), {key[0]}: any verdict in {count / rounds:.4f} of {rounds:,} tables (nominal at most {LEVEL}, Monte-Carlo error {error:.4f})")  # fmt: skip
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
