"""What the workflow itself costs: a dry run's time and memory by jobs, and the overhead of a local job.

    .venv/bin/python tests/benchmarks/bench_workflow.py --jobs 1000 10000 --draws 100

Dry runs of so many jobs: one corpus, random draws with many data seeds. Overhead of
a local job: a run of so many small draws, its wall seconds less those that the jobs themselves took, beside the same
number of jobs of a Snakefile that does nothing (`true`), the floor of Snakemake itself.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from common import ROOT, cores, figure, options, processor

SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def write_run(folder: Path, seeds: int) -> Path:
    texts = folder / "texts.jsonl"
    texts.write_text("".join(f'{{"text": "document {i} of a small corpus"}}\n' for i in range(200)))
    run = {
        "results": str(folder / "results"),
        "corpora": {"bench": {"source": {"files": [str(texts)]}, "text": "text", "heldout": {"documents": 20}}},
        "budgets": {"bench": {"train": 50}},
        "experiments": [
            {"name": "bench", "corpus": "bench", "clustering": None, "samplers": ["random"], "budget": "bench",
             "model": "neox-nano", "data_seeds": list(range(seeds)), "suites": ["mini"]}
        ],
        "targets": [],
    }  # fmt: skip
    path = folder / f"run-{seeds}.yaml"
    path.write_text(yaml.safe_dump(run))
    return path


def measured(command: list[str], cwd: Path = ROOT) -> tuple[float, float, str]:
    """Wall seconds, peak memory in MB, and what was printed."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, cwd=cwd, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        out.seek(0)
        text = out.read()
    if status:
        raise SystemExit(f"failed: {' '.join(command)}\n{text[-2000:]}")
    return seconds, usage.ru_maxrss / 1024, text


def dry_runs(folder: Path, jobs: list[int]) -> None:
    for wanted in jobs:
        seeds = max(1, (wanted - 6) // 4)  # draw, subset, tokens and model of each seed
        command = [
            *SNAKEMAKE,
            "models",
            "--dry-run",
            "--quiet",
            "all",
            "--configfile",
            str(write_run(folder, seeds)),
        ]
        count = measured([*command[:-3], "rules", *command[-2:]])
        planned = int(re.findall(r"^total +(\d+)$", count[2], re.MULTILINE)[-1])
        seconds, memory, _ = measured(command)
        figure(f"dry run of {planned:,} jobs", "s", seconds)
        print(
            f"dry run of {planned:,} jobs: {seconds:.1f} s ({1000 * seconds / planned:.1f} ms a job), {memory:.0f} MB"
        )


def overhead(folder: Path, draws: int) -> None:
    count = cores()
    run = write_run(folder, draws)
    common = ["--cores", str(count), "--quiet", "all", "--configfile", str(run)]
    measured([*SNAKEMAKE, f"{folder}/results/bench/heldout.parquet", *common])
    seconds, _, _ = measured([*SNAKEMAKE, "subsets", *common])
    timings = list((folder / "results" / "timings").glob("*/bench/none/**/*.tsv"))
    inside = sum(float(path.read_text().splitlines()[1].split("\t")[0]) for path in timings)
    ours = (seconds * count - inside) / len(timings)
    empty = folder / "empty"
    empty.mkdir()
    (empty / "Snakefile").write_text(
        f"rule all:\n    input: expand('{{i}}.txt', i=range({2 * draws}))\n"
        "rule one:\n    output: '{i}.txt'\n    shell: 'true > {output}'\n"
    )
    floor, _, _ = measured([*SNAKEMAKE, "--cores", str(count), "--quiet", "all"], empty)
    figure("a local job, beside its own work", "core-s", ours, floor * count / (2 * draws))
    print(
        f"{len(timings)} local jobs on {count} cores: {seconds:.1f} s, {inside / len(timings):.2f} s a job in the job itself, "
        f"{ours:.2f} core-s a job beside it (start of the shell, scheduling, metadata); "
        f"an empty job costs {floor * count / (2 * draws):.2f} core-s"
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--draws", type=int, default=30)
    asked = parser.parse_args()
    print(processor(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        dry_runs(Path(name), asked.jobs)
        overhead(Path(name), asked.draws)


if __name__ == "__main__":
    main()
