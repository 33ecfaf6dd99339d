"""Unit vectors -> clusters of any shape and noise, by HDBSCAN (Campello, Moulavi and Sander 2013).

In: the embedding shards of a corpus. Out: `fit`: as `winnow.cluster.kmeans`, centroids float32 [k, d] (mean vectors,
unit norm), beside what assignment needs: the sample, its labels, and how far a document may lie from a cluster.
`assign`: cluster and cosine distance of each document of a shard. It fits on a stated sample of the pool, after
a principal component reduction if asked; every other document takes the cluster of the nearest sampled one, or
is noise: if that one is, or if it is farther from it than the cluster's points are from their neighbours.
With `noise: own`, noise is the last cluster, excluded unless a person's file says otherwise; with `nearest`, noise
joins the nearest centroid. Equal vectors get equal clusters and distances. So do, in the sample, vectors that differ
by rounding alone (equal texts of two blocks: `winnow.embed.encode`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from winnow.cluster.kmeans import fingerprint, nearest_centroids, open_shard, sample_rows, write_assignments
from winnow.device import pick_device
from winnow.parquet import listed_docs, open_array, vectors_of_shards
from winnow.products import different_rows, exact_product, single
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, run, say, write_json, write_text

STAGE_VERSION = 2
ROWS = 4096
NUMBERS = 1 << 26  # of a block of distances
ROUNDING = 2.0**-10  # distance of the unit vectors of equal texts at most, by float16 and other batches


def principal(points: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean float32 [d] and the leading principal axes float32 [d, dimensions] of points float32 [n, d]."""
    mean = points.mean(0, dtype=np.float64)
    centred = points - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    return mean.astype(np.float32), np.ascontiguousarray(axes[:, ::-1][:, :dimensions]).astype(np.float32)


def project(vectors: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Images float32 [n, dimensions] of unit vectors float16 [n, d]; of equal vectors the same bits (`exact_product`)."""
    return (exact_product(vectors, axes.T) - exact_product(mean[None], axes.T)).astype(np.float32)


def nearest(points: np.ndarray, table: np.ndarray, skip_self: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Row of the nearest of `table` [m, d] for each of `points` [n, d], int64 [n], and its Euclidean distance,
    float32 [n]; blocked. `skip_self`: the tables are the same and a row is not its own neighbour.

    Where the best two are closer than rounding can tell, distances are computed one by one in float64, so that equal
    points have equal answers in any row; of equally near rows the first is taken.
    """
    import torch

    device = pick_device()
    known = torch.from_numpy(table).to(device)
    square = (known * known).sum(1)
    rounding = (table.shape[1] + 4) * 2.0**-22  # of two sums of d terms, twice over
    reach = square.max()
    row, distance = np.empty(len(points), dtype=np.int64), np.empty(len(points), dtype=np.float32)
    size = max(1, min(ROWS, NUMBERS // max(1, len(table))))
    for start in range(0, len(points), size):
        here = points[start : start + size]
        part = torch.from_numpy(here).to(device)
        far = square - 2 * part @ known.T
        if skip_self:
            at = torch.arange(len(part), device=device)
            far[at, at + start] = torch.inf
        best = far.min(1)
        margin = rounding * (reach + (part * part).sum(1))
        near = far <= (best.values + margin)[:, None]
        nearest_row = best.indices.cpu().numpy()
        for i in torch.nonzero(near.sum(1) > 1).flatten().tolist():
            rows = torch.nonzero(near[i]).flatten().cpu().numpy()
            nearest_row[i] = rows[_distances(here[i], table[rows]).argmin()]
        row[start : start + size] = nearest_row
        distance[start : start + size] = _distances(here, table[nearest_row])
    return row, distance


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distances of rows [n, d], float64 [n], each computed by itself."""
    return np.sqrt(((points.astype(np.float64) - others) ** 2).sum(1))


def merge_rounding(points: np.ndarray) -> np.ndarray:
    """Points float32 [n, d] in which each that is within ROUNDING of an earlier one is replaced by the first such."""
    import torch

    first, place, _ = different_rows(points)
    rows = points[first]
    known = torch.from_numpy(rows).to(pick_device(), torch.float64)
    square = (known * known).sum(1)
    root = np.arange(len(rows))
    size = max(1, min(ROWS, NUMBERS // max(1, len(rows))))
    for start in range(0, len(rows), size):
        end = min(start + size, len(rows))
        far = square[start:end, None] + square[:end] - 2 * known[start:end] @ known[:end].T
        earliest = (far <= ROUNDING**2).to(torch.uint8).argmax(1).cpu().numpy()  # itself, if no other
        for i in range(start, end):
            root[i] = root[earliest[i - start]]
    return rows[root][place]


def cluster_sample(points: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """Labels of a sample, int32 [n]: 0 to k - 1 in order of first appearance, -1 for noise; equal points have one.

    Where clusters meet, HDBSCAN can label equal points differently, by the order of its ties: all get the most frequent
    label, the lower one of two that are equally frequent. Raises InputError if HDBSCAN finds no cluster.
    """
    from sklearn.cluster import HDBSCAN

    method = HDBSCAN(
        min_cluster_size=settings["min_cluster_size"],
        min_samples=settings["min_samples"],
        cluster_selection_epsilon=settings["epsilon"],
        cluster_selection_method=settings["selection"],
        copy=True,
    )
    label = method.fit_predict(points)
    place = different_rows(points)[1]
    (rows, labels), votes = np.unique((place, label), axis=1, return_counts=True)
    order = np.lexsort((labels, labels < 0, -votes, rows))
    label = labels[order][np.unique(rows[order], return_index=True)[1]][place]
    if (label < 0).all():
        raise InputError(
            f"hdbscan: all {len(points):,} sampled documents are noise; lower min_cluster_size "
            f"({settings['min_cluster_size']}) or min_samples ({settings['min_samples']})"
        )
    names, first = np.unique(label[label >= 0], return_index=True)
    renamed = np.full(int(label.max()) + 2, -1, dtype=np.int32)
    renamed[names[np.argsort(first)]] = np.arange(len(names))
    return renamed[label]


def trim(points: np.ndarray, label: np.ndarray, fence: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels without outliers, int32 [n], and the largest distance of a point of each cluster to its nearest
    neighbour in it, float32 [k].

    HDBSCAN lets distant points join a cluster that forms at a low density. A point becomes noise if its distance to its
    nearest neighbour in the cluster exceeds the upper quartile of those distances by more than `fence` interquartile
    ranges (Tukey 1977); 0 trims nothing, and then the limit is the largest distance. Duplicate points are at distance 0
    from a neighbour. No limit is below ROUNDING: equal documents are not noise.
    """
    label = label.copy()
    limit = np.zeros(int(label.max()) + 1, dtype=np.float32)
    for c in range(len(limit)):
        members = np.flatnonzero(label == c)
        if len(members) < 2:
            continue
        first, place, count = different_rows(points[members])
        distance = np.zeros(len(first), dtype=np.float32)
        if len(first) > 1:
            distinct = points[members][first]
            distance = nearest(distinct, distinct, skip_self=True)[1]
        distance[count > 1] = 0
        distance = distance[place]
        limit[c] = distance.max()
        low, high = np.quantile(distance, (0.25, 0.75))
        if fence and high > low:
            limit[c] = min(limit[c], high + fence * (high - low))
            limit[c] = max(limit[c], ROUNDING)
            label[members[distance > limit[c]]] = -1
    return label, np.maximum(limit, np.float32(ROUNDING))


def fit(
    *,
    documents: list[Path],
    embeddings: list[Path],
    heldout: Path,
    spec: str,
    out: Path,
    model: Path,
    exclusions: Path,
    report: Path,
    name: str = "",
) -> None:
    """Cluster a sample of the pool.

    Args:
        documents: shards of documents (parquet: doc).
        embeddings: the same shards' vectors (.npy), in the same order, or one file of reduced vectors.
        heldout: documents outside the pool (parquet: doc).
        spec: JSON with the key `clustering`.
        out: centroids (.npy) to write.
        model: .npz to write: points, label, limit, mean, axes.
        exclusions: TSV to write that excludes the noise cluster, if there is one.
        report: JSON to write: clusters, sampled documents, share of noise.
        name: name of the clustering in progress lines.
    """
    clustering = read_spec(spec, "clustering")["clustering"]
    settings, seed = clustering["hdbscan"], clustering["seed"]
    rows = sample_rows(documents, listed_docs([heldout]), settings["sample"], seed, "hdbscan-sample")
    count = sum(map(len, rows))
    if count < settings["min_cluster_size"]:
        raise InputError(
            f"clustering {name}: min_cluster_size {settings['min_cluster_size']} is more than the {count} "
            "documents sampled from the pool"
        )
    vectors = np.concatenate(
        [part[r] for part, r in zip(vectors_of_shards(embeddings, documents), rows, strict=True)]
    ).astype(np.float32)
    mean, axes = np.zeros(vectors.shape[1], dtype=np.float32), np.zeros((0, 0), dtype=np.float32)
    points = vectors
    if settings["dimensions"] and settings["dimensions"] < vectors.shape[1]:
        mean, axes = principal(vectors, settings["dimensions"])
        points = project(vectors, mean, axes)
    say(
        f"[hdbscan {name}] {len(points):,} documents in {points.shape[1]} dimensions; no progress lines until it is done "
        "(seconds for 10,000 documents, many minutes for 100,000)"
    )
    points = merge_rounding(points)
    label, reach = trim(points, cluster_sample(points, settings), settings["fence"])
    k, noise = int(label.max()) + 1, label < 0
    share = float(noise.mean())
    say(f"[hdbscan {name}] {k} clusters in {len(points):,} documents, {share:.1%} noise")
    centroids = np.stack([vectors[label == c].mean(0) for c in range(k)])
    noise_cluster = settings["noise"] == "own" and bool(noise.any())
    if noise_cluster:
        centroids = np.concatenate((centroids, vectors[noise].mean(0, keepdims=True)))
    centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
    with atomic_path(model) as partial:
        np.savez(partial, points=points, label=label, limit=reach, mean=mean, axes=axes)
    lines = [f"# clustering {fingerprint(centroids)}", "cluster\treason"]
    if noise_cluster:
        lines.append(f"{k}\tnoise of HDBSCAN: {share:.1%} of the sample")
    write_text(exclusions, "\n".join(lines) + "\n")
    write_json(report, {"clusters": k, "sampled": len(points), "noise_documents": int(noise.sum()),
                        "noise_share": share, "noise_cluster": k if noise_cluster else None})  # fmt: skip
    with atomic_path(out) as partial:
        np.save(partial, centroids.astype(np.float32))


def assign(
    *, documents: Path, embeddings: Path, centroids: Path, model: Path, out: Path, name: str = ""
) -> None:
    """Give each document of a shard its cluster.

    Args:
        documents: shard of documents (parquet: doc).
        embeddings: its vectors (.npy), or reduced vectors of all documents.
        centroids: centroids (.npy).
        model: what `fit` wrote for assignment (.npz).
        out: parquet to write: doc int64, cluster int32, distance float32 (1 - cosine to its centroid).
        name: name of the shard in progress lines.
    """
    doc, vectors = open_shard(documents, embeddings)
    with np.load(model) as file:
        points, label, limit, mean, axes = (file[n] for n in ("points", "label", "limit", "mean", "axes"))
    first = different_rows(points)[0]
    points, label = points[first], label[first]
    exact = open_array(centroids)
    k = len(limit)
    cluster = np.empty(len(vectors), dtype=np.int32)
    distance = np.empty(len(vectors), dtype=np.float32)
    progress = Progress(f"assign {name}", total=len(vectors), unit="documents")
    for start in range(0, len(vectors), ROWS):
        part = slice(start, start + ROWS)
        whole = single(vectors[part])
        here = project(whole, mean, axes) if axes.size else whole
        row, far = nearest(here, points)
        cluster_of_row = label[row]
        cluster_of_row = np.where((cluster_of_row >= 0) & (far > limit[cluster_of_row]), -1, cluster_of_row)
        noise = cluster_of_row < 0
        if len(exact) > k:
            cluster_of_row[noise] = k
        elif noise.any():
            cluster_of_row[noise] = nearest_centroids(vectors[part][noise], exact)[0]
        cluster[part] = cluster_of_row
        distance[part] = 1 - (whole * exact[cluster_of_row]).sum(1)
        progress.add(len(whole))
    progress.line()
    write_assignments(out, doc, cluster, distance)


if __name__ == "__main__":
    run(fit, assign)
