"""Learning curves: figures against labels used, their area, the labels that reach a share of the ceiling, and when to stop.

Pure functions. In: of each arm, budget (labels used) and run what each test item contributed (correct or not), float64
[items]. Data seeds are the random unit; what is tested goes through winnow.compare.statistics. Out: rows.

Sources: stabilising predictions, Bloodgood and Vijay-Shanker 2009 (CoNLL, section 3); the area under a learning curve, Schein
and Ungar 2007 (Machine Learning 68).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from winnow.compare.statistics import (
    EQUAL,
    FEWEST_SEEDS,
    Comparison,
    Run,
    compare_samplers,
    holm,
    minimum_detectable_effect,
    possible,
    verdict,
)

Runs = Mapping[Run, np.ndarray]
"""What the items contributed, float64 [items], by (data seed, training seed)."""
Curve = Mapping[int, Runs]
"""Runs by labels used."""

RESAMPLES = 2000
SAME_RUNS = "the same models"
"""Instead of a verdict, where two arms have not parted yet."""
SHARES = (0.90, 0.95, 0.99)


@dataclass(frozen=True)
class Point:
    """An arm at a budget: mean over runs with a t interval over runs, for this budget alone (None of fewer than two)."""

    labels: int
    seeds: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Test:
    """An arm against the baseline with its p-value adjusted over a family (Holm), and the verdict."""

    comparison: Comparison
    p_adjusted: float | None
    verdict: str


@dataclass(frozen=True)
class Reached:
    """Labels that an arm needs to reach `share` of the ceiling; None: not within the budgets that were run. `low` and `high`
    are the interval of a bootstrap over runs, infinite where resamples do not reach it; None of fewer than three runs."""

    share: float
    target: float
    labels: float | None
    low: float | None
    high: float | None


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """The t interval of the mean of `values`, one per run; None of fewer than two, and of a sampler without chance, whose runs
    all give the same value, which says nothing of its error."""
    if len(values) < 2 or np.ptp(values) == 0:
        return None
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = error * float(stats.t.isf((1 - confidence) / 2, len(values) - 1))
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def points(curve: Curve, confidence: float = 0.95) -> list[Point]:
    """The points of a curve by labels used, ascending."""
    found = []
    for labels, runs in sorted(curve.items()):
        values = [float(items.mean()) for _, items in sorted(runs.items())]
        band = interval(values, confidence)
        low, high = band if band else (None, None)
        found.append(Point(labels, len(values), float(np.mean(values)), low, high))
    return found


def area(curve: Curve) -> dict[Run, np.ndarray]:
    """The mean of a curve over its range of labels (area by trapezoids, divided by the range), item by item, float64
    [items] by run, for runs that have every budget. A curve of one budget is its value there."""
    budgets = sorted(curve)
    runs = set.intersection(*(set(curve[b]) for b in budgets))
    if len(budgets) == 1:
        return {run: curve[budgets[0]][run] for run in sorted(runs)}
    steps = np.diff(budgets)
    weight = np.zeros(len(budgets))
    weight[:-1] += steps / 2
    weight[1:] += steps / 2
    weight /= weight.sum()
    return {run: np.average([curve[b][run] for b in budgets], axis=0, weights=weight) for run in sorted(runs)}


def is_deterministic(runs: Runs) -> bool:
    """Whether all of several runs answered the same: a sampler without chance, which is one model and no sample of them."""
    first, *others = runs.values()
    return bool(others) and all(np.array_equal(first, other) for other in others)


def compare_arms(pairs: Mapping[str, tuple[Runs, Runs]], confidence: float = 0.95) -> dict[str, Test]:
    """Each (arm, baseline) of a family compared over seeds and items, p adjusted over those that can be tested."""
    found = {
        name: compare_samplers(
            arm, baseline, confidence, fixed=(is_deterministic(arm), is_deterministic(baseline))
        )
        for name, (arm, baseline) in pairs.items()
    }
    tested = {name: one.p for name, one in found.items() if one.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {
        name: Test(
            one,
            adjusted.get(name),
            SAME_RUNS if one.lacking == EQUAL else verdict(one.effect, adjusted.get(name), confidence, True),
        )
        for name, one in found.items()
    }


def detectable(
    test: Test, tests: int, baseline: float, confidence: float
) -> tuple[float | None, bool | None]:
    """The minimum detectable effect of a test of accuracies at the strictest level of its family of `tests`, and whether there is
    one within the bounds of an accuracy for a `baseline` of this mean; (None, None) without a standard error."""
    if test.comparison.p is None:
        return None, None
    effect = minimum_detectable_effect(test.comparison, (1 - confidence) / tests)
    if effect is None:
        return None, None
    return (effect, True) if possible(effect, baseline, (0.0, 1.0)) else (None, False)


def crossing(labels: Sequence[int], values: Sequence[float], target: float) -> float | None:
    """Labels at which a curve first reaches `target`, linear between budgets; None if it never does."""
    for i, value in enumerate(values):
        if value >= target:
            if i == 0:
                return float(labels[0])
            share = (target - values[i - 1]) / (value - values[i - 1])
            return float(labels[i - 1] + share * (labels[i] - labels[i - 1]))
    return None


def labels_to_reach(
    curve: Curve, ceiling: Runs, shares: Sequence[float] = SHARES, confidence: float = 0.95, seed: int = 0
) -> list[Reached]:
    """Labels to reach each share of the mean of the ceiling's runs. Runs of the curve that lack a budget are left out; the
    percentile bootstrap (RESAMPLES, seeded) draws runs of the curve and of the ceiling with replacement. A ceiling of one run
    is a constant in it. The test items are the same in all resamples."""
    budgets = sorted(curve)
    runs = sorted(set.intersection(*(set(curve[b]) for b in budgets)))
    values = np.array([[float(curve[b][run].mean()) for b in budgets] for run in runs])
    top = np.array([float(items.mean()) for _, items in sorted(ceiling.items())])
    generator = np.random.default_rng(seed)
    drawn = [
        (
            values[generator.integers(0, len(values), len(values))].mean(0),
            top[generator.integers(0, len(top), len(top))].mean(),
        )
        for _ in range(RESAMPLES if len(runs) >= FEWEST_SEEDS and np.ptp(values, axis=0).any() else 0)
    ]
    found = []
    for share in shares:
        low = high = None
        if drawn:
            places = [crossing(budgets, mean, share * limit) for mean, limit in drawn]
            ordered = np.sort([math.inf if place is None else place for place in places])
            edge = (1 - confidence) / 2
            low = float(ordered[int(edge * (len(ordered) - 1))])
            high = float(ordered[math.ceil((1 - edge) * (len(ordered) - 1))])
        target = share * float(top.mean())
        found.append(Reached(share, target, crossing(budgets, values.mean(0).tolist(), target), low, high))
    return found


@dataclass(frozen=True)
class Step:
    """What one more round brought an arm, means over runs: gain of its figure per 100 labels with a t interval over runs; share
    of test items whose prediction `changed` since the round before, and Cohen's kappa of both (None if a model gave one answer
    to all items before and after); share of predictions that agree with the ceiling's (None without one)."""

    labels: int
    gain: float
    low: float | None
    high: float | None
    changed: float
    kappa: float | None
    agreement: float | None


def kappa(one: np.ndarray, other: np.ndarray) -> float:
    """Cohen's kappa of two predictions int [items]; nan where both give the same single answer, as a model that has seen one
    class does: its predictions are constant, not stable."""
    names = np.union1d(one, other)
    observed = float((one == other).mean())
    expected = float(sum((one == name).mean() * (other == name).mean() for name in names))
    return math.nan if expected == 1 else (observed - expected) / (1 - expected)


def steps(
    curve: Curve, predictions: Curve, ceiling: Runs | None = None, confidence: float = 0.95
) -> list[Step]:
    """What each round after the first brought. `predictions` int [items], as `curve`; they are compared with those of the same
    run of the ceiling where it has it, else of its first."""
    budgets, found = sorted(curve), []
    for before, now in itertools.pairwise(budgets):
        runs = sorted(set(curve[before]) & set(curve[now]))
        rate = 100 / (now - before)
        gains = [rate * float(curve[now][run].mean() - curve[before][run].mean()) for run in runs]
        pairs = [(predictions[before][run], predictions[now][run]) for run in runs]
        band = interval(gains, confidence)
        kappas = [kappa(one, other) for one, other in pairs]
        agreement = None
        if ceiling:
            first = ceiling[min(ceiling)]
            agreement = float(
                np.mean([(predictions[now][run] == ceiling.get(run, first)).mean() for run in runs])
            )
        found.append(
            Step(
                now,
                float(np.mean(gains)),
                band[0] if band else None,
                band[1] if band else None,
                float(np.mean([(one != other).mean() for one, other in pairs])),
                None if np.isnan(kappas).any() else float(np.mean(kappas)),
                agreement,
            )
        )
    return found


def sufficient(found: Sequence[Step], gain: float, stable: float = 0.99) -> int | None:
    """Labels at which labelling could have stopped: after the first round whose gain is shown to be below `gain` per 100 labels
    (the interval's upper end), or that hardly changed the predictions (kappa at least `stable`; constant
    predictions do not count); None: no such round."""
    for step in found:
        if (step.high is not None and step.high < gain) or (step.kappa is not None and step.kappa >= stable):
            return step.labels
    return None
