"""Subsets: what a user opens holds what was drawn, whole, in order, and the same for any shards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.sample.subset import ROW_GROUP, SplitWriter, main
from winnow.stage import InputError

ROWS = 500
SPEC = {
    "ids": {"corpus": "toy", "clustering": "k3", "sampler": "uniform", "budget": "small", "data_seed": 7},
    "corpus": {
        "source": {"files": ["toy.jsonl"]},
        "text": "text",
        "label": "label",
        "meta": ["domain", "nested"],
    },
    "sampler": {"allocation": {"weight": "equal"}},
    "budget": {"train": 150, "validation": 30, "test": 20},
    "data_seed": 7,
}
FACTS = {
    "pool": {"documents": 420, "excluded": {"heldout": 50, "clusters": 30}},
    "removed": {"near-duplicates": 0},
    "consumed": {"documents": 200, "labels": 200, "tokens": 0},
    "consumed_parts": [
        {"scorer": "entropy", "role": "classifier", "documents": 200, "labels": 200, "tokens": 0}
    ],
}


def documents(folder: Path, pieces: int) -> list[Path]:
    doc = np.arange(ROWS) * 2
    text = [f"text {d} é\n" * (1 + d % 5) for d in doc]
    table = pa.table(
        {
            "doc": doc,
            "text": text,
            "bytes": pa.array([len(t.encode()) for t in text], pa.int32()),
            "digest": doc.astype(np.uint64),
            "label": pa.array(doc % 2, pa.int32()),
            "domain": [f"d{d % 3}" for d in doc],
            "nested": [{"a": int(d), "b": [str(d)]} for d in doc],
        }
    )
    names = {"names": ["even", "odd"], "values": ["even", "odd"]}
    (folder / "source.json").write_text(json.dumps({"labels": names}))
    paths = []
    for i, part in enumerate(np.array_split(np.arange(ROWS), pieces)):
        paths.append(folder / f"documents-{pieces}-{i}.parquet")
        pq.write_table(table.slice(part[0], len(part)), paths[-1], row_group_size=60)
    return paths


def write_draw(path: Path, clustered: bool = True, test: int = 20, doc: np.ndarray | None = None) -> Path:
    generator = np.random.default_rng(0)
    doc = np.sort(generator.choice(ROWS, 200, replace=False)) * 2 if doc is None else doc
    split = np.array(["train"] * (len(doc) - test) + ["test"] * test, dtype=object)
    split[:30] = "validation"
    generator.shuffle(split)
    cluster = pa.array(doc % 3, pa.int32()) if clustered else pa.nulls(len(doc), pa.int32())
    columns = {"doc": doc, "cluster": cluster, "split": split.tolist(), "probability": np.full(len(doc), 0.4)}
    path.with_suffix(".json").write_text(json.dumps(FACTS))
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def made(tmp_path):
    draw = write_draw(tmp_path / "draw.parquet")
    main(
        draw=draw,
        source=tmp_path / "source.json",
        facts=draw.with_suffix(".json"),
        documents=documents(tmp_path, 3),
        spec=json.dumps(SPEC),
        out_dir=tmp_path / "subset",
    )
    return draw, tmp_path / "subset"


def test_every_drawn_document_is_there_whole_and_in_order(made):
    draw, folder = made
    drawn = pq.read_table(draw)
    for split in ("train", "validation", "test"):
        table = pq.read_table(folder / f"{split}.parquet")
        assert table.schema.names == ["doc", "text", "cluster", "probability", "label", "domain", "nested"]
        mine = drawn.filter(pa.array([s == split for s in drawn["split"].to_pylist()]))
        assert table["doc"].to_pylist() == mine["doc"].to_pylist()
        assert table["cluster"].to_pylist() == mine["cluster"].to_pylist()
        for row in table.to_pylist():
            assert row["text"] == f"text {row['doc']} é\n" * (1 + row["doc"] % 5)
            assert row["nested"] == {"a": row["doc"], "b": [str(row["doc"])]}
            assert row["label"] == row["doc"] % 2


def test_load_dataset_opens_a_subset(made, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(made[1]), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in loaded.items()} == {"train": 150, "validation": 30, "test": 20}
    assert loaded["train"][0]["text"].startswith("text ")


def test_subsets_in_folders_of_one_name_do_not_share_a_cache(tmp_path):
    datasets = pytest.importorskip("datasets")
    for place, step in (("one", 2), ("two", 4)):
        (tmp_path / place).mkdir()
        draw = write_draw(
            tmp_path / place / "draw.parquet", clustered=False, test=0, doc=np.arange(0, 200, step)
        )
        main(
            draw=draw,
            source=tmp_path / place / "source.json",
            facts=draw.with_suffix(".json"),
            documents=documents(tmp_path / place, 2),
            spec=json.dumps(SPEC),
            out_dir=tmp_path / place / "seed0",
        )
        loaded = datasets.load_dataset(str(tmp_path / place / "seed0"), cache_dir=str(tmp_path / "cache"))
        found = sorted(doc for split in loaded.values() for doc in split["doc"])
        assert found == list(range(0, 200, step))


def test_load_dataset_opens_a_subset_that_has_no_test_split(tmp_path):
    datasets = pytest.importorskip("datasets")
    draw = write_draw(tmp_path / "draw.parquet", clustered=False, test=0)
    main(
        draw=draw,
        source=tmp_path / "source.json",
        facts=draw.with_suffix(".json"),
        documents=documents(tmp_path, 2),
        spec=json.dumps(SPEC),
        out_dir=tmp_path / "subset",
    )
    empty = pq.read_table(tmp_path / "subset" / "test.parquet")
    assert (empty.num_rows, empty.schema.names[:2]) == (0, ["doc", "text"])
    loaded = datasets.load_dataset(str(tmp_path / "subset"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"}
    assert loaded["train"].features["label"].names == ["even", "odd"]
    assert "0 `even`, 1 `odd`" in (tmp_path / "subset" / "README.md").read_text()
    assert "clusters" not in json.loads((tmp_path / "subset" / "manifest.json").read_text())["counts"]


def test_the_manifest_counts_and_digests_are_those_of_the_files(made):
    manifest = json.loads((made[1] / "manifest.json").read_text())
    assert (manifest["ids"], manifest["spec"]) == (SPEC["ids"], SPEC)
    assert {name: manifest[name] for name in FACTS} == FACTS
    card = (made[1] / "README.md").read_text()
    assert "Drawn from a pool of 420 documents; left out: 50 heldout, 30 clusters." in card
    assert "The selection consumed before: 200 documents, 200 labels, 0 tokens." in card
    counts = manifest["counts"]
    for split, part in counts["splits"].items():
        path = made[1] / f"{split}.parquet"
        text = pq.read_table(path)["text"].to_pylist()
        assert part == {"documents": len(text), "bytes": sum(len(t.encode()) for t in text)}
        assert manifest["sha256"][path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sum(c["documents"] for c in counts["clusters"].values()) == counts["documents"] == 200
    assert sum(c["bytes"] for c in counts["clusters"].values()) == counts["bytes"]


def test_the_same_bytes_for_any_number_and_order_of_shards(made, tmp_path):
    draw, folder = made
    files = [f"{n}.parquet" for n in ("train", "validation", "test")] + ["README.md", "manifest.json"]
    for pieces, step in ((1, 1), (5, -1)):
        other = tmp_path / f"other{pieces}"
        main(
            draw=draw,
            source=tmp_path / "source.json",
            facts=draw.with_suffix(".json"),
            documents=documents(tmp_path, pieces)[::step],
            spec=json.dumps(SPEC),
            out_dir=other,
        )
        for name in files:
            assert (other / name).read_bytes() == (folder / name).read_bytes(), name


@settings(max_examples=15)
@given(st.lists(st.integers(1, 2 * ROW_GROUP + 5), min_size=1, max_size=5))
def test_row_groups_do_not_depend_on_how_rows_arrive(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("writer")
    total = sum(parts)
    table = pa.table({"doc": np.arange(total), "text": [str(i) for i in range(total)]})
    for name, cuts in (("whole", [total]), ("parts", parts)):
        writer, start = SplitWriter(folder / name, table.schema), 0
        for n in cuts:
            writer.write(table.slice(start, n))
            start += n
        writer.close()
    assert (folder / "whole").read_bytes() == (folder / "parts").read_bytes()
    assert pq.read_table(folder / "parts").equals(table)
    assert pq.read_metadata(folder / "parts").num_row_groups == -(-total // ROW_GROUP)


def renamed(path: Path, old: str, new: str) -> Path:
    table = pq.read_table(path)
    out = path.with_name(f"{new}-{path.name}")
    pq.write_table(table.rename_columns([new if n == old else n for n in table.column_names]), out)
    return out


def test_bad_input_gets_one_line_and_nothing_is_written(tmp_path):
    draw, shards = write_draw(tmp_path / "draw.parquet"), documents(tmp_path, 3)
    backwards = write_draw(tmp_path / "back.parquet", doc=np.arange(200)[::-1] * 2)
    strange = write_draw(tmp_path / "strange.parquet", doc=np.arange(400, 600) * 2)
    cases = [
        (draw, shards[:2], "of different corpora"),
        (strange, shards, "of different corpora"),
        (backwards, shards, "not in ascending order"),
        (draw, [*shards, shards[0]], "holds documents of"),
        (draw, [renamed(shards[0], "text", "words")], "no column 'text'"),
        (draw, [renamed(shards[0], "domain", "cluster")], "a subset adds"),
        (draw, [shards[0], renamed(shards[1], "domain", "field")], "its columns differ"),
        (draw, [tmp_path / "absent.parquet"], "no such file"),
        (tmp_path / "absent.parquet", shards, "no such file"),
        (renamed(draw, "split", "part"), shards, "no column 'split'"),
    ]
    for draw_file, paths, message in cases:
        with pytest.raises(InputError, match=message) as error:
            main(
                draw=draw_file,
                source=tmp_path / "source.json",
                facts=tmp_path / "draw.json",
                documents=paths,
                spec=json.dumps(SPEC),
                out_dir=tmp_path / "subset",
            )
        assert "\n" not in str(error.value)
        assert not (tmp_path / "subset").exists() or not list((tmp_path / "subset").iterdir())
