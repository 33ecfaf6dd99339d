"""134,318,121 documents through the stages' own commands, from files: fit, assignments, scores, draws; time and memory of each.

    nice .venv/bin/python tests/benchmarks/bench_pile_size.py --share 1 --folder /scratch/pile

At share 1 it takes about two hours on two cores and 12 GB of disk; at the default, a hundredth, two minutes. `make bench`
leaves it out. What is real: the number of documents and shards, the sizes of the clusters of k = 220 (and which of them are excluded),
the samplers and budgets of config/minipile.yaml, and every command that is timed. What is made up: the vectors (of
`--dimensions` numbers: a direction a cluster, and noise that leaves the documents at the mean distance of the real cluster),
k = 440 (each cluster
cut in two), and the proxy's losses. A shard of vectors is written, read by the commands, and deleted: all
of them would take 103 GB at 384 dimensions. Only fitting needs all at once: there, names of shards are links to one file.
Documents are files without texts, which none of these stages reads.

With `--folder` an interrupted run goes on where it was: what was measured is in measured.jsonl there.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_sample import cluster_table
from common import ROOT, cores, figure, options, processor
from winnow.sample.sampler import needs

BLOCK = 4096
BANK = 256  # different vectors of a half of a cluster
HALVES = 0.3  # from the middle of a cluster to each of its halves, as a tangent
GB = 2**20  # of the kilobytes that the kernel counts


class Corpus:
    """Where the files of a corpus are, and which documents each shard has."""

    def __init__(self, folder: Path, share: float, dimensions: int, shards: int):
        self.folder, self.share, self.dimensions = folder, share, dimensions
        table = cluster_table()
        self.sizes = np.maximum((table["documents"].to_numpy() * share).astype(np.int64), 4)
        self.distance = table["mean_distance"].to_numpy()
        self.excluded = table["excluded"].to_numpy().astype(bool)
        self.loss = table["proxy_loss"].to_numpy() if "proxy_loss" in table.column_names else None
        self.documents = int(self.sizes.sum())
        shards, blocks = max(1, round(shards * share)), -(-self.documents // BLOCK)
        self.cuts = np.minimum(np.arange(shards + 1) * blocks // shards * BLOCK, self.documents)
        self.names = [f"{s:04d}" for s in range(shards)]

    def path(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def each(self, pattern: str) -> list[str]:
        return [str(self.path(pattern.format(name))) for name in self.names]


def prepare(corpus: Corpus) -> None:
    """Writes what the shards are made from: centroids of both clusterings, vectors of each half of a cluster, the half of each
    document, documents and held-out documents."""
    generator = np.random.default_rng(0)
    k, d = len(corpus.sizes), corpus.dimensions
    middle = generator.standard_normal((k, d))
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    across = generator.standard_normal((k, d))
    across -= (across * middle).sum(1, keepdims=True) * middle
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    halves = np.stack((middle + HALVES * across, middle - HALVES * across), axis=1) / np.hypot(1, HALVES)
    save(corpus.path("e5-k220/centroids.npy"), middle.astype(np.float32))
    save(corpus.path("e5-k440/centroids.npy"), halves.reshape(2 * k, d).astype(np.float32))
    bank = np.empty((2 * k, BANK, d), dtype=np.float16)
    for i in range(2 * k):
        m, a, half = middle[i // 2], across[i // 2], halves[i // 2, i % 2]
        noise = generator.standard_normal((BANK, d))
        noise -= np.outer(noise @ m, m) + np.outer(noise @ a, a)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        ratio = 1 / np.hypot(1, HALVES) / (1 - corpus.distance[i // 2])
        length = np.sqrt(max(ratio**2 - 1, 1e-3)) * generator.lognormal(0, 0.3, (BANK, 1))
        rows = half + length * noise
        bank[i] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    save(corpus.path("bank.npy"), bank.reshape(-1, d))
    first = np.clip((corpus.sizes * generator.uniform(0.2, 0.8, k)).astype(np.int64), 1, corpus.sizes - 1)
    half = np.repeat(
        np.arange(2 * k, dtype=np.int16), np.stack((first, corpus.sizes - first), axis=1).ravel()
    )
    generator.shuffle(half)
    save(corpus.path("half.npy"), half)
    for name, start, end in zip(corpus.names, corpus.cuts, corpus.cuts[1:], strict=False):
        write(corpus.path(f"documents/{name}.parquet"), {"doc": np.arange(start, end)})
    held = np.sort(generator.choice(corpus.documents, max(1, int(10_000 * corpus.share)), replace=False))
    write(corpus.path("heldout.parquet"), {"doc": held, "role": ["heldout"] * len(held)})


def save(path: Path, array: np.ndarray) -> None:
    np.save(path, array)


def write(path: Path, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), path, compression="zstd")


def write_vectors(folder: Path, start: int, end: int, out: Path) -> None:
    """Writes the vectors of the documents from `start` to `end`."""
    half = np.load(folder / "half.npy", mmap_mode="r")[start:end]
    bank = np.load(folder / "bank.npy", mmap_mode="r")
    which = np.random.default_rng(start).integers(0, BANK, end - start)
    np.save(out, bank[half.astype(np.int64) * BANK + which])


def write_losses(folder: Path, start: int, end: int, mean: np.ndarray, out: Path) -> None:
    """Writes made-up losses of the documents from `start` to `end` around the mean of their clusters."""
    half = np.load(folder / "half.npy", mmap_mode="r")[start:end]
    write(out, losses(np.arange(start, end), mean[half // 2]))


def losses(doc: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the scorer proxy-loss for documents int64 [n] around a mean loss float [n]."""
    generator = np.random.default_rng(int(doc[0]) if len(doc) else 0)
    tokens = generator.integers(20, 200, len(doc))
    score = np.round(mean * generator.lognormal(0, 0.2, len(doc)), 6)
    return {
        "doc": doc,
        "score": score,
        "log_probability": -score * tokens,
        "tokens": tokens,
        "bytes": 4 * tokens,
    }


class Measured:
    """Seconds, processor seconds and peak memory of commands, kept in a file; what is in it is not run again."""

    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text().splitlines() if path.is_file() else []
        self.rows = {(row["stage"], row["job"]): row for row in map(json.loads, lines)}

    def run(self, stage: str, job: str, module: str, *arguments: Any) -> None:
        if (stage, job) in self.rows:
            return
        start = time.monotonic()
        command = [sys.executable, "-m", f"winnow.{module}", *map(str, arguments)]
        with open(self.path.with_suffix(".log"), "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{stage} {job}: failed; see {self.path.with_suffix('.log')}")
        row = dict(stage=stage, job=job, seconds=time.monotonic() - start, memory=usage.ru_maxrss / GB,
                   cpu=usage.ru_utime + usage.ru_stime)  # fmt: skip
        self.rows[stage, job] = row
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")

    def lacks(self, *pairs: tuple[str, str]) -> bool:
        return any(pair not in self.rows for pair in pairs)

    def show(self, documents: int) -> None:
        print("| stage | jobs | seconds, all | longest | processor seconds | ns a document | peak GB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for stage in dict.fromkeys(stage for stage, _ in self.rows):
            rows = [row for (name, _), row in self.rows.items() if name == stage]
            seconds, cpu = sum(row["seconds"] for row in rows), sum(row["cpu"] for row in rows)
            peak, longest = max(row["memory"] for row in rows), max(row["seconds"] for row in rows)
            share = cpu / documents * 1e9 / (len(rows) if stage.startswith("draw") else 1)
            print(
                f"| {stage} | {len(rows)} | {seconds:.0f} | {longest:.1f} | {cpu:.0f} | {share:.0f} | {peak:.2f} |"
            )
            figure(f"{stage} of {documents:,} documents", "s", seconds)
            figure(f"{stage} of {documents:,} documents, peak memory", "GB", peak)


def bench_clusters(
    corpus: Corpus, config: dict[str, Any], measured: Measured, threads: int, lsh: bool
) -> None:
    """Fits (links to vectors of one shard), then assignments and buckets, shard by shard."""
    spawn = multiprocessing.get_context(
        "spawn"
    )  # a process of its own: a child begins with the memory of its parent
    with spawn.Pool(1) as pool:
        if measured.lacks(("fit_clusters", "e5-k220"), ("fit_clusters", "e5-k440")):
            same: dict[int, Path] = {}
            for name, start, end in zip(
                corpus.names, corpus.cuts.tolist(), corpus.cuts[1:].tolist(), strict=False
            ):
                path = corpus.path(f"links/{name}.npy")
                path.unlink(missing_ok=True)
                if end - start in same:
                    os.link(same[end - start], path)
                else:
                    pool.apply(write_vectors, (corpus.folder, start, end, path))
                    same[end - start] = path
            for k in ("e5-k220", "e5-k440"):
                measured.run("fit_clusters", k, "cluster.kmeans", "fit", "--documents", *corpus.each("documents/{}.parquet"),
                             "--embeddings", *corpus.each("links/{}.npy"), "--heldout", corpus.path("heldout.parquet"),
                             "--spec", json.dumps({"clustering": config["clusterings"][k]}), "--threads", threads,
                             "--out", corpus.path(f"{k}/fitted.npy"))  # fmt: skip
        shutil.rmtree(corpus.path("links"), ignore_errors=True)
        for name, start, end in zip(
            corpus.names, corpus.cuts.tolist(), corpus.cuts[1:].tolist(), strict=False
        ):
            stages = ["assign_clusters e5-k220", "assign_clusters e5-k440", *["score_vectors lsh"] * lsh]
            if not measured.lacks(*((stage, name) for stage in stages)):
                continue
            vectors = corpus.path("vectors.npy")
            pool.apply(write_vectors, (corpus.folder, start, end, vectors))
            for k in ("e5-k220", "e5-k440"):
                measured.run(f"assign_clusters {k}", name, "cluster.kmeans", "assign",
                             "--documents", corpus.path(f"documents/{name}.parquet"), "--embeddings", vectors,
                             "--centroids", corpus.path(f"{k}/centroids.npy"), "--threads", threads,
                             "--out", corpus.path(f"{k}/assignments/{name}.parquet"))  # fmt: skip
            if lsh:
                measured.run("score_vectors lsh", name, "score.documents", "vectors", "--embeddings", vectors,
                             "--assignments", corpus.path(f"e5-k220/assignments/{name}.parquet"),
                             "--centroids", corpus.path("e5-k220/centroids.npy"), "--heldout", corpus.path("heldout.parquet"),
                             "--spec", json.dumps({"scorer": config["scorers"]["lsh"]}),
                             "--out", corpus.path(f"lsh/{name}.parquet"))  # fmt: skip
            vectors.unlink()
            print(f"  {name} of {len(corpus.names)}", flush=True)
    for k in ("e5-k220", "e5-k440"):
        measured.run("summarise_clusters", k, "cluster.kmeans", "summarise",
                     "--assignments", *corpus.each(k + "/assignments/{}.parquet"),
                     "--centroids", corpus.path(f"{k}/centroids.npy"), "--heldout", corpus.path("heldout.parquet"),
                     "--out", corpus.path(f"{k}/summary.parquet"), "--fingerprint-out", corpus.path(f"{k}/fingerprint.json"))  # fmt: skip
        fingerprint = json.loads(corpus.path(f"{k}/fingerprint.json").read_text())["fingerprint"]
        out = np.repeat(corpus.excluded, 2 if k == "e5-k440" else 1)
        lines = [f"# clustering {fingerprint}", *(f"{i}\tas published" for i in np.flatnonzero(out))]
        corpus.path(f"{k}/exclusions.tsv").write_text("\n".join(lines) + "\n")
        measured.run("exclude_clusters", k, "cluster.exclude", "--clusters", corpus.path(f"{k}/summary.parquet"),
                     "--fingerprint", corpus.path(f"{k}/fingerprint.json"), "--exclusions", corpus.path(f"{k}/exclusions.tsv"),
                     "--template", corpus.path(f"{k}/template.tsv"), "--name", k, "--out", corpus.path(f"{k}/clusters.parquet"))  # fmt: skip
    counted = pq.read_table(corpus.path("e5-k220/summary.parquet"))["documents"].to_numpy()
    held = pq.read_metadata(corpus.path("heldout.parquet")).num_rows
    away = int(np.abs(counted - corpus.sizes).sum())
    print(f"e5-k220: {counted.sum():,} documents in the pool, {len(counted)} clusters; the sizes differ from the published ones by "
          f"{away:,} documents in all, of which {held:,} are held out", flush=True)  # fmt: skip


def samplers_of(config: dict[str, Any], lsh: bool) -> Iterator[tuple[str, str]]:
    """Clustering and sampler of each draw of the full budget; and lsh, if its buckets are scored here."""
    pairs = [
        (one["clustering"], sampler)
        for one in config["experiments"]
        if one["corpus"] == "pile"
        and one["budget"] == "minipile"
        and one["clustering"] in ("e5-k220", "e5-k440")
        for sampler in one["samplers"]
    ]
    yield from dict.fromkeys([*pairs, *[("e5-k220", "lsh")] * lsh])


def bench_draws(corpus: Corpus, config: dict[str, Any], measured: Measured, lsh: bool) -> None:
    """The draw that a proxy learns from, the probe of its losses, and every sampler's draw."""
    heldout, mean = corpus.path("heldout.parquet"), corpus.loss
    if mean is None:
        mean = np.random.default_rng(2).uniform(1, 3, len(corpus.sizes))
    scorer = json.dumps({"scorer": config["scorers"]["proxy-loss-70m"]})

    def draw(stage: str, k: str, name: str, *more: Any) -> Path:
        out = corpus.path(f"{k}/draws/{name}.parquet")
        budget = {
            split: max(1, round(count * corpus.share)) if isinstance(count, int) else count
            for split, count in config["budgets"]["minipile"].items()
        }
        spec = {"ids": {"sampler": name, "budget": "minipile"}, "sampler": config["samplers"][name], "budget": budget,
                "data_seed": 0, "semdedup": None,
                "selection": {"proxies": [], "probe": needs(config["samplers"][name]).losses, "targets": []}}  # fmt: skip
        measured.run(stage, name, "sample.draw", "--documents", *corpus.each("documents/{}.parquet"),
                     "--assignments", *corpus.each(k + "/assignments/{}.parquet"), "--clusters", corpus.path(f"{k}/clusters.parquet"),
                     "--heldout", heldout, "--spec", json.dumps(spec), *more, "--out", out,
                     "--facts", out.with_suffix(".json"))  # fmt: skip
        return out

    trained = draw("draw_sample proxy-train", "e5-k220", "proxy-train")
    probe, table = corpus.path("probe.parquet"), corpus.path("losses.parquet")
    measured.run("choose_probe", "e5-k220", "score.probes", "probe",
                 "--assignments", *corpus.each("e5-k220/assignments/{}.parquet"), "--heldout", heldout, "--trained", trained,
                 "--spec", scorer, "--out", probe)  # fmt: skip
    chosen = pq.read_table(probe)
    write(corpus.path("probed.parquet"), losses(chosen["doc"].to_numpy(), mean[chosen["cluster"].to_numpy()]))
    measured.run("mean_losses", "e5-k220", "score.probes", "losses", "--probe", probe, "--scores", corpus.path("probed.parquet"),
                 "--spec", scorer, "--out", table)  # fmt: skip
    for name, start, end in zip(corpus.names, corpus.cuts.tolist(), corpus.cuts[1:].tolist(), strict=False):
        if not (out := corpus.path(f"losses/{name}.parquet")).is_file():
            write_losses(corpus.folder, start, end, mean, out)
    for k, name in samplers_of(config, lsh):
        facts = needs(config["samplers"][name])
        more: list[Any] = []
        if facts.scores == "lsh":
            more += ["--scores", *corpus.each("lsh/{}.parquet")]
        elif facts.scores:
            more += ["--scores", *corpus.each("losses/{}.parquet"), "--trained", trained]
        if facts.losses:
            more += ["--losses", table]
        draw(f"draw_sample {k} {name}", k, name, *more)
        print(f"  draw {k} {name}", flush=True)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--share", type=float, default=0.01, help="of the Pile")
    parser.add_argument("--dimensions", type=int, default=384, help="of the vectors; e5-large has 1,024")
    parser.add_argument("--shards", type=int, default=256, help="of the whole Pile")
    parser.add_argument(
        "--lsh", action="store_true", help="score the buckets of the sampler lsh, too, and draw with it"
    )
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument(
        "--folder", type=Path, help="where to work and to leave the files; else a temporary folder"
    )
    asked = parser.parse_args()
    from winnow.config.checks import resolve
    from winnow.config.files import definition_files, read_files

    files = [*definition_files(ROOT), ROOT / "config/minipile.yaml"]
    config = resolve(read_files(files), files, local=False)
    folder = asked.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        need = 12e9 * asked.share + 2.2 * asked.dimensions * 134e6 / asked.shards
        if shutil.disk_usage(folder).free < need and not (folder / "measured.jsonl").exists():
            sys.exit(f"{folder}: {need / 1e9:.1f} GB of disk are required")
        corpus = Corpus(folder, asked.share, asked.dimensions, asked.shards)
        print(processor())
        print(f"{corpus.documents:,} documents in {len(corpus.names)} shards, {asked.dimensions} dimensions, "
              f"{asked.threads} threads", flush=True)  # fmt: skip
        if not (folder / "prepared").exists():
            spawn = multiprocessing.get_context("spawn")
            with spawn.Pool(1) as pool:
                pool.apply(prepare, (corpus,))
            (folder / "prepared").touch()
        measured = Measured(folder / "measured.jsonl")
        bench_clusters(corpus, config, measured, asked.threads, asked.lsh)
        bench_draws(corpus, config, measured, asked.lsh)
        measured.show(corpus.documents)
        print(
            f"disk {sum(p.stat().st_size for p in folder.rglob('*') if p.is_file()) / 1e9:.1f} GB; {processor()}"
        )
    finally:
        if asked.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
