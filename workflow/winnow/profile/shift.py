"""What a draw favours or loses: measures of its documents beside those of the corpus, each with a test.

In: shards of measures of documents (parquet: `doc` and columns), and draws (parquet: `doc`). Out: `shift.csv`, a row a draw
and column; `shift-labels.csv`, a row a draw, column and label; `shift.svg`. The same bytes for any number of shards, in
memory that does not grow with the corpus. By the type of a column:
- numbers: the standardised difference of the means, (draw - pool) / standard deviation of the pool. A simple random draw of
  n of N documents has mean 0 and variance (1 - n/N) / n on this scale (Cochran 1977, section 2.5): a normal test;
- categories (text, true or false): the total variation of their shares, half the sum of absolute differences, against
  that of `draws` random draws of the same size (multivariate hypergeometric); one-sided;
- labels (lists of texts, a document may have several): the total variation of their shares of all labels. Its p-value is
  the smallest of its labels', times their number.
A category or label has the exact two-sided hypergeometric test of the number of drawn documents that have it. Missing
numbers are left out; a missing category is `(none)`; labels beyond the LABELS most frequent are `(other)` of a category, and
left out of labels. p-values are adjusted by Benjamini and Hochberg's method, over all columns and draws of a file, and over
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

from winnow.csv_files import write_rows
from winnow.parquet import is_listed, listed_docs, open_parquet
from winnow.profile import shift_plot
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, run, say, write_text

LABELS = 50
"""Categories or labels of a column that are told apart."""
MOST = 100_000
"""Different values of a column of categories at most."""
BLOCK = 4096
DRAWS = 1999
NONE, OTHER = "(none)", "(other)"
COLUMNS = ["draw", "column", "kind", "documents", "pool_documents", "pool", "drawn", "measure", "value", "random",
           "p", "p_adjusted"]  # fmt: skip
LABEL_COLUMNS = ["draw", "column", "label", "pool_documents", "drawn_documents", "pool_share", "drawn_share", "difference",
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


def label_p(documents: int, having: int, drawn: int, drawn_having: int) -> float:
    """Two-sided p of the number of drawn documents that have a label: twice the smaller tail of the hypergeometric
    distribution, at most 1."""
    from scipy.stats import hypergeom

    low = hypergeom.cdf(drawn_having, documents, having, drawn)
    high = hypergeom.sf(drawn_having - 1, documents, having, drawn)
    return float(min(1.0, 2 * min(low, high)))


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


def tallies(
    measures: Sequence[Path], draws: Sequence[np.ndarray], excluded: np.ndarray, columns: Sequence[str] | None
) -> tuple[dict[str, Tally], list[dict[str, Tally]]]:
    """(of the pool, of each draw) by column. `draws`, `excluded`: int64, ascending; what is excluded is no part of the pool.

    Raises InputError for columns that cannot be compared, and for drawn documents without measures.
    """
    pool: dict[str, Tally] = {}
    of_draws: list[dict[str, Tally]] = [{} for _ in draws]
    seen = np.zeros(len(draws), dtype=np.int64)
    starts = []
    for path in measures:
        with open_parquet(path, ["doc"]) as file:
            doc = file.read(columns=["doc"])["doc"].to_numpy()
        if (np.diff(doc) <= 0).any():
            raise InputError(f"{path}: its documents are not in ascending order, each once")
        starts.append((int(doc[0]) if len(doc) else -1, path))
    progress = Progress("shift", unit="documents")
    for _, path in sorted(starts, key=lambda start: start[0]):
        with open_parquet(path, ["doc", *(columns or [])]) as file:
            names = list(columns or [name for name in file.schema_arrow.names if name != "doc"])
            kinds = {name: kind_of(name, file.schema_arrow.field(name).type, path) for name in names}
            table = file.read(columns=["doc", *names])
        doc = table["doc"].to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(doc // BLOCK)) + 1).tolist(), len(doc)]
        for start, stop in itertools.pairwise(edges):
            rows = doc[start:stop]
            kept = ~is_listed(rows, excluded)
            inside = [is_listed(rows, draw) & kept for draw in draws]
            seen += [int(one.sum()) for one in inside]
            for name in names:
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
                    add_block(of_draw, values.filter(pa.array(one)))
            progress.add(stop - start)
    for place, draw in enumerate(draws):
        if seen[place] != len(draw):
            raise InputError(
                f"--draws: {len(draw) - seen[place]} documents of draw {place} have no measures, or are excluded; give all "
                "shards of --measures, and the draws of this corpus"
            )
    return pool, of_draws


def merged(tally: Tally, names: Sequence[str]) -> np.ndarray:
    """Counts of categories in the order of `names`, int64 [k]; the last, OTHER, holds those that are not named."""
    counts = np.array([tally.counts.get(name, 0) for name in names], dtype=np.int64)
    if names[-1:] == [OTHER]:
        counts[-1] = sum(tally.counts.values()) - counts[:-1].sum()
    return counts


def compare(
    pool: dict[str, Tally], of_draws: Sequence[dict[str, Tally]], names: Sequence[str], draws: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(rows of shift.csv, rows of shift-labels.csv), by draw and column in their order."""
    rows: list[dict[str, Any]] = []
    label_rows: list[dict[str, Any]] = []
    for draw, tallies_of in zip(names, of_draws, strict=True):
        for column, whole in pool.items():
            part = tallies_of[column]
            row: dict[str, Any] = {
                "draw": draw,
                "column": column,
                "kind": whole.kind,
                "documents": part.documents,
                "pool_documents": whole.documents,
                "pool": None,
                "drawn": None,
                "measure": "total variation",
            }
            if whole.kind == "numbers":
                row["measure"] = "standardised difference"
                row["pool"] = whole.moments.mean if whole.moments.count else None
                row["drawn"] = part.moments.mean if part.moments.count else None
                row |= numbers_shift(whole.moments, part.moments)
                rows.append(row)
                continue
            labels = [name for name, _ in sorted(whole.counts.items(), key=lambda one: (-one[1], one[0]))]
            more = len(labels) > LABELS
            labels = labels[:LABELS] + ([OTHER] if more and whole.kind == "categories" else [])
            of_pool, of_draw = merged(whole, labels), merged(part, labels)
            tested = []
            for label, having, drawn in zip(labels, of_pool.tolist(), of_draw.tolist(), strict=True):
                one = {
                    "draw": draw,
                    "column": column,
                    "label": label,
                    "pool_documents": having,
                    "drawn_documents": drawn,
                    "pool_share": having / whole.documents,
                    "drawn_share": drawn / part.documents if part.documents else None,
                }
                one["difference"] = (
                    None if one["drawn_share"] is None else one["drawn_share"] - one["pool_share"]
                )
                one["p"] = label_p(whole.documents, having, part.documents, drawn) if part.documents else None
                tested.append(one)
            label_rows += tested
            if whole.kind == "categories":
                column_seed = seed + zlib.crc32(f"{draw}\x1f{column}".encode())
                row |= categories_shift(of_pool, of_draw, draws, column_seed)
            else:
                smallest = min((one["p"] for one in tested if one["p"] is not None), default=None)
                p = None if smallest is None else min(1.0, smallest * len(tested))
                row |= {"value": float(total_variation(of_pool, of_draw)), "random": None, "p": p}
            rows.append(row)
    adjust(rows)
    adjust(label_rows)
    return rows, label_rows


def adjust(rows: list[dict[str, Any]]) -> None:
    """Sets `p_adjusted` of rows that have `p`, by Benjamini and Hochberg's method."""
    from scipy.stats import false_discovery_control

    tested = [row for row in rows if row["p"] is not None]
    adjusted = false_discovery_control([row["p"] for row in tested]) if tested else []
    for row in rows:
        row["p_adjusted"] = None
    for row, p in zip(tested, adjusted, strict=True):
        row["p_adjusted"] = float(p)


def main(
    *, measures: list[Path], draws: list[Path], spec: str, out_dir: Path, heldout: list[Path] = []
) -> None:
    """Compare draws with the corpus that they are of; writes shift.csv, shift-labels.csv and shift.svg.

    Args:
        measures: shards of measures (parquet: doc and columns), in any order.
        draws: files with the column doc of the drawn documents (train.parquet of subsets), one for each name.
        spec: JSON: `draws` (their names), `columns` (names, or null for all), `seed`.
        out_dir: folder to write.
        heldout: heldout.parquet of the corpus: what it lists is no part of the pool.
    """
    settings = read_spec(spec, "draws", "columns", "seed")
    names = settings["draws"]
    if len(names) != len(draws) or len(set(names)) != len(names):
        raise InputError(
            f"--spec draws: {len(names)} names for {len(draws)} draws; one for each, all different"
        )
    pool, of_draws = tallies(
        measures, [listed_docs([path]) for path in draws], listed_docs(heldout), settings["columns"]
    )
    rows, label_rows = compare(pool, of_draws, names, DRAWS, settings["seed"])
    write_rows(out_dir / "shift-labels.csv", label_rows, LABEL_COLUMNS)
    write_text(out_dir / "shift.svg", shift_plot.shift(rows, label_rows, names))
    write_rows(out_dir / "shift.csv", rows, COLUMNS)
    found = sum(row["p_adjusted"] is not None and row["p_adjusted"] < 0.05 for row in rows)
    say(f"[shift] {len(names)} draws, {len(pool)} columns: {found} of {len(rows)} differ from random draws")


if __name__ == "__main__":
    run(main)
