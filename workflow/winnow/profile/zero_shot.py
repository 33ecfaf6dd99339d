"""Zero-shot classification: how near documents are to the texts of labels -> the label of each document, its probability.

How near: the cosine of the vectors of an encoder, or the logit of entailment of an NLI model (winnow.profile.entail). A
label is a mixture of its texts: P(label) is proportional to the mean of exp(cosine / temperature) over them, so that a
label may have texts that have little in common (an article on a town, one on a beetle). A high temperature comes close to
the mean of its texts; with one text a label and logits at temperature 1 it is the softmax over labels of Yin, Hay & Roth
(2019). Cosines are computed without rounding and sums do not depend on an order, so that a document's label depends neither
on its place in a shard nor on the order of labels or texts; of equal probabilities the label that is first in the alphabet
is taken. The probabilities are not calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from winnow.products import exact_product
from winnow.stage import InputError

STAGE_VERSION = 1
TEMPERATURE = 0.05
"""With it, a text that is nearer by a cosine of .1 counts 7.4 times as much."""


def log_weights(
    vectors: np.ndarray, labels: Sequence[str], label_vectors: np.ndarray, temperature: float = TEMPERATURE
) -> tuple[list[str], np.ndarray]:
    """Names of the labels, sorted, and the logarithm of the weight of each for each document, float64 [n, k].

    `vectors` float16 [n, d]; `label_vectors` float16 [t, d], unit rows, of the texts of all labels; `labels`: the label of each
    text. The difference of two columns is the log odds of the labels.
    """
    return of_labels(exact_product(vectors, label_vectors) / temperature, labels)


def of_labels(near: np.ndarray, labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Names of the labels, sorted, and the logarithm of the mean of exp over the texts of each, float64 [n, k].

    `near` float64 [n, t]: how near each document is to each text, in units of the temperature; `labels`: the label of each
    text.
    """
    names = sorted(set(labels))
    of_label = np.array(labels)
    out = np.empty((len(near), len(names)))
    for column, name in enumerate(names):
        own = np.sort(near[:, of_label == name], axis=1)
        highest = own[:, -1]
        out[:, column] = highest + np.log(np.exp(own - highest[:, None]).mean(1))
    return names, out


def classify(
    vectors: np.ndarray, labels: Sequence[str], label_vectors: np.ndarray, temperature: float = TEMPERATURE
) -> tuple[np.ndarray, np.ndarray]:
    """The label of each document, objects [n], and its probability, float64 [n]. Arguments: see `log_weights`."""
    return likeliest(*log_weights(vectors, labels, label_vectors, temperature))


def likeliest(names: list[str], weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label of the greatest weight, objects [n], and its probability, float64 [n]; arguments: what `of_labels` returns."""
    best = weight.argmax(1)
    odds = np.exp(weight - weight[np.arange(len(best)), best][:, None])
    return np.array(names, dtype=object)[best], 1 / odds.sum(1)


def measure(
    texts: list[str], vectors: np.ndarray | None, settings: dict[str, Any], column: str
) -> dict[str, np.ndarray]:
    """The measures of a family of labels: `column`, the label, and `column_probability`; None and NaN of blank texts.

    `settings`: `labels` and `label_vectors` (winnow.profile.labels), or `labels` and `logits` of the texts (float32 [n, t],
    winnow.profile.entail); `temperature`.
    """
    label, probability = likeliest(*_weights(vectors, settings))
    blank = np.array([not text.strip() for text in texts], dtype=bool)
    label[blank] = None
    return {
        column: label,
        f"{column}_probability": np.where(blank, np.nan, probability).astype(np.float32),
    }


def _weights(vectors: np.ndarray | None, settings: dict[str, Any]) -> tuple[list[str], np.ndarray]:
    labels, temperature = settings["labels"], settings.get("temperature", TEMPERATURE)
    if "logits" in settings:
        return of_labels(settings["logits"].astype(np.float64) / temperature, labels)
    assert vectors is not None
    label_vectors = settings["label_vectors"]
    if label_vectors.shape != (len(labels), vectors.shape[1]):
        raise InputError(
            f"vectors of labels: shape {label_vectors.shape}; expected: {(len(labels), vectors.shape[1])}, made by the "
            "encoder of the documents"
        )
    return log_weights(vectors, labels, label_vectors, temperature)
