"""Audit of published comparisons: does what is printed follow from what it was computed from?

In: the printed comparison rows (percentage, 95 % bounds, bold face, verdict of `b` against `a`) and the
raw figures behind them. Out: a CSV of findings, one per line.

Printed numbers are rounded, so each is read as the interval of numbers that print like it. A printed
result is wrong only if no inputs that print like the printed inputs give it (interval arithmetic); an
input is wrong only if no number prints both like it and like the raw value.

The formulas are the study's: percentage 100 (b - a) / a; bounds (b - a) +- 1.96 sqrt(se_a^2 + se_b^2),
upper first; the verdict is whether the bounds exclude 0, and for whom.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from winnow.csv_files import read_rows, write_rows
from winnow.stage import InputError, run, say

STAGE_VERSION = 3
Z = 1.96
FIELDS = ("row", "section", "benchmark", "field", "printed", "expected", "why")
INPUTS = ("a_value", "a_stderr", "b_value", "b_stderr")
NUMBERS = (*INPUTS, "percent_difference", "ci_upper", "ci_lower")
COMPARISON = ("section", "a", "b", "benchmark", "metric", "direction", *NUMBERS, "bold", "interpretation")
RESULT = ("model_size", "variant", "benchmark", "metric", "direction", "value", "stderr", "kind", "source")
RAW, SUPERSEDED = "raw", "superseded"
"""Kinds of raw figures: of the last run of a checkpoint, and of an earlier one that it replaced."""
RAW_KINDS = (RAW, SUPERSEDED)
BENCHMARKS = {"lambada_std": "lambada_standard"}


@dataclass(frozen=True)
class Interval:
    """All numbers from `low` to `high`."""

    low: float
    high: float

    def meets(self, other: Interval) -> bool:
        slack = 1e-12 * max(map(abs, (self.low, self.high, other.low, other.high)))
        return self.low <= other.high + slack and other.low <= self.high + slack

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.low - other.high, self.high - other.low)

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)


def printed_interval(text: str) -> Interval:
    """The numbers that print as `text`.

    Zeros at the end count as digits, except where seven significant ones come before them: those were
    padded (2710040.191 and 2710040.1910 are one number of the study).
    """
    number = Decimal(text)
    exponent = int(number.as_tuple().exponent)
    stripped = number.normalize()
    if len(stripped.as_tuple().digits) >= 7:
        exponent = max(exponent, min(int(stripped.as_tuple().exponent), 0))
    half = Decimal(1).scaleb(exponent) / 2
    return Interval(float(number - half), float(number + half))


def percentage(a: Interval, b: Interval) -> Interval:
    """100 (b - a) / a; everything if a may be 0."""
    if a.low <= 0 <= a.high:
        return Interval(-math.inf, math.inf)
    ratios = [y / x for x in (a.low, a.high) for y in (b.low, b.high)]
    return Interval(100 * (min(ratios) - 1), 100 * (max(ratios) - 1))


def half_width(a: Interval, b: Interval) -> Interval:
    """1.96 sqrt(se_a^2 + se_b^2) of standard errors, which are not negative."""
    return Interval(
        Z * math.hypot(max(a.low, 0), max(b.low, 0)), Z * math.hypot(max(a.high, 0), max(b.high, 0))
    )


def winner(difference: Interval, up: bool) -> str | None:
    """The better of `a` and `b`, "" if they are equal, None if rounding hides it.

    Rounding keeps the order, so figures that print next to each other still differ.
    """
    tiny = 1e-9 * (difference.high - difference.low)
    if difference.low >= -tiny and difference.high > tiny:
        return "b" if up else "a"
    if difference.high <= tiny and difference.low < -tiny:
        return "a" if up else "b"
    return "" if difference.low == difference.high == 0 else None


def named_side(text: str, a: str, b: str) -> str | None:
    """Which side a printed verdict calls better: "a", "b", "" for neither, None if it cannot be read."""
    if text.strip() in ("", "-"):
        return None
    words = set(_words(text))
    if "insignificant" in words or ("not" in words and words & {"significant", "better", "worse"}):
        return ""
    if "better" not in words and "worse" not in words:
        return None
    matches = {side: name for side, name in (("a", _words(a)), ("b", _words(b))) if set(name[1:]) <= words}
    if not matches:
        return None
    side = max(matches, key=lambda s: len(matches[s]))
    if "better" in words:
        return side
    return "b" if side == "a" else "a"


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9.]+", text.lower())


def benchmark_id(printed: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", printed.lower()).strip("_")
    return BENCHMARKS.get(name, name)


def audit(
    comparisons: list[dict[str, str]], results: list[dict[str, str]]
) -> tuple[list[dict[str, str]], list[str]]:
    """Findings over all rows, and notes on what could not be checked. Rows are as `read_rows` returns them."""
    raw = raw_figures(results)
    findings: list[dict[str, str]] = []
    notes: list[str] = []
    for number, row in enumerate(comparisons, start=1):
        of_inputs = _audit_inputs(row, raw, notes, number)
        text = row["interpretation"]
        if text not in ("", "-") and named_side(text, row["a"], row["b"]) is None:
            notes.append(f"row {number}: the verdict {text!r} names neither side better or worse")
        read = {**row, **{field: expected for field, expected, _ in of_inputs if field == "direction"}}
        of_row = _audit_row(read)
        known = {field for field, *_ in of_row}
        against_raw = [finding for finding in _audit_raw(read, raw) if finding[0] not in known]
        for field, expected, why in of_inputs + of_row + against_raw:
            findings.append(
                {"row": str(number), "section": row["section"], "benchmark": row["benchmark"], "field": field,
                 "printed": row[field], "expected": expected, "why": why}
            )  # fmt: skip
    return findings, notes


Finding = tuple[str, str, str]
"""A field of a printed row, what is expected of it, and why."""
Raw = dict[tuple[str, str, str, str], list[dict[str, str]]]
"""Raw figures by size, variant (in lower case), benchmark and metric."""


def raw_figures(results: list[dict[str, str]]) -> Raw:
    """The raw figures among published ones."""
    raw: Raw = {}
    for result in results:
        if result["kind"] in RAW_KINDS:
            key = (result["model_size"], result["variant"].lower(), result["benchmark"], result["metric"])
            raw.setdefault(key, []).append(result)
    return raw


def raw_of(row: dict[str, str], side: str, raw: Raw) -> list[dict[str, str]]:
    """Raw figures of a side, superseded runs last."""
    size, _, variant = row[side].partition(" ")
    figures = raw.get((size, variant.lower(), benchmark_id(row["benchmark"]), row["metric"]), [])
    return sorted(figures, key=lambda result: result["kind"] == SUPERSEDED)


def _same(printed: str, recorded: str) -> bool:
    """Whether some number prints like both; the boundary between two last digits does not count."""
    x, y = printed_interval(printed), printed_interval(recorded)
    shared = min(x.high, y.high) - max(x.low, y.low)
    return shared > 1e-6 * min(x.high - x.low, y.high - y.low)


def _audit_inputs(row: dict[str, str], raw: Raw, notes: list[str], number: int) -> list[Finding]:
    findings: list[Finding] = []
    for side in "ab":
        recorded = raw_of(row, side, raw)
        if not recorded:
            notes.append(f"row {number}: no raw {row['metric']} of {row[side]} on {row['benchmark']}")
            continue
        if row["direction"] != recorded[0]["direction"]:
            findings.append(
                ("direction", recorded[0]["direction"], f"{row['metric']} is read in the wrong direction")
            )
        last = [result for result in recorded if result["kind"] != SUPERSEDED] or recorded
        for field in ("value", "stderr"):
            printed = row[f"{side}_{field}"]
            if any(_same(printed, result[field]) for result in last):
                continue
            origin = last[0]["source"]
            earlier = [result for result in recorded if _same(printed, result[field])]
            if earlier:
                why = (
                    f"the input of {row[side]} is of a superseded run ({earlier[0]['source']}), other figures "
                    f"of the same column are of the run that replaced it ({origin})"
                )
            else:
                why = f"the input of {row[side]} is not the raw value ({origin})"
            findings.append((f"{side}_{field}", last[0][field], why))
    return list(dict.fromkeys(findings))


def study_results(
    values: tuple[str, ...],
) -> tuple[Interval, Interval, Interval, Interval]:
    """Difference, percentage, upper and lower bound from printed a, se_a, b, se_b."""
    a, se_a, b, se_b = map(printed_interval, values)
    difference, half = b - a, half_width(se_a, se_b)
    return difference, percentage(a, b), difference + half, difference - half


def exact_results(values: tuple[str, ...]) -> tuple[float | None, float, float]:
    a, se_a, b, se_b = map(float, values)
    half = Z * math.hypot(se_a, se_b)
    return 100 * (b - a) / a if a else None, b - a + half, b - a - half


def excludes_zero(upper: Interval, lower: Interval, up: bool) -> str | None:
    """ "a" or "b" if the bounds certainly exclude 0, "" if they certainly hold it, None if rounding hides it."""
    if lower.low > 0 or upper.high < 0:
        return "b" if (lower.low > 0) == up else "a"
    return "" if lower.high <= 0 <= upper.low else None


def _interpretation(side: str, row: dict[str, str]) -> str:
    return f"{row[side]} better" if side else "Difference not significant"


def _audit_row(row: dict[str, str]) -> list[Finding]:
    """What does not follow from the printed inputs of the row itself."""
    values = tuple(row[field] for field in INPUTS)
    difference, percent, upper, lower = study_results(values)
    exact = exact_results(values)
    up = row["direction"] == "up"
    inputs = f"a {values[0]} ({values[1]}), b {values[2]} ({values[3]})"
    findings: list[Finding] = []
    printed_bounds_follow = True
    for field, interval, value in (
        ("percent_difference", percent, exact[0]),
        ("ci_upper", upper, exact[1]),
        ("ci_lower", lower, exact[2]),
    ):
        if row[field] in ("", "-") or printed_interval(row[field]).meets(interval):
            continue
        formula = (
            "100 (b - a) / a" if field == "percent_difference" else "(b - a) +- 1.96 sqrt(se_a^2 + se_b^2)"
        )
        why = f"{formula} from the printed {inputs} is between {interval.low:.4f} and {interval.high:.4f}"
        printed_bounds_follow &= field == "percent_difference"
        findings.append((field, "" if value is None else f"{value:.4f}", why))
    best = winner(difference, up)
    if best is not None and row["bold"] != best:
        reason = "higher" if up else "lower"
        findings.append(
            ("bold", best, f"{inputs}: {row[best] if best else 'neither'} is better ({reason} is better)")
        )
    claimed = named_side(row["interpretation"], row["a"], row["b"])
    right = excludes_zero(upper, lower, up)
    because = f"the bounds from the printed {inputs} are {exact[1]:.4f} and {exact[2]:.4f}"
    if right is None and printed_bounds_follow and row["ci_upper"] and row["ci_lower"]:
        right = excludes_zero(printed_interval(row["ci_upper"]), printed_interval(row["ci_lower"]), up)
        because = f"the printed bounds are {row['ci_upper']} and {row['ci_lower']}"
    if claimed is not None and right is not None and claimed != right:
        findings.append(
            ("interpretation", _interpretation(right, row), f"{because}: they {_exclude(right)} 0")
        )
    return findings


def _exclude(side: str) -> str:
    return "exclude" if side else "do not exclude"


def _audit_raw(row: dict[str, str], raw: Raw) -> list[Finding]:
    """Bold face and verdict that the raw figures of the last runs contradict."""
    sides = [raw_of(row, side, raw) for side in "ab"]
    if not all(sides):
        return []
    (a, *_), (b, *_) = sides
    values = (a["value"], a["stderr"], b["value"], b["stderr"])
    if all(_same(row[field], value) for field, value in zip(INPUTS, values, strict=True)):
        return []
    difference, _, upper, lower = study_results(values)
    up = row["direction"] == "up"
    exact = exact_results(values)
    raw_inputs = f"raw a {values[0]} ({values[1]}), b {values[2]} ({values[3]})"
    findings: list[Finding] = []
    best = winner(difference, up)
    if best is not None and best != row["bold"]:
        findings.append(("bold", best, f"{raw_inputs}: {row[best] if best else 'neither'} is better"))
    claimed, right = named_side(row["interpretation"], row["a"], row["b"]), excludes_zero(upper, lower, up)
    if claimed is not None and right is not None and claimed != right:
        why = f"{raw_inputs}: the bounds are {exact[1]:.4f} and {exact[2]:.4f}, which {_exclude(right)} 0"
        findings.append(("interpretation", _interpretation(right, row), why))
    return findings


def check_numbers(path: Path, rows: list[dict[str, str]], fields: tuple[str, ...], empty: bool) -> None:
    for number, row in enumerate(rows, start=1):
        for field in fields:
            if empty and row[field] in ("", "-") and field not in INPUTS:
                continue
            try:
                finite = Decimal(row[field]).is_finite()
            except InvalidOperation:
                finite = False
            if not finite:
                raise InputError(f"{path}: row {number}: {field} is {row[field]!r}; it must be a number")


def check_directions(path: Path, rows: list[dict[str, str]]) -> None:
    for number, row in enumerate(rows, start=1):
        if row["direction"] not in ("up", "down"):
            raise InputError(
                f"{path}: row {number}: direction is {row['direction']!r}; it must be up or down"
            )


def command(comparisons: Path, results: Path, out: Path) -> None:
    """Audit printed comparisons against their inputs and the raw figures.

    Args:
        comparisons: CSV of printed comparisons, such as config/published/comparisons.csv.
        results: CSV of published figures, such as config/published/results.csv; rows of kind `raw` are trusted.
        out: CSV of findings to write.
    """
    rows = read_rows(comparisons, COMPARISON)
    figures = read_rows(results, RESULT)
    check_numbers(comparisons, rows, NUMBERS, empty=True)
    check_directions(comparisons, rows)
    raw = [row for row in figures if row["kind"] in RAW_KINDS]
    check_numbers(results, raw, ("value", "stderr"), empty=False)
    check_directions(results, figures)
    findings, notes = audit(rows, raw)
    write_rows(out, findings, FIELDS)
    for note in notes:
        say(f"[audit] {note}")
    wrong = len({finding["row"] for finding in findings})
    say(f"[audit] {len(findings)} findings in {wrong} of {len(rows)} rows: {out}")


if __name__ == "__main__":
    run(command)
