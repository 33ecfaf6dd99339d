"""What a round of labelling takes: the documents that the field's own library takes, never one twice, whatever the order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from winnow.keys import keys
from winnow.sample.acquisition import (
    badge,
    confidence,
    entropy,
    equal_quotas,
    first_of_each,
    margin,
    quantile_buckets,
)
from winnow.sample.draw import sample
from winnow.sample.pool import Inputs
from winnow.sample.sampler import parse_sampler
from winnow.stage import InputError

SHIPPED = yaml.safe_load((ROOT / "config" / "samplers.yaml").read_text())["samplers"]
ASKING = {name: sampler for name, sampler in SHIPPED.items() if "start" in sampler}
NONE = {"weight": "none"}
UNCERTAIN = {
    measure: {"allocation": NONE, "ranking": {"by": "uncertainty", "measure": measure}, "start": "random"}
    for measure in ("entropy", "margin", "least-confidence")
}
QUANTILES = {
    "allocation": NONE,
    "ranking": {"by": "uncertainty", "quantiles": 6},
    "start": "random",
}
CLUSTERS = {"allocation": {"weight": "equal"}, "ranking": {"by": "uncertainty"}, "start": "uniform"}
BADGE = {"allocation": NONE, "ranking": {"by": "badge"}, "start": "random"}


def probabilities(n: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.7), n)


class Corpus:
    """Documents of three clusters with predictions, as files."""

    def __init__(self, folder: Path, p: np.ndarray, cluster: np.ndarray | None = None, shards: int = 2):
        n = len(p)
        self.doc, self.p = np.arange(n) * 7, p
        self.cluster = np.arange(n) % 3 if cluster is None else cluster
        self.vectors = np.random.default_rng(5).standard_normal((n, 6)).astype(np.float16)
        columns = {
            "doc": self.doc, "cluster": self.cluster.astype(np.int32), "distance": np.zeros(n, np.float32),
            "entropy": entropy(p), "margin": margin(p), "confidence": confidence(p), "probabilities": list(p),
        }  # fmt: skip
        table = pa.table(columns)
        self.files, vectors = [], []
        for i, part in enumerate(np.array_split(np.arange(n), shards)):
            self.files.append(folder / f"{i}.parquet")
            vectors.append(folder / f"{i}.npy")
            pq.write_table(table.take(part), self.files[-1])
            np.save(vectors[-1], self.vectors[part])
        held, clusters = folder / "h.parquet", folder / "c.parquet"
        pq.write_table(pa.table({"doc": pa.array([], pa.int64()), "role": pa.array([], pa.string())}), held)
        sizes = np.bincount(self.cluster, minlength=3)
        pq.write_table(
            pa.table(
                {"cluster": pa.array(range(3), pa.int32()), "documents": sizes, "mean_distance": np.ones(3),
                 "sum_distance": sizes * 1.0, "diversity": np.ones(3), "excluded": [False] * 3, "reason": [""] * 3}
            ),
            clusters,
        )  # fmt: skip
        plain = {"heldout": held, "documents": self.files, "scores": self.files, "embeddings": vectors}
        self.plain = Inputs(**plain)
        self.clustered = Inputs(**plain, assignments=self.files, clusters=clusters)

    def draw(self, sampler: dict, size: int, seed: int = 0, previous: pa.Table | None = None) -> pa.Table:
        inputs = self.plain if sampler["allocation"]["weight"] == "none" else self.clustered
        return sample(inputs, parse_sampler(sampler), {"train": size}, seed, None, previous)[0]


@pytest.mark.parametrize(
    ("measure", "method"),
    [("entropy", "entropy"), ("margin", "margin_sampling"), ("least-confidence", "least_confident")],
)
@pytest.mark.parametrize("classes", [2, 5])
def test_uncertain_documents_are_those_of_scikit_activeml(
    tmp_path: Path, measure: str, method: str, classes: int
) -> None:
    from skactiveml.pool import uncertainty_scores

    corpus = Corpus(tmp_path, probabilities(2000, classes, 3))
    theirs = np.argsort(-uncertainty_scores(corpus.p, method=method), kind="stable")[:150]
    assert corpus.draw(UNCERTAIN[measure], 150)["doc"].to_pylist() == sorted(corpus.doc[theirs].tolist())


def test_an_uncertain_region_is_found(tmp_path: Path) -> None:
    """Documents 1000 to 1099 are planted at even odds; every measure takes them first."""
    p = np.tile([0.97, 0.03], (2000, 1))
    p[1000:1100] = [0.52, 0.48]
    corpus = Corpus(tmp_path, p)
    for sampler in UNCERTAIN.values():
        assert corpus.draw(sampler, 100)["doc"].to_pylist() == corpus.doc[1000:1100].tolist()
    drawn = corpus.draw(BADGE, 100)["doc"].to_numpy()
    assert np.isin(drawn, corpus.doc[1000:1100]).mean() > 0.5  # of 5 % of the pool


@pytest.mark.parametrize("sampler", ASKING.values(), ids=ASKING)
def test_rounds_never_draw_a_document_twice_and_pool_and_used_are_the_corpus(
    tmp_path: Path, sampler: dict
) -> None:
    corpus = Corpus(tmp_path, probabilities(200, 3, 1))
    start = sample(corpus.plain, parse_sampler({"allocation": NONE}), {"train": 40}, 0)[0]
    table, sizes = start, [40]
    for index in (1, 2, 3):
        before = table
        table, facts = sample(
            corpus.plain if sampler["allocation"]["weight"] == "none" else corpus.clustered,
            parse_sampler(sampler),
            {"train": 30},
            0,
            None,
            before,
        )
        doc = table["doc"].to_pylist()
        assert len(doc) == len(set(doc)) == sizes[-1] + 30
        assert set(before["doc"].to_pylist()) < set(doc)
        assert facts["pool"]["documents"] + facts["pool"]["excluded"]["used"] == 200
        assert sorted(set(table["round"].to_pylist())) == list(range(index + 1))
        sizes.append(len(doc))
    with pytest.raises(InputError, match="budget"):
        corpus.draw(sampler, 100, 0, table)


def test_each_cluster_and_each_quantile_is_asked_alike_and_a_small_one_passes_its_share_on(
    tmp_path: Path,
) -> None:
    cluster = np.array([0] * 250 + [1] * 45 + [2] * 5)
    corpus = Corpus(tmp_path, probabilities(300, 2, 0), cluster)
    drawn = corpus.draw(CLUSTERS, 60)
    sizes = np.bincount(drawn["cluster"].to_numpy())
    assert sizes.tolist() in ([27, 28, 5], [28, 27, 5])
    inside = np.isin(corpus.doc, drawn["doc"].to_numpy())
    value = entropy(corpus.p)
    assert value[inside & (cluster == 1)].min() > value[~inside & (cluster == 1)].max()
    drawn = np.isin(corpus.doc, corpus.draw(QUANTILES, 60)["doc"].to_numpy())
    bucket = quantile_buckets(-value, keys("draw", 0, corpus.doc), 6)
    assert np.bincount(bucket[drawn], minlength=6).tolist() == [10] * 6


@given(st.integers(1, 60), st.integers(2, 4), st.integers(0, 60), st.integers(0, 5), st.integers(1, 7))
def test_a_choice_depends_on_no_order_of_rows(
    n: int, classes: int, size: int, seed: int, quantiles: int
) -> None:
    size, doc = min(n, size), np.random.default_rng(seed).permutation(10 * n)[:n]
    p = probabilities(n, classes, seed)
    p[: n // 3] = p[0]  # ties
    vectors = np.random.default_rng(seed).standard_normal((n, 3)).astype(np.float32)
    turn = np.random.default_rng(seed + 1).permutation(n)

    def both(order: np.ndarray) -> tuple[set[int], set[int]]:
        key, value = keys("draw", seed, doc[order]), margin(p[order])
        bucket = quantile_buckets(value, key, quantiles)
        quotas = equal_quotas(bucket, quantiles, size, key)
        first = first_of_each(bucket, value, key, quotas)
        diverse = badge(p[order], vectors[order], size, key, seed)
        assert len(first) == len(set(first)) == len(set(diverse)) == size
        return set(doc[order][first]), set(doc[order][diverse])

    assert both(np.arange(n)) == both(turn)


def test_a_larger_round_shrinks_no_bucket() -> None:
    bucket, key = np.array([0] * 5 + [1] * 50 + [2] * 20), keys("draw", 1, np.arange(75))
    before = np.zeros(3, dtype=np.int64)
    for size in range(76):
        quotas = equal_quotas(bucket, 3, size, key)
        assert quotas.sum() == size
        assert (quotas >= before).all()
        before = quotas


def test_badge_spreads_where_uncertainty_alone_repeats_itself(tmp_path: Path) -> None:
    """Of 20 groups of equal, equally uncertain documents the first 20 choices are all different."""
    group = np.repeat(np.arange(20), 30)
    vectors = np.eye(20)[group]
    p = np.tile([0.5, 0.5], (600, 1))
    chosen = badge(p, vectors, 20, keys("draw", 0, np.arange(600)), 0)
    assert len(set(group[chosen])) == 20
    top = Corpus(tmp_path, p).draw(UNCERTAIN["entropy"], 20)["doc"].to_numpy() // 7
    assert len(set(group[top])) < 20


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        ({"allocation": NONE, "ranking": {"by": "badge"}}, "sampler.start: missing"),
        ({"allocation": NONE, "start": "random"}, "sampler.start: goes with"),
        ({**BADGE, "allocation": {"weight": "equal"}}, "sampler.allocation.weight: equal: badge"),
        (
            {**QUANTILES, "allocation": {"weight": "size"}},
            "sampler.allocation.weight: size: ranking.quantiles",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(sampler: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_sampler(sampler)
