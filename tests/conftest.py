"""Shared by all tests: where the repository and the real data are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data (WINNOW_DATA); skips, saying so, where it is absent."""
    folder = Path(os.environ.get("WINNOW_DATA", ROOT.parent / "shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set WINNOW_DATA")
    return folder
