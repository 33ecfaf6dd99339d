"""Keys: uniform, apart for each purpose and seed, and the same for ever."""

import itertools

import numpy as np
import pytest
from scipy import stats
from winnow.keys import PURPOSES, keys, uniform

DOC = np.arange(20_000, dtype=np.int64)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_draw_by_keys_is_uniform(purpose: str) -> None:
    u = uniform(purpose, 0, DOC)
    assert u.min() > 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    bits = np.unpackbits(keys(purpose, 0, DOC).view(np.uint8)).reshape(len(DOC), 64).mean(0)
    assert np.abs(bits - 0.5).max() < 5 * 0.5 / np.sqrt(len(DOC))


def test_purposes_and_seeds_never_share_keys() -> None:
    every = [keys(p, s, DOC[:2000]) for p in PURPOSES for s in (0, 1, 42)]
    assert len(np.unique(np.concatenate(every))) == len(every) * 2000
    ranks = [np.argsort(np.argsort(k)) for k in every]
    for a, b in itertools.combinations(ranks, 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.13


def test_keys_of_a_document_do_not_depend_on_the_others() -> None:
    some = np.array([7, 19_999, 3, 2**40])
    assert (keys("draw", 1, some)[:3] == keys("draw", 1, DOC)[some[:3]]).all()
    assert keys("draw", 1, np.array([], dtype=np.int64)).dtype == np.uint64


def test_draws_of_earlier_versions_are_drawn_again() -> None:
    assert [int(k) for k in keys("draw", 0, np.array([0, 1, 2]))] == [
        3581397828685154663,
        8409187714054101832,
        2882366874439920030,
    ]
    assert int(keys("heldout", 42, np.array([134_318_120]))[0]) == 18345694646701700983


def test_an_unlisted_purpose_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown purpose 'lottery'"):
        keys("lottery", 0, DOC)
