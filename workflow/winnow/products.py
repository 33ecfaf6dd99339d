"""Rows of matrices: blocks of them in threads, products that do not depend on the place of a row, and which rows are equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

BLOCK = 1024
"""Rows whose vectors and products with some hundred others fit a core's cache."""


def in_blocks(function: Callable[[slice], int], rows: int, threads: int) -> Iterator[int]:
    """`function` of slices of BLOCK of some rows, in their order, on `threads` threads of one core each.

    Numpy's products inside run on one core, without the barriers of a threaded product, and a block stays in its cache.
    """
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, (slice(at, at + BLOCK) for at in range(0, rows, BLOCK)))


def single(rows: np.ndarray) -> np.ndarray:
    """The same numbers in float32, without rounding if they are float16; numpy's own conversion takes five times as long."""
    if rows.dtype != np.float16:
        return rows.astype(np.float32, copy=False)
    if (rows.view(np.uint16) & 0x7FFF).max(initial=0) >= 0x7C00:  # infinite, or not a number
        return rows.astype(np.float32)
    bits = rows.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= np.array(0x8FFFE000, dtype=np.uint32).view(np.int32)
    numbers = bits.view(np.float32)
    numbers *= np.float32(2.0**112)  # the difference of the exponents' offsets, 127 - 15
    return numbers


def best_two(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first column of the greatest entry of each row of float32 [n, k], int64 [n]; that entry; and the greatest of the other
    columns (-inf for k = 1), float32 [n]. Changes `scores`."""
    rows = np.arange(len(scores))
    best = scores.argmax(1)
    highest = scores[rows, best]
    scores[rows, best] = -np.inf
    return best, highest, scores.max(1)


def exact_product(vectors: np.ndarray, table: np.ndarray) -> np.ndarray:
    """vectors @ table.T without rounding: float64 [n, k], the same bits at any place of a row, on any machine.

    `vectors` [n, d]: float16 rows (of any dtype) of norm at most 1: their entries are multiples of 2^-24. `table` [k, d]:
    rows of norm at most 1, which are first rounded to multiples of 2^-28. Products and sums are then multiples of
    2^-52 below 2, which float64 holds, so no order of addition rounds.
    """
    grid = np.rint(table.astype(np.float64) * 2.0**28) / 2.0**28
    return (single(vectors) if vectors.dtype == np.float16 else vectors).astype(np.float64) @ grid.T


def different_rows(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different rows of `points` [n, d] by their first places, int64 [m], ascending; the index of each row among
    them, int64 [n]; how often each occurs, int64 [m]."""
    rows = np.ascontiguousarray(points + points.dtype.type(0))  # -0 and 0 are equal
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, place, count = np.unique(whole, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[place], count[order]
