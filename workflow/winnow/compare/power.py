"""Power: how many seeds per arm, and how many hours, it takes to detect an effect of a given size (`winnow power`).

In: a table of `winnow.compare.table`, with the variances that it measured. Out: a plan.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from winnow.compare import statistics
from winnow.compare.arms import CONSUMED
from winnow.compare.claims import ALL_ITEMS, HEADLINE, LOG_RATIO
from winnow.compare.statistics import POWER
from winnow.csv_files import read_rows
from winnow.device import GPUS, NEOX_VOCABULARY, UTILISATION, flops_a_token
from winnow.pages import Table, number
from winnow.stage import InputError

STAGE_VERSION = 1
GAPS = (0.005, 0.01, 0.02, 0.05, 0.1)
MOST_SEEDS = 200
NO_SPREAD = "no spread measured: cannot be planned"
VARIANCES = ("var_seed", "var_item", "var_residual")
TEXTS = ("arm", "benchmark", "metric", "better", "scope", "scale", "family")
NUMBERS = ("figure", "items", "p", *VARIANCES, *(f"selection_{what}" for what in CONSUMED), "train_labels")


@dataclass(frozen=True)
class TableRow:
    """What costs and plans use of a row of a table: `variances` by VARIANCES (None: not estimated), `consumed` by CONSUMED."""

    arm: str
    benchmark: str
    metric: str
    better: str
    scope: str
    scale: str
    family: str
    figure: float | None
    items: int
    p: float | None
    variances: Mapping[str, float] | None
    consumed: Mapping[str, float | None]
    train_labels: float | None


def read_table(path: Path) -> list[TableRow]:
    """Rows of a table of winnow.compare.table; raises InputError for another file."""
    rows = []
    for line, row in enumerate(read_rows(path, (*TEXTS, *NUMBERS)), start=1):
        numbers: dict[str, float | None] = {}
        for name in NUMBERS:
            try:
                numbers[name] = float(row[name]) if row[name] else None
            except ValueError:
                raise InputError(
                    f"{path}: row {line}: {name} is {row[name]!r}; it must be a number"
                ) from None
        known = {name: value for name in VARIANCES if (value := numbers[name]) is not None}
        rows.append(
            TableRow(
                **{name: row[name] for name in TEXTS},
                figure=numbers["figure"],
                items=int(numbers["items"] or 0),
                p=numbers["p"],
                variances=known if len(known) == len(VARIANCES) else None,
                consumed={what: numbers[f"selection_{what}"] for what in CONSUMED},
                train_labels=numbers["train_labels"],
            )
        )
    return rows


def seeds_needed(
    variances: Mapping[str, float], items: int, gap: float, level: float = 0.05, power: float = POWER
) -> int | None:
    """Fewest data seeds per arm with which a true effect of `gap` is detected with `power` by one two-sided test at `level`;
    None if MOST_SEEDS are not enough (the noise of the items alone is about too large), or if there is no variance.

    `variances`: those of `winnow.compare.statistics.difference_variances`, none below 0. The standard error is
    sqrt(var_seed / S + var_residual / (S I) + var_item / I), of S - 1 and I - 1 degrees of freedom; the effect must be the
    sum of the critical values of `level` and of 1 - `power`, times it (Cohen 1988, section 2.4, with those of
    `winnow.compare.statistics.critical_value` for z).
    """
    for seeds in range(statistics.FEWEST_SEEDS, MOST_SEEDS + 1):
        of_seeds = variances["var_seed"] / seeds + variances["var_residual"] / (seeds * items)
        components = [(of_seeds, seeds - 1), (variances["var_item"] / items, items - 1)]
        error = math.sqrt(sum(variance for variance, _ in components))
        if error == 0:
            return None
        needed = sum(statistics.critical_value(share, components) for share in (level, 2 * (1 - power)))
        if gap >= needed * error:
            return seeds
    return None


@dataclass(frozen=True)
class Plan:
    """Seeds per arm and hours of both arms to detect a true effect of `gap`: by one test at 5 %, by the strictest test of the
    table, and by one test with four times the items. None: more than MOST_SEEDS, or unknown. Its fields are the columns."""

    benchmark: str
    metric: str
    scale: str
    gap: float
    items: int
    seeds: int | None
    hours: float | None
    seeds_in_table: int | None
    hours_in_table: float | None
    seeds_at_4x_items: int | None
    hours_at_4x_items: float | None
    minimum_detectable_effect_of_items: float | None
    note: str


COLUMNS = tuple(one.name for one in fields(Plan))


def plan(rows: Iterable[TableRow], hours: float | None, gaps: Sequence[float] = GAPS) -> list[Plan]:
    """A plan for each benchmark and metric of a table and each gap, given the `hours` of a run.

    The strictest test of the table is that of Holm's adjustment: 5 % over its tests of all items. Variances are means over
    the arms, cut at 0.
    """
    from scipy import stats

    rows = list(rows)
    tests = max(1, sum(row.p is not None and row.family == HEADLINE for row in rows))
    by_pair: dict[tuple[str, str], list[TableRow]] = {}
    for row in rows:
        if row.scope == ALL_ITEMS and row.variances is not None:
            by_pair.setdefault((row.benchmark, row.metric), []).append(row)
    plans = []
    for (benchmark, metric), tested in by_pair.items():
        variances = {
            name: max(0.0, float(np.mean([row.variances[name] for row in tested if row.variances])))
            for name in VARIANCES
        }
        items = tested[0].items
        quantiles = float(stats.norm.isf(0.025) + stats.norm.isf(1 - POWER))
        of_items = quantiles * math.sqrt(variances["var_item"] / items)
        for gap in gaps:
            needed = [
                seeds_needed(variances, n, gap, level)
                for n, level in ((items, 0.05), (items, 0.05 / tests), (4 * items, 0.05))
            ]
            both = [None if seeds is None or hours is None else 2 * seeds * hours for seeds in needed]
            plans.append(
                Plan(
                    benchmark, metric, tested[0].scale, gap, items, needed[0], both[0], needed[1], both[1], needed[2], both[2],
                    of_items or None, "" if any(variances.values()) else NO_SPREAD,
                )
            )  # fmt: skip
    return plans


def power_table(plans: Sequence[Plan]) -> Table:
    head = ["benchmark", "metric", "true effect", "items", "seeds per arm", "hours of both arms", "seeds in this table", "hours in this table", "seeds with 4 x items", "minimum detectable effect of any number of seeds"]  # fmt: skip

    def seeds(one: Plan, number_of: int | None) -> str:
        return one.note or (f"over {MOST_SEEDS}" if number_of is None else str(number_of))

    body = []
    for one in plans:
        of_items = one.minimum_detectable_effect_of_items
        body.append(
            [one.benchmark, one.metric + (" (log)" if one.scale == LOG_RATIO else ""), f"{one.gap:g}", f"{one.items:,}",
             seeds(one, one.seeds), hours_text(one.hours), seeds(one, one.seeds_in_table), hours_text(one.hours_in_table),
             seeds(one, one.seeds_at_4x_items), "none measured" if of_items is None else number(of_items)]
        )  # fmt: skip
    return head, body


def hours_text(hours: float | None, unknown: str = "") -> str:
    return unknown if hours is None else f"{hours:,.1f}" if hours >= 1 else f"{hours:.3f}"


def model_hours(models: Path, name: str, gpu: str) -> float:
    """GPU-hours of one training of a model of the file, at UTILISATION of the GPU's peak.

    Raises InputError for a model, or a GPU of `winnow.device.GPUS`, that is not there, or a recipe of epochs.
    """
    import yaml

    if not models.is_file():
        raise InputError(f"--models: no file {models}; give --hours-a-run instead of --model")
    definitions = yaml.safe_load(models.read_text(encoding="utf-8"))
    model = definitions.get("models", {}).get(name, {})
    if model.get("kind") != "language-model":
        names = [n for n, m in definitions.get("models", {}).items() if m.get("kind") == "language-model"]
        raise InputError(f"{models}: has no language model {name!r}; there are: {', '.join(names)}")
    if gpu not in GPUS:
        raise InputError(f"--gpu: {gpu!r} is not one of {', '.join(GPUS)}")
    recipe, tokenizer = definitions["recipes"][model["recipe"]], definitions["tokenizers"][model["tokenizer"]]
    tokens = recipe.get("tokens", recipe.get("steps", 0) * recipe["batch"] * model["sequence"])
    if not tokens:
        raise InputError(f"{models}: recipe {model['recipe']!r} is set in epochs; give --hours-a-run")
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
    """Print how many seeds per arm detect an effect on each benchmark of a table, and the hours of training them.

    Args:
        table: CSV file of the table, `results/tables/TABLE.csv`.
        hours_a_run: Hours of one training run of the model to plan for.
        gap: True effect to detect, in the unit of the metric (0.01: one point of accuracy). By default several sizes.
        model: Name of a model, instead of --hours-a-run: its GPU-hours are estimated at 40 % of the peak of one GPU.
        gpu: Name of that GPU: H100, A100, ...
        models: YAML file with the models, recipes and tokenizers.
    """
    from tabulate import tabulate

    for key, value in (("--gap", gap), ("--hours-a-run", hours_a_run)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{key}: {value} is not a number above 0")
    if model is not None:
        if hours_a_run is not None:
            raise InputError("--model and --hours-a-run both set the hours of a run; give one")
        hours_a_run = model_hours(models, model, gpu)
        print(
            f"{model} on {gpu}: {hours_text(hours_a_run)} GPU-hours per run at {UTILISATION:.0%} of its peak"
        )
    head, body = power_table(plan(read_table(table), hours_a_run, GAPS if gap is None else (gap,)))
    print(tabulate(body, head, tablefmt="github"))
