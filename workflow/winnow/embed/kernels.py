"""Faster inference in bfloat16 on processors: oneDNN's packed matrix products, and attention in pieces that fit the cache.

Both compute what transformers computes, to rounding. In float32 torch's own products are used. Where they were measured (AMD
EPYC, AVX2; GFLOP/s a core for 1,024 rows): torch 95, numpy's OpenBLAS 96, oneDNN packed 85 to 90; documents of the Pile/s on two
cores: 27.4, with one product for queries, keys and values 27.8, onnxruntime 1.32 (a session a core) 27.0, attention in pieces 26.4.
"""

from __future__ import annotations

from typing import Any

SCORES = 1 << 20  # attention scores held at a time


def packed_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices with oneDNN's packed products."""
    import platform

    import torch

    x86 = platform.machine() in ("x86_64", "AMD64")
    return x86 and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def pack_weights(model: Any, rows: int) -> None:
    """Replaces the linear layers of `model`, in place, by oneDNN's, whose weights are laid out for products of `rows` rows.

    The bias, and a GELU that follows, are computed inside the product. For inference only; the same sums, with fewer
    passes over memory.
    """
    import torch

    class Packed(torch.nn.Module):
        def __init__(self, linear: Any, activation: str):
            super().__init__()
            self.activation = activation
            self.bias = linear.bias
            self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), rows)

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


def attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float, **_: Any
) -> tuple[Any, None]:
    """softmax(query key^T x scaling) value of [rows, heads, tokens, d] tensors, as [rows, tokens, heads, d].

    A few rows at a time, so that the scores stay in the cache: in bfloat16 a third faster than torch's fused kernel,
    which multiplies in small tiles. `attention_mask`: bool [rows, 1, tokens, tokens], or None.
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


def register_attention() -> str:
    """Makes `attention` known to transformers; returns the name under which models take it."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register("winnow", attention)
    AttentionMaskInterface.register("winnow", sdpa_mask)
    return "winnow"
