"""A person's corpus of three classes with names, some of its rows without text: rounds of probes and of fine-tuned models, to
the report on when another round was not worth it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

WORDS = {"anger": "furious rage hate", "joy": "happy delight smile", "sad": "tears grief loss"}
RUN = {
    "corpora": {"moods": {"source": {"files": ["moods.jsonl"]}, "text": "text", "label": "mood"}},
    "models": {"tuned": {"kind": "classifier", "encoder": "minilm", "max_tokens": 16, "recipe": "short", "rounds": "continue"}},
    "recipes": {"short": {"steps": 3, "batch": 8, "learning_rate": 1e-4}},
    "budgets": {"labels": {"train": 12, "rounds": {"count": 1, "add": 8}}},
    "benchmarks": {"moods": {"labelled": {"files": ["test.jsonl"], "text": "text", "label": "mood"}}},
    "suites": {"moods": ["moods"]},
    "experiments": [
        {"name": name, "corpus": "moods", "clustering": None, "model": model, "budget": "labels",
         "samplers": ["random", "margin"], "data_seeds": seeds, "suites": ["moods"]}
        for name, model, seeds in (("probes", "minilm-probe", [0, 1, 2]), ("tuned", "tuned", [0]))
    ],
    "tables": {name: {"title": name, "experiments": [name], "baseline": "random"} for name in ("probes", "tuned")},
    "targets": ["probes", "tuned"],
}  # fmt: skip


def write(path: Path, rows: int) -> None:
    with open(path, "w") as out:
        for i in range(rows):
            mood = ("sad", "joy", "anger")[i % 3]
            text = ["", "  ", None][i % 3] if i % 20 == 19 else f"{WORDS[mood]} in house {i}"
            out.write(json.dumps({"text": text, "mood": mood}) + "\n")


def test_three_named_classes_go_through_rounds_of_both_kinds_of_classifier(
    root: Path, tmp_path: Path
) -> None:
    for name in ("Snakefile", "config", "workflow", "profiles", "envs", "docs"):
        (tmp_path / name).symlink_to(root / name)
    write(tmp_path / "moods.jsonl", 160)
    write(tmp_path / "test.jsonl", 60)
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    snakemake = str(Path(sys.executable).parent / "snakemake")
    command = [snakemake, "--profile", "profiles/local", "--cores", "2", "--configfile", "run.json"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = tmp_path / "results"
    assert json.loads((results / "moods/source.json").read_text())["labels"]["names"] == [
        "anger",
        "joy",
        "sad",
    ]
    assert (
        len(pq.read_table(results / "moods/documents/0000.parquet")) == 160 - 8
    )  # rows without text are no documents
    for table in ("probes", "tuned"):
        page = (results / f"tables/{table}.curves.md").read_text()
        assert "labels at which labelling could have stopped" in page
        assert f"| {table}/margin | 20 |" in page
    probes = json.loads(
        (
            results / "moods/probes/none/margin.minilm-probe/labels.round1/minilm-probe/moods/results.json"
        ).read_text()
    )
    assert [len(run["classes"]) for run in probes["runs"]] == [3] * 6
    assert all(sum(run["classes"]) == run["labels"] for run in probes["runs"])
    models = results / "moods/models/none"
    predicted = pq.read_table(
        next(models.glob("random/labels.round0/seed0/tuned/seed0/predictions/*.parquet"))
    )
    assert len(predicted) == 160 - 8 - 12
    assert {len(p) for p in predicted["probabilities"].to_pylist()} == {3}
    manifest = json.loads((models / "margin.tuned/labels.round1/seed0/tuned/seed0/manifest.json").read_text())
    assert manifest["continues"]["ids"]["sampler"] == "random"
    assert manifest["training_examples"] == 2 * 3 * 8
