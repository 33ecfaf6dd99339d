"""Log-probabilities of texts under a language model, for the scorers that need them.

In: a model folder in Hugging Face layout, texts. Out: sums of log-probabilities in nats, and token counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from winnow.light_imports import skip_unused
from winnow.stage import InputError, Progress
from winnow.weights import loading

STAGE_VERSION = 2
BATCH_TOKENS = {"cpu": 8192, "cuda": 131072}  # of a batch, padding included
LOGITS = 1 << 26  # numbers that the logits of a batch may hold


class LanguageModel:
    """A causal language model, loaded in float32. Raises InputError if it names neither a first nor a last token."""

    def __init__(self, folder: Path):
        import torch

        skip_unused()
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        from winnow.device import pick_device
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
        self.model = self.model.eval().to(self.device)
        config = self.model.config
        self.limit = int(getattr(config, "max_position_embeddings", 1024))
        self.start = config.bos_token_id if config.bos_token_id is not None else config.eos_token_id
        if self.start is None:
            raise InputError(f"{folder}: the model names neither a first nor a last token")
        self.budget = max(self.limit, min(BATCH_TOKENS[self.device], LOGITS // config.vocab_size))
        self.tokenizer = open_model_tokenizer(folder)

    def sums(
        self, texts: list[str], progress: Progress | None = None, documents: float = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-probability in nats, float64 [n], and tokens, int64 [n], of each text; `progress` advances by `documents`.

        A text is read in windows of the model's length, each after the token that begins a document, so every
        token counts once. Rows are padded on the right, where a causal model does not look; padding never counts.
        """
        import torch

        from winnow.batching import batches, distinct

        windows: list[list[int]] = []
        row_of_window: list[int] = []
        encoded = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        different, row_of_text = distinct([one.ids for one in encoded])
        for i, ids in enumerate(different):
            for at in range(0, len(ids), self.limit):
                windows.append(ids[at : at + self.limit])
                row_of_window.append(i)
        total, count = np.zeros(len(different)), np.zeros(len(different), dtype=np.int64)
        lengths = np.array([len(w) for w in windows], dtype=np.int64)
        np.add.at(count, row_of_window, lengths)
        whole = int(lengths.sum())
        with torch.inference_mode():
            for rows in batches(lengths, self.budget):
                longest = int(lengths[rows].max())
                inputs = np.full((len(rows), longest), self.start, dtype=np.int64)
                targets = np.full((len(rows), longest), -100, dtype=np.int64)
                for i, row in enumerate(rows):
                    ids = windows[row]
                    targets[i, : len(ids)] = ids
                    inputs[i, 1 : len(ids)] = ids[:-1]
                logits = self.model(
                    input_ids=torch.from_numpy(inputs).to(self.device), use_cache=False
                ).logits
                losses = torch.nn.functional.cross_entropy(
                    logits.float().flatten(0, 1),
                    torch.from_numpy(targets).to(self.device).flatten(),
                    reduction="none",
                    ignore_index=-100,
                ).view(len(rows), longest)
                np.add.at(total, np.array(row_of_window)[rows], -losses.double().sum(1).cpu().numpy())
                if progress:
                    progress.add(documents * int(lengths[rows].sum()) / whole)
        if progress and not whole:
            progress.add(documents)
        return total[row_of_text], count[row_of_text]


def byte_lengths(texts: list[str]) -> np.ndarray:
    """Bytes of the UTF-8 of each text, int64 [n]."""
    return np.array([len(text.encode()) for text in texts], dtype=np.int64)
