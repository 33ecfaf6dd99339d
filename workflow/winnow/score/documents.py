"""Documents or vectors of a shard -> a score of each document of the pool, and what it is computed from.

In: a shard of documents, or its vectors and clusters, and what the kind of scorer needs (models of its proxies, ratios).
Out: parquet with `doc`, `score` float64, and the other columns of the kind. Held-out documents, and those that a proxy was
trained on, are not scored. The number of shards changes no batch. Equal texts of a block are read once and have equal
scores.

What a kind (winnow.score.kinds) provides is one function. It returns the columns of its KIND, `score` first, as arrays of n.

- reads texts: `open_scorer(scorer, proxies, ratios)` returns `score(texts, progress)`, which is called with the n texts of a
  block (cut to `scorer["characters"]` if there is such a setting) and advances `progress` by n. `proxies`: folders of its
  models, in the order of KIND.proxies; `ratios`: what its `fit` wrote, or None.
- reads vectors: `score_vectors(scorer, vectors, cluster, centroids)` with vectors float16 [n, d], clusters int [n] and
  centroids float32 [k, d].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.batching import block_texts, blocks
from winnow.device import pick_device
from winnow.in_flight import METER, in_flight
from winnow.parquet import (
    doc_column,
    is_listed,
    listed_docs,
    open_array,
    open_parquet,
    read_table,
    vectors_of,
)
from winnow.schema import read_spec
from winnow.score.kinds import kind_of, load
from winnow.stage import InputError, Progress, atomic_path, run, say

STAGE_VERSION = 2


def chosen_blocks(path: Path, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Documents and texts of a shard's rows in `chosen` (bool [rows]), a block of source rows at a time."""
    doc = doc_column(path)
    slices = blocks(doc)
    with open_parquet(path, ["text"]) as file:
        for rows, texts in zip(slices, block_texts(file, slices), strict=True):
            block = np.flatnonzero(chosen[rows])
            if len(block):
                yield doc[rows][block], [texts[i] for i in block]


def proxy_folders(scorer: dict[str, Any], models: Sequence[Path]) -> list[Path]:
    """The folder of each proxy: in the Hub cache, or that of its manifest among `models`, those of the trained ones in order.

    Raises InputError if a manifest is missing.
    """
    from winnow.weights import weights_folder

    manifests = list(models)
    folders = []
    for key in kind_of(scorer).proxies:
        proxy = scorer[key]
        if "hub" in proxy:
            folders.append(weights_folder(proxy))
        elif manifests:
            folders.append(manifests.pop(0).parent)
        else:
            raise InputError(f"--models: no manifest of the trained proxy {proxy['model']!r}")
    return folders


def write_scores(columns: dict[str, np.ndarray], out: Path) -> None:
    """Writes scores. Raises InputError for one that is not finite."""
    bad = ~np.isfinite(columns["score"])
    if bad.any():
        raise InputError(f"document {columns['doc'][bad][0]}: the score is not finite")
    with atomic_path(out) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")


def texts(
    *,
    documents: Path,
    heldout: Path,
    spec: str,
    out: Path,
    models: list[Path] = [],
    trained: list[Path] = [],
    ratios: list[Path] = [],
    only: list[Path] = [],
    name: str = "",
    threads: int = 0,
) -> None:
    """Score the documents of a shard by their text.

    Args:
        documents: shard of documents (parquet: doc, text).
        heldout: documents outside the pool (parquet: doc).
        spec: JSON: scorer.
        out: parquet to write: doc, score, and what it was computed from.
        models: manifest.json of each proxy that was trained here, in the order in which the scorer names them.
        trained: draws (parquet: doc) that the proxies were trained on; none of these documents is scored.
        ratios: log ratios (.npy) that `winnow.score.dsir` writes, for the kind dsir.
        only: probes (parquet: doc); without any, the whole pool is scored.
        name: name of the shard in progress lines.
        threads: processor threads; 0 leaves torch's choice.
    """
    scorer = read_spec(spec, "scorer")["scorer"]
    kind = kind_of(scorer)
    if kind.reads != "texts":
        raise InputError(f"--spec scorer.kind: {scorer['kind']} reads {kind.reads}, not texts")
    if threads and kind.proxies:
        import torch

        torch.set_num_threads(threads)
    doc = doc_column(documents)
    chosen = ~is_listed(doc, listed_docs([heldout, *trained]))
    if only:
        chosen &= is_listed(doc, listed_docs(only))
    if kind.fits and not ratios:
        raise InputError(f"--ratios: missing; the kind {scorer['kind']} needs what its `fit` writes")
    say(f"[score {name}] {int(chosen.sum()):,} documents, {scorer['kind']}")
    score = load(scorer).open_scorer(scorer, proxy_folders(scorer, models), ratios[0] if ratios else None)
    progress = Progress(f"score {name}", total=int(chosen.sum()), unit="documents")

    def of_block(block: tuple[np.ndarray, list[str]]) -> dict[str, np.ndarray]:
        cut = [text[: scorer.get("characters")] for text in block[1]]
        return {"doc": block[0], **score(cut, progress)}

    device = pick_device() if kind.gpu else "cpu"
    parts = list(in_flight(of_block, chosen_blocks(documents, chosen), device))
    progress.line(METER.note(device))
    empty = {"doc": np.zeros(0, dtype=np.int64), "score": np.zeros(0)}
    write_scores({n: np.concatenate([p[n] for p in parts]) for n in parts[0]} if parts else empty, out)


def vectors(
    *, embeddings: Path, assignments: Path, centroids: Path, heldout: Path, spec: str, out: Path
) -> None:
    """Score the documents of a shard by their vectors and clusters.

    Args:
        embeddings: vectors of the shard (.npy) that its clustering goes by, or reduced vectors of all documents.
        assignments: its assignments (parquet: doc, cluster).
        centroids: centroids (.npy).
        heldout: documents outside the pool (parquet: doc).
        spec: JSON: scorer.
        out: parquet to write: doc, score, and the other columns of the kind.
    """
    scorer = read_spec(spec, "scorer")["scorer"]
    if (reads := kind_of(scorer).reads) != "vectors":
        raise InputError(f"--spec scorer.kind: {scorer['kind']} reads {reads}, not vectors")
    table = read_table(assignments, columns=["doc", "cluster"])
    doc, cluster = table["doc"].to_numpy(), table["cluster"].to_numpy()
    rows = vectors_of(embeddings, doc, assignments)
    columns = {"doc": doc, **load(scorer).score_vectors(scorer, rows, cluster, open_array(centroids))}
    pool = ~is_listed(doc, listed_docs([heldout]))
    write_scores({name: values[pool] for name, values in columns.items()}, out)


if __name__ == "__main__":
    run(texts, vectors)
