"""Openings of held-out documents, which a language model completes, with their true continuations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from winnow.evaluate.forms.cloze import character_ends, word_ends
from winnow.evaluate.items import HeldOut, choose
from winnow.schema import schema
from winnow.scripts import CHARACTERS_A_WORD, without_blanks
from winnow.stage import InputError

COLUMNS = [("prompt", pa.string()), ("continuation", pa.string())]
TASK: dict[str, Any] = {}


def settings(completion: dict[str, Any]) -> dict[str, Any]:
    """The key `completion` of a benchmark, with the schema's defaults."""
    properties = schema()["$defs"]["completion"]["properties"]
    return {name: completion.get(name, part["default"]) for name, part in properties.items()}


def compared_words(tokens: int) -> int:
    """Words of the true continuation that a completion of `tokens` tokens is compared with."""
    return max(1, tokens // 2)


def split(text: str, words: int, more: int) -> tuple[str, str] | None:
    """(the first `words` words, the next `more`), without white space at the ends; None if the document has fewer.

    Of a document that is too short in words and written in a script without spaces, CHARACTERS_A_WORD characters are one.
    """
    for ends, units in ((word_ends, 1), (character_ends, CHARACTERS_A_WORD)):
        if units == 1 or without_blanks(text):
            cuts = ends(text, units * (words + more))
            if len(cuts) == units * (words + more):
                first = cuts[units * words - 1]
                return text[:first].strip(), text[first : cuts[-1]].strip()
    return None


def make(held: HeldOut, items: int, seed: int, completion: dict[str, Any]) -> dict[str, list[Any]]:
    """Items of at most `items` documents. Raises InputError if no document is long enough."""
    chosen = settings(completion)
    words, more = chosen["words"], compared_words(chosen["tokens"])
    pairs = {i: pair for i, text in enumerate(held.text) if (pair := split(text, words, more))}
    if not pairs:
        raise InputError(
            f"completion: none of {len(held.text)} held-out documents has {words + more} words, {words} of the prompt and "
            f"{more} to compare with; lower completion.words or completion.tokens"
        )
    eligible = np.array(list(pairs), dtype=np.int64)
    places = eligible[choose(held.doc[eligible], items, seed)].tolist()
    return {
        "item": [int(held.doc[i]) for i in places],
        "group": [held.group[i] for i in places],
        "prompt": [pairs[i][0] for i in places],
        "continuation": [pairs[i][1] for i in places],
    }
