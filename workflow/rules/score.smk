# Documents and vectors -> scores; probes of clusters -> mean losses.
include: "helpers/score.smk"


rule score_documents:
    """A number for each document of a shard, by its text."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        models=proxy_models,
        downloads=proxy_downloads,
        trained=scorer_draws,
        ratios=score_ratios,
    output:
        f"{SCORES}/{{shard}}.parquet",
    log:
        f"{R}/logs/score_documents/{{corpus}}/{{clustering}}/{{scorer}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/score_documents/{{corpus}}/{{clustering}}/{{scorer}}/{{shard}}.tsv"
    wildcard_constraints:
        scorer=scorers_where(lambda kind: kind.reads == "texts"),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("score_documents")
    resources:
        mem_mb=mem_mb_of("score_documents"),
        runtime=runtime_of("score_documents"),
        gpu=gpus_of("score_documents"),
    params:
        spec=scorer_spec,
        version=scorer_version("score.documents", "batching"),
    shell:
        """
        WINNOW_GPUS={resources.gpu} python -m winnow.score.documents texts \
            --documents {input.documents:q} \
            --heldout {input.heldout:q} \
            --models {input.models:q} \
            --trained {input.trained:q} \
            --ratios {input.ratios:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.scorer:q}/{wildcards.shard:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """


rule fit_ratios:
    """Log ratios of hashed n-grams, target against pool."""
    input:
        documents=document_shards,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        assignments=assignment_shards,
        clusters=cluster_table,
        target=target_shards,
        target_heldout=target_heldout,
    output:
        ratios=f"{SCORES}.ratios.npy",
        counts=f"{SCORES}.ratios.json",
    log:
        f"{R}/logs/fit_ratios/{{corpus}}/{{clustering}}/{{scorer}}.log",
    benchmark:
        f"{R}/timings/fit_ratios/{{corpus}}/{{clustering}}/{{scorer}}.tsv"
    wildcard_constraints:
        scorer=scorers_where(lambda kind: kind.fits),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("fit_ratios")
    resources:
        mem_mb=mem_mb_of("fit_ratios"),
        runtime=runtime_of("fit_ratios"),
    params:
        spec=scorer_spec,
        version=version("score.dsir"),
    shell:
        """
        python -m winnow.score.dsir \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --heldout {input.heldout:q} \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --clusters {input.clusters:q} \
            --target @<(printf '%s\\n' {input.target:q}) \
            --target-heldout {input.target_heldout:q} \
            --spec {params.spec:q} \
            --out {output.ratios:q} \
            --counts {output.counts:q} \
            &>{log:q}
        """


rule score_vectors:
    """Bucket of each document of a shard inside its cluster."""
    input:
        embeddings=clustered_vectors_of_shard,
        assignments=f"{CLUSTERS}/assignments/{{shard}}.parquet",
        centroids=f"{CLUSTERS}/centroids.npy",
        heldout=f"{R}/{{corpus}}/heldout.parquet",
    output:
        f"{CLUSTER_SCORES}/{{shard}}.parquet",
    log:
        f"{R}/logs/score_vectors/{{corpus}}/{{clustering}}/{{scorer}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/score_vectors/{{corpus}}/{{clustering}}/{{scorer}}/{{shard}}.tsv"
    wildcard_constraints:
        scorer=scorers_where(lambda kind: kind.reads == "vectors"),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("score_vectors")
    resources:
        mem_mb=mem_mb_of("score_vectors"),
        runtime=runtime_of("score_vectors"),
    params:
        spec=scorer_spec,
        version=scorer_version("score.documents"),
    shell:
        """
        python -m winnow.score.documents vectors \
            --embeddings {input.embeddings:q} \
            --assignments {input.assignments:q} \
            --centroids {input.centroids:q} \
            --heldout {input.heldout:q} \
            --spec {params.spec:q} \
            --out {output:q} \
            &>{log:q}
        """


rule find_near_duplicates:
    """Largest similarity of each document to one before it in its cluster (kinds that read a whole clustering)."""
    input:
        assignments=assignment_shards,
        embeddings=embedding_shards,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
    output:
        f"{CLUSTER_SCORES}/all.parquet",
    log:
        f"{R}/logs/find_near_duplicates/{{corpus}}/{{clustering}}/{{scorer}}.log",
    benchmark:
        f"{R}/timings/find_near_duplicates/{{corpus}}/{{clustering}}/{{scorer}}.tsv"
    wildcard_constraints:
        scorer=scorers_where(lambda kind: kind.reads == "clustering"),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("find_near_duplicates")
    resources:
        mem_mb=mem_mb_of("find_near_duplicates"),
        runtime=runtime_of("find_near_duplicates"),
        gpu=gpus_of("find_near_duplicates"),
    params:
        spec=scorer_spec,
        version=version("score.semdedup"),
    shell:
        """
        OMP_NUM_THREADS={threads} WINNOW_GPUS={resources.gpu} python -m winnow.score.semdedup score \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --embeddings @<(printf '%s\\n' {input.embeddings:q}) \
            --heldout {input.heldout:q} \
            --spec {params.spec:q} \
            --out {output:q} \
            &>{log:q}
        """


rule sweep_near_duplicates:
    """How many documents are left at each eps."""
    input:
        f"{CLUSTER_SCORES}/all.parquet",
    output:
        f"{CLUSTER_SCORES}/sweep.csv",
    log:
        f"{R}/logs/sweep_near_duplicates/{{corpus}}/{{clustering}}/{{scorer}}.log",
    benchmark:
        f"{R}/timings/sweep_near_duplicates/{{corpus}}/{{clustering}}/{{scorer}}.tsv"
    wildcard_constraints:
        scorer=scorers_where(lambda kind: kind.reads == "clustering"),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("sweep_near_duplicates")
    resources:
        mem_mb=mem_mb_of("sweep_near_duplicates"),
        runtime=runtime_of("sweep_near_duplicates"),
    params:
        version=version("score.semdedup"),
    shell:
        """
        python -m winnow.score.semdedup sweep \
            --scores {input:q} \
            --out {output:q} \
            &>{log:q}
        """


rule choose_probe:
    """A few documents of each cluster, to estimate its mean loss."""
    input:
        assignments=assignment_shards,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        trained=scorer_draws,
    output:
        f"{LOSSES}.probe.parquet",
    log:
        f"{R}/logs/choose_probe/{{corpus}}/{{clustering}}/{{scorer}}.log",
    benchmark:
        f"{R}/timings/choose_probe/{{corpus}}/{{clustering}}/{{scorer}}.tsv"
    wildcard_constraints:
        scorer=scorers_where(lambda kind: "loss" in kind.uses),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("choose_probe")
    resources:
        mem_mb=mem_mb_of("choose_probe"),
        runtime=runtime_of("choose_probe"),
    params:
        spec=scorer_spec,
        version=version("score.probes"),
    shell:
        """
        python -m winnow.score.probes probe \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --heldout {input.heldout:q} \
            --trained {input.trained:q} \
            --spec {params.spec:q} \
            --out {output:q} \
            &>{log:q}
        """


rule score_probe:
    """Scores of the probe's documents of a shard."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        models=proxy_models,
        downloads=proxy_downloads,
        trained=scorer_draws,
        only=f"{LOSSES}.probe.parquet",
    output:
        f"{LOSSES}/{{shard}}.parquet",
    log:
        f"{R}/logs/score_probe/{{corpus}}/{{clustering}}/{{scorer}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/score_probe/{{corpus}}/{{clustering}}/{{scorer}}/{{shard}}.tsv"
    wildcard_constraints:
        scorer=scorers_where(lambda kind: "loss" in kind.uses),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("score_probe")
    resources:
        mem_mb=mem_mb_of("score_probe"),
        runtime=runtime_of("score_probe"),
        gpu=gpus_of("score_probe"),
    params:
        spec=scorer_spec,
        version=scorer_version("score.documents", "batching"),
    shell:
        """
        WINNOW_GPUS={resources.gpu} python -m winnow.score.documents texts \
            --documents {input.documents:q} \
            --heldout {input.heldout:q} \
            --models {input.models:q} \
            --trained {input.trained:q} \
            --only {input.only:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.scorer:q}/{wildcards.shard:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """


rule mean_losses:
    """Mean proxy loss of each cluster."""
    input:
        probe=f"{LOSSES}.probe.parquet",
        scores=probe_scores,
    output:
        f"{LOSSES}.parquet",
    log:
        f"{R}/logs/mean_losses/{{corpus}}/{{clustering}}/{{scorer}}.log",
    benchmark:
        f"{R}/timings/mean_losses/{{corpus}}/{{clustering}}/{{scorer}}.tsv"
    wildcard_constraints:
        scorer=scorers_where(lambda kind: "loss" in kind.uses),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("mean_losses")
    resources:
        mem_mb=mem_mb_of("mean_losses"),
        runtime=runtime_of("mean_losses"),
    params:
        spec=scorer_spec,
        version=version("score.probes"),
    shell:
        """
        python -m winnow.score.probes losses \
            --probe {input.probe:q} \
            --scores @<(printf '%s\\n' {input.scores:q}) \
            --spec {params.spec:q} \
            --out {output:q} \
            &>{log:q}
        """
