"""Sections of the page of a profile: tables, and what a reader must know of them. In: rows of its tables. Out: sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from winnow.pages import NOTES, Section, Table, number, probability
from winnow.profile.kinds import facts

STAGE_VERSION = 2
SHOWN = 20
"""Names in a table or a plot."""
MOST_FLAGGED = 10
"""Documents of each flag on the page; flags.csv has more."""
STATISTICS = ("count", "mean", "std", "min", "25%", "50%", "75%", "max")
WHOLE = ("count", "documents", "of", "passing", "missing", "without", "words", "doc")
LITERACY = ("reading", "levels")
"""Families of the section on literacy."""
FEW = ("reading_status", "few English words")
LABELS = ("emotions", "topics", "genres", "themes")
LITERACY_NOTES = (
    "The reading level is the median of five readability formulas whose result is a school grade, in the categories of libraries "
    "and publishers. Formulas count letters, syllables, words and sentences; they do not know what a text is about. Texts "
    "that are too short for them (key profile.reading) have no level and are counted apart.",
    "The zero-shot level is that of the label whose texts are nearest to the document. It has not been checked "
    "against levels that people assigned.",
)
HEALTH_NOTES = (
    "This section describes texts. It diagnoses nobody: neither those who wrote them nor those who read them. A flag is a "
    "reason to read a text, not a judgement of it.",
    "Emotions, topics, genres and themes are those of the label whose texts are nearest to the document "
    "(zero-shot), one for each document. Emotions with minilm: macro-F1 .93 on 72 sentences that were written to express one "
    "emotion each, which is optimistic: whole stories have not been checked. Genres are weak: right for about 55 % of 200 documents, on which the labels "
    "were tuned. Topics and themes have not been checked: read the examples before you quote a share.",
    "Words are those of a lexicon of English (Empath, VADER). It does not know negation or meaning in context. Flags follow "
    "from counts of words and the valence of the ending, by thresholds that were chosen, not measured (key profile.lexicon): "
    "their precision is unknown.",
)
ASSOCIATION_NOTES = (
    "Lift: how often a pair occurs, over how often it would if the two were independent. The log odds ratio is 0 if they are; "
    "its interval is Woolf's, 95 %, with half a document added to each of the four counts, so that of rare pairs it may differ "
    "in sign from what the lift says. p is adjusted by Holm's method over all pairs of a table. An association is no cause.",
)
WITH = {"feature": "features of the prompts", "emotion": "emotions", "flag": "flags"}

Rows = list[dict[str, Any]]
Published = dict[tuple[str, str], tuple[float, str]]
"""(of, name) -> figure and its source: counts of names of `words` and `features`, their `describe:` figures, and
(corpus, documents)."""
Tables = Mapping[str, Rows]
Drawn = Sequence[tuple[str, str]]


def percent(row: Mapping[str, Any]) -> str:
    """A share with its interval."""
    if row["share"] is None:
        return "no document has the measure"
    return f"{100 * row['share']:.2f} % [{100 * row['ci_low']:.2f}, {100 * row['ci_high']:.2f}]"


def share_of(part: int, whole: int) -> str:
    """A part of a whole, and its percentage."""
    return f"{part:,} of {whole:,} ({100 * part / whole:.2f} %)" if whole else f"{part:,} of {whole:,}"


def named(level: str) -> str:
    """A level in words: middle_grade is middle grade."""
    return level.replace("_", " ")


def table_of(head: Sequence[str], rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """A table of some columns of rows."""

    def text(column: str, value: Any) -> str:
        if isinstance(value, str):
            return value
        return f"{value:,}" if column in WHOLE and value is not None else number(value)

    return list(head), [[text(column, row[column]) for column in columns] for row in rows]


# ---------------------------------------------------------------- any corpus


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
    return Section("Figures of all measures (as describe() of pandas)", (head, body), True)


def names_section(what: str, rows: Rows, published: Published, folded: bool = False, plots: Drawn = ()) -> Section:  # fmt: skip
    """The most frequent names, with published counts where there are some."""
    given = {name: figure for (of, name), figure in published.items() if of == what and ":" not in name}
    shown = rows[:SHOWN] + [row for row in rows[SHOWN:] if row["name"] in given]
    title = f"{what.capitalize()}: the {len(shown)} most frequent of {len(rows):,}"
    if not given:
        return Section(title, table_of([what, "count"], shown, ["name", "count"]), folded, (), plots)
    body = []
    for row in shown:
        value, source = given.get(row["name"], (None, ""))
        body.append([row["name"], f"{row['count']:,}", "" if value is None else f"{value:,.0f}", source])
    return Section(title, ([what, "measured", "published", NOTES], body), folded, (), plots)


def shares_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of levels.csv as a table."""
    body = [
        [row["measure"], named(row["level"]), f"{row['documents']:,}", percent(row)]
        for row in rows
        if row["documents"] or row["share"] is not None
    ]
    return ["Measure", "Level", "Documents", "Share [95 % CI]"], body


def suitability_section(rows: Rows) -> Section:
    """The closing table: how many documents meet each objective."""
    body = [
        [row["objective"], row["measure"], named(row["condition"]), f"{row['passing']:,}", f"{row['documents']:,}", percent(row),
         f"{row['without']:,}"]
        for row in rows
    ]  # fmt: skip
    head = ["Objective", "Measure", "Threshold", "Documents that pass", "of", "Share [95 % CI]", "without a value"]  # fmt: skip
    notes = [
        "Does the corpus meet the objectives for its readers? Objectives and thresholds are set by the configuration "
        "(profile.objectives). Documents without the measure count neither as passing nor as failing.",
    ]
    return Section("Suitability", (head, body), False, notes)


def suitability_answer(row: Mapping[str, Any]) -> str:
    """How many documents meet all objectives, in a sentence: of those that have all measures, and how many do not."""
    which = "of the documents" if not row["without"] else "of the documents that have all their measures"
    lack = f"; {row['without']:,} more lack a measure" if row["without"] else ""
    return f"{percent(row)} {which} meet all objectives ({row['passing']:,} of {row['documents']:,}{lack})."


def language_warning(tables: Tables) -> list[str]:
    """A sentence on the documents that are not English, if there are such, by the families that find them."""
    by_level = [row["documents"] for row in tables["levels"] if (row["measure"], row["level"]) == FEW]
    by_flag = [row["missing"] for row in tables["describe"] if row["of"] == "flag_violence"]
    few = max([*by_level, *by_flag], default=0)
    if not few:
        return []
    return [
        f"{few:,} documents have few English words (other languages, code, lists of numbers). Reading levels, words of the lexicon "
        "and flags are for English: these documents have none, and shares are of the others. Pronouns are English words, and "
        "zero-shot labels may be wrong for them unless the encoder reads their language."
    ]


# ---------------------------------------------------------------- literacy


def agreement_sentence(row: Mapping[str, Any]) -> str:
    """How far formulas and zero-shot labels agree, in words."""
    if row["kappa"] is None:
        return f"The agreement of formulas and zero-shot labels is not defined: {row['documents']:,} documents have both levels, of too few kinds."
    interval = "" if row["ci_low"] is None else f" [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
    return (
        f"Formulas and zero-shot labels agree with a weighted kappa of {row['kappa']:.3f}{interval} over {row['documents']:,} documents "
        f"(quadratic weights, bootstrap interval; 1: full agreement, 0: as by chance), and name the same level for "
        f"{100 * row['same']:.1f} % of them."
    )


def literacy_notes(tables: Tables) -> list[str]:
    """What a reader must know of the levels that are measured."""
    measured = {row["measure"] for row in tables["levels"]}
    levels = ("reading_level", "level_zero_shot")
    return [note for level, note in zip(levels, LITERACY_NOTES, strict=True) if level in measured]


def health_notes(tables: Tables) -> list[str]:
    """What a reader must know of labels, words and flags, as far as they are measured."""
    labels = {name for family in LABELS for name in facts(family).levels}
    has = (True, any(row["measure"] in labels for row in tables["levels"]), bool(tables["prevalence"]))
    return [note for shown, note in zip(has, HEALTH_NOTES, strict=True) if shown]


def literacy_sections(tables: Tables, plots: Drawn) -> list[Section]:
    """Levels by formulas and by zero-shot labels, and their agreement; none if neither is measured."""
    measures = [name for family in LITERACY for name in facts(family).levels]
    rows = [row for row in tables["levels"] if row["measure"] in measures]
    if not rows:
        return []
    notes = [*literacy_notes(tables), *map(agreement_sentence, tables["agreement"])]
    out = [
        Section("Literacy", None, False, notes, plots),
        Section("Reading levels", shares_table(rows), level=3),
    ]
    if tables["crosstable"]:
        levels = list(dict.fromkeys(row["first"] for row in tables["crosstable"]))
        cells = {(row["first"], row["second"]): row["documents"] for row in tables["crosstable"]}
        body = [[named(a), *(f"{cells[a, b]:,}" for b in levels)] for a in levels]
        head = ["by formulas \\ zero-shot", *map(named, levels)]
        out.append(Section("Documents by both levels", (head, body), True))
    return out


# ---------------------------------------------------------------- mental health


def prevalence_table(rows: Rows) -> Table:
    """Rows of prevalence.csv as a table."""
    head = ["Measure", "Documents", "Share [95 % CI]", "In 1,000 words [95 % CI]"]
    body = []
    for row in rows:
        group, _, kind = row["measure"].rpartition("_words")
        name = f"flagged: {named(kind.removeprefix('flag_'))}" if not group else f"words of {group}"
        rate = (
            ""
            if row["rate"] is None
            else f"{row['rate']:.2f} [{row['rate_low']:.2f}, {row['rate_high']:.2f}]"
        )
        body.append([name, f"{row['documents']:,} of {row['of']:,}", percent(row), rate])
    return head, body


def associations_table(rows: Rows) -> Table:
    """Rows of associations.csv as a table."""
    head = [
        "",
        "with",
        "Documents with both",
        "if independent",
        "Lift",
        "Log odds ratio [95 % CI]",
        "p (Holm)",
    ]
    body = []
    for row in rows:
        shown = [f"{row['documents']:,}", number(row["expected"])]
        if row["lift"] is None:
            shown += ["", "", ""]
        else:
            interval = f"[{number(row['ci_low'], True)}, {number(row['ci_high'], True)}]"
            shown += [
                f"{row['lift']:.2f}",
                f"{number(row['log_odds'], True)} {interval}",
                probability(row["p"]),
            ]
        body.append([named(row["feature"]), named(row["class"]), *shown])
    return head, body


def shortened(text: str, most: int = 120) -> str:
    """A text of at most `most` characters, with an ellipsis if it was longer."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def excerpt(row: Mapping[str, Any]) -> str:
    """Beginning and ending of a document."""
    return f"{row['start']} … {row['ending']}" if row["ending"] else row["start"]


def health_sections(tables: Tables, plots: Drawn) -> list[Section]:
    """Emotions, topics, genres, themes, words of a lexicon, flags, what they go together with, and documents to read; none
    if nothing of these is measured."""
    measures = [name for family in LABELS for name in facts(family).levels]
    labels = [row for row in tables["levels"] if row["measure"] in measures]
    out: list[Section] = []
    if tables["prevalence"]:
        out.append(Section("Words of emotions and violence, and flags", prevalence_table(tables["prevalence"]), level=3))  # fmt: skip
    if labels:
        out.append(Section("Emotions, topics, genres and themes", shares_table(labels), True))
    pairs = dict.fromkeys((row["first"], row["second"]) for row in tables["associations"])
    for first, second in pairs:
        rows = [row for row in tables["associations"] if (row["first"], row["second"]) == (first, second)]
        title = f"{WITH[first].capitalize()} with {WITH[second]}"
        out.append(Section(title, associations_table(rows), True, ASSOCIATION_NOTES))
    if keywords := [row for row in tables["keywords"] if row["count"]]:
        body = [[row["theme"], row["word"], f"{row['count']:,}", percent(row)] for row in keywords]
        without = len(tables["keywords"]) - len(keywords)
        note = f"Words of a short list; {without} others of it are in no prompt. They say what writers were asked to write about."
        head = ["Theme", "Word", "Prompts", "Share [95 % CI]"]
        out.append(Section("Words of the prompts that bear on mental health", (head, body), True, [note]))
    if tables["examples"]:
        body = [
            [row["measure"], named(row["level"]), f"{row['doc']:,}", number(row["value"]), excerpt(row)]
            for row in tables["examples"]
        ]
        head = ["Measure", "Level", "Document", "Probability or grade", "text"]
        note = "Drawn by a key of the document's number, so that they are typical of a label, not its best cases."
        out.append(Section("Examples of each label", (head, body), True, [note]))
    for flag in dict.fromkeys(row["flag"] for row in tables["flags"]):
        rows = [row for row in tables["flags"] if row["flag"] == flag][:MOST_FLAGGED]
        body = [[f"{row['doc']:,}", row["measure"], number(row["value"]), shortened(row["evidence"]), excerpt(row)] for row in rows]  # fmt: skip
        head = ["Document", "Measure", "Value", "Evidence", "text"]
        note = "The flag describes the text by its words and its ending, and may be wrong: read the text."
        title = f"Flagged: {named(flag)}, the {len(rows)} strongest"
        out.append(Section(title, (head, body), True, [note]))
    if out:
        out.insert(0, Section("Mental health", None, False, health_notes(tables), plots))
    return out


# ---------------------------------------------------------------- creativity


def creativity_sections(summary: Mapping[str, Any] | None, plots: Drawn) -> list[Section]:
    """How much answers to similar prompts vary: creativity.json of winnow.profile.creativity; none without it."""
    if summary is None or not summary["groups"]:
        return []
    score = summary["score"]
    notes = [*summary["notes"]]
    if score is not None:
        notes.insert(0, f"Score {score:.3f}: {summary['groups']:,} groups of documents.")
    out = [Section("Creativity", None, False, notes, plots)]
    body = [
        [named(name), number(of["mean"]), number(of.get("reference")), number(of.get("effect"), True), probability(of.get("p"))]
        for name, of in summary["measures"].items()
    ]  # fmt: skip
    head = ["Measure", "Mean of groups", "of random groups", "Effect (sd)", "p"]
    out.append(Section("Variety of the answers to similar prompts", (head, body), level=3))
    for name, title in (("least_varied", "The least varied groups"), ("most_varied", "The most varied groups")):  # fmt: skip
        body = [
            [row["group"], f"{row['documents']:,}", number(row["dispersion"]), probability(row["dispersion_p_adjusted"]),
             " / ".join(example["start"] for example in row["examples"])]
            for row in summary[name]
        ]  # fmt: skip
        if body:
            head = ["Group", "Documents", "Dispersion", "p (adjusted)", "text"]
            out.append(Section(title, (head, body), True))
    return out
