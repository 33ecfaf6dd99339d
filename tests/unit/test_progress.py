"""Progress: whoever waits for a long stage sees within seconds that it works, how far it is, and what is true of it."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np
import pytest
import winnow.cluster.kmeans
import winnow.embed.encode
import winnow.train.loop
from hypothesis import given
from hypothesis import strategies as st
from test_cluster import Corpus
from test_embed import SPEC, texts, write
from test_train import Run
from winnow.batching import BLOCK, of_batches
from winnow.embed.encode import embed_shard
from winnow.embed.encoder import Encoder
from winnow.score.semdedup import largest_similarity
from winnow.stage import Progress

always = functools.partial(Progress, every=0)


def told(err: str, what: str) -> list[tuple[int, int]]:
    """(done, total) of the progress lines of `what`."""
    found = re.findall(rf"^\[{what}\] ([\d,]+) of ([\d,]+) ", err, re.MULTILINE)
    return [(int(done.replace(",", "")), int(total.replace(",", ""))) for done, total in found]


@given(st.lists(st.integers(0, 512), max_size=100), st.integers(1, 4096), st.integers(0, 5000))
def test_all_batches_together_tell_all_documents(lengths: list[int], tokens: int, documents: int) -> None:
    if lengths and min(lengths) == 0:
        lengths = [n + 1 for n in lengths]
    progress = Progress("x", every=1e9)
    list(of_batches(len, np.array(lengths, dtype=np.int64), tokens, "cpu", progress, documents))
    assert progress.done == pytest.approx(documents)


def test_embedding_tells_how_far_it_is_below_one_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(winnow.embed.encode, "Progress", always)
    rows = texts(600)
    assert len(rows) < BLOCK
    embed_shard(
        write(tmp_path / "d.parquet", np.arange(600), rows), Encoder(SPEC, "cpu"), tmp_path / "e.npy", "x"
    )
    lines = told(capsys.readouterr().err, "embed x")
    assert len(lines) >= 4
    assert lines == sorted(lines)
    assert {total for _, total in lines} == {600}
    assert 0 < lines[0][0] < 600
    assert lines[-1] == (600, 600)


def test_the_first_line_comes_sooner_than_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress("x", total=100, unit="steps", every=10)
    at = []
    for second in range(30):
        now[0] = 100.0 + second
        progress.add(1)
        if capsys.readouterr().err:
            at.append(second)
    assert at == [5, 15, 25]


def test_a_part_of_a_unit_is_not_said_to_be_done(capsys: pytest.CaptureFixture) -> None:
    progress = Progress("x", total=3, unit="steps", every=0)
    progress.add(0.75)
    assert told(capsys.readouterr().err, "x") == [(0, 3)]
    for _ in range(27):
        progress.add(1 / 12)
    assert told(capsys.readouterr().err, "x")[-1] == (3, 3)


@pytest.mark.parametrize("rows", [60, 900])
def test_k_means_counts_the_iterations_that_it_made(
    rows: int, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """On a small corpus all are those of the starts, which were not counted: "0 iterations"."""
    Corpus(tmp_path, 1, rows=rows).run()
    (line,) = re.findall(
        r"^\[cluster .*\] (\d+) iterations.*mean cosine", capsys.readouterr().err, re.MULTILINE
    )
    assert int(line) >= 1


def test_training_tells_within_a_step_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    run = Run(tmp_path)
    monkeypatch.setattr(winnow.train.loop, "Progress", always)
    winnow.train.loop.main(**run.arguments("out", steps=3))
    err = capsys.readouterr().err
    assert "[train ] loading the model\n" in err
    assert [done for done, _ in told(err, "train ")] == [
        0,
        1,
        1,
        2,
        2,
        3,
        3,
    ]  # two micro-batches a step, and the end


def test_near_duplicates_are_counted_within_a_large_cluster(capsys: pytest.CaptureFixture) -> None:
    vectors = np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float16)
    largest_similarity(vectors, block=256, progress=Progress("x", total=1000, unit="documents", every=0))
    assert [done for done, _ in told(capsys.readouterr().err, "x")] == [256, 512, 768, 1000]
