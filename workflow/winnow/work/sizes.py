"""How much a job reads: documents of a corpus and of its shards, of a subset, items of a benchmark.

In: a checked configuration and what is known of its corpora (`CorpusSize`). Out: numbers. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from winnow.schedule import whole_budget

Config = Mapping[str, Any]
Ids = Mapping[str, Any]

BLOCK = 4096
"""Rows of a block, of which shards are made (winnow.documents.shards)."""
BYTES_A_TOKEN = 4.0
USUAL_BYTES = 6000.0
"""Of a document of which nothing is known: the mean of the Pile."""
USUAL_SHARD = 500_000
"""Documents assumed for each shard of a corpus of which nothing is known: as many as of the Pile in its 256 shards."""


@dataclass(frozen=True)
class CorpusSize:
    """Documents of a corpus, and bytes of text (UTF-8) of one, in the mean. `counted`: whether the documents were counted or
    stated; without, they are an assumption."""

    documents: int
    bytes: float
    counted: bool = True

    @property
    def text(self) -> float:
        return self.documents * self.bytes


def assumed(config: Config, corpus: str) -> CorpusSize:
    """The size that is assumed of a corpus of which nothing is known."""
    return CorpusSize(USUAL_SHARD * config["corpora"][corpus]["shards"], USUAL_BYTES, counted=False)


def shard_documents(documents: int, shards: int, shard: int | None) -> int:
    """Documents of a shard: whole blocks of BLOCK rows, split evenly (as winnow.documents.shards.shard_range); of the largest
    one, if `shard` is None."""
    blocks = -(-documents // BLOCK)
    if shard is None:
        return min(documents, -(-blocks // shards) * BLOCK)
    low, high = shard * blocks // shards * BLOCK, (shard + 1) * blocks // shards * BLOCK
    return min(high, documents) - min(low, documents)


def tokens_of(size: float) -> float:
    """Tokens of a text of `size` bytes, with those that mark its ends."""
    return size / BYTES_A_TOKEN + 2


def subset_documents(config: Config, budget: str, corpus: CorpusSize) -> float:
    """Documents of a subset, of all its splits and rounds."""
    one = config["budgets"][budget]
    size = float(whole_budget(one))
    if one["unit"] == "tokens":
        size /= tokens_of(corpus.bytes)
    return min(size, corpus.documents)


def train_documents(config: Config, budget: str, corpus: CorpusSize) -> float:
    """Documents of its train split."""
    one = config["budgets"][budget]
    size = one["train"] / (tokens_of(corpus.bytes) if one["unit"] == "tokens" else 1)
    return float(min(size, corpus.documents))


def training_rows(config: Config, ids: Ids, corpus: CorpusSize) -> tuple[float, float]:
    """(rows that a training reads, tokens of each): sequences of a language model, documents of a classifier."""
    model = config["models"][ids["model"]]
    recipe, budget = config["recipes"][model["recipe"]], config["budgets"][ids["budget"]]
    language = model["kind"] == "language-model"
    row = float(model["sequence"]) if language else min(tokens_of(corpus.bytes), model["max_tokens"])
    if recipe.get("sequences") == "documents":
        row = min(row, tokens_of(corpus.bytes))
    if "tokens" in recipe:
        return recipe["tokens"] / row, row
    if "steps" in recipe:
        return float(recipe["steps"] * recipe["batch"]), row
    documents = train_documents(config, ids["budget"], corpus)
    if not language:
        return recipe["epochs"] * documents, row
    tokens = budget["train"] if budget["unit"] == "tokens" else documents * tokens_of(corpus.bytes)
    return recipe["epochs"] * tokens / row, row


# ---------------------------------------------------------------- benchmarks


@dataclass(frozen=True)
class Items:
    """Of a benchmark: `items`; `requests`, texts that a model reads for them; `tokens` of a request; `tasks` of lm-eval;
    `all`: items of the whole data set, which is searched for contamination even where fewer are evaluated."""

    items: float
    requests: float
    tokens: float
    tasks: int
    all: float


STOCK = {
    "arc_challenge": (1172, 4, 35, 1),
    "arc_easy": (2376, 4, 30, 1),
    "mmlu": (14_042, 1, 110, 57),  # the four answers are one token each: one pass
    "winogrande": (1267, 2, 25, 1),
    "hellaswag": (10_042, 4, 95, 1),
    "lambada_openai": (5153, 1, 90, 1),
    "lambada_standard": (5153, 1, 90, 1),
    "blimp": (67_000, 2, 12, 67),
}
"""Items of tasks of lm-eval, requests an item, tokens a request, tasks of the group."""
UNKNOWN_TASK = (20_000, 1, 100, 1)
GENERATE = 6.0
"""Times the work of a token that is read: one that is generated (4 with 8M parameters, 8 with 1M)."""
CLOZE_CHOICES, CLOZE_TOKENS = 4, 60
PAIR_TOKENS = 14
HELDOUT_BYTES = 4000
"""Of a held-out document that is evaluated at most (winnow.evaluate.forms.bits_per_byte)."""
LABELLED = 2000
"""Items assumed of a labelled test file that nobody has looked at."""


def items_of(
    config: Config, benchmark: str, corpus: str, size: CorpusSize, labelled: CorpusSize | None
) -> Items:
    """What a model reads of a benchmark. `size`: of the corpus whose held-out documents or classes it has; `labelled`: of the
    files of a benchmark that has files of its own, None if unknown."""
    one = config["benchmarks"][benchmark]
    if "task" in one:
        count, requests, tokens, tasks = STOCK.get(one["task"], UNKNOWN_TASK)
        items = min(one.get("items") or count, count / tasks) * tasks  # a limit is for each task of a group
        return Items(items, items * requests, tokens, tasks, count)
    if "grammar" in one:
        return Items(one["items"], 2.0 * one["items"], PAIR_TOKENS, 1, one["items"])
    length = tokens_of(size.bytes)
    if "labelled" in one:
        if labelled is None:
            labelled = CorpusSize(min(LABELLED, size.documents), size.bytes)
        items = float(labelled.documents)
        return Items(items, items, tokens_of(labelled.bytes), 1, items)
    items = float(min(one["items"], config["corpora"][corpus]["heldout"]["documents"]))
    if completion := one.get("completion"):
        length = completion["words"] + completion["tokens"]
        read = completion["words"] + GENERATE * completion["tokens"]
        return Items(items, items * (1 + completion["samples"]) * read / length, length, 1, items)
    if one["heldout"] == "cloze":
        return Items(items, CLOZE_CHOICES * items, min(length, CLOZE_TOKENS), 1, items)
    return Items(items, items, min(length, HELDOUT_BYTES / BYTES_A_TOKEN), 1, items)
