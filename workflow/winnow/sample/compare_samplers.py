"""Draws -> how different the samplers are at all: a gate before anything is trained on them.

Every arm of a table against the table's baseline, then the other pairs of an experiment, on average over their data seeds:
overlap of documents (Jaccard) beside the overlap of two independent draws of the pool; total variation
between their allocations to clusters, their mixes of domains and of labels; Kolmogorov-Smirnov distance between their
lengths and between their distances to the centroid; exact duplicates. Each is compared with two random draws of the same
sizes from the same pool. A pair none of whose measures is beyond those of random draws, and which shares more documents than
chance, hardly differs: training on it can show nothing but noise. At chance overlap the documents are others, and no
difference is seen: what a sampler ranks by may be something that is not measured here.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.pages import html_page, markdown
from winnow.parquet import Lookup, batches, open_parquet, read_table
from winnow.sample.candidates import Rows, Smallest
from winnow.sample.overlap import (
    REFERENCES,
    Draw,
    Facts,
    Measures,
    chance_jaccard,
    compare_pair,
    limits_of,
    make_draw,
    mean_of,
    verdict,
)
from winnow.sample.overlap_page import PAIR, REFERENCE, page_of, warnings_of
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, read_json, run, say, write_text

STAGE_VERSION = 4  # covers winnow.sample.overlap and overlap_page, too
LIKE = (
    0.9  # draws of at least this share of the largest one's size are compared with random draws of that size
)
COLUMNS = ("table", "experiment", "kind", "a", "b", "seeds", "pool", "documents_a", "documents_b", "jaccard", "chance_jaccard",
           "allocation_tv", "group_tv", "label_tv", "distance_ks", "length_ks", "length_difference", "duplicate_difference",
           "mean_distance_a", "mean_distance_b", "mean_bytes_a", "mean_bytes_b", "duplicates_a", "duplicates_b",
           "bytes_a", "bytes_b", "tokens_a", "tokens_b", "verdict")  # fmt: skip


def random_draws(
    documents: Sequence[Path],
    heldout: np.ndarray,
    size: int,
    excluded: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[list[np.ndarray], int]:
    """(REFERENCES random draws of the pool, int64 [size] in the order of their keys, so that the first n of one are a draw of
    n; documents of the pool). The pool is all but `heldout`, int64, and what `excluded` says of documents (bool [n])."""
    draws = [Smallest(np.array([float(size)]), seed, purpose="inspect") for seed in range(REFERENCES)]
    for path in documents:
        for (doc,) in batches(path, ["doc"]):
            doc = doc[~np.isin(doc, heldout)]
            if excluded is not None:
                doc = doc[~excluded(doc)]
            if len(doc):
                for smallest in draws:
                    smallest.add(Rows(np.zeros(len(doc), dtype=np.int32), doc))
    return [smallest.finish().doc for smallest in draws], int(draws[0].pool[0])


def read_facts(documents: Sequence[Path], drawn: np.ndarray, group: str | None, label: bool = False) -> Facts:
    """Lengths, digests, domains and labels of the documents `drawn` (int64 [n], ascending, without duplicates); a missing
    domain or label has a code of its own. Raises InputError for a document that no shard holds."""
    size = np.zeros(len(drawn), dtype=np.int64)
    digest = np.zeros(len(drawn), dtype=np.uint64)
    digests = True
    names: dict[str, list[pa.Array]] = {name: [] for name in ([group] if group else []) + ["label"] * label}
    positions: list[np.ndarray] = []
    progress = Progress("compare samplers", len(documents), "shards")
    for path in documents:
        columns = list(dict.fromkeys(["doc", "bytes", *names]))
        with open_parquet(path, columns) as file:
            digests = digests and "digest" in file.schema_arrow.names
            columns += ["digest"] if digests else []
            for batch in file.iter_batches(1 << 17, columns=columns):
                doc = batch.column("doc").to_numpy()
                nearest = np.minimum(np.searchsorted(drawn, doc), max(0, len(drawn) - 1))
                rows = np.flatnonzero(drawn[nearest] == doc)
                at = nearest[rows]
                size[at] = batch.column("bytes").to_numpy()[rows]
                if digests:
                    digest[at] = batch.column("digest").to_numpy()[rows].view(np.uint64)
                positions.append(at)
                for name, parts in names.items():
                    parts.append(pc.cast(batch.column(name).take(pa.array(rows)), pa.string()))
        progress.add(1)
    if (count := sum(map(len, positions))) != len(drawn):
        raise InputError(
            f"--documents: the draws have {len(drawn):,} documents, the shards hold {count:,} of them; take the corpus they were "
            "drawn from"
        )

    def codes(name: str | None) -> np.ndarray | None:
        if not name or name not in names:
            return None
        encoded = pa.chunked_array(names[name]).combine_chunks().dictionary_encode(null_encoding="encode")
        code = np.zeros(len(drawn), dtype=np.int64)
        code[np.concatenate(positions)] = encoded.indices.to_numpy()
        return code

    return Facts(drawn, size, codes(group), codes("label"), digest if digests else None)


@dataclass
class Clustering:
    """Assignment shards of a clustering, and the ids of its excluded clusters, int64."""

    assignments: list[Path]
    excluded: np.ndarray

    def out_of_pool(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Tells which documents are in excluded clusters; None if no cluster is excluded."""
        if not len(self.excluded):
            return None
        lookup = Lookup(self.assignments, "cluster")
        return lambda doc: np.isin(lookup(doc), self.excluded)


@dataclass
class Plan:
    """A section of the page: pairs of arms to compare, of a table or an experiment; `names`: how the arms are shown."""

    table: str | None
    experiment: str | None
    pairs: list[tuple[str, str]]
    names: dict[str, str]

    @property
    def title(self) -> str:
        return f"table {self.table}" if self.table else str(self.experiment)


def plans(arms: Sequence[Mapping[str, Any]], tables: Sequence[Mapping[str, Any]]) -> list[Plan]:
    """The pairs to compare: each arm of a table against its baseline, then the other pairs of each experiment. A
    table whose baseline has no draw here (another corpus's, a published model) has no section."""
    drawn = dict.fromkeys(f"{arm['experiment']}/{arm['sampler']}" for arm in arms)
    sections, seen = [], set()
    for table in tables:
        members = [arm for arm in table["arms"] if arm in drawn]
        if table["baseline"] not in members or len(members) < 2:
            continue
        pairs = [(table["baseline"], arm) for arm in members if arm != table["baseline"]]
        seen |= {frozenset(pair) for pair in pairs}
        several = len({arm.split("/")[0] for arm in members}) > 1
        names = {arm: arm if several else arm.split("/")[1] for arm in members}
        sections.append(Plan(table["name"], None, pairs, names))
    for name in dict.fromkeys(arm["experiment"] for arm in arms):
        members = [arm for arm in drawn if arm.split("/")[0] == name]
        pairs = [pair for pair in itertools.combinations(members, 2) if frozenset(pair) not in seen]
        if pairs:
            sections.append(Plan(None, name, pairs, {arm: arm.split("/")[1] for arm in members}))
    return sections


def read_draw(path: Path, arm: Mapping[str, Any]) -> np.ndarray:
    """The documents of a draw, int64, ascending: those of a file, or, of a probe, of its data seed in the file of its arm."""
    table = read_table(path, columns=["doc", *(["data_seed"] if arm["probe"] else [])])
    if arm["probe"]:
        table = table.filter(pc.equal(table["data_seed"], arm["seed"]))
        if not len(table):
            raise InputError(f"{path}: no draw of data seed {arm['seed']}; run the probes again")
    return np.sort(table["doc"].to_numpy())


class References:
    """Pairs of random draws, as `random_draws` makes them, of any two sizes; measured once."""

    def __init__(self, randoms: Sequence[np.ndarray], facts: Facts):
        self.randoms, self.facts = randoms, facts
        self._draws: dict[int, list[Draw]] = {}
        self._measures: dict[tuple[int, int], list[Measures]] = {}

    def draws(self, size: int) -> list[Draw]:
        """The random draws of `size` documents."""
        if size not in self._draws:
            self._draws[size] = [make_draw(np.sort(doc[:size]), self.facts) for doc in self.randoms]
        return self._draws[size]

    def measures(self, one: int, other: int) -> list[Measures]:
        """Measures of every two random draws, the first of `one` documents, the second of `other`."""
        if (one, other) not in self._measures:
            first, second = self.draws(one), self.draws(other)
            pairs = itertools.combinations(range(len(self.randoms)), 2)
            self._measures[one, other] = [compare_pair(first[i], second[j]) for i, j in pairs]
        return self._measures[one, other]


def compare(
    arms: Sequence[Mapping[str, Any]], draws: Sequence[Path], tokens: Sequence[int | None],
    documents: Sequence[Path], heldout: np.ndarray, clusterings: Mapping[str, Clustering], group: str | None,
    label: bool = False, tables: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of the table (COLUMNS): of each section the reference first, then its pairs.

    `arms`: experiment, sampler, seed, clustering (of the experiment, or None), probe; `draws` and `tokens` (of the train split,
    or None) in their order; `tables`: name, baseline and arms (experiment/sampler).
    """
    place: dict[str, dict[int, int]] = {}  # of an arm, by data seed
    for i, arm in enumerate(arms):
        place.setdefault(f"{arm['experiment']}/{arm['sampler']}", {})[arm["seed"]] = i
    rows: list[dict[str, Any]] = []
    random_of: dict[tuple[str | None, int], tuple[list[np.ndarray], int]] = {}
    for plan in plans(arms, tables):
        members = sorted({arm for pair in plan.pairs for arm in pair})
        docs = {i: read_draw(draws[i], arms[i]) for arm in members for i in place[arm].values()}
        names = [arms[i]["clustering"] for arm in (plan.pairs[0][0], *members) for i in place[arm].values()]
        name = next((name for name in names if name), None)
        clustering = clusterings[name] if name else None
        largest = max(map(len, docs.values()))
        if (name, largest) not in random_of:
            excluded = clustering.out_of_pool() if clustering else None
            random_of[name, largest] = random_draws(documents, heldout, largest, excluded)
        randoms, pool = random_of[name, largest]
        facts = read_facts(documents, np.unique(np.concatenate([*docs.values(), *randoms])), group, label)
        if clustering:
            facts.cluster = Lookup(clustering.assignments, "cluster")(facts.doc).astype(np.int64)
            facts.cluster -= facts.cluster.min()
            facts.distance = Lookup(clustering.assignments, "distance")(facts.doc)
        made = {i: make_draw(doc, facts, tokens[i]) for i, doc in docs.items()}
        references = References(randoms, facts)
        rows += _section(plan, place, made, references, largest, pool)
    return rows


def _section(
    plan: Plan, place: Mapping[str, Mapping[int, int]], draws: Mapping[int, Draw], references: References, largest: int,
    pool: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of a plan: of the reference, and of its pairs."""
    head = {"table": plan.table, "experiment": plan.experiment, "pool": pool}
    spread = mean_of(
        [
            {name: None if value is None else abs(value) for name, value in row.items()}
            for row in references.measures(largest, largest)
        ]
    )
    randoms = references.draws(largest)
    pairs = list(zip(randoms[::2], randoms[1::2], strict=True))
    shown = ("random draw", "another random draw")
    rows = [_row({**head, "kind": REFERENCE, "seeds": None}, *shown, pairs, pool, spread, None)]
    for a, b in plan.pairs:
        seeds = sorted(set(place[a]) & set(place[b]))
        if not seeds:
            say(f"[compare samplers] {plan.title}: {a} and {b} have no data seed in common: not compared")
            continue
        pairs = [(draws[place[a][s]], draws[place[b][s]]) for s in seeds]
        sizes = [int(np.mean([len(pair[side].doc) for pair in pairs])) for side in (0, 1)]
        one, other = (largest if size >= LIKE * largest else size for size in sizes)
        measures = mean_of([compare_pair(*pair) for pair in pairs])
        limits = limits_of(references.measures(one, other), len(pairs), min(sizes))
        shown = (plan.names[a], plan.names[b])
        kind = {**head, "kind": PAIR, "seeds": len(pairs)}
        rows.append(_row(kind, *shown, pairs, pool, measures, verdict(measures, limits)))
    return rows


def _row(
    head: dict[str, Any], a: str, b: str, pairs: Sequence[tuple[Draw, Draw]], pool: int, measures: Measures,
    verdict: str | None,
) -> dict[str, Any]:  # fmt: skip
    row: dict[str, Any] = {**head, "a": a, "b": b, "verdict": verdict, **measures}

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    for side, name in enumerate("ab"):
        draws = [pair[side] for pair in pairs]
        documents = float(np.mean([len(d.doc) for d in draws]))
        size = float(np.mean([d.bytes for d in draws]))
        row[f"documents_{name}"], row[f"bytes_{name}"] = documents, size
        row[f"mean_bytes_{name}"] = size / max(1.0, documents)
        row[f"tokens_{name}"] = mean(d.tokens for d in draws)
        row[f"duplicates_{name}"] = mean(d.duplicates for d in draws)
        row[f"mean_distance_{name}"] = mean(
            None if d.distances is None or not len(d.distances) else float(d.distances.mean()) for d in draws
        )
    row["chance_jaccard"] = chance_jaccard(row["documents_a"], row["documents_b"], pool)
    return row


def read_clusterings(
    names: Sequence[tuple[str, int]], assignments: Sequence[Path], clusters: Sequence[Path]
) -> dict[str, Clustering]:
    """Clusterings by name. `names`: name and shards of each; `assignments`: their shards, one clustering after the other;
    `clusters`: their cluster tables. Raises InputError for other numbers of files."""
    for option, files, count in (
        ("--assignments", assignments, sum(shards for _, shards in names)),
        ("--clusters", clusters, len(names)),
    ):
        if len(files) != count:
            raise InputError(f"{option}: {len(files)} files; the clusterings of --spec have {count}")
    out, start = {}, 0
    for index, (name, shards) in enumerate(names):
        table = read_table(clusters[index], columns=["cluster", "excluded"])
        excluded = table.filter(table["excluded"])["cluster"].to_numpy().astype(np.int64)
        out[name] = Clustering(list(assignments[start : start + shards]), excluded)
        start += shards
    return out


def read_tokens(arms: Sequence[Mapping[str, Any]], paths: Sequence[Path]) -> list[int | None]:
    """Tokens of the train split of each arm's draw; None for an arm whose model reads none. Raises InputError."""
    count = sum(arm["tokens"] for arm in arms)
    if len(paths) != count:
        raise InputError(f"--tokens: {len(paths)} files; {count} arms of --spec have tokens")
    files = iter(paths)
    return [int(read_json(next(files))["tokens"]) if arm["tokens"] else None for arm in arms]


def main(
    *,
    draws: list[Path],
    documents: list[Path],
    heldout: Path,
    assignments: list[Path] = [],
    clusters: list[Path] = [],
    tokens: list[Path] = [],
    spec: str,
    out: Path,
) -> None:
    """Compare the draws of a corpus.

    Args:
        draws: draw.parquet of every arm and data seed; of an arm of probes, for each of its seeds, its draws.parquet.
        documents: document shards of the corpus (doc, bytes, digest, the columns of domain and label).
        heldout: documents outside the pool (parquet: doc).
        assignments: assignment shards of the clusterings, one clustering after the other as the spec names them.
        clusters: the cluster tables of the same clusterings (parquet: cluster, excluded), whose excluded clusters are out of
            the pool.
        tokens: JSON of the packed train split of each arm that the spec says has tokens, in the order of the arms.
        spec: JSON: name (of the corpus), arms (in the order of draws: experiment, sampler, seed, clustering; tokens: whether its
            model reads tokens; probe: whether the file holds all seeds), clusterings (name and shards of each, in the order of assignments), tables (name, baseline and
            arms of each table that has arms here), group (column of the domain, or null), label (whether documents have one).
        out: prefix of the files to write: .csv, .md, .html.
    """
    settings = read_spec(spec, "name", "arms", "clusterings", "tables", "group", "label")
    arms = settings["arms"]
    if len(arms) != len(draws):
        raise InputError(f"--draws: {len(draws)} files for the {len(arms)} arms of --spec")
    clusterings = read_clusterings(settings["clusterings"], assignments, clusters)
    excluded = np.unique(
        np.concatenate([np.zeros(0, dtype=np.int64), *(b[0] for b in batches(heldout, ["doc"]))])
    )
    rows = compare(
        arms, draws, read_tokens(arms, tokens), documents, excluded, clusterings, settings["group"], settings["label"],
        settings["tables"],
    )  # fmt: skip
    for warning in warnings_of(rows):
        say(f"[compare samplers] {warning}")
    page = page_of(rows, f"{settings['name']}: how different the samplers are")
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out.with_name(out.name + ".csv"), text.getvalue())
    write_text(out.with_name(out.name + ".md"), markdown(page))
    write_text(out.with_name(out.name + ".html"), html_page(page))


if __name__ == "__main__":
    run(main)
