"""How many documents each cluster gives: cluster table and sampler in, one count a cluster out.

A sampler's allocation is a weight a cluster and a rounding. The sound forms round by a capped divisor
method (Webster): exact, monotone in the budget, and a full cluster's shortfall goes to the others. The
published forms of the MiniPile improvement study round as it did (`floor`, `round`, `divmod`), cap a
cluster at its size and drop the shortfall.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import yaml
from cyclopts import Parameter

from winnow.config.samplers import check_sampler
from winnow.schema import check_definition
from winnow.stage import InputError, write_text

STAGE_VERSION = 1
SAMPLERS = Path(__file__).parents[3] / "config" / "samplers.yaml"
TERMS = ("size", "dispersion", "diversity")
SHARES = ("proportional", "random", "diverse")
TIE_COLUMNS = ("documents", "mean_distance", "sum_distance", "diversity", "proxy_loss")


@dataclass(frozen=True)
class Sampler:
    """A sampler's settings with their defaults; the fields are the keys of `$defs/sampler`, flat."""

    weight: str
    form: str = "sound"
    omega: float = 0.0
    top_up: float | None = None
    terms: dict[str, float] = field(default_factory=dict)
    loss: str = "proxy-loss"
    rounding: str = "webster"
    by: str = "random"
    scorer: str | None = None
    order: str = "ascending"
    column: str = "score"
    oversample: float = 1.5
    top: float = 0.8
    scale: str = "log"
    shares: dict[str, float] = field(default_factory=dict)
    purpose: str = "draw"
    excluded_clusters: str = "drop"
    trained: str = "drop"
    where: dict[str, Any] | None = None
    used: list[dict[str, Any]] = field(default_factory=list)
    contaminated: str | None = None
    semdedup: dict[str, Any] | None = None


def parse_sampler(config: Mapping[str, Any], where: str = "sampler") -> Sampler:
    """The sampler of a config entry, with the checks that a schema cannot state.

    Raises InputError with one line that starts with `where` and names the key.
    """
    check_definition("sampler", config, where)
    if problem := check_sampler(config):
        raise InputError(f"{where}.{problem[0]}: {problem[1]}")
    return Sampler(
        **config["allocation"],
        **config.get("ranking", {}),
        **config.get("filters", {}),
        rounding=config.get("rounding", "webster"),
    )


@dataclass(frozen=True)
class ClusterTable:
    """The clusters a sampler may draw from, in ascending order of id.

    `cluster` int64 [k]; `documents` int64 [k]; `columns`, the other columns float64 [k] that the sampler
    needs (or that break ties); `source`, the name of the table in messages.
    """

    cluster: np.ndarray
    documents: np.ndarray
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    source: str = "clusters"

    @property
    def pool(self) -> int:
        return int(self.documents.sum())


def needed_columns(sampler: Sampler) -> list[str]:
    """Columns of the cluster table, beside cluster and documents, that the allocation reads."""
    published = sampler.form == "published"
    dispersion = ["sum_distance"] if published else ["mean_distance"]
    match sampler.weight:
        case "density":
            return dispersion if sampler.omega or sampler.top_up else []
        case "loss":
            return ["proxy_loss"]
        case "weighted":
            terms = [t for t in TERMS if sampler.terms.get(t, 0) > 0]
            return dispersion * ("dispersion" in terms) + ["diversity"] * ("diversity" in terms)
    return []


def read_clusters(path: Path, sampler: Sampler) -> ClusterTable:
    """The kept clusters of a CSV or parquet file: columns cluster, documents, excluded (optional: none
    is), and those that the sampler needs; other columns are left alone.

    Raises InputError for a file that cannot be read, a column that is missing, ids that repeat, and
    values that are missing, not whole, negative or not finite where they must not be.
    """
    path = Path(path)
    try:
        if path.suffix == ".csv":
            table = pa.csv.read_csv(path)
        elif path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            raise InputError(f"{path}: a cluster table is a .csv or a .parquet file")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not readable as {path.suffix[1:]}: {str(error).splitlines()[0]}") from None
    return clusters_from_table(table, sampler, str(path))


def clusters_from_table(table: pa.Table, sampler: Sampler, source: str = "clusters") -> ClusterTable:
    """As `read_clusters`, from an arrow table."""
    names = table.column_names
    needed = needed_columns(sampler)
    sound_dispersion = "mean_distance" in needed and "mean_distance" not in names
    if sound_dispersion and "sum_distance" in names:
        needed[needed.index("mean_distance")] = "sum_distance"
    for name in ["cluster", "documents", *needed]:
        if names.count(name) != 1:
            what = f"no column {name!r}" if name not in names else f"more than one column {name!r}"
            raise InputError(f"{source}: {what}, which the sampler needs; columns: {', '.join(names)}")
    everyone = np.ones(table.num_rows, dtype=bool)
    cluster = _whole(table, "cluster", everyone, source)
    if len(np.unique(cluster)) < len(cluster):
        values, counts = np.unique(cluster, return_counts=True)
        raise InputError(f"{source}: cluster {values[counts > 1][0]} stands in more than one row")
    documents = _whole(table, "documents", everyone, source, cluster)
    if (documents < 0).any():
        row = int(np.argmax(documents < 0))
        raise InputError(f"{source}: cluster {cluster[row]} has {documents[row]} documents; 0 or more wanted")
    kept = everyone
    if "excluded" in names and sampler.excluded_clusters == "drop":
        kept = ~_flag(table, "excluded", cluster, source)
    if not kept.any():
        what = "all clusters are excluded" if len(kept) else "no clusters"
        raise InputError(f"{source}: {what}; at least one must be kept")
    columns = {}
    for name in dict.fromkeys([*needed, *(c for c in TIE_COLUMNS if c in names and c != "documents")]):
        required = name in needed
        columns[name] = _numbers(table, name, kept & (documents > 0), source, cluster, required)
    order = np.flatnonzero(kept)[np.argsort(cluster[kept])]
    columns = {name: values[order] for name, values in columns.items()}
    found = ClusterTable(cluster[order], documents[order], columns, source)
    if sound_dispersion and "sum_distance" in needed:
        size = np.maximum(found.documents, 1)
        found.columns["mean_distance"] = found.columns["sum_distance"] / size
    return found


def _numbers(
    table: pa.Table,
    name: str,
    kept: np.ndarray,
    source: str,
    cluster: np.ndarray | None = None,
    required: bool = True,
) -> np.ndarray:
    """A column as float64 [rows]; where `kept`, finite and not negative if `required`. (An empty cluster
    has no mean; it can give nothing anyway.)"""
    try:
        values = pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if not required:
            return np.zeros(table.num_rows)
        raise InputError(
            f"{source}: column {name!r} holds {table[name].type} where numbers are wanted"
        ) from None
    values = np.asarray(values, dtype=np.float64)
    if not required:
        return np.nan_to_num(values, nan=-1.0)
    bad = kept & ~np.isfinite(values)
    if cluster is not None:
        bad |= kept & (values < 0)
    if bad.any():
        row = int(np.argmax(bad))
        at = f"row {row + 1}" if cluster is None else f"cluster {cluster[row]}"
        shown = "no value" if np.isnan(values[row]) else f"{values[row]:g}"
        raise InputError(f"{source}: {at} has {shown} in column {name!r}; a finite number >= 0 is wanted")
    return np.where(kept, values, np.nan_to_num(values, posinf=0.0, neginf=0.0))


def _whole(
    table: pa.Table, name: str, kept: np.ndarray, source: str, cluster: np.ndarray | None = None
) -> np.ndarray:
    """A column of whole numbers as int64 [rows]."""
    if pa.types.is_integer(table[name].type) and not table[name].null_count:
        return table[name].to_numpy().astype(np.int64)
    values = _numbers(table, name, kept, source, cluster)
    bad = (values != np.floor(values)) | (np.abs(values) >= 2.0**53)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{source}: row {row + 1} has {values[row]:g} in column {name!r}; a whole number wanted"
        )
    return values.astype(np.int64)


def _flag(table: pa.Table, name: str, cluster: np.ndarray, source: str) -> np.ndarray:
    """A column of true/false or 1/0 as bool [rows]; an empty cell is false."""
    if pa.types.is_null(table[name].type):
        return np.zeros(table.num_rows, dtype=bool)
    try:
        values = pc.cast(pc.cast(table[name], pa.bool_()), pa.float64()).to_numpy(zero_copy_only=False)
        raw = pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        values, raw = np.zeros(table.num_rows), np.full(table.num_rows, 2.0)
    bad = ~np.isin(np.nan_to_num(np.asarray(raw)), (0, 1))
    if bad.any():
        row = int(np.argmax(bad))
        shown = table[name][row].as_py()
        raise InputError(f"{source}: cluster {cluster[row]} has {shown!r} in column {name!r}; 0 or 1 wanted")
    return np.nan_to_num(np.asarray(values)).astype(bool)


def weights(
    clusters: ClusterTable, sampler: Sampler, sizes: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Weight of each cluster and the total by which a weight becomes a share.

    `sizes` float64 [k] replaces the documents of a cluster as its size (a token budget: its tokens).
    Returns float64 [k] and a number. With T the sum of sizes, s_i the mean distance over its
    size-weighted mean, rho_i = sum_distance_i / documents_i, delta_i the diversity:

    - equal: 1; size: |C_i|; loss: l_i (no size factor)
    - density, sound: |C_i| (1 - omega + omega s_i), sums to T; published: |C_i| (1 - omega rho_i) over T
    - weighted, sound: each term is first a share that sums to 1; published: w_s |C_i| / T +
      w_d (1 - rho_i) + w_v delta_i / max delta

    Sums are exactly rounded (math.fsum), so the order of the clusters changes nothing.
    Raises InputError if the weights sum to zero, or one is negative.
    """
    size = clusters.documents.astype(np.float64) if sizes is None else np.asarray(sizes, dtype=np.float64)
    total = math.fsum(size)
    if total <= 0:
        raise InputError(f"{clusters.source}: the kept clusters hold no documents")
    published = sampler.form == "published"
    match sampler.weight:
        case "equal":
            values = np.ones(len(size))
        case "size":
            return size, total
        case "loss":
            values = clusters.columns["proxy_loss"]
        case "density":
            values = _density(clusters, size, total, sampler.omega, published)
            if published:
                _check_weights(values, clusters)
                return values, total
        case "weighted":
            values = np.zeros(len(size))
            for term in TERMS:
                weight = sampler.terms.get(term, 0.0)
                if weight > 0:
                    values = values + weight * _term(term, clusters, size, total, published)
        case _:
            raise InputError(f"weight {sampler.weight}: draws from one pool; there is nothing to allocate")
    _check_weights(values, clusters)
    return values, math.fsum(values)


def _check_weights(values: np.ndarray, clusters: ClusterTable) -> None:
    if (values < 0).any():
        row = int(np.argmax(values < 0))
        raise InputError(f"{clusters.source}: cluster {clusters.cluster[row]} has a weight of {values[row]:g}; "
                         "its dispersion is too large for the published form")  # fmt: skip
    if not (values > 0).any():
        raise InputError(f"{clusters.source}: the weights of the kept clusters sum to zero")


def _published_dispersion(clusters: ClusterTable) -> np.ndarray:
    return clusters.columns["sum_distance"] / np.maximum(clusters.documents, 1)


def _density(
    clusters: ClusterTable, size: np.ndarray, total: float, omega: float, published: bool
) -> np.ndarray:
    if omega == 0:
        return size
    if published:
        return size * (1 - omega * _published_dispersion(clusters))
    distance = clusters.columns["mean_distance"]
    mean = math.fsum(size * distance) / total
    if mean <= 0:
        raise InputError(f"{clusters.source}: all mean distances are 0: there is no dispersion to weigh by")
    return size * (1 - omega + omega * distance / mean)


def _term(name: str, clusters: ClusterTable, size: np.ndarray, total: float, published: bool) -> np.ndarray:
    if name == "size":
        return size / total
    if name == "dispersion" and published:
        return 1 - _published_dispersion(clusters)
    values = clusters.columns["diversity" if name == "diversity" else "mean_distance"]
    whole = float(values.max()) if published else math.fsum(values)
    if whole <= 0:
        raise InputError(
            f"{clusters.source}: the term {name} is 0 in every kept cluster; set its weight to 0"
        )
    return values / whole


def webster(
    weight: np.ndarray, capacity: np.ndarray, budget: int, tie: np.ndarray | None = None
) -> np.ndarray:
    """Divisor method of Webster with capacities: the `budget` smallest of the numbers (n - 1/2) / w_i,
    1 <= n <= capacity_i.

    Parameters: `weight` float64 [k] >= 0; `capacity` int64 [k] >= 0; `budget` >= 0; `tie` [k], of equal
    numbers the cluster with the smaller tie value comes first (default: the position).
    Returns int64 [k], summing to `budget`, each at most its capacity, none smaller for a larger budget.
    A cluster of weight 0 gets nothing. The time is O(k) for any budget: the threshold is found by
    bisection over the 64-bit floats themselves, so the result is exact.
    Source: Balinski and Young, Fair Representation (1982); capacities only remove numbers from the list.
    Raises ValueError if the clusters of positive weight cannot hold the budget.
    """
    weight = np.asarray(weight, dtype=np.float64)
    capacity = np.where(weight > 0, np.asarray(capacity, dtype=np.int64), 0)
    if int(capacity.sum()) < budget:
        raise ValueError(f"budget {budget} exceeds the capacity {capacity.sum()}")
    if budget == 0:
        return np.zeros(len(weight), dtype=np.int64)
    open_ = capacity > 0
    w, c = weight[open_], capacity[open_]

    def numbers(n: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return (n - 0.5) / w

    def count(threshold: float) -> np.ndarray:
        """How many numbers of each cluster are at most the threshold."""
        with np.errstate(over="ignore"):
            n = np.minimum(np.floor(threshold * w + 0.5), c).astype(np.int64)
        n -= (n > 0) & (numbers(n) > threshold)
        n += (n < c) & (numbers(n + 1) <= threshold)
        return n

    low, high = 0, int(np.array(np.inf).view(np.int64))
    while high - low > 1:
        middle = (low + high) // 2
        if count(float(np.array(middle).view(np.float64))).sum() >= budget:
            high = middle
        else:
            low = middle
    below, up_to = (count(float(np.array(bits).view(np.float64))) for bits in (low, high))
    position = np.arange(len(weight)) if tie is None else np.asarray(tie)
    queue = np.argsort(position[open_], kind="stable")
    extra = up_to - below
    left = budget - int(below.sum())
    before = np.cumsum(extra[queue]) - extra[queue]
    below[queue] += np.clip(left - before, 0, extra[queue])
    result = np.zeros(len(weight), dtype=np.int64)
    result[open_] = below
    return result


def table_ties(clusters: ClusterTable) -> np.ndarray:
    """A tie value for each cluster, int64 [k], from the table alone: the larger cluster first, then by
    mean distance, sum of distances, diversity and loss; the id decides only between equal rows."""
    known = [clusters.columns[c] for c in TIE_COLUMNS[1:] if c in clusters.columns]
    order = np.lexsort((clusters.cluster, *reversed(known), -clusters.documents))
    tie = np.empty(len(order), dtype=np.int64)
    tie[order] = np.arange(len(order))
    return tie


def allocate(
    clusters: ClusterTable, sampler: Sampler, budget: int, tie: np.ndarray | None = None
) -> np.ndarray:
    """Documents per kept cluster.

    Parameters: `budget`, documents >= 1; `tie` [k], the smallest draw key of each cluster (default:
    `table_ties`). Returns int64 [k]. Sound forms sum to the budget; the published roundings cap at the
    size of the cluster and drop the shortfall.
    Raises InputError for a budget below 1, or beyond the pool (rounding webster only).
    """
    if budget < 1:
        raise InputError(f"budget {budget}: at least 1 document is wanted")
    values, total = weights(clusters, sampler)
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
    quota = budget * values / total
    rounded = np.floor(quota) if sampler.rounding == "floor" else np.rint(quota)
    given = np.minimum(rounded.astype(np.int64), size)
    if sampler.top_up is not None:
        given = _top_up(clusters, given, sampler, budget)
    return given


def _top_up(clusters: ClusterTable, given: np.ndarray, sampler: Sampler, budget: int) -> np.ndarray:
    """The study's second pass: aims at what omega = top_up gives, walks the clusters in id order and gives
    int(remaining |C_i| / T) while `remaining` shrinks; so it stops at about 1 - 1/e of the way."""
    size = clusters.documents.astype(np.float64)
    total = math.fsum(size)
    aim = budget * _density(clusters, size, total, sampler.top_up or 0.0, published=True) / total
    target = int(np.minimum(np.floor(aim).astype(np.int64), clusters.documents).sum())
    remaining = target - int(given.sum())
    result = given.copy()
    for i, documents in enumerate(clusters.documents.tolist()):
        if remaining <= 0:
            break
        extra = min(int(remaining * documents / total), documents - int(result[i]))
        result[i] += extra
        remaining -= extra
    return result


def read_sampler(path: Path, name: str) -> Sampler:
    """The sampler `name` of a samplers file (top-level key `samplers`). Raises InputError."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    samplers = content.get("samplers") if isinstance(content, dict) else None
    if not isinstance(samplers, dict):
        raise InputError(f"{path}: no mapping under the top-level key 'samplers'")
    if name not in samplers:
        raise InputError(f"{path}: no sampler {name!r}; known: {', '.join(map(str, samplers))}")
    return parse_sampler(samplers[name], f"{path}: samplers.{name}")


def command(
    *,
    clusters: Path,
    sampler: str,
    samplers: Path = SAMPLERS,
    budget: Annotated[int, Parameter(allow_leading_hyphen=True)],
    out: Path,
) -> None:
    """Documents per cluster as a CSV `cluster,documents` (kept clusters, ascending id); prints the total.

    Args:
        clusters: Cluster table, .csv or .parquet: cluster, documents, excluded, and what the sampler needs
            (sum_distance, mean_distance, diversity, proxy_loss).
        sampler: Name of the sampler in the samplers file.
        samplers: YAML file with the samplers.
        budget: Documents to draw.
        out: CSV file to write.
    """
    chosen = read_sampler(samplers, sampler)
    if chosen.weight == "none":
        raise InputError(f"sampler {sampler}: it draws from one pool, without clusters; nothing to allocate")
    table = read_clusters(clusters, chosen)
    given = allocate(table, chosen, budget)
    rows = (f"{c},{n}\n" for c, n in zip(table.cluster.tolist(), given.tolist(), strict=True))
    write_text(out, "cluster,documents\n" + "".join(rows))
    print(int(given.sum()))
