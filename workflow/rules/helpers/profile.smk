# Inputs and params of the rules of profile.smk, and the measures that samplers go by. No rules here.
from winnow.config.local_files import published_file
from winnow.experiments import profiled_corpora, prompt_columns, prompt_text, shifted_draws
from winnow.profile import kinds as families
from winnow.profile.tables import ASSOCIATIONS, CREATIVITY_PLOTS, PLOTS, TABLES
from winnow.selection import measure_family

PROFILE = f"{R}/{{corpus}}/profile"
SHIFT = f"{PROFILE}/shift/{{experiment}}"
ENTAILMENT = f"{PROFILE}/entailment/{{label_set}}/{{shard}}.npz"
LABELS = f"{R}/labels/{{encoder}}/{{label_set}}.npz"


def family_version(*stages):
    """`version` of stages and of the family that they run."""
    return lambda wildcards: version(*stages, *families.stages_of(wildcards.family))


def family_vectors(wildcards):
    """Vectors of a shard, for a family that reads them."""
    if not families.reads_vectors(CONFIG, wildcards.family):
        return []
    return [f"{R}/{wildcards.corpus}/embeddings/{CONFIG['profile']['encoder']}/{wildcards.shard}.npy"]


def family_labels(wildcards):
    """Vectors of a label set, for a family that reads them."""
    labels = families.facts(wildcards.family).labels
    if not labels or families.nli_model(CONFIG, wildcards.family):
        return []
    return [LABELS.format(encoder=CONFIG["profile"]["encoder"], label_set=labels)]


def family_entailment(wildcards):
    """What an NLI model makes of a label set for the documents of a shard, for a family whose label set has one."""
    if not families.nli_model(CONFIG, wildcards.family):
        return []
    return [ENTAILMENT.format(**wildcards, label_set=families.facts(wildcards.family).labels)]


def nli_settings(wildcards):
    return CONFIG["label_sets"][wildcards.label_set]["nli"]


def nli_weights(wildcards):
    return model_downloads(nli_settings(wildcards)["source"])


def entailment_spec(wildcards):
    nli = nli_settings(wildcards)
    return spec(
        labels=CONFIG["label_sets"][wildcards.label_set]["labels"],
        source=nli["source"],
        max_tokens=nli["max_tokens"],
    )


def family_spec(wildcards):
    labels = families.facts(wildcards.family).labels
    if nli := families.nli_model(CONFIG, wildcards.family):
        settings = {"temperature": nli["temperature"]}
    elif labels:
        settings = {"temperature": CONFIG["label_sets"][labels]["temperature"]}
    else:
        settings = CONFIG["profile"].get(wildcards.family, {})
    return spec(family=wildcards.family, settings=settings)


def measure_files(corpus, measure):
    """The shards of a measure of the profile, for a sampler that goes by it; none for one that goes by none."""
    if not measure:
        return []
    folder = f"{R}/{corpus}/profile/measures/{measure_family(CONFIG, measure)}"
    return expand(f"{folder}/{{shard}}.parquet", shard=shards(corpus))


def profile_measures(wildcards):
    """Measures of all families, those of a family together."""
    folder = f"{R}/{wildcards.corpus}/profile/measures"
    return [
        f"{folder}/{family}/{shard}.parquet"
        for family in CONFIG["profile"]["families"]
        for shard in shards(wildcards.corpus)
    ]


def profile_counts(ending):
    return lambda wildcards: expand(
        f"{R}/{wildcards.corpus}/profile/counts/{{shard}}.{ending}", shard=shards(wildcards.corpus)
    )


def profile_embeddings(wildcards):
    return expand(
        f"{R}/{wildcards.corpus}/embeddings/{CONFIG['profile']['encoder']}/{{shard}}.npy",
        shard=shards(wildcards.corpus),
    )


def profile_creativity(wildcards):
    """creativity.json and its plots, for the page; none where no family reads vectors, so that none are made."""
    if not any(families.reads_vectors(CONFIG, family) for family in CONFIG["profile"]["families"]):
        return []
    folder = PROFILE.format(**wildcards)
    return [f"{folder}/creativity.json", *expand(f"{folder}/creativity-{{plot}}.svg", plot=CREATIVITY_PLOTS)]


def creativity_assignments(wildcards):
    """Clusters that the settings group documents by; none without a clustering."""
    clustering = CONFIG["profile"]["creativity"]["clustering"]
    if clustering is None:
        return []
    folder = CLUSTERS.format(corpus=wildcards.corpus, clustering=clustering)
    return expand(f"{folder}/assignments/{{shard}}.parquet", shard=shards(wildcards.corpus))


def creativity_spec(wildcards):
    return spec(
        creativity=CONFIG["profile"]["creativity"],
        prompts={
            **prompt_columns(CONFIG, wildcards.corpus),
            "text": prompt_text(CONFIG, wildcards.corpus),
        },
    )


def draws_of_experiment(wildcards):
    """Ids and data seeds of the draws of an experiment that are compared with their corpus."""
    return [
        ids
        for one in CONFIG["experiments"]
        if (one["name"], one["corpus"]) == (wildcards.experiment, wildcards.corpus)
        for ids in shifted_draws(CONFIG, one)
    ]


def shift_draws(wildcards):
    return [f"{SUBSET}/draw.parquet".format(**ids) for ids in draws_of_experiment(wildcards)]


def shift_spec(wildcards):
    known = [families.facts(family) for family in CONFIG["profile"]["families"]]
    return spec(
        draws=[[ids["sampler"], ids["data_seed"]] for ids in draws_of_experiment(wildcards)],
        columns=[name for one in known for name in one.columns if name not in one.free],
        prompts=prompt_columns(CONFIG, wildcards.corpus),
        seed=0,
    )


@or_stop
def profile_published(wildcards):
    """Published figures of a corpus."""
    file = CONFIG["corpora"][wildcards.corpus]["published"]
    return [published_file(file)] if file else []


@or_stop
def profile_published_state(wildcards):
    return state(profile_published(wildcards))


def profile_page_spec(wildcards):
    corpus = CONFIG["corpora"][wildcards.corpus]
    return spec(
        name=wildcards.corpus,
        origin={"source": corpus["source"], "licence": corpus["licence"]},
        families=CONFIG["profile"]["families"],
        prompts=prompt_columns(CONFIG, wildcards.corpus),
        judges=families.judges(CONFIG, CONFIG["profile"]["families"]),
    )


def profile_pages():
    return [f"{PROFILE}/profile.html".format(corpus=corpus) for corpus in profiled_corpora(CONFIG)]


def shift_pages():
    return [
        f"{SHIFT}/shift.html".format(corpus=one["corpus"], experiment=one["name"])
        for one in CONFIG["experiments"]
        if shifted_draws(CONFIG, one)
    ]
