"""The report of a run: one self-contained page that begins with the answer, and links to all other pages of the run.

In: tables of `winnow.compare`, their ledgers and plots, learning curves, costs, and the items of the evaluations; of each corpus
its documents, clusters and comparison of samplers; of each model its manifest, metrics and timings; profiles, where there are
some. Out: index.html, and answer.rst for Snakemake's own report. Every figure links to the files that it came from. Nothing is
loaded from elsewhere.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from winnow.pages import read_template, render
from winnow.report import corpora as of_corpora
from winnow.report import profiles, samplers, training
from winnow.report import tables as of_tables
from winnow.report.answers import of_run
from winnow.report.front_page import front_page
from winnow.report.parts import Chapter, Files, Link, Part, linker, read_plot
from winnow.schema import read_spec
from winnow.stage import run, say, sha256, write_text

STAGE_VERSION = 2
QUESTION = "Which few documents of a corpus are worth training on, and how sure can we be?"
TITLE = "Which documents are worth training on?"
GROUPS = ("Corpora", "Samplers", "Training", "Subset profiles")
"""Chapters are listed in this order."""


def expected(settings: dict[str, Any]) -> dict[str, int]:
    """How many files the spec names for each option of `main`."""
    tables, corpora = settings["tables"], settings["corpora"]
    clusterings = [one for corpus in corpora for one in corpus["clusterings"]]
    costs, curves = sum(t["costs"] for t in tables), sum(t["curves"] for t in tables)
    runs = sum(len(t["runs"]) for t in tables if t["costs"])
    compared, profiled = sum(c["compared"] for c in corpora), sum(c["profile"] for c in corpora)
    return {
        "tables": len(tables), "claims": len(tables), "plots": len(tables), "pages": len(settings["pages"]),
        "fronts": costs, "costs": costs, "losses": costs, "curves": curves, "areas": curves, "curve_plots": curves,
        "models": runs, "metrics": runs, "timings": runs,
        "sources": len(corpora), "heldout": len(corpora), "documents": sum(c["shards"] for c in corpora),
        "subsets": sum(c["subsets"] for c in corpora), "samplers": compared, "sampler_pages": compared,
        "clusters": len(clusterings), "reviews": sum(c["review"] for c in clusterings), "sweeps": sum(c["sweep"] for c in clusterings),
        "profile_facts": profiled, "profile_measures": profiled, "profile_pages": profiled, "profile_cards": profiled,
        "profile_plots": profiled * settings["profile_plots"],
        "shifts": len(settings["shifts"]), "shift_plots": len(settings["shifts"]), "shift_pages": len(settings["shifts"]),
    }  # fmt: skip


def corpus_chapters(corpus: dict[str, Any], plots: int, files: Files, link: Link) -> list[Chapter]:
    """The chapter of a corpus and that of its samplers, of the next files."""
    source, heldout = files.next("sources"), files.next("heldout")
    shards = files.take("documents", corpus["shards"])
    clusterings = [
        (
            one["name"],
            files.next("clusters"),
            files.next("reviews") if one["review"] else None,
            files.next("sweeps") if one["sweep"] else None,
        )
        for one in corpus["clusterings"]
    ]
    profile: list[Part] = []
    if corpus["profile"]:
        facts, measures = files.next("profile_facts"), files.next("profile_measures")
        drawn = files.take("profile_plots", plots)
        profile = profiles.profile_parts(
            facts, measures, drawn, files.next("profile_pages"), files.next("profile_cards"), link
        )
    table, page = (
        (files.next("samplers"), files.next("sampler_pages")) if corpus["compared"] else (None, None)
    )
    gates = samplers.chapter(corpus["name"], table, page, files.take("subsets", corpus["subsets"]), link)
    first = of_corpora.chapter(corpus, source, shards, heldout, clusterings, profile, link)
    return [first, *([gates] if gates else [])]


def main(
    *,
    tables: list[Path],
    claims: list[Path],
    plots: list[Path],
    spec: str,
    out: Path,
    answer_out: Path,
    items: list[Path] = [],
    fronts: list[Path] = [],
    costs: list[Path] = [],
    losses: list[Path] = [],
    curves: list[Path] = [],
    curve_plots: list[Path] = [],
    areas: list[Path] = [],
    models: list[Path] = [],
    metrics: list[Path] = [],
    timings: list[Path] = [],
    sources: list[Path] = [],
    documents: list[Path] = [],
    heldout: list[Path] = [],
    clusters: list[Path] = [],
    reviews: list[Path] = [],
    sweeps: list[Path] = [],
    samplers: list[Path] = [],
    sampler_pages: list[Path] = [],
    subsets: list[Path] = [],
    profile_facts: list[Path] = [],
    profile_measures: list[Path] = [],
    profile_plots: list[Path] = [],
    profile_pages: list[Path] = [],
    profile_cards: list[Path] = [],
    shifts: list[Path] = [],
    shift_plots: list[Path] = [],
    shift_pages: list[Path] = [],
    pages: list[Path] = [],
) -> None:
    """Write the report of a run.

    Args:
        tables: TABLE.csv of each table, in the order of the spec.
        claims: TABLE.claims.json of each.
        plots: TABLE.svg of each, its forest plot.
        spec: JSON: `tables` (name, title, confidence, whether there are costs and curves, `runs`: the arm of each training), `corpora` (name,
            source, licence, group, number of shards and subsets, whether its samplers are compared and it has a profile, and its clusterings with
            whether there is a review and a sweep), `shifts` (experiment, corpus), `profile_plots` (their number a profile), `pages` (chapter and
            title, in the order of --pages).
        out: index.html to write.
        answer_out: answer.rst to write: the question, the answer and the main tables.
        items: items.parquet of all evaluations of the tables.
        fronts: TABLE.pareto.svg of the tables with costs.
        costs: TABLE.costs.csv of the tables with costs.
        losses: TABLE.losses.svg of the tables with costs.
        curves: TABLE.curves.csv of the tables with rounds of labelling.
        curve_plots: TABLE.curves.svg of these.
        areas: TABLE.curves.areas.csv of these: their headline.
        models: manifest.json of the trainings of each table with costs, in the order of its runs.
        metrics: metrics.json of each.
        timings: timings.json of each.
        sources: source.json of each corpus.
        documents: document shards, corpus by corpus.
        heldout: heldout.parquet of each corpus.
        clusters: clusters.parquet of each clustering.
        reviews: review.html of the clusterings that have one.
        sweeps: sweep.html of the clusterings that have one.
        samplers: compare_samplers.csv of the corpora whose samplers are compared.
        sampler_pages: compare_samplers.html of these.
        subsets: manifest.json of the subsets, corpus by corpus.
        profile_facts: facts.json of the corpora with a profile.
        profile_measures: describe.csv of these.
        profile_plots: plots of these, as many of each.
        profile_pages: profile.html of these.
        profile_cards: card.md of these.
        shifts: shift.csv of each experiment of the spec.
        shift_plots: shift.svg of each.
        shift_pages: shift.html of each.
        pages: other pages of the run, which are linked.
    """
    given = {name: value for name, value in locals().items() if isinstance(value, list) and name != "items"}
    settings = read_spec(spec, "tables", "corpora", "shifts", "profile_plots", "pages")
    files = Files(given, expected(settings))
    link = linker(out)
    known = {str(path): path for path in items}
    table_chapters, trained, all_models = [], [], []
    for table in settings["tables"]:
        one = of_tables.chapter(table, files, known, link)
        table_chapters.append(one)
        if not table["costs"]:
            continue
        plot, count = read_plot(files.next("losses")), len(table["runs"])
        of_table = training.read(
            table["runs"], *(files.take(option, count) for option in ("models", "metrics", "timings"))
        )
        if of_table:
            about_costs = next((text, target) for text, target in one["links"] if text == "costs")
            trained.append(training.chapter(table["name"], table["title"], of_table, plot, about_costs, link))
            all_models += of_table
    others = [
        chapter
        for corpus in settings["corpora"]
        for chapter in corpus_chapters(corpus, settings["profile_plots"], files, link)
    ]
    shifted = [
        profiles.shift_chapter(one["experiment"], one["corpus"], files.next("shifts"), files.next("shift_plots"), files.next("shift_pages"), link)
        for one in settings["shifts"]
    ]  # fmt: skip
    kinds: dict[str, list[tuple[str, str]]] = {}
    for page in settings["pages"]:
        kinds.setdefault(page["chapter"], []).append((page["title"], link(files.next("pages"))))
    of_models = training.settings(all_models, link)
    ordered = sorted([*trained, *others, *shifted], key=lambda one: GROUPS.index(one.group))
    groups = [
        (group, list(members)) for group, members in itertools.groupby(ordered, key=lambda one: one.group)
    ]
    digests = [
        (str(path), link(path), f"sha256 {sha256(path)[:16]}")
        for one in table_chapters
        for path in one["sources"]
    ]
    answer = of_run([(one["title"], one["rows"]) for one in table_chapters])
    text = render(
        "report.html",
        title=TITLE,
        question=QUESTION,
        answer=answer,
        tables=table_chapters,
        groups=groups,
        pages=kinds,
        models=of_models,
        digests=digests,
        script=read_template("report.js"),
    )
    write_text(answer_out, front_page(QUESTION, TITLE, answer, table_chapters))
    write_text(out, text)
    lines = sum(len(one["comparisons"]["lines"]) for one in table_chapters)
    say(f"[report] {len(table_chapters)} tables, {lines} comparisons, {len(ordered)} other chapters: {out}")


if __name__ == "__main__":
    run(main)
