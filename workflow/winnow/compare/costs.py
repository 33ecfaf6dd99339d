"""Costs: what each arm of a table costs, selection and training, and what a clearer answer would cost.

In: a table of `winnow.compare.table`, what its trainings wrote, and Snakemake's benchmark files of the jobs that selected each
arm's documents and trained its models. Wall time on a shared machine is no price: it is shown, and charged are GPU-seconds as
allocated where models train on GPUs, else CPU-seconds as used; and a training is charged by its FLOPs, at the mean price of a
FLOP in the table, so that equal trainings cost the same. Out, at a common prefix: `.costs.csv`, `.costs.md`, `.costs.html`
(what each arm costs; with the plots), `.power.csv` (seeds needed to detect an effect), `.pareto.svg` (cost against quality)
and `.losses.svg` (loss curves). They hold timings, so that they differ from machine to machine; the table does not.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from winnow.benchmark_files import cpu_seconds
from winnow.compare import plots
from winnow.compare import power as planning
from winnow.compare.arms import Arm, arms_of
from winnow.compare.claims import ALL_ITEMS
from winnow.compare.power import TableRow, hours_text
from winnow.compare.render import GUIDE
from winnow.compare.statistics import POWER
from winnow.csv_files import read_rows, write_rows
from winnow.pages import Page, Section, Table, html_page, markdown, number
from winnow.schema import read_spec
from winnow.stage import InputError, read_json, run, say, write_text

STAGE_VERSION = 5
CPU = "cpu"
"""Device of a training without a GPU, as `winnow.train.loop` writes it."""
CPU_HOURS, GPU_HOURS = "CPU-hours", "GPU-hours"
KINDS = (("selection", "wall"), ("selection", "cpu"), ("selection", "gpu"), ("training", "wall"), ("training", "cpu"), ("training", "gpu"))  # fmt: skip


# -- what jobs took -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Usage:
    """What jobs took, in hours: from start to end, and of processors (None: their files do not say)."""

    wall: float
    cpu: float | None

    def __add__(self, other: Usage) -> Usage:
        cpu = None if self.cpu is None or other.cpu is None else self.cpu + other.cpu
        return Usage(self.wall + other.wall, cpu)


NO_USAGE = Usage(0.0, 0.0)


def usage_of(path: Path) -> Usage:
    """Usage of a job from Snakemake's benchmark file (`winnow.benchmark_files.cpu_seconds`).

    Raises InputError for a file that is not there, or is no benchmark file: an unknown cost is never 0.
    """
    total = NO_USAGE
    try:
        with open(path, newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                wall, cpu = float(row["s"]), row.get("cpu_time")
                total += Usage(wall / 3600, None if cpu is None else cpu_seconds(wall, cpu) / 3600)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such timing of a job that an arm is charged for; run the job again (snakemake --forcerun RULE), "
            "or restore the file"
        ) from None
    except (KeyError, ValueError):
        raise InputError(
            f"{path}: no number in column s or cpu_time; give a benchmark file of Snakemake"
        ) from None
    return total


def usage(jobs: Iterable[str]) -> Usage:
    """Usage of jobs, added up; raises InputError as `usage_of`."""
    return sum((usage_of(Path(job)) for job in jobs), start=NO_USAGE)


@dataclass(frozen=True)
class Selection:
    """Usage of the jobs that select an arm's documents: of those that run a model (on a GPU where there is one), and of the
    others; and whether there is any that runs a model."""

    model: Usage
    other: Usage
    runs_model: bool

    @property
    def total(self) -> Usage:
        return self.model + self.other


@dataclass(frozen=True)
class Training:
    """One training: its device and processes, what its job took, the tokens or examples it read, and what it measured (None:
    not of this kind of model or device). `losses`: float64 [steps]."""

    device: str
    processes: int
    usage: Usage
    amount: int = 0
    losses: tuple[float, ...] = ()
    seconds: float | None = None
    gpu_hours: float | None = None
    model_flops: float | None = None
    kwh_estimate: float | None = None
    targets_per_second: float | None = None
    model_flops_utilisation: float | None = None
    peak_memory_mb: float | None = None
    final_loss: float | None = None
    weight_norm: float | None = None

    @property
    def hours(self) -> float | None:
        """Hours of what is charged: of GPUs as allocated, else of processors as used; None if unknown."""
        return self.usage.cpu if self.device == CPU else self.gpu_hours


MEASURED = ("seconds", "gpu_hours", "kwh_estimate", "targets_per_second", "model_flops_utilisation", "peak_memory_mb")  # fmt: skip


def read_training(manifest: Path, metrics: Path, timings: Path, job: Usage) -> Training:
    """A training from the files that `winnow.train.loop` wrote, and what its job took."""
    made, measured, timed = read_json(manifest), read_json(metrics), read_json(timings)
    return Training(
        timed["device"],
        timed["processes"],
        job,
        made.get("training_tokens", made.get("training_examples", 0)),
        tuple(step[0] for step in measured["history"]),
        model_flops=measured.get("model_flops"),
        final_loss=made.get("final_loss"),
        weight_norm=made.get("weight_norm"),
        **{name: timed.get(name) for name in MEASURED},
    )


def collect(
    arms: Mapping[str, Arm],
    models: Sequence[Path],
    metrics: Sequence[Path],
    timings: Sequence[Path],
    jobs: Mapping[str, Mapping[str, list[str]]],
) -> dict[str, list[Training]]:
    """The trainings of each arm; `models`, `metrics` and `timings` are what each training wrote, in one order, `jobs` its
    benchmark files by arm and "data seed/training seed": its own, and those of earlier rounds that its model continues.

    Raises InputError for lists that do not go together, and for a training without a job.
    """
    if not len(models) == len(metrics) == len(timings):
        raise InputError(
            f"--metrics, --timings: {len(metrics)} and {len(timings)} files for the {len(models)} of --models; give those of "
            "each model, in the same order"
        )
    trainings: dict[str, list[Training]] = {name: [] for name in arms}
    for manifest, metrics_, timings_ in sorted(set(zip(models, metrics, timings, strict=True))):
        ids = read_json(manifest)["ids"]
        for name, arm in arms.items():
            if arm.has(ids):
                seeds = f"{ids['data_seed']}/{ids['training_seed']}"
                if seeds not in jobs.get(name, {}):
                    raise InputError(f"--spec training: names no timing of run {seeds} of {name}")
                job = usage(jobs[name][seeds])
                trainings[name].append(read_training(manifest, metrics_, timings_, job))
    return trainings


# -- what is charged ----------------------------------------------------------------------------------


def charged(trainings: Iterable[Training]) -> list[float | None]:
    """Hours charged for each training: its FLOPs at the mean price of a FLOP over all trainings on the same device of which
    both are known; where its FLOPs are unknown, the hours it took."""
    trainings = list(trainings)
    sums: dict[str, tuple[float, float]] = {}
    for one in trainings:
        if one.hours is not None and one.model_flops:
            hours, flops = sums.get(one.device, (0.0, 0.0))
            sums[one.device] = (hours + one.hours, flops + one.model_flops)
    prices = {device: hours / flops for device, (hours, flops) in sums.items()}
    return [
        one.model_flops * prices[one.device] if one.model_flops and one.device in prices else one.hours
        for one in trainings
    ]


@dataclass(kw_only=True)
class Cost:
    """What an arm costs; its fields are the columns. `selection_hours` and `training_hours` are charged, in `unit`: beside a
    training on GPUs GPU-hours, of which a job of the selection that runs a model has one GPU; the others are measured.
    Trainings are means over runs. None: unknown."""

    arm: str
    runs: int
    unit: str
    selection_hours: float | None
    training_hours: float | None
    selection_flops: float | None
    training_flops: float | None
    selection_gpu_hours: float | None
    selection_cpu_hours: float | None
    selection_wall_hours: float | None
    training_gpu_hours: float | None
    training_cpu_hours: float | None
    training_wall_hours: float | None
    selection_documents: float | None
    selection_labels: float | None
    selection_tokens: float | None
    training_labels: float | None
    processes: int
    device: str
    kwh_a_run: float | None
    targets_per_second: float | None
    model_flops_utilisation: float | None
    peak_memory_mb: float | None
    final_loss: float | None
    weight_norm: float | None
    benchmark: str
    metric: str
    figure: float | None
    on_pareto_front: bool = False

    @property
    def total(self) -> float | None:
        """Hours charged for one run, the selection of its documents included; None if one of them is unknown."""
        if self.selection_hours is None or self.training_hours is None:
            return None
        return self.selection_hours + self.training_hours


COLUMNS = tuple(one.name for one in fields(Cost))


def quality_of(rows: Sequence[TableRow]) -> dict[str, TableRow]:
    """The rows by arm that measure quality: of the first held-out bits per byte of the table, else of its first figure."""
    whole = [row for row in rows if row.scope == ALL_ITEMS]
    chosen = next((row for row in whole if row.metric == "bits_per_byte"), whole[0])
    return {r.arm: r for r in whole if (r.benchmark, r.metric) == (chosen.benchmark, chosen.metric)}


def costs(
    trainings: Mapping[str, list[Training]],
    selection: Mapping[str, Selection],
    quality: Mapping[str, TableRow],
) -> list[Cost]:
    """The costs of each arm that has trainings. A selection that runs no model takes no model FLOPs; those of others are
    unknown, for no file has them."""
    every = [(name, one) for name, runs in trainings.items() for one in runs]
    prices: dict[str, list[float | None]] = {}
    for (name, _), price in zip(every, charged(one for _, one in every), strict=True):
        prices.setdefault(name, []).append(price)
    first = next(iter(quality.values()))
    rows = []
    for name, runs in trainings.items():
        if not runs:
            continue
        of_selection, of_table = selection[name], quality.get(name)
        on_cpu = runs[0].device == CPU
        rows.append(
            Cost(
                arm=name,
                runs=len(runs),
                unit=CPU_HOURS if on_cpu else GPU_HOURS,
                selection_hours=of_selection.total.cpu if on_cpu else of_selection.model.wall,
                training_hours=_mean_of_all(prices[name]),
                selection_flops=None if of_selection.runs_model else 0.0,
                training_flops=_mean_of_all(one.model_flops for one in runs),
                selection_gpu_hours=0.0 if on_cpu else of_selection.model.wall,
                selection_cpu_hours=of_selection.total.cpu,
                selection_wall_hours=of_selection.total.wall,
                training_gpu_hours=0.0 if on_cpu else _mean_of_all(one.gpu_hours for one in runs),
                training_cpu_hours=_mean_of_all(one.usage.cpu for one in runs),
                training_wall_hours=_mean_of_all(
                    None if one.seconds is None else one.seconds / 3600 for one in runs
                ),
                selection_documents=of_table.consumed["documents"] if of_table else None,
                selection_labels=of_table.consumed["labels"] if of_table else None,
                selection_tokens=of_table.consumed["tokens"] if of_table else None,
                training_labels=of_table.train_labels if of_table else None,
                processes=runs[0].processes,
                device=runs[0].device,
                kwh_a_run=_mean_of_known(one.kwh_estimate for one in runs),
                targets_per_second=_mean_of_known(one.targets_per_second for one in runs),
                model_flops_utilisation=_mean_of_known(one.model_flops_utilisation for one in runs),
                peak_memory_mb=_mean_of_known(one.peak_memory_mb for one in runs),
                final_loss=_mean_of_known(one.final_loss for one in runs),
                weight_norm=_mean_of_known(one.weight_norm for one in runs),
                benchmark=first.benchmark,
                metric=first.metric,
                figure=of_table.figure if of_table else None,
            )
        )
    _mark_pareto_front(rows, first.better == "lower")
    return rows


def _mean_of_all(values: Iterable[float | None]) -> float | None:
    """None if one is unknown."""
    values = list(values)
    return None if None in values or not values else float(np.mean(values))  # type: ignore[arg-type]


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _mark_pareto_front(rows: Sequence[Cost], lower_is_better: bool) -> None:
    """Marks the arms than which none of the same unit is as good or better for as much or less."""
    sign = -1 if lower_is_better else 1
    known = [(row, row.total, sign * row.figure) for row in rows if row.total is not None and row.figure is not None]  # fmt: skip
    for row, total, quality in known:
        row.on_pareto_front = not any(
            other_total <= total
            and other_quality >= quality
            and (other_total, other_quality) != (total, quality)
            for other, other_total, other_quality in known
            if other.unit == row.unit
        )


# -- the page -----------------------------------------------------------------------------------------


def cost_table(rows: Sequence[Cost]) -> Table:
    """What is charged."""
    unit = rows[0].unit if rows else "hours"
    head = ["arm", "runs", f"{unit}, selection", f"{unit}, training (a run)", "FLOPs, selection", "FLOPs, training (a run)", "labels, selection", "labels, training", "figure", "Pareto front"]  # fmt: skip
    body = []
    for row in rows:
        labels = (row.selection_labels, row.training_labels)
        body.append(
            [row.arm, str(row.runs), _hours(row.selection_hours), _hours(row.training_hours),
             _scientific(row.selection_flops), _scientific(row.training_flops),
             *("unknown" if n is None else f"{n:,.0f}" for n in labels), number(row.figure),
             "yes" if row.on_pareto_front else ""]
        )  # fmt: skip
    return head, body


def _hours(value: float | None) -> str:
    return hours_text(value, "unknown")


def _scientific(value: float | None) -> str:
    return "unknown" if value is None else "0" if value == 0 else f"{value:.3g}"


def time_table(rows: Sequence[Cost]) -> Table:
    """What was measured beside it: wall time, processors, GPUs, speed."""
    names = {"wall": "wall", "cpu": "CPU", "gpu": "GPU"}
    head = ["arm", "device", *(f"{names[kind]} hours, {part}" for part, kind in KINDS), "tokens/s (classifiers: examples/s)", "model-FLOPs utilisation", "kWh a run", "peak memory MB", "final loss", "weight norm"]  # fmt: skip
    body = []
    for row in rows:
        use, speed, memory = row.model_flops_utilisation, row.targets_per_second, row.peak_memory_mb
        body.append(
            [row.arm, f"{row.processes} x {row.device}",
             *(_hours(getattr(row, f"{part}_{kind}_hours")) for part, kind in KINDS),
             "" if speed is None else f"{speed:,.0f}", "" if use is None else f"{100 * use:.1f} %", number(row.kwh_a_run),
             "" if memory is None else f"{memory:,.0f}", number(row.final_loss), number(row.weight_norm)]
        )  # fmt: skip
    return head, body


def answer(rows: Sequence[Cost]) -> list[str]:
    """Which arms are on the Pareto front, in a sentence."""
    front = [row for row in rows if row.on_pareto_front]
    if not front:
        return []
    named = ", ".join(f"{row.arm} ({_hours(row.total)} {row.unit}, {number(row.figure)})" for row in front)
    return [
        f"On the Pareto front of cost and {front[0].benchmark} {front[0].metric}, whether or not a test tells them apart: "
        f"{named}."
    ]


LEGEND = [
    "Charged: GPU-hours as allocated where the training had a GPU (hours of processors are listed separately), else CPU-hours "
    "as used; of the selection (embedding, clustering, scoring and drawing, charged whole to each arm that needs them) and "
    "of one training. A training is charged its FLOPs at the mean price of a FLOP in this table, so that equal trainings "
    "cost the same; wall time, which other jobs of the machine stretch, is only shown. FLOPs of a selection that runs "
    "models are unknown where its jobs do not count them. kWh are estimated from wall time and the device's rated power.",
    f"Runs needed: data seeds per arm to detect a true effect with {100 * POWER:g} % power by one test at 5 %, and by the "
    "strictest test of the adjustment over this table's tests of all items, from the variances that it measured; "
    "hours are those of training both arms. Noise of the items remains however many seeds there are.",
]


def _points(rows: Sequence[Cost]) -> list[plots.Point]:
    known = [(row, row.total, row.figure) for row in rows if row.total is not None and row.figure is not None]
    several = len({row.arm.rpartition("/")[0] for row, *_ in known}) > 1
    return [
        plots.Point(row.arm if several else row.arm.rpartition("/")[2], total, figure, row.on_pareto_front)
        for row, total, figure in known
    ]


def chart(
    *,
    table: Path,
    models: list[Path] = [],
    metrics: list[Path] = [],
    timings: list[Path] = [],
    spec: str,
    out: Path,
) -> None:
    """What the arms of a table cost, and what a clearer answer would.

    Args:
        table: the table's .csv.
        models: manifest.json of its trainings.
        metrics: metrics.json of each, in the same order.
        timings: timings.json of each, in the same order.
        spec: JSON with the keys `name`, `title`, `arms` (as winnow.compare.table), and Snakemake's benchmark files: `selection`
            (arm -> `gpu` and `cpu`: of the jobs that selected its documents, those that ask for a GPU and the others; `models`:
            whether one of them runs a model) and
            `training` (arm -> "data seed/training seed" -> those of the training, and of earlier rounds that it continues).
        out: prefix of the files to write.
    """
    settings = read_spec(spec, "name", "title", "arms", "selection", "training")
    name = settings["name"]
    rows = planning.read_table(table)
    trainings = collect(arms_of(settings["arms"]), models, metrics, timings, settings["training"])
    selection = {
        arm: Selection(usage(jobs["gpu"]), usage(jobs["cpu"]), jobs["models"])
        for arm, jobs in settings["selection"].items()
    }
    quality = quality_of(rows)
    charges = costs(trainings, selection, quality)
    for row in charges:
        if row.total is None:
            what = "selection" if row.selection_hours is None else "training"
            say(f"[costs {name}] hours of {row.arm}'s {what} are unknown: it cannot be on the Pareto front")
    known = [row.training_hours for row in charges if row.training_hours is not None]
    plans = planning.plan(rows, float(np.mean(known)) if known else None)
    first = next(iter(quality.values()))
    axis = f"{first.benchmark} {first.metric} ({first.better} is better)"
    points = _points(charges)
    unit = next((row.unit for row in charges if row.total is not None and row.figure is not None), "hours")
    pareto = plots.pareto(points, unit, axis, name)
    curves = {arm: [(one.amount, np.array(one.losses)) for one in runs] for arm, runs in trainings.items()}
    baseline = next((row["arm"] for row in read_rows(table, ["arm", "is_baseline"]) if row["is_baseline"] == "true"), None)  # fmt: skip
    losses = plots.losses(curves, name, baseline)
    sections = [Section("Costs", cost_table(charges)), Section("Time and speed", time_table(charges))]
    if plans:
        sections.append(Section("Runs needed", planning.power_table(plans)))
    page = Page(
        f"{settings['title']}: costs",
        [],
        LEGEND,
        sections,
        [("Cost and quality", pareto), ("Loss", losses)],
        answer(charges),
        GUIDE,
    )
    write_rows(Path(f"{out}.costs.csv"), map(vars, charges), COLUMNS)
    write_rows(Path(f"{out}.power.csv"), map(vars, plans), planning.COLUMNS)
    write_text(Path(f"{out}.pareto.svg"), pareto)
    write_text(Path(f"{out}.losses.svg"), losses)
    write_text(Path(f"{out}.costs.md"), markdown(page))
    write_text(Path(f"{out}.costs.html"), html_page(page))
    say(f"[costs {name}] {len(charges)} arms, {sum(map(len, trainings.values()))} trainings")


if __name__ == "__main__":
    run(chart)
