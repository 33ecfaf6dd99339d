"""Sentences of a comparison: what its rows mean, in words. In: rows of facts. Out: English, for tables, notes and claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from winnow.compare import statistics
from winnow.compare.arms import CHOICES, MAJORITY, Arm, ConstantAnswer, Sign
from winnow.compare.claims import SAMPLERS, Row
from winnow.compare.statistics import (
    BETTER,
    FEW_ITEMS,
    FEW_SEEDS,
    FEWEST_GROUP_ITEMS,
    FEWEST_ITEMS,
    FEWEST_SEEDS,
    LITTLE,
    SAME,
    WORSE,
)
from winnow.pages import number, probability

STAGE_VERSION = 1
Rows = Sequence[Row]
MARKS = {BETTER: "▲", WORSE: "▼", SAME: "=", LITTLE: "?"}
TOKEN_TOLERANCE = 0.01
"""Share by which trainings may differ and still be called equal."""
MOST_SENTENCES = 6
"""Differences that the first lines of a table name one by one."""


# -- sentences of a row -------------------------------------------------------------------------------


def label_of(row: Row, rows: Rows) -> str:
    """The sampler, or experiment/sampler where the table has several experiments."""
    return row.sampler if len({r.experiment for r in rows if r.experiment}) <= 1 else row.arm


def unequal(row: Row) -> str:
    """A note on an arm that was not trained on as much as the baseline; "" of one that was."""
    if row.involves_pretrained:
        return ""
    if row.amount_ratio is None:
        return "training tokens unknown"
    if abs(row.amount_ratio) <= TOKEN_TOLERANCE:
        return ""
    what = "TOKENS" if row.training_tokens is not None else "EXAMPLES"
    return f"TRAINING {what} DIFFER from the baseline's by {row.amount_ratio:+.1%}"


def copies(row: Row) -> str:
    """A note on an arm of which several data seeds are one run; "" of others."""
    if row.different_seeds == row.seeds:
        return ""
    return (
        f"the same subset and training in {row.seeds} data seeds: they count as {row.different_seeds} "
        "(let the training seed vary with the data seed)"
    )


def untested(row: Row) -> str:
    """Why a row has no test, or that its test is trivial; "" of others."""
    if row.comparison is None:
        return "" if row.is_baseline else "a figure of the arm or its baseline is not finite"
    comparison = row.comparison
    if comparison.p is not None and comparison.effect == 0 and comparison.standard_error == 0:
        return "all items equal"
    return {
        "": "",
        FEW_SEEDS: f"{comparison.have} of {comparison.need} data seeds",
        FEW_ITEMS: f"{comparison.have} of {comparison.need} items",
        statistics.PRETRAINED: "both are pretrained models",
        statistics.EQUAL: "all runs equal",
        statistics.NO_SPREAD: "no variance between seeds",
        statistics.NO_VARIANCE: "no variance to test against",
    }[comparison.lacking]


def notes_of(row: Row) -> list[str]:
    """Notes on a row; dead models are named above the table."""
    shared = [
        f"{common} of its {row.runs} models are those of {other}" for other, common in row.same_models.items()
    ]
    notes = [
        "" if row.finite else "a figure is not finite",
        "a pretrained model, not trained here" if row.involves_pretrained else "",
        unequal(row),
        copies(row),
        "" if row.paired else "other seeds than the baseline's: not paired",
        "" if row.item_limit is None else f"first {row.item_limit} items of each task",
        *shared,
        "it may have been trained on these documents" if row.may_know_items else "",
        untested(row),
    ]
    return [note for note in notes if note]


def sign_text(sign: Sign) -> str:
    """A sign of a dead model, in words."""
    if isinstance(sign, ConstantAnswer):
        return f"gives one answer to all items of {sign.benchmark}"
    bits = f"{sign.bits:.3f} against {sign.baseline_bits:.3f} bits per byte"
    return f"no better than a {sign.ngram} on {sign.benchmark} ({bits})"


def dead_models(row: Row) -> list[str]:
    """The dead models of an arm: a line each, one for all if all its runs are dead."""
    if len(row.dead) == row.runs > 1:
        signs = dict.fromkeys(sign_text(sign) for signs in row.dead.values() for sign in signs)
        return [f"{row.arm}: DEAD MODELS, all {row.runs}: {'; '.join(list(signs)[:2])}"]
    return [
        f"{row.arm}: DEAD MODEL (data seed {data}, training seed {training}): {'; '.join(map(sign_text, signs))}"
        for (data, training), signs in row.dead.items()
    ]


def claim_of(verdict: str, arm: str, baseline: str, where: str) -> str:
    """A claim as a sentence, without a full stop."""
    return {
        BETTER: f"{arm} is better than {baseline} on {where}",
        WORSE: f"{arm} is worse than {baseline} on {where}",
        SAME: f"{arm} is not distinguishable from {baseline} on {where}",
        LITTLE: f"too little data to tell {arm} from {baseline} on {where}",
    }[verdict]


# -- sentences of a table -----------------------------------------------------------------------------


def warnings_of(rows: Rows) -> list[str]:
    """Warnings above the table: unequal training, missing seeds, figures that are not finite, dead models."""
    warnings: dict[str, None] = {}
    for row in rows:
        if not row.finite:
            warnings[f"{row.arm}: a figure is not finite on {row.benchmark} ({row.metric})"] = None
        warnings.update(dict.fromkeys(dead_models(row)))
        warnings.update({f"{row.arm}: {note}": None for note in (unequal(row), copies(row)) if note})
    few = sorted({row.arm for row in rows if row.lacking == FEW_SEEDS})
    if few:
        warnings[
            f"too little data for a verdict on {', '.join(few)}: at least {FEWEST_SEEDS} data seeds per arm are "
            "needed; intervals marked 'items only' leave out the noise of seeds"
        ] = None
    return list(warnings)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def answer(rows: Rows, spec: Mapping[str, Any]) -> list[str]:
    """The table in words: which arms are better or worse than the baseline by how much, or that none is distinguishable
    from it; what it could have detected; and which arms have no verdict. Of all items only, not of groups."""
    settings = spec["table"]
    confidence = settings.get("confidence", 0.95)
    whole = [row for row in rows if row.group is None and not row.is_baseline]
    tested = [row for row in whole if row.p is not None]
    if not whole:
        return []
    baseline = label_of(next(row for row in rows if row.is_baseline), rows)
    what = "sampler" if settings.get("unit", SAMPLERS) == SAMPLERS else "model"
    sentences = []
    different = sorted(
        (row for row in tested if row.verdict in (BETTER, WORSE)), key=lambda row: row.p_adjusted or 0.0
    )
    for row in different[:MOST_SENTENCES]:
        scale = " in the logarithm" if row.is_log else ""
        p = probability(row.p_adjusted, 1 - confidence)
        sentences.append(
            f"{label_of(row, rows)} is {row.verdict} than {baseline} on {name_of(row)} by {number(abs(row.effect or 0.0))}{scale} "
            f"({100 * confidence:g} % CI of the effect {number(row.ci_low, True)} to {number(row.ci_high, True)}), "
            f"adjusted p {p if p[0] == '<' else f'= {p}'}."
        )
    if len(different) > MOST_SENTENCES:
        rest = len(different) - MOST_SENTENCES
        sentences.append(f"So are {rest} more of the comparisons under Tests better or worse.")
    same = [row for row in tested if row.verdict == SAME]
    if same:
        arms = list(dict.fromkeys(label_of(row, rows) for row in same))
        if different and len(same) > 1:
            first = f"The other {len(same)} comparisons with {baseline} show no difference"
        elif different:
            first = f"The other comparison with {baseline} shows no difference"
        elif len(tested) == len(whole):
            first = f"No {what} is distinguishable from {baseline}"
        else:
            first = f"No {what} that could be tested ({_listed(arms)}) is distinguishable from {baseline}"
        power = _power(same, rows)
        sentences.append(f"{first}; {power}." if power else f"{first}.")
    without = [row for row in whole if row.p is None]
    if without and not tested:
        few = all(row.lacking in (FEW_SEEDS, FEW_ITEMS) for row in whole)
        sentences.append(
            f"{'Too little data: no' if few else 'No'} comparison with {baseline} could be tested ({_listed(_reasons(whole))})."
        )
    elif without:
        arms = list(dict.fromkeys(label_of(row, rows) for row in without))
        sentences.append(
            f"No verdict on {_listed(arms)} in {len(without)} of {len(whole)} comparisons ({_listed(_reasons(without))})."
        )
    return sentences


def _reasons(rows: Rows) -> list[str]:
    return list(
        dict.fromkeys("a figure is not finite" if row.comparison is None else untested(row) for row in rows)
    )


def name_of(row: Row) -> str:
    return f"{row.benchmark} {row.metric}"


def _power(same: Rows, rows: Rows) -> str:
    """What tests without a difference could have detected: of each benchmark and metric the largest minimum detectable
    effect, at the strictest level of the family."""
    effects, blind = [], []
    for name in dict.fromkeys(name_of(row) for row in same):
        of_name = [row for row in same if name_of(row) == name]
        seeing = [row for row in of_name if row.detectable_family is None or row.detectable_family.possible]
        if len(seeing) < len(of_name):
            blind.append(f"{name} ({_listed([label_of(row, rows) for row in of_name if row not in seeing])})")
        sizes = [row.detectable_family.effect for row in seeing if row.detectable_family]
        if sizes and len(sizes) == len(seeing):
            log = " (log)" if of_name[0].is_log else ""
            effects.append(
                f"{number(max(size for size in sizes if size is not None))} or more on {name}{log}"
            )
    parts = []
    if effects:
        parts.append(f"with 80 % power this table would have detected an effect of {', '.join(effects)}")
    if blind:
        parts.append(f"it could not have detected any possible effect on {', '.join(blind)}")
    return "; ".join(parts)


def legend(rows: Rows, spec: Mapping[str, Any]) -> list[str]:
    """What the table means, in sentences."""
    settings = spec["table"]
    confidence = settings.get("confidence", 0.95)
    whole = sum(row.p is not None and row.group is None for row in rows)
    groups = sum(row.p is not None and row.group is not None for row in rows)
    baseline = next(row.arm for row in rows if row.is_baseline)
    if settings.get("unit", SAMPLERS) == SAMPLERS:
        unit = (
            "Samplers are compared: seeds are the random unit, then items (two-level variance, t quantiles; with fewer "
            f"than {FEWEST_SEEDS} data seeds per arm, or {FEWEST_ITEMS} items, no verdict). Clusters and scorers were "
            "fitted once: intervals do not hold their noise."
        )
        if {row.training_seeds for row in rows} == {1}:
            unit += " All models share one training seed, and the intervals hold for it."
    else:
        unit = "Models are compared, one run each, paired over items (McNemar's exact test, or sign flips)."
    family = "No test was made."
    if whole or groups:
        family = f"p is adjusted (Holm) over the {whole} tests of all items"
        if groups:
            family += f"; separately over the {groups} tests of groups"
        family += (
            ". Minimum detectable effect: the true effect that one such test alone detects with about 80 % power; in "
            "brackets, at the strictest level of the family."
        )
    if any(row.group is not None for row in rows):
        family += f" Groups of fewer than {FEWEST_GROUP_ITEMS} items are described, not tested."
    kinds = {row.chance_kind for row in rows}
    chance = ""
    if CHOICES in kinds:
        chance += " Chance: one over the number of choices, mean over the items."
    if MAJORITY in kinds:
        chance += (
            f" Chance{' of labels' if CHOICES in kinds else ''}: the share of the most frequent right answer."
        )
    return [
        f"All arms against {baseline}. Effect: arm minus baseline, of perplexity the log of the ratio. {unit}",
        f"Intervals: {100 * confidence:g} %, not adjusted, cut at the bounds of the metric; verdicts follow the adjusted p. "
        f"{family}",
        f"{MARKS[BETTER]} better, {MARKS[WORSE]} worse, {MARKS[SAME]} not distinguishable, "
        f"{MARKS[LITTLE]} too little data. ↑ higher is better, ↓ lower is better.{chance} "
        "Perplexities are geometric means over runs, their spread is that of the logarithm. "
        "All of these figures were measured by this workflow.",
    ]


def missing_of(spec: Mapping[str, Any]) -> list[str]:
    """What a partial table lacks."""
    missing = spec.get("missing")
    if missing is None:
        return []
    if not missing:
        return ["PARTIAL TABLE, of which nothing is missing any more: make the whole one"]
    what = "1 run that has" if len(missing) == 1 else f"{len(missing)} runs that have"
    return [f"PARTIAL TABLE: without {what} no evaluation yet: {'; '.join(missing)}"]


def equal_training(arms: Mapping[str, Arm]) -> tuple[str, bool]:
    """Whether the arms are compared at equal training tokens or labels, in a sentence, the labels of their selection
    included; and whether they are known to be unequal."""
    trained = [arm for arm in arms.values() if not arm.is_pretrained]
    if not trained:
        return "No arm was trained here: what the models were trained on is unknown.", False
    classifiers = any(arm.examples for arm in trained)
    what = "labels" if classifiers else "tokens"
    amounts = [arm.train_labels if classifiers else arm.amount for arm in trained]
    known = [amount for amount in amounts if amount is not None]
    if len(known) < len(amounts):
        return f"Whether the arms are compared at equal training {what} is unknown: no file has those of some arms.", False  # fmt: skip
    low, high = min(known), max(known)
    if high > low * (1 + TOKEN_TOLERANCE):
        return f"The arms are NOT compared at equal training {what}: {low:,.0f} to {high:,.0f}.", True
    equal = f"The arms are compared at equal training {what} ({high:,.0f})."
    selection = [arm.selection("labels") for arm in trained]
    if any(amount is None for amount in selection):
        return f"{equal} What the selection of some arms consumed is unknown.", False
    more = [f"{arm.name} {amount:,.0f}" for arm, amount in zip(trained, selection, strict=True) if amount]
    if not more:
        return equal, False
    totals = [(arm.train_labels or 0) + (amount or 0) for arm, amount in zip(trained, selection, strict=True)]
    differ = max(totals) > min(totals) * (1 + TOKEN_TOLERANCE)
    equal += f" The selection of documents read labels, too: {', '.join(more)}; with them the arms are "
    return equal + ("not at equal labels." if differ else "at equal labels."), differ
