"""The profile of a configuration: what the schema cannot state of it, and of the columns that corpora name for it."""

from __future__ import annotations

from typing import Any

from winnow.config.names import known_definition
from winnow.experiments import profiled_corpora
from winnow.profile.kinds import facts, is_text, measures, names, reads_vectors
from winnow.schema import ConfigError


def check_profile(config: dict[str, Any]) -> None:
    """Corpora, encoder and objectives of the profile. Raises ConfigError."""
    profile = config["profile"]
    for index, name in enumerate(profile["corpora"] or []):
        known_definition(config, "corpora", name, ("profile", "corpora", index))
    creativity = profile["creativity"]
    if creativity["clustering"] is not None:
        known_definition(
            config, "clusterings", creativity["clustering"], ("profile", "creativity", "clustering")
        )
    elif creativity["by"] == "cluster":
        raise ConfigError(
            ("profile", "creativity", "by"),
            "'cluster' groups documents by a clustering; name it as clustering",
        )
    for family in profile["families"]:
        if labels := facts(family).labels:
            known_definition(config, "label_sets", labels, ("profile", "families"))
    if any(reads_vectors(config, family) for family in profile["families"]):
        known_definition(config, "encoders", profile["encoder"], ("profile", "encoder"))
    known = measures(names())
    for name, objective in profile["objectives"].items():
        path = ("profile", "objectives", name)
        if objective["measure"] not in known:
            raise ConfigError(
                (*path, "measure"),
                f"{objective['measure']!r} is no measure; known: {', '.join(sorted(known))}",
            )
        text, bounds = is_text(objective["measure"]), {"min", "max"} & objective.keys()
        if text and (bounds or "values" not in objective):
            raise ConfigError(
                path, f"{objective['measure']!r} is text; it takes the key values, and no bounds"
            )
        if not text and ("values" in objective or not bounds):
            raise ConfigError(
                path, f"{objective['measure']!r} is a number; it takes min or max, and no values"
            )
    for name in profiled_corpora(config):
        corpus = config["corpora"][name]
        for what, column in corpus["prompts"].items():
            if column is not None and column not in corpus["meta"]:
                raise ConfigError(
                    ("corpora", name, "prompts", what),
                    f"{column!r} is not among meta: {', '.join(corpus['meta']) or 'none'}; add it to meta",
                )
