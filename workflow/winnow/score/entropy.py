"""Kind entropy: how unsure a classifier is of a document's label.

Columns: `score` and `entropy` (nats), `prediction` (the likeliest class).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from winnow.score.kinds import Kind
from winnow.score.language_model import BATCH_TOKENS
from winnow.stage import Progress

STAGE_VERSION = 2
KIND = Kind(
    reads="texts",
    uses=("score",),
    columns=("score", "entropy", "prediction"),
    minimum=0,
    proxies={"classifier": "classifier"},
    gpu=True,
    stages=("tokenizer",),
)


class Classifier:
    """A trained classifier. It reads as much of a text as it was trained on."""

    def __init__(self, folder: Path):
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        from winnow.device import pick_device
        from winnow.tokenizer import classifier_tokenizer

        logging.disable_progress_bar()
        self.device = pick_device()
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype="float32", use_safetensors=True
        )
        self.model = model.eval().to(self.device)
        self.tokenizer = classifier_tokenizer(folder)

    def entropies(self, texts: list[str], progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Entropy of the predicted labels in nats, float64 [n], and the likeliest label, int32 [n]."""
        import torch

        from winnow.batching import batches, distinct, padded

        ids, row_of_text = distinct([e.ids for e in self.tokenizer.encode_batch_fast(texts)])
        lengths = np.array([len(row) for row in ids])
        entropy, label = np.zeros(len(ids)), np.zeros(len(ids), dtype=np.int32)
        with torch.inference_mode():
            for rows in batches(lengths, BATCH_TOKENS[self.device], progress, len(texts)):
                tokens, mask = (x.to(self.device) for x in padded([ids[row] for row in rows]))
                logits = self.model(input_ids=tokens, attention_mask=mask).logits
                log = torch.log_softmax(logits.double(), dim=1)
                entropy[rows] = -(log.exp() * log).sum(1).cpu().numpy()
                label[rows] = log.argmax(1).cpu().numpy()
        return entropy[row_of_text], label[row_of_text]


def open_scorer(
    scorer: dict[str, Any], proxies: list[Path], ratios: Path | None
) -> Callable[[list[str], Progress], dict[str, np.ndarray]]:
    """See winnow.score.documents."""
    (classifier,) = map(Classifier, proxies)

    def score(texts: list[str], progress: Progress) -> dict[str, np.ndarray]:
        entropy, label = classifier.entropies(texts, progress)
        return {"score": entropy, "entropy": entropy, "prediction": label}

    return score
