"""Tests of draws -> tests of arms: the draws of an arm's data seeds together.

In: rows of `winnow.profile.shift`, one a draw and column (or label). Out: a row an arm and column (or label), with means over
the data seeds. The p-value of several seeds is twice the mean of theirs, which is valid however they depend on each other
(Vovk and Wang 2020): draws of one arm share many documents, those of a deterministic sampler all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
LEVEL = 0.05


def adjust(rows: list[Row]) -> None:
    """Sets `p_adjusted` of rows that have `p`, by Benjamini and Hochberg's method."""
    from scipy.stats import false_discovery_control

    tested = [row for row in rows if row["p"] is not None]
    adjusted = false_discovery_control([row["p"] for row in tested]) if tested else []
    for row in rows:
        row["p_adjusted"] = None
    for row, p in zip(tested, adjusted, strict=True):
        row["p_adjusted"] = float(p)


def combined(p: Sequence[float | None]) -> float | None:
    """The p-value of tests that may depend on each other; None if one has none."""
    known = [one for one in p if one is not None]
    if not known or len(known) < len(p):
        return None
    return known[0] if len(known) == 1 else min(1.0, 2 * sum(known) / len(known))


def arm_measures(rows: Sequence[Row]) -> list[Row]:
    """Rows of shift.csv by arm and column: `seeds`, and means of `drawn`, `value` and `random` over them."""
    return _by_arm(rows, ("arm", "column"), ("documents", "drawn", "value", "random"))


def arm_labels(rows: Sequence[Row]) -> list[Row]:
    """Rows of shift-labels.csv by arm, column and label: `seeds`, and means of `drawn_share` and `difference` over them."""
    return _by_arm(rows, ("arm", "column", "label"), ("drawn_documents", "drawn_share", "difference"))


def _by_arm(rows: Sequence[Row], keys: tuple[str, ...], means: tuple[str, ...]) -> list[Row]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    out = []
    for same in groups.values():
        row = {key: value for key, value in same[0].items() if key != "data_seed"}
        row |= {name: _mean([one[name] for one in same]) for name in means}
        out.append({**row, "seeds": len(same), "p": combined([one["p"] for one in same])})
    adjust(out)
    return out


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def differs(row: Row) -> bool:
    """Whether a row is a finding: beyond random draws, adjusted for all tests."""
    return row["p_adjusted"] is not None and row["p_adjusted"] < LEVEL
