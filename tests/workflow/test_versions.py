"""A rule carries the stage version of every module whose code makes its result: a bump leaves nothing stale.

What a command runs is read from the source: from the function of the command, by the names it uses, through the package.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT
from winnow.profile import kinds as families
from winnow.score import kinds

PACKAGE = ROOT / "workflow" / "winnow"
# They choose the device and gather rows in batches; what is computed is not theirs.
NEUTRAL = {("batching", name) for name in ("padded", "batches", "of_batches", "distinct")}
Name = tuple[str, str]


def module_file(module: str) -> Path:
    return PACKAGE / f"{module.replace('.', '/')}.py"


def imported(nodes: list[ast.stmt] | list[ast.AST]) -> dict[str, Name]:
    """What `from winnow... import` binds: (module, name); ("", module) for a whole module."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "winnow":
            module = ".".join(node.module.split(".")[1:])
            for alias in node.names:
                whole = f"{module}.{alias.name}".strip(".")
                is_module = module_file(whole).exists()
                found[alias.asname or alias.name] = ("", whole) if is_module else (module, alias.name)
    return found


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(module_file(module).read_text(encoding="utf-8"))


def versioned(module: str) -> bool:
    targets = [t for node in parsed(module).body if isinstance(node, ast.Assign) for t in node.targets]
    return any(getattr(target, "id", "") == "STAGE_VERSION" for target in targets)


@cache
def definitions(module: str) -> dict[str, ast.stmt]:
    return {n.name: n for n in parsed(module).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def uses(module: str, node: ast.stmt) -> set[Name]:
    """Functions and classes of the package that a function or class names."""
    inside = list(ast.walk(node))
    own = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    own |= {n.arg for n in inside if isinstance(n, ast.arg)}
    bound = imported(parsed(module).body) | imported(inside)
    found: set[Name] = set()
    for n in inside:
        if isinstance(n, ast.Name) and n.id not in own:
            if n.id in definitions(module):
                found.add((module, n.id))
            elif bound.get(n.id, ("", ""))[0]:
                found.add(bound[n.id])
        elif isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name):
            whole, name = bound.get(n.value.id, ("-", ""))
            if not whole:
                found.add((name, n.attr))
    return {(m, name) for m, name in found if module_file(m).exists()}


def reached(module: str, function: str) -> set[Name]:
    """Functions and classes that a function may run, itself included."""
    found: set[Name] = set()
    left = [(module, function)]
    while left:
        place = left.pop()
        node = definitions(place[0]).get(place[1])
        if node is not None and place not in found | NEUTRAL:
            found.add(place)
            left += uses(place[0], node)
    return found


def default_command(module: str) -> str:
    calls = [
        n for n in ast.walk(parsed(module)) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "run"
    ]
    return calls[-1].args[0].id  # type: ignore[attr-defined]


def rules() -> dict[str, str]:
    text = "".join(path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
    parts = re.split(r"^rule (\w+):\n", text, flags=re.MULTILINE)
    bodies = (re.split(r"^(?=\S)", body, maxsplit=1, flags=re.MULTILINE)[0] for body in parts[2::2])
    return dict(zip(parts[1::2], bodies, strict=True))


@pytest.mark.parametrize("rule", rules())
def test_a_rule_carries_the_versions_of_all_code_that_makes_its_result(rule: str) -> None:
    body = rules()[rule]
    carried = {s for call in re.findall(r"version\(([^)]*)\)", body) for s in re.findall(r'"([\w.]+)"', call)}
    command = re.search(r"python -m winnow\.([\w.]+)(?: ([a-z_]+))?", body)
    assert command
    module, name = command.group(1), command.group(2)
    if name is None or name.replace("-", "_") not in definitions(module):
        name = default_command(module)
    needed = {m for m, _ in reached(module, name) if versioned(m)}
    assert carried == needed, (
        f"{rule}: params.version carries {sorted(carried)}, its code is of {sorted(needed)}"
    )


@pytest.mark.parametrize("kind", kinds.names())
def test_a_kind_of_scorer_names_the_versions_of_all_code_that_makes_its_scores(kind: str) -> None:
    module, *others = kinds.stages_of({"kind": kind})
    reads = kinds.facts(kind).reads
    function = {"texts": "open_scorer", "vectors": "score_vectors", "clustering": "score"}[reads]
    needed = {m for m, _ in reached(module, function) if versioned(m)}
    assert {module, *others} == needed


@pytest.mark.parametrize("family", families.names())
def test_a_family_of_measures_names_the_versions_of_all_code_that_makes_its_measures(family: str) -> None:
    module, *others = families.stages_of(family)
    needed = {m for m, _ in reached(module, "measure") if versioned(m)}
    assert {module, *others} == needed


def test_names_are_followed_through_the_package() -> None:
    assert ("score.semdedup", "similarities") in reached("sample.draw", "main")
    assert ("sample.apportion", "webster") in reached("sample.draw", "main")
    assert ("batching", "blocks") in reached("score.documents", "texts")
    assert not {m for m, _ in reached("score.dsir", "fit")} & {"batching", "train.loop"}
    assert not [place for place in reached("train.loop", "main") if place[0] == "batching"]
