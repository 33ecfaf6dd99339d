"""Where and with what a result was made: each job leaves a record, and what was made with different versions is pointed out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from winnow.commands.export_crate import export_crate
from winnow.compare.provenance import trace
from winnow.job_record import PACKAGES, place, shown
from winnow.provenance import Records, code_version, differences, record_run
from winnow.stage import RUN_FILE, RUN_ID, InputError, sha256, write_json

TORCH = {"numpy": "2.4.6", "torch": "2.13.0"}


class Results:
    """A folder of results of which a run says that it is the latest; jobs of it are started as rules do."""

    def __init__(self, folder: Path):
        self.folder = folder / "results"
        write_json(self.folder / "logs/run.json", {"id": "r1", "process": 1, "host": "here"})

    def job(self, log: str, *arguments: str, run: str = "r1") -> int:
        """Runs a stage with its output in a file below logs/, as the shell command of a rule does."""
        path = self.folder / log
        path.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, RUN_ID: run, RUN_FILE: str(self.folder / "logs/run.json")}
        with open(path, "w") as out:
            return subprocess.run(
                [sys.executable, "-m", *arguments], stdout=out, stderr=out, env=environment, cwd=self.folder.parent
            ).returncode  # fmt: skip

    def copy(self, source: str = "guide.md", log: str = "logs/copy_guide/guide.log", run: str = "r1") -> int:
        guide = self.folder.parent / source
        return self.job(log, "winnow.compare.render", "--guide", str(guide), "--out", "results/tables/reading.md", run=run)  # fmt: skip

    def record(self, name: str, **changes: Any) -> dict[str, Any]:
        """Writes a record as a job would; returns it."""
        record = {
            "run": "r1", "command": ["winnow.x"], "inputs": [], "outputs": {}, "host": "n1", "processor": "P", "cores": 2,
            "gpus": [], "python": "3.12.3", "packages": TORCH, "slurm_job": None, "began": "2026-01-01T00:00:00Z",
            "ended": "2026-01-01T00:00:09Z", "seconds": 9.0, **changes,
        }  # fmt: skip
        record["outputs"] = {one: {"bytes": 1, "sha256": "0" * 64} for one in record["outputs"]}
        write_json(self.folder / "provenance" / f"{name}.json", record)
        return record


@pytest.fixture
def results(tmp_path: Path) -> Results:
    (tmp_path / "guide.md").write_text("how to read a table\n")
    return Results(tmp_path)


def test_a_job_leaves_a_record_of_where_and_with_what_it_was_made(results: Results) -> None:
    assert results.copy() == 0
    record = json.loads((results.folder / "provenance/copy_guide/guide.json").read_text())
    made = results.folder / "tables/reading.md"
    assert record["outputs"] == {"tables/reading.md": {"bytes": 20, "sha256": sha256(made)}}
    assert record["inputs"] == [str(results.folder.parent / "guide.md")]
    assert record["command"][0] == "winnow.compare.render"
    assert record["run"] == "r1"
    assert record["host"] == os.uname().nodename
    assert record["python"] == sys.version.split()[0]
    assert record["gpus"] == []
    assert record["processor"]
    assert set(record["packages"]) <= set(PACKAGES.values())
    assert record["began"] <= record["ended"]
    assert not list(results.folder.rglob(".*"))


def test_a_record_is_of_the_last_attempt_and_a_failed_job_has_none(results: Results) -> None:
    assert results.copy() == 0
    (results.folder.parent / "guide.md").write_text("another text of the guide\n")
    assert results.copy() == 0
    path = results.folder / "provenance/copy_guide/guide.json"
    digest = json.loads(path.read_text())["outputs"]["tables/reading.md"]["sha256"]
    assert digest == sha256(results.folder / "tables/reading.md")
    assert results.copy("no-such-guide.md") != 0
    assert not path.exists()


def test_a_job_of_an_earlier_run_leaves_the_record_alone(results: Results) -> None:
    """Its Snakemake was killed, and the next run made the file again."""
    assert results.copy() == 0
    path = results.folder / "provenance/copy_guide/guide.json"
    before = path.read_bytes()
    assert results.copy(run="r0") == 1
    assert path.read_bytes() == before


def test_only_jobs_of_a_run_leave_records(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    assert results.copy(log="elsewhere/guide.log") == 0  # by hand, its output elsewhere
    assert not (results.folder / "provenance").exists()
    assert place(None) is None
    monkeypatch.setenv("RANK", "1")  # a second process of one training
    assert place(str(results.folder / "logs/run.json")) is None


def test_a_command_of_many_files_is_cut_in_a_record() -> None:
    many = [f"{i}.parquet" for i in range(256)]
    assert shown(["score", "--documents", *many, "--spec", "{}", "--none", "--out", "a"]) == [
        "score", "--documents", *many[:4], "... 256 in all", "--spec", "{}", "--none", "--out", "a",
    ]  # fmt: skip


def test_packages_of_records_are_those_that_a_run_requires() -> None:
    required = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert set(PACKAGES.values()) <= set(required)


def test_a_file_leads_to_all_jobs_behind_it(results: Results) -> None:
    results.record("embed/0000", outputs=["c/embeddings/0000.npy"], inputs=["/data/source.jsonl"])
    results.record("embed/0001", outputs=["c/embeddings/0001.npy"])
    results.record("train/a", outputs=["c/models/a/model.safetensors", "c/models/a/manifest.json"],
                   inputs=["c/embeddings/0000.npy", "c/gone.json"])  # fmt: skip
    results.record("evaluate/a", outputs=["c/models/a/evaluation/s/items.parquet"], inputs=["c/models/a"])
    results.record("evaluate/b", outputs=["c/models/a/evaluation/t/items.parquet"], inputs=["c/models/a"])
    (results.folder / "provenance/evaluate/torn.json").write_text('{"run": ')
    items = results.folder / "c/models/a/evaluation/s/items.parquet"
    found, missing = Records(results.folder).upstream([items])
    assert [(one.rule, one.ids) for one in found] == [("embed", "0000"), ("evaluate", "a"), ("train", "a")]
    assert missing == ["c/gone.json"]


def test_of_two_jobs_that_wrote_a_file_the_later_one_made_it(results: Results) -> None:
    results.record("a/late", outputs=["x"], ended="2026-01-02T00:00:00Z")
    results.record("b/early", outputs=["x"], ended="2026-01-01T00:00:00Z")
    made = Records(results.folder).maker(results.folder / "x")
    assert made is not None
    assert made.rule == "a"


def table_of(results: Results, **uniform: Any) -> Path:
    """A table of two arms, each with a training; `uniform`: what differs in that of the second."""
    results.record("embed/0000", outputs=["c/vectors.npy"])
    write_json(results.folder / "provenance/runs/r1.json", {"winnow": {"commit": "a" * 40, "changed": False}, "host": "n0",
               "began": "2026-01-01", "command": ["snakemake"], "config": {}, "config_sha256": "sha256 1"})  # fmt: skip
    for arm, changes in (("random", {}), ("uniform", uniform)):
        results.record(
            f"train/{arm}", outputs=[f"c/{arm}/items.parquet"], inputs=["c/vectors.npy"], **changes
        )
    files = {arm: [str(results.folder / f"c/{arm}/items.parquet")] for arm in ("random", "uniform")}
    claims = results.folder / "tables/t.claims.json"
    write_json(claims, [{"kind": "measured", "arm": "e/uniform", "baseline": "e/random",
                         "figure_files": files["uniform"], "baseline_files": files["random"]}])  # fmt: skip
    trace(claims=claims, results=results.folder, spec='{"title": "T"}', out=claims.with_name("t"))
    return claims.with_name("t.provenance.md")


def test_arms_made_alike_are_said_to_be(results: Results) -> None:
    text = table_of(results).read_text()
    assert "**All jobs of a rule were made with the same versions on the same kind of device.**" in text
    assert (
        "| train | 2 | 2026-01-01T00:00:00Z | n1 | P | aaaaaaaaaaaa | 3.12.3 | numpy 2.4.6, torch 2.13.0 |"
        in text
    )
    found = json.loads((results.folder / "tables/t.provenance.json").read_text())
    assert found["differences"] == found["unrecorded"] == []
    assert found["runs"]["r1"]["host"] == "n0"
    assert list(found["arms"]) == ["e/random", "e/uniform"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"packages": {**TORCH, "torch": "2.12.0"}}, "train: different versions of torch: 2.12.0 in 1 job (e/uniform); 2.13.0 in 1 job (e/random)"),
        ({"gpus": ["H100"]}, "train: different devices: H100 in 1 job (e/uniform); P in 1 job (e/random)"),
        ({"run": "r0"}, "train: different versions of Winnow: aaaaaaaaaaaa in 1 job (e/random); unknown in 1 job (e/uniform)"),
    ],
)  # fmt: skip
def test_arms_made_differently_are_pointed_out(results: Results, changes: dict[str, Any], line: str) -> None:
    assert f"> **Made differently: {line}**" in table_of(results, **changes).read_text()


def test_shards_made_on_two_machines_are_pointed_out_too(results: Results) -> None:
    for shard, processor in (("0000", "A"), ("0001", "B")):
        results.record(f"embed/{shard}", outputs=[f"{shard}.npy"], processor=processor)
    records = Records(results.folder).all
    assert differences({"x": records, "y": records}) == [
        "embed: different devices: A in 1 job (all arms); B in 1 job (all arms)"
    ]


def test_results_without_records_are_said_to_have_none(results: Results) -> None:
    table_of(results)
    for path in (results.folder / "provenance").rglob("*.json"):
        path.unlink()
    claims = results.folder / "tables/t.claims.json"
    trace(claims=claims, results=results.folder, spec='{"title": "T"}', out=claims.with_name("t"))
    text = (results.folder / "tables/t.provenance.md").read_text()
    assert "Of 2 files there is no record of how it was made" in text
    assert "c/random/items.parquet" in text
    assert "All jobs of a rule" not in text


def test_a_table_without_comparisons_is_said_to_have_none(results: Results) -> None:
    claims = results.folder / "tables/t.claims.json"
    write_json(claims, [])
    trace(claims=claims, results=results.folder, spec='{"title": "T"}', out=claims.with_name("t"))
    assert "**The table compares no arms" in claims.with_name("t.provenance.md").read_text()


def test_a_run_records_its_commit_config_and_command(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    (clone / "workflow").mkdir(parents=True)
    (clone / "workflow/a.py").write_text("a = 1\n")
    git = ["git", "-C", str(clone), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    config = tmp_path / "run.yaml"
    config.write_text("targets: [t]\n")
    monkeypatch.setenv(RUN_ID, "r1")
    record_run(
        results.folder, clone, {"targets": ["t"]}, [config, tmp_path / "none.yaml"], ["snakemake", "-n"]
    )
    record = json.loads((results.folder / "provenance/runs/r1.json").read_text())
    assert (record["winnow"]["commit"], record["winnow"]["changed"]) == (commit, False)
    assert record["config"] == {"targets": ["t"]}
    assert record["config_files"] == {str(config): sha256(config)}
    assert record["command"] == ["snakemake", "-n"]
    (clone / "workflow/a.py").write_text("a = 2\n")
    assert code_version(clone)["changed"] is True


def test_without_git_the_code_is_known_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code = code_version(ROOT)
    assert (code["commit"], code["changed"]) == (None, None)
    assert re.fullmatch(r"sha256 [0-9a-f]{64}", code["code"])
    assert code["version"] == "0.1.0"


def test_a_crate_requires_tables_records_and_its_package(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="tables: no tables; run the workflow first"):
        export_crate(results.folder)
    table_of(results)
    (results.folder / "tables/t.csv").touch()
    with pytest.raises(InputError, match=r"--table 'x': must be one of the tables of .*: t"):
        export_crate(results.folder, table=["x"])
    monkeypatch.setitem(sys.modules, "rocrate", None)
    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    with pytest.raises(InputError, match="export-crate: requires the package rocrate"):
        export_crate(results.folder)
    for path in (results.folder / "provenance").rglob("*.json"):
        path.unlink()
    with pytest.raises(InputError, match="provenance: no records of the jobs"):
        export_crate(results.folder)


def test_a_crate_describes_files_jobs_and_software(results: Results) -> None:
    pytest.importorskip("rocrate")
    table_of(results, packages={**TORCH, "torch": "2.12.0+cpu"}, slurm_job="17", gpus=["H100"])
    for name in ("tables/t.csv", "c/random/items.parquet", "c/uniform/items.parquet"):
        (results.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (results.folder / name).touch()
    export_crate(
        results.folder, license="https://spdx.org/licenses/CC-BY-4.0", author=["A. Name"], name="Study"
    )
    metadata = json.loads((results.folder / "ro-crate-metadata.json").read_text())
    graph = {entity["@id"]: entity for entity in metadata["@graph"]}
    assert metadata["@context"] == [
        "https://w3id.org/ro/crate/1.1/context",
        "https://w3id.org/ro/terms/workflow-run/context",
    ]
    root = graph["./"]
    assert (root["name"], root["license"]) == ("Study", {"@id": "https://spdx.org/licenses/CC-BY-4.0"})
    assert root["conformsTo"] == {"@id": "https://w3id.org/ro/wfrun/process/0.5"}
    assert graph["c/uniform/items.parquet"]["sha256"] == "0" * 64
    assert "c/vectors.npy" not in graph  # it was removed since
    action = graph["#train/uniform"]
    assert action["@type"] == "CreateAction"
    assert action["result"] == {"@id": "c/uniform/items.parquet"}
    assert action["object"] == {"@id": "provenance/runs/r1.json"}
    assert action["agent"] == {"@id": "#person-A.%20Name"}
    assert action["identifier"] == "SLURM job 17"
    assert {graph[one["@id"]]["value"] for one in action["resourceUsage"]} == {"n1", "H100"}
    tool = graph[action["instrument"]["@id"]]
    assert tool["softwareVersion"] == "Winnow aaaaaaaaaaaa"
    assert "2.12.0+cpu" in {graph[one["@id"]]["softwareVersion"] for one in tool["softwareRequirements"]}
    assert graph["#train/random"]["instrument"] != action["instrument"]
    assert graph["#winnow"]["license"] == {"@id": "https://spdx.org/licenses/Apache-2.0"}
