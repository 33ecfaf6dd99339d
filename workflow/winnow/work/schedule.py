"""How long jobs take together: the longest chain of them, and a schedule on so many cores and GPUs."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A job with the places of those that it waits for, all before its own; its seconds, threads and GPUs."""

    needs: tuple[int, ...]
    seconds: float
    threads: int
    gpus: int


def critical_path(tasks: Sequence[Task]) -> float:
    """Seconds of the longest chain: what the jobs take on any number of machines."""
    ends: list[float] = []
    for task in tasks:
        ends.append(task.seconds + max((ends[need] for need in task.needs), default=0.0))
    return max(ends, default=0.0)


def makespan(tasks: Sequence[Task], cores: int, gpus: int) -> float:
    """Seconds until the last job ends, if jobs start as soon as cores and GPUs are free, those before the longest chains first.

    A job that asks for more than there is gets all there is, as Snakemake gives it.
    """
    chain = [0.0] * len(tasks)
    waiting = [len(task.needs) for task in tasks]
    after: list[list[int]] = [[] for _ in tasks]
    for place in range(len(tasks) - 1, -1, -1):
        chain[place] += tasks[place].seconds
        for need in tasks[place].needs:
            after[need].append(place)
            chain[need] = max(chain[need], chain[place])
    ready = [(-chain[place], place) for place, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now, free_cores, free_gpus = 0.0, cores, gpus
    while ready or running:
        left = []
        while ready and free_cores:
            _, place = entry = heapq.heappop(ready)
            threads, devices = min(tasks[place].threads, cores), min(tasks[place].gpus, gpus)
            if threads <= free_cores and devices <= free_gpus:
                free_cores, free_gpus = free_cores - threads, free_gpus - devices
                heapq.heappush(running, (now + tasks[place].seconds, place))
            else:
                left.append(entry)
        for entry in left:
            heapq.heappush(ready, entry)
        now, place = heapq.heappop(running)
        free_cores += min(tasks[place].threads, cores)
        free_gpus += min(tasks[place].gpus, gpus)
        for later in after[place]:
            waiting[later] -= 1
            if not waiting[later]:
                heapq.heappush(ready, (-chain[later], later))
    return now
