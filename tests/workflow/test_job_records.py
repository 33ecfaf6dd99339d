"""A run from documents to a table: every file has the record of the job that made it; what was made otherwise is pointed out; a
document that has to go is found everywhere, and is gone after the next run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from test_twice import RUN, prepare

EXPERIMENT = {"name": "notes", "corpus": "notes", "clustering": "k", "samplers": ["random", "density"], "budget": "few",
              "model": "tiny", "data_seeds": [0], "suites": ["short"]}  # fmt: skip
SMALL = {
    **RUN,
    "clusterings": {"k": RUN["clusterings"]["k"]},
    "benchmarks": {"bpb": {"heldout": "bits-per-byte", "items": 20}},
    "suites": {"short": ["bpb"]},
    "samplers": {},
    "scorers": {},
    "experiments": [EXPERIMENT],
}


class Folder:
    def __init__(self, path: Path):
        self.path = prepare(path)
        self.results = path / "results"
        (path / "run.json").write_text(json.dumps(SMALL))

    def snakemake(self, *arguments: str) -> str:
        line = [
            sys.executable,
            "-m",
            "snakemake",
            *arguments,
            "--profile",
            "profiles/local",
            "--configfile",
            "run.json",
        ]
        done = subprocess.run(line, cwd=self.path, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def winnow(self, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(self.path / "workflow"), *sys.path])}
        line = [sys.executable, "-m", "winnow", *arguments]
        done = subprocess.run(line, cwd=self.path, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def record(self, name: str) -> Path:
        return self.results / "provenance" / f"{name}.json"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("provenance"))
    folder.snakemake()
    return folder


@pytest.mark.slow
def test_every_file_has_the_record_of_the_job_that_made_it(run: Folder) -> None:
    made, given = set(), set()
    for path in (run.results / "provenance").glob("*/**/*.json"):
        if path.parent.name != "runs":
            record = json.loads(path.read_text())
            made |= record["outputs"].keys()
            given |= set(record["inputs"])
            assert (record["host"], record["python"]) == (os.uname().nodename, sys.version.split()[0])
    files = {path.relative_to(run.results) for path in run.results.rglob("*") if path.is_file()}
    apart = {"logs", "timings", "provenance", "tensorboard"}
    assert sorted(str(f) for f in files if not apart & {*f.parts} and str(f) not in made) == []
    folders = {str(folder) for one in made for folder in Path(one).parents}
    assert sorted(one for one in given - made - folders if not os.path.isabs(one)) == []
    train = json.loads(run.record("train_model/notes/none/random/few/seed0/tiny/seed0").read_text())
    assert {"torch", "transformers", "numpy"} <= train["packages"].keys()
    assert '"training_seed":0' in " ".join(train["command"])
    assert "notes.jsonl" in str(json.loads(run.record("index_source/notes").read_text())["command"])
    (of_run,) = (run.results / "provenance/runs").glob("*.json")
    assert train["run"] == of_run.stem
    facts = json.loads(of_run.read_text())
    assert facts["config"]["budgets"]["few"]["train"] == 50
    assert "run.json" in map(os.path.basename, facts["config_files"])
    assert facts["winnow"]["commit"] is None  # a copy without git
    assert re.fullmatch("sha256 [0-9a-f]{64}", facts["winnow"]["code"])


@pytest.mark.slow
def test_a_figure_and_its_table_say_how_they_were_made(run: Folder) -> None:
    whole = run.winnow("lineage", "results/tables/notes.csv")
    assert "notes.csv: 2 arms" in whole
    assert "train_model (2 jobs) on " in whole
    assert "DIFFERENT" not in whole
    assert "no record" not in whole
    of_row = run.winnow("lineage", "results/tables/notes.csv", "2")
    assert of_row.count("train_model (1 job) on ") == 2
    assert "CHANGED" not in of_row
    page = (run.results / "tables/notes.provenance.md").read_text()
    assert "**All jobs of a rule were made with the same versions on the same kind of device.**" in page
    assert "notes.provenance.html" in (run.results / "report/index.html").read_text()


@pytest.mark.slow
def test_a_model_of_another_torch_is_pointed_out(run: Folder) -> None:
    path = run.record("train_model/notes/none/random/few/seed0/tiny/seed0")
    before = path.read_text()
    record = json.loads(before)
    record["packages"]["torch"] = "2.0.0"
    path.write_text(json.dumps(record))
    try:
        (run.results / "tables/notes.provenance.md").unlink()
        assert "trace_provenance" in run.snakemake("results/tables/notes.provenance.md")
        page = (run.results / "tables/notes.provenance.md").read_text()
        assert (
            "Made differently: train_model: different versions of torch: 2.0.0 in 1 job (notes/random); "
            in page
        )
        assert "DIFFERENT: train_model: different versions of torch" in run.winnow(
            "lineage", "results/tables/notes.csv", "2"
        )
    finally:
        path.write_text(before)


@pytest.mark.slow
def test_a_run_is_described_as_a_crate(run: Folder) -> None:
    pytest.importorskip("rocrate")
    from rocrate.rocrate import ROCrate

    assert "1 tables, " in run.winnow(
        "export-crate", "results", "--license", "https://spdx.org/licenses/CC-BY-4.0"
    )
    crate = ROCrate(run.results)
    metadata = json.loads((run.results / "ro-crate-metadata.json").read_text())
    graph = {entity["@id"]: entity for entity in metadata["@graph"]}
    assert graph["./"]["conformsTo"] == {"@id": "https://w3id.org/ro/wfrun/process/0.5"}
    named = set(re.findall(r'"@id": "([^"]+)"', json.dumps(list(graph.values()))))
    assert (
        sorted(one for one in named - graph.keys() if not one.startswith("https://w3id.org/ro/crate/")) == []
    )
    records = [
        path for path in (run.results / "provenance").glob("*/**/*.json") if path.parent.name != "runs"
    ]
    actions = {action["name"]: action for action in crate.get_by_type("CreateAction")}
    assert (
        len(actions) >= len(records) - 3
    )  # not those of the report, of the guide and of the comparison of samplers
    train = actions["train_model notes/none/random/few/seed0/tiny/seed0"]
    made = {one["@id"] for one in train["result"]}
    weights = "notes/models/none/random/few/seed0/tiny/seed0/model.safetensors"
    assert weights in made
    assert any(one["@id"].endswith("tokens/t.npy") for one in train["object"])
    manifest = json.loads((run.results / weights).with_name("manifest.json").read_text())
    assert graph[weights]["sha256"] == manifest["files"]["model.safetensors"]
    needs = {one["name"] for one in train["instrument"]["softwareRequirements"]}
    assert {"torch", "transformers", "Python"} <= needs
    for one in crate.get_by_type("File"):
        assert one.id == "ro-crate-metadata.json" or (run.results / one.id).is_file(), one.id


@pytest.mark.slow
def test_a_removed_document_is_in_nothing_that_the_next_run_makes(run: Folder) -> None:
    """The row stays, without its text: no other document changes its number, and the others of a draw stay drawn."""
    draw = run.results / "notes/subsets/none/random/few/seed0/draw.parquet"
    table = pq.read_table(draw)
    docs = set(table["doc"].to_pylist())
    doc = table["doc"][table["split"].to_pylist().index("train")].as_py()
    text = run.winnow("lineage", "--document", f"notes:{doc}")
    assert f"row {doc} (from 0) of notes.jsonl" in text
    assert re.search(r"^subset +results/notes/subsets/none/random/few/seed0 +train$", text, re.MULTILINE)
    assert re.search(r"^model +results/notes/models/none/random/few/seed0/tiny/seed0$", text, re.MULTILINE)
    assert re.search(r"^file +results/notes/documents/0000.parquet$", text, re.MULTILINE)
    held = pq.read_table(run.results / "notes/benchmarks/bpb/data.parquet", columns=["item"])["item"][
        0
    ].as_py()
    text = run.winnow("lineage", "--document", f"notes:{held}")
    assert "held out of all subsets" in text
    assert re.search(r"^benchmark +results/notes/benchmarks/bpb +bits-per-byte$", text, re.MULTILINE)

    lines = (run.path / "notes.jsonl").read_text().splitlines()
    lines[doc] = json.dumps({**json.loads(lines[doc]), "text": ""})
    (run.path / "notes.jsonl").write_text("\n".join(lines) + "\n")
    run.snakemake()
    after = set(pq.read_table(draw)["doc"].to_pylist())
    assert docs - after == {doc}
    assert len(after) == len(docs)
    text = run.winnow("lineage", "--document", f"notes:{doc}")
    assert "subsets that hold it: 0; models trained on it: 0; benchmarks made of it: 0" in text
    assert doc not in pq.read_table(run.results / "notes/documents/0000.parquet")["doc"].to_pylist()
