"""The schedule of a training: learning rate and rows of each step, and the number of steps. Pure functions of a recipe."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def rate_at(step: int, recipe: dict[str, Any]) -> float:
    """Learning rate of a step (0-based): linear over the warm-up, then half a cosine to the final share."""
    total, peak = recipe["steps"], recipe["learning_rate"]
    warm = max(1, round(recipe["warmup"] * total))
    if step < warm:
        return peak * (step + 1) / warm
    share = (step - warm) / max(1, total - warm)
    return peak * (recipe["final_rate"] + (1 - recipe["final_rate"]) * 0.5 * (1 + math.cos(math.pi * share)))


def rows_of_step(step: int, batch: int, rows: int, seed: int) -> np.ndarray:
    """Rows of a step: int64 [batch]. Each epoch is a permutation drawn from (training seed, epoch), so
    any step can be had without those before it."""
    positions = np.arange(step * batch, (step + 1) * batch)
    out = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(positions // rows):
        order = np.random.Generator(np.random.PCG64([seed, int(epoch)])).permutation(rows)
        in_epoch = positions // rows == epoch
        out[in_epoch] = order[positions[in_epoch] % rows]
    return out


def steps_of(recipe: dict[str, Any], rows: int, tokens: int) -> int:
    """Optimiser steps of a recipe: its `steps`, or as many as read its `tokens`, or its `epochs` of `rows`.

    `tokens`: of a row (1 for documents of a classifier).
    """
    if recipe.get("tokens"):
        return math.ceil(recipe["tokens"] / (recipe["batch"] * tokens))
    if recipe.get("epochs"):
        return max(1, round(recipe["epochs"] * rows / recipe["batch"]))
    return recipe["steps"]
