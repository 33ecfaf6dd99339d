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
        path.write_text(json.dumps({"ids": ids, **more}))
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
    for ending in ("tex", "html", "svg"):
        assert (tmp_path / f"t.curves.{ending}").stat().st_size > 500


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
