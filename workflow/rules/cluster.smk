# Vectors -> reduced vectors -> clusters -> exclusions.
include: "helpers/cluster.smk"


rule reduce_vectors:
    """Vectors of fewer dimensions of all documents, by a reducer that is fitted on a stated sample of the pool."""
    input:
        documents=document_shards,
        embeddings=encoder_shards,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
    output:
        REDUCED,
    log:
        f"{R}/logs/reduce_vectors/{{corpus}}/{{encoder}}/{{reduction}}.log",
    benchmark:
        f"{R}/timings/reduce_vectors/{{corpus}}/{{encoder}}/{{reduction}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("reduce_vectors")
    resources:
        mem_mb=mem_mb_of("reduce_vectors"),
        runtime=runtime_of("reduce_vectors"),
        gpu=0,
    params:
        spec=lambda wildcards: spec(reduction=CONFIG["reductions"][wildcards.reduction]),
        version=version("cluster.reduce", "cluster.kmeans", "batching"),
    shell:
        """
        OMP_NUM_THREADS={threads} python -m winnow.cluster.reduce \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --embeddings @<(printf '%s\\n' {input.embeddings:q}) \
            --heldout {input.heldout:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.encoder:q}/{wildcards.reduction:q} \
            --out {output:q} \
            &>{log:q}
        """


rule fit_clusters:
    """Centroids of a clustering, fitted on a stated sample of the pool."""
    input:
        documents=document_shards,
        embeddings=clustered_vectors,
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
    threads: threads_of("fit_clusters")
    resources:
        mem_mb=mem_mb_of("fit_clusters"),
        runtime=runtime_of("fit_clusters"),
        gpu=0,
    params:
        spec=lambda wildcards: spec(clustering=CONFIG["clusterings"][wildcards.clustering]),
        version=version("cluster.kmeans"),
    shell:
        """
        python -m winnow.cluster.kmeans fit \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --embeddings @<(printf '%s\\n' {input.embeddings:q}) \
            --heldout {input.heldout:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.clustering:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """


rule assign_clusters:
    """Cluster and distance of each document of a shard."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        embeddings=clustered_vectors_of_shard,
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
    threads: threads_of("assign_clusters")
    resources:
        mem_mb=mem_mb_of("assign_clusters"),
        runtime=runtime_of("assign_clusters"),
        gpu=0,
    params:
        version=version("cluster.kmeans"),
    shell:
        """
        python -m winnow.cluster.kmeans assign \
            --documents {input.documents:q} \
            --embeddings {input.embeddings:q} \
            --centroids {input.centroids:q} \
            --name {wildcards.corpus:q}/{wildcards.clustering:q}/{wildcards.shard:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """


rule fit_hdbscan:
    """Clusters of any shape and noise, on a stated sample of the pool."""
    input:
        documents=document_shards,
        embeddings=clustered_vectors,
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
    threads: threads_of("fit_hdbscan")
    resources:
        mem_mb=mem_mb_of("fit_hdbscan"),
        runtime=runtime_of("fit_hdbscan"),
        gpu=0,
    params:
        spec=lambda wildcards: spec(clustering=CONFIG["clusterings"][wildcards.clustering]),
        version=version("cluster.hdbscan", "cluster.kmeans"),
    shell:
        """
        OMP_NUM_THREADS={threads} python -m winnow.cluster.hdbscan fit \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --embeddings @<(printf '%s\\n' {input.embeddings:q}) \
            --heldout {input.heldout:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.clustering:q} \
            --out {output.centroids:q} \
            --model {output.model:q} \
            --exclusions {output.exclusions:q} \
            --report {output.report:q} \
            &>{log:q}
        """


rule assign_hdbscan:
    """Cluster, or noise, and distance of each document of a shard."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        embeddings=clustered_vectors_of_shard,
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
    threads: threads_of("assign_hdbscan")
    resources:
        mem_mb=mem_mb_of("assign_hdbscan"),
        runtime=runtime_of("assign_hdbscan"),
        gpu=0,
    params:
        version=version("cluster.hdbscan", "cluster.kmeans"),
    shell:
        """
        OMP_NUM_THREADS={threads} python -m winnow.cluster.hdbscan assign \
            --documents {input.documents:q} \
            --embeddings {input.embeddings:q} \
            --centroids {input.centroids:q} \
            --model {input.model:q} \
            --name {wildcards.corpus:q}/{wildcards.clustering:q}/{wildcards.shard:q} \
            --out {output:q} \
            &>{log:q}
        """


rule summarise_clusters:
    """Sizes, distances and diversity of the clusters, and the clustering's fingerprint."""
    input:
        assignments=assignment_shards,
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
    threads: threads_of("summarise_clusters")
    resources:
        mem_mb=mem_mb_of("summarise_clusters"),
        runtime=runtime_of("summarise_clusters"),
    params:
        version=version("cluster.kmeans"),
    shell:
        """
        python -m winnow.cluster.kmeans summarise \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --centroids {input.centroids:q} \
            --heldout {input.heldout:q} \
            --out {output.summary:q} \
            --fingerprint-out {output.fingerprint:q} \
            &>{log:q}
        """


rule inspect_clusters:
    """The review page of a clustering, and which clusters criteria propose to exclude."""
    input:
        documents=document_shards,
        vectors=clustered_vectors,
        assignments=assignment_shards,
        centroids=f"{CLUSTERS}/centroids.npy",
        clusters=f"{CLUSTERS}/summary.parquet",
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        fingerprint=f"{CLUSTERS}/fingerprint.json",
        always=noise_exclusions,
        scores=review_scores,
    output:
        page=report(
            f"{CLUSTERS}/review.html",
            caption="../report/review.rst",
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
    threads: threads_of("inspect_clusters")
    resources:
        mem_mb=mem_mb_of("inspect_clusters"),
        runtime=runtime_of("inspect_clusters"),
    params:
        spec=review_spec,
        version=version("cluster.inspection", "sample.candidates", "pages"),
    shell:
        """
        python -m winnow.cluster.inspection \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --vectors @<(printf '%s\\n' {input.vectors:q}) \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --centroids {input.centroids:q} \
            --clusters {input.clusters:q} \
            --heldout {input.heldout:q} \
            --fingerprint {input.fingerprint:q} \
            --always {input.always:q} \
            --scores @<(printf '%s\\n' {input.scores:q}) \
            --spec {params.spec:q} \
            --out {output.page:q} \
            --proposals {output.proposals:q} \
            --criteria {output.criteria:q} \
            &>{log:q}
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
    threads: threads_of("exclude_clusters")
    resources:
        mem_mb=mem_mb_of("exclude_clusters"),
        runtime=runtime_of("exclude_clusters"),
    params:
        files=exclusions_state,
        version=version("cluster.exclude"),
    shell:
        """
        python -m winnow.cluster.exclude \
            --clusters {input.clusters:q} \
            --fingerprint {input.fingerprint:q} \
            --exclusions {input.exclusions:q} \
            --name {wildcards.corpus:q}.{wildcards.clustering:q} \
            --out {output.clusters:q} \
            --template {output.template:q} \
            &>{log:q}
        """


rule sweep_clusters:
    """How many clusters? Indices of k-means for several k, on the vectors that the clustering goes by."""
    input:
        documents=document_shards,
        vectors=clustered_vectors,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        published=published_sweep,
    output:
        table=f"{CLUSTERS}/sweep.csv",
        plot=f"{CLUSTERS}/sweep.svg",
        suggestion=f"{CLUSTERS}/sweep.json",
        markdown=f"{CLUSTERS}/sweep.md",
        page=report(
            f"{CLUSTERS}/sweep.html",
            caption="../report/sweep.rst",
            category="Clusters",
            labels={"corpus": "{corpus}", "clustering": "{clustering}"},
        ),
    log:
        f"{R}/logs/sweep_clusters/{{corpus}}/{{clustering}}.log",
    benchmark:
        f"{R}/timings/sweep_clusters/{{corpus}}/{{clustering}}.tsv"
    wildcard_constraints:
        clustering=clustering_method("kmeans"),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("sweep_clusters")
    resources:
        mem_mb=mem_mb_of("sweep_clusters"),
        runtime=runtime_of("sweep_clusters"),
        gpu=0,
    params:
        spec=sweep_spec,
        files=published_sweep_state,
        version=version("cluster.sweep", "cluster.kmeans", "pages"),
    shell:
        """
        OMP_NUM_THREADS={threads} python -m winnow.cluster.sweep \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --vectors @<(printf '%s\\n' {input.vectors:q}) \
            --heldout {input.heldout:q} \
            --published {input.published:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.clustering:q} \
            --threads {threads} \
            --out {output.table:q} \
            --plot-out {output.plot:q} \
            --suggestion {output.suggestion:q} \
            --markdown-out {output.markdown:q} \
            --html-out {output.page:q} \
            &>{log:q}
        """
