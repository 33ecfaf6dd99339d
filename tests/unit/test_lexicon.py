"""Words of emotions and violence, valences, flags: what is counted, what is flagged and why."""

import numpy as np
import pytest
from winnow.profile.kinds import facts

pytest.importorskip("empath")
pytest.importorskip("vaderSentiment")

from winnow.profile import flags, lexicon
from winnow.profile.families import lexicon as family
from winnow.profile.keywords import KEYWORDS, keyword_rows
from winnow.schema import schema

HAPPY = "Tom was happy. He played with his friend. They laughed and hugged. It was a wonderful day."
SAD = "Ann was sad. She cried because her dog was gone. She was lonely and miserable. Nobody came, and she cried herself to sleep."
RELIEF = "Ann was sad. She cried because her dog was gone. She was miserable. Then it came back! She was so happy. They played and had a great, wonderful time."
VIOLENT = "The man took a gun. He shot at the house. The soldiers killed him with a sword. There was blood everywhere."
SCARED = "Sue was scared. A dreadful noise frightened her. She was terrified and trembled with fear. Then it was quiet."
KITCHEN = "Mom cut the bread with a knife. Then they ate it with butter. The bread was good, and all of them liked it."
NEUTRAL = "The bus stops at the library. It leaves at ten. The table shows the times."
TEXTS = [HAPPY, SAD, RELIEF, VIOLENT, SCARED, KITCHEN, NEUTRAL, "", "...", "好的。"]
FLAGS = ("flag_violence", "flag_fear", "flag_sadness", "flag_bad_ending")


def defaults(name):
    """The defaults that the schema states for a mapping."""
    return {key: sub["default"] for key, sub in schema()["$defs"][name]["properties"].items()}


@pytest.fixture(scope="module")
def measured():
    return family.measure(TEXTS, None, {})


def flagged(measured, row):
    return [name.removeprefix("flag_") for name in FLAGS if measured[name][row]]


def test_columns_are_those_that_are_declared(measured):
    assert set(measured) == set(facts("lexicon").columns)
    assert {values.dtype.kind for values in measured.values()} == {"f", "i", "O"}
    assert all(len(values) == len(TEXTS) for values in measured.values())


def test_stories_are_flagged_for_what_they_hold(measured):
    assert flagged(measured, 0) == []
    assert "sadness" in flagged(measured, 1)
    assert flagged(measured, 2) == [], "sadness is relieved"
    assert "violence" in flagged(measured, 3)
    assert "fear" in flagged(measured, 4)
    assert [flagged(measured, row) for row in (5, 6, 7, 8, 9)] == [[]] * 5, "one knife is no violence"


def test_evidence_names_the_words_and_the_valence(measured):
    assert measured["flag_evidence"][0] is None
    assert measured["flag_evidence"][3].startswith("violence: gun, shot, killed, sword")
    ending = measured["valence_end"][1]
    assert measured["flag_evidence"][1] == f"sadness: sad, cried, miserable; ending {ending:.2f}"


def test_texts_without_words_have_no_rates(measured):
    for row in (7, 8):
        assert np.isnan(measured["violence_rate"][row])
        assert np.isnan(measured["valence"][row])
    assert measured["joy_rate"][0] == np.float32(
        1000 * measured["joy_words"][0] / len(lexicon.WORD.findall(HAPPY))
    )


def test_order_and_place_of_texts_change_nothing(measured):
    backwards = family.measure(TEXTS[::-1], None, {})
    for name, values in measured.items():
        np.testing.assert_array_equal(values, backwards[name][::-1])
        alone = np.ma.concatenate([family.measure([text], None, {})[name] for text in TEXTS])
        np.testing.assert_array_equal(np.ma.getmaskarray(values), np.ma.getmaskarray(alone))
        np.testing.assert_array_equal(np.ma.getdata(values), np.ma.getdata(alone))
    assert all(len(values) == 0 for values in family.measure([], None, {}).values())


def test_valence_is_vaders(measured):
    analyzer = lexicon.analyzer()
    of_sentences = [analyzer.polarity_scores(part)["compound"] for part in lexicon.sentences(SAD)]
    assert len(of_sentences) == 4
    assert measured["valence"][1] == np.float32(np.mean(of_sentences))
    assert measured["valence_end"][1] == np.float32(sum(of_sentences[-3:]) / 3)


def test_long_sentences_are_cut():
    parts = lexicon.sentences("word " * 5000)
    assert max(map(len, parts)) <= lexicon.LONGEST_SENTENCE
    assert len("".join(parts).split()) == 5000


def test_words_of_the_lexicon():
    groups = lexicon.lexicon()
    words = {"sad": "sadness", "crying": "sadness", "scared": "fear", "afraid": "fear", "angry": "anger", "killed": "violence",
             "guns": "violence", "happily": "joy", "delight": "joy", "loved": "love", "kisses": "love", "died": "death",
             "funeral": "death"}  # fmt: skip
    assert {word: groups.get(lexicon.stem(word)) for word in words} == words
    for word in ("happiness", "feel", "bad", "mean", "cut", "hit", "kick", "play", "face", "emotion"):
        assert groups.get(lexicon.stem(word)) in (None, "joy"), f"{word} is too general"
    assert set(groups.values()) == set(lexicon.GROUPS)


def test_thresholds_decide():
    assert family.measure([KITCHEN], None, {"violence_words": 1})["flag_violence"].tolist() == [1]
    assert family.measure([VIOLENT], None, {"violence_words": 9})["flag_violence"].tolist() == [0]
    assert defaults("profile_lexicon") == flags.DEFAULTS


def test_strongest_are_the_same_from_shards():
    rng = np.random.default_rng(0)
    columns = {"doc": np.arange(60), "flag_bad_ending": rng.integers(0, 2, 60).astype(np.int32),
               "valence_end": rng.choice([-0.9, -0.5, -0.4], 60).astype(np.float32)}  # fmt: skip
    whole = flags.strongest(columns, "flag_bad_ending", 5)
    assert (np.diff(columns["valence_end"][whole]) >= 0).all()
    shards = [
        {name: values[part] for name, values in columns.items()} for part in (slice(0, 17), slice(17, 60))
    ]
    best = [
        {name: values[flags.strongest(shard, "flag_bad_ending", 5)] for name, values in shard.items()}
        for shard in shards
    ]
    merged = {name: np.concatenate([part[name] for part in best]) for name in columns}
    assert (
        merged["doc"][flags.strongest(merged, "flag_bad_ending", 5)].tolist()
        == columns["doc"][whole].tolist()
    )


def test_keywords_of_prompts():
    rows = keyword_rows({"sad": 30, "lonely": 1, "zebra": 5}, 100)
    assert len(rows) == sum(map(len, KEYWORDS.values()))
    (sad,) = [row for row in rows if row["word"] == "sad"]
    assert (sad["theme"], sad["count"], sad["share"]) == ("sadness", 30, 0.3)
    assert round(sad["ci_low"], 4) == 0.2189  # Wilson, by hand
    assert round(sad["ci_high"], 4) == 0.3958
    words = [word for of_theme in KEYWORDS.values() for word in of_theme]
    assert len(words) == len(set(words))
    assert {row["share"] for row in keyword_rows({}, 0)} == {None}
