"""Equal rows get equal answers, wherever they stand: else two copies of a text go to two clusters, and a sampler that
draws by cluster, distance, bucket or neighbour tells them apart."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.cluster import hdbscan
from winnow.cluster import kmeans as cluster
from winnow.embed.encoder import Encoder
from winnow.score.lsh import bucket, hyperplanes
from winnow.score.semdedup import largest_similarity

ROOT = Path(__file__).parents[2]
shapes = st.tuples(
    st.integers(1, 40), st.sampled_from([3, 8, 31, 64]), st.integers(1, 23), st.integers(0, 2**32 - 1)
)
many = settings(max_examples=40)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def rows_with_copies(
    generator: np.random.Generator, different: int, d: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """float16 [count, d] of few different unit vectors at random places, and which one each is."""
    own = generator.integers(0, different, count)
    return unit(generator.normal(size=(different, d))).astype(np.float16)[own], own


def one_answer(own: np.ndarray, answers: np.ndarray) -> bool:
    """Whether all rows of one vector have the same answer, to the bit."""
    return all(len(np.unique(answers[own == row], axis=0)) == 1 for row in np.unique(own))


@many
@given(shapes)
def test_products_without_rounding_are_those_of_fractions(shape):
    n, d, k, seed = shape
    generator = np.random.default_rng(seed)
    rows, own = rows_with_copies(generator, 4, d, n)
    table = unit(generator.normal(size=(k, d))).astype(np.float32)
    found = cluster.exact_product(rows, table)
    assert one_answer(own, found)
    grid = np.rint(table.astype(np.float64) * 2**28) / 2**28
    exact = sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(rows[-1], grid[-1], strict=True))
    assert Fraction(found[-1, -1]) == exact
    assert np.allclose(found, rows.astype(np.float64) @ table.T.astype(np.float64), atol=1e-7)


def torn(
    generator: np.random.Generator, d: int, k: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Copies of few vectors that lie half-way between two of `k` centroids, so that rounding alone could decide."""
    centroids = unit(generator.normal(size=(k, d)))
    pairs = generator.integers(0, k, (6, 2))
    rows = unit(centroids[pairs[:, 0]] + centroids[pairs[:, 1]] + 1e-9).astype(np.float16)
    flip = rows.astype(np.float64) @ (centroids[pairs[:, 0]] - centroids[pairs[:, 1]]).T
    centroids[pairs[:, 0]] -= np.diag(flip)[:, None] * rows  # as near to a tie as float32 lets them be
    own = generator.integers(0, 6, count)
    return rows[own], own, centroids.astype(np.float32)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("block", [cluster.ROWS, 7])
def test_copies_of_a_vector_have_one_cluster_and_one_distance(kind, block, monkeypatch):
    monkeypatch.setattr(cluster, "_working_type", lambda _device: kind)
    monkeypatch.setattr(cluster, "ROWS", block)
    for seed in range(40):
        generator = np.random.default_rng(seed)
        d, k = int(generator.choice([8, 33, 64, 384])), int(generator.integers(2, 40))
        rows, own, centroids = torn(generator, d, k, int(generator.integers(1, 80)))
        found, distance = cluster.nearest_centroids(rows, centroids)
        assert one_answer(own, found)
        assert one_answer(own, distance)
        alone = [cluster.nearest_centroids(rows[i : i + 1], centroids) for i in range(0, len(rows), 19)]
        assert [int(a[0][0]) for a in alone] == found[::19].tolist()
        assert [a[1][0] for a in alone] == distance[::19].tolist()
        if kind == torch.float32:
            best = cluster.exact_product(rows, centroids).max(1)
            assert (cluster.exact_product(rows, centroids)[np.arange(len(rows)), found] == best).all()


def test_two_equal_centroids_share_no_document():
    generator = np.random.default_rng(0)
    centroids = unit(generator.normal(size=(5, 48))).astype(np.float32)
    centroids[4] = centroids[1]
    rows = unit(centroids[[1] * 500] + 0.01 * generator.normal(size=(500, 48))).astype(np.float16)
    assert set(cluster.nearest_centroids(rows, centroids)[0]) == {1}


def test_copies_of_a_vector_have_one_bucket():
    for seed in range(200):
        generator = np.random.default_rng(seed)
        n, d, planes = (
            int(generator.choice(sizes)) for sizes in (range(1, 300), [8, 31, 64, 384], range(1, 23))
        )
        rows, own = rows_with_copies(generator, 3, d, n)
        normals = hyperplanes(planes, d, seed)
        normals -= (normals @ rows[0].astype(np.float32))[:, None] * rows[
            0
        ]  # the first vector lies on each plane
        centre = np.zeros((n, d), dtype=np.float32)
        found = bucket(rows, centre, normals)
        assert one_answer(own, found)
        assert bucket(rows[-1:], centre[-1:], normals)[0] == found[-1]


@many
@given(shapes, st.integers(1, 50))
def test_a_copy_of_an_earlier_vector_is_a_perfect_duplicate(shape, block):
    n, d, _, seed = shape
    rows, own = rows_with_copies(np.random.default_rng(seed), 5, d, n)
    score = largest_similarity(rows, block)
    first = np.array([np.flatnonzero(own == o)[0] for o in own])
    assert (score[first < np.arange(n)] == 1).all()
    assert (score <= 1).all()
    assert score[0] == -1


# HDBSCAN


SETTINGS = {"min_cluster_size": 20, "min_samples": 5, "epsilon": 0.0, "fence": 3.0, "selection": "eom", "sample": 20_000,
            "noise": "own"}  # fmt: skip


def hdbscan_clusters(
    folder: Path, points: np.ndarray, dimensions: int, sample: int = 20_000
) -> tuple[np.ndarray, np.ndarray]:
    pq.write_table(pa.table({"doc": np.arange(len(points))}), folder / "d.parquet")
    pq.write_table(pa.table({"doc": pa.array([], pa.int64())}), folder / "h.parquet")
    np.save(folder / "e.npy", points)
    clustering = {"method": "hdbscan", "encoder": "e", "seed": 0,
                  "hdbscan": {**SETTINGS, "dimensions": dimensions, "sample": sample}}  # fmt: skip
    hdbscan.fit(documents=[folder / "d.parquet"], embeddings=[folder / "e.npy"], heldout=folder / "h.parquet",
                spec=json.dumps({"clustering": clustering}), out=folder / "c.npy", model=folder / "m.npz",
                exclusions=folder / "x.tsv", report=folder / "r.json")  # fmt: skip
    hdbscan.assign(documents=folder / "d.parquet", embeddings=folder / "e.npy", centroids=folder / "c.npy",
                   model=folder / "m.npz", out=folder / "a.parquet")  # fmt: skip
    found = pq.read_table(folder / "a.parquet")
    return found["cluster"].to_numpy(), found["distance"].to_numpy()


def loose(generator: np.random.Generator, count: int, d: int) -> np.ndarray:
    """Two clusters of `count` vectors each."""
    centres = np.repeat(unit(generator.normal(size=(2, d))), count, axis=0)
    return unit(centres + 0.3 / np.sqrt(d) * generator.normal(size=(2 * count, d)))


@pytest.mark.parametrize(("dimensions", "sample"), [(0, 400), (5, 20_000), (50, 20_000), (50, 400)])
def test_three_hundred_copies_are_in_one_hdbscan_cluster(tmp_path, dimensions, sample):
    for seed in range(2):
        generator = np.random.default_rng(seed)
        points = np.concatenate(
            (np.repeat(unit(generator.normal(size=(1, 384))), 301, axis=0), loose(generator, 200, 384))
        )
        order = generator.permutation(len(points))
        own, distance = hdbscan_clusters(tmp_path, points[order].astype(np.float16), dimensions, sample)
        copies = order < 301
        assert len(set(own[copies])) == 1
        assert len(set(distance[copies])) == 1
        assert set(own[copies]) <= {0, 1, 2}  # a cluster, not noise
        assert not set(own[copies]) & set(own[~copies])


def test_copies_that_another_batch_rounded_otherwise_are_in_one_hdbscan_cluster(tmp_path):
    """Equal texts of two blocks of 4,096 documents agree to rounding only."""
    generator = np.random.default_rng(0)
    first, second = np.repeat(unit(generator.normal(size=(1, 384))), 2, axis=0).astype(np.float16)
    second[::7] = np.nextafter(second[::7], np.float16(1))
    points = np.concatenate(
        (np.repeat([first], 150, axis=0), np.repeat([second], 150, axis=0), loose(generator, 200, 384))
    )
    for dimensions in (0, 50):
        own, _ = hdbscan_clusters(tmp_path, points.astype(np.float16), dimensions)
        assert len(set(own[:300])) == 1
        assert own[0] in (0, 1, 2)


@many
@given(st.integers(0, 2**32 - 1), st.integers(3, 12), st.integers(20, 60))
def test_copies_have_one_nearest_neighbour_and_one_label(seed, different, count):
    generator = np.random.default_rng(seed)
    rows, own = rows_with_copies(generator, different, 5, count)
    table = np.concatenate((rows, rows[::-1])).astype(np.float32)  # each is there twice at least: all tie
    row, distance = hdbscan.nearest(rows.astype(np.float32), table)
    assert one_answer(own, row)
    assert (distance == 0).all()
    points = np.concatenate((rows, rows)).astype(np.float32)
    options = {**SETTINGS, "min_cluster_size": 3, "min_samples": 2}
    assert one_answer(np.concatenate((own, own)), hdbscan.cluster_sample(points, options))


# Texts


def test_equal_texts_of_a_block_have_equal_vectors() -> None:
    encoders = yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]
    spec = {"pooling": "mean", "prefix": "", **encoders["minilm"], "precision": "float32", "max_tokens": 32}
    encoder = Encoder(spec, device="cpu")
    generator = np.random.default_rng(0)
    words = np.array(["river", "stone", "engine", "quiet", "market", "sugar"])
    texts = [" ".join(generator.choice(words, generator.integers(1, 30))) for _ in range(200)]
    own = generator.integers(0, 40, 300)
    vectors = encoder.encode([texts[i] for i in own] + texts[40:])
    assert one_answer(own, vectors[:300])
    tails = encoder.encode(
        [f"{'stone ' * 40}and {word}" for word in words]
    )  # no more than 32 tokens are read
    assert (tails == tails[0]).all()
