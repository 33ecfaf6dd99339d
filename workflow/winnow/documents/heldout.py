"""Documents kept from every sampler, model and scorer: drawn once per corpus, before anything else.

In: the document shards (only `doc` and `digest` are read). Out: `heldout.parquet` with `doc` int64 (ascending)
and `role`: `heldout`, `duplicate-of-heldout` (equal text of a held-out document), `duplicate` (where the
corpus is de-duplicated: all but the first of equal texts). What is not in it is the pool.

Equal texts are found by their 64-bit digests (among 134 million documents, the chance of one wrong pair is
below 0.001). Memory: some 1.5 GB at most however many documents there are, and what is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.keys import keys
from winnow.parquet import is_listed
from winnow.schema import check_definition, read_spec
from winnow.stage import InputError, Progress, atomic_path, run, say

STAGE_VERSION = 1
PART = 1 << 24
ROLES = ("heldout", "duplicate-of-heldout", "duplicate")


def later_duplicates(doc: np.ndarray, digest: np.ndarray) -> np.ndarray:
    """Documents whose digest a document with a smaller number has, too.

    Parameters: `doc` int64 [n], `digest` uint64 [n]. Returns int64, ascending.
    """
    values = np.sort(digest)
    repeated = np.unique(values[1:][values[1:] == values[:-1]])
    among = is_listed(digest, repeated)
    doc, digest = doc[among], digest[among]
    order = np.lexsort((doc, digest))
    again = digest[order][1:] == digest[order][:-1]
    return np.sort(doc[order[1:][again]])


def draw(doc: np.ndarray, seed: int, n: int) -> np.ndarray:
    """The `n` documents with the smallest keys("heldout", seed, doc) (all if there are fewer); int64, ascending."""
    if n <= 0:
        return np.zeros(0, dtype=np.int64)
    if len(doc) > n:
        doc = doc[np.lexsort((doc, keys("heldout", seed, doc)))[:n]]
    return np.sort(doc)


def _columns(documents: list[Path]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for path in documents:
        try:
            source = pq.ParquetFile(path)
            for batch in source.iter_batches(1 << 20, columns=["doc", "digest"]):
                yield batch["doc"].to_numpy(), batch["digest"].to_numpy()
        except (pa.ArrowException, KeyError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{path}: no documents shard ({reason}); make it with winnow.documents.shards"
            ) from None


def hold_out(
    documents: list[Path], seed: int, n: int, deduplicate: bool, part: int = PART
) -> tuple[np.ndarray, np.ndarray]:
    """The documents outside the pool, and why.

    Parameters: `documents`, the shards in any order; `seed`, data seed of the draw; `n`, documents to hold
    out; `deduplicate`, take all but the first of equal texts out of the pool; `part`, documents whose
    digests are compared at a time (no result depends on it).
    Returns doc int64 [m] ascending and role int8 [m], an index into ROLES.
    Raises InputError if the corpus has not more than `n` documents to draw from, or a document twice.
    """
    total = sum(len(doc) for doc, _ in _columns(documents))
    duplicates = np.zeros(0, dtype=np.int64)
    drawn = np.zeros(0, dtype=np.int64)
    parts = max(1, -(-total // part)) if deduplicate else 1
    progress = Progress("held-out", total * parts, "documents")
    for p in range(parts):
        docs, digests = [], []
        for doc, digest in _columns(documents):
            progress.add(len(doc))
            if not deduplicate:
                drawn = draw(np.concatenate((drawn, doc)), seed, n)
                continue
            in_part = digest % np.uint64(parts) == p
            docs.append(doc[in_part])
            digests.append(digest[in_part])
        if deduplicate and docs:
            doc, digest = np.concatenate(docs), np.concatenate(digests)
            again = later_duplicates(doc, digest)
            duplicates = np.concatenate((duplicates, again))
            drawn = draw(np.concatenate((drawn, doc[~is_listed(doc, again)])), seed, n)
    if len(drawn) < n or (n and n >= total - len(duplicates)):
        raise InputError(
            f"heldout.documents: {n}, but the corpus has {total - len(duplicates)} "
            f"{'distinct ' if deduplicate else ''}documents; some must stay for the pool"
        )
    duplicates.sort()
    twins = _twins(documents, drawn)
    duplicates = duplicates[~is_listed(duplicates, twins)]
    doc = np.concatenate((drawn, twins, duplicates))
    role = np.repeat(np.arange(3, dtype=np.int8), (len(drawn), len(twins), len(duplicates)))
    order = np.argsort(doc, kind="stable")
    return doc[order], role[order]


def _twins(documents: list[Path], drawn: np.ndarray) -> np.ndarray:
    """Documents outside `drawn` whose digest a document of `drawn` has; int64, ascending."""
    if not len(drawn):
        return drawn
    of_drawn = [digest[is_listed(doc, drawn)] for doc, digest in _columns(documents)]
    known = np.unique(np.concatenate(of_drawn))
    if sum(map(len, of_drawn)) != len(drawn):
        raise InputError(f"{documents[0]} and others: a document is in two shards; give each shard once")
    twins = [doc[is_listed(digest, known) & ~is_listed(doc, drawn)] for doc, digest in _columns(documents)]
    return np.sort(np.concatenate(twins))


def _check(spec: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    corpus = {"source": {"files": ["-"]}, "text": "-", **spec}
    check_definition("corpus", corpus, where="--spec")
    return spec["heldout"], spec["deduplicate"]


def heldout(*, documents: list[Path], spec: str, out: Path) -> None:
    """Draws the held-out documents of a corpus and finds the duplicates.

    Args:
        documents: The shards of the corpus's documents, each once.
        spec: {"heldout": {"documents": n, "seed": s}, "deduplicate": true or false}
        out: heldout.parquet
    """
    settings, deduplicate = _check(read_spec(spec, "heldout", "deduplicate"))
    doc, role = hold_out(documents, settings.get("seed", 0), settings.get("documents", 0), deduplicate)
    names = pa.DictionaryArray.from_arrays(pa.array(role), pa.array(ROLES)).cast(pa.string())
    with atomic_path(Path(out)) as partial:
        pq.write_table(pa.table({"doc": pa.array(doc), "role": names}), partial, compression="zstd")
    counts = ", ".join(f"{int((role == i).sum()):,} {name}" for i, name in enumerate(ROLES))
    say(f"[held-out] {counts}")


if __name__ == "__main__":
    run(heldout)
