"""Kind entropy: how unsure a classifier is of a document's label.

Columns: `score` and `entropy` (nats), `prediction` (the likeliest class).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from winnow.score.kinds import Kind
from winnow.stage import Progress

STAGE_VERSION = 3
KIND = Kind(
    reads="texts",
    uses=("score",),
    columns=("score", "entropy", "prediction"),
    minimum=0,
    proxies={"classifier": "classifier"},
    gpu=True,
    stages=("tokenizer",),
)


def entropies(
    classifier: Any, texts: list[str], progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Entropy of the predicted labels in nats, float64 [n], and the likeliest label, int32 [n], of a winnow.classifier."""
    log = classifier.log_probabilities(texts, progress)
    return -(np.exp(log) * log).sum(1), log.argmax(1).astype(np.int32)


def open_scorer(
    scorer: dict[str, Any], proxies: list[Path], ratios: Path | None
) -> Callable[[list[str], Progress], dict[str, np.ndarray]]:
    """See winnow.score.documents."""
    from winnow.classifier import Classifier

    (classifier,) = map(Classifier, proxies)

    def score(texts: list[str], progress: Progress) -> dict[str, np.ndarray]:
        entropy, label = entropies(classifier, texts, progress)
        return {"score": entropy, "entropy": entropy, "prediction": label}

    return score
