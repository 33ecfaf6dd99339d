"""The chapter of the trainings of a table: loss curves, and what each arm trained on and reached; what the models were made of.

In: manifest.json, metrics.json and timings.json of the models, the plot of their losses. Out: a chapter, and a part, of the report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from winnow.pages import number
from winnow.report.answers import labels
from winnow.report.parts import Cell, Chapter, Link, Part
from winnow.stage import read_json

SHARE = 0.05
"""Share of the steps over which the first and the last loss are averaged."""


@dataclass(frozen=True)
class Model:
    """A training: its arm, its loss by step (float64 [steps]), and its other files with their content."""

    arm: str
    losses: np.ndarray
    metrics_path: Path
    manifest_path: Path
    manifest: Mapping[str, Any]
    timings_path: Path
    timings: Mapping[str, Any]

    @property
    def read(self) -> int:
        """Training tokens, of classifiers examples."""
        return int(self.manifest.get("training_tokens") or self.manifest.get("training_examples") or 0)


def read(
    arms: Sequence[str], manifests: Sequence[Path], metrics: Sequence[Path], timings: Sequence[Path]
) -> list[Model]:
    """The models of a table, files in the order of `arms`."""
    return [
        Model(
            arm,
            np.array([step[0] for step in read_json(metric).get("history", [])], dtype=np.float64),
            metric,
            manifest,
            read_json(manifest),
            timing,
            read_json(timing),
        )
        for arm, manifest, metric, timing in zip(arms, manifests, metrics, timings, strict=True)
    ]


def _range(values: Sequence[float | None], form: Any = number) -> str:
    """The mean of known values, and the smallest and largest where they differ."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return ""
    mean = form(sum(known) / len(known))
    low, high = form(min(known)), form(max(known))
    return mean if low == high else f"{mean} [{low}, {high}]"


def _ends(losses: np.ndarray) -> tuple[float | None, float | None]:
    """Mean loss of the first and of the last steps."""
    if not len(losses):
        return None, None
    steps = max(1, round(SHARE * len(losses)))
    return float(losses[:steps].mean()), float(losses[-steps:].mean())


def rising(models: Sequence[Model]) -> list[Model]:
    """Models whose loss at the end is no lower than at the start, or is not finite: they did not learn."""
    out = []
    for model in models:
        first, last = _ends(model.losses)
        if first is not None and last is not None and not last < first:
            out.append(model)
    return out


def chapter(
    name: str, title: str, models: Sequence[Model], plot: str, costs: tuple[str, str], link: Link
) -> Chapter:
    """The chapter of a table's trainings. `plot`: its loss curves (SVG); `costs`: text and address of the page of its costs."""
    arms = list(dict.fromkeys(model.arm for model in models))
    shown = labels(arms)
    rows = []
    for arm in arms:
        of_arm = [model for model in models if model.arm == arm]
        ends = [_ends(model.losses) for model in of_arm]
        speed = [model.timings.get("targets_per_second") for model in of_arm]
        texts = [
            f"{len(of_arm):,}", _range([len(model.losses) for model in of_arm], _whole), _range([model.read for model in of_arm], _whole),
            _range([model.manifest.get("epochs") for model in of_arm]),
            _range([first for first, _ in ends]), _range([last for _, last in ends]), _range(speed, _whole),
        ]  # fmt: skip
        rows.append([Cell(shown[arm]), *(Cell(text, kind="r") for text in texts)])
    unit = "tokens" if any("training_tokens" in model.manifest for model in models) else "examples"
    head = [
        "arm",
        "runs",
        "steps",
        unit,
        "epochs",
        "loss at the start",
        "loss at the end",
        "targets a second",
    ]
    bad = rising(models)
    sentences = [f"{len(models):,} models of {len(arms):,} arm{'s' * (len(arms) != 1)} were trained."]
    if bad:
        names = ", ".join(f"{shown[model.arm]} (data seed {_seed(model)})" for model in bad[:5])
        sentences.append(f"{len(bad):,} did not learn, their loss did not fall: {names}{', ...' if len(bad) > 5 else ''}.")  # fmt: skip
    one_each = [
        [
            Cell(shown[model.arm]), Cell(_seed(model), kind="r"),
            Cell(number(model.manifest.get("final_loss")), link(model.manifest_path), "r"),
            Cell(f"{len(model.losses):,}", link(model.metrics_path), "r"),
            Cell(_seconds(model.timings), link(model.timings_path), "r"),
        ]
        for model in models
    ]  # fmt: skip
    means = f"Means over the runs, with the smallest and largest; losses over {100 * SHARE:g} % of the steps, in nats."
    return Chapter(
        f"training-{name}",
        f"Training: {title}",
        "Training",
        name,
        sentences,
        [
            Part("Loss curves", plots=[plot], files=[costs]),
            Part("Arms", [means], head, rows),
            Part("Every training", ["Numbers link to the files that they are from."], ["arm", "seeds", "final loss", "steps", "seconds"], one_each, folded=True),
        ],
    )  # fmt: skip


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _seconds(timings: Mapping[str, Any]) -> str:
    return number(timings["seconds"]) if "seconds" in timings else ""


def _seed(model: Model) -> str:
    ids = model.manifest.get("ids", {})
    return f"{ids.get('data_seed', '')}/{ids.get('training_seed', '')}"


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Leaves of a JSON value, by their path."""
    if isinstance(value, Mapping):
        return [
            leaf for key, one in value.items() for leaf in _flat(one, f"{name}.{key}" if name else str(key))
        ]
    return [(name, value if isinstance(value, str) else json.dumps(value))]


SETTINGS = ("spec", "precision", "parameters", "provenance", "versions")
MOST_VALUES, LONGEST = 8, 200
"""Values of a setting that are listed, and characters of one."""
WHERE = ("device", "processes", "threads", "host", "provenance", "versions")


def settings(models: Sequence[Model], link: Link) -> Part | None:
    """What the models of a run were made of: each setting, its values, and of how many models; None without models."""
    unique = list({str(model.manifest_path): model for model in models}.values())
    if not unique:
        return None
    counts: dict[tuple[str, str], list[Path]] = {}
    for model in unique:
        for path, content, keys in (
            (model.manifest_path, model.manifest, SETTINGS),
            (model.timings_path, model.timings, WHERE),
        ):
            for key in keys:
                if key in content:
                    for name, value in _flat(content[key], "" if key == "spec" else key):
                        counts.setdefault((name, value), []).append(path)
    values: dict[str, list[str]] = {}
    for name, value in sorted(counts):
        values.setdefault(name, []).append(value)
    rows = []
    for name, different in values.items():
        if len(different) > MOST_VALUES:
            rows.append([Cell(name), Cell(f"{len(different):,} different values"), Cell("", kind="r")])
            continue
        for value in different:
            paths = counts[name, value]
            text = value if len(value) < LONGEST else value[:LONGEST] + "..."
            rows.append([Cell(name), Cell(text, kind="n"), Cell(f"{len(paths):,}", link(paths[0]), "r")])
    note = f"Of {len(unique):,} models. The number links to the file of the first model that has the value."
    return Part("Settings of the models", [note], ["setting", "value", "models"], rows, folded=True)
