"""Rows of every shape, in every format, cut and order: what comes out equals what went in, or one line says why not.
Never a traceback, never a silent change, and never an answer that depends on the cut."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sources import PACK, same
from winnow.documents import streams
from winnow.documents.columns import Column, to_array
from winnow.documents.shards import index_files, write_shard
from winnow.stage import InputError

pytestmark = pytest.mark.slow

NAMES = ("a", "b", "m")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([1 << 53, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 63)]),
    st.floats(allow_nan=False),
    texts,
    st.sampled_from(
        ["", " ", "0", "1.5", "null", "None", "nan", "true", "2020-01-01", "2020-01-01 00:00:00"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2)
    ),
    max_leaves=4,
)
column = st.sampled_from([st.integers(), st.floats(allow_nan=False), texts, st.booleans(), values, values])


@st.composite
def tables(draw) -> list[dict]:
    """Rows whose columns are mostly of one kind, with missing keys, nulls and strangers."""
    kinds = {name: draw(column) for name in NAMES}
    rows = []
    for _ in range(draw(st.integers(1, 30))):
        row = {"text": draw(st.one_of(texts, st.just("words of a document"), st.none()))}
        for name, kind in kinds.items():
            if draw(st.integers(0, 9)):
                row[name] = draw(kind if draw(st.integers(0, 19)) else values)
        rows.append(row)
    return rows


def outcome(folder: Path, files: dict[str, bytes], shards: int, meta=NAMES) -> list[dict] | str:
    """Documents of the files, or the line that refused them."""
    paths = []
    for name, data in files.items():
        (folder / name).write_bytes(data)
        paths.append(str(folder / name))
    corpus = {"source": {"files": paths}, "text": "text", "meta": list(meta)}
    try:
        source = index_files(paths, corpus)
        found = []
        for shard in range(shards):
            write_shard(source, corpus, shard, shards, folder / "out.parquet", threads=1)
            found += pq.read_table(folder / "out.parquet").to_pylist()
        return found
    except InputError as error:
        return str(error)
    finally:
        for path in paths:
            Path(path).unlink()


def lines(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def expected(rows: list[dict]) -> list[tuple[int, dict]]:
    kept = []
    for doc, row in enumerate(rows):
        text = (row["text"] or "").replace("\x00", "")
        if text and not pa.compute.utf8_is_space(pa.scalar(text)).as_py():
            kept.append((doc, {**row, "text": text}))
    return kept


def agrees(rows: list[dict], found: list[dict]) -> bool:
    wanted = expected(rows)
    return len(wanted) == len(found) and all(
        got["doc"] == doc and all(same(row.get(name), got[name]) for name in ("text", *NAMES))
        for (doc, row), got in zip(wanted, found, strict=True)
    )


@settings(
    max_examples=400,
)
@given(
    rows=tables(),
    chunk=st.sampled_from([40, 200, 8 << 20]),
    cuts=st.integers(1, 3),
    end=st.sampled_from(list(PACK)),
    shards=st.integers(1, 3),
    order=st.randoms(use_true_random=False),
)
def test_rows_come_out_as_they_went_in_or_one_line_says_why(
    tmp_path_factory, rows, chunk, cuts, end, shards, order
):
    folder = tmp_path_factory.mktemp("fuzz")
    whole = outcome(folder, {"a.jsonl": lines(rows)}, 1)
    parts = [rows[len(rows) * i // cuts : len(rows) * (i + 1) // cuts] for i in range(cuts)]
    files = {f"{i}.jsonl{end}": PACK[end](lines(part)) for i, part in enumerate(parts) if part}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        patch.setattr("winnow.documents.shards.BLOCK", 4)
        cut = outcome(folder, files, shards)
    assert isinstance(whole, str) == isinstance(cut, str), (whole, cut)
    shuffled = list(rows)
    order.shuffle(shuffled)
    again = outcome(folder, {"a.jsonl": lines(shuffled)}, 1)
    assert isinstance(whole, str) == isinstance(again, str), (whole, again)
    if isinstance(whole, str):
        assert "\n" not in whole + str(cut) + str(again)
        return
    assert agrees(rows, whole)
    assert repr(whole) == repr(cut)
    assert agrees(shuffled, again)
    if whole:
        kinds = pq_kinds(folder, rows)
        columns = [Column(name, (name,), kind) for name, kind in [("text", pa.string()), *kinds]]
        table = pa.table({c.name: to_array("", c, [row.get(c.name) for row in rows], 0) for c in columns})
        for name in ("a.parquet", "a.arrow"):
            assert agrees(rows, outcome(folder, {name: packed(table, name)}, shards))


def pq_kinds(folder: Path, rows: list[dict]) -> list[tuple[str, pa.DataType]]:
    """Types of the columns as they were stored."""
    schema = pq.read_schema(folder / "out.parquet")
    return [(name, schema.field(name).type) for name in NAMES]


def packed(table: pa.Table, name: str) -> bytes:
    sink = pa.BufferOutputStream()
    if name.endswith(".parquet"):
        pq.write_table(table, sink, row_group_size=3)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    return sink.getvalue().to_pybytes()


@settings(
    max_examples=200,
)
@given(
    rows=st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1), texts),
        min_size=1, max_size=20,
    ),
    kind=st.sampled_from(["csv", "tsv"]),
    end=st.sampled_from(list(PACK)),
    chunk=st.sampled_from([16, 8 << 20]),
)  # fmt: skip
def test_texts_survive_csv_and_tsv(tmp_path_factory, rows, kind, end, chunk):
    import csv
    import io

    folder = tmp_path_factory.mktemp("csv")
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t" if kind == "tsv" else ",", quoting=csv.QUOTE_ALL)
    writer.writerows([["text", "a"], *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        found = outcome(folder, {f"a.{kind}{end}": PACK[end](text.getvalue().encode())}, 1, meta=["a"])
    wanted = expected([{"text": text, "a": a} for text, a in rows])
    if not isinstance(found, str):
        assert [(row["doc"], row["text"], row["a"]) for row in found] == [
            (doc, row["text"], row["a"]) for doc, row in wanted
        ]
    else:
        raise AssertionError(found)


@settings(
    max_examples=300,
)
@given(
    data=st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from([b'{"text":"a"}', b'{"text":1}', b"{", b"[]", b"null", b"\n", b"\r", b" ", b"\xff", b'"',
                                  b'{"text":"\xff"}', b'{"text":"a","text":"b"}', b'{"a":{"x":1,"x":2}}', b"\xef\xbb\xbf",
                                  b",", b"text,a\n", b"\x00", b'{"text":NaN}', b'{"a":1e999}', b'{"a":-Infinity}']),
                 max_size=8).map(b"".join),
    ),
    name=st.sampled_from(["a.jsonl", "a.csv", "a.tsv", "a.txt", "a.parquet", "a.arrow", "a.jsonl.gz", "a.jsonl.xz",
                          "a.csv.zst", "a.txt.bz2"]),
    pack=st.booleans(),
)  # fmt: skip
def test_any_bytes_are_documents_or_one_line(tmp_path_factory, data, name, pack):
    folder = tmp_path_factory.mktemp("bytes")
    end = Path(name).suffix
    if pack and end in PACK:
        data = PACK[end](data)
    found = outcome(folder, {name: data}, 1, meta=["a"] if "txt" not in name else ["file"])
    assert isinstance(found, list) or "\n" not in found
