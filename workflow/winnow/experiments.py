"""What a configuration asks for: arms, runs, pools, members of tables and of sampler comparisons, and the sources they need.

In: a checked configuration (`winnow.config.checks.resolve`). Out: names, ids and seeds; pure functions, but for the question
whether a person's file of exclusions exists. Imported at parse time: nothing heavy here.

Ids of an arm are a dict of `corpus`, `clustering` (NO_CLUSTERS where its draws depend on none), `sampler`, `budget` and
`model`; ids of a run have `data_seed` and `training_seed`, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from winnow.profile import kinds as families
from winnow.sample.sampler import needs as sample_needs
from winnow.schedule import has_rounds, last_budget, round_budget, sampler_of_arm
from winnow.score.kinds import kind_of

Config = Mapping[str, Any]
Ids = dict[str, Any]

NO_CLUSTERS = "none"

FEWEST_SEEDS = 3
"""Data seeds per arm for a verdict on samplers, as in winnow.compare.statistics."""

# ---------------------------------------------------------------- samplers and their pools


def proxies_of(scorer: Config) -> dict[str, dict[str, Any]]:
    """The proxies of a scorer by their key, in the order in which its stage takes their models; none of an empty one."""
    return {key: scorer[key] for key in kind_of(scorer).proxies} if scorer else {}


def scorers_of(sampler: Config) -> list[str]:
    """Names of the scorers that a sampler waits for."""
    return sample_needs(sampler).scorers


def uses_clusters(sampler: Config) -> bool:
    """Whether a sampler cannot draw without the clusters of a clustering."""
    return sample_needs(sampler).clusters


def needs_clustering(config: Config, name: str) -> bool:
    """Whether a sampler, or one whose documents it leaves out, uses clusters."""
    sampler = config["samplers"][name]
    earlier = [entry["sampler"] for entry in sampler["filters"].get("used", [])]
    earlier += [sampler["start"]] if sampler["start"] else []
    return uses_clusters(sampler) or any(needs_clustering(config, other) for other in earlier)


def keeps_excluded_clusters(config: Config, name: str) -> bool:
    """Whether a sampler draws from excluded clusters, too."""
    return not sample_needs(config["samplers"][name]).excluded


def exclusions_path(corpus: str, clustering: str) -> Path:
    """The file of a person's exclusions of a clustering, seen from the folder that Snakemake runs in."""
    return Path("config/exclusions") / f"{corpus}.{clustering}.tsv"


def pool_of(config: Config, corpus: str, clustering: str | None) -> str:
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


def draw_clustering(config: Config, corpus: str, clustering: str | None, sampler: str) -> str:
    """The clustering under which a sampler's draw is kept in an experiment of `clustering`: the experiment's, if the
    sampler uses its clusters or their exclusions shape its pool; else NO_CLUSTERS."""
    if clustering is None or needs_clustering(config, sampler):
        return clustering or NO_CLUSTERS
    return NO_CLUSTERS if keeps_excluded_clusters(config, sampler) else pool_of(config, corpus, clustering)


# ---------------------------------------------------------------- experiments


def arms(config: Config, experiment: Config) -> dict[str, Ids]:
    """Ids of each arm of an experiment, by `experiment/sampler`; of one that labels in rounds those of its last round."""
    return {
        f"{experiment['name']}/{sampler}": {
            "corpus": experiment["corpus"],
            "clustering": draw_clustering(config, experiment["corpus"], experiment["clustering"], sampler),
            "sampler": sampler_of_arm(config, sampler, experiment["model"]),
            "budget": last_budget(config, experiment["budget"]),
            "model": experiment["model"],
        }
        for sampler in experiment["samplers"]
    }


def rounds_of(config: Config, experiment: Config, arm: Ids) -> list[Ids]:
    """Ids of an arm at each of its rounds, the first one before all; the arm's own where its experiment has one round.

    The first round of a sampler that asks a model is a draw of the sampler that it starts with.
    """
    if not has_rounds(config, experiment):
        return [arm]
    start = config["samplers"][arm["sampler"]]["start"]
    count = config["budgets"][experiment["budget"]]["rounds"]["count"]
    rounds = [dict(arm, budget=round_budget(experiment["budget"], index)) for index in range(count + 1)]
    if start:
        clustering = draw_clustering(config, experiment["corpus"], experiment["clustering"], start)
        rounds[0] |= {"sampler": start, "clustering": clustering}
    return rounds


def is_probe(config: Config, ids: Ids) -> bool:
    """Whether an arm's models are linear probes, of which one job trains and evaluates all seeds and rounds."""
    return config["models"][ids["model"]]["kind"] == "probe"


def probe_seeds(config: Config, ids: Ids) -> list[int]:
    """Data seeds of an arm of probes: those of all experiments that have it."""
    seeds = {
        seed
        for experiment in config["experiments"]
        if any(
            all(ids[key] == value for key, value in arm.items()) for arm in arms(config, experiment).values()
        )
        for seed in experiment["data_seeds"]
    }
    return sorted(seeds)


def runs_of(experiment: Config) -> list[tuple[int, int]]:
    """Data seed and training seed of every run of an arm. Without training seeds a draw is trained once, with
    its own seed: what is random between two draws then includes the training."""
    return [
        (data_seed, training_seed)
        for data_seed in experiment["data_seeds"]
        for training_seed in experiment["training_seeds"] or [data_seed]
    ]


def every_run(config: Config) -> list[Ids]:
    """Ids and seeds of every model that the run's experiments train, those of all rounds; probes apart."""
    return [
        dict(ids, data_seed=data_seed, training_seed=training_seed)
        for experiment in config["experiments"]
        for arm in arms(config, experiment).values()
        if not is_probe(config, arm)
        for ids in rounds_of(config, experiment, arm)
        for data_seed, training_seed in runs_of(experiment)
    ]


# ---------------------------------------------------------------- tables


def table_arms(config: Config, table: Config) -> list[tuple[str, Ids, dict[str, Any]]]:
    """(experiment/sampler, ids, experiment) of each arm of a table."""
    only = table.get("arms")
    return [
        (arm, ids, experiment)
        for experiment in config["experiments"]
        if experiment["name"] in table["experiments"]
        for arm, ids in arms(config, experiment).items()
        if only is None or arm in only or arm.split("/")[1] in only
    ]


def is_baseline(table: Config, arm: str) -> bool:
    """Whether a table's baseline is this arm (experiment/sampler) or pretrained model."""
    return table["baseline"] in (arm, arm.rpartition("/")[2])


def table_runs(config: Config, name: str) -> list[tuple[str, Ids, list[str]]]:
    """(arm, ids with seeds, suites) of each model that a table compares and the workflow trains; probes apart."""
    return [
        (arm, dict(ids, data_seed=data_seed, training_seed=training_seed), experiment["suites"])
        for arm, ids, experiment in table_arms(config, config["tables"][name])
        if not is_probe(config, ids)
        for data_seed, training_seed in runs_of(experiment)
    ]


def table_probes(config: Config, name: str) -> list[Ids]:
    """Ids, with the `suite`, of each evaluation of an arm of probes that a table compares."""
    return [
        dict(ids, suite=suite)
        for _, ids, experiment in table_arms(config, config["tables"][name])
        if is_probe(config, ids)
        for suite in experiment["suites"]
    ]


def table_rounds(config: Config, name: str) -> dict[str, list[tuple[Ids, int]]]:
    """Of each arm of a table whose experiment labels in rounds, and of its ceiling, ids and labels of each round."""
    table = config["tables"][name]
    members = [
        *((arm, last, e) for arm, last, e in table_arms(config, table) if has_rounds(config, e)),
        *(one for one in every_arm(config) if one[0] == table.get("ceiling")),
    ]
    return {
        arm: [(ids, config["budgets"][ids["budget"]]["train"]) for ids in rounds_of(config, experiment, last)]
        for arm, last, experiment in members
    }


def every_arm(config: Config) -> list[tuple[str, Ids, dict[str, Any]]]:
    """(experiment/sampler, ids, experiment) of each arm of the run."""
    return [
        (arm, ids, experiment)
        for experiment in config["experiments"]
        for arm, ids in arms(config, experiment).items()
    ]


def labels_in_rounds(config: Config, name: str) -> bool:
    """Whether a table has learning curves."""
    return any(has_rounds(config, e) for _, _, e in table_arms(config, config["tables"][name]))


def pretrained_suites(config: Config, name: str) -> tuple[str, list[str]]:
    """The corpus of a table's pretrained models, which is that of its baseline or first arm, and the suites that its
    experiments on it have, without those that are part of another."""
    table = config["tables"][name]
    if "corpus" in table:
        return table["corpus"], table["suites"]
    members = table_arms(config, table)
    first = [ids for arm, ids, _ in members if is_baseline(table, arm)]
    corpus = (first or [members[0][1]])[0]["corpus"]
    suites = {s for _, ids, experiment in members if ids["corpus"] == corpus for s in experiment["suites"]}
    benchmarks = {suite: set(config["suites"][suite]) for suite in suites}
    whole = [s for s in suites if not any(benchmarks[s] < benchmarks[other] for other in suites)]
    return corpus, sorted(whole)


def table_members(config: Config, name: str) -> dict[str, Ids]:
    """Ids of each arm of a table, by experiment/sampler, with its `data_seeds` and its model's `tokenizer` (None of a
    classifier), then of each pretrained model, by its name: `pretrained` and `corpus`."""
    table = config["tables"][name]
    members = {
        arm: dict(
            ids,
            data_seeds=experiment["data_seeds"],
            tokenizer=config["models"][ids["model"]].get("tokenizer"),
        )
        for arm, ids, experiment in table_arms(config, table)
    }
    for model in table["pretrained"]:
        members[model] = dict(pretrained=model, corpus=pretrained_suites(config, name)[0])
    return members


def table_suites(config: Config, name: str) -> list[str]:
    """Names of the suites whose results a table shows."""
    table = config["tables"][name]
    if "suites" in table:
        return sorted(table["suites"])
    return sorted({s for _, _, experiment in table_arms(config, table) for s in experiment["suites"]})


def table_benchmarks(config: Config, name: str, key: str) -> dict[str, Any]:
    """A key (`metrics`, `task`) of each benchmark of a table that has it, by the benchmark's name."""
    benchmarks = sorted({b for suite in table_suites(config, name) for b in config["suites"][suite]})
    return {b: value for b in benchmarks if (value := config["benchmarks"][b].get(key))}


def has_published_figures(config: Config, name: str) -> bool:
    """Whether a table shows published figures beside measured ones."""
    return bool(config["tables"][name].get("published"))


def few_seeds(config: Config, name: str) -> str:
    """Which arms of a table get no verdict because they have too few data seeds, in words; empty where all get one."""
    table = config["tables"][name]
    if table["unit"] != "samplers":
        return ""
    seeds = {arm: len(e["data_seeds"]) for arm, _, e in table_arms(config, table)}
    few = {arm: n for arm, n in seeds.items() if n < FEWEST_SEEDS}
    base = [arm for arm in few if is_baseline(table, arm)]
    required = f"a verdict requires {FEWEST_SEEDS} data seeds per arm"
    if base:
        return f"no verdict at all: {required}, and the baseline {base[0]} has {few[base[0]]}"
    shown = ", ".join(f"{arm} ({n})" for arm, n in few.items())
    return f"no verdict on {shown}: {required}" if few else ""


# ---------------------------------------------------------------- comparisons of samplers, before any training


def compared_draws(config: Config, corpus: str) -> list[tuple[dict[str, Any], Ids]]:
    """Every draw of the experiments of a corpus: how the comparison of its samplers names it (`experiment`, `sampler`,
    `seed`, `clustering`, whether its model counts `tokens`, and whether it is a `probe`, whose job draws all seeds), and its
    arm's ids with the data seed; of probes with the `suite` under which their draws are filed."""
    return [
        (
            dict(
                experiment=experiment["name"],
                sampler=arm.split("/")[1],
                seed=data_seed,
                clustering=experiment["clustering"],
                tokens=config["models"][ids["model"]]["kind"] == "language-model",
                probe=is_probe(config, ids),
            ),
            dict(ids, data_seed=data_seed, suite=experiment["suites"][0])
            if is_probe(config, ids)
            else dict(ids, data_seed=data_seed),
        )
        for experiment in config["experiments"]
        if experiment["corpus"] == corpus
        for arm, ids in arms(config, experiment).items()
        for data_seed in experiment["data_seeds"]
    ]


def compared_corpora(config: Config, experiments: Iterable[Config]) -> list[str]:
    """Corpora of which `experiments` have two or more subsets that differ in more than the seed."""
    subsets: dict[str, set[tuple[str, ...]]] = {}
    for experiment in experiments:
        for ids in arms(config, experiment).values():
            key = (ids["clustering"], ids["sampler"], ids["budget"])
            subsets.setdefault(ids["corpus"], set()).add(key)
    return sorted(corpus for corpus, keys in subsets.items() if len(keys) > 1)


def compared_clusterings(config: Config, corpus: str) -> list[str]:
    """Clusterings of the experiments of a corpus."""
    return sorted({e["clustering"] for e in config["experiments"] if e["corpus"] == corpus} - {None})


def compared_tables(config: Config, corpus: str) -> list[dict[str, Any]]:
    """Of each target that compares two or more arms of a corpus, its baseline among them: `name`, `baseline`, `arms`."""
    compared = []
    for name in config["targets"]:
        table = config["tables"][name]
        members = [arm for arm, ids, _ in table_arms(config, table) if ids["corpus"] == corpus]
        baseline = [arm for arm in members if is_baseline(table, arm)]
        if baseline and len(members) > 1:
            compared.append(dict(name=name, baseline=baseline[0], arms=members))
    return compared


def experiments_of(config: Config, tables: Iterable[str]) -> list[dict[str, Any]]:
    """The experiments that tables compare."""
    names = {experiment for table in tables for experiment in config["tables"][table]["experiments"]}
    return [experiment for experiment in config["experiments"] if experiment["name"] in names]


# ---------------------------------------------------------------- profiles


def profiled_corpora(config: Config) -> list[str]:
    """Corpora that `snakemake profile` describes, sorted."""
    named = config["profile"]["corpora"]
    return sorted({e["corpus"] for e in config["experiments"]} if named is None else named)


def shifted_draws(config: Config, experiment: Config) -> list[Ids]:
    """Ids and data seeds of the draws of an experiment that a profile compares with the corpus, by arm and seed: of those that
    are made before the experiment's models are trained. None of an experiment in rounds, or of probes, whose job draws."""
    if has_rounds(config, experiment):
        return []
    return [
        dict(ids, data_seed=data_seed)
        for ids in arms(config, experiment).values()
        if not is_probe(config, ids)
        for data_seed in experiment["data_seeds"]
    ]


def prompt_columns(config: Config, corpus: str) -> dict[str, str | None]:
    """The columns of the words and the features of a corpus's prompts; None of what it does not have."""
    definition = config["corpora"][corpus]
    default = {what: what if what in definition["meta"] else None for what in ("words", "features")}
    return {what: definition["prompts"][what] or column for what, column in default.items()}


def prompt_text(config: Config, corpus: str) -> str | None:
    """The column of the text of a corpus's prompts; None if it has none."""
    definition = config["corpora"][corpus]
    return definition["prompts"]["text"] or ("prompt" if "prompt" in definition["meta"] else None)


# ---------------------------------------------------------------- sources


@dataclass
class Needs:
    """Names of what a run reads, in the order in which it names them: corpora, benchmarks; and the sources of weights
    by their keys in the config."""

    corpora: dict[str, None] = field(default_factory=dict)
    benchmarks: dict[str, None] = field(default_factory=dict)
    weights: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)


def needs(config: Config) -> Needs:
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
    for corpus in config["profile"]["corpora"] or []:
        out.corpora[corpus] = None
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


def _encoder(config: Config, name: str, out: Needs) -> None:
    out.weights["encoders", name, "source"] = config["encoders"][name]["source"]


def _tokenizer(config: Config, name: str | None, out: Needs) -> None:
    if name is not None and "hub" in config["tokenizers"][name]:
        out.weights["tokenizers", name] = config["tokenizers"][name]


def _model(config: Config, name: str, out: Needs) -> None:
    model = config["models"][name]
    if model["kind"] in ("classifier", "probe"):
        _encoder(config, model["encoder"], out)
        return
    _tokenizer(config, model["tokenizer"], out)
    if "start" in model:
        out.weights["models", name, "start"] = model["start"]


def _measure(config: Config, measure: str, out: Needs) -> None:
    family = families.family_of(measure, config["profile"]["families"])
    if family is None:
        return
    if nli := families.nli_model(config, family):
        out.weights["label_sets", families.facts(family).labels, "nli", "source"] = nli["source"]
    elif families.reads_vectors(config, family):
        _encoder(config, config["profile"]["encoder"], out)


def _suites(config: Config, suites: Iterable[str], out: Needs) -> None:
    out.benchmarks.update(dict.fromkeys(b for suite in suites for b in config["suites"][suite]))


def _sampler(config: Config, name: str, corpus: str, out: Needs, seen: set[tuple[str, str]]) -> None:
    if (name, corpus) in seen:
        return
    seen.add((name, corpus))
    sampler = config["samplers"][name]
    if sampler["start"]:
        _sampler(config, sampler["start"], corpus, out, seen)
    if suite := sampler["filters"].get("contaminated"):
        _suites(config, [suite], out)
    for earlier in sampler["filters"].get("used", []):
        _sampler(config, earlier["sampler"], corpus, out, seen)
    read = sample_needs(sampler)
    for measure in filter(None, (read.filter_measure, read.rank_measure)):
        _measure(config, measure, out)
    for scorer_name in scorers_of(sampler):
        scorer = config["scorers"][scorer_name]
        if target := scorer.get("target", {}).get("corpus"):
            out.corpora[target] = None
        for key, proxy in proxies_of(scorer).items():
            if "hub" in proxy:
                out.weights["scorers", scorer_name, key] = proxy
                continue
            source = proxy["corpus"] or corpus
            out.corpora[source] = None
            _model(config, proxy["model"], out)
            _tokenizer(config, config["budgets"][proxy["budget"]]["tokenizer"], out)
            _sampler(config, proxy["sampler"], source, out, seen)


def local_proxies(scorer: Config) -> Iterator[dict[str, Any]]:
    """The proxies of a scorer that the workflow trains itself; the others come from the Hub."""
    return (proxy for proxy in proxies_of(scorer).values() if "hub" not in proxy)
