"""A shard of documents and the classifier of a round -> what it predicts of them, for the draw of the next round.

Out: doc int64, probabilities list<float64>, and three measures of uncertainty: entropy (nats), margin, confidence.
Documents are read in blocks of 4,096 rows of the source, so the number of shards changes nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.batching import block_texts, blocks
from winnow.classifier import Classifier
from winnow.sample.acquisition import confidence, entropy, margin
from winnow.stage import Progress, atomic_path, run, say

STAGE_VERSION = 1


def main(*, documents: Path, model: Path, out: Path, name: str = "", threads: int = 0) -> None:
    """Predict the classes of a shard.

    Args:
        documents: shard of documents (parquet: doc, text).
        model: folder of the classifier, in Hugging Face format with safetensors.
        out: parquet to write.
        name: what progress lines call the shard.
        threads: processor threads; 0 leaves torch's choice.
    """
    say(f"[predict {name}] loading the model")
    import torch

    if threads:
        torch.set_num_threads(threads)
    classifier = Classifier(model)
    file = pq.ParquetFile(documents)
    doc = file.read(columns=["doc"])["doc"].to_numpy()
    progress = Progress(f"predict {name}", total=len(doc), unit="documents")
    parts = [
        np.exp(classifier.log_probabilities(texts, progress)) for texts in block_texts(file, blocks(doc))
    ]
    p = np.concatenate([np.zeros((0, classifier.model.config.num_labels)), *parts])
    columns = {
        "doc": doc, "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(p.ravel()), p.shape[1]),
        "entropy": entropy(p), "margin": margin(p), "confidence": confidence(p),
    }  # fmt: skip
    with atomic_path(out) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")
    progress.line()


if __name__ == "__main__":
    run(main)
