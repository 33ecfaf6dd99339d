# Inputs and params of the rules of cluster.smk: clusterings and exclusions. No rules here.
from winnow.experiments import exclusions_path


def clustering_method(method):
    return names_of("clusterings", lambda clustering: clustering["method"] == method)


def exclusions_file(wildcards):
    """The exclusions a person wrote for this clustering; else those of its noise, if it can have any."""
    path = exclusions_path(wildcards.corpus, wildcards.clustering)
    if path.exists():
        return [str(path)]
    if CONFIG["corpora"][wildcards.corpus]["apply_proposals"]:
        return [f"{CLUSTERS}/proposals.tsv".format(**wildcards)]
    return noise_exclusions(wildcards)


@or_stop
def exclusions_state(wildcards):
    """State of a reviewed file of exclusions, which changes when it is edited; other exclusions are made by rules."""
    path = exclusions_path(wildcards.corpus, wildcards.clustering)
    return state([str(path)] if path.exists() else [])


def noise_exclusions(wildcards):
    """The noise of a clustering that can have any."""
    noise = CONFIG["clusterings"][wildcards.clustering]["method"] == "hdbscan"
    return [f"{CLUSTERS}/hdbscan-exclusions.tsv".format(**wildcards)] if noise else []


def inspection_spec(wildcards):
    corpus = CONFIG["corpora"][wildcards.corpus]
    return spec(
        name=f"{wildcards.corpus}/{wildcards.clustering}",
        proposals=CONFIG["proposals"],
        group=corpus["group"] or ("label" if corpus["label"] else None),
    )


def inspections():
    """Pages that show the clusters of the run, and the files in which a person excludes some."""
    pairs = {(e["corpus"], e["clustering"]) for e in CONFIG["experiments"] if e["clustering"]}
    return [
        f"{CLUSTERS}/{name}".format(corpus=corpus, clustering=clustering)
        for corpus, clustering in sorted(pairs)
        for name in ("inspection.html", "exclusions-template.tsv")
    ]
