"""Flags of stories: which texts a person may want to read before children do, and why.

In: columns of measures (winnow.profile.families.lexicon). Out: flags, 0 or 1, and their evidence. They follow from words
and valences, describe the text alone, and diagnose nobody: neither a reader nor an author.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

DEFAULTS: dict[str, Any] = {
    "violence_words": 2,
    "violence_rate": 10,
    "fear_words": 3,
    "fear_rate": 15,
    "sadness_words": 2,
    "sadness_rate": 10,
    "relief": 0.1,
    "bad_ending": -0.3,
}
"""Least numbers of words and rates (words of a lexicon in 1,000 words). `relief`: the least valence of the ending that
relieves sadness; `bad_ending`: the greatest valence of a bad ending."""
SORT_BY = {
    "flag_violence": ("violence_rate", -1),
    "flag_fear": ("fear_rate", -1),
    "flag_sadness": ("sadness_rate", -1),
    "flag_bad_ending": ("valence_end", 1),
}
"""Flag -> the measure that says how strong it is, and the sign of it by which the strongest comes first."""


def flags(columns: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The flags of n texts, int32 [n] each: 1 if flagged. `settings`: DEFAULTS.

    flag_violence, flag_fear: enough words of the lexicon, and often enough. flag_sadness: the same of sad words, and an ending
    without relief. flag_bad_ending: an ending of negative valence. A text without sentences (valence NaN) has no flag.
    """
    limit = {**DEFAULTS, **settings}

    def many(group: str) -> np.ndarray:
        enough = columns[f"{group}_words"] >= limit[f"{group}_words"]
        return enough & (columns[f"{group}_rate"] >= limit[f"{group}_rate"])

    ending = columns["valence_end"]
    found = {
        "flag_violence": many("violence"),
        "flag_fear": many("fear"),
        "flag_sadness": many("sadness") & (ending < limit["relief"]),
        "flag_bad_ending": ending <= limit["bad_ending"],
    }
    return {name: values.astype(np.int32) for name, values in found.items()}


def evidence(flagged: Mapping[str, int], words: Mapping[str, Sequence[str]], ending: float) -> str | None:
    """Why a text is flagged, in words: `violence: gun, shot; ending -0.62`; None of a text without flags.

    `flagged`: its flags; `words`: its words of each group; `ending`: the valence of its ending.
    """
    parts = [
        f"{group}: {', '.join(dict.fromkeys(words[group]))}"
        for group in ("violence", "fear", "sadness")
        if flagged[f"flag_{group}"]
    ]
    if flagged["flag_sadness"] or flagged["flag_bad_ending"]:
        parts.append(f"ending {ending:.2f}")
    return "; ".join(parts) or None


def strongest(columns: Mapping[str, np.ndarray], flag: str, most: int) -> np.ndarray:
    """Rows of the `most` texts with a flag that have it most strongly, int64; of equal ones the smaller `doc` first.

    `columns`: doc, the flag and its measure (SORT_BY). The strongest of all shards are among the strongest of each.
    """
    measure, sign = SORT_BY[flag]
    rows = np.flatnonzero(columns[flag] == 1)
    order = np.lexsort((columns["doc"][rows], sign * columns[measure][rows].astype(np.float64)))
    return rows[order[:most]]
