"""Render: rows of a comparison -> Markdown, LaTeX, HTML, and the forest plot. Bytes repeat for equal rows."""

from __future__ import annotations

import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any, NamedTuple

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
from winnow.stage import run, write_text

STAGE_VERSION = 1
Row = Mapping[str, Any]
Rows = Sequence[Row]
MARKS = {BETTER: "▲", WORSE: "▼", SAME: "=", LITTLE: "?"}
LATEX_MARKS = {
    BETTER: r"$\blacktriangle$", WORSE: r"$\blacktriangledown$", SAME: "$=$", LITTLE: "?"
}  # fmt: skip
COLOURS = {BETTER: "#1b7837", WORSE: "#b2182b", SAME: "#4d4d4d", LITTLE: "#999999"}
GUIDE = "reading-tables.md"
"""The page beside the tables that says how to read them (docs/reading-tables.md)."""
TOKEN_TOLERANCE = 0.01
"""Share by which trainings may differ and still be called equal."""
MOST_SENTENCES = 6
"""Differences that the first lines of a table name one by one."""
NOTHING = 1e-9
"""An axis whose ends are nearer to 0 shows effects of rounding only, and is drawn as an axis of zeros."""


def number(value: float | None, signed: bool = False) -> str:
    """Four decimals for a reader, fewer of large numbers; full precision is in the CSV."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "inf" if value > 0 else "-inf" if value < 0 else "nan"
    size = abs(value)
    places = 0 if size >= 1000 else 2 if size >= 10 else 4
    if 0 < size < 5e-5:
        return f"{value:{'+' if signed else ''}.0e}".replace("-", "\u2212" if signed else "-", 1)
    text = f"{value:{'+' if signed else ''},.{places}f}"
    return text.replace("-", "\u2212") if signed else text


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}".replace("-", "\u2212")


def probability(value: float | None, level: float = 0.05) -> str:
    """Three significant digits, rounded up, so that what is printed is never smaller than p; but where this would reach
    `level`, .05, .01 or .001 from below, rounded down: the printed p is on that side of each where p is."""
    if value is None:
        return ""
    least = min(0.001, level)
    if value < least:
        return f"<{least:g}"
    exact = Decimal(repr(min(1.0, float(value))))
    step = Decimal(1).scaleb(exact.adjusted() - 2)
    up = exact.quantize(step, ROUND_CEILING)
    crossed = any(value < threshold <= float(up) for threshold in (level, 0.05, 0.01))
    shown = exact.quantize(step, ROUND_FLOOR) if crossed else up
    return f"{shown:.{max(2, 2 - shown.adjusted())}f}"


def group_name(name: str) -> str:
    """A group as a reader sees it: its name; in quotes where it is empty, begins or ends with a blank, or holds a quote."""
    return json.dumps(name, ensure_ascii=False) if name.strip() != name or not name else name


def label_of(row: Row, rows: Rows) -> str:
    """The sampler, or experiment/sampler where the table has several experiments."""
    return row["sampler"] if len({r["experiment"] for r in rows if r["experiment"]}) <= 1 else row["arm"]


def unequal(row: Row) -> str:
    """What to say of an arm that was not trained on as much as the baseline; "" of one that was."""
    if row["given_model"]:
        return ""
    if row["amount_ratio"] is None:
        return "training tokens unknown"
    if abs(row["amount_ratio"]) <= TOKEN_TOLERANCE:
        return ""
    what = "TOKENS" if row["training_tokens"] is not None else "EXAMPLES"
    return f"TRAINING {what} DIFFER from the baseline's by {row['amount_ratio']:+.1%}"


def copies(row: Row) -> str:
    """What to say of an arm of which several data seeds are one run; "" of others."""
    if row["different_seeds"] == row["seeds"]:
        return ""
    return (
        f"the same subset and training in {row['seeds']} data seeds: they count as {row['different_seeds']} "
        "(let the training seed vary with the draw)"
    )


def notes_of(row: Row) -> list[str]:
    """What a reader must know of a row, in words, from its fields; of dead models the head of the table tells."""
    shared = [
        f"{common} of its {row['runs']} models are those of {other}"
        for other, common in row["same_models"].items()
    ]
    lacks_effect = not row["is_baseline"] and row["effect"] is None
    said = [
        "" if row["finite"] else "a figure is not finite",
        "a model as it was published, not trained here" if row["given_model"] else "",
        unequal(row),
        copies(row),
        "" if row["paired"] else "other seeds than the baseline's: not paired",
        "" if row["limit"] is None else f"first {row['limit']} items of each task",
        *shared,
        "it may have been trained on these documents" if row["may_know_items"] else "",
        row["lacking_text"],
        "a figure of the arm or its baseline is not finite" if lacks_effect else "",
    ]
    return [note for note in said if note]


def dead_models(row: Row) -> list[str]:
    """What is said of the dead models of an arm: a line each, one for all if all its runs are dead."""
    if len(row["dead"]) == row["runs"] > 1:
        reasons = dict.fromkeys(reason for dead in row["dead"] for reason in dead["reasons"])
        return [f"{row['arm']}: DEAD MODELS, all {row['runs']}: {'; '.join(list(reasons)[:2])}"]
    return [
        f"{row['arm']}: DEAD MODEL (data seed {dead['data_seed']}, training seed {dead['training_seed']}): "
        f"{'; '.join(dead['reasons'])}"
        for dead in row["dead"]
    ]


def warnings_of(rows: Rows) -> list[str]:
    """What a reader must know first: unequal training, missing seeds, figures that are not finite, dead models."""
    found: dict[str, None] = {}
    for row in rows:
        arm = row["arm"]
        if not row["finite"]:
            found[f"{arm}: a figure is not finite on {row['benchmark']} ({row['metric']})"] = None
        for line in dead_models(row):
            found[line] = None
        for note in (unequal(row), copies(row)):
            if note:
                found[f"{arm}: {note}"] = None
    few = sorted({row["arm"] for row in rows if row["lacking"] == FEW_SEEDS})
    if few:
        found[
            f"too little data for a verdict on {', '.join(few)}: at least {FEWEST_SEEDS} data seeds an arm are "
            "needed; intervals marked 'items only' leave out the noise of seeds"
        ] = None
    return list(found)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def answer(rows: Rows, spec: Mapping[str, Any]) -> list[str]:
    """The table in words: which arms are better or worse than the baseline by how much, or that none is distinguishable
    from it; what it would have seen; and which arms have no verdict. Of all items alone: groups are behind."""
    settings = spec["table"]
    confidence = settings.get("confidence", 0.95)
    whole = [row for row in rows if row["group"] is None and not row["is_baseline"]]
    tested = [row for row in whole if row["p"] is not None]
    if not whole:
        return []
    baseline = label_of(next(row for row in rows if row["is_baseline"]), rows)
    what = "sampler" if settings.get("unit", "samplers") == "samplers" else "model"
    found = []
    told = sorted(
        (row for row in tested if row["verdict"] in (BETTER, WORSE)), key=lambda row: row["p_adjusted"]
    )
    for row in told[:MOST_SENTENCES]:
        scale = " in the logarithm" if row["scale"] == "log ratio" else ""
        found.append(
            f"{label_of(row, rows)} is {row['verdict']} than {baseline} on {_pair(row)} by {number(abs(row['effect']))}{scale} "
            f"({100 * confidence:g} % CI of the effect {number(row['ci_low'], True)} to {number(row['ci_high'], True)}), "
            f"adjusted p {_equals(probability(row['p_adjusted'], 1 - confidence))}."
        )
    if len(told) > MOST_SENTENCES:
        found.append(
            f"So are {len(told) - MOST_SENTENCES} more of the comparisons under Tests better or worse."
        )
    same = [row for row in tested if row["verdict"] == SAME]
    seen = _seen(same)
    if same:
        arms = list(dict.fromkeys(label_of(row, rows) for row in same))
        if not told:
            every = len(tested) == len(whole)
            first = f"No {what} is distinguishable from {baseline}" if every else f"No {what} that could be tested ({_listed(arms)}) is distinguishable from {baseline}"  # fmt: skip
        else:
            first = f"The other {len(same)} comparisons with {baseline} show no difference" if len(same) > 1 else f"The other comparison with {baseline} shows no difference"  # fmt: skip
        found.append(f"{first}; {seen}." if seen else f"{first}.")
    little = list(dict.fromkeys(label_of(row, rows) for row in whole if row["p"] is None))
    if little and not tested:
        lack = all(row["lacking"] in (FEW_SEEDS, FEW_ITEMS) for row in whole)
        found.append(
            f"{'Too little data: no' if lack else 'No'} comparison with {baseline} could be tested ({_listed(_why(whole))})."
        )
    elif little:
        untested = [row for row in whole if row["p"] is None]
        found.append(f"No verdict on {_listed(little)} in {len(untested)} of {len(whole)} comparisons ({_listed(_why(untested))}).")  # fmt: skip
    return found


def _equals(text: str) -> str:
    return text if text.startswith("<") else f"= {text}"


def _why(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["lacking_text"] or "a figure is not finite" for row in rows))


def _seen(rows: Rows) -> str:
    """What tests without a difference would have seen: of each benchmark and metric the largest minimum detectable effect,
    at the strictest level of the family."""
    found, blind = [], []
    for pair in dict.fromkeys(_pair(row) for row in rows):
        mine = [row for row in rows if _pair(row) == pair]
        seeing = [row for row in mine if row["detectable_family"] is not False]
        effects = [row["minimum_detectable_effect_family"] for row in seeing]
        if len(seeing) < len(mine):
            blind.append(f"{pair} ({_listed([label_of(row, rows) for row in mine if row not in seeing])})")
        if effects and all(effect is not None for effect in effects):
            log = " (log)" if mine[0]["scale"] == "log ratio" else ""
            found.append(f"{number(max(effects))} or more on {pair}{log}")
    said = [f"with 80 % power this table would have seen an effect of {', '.join(found)}"] if found else []
    if blind:
        said.append(f"it would have seen no possible effect on {', '.join(blind)}")
    return "; ".join(said)


def legend(rows: Rows, spec: Mapping[str, Any]) -> list[str]:
    """What the table means, in sentences."""
    settings = spec["table"]
    confidence = settings.get("confidence", 0.95)
    whole = sum(row["p"] is not None and row["group"] is None for row in rows)
    parts = sum(row["p"] is not None and row["group"] is not None for row in rows)
    baseline = next(row["arm"] for row in rows if row["is_baseline"])
    if settings.get("unit", "samplers") == "samplers":
        unit = (
            "Samplers are compared: seeds are the random unit, then items (two-level variance, t tables; of fewer "
            f"than {FEWEST_SEEDS} data seeds an arm, or {FEWEST_ITEMS} items, no verdict). Clusters and scorers are "
            "as they were fitted once: no interval holds their noise."
        )
        trainings = {row["training_seeds"] for row in rows}
        if trainings == {1}:
            unit += " All models share one training seed, and the intervals hold for it."
    else:
        unit = "Models are compared, one run each, paired over items (McNemar's exact test, or sign flips)."
    family = "No test was made."
    if whole or parts:
        family = f"p is adjusted (Holm) over the {whole} tests of all items"
        if parts:
            family += f"; over the {parts} tests of groups apart"
        family += (
            ". Minimum detectable effect: the true effect found with about 80 % power by one such test alone; in "
            "brackets, at the strictest level of the family."
        )
    if any(row["group"] is not None for row in rows):
        family += f" Groups of fewer than {FEWEST_GROUP_ITEMS} items are described, not tested."
    kinds = {row["chance_kind"] for row in rows}
    chance = ""
    if "choices" in kinds:
        chance += " Chance: one over the number of choices, mean over the items."
    if "majority" in kinds:
        chance += (
            f" Chance{' of labels' if 'choices' in kinds else ''}: the share of the commonest right answer."
        )
    return [
        f"All arms against {baseline}. Effect: arm minus baseline, of perplexity the log of the ratio. {unit}",
        f"Intervals: {100 * confidence:g} %, each for itself, within the bounds of the metric; verdicts are those of the "
        f"adjusted p. {family}",
        f"{MARKS[BETTER]} better, {MARKS[WORSE]} worse, {MARKS[SAME]} not distinguishable, "
        f"{MARKS[LITTLE]} too little data. ↑ higher is better, ↓ lower is better.{chance} "
        "Perplexities are geometric means over runs, their spread is that of the logarithm. "
        "All of these figures were measured by this workflow.",
    ]


def missing_of(spec: Mapping[str, Any]) -> list[str]:
    """Of a partial table, what is not there."""
    missing = spec.get("missing")
    if missing is None:
        return []
    if not missing:
        return ["PARTIAL TABLE, of which nothing is missing any more: make the whole one"]
    what = "1 run that has" if len(missing) == 1 else f"{len(missing)} runs that have"
    return [f"PARTIAL TABLE: without {what} no evaluation yet: {'; '.join(missing)}"]


Table = tuple[list[str], list[list[str]]]
"""Head and lines of cells."""


class Section(NamedTuple):
    """A table with its heading; `folded`: behind a click, where a format can."""

    title: str
    table: Table
    folded: bool = False


@dataclass(frozen=True)
class Page:
    """What all formats show: a title, the answer in words, what a reader must know first, tables, plots (SVG) behind the
    first table, and sentences on what it all means, with a link to the guide (None: no guide is there)."""

    title: str
    warnings: list[str]
    legend: list[str]
    sections: list[Section]
    plots: list[tuple[str, str]] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    guide: str | None = None


def page_of(
    rows: Rows,
    spec: Mapping[str, Any],
    more: Sequence[Section] = (),
    plots: Sequence[tuple[str, str]] = (),
) -> Page:
    """The page of a table of measured rows, with `more` sections behind its own."""
    return Page(
        spec["table"]["title"],
        [*missing_of(spec), *warnings_of(rows)],
        legend(rows, spec),
        [*sections(rows, 1 - spec["table"].get("confidence", 0.95)), *more],
        list(plots),
        answer(rows, spec),
        GUIDE if spec.get("missing") is None else f"../{GUIDE}",
    )


def _head_of(row: Row) -> str:
    return f"{row['benchmark']} {row['metric']} {'↑' if row['better'] == 'higher' else '↓'}"


def figures_table(rows: Rows, group_of: str | None = None) -> Table:
    """Arms as rows, benchmarks as columns; or, for the benchmark `group_of`, its groups as columns. Below them the chance
    level, where there is one, and the number of items."""
    whole = group_of is None
    if whole:
        shown = [row for row in rows if row["group"] is None]
    else:
        shown = [row for row in rows if row["group"] is not None and _pair(row) == group_of]
    columns: dict[tuple[str, str, str | None], Row] = {}
    for row in shown:
        columns.setdefault((row["benchmark"], row["metric"], row["group"]), row)
    order = {row["arm"]: row for row in reversed(shown)}
    cells = {(row["arm"], row["benchmark"], row["metric"], row["group"]): row for row in shown}
    body = []
    for name in dict.fromkeys(row["arm"] for row in shown):
        first = order[name]
        amount = first["training_tokens"] or first["training_examples"]
        line = [label_of(first, rows) + (" (baseline)" if first["is_baseline"] else "")]
        if whole:
            epochs = "" if first["epochs"] is None else f"{first['epochs']:.2f}"
            dead = len(first["dead"])
            line += [
                f"{first['runs']}{f' ({dead} dead)' if dead else ''}",
                "" if amount is None else f"{amount:,.0f}",
                epochs,
            ]
        for column in columns:
            cell = cells.get((name, *column))
            mark = "" if cell is None or cell["is_baseline"] else f" {MARKS[cell['verdict']]}"
            line.append("" if cell is None else number(cell["figure"]) + mark)
        body.append(line)
    empty = ["", "", ""] if whole else []
    if any(row["chance"] is not None for row in columns.values()):
        body.append(["chance level", *empty, *(number(row["chance"]) for row in columns.values())])
    body.append(["items", *empty, *(f"{row['items']:,}" for row in columns.values())])
    trained = "training examples" if any(row["training_examples"] for row in shown) else "training tokens"
    names = [_head_of(row) if row["group"] is None else group_name(row["group"]) for row in columns.values()]
    return ["arm", *(["runs", trained, "epochs"] if whole else []), *names], body


def _pair(row: Row) -> str:
    return f"{row['benchmark']} {row['metric']}"


def runs_table(rows: Rows) -> Table:
    """Every figure of every model: a line a run."""
    shown = [row for row in rows if row["group"] is None]
    columns = {(row["benchmark"], row["metric"]): _head_of(row) for row in shown}
    found: dict[tuple[str, int, int], dict[tuple[str, str], float]] = {}
    for row in shown:
        for (data, training), value in row["_figures"].items():
            found.setdefault((row["arm"], data, training), {})[row["benchmark"], row["metric"]] = value
    arms = {row["arm"]: row for row in shown}
    place = {name: i for i, name in enumerate(arms)}
    body = []
    for name, data, training in sorted(found, key=lambda run: (place[run[0]], run[1:])):
        mine = found[name, data, training]
        given = arms[name]["experiment"] is None
        body.append(
            [label_of(arms[name], rows), *(["", ""] if given else [str(data), str(training)]),
             *(number(mine.get(column)) for column in columns)]
        )  # fmt: skip
    return ["arm", "data seed", "training seed", *columns.values()], body


def detectable(row: Row) -> str:
    """The minimum detectable effect of a row; in brackets that at the strictest level of its family."""
    said = []
    for ending in ("", "_family"):
        effect, possible = row[f"minimum_detectable_effect{ending}"], row[f"detectable{ending}"]
        said.append(number(effect) if effect is not None else "none possible" if possible is False else "")
    return f"{said[0]} ({said[1]})" if said[1] else said[0]


def effects_table(rows: Rows, every: Rows | None = None, level: float = 0.05) -> Table:
    """The tests of `rows`, of which those of groups say of which and how many items; `every`: all rows of the table."""
    groups = any(row["group"] is not None for row in rows)
    head = ["benchmark", "metric", *(["group", "items"] if groups else []), "arm", "effect", "difference %", "interval", "p", "p adjusted", "minimum detectable effect", "verdict", "notes"]  # fmt: skip
    body = []
    for row in rows:
        if row["is_baseline"]:
            continue
        interval = ""
        if row["ci_low"] is not None:
            interval = f"[{number(row['ci_low'], True)}, {number(row['ci_high'], True)}]"
            if row["ci_low"] == row["ci_high"]:
                interval = ""
            elif row["interval"] == "items" and row["verdict"] == LITTLE:
                interval += " items only"
        effect = number(row["effect"], True) + (" (log)" if row["scale"] == "log ratio" else "")
        notes = "; ".join(["dead model"] * bool(row["dead"]) + row["notes"])
        cell = [group_name(row["group"]), f"{row['items']:,}"] if groups else []
        body.append(
            [row["benchmark"], row["metric"], *cell, label_of(row, every or rows), effect, percent(row["percent_difference"]), interval,
             probability(row["p"], level), probability(row["p_adjusted"], level), detectable(row), row["verdict"], notes]
        )  # fmt: skip
    return head, body


def seeds_table(rows: Rows) -> Table | None:
    """Spread by seed of each arm's figures; the parts where data and training seeds are crossed."""
    shown = [row for row in rows if row["group"] is None and row["sd_seeds"] is not None]
    if not shown:
        return None
    crossed = any(row["sd_data"] is not None for row in shown)
    head = ["benchmark", "metric", "arm", "data seeds", "runs", "SD over data seeds"]
    head += ["SD, data seed", "SD, training seed", "SD, rest"] if crossed else []
    body = []
    for row in shown:
        metric = row["metric"] + (" (log)" if row["scale"] == "log ratio" else "")
        line = [row["benchmark"], metric, label_of(row, rows), str(row["seeds"]), str(row["runs"]), number(row["sd_seeds"])]  # fmt: skip
        if crossed:
            line += [number(row[name]) for name in ("sd_data", "sd_training", "sd_residual")]
        body.append(line)
    return head, body


def sections(rows: Rows, level: float = 0.05) -> list[Section]:
    whole = [row for row in rows if row["group"] is None]
    parts = [row for row in rows if row["group"] is not None]
    found = [
        Section("Figures", figures_table(rows)),
        Section("Tests", effects_table(whole, rows, level)),
        Section("Figures by seed", runs_table(rows), folded=True),
    ]
    seeds = seeds_table(rows)
    if seeds is not None:
        found.append(Section("Spread by seed", seeds, folded=True))
    for pair in dict.fromkeys(_pair(row) for row in parts):
        found.append(Section(f"Figures by group: {pair}", figures_table(rows, pair), folded=True))
    if any(not row["is_baseline"] for row in parts):
        found.append(Section("Tests by group", effects_table(parts, rows, level), folded=True))
    return found


def _numeric(text: str) -> bool:
    return bool(text) and (text[0].isdigit() or text[0] in "+−-<[")


def to_right(head: list[str], body: list[list[str]]) -> list[bool]:
    """Which columns hold numbers."""
    return [name != "notes" and any(_numeric(line[i]) for line in body) for i, name in enumerate(head)]


def markdown(page: Page) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    out = [f"# {page.title}"]
    for sentence in page.answer:
        out += ["", f"**{sentence}**"]
    for note in page.warnings:
        out += ["", f"> **{note}**"]
    for title, (head, body), folded in page.sections:
        right = to_right(head, body)
        out += ["", f"<details><summary>{html.escape(title)}</summary>" if folded else f"## {title}", ""]
        out += [line(head), line(["---:" if r else "---" for r in right])]
        out += [line(cells) for cells in body]
        out += ["", "</details>"] if folded else []
    out += ["", "## What it means", ""]
    out += [f"- {sentence}" for sentence in page.legend]
    if page.guide:
        out += ["", f"[How to read a table]({page.guide})"]
    return "\n".join(out) + "\n"


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
        "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
        ">": r"\textgreater{}", "−": "$-$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
        "√": r"$\surd$", "±": r"$\pm$", "²": r"$^2$",
        "▲": LATEX_MARKS[BETTER], "▼": LATEX_MARKS[WORSE],
    }
)  # fmt: skip


def latex(page: Page) -> str:
    """Fragments for `\\input`: a caption and a booktabs table each."""
    out = ["% Needs \\usepackage{booktabs,amssymb,longtable}"]
    notes = " ".join([*page.answer, *page.warnings, *page.legend]).translate(_LATEX)
    for index, (title, (head, body), _) in enumerate(page.sections):
        right = to_right(head, body)
        caption = f"{page.title}: {title[:1].lower()}{title[1:]}.".translate(_LATEX)
        columns = " & ".join(cell.translate(_LATEX) for cell in head) + r" \\"
        out += [
            "",
            rf"\begin{{longtable}}{{{''.join('r' if r else 'l' for r in right)}}}",
            rf"\caption{{{caption}{' ' + notes if index == 0 else ''}}}\\",
            r"\toprule",
            columns,
            r"\midrule",
            r"\endfirsthead",
            r"\toprule",
            columns,
            r"\midrule",
            r"\endhead",
            r"\bottomrule",
            r"\endlastfoot",
        ]
        # A line that begins with [ would be read as the optional argument of the \\ before it.
        out += [" & ".join(("{}" if c[:1] == "[" else "") + c.translate(_LATEX) for c in line) + r" \\" for line in body]  # fmt: skip
        out.append(r"\end{longtable}")
    return "\n".join(out) + "\n"


STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th{border-bottom:2px solid #222;text-align:left;padding:.3rem .6rem;vertical-align:bottom}
td{border-bottom:1px solid #ddd;padding:.25rem .6rem;white-space:nowrap}
td.r,th.r{text-align:right}
td.n{white-space:normal;min-width:14rem}
p.answer{font-size:17px;font-weight:600;margin:.4rem 0}
details{margin:1rem 0}
summary{cursor:pointer;font-size:1.2em;font-weight:600}
p.warning{border-left:4px solid #b2182b;background:#fdf0ed;padding:.5rem .8rem;font-weight:600}
.better{color:#1b7837}.worse{color:#b2182b}.little{color:#777}
svg{max-width:100%;height:auto}
"""


def html_page(page: Page) -> str:
    """One self-contained HTML page: no script, the plots inside; its one link is that of the guide."""
    classes = {BETTER: "better", WORSE: "worse", LITTLE: "little"}
    title = html.escape(page.title)
    out = ['<!doctype html>\n<html lang="en">\n<meta charset="utf-8">']
    out.append('<meta name="viewport" content="width=device-width,initial-scale=1">')
    out.append(f"<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>")
    out += [f'<p class="answer">{html.escape(sentence)}</p>' for sentence in page.answer]
    out += [f'<p class="warning">{html.escape(note)}</p>' for note in page.warnings]
    for index, (title, (head, body), folded) in enumerate(page.sections):
        right = to_right(head, body)

        def cell(tag: str, text: str, i: int, right: list[bool] = right, head: list[str] = head) -> str:
            kind = "r" if right[i] else "n" if head[i] == "notes" else ""
            mark = next(
                (name for name, sign in MARKS.items() if text == name or text.endswith(f" {sign}")), ""
            )
            names = " ".join(filter(None, (kind, classes.get(mark, "") if tag == "td" else "")))
            attribute = f' class="{names}"' if names else ""
            return f"<{tag}{attribute}>{html.escape(text)}</{tag}>"

        heading = html.escape(title)
        out.append(f"<details><summary>{heading}</summary>" if folded else f"<h2>{heading}</h2>")
        out.append('<div class="wide"><table>\n<thead><tr>')
        out.append("".join(cell("th", text, i) for i, text in enumerate(head)) + "</tr></thead>\n<tbody>")
        out += [
            "<tr>" + "".join(cell("td", text, i) for i, text in enumerate(line)) + "</tr>" for line in body
        ]
        out.append("</tbody></table></div>" + ("</details>" if folded else ""))
        for name, plot in page.plots if index == 0 else []:
            out.append(f"<h2>{html.escape(name)}</h2>\n<figure>{plot[plot.index('<svg') :]}</figure>")
    out.append("<h2>What it means</h2>")
    out += [f"<p>{html.escape(sentence)}</p>" for sentence in page.legend]
    if page.guide:
        out.append(f'<p><a href="{html.escape(page.guide)}">How to read a table</a></p>')
    return "\n".join(out) + "\n</html>\n"


def forest(rows: Rows, spec: Mapping[str, Any]) -> tuple[str, bytes]:
    """Forest plot, a panel a benchmark and metric: effect and interval of each arm, a small point for the effect of each
    data seed. Returns (SVG, PNG)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [row for row in rows if row["group"] is None and not row["is_baseline"]]
    panels = list(dict.fromkeys(_pair(row) for row in shown))
    labels = {row["arm"]: label_of(row, rows) for row in shown}
    arms = list(labels)
    baseline = next(label_of(row, rows) for row in rows if row["is_baseline"])
    columns = min(3, max(1, len(panels)))
    lines = math.ceil(max(1, len(panels)) / columns)
    style: Any = {
        "svg.hashsalt": spec["name"],
        "svg.fonttype": "none",
        "font.size": 9,
        "font.family": "DejaVu Sans",
    }
    with matplotlib.rc_context(style):
        plot, axes = pyplot.subplots(
            lines,
            columns,
            figsize=(1.2 + 3.2 * columns, lines * (1.1 + 0.28 * len(arms)) + 0.4),
            squeeze=False,
            sharey=True,
            layout="constrained",
        )
        for axis, panel in zip(axes.flat, panels, strict=False):
            for row in (row for row in shown if _pair(row) == panel):
                if row["effect"] is None or not math.isfinite(row["effect"]):
                    continue
                y, colour = arms.index(row["arm"]), COLOURS[row["verdict"]]
                seeds = [effect for _, effect in row["_effects_by_seed"]] if row["seeds"] > 1 else []
                axis.plot(
                    seeds,
                    [y + 0.22] * len(seeds),
                    "o",
                    markersize=3,
                    color=colour,
                    alpha=0.5,
                    markeredgewidth=0,
                )
                if math.isfinite(row["ci_low"]) and math.isfinite(row["ci_high"]):
                    axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.5,
                              linestyle=":" if row["verdict"] == LITTLE else "-")  # fmt: skip
                axis.plot([row["effect"]], [y], "o", markersize=5, color=colour,
                          markerfacecolor="white" if row["verdict"] == LITTLE else colour)  # fmt: skip
            first = next(row for row in shown if _pair(row) == panel)
            axis.axvline(0, color="black", linewidth=0.8)
            axis.set_title(panel, fontsize=9)
            axis.set_yticks(range(len(arms)), list(labels.values()))
            axis.set_ylim(len(arms) - 0.5, -0.5)
            axis.set_xlabel(
                f"{'log ratio, ' if first['scale'] == 'log ratio' else ''}{'higher' if first['better'] == 'higher' else 'lower'} is better",
                fontsize=8,
            )
            axis.locator_params(axis="x", nbins=5)
            if max(map(abs, axis.get_xlim())) < NOTHING:
                axis.set_xlim(-1, 1)
                axis.set_xticks([0])
            axis.tick_params(labelsize=8)
            axis.spines[["top", "right"]].set_visible(False)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        plot.suptitle(
            f"Effect against {baseline}, with intervals; small points: data seeds; dotted: items only, too little data",
            fontsize=9,
        )
        vector, raster = io.StringIO(), io.BytesIO()
        plot.savefig(vector, format="svg", metadata={"Date": None, "Creator": None})
        plot.savefig(raster, format="png", dpi=150, metadata={"Software": None})
        pyplot.close(plot)
    return vector.getvalue(), raster.getvalue()


def write_page(out: Path, page: Page) -> None:
    """Writes `{out}.md`, `.tex` and `.html`."""
    write_text(Path(f"{out}.md"), markdown(page))
    write_text(Path(f"{out}.tex"), latex(page))
    write_text(Path(f"{out}.html"), html_page(page))


def main(*, guide: Path, out: Path) -> None:
    """Puts the page on how to read a table beside the tables.

    Args:
        guide: docs/reading-tables.md.
        out: the page to write.
    """
    write_text(out, guide.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main)
