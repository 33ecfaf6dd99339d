"""A/A calibration of the comparison of samplers, with variances estimated from real runs.

    .venv/bin/python tests/benchmarks/calibrate.py 1000 4 results/*/models/*/random/*/*/*/*/evaluation/*

EVALUATION folders hold items.parquet, of runs of one sampler; without any, the random runs of results/ of which there are
most, and without those, made-up variances. From the runs' items it estimates, for each benchmark and metric, the variance of the seed, of the item and of the rest
(two-way random effects), then draws tables of arms that differ in nothing but their seeds and counts how often a test calls
one different at 5 %, and how often a table has any such verdict (Holm). Monte-Carlo errors are printed.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from common import ROOT, options, processor, skipped
from winnow.compare import read_items
from winnow.statistics import compare_samplers, holm

SEEDS, LEVEL = 3, 0.05


def components(block: np.ndarray) -> tuple[float, float, float]:
    """Variances of seed, item and rest of parts [seeds, items]; negative estimates cut at 0."""
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


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=100, help="tables that are drawn")
    parser.add_argument("arms", type=int, nargs="?", default=4)
    parser.add_argument("folders", nargs="*", metavar="EVALUATION")
    asked = parser.parse_args()
    rounds, arms = asked.rounds, asked.arms
    print(processor())
    folders = asked.folders or evaluations()
    runs = [read_items(Path(folder, "items.parquet"), False) for folder in folders]
    found = {} if runs else {("made-up", "acc"): (2e-4, 0.1, 0.1, 400)}
    for pair in sorted(set.intersection(*(set(run) for run in runs))) if runs else []:
        block = np.stack([run[pair].parts(pair[1], np.arange(len(run[pair].values))) for run in runs])
        if np.isfinite(block).all() and block.std() > 0:
            found[pair] = (*components(block), block.shape[1])
    for pair, (seed, item, rest, items) in found.items():
        print(f"{pair[0]} {pair[1]}: {items} items, variance of the seed {seed:.3g}, of the item {item:.3g}, of the rest {rest:.3g}", flush=True)  # fmt: skip
    generator = np.random.default_rng(0)
    hits = {kind: dict.fromkeys(found, 0) for kind in ("own seeds", "same seeds")}
    family = dict.fromkeys(("own seeds", "same seeds"), 0)
    for _ in range(rounds):
        for kind in family:
            p = []
            for pair, (seed, item, rest, items) in found.items():
                item_effect = math.sqrt(item) * generator.normal(size=items)
                made = [
                    item_effect
                    + math.sqrt(seed) * generator.normal(size=(SEEDS, 1))
                    + math.sqrt(rest) * generator.normal(size=(SEEDS, items))
                    for _ in range(arms)
                ]
                for number, block in enumerate(made[1:], start=1):
                    offset = SEEDS * number if kind == "own seeds" else 0
                    arm = {(offset + s, offset + s): block[s] for s in range(SEEDS)}
                    baseline = {(s, s): made[0][s] for s in range(SEEDS)}
                    value = compare_samplers(arm, baseline).p
                    p.append(1.0 if value is None else value)
                    hits[kind][pair] += p[-1] < LEVEL
            family[kind] += min(holm(p)) < LEVEL
    tests = rounds * (arms - 1)
    error = math.sqrt(LEVEL * (1 - LEVEL) / tests)
    for pair in found:
        rates = ", ".join(f"{kind} {hits[kind][pair] / tests:.3f}" for kind in hits)
        print(
            f"{pair[0]} {pair[1]}: called different {rates} (nominal {LEVEL}, Monte-Carlo error {error:.3f})"
        )
    for kind, counts in hits.items():
        whole = sum(counts.values()) / tests / len(found)
        print(f"all tests, {kind}: {whole:.4f} (Monte-Carlo error {error / math.sqrt(len(found)):.4f})")
    for kind, count in family.items():
        print(f"a table of {len(found)} benchmarks x {arms - 1} arms, {kind}: any verdict {count / rounds:.3f} (nominal at most {LEVEL}, Monte-Carlo error {math.sqrt(LEVEL * (1 - LEVEL) / rounds):.3f})")  # fmt: skip


if __name__ == "__main__":
    main()
