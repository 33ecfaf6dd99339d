"""The files of a configuration: read, merged, and the line of a key in them."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from winnow.schema import LOADER, dotted
from winnow.stage import InputError

# The files of config/ that every run reads, in the order in which they are merged, later ones over earlier ones: definitions,
# and the default run.
FILES = (
    "corpora",
    "encoders",
    "label_sets",
    "clusterings",
    "scorers",
    "samplers",
    "budgets",
    "models",
    "benchmarks",
    "profile",
    "config",
)


LARGEST = 1_000_000
"""Values of a config file, aliases written out: a few lines of nested aliases can stand for billions."""


def definition_files(root: str | Path, own: bool = True) -> list[str]:
    """The files of `config/` that every run reads, in the order in which they are merged: with `own` the working directory's
    where it has them, else those of the workflow's folder `root`."""
    names = [f"config/{name}.yaml" for name in FILES]
    return [name if own and os.path.exists(name) else str(Path(root) / name) for name in names]


def read_files(files: Iterable[str | Path]) -> dict[str, Any]:
    """The config files merged, later ones over earlier ones. Raises InputError as `resolve` does."""
    merged: dict[str, Any] = {}
    for file in files:
        compose(Path(file))
        try:
            merge(merged, yaml.load(Path(file).read_text(encoding="utf-8"), Loader=LOADER) or {})
        except yaml.MarkedYAMLError as error:  # a tag that asks for an object of Python, for one
            line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
            raise InputError(f"{file}{line}: not YAML: {error.problem}") from None
    return merged


def plain(value: Any) -> Any:
    """A deep copy with plain dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def compose(file: Path, keys: str = "experiments and targets") -> yaml.Node | None:
    """A config file's YAML nodes; `keys`: examples of its keys at the top level, for messages.

    Raises InputError with the line for a file that is missing, is not YAML, or repeats a key in a mapping
    (of which YAML would silently keep the last).
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8; save it as UTF-8 text") from None
    except IsADirectoryError:
        raise InputError(f"{file}: a folder; name a file in it") from None
    try:
        tree = yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        row = "".join(text.splitlines()[mark.line : mark.line + 1]) if mark else ""
        if "\t" in row[: len(row) - len(row.lstrip())]:
            raise InputError(f"{file}{line}: a tab; YAML is indented with blanks only") from None
        raise InputError(f"{file}{line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if tree is not None and not isinstance(tree, yaml.MappingNode):
        raise InputError(f"{file}:1: not a mapping; expected: keys such as {keys} at the top level")
    if tree is not None and _size(tree, {}) > LARGEST:
        raise InputError(
            f"{file}: aliases (*name) make more than {LARGEST:,} values of it; write out what is meant"
        )
    _no_repeats(file, tree)
    return tree


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Values of a node with its aliases written out."""
    if id(node) not in known:
        parts = node.value if isinstance(node, yaml.MappingNode | yaml.SequenceNode) else []
        flat = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_size(one, known) for one in flat)
    return known[id(node)]


def _no_repeats(file: Path, node: yaml.Node | None, path: tuple[str | int, ...] = ()) -> None:
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                line, inner = key.start_mark.line + 1, (*path, key.value)
                if key.value in lines and key.value != "<<":
                    raise InputError(
                        f"{file}:{line}: {dotted(inner)}: the key is on line {lines[key.value]} already; keep one"
                    )
                lines[key.value] = line
                _no_repeats(file, value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _no_repeats(file, value, (*path, index))


def place(trees: list[tuple[str | Path, yaml.Node | None]], path: tuple[str | int, ...]) -> str:
    """`file:line: ` of what holds most of `path`, in the last file of equals; the command line if none does."""
    best, depth = "", 0
    for file, tree in trees:
        node, line, matched = tree, 1, 0
        for key in path:
            if isinstance(node, yaml.MappingNode):
                pair = next(((k, v) for k, v in node.value if k.value == key), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line + 1
            else:
                break
            matched += 1
        if matched and matched >= depth:
            shown = os.path.relpath(file)
            best, depth = f"{file if shown.startswith('..') else shown}:{line}: ", matched
    return best or ("--config: " if trees and path else "")


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Merges as Snakemake does: mappings key by key, everything else is replaced."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
