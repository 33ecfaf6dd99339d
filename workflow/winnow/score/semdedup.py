"""Kind semdedup: semantic near-duplicates inside clusters (Abbas et al. 2023, arXiv 2303.09540).

In: vectors, assignments. Out: for each document of the pool its largest cosine similarity to a document that
comes before it in its cluster (column `score`; -1 for the first one; exactly 1 where an equal vector comes before it).
A document whose score exceeds 1 - eps is a near-duplicate, so one pass serves every eps. Which of them comes first, and
so is kept: `hard`, the farthest from the centroid; `easy`, the nearest; `random`, by key.

The products are blocks of the lower triangle: memory is O(block^2 + the cluster's vectors), never n x n.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.keys import keys
from winnow.parquet import batches, is_listed, listed_docs, open_array, open_vectors
from winnow.products import different_rows
from winnow.schema import read_spec
from winnow.score.kinds import Kind
from winnow.stage import InputError, Progress, atomic_path, run, write_text

STAGE_VERSION = 2
KIND = Kind(
    reads="clustering", uses=("semdedup",), columns=("cluster", "score"), minimum=-1, maximum=1, gpu=True
)
BLOCK = 2048


def keep_order(keep: str, seed: int, doc: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Positions in the order in which documents are kept, int64 [n]; ties by key."""
    key = keys("semdedup", seed, doc)
    match keep:
        case "hard":
            return np.lexsort((key, -distance))
        case "easy":
            return np.lexsort((key, distance))
    return np.argsort(key)


def largest_similarity(
    vectors: np.ndarray, block: int = BLOCK, device: str = "cpu", progress: Progress | None = None
) -> np.ndarray:
    """Largest cosine similarity of each row to a row before it; -1 for the first, 1 where an equal row comes before.

    `vectors` [n, d], any scale; `device` cuda multiplies on the GPU. Returns float32 [n], at most 1. `progress` counts
    rows.
    """
    similarity = _largest(vectors, block, device, progress)
    first, place, _ = different_rows(vectors)
    similarity[first[place] < np.arange(len(similarity))] = 1
    return np.minimum(similarity, 1)


def _largest(vectors: np.ndarray, block: int, device: str, progress: Progress | None) -> np.ndarray:
    """The same, but for the rounding of equal rows."""
    rows = vectors.astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    if device == "cuda":
        similarity = _largest_on_gpu(rows, block)
        if progress:
            progress.add(len(rows))
        return similarity
    similarity = np.full(len(rows), -1, dtype=np.float32)
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        best = similarity[start : start + block]
        for before in range(0, start, block):
            np.maximum(best, (part @ rows[before : before + block].T).max(1), out=best)
        diagonal = part @ part.T
        diagonal[np.triu_indices(len(part))] = -1
        np.maximum(best, diagonal.max(1), out=best)
        if progress:
            progress.add(len(part))
    return similarity


def _largest_on_gpu(rows: np.ndarray, block: int) -> np.ndarray:
    import torch

    table = torch.from_numpy(rows).cuda()
    similarity = torch.full((len(rows),), -1.0, device="cuda")
    for start in range(0, len(rows), block):
        part = table[start : start + block]
        best = similarity[start : start + block]
        for before in range(0, start, block):
            torch.maximum(best, (part @ table[before : before + block].T).amax(1), out=best)
        diagonal = (part @ part.T).tril(-1) - torch.ones(len(part), len(part), device="cuda").triu()
        torch.maximum(best, diagonal.amax(1), out=best)
    return similarity.cpu().numpy()


def clustered_rows(
    assignments: Sequence[Path], embeddings: Sequence[Path], mask: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """doc, cluster, distance, shard and row of the documents for which `mask(doc)` (bool [n]) holds."""
    columns: list[list[np.ndarray]] = [[] for _ in range(5)]
    for i, path in enumerate(assignments):
        start = 0
        for doc, cluster, distance in batches(path, ["doc", "cluster", "distance"]):
            rows = np.flatnonzero(mask(doc))
            part = (doc[rows], cluster[rows], distance[rows], np.full(len(rows), i), rows + start)
            for column, values in zip(columns, part, strict=True):
                column.append(values)
            start += len(doc)
        open_vectors(embeddings[i], start, path)
    nothing = np.zeros(0, dtype=np.int64)
    doc, cluster, distance, shard, row = (np.concatenate([nothing, *c]) for c in columns)
    return doc.astype(np.int64), cluster, distance, shard.astype(np.int64), row.astype(np.int64)


def similarities(
    assignments: Sequence[Path],
    embeddings: Sequence[Path],
    mask: Any,
    keep: str,
    seed: int,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents in ascending order, their clusters, and their largest similarity to one kept before them."""
    if len(assignments) != len(embeddings):
        raise InputError(f"{len(assignments)} assignment shards, but {len(embeddings)} of embeddings")
    doc, cluster, distance, shard, row = clustered_rows(assignments, embeddings, mask)
    score = np.full(len(doc), -1, dtype=np.float32)
    tables = [open_array(path, mmap=True) for path in embeddings]
    order = np.argsort(cluster, kind="stable")
    edges = np.flatnonzero(np.diff(cluster[order])) + 1
    progress = Progress("semdedup", total=len(doc), unit="documents")
    for members in np.split(order, edges):
        if not len(members):
            continue
        members = members[keep_order(keep, seed, doc[members], distance[members])]
        vectors = np.empty((len(members), tables[0].shape[1]), dtype=np.float16)
        for i in np.unique(shard[members]):
            here = np.flatnonzero(shard[members] == i)
            vectors[here] = tables[i][row[members[here]]]
        score[members] = largest_similarity(vectors, device=device, progress=progress)
    progress.line()
    by_doc = np.argsort(doc)
    return doc[by_doc], cluster[by_doc], score[by_doc]


def score(*, assignments: list[Path], embeddings: list[Path], heldout: Path, spec: str, out: Path) -> None:
    """Score the pool.

    Args:
        assignments: assignment shards (parquet: doc, cluster, distance).
        embeddings: the same shards' vectors (.npy), in the same order.
        heldout: documents outside the pool (parquet: doc).
        spec: JSON: scorer.
        out: parquet to write: doc, cluster, score, ascending doc.
    """
    from winnow.device import pick_device

    scorer = read_spec(spec, "scorer")["scorer"]
    removed = listed_docs([heldout])
    doc, cluster, similarity = similarities(
        assignments,
        embeddings,
        lambda d: ~is_listed(d, removed),
        scorer["keep"],
        scorer["seed"],
        pick_device(),
    )
    table = pa.table({"doc": doc, "cluster": cluster.astype(np.int32), "score": similarity})
    with atomic_path(out) as partial:
        pq.write_table(table, partial, compression="zstd")


def sweep(
    *, scores: list[Path], eps: list[float] = [0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3], out: Path
) -> None:
    """How many documents are left at each eps, as a CSV `eps,kept,removed,removed_share`.

    Args:
        scores: files that `score` wrote.
        eps: the values to try.
        out: CSV file to write.
    """
    similarity = np.concatenate([b[0] for path in scores for b in batches(path, ["score"])])
    lines = ["eps,kept,removed,removed_share"]
    for value in eps:
        removed = int((similarity > 1 - value).sum())
        lines.append(
            f"{value:g},{len(similarity) - removed},{removed},{removed / max(1, len(similarity)):.6f}"
        )
    write_text(out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    run(score, sweep)
