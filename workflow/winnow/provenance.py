"""With what a run made its files: the record of the run, and the records of its jobs (winnow.job_record), read together.

In: the configuration and the command of a run; records below results/provenance/. Out: provenance/runs/ID.json, once a
run: commit of Winnow and whether files differ from it, configuration with the digests of its files, command, host; and, for
a file of the results, the jobs that it was made by, back to the sources.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from winnow.job_record import FOLDER, name, stamp
from winnow.stage import RUN_ID, InputError, canonical, content_digest, sha256, write_json, write_text

RUNS = f"{FOLDER}/runs"
RUN_CONFIG = "WINNOW_RUN_CONFIG"
"""Environment variable that names the file with the configuration of the run, for its jobs."""
NO_RECORD = "no record of how it was made: by hand, with --nolock, or by a version of Winnow that kept none"
CODE = ("Snakefile", "workflow")


# ---------------------------------------------------------------- written once a run


def record_run(
    results: Path, root: Path, config: Mapping[str, Any], files: Sequence[str | Path], command: Sequence[str]
) -> None:
    """Writes the record of the run that this process is (winnow.run_lock), provenance/runs/ID.json.

    `root`: folder of the workflow; `config`: the checked configuration; `files`: config files it was merged from; `command`:
    the command line.
    """
    write_json(
        results / RUNS / f"{os.environ[RUN_ID]}.json",
        {
            "winnow": code_version(root),
            "snakemake": getattr(sys.modules.get("snakemake"), "__version__", None),
            "python": sys.version.split()[0],
            "host": os.uname().nodename,
            "system": " ".join(os.uname()[index] for index in (0, 2, 4)),
            "folder": os.getcwd(),
            "command": list(command),
            "began": stamp(time.time()),
            "config_files": {str(file): sha256(Path(file)) for file in files if Path(file).is_file()},
            "config": config,
            "config_sha256": content_digest({"config": canonical(config)}),
        },
    )


def keep_config(results: Path, config: Mapping[str, Any]) -> None:
    """Writes the checked configuration of this run to logs/run-config.json, its keys in their order, and names the file in
    the environment of the run's jobs: on a cluster each reads it in a process of its own, maybe hours later, when the files
    that the run was started with have been edited."""
    path = results.absolute() / "logs" / "run-config.json"
    write_text(path, json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    os.environ[RUN_CONFIG] = str(path)


def kept_config() -> dict[str, Any] | None:
    """The configuration that the run of this job has kept; None outside the jobs of a run. Raises InputError."""
    if RUN_CONFIG not in os.environ:
        return None
    path = Path(os.environ[RUN_CONFIG])
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: the configuration that this run began with cannot be read ({error}); start the run again"
        ) from None
    return config


def code_version(root: Path) -> dict[str, Any]:
    """Which Winnow this is: version; commit and whether the code differs from it (None without git); digest of the package's
    sources, which tells versions apart where there is no commit."""
    try:
        version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        version = None
    package = Path(__file__).parent
    sources = {str(file.relative_to(package)): sha256(file) for file in sorted(package.rglob("*.py"))}
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", *CODE) if commit else None
    return {
        "version": version,
        "commit": commit,
        "changed": None if changed is None else bool(changed),
        "code": content_digest(sources),
    }


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where there is no git, or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


# ---------------------------------------------------------------- read


@dataclass(frozen=True)
class Record:
    """The record of a job: its rule, its ids as a path, the contents, and those of the record of its run ({} if there is
    none)."""

    rule: str
    ids: str
    job: Mapping[str, Any]
    run: Mapping[str, Any]

    @property
    def device(self) -> str:
        gpus = self.job["gpus"]
        return f"{len(gpus)} x {gpus[0]}" if len(gpus) > 1 else gpus[0] if gpus else self.job["processor"]

    @property
    def winnow(self) -> str:
        """Commit, or where there is none version and digest, of the code."""
        code = self.run.get("winnow")
        if not code:
            return "unknown"
        if code["commit"]:
            return str(code["commit"])[:12] + (" with changes" if code["changed"] else "")
        return f"{code['version']} ({code['code'].removeprefix('sha256 ')[:12]})"

    def facts(self) -> dict[str, str]:
        """What can differ between jobs of a rule and change a result: Winnow, Python, packages, the device."""
        return {
            "Winnow": self.winnow,
            "Python": self.job["python"],
            **dict(sorted(self.job["packages"].items())),
            "device": self.device,
        }

    def line(self) -> str:
        """Where, when and with what, in a line."""
        job = f", SLURM job {self.job['slurm_job']}" if self.job["slurm_job"] else ""
        versions = ", ".join(f"{package} {version}" for package, version in self.job["packages"].items())
        return (
            f"{self.rule} on {self.job['host']} ({self.device}){job}, {self.job['began']}, {self.job['seconds']:.0f} s; "
            f"Winnow {self.winnow}, Python {self.job['python']}{', ' + versions if versions else ''}"
        )

    def settings(self) -> dict[str, Any]:
        """The settings of the job (its --spec), seeds included; {} if it has none."""
        command = self.job["command"]
        if "--spec" not in command[:-1]:
            return {}
        try:
            spec = json.loads(command[command.index("--spec") + 1])
        except ValueError:
            return {}
        return spec if isinstance(spec, dict) else {}


class Records:
    """The records of a folder of results. One that cannot be read is left out, as if it were not there."""

    def __init__(self, results: Path):
        self.results = results

    @cached_property
    def all(self) -> list[Record]:
        runs = {path.stem: _read(path) for path in (self.results / RUNS).glob("*.json")}
        records = []
        for path in sorted((self.results / FOLDER).glob("*/**/*.json")):
            rule, *ids = path.relative_to(self.results / FOLDER).with_suffix("").parts
            if f"{FOLDER}/{rule}" != RUNS and (job := _read(path)):
                records.append(Record(rule, "/".join(ids), job, runs.get(job["run"]) or {}))
        return records

    @cached_property
    def _makers(self) -> dict[str, Record]:
        """The record of each file; of two, the later one."""
        by_end = sorted(self.all, key=lambda one: one.job["ended"])
        return {output: record for record in by_end for output in record.job["outputs"]}

    @cached_property
    def _inside(self) -> dict[str, list[Record]]:
        """The records of the files in a folder."""
        inside: dict[str, list[Record]] = {}
        for output, record in self._makers.items():
            inside.setdefault(str(Path(output).parent), []).append(record)
        return inside

    def maker(self, path: Path) -> Record | None:
        """The record of the job that wrote a file; None if there is none."""
        return self._makers.get(name(path, self.results))

    def digest(self, path: Path) -> str | None:
        """SHA-256 of a file when it was written; None without a record."""
        record = self.maker(path)
        return record.job["outputs"][name(path, self.results)]["sha256"] if record else None

    def upstream(self, paths: Iterable[Path]) -> tuple[list[Record], list[str]]:
        """Records of all jobs that files were made by, theirs included, back to the sources, by rule and ids; and the names of
        those files of the results on the way that have no record."""
        found: dict[tuple[str, str], Record] = {}
        missing: set[str] = set()
        left = [name(path, self.results) for path in paths]
        seen = set(left)
        while left:
            key = left.pop()
            makers = [self._makers[key]] if key in self._makers else self._inside.get(key, [])
            if not makers and not os.path.isabs(key):
                missing.add(key)
            for record in makers:
                if (record.rule, record.ids) not in found:
                    found[record.rule, record.ids] = record
                    new = set(record.job["inputs"]) - seen
                    seen |= new
                    left.extend(new)
        return [found[key] for key in sorted(found)], sorted(missing)


def not_recorded(files: Sequence[str]) -> str:
    """A sentence on files without a record."""
    return f"Of {len(files)} {'file' if len(files) == 1 else 'files'} there is {NO_RECORD} ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})."


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def differences(arms: Mapping[str, Sequence[Record]]) -> list[str]:
    """Where jobs of a rule, of one arm or of several, were made with different versions or on different devices: a line each."""
    values: dict[tuple[str, str], dict[str, tuple[set[str], set[str]]]] = {}
    for arm, records in arms.items():
        for record in records:
            for fact, value in record.facts().items():
                jobs, of = values.setdefault((record.rule, fact), {}).setdefault(value, (set(), set()))
                jobs.add(record.ids)
                of.add(arm)
    lines = []
    for (rule, fact), by_value in sorted(values.items()):
        if len(by_value) > 1:
            parts = [
                f"{value} in {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'} "
                f"({'all arms' if len(of) == len(arms) else ', '.join(sorted(of))})"
                for value, (jobs, of) in sorted(by_value.items())
            ]
            lines.append(f"{rule}: different {'versions of ' if fact != 'device' else ''}{fact}{'s' if fact == 'device' else ''}: {'; '.join(parts)}")  # fmt: skip
    return lines
