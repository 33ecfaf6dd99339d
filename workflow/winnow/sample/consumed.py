"""What the selection of documents consumed before the draw: manifests and counts in; documents, labels and tokens out.

Counted is the data that a selection learned from: the training sets of the proxies of its scorers that were trained here,
the probes whose mean loss is that of a cluster, the texts that the ratios of a target were counted on. That a scorer or an
encoder then reads the whole pool costs time, which `winnow.compare.costs` charges, and no labels. What a model of the Hub
was trained on is unknown here: the model is named, and nothing is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from winnow.parquet import open_parquet
from winnow.stage import InputError, read_json

WHAT = ("documents", "labels", "tokens")


def consumed(
    selection: Mapping[str, Any],
    models: Sequence[Path] = (),
    subsets: Sequence[Path] = (),
    losses: Path | None = None,
    ratios: Sequence[Path] = (),
) -> list[dict[str, Any]]:
    """The parts of what a selection consumed, each with `scorer`, `role` and whole numbers `documents`, `labels`, `tokens`.

    `selection`: proxies (each with scorer, role, labels: whether its documents were read with labels, and hub: the
    repository of one that was trained elsewhere, or null), probe (the scorer, or null), targets (each with scorer,
    labels). `models`, `subsets`: the manifests of the proxies trained here, in their order; `losses`: mean losses of the
    probe; `ratios`: JSON of what the ratios of each target were counted on, in their order.
    Raises InputError for more or fewer files than the selection has.
    """
    trained = [proxy for proxy in selection["proxies"] if not proxy["hub"]]
    for name, files, count in (
        ("--proxies", models, len(trained)),
        ("--proxy-subsets", subsets, len(trained)),
        ("--ratios", ratios, len(selection["targets"])),
        ("--losses", [losses] if losses else [], int(bool(selection["probe"]))),
    ):
        if len(files) != count:
            raise InputError(f"{name}: {len(files)} files; the selection of --spec requires {count}")
    parts = []
    pairs = iter(zip(models, subsets, strict=True))
    for proxy in selection["proxies"]:
        part = {"scorer": proxy["scorer"], "role": proxy["role"], "documents": 0, "labels": 0, "tokens": 0}
        if proxy["hub"]:
            part["hub"] = proxy["hub"]
        else:
            model, subset = (read_json(path) for path in next(pairs))
            part["documents"] = subset["counts"]["splits"]["train"]["documents"]
            part["labels"] = part["documents"] if proxy["labels"] else 0
            part["tokens"] = model.get("training_tokens", 0)
        parts.append(part)
    if losses:
        with open_parquet(losses, ["probed", "tokens"]) as file:
            table = file.read(columns=["probed", "tokens"])
        documents, tokens = (pc.sum(table[name]).as_py() or 0 for name in ("probed", "tokens"))
        parts.append({"scorer": selection["probe"], "role": "probe", "documents": documents, "labels": 0,
                      "tokens": tokens})  # fmt: skip
    for target, path in zip(selection["targets"], ratios, strict=True):
        counted = read_json(path)
        for role in ("target", "source"):
            documents = counted[role]["documents"]
            labels = documents if role == "target" and target["labels"] else 0
            parts.append({"scorer": target["scorer"], "role": role, "documents": documents, "labels": labels, "tokens": 0})  # fmt: skip
    return parts


def total(parts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Sum of the parts: documents, labels, tokens."""
    return {name: int(sum(part[name] for part in parts)) for name in WHAT}
