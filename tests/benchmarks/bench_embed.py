"""Embedding against SentenceTransformer.encode with its defaults: same documents, same weights, one run.

    .venv/bin/python tests/benchmarks/bench_embed.py [documents] [rounds]

Prints documents/s, their ratio, the mean cosine between the vectors, and the floor by FLOPs.
Uses real Pile documents (WINNOW_DATA); skips, saying so, where they are absent.
"""

import gzip
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from winnow.embed import BLOCK, Encoder, native_bfloat16
from winnow.weights import weights_folder

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("WINNOW_DATA", ROOT.parent / "shared/data"))


def main(count: int = 1000, rounds: int = 2) -> None:
    source = DATA / "pile/pile_test_docs.jsonl.gz"
    if not source.exists():
        print(f"skipped: {source} is absent (WINNOW_DATA)")
        return
    with gzip.open(source, "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    texts = texts[:: max(1, len(texts) // count)][:count]
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sentence_transformers import SentenceTransformer

    spec = yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]["minilm"]
    spec = {"pooling": "mean", "prefix": "", **spec}
    peer = SentenceTransformer(str(weights_folder(spec["source"])), device="cpu")
    assert peer.max_seq_length == spec["max_tokens"]
    ours = {p: Encoder({**spec, "precision": p}, device="cpu") for p in ("float32", "bfloat16")}
    tokens = sum(min(len(e.ids), spec["max_tokens"]) for e in ours["float32"].tokenizer.encode_batch(texts))
    config = ours["float32"].model.config
    flops = tokens * 2 * config.num_hidden_layers * (12 * config.hidden_size**2)
    print(f"{len(texts)} documents, {tokens} tokens, {torch.get_num_threads()} threads, "
          f"native bfloat16: {native_bfloat16('cpu')}, floor {flops / 1e12:.2f} TFLOP")  # fmt: skip
    best: dict[str, float] = {}
    vectors: dict[str, np.ndarray] = {}
    for _ in range(rounds):
        for name in ("peer", *ours):
            start = time.perf_counter()
            if name == "peer":
                vectors[name] = peer.encode(texts, show_progress_bar=False)
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
    main(*map(int, sys.argv[1:]))
