"""A results folder on a file system that shows files late, as network file systems do: the right result, or a clear line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from run_contents import contents
from runs import ROOT, finish, prepare, said, start

pytestmark = pytest.mark.faults
LATE = """
def _late(partial, path):
    # Shows a finished file under its name some seconds after the job has ended.
    import subprocess
    hidden = path.parent / (".late" + partial.name)
    partial.rename(hidden)
    subprocess.Popen(["sh", "-c", 'sleep "$1"; mv "$2" "$3"', "-", "SECONDS", hidden, path], start_new_session=True,
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""
TARGET = "results/sst2-mini/heldout.parquet"


def late(folder: Path, seconds: int) -> Path:
    """A folder with a workflow whose stages' files appear late."""
    prepare(folder)
    (folder / "workflow").unlink()
    shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "Snakefile").unlink()
    shutil.copy(ROOT / "Snakefile", folder / "Snakefile")
    stage = folder / "workflow/winnow/stage.py"
    text = stage.read_text()
    assert text.count("        partial.replace(path)\n") == 1
    text = text.replace(
        "        partial.replace(path)\n",
        "        (_late if 'logs' not in path.parts else Path.replace)(partial, path)\n",
    )
    stage.write_text(text + LATE.replace("SECONDS", str(seconds)))
    return folder


def test_late_files_are_waited_for(tmp_path: Path) -> None:
    whole = prepare(tmp_path / "whole")
    finish(whole, TARGET)
    folder = late(tmp_path / "late", 3)
    finish(folder, TARGET, "--latency-wait", "60")
    assert contents(folder / "results") == contents(whole / "results")


def test_files_later_than_the_wait_are_told_and_the_next_run_ends_right(tmp_path: Path) -> None:
    whole = prepare(tmp_path / "whole")
    finish(whole, TARGET)
    folder = late(tmp_path / "late", 6)
    assert start(folder, TARGET, "--latency-wait", "1").wait() == 1
    assert "--latency-wait" in said(folder)
    assert "Traceback" not in said(folder)
    finish(folder, TARGET, "--latency-wait", "60")
    assert contents(folder / "results") == contents(whole / "results")
