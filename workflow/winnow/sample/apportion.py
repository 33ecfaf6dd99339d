"""Whole numbers from weights: the divisor method of Webster, with capacities. Pure."""

from __future__ import annotations

import numpy as np


def webster(
    weight: np.ndarray, capacity: np.ndarray, budget: int, tie: np.ndarray | None = None
) -> np.ndarray:
    """Divisor method of Webster with capacities: the `budget` smallest of the numbers (n - 1/2) / w_i,
    1 <= n <= capacity_i.

    Parameters: `weight` float64 [k] >= 0; `capacity` int64 [k] >= 0; `budget` >= 0; `tie` [k], of equal
    numbers the cluster with the smaller tie value comes first (default: the position).
    Returns int64 [k], summing to `budget`, each at most its capacity, none smaller for a larger budget.
    A cluster of weight 0 gets nothing. The time is O(k) for any budget: the threshold is found by
    bisection over the 64-bit floats themselves, so the result is exact.
    Source: Balinski and Young, Fair Representation (1982); capacities only remove numbers from the list.
    Raises ValueError if the clusters of positive weight cannot hold the budget.
    """
    weight = np.asarray(weight, dtype=np.float64)
    capacity = np.where(weight > 0, np.asarray(capacity, dtype=np.int64), 0)
    if int(capacity.sum()) < budget:
        raise ValueError(f"budget {budget} exceeds the capacity {capacity.sum()}")
    if budget == 0:
        return np.zeros(len(weight), dtype=np.int64)
    open_ = capacity > 0
    w, c = weight[open_], capacity[open_]

    def numbers(n: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return (n - 0.5) / w

    def count(threshold: float) -> np.ndarray:
        """How many numbers of each cluster are at most the threshold."""
        with np.errstate(over="ignore"):
            n = np.minimum(np.floor(threshold * w + 0.5), c).astype(np.int64)
        n -= (n > 0) & (numbers(n) > threshold)
        n += (n < c) & (numbers(n + 1) <= threshold)
        return n

    low, high = 0, int(np.array(np.inf).view(np.int64))
    while high - low > 1:
        middle = (low + high) // 2
        if count(float(np.array(middle).view(np.float64))).sum() >= budget:
            high = middle
        else:
            low = middle
    below, up_to = (count(float(np.array(bits).view(np.float64))) for bits in (low, high))
    position = np.arange(len(weight)) if tie is None else np.asarray(tie)
    queue = np.argsort(position[open_], kind="stable")
    extra = up_to - below
    left = budget - int(below.sum())
    before = np.cumsum(extra[queue]) - extra[queue]
    below[queue] += np.clip(left - before, 0, extra[queue])
    result = np.zeros(len(weight), dtype=np.int64)
    result[open_] = below
    return result
