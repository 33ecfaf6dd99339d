"""Log-likelihoods of continuations under a causal language model: the loop of scores and of multiple-choice benchmarks.

Only logits of continuations are computed: not those of a context, which is most of a prompt of five examples. Requests of
equal inputs are read once. Batches are by length, side by side on the cores of a processor; on a GPU the next one is
padded while it computes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from winnow.batching import batches, padded
from winnow.device import to_device
from winnow.in_flight import METER, side_by_side
from winnow.stage import InputError

Request = tuple[Sequence[int], Sequence[int]]
TOKENS_CPU, TOKENS_GPU = 1024, 131_072
"""Padded tokens of a batch at most."""
LOGITS_CPU, LOGITS_GPU = 2**25, 2**31
"""Tokens times vocabulary of a batch at most."""
BYTES_A_LOGIT = 32
"""Of a GPU's free memory for each logit of a batch: it and its logarithm of the softmax in float32, four times over."""


def token_budget(device: Any, vocabulary: int) -> int:
    """Padded tokens of a batch at most, from the size of its logits and the memory that is free. `device`: of torch."""
    if device.type == "cpu":
        return max(1, min(TOKENS_CPU, LOGITS_CPU // vocabulary))
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(TOKENS_GPU, LOGITS_GPU // vocabulary, free // BYTES_A_LOGIT // vocabulary))


def log_likelihoods(
    model: Any,
    requests: Sequence[Request],
    limit: int,
    tokens: int,
    done: Callable[[int], None] = lambda _: None,
    rows: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability of each continuation after its context in nats, float64 [n], and whether each of its tokens is the
    likeliest at its place, bool [n].

    `model`: of transformers, in float32; `requests`: token ids of contexts and continuations; `limit`: tokens that the model
    reads at a time, of a longer request the first are left out; `tokens`: of a batch, padding included, or `rows`: inputs
    of a batch, if not 0. `done` is called with the number of requests that are done.

    Raises InputError for an empty context, and for a continuation that is empty or longer than the limit.
    """
    of_input: dict[tuple[int, ...], list[int]] = {}
    for number, (context, continuation) in enumerate(requests):
        if not context or not 0 < len(continuation) <= limit:
            if context and continuation:
                raise InputError(
                    f"request {number}: the text to be judged has {len(continuation)} tokens, the model reads {limit} at a time; "
                    f"required: a model of a longer sequence (key sequence of models), or a suite without this benchmark"
                )
            raise InputError(
                f"request {number}: a context of {len(context)} tokens and {len(continuation)} after it; required: at least 1 each"
            )
        of_input.setdefault((*context, *continuation)[-limit - 1 : -1], []).append(number)
    inputs = sorted(of_input, key=lambda ids: (-len(ids), ids))
    lengths = np.array([len(ids) for ids in inputs], dtype=np.int64)
    parts = batches(lengths, tokens, rows)

    def of_batch(part: np.ndarray) -> tuple[list[int], np.ndarray, np.ndarray]:
        numbers, at, places, targets = [], [], [], []
        for row, i in enumerate(part):
            for number in of_input[inputs[i]]:
                continuation = requests[number][1]
                numbers.append(number)
                at.append(np.full(len(continuation), row))
                places.append(np.arange(lengths[i] - len(continuation), lengths[i]))
                targets.append(continuation)
        counts = np.array([len(one) for one in targets])
        found = _of_tokens(
            model,
            padded([list(inputs[i]) for i in part])[0],
            np.concatenate(at),
            np.concatenate(places),
            np.concatenate(targets).astype(np.int64),
        )
        starts = np.cumsum(counts) - counts
        return numbers, np.add.reduceat(found[0], starts), np.logical_and.reduceat(found[1], starts)

    total, likeliest = np.zeros(len(requests)), np.zeros(len(requests), dtype=bool)
    for numbers, sums, hits in side_by_side(of_batch, parts, model.device.type):
        total[numbers], likeliest[numbers] = sums, hits
        done(len(numbers))
    return total, likeliest


def _of_tokens(
    model: Any, inputs: Any, rows: np.ndarray, places: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability of each target, float64 [n], and whether it is the likeliest token, bool [n]. `inputs`: int64 [rows,
    length], padded on the right, where a causal model does not look; `rows` and `places`: of the token before each target."""
    import torch

    device, length = model.device.type, inputs.shape[1]
    partly = "logits_to_keep" in inspect.signature(model.forward).parameters
    first = int(places.min()) if partly else 0
    keep = {"logits_to_keep": length - first} if partly else {}
    at, where, right = (to_device(x, device) for x in (rows, places - first, targets))
    with torch.inference_mode(), METER:
        logits = model(input_ids=to_device(inputs.numpy(), device), use_cache=False, **keep).logits
        chosen = logits[at, where].float()
        losses = torch.nn.functional.cross_entropy(chosen, right, reduction="none")
        hits = chosen.argmax(1) == right
        return -losses.double().cpu().numpy(), hits.cpu().numpy()
