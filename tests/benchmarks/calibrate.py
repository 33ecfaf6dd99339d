"""A/A calibration of the comparison of samplers, with variances estimated from real runs.

    python tests/benchmarks/calibrate.py [rounds] [arms] EVALUATION_FOLDER ... (each with items.parquet; runs of one sampler)

From the runs' items it estimates, for each benchmark and metric, the variance of the seed, of the item and of the rest
(two-way random effects), then draws tables of arms that differ in nothing but their seeds and counts how often a test calls
one different at 5 %, and how often a table has any such verdict (Holm). Monte-Carlo errors are printed.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
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


def main() -> None:
    numbers = [int(a) for a in sys.argv[1:3]]
    rounds, arms = numbers
    runs = [read_items(Path(folder, "items.parquet"), False) for folder in sys.argv[3:]]
    found = {}
    for pair in sorted(set.intersection(*(set(run) for run in runs))):
        block = np.stack([run[pair].parts(pair[1], np.arange(len(run[pair].values))) for run in runs])
        if np.isfinite(block).all() and block.std() > 0:
            found[pair] = (*components(block), block.shape[1])
            print(f"{pair[0]} {pair[1]}: {block.shape[1]} items, variance of the seed {found[pair][0]:.3g}, of the item {found[pair][1]:.3g}, of the rest {found[pair][2]:.3g}")  # fmt: skip
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
