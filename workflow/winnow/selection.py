"""What the selection of an arm's documents takes: scores, proxies, earlier draws, GPUs, and the jobs it is charged for.

In: a checked configuration and the ids of a draw or a job (winnow.experiments). Out: ids of other jobs; pure functions.
Imported at parse time: nothing heavy here.
"""

from __future__ import annotations

from typing import Any

from winnow.experiments import (
    NO_CLUSTERS,
    Config,
    Ids,
    draw_clustering,
    keeps_excluded_clusters,
    local_proxies,
    pool_of,
    proxies_of,
)
from winnow.profile import kinds as families
from winnow.sample.sampler import needs
from winnow.schedule import round_budget
from winnow.score.kinds import kind_of

Job = tuple[str, Ids]
"""Name of a rule and its wildcards."""


# ---------------------------------------------------------------- scores and proxies


def scoring_pool(config: Config, ids: Ids) -> str:
    """The clustering whose exclusions shape the pool of a sampler's scorers, which is that of its draw."""
    keeps = keeps_excluded_clusters(config, ids["sampler"])
    return pool_of(config, ids["corpus"], None if keeps else ids["clustering"])


def score_clustering(config: Config, ids: Ids, scorer: str) -> str:
    """The clustering under which the scores of a scorer are kept: that of the draw, or that of its pool."""
    reads = kind_of(config["scorers"][scorer]).reads
    return scoring_pool(config, ids) if reads == "texts" else ids["clustering"]


def trained_proxies(config: Config, corpus: str, clustering: str, scorer: str) -> list[Ids]:
    """Ids of the models of a scorer that are trained in the workflow."""
    return [
        proxy_ids(config, proxy, corpus, clustering) for proxy in local_proxies(config["scorers"][scorer])
    ]


def proxy_ids(config: Config, proxy: Config, corpus: str, clustering: str) -> Ids:
    """Ids of a proxy that is trained in the workflow: on the pool of the experiment that it serves, or on another
    corpus."""
    same = proxy["corpus"] in (None, corpus)
    pool = pool_of(config, corpus, clustering) if same else None
    return dict(
        corpus=proxy["corpus"] or corpus,
        clustering=draw_clustering(config, corpus, pool, proxy["sampler"]),
        **{key: proxy[key] for key in ("sampler", "budget", "data_seed", "model", "training_seed")},
    )


def proxy_draws(config: Config, corpus: str, clustering: str, scorer: str) -> list[Ids]:
    """Ids of the draws of this corpus that the trained proxies of a scorer learn from."""
    return [ids for ids in trained_proxies(config, corpus, clustering, scorer) if ids["corpus"] == corpus]


def used_draws(config: Config, ids: Ids) -> list[Ids]:
    """Ids of the earlier draws whose documents a sampler leaves out."""
    corpus = ids["corpus"]
    clustering = None if ids["clustering"] == NO_CLUSTERS else ids["clustering"]
    return [
        dict(
            earlier,
            corpus=corpus,
            clustering=draw_clustering(config, corpus, clustering, earlier["sampler"]),
        )
        for earlier in map(vars, needs(config["samplers"][ids["sampler"]]).used)
    ]


def consumers(config: Config, ids: Ids) -> tuple[dict[str, Any], list[Ids]]:
    """What the scorers of a sampler learn from, as the stage that draws takes it: `proxies` (`scorer`, `role`, `hub`,
    whether its training takes `labels`), `probe` (a scorer's name) and `targets`; and the ids of those proxies that are
    trained in the workflow, in that order."""
    facts = needs(config["samplers"][ids["sampler"]])
    learned: dict[str, Any] = dict(proxies=[], probe=None, targets=[])
    pools = {facts.scores: scoring_pool(config, ids)} if facts.scores else {}
    if facts.losses:
        learned["probe"] = facts.losses
        pools.setdefault(learned["probe"], pool_of(config, ids["corpus"], ids["clustering"]))
    models: list[Ids] = []
    for name, pool in sorted(pools.items()):
        scorer = config["scorers"][name]
        for role, proxy in proxies_of(scorer).items():
            entry = dict(
                scorer=name,
                role=role,
                hub=proxy.get("hub"),
                labels=kind_of(scorer).proxies[role] == "classifier",
            )
            if not entry["hub"]:
                model = proxy_ids(config, proxy, ids["corpus"], pool)
                if model in models:
                    continue
                models.append(model)
                where = config["samplers"][model["sampler"]]["filters"].get("where")
                entry["labels"] = entry["labels"] or chosen_by_label(config, model["corpus"], where)
            learned["proxies"].append(entry)
        if kind_of(scorer).fits:
            target = scorer["target"]
            labels = chosen_by_label(config, target["corpus"] or ids["corpus"], target.get("where"))
            learned["targets"].append(dict(scorer=name, labels=labels))
    return learned, models


def chosen_by_label(config: Config, corpus: str, where: Config | None) -> bool:
    """Whether a condition chooses documents by the label of their corpus."""
    return where is not None and where["column"] == config["corpora"][corpus]["label"]


# ---------------------------------------------------------------- what a job asks for


def is_large_corpus(config: Config, corpus: str) -> bool:
    """Whether a corpus is of a size that requires a GPU: more than a million documents in shards."""
    return config["corpora"][corpus]["shards"] >= 16


def is_large_model(config: Config, name: str) -> bool:
    """Whether a model requires a GPU and many cores."""
    model = config["models"][name]
    return model["kind"] == "language-model" and (model["width"] >= 256 or model["sequence"] >= 1024)


def gpus(config: Config, rule: str, ids: Config) -> int:
    """GPUs (0 or 1) that a job asks for, by the name of its rule and its wildcards: resource of the rule, and what the
    costs of an arm count as GPU hours."""
    match rule:
        case "embed_documents" | "entail_documents" | "find_near_duplicates":
            return int(is_large_corpus(config, ids["corpus"]))
        case "score_documents" | "score_probe":
            return int(runs_model(config, rule, ids) and is_large_corpus(config, ids["corpus"]))
        case "train_model" | "evaluate_model":
            return int(is_large_model(config, ids["model"]))
        case "predict_pool":
            return int(is_large_corpus(config, ids["corpus"]))
        case "evaluate_pretrained":
            return 1
    return 0


def runs_model(config: Config, rule: str, ids: Config) -> bool:
    """Whether a job trains or evaluates a model, whose FLOPs no file of a selection states."""
    if rule == "score_documents":
        return kind_of(config["scorers"][ids["scorer"]]).gpu
    return rule in ("embed_documents", "entail_documents", "score_probe", "train_model", "predict_pool")


# ---------------------------------------------------------------- what an arm is charged for

NOT_CHARGED = {
    "generate_corpus": "every arm reads the corpus",
    "download_corpus": "every arm reads the corpus",
    "index_source": "every arm reads the corpus",
    "write_documents": "every arm reads the corpus",
    "hold_out": "every arm reads the corpus",
    "download_model": "a download takes no processor",
    "download_benchmark": "a download takes no processor",
    "build_heldout_benchmark": "every arm is evaluated on it",
    "build_labelled_benchmark": "every arm is evaluated on it",
    "build_grammar_benchmark": "every arm is evaluated on it",
    "mirror_benchmark": "every arm is evaluated on it",
    "train_tokenizer": "every arm is trained with it",
    "count_tokens": "every arm of a budget in tokens takes it",
    "inspect_clusters": "a page for a person, made once a clustering",
    "exclude_clusters": "a second",
    "write_subset": "of a proxy: seconds",
    "tokenize_subset": "of a proxy: seconds",
}
"""Rules on which a draw can depend and which no arm is charged for, and why. A proxy's draw is not charged, either."""


def selection_jobs(config: Config, ids: Ids) -> list[Job]:
    """The jobs that the selection of an arm's documents is charged for: its draw (`ids` have a data seed) and what that
    depends on, without the rules of NOT_CHARGED. Sorted; each once."""
    corpus, clustering = ids["corpus"], ids["clustering"]
    facts = needs(config["samplers"][ids["sampler"]])
    shards = [f"{i:04d}" for i in range(config["corpora"][corpus]["shards"])]
    jobs: list[Job] = _draw_jobs(config, ids, shards)
    if clustering != NO_CLUSTERS:
        definition, where = config["clusterings"][clustering], _pick(ids, "corpus clustering")
        method = {"kmeans": "clusters", "hdbscan": "hdbscan"}[definition["method"]]
        jobs += [(f"fit_{method}", where), ("summarise_clusters", where)]
        if reduction := definition["reduce"]:
            encoder = definition["encoder"]
            jobs.append(("reduce_vectors", dict(corpus=corpus, encoder=encoder, reduction=reduction)))
        for shard in shards:
            jobs.append(("embed_documents", dict(corpus=corpus, encoder=definition["encoder"], shard=shard)))
            jobs.append((f"assign_{method}", dict(where, shard=shard)))
    if suite := facts.contaminated:
        jobs += [
            ("find_contaminated_documents", dict(corpus=corpus, suite=suite, shard=shard)) for shard in shards
        ]
    for measure in (facts.filter_measure, facts.rank_measure):
        if measure:
            jobs += _measure_jobs(config, corpus, measure, shards)
    if facts.scores:
        jobs += _score_jobs(config, ids, facts.scores, shards)
    if facts.near:
        jobs += _score_jobs(config, ids, facts.near, shards)
    if facts.losses:
        jobs += _probe_jobs(config, ids, facts.losses, shards)
    unique = {(rule, tuple(sorted(job.items()))) for rule, job in jobs}
    return [(rule, dict(job)) for rule, job in sorted(unique, key=str)]


def round_before(config: Config, ids: Ids) -> Ids:
    """The ids of the same arm one round earlier; other keys (seeds, model) are kept.

    `ids`: of a draw or a run of a round after the first.
    """
    now, sampler, clustering = config["rounds"]["budgets"][ids["budget"]], ids["sampler"], ids["clustering"]
    start = config["samplers"][sampler]["start"]
    if start and now["round"] == 1:
        none = clustering == NO_CLUSTERS
        sampler, clustering = (
            start,
            draw_clustering(config, ids["corpus"], None if none else clustering, start),
        )
    budget = round_budget(now["budget"], now["round"] - 1)
    return dict(ids, sampler=sampler, clustering=clustering, budget=budget)


def previous_round(config: Config, ids: Ids) -> Ids:
    """The run of the round before, with whose model a sampler that asks one draws: ids with `model` and `training_seed`.

    `ids`: of a draw of a round after the first, with a data seed.
    """
    asked = config["rounds"]["samplers"][ids["sampler"]]
    return dict(round_before(config, ids), model=asked["model"], training_seed=ids["data_seed"])


def continued_run(config: Config, ids: Ids) -> Ids | None:
    """The run whose model a run starts from: that of the round before in its arm, if its model continues from round to
    round; None if it starts from the encoder."""
    now = config["rounds"]["budgets"].get(ids["budget"])
    if not now or not now["round"] or config["models"][ids["model"]].get("rounds") != "continue":
        return None
    return round_before(config, ids)


def trainings_of(config: Config, ids: Ids) -> list[Ids]:
    """The runs whose training a model consists of: its own, then those of earlier rounds that it continues."""
    before = continued_run(config, ids)
    return [ids, *(trainings_of(config, before) if before else [])]


def _draw_jobs(config: Config, ids: Ids, shards: list[str]) -> list[Job]:
    """The draw of an arm; of one that asks a model, the draws, trainings and predictions of all its rounds."""
    draw = _pick(ids, "corpus clustering sampler budget data_seed")
    if ids["sampler"] not in config.get("rounds", {}).get("samplers", {}):
        return [("draw_sample", draw)]
    before = previous_round(config, ids)
    jobs: list[Job] = [("draw_round", draw)]
    if config["models"][before["model"]].get("rounds") != "continue":  # else part of the arm's own training
        jobs.append(("train_model", before))
    jobs += [("predict_pool", dict(before, shard=shard)) for shard in shards]
    if needs(config["samplers"][ids["sampler"]]).draws == "badge":
        encoder = config["models"][before["model"]]["encoder"]
        jobs += [
            ("embed_documents", dict(corpus=ids["corpus"], encoder=encoder, shard=shard)) for shard in shards
        ]
    return jobs + _draw_jobs(config, before, shards)


def _pick(ids: Ids, keys: str) -> Ids:
    return {key: ids[key] for key in keys.split()}


def _score_jobs(config: Config, ids: Ids, scorer: str, shards: list[str]) -> list[Job]:
    """The scores of a scorer's documents, and the models they come from."""
    kind = kind_of(config["scorers"][scorer])
    where = dict(corpus=ids["corpus"], clustering=score_clustering(config, ids, scorer), scorer=scorer)
    if kind.reads == "clustering":
        return [("find_near_duplicates", where)]
    rule = "score_vectors" if kind.reads == "vectors" else "score_documents"
    jobs: list[Job] = [(rule, dict(where, shard=shard)) for shard in shards]
    if kind.fits:
        jobs.append(("fit_ratios", where))
    return jobs + _trainings(config, ids["corpus"], where["clustering"], scorer)


def _measure_jobs(config: Config, corpus: str, measure: str, shards: list[str]) -> list[Job]:
    """The measures of the profile that a sampler goes by, and the vectors that they read."""
    family = measure_family(config, measure)
    jobs: list[Job] = [
        ("measure_documents", dict(corpus=corpus, family=family, shard=shard)) for shard in shards
    ]
    labels = families.facts(family).labels
    if families.nli_model(config, family):
        jobs += [("entail_documents", dict(corpus=corpus, label_set=labels, shard=shard)) for shard in shards]
        return jobs
    if families.facts(family).vectors:
        encoder = config["profile"]["encoder"]
        jobs += [("embed_documents", dict(corpus=corpus, encoder=encoder, shard=shard)) for shard in shards]
    if labels:
        jobs += [("embed_labels", dict(encoder=config["profile"]["encoder"], label_set=labels))]
    return jobs


def measure_family(config: Config, measure: str) -> str:
    """The family of a measure of the profile."""
    family = families.family_of(measure, config["profile"]["families"])
    assert family is not None
    return family


def _probe_jobs(config: Config, ids: Ids, scorer: str, shards: list[str]) -> list[Job]:
    """The losses of clusters, on a probe of each."""
    where = dict(corpus=ids["corpus"], clustering=ids["clustering"], scorer=scorer)
    jobs: list[Job] = [("choose_probe", where), ("mean_losses", where)]
    jobs += [("score_probe", dict(where, shard=shard)) for shard in shards]
    return jobs + _trainings(config, ids["corpus"], ids["clustering"], scorer)


def _trainings(config: Config, corpus: str, clustering: str, scorer: str) -> list[Job]:
    return [("train_model", proxy) for proxy in trained_proxies(config, corpus, clustering, scorer)]
