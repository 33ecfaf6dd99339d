"""From a figure to its documents and back: people are asked to remove one, and must hear of every subset and model."""

import csv
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.__main__ import main
from winnow.commands.lineage import lineage
from winnow.stage import InputError, sha256

ROW = {"benchmark": "bpb", "metric": "bits_per_byte", "scope": "all items", "group": ""}


def write_csv(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def subset(results: Path, sampler: str, seed: int, train: list[int], validation: list[int]) -> None:
    ids = {"corpus": "c", "clustering": "none", "sampler": sampler, "budget": "few"}
    folder = results / f"c/subsets/none/{sampler}/few/seed{seed}"
    folder.mkdir(parents=True)
    docs = pa.array(sorted(train + validation), pa.int64())
    splits = ["train" if doc in train else "validation" for doc in docs.to_pylist()]
    pq.write_table(pa.table({"doc": docs, "split": splits}), folder / "draw.parquet")
    (folder / "train.parquet").write_bytes(b"documents")
    write_json(folder / "manifest.json", {"sha256": {"train.parquet": sha256(folder / "train.parquet")}})
    model = results / f"c/models/none/{sampler}/few/seed{seed}/m/seed{seed}"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(f"{sampler}{seed}".encode())
    manifest = {"files": {"model.safetensors": sha256(model / "model.safetensors")}, "subset": {**ids, "data_seed": seed},
                "spec": {"base": None, "model": {"start": {"hub": "o/n", "revision": "a" * 40}}}}  # fmt: skip
    write_json(model / "manifest.json", manifest)
    items = model / "evaluation/s/items.parquet"
    write_json(
        items.with_name("results.json"),
        {"ids": {**ids, "model": "m", "data_seed": seed, "training_seed": seed}},
    )
    items.write_bytes(b"items")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of two arms with two seeds each; documents 3 and 7 have the same text. Source files of 4 and 6 rows."""
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results"
    files = [{"path": "a.jsonl", "rows": 4}, {"path": "b.jsonl", "rows": 6}]
    write_json(results / "c/source.json", {"files": files})
    (results / "c/documents").mkdir()
    for shard, docs in enumerate(([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])):
        digest = pa.array([2**64 - 1 if doc in (3, 7) else doc for doc in docs], pa.uint64())
        pq.write_table(
            pa.table({"doc": docs, "digest": digest}), results / f"c/documents/{shard:04d}.parquet"
        )
    pq.write_table(pa.table({"doc": [9], "role": ["heldout"]}), results / "c/heldout.parquet")
    for seed in (0, 1):
        subset(results, "random", seed, [0, 3 + seed], [8])
        subset(results, "other", seed, [5], [3])
    row = {
        **ROW,
        "figure": "1.5",
        "baseline": "e/random",
        "effect": "",
        "verdict": "",
        "figures_by_run": "0/0: 1.4; 1/1: 1.6",
    }
    write_csv(
        results / "tables/t.csv",
        [{"arm": "e/random", **row}, {"arm": "e/other", **row, "verdict": "worse", "effect": "0.1"}],
    )
    paths = {
        sampler: "; ".join(
            f"results/c/models/none/{sampler}/few/seed{s}/m/seed{s}/evaluation/s/items.parquet"
            for s in (0, 1)
        )
        for sampler in ("random", "other")
    }
    claim = {
        "arm": "e/other",
        "baseline": "e/random",
        **ROW,
        "figure_files": paths["other"],
        "baseline_files": paths["random"],
    }
    write_csv(results / "tables/t.claims.csv", [claim])
    return results


def test_a_figure_leads_to_its_models_draws_and_source_rows(results, tmp_path, capsys):
    out = tmp_path / "documents.tsv"
    lineage(results / "tables/t.csv", 2, out=out)
    text = capsys.readouterr().out
    assert "e/other on bpb (bits_per_byte): 1.5" in text
    assert "difference from e/random: 0.1, verdict: worse" in text
    assert text.count("from o/n at aaaaaaaaaaaa") == 4
    assert "CHANGED" not in text
    with open(out) as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    of = {(row["arm"], row["data_seed"], row["doc"]): row for row in rows}
    assert set(of) == {("e/other", "0", "3"), ("e/other", "0", "5"), ("e/other", "1", "3"), ("e/other", "1", "5"),
                       ("e/random", "0", "0"), ("e/random", "0", "3"), ("e/random", "0", "8"),
                       ("e/random", "1", "0"), ("e/random", "1", "4"), ("e/random", "1", "8")}  # fmt: skip
    assert (of["e/other", "0", "5"]["file"], of["e/other", "0", "5"]["row"]) == ("b.jsonl", "1")
    assert (of["e/random", "0", "3"]["file"], of["e/random", "0", "3"]["row"]) == ("a.jsonl", "3")
    assert of["e/other", "0", "3"]["split"] == "validation"


def test_a_baseline_has_a_lineage_too_from_any_folder(results, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir("/")
    lineage(results / "tables/t.csv", 1)
    text = capsys.readouterr().out
    assert "e/random: 2 files of items" in text
    assert "4 different documents in 2 draws" in text


def test_files_that_changed_since_are_named(results, capsys):
    (results / "c/models/none/other/few/seed1/m/seed1/model.safetensors").write_bytes(b"another")
    (results / "c/subsets/none/random/few/seed0/train.parquet").unlink()
    lineage(results / "tables/t.csv", 2)
    text = capsys.readouterr().out
    assert (
        "CHANGED: results/c/models/none/other/few/seed1/m/seed1/model.safetensors is not the file of its manifest"
        in text
    )
    assert "random/few/seed0/train.parquet is missing" in text


def test_a_document_leads_to_its_copies_subsets_and_models(results, tmp_path, capsys):
    lineage(document="c:3", out=tmp_path / "holders.tsv")
    text = capsys.readouterr().out
    assert "document 3 of c: row 3 (from 0) of a.jsonl" in text
    assert "the same text: document 7 of c" in text
    assert "subsets that hold it: 3; models trained on it: 1" in text
    with open(tmp_path / "holders.tsv") as file:
        rows = [(row["kind"], row["path"], row["what"]) for row in csv.DictReader(file, delimiter="\t")]
    assert ("model", "results/c/models/none/random/few/seed0/m/seed0", "") in rows
    assert ("subset", "results/c/subsets/none/other/few/seed1", "validation") in rows
    lineage(document="c:9")
    text = capsys.readouterr().out
    assert "held out of all subsets (heldout)" in text
    assert "subsets that hold it: 0; models trained on it: 0" in text


def test_a_heldout_document_leads_to_the_benchmarks_made_of_it(results, capsys):
    for name, kind, items in (("bpb", {"heldout": "bits-per-byte"}, [9]), ("pairs", {"grammar": "minimal-pairs"}, [9]), ("few", {"heldout": "cloze"}, [4])):  # fmt: skip
        write_json(results / f"c/benchmarks/{name}/manifest.json", {"spec": {"benchmark": kind}})
        pq.write_table(pa.table({"item": items}), results / f"c/benchmarks/{name}/data.parquet")
    lineage(document="c:9")
    text = capsys.readouterr().out
    assert "benchmark  results/c/benchmarks/bpb  bits-per-byte" in text
    assert "benchmarks made of it: 1;" in text  # items of grammar are not documents


def test_a_document_leads_to_the_files_of_its_shard_and_its_similarity(results, tmp_path, capsys):
    for name in ("embeddings/e/0000.npy", "embeddings/e/0001.npy", "models/none/random/few/seed0/m/seed0/predictions/0001.parquet"):  # fmt: skip
        (results / "c" / name).parent.mkdir(parents=True, exist_ok=True)
        (results / "c" / name).write_bytes(b"vectors")
    lineage(document="c:7")
    text = capsys.readouterr().out
    assert "near-duplicates are not listed" in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith("file ")] == [
        "results/c/documents/0001.parquet",
        "results/c/embeddings/e/0001.npy",
        "results/c/models/none/random/few/seed0/m/seed0/predictions/0001.parquet",
    ]
    scores = results / "c/clusterings/k/scores/semdedup/all.parquet"
    scores.parent.mkdir(parents=True)
    pq.write_table(pa.table({"doc": [7, 8], "score": [0.98, 0.1]}), scores)
    lineage(document="c:7", out=tmp_path / "holders.tsv")
    text = capsys.readouterr().out
    assert "cosine similarity to another document of its cluster, at most: 0.980" in text
    with open(tmp_path / "holders.tsv") as file:
        assert [row["kind"] for row in csv.DictReader(file, delimiter="\t")] == ["file"] * 3


def test_probes_list_all_seeds_that_hold_a_document(results, capsys):
    folder = results / "c/probes/none/random/few/p/s"
    folder.mkdir(parents=True)
    draws = pa.table({"data_seed": [0, 0, 1], "round": [0, 1, 1], "doc": [2, 3, 3]})
    pq.write_table(draws, folder / "draws.parquet")
    lineage(document="c:3")
    text = capsys.readouterr().out
    assert "probes of data seed 0, from round 1 on" in text
    assert "probes of data seed 1, from round 1 on" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["results/tables/t.csv", "3"], "t.csv: has the rows 1 to 2; row 3 is none of them"),
        (["results/tables/t.csv", "-1"], "row -1 is none of them"),
        (["results/tables/t.csv"], "t.claims.json: no such file or directory; make it again"),
        (["results/tables/t.csv", "--out", "x"], "--out: name a row, too"),
        (["results/tables/t.claims.csv", "1"], "t.claims.csv: no column 'figure'"),
        (["results/tables/no.csv", "1"], "no.csv: No such file or directory"),
        ([], "name a table and a row"),
        (["--document", "c:10"], "has 10 rows; document 10 is none of them"),
        (["--document", "d:1"], "must be CORPUS:ID, ID a whole number from 0; corpora of results: c"),
        (["--document", "c:x"], "must be CORPUS:ID"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(results, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["winnow", "lineage", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert message in errors[0]


def test_a_figure_whose_files_are_gone_names_them(results):
    (results / "c/models/none/other/few/seed0/m/seed0/evaluation/s/items.parquet").unlink()
    with pytest.raises(
        InputError, match=r"seed0/evaluation/s/items.parquet: no such file, which .*t.csv was made of"
    ):
        lineage(results / "tables/t.csv", 2)
