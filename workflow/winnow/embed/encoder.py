"""An encoder: a transformer with pooling that turns texts into unit vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.batching import distinct, of_batches, padded
from winnow.device import keep_memory, native_bfloat16, pick_device, to_device
from winnow.in_flight import METER, PREPARING
from winnow.light_imports import skip_unused
from winnow.stage import InputError, Progress

BATCH_TOKENS = {"cpu": 1024, "cuda": 65536}
"""Of a batch, padding included: what fits a core's cache in float32."""
PACKED_TOKENS = 2048
"""Of a batch of oneDNN's packed products in bfloat16."""
CHARACTERS_PER_TOKEN = 32
USUAL_CHARACTERS_PER_TOKEN = 6
MARGIN = 128
"""Tokens behind those that are kept: a word that is cut has no more."""


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
        self.unpadded = None
        if self.device == "cuda" and name == "bfloat16" and native_bfloat16(self.device):
            from winnow.embed.bert import UnpaddedBert, can_be_unpadded

            if can_be_unpadded(self.model.config):
                self.unpadded = UnpaddedBert(self.model)
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

        with PREPARING:
            ids, row_of_text = distinct(self.tokens_of(texts))
        lengths = np.array([len(row) for row in ids])
        out = np.empty((len(ids), self.spec["dimension"]), dtype=np.float16)

        def of_batch(rows: np.ndarray) -> np.ndarray:
            with torch.inference_mode(), METER:
                vectors = self._forward([ids[row] for row in rows])
                return np.asarray(vectors.to(torch.float16).cpu().numpy())

        for rows, vectors in of_batches(of_batch, lengths, self.tokens, self.device, progress, len(texts)):
            if vectors.shape[1] != self.spec["dimension"]:
                raise InputError(
                    f"encoder: dimension is {self.spec['dimension']}, but the model's vectors have {vectors.shape[1]}"
                )
            out[rows] = vectors
        return out[row_of_text]

    def tokens_of(self, texts: list[str]) -> list[list[int]]:
        """Token ids of texts, cut at max_tokens. Of a long text as many characters are read as usually hold these, then more."""
        prefix, most = self.spec["prefix"], self.spec["max_tokens"]
        ids: list[list[int]] = [[] for _ in texts]
        rows = list(range(len(texts)))
        for cut in (USUAL_CHARACTERS_PER_TOKEN * (most + MARGIN), CHARACTERS_PER_TOKEN * most):
            encoded = self.tokenizer.encode_batch_fast([prefix + texts[row][:cut] for row in rows])
            short = []
            for row, one in zip(rows, encoded, strict=True):
                ids[row] = one.ids
                if len(texts[row]) > cut and sum(len(more.ids) for more in one.overflowing) < MARGIN:
                    short.append(row)
            rows = short
        return ids

    def _forward(self, ids: list[np.ndarray]) -> Any:
        """Unit vectors of texts of token ids, longest first: float32 [texts, d]."""
        import torch

        lengths, first_token = [len(row) for row in ids], self.spec["pooling"] == "cls"
        if self.unpadded:
            tokens = to_device(np.concatenate(ids).astype(np.int64), self.device)
            states = self.unpadded.states(tokens, lengths).float()
            sizes = torch.tensor(lengths, device=self.device)
            starts = sizes.cumsum(0) - sizes
            pooled = states[starts] if first_token else torch.segment_reduce(states, "mean", lengths=sizes)
        else:
            tokens, mask = (x.to(self.device) for x in padded(ids))
            full = lengths[0] == lengths[-1]
            states = self.model(input_ids=tokens, attention_mask=None if full else mask).last_hidden_state
            states, weight = states.float(), mask.unsqueeze(-1).float()
            pooled = states[:, 0] if first_token else (states * weight).sum(1) / weight.sum(1)
        return torch.nn.functional.normalize(pooled, dim=1)
