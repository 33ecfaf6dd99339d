"""Creativity of a corpus: how much the answers to the same or similar prompts vary, compared with chance.

In: shards of documents and of their embeddings; where the corpus has them, columns of the words, the features and the text
of the prompts, or the assignments of a clustering. Out: `creativity.csv`, a row a group from the least to the most varied; `creativity.json`, the
summary with tests; three plots (SVG). The same bytes for any number of shards, in bounded memory: one pass finds the
groups (`winnow.profile.prompts`), and the texts and vectors of at most `groups` x `documents` documents are measured
(`winnow.profile.variety`). The reference: as many documents drawn at random from those of all groups, which is what
shuffling documents between groups gives a group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.csv_files import write_rows
from winnow.parquet import doc_column, is_listed, open_parquet, vectors_of_shards
from winnow.profile import creativity_plots as plots
from winnow.profile import variety
from winnow.profile.prompts import KINDS, SHARED, Members, identities, label, number, opening, terms
from winnow.profile.tables import CREATIVITY_PLOTS
from winnow.schema import read_spec, schema
from winnow.scripts import WORD
from winnow.stage import InputError, Progress, run, say, write_json, write_text

STAGE_VERSION = 2
ENOUGH = 20
"""Groups of a kind that are enough: of the kinds with so many, the one whose documents are most alike is measured."""
SHOWN = 10
"""Groups at either end that the summary lists."""
EXAMPLES, EXCERPT = 3, 160
"""Documents of a listed group, and characters of each."""
LEVEL = 0.05
BATCH = 2048
COLUMNS = ["group", "documents", *variety.MEASURES] + [
    f"{measure}_{what}" for measure in variety.MEASURES for what in ("effect", "p", "p_adjusted")
]


@dataclass(frozen=True)
class Found:
    """Groups of one kind that are measured. `number` uint64 [g], `count` int64 [g]: documents of a group; `doc` int64
    [g, m]: those that are measured; `documents` in all groups that are large enough, `eligible` such groups."""

    kind: str
    number: np.ndarray
    count: np.ndarray
    doc: np.ndarray
    eligible: int
    share: float


Columns = dict[str, str | None]
"""Columns of the documents that hold the `words`, the `features` and the `text` of the prompts; None of what there is not."""


def settings_of(spec: str) -> tuple[dict[str, Any], Columns]:
    """The keys `creativity` of `--spec`, with the schema's defaults, and `prompts`."""
    given = read_spec(spec, "creativity", "prompts")
    properties = schema()["$defs"]["creativity"]["properties"]
    settings = {name: given["creativity"].get(name, part["default"]) for name, part in properties.items()}
    return settings, given["prompts"]


def rows_of(
    documents: Path, assignments: Path | None, prompts: Columns, chosen: np.ndarray | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of a shard, or those `chosen`, bool [rows]: doc, text, those of words, features and prompt that `prompts` has a
    column of, and cluster from the assignments.

    Raises InputError for a column that is not there or holds something else, and for assignments of other documents.
    """
    clusters = None
    if assignments is not None:
        with open_parquet(assignments, ["doc", "cluster"]) as other:
            clusters = other.read(columns=["cluster"])["cluster"].to_pylist()
        if not np.array_equal(doc_column(assignments), doc_column(documents)):
            raise InputError(f"{assignments}: its documents are not those of {documents}; give its shard")
    names = ["doc", "text", *dict.fromkeys(column for column in prompts.values() if column)]
    with open_parquet(documents, names) as file:
        at = 0
        for batch in file.iter_batches(BATCH, columns=names):
            places = np.arange(at, at + len(batch))
            at += len(batch)
            if chosen is not None:
                first = places[0]
                places = places[chosen[places]]
                batch = batch.take(pa.array(places - first))
            columns: dict[str, list[Any]] = {name: batch[name].to_pylist() for name in ("doc", "text")}
            for what in ("words", "features"):
                if column := prompts[what]:
                    try:
                        columns[what] = terms(batch[column])
                    except InputError as error:
                        raise InputError(f"{documents}: column {column!r} {error}") from None
            if column := prompts["text"]:
                columns["prompt"] = batch[column].to_pylist()
            if clusters is not None:
                columns["cluster"] = [clusters[place] for place in places]
            for values in zip(*columns.values(), strict=True):
                yield dict(zip(columns, values, strict=True))


def find_groups(
    documents: Sequence[Path], assignments: Sequence[Path], settings: dict[str, Any], prompts: Columns
) -> tuple[Found, dict[str, dict[str, Any]], int, int]:
    """(the groups to measure, facts of every kind of group, documents, documents without a word)."""
    kinds = [settings["by"]] if settings["by"] else [k for k in KINDS if k != "cluster" or assignments]
    kept = {kind: Members(settings["documents"], settings["seed"]) for kind in kinds}
    total = empty = 0
    progress = Progress("creativity groups", unit="documents")
    for place, shard in enumerate(documents):
        waiting: dict[str, tuple[list[int], list[int]]] = {kind: ([], []) for kind in kinds}
        for row in rows_of(shard, assignments[place] if assignments else None, prompts):
            total += 1
            if not WORD.search(row["text"] or ""):
                empty += 1
                continue
            for kind, (group, doc) in waiting.items():
                for identity in identities(kind, row, settings["opening_words"]):
                    group.append(number(identity))
                    doc.append(row["doc"])
                if len(group) > BATCH:
                    kept[kind].add(group, doc)
                    group.clear()
                    doc.clear()
            progress.add(1)
        for kind, (group, doc) in waiting.items():
            kept[kind].add(group, doc)
    facts, enough = {}, {}
    for kind, members in kept.items():
        members.finish()
        large = members.count >= settings["documents"]
        enough[kind] = int(large.sum())
        facts[kind] = {
            "groups": enough[kind],
            "documents": int(members.count[large].sum()),
            "share_of_groups": members.share,
        }
    best = next((k for k in kinds if enough[k] >= ENOUGH), None) or max(kinds, key=lambda k: enough[k])
    chosen = kept[best].chosen(settings["documents"], settings["groups"])
    return Found(best, *chosen, enough[best], kept[best].share), facts, total, empty


def read_chosen(
    found: Found,
    documents: Sequence[Path],
    embeddings: Sequence[Path],
    assignments: Sequence[Path],
    opening_words: int,
    prompts: Columns,
) -> tuple[np.ndarray, list[variety.Text], np.ndarray, dict[int, str], dict[int, str], variety.Vocabulary]:
    """Of the documents of the groups: (doc int64 [n] ascending, texts as the measures read them, vectors [n, d], excerpts
    by doc, labels by number of a group, the vocabulary of the texts)."""
    wanted = np.unique(found.doc)
    vocabulary = variety.Vocabulary()
    texts: list[variety.Text] = []
    vectors = []
    excerpts: dict[int, str] = {}
    labels: dict[int, str] = {}
    groups = set(found.number.tolist())
    docs: list[int] = []
    for place, (shard, matrix) in enumerate(
        zip(documents, vectors_of_shards(embeddings, documents), strict=True)
    ):
        chosen = is_listed(doc_column(shard), wanted)
        if not chosen.any():
            continue
        vectors.append(np.asarray(matrix[np.flatnonzero(chosen)]))
        for row in rows_of(shard, assignments[place] if assignments else None, prompts, chosen):
            text = row["text"]
            start = opening(text, opening_words) if found.kind == "opening" else None
            one = vocabulary.read(text[start[1] :] if start else text)
            assert one is not None  # documents without a word are in no group
            texts.append(one)
            docs.append(row["doc"])
            excerpts[row["doc"]] = " ".join(text[: 2 * EXCERPT].split())[:EXCERPT]
            for identity in identities(found.kind, row, opening_words):
                if (group := number(identity)) in groups and group not in labels:
                    labels[group] = label(found.kind, identity)
    order = np.argsort(np.array(docs, dtype=np.int64), kind="stable")
    matrix = np.concatenate(vectors)[order] if vectors else np.zeros((0, 1), np.float16)
    return wanted, [texts[i] for i in order], matrix, excerpts, labels, vocabulary


def group_rows(
    found: Found,
    labels: dict[int, str],
    values: dict[str, np.ndarray],
    tests: dict[str, dict[str, np.ndarray]] | None,
) -> list[dict[str, Any]]:
    """Rows of creativity.csv, from the least to the most varied by dispersion; ties by the group's name."""
    rows = []
    for i, group in enumerate(found.number.tolist()):
        row: dict[str, Any] = {"group": labels[group], "documents": int(found.count[i]), "place": i}
        for measure, of_groups in values.items():
            row[measure] = round(float(of_groups[i]), 6)
            for what in ("effect", "p", "p_adjusted"):
                value = None if tests is None else float(tests[measure][what][i])
                row[f"{measure}_{what}"] = None if value is None or np.isnan(value) else round(value, 6)
        rows.append(row)
    return sorted(rows, key=lambda row: (row["dispersion"], row["group"], row["place"]))


def notes_of(found: Found, settings: dict[str, Any], tests: Any) -> list[str]:
    """What a reader must know of the figures, one sentence each."""
    m = settings["documents"]
    if not len(found.number):
        return [
            f"No {m} documents share {SHARED[found.kind]} or anything else that was looked for, so no variety of answers can be measured."
        ]
    notes = [
        f"Documents of a group share {SHARED[found.kind]}; of each group the {m} documents with the smallest keys are "
        "measured, so that all groups have the same size.",
        f"Distinct-n, self-BLEU and compression are of the first {variety.CHARACTERS:,} characters of a text, self-BLEU of "
        f"{m} pairs of texts a group; openings and endings are {variety.ENDS} words.",
    ]
    notes.append(
        "The score is the mean dispersion of the groups over that of random groups. 0: every group is one text; 1: answers "
        "to similar prompts vary as much as answers to different ones."
    )
    if found.kind == "opening":
        notes.append(
            f"Groups are documents with the same first {settings['opening_words']} words"
            f"{'' if settings['by'] else ': there are too few groups of the same prompt, words or features'}. These words "
            "are left out of the measures of texts; the embeddings include them."
        )
    if found.share < 1:
        notes.append(f"Groups are a sample of {found.share:.3g} of all, by their keys.")
    if len(found.number) < found.eligible:
        notes.append(
            f"{len(found.number):,} of {found.eligible:,} groups are measured, chosen by their keys."
        )
    if tests is None:
        notes.append(
            "There are too few groups to compare with documents drawn at random; two at least are needed."
        )
    else:
        notes.append(
            f"Reference: {settings['draws']:,} groups of {m} documents drawn at random from those of all groups (seed "
            f"{settings['seed']}), as if documents were shuffled between groups. p-values are two-sided; those of groups "
            "are adjusted over the groups of a measure by Benjamini and Hochberg's method; before that none is below "
            f"{2 / (settings['draws'] + 1):.2g}."
        )
    return notes


def measure_corpus(
    documents: Sequence[Path],
    embeddings: Sequence[Path],
    assignments: Sequence[Path],
    settings: dict[str, Any],
    prompts: Columns,
    of: str,
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, np.ndarray]]:
    """(rows of creativity.csv, creativity.json, measures of the reference draws: none if there are too few groups). `of`: the
    corpus, in messages."""
    found, kinds, total, empty = find_groups(documents, assignments, settings, prompts)
    m = settings["documents"]
    say(
        f"[creativity {of}] {total:,} documents, {found.eligible:,} groups of at least {m} that share {SHARED[found.kind]}"
    )
    summary: dict[str, Any] = {
        "settings": settings,
        "documents": total,
        "documents_without_words": empty,
        "by": found.kind,
        "kinds": kinds,
        "groups": len(found.number),
        "score": None,
        "measures": {},
        "least_varied": [],
        "most_varied": [],
    }
    if not len(found.number):
        return [], {**summary, "notes": notes_of(found, settings, None)}, {}
    wanted, texts, vectors, excerpts, labels, vocabulary = read_chosen(
        found, documents, embeddings, assignments, settings["opening_words"], prompts
    )
    places = np.searchsorted(wanted, found.doc)
    values = variety.measure(texts, vectors, places, vocabulary)
    reference: dict[str, np.ndarray] = {}
    tests = None
    if len(found.number) > 1 and len(wanted) > m:
        draws = variety.reference_draws(len(wanted), m, settings["draws"], settings["seed"])
        reference = variety.measure(texts, vectors, draws, vocabulary)
        tests, summary["measures"] = variety.compare(values, reference, settings["seed"], LEVEL)
        summary["score"] = variety.score(summary["measures"])
    else:
        summary["measures"] = {name: {"mean": float(of.mean())} for name, of in values.items()}
        summary["score"] = 0.0 if not values["dispersion"].any() else None
    rows = group_rows(found, labels, values, tests)
    ends = min(SHOWN, (len(rows) + 1) // 2)
    for name, part in (("least_varied", rows[:ends]), ("most_varied", rows[::-1][:ends])):
        for row in part:
            examples = [
                {"doc": doc, "start": excerpts[doc]} for doc in found.doc[row["place"]].tolist()[:EXAMPLES]
            ]
            shown = ("group", "documents", "dispersion", "dispersion_effect", "dispersion_p_adjusted")
            summary[name].append({**{key: row[key] for key in shown}, "examples": examples})
    return rows, {**rounded(summary), "notes": notes_of(found, settings, tests)}, reference


def rounded(value: Any) -> Any:
    """The same with numbers to six digits, which is more than they are worth."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def main(
    *,
    documents: list[Path],
    embeddings: list[Path],
    spec: str,
    out_dir: Path,
    assignments: list[Path] = [],
    name: str = "",
) -> None:
    """Measure how much the answers to similar prompts vary; writes creativity.csv, creativity-*.svg, creativity.json.

    Args:
        documents: shards of documents (parquet: doc, text, and the columns of the prompts), in any order.
        embeddings: the vectors of each shard, in the same order.
        spec: JSON: creativity (documents, groups, draws, by, clustering, opening_words, seed; {} for the defaults), prompts
            (columns of `words`, `features` and `text`, or null).
        out_dir: folder to write.
        assignments: the clusters of each shard, in the same order, for groups by cluster.
        name: name of the corpus in messages.
    """
    settings, prompts = settings_of(spec)
    if assignments and len(assignments) != len(documents):
        raise InputError(f"--assignments: {len(assignments)} files for {len(documents)} shards; one for each")
    if settings["by"] == "cluster" and not assignments:
        raise InputError("--assignments: missing; by: cluster groups documents by them")
    rows, summary, reference = measure_corpus(documents, embeddings, assignments, settings, prompts, name)
    write_rows(out_dir / "creativity.csv", rows, COLUMNS)
    drawn = {
        "dispersion": plots.dispersion(rows, reference),
        "measures": plots.measures(summary["measures"], bool(reference)),
        "groups": plots.groups(summary, reference),
    }
    for plot in CREATIVITY_PLOTS:
        write_text(out_dir / f"creativity-{plot}.svg", drawn[plot])
    write_json(out_dir / "creativity.json", summary)
    score = summary["score"]
    say(f"[creativity {name}] {len(rows):,} groups, score {'none' if score is None else f'{score:.3f}'}")


if __name__ == "__main__":
    run(main)
