"""Embedding against SentenceTransformer.encode with its defaults: same documents, same weights, one run.

    .venv/bin/python tests/benchmarks/bench_embed.py --documents 1000
    .venv/bin/python tests/benchmarks/bench_embed.py --documents 8192 --corpus sst2

Prints documents/s, their ratio, the mean cosine between the vectors, the floor by FLOPs, and the tokens with their padding
beside what padding every document to 512 tokens would compute (as the notebook of the SST-2 study does). bfloat16 is measured
where the processor multiplies it natively. Real documents (WINNOW_DATA): of the Pile, or else made-up ones, or SST-2.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from common import ROOT, figure, options, peer, pile_texts, precisions, processor, sst2_texts
from winnow.batching import BLOCK, batches, distinct
from winnow.device import peak
from winnow.embed.encoder import Encoder
from winnow.weights import weights_folder

TEXTS = {"pile": pile_texts, "sst2": sst2_texts}


def definition() -> dict:
    found = yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]["minilm"]
    return {"pooling": "mean", "prefix": "", **found}


def padded_tokens(ids: list[list[int]], tokens: int) -> int:
    """Tokens that the encoder computes for a block in batches of `tokens`, padding included."""
    lengths = np.array([len(row) for row in distinct(ids)[0]])
    return sum(len(rows) * int(lengths[rows].max()) for rows in batches(lengths, tokens))


def measure(side: str, texts: list[str], rounds: int, out: Path) -> None:
    """Prints the seconds of each round of one side as JSON, and writes its vectors."""
    if side == "peer":
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(weights_folder(definition()["source"])), device="cpu")
        assert model.max_seq_length == definition()["max_tokens"]

        def encode() -> np.ndarray:
            return model.encode(texts, show_progress_bar=False)
    else:
        ours = Encoder({**definition(), "precision": side}, device="cpu")

        def encode() -> np.ndarray:
            return np.concatenate([ours.encode(texts[i : i + BLOCK]) for i in range(0, len(texts), BLOCK)])

    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        vectors = encode()
        seconds.append(time.perf_counter() - start)
    np.save(out, vectors)
    print(json.dumps(seconds))


def main() -> None:
    """Each measurement is a process of its own: what one does to the allocator is not the other's."""
    parser = options(__doc__)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--corpus", choices=list(TEXTS), default="pile")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of each process, of which the best counts"
    )
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--side", help="measure this one alone: peer, float32 or bfloat16")
    parser.add_argument("--out", type=Path, help="file for its vectors")
    asked = parser.parse_args()
    texts = TEXTS[asked.corpus](asked.documents)
    if asked.side:
        measure(asked.side, texts, asked.rounds, asked.out)
        return
    with peer("sentence_transformers"):
        import sentence_transformers  # noqa: F401
    chosen = precisions(asked.precision, "cpu")
    spec = definition()
    first = Encoder({**spec, "precision": chosen[0]}, device="cpu")
    ids = [e.ids[: spec["max_tokens"]] for e in first.tokenizer.encode_batch(texts)]
    tokens = sum(map(len, ids))
    with_padding = sum(padded_tokens(ids[i : i + BLOCK], first.tokens) for i in range(0, len(ids), BLOCK))
    config = first.model.config
    flops = tokens * 2 * config.num_hidden_layers * (12 * config.hidden_size**2)
    print(f"{processor()}; {torch.get_num_threads()} threads")
    print(f"{len(texts)} documents, {tokens} tokens, floor {flops / 1e12:.2f} TFLOP", flush=True)
    print(
        f"with padding {with_padding} tokens; padded to 512: {512 * len(texts) / with_padding:.1f} times as many"
    )
    best: dict[str, float] = {}
    vectors: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in ("peer", *chosen) * 2:
            out = Path(folder, f"{side}.npy")
            line = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--out", str(out)]
            done = subprocess.run(line, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
            best[side] = min(best.get(side, 1e9), *json.loads(done.stdout.splitlines()[-1]))
            vectors[side] = np.load(out)
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
