"""The README's own-corpus example, run as written, on a handful of documents."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

WORDS = [
    "river",
    "stone",
    "market",
    "winter",
    "engine",
    "letter",
    "garden",
    "signal",
    "bridge",
    "paper",
    "copper",
    "forest",
    "harbour",
    "ledger",
    "violin",
]


@pytest.fixture
def clone(root, tmp_path) -> Path:
    """The repository's files in a folder of their own, with a corpus of short documents."""
    for name in ("Snakefile", "config", "workflow", "profiles", "envs", "lock.txt", "slurm"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "data").mkdir()
    with open(tmp_path / "data/a.jsonl", "w") as out:
        for i in range(2000):
            text = " ".join(WORDS[(i * 7 + j * (1 + i % 5)) % len(WORDS)] for j in range(40)) + f" {i}."
            out.write(json.dumps({"text": text, "domain": "even" if i % 2 else "odd"}) + "\n")
    example = re.search(
        r"```yaml\n(corpora:.*?)```", (root / "README.md").read_text(), flags=re.DOTALL
    ).group(1)
    (tmp_path / "my.yaml").write_text(example.replace("*.jsonl.gz", "*.jsonl"))
    return tmp_path


def test_a_stranger_runs_a_corpus_of_their_own(clone):
    done = subprocess.run(
        [sys.executable, "-m", "winnow", "check", "my.yaml"],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(clone / "workflow")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "1 experiment, 12 models, 1 table: all right\n"), done.stderr
    snakemake = str(Path(sys.executable).parent / "snakemake")
    for profile, extra in (("slurm", ["-n"]), ("profiles/local", ["-n"]), ("profiles/local", [])):
        command = [snakemake, "--profile", profile, "--configfile", "my.yaml", *extra]
        done = subprocess.run(command, cwd=clone, env=os.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    table = (clone / "results/tables/mine.md").read_text()
    for arm in ("random", "uniform", "proportionate", "density"):
        assert arm in table
    assert "even" in table
    command = [snakemake, "sweep", "--profile", "profiles/local", "--configfile", "my.yaml"]
    done = subprocess.run(command, cwd=clone, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    swept = clone / "results/mine/clusterings/minilm-k22"
    suggestion = json.loads((swept / "sweep.json").read_text())
    assert suggestion["documents"] == suggestion["silhouette_documents"] == 1700
    assert f"k = {suggestion['k']} is suggested" in (swept / "sweep.html").read_text()
    command = [snakemake, "profile", "--profile", "profiles/local", "--configfile", "my.yaml"]
    done = subprocess.run(command, cwd=clone, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    card = (clone / "results/mine/profile/card.md").read_text()
    assert "documents: 2,000" in card
    assert "| words | 41.00 | 0.0000 | 41.00 | 41.00 | 41.00 | 0 |" in card
