# Documents and vectors -> measures and counts -> the profile of a corpus.
include: "helpers/profile.smk"


rule embed_labels:
    """Unit vectors of the texts of a label set."""
    input:
        encoder=lambda wildcards: model_downloads(CONFIG["encoders"][wildcards.encoder]["source"]),
    output:
        LABELS,
    log:
        f"{R}/logs/embed_labels/{{encoder}}/{{label_set}}.log",
    benchmark:
        f"{R}/timings/embed_labels/{{encoder}}/{{label_set}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("embed_labels")
    resources:
        mem_mb=mem_mb_of("embed_labels"),
        runtime=runtime_of("embed_labels"),
    params:
        spec=lambda wildcards: spec(
            encoder=CONFIG["encoders"][wildcards.encoder],
            labels=CONFIG["label_sets"][wildcards.label_set]["labels"],
        ),
        files=lambda wildcards: weights_state(**CONFIG["encoders"][wildcards.encoder]["source"]),
        version=version("profile.labels", "tokenizer"),
    shell:
        """
        python -m winnow.profile.labels \
            --spec {params.spec:q} \
            --name {wildcards.label_set:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """


rule entail_documents:
    """What an NLI model makes of the texts of a label set for each document of a shard."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        model=nli_weights,
    output:
        ENTAILMENT,
    log:
        f"{R}/logs/entail_documents/{{corpus}}/{{label_set}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/entail_documents/{{corpus}}/{{label_set}}/{{shard}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: threads_of("entail_documents")
    resources:
        mem_mb=mem_mb_of("entail_documents"),
        runtime=runtime_of("entail_documents"),
        gpu=gpus_of("entail_documents"),
    params:
        spec=entailment_spec,
        files=lambda wildcards: weights_state(**nli_settings(wildcards)["source"]),
        version=version("profile.entail", "batching", "tokenizer"),
    shell:
        """
        WINNOW_GPUS={resources.gpu} python -m winnow.profile.entail \
            --documents {input.documents:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.label_set:q}/{wildcards.shard:q} \
            --threads {threads} \
            --out {output:q} \
            &>{log:q}
        """


rule measure_documents:
    """The measures of one family for each document of a shard."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        embeddings=family_vectors,
        labels=family_labels,
        entailment=family_entailment,
    output:
        f"{PROFILE}/measures/{{family}}/{{shard}}.parquet",
    log:
        f"{R}/logs/measure_documents/{{corpus}}/{{family}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/measure_documents/{{corpus}}/{{family}}/{{shard}}.tsv"
    wildcard_constraints:
        family="|".join(families.names()),
    conda:
        "../../envs/data.yaml"
    threads: threads_of("measure_documents")
    resources:
        mem_mb=mem_mb_of("measure_documents"),
        runtime=runtime_of("measure_documents"),
    params:
        spec=family_spec,
        version=family_version("profile.measure", "batching"),
    shell:
        """
        python -m winnow.profile.measure \
            --documents {input.documents:q} \
            --embeddings {input.embeddings:q} \
            --labels {input.labels:q} \
            --entailment {input.entailment:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.family:q}/{wildcards.shard:q} \
            --out {output:q} \
            &>{log:q}
        """


rule count_documents:
    """How often words and features of prompts, words, names and sequences of words occur in a shard."""
    input:
        documents=f"{R}/{{corpus}}/documents/{{shard}}.parquet",
        source=f"{R}/{{corpus}}/source.json",
    output:
        counts=f"{PROFILE}/counts/{{shard}}.parquet",
        digests=f"{PROFILE}/counts/{{shard}}.npy",
    log:
        f"{R}/logs/count_documents/{{corpus}}/{{shard}}.log",
    benchmark:
        f"{R}/timings/count_documents/{{corpus}}/{{shard}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("count_documents")
    resources:
        mem_mb=mem_mb_of("count_documents"),
        runtime=runtime_of("count_documents"),
    params:
        spec=lambda wildcards: spec(
            prompts=prompt_columns(CONFIG, wildcards.corpus), counts=CONFIG["profile"]["counts"]
        ),
        version=version("profile.counts", "batching"),
    shell:
        """
        python -m winnow.profile.counts \
            --documents {input.documents:q} \
            --source {input.source:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.shard:q} \
            --out {output.counts:q} \
            --digests-out {output.digests:q} \
            &>{log:q}
        """


rule describe_corpus:
    """The tables of a profile, from the measures and counts of all shards."""
    input:
        documents=document_shards,
        measures=profile_measures,
        counts=profile_counts("parquet"),
        digests=profile_counts("npy"),
        source=f"{R}/{{corpus}}/source.json",
    output:
        expand(f"{PROFILE}/{{table}}.csv", table=TABLES, allow_missing=True),
        facts=f"{PROFILE}/facts.json",
    log:
        f"{R}/logs/describe_corpus/{{corpus}}.log",
    benchmark:
        f"{R}/timings/describe_corpus/{{corpus}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("describe_corpus")
    resources:
        mem_mb=mem_mb_of("describe_corpus"),
        runtime=runtime_of("describe_corpus"),
    params:
        spec=lambda wildcards: spec(
            families=CONFIG["profile"]["families"],
            prompts=prompt_columns(CONFIG, wildcards.corpus),
            objectives=CONFIG["profile"]["objectives"],
        ),
        folder=lambda wildcards: PROFILE.format(**wildcards),
        version=version("profile.describe", "profile.counts", "batching"),
    shell:
        """
        python -m winnow.profile.describe \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --measures @<(printf '%s\\n' {input.measures:q}) \
            --counts @<(printf '%s\\n' {input.counts:q}) \
            --digests @<(printf '%s\\n' {input.digests:q}) \
            --source {input.source:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule associate_measures:
    """What goes together in a corpus, what is flagged, and documents to read."""
    input:
        documents=document_shards,
        measures=profile_measures,
        features=f"{PROFILE}/features.csv",
    output:
        expand(f"{PROFILE}/{{table}}.csv", table=ASSOCIATIONS, allow_missing=True),
    log:
        f"{R}/logs/associate_measures/{{corpus}}.log",
    benchmark:
        f"{R}/timings/associate_measures/{{corpus}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("associate_measures")
    resources:
        mem_mb=mem_mb_of("associate_measures"),
        runtime=runtime_of("associate_measures"),
    params:
        spec=lambda wildcards: spec(
            families=CONFIG["profile"]["families"], prompts=prompt_columns(CONFIG, wildcards.corpus)
        ),
        folder=lambda wildcards: PROFILE.format(**wildcards),
        version=version("profile.associate", "profile.describe", "profile.counts", "batching"),
    shell:
        """
        python -m winnow.profile.associate \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --measures @<(printf '%s\\n' {input.measures:q}) \
            --features {input.features:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule measure_creativity:
    """How much the answers to the same or similar prompts vary, compared with documents drawn at random."""
    input:
        documents=document_shards,
        embeddings=profile_embeddings,
        assignments=creativity_assignments,
    output:
        expand(f"{PROFILE}/creativity-{{plot}}.svg", plot=CREATIVITY_PLOTS, allow_missing=True),
        table=f"{PROFILE}/creativity.csv",
        summary=f"{PROFILE}/creativity.json",
    log:
        f"{R}/logs/measure_creativity/{{corpus}}.log",
    benchmark:
        f"{R}/timings/measure_creativity/{{corpus}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("measure_creativity")
    resources:
        mem_mb=mem_mb_of("measure_creativity"),
        runtime=runtime_of("measure_creativity"),
    params:
        spec=creativity_spec,
        folder=lambda wildcards: PROFILE.format(**wildcards),
        version=version("profile.creativity", "profile.counts"),
    shell:
        """
        python -m winnow.profile.creativity \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --embeddings @<(printf '%s\\n' {input.embeddings:q}) \
            --assignments @<(printf '%s\\n' {input.assignments:q}) \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule write_profile:
    """The page, the plots and the card of a corpus, from the tables of its profile."""
    input:
        rules.describe_corpus.output,
        rules.associate_measures.output,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
        published=profile_published,
        creativity=profile_creativity,
    output:
        expand(f"{PROFILE}/{{plot}}.svg", plot=PLOTS, allow_missing=True),
        f"{PROFILE}/profile.md",
        f"{PROFILE}/card.md",
        page=report(
            f"{PROFILE}/profile.html",
            caption="../report/profile.rst",
            category="Profiles",
            labels={"corpus": "{corpus}"},
        ),
    log:
        f"{R}/logs/write_profile/{{corpus}}.log",
    benchmark:
        f"{R}/timings/write_profile/{{corpus}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: threads_of("write_profile")
    resources:
        mem_mb=mem_mb_of("write_profile"),
        runtime=runtime_of("write_profile"),
    params:
        spec=profile_page_spec,
        files=profile_published_state,
        folder=lambda wildcards: PROFILE.format(**wildcards),
        version=version("profile.page", "profile.sections", "profile.card", "profile.plots", "pages"),
    shell:
        """
        python -m winnow.profile.page \
            --tables {params.folder:q} \
            --heldout {input.heldout:q} \
            --published {input.published:q} \
            --creativity {input.creativity:q} \
            --spec {params.spec:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """


rule compare_draws:
    """What the samplers of an experiment favour or lose: measures of what they drew beside those of the corpus."""
    input:
        measures=profile_measures,
        documents=document_shards,
        vocabulary=f"{PROFILE}/vocabulary.csv",
        draws=shift_draws,
        heldout=f"{R}/{{corpus}}/heldout.parquet",
    output:
        f"{SHIFT}/shift.csv",
        f"{SHIFT}/shift-labels.csv",
        f"{SHIFT}/shift.svg",
        f"{SHIFT}/shift.md",
        page=report(
            f"{SHIFT}/shift.html",
            caption="../report/shift.rst",
            category="Profiles",
            labels={"corpus": "{corpus}", "experiment": "{experiment}"},
        ),
    log:
        f"{R}/logs/compare_draws/{{corpus}}/{{experiment}}.log",
    benchmark:
        f"{R}/timings/compare_draws/{{corpus}}/{{experiment}}.tsv"
    wildcard_constraints:
        experiment="|".join(re.escape(one["name"]) for one in CONFIG["experiments"]) or "$^",
    conda:
        "../../envs/data.yaml"
    threads: threads_of("compare_draws")
    resources:
        mem_mb=mem_mb_of("compare_draws"),
        runtime=runtime_of("compare_draws"),
    params:
        spec=shift_spec,
        folder=lambda wildcards: SHIFT.format(**wildcards),
        version=version("profile.shift", "profile.counts", "pages"),
    shell:
        """
        python -m winnow.profile.shift \
            --measures @<(printf '%s\\n' {input.measures:q}) \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --vocabulary {input.vocabulary:q} \
            --draws @<(printf '%s\\n' {input.draws:q}) \
            --heldout {input.heldout:q} \
            --spec {params.spec:q} \
            --name {wildcards.corpus:q}/{wildcards.experiment:q} \
            --out-dir {params.folder:q} \
            &>{log:q}
        """
