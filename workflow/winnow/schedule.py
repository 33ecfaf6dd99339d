"""Rounds of labelling: of a budget with `rounds`, the budget of each round, and the samplers that ask a model.

In: a checked configuration. Out: the same with definitions by derived names, which stand in paths and wildcards like all
others: `labels.round2` is the budget of round 2 of `labels` (0 is the first), `margin.probe` the sampler `margin` that goes by
the model `probe`. Pure functions; imported at parse time, nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from winnow.sample.sampler import needs

Config = Mapping[str, Any]
Ids = dict[str, Any]


def round_budget(budget: str, index: int) -> str:
    """The name of the budget of a round."""
    return f"{budget}.round{index}"


def asking(sampler: str, model: str) -> str:
    """The name of a sampler that goes by the predictions of a model."""
    return f"{sampler}.{model}"


def expand_rounds(config: dict[str, Any]) -> None:
    """Adds the derived budgets and samplers that the experiments use, in place; `config["rounds"]` tells what each derived
    name stands for: of budgets `budget`, `round` and the settings of its `rounds`, of samplers `sampler` and `model`."""
    derived: dict[str, dict[str, Any]] = {"budgets": {}, "samplers": {}}
    for experiment in config["experiments"]:
        budget = config["budgets"][experiment["budget"]]
        if not (rounds := budget.get("rounds")):
            continue
        size = {key: value for key, value in budget.items() if key != "rounds"}
        for index in range(rounds["count"] + 1):
            name = round_budget(experiment["budget"], index)
            derived["budgets"][name] = {"budget": experiment["budget"], "round": index, **rounds}
            config["budgets"][name] = {**size, "train": size["train"] + index * rounds["add"]}
        for sampler in experiment["samplers"]:
            if needs(config["samplers"][sampler]).predictions:
                name = asking(sampler, experiment["model"])
                derived["samplers"][name] = {"sampler": sampler, "model": experiment["model"]}
                config["samplers"][name] = config["samplers"][sampler]
    config["rounds"] = derived


def has_rounds(config: Config, experiment: Config) -> bool:
    """Whether an experiment labels in rounds."""
    return bool(config["budgets"][experiment["budget"]].get("rounds"))


def whole_budget(budget: Config) -> int:
    """What a budget asks for in all, its splits and rounds together, in its unit."""
    rounds = budget.get("rounds") or {"count": 0, "add": 0}
    splits = budget["train"] + budget["validation"] + budget["test"]
    return int(splits + rounds["count"] * rounds["add"])


def last_budget(config: Config, budget: str) -> str:
    """The budget of the last round; the budget itself where it has no rounds."""
    rounds = config["budgets"][budget].get("rounds")
    return round_budget(budget, rounds["count"]) if rounds else budget


def sampler_of_arm(config: Config, sampler: str, model: str) -> str:
    """The name under which a sampler's draws are filed for a model."""
    return asking(sampler, model) if needs(config["samplers"][sampler]).predictions else sampler


def round_of(config: Config, budget: str) -> dict[str, Any] | None:
    """What the name of a round's budget stands for; None for a budget without rounds."""
    return config["rounds"]["budgets"].get(budget)
