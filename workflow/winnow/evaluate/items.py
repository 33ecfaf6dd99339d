"""Held-out documents, read from the shards of a corpus, and the choice of those that become items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.keys import keys
from winnow.parquet import read_table
from winnow.stage import InputError


@dataclass(frozen=True)
class HeldOut:
    """Held-out documents in ascending order of `doc`: int64 [n], texts, group names or None, labels or None."""

    doc: np.ndarray
    text: list[str]
    group: list[str | None]
    label: list[int | None]


def read_heldout(documents: list[Path], heldout: Path, group: str | None) -> HeldOut:
    """The documents with role `heldout`, from parquet shards of the stage documents.

    Raises InputError if there is none, if a shard lacks the group column, or if a document is missing.
    """
    roles = read_table(heldout, columns=["doc", "role"])
    ids = roles.filter(pc.equal(roles["role"], "heldout"))["doc"].combine_chunks()
    if len(ids) == 0:
        raise InputError(
            f"{heldout}: no document is held out, so there is nothing to evaluate on; set corpus.heldout.documents"
        )
    parts = []
    for path in documents:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if group is not None and group not in names:
            raise InputError(f"{path}: no column {group!r} to group by; it has {', '.join(names)}")
        columns = list(
            dict.fromkeys(
                ["doc", "text", *([group] if group else []), *(["label"] if "label" in names else [])]
            )
        )
        for batch in file.iter_batches(columns=columns, batch_size=4096):
            kept = pa.Table.from_batches([batch]).filter(pc.is_in(batch.column("doc"), value_set=ids))
            if kept.num_rows:
                parts.append(kept)
    table = pa.concat_tables(parts, promote_options="default").sort_by("doc") if parts else None
    rows = table.num_rows if table is not None else 0
    if table is None or rows != len(ids):
        raise InputError(f"{heldout}: {len(ids) - rows} of {len(ids)} held-out documents are not in the "
                         f"{len(documents)} document file(s) given; give all shards")  # fmt: skip
    missing: list[Any] = [None] * rows
    return HeldOut(
        doc=table["doc"].to_numpy(),
        text=table["text"].to_pylist(),
        group=[None if g is None else str(g) for g in table[group].to_pylist()] if group else missing,
        label=table["label"].to_pylist() if "label" in table.column_names else missing,
    )


def choose(doc: np.ndarray, items: int, seed: int) -> np.ndarray:
    """Places (ascending) in `doc`, int64 [n], of the `items` smallest keys of purpose `benchmark`; keys are a bijection,
    so there are no ties."""
    if len(doc) <= items:
        return np.arange(len(doc))
    order = np.argsort(keys("benchmark", seed, doc), kind="stable")
    return np.sort(order[:items])
