"""The SLURM that all tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab import Lab, missing


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if problem := missing():
        pytest.skip(problem)
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab
