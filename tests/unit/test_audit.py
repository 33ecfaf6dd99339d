"""The audit of published comparisons: every planted error is found, and rounding is no error."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from winnow.compare import audit
from winnow.stage import InputError

PUBLISHED = Path(__file__).parents[2] / "config" / "published"

ROW = {
    "section": "Idea 9", "a": "160M MiniPile", "b": "160M Low Density", "benchmark": "WinoGrande", "metric": "acc",
    "direction": "up", "a_value": "0.4720", "a_stderr": "0.0140", "b_value": "0.5201", "b_stderr": "0.0140",
    "bold": "b", "percent_difference": "10.1907", "ci_upper": "0.0869", "ci_lower": "0.0093",
    "interpretation": "Low Density better",
}  # fmt: skip
DOWN = {
    **ROW, "benchmark": "Lambada (Std)", "metric": "perplexity", "direction": "down",
    "a_value": "2710040.1910", "a_stderr": "288926.5827", "b_value": "2116445.1732", "b_stderr": "175403.0579",
    "percent_difference": "-21.9036", "ci_upper": "68887.3102", "ci_lower": "-1256077.3458",
    "interpretation": "Difference not significant",
}  # fmt: skip


def raw_of(row: dict[str, str], **changes: str) -> list[dict[str, str]]:
    """Raw figures that agree with a row; `changes` are to its inputs."""
    row = {**row, **changes}
    return [
        {"model_size": "160M", "variant": row[side][5:], "benchmark": audit.benchmark_id(row["benchmark"]),
         "metric": row["metric"], "direction": row["direction"], "value": row[f"{side}_value"],
         "stderr": row[f"{side}_stderr"], "kind": "raw", "source": f"table of {side}"}
        for side in "ab"
    ]  # fmt: skip


def fields(row: dict[str, str], raw: list[dict[str, str]] | None = None) -> list[str]:
    return [f["field"] for f in audit.audit([row], raw_of(row) if raw is None else raw)[0]]


@pytest.mark.parametrize("row", [ROW, DOWN])
def test_a_right_row_has_no_finding(row):
    assert fields(row) == []


@pytest.mark.parametrize(
    ("row", "field", "wrong"),
    [
        (ROW, "percent_difference", "10.9107"),
        (ROW, "percent_difference", "-10.1907"),
        (ROW, "ci_upper", "0.0896"),
        (ROW, "ci_lower", "0.093"),
        (ROW, "ci_lower", "-0.0093"),
        (ROW, "bold", "a"),
        (ROW, "bold", ""),
        (ROW, "interpretation", "Difference not significant"),
        (ROW, "interpretation", "MiniPile better"),
        (DOWN, "bold", "a"),
        (DOWN, "percent_difference", "-21.9063"),
        (DOWN, "ci_upper", "68887.3202"),
        (DOWN, "interpretation", "Low Density severely better"),
    ],
)
def test_a_planted_error_is_found_alone_and_by_its_field(row, field, wrong):
    assert fields({**row, field: wrong}) == [field]


@pytest.mark.parametrize("field", audit.INPUTS)
@pytest.mark.parametrize("row", [ROW, DOWN])
def test_an_input_that_is_not_the_raw_value_is_found(row, field):
    other = f"{float(row[field]) * 1.02:.4f}"
    found, _ = audit.audit([row], raw_of(row, **{field: other}))
    assert found[0]["field"] == field
    assert found[0]["expected"] == other


def test_padded_zeros_are_rounding_and_a_last_digit_is_not():
    assert fields(DOWN, raw_of(DOWN, a_value="2710040.1909")) == []
    assert fields(ROW, raw_of(ROW, a_stderr="0.0141")) == ["a_stderr"]


def test_a_superseded_run_is_named_and_the_verdict_it_carried_falls():
    earlier = [{**r, "kind": audit.SUPERSEDED, "source": "another table"} for r in raw_of(ROW)][:1]
    raw = earlier + raw_of(ROW, a_value="0.4933", a_stderr="0.0141")
    found, _ = audit.audit([ROW], raw)
    assert [f["field"] for f in found] == ["a_value", "a_stderr", "interpretation"]
    assert "superseded" in found[0]["why"]
    assert found[2]["expected"] == "Difference not significant"


def test_an_unknown_percentage_of_zero_and_missing_bounds_are_no_errors():
    zero = dict.fromkeys(("a_value", "a_stderr", "b_value", "b_stderr"), "0.0000")
    rest = {"bold": "", "ci_upper": "", "ci_lower": "", "interpretation": "-"}
    for percent in ("-", "0.0000"):
        assert fields({**ROW, **zero, **rest, "percent_difference": percent}) == []


def test_a_wrong_direction_is_found():
    """And nothing is found that holds only if the row is read the wrong way round."""
    assert fields({**DOWN, "direction": "up"}, raw_of(DOWN)) == [*fields(DOWN, raw_of(DOWN)), "direction"]


def test_files_that_cannot_be_read_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: No such file"):
        audit.read_rows(tmp_path / "none.csv", ("a",))
    (tmp_path / "latin.csv").write_bytes(b"a\n\xe9\n")
    with pytest.raises(InputError, match=r"latin\.csv: byte 2 is not UTF-8"):
        audit.read_rows(tmp_path / "latin.csv", ("a",))
    with pytest.raises(InputError, match="row 1: direction is 'Up'; it must be up or down"):
        audit.check_directions(tmp_path / "x.csv", [{**ROW, "direction": "Up"}])


def test_rows_without_raw_figures_are_noted():
    found, notes = audit.audit([ROW], [])
    assert found == []
    assert len(notes) == 2


@pytest.mark.parametrize("digits", [3, 4])
def test_what_was_computed_before_rounding_is_never_an_error(digits):
    generator = np.random.default_rng(1)
    for _ in range(300):
        a, b = generator.uniform(0.15, 0.8, 2)
        se = generator.uniform(0.001, 0.02, 2)
        half = 1.96 * np.hypot(*se)
        low, high = b - a - half, b - a + half
        side = "" if low <= 0 <= high else "Low Density better" if low > 0 else "MiniPile better"
        texts = {
            "a_value": a, "b_value": b, "a_stderr": se[0], "b_stderr": se[1], "ci_upper": high, "ci_lower": low,
            "percent_difference": 100 * (b - a) / a,
        }  # fmt: skip
        row = {
            **ROW, **{key: f"{value:.{digits}f}" for key, value in texts.items()},
            "bold": "b" if b > a else "a", "interpretation": side or "Difference not significant",
        }  # fmt: skip
        assert fields(row) == [], row


def test_bad_files_are_refused_by_column_and_row(tmp_path):
    def write(name: str, rows: list[dict[str, str]]) -> Path:
        with open(tmp_path / name, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path / name

    results = write("results.csv", raw_of(ROW))
    with pytest.raises(InputError, match=r"bad\.csv: row 1: a_value is 'x'; it must be a number"):
        audit.command(write("bad.csv", [{**ROW, "a_value": "x"}]), results, tmp_path / "out.csv")
    with pytest.raises(InputError, match=r"no column 'section'"):
        audit.command(results, results, tmp_path / "out.csv")
    audit.command(write("good.csv", [ROW, {**ROW, "bold": "a"}]), results, tmp_path / "out.csv")
    (found,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert tuple(found) == audit.FIELDS
    assert (found["row"], found["field"], found["printed"], found["expected"]) == ("2", "bold", "a", "b")


def test_the_published_comparisons_have_these_errors(tmp_path):
    audit.command(PUBLISHED / "comparisons.csv", PUBLISHED / "results.csv", tmp_path / "out.csv")
    rows = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert [(int(row["row"]), row["field"]) for row in rows] == [
        (2, "a_value"), (2, "a_stderr"), (3, "a_value"), (4, "a_value"), (4, "a_stderr"), (19, "ci_lower"),
        (20, "a_value"), (20, "a_stderr"), (21, "a_value"), (22, "a_value"), (22, "a_stderr"),
        (22, "interpretation"), (26, "b_stderr"), (35, "b_stderr"), (39, "b_value"),
        (42, "percent_difference"), (44, "a_stderr"), (45, "b_stderr"), (49, "bold"), (53, "a_stderr"),
        (62, "a_stderr"),
    ]  # fmt: skip
