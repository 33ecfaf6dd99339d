"""Work in flight: on a GPU two blocks at a time, so that one is tokenised and padded while the GPU computes the other; on a
processor a batch for each core."""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

PREPARING = Lock()
"""Held while a block is tokenised. The tokenizer uses all cores: of two blocks tokenised at a time neither would be ready
before the other, and both would then wait for the GPU."""
SWITCH_SECONDS = 1e-4
"""After which a thread that runs Python lets another run. Each operation given to a GPU waits for that: beside a thread that
makes lists of tokens, 400 small operations took 1.5 s with Python's usual 5 ms, and .07 s with this."""


def in_flight(function: Callable[[Item], Result], items: Iterable[Item], device: str) -> Iterator[Result]:
    """`function(item)` of each item, in their order; on a `device` other than the processor two are computed at a time.

    Items are read one after the other, by the calling thread.
    """
    if device == "cpu":  # which has no time to spare: a second block would take the cores of the first
        yield from map(function, items)
        return
    sys.setswitchinterval(SWITCH_SECONDS)
    source = iter(items)
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(2) as pool:
        try:
            pending += [pool.submit(function, item) for item in itertools.islice(source, 2)]
            while pending:
                result = pending.popleft().result()
                pending += [pool.submit(function, item) for item in itertools.islice(source, 1)]
                yield result
        finally:
            for one in pending:
                one.cancel()


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item], device: str) -> Iterator[Result]:
    """`function(item)` of each item, in their order; on the processor as many at a time as torch has threads, each on one
    core; on a GPU `in_flight`.

    No core waits for another inside an operation, which costs most where other processes run, too; and what comes of an
    item does not depend on the number of threads. All items are read at once.
    """
    if device != "cpu":
        yield from in_flight(function, items, device)
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(function, items)
    finally:
        torch.set_num_threads(threads)


class Meter:
    """Measures the share of time in which a device waited: `with meter:` around what it computes, in any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._busy = self._since = self._began = self._ended = 0.0

    def __enter__(self) -> None:
        with self._lock:
            now = time.perf_counter()
            self._began = self._began or now
            if not self._inside:
                self._since = now
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            self._ended = time.perf_counter()
            if not self._inside:
                self._busy += self._ended - self._since

    def waited(self) -> float:
        """Share of the time from the first computation to the last in which nothing was computed; 0 if there was none."""
        whole = self._ended - self._began
        return 1 - self._busy / whole if whole > 0 else 0.0

    def note(self, device: str) -> str:
        """For the last progress line of a job: `the GPU waited 3 % of the time`; nothing of a processor."""
        return "" if device == "cpu" else f"the GPU waited {100 * self.waited():.0f} % of the time"


METER = Meter()
"""Of this process, for its only device."""
