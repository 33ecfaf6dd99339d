"""Documents of a shard -> unit vectors.

In: a document shard. Out: float16 [n, d], C order, row i = row i of the shard, L2-normalised, finite.
Documents are batched inside blocks of 4,096 rows of the source, sorted by length, so that padding is
rare and the number of shards cannot change a batch. Equal texts of a block (texts of equal tokens, as far as the
encoder reads) are read once and have equal vectors; those of two blocks agree to rounding only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from winnow.batching import block_texts, blocks
from winnow.embed.encoder import Encoder
from winnow.in_flight import METER, in_flight
from winnow.parquet import doc_column, open_parquet
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, run, say

STAGE_VERSION = 6


def embed_shard(documents: Path, encoder: Encoder, out: Path, what: str, ids: str = "doc") -> None:
    """Writes the vectors of one shard of documents, block by block; `what` names it in progress lines; `ids`: the column of
    its row numbers, ascending.

    Raises InputError for a document without a finite vector.
    """
    doc = doc_column(documents, ids)
    slices = blocks(doc)
    progress = Progress(f"embed {what}", total=len(doc), unit="documents")
    with (
        open_parquet(documents, ["text"]) as shard,
        atomic_path(out) as partial,
        open(partial, "wb") as file,
    ):
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(doc), encoder.spec["dimension"])}
        np.lib.format.write_array_header_1_0(file, header)
        blocks_of_vectors = in_flight(
            lambda texts: encoder.encode(texts, progress), block_texts(shard, slices), encoder.device
        )
        for rows, vectors in zip(slices, blocks_of_vectors, strict=True):
            if not np.isfinite(vectors).all():
                bad = int(doc[rows][~np.isfinite(vectors).all(1)][0])
                raise InputError(
                    f"{documents}: document {bad} has no finite vector at {encoder.precision}; "
                    "try precision: float32"
                )
            file.write(vectors.tobytes())
    progress.line(", ".join(filter(None, (encoder.precision, METER.note(encoder.device)))))


def main(
    *, documents: Path, spec: str, out: Path, name: str = "", threads: int = 0, ids: str = "doc"
) -> None:
    """Embed one shard.

    Args:
        documents: shard of documents (parquet: doc, text), or items of a benchmark.
        spec: JSON with the key `encoder`.
        out: .npy file to write.
        name: name of the shard in progress lines.
        threads: processor threads; 0 leaves torch's choice.
        ids: column of the row numbers: `doc`, or `item` of a benchmark.
    """
    settings = read_spec(spec, "encoder")
    say(f"[embed {name}] loading the encoder")
    import torch

    if threads:
        torch.set_num_threads(threads)
    encoder = Encoder(settings["encoder"])
    embed_shard(documents, encoder, out, name, ids)


if __name__ == "__main__":
    run(main)
