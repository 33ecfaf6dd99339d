"""Completions of held-out openings, run from generated stories to a table that compares arms by them."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from winnow.completion_metrics import COMPLETION_METRICS

pytestmark = pytest.mark.slow

RUN = """
corpora: {tinystories-mini: {source: {documents: 400}, heldout: {documents: 60}}}
budgets: {few: {train: 100}, more: {train: 200}}
recipes: {nano: {steps: 8}}
benchmarks:
  openings:
    heldout: completion
    items: 30
    completion: {words: 12, tokens: 24, samples: 1}
    metrics: [greedy_repetition, sampled_distinct_2, METRIC]
suites: {written: [openings]}
experiments:
  - {name: few, corpus: tinystories-mini, samplers: [random], budget: few, model: neox-nano, data_seeds: [0, 1, 2], suites: [written]}
  - {name: more, corpus: tinystories-mini, samplers: [random], budget: more, model: neox-nano, data_seeds: [0, 1, 2], suites: [written]}
tables: {stories: {title: Stories, experiments: [few, more], baseline: few/random}}
targets: [stories]
"""


def test_a_table_of_completions(root: Path, tmp_path: Path) -> None:
    snakemake = str(Path(sys.executable).parent / "snakemake")
    command = [snakemake, "--snakefile", str(root / "Snakefile"), "--profile", str(root / "profiles/local"),
               "--cores", "2", "--configfile", "run.yaml"]  # fmt: skip

    def run(metric: str, *more: str) -> str:
        (tmp_path / "run.yaml").write_text(RUN.replace("METRIC", metric))
        done = subprocess.run([*command, *more], cwd=tmp_path, env=os.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run("greedy_chrf")
    evaluations = sorted((tmp_path / "results").rglob("items.parquet"))
    assert len(evaluations) == 6
    rows = pq.read_table(evaluations[0]).to_pylist()
    assert {row["metric"] for row in rows} == set(COMPLETION_METRICS)
    assert len({row["item"] for row in rows}) == 30
    with open(tmp_path / "results" / "tables" / "stories.csv", newline="") as file:
        table = list(csv.DictReader(file))
    shown = {(row["metric"], row["better"]) for row in table}
    assert shown == {
        ("greedy_repetition", "lower"),
        ("sampled_distinct_2", "higher"),
        ("greedy_chrf", "higher"),
    }
    assert all(row["p_adjusted"] for row in table if row["arm"] != "few/random")
    assert "Nothing to be done" in run("greedy_chrf", "-n")
    # Another metric of the same items is a matter of the table alone.
    jobs = run("greedy_ends_sentence", "-n", "--quiet", "host")
    assert "compare_arms" in jobs
    assert "evaluate_model" not in jobs
    assert "build_heldout_benchmark" not in jobs
