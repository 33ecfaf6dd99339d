# Inputs and params of the rules of score.smk: scores and the proxies behind them. No rules here.
from winnow.experiments import proxies_of
from winnow.score.kinds import kind_of, stages_of
from winnow.selection import proxy_draws, score_clustering, trained_proxies

# Scores of texts are kept under the clustering whose exclusions shape their pool.
SCORES = f"{R}/{{corpus}}/scores/{{clustering}}/{{scorer}}"
CLUSTER_SCORES = f"{CLUSTERS}/scores/{{scorer}}"
LOSSES = f"{CLUSTERS}/losses/{{scorer}}"


def scorers_where(test):
    """Pattern of the names of the scorers whose kind passes a test of its facts."""
    return names_of("scorers", lambda scorer: test(kind_of(scorer)))


def scorer_version(*stages):
    """`version` of stages and of the kind of the scorer that they run."""
    return lambda wildcards: version(*stages, *stages_of(CONFIG["scorers"][wildcards.scorer]))


def scorer_spec(wildcards):
    return spec(scorer=CONFIG["scorers"][wildcards.scorer])


def proxy_models(wildcards):
    proxies = trained_proxies(CONFIG, wildcards.corpus, wildcards.clustering, wildcards.scorer)
    return [f"{MODEL}/manifest.json".format(**ids) for ids in proxies]


def proxy_downloads(wildcards):
    proxies = proxies_of(CONFIG["scorers"][wildcards.scorer]).values()
    return [path for proxy in proxies for path in model_downloads(proxy)]


def scorer_draws(wildcards):
    """Draws that the proxies of a scorer learn from, whose documents get no score."""
    draws = proxy_draws(CONFIG, wildcards.corpus, wildcards.clustering, wildcards.scorer)
    return each(f"{SUBSET}/draw.parquet", draws)


def score_ratios(wildcards):
    fits = kind_of(CONFIG["scorers"][wildcards.scorer]).fits
    return [f"{SCORES}.ratios.npy".format(**wildcards)] if fits else []


def target_corpus(wildcards):
    """The corpus of a target, if it is another one than that which is scored."""
    name = CONFIG["scorers"][wildcards.scorer]["target"]["corpus"]
    return name if name != wildcards.corpus else None


def target_shards(wildcards):
    name = target_corpus(wildcards)
    return expand(f"{R}/{name}/documents/{{shard}}.parquet", shard=shards(name)) if name else []


def target_heldout(wildcards):
    name = target_corpus(wildcards)
    return [f"{R}/{name}/heldout.parquet"] if name else []


def probe_scores(wildcards):
    return expand(f"{LOSSES}/{{shard}}.parquet", **wildcards, shard=shards(wildcards.corpus))


def score_files(wildcards, scorer):
    """The scores that a draw takes of a scorer: of its pool, or, where it reads vectors or clusters, of the clustering."""
    reads = kind_of(CONFIG["scorers"][scorer]).reads
    clustering = score_clustering(CONFIG, subset_ids(wildcards), scorer)
    ids = dict(corpus=wildcards.corpus, clustering=clustering, scorer=scorer)
    if reads == "clustering":
        return [f"{CLUSTER_SCORES}/all.parquet".format(**ids)]
    folder = (SCORES if reads == "texts" else CLUSTER_SCORES).format(**ids)
    return expand(f"{folder}/{{shard}}.parquet", shard=shards(wildcards.corpus))
