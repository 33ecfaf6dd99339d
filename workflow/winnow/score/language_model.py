"""Log-probabilities of texts under a language model, for the scorers that need them.

In: a model folder in Hugging Face layout, texts. Out: sums of log-probabilities in nats, and token counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from winnow.batching import distinct
from winnow.device import keep_memory, pick_device
from winnow.in_flight import PREPARING
from winnow.light_imports import skip_unused
from winnow.likelihoods import Request, log_likelihoods, token_budget
from winnow.stage import InputError, Progress
from winnow.weights import loading

STAGE_VERSION = 3


class LanguageModel:
    """A causal language model, loaded in float32. Raises InputError if it names neither a first nor a last token."""

    def __init__(self, folder: Path):
        import torch

        skip_unused()
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        from winnow.tokenizer import open_model_tokenizer

        logging.disable_progress_bar()
        self.device = pick_device()
        with loading(folder):
            self.model = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
            )
        if self.device == "cpu":
            keep_memory()
        self.model = self.model.eval().to(self.device)
        config = self.model.config
        self.limit = int(getattr(config, "max_position_embeddings", 1024))
        self.start = config.bos_token_id if config.bos_token_id is not None else config.eos_token_id
        if self.start is None:
            raise InputError(f"{folder}: the model names neither a first nor a last token")
        self.tokens = token_budget(self.model.device, config.vocab_size)
        self.tokenizer = open_model_tokenizer(folder)

    def sums(
        self, texts: list[str], progress: Progress | None = None, documents: float = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-probability in nats, float64 [n], and tokens, int64 [n], of each text; `progress` advances by `documents`.

        A text is read in windows of the model's length, each after the token that begins a document, so every
        token counts once. Rows are padded on the right, where a causal model does not look; padding never counts.
        """
        windows: list[Request] = []
        row_of_window: list[int] = []
        with PREPARING:
            encoded = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            different, row_of_text = distinct([one.ids for one in encoded])
        for i, ids in enumerate(row.tolist() for row in different):
            for at in range(0, len(ids), self.limit):
                windows.append(([self.start], ids[at : at + self.limit]))
                row_of_window.append(i)
        share = documents / max(1, len(windows))
        sums, _ = log_likelihoods(
            self.model,
            windows,
            self.limit,
            self.tokens,
            lambda n: progress.add(share * n) if progress else None,
        )
        if progress and not windows:
            progress.add(documents)
        total = np.bincount(row_of_window, sums, minlength=len(different)).astype(np.float64)
        count = np.array([len(ids) for ids in different], dtype=np.int64)
        return total[row_of_text], count[row_of_text]


def byte_lengths(texts: list[str]) -> np.ndarray:
    """Bytes of the UTF-8 of each text, int64 [n]."""
    return np.array([len(text.encode()) for text in texts], dtype=np.int64)
