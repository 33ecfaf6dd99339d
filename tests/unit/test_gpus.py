"""Jobs on one machine with several GPUs: two that share a device by accident run out of its memory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

JOB = """
import os, sys, time
from winnow.gpus import claim
claim(every=0.05)
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


class Job:
    """A job that asks for GPUs and holds them until it is told to end."""

    def __init__(self, asked: int, tmp: Path, visible: str | None = "0,1,2", **more: str) -> None:
        import os

        environment = {
            k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")
        }
        environment |= {"WINNOW_GPUS": str(asked), "TMPDIR": str(tmp), **more}
        if visible is not None:
            environment["CUDA_VISIBLE_DEVICES"] = visible
        self.process = subprocess.Popen(
            [sys.executable, "-c", JOB],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def sees(self) -> set[str]:
        assert self.process.stdout
        return set(filter(None, self.process.stdout.readline().strip().split(",")))

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def jobs(tmp_path: Path):
    started: list[Job] = []

    def start(asked: int, visible: str | None = "0,1,2", **more: str) -> Job:
        started.append(Job(asked, tmp_path, visible, **more))
        return started[-1]

    yield start
    for job in started:
        if job.process.poll() is None:
            job.process.kill()
            job.process.communicate()


def test_each_job_sees_devices_of_its_own(jobs) -> None:
    one, two = jobs(1), jobs(2)
    assert one.sees() | two.sees() == {"0", "1", "2"}


def test_a_job_waits_for_devices_and_takes_those_of_one_that_was_killed(jobs) -> None:
    first, second = jobs(2), jobs(1)
    assert first.sees() | second.sees() == {"0", "1", "2"}
    third = jobs(2)
    time.sleep(0.5)
    first.process.kill()
    seen = third.sees()
    assert len(seen) == 2


def test_a_job_that_asked_for_none_sees_none(jobs) -> None:
    assert jobs(0).sees() == set()


def test_devices_that_slurm_gave_are_kept(jobs) -> None:
    assert jobs(1, "3", SLURM_JOB_ID="7").sees() == {"3"}


def test_devices_outside_those_of_the_run_are_not_taken(jobs) -> None:
    assert jobs(1, "GPU-8f2a").sees() == {"GPU-8f2a"}


def test_a_job_that_asks_for_more_than_there_are_goes_on(jobs) -> None:
    assert jobs(2, "0").sees() == {"0"}


def test_a_program_in_its_place_keeps_the_devices(jobs, tmp_path: Path) -> None:
    """As torchrun replaces the process of a training on several GPUs."""
    import os

    line = (
        "import os, sys; from winnow.gpus import claim; claim(); "
        "os.execv(sys.executable, [sys.executable, '-c', \"print('here', flush=True); import sys; sys.stdin.read()\"])"
    )
    environment = {**os.environ, "WINNOW_GPUS": "2", "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "0,1,2"}
    environment.pop("SLURM_JOB_ID", None)
    with subprocess.Popen(
        [sys.executable, "-c", line],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "here\n"
        assert jobs(1).sees() == {"2"}
