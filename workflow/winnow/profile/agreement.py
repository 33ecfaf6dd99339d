"""Agreement of two classifications, and association of features with classes: pure functions of counts.

In: tables of counts, which add up over shards. Out: weighted kappa with its interval; log odds ratios with theirs.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000


def crosstab(first: np.ndarray, second: np.ndarray, levels: Sequence[str]) -> np.ndarray:
    """How many documents have each pair of levels, int64 [k, k]; a document without one of the two (None) does not count.

    Raises ValueError for a level that is not among `levels`.
    """
    place = {level: at for at, level in enumerate(levels)}
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    unknown = {level for pair in both for level in pair} - set(place)
    if unknown:
        raise ValueError(f"levels {', '.join(sorted(unknown))}; known: {', '.join(levels)}")
    out = np.zeros((len(levels), len(levels)), dtype=np.int64)
    for a, b in both:
        out[place[a], place[b]] += 1
    return out


def weighted_kappa(table: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights of a table of counts [k, k]; NaN where there is nothing to agree on (no documents,
    or all of one level by both)."""
    from statsmodels.stats.inter_rater import cohens_kappa

    if not table.sum() or table.max() == np.trace(table) == table.sum():
        return float("nan")
    return float(cohens_kappa(table, wt="fc", return_results=False))


def agreement(table: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Kappa with quadratic weights of a table of counts [k, k], and its 95 % interval by a percentile bootstrap of the documents.

    Keys: documents, kappa, ci_low, ci_high, same (share on the diagonal). None where it is not defined.
    """
    n = int(table.sum())
    kappa = weighted_kappa(table)
    row: dict[str, Any] = dict(documents=n, kappa=None, ci_low=None, ci_high=None, same=None)
    if n:
        row["same"] = float(np.trace(table) / n)
    if np.isnan(kappa):
        return row
    row["kappa"] = kappa
    draws = np.random.default_rng(seed).multinomial(n, (table / n).ravel(), size=resamples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        kappas = np.array([weighted_kappa(draw.reshape(table.shape)) for draw in draws])
    kappas = kappas[np.isfinite(kappas)]
    if len(kappas):
        row["ci_low"], row["ci_high"] = (float(x) for x in np.quantile(kappas, (0.025, 0.975)))
    return row


def associations(
    both: np.ndarray,
    features: Sequence[str],
    with_feature: np.ndarray,
    classes: Sequence[str],
    with_class: np.ndarray,
    n: int,
) -> list[dict[str, Any]]:
    """How a feature goes together with a class: a row for each pair, for a table or a heat map.

    `both` [f, c]: documents with feature and class; `with_feature` [f], `with_class` [c]: with each; of n documents.
    Keys: feature, class, documents, expected (if they were independent), lift, log_odds with its 95 % interval (Woolf 1955, with
    half a document added to each of the four counts: Haldane 1956), and p, adjusted by Holm over all pairs. Where a
    feature or a class is in no document, or in all of them, the figures are None.
    """
    from scipy.stats import norm
    from statsmodels.stats.multitest import multipletests

    keys = [(feature, name) for feature in features for name in classes]
    together = np.asarray(both, dtype=np.float64).ravel()
    ours = np.repeat(np.asarray(with_feature, dtype=np.float64), len(classes))
    theirs = np.tile(np.asarray(with_class, dtype=np.float64), len(features))
    cells = np.stack([together, ours - together, theirs - together, n - ours - theirs + together]) + 0.5
    log_odds = np.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    error = np.sqrt((1 / cells).sum(0))
    defined = (ours > 0) & (ours < n) & (theirs > 0) & (theirs < n)
    p = 2 * norm.sf(np.abs(log_odds) / error)
    if defined.any():
        p[defined] = multipletests(p[defined], method="holm")[1]
    half = norm.ppf(0.975) * error
    rows: list[dict[str, Any]] = []
    for at, (feature, name) in enumerate(keys):
        row: dict[str, Any] = dict(feature=feature, documents=int(together[at]))
        row |= {"class": name, "expected": ours[at] * theirs[at] / n if n else None}
        row |= dict.fromkeys(("lift", "log_odds", "ci_low", "ci_high", "p"))
        if defined[at]:
            row |= dict(
                lift=float(together[at] * n / (ours[at] * theirs[at])),
                log_odds=float(log_odds[at]),
                ci_low=float(log_odds[at] - half[at]),
                ci_high=float(log_odds[at] + half[at]),
                p=float(p[at]),
            )
        rows.append(row)
    return rows
