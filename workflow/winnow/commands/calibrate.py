"""Measures how fast this machine is, in about a minute: the figures that plans, forecasts and time limits go by.

Out: a JSON file of a winnow.work.machine.Machine. Measured is the workflow's own code: stages that start and do next to
nothing, an encoder, steps of a small language model, tables that are written and read. Times of one thread are CPU-seconds,
which other programs on the machine hardly change.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from winnow.config.checks import resolve
from winnow.config.files import definition_files, read_files
from winnow.stage import InputError, canonical, say, write_json
from winnow.work.machine import CALIBRATION, DEFAULT, Machine
from winnow.work.networks import encoder as encoder_of
from winnow.work.networks import model as model_of

ROOT = Path(__file__).parents[3]
WORDS = [
    "the",
    "story",
    "of",
    "a",
    "small",
    "boat",
    "that",
    "sailed",
    "around",
    "the",
    "island",
    "and",
    "came",
    "home",
    "before",
    "the",
    "storm",
]
MODEL: dict[str, Any] = {
    "kind": "language-model",
    "layers": 4,
    "width": 192,
    "heads": 6,
    "sequence": 256,
    "tokenizer": "t",
    "recipe": "r",
}
LARGE: dict[str, Any] = {**MODEL, "layers": 12, "width": 768, "heads": 12, "sequence": 2048}
VOCABULARY = 4096
TOKENS = 128
"""Of a text that is embedded."""


def texts(count: int, words: int) -> list[str]:
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS, words)) for _ in range(count)]


def best(work: Callable[[], float], seconds: float, clock: Callable[[], float] = time.process_time) -> float:
    """The highest rate of `work`, which returns what it did (FLOPs, bytes), within about so many seconds; two tries at least."""
    began, rate, tries = time.perf_counter(), 0.0, 0
    while tries < 2 or time.perf_counter() - began < seconds:
        start = clock()
        amount = work()
        rate = max(rate, amount / max(clock() - start, 1e-6))
        tries += 1
    return rate


def product_rate(threads: int, seconds: float) -> float:
    """FLOP a CPU-second of a product of two float32 matrices on so many threads."""
    import torch

    torch.set_num_threads(threads)
    size = 1024
    left, right = torch.randn(size, size), torch.randn(size, size)

    def multiply() -> float:
        for _ in range(4):
            left @ right
        return 4 * 2.0 * size**3

    return best(multiply, seconds)


def start_seconds(command: list[str]) -> float:
    """CPU-seconds of a stage that does next to nothing: the fewer of two runs. Raises InputError if it fails."""
    taken = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, env=environment
        )
        if done.returncode:
            raise InputError(f"{command[0]}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


@functools.cache
def shipped_encoder() -> dict[str, Any]:
    """The encoder that the environment brings along."""
    config = resolve(read_files(definition_files(ROOT)), tables=False)
    encoder: dict[str, Any] = config["encoders"]["minilm-128"]
    return encoder


def starts(folder: Path) -> tuple[float, float]:
    """CPU-seconds in which a stage starts that reads tables, and one that loads an encoder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    documents = folder / "documents.parquet"
    table = pa.table({
        "doc": np.arange(8), "text": texts(8, 4), "bytes": pa.array([20] * 8, pa.int32()),
        "digest": np.arange(8, dtype=np.uint64),
    })  # fmt: skip
    pq.write_table(table, documents)
    heldout = canonical({"heldout": {"documents": 0, "seed": 0}, "deduplicate": False})
    light = [
        "winnow.documents.heldout",
        "--documents",
        str(documents),
        "--spec",
        heldout,
        "--out",
        str(folder / "h.parquet"),
    ]
    heavy = [
        "winnow.embed.encode",
        "--documents",
        str(documents),
        "--spec",
        canonical({"encoder": shipped_encoder()}),
    ]
    return start_seconds(light), start_seconds([*heavy, "--threads", "1", "--out", str(folder / "v.npy")])


def embed_rate(seconds: float) -> float:
    """FLOP/s of the encoder on one thread."""
    import torch

    from winnow.embed.encoder import Encoder

    torch.set_num_threads(1)
    encoder = Encoder(shipped_encoder(), "cpu")
    many = texts(32, 2 * TOKENS)  # longer than is read
    many = [f"{i} {text}" for i, text in enumerate(many)]
    network = encoder_of(encoder.spec["dimension"])

    def embed() -> float:
        encoder.encode(many)
        return len(many) * TOKENS * network.forward(TOKENS)

    return best(embed, seconds)


def train_rate(folder: Path, device: str, bfloat16: bool, seconds: float) -> float:
    """FLOP/s of training a language model: a small one on one thread, or one of Pythia's sizes on a GPU."""
    import torch

    from winnow.train.checkpoint import make_optimiser
    from winnow.train.tasks import LanguageModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = MODEL if device == "cpu" else LARGE
    length = int(model["sequence"])
    rows = (2 if bfloat16 else 8) if device == "cpu" else 16
    tokens = folder / "tokens.npy"
    np.save(
        tokens,
        np.random.default_rng(0).integers(0, VOCABULARY, rows * length * 4 + 1).astype(np.uint16),
    )
    task = LanguageModel(model, tokens, VOCABULARY, 0, device, bfloat16, False)
    optimiser = make_optimiser(task.model, {"weight_decay": 0.1, "betas": [0.9, 0.95], "epsilon": 1e-8})
    network = model_of({"models": {"m": model}, "tokenizers": {"t": {"vocabulary": VOCABULARY}}}, "m")
    task.model.train()

    def step() -> float:
        loss, count = task.loss(np.arange(rows))
        (loss / count).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        float(loss.detach())  # a GPU has computed it
        return 3 * count * network.forward(length)

    return best(step, seconds, time.process_time if device == "cpu" else time.perf_counter)


def gpu_embed_rate(seconds: float) -> float:
    """FLOP/s of an encoder of the size base, with random weights, on the GPU, in bfloat16."""
    import torch

    from winnow.light_imports import skip_unused

    skip_unused()
    from transformers import BertConfig, BertModel

    from winnow.embed.bert import UnpaddedBert

    network, length, rows = encoder_of(768), 512, 128
    model = BertModel(BertConfig(), add_pooling_layer=False).eval().to("cuda", torch.bfloat16)
    layers, ids = UnpaddedBert(model), torch.randint(0, 30_000, (rows * length,), device="cuda")

    def embed() -> float:
        with torch.inference_mode():
            layers.states(ids, [length] * rows)
        torch.cuda.synchronize()
        return rows * length * network.forward(length)

    return best(embed, seconds, time.perf_counter)


def table_rates(folder: Path, seconds: float) -> tuple[float, float]:
    """Bytes of text a second and core, read from and written to zstd parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, many = folder / "texts.parquet", texts(2000, 400)
    table, size = pa.table({"text": many}), float(sum(map(len, many)))
    pa.set_cpu_count(1)

    def write() -> float:
        pq.write_table(table, path, compression="zstd", use_dictionary=False)
        return size

    def read() -> float:
        pq.read_table(path, use_threads=False)
        return size

    written = best(write, seconds)
    return best(read, seconds), written


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def measure(seconds: float) -> Machine:
    """The machine that this process runs on; about so many seconds a measurement."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say("[calibrate] starts of stages")
        light, heavy = starts(folder)
        say("[calibrate] products of matrices")
        product = product_rate(1, seconds)
        together = product_rate(cores, seconds) if cores > 1 else product
        say("[calibrate] an encoder")
        embed = embed_rate(2 * seconds)
        say("[calibrate] training")
        train, low = (train_rate(folder, "cpu", bfloat16, 2 * seconds) for bfloat16 in (False, True))
        read, written = table_rates(folder, seconds / 2)
        gpu, gpu_embed, gpu_train = "", 0.0, 0.0
        if torch.cuda.is_available():
            say("[calibrate] the GPU")
            gpu = torch.cuda.get_device_name()
            gpu_embed, gpu_train = gpu_embed_rate(seconds), train_rate(folder, "cuda", True, 2 * seconds)
    return Machine(
        host=platform.node(), processor=processor(), cores=cores,
        memory_mb=int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6),
        light=light, heavy=heavy, product=product, scaling=min(1.0, max(0.1, together / product)),
        embed=embed, train=train, train_bfloat16=low, read=read, written=written,
        gpu=gpu, gpu_embed=gpu_embed, gpu_train=gpu_train,
    )  # fmt: skip


def calibrate(*, out: Path = Path("results") / CALIBRATION, seconds: float = 3.0) -> None:
    """Measure this machine, about a minute, and keep the figures for plans, forecasts and the time limits of jobs.

    Args:
        out: JSON file to write; calibration.json in a run's folder of results is read by that run.
        seconds: Seconds of each measurement.
    """
    if not seconds > 0:
        raise InputError(f"--seconds: {seconds} is not above 0")
    from tabulate import tabulate

    began = time.perf_counter()
    machine = measure(seconds)
    took = time.perf_counter() - began
    packages = {
        name: importlib.metadata.version(name) for name in ("torch", "numpy", "pyarrow", "transformers")
    }
    about = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "seconds": round(took, 1),
        "packages": packages,
    }
    write_json(out, {"machine": dataclasses.asdict(machine), "about": about})
    units = {"light": 1, "heavy": 1, "scaling": 1, "cores": 1, "memory_mb": 1}
    rows = [
        [one.name, f"{value / units.get(one.name, 1e9):,.3g}", f"{usual / units.get(one.name, 1e9):,.3g}"]
        for one in dataclasses.fields(Machine)
        if one.type in ("int", "float")
        and ((value := getattr(machine, one.name)) or not one.name.startswith("gpu"))
        for usual in [getattr(DEFAULT, one.name)]
    ]
    print(f"{machine.name}{f', {machine.gpu}' if machine.gpu else ''}: {took:.0f} s\n")
    print(
        tabulate(
            rows,
            ["figure", "here", "default"],
            tablefmt="github",
            disable_numparse=True,
            colalign=("left", "right", "right"),
        )
    )
    print(f"\nSeconds of starts; 10^9 floating-point operations, or bytes, a second and core. Kept in {out}")
