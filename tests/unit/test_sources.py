"""Source files: a value is stored as it is, or one line says where it does not fit; the order and cut of rows decide
nothing; a label is one class everywhere.

One long file: every case writes small source files and reads them through the same helpers.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from winnow.documents import streams
from winnow.documents.columns import fits, infer, widen
from winnow.documents.shards import index, index_files, write_shard
from winnow.documents.tables import read_table
from winnow.evaluate import benchmarks
from winnow.paths import expand
from winnow.stage import InputError, canonical, read_json

PACK = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def jsonl(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def read(folder: Path, paths, text="text", shards=1, **more) -> pa.Table:
    corpus = {"source": {"files": [str(path) for path in paths], **more.pop("source", {})}, "text": text}
    corpus |= more
    source = index_files([str(path) for path in paths], corpus)
    tables = []
    for shard in range(shards):
        write_shard(source, corpus, shard, shards, folder / "out.parquet")
        tables.append(pq.read_table(folder / "out.parquet"))
    return pa.concat_tables(tables)


def refused(folder: Path, paths, message: str, **more) -> None:
    with pytest.raises(InputError, match=message) as error:
        read(folder, paths, **more)
    assert "\n" not in str(error.value)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(streams, "CHUNK", 200)


def many(column: str, *values) -> list[dict]:
    """Rows in which the values stand far apart."""
    rows = []
    for value in values:
        rows += [{"text": f"row {i} of words", column: value} for i in range(60)]
    return rows


# ---------------------------------------------------------------- types


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ((0, 0.5), pa.float64()),
        ((0, None, 1), pa.int64()),
        ((None, 2.5), pa.float64()),
        ((None, "x"), pa.string()),
        ((1, (1 << 64) - 1), pa.uint64()),
        (([1], [0.5]), pa.list_(pa.float64())),
        ((["a"], []), pa.list_(pa.string())),
        (({"a": 1}, {"b": "x"}), pa.struct([("a", pa.int64()), ("b", pa.string())])),
        (({}, {"b": 1}), pa.struct([("b", pa.int64())])),
        (([{"a": 1}], [{"a": 2, "b": [0.5]}]), None),
    ],
)
def test_late_values_widen_the_type_whatever_the_order(tmp_path, small_chunks, values, kept, turn):
    rows = many("m", *values[::turn])
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    table = read(tmp_path, [tmp_path / "a.jsonl"], meta=["m"])
    assert kept is None or table.schema.field("m").type == kept
    for row, found in zip(rows, table["m"].to_pylist(), strict=True):
        assert same(row["m"], found), (row["m"], found)


def same(given, found) -> bool:
    if isinstance(given, dict):
        return set(given) <= set(found) and all(same(given.get(name), found[name]) for name in found)
    if isinstance(given, list):
        return len(given) == len(found) and all(map(same, given, found))
    return given == found and isinstance(given, bool) == isinstance(found, bool)


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1, "x"), "column 'm' is"),
        ((1, True), "column 'm' is"),
        ((["x"], "xyz"), "column 'm' is"),
        (({"a": 1}, "text"), "column 'm' is"),
        (({"a": 1}, {"a": "x"}), "column 'm' is"),
        (((1 << 53) + 1, 0.5), "column 'm' is 9007199254740993"),
        ((1, 1 << 64), "beyond 64 bits"),
        ((-1, (1 << 64) - 1), "column 'm' is -1"),
    ],
)
def test_values_without_a_common_type_are_refused_whatever_the_order(
    tmp_path, small_chunks, values, message, turn, files
):
    rows = many("m", *values[::turn])
    cut = len(rows) // files
    paths = [tmp_path / f"{i}.jsonl" for i in range(files)]
    for i, path in enumerate(paths):
        path.write_bytes(jsonl(rows[cut * i : cut * (i + 1)]))
    refused(tmp_path, paths, message, meta=["m"])


def test_a_field_of_what_is_no_object_is_an_error_not_a_null(tmp_path, small_chunks):
    rows = many("meta", {"set": "A"}, "{'set': 'B'}")
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    refused(tmp_path, [tmp_path / "a.jsonl"], r"row 61: column 'meta' is not an object", meta=["meta.set"])


def test_a_key_that_comes_late_is_read_and_one_that_never_comes_is_named(tmp_path, small_chunks):
    rows = [{"text": f"row {i}"} for i in range(200)] + [{"text": "last", "m": {"x": 3}}]
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    table = read(tmp_path, [tmp_path / "a.jsonl"], meta=["m.x"])
    assert table["m.x"].to_pylist() == [None] * 200 + [3]
    refused(tmp_path, [tmp_path / "a.jsonl"], r"no column 'm.y'; columns: text", meta=["m.y"])


DEEP = "[" * 100_000 + '"a \\" ]"' + "]" * 100_000


@pytest.mark.parametrize("at", [1, 130])
def test_a_deeply_nested_column_is_an_error_only_where_it_is_read(tmp_path, small_chunks, at):
    lines = [json.dumps({"text": f"row {i}", "n": None if i else 1.5, "tree": i}) for i in range(200)]
    lines[at] = f'{{"text": "deep", "n": 3, "tree": {{"x": [{DEEP}, 1], "y": "{{"}}}}'
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    table = read(tmp_path, [path], meta=["n"])
    assert table["text"].to_pylist()[at] == "deep"
    assert table["n"].to_pylist()[at] == 3
    refused(tmp_path, [path], rf"row {at + 1}: column 'tree' is nested too deeply", meta=["tree"])
    declared = rf"row {at + 1}: column 'tree' is an object, declared as text"
    refused(tmp_path, [path], declared, meta=["tree"], types={"tree": "string"})
    lines[at] = '{"text": "a", "tree": ' + '{"a": ' * 600 + "1" + "}" * 601
    path.write_text("\n".join(lines[at:]))
    refused(tmp_path, [path], "row 1: column 'tree' is nested too deeply", meta=["tree"])
    lines[at] = '{"text": "a", "tree": ' + DEEP
    path.write_text("\n".join(lines))
    refused(tmp_path, [path], rf"row {at + 1}: not JSON")


def test_declaring_a_type_is_not_advised_for_a_label_which_has_none_to_declare(tmp_path, small_chunks):
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for rows in (many("mark", 1, "x"), many("mark", "x", 1)):
        a.write_bytes(jsonl(rows))
        refused(tmp_path, [a], "make it one type$", label="mark")
    a.write_bytes(jsonl(many("mark", 1)))
    b.write_bytes(jsonl(many("mark", "x")))
    refused(tmp_path, [a, b], "make it one type$", label="mark")
    refused(tmp_path, [a, b], "or declare one: types: {mark: string}$", meta=["mark"])


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "stream.arrow", "a.csv", "a.txt"])
@pytest.mark.parametrize("column", ["m", "m.x"])
def test_a_meta_column_that_some_files_lack_is_null_there_in_every_format(tmp_path, name, column):
    rich = tmp_path / "rich.jsonl"
    rich.write_bytes(jsonl([{"text": "rich", "m": {"x": 7}}]))
    poor = tmp_path / "poor.csv"
    if name.endswith((".csv", ".txt")):
        poor = tmp_path / name
        poor.write_text("text,mx\npoor,1\n" if name == "a.csv" else "poor")
    else:
        poor = written(tmp_path, name, [{"text": "poor", "other": 1}])
    for paths in ([rich, poor], [poor, rich]):
        table = read(tmp_path, paths, meta=[column])
        values = dict(zip(table["text"].to_pylist(), table[column].to_pylist(), strict=True))
        assert values == {"rich": {"x": 7} if column == "m" else 7, "poor": None}
    refused(tmp_path, [poor], f"no column '{column}'; columns: text", meta=[column])
    refused(tmp_path, [rich, poor], "no column 'q'; columns: text", meta=["q"])
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_bytes(jsonl([{"text": "a", "label": "one"}, {"text": "b", "label": "two"}]))
    refused(tmp_path, [labelled, poor], "label", label="label")


def test_a_parquet_file_with_half_of_an_object_has_null_for_the_other_half(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "m": [{"x": 1, "y": 2}]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "m": [{"x": 3}]}), tmp_path / "b.parquet")
    table = read(tmp_path, [tmp_path / "a.parquet", tmp_path / "b.parquet"], meta=["m.x", "m.y"])
    assert table["m.x"].to_pylist() == [1, 3]
    assert table["m.y"].to_pylist() == [2, None]


def test_a_name_that_is_a_column_here_and_a_field_there_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"text": "a", "m.x": 1}]))
    (tmp_path / "b.jsonl").write_bytes(jsonl([{"text": "b", "m": {"x": 2}}]))
    refused(tmp_path, [tmp_path / "a.jsonl", tmp_path / "b.jsonl"], "write it in one form", meta=["m.x"])


def test_declared_types_take_what_fits_and_name_what_does_not(tmp_path, small_chunks):
    rows = many("m", 1, "x2", 1.50, True)
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows).replace(b"1.5}", b"1.50}"))
    table = read(tmp_path, [tmp_path / "a.jsonl"], meta=["m"], types={"m": "string"})
    assert table["m"].to_pylist()[::60] == ["1", "x2", "1.50", "true"]
    refused(tmp_path, [tmp_path / "a.jsonl"], r"row 61: column 'm' is 'x2', declared as a whole number",
            meta=["m"], types={"m": "integer"})  # fmt: skip
    (tmp_path / "b.csv").write_text("text,n,x\na,1,0.5\nb,,\nc, 3 ,1e3\n")
    table = read(tmp_path, [tmp_path / "b.csv"], meta=["n", "x"], types={"n": "integer", "x": "float"})
    assert table["n"].to_pylist() == [1, None, 3]
    assert table["x"].to_pylist() == [0.5, None, 1000.0]
    (tmp_path / "c.csv").write_text("text,n\na,1\nb,1.5\n")
    refused(tmp_path, [tmp_path / "c.csv"], r"row 2: column 'n' is '1.5', declared as a whole number",
            meta=["n"], types={"n": "integer"})  # fmt: skip
    refused(tmp_path, [tmp_path / "c.csv"], "types: 'q' is not among", types={"q": "integer"})


def test_files_of_two_formats_agree_on_a_type_or_say_why_not(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"text": "a", "n": 1}]))
    pq.write_table(pa.table({"text": ["b"], "n": [0.5]}), tmp_path / "b.parquet")
    paths = [tmp_path / "a.jsonl", tmp_path / "b.parquet"]
    assert read(tmp_path, paths, meta=["n"])["n"].to_pylist() == [1.0, 0.5]
    pq.write_table(pa.table({"text": ["b"], "n": [(1 << 53) + 1]}), tmp_path / "c.parquet")
    refused(tmp_path, [*paths, tmp_path / "c.parquet"], r"c.parquet: row 1: column 'n' is 9007199254740993",
            meta=["n"])  # fmt: skip
    (tmp_path / "d.csv").write_text("text,n\nd,1\n")
    refused(tmp_path, [tmp_path / "a.jsonl", tmp_path / "d.csv"], r"column 'n' is text, but a whole number in",
            meta=["n"])  # fmt: skip


def test_types_of_parquet_are_kept_or_named(tmp_path):
    table = pa.table(
        {
            "text": pa.array(["a", "b"]).dictionary_encode(),
            "t": pa.array([1, None], pa.timestamp("us", tz="Europe/Berlin")),
            "l": pa.array([["x"], None], pa.large_list(pa.large_string())),
            "e": pa.array([{}, {}], pa.struct([])),
        }
    )
    pq.write_table(table.drop_columns("e"), tmp_path / "a.parquet")
    found = read(tmp_path, [tmp_path / "a.parquet"], meta=["t", "l"])
    assert found["t"].to_pylist() == table["t"].to_pylist()
    assert found["l"].to_pylist() == [["x"], None]
    with pa.OSFile(str(tmp_path / "e.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    refused(tmp_path, [tmp_path / "e.arrow"], "object without fields", meta=["e"])


@pytest.mark.parametrize(
    ("one", "other"), [(1, 0.5), (1, 1 << 63), ([1], [None, 0.5]), ({"a": None}, {"b": [1]}), (None, "x")]
)
def test_widening_does_not_depend_on_the_order_and_holds_both(one, other):
    both = widen(infer(one), infer(other))
    assert both == widen(infer(other), infer(one))
    assert fits(one, both)
    assert fits(other, both)


# ---------------------------------------------------------------- formats


ROWS = [{"text": f"text {i} grüße", "n": i, "d": "x" if i % 2 else None} for i in range(50)]


def written(folder: Path, name: str, rows=ROWS) -> Path:
    path = folder / name
    table = pa.Table.from_pylist(rows)
    if name.endswith(".parquet"):
        pq.write_table(table, path, row_group_size=7)
    elif name.endswith("stream.arrow"):
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    elif name.endswith(".arrow"):
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    else:
        path.write_bytes(PACK.get(path.suffix, bytes)(jsonl(rows)))
    return path


@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "a.jsonlines", "a.ndjson", "a.json", "a.parquet", "a.arrow", "stream.arrow"]
    + [f"a.jsonl{end}" for end in PACK if end],
)
def test_every_format_and_compression_gives_the_same_rows(tmp_path, small_chunks, name):
    table = read(tmp_path, [written(tmp_path, name)], meta=["n", "d"], shards=3)
    assert table.select(["doc", "text", "n", "d"]).to_pylist() == [
        {"doc": i, **row} for i, row in enumerate(ROWS)
    ]


@pytest.mark.parametrize("end", list(PACK))
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_csv_and_tsv_with_blank_lines_and_compressions(tmp_path, kind, end):
    text = io.StringIO(newline="")
    out = csv.writer(text, delimiter="\t" if kind == "tsv" else ",")
    out.writerows([["text", "d"], *([row["text"] + ", \t\n\n", row["d"]] for row in ROWS)])
    body = text.getvalue().replace("text 7", "\r\ntext 7") + "\r\n\n"
    (tmp_path / f"a.{kind}{end}").write_bytes(PACK[end](body.encode("utf-8-sig")))
    table = read(tmp_path, [tmp_path / f"a.{kind}{end}"], meta=["d"])
    assert len(table) == 50
    assert table["text"].to_pylist()[3] == "text 3 grüße, \t\n\n"
    (tmp_path / "b.csv").write_text("text,d\n\nfirst,x\n\n\nsecond,y\n\n")
    assert read(tmp_path, [tmp_path / "b.csv"], meta=["d"])["doc"].to_pylist() == [0, 1]


@pytest.mark.parametrize("end", list(PACK))
def test_a_document_a_line_of_a_txt_file(tmp_path, small_chunks, end):
    lines = [f"line {i} ü" if i % 10 else "" for i in range(100)]
    (tmp_path / f"a.txt{end}").write_bytes(PACK[end]("\r\n".join(lines).encode()))
    table = read(tmp_path, [tmp_path / f"a.txt{end}"], source={"txt": "lines"}, shards=2)
    assert table["text"].to_pylist() == [line for line in lines if line]
    assert table["doc"].to_pylist() == [i for i, line in enumerate(lines) if line]


def test_a_folder_of_txt_files_has_its_folders_as_labels(tmp_path):
    for label in ("pos", "neg"):
        for i in range(3):
            path = tmp_path / "imdb" / "train" / label / f"{i}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{label} review {i}")
    paths = expand([str(tmp_path / "imdb" / "train")])
    table = read(tmp_path, paths, label="folder", meta=["file"])
    assert table["text"].to_pylist() == [f"{label} review {i}" for label in ("neg", "pos") for i in range(3)]
    assert table["label"].to_pylist() == [0, 0, 0, 1, 1, 1]
    assert table["file"].to_pylist() == ["0.txt", "1.txt", "2.txt"] * 2


def test_an_empty_txt_file_is_a_row_without_text(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("some words")
    (tmp_path / "b.txt").write_text("")
    assert read(tmp_path, expand([str(tmp_path)]))["text"].to_pylist() == ["some words"]
    assert "1 rows without text left out" in capsys.readouterr().err


def test_a_folder_of_save_to_disk_is_a_source(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "y": datasets.ClassLabel(names=["bad", "good"])}
    )
    rows = {"text": [f"text {i}" for i in range(40)], "y": [i % 2 for i in range(40)]}
    saved = datasets.Dataset.from_dict(rows, features=features)
    saved.save_to_disk(tmp_path / "saved", num_shards=3)
    paths = expand([str(tmp_path / "saved")])
    assert [Path(path).suffix for path in paths] == [".arrow"] * 3
    table = read(tmp_path, paths, label="y")
    assert table["text"].to_pylist() == rows["text"]
    source = index_files(paths, {"text": "text", "label": "y", "meta": []})
    assert source["labels"] == {"names": ["bad", "good"], "values": [0, 1]}
    datasets.DatasetDict(train=saved, test=saved).save_to_disk(tmp_path / "splits")
    with pytest.raises(InputError, match=r"splits: holds the splits train, test; name the folder of one"):
        expand([str(tmp_path / "splits")])


@pytest.mark.parametrize("end", [".gz", ".zst", ".bz2", ".xz"])
def test_an_empty_compressed_shard_has_no_rows(tmp_path, end):
    (tmp_path / "0.jsonl").write_bytes(jsonl([{"text": "a b"}]))
    (tmp_path / f"1.jsonl{end}").write_bytes(PACK[end](b""))
    paths = [tmp_path / "0.jsonl", tmp_path / f"1.jsonl{end}"]
    assert read(tmp_path, paths)["text"].to_pylist() == ["a b"]
    refused(tmp_path, paths[1:], "no rows in this file")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "txt"])
def test_utf16_says_how_to_convert(tmp_path, kind):
    (tmp_path / f"a.{kind}").write_bytes('{"text": "a"}\n'.encode("utf-16"))
    refused(tmp_path, [tmp_path / f"a.{kind}"], "UTF-16; store it as UTF-8")


def test_what_is_not_utf8_is_one_line_and_matters_only_where_it_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "a", "o": "\xff"}\n{"text": "b", "o": 1e999}\n{"text": "c", "o": "\\ud800"}\n'
    )
    assert read(tmp_path, [path])["text"].to_pylist() == ["a", "b", "c"]
    refused(tmp_path, [path], r"row 2: column 'o' is a number beyond the range", meta=["o"])
    path.write_bytes(b'{"text": "a", "o": "\xff"}\n')
    refused(tmp_path, [path], r"row 1: invalid UTF-8 at byte 21 of the line \(column 'o'\)", meta=["o"])
    (tmp_path / "a.csv").write_bytes(b"text,\xe9\na,b\n")
    refused(tmp_path, [tmp_path / "a.csv"], "the header is not valid UTF-8")
    odd = os.fsencode(tmp_path) + b"/\xff.jsonl"
    Path(os.fsdecode(odd)).write_bytes(jsonl([{"text": "a"}]))
    refused(tmp_path, [os.fsdecode(odd)], "the name of the file is not UTF-8; rename it")


def test_a_zst_with_a_long_window_says_how_to_recompress(tmp_path):
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=28, enable_ldm=True)
    data = jsonl([{"text": os.urandom(30).hex()} for _ in range(10)])
    out = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    (tmp_path / "a.jsonl.zst").write_bytes(out.compress(data) + out.flush())
    refused(tmp_path, [tmp_path / "a.jsonl.zst"], "zstd -d --long=31")


def test_rows_without_text_are_counted(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"text": "a"}, {"text": " "}, {"text": None}]))
    read(tmp_path, [tmp_path / "a.jsonl"])
    assert "1 documents, 2 rows without text left out" in capsys.readouterr().err


# ---------------------------------------------------------------- labels


def corpus_labels(folder: Path, labels) -> Path:
    path = folder / "train.jsonl"
    path.write_bytes(jsonl([{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]))
    corpus = {"source": {"files": [str(path)]}, "text": "text", "label": "label", "meta": []}
    index(spec=canonical({"corpus": corpus}), out=folder / "source.json")
    return folder / "source.json"


def benchmark(folder: Path, source: Path, labels) -> list[int]:
    path = folder / "test.jsonl"
    path.write_bytes(jsonl([{"text": f"test {i}", "label": label} for i, label in enumerate(labels)]))
    definition = {
        "labelled": {"files": [str(path)], "text": "text", "label": "label"},
        "items": 100,
        "seed": 0,
    }
    benchmarks.labelled(source=source, out_dir=folder / "b",
                        spec=canonical({"name": "t", "benchmark": definition, "clean": []}))  # fmt: skip
    assert read_json(folder / "b" / "manifest.json")["classes"] == read_json(source)["labels"]["names"]
    return pq.read_table(folder / "b" / "data.parquet")["label"].to_pylist()


def test_a_test_file_of_some_classes_has_the_numbers_of_the_corpus(tmp_path):
    source = corpus_labels(tmp_path, ["code", "cook", "law", "sport"])
    assert benchmark(tmp_path, source, ["sport", "law", "sport"]) == [3, 2, 3]
    assert benchmark(tmp_path, source, ["sport"]) == [3]
    source = corpus_labels(tmp_path, [1, 5, 3, 3.0])
    assert benchmark(tmp_path, source, [5, 3]) == [2, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], r"test\.jsonl: row 1: label 'label' is 0, which is not one of the corpus's 4 classes"),
        (["law", "Sport"], r"row 2: label 'label' is 'Sport', .* did you mean 'sport'"),
        (["law", ""], r"row 2: label 'label' is missing"),
        (["law", None], r"row 2: label 'label' is missing"),
        ([-1, -1], r"row 1: label 'label' is -1, which marks rows without a label"),
        (["law "], r"row 1: label 'label' is 'law '; remove the spaces"),
    ],
)
def test_a_label_that_the_corpus_does_not_have_stops_the_benchmark(tmp_path, labels, message):
    source = corpus_labels(tmp_path, ["code", "cook", "law", "sport"])
    with pytest.raises(InputError, match=message):
        benchmark(tmp_path, source, labels)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "", "b"], "row 2: label 'label' is missing"),
        (["a", None, "b"], "row 2: label 'label' is missing"),
        ([0, 1.9], "row 2: label 'label' is 1.9"),
        ([0, 1, -1], "row 3: label 'label' is -1"),
        (["a", "a"], "is 'a' in every row; two classes"),
        (list(range(2000)), "more than 1,000 different values"),
        ([["a"], ["b"]], "label column 'label' is a list"),
    ],
)
def test_labels_that_are_none_are_told_when_the_source_is_read(tmp_path, labels, message):
    with pytest.raises(InputError, match=message):
        corpus_labels(tmp_path, labels)


def test_true_and_false_are_classes_of_their_own_and_not_numbers(tmp_path):
    source = corpus_labels(tmp_path, [True, False, True])
    assert read_json(source)["labels"]["names"] == ["false", "true"]
    assert benchmark(tmp_path, source, [False, True]) == [0, 1]
    with pytest.raises(
        InputError, match=r"row 1: label 'label' is 1, which is not one of .* \(false, true\)"
    ):
        benchmark(tmp_path, source, [1, 0])
    source = corpus_labels(tmp_path, [0, 1, 1.0])
    with pytest.raises(InputError, match=r"row 1: label 'label' is True, which is not one of .* \(0, 1\)"):
        benchmark(tmp_path, source, [True, False])


@pytest.mark.parametrize("label", [float("nan"), None])
def test_a_label_that_is_not_a_number_is_missing(tmp_path, label):
    pq.write_table(pa.table({"text": ["a", "b", "c"], "label": [0.0, 1.0, label]}), tmp_path / "a.parquet")
    refused(tmp_path, [tmp_path / "a.parquet"], "row 3: label 'label' is missing", label="label")


def test_a_label_outside_the_classes_that_a_file_names_is_refused(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    table = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features).data.table
    table = table.set_column(1, table.schema.field("label"), pa.array([0, 2], pa.int64()))
    pq.write_table(table, tmp_path / "a.parquet")
    refused(
        tmp_path,
        [tmp_path / "a.parquet"],
        "row 2: label 'label' is 2, but the file names 2 classes",
        label="label",
    )


def test_an_empty_cell_of_a_csv_file_is_no_class(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,0\nb,1\nc,\n,\n")
    refused(tmp_path, [tmp_path / "a.csv"], "row 3: label 'label' is missing", label="label")
    (tmp_path / "a.csv").write_text("text,label\na,0\nb,1.0\n,\nd,1\n")
    assert read(tmp_path, [tmp_path / "a.csv"], label="label")["label"].to_pylist() == [0, 1, 1]


# ---------------------------------------------------------------- benchmark rows: the same reader


def test_rows_of_a_benchmark_come_in_every_format(tmp_path):
    for name in ("a.jsonl", "a.jsonl.zst", "a.jsonl.xz", "a.parquet", "a.arrow"):
        assert read_table(str(written(tmp_path, name))).to_pylist() == ROWS


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1}, {"a": 1, "b": 2}], r"row 1: no 'b', which row 2 has"),
        ([{"a": 1, "b": 2}, {"a": 1}], r"row 2: no 'b', which row 1 has"),
        ([{"a": "A"}, {"a": 2}], r"row 2: column 'a' is a whole number, but text"),
        ([{"a": ["A", 2]}], r"row 1: column 'a' is a list of text and a whole number"),
    ],
)
def test_odd_rows_of_a_benchmark_are_named(tmp_path, rows, message):
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    with pytest.raises(InputError, match=message):
        read_table(str(tmp_path / "a.jsonl"))


# ---------------------------------------------------------------- found by a tester of odd files


def test_a_named_test_file_must_name_the_classes_of_its_corpus(tmp_path):
    datasets = pytest.importorskip("datasets")
    source = corpus_labels(tmp_path, ["neg", "pos"])
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])}
    )
    table = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)
    table.to_parquet(tmp_path / "t.parquet")
    definition = {
        "labelled": {"files": [str(tmp_path / "t.parquet")], "text": "text", "label": "label"},
        "items": 9,
        "seed": 0,
    }
    with pytest.raises(InputError, match=r"t\.parquet: names its classes pos, neg, the corpus neg, pos"):
        benchmarks.labelled(
            source=source,
            out_dir=tmp_path / "b",
            spec=canonical({"name": "t", "benchmark": definition, "clean": []}),
        )


@pytest.mark.parametrize(
    "second",
    [
        b"garbage",
        lzma.compress(jsonl([{"text": "b"}]))[:-20],
        lzma.compress(jsonl([{"text": "b"}]))[:6] + b"xx",
    ],
)
def test_xz_files_of_several_streams_are_read_whole_or_refused(tmp_path, second):
    first = lzma.compress(jsonl([{"text": "a"}]))
    (tmp_path / "a.jsonl.xz").write_bytes(first + lzma.compress(jsonl([{"text": "b"}])) + b"\x00" * 4)
    assert read(tmp_path, [tmp_path / "a.jsonl.xz"])["text"].to_pylist() == ["a", "b"]
    (tmp_path / "b.jsonl.xz").write_bytes(first + second)
    refused(tmp_path, [tmp_path / "b.jsonl.xz"], "broken xz")


@pytest.mark.parametrize("end", [8, 9, 40, 300])
def test_an_arrow_stream_that_is_cut_short_is_refused(tmp_path, end):
    path = written(tmp_path, "stream.arrow")
    path.write_bytes(path.read_bytes()[:-end])
    refused(tmp_path, [path], "stream.arrow: .*(cut short|not an Arrow|broken)")


def test_labels_with_leading_zeros_are_texts(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,01\nb,1\nc,01\n,n/a\n")
    source = index_files([str(tmp_path / "a.csv")], {"text": "text", "label": "label", "meta": []})
    assert source["labels"]["names"] == ["01", "1"]
    (tmp_path / "b.csv").write_text('text,label\na,0\nb,1\n,n/a\n"\x00",7\n')
    table = read(tmp_path, [tmp_path / "b.csv"], label="label")
    assert table["label"].to_pylist() == [0, 1]


def test_declared_types_mean_the_same_in_every_format(tmp_path):
    for value, kind, fine in ((2, "boolean", False), ("0x10", "integer", False), (True, "integer", False),
                              (" 3", "integer", True), ("3.0", "integer", True), ("TRUE ", "boolean", True),
                              ("9007199254740993", "float", False), ("1e400", "float", False), ("1e-400", "float", False),
                              (0.5, "string", True)):  # fmt: skip
        rows = [{"text": "a", "m": value}]
        for name in ("a.jsonl", "a.parquet", "a.arrow"):
            path = written(tmp_path, name, rows)
            if fine:
                assert len(read(tmp_path, [path], meta=["m"], types={"m": kind})) == 1
            else:
                refused(tmp_path, [path], "row 1: column 'm' is", meta=["m"], types={"m": kind})


def test_objects_that_are_not_one_per_line_are_refused_whatever_the_chunk(tmp_path, monkeypatch):
    good = jsonl([{"text": f"t{i}"} for i in range(60)])
    (tmp_path / "a.jsonl").write_bytes(good + b'{"text":\n"q"}{"text":"p"}\n')
    for chunk in (8 << 20, 100, 1):
        monkeypatch.setattr(streams, "CHUNK", chunk)
        refused(tmp_path, [tmp_path / "a.jsonl"], "row 61: not JSON")


def test_numbers_of_many_digits_matter_only_where_they_are_read(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "o": ' + "9" * 5000 + "}\n")
    assert read(tmp_path, [tmp_path / "a.jsonl"])["text"].to_pylist() == ["a"]
    refused(tmp_path, [tmp_path / "a.jsonl"], "row 1: column 'o' is", meta=["o"])


def test_a_duplicate_column_is_named(tmp_path):
    table = pa.Table.from_arrays(
        [pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["text", "m", "m"]
    )
    pq.write_table(table, tmp_path / "a.parquet")
    refused(tmp_path, [tmp_path / "a.parquet"], "names column 'm' twice", meta=["m"])
    assert len(read(tmp_path, [tmp_path / "a.parquet"])) == 1


def test_a_half_precision_label_is_a_label(tmp_path):
    label = pa.array([0.0, 1.0], pa.float64()).cast(pa.float16())
    pq.write_table(pa.table({"text": ["a", "b"], "y": label}), tmp_path / "a.parquet")
    assert read(tmp_path, [tmp_path / "a.parquet"], label="y")["label"].to_pylist() == [0, 1]
