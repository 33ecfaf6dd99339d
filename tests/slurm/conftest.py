"""A SLURM for the session, and a clone of the workflow for each test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab, missing
from runs import Site, copy_workflow, until


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if problem := missing():
        pytest.skip(problem)
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    copy_workflow(tmp_path)
    (tmp_path / "notes.jsonl").write_text("".join(f'{{"text": "note {i} of many"}}\n' for i in range(400)))
    one = Site(tmp_path, lab)
    one.write()
    one.profile(slurm_init_seconds_before_status_checks=2, latency_wait=5)
    yield one
    for process in one.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    lab("scancel", "--user=root")
    until(lambda: not lab("squeue", "-h"), "the queue is empty")
    lab.wait_idle()
