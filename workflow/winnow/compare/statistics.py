"""Tests of comparisons: pure functions of numbers, no files.

What comes in: a figure's parts for each item and run. What goes out: effects, intervals, p-values and
verdicts. What is compared decides the random unit (design.md, "Truth"): two samplers over seeds and
then items, two models over items.

Two samplers. The reference procedure is a hierarchical bootstrap over seeds, then items. With few seeds
the level of its percentile interval is whatever the noise makes it: of arms that do not differ, at a
nominal 5 % it calls 0.8 % different if seeds add nothing to the items' noise, and 29 % if they outweigh
it (three seeds; five: 0.1 % and 17 %). Seeds are too few to resample, and residual noise is counted
twice. So the same two-level variance is written down in closed form, without bias, and referred to t
tables: see `compare_samplers`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from scipy import optimize, special, stats

FEWEST_SEEDS = 3
FEWEST_ITEMS = 20
"""Of fewer items no verdict is given: the F test that lets their noise in is blind to it (2 to 8 items: of
arms that do not differ up to 17 % are called different at a nominal 5 %)."""
FEWEST_GROUP_ITEMS = 50
"""A group of fewer items is described, not tested: its tests would cost the other groups their power and could see only
effects that no sampler has (50 items: the standard error of one model's accuracy is up to .07)."""
VARIANCE_GATE = 0.05
ROUNDING = 1e-12
SMALLEST_P = 1e-50
"""No p-value is stated below this: quantiles of t further out are not to be had (scipy 1.17 returns -inf)."""
BETTER, WORSE = "better", "worse"
SAME, LITTLE = "not distinguishable", "too little data"

FEW_SEEDS, FEW_ITEMS, GIVEN, EQUAL, NO_SPREAD = (
    "few seeds",
    "few items",
    "given models",
    "equal runs",
    "no spread",
)
"""Why there is no test: `Comparison.lacking`, and what a reader is told stands in `Comparison.note`."""
PROPORTIONS = ("acc", "f1", "exact_match", "precision", "recall")
"""Beginnings of the names of metrics that lie in [0, 1]."""

Run = tuple[int, int]
"""A run's data seed and training seed."""


@dataclass(frozen=True)
class Comparison:
    """An arm against its baseline, on the scale of the parts (arm - baseline).

    `unit` says what was resampled in thought: "seeds and items", or "items". `p` is None where no test
    is sound, and `lacking` says why. `components` are the (variance, degrees of freedom) whose sum is
    `standard_error` squared.
    """

    effect: float
    standard_error: float
    low: float
    high: float
    p: float | None
    unit: str
    test: str
    components: tuple[tuple[float, float], ...]
    note: str = ""
    lacking: str = ""


# -- figures ------------------------------------------------------------------------------------------


def figure(metric: str, values: np.ndarray, weights: np.ndarray) -> float:
    """The figure of one run: exp(-mean log-likelihood) for perplexity, else the weighted mean."""
    if "perplexity" in metric:
        return float(np.exp(-np.average(values, weights=weights)))
    return float(np.average(values, weights=weights))


def parts(metric: str, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One number per item whose mean is the figure (for perplexity: its logarithm), float64 [items].

    A weighted mean f = sum(w v) / sum(w) has parts f + w (v - f) / mean(w): the figure plus each item's
    influence on it, so that the variance of the parts over the items is the ratio estimator's (delta
    method; Särndal, Swensson and Wretman 1992, section 5.5).
    """
    share = weights / weights.mean()
    if "perplexity" in metric:
        values = -values
    mean = np.mean(share * values)
    if not np.isfinite(mean):
        return np.full(len(values), mean)
    return mean + share * (values - mean)


def macro_f1(labels: np.ndarray, predictions: np.ndarray) -> tuple[float, np.ndarray]:
    """Macro-averaged F1 over the classes of the labels, and its parts per item (see `parts`).

    F1 of a class is 2 TP / (actual + predicted), 0 where never right. A class that only a prediction names does not
    count: in a test file or a group without it, it would be one that is never right, and a single stray prediction would
    cost its whole share. The parts are F1 plus n times the derivative of it by each item's share; the derivatives sum to
    zero.
    """
    classes, codes = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    actual, predicted = codes[: len(labels)], codes[len(labels) :]
    k, n = len(classes), len(labels)
    right = np.bincount(actual[actual == predicted], minlength=k)
    true = np.bincount(actual, minlength=k)
    total = true + np.bincount(predicted, minlength=k)
    f1 = 2 * right / total
    counted = true > 0
    share = np.where(counted, f1 / total, 0.0)
    influence = 2 * (actual == predicted) / total[actual] - share[actual] - share[predicted]
    mean = float(f1[counted].mean())
    return mean, mean + n / int(counted.sum()) * influence


def bounds(metric: str) -> tuple[float, float]:
    """Lowest and highest value of a metric, perplexities by their logarithm (as their parts are)."""
    name = metric.lower()
    if "perplexity" in name or "bits_per_byte" in name:
        return 0.0, math.inf
    if name.startswith(PROPORTIONS):
        return 0.0, 1.0
    return (-1.0, 1.0) if name.startswith("mcc") else (-math.inf, math.inf)


def within(comparison: Comparison, baseline: float, limits: tuple[float, float]) -> Comparison:
    """The comparison with its interval cut to the effects that the metric's `limits` leave an arm beside a `baseline` of
    this figure. Its test is left as it is; 0 stays inside or outside as it was."""
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

    `arm` and `baseline` map (data seed, training seed) to float64 [items] parts. Where both hold the same
    runs these are paired (their draws share keys, their trainings share seeds); else they are taken as
    independent, which is conservative for arms that share some. Training seeds of one data seed are
    averaged first: the data seed is the unit. `fixed` says which of the two is one given model (published,
    say): it has no seeds to be random, and the other's are tested against its very figure.

    Of independent arms with as many seeds each, the variances are pooled (Student's 2 (S - 1) degrees of
    freedom) unless an F test at VARIANCE_GATE sees them differ; else Welch's. Welch's alone calls arms
    that do not differ different in .036 of cases at three seeds each for a nominal .05, pooled alone up to
    .108 if one arm has no spread; this way .049, and .056 there (400,000 simulated pairs).

    Model: y[seed, item] = effect + seed + item + residual, all random. The variance of the mean over S
    seeds and I items is s2(seed means) / S, which holds the seed and residual parts, plus the item part
    (MS_item - MS_residual) / (S I) (two-way crossed random effects: Searle, Casella and McCulloch 1992,
    chapter 4), plus, if crossed, the same for training seeds. Its components have very different degrees
    of freedom; the critical value is their mean weighted by variance (Cochran and Cox 1957, section
    4.14), which keeps the level in the tails that Holm needs, where Satterthwaite's is up to four times
    too liberal at three seeds. The item part enters only if an F test at `item_gate` sees it: noise in
    it must not borrow the items' degrees of freedom, and so an A/A comparison is the exact t-test. The
    training part, of one or two degrees of freedom, enters whole (residual noise and all): left out where
    its estimate is small it would take those degrees with it, and the level with them.

    With fewer than FEWEST_SEEDS data seeds in an arm or `fewest_items` items, or seeds that agree to the last
    bit, there is no test: the interval is over items only.
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
    lacking = why = ""
    if not seeds:
        lacking, why = GIVEN, "both are given models"
    elif min(seeds) < FEWEST_SEEDS:
        lacking, why = FEW_SEEDS, f"{min(seeds)} of {FEWEST_SEEDS} data seeds"
    elif items < fewest_items:
        lacking, why = FEW_ITEMS, f"{items} of {fewest_items} items"
    else:
        pairs = [left - right] if paired else [left, right]
        if max(float(np.ptp(block.mean(1))) for block in pairs) <= ROUNDING * scale:
            same = effect == 0 and between <= (ROUNDING * scale) ** 2
            lacking, why = (EQUAL, "all runs equal") if same else (NO_SPREAD, "seeds without spread")
    if lacking:
        parts_ = [(between, items - 1)]
        return replace(_conclude(effect, parts_, confidence, "items", "none", why, False), lacking=lacking)
    if paired:
        left, right = left - right, np.zeros((1, items))
    arms = [left] if paired else [left, right]
    spread = [np.var(block.mean(1), ddof=1) / len(block) for block in arms]
    freedom = _freedom(spread, [len(block) - 1 for block in arms])
    components = [(float(sum(spread)), freedom)]
    residual, residual_freedom = _residual(arms)
    seen = items > 1 and between > residual * stats.f.ppf(1 - item_gate, items - 1, residual_freedom)
    if seen and between - residual > ROUNDING * sum(spread):
        components.append((between - residual, items - 1))
    for variance, degrees in _training_components(arm, baseline, set(arm) == set(baseline)):
        components.append((variance, degrees))
    test = f"t over {'paired ' if paired and not any(fixed) else ''}seeds and items"
    return _conclude(effect, components, confidence, "seeds and items", test, "", True)


def level_of(runs: Mapping[Run, np.ndarray]) -> float:
    """The figure of an arm on the scale of its parts: mean over data seeds, each the mean over its training seeds."""
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
    """Parts averaged over the training seeds of each data seed, float64 [data seeds, items]."""
    seeds = sorted({data for data, _ in runs})
    return np.stack(
        [np.mean([runs[key] for key in sorted(runs) if key[0] == seed], axis=0) for seed in seeds]
    )


def _freedom(variances: Sequence[float], degrees: Sequence[float]) -> float:
    """Degrees of freedom of a sum of variances of means: pooled or Welch's, see `compare_samplers`."""
    if len(variances) == 2 and degrees[0] == degrees[1] and min(variances) > 0:
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
    """What residual noise adds to the variance of the mean, and its degrees of freedom."""
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
    found = []
    for runs in figures:
        table = _crossed(runs)
        if table is not None:
            shared = table.shape[1]
            found.append((float(np.var(table.mean(0), ddof=1)) / shared, float(shared - 1)))
    return found


def _crossed(figures: Mapping[Run, float]) -> np.ndarray | None:
    """Figures as float64 [data seeds, training seeds], if each of at least two of both is there."""
    data, training = sorted({d for d, _ in figures}), sorted({t for _, t in figures})
    if len(data) < 2 or len(training) < 2 or len(figures) != len(data) * len(training):
        return None
    return np.array([[figures[d, t] for t in training] for d in data])


def difference_variances(
    arm: Mapping[Run, np.ndarray], baseline: Mapping[Run, np.ndarray]
) -> dict[str, float] | None:
    """Variances of what an arm's figure on one item with one seed differs from its baseline's by: of the seed, of the
    item, and the rest. Two-way random effects by the method of moments, not cut at 0, so that their means over arms are
    without bias; arms that do not share their runs add up theirs. None for one seed or one item.
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
    rests = [_residual([block])[0] * block.size for block in blocks]
    spread = [float(np.var(block.mean(1), ddof=1)) for block in blocks]
    # Items are the same in both arms: what their difficulty adds is that of the difference.
    gap = float(np.var(left.mean(0) - right.mean(0), ddof=1))
    return {
        "var_seed": sum(spread) - sum(rests) / items,
        "var_item": gap - sum(rest / len(block) for rest, block in zip(rests, blocks, strict=True)),
        "var_residual": sum(rests),
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
    """Two given models over the same items: float64 [items] parts of each; of fewer than `fewest_items` no test.

    `binary`: parts are right (1) or wrong (0), and the test is McNemar's exact one (McNemar 1947): the
    discordant items are a fair coin. Else signs of the paired differences are flipped at random
    (Fisher 1935), p = (1 + as extreme) / (1 + resamples) (Phipson and Smyth 2010); where no flip is as
    extreme p may be far below that, and Student's t over the items says how far (no further than all flips
    could, 2^(1 - items)): else Holm's adjustment
    over a large table would hide what is certain. The interval is Student's over items.
    """
    difference = arm - baseline
    items = len(difference)
    variance = float(np.var(difference, ddof=1) / items) if items > 1 else 0.0
    components = [(variance, items - 1)]
    effect = float(difference.mean())
    if items < fewest_items:
        why = f"{items} of {fewest_items} items"
        found = _conclude(effect, components, confidence, "items", "none", why, False)
        return replace(found, lacking=FEW_ITEMS)
    if binary:
        wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
        p = float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
        test = "McNemar, exact"
    else:
        p = _sign_flip(difference, resamples, seed)
        test = "sign flips over items"
    found = _conclude(effect, components, confidence, "items", test, "", True)
    if not binary and p == 1 / (1 + resamples) and found.p is not None:
        return replace(found, p=min(p, max(found.p, 2.0 ** (1 - items))), test=f"{test}, then t")
    return replace(found, p=p)


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


# -- what is concluded --------------------------------------------------------------------------------


def _conclude(
    effect: float,
    components: Sequence[tuple[float, float]],
    confidence: float,
    unit: str,
    test: str,
    note: str,
    tested: bool,
) -> Comparison:
    error = math.sqrt(sum(variance for variance, _ in components))
    p: float | None = None
    if error == 0:
        low = high = effect
        if tested and effect == 0:
            p, note = 1.0, "all items equal"
        elif tested:
            note = "no variance to test against"
    elif min(degrees for _, degrees in components) <= 0:
        low, high, note = -math.inf, math.inf, note or "too few items"
    else:
        half = error * critical_value(1 - confidence, components)
        low, high = effect - half, effect + half
        if tested:
            p = p_value(abs(effect) / error, components)
    return Comparison(effect, error, low, high, p, unit, test, tuple(components), note)


def critical_value(level: float, components: Sequence[tuple[float, float]]) -> float:
    """Two-sided critical value at `level`, in standard errors: t quantiles of the components weighted by their variances
    (Cochran and Cox), but no less than the components of the largest quantiles ask for without the others: in the far tail
    the mean falls below that of the seeds, and noise of items would lower p.
    """
    variance, freedom = np.array(components).T
    quantile = -special.stdtrit(freedom, level / 2)
    order = np.argsort(-quantile, kind="stable")
    among = np.cumsum(variance[order])
    asked = np.cumsum((variance * quantile)[order])[among > 0]
    return float(np.max(asked / np.sqrt(among[among > 0] * variance.sum())))


def p_value(t: float, components: Sequence[tuple[float, float]]) -> float:
    """The level at which `t` is just critical, two-sided, in [SMALLEST_P, 1]."""
    if t == 0:
        return 1.0
    if critical_value(SMALLEST_P, components) <= t:
        return SMALLEST_P

    def lacking(log_level: float) -> float:
        return critical_value(math.exp(log_level), components) - t

    return math.exp(float(optimize.brentq(lacking, math.log(SMALLEST_P), 0, xtol=1e-12)))


def holm(p: list[float]) -> list[float]:
    """p-values adjusted over their family: step-down (Holm 1979), in the order they came."""
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(p) else scaled
    return [float(value) for value in adjusted]


def minimum_detectable_effect(comparison: Comparison, level: float, power: float = 0.8) -> float | None:
    """The true effect that such a test, two-sided at `level`, finds with probability `power`.

    From the noncentral t with the degrees of freedom of the same critical value (Cohen 1988, section
    2.5); None without a standard error. It knows no bounds of the metric: see `possible`.
    """
    components = comparison.components
    if comparison.standard_error == 0 or min(degrees for _, degrees in components) <= 0:
        return None
    threshold = critical_value(level, components)
    freedom = _welch([v for v, _ in components], [d for _, d in components])
    if freedom > 1e5:
        return comparison.standard_error * float(threshold + stats.norm.ppf(power))

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(threshold, freedom, shift)) - power

    # Where t is so heavy-tailed that the noncentral t is out of reach, its scale mixture is not:
    # P(|Z + shift| > threshold * sqrt(chi2 / df)), Z's part of the far tail neglected.
    if not math.isfinite(lacking(2 * threshold + 5)) or threshold > 30:
        quantiles = np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, freedom) / freedom)

        def lacking(shift: float) -> float:
            return float(stats.norm.sf(threshold * quantiles - shift).mean()) - power

    top = 2 * threshold + 5
    while lacking(top) < 0:
        top *= 2
    return comparison.standard_error * float(optimize.brentq(lacking, 0, top, xtol=1e-9))


def possible(effect: float | None, baseline: float, limits: tuple[float, float]) -> bool:
    """Whether an effect of this size, in one direction at least, leaves an arm within the metric's `limits` beside a
    `baseline` of this figure."""
    return effect is not None and effect <= max(limits[1] - baseline, baseline - limits[0])


def verdict(effect: float, p_adjusted: float | None, confidence: float, up: bool) -> str:
    """One of better, worse, not distinguishable, too little data; `up`: more is better."""
    if p_adjusted is None:
        return LITTLE
    if p_adjusted >= round(1 - confidence, 12) or effect == 0:
        return SAME
    return BETTER if (effect > 0) == up else WORSE


def seed_of(name: str) -> int:
    """A seed for the random numbers of what is called `name`: 64 bits of its BLAKE2b."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
