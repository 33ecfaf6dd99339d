"""The script of a text; and scripts that are written without spaces between words: Han, kana, Thai, Lao, Khmer, Burmese,
Tibetan and related ones.

A sentence in these is one word to code that splits at spaces. `part` puts spaces around each character of these scripts,
so that a character counts as a word; text of other scripts is unchanged.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

CHARACTERS_A_WORD = 2
"""Characters of these scripts that hold about as much as a word of others (of Chinese, 1.5 to 2)."""
LOOK = 1000
"""Characters of a text from which its script is recognised."""
RANGES = (
    "\u0e00-\u0fff"  # Thai, Lao, Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17ff\u1950-\u1aaf\u1b00-\u1b7f\ua980-\ua9df"  # Khmer, Tai, Balinese, Javanese
    "\u3005-\u3007\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\uff66-\uff9d"  # kana, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"  # more kana, more Han
)
CHARACTER = re.compile(f"[{RANGES}]")
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def part(text: str) -> str:
    """The text with spaces around each character of a script without spaces; other text is unchanged."""
    return text if text.isascii() else CHARACTER.sub(r" \g<0> ", text)


def words_of(text: str) -> list[str]:
    """Words of a text in lower case, without punctuation; a character of a script without spaces is a word."""
    return WORD.findall(part(text.lower()))


def count_words(text: str) -> int:
    """Words of a text, separated by spaces; CHARACTERS_A_WORD characters of a script without spaces are one."""
    if text.isascii():
        return len(text.split())
    characters = len(CHARACTER.findall(text))
    return len(CHARACTER.sub(" ", text).split()) + -(-characters // CHARACTERS_A_WORD)


def without_blanks(text: str) -> bool:
    """Whether a text is written without spaces between words: at least half of the letters among its first LOOK
    characters are of such a script."""
    start = text[:LOOK]
    if start.isascii():
        return False
    letters = sum(character.isalpha() for character in CHARACTER.findall(start))
    return letters > 0 and 2 * letters >= sum(map(str.isalpha, start))


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
