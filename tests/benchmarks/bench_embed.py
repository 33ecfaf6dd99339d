"""Embedding against SentenceTransformer.encode with its defaults: same documents, same weights, one run.

    .venv/bin/python tests/benchmarks/bench_embed.py --documents 1000
    .venv/bin/python tests/benchmarks/bench_embed.py --documents 8192 --corpus sst2

Prints documents/s, their ratio, the mean cosine between the vectors, the floor by FLOPs, and the tokens with their padding
beside what padding every document to 512 tokens would compute (as the notebook of the SST-2 study does). bfloat16 is measured
where the processor multiplies it natively. Real documents (WINNOW_DATA): of the Pile, or else made-up ones, or SST-2.
"""

import time

import numpy as np
import torch
import yaml
from common import ROOT, figure, options, peer, pile_texts, precisions, processor, sst2_texts
from winnow.batching import BLOCK, batches, distinct
from winnow.device import peak
from winnow.embed.encoder import BATCH_TOKENS, Encoder
from winnow.weights import weights_folder


def padded_tokens(ids: list[list[int]]) -> int:
    """Tokens that the encoder computes for a block, padding included."""
    lengths = np.array([len(row) for row in distinct(ids)[0]])
    return sum(len(rows) * int(lengths[rows].max()) for rows in batches(lengths, BATCH_TOKENS["cpu"]))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--corpus", choices=["pile", "sst2"], default="pile")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    asked = parser.parse_args()
    texts = {"pile": pile_texts, "sst2": sst2_texts}[asked.corpus](asked.documents)
    spec = yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]["minilm"]
    spec = {"pooling": "mean", "prefix": "", **spec}
    with peer("sentence_transformers"):
        from sentence_transformers import SentenceTransformer
    theirs = SentenceTransformer(str(weights_folder(spec["source"])), device="cpu")
    assert theirs.max_seq_length == spec["max_tokens"]
    chosen = precisions(asked.precision, "cpu")
    ours = {name: Encoder({**spec, "precision": name}, device="cpu") for name in chosen}
    first = ours[chosen[0]]
    ids = [e.ids[: spec["max_tokens"]] for e in first.tokenizer.encode_batch(texts)]
    tokens = sum(map(len, ids))
    with_padding = sum(padded_tokens(ids[i : i + BLOCK]) for i in range(0, len(ids), BLOCK))
    config = first.model.config
    flops = tokens * 2 * config.num_hidden_layers * (12 * config.hidden_size**2)
    print(f"{processor()}; {torch.get_num_threads()} threads")
    print(f"{len(texts)} documents, {tokens} tokens, floor {flops / 1e12:.2f} TFLOP", flush=True)
    print(
        f"with padding {with_padding} tokens; padded to 512: {512 * len(texts) / with_padding:.1f} times as many"
    )
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
        if name != "peer":
            rate = len(texts) / seconds
            figure(
                f"embed {asked.corpus}, {name}",
                "documents/s",
                rate,
                len(texts) / best["peer"],
                "at least 1.3",
            )
            product = peak("cpu", name == "bfloat16", torch.get_num_threads())["flops"] / 1e9
            print(
                f"{'':9s} a product of matrices: {product:.0f} GFLOP/s, of which {flops / seconds / 1e9 / product:.2f}"
            )
            figure(
                f"share of a product of matrices, {name}",
                "GFLOP/s",
                flops / seconds / 1e9,
                product,
                "at least 0.70",
            )


if __name__ == "__main__":
    main()
