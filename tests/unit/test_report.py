"""The report: what stands first is what the tables' tests say, figures lead to their files, and nothing in a name is run."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.report import site
from winnow.report.answers import BETTER, EQUAL, LITTLE, SAME, WORSE, answer_of, of_run
from winnow.report.flips import flips
from winnow.stage import InputError, canonical

SVG = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"></svg>'


def row(arm: str, verdict: str, **more: Any) -> dict[str, Any]:
    known = {"arm": f"e/{arm}", "baseline": "e/random", "label": arm, "baseline_label": "random", "is_baseline": False, "benchmark": "b", "metric": "acc", "group": None,
             "figure": 0.7, "effect": 0.02, "p_adjusted": 0.01, "ci_low": 0.01, "ci_high": 0.03, "seeds": 3.0, "verdict": verdict,
             "minimum_detectable_effect_family": 0.008, "detectable_family": True}  # fmt: skip
    return {**known, **more}


def test_the_answer_names_what_is_better_and_what_the_rest_could_have_shown() -> None:
    rows = [row("good", BETTER), row("bad", WORSE, effect=-0.05, p_adjusted=0.02), row("even", SAME, effect=0.002, p_adjusted=0.8)]  # fmt: skip
    first, second = answer_of(rows)
    assert first.startswith("good is better than random (good on b: +0.0200, adjusted p 0.0100)")
    assert "bad is worse than random (bad on b: −0.0500, adjusted p 0.0200)" in first
    assert second == (
        "The other tested comparison with random shows no difference. With 3 seeds an arm, a difference of 0.0080 on b (acc) "
        "would have been detected with 80 % power; the largest seen is 0.0020."
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("a", SAME), row("b", SAME)], "Both tested comparisons with random show no difference."),
        ([row("a", SAME), row("b", SAME), row("c", SAME)], "All 3 tested comparisons with random show no difference."),
        ([row("a", SAME, detectable_family=False)], "more seeds are needed"),
        ([row("a", SAME, detectable_family=False), row("b", SAME)], "a difference of 0.0080 on b"),
        ([row("a", SAME, interval="items", items=1200.0, seeds=1.0)], "With 1,200 items, a difference of 0.0080 on b (acc)"),
        ([row("a", SAME, interval="seeds and items", scale="log ratio")], "With 3 seeds an arm, a difference of 0.0080 (log ratio) on b"),
        ([row("a", LITTLE, seeds=1.0)], "Too little data to compare a with random: 1 data seed an arm."),
        ([row("a", LITTLE, seeds=1.0, lacking="few seeds")], "Too little data to compare a with random: 1 data seed an arm."),
        ([row("a", LITTLE, seeds=None, lacking="few items")], "Too little data to compare a with random: few items."),
        ([row("a", EQUAL)], "a has the same models as random"),
        ([], "Nothing is compared"),
        ([row("g", BETTER, group="x")], "Nothing is compared"),
    ],
)  # fmt: skip
def test_an_answer_claims_no_more_than_its_verdicts(rows: list[dict[str, Any]], expected: str) -> None:
    sentences = answer_of(rows)
    assert expected in " ".join(sentences)
    assert "is better" not in " ".join(sentences)
    assert 1 <= len(sentences) <= 2


def test_nothing_is_said_of_power_that_is_not_known() -> None:
    unknown = row("a", SAME, detectable_family=None, minimum_detectable_effect_family=None)
    assert answer_of([unknown]) == ["The one tested comparison with random shows no difference."]


def test_the_run_is_summed_over_all_tables() -> None:
    tables = [("A", [row("good", BETTER), row("x", LITTLE)]), ("B", [row("good", SAME)])]
    assert of_run(tables) == [
        "Better than the baseline: good (A).",
        "Of 3 comparisons in 2 tables: 1 better, 1 not distinguishable, 1 with too little data.",
    ]
    assert (
        of_run([("A", [row("x", SAME)])])[0]
        == "No sampler of this run is shown to be better than its baseline."
    )
    both = [("A", [row("good", BETTER), row("bad", WORSE)]), ("B", [row("bad", WORSE)])]
    assert of_run(both)[0] == "Better than the baseline: good (A); worse: bad (A); bad (B)."
    assert (
        of_run(both[1:])[0]
        == "No sampler of this run is shown to be better than its baseline; worse: bad (B)."
    )
    assert of_run([]) == ["No table of this run compares samplers."]


def items(path: Path, right: list[float], benchmark: str = "b", **more: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(right)
    columns = {
        "benchmark": [benchmark] * count,
        "item": list(range(count)),
        "group": ["g"] * count,
        "metric": ["acc"] * count,
    }
    pq.write_table(pa.table({**columns, "value": right, **more}), path)
    return path


def test_an_item_changes_where_most_models_of_the_arms_answer_otherwise(tmp_path: Path) -> None:
    ours = [items(tmp_path / f"a{i}.parquet", values) for i, values in enumerate([[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 0]])]  # fmt: skip
    theirs = [items(tmp_path / "b.parquet", [0, 1, 1, 1])]
    found = flips(ours, theirs, "b", "acc")
    assert found is not None
    assert (found.items, found.gained, found.lost) == (4, 1, 1)
    assert found.largest[0] == (0, "g", 1.0, 0.0)
    assert flips(ours, theirs, "b", "bits_per_byte") is None
    assert flips(ours, theirs, "other", "acc") is None


def test_of_rounds_the_last_one_counts(tmp_path: Path) -> None:
    both = items(tmp_path / "r.parquet", [0, 0], round=[1, 1])
    later = (
        pq.read_table(both)
        .set_column(5, "round", pa.array([2, 2]))
        .set_column(4, "value", pa.array([1.0, 1.0]))
    )
    pq.write_table(pa.concat_tables([pq.read_table(both).cast(later.schema), later]), both)
    found = flips([both], [items(tmp_path / "b.parquet", [0, 1])], "b", "acc")
    assert found is not None
    assert (found.gained, found.lost) == (1, 0)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for one in rows:
            writer.writerow(
                {k: "" if v is None else str(v).lower() if isinstance(v, bool) else v for k, v in one.items()}
            )
    return path


class Run:
    """A table `t` with one arm against random, as files."""

    def __init__(self, folder: Path, verdict: str = SAME, title: str = "T"):
        self.folder = folder
        (folder / "tables").mkdir()
        base = row(
            "random",
            "",
            is_baseline=True,
            effect=None,
            p_adjusted=None,
            ci_low=None,
            ci_high=None,
            figure=0.68,
            percent_difference=None,
        )
        self.tables = [
            write_csv(folder / "tables/t.csv", [base, row("arm", verdict, percent_difference=2.9)])
        ]
        ours, theirs = (
            items(folder / "models/a/items.parquet", [1, 1]),
            items(folder / "models/r/items.parquet", [0, 1]),
        )
        claim = {"arm": "e/arm", "benchmark": "b", "metric": "acc", "group": None, "kind": "measured",
                 "figure_files": [str(ours)], "baseline_files": [str(theirs)], "source_files": []}  # fmt: skip
        self.claims = folder / "tables/t.claims.json"
        self.claims.write_text(json.dumps([claim]))
        self.plot = folder / "tables/t.svg"
        self.plot.write_text(SVG)
        self.items, self.title = [ours, theirs], title

    def page(self, with_curves: bool = False, **more: Any) -> str:
        spec = {
            "tables": [
                {
                    "name": "t",
                    "title": self.title,
                    "confidence": 0.9,
                    "costs": False,
                    "curves": with_curves,
                    "runs": [],
                }
            ],
            "corpora": [],
            "shifts": [],
            "profile_plots": 2,
            "pages": [],
        }
        out = self.folder / "report/index.html"
        site.main(
            tables=self.tables,
            claims=[self.claims],
            plots=[self.plot],
            items=self.items,
            spec=canonical(spec),
            out=out,
            answer_out=out.with_name("answer.rst"),
            **more,
        )
        return out.read_text()


def test_every_figure_leads_to_its_files_and_every_link_exists(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for ending in ("tex", "html", "claims.csv"):
        (tmp_path / f"tables/t.{ending}").write_text("x")
    text = run.page()
    links = re.findall(r'href="([^"#]+)"', text)
    assert "../models/a/items.parquet" in links
    assert all((tmp_path / "report" / link).exists() for link in links)
    assert "of 2 items 1 became right and 0 wrong" in text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


def test_names_are_text_and_never_run(tmp_path: Path) -> None:
    text = Run(tmp_path, title="</script><script>alert(1)</script><img src=x onerror=alert(1)>").page()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("<script>") == 1


def test_the_front_page_of_snakemakes_report_says_the_same_first_things(tmp_path: Path) -> None:
    core = pytest.importorskip("docutils.core")
    hostile = "T *x* |y| `z`_ \\ .. raw:: html\n\n   <script>alert(1)</script>\n{{ 1 / 0 }} "
    run = Run(tmp_path, BETTER, hostile)
    page = run.page()
    rst = (tmp_path / "report/answer.rst").read_text()
    settings = {"halt_level": 2, "report_level": 2}
    html = core.publish_parts(rst, writer="html", settings_overrides=settings)["html_body"]
    assert "Which few documents of a corpus are worth training on" in html
    for sentence in re.findall(r'<p class="answer">(.*?)</p>', page):
        assert sentence.split(" (")[0] in re.sub(r"\s+", " ", html)
    assert re.search(r"<td>arm</td>\s*<td>b acc</td>", html)
    assert "▲ better</td>" in html
    assert "<script" not in html
    assert "{{ 1 / 0 }}" in html


def test_a_legend_stands_by_the_table_with_the_verdicts_that_it_has(tmp_path: Path) -> None:
    text = Run(tmp_path, WORSE).page()
    legend = re.findall(r"<dt>(.*?)</dt>", text)
    assert legend == ["▼ worse"]


def test_a_table_with_rounds_is_headed_by_the_test_of_the_whole_curve(tmp_path: Path) -> None:
    base = row("random", "", is_baseline=True, effect=None, p_adjusted=None, ci_low=None, ci_high=None)
    without = ("minimum_detectable_effect_family", "detectable_family")
    areas = [
        {k: v for k, v in one.items() if k not in without} for one in (base, row("arm", WORSE, effect=-0.04))
    ]
    labels = [{"benchmark": "b", "arm": "e/arm", "labels": 100, "accuracy": 0.5}, {"benchmark": "b", "arm": "e/arm", "labels": 200, "accuracy": 0.6}]  # fmt: skip
    text = Run(tmp_path).page(
        True,
        areas=[write_csv(tmp_path / "tables/t.curves.areas.csv", areas)],
        curves=[write_csv(tmp_path / "tables/t.curves.csv", labels)],
        curve_plots=[tmp_path / "tables/t.svg"],
    )
    assert "Of 1 comparisons in 1 table: 1 worse." in text
    assert "arm is worse than random" in text
    assert '<th scope="col">200 labels</th>' in text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(InputError, match="--areas: 0 files; the spec names 1"):
        run.page(True, curves=run.tables, curve_plots=[run.plot])
    run.plot.write_text("no plot")
    with pytest.raises(InputError, match=r"t\.svg: no SVG"):
        run.page()


@contextmanager
def windows(page: Path, *kinds: tuple[str, int]) -> Iterator[Iterator[tuple[Any, Any]]]:
    """The page in a window of each kind (colour scheme and width), and axe for it. At the end no error was on a console, and no
    request went off the page."""
    api = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    program = os.environ.get("WINNOW_CHROMIUM") or shutil.which("chromium")
    if not program:
        pytest.skip("no chromium (apt-get install chromium, or WINNOW_CHROMIUM)")
    problems: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])

        def each() -> Iterator[tuple[Any, Any]]:
            for scheme, width in kinds:
                viewport = {"width": width, "height": 900}
                window = browser.new_context(
                    viewport=viewport, color_scheme=scheme, bypass_csp=True
                ).new_page()
                window.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
                window.on("request", lambda r: problems.append(r.url) if r.url != page.as_uri() else None)
                window.goto(page.as_uri())
                yield window, axe.Axe()

        yield each()
        browser.close()
    assert problems == []


@pytest.mark.browser
def test_the_report_in_a_browser_sorts_loads_nothing_and_is_accessible(tmp_path: Path) -> None:
    run = Run(tmp_path)
    rows = [
        row(name, SAME, percent_difference=0.1, figure=figure)
        for name, figure in (("b", 0.9), ("a", 0.7), ("c", 0.8))
    ]
    nothing = dict.fromkeys(("effect", "p_adjusted", "ci_low", "ci_high", "percent_difference"))
    write_csv(run.tables[0], [row("random", "", is_baseline=True, **nothing), *rows])
    run.page()
    with windows(tmp_path / "report/index.html", ("light", 1280), ("dark", 400)) as each:
        for page, axe in each:
            assert axe.run(page).response["violations"] == []
            names = page.locator("table.sortable tbody tr td:first-child")
            p_values = page.locator("table.sortable thead button", has_text="p (adjusted)")
            assert p_values.is_hidden()
            page.get_by_role("button", name="Show p-values and power").press("Enter")
            assert p_values.is_visible()
            assert axe.run(page).response["violations"] == []
            page.locator("table.sortable thead button", has_text="figure").click()
            assert names.all_inner_texts() == ["a", "c", "b"]
            page.locator("table.sortable thead button", has_text="figure").click()
            assert names.all_inner_texts() == ["b", "c", "a"]


def test_arms_of_several_experiments_keep_their_names_and_the_interval_its_confidence(tmp_path: Path) -> None:
    run = Run(tmp_path)
    base = row("random", "", is_baseline=True, effect=None, p_adjusted=None, ci_low=None, ci_high=None)
    write_csv(run.tables[0], [base, row("arm", SAME), row("arm", BETTER) | {"arm": "large/arm"}])
    text = run.page()
    assert ">large/arm</td>" in text
    assert ">e/arm</td>" in text
    assert "large/arm is better than e/random" in text
    assert ">90 % interval<" in text
