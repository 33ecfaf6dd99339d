"""Stage versions, read without importing the stages."""

from __future__ import annotations

import functools
import re
from pathlib import Path


@functools.cache
def stage_version(stage: str) -> int:
    """STAGE_VERSION of a module (`sample.draw`), read without importing it."""
    path = Path(__file__).parent / f"{stage.replace('.', '/')}.py"
    line = re.search(r"^STAGE_VERSION = (\d+)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    if line is None:
        raise KeyError(f"winnow.{stage} has no STAGE_VERSION")
    return int(line[1])
