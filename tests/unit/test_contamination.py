"""Contamination: an item that stands in the training text is found, what only resembles it is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from winnow.evaluate.contamination import (
    SHARE,
    WORDS,
    contained,
    hashes,
    index,
    matches,
    shard,
    subset,
    words_of,
)

ITEM = "A farmer carried seven heavy baskets of green apples over the old stone bridge before the rain began"
OTHER = (
    "The committee will publish its annual report on river pollution and fishing rights early in the spring"
)
SHORT = "Too short to tell"


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    folder = tmp_path / "benchmark"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"name": "toy", "kind": "minimal-pairs"}))
    choices = [[ITEM, "no"], [OTHER, "no"], [SHORT, "no"]]
    pq.write_table(pa.table({"item": [0, 1, 2], "choices": choices}), folder / "data.parquet")
    return folder


def documents(path: Path, texts: list[str]) -> Path:
    pq.write_table(pa.table({"doc": pa.array(range(10, 10 + len(texts)), pa.int64()), "text": texts}), path)
    return path


def found(benchmark: Path, text: str) -> list[int]:
    items = index([benchmark])
    return [place for _, place in contained(items, matches(items, text))]


def test_case_and_punctuation_hide_nothing(benchmark: Path) -> None:
    assert found(benchmark, f"Chapter 1.\n{ITEM.upper().replace(' ', ',  ')}! And so on.") == [0]
    assert found(benchmark, f"{ITEM}. {OTHER}.") == [0, 1]
    assert found(benchmark, SHORT) == []


def test_less_than_the_share_is_no_find(benchmark: Path) -> None:
    words = ITEM.split()
    grams = len(words) - WORDS + 1
    enough = int(np.ceil(SHARE * grams))
    assert found(benchmark, " ".join(words[: WORDS - 1 + enough])) == [0]
    assert found(benchmark, " ".join(words[: WORDS - 2 + enough])) == []
    assert found(benchmark, " ".join(reversed(words))) == []


def test_a_context_without_its_wrong_answers_and_a_filled_blank_are_found(tmp_path: Path) -> None:
    rows = [
        {
            "ctx": ITEM,
            "endings": [OTHER, "Nobody had ever seen such a large blue bird in any of those gardens before"],
        },
        {
            "sentence": ITEM.replace("old stone bridge", "_"),
            "option1": "old stone bridge",
            "option2": "wet road",
            "answer": "1",
        },
    ]
    for number, row in enumerate(rows):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps({"name": f"b{number}", "kind": "cloze"}))
        pq.write_table(pa.Table.from_pylist([row]), folder / "data.parquet")
        assert found(folder, f"It is said that {ITEM}. {OTHER}") == [0]
        assert found(folder, "Nothing of the kind was ever told in the whole of that very long evening") == []


def test_a_subset_counts_over_all_its_documents_and_the_filter_over_each(
    benchmark: Path, tmp_path: Path
) -> None:
    words = ITEM.split()
    split = documents(tmp_path / "d.parquet", [" ".join(words[:13]), " ".join(words[3:]), OTHER, "else"])
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"ids": {"corpus": "c"}}))
    subset(subset=manifest, split=split, benchmarks=[benchmark], out=tmp_path / "out.json")
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["ids"] == {"corpus": "c"}
    assert report["benchmarks"] == {"toy": {"items": 3, "checked": 2, "found": 2, "first": [0, 1]}}
    shard(documents=split, benchmarks=[benchmark], out=tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [{"doc": 11, "items": 1, "benchmark": "toy"}, {"doc": 12, "items": 1, "benchmark": "toy"}]  # fmt: skip


def test_a_copy_of_a_hub_repository_is_read_by_its_card(tmp_path: Path) -> None:
    for name, text in (("one", ITEM), ("two", OTHER)):  # two folders of one name hold two data sets
        source = tmp_path / name / "owner" / "data"
        (source / "plain").mkdir(parents=True)
        (source / "plain" / "items.jsonl").write_text(json.dumps({"text": text}) + "\n")
        (source / "README.md").write_text(
            "---\nconfigs:\n- config_name: default\n  data_files:\n  - {split: test, path: plain/items.jsonl}\n---\n"
        )
        manifest = {
            "name": name,
            "kind": "stock",
            "dataset": "owner/data",
            "evaluated": [["default", "test"]],
        }
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
        assert found(tmp_path / name, f"{ITEM}.") == ([0] if name == "one" else [])


WORD = st.sampled_from("abcdefgh")


@given(st.lists(WORD, max_size=40), st.lists(WORD, max_size=40))
def test_windows_are_equal_where_their_words_are(left: list[str], right: list[str]) -> None:
    ids = {letter: i for i, letter in enumerate("abcdefg")}  # h is a word of no benchmark

    def windows(words: list[str]) -> set[tuple[str, ...]]:
        whole = {tuple(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1)}
        return {window for window in whole if "h" not in window}

    both = [hashes(np.array([ids.get(w, -1) for w in words], dtype=np.int64)) for words in (left, right)]
    assert len(np.unique(both[0])) == len(windows(left))
    assert len(np.intersect1d(*both)) == len(windows(left) & windows(right))


def test_words() -> None:
    assert words_of("It's 3.5 km — far_away!") == ["it", "s", "3", "5", "km", "far", "away"]
