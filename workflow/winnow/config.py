"""The configuration: schema, defaults, cross-checks, and the experiments it asks for.

Imported by the Snakefile at parse time: nothing heavy here.
"""

from __future__ import annotations

import ast
import copy
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from winnow.paths import expand
from winnow.stage import InputError, canonical

SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"


@functools.cache
def schema() -> dict[str, Any]:
    return yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))


def check_definition(name: str, value: Any, where: str) -> None:
    """Checks `value` against `$defs/name` of the schema, if there is such a definition.

    Raises InputError with one line: where, the key, the value, and what would be right.
    """
    if name not in schema()["$defs"]:
        return
    _check({"$ref": f"#/$defs/{name}", "$defs": schema()["$defs"]}, value, where)


def _check(part: dict[str, Any], value: Any, where: str) -> None:
    import jsonschema

    errors = list(jsonschema.Draft202012Validator(part).iter_errors(value))
    if errors:
        raise InputError(_explain(min(errors, key=lambda e: (len(e.path), str(list(e.path)))), where))


def _explain(error: Any, where: str) -> str:
    """One line for a jsonschema error; of alternatives, the branch that fits the keys best speaks."""
    while error.context and error.validator in ("oneOf", "anyOf"):
        branches: dict[Any, list[Any]] = {}
        for sub in error.context:
            branches.setdefault(sub.schema_path[0], []).append(sub)

        def misfit(subs: Any) -> tuple[int, int]:
            wrong = sum(s.validator in ("required", "const") or s.validator == "type" for s in subs)
            return wrong, len(subs)

        error = min(min(branches.values(), key=misfit), key=lambda e: -len(e.path))
    path = ".".join(str(p) for p in error.absolute_path)
    at = f"{where}{'.' if path and where else ''}{path}"
    value = canonical(error.instance) if not isinstance(error.instance, dict | list) else None
    match error.validator:
        case "additionalProperties":
            known = sorted(error.schema.get("properties", {}))
            extra = sorted(set(error.instance) - set(known))[0]
            return f"{at}: unknown key {extra!r}; known: {', '.join(known)}"
        case "required":
            missing = next(k for k in error.schema["required"] if k not in error.instance)
            return f"{at}: missing key {missing!r}"
        case "enum" | "const":
            right = error.schema.get("enum") or [error.schema["const"]]
            return f"{at}: {value} is not one of {', '.join(map(str, right))}"
        case "pattern":
            hint = error.schema.get("description") or f"text matching {error.schema['pattern']}"
            return f"{at}: {value} is not right; wanted: {hint}"
        case _:
            return f"{at}: {error.message}"


DEFINITIONS = {
    "corpora": "corpus",
    "encoders": "encoder",
    "clusterings": "clustering",
    "samplers": "sampler",
    "budgets": "budget",
    "models": "model",
    "recipes": "recipe",
    "tokenizers": "tokenizer",
    "benchmarks": "benchmark",
    "suites": "suite",
    "tables": "table",
}
RESERVED = ("tables", "benchmarks", "logs", "timings")
NO_CLUSTERS = "none"


def stage_version(stage: str) -> int:
    """STAGE_VERSION of a stage module, read without importing it."""
    tree = ast.parse((Path(__file__).parent / f"{stage}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "STAGE_VERSION":
            return ast.literal_eval(node.value)
    raise KeyError(f"{stage}.py has no STAGE_VERSION")


def _fill(part: dict[str, Any], value: Any) -> Any:
    """Fills in the schema's defaults, in place, and returns `value`."""
    if "$ref" in part:
        _fill(schema()["$defs"][part["$ref"].rsplit("/", 1)[1]], value)
    if isinstance(value, dict):
        for branch in part.get("oneOf", []):
            inner = branch
            if "$ref" in branch:
                inner = schema()["$defs"][branch["$ref"].rsplit("/", 1)[1]]
            constants = {k: p["const"] for k, p in inner.get("properties", {}).items() if "const" in p}
            if set(inner.get("required", [])) <= set(value) and constants.items() <= value.items():
                _fill(inner, value)
                break
        for key, sub in part.get("properties", {}).items():
            if key not in value and "default" in sub:
                value[key] = copy.deepcopy(sub["default"])
            if key in value:
                _fill(sub, value[key])
        if isinstance(part.get("additionalProperties"), dict):
            for item in value.values():
                _fill(part["additionalProperties"], item)
    elif isinstance(value, list) and "items" in part:
        for item in value:
            _fill(part["items"], item)
    return value


def resolve(config: dict[str, Any], files: Iterable[str | Path] = ()) -> dict[str, Any]:
    """A checked copy of the merged configuration with every default filled in.

    `files` are the config files it was merged from, later ones over earlier ones.
    Raises InputError: one line naming the file, the key, the value, and what would be right.
    """
    config = copy.deepcopy(config)
    try:
        _check(schema(), config, "")
        _fill(schema(), config)
        _cross_check(config)
        _check_files(config)
    except InputError as error:
        raise InputError(f"{_file_of(str(error), files)}{error}") from None
    return config


def _file_of(message: str, files: Iterable[str | Path]) -> str:
    """`file: ` of the config file that holds most of the key a message begins with, the last one of equals."""
    key = message.split(":")[0].split(" ")[0].split(".")
    best, depth = "", 0
    for file in files:
        node, found = yaml.safe_load(Path(file).read_text(encoding="utf-8")), 0
        for part in key:
            if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
            elif isinstance(node, dict) and part in node:
                node = node[part]
            else:
                break
            found += 1
        if found and found >= depth:
            best, depth = f"{file}: ", found
    return best


def _check_files(config: dict[str, Any]) -> None:
    """Local files that the run reads must be there before any job starts."""
    for experiment in config["experiments"]:
        source = config["corpora"][experiment["corpus"]]["source"]
        if "files" in source and "hub" not in source:
            expand_files(source["files"], f"corpora.{experiment['corpus']}.source.files")
        for suite in experiment["suites"]:
            for name in config["suites"][suite]:
                data = config["benchmarks"][name].get("data", {})
                if "hub" not in data:
                    expand_files(data.get("files", {}).values(), f"benchmarks.{name}.data.files")


def expand_files(patterns: Iterable[str], where: str) -> list[str]:
    """Paths that `patterns` name (winnow.paths.expand); the error names the key `where`."""
    try:
        return expand(patterns)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _known(config: dict[str, Any], section: str, name: str | None, where: str) -> dict[str, Any]:
    if name not in config[section]:
        raise InputError(
            f"{where}: unknown {DEFINITIONS[section]} {name!r}; known: {', '.join(sorted(config[section])) or 'none'}"
        )
    return config[section][name]


def _cross_check(config: dict[str, Any]) -> None:
    for name in config["corpora"]:
        if name in RESERVED:
            raise InputError(f"corpora.{name}: the name is reserved; take another than {', '.join(RESERVED)}")
    for name, corpus in config["corpora"].items():
        if corpus["group"] is not None and corpus["group"] not in corpus["meta"]:
            raise InputError(f"corpora.{name}.group: {corpus['group']!r} is not in meta {corpus['meta']}")
    for name, clustering in config["clusterings"].items():
        if name == NO_CLUSTERS:
            raise InputError(
                f"clusterings.{name}: the name stands for samplers without clusters; take another"
            )
        _known(config, "encoders", clustering["encoder"], f"clusterings.{name}.encoder")
    for name, model in config["models"].items():
        _known(config, "recipes", model["recipe"], f"models.{name}.recipe")
        if model["kind"] == "language-model":
            _known(config, "tokenizers", model["tokenizer"], f"models.{name}.tokenizer")
            if model["width"] % model["heads"]:
                raise InputError(
                    f"models.{name}.width: {model['width']} is not a multiple of heads {model['heads']}"
                )
        else:
            _known(config, "encoders", model["encoder"], f"models.{name}.encoder")
    for name, suite in config["suites"].items():
        for benchmark in suite:
            _known(config, "benchmarks", benchmark, f"suites.{name}")
    seen: set[str] = set()
    for index, experiment in enumerate(config["experiments"]):
        where = f"experiments.{index} ({experiment['name']})"
        if experiment["name"] in seen:
            raise InputError(f"{where}.name: {experiment['name']!r} stands twice; names must differ")
        seen.add(experiment["name"])
        _check_experiment(config, experiment, where)
    for name in config["targets"]:
        _check_table(config, _known(config, "tables", name, "targets"), f"tables.{name}")


def _check_experiment(config: dict[str, Any], experiment: dict[str, Any], where: str) -> None:
    corpus = _known(config, "corpora", experiment["corpus"], f"{where}.corpus")
    _known(config, "budgets", experiment["budget"], f"{where}.budget")
    model = _known(config, "models", experiment["model"], f"{where}.model")
    if experiment["clustering"] is not None:
        _known(config, "clusterings", experiment["clustering"], f"{where}.clustering")
    for sampler in experiment["samplers"]:
        if (
            uses_clusters(_known(config, "samplers", sampler, f"{where}.samplers"))
            and not experiment["clustering"]
        ):
            raise InputError(
                f"{where}.clustering: sampler {sampler!r} draws from clusters; name a clustering"
            )
    if model["kind"] == "classifier" and not corpus["label"]:
        raise InputError(
            f"{where}.model: {experiment['model']!r} is a classifier, but corpora.{experiment['corpus']}.label is not set"
        )
    budget = config["budgets"][experiment["budget"]]
    documents = corpus["source"].get("documents")
    if documents and budget["unit"] == "documents":
        pool = documents - corpus["heldout"]["documents"]
        asked = budget["train"] + budget["validation"] + budget["test"]
        if asked > pool:
            raise InputError(
                f"{where}.budget: {experiment['budget']!r} asks {asked:,} documents, the pool of {experiment['corpus']} has at most {pool:,}"
            )
    for suite in experiment["suites"]:
        for name in _known(config, "suites", suite, f"{where}.suites"):
            benchmark = config["benchmarks"][name]
            labels = benchmark.get("heldout") == "labels" or "labelled" in benchmark
            if labels != (model["kind"] == "classifier"):
                raise InputError(
                    f"{where}.suites: benchmark {name!r} of suite {suite!r} does not fit model {experiment['model']!r} ({model['kind']})"
                )
            if "heldout" in benchmark and not corpus["heldout"]["documents"]:
                raise InputError(
                    f"{where}.suites: benchmark {name!r} is made of held-out documents, but corpora.{experiment['corpus']}.heldout.documents is 0"
                )


def _check_table(config: dict[str, Any], table: dict[str, Any], where: str) -> None:
    experiments = {e["name"]: e for e in config["experiments"]}
    for name in table["experiments"]:
        if name not in experiments:
            raise InputError(
                f"{where}.experiments: unknown experiment {name!r}; this run lists: {', '.join(sorted(experiments))}"
            )
    arms = [f"{n}/{s}" for n in table["experiments"] for s in experiments[n]["samplers"]]
    found = [arm for arm in arms if table["baseline"] in (arm, arm.split("/")[1])]
    if len(found) != 1:
        what = "is not among" if not found else "is ambiguous among"
        raise InputError(
            f"{where}.baseline: {table['baseline']!r} {what} the arms {', '.join(found or arms)}"
        )


def uses_clusters(sampler: dict[str, Any]) -> bool:
    return sampler["allocation"]["weight"] != "none"


def arms(config: dict[str, Any], experiment: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Ids that make up each arm of an experiment, by `experiment/sampler`."""
    return {
        f"{experiment['name']}/{sampler}": {
            "corpus": experiment["corpus"],
            "clustering": experiment["clustering"]
            if uses_clusters(config["samplers"][sampler])
            else NO_CLUSTERS,
            "sampler": sampler,
            "budget": experiment["budget"],
            "model": experiment["model"],
        }
        for sampler in experiment["samplers"]
    }
