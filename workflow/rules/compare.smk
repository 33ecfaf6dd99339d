# Evaluations -> tables, plots, claims, costs.
include: "helpers/compare.smk"


rule compare_arms:
    """A table: every arm against the baseline, with tests, a plot, and a ledger of its claims."""
    input:
        evaluations=table_evaluations,
        evaluation_items=table_items,
        models=table_models,
        subsets=table_files(f"{SUBSET}/manifest.json"),
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
    threads: threads_of("compare_arms")
    resources:
        mem_mb=mem_mb_of("compare_arms"),
        runtime=runtime_of("compare_arms"),
    params:
        spec=lambda wildcards: table_spec(
            wildcards.table, table_members(CONFIG, wildcards.table), missing=None
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
        models=partial_files(lambda runs: each(f"{MODEL}/manifest.json", [ids for ids, _ in runs])),
        subsets=partial_files(lambda runs: each(f"{SUBSET}/manifest.json", [ids for ids, _ in runs])),
        ngrams=partial_files(ngram_files),
        contamination=partial_files(contamination_files),
        published=table_published,
    output:
        expand(f"{R}/tables/partial/{{{{table}}}}.{{format}}", format=FORMATS),
    log:
        f"{R}/logs/compare_partial_arms/{{table}}.log",
    benchmark:
        f"{R}/timings/compare_partial_arms/{{table}}.tsv"
    params:
        spec=lambda wildcards: table_spec(
            wildcards.table,
            partial_members(wildcards.table),
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
    threads: threads_of("copy_guide")
    resources:
        mem_mb=mem_mb_of("copy_guide"),
        runtime=runtime_of("copy_guide"),
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
        models=table_models,
        metrics=table_files(f"{MODEL}/metrics.json"),
        timings=table_files(f"{MODEL}/timings.json"),
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
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: threads_of("chart_costs")
    resources:
        mem_mb=mem_mb_of("chart_costs"),
        runtime=runtime_of("chart_costs"),
    params:
        spec=lambda wildcards: spec(
            name=wildcards.table,
            title=CONFIG["tables"][wildcards.table]["title"],
            arms=table_members(CONFIG, wildcards.table),
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


rule trace_provenance:
    """Where and with what the arms of a table were made, and whether they were made alike."""
    input:
        f"{R}/tables/{{table}}.claims.json",
    output:
        f"{R}/tables/{{table}}.provenance.json",
        f"{R}/tables/{{table}}.provenance.md",
        report(
            f"{R}/tables/{{table}}.provenance.html",
            caption="../report/provenance.rst",
            category="Provenance",
            labels={"table": "{table}"},
        ),
    log:
        f"{R}/logs/trace_provenance/{{table}}.log",
    benchmark:
        f"{R}/timings/trace_provenance/{{table}}.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: threads_of("trace_provenance")
    resources:
        mem_mb=mem_mb_of("trace_provenance"),
        runtime=runtime_of("trace_provenance"),
    params:
        spec=lambda wildcards: spec(title=CONFIG["tables"][wildcards.table]["title"]),
        results=lambda wildcards: R,
        prefix=lambda wildcards: f"{R}/tables/{wildcards.table}",
        version=version("compare.provenance", "pages"),
    shell:
        """
        python -m winnow.compare.provenance \
            --claims {input:q} \
            --results {params.results:q} \
            --spec {params.spec:q} \
            --out {params.prefix:q} \
            &>{log:q}
        """
