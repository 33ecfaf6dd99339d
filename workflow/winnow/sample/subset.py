"""The drawn documents as a data set of their own: draw and document shards in; three parquet files, a data
set card and a manifest out. `datasets.load_dataset(folder)` opens it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from winnow.parquet import doc_range, open_parquet
from winnow.sample.choose import SPLITS
from winnow.schema import read_spec
from winnow.stage import (
    InputError,
    Progress,
    atomic_path,
    content_digest,
    read_json,
    run,
    sha256,
    write_json,
    write_text,
)

STAGE_VERSION = 3
FACTS = ("pool", "removed", "consumed", "consumed_parts")  # keys of draw.json that the manifest repeats
ROW_GROUP = 4096
INTERNAL = ("bytes", "digest")  # columns of the shards that a subset leaves out


class SplitWriter:
    """Writes one split in row groups of ROW_GROUP rows, however the rows arrive: the bytes of the file do not
    depend on the shards they came from."""

    def __init__(self, path: Path, schema: pa.Schema):
        self.schema = schema
        self.writer = pq.ParquetWriter(path, schema, compression="zstd")
        self.waiting: list[pa.Table] = []
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        self.waiting.append(table)
        self.rows += table.num_rows
        if self.rows >= ROW_GROUP:
            whole = pa.concat_tables(self.waiting)
            end = self.rows - self.rows % ROW_GROUP
            for start in range(0, end, ROW_GROUP):
                self._group(whole.slice(start, ROW_GROUP))
            rest = whole.slice(end)
            # take() copies: a slice would hold the whole table in memory.
            self.waiting, self.rows = [rest.take(pa.array(np.arange(rest.num_rows)))], rest.num_rows

    def _group(self, table: pa.Table) -> None:
        self.writer.write_table(table.combine_chunks(), row_group_size=ROW_GROUP)

    def close(self) -> None:
        if self.rows:
            self._group(pa.concat_tables(self.waiting))
        self.writer.close()


def read_draw(path: Path) -> pa.Table:
    """A draw, checked: ascending documents, known splits. Raises InputError."""
    names = ["doc", "cluster", "split", "probability"]
    with open_parquet(path, names) as file:
        draw = file.read(columns=names).combine_chunks()
    doc = draw["doc"].to_numpy()
    if (np.diff(doc) <= 0).any():
        raise InputError(f"{path}: doc is not in ascending order; make the draw again")
    unknown = set(draw["split"].unique().to_pylist()) - set(SPLITS)
    if unknown:
        raise InputError(f"{path}: unknown split {min(map(str, unknown))!r}; known: {', '.join(SPLITS)}")
    return draw


def document_schema(paths: Sequence[Path]) -> tuple[list[Path], pa.Schema]:
    """The shards in the order of their documents, empty ones left out, and the columns that all of them have.

    Raises InputError for shards that overlap, differ in columns, or have a column that a subset adds.
    """
    ranges: list[tuple[int, int, Path]] = []
    schema: pa.Schema | None = None
    for path in paths:
        with open_parquet(path, ["doc", "text", "bytes"]) as file:
            if schema is None:
                schema = file.schema_arrow.remove_metadata()
            elif not file.schema_arrow.remove_metadata().equals(schema):
                raise InputError(
                    f"{path}: its columns differ from those of {paths[0]}; make the shards again"
                )
            low, high = doc_range(file)
        if high >= low:
            ranges.append((low, high, path))
    if schema is None:
        raise InputError("--documents: no files")
    for name in ("cluster", "probability"):
        if name in schema.names:
            raise InputError(
                f"{paths[0]}: the column {name!r} is one that a subset adds; rename it in the source"
            )
    ranges.sort(key=lambda entry: entry[0])
    for (_, high, before), (low, _, path) in pairwise(ranges):
        if low <= high:
            raise InputError(f"{path}: holds documents of {before}, too")
    return [path for _, _, path in ranges], schema


def drawn_rows(
    draw: pa.Table, paths: Sequence[Path], columns: Sequence[str]
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Rows of the draw (positions int64 [n]) with the documents' columns, in order, streamed."""
    doc = draw["doc"].to_numpy()
    progress = Progress("subset", len(paths), "shards")
    for path in paths:
        scanner = ds.dataset(path, format="parquet").scanner(
            columns=list(columns), batch_size=1 << 13, batch_readahead=4, fragment_readahead=1
        )
        for batch in scanner.to_batches():
            shard_doc = batch.column("doc").to_numpy()
            if not len(shard_doc):
                continue
            at = np.minimum(np.searchsorted(doc, shard_doc), len(doc) - 1)
            drawn = np.flatnonzero(doc[at] == shard_doc)
            if len(drawn):
                yield at[drawn], pa.Table.from_batches([batch]).take(pa.array(drawn))
        progress.add(1)
    progress.line()


def subset(
    draw: pa.Table, documents: Sequence[Path], folder: Path, classes: list[str] | None = None
) -> dict[str, Any]:
    """Writes the three parquet files of a subset, rows in the order of doc; `classes`: names of those of `label`.

    Returns counts: documents and bytes (UTF-8 of the text) per split and per cluster.
    Raises InputError if the draw names a document that no shard holds.
    """
    if not draw.num_rows:
        raise InputError("the draw is empty")
    paths, schema = document_schema(documents)
    columns = [name for name in schema.names if name not in (*INTERNAL, "doc", "text")]
    fields = [schema.field("doc"), schema.field("text"), pa.field("cluster", pa.int32()),
              pa.field("probability", pa.float64()), *map(schema.field, columns)]  # fmt: skip
    order = pa.schema(fields)
    if classes:
        order = with_classes(order, classes)
    doc = draw["doc"].to_numpy()
    split = np.asarray(draw["split"].to_pylist())
    size = np.zeros(len(doc), dtype=np.int64)
    written = 0
    with ExitStack() as stack:
        partial = {name: stack.enter_context(atomic_path(folder / f"{name}.parquet")) for name in SPLITS}
        writers = {name: SplitWriter(partial[name], order) for name in SPLITS}
        for at, table in drawn_rows(draw, paths, ["doc", "text", "bytes", *columns]):
            written += len(at)
            size[at] = table["bytes"].to_numpy()
            added = draw.select(["cluster", "probability"]).take(pa.array(at))
            table = table.drop_columns("bytes").append_column("cluster", added["cluster"])
            table = table.append_column("probability", added["probability"]).select(order.names).cast(order)
            for name, writer in writers.items():
                rows = np.flatnonzero(split[at] == name)
                if len(rows):
                    writer.write(table.take(pa.array(rows)))
        for writer in writers.values():
            writer.close()
        if written < len(doc):
            raise InputError(f"the draw has {len(doc):,} documents, the {len(documents)} document shards hold "
                             f"{written:,} of them: they are of different corpora")  # fmt: skip
    return count(draw, split, size)


def with_classes(schema: pa.Schema, classes: list[str]) -> pa.Schema:
    """The schema with `label` as a ClassLabel of `datasets` (int64, names in the metadata)."""
    import datasets

    features = datasets.Features.from_arrow_schema(schema)
    features["label"] = datasets.ClassLabel(names=classes)
    return features.arrow_schema


def count(draw: pa.Table, split: np.ndarray, size: np.ndarray) -> dict[str, Any]:
    """Documents and bytes by split, and by cluster if there are clusters. `size` int64 [n] in bytes."""
    counts: dict[str, Any] = {"splits": {}}
    for name in SPLITS:
        rows = split == name
        counts["splits"][name] = {"documents": int(rows.sum()), "bytes": int(size[rows].sum())}
    counts["documents"], counts["bytes"] = len(size), int(size.sum())
    if draw["cluster"].null_count < len(size):
        cluster, row = np.unique(draw["cluster"].to_numpy(), return_inverse=True)
        documents = np.bincount(row)
        total = np.zeros(len(cluster), dtype=np.int64)
        np.add.at(total, row, size)
        counts["clusters"] = {
            str(c): {"documents": int(n), "bytes": int(b)}
            for c, n, b in zip(cluster, documents, total, strict=True)
        }
    return counts


def card(
    spec: dict[str, Any],
    counts: dict[str, Any],
    columns: Sequence[str],
    digests: dict[str, str],
    facts: dict[str, Any],
    classes: Sequence[str] | None = None,
) -> str:
    """The data set card: YAML that names the non-empty splits, then counts, pool and settings for a reader.

    `datasets` caches what it opened by the folder's name and the configuration in the card: the digest there
    tells subsets apart whose folders have the same name.
    """
    ids = spec["ids"]
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        f"  description: {content_digest(digests)}",
        "  data_files:",
    ]
    filled = [name for name in SPLITS if counts["splits"][name]["documents"]]
    for name in filled:
        lines += [f"  - split: {name}", f"    path: {name}.parquet"]
    title = " / ".join(str(ids[key]) for key in ("corpus", "clustering", "sampler", "budget") if ids.get(key))
    lines += ["---", "", f"# {title or 'subset'}, data seed {spec['data_seed']}", ""]
    lines += ["A subset drawn by Winnow. Counts, settings and digests: [manifest.json](manifest.json).", "", "| split | documents | bytes of text |",
              "| --- | ---: | ---: |"]  # fmt: skip
    for name in filled:
        part = counts["splits"][name]
        lines.append(f"| {name} | {part['documents']:,} | {part['bytes']:,} |")
    pool = facts["pool"]
    why = ", ".join(f"{many:,} {kind}" for kind, many in pool["excluded"].items() if many)
    lines += ["", f"Drawn from a pool of {pool['documents']:,} documents; left out: {why or 'none'}."]
    if any(facts["consumed"].values()):
        lines += ["The selection consumed before: " + ", ".join(f"{n:,} {what}" for what, n in facts["consumed"].items()) + "."]  # fmt: skip
    lines += ["", f"Columns: {', '.join(f'`{c}`' for c in columns)}.",
              "`doc` is the row of the document in its source, `probability` the chance that the sampler takes it,",
              "over all data seeds (null where that has no simple form)."]  # fmt: skip
    if classes:
        lines += [
            "",
            "Classes of `label`: " + ", ".join(f"{i} `{name}`" for i, name in enumerate(classes)) + ".",
        ]
    lines += ["", "How it was drawn:", "", "```json"]
    how = {key: spec[key] for key in ("ids", "corpus", "sampler", "budget", "data_seed")}
    lines += [json.dumps(how, indent=2, sort_keys=True, ensure_ascii=False), "```", ""]
    return "\n".join(lines)


def main(*, draw: Path, source: Path, facts: Path, documents: list[Path], spec: str, out_dir: Path) -> None:
    """Writes train.parquet, validation.parquet, test.parquet, README.md and, last, manifest.json.

    Args:
        draw: draw.parquet of the sample stage.
        source: source.json of the corpus, which names the classes of its label.
        facts: its draw.json: the pool, and what the selection consumed.
        documents: Document shards of the corpus.
        spec: JSON: ids, corpus, sampler, budget, data_seed.
        out_dir: Folder to write to.
    """
    settings = read_spec(spec, "ids", "corpus", "sampler", "budget", "data_seed")
    draw_facts = read_json(facts)
    if missing := [name for name in FACTS if name not in draw_facts]:
        raise InputError(f"{facts}: no key {missing[0]!r}; make the draw again")
    labels = read_json(source)["labels"]
    classes = labels["names"] if labels else None
    counts = subset(read_draw(draw), documents, out_dir, classes)
    files = [f"{name}.parquet" for name in SPLITS]
    with open_parquet(out_dir / files[0], []) as file:
        columns = file.schema_arrow.names
    digests = {name: sha256(out_dir / name) for name in files}
    write_text(out_dir / "README.md", card(settings, counts, columns, digests, draw_facts, classes))
    manifest = {
        "ids": settings["ids"],
        "spec": settings,
        "stage_version": STAGE_VERSION,
        "counts": counts,
        **{name: draw_facts[name] for name in FACTS},
        "sha256": digests,
        "classes": classes,
    }
    write_json(out_dir / "manifest.json", manifest)


if __name__ == "__main__":
    run(main)
