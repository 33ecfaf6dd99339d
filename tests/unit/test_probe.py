"""The linear probe: its figures are those of scikit-learn, and its strength is chosen without the test set."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from conftest import ROOT
from sklearn.linear_model import LogisticRegression
from winnow.rounds.probe import STRENGTHS, fit_probe, folds


def planted(
    n: int, classes: int = 2, d: int = 12, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    vectors = generator.standard_normal((n, d)) + 1.5 * np.eye(classes, d)[labels]
    return np.arange(n), vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def test_probabilities_are_those_of_scikit_learn_at_the_chosen_strength() -> None:
    for classes in (2, 4):
        doc, vectors, labels = planted(400, classes)
        probe = fit_probe(doc[:300], vectors[:300], labels[:300], classes)
        assert probe.strength in STRENGTHS
        peer = LogisticRegression(C=probe.strength, max_iter=1000).fit(vectors[:300], labels[:300])
        assert np.allclose(probe.probabilities(vectors[300:]), peer.predict_proba(vectors[300:]), atol=1e-3)


def test_the_order_of_the_documents_changes_no_bit() -> None:
    doc, vectors, labels = planted(200)
    turn = np.random.default_rng(1).permutation(200)
    one, other = (
        fit_probe(doc, vectors, labels, 2),
        fit_probe(doc[turn], vectors[turn], labels[turn], 2),
    )
    assert one.strength == other.strength
    assert np.array_equal(one.weights, other.weights)


def test_a_class_without_a_document_has_probability_zero_and_one_class_alone_is_sure() -> None:
    doc, vectors, labels = planted(90, 3)
    two = labels != 1
    probe = fit_probe(doc[two], vectors[two], labels[two], 3)
    p = probe.probabilities(vectors)
    assert (p[:, 1] == 0).all()
    assert np.allclose(p.sum(1), 1)
    alone = fit_probe(doc[labels == 2], vectors[labels == 2], labels[labels == 2], 3)
    assert (alone.probabilities(vectors) == [0, 0, 1]).all()
    few = np.array([np.flatnonzero(labels == c)[0] for c in range(3)])
    assert np.isfinite(fit_probe(doc[few], vectors[few], labels[few], 3).probabilities(vectors)).all()


def test_each_fold_holds_its_share_of_each_class() -> None:
    doc, _, labels = planted(100, 4)
    fold = folds(doc, labels)
    for c in range(4):
        sizes = np.bincount(fold[labels == c])
        assert sizes.max() - sizes.min() <= 1


def test_noise_is_regularised_more_than_signal() -> None:
    doc, vectors, labels = planted(150, seed=4)
    noise = np.random.default_rng(9).integers(0, 2, 150)
    assert fit_probe(doc, vectors, noise, 2).strength < fit_probe(doc, vectors, labels, 2).strength


def test_a_probe_loads_no_torch() -> None:
    code = "import sys; from winnow.rounds import probes; import sklearn.linear_model; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "workflow", check=True
    )
    assert not {"torch", "transformers"} & set(done.stdout.split())
