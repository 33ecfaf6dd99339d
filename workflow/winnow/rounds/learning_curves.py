"""Evaluations of all rounds of the arms of a table -> learning curves, tests at each budget, labels to reach the ceiling.

In: results.json files with their items.parquet: one a run and round of a classifier, one an arm of probes with all its
seeds and rounds. Which arm and round a file belongs to follows from the ids inside it. Out, at a common prefix: `.csv` (a
row an arm, benchmark and budget), `.md`, `.tex`, `.html`, `.svg`. The tests are those of winnow.compare.statistics; what the
figures are is in winnow.rounds.curves.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from winnow.metrics import macro_f1
from winnow.pages import Page, Section, number, probability, write_page
from winnow.rounds.curves import (
    Curve,
    Step,
    Test,
    area,
    compare_arms,
    interval,
    labels_to_reach,
    points,
    steps,
    sufficient,
)  # fmt: skip
from winnow.rounds.probe import calibration_error
from winnow.schema import read_spec
from winnow.stage import InputError, atomic_path, read_json, run, write_text

STAGE_VERSION = 2
COLUMNS = (
    "benchmark", "arm", "labels", "seeds", "accuracy", "low", "high", "f1", "calibration_error", "effect", "effect_low",
    "effect_high", "p", "p_adjusted", "verdict",
)  # fmt: skip
CEILING = "all labels"
Key = tuple[str, int, int]
"""Benchmark, labels used, data seed."""


@dataclass
class Arm:
    """What the runs of an arm answered: right or wrong float64 [items], predictions int [items], and by run F1 and calibration
    error (None where confidences are unknown)."""

    name: str
    correct: dict[Key, np.ndarray] = field(default_factory=dict)
    predictions: dict[Key, np.ndarray] = field(default_factory=dict)
    f1: dict[Key, float] = field(default_factory=dict)
    calibration: dict[Key, float] = field(default_factory=dict)
    items: dict[Key, np.ndarray] = field(default_factory=dict)

    def curve(self, benchmark: str, answers: bool = False) -> dict[int, dict[int, np.ndarray]]:
        """What items contributed (or the predictions) on a benchmark, by labels used and data seed."""
        out: dict[int, dict[int, np.ndarray]] = {}
        for (name, labels, seed), values in (self.predictions if answers else self.correct).items():
            if name == benchmark:
                out.setdefault(labels, {})[seed] = values
        return out

    def mean(self, of_run: Mapping[Key, float], benchmark: str, labels: int) -> float | None:
        values = [value for key, value in of_run.items() if key[:2] == (benchmark, labels)]
        return float(np.mean(values)) if values else None


def add_items(arm: Arm, path: Path, labels_of: Mapping[tuple[int, int], int], seed: int | None) -> None:
    """The items of a file, added to an arm. `labels_of`: labels used, by data seed and round; `seed`: of a file of one run,
    whose items have neither. Raises InputError for a file without the columns."""
    table = pq.read_table(path)
    needed = {"benchmark", "item", "metric", "value", "label", "prediction"}
    if missing := sorted(needed - set(table.column_names)):
        raise InputError(f"{path}: no column {missing[0]!r}; evaluate the arm again")
    frame = table.to_pandas()
    frame = frame[frame["metric"] == "acc"].sort_values("item", kind="stable")
    if seed is not None:
        (index,) = {index for data_seed, index in labels_of if data_seed == seed}
        frame["data_seed"], frame["round"] = seed, index
    for (benchmark, data_seed, index), part in frame.groupby(["benchmark", "data_seed", "round"], sort=True):
        key = (str(benchmark), labels_of[int(data_seed), int(index)], int(data_seed))
        correct, label = part["value"].to_numpy(dtype=float), part["label"].to_numpy()
        arm.correct[key], arm.predictions[key] = correct, part["prediction"].to_numpy()
        arm.items[key] = part["item"].to_numpy()
        arm.f1[key] = macro_f1(label, arm.predictions[key])[0]
        if "confidence" in part and part["confidence"].notna().all():
            arm.calibration[key] = calibration_error(part["confidence"].to_numpy(dtype=float), correct > 0)


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
        ids, owners = results["ids"], 0
        for name, rounds in arms.items():
            for index, one in enumerate(rounds):
                if any(ids.get(key) != value for key, value in one["ids"].items()):
                    continue
                owners += 1
                if "runs" in results:
                    if index == len(rounds) - 1:
                        labels_of = {(r["data_seed"], r["round"]): r["labels"] for r in results["runs"]}
                        add_items(out[name], items_path, labels_of, None)
                else:
                    add_items(
                        out[name], items_path, {(ids["data_seed"], index): one["labels"]}, ids["data_seed"]
                    )
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
        top = next(iter(arms[ceiling].curve(benchmark).values())) if ceiling else None
        answers = next(iter(arms[ceiling].curve(benchmark, True).values())) if ceiling else None
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
    """The rows of the CSV: COLUMNS."""
    rows = []
    for result in results:
        for point in points(result.curve, confidence):
            row: dict[str, Any] = {
                "benchmark": result.benchmark, "arm": result.arm.name, "labels": point.labels, "seeds": point.seeds,
                "accuracy": point.mean, "low": point.low, "high": point.high,
                "f1": result.arm.mean(result.arm.f1, result.benchmark, point.labels),
                "calibration_error": result.arm.mean(result.arm.calibration, result.benchmark, point.labels),
            }  # fmt: skip
            if test := result.tests.get(point.labels):
                one = test.comparison
                row |= {"effect": one.effect, "effect_low": one.low, "effect_high": one.high, "p": one.p,
                        "p_adjusted": test.p_adjusted, "verdict": test.verdict}  # fmt: skip
            rows.append(row)
    return rows


def labels_text(value: float | None) -> str:
    return "not reached" if value is None or math.isinf(value) else f"{value:,.0f}"


def band_text(low: float | None, high: float | None, text: Any = number) -> str:
    return "" if low is None or high is None else f"[{text(low)}, {text(high)}]"


def sections_of(results: Sequence[Result], confidence: float) -> list[Section]:
    """The tables of a page."""
    out = []
    level = f"{confidence:.0%}"
    for benchmark in dict.fromkeys(result.benchmark for result in results):
        here = [result for result in results if result.benchmark == benchmark]
        head = ["arm", "labels", "seeds", "accuracy", f"{level} CI", "macro-F1", "calibration error", "difference",
                f"{level} CI of it", "p", "p (Holm)", "verdict"]  # fmt: skip
        body = []
        for row in csv_rows(here, confidence):
            tested = "verdict" in row
            body.append([
                row["arm"], f"{row['labels']:,}", str(row["seeds"]), number(row["accuracy"]),
                band_text(row["low"], row["high"]), number(row["f1"]), number(row["calibration_error"]),
                number(row["effect"], signed=True) if tested else "",
                band_text(row["effect_low"], row["effect_high"]) if tested else "",
                probability(row["p"]) if tested else "", probability(row["p_adjusted"]) if tested else "",
                row["verdict"] if tested else "baseline",
            ])  # fmt: skip
        curves = []
        for result in here:
            test = result.area
            cells = [result.arm.name, number(result.area_mean)]
            if test:
                one = test.comparison
                cells += [
                    number(one.effect, signed=True),
                    band_text(one.low, one.high),
                    probability(test.p_adjusted),
                    test.verdict,
                ]
            else:
                cells += ["", "", "", "baseline"]
            curves.append(cells)
        area_head = [
            "arm",
            "mean accuracy over the budgets",
            "difference",
            f"{level} CI",
            "p (Holm)",
            "verdict",
        ]
        out.append(Section(f"{benchmark}: area under the learning curve", (area_head, curves)))
        out.append(Section(f"{benchmark}: accuracy by labels used", (head, body)))
        if any(result.reached for result in here):
            shares = [one.share for one in here[0].reached]
            head = ["arm", *(f"labels for {share:.0%} of the ceiling" for share in shares)]
            lines = [
                [result.arm.name, *(
                    f"{labels_text(one.labels)} {band_text(one.low, one.high, labels_text)}".strip() for one in result.reached
                )]
                for result in here
            ]  # fmt: skip
            out.append(Section(f"{benchmark}: labels to reach the ceiling", (head, lines)))
        head = [
            "arm",
            "labels",
            "gain for 100 labels",
            f"{level} CI",
            "kappa with the round before",
            "agreement with the ceiling",
        ]
        lines = [
            [result.arm.name, f"{step.labels:,}", number(step.gain, signed=True), band_text(step.low, step.high),
             number(step.kappa), number(step.agreement)]
            for result in here
            for step in result.steps
        ]  # fmt: skip
        out.append(Section(f"{benchmark}: what each round brought", (head, lines), folded=True))
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
            f"Labels after which another round was not worth it (gain below {gain:g} for each 100 labels, or stable predictions): "
            + (", ".join(enough) if enough else "not reached by any arm within these budgets")
            + "."
        )
    return out


def plot(
    results: Sequence[Result], ceiling: Mapping[str, Sequence[float]], confidence: float, title: str
) -> str:
    """Accuracy against labels, a band for each arm, a panel a benchmark: SVG."""
    import io

    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    colours = ["#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#7F7F7F"]
    markers = "osD^vP*X"
    names = list(dict.fromkeys(result.benchmark for result in results))
    with matplotlib.rc_context({"svg.hashsalt": "winnow", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = pyplot.subplots(
            1, len(names), figsize=(6.4 * len(names), 4), squeeze=False, layout="constrained"
        )
        for axis, benchmark in zip(axes.flat, names, strict=True):
            here = [result for result in results if result.benchmark == benchmark]
            for i, result in enumerate(here):
                found = points(result.curve, confidence)
                x = [point.labels for point in found]
                colour = colours[i % len(colours)]
                axis.plot(x, [p.mean for p in found], color=colour, marker=markers[i % len(markers)], markersize=4,
                          linewidth=2 if i == 0 else 1.2, label=result.arm.name)  # fmt: skip
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
                ylabel=f"accuracy (band: {confidence:.0%} CI over seeds)",
            )
            axis.legend(frameon=False, fontsize=8)
        figure.suptitle(title)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return text.getvalue()


LEGEND = [
    "Every arm at a budget has read that many labels, those of all earlier rounds included, and is trained on all of them.",
    "Bands are t intervals over data seeds. Differences are tested over seeds and items, as in all tables; p is adjusted over "
    "all arms and budgets of a benchmark (Holm), and over the arms for the areas, which are the headline.",
    "Labels to reach a share of the ceiling: linear between budgets; the interval is a bootstrap over seeds; the ceiling is the "
    "arm trained on all labels.",
    "Kappa compares the predictions on the test items of two rounds (Bloodgood and Vijay-Shanker 2009: stable from 0.99); it "
    "is empty where a model gave one answer to all items in both.",
]


def main(*, evaluations: list[Path], items: list[Path], spec: str, out: Path) -> None:
    """Make the learning curves of a table.

    Args:
        evaluations: results.json of all runs.
        items: items.parquet of each, in the same order.
        spec: JSON: title, arms (name -> a round each: ids, labels), baseline, ceiling (name of its arm, or null),
            confidence, gain (for each 100 labels, below which a round is not worth it).
        out: prefix of the files to write.
    """
    settings = read_spec(spec, "title", "arms", "baseline", "ceiling", "confidence", "gain")
    confidence, baseline, ceiling = settings["confidence"], settings["baseline"], settings["ceiling"]
    arms = collect(evaluations, items, settings["arms"])
    results = analyse(arms, baseline, ceiling, confidence, settings["gain"])
    top: dict[str, list[float]] = {}
    if ceiling:
        for (benchmark, _, _), values in sorted(arms[ceiling].correct.items()):
            top.setdefault(benchmark, []).append(float(values.mean()))
    svg = plot(results, top, confidence, settings["title"])
    facts = [
        f"Ceiling ({ceiling}) on {name}: {np.mean(values):.4f}, {len(values)} seed{'s' * (len(values) != 1)}."
        for name, values in top.items()
    ]
    page = Page(
        title=settings["title"], warnings=[], legend=[*facts, *LEGEND], sections=sections_of(results, confidence),
        plots=[("Learning curves", svg)], answer=answer_of(results, baseline, settings["gain"]),
        cell_classes={"better": "better", "worse": "worse"},
    )  # fmt: skip
    with atomic_path(Path(f"{out}.csv")) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(csv_rows(results, confidence))
    write_text(Path(f"{out}.svg"), svg)
    write_page(out, page)


if __name__ == "__main__":
    run(main)
