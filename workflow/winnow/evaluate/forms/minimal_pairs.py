"""Minimal pairs: a sentence of the story grammar and a twin that breaks a rule; a model should prefer the first."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

COLUMNS = [("choices", pa.list_(pa.string())), ("label", pa.int64())]
TASK = {
    "output_type": "multiple_choice",
    "doc_to_text": "",
    "doc_to_choice": "choices",
    "doc_to_target": "label",
    "num_fewshot": 0,
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


def make(items: int, seed: int) -> dict[str, list[Any]]:
    """Items grouped by phenomenon; the good sentence is choice 0, as in BLiMP (Warstadt et al. 2020)."""
    from winnow.documents.generators import story_grammar

    pairs = story_grammar.minimal_pairs(items=items, seed=seed)
    return {
        "item": list(range(len(pairs))),
        "group": [phenomenon for _, _, phenomenon in pairs],
        "choices": [[good, bad] for good, bad, _ in pairs],
        "label": [0] * len(pairs),
    }
