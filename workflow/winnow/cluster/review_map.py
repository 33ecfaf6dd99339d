"""A random sample of a clustering's documents as points on a plane, for the review page.

In: assignments, vectors, scores. Out: documents of the pool (keys of the purpose `review`), their coordinates, and what
the points are coloured by. Memory is that of the sample, whatever the number of documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from winnow.keys import keys
from winnow.parquet import batches, doc_column, is_listed, vectors_of
from winnow.projection import fit_projection
from winnow.stage import InputError

MAP_DOCUMENTS = 50_000
FITTED = 10_000  # documents of the sample on which the principal components are fitted


@dataclass(frozen=True)
class Sample:
    """Documents in random order: `doc` int64 [n], `cluster` int32 [n]."""

    doc: np.ndarray
    cluster: np.ndarray


def draw(assignments: Sequence[Path], removed: np.ndarray, size: int = MAP_DOCUMENTS) -> Sample:
    """The `size` documents with the smallest keys, of those that are not `removed` (int64, ascending)."""
    key, doc, cluster = np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int32)
    for path in assignments:
        for docs, clusters in batches(path, ["doc", "cluster"]):
            new = keys("review", 0, docs)
            first = ~is_listed(docs, removed)
            if len(key) == size:
                first &= new < key[-1]
            key = np.concatenate([key, new[first]])
            order = np.argsort(key)[:size]
            key = key[order]
            doc = np.concatenate([doc, docs[first]])[order]
            cluster = np.concatenate([cluster, clusters[first].astype(np.int32)])[order]
    return Sample(doc, cluster)


def read_vectors(documents: Sequence[Path], vectors: Sequence[Path], doc: np.ndarray) -> np.ndarray:
    """Vectors float32 [n, d] of the documents `doc` int64 [n], in their order.

    `vectors`: a file for each shard of `documents`, or one file of all documents. Raises InputError for a document that is
    in no shard, and as `vectors_of` does.
    """
    order = np.argsort(doc)
    ascending = doc[order]
    out = np.zeros((0, 0), dtype=np.float32)
    seen = np.zeros(len(doc), dtype=bool)
    files = list(vectors) * (len(documents) if len(vectors) == 1 else 1)
    for shard, file in zip(documents, files, strict=True):
        docs = doc_column(shard)
        table = vectors_of(file, docs, shard)
        if not out.size:
            out = np.zeros((len(doc), table.shape[1]), dtype=np.float32)
        rows = np.flatnonzero(is_listed(docs, ascending))
        place = order[np.searchsorted(ascending, docs[rows])]
        out[place] = table[rows]
        seen[place] = True
    if not seen.all():
        raise InputError(
            f"document {doc[~seen][0]} of the assignments is in none of the {len(documents)} shards of --documents"
        )
    return out


def coordinates(vectors: np.ndarray) -> tuple[np.ndarray, str]:
    """Places on a plane, float64 [n, 2], of vectors float32 [n, d] in random order, and what they are, as a phrase.

    Vectors of two dimensions are their own places; others are projected on their first two principal components.
    """
    n, d = vectors.shape
    if d == 2:
        return vectors.astype(np.float64), "the two dimensions of the reduction"
    if d < 2 or n < 3:
        return np.pad(vectors.astype(np.float64), ((0, 0), (0, 2)))[:, :2], "the first values of the vectors"
    fitted = fit_projection(vectors[:FITTED])
    first, second = fitted.explained
    return fitted(
        vectors
    ), f"the first two principal components ({100 * (first + second):.0f} % of the variance)"


def grid(places: np.ndarray) -> np.ndarray:
    """Coordinates as uint16 [n, 2]: the longer side of the map has 65,536 steps, the other as many as its share."""
    if not len(places):
        return np.zeros((0, 2), dtype=np.uint16)
    low = places.min(0)
    span = max(float((places.max(0) - low).max()), 1e-12)
    return np.round((places - low) / span * 65535).astype(np.uint16)


def read_scores(files: Sequence[Path], doc: np.ndarray) -> np.ndarray:
    """The column `score` of documents, float64 [n] for `doc` int64 [n]; nan of those that have none."""
    order = np.argsort(doc)
    ascending, out = doc[order], np.full(len(doc), np.nan)
    for path in files:
        for docs, score in batches(path, ["doc", "score"]):
            rows = np.flatnonzero(is_listed(docs, ascending))
            out[order[np.searchsorted(ascending, docs[rows])]] = score[rows]
    return out
