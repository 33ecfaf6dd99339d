"""Which documents a sampler draws: ids, clusters, distances, lengths and scores in; ids, split and inclusion
probability out, and the facts of the pool that they come from. No model and no text.

Of each cluster the documents are drawn that come first in the order of the ranking; random order is a hashed key
(`winnow.keys`), so the draw depends on no shard, worker or order of files, and for fixed weights a smaller
draw is a subset of a larger one. One pass over the shards keeps a few candidates of each cluster: memory is
O(budget + clusters).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.keys import keys
from winnow.parquet import listed_docs, open_array, read_table
from winnow.sample.acquisition import badge, equal_quotas, first_of_each, quantile_buckets
from winnow.sample.allocate import allocate, weights
from winnow.sample.candidates import Rows, Smallest, duplicate, gather
from winnow.sample.choose import (
    SPLITS,
    bucket_quotas,
    choose_documents,
    choose_mixture,
    choose_tokens,
    in_doc_order,
    level,
    mixture_probability,
    split_documents,
    weighted_probability,
)
from winnow.sample.cluster_table import ClusterTable
from winnow.sample.consumed import consumed, total
from winnow.sample.pool import Inputs, Pool, Scores, check_counts, open_pool
from winnow.sample.sampler import Sampler, needs, parse_sampler
from winnow.schema import read_spec
from winnow.stage import InputError, atomic_path, run, say, write_json

STAGE_VERSION = 4  # covers winnow.sample.choose, pool and rankings, too


Gradients = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Documents int64 [n] -> probabilities of classes float64 [n, classes], and vectors float [n, d]."""


@dataclass
class Drawn:
    """What was drawn: row of the cluster table int [n], document int64 [n], inclusion probability float64 [n]
    (None where it has no simple form), length int64 [n] (None: 1 each)."""

    cluster: np.ndarray
    doc: np.ndarray
    probability: np.ndarray | None
    length: np.ndarray | None = None


def draw(
    pool: Pool,
    sampler: Sampler,
    budget: Mapping[str, Any],
    seed: int,
    drop: Callable[[np.ndarray], np.ndarray] | None = None,
    gradients: Gradients | None = None,
) -> tuple[pa.Table, int]:
    """The draw: columns doc int64 (ascending), cluster int32, split string, probability float64 (null after a
    filter `after` the draw, where it has no simple form); and how many drawn documents that filter took out.

    `drop` tells which of the drawn documents (int64 [n], ascending) are taken out again, as bool [n]. `gradients`: what the
    ranking badge goes by.
    Raises InputError for a budget beyond the pool, and for a cluster table that does not fit the pool.
    """
    validation, test = budget.get("validation", 0), budget.get("test", 0)
    size = budget["train"] + validation + test
    clusters = pool.allocated
    if pool.filtered and clusters is not None:
        clusters = pool.count()[0]
        if clusters is not None and not clusters.documents.any():
            raise InputError("no document passes the sampler's filters")
    if budget.get("unit", "documents") == "tokens":
        drawn = _draw_tokens(pool, clusters, sampler, size, seed)
    elif needs(sampler).draws == "buckets":
        drawn = _draw_buckets(pool, sampler, size, seed)
    elif needs(sampler).draws == "quantiles":
        drawn = _draw_quantiles(pool, sampler.ranking.quantiles, size, seed)
    elif needs(sampler).draws == "badge":
        assert gradients is not None
        drawn = _draw_badge(pool, gradients, size, seed)
    else:
        drawn = _draw_documents(pool, clusters, sampler, size, seed)
    if clusters is None:
        pool.check_total()
    order = np.argsort(drawn.doc)
    if drop is not None:
        order = order[~drop(drawn.doc[order])]
        drawn.probability = None
        removed = len(drawn.doc) - len(order)
        say(f"[sample] near-duplicates taken out of the draw: {removed:,} of {len(drawn.doc):,}")
    doc = drawn.doc[order]
    if (doc[1:] == doc[:-1]).any():
        raise duplicate(doc[1:][doc[1:] == doc[:-1]][0])
    length = None if drawn.length is None else drawn.length[order]
    split = split_documents(doc, seed, validation, test, length)
    cluster = pa.nulls(len(doc), pa.int32())
    if clusters is not None:
        cluster = pa.array(clusters.cluster[drawn.cluster[order]].astype(np.int32))
    probability = pa.nulls(len(doc), pa.float64())
    if drawn.probability is not None:
        probability = pa.array(drawn.probability[order])
    names = pa.DictionaryArray.from_arrays(pa.array(split), pa.array(SPLITS)).cast(pa.string())
    table = pa.table({"doc": doc, "cluster": cluster, "split": names, "probability": probability})
    return table, len(drawn.doc) - len(doc)


def beyond_pool(pool: Pool, size: int, documents: int) -> InputError:
    """The error of a draw of `size` from a pool that has fewer `documents`: what is out of it, and what to change."""
    out = ", ".join(f"{many:,} {reason}" for reason, many in pool.excluded.items() if many)
    return InputError(
        f"budget: {size:,} documents exceed the pool of {documents:,}{f' (left out: {out})' if out else ''}; lower the "
        "budget, in rounds of labelling count or add, or raise rounds.pool"
    )


def _draw_documents(
    pool: Pool, clusters: ClusterTable | None, sampler: Sampler, size: int, seed: int
) -> Drawn:
    ranking, draws = sampler.ranking, needs(sampler).draws
    factor = ranking.oversample if draws == "mixture" else 1.0
    quotas = np.array([size]) if clusters is None else allocate(clusters, sampler, size)
    # Ties between clusters break by their smallest draw key, which is known after the pass over the documents:
    # that changes a quota by one at most.
    candidates = gather(pool, np.ceil(factor * (quotas + 1)) + 1, seed, ranking.purpose)
    if clusters is None:
        if size > candidates.pool[0]:
            raise beyond_pool(pool, size, int(candidates.pool[0]))
    else:
        check_counts(candidates.pool, clusters)
        quotas = allocate(clusters, sampler, size, candidates.smallest_key())
    if draws == "mixture":
        assert pool.scores is not None
        chosen = choose_mixture(candidates, quotas, pool.scores, factor, ranking.top)
        probability = mixture_probability(candidates, chosen, quotas, pool.scores, factor, ranking.top, pool)
    else:
        chosen, probability = choose_documents(candidates, quotas)
    if draws == "weighted":
        probability = weighted_probability(candidates, chosen, quotas, seed)
    return Drawn(candidates.cluster[chosen], candidates.doc[chosen], probability)


def _draw_buckets(pool: Pool, sampler: Sampler, size: int, seed: int) -> Drawn:
    """Ranking lsh: the shares `proportional` and `diverse` of each cluster's quota from its buckets, by keys of the
    purpose `mixture`; then the share `random` from the rest of the cluster, by those of `draw`."""
    clusters, smallest = pool.count()
    assert clusters is not None
    assert pool.scores is not None
    total_quotas = allocate(clusters, sampler, size, smallest)
    k = len(total_quotas)
    buckets = 0
    sizes = np.zeros((k, 1), dtype=np.int64)
    for rows in pool:
        bucket = _buckets(rows)
        needed = int(bucket.max(initial=0)) + 1
        if needed > sizes.shape[1]:
            sizes = np.pad(sizes, ((0, 0), (0, needed - sizes.shape[1])))
        buckets = sizes.shape[1]
        sizes += np.bincount(rows.cluster * buckets + bucket, minlength=k * buckets).reshape(k, buckets)
    quotas = np.zeros_like(sizes)
    random_quotas = np.zeros(k, dtype=np.int64)
    for i in range(k):
        quotas[i], random_quotas[i] = bucket_quotas(sizes[i], int(total_quotas[i]), sampler.ranking.shares)
    by_bucket = Smallest(quotas.ravel().astype(np.float64), seed, purpose="mixture")
    by_cluster = Smallest(total_quotas.astype(np.float64), seed)
    for rows in pool:
        by_bucket.add(Rows(rows.cluster.astype(np.int64) * buckets + _buckets(rows), rows.doc))
        by_cluster.add(Rows(rows.cluster, rows.doc))
    first, second = by_bucket.finish(), by_cluster.finish()
    free = np.flatnonzero(~np.isin(second.doc, first.doc))
    c = second.cluster[free]
    free = free[np.arange(len(c)) - np.searchsorted(c, c) < random_quotas[c]]
    probability = quotas / np.maximum(sizes, 1)
    of_rest = random_quotas / np.maximum(sizes.sum(1) - quotas.sum(1), 1)
    probability = probability + (1 - probability) * of_rest[:, None]
    cluster = np.concatenate((first.cluster // buckets, second.cluster[free]))
    doc = np.concatenate((first.doc, second.doc[free]))
    bucket = in_doc_order(pool.scores, doc).astype(np.int64)
    return Drawn(cluster, doc, probability[cluster, bucket])


def _whole_pool(pool: Pool, size: int) -> tuple[np.ndarray, list[Rows]]:
    """All documents of the pool, int64 [n], and their rows. Raises InputError if they are fewer than `size`."""
    rows = list(pool)
    doc = np.concatenate([np.zeros(0, dtype=np.int64), *(batch.doc for batch in rows)])
    if size > len(doc):
        raise beyond_pool(pool, size, len(doc))
    return doc, rows


def _draw_quantiles(pool: Pool, quantiles: int, size: int, seed: int) -> Drawn:
    """Ranking uncertainty with quantiles: the pool is cut into parts of equal size in the order of uncertainty, and the first
    documents of each are drawn, as many of one as of another. Memory: O(pool)."""
    doc, rows = _whole_pool(pool, size)
    value = np.concatenate([np.zeros(0), *(batch.value for batch in rows if batch.value is not None)])
    key = keys("draw", seed, doc)
    bucket = quantile_buckets(value, key, quantiles)
    chosen = first_of_each(bucket, value, key, equal_quotas(bucket, quantiles, size, key))
    return Drawn(np.zeros(len(chosen), dtype=np.int64), doc[chosen], np.ones(len(chosen)))


def _draw_badge(pool: Pool, gradients: Gradients, size: int, seed: int) -> Drawn:
    """Ranking badge: k-means++ on the gradients of the last layer. Memory: O(pool x dimension)."""
    doc, _ = _whole_pool(pool, size)
    chosen = badge(*gradients(doc), size, keys("draw", seed, doc), seed)
    return Drawn(np.zeros(len(chosen), dtype=np.int64), doc[chosen], np.ones(len(chosen)))


def _buckets(rows: Rows) -> np.ndarray:
    assert rows.value is not None
    return rows.value.astype(np.int64)


def _draw_tokens(pool: Pool, clusters: ClusterTable | None, sampler: Sampler, size: int, seed: int) -> Drawn:
    facts = needs(sampler)
    if facts.draws == "buckets":
        raise InputError(f"budget.unit: the ranking {sampler.ranking.by!r} draws documents, not tokens")
    if facts.draws == "mixture":
        raise InputError("budget.unit: the order 'mixture' draws documents, not tokens")
    if not facts.tokens:
        raise InputError(f"budget.unit: the rounding {sampler.rounding!r} counts documents, not tokens")
    k = 1 if clusters is None else len(clusters.cluster)
    tokens, documents, longest = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64), 0
    for rows in pool:
        assert rows.length is not None
        np.add.at(tokens, rows.cluster, rows.length)
        documents += np.bincount(rows.cluster, minlength=k)
        longest = max(longest, int(rows.length.max(initial=0)))
    if clusters is None:
        weight = np.ones(1)
    else:
        check_counts(documents, clusters)
        weight = weights(clusters, sampler.allocation, tokens.astype(np.float64))[0]
    if size > tokens[weight > 0].sum():
        raise InputError(f"budget: {size:,} tokens exceed the pool of {tokens[weight > 0].sum():,}")
    caps = np.where(weight > 0, 1.05 * level(weight, tokens, size) * weight + 2 * longest + 1, 0)
    while True:
        candidates = gather(pool, caps, seed, sampler.ranking.purpose)
        choice = choose_tokens(candidates, weight, size)
        if choice is not None:
            break
        caps = 2 * caps
    chosen, probability = choice
    if not len(chosen):
        raise InputError(f"budget: the first document is longer than all of the {size:,} tokens")
    if facts.draws == "weighted":
        quotas = np.bincount(candidates.cluster[chosen], minlength=k)
        probability = weighted_probability(candidates, chosen, quotas, seed)
    assert candidates.length is not None
    return Drawn(candidates.cluster[chosen], candidates.doc[chosen], probability, candidates.length[chosen])


def sample(
    inputs: Inputs,
    sampler: Sampler,
    budget: Mapping[str, Any],
    seed: int,
    semdedup: Mapping[str, Any] | None = None,
    previous: pa.Table | None = None,
    scores: Scores | None = None,
    gradients: Gradients | None = None,
    looked_at: np.ndarray | None = None,
) -> tuple[pa.Table, dict[str, Any]]:
    """The draw from files, and its facts: `pool` (documents; excluded, by reason) and `removed` (near-duplicates, after
    the draw). `semdedup`: settings of the scorer of that filter. `previous`: the draw of the round before, whose documents
    are used and stay drawn; the table then has a column `round` int32. `scores` and `gradients`: predictions that are not in
    files; `looked_at`: of which documents, int64, ascending. See `main` for what the files hold and `draw` for what comes out."""
    pool, duplicates = open_pool(inputs, sampler, budget, seed, scores)
    if previous is not None:
        used = [previous["doc"].to_numpy(), pool.filtered.documents.get("used", np.zeros(0, dtype=np.int64))]
        pool.filtered.documents["used"] = np.unique(np.concatenate(used))
    if needs(sampler).predictions:
        pool.filtered.only = listed_docs(inputs.scores) if looked_at is None else looked_at
    if needs(sampler).draws == "badge" and gradients is None:
        gradients = file_gradients(inputs)
    drop = None
    if needs(sampler).embeddings is not None:
        if not inputs.embeddings or semdedup is None or sampler.filters.semdedup is None:
            raise InputError(
                "filters.semdedup after the draw requires --embeddings and the settings of its scorer"
            )
        drop = _near_duplicates(inputs.assignments, inputs.embeddings, semdedup, sampler.filters.semdedup.eps)
    table, removed = draw(pool, sampler, budget, seed, drop, gradients)
    if previous is not None:
        table = with_round(previous, table)
    excluded = pool.excluded
    excluded["duplicates"] = duplicates
    excluded["heldout"] -= duplicates
    return table, {
        "pool": {"documents": pool.documents, "excluded": excluded},
        "removed": {"near-duplicates": removed},
    }


def with_round(previous: pa.Table, table: pa.Table) -> pa.Table:
    """The documents of the rounds before and of this one, ascending, with the column `round` (the first is 0)."""
    if "round" not in previous.column_names:
        previous = previous.append_column("round", pa.array(np.zeros(len(previous), dtype=np.int32)))
    last = int(np.max(previous["round"].to_numpy(), initial=0)) + 1
    table = table.append_column("round", pa.array(np.full(len(table), last, dtype=np.int32)))
    return pa.concat_tables([previous.select(table.column_names), table]).combine_chunks().sort_by("doc")


def file_gradients(inputs: Inputs) -> Gradients:
    """Probabilities (column of the files of scores) and vectors (embeddings of the shards) of documents, from files."""
    if not inputs.embeddings:
        raise InputError("ranking badge: requires --embeddings, the vectors of the shards")
    shards = inputs.assignments or inputs.documents
    doc = np.concatenate([read_table(path, columns=["doc"])["doc"].to_numpy() for path in shards])
    vectors = [open_array(path, mmap=True) for path in inputs.embeddings]
    predictions = pa.concat_tables(
        [read_table(path, columns=["doc", "probabilities"]) for path in inputs.scores]
    )
    known = predictions["doc"].to_numpy()
    probabilities = np.stack(predictions["probabilities"].to_numpy())
    order, places = np.argsort(known), np.argsort(doc)

    def gradients(wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)]
        if (known[rows] != wanted).any():
            raise InputError(
                f"--scores: no prediction for document {wanted[known[rows] != wanted][0]}; make them again"
            )
        at = places[np.searchsorted(doc, wanted, sorter=places)]
        starts = np.cumsum([0, *map(len, vectors)])
        out = np.empty((len(wanted), vectors[0].shape[1]), dtype=np.float32)
        for start, end, part in zip(starts, starts[1:], vectors, strict=False):
            inside = (at >= start) & (at < end)
            out[inside] = part[at[inside] - start]
        return probabilities[rows], out

    return gradients


def _near_duplicates(
    assignments: Sequence[Path], embeddings: Sequence[Path], scorer: Mapping[str, Any], eps: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Which of the drawn documents are near-duplicates of a drawn one that comes before them."""
    from winnow.score.semdedup import similarities

    def drop(doc: np.ndarray) -> np.ndarray:
        known, _, score = similarities(
            assignments, embeddings, lambda d: np.isin(d, doc), scorer["keep"], scorer["seed"]
        )
        if not np.array_equal(known, doc):
            raise InputError("--assignments: do not hold every drawn document once; make them again")
        return score > 1 - eps

    return drop


def main(
    *,
    documents: list[Path] = [],
    assignments: list[Path] = [],
    clusters: list[Path] = [],
    heldout: Path,
    scores: list[Path] = [],
    lengths: list[Path] = [],
    losses: list[Path] = [],
    used: list[Path] = [],
    trained: list[Path] = [],
    contaminated: list[Path] = [],
    near: list[Path] = [],
    embeddings: list[Path] = [],
    proxies: list[Path] = [],
    proxy_subsets: list[Path] = [],
    ratios: list[Path] = [],
    previous: list[Path] = [],
    measures: list[Path] = [],
    spec: str,
    out: Path,
    facts: Path,
) -> None:
    """Draws a subset: doc, cluster, split, probability, in ascending order of doc.

    Args:
        documents: Document shards (doc); read where there is no clustering, and by the filter where.
        assignments: Assignment shards (doc, cluster, distance), for samplers with clusters, and for those without whose
            pool has excluded clusters.
        clusters: Cluster table (.parquet or .csv; one), with the assignments.
        heldout: Parquet file (doc, role) whose documents are in no pool.
        scores: Shards with doc and the score column, or a measure of the profile, for a ranking by score; or the predictions of the model of the round
            before (winnow.rounds.predict), for a ranking by uncertainty or badge.
        lengths: Shards with doc and tokens, for a budget in tokens.
        losses: Table of cluster and proxy_loss (one), for the weight loss; without it the cluster table has it.
        used: Earlier draws whose documents are left out.
        trained: Draws that a scorer's proxies were trained on; their documents are left out.
        contaminated: Shards with the documents that hold a benchmark item, for that filter.
        near: Shards with doc and score of a scorer of kind semdedup, for that filter before the draw.
        embeddings: Vectors of the assignment shards, in their order, for that filter after the draw.
        proxies: manifest.json of each model trained here that the selection's scorers use (see winnow.sample.consumed).
        proxy_subsets: manifest.json of the subset of each of them.
        ratios: JSON of what the ratios of a target were counted on.
        measures: Shards with doc and the measure of the profile that the filter where goes by.
        previous: The draw of the round before (one), whose documents stay drawn.
        spec: JSON: ids, sampler, budget, data_seed, semdedup (settings of the filter's scorer, or null), selection (what
            the scorers use: winnow.sample.consumed).
        out: Parquet file to write.
        facts: JSON to write: pool (documents, and excluded by reason), removed (near-duplicates, after the draw),
            consumed (documents, labels and tokens that the selection took) and its parts.
    """
    settings = read_spec(spec, "ids", "sampler", "budget", "data_seed", "semdedup", "selection")
    sampler = parse_sampler(settings["sampler"], "--spec sampler")
    table_of_losses = losses[0] if losses else None
    parts = consumed(settings["selection"], proxies, proxy_subsets, table_of_losses, ratios)
    inputs = Inputs(
        heldout=heldout, documents=documents, assignments=assignments, clusters=clusters[0] if clusters else None,
        scores=scores, lengths=lengths, losses=table_of_losses, used=used, trained=trained,
        contaminated=contaminated, near=near, embeddings=embeddings, measures=measures,
    )  # fmt: skip
    try:
        table, pool_facts = sample(
            inputs, sampler, settings["budget"], settings["data_seed"], settings["semdedup"],
            read_table(previous[0]) if previous else None,
        )  # fmt: skip
    except InputError as error:
        if not previous:
            raise
        ids = settings["ids"]
        raise InputError(
            f"{ids['sampler']}, {ids['budget']}, data seed {settings['data_seed']}: {error}"
        ) from None
    with atomic_path(out) as partial:
        pq.write_table(table, partial, compression="zstd", row_group_size=1 << 20)
    write_json(facts, {**pool_facts, "consumed": total(parts), "consumed_parts": parts})
    counts = table["split"].value_counts().to_pylist()
    print(json.dumps({c["values"]: c["counts"] for c in counts}, sort_keys=True))


if __name__ == "__main__":
    run(main)
