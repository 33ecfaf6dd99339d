# Inputs and params of the rules of rounds.smk: rounds of labelling and probes. No rules here.
from winnow.experiments import (
    every_arm,
    labels_in_rounds,
    probe_seeds,
    table_probes,
    table_rounds,
)
from winnow.sample.sampler import needs
from winnow.schedule import round_of
from winnow.selection import previous_round

PREDICTIONS = f"{MODEL}/predictions"
PROBES = f"{R}/{{corpus}}/probes/{{clustering}}/{{sampler}}/{{budget}}/{{model}}/{{suite}}"


def rounds_where(fits):
    """A pattern of the names of the budgets of rounds that fit."""
    found = CONFIG["rounds"]["budgets"].items()
    return "|".join(re.escape(name) for name, one in found if fits(one)) or "$^"


ASKING = "|".join(map(re.escape, CONFIG["rounds"]["samplers"])) or "$^"


def previous_draw(wildcards):
    return f"{SUBSET}/draw.parquet".format(**previous_round(CONFIG, subset_ids(wildcards)))


def previous_predictions(wildcards):
    folder = PREDICTIONS.format(**previous_round(CONFIG, subset_ids(wildcards)))
    return expand(f"{folder}/{{shard}}.parquet", shard=shards(wildcards.corpus))


def round_embeddings(wildcards):
    """Vectors of the documents, for batches that are diverse among them."""
    if needs(CONFIG["samplers"][wildcards.sampler]).draws != "badge":
        return []
    return model_embeddings(wildcards.corpus, CONFIG["rounds"]["samplers"][wildcards.sampler]["model"])


def model_embeddings(corpus, model):
    """Vectors of a corpus by the encoder of a classifier or probe."""
    folder = f"{R}/{corpus}/embeddings/{CONFIG['models'][model]['encoder']}"
    return expand(f"{folder}/{{shard}}.npy", shard=shards(corpus))


def round_spec(wildcards):
    return spec(
        ids=subset_ids(wildcards),
        sampler=CONFIG["samplers"][wildcards.sampler],
        budget={"train": round_of(CONFIG, wildcards.budget)["add"]},
        data_seed=int(wildcards.data_seed),
        semdedup=None,
        selection={"proxies": [], "probe": None, "targets": []},
    )


def prediction_spec(wildcards):
    now = round_of(CONFIG, wildcards.budget)
    return spec(pool=now["pool"], round=now["round"] + 1, data_seed=int(wildcards.data_seed))


# ---------------------------------------------------------------- probes


def probe_embeddings(wildcards):
    return model_embeddings(wildcards.corpus, wildcards.model)


def probe_benchmark_vectors(wildcards):
    encoder = CONFIG["models"][wildcards.model]["encoder"]
    return [f"{folder}/vectors/{encoder}.npy" for folder in suite_folders(wildcards)]


def probe_budget(wildcards):
    """The budget with its rounds, of the name of its last round."""
    now = round_of(CONFIG, wildcards.budget)
    return CONFIG["budgets"][now["budget"] if now else wildcards.budget]


def probe_spec(wildcards):
    ids = dict(
        corpus=wildcards.corpus,
        clustering=wildcards.clustering,
        sampler=wildcards.sampler,
        budget=wildcards.budget,
        model=wildcards.model,
    )
    sampler = CONFIG["samplers"][wildcards.sampler]
    facts = needs(sampler)
    semdedup = facts.near or facts.embeddings
    return spec(
        ids=dict(ids, suite=wildcards.suite),
        sampler=sampler,
        start=CONFIG["samplers"][sampler["start"]] if sampler["start"] else None,
        budget=probe_budget(wildcards),
        data_seeds=probe_seeds(CONFIG, ids),
        benchmarks=suite_benchmarks(wildcards.suite),
        semdedup=CONFIG["scorers"][semdedup] if semdedup else None,
        selection=consumers(CONFIG, ids)[0],
    )


# ---------------------------------------------------------------- learning curves

CURVES = ["csv", "md", "tex", "html", "svg"]


def learning_curves(names):
    """The learning curves of the tables that have some."""
    with_rounds = [name for name in names if labels_in_rounds(CONFIG, name)]
    return expand(f"{R}/tables/{{table}}.curves.{{format}}", table=with_rounds, format=CURVES)


def curve_evaluations(wildcards):
    """Results of all rounds of the arms of a table, and of its ceiling."""
    results = []
    suites = table_suites(CONFIG, wildcards.table)
    seeds = {arm: runs_of(e) for arm, _, e in every_arm(CONFIG)}
    for arm, rounds in table_rounds(CONFIG, wildcards.table).items():
        last = rounds[-1][0]
        if CONFIG["models"][last["model"]]["kind"] == "probe":
            results += [f"{PROBES}/results.json".format(**last, suite=suite) for suite in suites]
            continue
        for ids, _ in rounds:
            for data_seed, training_seed in seeds[arm]:
                run = dict(ids, data_seed=data_seed, training_seed=training_seed)
                results += run_evaluations(run, suites)
    return list(dict.fromkeys(results))


def curve_items(wildcards):
    return items_of(curve_evaluations(wildcards))


def curve_spec(wildcards):
    table = CONFIG["tables"][wildcards.table]
    rounds = table_rounds(CONFIG, wildcards.table)
    baseline = next((arm for arm in rounds if is_baseline(table, arm)), None)
    return spec(
        title=f"{table['title']}: learning curves",
        arms={arm: [dict(ids=ids, labels=labels) for ids, labels in many] for arm, many in rounds.items()},
        baseline=baseline,
        ceiling=table.get("ceiling"),
        confidence=table["confidence"],
        gain=table["gain"],
    )
