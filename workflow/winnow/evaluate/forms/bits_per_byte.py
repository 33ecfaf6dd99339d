"""Held-out documents as they are: bits per byte of their texts."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from winnow.evaluate.items import HeldOut, choose

COLUMNS = [("text", pa.string())]
TASK = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "text",
    "metric_list": [{"metric": "bits_per_byte"}, {"metric": "byte_perplexity"}],
}

TEXT_CHARACTERS = 4_000
"""Longest text of an item, in characters, so that a few long documents do not dominate the figure."""


def make(held: HeldOut, items: int, seed: int) -> dict[str, list[Any]]:
    """Items of at most `items` documents, of each the first TEXT_CHARACTERS characters."""
    chosen = choose(held.doc, items, seed)
    return {
        "item": held.doc[chosen].tolist(),
        "group": [held.group[i] for i in chosen],
        "text": [held.text[i][:TEXT_CHARACTERS] for i in chosen],
    }
