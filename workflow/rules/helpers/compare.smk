# Inputs and params of the rules of compare.smk: tables, partial tables and costs. No rules here.
from winnow.experiments import (
    has_published_figures,
    is_baseline,
    pretrained_suites,
    runs_of,
    table_arms,
    table_benchmarks,
    table_members,
    table_runs,
    table_suites,
)
from winnow.selection import runs_model, selection_jobs, trainings_of

FORMATS = ["csv", "md", "tex", "html", "svg", "png", "claims.csv", "claims.json"]
PROVENANCE = ["provenance.json", "provenance.md", "provenance.html"]
COSTS = ["costs.csv", "costs.md", "costs.html", "power.csv", "losses.svg", "pareto.svg"]
GUIDE = HOME / "docs" / "reading-tables.md"
# The working directory's own where it has them, as the files of config/.
PUBLISHED = [
    path if os.path.exists(path) else str(HOME / path)
    for path in ("config/published/results.csv", "config/published/comparisons.csv")
]


# ---------------------------------------------------------------- targets


def guide():
    """The page on how to read a table, beside the tables."""
    return [f"{R}/tables/reading-tables.md"] if GUIDE.exists() else []


def tables(names):
    """The tables, how they were made, and what their trainings cost; a probe takes seconds, and has no loss curve."""
    trained = [name for name in names if table_runs(CONFIG, name) or not table_probes(CONFIG, name)]
    costs = expand(f"{R}/tables/{{table}}.{{format}}", table=trained, format=COSTS)
    formats = [*FORMATS, *PROVENANCE]
    return expand(f"{R}/tables/{{table}}.{{format}}", table=names, format=formats) + costs + guide()


# ---------------------------------------------------------------- what a table is made of


def trained_runs(table):
    """Ids with seeds, and suites, of each model of a table that the workflow trains."""
    return [(ids, suites) for _, ids, suites in table_runs(CONFIG, table)]


def run_evaluations(ids, suites):
    return [f"{EVALUATION}/results.json".format(**ids, suite=suite) for suite in suites]


def pretrained_evaluations(table):
    """Evaluations of each model of a table that was not trained here."""
    models = CONFIG["tables"][table]["pretrained"]
    corpus, suites = pretrained_suites(CONFIG, table) if models else (None, [])
    pattern = f"{PRETRAINED}/results.json"
    return {
        model: [pattern.format(corpus=corpus, pretrained=model, suite=suite) for suite in suites]
        for model in models
    }


def items_of(evaluations):
    """The items of evaluations, beside their results."""
    return [path.removesuffix("results.json") + "items.parquet" for path in evaluations]


def table_evaluations(wildcards):
    trained = [path for run in trained_runs(wildcards.table) for path in run_evaluations(*run)]
    trained += each(f"{PROBES}/results.json", table_probes(CONFIG, wildcards.table))
    return trained + [path for paths in pretrained_evaluations(wildcards.table).values() for path in paths]


def table_items(wildcards):
    return items_of(table_evaluations(wildcards))


def table_models(wildcards):
    return [f"{MODEL}/manifest.json".format(**ids) for ids, _ in trained_runs(wildcards.table)]


def table_files(pattern):
    """A file of each run of a table."""
    return lambda wildcards: each(pattern, [ids for ids, _ in trained_runs(wildcards.table)])


def ngram_files(runs):
    """Cross-entropies of n-grams on the held-out documents, for the language models whose suites measure them."""
    counted = [
        dict(ids, tokenizer=tokenizer, benchmark=benchmark)
        for ids, suites in runs
        for benchmark in {b for suite in suites for b in CONFIG["suites"][suite]}
        if (tokenizer := CONFIG["models"][ids["model"]].get("tokenizer"))
        and CONFIG["benchmarks"][benchmark].get("heldout") == "bits-per-byte"
    ]
    return each(f"{SUBSET}/tokens/{{tokenizer}}.{{benchmark}}.json", counted)


def table_ngrams(wildcards):
    return ngram_files(trained_runs(wildcards.table))


def contamination_files(runs):
    by_suite = [dict(ids, suite=suite) for ids, suites in runs for suite in suites]
    return each(f"{SUBSET}/contamination/{{suite}}.json", by_suite)


def table_contamination(wildcards):
    return contamination_files(trained_runs(wildcards.table))


def table_published(wildcards):
    return PUBLISHED if has_published_figures(CONFIG, wildcards.table) else []


def table_spec(table, members, missing):
    return spec(
        name=table,
        table=CONFIG["tables"][table],
        arms=members,
        suites=table_suites(CONFIG, table),
        metrics=table_benchmarks(CONFIG, table, "metrics"),
        tasks=table_benchmarks(CONFIG, table, "task"),
        missing=missing,
    )


# ---------------------------------------------------------------- tables of what is evaluated already


def is_evaluated(ids, suites):
    """Whether a run has its manifests, results and items."""
    manifests = [f"{MODEL}/manifest.json".format(**ids), f"{SUBSET}/manifest.json".format(**ids)]
    results = run_evaluations(ids, suites)
    return all(map(os.path.exists, [*manifests, *results, *items_of(results)]))


def partial_runs(table):
    """Of a table what is on disk: (ids with seeds, and suites, of its whole runs; models that were not trained here; what
    is missing, as text)."""
    runs, missing = [], []
    for arm, ids, suites in table_runs(CONFIG, table):
        if is_evaluated(ids, suites):
            runs.append((ids, suites))
        else:
            missing.append(f"{arm} (data seed {ids['data_seed']}, training seed {ids['training_seed']})")
    evaluations = pretrained_evaluations(table)
    pretrained = [
        model
        for model, results in evaluations.items()
        if all(map(os.path.exists, [*results, *items_of(results)]))
    ]
    return runs, pretrained, missing + [model for model in evaluations if model not in pretrained]


def partial_members(table):
    """The members of a table of which there is a run on disk."""
    runs, pretrained, _ = partial_runs(table)
    evaluated = [{key: ids[key] for key in ids if not key.endswith("_seed")} for ids, _ in runs]
    more = ("data_seeds", "tokenizer")
    return {
        arm: ids
        for arm, ids in table_members(CONFIG, table).items()
        if arm in pretrained or {key: ids[key] for key in ids if key not in more} in evaluated
    }


def partial_evaluations(wildcards):
    runs, pretrained, _ = partial_runs(wildcards.table)
    evaluations = pretrained_evaluations(wildcards.table)
    return [path for run in runs for path in run_evaluations(*run)] + [
        path for model in pretrained for path in evaluations[model]
    ]


def partial_items(wildcards):
    return items_of(partial_evaluations(wildcards))


def partial_files(files):
    """Files of the runs of a table that are on disk, where they are on disk, too."""
    return lambda wildcards: list(filter(os.path.exists, files(partial_runs(wildcards.table)[0])))


def partial_outputs(wildcards):
    """Tables of what is on disk: partial ones where something is missing, the whole ones where nothing is."""
    outputs = []
    for name in CONFIG["targets"]:
        missing = partial_runs(name)[2]
        if missing and not any(is_baseline(CONFIG["tables"][name], arm) for arm in partial_members(name)):
            earlier = os.path.exists(f"{R}/tables/partial/{name}.md")
            print(
                f"partial_tables: no table {name}: no run of its baseline is evaluated under this configuration"
                + (" (the table on disk is an earlier run's)" if earlier else ""),
                file=sys.stderr,
            )
            continue
        folder = f"{R}/tables/partial" if missing else f"{R}/tables"
        outputs += [f"{folder}/{name}.{format}" for format in FORMATS]
    return outputs + guide() if outputs else []


# ---------------------------------------------------------------- costs


@functools.cache
def timings_pattern(rule):
    """The benchmark files of a rule, as the rule has them."""
    return str(getattr(rules, rule).benchmark)


def selection_timings(table):
    """The timings of the jobs that an arm's selection of documents takes, by arm: of its first draw, and of what that
    depends on; `gpu` those that ask for a GPU, `cpu` the others; `models`: whether one of the jobs runs a model.
    """
    timings = {}
    for arm, ids, experiment in table_arms(CONFIG, CONFIG["tables"][table]):
        jobs = selection_jobs(CONFIG, dict(ids, data_seed=experiment["data_seeds"][0]))
        files = {"gpu": [], "cpu": []}
        for rule, job in jobs:
            files["gpu" if gpus(CONFIG, rule, job) else "cpu"].append(timings_pattern(rule).format(**job))
        timings[arm] = dict(
            gpu=sorted(files["gpu"]),
            cpu=sorted(files["cpu"]),
            models=any(runs_model(CONFIG, rule, job) for rule, job in jobs),
        )
    return timings


def training_timings(table):
    """The timings of the trainings of a table, by arm and run (`data seed/training seed`): its own, and those of earlier
    rounds that its model continues."""
    timings = {}
    for arm, ids, _ in table_runs(CONFIG, table):
        run = f"{ids['data_seed']}/{ids['training_seed']}"
        pattern = timings_pattern("train_model")
        timings.setdefault(arm, {})[run] = [pattern.format(**one) for one in trainings_of(CONFIG, ids)]
    return timings
