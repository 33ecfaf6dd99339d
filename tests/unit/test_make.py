"""The Makefile and the lock: the environment comes about in any folder, on any supported Python, with or without a GPU."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

# Stands for every program of the environment: writes down how it was called.
RECORDER = """#!/bin/sh
printf '%s' "${0##*/}" >> "$CALLS"; for word in "$@"; do printf ' <%s>' "$word" >> "$CALLS"; done; echo >> "$CALLS"
"""


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """What make needs to know of the repository, in a folder whose name holds blanks and other signs."""
    folder = tmp_path / "my clone [x] ü 'q' $5"
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "envs").mkdir()
    for name in ("Makefile", "lock.txt", "requirements.txt", "requirements-dev.txt", "pyproject.toml",
                 "envs/pip.txt", "envs/torch-cpu.txt"):  # fmt: skip
        shutil.copy(root / name, folder / name)
    for name in ("python", "pip"):
        (folder / ".venv/bin" / name).write_text(RECORDER)
        (folder / ".venv/bin" / name).chmod(0o755)
    return folder


def make(folder: Path, *targets: str) -> tuple[str, list[str]]:
    """What make prints, and the calls that it makes."""
    calls = folder.parent / "calls.txt"
    calls.write_text("")
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "CALLS": str(calls)}
    done = subprocess.run(["make", *targets], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, calls.read_text().splitlines()


def test_install_makes_the_environment_once_in_a_folder_with_blanks(clone: Path) -> None:
    calls = make(clone, "install")[1]
    assert any("<--require-hashes> <-c> <lock.txt> <-r> <requirements.txt>" in call for call in calls)
    assert calls[-1].endswith("<--no-deps> <--no-build-isolation> <-e> <.>")
    assert make(clone, "install")[1] == []
    calls = make(clone, "test")[1]
    assert any("<requirements-dev.txt>" in call for call in calls)
    assert calls[-1].startswith("python <-m> <pytest>")
    programs = [call.split()[1:3] for call in make(clone, "lint")[1]]
    assert [p[1] if p[0] == "<-m>" else p[0] for p in programs] == [
        "<ruff>", "<ruff>", "<snakefmt>", "<.venv/bin/lint-imports>", "<mypy>", "<snakemake>",
    ]  # fmt: skip
    assert make(clone, "docs")[1] == ["python <-m> <mkdocs> <build> <--clean>"]
    assert [path.name for path in clone.parent.iterdir() if path != clone] == ["calls.txt"]


def test_where_no_cpu_build_of_torch_is_found_the_way_to_it_is_told(clone: Path) -> None:
    (clone / ".venv/bin/python").write_text(RECORDER + 'case "$*" in *torch-cpu*) exit 1;; esac\n')
    output, calls = make(clone, "install", "CPU_ONLY=yes")
    assert "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install" in output
    assert any("<requirements.txt>" in call for call in calls)  # the CUDA build, as the lock has it
    (clone / ".venv/.installed").unlink()
    output, calls = make(clone, "install", "CPU_ONLY=")
    assert "CUDA" not in output
    assert not any("torch-cpu" in call for call in calls)


def test_help_lists_every_target(clone: Path, root: Path) -> None:
    output, _ = make(clone, "help")
    phony = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert phony
    targets = [
        name
        for name in phony[1].split()
        if re.search(rf"^{name}:", (root / "Makefile").read_text(), re.MULTILINE)
    ]
    assert "install" in targets
    assert sorted(line.split()[1] for line in output.splitlines()) == sorted(targets)


def test_the_cpu_builds_of_torch_are_those_of_the_lock_for_each_python_and_processor(root: Path) -> None:
    text = (root / "envs/torch-cpu.txt").read_text()
    digests = re.findall(r"--hash=(sha256:[0-9a-f]{64})", text)
    assert len(set(digests)) == len(digests) == 8  # CPython 3.11 to 3.14, x86_64 and aarch64
    (version,) = re.findall(r"^torch==([\d.]+)\+cpu", text, re.MULTILINE)
    lock = (root / "lock.txt").read_text()
    (entry,) = re.findall(
        rf"^torch=={re.escape(version)} (?:\\\n    --hash=sha256:[0-9a-f]{{64}} ?)+", lock, re.MULTILINE
    )
    locked = re.findall(r"sha256:[0-9a-f]{64}", entry)
    assert set(digests) <= set(locked)
    assert len(locked) == len(set(locked))
    assert f"\ntorch=={version}\n" in (root / "requirements.txt").read_text()
