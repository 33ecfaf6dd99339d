"""What labelling in rounds costs each arm of a table: labels, seconds and FLOPs, part by part.

In: Snakemake's benchmark files of the jobs of each arm, by part; metrics.json of its trainings; of probes, whose rounds are one
job, timings.json. Out, at a common prefix: `.csv` (a row per arm and part) and `.html`. They hold timings, so they differ from
machine to machine. Evaluations are not charged: every arm is evaluated alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.compare.costs import NO_USAGE, Usage, usage
from winnow.csv_files import write_rows
from winnow.pages import Page, Section, Table, html_page
from winnow.schema import read_spec
from winnow.stage import read_json, run, say, write_text

STAGE_VERSION = 1
PARTS = {
    "embedding": "embedding",
    "clustering": "clustering",
    "scoring": "scorers",
    "predictions": "predictions of the pool",
    "draws": "draws",
    "trainings": "trainings",
}
SHARED = ("embedding", "clustering")
"""Parts that are computed once for all arms and seeds."""
COLUMNS = ("arm", "labels", "part", "shared", "jobs", "cpu_seconds", "wall_seconds", "flops")


@dataclass(frozen=True)
class Cost:
    """A part of what an arm costs: jobs, what they took (`usage` in hours; its processor time is None where unknown) and model
    FLOPs (None: not counted)."""

    arm: str
    labels: int
    part: str
    jobs: int
    usage: Usage
    flops: float | None

    @property
    def cpu_seconds(self) -> float | None:
        return None if self.usage.cpu is None else 3600 * self.usage.cpu

    def row(self) -> dict[str, Any]:
        """The row of the CSV: COLUMNS."""
        return {
            "arm": self.arm, "labels": self.labels, "part": self.part, "shared": self.part in SHARED, "jobs": self.jobs,
            "cpu_seconds": self.cpu_seconds, "wall_seconds": 3600 * self.usage.wall, "flops": self.flops,
        }  # fmt: skip


def costs_of(name: str, arm: Mapping[str, Any]) -> list[Cost]:
    """The parts of an arm that took anything. `arm`: labels, jobs (part -> benchmark files), metrics (of its trainings), probes
    (timings.json of a job of probes, or null) and its seeds. Draws take no model FLOPs; those of trainings are counted where
    metrics say them; of embeddings, scorers, predictions and probes no file counts them.

    Raises InputError for a file that cannot be read.
    """
    out = []
    taken = {part: usage(files) for part, files in arm["jobs"].items()}
    jobs = {part: len(files) for part, files in arm["jobs"].items()}
    if arm["probes"]:
        seconds = read_json(Path(arm["probes"]))["seconds"]
        for part, key in (("draws", "draw"), ("trainings", "train")):
            hours = seconds[key] / 3600 / arm["seeds"]
            taken[part], jobs[part] = Usage(hours, hours), arm["rounds"]
    flops = [read_json(Path(path))["model_flops"] for path in arm["metrics"]]
    for part in PARTS:
        if taken.get(part, NO_USAGE) == NO_USAGE and not jobs.get(part):
            continue
        counted = 0.0 if part == "draws" else float(sum(flops)) if part == "trainings" and flops else None
        out.append(Cost(name, arm["labels"], part, jobs[part], taken[part], counted))
    return out


def seconds_text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def cost_table(costs: Mapping[str, Sequence[Cost]], labels: Mapping[str, int]) -> Table:
    """Processor seconds of each part, a line per arm; of one run, shared parts whole."""
    parts = [part for part in PARTS if any(one.part == part for many in costs.values() for one in many)]
    head = ["arm", "labels", *(PARTS[part] + " (shared)" * (part in SHARED) for part in parts), "all", "trainings, jobs",
            "trainings, FLOPs"]  # fmt: skip
    body = []
    for arm, many in costs.items():
        of = {one.part: one for one in many}
        known = [one.cpu_seconds for one in many]
        trained = of.get("trainings")
        flops = trained.flops if trained else None
        body.append([
            arm, f"{labels[arm]:,}", *(seconds_text(of[part].cpu_seconds) if part in of else "0" for part in parts),
            seconds_text(None if None in known else sum(filter(None, known))), str(trained.jobs if trained else 0),
            "not counted" if flops is None else f"{flops:.3g}",
        ])  # fmt: skip
    return head, body


LEGEND = [
    "CPU-seconds of one run (one data seed) up to its last budget. Shared parts are computed once for all arms and seeds, and "
    "shown whole for each arm that depends on them.",
    "An arm that asks a model is charged for the draws, pool predictions and trainings of all its rounds, since each round "
    "depends on the one before. An arm that asks none could label all at once: it is charged for its last draw and training; "
    "the trainings of its smaller budgets serve the learning curve only.",
    "Arms of linear probes run all seeds and rounds in one process: their draws (with the predictions that these go by) and "
    "trainings are wall seconds of that one thread, divided by the seeds; every round is counted.",
    "FLOPs of trainings are those of the model. Draws run no model; FLOPs of embeddings, scorers, pool predictions and probes "
    "are not counted by their jobs. Evaluations are not charged.",
]


def main(*, spec: str, out: Path) -> None:
    """Show what labelling in rounds costs the arms of a table.

    Args:
        spec: JSON: title, arms (a list: name, labels, seeds, rounds, jobs: part -> benchmark files; metrics: of its trainings;
            probes: timings.json of its job, or null), links (text and file of pages beside).
        out: prefix of the files to write.
    """
    settings = read_spec(spec, "title", "arms", "links")
    costs = {arm["name"]: costs_of(arm["name"], arm) for arm in settings["arms"]}
    labels = {arm["name"]: arm["labels"] for arm in settings["arms"]}
    page = Page(
        settings["title"], [], LEGEND, [Section("CPU-seconds of one run", cost_table(costs, labels))],
        links=[(text, file) for text, file in settings["links"]],
    )  # fmt: skip
    write_rows(Path(f"{out}.csv"), [one.row() for many in costs.values() for one in many], COLUMNS)
    write_text(Path(f"{out}.html"), html_page(page))
    say(f"[labelling costs] {len(costs)} arms")


if __name__ == "__main__":
    run(main)
