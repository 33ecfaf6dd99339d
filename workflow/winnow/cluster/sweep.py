"""How many clusters? Silhouette, Davies-Bouldin, Calinski-Harabasz, inertia and stability for each k.

In: the vectors of a clustering (reduced ones, if it reduces), a list of k and of seeds. Out: a table (CSV), a plot (SVG) and
a suggestion with its reason (JSON). All is computed on one stated sample of the pool: the indices by scikit-learn on
the Euclidean distances of the unit vectors, the silhouette, whose exact form is quadratic, on a smaller one; stability is the
mean adjusted Rand index between the labels of each two seeds. k-means is that of the workflow (winnow.cluster.kmeans).
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from winnow.cluster.kmeans import nearest_centroids, sample_rows, spherical_kmeans
from winnow.keys import keys
from winnow.parquet import batches
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, run, say, write_json

STAGE_VERSION = 1
COLUMNS = (
    "k",
    "seeds",
    "silhouette",
    "davies_bouldin",
    "calinski_harabasz",
    "inertia",
    "stability",
    "smallest",
)
STABLE = 0.8
"""Adjusted Rand index from which the clusters of two seeds count as the same."""


def indices(vectors: np.ndarray, labels: np.ndarray, silhouette_rows: np.ndarray) -> dict[str, float]:
    """scikit-learn's indices of one partition of `vectors` float [n, d]; the silhouette on `silhouette_rows` int64 [m].

    nan where an index is not defined (one cluster left, or as many as points).
    """
    from sklearn import metrics

    part, own = vectors[silhouette_rows], labels[silhouette_rows]
    defined = 1 < len(np.unique(labels)) < len(labels)
    silhouette_defined = 1 < len(np.unique(own)) < len(own)
    return {
        "silhouette": float(metrics.silhouette_score(part, own)) if silhouette_defined else float("nan"),
        "davies_bouldin": float(metrics.davies_bouldin_score(vectors, labels)) if defined else float("nan"),
        "calinski_harabasz": float(metrics.calinski_harabasz_score(vectors, labels))
        if defined
        else float("nan"),
    }


def inertia(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Sum of squared Euclidean distances of vectors float [n, d] to the mean of their cluster."""
    total = 0.0
    for cluster in np.unique(labels):
        points = vectors[labels == cluster]
        total += float(((points - points.mean(0)) ** 2).sum())
    return total


def stability(partitions: Sequence[np.ndarray]) -> float:
    """Mean adjusted Rand index of each two of the partitions int [n]; nan for one alone."""
    from sklearn.metrics import adjusted_rand_score

    pairs = [adjusted_rand_score(a, b) for a, b in itertools.combinations(partitions, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


def suggest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The suggested k, and the facts behind it: the k that each index prefers, and whether its clusters are stable.

    Of the k whose stability is at least STABLE (of all, if none is, or one seed was run) the one of the highest silhouette;
    of equals the smaller.
    """
    known = [row for row in rows if np.isfinite(row["silhouette"])]
    if not known:
        return {
            "k": None,
            "stable": False,
            "silhouette": None,
            "davies_bouldin": None,
            "calinski_harabasz": None,
        }
    stable = [row for row in known if not row["stability"] < STABLE]
    best = max(stable or known, key=lambda row: (row["silhouette"], -row["k"]))
    return {
        "k": best["k"],
        "stable": bool(best["stability"] >= STABLE),
        "silhouette": max(known, key=lambda row: (row["silhouette"], -row["k"]))["k"],
        "davies_bouldin": min(known, key=lambda row: (row["davies_bouldin"], row["k"]))["k"],
        "calinski_harabasz": max(known, key=lambda row: (row["calinski_harabasz"], -row["k"]))["k"],
    }


def sweep(
    vectors: np.ndarray, ks: Sequence[int], seeds: Sequence[int], settings: dict[str, Any],
    silhouette_rows: np.ndarray, progress: Progress | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row of COLUMNS for each k: means over seeds of the indices of `vectors` float16 [n, d].

    `settings`: iterations and restarts of the k-means. `smallest`: documents of the smallest cluster of any seed.
    """
    import torch

    points = torch.from_numpy(vectors).float()
    exact = vectors.astype(np.float64)
    rows = []
    for k in ks:
        partitions, measured = [], []
        for seed in seeds:
            centroids, _ = spherical_kmeans(points, k, seed, settings["iterations"], settings["restarts"])
            labels, _ = nearest_centroids(vectors, centroids.numpy())
            partitions.append(labels)
            measured.append({**indices(exact, labels, silhouette_rows), "inertia": inertia(exact, labels)})
            if progress:
                progress.add(1)
        row: dict[str, Any] = {"k": k, "seeds": len(seeds)}
        row |= {name: float(np.mean([one[name] for one in measured])) for name in measured[0]}
        row["stability"] = stability(partitions)
        row["smallest"] = int(min(np.bincount(labels, minlength=k).min() for labels in partitions))
        rows.append(row)
    return rows


def plot(rows: list[dict[str, Any]], chosen: int | None, title: str, out: Path) -> None:
    """The curves of the sweep over k, the k of the config marked: SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    names = {
        "silhouette": "Silhouette (higher is better)",
        "davies_bouldin": "Davies-Bouldin (lower is better)",
        "calinski_harabasz": "Calinski-Harabasz (higher is better)",
        "inertia": "Inertia (lower is better)",
        "stability": "Stability: adjusted Rand index between seeds",
    }
    with matplotlib.rc_context({"svg.hashsalt": "winnow", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = pyplot.subplots(1, len(names), figsize=(3.1 * len(names), 2.8), layout="constrained")
        ks = [row["k"] for row in rows]
        for axis, (name, label) in zip(axes, names.items(), strict=True):
            axis.plot(ks, [row[name] for row in rows], marker="o", markersize=3, color="#0072B2")
            if chosen in ks:
                axis.axvline(chosen, color="#D55E00", linestyle="--", linewidth=1)
            axis.set(title=label, xlabel="k (clusters)")
        figure.suptitle(title)
        with atomic_path(out) as partial:
            figure.savefig(partial, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def main(
    *, documents: list[Path], vectors: list[Path], heldout: Path, spec: str, out: Path, plot_out: Path,
    suggestion: Path, name: str = "", threads: int = 0,
) -> None:  # fmt: skip
    """Sweep k for a clustering.

    Args:
        documents: shards of documents (parquet: doc).
        vectors: the vectors that the clustering goes by, of the same shards, in the same order (.npy).
        heldout: documents outside the pool (parquet: doc, role).
        spec: JSON with the keys `clustering` and `sweep` (k, seeds, sample, silhouette_sample).
        out: CSV to write, a row for each k: k, seeds, silhouette, davies_bouldin, calinski_harabasz, inertia, stability, smallest.
        plot_out: SVG to write.
        suggestion: JSON to write: the suggested k, the k that each index prefers, sizes of the samples.
        name: what progress lines and the plot call the clustering.
        threads: processor threads; 0 leaves torch's choice.
    """
    import torch

    settings = read_spec(spec, "clustering", "sweep")
    clustering, wanted = settings["clustering"], settings["sweep"]
    if threads:
        torch.set_num_threads(threads)
    removed = np.sort(np.concatenate([batch[0] for batch in batches(heldout, ["doc"])]))
    seed = clustering["seed"]
    rows = sample_rows(documents, removed, wanted["sample"], seed)
    docs = np.concatenate(
        [
            np.concatenate([b[0] for b in batches(path, ["doc"])])[part]
            for path, part in zip(documents, rows, strict=True)
        ]
    )
    points = np.concatenate(
        [np.load(path, mmap_mode="r")[part] for path, part in zip(vectors, rows, strict=True)]
    )
    if len(points) <= max(wanted["k"]):
        raise InputError(f"sweep {name}: k = {max(wanted['k'])} of {len(points)} documents; take smaller k")
    few = np.sort(np.argsort(keys("silhouette", seed, docs))[: wanted["silhouette_sample"]])
    say(f"[sweep {name}] {len(points):,} documents, silhouette of {len(few):,}, {len(wanted['seeds'])} seeds")
    progress = Progress(f"sweep {name}", total=len(wanted["k"]) * len(wanted["seeds"]), unit="clusterings")
    table = sweep(points, wanted["k"], wanted["seeds"], clustering, few, progress)
    progress.line()
    with atomic_path(out) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    plot(table, clustering.get("k"), f"{name}: {len(points):,} documents", plot_out)
    best = suggest(table)
    sizes = {"documents": len(points), "silhouette_documents": len(few), "configured_k": clustering.get("k")}
    write_json(suggestion, {**best, **sizes})
    say(f"[sweep {name}] k = {best['k']} suggested; the config has {clustering.get('k')}")


if __name__ == "__main__":
    run(main)
