# Inputs and params of the rules of rounds.smk: rounds of labelling and probes. No rules here.
from winnow.experiments import (
    every_arm,
    is_probe,
    labels_in_rounds,
    probe_seeds,
    rounds_of,
    table_probes,
    table_rounds,
)
from winnow.sample.sampler import needs
from winnow.schedule import has_rounds, round_of
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

CURVES = ["csv", "areas.csv", "md", "tex", "html", "svg"]
CHOSEN = ["csv", "html", "svg"]
LABELLING = ["csv", "html"]


def learning_curves(names):
    """The learning curves of the tables that have some, which documents their arms chose, and what labelling cost."""
    with_rounds = [name for name in names if labels_in_rounds(CONFIG, name)]
    formats = [f"curves.{format}" for format in CURVES] + [f"chosen.{format}" for format in CHOSEN]
    formats += [f"labelling.{format}" for format in LABELLING]
    return expand(f"{R}/tables/{{table}}.{{format}}", table=with_rounds, format=formats)


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
        links=[
            ["Which documents were chosen", f"{wildcards.table}.chosen.html"],
            ["What labelling cost", f"{wildcards.table}.labelling.html"],
        ],
    )


# ---------------------------------------------------------------- chosen documents


def chosen_arms(table):
    """(arm, ids of each round, experiment) of the arms of a table that label in rounds, those of its baseline's corpus."""
    arms = [one for one in table_arms(CONFIG, CONFIG["tables"][table]) if has_rounds(CONFIG, one[2])]
    first = next((one for one in arms if is_baseline(CONFIG["tables"][table], one[0])), arms[0])
    return [
        (arm, rounds_of(CONFIG, experiment, last), experiment)
        for arm, last, experiment in arms
        if last["corpus"] == first[1]["corpus"]
    ]


def chosen_corpus(table):
    return chosen_arms(table)[0][1][0]["corpus"]


def chosen_clustering(table):
    """The clustering of the first experiment that has one; None."""
    return next((e["clustering"] for _, _, e in chosen_arms(table) if e["clustering"]), None)


def chosen_documents(wildcards):
    corpus = chosen_corpus(wildcards.table)
    return expand(f"{R}/{corpus}/documents/{{shard}}.parquet", shard=shards(corpus))


def chosen_embeddings(wildcards):
    """Vectors by the encoder of the clustering, else of the models."""
    table, corpus = wildcards.table, chosen_corpus(wildcards.table)
    if clustering := chosen_clustering(table):
        folder = f"{R}/{corpus}/embeddings/{CONFIG['clusterings'][clustering]['encoder']}"
        return expand(f"{folder}/{{shard}}.npy", shard=shards(corpus))
    return model_embeddings(corpus, chosen_arms(table)[0][1][0]["model"])


def chosen_assignments(wildcards):
    corpus, clustering = chosen_corpus(wildcards.table), chosen_clustering(wildcards.table)
    folder = CLUSTERS.format(corpus=corpus, clustering=clustering)
    return expand(f"{folder}/assignments/{{shard}}.parquet", shard=shards(corpus)) if clustering else []


def chosen_clusters(wildcards):
    ids = dict(corpus=chosen_corpus(wildcards.table), clustering=chosen_clustering(wildcards.table))
    return [f"{CLUSTERS}/clusters.parquet".format(**ids)] if ids["clustering"] else []


def chosen_runs(rounds, experiment):
    """(data seed, round, ids) of each draw of an arm of fine-tuned classifiers."""
    return [
        (seed, index, dict(ids, data_seed=seed))
        for seed in experiment["data_seeds"]
        for index, ids in enumerate(rounds)
    ]


def asks_model(ids):
    return ids["sampler"] in CONFIG["rounds"]["samplers"]


def chosen_draws(wildcards):
    draws = []
    for _, rounds, experiment in chosen_arms(wildcards.table):
        if is_probe(CONFIG, rounds[-1]):
            draws.append(f"{PROBES}/draws.parquet".format(**rounds[-1], suite=experiment["suites"][0]))
        else:
            draws += [f"{SUBSET}/draw.parquet".format(**ids) for _, _, ids in chosen_runs(rounds, experiment)]
    return draws


def chosen_predictions(wildcards):
    """What the models of the rounds before predicted, for arms that ask them; probes keep it with their draws."""
    return [
        f"{PREDICTIONS}/{{shard}}.parquet".format(**previous_round(CONFIG, ids), shard=shard)
        for _, rounds, experiment in chosen_arms(wildcards.table)
        if not is_probe(CONFIG, rounds[-1])
        for _, index, ids in chosen_runs(rounds, experiment)
        if index and asks_model(ids)
        for shard in shards(ids["corpus"])
    ]


def chosen_spec(wildcards):
    arms = []  # a list: it keeps the order of the files, which the keys of JSON do not
    for arm, rounds, experiment in chosen_arms(wildcards.table):
        sampler = CONFIG["samplers"][rounds[-1]["sampler"]]
        runs = [] if is_probe(CONFIG, rounds[-1]) else chosen_runs(rounds, experiment)
        arms.append(
            dict(
                name=arm,
                sampler=sampler,
                start=CONFIG["samplers"][sampler["start"]] if sampler["start"] else None,
                draws=[[seed, index] for seed, index, _ in runs] or None,
                predictions=[[seed, index] for seed, index, ids in runs if index and asks_model(ids)],
            )
        )
    return spec(
        title=f"{CONFIG['tables'][wildcards.table]['title']}: chosen documents",
        arms=arms,
        links=[["Learning curves", f"{wildcards.table}.curves.html"]],
    )


# ---------------------------------------------------------------- what labelling costs

PART_OF_RULE = {
    "embed_documents": "embedding",
    "reduce_vectors": "clustering",
    "summarise_clusters": "clustering",
    "fit_clusters": "clustering",
    "assign_clusters": "clustering",
    "fit_hdbscan": "clustering",
    "assign_hdbscan": "clustering",
    "predict_pool": "predictions",
    "draw_sample": "draws",
    "draw_round": "draws",
}


def labelling_jobs(rounds, experiment):
    """The jobs of an arm's first data seed up to its last round, by part; of an arm of probes those before its one job."""
    seed = experiment["data_seeds"][0]
    last = dict(rounds[-1], data_seed=seed, training_seed=seed)
    jobs = selection_jobs(CONFIG, last)
    if is_probe(CONFIG, last):
        corpus, encoder = last["corpus"], CONFIG["models"][last["model"]]["encoder"]
        jobs = [
            (rule, job)
            for rule, job in jobs
            if rule not in ("draw_sample", "draw_round", "predict_pool") and job.get("model") != last["model"]
        ]
        jobs += [
            ("embed_documents", dict(corpus=corpus, encoder=encoder, shard=shard)) for shard in shards(corpus)
        ]
    else:
        jobs.append(("train_model", last))
    parts = {}
    for rule, job in {(rule, tuple(sorted(job.items()))): (rule, job) for rule, job in jobs}.values():
        trains = rule == "train_model" and job["model"] == last["model"]
        parts.setdefault("trainings" if trains else PART_OF_RULE.get(rule, "scoring"), []).append((rule, job))
    return parts


def labelling_inputs(wildcards):
    """The last of the files that the arms' jobs write."""
    files = []
    for _, rounds, experiment in chosen_arms(wildcards.table):
        ids, seed = rounds[-1], experiment["data_seeds"][0]
        if is_probe(CONFIG, ids):
            files.append(f"{PROBES}/results.json".format(**ids, suite=experiment["suites"][0]))
        else:
            files.append(f"{MODEL}/metrics.json".format(**ids, data_seed=seed, training_seed=seed))
    return files


def labelling_spec(wildcards):
    arms = []
    for arm, rounds, experiment in chosen_arms(wildcards.table):
        ids, jobs = rounds[-1], labelling_jobs(rounds, experiment)
        probes = f"{PROBES}/timings.json".format(**ids, suite=experiment["suites"][0])
        arms.append(
            dict(
                name=arm,
                labels=CONFIG["budgets"][ids["budget"]]["train"],
                seeds=(
                    len(probe_seeds(CONFIG, ids)) if is_probe(CONFIG, ids) else len(experiment["data_seeds"])
                ),
                rounds=len(rounds),
                jobs={
                    part: sorted(timings_pattern(rule).format(**job) for rule, job in many)
                    for part, many in jobs.items()
                },
                metrics=sorted(f"{MODEL}/metrics.json".format(**job) for _, job in jobs.get("trainings", [])),
                probes=probes if is_probe(CONFIG, ids) else None,
            )
        )
    return spec(
        title=f"{CONFIG['tables'][wildcards.table]['title']}: what labelling cost",
        arms=arms,
        links=[["Learning curves", f"{wildcards.table}.curves.html"]],
    )
