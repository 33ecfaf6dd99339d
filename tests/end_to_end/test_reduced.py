"""A clustering on reduced vectors and a sweep of k, run from generated documents to subsets."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics

pytestmark = pytest.mark.slow

RUN = """
corpora: {sst2-mini: {source: {documents: 600}, clean: [strip, lower], shards: 1, heldout: {documents: 60}}}
reductions: {pca-8: {method: pca, dimensions: 8}}
clusterings: {reduced-k4: {encoder: minilm-128, reduce: pca-8, k: 4}}
sweep: {k: [2, 4, 6], seeds: [0, 1], published: config/published/sst2-sweep.csv}
budgets: {few: {train: 60}}
experiments:
  - {name: reduced, corpus: sst2-mini, clustering: reduced-k4, samplers: [random, uniform, nearest, lsh, semdedup],
     budget: few, model: minilm-classifier, data_seeds: [0], suites: [labels]}
targets: []
"""


@pytest.fixture(scope="module")
def results(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reduced")
    (folder / "run.yaml").write_text(RUN)
    snakemake = str(Path(sys.executable).parent / "snakemake")
    common = [
        "--snakefile",
        str(root / "Snakefile"),
        "--profile",
        str(root / "profiles/local"),
        "--cores",
        "2",
    ]
    command = [snakemake, "subsets", "sweep", *common, "--configfile", "run.yaml"]
    for _ in range(2):
        done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr
    return folder / "results" / "sst2-mini"


def test_clusters_are_those_of_the_reduced_vectors(results: Path) -> None:
    table = np.load(results / "reduced" / "minilm-128" / "pca-8.npy")
    assigned = pq.read_table(results / "clusterings/reduced-k4/assignments/0000.parquet")
    assert assigned["doc"].to_pylist() == table["doc"].tolist()
    centroids = np.load(results / "clusterings/reduced-k4/centroids.npy")
    assert centroids.shape == (4, 8)
    nearest = (table["vector"].astype(np.float32) @ centroids.T).argmax(1)
    assert (assigned["cluster"].to_numpy() == nearest).mean() > 0.995
    subset = pq.read_table(results / "subsets/reduced-k4/uniform/few/seed0/train.parquet").to_pydict()
    assert sorted(np.bincount(subset["cluster"])) == [15, 15, 15, 15]
    cluster = dict(zip(assigned["doc"].to_pylist(), assigned["cluster"].to_pylist(), strict=True))
    assert [cluster[doc] for doc in subset["doc"]] == subset["cluster"]


def test_texts_are_clean_everywhere_and_the_facts_say_so(results: Path) -> None:
    assert json.loads((results / "source.json").read_text())["clean"] == ["strip", "lower"]
    texts = pq.read_table(results / "documents/0000.parquet")["text"].to_pylist()
    assert len(texts) == 600
    assert all(text == text.strip().lower() for text in texts)


def test_the_indices_of_the_sweep_are_those_of_scikit_learn(results: Path) -> None:
    """On the pool, whose documents all fit the samples: k-means of seed 0 and 1, then scikit-learn."""
    import torch
    from winnow.cluster.kmeans import nearest_centroids, spherical_kmeans

    table = np.load(results / "reduced/minilm-128/pca-8.npy")
    held = pq.read_table(results / "heldout.parquet")["doc"].to_pylist()
    vectors = table["vector"][~np.isin(table["doc"], held)]
    with open(results / "clusterings/reduced-k4/sweep.csv", newline="") as file:
        rows = {int(row["k"]): row for row in csv.DictReader(file)}
    assert list(rows) == [2, 4, 6]
    labels = []
    for seed in (0, 1):
        centroids, _ = spherical_kmeans(torch.from_numpy(vectors.copy()).float(), 4, seed, 30, 1)
        labels.append(nearest_centroids(vectors, centroids.numpy())[0])
    exact = vectors.astype(np.float64)
    for name in ("silhouette", "davies_bouldin", "calinski_harabasz"):
        score = getattr(metrics, f"{name}_score")
        mean = np.mean([score(exact, one) for one in labels])
        assert float(rows[4][name]) == pytest.approx(mean, rel=1e-6)
    assert float(rows[4]["stability"]) == pytest.approx(metrics.adjusted_rand_score(*labels))


def test_the_page_has_the_suggestion_and_the_published_figures(results: Path) -> None:
    folder = results / "clusterings/reduced-k4"
    suggestion = json.loads((folder / "sweep.json").read_text())
    page = (folder / "sweep.md").read_text()
    assert suggestion["documents"] == suggestion["silhouette_documents"] == 540
    assert suggestion["reason"] in page
    assert "notebook of the SST-2 study" in page
    assert "52,931" in page
