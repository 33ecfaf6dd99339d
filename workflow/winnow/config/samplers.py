"""Samplers and scorers of a configuration: what the schema cannot state of them, alone and with a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from winnow.config.names import known_definition
from winnow.experiments import local_proxies, proxies_of, uses_clusters
from winnow.schema import ConfigError


def check_sampler(sampler: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a schema cannot state of a sampler: the key that is wrong and why, or None."""
    allocation, ranking = sampler["allocation"], sampler.get("ranking", {})
    weight, rounding = allocation["weight"], sampler.get("rounding", "webster")
    published = allocation.get("form", "sound") == "published"
    if weight == "density" and "omega" not in allocation:
        return "allocation", "missing key 'omega': weight density requires it, from 0 (size alone) to 1"
    if weight == "weighted" and not any(allocation.get("terms", {}).values()):
        return (
            "allocation.terms",
            "weight weighted requires a positive weight of size, dispersion, diversity",
        )
    for key, owner in (("omega", "density"), ("top_up", "density"), ("terms", "weighted")):
        if key in allocation and weight != owner:
            return f"allocation.{key}", f"goes with weight {owner} only, not with {weight}"
    if published and weight not in ("density", "weighted"):
        return "allocation.form", f"weight {weight} has no published form of its own; set the rounding"
    if "top_up" in allocation and not (published and rounding == "floor"):
        return "allocation.top_up", "goes with form published and rounding floor only"
    if rounding == "divmod" and weight != "equal":
        return "rounding", f"divmod goes with weight equal only, not with {weight}"
    if weight == "none" and rounding != "webster":
        return "rounding", f"{rounding} requires clusters; weight none has one pool"
    if ranking.get("order", "ascending") != "ascending" and ranking.get("by") != "score":
        return "ranking.order", f"{ranking['order']} goes with 'by: score' only"
    if weight == "none" and ranking.get("by") in ("nearest", "farthest"):
        return "ranking.by", f"{ranking['by']} requires the distances of a clustering; weight is none"
    by, scored = ranking.get("by", "random"), ("score", "weighted", "lsh")
    if by in scored and "scorer" not in ranking:
        return "ranking", f"missing key 'scorer': 'by: {by}' requires the name of a scorer"
    if "scorer" in ranking and by not in scored:
        return "ranking.scorer", f"goes with 'by: score', weighted and lsh only, not with {by}"
    if by == "lsh" and not any(ranking.get("shares", {}).values()):
        return "ranking.shares", "'by: lsh' requires a positive share of proportional, random, diverse"
    if "shares" in ranking and by != "lsh":
        return "ranking.shares", f"goes with 'by: lsh' only, not with {by}"
    if weight == "none" and by == "lsh":
        return "ranking.by", "lsh requires the buckets of clusters; weight is none"
    if ranking.get("purpose", "draw") != "draw" and by != "random":
        return "ranking.purpose", f"{ranking['purpose']} goes with 'by: random' only, not with {by}"
    return None


def check_scorer(config: dict[str, Any], name: str, scorer: dict[str, Any]) -> None:
    """The proxies and the target of a scorer must be defined, and fit it. Raises ConfigError."""
    path = ("scorers", name)
    for key, proxy in proxies_of(scorer).items():
        if "hub" in proxy:
            if key == "classifier":
                raise ConfigError((*path, key), "a classifier is trained here: it requires model and budget")
            continue
        model = known_definition(config, "models", proxy["model"], (*path, key, "model"))
        kind = "classifier" if key == "classifier" else "language-model"
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


SCORER_KINDS = {
    "score": ("proxy-loss", "likelihood-difference", "dsir", "entropy"),
    "weighted": ("proxy-loss", "likelihood-difference", "dsir", "entropy"),
    "lsh": ("lsh",),
}


def check_scores(config: dict[str, Any], name: str, corpus: str) -> None:
    """The scorers of a sampler must be defined, of the right kind, and fit the corpus. Raises ConfigError."""
    sampler, path = config["samplers"][name], ("samplers", name)
    ranking, filters = sampler["ranking"], sampler["filters"]
    scorers: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = []
    if sampler["allocation"]["weight"] == "loss":
        scorers.append((("allocation", "loss"), sampler["allocation"]["loss"], ("proxy-loss",)))
    if "scorer" in ranking:
        scorers.append((("ranking", "scorer"), ranking["scorer"], SCORER_KINDS[ranking["by"]]))
    if "semdedup" in filters:
        scorers.append((("filters", "semdedup", "scorer"), filters["semdedup"]["scorer"], ("semdedup",)))
    where = [("filters.where", filters["where"]["column"])] if "where" in filters else []
    for key, scorer_name, kinds in scorers:
        scorer = known_definition(config, "scorers", scorer_name, (*path, *key))
        if scorer["kind"] not in kinds:
            raise ConfigError(
                (*path, *key), f"{scorer_name!r} is of kind {scorer['kind']}; expected: {' or '.join(kinds)}"
            )
        target = scorer.get("target", {})
        if "where" in target and target.get("corpus") in (None, corpus):
            where.append((f"scorers.{scorer_name}", target["where"]["column"]))
        for proxy in local_proxies(scorer):
            filter_ = config["samplers"][proxy["sampler"]]["filters"].get("where")
            if filter_ and proxy["corpus"] in (None, corpus):
                where.append((f"samplers.{proxy['sampler']}", filter_["column"]))
        if scorer["kind"] == "entropy" and not config["corpora"][corpus]["label"]:
            raise ConfigError(
                (*path, *key), f"{scorer_name!r} requires labels, but corpora.{corpus}.label is not set"
            )
    for owner, column in where:
        if column not in config["corpora"][corpus]["meta"]:
            raise ConfigError(
                path, f"{owner} reads column {column!r}, which is not among corpora.{corpus}.meta"
            )
    if "contaminated" in filters:
        known_definition(config, "suites", filters["contaminated"], (*path, "filters", "contaminated"))
    for index, earlier in enumerate(filters.get("used", [])):
        known_definition(config, "samplers", earlier["sampler"], (*path, "filters", "used", index, "sampler"))
        known_definition(config, "budgets", earlier["budget"], (*path, "filters", "used", index, "budget"))
    _check_circles(config, name)


def _check_circles(config: dict[str, Any], name: str, waiting: tuple[str, ...] = ()) -> None:
    """No sampler may wait, by documents it leaves out or by the proxies of its scorers, for its own draw. `waiting` are
    the samplers that wait for this one."""
    if name in waiting:
        circle = " -> ".join([*waiting[waiting.index(name) :], name])
        raise ConfigError(("samplers", name), f"waits for its own draw: {circle}")
    sampler = config["samplers"][name]
    ranking, filters = sampler["ranking"], sampler["filters"]
    scorers = [ranking["scorer"]] if "scorer" in ranking else []
    if sampler["allocation"]["weight"] == "loss":
        scorers.append(sampler["allocation"]["loss"])
    before = [earlier["sampler"] for earlier in filters.get("used", [])]
    for scorer in scorers:
        before += [proxy["sampler"] for proxy in local_proxies(config["scorers"].get(scorer, {}))]
    for earlier in before:
        if earlier in config["samplers"]:
            _check_circles(config, earlier, (*waiting, name))
