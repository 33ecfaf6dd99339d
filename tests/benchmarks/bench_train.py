"""Training speed: winnow.train.loop beside transformers.Trainer, on the same packed windows, model, precision and machine.

    .venv/bin/python tests/benchmarks/bench_train.py --steps 8

Prints tokens/s of both after a first step (which compiles, on a GPU), their ratio in each round, and the bound: the model's
FLOPs at the machine's peak. Pythia 160M on a GPU:

    .venv/bin/python tests/benchmarks/bench_train.py --steps 40 --threads 8 --precision bfloat16 --shape 12 768 12 2048 50304 --batch 128 --micro 16
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import figure, options, peer, processor
from winnow.device import flops_a_token, keep_memory, native_bfloat16, peak
from winnow.train.checkpoint import Checkpoint
from winnow.train.loop import train
from winnow.train.process_group import ProcessGroup
from winnow.train.tasks import LanguageModel, make_network

SIDES = ("winnow", "trainer")


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    names = ("LAYERS", "WIDTH", "HEADS", "SEQUENCE", "VOCABULARY")
    parser.add_argument("--shape", type=int, nargs=5, metavar=names, default=[6, 128, 4, 256, 8192])
    parser.add_argument("--batch", type=int, default=32, help="sequences a step")
    parser.add_argument("--micro", type=int, default=0, help="sequences at a time; 0: all of a step")
    parser.add_argument("--side", choices=SIDES, help="measure this one alone and print its tokens/s")
    return parser.parse_args()


def main() -> None:
    """Each measurement is a process of its own: what one does to the allocator is not the other's."""
    arguments = asked()
    layers, width, heads, sequence, vocabulary = arguments.shape
    threads, steps, batch = arguments.threads, arguments.steps, arguments.batch
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    low = arguments.precision == "bfloat16"
    model = {"layers": layers, "width": width, "heads": heads, "sequence": sequence}
    if arguments.side:
        recipe = {"steps": steps, "batch": batch, "micro_batch": arguments.micro or batch, "learning_rate": 1e-3, "final_rate": 0.1, "warmup": 0.01,
                  "betas": [0.9, 0.95], "epsilon": 1e-8, "weight_decay": 0.1, "clip": 1.0}  # fmt: skip
        measure = {"winnow": winnow, "trainer": trainer}[arguments.side]
        with tempfile.TemporaryDirectory() as folder:
            stream = np.random.default_rng(0).integers(0, vocabulary, (steps * batch + 1) * sequence + 1)
            print(measure(folder, model, recipe, stream.astype(np.uint16), vocabulary, device, low))
        return
    if steps < 2:
        sys.exit("--steps: at least 2; the Trainer's first step is not measured")
    print(f"{processor()}; {device}")
    if low and not native_bfloat16(device):
        print(f"{device} has no native product of bfloat16: this takes many times as long as float32")
    print(f"{layers} layers, width {width}, sequence {sequence}, vocabulary {vocabulary}, batch {batch}, {arguments.precision}, {threads} threads", flush=True)  # fmt: skip
    with peer("accelerate"):
        import accelerate  # noqa: F401 (what transformers.Trainer needs)
    limit = peak(device, low, threads)
    flops = flops_a_token(layers, width, sequence, vocabulary)
    ratios, speeds = [], []
    for _ in range(arguments.rounds):
        found = []
        for name in SIDES:
            line = [sys.executable, __file__, *sys.argv[1:], "--side", name]
            done = subprocess.run(line, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
            found.append(float(done.stdout.split()[-1]))
        ratios.append(found[0] / found[1])
        speeds.append(found[0])
        print(
            f"winnow {found[0]:,.0f} tokens/s ({found[0] * flops / limit['flops']:.0%} of peak), "
            f"Trainer {found[1]:,.0f} tokens/s, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    name = f"train {layers} x {width}, {arguments.precision}"
    figure(
        name,
        "tokens/s",
        float(np.median(speeds)),
        float(np.median(speeds) / np.median(ratios)),
        "at least 1.3",
    )
    figure(f"{name}: model FLOPs", "GFLOP/s", float(np.median(speeds)) * flops / 1e9, limit["flops"] / 1e9)
    print(f"median ratio {np.median(ratios):.2f}; bound: {limit['flops'] / flops:,.0f} tokens/s ({flops / 1e6:.1f} MFLOP a token at {limit['flops'] / 1e9:,.0f} GFLOP/s, {limit['source']})")  # fmt: skip


def winnow(
    folder: str, model: dict, recipe: dict, stream: np.ndarray, vocabulary: int, device: str, low: bool
) -> float:
    np.save(f"{folder}/t.npy", stream)
    if device == "cpu":
        keep_memory()
    torch.manual_seed(0)
    task = LanguageModel(model, Path(folder, "t.npy"), vocabulary, 0, device, low)
    task.loss(np.arange(recipe["micro_batch"]))[0].backward()
    task.model.zero_grad()
    began = time.perf_counter()
    train(task, recipe, 0, Checkpoint(Path(folder, "state"), ""), "bench", 1e9, ProcessGroup(device))
    return recipe["steps"] * recipe["batch"] * model["sequence"] / (time.perf_counter() - began)


def trainer(
    folder: str, model: dict, recipe: dict, stream: np.ndarray, vocabulary: int, device: str, low: bool
) -> float:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Clock(TrainerCallback):
        began = 0.0

        def on_step_end(self, args, state, control, **_) -> None:
            if state.global_step == 1:
                settle(device)
                self.began = time.perf_counter()

    length = model["sequence"]
    windows = [
        torch.from_numpy(stream[i : i + length].astype(np.int64))
        for i in range(0, len(stream) - length, length)
    ]
    data = [{"input_ids": window, "labels": window} for window in windows]
    torch.manual_seed(0)
    arguments = TrainingArguments(
        output_dir=f"{folder}/trainer", per_device_train_batch_size=recipe["micro_batch"],
        gradient_accumulation_steps=recipe["batch"] // recipe["micro_batch"], max_steps=recipe["steps"],
        learning_rate=recipe["learning_rate"], lr_scheduler_type="cosine", weight_decay=recipe["weight_decay"],
        adam_beta1=0.9, adam_beta2=0.95, max_grad_norm=1.0, optim="adamw_torch_fused", bf16=low, use_cpu=device == "cpu",
        report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, torch_compile=device == "cuda",
    )  # fmt: skip
    network = make_network(model, vocabulary, 0)
    clock = Clock()
    Trainer(model=network, args=arguments, train_dataset=data, callbacks=[clock]).train()
    settle(device)
    return (recipe["steps"] - 1) * recipe["batch"] * length / (time.perf_counter() - clock.began)


def settle(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
