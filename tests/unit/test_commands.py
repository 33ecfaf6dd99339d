"""The console script `winnow`: help that explains, and errors of one line."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from winnow.__main__ import COMMANDS
from winnow.commands import timings
from winnow.stage import InputError

ROOT = Path(__file__).parents[2]


def test_a_closed_pipe_ends_without_a_traceback() -> None:
    """`winnow list samplers | head` ended in one."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "winnow", "list", "samplers"], stdout=write, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow")},
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_explains_every_argument(name: str) -> None:
    """`winnow audit --help` named three arguments and said nothing of them."""
    module, function = COMMANDS[name][0].split(":")
    command = getattr(importlib.import_module(module), function)
    explained = (inspect.getdoc(command) or "").split("\nArgs:\n")[1]
    for argument in inspect.signature(command).parameters:
        assert f"    {argument}: " in explained


def test_timings_of_a_wrong_folder_are_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no timings .* give the folder timings of a run's results"):
        timings.command(folder=tmp_path / "nowhere")
