"""How long each rule of a run took: the benchmark files of its jobs, summed."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from tabulate import tabulate

from winnow.stage import InputError


def summarise(folder: Path) -> list[dict[str, object]]:
    """One row per rule, longest first: jobs, seconds in all, seconds of the longest job, peak memory in MB."""
    jobs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for path in sorted(folder.rglob("*.tsv")):
        with open(path, newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                memory = 0.0 if row["max_rss"] in ("-", "NA") else float(row["max_rss"])
                jobs[path.relative_to(folder).parts[0]].append((float(row["s"]), memory))
    rows = [
        {
            "rule": rule,
            "jobs": len(all_),
            "seconds": round(sum(s for s, _ in all_), 1),
            "longest": round(max(s for s, _ in all_), 1),
            "peak MB": round(max(m for _, m in all_)),
        }
        for rule, all_ in jobs.items()
    ]
    return sorted(rows, key=lambda row: -float(str(row["seconds"])))


def command(*, folder: Path) -> None:
    """Print the jobs, seconds and peak memory of each rule of a run, longest first.

    Args:
        folder: The folder `timings` of the run's results.

    Raises InputError if there are no timings in it.
    """
    rows = summarise(folder)
    if not rows:
        raise InputError(
            f"--folder: no timings (*.tsv) in {folder}; give the folder timings of a run's results"
        )
    print(tabulate(rows, headers="keys", tablefmt="github"))
