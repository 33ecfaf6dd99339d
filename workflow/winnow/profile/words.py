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
    """Sentences of a text: parts up to a full stop, a question mark, an exclamation mark or the end that have a word."""
    count = start = 0
    for match in END.finditer(text):
        count += WORD.search(text, start, match.end()) is not None
        start = match.end()
    return count + (WORD.search(text, start) is not None)


def names(text: str) -> list[str]:
    """Candidates of names: words inside a sentence that begin with a capital, and are not all capitals. In languages that
    capitalise all nouns, or none, they are something else."""
    return [word for word in INSIDE.findall(text) if word[0].isupper() and not word.isupper()]
