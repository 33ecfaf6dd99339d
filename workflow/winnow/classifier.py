"""A trained classifier in Hugging Face format: what it predicts of texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from winnow.batching import batches, distinct, padded
from winnow.device import pick_device
from winnow.light_imports import skip_unused
from winnow.stage import Progress
from winnow.tokenizer import classifier_tokenizer

BATCH_TOKENS = {"cpu": 2048, "cuda": 131072}
"""Padded tokens of a batch."""


class Classifier:
    """It reads as much of a text as it was trained on."""

    def __init__(self, folder: Path):
        skip_unused()
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.device = pick_device()
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype="float32", use_safetensors=True
        )
        self.model = model.eval().to(self.device)
        self.tokenizer = classifier_tokenizer(folder)

    def log_probabilities(self, texts: list[str], progress: Progress | None = None) -> np.ndarray:
        """Logarithms of the probabilities of classes, float64 [n, classes]; texts of equal tokens have equal ones."""
        import torch

        ids, place = distinct([e.ids for e in self.tokenizer.encode_batch_fast(texts)])
        lengths = np.array([len(row) for row in ids])
        out = np.zeros((len(ids), self.model.config.num_labels))
        with torch.inference_mode():
            for rows in batches(lengths, BATCH_TOKENS[self.device], progress, len(texts)):
                tokens, mask = (x.to(self.device) for x in padded([ids[row] for row in rows]))
                logits = self.model(input_ids=tokens, attention_mask=mask).logits
                out[rows] = torch.log_softmax(logits.double(), dim=1).cpu().numpy()
        return out[place]
