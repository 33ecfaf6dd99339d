"""Embedding against SentenceTransformer.encode with its defaults: same documents, same weights, one run.

    .venv/bin/python tests/benchmarks/bench_embed.py --documents 1000

Prints documents/s, their ratio, the mean cosine between the vectors, and the floor by FLOPs. bfloat16 is measured
where the processor multiplies it natively. Real Pile documents (WINNOW_DATA), or made-up ones.
"""

import time

import numpy as np
import torch
import yaml
from common import ROOT, options, peer, pile_texts, precisions, processor
from winnow.batching import BLOCK
from winnow.embed.encoder import Encoder
from winnow.weights import weights_folder


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    asked = parser.parse_args()
    texts = pile_texts(asked.documents)
    spec = yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]["minilm"]
    spec = {"pooling": "mean", "prefix": "", **spec}
    with peer("sentence_transformers"):
        from sentence_transformers import SentenceTransformer
    theirs = SentenceTransformer(str(weights_folder(spec["source"])), device="cpu")
    assert theirs.max_seq_length == spec["max_tokens"]
    chosen = precisions(asked.precision, "cpu")
    ours = {name: Encoder({**spec, "precision": name}, device="cpu") for name in chosen}
    first = ours[chosen[0]]
    tokens = sum(min(len(e.ids), spec["max_tokens"]) for e in first.tokenizer.encode_batch(texts))
    config = first.model.config
    flops = tokens * 2 * config.num_hidden_layers * (12 * config.hidden_size**2)
    print(f"{processor()}; {torch.get_num_threads()} threads")
    print(f"{len(texts)} documents, {tokens} tokens, floor {flops / 1e12:.2f} TFLOP", flush=True)
    best: dict[str, float] = {}
    vectors: dict[str, np.ndarray] = {}
    for _ in range(asked.rounds):
        for name in ("peer", *ours):
            start = time.perf_counter()
            if name == "peer":
                vectors[name] = theirs.encode(texts, show_progress_bar=False)
            else:
                parts = [ours[name].encode(texts[i : i + BLOCK]) for i in range(0, len(texts), BLOCK)]
                vectors[name] = np.concatenate(parts)
            best[name] = min(best.get(name, 1e9), time.perf_counter() - start)
    reference = vectors["peer"] / np.linalg.norm(vectors["peer"], axis=1, keepdims=True)
    for name, seconds in best.items():
        cosine = (
            float((vectors[name].astype(np.float64) * reference).sum(1).mean()) if name != "peer" else 1.0
        )
        print(f"{name:9s} {len(texts) / seconds:7.1f} documents/s  {flops / seconds / 1e9:6.0f} GFLOP/s  "
              f"ratio {best['peer'] / seconds:.2f}  mean cosine {cosine:.6f}")  # fmt: skip


if __name__ == "__main__":
    main()
