"""A subset -> a model, trained for a fixed number of steps.

In: packed tokens (language models) or labelled documents (classifiers). Out: a model in Hugging Face
format. The loop is one for both: seeded order, accumulation to a batch, AdamW with decoupled decay
(Loshchilov and Hutter 2019), linear warm-up and cosine, clipping; on a processor, a GPU, or one process
for each of several GPUs of a node. Checkpoints are kept beside the outputs under a fingerprint of
settings and inputs; a stopped run continues from the last one and, on a processor, ends with the same bits.
How much of a text a model reads, and that text is text (`winnow.tokenizer`), is saved with its tokenizer:
`model_max_length` and `split_special_tokens`. Scoring and evaluation read both from there.
The model that is kept is that of the last step: no validation data is read, and no checkpoint is chosen by a score.
A classifier may continue the model of an earlier round of labelling; what is counted (steps, examples, FLOPs, seconds)
then includes all trainings that its weights come from.
"""

from __future__ import annotations

import hashlib
import math
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from winnow.config.checks import check_recipe
from winnow.device import keep_memory, peak, pick_device
from winnow.schema import check_definition, read_spec
from winnow.slurm import requeue
from winnow.stage import (
    WRITTEN,
    InputError,
    Progress,
    canonical,
    follow_umask,
    read_json,
    run,
    say,
    scratch_folder,
    sha256,
    write_json,
)
from winnow.train.checkpoint import Checkpoint, make_optimiser
from winnow.train.process_group import ProcessGroup, relaunch
from winnow.train.schedule import rate_at, rows_of_step, steps_of
from winnow.train.tasks import Classifier, LanguageModel, Task

STAGE_VERSION = 4
"""Of this module and of `checkpoint`, `cross_entropy`, `process_group`, `schedule` and `tasks`."""
STOPS = (signal.SIGTERM, signal.SIGUSR1)
"""Signals at which a training saves and ends."""
REQUEUE_SECONDS = 120
"""In which SLURM ends a job that was requeued."""


class Curves:
    """Live curves for TensorBoard beside the model; written anew from the history when a run continues."""

    def __init__(self, folder: Path, history: list[list[float]]):
        from tensorboardX import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)
        self.writer = SummaryWriter(str(folder), flush_secs=30)
        for step, (loss, rate, norm) in enumerate(history):
            self.add(step, loss, rate, norm)

    def add(self, step: int, loss: float, rate: float, norm: float, speed: float | None = None) -> None:
        values = {"loss": loss, "learning_rate": rate, "gradient_norm": norm, "targets_per_second": speed}
        for name, value in values.items():
            if value is not None:
                self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


def train(
    task: Task,
    recipe: dict[str, Any],
    seed: int,
    checkpoint: Checkpoint,
    name: str,
    checkpoint_minutes: float,
    group: ProcessGroup,
) -> tuple[list[list[float]], float]:
    """Trains `task.model` in place. Returns the history ([loss in nats per target, learning rate, gradient
    norm] of each step) and the seconds of all steps, those before a stop too. Raises InputError if the loss is not
    finite. SIGTERM writes a checkpoint and exits 143; SIGUSR1, which SLURM sends before the time limit of the job, does so
    too and puts the job back into the queue, if it came further than the step it began with."""
    import torch

    model = task.model
    model.train()
    optimiser = make_optimiser(model, recipe)
    start, history, before = checkpoint.load(model, optimiser)
    if start and group.first:
        say(f"[train {name}] continuing from step {start}")
    progress = Progress(f"train {name}", total=recipe["steps"], unit="steps", done=start)
    curves = Curves(checkpoint.folder.parent / "tensorboard", history) if group.first else None
    note = f"loss {history[-1][0]:.3f}" if history else ""
    signals: list[int] = []
    previous = [signal.signal(n, lambda number, _frame: signals.append(number)) for n in STOPS]
    began = saved = time.monotonic()
    for step in range(start, recipe["steps"]):
        step_began = time.monotonic()
        rate = rate_at(step, recipe)
        for parameters in optimiser.param_groups:
            parameters["lr"] = rate
        rows = rows_of_step(step, recipe["batch"], task.rows, seed)
        torch.manual_seed(step * 4294967296 + seed)
        targets, losses, stopped = task.targets(rows), [], False
        share = rows[group.rank :: group.count]
        for micro in np.split(share, range(recipe["micro_batch"], len(share), recipe["micro_batch"])):
            if stopped := group.any(bool(signals)):
                break
            loss, _ = task.loss(micro)
            (loss / targets).backward()
            losses.append(loss.detach())
            if group.first:
                progress.add(len(micro) / len(share), note)
        if stopped:  # the step is given up: torchrun waits 30 s, and a step may take longer
            if group.first:
                if step:
                    checkpoint.save(step, model, optimiser, history, before + time.monotonic() - began)
                done = (
                    f"after step {step}; the checkpoint is kept"
                    if step
                    else "before the end of the first step"
                )
                why = "before the time limit of its job" if signal.SIGUSR1 in signals else "by signal 15"
                say(f"[train {name}] stopped {why} {done}")
            if curves:
                curves.close()
            group.close()
            if group.first and signal.SIGUSR1 in signals and step > start and requeue():
                say(
                    f"[train {name}] SLURM job {os.environ['SLURM_JOB_ID']} is back in the queue and will go on"
                )
                time.sleep(REQUEUE_SECONDS)  # until SLURM ends the job: its end by itself would be a failure
            sys.exit(143)
        total = group.sum_gradients(model, float(torch.stack(losses).double().sum()))
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"]))
        if not math.isfinite(total) or not math.isfinite(norm):
            raise InputError(
                f"training {name}: loss {total / targets} at step {step}; lower the learning rate of its recipe"
            )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        history.append([total / targets, rate, norm])
        note = f"loss {total / targets:.3f}"
        if curves:
            curves.add(step, total / targets, rate, norm, targets / (time.monotonic() - step_began))
        due = time.monotonic() - saved > 60 * checkpoint_minutes
        if due and group.first and step + 1 < recipe["steps"]:
            checkpoint.save(step + 1, model, optimiser, history, before + time.monotonic() - began)
            saved = time.monotonic()
    for number, handler in zip(STOPS, previous, strict=True):
        signal.signal(number, handler)
    if curves:
        curves.close()
        progress.line(f"loss {history[-1][0]:.3f}")
    model.eval()
    return history, before + time.monotonic() - began


def save_model(task: Task, tokenizer: Path, tokenizer_config: Path, folder: Path) -> Iterator[Path]:
    """Writes config, weights and tokenizer to temporary names, then moves each into `folder`."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    with scratch_folder(folder, "model") as partial:
        task.model.save_pretrained(partial)
        shutil.copyfile(tokenizer, partial / "tokenizer.json")
        config = {**read_json(tokenizer_config), "model_max_length": task.reads, "split_special_tokens": True}
        write_json(partial / "tokenizer_config.json", config)
        for path in sorted(partial.iterdir()):
            follow_umask(path)
            path.replace(folder / path.name)
            WRITTEN.append(folder / path.name)
            yield folder / path.name


@dataclass(frozen=True)
class Before:
    """What the model of the round before took, all earlier rounds included: zero for a model that starts anew. `history` as
    that of `train`; `files`: digests by name; `targets`: examples."""

    steps: int = 0
    targets: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    history: list[list[float]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    ids: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Before:
        """From the manifest of a classifier and the files beside it. Raises InputError for weights of another training."""
        manifest, folder = read_json(path), path.parent
        if sha256(folder / "model.safetensors") != manifest["files"]["model.safetensors"]:
            raise InputError(
                f"{folder}: model.safetensors is not that of manifest.json; train that round again"
            )
        metrics, timings = read_json(folder / "metrics.json"), read_json(folder / "timings.json")
        return cls(manifest["steps"], manifest["training_examples"], metrics["model_flops"], timings["seconds"],
                   metrics["history"], manifest["files"], manifest["ids"])  # fmt: skip


def timings_of(
    seconds: float, targets: int, flops: float, device: str, autocast: bool, processes: int
) -> dict[str, Any]:
    """What differs from run to run and machine to machine: seconds, device, memory, energy; with `flops`, the model
    FLOPs of the training, also its speed beside that of the device."""
    import torch

    limit = peak(device, autocast, torch.get_num_threads())
    hours = seconds / 3600 * processes
    timings = {
        "seconds": seconds,
        "device": device if device == "cpu" else torch.cuda.get_device_name(),
        "processes": processes,
        "threads": torch.get_num_threads(),
        "targets_per_second": targets / seconds,
        "peak_memory_mb": torch.cuda.max_memory_allocated() / 2**20
        if device == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gpu_hours" if device == "cuda" else "cpu_hours": hours,
        "kwh_estimate": hours * limit["watts"] / 1000,
        "watts_assumed": limit["watts"],
    }
    if flops:
        timings |= {
            "gflops_per_second": flops / seconds / 1e9,
            "peak_gflops_per_second": limit["flops"] * processes / 1e9,
            "peak_source": limit["source"],
            "model_flops_utilisation": flops / seconds / (limit["flops"] * processes),
        }
    return timings


def main(
    *,
    subset: Path,
    spec: str,
    out: Path,
    split: list[Path] = [],
    tokens: list[Path] = [],
    tokens_meta: list[Path] = [],
    tokenizer: list[Path] = [],
    tokenizer_config: list[Path] = [],
    previous: list[Path] = [],
    name: str = "",
    threads: int = 0,
    processes: int = 0,
    checkpoint_minutes: float = 10,
) -> None:
    """Train one model.

    Args:
        subset: manifest.json of the subset.
        spec: JSON with the keys `model`, `recipe`, `training_seed`, `names` (its ids), and `base`
            (the encoder a classifier starts from; null for a language model).
        out: manifest.json to write, last, beside the model, metrics.json (loss by step, model FLOPs) and
            timings.json (what differs from run to run and machine to machine: seconds, device, memory, energy).
        split: train split of the subset (parquet: text, label; classifiers).
        tokens: packed train split (language models).
        tokens_meta: its JSON.
        tokenizer: tokenizer.json (language models).
        tokenizer_config: its tokenizer_config.json.
        previous: manifest.json of the model of the round before (one), from whose weights a classifier starts; metrics.json,
            timings.json and the model lie beside it.
        name: what progress lines call the model.
        threads: processor threads; 0 leaves torch's choice.
        processes: GPUs of this node, one process each, started by torchrun; 0 or 1: this process alone.
        checkpoint_minutes: minutes between checkpoints.
    """
    settings = read_spec(spec, "model", "recipe", "training_seed", "names", "base")
    model, recipe, seed = settings["model"], dict(settings["recipe"]), settings["training_seed"]
    language = model["kind"] == "language-model"
    if problem := check_recipe(recipe, model["kind"]):
        raise InputError(f"--spec recipe: {problem}")
    if language and not (tokens and tokens_meta and tokenizer and tokenizer_config):
        raise InputError("a language model needs --tokens, --tokens-meta, --tokenizer and --tokenizer-config")
    if not language and not split:
        raise InputError("a classifier needs --split, the labelled documents it learns from")
    if bool(previous) != (model.get("rounds") == "continue"):
        raise InputError(
            "a model with rounds: continue, and no other, needs --previous, the model that it continues"
        )
    before = Before.read(previous[0]) if previous else Before()
    relaunch(processes)
    if os.environ.get("RANK", "0") == "0":
        say(f"[train {name}] loading the model")
    import torch

    if threads:
        torch.set_num_threads(threads)
    device = pick_device()
    if device == "cpu":
        keep_memory()
    group = ProcessGroup(device)
    if recipe["batch"] % group.count:
        raise InputError(
            f"--spec recipe.batch: {recipe['batch']} cannot be divided among {group.count} processes; take a multiple"
        )
    autocast = recipe["precision"] == "bfloat16" or (recipe["precision"] == "auto" and device == "cuda")
    torch.manual_seed(seed)
    subset_manifest = read_json(subset)
    task: LanguageModel | Classifier
    if language:
        from winnow.tokenizer import load

        packed, (_, end) = read_json(tokens_meta[0]), load(tokenizer[0], tokenizer_config[0])
        task = LanguageModel(model, tokens[0], packed["vocabulary"], end, device, autocast,
                             recipe.get("sequences") == "documents")  # fmt: skip
        tokenizer_files, inputs = (tokenizer[0], tokenizer_config[0]), packed["sha256"]
    else:
        if not subset_manifest["classes"]:
            raise InputError(f"{subset}: names no classes; a classifier needs a labelled corpus")
        check_definition("encoder", settings["base"], where="--spec base")
        task = Classifier(model, settings["base"], split[0], subset_manifest["classes"], device, autocast,
                          previous[0].parent if previous else None)  # fmt: skip
        tokenizer_files = (task.folder / "tokenizer.json", task.folder / "tokenizer_config.json")
        inputs = canonical([subset_manifest, before.files]) if previous else canonical(subset_manifest)
    identity = canonical([settings, inputs, STAGE_VERSION])
    recipe["steps"] = steps_of(recipe, task.rows, task.sequence)
    checkpoint = Checkpoint(out.parent / "state", hashlib.sha256(identity.encode()).hexdigest())
    try:
        history, seconds = train(task, recipe, seed, checkpoint, name, checkpoint_minutes, group)
    except torch.OutOfMemoryError:
        raise InputError(
            f"training {name}: the GPU's memory is full; lower micro_batch ({recipe['micro_batch']}) of its recipe"
        ) from None
    group.close()
    if not group.first:
        return
    targets, flops = 0, 0.0
    for step in range(recipe["steps"]):
        rows = rows_of_step(step, recipe["batch"], task.rows, seed)
        targets, flops = targets + task.targets(rows), flops + task.flops(rows)
    targets, flops = before.targets + targets, before.flops + flops
    timings = timings_of(
        before.seconds + seconds, targets, flops if language else 0.0, device, autocast, group.count
    )
    files = {path.name: sha256(path) for path in save_model(task, *tokenizer_files, out.parent)}
    metrics = {"history": before.history + history, "model_flops": flops}
    write_json(out.parent / "metrics.json", metrics)
    write_json(out.parent / "timings.json", timings)
    manifest = {
        "ids": {**subset_manifest["ids"], **settings["names"], "training_seed": seed},
        "spec": settings,
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "steps": before.steps + recipe["steps"],
        "epochs": (before.targets + recipe["steps"] * recipe["batch"]) / task.rows,
        "training_tokens" if language else "training_examples": targets,
        "final_loss": float(np.mean([h[0] for h in history[-max(1, len(history) // 20) :]])),
        "weight_norm": math.sqrt(
            sum(float(p.detach().double().square().sum()) for p in task.model.parameters())
        ),
        "files": files,
        "subset": subset_manifest["ids"],
        "precision": "bfloat16" if autocast else "float32",
    }
    if previous:
        manifest["continues"] = {"ids": before.ids, "files": before.files}
    write_json(out, manifest)
    checkpoint.clear()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run(main)
