"""What goes together in a corpus, what is flagged, and the sections of the page that say so."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.pages import html_page, markdown
from winnow.profile import associate, page, plots, sections
from winnow.profile.describe import condition, measure_files, suits_all
from winnow.profile.flags import SORT_BY
from winnow.profile.kinds import facts
from winnow.profile.lexicon import GROUPS
from winnow.profile.tables import ASSOCIATIONS, TABLES
from winnow.stage import InputError

FAMILIES = ["reading", "levels", "lexicon", "emotions"]
N = 240
LEVELS = facts("reading").levels["reading_level"]


def corpus(folder: Path, shards: int, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Documents and measures in which stories whose prompt has BadEnding are sad and flagged, most of the time."""
    rng = np.random.default_rng(seed)
    doc = np.arange(N) * 100
    bad = rng.random(N) < 0.4
    sad = np.where(rng.random(N) < 0.8, bad, ~bad)
    feature = [["BadEnding", "twist"] if b else ["Dialogue "] for b in bad]
    words = [["sad", "dog", "sad"] if i % 4 == 0 else ["dog"] if i % 4 == 1 else [] for i in range(N)]
    text = [
        f"Story {i} <b>begins</b>. " + "word " * (60 if i % 2 else 1) + f"The end of {i}." for i in range(N)
    ]
    place = rng.integers(0, len(LEVELS), N)
    other = np.where(rng.random(N) < 0.7, place, rng.integers(0, len(LEVELS), N))
    level = [None if i % 10 == 0 else LEVELS[p] for i, p in enumerate(place)]
    columns: dict[str, dict[str, Any]] = {
        "reading": {"reading_level": pa.array(level, pa.string()), "reading_grade": place.astype(np.float32)},
        "levels": {"level_zero_shot": [LEVELS[p] for p in other]},
        "emotions": {"emotion": ["sadness" if s else "joy" for s in sad], "emotion_probability": rng.random(N).astype(np.float32)},
        "lexicon": {"flag_evidence": ["violence: gun" if s else None for s in sad], "valence_end": rng.random(N).astype(np.float32)},
    }  # fmt: skip
    for group in GROUPS:
        columns["lexicon"][f"{group}_words"] = rng.integers(0, 3, N).astype(np.int32)
        columns["lexicon"][f"{group}_rate"] = rng.integers(0, 30, N).astype(np.float32)
    for flag in SORT_BY:
        columns["lexicon"][flag] = sad.astype(np.int32)
    edges = [round(N * part / shards) for part in range(shards + 1)]
    documents, measures = [], []
    table = pa.table({"doc": doc, "text": text, "words": words, "features": feature})
    for shard, (low, high) in enumerate(itertools.pairwise(edges)):
        documents.append(folder / f"{shard}.parquet")
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(low, high - low), documents[-1])
    for family in FAMILIES:
        of_family = pa.table({"doc": doc, **columns[family]})
        for shard, (low, high) in enumerate(itertools.pairwise(edges)):
            measures.append(folder / family / f"{shard}.parquet")
            measures[-1].parent.mkdir(exist_ok=True)
            pq.write_table(of_family.slice(low, high - low), measures[-1])
    return documents, measures


def run(folder: Path, shards: int = 1, prompts: bool = True) -> dict[str, bytes]:
    documents, measures = corpus(folder, shards)
    out = folder / "out"
    out.mkdir()
    features = folder / "features.csv"
    features.write_text("name,count\ndialogue,9\nbadending,5\ntwist,5\n" if prompts else "name,count\n")
    columns = {"words": "words", "features": "features"} if prompts else {"words": None, "features": None}
    spec = json.dumps({"families": FAMILIES, "prompts": columns})
    associate.main(documents=documents, measures=measures, features=features, spec=spec, out_dir=out)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pd.DataFrame]]:
    folder = tmp_path_factory.mktemp("associate")
    run(folder)
    out = folder / "out"
    return out, {name: pd.read_csv(out / f"{name}.csv") for name in ASSOCIATIONS}


@pytest.mark.slow
def test_the_tables_have_the_same_bytes_for_any_number_of_shards(tmp_path: Path) -> None:
    assert run(tmp_path / "one", 1) == run(tmp_path / "many", 7)


def test_a_bad_ending_that_goes_with_sadness_is_reported_with_its_interval(tables: Any) -> None:
    table = tables[1]["associations"].set_index(["first", "second", "feature", "class"])
    row = table.loc[("feature", "emotion", "badending", "sadness")]
    assert 0 < row["ci_low"] < row["log_odds"] < row["ci_high"]
    assert row["lift"] > 1.3
    assert row["p"] < 0.001
    assert table.loc[("feature", "emotion", "dialogue", "sadness"), "log_odds"] < 0
    assert ("feature", "flag", "badending", "bad_ending") in table.index
    assert table.loc[("emotion", "flag", "joy", "violence"), "documents"] == 0


def test_associations_are_those_of_a_cross_table(tables: Any) -> None:
    """A document whose prompt names a feature twice, or another feature beside it, counts once."""
    documents, measures = tables[0].parent / "0.parquet", tables[0].parent / "emotions" / "0.parquet"
    has = np.array(["twist" in row for row in pq.read_table(documents)["features"].to_pylist()])
    sad = np.array(pq.read_table(measures)["emotion"].to_pylist()) == "sadness"
    table = tables[1]["associations"].set_index(["first", "second", "feature", "class"])
    row = table.loc[("feature", "emotion", "twist", "sadness")]
    assert row["documents"] == (has & sad).sum()
    assert row["expected"] == pytest.approx(has.sum() * sad.sum() / N)


def test_agreement_leaves_out_texts_without_a_level(tables: Any) -> None:
    row = tables[1]["agreement"].iloc[0]
    assert row["documents"] == N - N // 10 == tables[1]["crosstable"]["documents"].sum()
    assert 0.3 < row["ci_low"] < row["kappa"] < row["ci_high"] < 1


def test_prompts_with_a_keyword_are_counted_once(tables: Any) -> None:
    """ "sad" twice in a prompt is one prompt; prompts without any word are none."""
    row = tables[1]["keywords"].set_index("word").loc["sad"]
    assert row["count"] == N // 4
    assert row["share"] == 0.5


def test_flagged_documents_come_strongest_first_with_evidence_and_both_ends(tables: Any) -> None:
    flags = tables[1]["flags"]
    assert set(flags["flag"]) == {name.removeprefix("flag_") for name in SORT_BY}
    for flag, rows in flags.groupby("flag"):
        assert len(rows) <= associate.FLAGGED
        ordered = rows["value"].tolist()
        assert ordered == sorted(ordered, reverse=flag != "bad_ending")
        assert (rows["evidence"] == "violence: gun").all()
    longest = flags.dropna(subset=["ending"])
    assert longest["ending"].str.match(r".*The end of \d+\.$").all()
    assert flags["start"].str.len().max() <= associate.EXCERPT
    assert (flags["start"].str.extract(r"Story (\d+) ")[0].astype(int) * 100 == flags["doc"]).all()


def test_prevalence_has_shares_and_rates_with_intervals(tables: Any) -> None:
    table = tables[1]["prevalence"].set_index("measure")
    joy = pq.read_table(tables[0].parent / "lexicon" / "0.parquet", columns=["joy_words", "joy_rate"])
    assert table.loc["joy_words", "documents"] == (joy["joy_words"].to_numpy() > 0).sum()
    assert table.loc["joy_words", "rate"] == pytest.approx(joy["joy_rate"].to_numpy().mean())
    assert table.loc["joy_words", "rate_low"] < table.loc["joy_words", "rate"]
    assert np.isnan(table.loc["flag_fear", "rate"])


def test_without_features_and_words_the_rest_is_there(tmp_path: Path) -> None:
    run(tmp_path / "c", prompts=False)
    table = pd.read_csv(tmp_path / "c" / "out" / "associations.csv")
    assert set(zip(table["first"], table["second"], strict=True)) == {("emotion", "flag")}
    assert (tmp_path / "c" / "out" / "keywords.csv").read_text().count("\n") == 1


# ---------------------------------------------------------------- the page


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    empty: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    return empty | {name: page.read_table(folder, name) for name in ASSOCIATIONS}


def test_the_page_says_that_it_diagnoses_nobody_and_escapes_texts(tables: Any) -> None:
    rows = read(tables[0])
    parts = [*sections.literacy_sections(rows, []), *sections.health_sections(rows, [])]
    whole = page.Page(title="x", warnings=[], legend=[], sections=parts)
    for text in (html_page(whole), markdown(whole)):
        assert "It diagnoses nobody" in text
        assert "their precision is unknown" in text
        assert "Flagged: violence, the 10 strongest" in text
    assert "<b>" not in html_page(whole)


def test_evidence_of_a_long_document_is_shortened_on_the_page(tables: Any) -> None:
    rows = read(tables[0])
    rows["flags"] = [{**rows["flags"][0], "evidence": "violence: " + "gun, " * 900}]
    (flagged,) = [part for part in sections.health_sections(rows, []) if part.title.startswith("Flagged")]
    assert flagged.table is not None
    assert len(flagged.table[1][0][3]) == 120


def test_plots_of_associations_and_agreement_have_labelled_axes(tables: Any) -> None:
    rows = read(tables[0])
    drawn = plots.associations(rows["associations"])
    assert "log odds ratio" in drawn
    assert "emotion of the text" in drawn
    assert "reading level by formulas" in plots.crosstable(rows["crosstable"])
    assert "at least one word of the group" in plots.prevalence(rows["prevalence"])


def test_creativity_is_shown_if_it_was_measured_and_else_said_to_be_left_out() -> None:
    known = {"with_words": 1, "with_features": 1, "not_measured": [], "documents": 3}
    settings = {"prompts": {"words": "words", "features": "features"}}
    summary: dict[str, Any] = dict(groups=2, score=0.87, notes=["How."], least_varied=[], most_varied=[],
                                   measures={"dispersion": {"mean": 0.41, "reference": 0.47, "effect": -1.5, "p": 0.0002}})  # fmt: skip
    assert page.left_out(settings, known, summary) == []
    assert "Creativity is left out" in page.left_out(settings, known, None)[0]
    assert "large enough" in page.left_out(settings, known, {**summary, "groups": 0})[0]
    heading, table = sections.creativity_sections(summary, [("P", "<svg></svg>")])
    assert heading.notes[0].startswith("Score 0.870")
    assert table.table == (
        ["Measure", "Mean of groups", "of random groups", "Effect (sd)", "p"],
        [["dispersion", "0.4100", "0.4700", "−1.5000", "<0.001"]],
    )
    assert sections.creativity_sections(None, []) == []


def test_documents_that_meet_all_objectives_are_those_that_meet_each(tmp_path: Path) -> None:
    _, measures = corpus(tmp_path, 3)
    files = measure_files(FAMILIES, measures, 3)
    objectives = [
        {"measure": "reading_level", "values": ["early_reader", "easy"]},
        {"measure": "flag_violence", "max": 0},
    ]
    row = suits_all(objectives, files)
    level = np.concatenate([pq.read_table(path)["reading_level"].to_numpy() for path in files["reading_level"]])  # fmt: skip
    flag = np.concatenate([pq.read_table(path)["flag_violence"].to_numpy() for path in files["flag_violence"]])  # fmt: skip
    fits = np.isin(level.astype(str), ["early_reader", "easy"]) & (flag == 0)
    assert (row["passing"], row["documents"], row["without"]) == (fits.sum(), N - N // 10, N // 10)
    assert condition(objectives[1]) == "<= 0"


def test_published_figures_of_unknown_size_are_not_shown() -> None:
    """Without their number of documents nobody can tell that they are of this corpus."""
    published = {("words", "cat"): (7.0, "a paper")}
    shown, why = page.comparable(published, {"rows": 9})
    assert shown == {}
    assert "row corpus,documents" in why[0]


def test_measures_of_too_few_shards_end_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--measures: 1 files for 2 shards of 1 families"):
        measure_files(["lengths"], [tmp_path / "x"], 2)
