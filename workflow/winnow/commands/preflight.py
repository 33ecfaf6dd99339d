"""What can be told before the first job: the files that a run needs, and what the first rows of its local sources say.

Light at import; what reads data is imported when there is a local source to look at.
"""

from __future__ import annotations

import bz2
import contextlib
import csv
import functools
import gzip
import io
import json
import lzma
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.config.checks import proxies_of
from winnow.experiments import needs, scorers_of
from winnow.paths import expand
from winnow.schema import ConfigError
from winnow.stage import InputError, canonical, say

SAMPLE = 1 << 20
"""Bytes that are looked at of a source; a smaller source is looked at as a whole."""
FILES, COUNTED = 20, 200
"""Files that are looked at, and parquet files whose rows are counted (from their metadata), at most."""
FEW, UNIQUE = 50, 0.95
"""From how many rows on, and from which share of distinct values on, a column looks like an id."""
MAX_VALUES = 10_000
"""Distinct values of a column that are remembered at most."""


# ---------------------------------------------------------------- what a run needs


# ---------------------------------------------------------------- a look at a source


@dataclass(frozen=True)
class Look:
    """What the first rows of a source say.

    `rows`: of all files, where they are known without reading them; `about`: their estimated number, if not.
    `first`: how many were looked at; `whole`: whether those are all. `bytes`: of their texts (UTF-8), in all.
    `counts`: distinct values of the label and of meta columns; `values`: those of meta columns of texts or whole
    numbers, where they are not too many to keep. `places`: file and row (from 1) of the first of each label. `late`:
    label and meta columns that no row of the sample has.
    """

    rows: int | None
    about: int | None
    first: int
    whole: bool
    bytes: int
    counts: dict[str, int]
    values: dict[str, set[str | int]]
    places: dict[str, tuple[str, int]]
    late: tuple[str, ...] = ()


def look(corpus: dict[str, Any]) -> Look | None:
    """A look at the local files of a corpus (or of a benchmark in its shape); None where its formats allow none.

    Raises InputError as the stage documents does, for what the first rows tell already.
    """
    paths = expand(corpus["source"]["files"])
    state = tuple((path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths)
    return _look(
        state, canonical({k: v for k, v in corpus.items() if k not in ("heldout", "shards", "group")})
    )


@functools.cache
def _look(state: tuple[tuple[str, int, int], ...], text: str) -> Look | None:
    corpus, paths = json.loads(text), [path for path, _, _ in state]
    with tempfile.TemporaryDirectory() as name:
        samples: dict[str, str] = {}  # path of the sample -> path in the source
        size = read = 0
        whole = True
        for index, path in enumerate(paths):
            if index >= FILES or size >= SAMPLE:
                whole = False
                break
            sample = _sample(path, Path(name) / str(index))
            if sample is None:
                return None
            samples[sample[0]] = path
            size += os.path.getsize(sample[0])
            read += sample[1]
            whole = whole and sample[2]
        return _first_rows(corpus, paths, samples, read, whole)


def _sample(path: str, folder: Path) -> tuple[str, int, bool] | None:
    """The first rows of a file, as a file of its own in `folder` unless it is small: that path, the bytes of the file
    that were read, and whether they are all. None where the format allows no cut."""
    size = os.path.getsize(path)
    stem, ending = os.path.splitext(path)
    compressed = ending.lower() in (".gz", ".bz2", ".xz", ".zst")
    small = (path, size, True)
    if size <= SAMPLE and not compressed:
        return small
    folder.mkdir()
    if ending.lower() == ".parquet":
        return _parquet_sample(path, folder)
    kind = os.path.splitext(stem)[1].lower() if compressed else ending.lower()
    if kind not in (".jsonl", ".ndjson", ".json", ".jsonlines", ".csv", ".tsv", ".txt"):
        return None
    try:
        data, used = _head(path, ending.lower() if compressed else "")
    except (OSError, EOFError, lzma.LZMAError, ValueError):  # broken: the stage that reads it all says how
        return small if size <= SAMPLE else None
    if len(data) < SAMPLE:
        return small
    data = data[: data.rfind(b"\n") + 1]
    if kind in (".csv", ".tsv"):
        data = _records(data, "\t" if kind == ".tsv" else ",")
    if not data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return None
    sample = folder / os.path.basename(stem if compressed else path)
    sample.write_bytes(data)
    return str(sample), max(1, used), False


def _head(path: str, compression: str) -> tuple[bytes, int]:
    """The first SAMPLE bytes of a file, decompressed, and how many of its own bytes were read for them."""
    with open(path, "rb") as raw:
        stream: Any = raw
        if compression == ".gz":
            stream = gzip.GzipFile(fileobj=raw)
        elif compression == ".bz2":
            stream = bz2.BZ2File(raw)
        elif compression == ".xz":
            stream = lzma.LZMAFile(raw)  # noqa: SIM115 (closing it would close nothing more)
        elif compression == ".zst":
            import pyarrow as pa

            stream = pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")
        parts, size = [], 0
        while size < SAMPLE and (data := stream.read(SAMPLE - size)):
            parts.append(data)
            size += len(data)
        return b"".join(parts), raw.tell()


def _records(data: bytes, delimiter: str) -> bytes:
    """Whole records of csv: the lines before the last record, which the cut may have hit."""
    lines = list(io.StringIO(data.decode("utf-8-sig", "surrogateescape"), newline=""))
    reader, ends = csv.reader(lines, delimiter=delimiter, strict=True), [0]
    with contextlib.suppress(csv.Error):
        for _ in reader:
            ends.append(reader.line_num)
    return "".join(lines[: ends[-2] if len(ends) > 1 else 0]).encode("utf-8", "surrogateescape")


def _parquet_sample(path: str, folder: Path) -> tuple[str, int, bool] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sample = folder / os.path.basename(path)
    try:
        with pq.ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=256), None)
            if batch is None:
                return path, os.path.getsize(path), True
            pq.write_table(pa.Table.from_batches([batch]), sample)
            share = batch.num_rows / file.metadata.num_rows
    except (pa.ArrowException, OSError):
        return None
    return str(sample), max(1, int(share * os.path.getsize(path))), share == 1


def _first_rows(
    corpus: dict[str, Any], paths: list[str], samples: dict[str, str], read: int, whole: bool
) -> Look:
    """Reads samples as the stage documents reads sources: the same columns, types and errors."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from winnow.documents.shards import index_files, write_shard

    late: tuple[str, ...] = ()
    if not whole:
        wanted = [*([corpus["label"]] if corpus.get("label") else []), *corpus.get("meta", [])]
        try:
            seen = _without_late(corpus, list(samples))
        except (InputError, ValueError):
            seen = corpus  # what is wrong is said below, or is no matter of these columns
        if seen is None:
            return Look(None, None, 0, False, 0, {}, {}, {})
        corpus = seen
        late = tuple(n for n in wanted if n not in (corpus.get("label"), *corpus.get("meta", [])))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        out = Path(folder) / "documents.parquet"
        try:
            source = index_files(list(samples), corpus)
            write_shard(source, corpus, 0, 1, out)
        except InputError as error:
            said = str(error)
            for sample, path in samples.items():
                said = said.replace(sample, path)
            if not whole and ": no rows in " in said:
                return Look(None, None, 0, False, 0, {}, {}, {})
            raise InputError(said) from None
        table = pq.read_table(out)
    counts: dict[str, int] = {}
    values: dict[str, set[str | int]] = {}
    for column in [*(["label"] if corpus.get("label") else []), *corpus.get("meta", [])]:
        try:
            distinct = pc.unique(table[column].combine_chunks().drop_null())
        except NotImplementedError:  # lists and structs have no equality in Arrow
            continue
        counts[column] = len(distinct)
        plain = pa.types.is_string(distinct.type) or pa.types.is_integer(distinct.type)
        if column != "label" and plain and len(distinct) <= MAX_VALUES:
            values[column] = set(distinct.to_pylist())
    places: dict[str, tuple[str, int]] = {}
    if corpus.get("label") and counts["label"] <= MAX_VALUES:
        names = source["labels"]["names"]
        for value, row in zip(table["label"].to_pylist(), table["doc"].to_pylist(), strict=True):
            label = names[value]
            if label not in places:
                places[label] = _place(source["files"], samples, row)
    rows = source["rows"] if whole else _counted(paths)
    about = None
    if rows is None and not any(path.lower().endswith((".txt", ".txt.gz")) for path in paths):
        about = round(sum(map(os.path.getsize, paths)) * source["rows"] / read)
    size = int(pc.sum(table["bytes"]).as_py() or 0)
    return Look(rows, about, len(table), whole, size, counts, values, places, late)


def _place(files: list[dict[str, Any]], samples: dict[str, str], row: int) -> tuple[str, int]:
    """File and row in it (from 1) of a row of several files."""
    for file in files:
        if row < file["rows"]:
            return samples[file["path"]], row + 1
        row -= file["rows"]
    raise ValueError(row)


def _without_late(corpus: dict[str, Any], samples: list[str]) -> dict[str, Any] | None:
    """The corpus without the label and meta columns of which no row of JSON samples has a value: they may come later. None
    if no row has a text."""
    from winnow.documents.columns import infer, known, storable
    from winnow.documents.json_lines import json_rows
    from winnow.documents.survey import find_fields

    names = [corpus["text"], *([corpus["label"]] if corpus.get("label") else []), *corpus.get("meta", [])]
    there = set()
    for path in samples:
        if not path.lower().endswith((".jsonl", ".ndjson", ".json", ".jsonlines")):
            return corpus
        for row in json_rows(path, Path(path).read_bytes(), 0):
            for name in names:
                if name not in there and (fields := find_fields(row, name)):
                    value: Any = row
                    for key in fields:
                        value = value[key]
                    if value is not None and storable(known(infer(value))) is None:
                        there.add(name)
    if corpus["text"] not in there:
        return None
    meta = [name for name in corpus.get("meta", []) if name in there]
    return {
        **corpus,
        "label": corpus.get("label") if corpus.get("label") in there else None,
        "meta": meta,
        "types": {n: t for n, t in (corpus.get("types") or {}).items() if n in (*meta, corpus["text"])},
    }


def _counted(paths: list[str]) -> int | None:
    """Rows of parquet files, from their metadata; None for other formats and for very many files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if len(paths) > COUNTED or not all(path.lower().endswith(".parquet") for path in paths):
        return None
    try:
        return sum(pq.read_metadata(path).num_rows for path in paths)
    except (pa.ArrowException, OSError):
        return None


# ---------------------------------------------------------------- what the look says of the configuration


def look_at_sources(config: dict[str, Any]) -> None:
    """Looks at the first rows of the local sources that the run needs.

    Raises ConfigError (or InputError, for a file that a person wrote) for what they tell is wrong; what looks odd, but
    can be meant, is said in a line.
    """
    needed = needs(config)
    for name in needed.corpora:
        corpus = config["corpora"][name]
        if "files" not in corpus["source"] or "hub" in corpus["source"]:
            continue
        try:
            found = look(corpus)
        except InputError as error:
            raise ConfigError(_key(("corpora", name), corpus, str(error)), str(error)) from None
        if found is not None:
            for column in found.late:
                say(
                    f"note: corpora.{name}: no row of the first {found.first:,} has {column!r}; it may come later"
                )
            _check_label(config, name, found)
            _check_size(config, name, found)
            _check_values(config, name, found)
    for name in needed.benchmarks:
        if "labelled" in config["benchmarks"][name]:
            _check_labelled(config, name)
    _check_exclusions(config)


def _key(path: tuple[str, ...], part: dict[str, Any], said: str) -> tuple[str | int, ...]:
    """The key of `part` that a message about a column speaks of."""
    for key in ("text", "label"):
        if part.get(key) and (f"column {part[key]!r}" in said or f"label {part[key]!r}" in said):
            return (*path, key)
    for index, column in enumerate(part.get("meta", [])):
        if f"column {column!r}" in said:
            return (*path, "meta", index)
    return path


def classified(config: dict[str, Any]) -> set[str]:
    """Corpora on which classifiers are trained, for an experiment or a scorer of its samplers."""
    found = set()
    for experiment in config["experiments"]:
        scorers = [
            config["scorers"][s]
            for name in experiment["samplers"]
            for s in scorers_of(config["samplers"][name])
        ]
        if config["models"][experiment["model"]]["kind"] == "classifier":
            found.add(experiment["corpus"])
        for scorer in scorers:
            if "classifier" in scorer:
                found.add(scorer["classifier"]["corpus"] or experiment["corpus"])
    return found


def _rows(found: Look) -> str:
    return f"{'all' if found.whole else 'the first'} {found.first:,} rows"


def _check_label(config: dict[str, Any], name: str, found: Look) -> None:
    corpus, path = config["corpora"][name], ("corpora", name, "label")
    distinct = found.counts.get("label")
    if not found.whole and corpus["label"] in (
        "folder",
        "file",
    ):  # of txt files, which come a folder after the other
        distinct = None
    if distinct is not None:
        unique = found.first >= FEW and distinct >= UNIQUE * found.first
        many = f"{corpus['label']!r} has {distinct:,} different values in {_rows(found)}"
        if name not in classified(config):
            if unique:
                say(f"note: corpora.{name}.label: {many}; it looks like an id")
        elif unique:
            raise ConfigError(path, f"{many}: that is an id, not a class; name the column of the class")
        elif distinct == 1:
            one = f"{corpus['label']!r} is {next(iter(found.places))!r} in {_rows(found)}"
            if found.whole:
                raise ConfigError(path, f"{one}; a classifier needs two classes or more")
            say(f"note: corpora.{name}.label: {one}; a classifier needs two classes or more")
    group = corpus["group"]
    if group in found.counts and found.first >= FEW and found.counts[group] >= UNIQUE * found.first:
        say(
            f"note: corpora.{name}.group: {group!r} has {found.counts[group]:,} different values in {_rows(found)}; "
            "it looks like an id"
        )


def _check_size(config: dict[str, Any], name: str, found: Look) -> None:
    """Held-out documents, budgets and clusters against the rows of a source: an error where these are known, a note where
    they are estimated."""
    there = found.first if found.whole else found.about if found.rows is None else found.rows
    if there is None:
        return

    def wrong(place: tuple[str | int, ...], why: str) -> None:
        error = ConfigError(place, why)
        if found.whole or found.rows is not None:
            raise error
        say(f"note: {error} (about {there:,} rows, by the first {found.first:,})")

    heldout = config["corpora"][name]["heldout"]["documents"]
    if heldout and heldout >= there:
        wrong(
            ("corpora", name, "heldout", "documents"),
            f"{heldout:,} of {there:,} documents leaves no pool; hold out fewer",
        )
        return
    pool = there - heldout
    for place, budget_name in _draws(config, name):
        budget = config["budgets"][budget_name]
        asked = budget["train"] + budget["validation"] + budget["test"]
        most, unit = pool, "documents"
        if budget["unit"] == "tokens":  # each is a byte at least, or the end of a document
            most, unit = (found.bytes + found.first if found.whole else asked), "tokens"
        if asked > most:
            wrong(
                (*place, "budget"),
                f"{budget_name!r} asks for {asked:,} {unit}, the pool of {name} has at most {most:,}",
            )
    for index, experiment in enumerate(config["experiments"]):
        if experiment["corpus"] == name and experiment["clustering"] is not None:
            k = config["clusterings"][experiment["clustering"]].get("k", 1)
            if k > pool:
                wrong(
                    ("experiments", index, "clustering"),
                    f"{experiment['clustering']!r} has {k:,} clusters, the pool of {name} at most {pool:,} documents",
                )


def _draws(config: dict[str, Any], corpus: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Places in the config that ask for a draw from a corpus, and the names of their budgets."""
    for index, experiment in enumerate(config["experiments"]):
        if experiment["corpus"] == corpus:
            yield ("experiments", index), experiment["budget"]
        for sampler in experiment["samplers"]:
            for scorer in scorers_of(config["samplers"][sampler]):
                for key, proxy in proxies_of(config["scorers"][scorer]).items():
                    if "hub" not in proxy and (proxy["corpus"] or experiment["corpus"]) == corpus:
                        yield ("scorers", scorer, key), proxy["budget"]


def _wheres(config: dict[str, Any], corpus: str) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Conditions on meta columns of a corpus: of the samplers that draw from it, and of scorers' targets."""
    for experiment in config["experiments"]:
        for name in experiment["samplers"]:
            sampler = config["samplers"][name]
            if experiment["corpus"] == corpus and "where" in sampler["filters"]:
                yield ("samplers", name, "filters", "where", "values"), sampler["filters"]["where"]
            for scorer in scorers_of(sampler):
                target = config["scorers"][scorer].get("target", {})
                if "where" in target and (target["corpus"] or experiment["corpus"]) == corpus:
                    yield ("scorers", scorer, "target", "where", "values"), target["where"]
                for proxy in proxies_of(config["scorers"][scorer]).values():
                    if "hub" not in proxy and (proxy["corpus"] or experiment["corpus"]) == corpus:
                        own = config["samplers"][proxy["sampler"]]["filters"]
                        if "where" in own:
                            yield ("samplers", proxy["sampler"], "filters", "where", "values"), own["where"]


def _check_values(config: dict[str, Any], name: str, found: Look) -> None:
    """Of a source that was looked at as a whole: conditions that no row meets."""
    for path, where in _wheres(config, name) if found.whole else ():
        there = found.values.get(where["column"])
        if there is not None and not {str(v) for v in there} & {str(v) for v in where["values"]}:
            shown = ", ".join(sorted(map(str, there))[:10])
            raise ConfigError(
                path, f"no row of corpora.{name} has one in {where['column']!r}; it has {shown}"
            )


def _check_labelled(config: dict[str, Any], name: str) -> None:
    """A labelled test file's columns, and its labels against those of the corpora whose models read it."""
    part = config["benchmarks"][name]["labelled"]
    shape = {"source": {"files": part["files"]}, "text": part["text"], "label": part["label"], "meta": []}
    path = ("benchmarks", name, "labelled")
    try:
        test = look(shape)
    except InputError as error:
        raise ConfigError(_key(path, part, str(error)), str(error)) from None
    readers = {e["corpus"] for e in config["experiments"] for s in e["suites"] if name in config["suites"][s]}
    for corpus in sorted(readers):
        source = config["corpora"][corpus]["source"]
        known = (
            look(config["corpora"][corpus]) if "files" in source and "hub" not in source and test else None
        )
        if known is None or test is None or not known.places:
            continue
        foreign = [label for label in test.places if label not in known.places]
        if not foreign:
            continue
        file, row = test.places[foreign[0]]
        said = (
            f"{file}: row {row}: label {foreign[0]!r} is not among the labels of corpora.{corpus}: "
            f"{', '.join(sorted(known.places)[:20])}"
        )
        if known.whole:
            raise ConfigError((*path, "label"), said)
        say(f"note: benchmarks.{name}.labelled.label: {said} (in {_rows(known)})")


def _check_exclusions(config: dict[str, Any]) -> None:
    """The exclusions that a person wrote: their lines, as far as they can be told before the clustering is there."""
    pairs = {(e["corpus"], e["clustering"]) for e in config["experiments"] if e["clustering"] is not None}
    for corpus, clustering in sorted(pairs):
        path = Path(f"config/exclusions/{corpus}.{clustering}.tsv")
        if not path.exists():
            continue
        from winnow.cluster.exclude import HEADER, read_exclusions

        first = path.read_bytes().split(b"\n")[0].decode("utf-8-sig", "replace")
        k = config["clusterings"][clustering].get("k", 1 << 31)
        read_exclusions(path, first.removeprefix(HEADER).strip(), k)
