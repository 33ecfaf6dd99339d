"""Claims: every arm of a table against its baseline, with a test and a verdict. In: `Arm`s. Out: `Row`s of facts.

The tests, and the reasons for them, are in `winnow.compare.statistics`; sentences are made in
`winnow.compare.sentences`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from winnow import metrics
from winnow.compare import statistics
from winnow.compare.arms import CONSUMED, Arm, Items, Pair, Sign, same_models
from winnow.compare.statistics import Comparison, Run
from winnow.stage import InputError, canonical

STAGE_VERSION = 1
GROUPS = 20
HEADLINE, GROUPS_FAMILY = "headline", "groups"
"""The families over which p is adjusted: tests over all items of a benchmark, and tests of its groups."""
ALL_ITEMS, ONE_GROUP = "all items", "group"
"""What a row is of; in a CSV file, where null is an empty cell, this tells a group named "" from no group."""
DIFFERENCE, LOG_RATIO = "difference", "log ratio"
"""Scales of an effect."""
SAMPLERS, MODELS = "samplers", "models"
"""Units of a table."""


@dataclass(frozen=True)
class Detectable:
    """The minimum detectable effect of a test; `effect` is None where no effect within the metric's bounds is as large."""

    effect: float | None

    @property
    def possible(self) -> bool:
        return self.effect is not None


@dataclass(kw_only=True)
class Row:
    """One arm on one benchmark by one metric, on all items or one group: a line of the table, beside its baseline.

    Figures are means over data seeds; `baseline_level` is that of the baseline on the scale of the effect. `comparison` is None of the baseline itself and where a figure is not finite; what
    follows from the family of its test (`family`, `p_adjusted`, `detectable`, `detectable_family`, `verdict`) is set once
    all rows are there.
    """

    table: str
    arm: str
    ids: Mapping[str, Any]
    benchmark: str
    metric: str
    higher_is_better: bool
    group: str | None
    figure: float
    chance: float | None
    chance_kind: str | None
    seeds: int
    different_seeds: int
    training_seeds: int
    items: int
    training_tokens: float | None
    training_examples: float | None
    amount_ratio: float | None
    epochs: float | None
    pool_documents: float | None
    train_documents: float | None
    train_labels: float | None
    selection: Mapping[str, float | None]
    sd_seeds: float | None
    sd_by: Mapping[str, float] | None
    figures: Mapping[Run, float]
    is_baseline: bool
    baseline: str
    finite: bool
    involves_pretrained: bool
    paired: bool
    item_limit: int | None
    dead: Mapping[Run, Sequence[Sign]]
    same_models: Mapping[str, int]
    may_know_items: bool
    items_files: list[str]
    baseline_files: list[str]
    manifests: list[str]
    percent_difference: float | None = None
    variances: Mapping[str, float] | None = None
    effects_by_seed: list[tuple[int, float]] = field(default_factory=list)
    comparison: Comparison | None = None
    baseline_level: float = math.nan
    family: str | None = None
    p_adjusted: float | None = None
    detectable: Detectable | None = None
    detectable_family: Detectable | None = None
    verdict: str | None = None

    @property
    def pair(self) -> Pair:
        return self.benchmark, self.metric

    @property
    def experiment(self) -> str | None:
        return self.arm.rpartition("/")[0] or None

    @property
    def sampler(self) -> str:
        return self.arm.rpartition("/")[2]

    @property
    def scope(self) -> str:
        return ALL_ITEMS if self.group is None else ONE_GROUP

    @property
    def is_log(self) -> bool:
        return metrics.is_perplexity(self.metric)

    @property
    def scale(self) -> str:
        return LOG_RATIO if self.is_log else DIFFERENCE

    @property
    def runs(self) -> int:
        return len(self.figures)

    @property
    def effect(self) -> float | None:
        return self.comparison.effect if self.comparison else None

    @property
    def ci_low(self) -> float | None:
        return self.comparison.low if self.comparison else None

    @property
    def ci_high(self) -> float | None:
        return self.comparison.high if self.comparison else None

    @property
    def p(self) -> float | None:
        return self.comparison.p if self.comparison else None

    @property
    def lacking(self) -> str | None:
        """Why there is no test: a constant of `winnow.compare.statistics`; None where there is one or no comparison."""
        return (self.comparison.lacking or None) if self.comparison else None


def find_baseline(wanted: str, arms: Mapping[str, Arm]) -> str:
    """The arm that `wanted` names: itself, or the one arm of that sampler. Raises InputError otherwise."""
    if wanted in arms:
        return wanted
    names = [name for name in sorted(arms) if name.rpartition("/")[2] == wanted]
    if not names:
        raise InputError(f"--spec table.baseline: no arm {wanted!r}; arms: {', '.join(sorted(arms))}")
    if len({canonical(arms[name].ids) for name in names}) > 1:
        raise InputError(
            f"--spec table.baseline: {wanted!r} is {' and '.join(names)}; name one as experiment/sampler"
        )
    return names[0]


def groups_of(items: Items, most: int) -> list[str | None]:
    """None (all items), then the groups if there are two or more: the `most` largest, ties by name, sorted by name."""
    counts = Counter(name for name in items.group.tolist() if name is not None)
    if len(counts) < 2:
        return [None]
    order = sorted(counts, key=lambda name: (-counts[name], name))
    return [None, *sorted(order[:most])]


def compare(arms: Mapping[str, Arm], spec: Mapping[str, Any]) -> list[Row]:
    """Rows of the table: benchmark x metric x group x arm, the baseline first.

    Raises InputError where two runs do not have the same items, or where `unit` is models and an arm has
    more than one run.
    """
    settings = spec["table"]
    baseline = arms[find_baseline(settings["baseline"], arms)]
    if settings.get("unit", SAMPLERS) == MODELS:
        for arm in arms.values():
            if len(arm.runs) != 1:
                raise InputError(
                    f"--spec table.unit: models are compared one by one, and {arm.name} has {len(arm.runs)} "
                    "runs; list one data seed and one training seed, or compare samplers"
                )
    rows: list[Row] = []
    ordered = [baseline, *(arm for arm in arms.values() if arm is not baseline)]
    shared = same_models(arms)
    for pair in sorted({pair for arm in ordered for pair in arm.items}):
        benchmark, metric = pair
        having = [arm for arm in ordered if pair in arm.items]
        if baseline not in having:
            raise InputError(f"{baseline.name} has no {metric} of {benchmark}, and it is the baseline")
        first = next(iter(baseline.items[pair].values()))
        _check_same_items(having, pair, first)
        for group in groups_of(first, settings.get("groups", GROUPS)):
            selected = np.arange(len(first.values))[slice(None) if group is None else first.group == group]
            if not first.is_meaningful(metric, selected):
                continue
            influence = {
                arm.name: {
                    run: items.influence_values(metric, selected)
                    for run, items in sorted(arm.items[pair].items())
                }
                for arm in having
            }
            for arm in having:
                row = _describe(arm, baseline, spec, pair, group, selected, influence[arm.name], shared)
                if arm is not baseline:
                    left, right = (one.distinct(influence[one.name]) for one in (arm, baseline))
                    row.variances = statistics.difference_variances(left, right)
                    comparison = _test(arm, baseline, spec, pair, group, selected, left, right)
                    if comparison is not None:
                        row.baseline_level = statistics.level_of(right)
                        row.comparison = statistics.within(
                            comparison, row.baseline_level, metrics.bounds(metric)
                        )
                        row.effects_by_seed = statistics.effects_by_seed(left, right)
                rows.append(row)
    figures = {(*row.pair, row.group): row.figure for row in rows if row.is_baseline}
    for row in rows:
        base = figures[*row.pair, row.group]
        if not row.is_baseline and base and math.isfinite(base) and math.isfinite(row.figure):
            row.percent_difference = 100 * (row.figure - base) / base
    _add_verdicts(rows, settings.get("confidence", 0.95))
    return rows


def beside(arms: Mapping[str, Arm], spec: Mapping[str, Any]) -> list[Row]:
    """Rows of `compare` for the published pairs of which neither is the table's baseline: those with the same first side
    are a family of their own."""
    table = spec["table"]
    published, baseline = table["published"], find_baseline(table["baseline"], arms)
    arm_of = {
        variant: arm for variant, arm in published.get("arms", {}).items() if arm in arms and arm != baseline
    }
    rows = []
    for first in (arm_of[a] for a in published["a"] if a in arm_of):
        others = [arm_of[b] for b in published["b"] if b in arm_of and arm_of[b] != first]
        if not others:
            continue
        chosen = [arms[name] for name in (first, *others)]
        common = set.intersection(*(set(arm.items) for arm in chosen))
        cut = {arm.name: replace(arm, items={pair: arm.items[pair] for pair in common}) for arm in chosen}
        rows += compare(cut, {**spec, "table": {**table, "baseline": first, "groups": 0}})
    return rows


def _check_same_items(arms: list[Arm], pair: Pair, first: Items) -> None:
    for arm in arms:
        for run, items in arm.items[pair].items():
            if not items.keys.equals(first.keys):
                raise InputError(
                    f"{arm.name}, data seed {run[0]}, training seed {run[1]}: its items of {pair[0]} "
                    f"({pair[1]}) are not those of the other runs ({len(items.values)} and "
                    f"{len(first.values)}); evaluate all arms on the same data"
                )


def _mean_by_seed(values: Mapping[Run, float]) -> float:
    """Mean over data seeds, each the mean over its training seeds."""
    seeds = sorted({data for data, _ in values})
    each = [[value for (data, _), value in values.items() if data == seed] for seed in seeds]
    return sum(sum(one) / len(one) for one in each) / len(each)


def _describe(
    arm: Arm,
    baseline: Arm,
    spec: Mapping[str, Any],
    pair: Pair,
    group: str | None,
    selected: np.ndarray,
    influence: Mapping[Run, np.ndarray],
    shared: Mapping[str, Mapping[str, int]],
) -> Row:
    """A row without its test."""
    benchmark, metric = pair
    figures = {run: items.figure(metric, selected) for run, items in sorted(arm.items[pair].items())}
    scaled = {run: float(values.mean()) for run, values in influence.items()}
    finite = all(math.isfinite(value) for value in figures.values())
    by_seed: dict[int, list[float]] = {}
    for (data, _), value in scaled.items():
        by_seed.setdefault(data, []).append(value)
    means = [sum(values) / len(values) for values in by_seed.values()]
    distinct = arm.distinct(scaled)  # as in the effect, copies of a run count once
    mean = _mean_by_seed(distinct)
    if metrics.is_perplexity(metric) and mean < 700:  # beyond, exp overflows
        figure = math.exp(mean)
    else:
        figure = _mean_by_seed({run: value for run, value in figures.items() if run in distinct})
    crossed = statistics.seed_variances(scaled) if finite else None
    of_baseline = baseline.distinct(dict.fromkeys(baseline.items[pair], 0.0))
    known = arm.amount is not None and baseline.amount is not None
    chance, chance_kind = next(iter(arm.items[pair].values())).chance(metric, selected) or (None, None)
    return Row(
        table=spec["name"],
        arm=arm.name,
        ids=arm.ids,
        benchmark=benchmark,
        metric=metric,
        higher_is_better=arm.is_higher_better(pair),
        group=group,
        figure=figure,
        chance=chance,
        chance_kind=chance_kind,
        seeds=len(by_seed),
        different_seeds=len({data for data, _ in distinct}),
        training_seeds=len({training for _, training in scaled}),
        items=len(selected),
        training_tokens=arm.amount if arm.tokens else None,
        training_examples=arm.amount if not arm.tokens else None,
        amount_ratio=arm.amount / baseline.amount - 1 if known else None,  # type: ignore[operator]
        epochs=sum(arm.epochs.values()) / len(arm.epochs) if arm.epochs else None,
        pool_documents=arm.pool,
        train_documents=arm.train_documents,
        train_labels=arm.train_labels,
        selection={what: arm.selection(what) for what in CONSUMED},
        sd_seeds=float(np.std(means, ddof=1)) if finite and len(means) > 1 else None,
        sd_by={source: math.sqrt(variance) for source, variance in crossed.items()} if crossed else None,
        figures=figures,
        is_baseline=arm is baseline,
        baseline=baseline.name,
        finite=finite,
        involves_pretrained=arm.is_pretrained or baseline.is_pretrained,
        paired=arm is baseline or set(distinct) == set(of_baseline),
        item_limit=arm.item_limits.get(benchmark),
        dead=dict(sorted(arm.dead().items())),
        same_models=shared.get(arm.name, {}),
        may_know_items=arm.is_pretrained and benchmark not in spec.get("tasks", {}),
        items_files=sorted(arm.files[pair]),
        baseline_files=sorted(baseline.files[pair]),
        manifests=sorted({*arm.manifests, *baseline.manifests}),
    )


def _test(
    arm: Arm,
    baseline: Arm,
    spec: Mapping[str, Any],
    pair: Pair,
    group: str | None,
    selected: np.ndarray,
    left: Mapping[Run, np.ndarray],
    right: Mapping[Run, np.ndarray],
) -> Comparison | None:
    """The test of an arm's influence values (`left`) against the baseline's (`right`); None if any is not finite."""
    if not all(np.isfinite(values).all() for values in [*left.values(), *right.values()]):
        return None
    settings, metric = spec["table"], pair[1]
    confidence = settings.get("confidence", 0.95)
    if settings.get("unit", SAMPLERS) == SAMPLERS:
        fewest = statistics.FEWEST_ITEMS if group is None else statistics.FEWEST_GROUP_ITEMS
        fixed = (arm.is_given, baseline.is_given)
        return statistics.compare_samplers(left, right, confidence, fixed=fixed, fewest_items=fewest)
    (of_arm,), (of_baseline,) = left.values(), right.values()
    weights = next(iter(arm.items[pair].values())).weights[selected]
    binary = (
        metric != "f1"
        and metrics.more_is_better(metric)
        and bool(np.all(weights == 1) and np.isin(np.concatenate([of_arm, of_baseline]), (0.0, 1.0)).all())
    )
    return statistics.compare_models(
        of_arm,
        of_baseline,
        binary,
        confidence,
        settings.get("resamples", 5000),
        statistics.seed_of(canonical([spec["name"], arm.name, *pair, group])),
        2 if group is None else statistics.FEWEST_GROUP_ITEMS,
    )


def _add_verdicts(rows: Sequence[Row], confidence: float) -> None:
    """Adjusts p over each family (all items; groups) and concludes."""
    level = 1 - confidence
    for family, scope in ((HEADLINE, ALL_ITEMS), (GROUPS_FAMILY, ONE_GROUP)):
        tested = [row for row in rows if row.scope == scope and row.p is not None]
        adjusted = statistics.holm([row.p for row in tested if row.p is not None])
        for row, p_adjusted in zip(tested, adjusted, strict=True):
            row.family, row.p_adjusted = family, p_adjusted
            row.detectable = _detectable(row, level)
            row.detectable_family = _detectable(row, level / len(tested))
    for row in rows:
        if not row.is_baseline:
            row.verdict = statistics.verdict(
                row.effect or 0.0, row.p_adjusted, confidence, row.higher_is_better
            )


def _detectable(row: Row, level: float) -> Detectable | None:
    """The minimum detectable effect of a row's test at `level`; None without a standard error."""
    assert row.comparison is not None
    effect = statistics.minimum_detectable_effect(row.comparison, level)
    if effect is None:
        return None
    possible = statistics.possible(effect, row.baseline_level, metrics.bounds(row.metric))
    return Detectable(effect if possible else None)
