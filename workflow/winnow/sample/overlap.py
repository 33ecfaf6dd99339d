"""How different two draws are: documents, clusters, domains, labels, lengths, distances and duplicates of both in, measures
and a verdict out. Pure functions of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REFERENCES = 32  # random draws; every two of them make a reference
RESAMPLES = 2000
LEVEL = 0.05  # about this share of pairs of random arms is called different
SAME = 0.9  # Jaccard overlap from which on two draws count as the same documents
FEW_DUPLICATES = 3  # fewer duplicates than this are no difference
Measures = dict[str, float | None]
HARDLY, NEARLY, DIFFER = "hardly differ", "nearly the same documents", "differ"
UNSEEN = "no difference seen"


@dataclass
class Facts:
    """The documents that any of the draws holds: `doc` int64 [n], ascending; `bytes` int64 [n]; codes of the
    domain and the label, `digest` of the text, and of one clustering `cluster` and `distance` to the centroid, each [n]
    or None where there are none."""

    doc: np.ndarray
    bytes: np.ndarray
    group: np.ndarray | None
    label: np.ndarray | None = None
    digest: np.ndarray | None = None
    cluster: np.ndarray | None = None
    distance: np.ndarray | None = None

    def at(self, doc: np.ndarray) -> np.ndarray:
        """Positions of documents int64 [m], int64 [m]."""
        return np.searchsorted(self.doc, doc)


@dataclass
class Draw:
    """A draw: `doc` int64 [n], ascending; its documents by cluster, domain and label, as arrays of counts; its lengths in
    bytes and its distances, ascending; the share of documents that are exact duplicates of another (None each: unknown);
    tokens of its train split."""

    doc: np.ndarray
    clusters: np.ndarray | None
    groups: np.ndarray | None
    labels: np.ndarray | None
    lengths: np.ndarray
    distances: np.ndarray | None
    duplicates: float | None
    tokens: int | None = None

    @property
    def bytes(self) -> int:
        return int(self.lengths.sum())


def total_variation(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Half the sum of absolute differences of two mixes, given as counts of the same length, 0 to 1."""
    if one is None or other is None:
        return None
    return float(np.abs(one / max(1, one.sum()) - other / max(1, other.sum())).sum() / 2)


def kolmogorov_smirnov(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Largest difference of two distribution functions, given as values in ascending order, 0 to 1."""
    if one is None or other is None or not len(one) or not len(other):
        return None
    at = np.concatenate([one, other])
    shares = [np.searchsorted(values, at, side="right") / len(values) for values in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Documents of both over documents of either; int64 arrays, ascending."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / max(1, len(one) + len(other) - both)


def chance_jaccard(one: float, other: float, pool: int) -> float:
    """Overlap of two independent draws of `one` and `other` documents from a pool: their expected common documents,
    one x other / pool, over the expected rest."""
    both = one * other / max(1, pool)
    return both / max(1.0, one + other - both)


def compare_pair(one: Draw, other: Draw) -> Measures:
    """The measures of a pair of draws."""
    mean = [d.bytes / max(1, len(d.doc)) for d in (one, other)]
    known = one.duplicates is not None and other.duplicates is not None
    return {
        "jaccard": jaccard(one.doc, other.doc),
        "allocation_tv": total_variation(one.clusters, other.clusters),
        "group_tv": total_variation(one.groups, other.groups),
        "label_tv": total_variation(one.labels, other.labels),
        "distance_ks": kolmogorov_smirnov(one.distances, other.distances),
        "length_ks": kolmogorov_smirnov(one.lengths, other.lengths),
        "length_difference": mean[1] / max(mean[0], 1e-9) - 1,
        "duplicate_difference": other.duplicates - one.duplicates if known else None,  # type: ignore[operator]
    }


def verdict(pair: Measures, limits: Measures) -> str:
    """Whether a pair differs by more than two random draws do. `limits`: those of `limits_of`.

    Draws that overlap less than random ones differ on purpose, even if their mixes are equal. Draws that overlap more, and
    differ in nothing else, hardly differ. At chance overlap without another difference none is seen.
    """
    overlap = pair["jaccard"]
    assert overlap is not None
    if overlap >= SAME:
        return NEARLY
    if overlap < (limits["jaccard"] or 0.0):
        return DIFFER
    for name, value in pair.items():
        limit = limits.get(name)
        if name != "jaccard" and value is not None and limit is not None and abs(value) > limit:
            return DIFFER
    above = limits["jaccard_above"]
    return HARDLY if above is not None and overlap > above else UNSEEN


def mean_of(rows: Sequence[Measures]) -> Measures:
    """Means of the known values of each measure; None where none is known."""
    means: Measures = {}
    for name in rows[0]:
        known = [value for row in rows if (value := row[name]) is not None]
        means[name] = float(np.mean(known)) if known else None
    return means


def limits_of(references: Sequence[Measures], seeds: int, documents: int = 0) -> Measures:
    """Limits that the measures of two random arms, means over `seeds` pairs of draws of about `documents`, seldom exceed
    (jaccard: seldom fall below; jaccard_above: exceed): quantiles of means of `seeds` references chosen at random. LEVEL is
    divided by the number of known measures (Bonferroni), for a pair differs if any of them does; the distance from their
    mean is that of a prediction, as the mean comes from REFERENCES / 2 independent pairs."""
    generator = np.random.default_rng(0)
    chosen = generator.integers(0, len(references), (RESAMPLES, seeds))
    known = {name for name in references[0] if references[0][name] is not None}
    limits: Measures = {}
    for name in references[0]:
        if name not in known:
            limits[name] = None
            continue
        means = np.abs(np.array([row[name] for row in references], dtype=np.float64)[chosen].mean(1))
        share = LEVEL / len(known)
        wider = np.sqrt(1 + 2 * seeds / REFERENCES)
        high = float(means.mean() + (np.quantile(means, 1 - share) - means.mean()) * wider)
        limits[name] = high
        if name == "jaccard":
            limits["jaccard"] = float(means.mean() + (np.quantile(means, share) - means.mean()) * wider)
            limits["jaccard_above"] = high
        if name == "duplicate_difference" and documents:
            limits[name] = max(high, FEW_DUPLICATES / documents)
    return limits


def make_draw(doc: np.ndarray, facts: Facts, tokens: int | None = None) -> Draw:
    """The draw of the documents `doc`, int64, ascending."""
    at = facts.at(doc)

    def mix(code: np.ndarray | None) -> np.ndarray | None:
        return None if code is None else np.bincount(code[at], minlength=int(code.max()) + 1)

    duplicates = None
    if facts.digest is not None and len(doc):
        duplicates = 1 - len(np.unique(facts.digest[at])) / len(doc)
    distances = None if facts.distance is None else np.sort(facts.distance[at])
    return Draw(doc, mix(facts.cluster), mix(facts.group), mix(facts.label), np.sort(facts.bytes[at]), distances,
                duplicates, tokens)  # fmt: skip
