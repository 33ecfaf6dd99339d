"""The reference of keys in config/README.md, written from the schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from winnow.schema import deref, expected, schema
from winnow.stage import canonical, write_text

MARK = "<!-- From here on: written by `winnow readme --out config/README.md` from the schema. -->"


def key_lines(part: dict[str, Any], prefix: str = "", required: bool = False) -> list[str]:
    """Table rows `| key | takes | default | meaning |` of a part of the schema and of all that it holds."""
    inner = {**deref(part), **{k: v for k, v in part.items() if k != "$ref"}}
    rows = []
    if prefix:
        default = (
            "required" if required else "" if "default" not in inner else f"`{canonical(inner['default'])}`"
        )
        if inner.get("default") == {}:
            default = "as below"
        takes = "one of the forms below" if "oneOf" in inner else expected(inner)
        meaning = inner.get("description", "")
        rows.append(
            "| " + " | ".join(t.replace("|", "\\|") for t in (f"`{prefix}`", takes, default, meaning)) + " |"
        )
    dot = f"{prefix}." if prefix else ""
    for branch in map(deref, inner.get("oneOf", [])):
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
        out.append(f"| `{key}` | {expected(part)} | {part.get('description', '')} |")
    for key, part in top["properties"].items():
        item = part if "$ref" in part else part.get("additionalProperties") or part.get("items")
        if not item or "$ref" not in item:
            continue
        definition = deref(item)
        path = key if item is part else f"{key}.NAME" if part["type"] == "object" else f"{key}, each"
        out += ["", f"### `{path}`", ""]
        if text := definition.get("description"):
            out += [f"{text}.", ""]
        rows = key_lines(definition)
        out += [*head, *rows] if rows else [f"Takes {expected(definition)}."]
    return "\n".join(out) + "\n"


def readme(*, out: Path) -> None:
    """Write the key reference below the introduction of config/README.md, which stays.

    Args:
        out: The page; what is above the marking line is kept.
    """
    text = out.read_text(encoding="utf-8") if out.exists() else ""
    write_text(out, text.split(MARK)[0].rstrip("\n") + "\n\n" + key_reference())
