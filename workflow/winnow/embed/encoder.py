"""An encoder: a transformer with pooling that turns texts into unit vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.batching import distinct, of_batches, padded
from winnow.device import keep_memory, native_bfloat16, pick_device
from winnow.in_flight import Meter
from winnow.light_imports import skip_unused
from winnow.stage import InputError, Progress

BATCH_TOKENS = {"cpu": 1024, "cuda": 131072}
"""Of a batch, padding included: what fits a core's cache in float32."""
PACKED_TOKENS = 2048
"""Of a batch of oneDNN's packed products in bfloat16."""
CHARACTERS_PER_TOKEN = 32


class Encoder:
    """A transformer with pooling, from an `encoder` definition (schema: $defs/encoder), on `device` or a GPU if there is one.

    Raises InputError for weights that are absent or differ from the configured digest, and for more `max_tokens` than the
    model has positions.
    """

    def __init__(self, spec: dict[str, Any], device: str | None = None):
        import torch

        skip_unused()
        from transformers import AutoModel
        from transformers.utils import logging

        from winnow.embed.kernels import pack_weights, packed_bfloat16, register_attention
        from winnow.tokenizer import open_model_tokenizer
        from winnow.weights import loading, weights_folder

        logging.disable_progress_bar()
        folder = weights_folder(spec["source"])
        self.spec = spec
        self.device = device or pick_device()
        if self.device == "cpu":
            keep_memory()
        self.meter = Meter(self.device)
        name = spec["precision"]
        if name == "auto":
            name = "bfloat16" if native_bfloat16(self.device) else "float32"
        self.precision = name
        packed = self.device == "cpu" and name == "bfloat16" and packed_bfloat16()
        self.tokens = PACKED_TOKENS if packed else BATCH_TOKENS[self.device]
        with loading(folder):
            self.model = AutoModel.from_pretrained(
                folder,
                dtype=getattr(torch, name),
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                attn_implementation=register_attention() if packed else "sdpa",
            )
        self.model = self.model.eval().to(self.device)
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None
        if packed:
            pack_weights(self.model, PACKED_TOKENS)
        limit = getattr(self.model.config, "max_position_embeddings", spec["max_tokens"])
        if spec["max_tokens"] > limit:
            raise InputError(
                f"encoder: max_tokens {spec['max_tokens']} is beyond the {limit} positions of the model"
            )
        self.tokenizer = open_model_tokenizer(folder, spec["max_tokens"])

    def encode(self, texts: list[str], progress: Progress | None = None) -> np.ndarray:
        """Unit vectors of one block: float16 [len(texts), d]; texts of equal tokens have equal vectors. At most the
        first 32 x max_tokens characters of a text are read. `progress` counts documents.

        Raises InputError if the model's vectors are of another dimension than the definition says."""
        import torch

        cut = CHARACTERS_PER_TOKEN * self.spec["max_tokens"]
        prefix = self.spec["prefix"]
        encoded = self.tokenizer.encode_batch_fast([prefix + text[:cut] for text in texts])
        ids, row_of_text = distinct([e.ids for e in encoded])
        lengths = np.array([len(row) for row in ids])
        out = np.empty((len(ids), self.spec["dimension"]), dtype=np.float16)

        def of_batch(rows: np.ndarray) -> np.ndarray:
            batch = padded([ids[row] for row in rows])
            with torch.inference_mode(), self.meter:
                return np.asarray(self._forward(*batch).to(torch.float16).cpu().numpy())

        for rows, vectors in of_batches(of_batch, lengths, self.tokens, self.device, progress, len(texts)):
            if vectors.shape[1] != self.spec["dimension"]:
                raise InputError(
                    f"encoder: dimension is {self.spec['dimension']}, but the model's vectors have {vectors.shape[1]}"
                )
            out[rows] = vectors
        return out[row_of_text]

    def _forward(self, tokens: Any, mask: Any) -> Any:
        import torch

        full = bool(mask.all())
        tokens, mask = tokens.to(self.device), mask.to(self.device)
        states = self.model(input_ids=tokens, attention_mask=None if full else mask).last_hidden_state
        states = states.float()
        if self.spec["pooling"] == "cls":
            pooled = states[:, 0]
        else:
            weight = mask.unsqueeze(-1).float()
            pooled = (states * weight).sum(1) / weight.sum(1)
        return torch.nn.functional.normalize(pooled, dim=1)
