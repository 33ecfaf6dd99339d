"""Draws of all rounds of a table's arms -> which documents were chosen, and why: a map of the vectors, figures, examples.

In: shards of labelled documents with their vectors; the draws of each arm (one file of an arm of probes, else one per seed and
round), and what the models of the rounds before predicted of them. Out, at a common prefix: `.csv` (a row per arm, data seed
and round), `.html`, `.svg` (the map alone). No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.csv_files import write_rows
from winnow.pages import Page, Section, Table, html_page, number
from winnow.parquet import (
    Lookup,
    batches,
    doc_column,
    is_listed,
    listed_docs,
    open_parquet,
    open_vectors,
    read_table,
)
from winnow.products import single
from winnow.projection import Projection, fit_projection
from winnow.rounds.vector_map import plot
from winnow.sample.candidates import Rows, Smallest
from winnow.sample.sampler import Sampler, from_config, needs
from winnow.schema import read_spec
from winnow.stage import InputError, read_json, run, say, write_text

STAGE_VERSION = 2
"""Of this module and of `vector_map`."""
FITTED, SHOWN, EXAMPLES, CHARACTERS = 10_000, 2_000, 10, 240
"""Pool documents that the map is fitted on and that it shows; examples of an arm, and characters of each."""
MEASURES = ("entropy", "margin", "confidence")
POOL = "(pool)"


@dataclass
class Chosen:
    """The documents that an arm chose with one data seed: `doc` int64 [n]; `round` int64 [n], the one that chose it; of each
    of MEASURES what the model of the round before predicted, float64 [n], nan where none did."""

    doc: np.ndarray
    round: np.ndarray
    measures: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, index: int) -> Chosen:
        """Those of one round."""
        rows = self.round == index
        return Chosen(self.doc[rows], self.round[rows], {k: v[rows] for k, v in self.measures.items()})


def chosen_of_probes(path: Path) -> dict[int, Chosen]:
    """The draws of an arm of probes, by data seed. Raises InputError for a file without the columns."""
    table = read_table(path)
    if missing := sorted({"data_seed", "round", "doc", *MEASURES} - set(table.column_names)):
        raise InputError(f"{path}: no column {missing[0]!r}; run the probes again")
    out = {}
    for seed in pc.unique(table["data_seed"]).to_pylist():
        part = table.filter(pc.equal(table["data_seed"], seed)).sort_by("doc")
        values = {name: part[name].to_numpy().astype(float) for name in MEASURES}
        out[seed] = Chosen(part["doc"].to_numpy(), part["round"].to_numpy().astype(np.int64), values)
    return out


def chosen_of_runs(
    draws: Sequence[tuple[int, int, Path]], predictions: Sequence[tuple[int, int, Path]]
) -> dict[int, Chosen]:
    """The draws of an arm, by data seed. `draws`: data seed, round and file of each, whose train split holds the documents of
    the rounds before, too; `predictions`: of the model before a round, a file a shard."""
    out = {}
    for seed in sorted({seed for seed, _, _ in draws}):
        doc, of_round = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        for _, index, path in sorted(one for one in draws if one[0] == seed):
            table = read_table(path, columns=["doc", "split"])
            train = table.filter(pc.equal(table["split"], "train"))["doc"].to_numpy()
            new = np.setdiff1d(train, doc)
            doc, of_round = np.concatenate((doc, new)), np.concatenate((of_round, np.full(len(new), index)))
        order = np.argsort(doc)
        one = Chosen(doc[order], of_round[order], {name: np.full(len(doc), np.nan) for name in MEASURES})
        for index in sorted({index for s, index, _ in predictions if s == seed}):
            for path in (path for s, i, path in predictions if (s, i) == (seed, index)):
                table = read_table(path, columns=["doc", *MEASURES])
                known = table["doc"].to_numpy()
                at = np.searchsorted(one.doc, known)
                at[at == len(one.doc)] = 0
                hit = np.flatnonzero((one.doc[at] == known) & (one.round[at] == index))
                for name in MEASURES:
                    one.measures[name][at[hit]] = table[name].to_numpy()[hit]
        out[seed] = one
    return out


def why(sampler: Sampler) -> str:
    """How a sampler chooses, in words."""
    ranking, weight = sampler.ranking, sampler.allocation.weight
    order = {
        "random": "at random",
        "nearest": "nearest to the centroid first",
        "farthest": "farthest from the centroid first",
        "score": f"by scorer {ranking.scorer}, {ranking.order}",
        "weighted": f"at random, weighted by scorer {ranking.scorer}",
        "lsh": f"by buckets of scorer {ranking.scorer}",
        "badge": "a diverse batch by gradients of the last layer (BADGE), which has no score per document",
    }.get(ranking.by, "")
    if ranking.by == "uncertainty":
        order = {
            "entropy": "highest entropy first",
            "margin": "smallest margin first",
            "least-confidence": "lowest confidence first",
        }[ranking.measure]
        order += f", equally from {ranking.quantiles} quantile buckets" * bool(ranking.quantiles)
    return order + (", from one pool" if weight == "none" else f", clusters weighted by {weight}")


# -- the corpus ---------------------------------------------------------------------------------------


@dataclass
class Corpus:
    """The pool: `documents`, `labels` of each class int64 [classes], mean `bytes`, number of `clusters` (0: no clustering),
    and a random sample of it, int64, in the order of keys; and of all that any arm chose, ascending: `doc` int64 [n], `label`
    int64 [n], `size` int64 [n] in bytes, `cluster` int64 [n] and `distance` float64 [n] (without a clustering: empty)."""

    documents: int
    labels: np.ndarray
    bytes: float
    clusters: int
    sample: np.ndarray
    doc: np.ndarray
    label: np.ndarray
    size: np.ndarray
    cluster: np.ndarray
    distance: np.ndarray

    def at(self, doc: np.ndarray) -> np.ndarray:
        """Positions of chosen documents, int64."""
        return np.searchsorted(self.doc, doc)


def read_corpus(
    documents: Sequence[Path],
    heldout: np.ndarray,
    assignments: Sequence[Path],
    clusters: Path | None,
    doc: np.ndarray,
    classes: int,
) -> Corpus:
    """The facts of the pool (without `heldout` and excluded clusters) and of the chosen documents `doc` (int64, ascending)."""
    excluded, count = np.zeros(0, dtype=np.int64), 0
    cluster_of = Lookup(assignments, "cluster") if clusters else None
    if clusters:
        table = read_table(clusters, columns=["cluster", "excluded"])
        excluded = np.sort(table.filter(table["excluded"])["cluster"].to_numpy())
        count = len(table) - len(excluded)
    labels, total = np.zeros(classes, dtype=np.int64), 0
    label, size = np.full(len(doc), -1, dtype=np.int64), np.zeros(len(doc), dtype=np.int64)
    sample = Smallest(np.array([float(FITTED)]), 0, purpose="map")
    for path in documents:
        for part, of_class, length in batches(path, ["doc", "label", "bytes"]):
            at = np.searchsorted(doc, part)
            at[at == len(doc)] = 0
            hit = doc[at] == part
            label[at[hit]], size[at[hit]] = of_class[hit], length[hit]
            pool = ~is_listed(part, heldout)
            if cluster_of and len(excluded):
                pool &= ~is_listed(cluster_of(part).astype(np.int64), excluded)
            if pool.any():
                labels += np.bincount(of_class[pool], minlength=classes)
                total += int(length[pool].sum())
                sample.add(Rows(np.zeros(int(pool.sum()), dtype=np.int32), part[pool]))
    if (label < 0).any():
        raise InputError(
            f"--documents: no labelled document {doc[label < 0][0]}, which an arm chose; take the corpus it was drawn from"
        )
    nothing = np.zeros(0)
    return Corpus(
        int(labels.sum()), labels, total / max(1, int(labels.sum())), count, sample.finish().doc, doc, label, size,
        cluster_of(doc).astype(np.int64) if cluster_of else nothing.astype(np.int64),
        Lookup(assignments, "distance")(doc) if clusters else nothing,
    )  # fmt: skip


def read_vectors(documents: Sequence[Path], embeddings: Sequence[Path], doc: np.ndarray) -> np.ndarray:
    """Vectors float32 [n, d] of documents `doc` (int64, ascending), a shard at a time."""
    if len(embeddings) != len(documents):
        raise InputError(f"--embeddings: {len(embeddings)} files for {len(documents)} shards; one for each")
    parts, known = [], []
    for path, file in zip(documents, embeddings, strict=True):
        rows = doc_column(path)
        inside = is_listed(rows, doc)
        parts.append(single(open_vectors(file, len(rows), path)[inside]))
        known.append(rows[inside])
    order = np.argsort(np.concatenate(known))
    return np.concatenate(parts)[order]


def read_examples(documents: Sequence[Path], doc: np.ndarray) -> dict[int, str]:
    """The beginnings of documents `doc` (int64, ascending), in one line each."""
    out: dict[int, str] = {}
    for path in documents:
        with open_parquet(path, ["doc", "text"]) as file:
            for batch in file.iter_batches(4096, columns=["doc", "text"]):
                rows = np.flatnonzero(is_listed(batch.column("doc").to_numpy(), doc))
                part = batch.take(pa.array(rows))
                start = pc.utf8_slice_codeunits(part.column("text"), 0, CHARACTERS + 1).to_pylist()
                out.update(zip(part.column("doc").to_pylist(), map(shortened, start), strict=True))
    return out


def shortened(text: str) -> str:
    """A text in one line of at most CHARACTERS characters."""
    line = " ".join(text.split())
    return line if len(line) <= CHARACTERS else line[: CHARACTERS - 1] + "\u2026"


# -- tables -------------------------------------------------------------------------------------------


def _mean(values: np.ndarray) -> float | None:
    """Mean of known values; None where none is known."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def csv_rows(
    arms: Mapping[str, Mapping[int, Chosen]], corpus: Corpus, names: Sequence[str]
) -> list[dict[str, Any]]:
    """A row per arm, data seed and round; the first is the pool's."""
    shares = corpus.labels / max(1, corpus.documents)
    rows: list[dict[str, Any]] = [
        {"arm": POOL, "data_seed": None, "round": None, "labels": None, "documents": corpus.documents,
         "clusters": corpus.clusters or None, "mean_bytes": corpus.bytes, **dict.fromkeys(MEASURES),
         **{f"share_{name}": float(share) for name, share in zip(names, shares, strict=True)}}
    ]  # fmt: skip
    for name, seeds in arms.items():
        for seed, one in sorted(seeds.items()):
            labels = 0
            for index in range(int(one.round.max(initial=0)) + 1):
                here = one.of(index)
                at, n = corpus.at(here.doc), len(here.doc)
                labels += n
                of_class = np.bincount(corpus.label[at], minlength=len(names)) / max(1, n)
                rows.append({
                    "arm": name, "data_seed": seed, "round": index, "labels": labels, "documents": n,
                    "clusters": len(np.unique(corpus.cluster[at])) if corpus.clusters else None,
                    "mean_bytes": float(corpus.size[at].mean()) if n else None,
                    **{measure: _mean(here.measures[measure]) for measure in MEASURES},
                    **{f"share_{c}": float(share) for c, share in zip(names, of_class, strict=True)},
                })  # fmt: skip
    return rows


def round_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str], clusters: int) -> Table:
    """Means over data seeds of the rows of the CSV, a line per arm and round."""
    head = ["arm", "round", "seeds", "documents", *(f"share of class {name}" for name in names)]
    head += [f"clusters (of {clusters})"] if clusters else []
    head += ["mean entropy (nats)", "mean bytes"]
    body = []
    for arm, index in dict.fromkeys((row["arm"], row["round"]) for row in rows):
        here = [row for row in rows if (row["arm"], row["round"]) == (arm, index)]

        def mean(key: str, here: list[Mapping[str, Any]] = here) -> float | None:
            known = [row[key] for row in here if row[key] is not None]
            return float(np.mean(known)) if known else None

        touched, size, documents = mean("clusters"), mean("mean_bytes"), mean("documents")
        body.append([
            arm, "" if index is None else str(index) if index else "first draw", "" if index is None else str(len(here)), f"{documents:,.0f}",
            *(f"{mean(f'share_{name}') or 0:.1%}" for name in names),
            *(["" if touched is None else f"{touched:.1f}".removesuffix(".0")] if clusters else []),
            number(mean("entropy")), "" if size is None else f"{size:,.0f}",
        ])  # fmt: skip
    return head, body


def typical(vectors: np.ndarray, many: int = EXAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """(positions, sizes) int64 [m]: of `many` groups of vectors float [n, d] (k-means, seed 0) the vector nearest to the
    centre of each, and how many it stands for, largest group first; all, of 1 each, where there are no more than `many`."""
    if len(vectors) <= many:
        return np.arange(len(vectors)), np.ones(len(vectors), dtype=np.int64)
    from sklearn.cluster import KMeans

    fitted = KMeans(many, n_init=3, random_state=0).fit(np.asarray(vectors, dtype=np.float64))
    far = ((vectors - fitted.cluster_centers_[fitted.labels_]) ** 2).sum(1)
    order = np.lexsort((far, fitted.labels_))
    _, first, sizes = np.unique(fitted.labels_[order], return_index=True, return_counts=True)
    largest = np.lexsort((first, -sizes))
    return order[first[largest]], sizes[largest]


def score_text(sampler: Sampler, one: Chosen, distance: float | None) -> list[str]:
    """What chose each document, as text: the measure that the sampler goes by, or the distance to the centroid."""
    facts = needs(sampler)
    if facts.predictions:
        column = facts.column or "entropy"
        return [f"{column} {number(value)}" for value in one.measures[column]]
    if facts.distances and distance is not None:
        return [f"distance {number(distance)}"] * len(one.doc)
    return [sampler.ranking.by] * len(one.doc)


def example_sections(
    arms: Mapping[str, Chosen], samplers: Mapping[str, Sampler], corpus: Corpus, names: Sequence[str],
    vectors: Mapping[str, np.ndarray], documents: Sequence[Path],
) -> list[Section]:  # fmt: skip
    """Typical documents of the last round of each arm. `vectors`: of the documents of that round, float [n, d]."""
    picked = {}
    for name, one in arms.items():
        last = one.of(int(one.round.max(initial=0)))
        picked[name] = (last, *typical(vectors[name]))
    texts = read_examples(
        documents, np.unique(np.concatenate([last.doc[at] for last, at, _ in picked.values()]))
    )
    sections = []
    for name, (last, at, sizes) in picked.items():
        lines = []
        for i, size in zip(at.tolist(), sizes.tolist(), strict=True):
            position = int(corpus.at(last.doc[i : i + 1])[0])
            distance = float(corpus.distance[position]) if corpus.clusters else None
            lines.append(
                [str(last.doc[i]), names[corpus.label[position]], score_text(samplers[name], last, distance)[i],
                 str(size), texts[int(last.doc[i])]]
            )  # fmt: skip
        head = ["document", "label", "chosen by", "stands for", "text"]
        index = int(last.round.max(initial=0))
        title = f"{name}: typical documents of " + (f"round {index}" if index else "the draw")
        sections.append(Section(title, (head, lines), folded=True))
    return sections


def legend(
    samplers: Mapping[str, tuple[Sampler, Sampler | None]], corpus: Corpus, fitted: Projection, seed: int
) -> Iterator[str]:
    """What the page shows, and what it does not."""
    yield (
        f"The map: the first two principal components of the vectors, fitted on {len(corpus.sample):,} random documents of the "
        f"pool, of which {min(SHOWN, len(corpus.sample)):,} are shown in grey. It keeps {sum(fitted.explained):.1%} of their "
        "variance: points that are apart on the map are apart in the vectors, but points that coincide on it need not be alike. "
        f"Chosen documents are those of data seed {seed}; later rounds lie on top of earlier ones."
    )
    yield (
        "The table: what each round added, means over the data seeds (each seed in the CSV). Pool: documents that are not held "
        "out and in no excluded cluster. Entropy: of what the model of the round before predicted of the documents when they "
        "were chosen, in nats; empty for the first draw, and for fine-tuned models of arms that ask none."
    )
    for name, (sampler, start) in samplers.items():
        first = f" First draw: {why(start)}." if start else ""
        yield f"{name}: {why(sampler)}.{first}"
    yield (
        f"Typical documents: the vectors of the last round are put into {EXAMPLES} groups (k-means), and the document nearest to "
        f"each group's centre is shown, with the size of the group. Texts are cut at {CHARACTERS} characters. Chosen by: the "
        "value that the sampler ranked the document by."
    )


def main(
    *,
    documents: list[Path],
    embeddings: list[Path],
    source: Path,
    heldout: Path,
    assignments: list[Path] = [],
    clusters: list[Path] = [],
    draws: list[Path],
    predictions: list[Path] = [],
    spec: str,
    out: Path,
) -> None:
    """Show which documents the arms of a table chose in each round.

    Args:
        documents: document shards (doc, text, label, bytes).
        embeddings: vectors of the same shards, in the same order (.npy).
        source: source.json of the corpus, which names its classes.
        heldout: documents outside the pool (parquet: doc).
        assignments: assignment shards of the experiment's clustering (doc, cluster, distance).
        clusters: its cluster table (cluster, excluded).
        draws: of each arm of the spec, in its order: draws.parquet of probes, or draw.parquet of each seed and round.
        predictions: of each arm, seed and round of the spec's `predictions`, in its order, a file per shard of documents.
        spec: JSON: title, arms (a list: name, sampler, start (sampler of the first draw, or null), draws and predictions: data seed
            and round of each; draws is null for probes), links (text and file of pages beside).
        out: prefix of the files to write.
    """
    settings = read_spec(spec, "title", "arms", "links")
    names = (read_json(source).get("labels") or {}).get("names")
    if not names:
        raise InputError(f"{source}: the corpus has no labels; rounds of labelling are of a labelled corpus")
    files, predicted = iter(draws), iter(predictions)
    arms: dict[str, dict[int, Chosen]] = {}
    samplers: dict[str, tuple[Sampler, Sampler | None]] = {}
    for arm in settings["arms"]:
        name = arm["name"]
        samplers[name] = (from_config(arm["sampler"]), from_config(arm["start"]) if arm["start"] else None)
        if arm["draws"] is None:
            arms[name] = chosen_of_probes(next(files))
            continue
        of_arm = [(seed, index, next(files)) for seed, index in arm["draws"]]
        shards = [(seed, index, next(predicted)) for seed, index in arm["predictions"] for _ in documents]
        arms[name] = chosen_of_runs(of_arm, shards)
    every = np.unique(np.concatenate([one.doc for seeds in arms.values() for one in seeds.values()]))
    corpus = read_corpus(
        documents, listed_docs([heldout]), assignments, clusters[0] if clusters else None, every, len(names)
    )
    seed = min(set.intersection(*(set(seeds) for seeds in arms.values())) or {min(next(iter(arms.values())))})
    shown = {name: seeds.get(seed, seeds[min(seeds)]) for name, seeds in arms.items()}
    wanted = np.unique(np.concatenate([corpus.sample, *(one.doc for one in shown.values())]))
    vectors = read_vectors(documents, embeddings, wanted)

    def of(doc: np.ndarray) -> np.ndarray:
        return vectors[np.searchsorted(wanted, doc)]

    fitted = fit_projection(of(corpus.sample))
    svg = plot(
        {name: one.round for name, one in shown.items()},
        {name: fitted(of(one.doc)) for name, one in shown.items()},
        fitted(of(corpus.sample[:SHOWN])), fitted, f"{settings['title']} (data seed {seed})",
    )  # fmt: skip
    rows = csv_rows(arms, corpus, names)
    last = {name: of(one.of(int(one.round.max(initial=0))).doc) for name, one in shown.items()}
    sections = [
        Section("What each round chose", round_table(rows, names, corpus.clusters)),
        *example_sections(shown, {name: one for name, (one, _) in samplers.items()}, corpus, names, last, documents),
    ]  # fmt: skip
    page = Page(
        title=settings["title"], warnings=[], legend=list(legend(samplers, corpus, fitted, seed)),
        sections=sections, plots=[("Map of the vectors", svg)], links=[(text, file) for text, file in settings["links"]],
    )  # fmt: skip
    columns = ["arm", "data_seed", "round", "labels", "documents", *(f"share_{name}" for name in names), "clusters",
               *MEASURES, "mean_bytes"]  # fmt: skip
    write_rows(Path(f"{out}.csv"), rows, columns)
    write_text(Path(f"{out}.svg"), svg)
    write_text(Path(f"{out}.html"), html_page(page))
    say(f"[chosen] {len(arms)} arms, {len(every):,} documents")


if __name__ == "__main__":
    run(main)
