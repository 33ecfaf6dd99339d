"""Tables from evaluations: what a reader of a table would be misled by if it broke.

One long file: all cases share the evaluations that `write_run` makes.
"""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import stats
from winnow import pages
from winnow.compare import arms as arms_
from winnow.compare import claims, ledger, plots, render, sentences, statistics
from winnow.compare import table as stage
from winnow.compare.claims import Row
from winnow.stage import InputError, canonical

ARMS = ("random", "uniform")
SPEC = {
    "name": "demo",
    "table": {"title": "A demo & a test_1", "experiments": ["exp"], "baseline": "random"},
    "arms": {
        f"exp/{sampler}": {
            "corpus": "corpus", "clustering": None if sampler == "random" else "k8", "sampler": sampler,
            "budget": "small", "model": "tiny",
        }
        for sampler in ARMS
    },
    "suites": ["suite"],
    "metrics": {},
    "tasks": {},
    "missing": None,
}  # fmt: skip


def write_run(
    folder: Path,
    sampler: str,
    data_seed: int,
    training_seed: int = 0,
    better: float = 0.0,
    tokens: int = 1000,
    items: int = 200,
    classifier: bool = False,
    subset: str = "",
) -> tuple[Path, Path, Path]:
    """A synthetic run: (results.json, the subset's manifest, the model's manifest)."""
    ids = {**SPEC["arms"][f"exp/{sampler}"], "data_seed": data_seed, "training_seed": training_seed}
    generator = np.random.default_rng([ARMS.index(sampler), data_seed, training_seed])
    ease = np.random.default_rng(5).normal(size=items)
    shift = better + 0.05 * generator.normal()
    right = (ease + shift + 0.5 * generator.normal(size=items) > 0).astype(float)
    sizes = np.random.default_rng(6).integers(50, 500, items)
    label = np.random.default_rng(7).integers(0, 3, items)
    rows = []
    for i in range(items):
        label_, predicted = int(label[i]), int(label[i] if right[i] else (label[i] + 1) % 3)
        rows.append(("cloze", "cloze_a", i, None, "acc", right[i], 1.0, label_, predicted))
        bits = 3 - 0.1 * shift + 0.2 * ease[i]
        rows.append(("bpb", "bpb", i, "abc"[i % 3], "bits_per_byte", bits, float(sizes[i]), None, None))
        rows.append(("lambada", "lambada", i, None, "perplexity", -9 + shift + ease[i], 1.0, None, None))
    path = folder / sampler / f"seed{data_seed}-{training_seed}"
    path.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([dict(zip(arms_.ITEM_COLUMNS, row, strict=True)) for row in rows]),
                   path / "items.parquet")  # fmt: skip
    tasks = {"cloze": {"acc": 0.5, **({"f1": 0.5} if classifier else {})}}
    (path / "results.json").write_text(json.dumps({"ids": {**ids, "suite": "suite"}, "tasks": tasks}))
    below = {key: value for key, value in ids.items() if key not in ("model", "training_seed")}
    (path / "subset.json").write_text(
        json.dumps(
            {
                "ids": below,
                "counts": {"splits": {"train": {"documents": 50}}},
                "sha256": {"train.parquet": subset or f"{sampler}{data_seed}"},
            }
        )
    )
    (path / "manifest.json").write_text(json.dumps({"ids": ids, "training_tokens": tokens}))
    return path / "results.json", path / "subset.json", path / "manifest.json"


def write_runs(folder: Path, seeds: int = 3, **of_uniform: float) -> list[tuple[Path, Path, Path]]:
    return [
        write_run(folder, sampler, seed, **(of_uniform if sampler == "uniform" else {}))
        for sampler in ARMS
        for seed in range(seeds)
    ]


def items_of(evaluations: list[Path]) -> list[Path]:
    return [path.with_name("items.parquet") for path in evaluations]


def collect(
    evaluations: list[Path],
    subsets: list[Path],
    models: list[Path],
    spec: dict,
    *more: list[Path],
    **others: list[Path],
) -> dict[str, arms_.Arm]:
    return arms_.collect(evaluations, items_of(evaluations), subsets, models, spec, *more, **others)


def rows_of(runs: list[tuple[Path, Path, Path]], spec: dict = SPEC) -> list[Row]:
    evaluations, subsets, models = (list(paths) for paths in zip(*runs, strict=True))
    return claims.compare(collect(evaluations, subsets, models, spec), spec)


def row_of(rows: list[Row], **wanted: str) -> Row:
    wanted = {"arm": "exp/uniform", "group": None} | wanted
    (row,) = [row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())]
    return row


def cell_of(row: Row, column: str) -> object:
    """A cell of the CSV file."""
    return stage.csv_row(row)[column]


def with_table(**changes: object) -> dict:
    return {**SPEC, "table": {**SPEC["table"], **changes}}


@pytest.fixture(scope="module")
def better(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path, Path]]:
    return write_runs(tmp_path_factory.mktemp("runs"), seeds=4, better=1.0)


def test_a_clearly_better_arm_is_called_better_in_each_metrics_own_direction(better):
    rows = rows_of(better)
    for benchmark, sign in (("cloze", 1), ("bpb", -1), ("lambada", -1)):
        row = row_of(rows, benchmark=benchmark)
        assert row.verdict == "better"
        assert row.effect * sign > 0
        assert row.ci_low < row.effect < row.ci_high
        assert row.p <= row.p_adjusted < 0.05
        assert 0 < row.detectable.effect < row.detectable_family.effect
    assert row_of(rows, benchmark="cloze").seeds == 4
    assert row_of(rows, benchmark="cloze").training_tokens == 1000
    assert row_of(rows, benchmark="cloze").train_documents == 50


def test_figures_are_those_of_the_harness(better):
    rows = rows_of(better)
    first = [pq.read_table(paths[0].with_name("items.parquet")).to_pandas() for paths in better[4:]]
    for benchmark, figure in (
        ("cloze", lambda t: np.average(t.value, weights=t.weight)),
        ("bpb", lambda t: np.average(t.value, weights=t.weight)),
    ):
        expected = np.mean([figure(table[table.benchmark == benchmark]) for table in first])
        assert row_of(rows, benchmark=benchmark).figure == pytest.approx(expected, rel=1e-12)
    logs = [table[table.benchmark == "lambada"].value.mean() for table in first]
    row = row_of(rows, benchmark="lambada")
    assert row.figure == pytest.approx(math.exp(-np.mean(logs)))
    base = row_of(rows, benchmark="lambada", arm="exp/random")
    assert row.effect == pytest.approx(math.log(row.figure / base.figure))
    part = [table[(table.benchmark == "bpb") & (table.group == "b")] for table in first]
    expected = np.mean([np.average(t.value, weights=t.weight) for t in part])
    assert row_of(rows, benchmark="bpb", group="b").figure == pytest.approx(expected)


def test_headline_tests_are_one_family_and_groups_another(better):
    """Else twenty groups would take from the headline the power to find anything."""
    rows = [row for row in rows_of(better) if not row.is_baseline]
    for family, whole, tests in (("headline", True, 3), ("groups", False, 3)):
        own = [row for row in rows if (row.group is None) == whole]
        assert [row.family for row in own] == [family] * tests
        assert [row.p_adjusted for row in own] == statistics.holm([row.p for row in own])
    alone = rows_of(better, with_table(groups=0))
    headline = [row.p_adjusted for row in rows if row.group is None]
    assert headline == [row.p_adjusted for row in alone if not row.is_baseline]
    assert {row.group for row in rows if row.benchmark == "bpb"} == {None, "a", "b", "c"}
    assert {r.group for r in rows_of(better, with_table(groups=0))} == {None}


def test_two_seeds_are_too_little_data_even_for_a_large_effect(tmp_path):
    rows = rows_of(write_runs(tmp_path, seeds=2, better=3.0))
    row = row_of(rows, benchmark="cloze")
    assert row.verdict == "too little data"
    assert row.p is None
    assert row.comparison.unit == "items"
    assert row.figure == 1.0
    assert row.ci_low < row.effect <= row.ci_high == pytest.approx(row.effect)  # not above 1


def test_copies_of_one_run_are_no_seeds(tmp_path):
    """A sampler without chance draws the same documents with every data seed."""
    runs = [write_run(tmp_path, "random", seed) for seed in range(4)]
    runs += [write_run(tmp_path, "uniform", seed, better=1.0, subset="same") for seed in range(4)]
    rows = rows_of(runs)
    row = row_of(rows, benchmark="cloze")
    assert (row.seeds, row.p, row.verdict) == (4, None, "too little data")
    assert any("they count as 1" in note for note in sentences.notes_of(row))
    assert any("they count as 1" in note for note in sentences.warnings_of(rows))


def test_one_subset_with_a_training_seed_a_draw_is_as_many_runs(tmp_path):
    runs = [write_run(tmp_path, "random", seed, seed) for seed in range(4)]
    runs += [write_run(tmp_path, "uniform", seed, seed, better=1.0, subset="same") for seed in range(4)]
    row = row_of(rows_of(runs), benchmark="cloze")
    assert (row.training_seeds, row.verdict) == (4, "better")


def test_a_benchmark_shows_the_metrics_that_the_config_names(better):
    rows = rows_of(better, {**SPEC, "metrics": {"cloze": ["acc"]}})
    assert {row.metric for row in rows if row.benchmark == "cloze"} == {"acc"}
    with pytest.raises(InputError, match="benchmark cloze has no metric 'acc_norm'; it has: acc"):
        rows_of(better, {**SPEC, "metrics": {"cloze": ["acc", "acc_norm"]}})
    with pytest.raises(InputError, match="benchmark cloze has no metric 'accuracy'; it has: acc"):
        rows_of(better, {**SPEC, "metrics": {"cloze": ["accuracy"]}})


def test_a_run_that_lacks_a_figure_is_an_error_and_not_left_out(tmp_path):
    runs = write_runs(tmp_path)
    items = runs[-1][0].with_name("items.parquet")
    table = pq.read_table(items)
    pq.write_table(table.filter(pc.not_equal(table["benchmark"], "cloze")), items)
    with pytest.raises(InputError, match=r"seed2-0/results\.json: has no acc of cloze, which other runs"):
        rows_of(runs)


def test_the_documents_of_a_subset_are_counted(better):
    assert row_of(rows_of(better), benchmark="cloze").train_documents == 50


def test_unequal_training_tokens_are_a_warning(tmp_path):
    rows = rows_of(write_runs(tmp_path, tokens=1020))
    assert "TRAINING TOKENS DIFFER from the baseline's by +2.0%" in sentences.notes_of(
        row_of(rows, benchmark="cloze")
    )
    page = render.page_of(rows, SPEC, plots=[("Effects", "<svg/>")])
    for text in (pages.markdown(page), pages.latex(page), pages.html_page(page)):
        assert "TRAINING TOKENS DIFFER" in text
    quiet = rows_of(write_runs(tmp_path / "equal", tokens=1005))
    assert not sentences.warnings_of(quiet)


def test_two_models_are_paired_over_items(tmp_path):
    runs = [write_run(tmp_path, "random", 0), write_run(tmp_path, "uniform", 0, better=1.0)]
    rows = rows_of(runs, with_table(unit="models", resamples=500))
    assert row_of(rows, benchmark="cloze").comparison.test == "McNemar, exact"
    assert row_of(rows, benchmark="bpb").comparison.test.startswith("sign flips over items")
    assert row_of(rows, benchmark="cloze").verdict == "better"
    runs.append(write_run(tmp_path, "uniform", 1))
    with pytest.raises(InputError, match="exp/uniform has 2 runs"):
        rows_of(runs, with_table(unit="models"))


def test_a_classifier_has_f1_and_a_language_model_has_not(tmp_path, better):
    runs = [write_run(tmp_path, sampler, seed, classifier=True) for sampler in ARMS for seed in range(3)]
    assert row_of(rows_of(runs), benchmark="cloze", metric="f1").verdict == "not distinguishable"
    assert not [row for row in rows_of(better) if row.metric == "f1"]


def test_crossed_seeds_are_stated_apart(tmp_path):
    runs = [write_run(tmp_path, s, d, t) for s in ARMS for d in range(3) for t in range(2)]
    row = row_of(rows_of(runs), benchmark="bpb")
    assert (row.seeds, row.runs) == (3, 6)
    assert set(row.sd_by) == {"data", "training", "residual"}
    assert cell_of(row, "sd_data") == row.sd_by["data"]


def test_ids_decide_and_not_paths(tmp_path, better):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("results.json", "items.parquet"):
        (moved / name).write_bytes(better[0][0].with_name(name).read_bytes())
    runs = [(moved / "results.json", *better[0][1:]), *better[1:]]
    figures = [row.figure for row in rows_of(runs)]
    assert figures == [row.figure for row in rows_of(better)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["ids"].update(sampler="density"), "belongs to no arm"),
        (lambda c: c["ids"].update(suite="other"), "belongs to no arm and suite"),
        (lambda c: c.pop("ids"), 'no "ids"'),
        (lambda c: c["ids"].update(data_seed=1), "same run and suite"),
    ],
)
def test_evaluations_that_do_not_fit_are_refused_by_name(tmp_path, change, message):
    runs = write_runs(tmp_path)
    content = json.loads(runs[0][0].read_text())
    change(content)
    runs[0][0].write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        rows_of(runs)
    assert "results.json" in str(caught.value)


def test_items_are_those_that_were_given_and_not_a_file_beside_the_results(tmp_path, better):
    """They were read beside results.json: a file that no rule declares, and no rule would wait for."""
    evaluations, subsets, models = (list(paths) for paths in zip(*better, strict=True))
    items = [tmp_path / f"{number}.parquet" for number in range(len(evaluations))]
    for path, copy in zip(items_of(evaluations), items, strict=True):
        copy.write_bytes(path.read_bytes())
    arms = arms_.collect(evaluations, items, subsets, models, SPEC)
    rows = claims.compare(arms, SPEC)
    assert [row.figure for row in rows] == [row.figure for row in rows_of(better)]
    assert set(ledger.claims_of(rows)[0].figure_files) <= set(map(str, items))
    with pytest.raises(InputError, match="--items: 7 files for the 8 of --evaluations"):
        arms_.collect(evaluations, items[1:], subsets, models, SPEC)


def test_why_there_is_no_test_is_a_fact_and_its_words_are_made_once(tmp_path):
    """Sentences came out of the statistics and travelled with the rows."""
    rows = rows_of(write_runs(tmp_path, seeds=2))
    comparison = row_of(rows, benchmark="cloze").comparison
    assert (comparison.lacking, comparison.have, comparison.need) == (statistics.FEW_SEEDS, 2, 3)
    assert not any(isinstance(value, str) and " of " in value for value in vars(comparison).values())
    assert sentences.untested(row_of(rows, benchmark="cloze")) == "2 of 3 data seeds"


def test_arms_that_answered_other_items_are_refused(tmp_path):
    runs = write_runs(tmp_path / "a")
    runs[-1] = write_run(tmp_path / "b", "uniform", 2, items=150)
    with pytest.raises(InputError, match=r"exp/uniform, data seed 2.*150 and 200"):
        rows_of(runs)


def test_an_arm_that_was_not_run_and_a_baseline_that_is_not_there_are_named(tmp_path):
    runs = write_runs(tmp_path)
    with pytest.raises(InputError, match="exp/uniform has no evaluation"):
        rows_of(runs[:3])
    with pytest.raises(InputError, match="no arm 'loss'; arms: exp/random, exp/uniform"):
        rows_of(runs, with_table(baseline="loss"))


def test_figures_that_are_not_finite_are_shown_and_not_tested(tmp_path):
    runs = write_runs(tmp_path)
    path = runs[-1][0].with_name("items.parquet")
    table = pq.read_table(path).to_pylist()
    next(row for row in table if row["metric"] == "perplexity")["value"] = -math.inf
    pq.write_table(pa.Table.from_pylist(table), path)
    rows = rows_of(runs)
    row = row_of(rows, benchmark="lambada")
    assert row.verdict == "too little data"
    assert "a figure is not finite" in sentences.notes_of(row)
    assert row_of(rows, benchmark="cloze").p is not None
    plots.forest(rows, "demo")


@pytest.mark.slow
def test_the_command_writes_every_file_and_the_same_bytes_twice(tmp_path, better):
    outputs = []
    for name in ("one", "two"):
        prefix = tmp_path / name / "demo"
        command = [
            sys.executable, "-m", "winnow.compare.table",
            "--evaluations", *map(str, [r[0] for r in better]),
            "--items", *map(str, items_of([r[0] for r in better])),
            "--subsets", *map(str, [r[1] for r in better]),
            "--models", *map(str, [r[2] for r in better]),
            "--spec", canonical(SPEC), "--out", str(prefix),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        outputs.append({path.name: path.read_bytes() for path in prefix.parent.iterdir()})
    assert outputs[0] == outputs[1]
    assert sorted(outputs[0]) == [
        f"demo.{s}" for s in ("claims.csv", "claims.json", "csv", "html", "md", "png", "svg", "tex")
    ]
    claims = list(csv.DictReader(outputs[0]["demo.claims.csv"].decode().splitlines()))
    assert len(claims) == 6
    assert claims[0]["verdict"] == "better"
    assert claims[0]["claim"].startswith("exp/uniform is better than exp/random on bpb (bits_per_byte")
    for path in (claims[0]["figure_files"] + "; " + claims[0]["source_files"]).split("; "):
        assert Path(path).exists()
    exact = list(csv.DictReader(outputs[0]["demo.csv"].decode().splitlines()))
    assert float(exact[1]["effect"]) == rows_of(better)[1].effect
    tex = outputs[0]["demo.tex"].decode()
    assert r"A demo \& a test\_1" in tex
    assert r"\toprule" in tex
    page = outputs[0]["demo.html"].decode()
    assert "<svg" in page
    assert "A demo &amp; a test_1" in page
    assert 'http-equiv="refresh"' not in page
    assert "<script" not in page


def ngram_baselines(folder: Path, unigram: float, bigram: float) -> list[Path]:
    found = []
    for sampler in ARMS:
        ids = {k: v for k, v in SPEC["arms"][f"exp/{sampler}"].items() if k != "model"}
        for seed in range(3):
            path = folder / f"{sampler}{seed}.json"
            path.write_text(json.dumps({"ids": {**ids, "data_seed": seed, "tokenizer": "t"}, "benchmark": "bpb", "unigram": unigram, "bigram": bigram}))  # fmt: skip
            found.append(path)
    return found


def with_arms(**changes: object) -> dict:
    return {**SPEC, "arms": {name: {**ids, **changes} for name, ids in SPEC["arms"].items()}}


def test_a_dead_model_is_named(tmp_path):
    evaluations, subsets, models = (list(p) for p in zip(*write_runs(tmp_path, better=0.0), strict=True))
    spec = with_arms(tokenizer="t")

    def warnings(unigram: float, bigram: float) -> list[str]:
        arms = collect(evaluations, subsets, models, spec, ngram_baselines(tmp_path, unigram, bigram))
        rows = claims.compare(arms, spec)
        assert len(rows) == 12
        return [note for note in sentences.warnings_of(rows) if "DEAD MODEL" in note]

    assert warnings(9.0, 0.1) == []  # 1,000 tokens are too few to beat a bigram
    told = warnings(1.0, 0.5)
    assert len(told) == 2
    assert told[0].startswith("exp/random: DEAD MODELS, all 3: no better than a unigram on bpb (2.9")
    for path in models:
        path.write_text(json.dumps({**json.loads(path.read_text()), "training_tokens": arms_.BIGRAM_TOKENS}))
    assert len(warnings(9.0, 0.1)) == 2


def test_a_model_of_one_answer_is_named(tmp_path):
    runs = write_runs(tmp_path, better=0.0)
    path = runs[0][0].with_name("items.parquet")
    table = pq.read_table(path).to_pandas()
    cloze = table["benchmark"] == "cloze"
    table.loc[cloze, "prediction"] = 1
    table.loc[cloze, "value"] = (table.loc[cloze, "label"] == 1).astype(float)
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    (told,) = [note for note in sentences.warnings_of(rows_of(runs)) if "DEAD MODEL" in note]
    assert (
        told
        == "exp/random: DEAD MODEL (data seed 0, training seed 0): gives one answer to all items of cloze"
    )
    page = render.page_of(rows_of(runs), SPEC)
    assert "3 (1 dead)" in pages.markdown(page)


def test_one_sampler_with_two_sets_of_seeds_is_two_arms(tmp_path):
    runs = [write_run(tmp_path, "random", seed) for seed in range(6)]
    ids = SPEC["arms"]["exp/random"]
    arms = {"exp/random": {**ids, "data_seeds": [0, 1, 2]}, "again/random": {**ids, "data_seeds": [3, 4, 5]}}
    spec = {**SPEC, "arms": arms, "table": {**SPEC["table"], "baseline": "exp/random"}}
    rows = rows_of(runs, spec)
    row = row_of(rows, arm="again/random", benchmark="cloze")
    assert (row.seeds, row.runs, row.verdict) == (3, 3, "not distinguishable")
    assert any("not paired" in note for note in sentences.notes_of(row))


def test_a_published_model_is_shown_beside_the_trained_ones(tmp_path):
    runs = write_runs(tmp_path)
    ids = {"corpus": "corpus", "pretrained": "big"}
    folder = tmp_path / "big"
    folder.mkdir()
    (folder / "items.parquet").write_bytes(runs[0][0].with_name("items.parquet").read_bytes())
    (folder / "results.json").write_text(json.dumps({"ids": {**ids, "suite": "suite"}, "tasks": {}}))
    spec = {**SPEC, "arms": {**SPEC["arms"], "big": ids}}
    evaluations, subsets, models = (list(p) for p in zip(*runs, strict=True))
    rows = claims.compare(collect([*evaluations, folder / "results.json"], subsets, models, spec), spec)
    row = row_of(rows, arm="big", benchmark="cloze")
    assert (row.verdict, row.comparison.test) == ("not distinguishable", "t over seeds and items")
    assert "a pretrained model, not trained here" in sentences.notes_of(row)
    assert "it may have been trained on these documents" in sentences.notes_of(row)  # they are no stock task
    assert sentences.label_of(row, rows) == "big"


def test_pairs_of_the_study_without_the_baseline_are_compared_too(tmp_path):
    ids = SPEC["arms"]["exp/random"]
    runs = [write_run(tmp_path, "random", seed) for seed in range(6)]
    runs += [write_run(tmp_path, "uniform", seed, better=1.0) for seed in range(3)]
    arms = {
        "exp/random": {**ids, "data_seeds": [0, 1, 2]},
        "again/random": {**ids, "data_seeds": [3, 4, 5]},
        "exp/uniform": SPEC["arms"]["exp/uniform"],
    }
    published = {"size": "160M", "a": ["MiniPile", "Reproduction"], "b": ["Density"],
                 "arms": {"Reproduction": "exp/random", "MiniPile": "again/random", "Density": "exp/uniform"}}  # fmt: skip
    spec = {
        **SPEC,
        "arms": arms,
        "table": {**SPEC["table"], "baseline": "exp/random", "published": published},
    }
    evaluations, subsets, models = (list(p) for p in zip(*runs, strict=True))
    collected = collect(evaluations, subsets, models, spec)
    found = [row for row in claims.beside(collected, spec) if not row.is_baseline]
    assert {(row.baseline, row.arm, row.group) for row in found} == {("again/random", "exp/uniform", None)}
    assert row_of(found, benchmark="cloze", metric="acc").verdict == "better"


def test_benchmark_items_in_the_training_documents_are_reported(tmp_path):
    evaluations, subsets, models = (list(p) for p in zip(*write_runs(tmp_path), strict=True))
    path = tmp_path / "c.json"
    counts = {"items": 200, "checked": 100, "found": 3, "first": [1]}
    path.write_text(
        json.dumps({"ids": json.loads(subsets[0].read_text())["ids"], "benchmarks": {"cloze": counts}})
    )
    arms = collect(evaluations, subsets, models, SPEC, contamination=[path])
    head, body = render.contamination_table(arms)
    assert head == ["arm", "cloze"]
    assert body[0] == ["exp/random", "3.00 % of 100"]


NAMES = ("all", "None", "nan", "", "total", "-1", "null", "none")


def with_groups(
    folder: Path, names: list[str | None], items: int, better: float = 0.0
) -> list[tuple[Path, Path, Path]]:
    """Runs whose bits-per-byte items have these groups in turn."""
    runs = [
        write_run(folder, sampler, seed, items=items, better=better if sampler == "uniform" else 0.0)
        for sampler in ARMS
        for seed in range(3)
    ]
    for results, _, _ in runs:
        path = results.with_name("items.parquet")
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            row["group"] = names[row["item"] % len(names)] if row["benchmark"] == "bpb" else None
        schema = pq.read_schema(path)
        schema = schema.set(schema.get_field_index("group"), pa.field("group", pa.string()))
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return runs


def test_a_group_of_any_name_is_a_group_and_the_total_is_listed_once(tmp_path):
    """A domain named "all" vanished from its table, and the total stood twice, in the family of tests as well."""
    runs = with_groups(tmp_path, [*NAMES, None], items=60 * 9)
    rows = [row for row in rows_of(runs) if row.benchmark == "bpb" and not row.is_baseline]
    assert [row.group for row in rows] == [None, *sorted(NAMES)]
    assert [row.items for row in rows] == [540, *[60] * 8]  # items of no group are in the total alone
    assert [row.scope for row in rows] == ["all items", *["group"] * 8]
    assert [row.family for row in rows] == ["headline", *["groups"] * 8]
    evaluations, subsets, models = (list(p) for p in zip(*runs, strict=True))
    stage.main(evaluations=evaluations, items=items_of(evaluations), subsets=subsets, models=models, spec=canonical(SPEC), out=tmp_path / "t")  # fmt: skip
    with open(tmp_path / "t.csv", newline="") as file:
        exact = [
            row for row in csv.DictReader(file) if row["benchmark"] == "bpb" and row["arm"] == "exp/uniform"
        ]
    assert [(row["scope"], row["group"]) for row in exact] == [("all items", ""), *(("group", name) for name in sorted(NAMES))]  # fmt: skip
    claims = [claim for claim in json.loads((tmp_path / "t.claims.json").read_text()) if claim["benchmark"] == "bpb"]  # fmt: skip
    assert [claim["group"] for claim in claims] == [None, *sorted(NAMES)]
    assert len({claim["claim"] for claim in claims}) == 9
    head = next(
        line for line in (tmp_path / "t.md").read_text().splitlines() if line.startswith('| arm | "" ')
    )
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["arm", '""', *sorted(NAMES)[1:]]


def test_whole_numbers_as_groups_are_names(tmp_path):
    runs = with_groups(tmp_path, ["-1", "0"], items=120)
    for results, _, _ in runs:
        path = results.with_name("items.parquet")
        table = pq.read_table(path)
        numbers = pa.array([None if g is None else int(g) for g in table["group"].to_pylist()], pa.int32())
        pq.write_table(table.set_column(table.column_names.index("group"), "group", numbers), path)
    rows = [row for row in rows_of(runs) if row.benchmark == "bpb" and row.is_baseline]
    assert [row.group for row in rows] == [None, "-1", "0"]


def test_a_trained_model_without_a_seed_is_refused_and_not_taken_for_seed_0(tmp_path):
    runs = write_runs(tmp_path)
    for path, key in ((runs[0][0], "data_seed"), (runs[0][0], "training_seed")):
        content = json.loads(path.read_text())
        del content["ids"][key]
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=f'seed0-0/results.json: "ids" lacks {key}'):
            rows_of(runs)
        content["ids"][key] = 0
        path.write_text(json.dumps(content))


def test_a_sampler_called_none_is_no_missing_sampler(tmp_path):
    ids = {"corpus": "corpus", "clustering": None, "sampler": "none", "budget": "small", "model": "tiny"}
    arms = arms_.arms_of({"exp/none": ids})
    assert arms["exp/none"].has({**ids, "data_seed": 0})
    assert not arms["exp/none"].has({**ids, "sampler": None, "data_seed": 0})


def test_a_group_of_few_items_is_described_and_not_tested(tmp_path):
    fewest = statistics.FEWEST_GROUP_ITEMS
    names = ["big"] * 3 + ["small"]
    rows = rows_of(with_groups(tmp_path, names, items=4 * (fewest - 1), better=2.0))
    small, big = (row_of(rows, benchmark="bpb", group=name) for name in ("small", "big"))
    assert (small.items, small.p, small.family, small.verdict) == (fewest - 1, None, None, "too little data")  # fmt: skip
    assert small.lacking == statistics.FEW_ITEMS
    assert f"{fewest - 1} of {fewest} items" in sentences.notes_of(small)
    assert small.ci_low < small.effect < small.ci_high
    assert big.p_adjusted == big.p  # alone in its family
    assert row_of(rows, benchmark="bpb").family == "headline"
    text = pages.markdown(render.page_of(rows, SPEC))
    assert f"Groups of fewer than {fewest} items are described, not tested." in text
    assert f"| bpb | bits_per_byte | small | {fewest - 1} | uniform |" in text


def test_macro_f1_is_not_shown_where_the_group_is_the_label(tmp_path):
    """Over the predicted classes an accuracy of .77 in a group of one class reads as F1 .23."""
    runs = [write_run(tmp_path, sampler, seed, classifier=True, items=600) for sampler in ARMS for seed in range(3)]  # fmt: skip
    for results, _, _ in runs:
        path = results.with_name("items.parquet")
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            if row["benchmark"] == "cloze":
                row["group"] = "01"[row["label"] // 2]  # labels 0 and 1 in one group, 2 alone in the other
        pq.write_table(pa.Table.from_pylist(rows), path)
    rows = [row for row in rows_of(runs) if row.benchmark == "cloze" and row.is_baseline]
    assert {(row.metric, row.group) for row in rows} == {
        ("acc", None), ("acc", "0"), ("acc", "1"), ("f1", None), ("f1", "0"),
    }  # fmt: skip
    by = {(row.metric, row.group): row for row in rows}
    first = [pq.read_table(run[0].with_name("items.parquet")).to_pandas() for run in runs[:3]]
    expected = []
    for table in first:
        cell = table[(table.benchmark == "cloze") & (table.group == "0")]
        f1 = [2 * ((cell.label == c) & (cell.prediction == c)).sum() / ((cell.label == c).sum() + (cell.prediction == c).sum()) for c in (0, 1)]  # fmt: skip
        expected.append(np.mean(f1))
    assert by["f1", "0"].figure == pytest.approx(np.mean(expected))


def test_intervals_and_detectable_effects_of_an_accuracy_stay_inside_its_bounds(tmp_path):
    right = {"random": (97, 85, 99), "uniform": (90, 99, 96)}
    runs = []
    for sampler, counts in right.items():
        for seed, count in enumerate(counts):
            runs.append(write_run(tmp_path, sampler, seed, items=100))
            path = runs[-1][0].with_name("items.parquet")
            table = pq.read_table(path).to_pandas()
            cloze = table["benchmark"] == "cloze"
            table.loc[cloze, "value"] = [float(i < count) for i in range(100)]
            pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    row = row_of(rows_of(runs), benchmark="cloze")
    base = sum(right["random"]) / 300
    differences = [-0.07, 0.14, -0.03]
    half = stats.t.isf(0.025, 2) * np.std(differences, ddof=1) / 3**0.5
    assert row.effect == pytest.approx(np.mean(differences))
    assert row.effect + half > 1 - base  # where the interval would end
    assert row.ci_high == pytest.approx(1 - base)
    assert row.ci_low == pytest.approx(np.mean(differences) - half)
    assert row.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)  # the test is left as it is
    assert row.detectable.effect < row.detectable_family.effect < base
    strict = with_table(confidence=0.999)
    row = row_of(rows_of(runs, strict), benchmark="cloze")
    assert (row.ci_low, row.ci_high) == pytest.approx((-base, 1 - base))
    assert row.detectable == row.detectable_family == claims.Detectable(None)  # it would be above 1
    assert cell_of(row, "detectable") is cell_of(row, "detectable_family") is False
    assert render.detectable(row) == "none possible (none possible)"
    (line,) = sentences.answer(rows_of(runs, strict), strict)
    assert "could not have detected any possible effect on cloze acc" in line


def test_facts_of_dead_models_are_fields(tmp_path):
    runs = write_runs(tmp_path)
    path = runs[0][0].with_name("items.parquet")
    table = pq.read_table(path).to_pandas()
    cloze = table["benchmark"] == "cloze"
    table.loc[cloze, "prediction"] = 1
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    row = row_of(rows_of(runs), benchmark="bpb", arm="exp/random")
    assert row.dead == {(0, 0): [arms_.ConstantAnswer("cloze")]}
    assert (
        ledger.dead_runs(row)
        == cell_of(row, "dead")
        == [{"data_seed": 0, "training_seed": 0, "reasons": ["gives one answer to all items of cloze"]}]
    )
    assert not any("dead" in note.lower() for note in sentences.notes_of(row))


def test_chance_and_items_are_shown_below_the_figures(tmp_path):
    runs = write_runs(tmp_path, seeds=3)
    for results, _, _ in runs[:]:
        path = results.with_name("items.parquet")
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            # Half of the items offer 2 answers, half offer 4: chance is (1/2 + 1/4) / 2.
            row["scores"] = [0.0] * (2 + 2 * (row["item"] % 2)) if row["metric"] == "acc" else None
        pq.write_table(pa.Table.from_pylist(rows), path)
    rows = rows_of(runs)
    row = row_of(rows, benchmark="cloze")
    assert (row.chance, row.chance_kind) == (0.375, "choices")
    assert row_of(rows, benchmark="bpb").chance is None
    _, body = render.figures_table(rows)
    assert body[-2] == ["chance level", "", "", "", "", "0.3750", ""]
    assert body[-1] == ["items", "", "", "", "200", "200", "200"]
    assert "one over the number of choices" in pages.markdown(render.page_of(rows, SPEC))


def test_the_chance_of_labels_is_the_share_of_the_commonest(better):
    row = row_of(rows_of(better), benchmark="cloze")
    label = (
        pq.read_table(better[0][0].with_name("items.parquet")).to_pandas().query("benchmark == 'cloze'").label
    )
    assert row.chance_kind == "majority"
    assert row.chance == pytest.approx(label.value_counts().max() / 200)


def test_arms_that_share_models_are_reported(tmp_path):
    """Two samplers that drew the same documents and trained with the same seeds are one model twice."""
    runs = [write_run(tmp_path, "random", seed, subset=f"s{seed}") for seed in range(3)]
    runs += [write_run(tmp_path, "uniform", seed, subset=f"s{max(seed, 1)}") for seed in range(3)]
    rows = rows_of(runs)
    assert row_of(rows, benchmark="cloze").same_models == {"exp/random": 2}
    assert "2 of its 3 models are those of exp/random" in sentences.notes_of(row_of(rows, benchmark="cloze"))


def test_what_selection_and_training_consumed_is_shown_or_called_unknown(tmp_path):
    runs = write_runs(tmp_path)
    for n, (_, subset, model) in enumerate(runs):
        content = json.loads(subset.read_text())
        if n < 3:
            content["consumed"] = {"documents": 0, "labels": 0, "tokens": 0}
        else:
            content["consumed"] = {"documents": 900, "labels": 200 + n, "tokens": 7000}
            content["pool"] = {"documents": 1000 + n, "excluded": {"clusters": 5}}
        subset.write_text(json.dumps(content))
        model.write_text(json.dumps({"ids": json.loads(model.read_text())["ids"], "training_examples": 500}))
    evaluations, subsets, models = (list(p) for p in zip(*runs, strict=True))
    arms = collect(evaluations, subsets, models, SPEC)
    assert render.consumed_table(arms)[1] == [
        ["exp/random", "unknown", "0", "0", "0", "50", "50", "", "50"],
        ["exp/uniform", "1,004", "900", "204", "7,000", "50", "50", "", "254"],
    ]
    assert sentences.equal_training(arms) == (
        "The arms are compared at equal training labels (50). The selection of documents read labels, too: exp/uniform 204; "
        "with them the arms are not at equal labels.",
        True,
    )
    row = row_of(claims.compare(arms, SPEC), benchmark="cloze")
    assert (row.train_labels, row.selection["labels"], row.selection["documents"]) == (50, 204, 900)
    content = json.loads(subsets[-1].read_text())
    del content["consumed"]
    subsets[-1].write_text(json.dumps(content))
    arms = collect(evaluations, subsets, models, SPEC)
    assert render.consumed_table(arms)[1][1][2:5] == ["unknown"] * 3
    assert "What the selection of some arms consumed is unknown." in sentences.equal_training(arms)[0]


def test_a_table_begins_with_its_answer(tmp_path, better):
    found = sentences.answer(rows_of(better), SPEC)
    assert len(found) == 3
    row = row_of(rows_of(better), benchmark="cloze")
    assert any(
        line.startswith(f"uniform is better than random on cloze acc by {row.effect:.4f} (95 % CI of the effect +")
        for line in found
    )  # fmt: skip
    rows = rows_of(write_runs(tmp_path / "same"))
    (line,) = sentences.answer(rows, SPEC)
    largest = row_of(rows, benchmark="cloze").detectable_family.effect
    assert line.startswith(
        "No sampler is distinguishable from random; with 80 % power this table would have detected an effect of "
    )
    assert f"{largest:.4f} or more on cloze acc" in line
    (line,) = sentences.answer(rows_of(write_runs(tmp_path / "few", seeds=2)), SPEC)
    assert line == "Too little data: no comparison with random could be tested (2 of 3 data seeds)."
    text = pages.markdown(render.page_of(rows, SPEC))
    assert (
        text.index("No sampler is")
        < text.index("## Figures")
        < text.index("## Tests")
        < text.index("<details>")
    )
    assert "[How to read a table](reading-tables.md)" in text
    page = pages.html_page(render.page_of(rows, SPEC))
    assert page.index('class="answer"') < page.index("<h2>Figures")
    assert '<a href="reading-tables.md">' in page
    assert page.count("<details>") == page.count("</details>") == text.count("<details>") == 4


def test_figures_by_seed_are_those_of_the_runs(better):
    rows = rows_of(better)
    row = row_of(rows, benchmark="cloze")
    assert len(cell_of(row, "figures_by_run")) == 4
    assert np.mean(list(row.figures.values())) == pytest.approx(row.figure)
    assert np.mean([effect for _, effect in row.effects_by_seed]) == pytest.approx(row.effect)
    head, body = render.runs_table(rows)
    assert head[:3] == ["arm", "data seed", "training seed"]
    assert [line[:3] for line in body] == [[arm, str(seed), "0"] for arm in ARMS for seed in range(4)]


@pytest.mark.parametrize(
    ("value", "level", "printed"),
    [
        (0.0502, 0.05, "0.0502"),
        (0.05004, 0.05, "0.0501"),  # never as a value that is smaller
        (0.04999, 0.05, "0.0499"),  # below the threshold, and printed so
        (0.0496, 0.05, "0.0496"),
        (0.0999, 0.1, "0.0999"),
        (0.09996, 0.1, "0.0999"),
        (0.00999999, 0.05, "0.00999"),
        (0.001, 0.05, "0.00100"),
        (0.0009999, 0.05, "<0.001"),
        (0.1234, 0.05, "0.124"),
        (0.99951, 0.05, "1.00"),
        (1.0, 0.05, "1.00"),
        (None, 0.05, ""),
    ],
)
def test_no_printed_p_crosses_a_threshold_that_p_does_not(value, level, printed):
    assert pages.probability(value, level) == printed


def aa_arms(generator: np.random.Generator, benchmarks: int, items: int, groups: int) -> dict[str, arms_.Arm]:
    """Three arms of three seeds each that differ in nothing but their seeds: right or wrong on items of unlike ease."""
    arms = arms_.arms_of({f"exp/{name}": {"sampler": name} for name in ("random", "one", "two")})
    keys = pa.table({"task": ["t"] * items, "item": np.arange(items)})
    group = np.array([f"g{i * groups // items}" for i in range(items)], dtype=object)
    for benchmark in range(benchmarks):
        ease = np.clip(0.4 + 0.15 * generator.normal(size=items), 0.02, 0.98)
        for number, arm in enumerate(arms.values()):
            own = {}
            for seed in range(3):
                chance = np.clip(ease + 0.02 * generator.normal(), 0, 1)
                values = (generator.random(items) < chance).astype(float)
                own[3 * number + seed, 0] = arms_.Items(keys, group, values, np.ones(items), None, None)
            arm.items[f"b{benchmark}", "acc"] = own
            arm.files[f"b{benchmark}", "acc"] = ["items.parquet"]
            arm.runs = set(own)
            arm.tokens = dict.fromkeys(own, 1000)
    return arms


def test_arms_that_do_not_differ_are_called_different_in_one_table_of_twenty_in_each_family(monkeypatch):
    """A/A calibration of the families; at length: tests/benchmarks/calibrate.py."""
    monkeypatch.setattr(statistics, "minimum_detectable_effect", lambda *_: None)  # slow, and no verdict's
    generator = np.random.default_rng(20)
    tables, hits, single = 100, {"headline": 0, "groups": 0}, []
    for _ in range(tables):
        rows = claims.compare(aa_arms(generator, benchmarks=2, items=240, groups=3), SPEC)
        for family in hits:
            own = [row for row in rows if row.family == family]
            assert len(own) == {"headline": 4, "groups": 12}[family]
            hits[family] += any(row.verdict in ("better", "worse") for row in own)
            single += [row.p for row in own]
    error = (0.05 * 0.95 / tables) ** 0.5
    assert max(hits.values()) / tables <= 0.05 + 3 * error
    rate = np.mean(np.array(single) < 0.05)
    assert (
        0.02 < rate < 0.05 + 3 * (0.05 * 0.95 / (2 * tables * 3)) ** 0.5
    )  # tests of one benchmark depend on each other
