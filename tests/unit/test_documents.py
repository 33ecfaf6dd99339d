"""Documents: every way a source can be odd is defined, and what is read does not depend on how it is cut."""

import csv
import gzip
import json
import os
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.documents import shards as documents
from winnow.documents import streams
from winnow.documents.shards import BLOCK, digests, index, index_files, shard_range, write, write_shard
from winnow.paths import expand
from winnow.schema import schema
from winnow.stage import InputError

DATA = Path(os.environ.get("WINNOW_DATA", Path(__file__).parents[3] / "shared" / "data"))
TEXTS = ["one", "  two lines\nhere ", "", " \t\n", "grüße 🎈", 'quo"te, comma', "one", "last"]


def corpus(*files, text="text", **more):
    return {"source": {"files": [str(file) for file in files]}, "text": text, **more}


def read(folder, config, shards=1, paths=None):
    """Index, then all shards; the tables of the shards."""
    source = index_files(paths or expand(config["source"]["files"]), config)
    tables = []
    for shard in range(shards):
        out = folder / f"out-{shards}-{shard}.parquet"
        write_shard(source, config, shard, shards, out)
        tables.append(pq.read_table(out))
    return pa.concat_tables(tables)


def lines(path, rows):
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        data = zstandard.compress(data)
    path.write_bytes(data)
    return path


def fails(folder, message, config):
    """Index and write end with one line that matches, and leave nothing under a final name."""
    before = set(folder.iterdir())
    with pytest.raises(InputError, match=message) as error:
        read(folder, config)
    assert "\n" not in str(error.value)
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize(
    "name", ["a.parquet", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.csv", "a.csv.gz", "a.json.gz", "t/*.txt"]
)
def test_every_format_gives_the_same_documents(tmp_path, name):
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.table({"text": TEXTS}), path)
    elif ".csv" in name:
        with (gzip.open if name.endswith(".gz") else open)(path, "wt", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["text", "n"], *([text, i] for i, text in enumerate(TEXTS))])
    elif "txt" in name:
        path.parent.mkdir()
        for i, text in enumerate(TEXTS):
            (path.parent / f"{i}.txt").write_text(text or " ", newline="")
    else:
        lines(path, [{"text": text} for text in TEXTS])
    table = read(tmp_path, corpus(path))
    kept = [i for i, text in enumerate(TEXTS) if text.strip()]
    assert table["doc"].to_pylist() == kept
    assert table["text"].to_pylist() == [TEXTS[i] for i in kept]
    assert table["bytes"].to_pylist() == [len(TEXTS[i].encode()) for i in kept]
    assert table["digest"].to_pylist() == [
        int.from_bytes(blake2b(TEXTS[i].encode(), digest_size=8).digest(), "little") for i in kept
    ]
    assert table.schema.types == [pa.int64(), pa.string(), pa.int32(), pa.uint64()]


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """20,000 rows in four files of three formats, with gaps, labels and nested columns."""
    folder = tmp_path_factory.mktemp("several")
    rows = [
        {"body": " " if i % 97 == 0 else f"text {i} " * (i % 13 + 1), "y": ["pos", "neg", "mixed"][i % 3],
         "meta": {"set": f"s{i % 5}", "n": i, "tags": ["a"] * (i % 3)}}
        for i in range(20_000)
    ]  # fmt: skip
    lines(folder / "a.jsonl.gz", rows[:7000])
    lines(folder / "b.jsonl", rows[7000:9000])
    pq.write_table(pa.Table.from_pylist(rows[9000:15_000]), folder / "c.parquet", row_group_size=1111)
    lines(folder / "d.jsonl.zst", rows[15_000:])
    return folder


@pytest.mark.parametrize("shards", [2, 3, 5, 7])
def test_shards_change_no_document_and_no_row_group(several, tmp_path, shards, monkeypatch):
    config = corpus(several / "*", text="body", label="y", meta=["meta.set", "meta.tags", "meta.n"])
    one = read(tmp_path, config)
    monkeypatch.setattr(streams, "CHUNK", 10_000)
    many = read(tmp_path, config, shards)
    assert one.equals(many)
    assert len(one) == 20_000 - len(range(0, 20_000, 97))
    assert one["doc"].to_numpy()[0] == 1
    assert set(one["label"].to_pylist()) == {0, 1, 2}
    assert one.slice(0, 1).to_pylist()[0]["label"] == 1  # mixed, neg, pos: sorted
    assert one["meta.tags"].slice(0, 2).to_pylist() == [["a"], ["a", "a"]]
    groups = [
        pq.read_metadata(tmp_path / f"out-{s}-{i}.parquet").row_group(g).num_rows
        for s in (1, shards)
        for i in range(s)
        for g in range(pq.read_metadata(tmp_path / f"out-{s}-{i}.parquet").num_row_groups)
    ]
    assert groups[: len(groups) // 2] == groups[len(groups) // 2 :]


def test_threads_and_chunks_change_no_byte(several, tmp_path, monkeypatch):
    config = corpus(several / "*", text="body", meta=["meta"])
    source = index_files(expand([str(several / "*")]), config, threads=1)
    write_shard(source, config, 0, 1, tmp_path / "a.parquet", threads=1)
    monkeypatch.setattr(streams, "CHUNK", 3_000)
    write_shard(source, config, 0, 1, tmp_path / "b.parquet", threads=4)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@given(rows=st.integers(0, 100_000), shards=st.integers(1, 40))
def test_shards_are_whole_blocks_and_cover_every_row_once(rows, shards):
    ranges = [shard_range(rows, shard, shards) for shard in range(shards)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == rows
    assert all(a[1] == b[0] for a, b in pairwise(ranges))
    assert all(start % BLOCK == 0 or start == rows for start, _ in ranges)
    blocks = [-(-(stop - start) // BLOCK) for start, stop in ranges]
    assert max(blocks) - min(blocks) <= 1


@settings(max_examples=60)
@given(
    texts=st.lists(
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=30
    ),
    chunk=st.sampled_from([16, 100, 8 << 20]),
)
def test_any_text_survives_jsonl(tmp_path_factory, texts, chunk):
    folder = tmp_path_factory.mktemp("any")
    path = lines(folder / "a.jsonl", [{"text": "start"}, *({"text": text} for text in texts)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        table = read(folder, corpus(path))
    wanted = {i: text.replace("\x00", "") for i, text in enumerate(["start", *texts]) if text}
    wanted = {i: text for i, text in wanted.items() if not (not text or text.isspace())}
    got = dict(zip(table["doc"].to_pylist(), table["text"].to_pylist(), strict=True))
    # Python counts four control characters as space that Unicode does not.
    assert {i: t for i, t in got.items() if t.strip()} == {i: t for i, t in wanted.items() if t.strip()}


def test_digests_of_a_slice_are_those_of_its_texts():
    array = pa.array(["a", "bb", "", "ccc"])
    assert (digests(array.slice(1, 2)) == digests(pa.array(["bb", ""]))).all()
    assert digests(array.slice(4)).dtype == np.uint64


def test_row_groups_close_before_their_limit_of_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "ROW_GROUP_BYTES", 1000)
    path = lines(tmp_path / "a.jsonl", [{"text": "x" * n} for n in (400, 400, 400, 3000, 10, 10)])
    read(tmp_path, corpus(path))
    meta = pq.read_metadata(tmp_path / "out-1-0.parquet")
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [2, 1, 1, 2]


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_a_document_of_20_mb_passes(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    big = "wörd " * 4_000_000
    if kind == "csv":
        path.write_text(f"text\nsmall\n{big}\nlast\n")
    elif kind == "parquet":
        pq.write_table(pa.table({"text": ["small", big, "last"]}), path)
    else:
        lines(path, [{"text": "small"}, {"text": big}, {"text": "last"}])
    table = read(tmp_path, corpus(path))
    assert table["bytes"].to_pylist() == [5, len(big.encode()), 4]


def test_nul_is_taken_out_and_blank_lines_are_gaps(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text":"a\\u0000b"}\n\n  \r\n{"text":"\\u0000"}\n{"text":null}\n{"other":1}\r\n{"text":"c"}'
    )
    table = read(tmp_path, corpus(path))
    assert dict(zip(table["doc"].to_pylist(), table["text"].to_pylist(), strict=True)) == {0: "ab", 6: "c"}


# What is written of each text with the cleaning of SST-2; None: no document.
CLEANED = {
    "  A Film ": "a film",
    "\u00a0GRÜẞE 🎈\u3000": "grüße 🎈",
    "\t \n": None,
    " \0 ": None,
    "a  B": "a  b",
    "": None,
}


@pytest.mark.parametrize("steps", [["strip", "lower"], ["lower", "strip"]])
def test_cleaned_texts_are_what_is_measured_and_digested(tmp_path, steps):
    path = lines(tmp_path / "a.jsonl", [{"text": text} for text in CLEANED])
    config = corpus(path, clean=steps)
    table = read(tmp_path, config)
    kept = {doc: text for doc, text in enumerate(CLEANED.values()) if text}
    assert dict(zip(table["doc"].to_pylist(), table["text"].to_pylist(), strict=True)) == kept
    assert table["bytes"].to_pylist() == [len(text.encode()) for text in kept.values()]
    assert np.array_equal(table["digest"].to_numpy(), digests(pa.array(kept.values())))
    assert index_files([str(path)], config)["clean"] == steps


def test_texts_are_not_cleaned_unless_the_corpus_says_so(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"text": text} for text in CLEANED])
    assert read(tmp_path, corpus(path))["text"].to_pylist() == ["  A Film ", "\u00a0GRÜẞE 🎈\u3000", "a  B"]
    assert read(tmp_path, corpus(path, clean=["lower"]))["text"].to_pylist()[0] == "  a film "


def test_steps_of_cleaning_are_applied_in_their_order(tmp_path, monkeypatch):
    steps = {c: (lambda text, c=c: pc.binary_join_element_wise(text, c, "")) for c in "ab"}
    monkeypatch.setattr(documents, "CLEANING", steps)
    path = lines(tmp_path / "a.jsonl", [{"text": "x"}])
    assert read(tmp_path, corpus(path, clean=["a", "b"]))["text"].to_pylist() == ["xab"]
    assert read(tmp_path, corpus(path, clean=["b", "a"]))["text"].to_pylist() == ["xba"]


def test_equal_texts_after_cleaning_are_duplicates(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"text": "A film"}, {"text": "a film "}])
    assert len(set(read(tmp_path, corpus(path))["digest"].to_pylist())) == 2
    assert len(set(read(tmp_path, corpus(path, clean=["strip", "lower"]))["digest"].to_pylist())) == 1


def test_every_step_of_the_schema_is_there():
    assert schema()["$defs"]["corpus"]["properties"]["clean"]["items"]["enum"] == list(documents.CLEANING)


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext\nx\n")
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text":"x"}\n')
    assert read(tmp_path, corpus(tmp_path / "a.csv", tmp_path / "a.jsonl"))["text"].to_pylist() == ["x", "x"]


def test_columns_that_are_null_at_first_and_mixed_columns_that_nobody_asked_for(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"text": "a", "m": None, "x": 1}, {"text": "b", "m": None, "x": "y"}])
    table = read(tmp_path, corpus(path, meta=["m"]))
    assert table.schema.field("m").type == pa.string()
    assert table["m"].to_pylist() == [None, None]


def test_times_and_numbers_of_several_files_get_one_type(tmp_path):
    lines(tmp_path / "a.jsonl", [{"text": "a", "n": 1, "t": "2020-01-01 00:00:00"}])
    lines(tmp_path / "b.jsonl", [{"text": "b", "n": 1.5, "t": "yesterday"}])
    table = read(tmp_path, corpus(tmp_path / "*.jsonl", meta=["n", "t"]))
    assert table["n"].to_pylist() == [1.0, 1.5]
    assert table["t"].to_pylist() == ["2020-01-01 00:00:00", "yesterday"]


def test_a_literal_dot_in_a_name_wins_over_a_field(tmp_path):
    lines(tmp_path / "a.jsonl", [{"text": "a", "m.x": 1, "m": {"x": 2}}])
    pq.write_table(pa.table({"text": ["b"], "m.x": [3], "m": [{"x": 4}]}), tmp_path / "b.parquet")
    table = read(tmp_path, corpus(tmp_path / "a.jsonl", tmp_path / "b.parquet", meta=["m.x"]))
    assert table["m.x"].to_pylist() == [1, 3]


@pytest.mark.parametrize(
    ("labels", "want"), [([1, 0, 2], [1, 0, 2]), ([5, 10, 5], [0, 1, 0]), (["b", "a", "b"], [1, 0, 1])]
)
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_labels_are_integers_or_numbered_in_sorted_order(tmp_path, kind, labels, want):
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        path.write_text("text,y\n" + "".join(f"t{i},{y}\n" for i, y in enumerate(labels)))
    elif kind == "parquet":
        pq.write_table(pa.table({"text": ["t0", "t1", "t2"], "y": labels}), path)
    else:
        lines(path, [{"text": f"t{i}", "y": y} for i, y in enumerate(labels)])
    table = read(tmp_path, corpus(path, label="y"))
    assert table["label"].to_pylist() == want
    assert table.schema.field("label").type == pa.int32()


BAD = {
    "wrong column": (
        [{"body": "a", "meta": {"x": 1}}],
        r"a\.jsonl: no column 'text'; columns: body, meta\.x",
    ),
    "number as text": ([{"text": 3}], r"text column 'text' is a whole number, not text"),
    "number later": (
        [{"text": "a"}] * 40 + [{"text": 3}],
        r"a\.jsonl: row 41: column 'text' is a whole number, but text in row 1",
    ),
    "an array": ([["a"]], r"row 1: a JSON array; one object per line is needed"),
    "lone surrogate": ([{"text": "\ud800"}], r"row 1: column 'text' holds an unpaired surrogate"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_named(tmp_path, name):
    rows, message = BAD[name]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fails(tmp_path, message, corpus(path))


def test_a_bad_row_far_into_a_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "CHUNK", 500)
    good = "".join(f'{{"text":"t{i}","n":{i},"y":{i % 2}}}\n' for i in range(300)).encode()
    for bad, message in (
        (b'{"text":5,"n":0,"y":1}\n', r"row 301: column 'text' is a whole number, but text in row \d+"),
        (b'{"text":"a","n":"x","y":1}\n', r"row 301: column 'n' is text, but a whole number in row \d+"),
        (b'{"text":"a","n":1,"y":null}\n', r"row 301: label 'y' is missing"),
        (b'{"text":"a",\n', r"row 301: not JSON"),
        (b'{"text":"a\xff"}\n', r"row 301: invalid UTF-8 at byte 11"),
    ):
        (tmp_path / "a.jsonl").write_bytes(good + bad + good)
        fails(tmp_path, message, corpus(tmp_path / "a.jsonl", meta=["n"], label="y"))


FILES = {
    "empty.jsonl": (b"", r"empty\.jsonl: an empty file \(0 bytes\)"),
    "cut.jsonl.gz": (
        gzip.compress(os.urandom(5000).hex().encode() + b"\n")[:-500],
        r"cut short; get it again",
    ),
    "noise.jsonl.gz": (b"not gzip at all", r"noise\.jsonl\.gz: broken gzip"),
    "noise.parquet": (b"not parquet", r"noise\.parquet: not a whole parquet file"),
    "a.docx": (
        b"x",
        r"unknown file format; known: \.parquet, \.arrow, \.jsonl, \.csv, \.tsv, \.txt",
    ),
    "bad.txt": (b"ab\xffc", r"bad\.txt: row 1: invalid UTF-8 at byte 3"),
    "bad.csv": (b"text,n\nfine,1\nb\xffd,2\n", r"bad\.csv: row 2: column 'text' is not valid UTF-8"),
    "fields.csv": (b"text,n\na,1\nb,2,3\n", r"row 2: 3 fields, the header has 2"),
    "twice.csv": (b"text,text\na,1\n", r"header names a column twice"),
    "header.csv": (b"text,n\n", r"no rows in this file"),
    "other.csv": (b"body,n\na,1\n", r"no column 'text'; columns: body, n"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files_are_named(tmp_path, name):
    data, message = FILES[name]
    (tmp_path / name).write_bytes(data)
    fails(tmp_path, message, corpus(tmp_path / name))


def test_a_parquet_file_with_a_broken_text_is_named(tmp_path):
    text = pa.array([b"ok", b"\xff\xfe"]).view(pa.string())
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    fails(tmp_path, r"a\.parquet: row 2: column 'text' is not valid UTF-8", corpus(tmp_path / "a.parquet"))
    pq.write_table(pa.table({"text": [1, 2], "t": ["a", "b"]}), tmp_path / "a.parquet")
    fails(tmp_path, r"'text' is a whole number, not text; columns: text, t", corpus(tmp_path / "a.parquet"))


def test_what_the_config_names_must_be_there(tmp_path, monkeypatch):
    path = lines(tmp_path / "a.jsonl", [{"text": "a", "doc": 1, "x": {"y": 1}, "z": [1]}])
    fails(tmp_path, r"no column 'x\.q'; columns: text, doc, x\.y, z", corpus(path, meta=["x.q"]))
    fails(tmp_path, r"'doc' is a name that Winnow itself uses", corpus(path, meta=["doc"]))
    fails(tmp_path, r"label column 'z' is a list", corpus(path, label="z"))
    fails(tmp_path, r"none\*\.jsonl: no file there", corpus(tmp_path / "none*.jsonl"))
    monkeypatch.delenv("WINNOW_NOT_SET", raising=False)
    fails(tmp_path, r"WINNOW_NOT_SET is not set; set it, or write", corpus("${WINNOW_NOT_SET}/a.jsonl"))
    assert expand([f"${{WINNOW_NOT_SET:-{tmp_path}}}/*.jsonl", str(path)]) == [str(path)]


def test_a_file_that_changed_since_the_index_is_named(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"text": "a"}])
    source = index_files([str(path)], corpus(path))
    lines(path, [{"text": "longer"}])
    with pytest.raises(InputError, match="gone or changed since"):
        write_shard(source, corpus(path), 0, 1, tmp_path / "o.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_the_commands_take_globs_a_download_and_generated_files(tmp_path):
    lines(tmp_path / "b.jsonl", [{"text": "b"}])
    lines(tmp_path / "a.jsonl", [{"text": "a"}])
    spec = json.dumps({"corpus": corpus(tmp_path / "*.jsonl")})
    index(spec=spec, out=tmp_path / "source.json")
    source = json.loads((tmp_path / "source.json").read_text())
    assert [Path(file["path"]).name for file in source["files"]] == ["a.jsonl", "b.jsonl"]
    assert (source["rows"], source["format"]) == (2, "jsonl")
    write(source=tmp_path / "source.json", shard=1, shards=2, spec=spec, out=tmp_path / "1.parquet")
    assert len(pq.read_table(tmp_path / "1.parquet")) == 2
    write(source=tmp_path / "source.json", shard=0, shards=2, spec=spec, out=tmp_path / "0.parquet")
    assert len(pq.read_table(tmp_path / "0.parquet")) == 0
    hub = json.dumps({"corpus": {"source": {"hub": "a/b", "revision": "0" * 40}, "text": "text"}})
    (tmp_path / "download.json").write_text(json.dumps({"files": [str(tmp_path / "b.jsonl")]}))
    index(spec=hub, out=tmp_path / "hub.json", download=[tmp_path / "download.json"])
    assert json.loads((tmp_path / "hub.json").read_text())["rows"] == 1
    with pytest.raises(InputError, match="--download: missing"):
        index(spec=hub, out=tmp_path / "hub.json")


@pytest.mark.real
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data in {DATA} (WINNOW_DATA)")
def test_real_pile_documents_come_with_their_sets(tmp_path):
    config = corpus(DATA / "pile" / "*.jsonl.gz", meta=["meta.pile_set_name"])
    table = read(tmp_path, config)
    assert len(table) == 15_147
    assert len(set(table["meta.pile_set_name"].to_pylist())) == 14
    with gzip.open(DATA / "pile" / "c4_sample.jsonl.gz") as file:
        first = json.loads(file.readline())
    assert table["text"][0].as_py() == first["text"]
