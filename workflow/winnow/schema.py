"""The schema of the configuration: errors in one line, defaults, and the settings of a stage checked against it.

In: a merged configuration, or the JSON of `--spec`. Out: the same with its defaults, or a ConfigError (InputError).
Imported by the Snakefile at parse time: nothing heavy here.
"""

from __future__ import annotations

import copy
import difflib
import functools
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from winnow.stage import InputError, canonical

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"


@functools.cache
def schema() -> dict[str, Any]:
    """The schema as its file has it. Read only: the dict is shared."""
    return yaml.load(SCHEMA.read_text(encoding="utf-8"), Loader=LOADER)


class ConfigError(InputError):
    """A wrong value at `path` (keys and list positions from the top) of a configuration, or a wrong `key` in it."""

    def __init__(self, path: Iterable[str | int], why: str, key: str | None = None):
        self.path, self.why = tuple(path), why
        self.place = self.path if key is None else (*self.path, key)
        super().__init__(f"{dotted(self.path) or 'top level'}: {why}")


def dotted(path: Iterable[str | int], config: Any = None) -> str:
    """`experiments[name].data_seeds[1]`: a list's position, or the name of what is there."""
    out = ""
    for key in path:
        config = config[key] if has(config, key) else None
        if isinstance(key, int):
            name = config.get("name") if isinstance(config, dict) else None
            out += f"[{name if isinstance(name, str) else key}]"
        else:
            out += f".{key}" if out else str(key)
    return out


def has(node: Any, key: Any) -> bool:
    """Whether a mapping has a key, or a list a position."""
    return (isinstance(node, dict) and key in node) or (
        isinstance(node, list) and isinstance(key, int) and key < len(node)
    )


def is_commit(revision: str) -> bool:
    """Whether a revision of a Hub repository is a commit, and no branch or tag."""
    return re.fullmatch("[0-9a-f]{40}", revision) is not None


def check_definition(name: str, value: Any, where: str) -> None:
    """Checks `value` against `$defs/name` of the schema, if there is such a definition.

    Raises InputError with one line: where, the key, the value, and what would be right.
    """
    if name not in schema()["$defs"]:
        return
    try:
        _check({"$ref": f"#/$defs/{name}", "$defs": schema()["$defs"]}, value)
    except ConfigError as error:
        inner = dotted(error.path, value)
        raise InputError(f"{where}{'.' if inner and where else ''}{inner}: {error.why}") from None


def _check(part: dict[str, Any], value: Any) -> None:
    import jsonschema

    errors = list(jsonschema.Draft202012Validator(part).iter_errors(value))
    if errors:
        raise _explain(min(errors, key=lambda e: (len(e.path), str(list(e.path)))))


def check_plain(value: Any, path: tuple[str | int, ...] = ()) -> None:
    """Raises ConfigError for values that YAML can hold and JSON cannot: keys that are no text, dates, sets, infinities."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ConfigError(
                    path, f"key {_shown(key)} is {_kind(key)}; names are text: put it in quotes"
                )
            check_plain(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            check_plain(inner, (*path, index))
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
    """A value for a message, in one short line."""
    if isinstance(value, dict | list):
        return f"{_kind(value)} of {len(value)}" if value else f"an empty {_kind(value)[2:]}"
    if isinstance(value, str):
        text = canonical(value)
        return text if len(text) <= 80 else f"{text[:77]}..."
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def expected(part: dict[str, Any]) -> str:
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
        f"{limit} {bound:,}" if isinstance(bound, int) else f"{limit} {bound}"
        for limit, bound in (("from", low), ("above", above), ("to", high), ("below", below))
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
            if "enum" in inner:
                named = f"values: {', '.join(f'`{v}`' for v in inner['enum'])}"
            out.append(f"a list of {count}{different}{named}")
        elif kind == "string" and "pattern" in part:
            out.append(f"text: {PATTERNS[part['pattern']]}")
        elif kind in ("integer", "number"):
            out.append(" ".join([words[kind], *limits]))
        else:
            out.append(words[kind])
    return " or ".join(out)


PATTERNS = {
    "^[a-z0-9]+([.-][a-z0-9]+)*$": "lower-case letters and digits, single hyphens and dots between them",
    "^(?![0-9a-f]{7,39}$)[A-Za-z0-9_][A-Za-z0-9._/+-]*$": "the full commit of the Hub repository, 40 hex digits, or a branch or tag that `winnow pin` has looked up (no short hash)",
    "^[0-9a-f]{40}$": "a full commit, 40 hex digits",
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}$": "a date such as '2026-01-31', in quotes",
    "^[0-9a-f]{64}$": "a sha256, 64 hex digits",
    "^[^/ ]+/[^/ ]+$": "owner/name",
}


def _explain(error: Any) -> ConfigError:
    """One line for a jsonschema error; of alternatives, for the branch that fits the keys best."""
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
            value = expected(error.schema.get("properties", {}).get(missing, {}))
            return ConfigError(path, f"missing key {missing!r}{f'; expected: {value}' if value else ''}")
        case "dependentRequired":
            has, needs = next(
                (key, other)
                for key, others in error.schema["dependentRequired"].items()
                for other in others
                if key in value and other not in value
            )
            return ConfigError(path, f"missing key {needs!r}, which goes with {has!r}")
        case "enum" | "const":
            right = error.schema.get("enum") or [error.schema["const"]]
            near = difflib.get_close_matches(str(value), list(map(str, right)), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return ConfigError(path, f"{shown} is not one of {', '.join(map(str, right))}{hint}")
        case "uniqueItems":
            again = next(v for i, v in enumerate(value) if v in value[:i])
            return ConfigError(path, f"{_shown(again)} is listed twice; expected: {expected(error.schema)}")
        case "minItems" | "minProperties" | "minLength":
            return ConfigError(
                path,
                f"{'empty text' if value == '' else shown} is too short; expected: {expected(error.schema)}"
                + (", not empty" if value == "" else ""),
            )
        case "type" if isinstance(value, str) and "number" in error.schema["type"] and _reads_as_float(value):
            return ConfigError(path, f"{shown} is text to YAML; write {_yaml_float(value)}")
    if "propertyNames" in error.absolute_schema_path:
        return ConfigError([*path, value], f"not a name; expected: {PATTERNS[error.schema['pattern']]}")
    return ConfigError(path, f"{shown} is not right; expected: {expected(error.schema)}")


def _branch(error: Any) -> Any:
    """Of a value that fits none of its alternatives: the error of the branch that fits its keys best."""
    given, path = error.instance, error.absolute_path
    branches = [deref(branch) for branch in error.schema["oneOf"]]
    required = [branch.get("required", []) for branch in branches]
    consts = [
        {k: p["const"] for k, p in branch.get("properties", {}).items() if "const" in p}
        for branch in branches
    ]
    if not any(need[0] in given for need in required):
        keys = " or ".join(" with ".join(need) for need in required)
        return ConfigError(path, f"expected: {keys}; got {', '.join(sorted(given)) or 'no key'}")
    if consts[0]:
        key = next(iter(consts[0]))
        kinds = sorted(c[key] for c in consts)
        if given.get(key) not in kinds:
            return ConfigError([*path, key], f"{_shown(given.get(key))} is not one of {', '.join(kinds)}")
    errors: dict[int, list[Any]] = {}
    for sub in error.context:
        errors.setdefault(sub.schema_path[0], []).append(sub)

    def misfit(index: int) -> tuple[bool, bool, int]:
        other_kind = any(given.get(k) != v for k, v in consts[index].items())
        return other_kind, required[index][0] not in given, len(errors[index])

    return min(errors[min(errors, key=misfit)], key=lambda e: -len(e.path))


def deref(part: dict[str, Any]) -> dict[str, Any]:
    """The definition that a part of the schema refers to, or the part itself."""
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


def _fill(part: dict[str, Any], value: Any) -> Any:
    """Fills in the schema's defaults, in place, and returns `value`."""
    if "$ref" in part:
        _fill(deref(part), value)
    if isinstance(value, dict):
        for branch in map(deref, part.get("oneOf", [])):
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


def fill(config: dict[str, Any]) -> dict[str, Any]:
    """Checks a configuration against the schema, fills in its defaults, in place, and returns it. Raises ConfigError."""
    check_plain(config)
    _check(schema(), config)
    return _fill(schema(), config)


def read_spec(text: str, *names: str) -> dict[str, Any]:
    """Settings of a stage from the JSON text of `--spec`.

    `names` are the keys it must have, no more and no fewer; a name that is defined under `$defs` of the config schema is
    checked against it, so that a stage takes what a config takes.

    Raises InputError naming the key.
    """
    try:
        spec = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"--spec: not JSON ({error.msg} at character {error.pos})") from None
    if not isinstance(spec, dict):
        raise InputError(f"--spec: must be a JSON object, got {type(spec).__name__}")
    for name in sorted(set(spec) - set(names)):
        raise InputError(f"--spec: unknown key {name!r}; known: {', '.join(sorted(names))}")
    for name in sorted(set(names) - set(spec)):
        raise InputError(f"--spec: missing key {name!r}")
    for name, value in spec.items():
        check_definition(name, value, where=f"--spec {name}")
    return spec
