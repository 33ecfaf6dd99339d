"""Shared by all tests: where the repository and the real data are; how hypothesis looks for examples."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]

# No test depends on the machine's speed; in CI the examples are the same each time. `make test-all` tries more of them.
settings.register_profile(
    "winnow",
    max_examples=int(os.environ.get("WINNOW_EXAMPLES", "30")),
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("winnow")


@pytest.fixture(autouse=True)
def environment():
    """Restores the environment: stages that a test calls in its own process set variables of theirs."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


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


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The SLURM that the tests of tests/slurm share."""
    from lab import Lab, missing

    if problem := missing():
        pytest.skip(problem)
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab
