"""A shard of documents and the classifier of a round -> what it predicts of them, for the draw of the next round.

Out: doc int64, probabilities float64 [classes], and three measures of uncertainty: entropy (nats), margin, confidence.
Documents are read in blocks of 4,096 rows of the source, so the number of shards changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.batching import block_texts, blocks
from winnow.classifier import Classifier
from winnow.in_flight import METER, in_flight
from winnow.parquet import listed_docs, open_parquet
from winnow.sample.acquisition import confidence, entropy, margin, round_sample
from winnow.schema import read_spec
from winnow.stage import Progress, atomic_path, run, say

STAGE_VERSION = 2


def main(
    *, documents: Path, shards: list[Path], heldout: Path, previous: Path, model: Path, spec: str, out: Path,
    name: str = "", threads: int = 0,
) -> None:  # fmt: skip
    """Predict the classes of the documents of a shard that the next round looks at.

    Args:
        documents: shard of documents (parquet: doc, text).
        shards: all shards of the corpus, this one among them.
        heldout: documents outside the pool.
        previous: draw that the model was trained on; its documents are not looked at again.
        model: folder of the classifier, in Hugging Face format with safetensors.
        spec: JSON: pool (documents that the next round looks at, or null for all), round (its number), data_seed.
        out: parquet to write.
        name: what progress lines call the shard.
        threads: processor threads; 0 leaves torch's choice.
    """
    settings = read_spec(spec, "pool", "round", "data_seed")
    out_of_pool = np.union1d(listed_docs([heldout]), listed_docs([previous]))
    free = np.setdiff1d(listed_docs(shards), out_of_pool, assume_unique=True)
    looked_at = round_sample(free, settings["pool"], settings["data_seed"], settings["round"])
    say(f"[predict {name}] loading the model")
    import torch

    if threads:
        torch.set_num_threads(threads)
    classifier = Classifier(model)
    file = open_parquet(documents, ["doc"])
    doc = file.read(columns=["doc"])["doc"].to_numpy()
    wanted = np.isin(doc, looked_at, assume_unique=True)
    progress = Progress(f"predict {name}", total=int(wanted.sum()), unit="documents")

    def wanted_texts() -> Iterator[list[str]]:
        for rows, texts in zip(blocks(doc), block_texts(file, blocks(doc)), strict=True):
            few = [text for text, keep in zip(texts, wanted[rows], strict=True) if keep]
            if few:
                yield few

    def predict(few: list[str]) -> np.ndarray:
        return np.exp(classifier.log_probabilities(few, progress))

    none = np.zeros((0, classifier.model.config.num_labels))
    p = np.concatenate([none, *in_flight(predict, wanted_texts(), classifier.device)])
    columns = {
        "doc": doc[wanted], "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(p.ravel()), p.shape[1]),
        "entropy": entropy(p), "margin": margin(p), "confidence": confidence(p),
    }  # fmt: skip
    with atomic_path(out) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")
    progress.line(METER.note(classifier.device))


if __name__ == "__main__":
    run(main)
