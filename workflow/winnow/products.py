"""Matrix products whose result does not depend on where a row stands."""

from __future__ import annotations

import numpy as np


def exact_product(vectors: np.ndarray, table: np.ndarray) -> np.ndarray:
    """vectors @ table.T without rounding: float64 [n, k], the same bits wherever a row stands, on any machine.

    `vectors` [n, d]: float16 rows (of any dtype) of norm at most 1: their entries are multiples of 2^-24. `table` [k, d]:
    rows of norm at most 1, which are first rounded to multiples of 2^-28. Products and sums are then multiples of
    2^-52 below 2, which float64 holds, so no order of addition rounds.
    """
    grid = np.rint(table.astype(np.float64) * 2.0**28) / 2.0**28
    return vectors.astype(np.float64) @ grid.T
