"""The k sweep: indices are scikit-learn's, planted clusters are found, published figures stand beside ours; and a
reduction keeps neighbours, by document."""

from __future__ import annotations

import csv
import json
import weakref
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics
from winnow.cluster import hdbscan, kmeans, reduce, sweep
from winnow.parquet import vectors_of, vectors_of_shards
from winnow.score import documents as scores
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
        reduce.main(documents=self.documents, embeddings=self.embeddings, heldout=self.heldout, out=out,
                    spec=canonical({"reduction": settings}))  # fmt: skip
        table = np.load(out)
        assert table["doc"].tolist() == (np.arange(len(self.vectors)) * 100).tolist()
        return table["vector"]


def near_share(vectors: np.ndarray, group: np.ndarray) -> float:
    product = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    np.fill_diagonal(product, -2)
    return float((group[product.argmax(1)] == group).mean())


PCA = {"method": "pca", "dimensions": 4, "seed": 0, "neighbors": 10, "min_dist": 0.1, "sample": 1000}


@pytest.mark.parametrize("settings", [PCA, pytest.param({**PCA, "method": "umap"}, marks=pytest.mark.slow)])
def test_a_reduction_keeps_neighbours_is_of_unit_norm_and_repeats(tmp_path: Path, settings: dict) -> None:
    corpus = Corpus(tmp_path, 2)
    out = corpus.reduced(settings, tmp_path / "a.npy")
    assert out.dtype == np.float16
    assert out.shape == (150, 4)
    assert np.allclose(np.linalg.norm(out.astype(np.float64), axis=1), 1, atol=2e-3)
    assert near_share(out, corpus.group) > 0.97
    assert np.array_equal(out, corpus.reduced(settings, tmp_path / "b.npy"))


@pytest.mark.parametrize("settings", [PCA, pytest.param({**PCA, "method": "umap"}, marks=pytest.mark.slow)])
def test_equal_vectors_get_equal_ones_in_the_sample_or_not(tmp_path: Path, settings: dict) -> None:
    corpus = Corpus(tmp_path, 2)
    copies = np.array([3, 40, 41, 80, 149])  # the first is held out; the others are in both shards
    for i, part in enumerate(np.array_split(np.arange(150), 2)):
        vectors = np.load(corpus.embeddings[i])
        vectors[np.isin(part, copies)] = corpus.vectors[0]
        np.save(corpus.embeddings[i], vectors)
    for sample in (1000, 50):
        out = corpus.reduced({**settings, "sample": sample}, tmp_path / f"{sample}.npy")
        assert (out[copies] == out[copies[0]]).all()
        assert len(np.unique(out, axis=0)) >= 150 - len(copies)


def test_rows_are_told_apart_by_every_bit() -> None:
    vectors = np.zeros((5, 6), dtype=np.float16)
    vectors[1, 5], vectors[2, 0], vectors[3, 0], vectors[4, 3] = 1, 1, 1, -0.0
    keys = reduce.row_keys(vectors)
    assert len(set(keys.tolist())) == 3
    assert (keys[0] == keys[4], keys[2] == keys[3]) == (True, True)
    preferred = np.array([False, False, False, True, False])
    assert reduce.first_equal(keys, preferred).tolist() == [0, 1, 3, 3, 0]


def test_the_number_of_shards_changes_no_bit_of_a_reduction(tmp_path: Path) -> None:
    one = Corpus(tmp_path, 1).reduced({**PCA, "sample": 60}, tmp_path / "a.npy")
    assert np.array_equal(one, Corpus(tmp_path, 2).reduced({**PCA, "sample": 60}, tmp_path / "b.npy"))


def test_too_small_a_pool_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="requires at least 202"):
        Corpus(tmp_path, 1).reduced({**PCA, "dimensions": 200}, tmp_path / "a.npy")
    assert not list(tmp_path.glob("*a.npy*"))


def test_a_shard_finds_its_rows_in_the_reduced_vectors_by_document(tmp_path: Path) -> None:
    corpus, reduced = Corpus(tmp_path, 3), tmp_path / "r.npy"
    whole = corpus.reduced(PCA, reduced)
    parts = list(vectors_of_shards([reduced], corpus.documents))
    assert [len(part) for part in parts] == [50, 50, 50]
    assert np.array_equal(np.concatenate(parts), whole)
    some = np.array([700, 100, 14900])
    assert np.array_equal(vectors_of(reduced, some, corpus.documents[0]), whole[[7, 1, 149]])
    for doc in (150, 15_000):
        with pytest.raises(InputError, match=f"r.npy: no vector of document {doc} of .*; make it again"):
            vectors_of(reduced, np.array([100, doc]), corpus.documents[0])
    with pytest.raises(InputError, match="2 files for 3 shards"):
        vectors_of_shards(corpus.embeddings[:2], corpus.documents)


def test_shards_of_vectors_are_mapped_one_at_a_time(tmp_path: Path) -> None:
    """Their pages count as memory of the job: of the Pile, 275 GB."""
    corpus = Corpus(tmp_path, 3)
    alive: list[weakref.ref] = []
    most = 0
    for part in vectors_of_shards(corpus.embeddings, corpus.documents):
        alive.append(weakref.ref(part))
        most = max(most, sum(one() is not None for one in alive))
    assert len(alive) == 3
    assert most < 3


def test_a_clustering_on_reduced_vectors_is_that_of_shards_of_them(tmp_path: Path) -> None:
    """Fit, assignment and LSH buckets: the file of all documents stands for one of each shard."""
    corpus, reduced = Corpus(tmp_path, 2), tmp_path / "r.npy"
    corpus.reduced(PCA, reduced)
    parts = list(vectors_of_shards([reduced], corpus.documents))
    cut = [tmp_path / f"cut-{i}.npy" for i in (0, 1)]
    for path, part in zip(cut, parts, strict=True):
        np.save(path, part)
    settings = {**CLUSTERING, "points_per_centroid": 100}
    scorer = {"kind": "lsh", "planes": 3, "seed": 0}
    results = []
    for name, vectors in (("one", [reduced]), ("two", cut)):
        out = tmp_path / name
        kmeans.fit(documents=corpus.documents, embeddings=vectors, heldout=corpus.heldout, out=out / "c.npy",
                   spec=canonical({"clustering": settings}))  # fmt: skip
        files = [np.load(out / "c.npy").tobytes()]
        for i, documents in enumerate(corpus.documents):
            mine = vectors[i if len(vectors) > 1 else 0]
            kmeans.assign(
                documents=documents, embeddings=mine, centroids=out / "c.npy", out=out / f"{i}.parquet"
            )
            scores.vectors(embeddings=mine, assignments=out / f"{i}.parquet", centroids=out / "c.npy",
                           heldout=corpus.heldout, spec=canonical({"scorer": scorer}), out=out / f"s{i}.parquet")  # fmt: skip
            files += [(out / f"{kind}{i}.parquet").read_bytes() for kind in ("", "s")]
        results.append(files)
    assert results[0] == results[1]
    assert np.load(tmp_path / "one" / "c.npy").shape == (3, 4)


def test_hdbscan_reads_reduced_vectors(tmp_path: Path) -> None:
    corpus, reduced = Corpus(tmp_path, 2), tmp_path / "r.npy"
    corpus.reduced(PCA, reduced)
    settings = {"min_cluster_size": 20, "min_samples": 5, "epsilon": 0.0, "selection": "eom", "sample": 1000,
                "dimensions": 0, "fence": 3.0, "noise": "nearest"}  # fmt: skip
    clustering = {"encoder": "toy", "method": "hdbscan", "seed": 0, "hdbscan": settings}
    out = {name: tmp_path / f"h.{name}" for name in ("npy", "npz", "tsv", "json")}
    hdbscan.fit(documents=corpus.documents, embeddings=[reduced], heldout=corpus.heldout, out=out["npy"],
                model=out["npz"], exclusions=out["tsv"], report=out["json"],
                spec=canonical({"clustering": clustering}))  # fmt: skip
    group: list[int] = []
    for i, documents in enumerate(corpus.documents):
        hdbscan.assign(documents=documents, embeddings=reduced, centroids=out["npy"], model=out["npz"],
                       out=tmp_path / f"a{i}.parquet")  # fmt: skip
        group += pq.read_table(tmp_path / f"a{i}.parquet")["cluster"].to_pylist()
    assert metrics.adjusted_rand_score(corpus.group, group) > 0.97


FIGURES = (
    "k,silhouette,davies_bouldin,calinski_harabasz,source\n2,0.38,1.0437,52930.6,a notebook\n9,.2,1,2e4,b\n"
)


def swept(tmp_path: Path, figures: str | None = None, **more: object) -> Path:
    """Runs the stage on a planted corpus of three clusters; the folder of its files."""
    corpus = Corpus(tmp_path, 2)
    wanted = {"k": [4, 2, 3], "seeds": [0, 1], "sample": 1000, "silhouette_sample": 80, **more}
    (tmp_path / "p.csv").write_text(figures or "")
    names = {
        "out": "s.csv",
        "plot_out": "s.svg",
        "suggestion": "s.json",
        "markdown_out": "s.md",
        "html_out": "s.html",
    }
    sweep.main(documents=corpus.documents, vectors=corpus.embeddings, heldout=corpus.heldout, name="toy",
               published=[tmp_path / "p.csv"] if figures else [],
               spec=canonical({"clustering": CLUSTERING, "sweep": wanted}),
               **{key: tmp_path / name for key, name in names.items()})  # fmt: skip
    return tmp_path


def test_the_stage_writes_table_plot_suggestion_and_page(tmp_path: Path) -> None:
    swept(tmp_path)
    with open(tmp_path / "s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["k"]) for row in rows] == [2, 3, 4]
    suggestion = json.loads((tmp_path / "s.json").read_text())
    assert suggestion | {"k": 3, "documents": 145, "silhouette_documents": 80} == suggestion
    page = (tmp_path / "s.md").read_text()
    assert "**k = 3 is suggested: it has the highest silhouette" in page
    assert "Measured on 145 documents of the pool, the silhouette on 80 of them" in page
    assert "suggested, config" in page
    assert "Published" not in page
    assert "<svg" in (tmp_path / "s.html").read_text()
    assert "published" not in (tmp_path / "s.svg").read_text()


def test_published_figures_stand_beside_ours_and_in_the_plot(tmp_path: Path) -> None:
    swept(tmp_path, FIGURES)
    page = (tmp_path / "s.md").read_text()
    assert "## Published figures beside ours" in page
    lines = [line for line in page.splitlines() if line.endswith("| a notebook |")]
    with open(tmp_path / "s.csv", newline="") as file:
        ours = float(next(csv.DictReader(file))["silhouette"])
    assert lines[0].startswith(f"| 2 | {ours:.4f} | 0.3800 |")
    assert "| 9 |  | 0.2000 |  | 1.0000 |  | 20,000 | b |" in page
    svg = (tmp_path / "s.svg").read_text()
    assert svg.count("published") == 3
    assert "#999999" in svg


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (FIGURES.replace("source", "from"), "no column 'source'; columns: k, "),
        (FIGURES.replace("0.38,", "high,"), "row 1: k must be a whole number, silhouette, davies_bouldin, "),
        (FIGURES.replace("\n9,", "\n2,"), "row 2: k = 2 is listed twice; keep one"),
        (FIGURES.splitlines()[0], "no rows"),
    ],
)
def test_wrong_published_figures_are_one_line(tmp_path: Path, figures: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"p\.csv: {said}") as error:
        swept(tmp_path, figures)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "s.csv").exists()


def test_more_clusters_than_documents_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="sweep toy: k = 200 requires more than the 145 documents of the pool"
    ):
        swept(tmp_path, k=[2, 200])


def row_of(k: int, silhouette: float, stability: float) -> dict:
    return {
        "k": k,
        "silhouette": silhouette,
        "davies_bouldin": 1.0,
        "calinski_harabasz": 1.0,
        "stability": stability,
    }


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(2, 0.1, 0.9), (3, 0.2, 0.9), (4, 0.3, 0.2)], "k = 3 is suggested: it has the highest silhouette (0.2000) of the k whose"),
        ([(2, 0.1, 0.3), (3, 0.2, 0.4), (4, 0.1, 0.2)], "k = 3 is suggested: it has the highest silhouette (0.2000), but no k is stable"),
        ([(2, 0.1, np.nan), (3, 0.2, np.nan), (4, 0.1, np.nan)], "one seed was run, so its stability is unknown."),
        ([(3, 0.1, 0.9), (4, 0.2, 0.9)], "It is the largest k that was tried"),
        ([(2, 0.2, 0.9), (3, 0.1, 0.9)], "counts as stable)."),
        ([(2, np.nan, 1.0)], "No k is suggested"),
    ],
)  # fmt: skip
def test_the_reason_is_said_in_words(rows: list[tuple[int, float, float]], said: str) -> None:
    table = [row_of(*row) for row in rows]
    reason = sweep.reason(sweep.suggest(table), table)
    assert said in reason
    assert ("tried" in reason) == ("tried" in said)


def test_the_shipped_figures_of_the_study_are_whole(root: Path) -> None:
    figures = sweep.read_published(root / "config/published/sst2-sweep.csv")
    assert list(figures) == list(range(2, 14))
    assert max(figures, key=lambda k: figures[k]["silhouette"]) == 2
    assert figures[7] == {"silhouette": 0.2251, "davies_bouldin": 1.3965, "calinski_harabasz": 25222.0860,
                          "source": "notebook of the SST-2 study"}  # fmt: skip
