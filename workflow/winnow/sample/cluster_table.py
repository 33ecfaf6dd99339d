"""Cluster tables: a CSV or parquet file in, the clusters that a sampler may draw from out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from winnow.parquet import read_table
from winnow.sample.sampler import Filters, Sampler, needs
from winnow.sample.weights import Allocation
from winnow.stage import InputError

TIE_COLUMNS = ("mean_distance", "sum_distance", "diversity", "proxy_loss")


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
        """Documents of all clusters."""
        return int(self.documents.sum())


def read_clusters(path: Path, sampler: Sampler) -> ClusterTable:
    """The kept clusters of a CSV or parquet file: columns cluster, documents, excluded (optional: none
    is), and those that the sampler needs; other columns are ignored.

    Raises InputError for a file that cannot be read, a column that is missing, duplicate ids, and
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


def read_with_losses(path: Path, losses: Path, sampler: Sampler) -> ClusterTable:
    """The kept clusters (`read_clusters`) with the column proxy_loss of a table of losses by cluster."""
    table = read_table(path)
    loss_table = read_table(losses, columns=["cluster", "proxy_loss"])
    loss = dict(zip(loss_table["cluster"].to_pylist(), loss_table["proxy_loss"].to_pylist(), strict=True))
    if "proxy_loss" in table.column_names:
        table = table.drop_columns("proxy_loss")
    column = pa.array([loss.get(c) for c in table["cluster"].to_pylist()], pa.float64())
    return clusters_from_table(table.append_column("proxy_loss", column), sampler, str(path))


def cluster_ids(path: Path) -> np.ndarray:
    """Ids of all clusters of a table, excluded ones too, int64 [k], ascending."""
    everything = Sampler(Allocation("equal"), filters=Filters(excluded_clusters="keep"))
    return read_clusters(path, everything).cluster


def clusters_from_table(table: pa.Table, sampler: Sampler, source: str = "clusters") -> ClusterTable:
    """As `read_clusters`, from an arrow table."""
    names = table.column_names
    facts = needs(sampler)
    required = list(facts.columns)
    from_sum = "mean_distance" in required and "mean_distance" not in names and "sum_distance" in names
    if from_sum:
        required[required.index("mean_distance")] = "sum_distance"
    for name in ["cluster", "documents", *required]:
        if names.count(name) != 1:
            what = f"no column {name!r}" if name not in names else f"more than one column {name!r}"
            raise InputError(f"{source}: {what}, which the sampler needs; columns: {', '.join(names)}")
    all_rows = np.ones(table.num_rows, dtype=bool)
    cluster = _whole(table, "cluster", all_rows, source)
    if len(np.unique(cluster)) < len(cluster):
        values, counts = np.unique(cluster, return_counts=True)
        raise InputError(
            f"{source}: cluster {values[counts > 1][0]} has more than one row; one row per cluster is expected"
        )
    documents = _whole(table, "documents", all_rows, source, cluster)
    if (documents < 0).any():
        row = int(np.argmax(documents < 0))
        raise InputError(
            f"{source}: cluster {cluster[row]} has {documents[row]} documents; it must be 0 or more"
        )
    kept = all_rows
    if "excluded" in names and facts.excluded:
        kept = ~_flag(table, "excluded", cluster, source)
    if not kept.any():
        what = "all clusters are excluded" if len(kept) else "no clusters"
        raise InputError(f"{source}: {what}; at least one must be kept")
    columns = {}
    for name in dict.fromkeys([*required, *(c for c in TIE_COLUMNS if c in names)]):
        columns[name] = _numbers(table, name, kept & (documents > 0), source, cluster, name in required)
    order = np.flatnonzero(kept)[np.argsort(cluster[kept])]
    columns = {name: values[order] for name, values in columns.items()}
    if from_sum:
        columns["mean_distance"] = columns["sum_distance"] / np.maximum(documents[order], 1)
    return ClusterTable(cluster[order], documents[order], columns, source)


def _numbers(
    table: pa.Table,
    name: str,
    kept: np.ndarray,
    source: str,
    cluster: np.ndarray | None = None,
    required: bool = True,
) -> np.ndarray:
    """A column as float64 [rows]; where `kept`, finite and not negative if `required`. (An empty cluster
    has no mean, and nothing is drawn from it.)"""
    try:
        values = pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if not required:
            return np.zeros(table.num_rows)
        raise InputError(f"{source}: column {name!r} is {table[name].type}; numbers are required") from None
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
        raise InputError(f"{source}: {at} has {shown} in column {name!r}; a finite number >= 0 is required")
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
            f"{source}: row {row + 1} has {values[row]:g} in column {name!r}; a whole number is required"
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
        raise InputError(
            f"{source}: cluster {cluster[row]} has {shown!r} in column {name!r}; it must be 0 or 1"
        )
    return np.nan_to_num(np.asarray(values)).astype(bool)
