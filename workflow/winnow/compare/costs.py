"""What an arm costs, and what a clearer answer would: selection and training charged to the method, curves, a plan.

In: a table of `winnow.compare.table`, the metrics of its trainings, and the timings of the jobs that selected each arm's documents
and trained its models (as far as they are there: they are a record, which may be deleted, and no reason to select anew).
Wall time on a shared machine is no price: it is shown, and charged are GPU-seconds as allocated where models train on GPUs,
else CPU-seconds as used; and a training is charged by its FLOPs, at the mean price of a FLOP in the table, so that equal
trainings cost the same. Out, at a common prefix: `.costs.csv`, `.costs.md`, `.costs.html` (what each arm costs; with the
plots), `.power.csv` (seeds needed to see an effect), `.front.svg` (cost against quality) and `.losses.svg` (loss curves).
They hold timings, so that they differ from machine to machine; the tables they stand beside do not.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from winnow.compare import statistics
from winnow.compare.audit import read_rows
from winnow.compare.render import GUIDE, Page, Section, Table, html_page, markdown, number
from winnow.compare.table import ALL_ITEMS, HEADLINE, Arm, arms_of, write_csv
from winnow.schema import read_spec
from winnow.stage import InputError, read_json, run, say, write_text

STAGE_VERSION = 3
GAPS = (0.005, 0.01, 0.02, 0.05, 0.1)
POWER = 0.8
MOST_SEEDS = 200
SMOOTHING = 0.05
"""Share of the steps over which a loss curve is averaged."""
COST_COLUMNS = (
    "arm", "runs", "unit", "selection_hours", "training_hours", "selection_flops", "training_flops", "selection_gpu_hours",
    "selection_cpu_hours", "selection_wall_hours", "training_gpu_hours", "training_cpu_hours", "training_wall_hours",
    "selection_documents", "selection_labels", "selection_tokens", "training_labels", "processes", "device", "kwh_a_run",
    "targets_per_second", "model_flops_utilisation", "peak_memory_mb", "final_loss", "weight_norm", "benchmark", "metric",
    "figure", "on_front",
)  # fmt: skip
POWER_COLUMNS = (
    "benchmark", "metric", "scale", "gap", "items", "seeds", "hours", "seeds_in_table", "hours_in_table",
    "seeds_at_4x_items", "hours_at_4x_items", "minimum_detectable_effect_of_items", "note",
)  # fmt: skip
NO_SPREAD = "no spread seen: cannot be planned"
NEOX_VOCABULARY = 50_304
"""Of the GPT-NeoX tokenizer, as Pythia pads it."""
UTILISATION = 0.4
"""Model-FLOPs utilisation assumed of a model that was not trained here."""


def seeds_needed(
    variances: Mapping[str, float], items: int, gap: float, level: float = 0.05, power: float = POWER
) -> int | None:
    """Fewest data seeds an arm with which a true gap is found with `power` by one two-sided test at `level`; None if
    MOST_SEEDS are not enough (then the items' own noise is too large, or nearly), or if there is no variance to plan with.

    `variances`: those of `winnow.compare.statistics.difference_variances`, none below 0. The standard error is that of
    sqrt(var_seed / S + var_residual / (S I) + var_item / I), of S - 1 and I - 1 degrees of freedom; the gap must be the
    critical values of `level` and of the power lost, added up, times it (Cohen 1988, section 2.4, with those of
    `winnow.compare.statistics.critical_value` for z).
    """
    for seeds in range(statistics.FEWEST_SEEDS, MOST_SEEDS + 1):
        of_seeds = variances["var_seed"] / seeds + variances["var_residual"] / (seeds * items)
        parts = [(of_seeds, seeds - 1), (variances["var_item"] / items, items - 1)]
        error = math.sqrt(sum(variance for variance, _ in parts))
        if error == 0:
            return None
        needed = sum(statistics.critical_value(share, parts) for share in (level, 2 * (1 - power)))
        if gap >= needed * error:
            return seeds
    return None


def plan(
    rows: Iterable[Mapping[str, str]], hours: float | None, gaps: tuple[float, ...] = GAPS
) -> list[dict[str, Any]]:
    """Rows of POWER_COLUMNS: for each benchmark and metric of a table (as `csv.DictReader` reads it) and each gap, seeds
    an arm and hours of both arms, given the `hours` of a run: for one test at 5 %, and for the strictest that Holm's
    adjustment asks of this table (5 % over its tests of all items), with its items and with four times as many. Variances are
    means over the arms, cut at 0."""
    from scipy import stats

    rows = list(rows)
    tests = max(1, sum(bool(row.get("p")) and row["family"] == HEADLINE for row in rows))
    found: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        if row["scope"] == ALL_ITEMS and row["var_seed"]:
            found.setdefault((row["benchmark"], row["metric"]), []).append(row)
    out = []
    for (benchmark, metric), tested in found.items():
        names = ("var_seed", "var_item", "var_residual")
        variances = {name: max(0.0, float(np.mean([float(row[name]) for row in tested]))) for name in names}
        items = int(tested[0]["items"])
        floor = float(stats.norm.isf(0.025) + stats.norm.isf(1 - POWER)) * math.sqrt(
            variances["var_item"] / items
        )
        for gap in gaps:
            row_: dict[str, Any] = {
                **dict.fromkeys(POWER_COLUMNS),
                "benchmark": benchmark,
                "metric": metric,
                "scale": tested[0]["scale"],
                "gap": gap,
                "items": items,
                "minimum_detectable_effect_of_items": floor or None,
                "note": "" if any(variances.values()) else NO_SPREAD,
            }
            asked = {"": (items, 0.05), "_in_table": (items, 0.05 / tests), "_at_4x_items": (4 * items, 0.05)}
            for ending, (n, level) in asked.items():
                seeds = seeds_needed(variances, n, gap, level)
                row_[f"seeds{ending}"] = seeds
                row_[f"hours{ending}"] = None if seeds is None or hours is None else 2 * seeds * hours
            out.append(row_)
    return out


def power_table(planned: list[dict[str, Any]]) -> Table:
    head = ["benchmark", "metric", "true effect", "items", "seeds an arm", "hours of both arms", "seeds in this table", "hours in this table", "seeds with 4 x items", "minimum detectable effect of any number of seeds"]  # fmt: skip

    def seeds(row: dict[str, Any], key: str) -> str:
        return row["note"] or (f"over {MOST_SEEDS}" if row[key] is None else str(row[key]))

    def hours(row: dict[str, Any], key: str) -> str:
        return "" if row[key] is None else hours_text(row[key])

    body = []
    for row in planned:
        log = " (log)" if row["scale"] == "log ratio" else ""
        floor = row["minimum_detectable_effect_of_items"]
        body.append(
            [row["benchmark"], row["metric"] + log, f"{row['gap']:g}", f"{row['items']:,}",
             seeds(row, "seeds"), hours(row, "hours"), seeds(row, "seeds_in_table"), hours(row, "hours_in_table"),
             seeds(row, "seeds_at_4x_items"), "none seen" if floor is None else number(floor)]
        )  # fmt: skip
    return head, body


def hours_text(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.3f}"


@dataclass(frozen=True)
class Usage:
    """What jobs took, in hours: from start to end, and of processors (None: their files do not say)."""

    wall: float
    cpu: float | None

    def __add__(self, other: Usage) -> Usage:
        known = self.cpu is not None and other.cpu is not None
        return Usage(self.wall + other.wall, self.cpu + other.cpu if known else None)  # type: ignore[operator]


def usage_of(path: Path) -> Usage:
    """Usage of a job from Snakemake's benchmark file; raises InputError for a file that is none. Snakemake samples the
    processors' time (each second, later each half minute): of a job that ended before the first sample ("NA") it is
    taken to be its wall time."""
    total = Usage(0.0, 0.0)
    with open(path, newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            try:
                wall, cpu = float(row["s"]) / 3600, row.get("cpu_time")
                used = None if cpu is None else wall if cpu == "NA" else float(cpu) / 3600
                total += Usage(wall, used)
            except (KeyError, ValueError):
                raise InputError(
                    f"{path}: no number in column s or cpu_time; wanted a benchmark file of Snakemake"
                ) from None
    return total


def usage(jobs: Iterable[Path]) -> Usage | None:
    """Usage of jobs, added up; None if one of their files is not there."""
    jobs = list(jobs)
    if not all(path.exists() for path in jobs):
        return None
    return sum(map(usage_of, jobs), start=Usage(0.0, 0.0))


def read_training(path: Path) -> dict[str, Any]:
    """What a training says of itself: metrics.json and timings.json beside it."""
    return {**read_json(path), **read_json(path.with_name("timings.json"))}


def collect(
    arms: Mapping[str, Arm],
    metrics: list[Path],
    jobs: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Metrics and timings of the trainings of each arm; `winnow.train.loop` writes timings.json and manifest.json beside
    metrics.json. `jobs`: of each arm, by "data seed/training seed", Snakemake's benchmark file of the training; as
    `usage` of each (None: lost)."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
    for path in sorted(set(metrics)):
        manifest = read_json(path.with_name("manifest.json"))
        ids = manifest["ids"]
        for name, arm in arms.items():
            if arm.has(ids):
                amount = manifest.get("training_tokens", manifest.get("training_examples", 0))
                kept = {key: manifest.get(key) for key in ("final_loss", "weight_norm")}
                job = (jobs or {}).get(name, {}).get(f"{ids['data_seed']}/{ids['training_seed']}")
                used = usage([Path(job)]) if job else None
                found[name].append({**read_training(path), **kept, "amount": amount, "usage": used})
    return found


def spent(run: Mapping[str, Any]) -> float | None:
    """Hours that a training took of what is charged: of GPUs as allocated, else of processors as used; None if lost."""
    if run["device"] != "cpu":
        return run.get("gpu_hours")
    used = run.get("usage")
    return None if used is None else used.cpu


def charged(runs: Iterable[Mapping[str, Any]]) -> list[float | None]:
    """Hours charged for each training: its FLOPs at the mean price of a FLOP over all trainings on the same device of which
    both are known; where FLOPs are unknown, what was spent."""
    runs = list(runs)
    known: dict[str, tuple[float, float]] = {}
    for one in runs:
        hours, flops = spent(one), one.get("model_flops")
        if hours is not None and flops:
            before = known.get(one["device"], (0.0, 0.0))
            known[one["device"]] = (before[0] + hours, before[1] + flops)
    prices = {device: hours / flops for device, (hours, flops) in known.items()}
    return [
        one["model_flops"] * prices[one["device"]]
        if one.get("model_flops") and one["device"] in prices
        else spent(one)
        for one in runs
    ]


Selection = tuple[Usage | None, Usage | None]
"""Usage of an arm's selection: of the jobs that run a model (on a GPU where there is one), and of the others."""


def costs(
    arms: Mapping[str, Arm],
    trained: Mapping[str, list[dict[str, Any]]],
    selection: Mapping[str, Selection],
    rows: list[dict[str, str]],
    models: Mapping[str, bool] | None = None,
) -> list[dict[str, Any]]:
    """Rows of COST_COLUMNS. Quality is the first held-out bits per byte of the table, else its first figure.

    `selection_hours` and `training_hours` are what is charged, in `unit`: beside a training on GPUs, GPU-hours (a job of the
    selection that asks for a GPU has one); hours of processors stand apart. `models`: whether a model runs in the arm's
    selection: if none does, it takes no model FLOPs; else they are unknown, for no file says them.
    """
    whole = [row for row in rows if row["scope"] == ALL_ITEMS]
    chosen = next((r for r in whole if r["metric"] == "bits_per_byte"), whole[0])
    same = [r for r in whole if (r["benchmark"], r["metric"]) == (chosen["benchmark"], chosen["metric"])]
    quality = {r["arm"]: r for r in same}
    every = [(name, one) for name in arms for one in trained[name]]
    prices: dict[str, list[float | None]] = {}
    for (name, _), price in zip(every, charged(one for _, one in every), strict=True):
        prices.setdefault(name, []).append(price)
    out = []
    for name in arms:
        runs = trained[name]
        if not runs:
            continue

        def mean(values: Iterable[float | None]) -> float | None:
            known = list(values)
            return float(np.mean(known)) if known and None not in known else None  # type: ignore[arg-type]

        def of(key: str, runs: list[dict[str, Any]] = runs) -> float | None:
            known = [r[key] for r in runs if r.get(key) is not None]
            return float(np.mean(known)) if known else None

        model, other = selection[name]
        used = None if model is None or other is None else model + other
        on_cpu = runs[0]["device"] == "cpu"
        amounts = quality.get(name, {})
        out.append(
            {
                "arm": name,
                "runs": len(runs),
                "unit": "CPU-hours" if on_cpu else "GPU-hours",
                "selection_hours": None if used is None else used.cpu if on_cpu else model.wall,  # type: ignore[union-attr]
                "training_hours": mean(prices[name]),
                "selection_flops": 0.0 if models is not None and not models[name] else None,
                "training_flops": mean(r.get("model_flops") for r in runs),
                "selection_gpu_hours": 0.0 if on_cpu else None if model is None else model.wall,
                "selection_cpu_hours": None if used is None else used.cpu,
                "selection_wall_hours": None if used is None else used.wall,
                "training_gpu_hours": 0.0 if on_cpu else mean(r.get("gpu_hours") for r in runs),
                "training_cpu_hours": mean(r["usage"].cpu if r.get("usage") else None for r in runs),
                "training_wall_hours": mean(r["seconds"] / 3600 if "seconds" in r else None for r in runs),
                **{key: _number(amounts.get(key)) for key in AMOUNTS},
                "training_labels": _number(amounts.get("train_labels")),
                "processes": runs[0]["processes"],
                "device": runs[0]["device"],
                "kwh_a_run": of("kwh_estimate"),
                "targets_per_second": of("targets_per_second"),
                "model_flops_utilisation": of("model_flops_utilisation"),
                "peak_memory_mb": of("peak_memory_mb"),
                "final_loss": of("final_loss"),
                "weight_norm": of("weight_norm"),
                "benchmark": chosen["benchmark"],
                "metric": chosen["metric"],
                "figure": _number(amounts.get("figure")),
                "better": chosen["better"],
            }
        )
    sign = -1 if chosen["better"] == "lower" else 1
    priced = [row for row in out if row["figure"] is not None and total(row) is not None]
    for row in out:
        row["on_front"] = row in priced and not any(
            total(other) <= total(row)  # type: ignore[operator]
            and sign * other["figure"] >= sign * row["figure"]
            and (total(other), other["figure"]) != (total(row), row["figure"])
            for other in priced
            if other["unit"] == row["unit"]
        )
    return out


AMOUNTS = ("selection_documents", "selection_labels", "selection_tokens")


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def total(row: Mapping[str, Any]) -> float | None:
    """Hours charged for one run, the selection of its documents included; None if one of them is lost."""
    parts = (row["selection_hours"], row["training_hours"])
    return None if None in parts else sum(parts)


def scientific(value: float | None) -> str:
    return "unknown" if value is None else "0" if value == 0 else f"{value:.3g}"


def cost_table(rows: list[dict[str, Any]]) -> Table:
    """What is charged."""
    unit = rows[0]["unit"] if rows else "hours"
    head = ["arm", "runs", f"{unit}, selection", f"{unit}, training (a run)", "FLOPs, selection", "FLOPs, training (a run)", "labels, selection", "labels, training", "figure", "Pareto front"]  # fmt: skip
    body = []
    for row in rows:
        labels = (row["selection_labels"], row["training_labels"])
        body.append(
            [row["arm"], str(row["runs"]), _hours(row["selection_hours"]), _hours(row["training_hours"]),
             scientific(row["selection_flops"]), scientific(row["training_flops"]),
             *("unknown" if n is None else f"{n:,.0f}" for n in labels), number(row["figure"]),
             "yes" if row["on_front"] else ""]
        )  # fmt: skip
    return head, body


def _hours(value: float | None) -> str:
    return "unknown" if value is None else hours_text(value)


def answer(rows: list[dict[str, Any]]) -> list[str]:
    """Which arms nothing beats for less, in a sentence."""
    front = [row for row in rows if row["on_front"]]
    if not front:
        return []
    on = f"{front[0]['benchmark']} {front[0]['metric']}"
    named = ", ".join(f"{row['arm']} ({hours_text(total(row) or 0.0)} {row['unit']}, {number(row['figure'])})" for row in front)  # fmt: skip
    return [f"On the Pareto front of cost and {on}, whatever the tests say of the differences: {named}."]


def time_table(rows: list[dict[str, Any]]) -> Table:
    """What was measured beside it: wall time, processors, GPUs, speed."""
    head = ["arm", "device", *(f"{kind} hours, {part}" for part in ("selection", "training") for kind in ("wall", "CPU", "GPU")), "tokens/s (classifiers: examples/s)", "model-FLOPs utilisation", "kWh a run", "peak memory MB", "final loss", "weight norm"]  # fmt: skip
    body = []
    for row in rows:
        use, speed, memory = (row[key] for key in ("model_flops_utilisation", "targets_per_second", "peak_memory_mb"))  # fmt: skip
        body.append(
            [row["arm"], f"{row['processes']} x {row['device']}",
             *(_hours(row[f"{part}_{kind}_hours"]) for part in ("selection", "training") for kind in ("wall", "cpu", "gpu")),
             *("" if n is None else f"{n:,.0f}" for n in (speed,)), "" if use is None else f"{100 * use:.1f} %", number(row["kwh_a_run"]),
             "" if memory is None else f"{memory:,.0f}", *(number(row[key]) for key in ("final_loss", "weight_norm"))]
        )  # fmt: skip
    return head, body


def _figure(name: str) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": name, "svg.fonttype": "none", "font.size": 9})
    return pyplot


def _svg(pyplot: Any, plot: Any) -> str:
    text = io.StringIO()
    plot.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(plot)
    return text.getvalue()


def front_plot(rows: list[dict[str, Any]], name: str) -> str:
    """Quality over hours charged for one run, its selection included; the front is a line."""
    pyplot = _figure(name)
    plot, axis = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    shown = [row for row in rows if row["figure"] is not None and total(row) is not None]
    several = len({row["arm"].rpartition("/")[0] for row in shown}) > 1
    for row in shown:
        colour = "#1b7837" if row["on_front"] else "#999999"
        axis.plot([total(row)], [row["figure"]], "o", color=colour)
        axis.annotate(row["arm"] if several else row["arm"].rpartition("/")[2], (total(row), row["figure"]), xytext=(4, 4), textcoords="offset points", fontsize=8)  # fmt: skip
    front = sorted((total(row), row["figure"]) for row in shown if row["on_front"])
    if front:
        axis.step(*zip(*front, strict=True), where="post", color="#1b7837", linewidth=1)
    axis.set_xlabel("hours charged for a run: selection of its documents, then training")
    if shown:
        axis.set_xlim(left=0)
        axis.set_xlabel(f"{shown[0]['unit']} a run: selection of its documents, then training")
        axis.set_ylabel(f"{shown[0]['benchmark']} {shown[0]['metric']} ({shown[0]['better']} is better)")
    axis.spines[["top", "right"]].set_visible(False)
    return _svg(pyplot, plot)


def smooth(losses: np.ndarray) -> np.ndarray:
    """Mean over a trailing window of SMOOTHING of the steps."""
    window = max(1, round(SMOOTHING * len(losses)))
    sums = np.cumsum(np.concatenate([[0.0], losses]))
    starts = np.maximum(0, np.arange(1, len(losses) + 1) - window)
    ends = np.arange(1, len(losses) + 1)
    return (sums[ends] - sums[starts]) / (ends - starts)


def loss_plot(trained: Mapping[str, list[dict[str, Any]]], name: str) -> str:
    """Training loss over what was read: a thin line a run, a colour an arm."""
    pyplot = _figure(name)
    plot, axis = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    for index, (arm, runs) in enumerate(trained.items()):
        for place, metrics in enumerate(runs):
            losses = smooth(np.array([step[0] for step in metrics["history"]]))
            read = metrics["amount"] * np.arange(1, len(losses) + 1) / len(losses)
            axis.plot(read, losses, color=f"C{index % 10}", linewidth=0.8, label=arm if place == 0 else None)
    axis.set_xlabel("training tokens (classifiers: examples)")
    axis.set_ylabel(f"training loss, nats (mean of {100 * SMOOTHING:g} % of the steps)")
    if any(trained.values()):
        axis.legend(fontsize=7, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return _svg(pyplot, plot)


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a table of winnow.compare.table; raises InputError naming a file that is none."""
    return read_rows(
        path,
        (
            "arm",
            "benchmark",
            "metric",
            "scope",
            "group",
            "figure",
            "family",
            "var_seed",
            "var_item",
            "var_residual",
        ),
    )


def chart(*, table: Path, metrics: list[Path] = [], spec: str, out: Path) -> None:
    """What the arms of a table cost, and what a clearer answer would.

    Args:
        table: the table's .csv.
        metrics: metrics.json of its trainings, each beside its timings.json and its manifest.json.
        spec: JSON with the keys `name`, `title`, `arms` (as winnow.compare.table), and Snakemake's benchmark files: `selection`
            (arm -> `gpu` and `cpu`: of the jobs that selected its documents, those that ask for a GPU and the others; `models`:
            whether one of them runs a model) and
            `training` (arm -> "data seed/training seed" -> the training's).
        out: prefix of the files to write.
    """
    settings = read_spec(spec, "name", "title", "arms", "selection", "training")
    rows, arms = read_table(table), arms_of(settings["arms"])
    trained = collect(arms, metrics, settings["training"])
    jobs = settings["selection"]
    selection = {arm: (usage(map(Path, mine["gpu"])), usage(map(Path, mine["cpu"]))) for arm, mine in jobs.items()}  # fmt: skip
    found = costs(arms, trained, selection, rows, {arm: mine["models"] for arm, mine in jobs.items()})
    for row in found:
        if total(row) is None:
            lost = "selection" if row["selection_hours"] is None else "training"
            say(
                f"[costs {settings['name']}] timings of {row['arm']}'s {lost} are lost: it has no place on the front"
            )
    known = [row["training_hours"] for row in found if row["training_hours"] is not None]
    hours = float(np.mean(known)) if known else None
    planned = plan(rows, hours)
    front, losses = front_plot(found, settings["name"]), loss_plot(trained, settings["name"])
    legend = [
        "Charged: GPU-hours as allocated where the training had a GPU (hours of processors stand apart), else CPU-hours as "
        "used; of the selection (embedding, clustering, scoring and drawing, charged whole to each arm that needs them) and "
        "of one training. A training is charged its FLOPs at the mean price of a FLOP in this table, so that equal trainings "
        "cost the same; wall time, which other jobs of the machine stretch, is only shown. FLOPs of a selection that runs "
        "models are unknown where its jobs do not count them. kWh are estimated from wall time and the device's rated power.",
        f"Runs needed: data seeds an arm to find a true effect with {100 * POWER:g} % power by one test at 5 %, and by the "
        "strictest test that the adjustment over this table's tests of all items asks, from the variances that it measured; "
        "hours are those of training both arms. Noise of the items stays however many seeds there are.",
    ]
    sections = [Section("Costs", cost_table(found)), Section("Time and speed", time_table(found))]
    if planned:
        sections.append(Section("Runs needed", power_table(planned)))
    page = Page(
        f"{settings['title']}: costs",
        [],
        legend,
        sections,
        [("Cost and quality", front), ("Loss", losses)],
        answer(found),
        GUIDE,
    )
    write_csv(Path(f"{out}.costs.csv"), found, COST_COLUMNS)
    write_csv(Path(f"{out}.power.csv"), planned, POWER_COLUMNS)
    write_text(Path(f"{out}.front.svg"), front)
    write_text(Path(f"{out}.losses.svg"), losses)
    write_text(Path(f"{out}.costs.md"), markdown(page))
    write_text(Path(f"{out}.costs.html"), html_page(page))
    say(f"[costs {settings['name']}] {len(found)} arms, {sum(map(len, trained.values()))} trainings")


def model_hours(models: Path, name: str, gpu: str) -> float:
    """GPU-hours of one training of a model of the file, at UTILISATION of the GPU's peak.

    Raises InputError for a model, or a GPU of `winnow.device.GPUS`, that is not there, or a recipe of epochs.
    """
    import yaml

    from winnow.device import GPUS, flops_a_token

    if not models.is_file():
        raise InputError(f"--models: no file {models}; give --hours-a-run instead of --model")
    known = yaml.safe_load(models.read_text(encoding="utf-8"))
    model = known.get("models", {}).get(name, {})
    if model.get("kind") != "language-model":
        names = [n for n, m in known.get("models", {}).items() if m.get("kind") == "language-model"]
        raise InputError(f"{models}: has no language model {name!r}; there are: {', '.join(names)}")
    if gpu not in GPUS:
        raise InputError(f"--gpu: {gpu!r} is none of {', '.join(GPUS)}")
    recipe, tokenizer = known["recipes"][model["recipe"]], known["tokenizers"][model["tokenizer"]]
    tokens = recipe.get("tokens", recipe.get("steps", 0) * recipe["batch"] * model["sequence"])
    if not tokens:
        raise InputError(f"{models}: recipe {model['recipe']!r} is of epochs; give --hours-a-run")
    flops = flops_a_token(
        model["layers"], model["width"], model["sequence"], tokenizer.get("vocabulary", NEOX_VOCABULARY)
    )
    return tokens * flops / (UTILISATION * GPUS[gpu][0]) / 3600


def power(
    *,
    table: Path,
    hours_a_run: float | None = None,
    gap: float | None = None,
    model: str | None = None,
    gpu: str = "H100",
    models: Path = Path("config/models.yaml"),
) -> None:
    """Print the plan of a table: seeds an arm to see a gap on each benchmark, and the hours of training them.

    Args:
        table: the table's .csv.
        hours_a_run: hours of one training of the model to plan for.
        gap: only this gap, in the figure's unit (0.01: one point of accuracy).
        model: or its name: GPU-hours at 40 % of the peak of one GPU.
        gpu: which GPU, as winnow.device names them.
        models: where models, recipes and tokenizers stand.
    """
    from tabulate import tabulate

    for key, value in (("--gap", gap), ("--hours-a-run", hours_a_run)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{key}: {value} is not a number above 0")
    if model is not None:
        if hours_a_run is not None:
            raise InputError("--model and --hours-a-run are two ways to say the same; give one")
        hours_a_run = model_hours(models, model, gpu)
        print(f"{model} on {gpu}: {hours_text(hours_a_run)} GPU-hours a run at {UTILISATION:.0%} of its peak")
    head, body = power_table(plan(read_table(table), hours_a_run, GAPS if gap is None else (gap,)))
    print(tabulate(body, head, tablefmt="github"))


if __name__ == "__main__":
    run(chart)
