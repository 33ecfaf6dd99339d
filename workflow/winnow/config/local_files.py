"""Local files that a configuration names: they must exist before any job starts."""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from winnow.experiments import exclusions_path, needs, profiled_corpora
from winnow.formats import file_format
from winnow.paths import existing_path, expand
from winnow.schema import ConfigError, dotted
from winnow.stage import InputError, say

ROOT = Path(__file__).parents[3]


def published_file(text: str) -> str:
    """Path of a file of published figures: that of the working directory, or the workflow's own of that name.

    Raises InputError if there is neither.
    """
    path = existing_path(text)
    if not os.path.isfile(path) and (ROOT / path).is_file():
        return str(ROOT / path)
    if not os.path.isfile(path):
        raise InputError(f"{path}: no file there; give a CSV of published figures, seen from {os.getcwd()}")
    return path


def check_files(config: dict[str, Any]) -> None:
    """Local files that the run reads must exist before any job starts. Raises ConfigError."""
    _check_exclusion_names(config)
    if config["sweep"]["published"] is not None:
        try:
            published_file(config["sweep"]["published"])
        except InputError as error:
            raise ConfigError(("sweep", "published"), str(error)) from None
    needed = needs(config)
    for name in profiled_corpora(config):
        if file := config["corpora"][name]["published"]:
            try:
                published_file(file)
            except InputError as error:
                raise ConfigError(("corpora", name, "published"), str(error)) from None
    for name in needed.corpora:
        source = config["corpora"][name]["source"]
        if "files" in source and "hub" not in source:
            _check_paths(source["files"], ("corpora", name, "source", "files"))
    for name in needed.benchmarks:
        data = config["benchmarks"][name].get("data", {})
        if "hub" not in data:
            _check_paths(data.get("files", {}), ("benchmarks", name, "data", "files"))
            _check_rows(data.get("files", {}), ("benchmarks", name, "data", "files"))
        labelled = config["benchmarks"][name].get("labelled", {})
        if "hub" not in labelled:
            _check_paths(labelled.get("files", []), ("benchmarks", name, "labelled", "files"))
    for key, weights in needed.weights.items():
        _check_weights(weights, key)


def _check_exclusion_names(config: dict[str, Any]) -> None:
    """Warns of a person's file of exclusions whose name is nearly that of a clustering of the run."""
    known = {f"{corpus}.{clustering}" for corpus in config["corpora"] for clustering in config["clusterings"]}
    of_the_run = {f"{e['corpus']}.{e['clustering']}": e for e in config["experiments"]}
    for path in sorted(Path("config/exclusions").glob("*.tsv")):
        near = difflib.get_close_matches(path.stem, of_the_run, 1, 0.8)
        if path.stem in known or not near:
            continue
        experiment = of_the_run[near[0]]
        if not exclusions_path(experiment["corpus"], experiment["clustering"]).exists():
            say(
                f"warning: {path} belongs to no clustering of this run and is not read; did you mean {near[0]}.tsv?"
            )


def _check_weights(source: dict[str, Any], path: tuple[str, ...]) -> None:
    if "folder" in source:
        try:
            folder = Path(existing_path(source["folder"]))
        except InputError as error:
            raise ConfigError((*path, "folder"), str(error)) from None
        if not (folder / "model.safetensors").is_file():
            what = "has no model.safetensors" if folder.is_dir() else "no folder there"
            raise ConfigError(
                (*path, "folder"),
                f"{folder}: {what}; expected: a folder in Hugging Face layout, seen from {os.getcwd()}",
            )
    elif "package" in source and importlib.util.find_spec(source["package"].replace("-", "_")) is None:
        say(f"warning: {dotted((*path, 'package'))}: {source['package']!r} is not installed here")


def _check_paths(patterns: list[str] | dict[str, str], path: tuple[str | int, ...]) -> None:
    pairs = patterns.items() if isinstance(patterns, dict) else enumerate(patterns)
    for key, pattern in pairs:
        try:
            expand([pattern])
        except InputError as error:
            raise ConfigError((*path, key), str(error)) from None


def _check_rows(files: dict[str, str], path: tuple[str | int, ...]) -> None:
    for split, name in files.items():
        if not os.path.isfile(existing_path(name)):
            raise ConfigError((*path, split), f"{name!r} must be one file, not a glob or a folder")
        try:
            file_format(existing_path(name))
        except InputError as error:
            raise ConfigError((*path, split), str(error)) from None


def expand_files(patterns: Iterable[str], where: str) -> list[str]:
    """Paths that `patterns` name (winnow.paths.expand); the error names the key `where`."""
    try:
        return expand(patterns)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
