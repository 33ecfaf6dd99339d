"""Rounds of labelling in the configuration: derived names, what is shared between arms, and what is refused in one line."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from conftest import ROOT
from winnow.config.checks import resolve
from winnow.config.files import definition_files, merge, read_files
from winnow.experiments import (
    arms,
    every_run,
    labels_in_rounds,
    needs,
    probe_seeds,
    rounds_of,
    table_rounds,
    table_runs,
)
from winnow.selection import selection_jobs
from winnow.stage import InputError

RUN: dict[str, Any] = {
    "budgets": {"labels": {"train": 50, "rounds": {"count": 2, "add": 30}}},
    "experiments": [
        {"name": "tuned", "corpus": "sst2-mini", "clustering": "minilm-k12", "model": "minilm-classifier", "budget": "labels",
         "samplers": ["random", "uniform", "margin", "entropy-clusters"], "data_seeds": [0, 1], "suites": ["labels"]},
        {"name": "probes", "corpus": "sst2-mini", "clustering": "minilm-k12", "model": "minilm-probe", "budget": "labels",
         "samplers": ["random", "margin"], "data_seeds": [0, 1, 2], "suites": ["labels"]},
        {"name": "all", "corpus": "sst2-mini", "clustering": None, "model": "minilm-classifier", "budget": "mini-all",
         "samplers": ["random"], "data_seeds": [0], "suites": ["labels"]},
    ],
    "tables": {"tuned": {"title": "T", "experiments": ["tuned"], "baseline": "random", "ceiling": "all/random"},
               "probes": {"title": "P", "experiments": ["probes"], "baseline": "random"}},
    "targets": ["tuned", "probes"],
}  # fmt: skip


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    return read_files(definition_files(ROOT))


def resolved(shipped: dict[str, Any], change=lambda run: None) -> dict[str, Any]:
    run, merged = copy.deepcopy(RUN), copy.deepcopy(shipped)
    change(run)
    merge(merged, run)
    return resolve(merged)


def test_each_round_is_a_budget_and_an_asking_sampler_bears_its_model(shipped: dict[str, Any]) -> None:
    config = resolved(shipped)
    assert [config["budgets"][f"labels.round{i}"]["train"] for i in range(3)] == [50, 80, 110]
    assert config["rounds"]["budgets"]["labels.round2"] == {
        "budget": "labels", "round": 2, "count": 2, "add": 30, "pool": None
    }  # fmt: skip
    assert set(config["rounds"]["samplers"]) == {
        "margin.minilm-classifier", "entropy-clusters.minilm-classifier", "margin.minilm-probe"
    }  # fmt: skip
    found = arms(config, config["experiments"][0])
    assert found["tuned/margin"] == {
        "corpus": "sst2-mini", "clustering": "none", "sampler": "margin.minilm-classifier", "budget": "labels.round2",
        "model": "minilm-classifier",
    }  # fmt: skip
    assert found["tuned/entropy-clusters"]["clustering"] == "minilm-k12"


def test_first_rounds_are_shared_with_the_samplers_that_arms_start_with(shipped: dict[str, Any]) -> None:
    config = resolved(shipped)
    tuned = config["experiments"][0]
    by_arm = {arm: rounds_of(config, tuned, ids) for arm, ids in arms(config, tuned).items()}
    assert by_arm["tuned/margin"][0] == by_arm["tuned/random"][0]
    assert by_arm["tuned/entropy-clusters"][0] == by_arm["tuned/uniform"][0]
    assert [ids["budget"] for ids in by_arm["tuned/margin"]] == [f"labels.round{i}" for i in range(3)]
    trained = {tuple(sorted(ids.items())) for ids in every_run(config)}
    assert (
        len(trained) == 2 * (2 * 3 + 2 * 2) + 1
    )  # two arms with three rounds, two with two of their own; the ceiling


def test_probes_are_one_job_of_all_seeds_and_trained_models_are_not_theirs(shipped: dict[str, Any]) -> None:
    config = resolved(shipped)
    ids = arms(config, config["experiments"][1])["probes/margin"]
    assert probe_seeds(config, ids) == [0, 1, 2]
    assert table_runs(config, "probes") == []
    assert labels_in_rounds(config, "probes")
    rounds = table_rounds(config, "tuned")
    assert [labels for _, labels in rounds["tuned/margin"]] == [50, 80, 110]
    assert [labels for _, labels in rounds["all/random"]] == [3400]
    assert ("encoders", "minilm-64", "source") in needs(config).weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run["experiments"][0].update(budget="mini-labels"), "asks the model of the round before"),
        (lambda run: run["experiments"][0].update(model="neox-nano", suites=["mini"]), "require a classifier or a probe"),
        (lambda run: run["experiments"][0].update(training_seeds=[1, 2]), "train once a draw"),
        (lambda run: run.update(samplers={"odd": {"allocation": {"weight": "none"}, "ranking": {"by": "badge"}, "start": "margin"}})
         or run["experiments"][0].update(samplers=["random", "odd"]), "waits for a model; take one that does not"),
        (lambda run: run.update(samplers={"odd": {"allocation": {"weight": "none"}, "ranking": {"by": "badge"}, "start": "randm"}})
         or run["experiments"][0].update(samplers=["random", "odd"]), "did you mean 'random'"),
        (lambda run: run["budgets"].update({"labels.round1": {"train": 3}}), "the name is that of a round"),
        (lambda run: run["budgets"]["labels"]["rounds"].update(add=2000), "asks for 4,050 documents"),
        (lambda run: run["budgets"]["labels"]["rounds"].update(pool=20), "a round looks at 20 documents and adds 30; look at more"),
        (lambda run: run.update(models={"minilm-classifier": {"rounds": "carry-on"}}), '"carry-on" is not one of scratch, continue'),
        (lambda run: run["tables"]["tuned"].update(ceiling="all/randm"), "is not among the arms"),
        (lambda run: run["experiments"][1].update(corpus="tinystories-mini", clustering="minilm-k12"), "has no label column"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(shipped: dict[str, Any], change, message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolved(shipped, change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_arm_that_asks_a_model_is_charged_for_all_its_rounds(shipped: dict[str, Any]) -> None:
    config = resolved(shipped)
    ids = dict(arms(config, config["experiments"][0])["tuned/margin"], data_seed=1)
    jobs = selection_jobs(config, ids)
    rules = [rule for rule, _ in jobs]
    assert rules.count("draw_round") == rules.count("train_model") == rules.count("predict_pool") == 2
    assert rules.count("draw_sample") == 1
    assert {job["budget"] for rule, job in jobs if rule == "train_model"} == {
        "labels.round0",
        "labels.round1",
    }
    assert {job["sampler"] for rule, job in jobs if rule == "draw_sample"} == {"random"}
    assert {job["training_seed"] for rule, job in jobs if rule == "predict_pool"} == {1}
