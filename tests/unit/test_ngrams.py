"""The n-gram baselines of a language model: distributions that sum to one, and figures that can be recomputed by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tokens import TEXTS, config_of, make, packed
from winnow.evaluate.ngrams import Bigram, main
from winnow.stage import canonical


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.integers(0, 4))
def test_each_distribution_sums_to_one(stream: list[int], before: int) -> None:
    model = Bigram(np.array(stream), 5)
    both = [model.nats(np.array([before, after])) for after in range(5)]
    for which in range(2):
        assert sum(math.exp(-nats[which]) for nats in both) == pytest.approx(1)


def test_witten_and_bell_by_hand() -> None:
    model = Bigram(np.array([0, 1, 0, 1, 0, 2]), 3)  # after 0: 1 twice, 2 once
    single = [4 / 9, 3 / 9, 2 / 9]
    unigram, bigram = model.nats(np.array([0, 1]))
    assert math.exp(-unigram) == pytest.approx(single[1])
    assert math.exp(-bigram) == pytest.approx((2 + 2 * single[1]) / (3 + 2))
    assert math.exp(-model.nats(np.array([2, 0]))[1]) == pytest.approx(single[0])  # 2 was never followed


def test_text_of_the_same_kind_is_told_better_by_pairs(tmp_path: Path) -> None:
    tokenizer = make(tmp_path / "tokenizer")
    packed(tmp_path, tokenizer, TEXTS)
    (tmp_path / "manifest.json").write_text(json.dumps({"ids": {"corpus": "c"}}))
    folder = tmp_path / "heldout"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"name": "heldout-bpb"}))
    pq.write_table(pa.table({"text": TEXTS[:20]}), folder / "data.parquet")
    main(subset=tmp_path / "manifest.json", tokens=tmp_path / "t.npy", tokenizer=tokenizer, tokenizer_config=config_of(tokenizer),
         benchmark=folder, spec=canonical({"names": {"tokenizer": "toy"}}), out=tmp_path / "out.json")  # fmt: skip
    out = json.loads((tmp_path / "out.json").read_text())
    assert out["ids"] == {"corpus": "c", "tokenizer": "toy"}  # its name, not that of its folder
    assert out["benchmark"] == "heldout-bpb"
    assert out["bytes"] == sum(len(text.encode()) for text in TEXTS[:20])
    assert 0 < out["bigram"] < out["unigram"] < 8
