"""Render: rows of a comparison -> the page of tables that a reader sees (`winnow.pages.Page`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from winnow.compare import statistics
from winnow.compare.arms import CONSUMED, Arm
from winnow.compare.claims import Detectable, Row
from winnow.compare.sentences import (
    MARKS,
    Rows,
    answer,
    label_of,
    legend,
    missing_of,
    name_of,
    notes_of,
    warnings_of,
)
from winnow.compare.statistics import BETTER, LITTLE, WORSE
from winnow.pages import NOTES, Page, Section, Table, group_name, number, percent, probability
from winnow.stage import run, write_text

STAGE_VERSION = 2
CLASSES = {BETTER: "better", WORSE: "worse", LITTLE: "little"}
CELL_CLASSES = CLASSES | {MARKS[verdict]: name for verdict, name in CLASSES.items()}
"""CSS classes of cells that are a verdict or end with its mark."""
GUIDE = "reading-tables.md"
"""The page beside the tables that explains how to read them (docs/reading-tables.md)."""


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
        CELL_CLASSES,
    )


# -- tables -------------------------------------------------------------------------------------------


def _head_of(row: Row) -> str:
    return f"{name_of(row)} {'↑' if row.higher_is_better else '↓'}"


def figures_table(rows: Rows, group_of: str | None = None) -> Table:
    """Arms as rows, benchmarks as columns; or, for the benchmark and metric `group_of`, its groups as columns. Below them
    the chance level, where there is one, and the number of items."""
    whole = group_of is None
    if whole:
        shown = [row for row in rows if row.group is None]
    else:
        shown = [row for row in rows if row.group is not None and name_of(row) == group_of]
    columns: dict[tuple[str, str, str | None], Row] = {}
    for row in shown:
        columns.setdefault((*row.pair, row.group), row)
    first_of_arm = {row.arm: row for row in reversed(shown)}
    cells = {(row.arm, *row.pair, row.group): row for row in shown}
    body = []
    for name in dict.fromkeys(row.arm for row in shown):
        first = first_of_arm[name]
        amount = first.training_tokens or first.training_examples
        line = [label_of(first, rows) + (" (baseline)" if first.is_baseline else "")]
        if whole:
            line += [
                f"{first.runs}{f' ({len(first.dead)} dead)' if first.dead else ''}",
                "" if amount is None else f"{amount:,.0f}",
                "" if first.epochs is None else f"{first.epochs:.2f}",
            ]
        for column in columns:
            row_ = cells.get((name, *column))
            mark = f" {MARKS[row_.verdict]}" if row_ is not None and row_.verdict else ""
            line.append("" if row_ is None else number(row_.figure) + mark)
        body.append(line)
    empty = ["", "", ""] if whole else []
    if any(row.chance is not None for row in columns.values()):
        body.append(["chance level", *empty, *(number(row.chance) for row in columns.values())])
    body.append(["items", *empty, *(f"{row.items:,}" for row in columns.values())])
    trained = "training examples" if any(row.training_examples for row in shown) else "training tokens"
    names = [_head_of(row) if row.group is None else group_name(row.group) for row in columns.values()]
    return ["arm", *(["runs", trained, "epochs"] if whole else []), *names], body


def runs_table(rows: Rows) -> Table:
    """Every figure of every model: one line per run."""
    shown = [row for row in rows if row.group is None]
    columns = {row.pair: _head_of(row) for row in shown}
    figures: dict[tuple[str, int, int], dict[tuple[str, str], float]] = {}
    for row in shown:
        for (data, training), value in row.figures.items():
            figures.setdefault((row.arm, data, training), {})[row.pair] = value
    arms = {row.arm: row for row in shown}
    place = {name: i for i, name in enumerate(arms)}
    body = []
    for name, data, training in sorted(figures, key=lambda key: (place[key[0]], key[1:])):
        seeds = ["", ""] if arms[name].experiment is None else [str(data), str(training)]
        of_run = figures[name, data, training]
        body.append([label_of(arms[name], rows), *seeds, *(number(of_run.get(pair)) for pair in columns)])
    return ["arm", "data seed", "training seed", *columns.values()], body


def detectable(row: Row) -> str:
    """The minimum detectable effect of a row; in brackets that at the strictest level of its family."""

    def text(one: Detectable | None) -> str:
        return "" if one is None else number(one.effect) if one.possible else "none possible"

    alone, in_family = text(row.detectable), text(row.detectable_family)
    return f"{alone} ({in_family})" if in_family else alone


def effects_table(rows: Rows, every: Rows | None = None, level: float = 0.05) -> Table:
    """The tests of `rows`, those of groups with the group and its number of items; `every`: all rows of the table."""
    groups = any(row.group is not None for row in rows)
    head = ["benchmark", "metric", *(["group", "items"] if groups else []), "arm", "effect", "difference %", "interval", "p", "p adjusted", "minimum detectable effect", "verdict", NOTES]  # fmt: skip
    body = []
    for row in rows:
        if row.is_baseline or row.verdict is None:
            continue
        interval = ""
        if row.comparison is not None and row.ci_low != row.ci_high:
            interval = f"[{number(row.ci_low, True)}, {number(row.ci_high, True)}]"
            if row.comparison.unit == statistics.ITEMS and row.verdict == LITTLE:
                interval += " items only"
        effect = number(row.effect, True) + (" (log)" if row.is_log else "")
        notes = "; ".join([*["dead model"] * bool(row.dead), *notes_of(row)])
        of_group = [group_name(row.group or ""), f"{row.items:,}"] if groups else []
        body.append(
            [row.benchmark, row.metric, *of_group, label_of(row, every or rows), effect, percent(row.percent_difference), interval,
             probability(row.p, level), probability(row.p_adjusted, level), detectable(row), row.verdict, notes]
        )  # fmt: skip
    return head, body


def seeds_table(rows: Rows) -> Table | None:
    """Spread by seed of each arm's figures; its sources where data and training seeds are crossed."""
    shown = [row for row in rows if row.group is None and row.sd_seeds is not None]
    if not shown:
        return None
    crossed = any(row.sd_by is not None for row in shown)
    head = ["benchmark", "metric", "arm", "data seeds", "runs", "SD over data seeds"]
    head += ["SD, data seed", "SD, training seed", "SD, residual"] if crossed else []
    body = []
    for row in shown:
        metric = row.metric + (" (log)" if row.is_log else "")
        line = [row.benchmark, metric, label_of(row, rows), str(row.seeds), str(row.runs), number(row.sd_seeds)]  # fmt: skip
        if crossed:
            line += [number((row.sd_by or {}).get(source)) for source in ("data", "training", "residual")]
        body.append(line)
    return head, body


def sections(rows: Rows, level: float = 0.05) -> list[Section]:
    whole = [row for row in rows if row.group is None]
    of_groups = [row for row in rows if row.group is not None]
    tables = [
        Section("Figures", figures_table(rows)),
        Section("Tests", effects_table(whole, rows, level)),
        Section("Figures by seed", runs_table(rows), folded=True),
    ]
    seeds = seeds_table(rows)
    if seeds is not None:
        tables.append(Section("Spread by seed", seeds, folded=True))
    for name in dict.fromkeys(name_of(row) for row in of_groups):
        tables.append(Section(f"Figures by group: {name}", figures_table(rows, name), folded=True))
    if any(not row.is_baseline for row in of_groups):
        tables.append(Section("Tests by group", effects_table(of_groups, rows, level), folded=True))
    return tables


def contamination_table(arms: Mapping[str, Arm]) -> Table:
    """Share of the items of each benchmark that occur in an arm's training documents, mean over its subsets."""
    names = sorted({name for arm in arms.values() for name in arm.contamination})
    body = []
    for arm in arms.values():
        line = [arm.name]
        for name in names:
            counts = arm.contamination.get(name, [])
            hits = sum(c["found"] for c in counts) / len(counts) if counts else 0
            checked = counts[0]["checked"] if counts else 0
            line.append(f"{100 * hits / checked:.2f} % of {checked:,}" if checked else "")
        body.append(line)
    return ["arm", *names], body


def consumed_table(arms: Mapping[str, Arm]) -> Table:
    """The pool that each arm drew from, and documents, labels and tokens that selection and training consumed, means over
    subsets and runs; "unknown" where no file has them."""

    def cell(amount: float | None) -> str:
        return "unknown" if amount is None else f"{amount:,.0f}"

    head = ["arm", "documents, pool", *(f"{what}, selection" for what in CONSUMED), *(f"{what}, training" for what in CONSUMED), "labels, total"]  # fmt: skip
    body = []
    for arm in arms.values():
        if arm.is_pretrained:
            continue
        labels, of_selection = arm.train_labels, arm.selection("labels")
        tokens = arm.amount if arm.tokens else None
        total = None if labels is None or of_selection is None else labels + of_selection
        body.append(
            [arm.name, cell(arm.pool), *(cell(arm.selection(what)) for what in CONSUMED),
             cell(arm.train_documents), cell(labels), "" if arm.examples else cell(tokens), cell(total)]
        )  # fmt: skip
    return head, body


def main(*, guide: Path, out: Path) -> None:
    """Puts the page on how to read a table beside the tables.

    Args:
        guide: docs/reading-tables.md.
        out: the page to write.
    """
    write_text(out, guide.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main)
