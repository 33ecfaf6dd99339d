# Inputs and params of the rule of report.smk. No rules here.
from types import SimpleNamespace

from winnow.experiments import arms

PROFILE_PLOTS = ["measures", "levels"]


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


def reported_models(pattern):
    """A file of each training of each table."""
    return lambda wildcards: [
        path for name in CONFIG["targets"] for path in table_files(pattern)(SimpleNamespace(table=name))
    ]


def has_pages(target):
    """Whether the report has the pages of a target that the target all does not make by itself."""
    return target in CONFIG["report"]["targets"]


# ---------------------------------------------------------------- corpora


@functools.cache
def reported_corpora():
    """Of each corpus of the run's tables, by name: the clusterings that its draws use, and ids of its subsets."""
    corpora = {}
    for experiment in experiments_of(CONFIG, CONFIG["targets"]):
        clusterings, subsets = corpora.setdefault(experiment["corpus"], (set(), {}))
        for ids in arms(CONFIG, experiment).values():
            clusterings |= {ids["clustering"]} - {NO_CLUSTERS}
    for name in CONFIG["targets"]:
        for _, ids, _ in table_runs(CONFIG, name):
            corpora[ids["corpus"]][1][SUBSET.format(**ids)] = None
    return {name: (sorted(found[0]), list(found[1])) for name, found in sorted(corpora.items())}


def reported_of_corpora(path):
    """A file of each corpus."""
    return lambda wildcards: [f"{R}/{name}/{path}" for name in reported_corpora()]


def reported_documents(wildcards):
    return [f"{R}/{name}/documents/{shard}.parquet" for name in reported_corpora() for shard in shards(name)]


def reported_subsets(wildcards):
    return [f"{folder}/manifest.json" for _, subsets in reported_corpora().values() for folder in subsets]


def reported_clusters(file, fits=lambda corpus, clustering: True):
    """A file of each clustering that fits."""
    return lambda wildcards: [
        f"{CLUSTERS}/{file}".format(corpus=corpus, clustering=clustering)
        for corpus, (clusterings, _) in reported_corpora().items()
        for clustering in clusterings
        if fits(corpus, clustering)
    ]


def has_review(corpus, clustering):
    """Whether there is a review page: where it is asked for, or what it proposes is excluded."""
    proposed = (
        CONFIG["corpora"][corpus]["apply_proposals"] and not exclusions_path(corpus, clustering).exists()
    )
    return has_pages("clusters") or proposed


def has_sweep(corpus, clustering):
    return has_pages("sweep") and CONFIG["clusterings"][clustering]["method"] == "kmeans"


def has_comparison(corpus):
    return corpus in compared_corpora(CONFIG, experiments_of(CONFIG, CONFIG["targets"]))


def reported_samplers(format):
    return lambda wildcards: [
        f"{R}/{name}/compare_samplers.{format}" for name in reported_corpora() if has_comparison(name)
    ]


# ---------------------------------------------------------------- profiles


def has_profile(corpus):
    return has_pages("profile") and corpus in profiled_corpora(CONFIG)


def reported_profiles(*files):
    return lambda wildcards: [
        f"{PROFILE}/{file}".format(corpus=name)
        for name in reported_corpora()
        if has_profile(name)
        for file in files
    ]


def reported_experiments():
    """Experiments whose shifts are shown."""
    shown = experiments_of(CONFIG, CONFIG["targets"]) if has_pages("shifts") else []
    return [one for one in shown if shifted_draws(CONFIG, one)]


def reported_shifts(file):
    return lambda wildcards: [
        f"{SHIFT}/{file}".format(corpus=one["corpus"], experiment=one["name"])
        for one in reported_experiments()
    ]


# ---------------------------------------------------------------- other pages, and the spec


def report_spec(wildcards):
    tables, corpora = [], []
    for name in CONFIG["targets"]:
        table = CONFIG["tables"][name]
        tables.append(
            dict(
                name=name,
                title=table["title"],
                confidence=table.get("confidence", 0.95),
                costs=with_costs(name),
                curves=with_rounds(name),
                runs=[arm for arm, _, _ in table_runs(CONFIG, name)],
            )
        )
    for name, (clusterings, subsets) in reported_corpora().items():
        corpus = CONFIG["corpora"][name]
        corpora.append(
            dict(
                name=name,
                source=corpus["source"],
                licence=corpus["licence"],
                group=corpus["group"] or ("label" if corpus["label"] else None),
                shards=len(shards(name)),
                subsets=len(subsets),
                compared=has_comparison(name),
                profile=has_profile(name),
                clusterings=[
                    dict(name=one, review=has_review(name, one), sweep=has_sweep(name, one))
                    for one in clusterings
                ],
            )
        )
    return spec(
        tables=tables,
        corpora=corpora,
        shifts=[dict(experiment=one["name"], corpus=one["corpus"]) for one in reported_experiments()],
        profile_plots=len(PROFILE_PLOTS),
        pages=[dict(chapter=chapter, title=title) for chapter, title, _ in reported_pages()],
    )


def reported_pages():
    """(chapter, title, path) of the other pages that the target all makes."""
    pages = []
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
