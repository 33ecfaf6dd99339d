# Evaluations -> tables, plots, claims.


rule compare_arms:
    """A table: every arm against the baseline, with tests, a plot, and a ledger of its claims."""
    input:
        evaluations=table_evaluations,
        samples=table_items,
        models=table_models,
        subsets=table_subsets,
        ngrams=table_ngrams,
        contamination=table_contamination,
        published=table_published,
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
        f"{R}/tables/{{table}}.claims.json",
    log:
        f"{R}/logs/compare_arms/{{table}}.log",
    benchmark:
        f"{R}/timings/compare_arms/{{table}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        spec=lambda wildcards: spec(
            name=wildcards.table,
            table=CONFIG["tables"][wildcards.table],
            arms=table_arms(wildcards.table),
            suites=table_suites(wildcards.table),
            metrics=table_metrics(wildcards.table),
            tasks=table_tasks(wildcards.table),
        ),
        prefix=lambda wildcards: f"{R}/tables/{wildcards.table}",
        version=version("compare", "published", "audit"),
    shell:
        """
        python -m winnow.compare \
            --evaluations {input.evaluations} \
            --models {input.models} \
            --subsets {input.subsets} \
            --ngrams {input.ngrams} \
            --contamination {input.contamination} \
            --published {input.published} \
            --spec {params.spec:q} \
            --out {params.prefix} \
            &>{log}
        """


rule chart_costs:
    """What the arms of a table cost, selection and training, their loss curves, and how many seeds a clearer answer needs."""
    input:
        table=f"{R}/tables/{{table}}.csv",
        models=table_models,
        metrics=table_training_metrics,
    output:
        f"{R}/tables/{{table}}.costs.csv",
        f"{R}/tables/{{table}}.costs.md",
        report(
            f"{R}/tables/{{table}}.costs.html",
            caption="../report/costs.rst",
            category="Costs",
            labels={"table": "{table}"},
        ),
        f"{R}/tables/{{table}}.power.csv",
        f"{R}/tables/{{table}}.front.svg",
        f"{R}/tables/{{table}}.losses.svg",
    log:
        f"{R}/logs/chart_costs/{{table}}.log",
    benchmark:
        f"{R}/timings/chart_costs/{{table}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        spec=lambda wildcards: spec(
            name=wildcards.table,
            title=CONFIG["tables"][wildcards.table]["title"],
            arms=table_arms(wildcards.table),
            selection=selection_timings(wildcards.table),
        ),
        prefix=lambda wildcards: f"{R}/tables/{wildcards.table}",
        version=version("costs", "compare", "audit"),
    shell:
        """
        python -m winnow.costs chart \
            --table {input.table} \
            --metrics {input.metrics} \
            --spec {params.spec:q} \
            --out {params.prefix} \
            &>{log}
        """


rule compare_published:
    """The published figures of a table alone, computed anew."""
    input:
        results="config/published/results.csv",
        comparisons="config/published/comparisons.csv",
    output:
        f"{R}/tables/published/{{table}}.csv",
        f"{R}/tables/published/{{table}}.md",
        f"{R}/tables/published/{{table}}.tex",
        f"{R}/tables/published/{{table}}.html",
        f"{R}/tables/published/{{table}}.claims.csv",
        f"{R}/tables/published/{{table}}.claims.json",
    log:
        f"{R}/logs/compare_published/{{table}}.log",
    benchmark:
        f"{R}/timings/compare_published/{{table}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        spec=lambda wildcards: spec(name=wildcards.table, table=CONFIG["tables"][wildcards.table]),
        prefix=lambda wildcards: f"{R}/tables/published/{wildcards.table}",
        version=version("published", "audit", "compare"),
    shell:
        """
        python -m winnow.published table \
            --results {input.results} \
            --comparisons {input.comparisons} \
            --spec {params.spec:q} \
            --out {params.prefix} \
            &>{log}
        """


rule collate_claims:
    """One ledger of the claims of all tables of the paper."""
    input:
        expand(f"{R}/tables/{{table}}.claims.json", table=CONFIG["paper"]["tables"]),
    output:
        f"{R}/tables/paper.claims.csv",
        f"{R}/tables/paper.claims.json",
    log:
        f"{R}/logs/collate_claims/paper.log",
    benchmark:
        f"{R}/timings/collate_claims/paper.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        prefix=lambda wildcards: f"{R}/tables/paper",
        version=version("published", "compare"),
    shell:
        """
        python -m winnow.published ledger --claims {input} --out {params.prefix} &>{log}
        """


rule collate_published_claims:
    """One ledger of the published claims."""
    input:
        published_tables(CONFIG["paper"]["tables"], ["claims.json"]),
    output:
        f"{R}/tables/published/paper.claims.csv",
        f"{R}/tables/published/paper.claims.json",
    log:
        f"{R}/logs/collate_published_claims/paper.log",
    benchmark:
        f"{R}/timings/collate_published_claims/paper.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        prefix=lambda wildcards: f"{R}/tables/published/paper",
        version=version("published", "compare"),
    shell:
        """
        python -m winnow.published ledger --claims {input} --out {params.prefix} &>{log}
        """


rule audit_published:
    """What in the printed comparisons does not follow from its own inputs or from the raw figures."""
    input:
        results="config/published/results.csv",
        comparisons="config/published/comparisons.csv",
    output:
        f"{R}/tables/published/audit.csv",
    log:
        f"{R}/logs/audit_published/audit.log",
    benchmark:
        f"{R}/timings/audit_published/audit.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        version=version("audit"),
    shell:
        """
        python -m winnow.audit --comparisons {input.comparisons} --results {input.results} --out {output} &>{log}
        """
