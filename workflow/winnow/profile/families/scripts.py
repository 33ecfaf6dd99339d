"""Family scripts: the script that most letters of a text are of, and the share of common English words among its words.

No recogniser of languages: several languages share a script, and a text of few words may have no common English word.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

import numpy as np

from winnow.profile.kinds import Family
from winnow.profile.words import words

STAGE_VERSION = 1
FAMILY = Family(
    columns={"script": "script of most letters", "english": "common English words / words"},
    levels={"script": ()},
)
COMMON = (
    "the of and to in a is that for it as was with be by on not he i this are or his from at which but have an had they "
    "you were their one all we can her has there been if more when will would who so no out up into do any your what "
    "than my other then its our these some could them only about time may very two she over such also said "
)
ENGLISH = frozenset(COMMON.split())


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
    share = np.full(len(texts), np.nan, dtype=np.float32)
    for row, text in enumerate(texts):
        if of_text := words(text):
            share[row] = sum(word in ENGLISH for word in of_text) / len(of_text)
    return {"script": np.array([script(text) for text in texts], dtype=object), "english": share}
