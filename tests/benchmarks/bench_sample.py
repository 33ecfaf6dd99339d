"""How long a draw takes at the size of the Pile, and a subset against a plain scan.

    .venv/bin/python tests/benchmarks/bench_sample.py --share 1 --folder /scratch

Draw: synthetic assignments (205 shards at full size) with the real cluster sizes of k=220, 1,010,500 documents
(times the share) drawn from 134,318,121; each sampler is a process of its own, timed from files to file.
Limits at share 1: 60 s and 4 GB. Subset: shards of synthetic text, one document in twenty drawn; the time
of the same columns read by pyarrow, over the time of the stage, is to be 0.6 or more.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from common import DATA, figure, options, processor, skipped

REFERENCE = DATA.parent / "reference"
SAMPLERS = {
    "random": {"allocation": {"weight": "none"}},
    "uniform": {"allocation": {"weight": "equal"}},
    "density": {"allocation": {"weight": "density", "omega": 0.5}},
    "nearest": {"allocation": {"weight": "size"}, "ranking": {"by": "nearest"}},
    "weighted": {
        "allocation": {"weight": "size"},
        "ranking": {"by": "weighted", "scorer": "any", "column": "distance", "scale": "linear"},
    },
}


def cluster_table() -> pa.Table:
    """cluster, documents, mean_distance, diversity, excluded: of the Pile's clusters, or made up."""
    path = REFERENCE / "pile_clusters_k220.csv"
    if path.is_file():
        return pa.csv.read_csv(path)
    skipped("cluster sizes of the Pile", f"no {path} (WINNOW_DATA); a stand-in is made up")
    generator = np.random.default_rng(0)
    weight = generator.lognormal(0, 1, 220)
    columns = {"cluster": np.arange(220), "documents": (134_318_121 * weight / weight.sum()).astype(np.int64),
               "mean_distance": generator.uniform(0.1, 0.3, 220), "diversity": generator.uniform(0.1, 0.3, 220),
               "excluded": np.arange(220) % 6 == 0}  # fmt: skip
    return pa.table(columns)


def make(folder: Path, share: float) -> tuple[list[Path], Path, Path, int]:
    """Assignment shards, cluster table and held-out documents under `folder`; and the budget."""
    table = cluster_table()
    size = np.maximum((table["documents"].to_numpy() * share).astype(np.int64), 1)
    total, shards = int(size.sum()), max(1, round(205 * share))
    generator = np.random.default_rng(0)
    held = np.sort(generator.choice(total, max(1, int(100_000 * share)), replace=False))
    chance = np.cumsum(size / total)
    pool = np.zeros(len(size), dtype=np.int64)
    blocks = -(-total // 4096)
    paths = []
    for s in range(shards):
        start, end = s * blocks // shards * 4096, min((s + 1) * blocks // shards * 4096, total)
        doc = np.arange(start, end)
        cluster = np.minimum(np.searchsorted(chance, generator.random(len(doc))), len(size) - 1).astype(
            np.int32
        )
        pool += np.bincount(cluster[~np.isin(doc, held)], minlength=len(size))
        distance = generator.random(len(doc), dtype=np.float32)
        paths.append(folder / f"assignments-{s:04d}.parquet")
        columns = {"doc": doc, "cluster": cluster, "distance": distance}
        pq.write_table(pa.table(columns), paths[-1], compression="zstd")
    columns = {name: table[name] for name in ("cluster", "mean_distance", "diversity")}
    columns |= {"documents": pool, "excluded": table["excluded"].cast(pa.bool_())}
    pq.write_table(pa.table(columns), folder / "clusters.parquet")
    pq.write_table(pa.table({"doc": held, "role": ["heldout"] * len(held)}), folder / "heldout.parquet")
    return paths, folder / "clusters.parquet", folder / "heldout.parquet", round(1_010_500 * share)


def timed(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak GB of a process."""
    start = time.monotonic()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, arguments
    return time.monotonic() - start, usage.ru_maxrss / 2**20


def bench_draw(folder: Path, share: float) -> None:
    paths, clusters, heldout, budget = make(folder, share)
    rows = sum(pq.read_metadata(p).num_rows for p in paths)
    print(f"{rows:,} documents in {len(paths)} shards, budget {budget:,}")
    for name, sampler in SAMPLERS.items():
        spec = {"ids": {}, "sampler": sampler, "budget": {"train": budget}, "data_seed": 0, "semdedup": None,
                "selection": {"proxies": [], "probe": None, "targets": []}}  # fmt: skip
        names = list(map(str, paths))
        seconds, memory = timed(
            [sys.executable, "-m", "winnow.sample.draw", "--documents", *names, "--assignments", *names,
             "--clusters", str(clusters), "--heldout", str(heldout), "--spec", json.dumps(spec),
             "--scores", *names, "--out", str(folder / f"{name}.parquet"),
             "--facts", str(folder / "draw.json")]
        )  # fmt: skip
        print(
            f"  draw {name:8s} {seconds:6.1f} s  {memory:5.2f} GB  {rows / seconds / 1e6:5.1f} M documents/s"
        )
        figure(f"draw {name} of {rows:,} documents", "s", seconds, None, "at most 60")
        figure(f"draw {name} of {rows:,} documents, peak memory", "GB", memory, None, "at most 4")


def bench_subset(folder: Path, documents: int) -> None:
    generator = np.random.default_rng(1)
    words = np.array([f"{w:x}" for w in generator.integers(0, 1 << 24, 20_000)])
    paths = []
    for s in range(4):
        doc = np.arange(s * documents // 4, (s + 1) * documents // 4)
        text = [
            " ".join(words[generator.integers(0, len(words), n)])
            for n in generator.integers(50, 800, len(doc))
        ]
        size = [len(t) for t in text]
        columns = {"doc": doc, "text": text, "bytes": pa.array(size, pa.int32()), "domain": ["a"] * len(doc)}
        paths.append(folder / f"documents-{s}.parquet")
        pq.write_table(pa.table(columns), paths[-1], compression="zstd", row_group_size=8192)
    drawn = np.sort(generator.choice(documents, documents // 20, replace=False))
    draw = {"doc": drawn, "cluster": pa.nulls(len(drawn), pa.int32()), "split": ["train"] * len(drawn),
            "probability": np.full(len(drawn), 0.05)}  # fmt: skip
    pq.write_table(pa.table(draw), folder / "draw.parquet")
    from winnow.sample.subset import read_draw, subset

    scans, stages = [], []
    for turn in range(3):
        start = time.monotonic()
        for path in paths:
            for _ in ds.dataset(path).scanner(columns=["doc", "text", "bytes", "domain"]).to_batches():
                pass
        scan = time.monotonic() - start
        start = time.monotonic()
        subset(read_draw(folder / "draw.parquet"), paths, folder / "subset")
        stage = time.monotonic() - start
        print(f"  subset {turn}: scan {scan:.2f} s, stage {stage:.2f} s, ratio {scan / stage:.2f}")
        scans.append(scan)
        stages.append(stage)
    figure(f"write a subset of {documents:,} documents, beside a plain scan", "s", min(stages), min(scans))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument(
        "--share", type=float, nargs="+", default=[0.01, 0.1], help="of the Pile; 1 takes 2 GB of disk"
    )
    parser.add_argument("--documents", type=int, default=200_000, help="of the subset's corpus")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where to work; a temporary folder if absent"
    )
    arguments = parser.parse_args()
    print(processor(), flush=True)
    for share in arguments.share:
        folder = Path(tempfile.mkdtemp(dir=arguments.folder))
        try:
            need = 3e9 * share
            if shutil.disk_usage(folder).free < need:
                sys.exit(f"{folder}: {need / 1e9:.1f} GB of disk are wanted")
            bench_draw(folder, share)
        finally:
            shutil.rmtree(folder)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        bench_subset(Path(name), arguments.documents)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this script {peak:.2f} GB")


if __name__ == "__main__":
    main()
