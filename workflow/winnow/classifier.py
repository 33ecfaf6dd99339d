"""A trained classifier in Hugging Face format: what it predicts of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from winnow.batching import distinct, of_batches, padded
from winnow.device import pick_device
from winnow.in_flight import METER, PREPARING
from winnow.light_imports import skip_unused
from winnow.stage import InputError, Progress
from winnow.tokenizer import classifier_tokenizer
from winnow.weights import loading

BATCH_TOKENS = {"cpu": 1024, "cuda": 131072}
"""Padded tokens of a batch."""


class Classifier:
    """It reads as much of a text as it was trained on."""

    def __init__(self, folder: Path, max_tokens: int = 0):
        """`max_tokens`: of a text, or of a pair, of which the first is cut; 0: as many as it was trained on."""
        skip_unused()
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.device = pick_device()
        with loading(folder):
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype="float32", use_safetensors=True, trust_remote_code=False, local_files_only=True
            )
        self.model = model.eval().to(self.device)
        self.tokenizer = classifier_tokenizer(folder)
        limit = self.tokenizer.truncation["max_length"]
        if max_tokens > limit:
            raise InputError(f"{folder}: reads {limit} tokens; max_tokens is {max_tokens}")
        self.tokenizer.enable_truncation(max_tokens or limit, strategy="only_first")

    def log_probabilities(self, texts: list[str], progress: Progress | None = None) -> np.ndarray:
        """Logarithms of the probabilities of classes, float64 [n, classes]; texts of equal tokens have equal ones."""
        import torch

        with PREPARING:
            encoded = self.tokenizer.encode_batch_fast(texts)
        logits = self._logits(encoded, progress)
        return np.asarray(torch.log_softmax(torch.from_numpy(logits), dim=1).numpy())

    def pair_logits(self, texts: list[str], second: str) -> np.ndarray:
        """Logits of each text followed by a second one, float64 [n, classes]; of a pair that is too long the text is cut."""
        with PREPARING:
            encoded = self.tokenizer.encode_batch_fast([(text, second) for text in texts])
        return self._logits(encoded)

    def _logits(self, encoded: list[Any], progress: Progress | None = None) -> np.ndarray:
        import torch

        ids, place = distinct([e.ids for e in encoded])
        _, first = np.unique(place, return_index=True)
        types = [encoded[i].type_ids for i in first.tolist()]
        typed = getattr(self.model.config, "type_vocab_size", 0) > 1 and any(map(any, types))
        lengths = np.array([len(row) for row in ids])
        out = np.zeros((len(ids), self.model.config.num_labels))

        def of_batch(rows: np.ndarray) -> np.ndarray:
            tokens, mask = padded([ids[row] for row in rows])
            given = {"input_ids": tokens, "attention_mask": mask}
            if typed:
                given["token_type_ids"] = padded([types[row] for row in rows])[0]
            with torch.inference_mode(), METER:
                logits = self.model(**{name: part.to(self.device) for name, part in given.items()}).logits
                return np.asarray(logits.double().cpu().numpy())

        tokens = BATCH_TOKENS[self.device]
        for rows, logits in of_batches(of_batch, lengths, tokens, self.device, progress, len(encoded)):
            out[rows] = logits
        return out[place]
