"""A small run on a real SLURM, and what can go wrong there: the same files in the end, or one line that says why not.

`make test-slurm`. The documents are read, drawn and tokenised here first; what goes through SLURM is the training, whose
files are compared with those of a training without SLURM.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab
from slurm_runs import MODEL, Site, copy_workflow, until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
LINE = ("models",)
STEPS = {"recipes": {"notes": {"steps": 400, "batch": 8, "learning_rate": 2.0e-3, "warmup": 0.05}}}


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


@pytest.fixture(scope="session")
def made(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A clone with all but the model, and the files of an undisturbed run without SLURM."""
    folder = copy_workflow(tmp_path_factory.mktemp("made"))
    (folder / "notes.jsonl").write_text("".join(f'{{"text": "note {i} of many"}}\n' for i in range(400)))
    one = Site(folder, lab)
    one.write(**STEPS)
    code, text = one.run(*LINE, "--cores", "2", profile="profiles/local")
    assert code == 0, text
    contents = one.contents()
    assert f"{MODEL}/model.safetensors" in contents
    shutil.rmtree(one.path("notes") / MODEL)
    return folder, contents


@pytest.fixture
def ready(site: Site, made: tuple[Path, dict[str, str]]) -> Site:
    """The clone of a test, with all but the model."""
    for name in ("results", ".snakemake"):
        shutil.copytree(made[0] / name, site.folder / name, dirs_exist_ok=True)
    site.write(**STEPS)
    return site


def running(site: Site, before: int = 0) -> str:
    """Waits until a SLURM job trains (its id is above `before`) and has written a checkpoint; its id."""
    checkpoint = site.path("notes") / MODEL / "state/checkpoint.safetensors"

    def trains() -> str:
        ids = [i for i, job in site.lab.jobs().items() if job["JobState"] == "RUNNING" and int(i) > before]
        return ids[0] if ids and checkpoint.exists() else ""

    return until(trains, "a job trains")


def start_now(lab: Lab, job: str) -> None:
    """Starts a job that was requeued: SLURM lets it wait for two minutes."""
    until(lambda: lab.jobs()[job]["JobState"] == "PENDING", "the job is in the queue")

    def started() -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            lab("scontrol", "update", f"JobId={job}", "StartTime=now")
        return lab.jobs()[job]["JobState"] == "RUNNING"

    until(started, "the job starts again")


def same(site: Site, made: tuple[Path, dict[str, str]]) -> None:
    assert site.contents() == made[1]


def log(site: Site) -> str:
    return (site.path("logs/train_model") / "notes/none/random/few/seed0/tiny/seed0.log").read_text()


EACH_STEP = ("--set-resources", "train_model:checkpoint_minutes=0")
"""A checkpoint at each step."""


def test_a_run_through_slurm_makes_the_files_of_a_local_run(
    site: Site, made: tuple[Path, dict[str, str]]
) -> None:
    site.write(**STEPS)
    code, text = site.run(*LINE)
    assert code == 0, text
    same(site, made)
    jobs = site.lab.jobs().values()
    mine = [job for job in jobs if job["WorkDir"] == str(site.folder)]
    assert len(mine) == 9
    assert {job["Partition"] for job in mine} == {"cpu"}
    assert {job["TimeLimit"] for job in mine} <= {"01:00:00", "00:30:00", "00:15:00"}


def test_a_job_out_of_memory_is_tried_again_with_more(ready: Site, made: tuple[Path, dict[str, str]]) -> None:
    code, text = ready.run(*LINE, "--set-resources", "train_model:mem_mb=200 * 10 ** (attempt - 1)")
    assert code == 0, text
    same(ready, made)
    asked = re.findall(r"mem_mb=(\d+),.*checkpoint_minutes", text)
    assert asked[0] == "200"
    assert "2000" in asked


def test_a_cancelled_job_is_submitted_again(ready: Site, made: tuple[Path, dict[str, str]]) -> None:
    process = ready.start(*LINE, *EACH_STEP)
    ready.lab("scancel", running(ready))
    code, text = ready.end(process)
    assert code == 0, text
    assert "CANCELLED" in text
    same(ready, made)
    assert "continuing from step" in log(ready)


def test_a_killed_training_continues_in_the_next_job(ready: Site, made: tuple[Path, dict[str, str]]) -> None:
    process = ready.start(*LINE, *EACH_STEP)
    job = running(ready)
    os.kill(training(job), signal.SIGKILL)
    code, text = ready.end(process)
    assert code == 0, text
    same(ready, made)
    assert "continuing from step" in log(ready)


def processes(job: str) -> dict[int, str]:
    """Command lines of the processes of a SLURM job, by id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"SLURM_JOB_ID={job}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def training(job: str) -> int:
    """The process of a SLURM job that trains."""
    (pid,) = [
        p
        for p, line in processes(job).items()
        if "python -m winnow.train.loop" in line and "set -e" not in line
    ]
    return pid


def test_a_training_stopped_before_its_time_limit_goes_on_and_uses_up_no_retry(
    ready: Site, made: tuple[Path, dict[str, str]]
) -> None:
    process = ready.start(*LINE, *EACH_STEP, "--retries", "0")
    job = running(ready)
    ready.lab("scancel", "--signal=USR1", job)  # what SLURM sends before the limit, to the same processes
    until(lambda: ready.lab.jobs()[job]["Restarts"] == "1", "the job is in the queue again")
    assert "stopped before the time limit of its job after step" in log(ready)
    assert f"SLURM job {job} is back in the queue" in log(ready)
    start_now(ready.lab, job)
    code, text = ready.end(process)
    assert code == 0, text
    same(ready, made)
    assert "continuing from step" in log(ready)
    assert "Trying to restart job" not in text


def test_slurm_sends_the_signal_before_the_time_limit(ready: Site) -> None:
    long = {"notes": dict(STEPS["recipes"]["notes"], steps=100_000_000)}
    ready.write(recipes=long)
    process = ready.start(
        *LINE, "--set-resources", "train_model:runtime=3", "train_model:checkpoint_minutes=0"
    )
    job = running(ready)
    until(lambda: "is back in the queue" in log(ready), "the training is stopped before its limit", 600)
    assert ready.lab.jobs()[job]["TimeLimit"] == "00:03:00"
    process.send_signal(signal.SIGINT)
    ready.end(process)


def test_a_lost_node_costs_no_result(ready: Site, made: tuple[Path, dict[str, str]]) -> None:
    process = ready.start(*LINE, *EACH_STEP)
    job = running(ready)
    node = ready.lab.jobs()[job]["NodeList"]
    ready.lab.stop(f"slurmd-{node}", signal.SIGKILL)
    for pid in processes(job):  # not slurmstepd: slurmctld 22.05 can crash when a node comes back without it
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    state = lambda: ready.lab.jobs()[job]["JobState"]  # noqa: E731
    until(lambda: state() != "RUNNING", "SLURM sees that the node is lost")
    ready.lab.start_node(node)
    # Requeued, if the controller misses the node first; failed, and submitted again, if it hears of the killed job first.
    if (
        until(lambda: state() in ("PENDING", "FAILED", "NODE_FAIL") and state(), "the job has ended")
        == "PENDING"
    ):
        start_now(ready.lab, job)
    code, text = ready.end(process)
    assert code == 0, text
    same(ready, made)


def test_a_restart_of_slurmctld_is_waited_out(ready: Site, made: tuple[Path, dict[str, str]]) -> None:
    process = ready.start(*LINE, *EACH_STEP)
    running(ready)
    ready.lab.stop("slurmctld")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(60)  # longer than the plugin's five tries
    assert process.poll() is None
    ready.lab.start_controller()
    code, text = ready.end(process)
    assert code == 0, text
    same(ready, made)


def test_a_killed_snakemake_starts_no_second_copy_of_its_jobs(
    ready: Site, made: tuple[Path, dict[str, str]]
) -> None:
    process = ready.start(*LINE, *EACH_STEP)
    job = running(ready)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert ready.run(*LINE, "--unlock")[0] == 0
    code, text = ready.run(*LINE)
    assert code == 1
    (line,) = [row for row in text.splitlines() if row.startswith("error: ")]
    assert line.startswith(
        f"error: 1 jobs of an earlier run still work on results ({job}): wait for them, or cancel them"
    )
    cancel = re.search(r"scancel (--name=\S+);", line)
    assert cancel
    assert [i for i, one in ready.lab.jobs().items() if one["JobState"] == "RUNNING"] == [job]
    ready.lab("scancel", cancel.group(1))
    until(lambda: not ready.lab("squeue", "-h", "-j", job), "the job has ended")
    code, text = ready.run(*LINE)
    assert code == 0, text
    same(ready, made)
    assert "continuing from step" in log(ready)


def test_a_preempted_job_is_requeued(ready: Site, made: tuple[Path, dict[str, str]]) -> None:
    process = ready.start(*LINE, *EACH_STEP)
    job = running(ready)
    node = ready.lab.jobs()[job]["NodeList"]
    ready.lab("sbatch", "-p", "urgent", "-w", node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 5")
    until(lambda: ready.lab.jobs()[job]["Restarts"] == "1", "the job is requeued")
    start_now(ready.lab, job)
    code, text = ready.end(process)
    assert code == 0, text
    same(ready, made)


def test_two_jobs_with_a_gpu_have_different_devices(ready: Site) -> None:
    experiments = json.loads((ready.folder / "run.json").read_text())["experiments"]
    long = {"notes": dict(STEPS["recipes"]["notes"], steps=100_000_000)}
    ready.write(recipes=long, experiments=[dict(experiments[0], data_seeds=[0, 1])])
    process = ready.start(*LINE, "--set-resources", "train_model:gpu=1", "train_model:threads=1")
    jobs = until(
        lambda: (
            {
                i: job
                for i, job in ready.lab.jobs().items()
                if job["JobState"] == "RUNNING" and job["Partition"] == "gpu"
            }
            if ready.lab("squeue", "-h", "-p", "gpu", "-t", "R", "-o", "%i").count("\n") == 2
            else {}
        ),
        "two jobs with a GPU run",
    )
    assert {job["TresPerJob"] for job in jobs.values()} == {"gres:gpu:1"}
    devices = [re.search(r"gpu\S*\(IDX:(\d)\)", ready.lab("scontrol", "-d", "show", "job", i)) for i in jobs]
    assert {device.group(1) for device in devices if device} == {"0", "1"}

    def seen() -> set[str]:
        out = set()
        for job in jobs:
            with contextlib.suppress(OSError, ValueError):
                environment = Path(f"/proc/{training(job)}/environ").read_bytes().split(b"\0")
                out |= {v.decode() for v in environment if v.startswith(b"CUDA_VISIBLE_DEVICES=")}
        return out if len(out) == 2 else set()

    until(seen, "both trainings see a device of their own")
    process.send_signal(signal.SIGINT)
    ready.end(process)


def test_jobs_that_are_submitted_after_a_stop_are_cancelled(ready: Site) -> None:
    """The plugin cancels those that it has submitted by then, and submits the others of the round."""
    shutil.rmtree(ready.path("notes/subsets"))
    experiments = json.loads((ready.folder / "run.json").read_text())["experiments"]
    ready.write(experiments=[dict(experiments[0], data_seeds=list(range(8)))])
    process = ready.start("subsets")
    until(lambda: "has been submitted" in ready.text(), "the first job is submitted")
    process.send_signal(signal.SIGINT)
    code, text = ready.end(process)
    assert code != 0
    assert "Stopped before the end. The same command continues" in text
    assert text.partition("Terminating processes")[2].count("has been submitted") > 0
    until(lambda: not ready.lab("squeue", "-h"), "no job is left in the queue", 60)
    assert "COMPLETED" not in {job["JobState"] for i, job in ready.lab.jobs().items() if i in submitted(text)}


def submitted(text: str) -> list[str]:
    """The ids of the SLURM jobs of a run."""
    return re.findall(r"SLURM jobid (\d+)", text)


def first_of_two(site: Site, *more: str) -> subprocess.Popen:
    """Starts a run of two jobs, and waits until the first one runs."""
    shutil.rmtree(site.path("notes/subsets/none/random/few/seed0/tokens"))
    process = site.start(*LINE, *more)
    until(lambda: site.lab("squeue", "-h", "-t", "R"), "the first job runs")
    return process


def test_a_refused_submission_is_tried_again(ready: Site, made: tuple[Path, dict[str, str]]) -> None:
    process = first_of_two(ready)
    ready.lab("scontrol", "update", "PartitionName=cpu", "State=DRAIN")
    try:
        until(lambda: "rule train_model" in ready.text(), "the second job is due")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(12)
        assert process.poll() is None
        assert not ready.lab("squeue", "-h")
    finally:
        ready.lab("scontrol", "update", "PartitionName=cpu", "State=UP")
    code, text = ready.end(process)
    assert code == 0, text
    assert "Trying to restart" not in text
    same(ready, made)


def test_a_disk_that_is_full_is_told_and_the_same_command_goes_on(site: Site) -> None:
    rows = [json.dumps({"text": os.urandom(150).hex()}) + "\n" for _ in range(6000)]  # 900 kB, compressed
    (site.folder / "notes.jsonl").write_text("".join(rows))
    results = site.folder / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(results)], check=True)
    try:
        code, text = site.run("subsets")
        assert code == 1, text
        assert "error: no space left on the disk while writing" in text
        assert not list(results.rglob(".*.parquet"))  # nothing half-written
        subprocess.run(["mount", "-o", "remount,size=200m", str(results)], check=True)
        code, text = site.run("subsets")
        assert code == 0, text
        contents = site.contents()
    finally:
        subprocess.run(["umount", "-l", str(results)], check=True)
    code, text = site.run("subsets", "--cores", "2", "--config", "results=local", profile="profiles/local")
    assert code == 0, text
    assert contents == {**site.contents("local"), "source.json": contents["source.json"]}  # it names paths


def test_a_job_that_can_never_start_is_named_and_fails(ready: Site) -> None:
    """The limit of the partition is lowered after the start; what is known before it is refused at once (below)."""
    process = first_of_two(ready, "--retries", "0")
    ready.lab("scontrol", "update", "PartitionName=cpu", "MaxTime=10")
    try:
        code, text = ready.end(process)
    finally:
        ready.lab("scontrol", "update", "PartitionName=cpu", "MaxTime=60")
    assert code == 1
    assert re.search(
        r"error: SLURM job \d+ \(train_model notes_none_random_few_0_tiny_0, partition cpu\) would never start "
        r"\(PartitionTimeLimit\): it asks for more time than the partition allows: lower runtime; cancelled",
        text,
    )


def test_what_no_node_can_run_is_told_before_anything_is_submitted(ready: Site) -> None:
    before = len(ready.lab.jobs())
    code, text = ready.run(*LINE, "--set-resources", "train_model:mem_mb=20000")
    assert code == 1
    assert (
        "error: train_model: asks for 20,000 MB of memory, a node of partition cpu has 9,000; name a partition of larger "
        "nodes in the profile, or lower its mem_mb in set-resources"
    ) in text
    code, text = ready.run(*LINE, "--set-resources", "train_model:gpu=4")
    assert (
        "error: train_model: asks for 4 GPUs, a node of partition gpu has 2; set gpu_partition in the profile"
        in text
    )
    ready.profile(default_resources=["slurm_partition=compute"])
    code, text = ready.run(*LINE)
    assert code == 1
    assert (
        "error: train_model: slurm_partition=compute: the cluster has no such partition; sinfo knows cpu, gpu, urgent"
    ) in text
    code, text = ready.run(*LINE, "--dry-run")
    assert code == 0
    assert "warning: train_model: slurm_partition=compute" in text
    assert len(ready.lab.jobs()) == before


def test_preflight_tries_a_job_of_each_kind(site: Site) -> None:
    code, text = site.run("preflight")
    assert code == 1
    assert (site.path("preflight/cpu.json")).exists()
    host = json.loads(site.path("preflight/cpu.json").read_text())["host"]
    assert re.search(
        rf"error: {host}: a job that asked for 1 GPU sees 0 \(SLURM gave it \d\)", text
    )  # the lab's are placeholders
    site.profile(default_resources=[])
    path = site.folder / "profiles/slurm/profile.v9+.yaml"
    path.write_text("".join(row for row in path.read_text().splitlines(True) if "gpu_partition" not in row))
    before = site.path("preflight/cpu.json").stat().st_mtime
    code, text = site.run("preflight")
    assert code == 0, text
    assert site.path("preflight/cpu.json").stat().st_mtime > before


def test_clocks_that_differ_by_90_seconds_are_named(ready: Site, made: tuple[Path, dict[str, str]]) -> None:
    """Inputs of a machine whose clock is ahead are newer than what is made of them: Snakemake refuses the outputs."""
    for path in ready.path("notes").rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 3600))
    code, text = ready.run(*LINE, "--retries", "0")
    assert code == 1, text
    assert "has older modification time" in text
    assert not (ready.path("notes") / MODEL / "manifest.json").exists()
    for path in ready.path("notes").rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3600))
    code, text = ready.run(*LINE)
    assert code == 0, text
    same(ready, made)
