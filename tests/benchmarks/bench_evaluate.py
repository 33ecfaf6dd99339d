"""Evaluation beside the `lm_eval` command line: stock task names on the mirror, same model and batch size.

    python tests/benchmarks/bench_evaluate.py MODEL_FOLDER MIRRORS_FOLDER [batch size] [limit] [threads]

MIRRORS_FOLDER holds benchmark folders of winnow.benchmarks (results/benchmarks). Every figure must be equal to the last
printed digit; the times of both are printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    model, mirrors = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    batch, limit, threads = (int(a) for a in (sys.argv[3:] + ["16", "100", "1"][len(sys.argv) - 3 :])[:3])
    folders = {}
    for path in sorted(mirrors.glob("*/manifest.json")):
        manifest = json.loads(path.read_text())
        if manifest["kind"] == "stock":
            folders[manifest["name"]] = (path.parent, manifest)
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "OMP_NUM_THREADS": str(threads)}  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        # The stock tasks name owner/name: a folder of that name in the working directory is what `datasets` opens first.
        for folder, manifest in folders.values():
            target = Path(scratch, "here", manifest["dataset"])
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(folder / manifest["dataset"])
        line = [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32",
                "--tasks", ",".join(m["task"] for _, m in folders.values()), "--batch_size", str(batch), "--limit", str(limit),
                "--device", "cpu", "--output_path", f"{scratch}/lm_eval", "--log_samples"]  # fmt: skip
        began = time.perf_counter()
        subprocess.run(line, cwd=Path(scratch, "here"), env=offline, check=True, capture_output=True)
        theirs_s = time.perf_counter() - began
        (path,) = Path(scratch, "lm_eval").rglob("results_*.json")
        theirs = json.loads(path.read_text())["results"]
        spec = {"ids": {}, "suite": "bench",
                "benchmarks": {name: {"task": m["task"], "items": limit, "data": {"files": {"x": "x"}}} for name, (_, m) in folders.items()}}  # fmt: skip
        line = [sys.executable, "-m", "winnow.evaluate", "--model", str(model), "--spec", json.dumps(spec), "--out-dir", f"{scratch}/ours",
                "--batch-size", str(batch), "--benchmarks", *(str(folder) for folder, _ in folders.values())]  # fmt: skip
        began = time.perf_counter()
        subprocess.run(line, env=offline, check=True, capture_output=True)
        ours_s = time.perf_counter() - began
        ours = json.loads(Path(scratch, "ours", "results.json").read_text())["tasks"]
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


if __name__ == "__main__":
    main()
