"""Family pronouns: how often a text speaks of he, she and they (English), and of whom it speaks more.

A flag of bias in the plainest sense: whom the texts are about, not what they say of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.profile.kinds import Family
from winnow.profile.words import words

STAGE_VERSION = 1
FAMILY = Family(
    columns={
        "he": "he, him, his, himself: words",
        "she": "she, her, hers, herself: words",
        "they": "they, them, their, theirs, themselves: words",
        "gender": "pronouns of the text",
    },
    levels={"gender": ("he only", "more he", "equal", "more she", "she only")},
)
PRONOUNS = {
    "he": ("he", "him", "his", "himself"),
    "she": ("she", "her", "hers", "herself"),
    "they": ("they", "them", "their", "theirs", "themselves"),
}
PLACE = {word: place for place, group in enumerate(PRONOUNS.values()) for word in group}


def measure(texts: list[str], vectors: np.ndarray | None, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """See winnow.profile.kinds. `gender` is None of a text with neither he nor she; he'd and she's count as he and she."""
    counts = np.zeros((len(texts), len(PRONOUNS)), dtype=np.int32)
    for row, text in enumerate(texts):
        for word in words(text):
            place = PLACE.get(word.replace("’", "'").split("'")[0])
            if place is not None:
                counts[row, place] += 1
    gender = [_gender(he, she) for he, she in counts[:, :2].tolist()]
    return {
        **{name: counts[:, place] for place, name in enumerate(PRONOUNS)},
        "gender": np.array(gender, dtype=object),
    }


def _gender(he: int, she: int) -> str | None:
    if not he or not she:
        return "he only" if he else "she only" if she else None
    return "equal" if he == she else "more he" if he > she else "more she"
