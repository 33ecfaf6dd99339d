# Source -> documents -> held-out documents.
include: "helpers/documents.smk"


rule generate_corpus:
    """Source of an embedded corpus: harvested from packages of the lock, or written by a grammar."""
    output:
        f"{R}/{{corpus}}/source.parquet",
    log:
        f"{R}/logs/generate_corpus/{{corpus}}.log",
    benchmark:
        f"{R}/timings/generate_corpus/{{corpus}}.tsv"
    wildcard_constraints:
        corpus=source_kind("generator"),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("generate_corpus")
    resources:
        mem_mb=mem_mb_of("generate_corpus"),
        runtime=runtime_of("generate_corpus"),
    params:
        spec=lambda wildcards: spec(source=CONFIG["corpora"][wildcards.corpus]["source"]),
        version=version("documents.generate"),
    shell:
        """
        python -m winnow.documents.generate \
            --corpus-name {wildcards.corpus:q} \
            --spec {params.spec:q} \
            --out {output:q} \
            &>{log:q}
        """


rule download_corpus:
    """A Hub data set at its pinned commit, fetched where Snakemake runs."""
    output:
        f"{R}/{{corpus}}/download.json",
    log:
        f"{R}/logs/download_corpus/{{corpus}}.log",
    benchmark:
        f"{R}/timings/download_corpus/{{corpus}}.tsv"
    wildcard_constraints:
        corpus=source_kind("hub"),
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: threads_of("download_corpus")
    resources:
        mem_mb=mem_mb_of("download_corpus"),
        runtime=runtime_of("download_corpus"),
        lock=LOCK,  # it changes no result, and is no param therefore
    params:
        spec=lambda wildcards: spec(source=CONFIG["corpora"][wildcards.corpus]["source"]),
        version=version("download"),
    shell:
        """
        HF_HUB_OFFLINE=${{WINNOW_OFFLINE:-0}} python -m winnow.download \
            --spec {params.spec:q} \
            --repo-type dataset \
            --lock {resources.lock:q} \
            --out {output:q} \
            &>{log:q}
        """


rule index_source:
    """Files and row numbers of a source: what makes `doc` stable under any number of shards."""
    input:
        generated=generated_source,
        download=source_download,
    output:
        f"{R}/{{corpus}}/source.json",
    log:
        f"{R}/logs/index_source/{{corpus}}.log",
    benchmark:
        f"{R}/timings/index_source/{{corpus}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("index_source")
    resources:
        mem_mb=mem_mb_of("index_source"),
        runtime=runtime_of("index_source"),
    params:
        spec=lambda wildcards: spec(corpus=reading(wildcards.corpus)),
        files=source_state,
        version=version("documents.shards"),
    shell:
        """
        python -m winnow.documents.shards index \
            --files {input.generated:q} \
            --download {input.download:q} \
            --spec {params.spec:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """


rule write_documents:
    """One shard of cleaned, numbered, digested documents."""
    input:
        source=f"{R}/{{corpus}}/source.json",
        generated=generated_source,
    output:
        f"{R}/{{corpus}}/documents/{{shard}}.parquet",
    log:
        f"{R}/logs/write_documents/{{corpus}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/write_documents/{{corpus}}/{{shard}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("write_documents")
    resources:
        mem_mb=mem_mb_of("write_documents"),
        runtime=runtime_of("write_documents"),
    params:
        spec=lambda wildcards: spec(corpus=reading(wildcards.corpus)),
        files=source_state,
        shards=lambda wildcards: CONFIG["corpora"][wildcards.corpus]["shards"],
        version=version("documents.shards"),
    shell:
        """
        python -m winnow.documents.shards write \
            --source {input.source:q} \
            --shard $((10#{wildcards.shard:q})) \
            --shards {params.shards:q} \
            --spec {params.spec:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """


rule hold_out:
    """Documents kept from every sampler, model and scorer, and duplicates taken out of the pool."""
    input:
        documents=document_shards,
    output:
        f"{R}/{{corpus}}/heldout.parquet",
    log:
        f"{R}/logs/hold_out/{{corpus}}.log",
    benchmark:
        f"{R}/timings/hold_out/{{corpus}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("hold_out")
    resources:
        mem_mb=mem_mb_of("hold_out"),
        runtime=runtime_of("hold_out"),
    params:
        spec=lambda wildcards: spec(
            heldout=CONFIG["corpora"][wildcards.corpus]["heldout"],
            deduplicate=CONFIG["corpora"][wildcards.corpus]["deduplicate"],
        ),
        version=version("documents.heldout"),
    shell:
        """
        python -m winnow.documents.heldout \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --spec {params.spec:q} \
            --out {output:q} \
            &>{log:q}
        """
