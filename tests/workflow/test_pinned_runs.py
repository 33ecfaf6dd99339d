"""Runs that name Hub revisions by branch or tag: what they plan, where they stop, and what a changed commit reruns."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Snakemake, copy_workflow

ONE, TWO, THREE = (hashlib.sha1(name.encode()).hexdigest() for name in ("one", "two", "three"))
RUN: dict[str, Any] = {
    "results": "results",
    "corpora": {
        "texts": {"source": {"hub": "owner/texts", "revision": "main"}, "text": "text", "heldout": {"documents": 2}},
        "films": {"source": {"generator": "sentiment-grammar", "documents": 100}, "text": "sentence", "label": "label",
                  "heldout": {"documents": 20}},
    },
    "encoders": {"theirs": {"source": {"hub": "owner/encoder", "revision": "v1.0"}, "dimension": 4}},
    "clusterings": {"theirs": {"encoder": "theirs", "k": 2}},
    "budgets": {"ten": {"train": 10}},
    "experiments": [
        {"name": name, "corpus": corpus, "clustering": "theirs", "samplers": ["random", "uniform"], "budget": "ten",
         "model": model, "data_seeds": [0], "suites": [suite]}
        for name, corpus, model, suite in (
            ("texts", "texts", "neox-nano", "mini"), ("films", "films", "minilm-classifier", "labels"))
    ],
    "tables": {},
    "targets": [],
}  # fmt: skip
LOCK: dict[str, Any] = {
    "dataset": {"owner/texts": {"main": {"commit": ONE, "date": "2026-01-31", "files": {}}}},
    "model": {
        "owner/encoder": {
            "main": {"commit": TWO, "date": "2026-01-31", "files": {}},
            "v1.0": {"commit": ONE, "date": "2026-01-31", "files": {}},
        }
    },
}
TEXTS, FILMS = "results/texts/embeddings/theirs/0000.npy", "results/films/embeddings/theirs/0000.npy"
EMBED = Counter(download_model=1, embed_documents=2)
READ = Counter(download_corpus=1, index_source=1, write_documents=1, embed_documents=1)


class Folder:
    """A copy of the workflow whose default run is RUN."""

    def __init__(self, folder: Path, snakemake: Snakemake) -> None:
        self.folder, self.snakemake = copy_workflow(folder), snakemake
        self.write(RUN, LOCK)

    def write(self, run: dict[str, Any], lock: Any) -> None:
        (self.folder / "config" / "config.yaml").write_text(json.dumps(run))
        text = lock if isinstance(lock, str) else yaml.safe_dump(lock)
        (self.folder / "config" / "hub.lock.yaml").write_text(text)

    def __call__(self, *arguments: str):
        return self.snakemake(*arguments, cwd=self.folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Folder:
    return Folder(tmp_path_factory.mktemp("pins"), snakemake)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Folder:
    """The same with embeddings that count as made."""
    folder = Folder(tmp_path_factory.mktemp("done"), snakemake)
    shown = folder(TEXTS, FILMS, "--dry-run", "--quiet", "reason")
    for line in re.findall(r"^    output: (.+)$", shown.text, re.MULTILINE):
        for path in line.split(", "):
            (folder.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder.folder / path).write_text(path)
    touched = folder(TEXTS, FILMS, "--touch", "--forceall", "--cores", "1", "--quiet", "all")
    assert touched.code == 0, touched.text
    return folder


def changed(section: str, hub: str, name: str, **values: Any) -> dict[str, Any]:
    lock = copy.deepcopy(LOCK)
    lock[section][hub][name] |= values
    return lock


def by_commits() -> dict[str, Any]:
    run = copy.deepcopy(RUN)
    run["corpora"]["texts"]["source"]["revision"] = ONE
    run["encoders"]["theirs"]["source"]["revision"] = ONE
    return run


@pytest.mark.parametrize(
    ("run", "lock", "jobs"),
    [
        (RUN, LOCK, {}),
        (RUN, changed("model", "owner/encoder", "v1.0", commit=THREE), EMBED),
        (RUN, changed("dataset", "owner/texts", "main", commit=THREE), READ),
        (RUN, changed("model", "owner/encoder", "main", commit=THREE), {}),
        (RUN, changed("model", "owner/encoder", "v1.0", date="2026-02-01", files={"x": {"size": 1, "blob": ONE}}), {}),
        (RUN, "# a comment\n" + json.dumps(LOCK), {}),
        (by_commits(), {}, {}),
    ],
    ids=[
        "nothing", "commit of an encoder", "commit of a corpus", "commit that no one reads", "date and files", "how it is written",
        "commits in place of the names",
    ],
)  # fmt: skip
def test_a_changed_commit_reruns_what_reads_it_and_nothing_else(
    done: Folder, run: dict[str, Any], lock: Any, jobs: dict[str, int]
) -> None:
    done.write(run, lock)
    assert done(TEXTS, FILMS, "--dry-run", "--quiet", "rules").jobs() == jobs


def test_jobs_see_commits_only(folder: Folder) -> None:
    folder.write(RUN, LOCK)
    shown = folder(TEXTS, "--dry-run", "--printshellcmds")
    assert shown.code == 0, shown.text
    assert "v1.0" not in shown.text
    assert f"results/downloads/owner/encoder/{ONE}.json" in shown.text
    assert f'"revision":"{ONE}"' in shown.text
    assert shown.text.count("--lock config/hub.lock.yaml") == 2
    assert "warning" not in shown.text


def test_an_unpinned_revision_is_a_warning_of_a_dry_run_and_stops_a_run_before_any_job(
    folder: Folder,
) -> None:
    folder.write(RUN, {"dataset": LOCK["dataset"]})
    line = (
        "config/config.yaml:1: encoders.theirs.source.revision: 'v1.0' of owner/encoder is not pinned to a commit; "
        "`winnow pin` looks it up, on a machine with network access"
    )
    planned = folder(TEXTS, FILMS, "--dry-run", "--quiet", "rules")
    assert planned.jobs() == {
        **Counter(generate_corpus=1, download_corpus=1, index_source=2, write_documents=2),
        **EMBED,
    }
    warnings = [row for row in planned.err.splitlines() if "pinned" in row]
    assert warnings == [f"warning: {line}; a run stops here, and at others like it"]
    stopped = folder(TEXTS, FILMS, "--cores", "1")
    assert stopped.code == 1
    assert stopped.err.splitlines()[-1] == f"error: {line}"
    assert "Traceback" not in stopped.text
    assert not (folder.folder / "results").exists()
    (folder.folder / "mine.yaml").write_text("budgets: {ten: {train: 11}}\n")
    named = folder(TEXTS, "--cores", "1", "--configfile", "mine.yaml")
    assert "`winnow pin mine.yaml` looks it up" in named.err.splitlines()[-1]


@pytest.mark.parametrize("way", ["--dry-run", "--cores=1"])
def test_what_needs_no_unpinned_revision_runs(folder: Folder, way: str) -> None:
    folder.write(RUN, {})
    done = folder("results/films/source.parquet", way, "--quiet", "rules")
    assert done.code == 0, done.text
    assert "pinned" not in done.text


def test_an_invalid_lock_ends_the_command_with_one_line(folder: Folder) -> None:
    folder.write(RUN, "model: {owner/encoder: {v1.0: {commit: main}}}\n")
    done = folder("--dry-run")
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "error: config/hub.lock.yaml.model.owner/encoder.v1.0: missing key 'date'; expected: text: a date such as '2026-01-31', in quotes"
    )
    assert "Traceback" not in done.text


def test_rows_of_the_paper_are_planned_without_pins_and_stop_a_run(folder: Folder) -> None:
    """The study's own models and LAMBADA: named by branch, since their commits could not be looked up."""
    folder.write(RUN, {})
    row = "results/minipile/pretrained/pythia-160m-minipile/evaluation/paper-tasks/results.json"
    planned = folder(row, "--dry-run", "--quiet", "rules")
    assert planned.jobs() == dict(
        download_model=1, download_benchmark=8, mirror_benchmark=8, evaluate_pretrained=1
    )
    line = r"config/\w+\.yaml:\d+: [\w.-]+\.revision: 'main' of [\w./-]+ is not pinned to a commit; `winnow pin` "
    assert re.search(f"^warning: {line}", planned.err, re.MULTILINE)
    stopped = folder(row, "--cores", "1", "--quiet", "rules")
    assert stopped.code == 1
    assert re.match(f"error: {line}", stopped.err.splitlines()[-1])
