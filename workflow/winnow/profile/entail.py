"""One shard of documents -> the logit with which an NLI model reads each text of a label set as following from each document.

In: a shard of documents and a sequence-pair classifier in Hugging Face format that has a class of entailment. Out: .npz with
`labels`, text [t], the label of each text, in alphabetical order, and `logits`, float32 [n, t], row i = row i of the shard: the
logit of entailment with the document as premise and the text as hypothesis (Yin, Hay & Roth 2019, section 5). Where both are
longer than the model reads, the document is cut. Documents are read in blocks of 4,096 rows of the source, so the number of
shards changes nothing. One pass of the model for each document and text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from winnow.batching import block_texts, blocks
from winnow.classifier import Classifier
from winnow.in_flight import METER, in_flight
from winnow.parquet import doc_column, open_parquet
from winnow.profile.kinds import label_texts
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, run, say
from winnow.weights import weights_folder

STAGE_VERSION = 2


def entailment_class(names: dict[int, str], folder: Path) -> int:
    """The class of entailment among the names of a model's classes. Raises InputError unless one of them starts with `entail`."""
    found = [index for index, name in names.items() if name.lower().startswith("entail")]
    if len(found) != 1:
        raise InputError(
            f"{folder / 'config.json'}: classes {', '.join(names.values())}; expected: one named entailment, as NLI models "
            "have it (id2label)"
        )
    return int(found[0])


def main(*, documents: Path, spec: str, out: Path, name: str = "", threads: int = 0) -> None:
    """Read the texts of a label set as hypotheses of the documents of a shard.

    Args:
        documents: shard of documents (parquet: doc, text).
        spec: JSON: labels (a list of texts for each label), source (of the NLI model), max_tokens (of document and text).
        out: .npz to write: labels, logits.
        name: name of the shard and the label set in progress lines.
        threads: processor threads; 0 leaves torch's choice.
    """
    settings: dict[str, Any] = read_spec(spec, "labels", "source", "max_tokens")
    say(f"[entail {name}] loading the model")
    import torch

    if threads:
        torch.set_num_threads(threads)
    folder = weights_folder(settings["source"])
    model = Classifier(folder, settings["max_tokens"])
    wanted = entailment_class(model.model.config.id2label, folder)
    labels, hypotheses = label_texts(settings["labels"])
    doc = doc_column(documents)
    progress = Progress(f"entail {name}", total=len(doc), unit="documents")
    slices = blocks(doc)

    def of_block(texts: list[str]) -> np.ndarray:
        columns = []
        for hypothesis in hypotheses:
            columns.append(model.pair_logits(texts, hypothesis)[:, wanted])
            progress.add(len(texts) / len(hypotheses))
        return np.stack(columns, axis=1).astype(np.float32)

    none = np.zeros((0, len(hypotheses)), dtype=np.float32)
    with open_parquet(documents, ["text"]) as file:
        logits = np.concatenate([none, *in_flight(of_block, block_texts(file, slices), model.device)])
    progress.line(METER.note(model.device))
    if not np.isfinite(logits).all():
        bad = int(doc[~np.isfinite(logits).all(1)][0])
        raise InputError(f"{documents}: document {bad} has no finite logit; take another model than {folder}")
    with atomic_path(out) as partial, open(partial, "wb") as stream:
        np.savez(stream, labels=np.array(labels), logits=logits)


if __name__ == "__main__":
    run(main)
