"""How many clusters? Silhouette, Davies-Bouldin, Calinski-Harabasz, inertia and stability for each k.

In: the vectors of a clustering (reduced ones, if it reduces), a list of k and of seeds. Out: a table (CSV), a plot (SVG) and
a suggestion with its reason (JSON), and a page of all these (Markdown, HTML), on request with published figures. All is computed on one stated sample of the pool: the indices by scikit-learn on
the Euclidean distances of the unit vectors, the silhouette, whose exact form is quadratic, on a smaller one; stability is the
mean adjusted Rand index between the labels of each two seeds. k-means is that of the workflow (winnow.cluster.kmeans).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from winnow import figures
from winnow.cluster.kmeans import nearest_centroids, sample_rows, spherical_kmeans
from winnow.csv_files import read_rows, write_rows
from winnow.keys import keys
from winnow.pages import NOTES, Page, Section, html_page, markdown, number
from winnow.parquet import doc_column, listed_docs, vectors_of_shards
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, run, say, write_json, write_text

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
CURVES = {
    "silhouette": "Silhouette ↑",
    "davies_bouldin": "Davies-Bouldin ↓",
    "calinski_harabasz": "Calinski-Harabasz ↑",
    "inertia": "Inertia ↓",
    "stability": "Stability ↑",
}
"""Columns that are drawn, and their headings; ↑ higher is better, ↓ lower is better."""
PUBLISHED = ("silhouette", "davies_bouldin", "calinski_harabasz")
Published = dict[int, dict[str, Any]]
"""Figures of PUBLISHED and their `source`, by k."""
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


def plot(
    rows: list[dict[str, Any]], chosen: int | None, title: str, out: Path, published: Published | None = None
) -> None:
    """The curves of the sweep over k, the k of the config marked, published figures in grey: SVG."""
    with figures.pyplot("sweep") as pyplot:
        figure, axes = pyplot.subplots(1, len(CURVES), figsize=(3.1 * len(CURVES), 2.8), layout="constrained")
        ks = [row["k"] for row in rows]
        for axis, (name, label) in zip(axes, CURVES.items(), strict=True):
            if published and name in PUBLISHED:
                axis.plot(
                    list(published), [row[name] for row in published.values()],
                    marker="s", markersize=3, color="#999999", label="published",
                )  # fmt: skip
            axis.plot(
                ks, [row[name] for row in rows], marker="o", markersize=3, color="#0072B2", label="measured"
            )
            if chosen in ks:
                axis.axvline(chosen, color="#D55E00", linestyle="--", linewidth=1)
            if published and name in PUBLISHED:
                axis.legend()
            axis.set(title=label, xlabel="k (clusters)")
            axis.xaxis.get_major_locator().set_params(integer=True)
        figure.suptitle(title)
        write_text(out, figures.svg(figure))


# ---------------------------------------------------------------- published figures, and the page


def read_published(path: Path) -> Published:
    """Published figures of a sweep by k: PUBLISHED and `source`, from a CSV with these columns and `k`.

    Raises InputError naming the row for a missing column, a value that is no number, and a k that is listed twice.
    """
    table: Published = {}
    for line, row in enumerate(read_rows(path, ("k", *PUBLISHED, "source")), 1):
        try:
            k, values = int(row["k"]), {name: float(row[name]) for name in PUBLISHED}
        except ValueError:
            raise InputError(
                f"{path}: row {line}: k must be a whole number, {', '.join(PUBLISHED)} numbers"
            ) from None
        if k in table:
            raise InputError(f"{path}: row {line}: k = {k} is listed twice; keep one")
        table[k] = {**values, "source": row["source"]}
    return table


def reason(best: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Why this k is suggested, in words; `best` is what `suggest` returned of the rows."""
    if best["k"] is None:
        return "No k is suggested: the silhouette is defined for none of them (each leaves one cluster)."
    row = next(row for row in rows if row["k"] == best["k"])
    height = f"the highest silhouette ({number(row['silhouette'])})"
    if np.isnan(row["stability"]):
        why = f"it has {height}; one seed was run, so its stability is unknown"
    elif best["stable"]:
        why = (
            f"it has {height} of the k whose clusters are stable: the same documents are together with each seed "
            f"(adjusted Rand index {number(row['stability'])}, from {STABLE:g} on counts as stable)"
        )
    else:
        why = (
            f"it has {height}, but no k is stable: with another seed, other documents are together (adjusted Rand index "
            f"{number(row['stability'])}, below {STABLE:g})"
        )
    ks = sorted(row["k"] for row in rows)
    edge = {ks[-1]: "largest", ks[0]: "smallest"}.get(best["k"]) if len(ks) > 1 and best["k"] != 2 else None
    beyond = f" It is the {edge} k that was tried: the best one may lie beyond (key sweep.k)." if edge else ""
    return f"k = {best['k']} is suggested: {why}.{beyond}"


def agreement(best: dict[str, Any]) -> str:
    """Which k each index prefers, in words."""
    return (
        f"The indices alone prefer k = {best['silhouette']} (silhouette), {best['davies_bouldin']} (Davies-Bouldin) and "
        f"{best['calinski_harabasz']} (Calinski-Harabasz)."
    )


def page(
    name: str, rows: list[dict[str, Any]], suggestion: dict[str, Any], published: Published, svg: str
) -> Page:
    """The page of a sweep: the suggestion in words, the table of the indices, the plot, published figures beside ours.

    `suggestion`: what `suggest` returned, with `documents`, `silhouette_documents` and `configured_k`.
    """
    chosen = suggestion["configured_k"]
    measured = [
        [str(row["k"]), *(number(row[column]) for column in CURVES), f"{row['smallest']:,}",
         ", ".join(mark for mark, k in (("suggested", suggestion["k"]), ("config", chosen)) if row["k"] == k)]
        for row in rows
    ]  # fmt: skip
    sections = [
        Section(
            "Indices by number of clusters", (["k", *CURVES.values(), "Smallest cluster", NOTES], measured)
        )
    ]
    if published:
        ours = {row["k"]: row for row in rows}
        heads = [f"{CURVES[c]}: {whose}" for c in PUBLISHED for whose in ("measured", "published")]
        body = [
            [str(k), *(cell for c in PUBLISHED for cell in (number(ours[k][c]) if k in ours else "", number(row[c]))),
             row["source"]]
            for k, row in published.items()
        ]  # fmt: skip
        sections.append(Section("Published figures beside ours", (["k", *heads, NOTES], body)))
    seeds = rows[0]["seeds"]
    legend = [
        f"Measured on {suggestion['documents']:,} documents of the pool, the silhouette on "
        f"{suggestion['silhouette_documents']:,} of them (its cost is quadratic); means over {seeds} "
        f"seed{'s' * (seeds > 1)} of k-means.",
        "Silhouette: how much nearer a document is to its own cluster than to the next one, from -1 to 1. "
        "Davies-Bouldin: spread of clusters over the distance between them. Calinski-Harabasz: variance between clusters "
        "over variance inside them. Inertia: sum of squared distances to the mean of the cluster; it always falls with k, "
        "so look for a bend.",
        "Stability: mean adjusted Rand index of the clusters of each two seeds; 1: the same clusters, 0: agreement by "
        "chance. Smallest cluster: of any seed, in documents.",
        "All indices use Euclidean distances of unit vectors. They measure how compact clusters are, not whether they are "
        "of use: topics that blend into each other have low values at any k.",
        f"The config has k = {chosen} (dashed line); a suggestion changes nothing by itself. ↑ higher is better, "
        "↓ lower is better.",
    ]
    if published:
        legend.append(
            "Published figures come from other vectors and another sample: the position of their best k can be compared; "
            "the values can only roughly."
        )
    return Page(
        title=f"How many clusters? {name}",
        warnings=[],
        legend=legend,
        sections=sections,
        plots=[("Indices over k", svg)],
        answer=[reason(suggestion, rows), *([agreement(suggestion)] if suggestion["k"] is not None else [])],
    )


def main(
    *, documents: list[Path], vectors: list[Path], heldout: Path, spec: str, out: Path, plot_out: Path,
    suggestion: Path, markdown_out: Path, html_out: Path, published: list[Path] = [], name: str = "",
    threads: int = 0,
) -> None:  # fmt: skip
    """Sweep k for a clustering.

    Args:
        documents: shards of documents (parquet: doc).
        vectors: the vectors that the clustering goes by, of the same shards, in the same order (.npy), or one file of
            reduced vectors.
        heldout: documents outside the pool (parquet: doc, role).
        spec: JSON with the keys `clustering` and `sweep` (k, seeds, sample, silhouette_sample).
        out: CSV to write, a row for each k: k, seeds, silhouette, davies_bouldin, calinski_harabasz, inertia, stability, smallest.
        plot_out: SVG to write.
        suggestion: JSON to write: the suggested k, the k that each index prefers, sizes of the samples.
        markdown_out: page to write, Markdown.
        html_out: the same page, HTML.
        published: published figures (CSV: k, silhouette, davies_bouldin, calinski_harabasz, source) to show beside ours.
        name: what progress lines, the plot and the page call the clustering.
        threads: processor threads; 0 leaves torch's choice.
    """
    import torch

    settings = read_spec(spec, "clustering", "sweep")
    clustering, wanted = settings["clustering"], settings["sweep"]
    figures = {k: row for path in published for k, row in read_published(path).items()}
    if threads:
        torch.set_num_threads(threads)
    seed = clustering["seed"]
    rows = sample_rows(documents, listed_docs([heldout]), wanted["sample"], seed)
    docs = np.concatenate([doc_column(path)[part] for path, part in zip(documents, rows, strict=True)])
    points = np.concatenate(
        [part[r] for part, r in zip(vectors_of_shards(vectors, documents), rows, strict=True)]
    )
    if len(points) <= max(wanted["k"]):
        raise InputError(
            f"sweep {name}: k = {max(wanted['k'])} requires more than the {len(points)} documents of the pool; take smaller k"
        )
    few = np.sort(np.argsort(keys("silhouette", seed, docs))[: wanted["silhouette_sample"]])
    say(f"[sweep {name}] {len(points):,} documents, silhouette of {len(few):,}, {len(wanted['seeds'])} seeds")
    progress = Progress(f"sweep {name}", total=len(wanted["k"]) * len(wanted["seeds"]), unit="clusterings")
    table = sweep(points, sorted(wanted["k"]), wanted["seeds"], clustering, few, progress)
    progress.line()
    write_rows(out, table, COLUMNS)
    plot(table, clustering.get("k"), f"{name}: {len(points):,} documents", plot_out, figures)
    best = suggest(table)
    sizes = {"documents": len(points), "silhouette_documents": len(few), "configured_k": clustering.get("k")}
    write_json(suggestion, {**best, **sizes, "reason": reason(best, table)})
    shown = page(name, table, {**best, **sizes}, figures, plot_out.read_text(encoding="utf-8"))
    write_text(markdown_out, markdown(shown))
    write_text(html_out, html_page(shown))
    say(f"[sweep {name}] k = {best['k']} suggested; the config has {clustering.get('k')}")


if __name__ == "__main__":
    run(main)
