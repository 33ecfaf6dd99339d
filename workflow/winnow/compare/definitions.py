"""One name, one definition: the subsets and models of a table whose names agree were made with the same settings.

Workflows redo what a changed setting concerns; files that were copied, touched or made by a run that ended unseen can stay.
Arms that were trained with two learning rates under one name would be compared as if only their documents differed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from winnow.stage import InputError

NAMED = {
    "corpus": ("corpus",),
    "budget": ("corpus", "budget"),
    "sampler": ("corpus", "clustering", "sampler"),
}
"""What the spec of a subset defines, and the ids under which it is defined."""


class Definitions:
    """The definitions that the manifests of a table have named so far."""

    def __init__(self) -> None:
        self._first: dict[tuple[Any, ...], tuple[Path, Any]] = {}

    def add_subset(self, path: Path, manifest: dict[str, Any]) -> None:
        """Raises InputError if the spec of a subset's manifest, if it has one, contradicts an earlier one."""
        spec = manifest.get("spec") or {}
        for what, ids in NAMED.items():
            if what in spec:
                self._add(path, what, tuple(manifest["ids"].get(one) for one in ids), spec[what])

    def add_model(self, path: Path, manifest: dict[str, Any]) -> None:
        """The same of a model: its shape, its recipe and the encoder it starts from."""
        spec = manifest.get("spec") or {}
        made = {key: spec[key] for key in ("model", "recipe", "base") if key in spec}
        if made:
            self._add(path, "model", (manifest["ids"].get("model"),), made)

    def _add(self, path: Path, what: str, name: tuple[Any, ...], definition: Any) -> None:
        first, before = self._first.setdefault((what, *name), (path, definition))
        if found := first_difference(definition, before):
            key, here, there = found
            raise InputError(
                f"{path}: {what} {name[-1]} has {key} {here}, but {there} in {first}; arms of a table share their settings: "
                "delete the file that is out of date, and run again"
            )


def first_difference(one: Any, other: Any, at: str = "") -> tuple[str, Any, Any] | None:
    """(key, value in `one`, value in `other`) of the first difference of two JSON values, None if there is none; a key that
    only one of them has has the value None in the other."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            place = f"{at}.{key}" if at else key
            if found := first_difference(one.get(key), other.get(key), place):
                return found
        return None
    return None if one == other else (at or "the value", one, other)
