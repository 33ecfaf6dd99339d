# Inputs and params of the rules of cluster.smk: reductions, clusterings, exclusions and sweeps. No rules here.
from winnow.config.local_files import published_file
from winnow.experiments import exclusions_path


def clustering_method(method):
    return names_of("clusterings", lambda clustering: clustering["method"] == method)


def encoder_shards(wildcards):
    folder = f"{R}/{wildcards.corpus}/embeddings/{wildcards.encoder}"
    return expand(f"{folder}/{{shard}}.npy", shard=shards(wildcards.corpus))


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


def review_spec(wildcards):
    corpus = CONFIG["corpora"][wildcards.corpus]
    return spec(
        name=f"{wildcards.corpus}/{wildcards.clustering}",
        proposals=CONFIG["proposals"],
        group=corpus["group"] or ("label" if corpus["label"] else None),
    )


def review_scores(wildcards):
    """Scores that colour the map: of the whole pool, so that a review does not change them."""
    folder = f"{R}/{wildcards.corpus}/scores/{NO_CLUSTERS}"
    return expand(
        f"{folder}/{{scorer}}/{{shard}}.parquet",
        scorer=CONFIG["proposals"]["scorers"],
        shard=shards(wildcards.corpus),
    )


def review_pages():
    """Pages that show the clusters of the run, and the files in which a person excludes some."""
    pairs = {(e["corpus"], e["clustering"]) for e in CONFIG["experiments"] if e["clustering"]}
    return [
        f"{CLUSTERS}/{name}".format(corpus=corpus, clustering=clustering)
        for corpus, clustering in sorted(pairs)
        for name in ("review.html", "exclusions-template.tsv")
    ]


# ---------------------------------------------------------------- sweeps


@or_stop
def published_sweep(wildcards):
    """The published figures that the run shows beside its own."""
    file = CONFIG["sweep"]["published"]
    return [published_file(file)] if file else []


@or_stop
def published_sweep_state(wildcards):
    return state(published_sweep(wildcards))


def sweep_spec(wildcards):
    return spec(
        clustering=CONFIG["clusterings"][wildcards.clustering],
        sweep={key: value for key, value in CONFIG["sweep"].items() if key != "published"},
    )


@or_stop
def sweeps(wildcards):
    """The page of a sweep for each k-means clustering of the run's experiments."""
    pairs = {(e["corpus"], e["clustering"]) for e in CONFIG["experiments"] if e["clustering"]}
    pairs = [pair for pair in sorted(pairs) if CONFIG["clusterings"][pair[1]]["method"] == "kmeans"]
    if not pairs:
        raise InputError(
            "sweep: no experiment of this run has a clustering by k-means; name one of its clusterings"
        )
    return [
        f"{CLUSTERS}/sweep.html".format(corpus=corpus, clustering=clustering) for corpus, clustering in pairs
    ]
