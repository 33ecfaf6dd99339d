"""Measures of all shards -> what goes together, what is flagged, and documents to read.

In: documents, measures of each family (winnow.profile.measure), features.csv (winnow.profile.describe). Out, in one folder
(ASSOCIATIONS of winnow.profile.tables): agreement.csv (reading level by formulas and by zero-shot labels: weighted kappa),
crosstable.csv (its table), associations.csv (features of prompts with emotions and flags, emotions with flags),
prevalence.csv (words of the lexicon, and flags), keywords.csv (of the prompts), flags.csv (the documents that are flagged most
strongly, and why), examples.csv (documents of each label, drawn by a key). A table is empty if no family of the profile has
its measures. The same bytes for any number of shards; memory: some columns of one shard.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from winnow.csv_files import write_rows
from winnow.keys import keys
from winnow.parquet import doc_column, is_listed, open_parquet, read_table
from winnow.profile.agreement import agreement, associations, crosstab
from winnow.profile.counts import column_entries
from winnow.profile.describe import FEATURES, measure_files, shards_of, text_values
from winnow.profile.flags import SORT_BY, strongest
from winnow.profile.keywords import KEYWORDS, keyword_rows
from winnow.profile.kinds import facts, family_of, names
from winnow.profile.lexicon import GROUPS
from winnow.profile.statistics import describe, share
from winnow.profile.tables import ASSOCIATIONS
from winnow.schema import read_spec
from winnow.stage import Progress, run

STAGE_VERSION = 2
LEVELS = ("reading_level", "level_zero_shot")
EMOTION = "emotion"
FLAGGED = 50
"""Documents of each flag in flags.csv, at most."""
EXAMPLES = 3
EXAMPLES_OF = {
    "reading_level": "reading_grade",
    "emotion": "emotion_probability",
    "topic": "topic_probability",
    "genre": "genre_probability",
    "theme": "theme_probability",
}
"""Measures that have examples, and the number that is shown beside each."""
EXCERPT = 160  # characters
Z = 1.959963984540054  # of a 95 % interval

Files = Mapping[str, Sequence[Path]]
"""Measure -> the shards of the family that has it."""


# ---------------------------------------------------------------- agreement


def agree(files: Files) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of agreement.csv and of crosstable.csv; none if one of the two levels is not measured."""
    if not all(name in files for name in LEVELS):
        return [], []
    order = facts("reading").levels[LEVELS[0]]
    table = np.zeros((len(order), len(order)), dtype=np.int64)
    for first, second in zip(files[LEVELS[0]], files[LEVELS[1]], strict=True):
        table += crosstab(_levels(first, LEVELS[0]), _levels(second, LEVELS[1]), order)
    row = dict(first=LEVELS[0], second=LEVELS[1], **agreement(table))
    of_first = table.sum(1)
    cells = [
        dict(first=first, second=second, documents=int(table[i, j]), share=int(table[i, j]) / int(of_first[i]) if of_first[i] else None)
        for i, first in enumerate(order)
        for j, second in enumerate(order)
    ]  # fmt: skip
    return [row], cells


def _levels(path: Path, measure: str) -> np.ndarray:
    return np.array(text_values(path, measure).to_pylist(), dtype=object)


# ---------------------------------------------------------------- associations


class Masks(NamedTuple):
    """Classes of the documents of a shard: of each class which documents are of it, bool [n]; `valid` bool [n]: those that
    have the measure."""

    classes: dict[str, np.ndarray]
    valid: np.ndarray


def feature_masks(documents: Path, column: str, features: Sequence[str], rows: int) -> Masks:
    """Which documents have a feature in their prompt."""
    out = {name: np.zeros(rows, dtype=bool) for name in features}
    start = 0
    for size, listed in column_entries(documents, column):
        place = {name: at for at, name in enumerate(listed.names)}
        for name in features:
            if name in place:
                out[name][start + listed.row[listed.place == place[name]]] = True
        start += size
    return Masks(out, np.ones(rows, dtype=bool))


def level_masks(path: Path, measure: str) -> Masks:
    """Which documents have each value of a measure that is text."""
    encoded = text_values(path, measure).dictionary_encode()
    code = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Masks({name: code == at for at, name in enumerate(encoded.dictionary.to_pylist())}, code >= 0)


def flag_masks(path: Path) -> Masks:
    """Which documents are flagged; those without flags (of another language) are not valid."""
    table = read_table(path, columns=list(SORT_BY))
    out = {name.removeprefix("flag_"): table[name].to_numpy() == 1 for name in SORT_BY}
    return Masks(out, table[next(iter(SORT_BY))].is_valid().to_numpy())


class Together:
    """Counts of two classifications, added up over shards."""

    def __init__(self) -> None:
        self.documents = 0
        self.first: Counter[str] = Counter()
        self.second: Counter[str] = Counter()
        self.both: Counter[tuple[str, str]] = Counter()

    def add(self, first: Masks, second: Masks) -> None:
        valid = first.valid & second.valid
        self.documents += int(valid.sum())
        self.second.update({name: int((mask & valid).sum()) for name, mask in second.classes.items()})
        for name, mask in first.classes.items():
            inside = mask & valid
            self.first[name] += int(inside.sum())
            self.both.update(
                {(name, other): int((inside & classes).sum()) for other, classes in second.classes.items()}
            )

    def rows(self, first: Iterable[str], second: Iterable[str]) -> list[dict[str, Any]]:
        """Rows of winnow.profile.agreement.associations, of the classes in this order."""
        ours, theirs = list(first), list(second)
        if not ours or not theirs:
            return []
        both = np.array([[self.both[a, b] for b in theirs] for a in ours])
        ours_all, theirs_all = [self.first[a] for a in ours], [self.second[b] for b in theirs]
        return associations(both, ours, np.array(ours_all), theirs, np.array(theirs_all), self.documents)


def associate(
    files: Files, documents: Sequence[Path], column: str | None, features: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows of associations.csv: features of the prompts with emotions and flags, emotions with flags; each pair of
    classifications is a family of tests of its own. `column`: the column of the features, if there is one."""
    lexicon, emotions = files.get("flag_violence"), files.get(EMOTION)
    pairs: dict[tuple[str, str], Together] = {}
    for index, path in enumerate(documents):
        masks = {}
        if emotions:
            masks[EMOTION] = level_masks(emotions[index], EMOTION)
        if lexicon:
            masks["flag"] = flag_masks(lexicon[index])
        if column and features and masks:
            rows = len(next(iter(masks.values())).valid)
            masks["feature"] = feature_masks(path, column, features, rows)
        for pair in (("feature", EMOTION), ("feature", "flag"), (EMOTION, "flag")):
            if all(name in masks for name in pair):
                pairs.setdefault(pair, Together()).add(masks[pair[0]], masks[pair[1]])
    flags = [name.removeprefix("flag_") for name in SORT_BY]
    out = []
    for (first, second), counts in pairs.items():
        order = {"feature": features, "flag": flags}
        rows_of = order.get(first, sorted(counts.first))
        for row in counts.rows(rows_of, order.get(second, sorted(counts.second))):
            out.append({"first": first, "second": second, **row})
    return out


# ---------------------------------------------------------------- prevalence


def prevalence(files: Files) -> list[dict[str, Any]]:
    """Rows of prevalence.csv: documents with a word of each group of the lexicon, and the mean rate of such words with its
    interval (normal approximation); documents with each flag."""
    if "flag_violence" not in files:
        return []
    rows = []
    for measure in [*(f"{group}_words" for group in sorted(GROUPS)), *SORT_BY]:
        having = whole = 0
        for _, values in shards_of(files[measure], measure):
            having += int((values > 0).sum())
            whole += int(np.isfinite(values).sum())
        value, low, high = share(having, whole)
        row: dict[str, Any] = dict(measure=measure, documents=having, share=value, ci_low=low, ci_high=high)
        row |= dict(of=whole, rate=None, rate_low=None, rate_high=None)
        if measure.endswith("_words"):
            rate = measure.replace("_words", "_rate")
            one = describe(partial(shards_of, files[rate], rate))
            if one.count > 1:
                half = Z * one.std / math.sqrt(one.count)
                row |= dict(rate=one.mean, rate_low=one.mean - half, rate_high=one.mean + half)
        rows.append(row)
    return rows


def keywords(documents: Sequence[Path], column: str) -> list[dict[str, Any]]:
    """Rows of keywords.csv: prompts with each keyword, of all prompts that have words."""
    wanted = {word for words in KEYWORDS.values() for word in words}
    counts: Counter[str] = Counter()
    prompts = 0
    for path in documents:
        for _, listed in column_entries(path, column):
            prompts += len(np.unique(listed.row))
            for place, name in enumerate(listed.names):
                if name in wanted:
                    counts[name] += len(np.unique(listed.row[listed.place == place]))
    return keyword_rows(counts, prompts) if prompts else []


# ---------------------------------------------------------------- documents to read


def excerpts(documents: Sequence[Path], wanted: set[int]) -> dict[int, tuple[str, str]]:
    """Beginning and ending of documents, EXCERPT characters each, in one line; the ending is empty of a text that is not
    longer than its beginning."""
    listed = np.array(sorted(wanted), dtype=np.int64)
    out = {}
    for path in documents:
        doc = doc_column(path)
        chosen = is_listed(doc, listed)
        if not chosen.any():
            continue
        start = 0
        with open_parquet(path, ["text"]) as file:
            for batch in file.iter_batches(4096, columns=["text"]):
                of_batch = np.flatnonzero(chosen[start : start + len(batch)])
                for row, text in zip(of_batch.tolist(), batch.column(0).take(pa.array(of_batch)).to_pylist(), strict=True):  # fmt: skip
                    line = " ".join(text.split())
                    rest = line[EXCERPT:]
                    out[int(doc[start + row])] = (line[:EXCERPT], rest[-EXCERPT:])
                start += len(batch)
    return out


def flagged(files: Files) -> list[dict[str, Any]]:
    """Rows of flags.csv without their texts: of each flag the documents that have it most strongly, the strongest first."""
    out: list[dict[str, Any]] = []
    for flag, (measure, sign) in SORT_BY.items() if "flag_violence" in files else ():
        rows: list[dict[str, Any]] = []
        for path in files[flag]:
            table = read_table(path, columns=["doc", flag, measure, "flag_evidence"])
            columns = {name: table[name].to_numpy() for name in ("doc", flag, measure)}
            chosen = strongest(columns, flag, FLAGGED)
            why = table["flag_evidence"].take(pa.array(chosen)).to_pylist()
            rows += [
                dict(flag=flag.removeprefix("flag_"), doc=int(columns["doc"][row]), measure=measure,
                     value=float(columns[measure][row]), evidence=text)
                for row, text in zip(chosen.tolist(), why, strict=True)
            ]  # fmt: skip
            rows = sorted(rows, key=lambda row: (sign * row["value"], row["doc"]))[:FLAGGED]
        out += rows
    return out


def examples(files: Files) -> list[dict[str, Any]]:
    """Rows of examples.csv without their texts: of each value of a measure EXAMPLES documents with the smallest keys, so
    that they are typical rather than extreme."""
    out: list[dict[str, Any]] = []
    for measure, beside in EXAMPLES_OF.items():
        if measure not in files:
            continue
        best: dict[str, list[tuple[int, int, float | None]]] = {}
        for path in files[measure]:
            table = read_table(path, columns=["doc", beside])
            doc = table["doc"].to_numpy()
            numbers = table[beside].to_pylist()
            key = keys("profile", 1, doc)
            for level, mask in level_masks(path, measure).classes.items():
                rows = np.flatnonzero(mask)
                if len(rows) > EXAMPLES:
                    rows = rows[np.argpartition(key[rows], EXAMPLES - 1)[:EXAMPLES]]
                many = best.get(level, []) + [(int(key[row]), int(doc[row]), numbers[row]) for row in rows]
                best[level] = sorted(many)[:EXAMPLES]
        order = facts(family_of(measure, names()) or "").levels[measure] or sorted(best)
        out += [
            dict(measure=measure, level=level, doc=doc, value=number)
            for level in order
            for _, doc, number in best.get(level, [])
        ]
    return out


def with_texts(rows: list[dict[str, Any]], texts: Mapping[int, tuple[str, str]]) -> list[dict[str, Any]]:
    """The rows with the beginning and the ending of their documents."""
    return [{**row, "start": texts[row["doc"]][0], "ending": texts[row["doc"]][1]} for row in rows]


# ---------------------------------------------------------------- the stage


def most_frequent(features: Path) -> list[str]:
    """The features that are associated: the first FEATURES of features.csv."""
    with open(features, encoding="utf-8", newline="") as file:
        return [row["name"] for row in csv.DictReader(file)][:FEATURES]


def main(
    *,
    documents: list[Path],
    measures: list[Path] = [],
    features: Path,
    spec: str,
    out_dir: Path,
    name: str = "",
) -> None:
    """Write the tables of what goes together, what is flagged, and what to read.

    Args:
        documents: shards of documents (parquet: doc, text, and the columns of words and features).
        measures: measures of the shards, of the first family for each shard, then of the second, and so on.
        features: features.csv of the profile.
        spec: JSON: families (names), prompts (columns of `words` and `features`, or null).
        out_dir: folder of the tables (ASSOCIATIONS, a CSV each).
        name: name of the corpus in progress lines.
    """
    settings = read_spec(spec, "families", "prompts")
    files = measure_files(settings["families"], measures, len(documents))
    columns: dict[str, str | None] = settings["prompts"]
    progress = Progress(f"associate {name}", total=5, unit="kinds of tables")
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in ASSOCIATIONS}
    rows["agreement"], rows["crosstable"] = agree(files)
    progress.add(1)
    rows["associations"] = associate(files, documents, columns["features"], most_frequent(features))
    progress.add(1)
    rows["prevalence"] = prevalence(files)
    progress.add(1)
    if columns["words"]:
        rows["keywords"] = keywords(documents, columns["words"])
    progress.add(1)
    rows["flags"], rows["examples"] = flagged(files), examples(files)
    texts = excerpts(documents, {row["doc"] for table in ("flags", "examples") for row in rows[table]})
    for table in ("flags", "examples"):
        rows[table] = with_texts(rows[table], texts)
    progress.add(1)
    progress.line()
    for table, heads in ASSOCIATIONS.items():
        write_rows(out_dir / f"{table}.csv", rows[table], heads)


if __name__ == "__main__":
    run(main)
