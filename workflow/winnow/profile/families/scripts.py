"""Family scripts: the script that most letters of a text are of, and the share of common English words among its words.

No recogniser of languages: several languages share a script, and a text of few words may have no common English word.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

import numpy as np

from winnow.profile.english import common_share
from winnow.profile.kinds import Family
from winnow.profile.words import words

STAGE_VERSION = 1
FAMILY = Family(
    columns={"script": "script of most letters", "english": "common English words / words"},
    levels={"script": ()},
)


@cache
def script_of(character: str) -> str:
    """The script of a character by its Unicode name, in lower case (`latin`, `cyrillic`, `cjk`); empty of what is no letter."""
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").split()
    return name[0].lower() if name else "unknown"


def script(text: str) -> str | None:
    """The script of most letters, of equally many the first in the alphabet; None of a text without letters."""
    if text.isascii():
        return "latin" if any(map(str.isalpha, text)) else None
    counts: dict[str, int] = {}
    for character in set(text):
        if name := script_of(character):
            counts[name] = counts.get(name, 0) + text.count(character)
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def measure(texts: list[str], vectors: np.ndarray | None, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """See winnow.profile.kinds."""
    share = np.array([common_share(words(text)) for text in texts], dtype=np.float32)
    return {"script": np.array([script(text) for text in texts], dtype=object), "english": share}
