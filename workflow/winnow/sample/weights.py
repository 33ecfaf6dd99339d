"""Weights of clusters: the keys of `allocation`, and for each weight the formula, the columns and the keys that it takes.

To add a weight: an entry of WEIGHTS (and its keys in Allocation) here, its name and keys in `$defs/sampler` of the
configuration schema, and a test. Nothing else tells one weight from another.
Imported at parse time: numpy only inside the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from winnow.stage import InputError

if TYPE_CHECKING:
    import numpy as np

    from winnow.sample.cluster_table import ClusterTable

Problem = tuple[str, str] | None
NONE = "none"
"""The weight of samplers that draw from the pool as a whole, without an allocation to clusters."""
TERMS = ("size", "dispersion", "diversity")


@dataclass(frozen=True)
class Allocation:
    """How many documents each cluster contributes; the fields are the keys of `allocation` in the schema."""

    weight: str
    omega: float = 0.0
    terms: Mapping[str, float] = field(default_factory=dict)
    loss: str = "proxy-loss"
    form: str = "sound"
    top_up: float | None = None


@dataclass(frozen=True)
class Weight:
    """One weight.

    `formula(clusters, sizes, allocation)` returns the weights float64 [k] of the clusters of a table, where `sizes`
    float64 [k] are their documents (of a token budget, their tokens). `columns(allocation)`: columns of the cluster table
    that it reads, beside cluster and documents; proxy_loss is the mean loss of the scorer `allocation.loss`. `keys`: keys
    of the allocation that only this weight has. `check(allocation)`: what the schema cannot state of it, as key and
    reason, or None. `of_pool`: a weight over the documents of the pool is a cluster's share of the budget; otherwise, over
    the sum of the weights.
    """

    formula: Callable[[ClusterTable, np.ndarray, Allocation], np.ndarray]
    columns: Callable[[Allocation], list[str]] = lambda allocation: []
    keys: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], Problem] = lambda allocation: None
    of_pool: bool = False


def equal(clusters: ClusterTable, sizes: np.ndarray, allocation: Allocation) -> np.ndarray:
    """The same for every cluster."""
    import numpy as np

    return np.ones(len(sizes))


def size(clusters: ClusterTable, sizes: np.ndarray, allocation: Allocation) -> np.ndarray:
    """|C_i|, the size of the cluster."""
    return sizes


def loss(clusters: ClusterTable, sizes: np.ndarray, allocation: Allocation) -> np.ndarray:
    """l_i, the mean proxy loss of the cluster, whatever its size."""
    return clusters.columns["proxy_loss"]


def density(clusters: ClusterTable, sizes: np.ndarray, allocation: Allocation) -> np.ndarray:
    """|C_i| (1 - omega + omega s_i), s_i the mean distance over its size-weighted mean: the weights sum to the pool."""
    if allocation.omega == 0:
        return sizes
    distance = clusters.columns["mean_distance"]
    mean = math.fsum(sizes * distance) / math.fsum(sizes)
    if mean <= 0:
        raise InputError(
            f"{clusters.source}: all mean distances are 0, so there is no dispersion to weigh by"
        )
    return sizes * (1 - allocation.omega + allocation.omega * distance / mean)


def density_published(clusters: ClusterTable, sizes: np.ndarray, allocation: Allocation) -> np.ndarray:
    """|C_i| (1 - omega rho_i), rho_i the sum of distances over the documents."""
    return sizes * (1 - allocation.omega * _published_dispersion(clusters)) if allocation.omega else sizes


def weighted(clusters: ClusterTable, sizes: np.ndarray, allocation: Allocation) -> np.ndarray:
    """Terms of size, dispersion and diversity, each first a share that sums to 1 over the clusters."""
    values = {
        "size": lambda: sizes,
        "dispersion": lambda: clusters.columns["mean_distance"],
        "diversity": lambda: clusters.columns["diversity"],
    }
    return _sum_of_terms(
        allocation, lambda term: _share(clusters, term, values[term](), math.fsum(values[term]()))
    )


def weighted_published(clusters: ClusterTable, sizes: np.ndarray, allocation: Allocation) -> np.ndarray:
    """w_s |C_i| / T + w_d (1 - rho_i) + w_v delta_i / max delta, T the documents, delta_i the diversity."""

    def term_values(term: str) -> np.ndarray:
        if term == "size":
            return _share(clusters, term, sizes, math.fsum(sizes))
        if term == "dispersion":
            return 1 - _published_dispersion(clusters)
        diversity = clusters.columns["diversity"]
        return _share(clusters, term, diversity, float(diversity.max()))

    return _sum_of_terms(allocation, term_values)


def _sum_of_terms(allocation: Allocation, term_values: Callable[[str], np.ndarray]) -> np.ndarray:
    import numpy as np

    weights = {term: allocation.terms.get(term, 0.0) for term in TERMS}
    return np.sum([weight * term_values(term) for term, weight in weights.items() if weight > 0], axis=0)


def _share(clusters: ClusterTable, term: str, values: np.ndarray, whole: float) -> np.ndarray:
    if whole <= 0:
        raise InputError(
            f"{clusters.source}: the term {term} is 0 in every kept cluster; set its weight to 0"
        )
    return values / whole


def _published_dispersion(clusters: ClusterTable) -> np.ndarray:
    return clusters.columns["sum_distance"] / clusters.documents.clip(min=1)


def _density_columns(column: str) -> Callable[[Allocation], list[str]]:
    return lambda allocation: [column] if allocation.omega or allocation.top_up else []


def _terms_columns(dispersion: str) -> Callable[[Allocation], list[str]]:
    columns = {"dispersion": dispersion, "diversity": "diversity"}
    return lambda allocation: [
        column for term, column in columns.items() if allocation.terms.get(term, 0) > 0
    ]


def _check_density(allocation: Mapping[str, Any]) -> Problem:
    if "omega" not in allocation:
        return "allocation", "missing key 'omega': weight density requires it, from 0 (size alone) to 1"
    return None


def _check_terms(allocation: Mapping[str, Any]) -> Problem:
    if not any(allocation.get("terms", {}).values()):
        return "allocation.terms", "weight weighted requires a positive weight of size, dispersion, diversity"
    return None


WEIGHTS = {
    "equal": Weight(equal),
    "size": Weight(size),
    "density": Weight(density, _density_columns("mean_distance"), ("omega", "top_up"), _check_density),
    "loss": Weight(loss, lambda allocation: ["proxy_loss"]),
    "weighted": Weight(weighted, _terms_columns("mean_distance"), ("terms",), _check_terms),
}
PUBLISHED = {
    "density": Weight(density_published, _density_columns("sum_distance"), of_pool=True),
    "weighted": Weight(weighted_published, _terms_columns("sum_distance")),
}
"""What `form: published` computes instead, as the MiniPile improvement study did."""


def weight_of(allocation: Allocation) -> Weight:
    """The weight of an allocation to clusters. Raises InputError for the weight none."""
    if allocation.weight == NONE:
        raise InputError("weight none: draws from one pool; there is nothing to allocate")
    return (PUBLISHED if allocation.form == "published" else WEIGHTS)[allocation.weight]


def check_allocation(allocation: Mapping[str, Any], rounding: str) -> Problem:
    """What the schema cannot state of an allocation and its rounding: the key that is wrong and why, or None."""
    weight, published = allocation["weight"], allocation.get("form", "sound") == "published"
    if weight in WEIGHTS and (problem := WEIGHTS[weight].check(allocation)):
        return problem
    for owner, entry in WEIGHTS.items():
        for key in entry.keys:
            if key in allocation and weight != owner:
                return f"allocation.{key}", f"goes with weight {owner} only, not with {weight}"
    if published and weight not in PUBLISHED:
        return "allocation.form", f"weight {weight} has no published form of its own; set the rounding"
    if "top_up" in allocation and not (published and rounding == "floor"):
        return "allocation.top_up", "goes with form published and rounding floor only"
    if rounding == "divmod" and weight != "equal":
        return "rounding", f"divmod goes with weight equal only, not with {weight}"
    if weight == NONE and rounding != "webster":
        return "rounding", f"{rounding} requires clusters; weight none has one pool"
    return None
