"""The embedded corpora: made here, the same on every machine, nothing downloaded.

In: the generator's settings (and, for `python-packages`, the installed packages and lock.txt). Out: a parquet
file with one row per document, which `winnow.documents.shards` reads as it reads any other file.
The generators, one file each, are in `winnow/documents/generators/`.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.documents.generators import python_packages, sentiment_grammar, story_grammar
from winnow.schema import check_definition, read_spec
from winnow.stage import InputError, atomic_path, run, say

STAGE_VERSION = 1


def table(source: dict, lock: Path | None = None) -> pa.Table:
    """Documents of a generator.

    Parameters: `source`, {"generator": name, "documents": n, "seed": s} as in the config (python-packages has
    a fixed size, and takes neither number); `lock`, the lock file whose pins the packages must have.
    Raises InputError: settings the generator cannot meet, packages that are not those of the lock.
    """
    name = source["generator"]
    if name == "python-packages":
        for key in sorted({"documents", "seed"} & set(source)):
            raise InputError(f"source.{key}: python-packages is a fixed corpus; leave the key out")
        return python_packages.table(lock or python_packages.LOCK)
    module = {"sentiment-grammar": sentiment_grammar, "story-grammar": story_grammar}[name]
    documents = source.get("documents", module.DOCUMENTS)
    if documents > module.MOST:
        raise InputError(f"source.documents: {documents} is more than the {module.MOST} that {name} can make")
    return module.table(documents, source.get("seed", 0))


def generate(*, corpus_name: str, spec: str, out: Path, lock: Path | None = None) -> None:
    """Makes the documents of an embedded corpus.

    Args:
        corpus_name: Name for the progress line.
        spec: {"source": {"generator": "python-packages" | "sentiment-grammar" | "story-grammar", ...}}
        out: source.parquet
        lock: Lock file of the packages (python-packages); by default lock.txt at the root of the repository.
    """
    source = read_spec(spec, "source")["source"]
    check_definition("corpus", {"source": source, "text": "-"}, where="--spec")
    if "generator" not in source:
        raise InputError("--spec source: missing key 'generator'")
    made = table(source, lock)
    with atomic_path(Path(out)) as partial:
        pq.write_table(made, partial, compression="zstd")
    say(f"[generate {corpus_name}] {len(made):,} documents by {source['generator']}")


if __name__ == "__main__":
    run(generate)
