"""Published figures: computed as the study computes them, and every printed claim is in the ledger with what became of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml
from winnow.compare import ledger, published
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
        (c.baseline.lower(), c.arm.lower(), c.benchmark, c.metric)
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
        found = study.printed_row(row.a, row.b, row.benchmark, row.metric)
        if found is None or study.findings.get(found[0]) or found[1]["ci_upper"] in ("", "-"):
            continue
        assert row.percent_difference == pytest.approx(
            float(found[1]["percent_difference"]), abs=6e-4, rel=2e-3
        )
        assert row.ci_low == pytest.approx(float(found[1]["ci_lower"]), rel=1e-3, abs=6e-5)
        assert row.published_verdict == row.recomputed_verdict == row.raw_verdict == "not distinguishable"
        checked += 1
    assert checked >= 5


def test_a_verdict_that_raw_figures_contradict_is_told(study) -> None:
    wanted = {"size": "160M", "a": ["MiniPile"], "b": ["Density"]}
    rows = {(r.benchmark, r.metric): r for r in published.compare_published(study, "idea-3", wanted)}
    told = rows["winogrande", "acc"]
    assert (told.published_verdict, told.recomputed_verdict, told.raw_verdict) == (
        "better",
        "better",
        "not distinguishable",
    )
    assert told.findings > 0
    assert "one letter" in rows["mmlu", "acc"].notes[0]


def test_figures_that_the_notebook_prints_otherwise_are_shown(study) -> None:
    assert study.otherwise_printed("160M", "Pile Deduplicated", "winogrande", "acc") == "0.4964"  # raw .4957
    assert study.otherwise_printed("160M", "Pile Deduplicated", "arc_challenge", "acc") == ""
    assert (
        study.otherwise_printed("160M", "MiniPile", "lambada_standard", "perplexity") == ""
    )  # its last digit is cut


def test_the_study_is_not_said_to_claim_what_it_did_not_print(study) -> None:
    rows = published.compare_published(
        study, "t", {"size": "160M", "a": ["Pile Deduplicated"], "b": ["Reproduction"]}
    )
    claims = published.claims_of(rows)
    assert all(c.claim.startswith("not claimed: ") and not c.published_verdict for c in claims)
    assert all(c.verdict == "not distinguishable" for c in claims if c.p_adjusted >= 0.05)


def test_measured_figures_are_shown_beside_published_ones(study) -> None:
    wanted = {
        "size": "160M",
        "a": ["Density"],
        "b": ["k440"],
        "arms": {"Density": "e/density", "k440": "f/uniform"},
    }
    measured = {
        ("e/density", "f/uniform", "blimp", "acc"): published.Measured(
            "better", "difference", 0.1, 0.05, 0.15, 0.01, ["one", "two"]
        )
    }
    rows = published.compare_published(study, "idea-4", wanted, measured)
    claims = {(c.benchmark, c.metric): c for c in published.claims_of(rows)}
    blimp = claims["blimp", "acc"]
    assert (blimp.measured_verdict, blimp.measured_effect, blimp.source_files) == (
        "better",
        0.1,
        ["one", "two"],
    )
    assert blimp.verdict == blimp.raw_verdict == "not distinguishable"
    assert claims["mmlu", "acc"].measured_verdict == "not measured here"
    assert claims["mmlu", "acc"].measured_scale is None


def test_a_comparison_seen_from_the_other_side_is_turned() -> None:
    measured = published.Measured("better", "difference", 0.1, 0.05, 0.15, 0.01, [])
    turned = published.Measured("worse", "difference", -0.1, -0.15, -0.05, 0.01, [])
    assert measured.turned() == turned
    assert turned.turned() == measured


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
        published.main(**files, spec=spec, out=tmp_path / name)
    for ending in ("csv", "md", "tex", "html", "claims.csv", "claims.json"):
        assert (tmp_path / f"idea-3.{ending}").stat().st_size > 1000
    parts = [tmp_path / f"{name}.claims.json" for name in ("idea-3", "idea-2", "idea-3")]
    ledger.collate(claims=parts, out=tmp_path / "paper")
    whole = json.loads((tmp_path / "paper.claims.json").read_text())
    assert len(whole) == sum(len(json.loads(path.read_text())) for path in parts[:2])
    with open(tmp_path / "paper.claims.csv", newline="") as file:
        assert [row["claim"] for row in csv.DictReader(file)] == [row["claim"] for row in whole]


def test_the_ledger_takes_the_measured_claim_of_two_whatever_its_words(tmp_path: Path, study) -> None:
    """It was found again by the words "not measured here"; a reworded ledger would have lost what was measured."""
    pairs = {
        "size": "160M",
        "a": ["Density"],
        "b": ["k440"],
        "arms": {"Density": "e/density", "k440": "f/uniform"},
    }
    figures = published.Measured("better", "difference", 0.1, 0.05, 0.15, 0.01, ["one"])
    measured = {("e/density", "f/uniform", "blimp", "acc"): figures}
    for name, known in (("here", measured), ("there", {})):
        ledger.write_claims(
            tmp_path / name, published.claims_of(published.compare_published(study, name, pairs, known))
        )
    elsewhere = json.loads((tmp_path / "there.claims.json").read_text())
    for claim in elsewhere:
        claim["measured_verdict"] = "no arm of this run measures it"
    (tmp_path / "there.claims.json").write_text(json.dumps(elsewhere))
    for order in (("here", "there"), ("there", "here")):
        ledger.collate(claims=[tmp_path / f"{name}.claims.json" for name in order], out=tmp_path / "all")
        whole = json.loads((tmp_path / "all.claims.json").read_text())
        (blimp,) = [claim for claim in whole if claim["benchmark"] == "blimp"]
        assert (blimp["measured_verdict"], blimp["measured_effect"]) == ("better", 0.1)


def test_a_superseded_run_is_known_by_its_kind(study) -> None:
    """The figures behind a comparison are of the last run; which run it is was read out of the text of its source."""
    superseded = [figure for figure in study.figures if figure["kind"] == "superseded"]
    assert len(superseded) == 10
    rows = published.compare_published(study, "t", {"size": "160M", "a": ["MiniPile"], "b": ["Density"]})
    last = {(f["benchmark"], f["metric"]): f["value"] for f in study.figures if f["kind"] == "raw" and f["variant"] == "MiniPile" and f["model_size"] == "160M"}  # fmt: skip
    assert {(row.benchmark, row.metric): row.figures["a_value"] for row in rows} == {
        (row.benchmark, row.metric): float(last[row.benchmark, row.metric]) for row in rows
    }


def test_what_the_page_on_the_studies_quotes_is_what_is_computed(study, tables, root: Path) -> None:
    """docs/studies.md: the figures of the published tables, so that they cannot drift from config/published."""
    page = " ".join((root / "docs/studies.md").read_text().split())
    rows = {
        (r.a, r.b, r.benchmark, r.metric): r
        for name, table in tables.items()
        if "published" in table
        for r in published.compare_published(study, name, table["published"])
    }
    findings = sum(study.findings.values())
    assert f"Of {len(study.printed)} printed comparison rows, {len(study.findings)} hold" in page
    assert f": {findings} findings." in page
    verdicts = [r for r in rows.values() if r.published_verdict]
    confirmed = [r for r in verdicts if r.published_verdict == r.raw_verdict]
    assert f"{len(verdicts)} rows print a verdict. {len(confirmed)} follow from the raw figures." in page
    (other,) = [r for r in verdicts if r not in confirmed]
    assert (other.a, other.b, other.benchmark) == ("160M MiniPile", "160M Density", "winogrande")
    shift = other.figures["b_value"] - other.figures["a_value"]
    short = [f"{x:+.4f}".replace("0.", ".") for x in (shift, other.ci_low, other.ci_high)]
    assert f"({short[0]}, interval {short[1]} to {short[2]})" in page
    lost = [r for r in confirmed if r.raw_verdict != "not distinguishable" and r.p_adjusted >= 0.05]
    assert {(r.b, r.benchmark) for r in lost} == {
        ("160M Lossi", "lambada_openai"),
        ("160M Density", "lambada_openai"),
    }
    for row in lost:
        assert f"{row.p_adjusted:.3f}".lstrip("0") in page
    constant = {v for r in rows.values() for v in r.constant}
    assert {"Reproduction", "Lossi", "Density"} <= constant
    assert rows["160M MiniPile", "160M Density", "mmlu", "acc"].figures["b_value"] == 0.2295
