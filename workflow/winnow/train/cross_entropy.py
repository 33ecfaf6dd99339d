"""Cross-entropy of a vocabulary without its logits in memory.

Logits of 8,192 tokens over a vocabulary of 50,304 are 1.6 GB in float32, written and read several times. Here they are
made, used and dropped in chunks that stay in cache, and the gradients of hidden states and weights are computed in
the same pass (as in Liger-Kernel, arXiv 2410.10989, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

LOGITS_CPU, LOGITS_GPU = 2**20, 2**28
"""Logits of a chunk: 4 MiB in float32 are best on one core; on a GPU a chunk must fill it."""

IGNORED = -1


def _loss_and_gradient(
    logits: torch.Tensor, targets: torch.Tensor, kept: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The summed loss of a chunk and its gradient in `logits`, in their dtype. Each line passes over all logits: for a
    compiler to fuse."""
    wide, right = logits.float(), torch.where(kept, targets, 0)[:, None]
    mass = wide.logsumexp(1, keepdim=True)
    loss = ((mass - wide.gather(1, right))[:, 0] * kept).sum()
    hit = torch.arange(wide.shape[1], device=wide.device) == right
    return loss, (((wide - mass).exp() - hit.float()) * kept[:, None]).to(logits.dtype)


def _loss_and_gradient_in_place(
    logits: torch.Tensor, targets: torch.Tensor, kept: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for a processor, where the chunk fits the cache."""
    wide, right = logits.float(), torch.where(kept, targets, 0)[:, None]
    wide -= wide.amax(1, keepdim=True)
    chosen = wide.gather(1, right)
    wide.exp_()
    mass = wide.sum(1, keepdim=True)
    loss = ((mass.log() - chosen)[:, 0] * kept).sum()
    wide /= torch.where(kept[:, None], mass, torch.inf)
    wide.scatter_add_(1, right, -kept[:, None].float())
    return loss, wide.to(logits.dtype)


@cache
def _on_gpu() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    return torch.compile(_loss_and_gradient, dynamic=True)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        kind = hidden.device.type
        low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        rows, targets = hidden.reshape(-1, hidden.shape[-1]).to(low), targets.reshape(-1)
        kept = targets != IGNORED
        matrix = weight.to(low)
        chunk = max(16, (LOGITS_CPU if kind == "cpu" else LOGITS_GPU) // len(weight))
        of_chunk = _loss_and_gradient_in_place if kind == "cpu" else _on_gpu()
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        d_rows = torch.empty_like(rows)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        for start in range(0, len(rows), chunk):
            part = slice(start, start + chunk)
            x = rows[part]
            loss, gradient = of_chunk(x @ matrix.t(), targets[part], kept[part])
            total += loss
            d_rows[part] = gradient @ matrix
            d_weight += gradient.t() @ x
        ctx.save_for_backward(d_rows.reshape(hidden.shape).to(hidden.dtype), d_weight.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        d_hidden, d_weight = ctx.saved_tensors
        return gradients[0] * d_hidden, gradients[0] * d_weight, None


def linear_cross_entropy(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum over targets of -log softmax(hidden @ weight.T)[target], a float32 scalar in nats.

    `hidden` [..., width], `weight` [vocabulary, width], `targets` int64 [...]; targets of -1 do not count.
    Under autocast the products are in its dtype; sums, softmax and the weight's gradient are float32.
    """
    return _LinearCrossEntropy.apply(hidden, weight, targets)
