"""A label set (config/label_sets.yaml) -> the vectors of its texts.

Out: .npz with `labels`, text [t], the label of each text, in alphabetical order, and `vectors`, float16 [t, d], unit rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from winnow.profile.kinds import label_texts
from winnow.schema import read_spec
from winnow.stage import atomic_path, run, say

STAGE_VERSION = 1


def main(*, spec: str, out: Path, name: str = "", threads: int = 0) -> None:
    """Embed the texts of a label set.

    Args:
        spec: JSON: encoder, labels (a list of texts for each label).
        out: .npz to write: labels, vectors.
        name: name of the label set in messages.
        threads: processor threads; 0 leaves torch's choice.
    """
    settings = read_spec(spec, "encoder", "labels")
    say(f"[labels {name}] loading the encoder")
    import torch

    from winnow.embed.encoder import Encoder

    if threads:
        torch.set_num_threads(threads)
    labels, texts = label_texts(settings["labels"])
    vectors = Encoder(settings["encoder"]).encode(texts)
    with atomic_path(out) as partial, open(partial, "wb") as file:
        np.savez(file, labels=np.array(labels), vectors=vectors)
    say(f"[labels {name}] {len(settings['labels'])} labels, {len(texts)} texts")


if __name__ == "__main__":
    run(main)
