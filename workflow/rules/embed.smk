# Documents -> unit vectors.


rule download_model:
    """A Hub model or tokenizer at its pinned commit, fetched where Snakemake runs."""
    output:
        f"{R}/downloads/{{repository}}/{{revision}}.json",
    log:
        f"{R}/logs/download_model/{{repository}}/{{revision}}.log",
    benchmark:
        f"{R}/timings/download_model/{{repository}}/{{revision}}.tsv"
    wildcard_constraints:
        repository="[^/]+/[^/]+",
        revision=".+",
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: threads_of("download_model")
    resources:
        mem_mb=mem_mb_of("download_model"),
        runtime=runtime_of("download_model"),
        lock=LOCK,  # it changes no result, and is no param therefore
    params:
        spec=lambda wildcards: spec(source={"hub": wildcards.repository, "revision": wildcards.revision}),
        version=version("download"),
    shell:
        """
        HF_HUB_OFFLINE=${{WINNOW_OFFLINE:-0}} python -m winnow.download \
            --spec {params.spec:q} \
            --repo-type model \
            --lock {resources.lock:q} \
            --out {output:q} \
            &>{log:q}
        """


rule embed_documents:
    """Unit vectors of one shard of documents."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        encoder=lambda wildcards: model_downloads(CONFIG["encoders"][wildcards.encoder]["source"]),
    output:
        f"{R}/{{corpus}}/embeddings/{{encoder}}/{{shard}}.npy",
    log:
        f"{R}/logs/embed_documents/{{corpus}}/{{encoder}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/embed_documents/{{corpus}}/{{encoder}}/{{shard}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("embed_documents")
    resources:
        mem_mb=mem_mb_of("embed_documents"),
        runtime=runtime_of("embed_documents"),
        gpu=gpus_of("embed_documents"),
    params:
        spec=lambda wildcards: spec(encoder=CONFIG["encoders"][wildcards.encoder]),
        files=lambda wildcards: weights_state(**CONFIG["encoders"][wildcards.encoder]["source"]),
        version=version("embed.encode", "batching", "tokenizer"),
    shell:
        """
        WINNOW_GPUS={resources.gpu} python -m winnow.embed.encode \
            --documents {input.documents:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.shard:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """
