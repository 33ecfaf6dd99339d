"""Family lexicon: words of emotions and of violence, the valence of a text and of its ending, and flags that follow from them.

The lexicons are Empath's and VADER's (winnow.profile.lexicon), for English: a text of too few English words has no value of
any measure (German `die` and `war` are no words of death, and a text without known words is not free of violence). The flags are those of winnow.profile.flags.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.profile.english import is_english
from winnow.profile.flags import evidence, flags
from winnow.profile.kinds import Family
from winnow.profile.lexicon import GROUPS, hits, sentences, valences
from winnow.profile.words import words as words_of

STAGE_VERSION = 2
ENDING = 3
"""Sentences of a beginning and of an ending."""
FAMILY = Family(
    columns={
        "valence": "mean valence of the sentences (-1 to 1)",
        "valence_start": "valence of the first three sentences (-1 to 1)",
        "valence_end": "valence of the last three sentences (-1 to 1)",
        "joy_words": "words of joy",
        "joy_rate": "words of joy in 1,000",
        "love_words": "words of love",
        "love_rate": "words of love in 1,000",
        "sadness_words": "words of sadness",
        "sadness_rate": "words of sadness in 1,000",
        "fear_words": "words of fear",
        "fear_rate": "words of fear in 1,000",
        "anger_words": "words of anger",
        "anger_rate": "words of anger in 1,000",
        "violence_words": "words of violence",
        "violence_rate": "words of violence in 1,000",
        "death_words": "words of death",
        "death_rate": "words of death in 1,000",
        "flag_violence": "flagged: violence",
        "flag_fear": "flagged: fear",
        "flag_sadness": "flagged: sadness without relief",
        "flag_bad_ending": "flagged: bad ending",
        "flag_evidence": "why a text is flagged",
    },
    levels={"flag_evidence": ()},
    free=("flag_evidence",),
)


def measure(texts: list[str], vectors: np.ndarray | None, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """See winnow.profile.kinds; settings: winnow.profile.flags.DEFAULTS. Rates are NaN of a text without words, valences of
    one without sentences. No measure is valid for a text of too few English words: NaN, None or masked."""
    found = [hits(text) for text in texts]
    of_sentences = [valences(sentences(text)) for text in texts]
    words = np.array([count for count, _ in found], dtype=np.float64)
    columns: dict[str, np.ndarray] = {
        "valence": _means(of_sentences),
        "valence_start": _means([values[:ENDING] for values in of_sentences]),
        "valence_end": _means([values[-ENDING:] for values in of_sentences]),
    }
    for group in GROUPS:
        count = np.array([len(of_text[group]) for _, of_text in found], dtype=np.int32)
        columns[f"{group}_words"] = count
        with np.errstate(invalid="ignore"):
            columns[f"{group}_rate"] = (1000 * count / words).astype(np.float32)
    flagged = flags(columns, settings)
    why = [
        evidence(
            {name: int(values[row]) for name, values in flagged.items()}, of_text, columns["valence_end"][row]
        )
        for row, (_, of_text) in enumerate(found)
    ]
    foreign = np.array([not is_english(words_of(text)) for text in texts], dtype=bool)
    out = {**columns, **flagged, "flag_evidence": np.array(why, dtype=object)}
    return {name: _without(values, foreign) for name, values in out.items()}


def _without(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values [n] that are not valid in `rows`, bool [n]: numbers NaN, text None, whole numbers masked."""
    if values.dtype.kind == "i":
        return np.ma.masked_array(values, rows)
    out = values.copy()
    out[rows] = None if values.dtype.kind == "O" else np.nan
    return out


def _means(lists: list[list[float]]) -> np.ndarray:
    """Means of lists of numbers, float32; NaN of an empty one."""
    return np.array([sum(values) / len(values) if values else np.nan for values in lists], dtype=np.float32)
