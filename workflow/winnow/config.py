"""The configuration: schema, defaults, cross-checks, and the experiments it asks for.

Imported by the Snakefile at parse time: nothing heavy here.
"""

from __future__ import annotations

import ast
import copy
import functools
from pathlib import Path
from typing import Any

import yaml

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

        def misfit(subs: list[Any]) -> tuple[int, int]:
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
