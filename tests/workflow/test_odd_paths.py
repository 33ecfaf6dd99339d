"""A run in a folder with a blank, brackets, an umlaut and quotes in its name, from such files to such results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import Snakemake, copy_workflow

ODD = "o dd [x] ü 'q\" $5 & (a)"
RESULTS = f"out {ODD}/deep"
RUN = {
    "results": f"./out ${{NOWHERE:-{ODD}}}//deep/",
    "corpora": {
        "notes": {"source": {"files": [f"data {ODD}/notes-*.jsonl"]}, "text": "text", "label": "label", "shards": 2,
                  "heldout": {"documents": 20}}
    },
    "clusterings": {"k3": {"encoder": "minilm", "k": 3}},
    "budgets": {"few": {"train": 50}},
    "benchmarks": {
        "theirs": {"labelled": {"files": [f"data {ODD}/test.csv"], "text": "text", "label": "label"}},
        "arc": {"task": "arc_easy", "data": {"files": {"test": f"data {ODD}/arc.jsonl"}}},
    },
    "suites": {"words": ["heldout-bpb", "arc"], "labels-too": ["theirs"]},
    "experiments": [
        {"name": "words", "corpus": "notes", "clustering": "k3", "samplers": ["random", "uniform"], "budget": "few",
         "model": "neox-nano", "data_seeds": [0], "suites": ["words"]},
        {"name": "kinds", "corpus": "notes", "clustering": None, "samplers": ["random"], "budget": "few",
         "model": "minilm-classifier", "data_seeds": [0], "suites": ["labels-too"]},
    ],
    "tables": {"words": {"title": "Words", "experiments": ["words"], "baseline": "random"}},
    "targets": ["words"],
}  # fmt: skip


def prepare(folder: Path) -> Path:
    root = copy_workflow(folder / ODD)
    data = root / f"data {ODD}"
    data.mkdir()
    for part in "ab":
        rows = [
            {"text": f"Note {part} {i} of many, on {i * i} things", "label": f"kind {i % 2}"}
            for i in range(90)
        ]
        (data / f"notes-{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / "test.csv").write_text("text,label\nA note,kind 0\nNo note,kind 1\n")
    choices = {"text": list("abcd"), "label": list("ABCD")}
    items = [
        {"id": str(i), "question": f"What is {i}?", "choices": choices, "answerKey": "A"} for i in range(4)
    ]
    (data / "arc.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (root / "run.yaml").write_text(yaml.safe_dump(RUN, allow_unicode=True))
    return root


def files(root: Path) -> set[str]:
    found = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    return {str(path) for path in found if not {".snakemake", "__pycache__"} & set(path.parts)}


def test_every_job_of_a_run_in_an_odd_folder_is_planned(tmp_path: Path, snakemake: Snakemake) -> None:
    done = snakemake(
        "all", "models", "--dry-run", "--quiet", "rules", "--configfile", "run.yaml", cwd=prepare(tmp_path)
    )
    jobs = done.jobs()
    assert jobs["evaluate_model"] == 2
    assert jobs["train_model"] == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("targets", "made"),
    [
        pytest.param(
            ["subsets", f"{RESULTS}/benchmarks/arc/manifest.json", f"{RESULTS}/notes/benchmarks/theirs/manifest.json"],
            ["notes/documents/0001.parquet", "notes/heldout.parquet", "notes/clusterings/k3/clusters.parquet",
             "notes/subsets/k3/uniform/few/seed0/train.parquet", "logs/write_documents/notes/0000.log"],
            id="subsets",
        ),
        pytest.param(["all"], ["tables/words.md", "tables/words.costs.md"], id="tables"),
    ],
)  # fmt: skip
def test_a_run_in_an_odd_folder_writes_its_results_and_nothing_else(
    tmp_path: Path, targets: list[str], made: list[str]
) -> None:
    root = prepare(tmp_path)
    before = files(root)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *targets, "--profile", "profiles/local", "--configfile", "run.yaml"],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    new = files(root) - before
    assert {path for path in new if not path.startswith(f"{RESULTS}/")} == set()
    assert {f"{RESULTS}/{name}" for name in made} <= new
    assert [path.name for path in tmp_path.iterdir()] == [ODD]
