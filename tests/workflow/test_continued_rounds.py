"""Rounds whose model continues that of the round before: which model each starts from, what reruns, what is charged."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import Snakemake, copy_workflow
from test_charges import PROBE, ancestors

RUN: dict[str, Any] = {
    "budgets": {"labels": {"train": 50, "rounds": {"count": 2, "add": 30}}, "few": {"train": 50}},
    "models": {"minilm-classifier": {"rounds": "continue"}},
    "experiments": [
        {"name": "tuned", "corpus": "sst2-mini", "clustering": "minilm-k12", "model": "minilm-classifier", "budget": "labels",
         "samplers": ["random", "proportionate", "margin", "entropy-clusters"], "data_seeds": [3], "suites": ["labels"]},
        {"name": "once", "corpus": "sst2-mini", "clustering": "minilm-k12", "model": "minilm-classifier", "budget": "few",
         "samplers": ["random", "uniform"], "data_seeds": [3], "suites": ["labels"]},
    ],
    "tables": {"tuned": {"title": "T", "experiments": ["tuned"], "baseline": "random"},
               "once": {"title": "O", "experiments": ["once"], "baseline": "random"}},
    "targets": ["tuned", "once"],
}  # fmt: skip
MODELS = "results/sst2-mini/models"
SEEDS = "seed3/minilm-classifier/seed3/config.json"
CHAINS = {
    "tuned/random": ["none/random/labels.round"] * 3,
    "tuned/proportionate": ["minilm-k12/proportionate/labels.round"] * 3,
    "tuned/margin": ["none/random/labels.round", *["none/margin.minilm-classifier/labels.round"] * 2],
    "tuned/entropy-clusters": [
        "minilm-k12/uniform/labels.round",
        *["minilm-k12/entropy-clusters.minilm-classifier/labels.round"] * 2,
    ],
}
"""Of each arm the models of its rounds, without the number of the round."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_workflow(tmp_path_factory.mktemp("continued"))
    (folder / "probe.smk").write_text(PROBE)
    return folder


def planned(clone: Path, snakemake: Snakemake, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every job of a run, by its first output."""
    (clone / "run.yaml").write_text(json.dumps(run))
    line = (
        "all", "-s", "probe.smk", "--configfile", "run.yaml", "--dry-run", "--forceall", "--quiet", "rules",
    )  # fmt: skip
    done = snakemake(*line, cwd=clone)
    assert done.code == 0, done.text
    return json.loads((clone / "jobs.json").read_text())


def scratch() -> dict[str, Any]:
    run = copy.deepcopy(RUN)
    run["models"]["minilm-classifier"]["rounds"] = "scratch"
    return run


@pytest.fixture(scope="module")
def continued(clone: Path, snakemake: Snakemake) -> dict[str, dict[str, Any]]:
    return planned(clone, snakemake, RUN)


def models_of(arm: str) -> list[str]:
    return [f"{MODELS}/{chain}{index}/{SEEDS}" for index, chain in enumerate(CHAINS[arm])]


@pytest.mark.parametrize("arm", CHAINS)
def test_each_round_starts_from_the_model_of_the_round_before_in_its_own_arm(
    continued: dict[str, dict[str, Any]], arm: str
) -> None:
    first, second, third = models_of(arm)
    trainings = {name for name, job in continued.items() if job["rule"] == "train_model"}
    assert trainings & set(continued[third]["before"]) == {second}
    assert trainings & set(continued[second]["before"]) == {first}
    assert not trainings & set(continued[first]["before"])


def test_without_the_key_an_arm_that_asks_no_model_waits_for_none(clone: Path, snakemake: Snakemake) -> None:
    jobs = planned(clone, snakemake, scratch())
    for arm in ("tuned/random", "tuned/proportionate"):
        last = models_of(arm)[-1]
        waits = ancestors(jobs, last) - {last}
        assert not {name for name in waits if jobs[name]["rule"] == "train_model"}


def test_a_training_is_charged_with_those_it_continues_and_once(
    clone: Path, snakemake: Snakemake, continued: dict[str, dict[str, Any]]
) -> None:
    (spec,) = (
        json.loads(job["spec"])
        for name, job in continued.items()
        if job["rule"] == "chart_costs" and "tuned" in name
    )
    for arm in CHAINS:
        files = [continued[model]["timing"] for model in reversed(models_of(arm))]
        assert spec["training"][arm] == {"3/3": files}
        assert "train_model" not in " ".join(spec["selection"][arm]["cpu"] + spec["selection"][arm]["gpu"])
    (spec,) = (
        json.loads(job["spec"])
        for name, job in planned(clone, snakemake, scratch()).items()
        if job["rule"] == "chart_costs" and "tuned" in name
    )
    for arm in CHAINS:
        assert [len(files) for files in spec["training"][arm].values()] == [1]
        earlier = [path for path in spec["selection"][arm]["cpu"] if "/train_model/" in path]
        assert len(earlier) == (2 if arm in ("tuned/margin", "tuned/entropy-clusters") else 0)


@pytest.mark.slow
def test_another_start_reruns_the_later_rounds_and_what_follows_and_nothing_else(
    clone: Path, snakemake: Snakemake, continued: dict[str, dict[str, Any]]
) -> None:
    (clone / "run.yaml").write_text(json.dumps(RUN))
    line = ("all", "--configfile", "run.yaml")
    shown = snakemake(*line, "--dry-run", "--forceall", "--quiet", "reason", cwd=clone)
    outputs = re.findall(r"^    output: (.+)$", shown.text, re.MULTILINE)
    for path in (path for one in outputs for path in one.split(", ")):
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(path)
    done = snakemake(*line, "--touch", "--forceall", "--cores", "1", "--quiet", "all", cwd=clone)
    assert done.code == 0, done.text
    assert snakemake(*line, "--dry-run", "--quiet", "rules", cwd=clone).jobs() == {}
    # First rounds, and models without rounds, start from the encoder either way.
    (clone / "run.yaml").write_text(json.dumps(scratch()))
    jobs = Counter(snakemake(*line, "--dry-run", "--quiet", "rules", cwd=clone).jobs())
    trained = sum(len(models_of(arm)) - 1 for arm in CHAINS)
    assert jobs["train_model"] == jobs["evaluate_model"] == trained
    assert jobs["draw_round"] == jobs["predict_pool"] == 2
    assert not {"draw_sample", "embed_documents", "fit_clusters"} & set(jobs)
    # A first round that is trained again takes the rounds of the arm that continues it with it.
    (clone / "run.yaml").write_text(json.dumps(RUN))
    again = ("--forcerun", models_of("tuned/proportionate")[0])
    jobs = Counter(snakemake(*line, *again, "--dry-run", "--quiet", "rules", cwd=clone).jobs())
    assert jobs["train_model"] == jobs["evaluate_model"] == 3
    assert not {"draw_round", "draw_sample", "predict_pool"} & set(jobs)


def test_a_probe_has_no_such_key(clone: Path, snakemake: Snakemake) -> None:
    run = copy.deepcopy(RUN)
    run["models"] = {"minilm-probe": {"rounds": "continue"}}
    (clone / "run.yaml").write_text(json.dumps(run))
    done = snakemake("--configfile", "run.yaml", "--dry-run", cwd=clone)
    assert done.code == 1
    assert "models.minilm-probe: unknown key 'rounds'; known: encoder, kind" in done.text
