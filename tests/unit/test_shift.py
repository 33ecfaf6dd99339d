"""What a user would lose if draws were compared wrongly with their corpus: chance that looks like a preference, a preference
that goes unseen, figures that depend on shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from winnow.csv_files import read_rows
from winnow.profile import shift, shift_tests
from winnow.stage import InputError, canonical

N = 6000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    rng = np.random.default_rng(0)
    length = rng.normal(100, 20, N)
    return pa.table(
        {
            "doc": np.arange(N) * 3,
            "words": pa.array(length, mask=rng.random(N) < 0.02),
            "level": pa.array(
                rng.choice(["easy", "early", "adult"], N, p=[0.5, 0.4, 0.1])
            ).dictionary_encode(),
            "flagged": rng.random(N) < 0.2,
            "emotions": [
                [e for e in ("joy", "fear", "anger") if rng.random() < 0.3] or None for _ in range(N)
            ],
        }
    )


def run(folder: Path, table: pa.Table, draws: dict[str, Any], shards: int = 1, **spec: Any) -> tuple[list[dict], list[dict]]:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, rows in enumerate(np.array_split(np.arange(-(-(3 * N) // 4096)), shards)):
        doc = table["doc"].to_numpy()
        inside = (doc // 4096 >= rows[0]) & (doc // 4096 <= rows[-1])
        paths.append(folder / f"{i}.parquet")
        pq.write_table(table.filter(pa.array(inside)), paths[-1])
    files = []
    for i, doc in enumerate(draws.values()):
        files.append(folder / f"draw{i}.parquet")
        pq.write_table(pa.table({"doc": np.asarray(doc, dtype=np.int64)}), files[-1])
    names = [[name, 0] for name in spec.pop("names", list(draws))]
    prompts = {"words": None, "features": None}
    settings = canonical({"draws": names, "columns": None, "prompts": prompts, "seed": 0, **spec})
    shift.main(measures=paths[::-1], draws=files, spec=settings, out_dir=folder / "out")
    out = folder / "out"
    labels = (
        read_rows(out / "shift-labels.csv", ["label"])
        if "\n" in (out / "shift-labels.csv").read_text()[:-1]
        else []
    )
    return read_rows(out / "shift.csv", ["arm"]), labels


def test_a_preference_is_found_and_a_random_draw_has_none(table, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    doc, words = table["doc"].to_numpy(), table["words"].to_numpy(zero_copy_only=False)
    easy = np.array(table["level"].to_pylist()) == "easy"
    joyful = np.array(["joy" in (e or []) for e in table["emotions"].to_pylist()])
    weight = (
        np.where(easy, 2.0, 1.0) * np.where(joyful, 2.0, 1.0) * np.where(np.nan_to_num(words) > 100, 1.5, 1.0)
    )
    draws = {
        "random": rng.choice(doc, 500, replace=False),
        "biased": rng.choice(doc, 500, replace=False, p=weight / weight.sum()),
    }
    rows, labels = run(tmp_path, table, draws)
    assert [row["column"] for row in rows] == ["words", "level", "flagged", "emotions"] * 2
    p = {(row["arm"], row["column"]): float(row["p_adjusted"]) for row in rows}
    for column in ("words", "level", "emotions"):
        assert p["random", column] > 0.05
        assert p["biased", column] < 0.01
    assert p["biased", "flagged"] > 0.05
    of = {(row["arm"], row["column"], row["label"]): row for row in labels}
    assert float(of["biased", "level", "easy"]["difference"]) > 0.1
    assert float(of["biased", "level", "easy"]["p_adjusted"]) < 0.001
    assert float(of["biased", "level", "early"]["difference"]) < 0
    assert float(of["biased", "emotions", "joy"]["p_adjusted"]) < 0.001
    assert float(of["random", "emotions", "joy"]["p_adjusted"]) > 0.05
    page = (tmp_path / "out" / "shift.html").read_text()
    assert "emotions: joy" in page
    first, _, biased = page[: page.index("random: measures")].partition("<td>biased</td>")
    assert first.count('<td class="n">nothing</td>') == 2
    assert "level easy (+" in biased
    assert "biased" in (tmp_path / "out" / "shift.svg").read_text()


def test_shards_change_no_byte(table, tmp_path: Path) -> None:
    draws = {"a": table["doc"].to_numpy()[::7]}
    for shards in (1, 4):
        run(tmp_path / str(shards), table, draws, shards)
    for name in ("shift.csv", "shift-labels.csv", "shift.svg", "shift.html", "shift.md"):
        assert (tmp_path / "1" / "out" / name).read_bytes() == (tmp_path / "4" / "out" / name).read_bytes()


def test_p_values_of_random_draws_are_uniform() -> None:
    rng = np.random.default_rng(2)
    values, category = rng.exponential(size=2000), rng.integers(0, 6, 2000)
    pool = shift.Moments(values[0])
    pool.add(values)
    counts = np.bincount(category, minlength=6)
    numbers, variations = [], []
    for seed in range(300):
        chosen = rng.choice(2000, 800, replace=False)
        draw = shift.Moments(values[0])
        draw.add(values[chosen])
        numbers.append(shift.numbers_shift(pool, draw)["p"])
        variations.append(
            shift.categories_shift(counts, np.bincount(category[chosen], minlength=6), 199, seed)["p"]
        )
    assert stats.kstest(numbers, "uniform").pvalue > 0.001
    assert stats.kstest(variations, "uniform").pvalue > 0.001


def test_figures_are_those_worked_out_by_hand() -> None:
    pool, draw = shift.Moments(5.0), shift.Moments(5.0)
    pool.add(np.array([1.0, 2.0, 3.0, 4.0]))
    draw.add(np.array([3.0, 4.0]))
    of = shift.numbers_shift(pool, draw)
    assert of["value"] == pytest.approx((3.5 - 2.5) / np.sqrt(1.25))
    assert of["random"] == pytest.approx(1.959964 * np.sqrt((4 - 2) / 3 / 2))
    assert shift.total_variation(np.array([5, 5]), np.array([3, 1])) == pytest.approx(0.25)
    p = shift.label_p(10, np.array([5, 5]), 4, np.array([4, 2]))
    assert p.tolist() == pytest.approx([2 * stats.hypergeom.sf(3, 10, 5, 4), 1])


def test_odd_columns_are_defined(tmp_path: Path) -> None:
    n = 40
    odd = pa.table(
        {
            "doc": np.arange(n),
            "constant": np.ones(n),
            "absent": pa.nulls(n, pa.float64()),
            "nan": np.full(n, np.nan),
            "text": pa.array([None, "$a<b"] * (n // 2)),
            "many": [f"v{i:02d}" for i in range(n)] if n < 50 else [],
            "empty": pa.array([[]] * n, pa.list_(pa.string())),
        }
    )
    rows, labels = run(tmp_path, odd, {"whole": np.arange(n), "half": np.arange(0, n, 2)})
    of = {(row["arm"], row["column"]): row for row in rows}
    assert of["half", "constant"]["value"] == "0"
    assert of["half", "absent"]["value"] == of["half", "nan"]["value"] == of["half", "nan"]["pool"] == ""
    assert float(of["half", "text"]["value"]) == 0.5
    assert {row["label"] for row in labels if row["column"] == "text"} == {"(none)", "$a<b"}
    assert of["whole", "text"]["value"] == "0"
    assert of["half", "empty"]["value"] == "0"


def test_files_that_do_not_fit_are_one_line(table, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 documents of draw 0 are in none of the 1 files"):
        run(tmp_path / "a", table, {"a": [0, 1]})
    with pytest.raises(InputError, match="no column 'wrds'"):
        run(tmp_path / "b", table, {"a": [0]}, columns=["wrds"])
    nested = table.append_column("nested", pa.array([[[1]]] * N))
    with pytest.raises(InputError, match="'nested' holds list"):
        run(tmp_path / "c", nested, {"a": [0]})
    with pytest.raises(InputError, match="2 names for 1 draws"):
        run(tmp_path / "d", table, {"a": [0]}, names=["a", "b"])
    assert not (tmp_path / "d" / "out").exists()


# ---------------------------------------------------------------- families, documents, arms


def test_families_are_read_one_after_the_other_and_compared_together(table, tmp_path: Path) -> None:
    run(tmp_path / "together", table, {"a": table["doc"].to_numpy()[::5]})
    parts = {"one": ["doc", "words", "level"], "two": ["doc", "flagged", "emotions"]}
    paths = []
    for name, columns in parts.items():
        for shard, rows_of in enumerate((slice(0, 2000), slice(2000, None))):
            paths.append(tmp_path / f"{name}{shard}.parquet")
            pq.write_table(table.select(columns).take(pa.array(np.arange(N)[rows_of])), paths[-1])
    paths.append(tmp_path / "empty.parquet")
    pq.write_table(
        pa.table({"doc": pa.array([], pa.int64()), "words": pa.nulls(0), "level": pa.nulls(0)}), paths[-1]
    )
    spec = {"draws": [["a", 0]], "columns": None, "prompts": {"words": None, "features": None}, "seed": 0}
    draw = tmp_path / "together" / "draw0.parquet"
    shift.main(measures=paths, draws=[draw], spec=canonical(spec), out_dir=tmp_path / "out")
    for name in ("shift.csv", "shift-labels.csv", "shift.svg"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "together" / "out" / name).read_bytes()
    pq.write_table(table.select(["doc", "level"]), tmp_path / "again.parquet")
    with pytest.raises(InputError, match=r"column 'level' is also in .*one0.parquet"):
        shift.main(
            measures=[*paths, tmp_path / "again.parquet"],
            draws=[draw],
            spec=canonical(spec),
            out_dir=tmp_path,
        )
    with pytest.raises(InputError, match=r"documents of draw 0 are in none of the 1 files from .*two1"):
        shift.main(measures=[*paths[:2], paths[3]], draws=[draw], spec=canonical(spec), out_dir=tmp_path)


def test_words_of_prompts_and_of_texts_are_compared(tmp_path: Path) -> None:
    n = 600
    dogs = np.arange(n) % 3 == 0
    documents = tmp_path / "documents.parquet"
    pq.write_table(
        pa.table({
            "doc": np.arange(n),
            "text": ["The dog ran." if dog else "The cat sat." for dog in dogs],
            "asked": ["['Run', 'dog']" if dog else "sit, cat" for dog in dogs],
            "features": [["Twist"] if i % 2 else None for i in range(n)],
        }),
        documents,
    )  # fmt: skip
    (tmp_path / "vocabulary.csv").write_text("name,count\nthe,600\ncat,400\nsat,400\ndog,200\nran,200\n")
    measures = tmp_path / "measures.parquet"
    pq.write_table(pa.table({"doc": np.arange(n), "length": np.ones(n)}), measures)
    draw = tmp_path / "draw.parquet"
    pq.write_table(pa.table({"doc": np.flatnonzero(dogs)[:100]}), draw)
    spec = {
        "draws": [["dogs", 3]],
        "columns": None,
        "prompts": {"words": "asked", "features": "features"},
        "seed": 0,
    }
    shift.main(measures=[measures], draws=[draw], spec=canonical(spec), out_dir=tmp_path / "out", name="tales",
               documents=[documents], vocabulary=[tmp_path / "vocabulary.csv"])  # fmt: skip
    rows = read_rows(tmp_path / "out" / "shift.csv", ["column"])
    assert [row["column"] for row in rows] == ["length", "prompt words", "prompt features", "text words"]
    of = {
        (row["column"], row["label"]): row
        for row in read_rows(tmp_path / "out" / "shift-labels.csv", ["label"])
    }
    assert float(of["prompt words", "dog"]["drawn_share"]) == 1
    assert float(of["prompt words", "cat"]["difference"]) == pytest.approx(-2 / 3)
    assert float(of["prompt features", "twist"]["p_adjusted"]) > 0.05
    assert {label for column, label in of if column == "text words"} == {
        "dog",
        "ran",
    }  # others: most documents have them
    page = (tmp_path / "out" / "shift.md").read_text()
    assert "# tales: what the samplers favour or lose" in page
    assert "prompt words dog (+66.67 points)" in page


def test_seeds_of_an_arm_are_tested_together_whatever_their_dependence() -> None:
    assert shift_tests.combined([0.01]) == 0.01
    assert shift_tests.combined([0.01, 0.03]) == pytest.approx(0.04)
    assert shift_tests.combined([0.9, 0.8]) == 1
    assert shift_tests.combined([0.01, None]) is None
    rows = [
        {"arm": arm, "data_seed": seed, "column": "words", "documents": 9, "drawn": 1.0 * seed, "value": 0.5, "random": 0.1, "p": p}
        for arm, seed, p in (("a", 0, 0.001), ("a", 1, 0.003), ("b", 0, 0.9))
    ]  # fmt: skip
    one, two = shift_tests.arm_measures(rows)
    assert (one["arm"], one["seeds"], one["drawn"], one["p"]) == ("a", 2, 0.5, pytest.approx(0.004))
    assert one["p_adjusted"] == pytest.approx(0.008)
    assert two["p_adjusted"] == pytest.approx(0.9)
