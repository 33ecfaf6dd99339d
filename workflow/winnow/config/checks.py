"""The configuration: schema, defaults, cross-checks, and the experiments it asks for.

Imported by the Snakefile at parse time: nothing heavy here.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from winnow.config.files import compose, place, plain
from winnow.config.pins import read_lock, resolve_names
from winnow.experiments import (
    NO_CLUSTERS,
    all_experiments,
    arms,
    filters_differ,
    needs,
    needs_clustering,
    proxies_of,
    table_arms,
    uses_clusters,
)
from winnow.formats import file_format
from winnow.paths import existing_path, expand, results_folder
from winnow.schema import ConfigError, dotted, fill
from winnow.stage import InputError, canonical, say

DEFINITIONS = {
    "corpora": "corpus",
    "encoders": "encoder",
    "clusterings": "clustering",
    "scorers": "scorer",
    "samplers": "sampler",
    "budgets": "budget",
    "models": "model",
    "recipes": "recipe",
    "tokenizers": "tokenizer",
    "benchmarks": "benchmark",
    "suites": "suite",
    "tables": "table",
}
# Folders and files that a run keeps beside those of its corpora.
RESERVED = ("benchmarks", "downloads", "logs", "report.html", "tables", "timings")
# Columns of documents, clusterings and draws that are Winnow's own, and stand beside the meta columns in a subset.
OWN_COLUMNS = ("doc", "text", "bytes", "digest", "label", "cluster", "distance", "split", "probability")


def resolve(
    config: dict[str, Any],
    files: Iterable[str | Path] = (),
    tables: bool = True,
    look: Callable[[dict[str, Any]], None] | None = None,
    lock: str | Path | None = None,
    local: bool = True,
) -> dict[str, Any]:
    """A checked copy of the merged configuration with every default filled in.

    `files` are the config files it was merged from, later ones over earlier ones. `tables`: whether tables of the run
    must be right (they are asked for); else what is wrong with them is said and passed over. `look`: a
    further check of a configuration that passed these (winnow.commands.preflight.look_at_sources). `lock`: the file that
    holds the commits of Hub revisions by name (winnow.config.pins), which take the names' place; a name that it lacks stays.
    `local`: whether the local files that the run reads must be there.
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
        config["results"] = _results(config["results"])
        try:
            _check_tables(config)
        except ConfigError as error:
            if tables:
                raise
            say(f"warning: {placed(error)}; its table cannot be made")
        if local:
            _check_files(config)
        if look:
            look(config)
    except ConfigError as error:
        raise InputError(placed(error)) from None
    return config


def _results(folder: str) -> str:
    try:
        return results_folder(folder)
    except InputError as error:
        raise ConfigError(("results",), str(error)) from None


def _check_files(config: dict[str, Any]) -> None:
    """Local files that the run reads must be there before any job starts."""
    known = {f"{corpus}.{clustering}" for corpus in config["corpora"] for clustering in config["clusterings"]}
    used = {f"{e['corpus']}.{e['clustering']}" for e in config["experiments"]}
    for path in sorted(Path("config/exclusions").glob("*.tsv")):
        near = difflib.get_close_matches(path.stem, used, 1, 0.8)
        if path.stem not in known and near and not path.with_name(f"{near[0]}.tsv").exists():
            say(
                f"warning: {path} is of no clustering of this run, which reads none; did you mean {near[0]}.tsv?"
            )
    needed = needs(config)  # of the run: what the paper needs may lie on another machine
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
        _check_paths(labelled.get("files", []), ("benchmarks", name, "labelled", "files"))
    for key, weights in needed.weights.items():
        _check_weights(weights, key)


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
                f"{folder}: {what}; wanted: a folder in Hugging Face layout, seen from {os.getcwd()}",
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


def _known(config: dict[str, Any], section: str, name: str, path: Iterable[str | int]) -> dict[str, Any]:
    if name not in config[section]:
        known = sorted(config[section])
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            path, f"unknown {DEFINITIONS[section]} {name!r}; {hint}known: {', '.join(known) or 'none'}"
        )
    return config[section][name]


def check_sampler(sampler: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a schema cannot state of a sampler: the key that is wrong and why, or None."""
    allocation, ranking = sampler["allocation"], sampler.get("ranking", {})
    weight, rounding = allocation["weight"], sampler.get("rounding", "webster")
    published = allocation.get("form", "sound") == "published"
    if weight == "density" and "omega" not in allocation:
        return "allocation", "missing key 'omega': weight density wants it, from 0 (size alone) to 1"
    if weight == "weighted" and not any(allocation.get("terms", {}).values()):
        return "allocation.terms", "weight weighted wants a positive weight of size, dispersion, diversity"
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
        return "rounding", f"{rounding} wants clusters; weight none has one pool"
    if ranking.get("order", "ascending") != "ascending" and ranking.get("by") != "score":
        return "ranking.order", f"{ranking['order']} goes with 'by: score' only"
    if weight == "none" and ranking.get("by") in ("nearest", "farthest"):
        return "ranking.by", f"{ranking['by']} wants the distances of a clustering; weight is none"
    by, scored = ranking.get("by", "random"), ("score", "weighted", "lsh")
    if by in scored and "scorer" not in ranking:
        return "ranking", f"missing key 'scorer': 'by: {by}' wants the name of a scorer"
    if "scorer" in ranking and by not in scored:
        return "ranking.scorer", f"goes with 'by: score', weighted and lsh only, not with {by}"
    if by == "lsh" and not any(ranking.get("shares", {}).values()):
        return "ranking.shares", "'by: lsh' wants a positive share of proportional, random, diverse"
    if "shares" in ranking and by != "lsh":
        return "ranking.shares", f"goes with 'by: lsh' only, not with {by}"
    if weight == "none" and by == "lsh":
        return "ranking.by", "lsh wants the buckets of clusters; weight is none"
    if ranking.get("purpose", "draw") != "draw" and by != "random":
        return "ranking.purpose", f"{ranking['purpose']} goes with 'by: random' only, not with {by}"
    return None


def check_recipe(recipe: Mapping[str, Any], kind: str) -> str | None:
    """What a schema cannot state of a recipe for a model of `kind`: why it is wrong, or None."""
    lengths = [key for key in ("steps", "tokens", "epochs") if recipe.get(key) is not None]
    if len(lengths) != 1:
        return f"wanted: one of steps, tokens and epochs; got {' and '.join(lengths) or 'none'}"
    documents = recipe.get("sequences") == "documents"
    if lengths == ["tokens"] and (documents or kind != "language-model"):
        return "tokens goes with packed sequences of a language model only; take steps or epochs"
    if documents and kind != "language-model":
        return "sequences: documents goes with language models only"
    return None


def _check_scorer(config: dict[str, Any], name: str, scorer: dict[str, Any]) -> None:
    path = ("scorers", name)
    for key, proxy in proxies_of(scorer).items():
        if "hub" in proxy:
            if key == "classifier":
                raise ConfigError((*path, key), "a classifier is trained here: model and budget are wanted")
            continue
        model = _known(config, "models", proxy["model"], (*path, key, "model"))
        wanted = "classifier" if key == "classifier" else "language-model"
        if model["kind"] != wanted:
            raise ConfigError(
                (*path, key, "model"), f"{proxy['model']!r} is a {model['kind']}, not a {wanted}"
            )
        _known(config, "budgets", proxy["budget"], (*path, key, "budget"))
        if uses_clusters(_known(config, "samplers", proxy["sampler"], (*path, key, "sampler"))):
            raise ConfigError(
                (*path, key, "sampler"), f"{proxy['sampler']!r} draws from clusters; take one without"
            )
        if proxy["corpus"] is not None:
            _known(config, "corpora", proxy["corpus"], (*path, key, "corpus"))
    if scorer.get("target", {}).get("corpus") is not None:
        _known(config, "corpora", scorer["target"]["corpus"], (*path, "target", "corpus"))


SCORER_KINDS = {
    "score": ("proxy-loss", "likelihood-difference", "dsir", "entropy"),
    "weighted": ("proxy-loss", "likelihood-difference", "dsir", "entropy"),
    "lsh": ("lsh",),
}


def _check_scores(config: dict[str, Any], name: str, corpus: str) -> None:
    """The scorers of a sampler must be there, of the right kind, and fit the corpus."""
    sampler, path = config["samplers"][name], ("samplers", name)
    ranking, filters = sampler["ranking"], sampler["filters"]
    wanted: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = []
    if sampler["allocation"]["weight"] == "loss":
        wanted.append((("allocation", "loss"), sampler["allocation"]["loss"], ("proxy-loss",)))
    if "scorer" in ranking:
        wanted.append((("ranking", "scorer"), ranking["scorer"], SCORER_KINDS[ranking["by"]]))
    if "semdedup" in filters:
        wanted.append((("filters", "semdedup", "scorer"), filters["semdedup"]["scorer"], ("semdedup",)))
    where = [("filters.where", filters["where"]["column"])] if "where" in filters else []
    for key, scorer_name, kinds in wanted:
        scorer = _known(config, "scorers", scorer_name, (*path, *key))
        if scorer["kind"] not in kinds:
            raise ConfigError(
                (*path, *key), f"{scorer_name!r} is of kind {scorer['kind']}; wanted: {', '.join(kinds)}"
            )
        target = scorer.get("target", {})
        if "where" in target and target.get("corpus") in (None, corpus):
            where.append((f"scorers.{scorer_name}", target["where"]["column"]))
        for proxy in proxies_of(scorer).values():
            if "hub" not in proxy and proxy["corpus"] in (None, corpus):
                own = config["samplers"][proxy["sampler"]]["filters"]
                if "where" in own:
                    where.append((f"samplers.{proxy['sampler']}", own["where"]["column"]))
        if scorer["kind"] == "entropy" and not config["corpora"][corpus]["label"]:
            raise ConfigError(
                (*path, *key), f"{scorer_name!r} wants labels, but corpora.{corpus}.label is not set"
            )
    for owner, column in where:
        if column not in config["corpora"][corpus]["meta"]:
            raise ConfigError(
                path, f"{owner} goes by column {column!r}, which is not among corpora.{corpus}.meta"
            )
    if "contaminated" in filters:
        _known(config, "suites", filters["contaminated"], (*path, "filters", "contaminated"))
    for index, earlier in enumerate(filters.get("used", [])):
        _known(config, "samplers", earlier["sampler"], (*path, "filters", "used", index, "sampler"))
        _known(config, "budgets", earlier["budget"], (*path, "filters", "used", index, "budget"))
    _check_circles(config, name)


def _check_circles(config: dict[str, Any], name: str, way: tuple[str, ...] = ()) -> None:
    """No sampler may wait, by documents it leaves out or by the proxies of its scorers, for its own draw."""
    if name in way:
        circle = " -> ".join([*way[way.index(name) :], name])
        raise ConfigError(("samplers", name), f"waits for its own draw: {circle}")
    sampler = config["samplers"][name]
    ranking, filters = sampler["ranking"], sampler["filters"]
    scorers = [ranking["scorer"]] if "scorer" in ranking else []
    if sampler["allocation"]["weight"] == "loss":
        scorers.append(sampler["allocation"]["loss"])
    before = [earlier["sampler"] for earlier in filters.get("used", [])]
    for scorer in scorers:
        before += [
            p["sampler"] for p in proxies_of(config["scorers"].get(scorer, {})).values() if "hub" not in p
        ]
    for earlier in before:
        if earlier in config["samplers"]:
            _check_circles(config, earlier, (*way, name))


def _cross_check(config: dict[str, Any]) -> None:
    for name, corpus in config["corpora"].items():
        _check_corpus(name, corpus)
    for name, clustering in config["clusterings"].items():
        if name == NO_CLUSTERS:
            raise ConfigError(
                ("clusterings", name), "the name stands for samplers without clusters; take another"
            )
        _known(config, "encoders", clustering["encoder"], ("clusterings", name, "encoder"))
        for key, method in (("k", "kmeans"), ("hdbscan", "hdbscan")):
            if (key in clustering) != (clustering["method"] == method):
                what = f"goes with method {method} only" if key in clustering else f"method {method} wants it"
                raise ConfigError(("clusterings", name, key) if key in clustering else ("clusterings", name),
                                  f"key {key!r}: {what}")  # fmt: skip
    for name, sampler in config["samplers"].items():
        if problem := check_sampler(sampler):
            raise ConfigError(("samplers", name, *problem[0].split(".")), problem[1])
    for name, model in config["models"].items():
        if model["kind"] == "pretrained":
            continue
        recipe = _known(config, "recipes", model["recipe"], ("models", name, "recipe"))
        if wrong := check_recipe(recipe, model["kind"]):
            raise ConfigError(("recipes", model["recipe"]), wrong)
        if model["kind"] == "language-model":
            _known(config, "tokenizers", model["tokenizer"], ("models", name, "tokenizer"))
            if model["width"] % (8 * model["heads"]):
                raise ConfigError(
                    ("models", name, "width"),
                    f"{model['width']} is not right; wanted: a multiple of {8 * model['heads']} (8 x heads: "
                    "a quarter of each head is rotated, in pairs)",
                )
        else:
            _known(config, "encoders", model["encoder"], ("models", name, "encoder"))
    for name, scorer in config["scorers"].items():
        _check_scorer(config, name, scorer)
    for name, suite in config["suites"].items():
        for index, benchmark in enumerate(suite):
            _known(config, "benchmarks", benchmark, ("suites", name, index))
    for name in config["tables"]:
        if name in ("paper", "reading-tables") or name.endswith(
            (".claims", ".costs", ".power", ".front", ".losses")
        ):
            raise ConfigError(("tables", name), "the name collides with files of other tables; take another")
    known: set[str] = set()
    for index, experiment in enumerate(config["experiments"]):
        _check_name(experiment["name"], known, ("experiments", index))
        _check_experiment(config, experiment, ("experiments", index))
    for index, name in enumerate(config["targets"]):
        _known(config, "tables", name, ("targets", index))


def _check_tables(config: dict[str, Any]) -> None:
    for name in config["targets"]:
        _check_table(config, config["tables"][name], ("tables", name))


def _check_name(name: str, known: set[str], path: tuple[str | int, ...]) -> None:
    if name in known:
        raise ConfigError((*path, "name"), f"{name!r} stands twice; names of experiments must differ")
    known.add(name)


def check_paper(config: dict[str, Any]) -> None:
    """Checks the paper of a resolved configuration, as a run's experiments and targets are: only who asks for its tables
    must get it right. Raises InputError."""
    known: set[str] = set()
    try:
        for index, experiment in enumerate(config["paper"]["experiments"]):
            _check_name(experiment["name"], known, ("paper", "experiments", index))
            _check_experiment(config, experiment, ("paper", "experiments", index))
        for index, name in enumerate(config["paper"]["tables"]):
            _check_table(config, _known(config, "tables", name, ("paper", "tables", index)), ("tables", name))
    except ConfigError as error:
        raise InputError(f"{dotted(error.path, config)}: {error.why}") from None


def _check_corpus(name: str, corpus: dict[str, Any]) -> None:
    path = ("corpora", name)
    if name in RESERVED:
        raise ConfigError(path, f"the name is reserved; take another than {', '.join(RESERVED)}")
    for index, column in enumerate(corpus["meta"]):
        if column in OWN_COLUMNS:
            raise ConfigError(
                (*path, "meta", index), f"{column!r} is a column of Winnow's own; rename it in the source"
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
    corpus = _known(config, "corpora", experiment["corpus"], (*path, "corpus"))
    budget = _known(config, "budgets", experiment["budget"], (*path, "budget"))
    model = _known(config, "models", experiment["model"], (*path, "model"))
    if model["kind"] == "pretrained":
        raise ConfigError(
            (*path, "model"),
            f"{experiment['model']!r} is pretrained and not trained here; name it in a table's key pretrained",
        )
    counts = ("budgets", experiment["budget"], "tokenizer")
    if budget["unit"] == "tokens":
        if budget["tokenizer"] is None:
            raise ConfigError(counts[:2], "unit: tokens wants the key tokenizer: the one that counts them")
        _known(config, "tokenizers", budget["tokenizer"], counts)
    elif budget["tokenizer"] is not None:
        raise ConfigError(counts, "is for unit: tokens; leave it out, or set the unit")
    pool = None
    if documents := corpus["source"].get("documents"):
        pool = documents - corpus["heldout"]["documents"]
    if experiment["clustering"] is not None:
        clustering = _known(config, "clusterings", experiment["clustering"], (*path, "clustering"))
        if pool and clustering.get("k", 1) > pool:
            raise ConfigError(
                (*path, "clustering"),
                f"{experiment['clustering']!r} has {clustering['k']:,} clusters, the pool of "
                f"{experiment['corpus']} at most {pool:,} documents",
            )
    for index, name in enumerate(experiment["samplers"]):
        where = (*path, "samplers", index)
        _known(config, "samplers", name, where)
        _check_scores(config, name, experiment["corpus"])
        if needs_clustering(config, name) and not experiment["clustering"]:
            raise ConfigError(
                where, f"{name!r} draws from clusters, and the experiment has none; set its key clustering"
            )
    if model["kind"] == "classifier" and not corpus["label"]:
        raise ConfigError(
            (*path, "model"),
            f"{experiment['model']!r} is a classifier, and corpora.{experiment['corpus']} has no label column; "
            "set its key label, or take a language model",
        )
    asked = budget["train"] + budget["validation"] + budget["test"]
    if pool is not None and budget["unit"] == "documents" and asked > pool:
        raise ConfigError(
            (*path, "budget"),
            f"{experiment['budget']!r} asks for {asked:,} documents, the pool of {experiment['corpus']} "
            f"has at most {pool:,}",
        )
    for index, suite in enumerate(experiment["suites"]):
        where = (*path, "suites", index)
        for name in _known(config, "suites", suite, where):
            benchmark = config["benchmarks"][name]
            labels = benchmark.get("heldout") == "labels" or "labelled" in benchmark
            if labels != (model["kind"] == "classifier"):
                fit = "a classifier" if labels else "a language model"
                raise ConfigError(
                    where,
                    f"benchmark {name!r} of suite {suite!r} wants {fit}; {experiment['model']!r} is a "
                    f"{model['kind']}",
                )
            if "heldout" in benchmark and not corpus["heldout"]["documents"]:
                raise ConfigError(
                    where,
                    f"benchmark {name!r} is made of held-out documents; set "
                    f"corpora.{experiment['corpus']}.heldout.documents above 0",
                )


def _check_table(config: dict[str, Any], table: dict[str, Any], path: tuple[str | int, ...]) -> None:
    experiments = {e["name"]: e for e in all_experiments(config)}
    for index, name in enumerate(table["experiments"]):
        if name not in experiments:
            raise ConfigError(
                (*path, "experiments", index),
                f"unknown experiment {name!r}; this run lists: {', '.join(e['name'] for e in config['experiments'])}",
            )
    every = {arm: i for n in table["experiments"] for arm, i in arms(config, experiments[n]).items()}
    for index, wanted in enumerate(table.get("arms", [])):
        if not any(wanted in (arm, arm.split("/")[1]) for arm in every):
            raise ConfigError((*path, "arms", index), f"{wanted!r} is not among the arms {', '.join(every)}")
    ids = {arm: i for arm, i, _ in table_arms(config, table)}
    rows = [*ids, *table["pretrained"]]
    found = [row for row in rows if table["baseline"] in (row, row.rpartition("/")[2])]
    if len(found) != 1:
        what = "is not among" if not found else "is ambiguous among"
        raise ConfigError(
            (*path, "baseline"), f"{table['baseline']!r} {what} the arms {', '.join(found or rows)}"
        )
    if len(rows) < 2:
        raise ConfigError(
            (*path, "experiments"), f"one arm ({found[0]}) leaves nothing to compare; add another"
        )
    for key in ("corpus", "suites"):
        if (key in table) == bool(table["experiments"]):
            what = "is its experiments'; leave it out" if key in table else "is wanted where there are none"
            raise ConfigError((*path, "experiments"), f"key {key!r} {what}")
    if not table["experiments"]:
        _known(config, "corpora", table["corpus"], (*path, "corpus"))
        for index, name in enumerate(table["suites"]):
            _known(config, "suites", name, (*path, "suites", index))
    for variant, arm in table.get("published", {}).get("arms", {}).items():
        if arm not in rows:
            raise ConfigError(
                (*path, "published", "arms", variant), f"{arm!r} is not among the arms {', '.join(rows)}"
            )
    for index, name in enumerate(table["pretrained"]):
        if _known(config, "models", name, (*path, "pretrained", index))["kind"] != "pretrained":
            raise ConfigError((*path, "pretrained", index), f"{name!r} is trained here, not pretrained")
        if any(config["models"][i["model"]]["kind"] == "classifier" for i in ids.values()):
            raise ConfigError(
                (*path, "pretrained", index), "a table of classifiers takes no pretrained language model"
            )
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
            if filters_differ(config, same, arm):
                cure = (
                    "no cluster is excluded yet, so there is nothing to keep: write an exclusions file first (snakemake "
                    "clusters), or leave one out"
                )
            raise ConfigError((*path, "experiments"), f"arms {same} and {arm} have the same models; {cure}")
