"""Stage versions, read without importing the stages."""

from __future__ import annotations

import ast
import functools
from pathlib import Path


@functools.cache
def stage_version(stage: str) -> int:
    """STAGE_VERSION of a module (`sample.draw`), read without importing it."""
    tree = ast.parse((Path(__file__).parent / f"{stage.replace('.', '/')}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "STAGE_VERSION":
            return ast.literal_eval(node.value)
    raise KeyError(f"winnow.{stage} has no STAGE_VERSION")
