"""What a change reruns: one key, file or version at a time, and exactly the jobs that it must.

A toy of real source files is marked as run (`snakemake --touch` records the metadata of a run without running
the stages); each case changes one thing, asks a dry run which jobs would run, and puts it back.

One long file: the cases share one toy run, and the tables of them are the matrix.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Snakemake, copy_workflow
from winnow.profile import kinds as families
from winnow.score import kinds

Config = dict[str, Any]
TOY: Config = {
    "results": "results",
    "corpora": {
        "notes": {
            "source": {"files": ["data/notes-*.jsonl"]},
            "text": "text",
            "meta": ["set"],
            "group": "set",
            "shards": 2,
            "heldout": {"documents": 6},
        },
        "films": {
            "source": {"files": ["data/films.csv"]},
            "text": "sentence",
            "label": "label",
            "heldout": {"documents": 4},
        },
        "tales": {
            "source": {"files": ["data/tales.jsonl"]},
            "text": "text",
            "meta": ["set"],
            "heldout": {"documents": 4},
        },
    },
    "clusterings": {
        "toy-k3": {"encoder": "minilm", "k": 3},
        "toy-h": {
            "encoder": "minilm",
            "reduce": "toy-pca",
            "method": "hdbscan",
            "hdbscan": {"min_cluster_size": 5},
        },
    },
    "reductions": {"toy-pca": {"method": "pca", "dimensions": 4}},
    "scorers": {
        "toy-loss": {"kind": "proxy-loss", "proxy": {"model": "toy-tales-lm", "budget": "toy-proxy"}},
        "toy-words": {
            "kind": "likelihood-difference",
            "in_domain": {"model": "toy-tales-lm", "budget": "toy-proxy", "sampler": "toy-train-a"},
            "general": {"model": "toy-tales-lm", "budget": "toy-proxy"},
        },
        "toy-ngrams": {"kind": "dsir", "target": {"where": {"column": "set", "values": ["a"]}}},
        "toy-planes": {"kind": "lsh", "planes": 2},
        "toy-near": {"kind": "semdedup", "keep": "hard"},
    },
    "samplers": {
        "toy-loss": {"allocation": {"weight": "loss", "loss": "toy-loss"}},
        "toy-words": {
            "allocation": {"weight": "none"},
            "ranking": {"by": "score", "scorer": "toy-words", "order": "ascending"},
        },
        "toy-ngrams": {
            "allocation": {"weight": "none"},
            "ranking": {"by": "weighted", "scorer": "toy-ngrams", "scale": "log"},
        },
        "toy-planes": {
            "allocation": {"weight": "size"},
            "ranking": {"by": "lsh", "scorer": "toy-planes", "shares": {"random": 0.5, "diverse": 0.5}},
        },
        "toy-near": {
            "allocation": {"weight": "size"},
            "filters": {"semdedup": {"scorer": "toy-near", "eps": 0.1}},
        },
        "toy-train-a": {
            "allocation": {"weight": "none"},
            "ranking": {"purpose": "proxy-train"},
            "filters": {"where": {"column": "set", "values": ["a"]}},
        },
    },
    "tokenizers": {"toy": {"vocabulary": 300}, "toy-tales": {"vocabulary": 300}},
    "models": {
        "toy-lm": {
            "kind": "language-model",
            "layers": 1,
            "width": 16,
            "heads": 2,
            "sequence": 16,
            "tokenizer": "toy",
            "recipe": "toy",
        },
        "toy-tales-lm": {
            "kind": "language-model",
            "layers": 1,
            "width": 16,
            "heads": 2,
            "sequence": 16,
            "tokenizer": "toy-tales",
            "recipe": "toy-tales",
        },
        "toy-classifier": {"kind": "classifier", "encoder": "minilm", "max_tokens": 8, "recipe": "toy-tune"},
    },
    "recipes": {
        "toy": {"steps": 3, "batch": 2, "learning_rate": 0.001},
        "toy-tales": {"steps": 3, "batch": 2, "learning_rate": 0.001},
        "toy-tune": {"steps": 3, "batch": 2, "learning_rate": 0.001},
    },
    "budgets": {
        "toy": {"train": 10},
        "toy-labels": {"train": 6},
        "toy-proxy": {"train": 5},
        "toy-tales": {"train": 8},
    },
    "benchmarks": {
        "toy-bpb": {"heldout": "bits-per-byte", "items": 5},
        "toy-task": {"task": "arc_challenge", "data": {"files": {"test": "data/arc.jsonl"}}},
        "toy-pairs": {"grammar": "minimal-pairs", "items": 4},
        "toy-labels": {"heldout": "labels", "items": 4},
        "toy-tales": {"heldout": "cloze", "items": 4},
        "toy-test": {"labelled": {"files": ["data/test*.csv"], "text": "sentence", "label": "label"}},
    },
    "suites": {
        "toy": ["toy-bpb", "toy-task", "toy-pairs"],
        "toy-labels": ["toy-labels", "toy-test"],
        "toy-tales": ["toy-tales"],
    },
    "experiments": [
        {
            "name": "notes",
            "corpus": "notes",
            "clustering": "toy-k3",
            "samplers": ["random", "uniform", "nearest"],
            "budget": "toy",
            "model": "toy-lm",
            "data_seeds": [0],
            "suites": ["toy"],
        },
        {
            "name": "films",
            "corpus": "films",
            "clustering": "toy-k3",
            "samplers": ["random", "uniform"],
            "budget": "toy-labels",
            "model": "toy-classifier",
            "data_seeds": [0],
            "suites": ["toy-labels"],
        },
        {
            "name": "tales",
            "corpus": "tales",
            "clustering": "toy-h",
            "samplers": ["random", "toy-loss", "toy-words", "toy-ngrams", "toy-planes", "toy-near"],
            "budget": "toy-tales",
            "model": "toy-tales-lm",
            "data_seeds": [0],
            "suites": ["toy-tales"],
        },
    ],
    "tables": {
        "notes": {"title": "Notes", "experiments": ["notes"], "baseline": "random"},
        "films": {"title": "Films", "experiments": ["films"], "baseline": "random"},
        "tales": {"title": "Tales", "experiments": ["tales"], "baseline": "random"},
    },
    "targets": ["notes", "films", "tales"],
    "profile": {"families": ["lengths", "scripts", "emotions"]},
}

# Jobs by rule. Of three arms of notes, two draw from clusters, and no cluster is excluded: the third stands by itself. Of
# films a person excluded a cluster, and HDBSCAN's noise is excluded of tales: every arm depends on the clusters.
NOTES_MODELS = Counter(train_model=3, evaluate_model=3, compare_arms=1)
BASELINES = Counter(count_ngrams=3, find_benchmark_items=3)
NOTES_DRAWS = (
    NOTES_MODELS + BASELINES + Counter(draw_sample=3, write_subset=3, tokenize_subset=3, compare_samplers=1)
)
NOTES_TOKENIZER = NOTES_MODELS + Counter(
    count_ngrams=3, train_tokenizer=1, tokenize_subset=3, compare_samplers=1
)
NOTES_CLUSTERED_DRAWS = Counter(
    draw_sample=2,
    write_subset=2,
    tokenize_subset=2,
    count_ngrams=2,
    find_benchmark_items=2,
    train_model=2,
    evaluate_model=2,
    compare_arms=1,
    compare_samplers=1,
)
NOTES_EXCLUSIONS = NOTES_CLUSTERED_DRAWS + Counter(exclude_clusters=1)
NOTES_EXCLUDED = NOTES_DRAWS + Counter(exclude_clusters=1)
NOTES_CLUSTERS = NOTES_EXCLUSIONS + Counter(fit_clusters=1, assign_clusters=2, summarise_clusters=1)
NOTES_HELDOUT = (
    NOTES_DRAWS
    + Counter(hold_out=1, build_heldout_benchmark=1, train_tokenizer=1, exclude_clusters=1)
    + Counter(fit_clusters=1, assign_clusters=2, summarise_clusters=1)
)
NOTES_ALL = NOTES_HELDOUT + Counter(index_source=1, write_documents=2, embed_documents=2)
FILMS_ARM = Counter(
    draw_sample=1,
    write_subset=1,
    find_benchmark_items=1,
    train_model=1,
    evaluate_model=1,
    compare_arms=1,
    compare_samplers=1,
)
FILMS_MODELS = Counter(train_model=2, evaluate_model=2, compare_arms=1)
FILMS_DRAWS = FILMS_MODELS + Counter(
    find_benchmark_items=2, draw_sample=2, write_subset=2, compare_samplers=1
)
FILMS_EXCLUSIONS = FILMS_DRAWS + Counter(exclude_clusters=1)
FILMS_CLUSTERS = FILMS_EXCLUSIONS + Counter(fit_clusters=1, assign_clusters=1, summarise_clusters=1)
FILMS_HELDOUT = (
    FILMS_DRAWS
    + Counter(hold_out=1, build_heldout_benchmark=1, fit_clusters=1, assign_clusters=1)
    + Counter(summarise_clusters=1, exclude_clusters=1)
)
FILMS_ALL = FILMS_HELDOUT + Counter(
    index_source=1, write_documents=1, embed_documents=1, build_labelled_benchmark=1
)


def arms(count: int, proxies: int = 0) -> Counter[str]:
    """Language models of one table, and proxies that are trained but not evaluated."""
    both = dict.fromkeys(("draw_sample", "write_subset", "tokenize_subset", "train_model"), count + proxies)
    return Counter(
        both,
        evaluate_model=count,
        find_benchmark_items=count,
        compare_arms=1,
        compare_samplers=1,
    )


# Tales have every kind of scorer, a reduction, HDBSCAN, six arms (three of them on clusters) and two proxies.
BY_PROXIES = Counter(score_probe=1, mean_losses=1, score_documents=1)
TALES_DRAWS = arms(6, 2) + BY_PROXIES + Counter(choose_probe=1)
TALES_EXCLUSIONS = TALES_DRAWS + Counter(exclude_clusters=1, fit_ratios=1, score_documents=1)
TALES_CLUSTERS = TALES_EXCLUSIONS + Counter(
    fit_hdbscan=1, assign_hdbscan=1, summarise_clusters=1, find_near_duplicates=1, score_vectors=1
)
TALES_REDUCED = TALES_CLUSTERS + Counter(reduce_vectors=1)
TALES_HELDOUT = TALES_REDUCED + Counter(hold_out=1, build_heldout_benchmark=1, train_tokenizer=1)
TALES_ALL = TALES_HELDOUT + Counter(index_source=1, write_documents=1, embed_documents=1)
MIRROR = Counter(mirror_benchmark=1)
LABELLED = Counter(build_labelled_benchmark=1)
NOTHING: Counter[str] = Counter()
REPORT = Counter(write_report=1)
"""What the report says of the run alone."""


def whole(jobs: Counter[str]) -> Counter[str]:
    """With the costs and the provenance of each table that is made anew, and the report of all tables and pages."""
    jobs = jobs + Counter(chart_costs=jobs["compare_arms"], trace_provenance=jobs["compare_arms"])
    reported = any(
        jobs[rule] for rule in ("compare_arms", "chart_costs", "trace_provenance", "compare_samplers")
    )
    return jobs + Counter(write_report=int(reported))


def put(value: Any, *path: str | int) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        node: Any = config
        for key in path[:-1]:
            node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]
        node[path[-1]] = value

    return change


def several(*changes: Callable[[Config], None]) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        for one in changes:
            one(config)

    return change


CASES: dict[str, tuple[Callable[[Config], None], Counter[str]]] = {
    # Corpora
    "text": (put("body", "corpora", "notes", "text"), NOTES_ALL),
    "meta": (put(["set", "author"], "corpora", "notes", "meta"), NOTES_ALL),
    "files": (put(["data/notes-1.jsonl"], "corpora", "notes", "source", "files"), NOTES_ALL),
    "heldout.documents": (put(7, "corpora", "notes", "heldout", "documents"), NOTES_HELDOUT),
    "heldout.seed": (put(1, "corpora", "films", "heldout", "seed"), FILMS_HELDOUT),
    "deduplicate": (put(True, "corpora", "notes", "deduplicate"), NOTES_HELDOUT),
    "group": (
        put(None, "corpora", "notes", "group"),
        BASELINES + Counter(build_heldout_benchmark=1, evaluate_model=3, compare_arms=1, compare_samplers=1),
    ),
    "shards": (
        put(3, "corpora", "notes", "shards"),
        NOTES_HELDOUT + Counter(write_documents=3, embed_documents=3, assign_clusters=1),
    ),
    "label": (put("mark", "corpora", "films", "label"), FILMS_ALL),
    "clean": (put(["strip", "lower"], "corpora", "films", "clean"), FILMS_ALL),
    # Encoders and clusterings
    "max_tokens": (
        put(128, "encoders", "minilm", "max_tokens"),
        NOTES_CLUSTERS + FILMS_CLUSTERS + TALES_REDUCED + Counter(embed_documents=4),
    ),
    "reduction.dimensions": (put(3, "reductions", "toy-pca", "dimensions"), TALES_REDUCED),
    "another reduction": (
        several(
            put({"method": "pca", "dimensions": 5}, "reductions", "other"),
            put("other", "clusterings", "toy-h", "reduce"),
        ),
        TALES_REDUCED,
    ),
    "no reduction": (put(None, "clusterings", "toy-h", "reduce"), TALES_CLUSTERS),
    "k": (put(4, "clusterings", "toy-k3", "k"), NOTES_CLUSTERS + FILMS_CLUSTERS),
    "clustering.seed": (put(1, "clusterings", "toy-k3", "seed"), NOTES_CLUSTERS + FILMS_CLUSTERS),
    "another k": (
        several(
            put({"encoder": "minilm", "k": 4}, "clusterings", "toy-k4"),
            put("toy-k4", "experiments", 0, "clustering"),
        ),
        NOTES_CLUSTERS,
    ),
    # Samplers and budgets
    "sampler": (
        put("divmod", "samplers", "uniform", "rounding"),
        FILMS_ARM
        + Counter(
            draw_sample=1,
            write_subset=1,
            tokenize_subset=1,
            count_ngrams=1,
            find_benchmark_items=1,
            train_model=1,
            evaluate_model=1,
            compare_arms=1,
            compare_samplers=1,
        ),
    ),
    "one more sampler": (
        put(["random", "uniform", "nearest", "proportionate"], "experiments", 0, "samplers"),
        Counter(
            draw_sample=1,
            write_subset=1,
            tokenize_subset=1,
            count_ngrams=1,
            find_benchmark_items=1,
            train_model=1,
            evaluate_model=1,
            compare_arms=1,
            compare_samplers=1,
        ),
    ),
    "one sampler fewer": (
        put(["random", "nearest"], "experiments", 0, "samplers"),
        Counter(compare_arms=1, compare_samplers=1),
    ),
    "budget": (put(12, "budgets", "toy", "train"), NOTES_DRAWS),
    # Models
    "tokenizer": (put(301, "tokenizers", "toy", "vocabulary"), NOTES_TOKENIZER),
    "width": (put(32, "models", "toy-lm", "width"), NOTES_MODELS),
    "steps": (put(4, "recipes", "toy", "steps"), NOTES_MODELS),
    "classifier": (put(16, "models", "toy-classifier", "max_tokens"), FILMS_MODELS),
    # Seeds
    "one more data seed": (put([0, 1], "experiments", 0, "data_seeds"), NOTES_DRAWS),
    "one more training seed": (put([0, 1], "experiments", 0, "training_seeds"), NOTES_MODELS),
    "another data seed": (put([5], "experiments", 1, "data_seeds"), FILMS_DRAWS),
    # Benchmarks and suites
    "items held out": (
        put(4, "benchmarks", "toy-bpb", "items"),
        BASELINES + Counter(build_heldout_benchmark=1, evaluate_model=3, compare_arms=1),
    ),
    "items of a grammar": (
        put(5, "benchmarks", "toy-pairs", "items"),
        Counter(find_benchmark_items=3, build_grammar_benchmark=1, evaluate_model=3, compare_arms=1),
    ),
    "items of a task": (
        put(5, "benchmarks", "toy-task", "items"),
        Counter(evaluate_model=3, compare_arms=1),
    ),
    "metrics of a task": (
        put(["acc", "acc_norm"], "benchmarks", "toy-task", "metrics"),
        Counter(compare_arms=1),
    ),
    "metrics of a held-out benchmark": (
        put(["bits_per_byte"], "benchmarks", "toy-bpb", "metrics"),
        Counter(compare_arms=1),
    ),
    "task": (
        put("arc_easy", "benchmarks", "toy-task", "task"),
        MIRROR + Counter(find_benchmark_items=3, evaluate_model=3, compare_arms=1),
    ),
    "one more benchmark": (
        several(
            put({"heldout": "cloze", "items": 3}, "benchmarks", "toy-cloze"),
            put(["toy-bpb", "toy-task", "toy-pairs", "toy-cloze"], "suites", "toy"),
        ),
        Counter(find_benchmark_items=3, build_heldout_benchmark=1, evaluate_model=3, compare_arms=1),
    ),
    "one more suite": (
        several(put(["toy-pairs"], "suites", "more"), put(["toy", "more"], "experiments", 0, "suites")),
        Counter(find_benchmark_items=3, evaluate_model=3, compare_arms=1),
    ),
    "one benchmark fewer": (
        put(["toy-bpb", "toy-task"], "suites", "toy"),
        Counter(find_benchmark_items=3, evaluate_model=3, compare_arms=1),
    ),
    # Tables
    "report.targets": (put(["clusters"], "report", "targets"), Counter(write_report=1, inspect_clusters=1)),
    "title": (put("Other", "tables", "notes", "title"), Counter(compare_arms=1)),
    "resamples": (put(100, "tables", "notes", "resamples"), Counter(compare_arms=1)),
    "baseline": (put("uniform", "tables", "films", "baseline"), Counter(compare_arms=1, compare_samplers=1)),
    "one more table": (
        several(
            put({"title": "T", "experiments": ["films"], "baseline": "uniform"}, "tables", "more"),
            put([*TOY["targets"], "more"], "targets"),
        ),
        Counter(compare_arms=1, compare_samplers=1),
    ),
    "one table fewer": (put(["films", "tales"], "targets"), REPORT),
    # Corpora and experiments as a whole
    "one more corpus": (
        several(
            put({**TOY["corpora"]["films"]}, "corpora", "more"),
            put(
                [*TOY["experiments"], {**TOY["experiments"][1], "name": "more", "corpus": "more"}],
                "experiments",
            ),
            put({"title": "T", "experiments": ["more"], "baseline": "random"}, "tables", "more"),
            put([*TOY["targets"], "more"], "targets"),
        ),
        FILMS_ALL,
    ),
    "one experiment fewer": (
        several(put([TOY["experiments"][0]], "experiments"), put(["notes"], "targets")),
        REPORT,
    ),
    "experiment's name": (
        several(
            put("other", "experiments", 1, "name"),
            put(["other"], "tables", "films", "experiments"),
        ),
        Counter(compare_arms=1, compare_samplers=1),
    ),
    "licence": (put("CC0", "corpora", "notes", "licence"), REPORT),
    # What must rerun nothing
    "sweep": (put({"k": [2, 3]}, "sweep"), NOTHING),
    "profile": (put({"families": ["lengths"]}, "profile"), NOTHING),
    "size": (put({"documents": 10**9}, "corpora", "notes", "size"), NOTHING),
    "prompts": (put({"words": "set"}, "corpora", "notes", "prompts"), NOTHING),
    "a definition that no one names": (put({"train": 3}, "budgets", "unused"), NOTHING),
    "a default spelt out": (put([0.9, 0.95], "recipes", "toy", "betas"), NOTHING),
    # Of a budget without rounds; test_continued_rounds.py has those with some.
    "where later rounds start": (put("continue", "models", "toy-classifier", "rounds"), NOTHING),
    "order of experiments": (
        put(list(reversed(TOY["experiments"])), "experiments"),
        NOTHING,
    ),
}

# Jobs that a new STAGE_VERSION reruns, all that follows included.
DRAWN = NOTES_DRAWS + FILMS_DRAWS
EVALUATE = Counter(evaluate_model=11, compare_arms=3)
EMBEDDINGS = NOTES_CLUSTERS + FILMS_CLUSTERS + TALES_REDUCED + Counter(embed_documents=4)
STAGES: dict[str, Counter[str]] = {
    "documents.shards": NOTES_ALL + FILMS_ALL + TALES_ALL,
    "documents.heldout": NOTES_HELDOUT + FILMS_HELDOUT + TALES_HELDOUT,
    "embed.encode": EMBEDDINGS,
    "cluster.kmeans": NOTES_CLUSTERS + FILMS_CLUSTERS + TALES_REDUCED,
    "cluster.reduce": TALES_REDUCED,
    "cluster.sweep": NOTHING,
    "cluster.hdbscan": TALES_CLUSTERS,
    "cluster.exclude": NOTES_EXCLUSIONS + FILMS_EXCLUSIONS + TALES_EXCLUSIONS,
    "score.documents": arms(4) + BY_PROXIES + Counter(score_documents=1, score_vectors=1),
    "score.probes": arms(1) + Counter(choose_probe=1, score_probe=1, mean_losses=1),
    "score.language_model": arms(2) + BY_PROXIES,
    "score.proxy_loss": arms(1) + Counter(score_probe=1, mean_losses=1),
    "score.likelihood_difference": arms(1) + Counter(score_documents=1),
    "score.dsir": arms(1) + Counter(fit_ratios=1, score_documents=1),
    "score.lsh": arms(1) + Counter(score_vectors=1),
    "score.entropy": NOTHING,
    "score.semdedup": arms(1) + Counter(find_near_duplicates=1),
    "sample.draw": DRAWN + TALES_DRAWS,
    "sample.allocate": DRAWN + TALES_DRAWS,
    "sample.candidates": DRAWN + TALES_DRAWS,
    # Two arms of tales draw anew: their scores come of models that train anew.
    "sample.subset": DRAWN
    - Counter(draw_sample=5, compare_samplers=1)
    + arms(6, 2)
    - Counter(draw_sample=6)
    + BY_PROXIES,
    "train.tokens": NOTES_TOKENIZER
    + (arms(6, 2) - Counter(draw_sample=6, write_subset=6, find_benchmark_items=4))
    + BY_PROXIES
    + Counter(train_tokenizer=1),
    "train.loop": NOTES_MODELS
    + FILMS_MODELS
    + (arms(6, 2) - Counter(draw_sample=6, write_subset=6, tokenize_subset=6, find_benchmark_items=4))
    + BY_PROXIES,
    "evaluate.benchmarks": EVALUATE
    + MIRROR
    + Counter(build_heldout_benchmark=3, build_grammar_benchmark=1, find_benchmark_items=11, count_ngrams=3)
    + LABELLED,
    "evaluate.ngrams": Counter(count_ngrams=3, compare_arms=1),
    "evaluate.contamination": Counter(find_benchmark_items=11, compare_arms=3),
    "report.site": Counter(write_report=1),
    "compare.costs": Counter(chart_costs=3),
    "compare.power": Counter(chart_costs=3),
    "compare.provenance": Counter(trace_provenance=3),
    "compare.arms": Counter(compare_arms=3),
    "compare.claims": Counter(compare_arms=3),
    "compare.sentences": Counter(compare_arms=3),
    "compare.ledger": Counter(compare_arms=3),
    "compare.plots": Counter(compare_arms=3),
    "compare.published": Counter(compare_arms=3),
    "compare.audit": Counter(compare_arms=3),
    "evaluate.harness": EVALUATE,
    "compare.table": Counter(compare_arms=3),
    "sample.compare_samplers": Counter(compare_samplers=3),
    "compare.render": Counter(compare_arms=3, copy_guide=1),
    "pages": Counter(compare_arms=3, compare_samplers=3),
    "cluster.inspection": NOTHING,
    "profile.measure": NOTHING,
    "profile.counts": NOTHING,
    "profile.describe": NOTHING,
    "profile.associate": NOTHING,
    "profile.sections": NOTHING,
    "profile.card": NOTHING,
    "profile.page": NOTHING,
    "profile.plots": NOTHING,
    "profile.labels": NOTHING,
    "profile.entail": NOTHING,
    "profile.zero_shot": NOTHING,
    "profile.creativity": NOTHING,
    "profile.shift": NOTHING,
    **{f"profile.families.{family}": NOTHING for family in families.names()},
    "documents.generate": NOTHING,
    "commands.check_node": NOTHING,
    "download": NOTHING,
    "rounds.predict": NOTHING,
    "rounds.probes": NOTHING,
    "rounds.learning_curves": NOTHING,
    "rounds.chosen": NOTHING,
    "rounds.costs": NOTHING,
    "batching": EMBEDDINGS,
    "tokenizer": EMBEDDINGS + Counter(tokenize_subset=1, count_ngrams=1, train_model=1, evaluate_model=1),
}


PROFILE = "results/notes/profile/profile.html"
CREATIVITY = "results/notes/profile/creativity.json"
SHIFT = "results/notes/profile/shift/notes/shift.html"
TABLES = Counter(describe_corpus=1, associate_measures=1, write_profile=1)


class Toy:
    """A copy of the workflow over a small run that counts as done."""

    def __init__(self, folder: Path, snakemake: Snakemake) -> None:
        self.folder, self.snakemake = copy_workflow(folder), snakemake
        data = folder / "data"
        data.mkdir()
        for part in (0, 1):
            rows = [
                {"text": f"Note {part} {i} of a set.", "set": "ab"[i % 2], "body": "b", "author": "c"}
                for i in range(30)
            ]
            (data / f"notes-{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        films = "".join(f"A film like no {i} other,{i % 2},{i % 2}\n" for i in range(40))
        tales = [{"text": f"Tale {i} of old.", "set": "ab"[i % 2]} for i in range(40)]
        (data / "tales.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tales))
        (data / "films.csv").write_text("sentence,label,mark\n" + films)
        (data / "test.csv").write_text("sentence,label\nA film,1\nNo film,0\n")
        (data / "arc.jsonl").write_text(json.dumps({"id": "1", "question": "Why?"}) + "\n")
        exclusions = folder / "config" / "exclusions"
        exclusions.mkdir(exist_ok=True)
        (exclusions / "films.toy-k3.tsv").write_text("# clustering 0123\n1\tmenus\n")
        self.write(TOY)
        for path in [*self.outputs(), *self.outputs(PROFILE, CREATIVITY, SHIFT)]:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(f"{path}\n")
        swept = "results/notes/clusterings/toy-k3/sweep.html"
        for name in ("sweep.html", "sweep.csv", "sweep.svg", "sweep.json", "sweep.md"):
            (folder / swept).with_name(name).write_text(name)
        pages = [
            f"results/{page}/review.html" for page in ("notes/clusterings/toy-k3", "tales/clusterings/toy-h")
        ]
        for page in pages:
            for name in ("review.html", "proposals.tsv", "criteria.csv"):
                (folder / page).with_name(name).write_text(name)
        everything = ("all", *pages, swept, PROFILE, CREATIVITY, SHIFT)
        done = snakemake(*everything, "--touch", "--forceall", "--cores", "1", "--quiet", "all", cwd=folder)
        assert done.code == 0, done.text

    def write(self, config: Config) -> None:
        (self.folder / "config" / "config.yaml").write_text(json.dumps(config, indent=1))

    def outputs(self, *targets: str) -> list[str]:
        shown = self.snakemake(*targets, "--dry-run", "--quiet", "reason", cwd=self.folder)
        assert shown.code == 0, shown.text
        lines = re.findall(r"^    output: (.+)$", shown.text, re.MULTILINE)
        return [path for line in lines for path in line.split(", ")]

    def jobs(self, *arguments: str) -> Counter[str]:
        done = self.snakemake(*arguments, "--dry-run", "--quiet", "rules", cwd=self.folder)
        return Counter(done.jobs())

    @contextmanager
    def changed(self, path: str, text: str | None, later: float | None = None) -> Iterator[None]:
        """A file with other content (None: without it), as if just written, or `later` seconds than it was; put back
        afterwards."""
        file = self.folder / path
        before, times = (file.read_text(), file.stat()) if file.exists() else (None, None)
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
            if times and later is not None:
                os.utime(file, (times.st_mtime + later, times.st_mtime + later))
        try:
            yield
        finally:
            if before is None or times is None:
                file.unlink()
            else:
                file.write_text(before)
                os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Toy:
    return Toy(tmp_path_factory.mktemp("toy"), snakemake)


def test_a_finished_run_has_nothing_to_do(toy: Toy) -> None:
    assert toy.jobs() == NOTHING


def test_snakemakes_report_opens_on_the_answer_of_the_run(toy: Toy, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    answer = "Which documents\n===============\n\n**No sampler is better\\.** {{ 1 / 0 }} stays text.\n"
    for path, text, expected in (
        ("results/report/answer.rst", answer, "No sampler is better.</strong> {{ 1 / 0 }} stays text."),
        ("results/report/answer.rst", None, "The run has no answer yet"),
    ):
        with toy.changed(path, text):
            done = toy.snakemake("--report", str(page), cwd=toy.folder)
        assert done.code == 0, done.text
        first = re.search(r"var workflow_desc = (.*);", page.read_text())
        assert first
        assert expected in " ".join(json.loads(first[1]).split())


def fast_and_slow(names: Iterable[str], fast: set[str]) -> list[Any]:
    """One case a kind in the fast suite, the others marked slow."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


FAST = {
    "text", "heldout.documents", "group", "shards", "max_tokens", "k", "sampler", "one more sampler", "budget",
    "tokenizer", "steps", "one more data seed", "items held out", "metrics of a task", "one more benchmark",
    "title", "one more corpus", "a default spelt out", "clean", "reduction.dimensions", "no reduction",
}  # fmt: skip


@pytest.mark.parametrize("case", fast_and_slow(CASES, FAST))
def test_a_changed_key_reruns_what_it_decides(toy: Toy, case: str) -> None:
    change, expected = CASES[case]
    config = copy.deepcopy(TOY)
    change(config)
    with toy.changed("config/config.yaml", json.dumps(config)):
        assert toy.jobs() == whole(expected)


def test_every_stage_has_its_case() -> None:
    root = Path(__file__).parents[2]
    used = {
        stage
        for file in (root / "workflow" / "rules").glob("*.smk")
        for call in re.findall(r'version\(\s*((?:"[\w.]+",?\s*)+)\)', file.read_text())
        for stage in re.findall(r'"([\w.]+)"', call)
    }
    used |= {stage for kind in kinds.names() for stage in kinds.stages_of({"kind": kind})}
    used |= {stage for family in families.names() for stage in families.stages_of(family)}
    versioned = {
        ".".join(file.relative_to(root / "workflow" / "winnow").with_suffix("").parts)
        for file in (root / "workflow" / "winnow").rglob("*.py")
        if "\nSTAGE_VERSION = " in file.read_text()
    }
    assert used == versioned
    assert used == set(STAGES)


@pytest.mark.parametrize(
    "stage", fast_and_slow(STAGES, {"documents.shards", "sample.draw", "train.loop", "evaluate.benchmarks"})
)
def test_a_new_stage_version_reruns_the_stage_and_what_follows(toy: Toy, stage: str) -> None:
    path = f"workflow/winnow/{stage.replace('.', '/')}.py"
    text = (toy.folder / path).read_text()
    with toy.changed(path, re.sub(r"^STAGE_VERSION = \d+", "STAGE_VERSION = 999", text, flags=re.MULTILINE)):
        assert toy.jobs() == whole(STAGES[stage])


def test_an_edit_of_a_stage_without_a_new_version_reruns_nothing(toy: Toy) -> None:
    path = "workflow/winnow/train/loop.py"
    with toy.changed(path, (toy.folder / path).read_text() + "\n# an edit\n"):
        assert toy.jobs() == NOTHING


def test_records_of_jobs_rerun_nothing(toy: Toy) -> None:
    """They say where and with what a file was made: another machine, commit or package is no reason to make it again."""
    record = toy.folder / "results/provenance/train_model/x.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    assert toy.jobs() == NOTHING
    record.unlink()
    assert toy.jobs() == NOTHING


def upside_down(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: upside_down(value[key]) for key in reversed(list(value))}
    return value


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(upside_down(TOY)),
        "# A comment\n" + json.dumps(TOY, indent=7) + "\n\n\n# and another",
    ],
    ids=["order of keys", "white space and comments"],
)
def test_how_the_config_is_written_reruns_nothing(toy: Toy, text: str) -> None:
    with toy.changed("config/config.yaml", text):
        assert toy.jobs() == NOTHING


@pytest.mark.parametrize(
    "arguments",
    [
        ("--profile", "profiles/local"),
        ("--profile", "slurm"),
        ("--cores", "7", "--set-threads", "train_model=3", "--set-resources", "train_model:mem_mb=99"),
    ],
    ids=["profile local", "profile slurm", "threads and memory"],
)
def test_where_and_how_wide_it_runs_reruns_nothing(toy: Toy, arguments: tuple[str, ...]) -> None:
    assert toy.jobs(*arguments) == NOTHING


READ = {
    "data/notes-1.jsonl": NOTES_ALL,
    "data/films.csv": FILMS_ALL,
    "data/arc.jsonl": MIRROR + Counter(find_benchmark_items=3, evaluate_model=3, compare_arms=1),
    "data/test.csv": LABELLED + Counter(find_benchmark_items=2, evaluate_model=2, compare_arms=1),
    "config/exclusions/films.toy-k3.tsv": FILMS_EXCLUSIONS,
}


def edited(text: str) -> str:
    """The text and one more row, like its last one."""
    return text + text.splitlines()[-1].replace("1\tmenus", "2\tmenus") + "\n"  # a cluster is listed once


# Of each file a word, and one of the same length that leaves the file right.
REPLACED = {
    "data/notes-1.jsonl": ("Note", "Memo"),
    "data/films.csv": ("A film", "A tale"),
    "data/arc.jsonl": ("Why", "Who"),
    "data/test.csv": ("film", "tale"),
    "config/exclusions/films.toy-k3.tsv": ("menus", "mails"),
}


@pytest.mark.parametrize("path", READ)
def test_an_edited_input_reruns_what_reads_it(toy: Toy, path: str) -> None:
    text = (toy.folder / path).read_text()
    with toy.changed(path, edited(text)):
        assert toy.jobs() == whole(READ[path])


@pytest.mark.parametrize(
    "path", fast_and_slow(READ, {"data/films.csv", "config/exclusions/films.toy-k3.tsv"})
)
@pytest.mark.parametrize(
    "later",
    [pytest.param(-1e8, id="older"), pytest.param(0, id="same time and size", marks=pytest.mark.slow)],
)
def test_a_replaced_input_reruns_what_reads_it_whatever_its_time(toy: Toy, path: str, later: float) -> None:
    """As rsync -a, cp -p or a restored backup leave it: Snakemake itself sees newer times only."""
    text = (toy.folder / path).read_text()
    other = text.replace(*REPLACED[path]) if later == 0 else edited(text)
    assert other != text
    assert (len(other) == len(text)) == (later == 0)
    with toy.changed(path, other, later):
        assert toy.jobs() == whole(READ[path])


@pytest.mark.parametrize("later", [None, -1e8], ids=["newer", "older"])
def test_touched_inputs_of_the_same_content_rerun_nothing(toy: Toy, later: float | None) -> None:
    with ExitStack() as stack:
        for path in READ:
            stack.enter_context(toy.changed(path, (toy.folder / path).read_text(), later))
        assert toy.jobs() == NOTHING


@pytest.mark.slow
def test_a_large_source_goes_by_size_and_time_and_a_local_encoder_by_its_files(toy: Toy) -> None:
    """What small files show by their content, large ones show by their time, older or newer."""
    corpus = {"source": {"files": ["data/large [x].jsonl"]}, "text": "text"}
    encoder = {"source": {"folder": "data/model", "sha256": "0" * 64}, "dimension": 8}
    config = {"results": "other", "corpora": {"large": corpus}, "encoders": {"mine": encoder}}
    run, data = toy.folder / "more.yaml", toy.folder / "data"
    run.write_text(json.dumps(config))
    (data / "large [x].jsonl").write_text('{"text": "a"}\n' * 100_000)
    (data / "model").mkdir()
    (data / "model" / "tokenizer.json").write_text("{}")
    target = "other/large/embeddings/mine/0000.npy"
    for name in (target, "other/large/documents/0000.parquet", "other/large/source.json"):
        (toy.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (toy.folder / name).write_text(name)
    line = (target, "--configfile", str(run))
    done = toy.snakemake(*line, "--touch", "--forceall", "--cores", "1", "--quiet", "all", cwd=toy.folder)
    assert done.code == 0, done.text
    assert toy.jobs(*line) == NOTHING
    every = Counter(index_source=1, write_documents=1, embed_documents=1)
    same = (data / "large [x].jsonl").read_text()
    for later in (-1e8, 1e8):
        with toy.changed("data/large [x].jsonl", same, later):
            assert toy.jobs(*line) == every
    with toy.changed("data/model/tokenizer.json", "[]", -1e8):
        assert toy.jobs(*line) == Counter(embed_documents=1)
    with toy.changed("data/model/config.json", "{}"):
        assert toy.jobs(*line) == Counter(embed_documents=1)


def test_one_more_file_that_a_glob_finds_reruns_the_corpus(toy: Toy) -> None:
    with toy.changed("data/notes-2.jsonl", '{"text": "new", "set": "a"}\n'):
        assert toy.jobs() == whole(NOTES_ALL)


def test_exclusions_that_a_person_adds_rerun_every_draw_of_that_experiment(toy: Toy) -> None:
    with toy.changed("config/exclusions/notes.toy-k3.tsv", "# clustering 0\n"):
        assert toy.jobs() == whole(NOTES_EXCLUDED)


def test_a_sampler_that_keeps_excluded_clusters_needs_no_clusters(toy: Toy) -> None:
    config = copy.deepcopy(TOY)
    config["experiments"][1]["samplers"] = ["random", "uniform", "random-whole"]
    with toy.changed("config/config.yaml", json.dumps(config)):
        before = toy.jobs()
        assert before == whole(FILMS_ARM)
        text = "# clustering 0123\n2\tmenus\n"
        with toy.changed("config/exclusions/films.toy-k3.tsv", text):
            assert toy.jobs() == whole(
                FILMS_EXCLUSIONS + FILMS_ARM - Counter(compare_arms=1, compare_samplers=1)
            )


def test_exclusions_that_a_person_removes_rerun_every_draw_of_that_experiment(toy: Toy) -> None:
    with toy.changed("config/exclusions/films.toy-k3.tsv", None):
        assert toy.jobs() == whole(FILMS_EXCLUSIONS)


def test_a_lost_output_is_made_again(toy: Toy) -> None:
    with toy.changed("results/tables/notes.md", None):
        assert toy.jobs() == whole(Counter(compare_arms=1))


@pytest.mark.slow
def test_pages_of_clusters_are_made_anew_with_their_stage_and_criteria(toy: Toy) -> None:
    page = "results/tales/clusterings/toy-h/review.html"
    assert toy.jobs(page) == NOTHING
    path = "workflow/winnow/cluster/inspection.py"
    text = (toy.folder / path).read_text()
    with toy.changed(path, re.sub(r"^STAGE_VERSION = \d+", "STAGE_VERSION = 999", text, flags=re.MULTILINE)):
        assert toy.jobs(page) == Counter(inspect_clusters=1)
    config = copy.deepcopy(TOY)
    config["proposals"] = {"documents": 7}
    with toy.changed("config/config.yaml", json.dumps(config)):
        assert toy.jobs(page) == Counter(inspect_clusters=1)
        assert toy.jobs() == NOTHING


@pytest.mark.slow
def test_a_scorer_that_colours_the_review_page_is_computed_for_it_and_reruns_nothing_else(toy: Toy) -> None:
    page = "results/tales/clusterings/toy-h/review.html"
    config = copy.deepcopy(TOY)
    config["proposals"] = {"scorers": ["of-tales"]}
    config["scorers"]["of-tales"] = {"kind": "dsir", "target": {"where": {"column": "set", "values": ["a"]}}}
    with toy.changed("config/config.yaml", json.dumps(config)):
        assert toy.jobs(page) == Counter(inspect_clusters=1, score_documents=1, fit_ratios=1)
        assert toy.jobs() == NOTHING


@pytest.mark.slow
def test_a_sweep_is_made_anew_with_its_stage_settings_figures_and_vectors(toy: Toy) -> None:
    page = "results/notes/clusterings/toy-k3/sweep.html"
    sweep = Counter(sweep_clusters=1)
    assert toy.jobs(page) == NOTHING
    path = "workflow/winnow/cluster/sweep.py"
    text = (toy.folder / path).read_text()
    with toy.changed(path, re.sub(r"^STAGE_VERSION = \d+", "STAGE_VERSION = 999", text, flags=re.MULTILINE)):
        assert toy.jobs(page) == sweep
    for changes in (
        {"sweep": {"k": [2, 3]}},
        {"sweep": {"published": "config/published/sst2-sweep.csv"}},
        {"clusterings": {**TOY["clusterings"], "toy-k3": {"encoder": "minilm", "k": 3, "iterations": 5}}},
    ):
        with toy.changed("config/config.yaml", json.dumps(TOY | changes)):
            assert toy.jobs(page) == sweep
            assert "sweep" not in changes or toy.jobs() == NOTHING
    reduced = {
        "clusterings": {**TOY["clusterings"], "toy-k3": {**TOY["clusterings"]["toy-k3"], "reduce": "toy-pca"}}
    }
    with toy.changed("config/config.yaml", json.dumps(TOY | reduced)):
        assert toy.jobs(page) == sweep + Counter(reduce_vectors=1)
    encoder = {"encoders": {"minilm": {"max_tokens": 128}}}
    with toy.changed("config/config.yaml", json.dumps(TOY | encoder)):
        assert toy.jobs(page) == sweep + Counter(embed_documents=2)


@pytest.mark.slow
def test_a_profile_is_made_anew_with_what_decides_it_and_no_more(toy: Toy) -> None:
    assert toy.jobs(PROFILE) == NOTHING
    tables, page = TABLES, Counter(write_profile=1)
    creativity = Counter(measure_creativity=1)
    emotions = Counter(embed_documents=2, embed_labels=1, measure_documents=2)
    cases: list[tuple[Config, Counter[str]]] = [
        ({"objectives": {"short": {"measure": "words", "max": 9}}}, tables),
        ({"families": ["lengths", "scripts"]}, tables),
        ({"counts": {"ngrams": [4]}}, tables + Counter(count_documents=2)),
        ({"corpora": ["films"]}, NOTHING),
        ({"encoder": "minilm-128"}, tables + emotions + creativity),
        ({"creativity": {"groups": 7}}, page + creativity),
        ({"reading": {"words": 50}}, NOTHING),  # of a family that the toy has not
    ]
    for changes, expected in cases:
        with toy.changed("config/config.yaml", json.dumps(TOY | {"profile": TOY["profile"] | changes})):
            assert toy.jobs(PROFILE) == expected, changes
    config = copy.deepcopy(TOY)
    config["label_sets"] = {"emotions": {"labels": {"joy": ["A happy text."]}}}
    with toy.changed("config/config.yaml", json.dumps(config)):
        assert toy.jobs(PROFILE) == tables + Counter(embed_labels=1, measure_documents=2)
    config["label_sets"]["emotions"]["nli"] = {
        "source": {"hub": "owner/nli", "revision": "0123456789abcdef0123456789abcdef01234567"}
    }
    with toy.changed("config/config.yaml", json.dumps(config)):
        judged = Counter(download_model=1, entail_documents=2, measure_documents=2)
        assert toy.jobs(PROFILE) == tables + judged
    config = copy.deepcopy(TOY)
    config["corpora"]["notes"]["licence"] = "CC0"
    with toy.changed("config/config.yaml", json.dumps(config)):
        assert toy.jobs(PROFILE) == page
    config["corpora"]["notes"]["prompts"] = {"words": "set"}
    with toy.changed("config/config.yaml", json.dumps(config)):
        assert toy.jobs(PROFILE) == tables + Counter(count_documents=2) + creativity
    figures = "config/published/mine.csv"
    config = copy.deepcopy(TOY)
    config["corpora"]["notes"]["published"] = figures
    with (
        toy.changed(figures, "of,name,value,source\n"),
        toy.changed("config/config.yaml", json.dumps(config)),
    ):
        assert toy.jobs(PROFILE) == page


@pytest.mark.slow
def test_creativity_is_measured_anew_with_what_decides_it_and_no_more(toy: Toy) -> None:
    assert toy.jobs(CREATIVITY) == NOTHING
    one = Counter(measure_creativity=1)
    cases: list[tuple[Config, Counter[str]]] = [
        ({"creativity": {"groups": 7}}, one),
        ({"creativity": {"by": "cluster", "clustering": "toy-k3"}}, one),
        ({"encoder": "minilm-128"}, one + Counter(embed_documents=2)),
        ({"families": ["lengths"], "counts": {"ngrams": [4]}}, NOTHING),
    ]
    for changes, expected in cases:
        with toy.changed("config/config.yaml", json.dumps(TOY | {"profile": TOY["profile"] | changes})):
            assert toy.jobs(CREATIVITY) == expected, changes
    config = copy.deepcopy(TOY)
    config["corpora"]["notes"]["prompts"] = {"text": "set"}
    with toy.changed("config/config.yaml", json.dumps(config)):
        assert toy.jobs(CREATIVITY) == one
        assert toy.jobs(SHIFT) == NOTHING


@pytest.mark.slow
def test_what_samplers_favour_is_compared_anew_with_their_draws_and_the_measures(toy: Toy) -> None:
    assert toy.jobs(SHIFT) == NOTHING
    one = Counter(compare_draws=1)
    cases: list[tuple[Callable[[Config], None], Counter[str]]] = [
        (put(["random", "nearest"], "experiments", 0, "samplers"), one),
        (put([0, 1], "experiments", 0, "data_seeds"), one + Counter(draw_sample=3)),
        (put(12, "budgets", "toy", "train"), one + Counter(draw_sample=3)),
        (put(["lengths", "scripts"], "profile", "families"), one + Counter(describe_corpus=1)),
        (put({"groups": 7}, "profile", "creativity"), NOTHING),
        (put(32, "models", "toy-lm", "width"), NOTHING),
    ]
    for change, expected in cases:
        config = copy.deepcopy(TOY)
        change(config)
        with toy.changed("config/config.yaml", json.dumps(config)):
            assert toy.jobs(SHIFT) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("families/lengths", TABLES + Counter(measure_documents=2)),
        ("measure", TABLES + Counter(measure_documents=6)),
        ("labels", TABLES + Counter(embed_labels=1, measure_documents=2)),
        ("counts", TABLES + Counter(count_documents=2, measure_creativity=1)),
        ("describe", TABLES),
        ("associate", Counter(associate_measures=1, write_profile=1)),
        ("creativity", Counter(measure_creativity=1, write_profile=1)),
        ("shift", NOTHING),
        ("page", Counter(write_profile=1)),
        ("sections", Counter(write_profile=1)),
    ],
)
def test_a_new_version_of_a_stage_of_the_profile_leaves_nothing_stale(
    toy: Toy, stage: str, expected: Counter[str]
) -> None:
    path = f"workflow/winnow/profile/{stage}.py"
    text = (toy.folder / path).read_text()
    with toy.changed(path, re.sub(r"^STAGE_VERSION = \d+", "STAGE_VERSION = 99", text, flags=re.MULTILINE)):
        assert toy.jobs(PROFILE) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("creativity", {CREATIVITY: Counter(measure_creativity=1), SHIFT: NOTHING}),
        ("shift", {CREATIVITY: NOTHING, SHIFT: Counter(compare_draws=1)}),
    ],
)
def test_a_new_version_of_another_stage_of_the_profile_leaves_nothing_stale(
    toy: Toy, stage: str, expected: dict[str, Counter[str]]
) -> None:
    path = f"workflow/winnow/profile/{stage}.py"
    text = (toy.folder / path).read_text()
    with toy.changed(path, re.sub(r"^STAGE_VERSION = \d+", "STAGE_VERSION = 99", text, flags=re.MULTILINE)):
        for target, jobs in expected.items():
            assert toy.jobs(target) == jobs
