# Winnow: which few documents of a corpus are worth training on, and how sure can we be?
# The way of the data, a chapter a file: documents -> vectors -> clusters -> subsets -> models ->
# evaluations -> tables. Settings: config/README.md. Results: results/README.md.
from snakemake.utils import min_version

min_version("9.20")


configfile: "config/corpora.yaml"
configfile: "config/encoders.yaml"
configfile: "config/clusterings.yaml"
configfile: "config/scorers.yaml"
configfile: "config/samplers.yaml"
configfile: "config/budgets.yaml"
configfile: "config/models.yaml"
configfile: "config/benchmarks.yaml"
configfile: "config/tables.yaml"
configfile: "config/minipile.yaml"
configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/documents.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/compare.smk"


localrules:
    all,
    clusters,
    subsets,
    samplers,
    models,
    paper_tables,
    published_tables,


rule all:
    """Every table that the run names, and how different its samplers are."""
    input:
        tables(CONFIG["targets"]),
        sampler_gates(experiments_of(CONFIG["targets"])),


rule clusters:
    """Pages that show the clusters of the run, with proposals of exclusions and a template for a person's."""
    input:
        inspections(),


rule subsets:
    """Every subset of the run's experiments, without training."""
    input:
        subset_manifests(),


rule samplers:
    """How different the samplers of the run are, without training."""
    input:
        sampler_gates(CONFIG["experiments"]),


rule models:
    """Every model of the run's experiments, without evaluation."""
    input:
        model_manifests(),


rule paper_tables:
    """Every table of the paper, published figures beside measured ones, and one ledger of all its claims."""
    input:
        paper_outputs,


rule published_tables:
    """The published figures alone, computed anew and audited: seconds, nothing is trained."""
    input:
        published_tables(CONFIG["paper"]["tables"], ["md", "csv", "tex", "html"]),
        f"{R}/tables/published/paper.claims.json",
        f"{R}/tables/published/audit.csv",
