"""Family lengths: how long a text is, and how many different words it has."""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.profile.kinds import Family
from winnow.profile.words import sentences, words

STAGE_VERSION = 1
FAMILY = Family(
    columns={
        "characters": "characters",
        "words": "words",
        "sentences": "sentences",
        "vocabulary": "different words",
        "type_token_ratio": "different words / words",
        "words_per_sentence": "words / sentences",
    }
)


def measure(texts: list[str], vectors: np.ndarray | None, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """See winnow.profile.kinds. The ratios are NaN of a text without words."""
    of_text = [words(text) for text in texts]
    count = np.array([len(many) for many in of_text], dtype=np.int32)
    different = np.array([len(set(many)) for many in of_text], dtype=np.int32)
    ends = np.array([sentences(text) for text in texts], dtype=np.int32)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "characters": np.array([len(text) for text in texts], dtype=np.int32),
            "words": count,
            "sentences": ends,
            "vocabulary": different,
            "type_token_ratio": np.where(count > 0, different / count, np.nan).astype(np.float32),
            "words_per_sentence": np.where(count > 0, count / ends, np.nan).astype(np.float32),
        }
