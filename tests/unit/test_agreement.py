"""Agreement of classifications and association of features with classes: figures that are known, from counts that add up."""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import Table2x2
from winnow.profile.agreement import agreement, associations, crosstab, weighted_kappa

LEVELS = ("early", "easy", "middle", "adult")


def classes(n=400, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 4, n)
    second = np.where(rng.random(n) < noise, rng.integers(0, 4, n), first)
    names = np.array(LEVELS, dtype=object)
    return names[first], names[second]


def test_kappa_is_scikit_learns():
    from sklearn.metrics import cohen_kappa_score

    first, second = classes()
    expected = cohen_kappa_score(first.tolist(), second.tolist(), labels=list(LEVELS), weights="quadratic")
    assert weighted_kappa(crosstab(first, second, LEVELS)) == pytest.approx(expected, rel=1e-12)


def test_interval_holds_kappa_and_counts_add_up():
    first, second = classes()
    table = crosstab(first, second, LEVELS)
    parts = sum(crosstab(first[part], second[part], LEVELS) for part in (slice(0, 150), slice(150, 400)))
    np.testing.assert_array_equal(table, parts)
    row = agreement(table, resamples=300)
    assert row == agreement(parts, resamples=300)
    assert row["ci_low"] < row["kappa"] < row["ci_high"]
    assert row["documents"] == 400
    assert row["same"] == np.mean(first == second)
    first, second = classes(6400)
    narrow = agreement(crosstab(first, second, LEVELS), resamples=300)
    assert narrow["ci_high"] - narrow["ci_low"] < (row["ci_high"] - row["ci_low"]) / 2


def test_documents_without_a_level_do_not_count_and_unknown_levels_are_named():
    first, second = np.array(["early", None, "adult"], object), np.array(["early", "easy", None], object)
    assert crosstab(first, second, LEVELS).sum() == 1
    with pytest.raises(ValueError, match="levels baby; known: early, easy"):
        crosstab(np.array(["baby"], object), np.array(["easy"], object), LEVELS)


@pytest.mark.parametrize("table", [np.zeros((3, 3)), np.diag([7, 0, 0])])
def test_nothing_to_agree_on(table):
    row = agreement(table.astype(np.int64))
    assert row["kappa"] is None
    assert row["ci_low"] is None


def test_perfect_and_no_agreement():
    assert agreement(np.diag([5, 9, 2]), resamples=50)["kappa"] == 1
    assert weighted_kappa(np.outer([10, 20, 30], [6, 6, 6])) == pytest.approx(0, abs=1e-12)


def test_association_by_hand():
    both = np.array([[30, 10], [5, 0]])
    rows = associations(both, ["twist", "rare"], np.array([40, 5]), ["sad", "happy"], np.array([35, 65]), 100)
    first = rows[0]
    assert (first["feature"], first["class"], first["documents"], first["expected"]) == (
        "twist",
        "sad",
        30,
        14.0,
    )
    assert first["lift"] == pytest.approx(30 / 14)
    counts = np.array([30, 10, 5, 55]) + 0.5
    log_odds = np.log(counts[0] * counts[3] / (counts[1] * counts[2]))
    half = 1.959964 * np.sqrt((1 / counts).sum())
    assert first["log_odds"] == pytest.approx(log_odds)
    assert first["ci_low"] == pytest.approx(log_odds - half, rel=1e-5)
    assert first["ci_high"] == pytest.approx(log_odds + half, rel=1e-5)
    assert first["p"] < 1e-6
    assert rows[1]["log_odds"] == pytest.approx(-log_odds)
    theirs = Table2x2(counts.reshape(2, 2), shift_zeros=False)
    assert (first["ci_low"], first["ci_high"]) == pytest.approx(theirs.log_oddsratio_confint())
    assert np.isfinite(rows[3]["log_odds"]), "a count of zero"


def test_nothing_to_associate():
    rows = associations(np.array([[4], [0]]), ["all", "none"], np.array([10, 0]), ["sad"], np.array([4]), 10)
    assert [row["log_odds"] for row in rows] == [None, None]
    assert associations(np.zeros((0, 0)), [], np.zeros(0), [], np.zeros(0), 0) == []


@pytest.mark.slow
def test_p_values_of_unrelated_features_hold_their_level():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(20):
        feature, sad = rng.random((300, 4)) < 0.3, rng.random((300, 3)) < 0.4
        rows = associations(
            feature.T.astype(int) @ sad.astype(int),
            list("abcd"),
            feature.sum(0),
            list("xyz"),
            sad.sum(0),
            300,
        )
        hits += any(row["p"] < 0.05 for row in rows)
    assert hits <= 5  # of 20 at a family-wise level of 5 %: more than 5 has a probability of .03 %
