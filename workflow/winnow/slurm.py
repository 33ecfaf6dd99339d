"""Asks SLURM: partitions, waiting jobs, jobs of earlier runs; requeues the job of this process.

In: names of runs (those of their jobs in the queue). Out: what the commands of SLURM print, as values.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.partitions import SCONTROL, SINFO, Partition, from_plain, read_partitions, to_plain
from winnow.stage import InputError, write_text

NEVER = {
    "AccountNotAllowed": "the account may not use the partition: set slurm_account",
    "BadConstraints": "no node meets its constraint: set constraint, or the partition",
    "DependencyNeverSatisfied": "a job that it waits for has failed",
    "InvalidAccount": "the account is not known: set slurm_account",
    "InvalidQOS": "the qos is not known: set qos",
    "JobHoldMaxRequeue": "it was requeued too often; its log tells why",
    "PartitionConfig": "no node of the partition has so many CPUs, GPUs or so much memory: lower threads, gpu or mem_mb",
    "PartitionNodeLimit": "it asks for more nodes than the partition allows",
    "PartitionTimeLimit": "it asks for more time than the partition allows: lower runtime",
    "QOSNotAllowed": "the qos may not use the partition: set qos",
    "ReservationDeleted": "the reservation is gone: set slurm-reservation",
    "launch_failed_requeued_held": "its node could not start it; see slurmd's log",
}
"""Reasons for which a job waits for ever, and what to change in the profile."""
LIMITS = ("MaxWall", "MaxCpuPerJob", "MaxCPUMinutesPerJob", "MaxNodePerJob", "MaxMemPerJob", "MaxMemoryPerJob",
          "MaxGRESPerJob", "MaxMemMinutesPerJob", "MaxBillingPerJob", "MinCpu", "MinGRES", "MinMemory")  # fmt: skip
"""Parts of the reasons that name a limit of one job, of an account (Assoc...) or a qos (QOS...)."""
HELD = {
    "JobHeldAdmin": "held by an administrator",
    "JobHeldUser": "held; release it with: scontrol release {id}",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is inactive",
    "ReqNodeNotAvail": "its nodes are down or reserved",
}
"""Reasons that a person can end; such a job is named, not cancelled."""


@dataclass(frozen=True)
class Waiting:
    """A job in the queue that has not started."""

    id: str
    reason: str
    job: str
    """Rule and wildcards, as in the comment of the executor plugin."""
    partition: str


def ask(*line: str, seconds: float = 60) -> str:
    """What a command of SLURM prints. Raises InputError with its last line if it fails."""
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=seconds)
    except FileNotFoundError:
        raise InputError(f"{line[0]}: no such program; a SLURM cluster has it on its login node") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"{line[0]}: no answer within {seconds:.0f} seconds; is slurmctld up?") from None
    if done.returncode:
        raise InputError(f"{' '.join(line[:1])}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    return done.stdout


def ask_partitions() -> dict[str, Partition]:
    """All partitions by name; none on a machine without SLURM's commands. Raises InputError if slurmctld does not
    answer."""
    if not shutil.which(SINFO[0]):
        return {}
    return read_partitions(ask(*SINFO), ask(*SCONTROL))


def share(partitions: dict[str, Partition]) -> None:
    """Leaves partitions in the environment, for the processes of jobs."""
    os.environ["WINNOW_PARTITIONS"] = json.dumps(to_plain(partitions))


def shared_partitions() -> dict[str, Partition]:
    """The partitions that the process which submitted this job has shared."""
    return from_plain(json.loads(os.environ.get("WINNOW_PARTITIONS", "[]")))


def check_polling(first: int) -> None:
    """Raises InputError where the executor plugin could not follow its jobs: it asks squeue, `first` seconds after their
    submission at the earliest, if SLURM remembers finished jobs for long enough, and sacct otherwise."""
    fields: dict[str, str] = {}
    for line in ask("scontrol", "show", "config").splitlines():
        key, _, value = line.partition("=")
        fields[key.strip()] = value.strip()
    age = int(fields.get("MinJobAge", "0").split()[0])
    if age < 3 * first and fields.get("AccountingStorageType", "").endswith("/none"):
        raise InputError(
            f"SLURM forgets jobs {age} s after their end (MinJobAge) and keeps no accounts: Snakemake could miss the end "
            f"of a job; set slurm-init-seconds-before-status-checks in the profile to {max(1, age // 3)} or less"
        )


def harden() -> None:
    """Two changes to the executor plugin (2.8.0), for outages of slurmctld and submissions that are refused for now.

    It keeps MinJobAge once it has read it: while slurmctld restarts it could not read it, would turn to sacct for good and,
    where SLURM keeps no accounts, forget its jobs. And it submits through
    `winnow.submit`.
    """
    import snakemake_executor_plugin_slurm as plugin

    age, line = plugin.get_min_job_age(), plugin.get_submit_command
    if age is not None:
        plugin.get_min_job_age = lambda: age
    again = shlex.join([sys.executable, "-I", str(Path(__file__).with_name("submit.py"))])
    plugin.get_submit_command = lambda *given, **named: f"{again} {line(*given, **named)}"


def record_jobs() -> None:
    """Makes the Snakemake of this process, which runs a job on a node, record the job when it has finished: its parameters,
    code and inputs.

    Snakemake 9.27 records a job only in the process that submitted it, when that sees the end of the job, up to minutes
    later; the node's process only removes the marks of incomplete files. What a job wrote whose end nobody saw (Ctrl-C, a
    killed Snakemake) had no record, and counted as up to date whatever changed in the config.
    """
    from snakemake.persistence import PersistenceBase

    finished = PersistenceBase.finished

    async def record_and_finish(self: Any, job: Any) -> None:
        settings = self.dag.workflow.remote_execution_settings
        before, settings.immediate_submit = (
            settings.immediate_submit,
            True,
        )  # the case in which `finished` records
        try:
            await finished(self, job)
        finally:
            settings.immediate_submit = before

    PersistenceBase.finished = record_and_finish


# ---------------------------------------------------------------- jobs of an earlier run


def leftovers(record: Path) -> dict[str, list[str]]:
    """Jobs in the queue by the name of the run that submitted them, of the runs that `record` lists."""
    if not record.exists():
        return {}
    names = record.read_text(encoding="utf-8").split()
    found: dict[str, list[str]] = {}
    if names:
        for line in ask("squeue", "-h", "-o", "%i|%j", "--name", ",".join(names)).splitlines():
            job, name = line.split("|", 1)
            found.setdefault(name, []).append(job)
    return found


def remember(record: Path, name: str) -> None:
    """Writes the name of a run to `record`, in place of those whose jobs have all ended."""
    write_text(record, f"{name}\n")


def cancel(name: str) -> None:
    """Cancels the jobs of a run that are in the queue, if there are any. Raises InputError with the command to do it by hand."""
    try:
        if ask("squeue", "-h", "-o", "%i", "--name", name).strip():
            ask("scancel", f"--name={name}")
    except InputError as error:
        raise InputError(
            f"jobs of this run may still be in the queue ({error}): scancel --name={name}"
        ) from None


# ---------------------------------------------------------------- jobs that never start


def waiting(name: str) -> list[Waiting]:
    """The jobs of a run that wait."""
    lines = ask("squeue", "-h", "-t", "PD", "-o", "%i|%r|%P|%k", "--name", name).splitlines()
    rows = [line.split("|", 3) for line in lines]
    return [
        Waiting(job, reason, comment.removeprefix("rule_").replace("_wildcards_", " "), partition)
        for job, reason, partition, comment in rows
    ]


def verdict(reason: str) -> tuple[str, bool]:
    """What a reason to wait means, and whether the job would wait for ever; ("", False) if it will start in its turn."""
    first = reason.split(",")[0].strip("() ")
    if first in NEVER:
        return NEVER[first], True
    if first.startswith(("Assoc", "QOS")) and any(part in first for part in LIMITS):
        return "the account or qos allows less to a job: lower runtime, threads, gpu or mem_mb", True
    if first in HELD:
        return HELD[first], False
    return "", False


def watch(
    name: str,
    tell: Callable[[str], None],
    every: float = 20,
    rounds: Iterable[int] = iter(int, 1),
) -> None:
    """Names the jobs of a run that wait for ever, and cancels them, so that Snakemake sees them fail; names those that a
    person holds up, once each. Looks every `every` seconds; an outage of slurmctld is waited out."""
    told: set[str] = set()
    for _ in rounds:
        time.sleep(every)
        try:
            jobs = waiting(name)
        except InputError:
            continue
        for job in jobs:
            meaning, never = verdict(job.reason)
            if not meaning or job.id in told:
                continue
            told.add(job.id)
            line = f"SLURM job {job.id} ({job.job}, partition {job.partition}) "
            if never:
                tell(f"error: {line}would never start ({job.reason}): {meaning}; cancelled")
                try:
                    ask("scancel", job.id)
                except InputError as error:
                    tell(f"error: {error}")
            else:
                tell(f"note: {line}waits ({job.reason}): {meaning.format(id=job.id)}")


# ---------------------------------------------------------------- inside a job


def requeue() -> bool:
    """Puts the SLURM job of this process back into the queue, under the same id; False where that is not possible.

    SLURM ends the job; it starts again from its first line, and Snakemake sees it wait.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if not job or not shutil.which("scontrol"):
        return False
    try:
        ask("scontrol", "requeue", job)
    except InputError:
        return False
    return True
