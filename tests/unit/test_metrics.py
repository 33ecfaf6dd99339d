"""F1 and calibration of a classifier: the figures of the learning-curve page against their definitions and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score
from winnow.metrics import CALIBRATION_BINS, calibration_error, class_f1, overconfidence


def test_calibration_error_of_a_case_worked_by_hand() -> None:
    """Bin of .95: 3 of 4 right, .2 apart; bin of .6: 1 of 2 right, .1 apart."""
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.6, 0.6])
    correct = np.array([True, True, True, False, True, False])
    assert calibration_error(confidence, correct) == pytest.approx((4 * 0.2 + 2 * 0.1) / 6)
    assert overconfidence(confidence, correct) == pytest.approx((4 * 0.95 + 2 * 0.6) / 6 - 4 / 6)


def test_calibration_error_is_that_of_the_bins_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    # Confidences on edges of bins, and 1, too.
    confidence = np.concatenate([generator.uniform(0.5, 1, 500), np.arange(8, 16) / 15])
    correct = generator.random(len(confidence)) < confidence**2
    accuracy, mean = calibration_curve(correct, confidence, n_bins=CALIBRATION_BINS)
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    place = np.searchsorted(edges[1:-1], confidence)
    sizes = np.bincount(place, minlength=CALIBRATION_BINS)
    sizes = sizes[sizes > 0]
    expected = float(np.sum(sizes * np.abs(accuracy - mean)) / sizes.sum())
    assert calibration_error(confidence, correct) == pytest.approx(expected)


def test_a_bin_holds_its_upper_edge_as_guo_et_al_define_it() -> None:
    """2/15 = .1333 belongs with .1 to the second bin: one bin, whose mean confidence cancels the errors in part."""
    confidence, correct = np.array([2 / 15, 0.1]), np.array([True, False])
    assert calibration_error(confidence, correct) == pytest.approx(abs(1 - 2 / 15 - 0.1) / 2)


def test_no_items_have_no_calibration() -> None:
    nothing = np.zeros(0)
    assert math.isnan(calibration_error(nothing, nothing))
    assert math.isnan(overconfidence(nothing, nothing))


def test_f1_of_a_class_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    label, guess = generator.integers(0, 2, 90), generator.integers(0, 2, 90)
    assert class_f1(label, guess, 1) == pytest.approx(f1_score(label, guess))
    assert class_f1(np.zeros(4, int), np.ones(4, int), 1) == 0
    assert math.isnan(class_f1(np.zeros(4, int), np.zeros(4, int), 1))
