"""Table: evaluations of the arms of a table -> figures, tests, tables, a plot, and the claim ledger.

In: results.json and items.parquet of each evaluation (one row per item and metric), and the manifests of the subsets and
models they came from. Out, at a common prefix: `.csv` (everything, full precision), `.md`, `.tex` (booktabs), `.html`
(self-contained), `.svg` and `.png` (forest plot of the effects), `.claims.csv` and `.claims.json` (one row per claim: its
verdict and the files each number came from; in a table of the study, its published claims too).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from winnow.compare import claims, plots, render
from winnow.compare import published as study
from winnow.compare.arms import CONSUMED, collect
from winnow.compare.claims import Row
from winnow.compare.ledger import claims_of, dead_runs, write_claims
from winnow.compare.sentences import equal_training, notes_of, warnings_of
from winnow.csv_files import write_rows
from winnow.pages import Section, write_page
from winnow.schema import read_spec
from winnow.stage import atomic_path, run, say, write_text

STAGE_VERSION = 10
IDS = ("corpus", "clustering", "budget", "model")
VARIANCES = ("var_seed", "var_item", "var_residual")
COLUMNS = (
    "table", "arm", "experiment", "corpus", "clustering", "sampler", "budget", "model", "benchmark", "metric",
    "better", "scope", "group", "figure", "chance", "chance_kind", "seeds", "different_seeds", "training_seeds", "runs", "items",
    "training_tokens", "training_examples", "amount_ratio", "epochs", "pool_documents", "train_documents", "train_labels",
    *(f"selection_{what}" for what in CONSUMED), "sd_seeds", "sd_data", "sd_training", "sd_residual", *VARIANCES,
    "figures_by_run", "is_baseline", "baseline", "scale", "percent_difference", "effect", "standard_error", "ci_low",
    "ci_high", "interval", "test", "lacking", "p", "family", "p_adjusted", "minimum_detectable_effect", "detectable",
    "minimum_detectable_effect_family", "detectable_family", "verdict", "same_models", "dead", "notes",
)  # fmt: skip


def csv_row(row: Row) -> dict[str, Any]:
    """A row by COLUMNS."""
    cells: dict[str, Any] = {name: getattr(row, name, None) for name in COLUMNS}
    cells |= {name: row.ids.get(name) for name in IDS}
    cells |= {f"selection_{what}": row.selection[what] for what in CONSUMED}
    cells |= {f"sd_{source}": (row.sd_by or {}).get(source) for source in ("data", "training", "residual")}
    cells |= {name: (row.variances or {}).get(name) for name in VARIANCES}
    if row.comparison is not None:
        cells |= {"standard_error": row.comparison.standard_error, "interval": row.comparison.unit, "test": row.comparison.test}  # fmt: skip
    for ending, detectable in (("", row.detectable), ("_family", row.detectable_family)):
        cells[f"minimum_detectable_effect{ending}"] = detectable.effect if detectable else None
        cells[f"detectable{ending}"] = detectable.possible if detectable else None
    return cells | {
        "better": "higher" if row.higher_is_better else "lower",
        "figures_by_run": [
            f"{data}/{training}: {value!r}" for (data, training), value in row.figures.items()
        ],
        "same_models": dict(row.same_models),
        "dead": dead_runs(row),
        "notes": notes_of(row),
    }


def main(
    *,
    evaluations: list[Path],
    items: list[Path],
    subsets: list[Path] = [],
    models: list[Path] = [],
    ngrams: list[Path] = [],
    contamination: list[Path] = [],
    published: list[Path] = [],
    spec: str,
    out: Path,
) -> None:
    """Compares the arms of one table.

    Args:
        evaluations: results.json files.
        items: items.parquet of each evaluation, in the same order.
        subsets: manifest.json files of the subsets.
        models: manifest.json files of the models (training tokens).
        ngrams: n-gram baselines of the subsets (winnow.evaluate.ngrams): which models are dead.
        contamination: benchmark items found in the subsets (winnow.evaluate.contamination).
        published: CSV of published figures and CSV of printed comparisons, for a table that names any.
        spec: JSON with the keys `name`, `table`, `arms` (experiment/sampler -> ids, and which `data_seeds` and
            `tokenizer` are the arm's), `suites`, `metrics` (which a benchmark shows, by benchmark; all of those that are
            not named), `tasks` (lm-eval's task by benchmark), `missing` (of a partial table the runs that are not
            there, each a text; null for a whole table).
        out: prefix of the files to write: .csv, .md, .tex, .html, .svg, .png, .claims.csv, .claims.json.
    """
    settings: Mapping[str, Any] = read_spec(
        spec, "name", "table", "arms", "suites", "metrics", "tasks", "missing"
    )
    name = settings["name"]
    arms = collect(evaluations, items, subsets, models, settings, ngrams, contamination)
    rows = claims.compare(arms, settings)
    tests = sum(row.p is not None for row in rows)
    say(f"[compare {name}] {len(arms)} arms, {len(rows)} rows, {tests} tests")
    for warning in warnings_of(rows):
        say(f"[compare {name}] {warning}")
    ledger = claims_of(rows)
    more = [Section("Pool, and documents, labels and tokens consumed", render.consumed_table(arms))]
    if any(arm.contamination for arm in arms.values()):
        contaminated = render.contamination_table(arms)
        more.append(Section("Benchmark items found in the training documents", contaminated))
    pairs = settings["table"].get("published")
    if pairs:
        figures = study.Published(*published)
        measured = study.measured_of([*rows, *claims.beside(arms, settings)], settings["tasks"])
        compared = study.compare_published(figures, name, pairs, measured)
        more += study.sections(figures, pairs, compared)
        ledger += study.claims_of(compared)
    vector, raster = plots.forest(rows, name)
    write_text(Path(f"{out}.svg"), vector)
    with atomic_path(Path(f"{out}.png")) as partial:
        partial.write_bytes(raster)
    page = render.page_of(rows, settings, more, [("Effects", vector)])
    sentence, unequal = equal_training(arms)
    (page.answer if unequal else page.legend).append(sentence)
    if pairs:
        page.legend.append(study.LEGEND)
    write_page(out, page)
    write_claims(out, ledger)
    write_rows(Path(f"{out}.csv"), map(csv_row, rows), COLUMNS)


if __name__ == "__main__":
    run(main)
