"""Words and features of prompts are counted whatever form a column has, and the words of texts as a reader counts them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.profile import counts, words
from winnow.stage import InputError

WANTED = [["cat", "big dog"], [], ["twist"], ["cat"]]
FORMS = {
    "lists": pa.array([["Cat ", " big  dog"], None, ["TWIST", ""], ["cat", None]]),
    "large lists": pa.array([["cat", "big dog"], [], ["twist"], ["cat"]], pa.large_list(pa.large_string())),
    "nested lists": pa.array([[["cat"], ["big dog"]], [], [[], ["twist"]], [["cat"], None]]),
    "lists of strings of Python": pa.array(["['Cat', 'big dog']", "[]", "[ 'twist' ]", "['cat']"]),
    "lists of strings of JSON": pa.array(['["cat", "big dog"]', None, '["twist"]', '["cat"]']),
    "arrays of numpy": pa.array(["['cat' 'big dog']", "", "['twist']", "['cat']"]),
    "tuples": pa.array(["('cat', 'big dog')", "()", "('twist',)", "('cat',)"]),
    "strings": pa.array(["cat, Big Dog", "  ", "twist,", " cat "]),
    "lines": pa.array(["cat\nbig dog", "", "\n twist", "cat"]),
    "several lines of a list": pa.array(["['cat',\n 'big dog']", "[]", "['twist'\n]", "['cat']"]),
    "a struct": pa.array(
        [{"a": ["cat"], "b": "big dog"}, None, {"a": None, "b": "twist"}, {"a": ["cat"], "b": ""}],
        pa.struct([("a", pa.list_(pa.string())), ("b", pa.string())]),
    ),
    "a dictionary": pa.array(["cat, big dog", None, "twist", "cat"]).dictionary_encode(),
    "lists of a dictionary": pa.ListArray.from_arrays(
        [0, 2, 2, 3, 4], pa.array(["cat", "big dog", "twist", "cat"]).dictionary_encode()
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_entries_are_the_same_in_every_form_of_a_column(form: str) -> None:
    found = counts.entries(FORMS[form])
    by_row: list[list[str]] = [[] for _ in WANTED]
    for row, place in zip(found.row.tolist(), found.place.tolist(), strict=True):
        by_row[row].append(found.names[place])
    assert [sorted(row) for row in by_row] == [sorted(row) for row in WANTED]
    assert found.counts() == Counter({"cat": 2, "big dog": 1, "twist": 1})


@pytest.mark.parametrize("form", FORMS)
def test_a_slice_of_a_column_has_the_entries_of_its_rows(form: str) -> None:
    assert counts.entries(FORMS[form].slice(2)).counts() == Counter({"cat": 1, "twist": 1})
    assert counts.entries(FORMS[form].slice(0, 0)).counts() == Counter()


def test_strings_and_lists_may_be_mixed_in_one_column() -> None:
    column = pa.array(["['a, b', 'c']", "a, c", "[\"don't\", 'stop']", "['it\\'s']", None, "[d]"])
    expected = {"a, b": 1, "c": 2, "a": 1, "don't": 1, "stop": 1, "it's": 1, "d": 1}
    assert counts.entries(column).counts() == Counter(expected)
    assert np.all(np.diff(counts.entries(column).row) >= 0)


def test_strings_that_repeat_are_parsed_once_to_the_same_entries() -> None:
    choices = ["['a, b', 'c']", "a, C", "", None, "a; c | d\nA", "[d]", "('a', 'c')", " ", "e"]
    once = [counts.entries(pa.array([cell], pa.string())).counts() for cell in choices]
    at = np.random.default_rng(2).integers(0, len(choices), 5000)
    column = pa.array([choices[i] for i in at])
    expected = [sorted(once[i].elements()) for i in at]
    for form in (column, column.dictionary_encode(), column.dictionary_encode("encode")):
        found = counts.entries(form)
        by_row: list[list[str]] = [[] for _ in at]
        for row, place in zip(found.row.tolist(), found.place.tolist(), strict=True):
            by_row[row].append(found.names[place])
        assert [sorted(row) for row in by_row] == expected
        assert np.all(np.diff(found.row) >= 0)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("None", []),
        ("nan", []),
        (" null ", []),
        ("<NA>", []),
        ("[null]", []),
        ("[None, nan]", []),
        ('[null, "Twist"]', ["twist"]),
        ('["Twist", null]', ["twist"]),
        ('["a", null, null, "b, c"]', ["a", "b, c"]),
        ("[None, None, 'a']", ["a"]),
        ("[a, None, b]", ["a", "b"]),
        ("['None', 'nan']", ["none", "nan"]),  # a word in quotes is a word
        ("none, nan", ["none", "nan"]),
        ('"a", "b"', ["a", "b"]),
        ("'a'; b", ["a", "b"]),
        ("don't, 'tis", ["don't", "'tis"]),
    ],
)
def test_missing_values_in_writing_are_no_entries_and_quotes_are_no_part_of_one(
    cell: str, expected: list[str]
) -> None:
    for column in (
        pa.array([cell, "x"]),
        pa.array([cell] * 9).slice(0, 1),
        pa.array([cell]).dictionary_encode(),
    ):
        found = counts.entries(column)
        assert [found.names[p] for row, p in zip(found.row, found.place, strict=True) if row == 0] == expected


def test_a_column_of_missing_values_and_of_numbers_is_counted_too() -> None:
    assert counts.entries(pa.nulls(3)).counts() == Counter()
    assert counts.entries(pa.array([1, 1, None])).counts() == Counter({"1": 2})


def test_a_column_of_another_type_ends_in_one_line(tmp_path: Path) -> None:
    pq.write_table(pa.table({"words": pa.array([b"a"])}), tmp_path / "x.parquet")
    with pytest.raises(
        InputError, match=r"x.parquet: column 'words' holds binary; expected: lists of strings, or strings$"
    ):
        counts.count_column(tmp_path / "x.parquet", "words")
    with pytest.raises(InputError, match=r"no column 'features'; columns: words$"):
        counts.count_column(tmp_path / "x.parquet", "features")


def test_rows_with_an_entry_are_counted_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "ROWS", 2)
    pq.write_table(pa.table({"words": FORMS["lists"]}), tmp_path / "x.parquet")
    assert counts.count_column(tmp_path / "x.parquet", "words") == (
        Counter(cat=2, twist=1, **{"big dog": 1}),
        3,
    )


def test_the_counts_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    rows = [[f" W{i} " for i in rng.integers(0, 50, rng.integers(0, 4))] for _ in range(500)]
    expected = Counter(entry.strip().lower() for row in rows for entry in row)
    assert counts.entries(pa.array(rows, pa.list_(pa.string()))).counts() == expected
    assert counts.entries(pa.array([str(row) for row in rows])).counts() == expected


def test_words_sentences_and_names_of_a_text() -> None:
    text = 'Tim saw Anna. "It\'s mine!" said Tom, and I ran... Well, Bob cried'
    assert words.words(text)[:5] == ["tim", "saw", "anna", "it's", "mine"]
    assert words.sentences(text) == 4
    assert words.names(text) == ["Anna", "Tom", "Bob"]
    assert words.words("我喜欢猫。") == ["我", "喜", "欢", "猫"]
    assert words.sentences("我喜欢猫。你呢？") == 2
    assert (words.words("... !"), words.sentences("... !")) == ([], 0)


def test_texts_add_to_the_vocabulary_names_and_sequences() -> None:
    into = {kind: Counter() for kind in counts.KINDS}
    digests = counts.count_texts(
        ["A cat saw Bob, and Bob ran.", "a CAT saw bob and bob ran", "Other"],
        np.array([True, False, True]),
        [2, 3],
        into,
    )
    assert into["vocabulary"]["bob"] == 4
    assert into["names"] == Counter(Bob=1)
    assert into["ngrams"]["saw bob and"] == 1
    assert into["ngrams"]["a cat"] == 1
    assert digests[0] == digests[1] != digests[2]


def test_the_sample_of_documents_depends_on_no_shard_and_has_about_the_size() -> None:
    doc = np.arange(20_000)
    chosen = counts.sampled(doc, 20_000, 5000)
    assert abs(int(chosen.sum()) - 5000) < 300
    assert np.array_equal(
        chosen, np.concatenate([counts.sampled(part, 20_000, 5000) for part in np.split(doc, 4)])
    )
    assert counts.sampled(doc, 20_000, 20_000).all()


@pytest.mark.parametrize("limit", [1, counts.Written.LIMIT])
@pytest.mark.parametrize("row_group_size", [1, 3, 4])
@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_several_row_groups_is_counted_in_every_form(
    form: str, row_group_size: int, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyarrow reads no batch of lists of a dictionary across row groups."""
    monkeypatch.setattr(counts.Written, "LIMIT", limit)
    table = pa.table({"words": FORMS[form], "other": pa.array(["x"] * 4)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=row_group_size)
    counted, rows = counts.count_column(tmp_path / "x.parquet", "words")
    assert dict(counted) == {"cat": 2, "big dog": 1, "twist": 1}
    assert rows == 3


def test_names_of_a_dictionary_that_do_not_occur_are_not_counted() -> None:
    """Else they would be distinct words with a count of 0."""
    column = pa.ListArray.from_arrays([0, 1, 2], pa.array(["cat", "dog"]).dictionary_encode())
    assert dict(counts.entries(column.slice(1)).counts()) == {"dog": 1}


def test_a_comma_inside_an_entry_of_a_list_is_kept_however_the_list_is_encoded() -> None:
    values = pa.array(["once, twice", "dog", None])
    for encoded in (values, values.dictionary_encode(), pa.DictionaryArray.from_arrays([0, 1, 2], values)):
        column = pa.ListArray.from_arrays([0, 2, 3], encoded)
        assert dict(counts.entries(column).counts()) == {"once, twice": 1, "dog": 1}


def test_missing_and_empty_entries_of_many_batches_are_no_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "ROWS", 7)
    rng = np.random.default_rng(1)
    choices = ["Cat", " cat", "", " ", None, "dog\t", *(f"w{i}" for i in range(40))]
    rows = [[choices[i] for i in rng.integers(0, len(choices), rng.integers(0, 3))] for _ in range(300)]
    rows = [None if at % 11 == 0 else row for at, row in enumerate(rows)]
    names = [[entry.strip().lower() for entry in row or [] if entry and entry.strip()] for row in rows]
    for kind in (pa.list_(pa.string()), pa.large_list(pa.large_string())):
        pq.write_table(pa.table({"words": pa.array(rows, kind)}), tmp_path / "x.parquet", row_group_size=50)
        counted, filled = counts.count_column(tmp_path / "x.parquet", "words")
        assert dict(counted) == Counter(name for row in names for name in row)
        assert filled == sum(map(bool, names))
