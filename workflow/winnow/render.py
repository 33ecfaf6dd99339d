"""Render: rows of a comparison -> Markdown, LaTeX, HTML, and the forest plot. Bytes repeat for equal rows."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from winnow.stage import write_text
from winnow.statistics import BETTER, FEWEST_ITEMS, FEWEST_SEEDS, LITTLE, SAME, WORSE

Row = Mapping[str, Any]
Rows = Sequence[Row]
MARKS = {BETTER: "▲", WORSE: "▼", SAME: "=", LITTLE: "?"}
LATEX_MARKS = {
    BETTER: r"$\blacktriangle$", WORSE: r"$\blacktriangledown$", SAME: "$=$", LITTLE: "?"
}  # fmt: skip
COLOURS = {BETTER: "#1b7837", WORSE: "#b2182b", SAME: "#4d4d4d", LITTLE: "#999999"}
ALL = "all"
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


def probability(value: float | None) -> str:
    """Three decimals, rounded down: what is printed as 0.050 is not below it."""
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{min(1.0, math.floor(value * 1000 + 1e-9) / 1000):.3f}"


def label_of(row: Row, rows: Rows) -> str:
    """The sampler, or experiment/sampler where the table has several experiments."""
    return row["sampler"] if len({r["experiment"] for r in rows if r["experiment"]}) <= 1 else row["arm"]


def warnings_of(rows: Rows) -> list[str]:
    """What a reader must know first: unequal training, missing seeds, figures that are not finite."""
    found: dict[str, None] = {}
    for row in rows:
        for note in row["notes"]:
            if note.startswith(("TRAINING", "training tokens unknown")):
                found[f"{row['arm']}: {note}"] = None
            elif note == "a figure is not finite":
                found[f"{row['arm']}: {note} on {row['benchmark']} ({row['metric']})"] = None
            elif note.startswith(("the same subset and training", "DEAD MODEL")):
                found[f"{row['arm']}: {note}"] = None
    few = sorted({r["arm"] for r in rows if any(n.endswith("data seeds") for n in r["notes"])})
    if few:
        found[
            f"too little data for a verdict on {', '.join(few)}: at least {FEWEST_SEEDS} data seeds an arm are "
            "needed; intervals marked 'items only' leave out the noise of seeds"
        ] = None
    return list(found)


def legend(rows: Rows, spec: Mapping[str, Any]) -> list[str]:
    """What the table means, in sentences."""
    settings = spec["table"]
    confidence = settings.get("confidence", 0.95)
    tests = sum(row["p"] is not None for row in rows)
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
    family = (
        f"p is adjusted over all {tests} tests of the table (Holm). Smallest gap: the true effect found with "
        "about 80 % power by one such test alone; in brackets, at the strictest level of the family."
        if tests
        else "No test was made."
    )
    return [
        f"All arms against {baseline}. Effect: arm minus baseline, of perplexity the log of the ratio. {unit}",
        f"Intervals: {100 * confidence:g}%, each for itself; verdicts are those of the adjusted p. {family}",
        f"{MARKS[BETTER]} better, {MARKS[WORSE]} worse, {MARKS[SAME]} not distinguishable, "
        f"{MARKS[LITTLE]} too little data. ↑ higher is better, ↓ lower is better. "
        "Perplexities are geometric means over runs, their spread is that of the logarithm. "
        "All of these figures were measured by this workflow.",
    ]


Table = tuple[list[str], list[list[str]]]
"""Head and lines of cells."""


@dataclass(frozen=True)
class Page:
    """What all formats show: a title, what a reader must know first, sentences, tables, and plots (SVG) behind the
    first table."""

    title: str
    warnings: list[str]
    legend: list[str]
    sections: list[tuple[str, Table]]
    plots: list[tuple[str, str]] = field(default_factory=list)


def page_of(
    rows: Rows,
    spec: Mapping[str, Any],
    more: Sequence[tuple[str, Table]] = (),
    plots: Sequence[tuple[str, str]] = (),
) -> Page:
    """The page of a table of measured rows, with `more` sections behind its own."""
    title = spec["table"]["title"]
    return Page(title, warnings_of(rows), legend(rows, spec), [*sections(rows), *more], list(plots))


def figures_table(rows: Rows, group_of: str | None = None) -> Table:
    """Arms as rows, benchmarks as columns; or, for the benchmark `group_of`, its groups as columns."""
    if group_of is None:
        shown = [row for row in rows if row["group"] == ALL]
    else:
        shown = [row for row in rows if row["group"] != ALL and _pair(row) == group_of]
    arrows = {"higher": "↑", "lower": "↓"}
    columns: dict[tuple[str, str, str], str] = {}
    for row in shown:
        head = (
            f"{row['benchmark']} {row['metric']} {arrows[row['better']]}"
            if group_of is None
            else row["group"]
        )
        columns[row["benchmark"], row["metric"], row["group"]] = head
    arms = {row["arm"]: row for row in reversed(shown)}
    order = list(dict.fromkeys(row["arm"] for row in shown))
    cells = {(row["arm"], row["benchmark"], row["metric"], row["group"]): row for row in shown}
    body = []
    for name in order:
        first = arms[name]
        amount = first["training_tokens"] or first["training_examples"]
        line = [label_of(first, rows) + (" (baseline)" if first["is_baseline"] else "")]
        if group_of is None:
            epochs = "" if first["epochs"] is None else f"{first['epochs']:.2f}"
            dead = sum(note.startswith("DEAD MODEL") for note in first["notes"])
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
    trained = "training examples" if any(row["training_examples"] for row in shown) else "training tokens"
    head = ["arm", *(["runs", trained, "epochs"] if group_of is None else []), *columns.values()]
    return head, body


def _pair(row: Row) -> str:
    return f"{row['benchmark']} {row['metric']}"


def tests_table(rows: Rows) -> Table:
    head = ["benchmark", "metric", "group", "arm", "effect", "difference %", "interval", "p", "p adjusted", "smallest gap", "verdict", "notes"]  # fmt: skip
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
        gap = "" if row["smallest_gap"] is None else number(row["smallest_gap"])
        if row["smallest_gap_family"] is not None:
            gap += f" ({number(row['smallest_gap_family'])})"
        effect = number(row["effect"], True) + (" (log)" if row["scale"] == "log ratio" else "")
        dead = any(note.startswith("DEAD MODEL") for note in row["notes"])
        notes = "; ".join(
            ["dead model"] * dead + [note for note in row["notes"] if not note.startswith("DEAD MODEL")]
        )
        body.append(
            [row["benchmark"], row["metric"], row["group"], label_of(row, rows), effect, percent(row["percent_difference"]), interval,
             probability(row["p"]), probability(row["p_adjusted"]), gap, row["verdict"], notes]
        )  # fmt: skip
    return head, body


def seeds_table(rows: Rows) -> Table | None:
    """Spread by seed of each arm's figures; the parts where data and training seeds are crossed."""
    shown = [row for row in rows if row["group"] == ALL and row["sd_seeds"] is not None]
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


def sections(rows: Rows) -> list[tuple[str, Table]]:
    found = [("Figures", figures_table(rows))]
    for pair in dict.fromkeys(_pair(row) for row in rows if row["group"] != ALL):
        found.append((f"Figures by group: {pair}", figures_table(rows, pair)))
    whole = [row for row in rows if row["group"] == ALL]
    found.append(("Tests", tests_table(whole)))
    parts = [row for row in rows if row["group"] != ALL]
    if parts:
        found.append(("Tests by group", tests_table(parts)))
    seeds = seeds_table(rows)
    if seeds is not None:
        found.append(("Spread by seed", seeds))
    return found


def _numeric(text: str) -> bool:
    return bool(text) and (text[0].isdigit() or text[0] in "+−-<[")


def to_right(head: list[str], body: list[list[str]]) -> list[bool]:
    """Which columns hold numbers."""
    return [name != "notes" and any(_numeric(line[i]) for line in body) for i, name in enumerate(head)]


def markdown(page: Page) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    out = [f"# {page.title}", ""]
    out += [f"> **{note}**" + "\n>" for note in page.warnings]
    out += ["", *page.legend] if len(out) > 2 else page.legend
    for title, (head, body) in page.sections:
        right = to_right(head, body)
        out += ["", f"## {title}", "", line(head), line(["---:" if r else "---" for r in right])]
        out += [line(cells) for cells in body]
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
    notes = " ".join([*page.warnings, *page.legend]).translate(_LATEX)
    for index, (title, (head, body)) in enumerate(page.sections):
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
p.warning{border-left:4px solid #b2182b;background:#fdf0ed;padding:.5rem .8rem;font-weight:600}
.better{color:#1b7837}.worse{color:#b2182b}.little{color:#777}
svg{max-width:100%;height:auto}
"""


def html_page(page: Page) -> str:
    """One self-contained HTML page: no script, no link, the plots inside."""
    classes = {BETTER: "better", WORSE: "worse", LITTLE: "little"}
    title = html.escape(page.title)
    out = ['<!doctype html>\n<html lang="en">\n<meta charset="utf-8">']
    out.append('<meta name="viewport" content="width=device-width,initial-scale=1">')
    out.append(f"<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>")
    out += [f'<p class="warning">{html.escape(note)}</p>' for note in page.warnings]
    out += [f"<p>{html.escape(sentence)}</p>" for sentence in page.legend]
    for index, (title, (head, body)) in enumerate(page.sections):
        right = to_right(head, body)

        def cell(tag: str, text: str, i: int, right: list[bool] = right, head: list[str] = head) -> str:
            kind = "r" if right[i] else "n" if head[i] == "notes" else ""
            mark = next(
                (name for name, sign in MARKS.items() if text == name or text.endswith(f" {sign}")), ""
            )
            names = " ".join(filter(None, (kind, classes.get(mark, "") if tag == "td" else "")))
            attribute = f' class="{names}"' if names else ""
            return f"<{tag}{attribute}>{html.escape(text)}</{tag}>"

        out.append(f'<h2>{html.escape(title)}</h2>\n<div class="wide"><table>\n<thead><tr>')
        out.append("".join(cell("th", text, i) for i, text in enumerate(head)) + "</tr></thead>\n<tbody>")
        out += [
            "<tr>" + "".join(cell("td", text, i) for i, text in enumerate(line)) + "</tr>" for line in body
        ]
        out.append("</tbody></table></div>")
        for name, plot in page.plots if index == 0 else []:
            out.append(f"<h2>{html.escape(name)}</h2>\n<figure>{plot[plot.index('<svg') :]}</figure>")
    return "\n".join(out) + "\n</html>\n"


def forest(rows: Rows, spec: Mapping[str, Any]) -> tuple[str, bytes]:
    """Forest plot, a panel a benchmark and metric: effect and interval of each arm. Returns (SVG, PNG)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [row for row in rows if row["group"] == ALL and not row["is_baseline"]]
    panels = list(dict.fromkeys(_pair(row) for row in shown))
    arms = list(dict.fromkeys(label_of(row, rows) for row in shown))
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
                y, colour = arms.index(label_of(row, rows)), COLOURS[row["verdict"]]
                if math.isfinite(row["ci_low"]) and math.isfinite(row["ci_high"]):
                    axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.5,
                              linestyle=":" if row["verdict"] == LITTLE else "-")  # fmt: skip
                axis.plot([row["effect"]], [y], "o", markersize=5, color=colour,
                          markerfacecolor="white" if row["verdict"] == LITTLE else colour)  # fmt: skip
            first = next(row for row in shown if _pair(row) == panel)
            axis.axvline(0, color="black", linewidth=0.8)
            axis.set_title(panel, fontsize=9)
            axis.set_yticks(range(len(arms)), arms)
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
        plot.suptitle(f"Effect against {baseline}; dotted: items only, too little data", fontsize=9)
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
