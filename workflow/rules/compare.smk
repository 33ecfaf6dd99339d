# Evaluations -> tables, plots, claims.
FORMATS = ["csv", "md", "tex", "html", "svg", "claims.csv"]


def tables():
    return expand(f"{R}/tables/{{table}}.{{format}}", table=CONFIG["targets"], format=FORMATS)


def table_arms(name):
    """Ids of each arm of a table, by experiment/sampler."""
    wanted = CONFIG["tables"][name]["experiments"]
    experiments = [e for e in CONFIG["experiments"] if e["name"] in wanted]
    return {key: ids for e in experiments for key, ids in winnow_config.arms(CONFIG, e).items()}


def table_runs(name):
    """Ids, seeds and suites of each model of a table."""
    for experiment in CONFIG["experiments"]:
        if experiment["name"] in CONFIG["tables"][name]["experiments"]:
            for ids in winnow_config.arms(CONFIG, experiment).values():
                for data_seed in experiment["data_seeds"]:
                    for training_seed in experiment["training_seeds"]:
                        yield dict(ids, data_seed=data_seed, training_seed=training_seed), experiment["suites"]


def table_evaluations(wildcards):
    return [
        EVALUATION.format(**ids, suite=suite) + "/results.json"
        for ids, suites in table_runs(wildcards.table)
        for suite in suites
    ]


def table_items(wildcards):
    return [path.replace("/results.json", "/items.parquet") for path in table_evaluations(wildcards)]


def table_models(wildcards):
    return [MODEL.format(**ids) + "/manifest.json" for ids, _ in table_runs(wildcards.table)]


def table_subsets(wildcards):
    return sorted({SUBSET.format(**ids) + "/manifest.json" for ids, _ in table_runs(wildcards.table)})


rule compare_arms:
    """A table: every arm against the baseline, with tests, a plot, and a ledger of its claims."""
    input:
        evaluations=table_evaluations,
        samples=table_items,
        models=table_models,
        subsets=table_subsets,
    output:
        f"{R}/tables/{{table}}.csv",
        f"{R}/tables/{{table}}.md",
        f"{R}/tables/{{table}}.tex",
        report(
            f"{R}/tables/{{table}}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        report(
            f"{R}/tables/{{table}}.svg",
            caption="../report/plot.rst",
            category="Plots",
            labels={"table": "{table}"},
        ),
        f"{R}/tables/{{table}}.claims.csv",
    log:
        f"{R}/logs/compare_arms/{{table}}.log",
    benchmark:
        f"{R}/timings/compare_arms/{{table}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=60,
    params:
        spec=lambda wildcards: spec(
            name=wildcards.table,
            table=CONFIG["tables"][wildcards.table],
            arms=table_arms(wildcards.table),
            suites=sorted({s for _, suites in table_runs(wildcards.table) for s in suites}),
        ),
        prefix=lambda wildcards: f"{R}/tables/{wildcards.table}",
        version=version("compare"),
    shell:
        """
        python -m winnow.compare \
            --evaluations {input.evaluations} \
            --models {input.models} \
            --subsets {input.subsets} \
            --spec {params.spec:q} \
            --out {params.prefix} \
            &> {log}
        """
