"""Small runs on a SLURM: each in a folder of its own, under a time limit."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lab import Lab

ROOT = Path(__file__).parents[2]
RUN: dict[str, Any] = {
    "results": "results",
    "corpora": {
        "notes": {"source": {"files": ["notes.jsonl"]}, "text": "text", "shards": 2, "heldout": {"documents": 20}}
    },
    "budgets": {"few": {"train": 50}},
    "tokenizers": {"bpe-notes": {"vocabulary": 400, "documents": 400}},
    "recipes": {"notes": {"steps": 20, "batch": 8, "learning_rate": 2.0e-3, "warmup": 0.05}},
    "models": {
        "tiny": {"kind": "language-model", "layers": 1, "width": 32, "heads": 2, "sequence": 32,
                 "tokenizer": "bpe-notes", "recipe": "notes"}
    },
    "experiments": [
        {"name": "notes", "corpus": "notes", "clustering": None, "samplers": ["random"], "budget": "few",
         "model": "tiny", "data_seeds": [0], "suites": ["mini"]}
    ],
    "targets": [],
}  # fmt: skip
MODEL = "models/none/random/few/seed0/tiny/seed0"
LIMIT = 900
"""Seconds after which a run counts as hanging, and is killed."""


def copy_workflow(to: Path) -> Path:
    spec = importlib.util.spec_from_file_location("dry_runs", ROOT / "tests/workflow/conftest.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["dry_runs"] = module
    spec.loader.exec_module(module)
    return module.copy_workflow(to)


@dataclass
class Site:
    """A clone of the workflow with a small run in it, and the Snakemakes that were started there."""

    folder: Path
    lab: Lab
    started: list[subprocess.Popen] = field(default_factory=list)

    def write(self, **changes: Any) -> None:
        (self.folder / "run.json").write_text(json.dumps({**RUN, **changes}))

    def profile(self, **changes: Any) -> None:
        """Changes settings of the profile; `default_resources` are added to those that it has."""
        import yaml

        path = self.folder / "profiles/slurm/profile.v9+.yaml"
        profile = yaml.safe_load(path.read_text())
        added = changes.pop("default_resources", [])
        names = {line.split("=")[0] for line in added}
        kept = [line for line in profile["default-resources"] if line.split("=")[0] not in names]
        profile |= {key.replace("_", "-"): value for key, value in changes.items()}
        path.write_text(yaml.safe_dump(profile | {"default-resources": kept + added}))

    def start(self, *line: str, profile: str = "slurm", **env: str) -> subprocess.Popen:
        """Snakemake in a session of its own; what it prints goes to out.txt."""
        command = [sys.executable, "-m", "snakemake", *line, "--profile", profile, "--configfile", "run.json"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "USER": "root", **env}
        with open(self.folder / "out.txt", "w") as out:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=out, stderr=out, start_new_session=True
            )
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen, limit: float = LIMIT) -> tuple[int, str]:
        """Exit code and output of a Snakemake, which is killed, and the test failed, after `limit` seconds."""
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"Snakemake hangs; squeue:\n{self.lab('squeue', '-a')}\n{self.text()[-3000:]}")
        return process.returncode, self.text()

    def run(self, *line: str, profile: str = "slurm", **env: str) -> tuple[int, str]:
        return self.end(self.start(*line, profile=profile, **env))

    def text(self) -> str:
        return (self.folder / "out.txt").read_text()

    def path(self, name: str) -> Path:
        return self.folder / "results" / name

    def contents(self, results: str = "results") -> dict[str, str]:
        """Digests of what the run made, without what differs from run to run (times)."""
        folder = self.folder / results / "notes"
        kept = [p for p in folder.rglob("*") if p.name != "timings.json" and "tensorboard" not in p.parts]
        return {
            str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in kept
            if p.is_file()
        }


def until(condition: Callable[[], Any], what: str, seconds: float = 180) -> Any:
    """Waits for a condition, and returns its value; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.3)
    raise AssertionError(f"waited {seconds:.0f} s in vain until {what}")
