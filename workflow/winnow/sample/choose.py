"""Choosing documents from candidates: pure functions of arrays. Quotas and candidates in, positions and inclusion
probabilities out. The first of each cluster, a weighted draw, a mixture of scores, buckets, a budget of tokens; and splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from winnow.keys import keys, uniform
from winnow.sample.apportion import webster
from winnow.sample.candidates import Candidates, Rows
from winnow.stage import InputError

SPLITS = ("train", "validation", "test")
SHARES = ("proportional", "random", "diverse")
Scores = Callable[[np.ndarray], np.ndarray]
"""Documents int64 [n], ascending -> their scores, float64 [n]."""


def choose_documents(candidates: Candidates, quotas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first `quotas` int64 [k] candidates of each cluster.

    Returns their positions int64 [n] and inclusion probabilities float64 [n]. Over draw keys, a random
    order takes each of a cluster's documents with probability quota / pool. A ranking by value takes
    those before the last value surely, and of those that share it as many as there is room for.
    """
    chosen = np.flatnonzero(candidates.rank() < quotas[candidates.cluster])
    c = candidates.cluster[chosen]
    if candidates.value is None:
        return chosen, quotas[c] / candidates.pool[c]
    last = np.full(len(quotas), -np.inf)  # value of the last chosen candidate
    np.maximum.at(last, c, candidates.value[chosen])
    end = np.full(len(quotas), -np.inf)  # value of the last candidate
    np.maximum.at(end, candidates.cluster, candidates.value)
    tied = candidates.value == last[candidates.cluster]
    sharing = np.bincount(candidates.cluster[tied], minlength=len(quotas))
    sharing = sharing + np.where(end == last, candidates.ties, 0)
    at_last = candidates.value[chosen] == last[c]
    room = np.bincount(c[at_last], minlength=len(quotas))
    return chosen, np.where(at_last, room[c] / np.maximum(sharing[c], 1), 1.0)


def weighted_value(doc: np.ndarray, log_weight: np.ndarray, seed: int) -> np.ndarray:
    """log(-log(1 - u) / w) of documents, float64 [n]: the n smallest are a draw without replacement by weight.

    The order is that of Gumbel top-k (Efraimidis and Spirakis 2006; Kool et al. 2019), in logarithms, so that
    weights of any magnitude (a log ratio of a long document) neither overflow nor vanish.
    """
    # log1p(-u), not log(u): equal weights then draw the smallest keys, as a random ranking does.
    return np.log(-np.log1p(-uniform("draw", seed, doc))) - log_weight


def weighted_probability(
    candidates: Candidates, chosen: np.ndarray, quotas: np.ndarray, seed: int
) -> np.ndarray:
    """Inclusion probability 1 - exp(-w tau) of the chosen candidates, float64 [n]; tau is the first -log(1 - u)/w
    that the cluster left out (bottom-k sketches, Cohen and Kaplan 2007), so sums over subsets are unbiased."""
    assert candidates.value is not None
    tau = np.full(len(quotas), np.inf)
    left_out = np.flatnonzero(candidates.rank() == quotas[candidates.cluster])
    tau[candidates.cluster[left_out]] = candidates.value[left_out]
    minus_log = -np.log1p(-uniform("draw", seed, candidates.doc[chosen]))
    with np.errstate(over="ignore"):
        return -np.expm1(-minus_log * np.exp(tau[candidates.cluster[chosen]] - candidates.value[chosen]))


def bucket_quotas(sizes: np.ndarray, quota: int, shares: Mapping[str, float]) -> tuple[np.ndarray, int]:
    """How the quota of a cluster is spread over its buckets by the shares `proportional` and `diverse`.

    `sizes` int64 [b], documents of each bucket; `quota` at most their sum. All are Webster roundings:
    of the quota by the shares, of a share over the buckets (by size; the same for all), where the shortfall of
    full buckets goes to the others. Returns int64 [b], and what the share `random` adds to fill the quota.
    """
    amounts = webster(np.array([shares.get(s, 0.0) for s in SHARES]), np.full(len(SHARES), quota), quota)
    amount = dict(zip(SHARES, amounts.tolist(), strict=True))
    quotas = webster(sizes.astype(np.float64), sizes, amount["proportional"])
    quotas = quotas + webster((sizes > quotas).astype(np.float64), sizes - quotas, amount["diverse"])
    return quotas, amount["random"]


def choose_mixture(
    candidates: Candidates, quotas: np.ndarray, scores: Scores, oversample: float, top: float
) -> np.ndarray:
    """Of the first ceil(oversample x quota) candidates of each cluster, the round(top x quota) with the
    highest scores and the lowest of the rest. Returns positions int64 [n].

    A quota that a rounding cannot fill because the cluster is small is filled as far as possible.
    """
    size = mixture_sizes(candidates, quotas, oversample)
    sample = np.flatnonzero(candidates.rank() < size[candidates.cluster])
    c = candidates.cluster[sample]
    score = in_doc_order(scores, candidates.doc[sample])
    order = np.lexsort((candidates.key[sample], -score, c))
    rank = np.arange(len(c)) - np.searchsorted(c, c)  # c is sorted; so is c[order]
    high = np.rint(top * quotas).astype(np.int64)
    take = (rank < high[c]) | (rank >= (size - (quotas - high))[c])
    return np.sort(sample[order[take]])


def in_doc_order(scores: Scores, doc: np.ndarray) -> np.ndarray:
    """Scores of documents int64 [n] in any order, float64 [n]; asked for in ascending order, shard by shard."""
    order = np.argsort(doc)
    values = np.empty(len(doc))
    values[order] = scores(doc[order])
    return values


def mixture_sizes(candidates: Candidates, quotas: np.ndarray, oversample: float) -> np.ndarray:
    """Documents of each cluster among which a mixture chooses: int64 [k]."""
    return np.minimum(np.ceil(np.round(oversample * quotas, 6)).astype(np.int64), candidates.pool)


def mixture_probability(
    candidates: Candidates, chosen: np.ndarray, quotas: np.ndarray, scores: Scores, oversample: float, top: float,
    pool: Iterable[Rows],
) -> np.ndarray:  # fmt: skip
    """Inclusion probability of the documents that `choose_mixture` chose, float64 [n]; one more pass over the pool.

    A document is in the random draw of m of the cluster's N with probability m / N; then the higher ones drawn
    with it, of r in the cluster, are hypergeometric (m - 1 of N - 1, r among them), and it is chosen if fewer than the
    top's places, or at least all but the bottom's. Equal scores count half as higher.
    """
    from scipy.stats import hypergeom

    doc, cluster = candidates.doc[chosen], candidates.cluster[chosen]
    score = in_doc_order(scores, doc)
    order = np.lexsort((score, cluster))
    chosen_scores = np.split(score[order], np.searchsorted(cluster[order], np.arange(1, len(quotas))))
    counts = [
        np.zeros(2 * len(part) + 1, dtype=np.int64) for part in chosen_scores
    ]  # between, and at, the scores
    for rows in pool:
        value = scores(rows.doc)
        for c in np.unique(rows.cluster):
            here = value[rows.cluster == c]
            place = np.searchsorted(chosen_scores[c], here) + np.searchsorted(chosen_scores[c], here, "right")
            counts[c] += np.bincount(place, minlength=len(counts[c]))
    size, high = mixture_sizes(candidates, quotas, oversample), np.rint(top * quotas).astype(np.int64)
    probability = np.empty(len(doc))
    start = 0
    for c, part in enumerate(chosen_scores):
        left, right = np.searchsorted(part, part), np.searchsorted(part, part, "right")
        at_most = np.cumsum(counts[c])
        equal = at_most[left + right] - np.where(left + right > 0, at_most[left + right - 1], 0)
        above = at_most[-1] - at_most[left + right] + (equal - 1) // 2
        total, m = int(at_most[-1]), int(size[c])
        drawn = hypergeom(total - 1, np.maximum(above, 0), m - 1)
        share = drawn.cdf(high[c] - 1) + drawn.sf(m - (quotas[c] - high[c]) - 1)
        probability[order[start : start + len(part)]] = np.minimum(1.0, share * m / total)
        start += len(part)
    return probability


def choose_tokens(
    candidates: Candidates, weight: np.ndarray, budget: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Candidates up to a budget of tokens: Webster's method with documents of any length.

    With c the tokens of a cluster up to and including a document of length l, the documents are taken in
    ascending order of (c - l/2) / weight (for lengths of 1 that is the divisor method), as long as they
    fit: at most the budget, and short of it by less than the next document. A larger budget takes more
    of the same order, so draws are nested and monotone; the shortfall of a full cluster goes to the others.

    Returns positions int64 [n] and inclusion probabilities float64 [n] (random order: drawn over pool, of
    the cluster), or None if the candidates end too early to know.
    """
    assert candidates.length is not None
    c, length = candidates.cluster, candidates.length
    first = np.searchsorted(c, np.arange(len(weight) + 1))
    total = np.cumsum(length)
    upto = total - np.concatenate(([0], total))[first[c]]
    priority = (upto - length / 2) / weight[c]
    tie = candidates.smallest_key()
    order = np.lexsort((candidates.rank(), tie[c], priority))
    taken = int(np.searchsorted(np.cumsum(length[order]), budget, side="right"))
    count = np.diff(first)
    cut = np.flatnonzero((count < candidates.pool) & (weight > 0))
    horizon = min((priority[first[i + 1] - 1] if count[i] else -np.inf for i in cut), default=np.inf)
    stop = priority[order[taken]] if taken < len(order) else np.inf
    if len(cut) and stop >= horizon:
        return None
    chosen = np.sort(order[:taken])
    drawn = np.bincount(c[chosen], minlength=len(weight))
    if candidates.value is not None:
        return chosen, np.ones(len(chosen))
    return chosen, drawn[c[chosen]] / candidates.pool[c[chosen]]


def level(weight: np.ndarray, capacity: np.ndarray, budget: float) -> float:
    """The number x for which the sum of min(capacity, x weight) is the budget (at most the capacity)."""
    open_ = (weight > 0) & (capacity > 0)
    w, c = weight[open_].astype(np.float64), capacity[open_].astype(np.float64)
    order = np.argsort(c / w)
    w, c = w[order], c[order]
    full = np.concatenate(([0.0], np.cumsum(c)[:-1]))
    rest = np.cumsum(w[::-1])[::-1]
    x = (budget - full) / rest
    return float(x[np.argmax(x <= c / w)]) if (x <= c / w).any() else float((c / w)[-1])


def split_documents(
    doc: np.ndarray, seed: int, validation: int, test: int, length: np.ndarray | None = None
) -> np.ndarray:
    """Index into SPLITS for each drawn document, int8 [n]: the smallest keys of the purpose `split` are the
    test split, the next ones validation, all others train.

    Sizes count documents, or, with `length` int64 [n], tokens: a split takes documents as long as they fit.
    Raises InputError if nothing is left for train.
    """
    order = np.argsort(keys("split", seed, doc))
    total = np.cumsum(np.ones(len(doc), dtype=np.int64) if length is None else length[order])

    def end(start: int, size: int) -> int:
        used = int(total[start - 1]) if start else 0
        return int(np.searchsorted(total, used + size, side="right")) if size else start

    first = end(0, test)
    last = end(first, validation)
    if last >= len(doc):
        raise InputError(
            f"budget: the draw has {len(doc):,} documents; validation and test leave none for train"
        )
    split = np.zeros(len(doc), dtype=np.int8)
    split[order[:first]] = SPLITS.index("test")
    split[order[first:last]] = SPLITS.index("validation")
    return split
