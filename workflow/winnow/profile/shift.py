"""What a sampler favours or loses: measures of the documents that it drew beside those of the corpus, each with a test.

In: shards of measures of documents, of one or several families, documents, and draws (parquet: `doc`) with their arm and data
seed. Out: `shift.csv`, a row a draw and column; `shift-labels.csv`, a row a draw, column and label; the page `shift.html`,
`shift.md` (winnow.profile.shift_page) and the plot `shift.svg`. Columns are the measures, the words and features of prompts, and
words of the text (winnow.profile.shift_columns). The same bytes for any number of shards, in
memory that does not grow with the corpus. By the type of a column:
- numbers: the standardised difference of the means, (draw - pool) / standard deviation of the pool. A simple random draw of
  n of N documents has mean 0 and variance (1 - n/N) / n on this scale (Cochran 1977, section 2.5): a normal test;
- categories (text, true or false): the total variation of their shares, half the sum of absolute differences, against
  that of `draws` random draws of the same size (multivariate hypergeometric); one-sided;
- labels (lists of texts, a document may have several): the total variation of their shares of all labels. Its p-value is
  the smallest of its labels', times their number.
A category or label has the exact two-sided hypergeometric test of the number of drawn documents that have it. Missing
numbers are left out; a missing category is `(none)`; labels beyond the LABELS most frequent are `(other)` of a category, and
left out of labels; so are words of the text that most documents have. p-values are adjusted by Benjamini and Hochberg's method, over all columns and draws of a file, and over
all labels of it.
"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.csv_files import read_rows, write_rows
from winnow.pages import html_page, markdown
from winnow.parquet import doc_column, is_listed, listed_docs
from winnow.profile.shift_columns import TEXT, Source, measured, of_documents
from winnow.profile.shift_page import make_page
from winnow.profile.shift_plot import overview
from winnow.profile.shift_tests import adjust, arm_labels, arm_measures
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, run, say, write_text

STAGE_VERSION = 2
LABELS = 50
"""Categories or labels of a column that are told apart."""
MOST = 100_000
"""Different values of a column of categories at most."""
BLOCK = 4096
DRAWS = 1999
WORDS = 200
"""Most frequent words of the vocabulary that are looked for in texts."""
NONE, OTHER = "(none)", "(other)"
COLUMNS = ["arm", "data_seed", "column", "kind", "documents", "pool_documents", "pool", "drawn", "measure", "value", "random",
           "p", "p_adjusted"]  # fmt: skip
LABEL_COLUMNS = ["arm", "data_seed", "column", "label", "pool_documents", "drawn_documents", "pool_share", "drawn_share", "difference",
                 "p", "p_adjusted"]  # fmt: skip


@dataclass
class Moments:
    """Count, sum and sum of squares of a column's values, less `centre`."""

    centre: float = 0.0
    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: np.ndarray) -> None:
        """Adds the values of one block, float64 [n]: sums in the order of blocks do not depend on shards."""
        values = values - self.centre
        self.count += len(values)
        self.total += float(values.sum())
        self.squares += float((values**2).sum())

    @property
    def mean(self) -> float:
        return self.centre + self.total / self.count

    @property
    def deviation(self) -> float:
        """Standard deviation of a whole population."""
        mean = self.total / self.count
        return float(np.sqrt(max(0.0, self.squares / self.count - mean**2)))


@dataclass
class Tally:
    """One column of the pool, or of a draw: `moments` of numbers, or how many documents have a category or label."""

    kind: str
    documents: int = 0
    moments: Moments = field(default_factory=Moments)
    counts: Counter[str] = field(default_factory=Counter)


def numbers_shift(pool: Moments, draw: Moments) -> dict[str, float | None]:
    """Standardised difference of the means of a draw and its pool; the 95 % range of random draws (half its width); p."""
    from scipy.stats import norm

    n, total = draw.count, pool.count
    if not n or pool.deviation < 1e-12 * max(1.0, abs(pool.mean)):
        return {"value": None if not n else 0.0, "random": None, "p": None}
    value = (draw.mean - pool.mean) / pool.deviation
    # The variance of the mean of a sample without replacement, with that of a population (divisor N).
    error = float(np.sqrt(max(0.0, (total - n) / max(1, total - 1)) / n))
    if error == 0:
        return {"value": value, "random": 0.0, "p": None}
    return {"value": value, "random": 1.959964 * error, "p": float(2 * norm.sf(abs(value) / error))}


def total_variation(pool: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Half the sum of absolute differences of shares: counts [k] of the pool and [..., k] of draws; float64 [...]."""
    shares = draw / np.maximum(1, draw.sum(axis=-1, keepdims=True))
    return 0.5 * np.abs(shares - pool / max(1, pool.sum())).sum(axis=-1)


def categories_shift(
    pool: np.ndarray, draw: np.ndarray, draws: int, seed: int
) -> dict[str, float | None]:  # fmt: skip
    """Total variation of a draw from its pool, int64 [k] each; the 97.5 % quantile of random draws of its size; p."""
    value = float(total_variation(pool, draw))
    n = int(draw.sum())
    if n == pool.sum() or not n:
        return {"value": value, "random": 0.0, "p": None}
    random = np.random.default_rng(seed).multivariate_hypergeometric(pool, n, size=draws, method="marginals")
    reference = total_variation(pool, random)
    p = (1 + int((reference >= value - 1e-12).sum())) / (draws + 1)
    return {"value": value, "random": float(np.quantile(reference, 0.975)), "p": p}


def label_p(documents: int, having: np.ndarray, drawn: int, drawn_having: np.ndarray) -> np.ndarray:
    """Two-sided p of the numbers of drawn documents that have a label, int64 [k] -> float64 [k]: twice the smaller tail of
    the hypergeometric distribution, at most 1."""
    from scipy.stats import hypergeom

    low = hypergeom.cdf(drawn_having, documents, having, drawn)
    high = hypergeom.sf(drawn_having - 1, documents, having, drawn)
    return np.minimum(1.0, 2 * np.minimum(low, high))


def kind_of(name: str, column: pa.DataType, path: Path) -> str:
    """numbers, categories or labels. Raises InputError for another type."""
    t = pa.types
    if t.is_dictionary(column):
        column = column.value_type
    if t.is_integer(column) or t.is_floating(column):
        return "numbers"
    if t.is_string(column) or t.is_large_string(column) or t.is_boolean(column):
        return "categories"
    if (t.is_list(column) or t.is_large_list(column)) and t.is_string(column.value_type):
        return "labels"
    raise InputError(f"{path}: column {name!r} holds {column}; numbers, text, true or false, or lists of texts are compared")  # fmt: skip


def add_block(tally: Tally, values: pa.Array) -> None:
    """Adds a block of a column's values."""
    tally.documents += len(values)
    if tally.kind == "numbers":
        kept = np.asarray(values.drop_null().to_numpy(zero_copy_only=False), dtype=np.float64)
        tally.moments.add(kept[np.isfinite(kept)])
    elif tally.kind == "categories":
        names = (
            NONE if v is None else v if isinstance(v, str) else str(v).lower() for v in values.to_pylist()
        )
        tally.counts.update(names)
    else:
        for labels in values.to_pylist():
            tally.counts.update({label for label in labels or [] if label})


Pool = dict[str, Tally]
"""Tallies by column."""


def tallies(source: Source, draws: Sequence[np.ndarray], excluded: np.ndarray) -> tuple[Pool, list[Pool]]:
    """(of the pool, of each draw) by column. `draws`, `excluded`: int64, ascending; what is excluded is no part of the pool.

    Raises InputError for columns that cannot be compared, and for drawn documents that no shard has.
    """
    pool: Pool = {}
    of_draws: list[Pool] = [{} for _ in draws]
    seen = np.zeros(len(draws), dtype=np.int64)
    starts = []
    for path in source.paths:
        doc = doc_column(path)
        if (np.diff(doc) <= 0).any():
            raise InputError(f"{path}: its documents are not in ascending order, each once")
        if len(doc):
            starts.append((int(doc[0]), path))
    progress = Progress(f"shift {', '.join(source.columns[:2])}", unit="documents")
    for _, path in sorted(starts):
        table = source.read(path)
        kinds = {name: kind_of(name, table.schema.field(name).type, path) for name in source.columns}
        doc = table["doc"].to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(doc // BLOCK)) + 1).tolist(), len(doc)]
        for start, stop in itertools.pairwise(edges):
            rows = doc[start:stop]
            kept = ~is_listed(rows, excluded)
            inside = [is_listed(rows, draw) & kept for draw in draws]
            seen += [int(one.sum()) for one in inside]
            for name in source.columns:
                values = table[name].slice(start, stop - start).combine_chunks()
                if pa.types.is_dictionary(values.type):
                    values = values.dictionary_decode()
                of_pool = pool.setdefault(name, Tally(kinds[name]))
                if of_pool.kind != kinds[name]:
                    raise InputError(
                        f"{path}: column {name!r} holds {kinds[name]}, {of_pool.kind} in other shards"
                    )
                if not of_pool.documents and of_pool.kind == "numbers" and values.null_count < len(values):
                    of_pool.moments.centre = float(values.drop_null()[0].as_py())
                add_block(of_pool, values.filter(pa.array(kept)))
                if of_pool.kind == "categories" and len(of_pool.counts) > MOST:
                    raise InputError(
                        f"{path}: column {name!r} has over {MOST:,} different values; leave it out of columns"
                    )
                for tally, one in zip(of_draws, inside, strict=True):
                    of_draw = tally.setdefault(
                        name, Tally(kinds[name], moments=Moments(of_pool.moments.centre))
                    )
                    if one.any():
                        add_block(of_draw, values.filter(pa.array(one)))
            progress.add(stop - start)
    for place, draw in enumerate(draws):
        if seen[place] != len(draw):
            raise InputError(
                f"--draws: {len(draw) - seen[place]} documents of draw {place} are in none of the {len(source.paths)} files from "
                f"{source.paths[0]}, or are excluded; give all shards, and the draws of this corpus"
            )
    return pool, of_draws


def merged(tally: Tally, names: Sequence[str]) -> np.ndarray:
    """Counts of categories in the order of `names`, int64 [k]; the last, OTHER, holds those that are not named."""
    counts = np.array([tally.counts.get(name, 0) for name in names], dtype=np.int64)
    if names[-1:] == [OTHER]:
        counts[-1] = sum(tally.counts.values()) - counts[:-1].sum()
    return counts


def compare(
    pool: Pool, of_draws: Sequence[Pool], names: Sequence[tuple[str, int]], draws: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(rows of shift.csv, rows of shift-labels.csv), by draw and column in their order. `names`: arm and data seed of each
    draw; `draws`: random ones."""
    rows: list[dict[str, Any]] = []
    label_rows: list[dict[str, Any]] = []
    for (arm, data_seed), tallies_of in zip(names, of_draws, strict=True):
        for column, whole in pool.items():
            part = tallies_of[column]
            key = {"arm": arm, "data_seed": data_seed, "column": column}
            row: dict[str, Any] = {
                **key,
                "kind": whole.kind,
                "documents": part.documents,
                "pool_documents": whole.documents,
                "pool": None,
                "drawn": None,
                "measure": "total variation",
            }
            rows.append(row)
            if whole.kind == "numbers":
                row["measure"] = "standardised difference"
                row["pool"] = whole.moments.mean if whole.moments.count else None
                row["drawn"] = part.moments.mean if part.moments.count else None
                row |= numbers_shift(whole.moments, part.moments)
                continue
            tested = _labels(column, whole, part)
            label_rows += [{**key, **one} for one in tested]
            if whole.kind == "categories":
                labels = [one["label"] for one in tested]
                column_seed = seed + zlib.crc32(f"{arm}\x1f{data_seed}\x1f{column}".encode())
                row |= categories_shift(merged(whole, labels), merged(part, labels), draws, column_seed)
            else:
                counts = np.array([(one["pool_documents"], one["drawn_documents"]) for one in tested])
                variation = total_variation(*counts.reshape(-1, 2).T)
                smallest = min((one["p"] for one in tested if one["p"] is not None), default=None)
                p = None if smallest is None else min(1.0, smallest * len(tested))
                row |= {"value": float(variation), "random": None, "p": p}
    adjust(rows)
    adjust(label_rows)
    return rows, label_rows


def _labels(column: str, whole: Tally, part: Tally) -> list[dict[str, Any]]:
    """Rows of the labels of a column, the most frequent first."""
    counts = whole.counts.items()
    if column == TEXT:
        counts = {name: count for name, count in counts if count <= whole.documents / 2}.items()
    labels = [name for name, _ in sorted(counts, key=lambda one: (-one[1], one[0]))]
    more = len(labels) > LABELS
    labels = labels[:LABELS] + ([OTHER] if more and whole.kind == "categories" else [])
    of_pool, of_draw = merged(whole, labels), merged(part, labels)
    p = label_p(whole.documents, of_pool, part.documents, of_draw).tolist() if part.documents else []
    rows = []
    for place, (label, having, drawn) in enumerate(
        zip(labels, of_pool.tolist(), of_draw.tolist(), strict=True)
    ):
        one: dict[str, Any] = {
            "label": label,
            "pool_documents": having,
            "drawn_documents": drawn,
            "pool_share": having / whole.documents,
            "drawn_share": None,
            "difference": None,
            "p": None,
        }
        if part.documents:
            share = drawn / part.documents
            one |= {"drawn_share": share, "difference": share - one["pool_share"], "p": p[place]}
        rows.append(one)
    return rows


def main(
    *,
    measures: list[Path],
    draws: list[Path],
    spec: str,
    out_dir: Path,
    documents: list[Path] = [],
    vocabulary: list[Path] = [],
    heldout: list[Path] = [],
    name: str = "",
) -> None:
    """Compare draws with the corpus that they are of; writes shift.csv, shift-labels.csv, shift.svg, shift.html, shift.md.

    Args:
        measures: shards of measures (parquet: doc and columns) of one or several families, in any order.
        draws: files with the column doc of the drawn documents (draw.parquet), one for each of the spec.
        spec: JSON: draws (arm and data seed of each), columns (names of measures, or null for all), prompts (columns of `words`
            and `features` of the documents, or null), seed.
        out_dir: folder to write.
        documents: shards of documents, for words and features of prompts, and words of texts.
        vocabulary: words of the texts, the most frequent first (CSV: name; one), of which the first are looked for in texts.
        heldout: heldout.parquet of the corpus: what it lists is no part of the pool.
        name: what is compared, in messages and as title of the page.
    """
    settings = read_spec(spec, "draws", "columns", "prompts", "seed")
    names = [(arm, data_seed) for arm, data_seed in settings["draws"]]
    if len(names) != len(draws) or len(set(names)) != len(names):
        raise InputError(
            f"--spec draws: {len(names)} names for {len(draws)} draws; one for each, all different"
        )
    listed, excluded = [listed_docs([path]) for path in draws], listed_docs(heldout)
    pool: Pool = {}
    of_draws: list[Pool] = [{} for _ in draws]
    words_of_text = _first_words(vocabulary[0]) if vocabulary else []
    for source in [
        *measured(measures, settings["columns"]),
        *of_documents(documents, settings["prompts"], words_of_text),
    ]:
        whole, parts = tallies(source, listed, excluded)
        pool |= whole
        for of_draw, part in zip(of_draws, parts, strict=True):
            of_draw |= part
    rows, label_rows = compare(pool, of_draws, names, DRAWS, settings["seed"])
    arms, labels = arm_measures(rows), arm_labels(label_rows)
    page = make_page(name, rows, label_rows, arms, labels)
    write_rows(out_dir / "shift-labels.csv", label_rows, LABEL_COLUMNS)
    write_text(out_dir / "shift.svg", overview(arms))
    write_text(out_dir / "shift.md", markdown(page))
    write_text(out_dir / "shift.html", html_page(page))
    write_rows(out_dir / "shift.csv", rows, COLUMNS)
    differ = sum(row["p_adjusted"] is not None and row["p_adjusted"] < 0.05 for row in rows)
    say(
        f"[shift {name}] {len(names)} draws, {len(pool)} columns: {differ} of {len(rows)} differ from random draws"
    )


def _first_words(path: Path) -> list[str]:
    """The first WORDS names of a table; none of an empty one."""
    if len(path.read_text(encoding="utf-8").splitlines()) < 2:
        return []
    return [row["name"] for row in read_rows(path, ["name"])[:WORDS]]


if __name__ == "__main__":
    run(main)
