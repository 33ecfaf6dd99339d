"""Checks before the first job: the config against the first rows of its local sources.

In: a checked configuration. Out: a ConfigError for what is wrong, a line on stderr for what looks odd and can be meant.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

from winnow.commands.first_rows import FirstRows, first_rows
from winnow.experiments import exclusions_path, local_proxies, needs, proxies_of, scorers_of
from winnow.schedule import whole_budget
from winnow.schema import ConfigError
from winnow.stage import InputError, say

FEW, UNIQUE = 50, 0.95
"""From how many rows on, and from which share of distinct values on, a column looks like an id."""


def check_sources(config: dict[str, Any]) -> None:
    """Checks the configuration against the first rows of the local sources that the run needs.

    Raises ConfigError (InputError for a person's file of exclusions) for what is wrong; what looks odd, but can be
    meant, is a note on stderr. In an environment without pyarrow (Snakemake alone, with the stages in those of conda) only
    the jobs check the sources, and a note says so.
    """
    needed = needs(config)
    if importlib.util.find_spec("pyarrow") is None:
        if any("files" in config["corpora"][name]["source"] for name in needed.corpora):
            say("note: pyarrow is not installed here: the first jobs will check the local sources")
        return
    for name in needed.corpora:
        corpus = config["corpora"][name]
        if "files" not in corpus["source"] or "hub" in corpus["source"]:
            continue
        try:
            first = first_rows(corpus)
        except InputError as error:
            raise ConfigError(_key(("corpora", name), corpus, str(error)), str(error)) from None
        if first is not None:
            for column in first.absent:
                say(
                    f"note: corpora.{name}: no row of the first {first.read:,} has {column!r}; later rows may have it"
                )
            _check_label(config, name, first)
            _check_size(config, name, first)
            _check_values(config, name, first)
    for name in needed.benchmarks:
        if "hub" not in config["benchmarks"][name].get("labelled", {"hub": ""}):
            _check_labelled(config, name)
    _check_exclusions(config)


def _key(path: tuple[str, ...], part: dict[str, Any], message: str) -> tuple[str | int, ...]:
    """The key of `part` that a message about a column is about."""
    for key in ("text", "label"):
        if part.get(key) and (f"column {part[key]!r}" in message or f"label {part[key]!r}" in message):
            return (*path, key)
    for index, column in enumerate(part.get("meta", [])):
        if f"column {column!r}" in message:
            return (*path, "meta", index)
    return path


def classified(config: dict[str, Any]) -> set[str]:
    """Corpora on which classifiers are trained, for an experiment or a scorer of its samplers."""
    corpora = set()
    for experiment in config["experiments"]:
        scorers = [
            config["scorers"][s]
            for name in experiment["samplers"]
            for s in scorers_of(config["samplers"][name])
        ]
        if config["models"][experiment["model"]]["kind"] == "classifier":
            corpora.add(experiment["corpus"])
        for scorer in scorers:
            if "classifier" in scorer:
                corpora.add(scorer["classifier"]["corpus"] or experiment["corpus"])
    return corpora


def _rows(first: FirstRows) -> str:
    return f"{'all' if first.whole else 'the first'} {first.read:,} rows"


def _check_label(config: dict[str, Any], name: str, first: FirstRows) -> None:
    corpus, path = config["corpora"][name], ("corpora", name, "label")
    distinct = first.counts.get("label")
    if not first.whole and corpus["label"] in (
        "folder",
        "file",
    ):  # of txt files, which are read folder by folder
        distinct = None
    if distinct is not None:
        unique = first.read >= FEW and distinct >= UNIQUE * first.read
        many = f"{corpus['label']!r} has {distinct:,} different values in {_rows(first)}"
        if name not in classified(config):
            if unique:
                say(f"note: corpora.{name}.label: {many}; it looks like an id")
        elif unique:
            raise ConfigError(path, f"{many}: that is an id, not a class; name the column of the class")
        elif distinct == 1:
            one = f"{corpus['label']!r} is {next(iter(first.labels))!r} in {_rows(first)}"
            if first.whole:
                raise ConfigError(path, f"{one}; a classifier needs two classes or more")
            say(f"note: corpora.{name}.label: {one}; a classifier needs two classes or more")
    group = corpus["group"]
    if group in first.counts and first.read >= FEW and first.counts[group] >= UNIQUE * first.read:
        say(
            f"note: corpora.{name}.group: {group!r} has {first.counts[group]:,} different values in {_rows(first)}; "
            "it looks like an id"
        )


def _check_size(config: dict[str, Any], name: str, first: FirstRows) -> None:
    """Held-out documents, budgets and clusters against the rows of a source: an error where these are known, a note where
    they are estimated."""
    rows = first.read if first.whole else first.estimated if first.rows is None else first.rows
    if rows is None:
        return

    def wrong(place: tuple[str | int, ...], why: str) -> None:
        error = ConfigError(place, why)
        if first.whole or first.rows is not None:
            raise error
        say(f"note: {error} (about {rows:,} rows, estimated from the first {first.read:,})")

    heldout = config["corpora"][name]["heldout"]["documents"]
    if heldout and heldout >= rows:
        wrong(
            ("corpora", name, "heldout", "documents"),
            f"{heldout:,} of {rows:,} documents leaves no pool; hold out fewer",
        )
        return
    pool = rows - heldout
    for place, budget_name in _draws(config, name):
        budget = config["budgets"][budget_name]
        asked = whole_budget(budget)
        most, unit = pool, "documents"
        if budget["unit"] == "tokens":  # each is a byte at least, or the end of a document
            most, unit = (first.bytes + first.read if first.whole else asked), "tokens"
        if asked > most:
            wrong(
                (*place, "budget"),
                f"{budget_name!r} asks for {asked:,} {unit}, the pool of {name} has at most {most:,}",
            )
    for index, experiment in enumerate(config["experiments"]):
        if experiment["corpus"] == name and experiment["clustering"] is not None:
            k = config["clusterings"][experiment["clustering"]].get("k", 1)
            if k > pool:
                wrong(
                    ("experiments", index, "clustering"),
                    f"{experiment['clustering']!r} has {k:,} clusters, the pool of {name} at most {pool:,} documents",
                )


def _draws(config: dict[str, Any], corpus: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Places in the config that ask for a draw from a corpus, and the names of their budgets."""
    for index, experiment in enumerate(config["experiments"]):
        if experiment["corpus"] == corpus:
            yield ("experiments", index), experiment["budget"]
        for sampler in experiment["samplers"]:
            for scorer in scorers_of(config["samplers"][sampler]):
                for key, proxy in proxies_of(config["scorers"][scorer]).items():
                    if "hub" not in proxy and (proxy["corpus"] or experiment["corpus"]) == corpus:
                        yield ("scorers", scorer, key), proxy["budget"]


def _wheres(config: dict[str, Any], corpus: str) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Conditions on meta columns of a corpus: of the samplers that draw from it, and of scorers' targets."""
    for experiment in config["experiments"]:
        for name in experiment["samplers"]:
            sampler = config["samplers"][name]
            if experiment["corpus"] == corpus and "where" in sampler["filters"]:
                yield ("samplers", name, "filters", "where", "values"), sampler["filters"]["where"]
            for scorer in scorers_of(sampler):
                target = config["scorers"][scorer].get("target", {})
                if "where" in target and (target["corpus"] or experiment["corpus"]) == corpus:
                    yield ("scorers", scorer, "target", "where", "values"), target["where"]
                for proxy in local_proxies(config["scorers"][scorer]):
                    where = config["samplers"][proxy["sampler"]]["filters"].get("where")
                    if where and (proxy["corpus"] or experiment["corpus"]) == corpus:
                        yield ("samplers", proxy["sampler"], "filters", "where", "values"), where


def _check_values(config: dict[str, Any], name: str, first: FirstRows) -> None:
    """Of a source that was read as a whole: conditions that no row meets."""
    for path, where in _wheres(config, name) if first.whole else ():
        values = first.values.get(where["column"])
        if values is not None and not {str(v) for v in values} & {str(v) for v in where["values"]}:
            shown = ", ".join(sorted(map(str, values))[:10])
            raise ConfigError(
                path, f"no row of corpora.{name} has one in {where['column']!r}; it has {shown}"
            )


def _check_labelled(config: dict[str, Any], name: str) -> None:
    """A labelled test file's columns, and its labels against those of the corpora whose models read it."""
    part = config["benchmarks"][name]["labelled"]
    shape = {"source": {"files": part["files"]}, "text": part["text"], "label": part["label"], "meta": []}
    path = ("benchmarks", name, "labelled")
    try:
        test = first_rows(shape)
    except InputError as error:
        raise ConfigError(_key(path, part, str(error)), str(error)) from None
    readers = {e["corpus"] for e in config["experiments"] for s in e["suites"] if name in config["suites"][s]}
    for corpus in sorted(readers):
        source = config["corpora"][corpus]["source"]
        known = (
            first_rows(config["corpora"][corpus])
            if "files" in source and "hub" not in source and test
            else None
        )
        if known is None or test is None or not known.labels:
            continue
        foreign = [label for label in test.labels if label not in known.labels]
        if not foreign:
            continue
        file, row = test.labels[foreign[0]]
        message = (
            f"{file}: row {row}: label {foreign[0]!r} is not among the labels of corpora.{corpus}: "
            f"{', '.join(sorted(known.labels)[:20])}"
        )
        if known.whole:
            raise ConfigError((*path, "label"), message)
        say(f"note: benchmarks.{name}.labelled.label: {message} (in {_rows(known)})")


def _check_exclusions(config: dict[str, Any]) -> None:
    """The exclusions that a person wrote: their lines, as far as they can be checked before the clustering exists."""
    pairs = {(e["corpus"], e["clustering"]) for e in config["experiments"] if e["clustering"] is not None}
    for corpus, clustering in sorted(pairs):
        path = exclusions_path(corpus, clustering)
        if not path.exists():
            continue
        from winnow.cluster.exclude import HEADER, read_exclusions

        first = path.read_bytes().split(b"\n")[0].decode("utf-8-sig", "replace")
        k = config["clusterings"][clustering].get("k", 1 << 31)
        read_exclusions(path, first.removeprefix(HEADER).strip(), k)
