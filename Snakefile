# Winnow: which few documents of a corpus are worth training on, and how sure can we be?
# One file per chapter: documents -> vectors -> clusters -> scores -> subsets -> models -> evaluations -> tables.
# Settings: config/README.md (config.smk reads the files of config/ and the run's own over them). Results:
# results/README.md.
from snakemake.utils import min_version

min_version("9.20")


report: "workflow/report/workflow.rst"


include: "workflow/rules/repository.smk"
include: "workflow/rules/config.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/pins.smk"
include: "workflow/rules/documents.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/profile.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/published.smk"
include: "workflow/rules/rounds.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/slurm.smk"


rule all:
    """Every table that the run names, and how different its samplers are."""
    input:
        tables(CONFIG["targets"]),
        learning_curves(CONFIG["targets"]),
        sampler_comparisons(experiments_of(CONFIG, CONFIG["targets"])),
        f"{R}/report/index.html",


rule clusters:
    """Review pages of the clusters of the run, proposed exclusions, and a template for a reviewed file of them."""
    input:
        review_pages(),


rule sweep:
    """How many clusters? A page for each k-means clustering of the run, with a suggested k and its reason."""
    input:
        sweeps,


rule profile:
    """What is in the corpora of the run: a page for each, its tables and plots, and a card."""
    input:
        profile_pages(),


rule shifts:
    """What each sampler of the run favours or loses, by the measures of the profile, without training the models."""
    input:
        shift_pages(),


rule subsets:
    """Every subset of the run's experiments, without training."""
    input:
        subset_manifests(),


rule samplers:
    """How different the samplers of the run are, without training, but for probes, whose job also draws."""
    input:
        sampler_comparisons(CONFIG["experiments"]),


rule models:
    """Every model of the run's experiments, without evaluation."""
    input:
        model_manifests(),


rule paper_tables:
    """What the target all makes, with published figures beside measured ones, and one ledger of all claims."""
    input:
        rules.all.input,
        f"{R}/tables/paper.claims.json",


rule partial_tables:
    """The tables of the arms evaluated so far, each headed by what is missing; for a run with failed jobs."""
    input:
        partial_outputs,


rule published_tables:
    """The published figures alone, recomputed and audited: seconds, nothing is trained."""
    input:
        published_tables(["md", "csv", "tex", "html"]),
        guide(),
        f"{R}/tables/published/paper.claims.json",
        f"{R}/tables/published/audit.csv",


rule preflight:
    """Before a long run: all downloads are here, and a job of seconds runs in the partition of each kind of job."""
    input:
        downloads,
        nodes_checked,


include: "workflow/rules/start.smk"


onerror:
    if workflow.is_main_process:
        print(last_line(), file=sys.stderr)
