"""Unit vectors -> clusters, by spherical k-means (Dhillon and Modha 2001).

In: the embedding shards of a corpus. Out: `fit`: centroids float32 [k, d], unit norm, from k-means++
and Lloyd iterations on a stated sample; `assign`: cluster and cosine distance of each document of a
shard, one streamed pass; `summarise`: one row per cluster, with the fingerprint of the clustering.
The same code runs on a processor and on a GPU. Equal vectors get equal clusters and distances, in any row: a matrix
product rounds a row by its place in the block, so where two centroids are close the nearer one is computed exactly.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.device import native_bfloat16, pick_device
from winnow.keys import keys
from winnow.parquet import (
    batches,
    check_finite,
    doc_column,
    is_listed,
    listed_docs,
    open_array,
    read_table,
    vectors_of,
    vectors_of_shards,
)
from winnow.products import best_two, exact_product, in_blocks, single
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, run, say, write_json

STAGE_VERSION = 6
ROWS = 8192  # of a block, whose vectors and products fit the cache
START = 32  # points a centroid on which starts are tried
GROWTH = 4
TOLERANCE = 3e-4  # gain in mean cosine below which an iteration is the last


def spherical_kmeans(
    points: Any, k: int, seed: int, iterations: int, restarts: int = 1, progress: Progress | None = None
) -> tuple[Any, float]:
    """Centroids by spherical k-means.

    `points`: torch float32 or bfloat16 [n, d], unit rows, n >= k. Each of `restarts` starts is greedy
    k-means++ on cosine distance and Lloyd iterations on 32 points per centroid, drawn
    from `points`; the start of the best mean cosine continues on four times as many (GROWTH), and so on up to all.
    An empty cluster takes the point farthest from its centroid. At most `iterations` at each size.
    Returns (centroids float32 [k, d], unit rows; mean cosine of the points to their centroids).
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    size = min(START * k, len(points))
    starts = []
    for _ in range(restarts):
        order = torch.randperm(len(points), generator=generator).to(points.device)
        part = points[order[:size].sort().values]
        start = _plus_plus(part.float(), k, generator, progress)
        starts.append((*_lloyd(part, start, iterations, progress), order))
    centroids, cosine, order = max(starts, key=lambda start: start[1])
    while size < len(points):
        size = min(GROWTH * size, len(points))
        part = points[order[:size].sort().values] if size < len(points) else points
        centroids, cosine = _lloyd(part, centroids, iterations, progress)
    return centroids, cosine


def _lloyd(
    points: Any, centroids: Any, iterations: int, progress: Progress | None = None
) -> tuple[Any, float]:
    """Lloyd iterations until the mean cosine gains no more than TOLERANCE, at most `iterations`.

    Returns (centroids, mean cosine to them).
    """
    import torch

    nearest, similarity = _nearest(points, centroids)
    cosine = float(similarity.double().mean())
    for _ in range(iterations):
        sums, sizes = _sums(points, nearest, len(centroids))
        empty = torch.nonzero(sizes == 0).flatten()
        if len(empty):
            farthest = torch.argsort(similarity, stable=True)[: len(empty)]
            sums[empty] = points[farthest].float()
        centroids = torch.nn.functional.normalize(sums, dim=1)
        nearest, similarity = _nearest(points, centroids)
        before, cosine = cosine, float(similarity.double().mean())
        if progress:
            progress.add(1, f"mean cosine {cosine:.4f}")
        if cosine - before <= TOLERANCE and not len(empty):
            break
    return centroids, cosine


def _sums(points: Any, nearest: Any, k: int) -> tuple[Any, Any]:
    """Sum of each cluster's points, float32 [k, d], and its size, int64 [k]; in a fixed order of addition."""
    import torch

    sizes = torch.bincount(nearest, minlength=k)
    sums = torch.zeros((k, points.shape[1]), dtype=torch.float32, device=points.device)
    if points.device.type == "cpu":
        for start in range(0, len(points), ROWS):
            sums.index_add_(0, nearest[start : start + ROWS], points[start : start + ROWS].float())
        return sums, sizes
    order = torch.argsort(nearest, stable=True)  # index_add_ has no fixed order on a GPU
    for cluster, rows in enumerate(torch.split(order, sizes.tolist())):
        sums[cluster] = points[rows].sum(0, dtype=torch.float32)
    return sums, sizes


def _plus_plus(points: Any, k: int, generator: Any, progress: Progress | None = None) -> Any:
    """k rows of `points`: the first at random; each next one the best of 2 + log k that are drawn by their
    distance to those before (greedy k-means++: Arthur and Vassilvitskii 2007, section 5)."""
    import torch

    last, candidates = len(points) - 1, 2 + int(math.log(k))
    chosen = torch.empty(k, dtype=torch.long)
    chosen[0] = torch.randint(len(points), (1,), generator=generator)
    distance = (1 - points @ points[chosen[0]]).clamp_(min=0)
    for i in range(1, k):
        mass = torch.cumsum(distance.double(), 0)
        at = torch.rand(candidates, generator=generator, dtype=torch.float64).to(points.device) * mass[-1]
        drawn = torch.searchsorted(mass, at, right=True).clamp_(max=last)
        left = torch.minimum(distance, 1 - points[drawn] @ points.T).clamp_(min=0)
        best = int(left.sum(1, dtype=torch.float64).argmin())
        chosen[i] = drawn[best].cpu()
        distance = left[best]
        if progress:
            progress.add(0, f"{i + 1:,} of {k:,} centroids of a start drawn")
    return points[chosen.to(points.device)]


def _nearest(points: Any, centroids: Any) -> tuple[Any, Any]:
    """Nearest centroid and cosine similarity of each point, to rounding: int64 [n], float32 [n]; blocked product."""
    import torch

    if points.device.type == "cpu" and points.dtype == torch.float32:
        cluster, cosine = np.empty(len(points), dtype=np.int64), np.empty(len(points), dtype=np.float32)
        rows, columns = points.numpy(), np.ascontiguousarray(centroids.numpy().T)

        def compare(part: slice) -> int:
            scores = rows[part] @ columns
            cluster[part] = best = scores.argmax(1)
            cosine[part] = scores[np.arange(len(best)), best]
            return len(best)

        for _ in in_blocks(compare, len(rows), torch.get_num_threads()):
            pass
        return torch.from_numpy(cluster), torch.from_numpy(cosine)
    table = centroids.to(points.dtype).T.contiguous()
    nearest = torch.empty(len(points), dtype=torch.long, device=points.device)
    similarity = torch.empty(len(points), dtype=torch.float32, device=points.device)
    for start in range(0, len(points), ROWS):
        part = slice(start, start + ROWS)
        best = (points[part] @ table).max(1)
        nearest[part], similarity[part] = best.indices, best.values.float()
    return nearest, similarity


def nearest_centroids(
    vectors: np.ndarray, centroids: np.ndarray, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centroid, int64 [n], and cosine distance to it, float32 [n], of unit vectors float16 [n, d].

    Equal vectors have equal answers. Products in the machine's fastest type, then in float32, leave the rows whose best
    two centroids are closer than rounding can tell; `exact_product` decides these, the first one of equal products.
    """
    import torch

    device = pick_device()
    kind = _working_type(device)
    table = np.ascontiguousarray(centroids, dtype=np.float32)
    rounding = table.shape[1] * 2.0**-22  # of two products of d terms and norms of 1, twice over
    if device == "cpu" and kind == torch.float32:
        return _nearest_on_cores(vectors, table, rounding, torch.get_num_threads(), progress)
    if device == "cuda":
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    exact = torch.from_numpy(table)
    levels = [(torch.float32, rounding)]
    if kind != torch.float32:
        levels.insert(0, (kind, 2.0**-8 + rounding))  # and of storing both
    tables = [exact.to(device, kind).to(level).T.contiguous() for level, _ in levels]
    last = exact.to(kind).double().numpy()
    cluster = np.empty(len(vectors), dtype=np.int64)
    distance = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), ROWS):
        part = slice(start, start + ROWS)
        block = torch.from_numpy(np.array(vectors[part]))
        points = block.to(device, kind)
        nearest = torch.empty(len(points), dtype=torch.long, device=device)
        rows = torch.arange(len(points), device=device)
        for (level, margin), columns in zip(levels, tables, strict=True):
            here = points if len(rows) == len(points) else points[rows]
            cosine = here.to(level) @ columns
            best = cosine.max(1)
            nearest[rows] = best.indices
            cosine.scatter_(1, best.indices[:, None], -torch.inf)
            rows = rows[cosine.amax(1) >= best.values - margin]
            if not len(rows):
                break
        if len(rows):
            close = exact_product(points[rows].double().cpu().numpy(), last)
            nearest[rows] = torch.from_numpy(close.argmax(1)).to(device)
        nearest = nearest.cpu()
        cluster[part] = nearest.numpy()
        distance[part] = (1 - exact.index_select(0, nearest).mul_(block).sum(1)).numpy()
        if progress:
            progress.add(len(block))
    return cluster, distance


def _nearest_on_cores(
    vectors: np.ndarray, table: np.ndarray, margin: float, threads: int, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray]:
    """`nearest_centroids` on a processor in float32; products that are closer than `margin` are computed exactly."""
    cluster = np.empty(len(vectors), dtype=np.int64)
    distance = np.empty(len(vectors), dtype=np.float32)
    columns, last = np.ascontiguousarray(table.T), table.astype(np.float64)

    def compare(part: slice) -> int:
        points = single(vectors[part])
        best, highest, second = best_two(points @ columns)
        close = np.flatnonzero(second >= highest - np.float32(margin))
        if len(close):
            best[close] = exact_product(points[close], last).argmax(1)
        cluster[part] = best
        distance[part] = 1 - np.einsum("ij,ij->i", points, table[best])
        return len(best)

    for count in in_blocks(compare, len(vectors), threads):
        if progress:
            progress.add(count)
    return cluster, distance


def _working_type(device: str) -> Any:
    import torch

    return torch.bfloat16 if native_bfloat16(device) else torch.float32


def open_shard(documents: Path, embeddings: Path) -> tuple[np.ndarray, np.ndarray]:
    """(doc int64 [n], vectors float16 [n, d], memory-mapped) of a shard. Raises InputError as `vectors_of` does."""
    doc = doc_column(documents)
    return doc, vectors_of(embeddings, doc, documents)


def write_assignments(out: Path, doc: np.ndarray, cluster: np.ndarray, distance: np.ndarray) -> None:
    """Writes the assignments of a shard: doc, cluster int32 [n], distance float32 [n], at least 0."""
    table = pa.table({"doc": doc, "cluster": cluster, "distance": np.maximum(distance, 0)})
    with atomic_path(out) as partial:
        pq.write_table(table, partial, compression="zstd")


def sample_rows(
    documents: list[Path], removed: np.ndarray, size: int, seed: int, purpose: str = "kmeans-sample"
) -> list[np.ndarray]:
    """Rows, shard by shard, of the `size` pool documents with the smallest keys of `purpose`.

    `removed`: int64, sorted: documents outside the pool. Returns an int64 array of rows per shard, ascending.
    One pass; memory is O(size), whatever the number of documents. Raises InputError as `batches` does.
    """
    kept = _Smallest(size)
    for shard, path in enumerate(documents):
        first = 0
        for (doc,) in batches(path, ["doc"]):
            key = keys(purpose, seed, doc)
            near = np.flatnonzero(key <= kept.limit)
            near = near[~is_listed(doc[near], removed)]
            kept.add(shard, first + near, key[near])
            first += len(doc)
    shards, rows = kept.finish()
    return np.split(rows, np.searchsorted(shards, np.arange(1, len(documents))))


class _Smallest:
    """The `size` rows of the smallest keys of those added; holds up to twice as many, and what was added last."""

    def __init__(self, size: int):
        self.size, self.limit = size, np.uint64(2**64 - 1)
        integers = np.zeros(0, dtype=np.int64)
        self._parts = [(integers, integers, np.zeros(0, dtype=np.uint64))]  # shard, row, key
        self._count = 0

    def add(self, shard: int, rows: np.ndarray, key: np.ndarray) -> None:
        """Adds rows int64 [n] of a shard, which come after those added before, and their keys uint64 [n]."""
        self._parts.append((np.full(len(rows), shard), rows, key))
        self._count += len(rows)
        if self._count > 2 * self.size:
            self._cut()

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """(shard int64 [m], row int64 [m]) of the smallest keys, m <= size, in the order in which they were added."""
        self._cut()
        shards, rows, _ = self._parts[0]
        return shards, rows

    def _cut(self) -> None:
        shards, rows, key = map(np.concatenate, zip(*self._parts, strict=True))
        if self.size < len(key):
            self.limit = np.partition(key, self.size - 1)[self.size - 1] if self.size else np.uint64(0)
            keep = key <= self.limit if self.size else np.zeros(len(key), dtype=bool)
            shards, rows, key = shards[keep], rows[keep], key[keep]
        self._parts, self._count = [(shards, rows, key)], len(key)


def fit(
    *,
    documents: list[Path],
    embeddings: list[Path],
    heldout: Path,
    spec: str,
    out: Path,
    name: str = "",
    threads: int = 0,
) -> None:
    """Fit centroids on a sample of the pool.

    Args:
        documents: shards of documents (parquet: doc).
        embeddings: the same shards' vectors (.npy), in the same order, or one file of reduced vectors.
        heldout: documents outside the pool (parquet: doc, role).
        spec: JSON with the key `clustering`.
        out: centroids (.npy) to write.
        name: name of the clustering in progress lines.
        threads: processor threads; 0 leaves torch's choice.
    """
    import torch

    clustering = read_spec(spec, "clustering")["clustering"]
    if threads:
        torch.set_num_threads(threads)
    k = clustering["k"]
    rows = sample_rows(
        documents, listed_docs([heldout]), k * clustering["points_per_centroid"], clustering["seed"]
    )
    count = sum(map(len, rows))
    if count < k:
        raise InputError(f"clustering {name}: k = {k} is more than the {count} documents of the pool")
    device = pick_device()
    points = torch.from_numpy(
        np.concatenate(
            [part[r] for part, r in zip(vectors_of_shards(embeddings, documents), rows, strict=True)]
        )
    ).to(device, _working_type(device))
    say(f"[cluster {name}] k-means on {count:,} documents, {clustering['restarts']} starts")
    progress = Progress(f"cluster {name}", unit="iterations")  # of all starts and sizes
    centroids, cosine = spherical_kmeans(
        points, k, clustering["seed"], clustering["iterations"], clustering["restarts"], progress
    )
    progress.line(f"mean cosine {cosine:.4f}")
    with atomic_path(out) as partial:
        np.save(partial, centroids.cpu().numpy())


def assign(
    *, documents: Path, embeddings: Path, centroids: Path, out: Path, name: str = "", threads: int = 0
) -> None:
    """Give each document of a shard its nearest centroid.

    Args:
        documents: shard of documents (parquet: doc).
        embeddings: its vectors (.npy), or reduced vectors of all documents.
        centroids: centroids (.npy).
        out: parquet to write: doc int64, cluster int32, distance float32 (1 - cosine).
        name: name of the shard in progress lines.
        threads: processor threads; 0 leaves torch's choice.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    doc, vectors = open_shard(documents, embeddings)
    progress = Progress(f"assign {name}", total=len(vectors), unit="documents")
    table = open_array(centroids)
    check_finite(table, centroids)
    if table.shape[1] != vectors.shape[1]:
        raise InputError(
            f"{embeddings}: vectors of {vectors.shape[1]} dimensions, but {centroids} has centroids of {table.shape[1]}"
        )
    cluster, distance = nearest_centroids(vectors, table, progress)
    check_finite(distance, embeddings, doc)
    progress.line()
    write_assignments(out, doc, cluster.astype(np.int32), distance)


def fingerprint(centroids: np.ndarray) -> str:
    """Identity of a clustering: the first 16 hex digits of the SHA-256 of its centroids' bytes."""
    return hashlib.sha256(np.ascontiguousarray(centroids, dtype="<f4").tobytes()).hexdigest()[:16]


def summarise(
    *, assignments: list[Path], centroids: Path, heldout: Path, out: Path, fingerprint_out: Path
) -> None:
    """Count each cluster's pool documents and measure it.

    Args:
        assignments: assignment shards.
        centroids: centroids (.npy).
        heldout: documents outside the pool; they are not counted.
        out: parquet to write: cluster, documents, mean_distance, sum_distance, diversity (mean cosine
            distance of the centroid to all other centroids).
        fingerprint_out: JSON to write: fingerprint, clusters, documents.
    """
    table = open_array(centroids).astype(np.float64)
    check_finite(table, centroids)
    k = len(table)
    removed = listed_docs([heldout])
    documents = np.zeros(k, dtype=np.int64)
    total = np.zeros(k, dtype=np.float64)
    for path in assignments:
        shard = read_table(path, ["doc", "cluster", "distance"])
        bad = (shard["cluster"].to_numpy() < 0) | (shard["cluster"].to_numpy() >= k)
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"{path}: document {shard['doc'][row]} is in cluster {shard['cluster'][row]}, which is not in 0 to {k - 1}"
            )
        pool = ~is_listed(shard["doc"].to_numpy(), removed)
        cluster = shard["cluster"].to_numpy()[pool]
        documents += np.bincount(cluster, minlength=k)
        total += np.bincount(
            cluster, weights=shard["distance"].to_numpy()[pool].astype(np.float64), minlength=k
        )
    others = max(k - 1, 1)
    diversity = (k - table @ table.sum(0) - (1 - (table**2).sum(1))) / others
    columns = {
        "cluster": pa.array(np.arange(k), pa.int32()),
        "documents": documents,
        "mean_distance": np.divide(total, documents, out=np.zeros(k), where=documents > 0),
        "sum_distance": total,
        "diversity": np.maximum(diversity, 0),
    }
    with atomic_path(out) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")
    write_json(
        fingerprint_out, {"fingerprint": fingerprint(table), "clusters": k, "documents": int(documents.sum())}
    )


if __name__ == "__main__":
    run(fit, assign, summarise)
