"""Files that a configuration names: environment values and globs."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable

from winnow.stage import InputError


def expand_environment(pattern: str) -> str:
    """`${NAME}` and `${NAME:-default}` replaced by the environment's value.

    Raises InputError for a name that is not set and has no default.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = os.environ.get(name) or default
        if found is None:
            raise InputError(f"{pattern}: {name} is not set; set it, or write ${{{name}:-default}}")
        return found

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}", value, pattern)


def folder_files(folder: str) -> list[str]:
    """The files of a folder: the shards of a data set that `save_to_disk` wrote, in its order; else all txt files
    below it, sorted. None if it is no folder. Raises InputError for the folder of several splits."""
    if os.path.isfile(os.path.join(folder, "dataset_dict.json")):
        splits = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
        raise InputError(f"{folder}: holds the splits {', '.join(splits)}; name the folder of one")
    state = os.path.join(folder, "state.json")
    if os.path.isfile(state):
        with open(state, encoding="utf-8") as file:
            return [os.path.join(folder, entry["filename"]) for entry in json.load(file)["_data_files"]]
    return sorted(glob.glob(os.path.join(glob.escape(folder), "**", "*.txt"), recursive=True))


def expand(patterns: Iterable[str]) -> list[str]:
    """Paths of the files that `patterns` name: patterns in the order given, matches of each sorted.

    A folder stands for the files below it that `folder_files` names. A file that a second pattern matches again is
    read once. Raises InputError for a pattern without a file.
    """
    paths: dict[str, None] = {}
    for pattern in patterns:
        expanded = expand_environment(pattern)
        if glob.has_magic(expanded) and not os.path.exists(expanded):
            found = sorted(path for path in glob.glob(expanded, recursive=True) if os.path.isfile(path))
        else:
            found = [expanded] if os.path.isfile(expanded) else folder_files(expanded)
        if not found:
            seen = f" (read as {expanded})" if expanded != pattern else ""
            raise InputError(
                f"{pattern}: no file there{seen}; give an existing path or glob, seen from {os.getcwd()}"
            )
        paths.update(dict.fromkeys(found))
    return list(paths)
