"""Near-duplicates of a sample, by MinHash signatures of 5-word shingles (Broder 1997).

In: texts. Out: signatures uint32 [HASHES], and which texts have a near-duplicate among the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from winnow.scripts import part

HASHES = 64  # of a signature
ALIKE = 0.7  # share of equal hashes of near-duplicates
NEIGHBOURS = 32  # documents with which one is compared in a band
# Signatures that agree in ALIKE of the hashes differ in fewer places than there are bands, so that one band is equal.
BANDS = HASHES - int(np.ceil(ALIKE * HASHES)) + 1


def shingles(text: str) -> np.ndarray:
    """MinHash signature of the 5-word shingles of a text, uint32 [HASHES]; in a script without spaces a character is a
    word."""
    words = part(text.lower()).split()
    grams = {zlib.crc32(" ".join(words[i : i + 5]).encode()) for i in range(max(1, len(words) - 4))}
    x = np.fromiter(grams, dtype=np.uint64)
    factor = (np.arange(HASHES, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(0x9E3779B1)) | np.uint64(
        1
    )
    mixed = (x[:, None] + np.uint64(1)) * factor
    return ((mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(32)).min(0)


def near_duplicates(texts: Sequence[str]) -> float:
    """Share of texts whose signature agrees with that of another one in at least ALIKE of its hashes."""
    signatures = np.stack([shingles(text) for text in texts])
    alike = np.zeros(len(texts), dtype=bool)
    for i in range(len(texts)):
        same = (signatures == signatures[i]).mean(1) >= ALIKE
        same[i] = False
        alike[i] = same.any()
    return float(alike.mean())


def have_near_duplicate(signatures: np.ndarray) -> np.ndarray:
    """Which of many signatures, uint32 [n, HASHES], agree with another one in at least ALIKE of the hashes: bool [n].

    Documents whose signatures are equal in one of BANDS bands are compared, each with the next NEIGHBOURS of them in the
    order of the signatures: time and memory are linear in n. In a band that more documents share, a near-duplicate may be
    missed.
    """
    unique, place, count = np.unique(signatures, axis=0, return_inverse=True, return_counts=True)
    alike = count > 1
    for columns in np.array_split(np.arange(HASHES), BANDS):
        band = unique[:, columns]
        order = np.lexsort(band.T[::-1])
        band = band[order]
        for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
            first = np.flatnonzero((band[step:] == band[:-step]).all(1))
            if not len(first):
                break
            one, other = order[first], order[first + step]
            same = (unique[one] == unique[other]).mean(1) >= ALIKE
            alike[one[same]] = alike[other[same]] = True
    return alike[place.reshape(-1)]
