"""Documents that answer the same or a similar prompt: groups of documents, found in one pass in bounded memory.

In: texts, with the words, the features and the text of their prompts, as far as a corpus has them. Out: `Members` of groups, the same for any number and order of shards. A group is identified by 64 bits of BLAKE2b
of what its documents share. What they share (`KINDS`, from the most to the least alike):
- same-words: the same set of words and, if the corpus has them, of features;
- same-prompt: the same text of the prompt;
- two-words: two of the words (a document is then in several groups);
- features: the same set of features;
- opening: the first words of the text (which the measures of texts then leave out);
- cluster: the cluster, if assignments are at hand.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.keys import keys
from winnow.profile.counts import entries
from winnow.scripts import WORD, part

KINDS = ("same-words", "same-prompt", "two-words", "features", "opening", "cluster")
SHARED = {
    "same-words": "the same words and features of the prompt",
    "same-prompt": "the same prompt",
    "two-words": "two words of the prompt",
    "features": "the same features of the prompt",
    "opening": "the first words of the text",
    "cluster": "the cluster",
}
GROUPS = 1 << 18
"""Groups of a kind that are kept at most; beyond it, those with the smallest keys (half of all, a quarter, ...)."""
BUFFER = 1 << 20
"""Members that wait for being merged."""
MOST_WORDS = 8
"""Words of a prompt, in alphabetical order, that pairs are made of."""
START = 600
"""Characters of a text that its opening is looked for in."""
Identity = tuple[str, ...]


def terms(column: pa.Array) -> list[tuple[str, ...]]:
    """The entries of each row of a column of words or features (winnow.profile.counts.entries): each once, in
    alphabetical order. Raises InputError as `entries` does."""
    listed = entries(column)
    of_rows: list[set[str]] = [set() for _ in range(len(column))]
    for row, place in zip(listed.row.tolist(), listed.place.tolist(), strict=True):
        of_rows[row].add(listed.names[place])
    return [tuple(sorted(names)) for names in of_rows]


def opening(text: str, words: int) -> tuple[Identity, int] | None:
    """(the first words of a text in lower case, without punctuation; place of the character behind them); None if the
    text has fewer, or nothing behind them. A character of a script without spaces is a word."""
    out = []
    for match in WORD.finditer(text[:START].lower()):
        pieces = part(match.group()).split()
        for place, piece in enumerate(pieces):
            out.append(piece)
            if len(out) == words:
                end = match.end() if place == len(pieces) - 1 else match.start() + place + 1
                return (tuple(out), end) if re.search(r"\w", text[end : end + START]) else None
    return None


def identities(kind: str, row: dict[str, Any], opening_words: int) -> Iterator[Identity]:
    """What a document shares with others of its groups of a kind: none, one or several. `row`: text, and those of words
    and features (see `terms`), prompt and cluster that the corpus has."""
    if kind in ("same-words", "two-words"):
        words = row.get("words", ())
        if kind == "two-words":
            yield from itertools.combinations(words[:MOST_WORDS], 2)
        elif words:
            yield (*words, *(f"+{feature}" for feature in row.get("features", ())))
    elif kind == "features":
        if features := row.get("features"):
            yield features
    elif kind == "same-prompt":
        if prompt := " ".join(str(row.get("prompt") or "").lower().split()):
            yield (prompt,)
    elif kind == "opening":
        if start := opening(row["text"], opening_words):
            yield start[0]
    elif row.get("cluster") is not None:
        yield (str(row["cluster"]),)


def number(identity: Identity) -> int:
    """The 64 bits that stand for a group."""
    digest = blake2b("\x1f".join(identity).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def label(kind: str, identity: Identity) -> str:
    """A group's name in tables: what its documents share, in at most 80 characters."""
    text = " ".join(identity) if kind in ("opening", "same-prompt") else ", ".join(identity)
    return text if len(text) <= 80 else text[:77] + "..."


class Members:
    """Of each group of a kind: how many documents it has, and the `most` of them with the smallest keys.

    Groups beyond GROUPS are thinned by their keys: `share` of all is kept. What is kept depends on the documents alone,
    not on their order or on when they were added. Arrays, after `finish`: `group` uint64, `doc` int64 (one row a member
    that is kept, sorted by group, then key), `count` int64 [groups], `start` int64 [groups + 1].
    """

    def __init__(self, most: int, seed: int):
        self.most, self.seed, self.halvings = most, seed, 0
        self.rows = [(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))]
        self.waiting = 0

    @property
    def share(self) -> float:
        return 0.5**self.halvings

    def key(self, group: np.ndarray) -> np.ndarray:
        """Random order of groups, uint64."""
        return keys("creativity", self.seed, group)

    def add(self, group: Sequence[int], doc: Sequence[int]) -> None:
        """Adds members: numbers of their groups and documents, in any order, each pair once."""
        groups = np.array(group, dtype=np.uint64)
        kept = self._in_share(groups)
        self.rows.append(
            (groups[kept], np.array(doc, dtype=np.int64)[kept], np.ones(int(kept.sum()), np.int64))
        )
        self.waiting += int(kept.sum())
        if self.waiting > BUFFER:
            self._merge()

    def _in_share(self, group: np.ndarray) -> np.ndarray:
        if not self.halvings:
            return np.ones(len(group), dtype=bool)
        return self.key(group) < np.uint64(2 ** (64 - self.halvings))

    def _merge(self) -> None:
        group, doc, weight = (np.concatenate(column) for column in zip(*self.rows, strict=True))
        order = np.lexsort((keys("creativity", self.seed, doc), group))
        group, doc, weight = group[order], doc[order], weight[order]
        while True:
            first = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]])[: len(group)])
            if len(first) <= GROUPS:
                break
            self.halvings += 1
            kept = self._in_share(group)
            group, doc, weight = group[kept], doc[kept], weight[kept]
        if len(group):
            sizes = np.diff([*first, len(group)])
            total = np.add.reduceat(weight, first)
            weight = np.zeros(len(group), np.int64)
            weight[first] = total
            kept = np.arange(len(group)) - np.repeat(first, sizes) < self.most
            group, doc, weight = group[kept], doc[kept], weight[kept]
        self.rows, self.waiting = [(group, doc, weight)], 0

    def finish(self) -> None:
        self._merge()
        self.group, self.doc, weight = self.rows[0]
        first = np.concatenate([[True], self.group[1:] != self.group[:-1]])[: len(self.group)]
        self.start = np.concatenate([np.flatnonzero(first), [len(self.group)]]).astype(np.int64)
        self.count = weight[first]

    def chosen(self, documents: int, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(numbers uint64 [g], documents in the group int64 [g], members int64 [g, documents]) of at most `groups`
        groups of at least `documents`, those with the smallest keys, in the order of their keys."""
        at = np.flatnonzero(self.count >= documents)
        number_of = self.group[self.start[at]]
        at = at[np.argsort(self.key(number_of), kind="stable")][:groups]
        members = self.start[at][:, None] + np.arange(documents)
        return self.group[self.start[at]], self.count[at], self.doc[members].reshape(len(at), documents)
