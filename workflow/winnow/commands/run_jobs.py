"""The jobs of a run, from a dry run of Snakemake: which rule, which wildcards, and what each waits for."""

from __future__ import annotations

import graphlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from winnow.stage import InputError

ROOT = Path(__file__).parents[3]
VARIABLE = "WINNOW_JOBS"
"""Environment variable that tells workflow/rules/start.smk where to write the jobs of a dry run."""


@dataclass(frozen=True)
class RunJob:
    """A job: rule, wildcards, its benchmark file (None of a target), and the places of the jobs that it waits for."""

    rule: str
    ids: dict[str, str]
    benchmark: Path | None
    needs: tuple[int, ...]


def jobs_of_run(files: Sequence[Path], targets: Sequence[str], missing: bool) -> list[RunJob]:
    """The jobs of a run config's targets, each behind those that it waits for: all of a fresh run, or those that are
    `missing` in its folder of results. None if there is nothing to do.

    Raises InputError with the last line of Snakemake if its dry run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "jobs.json"
        command = [
            sys.executable,
            "-m",
            "snakemake",
            *(targets or ["all"]),
            "--dry-run",
            "--nolock",
            "--rerun-incomplete",  # files that a run is writing, or was killed over: their jobs are missing
            "--cores",
            "1",
        ]
        command += [
            "--quiet",
            "all",
            "--snakefile",
            str(ROOT / "Snakefile"),
            *([] if missing else ["--forceall"]),
        ]
        command += ["--configfile", *map(str, files)] if files else []
        done = subprocess.run(command, env={**os.environ, VARIABLE: str(out)}, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            errors = [line.partition("error: ")[2] for line in lines if line.startswith("error: ")]
            raise InputError((errors or lines or ["Snakemake's dry run failed without a message"])[-1])
        rows = json.loads(out.read_text(encoding="utf-8")) if out.exists() else []
    order = list(graphlib.TopologicalSorter({at: row["needs"] for at, row in enumerate(rows)}).static_order())
    place = {at: new for new, at in enumerate(order)}
    return [
        RunJob(
            row["rule"],
            row["ids"],
            Path(row["benchmark"]) if row["benchmark"] else None,
            tuple(sorted(place[need] for need in row["needs"])),
        )
        for row in (rows[at] for at in order)
    ]
