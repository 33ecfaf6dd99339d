"""Names of a configuration: what its sections define, which names are taken, and the definition behind a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from winnow.schema import ConfigError

DEFINITIONS = {
    "corpora": "corpus",
    "encoders": "encoder",
    "label_sets": "label set",
    "reductions": "reduction",
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
RESERVED = (
    "benchmarks",
    "calibration.json",
    "downloads",
    "logs",
    "preflight",
    "provenance",
    "report",
    "report.html",
    "ro-crate-metadata.json",
    "tables",
    "timings",
)
"""Folders and files that a run keeps beside those of its corpora: no names of corpora."""
OWN_COLUMNS = ("doc", "text", "bytes", "digest", "label", "cluster", "distance", "split", "probability")
"""Columns that Winnow itself writes, of documents, clusterings and draws: no names of meta columns."""


def known_definition(
    config: dict[str, Any], section: str, name: str, path: Iterable[str | int]
) -> dict[str, Any]:
    """The definition of `name` in a section. Raises ConfigError, at `path`, for a name that the section has not."""
    if name not in config[section]:
        known = sorted(config[section])
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            path, f"unknown {DEFINITIONS[section]} {name!r}; {hint}known: {', '.join(known) or 'none'}"
        )
    return config[section][name]
