"""The answer of a run in words, from the rows of its tables (TABLE.csv). Pure functions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from winnow.pages import number, probability

BETTER, WORSE, SAME, LITTLE = "better", "worse", "not distinguishable", "too little data"
EQUAL = "the same models"
SYMBOLS = {BETTER: "▲", WORSE: "▼", SAME: "=", LITTLE: "?", EQUAL: "≡"}
LEGEND = {
    BETTER: "better than the baseline: adjusted p below the level of the table",
    WORSE: "worse than the baseline: adjusted p below the level of the table",
    SAME: "tested, and no difference found; an effect below the minimum detectable one may exist",
    LITTLE: "too few seeds or items for a test",
    EQUAL: "both arms have the same models: there is nothing to test",
}
FEW_SEEDS = "few seeds"
"""Why there is no test, as a table says it."""
ITEMS = "items"
"""What an interval is over where single models are compared: their seeds are not a sample."""
Row = Mapping[str, Any]


def labels(arms: Sequence[str]) -> dict[str, str]:
    """The name of each arm of a table as it is shown: without its experiment where all are of one."""
    one = len({arm.rpartition("/")[0] for arm in arms}) == 1
    return {arm: arm.rpartition("/")[2] if one else arm for arm in arms}


def listed(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def arms_of(rows: Sequence[Row]) -> str:
    return listed([row["label"] for row in rows])


def compared(rows: Sequence[Row]) -> list[Row]:
    """The comparisons of a table: rows of arms, of all items, that have a verdict."""
    return [row for row in rows if not row["is_baseline"] and row["group"] is None and row["verdict"]]


def answer_of(rows: Sequence[Row], level: float = 0.05) -> list[str]:
    """One or two sentences on a table: what is better or worse than the baseline, and what the rest could have shown."""
    claims = compared(rows)
    if not claims:
        return ["Nothing is compared in this table."]
    baseline = claims[0]["baseline_label"]
    of = {verdict: [row for row in claims if row["verdict"] == verdict] for verdict in SYMBOLS}
    differences = []
    for verdict in (BETTER, WORSE):
        if found := sorted(of[verdict], key=lambda row: row["p_adjusted"]):
            best = found[0]
            differences.append(
                f"{arms_of(found)} {'is' if arms_of(found) == best['label'] else 'are'} {verdict} than {baseline} "
                f"({best['label']} on {best['benchmark']}: {number(best['effect'], True)}, adjusted p "
                f"{probability(best['p_adjusted'], level)})"
            )
    sentences = [f"{'; '.join(differences)}."] if differences else []
    if same := of[SAME]:
        which = "The other tested comparison" if differences else "The one tested comparison"
        if len(same) > 1:
            some = "The other" if differences else "All" if len(same) > 2 else "Both"
            count = "" if some == "Both" else f" {len(same)}"
            which = f"{some}{count} tested comparisons"
        sentences.append(
            f"{which} with {baseline} show{'s' * (len(same) == 1)} no difference. {seen(same)}".strip()
        )
    elif of[LITTLE]:
        reasons = [row.get("lacking") or FEW_SEEDS for row in of[LITTLE]]
        seeds = min(int(row["seeds"] or 0) for row in of[LITTLE])
        why = (
            f"{seeds} data seed{'s' * (seeds != 1)} an arm"
            if set(reasons) == {FEW_SEEDS}
            else listed(sorted(reasons))
        )
        sentences.append(f"Too little data to compare {arms_of(of[LITTLE])} with {baseline}: {why}.")
    elif of[EQUAL] and not differences:
        sentences.append(f"{arms_of(of[EQUAL])} has the same models as {baseline}: nothing to test.")
    return sentences


def seen(same: Sequence[Row]) -> str:
    """What comparisons without a difference could have shown: "With 3 seeds an arm, a difference of 0.008 on X would have been
    detected with 80 % power; the largest seen is 0.002."; empty where it is not known of any. Of a row, `detectable_family` is
    whether an effect of any size can be detected, None where that is not known."""
    known = [row for row in same if row.get("detectable_family") is not None]
    if not known:
        return ""
    able = [row for row in known if row["detectable_family"]]
    if not able:
        return "No difference of any size could have reached significance: more seeds are needed."
    worst = max(able, key=lambda row: row["minimum_detectable_effect_family"])
    of_name = [
        row for row in known if (row["benchmark"], row["metric"]) == (worst["benchmark"], worst["metric"])
    ]
    largest = max(abs(row["effect"]) for row in of_name)
    log = " (log ratio)" if worst.get("scale") == "log ratio" else ""
    sample = (
        f"{int(worst['items']):,} items"
        if worst.get("interval") == ITEMS
        else f"{int(worst['seeds'])} seeds an arm"
    )
    return (
        f"With {sample}, a difference of {number(worst['minimum_detectable_effect_family'])}{log} on "
        f"{worst['benchmark']} ({worst['metric']}) would have been detected with 80 % power; the largest seen is {number(largest)}."
    )


def of_run(tables: Sequence[tuple[str, Sequence[Row]]]) -> list[str]:
    """Two sentences on all tables, (title, rows) each."""
    claims = [row for _, rows in tables for row in compared(rows)]
    if not claims:
        return ["No table of this run compares samplers."]
    arms: dict[str, list[str]] = {verdict: [] for verdict in (BETTER, WORSE)}
    for (title, rows), verdict in itertools.product(tables, arms):
        if found := [row for row in compared(rows) if row["verdict"] == verdict]:
            arms[verdict].append(f"{arms_of(found)} ({title})")
    first = (
        f"Better than the baseline: {'; '.join(arms[BETTER])}"
        if arms[BETTER]
        else "No sampler of this run is shown to be better than its baseline"
    )
    if arms[WORSE]:
        first += f"; worse: {'; '.join(arms[WORSE])}"
    words = {BETTER: "better", WORSE: "worse", SAME: "not distinguishable", LITTLE: "with too little data", EQUAL: "of the same models"}  # fmt: skip
    counts = [f"{n} {word}" for verdict, word in words.items() if (n := sum(row["verdict"] == verdict for row in claims))]  # fmt: skip
    return [f"{first}.", f"Of {len(claims)} comparisons in {len(tables)} table{'s' * (len(tables) != 1)}: {', '.join(counts)}."]  # fmt: skip
