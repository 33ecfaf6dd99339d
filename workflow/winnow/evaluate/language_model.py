"""Language models on benchmarks, through lm-eval, with its own prompts, scores and metrics.

In: a model folder and benchmark folders with their manifests. Out: a row for each item and metric, and lm-eval's figures.
Prompts that are completed are not a task of lm-eval: `winnow.evaluate.completions`.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from winnow.completion_metrics import COMPLETION_METRICS
from winnow.evaluate.completions import evaluate_completions
from winnow.evaluate.models import load
from winnow.evaluate.stock import tasks_folder
from winnow.in_flight import METER
from winnow.likelihoods import log_likelihoods, token_budget
from winnow.stage import InputError, Progress, say
from winnow.weights import loading

COMPLETION_FORM = "completion"


def text_tokenizer(model: Path) -> Any:
    """transformers' own tokenizer of a model folder, for which text is text.

    Raises InputError if the name of a control token inside a text would still become that token.
    """
    from transformers import AutoTokenizer

    from winnow.tokenizer import as_text

    with loading(model):
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False, local_files_only=True)
    tokenizer.split_special_tokens = True
    if tokenizer.is_fast:
        as_text(tokenizer.backend_tokenizer, tokenizer.all_special_tokens, str(model))
    for name in set(tokenizer.all_special_tokens) - {tokenizer.unk_token}:
        if tokenizer.convert_tokens_to_ids(name) in tokenizer.encode(f"a {name}", add_special_tokens=False):
            raise InputError(f"{model}: {name!r} inside a text becomes the control token of this name")
    return tokenizer


def language_model(model: Any, tokenizer: Any, batch_size: int) -> Any:
    """lm-eval's HFLM around a loaded model; with batch_size 0 its batches are sized by their tokens.

    Prompts, continuations and what is made of their log-likelihoods are lm-eval's; the log-likelihoods are computed by
    `winnow.likelihoods` (to the 7 digits of float32), which lm-eval's own loop does one request at a time.
    """
    from lm_eval.models.huggingface import HFLM
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    known: dict[str, list[int]] = {}

    class Batched(HFLM):
        budget = token_budget(model.device, model.config.vocab_size)

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
            # HFLM omits the first token before a text that spells it out: here that is text like any other.
            if add_special_tokens is None:
                add_special_tokens = self.add_bos_token is not False
                if string in known:
                    return known[string]
            return super().tok_encode(string, add_special_tokens, **kwargs)

        def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
            strings = set()
            for context, continuation in (request.args for request in requests):
                strings |= {context.rstrip(), context + continuation}
            texts = sorted(strings)
            ids = self.tokenizer(texts, add_special_tokens=self.add_bos_token is not False)["input_ids"]
            known.update(zip(texts, ids, strict=True))  # all at once: on all cores
            try:
                return super().loglikelihood(requests, disable_tqdm=True)
            finally:
                known.clear()

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> Any:
            windows, owners = [], []
            for owner, request in enumerate(requests):
                for window in get_rolling_token_windows(
                    token_list=self.tok_encode(request.args[0]),
                    prefix_token=self.prefix_token_id,
                    max_seq_len=self.max_length,
                    context_len=1,
                ):
                    windows.append((None, *make_disjoint_window(window)))
                    owners.append(owner)
            totals = [0.0] * len(requests)
            for owner, (value, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
                totals[owner] += value
            return totals

        def _loglikelihood_tokens(
            self, requests: Any, disable_tqdm: bool = True, override_bs: Any = None
        ) -> Any:
            progress = Progress("evaluate", total=len(requests), unit="requests")
            sums, greedy = log_likelihoods(
                self.model,
                [(context, continuation) for _, context, continuation in requests],
                self.max_length,
                self.budget,
                progress.add,
                batch_size,
            )
            return list(zip(sums.tolist(), greedy.tolist(), strict=True))

    return Batched(pretrained=model, tokenizer=tokenizer, batch_size=batch_size or "auto")


def load_tasks(
    benchmarks: dict[str, tuple[Path, dict[str, Any]]], cache: Path
) -> tuple[Any, list[Any], dict[str, list[str]]]:
    """(task manager, tasks and groups of lm-eval, names of the leaf tasks of each benchmark).

    `cache` is where `datasets` may put its files. Raises InputError if two benchmarks have a task in common.
    """
    import datasets.builder
    import yaml
    from lm_eval.tasks import TaskManager

    # Local files are not streamed; what prepares it imports scipy.io and patches pandas.
    datasets.builder.extend_dataset_builder_for_streaming = lambda _builder: None
    stock = [(folder, m) for folder, m in benchmarks.values() if m["kind"] == "stock"]
    folders = sorted({str(tasks_folder() / m["folder"]) for _, m in stock})
    manager = TaskManager(include_defaults=False, include_path=folders)
    built: list[Any] = []
    leaves: dict[str, list[str]] = {}
    for name, (folder, manifest) in benchmarks.items():
        if manifest["kind"] == "stock":
            overrides = {
                "dataset_path": str((folder / manifest["dataset"]).absolute()),
                "dataset_kwargs": {"cache_dir": str(cache)},
            }
            # The factory, not manager.load: only it passes overrides to the members of a group.
            item = manager._factory.build(
                manager.task_index[manifest["task"]], overrides=overrides, registry=manager.task_index
            )
        else:
            config = yaml.safe_load((folder / "task.yaml").read_text(encoding="utf-8"))
            data_files = {"test": str((folder / "data.parquet").absolute())}
            config["dataset_kwargs"] = {"cache_dir": str(cache), "data_files": data_files}
            item = manager.load(config)["tasks"][config["task"]]
        names = [task.task_name for task in leaf_tasks(item)]
        for other, other_names in leaves.items():
            if common := set(names) & set(other_names):
                raise InputError(
                    f"benchmarks {other!r} and {name!r} both have the task {min(common)}; put them in two suites"
                )
        leaves[name] = names
        built.append(item)
    return manager, built, leaves


def leaf_tasks(item: Any) -> list[Any]:
    """The tasks of a task or group of lm-eval."""
    return item.get_all_tasks() if hasattr(item, "get_all_tasks") else [item]


def as_loaded(manager: Any, built: list[Any]) -> Any:
    """Tasks with the seeds and the number of examples that `lm_eval.simple_evaluate` gives them. That function is not
    called itself: it also describes the machine, for which it starts a dozen programs, and the repository."""
    import random

    import torch

    random.seed(0)
    np.random.seed(1234)  # noqa: NPY002 (what lm-eval draws with)
    torch.manual_seed(1234)
    loaded = manager.load(built)
    for task in loaded["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=1234)
    return loaded


def keep_first(task: Any, items: int) -> None:
    """Cuts the split that a task evaluates to its first items, as `--limit` of lm-eval's command line does, which
    has one limit for all tasks of a run."""
    split = task.config.test_split or task.config.validation_split
    data = task.dataset[split]
    task.dataset[split] = data.select(range(min(items, len(data))))


def item_rows(benchmark: str, task: Any, samples: list[dict[str, Any]], local: bool) -> list[dict[str, Any]]:
    """Rows of items.parquet from lm-eval's logged samples of one task."""
    rows = []
    first = samples[0]["filter"] if samples else None
    for sample in samples:
        if sample["filter"] != first:
            continue
        doc = sample["doc"]
        base = {
            "benchmark": benchmark,
            "task": task.task_name,
            "item": int(doc["item"] if local else sample["doc_id"]),
            "group": doc["group"] if local else None,
        }
        label, predictions, scores = choices_made(task, sample)
        for metric in sample["metrics"]:
            value = sample[metric]
            if metric == "bits_per_byte":
                value, weight = -value[0] / (value[1] * math.log(2)), float(value[1])
            elif isinstance(value, int | float | np.number):
                weight = 1.0
            else:
                continue
            choice = metric in predictions
            rows.append({**base, "metric": metric, "value": float(value), "weight": weight,
                         "label": label if choice else None, "prediction": predictions.get(metric),
                         "scores": scores if choice else None})  # fmt: skip
    return rows


def choices_made(task: Any, sample: dict[str, Any]) -> tuple[int | None, dict[str, int], list[float] | None]:
    """(place of the right choice, place chosen by metric, log-likelihoods of the choices) of a multiple-choice sample, as
    lm-eval scores it."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return None, {}, None
    choices = task.doc_to_choice(sample["doc"])
    label = task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
    if isinstance(label, str):
        label = choices.index(label) if label in choices else None
    if not isinstance(label, int | np.integer):
        return None, {}, None
    scores = np.array([response[0] for response in sample["filtered_resps"]])[: len(choices)]
    lengths = np.array([float(len(choice)) for choice in choices])
    chosen = {"acc": int(np.argmax(scores)), "acc_norm": int(np.argmax(scores / lengths))}
    return int(label), chosen, [float(score) for score in scores]


def evaluate_tasks(
    lm: Any,
    benchmarks: dict[str, tuple[Path, dict[str, Any]]],
    definitions: dict[str, dict[str, Any]],
    cache: Path,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(rows of items.parquet, results) of the benchmarks that are tasks of lm-eval."""
    from lm_eval.evaluator import evaluate

    manager, built, leaves = load_tasks(benchmarks, cache)
    tasks = {task.task_name: task for item in built for task in leaf_tasks(item)}
    for benchmark, names in leaves.items():
        limit = definitions[benchmark].get("items")
        if limit and benchmarks[benchmark][1]["kind"] == "stock":
            for name in names:
                keep_first(tasks[name], limit)
    say(f"[evaluate] {len(benchmarks)} benchmarks, {len(tasks)} tasks on {lm.device}, {lm.model.dtype}")
    results = evaluate(
        lm, as_loaded(manager, built), bootstrap_iters=0, log_samples=True, fewshot_as_multiturn=True
    )
    rows = []
    for benchmark, names in leaves.items():
        local = benchmarks[benchmark][1]["kind"] != "stock"
        for name in names:
            rows += item_rows(benchmark, tasks[name], results["samples"][name], local)
    return rows, {
        "tasks": finite({**results.get("groups", {}), **results["results"]}),
        "leaves": leaves,
        "higher_is_better": results["higher_is_better"],
        "items": {name: counts["effective"] for name, counts in results["n-samples"].items()},
        "task_versions": results["versions"],
    }


def no_results() -> dict[str, Any]:
    """Results of a suite without a task of lm-eval."""
    return {key: {} for key in ("tasks", "leaves", "higher_is_better", "items", "task_versions")}


def evaluate_language_model(
    model: Path,
    benchmarks: dict[str, tuple[Path, dict[str, Any]]],
    definitions: dict[str, dict[str, Any]],
    cache: Path,
    batch_size: int,
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """(rows of items.parquet, results, timings) of a language model."""
    started = time.monotonic()
    loaded, device = load(model, "CausalLM")
    lm = language_model(loaded, text_tokenizer(model), batch_size)
    ready = time.monotonic()
    prompts = {name: one for name, one in benchmarks.items() if one[1]["kind"] == COMPLETION_FORM}
    tasks = {name: one for name, one in benchmarks.items() if name not in prompts}
    rows, results = evaluate_tasks(lm, tasks, definitions, cache) if tasks else ([], no_results())
    examples = {}
    for name, (folder, _) in prompts.items():
        say(f"[evaluate] completions of {name}")
        of_items, means, examples[name] = evaluate_completions(
            lm, name, folder, definitions[name], batch_size, lm.budget
        )
        rows += of_items
        results["tasks"][name] = means
        results["leaves"][name] = [name]
        results["higher_is_better"][name] = {metric: COMPLETION_METRICS[metric] for metric in means}
        results["items"][name] = len(of_items) // len(means)
    return rows, {
        **results,
        **({"completions": examples} if examples else {}),
        "dtype": str(loaded.dtype).removeprefix("torch."),
    }, {
        "device": device.type,
        "batch": {"sequences": batch_size} if batch_size else {"tokens": lm.budget},
        **({"gpu_waited": METER.waited()} if device.type == "cuda" else {}),
        "seconds": {
            "load_model": round(ready - started, 3),
            "evaluate": round(time.monotonic() - ready, 3),
        },
    }  # fmt: skip


def finite(value: Any) -> Any:
    """Plain JSON values: numpy scalars as Python's, numbers that are not finite as null, callables left out."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items() if not callable(v)}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
