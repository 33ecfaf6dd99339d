"""Random order without a generator: a 64-bit key for each document.

`u = hash(purpose, seed, doc)`: taking the n smallest keys draws n documents at random, and the draw
depends on no shard, worker or order. Different purposes never share keys, so that, say, the documents that a proxy is
trained on are not those of a draw.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

PURPOSES = (
    "heldout",
    "kmeans-sample",
    "hdbscan-sample",
    "tokenizer",
    "probe",
    "proxy-train",
    "draw",
    "mixture",
    "semdedup",
    "hyperplanes",
    "split",
    "benchmark",
    "inspect",
    "review",
    "reduction-sample",
    "round",
    "silhouette",
    "folds",
    "map",
    "profile",
    "creativity",
    "completion",
)


def keys(purpose: str, seed: int, doc: np.ndarray) -> np.ndarray:
    """Keys of documents.

    Parameters: `purpose`, one of PURPOSES; `seed`, the data seed; `doc`, int64 [n].
    Returns uint64 [n], uniform on [0, 2**64). The mixing is two rounds of the splitmix64 finaliser
    (Steele, Lea and Flood 2014) keyed by BLAKE2b of the purpose and the seed.
    Raises ValueError for a purpose that is not listed.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"unknown purpose {purpose!r}; known: {', '.join(PURPOSES)}")
    digest = blake2b(f"{purpose}:{seed}".encode(), digest_size=16).digest()
    first, second = np.frombuffer(digest, dtype="<u8")
    x = np.asarray(doc).astype(np.uint64) ^ first
    with np.errstate(over="ignore"):
        for extra in (second, first):
            x += np.uint64(0x9E3779B97F4A7C15)
            x ^= x >> np.uint64(30)
            x *= np.uint64(0xBF58476D1CE4E5B9)
            x ^= x >> np.uint64(27)
            x *= np.uint64(0x94D049BB133111EB)
            x ^= x >> np.uint64(31)
            x ^= extra
    return x


def uniform(purpose: str, seed: int, doc: np.ndarray) -> np.ndarray:
    """The same keys as float64 [n] in (0, 1): (key's upper 53 bits + 1/2) / 2**53."""
    return ((keys(purpose, seed, doc) >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
