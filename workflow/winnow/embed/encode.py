"""Documents of a shard -> unit vectors.

In: a document shard. Out: float16 [n, d], C order, row i = row i of the shard, L2-normalised, finite.
Documents are batched inside blocks of 4,096 rows of the source, sorted by length, so that padding is
rare and the number of shards cannot change a batch. Equal texts of a block (texts of equal tokens, as far as the
encoder reads) are read once and have equal vectors; those of two blocks agree to rounding only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from winnow.batching import batches, block_texts, blocks, distinct, padded
from winnow.device import native_bfloat16, pick_device
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, run, say

STAGE_VERSION = 3
BATCH_TOKENS = {"cpu": 2048, "cuda": 131072}  # of a batch, padding included; 2,048 stay in a core's cache
SCORES = 1 << 20  # attention scores held at a time on a processor
CHARACTERS_PER_TOKEN = 32


def _onednn(precision: str) -> bool:
    """Whether oneDNN's packed matrix products can be used on this processor at `precision`."""
    import platform

    import torch

    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    return precision == "float32" or (
        precision == "bfloat16" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _pack_weights(model: Any) -> None:
    """Gives the linear layers of `model` weights in oneDNN's own layout, with the bias, and a GELU that
    follows, inside the product. For inference only; the same sums, without passes over memory."""
    import torch

    class Packed(torch.nn.Module):
        def __init__(self, linear: Any, activation: str):
            super().__init__()
            self.activation = activation
            self.bias = linear.bias
            self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), BATCH_TOKENS["cpu"])

        def forward(self, x: Any) -> Any:
            return torch.ops.mkldnn._linear_pointwise(
                x, self.weight, self.bias, self.activation, [], "none" if self.activation == "gelu" else ""
            )

    for module in list(model.modules()):
        activation = getattr(module, "intermediate_act_fn", None)
        fused = type(activation).__name__ in ("GELUActivation", "GELU") and (
            getattr(activation, "approximate", "none") == "none"
            and getattr(activation, "act", torch.nn.functional.gelu) is torch.nn.functional.gelu
        )
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear:
                gelu = fused and name == "dense"
                setattr(module, name, Packed(child, "gelu" if gelu else "none"))
                if gelu:
                    module.intermediate_act_fn = torch.nn.Identity()


def _attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float, **_: Any
) -> tuple[Any, None]:
    """softmax(query key^T x scaling) value of [rows, heads, tokens, d] tensors, as [rows, tokens, heads, d].

    Matrix products of a few rows at a time, so that the scores stay in the cache: in bfloat16 a third
    faster than torch's fused kernel, which multiplies in small tiles. `attention_mask`: bool [rows, 1, tokens, tokens], or none.
    """
    import torch

    rows, heads, tokens, size = query.shape
    out = query.new_empty(rows, tokens, heads, size)
    unused = query.new_empty(1, 1, 1)
    step = max(1, SCORES // (heads * tokens * tokens))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        q, k, v = (x[part].reshape(-1, tokens, size) for x in (query, key, value))
        scores = torch.baddbmm(unused, q, k.transpose(1, 2), beta=0, alpha=scaling)
        if attention_mask is not None:
            scores.view(-1, heads, tokens, tokens).masked_fill_(~attention_mask[part], -torch.inf)
        torch.softmax(scores, -1, out=scores)
        out[part] = torch.bmm(scores, v).view(-1, heads, tokens, size).transpose(1, 2)
    return out, None


def _register_attention() -> str:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register("winnow", _attention)
    AttentionMaskInterface.register("winnow", sdpa_mask)
    return "winnow"


class Encoder:
    """A transformer with pooling, from an `encoder` definition."""

    def __init__(self, spec: dict[str, Any], device: str | None = None):
        import torch
        from transformers import AutoModel
        from transformers.utils import logging

        from winnow.tokenizer import open_model_tokenizer
        from winnow.weights import weights_folder

        logging.disable_progress_bar()
        folder = weights_folder(spec["source"])
        self.spec = spec
        self.device = device or pick_device()
        name = spec["precision"]
        if name == "auto":
            name = "bfloat16" if native_bfloat16(self.device) else "float32"
        self.precision = name
        fast = self.device == "cpu" and _onednn(name)
        self.model = AutoModel.from_pretrained(
            folder,
            dtype=getattr(torch, name),
            use_safetensors=True,
            attn_implementation=_register_attention() if fast and name == "bfloat16" else "sdpa",
        )
        self.model = self.model.eval().to(self.device)
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None
        if fast:
            _pack_weights(self.model)
        limit = getattr(self.model.config, "max_position_embeddings", spec["max_tokens"])
        if spec["max_tokens"] > limit:
            raise InputError(
                f"encoder: max_tokens {spec['max_tokens']} is beyond the {limit} positions of the model"
            )
        self.tokenizer = open_model_tokenizer(folder, spec["max_tokens"])

    def encode(self, texts: list[str], progress: Progress | None = None) -> np.ndarray:
        """Unit vectors of one block: float16 [len(texts), d]; texts of equal tokens have equal vectors. At most the
        first 32 x max_tokens characters of a text are looked at. `progress` counts documents."""
        import torch

        cut = CHARACTERS_PER_TOKEN * self.spec["max_tokens"]
        prefix = self.spec["prefix"]
        encoded = self.tokenizer.encode_batch_fast([prefix + text[:cut] for text in texts])
        ids, own = distinct([e.ids for e in encoded])
        lengths = np.array([len(row) for row in ids])
        out = np.empty((len(ids), self.spec["dimension"]), dtype=np.float16)
        with torch.inference_mode():
            for rows in batches(lengths, BATCH_TOKENS[self.device], progress, len(texts)):
                vectors = self._forward(*padded([ids[row] for row in rows]))
                if vectors.shape[1] != self.spec["dimension"]:
                    raise InputError(
                        f"encoder: dimension {self.spec['dimension']} asked, the model gives {vectors.shape[1]}"
                    )
                out[rows] = vectors.to(torch.float16).cpu().numpy()
        return out[own]

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


def embed_shard(documents: Path, encoder: Encoder, out: Path, what: str) -> None:
    """Writes the vectors of one shard of documents, block by block."""
    shard = pq.ParquetFile(documents)
    doc = shard.read(columns=["doc"])["doc"].to_numpy()
    progress = Progress(f"embed {what}", total=len(doc), unit="documents")
    with atomic_path(out) as partial, open(partial, "wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(doc), encoder.spec["dimension"])}
        np.lib.format.write_array_header_1_0(file, header)
        for rows, texts in zip(blocks(doc), block_texts(shard, blocks(doc)), strict=True):
            vectors = encoder.encode(texts, progress)
            if not np.isfinite(vectors).all():
                bad = int(doc[rows][~np.isfinite(vectors).all(1)][0])
                raise InputError(
                    f"{documents}: document {bad} has no finite vector at {encoder.precision}; "
                    "try precision: float32"
                )
            file.write(vectors.tobytes())
    progress.line(encoder.precision)


def main(*, documents: Path, spec: str, out: Path, name: str = "", threads: int = 0) -> None:
    """Embed one shard.

    Args:
        documents: shard of documents (parquet: doc, text).
        spec: JSON with the key `encoder`.
        out: .npy file to write.
        name: what progress lines call the shard.
        threads: processor threads; 0 leaves torch's choice.
    """
    settings = read_spec(spec, "encoder")
    say(f"[embed {name}] loading the encoder")
    import torch

    if threads:
        torch.set_num_threads(threads)
    encoder = Encoder(settings["encoder"])
    embed_shard(documents, encoder, out, name)


if __name__ == "__main__":
    run(main)
