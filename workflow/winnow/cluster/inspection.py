"""Clusters -> a page on which a person reviews them, and exclusions that criteria propose.

In: documents, assignments, vectors, centroids. Of each cluster a random sample of the pool (keys of the purpose `inspect`)
is measured without a model; a cluster beyond a threshold is proposed for exclusion with its evidence. Out: the measures,
the proposals in the form of the exclusions a person edits, and the page (winnow.cluster.review) with a map of documents,
and of each cluster nearest, farthest and random examples, top terms and the mix of domains. A proposal excludes a cluster
only if the configuration applies proposals.
"""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.cluster import review, review_map
from winnow.cluster.near_duplicates import HASHES, have_near_duplicate, near_duplicates, shingles
from winnow.parquet import batches, is_listed, listed_docs, open_parquet
from winnow.sample.candidates import Candidates, Rows, Smallest
from winnow.schema import read_spec
from winnow.scripts import script
from winnow.stage import InputError, Progress, read_json, run, say, write_text

STAGE_VERSION = 3
CHARACTERS = 4000  # read of each document
EXAMPLES = 5
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
COMMON = (
    "the of and to in a is that for it as was with be by on not he i this are or his from at which but "
    "have an had they you were their one all we can her has there been if more when will would who so no "
    "out up into do any your what than my other then its our these some could them only about time may "
    "very two she over such also "
)
ENGLISH = frozenset(COMMON.split())
# Name of a criterion: (what it measures, whether more is worse).
CRITERIA = {
    "near_duplicates": ("share of documents that have a near-duplicate in the sample", True),
    "boilerplate": ("share of the text in lines that at least 3 sampled documents have", True),
    "compressed": ("size of a document after compression, as a share of its own", False),
    "symbols": ("share of characters that are neither letters, digits nor spaces", True),
    "digits": ("share of characters that are digits", True),
    "names": ("share of words with a capital that begin no sentence", True),
    "english": ("share of words that are common English function words", False),
}


def measure(texts: Sequence[str]) -> dict[str, float]:
    """The criteria of a cluster's sampled texts (at least one)."""
    lines = [[stripped for line in text.splitlines() if (stripped := line.strip())] for text in texts]
    spread = Counter(line for of_text in lines for line in set(of_text))
    total = sum(len(line) for of_text in lines for line in of_text)
    repeated = sum(len(line) for of_text in lines for line in of_text if spread[line] >= 3)
    joined = "\n".join(texts)
    characters = max(1, len(joined))
    letters = sum(c.isalpha() for c in joined)
    digits = sum(c.isdigit() for c in joined)
    blanks = sum(c.isspace() for c in joined)
    words = WORD.findall(joined)
    raw = [text.encode() for text in texts]
    inside = [m.group() for m in re.finditer(r"(?<![.!?:\n] )(?<=[^\s.!?:] )[^\W\d_]+", joined)]
    return {
        "near_duplicates": near_duplicates(texts) if len(texts) > 1 else 0.0,
        "boilerplate": repeated / max(1, total),
        "compressed": sum(len(zlib.compress(r, 6)) for r in raw) / max(1, sum(map(len, raw))),
        "symbols": (characters - letters - digits - blanks) / characters,
        "digits": digits / characters,
        "names": sum(w[0].isupper() for w in inside) / max(1, len(inside)),
        "english": sum(w.lower() in ENGLISH for w in words) / max(1, len(words)),
    }


def propose(measures: Mapping[str, float], thresholds: Mapping[str, float | None]) -> list[str]:
    """Evidence for an exclusion: one phrase for each criterion beyond its threshold (null switches a criterion off)."""
    reasons = []
    for name, (_, more) in CRITERIA.items():
        limit = thresholds.get(name)
        if limit is not None and (measures[name] > limit if more else measures[name] < limit):
            reasons.append(f"{name} {measures[name]:.2f} {'>' if more else '<'} {limit:g}")
    return reasons


def top_terms(texts: Mapping[int, Sequence[str]], many: int = 12) -> dict[int, list[str]]:
    """The `many` words that are most typical of a cluster's sample, by smoothed log odds of a document having them."""
    documents_with = {c: Counter(w for t in part for w in {w.lower() for w in WORD.findall(t) if len(w) > 2}) for c, part in texts.items()}  # fmt: skip
    everywhere = sum(documents_with.values(), Counter())
    size = sum(map(len, texts.values()))
    terms = {}
    for c, counts in documents_with.items():
        n = len(texts[c])
        odds = {
            w: m / (n + 1) * np.log((m + 0.5) / (n + 1) * (size - n + 1) / (everywhere[w] - m + 0.5))
            for w, m in counts.items()
        }
        terms[c] = sorted(odds, key=lambda w: (-odds[w], w))[:many]
    return terms


def choose(assignments: Sequence[Path], k: int, removed: np.ndarray, sample: int) -> list[Candidates]:
    """Of each cluster the sample, the nearest and the farthest documents."""
    caps = np.full(k, 1.0)
    keep = [Smallest(caps * n, 0, purpose="inspect") for n in (sample, EXAMPLES, EXAMPLES)]
    for path in assignments:
        for doc, cluster, distance in batches(path, ["doc", "cluster", "distance"]):
            pool = ~is_listed(doc, removed)
            doc, cluster, value = doc[pool], cluster[pool].astype(np.int32), distance[pool].astype(np.float64)
            for smallest, sign in zip(keep, (0.0, 1.0, -1.0), strict=True):
                smallest.add(Rows(cluster, doc, value * sign if sign else None))
    return [smallest.finish() for smallest in keep]


def read_starts(
    documents: Sequence[Path], chosen: np.ndarray, group: str | None
) -> Iterator[tuple[int, str, str | None]]:
    """Each of the `chosen` documents (int64, ascending): its number, the beginning of its text, its domain (None: it has
    none)."""
    progress = Progress("inspect", len(documents), "shards")
    for path in documents:
        columns = ["doc", "text", *([group] if group else [])]
        with open_parquet(path, columns) as file:
            for batch in file.iter_batches(4096, columns=columns):
                rows = pa.array(np.flatnonzero(is_listed(batch.column("doc").to_numpy(), chosen)))
                part = batch.take(rows)
                doc = part.column("doc").to_pylist()
                start = pc.utf8_slice_codeunits(part.column("text"), 0, CHARACTERS).to_pylist()
                names = part.column(group).to_pylist() if group else [None] * len(doc)
                domain = [None if name is None else str(name) for name in names]
                yield from zip(doc, start, domain, strict=True)
        progress.add(1)


def shares(values: Sequence[str | None], many: int = 6) -> list[tuple[str | None, float]]:
    """The `many` most frequent values with their shares."""
    return [(value, n / len(values)) for value, n in Counter(values).most_common(many)]


def read_always(paths: Sequence[Path]) -> dict[int, str]:
    """Reason by cluster of exclusions that a clustering brings along (TSV), such as those of noise."""
    given: dict[int, str] = {}
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith(("#", "cluster\t")):
                cluster, reason = line.split("\t", 1)
                given[int(cluster)] = reason
    return given


def main(
    *,
    documents: list[Path],
    vectors: list[Path],
    assignments: list[Path],
    centroids: Path,
    clusters: Path,
    heldout: Path,
    fingerprint: Path,
    always: list[Path] = [],
    scores: list[Path] = [],
    spec: str,
    out: Path,
    proposals: Path,
    criteria: Path,
) -> None:
    """Measure the clusters and write the page.

    Args:
        documents: document shards (doc, text, the domain's column).
        vectors: vectors that the clustering goes by: a file for each shard, or one of all documents.
        assignments: assignment shards (doc, cluster, distance).
        centroids: centroids (.npy).
        clusters: cluster summary (parquet: cluster, mean_distance, diversity).
        heldout: documents outside the pool (parquet: doc).
        fingerprint: JSON with the clustering's fingerprint and number of clusters.
        always: exclusions (TSV) that the proposals include, such as those of noise.
        scores: score shards (doc, score) of each scorer of the proposals in turn, as many as shards of documents.
        spec: JSON: name, proposals (documents per cluster, thresholds, scorers whose scores colour the map), group (column
            of the domain, or null).
        out: HTML page to write.
        proposals: TSV to write, in the form of a person's exclusions.
        criteria: CSV to write: the measures of each cluster.
    """
    settings = read_spec(spec, "name", "proposals", "group")
    scorers = settings["proposals"]["scorers"]
    if len(scores) != len(scorers) * len(documents):
        raise InputError(
            f"--scores: {len(scores)} files; {len(settings['scorers'])} scorers of {len(documents)} shards each are required"
        )
    identity, removed = read_json(fingerprint), listed_docs([heldout])
    k, many = identity["clusters"], settings["proposals"]["documents"]
    chosen = choose(assignments, k, removed, many)
    sample = review_map.draw(assignments, removed)
    docs = np.unique(np.concatenate([c.doc for c in chosen]))
    place = {doc: i for i, doc in enumerate(sample.doc.tolist())}
    text: dict[int, str] = {}
    domain: dict[int, str | None] = {}
    starts = [""] * len(place)
    signatures = np.zeros((len(place), HASHES), dtype=np.uint32)
    inspected = set(docs.tolist())
    for doc, start, name in read_starts(documents, np.union1d(docs, sample.doc), settings["group"]):
        domain[doc] = name
        if doc in inspected:
            text[doc] = start
        if doc in place:
            starts[place[doc]] = review.start_of(start)
            signatures[place[doc]] = shingles(start)
    filled = np.flatnonzero(chosen[0].pool > 0).tolist()
    sampled = {c: chosen[0].doc[chosen[0].cluster == c].tolist() for c in filled}
    terms = top_terms({c: [text[d] for d in docs] for c, docs in sampled.items()})
    summary = pq.read_table(clusters, columns=["mean_distance", "diversity"]).to_pydict()
    similar = review.similar_clusters(np.load(centroids), filled)
    thresholds, given = settings["proposals"]["thresholds"], read_always(always)
    rows: list[dict[str, Any]] = []
    for c, near in zip(filled, similar, strict=True):
        measures = measure([text[d] for d in sampled[c]])
        nearest, farthest = (part.doc[part.cluster == c].tolist() for part in chosen[1:])
        kinds = {"nearest": nearest, "farthest": farthest, "random": sampled[c][:EXAMPLES]}
        rows.append({
            "cluster": c, "documents": int(chosen[0].pool[c]), "measures": [measures[name] for name in CRITERIA],
            "preset": given.get(c), "reasons": propose(measures, thresholds), "terms": terms[c], "similar": near,
            **{name: summary[name][c] for name in ("mean_distance", "diversity")},
            "domains": shares([domain[d] for d in sampled[c]]) if settings["group"] else [],
            "scripts": shares([script(text[d]) for d in sampled[c]], 3),
            "examples": {kind: [(d, text[d]) for d in docs] for kind, docs in kinds.items()},
        })  # fmt: skip
    why = {row["cluster"]: "; ".join(filter(None, (row["preset"], *row["reasons"]))) for row in rows}
    flagged = [c for c in filled if why[c]]
    say(f"[inspect {settings['name']}] {len(flagged)} of {len(rows)} clusters are proposed for exclusion")
    lines = [
        f"# clustering {identity['fingerprint']}",
        "cluster\treason",
        *(f"{c}\t{why[c]}" for c in flagged),
    ]
    write_text(proposals, "\n".join(lines) + "\n")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["cluster", "documents", *CRITERIA, "proposed"])
    writer.writerows([r["cluster"], r["documents"], *r["measures"], why[r["cluster"]]] for r in rows)
    write_text(criteria, table.getvalue())
    places, method = review_map.coordinates(review_map.read_vectors(documents, vectors, sample.doc))
    shards = len(documents)
    points = review.Map(
        sample=sample,
        places=places,
        method=method,
        starts=starts,
        domains=[domain[d] for d in sample.doc.tolist()] if settings["group"] else None,
        near_duplicate=have_near_duplicate(signatures),
        scores={
            name: review_map.read_scores(scores[i * shards : (i + 1) * shards], sample.doc)
            for i, name in enumerate(scorers)
        },
    )
    about = {
        "name": settings["name"],
        "fingerprint": identity["fingerprint"],
        "clusters": k,
        "documents": int(chosen[0].pool.sum()),
        "sample": many,
        "group": settings["group"],
        "criteria": [
            {"name": name, "what": what, "more": more, "threshold": thresholds.get(name)}
            for name, (what, more) in CRITERIA.items()
        ],
        "file": f"config/exclusions/{settings['name'].replace('/', '.')}.tsv",
    }
    write_text(out, review.page(about, rows, points))


if __name__ == "__main__":
    run(main)
