"""Random choices of the grammars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """Choices from a seeded generator, by `integers` alone (its stream is stable across numpy versions)."""

    def __init__(self, seed: int):
        self.generator = np.random.Generator(np.random.PCG64(seed))

    def below(self, n: int) -> int:
        return int(self.generator.integers(n))

    def of(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]
