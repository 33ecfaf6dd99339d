"""The Snakemake process that runs a job on a node of a cluster, started as the executor plugin starts it, without SLURM."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Finished, Snakemake

HELDOUT = "results/tiny/heldout.parquet"
SNAKEFILE = ("--snakefile", str(ROOT / "Snakefile"), "--configfile", "my.yaml")


def write_config(folder: Path, documents: int) -> None:
    corpus = f"{{source: {{files: [rows.jsonl]}}, text: text, heldout: {{documents: {documents}}}}}"
    (folder / "my.yaml").write_text(
        f"corpora: {{tiny: {corpus}}}\nprofile: {{corpora: [tiny]}}\ntargets: []\n"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"text": f"Document {row}"}) + "\n" for row in range(20))
    )
    write_config(tmp_path, 3)
    return tmp_path


def run(snakemake: Snakemake, folder: Path, *arguments: str, **env: str) -> None:
    done = snakemake(*arguments, *SNAKEFILE, "--cores", "1", cwd=folder, **env)
    assert done.code == 0, done.text


def run_on_a_node(snakemake: Snakemake, folder: Path, **env: str) -> None:
    run(snakemake, folder, "--target-jobs", "hold_out:corpus=tiny", "--allowed-rules", "hold_out",
        "--force", "--nolock", "--ignore-incomplete", "--mode", "remote", "--executor", "local", **env)  # fmt: skip


def dry_run(snakemake: Snakemake, folder: Path) -> Finished:
    return snakemake(HELDOUT, *SNAKEFILE, "--dry-run", cwd=folder)


def test_what_a_job_wrote_whose_end_nobody_saw_depends_on_the_config(
    folder: Path, snakemake: Snakemake
) -> None:
    """Ctrl-C, or a killed Snakemake, before it sees that a job has ended: after a change of the config the file of the old
    one counted as up to date, and tables compared models of two configs."""
    run(snakemake, folder, "results/tiny/documents/0000.parquet")
    run_on_a_node(snakemake, folder)
    assert dry_run(snakemake, folder).jobs() == {}
    write_config(folder, 4)
    assert "hold_out" in dry_run(snakemake, folder).jobs()


def test_a_config_edited_during_a_run_waits_for_the_next_run(folder: Path, snakemake: Snakemake) -> None:
    """Jobs that start after the edit took the new config, under the parameters that the run had recorded of the old."""
    run(snakemake, folder, HELDOUT)
    write_config(folder, 4)
    run_on_a_node(snakemake, folder, WINNOW_RUN_CONFIG=str(folder / "results/logs/run-config.json"))
    assert pq.read_metadata(folder / HELDOUT).num_rows == 3
    assert "hold_out" in dry_run(snakemake, folder).jobs()
