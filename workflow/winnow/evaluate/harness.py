"""Evaluates one model on a suite of benchmarks in one process, and keeps every item.

In: a model folder (Hugging Face format, safetensors) and benchmark folders of `winnow.evaluate.benchmarks`. Out:
`items.parquet`, one row per item and metric; `results.json` with lm-eval's own figures and versions; and
`timings.json`, what differs from run to run and machine to machine. A language model is evaluated by lm-eval
(`winnow.evaluate.language_model`): stock tasks keep its prompts and metrics, only the path of their data set is replaced;
prompts of held-out documents are completed and measured by `winnow.evaluate.completions`. A
classifier (architecture `*ForSequenceClassification`) is evaluated on benchmarks of labels (`winnow.evaluate.classifier`),
on as much of a text as it was trained on. Names of control tokens inside a text are text (`winnow.tokenizer`).
Nothing is fetched: everything is read from local files.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.evaluate.classifier import evaluate_classifier
from winnow.evaluate.language_model import evaluate_language_model
from winnow.evaluate.models import is_classifier
from winnow.paths import plain_links
from winnow.schema import check_definition, read_spec
from winnow.stage import (
    InputError,
    atomic_path,
    canonical,
    read_json,
    run,
    say,
    scratch_folder,
    write_json,
)

STAGE_VERSION = 5
"""Of this module and of `classifier`, `completions`, `language_model` and `models`."""

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
CLASSIFIER_ITEMS = ITEMS.append(pa.field("confidence", pa.float32()))
"""Those of a classifier: with the probability of the predicted class."""


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


def read_manifests(
    folders: list[Path], definitions: dict[str, Any]
) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Folder and manifest of each benchmark of `definitions`. Raises InputError if folders and names do not match."""
    manifests = {}
    for folder in folders:
        path = folder / "manifest.json"
        if not path.exists():
            raise InputError(
                f"{folder}: no manifest.json; benchmark folders are made by winnow.evaluate.benchmarks"
            )
        manifest = read_json(path)
        if manifest["name"] in manifests:
            raise InputError(f"{folder}: a second benchmark named {manifest['name']!r}")
        manifests[manifest["name"]] = (folder, manifest)
    if set(manifests) != set(definitions):
        odd = sorted(set(manifests) ^ set(definitions))[0]
        raise InputError(
            f"benchmark {odd!r}: {'its folder is not given' if odd in definitions else 'not in --spec benchmarks'}"
        )
    return {name: manifests[name] for name in definitions}


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
        batch_size: sequences a batch; 0 sizes batches by their tokens. Changes no result beyond rounding.
    """
    started = time.monotonic()
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "TQDM_DISABLE"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    ids, definitions, weights = read_suite(spec)
    if (model is None) == (weights is None):
        raise InputError("give either --model or the key 'weights' of --spec, exactly one of them")
    if model is None:
        from winnow.weights import weights_folder

        model = weights_folder(weights or {})
    manifests = read_manifests(benchmarks, definitions)
    if batch_size < 0:
        raise InputError(f"--batch-size: {batch_size} is below 0")
    classifier = is_classifier(model)
    for name, (folder, manifest) in manifests.items():
        if classifier != ("classes" in manifest):
            raise InputError(f"benchmark {name!r} ({folder}) is of kind {manifest['kind']!r}, which a "
                             f"{'classifier' if classifier else 'language model'} ({model}) cannot be evaluated on")  # fmt: skip
    say(f"[evaluate {ids['suite']}] loading the model")
    with scratch_folder(out_dir, "cache") as cache:
        if classifier:
            rows, results, timings = evaluate_classifier(model, manifests, batch_size)
        else:
            with plain_links({name: folder for name, (folder, _) in manifests.items()}) as links:
                linked = {name: (links[name], manifest) for name, (_, manifest) in manifests.items()}
                rows, results, timings = evaluate_language_model(
                    model, linked, definitions, cache, batch_size
                )
    for name in manifests:
        if not any(row["benchmark"] == name for row in rows):
            raise InputError(
                f"benchmark {name!r}: lm-eval has no metric of it with one number per item, so nothing of it can be "
                "compared; take it out of the suite"
            )
    schema = CLASSIFIER_ITEMS if classifier else ITEMS
    with atomic_path(out_dir / "items.parquet") as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), partial, compression="zstd")
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
        f"[evaluate] {ids['suite']}: {len(rows):,} rows of {len(manifests)} benchmarks in "
        f"{timings['seconds']['total']:.1f} s"
    )


def package_versions(classifier: bool) -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "transformers", "tokenizers", *(() if classifier else ("lm-eval", "datasets")))
    return {name: version(name) for name in names}


if __name__ == "__main__":
    run(evaluate)
