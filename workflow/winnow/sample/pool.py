"""The pool: documents or assignments, and what is excluded, in; the documents that a sampler may draw out, batch by batch,
with the value that they are ranked by, and how many are out of the pool for which reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from winnow.keys import keys
from winnow.parquet import Lookup, Measure, Where, batches, is_listed, listed_docs, open_parquet
from winnow.sample.candidates import Rows
from winnow.sample.cluster_table import ClusterTable, cluster_ids, read_clusters, read_with_losses
from winnow.sample.rankings import RANKINGS
from winnow.sample.sampler import Sampler, needs
from winnow.stage import InputError, Progress, say

Scores = Callable[[np.ndarray], np.ndarray]
"""Documents int64 [n] -> their values float64 [n]."""
UNMEASURED = "without the measure"
# Why a document is not in the pool; of several reasons the first one counts.
REASONS = ("heldout", "duplicates", "clusters", "contaminated", "used", "trained", "where", "near-duplicates")


@dataclass(frozen=True)
class Inputs:
    """Files of a draw; `winnow.sample.draw.main` tells what each holds."""

    heldout: Path
    documents: Sequence[Path] = ()
    assignments: Sequence[Path] = ()
    clusters: Path | None = None
    scores: Sequence[Path] = ()
    lengths: Sequence[Path] = ()
    losses: Path | None = None
    used: Sequence[Path] = ()
    trained: Sequence[Path] = ()
    contaminated: Sequence[Path] = ()
    near: Sequence[Path] = ()
    embeddings: Sequence[Path] = ()
    measures: Sequence[Path] = ()


@dataclass
class Filtered:
    """What takes documents out of the pool, beside held-out documents and clusters: `documents` int64, ascending, by
    reason; those that are not among `only` int64, ascending; those for which `where` is 0; those for which
    `measured` is 0, that lack the measure they are ranked by; those for which `near` exceeds `limit`."""

    documents: dict[str, np.ndarray] = field(default_factory=dict)
    only: np.ndarray | None = None
    where: Where | None = None
    measured: Where | None = None
    near: Lookup | None = None
    limit: float = 1.0

    def __bool__(self) -> bool:
        tests = (self.only, self.where, self.measured, self.near)
        return bool(self.documents) or any(test is not None for test in tests)

    def tests(self) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
        """Reason, and the test that documents int64 [n] pass, bool [n]; in the order of REASONS."""
        for reason, out in self.documents.items():
            yield reason, partial(_not_listed, listed=out)
        if (only := self.only) is not None:
            yield "not looked at", partial(is_listed, listed=only)
        if (where := self.where) is not None:
            yield "where", lambda doc: where(doc) > 0
        if (measured := self.measured) is not None:
            yield UNMEASURED, lambda doc: measured(doc) > 0
        if (near := self.near) is not None:
            yield "near-duplicates", lambda doc: near(doc) <= self.limit


def _not_listed(doc: np.ndarray, listed: np.ndarray) -> np.ndarray:
    return ~is_listed(doc, listed)


class Pool:
    """The documents that a sampler may draw, streamed from shards: not held out, in a kept cluster, not filtered out.

    `paths` hold doc (and cluster, if there are `clusters`; and distance, for a ranking by it). `clusters`: the kept ones;
    for the weight none their documents are one pool. `ids`: of all clusters, int64, ascending. `heldout` int64, ascending.
    Can be iterated more than once; `excluded`, by reason, `documents`, and `seen`, documents of each cluster before the
    filters, count the last pass.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        clusters: ClusterTable | None,
        ids: np.ndarray,
        heldout: np.ndarray,
        sampler: Sampler,
        seed: int,
        scores: Scores | None = None,
        lengths: Lookup | None = None,
        filtered: Filtered | None = None,
    ):
        self.paths, self.clusters, self.heldout = paths, clusters, heldout
        self.ranking, self.seed = sampler.ranking, seed
        self.scores, self.lengths, self.filtered = scores, lengths, filtered or Filtered()
        facts = needs(sampler)
        self.order = RANKINGS[sampler.ranking.by]
        self.distances = facts.distances
        self.ranks_by_score = scores is not None and facts.draws not in (
            "mixture",
            "badge",
        )  # which score their candidates only
        self.allocated = clusters if facts.allocates else None
        self.seen = np.zeros(1 if self.allocated is None else len(self.allocated.cluster), dtype=np.int64)
        self.excluded: dict[str, int] = {}
        self.documents = 0
        self.ids = ids
        self.row = np.full(len(self.ids), -1, dtype=np.int32)
        if clusters is not None:
            kept = np.searchsorted(self.ids, clusters.cluster)
            self.row[kept] = 0 if self.allocated is None else np.arange(len(kept))
        self.direct = len(self.ids) > 0 and int(self.ids[-1]) - int(self.ids[0]) < 1 << 20
        if self.direct:
            self.low = int(self.ids[0])
            self.table = np.full(int(self.ids[-1]) - self.low + 1, -2, dtype=np.int32)
            self.table[self.ids - self.low] = self.row

    def __iter__(self) -> Iterator[Rows]:
        names = ["doc"]
        if self.clusters is not None:
            names.append("cluster")
        if self.distances:
            names.append("distance")
        progress = Progress("sample", len(self.paths), "shards")
        self.seen[:] = self.documents = 0
        self.excluded = dict.fromkeys(REASONS, 0)
        if self.filtered.only is not None:
            self.excluded["not looked at"] = 0
        if self.filtered.measured is not None:
            self.excluded[UNMEASURED] = 0
        for path in self.paths:
            for doc, *rest in batches(path, names):
                if len(doc):
                    rows = self._rows(path, doc.astype(np.int64, copy=False), rest)
                    self.documents += len(rows.doc)
                    yield rows
            progress.add(1)

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
        distance = rest[1] if self.distances else None
        if distance is not None and keep is not None:
            distance = distance[keep]
        self.seen += np.bincount(row, minlength=len(self.seen))
        if self.filtered:
            passing = self._passing(doc)
            doc, row = doc[passing], row[passing]
            distance = None if distance is None else distance[passing]
        return Rows(row, doc, self._value(path, doc, distance), self._length(doc))

    def _passing(self, doc: np.ndarray) -> np.ndarray:
        """Positions of the documents that pass the filters."""
        keep = np.ones(len(doc), dtype=bool)
        for reason, test in self.filtered.tests():
            passes = test(doc[keep])
            self.excluded[reason] += int(len(passes) - passes.sum())
            keep[keep] = passes
        return np.flatnonzero(keep)

    def _value(self, path: Path, doc: np.ndarray, distance: np.ndarray | None) -> np.ndarray | None:
        """What documents are ranked by, float64 [n], smaller first; None: at random."""
        if distance is not None:
            numbers = distance.astype(np.float64)
            if not np.isfinite(numbers).all():
                raise InputError(
                    f"{path}: the distance of document {doc[~np.isfinite(numbers)][0]} is not finite"
                )
        elif self.scores is not None and self.ranks_by_score:
            numbers = self.scores(doc)
        else:
            return None
        assert self.order.value is not None
        return self.order.value(numbers, doc, self.ranking, self.seed) + 0.0  # no -0.0

    def _length(self, doc: np.ndarray) -> np.ndarray | None:
        if self.lengths is None:
            return None
        tokens = self.lengths(doc)
        if ((tokens < 0) | (tokens != np.floor(tokens))).any():
            raise InputError(f"column {self.lengths.column!r}: lengths must be whole numbers >= 0")
        return tokens.astype(np.int64)

    def count(self) -> tuple[ClusterTable | None, np.ndarray]:
        """A pass that counts what passes the filters: the cluster table with those numbers of documents (None
        without an allocation), and the smallest draw key of each cluster, uint64 [k].

        Distances stay those of the whole cluster. Raises InputError for a table of other assignments.
        """
        k = len(self.seen)
        passing = np.zeros(k, dtype=np.int64)
        smallest = np.full(k, np.iinfo(np.uint64).max)
        for rows in self:
            passing += np.bincount(rows.cluster, minlength=k)
            np.minimum.at(smallest, rows.cluster, keys("draw", self.seed, rows.doc))
        if self.filtered:
            say(f"[sample] {passing.sum():,} of {self.seen.sum():,} documents pass the filters")
        if self.allocated is None:
            return None, smallest
        check_counts(self.seen, self.allocated)
        return replace(self.allocated, documents=passing), smallest

    def check_total(self) -> None:
        """Raises InputError unless the last pass saw as many documents as the kept clusters of the table have."""
        if self.clusters is not None and int(self.seen.sum()) != self.clusters.pool:
            raise InputError(f"{self.clusters.source}: the kept clusters have {self.clusters.pool:,} documents, the "
                             f"assignments less the held-out have {self.seen.sum():,}: not the same clustering")  # fmt: skip

    def _index(self, cluster: np.ndarray, path: Path) -> np.ndarray:
        """Row of the cluster table; -1 for a cluster from which nothing is drawn."""
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
            unknown = cluster[row < -1][0]
            raise InputError(f"{path}: cluster {unknown} is not in {self.clusters.source}; "  # type: ignore[union-attr]
                             "they are of different clusterings")  # fmt: skip
        return row

    def _not_heldout(self, doc: np.ndarray) -> np.ndarray | None:
        """Mask of the documents that are not held out; None if none of them is."""
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


def check_counts(seen: np.ndarray, clusters: ClusterTable) -> None:
    """Raises InputError unless each cluster's documents int64 [k] are as many as the table says."""
    wrong = np.flatnonzero(seen != clusters.documents)
    if len(wrong):
        i = wrong[0]
        raise InputError(f"{clusters.source}: cluster {clusters.cluster[i]} has {clusters.documents[i]:,} documents, "
                         f"the assignments less the held-out have {seen[i]:,}: not the same clustering")  # fmt: skip


def open_pool(
    inputs: Inputs, sampler: Sampler, budget: Mapping[str, Any], seed: int, scores: Scores | None = None
) -> tuple[Pool, int]:
    """The pool of a sampler from files, and how many of the documents of `inputs.heldout` are duplicates.

    `sampler`: checked; `budget`: of the configuration (its unit decides whether lengths are read); `scores`: values of
    documents where they are not in files.
    Raises InputError for files that the sampler needs and `inputs` lacks, and for those that cannot be read.
    """
    facts = needs(sampler)
    clusters, ids, paths = None, np.zeros(0, dtype=np.int64), list(inputs.documents)
    if inputs.clusters is not None and inputs.assignments:
        if inputs.losses is not None:
            clusters = read_with_losses(inputs.clusters, inputs.losses, sampler)
        else:
            clusters = read_clusters(inputs.clusters, sampler)
        ids, paths = cluster_ids(inputs.clusters), list(inputs.assignments)
    elif facts.allocates or inputs.clusters is not None:
        raise InputError(f"sampler: weight {sampler.allocation.weight} requires --assignments and --clusters")
    if not paths:
        raise InputError("--documents: no files; a sampler without clusters draws from them")
    if len(set(paths)) < len(paths):
        raise InputError(f"{'--documents' if clusters is None else '--assignments'}: a file is named twice")
    heldout, duplicates = _read_heldout(inputs.heldout)
    lengths = None
    if scores is None and facts.rank_measure is not None:
        if not inputs.scores:
            raise InputError(
                f"sampler: a ranking by profile.{facts.rank_measure} requires --scores, the measures"
            )
        scores = Measure(inputs.scores, facts.rank_measure)
    elif scores is None and (facts.scores is not None or facts.predictions):
        assert facts.column
        if not inputs.scores:
            raise InputError(
                f"sampler: a ranking by {sampler.ranking.by} requires --scores with a column {facts.column!r}"
            )
        scores = Lookup(inputs.scores, facts.column)
    if budget.get("unit", "documents") == "tokens":
        if not inputs.lengths:
            raise InputError("budget.unit: tokens requires --lengths: shards with the columns doc and tokens")
        lengths = Lookup(inputs.lengths, "tokens")
    filtered = _filters(inputs, sampler)
    return Pool(paths, clusters, ids, heldout, sampler, seed, scores, lengths, filtered), duplicates


def _filters(inputs: Inputs, sampler: Sampler) -> Filtered:
    """What is out of the pool beside held-out documents and clusters. Contaminated, used and trained documents are out
    whenever there are files of them: the rules name those that the sampler's filters ask for."""
    facts, filters = needs(sampler), sampler.filters
    if facts.contaminated and not inputs.contaminated:
        raise InputError(
            "filters.contaminated: requires --contaminated, the documents that hold a benchmark item"
        )
    files = {"contaminated": inputs.contaminated, "used": inputs.used, "trained": inputs.trained}
    out = Filtered({reason: listed_docs(paths) for reason, paths in files.items() if paths})
    if filters.where is not None:
        shards = inputs.measures if facts.filter_measure else inputs.documents
        if not shards:
            option = (
                "--measures, the measures"
                if facts.filter_measure
                else "--documents, which hold the meta column"
            )
            raise InputError(f"filters.where: requires {option}")
        out.where = Where(shards, facts.filter_measure or filters.where.column, filters.where.condition)
    if facts.rank_measure is not None:
        out.measured = Where(inputs.scores, facts.rank_measure, {})
    if facts.near is not None and filters.semdedup is not None:
        if not inputs.near:
            raise InputError("filters.semdedup: requires --near, the scores of its scorer")
        out.near, out.limit = Lookup(inputs.near, "score"), 1 - filters.semdedup.eps
    return out


def _read_heldout(path: Path) -> tuple[np.ndarray, int]:
    """Documents outside the pool, int64 [n], ascending, and how many of them are duplicates."""
    with open_parquet(path, ["doc", "role"]) as file:
        table = file.read(columns=["doc", "role"])
    return np.sort(table["doc"].to_numpy()), pc.sum(pc.not_equal(table["role"], "heldout")).as_py() or 0
