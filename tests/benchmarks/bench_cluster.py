"""Clustering against scikit-learn's MiniBatchKMeans: the same vectors, one run, rounds interleaved.

    .venv/bin/python tests/benchmarks/bench_cluster.py --vectors 1000000

Real vectors (`--embeddings`, else the largest shard of results/*/embeddings, else made-up ones), replicated with noise.
Ours: fit on the stated sample (512 a centroid) and assignment of all, with distances. Peer: one partial_fit pass in batches
of 16,384, then predict. Prints seconds, their ratio, the mean cosine to the own normalised centroid, the
peak of the sample's memory, and the floor: one pass of the assignment's matrix product.

With `--slopes`: processor seconds of fit and assignment of made-up vectors, as the number of vectors, k and the dimension change,
one at a time, beside those of the model of plans and time limits (winnow.work). Ten minutes.
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
PARSER.add_argument("--slopes", action="store_true", help="time over vectors, k and dimensions")
PARSER.add_argument("--threads", type=int, default=cores())
ASKED = PARSER.parse_args()
os.environ["OMP_NUM_THREADS"] = str(ASKED.threads)

import numpy as np  # noqa: E402
import torch  # noqa: E402

if not ASKED.slopes:
    with peer("sklearn"):
        from sklearn.cluster import MiniBatchKMeans
from winnow.cluster.kmeans import ROWS, _working_type, nearest_centroids, spherical_kmeans  # noqa: E402

BATCH = 16_384


BASE = {"vectors": 200_000, "k": 220, "d": 384}
GRID = {"vectors": (50_000, 100_000, 200_000, 400_000), "k": (55, 220, 440), "d": (128, 384, 768)}


def source() -> np.ndarray:
    """Vectors [n, d] to replicate: those named, those of a run, or made-up ones around 500 directions."""
    if ASKED.embeddings and not ASKED.embeddings.is_file():
        sys.exit(f"--embeddings: no file {ASKED.embeddings}")
    shards = sorted(ROOT.glob("results/*/embeddings/*/*.npy"), key=lambda path: path.stat().st_size)
    if path := ASKED.embeddings or (shards[-1] if shards else None):
        print(f"vectors of {path}")
        return np.load(path)
    skipped("real vectors", "no results/*/embeddings (`make demo`); a stand-in is made up")
    return made_up(384)


def made_up(dimensions: int) -> np.ndarray:
    """Unit vectors float16 [10000, dimensions] around 500 directions."""
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((500, dimensions))
    rows = centres[generator.integers(0, 500, 10_000)] + 0.8 * generator.standard_normal((10_000, dimensions))
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


def ours(vectors: np.ndarray, k: int, seed: int, assign: bool = True) -> tuple[np.ndarray, np.ndarray, float]:
    generator = np.random.default_rng(seed)
    rows = np.sort(generator.choice(len(vectors), min(len(vectors), 512 * k), replace=False))
    sample = torch.from_numpy(vectors[rows]).to(_working_type("cpu"))
    centroids, _ = spherical_kmeans(sample, k, seed, iterations=30, restarts=1)
    fitted = time.perf_counter()
    own = nearest_centroids(vectors, centroids.numpy())[0] if assign else np.zeros(0, dtype=np.int64)
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


def modelled(vectors: int, k: int, d: int) -> tuple[float, float]:
    """Processor seconds of fit and assignment by winnow.work, without the start of the process."""
    from winnow.work.machine import DEFAULT
    from winnow.work.requests import Sizes, cpu_seconds, start_seconds
    from winnow.work.sizes import CorpusSize
    from winnow.work.stages import work_of

    clustering = {"method": "kmeans", "k": k, "encoder": "e", "reduce": None, "points_per_centroid": 512, "iterations": 30,
                  "restarts": 1}  # fmt: skip
    config = {"corpora": {"c": {"shards": 1, "deduplicate": False}}, "encoders": {"e": {"dimension": d}},
              "clusterings": {"x": clustering}}  # fmt: skip
    sizes = Sizes(lambda _: CorpusSize(vectors, 1000.0))
    ids = {"corpus": "c", "clustering": "x"}
    works = [
        work_of(config, rule, shard, sizes)
        for rule, shard in (("fit_clusters", ids), ("assign_clusters", {**ids, "shard": "0000"}))
    ]
    return tuple(cpu_seconds(work, DEFAULT) - start_seconds(work, DEFAULT) for work in works)  # type: ignore[return-value]


def slopes() -> None:
    """Prints processor seconds over one quantity at a time, their exponents, and those of the model."""
    print(
        "| vectors | k | d | fit s | model s | assign s | model s |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    measured: dict[tuple[int, int, int], tuple[float, float]] = {}
    for what, values in GRID.items():
        for value in values:
            vectors, k, d = case = tuple({**BASE, what: value}.values())
            if case in measured:
                continue
            rows = replicate(made_up(d), vectors)
            best = [np.inf, np.inf]
            for seed in range(ASKED.rounds):
                start = time.process_time()
                _, centroids, _ = ours(rows, k, seed, assign=False)
                fitted = time.process_time()
                nearest_centroids(rows, centroids)
                best = [min(best[0], fitted - start), min(best[1], time.process_time() - fitted)]
            measured[case] = (best[0], best[1])
            model = modelled(vectors, k, d)
            print(
                f"| {vectors:,} | {k} | {d} | {best[0]:.2f} | {model[0]:.2f} | {best[1]:.2f} | {model[1]:.2f} |",
                flush=True,
            )
            figure(f"fit of {vectors:,} x {d}, k={k}", "CPU s", best[0])
            figure(f"assignment of {vectors:,} x {d}, k={k}", "CPU s", best[1])
    for what, values in GRID.items():
        cases = [tuple({**BASE, what: value}.values()) for value in values]
        for at, stage in enumerate(("fit", "assignment")):
            ours_, theirs_ = (
                [np.log(table(case)[at]) for case in cases]
                for table in (measured.get, lambda c: modelled(*c))
            )
            exponents = [float(np.polyfit(np.log(values), seconds, 1)[0]) for seconds in (ours_, theirs_)]
            print(
                f"{stage} grows with {what} to the power {exponents[0]:.2f}; in the model {exponents[1]:.2f}"
            )


def main() -> None:
    if ASKED.slopes:
        print(processor(), flush=True)
        return slopes()
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
