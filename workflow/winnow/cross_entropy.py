"""Cross-entropy of a vocabulary without its logits in memory.

Logits of 8,192 tokens over a vocabulary of 50,304 are 1.6 GB in float32, written and read several times. Here they are
made, used and forgotten in chunks that stay in cache, and the gradients of hidden states and weights are computed on
the way (as in Liger-Kernel, arXiv 2410.10989, section 3.2).
"""

from __future__ import annotations

from typing import Any

import torch

LOGITS_CPU, LOGITS_GPU = 2**20, 2**27
"""Logits of a chunk: 4 MiB in float32 are best on a core; on a GPU a chunk must fill it."""

IGNORED = -1


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        kind = hidden.device.type
        low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        rows, wanted = hidden.reshape(-1, hidden.shape[-1]).to(low), targets.reshape(-1)
        kept = wanted != IGNORED
        matrix = weight.to(low)
        chunk = max(16, (LOGITS_CPU if kind == "cpu" else LOGITS_GPU) // len(weight))
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        d_rows = torch.empty_like(rows)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        for start in range(0, len(rows), chunk):
            part = slice(start, start + chunk)
            x, real = rows[part], kept[part]
            right = torch.where(real, wanted[part], 0)[:, None]
            logits = (x @ matrix.t()).float()
            logits -= logits.amax(1, keepdim=True)
            chosen = logits.gather(1, right)
            logits.exp_()
            mass = logits.sum(1, keepdim=True)
            total += ((mass.log() - chosen)[:, 0] * real).sum()
            logits /= mass
            logits.scatter_add_(1, right, torch.full_like(chosen, -1.0))
            logits *= real[:, None]
            gradient = logits.to(low)
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
