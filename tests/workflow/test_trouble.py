"""Small inputs of shapes that people report against comparable tools (WINNOW_DATA/trouble): each gives the right result,
or one line that names the file, the row or the key. None of their text stands here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT, Snakemake, copy_workflow
from winnow.documents.shards import index, write
from winnow.evaluate import benchmarks
from winnow.paths import results_folder
from winnow.stage import InputError, canonical, read_json


@pytest.fixture(scope="module")
def trouble(real_data: Path) -> Path:
    folder = real_data / "trouble"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}")
    return folder


def documents(folder: Path, files: list[Path], **corpus) -> list[dict]:
    """Rows of the documents that a corpus of these files has, by the commands of the rules."""
    spec = canonical({"corpus": {"source": {"files": [str(f) for f in files]}, "text": "text", **corpus}})
    index(spec=spec, out=folder / "source.json")
    write(source=folder / "source.json", shard=0, shards=1, spec=spec, out=folder / "0.parquet")
    return pq.read_table(folder / "0.parquet").to_pylist()


RIGHT = [
    ("01-int-then-float-late/a.jsonl.gz", {"meta": ["score"]}, 1200),
    ("06-csv-blank-line/a.csv", {"meta": ["domain"]}, 2),
    ("06-csv-blank-line/b.csv", {"meta": ["domain"]}, 2),
    ("08-csv-other/cr.csv", {}, 2),
    ("08-csv-other/label.csv", {"label": "label"}, 2),
    ("08-csv-other/nulbyte.csv", {"label": "label"}, 2),
    ("08-csv-other/quote.csv", {"label": "label"}, 2),
    ("14-json-odd/boollabel.jsonl", {"label": "label"}, 2),
    ("14-json-odd/floatlabel.jsonl", {"label": "label"}, 2),
    ("14-json-odd/cr.jsonl", {}, 2),
    ("14-json-odd/ls.jsonl", {}, 1),
    ("14-json-odd/date.jsonl", {"meta": ["when"]}, 2),
    ("14-json-odd/late_text.jsonl", {}, 1),
    ("14-json-odd/mixid.jsonl", {"meta": ["id"], "types": {"id": "string"}}, 2),
    ("14-json-odd/u64.jsonl", {"meta": ["s"]}, 2),
    ("26-empty-struct/a.jsonl", {}, None),
    ("30-empty-gz-shard/00000.jsonl.gz 30-empty-gz-shard/00001.jsonl.gz", {}, 1),
]


@pytest.mark.parametrize(("files", "corpus", "rows"), RIGHT, ids=[case[0] for case in RIGHT])
def test_values_are_stored_as_they_are(trouble, tmp_path, files, corpus, rows):
    found = documents(tmp_path, [trouble / name for name in files.split()], **corpus)
    assert rows is None or len(found) == rows


def test_a_fraction_after_eight_megabytes_is_a_fraction(trouble, tmp_path):
    found = documents(tmp_path, [trouble / "01-int-then-float-late/a.jsonl.gz"], meta=["score"])
    assert found[1000]["score"] == 0.5
    ids = documents(tmp_path, [trouble / "14-json-odd/u64.jsonl"], meta=["s"])
    assert ids[0]["s"] == (1 << 64) - 1


ONE_LINE = [
    ("01-int-then-float-late/b.jsonl.gz", {"label": "label"}, "row 1001: label 'label' is 1.9"),
    ("01-int-then-float-late/b.jsonl.gz", {"meta": ["words"]}, "row 1001: column 'words' is text"),
    ("01-int-then-float-late/b.jsonl.gz", {"meta": ["n"]}, "row 1001: column 'n' is text"),
    ("02-pile-meta/late.jsonl.gz", {"meta": ["meta.set"]}, "row 1001: column 'meta' is not an object"),
    ("02-pile-meta/two.jsonl", {"meta": ["meta.set"]}, "row 2: column 'meta' is not an object"),
    ("02-pile-meta/a.jsonl 02-pile-meta/b.jsonl", {"meta": ["meta.pile_set_name"]}, "b.jsonl: row 1"),
    ("08-csv-other/labelempty.csv", {"label": "label"}, "row 2: label 'label' is missing"),
    ("08-csv-other/labelmiss.csv", {"label": "label"}, "row 3: label 'label' is missing"),
    ("08-csv-other/latin1body.csv", {}, "row 1: column 'text' is not valid UTF-8"),
    ("08-csv-other/latin1head.csv", {"text": "texte"}, "the header is not valid UTF-8"),
    ("08-csv-other/utf16.csv", {}, "UTF-16; store it as UTF-8"),
    ("08-csv-other/space.csv", {}, "did you mean ' text', with its blanks?"),
    ("09-lone-surrogate/a.jsonl", {}, "row 2: column 'text' holds an unpaired surrogate"),
    ("14-json-odd/bigint.jsonl", {"meta": ["s"]}, "row 1: column 's' is 12345678901234567890123, beyond 64 bits"),
    ("14-json-odd/bommid.jsonl", {}, "row 2: not JSON"),
    ("14-json-odd/dup.jsonl", {}, "row 1: duplicate key 'text'"),
    ("14-json-odd/emptyobj.jsonl", {"meta": ["m"]}, "an object without fields"),
    ("14-json-odd/listorstr.jsonl", {"meta": ["words"]}, "row 2: column 'words' is text, but a list"),
    ("14-json-odd/mixid.jsonl", {"meta": ["id"]}, "row 2: column 'id' is text"),
    ("14-json-odd/notext.jsonl", {}, "no column 'text'; columns: content"),
    ("14-json-odd/numtext.jsonl", {}, "row 2: column 'text' is a whole number"),
    ("14-json-odd/utf16.jsonl", {}, "UTF-16; store it as UTF-8"),
    ("26-empty-struct/a.jsonl", {"meta": ["meta"]}, "an object without fields"),
    ("30-empty-gz-shard/00001.jsonl.gz", {}, "no rows in this file"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "corpus", "message"), ONE_LINE, ids=[f"{c[0]}-{i}" for i, c in enumerate(ONE_LINE)]
)
def test_what_does_not_fit_is_one_line(trouble, tmp_path, files, corpus, message):
    with pytest.raises(InputError) as error:
        documents(tmp_path, [trouble / name for name in files.split()], **corpus)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "0.parquet").exists()


def test_15_a_test_file_has_the_classes_of_its_corpus(trouble, tmp_path):
    folder = trouble / "15-labels-of-test-file"
    documents(tmp_path, [folder / "train.jsonl"], label="label")

    def benchmark(name: str) -> list[int]:
        part = {"files": [str(folder / name)], "text": "text", "label": "label"}
        spec = canonical(
            {"name": "t", "benchmark": {"labelled": part, "items": 1000, "seed": 0}, "clean": []}
        )
        benchmarks.labelled(source=tmp_path / "source.json", spec=spec, out_dir=tmp_path / name)
        return pq.read_table(tmp_path / name / "data.parquet").to_pylist()

    names = read_json(tmp_path / "source.json")["labels"]["names"]
    for name in ("test.jsonl", "test-two.jsonl"):
        given = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        assert [(row["text"], names[row["label"]]) for row in benchmark(name)] == [
            (row["text"], row["label"]) for row in given
        ]
    for name in ("test-int.jsonl", "test-typo.jsonl", "test-unlabelled.jsonl"):
        with pytest.raises(InputError, match=rf"{name}: row \d+: label 'label' is"):
            benchmark(name)


def test_17_benchmark_rows_have_one_reader(trouble, tmp_path):
    folder = trouble / "17-benchmark-rows"

    def mirror(task: str, name: str, split: str = "test", **data) -> int:
        definition = {
            "task": task,
            "metrics": ["acc"],
            "data": {"files": {split: str(folder / name)}, **data},
        }
        spec = canonical({"name": "x", "benchmark": definition})
        benchmarks.mirror(spec=spec, out_dir=tmp_path / name)
        return sum(
            n
            for splits in read_json(tmp_path / name / "manifest.json")["rows"].values()
            for n in splits.values()
        )

    whole = mirror("arc_challenge", "ok.jsonl")
    assert mirror("arc_challenge", "plain.jsonl.zst") == whole
    for task, name, split, data, message in (
        ("arc_challenge", "ok.jsonl.zst", "test", {}, "a window of more than 128 MB (made with --long"),
        ("arc_challenge", "mixed.jsonl", "test", {}, "row 2: column 'answerKey' is a whole number"),
        ("winogrande", "wino.jsonl", "validation", {}, "row 1: no 'option2', which row 2 has"),
        ("mmlu_anatomy", "late.jsonl", "test", {"config_column": "subject"}, "row 1: no 'subject'"),
        ("mmlu_anatomy", "intconf.jsonl", "test", {"config_column": "subject"}, "needs the split 'test'"),
    ):
        with pytest.raises(InputError) as error:
            mirror(task, name, split, **data)
        assert message in str(error.value)


@pytest.mark.parametrize("name", ["15-labels-of-test-file", "23-meta-cluster"])
def test_what_the_data_tells_is_told_before_the_first_job(trouble, tmp_path, name):
    env = {**os.environ, "WINNOW_DATA": str(trouble.parent)}
    command = [sys.executable, "-m", "winnow", "check", str(trouble / name / "run.yaml")]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    last_line = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert ("test-int.jsonl: row 1: label" if name.startswith("15") else "'cluster'") in last_line


def test_22_results_may_lie_anywhere(trouble, tmp_path, monkeypatch):
    written = yaml.safe_load((trouble / "22-results-with-space" / "run.yaml").read_text())["results"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRATCH", str(tmp_path / "s"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert [results_folder(text) for text in (written, "~/res", "$SCRATCH/res", "${SCRATCH}/res", "results-t/")] == [
        written, f"{tmp_path}/home/res", f"{tmp_path}/s/res", f"{tmp_path}/s/res", "results-t",
    ]  # fmt: skip


@pytest.mark.slow  # the rerun matrix asks the same of its toy
def test_31_a_replaced_source_is_read_again_whatever_its_time(
    trouble: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    folder = copy_workflow(tmp_path / "w")
    data = tmp_path / "data" / "trouble" / "31-older-file"
    data.mkdir(parents=True)
    few = (trouble / "31-older-file" / "a.jsonl").read_text().splitlines(keepends=True)
    (data / "a.jsonl").write_text("".join([*few, *few[:400]]))
    shutil.copy(trouble / "31-older-file" / "run.yaml", folder / "run.yaml")
    results = yaml.safe_load((folder / "run.yaml").read_text())["results"]
    arguments = (f"{results}/mine/heldout.parquet", "--profile", "profiles/local", "--configfile", "run.yaml")

    def rows() -> int:
        done = snakemake(*arguments, cwd=folder, WINNOW_DATA=str(tmp_path / "data"))
        assert done.code == 0, done.text
        return sum(
            pq.read_metadata(path).num_rows
            for path in (folder / results / "mine/documents").glob("*.parquet")
        )

    assert rows() == len(few) + 400
    (data / "a.jsonl").write_text("".join(few))
    os.utime(data / "a.jsonl", (1_577_836_800, 1_577_836_800))
    assert rows() == len(few)
