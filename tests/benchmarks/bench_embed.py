"""Embedding against SentenceTransformer.encode with its defaults: same documents, same weights, one run.

    .venv/bin/python tests/benchmarks/bench_embed.py --documents 1000
    .venv/bin/python tests/benchmarks/bench_embed.py --documents 8192 --corpus sst2

Prints documents/s and tokens/s, their ratio, the mean cosine between the vectors, the model FLOPs beside the device's, and the
tokens with their padding beside what padding every document to the longest would compute (as the notebook of the SST-2 study
does). bfloat16 is measured where the device multiplies it natively; on a GPU the peer loads its weights in bfloat16, too.
Real documents (WINNOW_DATA): of the Pile, or else made-up ones, or SST-2. An encoder of the size of e5-base, of random weights:

    .venv/bin/python tests/benchmarks/bench_embed.py --documents 8192 --shape 12 768 12 --max-tokens 512
"""

import argparse
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
from winnow.device import encoder_flops, peak, pick_device
from winnow.embed.encoder import Encoder
from winnow.in_flight import METER, in_flight
from winnow.stage import sha256
from winnow.weights import weights_folder

TEXTS = {"pile": pile_texts, "sst2": sst2_texts}


def definition(folder: Path | None, max_tokens: int) -> dict:
    """The encoder minilm of the config, or that of `folder`, of `make_encoder`."""
    found = yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]["minilm"]
    if folder:
        weights = folder / "model.safetensors"
        found["source"] = {"folder": str(folder), "sha256": sha256(weights)}
        found["dimension"] = json.loads((folder / "config.json").read_text())["hidden_size"]
    return {"pooling": "mean", "prefix": "", **found, **({"max_tokens": max_tokens} if max_tokens else {})}


def make_encoder(shape: list[int], positions: int, texts: list[str], folder: Path) -> None:
    """A BERT of random weights, its word pieces those of the texts, in the layout that SentenceTransformer opens, too."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(
        (text[:20_000] for text in texts[:500]), vocab_size=30_522, show_progress=False
    )
    BertTokenizerFast(tokenizer_object=pieces._tokenizer, model_max_length=positions).save_pretrained(folder)
    layers, width, heads = shape
    torch.manual_seed(0)
    config = BertConfig(hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * width,
                        max_position_embeddings=positions)  # fmt: skip
    BertModel(config).save_pretrained(folder)
    transformer = Transformer(str(folder), max_seq_length=positions)
    SentenceTransformer(modules=[transformer, Pooling(width)]).save(str(folder))


def padded_tokens(ids: list[list[int]], tokens: int) -> int:
    """Tokens that the encoder computes for a block in batches of `tokens`, padding included."""
    lengths = np.array([len(row) for row in distinct(ids)[0]])
    return sum(len(rows) * int(lengths[rows].max()) for rows in batches(lengths, tokens))


def measure(side: str, spec: dict, texts: list[str], rounds: int, out: Path) -> None:
    """Prints the seconds of each round of one side as JSON, and writes its vectors."""
    device = pick_device()
    if side == "peer":
        from sentence_transformers import SentenceTransformer

        settings = {"model_kwargs": {"dtype": torch.bfloat16}} if device == "cuda" else {}
        model = SentenceTransformer(str(weights_folder(spec["source"])), device=device, **settings)
        assert model.max_seq_length == spec["max_tokens"]

        def encode() -> np.ndarray:
            return model.encode(texts, show_progress_bar=False)
    else:
        ours = Encoder({**spec, "precision": side})
        slices = [texts[i : i + BLOCK] for i in range(0, len(texts), BLOCK)]

        def encode() -> np.ndarray:
            return np.concatenate(list(in_flight(ours.encode, slices, device)))

    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        vectors = encode()
        seconds.append(time.perf_counter() - start)
    np.save(out, vectors)
    print(json.dumps(seconds), flush=True)
    if side != "peer" and device != "cpu":
        print(METER.note(device), file=sys.stderr)


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
    parser.add_argument(
        "--shape", type=int, nargs=3, metavar=("LAYERS", "WIDTH", "HEADS"), help="random weights"
    )
    parser.add_argument(
        "--max-tokens", type=int, default=0, help="of a document; 0: what the encoder is defined with"
    )
    parser.add_argument("--folder", type=Path, help="an encoder made by an earlier run with --shape")
    asked = parser.parse_args()
    texts = TEXTS[asked.corpus](asked.documents)
    if asked.side:
        spec = definition(asked.folder, asked.max_tokens)
        measure(asked.side, spec, texts, asked.rounds, asked.out)
        return
    with peer("sentence_transformers"):
        import sentence_transformers  # noqa: F401
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch, "encoder") if asked.shape else asked.folder
        if asked.shape:
            make_encoder(asked.shape, asked.max_tokens or 512, texts, made)
        compare(asked, texts, made)


def compare(asked: argparse.Namespace, texts: list[str], folder: Path | None) -> None:
    device = pick_device()
    chosen = precisions(asked.precision, device)
    if device == "cuda" and asked.precision == "auto":
        chosen = chosen[1:]
    spec = definition(folder, asked.max_tokens)
    first = Encoder({**spec, "precision": chosen[0]})
    ids = [e.ids for e in first.tokenizer.encode_batch(texts)]
    lengths = [len(row) for row in ids]
    tokens = sum(lengths)
    with_padding = sum(padded_tokens(ids[i : i + BLOCK], first.tokens) for i in range(0, len(ids), BLOCK))
    config = first.model.config
    weights = 12 * config.num_hidden_layers * config.hidden_size**2
    flops = encoder_flops(weights, config.num_hidden_layers, config.hidden_size, lengths) / 3  # forward
    name = f"{config.num_hidden_layers} x {config.hidden_size}, {spec['max_tokens']} tokens"
    del first
    print(f"{processor()}; {torch.get_num_threads()} threads; {device}; {name}")
    print(f"{len(texts)} documents, {tokens} tokens, floor {flops / 1e12:.2f} TFLOP", flush=True)
    print(
        f"with padding {with_padding} tokens; all padded: {spec['max_tokens'] * len(texts) / with_padding:.1f} times as many"
    )
    best: dict[str, float] = {}
    vectors: dict[str, np.ndarray] = {}
    extra = ["--folder", str(folder)] if folder else []
    with tempfile.TemporaryDirectory() as scratch:
        for side in ("peer", *chosen) * (2 if device == "cpu" else 1):
            out = Path(scratch, f"{side}.npy")
            line = [sys.executable, __file__, *sys.argv[1:], *extra, "--side", side, "--out", str(out)]
            done = subprocess.run(line, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
            best[side] = min(best.get(side, 1e9), *json.loads(done.stdout.splitlines()[-1]))
            vectors[side] = np.load(out).astype(np.float32)
            if device != "cpu" and side != "peer":
                print(done.stderr.splitlines()[-1])
    reference = vectors["peer"] / np.linalg.norm(vectors["peer"], axis=1, keepdims=True)
    for side, seconds in best.items():
        cosine = (
            float((vectors[side].astype(np.float64) * reference).sum(1).mean()) if side != "peer" else 1.0
        )
        print(f"{side:9s} {len(texts) / seconds:7.1f} documents/s  {tokens / seconds:10,.0f} tokens/s  {flops / seconds / 1e9:6.0f} GFLOP/s  "
              f"ratio {best['peer'] / seconds:.2f}  mean cosine {cosine:.6f}")  # fmt: skip
        if side == "peer":
            continue
        rate, limit = len(texts) / seconds, peak(device, side == "bfloat16", torch.get_num_threads())
        what = f"embed {asked.corpus}, {side}, {name} on {device}"
        figure(what, "documents/s", rate, len(texts) / best["peer"], "at least 1.3")
        share = flops / seconds / limit["flops"]
        print(f"{'':9s} {share:.2f} of the device's {limit['flops'] / 1e9:.0f} GFLOP/s ({limit['source']})")
        wanted = "at least 0.70" if device == "cpu" else "at least 0.50"
        figure(f"{what}: model FLOPs", "GFLOP/s", flops / seconds / 1e9, limit["flops"] / 1e9, wanted)


if __name__ == "__main__":
    main()
