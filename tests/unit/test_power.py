"""Power: the seeds that a plan asks for give the power that it promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.compare import power
from winnow.compare.power import TableRow
from winnow.compare.statistics import compare_samplers, difference_variances
from winnow.csv_files import write_rows
from winnow.stage import InputError

VARIANCES = {"var_seed": 4e-4, "var_item": 0.0, "var_residual": 0.2}


def test_the_seeds_of_a_plan_find_the_gap_as_often_as_promised() -> None:
    items, gap = 400, 0.04
    seeds = power.seeds_needed(VARIANCES, items, gap)
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
    few, many = (power.seeds_needed(variances, 500, size) for size in (2 * gap, gap))
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


ROW = TableRow("e/b", "bpb", "bits_per_byte", "lower", "all items", "difference", "headline", 1.9, 500, 0.1,
               {"var_seed": 0.0001, "var_item": 0.0002, "var_residual": 0.1}, {}, None)  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table's CSV with one tested row."""
    cells = {**{name: None for name in power.NUMBERS}, **vars(ROW), **(ROW.variances or {})}
    write_rows(tmp_path / "t.csv", [cells], (*power.TEXTS, *power.NUMBERS))
    return tmp_path / "t.csv"


def test_the_table_is_read_as_it_is_written_and_a_bad_cell_is_named(table: Path) -> None:
    (row,) = power.read_table(table)
    assert replace(row, consumed={}) == ROW
    table.write_text(table.read_text().replace("500", "many"))
    with pytest.raises(InputError, match=r"t\.csv: row 1: items is 'many'; it must be a number"):
        power.read_table(table)
    table.write_text("arm,benchmark\na,b\n")
    with pytest.raises(InputError, match=r"t\.csv: no column 'metric'"):
        power.read_table(table)


def test_a_plan_can_be_asked_for_another_model(table: Path, capsys: pytest.CaptureFixture) -> None:
    power.power(table=table, hours_a_run=10, gap=0.05)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "bits_per_byte" in line]
    cells = [cell.strip() for cell in line.split("|")]
    assert float(cells[6].replace(",", "")) == 2 * int(cells[5]) * 10
    for wrong in ({"gap": -1.0}, {"gap": float("nan")}, {"hours_a_run": -3.0}, {"hours_a_run": float("inf")}):
        with pytest.raises(InputError, match="is not a number above 0"):
            power.power(table=table, **wrong)
    with pytest.raises(InputError, match=r"none\.csv: No such file"):
        power.power(table=table.with_name("none.csv"))


def test_the_hours_of_a_shipped_model_are_its_flops_over_the_gpus(
    table: Path, capsys: pytest.CaptureFixture
) -> None:
    models = Path(__file__).parents[2] / "config" / "models.yaml"
    weights = 12 * 12 * 768**2 + 768 * 50304
    flops = 6 * weights + 6 * 12 * 768 * 2048
    hours = power.model_hours(models, "pythia-160m", "H100")
    assert hours == pytest.approx(1.5e9 * flops / (0.35 * 989e12) / 3600)
    assert hours < power.model_hours(models, "pythia-1.4b", "H100")
    power.power(table=table, model="pythia-160m", models=models, gap=0.05)
    assert "GPU-hours per run" in capsys.readouterr().out
    with pytest.raises(InputError, match="has no language model 'nano'; there are: neox-nano"):
        power.model_hours(models, "nano", "H100")
    with pytest.raises(InputError, match="is not one of H200"):
        power.model_hours(models, "pythia-160m", "TPU")
    with pytest.raises(InputError, match="both set the hours of a run"):
        power.power(table=table, model="pythia-160m", models=models, hours_a_run=1)


def test_nothing_is_promised_where_no_spread_was_measured() -> None:
    row = replace(ROW, variances=dict.fromkeys(power.VARIANCES, 0.0), p=None, family="")
    (planned,) = power.plan([row], 1.0, (0.01,))
    assert (planned.seeds, planned.seeds_in_table, planned.minimum_detectable_effect_of_items) == (None, None, None)  # fmt: skip
    (line,) = power.power_table([planned])[1]
    assert power.NO_SPREAD in line
    assert "none measured" in line


def test_a_table_of_many_tests_needs_more_seeds_than_one_test() -> None:
    row = replace(
        ROW, variances={"var_seed": 0.0004, "var_item": -0.1, "var_residual": 0.2}, items=400, p=0.3
    )
    alone, many = (power.plan([row, *[row] * n], 1.0, (0.04,))[0] for n in (0, 49))
    assert alone.seeds == alone.seeds_in_table == many.seeds < many.seeds_in_table
    group = replace(row, scope="group", family="groups")
    assert power.plan([row, *[group] * 49], 1.0, (0.04,)) == [alone]  # tests of groups are another family
