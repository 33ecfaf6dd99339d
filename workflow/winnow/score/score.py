"""A number for each document of the pool, and the sums it was computed from.

In: a shard of documents (or its vectors and clusters) and what the scorer goes by. Out: parquet with `doc`,
`score` float64 and, by kind:

- proxy-loss: `log_probability` (nats), `tokens`, `bytes` under a language model; score: loss a token or a byte
- likelihood-difference: the same sums under an in-domain and a general model, and `words`; score: mean
  cross-entropy a word in-domain minus general (Suzuki et al. 2023, IPM 60(3)): low is in-domain
- dsir: `log_ratio` and `ngrams`: hashed words and pairs of words, target against pool (Xie et al. 2023,
  arXiv 2302.03169); score: the log ratio, a log weight
- lsh: `bucket` inside the cluster: signs of random hyperplanes through the centroid (Charikar 2002)
- entropy: `entropy` (nats) and `prediction` of a classifier; score: the entropy

Held-out documents, and those that a proxy learned from, are not scored. The number of shards changes no batch. Equal
texts of a block are read once and have equal scores; equal vectors of a cluster have one bucket.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.experiments import proxies_of
from winnow.keys import keys
from winnow.parquet import batches as columns_of
from winnow.schema import read_spec
from winnow.scripts import count_words, part
from winnow.stage import InputError, Progress, atomic_path, run, say, write_json

STAGE_VERSION = 2
BATCH_TOKENS = {"cpu": 8192, "cuda": 131072}
LOGITS = 1 << 26  # numbers that one batch of logits may hold
WORD = re.compile(r"\w+|[^\w\s]+")


def read_docs(paths: Iterable[Path]) -> np.ndarray:
    """Documents that files with a column `doc` hold, sorted: int64 [n]."""
    parts = [batch[0] for path in paths for batch in columns_of(path, ["doc"])]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *parts]))


class Proxy:
    """A language model that gives log-probabilities of texts."""

    def __init__(self, folder: Path):
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        from winnow.device import pick_device
        from winnow.tokenizer import open_tokenizer

        logging.disable_progress_bar()
        self.device = pick_device()
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        self.model = self.model.eval().to(self.device)
        config = self.model.config
        self.limit = int(getattr(config, "max_position_embeddings", 1024))
        self.start = config.bos_token_id if config.bos_token_id is not None else config.eos_token_id
        if self.start is None:
            raise InputError(f"{folder}: the model names neither a first nor a last token")
        self.budget = max(self.limit, min(BATCH_TOKENS[self.device], LOGITS // config.vocab_size))
        self.tokenizer = open_tokenizer(folder / "tokenizer.json")

    def sums(
        self, texts: list[str], progress: Progress | None = None, documents: float = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-probability in nats float64 [n] and tokens int64 [n] of each text. `progress` gets `documents`, by and by.

        A text is read in windows of the model's length, each after the token that begins a document, so every
        token counts once. Rows are padded on the right, where a causal model does not look; pads never count.
        """
        import torch

        from winnow.batching import batches, distinct

        windows: list[list[int]] = []
        owner: list[int] = []
        found = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        different, own = distinct([encoded.ids for encoded in found])
        for i, ids in enumerate(different):
            for at in range(0, len(ids), self.limit):
                windows.append(ids[at : at + self.limit])
                owner.append(i)
        total, count = np.zeros(len(different)), np.zeros(len(different), dtype=np.int64)
        lengths = np.array([len(w) for w in windows], dtype=np.int64)
        np.add.at(count, owner, lengths)
        with torch.inference_mode():
            for rows in batches(lengths, self.budget, progress, documents):
                longest = int(lengths[rows].max())
                inputs = np.full((len(rows), longest), self.start, dtype=np.int64)
                targets = np.full((len(rows), longest), -100, dtype=np.int64)
                for i, row in enumerate(rows):
                    ids = windows[row]
                    targets[i, : len(ids)] = ids
                    inputs[i, 1 : len(ids)] = ids[:-1]
                logits = self.model(
                    input_ids=torch.from_numpy(inputs).to(self.device), use_cache=False
                ).logits
                losses = torch.nn.functional.cross_entropy(
                    logits.float().flatten(0, 1),
                    torch.from_numpy(targets).to(self.device).flatten(),
                    reduction="none",
                    ignore_index=-100,
                ).view(len(rows), longest)
                np.add.at(total, np.array(owner)[rows], -losses.double().sum(1).cpu().numpy())
        return total[own], count[own]


class Entropy:
    """A classifier that gives its predictive entropy. It reads as much of a text as it was trained on."""

    def __init__(self, folder: Path):
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        from winnow.device import pick_device
        from winnow.tokenizer import classifier_tokenizer

        logging.disable_progress_bar()
        self.device = pick_device()
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype="float32", use_safetensors=True
        )
        self.model = model.eval().to(self.device)
        self.tokenizer = classifier_tokenizer(folder)

    def entropies(self, texts: list[str], progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Entropy of the predicted labels in nats, float64 [n], and the likeliest label, int32 [n]."""
        import torch

        from winnow.batching import batches, distinct, padded

        ids, own = distinct([e.ids for e in self.tokenizer.encode_batch_fast(texts)])
        lengths = np.array([len(row) for row in ids])
        entropy, label = np.zeros(len(ids)), np.zeros(len(ids), dtype=np.int32)
        with torch.inference_mode():
            for rows in batches(lengths, BATCH_TOKENS[self.device], progress, len(texts)):
                tokens, mask = (x.to(self.device) for x in padded([ids[row] for row in rows]))
                logits = self.model(input_ids=tokens, attention_mask=mask).logits
                log = torch.log_softmax(logits.double(), dim=1)
                entropy[rows] = -(log.exp() * log).sum(1).cpu().numpy()
                label[rows] = log.argmax(1).cpu().numpy()
        return entropy[own], label[own]


def ngrams(text: str, buckets: int) -> np.ndarray:
    """Buckets of the words of a text and of its pairs of neighbours, int64 [2 words - 1].

    Words are runs of letters and digits, or of other signs, in lower case; of a script without blanks each character is
    one. The hash is CRC-32 of the word; a
    pair's mixes those of both (splitmix64).
    """
    words = np.array([zlib.crc32(w.encode()) for w in WORD.findall(part(text.lower()))], dtype=np.uint64)
    pairs = (words[:-1] << np.uint64(32)) | words[1:]
    with np.errstate(over="ignore"):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            pairs = (pairs ^ (pairs >> np.uint64(shift))) * np.uint64(factor)
    pairs ^= pairs >> np.uint64(31)
    return (np.concatenate((words, pairs)) % np.uint64(buckets)).astype(np.int64)


def bag(texts: Iterable[str], buckets: int) -> np.ndarray:
    """Counts of the n-grams of texts, float64 [buckets]."""
    total = np.zeros(buckets)
    for text in texts:
        total += np.bincount(ngrams(text, buckets), minlength=buckets)
    return total


def log_ratios(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """log p_target - log p_source of each bucket, float64 [buckets], from counts with one added to each."""
    return np.log((target + 1) / (target.sum() + len(target))) - np.log(
        (source + 1) / (source.sum() + len(source))
    )


def hyperplanes(planes: int, dimension: int, seed: int) -> np.ndarray:
    """Normals of random hyperplanes, float32 [planes, dimension], standard normal from keys (Box-Muller)."""
    n = planes * dimension
    first, second = (
        (keys("hyperplanes", seed, np.arange(start, start + n)) >> np.uint64(11)).astype(np.float64) + 0.5
        for start in (0, n)
    )
    normal = np.sqrt(-2 * np.log(first / 2.0**53)) * np.cos(2 * np.pi * second / 2.0**53)
    return normal.reshape(planes, dimension).astype(np.float32)


def bucket(vectors: np.ndarray, centroids: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Bucket of each vector: bit p is the side of plane p through its cluster's centroid.

    `vectors`, `centroids` [n, d], unit rows, row by row; `normals` [p, d]. Returns int32 [n], 0 to 2**p - 1. Equal
    vectors (float16) of a cluster have one bucket: no product is rounded.
    """
    from winnow.products import exact_product

    # A difference of the direction of the centroid itself tells nothing apart: it is the distance.
    unit = normals / np.linalg.norm(normals.astype(np.float64), axis=1, keepdims=True)
    centre = np.rint(centroids.astype(np.float64) * 2.0**24) / 2.0**24
    side = exact_product(vectors, unit) > exact_product(centre, unit)
    return (side * (1 << np.arange(len(normals)))).sum(1).astype(np.int32)


def _blocks(path: Path, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Documents and texts of a shard's rows in `wanted` (bool [rows]), a block of source rows at a time."""
    from winnow.batching import block_texts, blocks

    file = pq.ParquetFile(path)
    doc = file.read(columns=["doc"])["doc"].to_numpy()
    cut = blocks(doc)
    for rows, texts in zip(cut, block_texts(file, cut), strict=True):
        mine = np.flatnonzero(wanted[rows])
        if len(mine):
            yield doc[rows][mine], [texts[i] for i in mine]


def _folders(scorer: dict[str, Any], models: Sequence[Path]) -> list[Path]:
    """The folder of each proxy: from the Hub cache, or beside the manifests that `--models` names."""
    from winnow.weights import weights_folder

    left = list(models)
    folders = []
    for proxy in proxies_of(scorer).values():
        if "hub" in proxy:
            folders.append(weights_folder(proxy))
        elif left:
            folders.append(left.pop(0).parent)
        else:
            raise InputError(f"--models: no manifest of the trained proxy {proxy['model']!r}")
    return folders


def scoreblock_texts(
    scorer: dict[str, Any], documents: Path, wanted: np.ndarray, models: Sequence[Path],
    ratios: np.ndarray | None, what: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Columns of the rows of a shard that are `wanted` (bool [rows]), for the kinds that read text."""
    kind = scorer["kind"]
    parts: list[dict[str, np.ndarray]] = []
    progress = Progress(f"score {what}", total=int(wanted.sum()), unit="documents")
    folders = _folders(scorer, models)
    proxies = [Proxy(f) for f in folders] if kind in ("proxy-loss", "likelihood-difference") else []
    classifier = Entropy(folders[0]) if kind == "entropy" else None
    for doc, texts in _blocks(documents, wanted):
        if classifier is not None:
            entropy, label = classifier.entropies(texts, progress)
            part = {"doc": doc, "score": entropy, "entropy": entropy, "prediction": label}
        else:
            texts = [text[: scorer["characters"]] for text in texts]
            size = np.array([len(text.encode()) for text in texts], dtype=np.int64)
            if kind == "proxy-loss":
                log, tokens = proxies[0].sums(texts, progress, len(texts))
                score = -log / np.maximum(tokens if scorer["per"] == "token" else size, 1)
                part = {"doc": doc, "score": score, "log_probability": log, "tokens": tokens, "bytes": size}
            elif kind == "likelihood-difference":
                words = np.array([max(1, count_words(text)) for text in texts], dtype=np.int64)
                (inside, inside_tokens), (general, general_tokens) = (
                    p.sums(texts, progress, len(texts) / 2) for p in proxies
                )
                part = {
                    "doc": doc, "score": (general - inside) / words,
                    "log_probability": inside, "general_log_probability": general,
                    "tokens": inside_tokens, "general_tokens": general_tokens, "words": words, "bytes": size,
                }  # fmt: skip
            else:
                assert ratios is not None
                grams = [ngrams(text, len(ratios)) for text in texts]
                log = np.array([float(ratios[g].sum()) for g in grams])
                part = {"doc": doc, "score": log, "log_ratio": log,
                        "ngrams": np.array([len(g) for g in grams], dtype=np.int64)}  # fmt: skip
                progress.add(len(texts))
        parts.append(part)
    progress.line()
    if not parts:
        return {"doc": np.zeros(0, dtype=np.int64), "score": np.zeros(0)}
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _write(columns: dict[str, np.ndarray], out: Path) -> None:
    bad = ~np.isfinite(columns["score"])
    if bad.any():
        raise InputError(f"document {columns['doc'][bad][0]}: the score is not finite")
    with atomic_path(out) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")


def texts(
    *,
    documents: Path,
    heldout: Path,
    spec: str,
    out: Path,
    models: list[Path] = [],
    trained: list[Path] = [],
    ratios: list[Path] = [],
    only: list[Path] = [],
    name: str = "",
    threads: int = 0,
) -> None:
    """Score the documents of a shard by their text.

    Args:
        documents: shard of documents (parquet: doc, text).
        heldout: documents outside the pool (parquet: doc).
        spec: JSON: scorer.
        out: parquet to write: doc, score, and what it was computed from.
        models: manifest.json of each proxy that was trained here, in the order in which the scorer names them.
        trained: draws (parquet: doc) the proxies learned from; none of these documents is scored.
        ratios: log ratios (.npy) of `fit`, for the kind dsir.
        only: probes (parquet: doc); without any, the whole pool is scored.
        name: what progress lines call the shard.
        threads: processor threads; 0 leaves torch's choice.
    """
    scorer = read_spec(spec, "scorer")["scorer"]
    if threads and scorer["kind"] != "dsir":
        import torch

        torch.set_num_threads(threads)
    doc = pq.read_table(documents, columns=["doc"])["doc"].to_numpy()
    wanted = ~np.isin(doc, read_docs([heldout, *trained]))
    if only:
        wanted &= np.isin(doc, read_docs(only))
    table = np.load(ratios[0]) if ratios else None
    if scorer["kind"] == "dsir" and table is None:
        raise InputError("--ratios: the kind dsir wants the log ratios that `fit` writes")
    say(f"[score {name}] {int(wanted.sum()):,} documents, {scorer['kind']}")
    _write(scoreblock_texts(scorer, documents, wanted, models, table, name), out)


def vectors(
    *, embeddings: Path, assignments: Path, centroids: Path, heldout: Path, spec: str, out: Path
) -> None:
    """Bucket of the documents of a shard inside their cluster (kind lsh).

    Args:
        embeddings: vectors of the shard (.npy).
        assignments: its assignments (parquet: doc, cluster).
        centroids: centroids (.npy).
        heldout: documents outside the pool (parquet: doc).
        spec: JSON: scorer.
        out: parquet to write: doc, bucket int32, score (the bucket).
    """
    scorer = read_spec(spec, "scorer")["scorer"]
    table = pq.read_table(assignments, columns=["doc", "cluster"])
    doc, cluster = table["doc"].to_numpy(), table["cluster"].to_numpy()
    rows, centre = np.load(embeddings, mmap_mode="r"), np.load(centroids)
    if len(rows) != len(doc):
        raise InputError(f"{embeddings}: {len(rows)} vectors for the {len(doc)} documents of {assignments}")
    normals = hyperplanes(scorer["planes"], rows.shape[1], scorer["seed"])
    found = np.zeros(len(doc), dtype=np.int32)
    for start in range(0, len(doc), 1 << 13):
        part = slice(start, start + (1 << 13))
        found[part] = bucket(rows[part], centre[cluster[part]], normals)
    keep = ~np.isin(doc, read_docs([heldout]))
    _write({"doc": doc[keep], "score": found[keep].astype(np.float64), "bucket": found[keep]}, out)


def _sampledblock_texts(
    documents: Sequence[Path], removed: np.ndarray, where: dict[str, Any] | None, count: int, seed: int, characters: int
) -> Iterator[str]:  # fmt: skip
    """Texts of the `count` documents with the smallest keys among those not removed and, if asked, with a
    wanted value of a meta column."""
    from winnow.parquet import matches

    docs, masks = [], []
    for path in documents:
        doc = pq.read_table(path, columns=["doc"])["doc"].to_numpy()
        mask = ~np.isin(doc, removed)
        if where:
            mask &= matches(path, where["column"], where["values"])
        docs.append(doc)
        masks.append(mask)
    pool = np.concatenate([d[m] for d, m in zip(docs, masks, strict=True)])
    if not len(pool):
        raise InputError(f"scorer: no document of the pool has {where}; look at the values of that column")
    chosen = np.sort(pool[np.argsort(keys("probe", seed, pool))[:count]])
    for path, doc in zip(documents, docs, strict=True):
        wanted, start = np.isin(doc, chosen, assume_unique=True), 0
        for batch in pq.ParquetFile(path).iter_batches(4096, columns=["text"]):
            part = batch.column(0).filter(pa.array(wanted[start : start + len(batch)]))
            start += len(batch)
            yield from pc.utf8_slice_codeunits(part, 0, characters).to_pylist()


def excluded_docs(assignments: Sequence[Path], clusters: Path) -> np.ndarray:
    """Documents of the excluded clusters, int64 [n]. `clusters`: parquet with cluster and excluded."""
    table = pq.read_table(clusters, columns=["cluster", "excluded"])
    gone = table["cluster"].to_numpy()[table["excluded"].to_numpy()]
    found = [np.zeros(0, dtype=np.int64)]
    for path in assignments:
        found += [doc[np.isin(cluster, gone)] for doc, cluster in columns_of(path, ["doc", "cluster"])]
    return np.concatenate(found)


def fit(
    *,
    documents: list[Path],
    heldout: Path,
    assignments: list[Path] = [],
    clusters: list[Path] = [],
    target: list[Path] = [],
    target_heldout: list[Path] = [],
    spec: str,
    out: Path,
    counts: Path,
) -> None:
    """Log ratios of the hashed n-grams, target against pool (kind dsir).

    Args:
        documents: shards of the corpus that is scored.
        heldout: its documents outside the pool.
        assignments: its assignment shards, where clusters are excluded from the pool.
        clusters: the cluster table (one) that tells which.
        target: shards of the target's corpus; none: the same.
        target_heldout: its documents outside the pool; none: the same.
        spec: JSON: scorer.
        out: .npy to write: float64 [buckets].
        counts: JSON to write: target and source, the documents and n-grams that were counted.
    """
    scorer = read_spec(spec, "scorer")["scorer"]
    many, seed, cut = scorer["documents"], scorer["seed"], scorer["characters"]
    removed = read_docs([heldout])
    if clusters:
        removed = np.union1d(removed, excluded_docs(assignments, clusters[0]))
    where = scorer["target"].get("where")
    bags, facts = {}, {}
    for side, paths, out_of, rule in (
        ("source", documents, removed, None),
        ("target", target or documents, read_docs(target_heldout) if target else removed, where),
    ):
        number = itertools.count()
        chosen = zip(_sampledblock_texts(paths, out_of, rule, many, seed, cut), number, strict=False)
        bags[side] = bag((text for text, _ in chosen), scorer["buckets"])
        facts[side] = {"documents": next(number), "ngrams": int(bags[side].sum())}
    say(
        f"[score] {facts['target']['ngrams']:,} n-grams of the target, {facts['source']['ngrams']:,} of the pool"
    )
    with atomic_path(out) as partial:
        np.save(partial, log_ratios(bags["target"], bags["source"]))
    write_json(counts, facts)


def probe(*, assignments: list[Path], heldout: Path, trained: list[Path] = [], spec: str, out: Path) -> None:
    """Choose the probe: of each cluster the documents with the smallest keys of the purpose `probe`.

    Args:
        assignments: assignment shards (parquet: doc, cluster).
        heldout: documents outside the pool.
        trained: draws that the proxy learned from; none of them is probed.
        spec: JSON: scorer (kind proxy-loss).
        out: parquet to write: doc int64, cluster int32, ascending doc.
    """
    scorer = read_spec(spec, "scorer")["scorer"]
    removed = read_docs([heldout, *trained])
    kept_doc, kept_cluster = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
    for path in assignments:
        for doc, cluster in columns_of(path, ["doc", "cluster"]):
            mine = ~np.isin(doc, removed)
            doc = np.concatenate((kept_doc, doc[mine]))
            cluster = np.concatenate((kept_cluster, cluster[mine].astype(np.int32)))
            order = np.lexsort((keys("probe", scorer["seed"], doc), cluster))
            rank = np.arange(len(doc)) - np.searchsorted(cluster[order], cluster[order])
            first = np.sort(order[rank < scorer["probe"]])
            kept_doc, kept_cluster = doc[first], cluster[first]
    order = np.argsort(kept_doc)
    with atomic_path(out) as partial:
        pq.write_table(pa.table({"doc": kept_doc[order], "cluster": kept_cluster[order]}), partial)


def losses(*, probe: Path, scores: list[Path], spec: str, out: Path) -> None:
    """Mean proxy loss of each cluster's probe.

    Args:
        probe: documents and clusters of the probe.
        scores: score shards of the probe's documents (kind proxy-loss).
        spec: JSON: scorer.
        out: parquet to write: cluster, proxy_loss (nats a token, or a byte), probed (documents), and the sums
            log_probability, tokens, bytes.
    """
    scorer = read_spec(spec, "scorer")["scorer"]
    chosen = pq.read_table(probe)
    doc, cluster = chosen["doc"].to_numpy(), chosen["cluster"].to_numpy()
    names = ["doc", "log_probability", "tokens", "bytes"]
    tables = [t for t in map(pq.read_table, scores) if t.num_rows]
    columns = [np.concatenate([t[name].to_numpy() for t in tables]) for name in names]
    order = np.argsort(columns[0])
    if not np.array_equal(columns[0][order], doc):
        raise InputError(f"{probe}: {len(doc):,} documents, but {len(order):,} have scores: make them again")
    ids, row = np.unique(cluster, return_inverse=True)
    log, tokens, size = (np.bincount(row, weights=c[order].astype(np.float64)) for c in columns[1:])
    loss = -log / np.maximum(tokens if scorer["per"] == "token" else size, 1)
    table = pa.table({
        "cluster": ids.astype(np.int32), "proxy_loss": loss, "probed": np.bincount(row),
        "log_probability": log, "tokens": tokens.astype(np.int64), "bytes": size.astype(np.int64),
    })  # fmt: skip
    with atomic_path(out) as partial:
        pq.write_table(table, partial)


if __name__ == "__main__":
    run(texts, vectors, fit, probe, losses)
