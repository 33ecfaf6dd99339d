"""Which partition of a SLURM cluster a job goes to, and what it may ask for there.

In: what `sinfo` and `scontrol` print of the partitions, and the request of a job. Out: the request as the partition
allows it, or one line on why no node of it can ever run the job. Pure functions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from winnow.stage import InputError

SINFO = ("sinfo", "-h", "-e", "-o", "%R|%c|%m|%G")
"""Prints a line for each kind of node of each partition: name, CPUs, MB of memory, gres."""
SCONTROL = ("scontrol", "-o", "show", "partition")
"""Prints a line for each partition."""


@dataclass(frozen=True)
class Node:
    """The largest job that a kind of node can run: CPUs, MB of memory, GPUs by model ("" where SLURM names none)."""

    cpus: int
    memory: int
    gpus: dict[str, int]

    def count(self, model: str = "") -> int:
        """GPUs of a model, or of any."""
        return self.gpus.get(model, 0) if model else sum(self.gpus.values())


@dataclass(frozen=True)
class Partition:
    """A partition: minutes that a job may take (math.inf: no limit), and its kinds of nodes."""

    name: str
    minutes: float
    nodes: tuple[Node, ...]
    up: bool = True


@dataclass(frozen=True)
class Request:
    """What a job asks for: CPUs, MB of memory, minutes, GPUs and their model ("": any)."""

    threads: int
    memory: int
    minutes: int
    gpus: int = 0
    model: str = ""


def minutes_of(text: str) -> float:
    """Minutes of a SLURM time: minutes, [days-]hours:minutes:seconds, minutes:seconds, or UNLIMITED."""
    if text.lower() in ("unlimited", "infinite", "none", "n/a"):
        return math.inf
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:
        hours, minute, second = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, minute, second = parts
    else:
        hours, (minute, second) = 0, [*parts, 0][:2]
    return int(days or 0) * 1440 + hours * 60 + minute + second / 60


def gpus_of(gres: str) -> dict[str, int]:
    """GPUs by model of the generic resources of a node: `gpu:a100:4(S:0-1),gpu:2` -> {"a100": 4, "": 2}."""
    found: dict[str, int] = {}
    for model, count in re.findall(r"(?:^|,)gpu:(?:([^:,()]+):)?(\d+)", gres):
        found[model] = found.get(model, 0) + int(count)
    return found


def _number(text: str) -> float:
    """A limit of SLURM: math.inf where it is UNLIMITED, 0 or not set."""
    return int(text) if text.isdigit() and int(text) else math.inf


def read_partitions(sinfo: str, scontrol: str) -> dict[str, Partition]:
    """Partitions by name, from what `SINFO` and `SCONTROL` print."""
    nodes: dict[str, list[Node]] = {}
    for line in sinfo.splitlines():
        name, cpus, memory, gres = line.split("|", 3)
        node = Node(int(cpus.rstrip("+")), int(memory.rstrip("+")), gpus_of(gres))
        nodes.setdefault(name, []).append(node)
    partitions: dict[str, Partition] = {}
    for line in scontrol.splitlines():
        fields = dict(field.split("=", 1) for field in line.split() if "=" in field)
        if "PartitionName" not in fields:
            continue
        name = fields["PartitionName"]
        most_cpus = _number(fields.get("MaxCPUsPerNode", ""))
        most_memory = _number(fields.get("MaxMemPerNode", ""))
        kinds = [
            Node(int(min(node.cpus, most_cpus)), int(min(node.memory, most_memory)), node.gpus)
            for node in nodes.get(name, [])
        ]
        up = fields.get("State", "UP") == "UP"
        partitions[name] = Partition(name, minutes_of(fields.get("MaxTime", "UNLIMITED")), tuple(kinds), up)
    return partitions


def fit(request: Request, partitions: Sequence[Partition], attempt: int = 1) -> tuple[str, Request]:
    """The partition that a job goes to, and its request there.

    The first of `partitions` whose limits the request keeps; else the last that can run it with fewer CPUs or less
    time. Memory that grew with the attempt is cut, too. Raises InputError (one line) if none of them can run it.
    """
    cut: tuple[str, Request] | None = None
    problems = []
    for partition in partitions:
        try:
            fitted = _fit_one(request, partition, attempt)
        except InputError as error:
            problems.append(str(error))
            continue
        if fitted == request:
            return partition.name, fitted
        cut = partition.name, fitted
    if cut is None:
        raise InputError("; ".join(problems))
    return cut


def _fit_one(request: Request, partition: Partition, attempt: int) -> Request:
    name, model = partition.name, f"{request.model} " if request.model else ""
    if not partition.nodes:
        raise InputError(f"partition {name} has no nodes; name another in the profile")
    nodes = [node for node in partition.nodes if node.count(request.model) >= request.gpus]
    if not nodes:
        most = max(node.count(request.model) for node in partition.nodes)
        raise InputError(
            f"asks for {request.gpus} {model}GPU{'s' * (request.gpus > 1)}, a node of partition {name} has "
            f"{most or 'none'}; set gpu_partition{' and gpu_model' if model else ''} in the profile"
            + (", or ask for fewer GPUs in set-resources" if most else "")
        )
    memory = max(node.memory for node in nodes)
    if request.memory > memory:
        if attempt == 1:
            raise InputError(
                f"asks for {request.memory:,} MB of memory, a node of partition {name} has {memory:,}; name a "
                "partition of larger nodes in the profile, or lower its mem_mb in set-resources"
            )
        request = replace(request, memory=memory)
    cpus = max(node.cpus for node in nodes if node.memory >= request.memory)
    minutes = int(min(request.minutes, max(1, partition.minutes)))
    return replace(request, threads=min(request.threads, cpus), minutes=minutes)


def to_plain(partitions: dict[str, Partition]) -> list[dict[str, Any]]:
    """Partitions as plain values of JSON, which has no infinity."""
    plain = [asdict(partition) for partition in partitions.values()]
    return [dict(p, minutes=None if p["minutes"] == math.inf else p["minutes"]) for p in plain]


def from_plain(plain: list[dict[str, Any]]) -> dict[str, Partition]:
    """The inverse of `to_plain`."""
    return {
        p["name"]: Partition(
            p["name"],
            math.inf if p["minutes"] is None else p["minutes"],
            tuple(Node(**node) for node in p["nodes"]),
            p["up"],
        )
        for p in plain
    }
