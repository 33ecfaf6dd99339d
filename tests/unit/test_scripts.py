"""Scripts without blanks: their texts give cloze items, are checked for contamination and have n-grams, as others do."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from winnow.cluster.near_duplicates import near_duplicates
from winnow.evaluate.contamination import WORDS, contained, index, matches
from winnow.evaluate.forms.cloze import (
    CHOICES,
    CONTINUATION_LENGTH,
    CONTINUATION_WORDS,
    split_characters,
    split_words,
)
from winnow.evaluate.forms.cloze import make as cloze_items
from winnow.evaluate.items import HeldOut
from winnow.score.dsir import ngrams
from winnow.scripts import CHARACTERS_A_WORD, count_words, part, without_blanks
from winnow.stage import InputError, canonical

ALPHABETS = {
    "chinese": "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏閏餘成歲律呂調陽雲騰致雨露結為霜",
    "japanese": "いろはにほへとちりぬるをわかよたれそつねならむウヰノオクヤマケフコエテ浅き夢見じ酔ひもせず東京",
    "thai": "กขคงจฉชซดตถทธนบปผฝพฟภมยรลวสหอ",
    "burmese": "ကခဂဃငစဆဇညတထဒနပဖဗမယရလဝသဟအ",
}
MARKS = {"thai": "\u0e31\u0e34\u0e35\u0e48\u0e49", "burmese": "\u102d\u102f\u1031\u1038\u103a"}
STOPS = {"thai": " ", "burmese": "။ "}
SENTENCES = {
    "english": "the river ran over seven old stones before a quiet market began to sell sugar",
    "french": "la rivière coulait sur de très vieilles pierres puis un marché où l'on vendait du thé",
    "russian": "река бежала по старым камням до тихого рынка где продавали сахар",
    "korean": "강은 오래된 돌 위로 흘러 조용한 시장 앞에서 설탕을 팔기 시작했다",
    "hindi": "नदी पुराने पत्थरों के ऊपर से बहती थी और बाजार में चीनी बिकती थी",
}


def text_of(script: str, seed: int, characters: int = 300) -> str:
    """Text of a script: sentences without blanks, marks on some of its letters."""
    generator = np.random.default_rng(seed)
    letters, out = ALPHABETS[script], []
    for i in range(characters):
        out.append(letters[generator.integers(len(letters))])
        if script in MARKS and generator.random() < 0.4:
            out.append(MARKS[script][generator.integers(len(MARKS[script]))])
        if i % 23 == 22:
            out.append(STOPS.get(script, "。"))
    return "".join(out)


def words_of(language: str, seed: int) -> str:
    generator = np.random.default_rng(seed)
    words = SENTENCES[language].split()
    return " ".join(
        f"{words[generator.integers(len(words))]}" for _ in range(int(generator.integers(10, 120)))
    )


def heldout(texts: list[str], groups: list[str] | None = None) -> HeldOut:
    n = len(texts)
    return HeldOut(np.arange(n), texts, list(groups or [None] * n), [None] * n)


@pytest.mark.parametrize("script", ALPHABETS)
def test_a_script_without_blanks_has_cloze_items(script: str) -> None:
    texts = [text_of(script, i) for i in range(12)]
    rows = cloze_items(heldout(texts), 10, 0)
    assert len(rows["item"]) == 10
    for item, context, choices, label in zip(
        *(rows[c] for c in ("item", "context", "choices", "label")), strict=True
    ):
        assert len(set(choices)) == CHOICES
        right = choices[label]
        squeezed = "".join(texts[item].split())
        assert squeezed.startswith("".join((context + right).split()))
        size = len("".join(right.split()))
        assert (
            CHARACTERS_A_WORD * CONTINUATION_WORDS <= size + 2 <= CHARACTERS_A_WORD * CONTINUATION_WORDS + 6
        )
        assert len(right.encode()) <= CONTINUATION_LENGTH
        for choice in choices:
            assert unicodedata.category(choice[0])[0] != "M"  # no mark without its letter


def test_too_short_and_other_scripts_are_not_cut_by_characters() -> None:
    assert split_characters(text_of("chinese", 0)[:48]) is not None
    assert split_characters(text_of("chinese", 0)[:40]) is None
    assert split_characters("Donaudampfschifffahrt" * 30) is None
    assert split_characters("река" * 60) is None
    with pytest.raises(
        InputError, match=r"24 words an item needs .in a script without blanks, 48 characters"
    ):
        cloze_items(heldout([text_of("thai", i)[:30] for i in range(8)]), 5, 0)


def test_a_long_document_is_read_no_further_than_its_item() -> None:
    text = text_of("japanese", 1)
    assert split_characters(text * 1000) == split_characters(text)


DIGESTS = {"english": "154c27d4ab1f0e6b", "french": "9c253c70bfc63d7a"}
"""Of the items as they were before scripts without blanks had any."""


def digest(rows: dict) -> str:
    return hashlib.sha256(canonical(rows).encode()).hexdigest()[:16]


@pytest.mark.parametrize("language", DIGESTS)
def test_items_of_texts_with_blanks_are_those_they_were(language: str) -> None:
    texts = [words_of(language, i) for i in range(60)]
    groups = [f"g{i % 3}" for i in range(60)]
    rows = cloze_items(heldout(texts, groups), 25, 3)
    assert digest(rows) == DIGESTS[language]
    # A few documents of another script, too few for items of their own, change nothing.
    more = [*texts, *(text_of("chinese", i) for i in range(CHOICES - 1))]
    assert cloze_items(heldout(more, [*groups, *["g0"] * (CHOICES - 1)]), 25, 3) == rows


@pytest.mark.parametrize("language", ["russian", "korean", "hindi"])
def test_words_of_many_bytes_have_items(language: str) -> None:
    rows = cloze_items(heldout([words_of(language, i) for i in range(60)]), 25, 3)
    assert len(rows["item"]) == 25
    for choices in rows["choices"]:
        assert all(len(choice.split()) == CONTINUATION_WORDS for choice in choices)
        assert max(map(len, choices)) <= CONTINUATION_LENGTH


def test_no_choice_is_told_by_its_script() -> None:
    texts = [text_of("chinese", i) if i % 3 else words_of("english", i) for i in range(60)]
    rows = cloze_items(heldout(texts, [f"g{i % 2}" for i in range(60)]), 60, 0)
    kinds = [{without_blanks(choice) for choice in choices} for choices in rows["choices"]]
    assert all(len(kind) == 1 for kind in kinds)
    assert {True, False} == set().union(*kinds)


# Words and windows


@given(
    st.text(st.characters(max_codepoint=0x0DFF)),
    st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)),
)
def test_text_of_other_scripts_is_untouched(text: str, hangul: str) -> None:
    for own in (text, hangul):
        assert part(own) == own
        assert count_words(own) == len(own.split())
        assert not without_blanks(own)


def test_words_of_mixed_texts() -> None:
    assert part("GPU 記憶體不足").split() == ["GPU", "記", "憶", "體", "不", "足"]
    assert count_words("GPU 記憶體不足") == 1 + 3
    assert without_blanks("在 GPU 上訓練模型")
    assert not without_blanks("The word 天 means sky")
    assert not without_blanks("123 ... !")


@pytest.mark.parametrize("script", ["chinese", "japanese", "thai"])
def test_an_item_in_a_script_without_blanks_is_found_in_training_text(script: str, tmp_path: Path) -> None:
    item, other = text_of(script, 1, 40), text_of(script, 2, 40)
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "toy", "kind": "minimal-pairs"}))
    pq.write_table(
        pa.table({"item": [0, 1], "choices": [[item, "x"], [other, "x"]]}), tmp_path / "data.parquet"
    )
    items = index([tmp_path])

    def found(text: str) -> list[int]:
        return [place for _, place in contained(items, matches(items, text))]

    assert found(f"{text_of(script, 3, 90)}{item}{text_of(script, 4, 90)}") == [0]
    assert found(f"{item} and English words, {other}") == [0, 1]
    assert found(text_of(script, 5, 500)) == []
    assert found(item[: len(item) // 2]) == []
    phrase = item[: CHARACTERS_A_WORD * WORDS - 2]  # of fewer characters than a window has
    assert found(phrase * 40) == []


def test_hashed_ngrams_of_a_script_without_blanks_are_characters_and_pairs() -> None:
    one, other = ngrams("天地玄黃", 10**6), ngrams("玄黃天地", 10**6)
    assert len(one) == 4 + 3
    assert len(np.intersect1d(one, other)) == 4 + 2
    assert np.array_equal(ngrams("The cat, it sat.", 10**6), ngrams("the CAT, it sat.", 10**6))


def test_near_duplicates_are_seen_in_a_script_without_blanks() -> None:
    text = text_of("chinese", 0, 400)
    assert near_duplicates([text, text[:-1] + "海", text_of("chinese", 1, 400)]) == pytest.approx(2 / 3)


def test_words_are_read_first() -> None:
    """Chinese that someone segmented keeps its items by words."""
    text = " ".join(text_of("chinese", 0).replace("。", ""))
    assert split_words(text) is not None
    rows = cloze_items(heldout([" ".join(text_of("chinese", i).replace("。", "")) for i in range(6)]), 6, 0)
    assert all(len(choice.split()) == CONTINUATION_WORDS for choices in rows["choices"] for choice in choices)
