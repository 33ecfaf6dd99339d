# Evaluations -> tables, plots, claims.


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
        f"{R}/tables/{{table}}.png",
        report(
            f"{R}/tables/{{table}}.claims.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"table": "{table}"},
        ),
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
            metrics=table_metrics(wildcards.table),
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
            &>{log}
        """
