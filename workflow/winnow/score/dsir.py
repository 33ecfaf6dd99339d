"""Kind dsir: log ratio of a document's hashed n-grams, target against pool (Xie et al. 2023, arXiv 2302.03169).

`fit`: samples of the pool and of the target in, log ratios of the buckets out. Columns: `score` and `log_ratio` (a log
weight), `ngrams` (hashed words and pairs of words).
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.keys import keys
from winnow.parquet import batches, doc_column, is_listed, listed_docs, matches, open_parquet, read_table
from winnow.schema import read_spec
from winnow.score.kinds import Kind
from winnow.scripts import part
from winnow.stage import InputError, Progress, atomic_path, run, say, write_json

STAGE_VERSION = 2
KIND = Kind(reads="texts", uses=("score",), columns=("score", "log_ratio", "ngrams"), fits=True)
WORD = re.compile(r"\w+|[^\w\s]+")


def ngrams(text: str, buckets: int) -> np.ndarray:
    """Buckets of the words of a text and of its pairs of neighbours, int64 [2 words - 1].

    Words are runs of letters and digits, or of other signs, in lower case; in a script without spaces each character is
    a word. The hash of a word is its CRC-32, that of a pair mixes those of both (splitmix64).
    """
    words = np.array([zlib.crc32(w.encode()) for w in WORD.findall(part(text.lower()))], dtype=np.uint64)
    pairs = (words[:-1] << np.uint64(32)) | words[1:]
    with np.errstate(over="ignore"):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            pairs = (pairs ^ (pairs >> np.uint64(shift))) * np.uint64(factor)
    pairs ^= pairs >> np.uint64(31)
    return (np.concatenate((words, pairs)) % np.uint64(buckets)).astype(np.int64)


def bag(texts: Iterable[str], buckets: int) -> np.ndarray:
    """Counts of the n-grams of texts, float64 [buckets]."""
    total = np.zeros(buckets)
    for text in texts:
        total += np.bincount(ngrams(text, buckets), minlength=buckets)
    return total


def log_ratios(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """log p_target - log p_source of each bucket, float64 [buckets], from counts with one added to each."""
    return np.log((target + 1) / (target.sum() + len(target))) - np.log(
        (source + 1) / (source.sum() + len(source))
    )


def open_scorer(
    scorer: dict[str, Any], proxies: list[Path], ratios: Path | None
) -> Callable[[list[str], Progress], dict[str, np.ndarray]]:
    """See winnow.score.documents."""
    assert ratios is not None
    table = np.load(ratios)

    def score(texts: list[str], progress: Progress) -> dict[str, np.ndarray]:
        grams = [ngrams(text, len(table)) for text in texts]
        log = np.array([float(table[g].sum()) for g in grams])
        progress.add(len(texts))
        return {"score": log, "log_ratio": log, "ngrams": np.array([len(g) for g in grams], dtype=np.int64)}

    return score


def _sampled_texts(
    documents: Sequence[Path], removed: np.ndarray, where: dict[str, Any] | None, count: int, seed: int, characters: int
) -> Iterator[str]:  # fmt: skip
    """Texts of the `count` documents with the smallest keys among those not in `removed` and, if `where` is given, with one
    of its values of a meta column."""
    docs, masks = [], []
    for path in documents:
        doc = doc_column(path)
        mask = ~is_listed(doc, removed)
        if where:
            mask &= matches(path, where["column"], where)
        docs.append(doc)
        masks.append(mask)
    pool = np.concatenate([d[m] for d, m in zip(docs, masks, strict=True)])
    if not len(pool):
        raise InputError(f"scorer: no document of the pool has {where}; look at the values of that column")
    chosen = np.sort(pool[np.argsort(keys("probe", seed, pool))[:count]])
    for path, doc in zip(documents, docs, strict=True):
        mask, start = is_listed(doc, chosen), 0
        for batch in open_parquet(path, ["text"]).iter_batches(4096, columns=["text"]):
            rows = batch.column(0).filter(pa.array(mask[start : start + len(batch)]))
            start += len(batch)
            yield from pc.utf8_slice_codeunits(rows, 0, characters).to_pylist()


def excluded_docs(assignments: Sequence[Path], clusters: Path) -> np.ndarray:
    """Documents of the excluded clusters, int64 [n]. `clusters`: parquet with cluster and excluded."""
    table = read_table(clusters, columns=["cluster", "excluded"])
    excluded = np.sort(table["cluster"].to_numpy()[table["excluded"].to_numpy()])
    parts = [np.zeros(0, dtype=np.int64)]
    for path in assignments:
        parts += [doc[is_listed(cluster, excluded)] for doc, cluster in batches(path, ["doc", "cluster"])]
    return np.concatenate(parts)


def fit(
    *,
    documents: list[Path],
    heldout: Path,
    assignments: list[Path] = [],
    clusters: list[Path] = [],
    target: list[Path] = [],
    target_heldout: list[Path] = [],
    spec: str,
    out: Path,
    counts: Path,
) -> None:
    """Log ratios of the hashed n-grams, target against pool.

    Args:
        documents: shards of the corpus that is scored.
        heldout: its documents outside the pool.
        assignments: its assignment shards, where clusters are excluded from the pool.
        clusters: the cluster table (one) with the column excluded.
        target: shards of the target's corpus; none: the same.
        target_heldout: its documents outside the pool; none: the same.
        spec: JSON: scorer.
        out: .npy to write: float64 [buckets].
        counts: JSON to write: target and source, the documents and n-grams that were counted.
    """
    scorer = read_spec(spec, "scorer")["scorer"]
    many, seed, cut = scorer["documents"], scorer["seed"], scorer["characters"]
    removed = listed_docs([heldout])
    if clusters:
        removed = np.union1d(removed, excluded_docs(assignments, clusters[0]))
    where = scorer["target"].get("where")
    bags, facts = {}, {}
    for side, paths, outside, rule in (
        ("source", documents, removed, None),
        ("target", target or documents, listed_docs(target_heldout) if target else removed, where),
    ):
        number = itertools.count()
        chosen = zip(_sampled_texts(paths, outside, rule, many, seed, cut), number, strict=False)
        bags[side] = bag((text for text, _ in chosen), scorer["buckets"])
        facts[side] = {"documents": next(number), "ngrams": int(bags[side].sum())}
    say(
        f"[score] {facts['target']['ngrams']:,} n-grams of the target, {facts['source']['ngrams']:,} of the pool"
    )
    with atomic_path(out) as partial:
        np.save(partial, log_ratios(bags["target"], bags["source"]))
    write_json(counts, facts)


if __name__ == "__main__":
    run(fit)
