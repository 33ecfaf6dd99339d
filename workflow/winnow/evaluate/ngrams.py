"""The n-gram baselines of a language model: bits per byte of a unigram and a bigram of the same subset.

In: the packed tokens that the model trained on, with the same tokenizer, and the items of a held-out benchmark. Out:
numbers. A model that is no better than the bigram predicts no better than counts of neighbouring tokens;
`winnow.compare.table` draws that conclusion.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from winnow.parquet import open_array, open_parquet
from winnow.schema import read_spec
from winnow.stage import InputError, read_json, run, say, write_json
from winnow.tokenizer import load

STAGE_VERSION = 2
TOKENS = 100_000_000
"""Tokens that are counted at most: the first ones of the stream."""


class Bigram:
    """Counts of a stream of tokens (int [n]) over a vocabulary.

    p(w) = (c(w) + 1) / (n + V). p(w | v) = (c(v w) + T(v) p(w)) / (c(v) + T(v)), T(v) = different tokens seen after v
    (Witten and Bell 1991, method C).
    """

    def __init__(self, tokens: np.ndarray, vocabulary: int):
        stream = tokens.astype(np.int64)
        self.vocabulary = vocabulary
        self.single = (np.bincount(stream, minlength=vocabulary) + 1) / (len(stream) + vocabulary)
        self.pairs, self.count = np.unique(stream[:-1] * vocabulary + stream[1:], return_counts=True)
        before = self.pairs // vocabulary
        self.seen = np.bincount(before, weights=self.count, minlength=vocabulary)
        self.kinds = np.bincount(before, minlength=vocabulary)

    def nats(self, ids: np.ndarray) -> tuple[float, float]:
        """-log p of ids[1:] given those before: by the unigram, by the bigram."""
        v, w = ids[:-1].astype(np.int64), ids[1:].astype(np.int64)
        pair = v * self.vocabulary + w
        at = np.minimum(np.searchsorted(self.pairs, pair), len(self.pairs) - 1)
        count = np.where(self.pairs[at] == pair, self.count[at], 0)
        total = self.seen[v] + self.kinds[v]
        mixed = (count + self.kinds[v] * self.single[w]) / np.maximum(total, 1)
        both = np.where(total > 0, mixed, self.single[w])
        return float(-np.log(self.single[w]).sum()), float(-np.log(both).sum())


def main(
    *,
    subset: Path,
    tokens: Path,
    tokenizer: Path,
    tokenizer_config: Path,
    benchmark: Path,
    spec: str,
    out: Path,
    name: str = "",
) -> None:
    """Fit both on a packed stream and measure them on held-out texts.

    Args:
        subset: manifest.json of the subset.
        tokens: packed train split (.npy).
        tokenizer: tokenizer.json.
        tokenizer_config: its tokenizer_config.json.
        benchmark: folder of a held-out benchmark of the form bits-per-byte, with its manifest.json.
        spec: JSON with the key `names`: the name of the tokenizer.
        out: JSON to write: tokens (counted), bytes, unigram and bigram (bits per byte).
        name: what progress lines call the subset.
    """
    names = read_spec(spec, "names")["names"]
    encoder, end = load(tokenizer, tokenizer_config)
    stream = open_array(tokens, 1, mmap=True)[:TOKENS]
    if len(stream) < 2:
        raise InputError(f"{tokens}: {len(stream)} tokens are too few to count; at least 2 are needed")
    model = Bigram(stream, encoder.get_vocab_size())
    texts = open_parquet(benchmark / "data.parquet", ["text"]).read(["text"])["text"].to_pylist()
    unigram = bigram = 0.0
    size = 0
    for text, encoded in zip(texts, encoder.encode_batch_fast(texts, add_special_tokens=False), strict=True):
        one, two = model.nats(np.array([end, *encoded.ids]))
        unigram, bigram, size = unigram + one, bigram + two, size + len(text.encode())
    bits = math.log(2) * size
    write_json(out, {
        "ids": {**read_json(subset)["ids"], **names},
        "benchmark": read_json(benchmark / "manifest.json")["name"],
        "tokens": len(stream),
        "items": len(texts),
        "bytes": size,
        "unigram": unigram / bits,
        "bigram": bigram / bits,
    })  # fmt: skip
    say(f"[ngrams {name}] bits per byte: unigram {unigram / bits:.3f}, bigram {bigram / bits:.3f}")


if __name__ == "__main__":
    run(main)
