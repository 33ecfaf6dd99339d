"""The commands of the pages (tests/documented.py), in a clone with a small corpus: targets of Snakemake as dry runs, commands of
`winnow` as they stand. And what pages name otherwise: keys, targets, commands, files, YAML."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT, Snakemake, copy_workflow
from documented import PAGES, PLANNED, RUN_BY, blocks, text_of
from winnow.__main__ import COMMANDS
from winnow.config.checks import resolve
from winnow.config.files import definition_files, merge, read_files

DOCS = [page for page in PAGES if page.startswith("docs/")]
HERE = [command for command, file in RUN_BY.items() if file == PLANNED]
DRY = ("--dry-run", "--quiet", "rules", "--cores", "2")
HEAVY = ("minipile.yaml --gpus", "tinystories.yaml", "sst2.yaml")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with `my.yaml` as on docs/own-corpus.md, data for it, and a table of clusters."""
    folder = copy_workflow(tmp_path_factory.mktemp("clone"))
    (folder / "data").mkdir()
    texts = [
        f"Document {i} of many, on the things that happened on day {i % 7} of week {i}." for i in range(2000)
    ]
    (folder / "data/a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    for name in ("my.yaml", "my-run.yaml"):
        (folder / name).write_text(blocks("docs/own-corpus.md", "yaml")[0])
    clusters = folder / "results/tinystories-mini/clusterings/minilm-k12"
    clusters.mkdir(parents=True)
    columns = {
        "cluster": pa.array(range(12), pa.int32()),
        "documents": pa.array([100 + i for i in range(12)], pa.int64()),
        "mean_distance": [0.1 + i / 100 for i in range(12)],
        "sum_distance": [(0.1 + i / 100) * (100 + i) for i in range(12)],
        "diversity": [0.3] * 12,
        "excluded": [False] * 12,
        "reason": [""] * 12,
        "key": pa.array(range(12), pa.uint64()),
    }
    pq.write_table(pa.table(columns), clusters / "clusters.parquet")
    return folder


@pytest.mark.parametrize(
    "command",
    [pytest.param(c, marks=pytest.mark.slow) if any(h in c for h in HEAVY) else c for c in HERE],
)
def test_a_command_of_the_pages_works(command: str, clone: Path, snakemake: Snakemake) -> None:
    program, *arguments = shlex.split(command)
    if program.endswith("snakemake"):
        done = snakemake(*arguments, *DRY, cwd=clone)
        assert done.code == 0, done.text
        assert done.jobs()
        return
    assert program.endswith("winnow")
    run = subprocess.run(
        [sys.executable, "-m", "winnow", *arguments],
        cwd=clone, env={**os.environ, "PYTHONPATH": str(clone / "workflow")}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "rror" not in run.stderr


@pytest.mark.slow
def test_the_sampler_of_the_pages_draws_something_else_than_its_baseline(clone: Path) -> None:
    """docs/own-sampler.md: the draws of the example, for real."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "samplers", "--profile", "profiles/local", "--configfile",
         "config/examples/own-sampler.yaml", "--config", "results=drawn"],
        cwd=clone, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    page = (clone / "drawn/tinystories-mini/compare_samplers.md").read_text()
    assert "1 of 1 arms differ from random-long: varied-stories" in page


# ---------------------------------------------------------------- what pages name


def test_yaml_of_the_pages_passes_the_checks() -> None:
    """A key that was renamed would stand on a page for ever."""
    shipped = read_files(definition_files(ROOT))
    checked = 0
    for page in PAGES:
        for block in blocks(page, "yaml"):
            run: dict[str, Any] = yaml.safe_load(block)
            if "default-resources" in run:  # a profile: tests/unit/test_readme.py
                continue
            merged = copy.deepcopy(shipped)
            merge(merged, run.get("winnow", run))
            resolve(merged, local=False)
            checked += 1
    assert checked >= 7


def spans(page: str) -> list[str]:
    """Inline code of a page."""
    return re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    )


def keys(part: Any) -> set[str]:
    """All names of keys in the schema."""
    if isinstance(part, list):
        return set().union(*map(keys, part))
    if not isinstance(part, dict):
        return set()
    return set(part.get("properties", {})) | set().union(*map(keys, part.values()))


def names(page: str, pattern: str) -> set[str]:
    """What the pattern's group finds at the start of the inline code of a page."""
    return {found[1] for span in spans(page) if (found := re.match(pattern, span))}


@pytest.mark.parametrize("page", [*DOCS, "README.md"])
def test_names_on_a_page_exist(page: str) -> None:
    rules = "".join(
        path.read_text() for path in (ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk"))
    )
    schema = yaml.safe_load(text_of("workflow/schemas/config.schema.yaml"))
    others = {"error", "threads", "config"}  # of messages, rules and Snakefiles
    assert names(page, r"(?:\.venv/bin/)?winnow ([a-z-]+)") <= set(COMMANDS)
    targets = set(re.findall(r"^rule (\w+):", rules, re.MULTILINE))
    assert names(page, r"(?:\.venv/bin/)?snakemake ([a-z_]+)") <= targets
    assert names(page, r"make ([a-z-]+)$") <= set(
        re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE)
    )
    assert names(page, r"([a-z_]+): ") <= keys(schema) | others
    files = names(page, r"((?:config|docs|envs|profiles|tests|workflow)/(?!exclusions/)[\w./+-]+)$")
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_sections_in_the_glossary_are_those_of_the_schema() -> None:
    text = text_of("docs/glossary.md")
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"Keys?\s+(`\w+`(?:,\s+`\w+`)*)", text))))
    assert len(named) >= 10
    assert named <= set(yaml.safe_load(text_of("workflow/schemas/config.schema.yaml"))["properties"])
