"""The work of a job, the time it takes on a machine, and the resources it asks for.

In: name of a rule, its wildcards, a checked configuration and the sizes of its corpora (`Sizes`). Out: `Work`, `Request`,
seconds. Pure functions; the formula of each rule is in winnow.work.stages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from winnow.work.machine import DEFAULT, Device, Machine
from winnow.work.sizes import CorpusSize

Config = Mapping[str, Any]
Ids = Mapping[str, Any]

STARTS = {"none": 0.0, "shell": 0.35, "thin": 0.45, "light": 0.65, "plots": 2.1, "torch": 2.2, "encoder": 4.5, "training": 5.1, "evaluation": 7.5}  # fmt: skip
"""CPU-seconds of each kind of start on the machine of the default figures; on another they follow its `heavy` or `light`."""
HEAVY = ("torch", "encoder", "training", "evaluation")
OVERHEAD = 0.3
"""Seconds of a job beside its own (tests/benchmarks/bench_workflow.py), on one machine."""
DOWNLOAD = 50e6
"""Bytes a second of a download."""
SHARED_DISK = 100e6
"""Bytes a second that a job is sure to get from a file system that many jobs share: what time limits reckon with."""
COMPRESSED = 0.45
"""Share of a text's bytes that zstd leaves."""
GPU_START = 30.0
"""Seconds in which a job on a GPU starts, beside that: CUDA, moving weights, compiling."""
RATES = {
    "product": ("product", 0.93),
    "embed": ("embed", 0.85),
    "train": ("train", 0.79),
    "train_bfloat16": ("train_bfloat16", 0.81),
    "classify": ("train", 0.58),
    "evaluate": ("train", 0.67),
}
"""By kind of floating-point operation the rate of a machine, and the share of it that a stage reached on the machine of the
default figures: a calibration keeps the best of short repetitions. `classify`: an encoder on short texts, trained or not;
`evaluate`: a language model's forward pass."""

SAFETY, SAFETY_TRAINING, LEAST_MINUTES = 3.0, 2.0, 10
"""A job asks for so many times the time it is expected to take (a training, which continues where it stopped, for less) and
these minutes."""
MEMORY_SAFETY, NESTED_MB, LEAST_MB = 1.5, 300, 1500
"""And for so many times the expected memory and that of the two Snakemakes that run a job of SLURM, in steps of 500 MB; at
least this much."""
THREADS = ((3600.0, 8), (120.0, 4), (30.0, 2))
"""Threads that a job asks for from so many core-seconds of work on that can be divided."""
GPU_THREADS = 8
"""Threads beside a GPU: they tokenise and load."""


@dataclass(frozen=True)
class Work:
    """What a job does.

    `start`: a kind of STARTS. `flops`: floating-point operations by kind (RATES), which threads or a GPU divide among
    them. `spread` and `serial`: other core-seconds on the machine of the default figures, divided by threads or not.
    `read`, `written`: bytes of text, from and to parquet. `memory_mb`: at its peak, with `gpus` of the host. `disk`: bytes
    that stay. `download`: bytes. `threads`: most that it can use. `gpus`: that it asks for. `resumes`: whether it continues
    where it stopped.
    """

    start: str = "light"
    flops: Mapping[str, float] = field(default_factory=dict)
    spread: float = 0.0
    serial: float = 0.0
    read: float = 0.0
    written: float = 0.0
    memory_mb: float = 300.0
    disk: float = 0.0
    download: float = 0.0
    threads: int = 1
    gpus: int = 0
    resumes: bool = False


@dataclass(frozen=True)
class Request:
    """What a job asks for at its first attempt; time and memory double with each further one."""

    threads: int
    mem_mb: int
    runtime: int  # minutes
    gpus: int


@dataclass(frozen=True)
class Sizes:
    """What is known of the sizes of corpora, by name, and of labelled test files, by the benchmark's name (None: nothing)."""

    corpus: Callable[[str], CorpusSize]
    benchmark: Callable[[str], CorpusSize | None] = lambda _: None


def start_seconds(work: Work, machine: Machine) -> float:
    slower = machine.heavy / DEFAULT.heavy if work.start in HEAVY else machine.light / DEFAULT.light
    return STARTS[work.start] * slower


def parallel_seconds(work: Work, machine: Machine) -> tuple[float, float]:
    """Core-seconds of the work that threads divide: (of floating-point operations, which a GPU can take; of the rest)."""
    flops = sum(
        count / (getattr(machine, RATES[kind][0]) * RATES[kind][1]) for kind, count in work.flops.items()
    )
    other = work.spread * machine.light / DEFAULT.light
    return flops, other + work.read / machine.read + work.written / machine.written


def cpu_seconds(work: Work, machine: Machine, on_gpu: bool = False) -> float:
    """Core-seconds of a job in all; without its floating-point operations, if they run on a GPU."""
    flops, other = parallel_seconds(work, machine)
    serial = work.serial * machine.light / DEFAULT.light
    return start_seconds(work, machine) + serial + other + (0.0 if on_gpu else flops)


def gpu_seconds(work: Work, device: Device) -> float:
    """Seconds of the floating-point operations on one GPU."""
    training = sum(count for kind, count in work.flops.items() if kind.startswith(("train", "classify")))
    forward = sum(work.flops.values()) - training
    return training / device.train + forward / device.embed


def wall_seconds(work: Work, machine: Machine, threads: int, device: Device | None) -> float:
    """Seconds from start to end, on so many threads; on its GPUs of the kind `device`, if there is one and it asks for some."""
    threads = max(1, min(threads, max(work.threads, GPU_THREADS if work.gpus and device else 1)))
    flops, other = parallel_seconds(work, machine)
    serial = start_seconds(work, machine) + work.serial * machine.light / DEFAULT.light
    serial += work.download / DOWNLOAD
    faster = 1 + (threads - 1) * machine.scaling
    if work.gpus and device:
        return serial + GPU_START + gpu_seconds(work, device) / work.gpus + other / faster
    return serial + (flops + other) / faster


def threads_of(work: Work) -> int:
    """Threads that a job asks for: those it can use, as far as its work is worth them. Does not depend on the machine."""
    if work.gpus:
        return GPU_THREADS
    seconds = sum(parallel_seconds(work, DEFAULT))
    return min(work.threads, next((threads for least, threads in THREADS if seconds >= least), 1))


def request(work: Work, machine: Machine, device: Device) -> Request:
    """What a job asks for: its threads, SAFETY times its time and MEMORY_SAFETY times its memory."""
    threads = threads_of(work)
    disk = (COMPRESSED * work.read + work.disk) / SHARED_DISK
    seconds = max(wall_seconds(work, machine, threads, device), disk)
    minutes = LEAST_MINUTES + (SAFETY_TRAINING if work.resumes else SAFETY) * seconds / 60
    memory = max(LEAST_MB, 500 * math.ceil((NESTED_MB + MEMORY_SAFETY * work.memory_mb) / 500))
    return Request(threads, memory, 5 * math.ceil(minutes / 5), work.gpus)
