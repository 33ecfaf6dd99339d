"""A linear probe: L2 logistic regression on the frozen vectors that the corpus already has.

In: vectors float [n, d] of the encoder and labels int [n] of the drawn documents. Out: probabilities of classes. Its
strength of regularisation is chosen by cross-validation inside the drawn documents, by the mean log-likelihood: the test
set is never looked at. No torch. Source: scikit-learn, LogisticRegression.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from winnow.keys import keys

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Values of C (the inverse of the L2 strength) that are tried, for vectors of norm 1."""
FOLDS = 3


@dataclass(frozen=True)
class Probe:
    """Weights float64 [classes, d] and intercepts float64 [classes] of a softmax over all classes of the corpus; `strength`,
    the C that was chosen. A class without a training document has probability 0."""

    weights: np.ndarray
    intercepts: np.ndarray
    strength: float

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """Probabilities of classes, float64 [n, classes], of vectors float [n, d]."""
        logits = np.asarray(vectors, dtype=np.float64) @ self.weights.T + self.intercepts
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        return p / p.sum(axis=1, keepdims=True)


def folds(doc: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A fold of each document, int64 [n]: classes are dealt out in the order of keys, so folds depend on no order of rows."""
    order = np.lexsort((keys("folds", 0, doc), labels))
    ordered = labels[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = rank % FOLDS
    return fold


def _fit(
    vectors: np.ndarray, labels: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(classes [c], weights float64 [c, d], intercepts float64 [c]) of the documents' own classes, of which there are two or more."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, solver="lbfgs", max_iter=1000, tol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(vectors, labels)
    weights, intercepts = model.coef_, model.intercept_
    if len(weights) == 1:  # two classes: half the logit each
        weights, intercepts = (
            np.vstack((-weights, weights)) / 2,
            np.concatenate((-intercepts, intercepts)) / 2,
        )
    return model.classes_, weights, intercepts


def _log_likelihood(
    fitted: tuple[np.ndarray, np.ndarray, np.ndarray], vectors: np.ndarray, labels: np.ndarray
) -> float:
    """Sum of the log-probabilities of the labels; one that was not fitted counts as 1e-6."""
    known, weights, intercepts = fitted
    logits = vectors @ weights.T + intercepts
    logits -= logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    place = np.clip(np.searchsorted(known, labels), 0, len(known) - 1)
    value = log_p[np.arange(len(labels)), place]
    return float(np.where(known[place] == labels, value, np.log(1e-6)).sum())


def fit_probe(doc: np.ndarray, vectors: np.ndarray, labels: np.ndarray, classes: int) -> Probe:
    """The probe of drawn documents.

    `doc` int64 [n]; `vectors` float [n, d]; `labels` int64 [n] in 0..classes-1. No seed: equal documents make equal
    probes. With fewer than two documents in a second class there is nothing to validate on: C is 1. With one class only the probe is sure of it.
    """
    order = np.argsort(doc)  # sums do not depend on the order in which documents came
    doc, vectors, labels = doc[order], np.asarray(vectors, dtype=np.float64)[order], labels[order]
    sizes = np.bincount(labels, minlength=classes)
    weights, intercepts = np.zeros((classes, vectors.shape[1])), np.full(classes, -np.inf)
    if (sizes > 0).sum() == 1:
        intercepts[sizes > 0] = 0.0
        return Probe(weights, intercepts, 1.0)
    strength = 1.0
    if (sizes >= 2).sum() >= 2:
        fold = folds(doc, labels)
        scores = []
        for candidate in STRENGTHS:
            score = 0.0
            for part in range(FOLDS):
                train, test = fold != part, fold == part
                if len(np.unique(labels[train])) > 1 and test.any():
                    score += _log_likelihood(
                        _fit(vectors[train], labels[train], candidate), vectors[test], labels[test]
                    )
            scores.append(score)
        strength = STRENGTHS[int(np.argmax(scores))]
    known, own, offsets = _fit(vectors, labels, strength)
    weights[known], intercepts[known] = own, offsets
    return Probe(weights, intercepts, strength)
