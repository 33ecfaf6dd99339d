"""The tables of a profile -> a page to read, plots, and the card of the corpus.

In: the tables of winnow.profile.describe, the documents outside the pool, and published figures. Out:
`profile.html`, `profile.md`, `card.md` and plots (SVG). Published figures are shown beside measured ones only if the
corpus has as many documents as theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.csv_files import read_rows
from winnow.pages import NOTES, Page, Section, html_page, markdown, number
from winnow.profile import plots
from winnow.profile.kinds import facts, measures
from winnow.profile.tables import PLOTS, TABLES
from winnow.schema import read_spec
from winnow.stage import read_json, run, write_text

STAGE_VERSION = 1
SHOWN = 20  # names in a table or a plot
LEVELS = 20  # of a measure, in a plot
STATISTICS = ("count", "mean", "std", "min", "25%", "50%", "75%", "max")
NOTHING = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="20"><text x="4" y="14" font-size="12">'
    "nothing to plot</text></svg>\n"
)
WHOLE = ("count", "documents", "passing", "missing", "without", "words")
WRITTEN = ("of", "name", "measure", "level", "feature", "objective", "condition")

Rows = list[dict[str, Any]]
Published = dict[tuple[str, str], tuple[float, str]]
"""(of, name) -> figure and its source: counts of names of `words` and `features`, their `describe:` figures, and
(corpus, documents)."""


def read_table(folder: Path, name: str) -> Rows:
    """Rows of a table, numbers as numbers, None of an empty cell."""
    path = folder / f"{name}.csv"
    if len(path.read_text(encoding="utf-8").splitlines()) < 2:
        return []

    def value(column: str, text: str) -> Any:
        if column in WRITTEN:
            return text
        return None if not text else int(text) if column in WHOLE else float(text)

    return [
        {column: value(column, text) for column, text in row.items()} for row in read_rows(path, TABLES[name])
    ]


def read_published(path: Path) -> Published:
    """Published figures of a corpus (columns of, name, value, source)."""
    rows = read_rows(path, ["of", "name", "value", "source"])
    return {(row["of"], row["name"]): (float(row["value"]), row["source"]) for row in rows}


def percent(row: Mapping[str, Any]) -> str:
    """A share with its interval."""
    if row["share"] is None:
        return "no document has the measure"
    return f"{100 * row['share']:.2f} % [{100 * row['ci_low']:.2f}, {100 * row['ci_high']:.2f}]"


def source_of(source: Mapping[str, Any]) -> str:
    """Where the documents come from, in words."""
    if "hub" in source:
        return f"Hub data set {source['hub']}, revision {source['revision']}"
    if "generator" in source:
        return f"generated here ({source['generator']})"
    return f"local files: {', '.join(source['files'])}"


def facts_section(known: Mapping[str, Any], corpus: Mapping[str, Any], out_of_pool: Mapping[str, int]) -> Rows:  # fmt: skip
    """What is known of the corpus: rows of `what` and `value`. `corpus`: its source and licence."""
    documents = known["documents"]
    rows = [
        ("source", source_of(corpus["source"])),
        ("licence", corpus["licence"] or "not stated (corpora.NAME.licence)"),
        ("documents", f"{documents:,}"),
        ("rows without a text", f"{known['rows'] - documents:,}"),
        ("documents equal to an earlier one", _of(known["duplicates"], documents)),
        (
            "documents with the words of an earlier one (near-duplicates: other case, blanks or punctuation)",
            f"{_of(known['alike'], known['counted'])} that were counted",
        ),
        ("held out", f"{out_of_pool.get('heldout', 0):,}"),
        (
            "duplicates that are out of the pool",
            f"{out_of_pool.get('duplicate', 0) + out_of_pool.get('duplicate-of-heldout', 0):,}",
        ),
    ]
    for what in ("words", "features"):
        if known[f"with_{what}"] is not None:
            rows.append((f"documents with {what} of their prompt", _of(known[f"with_{what}"], documents)))
    return [dict(what=what, value=value) for what, value in rows]


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({100 * part / whole:.2f} %)" if whole else f"{part:,} of {whole:,}"


def left_out(settings: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """What the profile does not have, and why, in sentences."""
    out = []
    for what in ("words", "features"):
        column = settings["prompts"][what]
        if column is None:
            out.append(
                f"The corpus has no column of {what} of its prompts, so they are not counted (key corpora.NAME.prompts.{what})."
            )
        elif not known[f"with_{what}"]:
            out.append(f"No document has an entry in the column {column!r}, so no {what} are counted.")
    out += [
        f"The objective {name!r} is left out: no family of this profile has its measure (key profile.families)."
        for name in known["not_measured"]
    ]
    if not known["documents"]:
        out.append("The corpus has no documents.")
    return out


def comparable(published: Published, known: Mapping[str, Any]) -> tuple[Published, list[str]]:
    """Published figures that may be shown beside the measured ones, and a sentence on those that may not."""
    documents = published.get(("corpus", "documents"))
    if not published or documents is None or documents[0] == known["rows"]:
        return published, []
    return {}, [
        f"The published figures are of {documents[0]:,.0f} documents; this corpus has {known['rows']:,}. They are not shown."
    ]


def _table(head: Sequence[str], rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Any:
    def text(column: str, value: Any) -> str:
        if isinstance(value, str):
            return value
        return f"{value:,}" if column in WHOLE and value is not None else number(value)

    return list(head), [[text(column, row[column]) for column in columns] for row in rows]


def describe_section(rows: Rows, labels: Mapping[str, str], published: Published) -> Section:
    """Figures of each measure and of counts of names; published ones in rows of their own."""
    head = ["Of", "Figures", *STATISTICS, "without a value", NOTES]
    body = []
    for row in rows:
        of = row["of"]
        measured = [f"{row['count']:,}", *(number(row[name]) for name in STATISTICS[1:])]
        note = labels.get(of, "counts of the different names in this table")
        body.append([of, "measured", *measured, f"{row['missing']:,}", note])
        keys = {name: (of.removesuffix(".csv"), f"describe:{name}") for name in STATISTICS}
        if given := {name: published[key] for name, key in keys.items() if key in published and of.endswith(".csv")}:  # fmt: skip
            shown = [number(given[name][0]) if name in given else "" for name in STATISTICS]
            body.append([of, "published", *shown, "", next(iter(given.values()))[1]])
    return Section("Figures (as describe() of pandas)", (head, body))


def names_section(what: str, rows: Rows, published: Published, folded: bool = False) -> Section:
    """The most frequent names, with published counts where there are some."""
    given = {name: figure for (of, name), figure in published.items() if of == what and ":" not in name}
    shown = rows[:SHOWN] + [row for row in rows[SHOWN:] if row["name"] in given]
    title = f"{what.capitalize()}: the {len(shown)} most frequent of {len(rows):,}"
    if not given:
        return Section(title, _table([what, "count"], shown, ["name", "count"]), folded)
    body = []
    for row in shown:
        value, source = given.get(row["name"], (None, ""))
        body.append([row["name"], f"{row['count']:,}", "" if value is None else f"{value:,.0f}", source])
    return Section(title, ([what, "measured", "published", NOTES], body), folded)


def make_page(
    name: str,
    tables: Mapping[str, Rows],
    known: Mapping[str, Any],
    settings: Mapping[str, Any],
    corpus_rows: Rows,
    published: Published,
    drawn: Mapping[str, str],
) -> Page:
    """The page of a profile. `drawn`: plots (SVG) by name."""
    given, why_not = comparable(published, known)
    labels = {column: text for family in settings["families"] for column, text in facts(family).columns.items()}  # fmt: skip
    sections = [Section("The corpus", _table(["", NOTES], corpus_rows, ["what", "value"]))]
    if tables["suitability"]:
        body = [
            [row["objective"], row["measure"], row["condition"], f"{row['passing']:,}", f"{row['documents']:,}",
             percent(row), f"{row['without']:,}"]
            for row in tables["suitability"]
        ]  # fmt: skip
        head = ["Objective", "Measure", "Condition", "Documents that pass", "of", "Share [95 % CI]", "without a value"]  # fmt: skip
        sections.append(Section("Suitability", (head, body)))
    sections += [names_section(what, tables[what], given) for what in ("features", "words") if tables[what]]
    sections.append(describe_section(tables["describe"], labels, given))
    if tables["levels"]:
        body = [
            [row["measure"], row["level"], f"{row['documents']:,}", percent(row)] for row in tables["levels"]
        ]
        sections.append(Section("Shares", (["Measure", "Level", "Documents", "Share [95 % CI]"], body)))
    if tables["cooccurrence"]:
        body = [
            [row["measure"], row["level"], row["feature"], f"{row['documents']:,}", percent(row),
             f"{100 * (row['overall'] or 0):.2f} %"]
            for row in tables["cooccurrence"]
        ]  # fmt: skip
        head = ["Measure", "Level", "Feature", "Documents with both", "Share of the feature's [95 % CI]", "of all documents"]  # fmt: skip
        sections.append(Section("Shares by feature of the prompt", (head, body), True))
    sections += [
        names_section(what, tables[what], {}, True) for what in ("vocabulary", "names") if tables[what]
    ]
    for size in sorted({row["words"] for row in tables["ngrams"]}):
        many = [row for row in tables["ngrams"] if row["words"] == size][:SHOWN]
        table = _table([f"{size} words", "count"], many, ["name", "count"])
        sections.append(Section(f"The {len(many)} most frequent sequences of {size} words", table, True))
    titles = {
        "features": "Features of the prompts",
        "words": "Words of the prompts",
        "measures": "Measures",
        "levels": "Shares",
        "cooccurrence": "Shares by feature",
    }
    return Page(
        title=f"{name}: what is in this corpus",
        warnings=[*left_out(settings, known), *why_not],
        legend=[
            "All documents of the corpus are described, held-out ones and duplicates too. A measure without a value is not "
            "valid for a text (it is too short, say); such documents are counted apart, and shares are of the others.",
            "Intervals are Wilson's, 95 %: how sure a share would be if the documents were drawn at random from a source of "
            "such documents.",
            f"Words of the text, names and near-duplicates are of {known['counted']:,} documents, sequences of words of "
            f"{known['ngram_documents']:,}; if that is not all, they are drawn by a key of the document's number. Names are "
            "words with a capital inside a sentence: of English text mostly names of persons, places and days.",
            "Each measure is a column profile.NAME for samplers: filters: {where: {column: profile.words, min: 50}}.",
            "Everything here describes texts. It says nothing of the people who wrote or read them.",
        ],
        sections=sections,
        plots=[(titles[plot], drawn[plot]) for plot in PLOTS if drawn[plot] != NOTHING],
    )  # fmt: skip


def draw_plots(tables: Mapping[str, Rows], settings: Mapping[str, Any]) -> dict[str, str]:
    """Plots by name (PLOTS); NOTHING where there is nothing to plot."""
    labels = {column: text for family in settings["families"] for column, text in facts(family).columns.items()}  # fmt: skip
    drawn = dict.fromkeys(PLOTS, NOTHING)
    for what in ("features", "words"):
        if counts := [(row["name"], row["count"]) for row in tables[what][:SHOWN]]:
            drawn[what] = plots.bars(counts, f"occurrences in prompts ({what})")
    of_measure: dict[str, list[tuple[float, float, int]]] = {}
    for row in tables["histograms"]:
        of_measure.setdefault(row["measure"], []).append((row["low"], row["high"], row["documents"]))
    if of_measure:
        drawn["measures"] = plots.histograms(of_measure, labels)
    order = [name for name in measures(settings["families"]) if name in labels]
    levels = {
        measure: many[:LEVELS]
        for measure in order
        if (many := [row for row in tables["levels"] if row["measure"] == measure])
    }
    if levels:
        drawn["levels"] = plots.shares(levels, labels)
    together = {
        measure: [
            row for row in tables["cooccurrence"] if row["measure"] == measure and row["level"] in shown
        ]
        for measure, many in levels.items()
        if len(shown := {row["level"] for row in many}) > 1
    }
    if together := {measure: rows for measure, rows in together.items() if rows}:
        drawn["cooccurrence"] = plots.heat_maps(together)
    return drawn


def card(name: str, page: Page, tables: Mapping[str, Rows], corpus_rows: Rows) -> str:
    """The card of the corpus: Markdown."""
    out = [f"# Corpus card: {name}", ""]
    out += [f"- {row['what']}: {row['value']}" for row in corpus_rows]
    out += [""] + [f"> {note}" for note in page.warnings]
    out += ["", "## Measures", "", "| measure | mean | std | median | smallest | largest | without a value |", "| --- " + "| ---: " * 6 + "|"]  # fmt: skip
    for row in tables["describe"]:
        shown = [number(row[column]) for column in ("mean", "std", "50%", "min", "max")]
        out.append(f"| {row['of']} | {' | '.join(shown)} | {row['missing']:,} |")
    if tables["levels"]:
        out += ["", "## Levels", "", "| measure | level | documents | share [95 % CI] |", "| --- | --- | ---: | ---: |"]  # fmt: skip
        out += [f"| {row['measure']} | {row['level']} | {row['documents']:,} | {percent(row)} |" for row in tables["levels"]]  # fmt: skip
    if tables["suitability"]:
        out += ["", "## Suitability", "", "| objective | condition | share that passes [95 % CI] |", "| --- | --- | ---: |"]  # fmt: skip
        out += [f"| {row['objective']} | {row['measure']} {row['condition']} | {percent(row)} |" for row in tables["suitability"]]  # fmt: skip
    out += ["", "## How it was made", ""] + [f"- {sentence}" for sentence in page.legend]
    return "\n".join(out) + "\n"


def main(*, tables: Path, heldout: Path, published: list[Path] = [], spec: str, out_dir: Path) -> None:
    """Write the page, the plots and the card of a profile.

    Args:
        tables: folder of the tables and of facts.json (winnow.profile.describe).
        heldout: documents outside the pool (parquet: doc, role).
        published: published figures of the corpus (CSV: of, name, value, source; one), if there are some.
        spec: JSON: name (of the corpus), origin (its source and licence), families, prompts (columns, or null).
        out_dir: folder of profile.html, profile.md, card.md and the plots (PLOTS, an SVG each).
    """
    settings = read_spec(spec, "name", "origin", "families", "prompts")
    rows = {name: read_table(tables, name) for name in TABLES}
    known = read_json(tables / "facts.json")
    out_of_pool = {
        item["values"]: item["counts"]
        for item in pc.value_counts(pq.read_table(heldout, columns=["role"])["role"]).to_pylist()
    }
    corpus_rows = facts_section(known, settings["origin"], out_of_pool)
    drawn = draw_plots(rows, settings)
    given = read_published(published[0]) if published else {}
    page = make_page(settings["name"], rows, known, settings, corpus_rows, given, drawn)
    for name, text in drawn.items():
        write_text(out_dir / f"{name}.svg", text)
    write_text(out_dir / "card.md", card(settings["name"], page, rows, corpus_rows))
    write_text(out_dir / "profile.md", markdown(page))
    write_text(out_dir / "profile.html", html_page(page))


if __name__ == "__main__":
    run(main)
