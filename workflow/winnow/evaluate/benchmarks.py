"""Benchmark data: folders that `winnow.evaluate.harness` reads.

`heldout` turns the held-out documents of a corpus into items (bits per byte, a cloze choice, labels), `grammar`
draws minimal pairs, `mirror` turns local files, or a downloaded Hub snapshot, into the data set that a task of
lm-eval asks for. A folder has `manifest.json` and, of a local benchmark, `data.parquet` (one row an item) with
`task.yaml`, the lm-eval task that reads it (no paths in it: folders can be moved, `winnow.evaluate.harness` fills them
in); a mirror has the data set at `<owner>/<name>/`, so that inside the folder the stock
`lm_eval --tasks ...` finds its data, too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.documents.tables import read_table
from winnow.keys import keys
from winnow.paths import expand, plain_links
from winnow.schema import read_spec
from winnow.scripts import CHARACTERS_A_WORD, without_blanks
from winnow.stage import (
    InputError,
    atomic_path,
    canonical,
    content_digest,
    read_json,
    run,
    say,
    sha256,
    write_json,
    write_text,
)

STAGE_VERSION = 4

TEXT_CHARACTERS = 4_000
"""Longest text of a bits-per-byte item, in characters: a few long documents must not be the figure. (Texts of label items
are whole: how much of them is read goes with the classifier.)"""

CONTEXT_WORDS = 64
CONTINUATION_WORDS = 12
CONTINUATION_LENGTH = 100
SHORTEST_CLOZE = 2 * CONTINUATION_WORDS
"""Words of a cloze item: a document needs SHORTEST_CLOZE of them; its context is all but the last
CONTINUATION_WORDS of its first CONTEXT_WORDS + CONTINUATION_WORDS words. Of a document that is too short in words
and written in a script without blanks, CHARACTERS_A_WORD characters each (white space not counted) stand for a word."""

CHOICES = 4
ZERO_WIDTH_JOINER = "\u200d"


@dataclass(frozen=True)
class HeldOut:
    """Held-out documents in ascending order of `doc`: int64 [n], texts, group names or None, labels or None."""

    doc: np.ndarray
    text: list[str]
    group: list[str | None]
    label: list[int | None]


def read_heldout(documents: list[Path], heldout: Path, group: str | None) -> HeldOut:
    """The documents with role `heldout`, from parquet shards of the stage documents.

    Raises InputError if there is none, if a shard lacks the group column, or if a document is missing.
    """
    roles = pq.read_table(heldout, columns=["doc", "role"])
    wanted = roles.filter(pc.equal(roles["role"], "heldout"))["doc"].combine_chunks()
    if len(wanted) == 0:
        raise InputError(
            f"{heldout}: no document is held out, so there is nothing to evaluate on; set corpus.heldout.documents"
        )
    parts = []
    for path in documents:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if group is not None and group not in names:
            raise InputError(f"{path}: no column {group!r} to group by; it has {', '.join(names)}")
        columns = list(
            dict.fromkeys(
                ["doc", "text", *([group] if group else []), *(["label"] if "label" in names else [])]
            )
        )
        for batch in file.iter_batches(columns=columns, batch_size=4096):
            kept = pa.Table.from_batches([batch]).filter(pc.is_in(batch.column("doc"), value_set=wanted))
            if kept.num_rows:
                parts.append(kept)
    table = pa.concat_tables(parts, promote_options="default").sort_by("doc") if parts else None
    found = table.num_rows if table is not None else 0
    if table is None or found != len(wanted):
        raise InputError(f"{heldout}: {len(wanted) - found} of {len(wanted)} held-out documents are not in the "
                         f"{len(documents)} document file(s) given; give all shards")  # fmt: skip
    missing: list[Any] = [None] * found
    return HeldOut(
        doc=table["doc"].to_numpy(),
        text=table["text"].to_pylist(),
        group=[None if g is None else str(g) for g in table[group].to_pylist()] if group else missing,
        label=table["label"].to_pylist() if "label" in table.column_names else missing,
    )


def choose(doc: np.ndarray, items: int, seed: int) -> np.ndarray:
    """Indices (ascending) of the `items` smallest keys of purpose `benchmark`; ties cannot be: keys are a bijection."""
    if len(doc) <= items:
        return np.arange(len(doc))
    order = np.argsort(keys("benchmark", seed, doc), kind="stable")
    return np.sort(order[:items])


def byte_length(text: str) -> int:
    return len(text.encode())


def split_words(text: str, length: Callable[[str], int] = byte_length) -> tuple[str, str] | None:
    """(context, continuation) of a cloze item, or None if the document is too short, or the
    continuation too long for a model of short sequences (CONTINUATION_LENGTH, as `length` measures it).

    Both keep the document's white space inside and none at their ends.
    """
    ends = [m.end() for m in _first_words(text, CONTEXT_WORDS + CONTINUATION_WORDS)]
    return _cut(text, ends, CONTINUATION_WORDS, length)


def split_characters(text: str, length: Callable[[str], int] = byte_length) -> tuple[str, str] | None:
    """The same of a document in a script without blanks, by characters; a character keeps its marks.

    None for documents in other scripts, too.
    """
    if not without_blanks(text):
        return None
    ends: list[int] = []  # of each character but white space: where it ends with the marks that belong to it
    first = 0
    for place, character in enumerate(text):
        mark = unicodedata.category(character)[0] == "M" or character == ZERO_WIDTH_JOINER
        if mark and ends and ends[-1] == place:
            ends[first:] = [place + 1] * (len(ends) - first + 1)
        elif len(ends) >= CHARACTERS_A_WORD * (CONTEXT_WORDS + CONTINUATION_WORDS):
            break
        elif not character.isspace():
            first = len(ends)
            ends.append(place + 1)
    return _cut(text, ends, CHARACTERS_A_WORD * CONTINUATION_WORDS, length)


def _cut(text: str, ends: list[int], last: int, length: Callable[[str], int]) -> tuple[str, str] | None:
    """(context, continuation) of `last` units of a text whose first units end at `ends`; None as of `split_words`."""
    if len(ends) < 2 * last:
        return None
    cut = ends[len(ends) - last - 1]
    continuation = text[cut : ends[-1]].strip()
    if length(continuation) > CONTINUATION_LENGTH:
        return None
    return text[:cut].strip(), continuation


def _first_words(text: str, words: int) -> Iterator[re.Match[str]]:
    for count, match in enumerate(re.finditer(r"\S+", text)):
        if count == words:
            return
        yield match


def cloze_items(held: HeldOut, items: int, seed: int) -> dict[str, list[Any]]:
    """Cloze items: the true continuation among CHOICES, the false ones from other documents, of the same group
    as far as it has enough different ones.

    The documents of a group stand on a circle ordered by their keys; an item takes the continuations that
    follow its own. The place of the true one is the lowest bits of the key. Documents cut by characters
    (`split_characters`) and those cut by words take no continuations from each other, which would be told apart by
    their script alone; where one sort has fewer than CHOICES different continuations, it gives no items. Continuations
    have at most 100 bytes; 100 characters where that leaves too few (most scripts take two or three bytes a character).
    Returns columns item, group, context, choices, label. Raises InputError if too few documents are long enough.
    """
    for length in (byte_length, len):
        by_words = [split_words(text, length) for text in held.text]
        pairs = [
            pair or split_characters(text, length) for pair, text in zip(by_words, held.text, strict=True)
        ]
        sort = [pair is not None for pair in by_words]
        found = [i for i, pair in enumerate(pairs) if pair is not None]
        different = {s: len({pairs[i][1] for i in found if sort[i] == s}) for s in (True, False)}  # type: ignore[index]
        if max(different.values()) >= CHOICES:
            break
    else:
        raise InputError(
            f"cloze: {len(found)} held-out documents have the {SHORTEST_CLOZE} words an item needs (in a script without "
            f"blanks, {CHARACTERS_A_WORD * SHORTEST_CLOZE} characters), and at least {CHOICES} with different "
            "continuations are wanted; hold out more documents"
        )
    long = np.array([i for i in found if different[sort[i]] >= CHOICES], dtype=np.int64)
    key = keys("benchmark", seed, held.doc)
    ring = long[np.argsort(key[long], kind="stable")]
    rings: dict[tuple[bool, str | None], list[int]] = {}
    whole: dict[bool, list[int]] = {True: [], False: []}
    place: dict[int, int] = {}
    place_in_all: dict[int, int] = {}
    for i in ring.tolist():
        members = rings.setdefault((sort[i], held.group[i]), [])
        place[i], place_in_all[i] = len(members), len(whole[sort[i]])
        members.append(i)
        whole[sort[i]].append(i)
    rows: dict[str, list[Any]] = {name: [] for name in ("item", "group", "context", "choices", "label")}
    for i in long[choose(held.doc[long], items, seed)].tolist():
        context, true = pairs[i]  # type: ignore[misc]
        own = rings[sort[i], held.group[i]]
        false: list[str] = []
        for members, start in ((own, place[i]), (whole[sort[i]], place_in_all[i])):
            for step in range(1, len(members)):
                if len(false) == CHOICES - 1:
                    break
                other = pairs[members[(start + step) % len(members)]][1]  # type: ignore[index]
                if other != true and other not in false:
                    false.append(other)
        label = int(key[i] % np.uint64(CHOICES))
        rows["item"].append(int(held.doc[i]))
        rows["group"].append(held.group[i])
        rows["context"].append(context)
        rows["choices"].append([*false[:label], true, *false[label:]])
        rows["label"].append(label)
    return rows


TASKS: dict[str, dict[str, Any]] = {
    "bits-per-byte": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "text",
        "metric_list": [{"metric": "bits_per_byte"}, {"metric": "byte_perplexity"}],
    },
    "cloze": {
        "output_type": "multiple_choice",
        "doc_to_text": "context",
        "doc_to_choice": "choices",
        "doc_to_target": "label",
        "metric_list": [
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True},
        ],
    },
    "minimal-pairs": {
        "output_type": "multiple_choice",
        "doc_to_text": "",
        "doc_to_choice": "choices",
        "doc_to_target": "label",
        "num_fewshot": 0,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    },
}
"""lm-eval tasks of the local benchmarks; the fields of an item are named, so texts are never read as templates."""

SCHEMAS: dict[str, pa.Schema] = {
    form: pa.schema([("item", pa.int64()), ("group", pa.string()), *extra])
    for form, extra in {
        "bits-per-byte": [("text", pa.string())],
        "cloze": [("context", pa.string()), ("choices", pa.list_(pa.string())), ("label", pa.int64())],
        "minimal-pairs": [("choices", pa.list_(pa.string())), ("label", pa.int64())],
        "labels": [("text", pa.string()), ("label", pa.int64())],
    }.items()
}


def write_local(
    out_dir: Path, name: str, form: str, rows: dict[str, list[Any]], manifest: dict[str, Any]
) -> None:
    """Writes `data.parquet`, `task.yaml` (not of labels) and, last, `manifest.json`."""
    import yaml

    with atomic_path(out_dir / "data.parquet") as partial:
        pq.write_table(pa.Table.from_pydict(rows, schema=SCHEMAS[form]), partial, compression="zstd")
    if form in TASKS:
        task = {"task": name, "dataset_path": "parquet", "dataset_name": None, "test_split": "test",
                **TASKS[form], "metadata": {"version": 1.0}}  # fmt: skip
        write_text(out_dir / "task.yaml", yaml.safe_dump(task, sort_keys=False))
    groups = Counter(g for g in rows["group"] if g is not None)
    write_json(out_dir / "manifest.json", {
        "name": name, "kind": form, "items": len(rows["item"]), "groups": dict(sorted(groups.items())), **manifest,
    })  # fmt: skip
    say(f"[benchmarks] {name}: {len(rows['item']):,} items ({form}), {len(groups)} groups")


def heldout(*, source: Path, documents: list[Path], heldout: Path, spec: str, out_dir: Path) -> None:
    """Makes a benchmark of the corpus's held-out documents.

    Args:
        source: source.json of the corpus, which names its classes.
        documents: parquet shards of the corpus, all of them.
        heldout: heldout.parquet of the corpus; only role `heldout` is used.
        spec: JSON: `benchmark` (heldout: bits-per-byte, cloze or labels; items; seed), `name`, `group` (meta column or null).
        out_dir: folder to write.
    """
    settings = read_spec(spec, "benchmark", "group", "name")
    definition = settings["benchmark"]
    form = definition.get("heldout")
    if form is None:
        raise InputError(
            "--spec benchmark: missing key 'heldout': this sub-command makes held-out benchmarks"
        )
    items, seed = definition.get("items", 1000), definition.get("seed", 0)
    held = read_heldout(documents, heldout, settings["group"])
    if form == "cloze":
        rows = cloze_items(held, items, seed)
    else:
        chosen = choose(held.doc, items, seed)
        rows = {
            "item": [int(held.doc[i]) for i in chosen],
            "group": [held.group[i] for i in chosen],
            "text": [held.text[i][: None if form == "labels" else TEXT_CHARACTERS] for i in chosen],
        }
        if form == "labels":
            rows["label"] = [held.label[i] for i in chosen]
            if None in rows["label"]:
                raise InputError(f"{documents[0]}: held-out documents without a label; benchmarks of labels need "
                                 "corpus.label and a label for each held-out document")  # fmt: skip
    classes = {"classes": class_names(source)} if form == "labels" else {}
    write_local(
        out_dir, settings["name"], form, rows, {"spec": settings, "stage_version": STAGE_VERSION, **classes}
    )


def class_names(source: Path) -> list[str]:
    """Names of the classes of a corpus, from its source.json. Raises InputError if it has no labels."""
    labels = read_json(source)["labels"]
    if not labels:
        raise InputError(f"{source}: the corpus has no labels; set its key label")
    return labels["names"]


def labelled(*, source: Path, spec: str, out_dir: Path) -> None:
    """Makes a benchmark of labelled documents that have files of their own (a test split).

    A label is the class that it is in the corpus; one that the corpus does not have is an error.

    Args:
        source: source.json of the corpus, which names its classes.
        spec: JSON: `benchmark` (labelled: files, text, label; items; seed) and `name`.
        out_dir: folder to write.
    """
    from winnow.documents.shards import classes_of, index_files, write_shard

    settings = read_spec(spec, "benchmark", "name")
    definition = settings["benchmark"]
    if "labelled" not in definition:
        raise InputError("--spec benchmark: missing key 'labelled': this sub-command reads labelled files")
    names = class_names(source)
    corpus = {"text": definition["labelled"]["text"], "label": definition["labelled"]["label"], "meta": []}
    index = index_files(expand(definition["labelled"]["files"]), corpus, labels=classes_of(read_json(source)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.parquet"
        write_shard(index, corpus, 0, 1, path)
        table = pq.read_table(path, columns=["doc", "text", "label"])
    if not len(table):
        raise InputError(f"{index['files'][0]['path']}: no row with a text; nothing can be evaluated")
    chosen = choose(table["doc"].to_numpy(), definition["items"], definition["seed"])
    table = table.take(chosen)
    rows = {
        "item": table["doc"].to_pylist(),
        "group": [None] * len(table),
        "text": table["text"].to_pylist(),
        "label": table["label"].to_pylist(),
    }
    manifest = {"spec": settings, "stage_version": STAGE_VERSION, "classes": names}
    write_local(out_dir, settings["name"], "labels", rows, manifest)


def grammar(*, spec: str, out_dir: Path) -> None:
    """Makes minimal pairs (a sentence of the story grammar and a broken twin); a model should prefer the first.

    Args:
        spec: JSON: `benchmark` (grammar: minimal-pairs; items; seed) and `name`.
        out_dir: folder to write.
    """
    settings = read_spec(spec, "benchmark", "name")
    definition = settings["benchmark"]
    if "grammar" not in definition:
        raise InputError(
            "--spec benchmark: missing key 'grammar': this sub-command makes benchmarks of the grammar"
        )
    from winnow.documents.generators import story_grammar

    pairs = story_grammar.minimal_pairs(items=definition.get("items", 400), seed=definition.get("seed", 0))
    write_local(
        out_dir,
        settings["name"],
        definition["grammar"],
        minimal_pair_items(pairs),
        {"spec": settings, "stage_version": STAGE_VERSION},
    )


def minimal_pair_items(pairs: list[tuple[str, str, str]]) -> dict[str, list[Any]]:
    """Rows from (good, bad, phenomenon): the good sentence is choice 0, as in BLiMP (Warstadt et al. 2020)."""
    return {
        "item": list(range(len(pairs))),
        "group": [phenomenon for _, _, phenomenon in pairs],
        "choices": [[good, bad] for good, bad, _ in pairs],
        "label": [0] * len(pairs),
    }


# --- mirrors of the data sets of stock tasks


@dataclass(frozen=True)
class StockTask:
    """A leaf of a task or group of lm-eval: the data set it reads, the splits whose items it uses, and those that
    it names for few-shot examples which it does not show (it opens them all the same)."""

    name: str
    dataset_path: str
    dataset_name: str | None
    used: tuple[str, ...]
    opened: tuple[str, ...]


def tasks_folder() -> Path:
    """The folder of lm-eval's own task definitions (without importing lm-eval)."""
    import importlib.util

    found = importlib.util.find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        raise InputError("lm-eval is not installed; run `make` to make the environment")
    return Path(next(iter(found.submodule_search_locations))) / "tasks"


def find_folder(task: str) -> str:
    """Folder, relative to lm-eval's tasks, of the file that defines a task or group named `task`.

    Reads the files as text: lm-eval's own index of all 14,000 takes most of 20 s.
    Raises InputError if no file defines it.
    """
    root = tasks_folder()
    line = re.compile(rf'^["\']?(?:task|group)["\']?: *["\']?{re.escape(task)}["\']?\s*$', re.MULTILINE)
    near = [root / task.split("_")[0], root / task]
    for start in [*(p for p in near if p.is_dir()), root]:
        for path in sorted(start.rglob("*.yaml")):
            if line.search(path.read_text(encoding="utf-8", errors="replace")):
                return path.parent.relative_to(root).as_posix()
    raise InputError(f"task {task!r}: lm-eval has no task or group of this name")


def stock_tasks(task: str, folder: str) -> list[StockTask]:
    """The leaves of a task or group of lm-eval, by its own definitions."""
    from lm_eval.tasks._index import Kind, TaskIndex

    index = TaskIndex.build([tasks_folder() / folder])

    def expand(name: str, extra: dict[str, Any]) -> Iterator[StockTask]:
        entry = index.get(name)
        if entry is None:
            raise InputError(f"task {task!r}: its member {name!r} is not defined in lm_eval/tasks/{folder}")
        if entry.kind == Kind.TAG:
            for member in sorted(entry.tags):
                yield from expand(member, extra)
            return
        definition = {**(entry.cfg or {}), **extra}
        if entry.kind == Kind.GROUP:
            for member in (entry.cfg or {})["task"]:
                if isinstance(member, str):
                    yield from expand(member, extra)
                else:
                    yield from expand(member.get("group") or member["task"], {**extra, **member})
            return
        if entry.kind != Kind.TASK or "dataset_path" not in definition:
            raise InputError(f"task {name!r}: it makes its data by code and cannot be mirrored")
        named = [definition.get(f"{kind}_split") for kind in ("test", "validation", "fewshot", "training")]
        used = [next(split for split in named if split)]
        if definition.get("num_fewshot"):
            used.append(definition.get("fewshot_split") or named[3] or named[1] or used[0])
        yield StockTask(
            name=name,
            dataset_path=definition["dataset_path"],
            dataset_name=definition.get("dataset_name"),
            used=tuple(dict.fromkeys(used)),
            opened=tuple(dict.fromkeys(split for split in named if split and split not in used)),
        )

    return list(expand(task, {}))


def write_dataset(
    folder: Path, tables: dict[str, dict[str, pa.Table]], title: str
) -> dict[str, dict[str, int]]:
    """Writes `tables[config][split]` as a data set that `datasets.load_dataset(folder, config)` opens.

    Returns rows per config and split.
    """
    card = ["---", "configs:"]
    rows: dict[str, dict[str, int]] = {}
    for config, splits in sorted(tables.items()):
        card.append(f"- config_name: {json.dumps(config)}")
        rows[config], digests, files = {}, {}, ["  data_files:"]
        for split, table in splits.items():
            path = f"{config}/{split}.parquet"
            with atomic_path(folder / path) as partial:
                pq.write_table(table, partial, compression="zstd")
            files += [f"  - split: {split}", f"    path: {json.dumps(path)}"]
            digests[path] = sha256(folder / path)
            rows[config][split] = table.num_rows
        card += [f"  description: {content_digest(digests)}", *files]
    write_text(folder / "README.md", "\n".join([*card, "---", "", f"# {title}", "",
                                                "A local mirror for evaluation at the tasks' own number of shots; not for distribution.", ""]))  # fmt: skip
    return rows


def mirror_files(leaves: list[StockTask], data: dict[str, Any], folder: Path) -> dict[str, dict[str, int]]:
    """Writes the data set that `leaves` read, from a file of each split.

    With `config_column`, the rows of a config are those with its name in that column; without, there must be
    one config. A split that a task opens without using it at its number of shots (none), and that the files
    lack, gets one row of the split that is used: `datasets` opens no empty split. Raises InputError for a split or a config that a task needs and the files lack.
    """
    column = data.get("config_column")
    configs = list(dict.fromkeys(leaf.dataset_name or "default" for leaf in leaves))
    if column is None and len(configs) > 1:
        raise InputError(f"benchmark data: the task reads {len(configs)} configs ({', '.join(configs[:3])}, ...); "
                         "name the column that tells them apart as data.config_column")  # fmt: skip
    tables: dict[str, dict[str, pa.Table]] = {config: {} for config in configs}
    for split, text in data["files"].items():
        path = expand([text])[0]
        table = read_table(path)
        if column is None:
            tables[configs[0]][split] = table
            continue
        if column not in table.column_names:
            raise InputError(f"{path}: no column {column!r}; it has {', '.join(table.column_names)}")
        named = table[column]
        if named.null_count:
            row = named.is_null().index(True).as_py() + 1
            raise InputError(f"{path}: row {row}: {column!r} is missing; it names the config of the row")
        if not (pa.types.is_string(named.type) or pa.types.is_integer(named.type)):
            raise InputError(
                f"{path}: column {column!r} is {named.type}; a config is named by text or a whole number"
            )
        for config in configs:
            part = table.filter(pc.equal(named.cast(pa.string()), config))
            if part.num_rows:
                tables[config][split] = part
    for leaf in leaves:
        config = leaf.dataset_name or "default"
        for split in leaf.used:
            if split not in tables[config]:
                raise InputError(
                    f"benchmark data: task {leaf.name} needs the split {split!r} of config {config!r}; "
                    f"the files give {', '.join(tables[config]) or 'none'}"
                )
        for split in leaf.opened:
            tables[config].setdefault(split, tables[config][leaf.used[0]].slice(0, 1))
    return write_dataset(folder, tables, leaves[0].dataset_path)


def mirror_snapshot(
    leaves: list[StockTask], download: dict[str, Any], folder: Path
) -> dict[str, dict[str, int]]:
    """Copies the card and the data files of a download from the Hub (winnow.download); code is left behind.

    Raises InputError if what is copied does not open as the tasks will open it.
    """
    root = Path(download["folder"])
    kept = [
        path
        for path in map(Path, download["files"])
        if path.name == "README.md" or re.search(r"\.(parquet|jsonl?|csv|tsv|txt)(\.(gz|zst))?$", path.name)
    ]
    if not any(path.name != "README.md" for path in kept):
        raise InputError(
            f"{root}: no data files (parquet, json, csv, txt); data made by code cannot be mirrored"
        )
    for path in kept:
        with atomic_path(folder / path.relative_to(root)) as partial:
            shutil.copyfile(path, partial)
    return open_dataset(leaves, folder)


def open_dataset(leaves: list[StockTask], folder: Path) -> dict[str, dict[str, int]]:
    """Rows per config and split of the data set that `leaves` read, opened as lm-eval will open it.

    Raises InputError for a config or split that is not there.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()
    rows: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as cache, plain_links({folder.name: folder}) as links:
        for leaf in leaves:
            config = leaf.dataset_name or "default"
            if config not in rows:
                try:
                    found = datasets.load_dataset(str(links[folder.name]), leaf.dataset_name, cache_dir=cache)
                except ValueError as error:
                    raise InputError(
                        f"{folder}: {leaf.name} cannot open it: {str(error).splitlines()[0]}"
                    ) from None
                rows[config] = {str(split): data.num_rows for split, data in found.items()}
            for split in (*leaf.used, *leaf.opened):
                if split not in rows[config]:
                    raise InputError(
                        f"{folder}: config {config!r} has no split {split!r}, which {leaf.name} opens"
                    )
    return rows


def mirror(*, spec: str, out_dir: Path, download: list[Path] = []) -> None:
    """Makes the data set that a stock task (or group) of lm-eval reads.

    Args:
        spec: JSON: `benchmark` (task, data) and `name`.
        out_dir: folder to write; the data set goes to `<dataset_path of the task>/` inside it.
        download: what winnow.download wrote (one), for data with `hub`.
    """
    settings = read_spec(spec, "benchmark", "name")
    definition, name = settings["benchmark"], settings["name"]
    if "task" not in definition:
        raise InputError(
            "--spec benchmark: missing key 'task': this sub-command mirrors the data of stock tasks"
        )
    folder = find_folder(definition["task"])
    leaves = stock_tasks(definition["task"], folder)
    paths = sorted({leaf.dataset_path for leaf in leaves})
    if len(paths) > 1:
        raise InputError(
            f"task {definition['task']!r} reads {len(paths)} data sets ({', '.join(paths)}); name its members as benchmarks"
        )
    data = definition["data"]
    if "files" in data:
        rows = mirror_files(leaves, data, out_dir / paths[0])
    elif not download:
        raise InputError(
            f"benchmark {name}: data {data['hub']} at {data['revision']} needs --download, what winnow.download wrote of it"
        )
    else:
        rows = mirror_snapshot(leaves, read_json(download[0]), out_dir / paths[0])
    write_json(out_dir / "manifest.json", {
        "name": name,
        "kind": "stock",
        "task": definition["task"],
        "folder": folder,
        "dataset": paths[0],
        "leaves": [leaf.name for leaf in leaves],
        "evaluated": sorted({(leaf.dataset_name or "default", leaf.used[0]) for leaf in leaves}),
        "rows": rows,
        "spec": {"name": name, "data": json.loads(canonical(data))},
        "stage_version": STAGE_VERSION,
    })  # fmt: skip
    total = sum(n for splits in rows.values() for n in splits.values())
    say(f"[benchmarks] {name}: {len(leaves)} task(s), {len(rows)} config(s), {total:,} rows for {paths[0]}")


if __name__ == "__main__":
    run(heldout, labelled, grammar, mirror)
