# Helpers for the rules: the checked configuration, specs, paths and resources. No rules here.
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from winnow import config as winnow_config
from winnow.stage import InputError, canonical

try:
    CONFIG = winnow_config.resolve(config, workflow.configfiles)
except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)

R = CONFIG["results"]
CLUSTERS = f"{R}/{{corpus}}/clusterings/{{clustering}}"
SUBSET = f"{R}/{{corpus}}/subsets/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}"
MODEL = f"{R}/{{corpus}}/models/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}"
EVALUATION = MODEL + "/evaluation/{suite}"

# A stage runs with the interpreter that runs Snakemake unless a deployment method brings its own;
# descriptor 3 is the terminal, for the stages' progress lines.
PYTHON_PATH = (
    f'export PATH="{Path(sys.executable).parent}:$PATH"; '
    if not workflow.deployment_settings.deployment_method
    else ""
)
shell.prefix(
    "set -euo pipefail; exec 3>&2; "
    + PYTHON_PATH
    + f'export PYTHONPATH="{Path(workflow.basedir) / "workflow"}" WINNOW_TERMINAL_FD=3 '
    "HF_HUB_OFFLINE=${{WINNOW_ONLINE:-1}} HF_DATASETS_OFFLINE=${{WINNOW_ONLINE:-1}} TOKENIZERS_PARALLELISM=false; "
)


def names(section):
    return "|".join(map(re.escape, sorted(CONFIG[section]))) or "$^"


wildcard_constraints:
    corpus=names("corpora"),
    encoder=names("encoders"),
    clustering=names("clusterings") + f"|{winnow_config.NO_CLUSTERS}",
    sampler=names("samplers"),
    budget=names("budgets"),
    model=names("models"),
    tokenizer=names("tokenizers"),
    benchmark=names("benchmarks"),
    suite=names("suites"),
    table=names("tables"),
    shard=r"\d{4}",
    data_seed=r"\d+",
    training_seed=r"\d+",


def spec(**settings):
    """Settings of a job as canonical JSON: the only way in which config reaches a rule."""
    return canonical(settings)


def version(stage):
    return winnow_config.stage_version(stage)


def shards(corpus):
    return [f"{i:04d}" for i in range(CONFIG["corpora"][corpus]["shards"])]


def document_shards(wildcards):
    return expand(f"{R}/{wildcards.corpus}/documents/{{shard}}.parquet", shard=shards(wildcards.corpus))


def encoder_of(wildcards):
    return CONFIG["clusterings"][wildcards.clustering]["encoder"]


def embedding_shards(wildcards):
    return expand(
        f"{R}/{wildcards.corpus}/embeddings/{encoder_of(wildcards)}/{{shard}}.npy",
        shard=shards(wildcards.corpus),
    )


def clustered(wildcards):
    return wildcards.clustering != winnow_config.NO_CLUSTERS


def experiment_arms():
    """Ids of every model the run asks for: the ids of an arm with its seeds and suites."""
    for experiment in CONFIG["experiments"]:
        for ids in winnow_config.arms(CONFIG, experiment).values():
            for data_seed in experiment["data_seeds"]:
                for training_seed in experiment["training_seeds"]:
                    yield dict(ids, data_seed=data_seed, training_seed=training_seed), experiment["suites"]


def subset_manifests():
    return sorted({SUBSET.format(**ids) + "/manifest.json" for ids, _ in experiment_arms()})


def model_manifests():
    return sorted({MODEL.format(**ids) + "/manifest.json" for ids, _ in experiment_arms()})


def growing(mb):
    """Memory that doubles with each attempt."""
    return lambda wildcards, attempt: mb * 2 ** (attempt - 1)


def heavy(corpus):
    """Whether a corpus is of a size that wants a GPU: more than a million documents in shards."""
    return CONFIG["corpora"][corpus]["shards"] >= 16
