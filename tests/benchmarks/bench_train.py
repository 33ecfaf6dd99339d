"""Training speed: winnow.train beside transformers.Trainer, on the same packed windows, model, precision and machine.

    python tests/benchmarks/bench_train.py [steps] [threads] [float32|bfloat16] [layers width heads sequence vocabulary batch]

Prints tokens/s of both after a first step (which compiles, on a GPU), their ratio in each round, and the floor: the model's
FLOPs at the machine's peak. Pythia 160M on a GPU:

    python tests/benchmarks/bench_train.py 40 8 bfloat16 12 768 12 2048 50304 16
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from winnow.machine import flops_a_token, keep_memory, peak
from winnow.ranks import Ranks
from winnow.train import LanguageModel, State, make_network, train

ROUNDS = 3


def main() -> None:
    """Each measurement is a process of its own: what one does to the allocator is not the other's."""
    side, arguments = (
        (sys.argv[1], sys.argv[2:]) if sys.argv[1:2] in (["winnow"], ["trainer"]) else ("", sys.argv[1:])
    )
    steps, threads = (int(a) for a in (arguments + ["12", "1"][len(arguments) :])[:2])
    precision = arguments[2] if len(arguments) > 2 else "float32"
    layers, width, heads, sequence, vocabulary, batch = map(int, arguments[3:9] or (6, 128, 4, 256, 8192, 32))
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    low = precision == "bfloat16"
    model = {"layers": layers, "width": width, "heads": heads, "sequence": sequence}
    if side:
        recipe = {"steps": steps, "batch": batch, "micro_batch": batch, "learning_rate": 1e-3, "final_rate": 0.1, "warmup": 0.01,
                  "betas": [0.9, 0.95], "epsilon": 1e-8, "weight_decay": 0.1, "clip": 1.0}  # fmt: skip
        measure = {"winnow": winnow, "trainer": trainer}[side]
        with tempfile.TemporaryDirectory() as folder:
            stream = np.random.default_rng(0).integers(0, vocabulary, (steps * batch + 1) * sequence + 1)
            print(measure(folder, model, recipe, stream.astype(np.uint16), vocabulary, device, low))
        return
    print(f"{layers} layers, width {width}, sequence {sequence}, vocabulary {vocabulary}, batch {batch}, {precision}, {device}, {threads} threads")  # fmt: skip
    limit = peak(device, low, threads)
    flops = flops_a_token(layers, width, sequence, vocabulary)
    ratios = []
    for _ in range(ROUNDS):
        found = []
        for name in ("winnow", "trainer"):
            line = [sys.executable, __file__, name, *(arguments or [str(steps), str(threads)])]
            done = subprocess.run(line, check=True, capture_output=True, text=True)
            found.append(float(done.stdout.split()[-1]))
        ratios.append(found[0] / found[1])
        print(
            f"winnow {found[0]:,.0f} tokens/s ({found[0] * flops / limit['flops']:.0%} of peak), "
            f"Trainer {found[1]:,.0f} tokens/s, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(f"median ratio {np.median(ratios):.2f}; floor: {limit['flops'] / flops:,.0f} tokens/s ({flops / 1e6:.1f} MFLOP a token at {limit['flops'] / 1e9:,.0f} GFLOP/s, {limit['source']})")  # fmt: skip


def winnow(
    folder: str, model: dict, recipe: dict, stream: np.ndarray, vocabulary: int, device: str, low: bool
) -> float:
    np.save(f"{folder}/t.npy", stream)
    if device == "cpu":
        keep_memory()
    torch.manual_seed(0)
    task = LanguageModel(model, Path(folder, "t.npy"), vocabulary, 0, device, low)
    task.loss(np.arange(recipe["batch"]))[0].backward()
    task.model.zero_grad()
    began = time.perf_counter()
    train(task, recipe, 0, State(Path(folder, "state"), ""), "bench", 1e9, Ranks(device))
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
        output_dir=f"{folder}/trainer", per_device_train_batch_size=recipe["batch"], max_steps=recipe["steps"],
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
