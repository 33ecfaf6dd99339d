"""A plane through vectors: their first two principal components.

In: vectors float [n, d]. Out: the projection, and coordinates float64 [n, 2] of any vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Projection:
    """The first two principal components: mean float64 [d], components float64 [2, d], their shares of the variance."""

    mean: np.ndarray
    components: np.ndarray
    explained: tuple[float, float]

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Coordinates float64 [n, 2] of vectors float [n, d]."""
        return (vectors - self.mean) @ self.components.T


def fit_projection(vectors: np.ndarray) -> Projection:
    """The projection that keeps most of the variance of vectors float [n, d], d >= 2. Deterministic: the largest entry of a
    component is positive."""
    x = np.asarray(vectors, dtype=np.float64)
    mean = x.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov(x - mean, rowvar=False))
    components = directions[:, ::-1][:, :2].T
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[[0, 1], largest])[:, None]
    shares = values[::-1][:2] / max(values.sum(), 1e-300)
    return Projection(mean, components, (float(shares[0]), float(shares[1])))
