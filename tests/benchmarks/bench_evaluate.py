"""Evaluation beside the `lm_eval` command line: stock task names on the mirror, same model and batch size.

    .venv/bin/python tests/benchmarks/bench_evaluate.py --model results/.../seed0 --mirrors results/benchmarks

MIRRORS holds benchmark folders of winnow.evaluate.benchmarks; without it three tasks are mirrored from the real data (WINNOW_DATA),
or from made-up rows. Without a model a small GPT-NeoX of random weights is made. Every figure must be equal to the last
printed digit; the times of both are printed. Ends with 1 where a figure differs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import DATA, figure, options, peer, pile_texts, processor, real_file
from winnow.device import pick_device

SMALL = [2, 64, 2, 512, 512]
TASKS = {  # task -> split -> file of the real data
    "arc_challenge": {"train": "arc_challenge_train", "validation": "arc_challenge_validation", "test": "arc_challenge_test"},
    "winogrande": {"validation": "winogrande_validation"},
    "lambada_openai": {"test": "lambada_openai_test"},
}  # fmt: skip


def make_model(folder: Path, shape: list[int] = SMALL) -> Path:
    """A GPT-NeoX of random weights, with a byte-level BPE."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

    layers, width, heads, sequence, vocabulary = shape
    bpe = ByteLevelBPETokenizer()
    end = "<|endoftext|>"
    words = ["the quick brown fox said that it was there, and who would ask which"] * 50
    lines = words if vocabulary < 1024 else [text[:20_000] for text in pile_texts(1000)]
    size = min(vocabulary, 16_384)
    bpe.train_from_iterator(lines, vocab_size=size, special_tokens=[end], show_progress=False)
    PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,
        eos_token=end,
        bos_token=end,
        pad_token=end,
        model_max_length=sequence,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = GPTNeoXConfig(vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
                           intermediate_size=4 * width, max_position_embeddings=sequence, initializer_range=0.1,
                           bos_token_id=0, eos_token_id=0)  # fmt: skip
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


def make_mirrors(folder: Path) -> Path:
    """Benchmark folders of TASKS, or of two tasks of made-up rows."""
    from winnow.evaluate import benchmarks
    from winnow.stage import canonical

    if real_file("benchmarks/arc_challenge_test.jsonl.gz"):
        tasks = {task: {split: str(DATA / f"benchmarks/{name}.jsonl.gz") for split, name in files.items()}
                 for task, files in TASKS.items()}  # fmt: skip
    else:
        asked = [{"id": str(i), "question": f"Which is {i}?", "answerKey": "ABCD"[i % 4],
                  "choices": {"text": [f"the {j} of {i}" for j in ("cat", "house", "bird", "dog")], "label": list("ABCD")}}
                 for i in range(100)]  # fmt: skip
        passages = [{"text": f"The {i}th fox was quick, and they said that it was there"} for i in range(100)]
        tasks = {}
        for task, splits in {
            "arc_challenge": {"train": asked[:3], "test": asked},
            "lambada_openai": {"test": passages},
        }.items():
            for split, rows in splits.items():
                path = folder / f"{task}-{split}.jsonl.gz"
                with gzip.open(path, "wt") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
                tasks.setdefault(task, {})[split] = str(path)
    for task, files in tasks.items():
        definition = {"task": task, "data": {"files": files}}
        benchmarks.mirror(
            spec=canonical({"benchmark": definition, "name": task}), out_dir=folder / "mirrors" / task
        )
    return folder / "mirrors"


def checked(line: list[str], env: dict[str, str], cwd: Path | None = None) -> float:
    """Seconds of a command; ends with its last words if it fails."""
    began = time.perf_counter()
    done = subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"failed: {' '.join(line)}\n{done.stderr[-2000:]}")
    return time.perf_counter() - began


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", type=Path, help="a folder in Hugging Face format")
    parser.add_argument("--mirrors", type=Path, help="benchmark folders")
    names = ("LAYERS", "WIDTH", "HEADS", "SEQUENCE", "VOCABULARY")
    parser.add_argument("--shape", type=int, nargs=5, metavar=names, default=SMALL, help="of the made model")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--limit", type=int, default=100, help="items a task")
    parser.add_argument("--own-batch", action="store_true", help="winnow sizes its batches itself")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    print(processor(), flush=True)
    with peer("lm_eval"):
        import lm_eval  # noqa: F401
    with tempfile.TemporaryDirectory() as scratch:
        model = asked.model or make_model(Path(scratch, "model"), asked.shape)
        mirrors = asked.mirrors or make_mirrors(Path(scratch))
        compare(model.resolve(), mirrors.resolve(), asked)


def compare(model: Path, mirrors: Path, asked: argparse.Namespace) -> None:
    batch, limit, device = asked.batch_size, asked.limit, pick_device()
    folders = {}
    for path in sorted(mirrors.glob("*/manifest.json")):
        manifest = json.loads(path.read_text())
        if manifest["kind"] == "stock":
            folders[manifest["name"]] = (path.parent, manifest)
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "OMP_NUM_THREADS": str(asked.threads)}  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        # The stock tasks name owner/name: a folder of that name in the working directory is what `datasets` opens first.
        for folder, manifest in folders.values():
            target = Path(scratch, "here", manifest["dataset"])
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(folder / manifest["dataset"])
        line = [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32",
                "--tasks", ",".join(m["task"] for _, m in folders.values()), "--batch_size", str(batch), "--limit", str(limit),
                "--device", device, "--output_path", f"{scratch}/lm_eval", "--log_samples"]  # fmt: skip
        theirs_s = checked(line, offline, Path(scratch, "here"))
        (path,) = Path(scratch, "lm_eval").rglob("results_*.json")
        theirs = json.loads(path.read_text())["results"]
        spec = {"ids": {}, "suite": "bench",
                "benchmarks": {name: {"task": m["task"], "items": limit, "data": {"files": {"x": "x"}}} for name, (_, m) in folders.items()}}  # fmt: skip
        line = [sys.executable, "-m", "winnow.evaluate.harness", "--model", str(model), "--spec", json.dumps(spec), "--out-dir", f"{scratch}/ours",
                "--batch-size", "0" if asked.own_batch else str(batch), "--benchmarks", *(str(folder) for folder, _ in folders.values())]  # fmt: skip
        ours_s = checked(line, offline)
        ours = json.loads(Path(scratch, "ours", "results.json").read_text())["tasks"]
        print(Path(scratch, "ours", "timings.json").read_text())
    compared = different = 0
    for task, figures in theirs.items():
        for metric, value in figures.items():
            if isinstance(value, float) and "stderr" not in metric:
                compared += 1
                if (
                    f"{value:.4f}" != f"{ours[task][metric]:.4f}"
                    and f"{value:.6g}" != f"{ours[task][metric]:.6g}"
                ):
                    different += 1
                    print(f"{task} {metric}: lm_eval {value!r}, winnow {ours[task][metric]!r}")
    print(f"{compared} figures, {different} different; lm_eval {theirs_s:.1f} s, winnow {ours_s:.1f} s, ratio {ours_s / theirs_s:.2f}")  # fmt: skip
    if different or not compared:
        sys.exit(1)
    figure(f"evaluate three stock tasks, equal figures, {device}", "s", ours_s, theirs_s, "at most 1")


if __name__ == "__main__":
    main()
