# Tables, ledgers and plots -> one page that begins with the answer.
include: "helpers/report.smk"


rule write_report:
    """The report of the run: the answer, every table with its verdicts, plots, and links to all other pages."""
    input:
        tables=reported("csv"),
        claims=reported("claims.json"),
        plots=reported("svg"),
        evaluation_items=reported_items,
        fronts=reported("pareto.svg", with_costs),
        costs=reported("costs.csv", with_costs),
        curves=reported("curves.csv", with_rounds),
        curve_plots=reported("curves.svg", with_rounds),
        areas=reported("curves.areas.csv", with_rounds),
        pages=lambda wildcards: [path for _, _, path in reported_pages()],
    output:
        report(
            f"{R}/report/index.html",
            caption="../report/answer.rst",
            category="Answer",
        ),
    log:
        f"{R}/logs/write_report/report.log",
    benchmark:
        f"{R}/timings/write_report/report.tsv"
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
            --curves {input.curves:q} \
            --curve-plots {input.curve_plots:q} \
            --areas {input.areas:q} \
            --pages {input.pages:q} \
            --spec {params.spec:q} \
            --out {output:q} \
            &>{log:q}
        """
