"""Which documents a sampler draws: ids, clusters, distances, lengths and scores in; ids, split and inclusion
probability out. No model and no text.

A cluster gives the documents that come first in the order of the ranking; random order is a hashed key
(`winnow.keys`), so the draw depends on no shard, worker or order of files, and for fixed weights a smaller
draw is a subset of a larger one. One pass over the shards keeps a few candidates a cluster: memory is
O(budget + clusters). Published samplers' counts come from `winnow.allocate`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.allocate import (
    ClusterTable,
    Sampler,
    allocate,
    parse_sampler,
    read_clusters,
    weights,
)
from winnow.keys import keys
from winnow.parquet import Lookup, batches
from winnow.stage import InputError, Progress, atomic_path, read_spec, run

STAGE_VERSION = 1
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

    def __init__(self, caps: np.ndarray, seed: int, buffer: int = BUFFER):
        k = len(caps)
        self.caps, self.seed, self.buffer = caps, seed, buffer
        self.last_value = np.where(caps > 0, np.inf, -np.inf)
        self.last_key = np.where(caps > 0, np.iinfo(np.uint64).max, np.uint64(0))
        self.pool = np.zeros(k, dtype=np.int64)
        self.ties = np.zeros(k, dtype=np.int64)
        self.rows: list[tuple[Rows, np.ndarray]] = []
        self.waiting = self.kept = 0

    def add(self, rows: Rows) -> None:
        """Takes in a batch; a document past its cluster's last candidate is let go at once."""
        c, key = rows.cluster, keys("draw", self.seed, rows.doc)
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


def gather(stream: Iterable[Rows], caps: np.ndarray, seed: int) -> Candidates:
    """The candidates of all batches of a stream."""
    smallest = Smallest(np.asarray(caps, dtype=np.float64), seed)
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


def choose_mixture(
    candidates: Candidates, given: np.ndarray, scores: Lookup, oversample: float, top: float
) -> np.ndarray:
    """Of the first ceil(oversample x given) candidates of each cluster, the round(top x given) with the
    highest scores and the lowest of the rest. Returns positions int64 [n].

    A quota that rounding cannot fill because the cluster is small is filled as far as it goes.
    """
    size = np.minimum(np.ceil(np.round(oversample * given, 6)).astype(np.int64), candidates.pool)
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
    """The documents that a sampler may draw, streamed from shards: not held out, in a kept cluster.

    `paths` hold doc (and cluster, for `clusters`; and distance, for a ranking by it). A value that
    is to come out largest first is negated. Can be iterated over and over.
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
    ):
        self.paths, self.clusters, self.heldout = paths, clusters, heldout
        self.scores, self.lengths = scores, lengths
        self.by_distance = sampler.by in ("nearest", "farthest")
        self.sign = -1.0 if sampler.by == "farthest" or sampler.order == "descending" else 1.0
        self.ids = np.sort(every_cluster)
        self.row = np.full(len(self.ids), -1, dtype=np.int32)
        if clusters is not None:
            self.row[np.searchsorted(self.ids, clusters.cluster)] = np.arange(len(clusters.cluster))
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
        for path in self.paths:
            for doc, *rest in batches(path, names):
                if len(doc):
                    yield self._rows(path, doc.astype(np.int64, copy=False), rest)
            progress.add(1)
        progress.line()

    def _rows(self, path: Path, doc: np.ndarray, rest: list[np.ndarray]) -> Rows:
        row = np.zeros(len(doc), dtype=np.int32) if self.clusters is None else self._index(rest[0], path)
        keep = self._not_heldout(doc)
        if self.clusters is not None:
            keep = row >= 0 if keep is None else keep & (row >= 0)
        if keep is not None:
            if keep.all():
                keep = None
            else:
                doc, row = doc[keep], row[keep]
        value = None
        if self.by_distance:
            value = rest[1].astype(np.float64) if keep is None else rest[1][keep].astype(np.float64)
            if not np.isfinite(value).all():
                raise InputError(
                    f"{path}: the distance of document {doc[~np.isfinite(value)][0]} is not finite"
                )
        elif self.scores is not None:
            value = self.scores(doc)
        if value is not None:
            value = self.sign * value + 0.0  # no -0.0
        length = None
        if self.lengths is not None:
            tokens = self.lengths(doc)
            if ((tokens < 0) | (tokens != np.floor(tokens))).any():
                raise InputError(f"column {self.lengths.column!r}: lengths must be whole numbers >= 0")
            length = tokens.astype(np.int64)
        return Rows(row, doc, value, length)

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


def draw(
    pool: Pool,
    clusters: ClusterTable | None,
    sampler: Sampler,
    budget: dict[str, Any],
    seed: int,
    scores: Lookup | None = None,
) -> pa.Table:
    """The draw: columns doc int64 (ascending), cluster int32, split string, probability float64 (null for
    the order `mixture`, whose probabilities have no simple form).

    `scores` are for the order `mixture`; a plain ranking by score finds its own in the pool.
    Raises InputError for a budget beyond the pool, and for a cluster table that does not fit the pool.
    """
    validation, test = budget.get("validation", 0), budget.get("test", 0)
    size = budget["train"] + validation + test
    probability: np.ndarray | None
    length = None
    if budget.get("unit", "documents") == "tokens":
        candidates, chosen, probability = _draw_tokens(pool, clusters, sampler, size, seed)
        length = candidates.length[chosen]  # type: ignore[index]
    else:
        candidates, chosen, probability = _draw_documents(pool, clusters, sampler, size, seed, scores)
    doc = candidates.doc[chosen]
    order = np.argsort(doc)
    doc = doc[order]
    if (doc[1:] == doc[:-1]).any():
        raise InputError(
            f"document {doc[1:][doc[1:] == doc[:-1]][0]} stands in more than one row of the shards"
        )
    split = split_documents(doc, seed, validation, test, None if length is None else length[order])
    cluster = pa.nulls(len(doc), pa.int32())
    if clusters is not None:
        cluster = pa.array(clusters.cluster[candidates.cluster[chosen][order]].astype(np.int32))
    chance = pa.nulls(len(doc), pa.float64()) if probability is None else pa.array(probability[order])
    names = pa.DictionaryArray.from_arrays(pa.array(split), pa.array(SPLITS)).cast(pa.string())
    return pa.table({"doc": doc, "cluster": cluster, "split": names, "probability": chance})


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
) -> tuple[Candidates, np.ndarray, np.ndarray | None]:
    mixture = sampler.by == "score" and sampler.order == "mixture"
    factor = sampler.oversample if mixture else 1.0
    given = np.array([size]) if clusters is None else allocate(clusters, sampler, size)
    # Ties between clusters break by their smallest draw key, which only the pass over the documents tells:
    # that moves a count by one at most.
    candidates = gather(pool, np.ceil(factor * (given + 1)) + 1, seed)
    if clusters is None:
        if size > candidates.pool[0]:
            raise InputError(f"budget: {size:,} documents exceed the pool of {candidates.pool[0]:,}")
    else:
        _check_pool(candidates.pool, clusters)
        given = allocate(clusters, sampler, size, candidates.smallest_key())
    if mixture:
        assert scores is not None
        return candidates, choose_mixture(candidates, given, scores, factor, sampler.top), None
    return candidates, *choose_documents(candidates, given)


def _draw_tokens(
    pool: Pool, clusters: ClusterTable | None, sampler: Sampler, size: int, seed: int
) -> tuple[Candidates, np.ndarray, np.ndarray]:
    if sampler.order == "mixture":
        raise InputError("budget.unit: the order 'mixture' draws documents, not tokens")
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
        candidates = gather(pool, caps, seed)
        chosen = choose_tokens(candidates, weight, size)
        if chosen is not None:
            break
        caps = 2 * caps
    if not len(chosen[0]):
        raise InputError(f"budget: the first document is longer than all of the {size:,} tokens")
    return candidates, *chosen


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
) -> pa.Table:
    """The draw from files; see `main` for what they hold and `draw` for what comes out."""
    table, every = None, np.zeros(0, dtype=np.int64)
    paths = list(documents)
    if sampler.weight != "none":
        if clusters is None or not assignments:
            raise InputError(f"sampler: weight {sampler.weight} wants --assignments and --clusters")
        table = read_clusters(clusters, sampler)
        every = _all_clusters(clusters)
        paths = list(assignments)
    if not paths:
        raise InputError("--documents: no files; a sampler without clusters draws from them")
    if len(set(paths)) < len(paths):
        raise InputError(f"{'--documents' if table is None else '--assignments'}: a file is named twice")
    held = np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *(b[0] for b in batches(heldout, ["doc"]))]))
    score = length = None
    if sampler.by == "score":
        if not scores:
            raise InputError(f"sampler: a ranking by score wants --scores with a column {sampler.column!r}")
        score = Lookup(scores, sampler.column)
    if budget.get("unit", "documents") == "tokens":
        if not lengths:
            raise InputError("budget.unit: tokens wants --lengths: shards with the columns doc and tokens")
        length = Lookup(lengths, "tokens")
    mixture = sampler.order == "mixture"  # scores its random candidates only
    pool = Pool(paths, table, every, held, sampler, None if mixture else score, length)
    return draw(pool, table, sampler, budget, seed, score)


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
    spec: str,
    out: Path,
) -> None:
    """Draws a subset: doc, cluster, split, probability, in ascending order of doc.

    Args:
        documents: Document shards (doc); read by samplers without clusters only.
        assignments: Assignment shards (doc, cluster, distance), for samplers with clusters.
        clusters: Cluster table (.parquet or .csv; one), for samplers with clusters.
        heldout: Parquet file whose documents are in no pool.
        scores: Shards with doc and the score column, for a ranking by score.
        lengths: Shards with doc and tokens, for a budget in tokens.
        spec: JSON: ids, sampler, budget, data_seed.
        out: Parquet file to write.
    """
    settings = read_spec(spec, "ids", "sampler", "budget", "data_seed")
    sampler = parse_sampler(settings["sampler"], "--spec sampler")
    table = sample(
        documents, assignments, clusters[0] if clusters else None, heldout, scores, lengths,
        sampler, settings["budget"], settings["data_seed"],
    )  # fmt: skip
    with atomic_path(out) as partial:
        pq.write_table(table, partial, compression="zstd", row_group_size=1 << 20)
    counts = table["split"].value_counts().to_pylist()
    print(json.dumps({c["values"]: c["counts"] for c in counts}, sort_keys=True))


if __name__ == "__main__":
    run(main)
