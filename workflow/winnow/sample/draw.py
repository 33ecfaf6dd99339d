"""Which documents a sampler draws: ids, clusters, distances, lengths and scores in; ids, split and inclusion
probability out, and the facts of the pool that they come from. No model and no text.

A cluster gives the documents that come first in the order of the ranking; random order is a hashed key
(`winnow.keys`), so the draw depends on no shard, worker or order of files, and for fixed weights a smaller
draw is a subset of a larger one. One pass over the shards keeps a few candidates a cluster: memory is
O(budget + clusters). Published samplers' counts come from `winnow.sample.allocate`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.keys import keys, uniform
from winnow.parquet import Lookup, Where, batches, open_parquet
from winnow.sample.allocate import (
    SHARES,
    ClusterTable,
    Sampler,
    allocate,
    clusters_from_table,
    parse_sampler,
    read_clusters,
    webster,
    weights,
)
from winnow.sample.consumed import consumed, total
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, run, say, write_json

STAGE_VERSION = 4
# Why a document is not in the pool; of several reasons the first one counts.
KINDS = ("heldout", "duplicates", "clusters", "contaminated", "used", "trained", "where", "near-duplicates")
SPLITS = ("train", "validation", "test")
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

    `caps` float64 [k]: with lengths of 1, how many documents to keep. Rows may arrive in any order and
    cut: the result is the same. Memory: twice what is kept, or BUFFER rows.
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
        """Takes in a batch; a document past its cluster's last candidate is let go at once."""
        c, key = rows.cluster, keys(self.purpose, self.seed, rows.doc)
        self.pool += np.bincount(c, minlength=len(self.pool))
        keep = key <= self.last_key[c]
        if rows.value is not None:
            at = self.last_value[c]
            level = rows.value == at
            keep = (rows.value < at) | (level & keep)
            self.ties += np.bincount(c[level & ~keep], minlength=len(self.ties))
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
        """The candidates. Raises InputError if a document came twice."""
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
            raise InputError(f"document {doc[1:][twice][0]} stands in more than one row of the shards")
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
            out = ~keep
            self.ties += np.bincount(c[out & (value == self.last_value[c])], minlength=len(self.ties))
        self.last_key[c[full]] = key[full]
        kept = Rows(
            c[keep],
            doc[keep],
            None if value is None else value[keep],
            None if length is None else length[keep],
        )
        self.rows, self.kept, self.waiting = [(kept, key[keep])], int(keep.sum()), 0
        return self.rows[0]


def _concatenate(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    arrays = [p for p in parts if p is not None]
    return np.concatenate(arrays) if arrays else None


def gather(stream: Iterable[Rows], caps: np.ndarray, seed: int, purpose: str = "draw") -> Candidates:
    """The candidates of all batches of a stream."""
    smallest = Smallest(np.asarray(caps, dtype=np.float64), seed, purpose=purpose)
    for rows in stream:
        smallest.add(rows)
    return smallest.finish()


def choose_documents(candidates: Candidates, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first `given` int64 [k] candidates of each cluster.

    Returns their positions int64 [n] and inclusion probabilities float64 [n]. Over draw keys, a random
    order takes each of a cluster's documents with probability given / pool. A ranking by value takes
    those before the last value surely, and of those that share it as many as there is room for.
    """
    rank = candidates.rank()
    chosen = np.flatnonzero(rank < given[candidates.cluster])
    c = candidates.cluster[chosen]
    if candidates.value is None:
        return chosen, given[c] / candidates.pool[c]
    last = np.full(len(given), -np.inf)
    np.maximum.at(last, c, candidates.value[chosen])
    end = np.full(len(given), -np.inf)
    np.maximum.at(end, candidates.cluster, candidates.value)
    level = candidates.value == last[candidates.cluster]
    sharing = np.bincount(candidates.cluster[level], minlength=len(given))
    sharing = sharing + np.where(end == last, candidates.ties, 0)
    at_last = candidates.value[chosen] == last[c]
    room = np.bincount(c[at_last], minlength=len(given))
    return chosen, np.where(at_last, room[c] / np.maximum(sharing[c], 1), 1.0)


def weighted_value(doc: np.ndarray, log_weight: np.ndarray, seed: int) -> np.ndarray:
    """log(-log(1 - u) / w) of documents, float64 [n]: the n smallest are a draw without replacement by weight.

    The order is that of Gumbel top-k (Efraimidis and Spirakis 2006; Kool et al. 2019), in logarithms, so that
    weights of any magnitude (a log ratio of a long document) neither overflow nor vanish.
    """
    # log1p(-u), not log(u): equal weights then draw the smallest keys, as a random ranking does.
    return np.log(-np.log1p(-uniform("draw", seed, doc))) - log_weight


def weighted_probability(
    candidates: Candidates, chosen: np.ndarray, given: np.ndarray, seed: int
) -> np.ndarray:
    """Inclusion probability 1 - exp(-w tau) of the chosen candidates, float64 [n]; tau is the first -log(1 - u)/w
    that the cluster left out (bottom-k sketches, Cohen and Kaplan 2007), so sums over subsets are unbiased."""
    assert candidates.value is not None
    tau = np.full(len(given), np.inf)
    left_out = np.flatnonzero(candidates.rank() == given[candidates.cluster])
    tau[candidates.cluster[left_out]] = candidates.value[left_out]
    minus_log = -np.log1p(-uniform("draw", seed, candidates.doc[chosen]))
    with np.errstate(over="ignore"):
        return -np.expm1(-minus_log * np.exp(tau[candidates.cluster[chosen]] - candidates.value[chosen]))


def bucket_quotas(sizes: np.ndarray, quota: int, shares: dict[str, float]) -> tuple[np.ndarray, int]:
    """How a cluster's quota is spread over its buckets by the parts `proportional` and `diverse`.

    `sizes` int64 [b], documents of each bucket; `quota` at most their sum. The parts are Webster roundings:
    of the quota by the shares, of a part over the buckets (by size; the same for all), full buckets giving
    way to others. Returns int64 [b], and the size of the part `random`, which adds up to the quota.
    """
    part = webster(np.array([shares.get(s, 0.0) for s in SHARES]), np.full(len(SHARES), quota), quota)
    amount = dict(zip(SHARES, part.tolist(), strict=True))
    mine = webster(sizes.astype(np.float64), sizes, amount["proportional"])
    mine = mine + webster((sizes > mine).astype(np.float64), sizes - mine, amount["diverse"])
    return mine, amount["random"]


def choose_mixture(
    candidates: Candidates, given: np.ndarray, scores: Lookup, oversample: float, top: float
) -> np.ndarray:
    """Of the first ceil(oversample x given) candidates of each cluster, the round(top x given) with the
    highest scores and the lowest of the rest. Returns positions int64 [n].

    A quota that rounding cannot fill because the cluster is small is filled as far as it goes.
    """
    size = mixture_sizes(candidates, given, oversample)
    sample = np.flatnonzero(candidates.rank() < size[candidates.cluster])
    c = candidates.cluster[sample]
    by_doc = np.argsort(candidates.doc[sample])
    score = np.empty(len(sample))
    score[by_doc] = scores(candidates.doc[sample][by_doc])
    order = np.lexsort((candidates.key[sample], -score, c))
    rank = np.arange(len(c)) - np.searchsorted(c, c)  # c is sorted; so is c[order]
    high = np.rint(top * given).astype(np.int64)
    take = (rank < high[c]) | (rank >= (size - (given - high))[c])
    return np.sort(sample[order[take]])


def mixture_sizes(candidates: Candidates, given: np.ndarray, oversample: float) -> np.ndarray:
    """Documents of each cluster among which a mixture chooses: int64 [k]."""
    return np.minimum(np.ceil(np.round(oversample * given, 6)).astype(np.int64), candidates.pool)


def mixture_probability(
    candidates: Candidates, chosen: np.ndarray, given: np.ndarray, scores: Lookup, oversample: float, top: float,
    pool: Iterable[Rows],
) -> np.ndarray:  # fmt: skip
    """Inclusion probability of the documents that `choose_mixture` chose, float64 [n]; one more pass over the pool.

    A document is in the random draw of m of the cluster's N with probability m / N; then the higher ones drawn
    with it, of r in the cluster, are hypergeometric (m - 1 of N - 1, r among them), and it is chosen if fewer than the
    top's places, or at least all but the bottom's. Equal scores count half as higher.
    """
    from scipy.stats import hypergeom

    doc, cluster = candidates.doc[chosen], candidates.cluster[chosen]
    by_doc = np.argsort(doc)
    score = np.empty(len(doc))
    score[by_doc] = scores(doc[by_doc])
    order = np.lexsort((score, cluster))
    mine = np.split(score[order], np.searchsorted(cluster[order], np.arange(1, len(given))))
    below = [np.zeros(2 * len(part) + 1, dtype=np.int64) for part in mine]  # rows up to, and at, each score
    for rows in pool:
        value = scores(rows.doc)
        for c in np.unique(rows.cluster):
            here = value[rows.cluster == c]
            place = np.searchsorted(mine[c], here) + np.searchsorted(mine[c], here, "right")
            below[c] += np.bincount(place, minlength=len(below[c]))
    size, high = mixture_sizes(candidates, given, oversample), np.rint(top * given).astype(np.int64)
    found = np.empty(len(doc))
    start = 0
    for c, part in enumerate(mine):
        left, right = np.searchsorted(part, part), np.searchsorted(part, part, "right")
        at_most = np.cumsum(below[c])
        equal = at_most[left + right] - np.where(left + right > 0, at_most[left + right - 1], 0)
        above = at_most[-1] - at_most[left + right] + (equal - 1) // 2
        total, m = int(at_most[-1]), int(size[c])
        drawn = hypergeom(total - 1, np.maximum(above, 0), m - 1)
        share = drawn.cdf(high[c] - 1) + drawn.sf(m - (given[c] - high[c]) - 1)
        found[order[start : start + len(part)]] = np.minimum(1.0, share * m / total)
        start += len(part)
    return found


def choose_tokens(
    candidates: Candidates, weight: np.ndarray, budget: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Candidates up to a budget of tokens: Webster's method with documents of any length.

    With c the tokens of a cluster up to and including a document of length l, the documents are taken in
    ascending order of (c - l/2) / weight (for lengths of 1 that is the divisor method), as long as they
    fit: at most the budget, and short of it by less than the next document. A larger budget takes more
    of the same order, so draws are nested and monotone; a full cluster's share goes to the others.

    Returns positions int64 [n] and inclusion probabilities float64 [n] (random order: drawn over pool, of
    the cluster), or None if the candidates end too early to know.
    """
    assert candidates.length is not None
    c, length = candidates.cluster, candidates.length
    first = np.searchsorted(c, np.arange(len(weight) + 1))
    total = np.cumsum(length)
    upto = total - np.concatenate(([0], total))[first[c]]
    priority = (upto - length / 2) / weight[c]
    tie = candidates.smallest_key()
    order = np.lexsort((candidates.rank(), tie[c], priority))
    taken = int(np.searchsorted(np.cumsum(length[order]), budget, side="right"))
    held = np.diff(first)
    cut = np.flatnonzero((held < candidates.pool) & (weight > 0))
    horizon = min((priority[first[i + 1] - 1] if held[i] else -np.inf for i in cut), default=np.inf)
    stop = priority[order[taken]] if taken < len(order) else np.inf
    if len(cut) and stop >= horizon:
        return None
    chosen = np.sort(order[:taken])
    drawn = np.bincount(c[chosen], minlength=len(weight))
    if candidates.value is not None:
        return chosen, np.ones(len(chosen))
    return chosen, drawn[c[chosen]] / candidates.pool[c[chosen]]


def level(weight: np.ndarray, capacity: np.ndarray, budget: float) -> float:
    """The number x for which the sum of min(capacity, x weight) is the budget (at most the capacity)."""
    open_ = (weight > 0) & (capacity > 0)
    w, c = weight[open_].astype(np.float64), capacity[open_].astype(np.float64)
    order = np.argsort(c / w)
    w, c = w[order], c[order]
    full = np.concatenate(([0.0], np.cumsum(c)[:-1]))
    rest = np.cumsum(w[::-1])[::-1]
    x = (budget - full) / rest
    return float(x[np.argmax(x <= c / w)]) if (x <= c / w).any() else float((c / w)[-1])


def split_documents(
    doc: np.ndarray, seed: int, validation: int, test: int, length: np.ndarray | None = None
) -> np.ndarray:
    """Index into SPLITS for each drawn document, int8 [n]: the smallest keys of the purpose `split` are the
    test split, the next ones validation, all others train.

    Sizes count documents, or, with `length` int64 [n], tokens: a split takes documents as long as they fit.
    Raises InputError if nothing is left for train.
    """
    order = np.argsort(keys("split", seed, doc))
    total = np.cumsum(np.ones(len(doc), dtype=np.int64) if length is None else length[order])

    def end(start: int, size: int) -> int:
        used = int(total[start - 1]) if start else 0
        return int(np.searchsorted(total, used + size, side="right")) if size else start

    first = end(0, test)
    last = end(first, validation)
    if last >= len(doc):
        raise InputError(
            f"budget: the draw has {len(doc):,} documents; validation and test leave none for train"
        )
    split = np.zeros(len(doc), dtype=np.int8)
    split[order[:first]] = SPLITS.index("test")
    split[order[first:last]] = SPLITS.index("validation")
    return split


class Pool:
    """The documents that a sampler may draw, streamed from shards: not held out, in a kept cluster, not filtered out.

    `paths` hold doc (and cluster, for `clusters`; and distance, for a ranking by it). `clusters`, the kept ones: all
    that is in them is one pool for the weight `none`. `left_out`: documents out of the pool by kind, int64, ascending.
    A value that is to come out largest first is negated. Can be iterated over and over; `excluded`, by kind, and
    `documents` count the last pass.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        clusters: ClusterTable | None,
        every_cluster: np.ndarray,
        heldout: np.ndarray,
        sampler: Sampler,
        scores: Lookup | None,
        lengths: Lookup | None,
        seed: int = 0,
        left_out: Mapping[str, np.ndarray] | None = None,
        where: Where | None = None,
        near: Lookup | None = None,
    ):
        self.paths, self.clusters, self.heldout = paths, clusters, heldout
        self.scores, self.lengths, self.seed = scores, lengths, seed
        self.left_out, self.where, self.near = dict(left_out or {}), where, near
        self.limit = 1 - sampler.semdedup["eps"] if sampler.semdedup else 1.0
        self.filtered = bool(self.left_out) or where is not None or near is not None
        self.one = clusters is None or sampler.weight == "none"
        self.seen = np.zeros(1 if clusters is None or self.one else len(clusters.cluster), dtype=np.int64)
        self.excluded: dict[str, int] = {}
        self.documents = 0
        self.weighted = sampler.by == "weighted"
        self.linear = sampler.scale == "linear"
        self.by_distance = sampler.by in ("nearest", "farthest")
        self.sign = -1.0 if sampler.by == "farthest" or sampler.order == "descending" else 1.0
        self.ids = np.sort(every_cluster)
        self.row = np.full(len(self.ids), -1, dtype=np.int32)
        if clusters is not None:
            kept = np.searchsorted(self.ids, clusters.cluster)
            self.row[kept] = 0 if self.one else np.arange(len(kept))
        self.direct = len(self.ids) > 0 and int(self.ids[-1]) - int(self.ids[0]) < 1 << 20
        if self.direct:
            self.low = int(self.ids[0])
            self.table = np.full(int(self.ids[-1]) - self.low + 1, -2, dtype=np.int32)
            self.table[self.ids - self.low] = self.row

    def __iter__(self) -> Iterator[Rows]:
        names = ["doc"]
        if self.clusters is not None:
            names.append("cluster")
        if self.by_distance:
            names.append("distance")
        progress = Progress("sample", len(self.paths), "shards")
        self.seen[:] = self.documents = 0
        self.excluded = dict.fromkeys(KINDS, 0)
        for path in self.paths:
            for doc, *rest in batches(path, names):
                if len(doc):
                    rows = self._rows(path, doc.astype(np.int64, copy=False), rest)
                    self.documents += len(rows.doc)
                    yield rows
            progress.add(1)
        progress.line()

    def _rows(self, path: Path, doc: np.ndarray, rest: list[np.ndarray]) -> Rows:
        row = np.zeros(len(doc), dtype=np.int32) if self.clusters is None else self._index(rest[0], path)
        keep = self._not_heldout(doc)
        if keep is not None:
            self.excluded["heldout"] += int(len(keep) - keep.sum())
        if self.clusters is not None:
            inside = len(doc) if keep is None else int(keep.sum())
            keep = row >= 0 if keep is None else keep & (row >= 0)
            self.excluded["clusters"] += inside - int(keep.sum())
        if keep is not None:
            if keep.all():
                keep = None
            else:
                doc, row = doc[keep], row[keep]
        distance = rest[1] if self.by_distance else None
        if distance is not None and keep is not None:
            distance = distance[keep]
        self.seen += np.bincount(row, minlength=len(self.seen))
        if self.filtered:
            left = self._left(doc)
            doc, row = doc[left], row[left]
            distance = None if distance is None else distance[left]
        value = None
        if distance is not None:
            value = distance.astype(np.float64)
            if not np.isfinite(value).all():
                raise InputError(
                    f"{path}: the distance of document {doc[~np.isfinite(value)][0]} is not finite"
                )
        elif self.scores is not None:
            value = self.scores(doc)
            if self.weighted:
                value = weighted_value(doc, self._log_weight(doc, value), self.seed)
        if value is not None:
            value = self.sign * value + 0.0  # no -0.0
        length = None
        if self.lengths is not None:
            tokens = self.lengths(doc)
            if ((tokens < 0) | (tokens != np.floor(tokens))).any():
                raise InputError(f"column {self.lengths.column!r}: lengths must be whole numbers >= 0")
            length = tokens.astype(np.int64)
        return Rows(row, doc, value, length)

    def _left(self, doc: np.ndarray) -> np.ndarray:
        """Positions of the documents that pass the filters."""
        keep = np.ones(len(doc), dtype=bool)

        def sift(kind: str, passes: Callable[[np.ndarray], np.ndarray]) -> None:
            found = passes(doc[keep])
            self.excluded[kind] += int(len(found) - found.sum())
            keep[keep] = found

        for kind, out in self.left_out.items():
            sift(kind, partial(np.isin, test_elements=out, invert=True))
        if (where := self.where) is not None:
            sift("where", lambda d: where(d) > 0)
        if (near := self.near) is not None:
            sift("near-duplicates", lambda d: near(d) <= self.limit)
        return np.flatnonzero(keep)

    def _log_weight(self, doc: np.ndarray, score: np.ndarray) -> np.ndarray:
        if not self.linear:
            return score
        if (score < 0).any():
            raise InputError(f"the weight of document {doc[score < 0][0]} is {score[score < 0][0]:g}; "
                             "0 or more is wanted")  # fmt: skip
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(score), -1e300)

    def count(self) -> tuple[ClusterTable | None, np.ndarray]:
        """A pass that counts what the filters leave: the cluster table with those numbers of documents (None
        without clusters), and the smallest draw key of each cluster, uint64 [k].

        Distances stay those of the whole cluster. Raises InputError for a table of other assignments.
        """
        k = len(self.seen)
        left = np.zeros(k, dtype=np.int64)
        smallest = np.full(k, np.iinfo(np.uint64).max)
        for rows in self:
            left += np.bincount(rows.cluster, minlength=k)
            np.minimum.at(smallest, rows.cluster, keys("draw", self.seed, rows.doc))
        if self.filtered:
            say(f"[sample] the filters leave {left.sum():,} of {self.seen.sum():,} documents")
        if self.clusters is None:
            return None, smallest
        _check_pool(self.seen, self.clusters)
        return replace(self.clusters, documents=left), smallest

    def _index(self, cluster: np.ndarray, path: Path) -> np.ndarray:
        """Row of the cluster table; -1 for a cluster that gives nothing."""
        if self.direct:
            shifted = cluster.astype(np.int64) - self.low
            if shifted.min() >= 0 and shifted.max() < len(self.table):
                row = self.table[shifted]
            else:
                inside = (shifted >= 0) & (shifted < len(self.table))
                row = np.where(inside, self.table[np.clip(shifted, 0, len(self.table) - 1)], -2)
        else:
            at = np.minimum(np.searchsorted(self.ids, cluster), len(self.ids) - 1)
            row = np.where(self.ids[at] == cluster, self.row[at], -2)
        if row.min() < -1:
            strange = cluster[row < -1][0]
            raise InputError(f"{path}: cluster {strange} is not in {self.clusters.source}; "  # type: ignore[union-attr]
                             "they are of different clusterings")  # fmt: skip
        return row

    def _not_heldout(self, doc: np.ndarray) -> np.ndarray | None:
        """Mask of the documents that are not held out; None if all of them are not."""
        low, high = np.searchsorted(self.heldout, (doc.min(), doc.max() + 1))
        out = self.heldout[low:high]
        if not len(out):
            return None
        if (doc[1:] > doc[:-1]).all():
            at = np.searchsorted(doc, out)
            at = at[doc[at] == out]
            keep = np.ones(len(doc), dtype=bool)
            keep[at] = False
            return keep
        return ~np.isin(doc, out)


@dataclass
class Drawn:
    """What was drawn: row of the cluster table int [n], document int64 [n], inclusion probability float64 [n]
    (None where it has no simple form), length int64 [n] (None: 1 each)."""

    cluster: np.ndarray
    doc: np.ndarray
    probability: np.ndarray | None
    length: np.ndarray | None = None


def draw(
    pool: Pool,
    clusters: ClusterTable | None,
    sampler: Sampler,
    budget: dict[str, Any],
    seed: int,
    scores: Lookup | None = None,
    drop: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[pa.Table, int]:
    """The draw: columns doc int64 (ascending), cluster int32, split string, probability float64 (null after a
    filter `after` the draw, where it has no simple form); and how many drawn documents that filter took out.

    `scores` are for the order `mixture` and the ranking lsh; a plain ranking by score finds its own in the
    pool. `drop` tells which of the drawn documents (int64 [n], ascending) go, as bool [n].
    Raises InputError for a budget beyond the pool, and for a cluster table that does not fit the pool.
    """
    validation, test = budget.get("validation", 0), budget.get("test", 0)
    size = budget["train"] + validation + test
    if pool.filtered and clusters is not None:
        clusters = pool.count()[0]
        if clusters is not None and not clusters.documents.any():
            raise InputError("the sampler's filters leave no document")
    if budget.get("unit", "documents") == "tokens":
        found = _draw_tokens(pool, clusters, sampler, size, seed)
    elif sampler.by == "lsh":
        found = _draw_buckets(pool, clusters, sampler, size, seed)
    else:
        found = _draw_documents(pool, clusters, sampler, size, seed, scores)
    if clusters is None and pool.clusters is not None and pool.seen[0] != pool.clusters.pool:
        raise InputError(f"{pool.clusters.source}: the kept clusters have {pool.clusters.pool:,} documents, the "
                         f"assignments less the held-out have {pool.seen[0]:,}: not the same clustering")  # fmt: skip
    order = np.argsort(found.doc)
    if drop is not None:
        order = order[~drop(found.doc[order])]
        found.probability = None
        say(
            f"[sample] near-duplicates out of the draw: {len(found.doc) - len(order):,} of {len(found.doc):,}"
        )
    doc = found.doc[order]
    if (doc[1:] == doc[:-1]).any():
        raise InputError(
            f"document {doc[1:][doc[1:] == doc[:-1]][0]} stands in more than one row of the shards"
        )
    length = None if found.length is None else found.length[order]
    split = split_documents(doc, seed, validation, test, length)
    cluster = pa.nulls(len(doc), pa.int32())
    if clusters is not None:
        cluster = pa.array(clusters.cluster[found.cluster[order]].astype(np.int32))
    chance = pa.nulls(len(doc), pa.float64())
    if found.probability is not None:
        chance = pa.array(found.probability[order])
    names = pa.DictionaryArray.from_arrays(pa.array(split), pa.array(SPLITS)).cast(pa.string())
    table = pa.table({"doc": doc, "cluster": cluster, "split": names, "probability": chance})
    return table, len(found.doc) - len(doc)


def _check_pool(seen: np.ndarray, clusters: ClusterTable) -> None:
    """Raises InputError unless each cluster's documents int64 [k] are as many as the table says."""
    wrong = np.flatnonzero(seen != clusters.documents)
    if len(wrong):
        i = wrong[0]
        raise InputError(f"{clusters.source}: cluster {clusters.cluster[i]} has {clusters.documents[i]:,} documents, "
                         f"the assignments less the held-out have {seen[i]:,}: not the same clustering")  # fmt: skip


def _draw_documents(
    pool: Pool,
    clusters: ClusterTable | None,
    sampler: Sampler,
    size: int,
    seed: int,
    scores: Lookup | None,
) -> Drawn:
    mixture = sampler.by == "score" and sampler.order == "mixture"
    factor = sampler.oversample if mixture else 1.0
    given = np.array([size]) if clusters is None else allocate(clusters, sampler, size)
    # Ties between clusters break by their smallest draw key, which only the pass over the documents tells:
    # that moves a count by one at most.
    candidates = gather(pool, np.ceil(factor * (given + 1)) + 1, seed, sampler.purpose)
    if clusters is None:
        if size > candidates.pool[0]:
            raise InputError(f"budget: {size:,} documents exceed the pool of {candidates.pool[0]:,}")
    else:
        _check_pool(candidates.pool, clusters)
        given = allocate(clusters, sampler, size, candidates.smallest_key())
    if mixture:
        assert scores is not None
        chosen = choose_mixture(candidates, given, scores, factor, sampler.top)
        probability = mixture_probability(candidates, chosen, given, scores, factor, sampler.top, pool)
    else:
        chosen, probability = choose_documents(candidates, given)
    if sampler.by == "weighted":
        probability = weighted_probability(candidates, chosen, given, seed)
    return Drawn(candidates.cluster[chosen], candidates.doc[chosen], probability)


def _draw_buckets(pool: Pool, clusters: ClusterTable | None, sampler: Sampler, size: int, seed: int) -> Drawn:
    """Ranking lsh: parts of each cluster's quota proportional to and the same for all its buckets, drawn by
    keys of the purpose `mixture`; then the random part out of the rest, by those of `draw`."""
    assert clusters is not None
    _, smallest = pool.count()
    given = allocate(clusters, sampler, size, smallest)
    k = len(given)
    planes = 0
    sizes = np.zeros((k, 1), dtype=np.int64)
    for rows in pool:
        bucket = _buckets(rows)
        need = int(bucket.max(initial=0)) + 1
        if need > sizes.shape[1]:
            sizes = np.pad(sizes, ((0, 0), (0, need - sizes.shape[1])))
        planes = sizes.shape[1]
        sizes += np.bincount(rows.cluster * planes + bucket, minlength=k * planes).reshape(k, planes)
    quota = np.zeros_like(sizes)
    rest = np.zeros(k, dtype=np.int64)
    for i in range(k):
        quota[i], rest[i] = bucket_quotas(sizes[i], int(given[i]), sampler.shares)
    first = Smallest(quota.ravel().astype(np.float64), seed, purpose="mixture")
    second = Smallest(given.astype(np.float64), seed)
    for rows in pool:
        first.add(Rows(rows.cluster.astype(np.int64) * planes + _buckets(rows), rows.doc))
        second.add(Rows(rows.cluster, rows.doc))
    spread, loose = first.finish(), second.finish()
    free = np.flatnonzero(~np.isin(loose.doc, spread.doc))
    c = loose.cluster[free]
    free = free[np.arange(len(c)) - np.searchsorted(c, c) < rest[c]]
    chance = quota / np.maximum(sizes, 1)
    others = rest / np.maximum(sizes.sum(1) - quota.sum(1), 1)
    chance = chance + (1 - chance) * others[:, None]
    found = Drawn(
        np.concatenate((spread.cluster // planes, loose.cluster[free])),
        np.concatenate((spread.doc, loose.doc[free])),
        None,
    )
    assert pool.scores is not None
    by_doc = np.argsort(found.doc)
    bucket = np.zeros(len(by_doc), dtype=np.int64)
    bucket[by_doc] = pool.scores(found.doc[by_doc]).astype(np.int64)
    found.probability = chance[found.cluster, bucket]
    return found


def _buckets(rows: Rows) -> np.ndarray:
    assert rows.value is not None
    if ((rows.value < 0) | (rows.value != np.floor(rows.value))).any():
        raise InputError(
            "ranking lsh: a bucket is a whole number >= 0; take the scores of a scorer of kind lsh"
        )
    return rows.value.astype(np.int64)


def _draw_tokens(pool: Pool, clusters: ClusterTable | None, sampler: Sampler, size: int, seed: int) -> Drawn:
    if sampler.order == "mixture" or sampler.by == "lsh":
        what = "the ranking 'lsh'" if sampler.by == "lsh" else "the order 'mixture'"
        raise InputError(f"budget.unit: {what} draws documents, not tokens")
    if sampler.rounding != "webster":
        raise InputError(f"budget.unit: the rounding {sampler.rounding!r} counts documents, not tokens")
    k = 1 if clusters is None else len(clusters.cluster)
    tokens, documents, longest = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64), 0
    for rows in pool:
        assert rows.length is not None
        np.add.at(tokens, rows.cluster, rows.length)
        documents += np.bincount(rows.cluster, minlength=k)
        longest = max(longest, int(rows.length.max(initial=0)))
    if clusters is None:
        weight = np.ones(1)
    else:
        _check_pool(documents, clusters)
        weight = weights(clusters, sampler, tokens.astype(np.float64))[0]
    if size > tokens[weight > 0].sum():
        raise InputError(f"budget: {size:,} tokens exceed the pool of {tokens[weight > 0].sum():,}")
    caps = np.where(weight > 0, 1.05 * level(weight, tokens, size) * weight + 2 * longest + 1, 0)
    while True:
        candidates = gather(pool, caps, seed, sampler.purpose)
        found = choose_tokens(candidates, weight, size)
        if found is not None:
            break
        caps = 2 * caps
    chosen, probability = found
    if not len(chosen):
        raise InputError(f"budget: the first document is longer than all of the {size:,} tokens")
    if sampler.by == "weighted":
        drawn = np.bincount(candidates.cluster[chosen], minlength=k)
        probability = weighted_probability(candidates, chosen, drawn, seed)
    assert candidates.length is not None
    return Drawn(candidates.cluster[chosen], candidates.doc[chosen], probability, candidates.length[chosen])


def sample(
    documents: Sequence[Path],
    assignments: Sequence[Path],
    clusters: Path | None,
    heldout: Path,
    scores: Sequence[Path],
    lengths: Sequence[Path],
    sampler: Sampler,
    budget: dict[str, Any],
    seed: int,
    losses: Path | None = None,
    left_out: Mapping[str, Sequence[Path]] | None = None,
    near: Sequence[Path] = (),
    embeddings: Sequence[Path] = (),
    semdedup: dict[str, Any] | None = None,
) -> tuple[pa.Table, dict[str, Any]]:
    """The draw from files, and its facts: `pool` (documents; excluded, by kind) and `removed` (near-duplicates, after
    the draw). See `main` for what the files hold and `draw` for what comes out."""
    kept, every = None, np.zeros(0, dtype=np.int64)
    paths = list(documents)
    if clusters is not None and assignments:
        kept = read_with_losses(clusters, losses, sampler) if losses else read_clusters(clusters, sampler)
        every = _all_clusters(clusters)
        paths = list(assignments)
    elif sampler.weight != "none" or clusters is not None:
        raise InputError(f"sampler: weight {sampler.weight} wants --assignments and --clusters")
    if not paths:
        raise InputError("--documents: no files; a sampler without clusters draws from them")
    if len(set(paths)) < len(paths):
        raise InputError(f"{'--documents' if kept is None else '--assignments'}: a file is named twice")
    held, duplicates = _read_heldout(heldout)
    score = length = where = close = drop = None
    if sampler.by in ("score", "weighted", "lsh"):
        column = "bucket" if sampler.by == "lsh" else sampler.column
        if not scores:
            raise InputError(f"sampler: a ranking by {sampler.by} wants --scores with a column {column!r}")
        score = Lookup(scores, column)
    if budget.get("unit", "documents") == "tokens":
        if not lengths:
            raise InputError("budget.unit: tokens wants --lengths: shards with the columns doc and tokens")
        length = Lookup(lengths, "tokens")
    if sampler.where:
        if not documents:
            raise InputError("filters.where: wants --documents, which hold the meta column")
        where = Where(documents, sampler.where["column"], sampler.where["values"])
    if sampler.contaminated and "contaminated" not in (left_out or {}):
        raise InputError("filters.contaminated: wants --contaminated, the documents that hold an item")
    if sampler.semdedup and sampler.semdedup.get("when", "before") == "before":
        if not near:
            raise InputError("filters.semdedup: wants --near, the scores of its scorer")
        close = Lookup(near, "score")
    elif sampler.semdedup:
        if not embeddings or semdedup is None:
            raise InputError("filters.semdedup after the draw wants --embeddings and the scorer's settings")
        drop = _near_duplicates(assignments, embeddings, semdedup, sampler.semdedup["eps"])
    mixture = sampler.order == "mixture"  # scores its random candidates only
    pool = Pool(
        paths, kept, every, held, sampler, None if mixture else score, length, seed,
        {kind: _read_docs(files) for kind, files in (left_out or {}).items()}, where, close,
    )  # fmt: skip
    table, removed = draw(pool, None if pool.one else kept, sampler, budget, seed, score, drop)
    excluded = pool.excluded
    excluded["duplicates"] = duplicates
    excluded["heldout"] -= duplicates
    return table, {
        "pool": {"documents": pool.documents, "excluded": excluded},
        "removed": {"near-duplicates": removed},
    }


def _read_heldout(path: Path) -> tuple[np.ndarray, int]:
    """Documents outside the pool, int64 [n], ascending, and how many of them are duplicates."""
    with open_parquet(path, ["doc", "role"]) as file:
        table = file.read(columns=["doc", "role"])
    return np.sort(table["doc"].to_numpy()), pc.sum(pc.not_equal(table["role"], "heldout")).as_py() or 0


def _read_docs(paths: Sequence[Path]) -> np.ndarray:
    parts = [b[0] for path in paths for b in batches(path, ["doc"])]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *parts]))


def _near_duplicates(
    assignments: Sequence[Path], embeddings: Sequence[Path], scorer: dict[str, Any], eps: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Which of the drawn documents are near-duplicates of a drawn one that comes before them."""
    from winnow.score.semdedup import similarities

    def drop(doc: np.ndarray) -> np.ndarray:
        found, _, score = similarities(
            assignments, embeddings, lambda d: np.isin(d, doc), scorer["keep"], scorer["seed"]
        )
        if not np.array_equal(found, doc):
            raise InputError("the assignments do not hold every drawn document once")
        return score > 1 - eps

    return drop


def read_with_losses(path: Path, losses: Path, sampler: Sampler) -> ClusterTable:
    """The kept clusters (`read_clusters`) with the column proxy_loss of a table of losses by cluster."""
    everything = pq.read_table(path)
    loss = pq.read_table(losses, columns=["cluster", "proxy_loss"])
    known = dict(zip(loss["cluster"].to_pylist(), loss["proxy_loss"].to_pylist(), strict=True))
    if "proxy_loss" in everything.column_names:
        everything = everything.drop_columns("proxy_loss")
    column = pa.array([known.get(c) for c in everything["cluster"].to_pylist()], pa.float64())
    return clusters_from_table(everything.append_column("proxy_loss", column), sampler, str(path))


def _all_clusters(path: Path) -> np.ndarray:
    """Ids of all clusters of a table, excluded ones too."""
    return read_clusters(path, Sampler(weight="equal", excluded_clusters="keep")).cluster


def main(
    *,
    documents: list[Path] = [],
    assignments: list[Path] = [],
    clusters: list[Path] = [],
    heldout: Path,
    scores: list[Path] = [],
    lengths: list[Path] = [],
    losses: list[Path] = [],
    used: list[Path] = [],
    trained: list[Path] = [],
    contaminated: list[Path] = [],
    near: list[Path] = [],
    embeddings: list[Path] = [],
    proxies: list[Path] = [],
    proxy_subsets: list[Path] = [],
    ratios: list[Path] = [],
    spec: str,
    out: Path,
    facts: Path,
) -> None:
    """Draws a subset: doc, cluster, split, probability, in ascending order of doc.

    Args:
        documents: Document shards (doc); read where there is no clustering, and by the filter where.
        assignments: Assignment shards (doc, cluster, distance), for samplers with clusters, and for those without whose
            pool has excluded clusters.
        clusters: Cluster table (.parquet or .csv; one), with the assignments.
        heldout: Parquet file (doc, role) whose documents are in no pool.
        scores: Shards with doc and the score column, for a ranking by score.
        lengths: Shards with doc and tokens, for a budget in tokens.
        losses: Table of cluster and proxy_loss (one), for the weight loss; without it the cluster table has it.
        used: Earlier draws whose documents are left out.
        trained: Draws that a scorer's proxies learned from; their documents are left out.
        contaminated: Shards with the documents that hold a benchmark item, for that filter.
        near: Shards with doc and score of a scorer of kind semdedup, for that filter before the draw.
        embeddings: Vectors of the assignment shards, in their order, for that filter after the draw.
        proxies: manifest.json of each model trained here that the selection's scorers go by (see winnow.sample.consumed).
        proxy_subsets: manifest.json of the subset of each of them.
        ratios: JSON of what the ratios of a target were counted on.
        spec: JSON: ids, sampler, budget, data_seed, semdedup (settings of the filter's scorer, or null), selection (what
            the scorers go by: winnow.sample.consumed).
        out: Parquet file to write.
        facts: JSON to write: pool (documents, and excluded by kind), removed (near-duplicates, after the draw),
            consumed (documents, labels and tokens that the selection took) and its parts.
    """
    settings = read_spec(spec, "ids", "sampler", "budget", "data_seed", "semdedup", "selection")
    sampler = parse_sampler(settings["sampler"], "--spec sampler")
    loss = losses[0] if losses else None
    parts = consumed(settings["selection"], proxies, proxy_subsets, loss, ratios)
    out_of_pool = {"contaminated": contaminated, "used": used, "trained": trained}
    table, found = sample(
        documents, assignments, clusters[0] if clusters else None, heldout, scores, lengths,
        sampler, settings["budget"], settings["data_seed"], loss,
        {kind: files for kind, files in out_of_pool.items() if files}, near, embeddings, settings["semdedup"],
    )  # fmt: skip
    with atomic_path(out) as partial:
        pq.write_table(table, partial, compression="zstd", row_group_size=1 << 20)
    write_json(facts, {**found, "consumed": total(parts), "consumed_parts": parts})
    counts = table["split"].value_counts().to_pylist()
    print(json.dumps({c["values"]: c["counts"] for c in counts}, sort_keys=True))


if __name__ == "__main__":
    run(main)
