"""A stage killed at any point, or out of disk: nothing partial under a final name, then the same bytes.
And run twice: the same bytes, with the modes that the umask gives."""

import os
import random
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from winnow.stage import canonical

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
WORDS = [
    "river",
    "stone",
    "engine",
    "quiet",
    "market",
    "sugar",
    "theorem",
    "violin",
    "harbour",
    "protein",
    "window",
    "glacier",
]
ENCODER = {"pooling": "mean", "prefix": "", "precision": "float32",
           **yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]["minilm"],
           "max_tokens": 16}  # fmt: skip
CLUSTERING = {
    "encoder": "m",
    "method": "kmeans",
    "k": 5,
    "seed": 0,
    "points_per_centroid": 100,
    "iterations": 10,
    "restarts": 1,
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from winnow.train.tokens import train

    folder = tmp_path_factory.mktemp("inputs")
    generator = np.random.default_rng(0)
    rows = [" ".join(generator.choice(WORDS, 8)) for _ in range(4000)]
    (folder / "toy.jsonl").write_text("".join(f'{{"text": "{row}"}}\n' for row in rows))
    doc = pa.array(range(4000), pa.int64())
    size = pa.array([len(row) for row in rows], pa.int32())
    pq.write_table(pa.table({"doc": doc, "text": rows, "bytes": size}), folder / "d.parquet")
    pq.write_table(pa.table({"doc": doc[:200], "text": rows[:200]}), folder / "few.parquet")
    vectors = generator.standard_normal((4000, 64))
    np.save(folder / "e.npy", (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16))
    c = vectors[:5] / np.linalg.norm(vectors[:5], axis=1, keepdims=True)
    np.save(folder / "c.npy", c.astype(np.float32))
    pq.write_table(
        pa.table({"doc": pa.array([], pa.int64()), "role": pa.array([], pa.string())}), folder / "h.parquet"
    )
    train(documents=[folder / "d.parquet"], heldout=folder / "h.parquet", out=folder / "tokenizer.json",
          spec=canonical({"tokenizer": {"vocabulary": 300, "documents": 500, "seed": 0}}))  # fmt: skip
    for name in ("documents.shards index", "train.tokens pack", "sample.draw"):
        subprocess.run([sys.executable, "-m", *stage(name, folder, folder)], check=True, env=ENVIRONMENT)
    (folder / "manifest.json").write_text('{"ids": {"corpus": "toy", "data_seed": 0}}')
    return folder


DRAW = {"ids": {"corpus": "toy", "clustering": "none", "sampler": "random", "budget": "b", "data_seed": 0},
        "sampler": {"allocation": {"weight": "none"}}, "budget": {"train": 3000, "validation": 100}, "data_seed": 0}  # fmt: skip
TRAINING = {
    "model": {"kind": "language-model", "layers": 1, "width": 16, "heads": 2, "sequence": 16, "tokenizer": "t", "recipe": "r"},
    "recipe": {"steps": 3, "batch": 4, "micro_batch": 4, "learning_rate": 5e-3, "final_rate": 0.1, "warmup": 0.1,
               "betas": [0.9, 0.95], "epsilon": 1e-8, "weight_decay": 0.1, "clip": 1.0, "precision": "float32"},
    "training_seed": 0, "names": {"model": "m"}, "base": None,
}  # fmt: skip
CORPUS = {"source": {"files": ["toy.jsonl"]}, "text": "text", "label": None, "meta": [], "shards": 1}


def stage(name: str, i: Path, o: Path) -> list[str]:
    """The command line of a stage that reads folder `i` and writes folder `o`."""
    line = {
        "documents.shards index": ["--spec", canonical({"corpus": CORPUS}), "--files", i / "toy.jsonl", "--out", o / "source.json"],
        "documents.shards write": ["--spec", canonical({"corpus": CORPUS}), "--source", i / "source.json", "--shard", "0", "--shards", "1",
                            "--out", o / "documents.parquet"],
        "embed.encode": ["--documents", i / "few.parquet", "--spec", canonical({"encoder": ENCODER}), "--out", o / "e.npy"],
        "cluster.kmeans fit": ["--documents", i / "d.parquet", "--embeddings", i / "e.npy", "--heldout", i / "h.parquet",
                        "--spec", canonical({"clustering": CLUSTERING}), "--out", o / "c.npy"],
        "cluster.kmeans assign": ["--documents", i / "d.parquet", "--embeddings", i / "e.npy", "--centroids", i / "c.npy",
                           "--out", o / "a.parquet"],
        "sample.draw": ["--documents", i / "d.parquet", "--heldout", i / "h.parquet", "--out", o / "draw.parquet",
                   "--facts", o / "draw.json", "--spec", canonical({**DRAW, "semdedup": None, "selection":
                   {"proxies": [], "probe": None, "targets": []}})],
        "sample.subset": ["--draw", i / "draw.parquet", "--source", i / "source.json", "--facts", i / "draw.json", "--documents", i / "d.parquet", "--out-dir", o,
                   "--spec", canonical({**DRAW, "corpus": CORPUS})],
        "train.loop": ["--subset", i / "manifest.json", "--tokens", i / "t.npy", "--tokens-meta", i / "t.json", "--tokenizer",
                  i / "tokenizer.json", "--tokenizer-config", i / "tokenizer_config.json", "--threads", "1", "--out", o / "manifest.json", "--spec", canonical(TRAINING)],
        "train.tokens pack": ["--split", i / "d.parquet", "--tokenizer", i / "tokenizer.json", "--tokenizer-config", i / "tokenizer_config.json", "--out", o / "t.npy",
                        "--meta", o / "t.json"],
    }[name]  # fmt: skip
    module, *command = name.split()
    return [f"winnow.{module}", *command, *map(str, line)]


STAGES = [
    "documents.shards write",
    "embed.encode",
    "cluster.kmeans fit",
    "cluster.kmeans assign",
    "train.tokens pack",
    "sample.draw",
    "sample.subset",
    "train.loop",
]
HEAVY = (
    "embed.encode",
    "cluster.kmeans fit",
    "cluster.kmeans assign",
    "train.loop",
)  # several starts of torch each
# Runs a stage and kills it just before, or just after, its n-th file gets its final name.
KILLER = """
import os, runpy, sys
from pathlib import Path
n, after, sys.argv = int(sys.argv[1]), sys.argv[2] == "after", sys.argv[3:]
move, done = Path.replace, []
def replace(path, target):
    if Path(target).parent.name.startswith("."):  # inside a folder under a temporary name
        return move(path, target)
    done.append(target)
    if len(done) == n and not after:
        os.kill(os.getpid(), 9)
    move(path, target)
    if len(done) == n:
        os.kill(os.getpid(), 9)
Path.replace = replace
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def finals(folder: Path) -> dict[str, bytes]:
    return {p.name: strip_timings(p) for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")}


def strip_timings(path: Path) -> bytes:
    return b"" if path.name == "timings.json" else path.read_bytes()


def run_whole(name: str, inputs: Path, out: Path) -> dict[str, bytes]:
    out.mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", *stage(name, inputs, out)], check=True, env=ENVIRONMENT, capture_output=True
    )
    return finals(out)


def cases(marked: tuple[str, ...]) -> list:
    return [pytest.param(name, marks=pytest.mark.slow) if name in marked else name for name in STAGES]


@pytest.mark.parametrize(
    "name", cases((*HEAVY, "sample.subset", "documents.shards write", "train.tokens pack"))
)
def test_a_stage_killed_around_any_rename_leaves_whole_files_and_runs_again_to_the_same_bytes(
    name: str, inputs: Path, tmp_path: Path
) -> None:
    expected = run_whole(name, inputs, tmp_path / "whole")
    out = tmp_path / "out"
    out.mkdir()
    for n in range(1, len(expected) + 1):
        for when in ("before", "after"):
            killed = subprocess.run(
                [sys.executable, "-c", KILLER, str(n), when, *stage(name, inputs, out)],
                env=ENVIRONMENT,
                capture_output=True,
            )
            assert killed.returncode == -9, killed.stderr
            left = finals(out)
            assert len(left) == n - (when == "before")
            assert left.items() <= expected.items()
            for path in out.iterdir():
                if not path.name.startswith(".") and path.is_file():
                    path.unlink()  # as Snakemake does with the outputs of a failed job
    assert run_whole(name, inputs, out) == expected
    assert sorted(p.name for p in out.iterdir() if p.name != "tensorboard") == sorted(expected)


@pytest.mark.parametrize("name", cases((*HEAVY, "train.tokens pack", "sample.subset", "sample.draw")))
def test_a_stage_killed_at_any_time_leaves_whole_files_and_runs_again_to_the_same_bytes(
    name: str, inputs: Path, tmp_path: Path
) -> None:
    began = time.monotonic()
    expected = run_whole(name, inputs, tmp_path / "whole")
    took = time.monotonic() - began
    out = tmp_path / "out"
    out.mkdir()
    chance = random.Random(name)
    for share in (chance.uniform(0.3, 0.6), chance.uniform(0.6, 0.8), chance.uniform(0.8, 1.0)):
        process = subprocess.Popen(
            [sys.executable, "-m", *stage(name, inputs, out)], env=ENVIRONMENT, stderr=subprocess.DEVNULL
        )
        time.sleep(share * took)
        process.kill()
        process.wait()
        for file, data in finals(out).items():
            assert data == expected[file]
    assert run_whole(name, inputs, out) == expected


@pytest.mark.parametrize("name", cases(HEAVY))
def test_a_stage_run_twice_writes_the_same_bytes_and_files_of_the_modes_of_the_umask(
    name: str, inputs: Path, tmp_path: Path
) -> None:
    written = []
    for umask in (0o027, 0o002):
        out = tmp_path / f"{umask:o}"
        line = [sys.executable, "-m", *stage(name, inputs, out)]
        subprocess.run(line, check=True, env=ENVIRONMENT, capture_output=True, umask=umask)
        written.append(finals(out))
        for path in (out, *out.rglob("*")):
            wanted = (0o777 if path.is_dir() else 0o666) & ~umask
            assert path.stat().st_mode & 0o777 == wanted, path
    assert written[0] == written[1]


@pytest.fixture
def full_disk(tmp_path: Path):
    """A file system of 24 KiB. Needs the right to mount; skips elsewhere."""
    folder = tmp_path / "full"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", folder], capture_output=True
        ).returncode
    ):
        pytest.skip("cannot mount a tmpfs here: not root, or no such right")
    yield folder
    subprocess.run(["umount", folder], check=True)


def error_of(name: str, inputs: Path, folder: Path) -> str:
    """The last line of a stage that fails in `folder`, without a traceback."""
    command = [sys.executable, "-m", *stage(name, inputs, folder)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "name",
    [
        "documents.shards write",
        "cluster.kmeans assign",
        "train.tokens pack",
        "sample.subset",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("embed.encode", "train.loop")),
    ],
)
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(name: str, inputs: Path, full_disk: Path) -> None:
    assert error_of(name, inputs, full_disk).startswith("error: no space left on the disk while writing")
    assert [path.name for path in full_disk.iterdir() if path.name != "tensorboard"] == []


@pytest.mark.parametrize("name", ["documents.shards write", "sample.draw"])
def test_a_disk_that_became_read_only_is_told_in_one_line(name: str, inputs: Path, full_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", full_disk], check=True)
    line = error_of(name, inputs, full_disk)
    assert re.fullmatch(rf"error: {full_disk}/\S+: read-only file system; mend .*", line)


@pytest.mark.parametrize(
    "name", ["documents.shards write", "train.tokens pack", "sample.draw", "sample.subset"]
)
def test_a_limit_on_file_size_is_told_like_a_full_disk(name: str, inputs: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = subprocess.run([sys.executable, "-m", *stage(name, inputs, tmp_path)], env=ENVIRONMENT,
                          capture_output=True, text=True, preexec_fn=limit)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
