"""The definitions of a configuration, one line each: `winnow list samplers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

Section = Literal[
    "corpora", "encoders", "label_sets", "reductions", "clusterings", "scorers", "samplers", "budgets", "models", "recipes",
    "tokenizers", "benchmarks", "suites", "tables",
]  # fmt: skip


def _source(source: dict[str, Any]) -> str:
    for key in ("generator", "package", "folder"):
        if key in source:
            return f"{key} {source[key]}"
    return f"Hub {source['hub']}" if "hub" in source else ", ".join(source["files"])


def _corpus(one: dict[str, Any]) -> str:
    parts = [_source(one["source"]), f"text {one['text']}"]
    parts += [f"{key} {one[key]}" for key in ("label", "group") if one[key]]
    parts += [f"cleaned: {', '.join(one['clean'])}"] if one["clean"] else []
    held = one["heldout"]["documents"]
    return ", ".join(parts + ([f"{held:,} held out"] if held else []))


def _clustering(one: dict[str, Any]) -> str:
    size = f"k-means, k {one['k']:,}" if "k" in one else "HDBSCAN"
    return f"{size}, encoder {one['encoder']}" + (f", reduced by {one['reduce']}" if one["reduce"] else "")


def _reduction(one: dict[str, Any]) -> str:
    parts = [f"{one['method'].upper()} to {one['dimensions']:,} dimensions", f"seed {one['seed']}"]
    if one["method"] == "umap":
        parts.append(f"{one['neighbors']} neighbours")
    return ", ".join([*parts, f"fitted on {one['sample']:,} documents at most"])


def _proxy(one: dict[str, Any]) -> str:
    return f"Hub {one['hub']}" if "hub" in one else f"{one['model']} on {one['budget']}"


def _scorer(one: dict[str, Any]) -> str:
    from winnow.experiments import proxies_of

    parts = [one["kind"], *(f"{key} {_proxy(proxy)}" for key, proxy in proxies_of(one).items())]
    target = one.get("target", {})
    if target.get("corpus"):
        parts.append(f"target {target['corpus']}")
    if "where" in target:
        parts.append(f"{target['where']['column']} {' or '.join(map(str, target['where']['values']))}")
    return ", ".join(parts)


def _sampler(one: dict[str, Any]) -> str:
    allocation, ranking = one["allocation"], one["ranking"]
    weight = "no clusters" if allocation["weight"] == "none" else f"weight {allocation['weight']}"
    hidden = {"weight", "form"} | ({"loss"} if allocation["weight"] != "loss" else set())
    parts = [
        " ".join(
            [
                weight,
                *(
                    f"{'of' if k == 'loss' else k} {_plain(v)}"
                    for k, v in allocation.items()
                    if k not in hidden
                ),
            ]
        )
    ]
    if ranking["by"] != "random":
        parts.append(" ".join([f"by {ranking['by']}", *([ranking["scorer"]] if "scorer" in ranking else [])]))
    parts += [f"without {key}" for key in ("semdedup", "contaminated", "used") if key in one["filters"]]
    if "where" in one["filters"]:
        parts.append(f"only {one['filters']['where']['column']} {_plain(one['filters']['where']['values'])}")
    if one["rounding"] != "webster":
        parts.append(f"rounding {one['rounding']}")
    return ", ".join(parts)


def _budget(one: dict[str, Any]) -> str:
    splits = [f"{one[s]:,} {s}" for s in ("train", "validation", "test") if one[s]]
    rounds = one.get("rounds")
    more = f", then {rounds['count']} rounds of {rounds['add']:,}" if rounds else ""
    return (
        f"{', '.join(splits)} {one['unit']}" + (f" of {one['tokenizer']}" if one["tokenizer"] else "") + more
    )


def _model(one: dict[str, Any]) -> str:
    if one["kind"] == "pretrained":
        return f"pretrained, {_source(one['weights'])}"
    if one["kind"] == "classifier":
        return f"classifier, encoder {one['encoder']}, {one['max_tokens']} tokens, recipe {one['recipe']}"
    if one["kind"] == "probe":
        return f"linear probe, encoder {one['encoder']}"
    return (
        f"language model, {one['layers']} layers of {one['width']:,}, {one['sequence']:,} tokens, "
        f"tokenizer {one['tokenizer']}, recipe {one['recipe']}"
    )


def _recipe(one: dict[str, Any]) -> str:
    length = next(f"{one[key]:,} {key}" for key in ("steps", "tokens", "epochs") if key in one)
    return f"{length}, batch {one['batch']:,}, {one['optimizer']} at {one['learning_rate']:g}"


def _benchmark(one: dict[str, Any]) -> str:
    if "task" in one:
        files = one["data"].get("files")
        where = f"Hub {one['data']['hub']}" if "hub" in one["data"] else ", ".join(files.values())
        return f"lm-eval task {one['task']} ({', '.join(one['metrics'])}), {where}"
    if "labelled" in one:
        where = f"Hub {one['labelled']['hub']}, " if "hub" in one["labelled"] else ""
        return f"labelled documents, {where}{', '.join(one['labelled']['files'])}"
    form = f"held-out documents: {one['heldout']}" if "heldout" in one else f"grammar: {one['grammar']}"
    return f"{form}, {one['items']:,} items at most"


def _table(one: dict[str, Any]) -> str:
    return f"{one['title']} (baseline {one['baseline']})"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{k} {_plain(v)}" for k, v in value.items())
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


LINES = {
    "corpora": _corpus,
    "encoders": lambda one: (
        f"{_source(one['source'])}, {one['dimension']:,} dimensions, {one['max_tokens']} tokens"
    ),
    "label_sets": lambda one: f"labels {', '.join(one['labels'])}",
    "reductions": _reduction,
    "clusterings": _clustering,
    "scorers": _scorer,
    "samplers": _sampler,
    "budgets": _budget,
    "models": _model,
    "recipes": _recipe,
    "tokenizers": lambda one: (
        f"Hub {one['hub']}" if "hub" in one else f"BPE of {one['vocabulary']:,}, trained here"
    ),
    "benchmarks": _benchmark,
    "suites": ", ".join,
    "tables": _table,
}


def remarks(file: Path, section: str) -> dict[str, str]:
    """The comment behind the name of each entry of a section in a config file, where it has one."""
    remark_of, inside = {}, False
    for line in file.read_text(encoding="utf-8").splitlines():
        if line[:1].strip() and not line.startswith("#"):
            inside = line.split(":")[0] == section
        elif inside and line.startswith("  ") and line[2:3].strip() and ": # " in line:
            name, _, remark = line.strip().partition(": # ")
            remark_of[name] = remark
    return remark_of


def list_(section: Section, /, *, config: list[Path] = []) -> None:
    """List what a run config can name: the definitions of a section, one line each.

    Args:
        section: Which definitions.
        config: Run configs that add definitions.
    """
    from winnow.config.files import definition_files, read_files
    from winnow.schema import fill

    paths: list[str | Path] = [*definition_files(Path(__file__).parents[3]), *config]
    entries = fill(read_files(paths))[section]
    remark_of = {name: remark for path in paths for name, remark in remarks(Path(path), section).items()}
    width = max(map(len, entries), default=0)
    for name, one in entries.items():
        remark = f"  # {remark_of[name]}" if name in remark_of else ""
        print(f"{name:{width}}  {LINES[section](one)}{remark}")
