"""Benchmark data: folders that `winnow.evaluate.harness` reads.

`heldout` turns the held-out documents of a corpus into items, `labelled` files of labelled documents, `grammar` draws
minimal pairs (the forms of items: `winnow.evaluate.forms`); `mirror` makes the data set that a task of lm-eval reads, from
local files or a download from the Hub. A folder has `manifest.json`, written last, which names its other files with
their digests. Of items made here these are `data.parquet` (one row per item) and `task.yaml`, the lm-eval task that
reads it (without paths, so that folders can be moved: `winnow.evaluate.harness` fills them in); a mirror has the data
set at `<owner>/<name>/`, so that the stock `lm_eval --tasks ...`, started inside the folder, finds its data, too.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.evaluate.forms import form_module
from winnow.evaluate.items import choose, read_heldout
from winnow.evaluate.mirror import mirror_files, mirror_snapshot
from winnow.evaluate.stock import find_folder, stock_tasks
from winnow.parquet import read_table
from winnow.paths import expand
from winnow.schema import read_spec
from winnow.stage import (
    InputError,
    atomic_path,
    canonical,
    read_json,
    run,
    say,
    sha256,
    write_json,
    write_text,
)

STAGE_VERSION = 4
"""Of this module and of `forms`, `items`, `mirror` and `stock`."""


def write_local(
    out_dir: Path, name: str, form: str, rows: dict[str, list[Any]], manifest: dict[str, Any]
) -> None:
    """Writes `data.parquet`, `task.yaml` (of a form with an lm-eval task) and, last, `manifest.json`."""
    import yaml

    module = form_module(form)
    schema = pa.schema([("item", pa.int64()), ("group", pa.string()), *module.COLUMNS])
    with atomic_path(out_dir / "data.parquet") as partial:
        pq.write_table(pa.Table.from_pydict(rows, schema=schema), partial, compression="zstd")
    files = [out_dir / "data.parquet"]
    if module.TASK:
        task = {"task": name, "dataset_path": "parquet", "dataset_name": None, "test_split": "test",
                **module.TASK, "metadata": {"version": 1.0}}  # fmt: skip
        write_text(out_dir / "task.yaml", yaml.safe_dump(task, sort_keys=False))
        files.append(out_dir / "task.yaml")
    groups = Counter(g for g in rows["group"] if g is not None)
    write_json(out_dir / "manifest.json", {
        "name": name,
        "kind": form,
        "items": len(rows["item"]),
        "groups": dict(sorted(groups.items())),
        "files": {path.name: sha256(path) for path in files},
        "stage_version": STAGE_VERSION,
        **manifest,
    })  # fmt: skip
    say(f"[benchmarks] {name}: {len(rows['item']):,} items ({form}), {len(groups)} groups")


def read_definition(spec: str, key: str, *names: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings, definition of the benchmark) of a `--spec` with `names` beside `benchmark` and `name`, whose benchmark has
    `key`."""
    settings = read_spec(spec, "benchmark", "name", *names)
    if key not in settings["benchmark"]:
        raise InputError(
            f"--spec benchmark: missing key {key!r}; this sub-command makes benchmarks that have it"
        )
    return settings, settings["benchmark"]


def class_names(source: Path) -> list[str]:
    """Names of the classes of a corpus, from its source.json. Raises InputError if it has no labels."""
    labels = read_json(source)["labels"]
    if labels is None:
        raise InputError(f"{source}: the corpus has no labels; set its key label")
    return labels["names"]


def heldout(*, source: Path, documents: list[Path], heldout: Path, spec: str, out_dir: Path) -> None:
    """Makes a benchmark of the corpus's held-out documents.

    Args:
        source: source.json of the corpus, which names its classes.
        documents: parquet shards of the corpus, all of them.
        heldout: heldout.parquet of the corpus; only role `heldout` is used.
        spec: JSON: `benchmark` (heldout: its form; items; seed; completion), `name`, `group` (meta column or null).
        out_dir: folder to write.
    """
    settings, definition = read_definition(spec, "heldout", "group")
    form = definition["heldout"]
    held = read_heldout(documents, heldout, settings["group"])
    module = form_module(form)
    settings_of_form = {key: definition[key] for key in ("completion",) if key in definition}
    rows = module.make(held, definition.get("items", 1000), definition.get("seed", 0), **settings_of_form)
    classes = {"classes": class_names(source)} if module.TASK is None else {}
    write_local(out_dir, settings["name"], form, rows, {"spec": settings, **classes})


def labelled(*, source: Path, spec: str, out_dir: Path, download: list[Path] = []) -> None:
    """Makes a benchmark of labelled documents that have files of their own (a test split).

    A label is the class that it is in the corpus; one that the corpus does not have is an error. Texts are cleaned as
    those of the corpus.

    Args:
        source: source.json of the corpus, which names its classes.
        spec: JSON: `benchmark` (labelled: files, text, label; items; seed), `name`, `clean` (that of the corpus).
        out_dir: folder to write.
        download: what winnow.download wrote (one), for files of the Hub.
    """
    from winnow.documents.shards import classes_of, index_files, write_shard

    settings, definition = read_definition(spec, "labelled", "clean")
    names = class_names(source)
    part = definition["labelled"]
    corpus = {"text": part["text"], "label": part["label"], "meta": [], "clean": settings["clean"]}
    files = read_json(download[0])["files"] if download else expand(part["files"])
    index = index_files(files, corpus, labels=classes_of(read_json(source)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.parquet"
        write_shard(index, corpus, 0, 1, path)
        table = read_table(path, columns=["doc", "text", "label"])
    if not len(table):
        raise InputError(f"{index['files'][0]['path']}: no row with a text; nothing can be evaluated")
    table = table.take(choose(table["doc"].to_numpy(), definition["items"], definition["seed"]))
    rows = {
        "item": table["doc"].to_pylist(),
        "group": [None] * len(table),
        "text": table["text"].to_pylist(),
        "label": table["label"].to_pylist(),
    }
    write_local(out_dir, settings["name"], "labels", rows, {"spec": settings, "classes": names})


def grammar(*, spec: str, out_dir: Path) -> None:
    """Makes a benchmark of the story grammar.

    Args:
        spec: JSON: `benchmark` (grammar: its form; items; seed) and `name`.
        out_dir: folder to write.
    """
    settings, definition = read_definition(spec, "grammar")
    form = definition["grammar"]
    rows = form_module(form).make(definition.get("items", 400), definition.get("seed", 0))
    write_local(out_dir, settings["name"], form, rows, {"spec": settings})


def mirror(*, spec: str, out_dir: Path, download: list[Path] = []) -> None:
    """Makes the data set that a stock task (or group) of lm-eval reads.

    Args:
        spec: JSON: `benchmark` (task, data) and `name`.
        out_dir: folder to write; the data set goes to `<dataset_path of the task>/` inside it.
        download: what winnow.download wrote (one), for data with `hub`.
    """
    settings, definition = read_definition(spec, "task")
    name = settings["name"]
    folder = find_folder(definition["task"])
    leaves = stock_tasks(definition["task"], folder)
    paths = sorted({leaf.dataset_path for leaf in leaves})
    if len(paths) > 1:
        raise InputError(
            f"task {definition['task']!r} reads {len(paths)} data sets ({', '.join(paths)}); name its members as benchmarks"
        )
    data, dataset = definition["data"], out_dir / paths[0]
    if "hub" in data and not download:
        raise InputError(
            f"benchmark {name}: data {data['hub']} at {data['revision']} needs --download, what winnow.download wrote of it"
        )
    shutil.rmtree(dataset, ignore_errors=True)
    if "hub" in data:
        rows = mirror_snapshot(leaves, read_json(download[0]), dataset)
    else:
        rows = mirror_files(leaves, data, dataset)
    write_json(out_dir / "manifest.json", {
        "name": name,
        "kind": "stock",
        "task": definition["task"],
        "folder": folder,
        "dataset": paths[0],
        "leaves": [leaf.name for leaf in leaves],
        "evaluated": sorted({(leaf.dataset_name or "default", leaf.used[0]) for leaf in leaves}),
        "rows": rows,
        "files": {
            path.relative_to(out_dir).as_posix(): sha256(path)
            for path in sorted(dataset.rglob("*"))
            if path.is_file()
        },
        "spec": {"name": name, "data": json.loads(canonical(data))},
        "stage_version": STAGE_VERSION,
    })  # fmt: skip
    total = sum(n for splits in rows.values() for n in splits.values())
    say(f"[benchmarks] {name}: {len(leaves)} task(s), {len(rows)} config(s), {total:,} rows for {paths[0]}")


if __name__ == "__main__":
    run(heldout, labelled, grammar, mirror)
