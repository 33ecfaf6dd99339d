"""Cloze items: the true continuation of a held-out document among false ones from other documents."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.evaluate.items import HeldOut, choose
from winnow.keys import keys
from winnow.scripts import CHARACTERS_A_WORD, without_blanks
from winnow.stage import InputError

COLUMNS = [("context", pa.string()), ("choices", pa.list_(pa.string())), ("label", pa.int64())]
TASK = {
    "output_type": "multiple_choice",
    "doc_to_text": "context",
    "doc_to_choice": "choices",
    "doc_to_target": "label",
    "metric_list": [
        {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True},
    ],
}

CONTEXT_WORDS = 64
CONTINUATION_WORDS = 12
CONTINUATION_LENGTH = 100
SHORTEST_CLOZE = 2 * CONTINUATION_WORDS
"""Words of an item: a document needs SHORTEST_CLOZE of them; its context is all but the last
CONTINUATION_WORDS of its first CONTEXT_WORDS + CONTINUATION_WORDS words. Of a document that is too short in words
and written in a script without blanks, CHARACTERS_A_WORD characters each (white space not counted) count as a word."""

CHOICES = 4
ZERO_WIDTH_JOINER = "\u200d"


def byte_length(text: str) -> int:
    return len(text.encode())


def split_words(text: str, length: Callable[[str], int] = byte_length) -> tuple[str, str] | None:
    """(context, continuation) of an item, or None if the document is too short, or the
    continuation too long for a model of short sequences (CONTINUATION_LENGTH, as `length` measures it).

    Both keep the document's white space inside and none at their ends.
    """
    return _cut(text, word_ends(text, CONTEXT_WORDS + CONTINUATION_WORDS), CONTINUATION_WORDS, length)


def split_characters(text: str, length: Callable[[str], int] = byte_length) -> tuple[str, str] | None:
    """The same of a document in a script without blanks, by characters; a character keeps its marks.

    None for documents in other scripts, too.
    """
    if not without_blanks(text):
        return None
    ends = character_ends(text, CHARACTERS_A_WORD * (CONTEXT_WORDS + CONTINUATION_WORDS))
    return _cut(text, ends, CHARACTERS_A_WORD * CONTINUATION_WORDS, length)


def character_ends(text: str, most: int) -> list[int]:
    """Where each of the first `most` characters but white space ends, with the marks that belong to it."""
    ends: list[int] = []
    first = 0
    for place, character in enumerate(text):
        mark = unicodedata.category(character)[0] == "M" or character == ZERO_WIDTH_JOINER
        if mark and ends and ends[-1] == place:
            ends[first:] = [place + 1] * (len(ends) - first + 1)
        elif len(ends) >= most:
            break
        elif not character.isspace():
            first = len(ends)
            ends.append(place + 1)
    return ends


def _cut(text: str, ends: list[int], last: int, length: Callable[[str], int]) -> tuple[str, str] | None:
    """(context, continuation) of `last` units of a text whose first units end at `ends`; None as of `split_words`."""
    if len(ends) < 2 * last:
        return None
    cut = ends[len(ends) - last - 1]
    continuation = text[cut : ends[-1]].strip()
    if length(continuation) > CONTINUATION_LENGTH:
        return None
    return text[:cut].strip(), continuation


def word_ends(text: str, most: int) -> list[int]:
    """Where each of the first `most` words ends; words are separated by white space."""
    return [match.end() for match in itertools.islice(re.finditer(r"\S+", text), most)]


def _pairs(texts: list[str]) -> tuple[dict[int, tuple[str, str]], np.ndarray]:
    """(context, continuation) of the documents that give an item, by place; and which documents are cut by words, bool.

    Continuations have at most 100 bytes; 100 characters where that leaves too few (most scripts take two or three bytes
    a character). Documents of a sort (cut by words or by characters) with fewer than CHOICES different continuations
    give no items. Raises InputError if too few documents are long enough.
    """
    for length in (byte_length, len):
        by_words = [split_words(text, length) for text in texts]
        cut = [pair or split_characters(text, length) for pair, text in zip(by_words, texts, strict=True)]
        pairs = {i: pair for i, pair in enumerate(cut) if pair is not None}
        sort = np.array([pair is not None for pair in by_words], dtype=bool)
        different = {s: len({pair[1] for i, pair in pairs.items() if sort[i] == s}) for s in (True, False)}
        if max(different.values()) >= CHOICES:
            return {i: pair for i, pair in pairs.items() if different[bool(sort[i])] >= CHOICES}, sort
    raise InputError(
        f"cloze: {len(pairs)} held-out documents have the {SHORTEST_CLOZE} words an item needs (in a script without "
        f"blanks, {CHARACTERS_A_WORD * SHORTEST_CLOZE} characters), and at least {CHOICES} with different "
        "continuations are needed; hold out more documents"
    )


def make(held: HeldOut, items: int, seed: int) -> dict[str, list[Any]]:
    """Items of at most `items` documents: the true continuation among CHOICES, the false ones from other documents, of
    the same group as far as it has enough different ones.

    The documents of a group form a circle ordered by their keys; an item takes the continuations that
    follow its own. The place of the true one is the lowest bits of the key. Documents cut by characters
    (`split_characters`) and those cut by words take no continuations from each other, which would be told apart by
    their script alone.
    """
    pairs, sort = _pairs(held.text)
    eligible = np.array(list(pairs), dtype=np.int64)
    key = keys("benchmark", seed, held.doc)
    circles: dict[tuple[bool, str | None], list[int]] = {}
    all_of_sort: dict[bool, list[int]] = {True: [], False: []}
    place: dict[int, int] = {}
    place_in_all: dict[int, int] = {}
    for i in eligible[np.argsort(key[eligible], kind="stable")].tolist():
        members = circles.setdefault((bool(sort[i]), held.group[i]), [])
        place[i], place_in_all[i] = len(members), len(all_of_sort[bool(sort[i])])
        members.append(i)
        all_of_sort[bool(sort[i])].append(i)
    rows: dict[str, list[Any]] = {name: [] for name in ("item", "group", "context", "choices", "label")}
    for i in eligible[choose(held.doc[eligible], items, seed)].tolist():
        context, true = pairs[i]
        same_group = circles[bool(sort[i]), held.group[i]]
        false: list[str] = []
        for members, start in ((same_group, place[i]), (all_of_sort[bool(sort[i])], place_in_all[i])):
            for step in range(1, len(members)):
                if len(false) == CHOICES - 1:
                    break
                other = pairs[members[(start + step) % len(members)]][1]
                if other != true and other not in false:
                    false.append(other)
        label = int(key[i] % np.uint64(CHOICES))
        rows["item"].append(int(held.doc[i]))
        rows["group"].append(held.group[i])
        rows["context"].append(context)
        rows["choices"].append([*false[:label], true, *false[label:]])
        rows["label"].append(label)
    return rows
