"""The work of the jobs that read a corpus: documents, vectors, clusters, scores, draws, subsets.

Coefficients in seconds and bytes were measured on the machine of the default figures (winnow.work.machine): on the demo, the
run on real text, the studies, and tests/benchmarks. Memory follows the contract of each stage (its docstring): a block, a
shard, O(budget + clusters), or O(documents) where a stage keeps numbers of all of them; mapped files count as memory,
because SLURM counts them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from winnow.experiments import proxies_of
from winnow.sample.sampler import needs
from winnow.work import networks
from winnow.work.job import CHARACTERS, ENCODER, LOGITS, MB, PIECES, PYTHON, TABLES, TORCH, Job, host_mb
from winnow.work.networks import Network
from winnow.work.requests import COMPRESSED, Work
from winnow.work.sizes import shard_documents, subset_documents, tokens_of

# ---------------------------------------------------------------- documents


def generate_corpus(job: Job) -> Work:
    seconds = 4e-7 * job.text + (
        0.5 if "packages" in job.config["corpora"][job.ids["corpus"]]["source"]["generator"] else 0
    )
    return Work(
        serial=seconds, written=job.text, disk=COMPRESSED * job.text, memory_mb=TABLES + 4 * job.text / MB
    )


def download(job: Job) -> Work:
    text = (
        COMPRESSED * job.text if "corpus" in job.ids else 0.5e9 if job.rule == "download_benchmark" else 1e9
    )
    return Work("shell", download=text, disk=text, serial=text / 500e6, memory_mb=PYTHON + 300)


def index_source(job: Job) -> Work:
    pieces = min(PIECES, 8 * job.text / MB)
    source = job.config["corpora"][job.ids["corpus"]]["source"]
    parquet = all(str(file).endswith(".parquet") for file in source.get("files", [".parquet"]))
    return Work(spread=(1e-10 if parquet else 8e-9) * job.text, memory_mb=TABLES + 0.5 * pieces, threads=2)


def write_documents(job: Job) -> Work:
    pieces = min(PIECES, 8 * job.text / MB)
    return Work(
        spread=1.6e-8 * job.text, written=job.text, disk=COMPRESSED * job.text + 20 * job.documents,
        memory_mb=TABLES + pieces, threads=2,
    )  # fmt: skip


def hold_out(job: Job) -> Work:
    duplicates = job.config["corpora"][job.ids["corpus"]]["deduplicate"]
    parts = max(1, job.documents >> 24) if duplicates else 2
    memory = min(job.documents, 1 << 24) * 90 + (job.documents * 8 if duplicates else 0)
    return Work(
        serial=job.documents * 4e-8 * (2 + parts), memory_mb=TABLES + memory / MB, disk=job.documents * 0.5
    )


# ---------------------------------------------------------------- vectors and clusters


def _encode(job: Job, encoder: Mapping[str, Any], documents: float, gpus: int) -> Work:
    network = networks.encoder(encoder["dimension"])
    tokens = job.read_tokens(encoder["max_tokens"])
    tokenised = min(tokens_of(job.size.bytes), CHARACTERS * encoder["max_tokens"] / 4)
    memory = ENCODER + 8 * network.parameters / MB + job.block_mb + job.tokenised_mb(encoder["max_tokens"])
    return Work(
        "encoder", {"embed": documents * tokens * network.forward(tokens)}, spread=4e-7 * documents * tokenised,
        memory_mb=host_mb(gpus, memory), disk=2.0 * documents * encoder["dimension"], threads=8, gpus=gpus,
    )  # fmt: skip


def embed_documents(job: Job) -> Work:
    return _encode(job, job.config["encoders"][job.ids["encoder"]], job.documents, job.gpus)


def embed_benchmark(job: Job) -> Work:
    encoder = job.config["encoders"][job.ids["encoder"]]
    items = job.benchmark(job.ids["benchmark"])
    network = networks.encoder(encoder["dimension"])
    tokens = min(items.tokens, encoder["max_tokens"])
    flops = items.items * tokens * network.forward(tokens)
    return Work("encoder", {"embed": flops}, memory_mb=ENCODER + 8 * network.parameters / MB, threads=2)


def _sampled(job: Job, points: float) -> float:
    """MB of choosing `points` documents by their keys, of the documents of a shard and those outside the pool; of their vectors
    as float16, twice, and float32; and of the pages of a shard of vectors that they lie in."""
    shard = shard_documents(job.size.documents, job.shards, None)
    duplicates = (
        24 * 0.3 * job.size.documents if job.config["corpora"][job.ids["corpus"]]["deduplicate"] else 0
    )
    pages = min(points * 8192, 2 * job.dimension * shard)
    return (16 * shard + duplicates + points * (job.dimension * 10 + 100) + pages) / MB


def reduce_vectors(job: Job) -> Work:
    reduction = job.config["reductions"][job.ids["reduction"]]
    points = min(job.size.documents, reduction["sample"])
    wide = job.config["encoders"][job.ids["encoder"]]["dimension"]
    umap = reduction["method"] == "umap"
    seconds = 40 + 5e-3 * job.documents if umap else 2e-5 * job.documents
    mapped = min(2 * job.documents * wide, 32e9) + job.documents * (60 + 4 * reduction["dimensions"])
    memory = (mapped + points * wide * (24 if umap else 12) + points * 4000 * umap) / MB
    work = dict(memory_mb=TORCH + memory, disk=job.documents * (8.0 + 2 * reduction["dimensions"]))
    return (
        Work("encoder", serial=seconds, **work) if umap else Work("torch", spread=seconds, threads=8, **work)
    )


def fit_clusters(job: Job) -> Work:
    k, d = job.clusters, job.dimension
    points = min(job.size.documents, k * job.clustering["points_per_centroid"])
    start = 32 * k
    iterations = min(15, job.clustering["iterations"])
    lloyd = 2.0 * points * k * d * iterations * 1.4
    plus = 2.0 * min(start, points) * d * k * (2 + math.log(k)) * job.clustering["restarts"]
    return Work(
        "torch", {"product": lloyd + plus}, serial=1e-7 * job.size.documents, spread=2e-9 * points * d * iterations,
        memory_mb=TORCH + _sampled(job, points), disk=4.0 * k * d, threads=8,
    )  # fmt: skip


def assign_clusters(job: Job) -> Work:
    n, k, d = job.documents, job.clusters, job.dimension
    threads = 4
    block = 8192 * (8 * d + 16 * k) * threads
    return Work(
        "torch", {"product": 2.0 * n * k * d}, spread=n * (1e-9 * d + 1.5e-9 * k) + 2e-7 * n,
        memory_mb=TORCH + (2 * n * d + 60 * n + min(block, n * (8 * d + 16 * k))) / MB, disk=8.0 * n, threads=threads,
    )  # fmt: skip


def fit_hdbscan(job: Job) -> Work:
    settings = job.clustering["hdbscan"]
    points = min(job.size.documents, settings["sample"])
    d = min(job.dimension, settings["dimensions"] or job.dimension)
    neighbours = min(points, settings["min_samples"] or settings["min_cluster_size"])
    memory = (
        _sampled(job, points)
        + points * (16 * job.dimension + 24 * neighbours) / MB
        + min(800, points**2 * 16 / MB)
    )
    return Work(
        "torch", {"product": 6.0 * points**2 * d}, serial=3e-8 * points**2 * math.sqrt(d) + 1e-7 * job.size.documents,
        memory_mb=TORCH + memory, disk=points * 4.0 * d, threads=8,
    )  # fmt: skip


def assign_hdbscan(job: Job) -> Work:
    n = job.documents
    settings = job.clustering["hdbscan"]
    points = min(job.size.documents, settings["sample"])
    d = min(job.dimension, settings["dimensions"] or job.dimension)
    memory = 2 * n * job.dimension + 60 * n + points * 16 * d + min(8e8, 12.0 * n * points)
    return Work(
        "torch", {"product": 2.0 * n * points * d}, spread=4e-9 * n * points + 1e-6 * n,
        memory_mb=TORCH + memory / MB, disk=8.0 * n, threads=4,
    )  # fmt: skip


def summarise_clusters(job: Job) -> Work:
    shard = shard_documents(job.size.documents, job.shards, None)
    return Work(serial=6e-8 * job.size.documents, memory_mb=TABLES + (60 * shard + 16 * job.clusters**2) / MB)


def inspect_clusters(job: Job) -> Work:
    candidates = max(1 << 20, 200 * job.clusters)
    return Work(
        serial=3e-7 * job.size.documents + 2e-3 * job.clusters, read=job.size.text,
        memory_mb=TABLES + min(PIECES, 8 * job.size.text / MB) + min(candidates, job.size.documents) * 120 / MB,
    )  # fmt: skip


def sweep_clusters(job: Job) -> Work:
    sweep = job.config["sweep"]
    runs = len(sweep["k"]) * len(sweep["seeds"])
    points = min(job.size.documents, sweep["sample"])
    pairs = float(min(job.size.documents, sweep["silhouette_sample"])) ** 2
    return Work(
        "torch", spread=runs * (5e-5 * points + 4e-8 * pairs), serial=2.0 + 1e-7 * job.size.documents,
        memory_mb=TORCH + 300 + _sampled(job, points) + min(pairs * 8, 2e9) / MB + points * job.dimension * 8 / MB, threads=8,
    )  # fmt: skip


# ---------------------------------------------------------------- scores


def _proxies(job: Job) -> list[tuple[Network, float]]:
    """Networks of the models of the job's scorer, and tokens of a document that each reads."""
    scorer = job.config["scorers"][job.ids["scorer"]]
    limit = scorer.get("characters", 10**9) / 4
    out = []
    for proxy in proxies_of(scorer).values():
        if "hub" in proxy:
            out.append((networks.published(proxy["hub"]), job.read_tokens(min(limit, 2048))))
        else:
            most = networks.max_tokens(job.config, proxy["model"])
            classifier = job.config["models"][proxy["model"]]["kind"] == "classifier"
            out.append(
                (
                    networks.model(job.config, proxy["model"]),
                    job.read_tokens(min(limit, most) if classifier else limit),
                )
            )
    return out


def _score(job: Job, documents: float) -> Work:
    scorer = job.config["scorers"][job.ids["scorer"]]
    models = _proxies(job)
    if not models:  # n-grams
        return Work(
            "torch",
            serial=4e-7 * job.text,
            read=job.text,
            memory_mb=TORCH + job.block_mb + 200,
            disk=12.0 * documents,
            threads=1,
        )
    flops = sum(documents * tokens * network.forward(tokens) for network, tokens in models)
    weights = sum(8 * network.parameters for network, _ in models) / MB
    tokenised = min(tokens_of(job.size.bytes), scorer.get("characters", 20_000) / 4)
    memory = (
        ENCODER + weights + job.block_mb + job.tokenised_mb(scorer.get("characters", 20_000) / CHARACTERS)
    )
    largest = max(network.weights / max(1, network.width) for network, _ in models)
    memory += 0 if job.gpus else 8 * min(1.0, 1024 * largest / 2**25) * LOGITS
    return Work(
        "encoder", {"evaluate": flops}, spread=4e-7 * documents * tokenised, memory_mb=host_mb(job.gpus, memory),
        disk=24.0 * documents, threads=8, gpus=job.gpus,
    )  # fmt: skip


def score_documents(job: Job) -> Work:
    return _score(job, job.documents)


def _probe_documents(job: Job) -> float:
    return float(min(job.size.documents, job.config["scorers"][job.ids["scorer"]]["probe"] * job.clusters))


def score_probe(job: Job) -> Work:
    return _score(job, min(job.documents, _probe_documents(job) / job.shards))


def fit_ratios(job: Job) -> Work:
    target = job.config["scorers"][job.ids["scorer"]]["target"]["corpus"]
    text = job.size.text + (job.sizes.corpus(target).text if target and target != job.ids["corpus"] else 0)
    return Work(serial=4e-7 * text, read=text, memory_mb=TABLES + 600 + job.block_mb)


def score_vectors(job: Job) -> Work:
    n, d = job.documents, job.dimension
    return Work(serial=n * d * 4e-9 + 3e-7 * n, memory_mb=TABLES + (2 * n * d + 100 * n) / MB, disk=10.0 * n)


def find_near_duplicates(job: Job) -> Work:
    n, d = float(job.size.documents), job.dimension
    largest = min(n, 4 * n / job.clusters)
    return Work(
        "torch", {"product": n * largest * d / 1.6}, spread=1e-6 * n,
        memory_mb=host_mb(job.gpus, TORCH + (120 * n + largest * d * 12 + min(2.0 * n * d, 16e9)) / MB), disk=16 * n,
        threads=8, gpus=job.gpus,
    )  # fmt: skip


def sweep_near_duplicates(job: Job) -> Work:
    return Work(serial=1e-7 * job.size.documents, memory_mb=TABLES + 24 * job.size.documents / MB)


def choose_probe(job: Job) -> Work:
    chosen = max(1 << 20, _probe_documents(job))
    return Work(
        serial=1e-7 * job.size.documents, memory_mb=TABLES + min(chosen, job.size.documents) * 120 / MB
    )


def mean_losses(job: Job) -> Work:
    return Work(memory_mb=TABLES + _probe_documents(job) * 100 / MB)


# ---------------------------------------------------------------- draws and subsets


def draw_mb(job: Job) -> float:
    """MB of a draw: candidates of each cluster, held-out and used documents, and columns that are looked up: of a shard, but
    those of semdedup, which are one file."""
    facts = needs(job.config["samplers"][job.ids["sampler"]])
    ranking = job.config["samplers"][job.ids["sampler"]].get("ranking") or {}
    n = job.size.documents
    shard = shard_documents(n, job.shards, None)
    kept = job.subset * (ranking.get("oversample") or 1.0) * (2 if facts.draws == "buckets" else 1)
    memory = 240.0 * min(n, max(1 << 20, 2 * kept)) + 80 * shard
    if job.config["corpora"][job.ids["corpus"]]["deduplicate"]:
        memory += 24.0 * 0.3 * n
    if facts.near:
        memory += 48.0 * n
    if facts.draws == "quantiles" or facts.predictions:
        memory += 100.0 * n
    if facts.draws == "badge":
        memory += 4096.0 * min(n, 100_000)
    if facts.embeddings:
        memory += job.subset * 8192
    return memory / MB


def _draw_seconds(job: Job) -> float:
    facts = needs(job.config["samplers"][job.ids["sampler"]])
    columns = 1 + bool(facts.scores or facts.distances) + bool(facts.near) + bool(facts.contaminated)
    return (
        1e-7 * job.size.documents * columns
        + 1e-6 * job.subset
        + (2e-3 * job.subset if facts.draws == "badge" else 0)
    )


def draw_sample(job: Job) -> Work:
    return Work(serial=_draw_seconds(job), memory_mb=TABLES + draw_mb(job), disk=30 * job.subset)


def write_subset(job: Job) -> Work:
    text = job.subset * job.size.bytes
    labelled = job.config["corpora"][job.ids["corpus"]]["label"] is not None
    return Work(
        read=job.size.text, written=text, serial=1e-7 * job.size.documents + 0.3 * labelled, disk=COMPRESSED * text,
        memory_mb=TABLES + min(PIECES, 6 * job.size.text / MB) + 60 * job.subset / MB, threads=2,
    )  # fmt: skip


def compare_samplers(job: Job) -> Work:
    draws = [one for one in job.config["experiments"] if one["corpus"] == job.ids["corpus"]]
    seeds = sum(len(one["samplers"]) * len(one["data_seeds"]) for one in draws)
    size = max((subset_documents(job.config, one["budget"], job.size) for one in draws), default=0.0)
    drawn = min(seeds * size, job.size.documents)
    return Work(
        serial=1.5e-6 * job.size.documents + 4e-7 * seeds * size + 2e-3 * seeds,
        memory_mb=TABLES + (drawn * 80 + seeds * size * 30 + 20 * 160 * size) / MB,
    )  # fmt: skip
