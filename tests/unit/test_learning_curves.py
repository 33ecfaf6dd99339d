"""The page of learning curves: what the files of probes and of single runs say, arm by arm, budget by budget."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.rounds import learning_curves
from winnow.stage import InputError, canonical

ITEMS = 120


def answers(level: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of a run of this accuracy."""
    label = np.random.default_rng(7).integers(0, 2, ITEMS)
    wrong = np.random.default_rng(100 + seed).random(ITEMS) > level
    return label, np.where(wrong, 1 - label, label)


def rows(level: float, seed: int, index: int, several: bool) -> pa.Table:
    label, prediction = answers(level, seed)
    columns = {
        "benchmark": ["test"] * ITEMS, "item": np.arange(ITEMS)[::-1], "metric": ["acc"] * ITEMS,
        "value": (label == prediction).astype(float), "label": label, "prediction": prediction,
        "confidence": np.full(ITEMS, 0.8, np.float32),
    }  # fmt: skip
    if several:
        columns |= {"data_seed": np.full(ITEMS, seed), "round": np.full(ITEMS, index)}
    return pa.table(columns)


class Files:
    def __init__(self, folder: Path):
        self.folder, self.evaluations, self.items, self.arms = folder, [], [], {}

    def add(self, ids: dict, table: pa.Table, **more) -> None:
        path = self.folder / f"{len(self.items)}.json"
        path.write_text(json.dumps({"ids": ids, "classes": ["no", "yes"], **more}))
        pq.write_table(table, path.with_suffix(".parquet"))
        self.evaluations.append(path)
        self.items.append(path.with_suffix(".parquet"))

    def probes(self, name: str, levels: list[float], seeds: int = 4) -> None:
        """An arm of probes: one file of all seeds and rounds."""
        budgets = [100 + 100 * i for i in range(len(levels))]
        self.arms[name] = [
            {"ids": {"sampler": name, "budget": f"b.{i}"}, "labels": b} for i, b in enumerate(budgets)
        ]
        parts = [rows(level, s, i, True) for s in range(seeds) for i, level in enumerate(levels)]
        runs = [
            {"data_seed": s, "round": i, "labels": b} for s in range(seeds) for i, b in enumerate(budgets)
        ]
        self.add({"sampler": name, "budget": f"b.{len(levels) - 1}"}, pa.concat_tables(parts), runs=runs)

    def runs(self, name: str, levels: list[float], seeds: int = 4) -> None:
        """An arm of fine-tuned classifiers: a file a run and round."""
        self.arms[name] = [
            {"ids": {"sampler": name, "budget": f"b.{i}"}, "labels": 100 + 100 * i}
            for i in range(len(levels))
        ]
        for s in range(seeds):
            for i, level in enumerate(levels):
                self.add(
                    {"sampler": name, "budget": f"b.{i}", "data_seed": s, "training_seed": s},
                    rows(level, s, i, False),
                )

    def page(self, ceiling: str | None = None, **more) -> tuple[list[dict[str, str]], str]:
        spec = {
            "title": "T",
            "arms": self.arms,
            "baseline": "random",
            "ceiling": ceiling,
            "confidence": 0.95,
            "gain": 0.001,
            "links": [],
            **more,
        }
        learning_curves.main(
            evaluations=self.evaluations, items=self.items, spec=canonical(spec), out=self.folder / "t.curves"
        )
        with open(self.folder / "t.curves.csv", newline="") as file:
            return list(csv.DictReader(file)), (self.folder / "t.curves.md").read_text()


@pytest.mark.parametrize("kind", ["probes", "runs"])
def test_a_better_arm_is_better_at_each_budget_and_the_ceiling_is_measured_against(
    tmp_path: Path, kind: str
) -> None:
    files = Files(tmp_path)
    getattr(files, kind)("random", [0.55, 0.6, 0.65])
    getattr(files, kind)("entropy", [0.55, 0.8, 0.95])
    getattr(files, kind)("full", [0.96], 1)
    found, text = files.page("full")
    assert [(r["arm"], r["labels"], r["seeds"]) for r in found] == [
        (arm, str(100 * i), "4") for arm in ("random", "entropy") for i in (1, 2, 3)
    ]
    verdicts = {(r["arm"], r["labels"]): r["verdict"] for r in found}
    assert verdicts["random", "300"] == ""
    assert verdicts["entropy", "100"] == "the same models"
    assert verdicts["entropy", "300"] == "better"
    last = next(r for r in found if (r["arm"], r["labels"]) == ("entropy", "300"))
    label, prediction = zip(*(answers(0.95, s) for s in range(4)), strict=True)
    assert float(last["accuracy"]) == pytest.approx(np.mean(np.array(label) == np.array(prediction)))
    assert float(last["calibration_error"]) == pytest.approx(abs(float(last["accuracy"]) - 0.8), abs=0.01)
    assert "better: entropy" in text
    assert "labels for 90% of the ceiling" in text
    assert "not reached" in text
    assert "one run: its own error is unknown" in text
    assert "pointwise" in text
    assert "F1 of class yes" in text
    chance = next(r for r in found if (r["arm"], r["labels"]) == ("random", "100"))
    assert float(chance["overconfidence"]) == pytest.approx(0.8 - float(chance["accuracy"]), abs=0.01)
    assert 0 < float(last["changed"]) < 1
    assert last["ceiling_agreement"]
    for ending in ("tex", "html", "svg"):
        assert (tmp_path / f"t.curves.{ending}").stat().st_size > 500


def test_figures_are_equal_for_equal_items_of_probes_and_of_runs(tmp_path: Path) -> None:
    pages = []
    for kind in ("probes", "runs"):
        (tmp_path / kind).mkdir()
        files = Files(tmp_path / kind)
        getattr(files, kind)("random", [0.6, 0.7])
        getattr(files, kind)("entropy", [0.6, 0.9])
        pages.append(files.page())
    assert pages[0] == pages[1]
    assert all(r["calibration_error"] and r["f1_positive"] for r in pages[0][0])


def test_a_curve_that_starts_above_the_target_may_have_reached_it_with_fewer_labels(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.probes("random", [0.95, 0.97])
    files.probes("entropy", [0.95, 0.97])
    files.probes("full", [0.98], 1)
    assert "| \u2264100 [\u2264100, \u2264100] |" in files.page("full")[1]


def test_a_ceiling_is_the_last_round_of_its_arm_and_all_its_trainings(tmp_path: Path) -> None:
    """The first round of an arm is no ceiling, and of several trainings of a draw none may be lost."""
    files = Files(tmp_path)
    files.runs("random", [0.6, 0.7])
    files.runs("entropy", [0.6, 0.7])
    files.runs("full", [0.5, 0.98], 1)
    ids = {"sampler": "full", "budget": "b.1", "data_seed": 0}
    for training in (1, 2):
        files.add({**ids, "training_seed": training}, rows(0.9, training, 1, False))
    text = files.page("full")[1]
    accuracies = [float(np.mean(np.equal(*answers(level, s)))) for s, level in enumerate([0.98, 0.9, 0.9])]
    assert f"accuracy {np.mean(accuracies):.4f} of full, mean of 3 runs" in text


def test_items_without_confidences_are_of_an_earlier_version(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.runs("random", [0.6, 0.7])
    files.runs("entropy", [0.6, 0.7])
    pq.write_table(pq.read_table(files.items[0]).drop_columns("confidence"), files.items[0])
    with pytest.raises(InputError, match=r"no column 'confidence'; evaluate the arm again"):
        files.page()


def test_a_file_of_no_arm_a_missing_arm_and_other_items_are_one_line(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.probes("random", [0.6, 0.7])
    files.probes("entropy", [0.6, 0.7])
    with pytest.raises(InputError, match="belongs to no arm"):
        files.page(arms={"random": files.arms["random"]})
    with pytest.raises(InputError, match="margin has no evaluation"):
        files.page(arms={**files.arms, "margin": [{"ids": {"sampler": "margin"}, "labels": 1}]})
    table = pq.read_table(files.items[1])
    pq.write_table(table.set_column(1, "item", pa.array(table["item"].to_numpy() + 1)), files.items[1])
    with pytest.raises(InputError, match="different items"):
        files.page()
