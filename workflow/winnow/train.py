"""A subset -> a model, trained for a fixed number of steps.

In: packed tokens (language models) or labelled documents (classifiers). Out: a model in Hugging Face
format. The loop is one for both: seeded order, accumulation to a batch, AdamW with decoupled decay
(Loshchilov and Hutter 2019), linear warm-up and cosine, clipping. Its state is checkpointed beside the
outputs under a fingerprint of settings and inputs; a stopped run goes on from there and, on a
processor, ends with the same bits.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.parquet as pq

from winnow.config import check_definition
from winnow.embed import pick_device
from winnow.stage import (
    InputError,
    Progress,
    atomic_path,
    canonical,
    read_json,
    read_spec,
    run,
    say,
    scratch_folder,
    write_json,
)

STAGE_VERSION = 1


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


class Task(Protocol):
    """What the loop needs to know of a kind of model."""

    rows: int
    model: Any

    def loss(self, rows: np.ndarray) -> tuple[Any, int]:
        """Sum of the losses over the targets of `rows`, and the number of targets."""

    def targets(self, rows: np.ndarray) -> int:
        """The number of targets of `rows`."""


class LanguageModel:
    """GPT-NeoX on windows of `sequence` tokens of a packed stream."""

    def __init__(
        self, model: dict[str, Any], tokens: Path, vocabulary: int, end: int, device: str, autocast: bool
    ):
        from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

        self.sequence, self.device, self.autocast = model["sequence"], device, autocast
        self.tokens = np.load(tokens, mmap_mode="r")
        self.rows = (len(self.tokens) - 1) // self.sequence
        if self.rows < 1:
            raise InputError(
                f"{tokens}: {len(self.tokens)} tokens are fewer than one sequence of {self.sequence} and its last target"
            )
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
        network: Any = GPTNeoXForCausalLM(config)
        self.model = network.to(device)

    def targets(self, rows: np.ndarray) -> int:
        return len(rows) * self.sequence

    def windows(self, rows: np.ndarray) -> tuple[Any, Any]:
        """Inputs and targets of windows: two int64 tensors [rows, sequence], targets one token later."""
        import torch

        at = rows[:, None] * self.sequence + np.arange(self.sequence + 1)
        window = torch.from_numpy(self.tokens[at].astype(np.int64)).to(self.device)
        return window[:, :-1], window[:, 1:]

    def loss(self, rows: np.ndarray) -> tuple[Any, int]:
        import torch

        inputs, targets = self.windows(rows)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            logits = self.model(input_ids=inputs, use_cache=False).logits
        total = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), reduction="sum"
        )
        return total, targets.numel()

    def flops(self) -> float:
        """Model FLOPs of a trained token: 6 for each weight of a matrix, 12 x layers x width x sequence for
        attention, halved for the causal mask (Kaplan et al. 2020; Chowdhery et al. 2022, appendix B)."""
        weights = sum(
            p.numel() for n, p in self.model.named_parameters() if p.ndim == 2 and "embed_in" not in n
        )
        config = self.model.config
        return 6.0 * weights + 6.0 * config.num_hidden_layers * config.hidden_size * self.sequence


class Classifier:
    """An encoder with a fresh classification head on labelled documents."""

    def __init__(
        self,
        model: dict[str, Any],
        encoder: dict[str, Any],
        split: Path,
        labels: int,
        device: str,
        autocast: bool,
    ):
        from tokenizers import Tokenizer
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        from winnow.weights import weights_folder

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        folder = weights_folder(encoder["source"])
        table = pq.read_table(split)
        if "label" not in table.column_names:
            raise InputError(f"{split}: has no label column; a classifier needs a labelled corpus")
        self.device, self.autocast, self.folder = device, autocast, folder
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(model["max_tokens"])
        tokenizer.no_padding()
        self.ids = [e.ids for e in tokenizer.encode_batch_fast(table["text"].to_pylist())]
        self.labels = table["label"].to_numpy().astype(np.int64)
        self.rows = len(self.ids)
        if not self.rows:
            raise InputError(f"{split}: holds no documents to train on")
        self.model = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=labels, use_safetensors=True, dtype="float32"
        ).to(device)

    def targets(self, rows: np.ndarray) -> int:
        return len(rows)

    def loss(self, rows: np.ndarray) -> tuple[Any, int]:
        import torch

        longest = max(len(self.ids[r]) for r in rows)
        tokens = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for i, r in enumerate(rows):
            tokens[i, : len(self.ids[r])] = self.ids[r]
            mask[i, : len(self.ids[r])] = 1
        inputs = {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(mask)}
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            logits = self.model(**{k: v.to(self.device) for k, v in inputs.items()}).logits
        labels = torch.from_numpy(self.labels[rows]).to(self.device)
        return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum"), len(rows)


def count_labels(documents: list[Path]) -> int:
    """Labels of a corpus, which are 0 to n - 1. Raises InputError for a negative one."""
    largest = 0
    for path in documents:
        label = pq.read_table(path, columns=["label"])["label"].to_numpy()
        if len(label) and label.min() < 0:
            raise InputError(f"{path}: label {label.min()}; labels of a classifier are 0, 1, ...")
        largest = max(largest, int(label.max(initial=0)))
    return largest + 1


class State:
    """Checkpoints of a run under its fingerprint: weights and moments as safetensors, the rest as JSON."""

    def __init__(self, folder: Path, fingerprint: str):
        self.folder, self.fingerprint = folder, fingerprint
        self.path = folder / "checkpoint.safetensors"

    def load(self, model: Any, optimiser: Any) -> tuple[int, list[list[float]]]:
        """Step to go on from and the history so far; (0, []) without a checkpoint of this fingerprint."""
        from safetensors import safe_open

        if not self.path.exists():
            return 0, []
        with safe_open(self.path, "pt") as file:
            meta = file.metadata()
            if meta.get("fingerprint") != self.fingerprint:
                say(f"[train] {self.path} is of other settings or inputs: starting clean")
                return 0, []
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model.load_state_dict({n[6:]: t for n, t in tensors.items() if n.startswith("model.")})
        state = {
            i: {key: tensors[f"optimiser.{key}.{n}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for i, n in enumerate(optimiser_names(model))
        }
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        return int(meta["step"]), json.loads(meta["history"])

    def save(self, step: int, model: Any, optimiser: Any, history: list[list[float]]) -> None:
        from safetensors.torch import save_file

        tensors = {f"model.{n}": t.detach().contiguous().clone() for n, t in model.state_dict().items()}
        for i, n in enumerate(optimiser_names(model)):
            for key, value in optimiser.state_dict()["state"][i].items():
                tensors[f"optimiser.{key}.{n}"] = value.detach().contiguous()
        meta = {"fingerprint": self.fingerprint, "step": str(step), "history": canonical(history)}
        with atomic_path(self.path) as partial:
            save_file(tensors, partial, metadata=meta)

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        if self.folder.exists():
            self.folder.rmdir()


def optimiser_names(model: Any) -> list[str]:
    """Names of the trained parameters in the optimiser's order: matrices (decayed), then vectors."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [n for n, p in named if p.ndim >= 2] + [n for n, p in named if p.ndim < 2]


def make_optimiser(model: Any, recipe: dict[str, Any]) -> Any:
    """AdamW, fused, with decay of matrices only."""
    import torch

    parameters = dict(model.named_parameters())
    names = optimiser_names(model)
    groups = [
        {
            "params": [parameters[n] for n in names if parameters[n].ndim >= 2],
            "weight_decay": recipe["weight_decay"],
        },
        {"params": [parameters[n] for n in names if parameters[n].ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=tuple(recipe["betas"]), eps=recipe["epsilon"], fused=True)


def train(
    task: Task, recipe: dict[str, Any], seed: int, state: State, what: str, checkpoint_minutes: float
) -> list[list[float]]:
    """Trains `task.model` in place. Returns the history: [loss in nats a target, learning rate, gradient
    norm] of each step. Raises InputError if the loss is not finite. SIGTERM checkpoints and exits 143."""
    import torch

    model = task.model
    model.train()
    optimiser = make_optimiser(model, recipe)
    start, history = state.load(model, optimiser)
    if start:
        say(f"[train {what}] going on from step {start}")
    progress = Progress(f"train {what}", total=recipe["steps"], unit="steps")
    progress.done = start
    stop: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _frame: stop.append(number))
    saved = time.monotonic()
    for step in range(start, recipe["steps"]):
        rate = rate_at(step, recipe)
        for group in optimiser.param_groups:
            group["lr"] = rate
        rows = rows_of_step(step, recipe["batch"], task.rows, seed)
        torch.manual_seed(step * 4294967296 + seed)
        wanted, total = task.targets(rows), 0.0
        for micro in np.split(rows, range(recipe["micro_batch"], len(rows), recipe["micro_batch"])):
            loss, _ = task.loss(micro)
            (loss / wanted).backward()
            total += float(loss.detach())
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"]))
        if not math.isfinite(total) or not math.isfinite(norm):
            raise InputError(
                f"training {what}: loss {total / wanted} at step {step}; lower the learning rate of its recipe"
            )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        history.append([total / wanted, rate, norm])
        progress.add(1, f"loss {total / wanted:.3f}")
        due = time.monotonic() - saved > 60 * checkpoint_minutes
        if (due or stop) and step + 1 < recipe["steps"]:
            state.save(step + 1, model, optimiser, history)
            saved = time.monotonic()
        if stop:
            say(f"[train {what}] stopped by signal {stop[0]} after step {step + 1}; the checkpoint is kept")
            sys.exit(143)
    signal.signal(signal.SIGTERM, previous)
    progress.line(f"loss {history[-1][0]:.3f}")
    model.eval()
    return history


def save_model(task: Task, tokenizer: Path, folder: Path) -> Iterator[Path]:
    """Writes config, weights and tokenizer to temporary names, then moves each into `folder`."""
    with scratch_folder(folder, "model") as partial:
        task.model.save_pretrained(partial)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (partial / file).write_bytes((tokenizer / file).read_bytes())
        for path in sorted(partial.iterdir()):
            path.chmod(0o644)
            path.replace(folder / path.name)
            yield folder / path.name


def main(
    *,
    subset: Path,
    spec: str,
    out: Path,
    documents: list[Path] = [],
    tokens: list[Path] = [],
    tokens_meta: list[Path] = [],
    tokenizer: list[Path] = [],
    name: str = "",
    threads: int = 0,
    checkpoint_minutes: float = 10,
) -> None:
    """Train one model.

    Args:
        subset: manifest.json of the subset.
        spec: JSON with the keys `model`, `recipe`, `training_seed`, `names` (its ids), and `base`
            (the encoder a classifier starts from; null for a language model).
        out: manifest.json to write, last, beside the model.
        documents: shards of the corpus (classifiers: which labels there are).
        tokens: packed train split (language models).
        tokens_meta: its JSON.
        tokenizer: tokenizer.json (language models).
        name: what progress lines call the model.
        threads: processor threads; 0 leaves torch's choice.
        checkpoint_minutes: minutes between checkpoints.
    """
    import torch

    settings = read_spec(spec, "model", "recipe", "training_seed", "names", "base")
    model, recipe, seed = settings["model"], settings["recipe"], settings["training_seed"]
    if threads:
        torch.set_num_threads(threads)
    device = pick_device()
    autocast = recipe["precision"] == "bfloat16" or (recipe["precision"] == "auto" and device == "cuda")
    torch.manual_seed(seed)
    below = read_json(subset)
    task: LanguageModel | Classifier
    if model["kind"] == "language-model":
        if not (tokens and tokens_meta and tokenizer):
            raise InputError("a language model needs --tokens, --tokens-meta and --tokenizer")
        from tokenizers import Tokenizer

        from winnow.tokens import END

        packed = read_json(tokens_meta[0])
        end = Tokenizer.from_file(str(tokenizer[0])).token_to_id(END)
        if end is None:
            raise InputError(f"{tokenizer[0]}: has no {END} token")
        task = LanguageModel(model, tokens[0], packed["vocabulary"], end, device, autocast)
        folder, inputs = tokenizer[0].parent, packed["sha256"]
    else:
        if not documents:
            raise InputError("a classifier needs --documents")
        check_definition("encoder", settings["base"], where="--spec base")
        split = subset.parent / "train.parquet"
        task = Classifier(model, settings["base"], split, count_labels(documents), device, autocast)
        folder, inputs = task.folder, canonical(below)
    identity = canonical([settings, inputs, STAGE_VERSION])
    state = State(out.parent / "state", hashlib.sha256(identity.encode()).hexdigest())
    began = time.monotonic()
    history = train(task, recipe, seed, state, name, checkpoint_minutes)
    seconds = time.monotonic() - began
    targets = recipe["steps"] * task.targets(np.zeros(recipe["batch"], dtype=np.int64))
    metrics: dict[str, Any] = {
        "seconds": seconds,
        "device": device if device == "cpu" else torch.cuda.get_device_name(),
        "threads": torch.get_num_threads(),
        "targets_per_second": targets / seconds,
        "peak_memory_mb": torch.cuda.max_memory_allocated() / 2**20
        if device == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "history": history,
    }
    if isinstance(task, LanguageModel):
        metrics["gflops_per_second"] = targets * task.flops() / seconds / 1e9
    files = list(save_model(task, folder, out.parent))
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    write_json(out.parent / "metrics.json", metrics)
    manifest = {
        "ids": {**below["ids"], **settings["names"], "training_seed": seed},
        "spec": settings,
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "steps": recipe["steps"],
        "epochs": recipe["steps"] * recipe["batch"] / task.rows,
        "training_" + ("tokens" if isinstance(task, LanguageModel) else "examples"): targets,
        "final_loss": float(np.mean([h[0] for h in history[-max(1, len(history) // 20) :]])),
        "files": digests,
        "subset": below["ids"],
        "precision": "bfloat16" if autocast else "float32",
    }
    write_json(out, manifest)
    state.clear()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run(main)
