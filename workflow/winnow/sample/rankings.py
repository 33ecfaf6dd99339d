"""Rankings of documents: the keys of `ranking`, and for each ranking what it reads and the value that it sorts by.

To add a ranking: an entry of RANKINGS (and its keys in Ranking) here, its name and keys in `$defs/sampler` of the
configuration schema, and a test.
Imported at parse time: numpy only inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from winnow.sample.weights import NONE, Problem
from winnow.stage import InputError

if TYPE_CHECKING:
    import numpy as np


MEASURE = "profile."
"""Beginning of the name of a column that is a measure of the profile of the corpus (winnow.profile)."""


def measure_of(column: str | None) -> str | None:
    """The measure of the profile that a column is, or None."""
    return column.removeprefix(MEASURE) if column is not None and column.startswith(MEASURE) else None


@dataclass(frozen=True)
class Ranking:
    """Which documents inside a cluster; the fields are the keys of `ranking` in the schema."""

    by: str = "random"
    scorer: str | None = None
    column: str = "score"
    order: str = "ascending"
    scale: str = "log"
    shares: Mapping[str, float] = field(default_factory=dict)
    purpose: str = "draw"
    oversample: float = 1.5
    top: float = 0.8
    measure: str = "entropy"
    quantiles: int = 0


@dataclass(frozen=True)
class Order:
    """One ranking.

    `reads`: what it goes by, `distance` (to the centroid, of the assignments), `score` (the column `ranking.column` of
    its scorer, or a measure of the profile), `bucket` (that column of its scorer), `prediction` (of the model of the round before), or None. `value(numbers, doc, ranking, seed)`: the numbers read,
    float64 [n], of documents int64 [n] -> values float64 [n], of which smaller ones are drawn first; None: random order.
    `draws`: how documents are chosen by their values: the `first` of each cluster, a `weighted` draw, from `buckets`, by
    `badge`.
    `keys`: keys of the ranking that only this one has. `check(ranking)`: what the schema cannot state of it, as key and
    reason, or None.
    """

    reads: str | None = None
    value: Callable[[np.ndarray, np.ndarray, Ranking, int], np.ndarray] | None = None
    draws: str = "first"
    keys: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], Problem] = lambda ranking: None

    @property
    def scored(self) -> bool:
        return self.reads in ("score", "bucket")


def nearest(numbers: np.ndarray, doc: np.ndarray, ranking: Ranking, seed: int) -> np.ndarray:
    """By distance to the centroid."""
    return numbers


def farthest(numbers: np.ndarray, doc: np.ndarray, ranking: Ranking, seed: int) -> np.ndarray:
    """By distance to the centroid, the largest first."""
    return -numbers


def by_score(numbers: np.ndarray, doc: np.ndarray, ranking: Ranking, seed: int) -> np.ndarray:
    """By score, the smallest first unless the order is descending."""
    return -numbers if ranking.order == "descending" else numbers


def by_weight(numbers: np.ndarray, doc: np.ndarray, ranking: Ranking, seed: int) -> np.ndarray:
    """By an exponential variable whose rate is the score: the first are a weighted draw without replacement."""
    from winnow.sample.choose import weighted_value

    return weighted_value(doc, log_weight(numbers, doc) if ranking.scale == "linear" else numbers, seed)


def log_weight(weight: np.ndarray, doc: np.ndarray) -> np.ndarray:
    """Logarithms of weights, -1e300 for a weight of 0. Raises InputError for a negative weight."""
    import numpy as np

    if (weight < 0).any():
        raise InputError(f"the weight of document {doc[weight < 0][0]} is {weight[weight < 0][0]:g}; "
                         "weights must be 0 or more")  # fmt: skip
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(weight), -1e300)


def by_bucket(numbers: np.ndarray, doc: np.ndarray, ranking: Ranking, seed: int) -> np.ndarray:
    """The bucket itself, a whole number. Raises InputError for anything else."""
    if ((numbers < 0) | (numbers % 1 != 0)).any():
        raise InputError(
            "ranking lsh: a bucket is a whole number >= 0; take the scores of a scorer of kind lsh"
        )
    return numbers


def by_uncertainty(numbers: np.ndarray, doc: np.ndarray, ranking: Ranking, seed: int) -> np.ndarray:
    """By what the model of the round before predicts, the most uncertain first: high entropy, low margin, low confidence."""
    return -numbers if ranking.measure == "entropy" else numbers


def _check_shares(ranking: Mapping[str, Any]) -> Problem:
    if not any(ranking.get("shares", {}).values()):
        return "ranking.shares", "'by: lsh' requires a positive share of proportional, random, diverse"
    return None


RANKINGS = {
    "random": Order(),
    "nearest": Order("distance", nearest),
    "farthest": Order("distance", farthest),
    "score": Order("score", by_score),
    "weighted": Order("score", by_weight, "weighted"),
    "lsh": Order("bucket", by_bucket, "buckets", ("shares",), _check_shares),
    "uncertainty": Order("prediction", by_uncertainty),
    "badge": Order("prediction", draws="badge"),
}


def check_ranking(ranking: Mapping[str, Any], weight: str) -> Problem:
    """What the schema cannot state of a ranking under an allocation's weight: the key that is wrong and why, or None."""
    by = ranking.get("by", "random")
    entry = RANKINGS[by]
    if ranking.get("order", "ascending") != "ascending" and by != "score":
        return "ranking.order", f"{ranking['order']} goes with 'by: score' only"
    if weight == NONE and entry.reads == "distance":
        return "ranking.by", f"{by} requires the distances of a clustering; weight is none"
    if measure := measure_of(ranking.get("column")):
        if entry.reads != "score":
            return (
                "ranking.column",
                f"{measure!r} of the profile goes with 'by: score, weighted' only, not with {by}",
            )
        if "scorer" in ranking:
            return (
                "ranking.scorer",
                f"goes with a column of its scores; {ranking['column']!r} is of the profile",
            )
    elif entry.scored and "scorer" not in ranking:
        return "ranking", f"missing key 'scorer': 'by: {by}' requires the name of a scorer"
    if "scorer" in ranking and not entry.scored:
        names = ", ".join(name for name, other in RANKINGS.items() if other.scored)
        return "ranking.scorer", f"goes with 'by: {names}' only, not with {by}"
    if problem := entry.check(ranking):
        return problem
    for key, default in (("measure", "entropy"), ("quantiles", 0)):
        if ranking.get(key, default) != default and by != "uncertainty":
            return f"ranking.{key}", f"goes with 'by: uncertainty' only, not with {by}"
    for owner, other in RANKINGS.items():
        for key in other.keys:
            if key in ranking and by != owner:
                return f"ranking.{key}", f"goes with 'by: {owner}' only, not with {by}"
    if weight != NONE and (by == "badge" or ranking.get("quantiles", 0)):
        return (
            "allocation.weight",
            f"{weight}: {by if by == 'badge' else 'ranking.quantiles'} draws from one pool; set none",
        )
    if weight == NONE and entry.draws == "buckets":
        return "ranking.by", f"{by} requires the buckets of clusters; weight is none"
    if ranking.get("purpose", "draw") != "draw" and by != "random":
        return "ranking.purpose", f"{ranking['purpose']} goes with 'by: random' only, not with {by}"
    return None
