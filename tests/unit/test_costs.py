"""Costs and plans: seeds that a plan asks for give the power it promises, and the front holds what nothing beats."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.compare import costs
from winnow.compare.statistics import compare_samplers, difference_variances
from winnow.compare.table import arms_of
from winnow.device import encoder_flops
from winnow.stage import InputError, canonical

VARIANCES = {"var_seed": 4e-4, "var_item": 0.0, "var_residual": 0.2}


def test_the_seeds_of_a_plan_find_the_gap_as_often_as_promised() -> None:
    items, gap = 400, 0.04
    seeds = costs.seeds_needed(VARIANCES, items, gap)
    assert seeds is not None
    found, rounds, generator = 0, 400, np.random.default_rng(0)
    for _ in range(rounds):
        shift = gap + np.sqrt(VARIANCES["var_seed"]) * generator.normal(size=(seeds, 1))
        difference = shift + np.sqrt(VARIANCES["var_residual"]) * generator.normal(size=(seeds, items))
        arm = {(s, s): difference[s] for s in range(seeds)}
        p = compare_samplers(arm, {key: np.zeros(items) for key in arm}).p
        found += p is not None and p < 0.05
    assert 0.75 <= found / rounds <= 0.95


@settings(max_examples=40)
@given(st.floats(1e-6, 1e-2), st.floats(0, 1e-1), st.floats(1e-3, 0.3), st.floats(0.005, 0.2))
def test_a_larger_gap_needs_no_more_seeds(seed: float, item: float, rest: float, gap: float) -> None:
    variances = {"var_seed": seed, "var_item": item, "var_residual": rest}
    few, many = (costs.seeds_needed(variances, 500, size) for size in (2 * gap, gap))
    assert many is None or (few is not None and few <= many)


def test_variances_of_a_difference_are_those_it_was_made_with() -> None:
    generator = np.random.default_rng(1)
    seeds, items = 40, 3000
    base = generator.normal(size=items)
    extra = 0.3 * generator.normal(size=items)
    arm = {
        (s, s): base + extra + 0.1 * generator.normal() + 0.5 * generator.normal(size=items)
        for s in range(seeds)
    }
    other = {(s, s): base + 0.5 * generator.normal(size=items) for s in range(seeds)}
    found = difference_variances(arm, other)
    assert found is not None
    assert found["var_item"] == pytest.approx(0.09, rel=0.15)
    assert found["var_seed"] == pytest.approx(0.01, rel=0.5)
    assert found["var_residual"] == pytest.approx(0.5, rel=0.05)


ARMS = {f"e/{s}": {"sampler": s, "model": "m", "data_seeds": [0, 1], "tokenizer": None} for s in ("a", "b")}


def write_training(folder: Path, sampler: str, seed: int, hours: float) -> Path:
    folder.mkdir(parents=True)
    ids = {"sampler": sampler, "model": "m", "data_seed": seed, "training_seed": seed}
    (folder / "manifest.json").write_text(json.dumps({"ids": ids, "training_tokens": 100}))
    history = [[3.0 - 0.1 * step, 1e-3, 1.0] for step in range(10)]
    timings = {"gpu_hours": hours, "seconds": 3600 * hours, "processes": 1, "device": "H", "kwh_estimate": hours,
               "targets_per_second": 5.0, "model_flops_utilisation": 0.4, "peak_memory_mb": 10.0}  # fmt: skip
    (folder / "timings.json").write_text(json.dumps(timings))
    (folder / "metrics.json").write_text(json.dumps({"history": history}))
    return folder / "metrics.json"


@pytest.fixture
def charted(tmp_path: Path) -> Path:
    metrics = [
        write_training(tmp_path / f"{s}{n}", s, n, 1.0 if s == "a" else 1.5) for s in "ab" for n in (0, 1)
    ]
    (tmp_path / "select.tsv").write_text("s\th:m:s\tmax_rss\tcpu_time\n1800.0\t0:30:00\t5\t900.0\n")
    columns = ["arm", "benchmark", "metric", "better", "scope", "group", "figure", "items", "scale", "var_seed", "var_item", "var_residual", "family", "p", "selection_labels", "train_labels"]  # fmt: skip
    rows = [["e/a", "bpb", "bits_per_byte", "lower", "all items", "", "2.0", "500", "difference", "", "", "", "", "", "", "150"],
            ["e/b", "bpb", "bits_per_byte", "lower", "group", "all", "9.9", "500", "difference", "1", "1", "1", "groups", "0.5", "", "150"],
            ["e/b", "bpb", "bits_per_byte", "lower", "all items", "", "1.9", "500", "difference", "0.0001", "0.0002", "0.1", "headline", "0.1", "200", "150"]]  # fmt: skip
    with open(tmp_path / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    spec = {
        "name": "t",
        "title": "T",
        "arms": ARMS,
        "selection": {
            "e/a": {"gpu": [], "cpu": [str(tmp_path / "select.tsv")], "models": False},
            "e/b": {"gpu": [str(tmp_path / "select.tsv")], "cpu": [], "models": True},
        },
        "training": {},
    }
    costs.chart(table=tmp_path / "t.csv", metrics=metrics, spec=canonical(spec), out=tmp_path / "t")  # fmt: skip
    return tmp_path


def test_selection_is_charged_to_the_arm_that_needs_it(charted: Path) -> None:
    with open(charted / "t.costs.csv", newline="") as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    assert [float(rows[f"e/{s}"]["selection_hours"]) for s in "ab"] == [0.0, 0.5]
    assert [float(rows[f"e/{s}"]["selection_cpu_hours"]) for s in "ab"] == [0.25, 0.25]  # no hours of a GPU
    assert [float(rows[f"e/{s}"]["selection_wall_hours"]) for s in "ab"] == [0.5, 0.5]
    assert [float(rows[f"e/{s}"]["training_hours"]) for s in "ab"] == [1.0, 1.5]
    assert [rows[f"e/{s}"]["figure"] for s in "ab"] == ["2", "1.9"]  # not that of the group named all
    assert [rows[f"e/{s}"]["selection_flops"] for s in "ab"] == [
        "0",
        "",
    ]  # a model ran, and nothing counts its FLOPs
    assert [rows[f"e/{s}"]["selection_labels"] for s in "ab"] == ["", "200"]
    text = (charted / "t.costs.md").read_text()
    assert "unknown" in text
    assert "smallest gap" not in text
    assert [rows[f"e/{s}"]["on_front"] for s in "ab"] == ["true", "true"]
    for ending in ("costs.md", "costs.html", "power.csv", "front.svg", "losses.svg"):
        assert (charted / f"t.{ending}").stat().st_size > 100


def test_a_plan_can_be_asked_for_another_model(charted: Path, capsys: pytest.CaptureFixture) -> None:
    costs.power(table=charted / "t.csv", hours_a_run=10, gap=0.05)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "bits_per_byte" in line]
    cells = [cell.strip() for cell in line.split("|")]
    assert float(cells[6].replace(",", "")) == 2 * int(cells[5]) * 10
    for wrong in ({"gap": -1.0}, {"gap": float("nan")}, {"hours_a_run": -3.0}, {"hours_a_run": float("inf")}):
        with pytest.raises(InputError, match="is not a number above 0"):
            costs.power(table=charted / "t.csv", **wrong)
    with pytest.raises(InputError, match=r"none\.csv: No such file"):
        costs.power(table=charted / "none.csv")


def test_the_hours_of_a_shipped_model_are_its_flops_over_the_gpus(
    charted: Path, capsys: pytest.CaptureFixture
) -> None:
    models = Path(__file__).parents[2] / "config" / "models.yaml"
    weights = 12 * 12 * 768**2 + 768 * 50304
    flops = 6 * weights + 6 * 12 * 768 * 2048
    hours = costs.model_hours(models, "pythia-160m", "H100")
    assert hours == pytest.approx(1.5e9 * flops / (0.4 * 989e12) / 3600)
    assert hours < costs.model_hours(models, "pythia-1.4b", "H100")
    costs.power(table=charted / "t.csv", model="pythia-160m", models=models, gap=0.05)
    assert "GPU-hours a run" in capsys.readouterr().out
    with pytest.raises(InputError, match="has no language model 'nano'; there are: neox-nano"):
        costs.model_hours(models, "nano", "H100")
    with pytest.raises(InputError, match="is none of H200"):
        costs.model_hours(models, "pythia-160m", "TPU")
    with pytest.raises(InputError, match="two ways"):
        costs.power(table=charted / "t.csv", model="pythia-160m", models=models, hours_a_run=1)


def test_nothing_is_promised_where_no_spread_was_seen() -> None:
    row = {"arm": "e/b", "benchmark": "lambada", "metric": "acc", "scope": "all items", "group": "", "items": "200",
           "scale": "difference", "var_seed": "0", "var_item": "0", "var_residual": "0", "p": "", "family": ""}  # fmt: skip
    (planned,) = costs.plan([row], 1.0, (0.01,))
    assert (planned["seeds"], planned["seeds_in_table"], planned["minimum_detectable_effect_of_items"]) == (
        None,
        None,
        None,
    )
    (line,) = costs.power_table([planned])[1]
    assert costs.NO_SPREAD in line
    assert "none seen" in line


def test_a_table_of_many_tests_needs_more_seeds_than_one_test() -> None:
    row = {"arm": "e/b", "benchmark": "b", "metric": "acc", "scope": "all items", "group": "", "items": "400", "scale": "difference",
           "var_seed": "0.0004", "var_item": "-0.1", "var_residual": "0.2", "p": "0.3", "family": "headline"}  # fmt: skip
    alone, many = (costs.plan([row, *[row] * n], 1.0, (0.04,))[0] for n in (0, 49))
    assert alone["seeds"] == alone["seeds_in_table"] == many["seeds"] < many["seeds_in_table"]
    group = {**row, "scope": "group", "group": "all", "family": "groups"}
    assert costs.plan([row, *[group] * 49], 1.0, (0.04,)) == [alone]  # tests of groups are another family


QUALITY = [
    {"arm": f"e/{s}", "scope": "all items", "group": "", "benchmark": "x", "metric": "acc", "better": "higher", "figure": f}
    for s, f in (("a", "0.5"), ("b", "0.4"))
]  # fmt: skip


def test_what_another_arm_beats_for_less_is_not_on_the_front() -> None:
    arms = arms_of(ARMS)
    trained = {
        "e/a": [{"gpu_hours": 1.0, "processes": 1, "device": "H"}],
        "e/b": [{"gpu_hours": 2.0, "processes": 1, "device": "H"}],
    }
    nothing = costs.Usage(0.0, 0.0)
    selection = {"e/a": (nothing, costs.Usage(3.0, 1.0)), "e/b": (nothing, nothing)}
    found = costs.costs(arms, trained, selection, QUALITY)
    assert [row["on_front"] for row in found] == [True, False]
    assert [(row["unit"], costs.total(row), row["selection_cpu_hours"]) for row in found] == [
        ("GPU-hours", 1.0, 1.0),
        ("GPU-hours", 2.0, 0.0),
    ]
    lost = costs.costs(arms, trained, {"e/a": (nothing, None), "e/b": (nothing, nothing)}, QUALITY)
    assert [row["on_front"] for row in lost] == [False, True]


def test_equal_trainings_cost_the_same_however_long_they_took() -> None:
    """On a shared machine the same training takes .023 h or .007 h; its FLOPs are the same."""

    def run(flops: float | None, cpu: float, wall: float) -> dict:
        return {"model_flops": flops, "processes": 1, "device": "cpu", "seconds": 3600 * wall,
                "usage": costs.Usage(wall, cpu)}  # fmt: skip

    trained = {"e/a": [run(2e9, 0.03, 0.023), run(2e9, 0.01, 0.02)], "e/b": [run(2e9, 0.02, 0.007)]}
    selection = dict.fromkeys(ARMS, (costs.Usage(1.0, 0.3), costs.Usage(1.0, 0.1)))
    rows = costs.costs(arms_of(ARMS), trained, selection, QUALITY)
    # .06 CPU-hours bought 6e9 FLOPs: .02 for each training of 2e9.
    assert [row["training_hours"] for row in rows] == pytest.approx([0.02, 0.02])
    assert [row["training_flops"] for row in rows] == [2e9, 2e9]
    assert [row["training_wall_hours"] for row in rows] == pytest.approx([0.0215, 0.007])
    assert [row["training_cpu_hours"] for row in rows] == pytest.approx([0.02, 0.02])
    assert [row["selection_hours"] for row in rows] == pytest.approx([0.4, 0.4])
    assert {row["unit"] for row in rows} == {"CPU-hours"}
    trained["e/b"] = [run(None, 0.05, 0.007)]
    rows = costs.costs(arms_of(ARMS), trained, selection, QUALITY)
    assert [row["training_hours"] for row in rows] == pytest.approx([0.02, 0.05])  # as measured
    assert rows[1]["training_flops"] is None


def test_usage_is_what_snakemakes_file_says(tmp_path: Path) -> None:
    path = tmp_path / "job.tsv"
    path.write_text("s\tmax_rss\tcpu_time\n3600\t5\t1800\n7200\t5\tNA\n")
    assert costs.usage_of(path) == costs.Usage(3.0, 2.5)  # too short to be sampled: its wall time
    path.write_text("s\tmax_rss\n3600\t5\n")
    assert costs.usage_of(path) == costs.Usage(1.0, None)
    path.write_text("a\tb\n1\t2\n")
    with pytest.raises(InputError, match=r"job\.tsv: no number in column s or cpu_time"):
        costs.usage_of(path)
    assert costs.usage([path, tmp_path / "lost.tsv"]) is None


def test_flops_of_an_encoder_by_hand() -> None:
    # Two texts of 3 and 5 tokens, 10 weights, 2 layers of width 4: 6 x 10 x 8 + 12 x 2 x 4 x (9 + 25).
    assert encoder_flops(10, 2, 4, [3, 5]) == 480 + 3264
