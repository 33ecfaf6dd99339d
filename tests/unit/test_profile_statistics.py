"""Figures of columns that do not fit in memory are those of pandas, to the last digit that matters, for any shards."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.profile import page, sections
from winnow.profile import statistics as stats

ROOT = Path(__file__).parents[2]


def shards(values: np.ndarray, parts: int = 3):
    """A column in shards of whole blocks of source rows."""
    doc = np.arange(len(values)) * 1000
    edges = [doc[-1] // 4096 * 4096 * p // parts // 4096 * 4096 for p in range(1, parts)] if len(doc) else []
    at = np.searchsorted(doc, edges)
    return lambda: zip(np.split(doc, at), np.split(values, at), strict=True)


def as_pandas(values: np.ndarray) -> list[float]:
    return pd.Series(values.astype(np.float64)).describe().tolist()


def figures(one: stats.Description) -> list[float]:
    return [one.count, one.mean, one.std, one.min, *one.quartiles, one.max]


floats = st.lists(st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1.0, math.nan]), max_size=60)


@settings(max_examples=60)
@given(floats)
def test_figures_of_floats_are_those_of_pandas(values: list[float]) -> None:
    column = np.array(values, dtype=np.float32)
    one = stats.describe(shards(column))
    np.testing.assert_allclose(figures(one), as_pandas(column), rtol=1e-9, atol=1e-6, equal_nan=True)
    assert one.count + one.missing == len(values)
    assert figures(one) == pytest.approx(
        figures(stats.describe(shards(column, 1))), rel=0, abs=0, nan_ok=True
    )


@settings(max_examples=60)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=60))
def test_figures_of_whole_numbers_are_those_of_pandas(values: list[int]) -> None:
    column = np.array(values, dtype=np.int32)
    np.testing.assert_allclose(
        figures(stats.describe(shards(column))), as_pandas(column), rtol=1e-12, equal_nan=True
    )
    np.testing.assert_allclose(
        figures(stats.describe_values(column)), as_pandas(column), rtol=1e-12, equal_nan=True
    )


def test_figures_of_many_documents_do_not_depend_on_the_shards() -> None:
    rng = np.random.default_rng(0)
    column = rng.lognormal(3, 2, 20_000).astype(np.float32)
    column[::7] = np.nan
    one = stats.describe(shards(column, 1))
    assert one == stats.describe(shards(column, 5))
    np.testing.assert_allclose(figures(one), as_pandas(column), rtol=1e-12)
    assert stats.histogram(shards(column, 1), one, False) == stats.histogram(shards(column, 5), one, False)


def test_a_histogram_counts_every_value_once() -> None:
    column = np.array([0, 0, 1, 2, 3, 500, 3, 2, 2], dtype=np.int32)
    bins = stats.histogram(shards(column), stats.describe(shards(column)), True)
    assert sum(count for _, _, count in bins) == len(column)
    assert all(low == int(low) for low, _, _ in bins)
    assert [low for low, _, _ in bins[1:]] == [high for _, high, _ in bins[:-1]]
    same = np.full(5, 2, dtype=np.int32)
    assert stats.histogram(shards(same), stats.describe(shards(same)), True) == [(2, 2, 5)]
    none = np.zeros(0, dtype=np.int32)
    assert stats.histogram(shards(none), stats.describe(shards(none)), True) == []


def test_the_published_figures_of_features_follow_from_the_published_counts() -> None:
    """Else the figures beside ours would be of something else than they say."""
    given_ = page.read_published(ROOT / "config/published/tinystories-profile.csv")
    of_features = [value for (of, name), (value, _) in given_.items() if of == "features" and ":" not in name]
    one = stats.describe_values(np.array(of_features))
    names = [f"describe:{name}" for name in sections.STATISTICS]
    published = [given_["features", name][0] for name in names]
    np.testing.assert_allclose(figures(one), published, rtol=1e-6)
    assert given_["words", "describe:count"][0] == 1603


def test_a_share_has_wilsons_interval() -> None:
    from statsmodels.stats.proportion import proportion_confint

    for part, whole in ((0, 10), (3, 10), (10, 10), (123_456, 2_745_100)):
        value, low, high = stats.share(part, whole)
        assert value == part / whole
        assert (low, high) == pytest.approx(proportion_confint(part, whole, method="wilson"), abs=1e-9)
    assert stats.share(0, 0) == (None, None, None)


def test_different_digests_are_counted_in_parts() -> None:
    digests = [np.array([1, 2, 2**63, 5], dtype=np.uint64), np.array([2, 5, 9], dtype=np.uint64)]
    for part in (1, 3, 100):
        assert stats.distinct(lambda: digests, 7, part) == 5
