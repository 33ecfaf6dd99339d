# Helpers for the rules: the checked configuration, specs, paths and resources. No rules here.
import contextlib
import io
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from snakemake.cli import get_argument_parser
from snakemake.exceptions import WorkflowError
from winnow import config as winnow_config
from winnow.stage import InputError, canonical


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
shipped = winnow_config.definition_files(workflow.basedir)
if workflow.modifier.skip_configfile or workflow.config_settings.replace_workflow_config:
    shipped = []
try:
    merged = winnow_config.read_files(shipped)
    winnow_config.merge(merged, config)
    config.update(merged)
    workflow.configfiles.extend(shipped)
    CONFIG = winnow_config.resolve(config, [*shipped, *given], tables=asks_for_tables(), look=runs_jobs())
except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)

R = CONFIG["results"]
CLUSTERS = f"{R}/{{corpus}}/clusterings/{{clustering}}"
SUBSET = f"{R}/{{corpus}}/subsets/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}"
MODEL = f"{R}/{{corpus}}/models/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}"
EVALUATION = f"{MODEL}/evaluation/{{suite}}"
PRETRAINED = f"{R}/{{corpus}}/pretrained/{{pretrained}}/evaluation/{{suite}}"

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


def models_of(kind):
    return "|".join(re.escape(n) for n, m in CONFIG["models"].items() if m["kind"] == kind) or "$^"


wildcard_constraints:
    corpus=names("corpora"),
    encoder=names("encoders"),
    clustering=names("clusterings") + f"|{winnow_config.NO_CLUSTERS}",
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
    return "+".join(str(winnow_config.stage_version(stage)) for stage in stages)


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
    return wildcards.clustering != winnow_config.NO_CLUSTERS


def experiment_arms():
    """Ids of every model the run asks for: the ids of an arm with its seeds and suites."""
    for experiment in CONFIG["experiments"]:
        for ids in winnow_config.arms(CONFIG, experiment).values():
            for data_seed, training_seed in winnow_config.runs_of(experiment):
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


def source_files(wildcards):
    """The files a corpus is read from: local ones, the generated one, or the record of a download."""
    source = CONFIG["corpora"][wildcards.corpus]["source"]
    if "generator" in source:
        return [f"{R}/{wildcards.corpus}/source.parquet"]
    if "hub" in source:
        return []
    return winnow_config.expand_files(source["files"], f"corpora.{wildcards.corpus}.source.files")


def source_download(wildcards):
    hub = "hub" in CONFIG["corpora"][wildcards.corpus]["source"]
    return [f"{R}/{wildcards.corpus}/download.json"] if hub else []


def reading(corpus):
    """The part of a corpus's settings that decides what its documents are."""
    return {k: CONFIG["corpora"][corpus][k] for k in ("source", "text", "label", "meta")}


def model_downloads(source):
    """The record of a Hub model's download, for a rule that loads it; none for a package."""
    if "hub" not in source:
        return []
    return [f"{R}/downloads/{source['hub']}/{source['revision']}.json"]


def exclusions_file(wildcards):
    """The exclusions a person wrote for this clustering; else those of its noise, if it can have any."""
    path = f"config/exclusions/{wildcards.corpus}.{wildcards.clustering}.tsv"
    if os.path.exists(path):
        return [path]
    if CONFIG["corpora"][wildcards.corpus]["apply_proposals"]:
        return [f"{CLUSTERS}/proposals.tsv".format(**wildcards)]
    return noise_exclusions(wildcards)


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
    """Pages that show the clusters of the run."""
    used = {(e["corpus"], e["clustering"]) for e in CONFIG["experiments"] if e["clustering"]}
    return [
        f"{CLUSTERS}/inspection.html".format(corpus=corpus, clustering=clustering)
        for corpus, clustering in sorted(used)
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
        "labels": [],
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
        inputs["labels"] = document_shards(wildcards)
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


def big(name):
    """Whether a model wants a GPU and many cores."""
    model = CONFIG["models"][name]
    return language_model(name) and (model["width"] >= 256 or model["sequence"] >= 1024)


def benchmark_kind(kind):
    return "|".join(re.escape(n) for n, b in CONFIG["benchmarks"].items() if kind in b) or "$^"


def benchmark_folder(corpus, benchmark):
    """Benchmarks made of held-out documents belong to their corpus, the others to all corpora."""
    owner = f"{R}/{corpus}" if "heldout" in CONFIG["benchmarks"][benchmark] else R
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


def benchmark_files(wildcards):
    data = CONFIG["benchmarks"][wildcards.benchmark]["data"]
    return winnow_config.expand_files(data["files"].values(), f"benchmarks.{wildcards.benchmark}.data.files")


def labelled_files(wildcards):
    files = CONFIG["benchmarks"][wildcards.benchmark]["labelled"]["files"]
    return winnow_config.expand_files(files, f"benchmarks.{wildcards.benchmark}.labelled.files")


def benchmark_download(wildcards):
    data = CONFIG["benchmarks"][wildcards.benchmark]["data"]
    return [f"{R}/benchmarks/{wildcards.benchmark}/download.json"] if "hub" in data else []


# The working directory's own where it has them, as the files of config/.
PUBLISHED = [
    path if os.path.exists(path) else f"{workflow.basedir}/{path}"
    for path in ("config/published/results.csv", "config/published/comparisons.csv")
]
FORMATS = ["csv", "md", "tex", "html", "svg", "png", "claims.csv", "claims.json"]
COSTS = ["costs.csv", "costs.md", "costs.html", "power.csv", "losses.svg", "front.svg"]


def tables(names):
    return expand(f"{R}/tables/{{table}}.{{format}}", table=names, format=FORMATS + COSTS)


def table_arms(name):
    """Ids of each arm of a table, by experiment/sampler, with its data seeds and tokenizer; pretrained models behind."""
    table = CONFIG["tables"][name]
    arms = {}
    for arm, ids, experiment in winnow_config.table_arms(CONFIG, table):
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
    arms = winnow_config.table_arms(CONFIG, table)
    first = [ids for arm, ids, _ in arms if table["baseline"] in (arm, arm.split("/")[1])]
    corpus = (first or [arms[0][1]])[0]["corpus"]
    suites = {s for _, ids, experiment in arms if ids["corpus"] == corpus for s in experiment["suites"]}
    held = {suite: set(CONFIG["suites"][suite]) for suite in suites}
    return corpus, sorted(s for s in suites if not any(held[s] < held[other] for other in suites))


def table_runs(name):
    """Ids, seeds and suites of each model that a table has trained."""
    for _, ids, experiment in winnow_config.table_arms(CONFIG, CONFIG["tables"][name]):
        for data_seed, training_seed in winnow_config.runs_of(experiment):
            yield dict(ids, data_seed=data_seed, training_seed=training_seed), experiment["suites"]


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


def table_evaluations(wildcards):
    trained = [
        f"{EVALUATION}/results.json".format(**ids, suite=suite)
        for ids, suites in table_runs(wildcards.table)
        for suite in suites
    ]
    published = [
        f"{PRETRAINED}/results.json".format(corpus=ids["corpus"], pretrained=ids["pretrained"], suite=suite)
        for ids in table_arms(wildcards.table).values()
        if "pretrained" in ids
        for suite in pretrained_suites(wildcards.table)[1]
    ]
    return trained + published


def table_ngrams(wildcards):
    """What counting says of the held-out documents, for the language models whose suites measure them."""
    found = set()
    for ids, suites in table_runs(wildcards.table):
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
    published = CONFIG["tables"][wildcards.table].get("published")
    return PUBLISHED if published else []


def paper_outputs(wildcards):
    """What the paper consists of, once its own configuration is right."""
    try:
        winnow_config.check_paper(CONFIG)
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


def table_models(wildcards):
    return [f"{MODEL}/manifest.json".format(**ids) for ids, _ in table_runs(wildcards.table)]


def table_subsets(wildcards):
    return sorted({f"{SUBSET}/manifest.json".format(**ids) for ids, _ in table_runs(wildcards.table)})


SCORES = f"{R}/{{corpus}}/scores/{{scorer}}"
CLUSTER_SCORES = f"{CLUSTERS}/scores/{{scorer}}"
LOSSES = f"{CLUSTERS}/losses/{{scorer}}"


def scorer_kind(*kinds):
    return "|".join(re.escape(n) for n, s in CONFIG["scorers"].items() if s["kind"] in kinds) or "$^"


def scorer_spec(wildcards):
    return spec(scorer=CONFIG["scorers"][wildcards.scorer])


def trained_proxies(corpus, scorer):
    """Ids of the models of a scorer that are trained in the workflow."""
    return [
        dict(
            corpus=proxy["corpus"] or corpus,
            clustering=winnow_config.NO_CLUSTERS,
            **{key: proxy[key] for key in ("sampler", "budget", "data_seed", "model", "training_seed")},
        )
        for proxy in winnow_config.proxies_of(CONFIG["scorers"][scorer]).values()
        if "hub" not in proxy
    ]


def proxy_models(wildcards):
    return [
        f"{MODEL}/manifest.json".format(**ids) for ids in trained_proxies(wildcards.corpus, wildcards.scorer)
    ]


def proxy_downloads(wildcards):
    proxies = winnow_config.proxies_of(CONFIG["scorers"][wildcards.scorer]).values()
    return [path for proxy in proxies for path in model_downloads(proxy)]


def proxy_draws(corpus, scorer):
    """Draws of this corpus that the proxies of a scorer learn from."""
    return sorted(
        {
            f"{SUBSET}/draw.parquet".format(**i)
            for i in trained_proxies(corpus, scorer)
            if i["corpus"] == corpus
        }
    )


def scorer_draws(wildcards):
    return proxy_draws(wildcards.corpus, wildcards.scorer)


def text_spec(wildcards):
    scorer = CONFIG["scorers"][wildcards.scorer]
    tokens = CONFIG["models"][scorer["classifier"]["model"]]["max_tokens"] if "classifier" in scorer else 0
    return spec(scorer=scorer, max_tokens=tokens)


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


def score_files(wildcards, scorer):
    """The scores of a scorer: of the corpus, or, where they go by clusters, of the clustering."""
    kind = CONFIG["scorers"][scorer]["kind"]
    ids = dict(corpus=wildcards.corpus, scorer=scorer)
    if kind == "semdedup":
        return [f"{CLUSTER_SCORES}/all.parquet".format(**ids, clustering=wildcards.clustering)]
    folder = SCORES
    if kind == "lsh":
        folder, ids = CLUSTER_SCORES, dict(ids, clustering=wildcards.clustering)
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
    """Draws whose documents a sampler leaves out: earlier subsets, and what its scorer's proxies learn from."""
    sampler = CONFIG["samplers"][wildcards.sampler]
    used = [
        f"{SUBSET}/draw.parquet".format(
            corpus=wildcards.corpus,
            clustering=(
                wildcards.clustering
                if winnow_config.uses_clusters(CONFIG["samplers"][earlier["sampler"]])
                else winnow_config.NO_CLUSTERS
            ),
            **earlier,
        )
        for earlier in sampler["filters"].get("used", [])
    ]
    if suite := sampler["filters"].get("contaminated"):
        used += expand(
            f"{R}/{wildcards.corpus}/contaminated/{suite}/{{shard}}.parquet", shard=shards(wildcards.corpus)
        )
    if "scorer" in sampler["ranking"] and sampler["filters"]["trained"] == "drop":
        used += proxy_draws(wildcards.corpus, sampler["ranking"]["scorer"])
    return sorted(set(used))


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
    samplers = {}
    for experiment in experiments:
        samplers.setdefault(experiment["corpus"], set()).update(experiment["samplers"])
    return expand(
        f"{R}/{{corpus}}/compare_samplers.{{format}}",
        corpus=sorted(corpus for corpus, names in samplers.items() if len(names) > 1),
        format=["csv", "md", "html"],
    )


def compared_draws(corpus):
    """Arms of a corpus with a data seed each, as the gate names them, and their ids."""
    for experiment in of_corpus(corpus):
        for ids in winnow_config.arms(CONFIG, experiment).values():
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


def gate_spec(wildcards):
    corpus = CONFIG["corpora"][wildcards.corpus]
    return spec(
        name=wildcards.corpus,
        arms=[arm for arm, _ in compared_draws(wildcards.corpus)],
        clusterings=[[name, corpus["shards"]] for name in gate_clusterings(wildcards.corpus)],
        group=corpus["group"] or ("label" if corpus["label"] else None),
    )


def table_training_metrics(wildcards):
    return sorted({f"{MODEL}/metrics.json".format(**ids) for ids, _ in table_runs(wildcards.table)})


GPU_RULES = ("embed_documents", "score_documents", "score_probe", "find_near_duplicates", "train_model")


def selection_timings(table):
    """The timings of the jobs that an arm's selection of documents takes, by arm: its first draw, and what that needs;
    of those that take a GPU where there is one, and of the others."""
    found = {}
    for arm, ids, experiment in winnow_config.table_arms(CONFIG, CONFIG["tables"][table]):
        jobs = sorted(arm_timings(dict(ids, data_seed=experiment["data_seeds"][0])))
        gpu = [job for job in jobs if job.removeprefix(f"{R}/timings/").split("/")[0] in GPU_RULES]
        found[arm] = dict(gpu=gpu, cpu=[job for job in jobs if job not in gpu])
    return found


def arm_timings(ids):
    sampler, timings = CONFIG["samplers"][ids["sampler"]], f"{R}/timings"
    found = {
        f"{timings}/draw_sample/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}.tsv".format(
            **ids
        )
    }
    if ids["clustering"] != winnow_config.NO_CLUSTERS:
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
    each = {"lsh": "score_vectors/{corpus}/{clustering}", "semdedup": None}.get(
        kind, "score_documents/{corpus}"
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
        found.add(f"{timings}/fit_ratios/{{corpus}}/{{scorer}}.tsv".format(**where))
    for shard in shards(ids["corpus"]) if each else []:
        found.add(f"{timings}/{each}/{{scorer}}/{shard}.tsv".format(**where))
    for proxy in trained_proxies(ids["corpus"], scorer):
        found.add(
            f"{timings}/train_model/{{corpus}}/{{clustering}}/{{sampler}}/{{budget}}/seed{{data_seed}}/{{model}}/seed{{training_seed}}.tsv".format(
                **proxy
            )
        )
    return found
