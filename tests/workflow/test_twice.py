"""A whole run, and the same again elsewhere: equal bytes, but for the files that results/README.md names as timings."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import copy_workflow

WORDS = ["river", "stone", "market", "winter", "engine", "letter", "garden", "signal", "bridge", "paper", "copper", "forest", "harbour", "ledger", "violin", "glacier", "theorem", "sugar", "window", "protein"]  # fmt: skip
EXPERIMENT = {"corpus": "notes", "budget": "few", "model": "tiny", "data_seeds": [0], "suites": ["mini"]}
RUN = {
    "results": "results",
    "corpora": {"notes": {"source": {"files": ["notes.jsonl"]}, "text": "text", "meta": ["part"], "group": "part",
                          "heldout": {"documents": 40}}},
    "clusterings": {"k": {"encoder": "minilm-128", "k": 4},
                    "h": {"encoder": "minilm-128", "method": "hdbscan",
                          "hdbscan": {"min_cluster_size": 5, "min_samples": 2, "dimensions": 8}}},
    "budgets": {"few": {"train": 50, "validation": 5}},
    "tokenizers": {"t": {"vocabulary": 400, "documents": 200}},
    "recipes": {"r": {"steps": 3, "batch": 4, "learning_rate": 2.0e-3}},
    "models": {"tiny": {"kind": "language-model", "layers": 1, "width": 32, "heads": 2, "sequence": 32,
                        "tokenizer": "t", "recipe": "r"}},
    "scorers": {"ngrams": {"kind": "dsir", "target": {"where": {"column": "part", "values": ["odd"]}}}},
    "samplers": {"towards": {"allocation": {"weight": "none"}, "ranking": {"by": "weighted", "scorer": "ngrams"}},
                 "unlike": {"allocation": {"weight": "size"}, "filters": {"semdedup": {"scorer": "semdedup", "eps": 0.0001}}}},
    "experiments": [
        {"name": "notes", "clustering": "k", "samplers": ["random", "density"], **EXPERIMENT},
        {"name": "others", "clustering": "k", "samplers": ["lsh", "unlike", "towards"], **EXPERIMENT},
        {"name": "shapes", "clustering": "h", "samplers": ["proportionate"], **EXPERIMENT},
    ],
    "tables": {"notes": {"title": "Notes", "experiments": ["notes"], "baseline": "random"}},
    "targets": ["notes"],
}  # fmt: skip
TIMINGS = ("timings", "logs", "provenance", "tensorboard")  # folders
TIMED = ("timings.json", ".costs.csv", ".costs.md", ".costs.html", ".power.csv", ".pareto.svg",
         ".provenance.json", ".provenance.md", ".provenance.html", "index.html")  # fmt: skip


def prepare(folder: Path) -> Path:
    copy_workflow(folder)
    with open(folder / "notes.jsonl", "w") as out:
        chance = random.Random(0)
        for i in range(400):
            words = WORDS[:10] if i % 3 else WORDS[10:]
            text = " ".join(chance.choices(words, k=30 + i % 9)) + f" {i}."
            out.write(json.dumps({"text": text, "part": "odd" if i % 2 else "even"}) + "\n")
    (folder / "run.json").write_text(json.dumps(RUN))
    return folder


def run(folder: Path, umask: int, *targets: str) -> dict[str, str]:
    """Runs `targets` in a clone of its own. Digests of the files of content by their path, of which modes are checked."""
    prepare(folder)
    line = [
        sys.executable,
        "-m",
        "snakemake",
        *targets,
        "--profile",
        "profiles/local",
        "--configfile",
        "run.json",
    ]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, env=os.environ, umask=umask)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for path in (folder / "results").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~umask, path
        place = path.relative_to(folder / "results")
        if path.is_file() and not {*place.parts} & {*TIMINGS} and not path.name.endswith(TIMED):
            found[str(place)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def compare(one: dict[str, str], other: dict[str, str], kinds: set[str]) -> None:
    assert sorted(one) == sorted(other)
    assert [path for path in one if one[path] != other[path]] == []
    assert kinds <= {Path(path).name for path in one}


@pytest.mark.slow
def test_two_runs_without_training_write_the_same_files(tmp_path: Path) -> None:
    one, other = (
        run(tmp_path / f"{mask:o}", mask, "subsets", "clusters", "samplers") for mask in (0o027, 0o002)
    )
    compare(one, other, {"source.json", "hdbscan.npz", "review.html", "compare_samplers.html", "manifest.json",
                         "t.npy"})  # fmt: skip


@pytest.mark.slow
def test_two_runs_to_a_table_write_the_same_files(tmp_path: Path) -> None:
    one, other = (run(tmp_path / f"{mask:o}", mask) for mask in (0o027, 0o002))
    compare(one, other, {"model.safetensors", "metrics.json", "items.parquet", "results.json", "notes.html", "notes.svg",
                         "notes.png", "notes.claims.json", "notes.losses.svg"})  # fmt: skip
