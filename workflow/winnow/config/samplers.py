"""Samplers and scorers of a configuration: what the schema cannot state of them, alone and with a corpus."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from winnow.config.names import known_definition
from winnow.experiments import local_proxies, proxies_of, uses_clusters
from winnow.profile import kinds as families
from winnow.sample.rankings import RANKINGS, measure_of
from winnow.sample.sampler import needs
from winnow.schema import ConfigError
from winnow.score.kinds import Kind, kind_of, kinds_for


def check_scorer(config: dict[str, Any], name: str, scorer: dict[str, Any]) -> None:
    """The proxies and the target of a scorer must be defined, and fit it. Raises ConfigError."""
    path = ("scorers", name)
    for key, proxy in proxies_of(scorer).items():
        kind = kind_of(scorer).proxies[key]
        if "hub" in proxy:
            if kind == "classifier":
                raise ConfigError((*path, key), "a classifier is trained here: it requires model and budget")
            continue
        model = known_definition(config, "models", proxy["model"], (*path, key, "model"))
        if model["kind"] != kind:
            raise ConfigError((*path, key, "model"), f"{proxy['model']!r} is a {model['kind']}, not a {kind}")
        known_definition(config, "budgets", proxy["budget"], (*path, key, "budget"))
        if uses_clusters(known_definition(config, "samplers", proxy["sampler"], (*path, key, "sampler"))):
            raise ConfigError(
                (*path, key, "sampler"), f"{proxy['sampler']!r} draws from clusters; take one without"
            )
        if proxy["corpus"] is not None:
            known_definition(config, "corpora", proxy["corpus"], (*path, key, "corpus"))
    if scorer.get("target", {}).get("corpus") is not None:
        known_definition(config, "corpora", scorer["target"]["corpus"], (*path, "target", "corpus"))


def check_scores(config: dict[str, Any], name: str, corpus: str) -> None:
    """The scorers of a sampler must be defined, of the right kind, and fit the corpus. Raises ConfigError."""
    sampler, path = config["samplers"][name], ("samplers", name)
    ranking, filters = sampler["ranking"], sampler["filters"]
    scorers: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = []
    if losses := needs(sampler).losses:
        scorers.append((("allocation", "loss"), losses, kinds_for("loss")))
    if "scorer" in ranking:
        scorers.append(
            (("ranking", "scorer"), ranking["scorer"], kinds_for(RANKINGS[ranking["by"]].reads or ""))
        )
    if "semdedup" in filters:
        near = filters["semdedup"]["scorer"]
        scorers.append((("filters", "semdedup", "scorer"), near, kinds_for("semdedup")))
    where = [("filters.where", filters["where"])] if "where" in filters else []
    if measure := needs(sampler).rank_measure:
        check_measure(config, measure, (*path, "ranking", "column"), numbers=True)
    for key, scorer_name, kinds in scorers:
        scorer = known_definition(config, "scorers", scorer_name, (*path, *key))
        if scorer["kind"] not in kinds:
            raise ConfigError(
                (*path, *key), f"{scorer_name!r} is of kind {scorer['kind']}; expected: {' or '.join(kinds)}"
            )
        facts = kind_of(scorer)
        if key[0] == "ranking":
            _check_column(ranking, scorer_name, facts, path)
        target = scorer.get("target", {})
        if "where" in target and target.get("corpus") in (None, corpus):
            where.append((f"scorers.{scorer_name}", target["where"]))
        for proxy in local_proxies(scorer):
            filter_ = config["samplers"][proxy["sampler"]]["filters"].get("where")
            if filter_ and proxy["corpus"] in (None, corpus):
                where.append((f"samplers.{proxy['sampler']}", filter_))
        if "classifier" in facts.proxies.values() and not config["corpora"][corpus]["label"]:
            raise ConfigError(
                (*path, *key), f"{scorer_name!r} requires labels, but corpora.{corpus}.label is not set"
            )
    for owner, condition in where:
        column = condition["column"]
        if measure := measure_of(column):
            if owner.startswith("scorers."):
                raise ConfigError(path, f"{owner} reads {column!r}: a target takes meta columns only")
            bounds = bool({"min", "max"} & condition.keys())
            check_measure(config, measure, (*path, "filters", "where", "column"), numbers=bounds)
        elif column not in config["corpora"][corpus]["meta"]:
            raise ConfigError(
                path, f"{owner} reads column {column!r}, which is not among corpora.{corpus}.meta"
            )
    if "contaminated" in filters:
        known_definition(config, "suites", filters["contaminated"], (*path, "filters", "contaminated"))
    for index, earlier in enumerate(filters.get("used", [])):
        known_definition(config, "samplers", earlier["sampler"], (*path, "filters", "used", index, "sampler"))
        known_definition(config, "budgets", earlier["budget"], (*path, "filters", "used", index, "budget"))
    _check_circles(config, name)


def check_measure(config: dict[str, Any], measure: str, path: tuple[str, ...], numbers: bool = False) -> None:
    """A measure must be one of the profile's families, and a number where `numbers` are required. Raises ConfigError."""
    known = families.measures(config["profile"]["families"])
    if measure not in known:
        near = difflib.get_close_matches(measure, known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            path, f"{measure!r} is no measure of profile.families; {hint}known: {', '.join(sorted(known))}"
        )
    if numbers and families.is_text(measure):
        raise ConfigError(path, f"{measure!r} is text; take the key values, or a measure that is a number")


def _check_column(ranking: Mapping[str, Any], scorer: str, kind: Kind, path: tuple[str, ...]) -> None:
    """The column of a ranking must be one of its scorer's, and a linear weight not negative."""
    if ranking["column"] not in kind.columns:
        raise ConfigError(
            (*path, "ranking", "column"),
            f"{ranking['column']!r} is not a column of {scorer!r}; columns: {', '.join(kind.columns)}",
        )
    linear = ranking["by"] == "weighted" and ranking["scale"] == "linear" and ranking["column"] == "score"
    if linear and (kind.minimum is None or kind.minimum < 0):
        raise ConfigError(
            (*path, "ranking", "scale"),
            f"linear requires scores of at least 0, which {scorer!r} does not have; use log",
        )


def _check_circles(config: dict[str, Any], name: str, waiting: tuple[str, ...] = ()) -> None:
    """No sampler may wait, by documents it leaves out or by the proxies of its scorers, for its own draw. `waiting` are
    the samplers that wait for this one."""
    if name in waiting:
        circle = " -> ".join([*waiting[waiting.index(name) :], name])
        raise ConfigError(("samplers", name), f"waits for its own draw: {circle}")
    facts = needs(config["samplers"][name])
    before = [earlier.sampler for earlier in facts.used]
    for scorer in facts.scorers:
        before += [proxy["sampler"] for proxy in local_proxies(config["scorers"].get(scorer, {}))]
    for earlier in before:
        if earlier in config["samplers"]:
            _check_circles(config, earlier, (*waiting, name))
