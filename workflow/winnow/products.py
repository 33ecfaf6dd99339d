"""Rows of matrices: fast products, products that do not depend on the place of a row, and which rows are equal."""

from __future__ import annotations

from typing import Any

import numpy as np


def product(left: Any, right: Any) -> Any:
    """left @ right of torch tensors [n, d] and [d, k], to rounding. On a processor, in float32, by numpy's OpenBLAS, which is
    up to a third faster than torch's MKL where k is no multiple of 16 (AVX2: tests/benchmarks/README.md)."""
    import torch

    if left.device.type != "cpu" or left.dtype != torch.float32:
        return left @ right
    return torch.from_numpy(left.numpy() @ right.numpy())


def best_columns(scores: Any) -> tuple[Any, Any]:
    """The first column of the greatest entry of each row of a torch tensor [n, k], int64 [n], and that entry [n]."""
    import torch

    if scores.device.type == "cpu" and scores.dtype == torch.float32:
        best = torch.from_numpy(scores.numpy().argmax(1))  # five times as fast as torch's
        return best, scores.gather(1, best[:, None])[:, 0]
    values, best = scores.max(1)
    return best, values


def exact_product(vectors: np.ndarray, table: np.ndarray) -> np.ndarray:
    """vectors @ table.T without rounding: float64 [n, k], the same bits at any place of a row, on any machine.

    `vectors` [n, d]: float16 rows (of any dtype) of norm at most 1: their entries are multiples of 2^-24. `table` [k, d]:
    rows of norm at most 1, which are first rounded to multiples of 2^-28. Products and sums are then multiples of
    2^-52 below 2, which float64 holds, so no order of addition rounds.
    """
    grid = np.rint(table.astype(np.float64) * 2.0**28) / 2.0**28
    return vectors.astype(np.float64) @ grid.T


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
