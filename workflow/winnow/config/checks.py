"""A configuration checked: schema, defaults, and what the keys of several sections must agree on.

In: the merged configuration and the files it comes from. Out: a checked copy with every default filled in.
Imported by the Snakefile at parse time: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from winnow.completion_metrics import COMPLETION_METRICS
from winnow.config.files import compose, place, plain
from winnow.config.local_files import check_files
from winnow.config.names import OWN_COLUMNS, RESERVED, known_definition
from winnow.config.pins import read_lock, resolve_names
from winnow.config.profile import check_profile
from winnow.config.samplers import check_scorer, check_scores
from winnow.config.tables import check_table
from winnow.experiments import NO_CLUSTERS, needs_clustering
from winnow.paths import results_folder
from winnow.sample.rankings import MEASURE
from winnow.sample.sampler import check_sampler, needs
from winnow.schedule import asking, expand_rounds, has_rounds, round_budget, whole_budget
from winnow.schema import ConfigError, dotted, fill
from winnow.score.kinds import kind_of
from winnow.stage import InputError, say


def resolve(
    config: dict[str, Any],
    files: Iterable[str | Path] = (),
    tables: bool = True,
    sources: Callable[[dict[str, Any]], None] | None = None,
    lock: str | Path | None = None,
    local: bool = True,
) -> dict[str, Any]:
    """A checked copy of the merged configuration with every default filled in.

    `files` are the config files it was merged from, later ones over earlier ones. `tables`: whether the targets are
    made, so that a wrong one is an error; else it is a warning. `sources`: a further check of a configuration that passed
    these (winnow.commands.preflight.check_sources). `lock`: the file with the commits of Hub revisions that are named by
    branch or tag (winnow.config.pins); they replace the names, and a name that it lacks is kept. `local`: whether the local
    files that the run reads must exist.
    Raises InputError: one line naming the file and line, the key, the value, and what would be right.
    """
    config = plain(config)
    trees = [(file, compose(Path(file))) for file in files]

    def placed(error: ConfigError) -> str:
        where = dotted(error.path, config) or "top level"
        return f"{place(trees, error.place)}{where}: {error.why}"

    try:
        fill(config)
        if lock is not None:
            resolve_names(config, read_lock(lock))
        _cross_check(config)
        expand_rounds(config)
        config["results"] = _results(config["results"])
        try:
            _check_tables(config)
        except ConfigError as error:
            if tables:
                raise
            say(f"warning: {placed(error)}; its table cannot be made")
        if local:
            check_files(config)
        if sources:
            sources(config)
    except ConfigError as error:
        raise InputError(placed(error)) from None
    return config


def _results(folder: str) -> str:
    try:
        return results_folder(folder)
    except InputError as error:
        raise ConfigError(("results",), str(error)) from None


def check_recipe(recipe: Mapping[str, Any], kind: str) -> str | None:
    """What a schema cannot state of a recipe for a model of `kind`: why it is wrong, or None."""
    lengths = [key for key in ("steps", "tokens", "epochs") if recipe.get(key) is not None]
    if len(lengths) != 1:
        return f"expected: one of steps, tokens and epochs; got {' and '.join(lengths) or 'none'}"
    documents = recipe.get("sequences") == "documents"
    if lengths == ["tokens"] and (documents or kind != "language-model"):
        return "tokens goes with packed sequences of a language model only; take steps or epochs"
    if documents and kind != "language-model":
        return "sequences: documents goes with language models only"
    return None


def _cross_check(config: dict[str, Any]) -> None:
    for name, corpus in config["corpora"].items():
        _check_corpus(name, corpus)
    _check_clusterings(config)
    for name, sampler in config["samplers"].items():
        if problem := check_sampler(sampler):
            raise ConfigError(("samplers", name, *problem[0].split(".")), problem[1])
        if sampler["start"]:
            known_definition(config, "samplers", sampler["start"], ("samplers", name, "start"))
    _check_models(config)
    for name, scorer in config["scorers"].items():
        check_scorer(config, name, scorer)
    for index, name in enumerate(config["proposals"]["scorers"]):
        scorer = known_definition(config, "scorers", name, ("proposals", "scorers", index))
        if kind_of(scorer).reads != "texts":
            raise ConfigError(
                ("proposals", "scorers", index),
                f"{name!r} is of kind {scorer['kind']}; expected: a kind that reads texts, such as proxy-loss",
            )
    for name, benchmark in config["benchmarks"].items():
        _check_completion(benchmark, ("benchmarks", name))
    for name, suite in config["suites"].items():
        for index, benchmark in enumerate(suite):
            known_definition(config, "benchmarks", benchmark, ("suites", name, index))
    for name in config["tables"]:
        if name in ("paper", "reading-tables") or name.endswith(
            (".claims", ".costs", ".power", ".pareto", ".provenance", ".losses", ".curves")
        ):
            raise ConfigError(("tables", name), "the name collides with files of other tables; take another")
    names: set[str] = set()
    for index, experiment in enumerate(config["experiments"]):
        if experiment["name"] in names:
            raise ConfigError(
                ("experiments", index, "name"),
                f"{experiment['name']!r} is listed twice; names of experiments must differ",
            )
        names.add(experiment["name"])
        _check_experiment(config, experiment, ("experiments", index))
    for index, name in enumerate(config["targets"]):
        known_definition(config, "tables", name, ("targets", index))
    check_profile(config)


def _check_completion(benchmark: dict[str, Any], path: tuple[str, ...]) -> None:
    """Settings of completions are of benchmarks of completions, and so are the metrics."""
    if benchmark.get("heldout") != "completion":
        if "completion" in benchmark:
            raise ConfigError((*path, "completion"), "goes with heldout: completion only; leave it out")
        return
    if "completion" not in benchmark:
        raise ConfigError(path, "heldout: completion requires the key completion; {} takes its defaults")
    for index, metric in enumerate(benchmark.get("metrics", [])):
        where: tuple[str | int, ...] = (*path, "metrics", index)
        if metric not in COMPLETION_METRICS:
            raise ConfigError(where, f"{metric!r} is not one of {', '.join(COMPLETION_METRICS)}")
        if metric.startswith("sampled") and not benchmark["completion"]["samples"]:
            raise ConfigError(where, f"{metric!r} requires completion.samples above 0")


def _check_tables(config: dict[str, Any]) -> None:
    for name in config["targets"]:
        check_table(config, name)


def _check_clusterings(config: dict[str, Any]) -> None:
    for name, clustering in config["clusterings"].items():
        if name == NO_CLUSTERS:
            raise ConfigError(
                ("clusterings", name), "the name is that of samplers without clusters; take another"
            )
        known_definition(config, "encoders", clustering["encoder"], ("clusterings", name, "encoder"))
        _check_reduction(config, name, clustering)
        for key, method in (("k", "kmeans"), ("hdbscan", "hdbscan")):
            if (key in clustering) != (clustering["method"] == method):
                what = (
                    f"goes with method {method} only" if key in clustering else f"method {method} requires it"
                )
                raise ConfigError(("clusterings", name, key) if key in clustering else ("clusterings", name),
                                  f"key {key!r}: {what}")  # fmt: skip


def _check_reduction(config: dict[str, Any], name: str, clustering: dict[str, Any]) -> None:
    if clustering["reduce"] is None:
        return
    path = ("clusterings", name, "reduce")
    dimensions = known_definition(config, "reductions", clustering["reduce"], path)["dimensions"]
    whole = config["encoders"][clustering["encoder"]]["dimension"]
    if dimensions >= whole:
        raise ConfigError(
            path,
            f"{clustering['reduce']!r} has {dimensions:,} dimensions, encoder {clustering['encoder']!r} {whole:,}; a "
            "reduction requires fewer",
        )


def _check_models(config: dict[str, Any]) -> None:
    for name, model in config["models"].items():
        if model["kind"] == "pretrained":
            continue
        if model["kind"] == "probe":
            known_definition(config, "encoders", model["encoder"], ("models", name, "encoder"))
            continue
        recipe = known_definition(config, "recipes", model["recipe"], ("models", name, "recipe"))
        if wrong := check_recipe(recipe, model["kind"]):
            raise ConfigError(("recipes", model["recipe"]), wrong)
        if model["kind"] == "language-model":
            known_definition(config, "tokenizers", model["tokenizer"], ("models", name, "tokenizer"))
            if model["width"] % (8 * model["heads"]):
                raise ConfigError(
                    ("models", name, "width"),
                    f"{model['width']} is not right; expected: a multiple of {8 * model['heads']} (8 x heads: "
                    "a quarter of each head is rotated, in pairs)",
                )
        else:
            known_definition(config, "encoders", model["encoder"], ("models", name, "encoder"))


def _check_corpus(name: str, corpus: dict[str, Any]) -> None:
    path = ("corpora", name)
    if name in RESERVED:
        raise ConfigError(path, f"the name is reserved; take another than {', '.join(RESERVED)}")
    for index, column in enumerate(corpus["meta"]):
        if column in OWN_COLUMNS:
            raise ConfigError(
                (*path, "meta", index), f"{column!r} is a column of Winnow's own; rename it in the source"
            )
        if column.startswith(MEASURE):
            raise ConfigError(
                (*path, "meta", index),
                f"{column!r} would be read as a measure of the profile; keep the struct {MEASURE[:-1]!r} whole",
            )
        whole = next((name for name in corpus["meta"] if column.startswith(f"{name}.")), None)
        if whole is not None:
            raise ConfigError(
                (*path, "meta", index),
                f"{column!r} is a field of {whole!r}, which is kept whole; keep one of them",
            )
    if corpus["label"] == corpus["text"]:
        raise ConfigError(
            (*path, "label"), f"{corpus['label']!r} is the text; name the column of the classes"
        )
    if corpus["group"] is not None and corpus["group"] not in corpus["meta"]:
        raise ConfigError(
            (*path, "group"),
            f"{corpus['group']!r} is not among meta: {', '.join(corpus['meta']) or 'none'}; add it to meta",
        )
    source = corpus["source"]
    if source.get("generator") == "python-packages":
        for key in ("documents", "seed"):
            if key in source:
                raise ConfigError(
                    (*path, "source", key), "python-packages is a fixed corpus; leave the key out"
                )
    documents, heldout = source.get("documents"), corpus["heldout"]["documents"]
    if documents and heldout >= documents:
        raise ConfigError(
            (*path, "heldout", "documents"),
            f"{heldout:,} of {documents:,} documents leaves no pool; hold out fewer",
        )


def _check_experiment(
    config: dict[str, Any], experiment: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    corpus = known_definition(config, "corpora", experiment["corpus"], (*path, "corpus"))
    budget = known_definition(config, "budgets", experiment["budget"], (*path, "budget"))
    model = known_definition(config, "models", experiment["model"], (*path, "model"))
    if model["kind"] == "pretrained":
        raise ConfigError(
            (*path, "model"),
            f"{experiment['model']!r} is pretrained and not trained here; name it in a table's key pretrained",
        )
    counts = ("budgets", experiment["budget"], "tokenizer")
    if budget["unit"] == "tokens":
        if budget["tokenizer"] is None:
            raise ConfigError(counts[:2], "unit: tokens requires the key tokenizer: the one that counts them")
        known_definition(config, "tokenizers", budget["tokenizer"], counts)
    elif budget["tokenizer"] is not None:
        raise ConfigError(counts, "is for unit: tokens; leave it out, or set the unit")
    pool = None
    if documents := corpus["source"].get("documents"):
        pool = documents - corpus["heldout"]["documents"]
    if experiment["clustering"] is not None:
        clustering = known_definition(config, "clusterings", experiment["clustering"], (*path, "clustering"))
        if pool and clustering.get("k", 1) > pool:
            raise ConfigError(
                (*path, "clustering"),
                f"{experiment['clustering']!r} has {clustering['k']:,} clusters, the pool of "
                f"{experiment['corpus']} at most {pool:,} documents",
            )
    for index, name in enumerate(experiment["samplers"]):
        where = (*path, "samplers", index)
        known_definition(config, "samplers", name, where)
        check_scores(config, name, experiment["corpus"])
        if needs_clustering(config, name) and not experiment["clustering"]:
            raise ConfigError(
                where, f"{name!r} draws from clusters, and the experiment has none; set its key clustering"
            )
    labelled = model["kind"] in ("classifier", "probe")
    if labelled and not corpus["label"]:
        raise ConfigError(
            (*path, "model"),
            f"{experiment['model']!r} is a {model['kind']}, and corpora.{experiment['corpus']} has no label column; "
            "set its key label, or take a language model",
        )
    _check_rounds(config, experiment, path)
    asked = whole_budget(budget)
    if pool is not None and budget["unit"] == "documents" and asked > pool:
        raise ConfigError(
            (*path, "budget"),
            f"{experiment['budget']!r} asks for {asked:,} documents, the pool of {experiment['corpus']} "
            f"has at most {pool:,}",
        )
    for index, suite in enumerate(experiment["suites"]):
        where = (*path, "suites", index)
        for name in known_definition(config, "suites", suite, where):
            benchmark = config["benchmarks"][name]
            labels = benchmark.get("heldout") == "labels" or "labelled" in benchmark
            if labels != labelled:
                fit = "a classifier or a probe" if labels else "a language model"
                raise ConfigError(
                    where,
                    f"benchmark {name!r} of suite {suite!r} requires {fit}; {experiment['model']!r} is a "
                    f"{model['kind']}",
                )
            if "heldout" in benchmark and not corpus["heldout"]["documents"]:
                raise ConfigError(
                    where,
                    f"benchmark {name!r} is made of held-out documents; set "
                    f"corpora.{experiment['corpus']}.heldout.documents above 0",
                )


def _check_rounds(config: dict[str, Any], experiment: dict[str, Any], path: tuple[str | int, ...]) -> None:
    """Rounds are of a model of labels, and samplers that ask a model are of an experiment with rounds."""
    budget, model = config["budgets"][experiment["budget"]], config["models"][experiment["model"]]
    rounds = has_rounds(config, experiment)
    if rounds:
        if model["kind"] not in ("classifier", "probe"):
            raise ConfigError(
                (*path, "model"),
                f"rounds of labelling require a classifier or a probe, not a {model['kind']}",
            )
        if budget["unit"] != "documents":
            raise ConfigError(("budgets", experiment["budget"], "rounds"), "goes with unit: documents only")
        if experiment["training_seeds"]:
            raise ConfigError(
                (*path, "training_seeds"), "rounds train once a draw, with its data seed; leave the key out"
            )
        looked_at, added = budget["rounds"]["pool"], budget["rounds"]["add"]
        if looked_at is not None and looked_at < added:
            raise ConfigError(
                ("budgets", experiment["budget"], "rounds", "pool"),
                f"a round looks at {looked_at:,} documents and adds {added:,}; look at more, or leave the key out",
            )
        for index in range(budget["rounds"]["count"] + 1):
            name = round_budget(experiment["budget"], index)
            if name in config["budgets"]:
                raise ConfigError(("budgets", name), "the name is that of a round; take another")
    for index, name in enumerate(experiment["samplers"]):
        sampler = config["samplers"][name]
        if not needs(sampler).predictions:
            continue
        if not rounds:
            raise ConfigError(
                (*path, "samplers", index),
                f"{name!r} asks the model of the round before; take a budget with the key rounds",
            )
        if needs(sampler).scorers:
            raise ConfigError(("samplers", name), "asks a model and a scorer; take the filter semdedup out")
        start = config["samplers"][sampler["start"]]
        if needs(start).predictions or needs(start).scorers:
            raise ConfigError(
                ("samplers", name, "start"), f"{sampler['start']!r} waits for a model; take one that does not"
            )
        if asking(name, experiment["model"]) in config["samplers"]:
            raise ConfigError(
                ("samplers", asking(name, experiment["model"])),
                "the name is that of a sampler with a model; take another",
            )
