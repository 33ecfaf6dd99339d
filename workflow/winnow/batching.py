"""Documents in blocks, and token ids in batches of little padding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.in_flight import side_by_side
from winnow.stage import Progress

STAGE_VERSION = 3
BLOCK = 4096
Result = TypeVar("Result")


def batches(lengths: np.ndarray, tokens: int, rows: int = 0) -> Iterator[np.ndarray]:
    """Rows in batches of at most `tokens` padded tokens, or of so many `rows` if not 0, longest first.

    `lengths`: int [n], tokens per row, each at least 1. Yields int64 index arrays; every row once.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = rows or max(1, tokens // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size


def of_batches(
    function: Callable[[np.ndarray], Result],
    lengths: np.ndarray,
    tokens: int,
    device: str,
    progress: Progress | None = None,
    documents: float = 0,
    rows_a_batch: int = 0,
) -> Iterator[tuple[np.ndarray, Result]]:
    """(rows, function(rows)) of the `batches` of some lengths, in their order, side by side on the cores of a processor.

    With a batch, `progress` advances by its share of `documents`, by tokens: rows count unequally because the long ones come
    first.
    """
    parts, total = list(batches(lengths, tokens, rows_a_batch)), int(lengths.sum())
    if progress and not total:
        progress.add(documents)
    for rows, result in zip(parts, side_by_side(function, parts, device), strict=True):
        yield rows, result
        if progress:
            progress.add(documents * int(lengths[rows].sum()) / total)


def distinct(ids: list[list[int]]) -> tuple[list[np.ndarray], np.ndarray]:
    """The different rows among token ids, in order of first appearance, each int32 [its tokens], and the place of each row
    among them, int64.

    A model's output for a text depends on its batch in the last bits; equal texts that are read once have equal outputs.
    """
    places: dict[bytes, int] = {}
    keys = (np.array(row, dtype=np.int32).tobytes() for row in ids)
    place = np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.int64)
    return [np.frombuffer(key, dtype=np.int32) for key in places], place


def padded(ids: Sequence[Sequence[int] | np.ndarray]) -> tuple[Any, Any]:
    """Token ids as a torch tensor int64 [n, longest], zeros behind each row, and the mask of the tokens, int64."""
    import torch

    lengths = np.array([len(row) for row in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.zeros(mask.shape, dtype=np.int64)
    tokens[mask] = np.concatenate(ids)
    return torch.from_numpy(tokens), torch.from_numpy(mask.astype(np.int64))


def blocks(doc: np.ndarray) -> list[slice]:
    """Slices of a shard's rows that share a block of 4,096 source rows. `doc`: int64 [n], ascending."""
    edges = np.flatnonzero(np.diff(doc // BLOCK)) + 1
    bounds = [0, *edges.tolist(), len(doc)]
    return [slice(a, b) for a, b in itertools.pairwise(bounds) if b > a]


def block_texts(file: pq.ParquetFile, slices: list[slice]) -> Iterator[list[str]]:
    """Texts of consecutive row slices, with little more than one slice in memory."""
    stream = file.iter_batches(batch_size=BLOCK, columns=["text"])
    held: list[pa.Array] = []
    count = 0
    for rows in slices:
        need = rows.stop - rows.start
        while count < need:
            batch = next(stream).column(0)
            held.append(batch)
            count += len(batch)
        joined = pa.concat_arrays(held)
        yield joined.slice(0, need).to_pylist()
        held, count = [joined.slice(need)], len(joined) - need
