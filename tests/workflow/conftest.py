"""Snakemake in processes that are forked from one that has it imported: a dry run costs a third of a second."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVER = """
import json, os, re, sys
import jsonschema, smart_open, snakemake.cli, snakemake.dag, snakemake.executors.dryrun, snakemake.executors.touch
import snakemake.deployment.conda, snakemake.linting.snakefiles
snakemake.cli.get_argument_parser()

def call(request, patterns):
    # In a child: Snakemake with the arguments of a request; writes the patterns that it compiled.
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    out, err = (os.open(request[k], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for k in ("out", "err"))
    os.dup2(out, 1); os.dup2(err, 2)
    sys.argv[1:] = request["arguments"]
    code = 70
    try:
        snakemake.cli.main(request["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    finally:
        sys.stdout.flush(); sys.stderr.flush()
        if patterns is not None:
            compiled = [[key[1], key[2]] for key in re._cache if key[0] is str]
            with open(patterns, "w") as file:
                json.dump(compiled, file)
        os._exit(code)

first = True
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        call(request, request["out"] + ".patterns" if first else None)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    if first:  # compiled once, for all later children
        first = False
        for pattern, flags in json.load(open(request["out"] + ".patterns")):
            re.compile(pattern, flags)
"""


@dataclass
class Finished:
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    def jobs(self) -> dict[str, int]:
        """Jobs by rule, from the last table of jobs; none where there is nothing to be done."""
        assert self.code == 0, self.text
        if "Nothing to be done" in self.text:
            return {}
        table = self.text.rsplit("Job stats:", 1)[1]
        rows = re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)
        return {rule: int(count) for rule, count in rows if rule not in ("total", "all", "paper_tables")}


class Snakemake:
    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, 0
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, *arguments: str, cwd: Path = ROOT, **env: str) -> Finished:
        self.calls += 1
        out, err = (self.folder / f"{self.calls}.{kind}" for kind in ("out", "err"))
        request = {
            "cwd": str(cwd),
            "env": env,
            "out": str(out),
            "err": str(err),
            "arguments": list(arguments),
        }
        assert self.server.stdin
        assert self.server.stdout
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        code = int(self.server.stdout.readline())
        return Finished(code, out.read_text(), err.read_text())

    def close(self) -> None:
        assert self.server.stdin
        self.server.stdin.close()
        self.server.wait()


@pytest.fixture(scope="session")
def snakemake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snakemake]:
    runner = Snakemake(tmp_path_factory.mktemp("snakemake"))
    yield runner
    runner.close()


def copy_workflow(to: Path) -> Path:
    """The workflow, its configuration and its profiles, in a folder of its own."""
    ignored = shutil.ignore_patterns("__pycache__", "*.tsv")
    for name in ("workflow", "config", "envs", "profiles", "docs"):
        shutil.copytree(ROOT / name, to / name, ignore=ignored)
    shutil.copy(ROOT / "Snakefile", to / "Snakefile")
    os.symlink("profiles/slurm", to / "slurm")
    return to
