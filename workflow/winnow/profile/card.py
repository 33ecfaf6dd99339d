"""The card of a corpus: one page of Markdown with what a user must know before using it. In: tables of its profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from winnow.pages import number
from winnow.profile.sections import Tables, health_notes, literacy_notes, named, percent

STAGE_VERSION = 2
LENGTHS = ("characters", "words", "sentences", "vocabulary", "words_per_sentence")
PRONOUNS = ("he", "she", "they")
NAMES = 20
Rows = list[dict[str, Any]]


def _figures(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    out = ["| measure | mean | std | median | smallest | largest | without a value |", "| --- " + "| ---: " * 6 + "|"]  # fmt: skip
    for row in rows:
        shown = [number(row[column]) for column in ("mean", "std", "50%", "min", "max")]
        out.append(f"| {row['of']} | {' | '.join(shown)} | {row['missing']:,} |")
    return out


def _shares(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    out = ["| measure | level | documents | share [95 % CI] |", "| --- | --- | ---: | ---: |"]
    return out + [
        f"| {row['measure']} | {named(row['level'])} | {row['documents']:,} | {percent(row)} |"
        for row in rows
    ]


def write_card(
    name: str, tables: Tables, corpus_rows: Rows, warnings: Sequence[str], legend: Sequence[str]
) -> str:
    """The card. `corpus_rows`: facts of the corpus, `what` and `value`; `warnings`: what the profile lacks; `legend`: how it
    was made."""

    def figures(measures: Sequence[str]) -> list[str]:
        rows = [row for row in tables["describe"] if row["of"] in measures]
        return _figures(rows) if rows else []

    def shares(*measures: str) -> list[str]:
        rows = [row for row in tables["levels"] if row["measure"] in measures and row["documents"]]
        return _shares(rows) if rows else []

    flags = [row for row in tables["prevalence"] if row["measure"].startswith("flag_")]
    flagged = [f"- {named(row['measure'].removeprefix('flag_'))}: {row['documents']:,} documents, {percent(row)}" for row in flags]  # fmt: skip
    most = ", ".join(f"{row['name']} ({row['count']:,})" for row in tables["names"][:NAMES])
    bias = [*shares("gender"), *([""] if shares("gender") else []), *figures(PRONOUNS)]
    if most:
        bias += ["", f"Most frequent names, and documents that have each: {most.replace('|', ' ')}."]
    suitability = ["| objective | threshold | share that passes [95 % CI] |", "| --- | --- | ---: |"]
    suitability += [
        f"| {row['objective']} | {row['measure']} {named(row['condition'])} | {percent(row)} |"
        for row in tables["suitability"]
    ]
    parts: list[tuple[str, str, list[str]]] = [
        ("Lengths", "", figures(LENGTHS)),
        (
            "Languages",
            "The script of most letters, and common English words among all words; no recogniser of languages.",
            [*shares("script"), "", *figures(["english"])] if shares("script") else figures(["english"]),
        ),
        ("Reading level", " ".join(literacy_notes(tables)), shares("reading_level", "reading_status", "level_zero_shot")),
        ("Emotions and flags", " ".join(health_notes(tables)), [*shares("emotion"), *([""] if shares("emotion") else []), *flagged]),
        (
            "Bias",
            "Whom the texts are about, not what they say of them: English pronouns (he, she, they) in each text, and words with "
            "a capital inside a sentence, which are mostly names.",
            bias,
        ),
        ("Suitability", "", suitability if tables["suitability"] else []),
    ]  # fmt: skip
    out = [f"# Corpus card: {name}", ""]
    out += [f"- {row['what']}: {row['value']}" for row in corpus_rows]
    out += [""] + [f"> {note}" for note in warnings]
    for title, note, lines in parts:
        if lines:
            out += ["", f"## {title}", "", *([note, ""] if note else []), *lines]
    out += ["", "## How it was made", ""] + [f"- {sentence}" for sentence in legend]
    return "\n".join(out) + "\n"
