"""What a round of labelling takes: the documents that the field's own library takes, never one twice, whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from winnow.keys import keys
from winnow.rounds.acquisition import MEASURES, badge, choose_round, equal_quotas, quantile_buckets


def pool(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.permutation(10 * n)[:n], generator.dirichlet(np.full(classes, 0.7), n)


@pytest.mark.parametrize(
    ("measure", "method"),
    [("entropy", "entropy"), ("margin", "margin_sampling"), ("least-confidence", "least_confident")],
)
@pytest.mark.parametrize("classes", [2, 5])
def test_uncertain_documents_are_those_of_scikit_activeml(measure: str, method: str, classes: int) -> None:
    pool_module = pytest.importorskip("skactiveml.pool")
    doc, p = pool(2000, classes, 3)
    scores = pool_module.uncertainty_scores(p, method=method)
    theirs = np.argsort(-scores, kind="stable")[:150]
    ours = choose_round(doc, p, 150, 0, measure)
    assert set(ours) == set(theirs)


@given(
    st.integers(1, 60), st.integers(2, 4), st.integers(0, 80), st.integers(0, 5),
    st.sampled_from([*MEASURES, "badge"]), st.booleans(), st.integers(1, 7),
)  # fmt: skip
def test_a_round_takes_what_it_should_once_and_in_any_order(
    n, classes, size, seed, measure, quantiles, buckets
) -> None:
    doc, p = pool(n, classes, seed)
    p[: n // 3] = p[0]  # ties
    vectors = np.random.default_rng(seed).standard_normal((n, 3)).astype(np.float32)
    cluster = None if quantiles else np.arange(n) % buckets
    settings = {"quantiles": quantiles, "buckets": buckets}
    chosen = choose_round(doc, p, size, seed, measure, cluster=cluster, vectors=vectors, **settings)
    assert len(chosen) == len(set(chosen)) == min(n, size)
    turn = np.random.default_rng(seed + 1).permutation(n)
    again = choose_round(
        doc[turn], p[turn], size, seed, measure, cluster=None if cluster is None else cluster[turn],
        vectors=vectors[turn], **settings,
    )  # fmt: skip
    assert set(doc[turn][again]) == set(doc[chosen])


def test_an_uncertain_region_is_found() -> None:
    """Documents 1000 to 1099 are planted at even odds; every measure takes them first."""
    doc, p = np.arange(2000), np.tile([0.97, 0.03], (2000, 1))
    p[1000:1100] = [0.52, 0.48]
    for measure in MEASURES:
        assert set(doc[choose_round(doc, p, 100, 7, measure)]) == set(range(1000, 1100))
    vectors = np.random.default_rng(0).standard_normal((2000, 8))
    vectors[1000:1100] *= 3
    found = badge(p, vectors, 100, keys("draw", 0, doc), 0)
    assert np.isin(doc[found], np.arange(1000, 1100)).mean() > 0.5  # of 5 % of the pool


def test_each_cluster_and_each_quantile_is_asked_alike_and_a_dry_one_passes_its_share_on() -> None:
    doc, p = pool(300, 2, 0)
    cluster = np.array([0] * 250 + [1] * 45 + [2] * 5)
    chosen = choose_round(doc, p, 60, 0, "entropy", cluster=cluster, buckets=3)
    assert np.bincount(cluster[chosen]).tolist() in ([27, 28, 5], [28, 27, 5])
    value = MEASURES["entropy"](p)
    mine = cluster == 1
    taken = chosen[cluster[chosen] == 1]
    assert value[taken].max() < np.min(value[np.setdiff1d(np.flatnonzero(mine), taken)])
    quantiles = choose_round(doc, p, 60, 0, "entropy", buckets=6, quantiles=True)
    bucket = quantile_buckets(value, keys("draw", 0, doc), 6)
    assert np.bincount(bucket[quantiles], minlength=6).tolist() == [10] * 6
    assert choose_round(doc[:40], p[:40], 60, 0, "entropy").tolist() == list(range(40))  # the pool runs dry


def test_a_larger_round_shrinks_no_bucket() -> None:
    bucket, key = np.array([0] * 5 + [1] * 50 + [2] * 20), keys("draw", 1, np.arange(75))
    before = np.zeros(3, dtype=np.int64)
    for size in range(76):
        quotas = equal_quotas(bucket, 3, size, key)
        assert quotas.sum() == size
        assert (quotas >= before).all()
        before = quotas


def test_badge_spreads_where_uncertainty_alone_repeats_itself() -> None:
    """Of 20 groups of equal, equally uncertain documents the first 20 choices are all different."""
    group = np.repeat(np.arange(20), 30)
    vectors = np.eye(20)[group]
    p = np.tile([0.5, 0.5], (600, 1))
    chosen = badge(p, vectors, 20, keys("draw", 0, np.arange(600)), 0)
    assert len(set(group[chosen])) == 20
    top = choose_round(np.arange(600), p, 20, 0, "entropy")
    assert len(set(group[top])) < 20
