"""Statistics of columns that are larger than memory: shards in; the figures of pandas' describe(), histograms and shares out.

Exact, and the same for any number of shards. Sums are of blocks of source rows, added without rounding (fsum). Order
statistics are found by the bits of a value: a first pass counts the upper 16 bits of all values, a second one the lower
16 bits of those whose upper bits are those of a value at one of the ranks. Memory: one shard of one column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from winnow.batching import blocks

Shards = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
"""A column, shard by shard, anew at each call: doc int64 [n], ascending, and values float32 (NaN: none) or int32 [n]."""
QUARTILES = (0.25, 0.5, 0.75)
TAILS = (0.01, 0.99)
BINS = 10


@dataclass(frozen=True)
class Description:
    """Figures of a column: how many values, and how many documents without one; mean, standard deviation (ddof=1), least,
    quartiles (linear) and greatest value, NaN where there are too few values. `tails`: the quantiles .01 and .99."""

    count: int
    missing: int
    mean: float
    std: float
    min: float
    quartiles: tuple[float, ...]
    max: float
    tails: tuple[float, ...]


def describe_values(values: np.ndarray) -> Description:
    """The figures of values that fit in memory, numbers [n]."""
    n = len(values)
    if not n:
        return Description(0, 0, *(math.nan,) * 3, (math.nan,) * 3, math.nan, (math.nan,) * 2)
    values = values.astype(np.float64)
    mean = math.fsum(values) / n
    std = math.sqrt(math.fsum((values - mean) ** 2) / (n - 1)) if n > 1 else math.nan
    quantiles = np.quantile(values, [*QUARTILES, *TAILS]).tolist()
    return Description(
        n, 0, mean, std, values.min(), tuple(quantiles[:3]), values.max(), tuple(quantiles[3:])
    )


def _sortable(values: np.ndarray) -> np.ndarray:
    """Whole numbers uint32 in the order of values float32 or int32."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    if values.dtype == np.int32:
        return bits ^ np.uint32(1 << 31)
    negative = bits >> np.uint32(31) == 1
    return np.where(negative, ~bits, bits | np.uint32(1 << 31))


def _value(sortable: int, dtype: np.dtype) -> float:
    """The value of a number of `_sortable`."""
    if dtype == np.int32:
        return float(sortable - (1 << 31))
    bits = sortable ^ (1 << 31) if sortable >> 31 else ~sortable & 0xFFFFFFFF
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])


def _valid(column: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Documents and values of each shard where there is a value, and how many have none. -0.0 is 0.0."""
    for doc, values in column:
        keep = np.isfinite(values)
        kept = values[keep]
        yield doc[keep], kept + np.float32(0) if kept.dtype == np.float32 else kept, int((~keep).sum())


def _block_sums(doc: np.ndarray, values: np.ndarray) -> list[float]:
    return [float(values[rows].sum()) for rows in blocks(doc)] if len(doc) else []


def describe(column: Shards) -> Description:
    """The figures of a column, in two passes."""
    upper, sums = np.zeros(1 << 16, dtype=np.int64), []
    missing, dtype = 0, np.dtype(np.float32)
    for doc, values, without in _valid(column()):
        missing += without
        if len(doc):
            dtype = values.dtype
            upper += np.bincount(_sortable(values) >> np.uint32(16), minlength=1 << 16)
            sums += _block_sums(doc, values.astype(np.float64))
    n = int(upper.sum())
    if not n:
        nothing = describe_values(np.zeros(0))
        return Description(**{**vars(nothing), "missing": missing})
    mean = math.fsum(sums) / n
    places = [q * (n - 1) for q in (*QUARTILES, *TAILS)]
    ranks = {0, n - 1} | {edge for place in places for edge in (math.floor(place), math.ceil(place))}
    before = np.concatenate([[0], np.cumsum(upper)])
    bin_of = {rank: int(np.searchsorted(before, rank, side="right")) - 1 for rank in ranks}
    lower = {place: np.zeros(1 << 16, dtype=np.int64) for place in set(bin_of.values())}
    squares: list[float] = []
    for doc, values, _ in _valid(column()):
        bits = _sortable(values)
        of_value = bits >> np.uint32(16)
        for place, counts in lower.items():
            inside = (bits[of_value == place] & np.uint32(0xFFFF)).astype(np.int64)
            counts += np.bincount(inside, minlength=1 << 16)
        squares += _block_sums(doc, (values.astype(np.float64) - mean) ** 2)

    @cache
    def at(rank: int) -> float:
        place = bin_of[rank]
        low = int(np.searchsorted(np.cumsum(lower[place]), rank - before[place], side="right"))
        return _value((place << 16) | low, dtype)

    def quantile(place: float) -> float:
        low, high, part = at(math.floor(place)), at(math.ceil(place)), place - math.floor(place)
        return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part

    quantiles = [quantile(place) for place in places]
    return Description(
        n, missing, mean, math.sqrt(math.fsum(squares) / (n - 1)) if n > 1 else math.nan,
        at(0), tuple(quantiles[:3]), at(n - 1), tuple(quantiles[3:]),
    )  # fmt: skip


def histogram(column: Shards, figures: Description, whole: bool) -> list[tuple[float, float, int]]:
    """Lower edge, upper edge and documents of BINS bins or fewer of equal width between the tails of a column; what is
    outside counts in the first and last bin, which begin and end at the least and the greatest value. Bins of `whole`
    numbers begin at whole numbers (and are at least 1 wide). One bin if all values are equal; none of no values."""
    if not figures.count:
        return []
    if figures.min == figures.max:
        return [(figures.min, figures.max, figures.count)]
    low, high = figures.tails
    if low == high:
        low, high = figures.min, figures.max
    if whole:
        width = max(1, math.ceil((high - low) / BINS))
        inner = np.arange(math.floor(low) + width, high + (high == figures.max) * 0.5, width)[: BINS - 1]
    else:
        inner = np.linspace(low, high, BINS + 1)[1:-1]
    counts = np.zeros(len(inner) + 1, dtype=np.int64)
    for _, values, _ in _valid(column()):
        counts += np.bincount(np.searchsorted(inner, values, side="right"), minlength=len(counts))
    edges = [figures.min, *inner.tolist(), figures.max]
    return list(zip(edges, edges[1:], counts.tolist(), strict=False))


Share = tuple[float, float, float] | tuple[None, None, None]


def share(part: int, whole: int, confidence: float = 0.95) -> Share:
    """A share and its interval (Wilson 1927); None of nothing."""
    from scipy.stats import binomtest

    if not whole:
        return None, None, None
    interval = binomtest(part, whole).proportion_ci(confidence, method="wilson")
    return part / whole, float(interval.low), float(interval.high)


def distinct(digests: Callable[[], Iterable[np.ndarray]], total: int, part: int = 1 << 24) -> int:
    """Different values among `total` digests uint64, some `part` of them in memory at a time."""
    parts = max(1, -(-total // part))
    return sum(
        len(np.unique(np.concatenate([np.zeros(0, np.uint64), *(d[d % np.uint64(parts) == p] for d in digests())])))
        for p in range(parts)
    )  # fmt: skip


def conditions(values: np.ndarray, objective: dict[str, float]) -> np.ndarray:
    """Which numbers [n] are within `min` and `max` of an objective, bool [n]; NaN is not."""
    low, high = objective.get("min", -math.inf), objective.get("max", math.inf)
    return (values >= low) & (values <= high)


def top(names: Sequence[tuple[str, int]], most: int | None = None) -> list[tuple[str, int]]:
    """Names by falling count, of equal counts by name, `most` of them."""
    return sorted(names, key=lambda item: (-item[1], item[0]))[:most]
