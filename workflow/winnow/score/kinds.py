"""Kinds of scorers: what the rules, the checks of the configuration and the stage need to know of each.

A kind is a module of this folder, named as the kind (`proxy-loss`: proxy_loss.py), with its facts in `KIND = Kind(...)`,
written in literals. They are read from the source without importing the module, as stage versions are: parsing the
workflow loads no library.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from winnow.schema import deref, schema
from winnow.stage import InputError


@dataclass(frozen=True)
class Kind:
    """Facts of a kind of scorer.

    `reads`: what a job reads: `texts`, a shard of documents; `vectors`, a shard of vectors with its clusters (for both,
    winnow.score.documents says which function the module defines); `clustering`, all shards of a clustering (semdedup:
    its rule runs winnow.score.semdedup, so another such kind needs a rule). `uses`: what may name such a scorer: a
    ranking that reads a `score` or a `bucket` (winnow.sample.rankings), the weight `loss` (proxy-loss:
    winnow.score.probes reads its settings and columns), the filter `semdedup`. `columns`: what it writes beside `doc`.
    `minimum` and `maximum` of the column `score`; None: no bound. `proxies`: the kind of model of each proxy, by its
    key in the configuration, in the order in which the stage takes their models. `gpu`: whether a large corpus is scored
    on a GPU. `fits`: whether ratios of a target are fitted first, by winnow.score.dsir. `stages`: versioned modules
    beside its own that its scores depend on.
    """

    reads: Literal["texts", "vectors", "clustering"]
    uses: tuple[str, ...]
    columns: tuple[str, ...] = ("score",)
    minimum: float | None = None
    maximum: float | None = None
    proxies: dict[str, str] = field(default_factory=dict)
    gpu: bool = False
    fits: bool = False
    stages: tuple[str, ...] = ()


def names() -> list[str]:
    """All kinds, in the order of the schema."""
    branches = schema()["$defs"]["scorer"]["oneOf"]
    return [deref(branch)["properties"]["kind"]["const"] for branch in branches]


def kinds_for(use: str) -> tuple[str, ...]:
    """The kinds that `use` may name (see Kind.uses)."""
    return tuple(name for name in names() if use in facts(name).uses)


def kind_of(scorer: Mapping[str, Any]) -> Kind:
    """The facts of the kind of a scorer (schema: $defs/scorer)."""
    return facts(scorer["kind"])


def stages_of(scorer: Mapping[str, Any]) -> tuple[str, ...]:
    """The versioned modules that decide what the scores of a scorer are, beside the stage: `score.proxy_loss`, ..."""
    return (f"score.{_module(scorer['kind'])}", *kind_of(scorer).stages)


def load(scorer: Mapping[str, Any]) -> ModuleType:
    """The module of the kind of a scorer."""
    return importlib.import_module(f"winnow.score.{_module(scorer['kind'])}")


def _module(name: str) -> str:
    return name.replace("-", "_")


@functools.cache
def facts(name: str) -> Kind:
    """The facts of a kind by its name. Raises InputError for a kind without a module, or a module without facts."""
    spec = importlib.util.find_spec(f"winnow.score.{_module(name)}")
    if spec is None or spec.origin is None:
        raise InputError(f"winnow/score/{_module(name)}.py: no such file; a kind of scorer is a module")
    path = Path(spec.origin)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "KIND":
            try:
                assert isinstance(node.value, ast.Call)
                return Kind(**{str(k.arg): ast.literal_eval(k.value) for k in node.value.keywords})
            except (AssertionError, ValueError, TypeError) as error:
                reason = str(error) or "not a call"
                raise InputError(f"{path}, KIND: {reason}; must be Kind(key=literal, ...)") from None
    raise InputError(f"{path}: no KIND; it must have KIND = Kind(...), the facts of the kind {name!r}")
