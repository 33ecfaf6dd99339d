"""A sampler: an entry of the configuration in, its settings and what it needs of other stages out.

The settings are an allocation (winnow.sample.weights), a ranking (winnow.sample.rankings), filters and a rounding, with the
fields and the defaults of `$defs/sampler` of the configuration schema. `needs` states the facts that rules, checks and
the stage ask for. Imported at parse time: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from winnow.sample.rankings import RANKINGS, Ranking, check_ranking, measure_of
from winnow.sample.weights import NONE, Allocation, Problem, check_allocation, weight_of
from winnow.schema import check_definition
from winnow.stage import InputError

MEASURES = {"entropy": "entropy", "margin": "margin", "least-confidence": "confidence"}
"""Measures of uncertainty, and the column of predictions that each reads."""
SAMPLERS = Path(__file__).parents[3] / "config" / "samplers.yaml"


@dataclass(frozen=True)
class Where:
    """Only documents with one of the `values`, or a number from `min` to `max`, in a meta column or a measure of the profile."""

    column: str
    values: list[str | int] | None = None
    min: float | None = None
    max: float | None = None

    @property
    def condition(self) -> dict[str, Any]:
        """Those of values, min and max that are set (winnow.parquet.matches)."""
        parts = {"values": self.values, "min": self.min, "max": self.max}
        return {key: value for key, value in parts.items() if value is not None}


@dataclass(frozen=True)
class Used:
    """An earlier draw whose documents are left out."""

    sampler: str
    budget: str
    data_seed: int = 0


@dataclass(frozen=True)
class Semdedup:
    """Near-duplicates left out of the pool (`before`) or of the draw (`after`)."""

    scorer: str
    eps: float
    when: str = "before"


@dataclass(frozen=True)
class Filters:
    """Documents that are left out; the fields are the keys of `filters` in the schema."""

    excluded_clusters: str = "drop"
    trained: str = "drop"
    where: Where | None = None
    used: tuple[Used, ...] = ()
    contaminated: str | None = None
    semdedup: Semdedup | None = None


@dataclass(frozen=True)
class Sampler:
    """Settings of a sampler; the fields are the keys of `$defs/sampler` of the schema."""

    allocation: Allocation
    ranking: Ranking = field(default_factory=Ranking)
    filters: Filters = field(default_factory=Filters)
    rounding: str = "webster"
    start: str | None = None


@dataclass(frozen=True)
class Needs:
    """What a sampler needs, and what it can do.

    `allocates`: its budget is allocated to clusters. `clusters`: it cannot draw without a clustering (to allocate, or to
    find near-duplicates). `columns`: of the cluster table, beside cluster and documents. `losses`: scorer whose mean losses
    are the column proxy_loss. `distances`: to the centroid, of the assignments. `scores`: scorer that it ranks by, and
    `column` that of its scores. `draws`: `first`, `weighted`, `buckets` (winnow.sample.rankings) or `mixture`. `tokens`:
    it can meet a budget in tokens, for which it needs the lengths of documents. `near`: scorer whose near-duplicates are out
    of the pool; `embeddings`: scorer by whose settings near-duplicates are taken out of the draw, from the vectors.
    `contaminated`: suite whose items no document of the pool holds. `used`: earlier draws that are out of the pool.
    `trained`: so is what the proxies of `scores` were trained on. `meta`: meta column that it filters by; `filter_measure`,
    `rank_measure`: measures of the profile that it filters and ranks by. `excluded`: clusters
    that are excluded are out of the pool. `predictions`: it goes by those of the model of the round before, of which
    `column` is read, so it needs a budget with rounds.
    """

    allocates: bool
    clusters: bool
    columns: tuple[str, ...]
    losses: str | None
    distances: bool
    scores: str | None
    column: str | None
    draws: str
    tokens: bool
    near: str | None
    embeddings: str | None
    contaminated: str | None
    used: tuple[Used, ...]
    trained: bool
    meta: str | None
    filter_measure: str | None
    rank_measure: str | None
    excluded: bool
    predictions: bool

    @property
    def scorers(self) -> list[str]:
        """Names of all scorers that the draw waits for."""
        return [name for name in (self.scores, self.losses, self.near or self.embeddings) if name is not None]


def needs(sampler: Sampler | Mapping[str, Any]) -> Needs:
    """What a sampler needs; of an entry of a checked configuration, with or without its defaults."""
    if not isinstance(sampler, Sampler):
        sampler = from_config(sampler)
    allocation, ranking, filters = sampler.allocation, sampler.ranking, sampler.filters
    order, semdedup = RANKINGS[ranking.by], filters.semdedup
    allocates = allocation.weight != NONE
    columns = tuple(weight_of(allocation).columns(allocation)) if allocates else ()
    measure = measure_of(ranking.column) if order.scored else None
    filtered = filters.where.column if filters.where else None
    draws = "mixture" if ranking.order == "mixture" else "quantiles" if ranking.quantiles else order.draws
    before = semdedup is not None and semdedup.when == "before"
    return Needs(
        allocates=allocates,
        clusters=allocates or semdedup is not None,
        columns=columns,
        losses=allocation.loss if "proxy_loss" in columns else None,
        distances=order.reads == "distance",
        scores=ranking.scorer if order.scored else None,
        column={
            "score": measure or ranking.column,
            "bucket": "bucket",
            "prediction": MEASURES[ranking.measure],
        }.get(order.reads or ""),
        draws=draws,
        tokens=draws in ("first", "weighted") and sampler.rounding == "webster",
        near=semdedup.scorer if semdedup is not None and before else None,
        embeddings=semdedup.scorer if semdedup is not None and not before else None,
        contaminated=filters.contaminated,
        used=filters.used,
        trained=order.scored and measure is None and filters.trained == "drop",
        meta=filtered if measure_of(filtered) is None else None,
        filter_measure=measure_of(filtered),
        rank_measure=measure,
        excluded=filters.excluded_clusters == "drop",
        predictions=order.reads == "prediction",
    )


def from_config(config: Mapping[str, Any]) -> Sampler:
    """The sampler of an entry that has passed the checks (`parse_sampler`)."""
    filters = dict(config.get("filters", {}))
    if filters.get("where") is not None:
        filters["where"] = Where(**filters["where"])
    if filters.get("semdedup") is not None:
        filters["semdedup"] = Semdedup(**filters["semdedup"])
    filters["used"] = tuple(Used(**draw) for draw in filters.get("used", []))
    return Sampler(
        Allocation(**config["allocation"]),
        Ranking(**config.get("ranking", {})),
        Filters(**filters),
        **{key: config[key] for key in ("rounding", "start") if key in config},
    )


def check_sampler(config: Mapping[str, Any]) -> Problem:
    """What the schema cannot state of a sampler: the key that is wrong and why, or None."""
    allocation = config["allocation"]
    problem = check_allocation(allocation, config.get("rounding", "webster")) or check_ranking(
        config.get("ranking", {}), allocation["weight"]
    )
    where = config.get("filters", {}).get("where")
    if where and not where.keys() & {"values", "min", "max"}:
        return "filters.where", "missing: one of values, min and max, which say what documents must have"
    if problem or (by := config.get("ranking", {}).get("by", "random")) not in RANKINGS:
        return problem
    if (RANKINGS[by].reads == "prediction") != bool(config.get("start")):
        if config.get("start"):
            return "start", f"goes with a ranking by the predictions of a model only, not with {by}"
        return "start", f"missing: 'by: {by}' requires the name of the sampler of the first round"
    return None


def parse_sampler(config: Mapping[str, Any], where: str = "sampler") -> Sampler:
    """The sampler of an entry of a configuration, checked against the schema and beyond it.

    Raises InputError with one line that starts with `where` and names the key.
    """
    check_definition("sampler", config, where)
    if problem := check_sampler(config):
        raise InputError(f"{where}.{problem[0]}: {problem[1]}")
    return from_config(config)


def read_sampler(path: Path, name: str) -> Sampler:
    """The sampler `name` of a samplers file (top-level key `samplers`). Raises InputError."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    samplers = content.get("samplers") if isinstance(content, dict) else None
    if not isinstance(samplers, dict):
        raise InputError(f"{path}: no mapping under the top-level key 'samplers'")
    if name not in samplers:
        raise InputError(f"{path}: no sampler {name!r}; known: {', '.join(map(str, samplers))}")
    return parse_sampler(samplers[name], f"{path}: samplers.{name}")
