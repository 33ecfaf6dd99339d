"""Kind proxy-loss: the loss of a document under a language model, in nats per token or per byte.

Columns: `score`, and the sums it is computed from: `log_probability` (nats), `tokens`, `bytes`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from winnow.score.kinds import Kind
from winnow.score.language_model import LanguageModel, byte_lengths
from winnow.stage import Progress

STAGE_VERSION = 2
KIND = Kind(
    reads="texts",
    uses=("score", "loss"),
    columns=("score", "log_probability", "tokens", "bytes"),
    minimum=0,
    proxies={"proxy": "language-model"},
    gpu=True,
    stages=("score.language_model", "tokenizer"),
)


def open_scorer(
    scorer: dict[str, Any], proxies: list[Path], ratios: Path | None
) -> Callable[[list[str], Progress], dict[str, np.ndarray]]:
    """See winnow.score.documents."""
    (model,) = map(LanguageModel, proxies)

    def score(texts: list[str], progress: Progress) -> dict[str, np.ndarray]:
        size = byte_lengths(texts)
        log, tokens = model.sums(texts, progress, len(texts))
        loss = -log / np.maximum(tokens if scorer["per"] == "token" else size, 1)
        return {"score": loss, "log_probability": log, "tokens": tokens, "bytes": size}

    return score
