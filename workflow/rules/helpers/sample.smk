# Inputs and params of the rules of sample.smk: draws, subsets and the comparison of samplers. No rules here.
from winnow.experiments import (
    compared_clusterings,
    compared_corpora,
    compared_draws,
    compared_tables,
    every_run,
    experiments_of,
)
from winnow.sample.sampler import needs
from winnow.selection import consumers, proxy_draws, scoring_pool, used_draws


def needs_of(wildcards):
    return needs(CONFIG["samplers"][wildcards.sampler])


def draw_scores(wildcards):
    scorer, measure = needs_of(wildcards).scores, needs_of(wildcards).rank_measure
    if measure:
        return measure_files(wildcards.corpus, measure)
    return score_files(wildcards, scorer) if scorer else []


def draw_measures(wildcards):
    """The measure of the profile that a sampler filters by."""
    return measure_files(wildcards.corpus, needs_of(wildcards).filter_measure)


def draw_lengths(wildcards):
    """Lengths of documents, where the budget counts tokens."""
    tokenizer = CONFIG["budgets"][wildcards.budget]["tokenizer"]
    if tokenizer is None:
        return []
    folder = f"{R}/{wildcards.corpus}/lengths/{tokenizer}"
    return expand(f"{folder}/{{shard}}.parquet", shard=shards(wildcards.corpus))


def draw_losses(wildcards):
    scorer = needs_of(wildcards).losses
    ids = dict(corpus=wildcards.corpus, clustering=wildcards.clustering, scorer=scorer)
    return [f"{LOSSES}.parquet".format(**ids)] if scorer else []


def draw_used(wildcards):
    """Earlier draws whose documents a sampler leaves out."""
    return each(f"{SUBSET}/draw.parquet", used_draws(CONFIG, subset_ids(wildcards)))


def draw_trained(wildcards):
    """Draws that the proxies of a sampler's scorer are trained on, whose documents it leaves out."""
    facts = needs_of(wildcards)
    if not facts.trained:
        return []
    pool = scoring_pool(CONFIG, subset_ids(wildcards))
    draws = proxy_draws(CONFIG, wildcards.corpus, pool, facts.scores)
    return each(f"{SUBSET}/draw.parquet", draws)


def draw_contaminated(wildcards):
    """Documents that hold a benchmark item, for samplers that leave them out."""
    suite = needs_of(wildcards).contaminated
    folder = f"{R}/{wildcards.corpus}/contaminated/{suite}"
    return expand(f"{folder}/{{shard}}.parquet", shard=shards(wildcards.corpus)) if suite else []


def draw_proxies(wildcards):
    return [f"{MODEL}/manifest.json".format(**ids) for ids in consumers(CONFIG, subset_ids(wildcards))[1]]


def draw_proxy_subsets(wildcards):
    return [f"{SUBSET}/manifest.json".format(**ids) for ids in consumers(CONFIG, subset_ids(wildcards))[1]]


def draw_ratios(wildcards):
    ids = subset_ids(wildcards)
    folder = SCORES.format(corpus=wildcards.corpus, clustering=scoring_pool(CONFIG, ids), scorer="{scorer}")
    targets = consumers(CONFIG, ids)[0]["targets"]
    return [f"{folder}.ratios.json".format(scorer=target["scorer"]) for target in targets]


def draw_near(wildcards):
    scorer = needs_of(wildcards).near
    return score_files(wildcards, scorer) if scorer else []


def draw_embeddings(wildcards):
    return embedding_shards(wildcards) if needs_of(wildcards).embeddings else []


def draw_spec(wildcards):
    facts = needs_of(wildcards)
    semdedup = facts.near or facts.embeddings
    return spec(
        ids=subset_ids(wildcards),
        sampler=CONFIG["samplers"][wildcards.sampler],
        budget=CONFIG["budgets"][wildcards.budget],
        data_seed=int(wildcards.data_seed),
        semdedup=CONFIG["scorers"][semdedup] if semdedup else None,
        selection=consumers(CONFIG, subset_ids(wildcards))[0],
    )


def subset_manifests():
    return each(f"{SUBSET}/manifest.json", every_run(CONFIG))


def sampler_comparisons(experiments):
    """How different the samplers of each corpus are that has two or more."""
    return expand(
        f"{R}/{{corpus}}/compare_samplers.{{format}}",
        corpus=compared_corpora(CONFIG, experiments),
        format=["csv", "md", "html"],
    )


def compared_draw_files(wildcards):
    draws = compared_draws(CONFIG, wildcards.corpus)
    patterns = {False: f"{SUBSET}/draw.parquet", True: f"{PROBES}/draws.parquet"}
    return [patterns[arm["probe"]].format(**ids) for arm, ids in draws]


def compared_tokens(wildcards):
    """Token counts of the arms that language models are trained on, in the order of the arms."""
    draws = [ids for arm, ids in compared_draws(CONFIG, wildcards.corpus) if arm["tokens"]]
    tokenizers = [CONFIG["models"][ids["model"]]["tokenizer"] for ids in draws]
    pattern = f"{SUBSET}/tokens/{{tokenizer}}.json"
    return [pattern.format(**ids, tokenizer=name) for ids, name in zip(draws, tokenizers, strict=True)]


def compared_assignments(wildcards):
    return [
        path
        for name in compared_clusterings(CONFIG, wildcards.corpus)
        for path in expand(
            f"{CLUSTERS}/assignments/{{shard}}.parquet",
            corpus=wildcards.corpus,
            clustering=name,
            shard=shards(wildcards.corpus),
        )
    ]


def compared_cluster_tables(wildcards):
    return [
        f"{CLUSTERS}/clusters.parquet".format(corpus=wildcards.corpus, clustering=name)
        for name in compared_clusterings(CONFIG, wildcards.corpus)
    ]


def comparison_spec(wildcards):
    name, corpus = wildcards.corpus, CONFIG["corpora"][wildcards.corpus]
    return spec(
        name=name,
        arms=[arm for arm, _ in compared_draws(CONFIG, name)],
        clusterings=[[clustering, corpus["shards"]] for clustering in compared_clusterings(CONFIG, name)],
        tables=compared_tables(CONFIG, name),
        group=corpus["group"],
        label=corpus["label"] is not None,
    )
