"""Families of measures: what the rules, the checks of the configuration and the stages need to know of each.

A family is a module of `winnow.profile.families`, named as the family, with its facts in `FAMILY = Family(...)`, written in
literals, and one function, `measure(texts, vectors, settings)`: n texts, their vectors float16 [n, d] (None if the family
reads none) and the settings of the family (`profile.NAME` of the configuration; empty if there are none) -> the columns of
FAMILY as arrays of n: float32 (NaN: not valid for this text), int32 (masked: not valid), or str objects (None: not valid). It is called
with the texts of a block of source rows, so that the number of shards changes no result.

The facts are read from the source without importing the module: parsing the workflow loads no library.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from winnow.stage import InputError

FAMILIES = Path(__file__).parent / "families"


@dataclass(frozen=True)
class Family:
    """Facts of a family of measures.

    `columns`: name of each measure (unique among all families) and what it is, with its unit: the label of its axis.
    `levels`: of each measure that is text, its values in order; none if they depend on the texts or the settings.
    `vectors`: whether it reads the vectors of the profile's encoder. `stages`: versioned modules beside its own that its
    measures depend on. `labels`: the label set that it goes by, none if it is empty: its settings have `labels` and
    `label_vectors` (winnow.profile.labels) or, of a label set with an NLI model, `logits` (winnow.profile.entail) in place of
    all vectors. `free`: measures among `levels` that are free text, of which no shares are counted.
    """

    columns: dict[str, str]
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    vectors: bool = False
    stages: tuple[str, ...] = ()
    labels: str = ""
    free: tuple[str, ...] = ()


def names() -> list[str]:
    """All families, sorted."""
    return sorted(path.stem for path in FAMILIES.glob("*.py") if path.stem != "__init__")


@functools.cache
def facts(name: str) -> Family:
    """The facts of a family. Raises InputError for a family without a module, or a module without facts."""
    path = FAMILIES / f"{name}.py"
    if not path.is_file():
        raise InputError(f"{path}: no such file; a family of measures is a module")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FAMILY":
            try:
                assert isinstance(node.value, ast.Call)
                return Family(**{str(k.arg): ast.literal_eval(k.value) for k in node.value.keywords})
            except (AssertionError, ValueError, TypeError) as error:
                reason = str(error) or "not a call"
                raise InputError(f"{path}, FAMILY: {reason}; must be Family(key=literal, ...)") from None
    raise InputError(f"{path}: no FAMILY; it must have FAMILY = Family(...), the facts of {name!r}")


def load(name: str) -> ModuleType:
    """The module of a family."""
    facts(name)
    return importlib.import_module(f"winnow.profile.families.{name}")


def nli_model(config: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The NLI model that the label set of a family is read by; None where an encoder reads it, or it has no label set."""
    labels = facts(name).labels
    return config["label_sets"][labels].get("nli") if labels else None


def reads_vectors(config: Mapping[str, Any], name: str) -> bool:
    """Whether a family reads the vectors of the profile's encoder in a configuration."""
    return facts(name).vectors and nli_model(config, name) is None


def judges(config: Mapping[str, Any], families: Iterable[str]) -> dict[str, str]:
    """Of each family with a label set: what reads its texts, in words."""
    out = {}
    for family in filter(lambda name: facts(name).labels, families):
        nli = nli_model(config, family)
        source = nli["source"] if nli else {}
        at = source.get("hub") or source.get("package") or source.get("folder")
        out[family] = f"the NLI model {at}" if nli else f"the encoder {config['profile']['encoder']}"
    return out


def label_texts(labels: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """The label of each text of a label set and the texts, in alphabetical order of both."""
    pairs = sorted((label, text) for label, texts in labels.items() for text in texts)
    return [label for label, _ in pairs], [text for _, text in pairs]


def stages_of(name: str) -> tuple[str, ...]:
    """The versioned modules that decide what the measures of a family are, beside the stage."""
    return (f"profile.families.{name}", *facts(name).stages)


def family_of(measure: str, families: Iterable[str]) -> str | None:
    """The family among `families` that has a measure, or None."""
    return next((family for family in families if measure in facts(family).columns), None)


def is_text(measure: str) -> bool:
    """Whether a measure of some family is text."""
    return any(measure in facts(family).levels for family in names())


def measures(families: Iterable[str]) -> list[str]:
    """Names of all measures of `families`."""
    return [name for family in families for name in facts(family).columns]
