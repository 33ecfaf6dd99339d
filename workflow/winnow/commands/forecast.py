"""A forecast of the heavy jobs of a run, in one line: documents to embed, models to train and to evaluate, about how long.

Times are those of winnow.work, on the machine that `winnow calibrate` measured or that of its default figures.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from winnow.commands.corpus_sizes import corpus_size, sizes
from winnow.work.machine import read_machine
from winnow.work.requests import cpu_seconds, wall_seconds
from winnow.work.sizes import shard_documents, tokens_of
from winnow.work.stages import STAGES, work_of

Jobs = list[tuple[str, dict[str, str]]]
COUNTED = ("embed_documents", "entail_documents", "reduce_vectors")
"""Rules whose documents a forecast names where nobody has counted them."""


def forecast(config: dict[str, Any], results: str, jobs: Jobs, cores: int, lock: str | None = None) -> str:
    """One line on the jobs of a run, (rule, wildcards); empty if none of them is heavy. `cores` 0: no time, on a cluster.

    Documents of a source that nobody has counted yet are named, not counted, and take no time here. A second line names a
    disk with too little room.
    """
    rules = Counter(rule for rule, _ in jobs)
    corpora = {ids["corpus"] for _, ids in jobs if "corpus" in ids}
    unknown = {
        name
        for name in corpora
        if (size := corpus_size(config, results, name, lock)) is None or not size.counted
    }
    unknown &= {ids["corpus"] for rule, ids in jobs if rule in COUNTED}
    known, machine = sizes(config, results, lock), read_machine(results)
    embedded = tokens = seconds = longest = disk = 0.0
    for rule, ids in jobs:
        if rule not in STAGES or ids.get("corpus") in unknown:
            continue
        work = work_of(config, rule, ids, known)
        seconds += cpu_seconds(work, machine)
        disk += work.disk
        longest = max(longest, wall_seconds(work, machine, max(1, cores), None))
        if rule == "embed_documents":
            corpus = config["corpora"][ids["corpus"]]
            size = known.corpus(ids["corpus"])
            share = shard_documents(size.documents, corpus["shards"], int(ids["shard"]))
            embedded += share
            tokens += share * min(config["encoders"][ids["encoder"]]["max_tokens"], tokens_of(size.bytes))
    parts = []
    if rules["embed_documents"]:
        counted = f"{round(embedded):,} documents (about {_round(tokens)} tokens)"
        of = f"the documents of {', '.join(sorted(unknown))} (not counted yet)"
        parts.append("embed " + " and ".join(([counted] if tokens else []) + ([of] if unknown else [])))
    if judged := len({(ids["corpus"], ids["label_set"]) for rule, ids in jobs if rule == "entail_documents"}):
        parts.append(f"judge {judged:,} label set{'s' * (judged > 1)} by an NLI model")
    if sets := rules["reduce_vectors"]:
        parts.append(f"reduce {sets:,} set{'s' * (sets > 1)} of vectors")
    if sweeps := rules["sweep_clusters"]:
        parts.append(f"sweep k for {sweeps:,} clustering{'s' * (sweeps > 1)}")
    if rules["train_model"]:
        parts.append(f"train {rules['train_model']:,} model{'s' * (rules['train_model'] > 1)}")
    if evaluations := rules["evaluate_model"] + rules["evaluate_pretrained"]:
        parts.append(f"evaluate {evaluations:,}")
    if not parts:
        return ""
    took = max(seconds / max(1, cores), longest)
    least = "at least " if unknown and took >= 120 else ""
    time = f": {least}{_time(took)} on {cores} cores of a processor" if cores else ""
    return "\n".join([f"Forecast: {', '.join(parts)}{time}", *too_little_room(results, disk)])


def too_little_room(results: str, kept: float) -> list[str]:
    """A line for a folder of results on a disk with less free space than the `kept` bytes of a run; none if there is enough."""
    folder = Path(results).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if kept <= free:
        return []
    return [
        f"Disk: the run keeps about {kept / 1e9:,.0f} GB in {results}, and {free / 1e9:,.0f} GB are free: make room, or set "
        "results to a folder on another disk"
    ]


def _round(amount: float) -> str:
    for unit, size in (("billion", 1e9), ("million", 1e6)):
        if amount >= size:
            return f"{amount / size:.2g} {unit}" if amount < 100 * size else f"{amount / size:,.0f} {unit}"
    return f"{round(amount, -3):,.0f}" if amount >= 10_000 else f"{amount:,.0f}"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"about {seconds / size:,.0f} {unit}"
    return "2 minutes or less"
