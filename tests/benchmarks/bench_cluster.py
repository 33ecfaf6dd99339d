"""Clustering against scikit-learn's MiniBatchKMeans: the same vectors, one run, rounds interleaved.

    .venv/bin/python tests/benchmarks/bench_cluster.py --vectors 1000000

Real vectors (`--embeddings`, else the largest shard of results/*/embeddings, else made-up ones), replicated with noise.
Ours: fit on the stated sample (512 a centroid) and assignment of all, with distances. Peer: one partial_fit pass in batches
of 16,384, then predict. Prints seconds, their ratio, the mean cosine to the own normalised centroid, the
peak of the sample's memory, and the floor: one pass of the assignment's matrix product.
"""

import os
import sys
import time
from pathlib import Path

from common import ROOT, cores, figure, options, peer, processor, skipped

PARSER = options(__doc__)
PARSER.add_argument("--embeddings", type=Path, help="a shard of vectors (.npy)")
PARSER.add_argument("--vectors", type=int, default=200_000)
PARSER.add_argument("--k", type=int, default=220)
PARSER.add_argument("--rounds", type=int, default=2)
PARSER.add_argument("--threads", type=int, default=cores())
ASKED = PARSER.parse_args()
os.environ["OMP_NUM_THREADS"] = str(ASKED.threads)

import numpy as np  # noqa: E402
import torch  # noqa: E402

with peer("sklearn"):
    from sklearn.cluster import MiniBatchKMeans
from winnow.cluster.kmeans import ROWS, _working_type, nearest_centroids, spherical_kmeans  # noqa: E402

BATCH = 16_384


def source() -> np.ndarray:
    """Vectors [n, d] to replicate: those named, those of a run, or made-up ones around 500 directions."""
    if ASKED.embeddings and not ASKED.embeddings.is_file():
        sys.exit(f"--embeddings: no file {ASKED.embeddings}")
    shards = sorted(ROOT.glob("results/*/embeddings/*/*.npy"), key=lambda path: path.stat().st_size)
    if path := ASKED.embeddings or (shards[-1] if shards else None):
        print(f"vectors of {path}")
        return np.load(path)
    skipped("real vectors", "no results/*/embeddings (`make demo`); a stand-in is made up")
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((500, 384))
    rows = centres[generator.integers(0, 500, 10_000)] + 0.8 * generator.standard_normal((10_000, 384))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def replicate(real: np.ndarray, count: int, noise: float = 0.04) -> np.ndarray:
    """Rows of `real` at random plus Gaussian noise, normalised: float16 [count, d]."""
    generator = np.random.default_rng(0)
    out = np.empty((count, real.shape[1]), dtype=np.float16)
    for start in range(0, count, ROWS):
        part = out[start : start + ROWS]
        rows = real[generator.integers(0, len(real), len(part))].astype(np.float32)
        rows += noise * generator.standard_normal(rows.shape, dtype=np.float32)
        part[:] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


def ours(vectors: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    generator = np.random.default_rng(seed)
    rows = np.sort(generator.choice(len(vectors), min(len(vectors), 512 * k), replace=False))
    sample = torch.from_numpy(vectors[rows]).to(_working_type("cpu"))
    centroids, _ = spherical_kmeans(sample, k, seed, iterations=30, restarts=1)
    fitted = time.perf_counter()
    own, _ = nearest_centroids(vectors, centroids.numpy())
    return own, centroids.numpy(), fitted


def theirs(vectors: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    model = MiniBatchKMeans(k, batch_size=BATCH, random_state=seed, n_init=1)
    for start in range(0, len(vectors), BATCH):
        model.partial_fit(vectors[start : start + BATCH])
    fitted = time.perf_counter()
    own = model.predict(vectors)
    return own, model.cluster_centers_, fitted


def quality(vectors: np.ndarray, own: np.ndarray, centroids: np.ndarray) -> float:
    unit = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    total = 0.0
    for start in range(0, len(vectors), ROWS):
        part = slice(start, start + ROWS)
        total += float(np.einsum("ij,ij->i", vectors[part].astype(np.float32), unit[own[part]]).sum())
    return total / len(vectors)


def main() -> None:
    rounds, count, k = ASKED.rounds, ASKED.vectors, ASKED.k
    half = replicate(source(), count)
    single = half.astype(np.float32)  # the peer's input: it has no float16
    print(processor())
    print(f"{count:,} x {half.shape[1]}, k = {k}, {torch.get_num_threads()} threads", flush=True)
    seconds: dict[str, list[float]] = {}
    cosine: dict[str, list[float]] = {}
    for seed in range(rounds):
        for name, run, vectors in (("winnow", ours, half), ("scikit-learn", theirs, single)):
            start = time.perf_counter()
            own, centroids, fitted = run(vectors, k, seed)
            end = time.perf_counter()
            seconds.setdefault(name, []).append(end - start)
            cosine.setdefault(name, []).append(quality(half, own, centroids))
            print(f"  {name:13s} fit {fitted - start:6.2f} s, assign {end - fitted:5.2f} s, "
                  f"mean cosine {cosine[name][-1]:.5f}", flush=True)  # fmt: skip
    table = torch.zeros(half.shape[1], k, dtype=_working_type("cpu"))
    points = torch.from_numpy(half[:ROWS]).to(table.dtype)
    start = time.perf_counter()
    torch.mm(points, table)
    floor = (time.perf_counter() - start) * count / ROWS
    print(f"best: winnow {min(seconds['winnow']):.2f} s, scikit-learn {min(seconds['scikit-learn']):.2f} s, "
          f"share {min(seconds['winnow']) / min(seconds['scikit-learn']):.2f} (wanted: at most .40); mean cosine "
          f"{np.mean(cosine['winnow']):.5f} and {np.mean(cosine['scikit-learn']):.5f}; "
          f"floor of one pass {floor:.2f} s; sample {min(count, 512 * k) * half.shape[1] * 2 / 2**20:.0f} MiB")  # fmt: skip
    figure(
        f"cluster {count:,} vectors, k={k}",
        "s",
        min(seconds["winnow"]),
        min(seconds["scikit-learn"]),
        "at most 0.40",
    )
    figure(
        "mean cosine",
        "",
        float(np.mean(cosine["winnow"])),
        float(np.mean(cosine["scikit-learn"])),
        "at least 1",
    )


if __name__ == "__main__":
    main()
