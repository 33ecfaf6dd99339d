"""Published figures: computed as the study computes them, and every printed claim is in the ledger with what became of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml
from winnow.compare import published
from winnow.stage import InputError, canonical

FILES = ("results", "comparisons")


@pytest.fixture(scope="module")
def study(root: Path) -> published.Published:
    return published.Published(*(root / f"config/published/{name}.csv" for name in FILES))


@pytest.fixture(scope="module")
def tables(root: Path) -> dict:
    return yaml.safe_load((root / "config/minipile.yaml").read_text())["tables"]


def test_every_printed_comparison_is_a_claim_of_some_table(study, tables) -> None:
    claims = {
        (c["baseline"].lower(), c["arm"].lower(), c["benchmark"], c["metric"])
        for name, table in tables.items()
        if "published" in table
        for c in published.claims_of(published.compare_published(study, name, table["published"]))
    }
    for row in study.printed:
        benchmark = published.benchmark_id(row["benchmark"])
        assert (row["a"].lower(), row["b"].lower(), benchmark, row["metric"]) in claims


def test_rows_without_findings_have_the_printed_numbers(study) -> None:
    wanted = {"size": "160M", "a": ["Density"], "b": ["k440 Density"]}
    checked = 0
    for row in published.compare_published(study, "idea-5", wanted):
        found = study.printed_row(row["a"], row["b"], row["benchmark"], row["metric"])
        if found is None or study.findings.get(found[0]) or found[1]["ci_upper"] in ("", "-"):
            continue
        assert row["percent_difference"] == pytest.approx(
            float(found[1]["percent_difference"]), abs=6e-4, rel=2e-3
        )
        assert row["ci_low"] == pytest.approx(float(found[1]["ci_lower"]), rel=1e-3, abs=6e-5)
        assert row["published_verdict"] == row["own_verdict"] == row["raw_verdict"] == "not distinguishable"
        checked += 1
    assert checked >= 5


def test_a_verdict_that_raw_figures_turn_over_is_told(study) -> None:
    wanted = {"size": "160M", "a": ["MiniPile"], "b": ["Density"]}
    rows = {(r["benchmark"], r["metric"]): r for r in published.compare_published(study, "idea-3", wanted)}
    told = rows["winogrande", "acc"]
    assert (told["published_verdict"], told["own_verdict"], told["raw_verdict"]) == (
        "better",
        "better",
        "not distinguishable",
    )
    assert told["findings"] > 0
    assert "one letter" in rows["mmlu", "acc"]["notes"][0]


def test_figures_that_the_notebook_prints_otherwise_are_shown(study) -> None:
    assert study.otherwise_printed("160M", "Pile Deduplicated", "winogrande", "acc") == "0.4964"  # raw .4957
    assert study.otherwise_printed("160M", "Pile Deduplicated", "arc_challenge", "acc") == ""
    assert (
        study.otherwise_printed("160M", "MiniPile", "lambada_standard", "perplexity") == ""
    )  # its last digit is cut


def test_no_claim_is_put_in_the_studys_mouth(study) -> None:
    rows = published.compare_published(
        study, "t", {"size": "160M", "a": ["Pile Deduplicated"], "b": ["Reproduction"]}
    )
    claims = published.claims_of(rows)
    assert all(c["claim"].startswith("not claimed: ") and not c["published_verdict"] for c in claims)
    assert all(c["verdict"] == "not distinguishable" for c in claims if c["p_adjusted"] >= 0.05)


def test_what_was_measured_stands_beside_what_was_published(study) -> None:
    wanted = {
        "size": "160M",
        "a": ["Density"],
        "b": ["k440"],
        "arms": {"Density": "e/density", "k440": "f/uniform"},
    }
    measured = {
        "baseline": "e/density", "arm": "f/uniform", "benchmark": "blimp-local", "metric": "acc", "group": None,
        "is_baseline": False, "scale": "difference", "verdict": "better", "effect": 0.1, "ci_low": 0.05, "ci_high": 0.15, "p_adjusted": 0.01,
        "_files": ["one"], "_baseline_files": ["two"],
    }  # fmt: skip
    rows = published.compare_published(study, "idea-4", wanted, [measured], {"blimp-local": "blimp"})
    claims = {(c["benchmark"], c["metric"]): c for c in published.claims_of(rows)}
    blimp = claims["blimp", "acc"]
    assert (blimp["measured_verdict"], blimp["measured_effect"], blimp["source_files"]) == (
        "better",
        0.1,
        ["one", "two"],
    )
    assert blimp["verdict"] == blimp["raw_verdict"] == "not distinguishable"
    assert claims["mmlu", "acc"]["measured_verdict"] == "not measured here"
    turned = {**wanted, "a": ["k440"], "b": ["Density"]}
    rows = published.compare_published(study, "idea-4", turned, [measured], {"blimp-local": "blimp"})
    blimp = next(row for row in rows if row["benchmark"] == "blimp")
    assert [blimp[f"measured_{key}"] for key in ("verdict", "effect", "ci_low", "ci_high")] == [
        "worse", -0.1, -0.15, -0.05,
    ]  # fmt: skip


def test_an_unknown_variant_is_named(study) -> None:
    with pytest.raises(
        InputError, match=r"no raw figures of 160M Densty; there are: Cluster-Proportionate, "
    ):
        published.compare_published(study, "x", {"size": "160M", "a": ["Densty"], "b": ["k440"]})


def test_the_command_writes_a_table_and_the_ledger_takes_each_claim_once(
    root: Path, tmp_path: Path, tables
) -> None:
    files = {name: root / f"config/published/{name}.csv" for name in FILES}
    for name in ("idea-3", "idea-2"):
        spec = canonical({"name": name, "table": tables[name]})
        published.table(**files, spec=spec, out=tmp_path / name)
    for ending in ("csv", "md", "tex", "html", "claims.csv", "claims.json"):
        assert (tmp_path / f"idea-3.{ending}").stat().st_size > 1000
    parts = [tmp_path / f"{name}.claims.json" for name in ("idea-3", "idea-2", "idea-3")]
    published.ledger(claims=parts, out=tmp_path / "paper")
    whole = json.loads((tmp_path / "paper.claims.json").read_text())
    assert len(whole) == sum(len(json.loads(path.read_text())) for path in parts[:2])
    with open(tmp_path / "paper.claims.csv", newline="") as file:
        assert [row["claim"] for row in csv.DictReader(file)] == [row["claim"] for row in whole]
