"""What an arm costs, and what a clearer answer would: selection and training charged to the method, curves, a plan.

In: a table of `winnow.compare`, the metrics of its trainings, and the timings of the jobs that selected each arm's documents
(as far as they are there: they are a record, which may be deleted, and no reason to select anew). Out, at a common prefix: `.costs.csv`, `.costs.md`, `.costs.html` (what each arm costs; with the plots), `.power.csv` (seeds
needed to see a gap), `.front.svg` (cost against quality) and `.losses.svg` (loss curves). They hold timings, so that they
differ from machine to machine; the tables they stand beside do not.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from winnow import statistics
from winnow.audit import read_rows
from winnow.compare import ALL, Arm, arms_of, write_csv
from winnow.render import Page, Table, html_page, markdown, number
from winnow.stage import InputError, read_json, read_spec, run, say, write_text

STAGE_VERSION = 2
GAPS = (0.005, 0.01, 0.02, 0.05, 0.1)
POWER = 0.8
MOST_SEEDS = 200
SMOOTHING = 0.05
"""Share of the steps over which a loss curve is averaged."""
COST_COLUMNS = (
    "arm", "runs", "selection_hours", "selection_cpu_hours", "training_hours", "processes", "device", "kwh_a_run",
    "targets_per_second", "model_flops_utilisation", "peak_memory_mb", "final_loss", "weight_norm", "benchmark", "metric",
    "figure", "on_front",
)  # fmt: skip
POWER_COLUMNS = (
    "benchmark", "metric", "scale", "gap", "items", "seeds", "hours", "seeds_in_table", "hours_in_table",
    "seeds_at_4x_items", "hours_at_4x_items", "smallest_gap_of_items", "note",
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

    `variances`: those of `winnow.statistics.difference_variances`, none below 0. The standard error is that of
    sqrt(var_seed / S + var_residual / (S I) + var_item / I), of S - 1 and I - 1 degrees of freedom; the gap must be the
    critical values of `level` and of the power lost, added up, times it (Cohen 1988, section 2.4, with those of
    `winnow.statistics.critical_value` for z).
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
    adjustment asks of this table (5 % over all its tests), with its items and with four times as many. Variances are
    means over the arms, cut at 0."""
    from scipy import stats

    rows = list(rows)
    tests = max(1, sum(bool(row.get("p")) for row in rows))
    found: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        if row["group"] == ALL and row["var_seed"]:
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
                "smallest_gap_of_items": floor or None,
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
    head = ["benchmark", "metric", "gap", "items", "seeds an arm", "hours of both arms", "seeds in this table", "hours in this table", "seeds with 4 x items", "smallest gap that more seeds can reach"]  # fmt: skip

    def seeds(row: dict[str, Any], key: str) -> str:
        return row["note"] or (f"over {MOST_SEEDS}" if row[key] is None else str(row[key]))

    def hours(row: dict[str, Any], key: str) -> str:
        return "" if row[key] is None else hours_text(row[key])

    body = []
    for row in planned:
        log = " (log)" if row["scale"] == "log ratio" else ""
        floor = row["smallest_gap_of_items"]
        body.append(
            [row["benchmark"], row["metric"] + log, f"{row['gap']:g}", f"{row['items']:,}",
             seeds(row, "seeds"), hours(row, "hours"), seeds(row, "seeds_in_table"), hours(row, "hours_in_table"),
             seeds(row, "seeds_at_4x_items"), "none seen" if floor is None else number(floor)]
        )  # fmt: skip
    return head, body


def hours_text(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.3f}"


def seconds_of(path: Path) -> float:
    """Seconds of a job from Snakemake's benchmark file."""
    with open(path, newline="") as file:
        return sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))


def hours_of(timings: list[Path]) -> float | None:
    """Hours of jobs, one after the other; None if one of the files is not there."""
    if not all(path.exists() for path in timings):
        return None
    return sum(map(seconds_of, timings)) / 3600


def collect(arms: Mapping[str, Arm], metrics: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """Metrics and timings of the trainings of each arm; `winnow.train` writes timings.json and manifest.json beside metrics.json."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
    for path in sorted(set(metrics)):
        manifest = read_json(path.with_name("manifest.json"))
        for name, arm in arms.items():
            if arm.has(manifest["ids"]):
                amount = manifest.get("training_tokens", manifest.get("training_examples", 0))
                kept = {key: manifest.get(key) for key in ("final_loss", "weight_norm")}
                timings = read_json(path.with_name("timings.json"))
                found[name].append({**read_json(path), **timings, **kept, "amount": amount})
    return found


def costs(
    arms: Mapping[str, Arm],
    trained: Mapping[str, list[dict[str, Any]]],
    selection: Mapping[str, tuple[float | None, float | None]],
    rows: list[dict[str, str]],
) -> list[dict[str, Any]]:
    """Rows of COST_COLUMNS. Quality is the first held-out bits per byte of the table, else its first figure.

    `selection`: hours of the jobs that want a GPU where there is one, and of the others. Beside a training on GPUs the
    latter are hours of a processor, which stand apart; else all are.
    """
    whole = [row for row in rows if row["group"] == ALL]
    chosen = next((r for r in whole if r["metric"] == "bits_per_byte"), whole[0])
    quality = {
        r["arm"]: float(r["figure"])
        for r in whole
        if (r["benchmark"], r["metric"]) == (chosen["benchmark"], chosen["metric"])
    }
    out = []
    for name in arms:
        runs = trained[name]
        if not runs:
            continue

        def mean(key: str, runs: list[dict[str, Any]] = runs) -> float | None:
            values = [r[key] for r in runs if r.get(key) is not None]
            return float(np.mean(values)) if values else None

        on_gpu, on_cpu = selection[name]
        if on_gpu is None or on_cpu is None:
            on_gpu = on_cpu = None
        elif runs[0]["device"] == "cpu":
            on_gpu, on_cpu = on_gpu + on_cpu, None
        out.append(
            {
                "arm": name,
                "runs": len(runs),
                "selection_hours": on_gpu,
                "selection_cpu_hours": on_cpu,
                "training_hours": float(np.mean([r.get("gpu_hours", r.get("cpu_hours", 0.0)) for r in runs])),
                "processes": runs[0]["processes"],
                "device": runs[0]["device"],
                "kwh_a_run": mean("kwh_estimate"),
                "targets_per_second": mean("targets_per_second"),
                "model_flops_utilisation": mean("model_flops_utilisation"),
                "peak_memory_mb": mean("peak_memory_mb"),
                "final_loss": mean("final_loss"),
                "weight_norm": mean("weight_norm"),
                "benchmark": chosen["benchmark"],
                "metric": chosen["metric"],
                "figure": quality.get(name),
                "better": chosen["better"],
            }
        )
    sign = -1 if chosen["better"] == "lower" else 1
    priced = [row for row in out if row["figure"] is not None and row["selection_hours"] is not None]
    for row in out:
        row["on_front"] = row in priced and not any(
            total(other) <= total(row)
            and sign * other["figure"] >= sign * row["figure"]
            and (total(other), other["figure"]) != (total(row), row["figure"])
            for other in priced
        )
    return out


def total(row: Mapping[str, Any]) -> float:
    """Hours of one run, the selection of its documents included: of GPUs, or of processors where there are none."""
    return row["selection_hours"] + row["training_hours"]


def cost_table(rows: list[dict[str, Any]]) -> Table:
    head = ["arm", "runs", "hours of selection", "beside them on processors", "hours of training (a run)", "kWh a run", "tokens/s (classifiers: examples/s)", "model-FLOPs utilisation", "peak memory MB", "device", "final loss", "weight norm", "figure", "on the front"]  # fmt: skip
    body = []
    for row in rows:
        use = row["model_flops_utilisation"]
        body.append(
            [row["arm"], str(row["runs"]), *("" if row[f"selection_{kind}hours"] is None else hours_text(row[f"selection_{kind}hours"]) for kind in ("", "cpu_")),
             hours_text(row["training_hours"]),
             number(row["kwh_a_run"]), f"{row['targets_per_second']:,.0f}", "" if use is None else f"{100 * use:.1f} %",
             f"{row['peak_memory_mb']:,.0f}", f"{row['processes']} x {row['device']}", *("" if row[key] is None else number(row[key]) for key in ("final_loss", "weight_norm")), number(row["figure"]),
             "yes" if row["on_front"] else ""]
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
    """Quality over hours of one run, its selection included; the front is a line."""
    pyplot = _figure(name)
    plot, axis = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    shown = [row for row in rows if row["figure"] is not None and row["selection_hours"] is not None]
    for row in shown:
        colour = "#1b7837" if row["on_front"] else "#999999"
        axis.plot([total(row)], [row["figure"]], "o", color=colour)
        axis.annotate(row["arm"].rpartition("/")[2], (total(row), row["figure"]), xytext=(4, 4), textcoords="offset points", fontsize=8)  # fmt: skip
    front = sorted((total(row), row["figure"]) for row in shown if row["on_front"])
    if front:
        axis.step(*zip(*front, strict=True), where="post", color="#1b7837", linewidth=1)
    axis.set_xlabel("hours a run: selection of its documents, then training")
    if shown:
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
    """Rows of a table of winnow.compare; raises InputError naming a file that is none."""
    return read_rows(
        path, ("arm", "benchmark", "metric", "group", "figure", "var_seed", "var_item", "var_residual")
    )


def chart(*, table: Path, metrics: list[Path] = [], spec: str, out: Path) -> None:
    """What the arms of a table cost, and what a clearer answer would.

    Args:
        table: the table's .csv.
        metrics: metrics.json of its trainings, each beside its timings.json and its manifest.json.
        spec: JSON with the keys `name`, `title`, `arms` (as winnow.compare), `selection` (arm -> `gpu` and `cpu`:
            Snakemake's benchmark files of the jobs that selected its documents).
        out: prefix of the files to write.
    """
    settings = read_spec(spec, "name", "title", "arms", "selection")
    rows, arms = read_table(table), arms_of(settings["arms"])
    trained = collect(arms, metrics)
    selection = {
        arm: (hours_of([Path(p) for p in jobs["gpu"]]), hours_of([Path(p) for p in jobs["cpu"]]))
        for arm, jobs in settings["selection"].items()
    }
    for name in sorted(arm for arm, hours in selection.items() if None in hours):
        say(
            f"[costs {settings['name']}] timings of {name}'s selection are lost: it has no place on the front"
        )
    found = costs(arms, trained, selection, rows)
    hours = float(np.mean([row["training_hours"] for row in found])) if found else None
    planned = plan(rows, hours)
    front, losses = front_plot(found, settings["name"]), loss_plot(trained, settings["name"])
    legend = [
        "Hours are of one job after the other: selection (embedding, clustering, scoring and drawing, charged whole to each "
        "arm that needs them) and one training: of GPUs where the training had one (hours of processors stand apart), else of "
        "processors. kWh are estimated from the device's rated power.",
        f"Runs needed: data seeds an arm to find a true gap with {100 * POWER:g} % power by one test at 5 %, and by the strictest "
        "test that the adjustment over this table asks, from the variances that it measured; hours are those of training both "
        "arms. Noise of the items stays however many seeds there are.",
    ]
    sections = [("Costs", cost_table(found))]
    if planned:
        sections.append(("Runs needed", power_table(planned)))
    page = Page(
        f"{settings['title']}: costs", [], legend, sections, [("Cost and quality", front), ("Loss", losses)]
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

    Raises InputError for a model, or a GPU of `winnow.machine.GPUS`, that is not there, or a recipe of epochs.
    """
    import yaml

    from winnow.machine import GPUS, flops_a_token

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
        gpu: which GPU, as winnow.machine names them.
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
    run(chart, power)
