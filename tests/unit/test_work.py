"""The work of jobs: requests that a small cluster can meet, that suffice for the Pile, and times as they were measured."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from winnow.commands.corpus_sizes import corpus_size, sizes
from winnow.config.checks import resolve
from winnow.config.files import definition_files, read_files
from winnow.selection import gpus
from winnow.stage import InputError
from winnow.work.machine import DEFAULT, Machine, device, read_machine
from winnow.work.requests import (
    Request,
    Sizes,
    Work,
    cpu_seconds,
    gpu_seconds,
    request,
    threads_of,
    wall_seconds,
)
from winnow.work.schedule import Task, critical_path, makespan
from winnow.work.sizes import CorpusSize, assumed, shard_documents
from winnow.work.stages import STAGES, work_of

ROOT = Path(__file__).parents[2]
DEMO = [
    {"corpus": "pile-mini", "clustering": "minilm-k22", "sampler": "uniform", "budget": "mini", "model": "neox-nano",
     "suite": "mini", "encoder": "minilm-64", "tokenizer": "bpe-2k", "benchmark": "heldout-bpb", "table": "pile-mini"},
    {"corpus": "tinystories-mini", "clustering": "minilm-k12", "sampler": "uniform", "budget": "mini",
     "model": "neox-nano", "suite": "stories", "encoder": "minilm-64", "tokenizer": "bpe-2k",
     "benchmark": "heldout-cloze", "table": "tinystories-mini"},
    {"corpus": "sst2-mini", "clustering": "minilm-k12", "sampler": "farthest", "budget": "mini-rounds.round3",
     "model": "minilm-probe", "suite": "labels", "encoder": "minilm-64", "tokenizer": "bpe-2k",
     "benchmark": "heldout-labels", "table": "sst2-mini"},
]  # fmt: skip
OTHER = {"shard": "0000", "scorer": "proxy-loss", "reduction": "umap-50", "family": "lengths", "label_set": "topics",
         "pretrained": "pythia-160m-deduped", "repository": "a/b", "revision": "c", "experiment": "e",
         "data_seed": "0", "training_seed": "0"}  # fmt: skip
PILE = {"corpus": "pile", "clustering": "e5-k220", "sampler": "random", "budget": "minipile", "model": "pythia-160m",
        "suite": "paper", "encoder": "e5-large", "tokenizer": "gpt-neox-20b", "benchmark": "heldout-bpb",
        "table": "reproduction", "scorer": "proxy-loss-70m"}  # fmt: skip


def configuration(*runs: Path) -> dict[str, Any]:
    return resolve(read_files([*definition_files(ROOT), *runs]), tables=False)


@pytest.fixture(scope="module")
def demo() -> dict[str, Any]:
    return configuration()


@pytest.fixture(scope="module")
def paper() -> dict[str, Any]:
    return configuration(ROOT / "config" / "minipile.yaml")


def of(config: dict[str, Any], rule: str, tmp: str = "nowhere", **ids: str) -> Work:
    return work_of(config, rule, ids, sizes(config, tmp))


def of_pile(paper: dict[str, Any], rule: str, **ids: str) -> Work:
    """Of the Pile, or of a shard of it."""
    shard = {"shard": "0000"} if rule in SHARDS else {}
    return of(paper, rule, **{**PILE, **shard, **ids})


SHARDS = ("write_documents", "embed_documents", "assign_clusters", "score_documents", "score_probe")


def asks(work: Work) -> Request:
    return request(work, DEFAULT, device(None, DEFAULT))


def test_every_rule_has_a_formula() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert set(re.findall(r"^rule (\w+):", text, re.MULTILINE)) | {"compare_partial_arms"} == set(STAGES)


DEMO_RULES = [
    "generate_corpus",
    "index_source",
    "write_documents",
    "hold_out",
    "embed_documents",
    "fit_clusters",
    "assign_clusters",
    "summarise_clusters",
    "inspect_clusters",
    "exclude_clusters",
    "sweep_clusters",
    "draw_sample",
    "write_subset",
    "compare_samplers",
    "train_tokenizer",
    "count_tokens",
    "tokenize_subset",
    "count_ngrams",
    "find_benchmark_items",
    "build_heldout_benchmark",
    "build_grammar_benchmark",
    "compare_arms",
    "chart_costs",
    "copy_guide",
    "embed_labels",
    "measure_documents",
    "count_documents",
    "describe_corpus",
    "associate_measures",
    "measure_creativity",
    "write_profile",
    "compare_draws",
    "chart_learning_curves",
    "map_chosen_documents",
    "chart_labelling_costs",
]


@pytest.mark.parametrize("ids", DEMO, ids=lambda ids: ids["corpus"])
def test_a_small_corpus_fits_nodes_of_four_cores_and_limits_of_an_hour(
    demo: dict[str, Any], ids: dict[str, str]
) -> None:
    of_models = (
        ["run_probes", "embed_benchmark"] if "probe" in ids["model"] else ["train_model", "evaluate_model"]
    )
    for rule in [*DEMO_RULES, *of_models]:
        asked = asks(of(demo, rule, **{**OTHER, **ids}))
        assert (asked.gpus, asked.threads <= 4) == (0, True), rule
        assert asked.runtime <= 60, rule
        assert asked.mem_mb <= 8000, rule


def test_the_full_size_asks_for_enough(paper: dict[str, Any]) -> None:
    """Memory: what each stage holds of 134,318,121 documents, in MB, from its contract; time: its bytes from a shared disk,
    and its FLOPs on an A100."""
    n = 134.3
    least = {
        "write_documents": 2000,  # row groups and chunks of each thread
        "hold_out": 1500,
        "embed_documents": 4 * 335 * 2 + 1000,  # weights twice, a block of texts
        "fit_clusters": 10 * 0.1126 * 1024 + 0.525 * 1024,  # the sample, pages of a shard's vectors
        "assign_clusters": 2 * 0.525 * 1024,  # a shard's vectors
        "summarise_clusters": 50,
        "draw_sample": 2 * 1.01 * 60,  # twice the budget
        "write_subset": 1000,
        "train_model": 20 * 162,  # weights, gradients, moments and a copy
        "evaluate_model": 8 * 162,
        "count_ngrams": 100 * 40,
        "score_documents": 8 * 70,
    }
    for rule, memory in least.items():
        asked = asks(of_pile(paper, rule))
        assert asked.mem_mb >= 1.2 * memory, rule
        assert asked.mem_mb <= 64_000, rule
    near = of_pile(paper, "find_near_duplicates", scorer="semdedup")
    assert near.memory_mb >= 100 * n
    hours = {
        rule: asks(of_pile(paper, rule)).runtime / 60
        for rule in ("embed_documents", "train_model", "write_subset")
    }
    assert 0.5 <= hours["embed_documents"] <= 4
    assert 2 * 1.28e18 / 110e12 / 3600 <= hours["train_model"] <= 24
    assert hours["write_subset"] >= 377e9 / 100e6 / 3600
    asked = asks(of_pile(paper, "embed_documents"))
    assert (asked.gpus, asked.threads) == (1, 8)


def documents(count: int, size: float = 1000.0) -> Sizes:
    return Sizes(lambda _: CorpusSize(count, size))


@pytest.mark.parametrize("rule", ["index_source", "write_documents", "hold_out", "embed_documents", "fit_clusters",
                                  "assign_clusters", "summarise_clusters", "inspect_clusters", "draw_sample",
                                  "write_subset", "compare_samplers", "score_documents", "score_vectors",
                                  "find_near_duplicates", "count_tokens", "measure_documents", "describe_corpus",
                                  "entail_documents", "predict_pool", "build_heldout_benchmark", "reduce_vectors"])  # fmt: skip
def test_more_documents_are_more_work(demo: dict[str, Any], rule: str) -> None:
    label_sets = {"topics": {"labels": {"a": ["b"]}, "nli": {"max_tokens": 512}}}
    config = {**demo, "label_sets": label_sets}
    before: tuple[float, float, float] | None = None
    for count in (1000, 100_000, 10_000_000):
        ids = {**DEMO[0], **OTHER, "scorer": "semdedup" if rule == "find_near_duplicates" else "proxy-loss"}
        work = work_of(config, rule, ids, documents(count))
        now = (cpu_seconds(work, DEFAULT), work.memory_mb, work.disk)
        if before:
            assert now[0] > before[0]
            assert all(a >= b for a, b in zip(now, before, strict=True))
        before = now


def test_larger_budgets_and_models_are_more_work(paper: dict[str, Any]) -> None:
    budgets = [of(paper, "draw_sample", **{**PILE, "budget": name}) for name in ("minipile-pico", "minipile")]
    assert budgets[0].memory_mb < budgets[1].memory_mb
    assert budgets[0].disk < budgets[1].disk
    for rule in ("train_model", "evaluate_model"):
        models = [
            of(paper, rule, **{**PILE, "model": name})
            for name in ("pythia-70m", "pythia-160m", "pythia-1.4b")
        ]
        taken = [(sum(one.flops.values()), one.memory_mb) for one in models]
        assert taken == sorted(taken)
    encoders = [of(paper, "embed_documents", **{**PILE, "encoder": name}) for name in ("minilm", "e5-large")]
    assert cpu_seconds(encoders[0], DEFAULT) < cpu_seconds(encoders[1], DEFAULT)


def test_flops_of_a_training_are_those_that_the_training_counts(demo: dict[str, Any]) -> None:
    """neox-nano, 40 steps of 16 x 128 tokens: its metrics.json has 3.38e11 (winnow.device.flops_a_token)."""
    from winnow.device import flops_a_token

    work = of(demo, "train_model", **DEMO[0])
    assert sum(work.flops.values()) == pytest.approx(40 * 16 * 128 * flops_a_token(2, 128, 128, 2048))


MEASURED = [
    ("embed_documents", 0, 53.0, 815), ("embed_documents", 1, 49.0, 716), ("embed_documents", 2, 23.4, 709),
    ("embed_benchmark", 2, 7.7, 660), ("train_model", 0, 11.6, 600), ("train_model", 1, 10.6, 588),
    ("evaluate_model", 0, 11.9, 809), ("evaluate_model", 1, 9.4, 764), ("run_probes", 2, 10.9, 307),
    ("fit_clusters", 0, 2.3, 428), ("assign_clusters", 0, 2.2, 399), ("draw_sample", 0, 0.8, 170),
    ("write_subset", 0, 0.8, 163), ("tokenize_subset", 0, 0.65, 163), ("count_ngrams", 0, 0.5, 154),
    ("find_benchmark_items", 0, 0.55, 151), ("compare_arms", 0, 2.6, 295), ("chart_learning_curves", 2, 2.7, 330),
    ("map_chosen_documents", 2, 3.2, 321), ("train_tokenizer", 0, 1.9, 205), ("generate_corpus", 0, 2.7, 200),
    ("hold_out", 0, 0.7, 161), ("write_documents", 0, 0.9, 177), ("index_source", 0, 0.7, 164),
]  # fmt: skip
"""CPU-seconds and peak MB of jobs of the demo, 2026-11-26, on the machine of the default figures."""


@pytest.mark.parametrize(("rule", "corpus", "seconds", "memory"), MEASURED)
def test_the_demo_takes_what_was_measured(
    demo: dict[str, Any], rule: str, corpus: int, seconds: float, memory: float
) -> None:
    work = of(demo, rule, **{**OTHER, **DEMO[corpus]})
    assert 1 / 1.5 <= cpu_seconds(work, DEFAULT) / seconds <= 1.5
    assert asks(work).mem_mb >= 1.5 * memory


def test_gpus_are_those_that_the_rules_ask_for(demo: dict[str, Any], paper: dict[str, Any]) -> None:
    for config, ids in ((demo, DEMO[0]), (paper, PILE)):
        for rule in ("embed_documents", "train_model", "evaluate_model", "score_documents", "score_probe"):
            scored = {**OTHER, **ids}
            assert of(config, rule, **scored).gpus == gpus(config, rule, scored)


def test_a_gpu_takes_the_operations_and_threads_the_rest() -> None:
    work = Work("none", {"embed": 1e15}, spread=80.0, threads=8, gpus=1)
    h100 = device("h100", DEFAULT)
    assert gpu_seconds(work, h100) == pytest.approx(1e15 / (989e12 * 0.35))
    assert wall_seconds(work, DEFAULT, 8, h100) < wall_seconds(work, DEFAULT, 8, None) / 10
    assert wall_seconds(work, DEFAULT, 8, None) < wall_seconds(work, DEFAULT, 1, None) / 4


def test_threads_follow_the_work_and_not_the_machine() -> None:
    seconds: Callable[[float], int] = lambda amount: threads_of(Work(spread=amount, threads=8))  # noqa: E731
    assert [seconds(amount) for amount in (1, 40, 200, 5000)] == [1, 2, 4, 8]
    assert threads_of(Work(spread=5000, threads=2)) == 2
    assert threads_of(Work(serial=5000, threads=8)) == 1


def test_small_trainings_have_one_thread_whatever_the_corpus(demo: dict[str, Any]) -> None:
    """The bits of a model depend on the threads of its training."""
    for count in (100, 10_000_000):
        for rule in ("train_model", "evaluate_model"):
            assert threads_of(work_of(demo, rule, DEMO[0], documents(count))) == 1


# ---------------------------------------------------------------- sizes


def test_shards_are_cut_as_documents_are() -> None:
    from winnow.documents.shards import shard_range

    for rows, shards in ((0, 1), (633, 2), (134_318_121, 256), (4096 * 3, 2), (4097, 5)):
        cut = [b - a for a, b in (shard_range(rows, i, shards) for i in range(shards))]
        assert [shard_documents(rows, shards, i) for i in range(shards)] == cut
        assert shard_documents(rows, shards, None) >= max(cut)


def test_an_unknown_corpus_has_a_stated_assumption(demo: dict[str, Any]) -> None:
    corpus = {**demo["corpora"]["pile"], "size": None, "shards": 3}
    config = {**demo, "corpora": {"mine": corpus}}
    assert corpus_size(config, "nowhere", "mine") is None
    size = sizes(config, "nowhere").corpus("mine")
    assert size == assumed(config, "mine") == CorpusSize(1_500_000, 6000.0, counted=False)


def test_a_hub_corpus_is_sized_by_the_lock_file(demo: dict[str, Any], tmp_path: Path) -> None:
    corpus = {**demo["corpora"]["sst2"], "size": None}
    config = {**demo, "corpora": {"mine": corpus}}
    entry = {"commit": corpus["source"]["revision"], "date": "2026-01-01",
             "files": {"data/train-0.parquet": {"size": 10_000_000}, "data/test-0.parquet": {"size": 99}}}  # fmt: skip
    lock = tmp_path / "hub.lock.yaml"
    lock.write_text(json.dumps({"dataset": {"stanfordnlp/sst2": {"main": entry}}}))
    size = corpus_size(config, str(tmp_path), "mine", str(lock))
    assert size is not None
    assert (size.documents, size.counted) == (3000, False)


def test_local_files_are_sized_by_their_rows(demo: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps({"text": "x" * 50}) + "\n" for _ in range(300)))
    corpus = {**demo["corpora"]["sst2"], "size": None, "label": None, "clean": [], "text": "text",
              "source": {"files": [str(path)], "txt": "whole"}}  # fmt: skip
    config = {**demo, "corpora": {"mine": corpus}}
    assert corpus_size(config, str(tmp_path / "r"), "mine") == CorpusSize(300, 50.0)
    made = tmp_path / "r" / "mine" / "source.json"
    made.parent.mkdir(parents=True)
    made.write_text(json.dumps({"rows": 290, "files": [{"path": str(path), "bytes": 18_000}]}))
    assert corpus_size(config, str(tmp_path / "r"), "mine") == CorpusSize(290, 50.0)
    unread = corpus_size(config, str(tmp_path / "r"), "mine", look=False)
    assert unread is not None
    assert unread.bytes == pytest.approx(18_000 / 290)


# ---------------------------------------------------------------- machines and schedules


def test_a_calibration_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    assert read_machine(tmp_path) == DEFAULT
    path = tmp_path / "calibration.json"
    mine = dataclasses.replace(DEFAULT, host="node7", train=1e9)
    path.write_text(json.dumps({"machine": dataclasses.asdict(mine)}))
    assert read_machine(tmp_path) == mine
    for broken in ("", "[]", '{"machine": {"speed": 3}}', json.dumps({"machine": {"train": 0}})):
        path.write_text(broken)
        with pytest.raises(InputError, match=r"calibration\.json: .*(winnow calibrate|above 0)"):
            read_machine(tmp_path)
    with pytest.raises(InputError, match="--machine: no file"):
        read_machine(tmp_path, tmp_path / "none.json")


def test_a_gpu_is_named_as_on_data_sheets_or_measured() -> None:
    assert device("h100", DEFAULT).name == "H100"
    assert device(None, DEFAULT).name == "A100"
    mine = Machine(gpu="NVIDIA H100 80GB HBM3", gpu_embed=5e14, gpu_train=4e14)
    assert device(None, mine).train == device("H100", mine).train == 4e14
    assert device("A100", mine).train == device("A100", DEFAULT).train
    with pytest.raises(InputError, match="--gpu: 'B7' is not one of H200"):
        device("B7", DEFAULT)


def test_a_schedule_waits_for_what_is_needed_and_free() -> None:
    chain = [Task((), 10, 1, 0), Task((0,), 5, 1, 0), Task((), 3, 1, 0)]
    assert critical_path(chain) == 15
    assert makespan(chain, 1, 0) == 18
    assert makespan(chain, 2, 0) == 15
    on_gpus = [Task((), 4, 1, 1) for _ in range(4)]
    assert [makespan(on_gpus, 8, gpus) for gpus in (1, 2, 4)] == [16, 8, 4]
    assert makespan([Task((), 4, 16, 8)], 2, 1) == 4  # Snakemake shrinks what asks for more than there is
    assert (critical_path([]), makespan([], 1, 0)) == (0, 0)
