"""The chapter of a corpus: its documents, what is out of the pool, groups, lengths, clusters and what is excluded of them.

In: source.json, document shards, heldout.parquet, clusters.parquet of its clusterings. Out: a chapter of the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.pages import group_name, source_text
from winnow.parquet import open_parquet, read_table
from winnow.report.parts import Cell, Chapter, Link, Part, share, text_cells
from winnow.stage import read_json

LONGEST = 1 << 20
"""Bytes from which on documents are not told apart in the quantiles."""
BATCH = 1 << 20
"""Rows that are read at a time."""
SHOWN = 12
"""Groups of documents that are shown; the others are behind a click."""
DIFFERENT, NAME = 100_000, 100
"""Groups that are counted at most (a column of more values is none of groups), and characters of a name."""
MOST = 500
"""Rows of a folded table; the others are in its file."""
ROLES = {
    "heldout": "held out of every sampler, model and scorer",
    "duplicate-of-heldout": "removed as a duplicate of a held-out document",
    "duplicate": "removed as a duplicate of an earlier document",
}
QUANTILES = ((0.0, "shortest"), (0.05, "5 %"), (0.25, "25 %"), (0.5, "median"), (0.75, "75 %"), (0.95, "95 %"), (1.0, "longest"))  # fmt: skip


class Lengths:
    """Bytes of documents, counted without keeping them: exact up to LONGEST."""

    def __init__(self) -> None:
        self.counts = np.zeros(LONGEST + 1, dtype=np.int64)
        self.total, self.longest = 0, 0

    def add(self, sizes: np.ndarray) -> None:
        """int [n]."""
        self.counts += np.bincount(np.minimum(sizes, LONGEST), minlength=LONGEST + 1)
        self.total += int(sizes.sum(dtype=np.int64))
        self.longest = max(self.longest, int(sizes.max(initial=0)))

    @property
    def documents(self) -> int:
        return int(self.counts.sum())

    def quantile(self, q: float) -> int:
        """The smallest number of bytes that a share `q` of the documents does not exceed."""
        if q == 1:
            return self.longest
        place = max(1, int(np.ceil(q * self.documents)))
        return int(np.searchsorted(np.cumsum(self.counts), place))


def measure(shards: Sequence[Path], group: str | None) -> tuple[Lengths, Counter[str]]:
    """Lengths of the documents, and how many each group has: of none, if there are more than DIFFERENT. Raises InputError for a
    shard without the columns."""
    lengths, groups = Lengths(), Counter[str]()
    columns = ["bytes", *([group] if group else [])]
    for path in shards:
        with open_parquet(path, columns) as file:
            if group and pa.types.is_nested(file.schema_arrow.field(group).type):
                group = None
            for batch in file.iter_batches(BATCH, columns=columns):
                lengths.add(batch.column("bytes").to_numpy(zero_copy_only=False))
                if group:
                    for one in pc.value_counts(batch.column(group)).to_pylist():
                        groups["(none)" if one["values"] is None else str(one["values"])] += one["counts"]
                    if len(groups) > DIFFERENT:
                        group, columns, groups = None, ["bytes"], Counter()
    return lengths, groups


def _documents(
    corpus: Mapping[str, Any], source: Path, shards: Sequence[Path], heldout: Path, documents: int, link: Link
) -> Part:
    index = read_json(source)
    counted = pc.value_counts(read_table(heldout, ["role"])["role"]).to_pylist()
    roles = Counter({one["values"]: one["counts"] for one in counted})
    rows = [
        [Cell("source"), Cell(source_text(corpus["source"]), link(source))],
        [Cell("licence"), Cell(corpus["licence"] or "not stated")],
        [Cell("rows of the source"), Cell(f"{index['rows']:,}", link(source))],
        [Cell("documents"), Cell(f"{documents:,}", link(shards[0].parent))],
    ]
    rows += [
        [Cell(text), Cell(share(roles[role], documents), link(heldout))]
        for role, text in ROLES.items()
        if roles[role] or role == "heldout"
    ]
    pool = documents - sum(roles.values())
    rows.append([Cell("pool, from which samplers draw"), Cell(share(pool, documents), link(heldout))])
    return Part("Documents", head=["", ""], rows=rows)


def _lengths(lengths: Lengths, shards: Sequence[Path], link: Link) -> Part:
    cells = [f"{lengths.quantile(q):,}" for q, _ in QUANTILES]
    if lengths.documents:
        cells.insert(4, f"{lengths.total / lengths.documents:,.0f}")
    else:
        cells.insert(4, "")
    head = [name for _, name in QUANTILES]
    head.insert(4, "mean")
    return Part(
        "Lengths", [f"Bytes of a document in UTF-8; {lengths.total:,} in all."], head, text_cells([cells]),
        files=[(shards[0].parent.name + "/", link(shards[0].parent))],
    )  # fmt: skip


def _groups(name: str, groups: Counter[str], documents: int, shards: Sequence[Path], link: Link) -> Part:
    ranked = sorted(groups.items(), key=lambda one: (-one[1], one[0]))
    rows = text_cells([[group_name(group[:NAME]), f"{count:,}", f"{100 * count / documents:.2f}"] for group, count in ranked[:MOST]])  # fmt: skip
    notes = [f"{len(ranked):,} values of the column {name}."]
    if len(ranked) > MOST:
        notes.append(f"The {MOST} most frequent are shown.")
    return Part(
        "Groups", notes, [name, "documents", "%"], rows, folded=len(ranked) > SHOWN,
        files=[(shards[0].parent.name + "/", link(shards[0].parent))],
    )  # fmt: skip


def clusters_parts(name: str, path: Path, review: Path | None, sweep: Path | None, link: Link) -> list[Part]:
    """What is excluded of a clustering and why, and all of its clusters behind a click. Raises InputError for a table without
    these columns."""
    columns = ["cluster", "documents", "mean_distance", "diversity", "excluded", "reason"]
    rows = read_table(path, columns).to_pylist()
    total = sum(row["documents"] for row in rows)
    out = [row for row in rows if row["excluded"]]
    gone = sum(row["documents"] for row in out)
    notes = [f"{len(rows):,} clusters of {total:,} documents. "]
    notes[0] += (
        f"{len(out):,} {'is' if len(out) == 1 else 'are'} excluded, with {share(gone, total)} documents, for every arm of the "
        "experiments that use it."
        if out
        else "None is excluded."
    )
    links = [(path.name, link(path))]
    if review:
        links.insert(0, ("review page", link(review)))
    else:
        notes.append(
            "The page on which a person reviews them is made by the target clusters; with report: {targets: [clusters]} in the "
            "config it is part of this report."
        )
    if sweep:
        links.insert(0, ("how many clusters?", link(sweep)))
    excluded = [
        [Cell(str(row["cluster"])), Cell(f"{row['documents']:,}"), Cell(row["reason"] or "", kind="n")]
        for row in sorted(out, key=lambda row: -row["documents"])[:MOST]
    ]
    parts = [
        Part(
            f"Clusters: {name}", notes, ["cluster", "documents", "reason"] if excluded else [], excluded, files=links,
        )
    ]  # fmt: skip
    ranked = sorted(rows, key=lambda row: (-row["documents"], row["cluster"]))[:MOST]
    every = [
        [
            str(row["cluster"]), f"{row['documents']:,}", f"{100 * row['documents'] / max(1, total):.2f}",
            *("" if row[key] is None else f"{row[key]:.4f}" for key in ("mean_distance", "diversity")),
            *(["excluded" if row["excluded"] else ""] if out else []),
        ]
        for row in ranked
    ]  # fmt: skip
    some = [f"The {MOST} largest of {len(rows):,} are shown."] if len(rows) > MOST else []
    some.append(
        "Mean distance: mean cosine distance of a document to the centroid. Diversity: of the centroid to the other centroids."
    )
    parts.append(
        Part(
            f"All clusters of {name}", some, ["cluster", "documents", "%", "mean distance", "diversity", *(["state"] if out else [])], text_cells(every),
            files=links[-1:], folded=True,
        )
    )  # fmt: skip
    return parts


def chapter(
    corpus: Mapping[str, Any],
    source: Path,
    shards: Sequence[Path],
    heldout: Path,
    clusterings: Sequence[tuple[str, Path, Path | None, Path | None]],
    profile: Sequence[Part],
    link: Link,
) -> Chapter:
    """The chapter of a corpus.

    `corpus`: name, source, licence, group (a column of the shards, or None). `clusterings`: of each its name, clusters.parquet,
    and the pages of its review and sweep (None: not in the report). `profile`: parts made of a profile of it.
    """
    lengths, groups = measure(shards, corpus["group"])
    documents = lengths.documents
    parts = [_documents(corpus, source, shards, heldout, documents, link), _lengths(lengths, shards, link)]
    if groups:
        parts.append(_groups(corpus["group"], groups, documents, shards, link))
    for name, path, review, sweep in clusterings:
        parts += clusters_parts(name, path, review, sweep, link)
    pool = parts[0].rows[-1][1].text
    answer = [f"{documents:,} documents, of which samplers draw from {pool}."]
    return Chapter(
        f"corpus-{corpus['name']}",
        f"Corpus {corpus['name']}",
        "Corpora",
        corpus["name"],
        answer,
        [*parts, *profile],
    )
