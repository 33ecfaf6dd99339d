"""Evaluations of all rounds of the arms of a table -> learning curves, tests at each budget, labels to reach the ceiling.

In: results.json files with their items.parquet: one per run and round of a classifier, one per arm of probes with all its
seeds and rounds. Which arm and round a file belongs to follows from the ids inside it. Out, at a common prefix: `.csv` (a
row per benchmark, arm and budget), `.md`, `.tex`, `.html`, `.svg`. The tests are those of winnow.compare.statistics; the
figures are defined in winnow.rounds.curves and winnow.metrics.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from winnow import figures
from winnow.compare.statistics import FEWEST_SEEDS, Run
from winnow.metrics import CALIBRATION_BINS, calibration_error, class_f1, macro_f1, overconfidence
from winnow.pages import Page, Section, number, probability, write_page
from winnow.parquet import read_table
from winnow.rounds.curves import (
    Curve,
    Step,
    Test,
    area,
    compare_arms,
    detectable,
    interval,
    labels_to_reach,
    points,
    steps,
    sufficient,
)  # fmt: skip
from winnow.schema import read_spec
from winnow.stage import InputError, atomic_path, read_json, run, write_text

STAGE_VERSION = 5
COLUMNS = (
    "benchmark", "arm", "labels", "seeds", "accuracy", "low", "high", "f1", "f1_positive", "calibration_error",
    "overconfidence", "effect", "effect_low", "effect_high", "p", "p_adjusted", "verdict", "gain", "gain_low", "gain_high",
    "changed", "kappa", "ceiling_agreement",
)  # fmt: skip
AREAS = (
    "benchmark", "arm", "baseline", "is_baseline", "metric", "group", "figure", "effect", "ci_low", "ci_high", "p_adjusted",
    "minimum_detectable_effect_family", "detectable_family", "seeds", "verdict",
)  # fmt: skip
"""Columns of the CSV of areas: names as in the CSV of a table, of which these tests are the headline."""
FIGURES = ("f1", "f1_positive", "calibration_error", "overconfidence")
CEILING = "ceiling"
Key = tuple[str, int, Run]
"""Benchmark, labels used, (data seed, training seed)."""


@dataclass
class Arm:
    """What the runs of an arm answered: right or wrong float64 [items], predictions int [items], ids of items int64 [items];
    and by run `figures`: f1, calibration_error, overconfidence, and of two classes f1_positive. `classes`: their names."""

    name: str
    classes: list[str] = field(default_factory=list)
    correct: dict[Key, np.ndarray] = field(default_factory=dict)
    predictions: dict[Key, np.ndarray] = field(default_factory=dict)
    figures: dict[Key, dict[str, float]] = field(default_factory=dict)
    items: dict[Key, np.ndarray] = field(default_factory=dict)

    def curve(self, benchmark: str, answers: bool = False) -> dict[int, dict[Run, np.ndarray]]:
        """What items contributed (or the predictions) on a benchmark, by labels used and run."""
        out: dict[int, dict[Run, np.ndarray]] = {}
        for (name, labels, run_), values in (self.predictions if answers else self.correct).items():
            if name == benchmark:
                out.setdefault(labels, {})[run_] = values
        return out

    def mean(self, figure: str, benchmark: str, labels: int) -> float | None:
        """Mean over runs of a figure; None where it is not defined."""
        values = [
            one[figure]
            for key, one in self.figures.items()
            if key[:2] == (benchmark, labels) and figure in one
        ]
        return float(np.mean(values)) if values else None


def add_items(
    arm: Arm, path: Path, labels_of: Mapping[tuple[int, int], int], run_: Run | None, classes: Sequence[str]
) -> None:
    """The items of a file, added to an arm. `labels_of`: labels used, by data seed and round; `run_`: of a file of one run,
    whose items have no seed and round. Raises InputError for a file without the columns."""
    table = read_table(path)
    required = {"benchmark", "item", "metric", "value", "label", "prediction", "confidence"}
    if missing := sorted(required - set(table.column_names)):
        raise InputError(f"{path}: no column {missing[0]!r}; evaluate the arm again")
    frame = table.to_pandas()
    frame = frame[frame["metric"] == "acc"].sort_values("item", kind="stable")
    if run_ is not None:
        ((_, index),) = labels_of
        frame["data_seed"], frame["round"] = run_[0], index
    arm.classes = list(classes)
    for (benchmark, data_seed, index), part in frame.groupby(["benchmark", "data_seed", "round"], sort=True):
        seed = int(data_seed)
        key = (str(benchmark), labels_of[seed, int(index)], run_ or (seed, seed))
        correct, label = part["value"].to_numpy(dtype=float), part["label"].to_numpy()
        confidence, prediction = part["confidence"].to_numpy(dtype=float), part["prediction"].to_numpy()
        arm.correct[key], arm.predictions[key], arm.items[key] = correct, prediction, part["item"].to_numpy()
        arm.figures[key] = {
            "f1": macro_f1(label, prediction)[0],
            "calibration_error": calibration_error(confidence, correct > 0),
            "overconfidence": overconfidence(confidence, correct > 0),
        }
        if len(classes) == 2:
            arm.figures[key]["f1_positive"] = class_f1(label, prediction, 1)


def collect(evaluations: Sequence[Path], items: Sequence[Path], arms: Mapping[str, Any]) -> dict[str, Arm]:
    """The arms of the spec (name -> list of a round each: ids, labels) with their items.

    Raises InputError for a file of no arm, an arm without files, and runs that were evaluated on other items.
    """
    if len(items) != len(evaluations):
        raise InputError(
            f"--items: {len(items)} files for the {len(evaluations)} of --evaluations; give one of each"
        )
    out = {name: Arm(name) for name in arms}
    for path, items_path in zip(evaluations, items, strict=True):
        results = read_json(path)
        if "classes" not in results:
            raise InputError(f"{path}: no key 'classes'; evaluate the arm again")
        ids, classes, owners = results["ids"], results["classes"], 0
        for name, rounds in arms.items():
            for index, one in enumerate(rounds):
                if any(ids.get(key) != value for key, value in one["ids"].items()):
                    continue
                owners += 1
                if "runs" in results:
                    if index == len(rounds) - 1:
                        labels_of = {(r["data_seed"], r["round"]): r["labels"] for r in results["runs"]}
                        add_items(out[name], items_path, labels_of, None, classes)
                else:
                    run_ = (ids["data_seed"], ids["training_seed"])
                    add_items(out[name], items_path, {(run_[0], index): one["labels"]}, run_, classes)
        if not owners:
            shown = ", ".join(f"{key} {value}" for key, value in sorted(ids.items()))
            raise InputError(f"{path}: belongs to no arm of this table ({shown})")
    for arm in out.values():
        if not arm.correct:
            raise InputError(f"--spec arms: {arm.name} has no evaluation among the {len(evaluations)} given")
    for benchmark in {key[0] for arm in out.values() for key in arm.items}:
        seen = [ids for arm in out.values() for key, ids in arm.items.items() if key[0] == benchmark]
        if any(not np.array_equal(seen[0], other) for other in seen):
            raise InputError(
                f"benchmark {benchmark}: the runs were evaluated on different items; evaluate them again"
            )
    return out


@dataclass(frozen=True)
class Result:
    """All that is shown of an arm on a benchmark."""

    benchmark: str
    arm: Arm
    curve: Curve
    tests: dict[int, Test]
    area: Test | None
    area_mean: float
    steps: list[Step]
    reached: list[Any]
    enough: int | None


def analyse(
    arms: Mapping[str, Arm], baseline: str, ceiling: str | None, confidence: float, gain: float
) -> list[Result]:
    """The arms of each benchmark, the baseline first. Two families of tests: the areas under the curves, and every arm at
    every budget."""
    results = []
    for benchmark in sorted({key[0] for arm in arms.values() for key in arm.correct}):
        curves = {name: arm.curve(benchmark) for name, arm in arms.items() if name != ceiling}
        base = curves[baseline]
        others = [name for name in curves if name != baseline]
        at_budget = {
            f"{labels} {name}": (curves[name][labels], base[labels])
            for name in others
            for labels in sorted(set(curves[name]) & set(base))
        }
        tests = compare_arms(at_budget, confidence)
        whole = compare_arms({name: (area(curves[name]), area(base)) for name in others}, confidence)
        top, answers = None, None
        if ceiling:
            highest, answered = arms[ceiling].curve(benchmark), arms[ceiling].curve(benchmark, True)
            top, answers = highest[max(highest)], answered[max(highest)]
        for name in [baseline, *others]:
            rounds = steps(curves[name], arms[name].curve(benchmark, True), answers, confidence)
            results.append(
                Result(
                    benchmark, arms[name], curves[name],
                    {labels: tests[f"{labels} {name}"] for labels in curves[name] if f"{labels} {name}" in tests},
                    whole.get(name), float(np.mean(list(area(curves[name]).values()))), rounds,
                    labels_to_reach(curves[name], top, confidence=confidence) if top else [], sufficient(rounds, gain),
                )
            )  # fmt: skip
    return results


def csv_rows(results: Sequence[Result], confidence: float) -> list[dict[str, Any]]:
    """The rows of the CSV: COLUMNS; of a round's step those of the budget that it led to."""
    rows = []
    for result in results:
        step_to = {step.labels: step for step in result.steps}
        for point in points(result.curve, confidence):
            row: dict[str, Any] = {
                "benchmark": result.benchmark, "arm": result.arm.name, "labels": point.labels, "seeds": point.seeds,
                "accuracy": point.mean, "low": point.low, "high": point.high,
                **{name: result.arm.mean(name, result.benchmark, point.labels) for name in FIGURES},
            }  # fmt: skip
            if test := result.tests.get(point.labels):
                one = test.comparison
                row |= {"effect": one.effect, "effect_low": one.low, "effect_high": one.high, "p": one.p,
                        "p_adjusted": test.p_adjusted, "verdict": test.verdict}  # fmt: skip
            if step := step_to.get(point.labels):
                row |= {"gain": step.gain, "gain_low": step.low, "gain_high": step.high, "changed": step.changed,
                        "kappa": step.kappa, "ceiling_agreement": step.agreement}  # fmt: skip
            rows.append(row)
    return rows


def area_rows(results: Sequence[Result], baseline: str, confidence: float) -> list[dict[str, Any]]:
    """A row for each arm and benchmark: its mean accuracy over the budgets, and the test of it against the baseline's."""
    rows = []
    for result in results:
        row: dict[str, Any] = {
            "benchmark": result.benchmark, "arm": result.arm.name, "baseline": baseline, "metric": "accuracy, mean over labels",
            "is_baseline": str(result.arm.name == baseline).lower(), "figure": result.area_mean,
            "seeds": max(point.seeds for point in points(result.curve, confidence)),
        }  # fmt: skip
        if test := result.area:
            one = test.comparison
            row |= {"effect": one.effect, "ci_low": one.low, "ci_high": one.high, "p_adjusted": test.p_adjusted, "verdict": test.verdict}  # fmt: skip
            here = [other.area for other in results if other.benchmark == result.benchmark and other.area]
            tested = sum(other.comparison.p is not None for other in here)
            effect, able = detectable(test, tested, result.area_mean - one.effect, confidence)
            row |= {"minimum_detectable_effect_family": effect, "detectable_family": "" if able is None else str(able).lower()}  # fmt: skip
        rows.append(row)
    return rows


def labels_text(value: float | None, smallest: int) -> str:
    """Labels that reach a target; a curve that starts above it may have reached it with fewer."""
    if value is None or math.isinf(value):
        return "not reached"
    return f"{value:,.0f}" if value > smallest else f"\u2264{smallest:,}"


def reached_text(result: Result) -> list[str]:
    """Of each share of the ceiling the labels that reach it, with their interval."""
    smallest = min(result.curve)

    def text(value: float | None) -> str:
        return labels_text(value, smallest)

    return [
        text(one.labels)
        if one.labels is None and one.low == math.inf
        else f"{text(one.labels)} {band_text(one.low, one.high, text)}".strip()
        for one in result.reached
    ]


def band_text(low: float | None, high: float | None, text: Any = number) -> str:
    return "" if low is None or high is None else f"[{text(low)}, {text(high)}]"


def sections_of(results: Sequence[Result], confidence: float) -> list[Section]:
    """The tables of a page."""
    out = []
    level = f"{confidence:.0%}"
    for benchmark in dict.fromkeys(result.benchmark for result in results):
        here = [result for result in results if result.benchmark == benchmark]
        rows = csv_rows(here, confidence)
        head = ["arm", "mean accuracy over the budgets", "difference", f"{level} CI", "p (Holm)", "verdict"]
        body = []
        for result in here:
            cells = [result.arm.name, number(result.area_mean), "", "", "", "baseline"]
            if test := result.area:
                one = test.comparison
                cells[2:] = [number(one.effect, signed=True), band_text(one.low, one.high),
                             probability(test.p_adjusted), test.verdict]  # fmt: skip
            body.append(cells)
        out.append(Section(f"{benchmark}: area under the learning curve", (head, body)))
        head = ["arm", "labels", "seeds", "accuracy", f"{level} CI", "difference", f"{level} CI of it", "p", "p (Holm)",
                "verdict"]  # fmt: skip
        body = []
        for row in rows:
            tested = "verdict" in row
            body.append([
                row["arm"], f"{row['labels']:,}", str(row["seeds"]), number(row["accuracy"]),
                band_text(row["low"], row["high"]), number(row["effect"], signed=True) if tested else "",
                band_text(row["effect_low"], row["effect_high"]) if tested else "",
                probability(row["p"]) if tested else "", probability(row["p_adjusted"]) if tested else "",
                row["verdict"] if tested else "baseline",
            ])  # fmt: skip
        out.append(Section(f"{benchmark}: accuracy by labels used", (head, body)))
        if any(result.reached for result in here):
            head = ["arm", *(f"labels for {one.share:.0%} of the ceiling" for one in here[0].reached)]
            lines = [[result.arm.name, *reached_text(result)] for result in here]
            out.append(Section(f"{benchmark}: labels to reach the ceiling", (head, lines)))
        classes = here[0].arm.classes
        head = ["arm", "labels", "accuracy", "macro-F1", *([f"F1 of class {classes[1]}"] if len(classes) == 2 else []),
                "calibration error (ECE)", "confidence \u2212 accuracy"]  # fmt: skip
        body = [
            [row["arm"], f"{row['labels']:,}", number(row["accuracy"]), number(row["f1"]),
             *([number(row["f1_positive"])] if len(classes) == 2 else []), number(row["calibration_error"]),
             number(row["overconfidence"], signed=True)]
            for row in rows
        ]  # fmt: skip
        out.append(Section(f"{benchmark}: F1 and calibration", (head, body)))
        has_ceiling = any(row.get("ceiling_agreement") is not None for row in rows)
        head = ["arm", "labels", "gain per 100 labels", f"{level} CI", "predictions changed", "kappa with the round before",
                *(["agreement with the ceiling"] if has_ceiling else [])]  # fmt: skip
        lines = [
            [row["arm"], f"{row['labels']:,}", number(row["gain"], signed=True),
             band_text(row["gain_low"], row["gain_high"]), f"{row['changed']:.1%}", number(row["kappa"]),
             *([number(row["ceiling_agreement"])] if has_ceiling else [])]
            for row in rows
            if "gain" in row
        ]  # fmt: skip
        out.append(Section(f"{benchmark}: what each round brought", (head, lines)))
    return out


def answer_of(results: Sequence[Result], baseline: str, gain: float) -> list[str]:
    """The page's first sentences."""
    out = []
    for benchmark in dict.fromkeys(result.benchmark for result in results):
        here = [result for result in results if result.benchmark == benchmark]
        by_verdict: dict[str, list[str]] = {}
        for result in here:
            if result.area:
                by_verdict.setdefault(result.area.verdict, []).append(result.arm.name)
        told = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in sorted(by_verdict.items()))
        out.append(
            f"{benchmark}: against {baseline}, by the area under the learning curve: {told or 'no other arm'}."
        )
        enough = [f"{result.arm.name} {result.enough:,}" for result in here if result.enough]
        out.append(
            f"{benchmark}: labels at which labelling could have stopped (the last round gained less than {gain:g} per 100 labels, "
            "or hardly changed the predictions): "
            + ("; ".join(enough) if enough else "no arm reached this point within these budgets")
            + "."
        )
    return out


def plot(
    results: Sequence[Result], ceiling: Mapping[str, Sequence[float]], confidence: float, title: str
) -> str:
    """Accuracy against labels, a band for each arm, a panel a benchmark: SVG."""
    colours = ["#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#7F7F7F"]
    markers = "osD^vP*X"
    names = list(dict.fromkeys(result.benchmark for result in results))
    several = len({result.arm.name.rpartition("/")[0] for result in results}) > 1
    with figures.pyplot("curves") as pyplot:
        figure, axes = pyplot.subplots(
            1, len(names), figsize=(5.6 * len(names) + 1.6, 4), squeeze=False, layout="constrained"
        )
        for axis, benchmark in zip(axes.flat, names, strict=True):
            here = [result for result in results if result.benchmark == benchmark]
            for i, result in enumerate(here):
                found = points(result.curve, confidence)
                x = [point.labels for point in found]
                colour = colours[i % len(colours)]
                axis.plot(x, [p.mean for p in found], color=colour, marker=markers[i % len(markers)], markersize=4,
                          linewidth=2 if i == 0 else 1.2, label=result.arm.name if several else result.arm.name.rpartition("/")[2])  # fmt: skip
                if all(point.low is not None for point in found):
                    axis.fill_between(
                        x,
                        [p.low for p in found],
                        [p.high for p in found],
                        color=colour,
                        alpha=0.12,
                        linewidth=0,
                    )
            if values := ceiling.get(benchmark):
                axis.axhline(
                    float(np.mean(values)), color="#7F7F7F", linestyle="--", linewidth=1, label=CEILING
                )
                if band := interval(values, confidence):
                    axis.axhspan(*band, color="#7F7F7F", alpha=0.1, linewidth=0)
            axis.set(
                title=benchmark,
                xlabel="labels used",
                ylabel=f"accuracy (band: pointwise {confidence:.0%} CI over seeds)",
            )
        entries = {
            name: line
            for axis in axes.flat
            for line, name in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(entries.values(), entries.keys(), loc="outside right center", frameon=False, fontsize=8)
        figure.suptitle(title)
        return figures.svg(figure)


LEGEND = [
    "At a budget every arm has used that many labels, those of all earlier rounds included, and its models are trained on "
    "all of them.",
    "The data seed is the random unit. Intervals and bands of an arm are t intervals over its seeds, on these test items; bands "
    "are pointwise: each holds for its budget alone, not for the whole curve at once, and overlapping bands are no test. "
    "An arm of one seed, or whose seeds all give the same models (a sampler without chance), has no interval. "
    "Differences from the baseline are paired by seed and tested over seeds and items, as in all tables. p is adjusted (Holm) "
    "over all arms and budgets of a benchmark, and, as a family of its own, over the arms for the areas, which are the "
    "headline. 'the same models': the arms have not parted yet, so there is nothing to test.",
    "Area: the mean accuracy over the range of labels, by trapezoids.",
    f"Macro-F1: mean F1 of the classes. ECE: expected calibration error, the mean absolute difference of accuracy and "
    f"confidence (probability of the predicted class) over {CALIBRATION_BINS} bins of equal width (Naeini et al. 2015; Guo et "
    "al. 2017); on few items it is above 0 even for a perfectly calibrated model. Confidence \u2212 accuracy: above 0 means "
    "overconfident. All are means over seeds.",
    "Gain: change of accuracy since the round before, per 100 labels, with a t interval over seeds. Predictions changed: share "
    "of the test items whose prediction differs from that of the round before; kappa corrects it for chance, and is empty where a model gave one answer to all items in both. A round counts as "
    "enough if the upper end of its gain's interval is below the stated gain, or kappa is at least .99 (the threshold of "
    "Bloodgood and Vijay-Shanker 2009, who average three rounds on unlabelled data). This is hindsight, from the test items: "
    "it shows where one could have stopped, and tunes nothing.",
]
"""What the tables of every page mean."""


def ceiling_notes(name: str, figures: Mapping[str, Sequence[float]]) -> list[str]:
    """What the ceiling is, and what the labels that reach a share of it are. `figures`: accuracies of its runs by benchmark."""
    out = []
    for benchmark, values in figures.items():
        few = len(values) < FEWEST_SEEDS
        out.append(
            f"Ceiling on {benchmark}: accuracy {np.mean(values):.4f} of {name}, "
            + ("one run" if len(values) == 1 else f"mean of {len(values)} runs")
            + (": its own error is unknown, and the intervals below take it as exact." if len(values) == 1
               else ": too few for a good estimate of its error." if few else ".")
        )  # fmt: skip
    return [
        *out,
        "Labels to reach a share of the ceiling: where the arm's mean curve first crosses it, linear between budgets; \u2264: the "
        "smallest budget is above it already. The interval is a percentile bootstrap over seeds of the arm and runs of the "
        "ceiling, on these test items; an end 'not reached' lies beyond the largest budget.",
    ]


def main(*, evaluations: list[Path], items: list[Path], spec: str, out: Path) -> None:
    """Make the learning curves of a table.

    Args:
        evaluations: results.json of all runs.
        items: items.parquet of each, in the same order.
        spec: JSON: title, arms (name -> a round each: ids, labels), baseline, ceiling (name of its arm, or null),
            confidence, gain (per 100 labels, below which a round is not worth it), links (text and file of pages beside).
        out: prefix of the files to write.
    """
    settings = read_spec(spec, "title", "arms", "baseline", "ceiling", "confidence", "gain", "links")
    confidence, baseline, ceiling = settings["confidence"], settings["baseline"], settings["ceiling"]
    arms = collect(evaluations, items, settings["arms"])
    results = analyse(arms, baseline, ceiling, confidence, settings["gain"])
    top: dict[str, list[float]] = {}
    if ceiling:
        most = max(labels for _, labels, _ in arms[ceiling].correct)
        for (benchmark, labels, _), values in sorted(arms[ceiling].correct.items()):
            if labels == most:
                top.setdefault(benchmark, []).append(float(values.mean()))
    svg = plot(results, top, confidence, settings["title"])
    notes = ceiling_notes(ceiling, top) if ceiling else []
    page = Page(
        title=settings["title"], warnings=[], legend=[*notes, *LEGEND], sections=sections_of(results, confidence),
        plots=[("Learning curves", svg)], answer=answer_of(results, baseline, settings["gain"]),
        links=[(text, file) for text, file in settings["links"]],
        cell_classes={"better": "better", "worse": "worse"},
    )  # fmt: skip
    for name, columns, rows in (
        ("csv", COLUMNS, csv_rows(results, confidence)),
        ("areas.csv", AREAS, area_rows(results, baseline, confidence)),
    ):
        with (
            atomic_path(Path(f"{out}.{name}")) as partial,
            open(partial, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    write_text(Path(f"{out}.svg"), svg)
    write_page(out, page)


if __name__ == "__main__":
    run(main)
