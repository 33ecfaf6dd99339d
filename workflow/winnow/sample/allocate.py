"""How many documents are drawn from each cluster: cluster table and sampler in, one quota per cluster out.

An allocation is a weight of each cluster (winnow.sample.weights) and a rounding. The sound forms round by a capped
divisor method (Webster): exact, monotone in the budget, and the shortfall of a full cluster goes to the others. The
published forms of the MiniPile improvement study round as it did (`floor`, `round`, `divmod`), cap a
cluster at its size and drop the shortfall.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from winnow.sample.apportion import webster
from winnow.sample.cluster_table import TIE_COLUMNS, ClusterTable, read_clusters
from winnow.sample.sampler import SAMPLERS, Sampler, needs, read_sampler
from winnow.sample.weights import Allocation, weight_of
from winnow.stage import InputError, write_text

STAGE_VERSION = 1  # covers winnow.sample.weights and winnow.sample.cluster_table, too


def weights(
    clusters: ClusterTable, allocation: Allocation, sizes: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Weight of each cluster and the total by which a weight becomes a share.

    `sizes` float64 [k] replaces the documents of a cluster as its size (a token budget: its tokens).
    Returns float64 [k] and a number; winnow.sample.weights has the formulas.
    Sums are exactly rounded (math.fsum), so the order of the clusters does not matter.
    Raises InputError if the weights sum to zero, or one is negative.
    """
    size = clusters.documents.astype(np.float64) if sizes is None else np.asarray(sizes, dtype=np.float64)
    pool = math.fsum(size)
    if pool <= 0:
        raise InputError(f"{clusters.source}: the kept clusters hold no documents")
    weight = weight_of(allocation)
    values = weight.formula(clusters, size, allocation)
    if (values < 0).any():
        row = int(np.argmax(values < 0))
        reason = (
            "; its dispersion is too large for the published form" if allocation.form == "published" else ""
        )
        raise InputError(
            f"{clusters.source}: cluster {clusters.cluster[row]} has a weight of {values[row]:g}, which must be 0 or more{reason}"
        )
    if not (values > 0).any():
        raise InputError(f"{clusters.source}: the weights of the kept clusters sum to zero")
    return values, pool if weight.of_pool else math.fsum(values)


def table_ties(clusters: ClusterTable) -> np.ndarray:
    """A tie value for each cluster, int64 [k], from the table alone: the larger cluster first, then by
    mean distance, sum of distances, diversity and loss; the id decides only between equal rows."""
    columns = [clusters.columns[c] for c in TIE_COLUMNS if c in clusters.columns]
    order = np.lexsort((clusters.cluster, *reversed(columns), -clusters.documents))
    tie = np.empty(len(order), dtype=np.int64)
    tie[order] = np.arange(len(order))
    return tie


def allocate(
    clusters: ClusterTable, sampler: Sampler, budget: int, tie: np.ndarray | None = None
) -> np.ndarray:
    """Quotas: documents to draw from each kept cluster.

    Parameters: `budget`, documents >= 1; `tie` [k], the smallest draw key of each cluster (default:
    `table_ties`). Returns int64 [k]. Sound forms sum to the budget; the published roundings cap at the
    size of the cluster and drop the shortfall.
    Raises InputError for a budget below 1, or beyond the pool (rounding webster only).
    """
    if budget < 1:
        raise InputError(f"budget {budget}: at least 1 document is required")
    values, total = weights(clusters, sampler.allocation)
    size = clusters.documents
    if sampler.rounding == "webster":
        pool = int(size[values > 0].sum())
        if budget > pool:
            count = int((values > 0).sum())
            raise InputError(f"budget {budget:,} exceeds the pool: {clusters.source} has {pool:,} documents "
                             f"in {count:,} kept clusters of positive weight")  # fmt: skip
        return webster(values, size, budget, table_ties(clusters) if tie is None else tie)
    if sampler.rounding == "divmod":
        each, rest = divmod(budget, len(size))
        return np.minimum(each + (np.arange(len(size)) < rest), size)
    share = budget * values / total
    rounded = np.floor(share) if sampler.rounding == "floor" else np.rint(share)
    quotas = np.minimum(rounded.astype(np.int64), size)
    if sampler.allocation.top_up is not None:
        quotas = _top_up(clusters, quotas, sampler.allocation, budget)
    return quotas


def _top_up(clusters: ClusterTable, quotas: np.ndarray, allocation: Allocation, budget: int) -> np.ndarray:
    """The study's second pass: aims at the total of omega = top_up, goes through the clusters in order of id and adds
    int(remaining |C_i| / T) while `remaining` shrinks; so it covers about 1 - 1/e of the difference."""
    size = clusters.documents.astype(np.float64)
    total = math.fsum(size)
    second = replace(allocation, omega=allocation.top_up or 0.0)
    aim = budget * weight_of(second).formula(clusters, size, second) / total
    target = int(np.minimum(np.floor(aim).astype(np.int64), clusters.documents).sum())
    remaining = target - int(quotas.sum())
    result = quotas.copy()
    for i, documents in enumerate(clusters.documents.tolist()):
        if remaining <= 0:
            break
        extra = min(int(remaining * documents / total), documents - int(result[i]))
        result[i] += extra
        remaining -= extra
    return result


def command(
    *,
    clusters: Path,
    sampler: str,
    samplers: Path = SAMPLERS,
    budget: Annotated[int, Parameter(allow_leading_hyphen=True)],
    out: Path,
) -> None:
    """Documents to draw from each cluster as a CSV `cluster,documents` (kept clusters, ascending id); prints the total.

    Args:
        clusters: Cluster table, .csv or .parquet: cluster, documents, excluded, and what the sampler needs
            (sum_distance, mean_distance, diversity, proxy_loss).
        sampler: Name of the sampler in the samplers file.
        samplers: YAML file with the samplers.
        budget: Documents to draw.
        out: CSV file to write.
    """
    chosen = read_sampler(samplers, sampler)
    if not needs(chosen).allocates:
        raise InputError(f"sampler {sampler}: it draws from one pool, without clusters; nothing to allocate")
    table = read_clusters(clusters, chosen)
    quotas = allocate(table, chosen, budget)
    rows = (f"{c},{n}\n" for c, n in zip(table.cluster.tolist(), quotas.tolist(), strict=True))
    write_text(out, "cluster,documents\n" + "".join(rows))
    print(int(quotas.sum()))
