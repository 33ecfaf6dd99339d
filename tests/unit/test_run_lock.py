"""One run at a time writes to a results folder; a job that outlived its run writes nothing over the results of the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from winnow import run_lock, stage
from winnow.run_lock import PLACE, claim, release
from winnow.stage import InputError, atomic_path, read_json, scratch_folder, write_text

RUN = """
import sys, time
from pathlib import Path
from winnow.run_lock import claim
claim(Path(sys.argv[1]))
print("claimed", flush=True)
sys.stdin.read()
"""


def other_run(results: Path, folder: Path) -> subprocess.Popen:
    """A run in a process of its own, started in another folder, that goes on until its stdin is closed."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(results)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "claimed\n"
    return process


def test_a_second_run_is_refused_while_the_first_goes_on_and_not_after_it(tmp_path: Path) -> None:
    results = tmp_path / "results"
    other = other_run(results, tmp_path / "elsewhere")
    for action in (claim, release):
        with pytest.raises(InputError) as caught:
            action(results)
        line = str(caught.value)
        assert line.startswith(
            f"{results}: another run writes to this results folder (process {other.pid}, started in {tmp_path}/elsewhere at "
        )
        assert line.endswith("; wait until it has ended, or take another results folder")
        assert "\n" not in line
    other.communicate()
    assert read_json(results / PLACE)["ended"]
    claim(results)
    assert read_json(results / PLACE)["process"] == os.getpid()


def test_a_killed_run_does_not_lock_the_folder(tmp_path: Path) -> None:
    other = other_run(tmp_path, tmp_path / "elsewhere")
    other.kill()
    other.communicate()
    assert not read_json(tmp_path / PLACE)["ended"]
    claim(tmp_path)


def test_a_process_that_only_has_the_number_of_a_killed_run_does_not_lock_the_folder(tmp_path: Path) -> None:
    other = other_run(tmp_path, tmp_path / "elsewhere")
    run = read_json(tmp_path / PLACE)
    other.kill()
    other.communicate()
    (tmp_path / PLACE).write_text(json.dumps({**run, "process": os.getppid()}))
    claim(tmp_path)


def test_a_run_on_another_machine_goes_on_until_it_is_unlocked(tmp_path: Path) -> None:
    claim(tmp_path)
    run = read_json(tmp_path / PLACE)
    (tmp_path / PLACE).write_text(json.dumps({**run, "host": "login2"}))
    with pytest.raises(
        InputError, match=r"on login2, started .*; if it was killed there, run the same command with --unlock"
    ):
        claim(tmp_path)
    release(tmp_path)
    claim(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\0"])
def test_a_file_cut_short_by_a_crash_locks_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / PLACE).write_text(text)
    claim(tmp_path)
    assert read_json(tmp_path / PLACE)["process"] == os.getpid()


def test_a_file_system_without_locks_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(run_lock.fcntl, "flock", none)
    other = other_run(tmp_path, tmp_path / "elsewhere")
    with pytest.raises(InputError, match="another run writes"):
        claim(tmp_path)
    other.kill()
    other.communicate()
    claim(tmp_path)


def later_run(results: Path) -> None:
    """Makes a later run take over the folder from the run of this process."""
    job = {name: os.environ[name] for name in (stage.RUN_ID, stage.RUN_FILE)}
    claim(results)
    os.environ.update(job)


def test_a_job_of_an_earlier_run_neither_writes_nor_cleans_up(tmp_path: Path) -> None:
    claim(tmp_path)
    with atomic_path(tmp_path / "a.txt") as partial:
        partial.write_text("of the first run")
    with pytest.raises(InputError, match=r"a later run .* writes to this results folder"):  # noqa: SIM117, PT012
        with atomic_path(tmp_path / "a.txt") as partial:
            partial.write_text("of the first run, later")
            later_run(tmp_path)
    assert (tmp_path / "a.txt").read_text() == "of the first run"
    at_work = tmp_path / ".a.12345678.txt"  # what the later run is writing
    at_work.touch()
    (tmp_path / ".parts-1").mkdir()
    with pytest.raises(InputError, match="a later run"):
        write_text(tmp_path / "a.txt", "of the first run, later still")
    with pytest.raises(InputError, match="a later run"), scratch_folder(tmp_path, "parts"):
        pass
    assert at_work.exists()
    assert (tmp_path / ".parts-1").exists()
    assert (tmp_path / "a.txt").read_text() == "of the first run"


def test_a_job_of_an_earlier_run_stops_while_it_computes(tmp_path: Path) -> None:
    claim(tmp_path)
    script = (
        "import time; from winnow import stage; stage.WATCH = 0.05\n"
        "def main(*, out: str) -> None:\n    print('computing', flush=True); time.sleep(600)\n"
        "stage.run(main)"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", script, "--out", "x"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert job.stdout
    assert job.stdout.readline() == "computing\n"
    time.sleep(0.2)
    assert job.poll() is None
    later_run(tmp_path)
    _, told = job.communicate()
    assert job.returncode == 1
    assert told.startswith(f"error: {tmp_path / PLACE}: a later run")
    assert told.count("\n") == 1


def test_a_job_started_by_hand_belongs_to_no_run(tmp_path: Path) -> None:
    claim(tmp_path)
    del os.environ[stage.RUN_ID]
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"
