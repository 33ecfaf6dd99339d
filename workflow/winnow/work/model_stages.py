"""The work of the jobs of models, tables, profiles and rounds.

Coefficients in seconds and bytes were measured on the machine of the default figures (winnow.work.machine): on the demo, the
run on real text, the studies, and tests/benchmarks. Memory follows the contract of each stage (its docstring): a block, a
shard, O(budget + clusters), or O(documents) where a stage keeps numbers of all of them; mapped files count as memory,
because SLURM counts them.
"""

from __future__ import annotations

from winnow.experiments import probe_seeds
from winnow.profile import kinds as families
from winnow.selection import is_large_model
from winnow.work import networks
from winnow.work.corpus_stages import draw_mb
from winnow.work.job import ENCODER, ENCODING, EVALUATION, LOGITS, MB, PIECES, TABLES, Job, host_mb
from winnow.work.requests import Work
from winnow.work.sizes import BLOCK, shard_documents, tokens_of, training_rows

# ---------------------------------------------------------------- models


def train_tokenizer(job: Job) -> Work:
    tokenizer = job.config["tokenizers"][job.ids["tokenizer"]]
    if "hub" in tokenizer:
        return Work("shell", memory_mb=TABLES)
    documents = min(tokenizer["documents"], job.size.documents)
    text = documents * min(job.size.bytes, 20_000)
    return Work(
        spread=4e-7 * text, serial=3e-7 * job.size.documents, threads=4,
        memory_mb=TABLES + 100 + (60 * job.size.documents + 2 * text) / MB,
    )  # fmt: skip


def count_tokens(job: Job) -> Work:
    return Work(spread=2.5e-7 * job.text, read=job.text, disk=8.0 * job.documents, threads=4,
                memory_mb=TABLES + 100 + job.block_mb / 4 + min(job.documents, 1024) * tokens_of(job.size.bytes) * ENCODING / MB)  # fmt: skip


def tokenize_subset(job: Job) -> Work:
    text = job.subset * job.size.bytes
    block = min(job.subset, 1024) * tokens_of(job.size.bytes) * ENCODING / MB
    return Work(
        "thin",
        spread=2.5e-7 * text,
        read=text,
        disk=text / 4 * 2,
        threads=4,
        memory_mb=TABLES + 100 + 2 * block,
    )


def train_model(job: Job) -> Work:
    model = job.config["models"][job.ids["model"]]
    recipe = job.config["recipes"][model["recipe"]]
    rows, tokens = training_rows(job.config, job.ids, job.size)
    network = networks.model(job.config, job.ids["model"])
    gpus = job.gpus
    language = model["kind"] == "language-model"
    kind = "classify" if not language else "train_bfloat16" if recipe["precision"] == "bfloat16" else "train"
    micro = min(recipe["micro_batch"], recipe["batch"]) * tokens
    activations = (
        micro * network.layers * network.width * 34 * 4 + micro * network.width * 24 + 4 * 8192 * 1024 * 4
    )
    state = 20 * network.parameters  # weights, gradients, moments, and one copy while they are saved
    memory = ENCODER + (state + (0 if gpus else activations)) / MB
    text = 0 if language else job.subset * (job.size.bytes + 400) / MB
    threads = (
        8 if is_large_model(job.config, job.ids["model"]) else 1
    )  # the same bits on one machine, whatever the corpus
    stay = 4 * network.parameters + 12 * network.parameters * (rows * tokens > 1e8)
    return Work(
        "training", {kind: 3 * rows * tokens * network.forward(tokens)}, memory_mb=host_mb(gpus, memory + text),
        disk=stay, threads=threads, gpus=gpus, resumes=True,
    )  # fmt: skip


def _evaluate(job: Job, name: str, gpus: int) -> Work:
    network = networks.model(job.config, name)
    most = networks.max_tokens(job.config, name)
    classifier = job.config["models"][name]["kind"] == "classifier"
    threads = 8 if gpus or job.config["models"][name]["kind"] == "pretrained" else 1
    items = job.items()
    flops = sum(
        one.requests * min(one.tokens, most) * network.forward(min(one.tokens, most)) for one in items
    )
    requests = sum(one.requests for one in items)
    memory = ENCODER + 8 * network.parameters / MB + requests * 12_000 / MB
    if classifier:
        return Work(
            "encoder",
            {"classify": flops},
            serial=1e-4 * requests,
            memory_mb=host_mb(gpus, memory + 200),
            threads=threads,
            gpus=gpus,
        )
    logits = LOGITS * threads if not gpus else 2000
    whole = sum(one.all for one in items)
    return Work(
        "evaluation", {"evaluate": flops}, serial=0.18 * sum(one.tasks for one in items) + 1.5e-3 * requests + 2e-5 * whole,
        memory_mb=host_mb(gpus, EVALUATION - ENCODER + memory + logits * min(1, network.weights / 1e6)), disk=120.0 * requests,
        threads=threads, gpus=gpus,
    )  # fmt: skip


def evaluate_model(job: Job) -> Work:
    return _evaluate(job, job.ids["model"], job.gpus)


def evaluate_pretrained(job: Job) -> Work:
    return _evaluate(job, job.ids["pretrained"], job.gpus)


def count_ngrams(job: Job) -> Work:
    tokens = min(job.subset * tokens_of(job.size.bytes), 1e8)
    return Work("thin", serial=1.5e-7 * tokens, memory_mb=TABLES + 50 + 50 * tokens / MB)


def find_benchmark_items(job: Job) -> Work:
    whole = sum(one.all for one in job.items())
    text = job.subset * job.size.bytes
    return Work("thin", serial=1.6e-4 * whole + 1.2e-7 * text, read=text, memory_mb=TABLES + (2000 * whole + 2 * min(job.subset, 1024) * job.size.bytes) / MB)  # fmt: skip


def find_contaminated_documents(job: Job) -> Work:
    whole = sum(one.all for one in job.items())
    return Work(serial=1.6e-4 * whole + 1.2e-7 * job.text, read=job.text, memory_mb=TABLES + (2000 * whole + 2 * min(job.documents, 1024) * job.size.bytes) / MB)  # fmt: skip


def build_heldout_benchmark(job: Job) -> Work:
    heldout = job.config["corpora"][job.ids["corpus"]]["heldout"]["documents"]
    return Work(serial=1e-4 * heldout + 1e-7 * job.size.documents, read=job.size.text, memory_mb=TABLES + (heldout * job.size.bytes * 6) / MB + min(PIECES, 4 * job.size.text / MB))  # fmt: skip


def mirror_benchmark(job: Job) -> Work:
    one = job.benchmark(job.ids["benchmark"])
    return Work(
        "plots", serial=2e-5 * one.all, memory_mb=TABLES + 100 + 2000 * one.all / MB, disk=300 * one.all
    )


# ---------------------------------------------------------------- tables


def _table(job: Job) -> tuple[float, float, int]:
    """Models of a table, its items, and documents of its largest corpus."""
    names = set(job.config["tables"][job.ids["table"]].get("experiments") or [])
    experiments = [one for one in job.config["experiments"] if one["name"] in names]
    runs = sum(len(one["samplers"]) * len(one["data_seeds"]) for one in experiments)
    items, documents = 0.0, 0
    for corpus in {one["corpus"] for one in experiments}:
        of_corpus = Job(job.config, job.rule, {"corpus": corpus}, job.sizes)
        suites = {suite for one in experiments if one["corpus"] == corpus for suite in one["suites"]}
        benchmarks = {name for suite in suites for name in job.config["suites"][suite]}
        items = max(items, sum(of_corpus.benchmark(name).items for name in benchmarks))
        documents = max(documents, of_corpus.size.documents)
    return float(runs), items, documents


def compare_arms(job: Job) -> Work:
    runs, items, _ = _table(job)
    return Work(
        "plots", serial=4e-6 * runs * items + 0.01 * runs, memory_mb=TABLES + 100 + 400 * runs * items / MB
    )


def write_report(job: Job) -> Work:
    of_tables = [
        _table(Job(job.config, job.rule, {"table": name}, job.sizes))[:2] for name in job.config["targets"]
    ]
    answers = sum(runs * items for runs, items in of_tables)
    names = {
        name
        for table in job.config["targets"]
        for name in job.config["tables"][table].get("experiments") or []
    }
    corpora = {one["corpus"] for one in job.config["experiments"] if one["name"] in names}
    documents = sum(
        Job(job.config, job.rule, {"corpus": corpus}, job.sizes).size.documents for corpus in corpora
    )
    largest = max((runs * items for runs, items in of_tables), default=0.0)
    return Work(
        "light", serial=0.5 + 8e-6 * answers + 1e-7 * documents, memory_mb=TABLES + 100 + 400 * largest / MB
    )


def chart_learning_curves(job: Job) -> Work:
    runs, items, _ = _table(job)
    return Work("plots", serial=0.5 + 2e-6 * runs * items, memory_mb=TABLES + 150 + 1600 * runs * items / MB)


def map_chosen_documents(job: Job) -> Work:
    runs, _, documents = _table(job)
    return Work(
        "plots", serial=1.0 + 1e-5 * documents, memory_mb=TABLES + 150 + (300 * documents + 1e5 * runs) / MB
    )


# ---------------------------------------------------------------- profiles


def embed_labels(job: Job) -> Work:
    texts = sum(map(len, job.config["label_sets"][job.ids["label_set"]]["labels"].values()))
    network = networks.encoder(job.config["encoders"][job.ids["encoder"]]["dimension"])
    return Work(
        "encoder",
        {"embed": texts * 12 * network.forward(12)},
        memory_mb=ENCODER + 8 * network.parameters / MB,
    )


def entail_documents(job: Job) -> Work:
    labels = job.config["label_sets"][job.ids["label_set"]]
    passes = sum(map(len, labels["labels"].values()))
    network = networks.encoder(768)  # of the usual size, base
    tokens = job.read_tokens(labels["nli"]["max_tokens"])
    memory = (
        ENCODER + 8 * network.parameters / MB + job.block_mb + job.tokenised_mb(labels["nli"]["max_tokens"])
    )
    return Work(
        "encoder", {"embed": job.documents * passes * tokens * network.forward(tokens)},
        memory_mb=host_mb(job.gpus, memory), disk=4.0 * passes * job.documents, threads=8, gpus=job.gpus,
    )  # fmt: skip


def measure_documents(job: Job) -> Work:
    vectors = families.facts(job.ids["family"]).vectors
    memory = TABLES + 150 + 2 * job.block_mb + job.documents * (200 + (1600 if vectors else 0)) / MB
    return Work(serial=1e-6 * job.text, read=job.text, memory_mb=memory, disk=40.0 * job.documents)


def count_documents(job: Job) -> Work:
    return Work(serial=2.5e-7 * job.text, read=job.text, memory_mb=TABLES + 300 + 4 * job.block_mb + 600 * min(job.documents, 10**6) / MB, disk=100.0 * job.documents)  # fmt: skip


def describe_corpus(job: Job) -> Work:
    shard = shard_documents(job.size.documents, job.shards, None)
    return Work(
        "plots",
        serial=6e-6 * job.size.documents,
        memory_mb=TABLES + 200 + (300 * shard + 200 * job.shards * BLOCK) / MB,
    )


def associate_measures(job: Job) -> Work:
    shard = shard_documents(job.size.documents, job.shards, None)
    return Work(
        "plots",
        serial=1e-5 * job.size.documents,
        read=job.size.text,
        memory_mb=TABLES + 200 + 600 * shard / MB + job.block_mb,
    )


def measure_creativity(job: Job) -> Work:
    n = job.size.documents
    return Work(
        "plots",
        serial=1e-5 * n + min(n, 20_000) * 3e-4,
        read=job.size.text,
        memory_mb=TABLES + 300 + 60 * n / MB + job.block_mb,
    )


def compare_draws(job: Job) -> Work:
    shard = shard_documents(job.size.documents, job.shards, None)
    return Work(
        "plots",
        serial=1e-5 * job.size.documents + 3,
        read=job.size.text,
        memory_mb=TABLES + 300 + 600 * shard / MB + job.block_mb,
    )


# ---------------------------------------------------------------- rounds


def predict_pool(job: Job) -> Work:
    rounds = job.config["rounds"]["budgets"].get(job.ids["budget"], {})
    documents = min(job.documents, (rounds.get("pool") or job.size.documents) / job.shards)
    network = networks.model(job.config, job.ids["model"])
    tokens = job.read_tokens(networks.max_tokens(job.config, job.ids["model"]))
    memory = (
        ENCODER
        + 8 * network.parameters / MB
        + job.block_mb
        + job.tokenised_mb(tokens)
        + 40 * job.size.documents / MB
    )
    return Work(
        "encoder", {"classify": documents * tokens * network.forward(tokens)}, memory_mb=host_mb(job.gpus, memory),
        disk=40.0 * documents, threads=8, gpus=job.gpus,
    )  # fmt: skip


def run_probes(job: Job) -> Work:
    derived = job.config["rounds"]["budgets"].get(job.ids["budget"])
    budget = job.config["budgets"][derived["budget"] if derived else job.ids["budget"]]
    rounds = budget.get("rounds") or {"count": 0, "add": 0}
    seeds = len(probe_seeds(job.config, {k: v for k, v in job.ids.items() if k != "suite"})) or 1
    sizes = [min(budget["train"] + i * rounds["add"], job.size.documents) for i in range(rounds["count"] + 1)]
    d = job.config["encoders"][job.config["models"][job.ids["model"]]["encoder"]]["dimension"]
    n = job.size.documents
    each = sum(5.5e-7 * size * d + 1e-8 * n * d + 1e-2 for size in sizes)
    return Work(
        serial=0.6 + seeds * each,
        memory_mb=TABLES + 120 + draw_mb(job) + (2 * n * d + max(sizes) * d * 16 + 60 * n + seeds * len(sizes) * 2000 * 100) / MB,
    )  # fmt: skip
