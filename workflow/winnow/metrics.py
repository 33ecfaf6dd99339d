"""Metrics: the figure of one run from its items, and the influence of each item on it. In: arrays [items]; out: numbers.

Whatever a metric is, its influence values are one number per item whose mean is the figure (of a perplexity: its logarithm),
so that tests and intervals know means only.
"""

from __future__ import annotations

import math

import numpy as np

from winnow.completion_metrics import COMPLETION_METRICS

PROPORTIONS = ("acc", "f1", "exact_match", "precision", "recall")
"""Prefixes of the names of metrics that lie in [0, 1]."""
CALIBRATION_BINS = 15


def is_perplexity(metric: str) -> bool:
    """Perplexities are averaged and compared by their logarithm."""
    return "perplexity" in metric


def more_is_better(metric: str) -> bool:
    """Where the harness does not say: bits per byte, perplexities and losses are better when lower."""
    if metric in COMPLETION_METRICS:
        return COMPLETION_METRICS[metric]
    return not any(word in metric for word in ("perplexity", "bits_per_byte", "loss"))


def figure(metric: str, values: np.ndarray, weights: np.ndarray) -> float:
    """The figure of one run: exp(-mean log-likelihood) for perplexity, else the weighted mean."""
    if is_perplexity(metric):
        return float(np.exp(-np.average(values, weights=weights)))
    return float(np.average(values, weights=weights))


def influence_values(metric: str, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One number per item whose mean is the figure (for perplexity: its logarithm), float64 [items].

    Of a weighted mean f = sum(w v) / sum(w) they are f + w (v - f) / mean(w): the figure plus each item's
    influence on it, so that their variance over the items is the ratio estimator's (delta
    method; Särndal, Swensson and Wretman 1992, section 5.5).
    """
    share = weights / weights.mean()
    if is_perplexity(metric):
        values = -values
    mean = np.mean(share * values)
    if not np.isfinite(mean):
        return np.full(len(values), mean)
    return mean + share * (values - mean)


def macro_f1(labels: np.ndarray, predictions: np.ndarray) -> tuple[float, np.ndarray]:
    """Macro-averaged F1 over the classes of the labels, and its influence values (see `influence_values`).

    F1 of a class is 2 TP / (actual + predicted), 0 where never right. A class that occurs only as a prediction does not
    count: in a test file or a group without it, its F1 would be 0, and a single stray prediction would cost its whole
    share. The influence values are F1 plus n times the derivative of it by each item's share; the derivatives sum to zero.
    """
    classes, codes = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    actual, predicted = codes[: len(labels)], codes[len(labels) :]
    k, n = len(classes), len(labels)
    right = np.bincount(actual[actual == predicted], minlength=k)
    true = np.bincount(actual, minlength=k)
    total = true + np.bincount(predicted, minlength=k)
    f1 = 2 * right / total
    counted = true > 0
    share = np.where(counted, f1 / total, 0.0)
    influence = 2 * (actual == predicted) / total[actual] - share[actual] - share[predicted]
    mean = float(f1[counted].mean())
    return mean, mean + n / int(counted.sum()) * influence


def class_f1(labels: np.ndarray, predictions: np.ndarray, of: int) -> float:
    """F1 of the class `of`: 2 TP / (actual + predicted); nan where neither a label nor a prediction is this class."""
    actual, predicted = labels == of, predictions == of
    total = int(actual.sum() + predicted.sum())
    return 2 * int((actual & predicted).sum()) / total if total else math.nan


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error: mean absolute difference of accuracy and mean confidence over CALIBRATION_BINS bins of
    equal width, weighted by their share of items (Naeini et al. 2015, AAAI; Guo et al. 2017, ICML, equation 3).

    `confidence` float [n] in [0, 1], the probability of the predicted class; `correct` bool [n]. A bin holds its upper edge.
    nan without items. It is above 0 even for a perfectly calibrated model, the more so the fewer the items.
    """
    if not len(confidence):
        return math.nan
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    place = np.searchsorted(edges, confidence)
    difference = np.bincount(place, confidence - correct, CALIBRATION_BINS)
    return float(np.abs(difference).sum() / len(confidence))


def overconfidence(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Mean confidence minus accuracy: above 0 of a model that is more often wrong than it says; nan without items."""
    return float(np.mean(confidence - correct)) if len(confidence) else math.nan


def bounds(metric: str) -> tuple[float, float]:
    """Lowest and highest value of a metric, perplexities by their logarithm (as their influence values are)."""
    name = metric.lower()
    if "perplexity" in name or "bits_per_byte" in name:
        return 0.0, math.inf
    if name in COMPLETION_METRICS:
        return (0.0, math.inf) if name.endswith("_gap") else (0.0, 1.0)
    if name.startswith(PROPORTIONS):
        return 0.0, 1.0
    return (-1.0, 1.0) if name.startswith("mcc") else (-math.inf, math.inf)
