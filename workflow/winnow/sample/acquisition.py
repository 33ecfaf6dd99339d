"""Which documents a round of labelling takes: pure functions of probabilities, clusters, vectors and keys.

Ties break by the draw key, so a choice depends on no order of rows. In: probabilities float64 [n, classes] of documents that
may be drawn, or values of which smaller ones come first. Out: values, buckets, positions.

Sources: least confidence, margin and entropy, Settles 2009 (Active Learning Literature Survey, section 3.1); BADGE, Ash et
al. 2020 (arXiv 1906.03671, algorithm 1).
"""

from __future__ import annotations

import numpy as np

from winnow.keys import keys
from winnow.sample.allocate import webster


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Predictive entropy in nats, float64 [n]: 0 where a class has all probability."""
    p = np.clip(probabilities, 0, 1)
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1)


def margin(probabilities: np.ndarray) -> np.ndarray:
    """Probability of the likeliest class above that of the second, float64 [n]; small where a model is torn."""
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def confidence(probabilities: np.ndarray) -> np.ndarray:
    """Probability of the likeliest class, float64 [n]; least confidence takes the smallest first."""
    return probabilities.max(axis=1)


def round_sample(doc: np.ndarray, size: int | None, seed: int, index: int) -> np.ndarray:
    """The documents int64, ascending, that round `index` looks at: `size` of `doc` int64 [n], drawn anew each round by keys;
    all where `size` is None."""
    if size is None or size >= len(doc):
        return np.sort(doc)
    order = np.argpartition(keys("round", 1000 * seed + index, doc), size - 1)
    return np.sort(doc[order[:size]])


def quantile_buckets(value: np.ndarray, key: np.ndarray, buckets: int) -> np.ndarray:
    """Which of `buckets` equal parts of the order by (value, key) a document is in, int64 [n]; sizes differ by one at most."""
    order = np.lexsort((key, value))
    bucket = np.empty(len(value), dtype=np.int64)
    for index, part in enumerate(np.array_split(order, buckets)):
        bucket[part] = index
    return bucket


def equal_quotas(bucket: np.ndarray, buckets: int, size: int, key: np.ndarray) -> np.ndarray:
    """`size` shared equally among buckets, int64 [buckets]: a bucket that runs dry passes its shortfall on.

    A remainder goes to the buckets with the smallest keys. `size` is at most the number of documents.
    """
    available = np.bincount(bucket, minlength=buckets)
    smallest = np.full(buckets, np.iinfo(np.uint64).max)
    np.minimum.at(smallest, bucket, key)
    return webster((available > 0).astype(np.float64), available, size, smallest)


def first_of_each(bucket: np.ndarray, value: np.ndarray, key: np.ndarray, quotas: np.ndarray) -> np.ndarray:
    """Positions of the first `quotas[b]` documents of each bucket by (value, key), int64, ascending."""
    order = np.lexsort((key, value, bucket))
    ordered = bucket[order]
    rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    return np.sort(order[rank < quotas[ordered]])


def badge(
    probabilities: np.ndarray, vectors: np.ndarray, size: int, key: np.ndarray, seed: int
) -> np.ndarray:
    """`size` positions by k-means++ in the space of gradients of the last layer, int64, in the order of choice (BADGE).

    The gradient at a document, had it the label that the model predicts, is (p - onehot) x vector, of which products are
    known from those of both parts: it is never built. `vectors` float [n, d], any norm. Documents that are equal to one
    chosen (or of which the model is sure) have distance 0 and are chosen last, by key. Draws are of a generator seeded by
    the data seed and the size, over rows in the order of keys: they depend on no order of rows.
    """
    order = np.argsort(key, kind="stable")
    p, x = probabilities[order].astype(np.float64), np.asarray(vectors[order], dtype=np.float32)
    error = p.copy()
    error[np.arange(len(p)), p.argmax(axis=1)] -= 1
    norm = (error**2).sum(1) * (x.astype(np.float64) ** 2).sum(1)
    generator = np.random.default_rng([seed, size])
    distance = norm.copy()  # to the origin first: the first choice is by the length of the gradient
    free = np.ones(len(p), dtype=bool)
    chosen = np.empty(min(size, len(p)), dtype=np.int64)
    for i in range(len(chosen)):
        mass = np.cumsum(np.where(free, distance, 0))
        if mass[-1] > 0:
            at = int(np.searchsorted(mass, generator.random() * mass[-1], side="right"))
            at = min(at, len(mass) - 1)
            while not free[at]:  # the end of the sum, where rounding may point beyond the last free row
                at -= 1
        else:
            at = int(np.flatnonzero(free)[0])
        chosen[i], free[at] = at, False
        product = (error @ error[at]) * (x @ x[at])
        left = np.maximum(norm + norm[at] - 2 * product, 0)
        distance = left if i == 0 else np.minimum(distance, left)
    return order[chosen]
