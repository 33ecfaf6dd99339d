# Evaluations -> tables, plots, claims.


rule compare_arms:
    """A table: every arm against the baseline, with tests, a plot, and a ledger of its claims."""
    input:
        evaluations=table_evaluations,
        evaluation_items=table_items,
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
            missing=None,
        ),
        files=lambda wildcards: state(table_published(wildcards)),
        prefix=lambda wildcards: f"{R}/tables/{wildcards.table}",
        version=version(
            "compare.table",
            "compare.arms",
            "compare.claims",
            "compare.sentences",
            "compare.render",
            "compare.plots",
            "compare.ledger",
            "compare.published",
            "compare.audit",
            "pages",
        ),
    shell:
        """
        python -m winnow.compare.table \
            --evaluations @<(printf '%s\\n' {input.evaluations:q}) \
            --items @<(printf '%s\\n' {input.evaluation_items:q}) \
            --models @<(printf '%s\\n' {input.models:q}) \
            --subsets @<(printf '%s\\n' {input.subsets:q}) \
            --ngrams @<(printf '%s\\n' {input.ngrams:q}) \
            --contamination @<(printf '%s\\n' {input.contamination:q}) \
            --published {input.published:q} \
            --spec {params.spec:q} \
            --out {params.prefix:q} \
            &>{log:q}
        """


use rule compare_arms as compare_partial_arms with:
    input:
        evaluations=partial_evaluations,
        evaluation_items=partial_items,
        models=partial_files(f"{MODEL}/manifest.json"),
        subsets=partial_files(f"{SUBSET}/manifest.json"),
        ngrams=partial_ngrams,
        contamination=partial_files(f"{SUBSET}/contamination/{{suite}}.json"),
        published=table_published,
    output:
        expand(f"{R}/tables/partial/{{{{table}}}}.{{format}}", format=FORMATS),
    log:
        f"{R}/logs/compare_partial_arms/{{table}}.log",
    benchmark:
        f"{R}/timings/compare_partial_arms/{{table}}.tsv"
    params:
        spec=lambda wildcards: spec(
            name=wildcards.table,
            table=CONFIG["tables"][wildcards.table],
            arms=partial_arms(wildcards.table),
            suites=table_suites(wildcards.table),
            metrics=table_metrics(wildcards.table),
            tasks=table_tasks(wildcards.table),
            missing=partial_runs(wildcards.table)[2],
        ),
        prefix=lambda wildcards: f"{R}/tables/partial/{wildcards.table}",
        version=version(
            "compare.table",
            "compare.arms",
            "compare.claims",
            "compare.sentences",
            "compare.render",
            "compare.plots",
            "compare.ledger",
            "compare.published",
            "compare.audit",
            "pages",
        ),


rule copy_guide:
    """How to read a table, beside the tables."""
    input:
        str(GUIDE),
    output:
        f"{R}/tables/reading-tables.md",
    log:
        f"{R}/logs/copy_guide/guide.log",
    benchmark:
        f"{R}/timings/copy_guide/guide.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=growing(100),
        runtime=growing(10),
    params:
        version=version("compare.render"),
    shell:
        """
        python -m winnow.compare.render --guide {input:q} --out {output:q} &>{log:q}
        """


rule chart_costs:
    """What the arms of a table cost, selection and training, their loss curves, and how many seeds a clearer answer needs."""
    input:
        table=f"{R}/tables/{{table}}.csv",
        models=lambda wildcards: sorted(set(table_models(wildcards))),
        metrics=table_training_metrics,
        timings=table_training_timings,
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
        f"{R}/tables/{{table}}.pareto.svg",
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
            training=training_timings(wildcards.table),
        ),
        prefix=lambda wildcards: f"{R}/tables/{wildcards.table}",
        version=version("compare.costs", "compare.arms", "compare.power", "compare.plots", "pages"),
    shell:
        """
        python -m winnow.compare.costs \
            --table {input.table:q} \
            --models @<(printf '%s\\n' {input.models:q}) \
            --metrics @<(printf '%s\\n' {input.metrics:q}) \
            --timings @<(printf '%s\\n' {input.timings:q}) \
            --spec {params.spec:q} \
            --out {params.prefix:q} \
            &>{log:q}
        """


rule compare_published:
    """The published figures of a table alone, computed again."""
    input:
        results=PUBLISHED[0],
        comparisons=PUBLISHED[1],
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
        files=lambda wildcards: state(PUBLISHED),
        prefix=lambda wildcards: f"{R}/tables/published/{wildcards.table}",
        version=version("compare.published", "compare.audit", "compare.ledger", "compare.sentences", "pages"),
    shell:
        """
        python -m winnow.compare.published \
            --results {input.results:q} \
            --comparisons {input.comparisons:q} \
            --spec {params.spec:q} \
            --out {params.prefix:q} \
            &>{log:q}
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
        version=version("compare.ledger"),
    shell:
        """
        python -m winnow.compare.ledger --claims {input:q} --out {params.prefix:q} &>{log:q}
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
        version=version("compare.ledger"),
    shell:
        """
        python -m winnow.compare.ledger --claims {input:q} --out {params.prefix:q} &>{log:q}
        """


rule audit_published:
    """Whatever in the printed comparisons does not follow from its own inputs or from the raw figures."""
    input:
        results=PUBLISHED[0],
        comparisons=PUBLISHED[1],
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
        files=lambda wildcards: state(PUBLISHED),
        version=version("compare.audit"),
    shell:
        """
        python -m winnow.compare.audit --comparisons {input.comparisons:q} --results {input.results:q} --out {output:q} &>{log:q}
        """
