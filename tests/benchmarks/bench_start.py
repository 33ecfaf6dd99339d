"""The start of a job: seconds of a process from its first instruction to its first useful work.

    .venv/bin/python tests/benchmarks/bench_start.py

Trains a GPT-NeoX of the size of neox-nano and evaluates one of two layers on made-up rows, each `--rounds` times as a process
of its own on one core: until the first training step begins, and until the first batch of items is scored. Then what a stage
without a model takes to print its help. Best of the rounds; CPU seconds tell more than seconds on a busy machine.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_evaluate import make_mirrors, make_model
from common import figure, options, processor
from winnow.stage import canonical, write_json

LIGHT = ("documents.shards", "sample.draw", "sample.subset", "score.lsh", "compare.table")
STOP = """
import os, sys, time
import winnow.{module} as stage
def stop(*arguments, **settings):
    print(time.process_time(), flush=True)
    os._exit(0)
{patch}
from winnow.stage import run
run(stage.{function})
"""


def until(module: str, function: str, patch: str, arguments: list[str]) -> tuple[float, float]:
    """(seconds, CPU seconds) of a stage's process until `patch` calls `stop`."""
    code = STOP.format(module=module, function=function, patch=patch)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    took = time.perf_counter() - began
    if done.returncode or not done.stdout.strip():
        sys.exit(f"{module} failed:\n{done.stderr[-2000:]}")
    return took, float(done.stdout.split()[-1])


def training(folder: Path) -> list[str]:
    """Arguments of a training of neox-nano's shape, on random tokens."""
    from tokenizers import ByteLevelBPETokenizer

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        ["so few words"] * 9, vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False
    )
    bpe._tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {"eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"},
    )
    np.save(folder / "train.npy", np.random.default_rng(0).integers(0, 2048, 81_920).astype(np.uint16))
    write_json(folder / "train.json", {"vocabulary": 2048, "sha256": "made up"})
    write_json(folder / "manifest.json", {"ids": {}, "classes": None})
    model = {"kind": "language-model", "layers": 2, "width": 128, "heads": 4, "sequence": 128,
             "tokenizer": "t", "recipe": "r"}  # fmt: skip
    recipe = {"steps": 40, "batch": 16, "micro_batch": 16, "learning_rate": 1e-3, "final_rate": 0.1, "warmup": 0.01, "betas": [0.9, 0.95],
              "epsilon": 1e-8, "weight_decay": 0.1, "clip": 1.0, "precision": "auto", "sequences": "packed"}  # fmt: skip
    spec = {"model": model, "recipe": recipe, "training_seed": 0, "names": {}, "base": None}
    return ["--subset", str(folder / "manifest.json"), "--spec", canonical(spec), "--out", str(folder / "model/manifest.json"),
            "--tokens", str(folder / "train.npy"), "--tokens-meta", str(folder / "train.json"),
            "--tokenizer", str(folder / "tokenizer.json"), "--tokenizer-config", str(folder / "tokenizer_config.json"), "--threads", "1"]  # fmt: skip


def evaluation(folder: Path) -> list[str]:
    """Arguments of an evaluation on two tasks."""
    mirrors = sorted(path.parent for path in make_mirrors(folder).glob("*/manifest.json"))
    tasks = {path.name: json.loads((path / "manifest.json").read_text())["task"] for path in mirrors}
    spec = {"ids": {}, "suite": "bench", "benchmarks": {name: {"task": task, "items": 10, "data": {"files": {"x": "x"}}}
                                                        for name, task in tasks.items()}}  # fmt: skip
    return ["--model", str(make_model(folder / "model")), "--spec", json.dumps(spec), "--out-dir", str(folder / "out"),
            "--benchmarks", *map(str, mirrors)]  # fmt: skip


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(processor(), flush=True)
    cases = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("train", "evaluate"):
            Path(scratch, name).mkdir()
        cases.append(("to the first training step", 3.5, "train.loop", "main", "stage.rate_at = stop",
                      training(Path(scratch, "train"))))  # fmt: skip
        patch = "import winnow.evaluate.language_model as scored\nscored.log_likelihoods = stop"
        cases.append(("to the first evaluated items", 3.0, "evaluate.harness", "evaluate", patch,
                      evaluation(Path(scratch, "evaluate"))))  # fmt: skip
        for what, limit, *job in cases:
            took = [until(*job) for _ in range(asked.rounds)]
            seconds, cpu = (min(column) for column in zip(*took, strict=True))
            print(f"{what}: {seconds:.2f} s, {cpu:.2f} CPU s (wanted: at most {limit})", flush=True)
            figure(what, "s", seconds, limit=f"at most {limit}")
            figure(f"{what}: CPU", "CPU s", cpu)
    slowest = 0.0
    for stage in LIGHT:
        took = []
        for _ in range(asked.rounds):
            began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, "-m", f"winnow.{stage}", "--help"], check=True, capture_output=True
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            took.append((time.perf_counter() - began, cpu))
        seconds, cpu = (min(column) for column in zip(*took, strict=True))
        slowest = max(slowest, seconds)
        print(f"{stage}: {seconds:.2f} s, {cpu:.2f} CPU s", flush=True)
    print(f"slowest light stage {slowest:.2f} s (wanted: at most 0.7)")
    figure("start of the slowest light stage", "s", slowest, limit="at most 0.7")


if __name__ == "__main__":
    main()
