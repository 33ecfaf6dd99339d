"""Learning curves: bands and tests over seeds, labels to reach a share of the ceiling, and when a round no longer pays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from winnow.rounds.curves import (
    area,
    compare_arms,
    crossing,
    detectable,
    kappa,
    labels_to_reach,
    points,
    steps,
    sufficient,
)

BUDGETS = (100, 200, 400)


def curve(
    levels: list[float], seeds: int, items: int = 400, seed: int = 0
) -> dict[int, dict[int, np.ndarray]]:
    """Right and wrong answers at planted levels; an item's difficulty is shared by all runs."""
    difficulty = np.random.default_rng(99).random(items)
    generator = np.random.default_rng(seed)
    return {
        budget: {
            (s, s): (difficulty + 0.05 * generator.standard_normal() < level).astype(float)
            for s in range(seeds)
        }
        for budget, level in zip(BUDGETS, levels, strict=True)
    }


def test_an_area_says_which_difference_its_test_would_have_detected() -> None:
    base, equal = area(curve([0.6, 0.65, 0.7], 8)), area(curve([0.6, 0.65, 0.7], 8, seed=2))
    test = compare_arms({"equal": (equal, base)})["equal"]
    alone, able = detectable(test, 1, 0.65, 0.95)
    of_five, _ = detectable(test, 5, 0.65, 0.95)
    assert able is True
    assert alone is not None
    assert of_five is not None
    assert abs(test.comparison.effect) < alone < of_five  # the strictest test of a larger family detects less
    few = compare_arms({"few": (area(curve([0.9] * 3, 2)), area(curve([0.5] * 3, 2)))})["few"]
    assert detectable(few, 1, 0.5, 0.95) == (None, None)


def test_a_planted_better_arm_is_better_at_its_budgets_and_an_equal_one_is_not() -> None:
    base, better, equal = (
        curve([0.6, 0.65, 0.7], 8),
        curve([0.75, 0.8, 0.85], 8, seed=1),
        curve([0.6, 0.65, 0.7], 8, seed=2),
    )
    pairs = {
        f"{name} {b}": (arm[b], base[b])
        for name, arm in (("better", better), ("equal", equal))
        for b in BUDGETS
    }
    found = compare_arms(pairs)
    assert all(found[f"better {b}"].verdict == "better" for b in BUDGETS)
    assert all(found[f"equal {b}"].verdict == "not distinguishable" for b in BUDGETS)
    assert all(one.p_adjusted >= one.comparison.p for one in found.values())
    areas = compare_arms({"better": (area(better), area(base)), "equal": (area(equal), area(base))})
    assert (areas["better"].verdict, areas["equal"].verdict) == ("better", "not distinguishable")
    assert (
        compare_arms({"few": (curve([0.9] * 3, 2)[100], curve([0.5] * 3, 2)[100])})["few"].verdict
        == "too little data"
    )


def test_the_area_is_the_mean_over_the_range_of_labels() -> None:
    run = (0, 0)
    made = {
        100: {run: np.array([0.0, 1.0])},
        200: {run: np.array([1.0, 1.0])},
        400: {run: np.array([1.0, 0.0])},
    }
    assert area(made)[run] == pytest.approx([(50 + 200) / 300, (100 + 100) / 300])
    assert area({100: {(3, 3): np.array([1.0])}})[3, 3] == 1.0


def test_bands_are_t_intervals_over_seeds() -> None:
    made = {100: {(s, s): np.full(10, value) for s, value in enumerate([0.5, 0.6, 0.7])}}
    point = points(made)[0]
    assert (point.mean, point.seeds) == (pytest.approx(0.6), 3)
    assert point.high - point.mean == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)
    assert points({100: {(0, 0): np.ones(3)}})[0].low is None


def test_labels_to_reach_a_share_of_the_ceiling() -> None:
    assert crossing(BUDGETS, [0.5, 0.6, 0.8], 0.7) == pytest.approx(300)
    assert crossing(BUDGETS, [0.5, 0.6, 0.8], 0.4) == 100
    assert crossing(BUDGETS, [0.5, 0.6, 0.8], 0.9) is None
    ceiling = {(0, 0): np.full(400, 0.9), (0, 1): np.full(400, 0.9)}
    found = labels_to_reach(curve([0.6, 0.75, 0.84], 6), ceiling)
    assert found[0].low <= found[0].labels <= found[0].high
    assert found[0].labels < found[1].labels
    assert found[2].labels is None
    assert found[2].high == math.inf
    assert labels_to_reach(curve([0.6, 0.7, 0.8], 2), ceiling)[0].low is None
    assert labels_to_reach(curve([0.6, 0.75, 0.84], 6), ceiling) == found  # seeded


def test_kappa_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 3, 200), generator.integers(0, 3, 200)
    other[:120] = one[:120]
    assert kappa(one, other) == pytest.approx(cohen_kappa_score(one, other))
    assert np.isnan(kappa(np.ones(4), np.ones(4)))


def test_models_that_answer_one_class_are_not_told_to_be_enough() -> None:
    """First rounds of one class only: every answer is equal round after round, and nothing is learnt."""
    right = (np.arange(90) % 3 == 0).astype(float)
    flat = {b: {s: right for s in range(3)} for b in BUDGETS}
    answers = {b: {s: np.zeros(90, dtype=int) for s in range(3)} for b in BUDGETS}
    found = steps(flat, answers)
    assert [step.kappa for step in found] == [None] * len(found)
    assert sufficient(found, 0.001) is None


def test_a_flat_curve_says_when_it_was_enough() -> None:
    rising, flat = curve([0.5, 0.6, 0.7], 6), curve([0.7, 0.7, 0.7], 6, seed=3)
    answers = {b: {s: items.astype(int) for s, items in runs.items()} for b, runs in flat.items()}
    steady = steps({b: flat[100] for b in BUDGETS}, {b: answers[100] for b in BUDGETS}, answers[100])
    assert steady[0].kappa == 1
    assert steady[0].agreement == 1
    assert sufficient(steady, 0.001) == 200
    moving = {b: {s: items.astype(int) for s, items in runs.items()} for b, runs in rising.items()}
    found = steps(rising, moving)
    assert found[0].gain > 0
    assert found[0].agreement is None
    assert sufficient(found, 0.001) is None


def test_seeds_of_a_sampler_without_chance_give_no_interval_and_no_advice() -> None:
    """Twenty equal runs would else look like a gain that is known exactly."""
    one = curve([0.7, 0.65, 0.6], 1)
    copies = {budget: dict.fromkeys([(s, s) for s in range(5)], runs[0, 0]) for budget, runs in one.items()}
    answers = {b: {s: items.astype(int) for s, items in runs.items()} for b, runs in copies.items()}
    assert points(copies)[0].low is None
    found = steps(copies, answers)
    assert found[0].high is None
    assert sufficient(found, 0.001) is None
    assert labels_to_reach(copies, {(0, 0): np.full(400, 0.7)})[0].low is None


def test_a_round_is_described_by_what_it_changed() -> None:
    """One of four predictions changes in run 0 and two in run 1; accuracy rises by 1/4 and falls by 1/4 over 200 labels."""
    label = np.array([0, 0, 1, 1])
    answers = {
        100: {(0, 0): np.array([0, 1, 1, 1]), (1, 1): np.array([0, 0, 1, 1])},
        300: {(0, 0): np.array([0, 0, 1, 1]), (1, 1): np.array([1, 0, 1, 0])},
    }
    right = {b: {run: (a == label).astype(float) for run, a in runs.items()} for b, runs in answers.items()}
    (step,) = steps(right, answers, {(0, 0): label})
    assert step.changed == pytest.approx((1 / 4 + 2 / 4) / 2)
    assert step.gain == pytest.approx((0.25 - 0.5) / 2 / 2)
    gains = np.array([0.125, -0.25])
    half = 12.7062 * gains.std(ddof=1) / math.sqrt(2)
    assert (step.low, step.high) == (
        pytest.approx(gains.mean() - half, rel=1e-4),
        pytest.approx(gains.mean() + half, rel=1e-4),
    )
    assert step.agreement == pytest.approx((1 + 0.5) / 2)
    kappas = [cohen_kappa_score(*(answers[b][run] for b in (100, 300))) for run in ((0, 0), (1, 1))]
    assert step.kappa == pytest.approx(np.mean(kappas))


def test_p_is_adjusted_over_all_that_can_be_tested_and_nothing_else() -> None:
    """Holm by hand: the smallest p times the number of tests, and never below the one before; arms that are the same models as
    the baseline are no test and cost the others nothing."""
    base = curve([0.6, 0.65, 0.7], 6)
    others = [curve([0.62, 0.66, 0.7], 6, seed=s) for s in (1, 2)]
    pairs = {f"{i} {b}": (arm[b], base[b]) for i, arm in enumerate(others) for b in BUDGETS}
    found = compare_arms({**pairs, "same": (base[100], base[100])})
    p = sorted((found[name].comparison.p, found[name].p_adjusted) for name in pairs)
    adjusted = np.maximum.accumulate([min(1.0, raw * (len(p) - i)) for i, (raw, _) in enumerate(p)])
    assert [one for _, one in p] == pytest.approx(adjusted)
    assert found["same"].p_adjusted is None
    assert found["same"].verdict == "the same models"


def test_the_interval_of_a_ceiling_of_one_run_has_no_error_of_the_ceiling() -> None:
    arm = curve([0.6, 0.75, 0.9], 6)
    one = labels_to_reach(arm, {(0, 0): np.full(400, 0.9)})[0]
    noisy = {(s, s): np.full(400, level) for s, level in enumerate([0.8, 0.9, 1.0])}
    several = labels_to_reach(arm, noisy)[0]
    assert one.labels == pytest.approx(several.labels)
    assert several.high - several.low > one.high - one.low
