"""What a user would lose if benchmark data were wrong: items from the pool, a cue to the answer, a stock task that reads
other data than its own."""

import gzip
import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from winnow.documents import shards
from winnow.evaluate import benchmarks, stock
from winnow.evaluate.forms import bits_per_byte, cloze
from winnow.evaluate.items import HeldOut
from winnow.schema import schema
from winnow.stage import InputError, canonical, read_json, sha256, write_json

WORDS = "red green blue old new cat dog bird runs sleeps eats near far under over house tree".split()  # noqa: SIM905


def text_of(doc: int, words: int = 60) -> str:
    dice = np.random.default_rng(doc)
    return " ".join(dice.choice(WORDS, words)) + f" end{doc}."


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[list[Path], Path]:
    """Two shards of 60 documents in two domains with labels; every third is held out, three are duplicates."""
    shards = []
    for shard in range(2):
        docs = range(60 * shard, 60 * shard + 60)
        path = tmp_path / f"{shard:04d}.parquet"
        table = {
            "doc": pa.array(docs, pa.int64()),
            "text": [text_of(d, words=6 if d == 3 else 60) for d in docs],
            "label": pa.array([d % 2 for d in docs], pa.int32()),
            "domain": [f"d{d % 2}" for d in docs],
        }
        pq.write_table(pa.table(table), path)
        shards.append(path)
    roles = [(d, "heldout") for d in range(0, 120, 3)] + [(d, "duplicate-of-heldout") for d in (1, 2, 4)]
    held = tmp_path / "heldout.parquet"
    pq.write_table(pa.table({"doc": [d for d, _ in roles], "role": [r for _, r in roles]}), held)
    return shards, held


def make(corpus, out: Path, form: str, group: str | None = "domain", **keys) -> tuple[list[dict], dict]:
    spec = canonical({"benchmark": {"heldout": form, **keys}, "group": group, "name": "b"})
    source = out.parent / "source.json"
    write_json(source, {"labels": {"names": ["no", "yes"], "values": [0, 1]}})
    benchmarks.heldout(source=source, documents=corpus[0], heldout=corpus[1], spec=spec, out_dir=out)
    return pq.read_table(out / "data.parquet").to_pylist(), read_json(out / "manifest.json")


def test_only_heldout_documents_become_items(corpus, tmp_path):
    rows, manifest = make(corpus, tmp_path / "b", "bits-per-byte")
    assert [r["item"] for r in rows] == list(range(0, 120, 3))
    assert rows[1] == {"item": 3, "group": "d1", "text": text_of(3, 6)}
    assert manifest["groups"] == {"d0": 20, "d1": 20}


def test_fewer_items_are_a_subset_and_another_seed_is_another_choice(corpus, tmp_path):
    many = {r["item"] for r in make(corpus, tmp_path / "a", "bits-per-byte", items=20)[0]}
    few = {r["item"] for r in make(corpus, tmp_path / "b", "bits-per-byte", items=10)[0]}
    other = {r["item"] for r in make(corpus, tmp_path / "c", "bits-per-byte", items=10, seed=1)[0]}
    assert few < many
    assert few != other


def test_shards_in_another_number_change_no_byte(corpus, tmp_path):
    one = tmp_path / "all.parquet"
    pq.write_table(pa.concat_tables([pq.read_table(p) for p in corpus[0]]), one)
    for form in ("bits-per-byte", "cloze", "labels"):
        make(corpus, tmp_path / "a", form)
        make(([one], corpus[1]), tmp_path / "b", form)
        for name in ("data.parquet", "manifest.json"):
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_long_texts_are_cut(corpus, tmp_path):
    shard = tmp_path / "long.parquet"
    pq.write_table(pa.table({"doc": [0], "text": ["é" * 9000]}), shard)
    held = tmp_path / "h.parquet"
    pq.write_table(pa.table({"doc": [0], "role": ["heldout"]}), held)
    rows, _ = make(([shard], held), tmp_path / "b", "bits-per-byte", group=None)
    assert len(rows[0]["text"]) == bits_per_byte.TEXT_CHARACTERS


def test_cloze_has_one_true_continuation_and_false_ones_of_the_same_group(corpus, tmp_path):
    rows, _ = make(corpus, tmp_path / "b", "cloze")
    continuations = {d: cloze.split_words(text_of(d)) for d in range(0, 120, 3) if d != 3}
    owner = {pair[1]: d for d, pair in continuations.items()}
    assert [r["item"] for r in rows] == sorted(continuations)  # document 3 is too short
    for row in rows:
        assert (row["context"], row["choices"][row["label"]]) == continuations[row["item"]]
        assert len(set(row["choices"])) == 4
        assert {owner[c] % 2 for c in row["choices"]} == {row["item"] % 2}
    assert {r["label"] for r in rows} == {0, 1, 2, 3}


def test_cloze_places_are_balanced():
    n = 4000
    held = HeldOut(np.arange(n), [text_of(d, 30) for d in range(n)], [None] * n, [None] * n)
    labels = np.array(cloze.make(held, 1000, seed=0)["label"])
    assert np.bincount(labels, minlength=4).min() > 190


def test_a_small_group_borrows_false_continuations():
    n = 8
    held = HeldOut(np.arange(n), [text_of(d) for d in range(n)], ["x"] + ["y"] * 7, [None] * n)
    rows = cloze.make(held, n, seed=0)
    assert len(set(rows["choices"][0])) == 4


def test_too_few_documents_for_a_cloze_is_one_line(tmp_path):
    held = HeldOut(np.arange(3), [text_of(d) for d in range(3)], [None] * 3, [None] * 3)
    with pytest.raises(InputError, match="hold out more"):
        cloze.make(held, 3, seed=0)


def test_labels_keep_text_and_label(corpus, tmp_path):
    rows, manifest = make(corpus, tmp_path / "b", "labels", group=None)
    assert all(r["label"] == r["item"] % 2 and r["group"] is None for r in rows)
    assert not (tmp_path / "b" / "task.yaml").exists()
    assert (manifest["kind"], manifest["classes"]) == ("labels", ["no", "yes"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda shards, held: (shards[:1], held), "20 of 40 held-out documents are not in"),
        (lambda shards, held: (shards, empty(held)), "no document is held out"),
    ],
)
def test_missing_documents_are_one_line(corpus, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        make(change(*corpus), tmp_path / "b", "bits-per-byte")


def empty(held: Path) -> Path:
    pq.write_table(pq.read_table(held).slice(0, 0), held)
    return held


def test_labelled_files_are_cleaned_as_the_corpus_and_have_its_texts(tmp_path):
    rows = [("  A Fine Film ", "good"), ("DULL", "bad"), (" \t ", "bad"), ("So so\n", "good")]
    path = tmp_path / "posts.jsonl.gz"
    write_jsonl(path, [{"text": text, "label": label} for text, label in rows])
    for clean in ([], ["strip", "lower"]):
        settings = {"source": {"files": [str(path)]}, "text": "text", "label": "label", "clean": clean}
        source = tmp_path / "source.json"
        shards.index(spec=canonical({"corpus": settings}), out=source)
        shards.write(
            source=source, shard=0, shards=1, spec=canonical({"corpus": settings}), out=tmp_path / "d.parquet"
        )
        test = {"labelled": {"files": [str(path)], "text": "text", "label": "label"}, "items": 10, "seed": 0}
        spec = canonical({"name": "test", "benchmark": test, "clean": clean})
        benchmarks.labelled(source=source, spec=spec, out_dir=tmp_path / "b")
        items = pq.read_table(tmp_path / "b" / "data.parquet").sort_by("item").to_pydict()
        documents = pq.read_table(tmp_path / "d.parquet").to_pydict()
        assert (items["item"], items["text"], items["label"]) == tuple(
            documents[k] for k in ("doc", "text", "label")
        )
        assert items["text"] == (
            ["a fine film", "dull", "so so"] if clean else [rows[i][0] for i in (0, 1, 3)]
        )


def test_other_texts_are_another_manifest(corpus, tmp_path):
    """Snakemake compares the content of small inputs: a manifest of counts alone hid that the items had changed."""
    one = make(corpus, tmp_path / "a", "cloze")[1]
    assert one["files"] == {name: sha256(tmp_path / "a" / name) for name in ("data.parquet", "task.yaml")}
    for path in corpus[0]:
        table = pq.read_table(path)
        texts = [text.upper() for text in table["text"].to_pylist()]
        pq.write_table(table.set_column(1, "text", [texts]), path)
    other = make(corpus, tmp_path / "b", "cloze")[1]
    assert {**one, "files": {}} == {**other, "files": {}}
    assert one["files"] != other["files"]


def test_a_new_form_is_one_module_and_its_name_in_the_schema(corpus, tmp_path, monkeypatch):
    form = types.ModuleType("winnow.evaluate.forms.first_letter")
    form.COLUMNS = [("letter", pa.string()), ("label", pa.int64())]
    form.TASK = {"output_type": "multiple_choice", "doc_to_text": "", "doc_to_choice": ["a", "b"],
                 "doc_to_target": "label", "metric_list": [{"metric": "acc"}]}  # fmt: skip
    form.make = lambda held, items, seed: {
        "item": held.doc[:items].tolist(),
        "group": held.group[:items],
        "letter": [text[0] for text in held.text[:items]],
        "label": [0] * items,
    }
    monkeypatch.setitem(sys.modules, form.__name__, form)
    forms = schema()["$defs"]["benchmark"]["oneOf"][0]["properties"]["heldout"]
    with pytest.raises(InputError, match="first-letter"):
        make(corpus, tmp_path / "b", "first-letter", items=3)
    monkeypatch.setitem(forms, "enum", [*forms["enum"], "first-letter"])
    rows, manifest = make(corpus, tmp_path / "b", "first-letter", items=3)
    assert [sorted(row) for row in rows] == [["group", "item", "label", "letter"]] * 3
    assert (manifest["kind"], manifest["items"]) == ("first-letter", 3)
    assert yaml.safe_load((tmp_path / "b" / "task.yaml").read_text())["doc_to_choice"] == ["a", "b"]


def test_an_item_without_a_label_is_one_line(corpus, tmp_path):
    for path in corpus[0]:
        table = pq.read_table(path)
        pq.write_table(table.set_column(2, "label", [pa.nulls(len(table), pa.int32())]), path)
    with pytest.raises(InputError, match="document 0: held out without a label"):
        make(corpus, tmp_path / "b", "labels")


def test_an_unknown_group_column_is_one_line(corpus, tmp_path):
    with pytest.raises(InputError, match=r"no column 'topic'.*domain"):
        make(corpus, tmp_path / "b", "bits-per-byte", group="topic")


def test_task_files_hold_no_path(corpus, tmp_path):
    make(corpus, tmp_path / "b", "cloze")
    for name in ("task.yaml", "manifest.json"):
        assert str(tmp_path) not in (tmp_path / "b" / name).read_text()


def test_minimal_pairs_have_the_good_sentence_first(tmp_path, monkeypatch):
    stand_in = types.ModuleType("winnow.documents.generators.story_grammar")
    stand_in.minimal_pairs = lambda items, seed: [
        (f"good {i}", f"bad {i}", f"p{i % 2}") for i in range(items)
    ]
    package = types.ModuleType("winnow.documents.generators")
    package.story_grammar = stand_in
    monkeypatch.setitem(sys.modules, "winnow.documents.generators", package)
    monkeypatch.setitem(sys.modules, "winnow.documents.generators.story_grammar", stand_in)
    spec = canonical({"benchmark": {"grammar": "minimal-pairs", "items": 4}, "name": "pairs"})
    benchmarks.grammar(spec=spec, out_dir=tmp_path)
    rows = pq.read_table(tmp_path / "data.parquet").to_pylist()
    assert rows[3] == {"item": 3, "group": "p1", "choices": ["good 3", "bad 3"], "label": 0}


def test_the_story_grammar_gives_pairs(tmp_path):
    spec = canonical({"benchmark": {"grammar": "minimal-pairs", "items": 20}, "name": "pairs"})
    benchmarks.grammar(spec=spec, out_dir=tmp_path)
    rows = pq.read_table(tmp_path / "data.parquet").to_pylist()
    assert len(rows) == 20
    assert all(good != bad for good, bad in (r["choices"] for r in rows))


# --- mirrors

ARC = [
    {"id": f"q{i}", "question": f"What is {i}?", "answerKey": "ABCD"[i % 4],
     "choices": {"text": [f"{i + j} things" for j in range(4)], "label": list("ABCD")}}
    for i in range(30)
]  # fmt: skip


def write_jsonl(path: Path, rows: list[dict]) -> str:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return str(path)


def mirror(out: Path, task: str, data: dict, **keys) -> dict:
    spec = canonical({"benchmark": {"task": task, "data": data}, "name": "m"})
    benchmarks.mirror(spec=spec, out_dir=out, **keys)
    return read_json(out / "manifest.json")


def test_a_mirror_opens_with_load_dataset_in_the_shape_it_came(tmp_path):
    import datasets

    path = write_jsonl(tmp_path / "t.jsonl.gz", ARC)
    manifest = mirror(tmp_path / "m", "arc_challenge", {"files": {"test": path, "train": path}})
    assert manifest["dataset"] == "allenai/ai2_arc"
    opened = datasets.load_dataset(
        str(tmp_path / "m" / "allenai/ai2_arc"), "ARC-Challenge", cache_dir=str(tmp_path / "cache")
    )
    assert opened["test"].to_list() == ARC
    assert opened["train"].num_rows == 30


def test_a_group_gets_one_config_a_member(tmp_path):
    leaves = stock.stock_tasks("blimp", stock.find_folder("blimp"))
    rows = [
        {"sentence_good": "a b", "sentence_bad": "b a", "UID": leaf.dataset_name}
        for leaf in leaves
        for _ in "xy"
    ]
    data = {"files": {"train": write_jsonl(tmp_path / "b.jsonl.gz", rows)}, "config_column": "UID"}
    manifest = mirror(tmp_path / "m", "blimp", data)
    assert len(manifest["leaves"]) == 67
    assert set(map(canonical, manifest["rows"].values())) == {'{"train":2}'}


def test_mmlu_is_the_default_form_of_57_subjects():
    assert stock.find_folder("mmlu") == "mmlu/default"
    leaves = stock.stock_tasks("mmlu", "mmlu/default")
    assert len({leaf.dataset_name for leaf in leaves}) == 57
    assert {leaf.dataset_path for leaf in leaves} == {"cais/mmlu"}
    assert leaves[0].used == ("test",)


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        ("arc_challenge", {"validation": "t"}, "needs the split 'test' of config 'ARC-Challenge'"),
        ("no_such_task", {"test": "t"}, "no task or group of this name"),
        ("arc_challenge", {"test": "missing"}, "no file there"),
        ("arc_challenge", {"test": "cut"}, "broken gzip after row"),
        ("arc_challenge", {"test": "text"}, "row 1: not JSON"),
        ("arc_challenge", {"test": "${WINNOW_NO_SUCH}/x"}, "WINNOW_NO_SUCH is not set"),
        ("mmlu", {"test": "t"}, "reads 57 configs"),
    ],
)
def test_bad_benchmark_data_is_one_line(tmp_path, task, data, message):
    paths = {"t": write_jsonl(tmp_path / "t.jsonl.gz", ARC)}
    whole = Path(paths["t"]).read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "x.jsonl").write_text("hello\n")
    paths |= {
        "cut": str(tmp_path / "cut.jsonl.gz"),
        "text": str(tmp_path / "x.jsonl"),
        "missing": "/no/file.jsonl",
    }
    files = {split: paths.get(name, name) for split, name in data.items()}
    with pytest.raises(InputError, match=message) as error:
        mirror(tmp_path / "m", task, {"files": files})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "m" / "manifest.json").exists()


def test_a_snapshot_is_copied_without_its_code_and_opened(tmp_path):
    path = write_jsonl(tmp_path / "t.jsonl.gz", ARC)
    mirror(tmp_path / "m", "arc_challenge", {"files": {"test": path, "train": path, "validation": path}})
    snapshot = tmp_path / "m" / "allenai/ai2_arc"
    (snapshot / "ai2_arc.py").write_text("raise SystemExit")
    # A checked config names the globs of the files, too; they were taken for the files of the splits.
    hub = {"hub": "allenai/ai2_arc", "revision": "0" * 40, "files": ["README.md", "**/*.parquet"]}
    files = [str(p) for p in snapshot.rglob("*") if p.is_file()]
    download = tmp_path / "download.json"
    write_json(download, {"folder": str(snapshot), "files": files})
    manifest = mirror(tmp_path / "n", "arc_challenge", hub, download=[download])
    assert manifest["rows"] == {"ARC-Challenge": {"test": 30, "train": 30, "validation": 30}}
    assert not (tmp_path / "n" / "allenai/ai2_arc/ai2_arc.py").exists()
    card, *data = sorted(manifest["files"])
    assert card == "allenai/ai2_arc/ARC-Challenge/test.parquet"
    assert data[-1] == "allenai/ai2_arc/README.md"
    (tmp_path / "n" / "allenai/ai2_arc/ARC-Challenge/old.parquet").write_bytes(b"of an earlier build")
    assert mirror(tmp_path / "n", "arc_challenge", hub, download=[download]) == manifest
    with pytest.raises(InputError, match="ARC-Easy"):
        mirror(tmp_path / "o", "arc_easy", hub, download=[download])


REAL = Path(os.environ.get("WINNOW_DATA", Path(__file__).parents[2] / "../shared/data")) / "benchmarks"


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data at {REAL}; set WINNOW_DATA")
def test_the_real_mmlu_has_every_row(tmp_path):
    files = {split: str(REAL / f"mmlu_{split}.jsonl.gz") for split in ("dev", "validation", "test")}
    manifest = mirror(tmp_path, "mmlu", {"files": files, "config_column": "subject"})
    assert sum(splits["test"] for splits in manifest["rows"].values()) == 14_042
    assert {splits["dev"] for splits in manifest["rows"].values()} == {5}
