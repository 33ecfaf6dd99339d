"""Tests of comparisons: pure functions of numbers, no files.

In: the influence values of each run, one per item (`winnow.metrics`). Out: effects, intervals, p-values and verdicts. What
is compared decides the random unit: for two samplers seeds and then items, for two models items.

Two samplers. The reference procedure is a hierarchical bootstrap over seeds, then items. With few seeds
the level of its percentile interval depends on where the noise comes from: of arms that do not differ, at a
nominal 5 % it calls 0.8 % different if seeds add nothing to the items' noise, and 29 % if they outweigh
it (three seeds; five: 0.1 % and 17 %). Seeds are too few to resample, and residual noise is counted
twice. So the same two-level variance is estimated in closed form, without bias, and referred to t
quantiles: see `compare_samplers`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

FEWEST_SEEDS = 3
FEWEST_ITEMS = 20
"""With fewer items there is no verdict: the F test that decides whether their noise enters has no power (2 to 8 items: of
arms that do not differ up to 17 % are called different at a nominal 5 %)."""
FEWEST_GROUP_ITEMS = 50
"""A group of fewer items is described, not tested: its tests would cost the other groups power and could detect only
effects larger than any sampler has (50 items: the standard error of one model's accuracy is up to .07)."""
VARIANCE_GATE = 0.05
"""Level of the F test for unequal variances of two independent arms."""
ROUNDING = 1e-12
SMALLEST_P = 1e-50
"""No p-value is stated below this: further out scipy (1.17) returns -inf for quantiles of t."""
POWER = 0.8
"""Of a minimum detectable effect, and of a plan of seeds."""
BETTER, WORSE = "better", "worse"
SAME, LITTLE = "not distinguishable", "too little data"

FEW_SEEDS, FEW_ITEMS, PRETRAINED = "few seeds", "few items", "pretrained models"
EQUAL, NO_SPREAD, NO_VARIANCE = "equal runs", "no spread", "no variance"
"""Why there is no test: `Comparison.lacking`."""
SEEDS_AND_ITEMS, ITEMS = "seeds and items", "items"
"""What an interval is over: `Comparison.unit`."""

Run = tuple[int, int]
"""A run's data seed and training seed."""


@dataclass(frozen=True)
class Comparison:
    """An arm against its baseline, on the scale of the influence values (arm - baseline).

    `unit` is what the interval is over: SEEDS_AND_ITEMS or ITEMS. `p` is None where no test is sound, and `lacking` is the
    reason, with the number of seeds or items that there are (`have`) and that a test needs (`need`) where it is one of
    FEW_SEEDS and FEW_ITEMS. `components` are the (variance, degrees of freedom) whose sum is `standard_error` squared.
    """

    effect: float
    standard_error: float
    low: float
    high: float
    p: float | None
    unit: str
    test: str
    components: tuple[tuple[float, float], ...]
    lacking: str = ""
    have: int = 0
    need: int = 0


def within(comparison: Comparison, baseline: float, limits: tuple[float, float]) -> Comparison:
    """The comparison with its interval cut to the effects that are possible within the metric's `limits` for a `baseline` of
    this figure. Its test is unchanged, and so is whether the interval holds 0."""
    low, high = limits[0] - baseline, limits[1] - baseline
    return replace(comparison, low=max(comparison.low, low), high=min(comparison.high, high))


# -- two samplers -------------------------------------------------------------------------------------


def compare_samplers(
    arm: Mapping[Run, np.ndarray],
    baseline: Mapping[Run, np.ndarray],
    confidence: float = 0.95,
    item_gate: float = 0.05,
    fixed: tuple[bool, bool] = (False, False),
    fewest_items: int = FEWEST_ITEMS,
) -> Comparison:
    """Two samplers, each trained with several seeds, over the same items.

    `arm` and `baseline` map (data seed, training seed) to influence values, float64 [items]. Where both hold the same
    runs these are paired (their draws share keys, their trainings share seeds); else they are taken as
    independent, which is conservative for arms that share some. Training seeds of one data seed are
    averaged first: the data seed is the unit. `fixed`: which of the two is one pretrained model: it has no random
    seeds, and the other's are tested against its figure as a constant.

    Of independent arms with equally many seeds the variances are pooled (Student's 2 (S - 1) degrees of
    freedom) unless an F test at VARIANCE_GATE rejects that they are equal; else Welch's. At three seeds each and a
    nominal .05, Welch's alone calls arms that do not differ different in .036 of cases, pooled alone up to
    .108 if one arm has no spread; this rule in .049, and .056 there (400,000 simulated pairs). In between the F test
    often misses the difference, and the rule is too liberal: if one variance is 10 (30) times the other, .073 (.083)
    at a nominal .05, and 2.5 (4.8) times the nominal at .001; Welch's .053 (.058), and 1.1 (2.1) times (a million pairs).

    Model: y[seed, item] = effect + seed + item + residual, all random. The variance of the mean over S
    seeds and I items is s2(seed means) / S, which holds the seed and residual components, plus the item component
    (MS_item - MS_residual) / (S I) (two-way crossed random effects: Searle, Casella and McCulloch 1992,
    chapter 4), plus, if crossed, the same for training seeds. Its components have very different degrees
    of freedom; the critical value is their mean weighted by variance (Cochran and Cox 1957, section
    4.14), which keeps the level in the tails that Holm needs, where Satterthwaite's is up to four times
    too liberal at three seeds. The item component enters only if an F test at `item_gate` rejects that it is 0: its
    noise must not borrow the items' degrees of freedom, and so an A/A comparison is the exact t-test. The
    training component, of one or two degrees of freedom, always enters, with its residual noise: left out where its
    estimate is small, it would take those degrees of freedom with it, and the level would not hold.

    With fewer than FEWEST_SEEDS data seeds in an arm or `fewest_items` items, or where all seeds of both arms agree up to
    rounding, there is no test: the interval is over items only.
    """
    seeds = [
        len({data for data, _ in runs}) for runs, one in zip((arm, baseline), fixed, strict=True) if not one
    ]
    left, right = _by_data_seed(arm), _by_data_seed(baseline)
    items = left.shape[1]
    effect = float(left.mean() - right.mean())
    if abs(effect) < ROUNDING * max(np.abs(left).max(), np.abs(right).max()):
        effect = 0.0
    between = float(np.var(left.mean(0) - right.mean(0), ddof=1) / items) if items > 1 else 0.0
    scale = max(np.abs(left).max(), np.abs(right).max())
    paired = set(arm) == set(baseline) or any(fixed)
    lacking, have, need = "", 0, 0
    if not seeds:
        lacking = PRETRAINED
    elif min(seeds) < FEWEST_SEEDS:
        lacking, have, need = FEW_SEEDS, min(seeds), FEWEST_SEEDS
    elif items < fewest_items:
        lacking, have, need = FEW_ITEMS, items, fewest_items
    else:
        pairs = [left - right] if paired else [left, right]
        if max(float(np.ptp(block.mean(1))) for block in pairs) <= ROUNDING * scale:
            same = effect == 0 and between <= (ROUNDING * scale) ** 2
            lacking = EQUAL if same else NO_SPREAD
    if lacking:
        untested = _conclude(effect, [(between, items - 1)], confidence, ITEMS, "none", False)
        return replace(untested, lacking=lacking, have=have, need=need)
    if paired:
        left, right = left - right, np.zeros((1, items))
    arms = [left] if paired else [left, right]
    spread = [np.var(block.mean(1), ddof=1) / len(block) for block in arms]
    freedom = _freedom(spread, [len(block) - 1 for block in arms])
    components = [(float(sum(spread)), freedom)]
    residual, residual_freedom = _residual(arms)
    from scipy import stats

    seen = items > 1 and between > residual * stats.f.ppf(1 - item_gate, items - 1, residual_freedom)
    if seen and between - residual > ROUNDING * sum(spread):
        components.append((between - residual, items - 1))
    for variance, degrees in _training_components(arm, baseline, set(arm) == set(baseline)):
        components.append((variance, degrees))
    test = f"t over {'paired ' if paired and not any(fixed) else ''}seeds and items"
    return _conclude(effect, components, confidence, SEEDS_AND_ITEMS, test, True)


def level_of(runs: Mapping[Run, np.ndarray]) -> float:
    """The figure of an arm on the scale of its influence values: mean over data seeds, each the mean over its training
    seeds."""
    return float(_by_data_seed(runs).mean())


def effects_by_seed(
    arm: Mapping[Run, np.ndarray], baseline: Mapping[Run, np.ndarray]
) -> list[tuple[int, float]]:
    """(data seed, effect) of each data seed of the arm: against the baseline's same seed where both hold the same runs,
    else against the baseline's mean. Their mean is the effect."""
    means = [
        dict(zip(sorted({data for data, _ in runs}), _by_data_seed(runs).mean(1), strict=True))
        for runs in (arm, baseline)
    ]
    whole = level_of(baseline)
    other = means[1] if set(arm) == set(baseline) else dict.fromkeys(means[0], whole)
    return [(seed, float(value - other[seed])) for seed, value in means[0].items()]


def _by_data_seed(runs: Mapping[Run, np.ndarray]) -> np.ndarray:
    """Influence values averaged over the training seeds of each data seed, float64 [data seeds, items]."""
    seeds = sorted({data for data, _ in runs})
    return np.stack(
        [np.mean([runs[key] for key in sorted(runs) if key[0] == seed], axis=0) for seed in seeds]
    )


def _freedom(variances: Sequence[float], degrees: Sequence[float]) -> float:
    """Degrees of freedom of a sum of variances of means: pooled or Welch's, see `compare_samplers`."""
    if len(variances) == 2 and degrees[0] == degrees[1] and min(variances) > 0:
        from scipy import stats

        ratio = max(variances) / min(variances)
        if ratio <= stats.f.isf(VARIANCE_GATE / 2, degrees[0], degrees[1]):
            return float(sum(degrees))
    return _welch(variances, degrees)


def _welch(variances: Sequence[float], degrees: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent variances of means (Welch 1947)."""
    total = sum(variances)
    if total == 0:
        return float(sum(degrees))
    return float(total**2 / sum(v**2 / d for v, d in zip(variances, degrees, strict=True)))


def _residual(arms: list[np.ndarray]) -> tuple[float, int]:
    """Contribution of residual noise to the variance of the mean, and its degrees of freedom."""
    total, freedom = 0.0, 0
    for block in arms:
        seeds, items = block.shape
        noise = block - block.mean(1, keepdims=True) - block.mean(0) + block.mean()
        degrees = (seeds - 1) * (items - 1)
        total += float((noise**2).sum() / max(degrees, 1) / (seeds * items))
        freedom += degrees
    return total, max(freedom, 1)


def _training_components(
    arm: Mapping[Run, np.ndarray], baseline: Mapping[Run, np.ndarray], paired: bool
) -> list[tuple[float, float]]:
    """Mean square of training seeds shared by all data seeds, as variance of the mean (crossed designs)."""
    figures = [{key: float(value.mean()) for key, value in runs.items()} for runs in (arm, baseline)]
    if paired:
        figures = [{key: value - figures[1][key] for key, value in figures[0].items()}]
    components = []
    for runs in figures:
        table = _crossed(runs)
        if table is not None:
            shared = table.shape[1]
            components.append((float(np.var(table.mean(0), ddof=1)) / shared, float(shared - 1)))
    return components


def _crossed(figures: Mapping[Run, float]) -> np.ndarray | None:
    """Figures as float64 [data seeds, training seeds]; None unless each pair of at least two of both has one."""
    data, training = sorted({d for d, _ in figures}), sorted({t for _, t in figures})
    if len(data) < 2 or len(training) < 2 or len(figures) != len(data) * len(training):
        return None
    return np.array([[figures[d, t] for t in training] for d in data])


def difference_variances(
    arm: Mapping[Run, np.ndarray], baseline: Mapping[Run, np.ndarray]
) -> dict[str, float] | None:
    """Variance components of the difference between an arm's influence value and its baseline's, of one item and seed: of the
    seed, of the item, and the residual. Two-way random effects by the method of moments, not cut at 0, so that their means
    over arms are unbiased; of arms that do not share their runs the components add up. None for one seed or one item.
    """
    left, right = _by_data_seed(arm), _by_data_seed(baseline)
    if (
        min(len(left), len(right)) < 2
        or left.shape[1] < 2
        or not (np.isfinite(left).all() and np.isfinite(right).all())
    ):
        return None
    blocks = [left - right] if set(arm) == set(baseline) else [left, right]
    items = left.shape[1]
    residuals = [_residual([block])[0] * block.size for block in blocks]
    spread = [float(np.var(block.mean(1), ddof=1)) for block in blocks]
    # The items are those of both arms: only what they add to the difference counts.
    of_items = float(np.var(left.mean(0) - right.mean(0), ddof=1))
    return {
        "var_seed": sum(spread) - sum(residuals) / items,
        "var_item": of_items
        - sum(value / len(block) for value, block in zip(residuals, blocks, strict=True)),
        "var_residual": sum(residuals),
    }


def seed_variances(figures: Mapping[Run, float]) -> dict[str, float] | None:
    """Variance of a figure by data seed, by training seed, and the rest, from a crossed design.

    Two-way random effects without replication, method of moments, negative estimates cut at 0. None
    unless every one of at least two data seeds was trained with every one of at least two training seeds.
    """
    table = _crossed(figures)
    if table is None:
        return None
    data, training = table.shape
    noise = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    residual = (noise**2).sum() / ((data - 1) * (training - 1))
    return {
        "data": max(0.0, float(np.var(table.mean(1), ddof=1) - residual / training)),
        "training": max(0.0, float(np.var(table.mean(0), ddof=1) - residual / data)),
        "residual": float(residual),
    }


# -- two models ---------------------------------------------------------------------------------------


def compare_models(
    arm: np.ndarray,
    baseline: np.ndarray,
    binary: bool,
    confidence: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
    fewest_items: int = 2,
) -> Comparison:
    """Two models over the same items: influence values of each, float64 [items]; no test of fewer than `fewest_items`.

    `binary`: the values are right (1) or wrong (0), and the test is McNemar's exact one (McNemar 1947): the
    discordant items are a fair coin. Else signs of the paired differences are flipped at random
    (Fisher 1935), p = (1 + as extreme) / (1 + resamples) (Phipson and Smyth 2010). Where no flip is as
    extreme, p is that of Student's t over the items, at least 2^(1 - items), the smallest of all flips: else Holm's
    adjustment over a large table would hide certain differences. The interval is Student's over items in either case,
    so that near the threshold p and the interval may disagree: the verdict is that of p.
    """
    difference = arm - baseline
    items = len(difference)
    variance = float(np.var(difference, ddof=1) / items) if items > 1 else 0.0
    components = [(variance, items - 1)]
    effect = float(difference.mean())
    if items < fewest_items:
        untested = _conclude(effect, components, confidence, ITEMS, "none", False)
        return replace(untested, lacking=FEW_ITEMS, have=items, need=fewest_items)
    if binary:
        from scipy import stats

        wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
        p = float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
        test = "McNemar, exact"
    else:
        p = _sign_flip(difference, resamples, seed)
        test = "sign flips over items"
    student = _conclude(effect, components, confidence, ITEMS, test, True)
    if not binary and p == 1 / (1 + resamples) and student.p is not None:
        return replace(student, p=min(p, max(student.p, 2.0 ** (1 - items))), test=f"{test}, then t")
    return replace(student, p=p, lacking="")


def _sign_flip(difference: np.ndarray, resamples: int, seed: int) -> float:
    generator = np.random.default_rng(seed)
    observed = abs(difference.sum())
    step = max(1, 2**22 // len(difference))
    extreme = 0
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        signs = generator.integers(0, 2, (rows, len(difference)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ difference) >= observed * (1 - 1e-12)).sum())
    return (1 + extreme) / (1 + resamples)


# -- conclusions --------------------------------------------------------------------------------------


def _conclude(
    effect: float,
    components: Sequence[tuple[float, float]],
    confidence: float,
    unit: str,
    test: str,
    tested: bool,
) -> Comparison:
    error = math.sqrt(sum(variance for variance, _ in components))
    p: float | None = None
    lacking = ""
    if error == 0:
        low = high = effect
        if tested and effect == 0:
            p = 1.0
        elif tested:
            lacking = NO_VARIANCE
    elif min(degrees for _, degrees in components) <= 0:
        low, high = -math.inf, math.inf
    else:
        half = error * critical_value(1 - confidence, components)
        low, high = effect - half, effect + half
        if tested:
            p = p_value(abs(effect) / error, components)
    return Comparison(effect, error, low, high, p, unit, test, tuple(components), lacking)


def critical_value(level: float, components: Sequence[tuple[float, float]]) -> float:
    """Two-sided critical value at `level`, in standard errors: t quantiles of the components weighted by their variances
    (Cochran and Cox), but at least as large as with the components of the largest quantiles alone: in the far tail the
    weighted mean falls below the quantile of the seeds, and noise of items would lower p.
    """
    from scipy import special

    variance, freedom = np.array(components).T
    quantile = -special.stdtrit(freedom, level / 2)
    order = np.argsort(-quantile, kind="stable")
    among = np.cumsum(variance[order])
    asked = np.cumsum((variance * quantile)[order])[among > 0]
    return float(np.max(asked / np.sqrt(among[among > 0] * variance.sum())))


def p_value(t: float, components: Sequence[tuple[float, float]]) -> float:
    """The level at which `t` is just critical, two-sided, in [SMALLEST_P, 1]."""
    from scipy import optimize

    if t == 0:
        return 1.0
    if critical_value(SMALLEST_P, components) <= t:
        return SMALLEST_P

    def lacking(log_level: float) -> float:
        return critical_value(math.exp(log_level), components) - t

    return math.exp(float(optimize.brentq(lacking, math.log(SMALLEST_P), 0, xtol=1e-12)))


def holm(p: list[float]) -> list[float]:
    """p-values adjusted over their family: step-down (Holm 1979), in the order of `p`."""
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(p) else scaled
    return [float(value) for value in adjusted]


def minimum_detectable_effect(comparison: Comparison, level: float, power: float = POWER) -> float | None:
    """The true effect that such a test, two-sided at `level`, detects with probability `power`.

    From the noncentral t with the degrees of freedom of the same critical value (Cohen 1988, section
    2.5); None without a standard error. It ignores the bounds of the metric: see `possible`.
    """
    from scipy import optimize, stats

    components = comparison.components
    if comparison.standard_error == 0 or min(degrees for _, degrees in components) <= 0:
        return None
    threshold = critical_value(level, components)
    freedom = _welch([v for v, _ in components], [d for _, d in components])
    if freedom > 1e5:
        return comparison.standard_error * float(threshold + stats.norm.ppf(power))

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(threshold, freedom, shift)) - power

    # Where t is so heavy-tailed that scipy cannot compute the noncentral t, its scale mixture does:
    # P(|Z + shift| > threshold * sqrt(chi2 / df)), the opposite tail neglected.
    if not math.isfinite(lacking(2 * threshold + 5)) or threshold > 30:
        quantiles = np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, freedom) / freedom)

        def lacking(shift: float) -> float:
            return float(stats.norm.sf(threshold * quantiles - shift).mean()) - power

    top = 2 * threshold + 5
    while lacking(top) < 0:
        top *= 2
    return comparison.standard_error * float(optimize.brentq(lacking, 0, top, xtol=1e-9))


def possible(effect: float | None, baseline: float, limits: tuple[float, float]) -> bool:
    """Whether an effect of this size, in one direction at least, is possible within the metric's `limits` for a `baseline`
    of this figure."""
    return effect is not None and effect <= max(limits[1] - baseline, baseline - limits[0])


def verdict(effect: float, p_adjusted: float | None, confidence: float, up: bool) -> str:
    """One of better, worse, not distinguishable, too little data; `up`: more is better."""
    if p_adjusted is None:
        return LITTLE
    if p_adjusted >= round(1 - confidence, 12) or effect == 0:
        return SAME
    return BETTER if (effect > 0) == up else WORSE


def seed_of(name: str) -> int:
    """A random seed from a name: 64 bits of its BLAKE2b."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
