"""Kind lsh: the bucket of a document inside its cluster: signs of random hyperplanes through the centroid (Charikar 2002).

Columns: `score` (the bucket as a float), `bucket`. Equal vectors of a cluster have one bucket.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.keys import keys
from winnow.products import exact_product
from winnow.score.kinds import Kind

STAGE_VERSION = 2
KIND = Kind(reads="vectors", uses=("bucket",), columns=("score", "bucket"), minimum=0, maximum=65535)
ROWS = 1 << 13  # of a block of vectors


def hyperplanes(planes: int, dimension: int, seed: int) -> np.ndarray:
    """Normals of random hyperplanes, float32 [planes, dimension], standard normal from keys (Box-Muller)."""
    n = planes * dimension
    first, second = (
        (keys("hyperplanes", seed, np.arange(start, start + n)) >> np.uint64(11)).astype(np.float64) + 0.5
        for start in (0, n)
    )
    normal = np.sqrt(-2 * np.log(first / 2.0**53)) * np.cos(2 * np.pi * second / 2.0**53)
    return normal.reshape(planes, dimension).astype(np.float32)


def bucket(vectors: np.ndarray, centroids: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Bucket of each vector: bit p is the side of plane p through its cluster's centroid.

    `vectors`, `centroids` [n, d], unit rows, row by row; `normals` [p, d]. Returns int32 [n], 0 to 2**p - 1. Equal
    vectors (float16) of a cluster have one bucket: no product is rounded.
    """
    unit = normals / np.linalg.norm(normals.astype(np.float64), axis=1, keepdims=True)
    centre = np.rint(centroids.astype(np.float64) * 2.0**24) / 2.0**24
    side = exact_product(vectors, unit) > exact_product(centre, unit)
    return (side * (1 << np.arange(len(normals)))).sum(1).astype(np.int32)


def score_vectors(
    scorer: dict[str, Any], vectors: np.ndarray, cluster: np.ndarray, centroids: np.ndarray
) -> dict[str, np.ndarray]:
    """See winnow.score.documents."""
    normals = hyperplanes(scorer["planes"], vectors.shape[1], scorer["seed"])
    buckets = np.zeros(len(vectors), dtype=np.int32)
    for start in range(0, len(vectors), ROWS):
        part = slice(start, start + ROWS)
        buckets[part] = bucket(vectors[part], centroids[cluster[part]], normals)
    return {"score": buckets.astype(np.float64), "bucket": buckets}
