"""Words and sentences of a text, as the profile counts them. In: a text. Out: lists of words, and counts."""

from __future__ import annotations

import re

from winnow.scripts import part

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
"""Letters and digits, with apostrophes inside."""
END = re.compile(r"[.!?…。！？]+[\"'”’»)\]]*(?=\s|$)|[。！？]")
INSIDE = re.compile(r"(?<=[\w,;] )[^\W\d_]+")
"""Words inside a sentence: behind a word, a comma or a semicolon, and a blank."""


def words(text: str) -> list[str]:
    """Words in lower case; in a script without spaces a character is a word."""
    return WORD.findall(part(text).lower())


def sentences(text: str) -> int:
    """Sentences of a text with words: ends of sentences, and 1 more if words follow the last one."""
    ends = [match.end() for match in END.finditer(text)]
    rest = text[ends[-1] :] if ends else text
    return len(ends) + (WORD.search(rest) is not None)


def names(text: str) -> list[str]:
    """Candidates of names: words with a capital inside a sentence, but not I. In languages that capitalise all nouns, or
    none, they are something else."""
    return [word for word in INSIDE.findall(text) if word[0].isupper() and word != "I"]
