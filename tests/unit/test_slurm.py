"""What is asked of SLURM, with stand-ins for its commands; tests/slurm asks a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from winnow import slurm, submit
from winnow.stage import InputError


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes programs of SLURM out of shell lines."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def make(**lines: str) -> Path:
        for name, line in lines.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
            (tmp_path / name).chmod(0o755)
        return tmp_path

    return make


def test_without_slurm_there_are_no_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert slurm.ask_partitions() == {}


def test_a_controller_that_does_not_answer_is_one_line(commands) -> None:
    commands(
        sinfo="echo 'slurm_load_partitions: Unable to contact slurm controller (connect failure)' >&2; exit 1"
    )
    with pytest.raises(
        InputError, match=r"^sinfo: slurm_load_partitions: Unable to contact slurm controller"
    ):
        slurm.ask_partitions()


@pytest.mark.parametrize(
    ("reason", "never"),
    [("PartitionTimeLimit", True), ("PartitionConfig", True), ("BadConstraints", True), ("InvalidAccount", True),
     ("AssocMaxWallDurationPerJobLimit", True), ("QOSMaxGRESPerJob", True), ("QOSMaxCpuPerJobLimit", True),
     ("JobHeldUser", False), ("ReqNodeNotAvail, UnavailableNodes:n1", False)],
)  # fmt: skip
def test_a_reason_to_wait_for_ever_is_explained(reason: str, never: bool) -> None:
    meaning, ends = slurm.verdict(reason)
    assert meaning
    assert ends == never


@pytest.mark.parametrize(
    "reason",
    ["Priority", "Resources", "None", "BeginTime", "Dependency", "QOSMaxJobsPerUserLimit", "QOSMaxCpuPerUserLimit",
     "AssocGrpCpuLimit", "AssocMaxJobsLimit", "Licenses", "Nodes required for job are DOWN, DRAINED or reserved"],
)  # fmt: skip
def test_a_job_that_will_have_its_turn_is_left_alone(reason: str) -> None:
    assert slurm.verdict(reason) == ("", False)


def test_a_job_that_never_starts_is_named_once_and_cancelled(commands) -> None:
    folder = commands(
        squeue="echo '7|PartitionTimeLimit|cpu|rule_embed_documents_wildcards_pile_minilm_0003'; "
        "echo '8|Priority|cpu|rule_draw_sample'; echo '9|JobHeldUser|gpu|rule_train_model'",
        scancel='echo "$@" >> "$(dirname "$0")/cancelled"',
    )
    told: list[str] = []
    slurm.watch("run", told.append, every=0, rounds=range(3))
    assert told == [
        "error: SLURM job 7 (embed_documents pile_minilm_0003, partition cpu) would never start (PartitionTimeLimit): "
        "it asks for more time than the partition allows: lower runtime; cancelled",
        "note: SLURM job 9 (train_model, partition gpu) waits (JobHeldUser): held; release it with: scontrol release 9",
    ]
    assert (folder / "cancelled").read_text() == "7\n"


def test_an_outage_does_not_end_the_watch(commands) -> None:
    commands(squeue="exit 1")
    slurm.watch("run", pytest.fail, every=0, rounds=range(2))


def test_jobs_of_an_earlier_run_are_found_by_its_name(commands, tmp_path: Path) -> None:
    commands(squeue="test \"$5\" = one && printf '3|one\\n4|one\\n'")
    record = tmp_path / "logs/slurm-run.txt"
    assert slurm.leftovers(record) == {}
    slurm.remember(record, "one")
    assert slurm.leftovers(record) == {"one": ["3", "4"]}


def test_the_jobs_of_a_run_are_cancelled_by_its_name(commands) -> None:
    """Ctrl-C while jobs were being submitted left some in the queue, for hours of a GPU, since the plugin cancels those that
    it had submitted by then."""
    folder = commands(squeue="true", scancel='echo "$@" >> "$(dirname "$0")/asked"')
    slurm.cancel("one")
    assert not (folder / "asked").exists()
    commands(squeue="test \"$5\" = one && printf '3\\n4\\n'")
    slurm.cancel("one")
    assert (folder / "asked").read_text() == "--name=one\n"
    commands(scancel="echo 'slurm_kill_job: no contact' >&2; exit 1")
    with pytest.raises(
        InputError, match=r"may still be in the queue \(scancel: .*no contact\): scancel --name=one$"
    ):
        slurm.cancel("one")


@pytest.mark.parametrize(
    ("accounting", "age", "fine"), [("none", 5, False), ("none", 300, True), ("slurmdbd", 5, True)]
)
def test_a_slurm_that_forgets_its_jobs_at_once_is_refused(
    commands, accounting: str, age: int, fine: bool
) -> None:
    commands(
        scontrol=f"echo 'AccountingStorageType   = accounting_storage/{accounting}'; "
        f"echo 'MinJobAge               = {age} sec'"
    )
    if fine:
        slurm.check_polling(10)
    else:
        with pytest.raises(
            InputError, match=r"forgets jobs 5 s after their end.*checks in the profile to 1 or less"
        ):
            slurm.check_polling(10)


def test_only_a_slurm_job_can_be_requeued(commands, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = commands(scontrol='echo "$@" >> "$(dirname "$0")/asked"')
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert not slurm.requeue()
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert slurm.requeue()
    assert (folder / "asked").read_text() == "requeue 12\n"
    commands(scontrol="exit 1")
    assert not slurm.requeue()


def test_a_submission_that_is_refused_for_now_is_tried_again(commands) -> None:
    folder = commands(
        sbatch='echo x >> "$(dirname "$0")/tries"\n'
        'test $(wc -l < "$(dirname "$0")/tries") -gt 2 && { echo "17;lab"; exit 0; }\n'
        "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1"
    )
    done = submit.submit(["sbatch"], waits=(0, 0, 0))
    assert (done.returncode, done.stdout) == (0, "17;lab\n")
    assert (folder / "tries").read_text() == "x\n" * 3


def test_a_submission_that_is_refused_for_good_is_tried_once(commands) -> None:
    commands(sbatch="echo 'sbatch: error: Invalid partition name specified' >&2; exit 1")
    line = [sys.executable, "-I", submit.__file__, "sbatch", "--parsable"]
    done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "Invalid partition name" in done.stderr
