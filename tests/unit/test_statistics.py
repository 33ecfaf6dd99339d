"""Tests of comparisons: what a claim would be worth if they were wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from winnow import metrics
from winnow.compare import statistics
from winnow.compare.statistics import compare_models, compare_samplers, holm, verdict

ITEMS = 120


def draw(
    generator: np.random.Generator, seeds: range, seed_sd: float, item: np.ndarray | float = 0.0
) -> dict:
    """Runs of one arm; unit noise an item, so that its part in a seed's mean has SD ITEMS**-0.5."""
    return {
        (seed, 0): item + seed_sd * generator.normal() / ITEMS**0.5 + generator.normal(size=ITEMS)
        for seed in seeds
    }


def rejections(
    tables: int, seeds: int, tests: int, seed_sd: float, item_sd: float = 0.0, disjoint: bool = False
) -> tuple[float, float]:
    """Rates at nominal 5 % under no difference: of single tests, and of any in a table of `tests` by Holm."""
    generator = np.random.default_rng(11)
    single = family = 0
    for _ in range(tables):
        p = []
        for _ in range(tests):
            item = item_sd * generator.normal(size=ITEMS)
            other = range(seeds, 2 * seeds) if disjoint else range(seeds)
            found = compare_samplers(
                draw(generator, range(seeds), seed_sd, item), draw(generator, other, seed_sd)
            )
            p.append(found.p)
        single += sum(value < 0.05 for value in p)
        family += min(holm(p)) < 0.05
    return single / (tables * tests), family / tables


@pytest.mark.parametrize(("seeds", "disjoint"), [(3, False), (5, False), (3, True)])
def test_arms_that_differ_only_in_seeds_are_called_different_at_the_nominal_rate(seeds, disjoint):
    tables, tests = 200, 5
    single, family = rejections(tables, seeds, tests, seed_sd=1.5, disjoint=disjoint)
    assert single < 0.05 + 3 * math.sqrt(0.05 * 0.95 / (tables * tests))
    assert family < 0.05 + 3 * math.sqrt(0.05 * 0.95 / tables)
    assert single > (0.01 if disjoint else 0.05 - 3 * math.sqrt(0.05 * 0.95 / (tables * tests)))


def test_items_that_favour_an_arm_by_chance_do_not_make_it_better():
    single, _ = rejections(200, 3, 2, seed_sd=0.0, item_sd=2.0)
    assert single < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_paired_seeds_with_no_item_part_are_the_t_test():
    generator = np.random.default_rng(0)
    arm, baseline = (draw(generator, range(5), 3.0) for _ in range(2))
    found = compare_samplers(arm, baseline)
    expected = stats.ttest_1samp([(arm[key] - baseline[key]).mean() for key in arm], 0)
    assert len(found.components) == 1
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_disjoint_seeds_are_welchs_test():
    generator = np.random.default_rng(3)
    arm, baseline = draw(generator, range(4), 3.0), draw(generator, range(4, 9), 1.0)
    found = compare_samplers(arm, baseline)
    means = [[runs[key].mean() for key in runs] for runs in (arm, baseline)]
    assert len(found.components) == 1
    assert found.p == pytest.approx(stats.ttest_ind(*means, equal_var=False).pvalue)


def test_as_many_disjoint_seeds_are_students_test_unless_their_spread_differs():
    generator = np.random.default_rng(3)
    for spread, pooled in ((30.0, True), (0.0, False)):
        arm, baseline = draw(generator, range(4), 30.0), draw(generator, range(4, 8), spread)
        found = compare_samplers(arm, baseline)
        means = [[runs[key].mean() for key in runs] for runs in (arm, baseline)]
        expected = stats.ttest_ind(*means, equal_var=pooled)
        assert found.components[0][1] == pytest.approx(expected.df)
        if len(found.components) == 1:
            assert found.p == pytest.approx(expected.pvalue)


def test_a_pretrained_model_is_a_constant_to_the_seeds():
    generator = np.random.default_rng(1)
    arm = draw(generator, range(4), 3.0)
    model = np.mean(list(arm.values()), axis=0) + 2  # as the arm item by item, but for a gap
    found = compare_samplers(arm, {(0, 0): model}, fixed=(False, True))
    expected = stats.ttest_1samp([value.mean() for value in arm.values()], model.mean())
    assert len(found.components) == 1
    assert found.p == pytest.approx(expected.pvalue)
    turned = compare_samplers({(0, 0): model}, arm, fixed=(True, False))
    assert (turned.effect, turned.p) == (-found.effect, found.p)
    few = {key: arm[key] for key in list(arm)[:2]}
    lacking = compare_samplers(few, {(0, 0): model}, fixed=(False, True))
    assert (lacking.lacking, lacking.have, lacking.need) == (statistics.FEW_SEEDS, 2, 3)
    both = compare_samplers({(0, 0): model}, {(0, 0): model + 1}, fixed=(True, True))
    assert (both.p, both.lacking) == (None, statistics.PRETRAINED)


def test_an_effect_of_the_minimum_detectable_size_is_detected_with_its_power():
    generator = np.random.default_rng(4)
    gap = statistics.minimum_detectable_effect(
        statistics.Comparison(0, 0.1, 0, 0, None, "", "", ((0.01, 4.0),)), level=0.05
    )
    t = (gap / 0.1 + generator.normal(size=200_000)) / np.sqrt(generator.chisquare(4, 200_000) / 4)
    assert np.mean(np.abs(t) > stats.t.isf(0.025, 4)) == pytest.approx(0.8, abs=0.005)


def test_the_minimum_detectable_effect_at_three_seeds_and_a_strict_level_is_finite():
    comparison = statistics.Comparison(0, 1.0, 0, 0, None, "", "", ((1.0, 2.0),))
    loose, strict = (statistics.minimum_detectable_effect(comparison, level) for level in (0.05, 0.0005))
    assert 4 < loose < strict < 200
    quantile = stats.t.isf(0.00025, 2)
    generator = np.random.default_rng(5)
    t = (strict + generator.normal(size=200_000)) / np.sqrt(generator.chisquare(2, 200_000) / 2)
    assert np.mean(t > quantile) == pytest.approx(0.8, abs=0.01)


def test_two_seeds_get_no_p_value():
    generator = np.random.default_rng(6)
    found = compare_samplers(draw(generator, range(2), 0), draw(generator, range(3), 0))
    assert found.p is None
    assert found.unit == "items"
    assert found.low < found.effect < found.high
    assert verdict(found.effect, found.p, 0.95, up=True) == "too little data"


def test_training_seeds_are_no_substitute_for_data_seeds():
    generator = np.random.default_rng(7)
    runs = [{(0, t): generator.normal(size=ITEMS) for t in range(5)} for _ in range(2)]
    assert compare_samplers(*runs).p is None


def test_equal_answers_are_no_evidence():
    constant = {(seed, 0): np.repeat([0.0, 1.0], 50) for seed in range(3)}
    found = compare_samplers(constant, constant)
    assert (found.effect, found.p, found.low, found.high) == (0.0, None, 0.0, 0.0)
    assert found.lacking == statistics.EQUAL


def test_seeds_that_tie_up_to_rounding_give_no_certainty():
    generator = np.random.default_rng(12)
    right = {(seed, 0): generator.permutation(np.repeat([0.0, 1.0], 15)) for seed in range(3)}
    more = {(seed, 0): generator.permutation(np.repeat([0.0, 1.0], [12, 18])) for seed in range(3)}
    runs = [
        {key: metrics.influence_values("acc", v, np.full(30, 0.1)) for key, v in arm.items()}
        for arm in (more, right)
    ]
    found = compare_samplers(*runs)
    assert found.p is None
    assert found.lacking == statistics.NO_SPREAD
    assert found.low < found.effect - 0.01


@pytest.mark.parametrize("items", [1, 7, 19])
def test_a_handful_of_items_gets_no_verdict(items):
    generator = np.random.default_rng(13)
    runs = [{(s, 0): generator.normal(size=items) for s in range(5)} for _ in range(2)]
    assert compare_samplers(*runs).p is None


@pytest.mark.parametrize("training_sd", [0.0, 1.5])
def test_shared_training_seeds_keep_the_level_in_the_tail(training_sd):
    generator = np.random.default_rng(14)
    data, training, tables = 5, 2, 1000
    p = []
    for _ in range(tables):
        arms = []
        for _ in range(2):
            shift = training_sd * generator.normal(size=training) / ITEMS**0.5
            arms.append(
                {
                    (d, t): shift[t] + generator.normal(size=ITEMS)
                    for d in range(data)
                    for t in range(training)
                }
            )
        p.append(compare_samplers(*arms).p)
    assert np.mean(np.array(p) < 0.05) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / tables)
    assert np.mean(np.array(p) < 0.001) < 0.001 + 4 * math.sqrt(0.001 / tables)


def test_shared_training_seeds_widen_the_interval():
    generator = np.random.default_rng(8)
    shift = generator.normal(size=4)
    arm = {(d, t): shift[t] + 0.1 * generator.normal(size=ITEMS) for d in range(3) for t in range(4)}
    base = {key: 0.1 * generator.normal(size=ITEMS) for key in arm}
    crossed = compare_samplers(arm, base)
    assert crossed.standard_error**2 == pytest.approx(np.var(shift, ddof=1) / 4, rel=0.05)


def test_variances_of_crossed_seeds_are_recovered():
    generator = np.random.default_rng(9)
    found = []
    for _ in range(300):
        data, training = 2 * generator.normal(size=6), generator.normal(size=6)
        found.append(
            statistics.seed_variances(
                {(d, t): data[d] + training[t] + 0.5 * generator.normal() for d in range(6) for t in range(6)}
            )
        )
    for name, expected in (("data", 4.0), ("training", 1.0), ("residual", 0.25)):
        assert np.mean([f[name] for f in found]) == pytest.approx(expected, rel=0.15)
    assert statistics.seed_variances({(0, 0): 1.0, (1, 1): 2.0}) is None


def test_mcnemar_is_the_exact_one():
    arm = np.array([1.0] * 12 + [0.0] * 3 + [1.0] * 40 + [0.0] * 45)
    baseline = np.array([0.0] * 12 + [1.0] * 3 + [1.0] * 40 + [0.0] * 45)
    found = compare_models(arm, baseline, binary=True)
    from statsmodels.stats.contingency_tables import mcnemar

    assert found.p == pytest.approx(mcnemar([[40, 12], [3, 45]], exact=True).pvalue)
    assert compare_models(arm, arm, binary=True).p == 1.0


def test_sign_flips_hold_their_level_repeat_and_agree_with_all_flips():
    difference = np.array([0.3, -0.1, 0.8, 0.5, 0.9, 0.2, -0.4, 0.7, 0.6, 1.1])
    signs = 1 - 2 * ((np.arange(1024)[:, None] >> np.arange(10)) & 1)
    exact = np.mean(np.abs(signs @ difference) >= abs(difference.sum()) - 1e-12)
    found = compare_models(difference, np.zeros(10), binary=False, resamples=20000, seed=1)
    assert found.p == pytest.approx(exact, abs=0.003)
    assert found == compare_models(difference, np.zeros(10), binary=False, resamples=20000, seed=1)
    certain = compare_models(difference + 100, np.zeros(10), binary=False, resamples=100)
    assert certain.p == 2**-9  # of all 1024 flips two are as extreme


def test_what_no_flip_reaches_is_as_sure_as_students_t_says():
    """Else Holm's adjustment over 250 tests would leave no difference of two models standing."""
    difference = np.random.default_rng(0).normal(0.4, 1.0, 200)
    found = compare_models(difference, np.zeros(200), binary=False, resamples=5000)
    assert found.p == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    assert found.p < 1 / 5001
    assert found.test == "sign flips over items, then t"


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]


@pytest.mark.slow  # statsmodels takes ten seconds to import
@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_is_that_of_statsmodels(p):
    if p:
        from statsmodels.stats.multitest import multipletests

        assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]))
    else:
        assert holm(p) == []


@settings(max_examples=50)
@given(st.integers(2, 6), st.floats(0.01, 1e4), st.floats(0, 1e3), st.integers(1, 10_000))
def test_p_and_interval_say_the_same(freedom, t, part, items):
    components = ((1.0, float(freedom)), (part, float(items)))
    for level in (0.05, 0.001):
        critical = statistics.critical_value(level, components)
        if abs(t / critical - 1) > 1e-6:
            assert (statistics.p_value(t, components) < level) == (t > critical)


@settings(max_examples=50)
@given(st.integers(2, 6), st.floats(0.01, 1e4), st.floats(0, 10), st.integers(1, 10_000))
def test_noise_of_items_never_lowers_p(freedom, effect, part, items):
    alone = statistics.p_value(effect, ((1.0, float(freedom)),))
    both = statistics.p_value(effect / math.sqrt(1 + part), ((1.0, float(freedom)), (part, float(items))))
    assert both >= alone * (1 - 1e-6)


def test_noise_of_items_lowers_no_p_of_crossed_seeds_either():
    crossed = ((1.714, 2.0), (1.776, 2.0))
    for effect in (10.0, 20.0, 40.0):
        error = math.sqrt(sum(v for v, _ in crossed))
        alone = statistics.p_value(effect / error, crossed)
        with_items = (*crossed, (10.328, 1000.0))
        error = math.sqrt(sum(v for v, _ in with_items))
        assert statistics.p_value(effect / error, with_items) >= alone * (1 - 1e-6)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(2, 60), st.integers(2, 5))
def test_influence_values_average_to_the_figure(seed, items, classes):
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(seed)
    values, weights = generator.normal(size=items), generator.integers(1, 100, items).astype(float)
    assert metrics.influence_values("bits_per_byte", values, weights).mean() == pytest.approx(
        metrics.figure("bits_per_byte", values, weights)
    )
    ones = np.ones(items)
    assert math.exp(metrics.influence_values("perplexity", values, ones).mean()) == pytest.approx(
        metrics.figure("perplexity", values, ones)
    )
    label, predicted = generator.integers(0, classes, (2, items))
    f1, influence = metrics.macro_f1(label, predicted)
    assert f1 == pytest.approx(
        f1_score(label, predicted, labels=np.unique(label), average="macro", zero_division=0)
    )
    assert influence.mean() == pytest.approx(f1)


def test_influence_values_of_a_weighted_mean_and_of_f1_spread_as_the_figure_does():
    generator = np.random.default_rng(10)
    weights = generator.integers(1, 50, 2000).astype(float)
    values = 1 / weights + generator.normal(size=2000)
    label = generator.integers(0, 3, 2000)
    predicted = np.where(generator.random(2000) < 0.7, label, 0)
    index = generator.integers(0, 2000, (800, 2000))
    means = (values * weights)[index].sum(1) / weights[index].sum(1)
    expected = metrics.influence_values("bits_per_byte", values, weights).std() / 2000**0.5
    assert means.std() == pytest.approx(expected, rel=0.1)
    f1 = [metrics.macro_f1(label[i], predicted[i])[0] for i in index]
    assert np.std(f1) == pytest.approx(metrics.macro_f1(label, predicted)[1].std() / 2000**0.5, rel=0.1)


def test_verdicts_know_the_direction():
    assert verdict(0.1, 0.01, 0.95, up=True) == "better"
    assert verdict(0.1, 0.01, 0.95, up=False) == "worse"
    assert verdict(0.1, 0.2, 0.95, up=True) == "not distinguishable"
    assert verdict(0.1, None, 0.95, up=True) == "too little data"


def test_macro_f1_of_a_part_is_over_the_classes_of_its_labels():
    label, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 0])
    # Class 0: 2 x 1 / (2 + 2); class 1: 2 x 1 / (2 + 1); class 2 is only predicted.
    f1, influence = metrics.macro_f1(label, predicted)
    assert f1 == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert influence.mean() == pytest.approx(f1)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("acc", (0, 1)), ("acc_norm", (0, 1)), ("f1", (0, 1)), ("exact_match", (0, 1)), ("perplexity", (0, math.inf)),
        ("word_perplexity", (0, math.inf)), ("bits_per_byte", (0, math.inf)), ("mcc", (-1, 1)), ("bleu", (-math.inf, math.inf)),
    ],
)  # fmt: skip
def test_bounds_of_metrics(metric, expected):
    assert metrics.bounds(metric) == expected


def test_an_interval_is_cut_at_the_effects_that_the_bounds_leave():
    wide = statistics.Comparison(0.05, 0.1, -0.95, 1.05, 0.4, "seeds and items", "t", ((0.01, 2.0),))
    cut = statistics.within(wide, 0.9, (0.0, 1.0))
    assert (cut.low, cut.high, cut.p) == pytest.approx((-0.9, 0.1, 0.4))
    assert statistics.within(wide, 0.9, (0.0, math.inf)).high == 1.05
    assert statistics.possible(0.9, 0.9, (0.0, 1.0))  # down to 0
    assert not statistics.possible(0.95, 0.9, (0.0, 1.0))
    assert statistics.possible(7.0, 0.9, (0.0, math.inf))
    assert not statistics.possible(None, 0.9, (0.0, 1.0))


def test_effects_by_seed_by_hand():
    runs = {(0, 0): np.array([1.0, 3.0]), (0, 1): np.array([3.0, 5.0]), (1, 0): np.array([0.0, 2.0]), (1, 1): np.array([2.0, 4.0])}  # fmt: skip
    other = {key: value - 1 - key[0] for key, value in runs.items()}
    assert statistics.effects_by_seed(runs, other) == [(0, 1.0), (1, 2.0)]
    alone = {(5, 5): np.array([1.0, 1.0])}
    assert statistics.effects_by_seed(runs, alone) == [(0, 2.0), (1, 1.0)]  # means 3 and 2, against 1
    assert statistics.level_of(runs) == 2.5


def test_too_few_items_are_counted_not_told():
    generator = np.random.default_rng(0)
    runs = [{(s, s): generator.normal(size=40) for s in range(3)} for _ in range(2)]
    assert compare_samplers(*runs).p is not None
    found = compare_samplers(*runs, fewest_items=50)
    assert (found.p, found.lacking, found.have, found.need) == (None, statistics.FEW_ITEMS, 40, 50)
    found = compare_models(np.ones(40), np.zeros(40), True, fewest_items=50)
    assert (found.p, found.lacking) == (None, statistics.FEW_ITEMS)
