"""Work in several threads, with the results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

_END = object()


def ahead(items: Iterator, pool: ThreadPoolExecutor) -> Iterator:
    """The same items; a thread of `pool` makes the next one while the last one is in use."""
    future = pool.submit(next, items, _END)
    while (item := future.result()) is not _END:
        future = pool.submit(next, items, _END)
        yield item


def in_order(function: Callable, items: Iterable, pool: ThreadPoolExecutor, depth: int) -> Iterator:
    """`function` of each item, by the threads of `pool`, in order; at most `depth` items in flight."""
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
