# Subsets -> tokens -> models.
include: "helpers/train.smk"


rule train_tokenizer:
    """A byte-level BPE of the pool, or a copy of a pinned Hub tokenizer."""
    input:
        documents=document_shards,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        download=lambda wildcards: model_downloads(CONFIG["tokenizers"][wildcards.tokenizer]),
    output:
        tokenizer=f"{R}/{{corpus}}/tokenizers/{{tokenizer}}/tokenizer.json",
        config=f"{R}/{{corpus}}/tokenizers/{{tokenizer}}/tokenizer_config.json",
    log:
        f"{R}/logs/train_tokenizer/{{corpus}}/{{tokenizer}}.log",
    benchmark:
        f"{R}/timings/train_tokenizer/{{corpus}}/{{tokenizer}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("train_tokenizer")
    resources:
        mem_mb=mem_mb_of("train_tokenizer"),
        runtime=runtime_of("train_tokenizer"),
    params:
        spec=lambda wildcards: spec(tokenizer=CONFIG["tokenizers"][wildcards.tokenizer]),
        version=version("train.tokens"),
    shell:
        """
        RAYON_NUM_THREADS={threads} python -m winnow.train.tokens train \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --heldout {input.heldout:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.tokenizer:q} \
            --out {output.tokenizer:q} \
            &>{log:q}
        """


rule count_tokens:
    """Tokens of each document of a shard, for budgets in tokens."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        tokenizer=f"{R}/{{corpus}}/tokenizers/{{tokenizer}}/tokenizer.json",
        tokenizer_config=f"{R}/{{corpus}}/tokenizers/{{tokenizer}}/tokenizer_config.json",
    output:
        f"{R}/{{corpus}}/lengths/{{tokenizer}}/{{shard}}.parquet",
    log:
        f"{R}/logs/count_tokens/{{corpus}}/{{tokenizer}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/count_tokens/{{corpus}}/{{tokenizer}}/{{shard}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("count_tokens")
    resources:
        mem_mb=mem_mb_of("count_tokens"),
        runtime=runtime_of("count_tokens"),
    params:
        version=version("train.tokens", "tokenizer"),
    shell:
        """
        RAYON_NUM_THREADS={threads} python -m winnow.train.tokens count \
            --documents {input.documents:q} \
            --tokenizer {input.tokenizer:q} \
            --tokenizer-config {input.tokenizer_config:q} \
            --name {wildcards.corpus:q}/{wildcards.shard:q} \
            --out {output:q} \
            &>{log:q}
        """


rule tokenize_subset:
    """The train split of a subset as one stream of tokens."""
    input:
        split=f"{SUBSET}/train.parquet",
        tokenizer=f"{R}/{{corpus}}/tokenizers/{{tokenizer}}/tokenizer.json",
        tokenizer_config=f"{R}/{{corpus}}/tokenizers/{{tokenizer}}/tokenizer_config.json",
    output:
        tokens=f"{SUBSET}/tokens/{{tokenizer}}.npy",
        meta=f"{SUBSET}/tokens/{{tokenizer}}.json",
    log:
        f"{R}/logs/tokenize_subset/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{tokenizer}}.log",
    benchmark:
        f"{R}/timings/tokenize_subset/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{tokenizer}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("tokenize_subset")
    resources:
        mem_mb=mem_mb_of("tokenize_subset"),
        runtime=runtime_of("tokenize_subset"),
    params:
        version=version("train.tokens", "tokenizer"),
    shell:
        """
        RAYON_NUM_THREADS={threads} python -m winnow.train.tokens pack \
            --split {input.split:q} \
            --tokenizer {input.tokenizer:q} \
            --tokenizer-config {input.tokenizer_config:q} \
            --name {wildcards.corpus:q}/{wildcards.sampler:q}/seed{wildcards.data_seed:q} \
            --out {output.tokens:q} \
            --meta {output.meta:q} \
            &>{log:q}
        """


rule train_model:
    """A model trained on a subset with one training seed. Checkpoints lie in state/, curves in tensorboard/, undeclared."""
    input:
        unpack(train_inputs),
    output:
        config=f"{MODEL}/config.json",
        weights=f"{MODEL}/model.safetensors",
        metrics=f"{MODEL}/metrics.json",
        timings=f"{MODEL}/timings.json",
        manifest=f"{MODEL}/manifest.json",
    log:
        f"{R}/logs/train_model/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}.log",
    benchmark:
        f"{R}/timings/train_model/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("train_model")
    resources:
        mem_mb=mem_mb_of("train_model"),
        runtime=runtime_of("train_model"),
        gpu=gpus_of("train_model"),
        nodes=1,
        checkpoint_minutes=10,
    params:
        spec=train_spec,
        files=train_state,
        version=version("train.loop", "tokenizer"),
    shell:
        """
        WINNOW_GPUS={resources.gpu} python -m winnow.train.loop \
            --subset {input.subset:q} \
            --split {input.split:q} \
            --tokens {input.tokens:q} \
            --tokens-meta {input.tokens_meta:q} \
            --tokenizer {input.tokenizer:q} \
            --tokenizer-config {input.tokenizer_config:q} \
            --previous {input.previous:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.sampler:q}/seed{wildcards.data_seed:q}/{wildcards.model:q} \
            --threads {threads} \
            --processes {resources.gpu} \
            --checkpoint-minutes {resources.checkpoint_minutes} \
            --out {output.manifest:q} \
            &>{log:q}
        """
