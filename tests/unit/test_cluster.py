"""Clusters: found where they are, the same each time, never fitted on held-out documents."""

import itertools
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.cluster.kmeans import assign, fingerprint, fit, sample_rows, spherical_kmeans, summarise
from winnow.keys import keys
from winnow.products import single
from winnow.stage import InputError, canonical

SPEC = {"encoder": "minilm", "method": "kmeans", "k": 8, "seed": 3, "points_per_centroid": 40,
        "iterations": 30, "restarts": 2}  # fmt: skip


def planted(
    rows: int, k: int = 8, d: int = 24, noise: float = 0.05, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around k directions far apart, and the direction of each."""
    generator = np.random.default_rng(seed)
    centres = np.linalg.qr(generator.standard_normal((d, d)))[0][:k]
    own = generator.integers(0, k, rows)
    points = centres[own] + noise * generator.standard_normal((rows, d))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), own


class Corpus:
    """A corpus of vectors in shards of whole blocks (here: any cut), every third document held out."""

    def __init__(self, folder: Path, pieces: int, rows: int = 900, removed: np.ndarray | None = None):
        self.points, self.truth = planted(rows)
        self.doc = np.arange(rows) * 2 + 1
        self.folder = folder / str(pieces)
        self.folder.mkdir(parents=True)
        self.removed = self.doc[::3] if removed is None else removed
        self.heldout = self.folder / "heldout.parquet"
        pq.write_table(pa.table({"doc": self.removed, "role": ["heldout"] * len(self.removed)}), self.heldout)
        self.documents, self.embeddings = [], []
        cuts = [0, *np.linspace(0, rows, pieces - 1).astype(int).tolist(), rows] if pieces > 1 else [0, rows]
        for i, (a, b) in enumerate(itertools.pairwise(cuts)):
            self.documents.append(self.folder / f"d{i}.parquet")
            self.embeddings.append(self.folder / f"e{i}.npy")
            pq.write_table(pa.table({"doc": pa.array(self.doc[a:b], pa.int64())}), self.documents[-1])
            np.save(self.embeddings[-1], self.points[a:b].astype(np.float16))

    def run(self, **spec: int) -> tuple[np.ndarray, pa.Table, pa.Table]:
        centroids = self.folder / "centroids.npy"
        fit(documents=self.documents, embeddings=self.embeddings, heldout=self.heldout, out=centroids,
            spec=canonical({"clustering": {**SPEC, **spec}}))  # fmt: skip
        paths = []
        for i, (documents, embeddings) in enumerate(zip(self.documents, self.embeddings, strict=True)):
            paths.append(self.folder / f"a{i}.parquet")
            assign(documents=documents, embeddings=embeddings, centroids=centroids, out=paths[-1])
        summarise(assignments=paths, centroids=centroids, heldout=self.heldout,
                  out=self.folder / "summary.parquet", fingerprint_out=self.folder / "f.json")  # fmt: skip
        return (np.load(centroids), pa.concat_tables(map(pq.read_table, paths)),
                pq.read_table(self.folder / "summary.parquet"))  # fmt: skip


def test_planted_clusters_are_found_whole(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, 2)
    centroids, assignments, _ = corpus.run()
    own = assignments["cluster"].to_numpy()
    assert len({(a, b) for a, b in zip(own, corpus.truth, strict=True)}) == 8
    assert centroids.dtype == np.float32
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    cosine = (corpus.points.astype(np.float16).astype(np.float32) * centroids[own]).sum(1)
    assert np.allclose(assignments["distance"].to_numpy(), 1 - cosine, atol=1e-5)
    assert assignments.schema.types == [pa.int64(), pa.int32(), pa.float32()]


def test_shards_change_nothing_and_a_second_run_gives_the_same_bits(tmp_path: Path) -> None:
    one, again, many = (Corpus(tmp_path / n, p).run() for n, p in (("a", 1), ("b", 1), ("c", 4)))
    for other in (again, many):
        assert one[0].tobytes() == other[0].tobytes()
        assert one[1].combine_chunks().equals(other[1].combine_chunks())
    assert one[2].equals(again[2])
    assert one[2]["documents"].equals(many[2]["documents"])
    np.testing.assert_allclose(one[2]["sum_distance"], many[2]["sum_distance"], rtol=1e-12)


def test_an_empty_shard_is_a_shard(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, 3)
    assert len(np.load(corpus.embeddings[0])) == 0
    assert len(corpus.run()[1]) == 900


def test_the_sample_is_the_stated_one_and_free_of_heldout_documents(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, 3)
    rows = sample_rows(corpus.documents, corpus.removed, 200, 3)
    docs = np.concatenate([
        pq.read_table(p)["doc"].to_numpy()[r] for p, r in zip(corpus.documents, rows, strict=True)
    ])  # fmt: skip
    assert len(docs) == 200
    assert not np.isin(docs, corpus.removed).any()
    assert sum(map(len, sample_rows(corpus.documents, corpus.removed, 10**6, 3))) == 600
    other = sample_rows(corpus.documents, corpus.removed, 200, 4)
    assert any(not np.array_equal(a, b) for a, b in zip(rows, other, strict=True))


@pytest.mark.parametrize("size", [0, 1, 700, 5000, 10**6])
def test_the_sample_has_the_smallest_keys_of_the_whole_pool(tmp_path: Path, size: int) -> None:
    cuts = [0, 0, 3, 1500, 1500, 4096, 9000]  # empty shards, and one that alone has more than the sample
    doc = np.random.default_rng(0).permutation(20_000)[:9000].astype(np.int64)
    removed = np.sort(doc[::7])
    shards = [doc[a:b] for a, b in itertools.pairwise(cuts)]
    paths = [tmp_path / f"{i}.parquet" for i in range(len(shards))]
    for path, part in zip(paths, shards, strict=True):
        pq.write_table(pa.table({"doc": part}), path)
    key = keys("kmeans-sample", 5, doc)
    key[np.isin(doc, removed)] = np.iinfo(np.uint64).max
    chosen = np.argsort(key)[: min(size, len(doc) - len(removed))]
    rows = sample_rows(paths, removed, size, 5)
    assert [part.dtype for part in rows] == [np.int64] * len(shards)
    for part, first, last in zip(rows, cuts, cuts[1:], strict=False):
        here = np.sort(chosen[(chosen >= first) & (chosen < last)]) - first
        np.testing.assert_array_equal(part, here)


def test_memory_of_the_sample_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    pq.write_table(pa.table({"doc": np.arange(1 << 20)}), path)
    peaks = []
    for shards in (1, 4):
        tracemalloc.start()
        sample_rows([path] * shards, np.zeros(0, dtype=np.int64), 500, 0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 16e6, peaks


def test_heldout_documents_do_not_move_a_centroid(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, 2)
    before = corpus.run()[0]
    for path, documents in zip(corpus.embeddings, corpus.documents, strict=True):
        vectors = np.load(path)
        vectors[np.isin(pq.read_table(documents)["doc"].to_numpy(), corpus.removed)] = 0.1
        np.save(path, vectors)
    assert corpus.run()[0].tobytes() == before.tobytes()


@pytest.mark.parametrize("kept", [0, 7])
def test_more_clusters_than_documents_is_an_error(tmp_path: Path, kept: int) -> None:
    corpus = Corpus(tmp_path, 2, rows=30, removed=(np.arange(30) * 2 + 1)[kept:])
    with pytest.raises(InputError, match=f"k = 8 is more than the {kept} documents of the pool"):
        corpus.run()


def test_vectors_of_other_documents_are_an_error(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, 1)
    corpus.run()
    np.save(corpus.embeddings[0], np.load(corpus.embeddings[0])[:-1])
    with pytest.raises(InputError, match="899 vectors for the 900 documents"):
        assign(documents=corpus.documents[0], embeddings=corpus.embeddings[0],
               centroids=corpus.folder / "centroids.npy", out=tmp_path / "x.parquet")  # fmt: skip


def test_the_summary_counts_the_pool_and_measures_as_a_loop_would(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, 2)
    centroids, assignments, summary = corpus.run()
    assert sum(summary["documents"].to_pylist()) == 600
    doc, own, distance = (assignments[c].to_numpy() for c in ("doc", "cluster", "distance"))
    pool = ~np.isin(doc, corpus.removed)
    for i in range(8):
        mine = distance[pool & (own == i)].astype(np.float64)
        assert summary["documents"][i].as_py() == len(mine)
        assert summary["sum_distance"][i].as_py() == pytest.approx(mine.sum())
        assert summary["mean_distance"][i].as_py() == pytest.approx(mine.mean())
        loop = [
            1 - float(centroids[i].astype(float) @ centroids[j].astype(float)) for j in range(8) if j != i
        ]
        assert summary["diversity"][i].as_py() == pytest.approx(np.mean(loop), abs=1e-6)
    mark = json.loads((corpus.folder / "f.json").read_text())
    assert mark == {"fingerprint": fingerprint(centroids), "clusters": 8, "documents": 600}
    assert fingerprint(centroids) != fingerprint(centroids[::-1])


def test_one_cluster_and_clusters_without_pool_documents_have_figures(tmp_path: Path) -> None:
    _, _, summary = Corpus(tmp_path / "one", 1).run(k=1)
    assert summary["diversity"].to_pylist() == [pytest.approx(0, abs=1e-6)]
    corpus = Corpus(tmp_path / "two", 1)
    corpus.run()
    everything = corpus.folder / "all.parquet"
    pq.write_table(pa.table({"doc": corpus.doc}), everything)
    summarise(assignments=[corpus.folder / "a0.parquet"], centroids=corpus.folder / "centroids.npy",
              heldout=everything, out=tmp_path / "s.parquet", fingerprint_out=tmp_path / "f.json")  # fmt: skip
    assert pq.read_table(tmp_path / "s.parquet")["mean_distance"].to_pylist() == [0.0] * 8


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1), st.sampled_from([torch.float32, torch.bfloat16]))
def test_any_start_gives_unit_centroids_and_an_honest_cosine(k: int, seed: int, kind: torch.dtype) -> None:
    points = torch.from_numpy(planted(500, k=6, noise=0.3)[0]).to(kind)
    centroids, cosine = spherical_kmeans(points, k, seed, 15, restarts=2)
    assert centroids.shape == (k, 24)
    assert torch.allclose(centroids.norm(dim=1), torch.ones(k), atol=1e-5)
    exact = float((points.float() @ centroids.T).max(1).values.mean())
    assert cosine == pytest.approx(exact, abs=5e-3 if kind == torch.bfloat16 else 1e-5)


def test_no_cluster_is_left_empty_and_equal_documents_do_no_harm() -> None:
    points = torch.from_numpy(planted(400, k=4)[0])
    centroids, _ = spherical_kmeans(points, 40, 0, 30)
    assert len((points @ centroids.T).argmax(1).unique()) == 40
    equal = torch.nn.functional.normalize(torch.ones(50, 24), dim=1)
    centroids, cosine = spherical_kmeans(equal, 5, 0, 5)
    assert torch.isfinite(centroids).all()
    assert cosine == pytest.approx(1, abs=1e-5)


def test_every_float16_number_is_converted_without_rounding():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    assert np.array_equal(single(finite).view(np.uint32), finite.astype(np.float32).view(np.uint32))
    assert np.array_equal(
        single(finite.reshape(-1, 64)[:, ::2]), finite.reshape(-1, 64)[:, ::2].astype(np.float32)
    )
    assert np.array_equal(single(every), every.astype(np.float32), equal_nan=True)
