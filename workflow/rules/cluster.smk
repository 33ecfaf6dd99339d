# Vectors -> clusters -> exclusions.


rule fit_clusters:
    """Centroids of a clustering, fitted on a stated sample of the pool."""
    input:
        documents=document_shards,
        embeddings=embedding_shards,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
    output:
        f"{CLUSTERS}/centroids.npy",
    log:
        f"{R}/logs/fit_clusters/{{corpus}}/{{clustering}}.log",
    benchmark:
        f"{R}/timings/fit_clusters/{{corpus}}/{{clustering}}.tsv"
    wildcard_constraints:
        clustering=clustering_method("kmeans"),
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: 8 if heavy(wildcards.corpus) else 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
        gpu=0,
    params:
        spec=lambda wildcards: spec(clustering=CONFIG["clusterings"][wildcards.clustering]),
        version=version("cluster"),
    shell:
        """
        python -m winnow.cluster fit \
            --documents {input.documents} \
            --embeddings {input.embeddings} \
            --heldout {input.heldout} \
            --spec {params.spec:q} \
            --name {wildcards.corpus}/{wildcards.clustering} \
            --threads {threads} \
            --out {output} \
            &>{log}
        """


rule assign_clusters:
    """Cluster and distance of each document of a shard."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        embeddings=lambda wildcards: f"{R}/{wildcards.corpus}/embeddings/{encoder_of(wildcards)}/{wildcards.shard}.npy",
        centroids=f"{CLUSTERS}/centroids.npy",
    output:
        f"{CLUSTERS}/assignments/{{shard}}.parquet",
    log:
        f"{R}/logs/assign_clusters/{{corpus}}/{{clustering}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/assign_clusters/{{corpus}}/{{clustering}}/{{shard}}.tsv"
    wildcard_constraints:
        clustering=clustering_method("kmeans"),
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: 4 if heavy(wildcards.corpus) else 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=0,
    params:
        version=version("cluster"),
    shell:
        """
        python -m winnow.cluster assign \
            --documents {input.documents} \
            --embeddings {input.embeddings} \
            --centroids {input.centroids} \
            --name {wildcards.corpus}/{wildcards.clustering}/{wildcards.shard} \
            --threads {threads} \
            --out {output} \
            &>{log}
        """


rule fit_hdbscan:
    """Clusters of any shape and noise, on a stated sample of the pool."""
    input:
        documents=document_shards,
        embeddings=embedding_shards,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
    output:
        centroids=f"{CLUSTERS}/centroids.npy",
        model=f"{CLUSTERS}/hdbscan.npz",
        exclusions=f"{CLUSTERS}/hdbscan-exclusions.tsv",
        report=f"{CLUSTERS}/hdbscan.json",
    log:
        f"{R}/logs/fit_hdbscan/{{corpus}}/{{clustering}}.log",
    benchmark:
        f"{R}/timings/fit_hdbscan/{{corpus}}/{{clustering}}.tsv"
    wildcard_constraints:
        clustering=clustering_method("hdbscan"),
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: 8 if heavy(wildcards.corpus) else 1
    resources:
        mem_mb=growing(16000),
        runtime=lambda wildcards, attempt: 480 * attempt,
        gpu=0,
    params:
        spec=lambda wildcards: spec(clustering=CONFIG["clusterings"][wildcards.clustering]),
        version=version("hdbscan", "cluster"),
    shell:
        """
        OMP_NUM_THREADS={threads} python -m winnow.hdbscan fit \
            --documents {input.documents} \
            --embeddings {input.embeddings} \
            --heldout {input.heldout} \
            --spec {params.spec:q} \
            --name {wildcards.corpus}/{wildcards.clustering} \
            --out {output.centroids} \
            --model {output.model} \
            --exclusions {output.exclusions} \
            --report {output.report} \
            &>{log}
        """


rule assign_hdbscan:
    """Cluster, or noise, and distance of each document of a shard."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        embeddings=lambda wildcards: f"{R}/{wildcards.corpus}/embeddings/{encoder_of(wildcards)}/{wildcards.shard}.npy",
        centroids=f"{CLUSTERS}/centroids.npy",
        model=f"{CLUSTERS}/hdbscan.npz",
    output:
        f"{CLUSTERS}/assignments/{{shard}}.parquet",
    log:
        f"{R}/logs/assign_hdbscan/{{corpus}}/{{clustering}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/assign_hdbscan/{{corpus}}/{{clustering}}/{{shard}}.tsv"
    wildcard_constraints:
        clustering=clustering_method("hdbscan"),
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: 4 if heavy(wildcards.corpus) else 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=0,
    params:
        version=version("hdbscan", "cluster"),
    shell:
        """
        OMP_NUM_THREADS={threads} python -m winnow.hdbscan assign \
            --documents {input.documents} \
            --embeddings {input.embeddings} \
            --centroids {input.centroids} \
            --model {input.model} \
            --name {wildcards.corpus}/{wildcards.clustering}/{wildcards.shard} \
            --out {output} \
            &>{log}
        """


rule summarise_clusters:
    """Sizes, distances and diversity of the clusters, and the clustering's fingerprint."""
    input:
        assignments=lambda wildcards: expand(
            f"{CLUSTERS}/assignments/{{shard}}.parquet",
            corpus=wildcards.corpus,
            clustering=wildcards.clustering,
            shard=shards(wildcards.corpus),
        ),
        centroids=f"{CLUSTERS}/centroids.npy",
        heldout=f"{R}/{{corpus}}/heldout.parquet",
    output:
        summary=f"{CLUSTERS}/summary.parquet",
        fingerprint=f"{CLUSTERS}/fingerprint.json",
    log:
        f"{R}/logs/summarise_clusters/{{corpus}}/{{clustering}}.log",
    benchmark:
        f"{R}/timings/summarise_clusters/{{corpus}}/{{clustering}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        version=version("cluster"),
    shell:
        """
        python -m winnow.cluster summarise \
            --assignments {input.assignments} \
            --centroids {input.centroids} \
            --heldout {input.heldout} \
            --out {output.summary} \
            --fingerprint-out {output.fingerprint} \
            &>{log}
        """


rule inspect_clusters:
    """A page that shows the clusters, and which of them criteria propose to exclude."""
    input:
        documents=document_shards,
        assignments=all_assignments,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        fingerprint=f"{CLUSTERS}/fingerprint.json",
        always=noise_exclusions,
    output:
        page=report(
            f"{CLUSTERS}/inspection.html",
            caption="../report/inspection.rst",
            category="Clusters",
            labels={"corpus": "{corpus}", "clustering": "{clustering}"},
        ),
        proposals=f"{CLUSTERS}/proposals.tsv",
        criteria=f"{CLUSTERS}/criteria.csv",
    log:
        f"{R}/logs/inspect_clusters/{{corpus}}/{{clustering}}.log",
    benchmark:
        f"{R}/timings/inspect_clusters/{{corpus}}/{{clustering}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        spec=inspection_spec,
        version=version("inspection", "sample"),
    shell:
        """
        python -m winnow.inspection \
            --documents {input.documents} \
            --assignments {input.assignments} \
            --heldout {input.heldout} \
            --fingerprint {input.fingerprint} \
            --always {input.always} \
            --spec {params.spec:q} \
            --out {output.page} \
            --proposals {output.proposals} \
            --criteria {output.criteria} \
            &>{log}
        """


rule exclude_clusters:
    """The cluster table that samplers read, with the clusters a person excluded and why."""
    input:
        clusters=f"{CLUSTERS}/summary.parquet",
        fingerprint=f"{CLUSTERS}/fingerprint.json",
        exclusions=exclusions_file,
    output:
        clusters=f"{CLUSTERS}/clusters.parquet",
        template=f"{CLUSTERS}/exclusions-template.tsv",
    log:
        f"{R}/logs/exclude_clusters/{{corpus}}/{{clustering}}.log",
    benchmark:
        f"{R}/timings/exclude_clusters/{{corpus}}/{{clustering}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        version=version("exclude"),
    shell:
        """
        python -m winnow.exclude \
            --clusters {input.clusters} \
            --fingerprint {input.fingerprint} \
            --exclusions {input.exclusions} \
            --name {wildcards.corpus}.{wildcards.clustering} \
            --out {output.clusters} \
            --template {output.template} \
            &>{log}
        """
