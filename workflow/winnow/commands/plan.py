"""What a run will take, before it is started: jobs, hours, time, disk, memory, price and energy, by stage and by table; and,
afterwards, beside what it took.

In: a run config, the machine of `winnow calibrate`, the number and kind of GPUs; benchmark files or sacct for what was used.
Out: Markdown on the terminal, JSON on request. Jobs are those of a dry run; their work is the model of winnow.work.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from winnow.commands.corpus_sizes import corpus_size, sizes
from winnow.commands.forecast import too_little_room
from winnow.commands.run_jobs import ROOT, RunJob, jobs_of_run
from winnow.commands.usage import NOTHING, Used, by_rule, measured, run_sacct
from winnow.config.checks import resolve
from winnow.config.files import definition_files, read_files
from winnow.config.pins import lock_file
from winnow.stage import InputError, write_json
from winnow.work.machine import Device, Machine, device, read_machine, watts
from winnow.work.requests import OVERHEAD, Request, Work, cpu_seconds, request, start_seconds, wall_seconds
from winnow.work.schedule import Task, critical_path, makespan
from winnow.work.stages import STAGES, work_of

HOUR = 3600.0
GB = 1e9
CORES_A_GPU = 8


@dataclass(frozen=True)
class Job:
    """A job with its work, what it asks for, and seconds: of its processors, of its GPUs as allocated, from start to end."""

    job: RunJob
    work: Work
    asks: Request
    cpu: float
    gpu: float
    wall: float
    watt_seconds: float


@dataclass(frozen=True)
class Row:
    """A stage, a table, or the whole: hours, bytes and money. `path_hours` and `wall_hours`: of the longest chain of jobs, and
    on the cores and GPUs of the plan (of a stage: of its longest job, and of its jobs alone). `asks_*`: the largest requests."""

    name: str
    jobs: int
    cpu_hours: float
    gpu_hours: float
    path_hours: float
    wall_hours: float
    memory_gb: float
    disk_gb: float
    price: float
    kwh: float
    asks_cores: int
    asks_gb: float
    asks_minutes: int
    asks_gpus: int


MANY_SHARDS = 8
"""Jobs of a stage below which loading anew for each is not worth a word."""


@dataclass(frozen=True)
class Comparison:
    """A stage as planned and as measured: jobs of which there is a measurement, their CPU-hours, GPU-hours and peak memory;
    `factor`: measured over planned CPU-hours (GPU-hours where there are any measured)."""

    name: str
    jobs: int
    planned_cpu_hours: float
    measured_cpu_hours: float
    planned_gpu_hours: float
    measured_gpu_hours: float
    planned_gb: float
    measured_gb: float
    factor: float


def plan_jobs(
    config: dict[str, Any],
    results: str,
    jobs: Sequence[RunJob],
    machine: Machine,
    gpu: Device | None,
    cores: int,
    lock: str,
) -> list[Job]:
    """Each job with its work and its times, on the GPUs of the kind `gpu` (None: on processors); targets take nothing."""
    known = sizes(config, results, lock)
    usual = device(None, machine)  # what the rules ask for does not depend on the plan
    cache: dict[Any, tuple[Work, Request, float, float, float, float]] = {}
    planned = []
    for job in jobs:
        ids = tuple((key, value) for key, value in job.ids.items() if not key.endswith("_seed"))
        if (job.rule, ids) not in cache:
            work = (
                work_of(config, job.rule, dict(ids), known)
                if job.rule in STAGES
                else Work("none", memory_mb=0.0)
            )
            asks = request(work, machine, usual)
            on_gpu = bool(gpu and work.gpus)
            wall = wall_seconds(work, machine, min(asks.threads, cores), gpu)
            cpu = cpu_seconds(work, machine, on_gpu)
            gpu_time = wall * work.gpus if on_gpu else 0.0
            energy = watts(gpu or usual, 1, 0) * cpu + watts(gpu or usual, 0, 1) * gpu_time
            cache[job.rule, ids] = (work, asks, cpu, gpu_time, wall, energy)
        planned.append(Job(job, *cache[job.rule, ids]))
    return planned


def summarise(
    name: str,
    jobs: Sequence[Job],
    every: Sequence[Job],
    cores: int,
    gpus: int,
    price: float,
    core_price: float,
) -> Row:
    """The row of some jobs of the plan `every`; chains go through these alone."""
    place = {id(job): at for at, job in enumerate(jobs)}
    of = [place.get(id(job)) for job in every]
    tasks = [
        Task(
            tuple(at for need in job.job.needs if (at := of[need]) is not None),
            job.wall + OVERHEAD,
            job.asks.threads,
            job.work.gpus if gpus else 0,
        )
        for job in jobs
    ]
    cpu, gpu = sum(job.cpu for job in jobs) / HOUR, sum(job.gpu for job in jobs) / HOUR
    return Row(
        name=name,
        jobs=sum(job.job.rule in STAGES for job in jobs),
        cpu_hours=cpu,
        gpu_hours=gpu,
        path_hours=critical_path(tasks) / HOUR,
        wall_hours=makespan(tasks, cores, gpus) / HOUR,
        memory_gb=max((job.work.memory_mb for job in jobs), default=0.0) / 1000,
        disk_gb=sum(job.work.disk for job in jobs) / GB,
        price=gpu * price + cpu * core_price,
        kwh=sum(job.watt_seconds for job in jobs) / HOUR / 1000,
        asks_cores=max((job.asks.threads for job in jobs), default=0),
        asks_gb=max((job.asks.mem_mb for job in jobs), default=0) / 1000,
        asks_minutes=max((job.asks.runtime for job in jobs), default=0),
        asks_gpus=max((job.asks.gpus for job in jobs), default=0),
    )


def stages(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """Jobs by rule, in the order of the rules."""
    grouped: dict[str, list[Job]] = {rule: [] for rule in STAGES}
    for job in jobs:
        if job.job.rule in grouped:
            grouped[job.job.rule].append(job)
    return {rule: part for rule, part in grouped.items() if part}


def tables(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """Of each table the jobs that it needs, those that other tables need too: of all jobs that make one of its files."""
    grouped: dict[str, list[Job]] = {}
    for name in sorted({job.job.ids["table"] for job in jobs if "table" in job.job.ids}):
        needed = [job.job.ids.get("table") == name for job in jobs]
        for at in range(len(jobs) - 1, -1, -1):
            if needed[at]:
                for need in jobs[at].job.needs:
                    needed[need] = True
        grouped[name] = [job for job, is_needed in zip(jobs, needed, strict=True) if is_needed]
    return grouped


def compare(jobs: Sequence[Job], accounted: Mapping[str, Used] | None) -> list[Comparison]:
    """Stages as planned and as measured: of the jobs that have a benchmark file, or, with `accounted` (by rule), of all that
    SLURM knows of, whose planned hours are those of as many jobs."""
    rows = []
    for rule, part in stages(jobs).items():
        if accounted is None:
            pairs = [(job, measured([job.job.benchmark])) for job in part]
            part = [job for job, used in pairs if used.jobs]
            used = sum((used for _, used in pairs), start=NOTHING)
            share = 1.0
        else:
            used = accounted.get(rule, NOTHING)
            share = used.jobs / len(part)
        if not used.jobs:
            continue
        cpu, gpu = share * sum(job.cpu for job in part) / HOUR, share * sum(job.gpu for job in part) / HOUR
        planned, took = (gpu, used.gpu / HOUR) if used.gpu and gpu else (cpu, used.cpu / HOUR)
        rows.append(
            Comparison(
                rule, used.jobs, cpu, used.cpu / HOUR, gpu, used.gpu / HOUR,
                max(job.work.memory_mb for job in part) / 1000, used.memory_mb / 1000, took / planned if planned else 0.0,
            )
        )  # fmt: skip
    return rows


# ---------------------------------------------------------------- the page


def hours(value: float) -> str:
    """Hours, or minutes or seconds of less; nothing of none."""
    if not value:
        return ""
    for unit, size, least in (("h", 1.0, 1.0), ("min", 1 / 60, 1 / 60)):
        if value >= least:
            return f"{value / size:,.0f} {unit}" if value / size >= 100 else f"{value / size:.1f} {unit}"
    return f"{value * HOUR:.1f} s"


def _plain(value: float) -> str:
    return (
        ""
        if not value
        else f"{value:,.0f}"
        if value >= 100
        else f"{value:.1f}"
        if value >= 1
        else f"{value:.2g}"
    )


def show_rows(rows: Sequence[Row], what: str, gpus: int, priced: bool) -> str:
    """A table of rows as Markdown; columns of GPUs and of money only where there are any."""
    chain, together = (
        ("longest job", "this stage alone") if what == "stage" else ("critical path", "wall time")
    )
    head = [
        what,
        "jobs",
        "CPU time",
        *(["GPU time"] * bool(gpus)),
        chain,
        together,
        "peak GB",
        "disk GB",
        "kWh",
    ]
    head += ["price"] * priced + (["asks for"] if what == "stage" else [])
    body = []
    for row in rows:
        cells = [row.name, f"{row.jobs:,}", hours(row.cpu_hours), *([hours(row.gpu_hours)] * bool(gpus))]
        cells += [
            *(
                ["", ""]
                if what == "stage" and row is rows[-1]
                else [hours(row.path_hours), hours(row.wall_hours)]
            ),
            _plain(row.memory_gb),
            _plain(row.disk_gb),
            _plain(row.kwh),
        ]
        cells += [_plain(row.price)] * priced
        if what == "stage":
            asked = f"{row.asks_cores} core{'s' * (row.asks_cores > 1)}, {row.asks_gb:g} GB, {hours(row.asks_minutes / 60)}"
            cells.append(asked + f", {row.asks_gpus} GPU" * bool(row.asks_gpus))
        body.append(cells)
    align = ["left", *["right"] * (len(head) - 1)]
    if what == "stage":
        align[-1] = "left"
    return tabulate(body, head, tablefmt="github", colalign=align, disable_numparse=True)


def show_comparison(rows: Sequence[Comparison]) -> str:
    """Predicted beside measured, as Markdown."""
    gpu = any(row.measured_gpu_hours for row in rows)
    head = ["stage", "jobs", "CPU time, planned", "measured", *(["GPU time, planned", "measured"] * gpu), "factor", "peak GB, planned", "measured"]  # fmt: skip
    body = [
        [row.name, f"{row.jobs:,}", hours(row.planned_cpu_hours), hours(row.measured_cpu_hours),
         *([hours(row.planned_gpu_hours), hours(row.measured_gpu_hours)] * gpu), f"{row.factor:.2f}",
         _plain(row.planned_gb), _plain(row.measured_gb)]
        for row in rows
    ]  # fmt: skip
    return tabulate(
        body, head, tablefmt="github", colalign=["left", *["right"] * (len(head) - 1)], disable_numparse=True
    )


def plan(
    files: list[Path] = [],
    /,
    *,
    target: list[str] = [],
    gpus: int | None = None,
    gpu: str | None = None,
    cores: int | None = None,
    price: float = 0.0,
    core_price: float = 0.0,
    missing: bool = False,
    used: bool = False,
    sacct: Path | None = None,
    since: str | None = None,
    machine: Path | None = None,
    out: Path | None = None,
) -> None:
    """Print what a run will take, by stage and by table: jobs, hours, time, memory, disk, energy, price.

    Args:
        files: Run configs, later ones over earlier ones; none: the default run.
        target: Targets of Snakemake instead of the run's tables.
        gpus: GPUs that work at a time; 0: all on processors. Default: 1 with --gpu or --price, else 0.
        gpu: Kind of the GPUs: H100, A100, ... Default: that of the calibration, else A100.
        cores: Cores that work at a time. Default: those of this machine, 8 for each GPU if that is more.
        price: Of an hour of a GPU.
        core_price: Of an hour of a core.
        missing: Only the jobs that are missing in the folder of results, not those of a fresh run.
        used: Print what the jobs took beside the plan, from the benchmark files in the folder of results.
        sacct: The same from a file with the output of sacct (profiles/README.md has the command).
        since: The same from sacct itself, of jobs since this date.
        machine: File of `winnow calibrate`. Default: calibration.json in the folder of results, else the default figures.
        out: JSON file to write.
    """
    for name, value in (("--gpus", gpus), ("--price", price), ("--core-price", core_price)):
        if value is not None and value < 0:
            raise InputError(f"{name}: {value} is below 0")
    if cores is not None and cores < 1:
        raise InputError(f"--cores: {cores} is below 1")
    accounted = accounting(sacct, since)
    paths: list[str | Path] = [*definition_files(ROOT), *files]
    lock = lock_file(ROOT)
    config = resolve(read_files(paths), paths, lock=lock)
    results = config["results"]
    speed = read_machine(results, machine)
    gpus = int(bool(gpu or price)) if gpus is None else gpus
    kind = device(gpu, speed) if gpus else None
    cores = cores or max(len(os.sched_getaffinity(0)), CORES_A_GPU * gpus)
    jobs = plan_jobs(config, results, jobs_of_run(files, target, missing), speed, kind, cores, lock)
    if not jobs:
        print("Nothing to do: no job is missing" if missing else "Nothing to do: the run has no jobs")
        return
    by_stage = [
        summarise(rule, part, jobs, cores, gpus, price, core_price) for rule, part in stages(jobs).items()
    ]
    by_table = [
        summarise(name, part, jobs, cores, gpus, price, core_price) for name, part in tables(jobs).items()
    ]
    whole = summarise("all", jobs, jobs, cores, gpus, price, core_price)
    priced = bool(price or core_price)
    what = "the jobs that are missing" if missing else "a fresh run"
    where = f"{cores} cores" + (f" and {gpus} {kind.name}" if kind else "")
    print(f"Plan of {what}, on {where}, at the speed of {speed.name}\n")
    print(show_rows([*by_stage, whole], "stage", gpus, priced), "\n")
    print(show_rows([*by_table, whole], "table", gpus, priced))
    for line in [*notes(config, results, jobs, lock, gpus, price, whole), *small_shards(jobs, speed)]:
        print(f"\n{line}")
    compared: list[Comparison] = []
    if used or sacct or since:
        compared = compare(jobs, accounted)
        if not compared:
            raise InputError(f"--used: no timings of these jobs in {results}/timings; run them first")
        print("\nPlanned and measured\n")
        print(show_comparison(compared))
    if out:
        write_json(
            out,
            {
                "machine": asdict(speed), "gpu": asdict(kind) if kind else None, "gpus": gpus, "cores": cores, "missing": missing,
                "stages": [asdict(row) for row in by_stage], "tables": [asdict(row) for row in by_table], "all": asdict(whole),
                "measured": [asdict(row) for row in compared],
            },
        )  # fmt: skip


def accounting(sacct: Path | None, since: str | None) -> dict[str, Used] | None:
    """What SLURM's accounting says of each rule; None without --sacct and --since. Raises InputError as `by_rule` does."""
    if sacct and since:
        raise InputError("--sacct and --since both say where the accounting comes from; give one")
    if since:
        return by_rule(run_sacct(since), STAGES)
    if sacct is None:
        return None
    try:
        return by_rule(sacct.read_text(encoding="utf-8"), STAGES)
    except OSError:
        raise InputError(f"--sacct: no file {sacct}; write sacct's output to it") from None


def chain(jobs: Sequence[Job]) -> int:
    """Jobs of the longest chain, without targets. `jobs`: each behind those that it waits for."""
    longest: list[int] = []
    for job in jobs:
        before = max((longest[need] for need in job.job.needs), default=0)
        longest.append(before + (job.job.rule in STAGES))
    return max(longest, default=0)


def notes(
    config: dict[str, Any], results: str, jobs: Sequence[Job], lock: str, gpus: int, price: float, whole: Row
) -> list[str]:
    """What a reader of a plan has to know of it."""
    lines = []
    corpora = sorted({job.job.ids["corpus"] for job in jobs if "corpus" in job.job.ids})
    for name in corpora:
        size = corpus_size(config, results, name, lock)
        if size is None or not size.counted:
            assumption = sizes(config, results, lock).corpus(name)
            lines.append(
                f"Assumed: {name} has {assumption.documents:,} documents of {assumption.bytes:,.0f} bytes; nobody has counted "
                f"them. State them: corpora.{name}.size"
            )
    lines += too_little_room(results, whole.disk_gb * GB)
    asking = sum(bool(job.work.gpus) for job in jobs)
    if asking and not gpus:
        lines.append(
            f"{asking:,} jobs ask for a GPU and are counted on processors here; --gpus N counts them on GPUs"
        )
    lines.append(
        f"Of all jobs: {_plain(whole.disk_gb)} GB stay on disk. Jobs that several tables need are counted for each of them. "
        "kWh are of rated power. A time limit is twice (trainings, which continue) or three times what is expected on an A100 and "
        "a shared disk, and 10 minutes; memory 1.5 times."
    )
    if gpus and price:
        rented = gpus * whole.wall_hours
        lines.append(
            f"The price is of busy GPUs. {gpus} GPUs that are paid for the whole wall time are {hours(rented)} of a GPU: "
            f"{_plain(price * rented)}."
        )
    if gpus and price and not whole.gpu_hours:
        lines.append(
            "No job of this plan works on a GPU: those of small models and corpora are as fast on processors."
        )
    lines.append(
        f"Under SLURM the wall time is longer: about half a minute for each job of the longest chain ({chain(jobs)} jobs), until "
        "the end of one is seen and the next has started, and what jobs wait in the queue for."
    )
    lines.append(
        "Computed from documents, tokens and models, not measured at this size. Stages that were run came out within a factor of "
        "1.5 (docs/scale.md); jobs that fail and run again are not counted."
    )
    return lines


def small_shards(jobs: Sequence[Job], machine: Machine) -> list[str]:
    """A line on each stage that spends more of its time on starting, which each shard pays, than on documents."""
    lines = []
    for rule, part in stages([job for job in jobs if "shard" in job.job.ids]).items():
        starts = sum(start_seconds(job.work, machine) for job in part) / HOUR
        taken = sum(job.wall for job in part) / HOUR
        if len(part) >= MANY_SHARDS and starts > taken / 2:
            lines.append(
                f"{rule}: {len(part):,} jobs take {hours(taken)}, {100 * starts / taken:.0f} % of it to start and to load; fewer shards "
                "(corpora.NAME.shards) load once for more documents"
            )
    return lines
