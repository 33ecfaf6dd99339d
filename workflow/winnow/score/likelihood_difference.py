"""Kind likelihood-difference: cross-entropy per word under an in-domain model minus that under a general one.

Low is in-domain (Suzuki et al. 2023, IPM 60(3)). Columns: `score`, and what it is computed from: `log_probability` and
`general_log_probability` (nats), `tokens` and `general_tokens`, `words`, `bytes`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from winnow.score.kinds import Kind
from winnow.score.language_model import LanguageModel, byte_lengths
from winnow.scripts import count_words
from winnow.stage import Progress

STAGE_VERSION = 2
KIND = Kind(
    reads="texts",
    uses=("score",),
    columns=("score", "log_probability", "general_log_probability", "tokens", "general_tokens", "words", "bytes"),
    proxies={"in_domain": "language-model", "general": "language-model"},
    gpu=True,
    stages=("score.language_model", "tokenizer"),
)  # fmt: skip


def open_scorer(
    scorer: dict[str, Any], proxies: list[Path], ratios: Path | None
) -> Callable[[list[str], Progress], dict[str, np.ndarray]]:
    """See winnow.score.documents."""
    models = [LanguageModel(folder) for folder in proxies]

    def score(texts: list[str], progress: Progress) -> dict[str, np.ndarray]:
        words = np.array([max(1, count_words(text)) for text in texts], dtype=np.int64)
        (in_domain, tokens), (general, general_tokens) = (
            model.sums(texts, progress, len(texts) / 2) for model in models
        )
        return {
            "score": (general - in_domain) / words,
            "log_probability": in_domain, "general_log_probability": general,
            "tokens": tokens, "general_tokens": general_tokens,
            "words": words, "bytes": byte_lengths(texts),
        }  # fmt: skip

    return score
