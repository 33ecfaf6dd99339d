"""What the benchmarks share: the real data or a stand-in that says so, what machine this is, how a skip is said, and the
figures that `make bench` keeps. As a script: a table of those figures.

    .venv/bin/python tests/benchmarks/common.py results/bench.jsonl
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("WINNOW_DATA", ROOT.parent / "shared/data")).resolve()
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def options(page: str | None) -> argparse.ArgumentParser:
    """A command line whose help is the page of the benchmark, defaults included."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    return argparse.ArgumentParser(description=page, formatter_class=Formatter)


def skipped(what: str, why: str) -> None:
    print(f"skipped: {what}: {why}", flush=True)


def real_file(name: str) -> Path | None:
    """A file of the real data; None, saying so, where it is absent."""
    path = DATA / name
    if path.is_file():
        return path
    skipped("real data", f"no {path} (WINNOW_DATA); a stand-in is made up")
    return None


def pile_lines() -> list[str]:
    """JSON lines {"text", "meta": {"pile_set_name"}} of Pile documents; where there are none, of made-up ones."""
    if path := real_file("pile/pile_test_docs.jsonl.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return file.read().splitlines()
    generator = np.random.default_rng(0)
    words = np.array(
        ["".join(generator.choice(list("etaoinshrdlu"), n)) for n in generator.integers(2, 11, 5000)]
    )
    lengths = np.clip(generator.lognormal(5.5, 1.2, 2000).astype(int), 5, 20_000)
    frequency = 1 / np.arange(1, len(words) + 1)
    texts = (" ".join(generator.choice(words, n, p=frequency / frequency.sum())) for n in lengths)
    return [json.dumps({"text": text, "meta": {"pile_set_name": "made up"}}) for text in texts]


def pile_texts(count: int) -> list[str]:
    """Texts of `count` documents, spread over those that there are; of more than there are, the later parts of the long ones."""
    lines = pile_lines()
    texts = [json.loads(line)["text"] for line in lines[:: max(1, len(lines) // count)][:count]]
    part, whole = 5000, list(texts)
    while len(texts) < count and (later := [text[part:] for text in whole if len(text) > part + 1000]):
        texts, part = [*texts, *later][:count], part + 5000
    return texts


def sst2_texts(count: int) -> list[str]:
    """The first `count` sentences of SST-2; ends with a message where the real data is absent."""
    path = DATA / "sst2/train.jsonl.gz"
    if not path.exists():
        raise SystemExit(f"{path}: no such file; set WINNOW_DATA")
    with gzip.open(path, "rt") as file:
        return [json.loads(line)["sentence"] for line in itertools.islice(file, count)]


def processor() -> str:
    """The processor's name, its cores that this process may use, its memory, and how busy it is."""
    name = platform.processor() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text()
        name = next(
            line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {cores()} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f}"


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def figure(what: str, unit: str, ours: float, peer: float | None = None, limit: str = "") -> None:
    """Adds a figure to the JSON lines of WINNOW_BENCH, if there is one: of which benchmark, what it is in which unit, ours, the
    peer's of the same run, the ratio of the two, what is wanted of the ratio (of ours, without a peer), processor and load."""
    if path := os.environ.get("WINNOW_BENCH"):
        ratio = ours / peer if peer else None
        row = dict(benchmark=Path(sys.argv[0]).stem, what=what, unit=unit, ours=ours, peer=peer, ratio=ratio, limit=limit,
                   processor=processor().rsplit(", load", 1)[0], load=round(os.getloadavg()[0], 1))  # fmt: skip
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def show_figures(path: Path) -> None:
    """Prints the figures of a file of `figure` as a Markdown table."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    print(
        "| benchmark | what | unit | winnow | peer | ratio | wanted | load |\n| --- | --- | --- | ---: | ---: | ---: | --- | ---: |"
    )
    for row in rows:
        peer, ratio = ("" if row[key] is None else f"{row[key]:.3g}" for key in ("peer", "ratio"))
        print(
            f"| {row['benchmark']} | {row['what']} | {row['unit']} | {row['ours']:.4g} | {peer} | {ratio} | {row['limit']} | {row['load']} |"
        )
    print("\n".join(sorted({row["processor"] for row in rows})))


def precisions(asked: str, device: str) -> list[str]:
    """float32 and, where `device` multiplies it natively, bfloat16 (`auto`, saying what is left out); or what is asked."""
    from winnow.device import native_bfloat16

    if asked != "auto":
        return [asked]
    if native_bfloat16(device):
        return ["float32", "bfloat16"]
    skipped("bfloat16", f"{device} has no native product of it, which takes many times as long as float32's")
    return ["float32"]


@contextmanager
def peer(package: str) -> Iterator[None]:
    """A block that needs `package`; without it the benchmark ends, saying so."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        skipped("the peer", f"no package {package!r} (requirements-dev.txt)")
        sys.exit(0)


if __name__ == "__main__":
    show_figures(Path(sys.argv[1]))
