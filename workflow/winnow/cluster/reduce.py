"""Vectors of a corpus -> vectors of fewer dimensions, before they are clustered.

The reducer is fitted on a stated sample of the pool and transforms every shard, in one process: UMAP compiles for a
minute in each. Out: one memory-mappable array (.npy) with the fields `doc` int64, ascending, and `vector` float16
[dimensions], L2-normalised, of every document. The transformed vectors are what is kept of a reducer; no fitted object is
saved. UMAP transforms blocks of 4,096 rows of the source, so the number of
shards changes nothing; documents of the sample keep the coordinates of the fit. Equal vectors get equal ones: those of
the first of them that is in the sample, or else of the first. One seed, one thread: a fit repeats bit
for bit on one machine.

Sources: UMAP, McInnes, Healy and Melville 2018 (arXiv 1802.03426), umap-learn; PCA, scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from winnow.batching import BLOCK, blocks
from winnow.cluster.kmeans import open_shard, sample_rows
from winnow.parquet import listed_docs
from winnow.products import single
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, run, say

STAGE_VERSION = 1

Transform = Callable[[np.ndarray], np.ndarray]


def fit_pca(points: np.ndarray, settings: dict[str, Any]) -> tuple[np.ndarray, Transform]:
    """Coordinates of `points` float32 [n, d] on their first principal components, and the transform of others."""
    from sklearn.decomposition import PCA

    pca = PCA(settings["dimensions"], svd_solver="covariance_eigh").fit(points)
    return pca.transform(points), pca.transform


def fit_umap(points: np.ndarray, settings: dict[str, Any]) -> tuple[np.ndarray, Transform]:
    """The UMAP embedding of `points` float32 [n, d], and the transform of others into it."""
    from umap import UMAP

    reducer = UMAP(
        n_components=settings["dimensions"],
        n_neighbors=settings["neighbors"],
        min_dist=settings["min_dist"],
        random_state=settings["seed"],
        transform_seed=settings["seed"],
        n_jobs=1,
    )
    return reducer.fit_transform(points), lambda more: np.asarray(reducer.transform(more))


METHODS = {"pca": fit_pca, "umap": fit_umap}


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows of norm 1, float16 [n, d]. A row of zeros becomes the first axis: it has no direction of its own."""
    vectors = np.asarray(vectors, dtype=np.float64)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)
    vectors[norm[:, 0] == 0, 0] = 1
    return vectors.astype(np.float16)


def row_keys(vectors: np.ndarray) -> np.ndarray:
    """A key of the bits of each row of float16 [n, d], uint64 [n] (FNV-1a): equal rows have equal keys."""
    keys = np.full(len(vectors), 0xCBF29CE484222325, dtype=np.uint64)
    for start in range(0, len(vectors), BLOCK):
        part = keys[start : start + BLOCK]
        rows = np.array(vectors[start : start + BLOCK]) + np.float16(0)  # -0 and 0 are equal
        for column in rows.view(np.uint16).T:
            part ^= column
            part *= np.uint64(0x100000001B3)
    return keys


def first_equal(keys: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    """For each row the first of those with its key: of the preferred ones (bool [n]), if there are any; int64 [n]."""
    order = np.lexsort((~preferred, keys))
    new = np.ones(len(keys), dtype=bool)
    new[1:] = keys[order[1:]] != keys[order[:-1]]
    first = np.empty(len(keys), dtype=np.int64)
    first[order] = order[new][np.cumsum(new) - 1]
    return first


def reduce_vectors(
    shards: list[tuple[np.ndarray, np.ndarray]],
    rows: list[np.ndarray],
    settings: dict[str, Any],
    progress: Progress | None = None,
) -> Iterator[np.ndarray]:
    """The reduced vectors of each shard in turn, float16 [n, dimensions].

    `shards`: (doc int64 [n], vectors float16 [n, d]) each; `rows`: int64, the rows of each that the reducer is fitted on.
    Raises InputError if the sample is too small for the dimensions or neighbours.
    """
    points = np.concatenate([vectors[part] for (_, vectors), part in zip(shards, rows, strict=True)])
    points = single(points)
    least = max(settings["dimensions"], settings["neighbors"] if settings["method"] == "umap" else 0)
    if len(points) <= least + 1:
        raise InputError(
            f"reduction: {len(points)} documents to fit on; {settings['method']} to {settings['dimensions']} "
            f"dimensions requires at least {least + 2}"
        )
    if settings["dimensions"] > points.shape[1]:
        raise InputError(
            f"reduction: dimensions {settings['dimensions']} is above the {points.shape[1]} of the encoder"
        )
    fitted, transform = METHODS[settings["method"]](points, settings)
    if progress:
        progress.add(len(points))
    start = 0
    for (doc, vectors), part in zip(shards, rows, strict=True):
        out = np.empty((len(doc), settings["dimensions"]), dtype=np.float16)
        out[part] = unit_rows(fitted[start : start + len(part)])
        start += len(part)
        others = np.setdiff1d(np.arange(len(doc)), part, assume_unique=True)
        for block in blocks(doc[others]):
            wanted = others[block]
            out[wanted] = unit_rows(transform(single(vectors[wanted])))
            if progress:
                progress.add(len(wanted))
        yield out


def main(
    *,
    documents: list[Path],
    embeddings: list[Path],
    heldout: Path,
    spec: str,
    out: Path,
    name: str = "",
) -> None:
    """Reduce the vectors of all shards.

    Args:
        documents: shards of documents (parquet: doc).
        embeddings: the same shards' vectors (.npy), in the same order.
        heldout: documents outside the pool (parquet: doc, role): never in the sample that is fitted.
        spec: JSON with the key `reduction`.
        out: .npy to write: fields doc int64, vector float16 [dimensions], a row for each document of the shards.
        name: what progress lines call the reduction.
    """
    settings = read_spec(spec, "reduction")["reduction"]
    if len(embeddings) != len(documents):
        raise InputError(
            f"--embeddings: {len(embeddings)} files for {len(documents)} shards; one for each is required"
        )
    rows = sample_rows(
        documents, listed_docs([heldout]), settings["sample"], settings["seed"], "reduction-sample"
    )
    shards = [open_shard(*pair) for pair in zip(documents, embeddings, strict=True)]
    size = sum(map(len, rows))
    say(
        f"[reduce {name}] {settings['method']} to {settings['dimensions']} dimensions, fitted on {size:,} documents"
    )
    progress = Progress(f"reduce {name}", total=sum(len(doc) for doc, _ in shards), unit="documents")
    doc = np.concatenate([doc for doc, _ in shards])
    kind = np.dtype([("doc", "<i8"), ("vector", "<f2", (settings["dimensions"],))])
    with atomic_path(out) as partial:
        table = np.lib.format.open_memmap(partial, mode="w+", dtype=kind, shape=(len(doc),))
        table["doc"] = doc
        start = 0
        for vectors in reduce_vectors(shards, rows, settings, progress):
            table["vector"][start : start + len(vectors)] = vectors
            start += len(vectors)
        sampled = np.concatenate(
            [np.isin(np.arange(len(doc)), part) for (doc, _), part in zip(shards, rows, strict=True)]
        )
        first = first_equal(np.concatenate([row_keys(vectors) for _, vectors in shards]), sampled)
        copies = np.flatnonzero(first != np.arange(len(first)))
        table["vector"][copies] = table["vector"][first[copies]]
        table.flush()
    progress.line()


if __name__ == "__main__":
    run(main)
