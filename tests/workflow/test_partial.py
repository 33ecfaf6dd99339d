"""A run with failed jobs: the tables of the arms that are there, and what the last line says of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Snakemake, copy_workflow
from winnow.compare.arms import arms_of
from winnow.evaluate.harness import ITEMS
from winnow.experiments import NO_CLUSTERS
from winnow.stage import write_json

RUN = {
    "results": "results",
    "corpora": {"notes": {"source": {"files": ["notes.jsonl"]}, "text": "text", "heldout": {"documents": 20}}},
    "samplers": {"other": {"allocation": {"weight": "none"}, "ranking": {"purpose": "proxy-train"}}},
    "budgets": {"few": {"train": 50}},
    "benchmarks": {"pairs": {"grammar": "minimal-pairs", "items": 60}},
    "suites": {"pairs": ["pairs"]},
    "experiments": [
        {"name": "notes", "corpus": "notes", "clustering": None, "samplers": ["random", "other"], "budget": "few",
         "model": "neox-nano", "data_seeds": [0, 1, 2], "suites": ["pairs"]}
    ],
    "tables": {"notes": {"title": "Notes", "experiments": ["notes"], "baseline": "random"}},
    "targets": ["notes"],
}  # fmt: skip
LINE = ("--profile", "profiles/local", "--configfile", "run.json", "--cores", "1")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    copy_workflow(tmp_path)
    (tmp_path / "notes.jsonl").write_text("".join(f'{{"text": "note {i} of many"}}\n' for i in range(200)))
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    return tmp_path


def evaluate(folder: Path, sampler: str, seed: int) -> None:
    """A model and its evaluation, as the stages leave them."""
    subset = folder / f"results/notes/subsets/none/{sampler}/few/seed{seed}"
    model = folder / f"results/notes/models/none/{sampler}/few/seed{seed}/neox-nano/seed{seed}"
    below = {
        "corpus": "notes",
        "clustering": NO_CLUSTERS,
        "sampler": sampler,
        "budget": "few",
        "data_seed": seed,
    }
    ids = {**below, "model": "neox-nano", "training_seed": seed}
    counts = {"splits": {"train": {"documents": 50, "bytes": 600}}}
    write_json(subset / "manifest.json", {"ids": below, "counts": counts, "sha256": {"train.parquet": f"{sampler}{seed}"}})  # fmt: skip
    write_json(model / "manifest.json", {"ids": ids, "training_tokens": 81920, "epochs": 1.0})
    generator = np.random.default_rng(seed)
    right = generator.integers(0, 2, 60)
    rows = [
        {"benchmark": "pairs", "task": "pairs", "item": i, "group": None, "metric": "acc", "value": float(right[i]),
         "weight": 1.0, "label": 0, "prediction": int(1 - right[i]), "scores": [-1.0, -2.0]}
        for i in range(60)
    ]  # fmt: skip
    out = model / "evaluation" / "pairs"
    out.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=ITEMS), out / "items.parquet")
    write_json(out / "results.json", {"ids": {**ids, "suite": "pairs"}, "tasks": {}})


def test_the_stand_ins_are_of_the_arms_that_the_rules_ask_for() -> None:
    ids = {"corpus": "notes", "clustering": NO_CLUSTERS, "sampler": "random", "budget": "few", "model": "neox-nano"}  # fmt: skip
    assert arms_of({"notes/random": ids})["notes/random"].has({**ids, "data_seed": 0, "training_seed": 0})


@pytest.mark.slow
def test_what_is_there_becomes_a_table_that_names_what_is_missing(run: Path, snakemake: Snakemake) -> None:
    for seed in range(3):
        evaluate(run, "random", seed)
    for seed in range(2):
        evaluate(run, "other", seed)
    done = snakemake("partial_tables", *LINE, cwd=run)
    assert done.code == 0, done.text
    assert set(done.jobs()) == {"compare_partial_arms", "copy_guide", "partial_tables"}
    table = (run / "results/tables/partial/notes.md").read_text()
    missing = (
        "PARTIAL TABLE: without 1 run that has no evaluation yet: notes/other (data seed 2, training seed 2)"
    )
    assert missing in table.split("## Figures")[0]
    assert "| other | 2 |" in table
    assert "](../reading-tables.md)" in table
    assert (run / "results/tables/reading-tables.md").exists()
    assert not list((run / "results/tables").glob("notes.*"))  # the whole table is not shadowed


def test_an_arm_without_any_run_is_left_out_and_a_table_without_its_baseline_is_named(
    run: Path, snakemake: Snakemake
) -> None:
    evaluate(run, "other", 0)
    done = snakemake("partial_tables", *LINE, cwd=run)
    assert done.code == 0, done.text
    assert "partial_tables: no table notes: no run of its baseline is evaluated under" in done.text
    evaluate(run, "random", 0)
    for path in (run / "results/notes/models/none/other").rglob("items.parquet"):
        path.unlink()  # results.json without its items is no evaluation
    assert snakemake("partial_tables", *LINE, cwd=run).code == 0
    table = (run / "results/tables/partial/notes.md").read_text()
    assert "notes/other (data seed 0, training seed 0); notes/other (data seed 1" in table
    assert "| other |" not in table


def test_a_table_of_which_nothing_is_missing_is_made_whole(run: Path, snakemake: Snakemake) -> None:
    for seed in range(3):
        evaluate(run, "random", seed)
        evaluate(run, "other", seed)
    done = snakemake("partial_tables", "--dry-run", *LINE, cwd=run)
    assert "compare_arms" in done.jobs()
    assert "compare_partial_arms" not in done.jobs()


def test_a_failed_run_ends_by_naming_the_target(run: Path, snakemake: Snakemake) -> None:
    with open(run / "notes.jsonl", "a") as file:  # far behind what is looked at before the first job
        file.write('{"text": "words of a note"}\n' * 60_000 + "no json\n")
    done = snakemake("results/notes/documents/0000.parquet", *LINE, cwd=run)
    assert done.code != 0
    (line,) = [line for line in done.text.splitlines() if "partial_tables" in line]
    assert line.startswith("Some jobs failed.")
