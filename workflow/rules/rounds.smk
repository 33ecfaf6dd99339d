# Predictions of a round -> the draw of the next; probes; learning curves.
include: "helpers/rounds.smk"


rule predict_pool:
    """What the model of a round predicts of the documents that the next round looks at, a shard."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        shards=document_shards,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        previous=f"{SUBSET}/draw.parquet",
        model=f"{MODEL}/manifest.json",
        weights=f"{MODEL}/model.safetensors",
    output:
        f"{PREDICTIONS}/{{shard}}.parquet",
    log:
        f"{R}/logs/predict_pool/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/predict_pool/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}/{{shard}}.tsv"
    wildcard_constraints:
        budget=rounds_where(lambda one: one["round"] < one["count"]),
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("predict_pool")
    resources:
        mem_mb=mem_mb_of("predict_pool"),
        runtime=runtime_of("predict_pool"),
        gpu=gpus_of("predict_pool"),
    params:
        spec=prediction_spec,
        model=lambda wildcards: MODEL.format(**wildcards),
        version=version("rounds.predict", "batching", "tokenizer"),
    shell:
        """
        OMP_NUM_THREADS={threads} WINNOW_GPUS={resources.gpu} python -m winnow.rounds.predict \
            --documents {input.documents:q} \
            --shards @<(printf '%s\\n' {input.shards:q}) \
            --heldout {input.heldout:q} \
            --previous {input.previous:q} \
            --model {params.model:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.sampler:q}/{wildcards.budget:q}/seed{wildcards.data_seed:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """


rule draw_round:
    """The documents of a round and of all before it, by what the model of the round before predicts."""
    input:
        documents=document_shards,
        assignments=assignment_shards,
        clusters=cluster_table,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        previous=previous_draw,
        predictions=previous_predictions,
        embeddings=round_embeddings,
        used=draw_used,
        contaminated=draw_contaminated,
        measures=draw_measures,
    output:
        draw=f"{SUBSET}/draw.parquet",
        facts=f"{SUBSET}/draw.json",
    log:
        f"{R}/logs/draw_round/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}.log",
    benchmark:
        f"{R}/timings/draw_round/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}.tsv"
    wildcard_constraints:
        sampler=ASKING,
        budget=rounds_where(lambda one: one["round"] > 0),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("draw_round")
    resources:
        mem_mb=mem_mb_of("draw_round"),
        runtime=runtime_of("draw_round"),
    params:
        spec=round_spec,
        version=version("sample.draw", "sample.allocate", "sample.candidates", "score.semdedup"),
    shell:
        """
        python -m winnow.sample.draw \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --clusters {input.clusters:q} \
            --scores @<(printf '%s\\n' {input.predictions:q}) \
            --embeddings @<(printf '%s\\n' {input.embeddings:q}) \
            --used @<(printf '%s\\n' {input.used:q}) \
            --contaminated @<(printf '%s\\n' {input.contaminated:q}) \
            --measures @<(printf '%s\\n' {input.measures:q}) \
            --previous {input.previous:q} \
            --heldout {input.heldout:q} \
            --spec {params.spec:q} \
            --out {output.draw:q} \
            --facts {output.facts:q} \
            &>{log:q}
        """


rule embed_benchmark:
    """Unit vectors of the texts of a labelled benchmark."""
    input:
        benchmark=f"{R}/{{corpus}}/benchmarks/{{benchmark}}/manifest.json",
        data=f"{R}/{{corpus}}/benchmarks/{{benchmark}}/data.parquet",
        encoder=lambda wildcards: model_downloads(CONFIG["encoders"][wildcards.encoder]["source"]),
    output:
        f"{R}/{{corpus}}/benchmarks/{{benchmark}}/vectors/{{encoder}}.npy",
    log:
        f"{R}/logs/embed_benchmark/{{corpus}}/{{benchmark}}/{{encoder}}.log",
    benchmark:
        f"{R}/timings/embed_benchmark/{{corpus}}/{{benchmark}}/{{encoder}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("embed_benchmark")
    resources:
        mem_mb=mem_mb_of("embed_benchmark"),
        runtime=runtime_of("embed_benchmark"),
        gpu=0,
    params:
        spec=lambda wildcards: spec(encoder=CONFIG["encoders"][wildcards.encoder]),
        files=lambda wildcards: weights_state(**CONFIG["encoders"][wildcards.encoder]["source"]),
        version=version("embed.encode", "batching", "tokenizer"),
    shell:
        """
        python -m winnow.embed.encode \
            --documents {input.data:q} \
            --ids item \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.benchmark:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """


rule run_probes:
    """An arm of linear probes: draws, probes and evaluations of all its data seeds and rounds."""
    input:
        documents=document_shards,
        embeddings=probe_embeddings,
        source=f"{R}/{{corpus}}/source.json",
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        benchmarks=suite_manifests,
        benchmark_vectors=probe_benchmark_vectors,
        assignments=assignment_shards,
        clusters=cluster_table,
        scores=draw_scores,
        lengths=draw_lengths,
        losses=draw_losses,
        used=draw_used,
        trained=draw_trained,
        contaminated=draw_contaminated,
        near=draw_near,
        clustering_vectors=draw_embeddings,
        proxies=draw_proxies,
        proxy_subsets=draw_proxy_subsets,
        ratios=draw_ratios,
        measures=draw_measures,
    output:
        results=f"{PROBES}/results.json",
        evaluation_items=f"{PROBES}/items.parquet",
        draws=f"{PROBES}/draws.parquet",
        timings=f"{PROBES}/timings.json",
    log:
        f"{R}/logs/run_probes/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/{{model}}/{{suite}}.log",
    benchmark:
        f"{R}/timings/run_probes/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/{{model}}/{{suite}}.tsv"
    wildcard_constraints:
        model=names_of("models", lambda model: model["kind"] == "probe"),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("run_probes")
    resources:
        mem_mb=mem_mb_of("run_probes"),
        runtime=runtime_of("run_probes"),
    params:
        spec=probe_spec,
        benchmarks=suite_folders,
        version=version("rounds.probes", "sample.draw", "sample.allocate", "sample.candidates"),
        near_version=lambda wildcards: version("score.semdedup") if draw_embeddings(wildcards) else "",
    shell:
        """
        OMP_NUM_THREADS={threads} python -m winnow.rounds.probes \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --embeddings @<(printf '%s\\n' {input.embeddings:q}) \
            --source {input.source:q} \
            --heldout {input.heldout:q} \
            --benchmarks {params.benchmarks:q} \
            --benchmark-vectors {input.benchmark_vectors:q} \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --clusters {input.clusters:q} \
            --scores @<(printf '%s\\n' {input.scores:q}) \
            --lengths @<(printf '%s\\n' {input.lengths:q}) \
            --losses {input.losses:q} \
            --used @<(printf '%s\\n' {input.used:q}) \
            --trained @<(printf '%s\\n' {input.trained:q}) \
            --contaminated @<(printf '%s\\n' {input.contaminated:q}) \
            --near @<(printf '%s\\n' {input.near:q}) \
            --clustering-vectors @<(printf '%s\\n' {input.clustering_vectors:q}) \
            --proxies {input.proxies:q} \
            --proxy-subsets {input.proxy_subsets:q} \
            --ratios {input.ratios:q} \
            --measures @<(printf '%s\\n' {input.measures:q}) \
            --spec {params.spec:q} \
            --items {output.evaluation_items:q} \
            --draws {output.draws:q} \
            --timings {output.timings:q} \
            --out {output.results:q} \
            &>{log:q}
        """


rule chart_learning_curves:
    """Figures of all rounds of a table's arms against the labels that they used."""
    input:
        evaluations=curve_evaluations,
        evaluation_items=curve_items,
    output:
        f"{R}/tables/{{table}}.curves.csv",
        f"{R}/tables/{{table}}.curves.areas.csv",
        f"{R}/tables/{{table}}.curves.md",
        f"{R}/tables/{{table}}.curves.tex",
        report(
            f"{R}/tables/{{table}}.curves.html",
            caption="../report/curves.rst",
            category="Learning curves",
            labels={"table": "{table}"},
        ),
        f"{R}/tables/{{table}}.curves.svg",
    log:
        f"{R}/logs/chart_learning_curves/{{table}}.log",
    benchmark:
        f"{R}/timings/chart_learning_curves/{{table}}.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: threads_of("chart_learning_curves")
    resources:
        mem_mb=mem_mb_of("chart_learning_curves"),
        runtime=runtime_of("chart_learning_curves"),
    params:
        spec=curve_spec,
        prefix=lambda wildcards: f"{R}/tables/{wildcards.table}.curves",
        version=version("rounds.learning_curves", "pages"),
    shell:
        """
        python -m winnow.rounds.learning_curves \
            --evaluations @<(printf '%s\\n' {input.evaluations:q}) \
            --items @<(printf '%s\\n' {input.evaluation_items:q}) \
            --spec {params.spec:q} \
            --out {params.prefix:q} \
            &>{log:q}
        """


rule map_chosen_documents:
    """Which documents the arms of a table chose in each round: a map, figures of each round, typical documents."""
    input:
        documents=chosen_documents,
        embeddings=chosen_embeddings,
        source=lambda wildcards: f"{R}/{chosen_corpus(wildcards.table)}/source.json",
        heldout=lambda wildcards: f"{R}/{chosen_corpus(wildcards.table)}/heldout.parquet",
        assignments=chosen_assignments,
        clusters=chosen_clusters,
        draws=chosen_draws,
        predictions=chosen_predictions,
    output:
        f"{R}/tables/{{table}}.chosen.csv",
        report(
            f"{R}/tables/{{table}}.chosen.html",
            caption="../report/chosen.rst",
            category="Chosen documents",
            labels={"table": "{table}"},
        ),
        f"{R}/tables/{{table}}.chosen.svg",
    log:
        f"{R}/logs/map_chosen_documents/{{table}}.log",
    benchmark:
        f"{R}/timings/map_chosen_documents/{{table}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("map_chosen_documents")
    resources:
        mem_mb=mem_mb_of("map_chosen_documents"),
        runtime=runtime_of("map_chosen_documents"),
    params:
        spec=chosen_spec,
        prefix=lambda wildcards: f"{R}/tables/{wildcards.table}.chosen",
        version=version("rounds.chosen", "sample.candidates", "pages"),
    shell:
        """
        OMP_NUM_THREADS={threads} python -m winnow.rounds.chosen \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --embeddings @<(printf '%s\\n' {input.embeddings:q}) \
            --source {input.source:q} \
            --heldout {input.heldout:q} \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --clusters {input.clusters:q} \
            --draws @<(printf '%s\\n' {input.draws:q}) \
            --predictions @<(printf '%s\\n' {input.predictions:q}) \
            --spec {params.spec:q} \
            --out {params.prefix:q} \
            &>{log:q}
        """


rule chart_labelling_costs:
    """What labelling in rounds costs the arms of a table: embeddings, predictions, draws, trainings."""
    input:
        labelling_inputs,
    output:
        f"{R}/tables/{{table}}.labelling.csv",
        report(
            f"{R}/tables/{{table}}.labelling.html",
            caption="../report/labelling.rst",
            category="Costs",
            labels={"table": "{table}"},
        ),
    log:
        f"{R}/logs/chart_labelling_costs/{{table}}.log",
    benchmark:
        f"{R}/timings/chart_labelling_costs/{{table}}.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: threads_of("chart_labelling_costs")
    resources:
        mem_mb=mem_mb_of("chart_labelling_costs"),
        runtime=runtime_of("chart_labelling_costs"),
    params:
        spec=labelling_spec,
        prefix=lambda wildcards: f"{R}/tables/{wildcards.table}.labelling",
        version=version("rounds.costs", "compare.costs", "pages"),
    shell:
        """
        python -m winnow.rounds.costs --spec {params.spec:q} --out {params.prefix:q} &>{log:q}
        """
