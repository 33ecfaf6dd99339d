# Published figures -> tables of them alone, ledgers of claims, the audit.
include: "helpers/published.smk"


rule compare_published:
    """The published figures of a table alone, recomputed."""
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
    threads: threads_of("compare_published")
    resources:
        mem_mb=mem_mb_of("compare_published"),
        runtime=runtime_of("compare_published"),
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
    """One ledger of the claims of all tables of the run."""
    input:
        expand(f"{R}/tables/{{table}}.claims.json", table=CONFIG["targets"]),
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
    threads: threads_of("collate_claims")
    resources:
        mem_mb=mem_mb_of("collate_claims"),
        runtime=runtime_of("collate_claims"),
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
        published_tables(["claims.json"]),
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
    threads: threads_of("collate_published_claims")
    resources:
        mem_mb=mem_mb_of("collate_published_claims"),
        runtime=runtime_of("collate_published_claims"),
    params:
        prefix=lambda wildcards: f"{R}/tables/published/paper",
        version=version("compare.ledger"),
    shell:
        """
        python -m winnow.compare.ledger --claims {input:q} --out {params.prefix:q} &>{log:q}
        """


rule audit_published:
    """What in the printed comparisons does not follow from the printed inputs or from the raw figures."""
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
    threads: threads_of("audit_published")
    resources:
        mem_mb=mem_mb_of("audit_published"),
        runtime=runtime_of("audit_published"),
    params:
        files=lambda wildcards: state(PUBLISHED),
        version=version("compare.audit"),
    shell:
        """
        python -m winnow.compare.audit --comparisons {input.comparisons:q} --results {input.results:q} --out {output:q} &>{log:q}
        """
