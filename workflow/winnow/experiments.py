"""What a configuration asks for: arms, runs, members of tables, proxies, and the sources they need: pure functions of it.

Imported at parse time: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NO_CLUSTERS = "none"


FEWEST_SEEDS = 3  # data seeds an arm for a verdict on samplers, as in winnow.compare.statistics


PROXIES = ("proxy", "in_domain", "general", "classifier")


def proxies_of(scorer: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The proxies of a scorer by their key, in the order in which its stage takes their models."""
    return {key: scorer[key] for key in PROXIES if key in scorer}


def filters_differ(config: Mapping[str, Any], one: str, other: str) -> bool:
    """Whether the samplers of two arms differ in what they do with excluded clusters."""
    kept = [config["samplers"][arm.split("/")[1]]["filters"]["excluded_clusters"] for arm in (one, other)]
    return kept[0] != kept[1]


def uses_clusters(sampler: Mapping[str, Any]) -> bool:
    """Whether a sampler cannot draw without the clusters of a clustering."""
    return sampler["allocation"]["weight"] != "none" or "semdedup" in sampler["filters"]


def needs_clustering(config: Mapping[str, Any], name: str) -> bool:
    """Whether a sampler, or one whose documents it leaves out, uses clusters."""
    sampler = config["samplers"][name]
    earlier = [entry["sampler"] for entry in sampler["filters"].get("used", [])]
    return uses_clusters(sampler) or any(needs_clustering(config, other) for other in earlier)


def exclusions_path(corpus: str, clustering: str) -> Path:
    """Where a person's exclusions of a clustering stand, seen from the folder that Snakemake runs in."""
    return Path("config/exclusions") / f"{corpus}.{clustering}.tsv"


def pool_of(config: Mapping[str, Any], corpus: str, clustering: str | None) -> str:
    """The clustering whose exclusions shape an experiment's pool; NO_CLUSTERS where nothing is excluded.

    Clusters are excluded by a person's file, by proposals that the corpus applies, or as HDBSCAN's noise. Where none of
    these is in force the pool is that of the corpus, and what needs no clusters is shared by all its clusterings.
    """
    if clustering is None or clustering == NO_CLUSTERS:
        return NO_CLUSTERS
    method = config["clusterings"][clustering]
    noise = method["method"] == "hdbscan" and method["hdbscan"]["noise"] == "own"
    proposed = config["corpora"][corpus]["apply_proposals"]
    return clustering if noise or proposed or exclusions_path(corpus, clustering).exists() else NO_CLUSTERS


def draw_clustering(config: Mapping[str, Any], corpus: str, clustering: str | None, sampler: str) -> str:
    """The clustering under which a sampler's draw stands in an experiment of `clustering`: the experiment's, if the
    sampler uses its clusters or their exclusions shape its pool; else NO_CLUSTERS."""
    if clustering is None or needs_clustering(config, sampler):
        return clustering or NO_CLUSTERS
    keeps = config["samplers"][sampler]["filters"]["excluded_clusters"] == "keep"
    return NO_CLUSTERS if keeps else pool_of(config, corpus, clustering)


def runs_of(experiment: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Data seed and training seed of every run of an arm. Without training seeds a draw is trained once, with
    its own seed: what is random between two draws then includes the training."""
    return [
        (data_seed, training_seed)
        for data_seed in experiment["data_seeds"]
        for training_seed in experiment["training_seeds"] or [data_seed]
    ]


def all_experiments(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of the run, and those of the paper that do not bear the name of one of the run's."""
    own = {experiment["name"] for experiment in config["experiments"]}
    return [*config["experiments"], *(e for e in config["paper"]["experiments"] if e["name"] not in own)]


def table_arms(
    config: dict[str, Any], table: Mapping[str, Any]
) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    """(experiment/sampler, ids, experiment) of each arm of a table."""
    wanted = table.get("arms")
    return [
        (arm, ids, experiment)
        for experiment in all_experiments(config)
        if experiment["name"] in table["experiments"]
        for arm, ids in arms(config, experiment).items()
        if wanted is None or arm in wanted or arm.split("/")[1] in wanted
    ]


def arms(config: dict[str, Any], experiment: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Ids that make up each arm of an experiment, by `experiment/sampler`."""
    return {
        f"{experiment['name']}/{sampler}": {
            "corpus": experiment["corpus"],
            "clustering": draw_clustering(config, experiment["corpus"], experiment["clustering"], sampler),
            "sampler": sampler,
            "budget": experiment["budget"],
            "model": experiment["model"],
        }
        for sampler in experiment["samplers"]
    }


def few_seeds(config: dict[str, Any], name: str) -> str:
    """Which arms of a table get no verdict for want of data seeds, in words; empty where all get one."""
    table = config["tables"][name]
    if table["unit"] != "samplers":
        return ""
    seeds = {arm: len(e["data_seeds"]) for arm, _, e in table_arms(config, table)}
    few = {arm: n for arm, n in seeds.items() if n < FEWEST_SEEDS}
    base = [arm for arm in few if table["baseline"] in (arm, arm.split("/")[1])]
    wanted = f"a verdict takes {FEWEST_SEEDS} data seeds an arm"
    shown = ", ".join(f"{arm} ({n})" for arm, n in few.items())
    if base:
        return f"no verdict at all: {wanted}, and the baseline {base[0]} has {few[base[0]]}"
    return f"no verdict on {shown}: {wanted}" if few else ""


@dataclass
class Needs:
    """Names of what a run reads, in the order in which it names them: corpora, benchmarks; and the sources of weights
    by their place in the config."""

    corpora: dict[str, None] = field(default_factory=dict)
    benchmarks: dict[str, None] = field(default_factory=dict)
    weights: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)


def needs(config: dict[str, Any]) -> Needs:
    """Corpora, benchmarks and weights that the run's experiments and the tables of its targets read, those of their
    scorers, proxies and filters too. `config` has passed its cross-checks (tables may be wrong)."""
    out = Needs()
    for experiment in config["experiments"]:
        out.corpora[experiment["corpus"]] = None
        if experiment["clustering"] is not None:
            _encoder(config, config["clusterings"][experiment["clustering"]]["encoder"], out)
        _tokenizer(config, config["budgets"][experiment["budget"]]["tokenizer"], out)
        for sampler in experiment["samplers"]:
            _sampler(config, sampler, experiment["corpus"], out, set())
        _model(config, experiment["model"], out)
        _suites(config, experiment["suites"], out)
    for name in config["targets"]:
        table = config["tables"][name]
        for model in table["pretrained"]:
            if model in config["models"] and "weights" in config["models"][model]:
                out.weights["models", model, "weights"] = config["models"][model]["weights"]
        suites = [suite for suite in table.get("suites", []) if suite in config["suites"]]
        _suites(config, suites, out)
        heldout = any("heldout" in config["benchmarks"][b] for s in suites for b in config["suites"][s])
        if heldout and table.get("corpus") in config["corpora"]:
            out.corpora[table["corpus"]] = None
    return out


def _encoder(config: dict[str, Any], name: str, out: Needs) -> None:
    out.weights["encoders", name, "source"] = config["encoders"][name]["source"]


def _tokenizer(config: dict[str, Any], name: str | None, out: Needs) -> None:
    if name is not None and "hub" in config["tokenizers"][name]:
        out.weights["tokenizers", name] = config["tokenizers"][name]


def _model(config: dict[str, Any], name: str, out: Needs) -> None:
    model = config["models"][name]
    if model["kind"] == "classifier":
        _encoder(config, model["encoder"], out)
        return
    _tokenizer(config, model["tokenizer"], out)
    if "start" in model:
        out.weights["models", name, "start"] = model["start"]


def _suites(config: dict[str, Any], suites: Iterable[str], out: Needs) -> None:
    out.benchmarks.update(dict.fromkeys(b for suite in suites for b in config["suites"][suite]))


def scorers_of(sampler: dict[str, Any]) -> list[str]:
    """Names of the scorers that a sampler waits for."""
    found = [sampler["ranking"]["scorer"]] if "scorer" in sampler["ranking"] else []
    if sampler["allocation"]["weight"] == "loss":
        found.append(sampler["allocation"]["loss"])
    if "semdedup" in sampler["filters"]:
        found.append(sampler["filters"]["semdedup"]["scorer"])
    return found


def _sampler(config: dict[str, Any], name: str, corpus: str, out: Needs, seen: set[tuple[str, str]]) -> None:
    if (name, corpus) in seen:
        return
    seen.add((name, corpus))
    sampler = config["samplers"][name]
    if suite := sampler["filters"].get("contaminated"):
        _suites(config, [suite], out)
    for earlier in sampler["filters"].get("used", []):
        _sampler(config, earlier["sampler"], corpus, out, seen)
    for scorer_name in scorers_of(sampler):
        scorer = config["scorers"][scorer_name]
        if target := scorer.get("target", {}).get("corpus"):
            out.corpora[target] = None
        for key, proxy in proxies_of(scorer).items():
            if "hub" in proxy:
                out.weights["scorers", scorer_name, key] = proxy
            else:
                source = proxy["corpus"] or corpus
                out.corpora[source] = None
                _model(config, proxy["model"], out)
                _tokenizer(config, config["budgets"][proxy["budget"]]["tokenizer"], out)
                _sampler(config, proxy["sampler"], source, out, seen)
