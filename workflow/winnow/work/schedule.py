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
    # By what they ask for, of which there are few kinds: those that wait for a GPU are not looked at one by one.
    ready: dict[tuple[int, int], list[tuple[float, int]]] = {}

    def add(place: int) -> None:
        asked = min(tasks[place].threads, cores), min(tasks[place].gpus, gpus)
        heapq.heappush(ready.setdefault(asked, []), (-chain[place], place))

    for place, count in enumerate(waiting):
        if not count:
            add(place)
    running: list[tuple[float, int, int, int]] = []
    now, free_cores, free_gpus = 0.0, cores, gpus
    while True:
        fitting = [
            (heap[0], asked)
            for asked, heap in ready.items()
            if heap and asked[0] <= free_cores and asked[1] <= free_gpus
        ]
        if fitting:
            (_, place), asked = min(fitting)
            heapq.heappop(ready[asked])
            free_cores, free_gpus = free_cores - asked[0], free_gpus - asked[1]
            heapq.heappush(running, (now + tasks[place].seconds, place, *asked))
            continue
        if not running:
            return now
        now, place, threads, devices = heapq.heappop(running)
        free_cores, free_gpus = free_cores + threads, free_gpus + devices
        for later in after[place]:
            waiting[later] -= 1
            if not waiting[later]:
                add(later)
