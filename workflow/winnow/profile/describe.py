"""All shards of measures and counts -> the tables of a profile.

In: measures of each family (winnow.profile.measure), counts and digests (winnow.profile.counts), documents, and what is
known of the corpus. Out, in one folder (TABLES): words.csv and features.csv (all names), vocabulary.csv, ngrams.csv and
names.csv (the most frequent), describe.csv (the figures of pandas' describe(), of measures and of the counts in such
a table), histograms.csv, levels.csv (shares of the
values of measures that are text), cooccurrence.csv (these shares among the documents of each feature), suitability.csv
(shares of documents that meet an objective, and all of them), facts.json. The same bytes for any number of shards; memory: one shard of one
column, and a few batches of counts of each shard.
"""

from __future__ import annotations

import heapq
import itertools
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.csv_files import write_rows
from winnow.parquet import open_parquet, read_table
from winnow.profile.counts import KINDS, PROMPTS, column_entries
from winnow.profile.kinds import facts, is_text
from winnow.profile.statistics import (
    Description,
    conditions,
    describe,
    describe_values,
    distinct,
    histogram,
    share,
    top,
)
from winnow.profile.tables import TABLES
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, read_json, run, write_json

STAGE_VERSION = 2
MOST = {"vocabulary": 50_000, "names": 1000, "ngrams": 1000}  # rows of a table; ngrams: of each length
FEATURES = 20  # in cooccurrence.csv, the most frequent
LEVELS = 100  # of a measure that is text, at most
ALL = "(all of these)"
BATCH = 1 << 13  # rows of counts of each shard in memory


# ---------------------------------------------------------------- counts


def merged(paths: Sequence[Path]) -> Iterator[tuple[str, str, int]]:
    """(what, name, count) of the counts of all shards added up, ascending."""
    streams = [_rows(path) for path in paths]
    for (what, name), same in itertools.groupby(heapq.merge(*streams), key=lambda row: row[:2]):
        yield what, name, sum(count for _, _, count in same)


def _rows(path: Path) -> Iterator[tuple[str, str, int]]:
    columns = ["what", "name", "count"]
    with open_parquet(path, columns) as file:
        for batch in file.iter_batches(BATCH, columns=columns):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


class Counts(NamedTuple):
    """Counts of all shards. `names`: (name, count) of each kind, the most frequent of those of MOST; of n-grams by their
    length. `values`: counts of all names of each kind."""

    names: dict[str, list[tuple[str, int]]]
    ngrams: dict[int, list[tuple[str, int]]]
    values: dict[str, np.ndarray]


def add_up(paths: Sequence[Path]) -> Counts:
    """The counts of all shards."""
    names: dict[str, list[tuple[str, int]]] = {kind: [] for kind in KINDS}
    ngrams: dict[int, list[tuple[str, int]]] = {}
    values: dict[str, array[int]] = {kind: array("q") for kind in KINDS}
    for what, name, count in merged(paths):
        values[what].append(count)
        chosen = names[what] if what != "ngrams" else ngrams.setdefault(name.count(" ") + 1, [])
        chosen.append((name, count))
        most = MOST.get(what)
        if most and len(chosen) > 20 * most:
            chosen[:] = top(chosen, most)
    return Counts(
        {what: top(many, MOST.get(what)) for what, many in names.items()},
        {size: top(many, MOST["ngrams"]) for size, many in sorted(ngrams.items())},
        {what: np.array(many, dtype=np.int64) for what, many in values.items()},
    )


# ---------------------------------------------------------------- measures


def shards_of(paths: Sequence[Path], name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Documents and values of a number measure, shard by shard (winnow.profile.statistics.Shards)."""
    for path in paths:
        table = read_table(path, columns=["doc", name])
        if len(table):
            values = table[name].combine_chunks()
            if values.null_count and pa.types.is_integer(values.type):
                values = values.cast(pa.float32())
            yield table["doc"].to_numpy(), values.to_numpy(zero_copy_only=False)


def is_whole(paths: Sequence[Path], name: str) -> bool:
    """Whether a measure is of whole numbers."""
    return any(pa.types.is_integer(pq.read_schema(path).field(name).type) for path in paths)


def measure_files(
    families: Sequence[str], measures: Sequence[Path], shards: int
) -> dict[str, Sequence[Path]]:
    """The shards of each measure: those of its family. Raises InputError unless there is one for each family and shard."""
    if len(measures) != len(families) * shards:
        raise InputError(f"--measures: {len(measures)} files for {shards} shards of {len(families)} families")
    return {
        measure: measures[index * shards : (index + 1) * shards]
        for index, family in enumerate(families)
        for measure in facts(family).columns
    }


def text_values(path: Path, name: str) -> pa.Array:
    column = read_table(path, columns=[name])[name].combine_chunks()
    return column.cast(pa.string())


def level_rows(measure: str, order: Sequence[str], counts: Counter[str]) -> list[dict[str, Any]]:
    """Rows of levels.csv: the levels in their order, or by falling count; shares are of the documents that have one."""
    whole = sum(counts.values())
    levels = [*order, *(name for name, _ in top([*counts.items()], LEVELS) if name not in order)]
    rows = []
    for level in levels:
        value, low, high = share(counts[level], whole)
        rows.append(dict(measure=measure, level=level, documents=counts[level], share=value, ci_low=low, ci_high=high))  # fmt: skip
    return rows


def cooccurrences(
    measure: str,
    levels: list[dict[str, Any]],
    features: Sequence[str],
    column: str,
    documents: Sequence[Path],
    paths: Sequence[Path],
) -> list[dict[str, Any]]:
    """Rows of cooccurrence.csv: how often a level occurs among the documents whose prompt has a feature."""
    together: Counter[tuple[str, str]] = Counter()
    for shard, path in zip(documents, paths, strict=True):
        values = text_values(path, measure)
        start = 0
        for rows, listed in column_entries(shard, column):
            place = {name: at for at, name in enumerate(listed.names)}
            of_batch = values.slice(start, rows).dictionary_encode()
            level_names = of_batch.dictionary.to_pylist()
            code = of_batch.indices.fill_null(len(level_names)).to_numpy(zero_copy_only=False)
            for feature in features:
                if feature in place:
                    having = np.unique(listed.row[listed.place == place[feature]])
                    counts = np.bincount(code[having], minlength=len(level_names) + 1).tolist()
                    together.update({(feature, level): n for level, n in zip(level_names, counts, strict=False)})  # fmt: skip
            start += rows
    out = []
    for feature in features:
        whole = sum(n for (name, _), n in together.items() if name == feature)
        for row in levels:
            both = together[feature, row["level"]]
            value, low, high = share(both, whole)
            out.append(dict(measure=measure, level=row["level"], feature=feature, documents=both, share=value,
                            ci_low=low, ci_high=high, overall=row["share"]))  # fmt: skip
    return out


def condition(objective: dict[str, Any]) -> str:
    """The condition of an objective in words."""
    parts = [f">= {objective['min']:g}"] if "min" in objective else []
    parts += [f"<= {objective['max']:g}"] if "max" in objective else []
    parts += [" or ".join(map(str, objective["values"]))] if "values" in objective else []
    return " and ".join(parts)


def meets(path: Path, objective: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Which documents of a shard have the measure of an objective, and which of them meet its condition, bool [n] each."""
    measure = objective["measure"]
    if is_text(measure):
        values = text_values(path, measure)
        fits = pc.is_in(values, pa.array(objective["values"]))
        return values.is_valid().to_numpy(zero_copy_only=False), fits.to_numpy(zero_copy_only=False)
    numbers = [values for _, values in shards_of([path], measure)]
    column = numbers[0] if numbers else np.zeros(0, dtype=np.float32)
    return np.isfinite(column), conditions(column, objective)


def suitability(name: str, objective: dict[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """The row of an objective: documents that have the measure, how many of them meet the condition, and `without` it.

    Raises InputError for an objective that asks values of numbers, or bounds of text.
    """
    measure, text = objective["measure"], is_text(objective["measure"])
    if text != ("values" in objective):
        asked = "values" if "values" in objective else "min or max"
        raise InputError(
            f"profile.objectives.{name}: {asked} of {measure!r}, which is {'text' if text else 'a number'}"
        )
    return _objective_row(name, measure, condition(objective), (meets(path, objective) for path in paths))


def suits_all(objectives: Sequence[dict[str, Any]], files: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """The row of documents that meet all objectives; `without`: those that lack a measure of one."""

    def masks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        of_measure = [files[objective["measure"]] for objective in objectives]
        for paths in zip(*of_measure, strict=True):
            both = [meets(path, objective) for path, objective in zip(paths, objectives, strict=True)]
            valid, fits = zip(*both, strict=True)
            yield np.logical_and.reduce(valid), np.logical_and.reduce(fits)

    return _objective_row(ALL, "", "", masks())


def _objective_row(
    name: str, measure: str, condition: str, masks: Iterable[tuple[np.ndarray, np.ndarray]]
) -> dict[str, Any]:
    with_value = passing = rows = 0
    for valid, fits in masks:
        with_value, passing, rows = (
            with_value + int(valid.sum()),
            passing + int(fits.sum()),
            rows + len(valid),
        )
    value, low, high = share(passing, with_value)
    return dict(objective=name, measure=measure, condition=condition, documents=with_value, passing=passing,
                share=value, ci_low=low, ci_high=high, without=rows - with_value)  # fmt: skip


# ---------------------------------------------------------------- the stage


def known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def figures(of: str, one: Description) -> dict[str, Any]:
    """The row of describe.csv of a column."""
    numbers = dict(zip(("25%", "50%", "75%"), one.quartiles, strict=True))
    numbers |= {"mean": one.mean, "std": one.std, "min": one.min, "max": one.max}
    shown = {name: known(float(value)) for name, value in numbers.items()}
    return {"of": of, "count": one.count, "missing": one.missing, **shown}


def digests_of(paths: Iterable[Path]) -> Iterator[np.ndarray]:
    """Digests of the documents of each shard, uint64 [n]."""
    for path in paths:
        yield read_table(path, columns=["digest"])["digest"].to_numpy()


def main(
    *,
    documents: list[Path],
    measures: list[Path] = [],
    counts: list[Path],
    digests: list[Path],
    source: Path,
    spec: str,
    out_dir: Path,
    name: str = "",
) -> None:
    """Write the tables of a profile.

    Args:
        documents: shards of documents (parquet: doc, digest, and the columns of words and features).
        measures: measures of the shards, of the first family for each shard, then of the second, and so on.
        counts: counts of the shards.
        digests: digests of the words of the texts of the shards (.npy).
        source: source.json of the corpus.
        spec: JSON: families (names), prompts (columns of `words` and `features`, or null), objectives (by name).
        out_dir: folder of the tables (TABLES, a CSV each) and of facts.json, which is written last.
        name: name of the corpus in progress lines.
    """
    settings = read_spec(spec, "families", "prompts", "objectives")
    files = measure_files(settings["families"], measures, len(documents))
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    total = add_up(counts)
    of_documents = dict(total.names["documents"])
    for what in (*PROMPTS, "vocabulary", "names"):
        rows[what] = [dict(name=entry, count=count) for entry, count in total.names[what]]
        if len(total.values[what]):
            rows["describe"].append(figures(f"{what}.csv", describe_values(total.values[what])))
    for size, many in total.ngrams.items():
        rows["ngrams"] += [dict(words=size, name=entry, count=count) for entry, count in many]
    features = [entry for entry, _ in total.names["features"][:FEATURES]]
    progress = Progress(f"describe {name}", total=len(settings["families"]), unit="families")
    for family in settings["families"]:
        for measure in facts(family).columns:
            if measure in facts(family).free:
                continue
            paths = files[measure]
            if is_text(measure):
                of_level: Counter[str] = Counter()
                for path in paths:
                    for item in text_values(path, measure).drop_null().value_counts().to_pylist():
                        of_level[item["values"]] += item["counts"]
                levels = level_rows(measure, facts(family).levels.get(measure, ()), of_level)
                rows["levels"] += levels
                if features:
                    column = settings["prompts"]["features"]
                    rows["cooccurrence"] += cooccurrences(measure, levels, features, column, documents, paths)
            else:
                one = describe(partial(shards_of, paths, measure))
                rows["describe"].append(figures(measure, one))
                rows["histograms"] += [
                    dict(measure=measure, low=low, high=high, documents=count)
                    for low, high, count in histogram(
                        partial(shards_of, paths, measure), one, is_whole(paths, measure)
                    )
                ]
        progress.add(1)
    progress.line()
    held_to = {name: one for name, one in settings["objectives"].items() if one["measure"] in files}
    rows["suitability"] = [suitability(name, one, files[one["measure"]]) for name, one in held_to.items()]
    if len(held_to) > 1:
        rows["suitability"].append(suits_all([*held_to.values()], files))
    for table, columns in TABLES.items():
        write_rows(out_dir / f"{table}.csv", rows[table], columns)
    documents_in_all, in_vocabulary = of_documents["all"], of_documents["vocabulary"]
    different = distinct(partial(digests_of, documents), documents_in_all)
    different_words = distinct(lambda: map(np.load, digests), in_vocabulary)
    write_json(
        out_dir / "facts.json",
        dict(
            rows=read_json(source)["rows"],
            documents=documents_in_all,
            duplicates=documents_in_all - different,
            counted=in_vocabulary,
            alike=in_vocabulary - different_words,
            ngram_documents=of_documents["ngrams"],
            with_words=of_documents.get("words"),
            with_features=of_documents.get("features"),
            not_measured=sorted(settings["objectives"].keys() - held_to.keys()),
        ),
    )


if __name__ == "__main__":
    run(main)
