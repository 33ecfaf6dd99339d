"""Tokens: every document is there, whole, apart from the next, in the same bytes each time."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer
from winnow.stage import InputError, canonical
from winnow.tokenizer import END
from winnow.train.tokens import count, pack, pool_texts, train

TEXTS = [
    "The cat sat.",
    "é 語 🎻\n\ttabs",
    "x" * 5000,
    f"an {END} inside",
    *(f"story {i} of the sea" for i in range(300)),
]


def documents(folder: Path, pieces: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, rows in enumerate(np.array_split(np.arange(len(TEXTS)), pieces)):
        paths.append(folder / f"{i}.parquet")
        pq.write_table(
            pa.table({"doc": pa.array(rows, pa.int64()), "text": [TEXTS[r] for r in rows]}), paths[-1]
        )
    return paths


def make(folder: Path, pieces: int = 1, removed: tuple[int, ...] = (5, 6)) -> Path:
    paths = documents(folder, pieces)
    pq.write_table(pa.table({"doc": pa.array(removed, pa.int64())}), folder / "heldout.parquet")
    train(documents=paths, heldout=folder / "heldout.parquet", out=folder / "tokenizer.json",
          spec=canonical({"tokenizer": {"vocabulary": 400, "documents": 200, "seed": 0}}))  # fmt: skip
    return folder / "tokenizer.json"


def config_of(tokenizer: Path) -> Path:
    return tokenizer.with_name("tokenizer_config.json")


def packed(folder: Path, tokenizer: Path, texts: list[str]) -> tuple[np.ndarray, dict]:
    split = folder / "train.parquet"
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), split)
    pack(split=split, tokenizer=tokenizer, tokenizer_config=config_of(tokenizer), out=folder / "t.npy",
         meta=folder / "t.json")  # fmt: skip
    return np.load(folder / "t.npy", mmap_mode="r"), json.loads((folder / "t.json").read_text())


def test_the_stream_holds_every_text_whole_with_an_end_after_each(tmp_path: Path) -> None:
    path = make(tmp_path)
    texts = [t for t in TEXTS if END not in t]
    ids, meta = packed(tmp_path, path, texts)
    tokenizer = Tokenizer.from_file(str(path))
    end = tokenizer.token_to_id(END)
    assert ids.dtype == np.uint16
    assert ids[-1] == end
    parts = np.split(ids, np.flatnonzero(ids == end) + 1)[:-1]
    assert [tokenizer.decode(p[:-1].tolist(), skip_special_tokens=False) for p in parts] == texts
    assert meta["documents"] == len(texts)
    assert meta["bytes"] == sum(len(t.encode()) for t in texts)
    assert meta["tokens"] == len(ids)
    assert meta["sha256"] == hashlib.sha256(ids.tobytes()).hexdigest()
    assert ids.max() < meta["vocabulary"] <= 400


def test_tokenizer_and_stream_have_the_same_bytes_for_any_shards(tmp_path: Path) -> None:
    one, many = make(tmp_path / "a"), make(tmp_path / "b", pieces=5)
    assert one.read_bytes() == many.read_bytes()
    packed(tmp_path / "a", one, TEXTS)
    packed(tmp_path / "b", many, TEXTS)
    for name in ("t.npy", "t.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_tokenizer_never_sees_a_heldout_document(tmp_path: Path) -> None:
    removed = np.arange(0, len(TEXTS), 2)
    seen = list(pool_texts(documents(tmp_path, 3), removed, 1000, 0))
    assert seen == [TEXTS[i] for i in range(1, len(TEXTS), 2)]
    assert len(list(pool_texts(documents(tmp_path, 3), removed, 17, 0))) == 17


def test_the_tokenizer_opens_in_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    make(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.eos_token == END
    assert tokenizer.decode(tokenizer("The cat sat. é 語")["input_ids"]) == "The cat sat. é 語"


def test_counted_lengths_are_those_of_the_stream(tmp_path: Path) -> None:
    tokenizer = make(tmp_path / "t")
    texts = [t for t in TEXTS if END not in t]
    stream, _ = packed(tmp_path, tokenizer, texts)
    pq.write_table(pa.table({"doc": range(len(texts)), "text": texts}), tmp_path / "d.parquet")
    count(documents=tmp_path / "d.parquet", tokenizer=tokenizer, tokenizer_config=config_of(tokenizer),
          out=tmp_path / "lengths.parquet")  # fmt: skip
    lengths = pq.read_table(tmp_path / "lengths.parquet")
    assert lengths["doc"].to_pylist() == list(range(len(texts)))
    ends = np.flatnonzero(stream == stream[-1])
    assert lengths["tokens"].to_pylist() == np.diff(ends, prepend=-1).tolist()


def test_a_split_without_documents_is_an_empty_stream(tmp_path: Path) -> None:
    ids, meta = packed(tmp_path, make(tmp_path), [])
    assert len(ids) == 0
    assert meta["tokens"] == 0


def test_large_vocabularies_get_wider_ids(tmp_path: Path) -> None:
    vocabulary = {END: 0, **{f"w{i}": i + 1 for i in range(70_000)}}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "normalizer": None,
                 "added_tokens": [{"id": 0, "content": END, "single_word": False, "lstrip": False,
                                   "rstrip": False, "normalized": False, "special": True}],
                 "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
                 "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"}}  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    ids, _ = packed(tmp_path, tmp_path / "tokenizer.json", ["w69999 w5"])
    assert ids.dtype == np.uint32
    assert ids.tolist() == [70_000, 6, 0]


def test_control_tokens_are_those_of_the_config_that_is_given(tmp_path: Path) -> None:
    """The file beside the tokenizer was read, whatever the rule declared."""
    path = make(tmp_path)
    (tmp_path / "other").mkdir()
    moved = config_of(path).rename(tmp_path / "other" / "config.json")
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "s.parquet")
    out = {"out": tmp_path / "t.npy", "meta": tmp_path / "t.json"}
    pack(split=tmp_path / "s.parquet", tokenizer=path, tokenizer_config=moved, **out)
    with pytest.raises(InputError, match=r"tokenizer_config\.json: no such file"):
        pack(split=tmp_path / "s.parquet", tokenizer=path, tokenizer_config=config_of(path), **out)


def test_a_tokenizer_without_an_end_is_an_error(tmp_path: Path) -> None:
    path = make(tmp_path)
    path.write_text(path.read_text().replace(END, "<|other|>"))
    with pytest.raises(InputError, match=r"has no <\|endoftext\|> token"):
        packed(tmp_path, path, ["a"])
    assert not (tmp_path / "t.npy").exists()
