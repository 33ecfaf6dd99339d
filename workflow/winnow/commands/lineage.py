"""`winnow lineage`: from a figure of a table down to the documents it rests on, and from a document up to the models that hold it.

In: a table (CSV) and its claims ledger, results.json beside the items, manifests of models and subsets, draws, source.json,
and the records of the jobs that made them (winnow.provenance).
Out: lines for people; with --out the documents, a line each. Everything is read; nothing is computed anew but digests.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from winnow.compare.provenance import items_of_arms, stages, summary
from winnow.csv_files import read_rows
from winnow.parquet import doc_range
from winnow.provenance import Records, differences, not_recorded
from winnow.stage import InputError, atomic_path, read_json, sha256

ROW = ("arm", "benchmark", "metric", "scope", "group")
DOCUMENTS = ("corpus", "doc", "split", "arm", "data_seed", "file", "row")
SHOWN = 5


@dataclass(frozen=True)
class Run:
    """A run of an arm: seeds, the folder of its model (of probes: of their items), its subset, and what differs from its
    manifest."""

    data_seed: int
    training_seed: int
    folder: Path
    draw: Path
    ids: dict[str, Any]
    problems: tuple[str, ...] = ()


def lineage(
    table: Path | None = None,
    row: int = 0,
    /,
    *,
    document: str = "",
    results: Path = Path("results"),
    out: Path | None = None,
) -> None:
    """Show what a table or a figure of it was made of, where and with what; or which subsets and models hold a document.

    Args:
        table: A table as CSV (results/tables/NAME.csv).
        row: Number of its row; 1 is the first one below the header. Without it: how all arms of the table were made.
        document: CORPUS:ID instead: a document by its number, the row of the source, counted from 0.
        results: Folder of the results.
        out: File to write (tab-separated): the documents of a figure (corpus, doc, split, arm, data_seed, source file and the row
            in it, from 0), or what holds a document.
    """
    if (table is None) == (not document):
        raise InputError(
            "name a table and a row (winnow lineage results/tables/NAME.csv 3), or --document CORPUS:ID"
        )
    if document:
        show_document(results, document, out)
    elif not row and table is not None:
        if out is not None:
            raise InputError("--out: name a row, too; it lists the documents of a figure")
        show_table(table)
    else:
        assert table is not None
        show_figure(table, row, out)


# ---------------------------------------------------------------- from a figure to its documents


def show_table(table: Path) -> None:
    """Prints with what, where and when the arms of a table were made, and where this differs between them."""
    claims = read_json(table.with_suffix(".claims.json"))
    arms = {
        arm: [_as_seen(table, str(path)) for path in paths] for arm, paths in items_of_arms(claims).items()
    }
    found = summary(arms, Records(table.resolve().parent.parent))
    print(f"{table}: {len(arms)} arms")
    for row in found["stages"]:
        print(f"  {stage_line(row)}")
    show_problems(found["differences"], found["unrecorded"])


def stage_line(row: dict[str, Any]) -> str:
    """A row of `winnow.compare.provenance.stages` in a line."""
    facts = {fact: ", ".join(values) for fact, values in row["facts"].items()}
    packages = [
        f"{fact} {text}" for fact, text in facts.items() if fact not in ("Winnow", "Python", "device")
    ]
    return (
        f"{row['rule']} ({row['jobs']} {'job' if row['jobs'] == 1 else 'jobs'}) on {', '.join(row['hosts'])} "
        f"({facts['device']}), {row['began']}; Winnow {facts['Winnow']}, "
        f"Python {', '.join([facts['Python'], *packages])}"
    )


def show_problems(different: list[str], unrecorded: list[str]) -> None:
    """Prints where jobs were made differently, and which files have no record."""
    for line in different:
        print(f"  DIFFERENT: {line}")
    if unrecorded:
        print(f"  {not_recorded(unrecorded)}")


def show_figure(table: Path, number: int, out: Path | None) -> None:
    """Prints what a row of a table rests on."""
    results = table.resolve().parent.parent
    records = Records(results)
    row = table_row(table, number)
    about = f"{row['benchmark']} ({row['metric']}{', ' + row['group'] if row['group'] else ''})"
    print(f"{table}, row {number}: {row['arm']} on {about}: {row['figure']}")
    arms = {row["arm"]: items_files(table, row, row["arm"])}
    if row["baseline"] not in ("", row["arm"]):
        print(f"difference from {row['baseline']}: {row['effect']}, verdict: {row['verdict']}")
        arms[row["baseline"]] = items_files(table, row, row["baseline"])
    lines: list[tuple[Any, ...]] = []
    for arm, files in arms.items():
        print(f"\n{arm}: {len(files)} {'file' if len(files) == 1 else 'files'} of items")
        seeds = seeds_of(table, row, arm)
        of_arm: list[tuple[Any, ...]] = []
        for path in files:
            if not path.is_file():
                raise InputError(f"{path}: no such file, which {table} was made of; run the workflow again")
            digest = sha256(path)
            print(f"  items    {path}  sha256 {digest[:12]}")
            if records.digest(path) not in (None, digest):
                print(f"    CHANGED: {path} is not the file that its job wrote")
            for _, runs in groupby(runs_of(results, path, seeds), lambda run: run.draw):
                of_draw = list(runs)
                show_runs(of_draw)
                of_arm += [line for run in of_draw for line in documents_of(results, arm, run)]
        different = {line[1] for line in of_arm}
        print(f"  {len(different):,} different documents in {len({line[4] for line in of_arm})} draws")
        lines += of_arm
        made, unrecorded = records.upstream(files)
        print("  made by")
        for stage in stages(made):
            print(f"    {stage_line(stage)}")
        show_problems([], unrecorded)
    show_problems(differences({arm: records.upstream(files)[0] for arm, files in arms.items()}), [])
    if out is not None:
        write_lines(out, DOCUMENTS, lines)
        print(f"\n{out}: {len(lines):,} lines, one for each document of each draw")


def table_row(table: Path, number: int) -> dict[str, str]:
    """A row of a table by its number from 1. Raises InputError for one that it does not have."""
    rows = read_rows(table, (*ROW, "figure", "baseline", "figures_by_run"))
    if not 1 <= number <= len(rows):
        raise InputError(f"{table}: has the rows 1 to {len(rows)}; row {number} is none of them")
    return rows[number - 1]


def items_files(table: Path, row: dict[str, str], arm: str) -> list[Path]:
    """Files of items that the figure of an arm was computed from, from the claims ledger of the table."""
    ledger = table.with_suffix(".claims.csv")
    for claim in read_rows(ledger, (*ROW, "baseline", "figure_files", "baseline_files")):
        if all(claim[key] == row[key] for key in ROW[1:]):
            for whose, files in (("arm", "figure_files"), ("baseline", "baseline_files")):
                if claim[whose] == arm and claim[files]:
                    return [_as_seen(table, path) for path in dict.fromkeys(claim[files].split("; "))]
    raise InputError(
        f"{ledger}: no claim on {arm} and {row['benchmark']} ({row['metric']}), which has the paths of its items"
    )


def _as_seen(table: Path, path: str) -> Path:
    """A path of the ledger, which is relative to where the workflow ran."""
    return Path(path) if Path(path).exists() else table.resolve().parents[2] / path


def seeds_of(table: Path, row: dict[str, str], arm: str) -> list[tuple[int, int]]:
    """Data seed and training seed of each run of an arm."""
    for other in read_rows(table, ROW):
        if other["arm"] == arm and all(other[key] == row[key] for key in ROW[1:]):
            pairs = [run.split(":")[0] for run in other["figures_by_run"].split("; ") if run]
            return [(int(a), int(b)) for a, b in (pair.split("/") for pair in pairs)]
    return []


def runs_of(results: Path, items: Path, seeds: list[tuple[int, int]]) -> Iterator[Run]:
    """The runs whose items a file holds: of models one, of probes all data seeds of an arm."""
    ids = read_json(items.with_name("results.json"))["ids"]
    if "corpus" not in ids:  # a model as it was published
        return
    if "data_seed" in ids:
        folder = items.parents[2]
        yield checked(
            Run(ids["data_seed"], ids["training_seed"], folder, draw_of(results, ids, ids["data_seed"]), ids)
        )
        return
    draws = items.with_name("draws.parquet")
    for data_seed, training_seed in seeds:
        yield Run(data_seed, training_seed, items.parent, draws, ids)


def draw_of(results: Path, ids: dict[str, Any], data_seed: int) -> Path:
    """The draw of a subset."""
    folder = results / ids["corpus"] / "subsets" / ids["clustering"] / ids["sampler"] / ids["budget"]
    return folder / f"seed{data_seed}" / "draw.parquet"


def checked(run: Run) -> Run:
    """A run with the files of its model and subset that are not those of their manifests."""
    problems = []
    for folder, key in ((run.folder, "files"), (run.draw.parent, "sha256")):
        manifest = folder / "manifest.json"
        if not manifest.is_file():
            problems.append(f"{manifest} is missing")
            continue
        for name, digest in read_json(manifest).get(key, {}).items():
            path = folder / name
            if not path.is_file():
                problems.append(f"{path} is missing")
            elif sha256(path) != digest:
                problems.append(f"{path} is not the file of its manifest")
    return Run(run.data_seed, run.training_seed, run.folder, run.draw, run.ids, tuple(problems))


def show_runs(runs: list[Run]) -> None:
    """Prints what runs with draws in one file were made of: one of a model, or those of all seeds of a probe."""
    pairs = ", ".join(f"{run.data_seed}/{run.training_seed}" for run in runs)
    print(f"  run      {pairs} (data seed/training seed)")
    for run in runs:
        manifest = run.folder / "manifest.json"
        if manifest.is_file():
            spec = read_json(manifest)["spec"]
            source = (spec.get("base") or {}).get("source") or spec["model"].get("start")
            start = f", from {origin(source)}" if source else ", from random weights"
            print(f"    model  {run.folder}{start}")
    print(f"    draw   {runs[0].draw}")
    for problem in [problem for run in runs for problem in run.problems][:SHOWN]:
        print(f"    CHANGED: {problem}")


def origin(source: dict[str, Any]) -> str:
    """A source of weights or documents in a few words."""
    if "hub" in source:
        return f"{source['hub']} at {source['revision'][:12]}"
    return str(
        source.get("package") or source.get("folder") or source.get("generator") or source.get("files")
    )


def documents_of(results: Path, arm: str, run: Run) -> list[tuple[Any, ...]]:
    """The documents of a run: a tuple of DOCUMENTS each. Raises InputError if the draw is missing."""
    if not run.draw.is_file():
        raise InputError(f"{run.draw}: no such file; run the workflow again with the target subsets")
    drawn = pq.read_table(run.draw)
    if "data_seed" in drawn.column_names:
        drawn = drawn.filter(np.equal(drawn["data_seed"].to_numpy(), run.data_seed))
    docs = drawn["doc"].to_numpy()
    splits = drawn["split"].to_pylist() if "split" in drawn.column_names else ["train"] * len(docs)
    corpus = run.ids["corpus"]
    rows = source_rows(results, corpus, docs)
    return [
        (corpus, int(doc), split, arm, run.data_seed, *where)
        for doc, split, where in zip(docs, splits, rows, strict=True)
    ]


def source_rows(results: Path, corpus: str, docs: np.ndarray) -> list[tuple[str, int]]:
    """File and row in it (from 0) of documents int64 [n] of a corpus."""
    files = read_json(results / corpus / "source.json")["files"]
    ends = np.array(list(accumulate(file["rows"] for file in files)))
    if len(docs) and (docs.min() < 0 or docs.max() >= ends[-1]):
        bad = int(docs.max() if docs.min() >= 0 else docs.min())
        raise InputError(
            f"{results / corpus / 'source.json'}: has {ends[-1]:,} rows; document {bad} is none of them"
        )
    place = np.searchsorted(ends, docs, side="right")
    begins = np.append(0, ends[:-1])
    return [(files[at]["path"], int(doc - begins[at])) for at, doc in zip(place.tolist(), docs, strict=True)]


# ---------------------------------------------------------------- from a document to what holds it


def show_document(results: Path, named: str, out: Path | None) -> None:
    """Prints the subsets and models that hold a document. Raises InputError for an unknown corpus or document."""
    corpus, _, number = named.rpartition(":")
    known = sorted(path.parent.name for path in results.glob("*/source.json"))
    if corpus not in known or not number.isdigit():
        raise InputError(
            f"--document {named!r}: must be CORPUS:ID, ID a whole number from 0; corpora of {results}: {', '.join(known) or 'none'}"
        )
    doc = int(number)
    ((file, row),) = source_rows(results, corpus, np.array([doc]))
    print(f"document {doc} of {corpus}: row {row} (from 0) of {file}")
    heldout = results / corpus / "heldout.parquet"
    if heldout.is_file():
        held = pq.read_table(heldout, filters=[("doc", "=", doc)]).to_pylist()
        if held:
            print(f"held out of all subsets ({', '.join(str(one.get('role', '')) for one in held)})")
    for copy in copies(results, corpus, doc):
        print(f"the same text: document {copy} of {corpus}")
    show_similar(results, corpus, doc)
    lines = holders(results, corpus, doc)
    for kind, path, what in lines:
        print(f"{kind:9}  {path}{'  ' + what if what else ''}")
    kinds = [kind for kind, _, _ in lines]
    print(
        f"subsets that hold it: {len({path for kind, path, _ in lines if kind == 'subset'})}; models trained on it: "
        f"{kinds.count('model')}; benchmarks made of it: {kinds.count('benchmark')}; files of its shard: {kinds.count('file')}"
    )
    print("to remove it: docs/provenance.md")
    if out is not None:
        write_lines(out, ("kind", "path", "what"), lines)


def show_similar(results: Path, corpus: str, doc: int) -> None:
    """Prints how similar a document is to an earlier one of its cluster, where a scorer of near-duplicates measured it."""
    measured = False
    for path in sorted((results / corpus / "clusterings").glob("*/scores/*/all.parquet")):
        if "score" not in pq.read_schema(path).names:
            continue
        measured = True
        for score in pq.read_table(path, columns=["score"], filters=[("doc", "=", doc)])["score"].to_pylist():
            print(f"cosine similarity to another document of its cluster, at most: {score:.3f} ({path})")
    if not measured:
        print("near-duplicates are not listed: no sampler of the run measures them (scorer semdedup)")


def copies(results: Path, corpus: str, doc: int) -> list[int]:
    """The other documents of a corpus with the same text."""
    shards = sorted((results / corpus / "documents").glob("*.parquet"))
    digests = [pq.read_table(shard, columns=["doc", "digest"]) for shard in shards]
    docs = np.concatenate([table["doc"].to_numpy() for table in digests] or [np.zeros(0, dtype=np.int64)])
    digest = np.concatenate(
        [table["digest"].to_numpy() for table in digests] or [np.zeros(0, dtype=np.uint64)]
    )
    return [int(other) for other in docs[np.isin(digest, digest[docs == doc])] if other != doc]


def holders(results: Path, corpus: str, doc: int) -> list[tuple[str, str, str]]:
    """Kind (subset, model, benchmark or file), path and what more there is to say of all that hold a document of a corpus: files
    are those of its shard, with its text, vector, cluster or scores."""
    lines: list[tuple[str, str, str]] = []
    trained: set[Path] = set()
    for draw in sorted((results / corpus / "subsets").rglob("draw.parquet")):
        found = pq.read_table(draw, columns=["split"], filters=[("doc", "=", doc)])["split"].to_pylist()
        if found:
            lines.append(("subset", str(draw.parent), str(found[0])))
            if found[0] == "train":
                trained.add(draw.parent.relative_to(results / corpus / "subsets"))
    for manifest in sorted((results / corpus / "models").rglob("manifest.json")):
        subset = read_json(manifest)["subset"]
        path = Path(
            *(str(subset[key]) for key in ("clustering", "sampler", "budget")), f"seed{subset['data_seed']}"
        )
        if path in trained:
            lines.append(("model", str(manifest.parent), ""))
    for draws in sorted((results / corpus / "probes").rglob("draws.parquet")):
        table = pq.read_table(draws, columns=["data_seed", "round"], filters=[("doc", "=", doc)])
        for seed, first in sorted(
            zip(table["data_seed"].to_pylist(), table["round"].to_pylist(), strict=True)
        ):
            lines.append(("model", str(draws.parent), f"probes of data seed {seed}, from round {first} on"))
    for data in sorted((results / corpus / "benchmarks").glob("*/data.parquet")):
        made_of = read_json(data.with_name("manifest.json"))["spec"]["benchmark"]
        if (
            "heldout" in made_of
            and pq.read_table(data, columns=["item"], filters=[("item", "=", doc)]).num_rows
        ):
            lines.append(("benchmark", str(data.parent), made_of["heldout"]))
    for path in shard_files(results / corpus, doc):
        lines.append(("file", str(path), ""))
    return lines


def shard_files(corpus: Path, doc: int) -> list[Path]:
    """Files of the shard of a document: its text, vectors, clusters, scores, measures and predictions."""
    for shard in sorted((corpus / "documents").glob("*.parquet")):
        with pq.ParquetFile(shard) as file:
            low, high = doc_range(file)
        if low <= doc <= high:
            return sorted(
                path
                for path in corpus.rglob(f"{shard.stem}.*")
                if path.suffix in (".parquet", ".npy", ".npz")
            )
    return []


def write_lines(out: Path, header: tuple[str, ...], lines: list[tuple[Any, ...]]) -> None:
    """Writes tab-separated lines under a header."""
    with atomic_path(out) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([header, *lines])
