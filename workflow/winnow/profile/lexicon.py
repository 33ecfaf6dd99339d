"""A lexicon of emotions and of violence, and valences of sentences. In: words and sentences of texts. Out: counts, valences.

The words are Empath's (Fast, Chen and Bernstein 2016: categories grown from fiction and checked by readers; MIT licence). Its
categories hold words that are merely used beside theirs (`happiness` in sadness), so a word counts only if its valence in
VADER's lexicon (Hutto and Gilbert 2014; MIT licence) does not contradict its group. A word of several groups counts for
the group that is named after it, else for the first one in the order of GROUPS; a word of four groups or more says nothing
in particular and does not count. Words are compared by their stems (Snowball).
"""

from __future__ import annotations

import functools
import re
from typing import Any

SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|\n{2,}")
LONGEST_SENTENCE = 2000
"""Characters: longer ones (lists, tables, code) are cut, since VADER's time is quadratic in a sentence's words."""
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")

GROUPS: dict[str, tuple[int, tuple[str, ...], str]] = {
    "death": (
        -1,
        ("death",),
        "sad misery miserable war suffering devastated ill revenge neglect cancer doom assassin murder torture kill "
        "distraught destruction haunt victim heartbreak",
    ),
    "anger": (
        -1,
        ("anger", "rage"),
        "stubborn impatient harsh fear pain murder brutal disgust disappoint desperate violent",
    ),
    "fear": (
        -1,
        ("fear", "horror"),
        "embarrassment weakness helpless shock mad pain violent brutal strangle guilt agony disgust scream",
    ),
    "sadness": (
        -1,
        ("sadness", "suffering"),
        "bad dark broken mad trouble selfish weak beat burn cut exhausted conflict severe damage crush scream hurt stab "
        "injure injury kill death die harsh terrible impatient jealous negate inflame cruel fear destruct terror sore worse",
    ),
    "joy": (
        1,
        ("joy", "cheerfulness"),
        "play live feel surprised determined positive kind sweet certain emotion",
    ),
    "love": (1, ("love", "affection"), "open feel wonder interested enjoy happy trust kind meaning emotion"),
    "violence": (
        0,
        ("violence", "kill", "weapon"),
        "mean tough feel minor cut hit kick bad harsh scratch struggle severe impact wreck sting hurt pain suffering "
        "train arm case load throw mechanism barrel scissor aim equip fire firefighter danger warn hunt hunter skeleton "
        "soldier capture inject infect slice gut extinguish charge prison resist ally shield laser razor missile axe "
        "arrow strike precise command quest mission target agent spy camp rank range rifle dodge destroy poison afraid "
        "scared angry mad dead death die punish damage shatter dispose neutral eliminate execute scope tactic stake scar "
        "atom hound lair devil vampire sharpen senseless toughen resuscitate extinct sacrifice magnum barricade wince",
    ),
}
"""Group -> the sign of its words' valence (0: not positive), Empath's categories, and words of them that are too general."""
ALSO = {"fear": "afraid"}
"""Words of a group that Empath has and VADER does not know."""


@functools.lru_cache(1 << 17)
def stem(word: str) -> str:
    """The stem of a word in lower case (Snowball, English)."""
    return _stemmer().stem(word)


@functools.cache
def _stemmer() -> Any:
    from nltk.stem.snowball import SnowballStemmer

    return SnowballStemmer("english")


@functools.cache
def analyzer() -> Any:
    """VADER."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


@functools.cache
def lexicon() -> dict[str, str]:
    """Stem -> its group, of all words that count."""
    from empath import Empath

    categories = Empath().cats
    valences: dict[str, list[float]] = {}
    for word, valence in analyzer().lexicon.items():
        if word.isalpha():
            valences.setdefault(stem(word), []).append(valence)
    groups: dict[str, list[str]] = {}
    for group, (sign, names, general) in GROUPS.items():
        also = {stem(word) for word in ALSO.get(group, "").split()}
        without = {stem(word) for word in general.split()}
        for word in sorted({stem(word) for name in names for word in categories[name]} - without):
            known = valences.get(word, [])
            valence = sum(known) / len(known) if known else 0.0
            fits = valence * sign >= 0.5 if sign else valence < 0.5
            if fits or word in also:
                groups.setdefault(word, []).append(group)
    own = {stem(name): group for group, (_, names, _) in GROUPS.items() for name in names}
    return {
        word: own[word] if own.get(word) in several else several[0]
        for word, several in groups.items()
        if len(several) < 4 or own.get(word) in several
    }


def sentences(text: str) -> list[str]:
    """Sentences of a text, split behind ends of sentences and at empty lines; those with a letter or digit."""
    parts = (part for part in SENTENCE.split(text) if any(map(str.isalnum, part)))
    return [
        part[start : start + LONGEST_SENTENCE]
        for part in parts
        for start in range(0, len(part), LONGEST_SENTENCE)
    ]


def valences(parts: list[str]) -> list[float]:
    """VADER's compound valence of each sentence: -1 (negative) to 1 (positive)."""
    return [analyzer().polarity_scores(part)["compound"] for part in parts]


def hits(text: str) -> tuple[int, dict[str, list[str]]]:
    """How many words a text has, and its words of each group, in their order, in lower case."""
    words = WORD.findall(text.lower())
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    known = lexicon()
    for word in words:
        group = known.get(stem(word.split("'")[0].split("’")[0]))
        if group:
            found[group].append(word)
    return len(words), found
