"""Tables of a configuration: their arms, baseline, pretrained models and benchmarks must fit together."""

from __future__ import annotations

from typing import Any

from winnow.config.names import known_definition
from winnow.experiments import (
    NO_CLUSTERS,
    arms,
    every_arm,
    is_baseline,
    keeps_excluded_clusters,
    labels_in_rounds,
    table_arms,
)
from winnow.schema import ConfigError
from winnow.stage import canonical


def check_table(config: dict[str, Any], name: str) -> None:
    """Checks a table of the run's targets. Raises ConfigError."""
    table, path = config["tables"][name], ("tables", name)
    experiments = {e["name"]: e for e in config["experiments"]}
    _check_arms(config, table, path, experiments)
    _check_pretrained(config, table, path)
    _check_one_heldout(config, table, path, experiments)
    _check_equal_arms(config, table, path)


def _check_arms(
    config: dict[str, Any], table: dict[str, Any], path: tuple[str, ...], experiments: dict[str, Any]
) -> None:
    """Experiments, arms, baseline and published variants must be those of the run."""
    for index, name in enumerate(table["experiments"]):
        if name not in experiments:
            raise ConfigError(
                (*path, "experiments", index),
                f"unknown experiment {name!r}; this run lists: {', '.join(experiments)}",
            )
    every = {arm: i for n in table["experiments"] for arm, i in arms(config, experiments[n]).items()}
    for index, name in enumerate(table.get("arms", [])):
        if not any(name in (arm, arm.split("/")[1]) for arm in every):
            raise ConfigError((*path, "arms", index), f"{name!r} is not among the arms {', '.join(every)}")
    rows = [*(arm for arm, _, _ in table_arms(config, table)), *table["pretrained"]]
    baselines = [row for row in rows if is_baseline(table, row)]
    if len(baselines) != 1:
        what = "is not among" if not baselines else "is ambiguous among"
        raise ConfigError(
            (*path, "baseline"), f"{table['baseline']!r} {what} the arms {', '.join(baselines or rows)}"
        )
    if ceiling := table.get("ceiling"):
        known = [arm for arm, _, _ in every_arm(config)]
        if ceiling not in known:
            raise ConfigError((*path, "ceiling"), f"{ceiling!r} is not among the arms {', '.join(known)}")
        if not labels_in_rounds(config, path[1]):
            raise ConfigError(
                (*path, "ceiling"), "no experiment of the table labels in rounds; leave the key out"
            )
    if len(rows) < 2:
        raise ConfigError(
            (*path, "experiments"), f"one arm ({rows[0]}) leaves nothing to compare; add another"
        )
    for key in ("corpus", "suites"):
        if (key in table) == bool(table["experiments"]):
            what = (
                "is that of its experiments; leave it out"
                if key in table
                else "is required where there are none"
            )
            raise ConfigError((*path, "experiments"), f"key {key!r} {what}")
    if not table["experiments"]:
        known_definition(config, "corpora", table["corpus"], (*path, "corpus"))
        for index, name in enumerate(table["suites"]):
            known_definition(config, "suites", name, (*path, "suites", index))
    for variant, arm in table.get("published", {}).get("arms", {}).items():
        if arm not in rows:
            raise ConfigError(
                (*path, "published", "arms", variant), f"{arm!r} is not among the arms {', '.join(rows)}"
            )


def _check_pretrained(config: dict[str, Any], table: dict[str, Any], path: tuple[str, ...]) -> None:
    models = [config["models"][ids["model"]] for _, ids, _ in table_arms(config, table)]
    for index, name in enumerate(table["pretrained"]):
        if known_definition(config, "models", name, (*path, "pretrained", index))["kind"] != "pretrained":
            raise ConfigError((*path, "pretrained", index), f"{name!r} is trained here, not pretrained")
        if any(model["kind"] in ("classifier", "probe") for model in models):
            raise ConfigError(
                (*path, "pretrained", index), "a table of classifiers takes no pretrained language model"
            )


def _check_one_heldout(
    config: dict[str, Any], table: dict[str, Any], path: tuple[str, ...], experiments: dict[str, Any]
) -> None:
    """Arms of two corpora have no item of held-out documents in common."""
    measured: dict[str, str] = {}
    for name in table["experiments"]:
        for benchmark in {b for suite in experiments[name]["suites"] for b in config["suites"][suite]}:
            corpus = experiments[name]["corpus"]
            if (
                "heldout" in config["benchmarks"][benchmark]
                and measured.setdefault(benchmark, corpus) != corpus
            ):
                raise ConfigError(
                    (*path, "experiments"),
                    f"benchmark {benchmark!r} is made of each corpus's own held-out documents, so arms of "
                    f"{measured[benchmark]} and {corpus} have no item in common; make a table for each",
                )


def _check_equal_arms(config: dict[str, Any], table: dict[str, Any], path: tuple[str, ...]) -> None:
    """No two arms may be the same sampler, budget and model with the same data seed."""
    seen: dict[tuple[str, int], str] = {}
    for arm, values, experiment in table_arms(config, table):
        sampler = config["samplers"][values["sampler"]]
        if values["clustering"] == NO_CLUSTERS:  # nothing is excluded that a filter could keep
            filters = {k: v for k, v in sampler["filters"].items() if k != "excluded_clusters"}
            sampler = {**sampler, "filters": filters}
        models = canonical({**values, "sampler": sampler})
        same = next((seen[models, seed] for seed in experiment["data_seeds"] if (models, seed) in seen), arm)
        seen |= {(models, seed): arm for seed in experiment["data_seeds"]}
        if same != arm:
            cure = "take one out of its experiment, or give them other data seeds"
            if keeps_excluded_clusters(config, same.split("/")[1]) != keeps_excluded_clusters(
                config, values["sampler"]
            ):
                cure = (
                    "no cluster is excluded yet, so there is nothing to keep: write an exclusions file first (snakemake "
                    "clusters), or leave one out"
                )
            raise ConfigError((*path, "experiments"), f"arms {same} and {arm} have the same models; {cure}")
