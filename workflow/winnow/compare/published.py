"""The study's published figures: its comparisons computed anew, and the ledger of its claims.

In: `config/published/` (figures and printed comparison rows) and, where a table was measured, its rows. Out: for each pair
of variants, benchmark and metric what the study computes (percentage, 95 % interval, interpretation) from the raw figures,
with p of the same z statistic adjusted over the table (Holm), and the ledger: each claim as it was printed, as it follows
from its own printed inputs, as it follows from the raw figures, and as it was measured here.

The study's formulas take two models as independent and their items as the only noise. Measured comparisons do neither
(`winnow.compare.statistics`); the two stand side by side, never mixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy import stats

from winnow.compare import audit, statistics
from winnow.compare.audit import COMPARISON, INPUTS, RESULT, Raw, Z, benchmark_id, named_side, raw_of
from winnow.schema import read_spec
from winnow.stage import InputError, read_json, run, say

if TYPE_CHECKING:
    from winnow.compare.render import Section

STAGE_VERSION = 4
ORDER = (
    "arc_challenge", "arc_easy", "mmlu", "hellaswag", "winogrande", "lambada_openai", "lambada_standard", "blimp",
)  # fmt: skip
CONFIDENCE = 0.95
CONSTANT_MMLU = 0.2295
"""lm-eval's MMLU accuracy of a model that gives one and the same letter to every question."""
COLUMNS = (
    "table", "a", "b", "benchmark", "metric", "direction", "a_value", "a_stderr", "b_value", "b_stderr", "percent_difference",
    "ci_low", "ci_high", "interpretation", "p", "p_adjusted", "published_verdict", "own_verdict", "raw_verdict", "findings",
    "measured_verdict", "measured_scale", "measured_effect", "measured_ci_low", "measured_ci_high", "measured_p_adjusted",
    "a_source", "b_source", "notes",
)  # fmt: skip
MEASURED = ("measured_scale", "measured_effect", "measured_ci_low", "measured_ci_high", "measured_p_adjusted")
VERDICTS = {"b": statistics.BETTER, "a": statistics.WORSE, "": statistics.SAME, None: ""}


class Published:
    """Both files, read once. Raises InputError naming the file, row and column of what is wrong."""

    def __init__(self, results: Path, comparisons: Path):
        self.figures = audit.read_rows(results, RESULT)
        audit.check_numbers(
            results, [r for r in self.figures if r["kind"] == "raw"], ("value", "stderr"), False
        )
        self.printed = audit.read_rows(comparisons, COMPARISON)
        audit.check_numbers(comparisons, self.printed, audit.NUMBERS, True)
        audit.check_directions(comparisons, self.printed)
        audit.check_directions(results, self.figures)
        self.raw: Raw = {}
        for figure in self.figures:
            if figure["kind"] == "raw":
                key = (figure["model_size"], figure["variant"].lower(), figure["benchmark"], figure["metric"])
                self.raw.setdefault(key, []).append(figure)
        self.findings: dict[int, int] = {}
        for found in audit.audit(self.printed, [r for r in self.figures if r["kind"] == "raw"])[0]:
            self.findings[int(found["row"])] = self.findings.get(int(found["row"]), 0) + 1

    def variants(self, size: str) -> list[str]:
        return sorted({r["variant"] for r in self.figures if r["model_size"] == size and r["kind"] == "raw"})

    def otherwise_printed(self, size: str, variant: str, benchmark: str, metric: str) -> str:
        """A figure as the study's notebook prints it, where it is not the raw one rounded or cut to its places; else empty."""
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
        have = [{k[2:] for k in self.raw if k[:2] == (size, name.lower())} for name in (a, b)]
        both = have[0] & have[1]
        return sorted(both, key=lambda pair: (ORDER.index(pair[0]) if pair[0] in ORDER else len(ORDER), pair))

    def printed_row(self, a: str, b: str, benchmark: str, metric: str) -> tuple[int, dict[str, str]] | None:
        """The printed comparison of two variants (with their size), and its row number from 1."""
        for number, row in enumerate(self.printed, start=1):
            same = row["a"].lower() == a.lower() and row["b"].lower() == b.lower()
            if same and benchmark_id(row["benchmark"]) == benchmark and row["metric"] == metric:
                return number, row
        return None


def compare_published(
    published: Published,
    name: str,
    wanted: Mapping[str, Any],
    measured: Iterable[Mapping[str, Any]] = (),
    tasks: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of COLUMNS for each pair of variants that a table names.

    `wanted`: size, a, b (lists of variants) and arms (variant -> arm of the table). `measured`: rows of
    `winnow.compare.table.compare`; `tasks`: lm-eval's task by benchmark of the config.
    Raises InputError for a variant without raw figures.
    """
    size, arms, tasks = wanted["size"], wanted.get("arms", {}), tasks or {}
    for variant in (*wanted["a"], *wanted["b"]):
        if variant not in published.variants(size):
            raise InputError(
                f"table {name}: published: no raw figures of {size} {variant}; there are: "
                f"{', '.join(published.variants(size))}"
            )
    here = {}
    for row in measured:
        if row["group"] is None and not row["is_baseline"]:
            task = tasks.get(row["benchmark"], row["benchmark"])
            here[row["baseline"], row["arm"], task, row["metric"]] = row
            here[row["arm"], row["baseline"], task, row["metric"]] = _turned(row)
    rows = []
    for a in wanted["a"]:
        for b in wanted["b"]:
            for benchmark, metric in published.pairs(size, a, b) if a != b else ():
                rows.append(_row(published, name, size, a, b, benchmark, metric))
                found = here.get((arms.get(a, ""), arms.get(b, ""), benchmark, metric))
                if found is not None:
                    rows[-1] |= {
                        "measured_verdict": found["verdict"],
                        "measured_scale": found["scale"],
                        "measured_effect": found["effect"],
                        "measured_ci_low": found["ci_low"],
                        "measured_ci_high": found["ci_high"],
                        "measured_p_adjusted": found["p_adjusted"],
                        "_files": [*found["_files"], *found["_baseline_files"]],
                    }
    tested = [row for row in rows if row["p"] is not None]
    for row, adjusted in zip(tested, statistics.holm([row["p"] for row in tested]), strict=True):
        row["p_adjusted"] = adjusted
    return rows


def _turned(row: Mapping[str, Any]) -> dict[str, Any]:
    """A measured comparison seen from its arm: what the baseline does beside it."""
    low, high = row["ci_low"], row["ci_high"]
    other = {statistics.BETTER: statistics.WORSE, statistics.WORSE: statistics.BETTER}
    return {
        **row,
        "verdict": other.get(row["verdict"], row["verdict"]),
        "effect": None if row["effect"] is None else -row["effect"],
        "ci_low": None if high is None else -high,
        "ci_high": None if low is None else -low,
    }


def _row(
    published: Published, name: str, size: str, a: str, b: str, benchmark: str, metric: str
) -> dict[str, Any]:
    side = {"a": f"{size} {a}", "b": f"{size} {b}", "benchmark": benchmark, "metric": metric}
    first, second = raw_of(side, "a", published.raw)[0], raw_of(side, "b", published.raw)[0]
    values = (first["value"], first["stderr"], second["value"], second["stderr"])
    numbers = dict(zip(INPUTS, map(float, values), strict=True))
    up = first["direction"] == "up"
    percent, high, low = audit.exact_results(values)
    error = math.hypot(numbers["a_stderr"], numbers["b_stderr"])
    better = ("b" if (low > 0) == up else "a") if low > 0 or high < 0 else ""
    notes = []
    for letter, variant in (("a", a), ("b", b)):
        if benchmark == "mmlu" and abs(numbers[f"{letter}_value"] - CONSTANT_MMLU) < 5e-5:
            notes.append(f"{variant} answers every question with one letter")
    row: dict[str, Any] = {
        **dict.fromkeys(COLUMNS),
        "table": name,
        **side,
        "direction": first["direction"],
        **numbers,
        "percent_difference": percent,
        "ci_low": low,
        "ci_high": high,
        "interpretation": f"{side[better]} better" if better else "Difference not significant",
        "p": float(2 * stats.norm.sf(abs(numbers["b_value"] - numbers["a_value"]) / error))
        if error
        else None,
        "raw_verdict": VERDICTS[better],
        "a_source": first["source"],
        "b_source": second["source"],
        "notes": notes,
    }
    printed = published.printed_row(side["a"], side["b"], benchmark, metric)
    if printed is not None:
        number, comparison = printed
        row["findings"] = published.findings.get(number, 0)
        row["published_verdict"] = VERDICTS[
            named_side(comparison["interpretation"], comparison["a"], comparison["b"])
        ]
        _, _, upper, lower = audit.study_results(tuple(comparison[field] for field in INPUTS))
        own = audit.excludes_zero(upper, lower, up)
        if own is None and comparison["ci_upper"] not in (
            "",
            "-",
        ):  # rounding hides it: the printed bounds know
            ends = [audit.printed_interval(comparison[f"ci_{end}"]) for end in ("upper", "lower")]
            own = audit.excludes_zero(ends[0], ends[1], up)
        row["own_verdict"] = VERDICTS[own]
    return row


def claims_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ledger's rows of published comparisons: what was printed, what follows, what was measured. `verdict` is that of
    the raw figures after Holm's adjustment, `raw_verdict` that of the study's own interval."""
    words = {
        statistics.BETTER: "is better than",
        statistics.WORSE: "is worse than",
        statistics.SAME: "is not distinguishable from",
    }
    ledger = []
    for row in rows:
        where = f"{row['benchmark']} ({row['metric']})"
        said = row["published_verdict"]
        sides = (
            f"{row['b']} {words[said]} {row['a']}" if said else f"not claimed: {row['b']} against {row['a']}"
        )
        up = row["direction"] == "up"
        difference = row["b_value"] - row["a_value"]
        ledger.append(
            {
                "table": row["table"],
                "claim": f"{sides} on {where}",
                "kind": "published",
                "arm": row["b"],
                "baseline": row["a"],
                "benchmark": row["benchmark"],
                "metric": row["metric"],
                "scope": "all items",
                "group": None,
                "figure": row["b_value"],
                "baseline_figure": row["a_value"],
                "scale": "difference",
                "effect": difference,
                "ci_low": row["ci_low"],
                "ci_high": row["ci_high"],
                "interval": "items, as the study",
                "p": row["p"],
                "p_adjusted": row["p_adjusted"],
                "verdict": statistics.verdict(difference, row["p_adjusted"], CONFIDENCE, up),
                "published_verdict": said,
                "own_verdict": row["own_verdict"],
                "raw_verdict": row["raw_verdict"],
                **{name: row[name] for name in MEASURED},
                "measured_verdict": row["measured_verdict"] or "not measured here",
                "figure_files": [row["b_source"]],
                "baseline_files": [row["a_source"]],
                "source_files": row.get("_files", []),
                "notes": row["notes"],
            }
        )
    return ledger


def sections(published: Published, wanted: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[Section]:
    """Tables for `winnow.compare.render`: the comparisons as the study computes them, and where the figures lie."""
    from winnow.compare.render import Section, number, percent, probability

    head = ["benchmark", "metric", "a", "b", "a (SE)", "b (SE)", "difference %", "95 % interval", "printed", "from its own inputs", "from raw figures", "p adjusted", "findings", "measured here", "notes"]  # fmt: skip
    body = []
    for row in rows:
        figures = [f"{number(row[f'{s}_value'])} ({number(row[f'{s}_stderr'])})" for s in "ab"]
        interval = f"[{number(row['ci_low'], True)}, {number(row['ci_high'], True)}]"
        body.append(
            [row["benchmark"], row["metric"], row["a"], row["b"], *figures, percent(row["percent_difference"]), interval,
             row["published_verdict"] or "", row["own_verdict"] or "", row["raw_verdict"],
             probability(row["p_adjusted"]), "" if row["findings"] is None else str(row["findings"]),
             row["measured_verdict"] or "", "; ".join(row["notes"])]
        )  # fmt: skip
    return [
        Section("Published comparisons (verdicts of b against a)", (head, body)),
        Section("Published figures beside Pythia's own checkpoints", _figures(published, wanted, rows)),
    ]


def _figures(
    published: Published, wanted: Mapping[str, Any], rows: list[dict[str, Any]]
) -> tuple[list[str], list[list[str]]]:
    from winnow.compare.render import number

    size = wanted["size"]
    columns = list(dict.fromkeys((row["benchmark"], row["metric"]) for row in rows))
    names = list(dict.fromkeys([*wanted["a"], *wanted["b"]]))
    body = []
    for name in names:
        line = [f"{size} {name}"]
        for benchmark, metric in columns:
            found = published.raw.get((size, name.lower(), benchmark, metric))
            side = {"a": f"{size} {name}", "benchmark": benchmark, "metric": metric}
            line.append(number(float(raw_of(side, "a", published.raw)[0]["value"])) if found else "")
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
    "Published comparisons and figures are the study's, with their standard errors over items, as its own lm-eval tables give "
    "them; only what stands under `measured here` is this workflow's. Percentage 100 (b - a) / a; interval (b - a) ± "
    f"{Z} √(SE_a² + SE_b²): two models, one run each, taken as independent, so it says nothing of samplers (seeds are not in "
    "it). p of the same statistic, adjusted over these comparisons (Holm). Findings: what winnow.compare.audit finds wrong in the "
    "printed row. Measured here: where neither side is the table's baseline, p is adjusted over the comparisons with the same "
    "first side. Step 0 of Pythia's own checkpoints is untrained."
)


def answer(rows: list[dict[str, Any]]) -> list[str]:
    """How many of the printed verdicts stand, in a sentence."""
    printed = [row for row in rows if row["published_verdict"]]
    if not printed:
        return ["None of these comparisons was printed."] if rows else []
    kept = sum(row["published_verdict"] == row["raw_verdict"] for row in printed)
    found = sum(bool(row["findings"]) for row in printed)
    return [
        f"{kept} of {len(printed)} printed verdicts follow from the raw figures; {found} printed rows hold something that "
        "does not follow from their own inputs or from the raw figures."
    ]


def table(*, results: Path, comparisons: Path, spec: str, out: Path) -> None:
    """One table of published figures alone: seconds, no model.

    Args:
        results: CSV of published figures.
        comparisons: CSV of printed comparison rows.
        spec: JSON with the keys `name` and `table`.
        out: prefix of the files to write: .csv, .md, .tex, .html, .claims.csv, .claims.json.
    """
    from winnow.compare import render
    from winnow.compare.table import write_claims, write_csv

    settings = read_spec(spec, "name", "table")
    wanted = settings["table"]["published"]
    published = Published(results, comparisons)
    rows = compare_published(published, settings["name"], wanted)
    title = f"{settings['table']['title']} (published figures)"
    guide = f"../{render.GUIDE}"
    render.write_page(
        out,
        render.Page(title, [], [LEGEND], sections(published, wanted, rows), answer=answer(rows), guide=guide),
    )
    write_claims(out, claims_of(rows))
    write_csv(Path(f"{out}.csv"), rows, COLUMNS)
    say(f"[published {settings['name']}] {len(rows)} comparisons")


def ledger(*, claims: list[Path], out: Path) -> None:
    """One ledger of the claims of several tables; a claim that several tables hold stands once, the measured one first.

    Args:
        claims: .claims.json files.
        out: prefix of the .claims.csv and .claims.json to write.
    """
    from winnow.compare.table import write_claims

    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in claims:
        for row in read_json(path):
            key = tuple(row[name] for name in ("kind", "arm", "baseline", "benchmark", "metric", "group"))
            if row["kind"] != "published":
                key = (*key, row["table"])
            if key not in found or found[key]["measured_verdict"] == "not measured here":
                found[key] = row
    write_claims(out, list(found.values()))
    verdicts: dict[str, int] = {}
    for row in found.values():
        verdicts[row["measured_verdict"]] = verdicts.get(row["measured_verdict"], 0) + 1
    said = ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items()))
    say(f"[ledger] {len(found)} claims of {len(claims)} tables: {said}")


if __name__ == "__main__":
    run(table, ledger)
