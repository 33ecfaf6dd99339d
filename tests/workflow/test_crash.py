"""A whole run killed in its midst: the next one says what to do, goes on, and ends with the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import copy_workflow

RUN = {
    "results": "results",
    "corpora": {
        "notes": {"source": {"files": ["notes.jsonl"]}, "text": "text", "shards": 2, "heldout": {"documents": 20}}
    },
    "budgets": {"few": {"train": 50}},
    "experiments": [
        {"name": "notes", "corpus": "notes", "clustering": None, "samplers": ["random"], "budget": "few",
         "model": "neox-nano", "data_seeds": [0, 1, 2, 3, 4, 5], "suites": ["mini"]}
    ],
    "targets": [],
}  # fmt: skip
LINE = ["subsets", "--profile", "profiles/local", "--configfile", "run.json"]


def prepare(folder: Path) -> Path:
    copy_workflow(folder)
    (folder / "notes.jsonl").write_text("".join(f'{{"text": "note {i} of many"}}\n' for i in range(400)))
    (folder / "run.json").write_text(json.dumps(RUN))
    return folder


def start(folder: Path, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *LINE, *more], cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(folder: Path, *more: str) -> tuple[int, str]:
    process = start(folder, *more)
    out, _ = process.communicate()
    return process.returncode, out


def contents(folder: Path) -> dict[str, str]:
    kept = [
        p
        for p in (folder / "results").rglob("*")
        if p.is_file() and p.parts[len(folder.parts) + 1] == "notes"
    ]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


@pytest.mark.slow
def test_a_run_killed_in_its_midst_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole, broken = prepare(tmp_path / "whole"), prepare(tmp_path / "broken")
    code, out = finish(whole)
    assert code == 0, out
    process = start(broken)
    while len(list(broken.glob("results/notes/subsets/**/draw.parquet"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    code, out = finish(broken)
    if code:  # the lock of the killed run
        assert "--unlock" in out
        assert finish(broken, "--unlock")[0] == 0
        code, out = finish(broken)
    assert code == 0, out
    assert contents(broken) == contents(whole)
    assert "Nothing to be done" in finish(broken)[1]
