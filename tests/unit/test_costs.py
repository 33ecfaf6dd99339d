"""Costs: every arm is charged for what its selection and training took, and nothing that is unknown is free."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from winnow.compare import costs
from winnow.compare.arms import arms_of
from winnow.compare.power import TableRow
from winnow.csv_files import write_rows
from winnow.device import encoder_flops
from winnow.stage import InputError, canonical

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


def files_of(metrics: list[Path]) -> dict[str, list[Path]]:
    """The files of each training, as the rule lists them."""
    names = {"models": "manifest.json", "metrics": "metrics.json", "timings": "timings.json"}
    return {option: [path.with_name(name) for path in metrics] for option, name in names.items()}


@pytest.fixture
def charted(tmp_path: Path) -> Path:
    metrics = [
        write_training(tmp_path / f"{s}{n}", s, n, 1.0 if s == "a" else 1.5) for s in "ab" for n in (0, 1)
    ]
    (tmp_path / "train.tsv").write_text("s\tcpu_time\n3600\t7200\n")
    (tmp_path / "select.tsv").write_text("s\th:m:s\tmax_rss\tcpu_time\n1800.0\t0:30:00\t5\t900.0\n")
    columns = ("arm", "benchmark", "metric", "better", "scope", "group", "figure", "items", "scale", "var_seed", "var_item",
               "var_residual", "family", "p", "selection_documents", "selection_labels", "selection_tokens", "train_labels",
               "is_baseline")  # fmt: skip
    shared = dict.fromkeys(columns, "") | {
        "benchmark": "bpb", "metric": "bits_per_byte", "better": "lower", "scope": "all items", "items": "500", "scale": "difference",
        "train_labels": "150",
    }  # fmt: skip
    rows = [
        shared | {"arm": "e/a", "figure": "2.0", "is_baseline": "true"},
        shared | {"arm": "e/b", "figure": "9.9", "scope": "group", "group": "all"}
        | {"var_seed": "1", "var_item": "1", "var_residual": "1", "family": "groups", "p": "0.5"},
        shared | {"arm": "e/b", "figure": "1.9", "selection_labels": "200"}
        | {"var_seed": "0.0001", "var_item": "0.0002", "var_residual": "0.1", "family": "headline", "p": "0.1"},
    ]  # fmt: skip
    write_rows(tmp_path / "t.csv", rows, columns)
    spec = {
        "name": "t",
        "title": "T",
        "arms": ARMS,
        "selection": {
            "e/a": {"gpu": [], "cpu": [str(tmp_path / "select.tsv")], "models": False},
            "e/b": {"gpu": [str(tmp_path / "select.tsv")], "cpu": [], "models": True},
        },
        "training": {arm: {f"{n}/{n}": [str(tmp_path / "train.tsv")] for n in (0, 1)} for arm in ARMS},
    }
    costs.chart(table=tmp_path / "t.csv", **files_of(metrics), spec=canonical(spec), out=tmp_path / "t")
    return tmp_path


def test_selection_is_charged_to_the_arm_that_needs_it(charted: Path) -> None:
    with open(charted / "t.costs.csv", newline="") as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    assert [float(rows[f"e/{s}"]["selection_hours"]) for s in "ab"] == [0.0, 0.5]
    assert [float(rows[f"e/{s}"]["selection_cpu_hours"]) for s in "ab"] == pytest.approx(
        [0.25, 0.25], rel=0.01
    )  # no hours of a GPU
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
    assert [rows[f"e/{s}"]["on_pareto_front"] for s in "ab"] == ["true", "true"]
    for ending in ("costs.md", "costs.html", "power.csv", "pareto.svg", "losses.svg"):
        assert (charted / f"t.{ending}").stat().st_size > 100


NOTHING = costs.Usage(0.0, 0.0)
QUALITY = {
    f"e/{s}": TableRow(
        f"e/{s}", "x", "acc", "higher", "all items", "difference", "", figure, 100, None, None,
        dict.fromkeys(("documents", "labels", "tokens")), None,
    )
    for s, figure in (("a", 0.5), ("b", 0.4))
}  # fmt: skip


def test_an_arm_that_another_beats_for_less_is_not_on_the_pareto_front() -> None:
    trainings = {
        "e/a": [costs.Training("H", 1, NOTHING, gpu_hours=1.0)],
        "e/b": [costs.Training("H", 1, NOTHING, gpu_hours=2.0)],
    }
    selection = {
        "e/a": costs.Selection(NOTHING, costs.Usage(3.0, 1.0), False),
        "e/b": costs.Selection(NOTHING, NOTHING, False),
    }
    rows = costs.costs(trainings, selection, QUALITY)
    assert [row.on_pareto_front for row in rows] == [True, False]
    assert [(row.unit, row.total, row.selection_cpu_hours) for row in rows] == [
        ("GPU-hours", 1.0, 1.0),
        ("GPU-hours", 2.0, 0.0),
    ]
    trainings["e/a"] = [costs.Training("H", 1, NOTHING)]  # its hours are unknown
    rows = costs.costs(trainings, selection, QUALITY)
    assert [row.on_pareto_front for row in rows] == [False, True]


def test_equal_trainings_cost_the_same_however_long_they_took() -> None:
    """On a shared machine the same training takes .023 h or .007 h; its FLOPs are the same."""

    def run(flops: float | None, cpu: float, wall: float) -> costs.Training:
        return costs.Training("cpu", 1, costs.Usage(wall, cpu), seconds=3600 * wall, model_flops=flops)

    trainings = {"e/a": [run(2e9, 0.03, 0.023), run(2e9, 0.01, 0.02)], "e/b": [run(2e9, 0.02, 0.007)]}
    selection = dict.fromkeys(ARMS, costs.Selection(costs.Usage(1.0, 0.3), costs.Usage(1.0, 0.1), True))
    rows = costs.costs(trainings, selection, QUALITY)
    # .06 CPU-hours bought 6e9 FLOPs: .02 for each training of 2e9.
    assert [row.training_hours for row in rows] == pytest.approx([0.02, 0.02])
    assert [row.training_flops for row in rows] == [2e9, 2e9]
    assert [row.training_wall_hours for row in rows] == pytest.approx([0.0215, 0.007])
    assert [row.training_cpu_hours for row in rows] == pytest.approx([0.02, 0.02])
    assert [row.selection_hours for row in rows] == pytest.approx([0.4, 0.4])
    assert {row.unit for row in rows} == {"CPU-hours"}
    trainings["e/b"] = [run(None, 0.05, 0.007)]
    rows = costs.costs(trainings, selection, QUALITY)
    assert [row.training_hours for row in rows] == pytest.approx([0.02, 0.05])  # as measured
    assert rows[1].training_flops is None


def test_a_timing_that_is_named_and_not_there_is_an_error_and_not_free(tmp_path: Path) -> None:
    """A renamed rule, say, would leave an arm without the costs of its selection."""
    path = tmp_path / "job.tsv"
    path.write_text("s\tcpu_time\n3600\t1800\n")
    with pytest.raises(InputError, match=r"lost\.tsv: no such timing of a job that an arm is charged for"):
        costs.usage([str(path), str(tmp_path / "lost.tsv")])
    metrics = [write_training(tmp_path / "a0", "a", 0, 1.0)]
    with pytest.raises(InputError, match="--spec training: names no timing of run 0/0 of e/a"):
        costs.collect(arms_of(ARMS), **files_of(metrics), jobs={"e/a": {"1/1": [str(path)]}})
    files = files_of(metrics) | {"timings": []}
    with pytest.raises(InputError, match="1 and 0 files for the 1 of --models"):
        costs.collect(arms_of(ARMS), **files, jobs={"e/a": {"0/0": [str(path)]}})


def test_the_files_of_a_training_are_those_that_were_given(tmp_path: Path) -> None:
    """Manifest and timings were read beside metrics.json: files that no rule need have declared."""
    (metrics,) = [write_training(tmp_path / "a0", "a", 0, 1.0)]
    files = {}
    for option, (path,) in files_of([metrics]).items():
        files[option] = [path.rename(tmp_path / f"{option}.json")]
    (tmp_path / "job.tsv").write_text("s\tcpu_time\n3600\t1800\n")
    trainings = costs.collect(arms_of(ARMS), **files, jobs={"e/a": {"0/0": [str(tmp_path / "job.tsv")]}})
    (one,) = trainings["e/a"]
    assert (one.amount, one.gpu_hours, one.usage.wall, len(one.losses)) == (100, 1.0, 1.0, 10)
    assert one.usage.cpu == pytest.approx(0.5, rel=0.01)


def test_usage_is_what_snakemakes_file_says(tmp_path: Path) -> None:
    path = tmp_path / "job.tsv"
    path.write_text("s\tmax_rss\tcpu_time\n3600\t5\t1800\n7200\t5\tNA\n")
    found = costs.usage_of(path)
    assert (found.wall, found.cpu) == pytest.approx(
        (3.0, 2.5), rel=0.01
    )  # too short to be sampled: its wall time
    path.write_text("s\tmax_rss\tcpu_time\n44\t5\t15.5\n")
    assert costs.usage_of(path).cpu == pytest.approx(44 / 3600)  # looked at after 15.5 s for the last time
    path.write_text("s\tmax_rss\n3600\t5\n")
    assert costs.usage_of(path) == costs.Usage(1.0, None)
    path.write_text("a\tb\n1\t2\n")
    with pytest.raises(InputError, match=r"job\.tsv: no number in column s or cpu_time"):
        costs.usage_of(path)


def test_flops_of_an_encoder_by_hand() -> None:
    # Two texts of 3 and 5 tokens, 10 weights, 2 layers of width 4: 6 x 10 x 8 + 12 x 2 x 4 x (9 + 25).
    assert encoder_flops(10, 2, 4, [3, 5]) == 480 + 3264
