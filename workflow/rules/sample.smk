# Clusters -> draws -> subsets.
include: "helpers/sample.smk"


rule draw_sample:
    """Which documents a sampler draws with one data seed."""
    input:
        documents=document_shards,
        assignments=assignment_shards,
        clusters=cluster_table,
        scores=draw_scores,
        lengths=draw_lengths,
        losses=draw_losses,
        used=draw_used,
        trained=draw_trained,
        contaminated=draw_contaminated,
        near=draw_near,
        embeddings=draw_embeddings,
        proxies=draw_proxies,
        proxy_subsets=draw_proxy_subsets,
        ratios=draw_ratios,
        measures=draw_measures,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
    output:
        draw=f"{SUBSET}/draw.parquet",
        facts=f"{SUBSET}/draw.json",
    log:
        f"{R}/logs/draw_sample/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}.log",
    benchmark:
        f"{R}/timings/draw_sample/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}.tsv"
    wildcard_constraints:
        sampler=names_of("samplers", lambda sampler: not needs(sampler).predictions),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("draw_sample")
    resources:
        mem_mb=mem_mb_of("draw_sample"),
        runtime=runtime_of("draw_sample"),
    params:
        spec=draw_spec,
        version=version("sample.draw", "sample.allocate", "sample.candidates"),
        # Near-duplicates among the drawn documents are found by the code of another stage.
        near_version=lambda wildcards: version("score.semdedup") if draw_embeddings(wildcards) else "",
    shell:
        """
        python -m winnow.sample.draw \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --clusters {input.clusters:q} \
            --scores @<(printf '%s\\n' {input.scores:q}) \
            --lengths @<(printf '%s\\n' {input.lengths:q}) \
            --losses {input.losses:q} \
            --used @<(printf '%s\\n' {input.used:q}) \
            --trained @<(printf '%s\\n' {input.trained:q}) \
            --contaminated @<(printf '%s\\n' {input.contaminated:q}) \
            --near @<(printf '%s\\n' {input.near:q}) \
            --embeddings @<(printf '%s\\n' {input.embeddings:q}) \
            --proxies {input.proxies:q} \
            --proxy-subsets {input.proxy_subsets:q} \
            --ratios {input.ratios:q} \
            --measures @<(printf '%s\\n' {input.measures:q}) \
            --heldout {input.heldout:q} \
            --spec {params.spec:q} \
            --out {output.draw:q} \
            --facts {output.facts:q} \
            &>{log:q}
        """


rule write_subset:
    """The drawn documents as a data set of their own."""
    input:
        draw=f"{SUBSET}/draw.parquet",
        source=f"{R}/{{corpus}}/source.json",
        facts=f"{SUBSET}/draw.json",
        documents=document_shards,
    output:
        train=f"{SUBSET}/train.parquet",
        validation=f"{SUBSET}/validation.parquet",
        test=f"{SUBSET}/test.parquet",
        card=f"{SUBSET}/README.md",
        manifest=f"{SUBSET}/manifest.json",
    log:
        f"{R}/logs/write_subset/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}.log",
    benchmark:
        f"{R}/timings/write_subset/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("write_subset")
    resources:
        mem_mb=mem_mb_of("write_subset"),
        runtime=runtime_of("write_subset"),
    params:
        spec=lambda wildcards: spec(
            ids=subset_ids(wildcards),
            corpus=reading(wildcards.corpus),
            sampler=CONFIG["samplers"][wildcards.sampler],
            budget=CONFIG["budgets"][wildcards.budget],
            data_seed=int(wildcards.data_seed),
        ),
        folder=lambda wildcards: SUBSET.format(**wildcards),
        version=version("sample.subset"),
    shell:
        """
        python -m winnow.sample.subset \
            --draw {input.draw:q} \
            --source {input.source:q} \
            --facts {input.facts:q} \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --spec {params.spec:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule compare_samplers:
    """How different the draws of a corpus are at all, before anything is trained on them."""
    input:
        draws=compared_draw_files,
        documents=document_shards,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        assignments=compared_assignments,
        clusters=compared_cluster_tables,
        tokens=compared_tokens,
    output:
        f"{R}/{{corpus}}/compare_samplers.csv",
        f"{R}/{{corpus}}/compare_samplers.md",
        report(
            f"{R}/{{corpus}}/compare_samplers.html",
            caption="../report/samplers.rst",
            category="Samplers",
            labels={"corpus": "{corpus}"},
        ),
    log:
        f"{R}/logs/compare_samplers/{{corpus}}.log",
    benchmark:
        f"{R}/timings/compare_samplers/{{corpus}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("compare_samplers")
    resources:
        mem_mb=mem_mb_of("compare_samplers"),
        runtime=runtime_of("compare_samplers"),
    params:
        spec=comparison_spec,
        prefix=lambda wildcards: f"{R}/{wildcards.corpus}/compare_samplers",
        version=version("sample.compare_samplers", "sample.candidates", "pages"),
    shell:
        """
        python -m winnow.sample.compare_samplers \
            --draws @<(printf '%s\\n' {input.draws:q}) \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --heldout {input.heldout:q} \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --clusters {input.clusters:q} \
            --tokens @<(printf '%s\\n' {input.tokens:q}) \
            --spec {params.spec:q} \
            --out {params.prefix:q} \
            &>{log:q}
        """
