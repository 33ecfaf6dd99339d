"""Two writers of one results folder: a second run is refused at once, and jobs that outlived a killed Snakemake stop before
they write over the results of the next run."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from run_contents import contents
from runs import LONG, RUN, finish, leftovers, prepare, said, start, unlock

pytestmark = pytest.mark.faults
RANDOM = "sst2-mini/models/none/random/few/seed0/tiny/seed0"
STATE = f"{RANDOM}/state/checkpoint.safetensors"


def wait_for(path: Path, process) -> None:
    """Until a job of a run is at work; a run that ends before is an error."""
    while not path.exists():
        assert process.poll() is None, path
        time.sleep(0.05)


def jobs_of(folder: Path) -> set[int]:
    """Processes of stages that were started in a folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    entry.joinpath("cwd").resolve() == folder.resolve()
                    and b"winnow." in entry.joinpath("cmdline").read_bytes()
                ):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def kill_all(process, folder: Path) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for job in jobs_of(folder):
        os.kill(job, signal.SIGKILL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = prepare(tmp_path_factory.mktemp("whole"))
    finish(folder)
    return contents(folder / "results")


def test_a_second_run_on_a_results_folder_is_refused_from_any_folder(tmp_path: Path) -> None:
    results = tmp_path / "shared results"
    one = prepare(tmp_path / "one", {**LONG, "results": str(results)})
    two = prepare(tmp_path / "two", {**LONG, "results": str(results)})
    first = start(one)
    try:
        wait_for(results / STATE, first)
        second = start(two)
        assert second.wait() == 1
        told = [line for line in said(two).splitlines() if line.startswith("error: ")]
        assert told == [
            f"error: {results}: another run writes to this results folder (process {first.pid}, started in {one} at "
            f"{told[0].split(' at ')[1].split(')')[0]}); wait until it has ended, or take another results folder"
        ]
        assert "Traceback" not in said(two)
        for folder in (one, two):  # --unlock does not break the lock of a run that goes on
            assert start(folder, "--unlock").wait() == 1
            assert "another run writes to this results folder" in said(folder)
        assert start(two, "--dry-run").wait() == 0
        assert first.poll() is None
    finally:
        kill_all(first, one)


def test_jobs_that_outlive_a_killed_snakemake_stop_when_the_next_run_starts(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    """Only Snakemake is killed; its training, with the old settings, goes on. The user repairs the config and starts again."""
    folder = prepare(tmp_path / "run", LONG)
    first = start(folder)
    try:
        wait_for(folder / "results" / STATE, first)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        left = jobs_of(folder)
        assert left
        (folder / "run.json").write_text(json.dumps(RUN))
        unlock(folder)
        finish(folder)
        assert not left & jobs_of(folder)
        assert contents(folder / "results") == undisturbed
        assert leftovers(folder / "results") == []
        assert "Nothing to be done" in finish(folder)
    finally:
        for job in jobs_of(folder):
            os.kill(job, signal.SIGKILL)
