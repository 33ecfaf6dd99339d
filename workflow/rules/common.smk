# What the rules of several chapters use: paths, wildcards, specs, versions and resources. No rules here.
import functools
import shlex

from winnow.commands.corpus_sizes import sizes
from winnow.config.local_files import expand_files
from winnow.experiments import NO_CLUSTERS
from winnow.paths import folder_state, state
from winnow.selection import gpus
from winnow.stage import canonical
from winnow.versions import stage_version
from winnow.work.machine import device, read_machine
from winnow.work.requests import request
from winnow.work.stages import work_of

R = CONFIG["results"]
CLUSTERS = f"{R}/{{corpus}}/clusterings/{{clustering}}"
REDUCED = f"{R}/{{corpus}}/reduced/{{encoder}}/{{reduction}}.npy"
SUBSET = f"{R}/{{corpus}}/subsets/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}"
MODEL = f"{R}/{{corpus}}/models/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}"

# A stage runs with the interpreter that runs Snakemake unless a deployment method brings its own; descriptor 3 is the
# terminal, for the stages' progress lines; the shell waits for a stage that SLURM told to end, and is saving.
PYTHON_PATH = (
    f'export PATH={shlex.quote(os.path.dirname(sys.executable))}:"$PATH"; '
    if not workflow.deployment_settings.deployment_method
    else ""
)


class StageShell(shell):
    """Runs the commands of this workflow's rules. A prefix of `shell` itself would hold for every rule of a workflow that has
    this one as a module."""


StageShell.prefix(
    "set -euo pipefail; exec 3>&2; trap : TERM; "
    + PYTHON_PATH
    + f"export PYTHONPATH={shlex.quote(str(HOME / 'workflow'))} WINNOW_TERMINAL_FD=3 "
    "HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TOKENIZERS_PARALLELISM=true WINNOW_GPUS=0; "
)
shell = StageShell


# ---------------------------------------------------------------- wildcards


def names_of(section, fits=lambda definition: True):
    """A pattern of the names of a section's definitions that fit."""
    return "|".join(re.escape(name) for name, one in CONFIG[section].items() if fits(one)) or "$^"


wildcard_constraints:
    corpus=names_of("corpora"),
    encoder=names_of("encoders"),
    reduction=names_of("reductions"),
    clustering=names_of("clusterings") + f"|{NO_CLUSTERS}",
    scorer=names_of("scorers"),
    sampler=names_of("samplers"),
    budget=names_of("budgets"),
    model=names_of("models"),
    tokenizer=names_of("tokenizers"),
    benchmark=names_of("benchmarks"),
    suite=names_of("suites"),
    table=names_of("tables"),
    pretrained=names_of("models", lambda model: model["kind"] == "pretrained"),
    shard=r"\d{4}",
    data_seed=r"\d+",
    training_seed=r"\d+",


def shards(corpus):
    return [f"{i:04d}" for i in range(CONFIG["corpora"][corpus]["shards"])]


def subset_ids(wildcards):
    """Ids of a subset; of an arm of probes, whose job draws those of all seeds, without one."""
    ids = {key: wildcards[key] for key in ("corpus", "clustering", "sampler", "budget")}
    return {**ids, "data_seed": int(wildcards.data_seed)} if "data_seed" in wildcards.keys() else ids


# ---------------------------------------------------------------- params


def spec(**settings):
    """Settings of a job as canonical JSON: the only way in which config reaches a rule."""
    return canonical(settings)


def version(*stages):
    """STAGE_VERSION of the modules whose behaviour decides a rule's outputs."""
    return "+".join(str(stage_version(stage)) for stage in stages)


def or_stop(function):
    """The same function; an InputError ends the command with its one line."""

    @functools.wraps(function)
    def checked(*arguments, **settings):
        try:
            return function(*arguments, **settings)
        except InputError as error:
            stop(error)

    return checked


@functools.cache
@or_stop
def files_state(key, *patterns):
    """State of files, which changes when one is replaced, added or missing: a param of the rules that read the files of
    `patterns`, which the config has at `key`. Such files are no inputs: of inputs Snakemake notices newer times only, and
    45,000 of them take it minutes."""
    return state(expand_files(patterns, key))


@functools.cache
@or_stop
def weights_state(**source):
    """The same of a local model folder, whose model.safetensors the config pins by its digest."""
    return folder_state(source["folder"], pinned="model.safetensors") if "folder" in source else "pinned"


def language_model(name):
    return CONFIG["models"][name]["kind"] == "language-model"


def reading(corpus):
    """The part of a corpus's settings that decides what its documents are."""
    return {k: CONFIG["corpora"][corpus][k] for k in ("source", "text", "clean", "label", "meta", "types")}


# ---------------------------------------------------------------- inputs


def document_shards(wildcards):
    return expand(f"{R}/{wildcards.corpus}/documents/{{shard}}.parquet", shard=shards(wildcards.corpus))


def encoder_of(wildcards):
    return CONFIG["clusterings"][wildcards.clustering]["encoder"]


def embedding_shards(wildcards):
    """The vectors of a clustering's encoder, reduced or not."""
    folder = f"{R}/{wildcards.corpus}/embeddings/{encoder_of(wildcards)}"
    return expand(f"{folder}/{{shard}}.npy", shard=shards(wildcards.corpus))


def clustered_vectors(wildcards):
    """The vectors that a clustering goes by: the shards of its encoder, or the one file of its reduction."""
    reduction = CONFIG["clusterings"][wildcards.clustering]["reduce"]
    if reduction is None:
        return embedding_shards(wildcards)
    return [REDUCED.format(corpus=wildcards.corpus, encoder=encoder_of(wildcards), reduction=reduction)]


def clustered_vectors_of_shard(wildcards):
    """The same of one shard; the file of a reduction has all shards."""
    vectors = clustered_vectors(wildcards)
    return vectors[int(wildcards.shard) if len(vectors) > 1 else 0]


def assignment_shards(wildcards):
    """Clusters of the documents; none where what is drawn or scored depends on no clustering."""
    if wildcards.clustering == NO_CLUSTERS:
        return []
    folder = CLUSTERS.format(corpus=wildcards.corpus, clustering=wildcards.clustering)
    return expand(f"{folder}/assignments/{{shard}}.parquet", shard=shards(wildcards.corpus))


def cluster_table(wildcards):
    """The clusters with those that are excluded; none where what is drawn or scored depends on no clustering."""
    if wildcards.clustering == NO_CLUSTERS:
        return []
    return [f"{CLUSTERS}/clusters.parquet".format(corpus=wildcards.corpus, clustering=wildcards.clustering)]


def model_downloads(source):
    """The record of a Hub model's download, for a rule that loads it; none for a package."""
    if "hub" not in source:
        return []
    check_pinned(source["hub"], source["revision"], "model")
    return [f"{R}/downloads/{source['hub']}/{source['revision']}.json"]


def each(pattern, many):
    """Paths of a pattern for many ids, each once, sorted."""
    return sorted({pattern.format(**ids) for ids in many})


# ---------------------------------------------------------------- resources


def growing(amount):
    """Memory or time that doubles with each attempt."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)


SIZES = sizes(CONFIG, R, LOCK, look=workflow.is_main_process)
MACHINE = or_stop(read_machine)(R)
GPU = device(None, MACHINE)


@functools.cache
def request_of(name, ids):
    """What a job asks for at its first attempt, by the name of its rule and its wildcards, (key, value) each."""
    return request(work_of(CONFIG, name, dict(ids), SIZES), MACHINE, GPU)


def requested(name, wildcards):
    """The same by Snakemake's wildcards; seeds decide nothing of it."""
    ids = tuple((key, wildcards[key]) for key in wildcards.keys() if not key.endswith("_seed"))
    return request_of(name, ids)


def threads_of(name):
    """Threads that the jobs of a rule ask for, by their work."""

    return lambda wildcards: requested(name, wildcards).threads


def mem_mb_of(name):
    """Memory that they ask for, growing with each attempt."""

    return lambda wildcards, attempt: growing(requested(name, wildcards).mem_mb)(wildcards, attempt)


def runtime_of(name):
    """Minutes that they ask for, growing with each attempt."""

    return lambda wildcards, attempt: growing(requested(name, wildcards).runtime)(wildcards, attempt)


def gpus_of(rule):
    """GPUs that the jobs of a rule ask for."""
    return lambda wildcards: gpus(CONFIG, rule, wildcards)
