"""Draws -> how different the samplers are at all: a gate before anything is trained on them.

For every pair of arms of an experiment, on average over its data seeds: overlap of documents (Jaccard), total
variation between their allocations to clusters and between their mixes of domains, tokens (bytes where there is
no tokenizer) and mean length, beside the same figures for two random draws of the same size. A pair whose
figures are within those of two random draws hardly differs: training on it can show nothing but noise.
"""

from __future__ import annotations

import csv
import html
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.parquet import Lookup, batches, open_parquet
from winnow.render import STYLE
from winnow.sample import Rows, Smallest
from winnow.stage import InputError, Progress, read_json, read_spec, run, say, write_text

STAGE_VERSION = 2
REFERENCES = 16  # random draws; every two of them make a reference
RESAMPLES = 2000
LEVEL = 0.05  # of two random arms, about this share are called different
SAME = 0.9  # Jaccard from which on two draws are the same documents for all purposes
COLUMNS = ("experiment", "a", "b", "seeds", "documents_a", "documents_b", "jaccard", "allocation_tv", "group_tv",
           "bytes_a", "bytes_b", "mean_bytes_a", "mean_bytes_b", "length_difference", "tokens_a", "tokens_b",
           "verdict")  # fmt: skip
HARDLY, NEARLY, DIFFER = "hardly differ", "nearly the same documents", "differ"


@dataclass
class Facts:
    """What is known of the documents that any draw holds: `doc` int64 [n], ascending; `bytes` int64 [n];
    `group` int64 [n], code of the domain (None: there are none)."""

    doc: np.ndarray
    bytes: np.ndarray
    group: np.ndarray | None

    def at(self, doc: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.doc, doc)


@dataclass
class Draw:
    """A draw: `doc` int64 [n], ascending; its shares by cluster and by domain, as count arrays (None: unknown);
    bytes in all; tokens of its train split (None: unknown)."""

    doc: np.ndarray
    clusters: np.ndarray | None
    groups: np.ndarray | None
    bytes: int
    tokens: int | None = None


def total_variation(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Half the sum of absolute differences of two mixes, given as counts of the same length, 0 to 1."""
    if one is None or other is None:
        return None
    return float(np.abs(one / max(1, one.sum()) - other / max(1, other.sum())).sum() / 2)


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Documents of both over documents of either; int64 arrays, ascending."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / max(1, len(one) + len(other) - both)


def compare_pair(one: Draw, other: Draw) -> dict[str, float | None]:
    """The figures of a pair of draws."""
    mean = [d.bytes / max(1, len(d.doc)) for d in (one, other)]
    return {
        "jaccard": jaccard(one.doc, other.doc),
        "allocation_tv": total_variation(one.clusters, other.clusters),
        "group_tv": total_variation(one.groups, other.groups),
        "length_difference": mean[1] / max(mean[0], 1e-9) - 1,
    }


def verdict(pair: dict[str, float | None], limits: dict[str, float | None]) -> str:
    """Whether a pair differs by more than two random draws do. `limits`: those of `limits_of`.

    Draws that overlap less than random ones differ on purpose, even if their mixes are equal.
    """
    overlap = pair["jaccard"]
    assert overlap is not None
    if overlap >= SAME:
        return NEARLY
    if overlap < (limits["jaccard"] or 0):
        return DIFFER
    for name in ("allocation_tv", "group_tv", "length_difference"):
        value, limit = pair[name], limits[name]
        if value is not None and limit is not None and abs(value) > limit:
            return DIFFER
    return HARDLY


def mean_of(rows: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for name in rows[0]:
        known = [value for row in rows if (value := row[name]) is not None]
        out[name] = float(np.mean(known)) if known else None
    return out


def limits_of(references: Sequence[dict[str, float | None]], seeds: int) -> dict[str, float | None]:
    """What the figures of two random arms, means over `seeds` pairs of draws, hardly exceed (jaccard: hardly
    fall below): quantiles of means of `seeds` references chosen at random. LEVEL is shared by the figures that
    are known (Bonferroni), for a pair differs if any of them does; the distance from their mean is that of a prediction,
    as the mean comes of REFERENCES / 2 independent pairs."""
    generator = np.random.default_rng(0)
    chosen = generator.integers(0, len(references), (RESAMPLES, seeds))
    known = {name for name in references[0] if references[0][name] is not None}
    out: dict[str, float | None] = {}
    for name in references[0]:
        if name not in known:
            out[name] = None
            continue
        means = np.abs(np.array([row[name] for row in references], dtype=np.float64)[chosen].mean(1))
        share = LEVEL / len(known)
        limit = np.quantile(means, share if name == "jaccard" else 1 - share)
        out[name] = float(means.mean() + (limit - means.mean()) * np.sqrt(1 + 2 * seeds / REFERENCES))
    return out


def random_draws(documents: Sequence[Path], heldout: np.ndarray, size: int) -> list[np.ndarray]:
    """REFERENCES random draws of the pool, int64 [size], ascending; keys of the purpose `inspect`."""
    keep = [Smallest(np.array([float(size)]), seed, purpose="inspect") for seed in range(REFERENCES)]
    for path in documents:
        for (doc,) in batches(path, ["doc"]):
            doc = doc[~np.isin(doc, heldout)]
            if len(doc):
                for smallest in keep:
                    smallest.add(Rows(np.zeros(len(doc), dtype=np.int32), doc))
    return [np.sort(smallest.finish().doc) for smallest in keep]


def read_facts(documents: Sequence[Path], wanted: np.ndarray, group: str | None) -> Facts:
    """Lengths and domains of the wanted documents (int64 [n], ascending, without repeats)."""
    size = np.zeros(len(wanted), dtype=np.int64)
    names: list[pa.Array] = []
    position: list[np.ndarray] = []
    found = 0
    progress = Progress("compare samplers", len(documents), "shards")
    for path in documents:
        columns = ["doc", "bytes", *([group] if group else [])]
        with open_parquet(path, columns) as file:
            for batch in file.iter_batches(1 << 17, columns=columns):
                doc = batch.column("doc").to_numpy()
                at = np.minimum(np.searchsorted(wanted, doc), max(0, len(wanted) - 1))
                mine = np.flatnonzero(wanted[at] == doc)
                size[at[mine]] = batch.column("bytes").to_numpy()[mine]
                found += len(mine)
                if group:
                    position.append(at[mine])
                    names.append(pc.cast(batch.column(group).take(pa.array(mine)), pa.string()))
        progress.add(1)
    if found != len(wanted):
        raise InputError(f"the draws hold {len(wanted):,} documents, the shards only {found:,} of them")
    code = None
    if group:
        encoded = pa.chunked_array(names).combine_chunks().dictionary_encode(null_encoding="encode")
        code = np.zeros(len(wanted), dtype=np.int64)
        code[np.concatenate(position)] = encoded.indices.to_numpy()
    return Facts(wanted, size, code)


def make_draw(doc: np.ndarray, facts: Facts, cluster: np.ndarray | None, tokens: int | None = None) -> Draw:
    """`cluster` int64 [facts]: each document's cluster code."""
    at = facts.at(doc)

    def mix(code: np.ndarray | None) -> np.ndarray | None:
        return None if code is None else np.bincount(code[at], minlength=int(code.max()) + 1)

    return Draw(doc, mix(cluster), mix(facts.group), int(facts.bytes[at].sum()), tokens)


def compare(
    arms: Sequence[dict[str, Any]], draws: Sequence[Path], tokens: dict[str, int],
    documents: Sequence[Path], heldout: np.ndarray, assignments: dict[str, list[Path]], group: str | None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of the table (COLUMNS): of each experiment the reference first, then every pair of its arms.

    `arms`, in the order of `draws`: experiment, sampler, seed, clustering (of the experiment, or None);
    `tokens` by path of a draw; `assignments` by clustering.
    """
    held = [np.sort(pq.read_table(path, columns=["doc"])["doc"].to_numpy()) for path in draws]
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(arm["experiment"] for arm in arms):
        mine = [i for i, arm in enumerate(arms) if arm["experiment"] == name]
        size = max(len(held[i]) for i in mine)
        randoms = random_draws(documents, heldout, size)
        facts = read_facts(documents, np.unique(np.concatenate([held[i] for i in mine] + randoms)), group)
        cluster = None
        clustering = arms[mine[0]]["clustering"]
        if clustering:
            cluster = Lookup(assignments[clustering], "cluster")(facts.doc).astype(np.int64)
            cluster -= cluster.min()
        made = [make_draw(doc, facts, cluster) for doc in randoms]
        references = [compare_pair(a, b) for a, b in itertools.combinations(made, 2)]
        spread = {k: abs(v) if v is not None else None for k, v in mean_of([
            {n: None if x is None else abs(x) for n, x in r.items()} for r in references]).items()}  # fmt: skip
        rows.append(
            _row(
                name,
                "random draw",
                "another random draw",
                1,
                list(zip(made[::2], made[1::2], strict=True)),
                spread,
                "reference",
            )
        )
        by_arm: dict[str, dict[int, Draw]] = {}
        for i in mine:
            found = make_draw(held[i], facts, cluster, tokens.get(str(draws[i])))
            by_arm.setdefault(arms[i]["sampler"], {})[arms[i]["seed"]] = found
        for a, b in itertools.combinations(by_arm, 2):
            seeds = sorted(set(by_arm[a]) & set(by_arm[b]))
            pairs = [(by_arm[a][s], by_arm[b][s]) for s in seeds]
            if pairs:
                figures = mean_of([compare_pair(*pair) for pair in pairs])
                limits = limits_of(references, len(pairs))
                rows.append(_row(name, a, b, len(pairs), pairs, figures, verdict(figures, limits)))
    return rows


def _row(
    experiment: str, a: str, b: str, seeds: int, pairs: Sequence[tuple[Draw, Draw]],
    figures: dict[str, float | None], word: str,
) -> dict[str, Any]:  # fmt: skip
    row: dict[str, Any] = {
        "experiment": experiment,
        "a": a,
        "b": b,
        "seeds": seeds,
        "verdict": word,
        **figures,
    }
    for side, name in enumerate("ab"):
        draws = [pair[side] for pair in pairs]
        documents = float(np.mean([len(d.doc) for d in draws]))
        size = float(np.mean([d.bytes for d in draws]))
        tokens = [d.tokens for d in draws if d.tokens is not None]
        row[f"documents_{name}"], row[f"bytes_{name}"] = documents, size
        row[f"mean_bytes_{name}"] = size / max(1.0, documents)
        row[f"tokens_{name}"] = float(np.mean(tokens)) if tokens else None
    return row


def warnings_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One loud line a pair that hardly differs."""
    found = []
    for row in rows:
        if row["verdict"] in (HARDLY, NEARLY):
            tv = "" if row["allocation_tv"] is None else f", total variation {row['allocation_tv']:.4f}"
            word = "ARE NEARLY THE SAME DOCUMENTS" if row["verdict"] == NEARLY else "HARDLY DIFFER"
            found.append(
                f"{row['experiment']}: {row['a']} and {row['b']} {word}: overlap {row['jaccard']:.3f}{tv}"
            )
    return found


HEAD = ("a", "b", "overlap", "allocations", "domains", "documents", "kB", "tokens", "mean bytes", "verdict")


def _cells(row: dict[str, Any]) -> list[str]:
    def both(name: str, scale: float = 1) -> str:
        values = [row[f"{name}_{side}"] for side in "ab"]
        shown = ["-" if v is None else f"{v / scale:,.0f}" for v in values]
        return shown[0] if shown[0] == shown[1] else " / ".join(shown)

    def plain(name: str) -> str:
        return "-" if row[name] is None else f"{row[name]:.4f}"

    return [row["a"], row["b"], plain("jaccard"), plain("allocation_tv"), plain("group_tv"), both("documents"),
            both("bytes", 1000), both("tokens"), both("mean_bytes"), row["verdict"]]  # fmt: skip


LEGEND = (
    "Overlap: documents of both over documents of either (Jaccard). Allocations, domains: total variation between "
    "the mixes, 0 (equal) to 1. Means over the data seeds that both arms have. The reference is two random draws of "
    "the same size, mean of absolute values; arms of one data seed share keys, so they overlap more than that. A pair "
    "hardly differs if it overlaps at least as random draws do and no other figure is beyond theirs: of two random arms "
    "about one in twenty is called different by any of the figures."
)


def sections(rows: Sequence[dict[str, Any]]) -> dict[str, list[list[str]]]:
    """Cells of the rows of each experiment."""
    found: dict[str, list[list[str]]] = {}
    for row in rows:
        found.setdefault(row["experiment"], []).append(_cells(row))
    return found


def markdown(rows: Sequence[dict[str, Any]], title: str) -> str:
    out = [f"# {title}", "", *(f"> **{note}**\n>" for note in warnings_of(rows)), "", LEGEND]
    for name, lines in sections(rows).items():
        out += [
            "",
            f"## {name}",
            "",
            "| " + " | ".join(HEAD) + " |",
            "| --- | --- |" + " ---: |" * 7 + " --- |",
        ]
        out += ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join(out) + "\n"


def page(rows: Sequence[dict[str, Any]], title: str) -> str:
    """One self-contained HTML page."""
    out = [f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>']
    out.append(f"<style>{STYLE}</style>\n<h1>{html.escape(title)}</h1>")
    out += [f'<p class="warning">{html.escape(note)}</p>' for note in warnings_of(rows)]
    out.append(f"<p>{html.escape(LEGEND)}</p>")
    for name, lines in sections(rows).items():
        out.append(f'<h2>{html.escape(name)}</h2>\n<div class="wide"><table>\n<thead><tr>')
        out.append("".join(f"<th>{h}</th>" for h in HEAD) + "</tr></thead>\n<tbody>")
        for cells in lines:
            kind = [' class="r"' if 2 <= i <= 8 else "" for i in range(len(cells))]
            out.append("<tr>" + "".join(f"<td{k}>{html.escape(c)}</td>" for k, c in zip(kind, cells, strict=True)) + "</tr>")  # fmt: skip
        out.append("</tbody></table></div>")
    return "\n".join(out) + "\n</html>\n"


def main(
    *,
    draws: list[Path],
    documents: list[Path],
    heldout: Path,
    assignments: list[Path] = [],
    tokens: list[Path] = [],
    spec: str,
    out: Path,
) -> None:
    """Compare the draws of a corpus.

    Args:
        draws: draw.parquet of every arm and data seed.
        documents: document shards of the corpus (doc, bytes, the domain's column).
        heldout: documents outside the pool (parquet: doc).
        assignments: assignment shards of the clusterings, one clustering after the other as the spec names them.
        tokens: JSON of a draw's packed train split, in the subset's folder `tokens`.
        spec: JSON: name (of the corpus), arms (in the order of draws: experiment, sampler, seed, clustering), clusterings (shards
            by name, in the order of assignments), group (column of the domain, or null).
        out: prefix of the files to write: .csv, .md, .html.
    """
    settings = read_spec(spec, "name", "arms", "clusterings", "group")
    if len(settings["arms"]) != len(draws):
        raise InputError(f"--draws: {len(draws)} files for the {len(settings['arms'])} arms of --spec")
    shards, left = {}, list(assignments)
    for name, count in settings["clusterings"]:
        shards[name], left = left[:count], left[count:]
    by_draw = {str(path.parent.parent / "draw.parquet"): int(read_json(path)["tokens"]) for path in tokens}
    nobody = np.zeros(0, dtype=np.int64)
    removed = np.unique(np.concatenate([nobody, *(b[0] for b in batches(heldout, ["doc"]))]))
    rows = compare(settings["arms"], draws, by_draw, documents, removed, shards, settings["group"])
    for note in warnings_of(rows):
        say(f"[compare samplers] {note}")
    title = f"{settings['name']}: how different the samplers are"
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out.with_name(out.name + ".csv"), table.getvalue())
    write_text(out.with_name(out.name + ".md"), markdown(rows, title))
    write_text(out.with_name(out.name + ".html"), page(rows, title))


if __name__ == "__main__":
    run(main)
