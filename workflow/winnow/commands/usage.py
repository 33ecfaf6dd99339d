"""What jobs used: from Snakemake's benchmark files, and from SLURM's accounting (sacct).

In: benchmark files (results/timings/RULE/...), or the output of `sacct` as SACCT says. Out: CPU-hours, GPU-hours, seconds and
peak memory of jobs, or of each rule.
"""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from winnow.benchmark_files import cpu_seconds
from winnow.stage import InputError

FIELDS = ("JobID", "State", "ElapsedRaw", "CPUTimeRAW", "TotalCPU", "MaxRSS", "AllocTRES", "Comment")
SACCT = ["sacct", "--parsable2", "--noconvert", f"--format={','.join(FIELDS)}"]
"""The command whose output is read; `--starttime` says from when on. Rules are recognised by the comment that Snakemake's
plugin gives a job: SLURM keeps it with `AccountingStoreFlags=job_comment`."""


@dataclass(frozen=True)
class Used:
    """What jobs took: seconds from start to end, of processors as used, peak memory in MB, GPU-seconds as allocated."""

    jobs: int
    wall: float
    cpu: float
    memory_mb: float
    gpu: float = 0.0

    def __add__(self, other: Used) -> Used:
        return Used(
            self.jobs + other.jobs,
            self.wall + other.wall,
            self.cpu + other.cpu,
            max(self.memory_mb, other.memory_mb),
            self.gpu + other.gpu,
        )


NOTHING = Used(0, 0.0, 0.0, 0.0)


def read_benchmark(path: Path) -> Used | None:
    """What a job took; None without its file. Processor time is that of Snakemake's last look, extended to the end of the
    job; of a job that ended before it was looked at, its seconds.

    Raises InputError for a file that is not a benchmark file.
    """
    try:
        with open(path, newline="") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        wall, cpu, memory = float(row["s"]), row["cpu_time"], row["max_rss"]
        return Used(1, wall, cpu_seconds(wall, cpu), 0.0 if memory in ("NA", "-") else float(memory))
    except FileNotFoundError:
        return None
    except (StopIteration, KeyError, ValueError):
        raise InputError(
            f"{path}: not a benchmark file of Snakemake; remove it, or run the job again"
        ) from None


def run_sacct(since: str) -> str:
    """The output of sacct of this user's jobs since a date. Raises InputError if sacct does not answer."""
    try:
        done = subprocess.run([*SACCT, f"--starttime={since}"], capture_output=True, text=True)
    except FileNotFoundError:
        raise InputError(
            "--since: no program sacct here; run it on the cluster, and give its output as --sacct FILE"
        ) from None
    if done.returncode:
        raise InputError(f"--since: sacct: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
    return done.stdout


def by_rule(text: str, rules: Iterable[str]) -> dict[str, Used]:
    """What the jobs of each rule took, from the output of `sacct`; failed attempts and repeated ones too. CPU-seconds are those
    used, or those allocated where SLURM did not count them.

    Raises InputError if a column is missing, or no job has a comment that names one of `rules`.
    """
    lines = [line.split("|") for line in text.splitlines() if line.strip()]
    if not lines or set(FIELDS) - set(lines[0]):
        raise InputError(
            f"sacct: its first line must name the columns {', '.join(FIELDS)}; run: {' '.join(SACCT)}"
        )
    rows = [dict(zip(lines[0], line, strict=False)) for line in lines[1:]]
    memory: dict[str, float] = {}
    for row in rows:
        job = row["JobID"].split(".")[0]
        memory[job] = max(memory.get(job, 0.0), _megabytes(row.get("MaxRSS", "")))
    known = sorted(rules, key=len, reverse=True)
    out: dict[str, Used] = {}
    for row in rows:
        if "." in row["JobID"] or not row["ElapsedRaw"].isdigit():
            continue
        comment = row.get("Comment", "").removeprefix("rule_")
        rule = next((one for one in known if comment == one or comment.startswith(f"{one}_wildcards_")), None)
        if rule is None:
            continue
        wall = float(row["ElapsedRaw"])
        gpus = re.search(r"gres/gpu(?::[^=,]*)?=(\d+)", row.get("AllocTRES", ""))
        cpu = _seconds(row["TotalCPU"]) or float(row["CPUTimeRAW"] or 0)
        used = Used(1, wall, cpu, memory[row["JobID"]], wall * int(gpus[1]) if gpus else 0.0)
        out[rule] = out.get(rule, NOTHING) + used
    if not out:
        raise InputError(
            "sacct: no job has a comment of Snakemake's plugin (rule_NAME...); SLURM keeps comments with AccountingStoreFlags=job_comment"
        )
    return out


def _megabytes(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)([KMGT]?)", text)
    return float(match[1]) * {"": 1e-6, "K": 1e-3, "M": 1.0, "G": 1e3, "T": 1e6}[match[2]] if match else 0.0


def _seconds(text: str) -> float:
    """Of [days-][hours:]minutes:seconds."""
    days, _, rest = text.rpartition("-")
    parts = rest.split(":")
    try:
        total = 0.0
        for part in parts:
            total = 60 * total + float(part)
        return total + 86400 * (int(days) if days else 0)
    except ValueError:
        return 0.0


def measured(paths: Sequence[Path | None]) -> Used:
    """What jobs took by their benchmark files, as far as there are such."""
    return sum((used for path in paths if path and (used := read_benchmark(path))), start=NOTHING)
