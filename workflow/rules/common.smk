# Helpers for the rules: the checked configuration, specs, paths and resources. No rules here.
import contextlib
import functools
import io
import os
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from snakemake.cli import get_argument_parser
from snakemake.exceptions import WorkflowError
from winnow import experiments as winnow_experiments
from winnow.commands.preflight import look_at_sources
from winnow.config import checks
from winnow.config import files as config_files
from winnow.config import pins
from winnow.paths import folder_state, state
from winnow.stage import InputError, canonical
from winnow.versions import stage_version


def command_line():
    """What Snakemake's command line asks for; None in the processes of jobs and where a program started Snakemake."""
    if not workflow.is_main_process:
        return None
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        return get_argument_parser().parse_args(sys.argv[1:])


def asks_for_tables():
    """Whether the run's tables are among the targets: they are by default, and not in the process of a job."""
    if not workflow.is_main_process:
        return False
    targets = COMMAND.targets if COMMAND else []
    return not targets or any(
        target in ("all", "partial_tables") or re.search(r"(^|/)tables/(?!published/)", target)
        for target in targets
    )


def runs_jobs():
    """Whether Snakemake plans or runs jobs, rather than reporting on or tidying up after those of another time."""
    other = ("lint", "list_rules", "list_target_rules", "report", "summary", "unlock", "cleanup_metadata")
    return workflow.is_main_process and not (COMMAND and any(getattr(COMMAND, name, None) for name in other))


# The files of config/, and over them what was given on the command line. Not the directive `configfile`: that wants
# them in the working directory, and announces each.
COMMAND = command_line()
given = list(workflow.overwrite_configfiles)
shipped = config_files.definition_files(workflow.basedir)
LOCK = pins.lock_file(workflow.basedir)
if workflow.modifier.skip_configfile or workflow.config_settings.replace_workflow_config:
    shipped = []


def stop(error):
    """Ends the command with the one line of an error."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


try:
    for folder in (workflow.basedir, os.path.dirname(sys.executable)):
        # Snakemake reads braces as wildcards, PATH and PYTHONPATH a colon as an end.
        if found := re.findall(r"[{}:\n]", folder):
            raise InputError(
                f"{folder}: Winnow cannot run from a folder with {found[0]!r} in its path; move it"
            )
    merged = config_files.read_files(shipped)
    config_files.merge(merged, config)
    config.update(merged)
    workflow.configfiles.extend(shipped)
    CONFIG = checks.resolve(
        config,
        [*shipped, *given],
        tables=asks_for_tables(),
        look=look_at_sources if runs_jobs() else None,
        lock=LOCK,
    )
except InputError as error:
    stop(error)

R = CONFIG["results"]
CLUSTERS = f"{R}/{{corpus}}/clusterings/{{clustering}}"
SUBSET = f"{R}/{{corpus}}/subsets/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}"
MODEL = f"{R}/{{corpus}}/models/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}"
EVALUATION = f"{MODEL}/evaluation/{{suite}}"
PRETRAINED = f"{R}/{{corpus}}/pretrained/{{pretrained}}/evaluation/{{suite}}"

# A stage runs with the interpreter that runs Snakemake unless a deployment method brings its own;
# descriptor 3 is the terminal, for the stages' progress lines.
PYTHON_PATH = (
    f'export PATH={shlex.quote(os.path.dirname(sys.executable))}:"$PATH"; '
    if not workflow.deployment_settings.deployment_method
    else ""
)
shell.prefix(
    "set -euo pipefail; exec 3>&2; "
    + PYTHON_PATH
    + f"export PYTHONPATH={shlex.quote(os.path.join(workflow.basedir, 'workflow'))} WINNOW_TERMINAL_FD=3 "
    "HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TOKENIZERS_PARALLELISM=false; "
)


def names(section):
    return "|".join(map(re.escape, sorted(CONFIG[section]))) or "$^"


def models_of(kind):
    return "|".join(re.escape(n) for n, m in CONFIG["models"].items() if m["kind"] == kind) or "$^"


wildcard_constraints:
    corpus=names("corpora"),
    encoder=names("encoders"),
    clustering=names("clusterings") + f"|{winnow_experiments.NO_CLUSTERS}",
    scorer=names("scorers"),
    sampler=names("samplers"),
    budget=names("budgets"),
    model=names("models"),
    tokenizer=names("tokenizers"),
    benchmark=names("benchmarks"),
    suite=names("suites"),
    table=names("tables"),
    pretrained=models_of("pretrained"),
    shard=r"\d{4}",
    data_seed=r"\d+",
    training_seed=r"\d+",


def spec(**settings):
    """Settings of a job as canonical JSON: the only way in which config reaches a rule."""
    return canonical(settings)


def version(*stages):
    """STAGE_VERSION of the modules whose behaviour decides a rule's outputs."""
    return "+".join(str(stage_version(stage)) for stage in stages)


def shards(corpus):
    return [f"{i:04d}" for i in range(CONFIG["corpora"][corpus]["shards"])]


def document_shards(wildcards):
    return expand(f"{R}/{wildcards.corpus}/documents/{{shard}}.parquet", shard=shards(wildcards.corpus))


def clustering_method(method):
    return "|".join(re.escape(n) for n, c in CONFIG["clusterings"].items() if c["method"] == method) or "$^"


def encoder_of(wildcards):
    return CONFIG["clusterings"][wildcards.clustering]["encoder"]


def embedding_shards(wildcards):
    return expand(
        f"{R}/{wildcards.corpus}/embeddings/{encoder_of(wildcards)}/{{shard}}.npy",
        shard=shards(wildcards.corpus),
    )


def clustered(wildcards):
    return wildcards.clustering != winnow_experiments.NO_CLUSTERS


def experiment_arms():
    """Ids of every model the run asks for: the ids of an arm with its seeds and suites."""
    for experiment in CONFIG["experiments"]:
        for ids in winnow_experiments.arms(CONFIG, experiment).values():
            for data_seed, training_seed in winnow_experiments.runs_of(experiment):
                yield dict(ids, data_seed=data_seed, training_seed=training_seed), experiment["suites"]


def subset_manifests():
    return sorted({f"{SUBSET}/manifest.json".format(**ids) for ids, _ in experiment_arms()})


def model_manifests():
    return sorted({f"{MODEL}/manifest.json".format(**ids) for ids, _ in experiment_arms()})


def growing(amount):
    """Memory or time that doubles with each attempt."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)


def heavy(corpus):
    """Whether a corpus is of a size that wants a GPU: more than a million documents in shards."""
    return CONFIG["corpora"][corpus]["shards"] >= 16


def source_kind(kind):
    return "|".join(re.escape(n) for n, c in CONFIG["corpora"].items() if kind in c["source"]) or "$^"


def generated_source(wildcards):
    """The generated file that a corpus is read from."""
    generated = "generator" in CONFIG["corpora"][wildcards.corpus]["source"]
    return [f"{R}/{wildcards.corpus}/source.parquet"] if generated else []


def in_one_line(function):
    """The same function; an InputError ends the command."""

    @functools.wraps(function)
    def told(*arguments, **settings):
        try:
            return function(*arguments, **settings)
        except InputError as error:
            stop(error)

    return told


@functools.cache
@in_one_line
def files_state(where, *patterns):
    """What a replaced, added or missing file changes: a param of the rules that read the files of `patterns`.
    Such files are no inputs: there, Snakemake sees newer times only, and 45,000 of them take it minutes."""
    return state(checks.expand_files(patterns, where))


@functools.cache
@in_one_line
def weights_state(**source):
    """The same of a local model folder, whose model.safetensors the config pins by its digest."""
    return folder_state(source["folder"], pinned="model.safetensors") if "folder" in source else "pinned"


def source_state(wildcards):
    source = CONFIG["corpora"][wildcards.corpus]["source"]
    if "generator" in source or "hub" in source:
        return "pinned"
    return files_state(f"corpora.{wildcards.corpus}.source.files", *source["files"])


def source_download(wildcards):
    source = CONFIG["corpora"][wildcards.corpus]["source"]
    if "hub" not in source:
        return []
    check_pinned(source["hub"], source["revision"], "dataset")
    return [f"{R}/{wildcards.corpus}/download.json"]


def reading(corpus):
    """The part of a corpus's settings that decides what its documents are."""
    return {k: CONFIG["corpora"][corpus][k] for k in ("source", "text", "label", "meta", "types")}


def model_downloads(source):
    """The record of a Hub model's download, for a rule that loads it; none for a package."""
    if "hub" not in source:
        return []
    check_pinned(source["hub"], source["revision"], "model")
    return [f"{R}/downloads/{source['hub']}/{source['revision']}.json"]


def exclusions_file(wildcards):
    """The exclusions a person wrote for this clustering; else those of its noise, if it can have any."""
    path = winnow_experiments.exclusions_path(wildcards.corpus, wildcards.clustering)
    if path.exists():
        return [str(path)]
    if CONFIG["corpora"][wildcards.corpus]["apply_proposals"]:
        return [f"{CLUSTERS}/proposals.tsv".format(**wildcards)]
    return noise_exclusions(wildcards)


@in_one_line
def exclusions_state(wildcards):
    """What a replaced file of a person's exclusions changes; others are made by rules."""
    return state([path for path in exclusions_file(wildcards) if path.startswith("config/exclusions/")])


def noise_exclusions(wildcards):
    """The noise of a clustering that can have any."""
    noise = CONFIG["clusterings"][wildcards.clustering]["method"] == "hdbscan"
    return [f"{CLUSTERS}/hdbscan-exclusions.tsv".format(**wildcards)] if noise else []


def inspection_spec(wildcards):
    corpus = CONFIG["corpora"][wildcards.corpus]
    return spec(
        name=f"{wildcards.corpus}/{wildcards.clustering}",
        proposals=CONFIG["proposals"],
        group=corpus["group"] or ("label" if corpus["label"] else None),
    )


def inspections():
    """Pages that show the clusters of the run, and the files in which a person excludes some."""
    used = {(e["corpus"], e["clustering"]) for e in CONFIG["experiments"] if e["clustering"]}
    return [
        f"{CLUSTERS}/{name}".format(corpus=corpus, clustering=clustering)
        for corpus, clustering in sorted(used)
        for name in ("inspection.html", "exclusions-template.tsv")
    ]


def subset_ids(wildcards):
    return dict(
        corpus=wildcards.corpus,
        clustering=wildcards.clustering,
        sampler=wildcards.sampler,
        budget=wildcards.budget,
        data_seed=int(wildcards.data_seed),
    )


def draw_assignments(wildcards):
    """Clusters of the documents, for samplers that go by them and for a pool without the excluded ones."""
    if not clustered(wildcards):
        return []
    return expand(
        f"{CLUSTERS}/assignments/{{shard}}.parquet",
        corpus=wildcards.corpus,
        clustering=wildcards.clustering,
        shard=shards(wildcards.corpus),
    )


def draw_clusters(wildcards):
    return [f"{CLUSTERS}/clusters.parquet".format(**wildcards)] if clustered(wildcards) else []


def language_model(name):
    return CONFIG["models"][name]["kind"] == "language-model"


def train_inputs(wildcards):
    """What a model trains on: a packed stream for a language model, labelled documents for a classifier."""
    subset = SUBSET.format(**wildcards)
    inputs = {
        "subset": f"{subset}/manifest.json",
        "tokens": [],
        "tokens_meta": [],
        "tokenizer": [],
        "start": [],
    }
    model = CONFIG["models"][wildcards.model]
    if language_model(wildcards.model):
        inputs["tokens"] = f"{subset}/tokens/{model['tokenizer']}.npy"
        inputs["tokens_meta"] = f"{subset}/tokens/{model['tokenizer']}.json"
        inputs["tokenizer"] = f"{R}/{wildcards.corpus}/tokenizers/{model['tokenizer']}/tokenizer.json"
        inputs["start"] = model_downloads(model.get("start", {}))
    else:
        inputs["split"] = f"{subset}/train.parquet"
        inputs["encoder"] = model_downloads(CONFIG["encoders"][model["encoder"]]["source"])
    return inputs


def train_spec(wildcards):
    model = CONFIG["models"][wildcards.model]
    return spec(
        names={"model": wildcards.model},
        model=model,
        recipe=CONFIG["recipes"][model["recipe"]],
        training_seed=int(wildcards.training_seed),
        base=None if language_model(wildcards.model) else CONFIG["encoders"][model["encoder"]],
    )


def train_state(wildcards):
    """What a replaced file of the local folder that a model starts from changes."""
    model = CONFIG["models"][wildcards.model]
    start = (
        model.get("start", {})
        if language_model(wildcards.model)
        else CONFIG["encoders"][model["encoder"]]["source"]
    )
    return weights_state(**start)


def big(name):
    """Whether a model wants a GPU and many cores."""
    model = CONFIG["models"][name]
    return language_model(name) and (model["width"] >= 256 or model["sequence"] >= 1024)


def benchmark_kind(kind):
    return "|".join(re.escape(n) for n, b in CONFIG["benchmarks"].items() if kind in b) or "$^"


def benchmark_folder(corpus, benchmark):
    """Benchmarks of held-out documents or of a corpus's classes belong to it, the others to all corpora."""
    definition = CONFIG["benchmarks"][benchmark]
    owner = f"{R}/{corpus}" if "heldout" in definition or "labelled" in definition else R
    return f"{owner}/benchmarks/{benchmark}"


def evaluated(benchmark):
    """What an evaluation depends on: not the metrics that tables show of it."""
    return {k: v for k, v in CONFIG["benchmarks"][benchmark].items() if k != "metrics"}


def benchmarks_spec(suite):
    return {b: evaluated(b) for b in CONFIG["suites"][suite]}


def suite_folders(wildcards):
    return [benchmark_folder(wildcards.corpus, b) for b in CONFIG["suites"][wildcards.suite]]


def suite_manifests(wildcards):
    suite = CONFIG["suites"][wildcards.suite]
    return [f"{benchmark_folder(wildcards.corpus, b)}/manifest.json" for b in suite]


def benchmark_state(wildcards):
    """What a replaced file of a benchmark that is read from local files changes."""
    benchmark = CONFIG["benchmarks"][wildcards.benchmark]
    key = "labelled" if "labelled" in benchmark else "data"
    if "hub" in benchmark[key]:
        return "pinned"
    files = benchmark[key]["files"]
    names = files.values() if isinstance(files, dict) else files
    return files_state(f"benchmarks.{wildcards.benchmark}.{key}.files", *names)


def benchmark_download(wildcards):
    data = CONFIG["benchmarks"][wildcards.benchmark]["data"]
    if "hub" not in data:
        return []
    check_pinned(data["hub"], data["revision"], "dataset")
    return [f"{R}/benchmarks/{wildcards.benchmark}/download.json"]


# The working directory's own where it has them, as the files of config/.
PUBLISHED = [
    path if os.path.exists(path) else f"{workflow.basedir}/{path}"
    for path in ("config/published/results.csv", "config/published/comparisons.csv")
]
FORMATS = ["csv", "md", "tex", "html", "svg", "png", "claims.csv", "claims.json"]
COSTS = ["costs.csv", "costs.md", "costs.html", "power.csv", "losses.svg", "front.svg"]


GUIDE = Path(workflow.basedir) / "docs" / "reading-tables.md"


def guide():
    """The page on how to read a table, beside the tables."""
    return [f"{R}/tables/reading-tables.md"] if GUIDE.exists() else []


def tables(names):
    return expand(f"{R}/tables/{{table}}.{{format}}", table=names, format=FORMATS + COSTS) + guide()


def table_arms(name):
    """Ids of each arm of a table, by experiment/sampler, with its data seeds and tokenizer; pretrained models behind."""
    table = CONFIG["tables"][name]
    arms = {}
    for arm, ids, experiment in winnow_experiments.table_arms(CONFIG, table):
        tokenizer = CONFIG["models"][ids["model"]].get("tokenizer")
        arms[arm] = dict(ids, data_seeds=experiment["data_seeds"], tokenizer=tokenizer)
    for model in table["pretrained"]:
        arms[model] = dict(pretrained=model, corpus=pretrained_suites(name)[0])
    return arms


def pretrained_suites(name):
    """The corpus of a table's pretrained models, which is that of its baseline or first arm, and the suites that its
    experiments on it have, without those that are part of another."""
    table = CONFIG["tables"][name]
    if "corpus" in table:
        return table["corpus"], table["suites"]
    arms = winnow_experiments.table_arms(CONFIG, table)
    first = [ids for arm, ids, _ in arms if table["baseline"] in (arm, arm.split("/")[1])]
    corpus = (first or [arms[0][1]])[0]["corpus"]
    suites = {s for _, ids, experiment in arms if ids["corpus"] == corpus for s in experiment["suites"]}
    held = {suite: set(CONFIG["suites"][suite]) for suite in suites}
    return corpus, sorted(s for s in suites if not any(held[s] < held[other] for other in suites))


def named_runs(name):
    """Arm, ids with seeds, and suites of each model that a table has trained."""
    for arm, ids, experiment in winnow_experiments.table_arms(CONFIG, CONFIG["tables"][name]):
        for data_seed, training_seed in winnow_experiments.runs_of(experiment):
            yield arm, dict(ids, data_seed=data_seed, training_seed=training_seed), experiment["suites"]


def table_runs(name):
    """Ids, seeds and suites of each model that a table has trained."""
    return [(ids, suites) for _, ids, suites in named_runs(name)]


def table_suites(name):
    if "suites" in CONFIG["tables"][name]:
        return sorted(CONFIG["tables"][name]["suites"])
    return sorted({suite for _, suites in table_runs(name) for suite in suites})


def table_benchmarks(name):
    return sorted({b for s in table_suites(name) for b in CONFIG["suites"][s]})


def table_metrics(name):
    """Metrics that each benchmark of lm-eval's tasks shows; the others show all they have."""
    return {b: m for b in table_benchmarks(name) if (m := CONFIG["benchmarks"][b].get("metrics"))}


def table_tasks(name):
    """lm-eval's task of each benchmark that has one."""
    return {b: t for b in table_benchmarks(name) if (t := CONFIG["benchmarks"][b].get("task"))}


def run_evaluations(ids, suites):
    return [f"{EVALUATION}/results.json".format(**ids, suite=suite) for suite in suites]


def pretrained_evaluations(name):
    """Evaluations of each model of a table that was not trained here."""
    corpus, suites = pretrained_suites(name) if CONFIG["tables"][name]["pretrained"] else (None, [])
    return {
        model: [
            f"{PRETRAINED}/results.json".format(corpus=corpus, pretrained=model, suite=suite)
            for suite in suites
        ]
        for model in CONFIG["tables"][name]["pretrained"]
    }


def table_evaluations(wildcards):
    trained = [path for run in table_runs(wildcards.table) for path in run_evaluations(*run)]
    return trained + [path for paths in pretrained_evaluations(wildcards.table).values() for path in paths]


def there(path):
    """Whether an evaluation is on disk, or, of a trained model, the manifest of that or of its subset."""
    items = Path(path).with_name("items.parquet")
    return os.path.exists(path) and (not path.endswith("results.json") or items.exists())


def partial_runs(name):
    """Of a table what is on disk: (ids, seeds and suites of its whole runs; models that were not trained here; what is
    missing, as text)."""
    runs, missing = [], []
    for arm, ids, suites in named_runs(name):
        files = [f"{MODEL}/manifest.json".format(**ids), f"{SUBSET}/manifest.json".format(**ids)]
        if all(map(there, files + run_evaluations(ids, suites))):
            runs.append((ids, suites))
        else:
            missing.append(f"{arm} (data seed {ids['data_seed']}, training seed {ids['training_seed']})")
    evaluations = pretrained_evaluations(name)
    given = [model for model, paths in evaluations.items() if all(map(there, paths))]
    return runs, given, missing + [model for model in evaluations if model not in given]


def partial_arms(name):
    """The arms of a table of which there is a run on disk, as `table_arms`."""
    runs, given, _ = partial_runs(name)
    known = [{key: ids[key] for key in ids if not key.endswith("_seed")} for ids, _ in runs]
    seeds = ("data_seeds", "tokenizer")
    return {
        arm: ids
        for arm, ids in table_arms(name).items()
        if arm in given or {key: ids[key] for key in ids if key not in seeds} in known
    }


def partial_evaluations(wildcards):
    runs, given, _ = partial_runs(wildcards.table)
    return [path for run in runs for path in run_evaluations(*run)] + [
        path for model in given for path in pretrained_evaluations(wildcards.table)[model]
    ]


def partial_files(pattern):
    """Files of the runs of a table that are on disk, where they are there, too."""
    return lambda wildcards: sorted(
        {
            path
            for ids, suites in partial_runs(wildcards.table)[0]
            for suite in suites
            if os.path.exists(path := pattern.format(**ids, suite=suite))
        }
    )


def partial_ngrams(wildcards):
    return [
        path for path in table_ngrams(wildcards, partial_runs(wildcards.table)[0]) if os.path.exists(path)
    ]


def partial_outputs(wildcards):
    """Tables of what is on disk: partial ones where something is missing, the whole ones where nothing is."""
    found = []
    for name in dict.fromkeys([*CONFIG["targets"], *CONFIG["paper"]["tables"]]):
        if name not in CONFIG["tables"]:
            continue
        arms, missing = partial_arms(name), partial_runs(name)[2]
        baseline = [
            arm for arm in arms if CONFIG["tables"][name]["baseline"] in (arm, arm.rpartition("/")[2])
        ]
        if missing and not baseline:
            if name in CONFIG["targets"]:
                print(
                    f"partial_tables: no table {name}: no run of its baseline is evaluated under this configuration"
                    + (
                        " (the one that is there is an earlier run's)"
                        if os.path.exists(f"{R}/tables/partial/{name}.md")
                        else ""
                    ),
                    file=sys.stderr,
                )
            continue
        folder = f"{R}/tables/partial" if missing else f"{R}/tables"
        found += [f"{folder}/{name}.{format}" for format in FORMATS]
    return found + guide() if found else []


def table_ngrams(wildcards, runs=None):
    """What counting says of the held-out documents, for the language models whose suites measure them."""
    found = set()
    for ids, suites in table_runs(wildcards.table) if runs is None else runs:
        tokenizer = CONFIG["models"][ids["model"]].get("tokenizer")
        for benchmark in {b for s in suites for b in CONFIG["suites"][s]}:
            if tokenizer and CONFIG["benchmarks"][benchmark].get("heldout") == "bits-per-byte":
                found.add(f"{SUBSET}/tokens/{tokenizer}.{benchmark}.json".format(**ids))
    return sorted(found)


def table_contamination(wildcards):
    return sorted(
        {
            f"{SUBSET}/contamination/{suite}.json".format(**ids)
            for ids, suites in table_runs(wildcards.table)
            for suite in suites
        }
    )


def table_published(wildcards):
    return PUBLISHED if CONFIG["tables"][wildcards.table].get("published") else []


def paper_outputs(wildcards):
    """What the paper consists of, once its own configuration is right."""
    try:
        checks.check_paper(CONFIG)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    paper = CONFIG["paper"]
    return [*tables(paper["tables"]), *sampler_gates(paper["experiments"]), f"{R}/tables/paper.claims.json"]


def published_tables(names, formats):
    return expand(
        f"{R}/tables/published/{{table}}.{{format}}",
        table=[name for name in names if "published" in CONFIG["tables"].get(name, {})],
        format=formats,
    )


def table_items(wildcards):
    return [str(Path(path).parent / "items.parquet") for path in table_evaluations(wildcards)]


def partial_items(wildcards):
    return [str(Path(path).parent / "items.parquet") for path in partial_evaluations(wildcards)]


def table_models(wildcards):
    return [f"{MODEL}/manifest.json".format(**ids) for ids, _ in table_runs(wildcards.table)]


def table_subsets(wildcards):
    return sorted({f"{SUBSET}/manifest.json".format(**ids) for ids, _ in table_runs(wildcards.table)})


# What goes by texts alone stands under the clustering whose exclusions shape its pool.
SCORES = f"{R}/{{corpus}}/scores/{{clustering}}/{{scorer}}"
CLUSTER_SCORES = f"{CLUSTERS}/scores/{{scorer}}"
LOSSES = f"{CLUSTERS}/losses/{{scorer}}"


def scorer_kind(*kinds):
    return "|".join(re.escape(n) for n, s in CONFIG["scorers"].items() if s["kind"] in kinds) or "$^"


def scorer_spec(wildcards):
    return spec(scorer=CONFIG["scorers"][wildcards.scorer])


def proxy_ids(proxy, corpus, clustering):
    """Ids of a model that is trained in the workflow: on the pool of the experiment that it serves, or on another corpus."""
    own = proxy["corpus"] in (None, corpus)
    pool = winnow_experiments.pool_of(CONFIG, corpus, clustering) if own else None
    return dict(
        corpus=proxy["corpus"] or corpus,
        clustering=winnow_experiments.draw_clustering(CONFIG, corpus, pool, proxy["sampler"]),
        **{key: proxy[key] for key in ("sampler", "budget", "data_seed", "model", "training_seed")},
    )


def trained_proxies(corpus, clustering, scorer):
    """Ids of the models of a scorer that are trained in the workflow."""
    proxies = winnow_experiments.proxies_of(CONFIG["scorers"][scorer]).values()
    return [proxy_ids(proxy, corpus, clustering) for proxy in proxies if "hub" not in proxy]


def proxy_models(wildcards):
    proxies = trained_proxies(wildcards.corpus, wildcards.clustering, wildcards.scorer)
    return [f"{MODEL}/manifest.json".format(**ids) for ids in proxies]


def proxy_downloads(wildcards):
    proxies = winnow_experiments.proxies_of(CONFIG["scorers"][wildcards.scorer]).values()
    return [path for proxy in proxies for path in model_downloads(proxy)]


def proxy_draws(corpus, clustering, scorer):
    """Draws of this corpus that the proxies of a scorer learn from."""
    return sorted(
        {
            f"{SUBSET}/draw.parquet".format(**i)
            for i in trained_proxies(corpus, clustering, scorer)
            if i["corpus"] == corpus
        }
    )


def scorer_draws(wildcards):
    return proxy_draws(wildcards.corpus, wildcards.clustering, wildcards.scorer)


def score_ratios(wildcards):
    dsir = CONFIG["scorers"][wildcards.scorer]["kind"] == "dsir"
    return [f"{SCORES}.ratios.npy".format(**wildcards)] if dsir else []


def score_gpu(wildcards):
    """Scores by a model want a GPU where the corpus is large."""
    model = CONFIG["scorers"][wildcards.scorer]["kind"] != "dsir"
    return 1 if model and heavy(wildcards.corpus) else 0


def target_corpus(wildcards):
    """The corpus of a target, if it is another one than that which is scored."""
    name = CONFIG["scorers"][wildcards.scorer]["target"]["corpus"]
    return name if name != wildcards.corpus else None


def target_shards(wildcards):
    name = target_corpus(wildcards)
    return expand(f"{R}/{name}/documents/{{shard}}.parquet", shard=shards(name)) if name else []


def target_heldout(wildcards):
    name = target_corpus(wildcards)
    return [f"{R}/{name}/heldout.parquet"] if name else []


def all_assignments(wildcards):
    return expand(
        f"{CLUSTERS}/assignments/{{shard}}.parquet",
        corpus=wildcards.corpus,
        clustering=wildcards.clustering,
        shard=shards(wildcards.corpus),
    )


def probe_scores(wildcards):
    return expand(f"{LOSSES}/{{shard}}.parquet", **wildcards, shard=shards(wildcards.corpus))


def scoring_pool(ids):
    """The clustering whose exclusions shape the pool of a sampler's scorers, which is that of its draw."""
    sampler = CONFIG["samplers"][ids["sampler"]]
    keeps = sampler["filters"]["excluded_clusters"] == "keep"
    return winnow_experiments.pool_of(CONFIG, ids["corpus"], None if keeps else ids["clustering"])


def score_files(wildcards, scorer):
    """The scores of a scorer: of the pool, or, where they go by clusters, of the clustering."""
    kind = CONFIG["scorers"][scorer]["kind"]
    ids = dict(corpus=wildcards.corpus, clustering=wildcards.clustering, scorer=scorer)
    if kind == "semdedup":
        return [f"{CLUSTER_SCORES}/all.parquet".format(**ids)]
    folder = CLUSTER_SCORES
    if kind != "lsh":
        folder, ids = SCORES, dict(ids, clustering=scoring_pool(subset_ids(wildcards)))
    return expand(f"{folder}/{{shard}}.parquet", **ids, shard=shards(wildcards.corpus))


def draw_scores(wildcards):
    ranking = CONFIG["samplers"][wildcards.sampler]["ranking"]
    return score_files(wildcards, ranking["scorer"]) if "scorer" in ranking else []


def draw_lengths(wildcards):
    """Lengths of documents, where the budget counts tokens."""
    tokenizer = CONFIG["budgets"][wildcards.budget]["tokenizer"]
    if tokenizer is None:
        return []
    return expand(
        f"{R}/{wildcards.corpus}/lengths/{tokenizer}/{{shard}}.parquet", shard=shards(wildcards.corpus)
    )


def draw_losses(wildcards):
    allocation = CONFIG["samplers"][wildcards.sampler]["allocation"]
    if allocation["weight"] != "loss":
        return []
    ids = dict(corpus=wildcards.corpus, clustering=wildcards.clustering, scorer=allocation["loss"])
    return [f"{LOSSES}.parquet".format(**ids)]


def draw_used(wildcards):
    """Earlier draws whose documents a sampler leaves out."""
    corpus, filters = wildcards.corpus, CONFIG["samplers"][wildcards.sampler]["filters"]
    used = {
        f"{SUBSET}/draw.parquet".format(
            corpus=corpus,
            clustering=winnow_experiments.draw_clustering(
                CONFIG, corpus, wildcards.clustering if clustered(wildcards) else None, earlier["sampler"]
            ),
            **earlier,
        )
        for earlier in filters.get("used", [])
    }
    return sorted(used)


def draw_trained(wildcards):
    """Draws that the proxies of a sampler's scorer learn from, whose documents it leaves out."""
    sampler = CONFIG["samplers"][wildcards.sampler]
    if "scorer" not in sampler["ranking"] or sampler["filters"]["trained"] == "keep":
        return []
    return proxy_draws(wildcards.corpus, scoring_pool(subset_ids(wildcards)), sampler["ranking"]["scorer"])


def draw_contaminated(wildcards):
    """Documents that hold a benchmark item, for samplers that leave them out."""
    suite = CONFIG["samplers"][wildcards.sampler]["filters"].get("contaminated")
    folder = f"{R}/{wildcards.corpus}/contaminated/{suite}"
    return expand(f"{folder}/{{shard}}.parquet", shard=shards(wildcards.corpus)) if suite else []


def selection(ids):
    """What the scorers of a sampler go by: proxies (and the ids of those trained here), probe, targets."""
    sampler, found = CONFIG["samplers"][ids["sampler"]], dict(proxies=[], probe=None, targets=[])
    pools = {sampler["ranking"]["scorer"]: scoring_pool(ids)} if "scorer" in sampler["ranking"] else {}
    if sampler["allocation"]["weight"] == "loss":
        found["probe"] = sampler["allocation"]["loss"]
        pools.setdefault(found["probe"], winnow_experiments.pool_of(CONFIG, ids["corpus"], ids["clustering"]))
    trained = []
    for name, pool in sorted(pools.items()):
        scorer = CONFIG["scorers"][name]
        for role, proxy in winnow_experiments.proxies_of(scorer).items():
            entry = dict(scorer=name, role=role, hub=proxy.get("hub"), labels=role == "classifier")
            if not entry["hub"]:
                model = proxy_ids(proxy, ids["corpus"], pool)
                if model in trained:
                    continue
                trained.append(model)
                where = CONFIG["samplers"][model["sampler"]]["filters"].get("where")
                entry["labels"] = entry["labels"] or by_label(model["corpus"], where)
            found["proxies"].append(entry)
        if scorer["kind"] == "dsir":
            target = scorer["target"]
            found["targets"].append(
                dict(scorer=name, labels=by_label(target["corpus"] or ids["corpus"], target.get("where")))
            )
    return found, trained


def by_label(corpus, where):
    """Whether documents are chosen by the label of their corpus."""
    return bool(where) and where["column"] == CONFIG["corpora"][corpus]["label"]


def draw_proxies(wildcards):
    return [f"{MODEL}/manifest.json".format(**ids) for ids in selection(subset_ids(wildcards))[1]]


def draw_proxy_subsets(wildcards):
    return [f"{SUBSET}/manifest.json".format(**ids) for ids in selection(subset_ids(wildcards))[1]]


def draw_ratios(wildcards):
    ids = dict(corpus=wildcards.corpus, clustering=scoring_pool(subset_ids(wildcards)))
    targets = selection(subset_ids(wildcards))[0]["targets"]
    return [f"{SCORES}.ratios.json".format(**ids, scorer=target["scorer"]) for target in targets]


def draw_semdedup(wildcards):
    return CONFIG["samplers"][wildcards.sampler]["filters"].get("semdedup")


def draw_near(wildcards):
    found = draw_semdedup(wildcards)
    return score_files(wildcards, found["scorer"]) if found and found["when"] == "before" else []


def draw_embeddings(wildcards):
    found = draw_semdedup(wildcards)
    return embedding_shards(wildcards) if found and found["when"] == "after" else []


def draw_spec(wildcards):
    found = draw_semdedup(wildcards)
    return spec(
        ids=subset_ids(wildcards),
        sampler=CONFIG["samplers"][wildcards.sampler],
        budget=CONFIG["budgets"][wildcards.budget],
        data_seed=int(wildcards.data_seed),
        semdedup=CONFIG["scorers"][found["scorer"]] if found else None,
        selection=selection(subset_ids(wildcards))[0],
    )


def of_corpus(corpus):
    """Experiments of a corpus: the run's, or, if it has none, the paper's."""
    own = [e for e in CONFIG["experiments"] if e["corpus"] == corpus]
    return own or [e for e in CONFIG["paper"]["experiments"] if e["corpus"] == corpus]


def experiments_of(names):
    """The run's experiments that tables compare."""
    wanted = {experiment for name in names for experiment in CONFIG["tables"][name]["experiments"]}
    return [experiment for experiment in CONFIG["experiments"] if experiment["name"] in wanted]


def sampler_gates(experiments):
    """How different the samplers of each corpus are that has two or more."""
    draws = {}
    for experiment in experiments:
        for ids in winnow_experiments.arms(CONFIG, experiment).values():
            draws.setdefault(ids["corpus"], set()).add((ids["clustering"], ids["sampler"], ids["budget"]))
    return expand(
        f"{R}/{{corpus}}/compare_samplers.{{format}}",
        corpus=sorted(corpus for corpus, found in draws.items() if len(found) > 1),
        format=["csv", "md", "html"],
    )


def compared_draws(corpus):
    """Arms of a corpus with a data seed each, as the gate names them, and their ids."""
    for experiment in of_corpus(corpus):
        for ids in winnow_experiments.arms(CONFIG, experiment).values():
            for data_seed in experiment["data_seeds"]:
                arm = dict(
                    experiment=experiment["name"],
                    sampler=ids["sampler"],
                    seed=data_seed,
                    clustering=experiment["clustering"],
                )
                yield arm, dict(ids, data_seed=data_seed)


def gate_draws(wildcards):
    return [f"{SUBSET}/draw.parquet".format(**ids) for _, ids in compared_draws(wildcards.corpus)]


def gate_tokens(wildcards):
    """Token counts of the arms that language models learn from."""
    found = []
    for _, ids in compared_draws(wildcards.corpus):
        model = CONFIG["models"][ids["model"]]
        if model["kind"] == "language-model":
            found.append(f"{SUBSET}/tokens/{{tokenizer}}.json".format(**ids, tokenizer=model["tokenizer"]))
    return sorted(set(found))


def gate_clusterings(corpus):
    return sorted({e["clustering"] for e in of_corpus(corpus) if e["clustering"]})


def gate_assignments(wildcards):
    return [
        path
        for name in gate_clusterings(wildcards.corpus)
        for path in expand(
            f"{CLUSTERS}/assignments/{{shard}}.parquet",
            corpus=wildcards.corpus,
            clustering=name,
            shard=shards(wildcards.corpus),
        )
    ]


def gate_clusters(wildcards):
    return [
        f"{CLUSTERS}/clusters.parquet".format(corpus=wildcards.corpus, clustering=name)
        for name in gate_clusterings(wildcards.corpus)
    ]


def gate_tables(corpus):
    """The tables that have arms of a corpus, with their baselines, for the gate."""
    own = {experiment["name"] for experiment in of_corpus(corpus)}
    for name in dict.fromkeys([*CONFIG["targets"], *CONFIG["paper"]["tables"]]):
        table = CONFIG["tables"].get(name, {"experiments": []})
        arms = [
            arm
            for arm, _, experiment in winnow_experiments.table_arms(CONFIG, table)
            if experiment["name"] in own
        ]
        first = [arm for arm in arms if table["baseline"] in (arm, arm.split("/")[1])]
        if first and len(arms) > 1:
            yield dict(name=name, baseline=first[0], arms=arms)


def gate_spec(wildcards):
    corpus = CONFIG["corpora"][wildcards.corpus]
    return spec(
        name=wildcards.corpus,
        arms=[arm for arm, _ in compared_draws(wildcards.corpus)],
        clusterings=[[name, corpus["shards"]] for name in gate_clusterings(wildcards.corpus)],
        tables=list(gate_tables(wildcards.corpus)),
        group=corpus["group"],
        label=corpus["label"] is not None,
    )


def table_training_metrics(wildcards):
    return sorted({f"{MODEL}/metrics.json".format(**ids) for ids, _ in table_runs(wildcards.table)})


def table_training_timings(wildcards):
    return sorted({f"{MODEL}/timings.json".format(**ids) for ids, _ in table_runs(wildcards.table)})


GPU_RULES = ("embed_documents", "score_documents", "score_probe", "find_near_duplicates", "train_model")


def selection_timings(table):
    """The timings of the jobs that an arm's selection of documents takes, by arm: its first draw, and what that needs;
    of those that run a model, on a GPU where there is one, and of the others."""
    found = {}
    for arm, ids, experiment in winnow_experiments.table_arms(CONFIG, CONFIG["tables"][table]):
        jobs = sorted(arm_timings(dict(ids, data_seed=experiment["data_seeds"][0])))
        gpu = [job for job in jobs if job.removeprefix(f"{R}/timings/").split("/")[0] in GPU_RULES]
        found[arm] = dict(gpu=gpu, cpu=[job for job in jobs if job not in gpu])
    return found


def training_timings(table):
    """The timings of the trainings of a table, by arm and run."""
    path = f"{R}/timings/train_model/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}.tsv"
    return {
        arm: {
            f"{data_seed}/{training_seed}": path.format(
                **ids, data_seed=data_seed, training_seed=training_seed
            )
            for data_seed, training_seed in winnow_experiments.runs_of(experiment)
        }
        for arm, ids, experiment in winnow_experiments.table_arms(CONFIG, CONFIG["tables"][table])
    }


def arm_timings(ids):
    sampler, timings = CONFIG["samplers"][ids["sampler"]], f"{R}/timings"
    found = {
        f"{timings}/draw_sample/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}.tsv".format(
            **ids
        )
    }
    if ids["clustering"] != winnow_experiments.NO_CLUSTERS:
        clustering = CONFIG["clusterings"][ids["clustering"]]
        method = {"kmeans": "clusters", "hdbscan": "hdbscan"}[clustering["method"]]
        found |= {
            f"{timings}/{rule}/{{corpus}}/{{clustering}}.tsv".format(**ids)
            for rule in (f"fit_{method}", "summarise_clusters")
        }
        for shard in shards(ids["corpus"]):
            found.add(f"{timings}/embed_documents/{ids['corpus']}/{clustering['encoder']}/{shard}.tsv")
            found.add(f"{timings}/assign_{method}/{ids['corpus']}/{ids['clustering']}/{shard}.tsv")
    if suite := sampler["filters"].get("contaminated"):
        for shard in shards(ids["corpus"]):
            found.add(f"{timings}/find_contaminated_documents/{ids['corpus']}/{suite}/{shard}.tsv")
    scorers = {("draws", sampler["ranking"]["scorer"])} if "scorer" in sampler["ranking"] else set()
    if sampler["allocation"]["weight"] == "loss":
        scorers.add(("losses", sampler["allocation"]["loss"]))
    near = sampler["filters"].get("semdedup")
    if near and near["when"] == "before":
        scorers.add(("draws", near["scorer"]))
    for use, scorer in scorers:
        found |= scorer_timings(ids, use, scorer)
    return found


def scorer_timings(ids, use, scorer):
    kind, timings = CONFIG["scorers"][scorer]["kind"], f"{R}/timings"
    where = dict(corpus=ids["corpus"], clustering=ids["clustering"], scorer=scorer)
    by_clusters = use == "losses" or kind in ("lsh", "semdedup")
    pool = (
        winnow_experiments.pool_of(CONFIG, ids["corpus"], ids["clustering"])
        if by_clusters
        else scoring_pool(ids)
    )
    if not by_clusters:
        where["clustering"] = pool
    each = {"lsh": "score_vectors/{corpus}/{clustering}", "semdedup": None}.get(
        kind, "score_documents/{corpus}/{clustering}"
    )
    if use == "losses":
        each = "score_probe/{corpus}/{clustering}"
    found = (
        {f"{timings}/find_near_duplicates/{{corpus}}/{{clustering}}/{{scorer}}.tsv".format(**where)}
        if each is None
        else set()
    )
    if use == "losses":
        found |= {
            f"{timings}/{rule}/{{corpus}}/{{clustering}}/{{scorer}}.tsv".format(**where)
            for rule in ("choose_probe", "mean_losses")
        }
    if kind == "dsir":
        found.add(f"{timings}/fit_ratios/{{corpus}}/{{clustering}}/{{scorer}}.tsv".format(**where))
    for shard in shards(ids["corpus"]) if each else []:
        found.add(f"{timings}/{each}/{{scorer}}/{shard}.tsv".format(**where))
    for proxy in trained_proxies(ids["corpus"], pool, scorer):
        found.add(
            f"{timings}/train_model/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}.tsv".format(
                **proxy
            )
        )
    return found
