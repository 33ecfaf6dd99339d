"""Rounds of labelling killed in every kind of job, stage and Snakemake together: the next run goes on, and ends with the same
draws, answers and curves as a run that nothing disturbed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LABELS = {"train": 20, "rounds": {"count": 2, "add": 10, "pool": 200}}
RUN = {
    "corpora": {"sst2-mini": {"source": {"generator": "sentiment-grammar", "documents": 700}}},
    "budgets": {"labels": LABELS},
    "models": {"minilm-classifier": {"max_tokens": 16, "rounds": "continue"}},
    "recipes": {"fine-tune": {"steps": 3}},
    "experiments": [
        {"name": name, "corpus": "sst2-mini", "clustering": None, "model": model, "budget": "labels",
         "samplers": ["random", "margin"], "data_seeds": [0], "suites": ["labels"]}
        for name, model in (("tuned", "minilm-classifier"), ("probes", "minilm-probe"))
    ],
    "tables": {name: {"title": name, "experiments": [name], "baseline": "random"} for name in ("tuned", "probes")},
    "targets": ["tuned", "probes"],
}  # fmt: skip
MARGIN = "none/margin.minilm-classifier/labels.round"
KILLS = [
    "logs/run_probes/sst2-mini/none/margin.minilm-probe/labels.round2/minilm-probe/labels.log",
    "logs/predict_pool/sst2-mini/none/random/labels.round0/seed0/minilm-classifier/seed0/0000.log",
    f"logs/draw_round/sst2-mini/{MARGIN}1/seed0.log",
    f"sst2-mini/models/{MARGIN}1/seed0/minilm-classifier/seed0/state/checkpoint.safetensors",
    f"logs/predict_pool/sst2-mini/{MARGIN}1/seed0/minilm-classifier/seed0/0000.log",
    f"sst2-mini/models/{MARGIN}2/seed0/minilm-classifier/seed0/state/checkpoint.safetensors",
]
"""Files whose appearance says that a job is under way, in the order in which the run comes to them."""
KEPT = ("draw.parquet", "draw.json", "draws.parquet", "items.parquet", "model.safetensors", "manifest.json")


def prepare(folder: Path) -> Path:
    for name in ("Snakefile", "config", "workflow", "profiles", "envs", "docs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "run.json").write_text(json.dumps(RUN))
    return folder


def start(folder: Path, *more: str) -> subprocess.Popen:
    line = [
        "--profile", "profiles/local", "--cores", "2", "--configfile", "run.json", "--set-resources",
        "train_model:checkpoint_minutes=0", *more,
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *line], cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def kill_session(process: subprocess.Popen) -> None:
    """Kill -9 of Snakemake and of every job that it started."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == process.pid:
                    os.kill(int(entry.name), signal.SIGKILL)
            except ProcessLookupError:
                continue
    process.communicate()


def finish(folder: Path) -> str:
    process = start(folder)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    return out


def contents(results: Path) -> dict[str, str]:
    kept = [p for p in results.rglob("*") if p.name in KEPT or p.name.endswith(".curves.csv")]
    return {str(p.relative_to(results)): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


@pytest.mark.slow
def test_rounds_killed_in_every_kind_of_job_go_on_and_end_with_the_same_bytes(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    results = folder / "results"
    finish(folder)
    whole = contents(results)
    assert {Path(path).name for path in whole} >= {*KEPT, "tuned.curves.csv", "probes.curves.csv"}
    # Again from the documents and vectors: subsets, models, probes and tables are lost.
    for name in ("sst2-mini/subsets", "sst2-mini/models", "sst2-mini/probes", "tables", "logs"):
        shutil.rmtree(results / name)
    for sign in KILLS:
        assert start(folder, "--unlock").wait() == 0
        process = start(folder)
        while not (results / sign).exists():
            assert process.poll() is None, f"{sign}\n{process.communicate()[0]}"
            time.sleep(0.01)
        time.sleep(0.3)  # into the job
        kill_session(process)
        assert contents(results).items() <= whole.items()  # nothing half-written under a final name
    assert start(folder, "--unlock").wait() == 0
    finish(folder)
    assert contents(results) == whole
    assert "Nothing to be done" in finish(folder)
