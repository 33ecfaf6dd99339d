# Inputs and params of the rule of report.smk. No rules here.
from types import SimpleNamespace


def with_costs(table):
    """Whether the costs of a table are charted."""
    return bool(table_runs(CONFIG, table)) or not table_probes(CONFIG, table)


def with_rounds(table):
    return bool(labels_in_rounds(CONFIG, table))


def reported(format, fits=lambda table: True):
    """A file of each table of the run that fits."""
    return lambda wildcards: [f"{R}/tables/{name}.{format}" for name in CONFIG["targets"] if fits(name)]


def reported_items(wildcards):
    """The items of all evaluations of the run's tables, each file once."""
    found = [path for name in CONFIG["targets"] for path in table_items(SimpleNamespace(table=name))]
    return sorted(set(found))


def report_spec(wildcards):
    return spec(
        tables=[
            dict(
                name=name,
                title=CONFIG["tables"][name]["title"],
                confidence=CONFIG["tables"][name].get("confidence", 0.95),
                costs=with_costs(name),
                curves=with_rounds(name),
            )
            for name in CONFIG["targets"]
        ],
        pages=[dict(chapter=chapter, title=title) for chapter, title, _ in reported_pages()],
    )


def reported_pages():
    """(chapter, title, path) of the other pages that the target all makes."""
    pages = []
    for corpus in compared_corpora(CONFIG, experiments_of(CONFIG, CONFIG["targets"])):
        pages.append(("Samplers: are they different at all?", corpus, f"{R}/{corpus}/compare_samplers.html"))
    for name in filter(with_rounds, CONFIG["targets"]):
        title = CONFIG["tables"][name]["title"]
        pages.append(
            ("Rounds of labelling", f"{title}: which documents were chosen", f"{R}/tables/{name}.chosen.html")
        )
        pages.append(
            ("Rounds of labelling", f"{title}: what labelling cost", f"{R}/tables/{name}.labelling.html")
        )
    for name in CONFIG["targets"]:
        title = CONFIG["tables"][name]["title"]
        pages.append(("How the tables were made", title, f"{R}/tables/{name}.provenance.html"))
    return pages
