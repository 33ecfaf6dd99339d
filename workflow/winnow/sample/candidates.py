"""Candidates of a draw: batches of documents in; for each cluster the documents that come first out.

Memory is twice what is kept, whatever the number of documents; the result depends on no shard, worker or order of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from winnow.keys import keys
from winnow.stage import InputError

STAGE_VERSION = 4
BUFFER = 1 << 20  # documents that wait for a merge, at least


@dataclass
class Candidates:
    """Documents that may be drawn, ordered by cluster, then by (value, key).

    `cluster`, index of the row in the cluster table, int32 [n]; `value` float64 [n], smaller comes first
    (None: random order); `key` uint64 [n]; `doc` int64 [n]; `length` int64 [n] (None: 1 each).
    For each of k clusters: `pool`, documents seen, int64 [k]; `ties`, documents beyond the candidates
    whose value equals that of the last candidate, int64 [k].
    """

    cluster: np.ndarray
    value: np.ndarray | None
    key: np.ndarray
    doc: np.ndarray
    length: np.ndarray | None
    pool: np.ndarray
    ties: np.ndarray

    def rank(self) -> np.ndarray:
        """Position inside the cluster, from 0, int64 [n]."""
        return np.arange(len(self.cluster)) - np.searchsorted(self.cluster, self.cluster)

    def smallest_key(self) -> np.ndarray:
        """Smallest draw key among the candidates of each cluster, uint64 [k]; breaks ties of clusters."""
        smallest = np.full(len(self.pool), np.iinfo(np.uint64).max)
        np.minimum.at(smallest, self.cluster, self.key)
        return smallest


@dataclass
class Rows:
    """Documents of the pool, a batch of them: arrays of equal length, as in `Candidates`."""

    cluster: np.ndarray
    doc: np.ndarray
    value: np.ndarray | None = None
    length: np.ndarray | None = None


class Smallest:
    """Keeps, for each cluster, the first documents by (value, key) until their lengths reach its cap.

    `caps` float64 [k]: with lengths of 1, how many documents to keep. Batches may come in any order and of
    any size: the result is the same. Memory: twice what is kept, or BUFFER rows.
    """

    def __init__(self, caps: np.ndarray, seed: int, buffer: int = BUFFER, purpose: str = "draw"):
        k = len(caps)
        self.purpose = purpose
        self.caps, self.seed, self.buffer = caps, seed, buffer
        self.last_value = np.where(caps > 0, np.inf, -np.inf)
        self.last_key = np.where(caps > 0, np.iinfo(np.uint64).max, np.uint64(0))
        self.pool = np.zeros(k, dtype=np.int64)
        self.ties = np.zeros(k, dtype=np.int64)
        self.rows: list[tuple[Rows, np.ndarray]] = []
        self.waiting = self.kept = 0

    def add(self, rows: Rows) -> None:
        """Adds a batch; a document past the last candidate of its cluster is dropped at once."""
        c, key = rows.cluster, keys(self.purpose, self.seed, rows.doc)
        self.pool += np.bincount(c, minlength=len(self.pool))
        keep = key <= self.last_key[c]
        if rows.value is not None:
            last = self.last_value[c]
            equal = rows.value == last
            keep = (rows.value < last) | (equal & keep)
            self.ties += np.bincount(c[equal & ~keep], minlength=len(self.ties))
        keep = np.flatnonzero(keep)
        if not len(keep):
            return
        value = None if rows.value is None else rows.value[keep]
        length = None if rows.length is None else rows.length[keep]
        self.rows.append((Rows(c[keep], rows.doc[keep], value, length), key[keep]))
        self.waiting += len(keep)
        if self.waiting > max(self.buffer, self.kept):
            self._merge()

    def finish(self) -> Candidates:
        """The candidates. Raises InputError for a duplicate document."""
        rows, key = self._merge()
        return Candidates(rows.cluster, rows.value, key, rows.doc, rows.length, self.pool, self.ties)

    def _merge(self) -> tuple[Rows, np.ndarray]:
        if not self.rows:
            nothing = np.zeros(0, dtype=np.int64)
            return Rows(nothing.astype(np.int32), nothing), nothing.astype(np.uint64)
        parts = [rows for rows, _ in self.rows]
        c = np.concatenate([p.cluster for p in parts])
        key = np.concatenate([k for _, k in self.rows])
        doc = np.concatenate([p.doc for p in parts])
        value = _concatenate([p.value for p in parts])
        length = _concatenate([p.length for p in parts])
        order = np.lexsort((key, c) if value is None else (key, value, c))
        c, key, doc = c[order], key[order], doc[order]
        value = None if value is None else value[order]
        length = None if length is None else length[order]
        twice = (key[1:] == key[:-1]) & (c[1:] == c[:-1])
        if twice.any():
            raise duplicate(doc[1:][twice][0])
        first = np.searchsorted(c, np.arange(len(self.caps) + 1))
        if length is None:
            before = np.arange(len(c)) - first[c]
            upto = before + 1
        else:
            total = np.cumsum(length)
            start = np.concatenate(([0], total))[first[c]]
            upto = total - start
            before = upto - length
        keep = before < self.caps[c]
        full = np.flatnonzero(keep & (upto >= self.caps[c]))
        if value is not None:
            lower = value[full] < self.last_value[c[full]]
            self.ties[c[full[lower]]] = 0
            self.last_value[c[full]] = value[full]
            tied = ~keep & (value == self.last_value[c])
            self.ties += np.bincount(c[tied], minlength=len(self.ties))
        self.last_key[c[full]] = key[full]
        kept = Rows(
            c[keep],
            doc[keep],
            None if value is None else value[keep],
            None if length is None else length[keep],
        )
        self.rows, self.kept, self.waiting = [(kept, key[keep])], int(keep.sum()), 0
        return self.rows[0]


def duplicate(doc: int) -> InputError:
    """The error for a document that the shards hold more than once."""
    return InputError(f"document {doc} is in more than one row of the shards; each must be in one")


def _concatenate(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    arrays = [p for p in parts if p is not None]
    return np.concatenate(arrays) if arrays else None


def gather(stream: Iterable[Rows], caps: np.ndarray, seed: int, purpose: str = "draw") -> Candidates:
    """The candidates of a stream of batches; `caps`, `seed` and `purpose` as in `Smallest`."""
    smallest = Smallest(np.asarray(caps, dtype=np.float64), seed, purpose=purpose)
    for rows in stream:
        smallest.add(rows)
    return smallest.finish()
