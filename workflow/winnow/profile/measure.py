"""One shard of documents -> the measures of one family for each document.

In: a shard of documents, and its vectors if the family reads them (winnow.profile.kinds). Out: parquet with `doc` int64 and
the columns of the family: float32 or int32, or strings; null where a measure is not valid for a text. Texts are
measured in blocks of 4,096 source rows, so that the number of shards changes no result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.batching import block_texts, blocks
from winnow.parquet import doc_column, open_parquet, open_vectors
from winnow.profile.kinds import Family, facts, load
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, run

STAGE_VERSION = 1


def column_type(values: np.ndarray) -> pa.DataType:
    """The type in which a measure is stored: float32, int32 or string. Raises TypeError for other values."""
    kind = {"f": pa.float32(), "i": pa.int32(), "b": pa.int32(), "O": pa.string(), "U": pa.string()}.get(
        values.dtype.kind
    )
    if kind is None:
        raise TypeError(f"a measure of type {values.dtype}; expected: float32, int32 or str")
    return kind


def stored(family: str, known: Family, columns: dict[str, np.ndarray], rows: int) -> dict[str, pa.Array]:
    """The measures of a block as they are stored, NaN as null. Raises InputError unless they are the columns of the family,
    of as many rows."""
    if set(columns) != set(known.columns):
        raise InputError(f"family {family}: measures {', '.join(sorted(columns))}; FAMILY.columns has "
                         f"{', '.join(sorted(known.columns))}")  # fmt: skip
    out = {}
    for name in known.columns:
        values = np.ma.asarray(columns[name])
        if values.shape != (rows,):
            raise InputError(f"family {family}: {name} has the shape {values.shape} for {rows} documents")
        mask = np.ma.getmaskarray(values) if np.ma.is_masked(values) else None
        out[name] = pa.array(values.data, column_type(values), mask=mask, from_pandas=True)
    return out


def read_labels(path: Path, of_documents: bool = False) -> tuple[list[str], np.ndarray]:
    """Labels of the texts of a label set and their vectors, or `of_documents`: what an NLI model makes of them for each document.
    Raises InputError for another file."""
    key, what, module = ("logits", "logits", "entail") if of_documents else ("vectors", "vectors", "labels")
    try:
        with np.load(path, allow_pickle=False) as file:
            return [str(label) for label in file["labels"]], file[key]
    except (OSError, ValueError, KeyError, AttributeError):
        raise InputError(
            f"{path}: no {what} of labels; write them by python -m winnow.profile.{module}"
        ) from None


def main(
    *,
    documents: Path,
    embeddings: list[Path] = [],
    labels: list[Path] = [],
    entailment: list[Path] = [],
    spec: str,
    out: Path,
    name: str = "",
) -> None:
    """Measure the documents of a shard.

    Args:
        documents: shard of documents (parquet: doc, text).
        embeddings: its vectors (.npy; one), for a family that reads them.
        labels: vectors of its label set (winnow.profile.labels; one), for a family that reads them.
        entailment: instead of both: what an NLI model makes of the label set for the shard (winnow.profile.entail; one).
        spec: JSON: family (its name), settings (`profile.NAME` of the configuration; empty if there are none).
        out: parquet to write: doc, and the columns of the family.
        name: name of the shard in progress lines.
    """
    given = read_spec(spec, "family", "settings")
    family, settings = given["family"], given["settings"]
    known, module = facts(family), load(family)
    doc = doc_column(documents)
    logits: np.ndarray | None = None
    vectors: np.ndarray | None = None
    if known.labels and entailment:
        names, logits = read_labels(entailment[0], of_documents=True)
        if logits.shape != (len(doc), len(names)):
            raise InputError(f"{entailment[0]}: logits of the shape {logits.shape}; expected: {(len(doc), len(names))}, as "
                             f"many rows as {documents}")  # fmt: skip
        settings = {**settings, "labels": names}
    else:
        if known.vectors and not embeddings:
            raise InputError(f"--embeddings: missing; the family {family} reads vectors")
        if known.labels and not labels:
            raise InputError(f"--labels: missing; the family {family} reads the vectors of labels")
        if known.labels:
            names, label_vectors = read_labels(labels[0])
            settings = {**settings, "labels": names, "label_vectors": label_vectors}
        vectors = open_vectors(embeddings[0], len(doc), documents) if known.vectors else None
    progress = Progress(f"profile {name}", total=len(doc), unit="documents")
    parts: list[dict[str, pa.Array]] = []
    slices = blocks(doc)
    with open_parquet(documents, ["text"]) as file:
        for part, texts in zip(slices, block_texts(file, slices), strict=True):
            of_block = None if vectors is None else vectors[part]
            if logits is not None:
                settings["logits"] = logits[part]
            parts.append(stored(family, known, module.measure(texts, of_block, settings), len(texts)))
            progress.add(len(texts))
    progress.line()
    columns: dict[str, Any] = {"doc": doc}
    for column in known.columns:  # of a shard without documents they have no type
        columns[column] = pa.chunked_array([part[column] for part in parts], None if parts else pa.null())
    with atomic_path(out) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")


if __name__ == "__main__":
    run(main)
