"""A forecast of the heavy jobs of a run, in one line: documents to embed, models to train and to evaluate, about how long.

The constants were measured on two cores of an AVX2 EPYC without a GPU (the demo: 3 embeddings, 18 trainings, 18
evaluations; tests/benchmarks); the forecast scales them by cores and by the multiplications that a job makes.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from winnow.commands.first_rows import first_rows
from winnow.experiments import proxies_of
from winnow.stage import InputError

START = (
    10.0  # core-seconds of a training or an evaluation before and after its work: imports, loading, saving
)
OTHER = 1.5  # of any other job
FORWARD, TRAIN = (
    60e9,
    45e9,
)  # float operations a second and core: 123 GFLOP/s embed on two; a training has 56 % of a product
REDUCE = {"pca": (0.0, 2e-5), "umap": (40.0, 5e-3)}  # seconds on one core: to compile, and of a document
SWEEP, PAIR = (
    5e-5,
    4e-8,
)  # of a document in a clustering of a sweep, and of a pair of documents in its silhouette
BYTES = 4.0  # of text a token
GENERATE = (
    6.0  # times the work of a token that is read: one that is generated (4 with 8M parameters, 8 with 1M)
)
REQUESTS, REQUEST_TOKENS = 20_000, 100.0  # of an lm-eval task of which nothing else is known
GENERATED = {"python-packages": (2444, 1122), "sentiment-grammar": (0, 53), "story-grammar": (0, 684)}
"""Documents (0: what the config says) and bytes of each, of the embedded corpora."""


def documents(config: dict[str, Any], results: str, corpus: str) -> tuple[int | None, float | None]:
    """Documents of a corpus and bytes per document, as far as they are known before it is read."""
    source = config["corpora"][corpus]["source"]
    index = Path(results) / corpus / "source.json"
    count: int | None = None
    size: float | None = None
    if "generator" in source:
        fixed, size = GENERATED[source["generator"]]
        count = fixed or source.get("documents")
    elif "hub" not in source:
        try:
            first = first_rows(config["corpora"][corpus])
        except InputError:
            first = None
        if first is not None:
            count = first.rows or first.estimated
            size = first.bytes / max(1, first.read)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # not made yet, or by another version
        count = int(json.loads(index.read_text(encoding="utf-8"))["rows"])
    return count, size


def encoder_flops(dimension: int) -> float:
    """Of a token in a forward pass of a BERT of this width, as their families go (MiniLM 6 layers, base 12, large 24)."""
    layers = 6 if dimension <= 384 else 12 if dimension <= 768 else 24
    return 24.0 * layers * dimension**2


def model_flops(config: dict[str, Any], name: str) -> float:
    """Of a token in a forward pass of a model."""
    model = config["models"][name]
    if model["kind"] == "classifier":
        return encoder_flops(config["encoders"][model["encoder"]]["dimension"])
    if model["kind"] == "pretrained":
        return 24.0 * 12 * 768**2
    vocabulary = config["tokenizers"][model["tokenizer"]].get("vocabulary", 50304)
    return 2.0 * (12 * model["layers"] * model["width"] ** 2 + vocabulary * model["width"])


def training_tokens(config: dict[str, Any], ids: dict[str, str], tokens: float) -> float:
    """Tokens that a training reads; `tokens` are those of a document, as far as the model reads it."""
    model = config["models"][ids["model"]]
    recipe, budget = config["recipes"][model["recipe"]], config["budgets"][ids["budget"]]
    row = model["sequence"] if model["kind"] == "language-model" else tokens
    if "tokens" in recipe:
        return recipe["tokens"]
    if "steps" in recipe:
        return recipe["steps"] * recipe["batch"] * row
    return recipe["epochs"] * budget["train"] * (tokens if budget["unit"] == "documents" else 1)


def forecast(config: dict[str, Any], results: str, jobs: list[tuple[str, dict[str, str]]], cores: int) -> str:
    """One line on the jobs of a run, (rule, wildcards); empty if none of them is heavy. `cores` 0: no time, on a cluster.

    Documents of a source that nobody has counted yet are named, not counted.
    """
    embedded, tokens, seconds = Counter[str](), 0.0, OTHER * len(jobs)
    unknown, rules = set(), Counter(rule for rule, _ in jobs)
    sizes = {ids["corpus"]: documents(config, results, ids["corpus"]) for _, ids in jobs if "corpus" in ids}
    for rule, ids in jobs:
        count, size = sizes.get(ids.get("corpus", ""), (None, None))

        def read(limit: float, size: float | None = size) -> float:
            return limit if size is None else min(limit, size / BYTES)

        if rule == "embed_documents":
            encoder = config["encoders"][ids["encoder"]]
            share = (count or 0) / config["corpora"][ids["corpus"]]["shards"]
            unknown |= {ids["corpus"]} if count is None else set()
            embedded[ids["corpus"]] += share
            tokens += share * read(encoder["max_tokens"])
            seconds += (
                START + share * read(encoder["max_tokens"]) * encoder_flops(encoder["dimension"]) / FORWARD
            )
        elif rule == "entail_documents":  # by a model of the usual size, base
            labels = config["label_sets"][ids["label_set"]]
            passes = sum(map(len, labels["labels"].values()))
            share = (count or 0) / config["corpora"][ids["corpus"]]["shards"]
            unknown |= {ids["corpus"]} if count is None else set()
            flops = read(labels["nli"]["max_tokens"]) * encoder_flops(768)
            seconds += START + share * passes * flops / FORWARD
        elif rule == "reduce_vectors":
            compiling, each = REDUCE[config["reductions"][ids["reduction"]]["method"]]
            seconds += START + (compiling + (count or 0) * each) * max(
                1, cores
            )  # on one core, whatever there are
            unknown |= {ids["corpus"]} if count is None else set()
        elif rule == "sweep_clusters":
            sweep = config["sweep"]
            pairs = min(count or 0, sweep["silhouette_sample"]) ** 2
            one = SWEEP * min(count or 0, sweep["sample"]) + PAIR * pairs
            seconds += START + len(sweep["k"]) * len(sweep["seeds"]) * one
        elif rule == "score_documents":
            scorer = config["scorers"][ids["scorer"]]
            share = (count or 0) / config["corpora"][ids["corpus"]]["shards"]
            for proxy in proxies_of(scorer).values():
                flops = model_flops(config, proxy["model"]) if "model" in proxy else 24.0 * 6 * 512**2
                seconds += START + share * read(scorer.get("characters", 512) / BYTES) * flops / FORWARD
        elif rule == "train_model":
            model = config["models"][ids["model"]]
            length = read(model["max_tokens"] if "max_tokens" in model else float("inf"))
            length = length if length < float("inf") else 500.0
            work = 3 * model_flops(config, ids["model"]) * training_tokens(config, ids, length)
            seconds += START + work / TRAIN
        elif rule in ("evaluate_model", "evaluate_pretrained"):
            name = ids["model"] if rule == "evaluate_model" else ids["pretrained"]
            for benchmark in (config["benchmarks"][b] for b in config["suites"][ids["suite"]]):
                items, length = benchmark.get("items") or REQUESTS, REQUEST_TOKENS
                if "heldout" in benchmark:
                    items = min(items, config["corpora"][ids["corpus"]]["heldout"]["documents"])
                    length = read(config["models"][name].get("max_tokens", 500))
                if one := benchmark.get("completion"):
                    length = (1 + one["samples"]) * (one["words"] + GENERATE * one["tokens"])
                seconds += items * length * model_flops(config, name) / FORWARD
            seconds += START
    parts = []
    if embedded:
        known = f"{round(sum(embedded.values())):,} documents (about {_round(tokens)} tokens)"
        of = f"the documents of {', '.join(sorted(unknown))} (not counted yet)"
        parts.append("embed " + " and ".join(([known] if tokens else []) + ([of] if unknown else [])))
    if judged := len({(ids["corpus"], ids["label_set"]) for rule, ids in jobs if rule == "entail_documents"}):
        parts.append(f"judge {judged:,} label set{'s' * (judged > 1)} by an NLI model")
    if sets := rules["reduce_vectors"]:
        parts.append(f"reduce {sets:,} set{'s' * (sets > 1)} of vectors")
    if sweeps := rules["sweep_clusters"]:
        parts.append(f"sweep k for {sweeps:,} clustering{'s' * (sweeps > 1)}")
    if rules["train_model"]:
        parts.append(f"train {rules['train_model']:,} model{'s' * (rules['train_model'] > 1)}")
    if evaluations := rules["evaluate_model"] + rules["evaluate_pretrained"]:
        parts.append(f"evaluate {evaluations:,}")
    if not parts:
        return ""
    least = "at least " if unknown and seconds >= 120 * cores else ""
    time = f": {least}{_time(seconds / cores)} on {cores} cores of a processor" if cores else ""
    return f"Forecast: {', '.join(parts)}{time}"


def _round(amount: float) -> str:
    for unit, size in (("billion", 1e9), ("million", 1e6)):
        if amount >= size:
            return f"{amount / size:.2g} {unit}" if amount < 100 * size else f"{amount / size:,.0f} {unit}"
    return f"{round(amount, -3):,.0f}" if amount >= 10_000 else f"{amount:,.0f}"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"about {seconds / size:,.0f} {unit}"
    return "2 minutes or less"
