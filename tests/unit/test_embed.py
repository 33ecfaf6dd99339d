"""Embedding: each document gets its own vector, the same for any shards, and bad input one line."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.batching import BLOCK, batches, blocks
from winnow.device import native_bfloat16
from winnow.embed.encode import embed_shard, main
from winnow.embed.encoder import Encoder
from winnow.in_flight import PREPARING
from winnow.stage import InputError, canonical

ROOT = Path(__file__).parents[2]
SPEC = {"pooling": "mean", "prefix": "", "precision": "float32",
        **yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]["minilm"],
        "max_tokens": 32}  # fmt: skip
WORDS = [
    "river",
    "stone",
    "engine",
    "quiet",
    "market",
    "sugar",
    "theorem",
    "violin",
    "harbour",
    "protein",
    "window",
    "glacier",
]


def texts(rows: int, seed: int = 0) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, generator.integers(1, 20))) + f" {i}" for i in range(rows)]


def write(path: Path, doc: np.ndarray, rows: list[str]) -> Path:
    table = pa.table({"doc": pa.array(doc, pa.int64()), "text": pa.array(rows, pa.string())})
    pq.write_table(table, path, row_group_size=7)
    return path


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(SPEC, device="cpu")


@given(st.lists(st.integers(1, 512), max_size=200), st.integers(1, 4096))
def test_batches_hold_each_row_once_within_the_token_budget(lengths: list[int], tokens: int) -> None:
    array = np.array(lengths, dtype=np.int64)
    parts = list(batches(array, tokens))
    assert sorted(np.concatenate([*parts, np.zeros(0, np.int64)]).tolist()) == list(range(len(array)))
    for rows in parts:
        assert len(rows) == 1 or array[rows].max() * len(rows) <= tokens


@settings(max_examples=30)
@given(st.lists(st.integers(0, 5 * BLOCK), unique=True, max_size=60), st.integers(0, 5))
def test_blocks_are_those_of_the_source_whatever_the_shard(docs: list[int], cut: int) -> None:
    doc = np.sort(np.array(docs, dtype=np.int64))
    whole = [doc[s].tolist() for s in blocks(doc)]
    assert [d for part in whole for d in part] == doc.tolist()
    shards = [doc[doc < cut * BLOCK], doc[doc >= cut * BLOCK]]
    assert [s[b].tolist() for s in shards for b in blocks(s)] == whole


def test_vectors_are_unit_finite_and_in_the_order_of_the_documents(encoder: Encoder, tmp_path: Path) -> None:
    rows = [*texts(60), "x", "word " * 50_000, "\u0000\ud7ff é 語 🎻"]
    embed_shard(write(tmp_path / "d.parquet", np.arange(len(rows)), rows), encoder, tmp_path / "e.npy", "t")
    vectors = np.load(tmp_path / "e.npy", mmap_mode="r")
    assert vectors.dtype == np.float16
    assert vectors.shape == (63, 384)
    assert vectors.flags.c_contiguous
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=2e-3)
    for i in (0, 31, 60, 61, 62):
        alone = encoder.encode([rows[i]])[0].astype(np.float64)
        assert (alone @ vectors.astype(np.float64).T).argmax() == i
        assert alone @ vectors[i].astype(np.float64) > 0.999


def test_vectors_are_those_of_sentence_transformers(encoder: Encoder) -> None:
    peer = pytest.importorskip("sentence_transformers")
    from winnow.weights import weights_folder

    model = peer.SentenceTransformer(str(weights_folder(SPEC["source"])), device="cpu")
    model.max_seq_length = SPEC["max_tokens"]
    reference = model.encode(texts(40), show_progress_bar=False, normalize_embeddings=True)
    cosine = (encoder.encode(texts(40)).astype(np.float64) * reference).sum(1)
    assert cosine.min() > 0.9999
    if native_bfloat16("cpu"):
        half = Encoder({**SPEC, "precision": "auto"}, device="cpu")
        assert half.precision == "bfloat16"
        assert (half.encode(texts(40)) * reference).sum(1).mean() > 0.999


def test_the_number_of_shards_changes_no_byte(encoder: Encoder, tmp_path: Path) -> None:
    doc = np.concatenate([np.arange(0, 90, 2), BLOCK + np.arange(50), 2 * BLOCK + np.arange(0, 40, 3)])
    rows = texts(len(doc))
    embed_shard(write(tmp_path / "d.parquet", doc, rows), encoder, tmp_path / "one.npy", "t")
    parts = []
    for i in range(3):
        mine = np.flatnonzero(doc // BLOCK == i)
        path = write(tmp_path / f"d{i}.parquet", doc[mine], [rows[j] for j in mine])
        embed_shard(path, encoder, tmp_path / f"{i}.npy", "t")
        parts.append(np.load(tmp_path / f"{i}.npy"))
    assert np.concatenate(parts).tobytes() == np.load(tmp_path / "one.npy").tobytes()


def test_a_shard_without_documents_gives_no_vectors(encoder: Encoder, tmp_path: Path) -> None:
    embed_shard(write(tmp_path / "d.parquet", np.zeros(0, np.int64), []), encoder, tmp_path / "e.npy", "t")
    assert np.load(tmp_path / "e.npy", mmap_mode="r").shape == (0, 384)


def test_prefix_pooling_and_token_limit_are_heeded(encoder: Encoder) -> None:
    rows = texts(5)
    prefixed = Encoder({**SPEC, "prefix": "query: "}, device="cpu").encode(rows)
    assert np.array_equal(prefixed, encoder.encode(["query: " + row for row in rows]))
    first = Encoder({**SPEC, "pooling": "cls"}, device="cpu").encode(rows).astype(np.float64)
    assert (first * encoder.encode(rows)).sum(1).max() < 0.99
    long = " ".join(WORDS * 10)
    assert np.array_equal(encoder.encode([long]), encoder.encode([long + " and an end that nobody reads"]))


def test_padding_changes_no_vector_beyond_rounding(encoder: Encoder) -> None:
    rows = ["short", " ".join(WORDS)]
    kinds = ["float32"] + ["bfloat16"] * native_bfloat16("cpu")
    for kind in kinds:
        one = Encoder({**SPEC, "precision": kind}, device="cpu")
        together = one.encode(rows).astype(np.float64)
        alone = np.concatenate([one.encode([row]) for row in rows])
        assert (together * alone).sum(1).min() > (0.99999 if kind == "float32" else 0.998)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": {**SPEC["source"], "sha256": "0" * 64}}, "but 0000"),
        (
            {"source": {"package": "no-such-weights", "sha256": "0" * 64}},
            "'no-such-weights' is not installed",
        ),
        ({"source": {"package": "pyarrow", "sha256": "0" * 64}}, "'pyarrow' holds no model.safetensors"),
        ({"source": {"hub": "no/such", "revision": "0" * 40}}, "is not in the Hub cache"),
        ({"max_tokens": 513}, "max_tokens 513 is beyond the 512 positions"),
        ({"dimension": 383}, "dimension is 383, but the model's vectors have 384"),
    ],
)
def test_a_wrong_encoder_gets_one_line(change: dict, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", np.arange(2), ["a", "b"])
    with pytest.raises(InputError) as error:
        main(documents=path, spec=canonical({"encoder": {**SPEC, **change}}), out=tmp_path / "e.npy")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.parquet"]


def test_a_vector_that_is_not_finite_is_named(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Encoder, rows: list[str], progress: object = None) -> np.ndarray:
        vectors = np.full((len(rows), 384), 0.05, dtype=np.float16)
        vectors[1] = np.nan
        return vectors

    monkeypatch.setattr(Encoder, "encode", broken)
    path = write(tmp_path / "d.parquet", np.array([4, 9, 11]), ["a", "b", "c"])
    with pytest.raises(InputError, match="document 9 has no finite vector at float32"):
        embed_shard(path, encoder, tmp_path / "e.npy", "t")
    assert not (tmp_path / "e.npy").exists()


def test_bfloat16_is_detected_never_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    assert not native_bfloat16("cpu")
    assert Encoder({**SPEC, "precision": "auto"}, device="cpu").precision == "float32"


FORCED = [
    {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
    {"ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Nehalem"},
]


@pytest.mark.slow
def test_clusters_agree_across_instruction_sets(tmp_path: Path) -> None:
    from winnow.cluster.kmeans import fit

    documents = write(tmp_path / "d.parquet", np.arange(1000), texts(1000))
    pq.write_table(pa.table({"doc": pa.array([], pa.int64())}), tmp_path / "heldout.parquet")
    environment = {
        k: v for k, v in os.environ.items() if k not in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")
    }
    clusters = []
    for number, forced in enumerate([{}, *FORCED]):
        vectors, out = tmp_path / f"{number}.npy", tmp_path / f"{number}.parquet"
        subprocess.run(
            [sys.executable, "-m", "winnow.embed.encode", "--documents", documents, "--out", vectors,
             "--spec", canonical({"encoder": SPEC})],
            env={**environment, **forced}, check=True, capture_output=True,
        )  # fmt: skip
        if not number:
            fit(documents=[documents], embeddings=[vectors], heldout=tmp_path / "heldout.parquet",
                out=tmp_path / "c.npy",
                spec=canonical({"clustering": {"encoder": "m", "method": "kmeans", "k": 12, "seed": 0,
                                               "points_per_centroid": 512, "iterations": 30, "restarts": 2}}))  # fmt: skip
        subprocess.run(
            [sys.executable, "-m", "winnow.cluster.kmeans", "assign", "--documents", documents,
             "--embeddings", vectors, "--centroids", tmp_path / "c.npy", "--out", out],
            env={**environment, **forced}, check=True, capture_output=True,
        )  # fmt: skip
        clusters.append(pq.read_table(out)["cluster"].to_numpy())
    for other in clusters[1:]:
        assert (clusters[0] == other).mean() >= 0.999


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_gpu_reads_texts_without_padding_and_finds_the_same_vectors(encoder, monkeypatch, pooling):
    from transformers import BertConfig
    from winnow.embed.bert import UnpaddedBert, can_be_unpadded

    assert can_be_unpadded(encoder.model.config)
    assert not can_be_unpadded(BertConfig(hidden_act="relu"))
    rows = [*texts(30), "river stone", *[" ".join(WORDS[:8])] * 3]
    monkeypatch.setitem(encoder.spec, "pooling", pooling)
    padded_vectors = encoder.encode(rows)
    monkeypatch.setattr(encoder, "unpadded", UnpaddedBert(encoder.model))
    cosine = (encoder.encode(rows).astype(np.float64) * padded_vectors).sum(1)
    assert cosine.min() > 0.999
    of_one_length = ["river one", "stone two", "sugar six"]
    equal = encoder.encode(of_one_length)
    monkeypatch.setattr(encoder, "unpadded", None)
    assert np.allclose(equal, encoder.encode(of_one_length), atol=2e-3)


@settings(max_examples=40)
@given(
    st.lists(st.text(st.sampled_from("ab e\u0301語🎻\n7"), max_size=4000), min_size=1, max_size=3),
    st.integers(1, 9),
)
def test_reading_the_first_characters_of_a_long_text_changes_no_token(encoder, rows, times):
    long = [text * times for text in rows]
    whole = encoder.tokenizer.encode_batch_fast([text[: 32 * 32] for text in long])
    assert encoder.tokens_of(long) == [one.ids for one in whole]


def test_one_block_at_a_time_is_tokenised_and_not_while_it_computes(encoder, monkeypatch):
    """Two blocks tokenised together share the cores, are ready together, and then wait for one GPU."""
    seen: list[tuple[str, bool]] = []

    def spy(name: str) -> None:
        plain = getattr(encoder, name)
        monkeypatch.setattr(
            encoder, name, lambda given: (seen.append((name, PREPARING.locked())), plain(given))[1]
        )

    spy("tokens_of")
    spy("_forward")
    encoder.encode(texts(3))
    assert seen == [("tokens_of", True), ("_forward", False)]
