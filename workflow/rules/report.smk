# Tables, ledgers, plots, corpora, models and profiles -> one page that begins with the answer.
include: "helpers/report.smk"


rule write_report:
    """The report of the run: the answer, every table with its verdicts, and a chapter for each corpus, its samplers and trainings."""
    input:
        tables=reported("csv"),
        claims=reported("claims.json"),
        plots=reported("svg"),
        evaluation_items=reported_items,
        fronts=reported("pareto.svg", with_costs),
        costs=reported("costs.csv", with_costs),
        losses=reported("losses.svg", with_costs),
        curves=reported("curves.csv", with_rounds),
        curve_plots=reported("curves.svg", with_rounds),
        areas=reported("curves.areas.csv", with_rounds),
        models=reported_models(f"{MODEL}/manifest.json"),
        metrics=reported_models(f"{MODEL}/metrics.json"),
        timings=reported_models(f"{MODEL}/timings.json"),
        sources=reported_of_corpora("source.json"),
        documents=reported_documents,
        heldout=reported_of_corpora("heldout.parquet"),
        clusters=reported_clusters("clusters.parquet"),
        reviews=reported_clusters("review.html", has_review),
        sweeps=reported_clusters("sweep.html", has_sweep),
        samplers=reported_samplers("csv"),
        sampler_pages=reported_samplers("html"),
        subsets=reported_subsets,
        profile_facts=reported_profiles("facts.json"),
        profile_measures=reported_profiles("describe.csv"),
        profile_plots=reported_profiles(*(f"{plot}.svg" for plot in PROFILE_PLOTS)),
        profile_pages=reported_profiles("profile.html"),
        profile_cards=reported_profiles("card.md"),
        shifts=reported_shifts("shift.csv"),
        shift_plots=reported_shifts("shift.svg"),
        shift_pages=reported_shifts("shift.html"),
        pages=lambda wildcards: [path for _, _, path in reported_pages()],
    output:
        page=report(
            f"{R}/report/index.html",
            caption="../report/answer.rst",
            category="Answer",
        ),
        answer=f"{R}/report/answer.rst",
    log:
        f"{R}/logs/write_report/report.log",
    benchmark:
        f"{R}/timings/write_report/report.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: threads_of("write_report")
    resources:
        mem_mb=mem_mb_of("write_report"),
        runtime=runtime_of("write_report"),
    params:
        spec=report_spec,
        version=version("report.site", "pages"),
    shell:
        """
        python -m winnow.report.site \
            --tables {input.tables:q} \
            --claims {input.claims:q} \
            --plots {input.plots:q} \
            --items @<(printf '%s\\n' {input.evaluation_items:q}) \
            --fronts {input.fronts:q} \
            --costs {input.costs:q} \
            --losses {input.losses:q} \
            --curves {input.curves:q} \
            --curve-plots {input.curve_plots:q} \
            --areas {input.areas:q} \
            --models @<(printf '%s\\n' {input.models:q}) \
            --metrics @<(printf '%s\\n' {input.metrics:q}) \
            --timings @<(printf '%s\\n' {input.timings:q}) \
            --sources {input.sources:q} \
            --documents @<(printf '%s\\n' {input.documents:q}) \
            --heldout {input.heldout:q} \
            --clusters {input.clusters:q} \
            --reviews {input.reviews:q} \
            --sweeps {input.sweeps:q} \
            --samplers {input.samplers:q} \
            --sampler-pages {input.sampler_pages:q} \
            --subsets @<(printf '%s\\n' {input.subsets:q}) \
            --profile-facts {input.profile_facts:q} \
            --profile-measures {input.profile_measures:q} \
            --profile-plots {input.profile_plots:q} \
            --profile-pages {input.profile_pages:q} \
            --profile-cards {input.profile_cards:q} \
            --shifts {input.shifts:q} \
            --shift-plots {input.shift_plots:q} \
            --shift-pages {input.shift_pages:q} \
            --pages {input.pages:q} \
            --spec {params.spec:q} \
            --out {output.page:q} \
            --answer-out {output.answer:q} \
            &>{log:q}
        """
