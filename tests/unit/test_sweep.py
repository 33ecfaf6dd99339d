"""The k sweep: indices are scikit-learn's, planted clusters are found, and a reduction keeps neighbours."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics
from winnow.cluster import reduce, sweep
from winnow.stage import InputError, canonical

CLUSTERING = {"encoder": "toy", "k": 3, "seed": 0, "iterations": 25, "restarts": 2}


def planted(groups: int, each: int = 60, d: int = 16, noise: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(groups)
    group = np.repeat(np.arange(groups), each)
    vectors = np.eye(groups, d)[group] + noise * generator.standard_normal((len(group), d)) / np.sqrt(d) * 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    turn = generator.permutation(len(group))
    return vectors[turn].astype(np.float16), group[turn]


def test_indices_are_those_of_scikit_learn() -> None:
    vectors, group = planted(4)
    exact, everything = vectors.astype(np.float64), np.arange(len(vectors))
    found = sweep.indices(exact, group, everything)
    assert found["silhouette"] == pytest.approx(metrics.silhouette_score(exact, group), abs=1e-6)
    assert found["davies_bouldin"] == pytest.approx(metrics.davies_bouldin_score(exact, group), abs=1e-6)
    assert found["calinski_harabasz"] == pytest.approx(
        metrics.calinski_harabasz_score(exact, group), rel=1e-6
    )


def test_planted_clusters_are_suggested_with_stable_labels(tmp_path: Path) -> None:
    vectors, _ = planted(5)
    rows = sweep.sweep(vectors, range(2, 9), [0, 1, 2], CLUSTERING, np.arange(len(vectors)))
    best = sweep.suggest(rows)
    assert best["k"] == best["silhouette"] == 5
    assert best["stable"]
    assert all(rows[i]["inertia"] > rows[i + 1]["inertia"] for i in range(4))
    sweep.plot(rows, 5, "planted", tmp_path / "s.svg")
    assert "Davies-Bouldin" in (tmp_path / "s.svg").read_text()


def test_a_single_seed_has_no_stability_and_still_a_suggestion() -> None:
    rows = sweep.sweep(planted(3)[0], [2, 3, 4], [0], CLUSTERING, np.arange(100))
    assert np.isnan(rows[0]["stability"])
    assert sweep.suggest(rows)["k"] == 3


class Corpus:
    """Two shards of documents with planted vectors."""

    def __init__(self, folder: Path, shards: int):
        self.vectors, self.group = planted(3, each=50)
        doc = np.arange(len(self.vectors)) * 100
        self.documents, self.embeddings = [], []
        for i, part in enumerate(np.array_split(np.arange(len(doc)), shards)):
            self.documents.append(folder / f"{shards}-{i}.parquet")
            self.embeddings.append(folder / f"{shards}-{i}.npy")
            pq.write_table(pa.table({"doc": doc[part]}), self.documents[-1])
            np.save(self.embeddings[-1], self.vectors[part])
        self.heldout = folder / "h.parquet"
        pq.write_table(pa.table({"doc": doc[:5], "role": ["heldout"] * 5}), self.heldout)

    def reduced(self, settings: dict, out: Path) -> np.ndarray:
        out.mkdir()
        files = [out / path.name for path in self.embeddings]
        reduce.main(documents=self.documents, embeddings=self.embeddings, heldout=self.heldout, out=files,
                    spec=canonical({"reduction": settings}))  # fmt: skip
        return np.concatenate([np.load(file) for file in files])


def near_share(vectors: np.ndarray, group: np.ndarray) -> float:
    product = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    np.fill_diagonal(product, -2)
    return float((group[product.argmax(1)] == group).mean())


PCA = {"method": "pca", "dimensions": 4, "seed": 0, "neighbors": 10, "min_dist": 0.1, "sample": 1000}


@pytest.mark.parametrize("settings", [PCA, pytest.param({**PCA, "method": "umap"}, marks=pytest.mark.slow)])
def test_a_reduction_keeps_neighbours_is_of_unit_norm_and_repeats(tmp_path: Path, settings: dict) -> None:
    corpus = Corpus(tmp_path, 2)
    out = corpus.reduced(settings, tmp_path / "a")
    assert out.dtype == np.float16
    assert out.shape == (150, 4)
    assert np.allclose(np.linalg.norm(out.astype(np.float64), axis=1), 1, atol=2e-3)
    assert near_share(out, corpus.group) > 0.97
    assert np.array_equal(out, corpus.reduced(settings, tmp_path / "b"))


def test_the_number_of_shards_changes_no_bit_of_a_reduction(tmp_path: Path) -> None:
    one = Corpus(tmp_path, 1).reduced({**PCA, "sample": 60}, tmp_path / "a")
    assert np.array_equal(one, Corpus(tmp_path, 2).reduced({**PCA, "sample": 60}, tmp_path / "b"))


def test_too_small_a_pool_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="requires at least 202"):
        Corpus(tmp_path, 1).reduced({**PCA, "dimensions": 200}, tmp_path / "a")


def test_the_stage_writes_table_plot_and_suggestion(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, 2)
    wanted = {"k": [2, 3, 4], "seeds": [0, 1], "sample": 1000, "silhouette_sample": 80}
    sweep.main(documents=corpus.documents, vectors=corpus.embeddings, heldout=corpus.heldout, out=tmp_path / "s.csv",
               plot_out=tmp_path / "s.svg", suggestion=tmp_path / "s.json", name="toy",
               spec=canonical({"clustering": CLUSTERING, "sweep": wanted}))  # fmt: skip
    with open(tmp_path / "s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["k"]) for row in rows] == [2, 3, 4]
    assert json.loads((tmp_path / "s.json").read_text()) | {
        "k": 3,
        "documents": 145,
        "silhouette_documents": 80,
    } == (json.loads((tmp_path / "s.json").read_text()))
