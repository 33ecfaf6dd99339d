"""Probes of clusters: a few documents of each, whose mean loss under a proxy is the cluster's (allocation weight `loss`).

`probe`: assignments in, the documents of the probe out. `losses`: their scores (kind proxy-loss) in, one loss per cluster out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.keys import keys
from winnow.parquet import BATCH, batches, is_listed, listed_docs, read_table
from winnow.schema import read_spec
from winnow.stage import InputError, atomic_path, run

STAGE_VERSION = 2


def probe(*, assignments: list[Path], heldout: Path, trained: list[Path] = [], spec: str, out: Path) -> None:
    """Choose the probe: of each cluster the documents with the smallest keys of the purpose `probe`.

    Args:
        assignments: assignment shards (parquet: doc, cluster).
        heldout: documents outside the pool.
        trained: draws that the proxy was trained on; none of them is probed.
        spec: JSON: scorer (kind proxy-loss).
        out: parquet to write: doc int64, cluster int32, ascending doc.
    """
    scorer = read_spec(spec, "scorer")["scorer"]
    removed = listed_docs([heldout, *trained])
    doc, cluster, key = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint64)
    last = np.zeros(
        0, dtype=np.uint64
    )  # of each cluster the largest key of its probe so far, if that is full
    parts, waiting = [(doc, cluster, key)], 0

    for path in assignments:
        for new_doc, new_cluster in batches(path, ["doc", "cluster"]):
            new_key = keys("probe", scorer["seed"], new_doc)
            more = int(new_cluster.max(initial=-1)) + 1 - len(last)
            last = np.concatenate((last, np.full(max(0, more), np.iinfo(np.uint64).max)))
            near = np.flatnonzero(new_key <= last[new_cluster])
            near = near[~is_listed(new_doc[near], removed)]
            parts.append((new_doc[near], new_cluster[near].astype(np.int32), new_key[near]))
            waiting += len(near)
            if waiting > max(len(doc), BATCH):
                doc, cluster, key = _first(parts, scorer["probe"], last)
                parts, waiting = [(doc, cluster, key)], 0
    doc, cluster, _ = _first(parts, scorer["probe"], last)
    order = np.argsort(doc)
    with atomic_path(out) as partial:
        pq.write_table(pa.table({"doc": doc[order], "cluster": cluster[order]}), partial)


def _first(
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], size: int, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of documents, clusters and keys those of the `size` smallest keys of each cluster, by cluster and key; writes the largest of
    these into `last`, for clusters that have so many."""
    doc, cluster, key = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((key, cluster))
    doc, cluster, key = doc[order], cluster[order], key[order]
    rank = np.arange(len(doc)) - np.searchsorted(cluster, cluster)
    full = rank == size - 1
    last[cluster[full]] = key[full]
    keep = rank < size
    return doc[keep], cluster[keep], key[keep]


def losses(*, probe: Path, scores: list[Path], spec: str, out: Path) -> None:
    """Mean proxy loss of each cluster's probe.

    Args:
        probe: documents and clusters of the probe.
        scores: score shards of the probe's documents (kind proxy-loss).
        spec: JSON: scorer.
        out: parquet to write: cluster, proxy_loss (nats per token, or per byte), probed (documents), and the sums
            log_probability, tokens, bytes.
    """
    scorer = read_spec(spec, "scorer")["scorer"]
    chosen = read_table(probe)
    doc, cluster = chosen["doc"].to_numpy(), chosen["cluster"].to_numpy()
    names = ["doc", "log_probability", "tokens", "bytes"]
    tables = [t for t in map(pq.read_table, scores) if t.num_rows]
    columns = [np.concatenate([t[name].to_numpy() for t in tables]) for name in names]
    order = np.argsort(columns[0])
    if not np.array_equal(columns[0][order], doc):
        raise InputError(f"{probe}: {len(doc):,} documents, but {len(order):,} have scores: make them again")
    ids, row = np.unique(cluster, return_inverse=True)
    log, tokens, size = (np.bincount(row, weights=c[order].astype(np.float64)) for c in columns[1:])
    loss = -log / np.maximum(tokens if scorer["per"] == "token" else size, 1)
    table = pa.table({
        "cluster": ids.astype(np.int32), "proxy_loss": loss, "probed": np.bincount(row),
        "log_probability": log, "tokens": tokens.astype(np.int64), "bytes": size.astype(np.int64),
    })  # fmt: skip
    with atomic_path(out) as partial:
        pq.write_table(table, partial)


if __name__ == "__main__":
    run(probe, losses)
