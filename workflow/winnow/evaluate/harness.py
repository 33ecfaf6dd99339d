"""Evaluates one model on a suite of benchmarks in one process, through lm-eval, and keeps every item.

In: a model folder (Hugging Face format, safetensors) and benchmark folders of `winnow.evaluate.benchmarks`. Out:
`items.parquet`, one row per item and metric; `results.json` with lm-eval's own figures and versions; and
`timings.json`, what differs from run to run and machine to machine. Stock tasks keep lm-eval's prompts and metrics;
only where their data set lies is replaced. A classifier (architecture `*ForSequenceClassification`) is evaluated on
benchmarks of labels, by its own batched prediction, on as much of a text as it was trained on. Names of control tokens
inside a text are text (`winnow.train.tokens`).
Nothing is fetched: everything is read from local files.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.paths import plain_links
from winnow.schema import check_definition, read_spec
from winnow.stage import (
    InputError,
    Progress,
    atomic_path,
    canonical,
    read_json,
    run,
    say,
    scratch_folder,
    write_json,
)

STAGE_VERSION = 3

ITEMS = pa.schema(
    [
        ("benchmark", pa.string()),
        ("task", pa.string()),
        ("item", pa.int64()),
        ("group", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("weight", pa.float64()),
        ("label", pa.int32()),
        ("prediction", pa.int32()),
        ("scores", pa.list_(pa.float64())),
    ]
)
"""Columns of items.parquet. `value` of bits_per_byte is that of the item and `weight` its bytes; of perplexity it is
the log-likelihood of the item; else `weight` is 1. `label` and `prediction` are places among the choices (or
classes), null where there are none; `scores` are the log-likelihoods of the choices in nats."""

TOKENS_CPU, LOGITS_CPU = 8_192, 2**26
TOKENS_GPU, LOGITS_GPU = 131_072, 2**31
"""Limits of a batch that sizes itself: padded tokens, and tokens times vocabulary (what the logits take)."""
BYTES_A_LOGIT = 32
"""Of a GPU's free memory for each logit of a batch: it and its logarithm of the softmax in float32, four times over."""


# --- reading what is asked


def read_suite(text: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Any] | None]:
    """(ids with the suite's name, benchmark definitions by name, source of a pretrained model) from `--spec`."""
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"--spec: not JSON ({error.msg} at character {error.pos})") from None
    suite = raw.pop("suite", None) if isinstance(raw, dict) else None
    weights = raw.pop("weights", None) if isinstance(raw, dict) else None
    if weights is not None:
        check_definition("weights", weights, where="--spec weights")
    if not isinstance(suite, str):
        raise InputError("--spec: missing key 'suite', the name of the suite")
    settings = read_spec(canonical(raw), "ids", "benchmarks")
    for name, definition in settings["benchmarks"].items():
        check_definition("benchmark", definition, where=f"--spec benchmarks.{name}")
    return {**settings["ids"], "suite": suite}, settings["benchmarks"], weights


def read_manifests(folders: list[Path], wanted: dict[str, Any]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Folder and manifest of each benchmark asked for. Raises InputError if folders and names do not match."""
    found = {}
    for folder in folders:
        path = folder / "manifest.json"
        if not path.exists():
            raise InputError(
                f"{folder}: no manifest.json; benchmark folders are made by winnow.evaluate.benchmarks"
            )
        manifest = read_json(path)
        if manifest["name"] in found:
            raise InputError(f"{folder}: a second benchmark named {manifest['name']!r}")
        found[manifest["name"]] = (folder, manifest)
    if set(found) != set(wanted):
        odd = sorted(set(found) ^ set(wanted))[0]
        raise InputError(
            f"benchmark {odd!r}: {'its folder is not given' if odd in wanted else 'not in --spec benchmarks'}"
        )
    return {name: found[name] for name in wanted}


def is_classifier(model: Path) -> bool:
    """Whether the folder holds a sequence classifier. Raises InputError if it is not a model with safetensors."""
    if not (model / "config.json").exists():
        raise InputError(f"{model}: no config.json; wanted a model folder in Hugging Face format")
    if not any(model.glob("*.safetensors")):
        raise InputError(f"{model}: no .safetensors file; other weight formats are not read")
    architectures = read_json(model / "config.json").get("architectures") or [""]
    return architectures[0].endswith("ForSequenceClassification")


def load(model: Path, kind: str) -> tuple[Any, Any]:
    """(model in evaluation mode on its device, device); kind is a suffix of transformers' Auto classes.

    float32, as trained models are saved, whatever the device: in bfloat16 log-likelihoods of hundreds of nats are
    rounded to whole ones, choices tie, and the first of a tie is often the right one. Raises InputError if a weight was newly initialised or did not fit:
    the figures would be those of a partly random model.
    """
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaded, info = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(
        model, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True,
        output_loading_info=True, ignore_mismatched_sizes=True,
    )  # fmt: skip
    wrong = [
        *info["missing_keys"],
        *(key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]),
    ]
    if wrong:
        raise InputError(f"{model}: {len(wrong)} weights were newly initialised on load ({', '.join(sorted(wrong)[:3])}): "
                         "the file does not hold this model")  # fmt: skip
    return loaded.to(device).eval(), device


def text_tokenizer(model: Path) -> Any:
    """transformers' own tokenizer of a model folder, for which text is text.

    Raises InputError if the name of a control token inside a text would still become that token.
    """
    from transformers import AutoTokenizer

    from winnow.tokenizer import as_text

    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False, local_files_only=True)
    tokenizer.split_special_tokens = True
    if tokenizer.is_fast:
        as_text(tokenizer.backend_tokenizer, tokenizer.all_special_tokens, str(model))
    for name in set(tokenizer.all_special_tokens) - {tokenizer.unk_token}:
        if tokenizer.convert_tokens_to_ids(name) in tokenizer.encode(f"a {name}", add_special_tokens=False):
            raise InputError(f"{model}: {name!r} inside a text becomes the control token of this name")
    return tokenizer


# --- language models, through lm-eval


def language_model(model: Any, tokenizer: Any, batch_size: int) -> Any:
    """lm-eval's HFLM around a loaded model; with batch_size 0 its batches size themselves by a token budget.

    The scores are HFLM's own: only how requests are gathered into batches differs.
    """
    from lm_eval.models.huggingface import HFLM
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    class Batched(HFLM):
        budget = 0
        _batch = (0, 0)
        progress = Progress("evaluate", unit="sequences")

        def _batch_scheduler(self, pos: int, n_reordered_requests: Any) -> int:
            """Size of the batch that holds request `pos` of a list sorted from long to short."""
            start, size = self._batch
            if pos == 0 or pos >= start + size:
                _, context, continuation = n_reordered_requests[pos]
                longest = min(len(context) + len(continuation), self.max_length)
                start, size = self._batch = (pos, max(1, self.budget // longest))
            return size

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
            # HFLM leaves the first token out before a text that spells it out: here that is text like any other.
            if add_special_tokens is None:
                add_special_tokens = self.add_bos_token is not False
            return super().tok_encode(string, add_special_tokens, **kwargs)

        def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
            return super().loglikelihood(requests, disable_tqdm=True)

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> Any:
            if self.batch_size != "auto":
                return super().loglikelihood_rolling(requests, disable_tqdm=True)
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
            if override_bs is None:
                total = len({(*context, *continuation[:-1]) for _, context, continuation in requests})
                self.progress = Progress("evaluate", total=total, unit="sequences")
            return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)

        def _model_call(self, inps: Any, attn_mask: Any = None, labels: Any = None) -> Any:
            logits = super()._model_call(inps, attn_mask, labels)
            self.progress.add(len(inps))
            return logits

    lm = Batched(pretrained=model, tokenizer=tokenizer, batch_size=batch_size or "auto")
    lm.budget = token_budget(model.device, model.config.vocab_size)
    return lm


def token_budget(device: Any, vocabulary: int) -> int:
    """Padded tokens of a batch that sizes itself."""
    if device.type == "cpu":
        return max(1, min(TOKENS_CPU, LOGITS_CPU // vocabulary))
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(TOKENS_GPU, LOGITS_GPU // vocabulary, free // BYTES_A_LOGIT // vocabulary))


def load_tasks(
    benchmarks: dict[str, tuple[Path, dict[str, Any]]], cache: Path
) -> tuple[Any, list[Any], dict[str, list[str]]]:
    """(task manager, tasks and groups of lm-eval, names of the leaf tasks of each benchmark).

    `cache` is where `datasets` may put its files. Raises InputError if two benchmarks have a task in common.
    """
    import yaml
    from lm_eval.tasks import TaskManager

    from winnow.evaluate.benchmarks import tasks_folder

    stock = [(folder, m) for folder, m in benchmarks.values() if m["kind"] == "stock"]
    folders = sorted({str(tasks_folder() / m["folder"]) for _, m in stock})
    manager = TaskManager(include_defaults=False, include_path=folders)
    built: list[Any] = []
    leaves: dict[str, list[str]] = {}
    for name, (folder, manifest) in benchmarks.items():
        if manifest["kind"] == "stock":
            where = {
                "dataset_path": str((folder / manifest["dataset"]).absolute()),
                "dataset_kwargs": {"cache_dir": str(cache)},
            }
            # The factory, not manager.load: only it hands overrides down to the members of a group.
            item = manager._factory.build(
                manager.task_index[manifest["task"]], overrides=where, registry=manager.task_index
            )
        else:
            config = yaml.safe_load((folder / "task.yaml").read_text(encoding="utf-8"))
            data_files = {"test": str((folder / "data.parquet").absolute())}
            config["dataset_kwargs"] = {"cache_dir": str(cache), "data_files": data_files}
            item = manager.load(config)["tasks"][config["task"]]
        names = [task.task_name for task in leaf_tasks(item)]
        for other, taken in leaves.items():
            if common := set(names) & set(taken):
                raise InputError(
                    f"benchmarks {other!r} and {name!r} both have the task {min(common)}; put them in two suites"
                )
        leaves[name] = names
        built.append(item)
    return manager, built, leaves


def leaf_tasks(item: Any) -> list[Any]:
    """The tasks of a task or group of lm-eval."""
    return item.get_all_tasks() if hasattr(item, "get_all_tasks") else [item]


def keep_first(task: Any, items: int) -> None:
    """Cuts the split that a task evaluates to its first items: what `--limit` of lm-eval's command line does, which
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
        label, guesses, scores = choices_made(task, sample)
        for metric in sample["metrics"]:
            value = sample[metric]
            if metric == "bits_per_byte":
                value, weight = -value[0] / (value[1] * math.log(2)), float(value[1])
            elif isinstance(value, int | float | np.number):
                weight = 1.0
            else:
                continue
            guess = guesses.get(metric)
            rows.append({**base, "metric": metric, "value": float(value), "weight": weight,
                         "label": label if guess is not None else None, "prediction": guess,
                         "scores": scores if guess is not None else None})  # fmt: skip
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
    from lm_eval.evaluator import simple_evaluate

    ready = time.monotonic()
    manager, built, leaves = load_tasks(benchmarks, cache)
    tasks = {task.task_name: task for item in built for task in leaf_tasks(item)}
    for benchmark, names in leaves.items():
        limit = definitions[benchmark].get("items")
        if limit and benchmarks[benchmark][1]["kind"] == "stock":
            for name in names:
                keep_first(tasks[name], limit)
    say(f"[evaluate] {len(benchmarks)} benchmarks, {len(tasks)} tasks on {device}, {loaded.dtype}")
    prepared = time.monotonic()
    results = simple_evaluate(
        model=lm,
        tasks=built,
        task_manager=manager,
        bootstrap_iters=0,
        log_samples=True,
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
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "task_versions": results["versions"],
    }, {
        "device": device.type,
        "batch": f"{batch_size} sequences" if batch_size else f"{lm.budget} tokens",
        "seconds": {
            "load_model": round(ready - started, 3),
            "load_tasks": round(prepared - ready, 3),
            "evaluate": round(time.monotonic() - prepared, 3),
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


# --- classifiers


def predict(model: Any, tokenizer: Any, texts: list[str], batch_size: int) -> np.ndarray:
    """Class of each text, int64 [n]: batches of texts of like length; equal texts are read once.

    `tokenizer`: of `winnow.train.tokens.classifier_tokenizer`, which cuts texts where training did.
    """
    import torch

    from winnow.batching import distinct, padded

    ids, own = distinct([encoded.ids for encoded in tokenizer.encode_batch_fast(texts)])
    order = np.argsort([-len(i) for i in ids], kind="stable")
    out = np.zeros(len(ids), dtype=np.int64)
    progress = Progress("evaluate", total=len(ids), unit="texts")
    budget = TOKENS_CPU if model.device.type == "cpu" else TOKENS_GPU
    start = 0
    while start < len(order):
        size = batch_size or max(1, budget // max(1, len(ids[order[start]])))
        chosen = order[start : start + size]
        tokens, mask = (x.to(model.device) for x in padded([ids[i] for i in chosen]))
        with torch.inference_mode():
            out[chosen] = model(input_ids=tokens, attention_mask=mask).logits.argmax(-1).cpu().numpy()
        start += size
        progress.add(len(chosen))
    return out[own]


def evaluate_classifier(
    model: Path, benchmarks: dict[str, tuple[Path, dict[str, Any]]], batch_size: int
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """(rows of items.parquet, results, timings) of a classifier on benchmarks of labels: accuracy and macro-F1."""
    from winnow.metrics import macro_f1
    from winnow.tokenizer import classifier_tokenizer

    started = time.monotonic()
    loaded, device = load(model, "SequenceClassification")
    tokenizer = classifier_tokenizer(model)
    ready = time.monotonic()
    rows: list[dict[str, Any]] = []
    tasks = {}
    classes = [loaded.config.id2label[i] for i in range(loaded.config.num_labels)]
    for name, (folder, manifest) in benchmarks.items():
        data = pq.read_table(folder / "data.parquet")
        label = data["label"].to_numpy()
        if manifest["classes"] != classes:
            raise InputError(
                f"{folder}: its classes are {', '.join(manifest['classes'])}, those of {model} {', '.join(classes)}; "
                "a benchmark and a model must be of one corpus"
            )
        guess = predict(loaded, tokenizer, data["text"].to_pylist(), batch_size)
        for item, group, right, chosen in zip(
            data["item"].to_pylist(), data["group"].to_pylist(), label.tolist(), guess.tolist(), strict=True
        ):
            rows.append({"benchmark": name, "task": name, "item": item, "group": group, "metric": "acc",
                         "value": float(right == chosen), "weight": 1.0, "label": right, "prediction": chosen})  # fmt: skip
        tasks[name] = {
            "acc": float(np.mean(label == guess)),
            "f1": macro_f1(label, guess)[0],
            "items": len(label),
        }
    return rows, {
        "tasks": tasks,
        "leaves": {name: [name] for name in benchmarks},
        "higher_is_better": {name: {"acc": True, "f1": True} for name in benchmarks},
        "items": {name: values["items"] for name, values in tasks.items()},
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "task_versions": {},
    }, {
        "device": device.type,
        "batch": f"{batch_size} texts" if batch_size else f"{TOKENS_CPU if device.type == 'cpu' else TOKENS_GPU} tokens",
        "seconds": {"load_model": round(ready - started, 3), "evaluate": round(time.monotonic() - ready, 3)},
    }  # fmt: skip


# --- the stage


def evaluate(
    *, model: Path | None = None, benchmarks: list[Path], spec: str, out_dir: Path, batch_size: int = 0
) -> None:
    """Evaluates a model on a suite; writes items.parquet, timings.json, then results.json.

    Args:
        model: model folder in Hugging Face format with safetensors; without it, the spec's `weights`.
        benchmarks: folders made by winnow.evaluate.benchmarks, one for each benchmark of the suite, in any order.
        spec: JSON: `ids` (what the model is), `suite` (its name), `benchmarks` (definitions by name), and, for a model
            as it was published, `weights` (its source).
        out_dir: folder to write.
        batch_size: sequences a batch; 0 sizes batches by a token budget. Changes no result beyond rounding.
    """
    started = time.monotonic()
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "TQDM_DISABLE"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    ids, definitions, weights = read_suite(spec)
    if (model is None) == (weights is None):
        raise InputError("wanted: --model, or the key 'weights' of --spec, and not both")
    if model is None:
        from winnow.weights import weights_folder

        model = weights_folder(weights or {})
    found = read_manifests(benchmarks, definitions)
    if batch_size < 0:
        raise InputError(f"--batch-size: {batch_size} is below 0")
    classifier = is_classifier(model)
    for name, (folder, manifest) in found.items():
        if classifier != (manifest["kind"] == "labels"):
            raise InputError(f"benchmark {name!r} ({folder}) is of kind {manifest['kind']!r}, which a "
                             f"{'classifier' if classifier else 'language model'} ({model}) cannot be evaluated on")  # fmt: skip
    say(f"[evaluate {ids['suite']}] loading the model")
    with scratch_folder(out_dir, "cache") as cache:
        if classifier:
            rows, results, timings = evaluate_classifier(model, found, batch_size)
        else:
            with plain_links({name: folder for name, (folder, _) in found.items()}) as links:
                linked = {name: (links[name], manifest) for name, (_, manifest) in found.items()}
                rows, results, timings = evaluate_language_model(
                    model, linked, definitions, cache, batch_size
                )
    for name in found:
        if not any(row["benchmark"] == name for row in rows):
            raise InputError(
                f"benchmark {name!r}: lm-eval gives it no metric with one number an item, so nothing of it can be "
                "compared; take it out of the suite"
            )
    with atomic_path(out_dir / "items.parquet") as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=ITEMS), partial, compression="zstd")
    timings["seconds"]["total"] = round(time.monotonic() - started, 3)
    versions = {"tasks": results.pop("task_versions"), "stage": STAGE_VERSION, **package_versions(classifier)}
    write_json(out_dir / "timings.json", timings)
    write_json(out_dir / "results.json", {
        "ids": ids,
        "limits": {name: d["items"] for name, d in definitions.items() if "task" in d and d.get("items")},
        "versions": versions,
        **results,
    })  # fmt: skip
    say(
        f"[evaluate] {ids['suite']}: {len(rows):,} rows of {len(found)} benchmarks in {timings['seconds']['total']:.1f} s"
    )


def package_versions(classifier: bool) -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "transformers", "tokenizers", *(() if classifier else ("lm-eval", "datasets")))
    return {name: version(name) for name in names}


if __name__ == "__main__":
    run(evaluate)
