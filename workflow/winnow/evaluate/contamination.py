"""Contamination: which benchmark items occur in training documents.

An item is contaminated if one of its texts is (question, context, sentence, an answer; not those under 8 words; the blank
of a sentence is filled with its right option), and a text if at least 70 % of its 8-grams of words occur in the documents
(PaLM's criterion: Chowdhery et al. 2022, section 8). Words are runs of letters and digits in lower case; in a script
without blanks each character is half a word. `subset`: how many items of each benchmark the train split of a subset
contains, all documents together. `shard`: the documents of a corpus that contain an item by themselves, for the filter
`contaminated` of a sampler.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.parquet import open_parquet
from winnow.paths import plain_links
from winnow.scripts import CHARACTER, CHARACTERS_A_WORD, part
from winnow.stage import InputError, Progress, atomic_path, read_json, run, write_json

STAGE_VERSION = 2
WORDS = 8
SHARE = 0.7
BASE = np.uint64(0x9E3779B97F4A7C15)
"""Odd multiplier of the rolling hash (2^64 over the golden ratio)."""
INVERSE = np.uint64(pow(int(BASE), -1, 2**64))
EXAMPLES = 10


@dataclass(frozen=True)
class Items:
    """8-grams of the texts of benchmark items. `words`: number of each word; `light`: bool, whether a word is one
    character of a script without blanks. `grams`: uint64, sorted, unique; `gram` and `text`: int64, one row for each
    different 8-gram of each text (places in `grams` and among all texts), sorted by gram; `size`: int64, 8-grams of a
    text; `benchmark` and `place`: int64, of a text, its benchmark's place in `names` and its item's number there; `total`:
    items of a benchmark, too short ones included."""

    words: dict[str, int]
    light: np.ndarray
    grams: np.ndarray
    gram: np.ndarray
    text: np.ndarray
    size: np.ndarray
    benchmark: np.ndarray
    place: np.ndarray
    names: list[str]
    total: dict[str, int]


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", part(text.lower()))


def is_light(words: Iterable[str]) -> np.ndarray:
    """Which words are one character of a script without blanks, bool."""
    return np.array([len(word) == 1 and CHARACTER.match(word) is not None for word in words], dtype=bool)


def hashes(ids: np.ndarray, light: np.ndarray | None = None) -> np.ndarray:
    """Hash of each window of WORDS words: uint64. `ids`: int64 [n], numbers of words, -1 for one of no benchmark;
    windows with such a word are left out. `light` (bool, by number): words of which CHARACTERS_A_WORD count as one."""
    if not len(ids):
        return np.zeros(0, dtype=np.uint64)
    size = np.full(len(ids), CHARACTERS_A_WORD)
    if light is not None and light.any():
        size[(ids >= 0) & light[ids]] = 1
    reached = np.concatenate([[0], np.cumsum(size)])
    ends = np.searchsorted(reached, reached[:-1] + CHARACTERS_A_WORD * WORDS)
    known = np.concatenate([[0], np.cumsum(ids < 0)])
    starts = np.flatnonzero(ends <= len(ids))
    starts = starts[known[ends[starts]] == known[starts]]
    with np.errstate(over="ignore"):
        values = (ids + 1).astype(np.uint64) * BASE
        values = (values ^ (values >> np.uint64(32))) * INVERSE
        powers = np.cumprod(np.concatenate([[np.uint64(1)], np.full(len(ids) - 1, BASE)]))
        sums = np.concatenate([[np.uint64(0)], np.cumsum(values * powers)])
        back = np.cumprod(np.concatenate([[np.uint64(1)], np.full(len(ids) - 1, INVERSE)]))
        total = (sums[ends[starts]] - sums[starts]) * back[starts]
        total ^= total >> np.uint64(29)
    return total


def strings(value: Any) -> Iterator[str]:
    """All texts inside a row of a data set, blanks filled."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        right = value.get(f"option{value.get('answer')}")
        for inner in value.values():
            filled = isinstance(inner, str) and isinstance(right, str) and "_" in inner
            yield from [inner.replace("_", right)] if filled else strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def rows_of(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """Name and item rows of a benchmark folder: of a mirror, the rows of the splits that its tasks evaluate."""
    manifest = read_json(folder / "manifest.json")
    if manifest["kind"] != "stock":
        return manifest["name"], open_parquet(folder / "data.parquet", []).read().to_pylist()
    rows: list[dict[str, Any]] = []
    source = (folder / manifest["dataset"]).resolve()
    for config, split in manifest["evaluated"]:
        path = source / config / f"{split}.parquet"
        rows += open_parquet(path, []).read().to_pylist() if path.exists() else _open(source, config, split)
    return manifest["name"], rows


def _open(source: Path, config: str, split: str) -> list[dict[str, Any]]:
    """Rows of a copy of a Hub repository, whose card names their files."""
    import datasets

    datasets.disable_progress_bars()
    # A cache of its own: the shared one identifies a folder by its name.
    with tempfile.TemporaryDirectory() as cache, plain_links({source.name: source}) as links:
        name = None if config == "default" else config
        return datasets.load_dataset(str(links[source.name]), name, split=split, cache_dir=cache).to_list()


def index(benchmarks: list[Path]) -> Items:
    """The 8-grams of all items. Raises InputError for two benchmarks of one name."""
    words: dict[str, int] = {}
    texts: list[np.ndarray] = []
    benchmark, place, names, total = [], [], [], {}
    for folder in benchmarks:
        name, rows = rows_of(folder)
        if name in total:
            raise InputError(f"{folder}: a second benchmark named {name!r}")
        names.append(name)
        total[name] = len(rows)
        for number, row in enumerate(rows):
            for text in strings(row):
                numbers = [words.setdefault(w, len(words)) for w in words_of(text)]
                if len(numbers) >= WORDS:
                    texts.append(np.array(numbers, dtype=np.int64))
                    benchmark.append(len(names) - 1)
                    place.append(number)
    light = is_light(words)
    of_text = [np.unique(hashes(ids, light)) for ids in texts]
    kept = [i for i, hashed in enumerate(of_text) if len(hashed)]
    of_text = [of_text[i] for i in kept]
    size = np.array([len(hashed) for hashed in of_text], dtype=np.int64)
    grams, gram = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *of_text]), return_inverse=True)
    text_of = np.repeat(np.arange(len(of_text)), size)
    order = np.argsort(gram, kind="stable")
    return Items(
        words, light, grams, gram[order], text_of[order], size, np.array(benchmark, dtype=np.int64)[kept],
        np.array(place, dtype=np.int64)[kept], names, total,
    )  # fmt: skip


def matches(items: Items, text: str) -> np.ndarray:
    """Places in `items.grams` of the 8-grams of a text, int64, sorted, each once."""
    get = items.words.get
    ids = np.array([get(word, -1) for word in words_of(text)], dtype=np.int64)
    hashed = np.unique(hashes(ids, items.light))
    if not len(hashed) or not len(items.grams):
        return np.zeros(0, dtype=np.int64)
    at = np.minimum(np.searchsorted(items.grams, hashed), len(items.grams) - 1)
    return at[items.grams[at] == hashed]


def contained(items: Items, seen: np.ndarray) -> list[tuple[str, int]]:
    """(benchmark, number of the item), ascending, of items with a text of which at least SHARE of the 8-grams are among
    `seen` (places in `grams`)."""
    starts, ends = np.searchsorted(items.gram, seen), np.searchsorted(items.gram, seen, side="right")
    rows = np.concatenate(
        [np.zeros(0, dtype=np.int64), *(np.arange(a, b) for a, b in zip(starts, ends, strict=True))]
    )
    hits = np.bincount(items.text[rows], minlength=len(items.size))
    texts = np.flatnonzero((hits >= SHARE * items.size) & (hits > 0))
    numbers = {(int(items.benchmark[t]), int(items.place[t])) for t in texts}
    return [(items.names[benchmark], place) for benchmark, place in sorted(numbers)]


def _texts(path: Path, column: str) -> Iterator[tuple[int, str]]:
    for batch in open_parquet(path, ["doc", column]).iter_batches(columns=["doc", column], batch_size=1024):
        yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)


def subset(*, subset: Path, split: Path, benchmarks: list[Path], out: Path, name: str = "") -> None:
    """Count the benchmark items that a train split contains.

    Args:
        subset: manifest.json of the subset.
        split: train split of a subset (parquet: doc, text).
        benchmarks: folders made by winnow.evaluate.benchmarks.
        out: JSON to write: by benchmark, items, checked (long enough), found, and the first of them.
        name: what progress lines call the subset.
    """
    items = index(benchmarks)
    seen = np.zeros(len(items.grams), dtype=bool)
    progress = Progress(f"contamination {name}", total=pq.read_metadata(split).num_rows, unit="documents")
    for _, text in _texts(split, "text"):
        seen[matches(items, text)] = True
        progress.add(1)
    contaminated = contained(items, np.flatnonzero(seen))
    report = {}
    for number, benchmark in enumerate(items.names):
        places = [place for of, place in contaminated if of == benchmark]
        report[benchmark] = {
            "items": items.total[benchmark],
            "checked": len(np.unique(items.place[items.benchmark == number])),
            "found": len(places),
            "first": places[:EXAMPLES],
        }
    progress.line(f"{len(contaminated):,} items found")
    ids = read_json(subset)["ids"]
    write_json(out, {"ids": ids, "words": WORDS, "share": SHARE, "benchmarks": report})


def shard(*, documents: Path, benchmarks: list[Path], out: Path, name: str = "") -> None:
    """Find the documents of a shard that contain a benchmark item by themselves.

    Args:
        documents: shard of documents (parquet: doc, text).
        benchmarks: folders made by winnow.evaluate.benchmarks.
        out: parquet to write: doc int64, items int32 (how many), benchmark (of the first).
        name: what progress lines call the shard.
    """
    items = index(benchmarks)
    docs, counts, first = [], [], []
    progress = Progress(f"contamination {name}", total=pq.read_metadata(documents).num_rows, unit="documents")
    for doc, text in _texts(documents, "text"):
        contaminated = contained(items, matches(items, text))
        if contaminated:
            docs.append(doc)
            counts.append(len(contaminated))
            first.append(contaminated[0][0])
        progress.add(1)
    progress.line(f"{len(docs):,} contain an item")
    table = pa.table(
        {
            "doc": pa.array(docs, pa.int64()),
            "items": pa.array(counts, pa.int32()),
            "benchmark": pa.array(first, pa.string()),
        }
    )
    with atomic_path(out) as partial:
        pq.write_table(table, partial, compression="zstd")


if __name__ == "__main__":
    run(subset, shard)
