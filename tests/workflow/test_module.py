"""Winnow as a module of another workflow: included by path, or deployed from a repository as snakedeploy does it."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Finished, Snakemake, copy_workflow
from documented import blocks
from winnow import run_lock

# The Snakefiles and the section of docs/module.md; snakedeploy 0.17.1 writes the second Snakefile.
BY_PATH, DEPLOYED = blocks("docs/module.md", "python")
RUN: dict[str, Any] = yaml.safe_load(blocks("docs/module.md", "yaml")[0])["winnow"]
RESULTS = RUN.pop("results")
# A rule with the name of a target of Winnow's.
MODELS = """

rule models:
    output:
        "models.txt",
    shell:
        'echo "${{PYTHONPATH-none}} ${{HF_HUB_OFFLINE-none}}" >{output}'
"""
DRY = ("--dry-run", "--quiet", "rules", "--cores", "1")


def documents() -> str:
    """200 documents of three topics, as JSON lines."""
    words = [
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
    draw = random.Random(0)
    texts = (
        " ".join(draw.choice(words[i % 3 * 5 : i % 3 * 5 + 5]) for _ in range(40)) + f" {i}."
        for i in range(200)
    )
    return "".join(json.dumps({"text": text}) + "\n" for text in texts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of another workflow, with a corpus and a config/ of its own."""
    for name in ("data", "config"):
        (tmp_path / name).mkdir()
    (tmp_path / "data/notes.jsonl").write_text(documents())
    # Names that Winnow has, too.
    (tmp_path / "config/config.yaml").write_text(
        yaml.safe_dump({"samples": 3, "winnow": {**RUN, "results": RESULTS}})
    )
    (tmp_path / "config/models.yaml").write_text("- a list of the other workflow\n")
    (tmp_path / "Snakefile").write_text(BY_PATH.replace("/path/to/winnow", str(ROOT)) + MODELS)
    return tmp_path


def error(done: Finished) -> str:
    """The one line that a command ended with."""
    assert done.code == 1, done.text
    assert "Traceback" not in done.text
    (message,) = [row for row in done.err.splitlines() if row.startswith("error: ")]
    return message.removeprefix("error: ")


def run(folder: Path, *arguments: str, **more: str) -> str:
    """What Snakemake printed; with this environment it finds Winnow by itself."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder, env={**environment, **more}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# ---------------------------------------------------------------- by path


def test_a_module_plans_the_jobs_of_the_workflow(folder: Path, snakemake: Snakemake) -> None:
    (folder / "my.yaml").write_text(yaml.safe_dump({**RUN, "results": RESULTS}))
    elsewhere = ("--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder / "other"))
    (folder / "other").mkdir()
    (folder / "other/data").symlink_to(folder / "data")
    alone = snakemake(*elsewhere, "selected/tables/notes.md", "--configfile", "my.yaml", *DRY, cwd=folder)
    done = snakemake(*DRY, cwd=folder)
    assert done.jobs() == {**{f"winnow_{name}": n for name, n in alone.jobs().items()}, "answer": 1}
    (line,) = re.findall(r"^Forecast: .*$", done.text, re.MULTILINE)
    assert line in alone.text


def test_a_rule_can_be_changed_where_it_is_used(folder: Path, snakemake: Snakemake) -> None:
    """Snakemake reads the module a second time for it; the forecast came twice."""
    with open(folder / "Snakefile", "a") as out:
        out.write("\nuse rule train_model from winnow as winnow_train_model with:\n    threads: 1\n")
    done = snakemake(*DRY, cwd=folder)
    assert done.jobs()["winnow_train_model"] == 2
    assert done.text.count("Forecast: ") == 1


def test_the_targets_of_the_other_workflow_are_its_own(folder: Path, snakemake: Snakemake) -> None:
    assert snakemake("models", *DRY, cwd=folder).jobs() == {"models": 1}
    assert "models" not in snakemake("winnow_subsets", *DRY, cwd=folder).jobs()


def test_a_wrong_config_is_an_error_of_one_line(folder: Path, snakemake: Snakemake) -> None:
    """It named a line of a file of Winnow's, in which the key is right."""
    config = yaml.safe_load((folder / "config/config.yaml").read_text())
    config["winnow"]["experiments"][0]["budget"] = "fwe"
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    assert error(snakemake(*DRY, cwd=folder)).startswith(
        "module winnow: experiments[notes].budget: unknown budget 'fwe'; did you mean 'few'?"
    )


def test_a_rule_of_the_other_workflow_may_make_the_documents(folder: Path, snakemake: Snakemake) -> None:
    """In a call before: without it, the whole workflow was refused since its documents were not there."""
    (folder / "data/notes.jsonl").rename(folder / "raw.jsonl")
    with open(folder / "Snakefile", "a") as out:
        out.write(
            '\nrule prepare:\n    input: "raw.jsonl"\n    output: "data/notes.jsonl"\n    shell: "cp {input} {output}"\n'
        )
    missing = "corpora.notes.source.files[0]: data/notes.jsonl: no file there"
    done = snakemake("prepare", "--quiet", "all", "--cores", "1", cwd=folder)
    assert done.code == 0, done.text
    assert f"warning: module winnow: {missing}" in done.err
    done = snakemake(*DRY, cwd=folder)
    assert done.jobs()["winnow_write_documents"] == 1
    assert "warning" not in done.err
    (folder / "data/notes.jsonl").unlink()
    assert "data/notes.jsonl: no file there" in error(snakemake("winnow_subsets", *DRY, cwd=folder))


def test_two_runs_do_not_write_to_one_folder_of_results(folder: Path, snakemake: Snakemake) -> None:
    """`onstart` of a module is not called: nothing kept a second run out."""
    run_lock.claim(folder / RESULTS)
    try:
        done = snakemake("winnow_subsets", "--cores", "1", cwd=folder)
        assert f"module winnow: {RESULTS}: another run writes to this results folder" in error(done)
        done = snakemake("models", "--cores", "1", cwd=folder)  # no job of the module
        assert done.code == 0, done.text
    finally:
        (folder / RESULTS / "logs/run.json").unlink()


def test_a_prefix_is_refused(folder: Path, snakemake: Snakemake) -> None:
    """Snakemake would move outputs, and not what rules look for on disk."""
    text = (folder / "Snakefile").read_text()
    (folder / "Snakefile").write_text(
        text.replace("    config:\n", '    prefix:\n        "w"\n    config:\n')
    )
    assert "set the key results" in error(snakemake(*DRY, cwd=folder))


@pytest.mark.slow
def test_another_workflow_runs_winnow_to_a_table(folder: Path) -> None:
    run(folder, "all", "models")
    assert (folder / "answer.txt").read_text().startswith("# Notes\n")
    # The module's environment is not that of the other rules.
    assert (folder / "models.txt").read_text() == "none none\n"
    latest = json.loads((folder / RESULTS / "logs/run.json").read_text())
    assert latest["ended"]  # one run at a time writes there
    assert not (folder / "results").exists()
    assert "Nothing to be done" in run(folder, "--dry-run")
    run(folder, "--report", "report.html")
    assert (folder / "report.html").stat().st_size > 100_000


# ---------------------------------------------------------------- from a repository


@pytest.fixture
def deployed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder as snakedeploy leaves it, with the other corpus's run config, and an environment in which git finds a
    repository of the working tree in place of GitHub's."""
    source = copy_workflow(tmp_path_factory.mktemp("source") / "winnow")
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for command in ("init -q", "add .", "-c user.name=A -c user.email=a@b.c commit -qm one", "tag v1"):
        subprocess.run(["git", *command.split()], cwd=source, env=quiet, check=True)
    (folder / "Snakefile").unlink()
    for path in (folder / "config").iterdir():
        path.unlink()
    (folder / "workflow").mkdir()
    (folder / "workflow/Snakefile").write_text(DEPLOYED.replace("OWNER", "owner").replace("TAG", "v1"))
    for path in (source / "config").glob("*.yaml"):
        (folder / "config" / path.name).write_text(path.read_text())
    (folder / "my.yaml").write_text(yaml.safe_dump(RUN))
    return folder, {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{source.parent}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/owner/",
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
    }


def test_a_deployed_workflow_plans_the_demo(
    deployed: tuple[Path, dict[str, str]], snakemake: Snakemake
) -> None:
    folder, environment = deployed
    demo = snakemake(*DRY, "--snakefile", str(ROOT / "workflow/Snakefile"), "--directory", str(folder / "x"))
    done = Finished(0, run(folder, *DRY[:3], **environment), "")
    assert done.jobs() == demo.jobs()
    assert done.jobs()["train_model"] == 8


def test_the_config_of_a_deployed_workflow_is_that_of_its_folder(
    deployed: tuple[Path, dict[str, str]], snakemake: Snakemake
) -> None:
    folder, environment = deployed
    models = (folder / "config/models.yaml").read_text()
    (folder / "config/models.yaml").write_text(models.replace("kind: language-model", "kind: lanugage-model"))
    message = error(snakemake(*DRY, "--configfile", "my.yaml", cwd=folder, **environment))
    assert re.match(r"module winnow: config/models.yaml:\d+: ", message)
    (folder / "config/models.yaml").write_text(models)
    (folder / "my.yaml").write_text(yaml.safe_dump(RUN).replace("budget: few", "budget: fwe"))
    message = error(snakemake(*DRY, "--configfile", "my.yaml", cwd=folder, **environment))
    assert re.match(r"module winnow: my.yaml:\d+: experiments\[notes\].budget: unknown budget 'fwe'", message)


@pytest.mark.slow
def test_a_deployed_workflow_draws_subsets(deployed: tuple[Path, dict[str, str]]) -> None:
    folder, environment = deployed
    run(folder, "subsets", "--configfile", "my.yaml", **environment)
    found = (folder / "results/notes/subsets").rglob("manifest.json")
    assert sorted(path.parts[-4] for path in found) == ["random", "uniform"]
