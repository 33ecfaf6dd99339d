"""Classifiers on benchmarks of labels: batched prediction with its confidence, accuracy and macro-F1."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from winnow.batching import distinct, of_batches, padded
from winnow.classifier import BATCH_TOKENS
from winnow.evaluate.models import load
from winnow.in_flight import METER
from winnow.metrics import macro_f1
from winnow.parquet import open_parquet
from winnow.stage import InputError, Progress


def predict(model: Any, tokenizer: Any, texts: list[str], batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicted class of each text, int64 [n], and its probability, float64 [n]: batches of texts of like length; equal texts
    are read once.

    `tokenizer`: of `winnow.tokenizer.classifier_tokenizer`, which cuts texts where training did. `batch_size`: texts; 0
    sizes batches by their tokens.
    """
    import torch

    ids, place = distinct([encoded.ids for encoded in tokenizer.encode_batch_fast(texts)])
    device, lengths = model.device.type, np.array([len(row) for row in ids])
    classes, confidence = np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids))
    progress = Progress("evaluate", total=len(ids), unit="texts")

    def of_batch(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tokens, mask = padded([ids[row] for row in rows])
        with torch.inference_mode(), METER:
            logits = model(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits
            highest = logits.double().softmax(-1).max(-1)
            return highest.indices.cpu().numpy(), highest.values.cpu().numpy()

    batches = of_batches(of_batch, lengths, BATCH_TOKENS[device], device, progress, len(ids), batch_size)
    for rows, (chosen, sure) in batches:
        classes[rows], confidence[rows] = chosen, sure
    return classes[place], confidence[place]


def evaluate_classifier(
    model: Path, benchmarks: dict[str, tuple[Path, dict[str, Any]]], batch_size: int
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """(rows of items.parquet, results, timings) of a classifier on benchmarks of labels."""
    from winnow.tokenizer import classifier_tokenizer

    started = time.monotonic()
    loaded, device = load(model, "SequenceClassification")
    tokenizer = classifier_tokenizer(model)
    ready = time.monotonic()
    rows: list[dict[str, Any]] = []
    tasks = {}
    classes = [loaded.config.id2label[i] for i in range(loaded.config.num_labels)]
    for name, (folder, manifest) in benchmarks.items():
        data = open_parquet(folder / "data.parquet", ["item", "group", "text", "label"]).read()
        labels = data["label"].to_numpy()
        if manifest["classes"] != classes:
            raise InputError(
                f"{folder}: its classes are {', '.join(manifest['classes'])}, those of {model} {', '.join(classes)}; "
                "a benchmark and a model must be of one corpus"
            )
        predictions, confidence = predict(loaded, tokenizer, data["text"].to_pylist(), batch_size)
        for item, group, label, prediction, sure in zip(
            data["item"].to_pylist(),
            data["group"].to_pylist(),
            labels.tolist(),
            predictions.tolist(),
            confidence.tolist(),
            strict=True,
        ):
            rows.append({"benchmark": name, "task": name, "item": item, "group": group, "metric": "acc",
                         "value": float(label == prediction), "weight": 1.0, "label": label, "prediction": prediction,
                         "confidence": sure})  # fmt: skip
        tasks[name] = {
            "acc": float(np.mean(labels == predictions)),
            "f1": macro_f1(labels, predictions)[0],
            "items": len(labels),
        }
    return rows, {
        "tasks": tasks,
        "leaves": {name: [name] for name in benchmarks},
        "higher_is_better": {name: {"acc": True, "f1": True} for name in benchmarks},
        "items": {name: values["items"] for name, values in tasks.items()},
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "task_versions": {},
        "classes": classes,
    }, {
        "device": device.type,
        "batch": {"texts": batch_size} if batch_size else {"tokens": BATCH_TOKENS[device.type]},
        "seconds": {"load_model": round(ready - started, 3), "evaluate": round(time.monotonic() - ready, 3)},
    }  # fmt: skip
