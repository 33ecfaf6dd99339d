"""Chapters of the report: what they say is what the files hold, each links to its files, and none appears without its files."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_report import SVG, Run, windows, write_csv
from winnow.report import corpora, samplers, site, training
from winnow.report.parts import linker
from winnow.stage import InputError, canonical

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>"


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.table(value), path)
    else:
        path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def shard(path: Path, first: int, sizes: list[int], groups: list[str | None]) -> Path:
    return write(path, {"doc": list(range(first, first + len(sizes))), "bytes": np.array(sizes, dtype=np.int32), "domain": groups})  # fmt: skip


def model(folder: Path, seed: int, losses: list[float], **more: Any) -> dict[str, Path]:
    manifest = {"ids": {"data_seed": seed, "training_seed": seed}, "training_tokens": 640, "epochs": 0.5, "final_loss": losses[-1],
                "spec": {"recipe": {"steps": len(losses)}}, "precision": "float32", **more}  # fmt: skip
    return {
        "models": write(folder / "manifest.json", manifest),
        "metrics": write(folder / "metrics.json", {"history": [[loss, 0.1, 1.0] for loss in losses]}),
        "timings": write(
            folder / "timings.json", {"seconds": 3.5, "device": "cpu", "targets_per_second": 200.0}
        ),
    }


class Whole(Run):
    """A run with everything that the report can show: a corpus, its samplers, trainings and profiles."""

    def __init__(self, folder: Path, group: str = "web"):
        super().__init__(folder)
        corpus = folder / "notes"
        self.files: dict[str, list[Path]] = {
            "documents": [shard(corpus / "documents/0000.parquet", 0, [3, 10, 10], [group, group, "b"]), shard(corpus / "documents/0001.parquet", 3, [100, 2_000_000], ["b", None])],
            "sources": [write(corpus / "source.json", {"rows": 6})],
            "heldout": [write(corpus / "heldout.parquet", {"doc": [0, 4], "role": ["heldout", "duplicate"]})],
            "clusters": [write(corpus / "clusterings/k/clusters.parquet", {
                "cluster": [0, 1], "documents": [2, 1], "mean_distance": [0.1, 0.2], "diversity": [0.3, 0.4],
                "excluded": [False, True], "reason": [None, f"adverts {group}"]})],
            "reviews": [write(corpus / "clusterings/k/review.html", "x")],
            "sweeps": [write(corpus / "clusterings/k/sweep.html", "x")],
            "samplers": [corpus / "compare_samplers.csv"],
            "sampler_pages": [write(corpus / "compare_samplers.html", "x")],
            "subsets": [write(corpus / "subsets/manifest.json", {
                "ids": {"sampler": "density", "clustering": "k", "budget": "few", "data_seed": 0},
                "pool": {"documents": 3, "excluded": {"clusters": 1, "heldout": 1, "used": 0}}, "removed": {"near-duplicates": 2},
                "counts": {"splits": {"train": {"documents": 2, "bytes": 20}}}})],
            "profile_facts": [write(corpus / "profile/facts.json", {"documents": 5})],
            "profile_measures": [write_csv(corpus / "profile/describe.csv", [{"of": "words", "mean": 12.5}])],
            "profile_plots": [write(corpus / f"profile/{name}.svg", SVG) for name in ("measures", "levels")],
            "profile_pages": [write(corpus / "profile/profile.html", "x")],
            "profile_cards": [write(corpus / "profile/card.md", "x")],
            "shifts": [corpus / "shift.csv"], "shift_plots": [write(corpus / "shift.svg", SVG)],
            "shift_pages": [write(corpus / "shift.html", "x")],
        }  # fmt: skip
        known = {name: "" for name in samplers.COLUMNS} | {"table": "t", "experiment": "", "pool": "3"}
        write_csv(self.files["samplers"][0], [
            known | {"kind": "reference", "a": "random draw", "b": "another random draw", "jaccard": "0.2"},
            known | {"kind": "pair", "a": "random", "b": "density", "jaccard": "0.1", "verdict": "differ"},
            known | {"kind": "pair", "a": "random", "b": "size", "jaccard": "0.9", "verdict": "hardly differ"},
        ])  # fmt: skip
        moved = {"arm": "density", "data_seed": 0, "column": "words", "measure": "standardised difference", "pool": 12.5, "drawn": 15, "value": 0.4, "p_adjusted": 0.001}  # fmt: skip
        write_csv(self.files["shifts"][0], [moved, moved | {"column": "they", "p_adjusted": 0.9}, moved | {"arm": "random", "p_adjusted": 0.5}])  # fmt: skip
        trained = [model(folder / f"models/{arm}{seed}", seed, losses) for arm, seed, losses in (("random", 0, [8.0, 4.0]), ("random", 1, [8.0, 5.0]), ("density", 0, [8.0, 8.5]))]  # fmt: skip
        for option in ("models", "metrics", "timings"):
            self.files[option] = [one[option] for one in trained]
        costs = {
            "arm": "e/random",
            "runs": 2,
            "unit": "CPU-hours",
            "selection_hours": 0.1,
            "training_hours": 0.2,
        }
        self.files |= {
            "costs": [write_csv(folder / "tables/t.costs.csv", [costs])],
            "fronts": [self.plot],
            "losses": [self.plot],
        }
        for name in ("t.tex", "t.html", "t.claims.csv", "t.costs.html"):
            write(folder / "tables" / name, "x")
        self.out = folder / "report/index.html"

    def spec(self) -> dict[str, Any]:
        corpus = {"name": "notes", "source": {"files": ["notes.jsonl"]}, "licence": None, "group": "domain", "shards": 2, "subsets": 1, "compared": True,
                  "profile": True, "clusterings": [{"name": "k", "review": True, "sweep": True}]}  # fmt: skip
        table = {"name": "t", "title": "T", "confidence": 0.95, "costs": True, "curves": False, "runs": ["e/random", "e/random", "e/density"]}  # fmt: skip
        return {"tables": [table], "corpora": [corpus], "shifts": [{"experiment": "e", "corpus": "notes"}], "profile_plots": 2, "pages": []}  # fmt: skip

    def write(self) -> str:
        site.main(tables=self.tables, claims=[self.claims], plots=[self.plot], items=self.items, spec=canonical(self.spec()),
                  out=self.out, answer_out=self.out.with_name("answer.rst"), **self.files)  # fmt: skip
        return self.out.read_text()


def section(page: str, anchor: str) -> str:
    """The text of a chapter, without its tags."""
    found = re.search(rf'<section id="{anchor}".*?</section>', page, re.S)
    assert found, anchor
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0]))


def test_the_chapter_of_a_corpus_says_what_is_out_of_it_and_why(tmp_path: Path) -> None:
    text = section(Whole(tmp_path).write(), "corpus-notes")
    assert "5 documents, of which samplers draw from 3 (60.0 %)." in text
    assert "source local files: notes.jsonl licence not stated rows of the source 6" in text
    assert "held out of every sampler, model and scorer 1 (20.0 %)" in text
    assert "removed as a duplicate of an earlier document 1 (20.0 %)" in text
    assert "3 10 10 424,625" not in text
    assert "shortest 5 % 25 % median mean 75 % 95 % longest 3 3 10 10 400,025 100 " in text
    assert "2,000,000" in text
    assert "3 values of the column domain. domain documents % b 2 40.00 web 2 40.00 (none) 1 20.00" in text
    assert "2 clusters of 3 documents. 1 is excluded, with 1 (33.3 %) documents" in text
    assert "adverts web" in text
    assert "review page" in text
    assert "Measures of the profile" in text


def test_samplers_and_trainings_have_chapters(tmp_path: Path) -> None:
    page = Whole(tmp_path).write()
    text = section(page, "samplers-notes")
    assert "Table t: density differs from random; hardly different from random: size." in text
    assert "out: clusters out: heldout training documents" in text
    assert "out: used" not in text
    text = section(page, "training-t")
    assert "3 models of 2 arms were trained. 1 did not learn, their loss did not fall: density (data seed 0/0)." in text  # fmt: skip
    assert "random 2 2 640 0.5000 8.0000 4.5000 [4.0000, 5.0000] 200" in text
    text = section(page, "shifts-e")
    assert (
        "density differs from random draws in 1 of 2 measures. No measure of the draws of random differs"
        in text
    )
    assert "recipe.steps 2 3" in section(page, "provenance")


def test_every_link_of_every_chapter_exists_and_every_anchor_once(tmp_path: Path) -> None:
    page = Whole(tmp_path).write()
    links = re.findall(r'href="([^"#]+)"', page)
    assert {
        "../notes/heldout.parquet",
        "../notes/clusterings/k/review.html",
        "../models/random1/metrics.json",
    } <= set(links)
    assert [link for link in links if not (tmp_path / "report" / link).exists()] == []
    anchors = re.findall(r'<(?:section|nav) id="([^"]+)"', page)
    assert set(re.findall(r'href="#([^"]+)"', page)) == set(anchors)
    assert len(set(anchors)) == len(anchors)


def test_a_run_without_them_has_no_such_chapters_and_no_dead_links(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for ending in ("tex", "html", "claims.csv"):
        (tmp_path / f"tables/t.{ending}").write_text("x")
    page = run.page()
    assert re.findall(r'<section id="([^"]+)"', page) == ["table-t", "provenance"]
    assert all((tmp_path / "report" / link).exists() for link in re.findall(r'href="([^"#]+)"', page))


def test_texts_of_a_corpus_are_text(tmp_path: Path) -> None:
    page = Whole(tmp_path, HOSTILE).write()
    assert "<script>alert" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 2


def test_unknown_keys_of_a_manifest_are_shown_and_missing_ones_are_not_needed(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    known = model(folder, 0, [3.0, 2.0], provenance={"host": "node7", "commit": "abc"}, ids={})
    write(known["timings"], {})
    models = training.read(["e/a"], *([known[option]] for option in ("models", "metrics", "timings")))
    part = training.settings(models, linker(tmp_path / "report/index.html"))
    assert part is not None
    assert ("provenance.host", "node7", "1") in [tuple(cell.text for cell in row) for row in part.rows]
    assert training.chapter("t", "T", models, SVG, ("costs", "c.html"), linker(tmp_path / "x")).parts[1].rows


def test_settings_with_a_value_of_their_own_for_each_model_stay_one_line(tmp_path: Path) -> None:
    files = [
        model(tmp_path / str(seed), seed, [3.0, 2.0], provenance={"started": seed}) for seed in range(20)
    ]
    models = training.read(
        ["e/a"] * 20, *([one[option] for one in files] for option in ("models", "metrics", "timings"))
    )
    part = training.settings(models, linker(tmp_path / "x"))
    assert part is not None
    lines = [[cell.text for cell in row] for row in part.rows if row[0].text == "provenance.started"]
    assert lines == [["provenance.started", "20 different values", ""]]


def test_quantiles_of_lengths_are_those_of_all_documents() -> None:
    sizes = np.random.default_rng(0).integers(1, 5000, 1001).astype(np.int32)
    lengths = corpora.Lengths()
    for part in np.array_split(sizes, 4):
        lengths.add(part)
    for q in (0.05, 0.5, 0.95):
        assert lengths.quantile(q) == np.quantile(sizes, q, method="inverted_cdf")
    assert (lengths.quantile(0), lengths.quantile(1)) == (sizes.min(), sizes.max())


def test_a_column_of_ever_different_values_is_none_of_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "DIFFERENT", 3)
    shards = [shard(tmp_path / f"{i}.parquet", 0, [1, 1], [f"url {i}", f"page {i}"]) for i in range(4)]
    lengths, groups = corpora.measure(shards, "domain")
    assert (lengths.documents, dict(groups)) == (8, {})
    assert corpora.measure(shards[:1], "domain")[1] == {"url 0": 1, "page 0": 1}


def test_a_corpus_without_documents_or_clusters_has_a_chapter(tmp_path: Path) -> None:
    shards = [shard(tmp_path / "notes/documents/0000.parquet", 0, [], pa.array([], pa.string()))]
    heldout = write(
        tmp_path / "notes/heldout.parquet",
        {"doc": pa.array([], pa.int64()), "role": pa.array([], pa.string())},
    )
    columns = {"cluster": pa.int32(), "documents": pa.int64(), "mean_distance": pa.float64(), "diversity": pa.float64(), "excluded": pa.bool_(), "reason": pa.string()}  # fmt: skip
    clusters = write(
        tmp_path / "clusters.parquet", {name: pa.array([], kind) for name, kind in columns.items()}
    )
    source = write(tmp_path / "notes/source.json", {"rows": 0})
    corpus = {"name": "notes", "source": {"generator": "g"}, "licence": "CC0-1.0", "group": "domain"}
    link = linker(tmp_path / "report/index.html")
    chapter = corpora.chapter(corpus, source, shards, heldout, [("k", clusters, None, None)], [], link)
    assert chapter.answer == ["0 documents, of which samplers draw from 0."]
    assert "0 clusters of 0 documents. None is excluded." in chapter.parts[2].notes


def test_files_that_the_spec_does_not_name_end_in_one_line(tmp_path: Path) -> None:
    run = Whole(tmp_path)
    run.files["reviews"] = []
    with pytest.raises(InputError, match="--reviews: 0 files; the spec names 1"):
        run.write()


@pytest.mark.browser
def test_all_chapters_in_a_browser_are_reached_by_keyboard_and_fit_the_window(tmp_path: Path) -> None:
    run = Whole(tmp_path)
    run.write()
    kinds = [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)]
    with windows(run.out, *kinds) as each:
        for (scheme, width), (page, axe) in zip(kinds, each, strict=True):
            for one in page.locator("nav a").all():
                page.keyboard.press("Tab")
                assert one.evaluate("link => link === document.activeElement")
            page.locator("nav a", has_text="Provenance").focus()
            page.keyboard.press("Enter")
            assert page.evaluate("location.hash") == "#provenance"
            page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
            assert axe.run(page).response["violations"] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.emulate_media(media="print")
            assert (
                page.evaluate("getComputedStyle(document.querySelector('figure svg')).color")
                == "rgb(0, 0, 0)"
            )
            assert page.locator("nav").is_hidden()
            if shots := os.environ.get("WINNOW_SCREENSHOTS"):
                page.emulate_media(media="screen")
                page.screenshot(path=f"{shots}/report-{scheme}-{width}.png", full_page=True)


def test_samplers_that_have_no_baseline_are_compared_without_a_verdict() -> None:
    row = {
        **dict.fromkeys(samplers.COLUMNS, ""),
        "a": "random",
        "b": "size",
        "jaccard": "0.25",
        "kind": "pair",
    }
    head, body = samplers.table([row, {**row, "b": "random", "kind": "reference"}])
    assert head == ["arm", "compared with", "overlap"]
    assert [[cell.text for cell in line] for line in body] == [["size", "random", "0.2500"], ["random", "random", "0.2500"]]  # fmt: skip
