"""A subset -> a model, trained for a fixed number of steps.

In: packed tokens (language models) or labelled documents (classifiers). Out: a model in Hugging Face
format. The loop is one for both: seeded order, accumulation to a batch, AdamW with decoupled decay
(Loshchilov and Hutter 2019), linear warm-up and cosine, clipping; on a processor, a GPU, or one process
for each of several GPUs of a node. Its state is checkpointed beside the outputs under a fingerprint of
settings and inputs; a stopped run goes on from there and, on a processor, ends with the same bits.
How much of a text a model reads, and that text is text (`winnow.train.tokens`), is saved with its tokenizer:
`model_max_length` and `split_special_tokens`. Scoring and evaluation go by them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.parquet as pq

from winnow.batching import padded
from winnow.config.checks import check_recipe
from winnow.device import encoder_flops, flops_a_token, keep_memory, peak, pick_device
from winnow.schema import check_definition, read_spec
from winnow.stage import (
    InputError,
    Progress,
    atomic_path,
    canonical,
    follow_umask,
    read_json,
    run,
    say,
    scratch_folder,
    write_json,
)
from winnow.train.process_group import Ranks, relaunch

STAGE_VERSION = 3


def rate_at(step: int, recipe: dict[str, Any]) -> float:
    """Learning rate of a step (0-based): linear over the warm-up, then half a cosine to the final share."""
    total, peak = recipe["steps"], recipe["learning_rate"]
    warm = max(1, round(recipe["warmup"] * total))
    if step < warm:
        return peak * (step + 1) / warm
    share = (step - warm) / max(1, total - warm)
    return peak * (recipe["final_rate"] + (1 - recipe["final_rate"]) * 0.5 * (1 + math.cos(math.pi * share)))


def rows_of_step(step: int, batch: int, rows: int, seed: int) -> np.ndarray:
    """Rows of a step: int64 [batch]. Each epoch is a permutation drawn from (training seed, epoch), so
    any step can be had without those before it."""
    positions = np.arange(step * batch, (step + 1) * batch)
    out = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(positions // rows):
        order = np.random.Generator(np.random.PCG64([seed, int(epoch)])).permutation(rows)
        here = positions // rows == epoch
        out[here] = order[positions[here] % rows]
    return out


def steps_of(recipe: dict[str, Any], rows: int, tokens: int) -> int:
    """Optimiser steps of a recipe: as it says, or those that read at least its tokens, or its epochs of `rows`.

    `tokens`: of a row (1 for documents of a classifier).
    """
    if recipe.get("tokens"):
        return math.ceil(recipe["tokens"] / (recipe["batch"] * tokens))
    if recipe.get("epochs"):
        return max(1, round(recipe["epochs"] * rows / recipe["batch"]))
    return recipe["steps"]


class Task(Protocol):
    """What the loop needs to know of a kind of model."""

    rows: int
    sequence: int
    reads: int
    """Tokens of a text that the model is trained on at most, special ones included."""
    model: Any

    def loss(self, rows: np.ndarray) -> tuple[Any, int]:
        """Sum of the losses over the targets of `rows`, and the number of targets."""

    def targets(self, rows: np.ndarray) -> int:
        """The number of targets of `rows`."""


class LanguageModel:
    """GPT-NeoX on windows of `sequence` tokens of a packed stream, or on its documents one by one.

    Rows of `documents` are documents without their end token, cut at `sequence` tokens and padded to the longest of a
    micro-batch; padding is no target.
    """

    def __init__(
        self,
        model: dict[str, Any],
        tokens: Path,
        vocabulary: int,
        end: int,
        device: str,
        autocast: bool,
        documents: bool = False,
    ):
        self.sequence, self.device, self.autocast = model["sequence"], device, autocast
        self.reads = self.sequence
        self.tokens = np.load(tokens, mmap_mode="r")
        self.starts = self.lengths = None
        if documents:
            ends = np.flatnonzero(np.asarray(self.tokens) == end)
            starts = np.concatenate([[0], ends[:-1] + 1])
            lengths = np.minimum(ends - starts, self.sequence)
            self.starts, self.lengths = starts[lengths > 1], lengths[lengths > 1]
            self.rows = len(self.starts)
        else:
            self.rows = (len(self.tokens) - 1) // self.sequence
        if self.rows < 1:
            raise InputError(
                f"{tokens}: {len(self.tokens)} tokens are fewer than one sequence of {self.sequence} and its last target"
            )
        self.model = make_network(model, vocabulary, end).to(device)
        attend_causally(self.model)
        self.body = self.model.gpt_neox
        if device == "cuda":
            import torch

            torch.set_float32_matmul_precision("high")
            torch._dynamo.config.suppress_errors = True  # no C compiler: slower, not dead
            if not documents:
                self.body = torch.compile(self.model.gpt_neox)

    def targets(self, rows: np.ndarray) -> int:
        if self.lengths is not None:
            return int((self.lengths[rows] - 1).sum())
        return len(rows) * self.sequence

    def windows(self, rows: np.ndarray) -> tuple[Any, Any]:
        """Inputs and targets: two int64 tensors [rows, length], targets one token later, -1 where there is none."""
        if self.lengths is None or self.starts is None:
            at = rows[:, None] * self.sequence + np.arange(self.sequence + 1)
            packed = self._sent(self.tokens[at].astype(np.int64))
            return packed[:, :-1], packed[:, 1:]
        lengths = self.lengths[rows, None]
        places = np.arange(lengths.max())
        at = np.minimum(self.starts[rows, None] + places, len(self.tokens) - 1)
        window = np.where(places < lengths, self.tokens[at].astype(np.int64), -1)
        padded = self._sent(window)
        return padded[:, :-1].clamp(min=0), padded[:, 1:]

    def _sent(self, window: np.ndarray) -> Any:
        """To the device, without waiting for what a GPU still computes."""
        import torch

        here = torch.from_numpy(window)
        return here if self.device == "cpu" else here.pin_memory().to(self.device, non_blocking=True)

    def loss(self, rows: np.ndarray) -> tuple[Any, int]:
        import torch

        from winnow.train.cross_entropy import linear_cross_entropy

        inputs, targets = self.windows(rows)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            # Padding stands behind the text: under the causal mask no target sees it.
            hidden = self.body(input_ids=inputs, use_cache=False).last_hidden_state
            total = linear_cross_entropy(hidden, self.model.get_output_embeddings().weight, targets)
        return total, self.targets(rows)

    def flops(self) -> float:
        """Model FLOPs of a trained token."""
        config = self.model.config
        return flops_a_token(config.num_hidden_layers, config.hidden_size, self.sequence, config.vocab_size)


def attend_causally(network: Any) -> None:
    """Tells attention that rows are causal and nothing else, instead of handing it a mask. Under torch.compile before
    torch 2.14 transformers always makes the mask ([rows, 1, length, length]), and with one there is no flash attention."""
    import torch
    import transformers

    def causal(
        _module: Any,
        query: Any,
        key: Any,
        value: Any,
        _mask: None,
        scaling: float,
        dropout: float = 0.0,
        **_: Any,
    ) -> tuple[Any, None]:
        mixed = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, scale=scaling, is_causal=True
        )
        return mixed.transpose(1, 2).contiguous(), None

    transformers.AttentionInterface.register("causal", causal)
    network.set_attn_implementation("causal")


def make_network(model: dict[str, Any], vocabulary: int, end: int) -> Any:
    """A GPT-NeoX in float32: freshly initialised from torch's seed, or the checkpoint that `start` names.

    Raises InputError if the checkpoint has another shape, fewer tokens than the tokenizer, or lacks weights.
    """
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
    from transformers.utils import logging

    config = GPTNeoXConfig(
        vocab_size=-(-vocabulary // 64) * 64,
        hidden_size=model["width"],
        num_hidden_layers=model["layers"],
        num_attention_heads=model["heads"],
        intermediate_size=4 * model["width"],
        max_position_embeddings=model["sequence"],
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        use_parallel_residual=True,
        tie_word_embeddings=False,
        bos_token_id=end,
        eos_token_id=end,
        use_cache=False,
    )
    if not model.get("start"):
        return GPTNeoXForCausalLM(config)
    from winnow.weights import weights_folder

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = weights_folder(model["start"])
    found = GPTNeoXConfig.from_pretrained(folder)
    for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        if getattr(found, key, None) != getattr(config, key):
            raise InputError(
                f"{folder}: {key} is {getattr(found, key, None)}, the model's is {getattr(config, key)}; "
                "a model starts from a checkpoint of its own shape"
            )
    if found.vocab_size < vocabulary:
        raise InputError(
            f"{folder}: knows {found.vocab_size} tokens, the tokenizer has {vocabulary}; take the checkpoint's tokenizer"
        )
    loaded: Any = GPTNeoXForCausalLM.from_pretrained(
        folder, use_safetensors=True, dtype="float32", output_loading_info=True, local_files_only=True
    )
    network, info = loaded
    if info["missing_keys"]:
        raise InputError(
            f"{folder}: lacks weights of the model ({', '.join(sorted(info['missing_keys'])[:3])})"
        )
    network.config.max_position_embeddings = model["sequence"]  # what scoring and evaluation read at a time
    return network


class Classifier:
    """An encoder with a fresh classification head on labelled documents."""

    def __init__(
        self,
        model: dict[str, Any],
        encoder: dict[str, Any],
        split: Path,
        classes: list[str],
        device: str,
        autocast: bool,
    ):
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        from winnow.tokenizer import open_tokenizer
        from winnow.weights import weights_folder

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        folder = weights_folder(encoder["source"])
        table = pq.read_table(split)
        if "label" not in table.column_names:
            raise InputError(f"{split}: has no label column; a classifier needs a labelled corpus")
        self.device, self.autocast, self.folder, self.sequence = device, autocast, folder, 1
        self.reads = model["max_tokens"]
        limit = read_json(folder / "config.json").get("max_position_embeddings", self.reads)
        if self.reads > limit:
            raise InputError(f"model: max_tokens {self.reads} is beyond the {limit} positions of {folder}")
        tokenizer = open_tokenizer(folder / "tokenizer.json", self.reads)
        self.ids = [e.ids for e in tokenizer.encode_batch_fast(table["text"].to_pylist())]
        self.labels = table["label"].to_numpy().astype(np.int64)
        self.rows = len(self.ids)
        if not self.rows:
            raise InputError(f"{split}: holds no documents to train on")
        self.model = AutoModelForSequenceClassification.from_pretrained(
            folder,
            id2label=dict(enumerate(classes)),
            label2id={name: i for i, name in enumerate(classes)},
            use_safetensors=True,
            dtype="float32",
        ).to(device)

    def targets(self, rows: np.ndarray) -> int:
        return len(rows)

    def flops(self, rows: np.ndarray) -> float:
        """Model FLOPs of a step on these rows."""
        config = self.model.config
        weights = sum(p.numel() for name, p in self.model.named_parameters() if "embeddings" not in name)
        lengths = [len(self.ids[row]) for row in rows]
        return encoder_flops(weights, config.num_hidden_layers, config.hidden_size, lengths)

    def loss(self, rows: np.ndarray) -> tuple[Any, int]:
        import torch

        tokens, mask = (x.to(self.device) for x in padded([self.ids[r] for r in rows]))
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            logits = self.model(input_ids=tokens, attention_mask=mask).logits
        labels = torch.from_numpy(self.labels[rows]).to(self.device)
        return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum"), len(rows)


class State:
    """Checkpoints of a run under its fingerprint: weights and moments as safetensors, the rest as JSON."""

    def __init__(self, folder: Path, fingerprint: str):
        self.folder, self.fingerprint = folder, fingerprint
        self.path = folder / "checkpoint.safetensors"

    def load(self, model: Any, optimiser: Any) -> tuple[int, list[list[float]], float]:
        """Step to go on from, the history so far, and its seconds; (0, [], 0) without a checkpoint of this
        fingerprint."""
        from safetensors import safe_open

        if not self.path.exists():
            return 0, [], 0.0
        with safe_open(self.path, "pt") as file:
            meta = file.metadata()
            if meta.get("fingerprint") != self.fingerprint:
                say(f"[train] {self.path} is of other settings or inputs: starting clean")
                return 0, [], 0.0
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model.load_state_dict({n[6:]: t for n, t in tensors.items() if n.startswith("model.")})
        state = {
            i: {key: tensors[f"optimiser.{key}.{n}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for i, n in enumerate(optimiser_names(model))
        }
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        return int(meta["step"]), json.loads(meta["history"]), float(meta["seconds"])

    def save(self, step: int, model: Any, optimiser: Any, history: list[list[float]], seconds: float) -> None:
        from safetensors.torch import save_file

        tensors = {f"model.{n}": t.detach().contiguous().clone() for n, t in model.state_dict().items()}
        for i, n in enumerate(optimiser_names(model)):
            for key, value in optimiser.state_dict()["state"][i].items():
                tensors[f"optimiser.{key}.{n}"] = value.detach().contiguous()
        meta = {"fingerprint": self.fingerprint, "step": str(step), "history": canonical(history),
                "seconds": str(seconds)}  # fmt: skip
        with atomic_path(self.path) as partial:
            save_file(tensors, partial, metadata=meta)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def optimiser_names(model: Any) -> list[str]:
    """Names of the trained parameters in the optimiser's order: matrices (decayed), then vectors."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [n for n, p in named if p.ndim >= 2] + [n for n, p in named if p.ndim < 2]


def make_optimiser(model: Any, recipe: dict[str, Any]) -> Any:
    """AdamW with decay of matrices only; or Adam with L2 on all, coupled to the gradient, as the study had it. Fused."""
    import torch

    parameters = dict(model.named_parameters())
    names = optimiser_names(model)
    coupled = recipe.get("optimizer", "adamw") == "adam"
    groups = [
        {
            "params": [parameters[n] for n in names if parameters[n].ndim >= 2],
            "weight_decay": recipe["weight_decay"],
        },
        {
            "params": [parameters[n] for n in names if parameters[n].ndim < 2],
            "weight_decay": recipe["weight_decay"] if coupled else 0.0,
        },
    ]
    kind = torch.optim.Adam if coupled else torch.optim.AdamW
    return kind(groups, lr=0.0, betas=tuple(recipe["betas"]), eps=recipe["epsilon"], fused=True)


class Board:
    """Live curves for TensorBoard beside the model; written anew from the history when a run goes on."""

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
    state: State,
    what: str,
    checkpoint_minutes: float,
    ranks: Ranks,
) -> tuple[list[list[float]], float]:
    """Trains `task.model` in place. Returns the history ([loss in nats a target, learning rate, gradient
    norm] of each step) and the seconds of all steps, those before a stop too. Raises InputError if the loss is not
    finite. SIGTERM checkpoints and exits 143."""
    import torch

    model = task.model
    model.train()
    optimiser = make_optimiser(model, recipe)
    start, history, before = state.load(model, optimiser)
    if start and ranks.first:
        say(f"[train {what}] going on from step {start}")
    progress = Progress(f"train {what}", total=recipe["steps"], unit="steps", done=start)
    board = Board(state.folder.parent / "tensorboard", history) if ranks.first else None
    note = f"loss {history[-1][0]:.3f}" if history else ""
    stop: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _frame: stop.append(number))
    began = saved = time.monotonic()
    for step in range(start, recipe["steps"]):
        tick = time.monotonic()
        rate = rate_at(step, recipe)
        for group in optimiser.param_groups:
            group["lr"] = rate
        rows = rows_of_step(step, recipe["batch"], task.rows, seed)
        torch.manual_seed(step * 4294967296 + seed)
        wanted, losses, stopped = task.targets(rows), [], False
        mine = rows[ranks.rank :: ranks.count]
        for micro in np.split(mine, range(recipe["micro_batch"], len(mine), recipe["micro_batch"])):
            if stopped := ranks.any(bool(stop)):
                break
            loss, _ = task.loss(micro)
            (loss / wanted).backward()
            losses.append(loss.detach())
            if ranks.first:
                progress.add(len(micro) / len(mine), note)
        if stopped:  # what was begun of the step is given up: torchrun waits 30 s, a step may take longer
            if ranks.first:
                kept = (
                    f"after step {step}; the checkpoint is kept" if step else "before the first step was done"
                )
                if step:
                    state.save(step, model, optimiser, history, before + time.monotonic() - began)
                say(f"[train {what}] stopped by signal {int(signal.SIGTERM)} {kept}")
            if board:
                board.close()
            ranks.wait()
            sys.exit(143)
        total = ranks.sum_up(model, float(torch.stack(losses).double().sum()))
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"]))
        if not math.isfinite(total) or not math.isfinite(norm):
            raise InputError(
                f"training {what}: loss {total / wanted} at step {step}; lower the learning rate of its recipe"
            )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        history.append([total / wanted, rate, norm])
        note = f"loss {total / wanted:.3f}"
        if board:
            board.add(step, total / wanted, rate, norm, wanted / (time.monotonic() - tick))
        due = time.monotonic() - saved > 60 * checkpoint_minutes
        if due and ranks.first and step + 1 < recipe["steps"]:
            state.save(step + 1, model, optimiser, history, before + time.monotonic() - began)
            saved = time.monotonic()
    signal.signal(signal.SIGTERM, previous)
    if board:
        board.close()
        progress.line(f"loss {history[-1][0]:.3f}")
    model.eval()
    return history, before + time.monotonic() - began


def save_model(task: Task, tokenizer: Path, folder: Path) -> Iterator[Path]:
    """Writes config, weights and tokenizer to temporary names, then moves each into `folder`."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    with scratch_folder(folder, "model") as partial:
        task.model.save_pretrained(partial)
        (partial / "tokenizer.json").write_bytes((tokenizer / "tokenizer.json").read_bytes())
        config = read_json(tokenizer / "tokenizer_config.json")
        config |= {"model_max_length": task.reads, "split_special_tokens": True}
        write_json(partial / "tokenizer_config.json", config)
        for path in sorted(partial.iterdir()):
            follow_umask(path)
            path.replace(folder / path.name)
            yield folder / path.name


def main(
    *,
    subset: Path,
    spec: str,
    out: Path,
    tokens: list[Path] = [],
    tokens_meta: list[Path] = [],
    tokenizer: list[Path] = [],
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
        tokens: packed train split (language models).
        tokens_meta: its JSON.
        tokenizer: tokenizer.json (language models).
        name: what progress lines call the model.
        threads: processor threads; 0 leaves torch's choice.
        processes: GPUs of this node, one process each, started by torchrun; 0 or 1: this process alone.
        checkpoint_minutes: minutes between checkpoints.
    """
    settings = read_spec(spec, "model", "recipe", "training_seed", "names", "base")
    model, recipe, seed = settings["model"], dict(settings["recipe"]), settings["training_seed"]
    if problem := check_recipe(recipe, model["kind"]):
        raise InputError(f"--spec recipe: {problem}")
    relaunch(processes)
    if os.environ.get("RANK", "0") == "0":
        say(f"[train {name}] loading the model")
    import torch

    if threads:
        torch.set_num_threads(threads)
    device = pick_device()
    if device == "cpu":
        keep_memory()
    ranks = Ranks(device)
    if recipe["batch"] % ranks.count:
        raise InputError(
            f"--spec recipe.batch: {recipe['batch']} does not go evenly to {ranks.count} processes; take a multiple"
        )
    autocast = recipe["precision"] == "bfloat16" or (recipe["precision"] == "auto" and device == "cuda")
    torch.manual_seed(seed)
    below = read_json(subset)
    task: LanguageModel | Classifier
    if model["kind"] == "language-model":
        if not (tokens and tokens_meta and tokenizer):
            raise InputError("a language model needs --tokens, --tokens-meta and --tokenizer")
        from winnow.tokenizer import load

        packed, (_, end) = read_json(tokens_meta[0]), load(tokenizer[0])
        task = LanguageModel(model, tokens[0], packed["vocabulary"], end, device, autocast,
                             recipe.get("sequences") == "documents")  # fmt: skip
        folder, inputs = tokenizer[0].parent, packed["sha256"]
    else:
        if not below["classes"]:
            raise InputError(f"{subset}: names no classes; a classifier needs a labelled corpus")
        check_definition("encoder", settings["base"], where="--spec base")
        split = subset.parent / "train.parquet"
        task = Classifier(model, settings["base"], split, below["classes"], device, autocast)
        folder, inputs = task.folder, canonical(below)
    identity = canonical([settings, inputs, STAGE_VERSION])
    recipe["steps"] = steps_of(recipe, task.rows, task.sequence)
    state = State(out.parent / "state", hashlib.sha256(identity.encode()).hexdigest())
    try:
        history, seconds = train(task, recipe, seed, state, name, checkpoint_minutes, ranks)
    except torch.OutOfMemoryError:
        raise InputError(
            f"training {name}: the GPU's memory is full; lower micro_batch ({recipe['micro_batch']}) of its recipe"
        ) from None
    ranks.wait()
    if not ranks.first:
        return
    targets = sum(
        task.targets(rows_of_step(step, recipe["batch"], task.rows, seed)) for step in range(recipe["steps"])
    )
    limit = peak(device, autocast, torch.get_num_threads())
    hours = seconds / 3600 * ranks.count
    metrics: dict[str, Any] = {"history": history}
    timings: dict[str, Any] = {
        "seconds": seconds,
        "device": device if device == "cpu" else torch.cuda.get_device_name(),
        "processes": ranks.count,
        "threads": torch.get_num_threads(),
        "targets_per_second": targets / seconds,
        "peak_memory_mb": torch.cuda.max_memory_allocated() / 2**20
        if device == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gpu_hours" if device == "cuda" else "cpu_hours": hours,
        "kwh_estimate": hours * limit["watts"] / 1000,
        "watts_assumed": limit["watts"],
    }
    if isinstance(task, LanguageModel):
        metrics["model_flops"] = targets * task.flops()
        speed = metrics["model_flops"] / seconds
        timings |= {
            "gflops_per_second": speed / 1e9,
            "peak_gflops_per_second": limit["flops"] * ranks.count / 1e9,
            "peak_source": limit["source"],
            "model_flops_utilisation": speed / (limit["flops"] * ranks.count),
        }
    if isinstance(task, Classifier):
        steps = (rows_of_step(step, recipe["batch"], task.rows, seed) for step in range(recipe["steps"]))
        metrics["model_flops"] = sum(map(task.flops, steps))
    files = list(save_model(task, folder, out.parent))
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    write_json(out.parent / "metrics.json", metrics)
    write_json(out.parent / "timings.json", timings)
    manifest = {
        "ids": {**below["ids"], **settings["names"], "training_seed": seed},
        "spec": settings,
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "steps": recipe["steps"],
        "epochs": recipe["steps"] * recipe["batch"] / task.rows,
        "training_" + ("tokens" if isinstance(task, LanguageModel) else "examples"): targets,
        "final_loss": float(np.mean([h[0] for h in history[-max(1, len(history) // 20) :]])),
        "weight_norm": math.sqrt(
            sum(float(p.detach().double().square().sum()) for p in task.model.parameters())
        ),
        "files": digests,
        "subset": below["ids"],
        "precision": "bfloat16" if autocast else "float32",
    }
    write_json(out, manifest)
    state.clear()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run(main)
