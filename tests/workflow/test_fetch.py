"""A download that fails twice: the retries of profiles/slurm reach it, too, though it runs where Snakemake runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import copy_workflow
from hub_server import Hub, serve

RUN = {
    "results": "results",
    "corpora": {
        "texts": {"source": {"hub": "owner/texts", "revision": "main", "files": ["*.jsonl"]}, "text": "text",
                  "heldout": {"documents": 2}}
    },
    "budgets": {"ten": {"train": 10}},
    "experiments": [
        {"name": "texts", "corpus": "texts", "clustering": None, "samplers": ["random"], "budget": "ten",
         "model": "neox-nano", "data_seeds": [0], "suites": ["mini"]}
    ],
    "targets": [],
}  # fmt: skip


@pytest.mark.slow
def test_a_download_that_fails_twice_succeeds_at_the_third_try(tmp_path: Path) -> None:
    folder = copy_workflow(tmp_path / "clone")
    hub = Hub()
    commit = hub.push("datasets/owner/texts", "main", {"one.jsonl": b'{"text": "one"}\n' * 20})
    run = json.loads(json.dumps(RUN))
    run["corpora"]["texts"]["source"]["revision"] = commit
    (folder / "run.json").write_text(json.dumps(run))
    line = [
        "results/texts/download.json",
        "--profile",
        "profiles/local",
        "--configfile",
        "run.json",
        "--retries",
        "2",
    ]
    with serve(hub):
        hub.refused["datasets/owner/texts"] = (403, "GatedRepo")
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hub"),
            "HF_HUB_OFFLINE": "0",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *line], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        shown: list[str] = []
        assert process.stdout
        for row in process.stdout:
            shown.append(row)
            if sum("Trying to restart job" in one for one in shown) == 2:
                hub.refused.clear()
        assert process.wait() == 0, "".join(shown)
    assert sum("Trying to restart job" in one for one in shown) == 2
    (file,) = [Path(p) for p in (tmp_path / "hub").rglob("one.jsonl")]
    assert file.read_bytes() == b'{"text": "one"}\n' * 20
