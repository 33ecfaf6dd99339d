"""Definitions of lm-eval's own tasks: which data set, config and splits each reads. Read without importing lm-eval, but for
its small index of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.stage import InputError


@dataclass(frozen=True)
class StockTask:
    """A task of lm-eval, alone or of a group: the data set it reads, the splits whose items it uses, and the splits
    for few-shot examples that it opens without showing any."""

    name: str
    dataset_path: str
    dataset_name: str | None
    used: tuple[str, ...]
    opened: tuple[str, ...]


def tasks_folder() -> Path:
    """The folder of lm-eval's own task definitions (without importing lm-eval)."""
    import importlib.util

    package = importlib.util.find_spec("lm_eval")
    if package is None or not package.submodule_search_locations:
        raise InputError("lm-eval is not installed; run `make install`")
    return Path(next(iter(package.submodule_search_locations))) / "tasks"


def find_folder(task: str) -> str:
    """Folder, relative to lm-eval's tasks, of the file that defines a task or group named `task`.

    Reads the files as text: lm-eval's own index of all 14,000 takes most of 20 s.
    Raises InputError if no file defines it.
    """
    root = tasks_folder()
    line = re.compile(rf'^["\']?(?:task|group)["\']?: *["\']?{re.escape(task)}["\']?\s*$', re.MULTILINE)
    likely = [root / task.split("_")[0], root / task]
    for start in [*(p for p in likely if p.is_dir()), root]:
        for path in sorted(start.rglob("*.yaml")):
            if line.search(path.read_text(encoding="utf-8", errors="replace")):
                return path.parent.relative_to(root).as_posix()
    raise InputError(f"task {task!r}: lm-eval has no task or group of this name")


def stock_tasks(task: str, folder: str) -> list[StockTask]:
    """The tasks of a task or group of lm-eval, by its own definitions."""
    from lm_eval.tasks._index import Kind, TaskIndex

    index = TaskIndex.build([tasks_folder() / folder])

    def expand(name: str, extra: dict[str, Any]) -> Iterator[StockTask]:
        entry = index.get(name)
        if entry is None:
            raise InputError(f"task {task!r}: its member {name!r} is not defined in lm_eval/tasks/{folder}")
        if entry.kind == Kind.TAG:
            for member in sorted(entry.tags):
                yield from expand(member, extra)
            return
        definition = {**(entry.cfg or {}), **extra}
        if entry.kind == Kind.GROUP:
            for member in (entry.cfg or {})["task"]:
                if isinstance(member, str):
                    yield from expand(member, extra)
                else:
                    yield from expand(member.get("group") or member["task"], {**extra, **member})
            return
        if entry.kind != Kind.TASK or "dataset_path" not in definition:
            raise InputError(f"task {name!r}: it makes its data by code and cannot be mirrored")
        named = [definition.get(f"{kind}_split") for kind in ("test", "validation", "fewshot", "training")]
        used = [next(split for split in named if split)]
        if definition.get("num_fewshot"):
            used.append(definition.get("fewshot_split") or named[3] or named[1] or used[0])
        yield StockTask(
            name=name,
            dataset_path=definition["dataset_path"],
            dataset_name=definition.get("dataset_name"),
            used=tuple(dict.fromkeys(used)),
            opened=tuple(dict.fromkeys(split for split in named if split and split not in used)),
        )

    return list(expand(task, {}))
