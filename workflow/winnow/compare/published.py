"""The study's published figures: its comparisons computed again, and what became of each of its claims.

In: `config/published/` (figures and printed comparison rows) and, where a table was measured, its rows. Out: for each pair
of variants, benchmark and metric what the study computes (percentage, 95 % interval, verdict) from the raw figures,
with p of the same z statistic adjusted over the table (Holm), and claims for the ledger: each as it was printed, as it
follows from its own printed inputs, as it follows from the raw figures, and as it was measured here.

The study's formulas take two models as independent and their items as the only noise. Measured comparisons do neither
(`winnow.compare.statistics`); the two are shown side by side, never mixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from winnow.compare import audit, statistics
from winnow.compare.audit import COMPARISON, INPUTS, RAW_KINDS, RESULT, Z, benchmark_id, named_side, raw_of
from winnow.compare.claims import ALL_ITEMS, DIFFERENCE, Row
from winnow.compare.ledger import NOT_MEASURED, PUBLISHED, Claim, write_claims
from winnow.compare.render import CELL_CLASSES, GUIDE
from winnow.compare.sentences import claim_of
from winnow.csv_files import read_rows, write_rows
from winnow.pages import NOTES, Page, Section, Table, number, percent, probability, write_page
from winnow.schema import read_spec
from winnow.stage import InputError, run, say

STAGE_VERSION = 5
ORDER = (
    "arc_challenge", "arc_easy", "mmlu", "hellaswag", "winogrande", "lambada_openai", "lambada_standard", "blimp",
)  # fmt: skip
CONFIDENCE = 0.95
CONSTANT_MMLU = 0.2295
"""lm-eval's MMLU accuracy of a model that gives the same letter to every question."""
COLUMNS = (
    "table", "a", "b", "benchmark", "metric", "direction", "a_value", "a_stderr", "b_value", "b_stderr", "percent_difference",
    "ci_low", "ci_high", "interpretation", "p", "p_adjusted", "published_verdict", "recomputed_verdict", "raw_verdict", "findings",
    "measured_verdict", "measured_scale", "measured_effect", "measured_ci_low", "measured_ci_high", "measured_p_adjusted",
    "a_source", "b_source", "notes",
)  # fmt: skip
VERDICTS = {"b": statistics.BETTER, "a": statistics.WORSE, "": statistics.SAME}


@dataclass(frozen=True)
class Measured:
    """A measured comparison of the arms of two variants: `b` against `a`."""

    verdict: str
    scale: str
    effect: float | None
    ci_low: float | None
    ci_high: float | None
    p_adjusted: float | None
    files: list[str]

    def turned(self) -> Measured:
        """The comparison of `a` against `b`."""
        other = {statistics.BETTER: statistics.WORSE, statistics.WORSE: statistics.BETTER}
        return replace(
            self,
            verdict=other.get(self.verdict, self.verdict),
            effect=None if self.effect is None else -self.effect,
            ci_low=None if self.ci_high is None else -self.ci_high,
            ci_high=None if self.ci_low is None else -self.ci_low,
        )


MeasuredPairs = Mapping[tuple[str, str, str, str], Measured]
"""Measured comparisons by the arms of `a` and `b`, lm-eval's task, and metric."""


def measured_of(rows: Iterable[Row], tasks: Mapping[str, str]) -> MeasuredPairs:
    """The comparisons of a table over all items, in both directions; `tasks`: lm-eval's task by benchmark of the config."""
    pairs = {}
    for row in rows:
        if row.group is None and row.verdict is not None:
            task = tasks.get(row.benchmark, row.benchmark)
            files = [*row.items_files, *row.baseline_files]
            measured = Measured(
                row.verdict, row.scale, row.effect, row.ci_low, row.ci_high, row.p_adjusted, files
            )
            pairs[row.baseline, row.arm, task, row.metric] = measured
            pairs[row.arm, row.baseline, task, row.metric] = measured.turned()
    return pairs


@dataclass(kw_only=True)
class PublishedRow:
    """A comparison of the study, `b` against `a`, as it computes it from the raw figures of both.

    `better`: which side its interval calls better ("a", "b", "" for neither), by the raw figures; the verdicts are those
    that were printed, that follow from the printed inputs, and that follow from the raw figures (None: there is none).
    `constant`: the variants that give one answer to all items. `findings`: what the audit found wrong in the printed row.
    """

    table: str
    a: str
    b: str
    benchmark: str
    metric: str
    direction: str
    figures: Mapping[str, float]
    percent_difference: float | None
    ci_low: float
    ci_high: float
    better: str
    p: float | None
    raw_verdict: str
    a_source: str
    b_source: str
    constant: list[str]
    p_adjusted: float | None = None
    published_verdict: str | None = None
    recomputed_verdict: str | None = None
    findings: int | None = None
    measured: Measured | None = None

    @property
    def notes(self) -> list[str]:
        return [f"{variant} answers every question with one letter" for variant in self.constant]


class Published:
    """Both files, read once. Raises InputError naming the file, row and column of what is wrong."""

    def __init__(self, results: Path, comparisons: Path):
        self.figures = read_rows(results, RESULT)
        raw = [figure for figure in self.figures if figure["kind"] in RAW_KINDS]
        audit.check_numbers(results, raw, ("value", "stderr"), False)
        self.printed = read_rows(comparisons, COMPARISON)
        audit.check_numbers(comparisons, self.printed, audit.NUMBERS, True)
        audit.check_directions(comparisons, self.printed)
        audit.check_directions(results, self.figures)
        self.raw = audit.raw_figures(raw)
        self.findings: dict[int, int] = {}
        for finding in audit.audit(self.printed, self.figures)[0]:
            self.findings[int(finding["row"])] = self.findings.get(int(finding["row"]), 0) + 1

    def variants(self, size: str) -> list[str]:
        return sorted(
            {r["variant"] for r in self.figures if r["model_size"] == size and r["kind"] in RAW_KINDS}
        )

    def otherwise_printed(self, size: str, variant: str, benchmark: str, metric: str) -> str:
        """A figure as the study's notebook prints it, where it is not the raw one rounded or truncated; else empty."""
        raw = self.raw.get((size, variant.lower(), benchmark, metric), [])
        for figure in self.figures:
            where = (figure["model_size"], figure["variant"].lower(), figure["benchmark"], figure["metric"])
            if figure["kind"] == "printed" and where == (size, variant.lower(), benchmark, metric):
                last = 1.001 * 10.0 ** -len(figure["value"].partition(".")[2])
                if not any(abs(float(one["value"]) - float(figure["value"])) <= last for one in raw):
                    return figure["value"]
        return ""

    def pairs(self, size: str, a: str, b: str) -> list[tuple[str, str]]:
        """(benchmark, metric) of which both variants have a raw figure, in the study's order."""
        of_a, of_b = ({k[2:] for k in self.raw if k[:2] == (size, name.lower())} for name in (a, b))
        both = of_a & of_b
        return sorted(both, key=lambda pair: (ORDER.index(pair[0]) if pair[0] in ORDER else len(ORDER), pair))

    def printed_row(self, a: str, b: str, benchmark: str, metric: str) -> tuple[int, dict[str, str]] | None:
        """The printed comparison of two variants (with their size), and its row number from 1."""
        for line, row in enumerate(self.printed, start=1):
            same = row["a"].lower() == a.lower() and row["b"].lower() == b.lower()
            if same and benchmark_id(row["benchmark"]) == benchmark and row["metric"] == metric:
                return line, row
        return None


def compare_published(
    published: Published, name: str, pairs: Mapping[str, Any], measured: MeasuredPairs | None = None
) -> list[PublishedRow]:
    """A row for each pair of variants that a table names.

    `pairs`: size, a, b (lists of variants) and arms (variant -> arm of the table). Raises InputError for a variant without
    raw figures.
    """
    size, arms = pairs["size"], pairs.get("arms", {})
    for variant in (*pairs["a"], *pairs["b"]):
        if variant not in published.variants(size):
            raise InputError(
                f"table {name}: published: no raw figures of {size} {variant}; there are: "
                f"{', '.join(published.variants(size))}"
            )
    rows = []
    for a in pairs["a"]:
        for b in pairs["b"]:
            for benchmark, metric in published.pairs(size, a, b) if a != b else ():
                row = _row(published, name, size, a, b, benchmark, metric)
                row.measured = (measured or {}).get((arms.get(a, ""), arms.get(b, ""), benchmark, metric))
                rows.append(row)
    tested = [row for row in rows if row.p is not None]
    adjusted = statistics.holm([row.p for row in tested if row.p is not None])
    for row, p_adjusted in zip(tested, adjusted, strict=True):
        row.p_adjusted = p_adjusted
    return rows


def _row(
    published: Published, name: str, size: str, a: str, b: str, benchmark: str, metric: str
) -> PublishedRow:
    side = {"a": f"{size} {a}", "b": f"{size} {b}", "benchmark": benchmark, "metric": metric}
    first, second = raw_of(side, "a", published.raw)[0], raw_of(side, "b", published.raw)[0]
    values = (first["value"], first["stderr"], second["value"], second["stderr"])
    figures = dict(zip(INPUTS, map(float, values), strict=True))
    up = first["direction"] == "up"
    percent_difference, high, low = audit.exact_results(values)
    error = math.hypot(figures["a_stderr"], figures["b_stderr"])
    better = ("b" if (low > 0) == up else "a") if low > 0 or high < 0 else ""
    from scipy import stats

    z = abs(figures["b_value"] - figures["a_value"]) / error if error else None
    row = PublishedRow(
        table=name,
        a=side["a"],
        b=side["b"],
        benchmark=benchmark,
        metric=metric,
        direction=first["direction"],
        figures=figures,
        percent_difference=percent_difference,
        ci_low=low,
        ci_high=high,
        better=better,
        p=None if z is None else float(2 * stats.norm.sf(z)),
        raw_verdict=VERDICTS[better],
        a_source=first["source"],
        b_source=second["source"],
        constant=[
            variant
            for letter, variant in (("a", a), ("b", b))
            if benchmark == "mmlu" and abs(figures[f"{letter}_value"] - CONSTANT_MMLU) < 5e-5
        ],
    )
    printed = published.printed_row(row.a, row.b, benchmark, metric)
    if printed is not None:
        line, comparison = printed
        row.findings = published.findings.get(line, 0)
        row.published_verdict = _verdict(
            named_side(comparison["interpretation"], comparison["a"], comparison["b"])
        )
        _, _, upper, lower = audit.study_results(tuple(comparison[field] for field in INPUTS))
        recomputed = audit.excludes_zero(upper, lower, up)
        if recomputed is None and comparison["ci_upper"] not in ("", "-"):
            # Rounding hides it, and the printed bounds show it.
            ends = [audit.printed_interval(comparison[f"ci_{end}"]) for end in ("upper", "lower")]
            recomputed = audit.excludes_zero(ends[0], ends[1], up)
        row.recomputed_verdict = _verdict(recomputed)
    return row


def _verdict(side: str | None) -> str:
    return "" if side is None else VERDICTS[side]


def claims_of(rows: Iterable[PublishedRow]) -> list[Claim]:
    """Claims of published comparisons: as printed, as they follow, as measured. `verdict` is that of the raw figures after
    Holm's adjustment, `raw_verdict` that of the study's own interval."""
    claims = []
    for row in rows:
        where = f"{row.benchmark} ({row.metric})"
        if row.published_verdict:
            sentence = claim_of(row.published_verdict, row.b, row.a, where)
        else:
            sentence = f"not claimed: {row.b} against {row.a} on {where}"
        effect = row.figures["b_value"] - row.figures["a_value"]
        measured = row.measured
        claims.append(
            Claim(
                table=row.table,
                claim=sentence,
                arm=row.b,
                baseline=row.a,
                benchmark=row.benchmark,
                metric=row.metric,
                scope=ALL_ITEMS,
                group=None,
                figure=row.figures["b_value"],
                baseline_figure=row.figures["a_value"],
                scale=DIFFERENCE,
                effect=effect,
                ci_low=row.ci_low,
                ci_high=row.ci_high,
                interval="items, as the study",
                p=row.p,
                p_adjusted=row.p_adjusted,
                verdict=statistics.verdict(effect, row.p_adjusted, CONFIDENCE, row.direction == "up"),
                kind=PUBLISHED,
                published_verdict=row.published_verdict,
                recomputed_verdict=row.recomputed_verdict,
                raw_verdict=row.raw_verdict,
                measured_verdict=measured.verdict if measured else NOT_MEASURED,
                measured_scale=measured.scale if measured else None,
                measured_effect=measured.effect if measured else None,
                measured_ci_low=measured.ci_low if measured else None,
                measured_ci_high=measured.ci_high if measured else None,
                measured_p_adjusted=measured.p_adjusted if measured else None,
                figure_files=[row.b_source],
                baseline_files=[row.a_source],
                source_files=measured.files if measured else [],
                notes=row.notes,
            )
        )
    return claims


def sections(published: Published, pairs: Mapping[str, Any], rows: list[PublishedRow]) -> list[Section]:
    """Tables: the comparisons as the study computes them, and where the figures lie."""
    head = ["benchmark", "metric", "a", "b", "a (SE)", "b (SE)", "difference %", "95 % interval", "printed", "from printed inputs", "from raw figures", "p adjusted", "findings", "measured here", NOTES]  # fmt: skip
    body = []
    for row in rows:
        figures = [
            f"{number(row.figures[f'{s}_value'])} ({number(row.figures[f'{s}_stderr'])})" for s in "ab"
        ]
        interval = f"[{number(row.ci_low, True)}, {number(row.ci_high, True)}]"
        body.append(
            [row.benchmark, row.metric, row.a, row.b, *figures, percent(row.percent_difference), interval,
             row.published_verdict or "", row.recomputed_verdict or "", row.raw_verdict,
             probability(row.p_adjusted), "" if row.findings is None else str(row.findings),
             row.measured.verdict if row.measured else "", "; ".join(row.notes)]
        )  # fmt: skip
    return [
        Section("Published comparisons (verdicts of b against a)", (head, body)),
        Section("Published figures beside Pythia's own checkpoints", _figures(published, pairs, rows)),
    ]


def _figures(published: Published, pairs: Mapping[str, Any], rows: list[PublishedRow]) -> Table:
    """One line per variant and per training step of Pythia's checkpoints; one column per benchmark and metric."""
    size = pairs["size"]
    columns = list(dict.fromkeys((row.benchmark, row.metric) for row in rows))
    body = []
    for name in dict.fromkeys([*pairs["a"], *pairs["b"]]):
        line = [f"{size} {name}"]
        for benchmark, metric in columns:
            known = (size, name.lower(), benchmark, metric) in published.raw
            side = {"a": f"{size} {name}", "benchmark": benchmark, "metric": metric}
            line.append(number(float(raw_of(side, "a", published.raw)[0]["value"])) if known else "")
        body.append(line)
        other = [published.otherwise_printed(size, name, *column) for column in columns]
        if any(other):
            body.append([f"{size} {name}: otherwise in print", *other])
    steps: dict[str, dict[tuple[str, str], str]] = {}
    for figure in published.figures:
        if figure["kind"] == "reference-checkpoint" and figure["model_size"] == size:
            steps.setdefault(figure["variant"], {})[figure["benchmark"], figure["metric"]] = figure["value"]
    for variant in sorted(steps, key=lambda name: int(name.rpartition("step")[2])):
        cells = [steps[variant].get(column) for column in columns]
        body.append([f"{size} {variant}", *("" if cell is None else number(float(cell)) for cell in cells)])
    return ["model", *(f"{benchmark} {metric}" for benchmark, metric in columns)], body


LEGEND = (
    "Published comparisons and figures are the study's, with their standard errors over items, as its own lm-eval tables have "
    "them; only the column `measured here` is this workflow's. Percentage 100 (b - a) / a; interval (b - a) ± "
    f"{Z} √(SE_a² + SE_b²): two models, one run each, taken as independent, so it says nothing of samplers (it does not hold "
    "the noise of seeds). p of the same statistic, adjusted over these comparisons (Holm). Findings: what winnow.compare.audit "
    "finds wrong in the printed row. Measured here: where neither side is the table's baseline, p is adjusted over the "
    "comparisons with the same first side. Step 0 of Pythia's own checkpoints is untrained."
)


def answer(rows: list[PublishedRow]) -> list[str]:
    """How many of the printed verdicts follow from the raw figures, in a sentence."""
    printed = [row for row in rows if row.published_verdict]
    if not printed:
        return ["None of these comparisons was printed."] if rows else []
    kept = sum(row.published_verdict == row.raw_verdict for row in printed)
    wrong = sum(bool(row.findings) for row in printed)
    return [
        f"{kept} of {len(printed)} printed verdicts follow from the raw figures; {wrong} printed rows hold something that "
        "does not follow from their own inputs or from the raw figures."
    ]


def _csv_row(row: PublishedRow) -> dict[str, Any]:
    measured = {
        f"measured_{name}": getattr(row.measured, name, None)
        for name in ("verdict", "scale", "effect", "ci_low", "ci_high", "p_adjusted")
    }
    better = {"a": row.a, "b": row.b}.get(row.better)
    interpretation = f"{better} better" if better else "Difference not significant"
    return {**vars(row), **row.figures, **measured, "interpretation": interpretation, NOTES: row.notes}


def main(*, results: Path, comparisons: Path, spec: str, out: Path) -> None:
    """One table of published figures alone: seconds, no model.

    Args:
        results: CSV of published figures.
        comparisons: CSV of printed comparison rows.
        spec: JSON with the keys `name` and `table`.
        out: prefix of the files to write: .csv, .md, .tex, .html, .claims.csv, .claims.json.
    """
    settings = read_spec(spec, "name", "table")
    name, pairs = settings["name"], settings["table"]["published"]
    published = Published(results, comparisons)
    rows = compare_published(published, name, pairs)
    page = Page(
        f"{settings['table']['title']} (published figures)",
        [],
        [LEGEND],
        sections(published, pairs, rows),
        answer=answer(rows),
        guide=f"../{GUIDE}",
        cell_classes=CELL_CLASSES,
    )
    write_page(out, page)
    write_claims(out, claims_of(rows))
    write_rows(Path(f"{out}.csv"), map(_csv_row, rows), COLUMNS)
    say(f"[published {name}] {len(rows)} comparisons")


if __name__ == "__main__":
    run(main)
