"""One shard of documents -> how often words and features of prompts, words of the text, n-grams, names and pronouns occur.

In: a shard of documents. Out: parquet with `what` (KINDS), `name`, `count` int64, ascending by (what, name); shards are
added up by winnow.profile.describe. And a digest of the words of each text, by which near-duplicates are counted: texts that
differ in case, blanks and punctuation only.

Words and features are the entries of a column of lists, or of strings such as "['a', 'b']" or "a, b" (`entries`): every
occurrence counts, over all documents. Of the text are counted: its words in lower case, names (words with a capital inside
a sentence; documents that have one, not occurrences) and n-grams, of a sample of the documents that does not depend on the
shards (keys of the purpose `profile`; of a corpus that is not larger, all documents). Digests are of that sample, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.batching import block_texts, blocks
from winnow.keys import keys
from winnow.parquet import doc_column, open_parquet
from winnow.profile.words import names, words
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, read_json, run

STAGE_VERSION = 3
PROMPTS = ("words", "features")
KINDS = (*PROMPTS, "vocabulary", "ngrams", "names", "documents")
"""`documents` counts documents: `all`, `vocabulary` and `ngrams` (those whose text was counted), `words` and `features` (those
with at least one entry)."""
ROWS = 1 << 17  # of a batch of a column of prompts
BRACKETS = r"""(?s)^(?:\[(.*)\]|\((\s*|\s*['"].*)\))$"""
QUOTED = r"""^['"]"""
BETWEEN_QUOTES = r"""['"][\s,;]+['"]"""
MISSING = ["None", "nan", "NaN", "null", "<NA>"]
"""Missing values as Python, pandas and JSON write them: no entries, alone or unquoted in a list."""
FIRST_MISSING = rf"^(?:{'|'.join(MISSING)})\s*(?:,\s*|$)"
OTHER_MISSING = rf",\s*(?:{'|'.join(MISSING)})\s*(,|$)"
AROUND = r"""^\s*(?:"([^"]*)"|'([^']*)')\s*$"""
"""An entry in quotes that stands between others without."""


# ---------------------------------------------------------------- columns of prompts


@dataclass(frozen=True)
class Entries:
    """Entries of a column: for each the row int64 [m] (ascending) and the place int32 [m] of its name among `names`."""

    row: np.ndarray
    place: np.ndarray
    names: list[str]

    def counts(self) -> Counter[str]:
        """Occurrences by name, without names that do not occur (a dictionary may have more)."""
        counts = np.bincount(self.place, minlength=len(self.names)).tolist()
        return Counter({name: count for name, count in zip(self.names, counts, strict=True) if count})


def entries(column: pa.Array) -> Entries:
    """The entries of a column of lists, or of strings that write lists, each stripped and in lower case, without empty ones.

    Lists may be nested, dictionary-encoded, or fields of a struct (of which all are read); a string is a list in the
    notation of Python or JSON ("['a', 'b']"), or its entries separated by commas, semicolons, | or new lines. A missing
    value has no entries; numbers are entries by their digits. Raises InputError for values of another type.
    """
    row, flat = _flat(column)
    encoded = flat.dictionary_encode()
    code = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    names: list[str] = []
    places: dict[str, int] = {}
    place = np.full(len(encoded.dictionary) + 1, -1, dtype=np.int32)
    for index, raw in enumerate(encoded.dictionary.to_pylist()):
        name = normal(raw or "")
        if name:
            if name not in places:
                places[name] = len(names)
                names.append(name)
            place[index] = places[name]
    of_entry = place[code]
    kept = of_entry >= 0
    if not kept.all():
        row, of_entry = row[kept], of_entry[kept]
    return Entries(row, of_entry, names)


def normal(entry: str) -> str:
    """An entry stripped and in lower case, with single blanks inside."""
    return " ".join(entry.replace("\\'", "'").replace('\\"', '"').split()).lower()


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_dictionary_of_strings(kind: pa.DataType) -> bool:
    return pa.types.is_dictionary(kind) and _is_string(kind.value_type)


def _flat(column: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Row int64 [m], ascending, and text of each entry as it is written: an array of strings, or of a dictionary of them."""
    kind, t = column.type, pa.types
    if _is_dictionary_of_strings(kind):
        return _written_once(column)
    if t.is_dictionary(kind):
        return _flat(column.cast(kind.value_type))
    if _is_list(kind):
        row = pc.list_parent_indices(column).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
        values = pc.list_flatten(column)
        if _is_string(kind.value_type) or _is_dictionary_of_strings(kind.value_type):
            return row, values  # of a list, an entry with a comma is one entry
        of_value, flat = _flat(values)
        return row[of_value], flat
    if t.is_struct(kind):
        present = column.filter(column.is_valid())
        rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        parts = [_flat(field) for field in present.flatten()]
        if not parts:
            return np.zeros(0, dtype=np.int64), pa.array([], pa.string())
        row = np.concatenate([rows[row] for row, _ in parts])
        order = np.argsort(row, kind="stable")
        return row[order], pa.concat_arrays([flat.cast(pa.string()) for _, flat in parts]).take(
            pa.array(order)
        )
    if t.is_null(kind):
        return np.zeros(0, dtype=np.int64), pa.array([], pa.string())
    if t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind):
        rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        return rows, column.filter(column.is_valid()).cast(pa.string())
    if _is_string(kind):
        first = column.slice(0, 4096)
        repeated = 2 * len(first.unique()) < len(first)
        return _written_once(column.dictionary_encode()) if repeated else _written(column)
    raise InputError(f"holds {kind}; expected: lists of strings, or strings")


def _written_once(column: pa.DictionaryArray) -> tuple[np.ndarray, pa.Array]:
    """Entries of strings that write lists, of which each is parsed once."""
    of_value, flat = _written(column.dictionary)
    encoded = flat.dictionary_encode()
    size = np.bincount(of_value, minlength=len(column.dictionary))
    begin = np.cumsum(size) - size
    code = column.indices.drop_null().to_numpy()
    sizes = size[code]
    row = np.repeat(np.flatnonzero(column.indices.is_valid().to_numpy(zero_copy_only=False)), sizes)
    at = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes - begin[code], sizes)
    return row, pa.DictionaryArray.from_arrays(encoded.indices.take(pa.array(at)), encoded.dictionary)


def _written(column: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Entries of strings that write lists."""
    cells = pc.utf8_trim_whitespace(pc.fill_null(column, ""))
    cells = pc.if_else(pc.is_in(cells, pa.array(MISSING)), "", cells)
    parts = []
    plain = np.ones(len(cells), dtype=bool)
    bare = cells
    if pc.any(pc.or_(pc.starts_with(cells, "["), pc.starts_with(cells, "("))).as_py():
        inner = pc.utf8_trim_whitespace(pc.replace_substring_regex(cells, BRACKETS, r"\1\2"))
        inner = pc.if_else(pc.equal(inner, cells), cells, _without_missing(inner))
        quoted = pc.and_(pc.match_substring_regex(inner, QUOTED), pc.not_equal(cells, inner))
        plain = ~quoted.to_numpy(zero_copy_only=False)
        bare = inner.filter(pc.invert(quoted))
        if not plain.all():
            unquoted = pc.replace_substring_regex(inner.filter(quoted), r"""^['"]|['"],?$""", "")
            parts.append((np.flatnonzero(~plain), pc.split_pattern_regex(unquoted, BETWEEN_QUOTES)))
    if plain.any():
        others = any(pc.any(pc.match_substring(bare, other)).as_py() for other in ";|\n")
        split = pc.split_pattern_regex(bare, r"[,;|\n]") if others else pc.split_pattern(bare, ",")
        if pc.any(pc.match_substring_regex(bare, r"""['"]""")).as_py():
            split = type(split).from_arrays(
                split.offsets, pc.replace_substring_regex(split.flatten(), AROUND, r"\1\2")
            )
        parts.append((np.flatnonzero(plain), split))
    if not parts:
        return np.zeros(0, dtype=np.int64), pa.array([], pa.string())
    row = np.concatenate([rows[pc.list_parent_indices(split).to_numpy()] for rows, split in parts])
    flat = pa.concat_arrays([pc.list_flatten(split) for _, split in parts])
    if len(parts) > 1:
        order = np.argsort(row, kind="stable")
        row, flat = row[order], flat.take(pa.array(order))
    return row, flat


def _without_missing(cells: pa.Array) -> pa.Array:
    """Lists as they are written inside their brackets, without missing values that have no quotes."""
    if not any(pc.any(pc.match_substring(cells, value)).as_py() for value in MISSING):
        return cells
    while pc.any(pc.match_substring_regex(cells, FIRST_MISSING)).as_py():
        cells = pc.replace_substring_regex(cells, FIRST_MISSING, "")
    while pc.any(pc.match_substring_regex(cells, OTHER_MISSING)).as_py():
        cells = pc.replace_substring_regex(cells, OTHER_MISSING, r"\1")
    return pc.utf8_trim_whitespace(cells)


def column_batches(path: Path, column: str) -> Iterator[pa.Array]:
    """A column of a parquet file, a batch at a time. Raises InputError if there is none.

    Strings in lists come as dictionaries, as the file has them, which takes a third of the time. pyarrow makes no batch of
    such lists across row groups.
    """
    with open_parquet(path, [column]) as file:
        metadata, leaves = file.metadata, map(file.schema.column, range(len(file.schema)))
        in_lists = [
            leaf.path
            for leaf in leaves
            if leaf.path.startswith(f"{column}.")
            and leaf.max_repetition_level
            and leaf.logical_type.type == "STRING"
        ]
    with pq.ParquetFile(path, metadata=metadata, read_dictionary=in_lists) as file:
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(ROWS, row_groups=[group], columns=[column]):
                yield batch.column(0)


def column_entries(path: Path, column: str) -> Iterator[tuple[int, Entries]]:
    """Rows and entries of a column of a parquet file, a batch at a time. Raises InputError naming file and column."""
    for batch in column_batches(path, column):
        yield len(batch), _entries_of(batch, path, column)


def _entries_of(batch: pa.Array, path: Path, column: str) -> Entries:
    try:
        return entries(batch)
    except InputError as error:
        raise InputError(f"{path}: column {column!r} {error}") from None


class Written:
    """Entries as they are written, and how often each occurs: added up before they are normalised, once each."""

    LIMIT = 1 << 16
    """Values at which they are normalised and forgotten, since each batch is looked up among all of them."""

    def __init__(self) -> None:
        self.normalised: Counter[str] = Counter()
        self._forget()

    def _forget(self) -> None:
        self.values = pa.array([""])
        self.names = [""]
        self.named = np.array([False])  # whether the name is not empty
        self.occurrences = np.zeros(1, dtype=np.int64)

    def add(self, lists: pa.Array) -> int:
        """Adds lists of a dictionary of strings. Returns how many of them have an entry."""
        flat = lists.flatten()
        places = np.append(self._places(flat.dictionary), 0)  # the last: of missing values
        code = flat.indices.fill_null(len(flat.dictionary)).to_numpy(zero_copy_only=False)
        occurrences = np.bincount(code, minlength=len(places))
        np.add.at(self.occurrences, places, occurrences)
        lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
        named = self.named[places]
        if not named[occurrences > 0].all():
            ends, before = np.cumsum(lengths), np.append(0, np.cumsum(named[code]))
            lengths = before[ends] - before[ends - lengths]
        if len(self.names) > self.LIMIT:
            self._normalise()
        return int(np.count_nonzero(lengths))

    def _places(self, dictionary: pa.Array) -> np.ndarray:
        """Place of each value among all values, int64 [n]; adds those that are new."""
        values = dictionary.cast(pa.string()).fill_null("")
        known = pc.is_in(values, value_set=self.values)
        if not pc.all(known, min_count=0).as_py():
            new = values.filter(pc.invert(known)).unique()
            self.values = pa.concat_arrays([self.values, new])
            names = list(map(normal, new.to_pylist()))
            self.names += names
            self.named = np.append(self.named, np.array(names) != "")
            self.occurrences = np.append(self.occurrences, np.zeros(len(new), dtype=np.int64))
        return pc.index_in(values, value_set=self.values).to_numpy().astype(np.int64)

    def counts(self) -> Counter[str]:
        """Occurrences by name, of all that was added."""
        self._normalise()
        return self.normalised

    def _normalise(self) -> None:
        for name, count in zip(self.names, self.occurrences.tolist(), strict=True):
            if name and count:
                self.normalised[name] += count
        self._forget()


def count_column(path: Path, column: str) -> tuple[Counter[str], int]:
    """Occurrences of the entries of a column, and how many rows have at least one."""
    counts: Counter[str] = Counter()
    written = Written()
    rows = 0
    for batch in column_batches(path, column):
        if _is_list(batch.type) and _is_dictionary_of_strings(batch.type.value_type):
            rows += written.add(batch)
        else:
            listed = _entries_of(batch, path, column)
            counts.update(listed.counts())
            rows += int((np.diff(listed.row, prepend=-1) != 0).sum())
    return counts + written.counts(), rows


# ---------------------------------------------------------------- texts


def sampled(doc: np.ndarray, rows: int, documents: int) -> np.ndarray:
    """Which documents int64 [n] of a corpus of `rows` rows are among some `documents` of them, bool [n]; all of them if
    there are no more."""
    if documents >= rows:
        return np.ones(len(doc), dtype=bool)
    return keys("profile", 0, doc) < np.uint64(int(documents / rows * 2.0**64))


def count_texts(
    texts: list[str], with_ngrams: np.ndarray, sizes: list[int], into: Mapping[str, Counter[str]]
) -> np.ndarray:
    """Adds the words, names and n-grams of texts to `into` (`vocabulary`, `names`, `ngrams`). `with_ngrams` bool [n].

    Returns a digest of the words of each text, uint64 [n].
    """
    digests = []
    for text, grams in zip(texts, with_ngrams.tolist(), strict=True):
        of_text = words(text)
        into["vocabulary"].update(of_text)
        into["names"].update(set(names(text)))
        if grams:
            for size in sizes:
                shifted = [of_text[start:] for start in range(size)]
                into["ngrams"].update(map(" ".join, zip(*shifted, strict=False)))
        digests.append(blake2b(" ".join(of_text).encode(), digest_size=8).digest())
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64, copy=False)


def table(counts: Mapping[str, Counter[str]]) -> pa.Table:
    """Counts by kind and name as a table: what, name, count; ascending by (what, name)."""
    columns: tuple[list[str], list[str], list[int]] = ([], [], [])
    for what in sorted(counts):
        for name in sorted(counts[what]):
            columns[0].append(what)
            columns[1].append(name)
            columns[2].append(counts[what][name])
    kinds = (pa.string(), pa.string(), pa.int64())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.table(arrays, names=["what", "name", "count"])


def main(*, documents: Path, source: Path, spec: str, out: Path, digests_out: Path, name: str = "") -> None:
    """Count a shard of documents.

    Args:
        documents: shard of documents (parquet: doc, text, and the columns of words and features).
        source: source.json of the corpus, which says how many rows it has.
        spec: JSON: prompts (columns of `words` and `features`, or null), counts (see profile.counts in the configuration).
        out: parquet to write: what, name, count.
        digests_out: array (.npy) to write: digests of the words of the texts that are counted, uint64.
        name: name of the shard in progress lines.
    """
    settings = read_spec(spec, "prompts", "counts")
    limits: dict[str, Any] = settings["counts"]
    rows = read_json(source)["rows"]
    doc = doc_column(documents)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    counts["documents"]["all"] = len(doc)
    for what in PROMPTS:
        if column := settings["prompts"][what]:
            counts[what], counts["documents"][what] = count_column(documents, column)
    in_vocabulary = sampled(doc, rows, limits["documents"])
    in_ngrams = sampled(doc, rows, min(limits["documents"], limits["ngram_documents"]))
    counts["documents"]["vocabulary"] = int(in_vocabulary.sum())
    counts["documents"]["ngrams"] = int(in_ngrams.sum())
    progress = Progress(f"count {name}", total=len(doc), unit="documents")
    slices = blocks(doc)
    digests = [np.zeros(0, dtype=np.uint64)]
    with open_parquet(documents, ["text"]) as file:
        for part, texts in zip(slices, block_texts(file, slices), strict=True):
            chosen = np.flatnonzero(in_vocabulary[part])
            of_block = [texts[i] for i in chosen]
            digests.append(count_texts(of_block, in_ngrams[part][chosen], limits["ngrams"], counts))
            progress.add(len(texts))
    progress.line()
    with atomic_path(digests_out) as partial, open(partial, "wb") as file_of_digests:
        np.save(file_of_digests, np.concatenate(digests))
    with atomic_path(out) as partial:
        pq.write_table(table(counts), partial, compression="zstd")


if __name__ == "__main__":
    run(main)
