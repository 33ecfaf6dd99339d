"""Texts with their class, for classifiers. Texts are whole: how much of them is read is set by the classifier."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from winnow.evaluate.items import HeldOut, choose
from winnow.stage import InputError

COLUMNS = [("text", pa.string()), ("label", pa.int64())]
TASK = None


def make(held: HeldOut, items: int, seed: int) -> dict[str, list[Any]]:
    """Items of at most `items` documents. Raises InputError for a document without a label."""
    chosen = choose(held.doc, items, seed)
    for i in chosen:
        if held.label[i] is None:
            raise InputError(
                f"document {held.doc[i]}: held out without a label; benchmarks of labels need corpus.label and a label "
                "for each held-out document"
            )
    return {
        "item": held.doc[chosen].tolist(),
        "group": [held.group[i] for i in chosen],
        "text": [held.text[i] for i in chosen],
        "label": [held.label[i] for i in chosen],
    }
