"""An arm of linear probes: its draws, the probes trained on them and their evaluations, all data seeds in one light process.

In: documents with labels, the frozen vectors of the encoder, what the arm's sampler draws from, and the labelled benchmarks
with their vectors. Of a budget with rounds, each round after the first is drawn with the predictions of the probe of the
round before, if the sampler goes by them; its probe is trained on all documents so far. Out: one row a test item, seed and
round; the figures of each seed and round; which documents each round drew. No torch is imported.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.metrics import calibration_error, macro_f1
from winnow.parquet import listed_docs, open_array, read_table
from winnow.products import single
from winnow.rounds.probe import Probe, fit_probe
from winnow.sample.acquisition import confidence, entropy, margin, round_sample
from winnow.sample.consumed import consumed, total
from winnow.sample.draw import sample
from winnow.sample.pool import Inputs
from winnow.sample.sampler import Sampler, needs, parse_sampler
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, read_json, run, write_json

STAGE_VERSION = 2
MEASURES = {"entropy": entropy, "margin": margin, "confidence": confidence}
ITEMS = pa.schema([
    ("data_seed", pa.int64()), ("round", pa.int32()), ("benchmark", pa.string()), ("task", pa.string()),
    ("item", pa.int64()), ("group", pa.string()), ("metric", pa.string()), ("value", pa.float64()),
    ("weight", pa.float64()), ("label", pa.int32()), ("prediction", pa.int32()), ("confidence", pa.float32()),
])  # fmt: skip


@dataclass(frozen=True)
class Corpus:
    """Documents int64 [n], ascending; their labels int64 [n]; vectors float16 [n_i, d] of each shard; number of classes."""

    doc: np.ndarray
    label: np.ndarray
    vectors: list[np.ndarray]
    classes: int

    def rows(self, doc: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.doc, doc)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Vectors float32 [n, d] of rows int64 [n]."""
        out = np.empty((len(rows), self.vectors[0].shape[1]), dtype=np.float32)
        start = 0
        for part in self.vectors:
            inside = (rows >= start) & (rows < start + len(part))
            out[inside] = part[rows[inside] - start]
            start += len(part)
        return out

    def probabilities(self, probe: Probe) -> np.ndarray:
        """What a probe predicts of all documents, float64 [n, classes]."""
        return np.concatenate([probe.probabilities(single(part)) for part in self.vectors])


def open_corpus(documents: Sequence[Path], embeddings: Sequence[Path], classes: int) -> Corpus:
    """The labelled documents of shards with their vectors. Raises InputError if a shard has no labels or other vectors."""
    docs, labels, vectors = [], [], []
    for path, file in zip(documents, embeddings, strict=True):
        table = read_table(path, columns=["doc", "label"])
        part = open_array(file, mmap=True)
        if len(part) != len(table):
            raise InputError(f"{file}: {len(part)} vectors for the {len(table)} documents of {path}")
        docs.append(table["doc"].to_numpy())
        labels.append(table["label"].to_numpy().astype(np.int64))
        vectors.append(part)
    return Corpus(np.concatenate(docs), np.concatenate(labels), vectors, classes)


@dataclass(frozen=True)
class Benchmark:
    """Test items of a benchmark: ids int64 [m], groups, labels int64 [m], vectors float32 [m, d]."""

    name: str
    item: np.ndarray
    group: pa.Array
    label: np.ndarray
    vectors: np.ndarray


def open_benchmarks(
    folders: Sequence[Path], vectors: Sequence[Path], classes: Sequence[str]
) -> list[Benchmark]:
    """The labelled benchmarks with the vectors of their texts, in the order of names. Raises InputError for one of another
    kind or with other classes."""
    out = []
    for folder, file in zip(folders, vectors, strict=True):
        manifest = read_json(folder / "manifest.json")
        if manifest["kind"] != "labels":
            raise InputError(
                f"{folder}: a benchmark of kind {manifest['kind']!r}; a probe is evaluated on labels"
            )
        if manifest["classes"] != list(classes):
            raise InputError(
                f"{folder}: its classes are {', '.join(manifest['classes'])}, those of the corpus "
                f"{', '.join(classes)}; a benchmark and a model must be of one corpus"
            )
        data = read_table(folder / "data.parquet", columns=["item", "group", "label"])
        part = single(open_array(file))
        if len(part) != len(data):
            raise InputError(f"{file}: {len(part)} vectors for the {len(data)} items of {folder}")
        out.append(
            Benchmark(
                manifest["name"],
                data["item"].to_numpy(),
                data["group"].cast(pa.string()).combine_chunks(),
                data["label"].to_numpy(),
                part,
            )
        )
    return sorted(out, key=lambda one: one.name)


def draw_round(
    index: int,
    inputs: Inputs,
    samplers: tuple[Sampler, Sampler],
    budget: Mapping[str, Any],
    seed: int,
    semdedup: Mapping[str, Any] | None,
    corpus: Corpus,
    previous: pa.Table | None,
    probe: Probe | None,
) -> tuple[pa.Table, dict[str, Any]]:
    """The draw of round `index` (0 is the first) and the facts of its pool. `samplers`: of the first round, and of the others."""
    first, others = samplers
    size = dict(budget)
    rounds = size.pop("rounds", None)
    if index == 0:
        return sample(inputs, first, size, seed, semdedup)
    assert rounds is not None
    if not needs(others).predictions:
        size["train"] += index * rounds["add"]
        return sample(inputs, others, size, seed, semdedup)
    assert previous is not None
    assert probe is not None
    free = np.setdiff1d(
        corpus.doc, np.concatenate((previous["doc"].to_numpy(), listed_docs([inputs.heldout])))
    )
    looked_at = round_sample(free, rounds.get("pool"), seed, index)
    probabilities = corpus.probabilities(probe)
    value = MEASURES[needs(others).column or "entropy"](probabilities)
    return sample(
        inputs, others, {"train": rounds["add"]}, seed, semdedup, previous,
        lambda doc: value[corpus.rows(doc)],
        lambda doc: (probabilities[corpus.rows(doc)], corpus.take(corpus.rows(doc))), looked_at,
    )  # fmt: skip


def evaluate(probe: Probe, benchmark: Benchmark, seed: int, index: int) -> tuple[pa.Table, dict[str, float]]:
    """Rows of ITEMS of a probe on a benchmark, and its accuracy, macro-F1 and expected calibration error."""
    p = probe.probabilities(benchmark.vectors)
    guess, size = p.argmax(axis=1), len(benchmark.item)
    sure = p.max(axis=1)
    correct = guess == benchmark.label
    columns: dict[str, Any] = {
        "data_seed": np.full(size, seed), "round": np.full(size, index, dtype=np.int32),
        "benchmark": [benchmark.name] * size, "task": [benchmark.name] * size, "item": benchmark.item,
        "group": benchmark.group, "metric": ["acc"] * size, "value": correct.astype(float),
        "weight": np.ones(size), "label": benchmark.label.astype(np.int32), "prediction": guess.astype(np.int32),
        "confidence": sure.astype(np.float32),
    }  # fmt: skip
    figures = {
        "acc": float(correct.mean()),
        "f1": macro_f1(benchmark.label, guess)[0],
        "calibration_error": calibration_error(sure, correct),
    }
    return pa.table(columns, schema=ITEMS), figures


def uncertainty(corpus: Corpus, probe: Probe | None, doc: np.ndarray) -> dict[str, pa.Array]:
    """MEASURES of what a probe predicts of documents int64 [n], float32 [n]; null without one."""
    if probe is None:
        return {name: pa.nulls(len(doc), pa.float32()) for name in MEASURES}
    p = probe.probabilities(corpus.take(corpus.rows(doc)))
    return {name: pa.array(of(p).astype(np.float32)) for name, of in MEASURES.items()}


def train_split(table: pa.Table) -> np.ndarray:
    """Documents of the train split of a draw, int64, ascending."""
    return np.sort(table.filter(pc.equal(table["split"], "train"))["doc"].to_numpy())


def main(
    *,
    documents: list[Path],
    embeddings: list[Path],
    source: Path,
    benchmarks: list[Path],
    benchmark_vectors: list[Path],
    assignments: list[Path] = [],
    clusters: list[Path] = [],
    heldout: Path,
    scores: list[Path] = [],
    lengths: list[Path] = [],
    losses: list[Path] = [],
    used: list[Path] = [],
    trained: list[Path] = [],
    contaminated: list[Path] = [],
    near: list[Path] = [],
    clustering_vectors: list[Path] = [],
    proxies: list[Path] = [],
    proxy_subsets: list[Path] = [],
    ratios: list[Path] = [],
    measures: list[Path] = [],
    spec: str,
    items: Path,
    draws: Path,
    timings: Path,
    out: Path,
) -> None:
    """Draw, train and evaluate an arm of probes.

    Args:
        documents: Document shards (doc, label).
        embeddings: Vectors of the encoder of the same shards, in the same order (.npy).
        source: source.json of the corpus, which names its classes.
        benchmarks: Folders of labelled benchmarks.
        benchmark_vectors: Vectors of their items by the same encoder, in the same order (.npy).
        assignments: As those of winnow.sample.draw, like all that follow up to `ratios`.
        clusters: Cluster table.
        heldout: Documents outside the pool.
        scores: Scores that the sampler ranks by.
        lengths: Lengths of documents in tokens.
        losses: Mean losses of clusters.
        used: Earlier draws whose documents are left out.
        trained: Draws that a scorer's proxies were trained on.
        contaminated: Documents that hold a benchmark item.
        near: Scores of a scorer of kind semdedup.
        clustering_vectors: Vectors for the filter semdedup after the draw.
        proxies: manifest.json of the models that the selection's scorers use.
        proxy_subsets: manifest.json of their subsets.
        ratios: JSON of what the ratios of a target were counted on.
        measures: Measures of the profile that the filter where goes by.
        spec: JSON: ids, sampler, start (sampler of the first round, or null), budget, data_seeds, benchmarks (definitions by
            name), semdedup, selection.
        items: Parquet file to write: ITEMS.
        draws: Parquet file to write: data_seed, round, doc, cluster, probability of the train split; `round` is the one that
            drew the document, of samplers that draw anew each round the first that holds it; and of what the probe of the
            round before predicted of it entropy, margin and confidence, null in the first round.
        timings: JSON to write: seconds of draws (with the predictions that they go by), trainings and evaluations, and in all.
        out: results.json to write, last.
    """
    started = time.monotonic()
    settings = read_spec(
        spec, "ids", "sampler", "start", "budget", "data_seeds", "benchmarks", "semdedup", "selection"
    )
    sampler = parse_sampler(settings["sampler"], "--spec sampler")
    start = parse_sampler(settings["start"], "--spec start") if settings["start"] else sampler
    budget, semdedup = settings["budget"], settings["semdedup"]
    names = (read_json(source).get("labels") or {}).get("names")
    if not names:
        raise InputError(f"{source}: the corpus has no labels; a probe is trained on them")
    corpus = open_corpus(documents, embeddings, len(names))
    tests = open_benchmarks(benchmarks, benchmark_vectors, names)
    inputs = Inputs(
        heldout=heldout, documents=documents, assignments=assignments, clusters=clusters[0] if clusters else None,
        scores=scores, lengths=lengths, losses=losses[0] if losses else None, used=used, trained=trained,
        contaminated=contaminated, near=near, embeddings=clustering_vectors, measures=measures,
    )  # fmt: skip
    parts = consumed(settings["selection"], proxies, proxy_subsets, losses[0] if losses else None, ratios)
    rounds = (budget.get("rounds") or {}).get("count", 0) + 1
    progress = Progress(
        f"probes {settings['ids']['sampler']}", total=rounds * len(settings["data_seeds"]), unit="probes"
    )
    rows, drawn, runs, taken = [], [], [], np.zeros(3)
    for seed in settings["data_seeds"]:
        table: pa.Table | None = None
        probe: Probe | None = None
        seen = np.zeros(0, dtype=np.int64)
        for index in range(rounds):
            clock = [time.monotonic()]
            try:
                table, facts = draw_round(
                    index, inputs, (start, sampler), budget, seed, semdedup, corpus, table, probe
                )
            except InputError as error:
                raise InputError(f"data seed {seed}, round {index}: {error}") from None
            clock.append(time.monotonic())
            doc, asked = train_split(table), probe
            at = corpus.rows(doc)
            probe = fit_probe(doc, corpus.take(at), corpus.label[at], corpus.classes)
            clock.append(time.monotonic())
            figures = {}
            for test in tests:
                part, figures[test.name] = evaluate(probe, test, seed, index)
                rows.append(part)
            clock.append(time.monotonic())
            taken += np.diff(clock)
            new = table.filter(pa.array(np.isin(table["doc"].to_numpy(), np.setdiff1d(doc, seen))))
            drawn.append(
                pa.table({
                    "data_seed": np.full(len(new), seed), "round": np.full(len(new), index, dtype=np.int32),
                    "doc": new["doc"], "cluster": new["cluster"], "probability": new["probability"],
                    **uncertainty(corpus, asked, new["doc"].to_numpy()),
                })
            )  # fmt: skip
            seen = np.union1d(seen, doc)
            runs.append({
                "data_seed": seed, "training_seed": seed, "round": index, "documents": len(doc), "labels": len(doc),
                "classes": np.bincount(corpus.label[at], minlength=corpus.classes).tolist(), "strength": probe.strength,
                "train": hashlib.sha256(doc.astype("<i8").tobytes()).hexdigest(), "pool": facts["pool"],
                "figures": figures,
            })  # fmt: skip
            progress.add(1)
    progress.line()
    for path, table in ((items, pa.concat_tables(rows)), (draws, pa.concat_tables(drawn))):
        with atomic_path(path) as partial:
            pq.write_table(table, partial, compression="zstd")
    parts_of_time = dict(zip(("draw", "train", "evaluate"), taken.round(3).tolist(), strict=True))
    write_json(timings, {"seconds": {**parts_of_time, "total": round(time.monotonic() - started, 3)}})
    metrics = {"acc": True, "f1": True}
    write_json(out, {
        "ids": settings["ids"], "classes": names, "consumed": total(parts), "consumed_parts": parts, "runs": runs,
        "limits": {}, "higher_is_better": {test.name: metrics for test in tests}, "versions": {"stage": STAGE_VERSION},
    })  # fmt: skip


if __name__ == "__main__":
    run(main)
