"""Mirrors: the data set that tasks of lm-eval read, as a local folder, so that they run without a network.

In: the tasks, and files of each split or a download from the Hub. Out: a folder that `datasets.load_dataset` opens.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.documents.tables import read_table
from winnow.evaluate.stock import StockTask
from winnow.paths import expand, plain_links
from winnow.stage import InputError, atomic_path, content_digest, sha256, write_text

Rows = dict[str, dict[str, int]]
"""Rows of a data set by config and split."""


def write_dataset(folder: Path, tables: dict[str, dict[str, pa.Table]], title: str) -> Rows:
    """Writes `tables[config][split]` as a data set that `datasets.load_dataset(folder, config)` opens.

    Returns rows per config and split.
    """
    card = ["---", "configs:"]
    rows: Rows = {}
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


def mirror_files(leaves: list[StockTask], data: dict[str, Any], folder: Path) -> Rows:
    """Writes the data set that `leaves` read, from a file of each split.

    With `config_column`, the rows of a config are those with its name in that column; without, there must be
    one config. A split that a task opens without using it at its number of shots (none), and that the files
    lack, gets one row of the split that is used: `datasets` opens no empty split. Raises InputError for a split or a
    config that a task needs and the files lack.
    """
    column = data.get("config_column")
    configs = list(dict.fromkeys(leaf.dataset_name or "default" for leaf in leaves))
    if column is None and len(configs) > 1:
        raise InputError(f"benchmark data: the task reads {len(configs)} configs ({', '.join(configs[:3])}, ...); "
                         "name the column that holds the config of a row as data.config_column")  # fmt: skip
    tables: dict[str, dict[str, pa.Table]] = {config: {} for config in configs}
    for split, text in data["files"].items():
        path = expand([text])[0]
        table = read_table(path)
        if column is None:
            tables[configs[0]][split] = table
            continue
        if column not in table.column_names:
            raise InputError(f"{path}: no column {column!r}; it has {', '.join(table.column_names)}")
        names = table[column]
        if names.null_count:
            row = names.is_null().index(True).as_py() + 1
            raise InputError(f"{path}: row {row}: {column!r} is missing; it names the config of the row")
        if not (pa.types.is_string(names.type) or pa.types.is_integer(names.type)):
            raise InputError(
                f"{path}: column {column!r} is {names.type}; a config is named by text or a whole number"
            )
        for config in configs:
            part = table.filter(pc.equal(names.cast(pa.string()), config))
            if part.num_rows:
                tables[config][split] = part
    for leaf in leaves:
        config = leaf.dataset_name or "default"
        for split in leaf.used:
            if split not in tables[config]:
                raise InputError(
                    f"benchmark data: task {leaf.name} needs the split {split!r} of config {config!r}; "
                    f"the files have {', '.join(tables[config]) or 'none'}"
                )
        for split in leaf.opened:
            tables[config].setdefault(split, tables[config][leaf.used[0]].slice(0, 1))
    return write_dataset(folder, tables, leaves[0].dataset_path)


def mirror_snapshot(leaves: list[StockTask], download: dict[str, Any], folder: Path) -> Rows:
    """Copies the card and the data files of a download from the Hub (winnow.download), no code.

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


def open_dataset(leaves: list[StockTask], folder: Path) -> Rows:
    """Rows per config and split of the data set that `leaves` read, opened as lm-eval will open it.

    Raises InputError for a config or split that is not there.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()
    rows: Rows = {}
    with tempfile.TemporaryDirectory() as cache, plain_links({folder.name: folder}) as links:
        for leaf in leaves:
            config = leaf.dataset_name or "default"
            if config not in rows:
                try:
                    dataset = datasets.load_dataset(
                        str(links[folder.name]), leaf.dataset_name, cache_dir=cache
                    )
                except ValueError as error:
                    raise InputError(
                        f"{folder}: {leaf.name} cannot open it: {str(error).splitlines()[0]}"
                    ) from None
                rows[config] = {str(split): data.num_rows for split, data in dataset.items()}
            for split in (*leaf.used, *leaf.opened):
                if split not in rows[config]:
                    raise InputError(
                        f"{folder}: config {config!r} has no split {split!r}, which {leaf.name} opens"
                    )
    return rows
