"""Draws -> how different the samplers are at all: a gate before anything is trained on them.

Every arm of a table against the table's baseline, then the other pairs of an experiment, on average over their data seeds:
overlap of documents (Jaccard) beside the overlap that chance gives two independent draws of the pool; total variation
between their allocations to clusters, their mixes of domains and of labels; Kolmogorov-Smirnov distance between their
lengths and between their distances to the centroid; exact duplicates. Each is held against two random draws of the same
sizes from the same pool. A pair of which no figure is beyond those of random draws, and which shares more documents than
chance, hardly differs: training on it can show nothing but noise. At chance overlap the documents are others, and the gate
says only that it sees no difference: a ranking by something that is not measured here is one that it cannot see.
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
import pyarrow.parquet as pq

from winnow.pages import Page, Section, html_page, markdown
from winnow.parquet import Lookup, batches, open_parquet
from winnow.sample.draw import Rows, Smallest
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, read_json, run, say, write_text

STAGE_VERSION = 3
REFERENCES = 32  # random draws; every two of them make a reference
RESAMPLES = 2000
LEVEL = 0.05  # of two random arms, about this share are called different
SAME = 0.9  # Jaccard from which on two draws are the same documents for all purposes
LIKE = (
    0.9  # a draw of this share of the largest one's size, or more, is held against random draws of that size
)
FEW_DUPLICATES = 3  # a difference of fewer duplicates than this is none
Figures = dict[str, float | None]
SIGNED = ("length_difference", "duplicate_difference")
COLUMNS = ("table", "experiment", "kind", "a", "b", "seeds", "pool", "documents_a", "documents_b", "jaccard", "chance_jaccard",
           "allocation_tv", "group_tv", "label_tv", "distance_ks", "length_ks", "length_difference", "duplicate_difference",
           "mean_distance_a", "mean_distance_b", "mean_bytes_a", "mean_bytes_b", "duplicates_a", "duplicates_b",
           "bytes_a", "bytes_b", "tokens_a", "tokens_b", "verdict")  # fmt: skip
HARDLY, NEARLY, DIFFER = "hardly differ", "nearly the same documents", "differ"
UNSEEN = "no difference seen"
REFERENCE, PAIR = "reference", "pair"


@dataclass
class Facts:
    """What is known of the documents that any draw holds: `doc` int64 [n], ascending; `bytes` int64 [n]; codes of the
    domain and the label, `digest` of the text, and of one clustering `cluster` and `distance` to the centroid, each [n]
    or None where there are none."""

    doc: np.ndarray
    bytes: np.ndarray
    group: np.ndarray | None
    label: np.ndarray | None = None
    digest: np.ndarray | None = None
    cluster: np.ndarray | None = None
    distance: np.ndarray | None = None

    def at(self, doc: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.doc, doc)


@dataclass
class Draw:
    """A draw: `doc` int64 [n], ascending; its mixes by cluster, domain and label, as count arrays; its lengths in bytes and
    its distances, ascending; the share of documents that are exact duplicates of another (None each: unknown); tokens of
    its train split."""

    doc: np.ndarray
    clusters: np.ndarray | None
    groups: np.ndarray | None
    labels: np.ndarray | None
    lengths: np.ndarray
    distances: np.ndarray | None
    duplicates: float | None
    tokens: int | None = None

    @property
    def bytes(self) -> int:
        return int(self.lengths.sum())


def total_variation(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Half the sum of absolute differences of two mixes, given as counts of the same length, 0 to 1."""
    if one is None or other is None:
        return None
    return float(np.abs(one / max(1, one.sum()) - other / max(1, other.sum())).sum() / 2)


def kolmogorov_smirnov(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Largest difference of two distribution functions, given as values in ascending order, 0 to 1."""
    if one is None or other is None or not len(one) or not len(other):
        return None
    at = np.concatenate([one, other])
    shares = [np.searchsorted(values, at, side="right") / len(values) for values in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Documents of both over documents of either; int64 arrays, ascending."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / max(1, len(one) + len(other) - both)


def chance_jaccard(one: float, other: float, pool: int) -> float:
    """Overlap of two independent draws of `one` and `other` documents from a pool: their expected common documents,
    one x other / pool, over the expected rest."""
    both = one * other / max(1, pool)
    return both / max(1.0, one + other - both)


def compare_pair(one: Draw, other: Draw) -> Figures:
    """The figures of a pair of draws."""
    mean = [d.bytes / max(1, len(d.doc)) for d in (one, other)]
    known = one.duplicates is not None and other.duplicates is not None
    return {
        "jaccard": jaccard(one.doc, other.doc),
        "allocation_tv": total_variation(one.clusters, other.clusters),
        "group_tv": total_variation(one.groups, other.groups),
        "label_tv": total_variation(one.labels, other.labels),
        "distance_ks": kolmogorov_smirnov(one.distances, other.distances),
        "length_ks": kolmogorov_smirnov(one.lengths, other.lengths),
        "length_difference": mean[1] / max(mean[0], 1e-9) - 1,
        "duplicate_difference": other.duplicates - one.duplicates if known else None,  # type: ignore[operator]
    }


def verdict(pair: Figures, limits: Figures) -> str:
    """Whether a pair differs by more than two random draws do. `limits`: those of `limits_of`.

    Draws that overlap less than random ones differ on purpose, even if their mixes are equal. Draws that overlap more, and
    differ in nothing else, hardly differ. At chance overlap without another difference none is seen.
    """
    overlap = pair["jaccard"]
    assert overlap is not None
    if overlap >= SAME:
        return NEARLY
    if overlap < (limits["jaccard"] or 0.0):
        return DIFFER
    for name, value in pair.items():
        limit = limits.get(name)
        if name != "jaccard" and value is not None and limit is not None and abs(value) > limit:
            return DIFFER
    above = limits["jaccard_above"]
    return HARDLY if above is not None and overlap > above else UNSEEN


def mean_of(rows: Sequence[Figures]) -> Figures:
    out: Figures = {}
    for name in rows[0]:
        known = [value for row in rows if (value := row[name]) is not None]
        out[name] = float(np.mean(known)) if known else None
    return out


def limits_of(references: Sequence[Figures], seeds: int, documents: int = 0) -> Figures:
    """What the figures of two random arms, means over `seeds` pairs of draws of about `documents`, hardly exceed (jaccard:
    hardly fall below; jaccard_above: exceed): quantiles of means of `seeds` references chosen at random. LEVEL is shared by
    the figures that are known (Bonferroni), for a pair differs if any of them does; the distance from their mean is that of
    a prediction, as the mean comes of REFERENCES / 2 independent pairs."""
    generator = np.random.default_rng(0)
    chosen = generator.integers(0, len(references), (RESAMPLES, seeds))
    known = {name for name in references[0] if references[0][name] is not None}
    out: Figures = {}
    for name in references[0]:
        if name not in known:
            out[name] = None
            continue
        means = np.abs(np.array([row[name] for row in references], dtype=np.float64)[chosen].mean(1))
        share = LEVEL / len(known)
        wider = np.sqrt(1 + 2 * seeds / REFERENCES)
        high = float(means.mean() + (np.quantile(means, 1 - share) - means.mean()) * wider)
        out[name] = high
        if name == "jaccard":
            out["jaccard"] = float(means.mean() + (np.quantile(means, share) - means.mean()) * wider)
            out["jaccard_above"] = high
        if name == "duplicate_difference" and documents:
            out[name] = max(high, FEW_DUPLICATES / documents)
    return out


def random_draws(
    documents: Sequence[Path],
    heldout: np.ndarray,
    size: int,
    left_out: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[list[np.ndarray], int]:
    """(REFERENCES random draws of the pool, int64 [size] in the order of their keys, so that the first n of one are a draw of
    n; documents of the pool). The pool is all but `heldout` and what `left_out` says of documents (bool [n])."""
    keep = [Smallest(np.array([float(size)]), seed, purpose="inspect") for seed in range(REFERENCES)]
    for path in documents:
        for (doc,) in batches(path, ["doc"]):
            doc = doc[~np.isin(doc, heldout)]
            if left_out is not None:
                doc = doc[~left_out(doc)]
            if len(doc):
                for smallest in keep:
                    smallest.add(Rows(np.zeros(len(doc), dtype=np.int32), doc))
    return [smallest.finish().doc for smallest in keep], int(keep[0].pool[0])


def read_facts(
    documents: Sequence[Path], wanted: np.ndarray, group: str | None, label: bool = False
) -> Facts:
    """Lengths, digests, domains and labels of the wanted documents (int64 [n], ascending, without repeats); a missing domain
    or label is a code of its own."""
    size = np.zeros(len(wanted), dtype=np.int64)
    digest = np.zeros(len(wanted), dtype=np.uint64)
    digests = True
    names: dict[str, list[pa.Array]] = {name: [] for name in ([group] if group else []) + ["label"] * label}
    position: list[np.ndarray] = []
    found = 0
    progress = Progress("compare samplers", len(documents), "shards")
    for path in documents:
        columns = list(dict.fromkeys(["doc", "bytes", *names]))
        with open_parquet(path, columns) as file:
            digests = digests and "digest" in file.schema_arrow.names
            asked = [*columns, *(["digest"] if digests else [])]
            for batch in file.iter_batches(1 << 17, columns=asked):
                doc = batch.column("doc").to_numpy()
                at = np.minimum(np.searchsorted(wanted, doc), max(0, len(wanted) - 1))
                mine = np.flatnonzero(wanted[at] == doc)
                size[at[mine]] = batch.column("bytes").to_numpy()[mine]
                if digests:
                    digest[at[mine]] = batch.column("digest").to_numpy()[mine].view(np.uint64)
                found += len(mine)
                position.append(at[mine])
                for name, parts in names.items():
                    parts.append(pc.cast(batch.column(name).take(pa.array(mine)), pa.string()))
        progress.add(1)
    if found != len(wanted):
        raise InputError(f"the draws hold {len(wanted):,} documents, the shards only {found:,} of them")

    def codes(name: str | None) -> np.ndarray | None:
        if not name or name not in names:
            return None
        encoded = pa.chunked_array(names[name]).combine_chunks().dictionary_encode(null_encoding="encode")
        code = np.zeros(len(wanted), dtype=np.int64)
        code[np.concatenate(position)] = encoded.indices.to_numpy()
        return code

    return Facts(wanted, size, codes(group), codes("label"), digest if digests else None)


def make_draw(doc: np.ndarray, facts: Facts, tokens: int | None = None) -> Draw:
    """The draw of the documents `doc`, int64, ascending."""
    at = facts.at(doc)

    def mix(code: np.ndarray | None) -> np.ndarray | None:
        return None if code is None else np.bincount(code[at], minlength=int(code.max()) + 1)

    duplicates = None
    if facts.digest is not None and len(doc):
        duplicates = 1 - len(np.unique(facts.digest[at])) / len(doc)
    distances = None if facts.distance is None else np.sort(facts.distance[at])
    return Draw(doc, mix(facts.cluster), mix(facts.group), mix(facts.label), np.sort(facts.bytes[at]), distances,
                duplicates, tokens)  # fmt: skip


@dataclass
class Clustering:
    """Assignment shards of a clustering, and the ids of its excluded clusters, int64."""

    assignments: list[Path]
    excluded: np.ndarray

    def left_out(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Tells which documents the exclusions take out of the pool; None if they take none."""
        if not len(self.excluded):
            return None
        lookup = Lookup(self.assignments, "cluster")
        return lambda doc: np.isin(lookup(doc), self.excluded)


@dataclass
class Plan:
    """A chapter of the page: pairs of arms to compare, under a table or an experiment; `names`: what the arms are called."""

    table: str | None
    experiment: str | None
    pairs: list[tuple[str, str]]
    names: dict[str, str]

    @property
    def title(self) -> str:
        return f"table {self.table}" if self.table else str(self.experiment)


def plans(arms: Sequence[Mapping[str, Any]], tables: Sequence[Mapping[str, Any]]) -> list[Plan]:
    """The pairs to compare: each arm of a table against its baseline, then what is left of the pairs of each experiment. A
    table whose baseline has no draw here (another corpus's, a published model) has no chapter."""
    known = dict.fromkeys(f"{arm['experiment']}/{arm['sampler']}" for arm in arms)
    found, seen = [], set()
    for table in tables:
        mine = [arm for arm in table["arms"] if arm in known]
        if table["baseline"] not in mine or len(mine) < 2:
            continue
        pairs = [(table["baseline"], arm) for arm in mine if arm != table["baseline"]]
        seen |= {frozenset(pair) for pair in pairs}
        several = len({arm.split("/")[0] for arm in mine}) > 1
        names = {arm: arm if several else arm.split("/")[1] for arm in mine}
        found.append(Plan(table["name"], None, pairs, names))
    for name in dict.fromkeys(arm["experiment"] for arm in arms):
        mine = [arm for arm in known if arm.split("/")[0] == name]
        pairs = [pair for pair in itertools.combinations(mine, 2) if frozenset(pair) not in seen]
        if pairs:
            found.append(Plan(None, name, pairs, {arm: arm.split("/")[1] for arm in mine}))
    return found


def compare(
    arms: Sequence[dict[str, Any]], draws: Sequence[Path], tokens: dict[str, int],
    documents: Sequence[Path], heldout: np.ndarray, clusterings: Mapping[str, Clustering], group: str | None,
    label: bool = False, tables: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of the table (COLUMNS): of each chapter the reference first, then its pairs.

    `arms`, in the order of `draws`: experiment, sampler, seed, clustering (of the experiment, or None);
    `tokens` by path of a draw; `tables`: name, baseline and arms (experiment/sampler).
    """
    place: dict[str, dict[int, int]] = {}
    for i, arm in enumerate(arms):
        place.setdefault(f"{arm['experiment']}/{arm['sampler']}", {})[arm["seed"]] = i
    rows: list[dict[str, Any]] = []
    drawn: dict[tuple[str | None, int], tuple[list[np.ndarray], int]] = {}
    for plan in plans(arms, tables):
        wanted = sorted({arm for pair in plan.pairs for arm in pair})
        held = {
            i: np.sort(pq.read_table(draws[i], columns=["doc"])["doc"].to_numpy())
            for arm in wanted
            for i in place[arm].values()
        }
        of = [arms[i]["clustering"] for arm in (plan.pairs[0][0], *wanted) for i in place[arm].values()]
        name = next((name for name in of if name), None)
        clustering = clusterings[name] if name else None
        largest = max(len(doc) for doc in held.values())
        if (name, largest) not in drawn:
            drawn[name, largest] = random_draws(
                documents, heldout, largest, clustering.left_out() if clustering else None
            )
        randoms, pool = drawn[name, largest]
        facts = read_facts(documents, np.unique(np.concatenate([*held.values(), *randoms])), group, label)
        if clustering:
            facts.cluster = Lookup(clustering.assignments, "cluster")(facts.doc).astype(np.int64)
            facts.cluster -= facts.cluster.min()
            facts.distance = Lookup(clustering.assignments, "distance")(facts.doc)
        made = {i: make_draw(doc, facts, tokens.get(str(draws[i]))) for i, doc in held.items()}
        of_size: dict[int, list[Draw]] = {}
        known: dict[tuple[int, int], list[Figures]] = {}

        def references(
            one: int, other: int, facts: Facts = facts, randoms: list[np.ndarray] = randoms,
            of_size: dict[int, list[Draw]] = of_size, known: dict[tuple[int, int], list[Figures]] = known,
        ) -> list[Figures]:  # fmt: skip
            for size in (one, other):
                if size not in of_size:
                    of_size[size] = [make_draw(np.sort(doc[:size]), facts) for doc in randoms]
            if (one, other) not in known:
                both = itertools.combinations(range(REFERENCES), 2)
                known[one, other] = [compare_pair(of_size[one][i], of_size[other][j]) for i, j in both]
            return known[one, other]

        spread = mean_of(
            [
                {name: None if value is None else abs(value) for name, value in row.items()}
                for row in references(largest, largest)
            ]
        )
        head = {"table": plan.table, "experiment": plan.experiment, "pool": pool}
        twos = list(zip(of_size[largest][::2], of_size[largest][1::2], strict=True))
        what = ("random draw", "another random draw")
        rows.append(_row({**head, "kind": REFERENCE, "seeds": None}, *what, twos, pool, spread, None))
        for a, b in plan.pairs:
            seeds = sorted(set(place[a]) & set(place[b]))
            pairs = [(made[place[a][s]], made[place[b][s]]) for s in seeds]
            if not pairs:
                say(f"[compare samplers] {plan.title}: {a} and {b} have no data seed in common: not compared")
                continue
            sizes = [int(np.mean([len(pair[side].doc) for pair in pairs])) for side in (0, 1)]
            one, other = (largest if size >= LIKE * largest else size for size in sizes)
            figures = mean_of([compare_pair(*pair) for pair in pairs])
            limits = limits_of(references(one, other), len(pairs), min(sizes))
            names = (plan.names[a], plan.names[b])
            word = verdict(figures, limits)
            rows.append(_row({**head, "kind": PAIR, "seeds": len(pairs)}, *names, pairs, pool, figures, word))
    return rows


def _row(
    head: dict[str, Any], a: str, b: str, pairs: Sequence[tuple[Draw, Draw]], pool: int, figures: Figures, word: str | None,
) -> dict[str, Any]:  # fmt: skip
    row: dict[str, Any] = {**head, "a": a, "b": b, "verdict": word, **figures}

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


def title_of(row: Mapping[str, Any]) -> str:
    return f"table {row['table']}" if row["table"] else str(row["experiment"])


def warnings_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One loud line a pair that hardly differs, or of which no difference is seen."""
    words = {
        NEARLY: "ARE NEARLY THE SAME DOCUMENTS",
        HARDLY: "HARDLY DIFFER",
        UNSEEN: "hold other documents, as two random draws do, and NO DIFFERENCE IS SEEN in what is measured here",
    }
    return [
        f"{title_of(row)}: {row['a']} and {row['b']} {words[row['verdict']]}: overlap {row['jaccard']:.3f} "
        f"({row['chance_jaccard']:.3f} by chance)"
        + ("" if row["allocation_tv"] is None else f", total variation {row['allocation_tv']:.4f}")
        for row in rows
        if row["verdict"] in words
    ]


LEGEND = (
    "Overlap: documents of both over documents of either (Jaccard); by chance: that of two independent draws of these sizes "
    "from the pool. Arms of one data seed share keys, so two that rank at random overlap more than that.",
    "Allocations, domains, labels: total variation between the mixes, 0 (equal) to 1. Distance, length: Kolmogorov-Smirnov "
    "distance between the distributions of distances to the own centroid, and of bytes, 0 to 1. Duplicates: share of "
    "documents with the text of another one of the draw. Means over the data seeds that both arms have; a / b where the two "
    "arms are not alike.",
    "The reference is two random draws of the pool (without held-out documents and excluded clusters), mean of absolute "
    "values. A pair differs if it overlaps less than random draws do, or another figure is beyond theirs (of two random "
    "arms of one seed about one in twelve is called different by any of them, of three seeds one in fifteen). It hardly differs if it overlaps more than chance and "
    "differs in nothing else. At chance overlap the documents are others; what ranks them may be something that is not "
    "measured here, so that no difference is seen means no more than that.",
)


def _cells(row: dict[str, Any]) -> dict[str, str]:
    def both(name: str, form: str) -> str:
        values = [row[f"{name}_{side}"] for side in "ab"]
        if values == [None, None]:
            return ""
        shown = ["-" if v is None else format(v, form) for v in values]
        return shown[0] if shown[0] == shown[1] else " / ".join(shown)

    def plain(name: str) -> str:
        return "" if row[name] is None else f"{row[name]:.4f}"

    return {
        "a": row["a"], "b": row["b"], "overlap": plain("jaccard"), "by chance": plain("chance_jaccard"),
        "allocations": plain("allocation_tv"), "domains": plain("group_tv"), "labels": plain("label_tv"),
        "distance": plain("distance_ks"), "length": plain("length_ks"), "mean distance": both("mean_distance", ".4f"),
        "mean bytes": both("mean_bytes", ",.0f"), "duplicates": both("duplicates", ".4f"),
        "documents": both("documents", ",.0f"), "tokens": both("tokens", ",.0f"), "verdict": row["verdict"] or "reference",
    }  # fmt: skip


def page_of(rows: Sequence[dict[str, Any]], title: str) -> Page:
    """A chapter a table or experiment; columns of which nothing is known are left out."""
    chapters: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        chapters.setdefault(title_of(row), []).append(row)
    sections, said = [], []
    for name, mine in chapters.items():
        cells = [_cells(row) for row in mine]
        head = [column for column in cells[0] if any(line[column] for line in cells)]
        about = f"{name}: draws from a pool of {mine[0]['pool']:,} documents"
        sections.append(Section(about, (head, [[line[column] for column in head] for line in cells])))
        pairs = [row for row in mine if row["kind"] == PAIR]
        if mine[0]["table"] and pairs:
            differ = [row["b"] for row in pairs if row["verdict"] == DIFFER]
            some = f": {', '.join(differ)}" if differ else ""
            said.append(f"{name}: {len(differ)} of {len(pairs)} arms differ from {pairs[0]['a']}{some}.")
    return Page(title, warnings_of(rows), list(LEGEND), sections, answer=said)


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
        draws: draw.parquet of every arm and data seed.
        documents: document shards of the corpus (doc, bytes, digest, the columns of domain and label).
        heldout: documents outside the pool (parquet: doc).
        assignments: assignment shards of the clusterings, one clustering after the other as the spec names them.
        clusters: the cluster tables of the same clusterings (parquet: cluster, excluded): the pool is without what they exclude.
        tokens: JSON of a draw's packed train split, in the subset's folder `tokens`.
        spec: JSON: name (of the corpus), arms (in the order of draws: experiment, sampler, seed, clustering), clusterings (shards
            by name, in the order of assignments), tables (name, baseline and arms of each table that has arms here), group (column
            of the domain, or null), label (whether documents have one).
        out: prefix of the files to write: .csv, .md, .html.
    """
    settings = read_spec(spec, "name", "arms", "clusterings", "tables", "group", "label")
    if len(settings["arms"]) != len(draws):
        raise InputError(f"--draws: {len(draws)} files for the {len(settings['arms'])} arms of --spec")
    if clusters and len(clusters) != len(settings["clusterings"]):
        raise InputError(
            f"--clusters: {len(clusters)} files for the {len(settings['clusterings'])} clusterings of --spec"
        )
    found, left = {}, list(assignments)
    for index, (name, count) in enumerate(settings["clusterings"]):
        excluded = np.zeros(0, dtype=np.int64)
        if clusters:
            table = pq.read_table(clusters[index], columns=["cluster", "excluded"])
            excluded = table.filter(table["excluded"])["cluster"].to_numpy().astype(np.int64)
        found[name], left = Clustering(left[:count], excluded), left[count:]
    by_draw = {str(path.parent.parent / "draw.parquet"): int(read_json(path)["tokens"]) for path in tokens}
    nobody = np.zeros(0, dtype=np.int64)
    removed = np.unique(np.concatenate([nobody, *(b[0] for b in batches(heldout, ["doc"]))]))
    rows = compare(
        settings["arms"], draws, by_draw, documents, removed, found, settings["group"], settings["label"], settings["tables"]
    )  # fmt: skip
    for note in warnings_of(rows):
        say(f"[compare samplers] {note}")
    page = page_of(rows, f"{settings['name']}: how different the samplers are")
    table_ = io.StringIO()
    writer = csv.DictWriter(table_, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out.with_name(out.name + ".csv"), table_.getvalue())
    write_text(out.with_name(out.name + ".md"), markdown(page))
    write_text(out.with_name(out.name + ".html"), html_page(page))


if __name__ == "__main__":
    run(main)
