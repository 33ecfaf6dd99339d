# Held-out documents, grammars and stock tasks -> benchmarks -> evaluations.
include: "helpers/evaluate.smk"


rule build_heldout_benchmark:
    """A benchmark of a corpus's held-out documents, which no subset can contain."""
    input:
        source=f"{R}/{{corpus}}/source.json",
        documents=document_shards,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
    output:
        f"{R}/{{corpus}}/benchmarks/{{benchmark}}/data.parquet",
        f"{R}/{{corpus}}/benchmarks/{{benchmark}}/manifest.json",
    log:
        f"{R}/logs/build_heldout_benchmark/{{corpus}}/{{benchmark}}.log",
    benchmark:
        f"{R}/timings/build_heldout_benchmark/{{corpus}}/{{benchmark}}.tsv"
    wildcard_constraints:
        benchmark=benchmark_kind("heldout"),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("build_heldout_benchmark")
    resources:
        mem_mb=mem_mb_of("build_heldout_benchmark"),
        runtime=runtime_of("build_heldout_benchmark"),
    params:
        spec=lambda wildcards: spec(
            name=wildcards.benchmark,
            benchmark=suite_benchmark(wildcards.benchmark),
            group=CONFIG["corpora"][wildcards.corpus]["group"],
        ),
        folder=lambda wildcards: benchmark_folder(wildcards.corpus, wildcards.benchmark),
        version=version("evaluate.benchmarks"),
    shell:
        """
        python -m winnow.evaluate.benchmarks heldout \
            --source {input.source:q} \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --heldout {input.heldout:q} \
            --spec {params.spec:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule build_labelled_benchmark:
    """Labelled documents that have files of their own, for classifiers."""
    input:
        source=f"{R}/{{corpus}}/source.json",
        download=benchmark_download,
    output:
        f"{R}/{{corpus}}/benchmarks/{{benchmark}}/data.parquet",
        f"{R}/{{corpus}}/benchmarks/{{benchmark}}/manifest.json",
    log:
        f"{R}/logs/build_labelled_benchmark/{{corpus}}/{{benchmark}}.log",
    benchmark:
        f"{R}/timings/build_labelled_benchmark/{{corpus}}/{{benchmark}}.tsv"
    wildcard_constraints:
        benchmark=benchmark_kind("labelled"),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("build_labelled_benchmark")
    resources:
        mem_mb=mem_mb_of("build_labelled_benchmark"),
        runtime=runtime_of("build_labelled_benchmark"),
    params:
        spec=lambda wildcards: spec(
            name=wildcards.benchmark,
            benchmark=CONFIG["benchmarks"][wildcards.benchmark],
            clean=CONFIG["corpora"][wildcards.corpus]["clean"],
        ),
        files=benchmark_state,
        folder=lambda wildcards: benchmark_folder(wildcards.corpus, wildcards.benchmark),
        version=version("evaluate.benchmarks", "documents.shards"),
    shell:
        """
        python -m winnow.evaluate.benchmarks labelled \
            --source {input.source:q} \
            --download {input.download:q} \
            --spec {params.spec:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule build_grammar_benchmark:
    """Minimal pairs written by the story grammar."""
    output:
        f"{R}/benchmarks/{{benchmark}}/data.parquet",
        f"{R}/benchmarks/{{benchmark}}/manifest.json",
    log:
        f"{R}/logs/build_grammar_benchmark/{{benchmark}}.log",
    benchmark:
        f"{R}/timings/build_grammar_benchmark/{{benchmark}}.tsv"
    wildcard_constraints:
        benchmark=benchmark_kind("grammar"),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("build_grammar_benchmark")
    resources:
        mem_mb=mem_mb_of("build_grammar_benchmark"),
        runtime=runtime_of("build_grammar_benchmark"),
    params:
        spec=lambda wildcards: spec(
            name=wildcards.benchmark, benchmark=CONFIG["benchmarks"][wildcards.benchmark]
        ),
        folder=lambda wildcards: f"{R}/benchmarks/{wildcards.benchmark}",
        version=version("evaluate.benchmarks"),
    shell:
        """
        python -m winnow.evaluate.benchmarks grammar \
            --spec {params.spec:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule download_benchmark:
    """The data set of a benchmark at its pinned commit, fetched where Snakemake runs."""
    output:
        f"{R}/benchmarks/{{benchmark}}/download.json",
    log:
        f"{R}/logs/download_benchmark/{{benchmark}}.log",
    benchmark:
        f"{R}/timings/download_benchmark/{{benchmark}}.tsv"
    wildcard_constraints:
        benchmark=benchmark_kind("task", "labelled"),
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: threads_of("download_benchmark")
    resources:
        mem_mb=mem_mb_of("download_benchmark"),
        runtime=runtime_of("download_benchmark"),
        lock=LOCK,  # it changes no result, and is no param therefore
    params:
        spec=lambda wildcards: spec(source=benchmark_source(wildcards.benchmark)),
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


rule mirror_benchmark:
    """The data set of a stock task as a local folder, so that the task runs without a network."""
    input:
        download=benchmark_download,
    output:
        f"{R}/benchmarks/{{benchmark}}/manifest.json",
    log:
        f"{R}/logs/mirror_benchmark/{{benchmark}}.log",
    benchmark:
        f"{R}/timings/mirror_benchmark/{{benchmark}}.tsv"
    wildcard_constraints:
        benchmark=benchmark_kind("task"),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("mirror_benchmark")
    resources:
        mem_mb=mem_mb_of("mirror_benchmark"),
        runtime=runtime_of("mirror_benchmark"),
    params:
        spec=lambda wildcards: spec(
            name=wildcards.benchmark,
            # Only what decides the data: items and metrics are the evaluation's.
            benchmark={k: CONFIG["benchmarks"][wildcards.benchmark][k] for k in ("task", "data")},
        ),
        files=benchmark_state,
        folder=lambda wildcards: f"{R}/benchmarks/{wildcards.benchmark}",
        version=version("evaluate.benchmarks"),
    shell:
        """
        python -m winnow.evaluate.benchmarks mirror \
            --spec {params.spec:q} \
            --download {input.download:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule evaluate_model:
    """A suite of benchmarks on a model, in one process: lm-eval's figures and every item."""
    input:
        model=f"{MODEL}/manifest.json",
        weights=f"{MODEL}/model.safetensors",
        benchmarks=suite_manifests,
    output:
        samples=f"{EVALUATION}/items.parquet",
        results=f"{EVALUATION}/results.json",
        timings=f"{EVALUATION}/timings.json",
    log:
        f"{R}/logs/evaluate_model/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}/{{suite}}.log",
    benchmark:
        f"{R}/timings/evaluate_model/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}/{{suite}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("evaluate_model")
    resources:
        mem_mb=mem_mb_of("evaluate_model"),
        runtime=runtime_of("evaluate_model"),
        gpu=gpus_of("evaluate_model"),
    params:
        spec=lambda wildcards: spec(
            ids=dict(
                subset_ids(wildcards),
                model=wildcards.model,
                training_seed=int(wildcards.training_seed),
            ),
            suite=wildcards.suite,
            benchmarks=suite_benchmarks(wildcards.suite),
        ),
        benchmarks=suite_folders,
        model=lambda wildcards: MODEL.format(**wildcards),
        folder=lambda wildcards: EVALUATION.format(**wildcards),
        version=version("evaluate.harness", "tokenizer"),
    shell:
        """
        OMP_NUM_THREADS={threads} WINNOW_GPUS={resources.gpu} python -m winnow.evaluate.harness \
            --model {params.model:q} \
            --benchmarks {params.benchmarks:q} \
            --spec {params.spec:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule evaluate_pretrained:
    """The same of a model as it was published."""
    input:
        download=lambda wildcards: model_downloads(CONFIG["models"][wildcards.pretrained]["weights"]),
        benchmarks=suite_manifests,
    output:
        samples=f"{PRETRAINED}/items.parquet",
        results=f"{PRETRAINED}/results.json",
        timings=f"{PRETRAINED}/timings.json",
    log:
        f"{R}/logs/evaluate_pretrained/{{corpus}}/{{pretrained}}/{{suite}}.log",
    benchmark:
        f"{R}/timings/evaluate_pretrained/{{corpus}}/{{pretrained}}/{{suite}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("evaluate_pretrained")
    resources:
        mem_mb=mem_mb_of("evaluate_pretrained"),
        runtime=runtime_of("evaluate_pretrained"),
        gpu=gpus_of("evaluate_pretrained"),
    params:
        spec=lambda wildcards: spec(
            ids=dict(corpus=wildcards.corpus, pretrained=wildcards.pretrained),
            suite=wildcards.suite,
            benchmarks=suite_benchmarks(wildcards.suite),
            weights=CONFIG["models"][wildcards.pretrained]["weights"],
        ),
        files=lambda wildcards: weights_state(**CONFIG["models"][wildcards.pretrained]["weights"]),
        benchmarks=suite_folders,
        folder=lambda wildcards: PRETRAINED.format(**wildcards),
        version=version("evaluate.harness", "tokenizer"),
    shell:
        """
        OMP_NUM_THREADS={threads} WINNOW_GPUS={resources.gpu} python -m winnow.evaluate.harness \
            --benchmarks {params.benchmarks:q} \
            --spec {params.spec:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule count_ngrams:
    """Bits per byte of a unigram and a bigram of a subset on held-out documents: the n-gram baselines of its models."""
    input:
        subset=f"{SUBSET}/manifest.json",
        tokens=f"{SUBSET}/tokens/{{tokenizer}}.npy",
        tokenizer=f"{R}/{{corpus}}/tokenizers/{{tokenizer}}/tokenizer.json",
        tokenizer_config=f"{R}/{{corpus}}/tokenizers/{{tokenizer}}/tokenizer_config.json",
        benchmark=f"{R}/{{corpus}}/benchmarks/{{benchmark}}/manifest.json",
    output:
        f"{SUBSET}/tokens/{{tokenizer}}.{{benchmark}}.json",
    log:
        f"{R}/logs/count_ngrams/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{tokenizer}}.{{benchmark}}.log",
    benchmark:
        f"{R}/timings/count_ngrams/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{tokenizer}}.{{benchmark}}.tsv"
    wildcard_constraints:
        benchmark=benchmark_kind("heldout"),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("count_ngrams")
    resources:
        mem_mb=mem_mb_of("count_ngrams"),
        runtime=runtime_of("count_ngrams"),
    params:
        spec=lambda wildcards: spec(names={"tokenizer": wildcards.tokenizer}),
        folder=lambda wildcards: benchmark_folder(wildcards.corpus, wildcards.benchmark),
        version=version("evaluate.ngrams", "tokenizer"),
    shell:
        """
        python -m winnow.evaluate.ngrams \
            --subset {input.subset:q} \
            --tokens {input.tokens:q} \
            --tokenizer {input.tokenizer:q} \
            --tokenizer-config {input.tokenizer_config:q} \
            --benchmark {params.folder:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.sampler:q}/seed{wildcards.data_seed:q} \
            --out {output:q} \
            &>{log:q}
        """


rule find_benchmark_items:
    """How many items of each benchmark of a suite occur in the documents of a subset."""
    input:
        subset=f"{SUBSET}/manifest.json",
        split=f"{SUBSET}/train.parquet",
        benchmarks=suite_manifests,
    output:
        f"{SUBSET}/contamination/{{suite}}.json",
    log:
        f"{R}/logs/find_benchmark_items/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{suite}}.log",
    benchmark:
        f"{R}/timings/find_benchmark_items/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{suite}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("find_benchmark_items")
    resources:
        mem_mb=mem_mb_of("find_benchmark_items"),
        runtime=runtime_of("find_benchmark_items"),
    params:
        benchmarks=suite_folders,
        version=version("evaluate.contamination"),
    shell:
        """
        python -m winnow.evaluate.contamination subset \
            --subset {input.subset:q} \
            --split {input.split:q} \
            --benchmarks {params.benchmarks:q} \
            --name {wildcards.corpus:q}/{wildcards.sampler:q}/seed{wildcards.data_seed:q} \
            --out {output:q} \
            &>{log:q}
        """


rule find_contaminated_documents:
    """Documents of a shard that contain an item of a suite's benchmarks, for the filter `contaminated`."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        benchmarks=suite_manifests,
    output:
        f"{R}/{{corpus}}/contaminated/{{suite}}/{{shard}}.parquet",
    log:
        f"{R}/logs/find_contaminated_documents/{{corpus}}/{{suite}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/find_contaminated_documents/{{corpus}}/{{suite}}/{{shard}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("find_contaminated_documents")
    resources:
        mem_mb=mem_mb_of("find_contaminated_documents"),
        runtime=runtime_of("find_contaminated_documents"),
    params:
        benchmarks=suite_folders,
        version=version("evaluate.contamination"),
    shell:
        """
        python -m winnow.evaluate.contamination shard \
            --documents {input.documents:q} \
            --benchmarks {params.benchmarks:q} \
            --name {wildcards.corpus:q}/{wildcards.shard:q} \
            --out {output:q} \
            &>{log:q}
        """
