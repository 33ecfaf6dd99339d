"""A BERT on a GPU: texts one behind the other, without padding, and fewer passes over memory than transformers takes.

The three projections of attention are one product; attention of texts of differing lengths is FlashAttention (Dao 2023,
arXiv 2307.08691); GELU is computed inside the product before it, by its tanh approximation, which differs from the exact
one by less than a bfloat16 holds; sum and layer norm are one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from winnow.device import to_device


def _add_and_normalise(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
) -> torch.Tensor:
    return functional.layer_norm(x + residual, weight.shape, weight, bias, epsilon)


@cache
def _one_pass() -> Callable[..., torch.Tensor]:
    torch._dynamo.config.suppress_errors = True  # without a C compiler it takes two passes, but works
    return torch.compile(_add_and_normalise)


def can_be_unpadded(config: Any) -> bool:
    """Whether a model of transformers, by its config, is one whose layers `UnpaddedBert` computes."""
    return bool(
        config.model_type == "bert"
        and config.hidden_act == "gelu"
        and not config.is_decoder
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
    )


class UnpaddedBert:
    """The layers of a transformers BertModel, for inference. On a processor it computes the same, for tests."""

    def __init__(self, model: Any):
        self.embeddings = model.embeddings
        self.heads = model.config.num_attention_heads
        self.epsilon = model.config.layer_norm_eps
        self.layers = []
        for layer in model.encoder.layer:
            attention = layer.attention
            parts = [getattr(attention.self, name) for name in ("query", "key", "value")]
            weight, bias = (torch.cat([getattr(part, name) for part in parts]) for name in ("weight", "bias"))
            self.layers.append(
                (weight.detach(), bias.detach(), attention.output, layer.intermediate.dense, layer.output)
            )

    def states(self, tokens: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """Last hidden states [n, width] of texts of `lengths` tokens, whose ids stand one behind the other: int64 [n]."""
        sizes = to_device(np.array(lengths), tokens.device.type)
        bounds = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        starts = bounds[:-1].repeat_interleave(sizes, output_size=len(tokens))
        places = torch.arange(len(tokens), device=tokens.device) - starts
        x = self.embeddings(input_ids=tokens[None], position_ids=places[None])[0]
        for weight, bias, attended, wide, narrow in self.layers:
            projected = functional.linear(x, weight, bias).view(len(x), 3, self.heads, -1)
            query, key, value = projected.unbind(1)
            mixed = attention(query, key, value, bounds, lengths).reshape(x.shape)
            x = self._norm(attended, mixed, x)
            inner = torch._addmm_activation(wide.bias, x, wide.weight.t(), use_gelu=True)
            x = self._norm(narrow, inner, x)
        return x

    def _norm(self, module: Any, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """`module`: a dense layer, then the layer norm of its result and `residual`."""
        norm, x = module.LayerNorm, module.dense(x)
        if not x.is_cuda:
            return _add_and_normalise(x, residual, norm.weight, norm.bias, self.epsilon)
        torch._dynamo.mark_dynamic(x, 0)
        torch._dynamo.mark_dynamic(residual, 0)
        return _one_pass()(x, residual, norm.weight, norm.bias, self.epsilon)


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bounds: torch.Tensor, lengths: list[int]
) -> torch.Tensor:
    """Attention of each text to itself, of tensors [n, heads, size]; `bounds`: int64 [texts + 1], where texts begin and end.

    For texts of one length, as long documents are once they are cut, torch has faster kernels than for differing ones.
    """
    longest, dense = max(lengths), functional.scaled_dot_product_attention
    if len(set(lengths)) == 1:
        shape = (len(lengths), longest, *query.shape[1:])
        q, k, v = (x.view(shape).transpose(1, 2) for x in (query, key, value))
        return dense(q, k, v).transpose(1, 2).reshape(query.shape)
    if not query.is_cuda:
        texts = zip(*(x.transpose(0, 1)[None].split(lengths, 2) for x in (query, key, value)), strict=True)
        return torch.cat([dense(q, k, v)[0].transpose(0, 1) for q, k, v in texts])
    from torch.nn.attention.varlen import varlen_attn

    places = bounds.to(torch.int32)
    mixed: Any = varlen_attn(query, key, value, places, places, longest, longest)
    return mixed
