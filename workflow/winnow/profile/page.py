"""The tables of a profile -> a page to read, plots, and the card of the corpus.

In: the tables of winnow.profile.describe and winnow.profile.associate, the documents outside the pool, published figures,
and what winnow.profile.creativity wrote, if it has. Out: `profile.html`, `profile.md`, `card.md` and plots (SVG). Published
figures are shown beside measured ones only if the corpus has as many documents as theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from winnow.csv_files import read_rows
from winnow.pages import NOTES, Page, Section, html_page, markdown, source_text
from winnow.parquet import open_parquet
from winnow.profile import plots, sections
from winnow.profile.card import write_card
from winnow.profile.kinds import facts, measures
from winnow.profile.sections import (
    LABELS,
    LITERACY,
    SHOWN,
    WHOLE,
    Drawn,
    Published,
    Rows,
    Tables,
    percent,
    share_of,
    table_of,
)
from winnow.profile.tables import ASSOCIATIONS, CREATIVITY_PLOTS, PLOTS, TABLES
from winnow.schema import read_spec
from winnow.stage import read_json, run, write_text

STAGE_VERSION = 4
LEVELS = 20  # of a measure, in a plot
KEYWORDS = 30  # in a plot
NOTHING = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="20"><text x="4" y="14" font-size="12">'
    "nothing to plot</text></svg>\n"
)
WRITTEN = (
    "of", "name", "measure", "level", "feature", "objective", "condition", "first", "second", "class", "theme", "word",
    "flag", "evidence", "start", "ending",
)  # fmt: skip
"""Columns of text; others are of numbers. `of` is a number in prevalence.csv."""
CREATIVITY = {"dispersion": "Dispersion of groups", "measures": "Measures of variety", "groups": "Groups at both ends"}  # fmt: skip
"""Titles of the plots of winnow.profile.creativity."""


def read_table(folder: Path, name: str) -> Rows:
    """Rows of a table, numbers as numbers, None of an empty cell."""
    path = folder / f"{name}.csv"
    columns = {**TABLES, **ASSOCIATIONS}[name]
    with open(path, encoding="utf-8") as file:
        if not file.readline() or not file.readline():
            return []

    def value(column: str, text: str) -> Any:
        if column in WRITTEN and (name, column) != ("prevalence", "of"):
            return text
        return None if not text else int(text) if column in WHOLE else float(text)

    return [{column: value(column, text) for column, text in row.items()} for row in read_rows(path, columns)]


def read_published(path: Path) -> Published:
    """Published figures of a corpus (columns of, name, value, source)."""
    rows = read_rows(path, ["of", "name", "value", "source"])
    return {(row["of"], row["name"]): (float(row["value"]), row["source"]) for row in rows}


def facts_section(known: Mapping[str, Any], corpus: Mapping[str, Any], out_of_pool: Mapping[str, int]) -> Rows:  # fmt: skip
    """What is known of the corpus: rows of `what` and `value`. `corpus`: its source and licence."""
    documents = known["documents"]
    rows = [
        ("source", source_text(corpus["source"])),
        ("licence", corpus["licence"] or "not stated (corpora.NAME.licence)"),
        ("documents", f"{documents:,}"),
        ("rows without a text", f"{known['rows'] - documents:,}"),
        ("documents equal to an earlier one", share_of(known["duplicates"], documents)),
        (
            "documents with the words of an earlier one (near-duplicates: other case, blanks or punctuation)",
            f"{share_of(known['alike'], known['counted'])} that were counted",
        ),
        ("held out", f"{out_of_pool.get('heldout', 0):,}"),
        (
            "duplicates that are out of the pool",
            f"{out_of_pool.get('duplicate', 0) + out_of_pool.get('duplicate-of-heldout', 0):,}",
        ),
    ]
    for what in ("words", "features"):
        if known[f"with_{what}"] is not None:
            rows.append((f"documents with {what} of their prompt", share_of(known[f"with_{what}"], documents)))  # fmt: skip
    return [dict(what=what, value=value) for what, value in rows]


def left_out(
    settings: Mapping[str, Any], known: Mapping[str, Any], creativity: Mapping[str, Any] | None
) -> list[str]:
    """What the profile does not have, and why, in sentences. `creativity`: creativity.json, if there is one."""
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
    if creativity is None:
        out.append("Creativity is left out: no family of this profile reads vectors (key profile.families).")
    elif not creativity["groups"]:
        out.append("Creativity is left out: no group of documents is large enough to measure its variety.")
    if not known["documents"]:
        out.append("The corpus has no documents.")
    return out


def comparable(published: Published, known: Mapping[str, Any]) -> tuple[Published, list[str]]:
    """Published figures that may be shown beside the measured ones, and a sentence on those that may not."""
    documents = published.get(("corpus", "documents"))
    if not published or (documents and documents[0] == known["rows"]):
        return published, []
    if documents is None:
        return {}, [
            "The published figures do not tell of how many documents they are (row corpus,documents). They are not shown."
        ]
    return {}, [
        f"The published figures are of {documents[0]:,.0f} documents; this corpus has {known['rows']:,}. They are not shown."
    ]


def cooccurrence_section(rows: Rows, drawn: Drawn) -> Section:
    """Shares of levels among the documents of each feature."""
    body = [
        [row["measure"], row["level"], row["feature"], f"{row['documents']:,}", percent(row),
         f"{100 * (row['overall'] or 0):.2f} %"]
        for row in rows
    ]  # fmt: skip
    head = ["Measure", "Level", "Feature", "Documents with both", "Share of the feature's [95 % CI]", "of all documents"]  # fmt: skip
    return Section("Shares by feature of the prompt", (head, body), True, (), drawn)


def make_page(
    name: str,
    tables: Tables,
    known: Mapping[str, Any],
    settings: Mapping[str, Any],
    corpus_rows: Rows,
    published: Published,
    drawn: Mapping[str, str],
    creativity: Mapping[str, Any] | None = None,
    creativity_plots: Drawn = (),
) -> Page:
    """The page of a profile. `drawn`: plots (SVG) by name; `creativity`: creativity.json, if there is one."""
    given, why_not = comparable(published, known)
    labels = {column: text for family in settings["families"] for column, text in facts(family).columns.items()}  # fmt: skip

    def shown(**titles: str) -> list[tuple[str, str]]:
        return [(title, drawn[plot]) for plot, title in titles.items() if drawn[plot] != NOTHING]

    parts = [Section("The corpus", table_of(["", NOTES], corpus_rows, ["what", "value"]))]
    for what, title in (("features", "Features of the prompts"), ("words", "Words of the prompts")):
        if tables[what]:
            parts.append(sections.names_section(what, tables[what], given, False, shown(**{what: title})))
    split = [*LITERACY, *LABELS, "lexicon"]
    others = {measure for family in settings["families"] if family not in split for measure in facts(family).columns}  # fmt: skip
    texts = [row for row in tables["levels"] if row["measure"] in others]
    plotted = shown(measures="Distributions", levels="Shares")
    if plotted or texts:
        parts.append(
            Section("Lengths, languages, pronouns", sections.shares_table(texts) if texts else None, False, (), plotted)
        )  # fmt: skip
    parts += sections.literacy_sections(
        tables,
        shown(reading_levels="Reading levels", reading="Readability formulas", agreement="Levels by formulas and by zero-shot labels"),
    )  # fmt: skip
    parts += sections.health_sections(
        tables,
        shown(labels="Emotions, topics, genres and themes", lexicon="Words of emotions and violence, and flags",
              valences="Valence and rates of words", associations="What goes together", keywords="Words of the prompts"),
    )  # fmt: skip
    parts += sections.creativity_sections(creativity, creativity_plots)
    answer = []
    if tables["suitability"]:
        parts.append(sections.suitability_section(tables["suitability"]))
        last = tables["suitability"][-1]
        if last["share"] is not None and not last["measure"]:
            answer = [sections.suitability_answer(last)]
    parts.append(sections.describe_section(tables["describe"], labels, given))
    if tables["cooccurrence"]:
        parts.append(cooccurrence_section(tables["cooccurrence"], shown(cooccurrence="Shares by feature")))
    parts += [
        sections.names_section(what, tables[what], {}, True)
        for what in ("vocabulary", "names")
        if tables[what]
    ]
    for size in sorted({row["words"] for row in tables["ngrams"]}):
        many = [row for row in tables["ngrams"] if row["words"] == size][:SHOWN]
        table = table_of([f"{size} words", "count"], many, ["name", "count"])
        parts.append(Section(f"The {len(many)} most frequent sequences of {size} words", table, True))
    return Page(
        title=f"{name}: what is in this corpus",
        answer=answer,
        warnings=[*sections.language_warning(tables), *left_out(settings, known, creativity), *why_not],
        legend=[
            "All documents of the corpus are described, held-out ones and duplicates too. A measure without a value is not "
            "valid for a text (it is too short, say); such documents are counted apart, and shares are of the others.",
            "Intervals are Wilson's, 95 %: how sure a share would be if the documents were drawn at random from a source of "
            "such documents. Those of mean rates are normal approximations.",
            "The first and the last bar of a histogram hold all documents beyond the quantiles .01 and .99.",
            f"Words of the text, names and near-duplicates are of {known['counted']:,} documents, sequences of words of "
            f"{known['ngram_documents']:,}; if that is not all, they are drawn by a key of the document's number. Names are "
            "words with a capital inside a sentence: of English text mostly names of persons, places and days.",
            *(f"The labels of {', '.join(named)} are read by {judge}." for judge, named in by_judge(settings["judges"])),
            "Each measure is a column profile.NAME for samplers: filters: {where: {column: profile.words, min: 50}}.",
            "Everything here describes texts. It says nothing of the people who wrote or read them.",
        ],
        sections=parts,
    )  # fmt: skip


def by_judge(judges: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """What reads label sets, and the families whose label sets it reads."""
    return [
        (judge, [family for family in judges if judges[family] == judge])
        for judge in dict.fromkeys(judges.values())
    ]


def draw_plots(tables: Tables, settings: Mapping[str, Any]) -> dict[str, str]:
    """Plots by name (PLOTS); NOTHING where there is nothing to plot."""
    families = settings["families"]
    labels = {column: text for family in families for column, text in facts(family).columns.items()}
    drawn = dict.fromkeys(PLOTS, NOTHING)
    for what in ("features", "words"):
        if counts := [(row["name"], row["count"]) for row in tables[what][:SHOWN]]:
            drawn[what] = plots.bars(counts, f"occurrences in prompts ({what})")
    named = sorted((row for row in tables["keywords"] if row["count"]), key=lambda row: -row["count"])
    if named:
        counts = [(f"{row['word']} ({row['theme']})", row["count"]) for row in named[:KEYWORDS]]
        drawn["keywords"] = plots.bars(counts, "prompts with the word")
    split = (*LITERACY, *LABELS, "lexicon")
    of_plot = {
        "measures": measures(family for family in families if family not in split),
        "reading": measures(family for family in families if family == "reading"),
        "valences": [
            name for name in measures(family for family in families if family == "lexicon")
            if name.startswith("valence") or name.endswith("_rate")
        ],
    }  # fmt: skip
    for plot, chosen in of_plot.items():
        bins: dict[str, list[tuple[float, float, int]]] = {}
        for row in tables["histograms"]:
            if row["measure"] in chosen:
                bins.setdefault(row["measure"], []).append((row["low"], row["high"], row["documents"]))
        if bins:
            drawn[plot] = plots.histograms(bins, labels)
    levels = {
        measure: many[:LEVELS]
        for measure in measures(families)
        if (many := [row for row in tables["levels"] if row["measure"] == measure])
    }
    of_plot = {
        "levels": of_plot["measures"],
        "reading_levels": measures(LITERACY),
        "labels": measures(LABELS),
    }
    for plot, chosen in of_plot.items():
        if of_measure := {measure: many for measure, many in levels.items() if measure in chosen}:
            drawn[plot] = plots.shares(of_measure, labels)
    if any(row["documents"] for row in tables["crosstable"]):
        drawn["agreement"] = plots.crosstable(tables["crosstable"])
    if tables["prevalence"]:
        drawn["lexicon"] = plots.prevalence(tables["prevalence"])
    if tables["associations"]:
        drawn["associations"] = plots.associations(tables["associations"])
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


def main(
    *,
    tables: Path,
    heldout: Path,
    published: list[Path] = [],
    creativity: list[Path] = [],
    spec: str,
    out_dir: Path,
) -> None:
    """Write the page, the plots and the card of a profile.

    Args:
        tables: folder of the tables and of facts.json (winnow.profile.describe, winnow.profile.associate).
        heldout: documents outside the pool (parquet: doc, role).
        published: published figures of the corpus (CSV: of, name, value, source; one), if there are some.
        creativity: creativity.json of the corpus and its plots (CREATIVITY_PLOTS), if it was measured.
        spec: JSON: name (of the corpus), origin (its source and licence), families, prompts (columns, or null),
            judges (of each family of labels: what reads its texts).
        out_dir: folder of profile.html, profile.md, card.md and the plots (PLOTS, an SVG each).
    """
    settings = read_spec(spec, "name", "origin", "families", "prompts", "judges")
    rows = {name: read_table(tables, name) for name in (*TABLES, *ASSOCIATIONS)}
    known = read_json(tables / "facts.json")
    out_of_pool = {
        item["values"]: item["counts"]
        for item in pc.value_counts(
            open_parquet(heldout, ["role"]).read(columns=["role"])["role"]
        ).to_pylist()
    }
    corpus_rows = facts_section(known, settings["origin"], out_of_pool)
    drawn = draw_plots(rows, settings)
    given = read_published(published[0]) if published else {}
    variety = read_json(creativity[0]) if creativity else None
    variety_plots = [
        (CREATIVITY[name], path.read_text(encoding="utf-8"))
        for name, path in zip(CREATIVITY_PLOTS, creativity[1:], strict=False)
    ]
    page = make_page(settings["name"], rows, known, settings, corpus_rows, given, drawn, variety, variety_plots)  # fmt: skip
    for name, text in drawn.items():
        write_text(out_dir / f"{name}.svg", text)
    write_text(
        out_dir / "card.md", write_card(settings["name"], rows, corpus_rows, page.warnings, page.legend)
    )
    write_text(out_dir / "profile.md", markdown(page))
    write_text(out_dir / "profile.html", html_page(page))


if __name__ == "__main__":
    run(main)
