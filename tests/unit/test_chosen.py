"""The page of chosen documents: what it says of each arm and round must be true of that arm, seed and round."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.decomposition import PCA
from winnow.projection import fit_projection
from winnow.rounds import chosen
from winnow.rounds.chosen import CHARACTERS, chosen_of_runs, shortened, typical
from winnow.stage import InputError, canonical

N = 60
ORDER = {"by": "random"}
SAMPLERS: dict[str, dict[str, Any]] = {
    "random": {"allocation": {"weight": "none"}, "ranking": ORDER, "start": None},
    "margin": {"allocation": {"weight": "none"}, "ranking": {"by": "uncertainty", "measure": "margin"}, "start": "random"},
}  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two shards of 60 documents: label 1 from document 40 on, cluster doc % 3, 10 bytes each; 0 to 9 are held out."""
    vectors = np.random.default_rng(0).standard_normal((N, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for i, part in enumerate(np.array_split(np.arange(N), 2)):
        texts = [f"text {d} <b>&" + " word" * (90 if d == 12 else 0) for d in part]
        pq.write_table(
            pa.table(
                {
                    "doc": part,
                    "text": texts,
                    "label": (part >= 40).astype(np.int64),
                    "bytes": np.full(len(part), 10),
                }
            ),
            tmp_path / f"d{i}.parquet",
        )
        np.save(tmp_path / f"v{i}.npy", vectors[part].astype(np.float16))
        pq.write_table(
            pa.table({"doc": part, "cluster": (part % 3).astype(np.int32), "distance": part / 100}),
            tmp_path / f"a{i}.parquet",
        )
    pq.write_table(
        pa.table({"cluster": np.arange(3), "excluded": [False, False, True]}), tmp_path / "clusters.parquet"
    )
    pq.write_table(pa.table({"doc": np.arange(10)}), tmp_path / "heldout.parquet")
    (tmp_path / "source.json").write_text(json.dumps({"labels": {"names": ["bad", "good"]}}))
    return tmp_path


def probes(path: Path, draws: dict[tuple[int, int], list[int]], margin: float) -> Path:
    """The draws of an arm of probes: documents by (data seed, round); `margin` of every one after the first round."""
    rows = [(s, r, d, margin if r else None) for (s, r), doc in draws.items() for d in doc]
    seed, index, doc, value = zip(*rows, strict=True)
    table = {"data_seed": seed, "round": pa.array(index, pa.int32()), "doc": doc}
    pq.write_table(pa.table(table | dict.fromkeys(chosen.MEASURES, pa.array(value, pa.float32()))), path)
    return path


def page(
    corpus: Path, arms: list[dict[str, Any]], draws: list[Path], predictions: tuple[Path, ...] = ()
) -> tuple[list, str]:
    chosen.main(
        documents=[corpus / "d0.parquet", corpus / "d1.parquet"], embeddings=[corpus / "v0.npy", corpus / "v1.npy"],
        source=corpus / "source.json", heldout=corpus / "heldout.parquet",
        assignments=[corpus / "a0.parquet", corpus / "a1.parquet"], clusters=[corpus / "clusters.parquet"], draws=draws,
        predictions=list(predictions), spec=canonical({"title": "T", "arms": arms, "links": [["Curves", "t.curves.html"]]}),
        out=corpus / "t.chosen",
    )  # fmt: skip
    with open(corpus / "t.chosen.csv", newline="") as file:
        return list(csv.DictReader(file)), (corpus / "t.chosen.html").read_text()


def arm(name: str, draws: list | None = None, predictions: list | None = None) -> dict[str, Any]:
    sampler = SAMPLERS[name]
    start = SAMPLERS[sampler["start"]] if sampler["start"] else None
    return {
        "name": f"e/{name}",
        "sampler": sampler,
        "start": start,
        "draws": draws,
        "predictions": predictions or [],
    }


def test_each_round_of_an_arm_is_described_by_its_own_documents(corpus: Path) -> None:
    """The arms stand in the order of their files, not of their names: else each would be shown with another's documents."""
    first = {(0, 0): [10, 12, 13], (0, 1): [40, 42], (1, 0): [15], (1, 1): [16]}
    second = {(0, 0): [10, 12, 13], (0, 1): [43, 46, 49], (1, 0): [15], (1, 1): [45]}
    files = [probes(corpus / "r.parquet", first, 0.9), probes(corpus / "m.parquet", second, 0.125)]
    rows, html = page(corpus, [arm("random"), arm("margin")], files)
    pool = rows[0]
    # 50 documents are not held out; those of cluster 2 (11, 14, ...) are excluded: 17 of them.
    kept = [d for d in range(10, N) if d % 3 != 2]
    assert (pool["documents"], pool["clusters"]) == (str(len(kept)), "2")
    assert float(pool["share_good"]) == pytest.approx(np.mean([d >= 40 for d in kept]))
    of = {(r["arm"], r["data_seed"], r["round"]): r for r in rows}
    one = of["e/margin", "0", "1"]
    assert (one["documents"], one["labels"], one["clusters"], one["mean_bytes"]) == ("3", "6", "1", "10")
    assert (one["share_good"], one["margin"]) == ("1", "0.125")
    assert of["e/random", "0", "1"]["documents"] == "2"
    assert of["e/random", "0", "0"]["margin"] == ""
    assert of["e/random", "1", "1"]["share_bad"] == "1"
    assert "margin 0.1250" in html
    assert "smallest margin first, from one pool. First draw: at random, from one pool." in html
    assert "of variance)" in html
    assert 'href="t.curves.html"' in html


def test_texts_are_escaped_and_shortened(corpus: Path) -> None:
    files = [
        probes(corpus / "r.parquet", {(0, 0): [12, 13]}, 0.5),
        probes(corpus / "m.parquet", {(0, 0): [12, 15]}, 0.5),
    ]
    html = page(corpus, [arm("random"), arm("margin")], files)[1]
    assert "text 13 &lt;b&gt;&amp;" in html
    assert "<b>" not in html
    assert "\u2026</td>" in html
    assert len(shortened("a\n b " * 200)) == CHARACTERS


def test_draws_of_single_runs_tell_the_same_as_those_of_probes(corpus: Path) -> None:
    draws = {(0, 0): [10, 12, 13], (0, 1): [40, 42], (1, 0): [15], (1, 1): [16]}
    expected, _ = page(corpus, [arm("margin")], [probes(corpus / "p.parquet", draws, 0.25)])
    files, many, predictions = [], [], []
    for seed in (0, 1):
        docs: list[int] = []
        for index in (0, 1):
            docs = sorted(docs + draws[seed, index])
            files.append(corpus / f"{seed}.{index}.parquet")
            table = {"doc": [*docs, 58], "split": ["train"] * len(docs) + ["validation"]}
            pq.write_table(pa.table(table), files[-1])
            many.append([seed, index])
        for shard in (0, 1):
            predictions.append(corpus / f"{seed}.p{shard}.parquet")
            looked_at = np.arange(30 * shard, 30 * shard + 30)
            measures = dict.fromkeys(chosen.MEASURES, np.full(30, 0.25))
            pq.write_table(pa.table({"doc": looked_at, **measures}), predictions[-1])
    found, _ = page(corpus, [arm("margin", many, [[0, 1], [1, 1]])], files, tuple(predictions))
    assert found == expected


def test_a_document_keeps_the_round_that_chose_it_first(tmp_path: Path) -> None:
    """A sampler that asks no model draws anew, and larger, each round."""
    for index, docs in enumerate([[3, 5], [3, 4, 5]]):
        pq.write_table(pa.table({"doc": docs, "split": ["train"] * len(docs)}), tmp_path / f"{index}.parquet")
    one = chosen_of_runs([(7, i, tmp_path / f"{i}.parquet") for i in (1, 0)], [])[7]
    assert (one.doc.tolist(), one.round.tolist()) == ([3, 4, 5], [0, 1, 0])


def test_the_projection_is_that_of_scikit_learn() -> None:
    x = np.random.default_rng(3).standard_normal((200, 6)) * [5, 3, 1, 1, 1, 1]
    fitted, peer = fit_projection(x), PCA(2).fit(x)
    assert fitted.explained == pytest.approx(peer.explained_variance_ratio_)
    assert np.abs(fitted(x)) == pytest.approx(np.abs(peer.transform(x)))
    assert (fitted.components[[0, 1], np.abs(fitted.components).argmax(1)] > 0).all()


def test_typical_documents_stand_for_the_groups_of_a_round() -> None:
    centres = np.eye(3) * 10
    x = np.concatenate(
        [centres[i] + np.linspace(-1, 1, 2 * n + 1)[:, None] * 0.1 for i, n in enumerate([2, 10, 5])]
    )
    at, sizes = typical(x, 3)
    assert sizes.tolist() == [21, 11, 5]
    assert x[at] == pytest.approx(centres[[1, 2, 0]])
    assert typical(x[:2])[0].tolist() == [0, 1]


def test_draws_of_an_earlier_version_and_another_corpus_are_one_line(corpus: Path) -> None:
    path = probes(corpus / "r.parquet", {(0, 0): [10, 99]}, 0.5)
    with pytest.raises(InputError, match="no labelled document 99, which an arm chose"):
        page(corpus, [arm("random")], [path])
    pq.write_table(pq.read_table(path).drop_columns("margin"), path)
    with pytest.raises(InputError, match=r"r.parquet: no column 'margin'; run the probes again"):
        page(corpus, [arm("random")], [path])
