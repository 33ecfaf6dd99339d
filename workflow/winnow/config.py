"""The configuration: schema, defaults, cross-checks, and the experiments it asks for.

Imported by the Snakefile at parse time: nothing heavy here.
"""

from __future__ import annotations

import ast
import copy
import difflib
import functools
import importlib.util
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from winnow.formats import file_format
from winnow.paths import existing_path, expand, results_folder
from winnow.stage import InputError, canonical, run, say, write_text

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"


@functools.cache
def schema() -> dict[str, Any]:
    return yaml.load(SCHEMA.read_text(encoding="utf-8"), Loader=_LOADER)


class ConfigError(InputError):
    """A wrong value at `path` (keys and list positions from the top) of a configuration, or a wrong `key` in it."""

    def __init__(self, path: Iterable[str | int], why: str, key: str | None = None):
        self.path, self.why = tuple(path), why
        self.place = self.path if key is None else (*self.path, key)
        super().__init__(f"{_dotted(self.path) or 'top level'}: {why}")


def _dotted(path: Iterable[str | int], config: Any = None) -> str:
    """`experiments[name].data_seeds[1]`: a list's position, or the name of what stands there."""
    out = ""
    for key in path:
        config = config[key] if _has(config, key) else None
        if isinstance(key, int):
            name = config.get("name") if isinstance(config, dict) else None
            out += f"[{name if isinstance(name, str) else key}]"
        else:
            out += f".{key}" if out else str(key)
    return out


def _has(node: Any, key: Any) -> bool:
    return (isinstance(node, dict) and key in node) or (
        isinstance(node, list) and isinstance(key, int) and key < len(node)
    )


def check_definition(name: str, value: Any, where: str) -> None:
    """Checks `value` against `$defs/name` of the schema, if there is such a definition.

    Raises InputError with one line: where, the key, the value, and what would be right.
    """
    if name not in schema()["$defs"]:
        return
    try:
        _check({"$ref": f"#/$defs/{name}", "$defs": schema()["$defs"]}, value)
    except ConfigError as error:
        inner = _dotted(error.path, value)
        raise InputError(f"{where}{'.' if inner and where else ''}{inner}: {error.why}") from None


def _check(part: dict[str, Any], value: Any) -> None:
    import jsonschema

    errors = list(jsonschema.Draft202012Validator(part).iter_errors(value))
    if errors:
        raise _explain(min(errors, key=lambda e: (len(e.path), str(list(e.path)))))


def _check_plain(value: Any, path: tuple[str | int, ...] = ()) -> None:
    """Values that YAML can hold and JSON cannot: keys that are no text, dates, sets, infinities."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ConfigError(
                    path, f"key {_shown(key)} is {_kind(key)}; names are text: put it in quotes"
                )
            _check_plain(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_plain(inner, (*path, index))
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(path, f"{value} is not a finite number")
    elif not isinstance(value, str | int | float | None):
        raise ConfigError(path, f"{value} is {_kind(value)}; put it in quotes if text is meant")


def _kind(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        dict: "a mapping",
        list: "a list",
    }
    if value is None:
        return "empty"
    return names.get(type(value), f"a {type(value).__name__}")


def _shown(value: Any) -> str:
    """A value for a message, in one line of bearable length."""
    if isinstance(value, dict | list):
        return f"{_kind(value)} of {len(value)}" if value else f"an empty {_kind(value)[2:]}"
    if isinstance(value, str):
        text = canonical(value)
        return text if len(text) <= 80 else f"{text[:77]}..."
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def wanted(part: dict[str, Any]) -> str:
    """What a part of the schema takes, in words: for messages and for config/README.md."""
    if "$ref" in part:
        part = {
            **schema()["$defs"][part["$ref"].rsplit("/", 1)[1]],
            **{k: v for k, v in part.items() if k != "$ref"},
        }
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return " or ".join(f"`{v}`" for v in part["enum"])
    kinds = [part["type"]] if isinstance(part.get("type"), str) else part.get("type", [])
    low, high = part.get("minimum"), part.get("maximum")
    above, below = part.get("exclusiveMinimum"), part.get("exclusiveMaximum")
    limits = [
        f"{word} {bound:,}" if isinstance(bound, int) else f"{word} {bound}"
        for word, bound in (("from", low), ("above", above), ("to", high), ("below", below))
        if bound is not None
    ]
    words = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "string": "text",
        "null": "null",
        "object": "a mapping",
    }
    out = []
    for kind in kinds or (["object"] if "oneOf" in part else []):
        if kind == "array":
            inner = {**part["items"]}
            inner = schema()["$defs"][inner["$ref"].rsplit("/", 1)[1]] if "$ref" in inner else inner
            of = {"string": "texts", "integer": "whole numbers", "number": "numbers", "object": "mappings"}
            less, most = part.get("minItems"), part.get("maxItems")
            count = f"{less} " if less and less == most else "at least one of " if less else ""
            different = "different " if part.get("uniqueItems") else ""
            inner_kinds = inner.get("type", "object")
            inner_kinds = [inner_kinds] if isinstance(inner_kinds, str) else inner_kinds
            named = " or ".join(of.get(k, k) for k in inner_kinds)
            out.append(f"a list of {count}{different}{named}")
        elif kind == "string" and "pattern" in part:
            out.append(f"text: {_PATTERNS[part['pattern']]}")
        elif kind in ("integer", "number"):
            out.append(" ".join([words[kind], *limits]))
        else:
            out.append(words[kind])
    return " or ".join(out)


_PATTERNS = {
    "^[a-z0-9]+([.-][a-z0-9]+)*$": "lower-case letters and digits, single hyphens and dots between them",
    "^[0-9a-f]{40}$": "the full commit of the Hub repository, 40 hex digits (no branch, tag or short hash)",
    "^[0-9a-f]{64}$": "a sha256, 64 hex digits",
    "^[^/ ]+/[^/ ]+$": "owner/name",
}


def _explain(error: Any) -> ConfigError:
    """One line for a jsonschema error; of alternatives, the branch that fits the keys best speaks."""
    while error.context and error.validator == "oneOf" and isinstance(error.instance, dict):
        chosen = _branch(error)
        if isinstance(chosen, ConfigError):
            return chosen
        error = chosen
    path, value = list(error.absolute_path), error.instance
    shown = _shown(value)
    match error.validator:
        case "additionalProperties":
            known = sorted(error.schema.get("properties", {}))
            extra = sorted(set(value) - set(known))[0]
            near = difflib.get_close_matches(extra, known, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            why = f"unknown key {extra!r}; {hint}known: {', '.join(known)}"
            return ConfigError(path, why, extra)
        case "required":
            missing = next(k for k in error.schema["required"] if k not in value)
            want = wanted(error.schema.get("properties", {}).get(missing, {}))
            return ConfigError(path, f"missing key {missing!r}{f'; wanted: {want}' if want else ''}")
        case "enum" | "const":
            right = error.schema.get("enum") or [error.schema["const"]]
            near = difflib.get_close_matches(str(value), list(map(str, right)), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return ConfigError(path, f"{shown} is not one of {', '.join(map(str, right))}{hint}")
        case "uniqueItems":
            again = next(v for i, v in enumerate(value) if v in value[:i])
            return ConfigError(path, f"{_shown(again)} stands twice; wanted: {wanted(error.schema)}")
        case "minItems" | "minProperties" | "minLength":
            return ConfigError(
                path,
                f"{'empty text' if value == '' else shown} is too little; wanted: {wanted(error.schema)}"
                + (", not empty" if value == "" else ""),
            )
        case "type" if isinstance(value, str) and "number" in error.schema["type"] and _reads_as_float(value):
            return ConfigError(path, f"{shown} is text to YAML; write {_yaml_float(value)}")
    if "propertyNames" in error.absolute_schema_path:
        return ConfigError([*path, value], f"not a name; wanted: {_PATTERNS[error.schema['pattern']]}")
    return ConfigError(path, f"{shown} is not right; wanted: {wanted(error.schema)}")


def _branch(error: Any) -> Any:
    """Of a value that fits none of its alternatives: the error of the branch that fits its keys best."""
    given, path = error.instance, error.absolute_path
    branches = [_deref(branch) for branch in error.schema["oneOf"]]
    required = [branch.get("required", []) for branch in branches]
    consts = [
        {k: p["const"] for k, p in branch.get("properties", {}).items() if "const" in p}
        for branch in branches
    ]
    if not any(need[0] in given for need in required):
        keys = " or ".join(" with ".join(need) for need in required)
        return ConfigError(path, f"wanted: {keys}; got {', '.join(sorted(given)) or 'no key'}")
    if consts[0]:
        key = next(iter(consts[0]))
        kinds = sorted(c[key] for c in consts)
        if given.get(key) not in kinds:
            return ConfigError([*path, key], f"{_shown(given.get(key))} is not one of {', '.join(kinds)}")
    errors: dict[int, list[Any]] = {}
    for sub in error.context:
        errors.setdefault(sub.schema_path[0], []).append(sub)

    def misfit(index: int) -> tuple[bool, bool, int]:
        foreign = any(given.get(k) != v for k, v in consts[index].items())
        return foreign, required[index][0] not in given, len(errors[index])

    return min(errors[min(errors, key=misfit)], key=lambda e: -len(e.path))


def _deref(part: dict[str, Any]) -> dict[str, Any]:
    return schema()["$defs"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part


def _reads_as_float(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _yaml_float(text: str) -> str:
    """1e-3 as YAML 1.1 reads it as a number: 1.0e-3."""
    mantissa, _, exponent = text.lower().strip().partition("e")
    if not exponent:
        return text.strip()
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent if exponent[0] in '+-' else '+' + exponent}"


# The files of config/ in the order in which they are merged, later ones over earlier ones.
FILES = (
    "corpora",
    "encoders",
    "clusterings",
    "scorers",
    "samplers",
    "budgets",
    "models",
    "benchmarks",
    "tables",
    "minipile",
    "config",
)
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
NO_CLUSTERS = "none"
FEWEST_SEEDS = 3  # data seeds an arm for a verdict on samplers, as in winnow.statistics


@functools.cache
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
        _fill(_deref(part), value)
    if isinstance(value, dict):
        for branch in map(_deref, part.get("oneOf", [])):
            properties = branch.get("properties", {})
            constants = {k: p["const"] for k, p in properties.items() if "const" in p}
            if (
                set(branch.get("required", [])) <= set(value) <= set(properties)
                and constants.items() <= value.items()
            ):
                _fill(branch, value)
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


def definition_files(root: str | Path) -> list[str]:
    """The files of `config/` in the order in which they are merged: the working directory's own where it has them,
    else those of the workflow's folder `root`."""
    names = [f"config/{name}.yaml" for name in FILES]
    return [name if os.path.exists(name) else str(Path(root) / name) for name in names]


def read_files(files: Iterable[str | Path]) -> dict[str, Any]:
    """The config files merged, later ones over earlier ones. Raises InputError as `resolve` does."""
    merged: dict[str, Any] = {}
    for file in files:
        _compose(Path(file))
        merge(merged, yaml.load(Path(file).read_text(encoding="utf-8"), Loader=_LOADER) or {})
    return merged


def fill(config: dict[str, Any]) -> dict[str, Any]:
    """Checks a configuration against the schema, fills in its defaults, in place, and returns it. Raises ConfigError."""
    _check_plain(config)
    _check(schema(), config)
    return _fill(schema(), config)


def resolve(
    config: dict[str, Any], files: Iterable[str | Path] = (), tables: bool = True, look: bool = False
) -> dict[str, Any]:
    """A checked copy of the merged configuration with every default filled in.

    `files` are the config files it was merged from, later ones over earlier ones. `tables`: whether tables of the run
    must be right (they are asked for); else what is wrong with them is said and passed over. `look`: whether the first
    rows of local sources are read, too.
    Raises InputError: one line naming the file and line, the key, the value, and what would be right.
    """
    config = _plain(config)
    trees = [(file, _compose(Path(file))) for file in files]

    def placed(error: ConfigError) -> str:
        where = _dotted(error.path, config) or "top level"
        return f"{_place(trees, error.place)}{where}: {error.why}"

    try:
        fill(config)
        _cross_check(config)
        config["results"] = _results(config["results"])
        try:
            _check_tables(config)
        except ConfigError as error:
            if tables:
                raise
            say(f"warning: {placed(error)}; its table cannot be made")
        _check_files(config)
        if look:
            from winnow.preflight import look_at_sources

            look_at_sources(config)
    except ConfigError as error:
        raise InputError(placed(error)) from None
    return config


def _plain(value: Any) -> Any:
    """A deep copy with plain dicts and lists."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _compose(file: Path) -> yaml.Node | None:
    """A config file's YAML nodes.

    Raises InputError with the line for a file that is missing, is no YAML, or repeats a key in a mapping
    (of which YAML would silently keep the last).
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8; save it as UTF-8 text") from None
    except IsADirectoryError:
        raise InputError(f"{file}: a folder; name a file in it") from None
    try:
        tree = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        row = "".join(text.splitlines()[mark.line : mark.line + 1]) if mark else ""
        if "\t" in row[: len(row) - len(row.lstrip())]:
            raise InputError(f"{file}{line}: a tab; YAML is indented with blanks only") from None
        raise InputError(f"{file}{line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if tree is not None and not isinstance(tree, yaml.MappingNode):
        raise InputError(
            f"{file}:1: not a mapping; wanted: keys such as experiments and targets at the top level"
        )
    _no_repeats(file, tree)
    return tree


def _no_repeats(file: Path, node: yaml.Node | None, path: tuple[str | int, ...] = ()) -> None:
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                line, inner = key.start_mark.line + 1, (*path, key.value)
                if key.value in lines and key.value != "<<":
                    raise InputError(
                        f"{file}:{line}: {_dotted(inner)}: the key stands on line {lines[key.value]} already; keep one"
                    )
                lines[key.value] = line
                _no_repeats(file, value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _no_repeats(file, value, (*path, index))


def _place(trees: list[tuple[str | Path, yaml.Node | None]], path: tuple[str | int, ...]) -> str:
    """`file:line: ` of what holds most of `path`, in the last file of equals; the command line if none does."""
    best, depth = "", 0
    for file, tree in trees:
        node, line, found = tree, 1, 0
        for key in path:
            if isinstance(node, yaml.MappingNode):
                pair = next(((k, v) for k, v in node.value if k.value == key), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line + 1
            else:
                break
            found += 1
        if found and found >= depth:
            shown = os.path.relpath(file)
            best, depth = f"{file if shown.startswith('..') else shown}:{line}: ", found
    return best or ("--config: " if trees and path else "")


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
    from winnow.preflight import needs

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
    for place, weights in needed.weights.items():
        _check_weights(weights, place)


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
        say(f"warning: {_dotted((*path, 'package'))}: {source['package']!r} is not installed here")


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


PROXIES = ("proxy", "in_domain", "general", "classifier")


def proxies_of(scorer: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The proxies of a scorer by their key, in the order in which its stage takes their models."""
    return {key: scorer[key] for key in PROXIES if key in scorer}


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
        raise InputError(f"{_dotted(error.path, config)}: {error.why}") from None


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


MARK = "<!-- From here on: written by `python -m winnow.config readme --out config/README.md` from the schema. -->"


def key_lines(part: dict[str, Any], prefix: str = "", required: bool = False) -> list[str]:
    """Table rows `| key | takes | default | meaning |` of a part of the schema and of all that it holds."""
    inner = {**_deref(part), **{k: v for k, v in part.items() if k != "$ref"}}
    rows = []
    if prefix:
        default = (
            "required" if required else "" if "default" not in inner else f"`{canonical(inner['default'])}`"
        )
        if inner.get("default") == {}:
            default = "as below"
        takes = "one of the forms below" if "oneOf" in inner else wanted(inner)
        meaning = inner.get("description", "")
        rows.append(
            "| " + " | ".join(t.replace("|", "\\|") for t in (f"`{prefix}`", takes, default, meaning)) + " |"
        )
    dot = f"{prefix}." if prefix else ""
    for branch in map(_deref, inner.get("oneOf", [])):
        first = branch["required"][0]
        constant = branch["properties"][first].get("const")
        form = f"`{first}: {constant}`" if constant else f"`{first}`"
        rows.append(f"| {f'`{prefix}` ' if prefix else ''}with {form}: | | | |")
        for key, sub in branch["properties"].items():
            if "const" not in sub:
                rows += key_lines(sub, dot + key, key in branch["required"])
    for key, sub in inner.get("properties", {}).items():
        rows += key_lines(sub, dot + key, key in inner.get("required", []))
    return rows


def key_reference() -> str:
    """Every key of the schema in a line, by section: Markdown."""
    top = schema()
    head = ["| key | takes | default | meaning |", "| --- | --- | --- | --- |"]
    out = [
        MARK,
        "",
        "## Keys",
        "",
        "The sections of a configuration:",
        "",
        "| key | takes | meaning |",
        "| --- | --- | --- |",
    ]
    for key, part in top["properties"].items():
        out.append(f"| `{key}` | {wanted(part)} | {part.get('description', '')} |")
    for key, part in top["properties"].items():
        item = part if "$ref" in part else part.get("additionalProperties") or part.get("items")
        if not item or "$ref" not in item:
            continue
        definition = _deref(item)
        path = key if item is part else f"{key}.NAME" if part["type"] == "object" else f"{key}, each"
        out += ["", f"### `{path}`", ""]
        if text := definition.get("description"):
            out += [f"{text}.", ""]
        rows = key_lines(definition)
        out += [*head, *rows] if rows else [f"Takes {wanted(definition)}."]
    return "\n".join(out) + "\n"


def readme(*, out: Path) -> None:
    """Write the key reference below the introduction of config/README.md, which stays.

    Args:
        out: The page; what stands above the marking line is kept.
    """
    text = out.read_text(encoding="utf-8") if out.exists() else ""
    write_text(out, text.split(MARK)[0].rstrip("\n") + "\n\n" + key_reference())


def check(files: list[Path], /) -> None:
    """Check run configs without Snakemake, and the first rows of their local sources: each is merged over the files
    of config/.

    Args:
        files: Run configs, later ones over earlier ones.
    """
    paths: list[str | Path] = [*definition_files(Path(__file__).parents[2]), *files]
    config = resolve(read_files(paths), paths, look=True)
    check_paper(config)
    models = {
        canonical([ids, d, t])
        for e in config["experiments"]
        for ids in arms(config, e).values()
        for d, t in runs_of(e)
    }
    for name in config["targets"]:
        if note := few_seeds(config, name):
            print(f"note: table {name}: {note}")
    amounts = {
        "experiment": len(config["experiments"]),
        "model": len(models),
        "table": len(config["targets"]),
    }
    print(", ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in amounts.items()) + ": all right")


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


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Merges as Snakemake does: mappings key by key, everything else is replaced."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


if __name__ == "__main__":
    from winnow import config as _config  # of which other modules raise the errors
    from winnow.listing import list_

    run(_config.check, _config.readme, list_)
