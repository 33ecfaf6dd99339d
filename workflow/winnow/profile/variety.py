"""How much the texts of a group differ from each other, and whether that is more or less than chance. Pure functions.

In: texts, unit vectors, and groups of `m` documents each. Out: measures by group, the same measures of groups drawn at
random, p-values and effects. All groups have the same number of documents, because distinct-n, self-BLEU and compression
depend on it; so the groups have one reference distribution.

Measures of a group (`MEASURES`; +1: a larger value is more varied):
- dispersion: 1 - mean cosine of two different documents, from the norm of the sum of the vectors: with m unit vectors,
  mean cosine = (|sum|^2 - m) / (m (m - 1)), which is unbiased for the mean over all pairs;
- distinct_1, _2, _3: different n-grams of words over all n-grams, of all texts together (Li et al. 2016);
- self_bleu: BLEU of each text against the next one in the order of the group, the last against the first, mean of the
  m pairs (Zhu et al. 2018 use all others as references; pairs are comparable for any m). 0 to 1;
- compression: bytes that the texts add, compressed together, to the largest of them, over the sum of the others
  compressed alone (zstd). An exact copy adds nothing: 0 if all texts are one, about 1 if they have nothing in common;
- same_opening, same_ending: share of texts whose first (last) ENDS words another text of the group has, too, counted as
  (m - different ones) / (m - 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from winnow.keys import uniform
from winnow.scripts import words_of
from winnow.stage import InputError

MEASURES = {
    "dispersion": +1,
    "distinct_1": +1,
    "distinct_2": +1,
    "distinct_3": +1,
    "self_bleu": -1,
    "compression": +1,
    "same_opening": -1,
    "same_ending": -1,
}
CHARACTERS = 2_000
"""Characters from the start of a text that its n-grams, BLEU and compression are of."""
ENDS = 4
"""Words of an opening and of an ending."""
LEVEL = 9
"""Of zstd."""
FIRST_DRAW, FIRST_MEAN = 1 << 50, 1 << 60
"""Numbers of the keys of random groups and of their means, apart from those of documents."""
MEANS = 9_999
"""Means of reference draws that the mean over the groups is compared with."""


@dataclass(frozen=True)
class Text:
    """What the measures read of a text. `words` joined by spaces; `ngrams`: for n = 1, 2, 3 the different n-grams as
    int64 (numbers of the `Vocabulary`) and how many n-grams there are; `size`: bytes, compressed alone."""

    words: str
    text: bytes
    size: int
    ngrams: tuple[tuple[np.ndarray, int], ...]
    opening: tuple[str, ...]
    ending: tuple[str, ...]


class Vocabulary:
    """Numbers of words and n-grams, the same for equal ones in all texts that were `read` by it."""

    def __init__(self) -> None:
        import zstandard

        self.numbers: dict[str | tuple[int, int], int] = {}
        self.compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=False)

    def size(self, text: bytes) -> int:
        """Bytes of a text, compressed."""
        return len(self.compressor.compress(text))

    def read(self, text: str) -> Text | None:
        """A text; None if it has no word. Its measures are of the first CHARACTERS characters, the ending of its end."""
        start = text[:CHARACTERS]
        words = words_of(start)
        if not words:
            return None
        tail = words if len(text) <= CHARACTERS else words_of(text[-CHARACTERS:])
        ngrams = []
        numbers = [self._number(word) for word in words]
        row = numbers
        for _ in range(3):
            ngrams.append((np.unique(np.array(row, dtype=np.int64)), len(row)))
            row = [self._number(pair) for pair in zip(row, numbers[len(ngrams) :], strict=False)]
        content = start.strip().encode("utf-8", "replace")
        return Text(
            " ".join(words),
            content,
            self.size(content),
            tuple(ngrams),
            tuple(words[:ENDS]),
            tuple(tail[-ENDS:]),
        )

    def _number(self, key: str | tuple[int, int]) -> int:
        return self.numbers.setdefault(key, len(self.numbers))


def dispersion(vectors: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """1 - mean cosine of two different documents of a group, float64 [g], to six decimals (vectors are float16).

    `vectors`: [n, d]; `groups`: int64 [g, m], rows of `vectors`, m at least 2. Raises InputError for a vector of zeros.
    """
    m = groups.shape[1]
    out = np.zeros(len(groups))
    for start in range(0, len(groups), 256):
        rows = vectors[groups[start : start + 256]].astype(np.float64)
        norms = np.linalg.norm(rows, axis=2, keepdims=True)
        if not norms.all():
            raise InputError("--embeddings: a vector of zeros has no direction; embed the corpus again")
        total = (rows / norms).sum(axis=1)
        out[start : start + 256] = 1 - ((total**2).sum(axis=1) - m) / (m * (m - 1))
    return np.maximum(0.0, np.round(out, 6)) + 0.0


def text_measures(texts: Sequence[Text], vocabulary: Vocabulary, bleu: Any) -> dict[str, float]:
    """Every measure but `dispersion` of the texts of one group, at least 2, in an order without meaning."""
    m = len(texts)
    out = {}
    for n in range(3):
        total = sum(text.ngrams[n][1] for text in texts)
        different = len(np.unique(np.concatenate([text.ngrams[n][0] for text in texts])))
        out[f"distinct_{n + 1}"] = different / total if total else 0.0
    pairs = zip(texts, [*texts[1:], texts[0]], strict=True)
    out["self_bleu"] = round(sum(pair_bleu(bleu, one.words, other.words) for one, other in pairs) / m, 9)
    alone = sorted(text.size for text in texts)
    together = vocabulary.size(b"\n".join(dict.fromkeys(text.text for text in texts)))
    added = (together - alone[-1]) / sum(alone[:-1])
    one_text = len({text.text for text in texts}) == 1
    out["compression"] = 0.0 if one_text else min(1.0, max(0.0, added))
    out["same_opening"] = (m - len({text.opening for text in texts})) / (m - 1)
    out["same_ending"] = (m - len({text.ending for text in texts})) / (m - 1)
    return out


def bleu_scorer() -> Any:
    """sacrebleu's BLEU for words that are separated already; orders that a short text lacks do not count."""
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize="none", effective_order=True, force=True)


def pair_bleu(bleu: Any, one: str, other: str) -> float:
    """BLEU of a text against another, 0 to 1."""
    return 1.0 if one == other else min(1.0, bleu.sentence_score(one, [other]).score / 100)


def measure(texts: Sequence[Text], vectors: np.ndarray, groups: np.ndarray, vocabulary: Vocabulary) -> dict[str, np.ndarray]:  # fmt: skip
    """All measures of groups, float64 [g] each. `groups`: int64 [g, m], places in `texts` and rows of `vectors`."""
    bleu = bleu_scorer()
    rows = [text_measures([texts[i] for i in group], vocabulary, bleu) for group in groups.tolist()]
    out = {"dispersion": dispersion(vectors, groups)}
    for name in MEASURES:
        if name not in out:
            out[name] = np.array([row[name] for row in rows], dtype=np.float64)
    return out


def reference_draws(documents: int, m: int, draws: int, seed: int) -> np.ndarray:
    """Groups of `m` different documents drawn at random: int64 [draws, m], each row a sample without replacement from
    `documents` (places 0 to documents - 1), rows independent. The keys are those of purpose `creativity`."""
    out = np.zeros((draws, m), dtype=np.int64)
    for row in range(draws):
        chosen: dict[int, None] = {}
        attempt = 0
        while len(chosen) < m:
            places = FIRST_DRAW + np.arange(m) + m * row + (attempt << 25)
            for place in (uniform("creativity", seed, places) * documents).astype(np.int64).tolist():
                if len(chosen) < m:
                    chosen[min(place, documents - 1)] = None
            attempt += 1
        out[row] = list(chosen)
    return out


def p_values(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Two-sided Monte Carlo p-values of values, float64 [g], given reference draws, float64 [r].

    Twice the smaller share of draws that are at least as extreme, the value itself counted among them, so that none is
    0 (Davison and Hinkley 1997, section 4.2); at most 1.
    """
    ordered = np.sort(reference)
    r = len(ordered)
    below = (1 + np.searchsorted(ordered, values, side="right")) / (r + 1)
    above = (1 + r - np.searchsorted(ordered, values, side="left")) / (r + 1)
    return np.minimum(1.0, 2 * np.minimum(below, above))


def adjust(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p-values, which control the share of false discoveries among the groups."""
    from scipy.stats import false_discovery_control

    return false_discovery_control(p, method="bh") if len(p) else p


def means_of_draws(reference: Mapping[str, np.ndarray], groups: int, seed: int) -> dict[str, np.ndarray]:
    """Means of `groups` reference draws, MEANS of them by measure: what the mean over the groups would be if documents
    were shuffled between groups. The draws of a mean are taken with replacement, by keys."""
    draws = len(next(iter(reference.values())))
    out: dict[str, list[np.ndarray]] = {name: [] for name in reference}
    chunk = max(1, 1_000_000 // groups)
    for start in range(0, MEANS, chunk):
        rows = np.arange(start, min(MEANS, start + chunk))
        places = FIRST_MEAN + rows[:, None] * groups + np.arange(groups)
        chosen = (uniform("creativity", seed, places.ravel()) * draws).astype(np.int64).reshape(places.shape)
        for name, values in reference.items():
            out[name].append(values[np.minimum(chosen, draws - 1)].mean(axis=1))
    return {name: np.concatenate(parts) for name, parts in out.items()}


def compare(values: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], seed: int, level: float = 0.05) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, dict[str, Any]]]:  # fmt: skip
    """(by measure: p, p_adjusted and effect of each group; by measure: the summary over the groups).

    Parameters: `values` of the groups, float64 [g]; `reference`: of groups drawn at random, float64 [r]. An effect is the
    difference from the mean of the draws in their standard deviations, null if they do not vary. Summary: `mean` over the
    groups with its 95 % interval (null for one group), `reference` and `ratio` to it, `effect` of the mean, `p` of the
    mean against means of as many draws, and the shares of groups that differ from chance at `level` (adjusted).
    """
    groups = len(next(iter(values.values())))
    means = means_of_draws(reference, groups, seed)
    tests: dict[str, dict[str, np.ndarray]] = {}
    summary: dict[str, dict[str, Any]] = {}
    for name, of_groups in values.items():
        base, spread = float(reference[name].mean()), float(reference[name].std(ddof=1))
        spread = spread if spread > 1e-9 else 0.0
        effect = (of_groups - base) / spread if spread else np.full(groups, np.nan)
        p = p_values(of_groups, reference[name])
        adjusted = adjust(p)
        tests[name] = {"p": p, "p_adjusted": adjusted, "effect": effect}
        mean = float(of_groups.mean())
        half = 1.96 * float(of_groups.std(ddof=1)) / np.sqrt(groups) if groups > 1 else None
        significant = adjusted < level
        more = MEASURES[name] * (of_groups - base) > 0
        summary[name] = {
            "mean": mean,
            "low": None if half is None else mean - half,
            "high": None if half is None else mean + half,
            "reference": base,
            "ratio": mean / base if base else None,
            "effect": (mean - base) / spread if spread else None,
            "p": float(p_values(np.round([mean], 9), np.round(means[name], 9))[0]),
            "less_varied": float((significant & ~more).mean()),
            "more_varied": float((significant & more).mean()),
        }
    return tests, summary


def score(summary: Mapping[str, Mapping[str, Any]]) -> float:
    """Variety of the answers to like prompts, relative to that of answers to different ones: mean dispersion over its
    reference. 0: one story told over and over; 1: a prompt does not narrow down the answer."""
    of = summary["dispersion"]
    return of["mean"] / of["reference"] if of["reference"] else 0.0
