"""Members of tables, comparisons and selections: what the rules take from a configuration, without Snakemake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from winnow.config.checks import resolve
from winnow.config.files import definition_files, read_files
from winnow.experiments import (
    compared_corpora,
    compared_draws,
    compared_tables,
    every_run,
    experiments_of,
    has_published_figures,
    pretrained_suites,
    shifted_draws,
    table_benchmarks,
    table_members,
    table_runs,
    table_suites,
)
from winnow.selection import consumers, gpus, runs_model, scoring_pool, selection_jobs, trained_proxies

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo() -> dict[str, Any]:
    return resolve(read_files(definition_files(ROOT)))


@pytest.fixture(scope="module")
def paper() -> dict[str, Any]:
    return resolve(read_files([*definition_files(ROOT), ROOT / "config" / "minipile.yaml"]))


def draw(sampler: str, clustering: str = "minilm-k22", **more: Any) -> dict[str, Any]:
    ids = {"corpus": "pile-mini", "clustering": clustering, "sampler": sampler, "budget": "mini"}
    return {**ids, "data_seed": 0, **more}


def test_the_paper_is_a_run_of_its_own(demo: dict[str, Any], paper: dict[str, Any]) -> None:
    assert {experiment["corpus"] for experiment in paper["experiments"]} == {"pile", "minipile"}
    assert "reproduction" in paper["targets"]
    assert "reproduction" not in demo["tables"]
    assert any(has_published_figures(paper, name) for name in paper["targets"])
    assert not any(has_published_figures(demo, name) for name in demo["targets"])


def test_a_run_is_trained_once_whatever_tables_show_it(demo: dict[str, Any]) -> None:
    runs = every_run(demo)
    assert len(runs) == 8
    assert {(run["data_seed"], run["training_seed"]) for run in runs} == {(0, 0), (1, 1), (2, 2)}
    assert len(table_runs(demo, "pile-mini")) == 6


def test_members_of_a_table_are_its_arms_and_then_its_pretrained_models(paper: dict[str, Any]) -> None:
    members = table_members(paper, "reproduction")
    pretrained = ["pythia-160m-deduped", "pythia-160m-minipile", "pythia-160m-minipile-reproduction"]
    assert list(members)[-3:] == pretrained
    assert members["pythia-160m-deduped"] == {"pretrained": "pythia-160m-deduped", "corpus": "pile"}
    arm = members["minipile-itself-160m/random"]
    assert (arm["corpus"], arm["data_seeds"], arm["tokenizer"]) == ("minipile", [0, 1, 2], "gpt-neox-20b")
    assert "minipile-k220-160m/density" not in members


def test_pretrained_models_are_evaluated_on_the_largest_suites_of_the_baselines_corpus(
    paper: dict[str, Any],
) -> None:
    assert pretrained_suites(paper, "reproduction") == ("pile", ["paper"])
    assert table_suites(paper, "reproduction") == ["paper", "paper-tasks"]
    assert table_benchmarks(paper, "reproduction", "task")["blimp"] == "blimp"
    assert "heldout-bpb" not in table_benchmarks(paper, "reproduction", "metrics")


def test_samplers_are_compared_where_there_are_two_subsets(demo: dict[str, Any]) -> None:
    assert compared_corpora(demo, demo["experiments"]) == ["pile-mini", "sst2-mini", "tinystories-mini"]
    one = dict(demo["experiments"][0], samplers=["random"])
    assert compared_corpora(demo, [one]) == []
    assert [e["name"] for e in experiments_of(demo, ["sst2-mini"])] == ["sst2-mini"]
    arms = [arm for arm, _ in compared_draws(demo, "pile-mini")]
    assert arms[0] == {
        "experiment": "pile-mini",
        "sampler": "random",
        "seed": 0,
        "clustering": "minilm-k22",
        "tokens": True,
        "probe": False,
    }
    assert len(arms) == 6
    probe, ids = compared_draws(demo, "sst2-mini")[0]
    assert (probe["probe"], ids["suite"], ids["data_seed"]) == (True, "labels", 0)
    # An arm that asks a model has the name that the table has for it, else it is in no comparison of the table.
    named = {f"{arm['experiment']}/{arm['sampler']}" for arm, _ in compared_draws(demo, "sst2-mini")}
    assert named >= set(compared_tables(demo, "sst2-mini")[0]["arms"])
    assert [table["name"] for table in compared_tables(demo, "sst2-mini")] == ["sst2-mini"]
    assert [table["name"] for table in compared_tables(demo, "pile-mini")] == ["pile-mini"]
    assert compared_draws(demo, "pile") == []


def test_draws_that_come_before_training_are_compared_with_their_corpus(demo: dict[str, Any]) -> None:
    """Those of rounds and of probes come with models: `snakemake profile` would train them."""
    draws = {e["name"]: len(shifted_draws(demo, e)) for e in demo["experiments"]}
    assert draws == {"pile-mini": 6, "sst2-mini": 0, "sst2-mini-all": 0, "tinystories-mini": 2}


def test_scores_of_texts_are_shared_by_the_clusterings_of_a_pool_without_exclusions(
    demo: dict[str, Any],
) -> None:
    assert scoring_pool(demo, draw("repset")) == "none"
    assert scoring_pool(demo, draw("repset", "minilm-hdbscan")) == "minilm-hdbscan"
    in_domain, general = trained_proxies(demo, "pile-mini", "minilm-hdbscan", "web-likelihood")
    assert in_domain["clustering"] == general["clustering"] == "minilm-hdbscan"
    assert (in_domain["sampler"], general["sampler"]) == ("proxy-train-web", "proxy-train")


def test_what_scorers_learned_from_is_named_once(demo: dict[str, Any]) -> None:
    learned, models = consumers(demo, draw("lossi-3"))
    assert learned["probe"] == "proxy-loss"
    assert len(learned["proxies"]) == len(models) == 1
    learned, models = consumers(demo, draw("entropy", corpus="sst2-mini"))
    assert [entry["labels"] for entry in learned["proxies"]] == [True]
    assert consumers(demo, draw("dsir"))[0]["targets"] == [{"scorer": "web-ngrams", "labels": False}]
    assert consumers(demo, draw("uniform")) == ({"proxies": [], "probe": None, "targets": []}, [])


def test_an_arm_without_clusters_is_charged_for_no_clustering(demo: dict[str, Any]) -> None:
    assert [rule for rule, _ in selection_jobs(demo, draw("random", "none"))] == ["draw_sample"]
    rules = {rule for rule, _ in selection_jobs(demo, draw("uniform"))}
    assert rules == {
        "draw_sample",
        "embed_documents",
        "fit_clusters",
        "assign_clusters",
        "summarise_clusters",
    }
    assert "find_near_duplicates" not in {rule for rule, _ in selection_jobs(demo, draw("semdedup-after"))}


def test_jobs_ask_for_a_gpu_by_the_size_of_their_work(paper: dict[str, Any]) -> None:
    shard = {"corpus": "pile", "encoder": "e5-large", "shard": "0000"}
    assert gpus(paper, "embed_documents", shard) == 1
    assert gpus(paper, "embed_documents", {**shard, "corpus": "pile-mini"}) == 0
    assert gpus(paper, "score_documents", {"corpus": "pile", "scorer": "web-ngrams"}) == 0
    assert gpus(paper, "score_documents", {"corpus": "pile", "scorer": "proxy-loss"}) == 1
    assert [gpus(paper, "train_model", {"model": m}) for m in ("neox-nano", "pythia-160m")] == [0, 1]
    assert gpus(paper, "draw_sample", draw("random")) == 0
    assert runs_model(paper, "score_documents", {"corpus": "pile-mini", "scorer": "proxy-loss"})
    assert not runs_model(paper, "score_documents", {"corpus": "pile-mini", "scorer": "web-ngrams"})
    assert runs_model(paper, "entail_documents", {"corpus": "pile-mini", "label_set": "emotions"})
