"""Rounds of labelling as the workflow plans them: each round waits for the model of the one before, and nothing else."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Snakemake, copy_workflow

RUN = {
    "budgets": {"labels": {"train": 50, "rounds": {"count": 2, "add": 30, "pool": 500}}},
    "experiments": [
        {"name": "tuned", "corpus": "sst2-mini", "clustering": "minilm-k12", "model": "minilm-classifier", "budget": "labels",
         "samplers": ["random", "margin", "entropy-clusters", "badge"], "data_seeds": [0, 1], "suites": ["labels"]},
    ],
    "tables": {"tuned": {"title": "T", "experiments": ["tuned"], "baseline": "random"}},
    "targets": ["tuned"],
}  # fmt: skip

STARTS = {"margin": "random", "entropy-clusters": "uniform", "badge": "random"}
"""Samplers of the first draw of those that ask a model."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounds") / "clone"
    copy_workflow(folder)
    return folder


@pytest.fixture
def plan(clone: Path, snakemake: Snakemake):
    def jobs(run: dict) -> dict[str, int]:
        (clone / "run.yaml").write_text(json.dumps(run))
        done = snakemake("--dry-run", "--configfile", "run.yaml", cwd=clone)
        assert done.code == 0, done.text
        return done.jobs()

    return jobs


def test_rounds_are_chained_and_their_first_is_shared(plan) -> None:
    found = plan(RUN)
    # Per data seed: random draws 3 budgets, uniform (the start of entropy-clusters) 1; three asking arms 2 rounds each.
    assert found["draw_sample"] == 2 * 4
    assert found["draw_round"] == 2 * 3 * 2
    assert found["train_model"] == found["evaluate_model"] == 2 * (4 + 6)
    # Predictions of the two first-round models, and of the middle round of the three asking arms.
    assert found["predict_pool"] == 2 * (2 + 3)
    assert found["chart_learning_curves"] == found["compare_arms"] == found["compare_samplers"] == 1
    assert found["map_chosen_documents"] == found["chart_labelling_costs"] == 1
    assert "run_probes" not in found


@pytest.mark.slow
def test_more_rounds_and_seeds_add_only_their_own_jobs(plan) -> None:
    more = json.loads(json.dumps(RUN))
    more["budgets"]["labels"]["rounds"]["count"] = 3
    more["experiments"][0]["data_seeds"] = [0, 1, 2]
    found, before = plan(more), plan(RUN)
    assert found["draw_round"] == 3 * 3 * 3
    assert found["predict_pool"] == 3 * (2 + 2 * 3)
    assert (
        found["embed_documents"] == before["embed_documents"] == 2
    )  # those of the clustering, and for badge


def test_probes_train_nothing_with_torch_but_the_embeddings(plan) -> None:
    run = json.loads(json.dumps(RUN))
    run["experiments"][0] |= {"model": "minilm-probe", "data_seeds": list(range(20))}
    found = plan(run)
    assert found["run_probes"] == 4
    assert found["compare_samplers"] == found["map_chosen_documents"] == found["chart_labelling_costs"] == 1
    assert found["embed_benchmark"] == 1
    assert not {
        "draw_sample",
        "draw_round",
        "train_model",
        "evaluate_model",
        "predict_pool",
        "chart_costs",
    } & set(found)


@pytest.mark.parametrize("model", ["minilm-probe", "minilm-classifier"])
def test_chosen_documents_are_shown_under_the_name_of_their_own_arm(
    clone: Path, snakemake: Snakemake, model: str
) -> None:
    """The order of the arms must be that of the files: sorted by name, each would be shown with the draws of another."""
    run = json.loads(json.dumps(RUN))
    run["experiments"][0] |= {"model": model}
    (clone / "run.yaml").write_text(json.dumps(run))
    target = "results/tables/tuned.chosen.html"
    done = snakemake("--dry-run", "-p", target, "--configfile", "run.yaml", cwd=clone)
    assert done.code == 0, done.text
    command = done.text.split("python -m winnow.rounds.chosen")[1].split("&>")[0]
    spec = json.loads(shlex.split(command.split("--spec", 1)[1])[0])
    files = iter(re.findall(r"\S+/draws?\.parquet", command))
    for arm in spec["arms"]:
        name = arm["name"].split("/")[1]
        for _, index in arm["draws"] or [(0, 1)]:  # of probes one file
            sampler = next(files).split("/")[4]
            assert sampler.split(".")[0] == (STARTS.get(name, name) if index == 0 else name)
    assert list(files) == []
    asked = [one for arm in spec["arms"] for one in arm["predictions"]]
    assert len(asked) == (3 * 2 * 2 if model == "minilm-classifier" else 0)


def test_labelling_costs_charge_the_chain_of_an_arm_that_asks_and_one_training_of_others(
    clone: Path, snakemake: Snakemake
) -> None:
    (clone / "run.yaml").write_text(json.dumps(RUN))
    target = "results/tables/tuned.labelling.html"
    done = snakemake("--dry-run", "-p", target, "--configfile", "run.yaml", cwd=clone)
    assert done.code == 0, done.text
    command = done.text.split("python -m winnow.rounds.costs --spec ")[1]
    arms = {arm["name"]: arm for arm in json.loads(shlex.split(command.split("&>")[0])[0])["arms"]}
    jobs = {name: {part: len(files) for part, files in arm["jobs"].items()} for name, arm in arms.items()}
    assert jobs["tuned/random"] == {"draws": 1, "trainings": 1}
    assert jobs["tuned/margin"] == {"draws": 3, "predictions": 2, "trainings": 3}
    assert jobs["tuned/badge"] == {"embedding": 1, "draws": 3, "predictions": 2, "trainings": 3}
    clusters = {"embedding": 1, "clustering": 3, "draws": 3, "predictions": 2, "trainings": 3}
    assert jobs["tuned/entropy-clusters"] == clusters
    assert len(arms["tuned/margin"]["metrics"]) == 3


@pytest.mark.slow
def test_a_chain_of_rounds_really_runs_and_a_lost_round_is_made_again_the_same(
    clone: Path, snakemake: Snakemake
) -> None:
    run = json.loads(json.dumps(RUN))
    run["experiments"][0] |= {"samplers": ["random", "margin"], "data_seeds": [0]}
    (clone / "run.yaml").write_text(json.dumps(run))
    line = ("--profile", "profiles/local", "--cores", "2", "--configfile", "run.yaml")
    done = snakemake(*line, cwd=clone)
    assert done.code == 0, done.text
    subsets = clone / "results/sst2-mini/subsets/none"
    draws = [subsets / "random/labels.round0"]
    draws += [subsets / f"margin.minilm-classifier/labels.round{i}" for i in (1, 2)]
    docs = [pq.read_table(path / "seed0/draw.parquet")["doc"].to_pylist() for path in draws]
    assert [len(set(doc)) for doc in docs] == [len(doc) for doc in docs] == [50, 80, 110]
    assert set(docs[0]) < set(docs[1]) < set(docs[2])
    last = (draws[2] / "seed0/draw.parquet").read_bytes()
    for path in clone.glob(
        "results/sst2-mini/models/*/random/labels.round0/seed0/*/seed0/predictions/*.parquet"
    ):
        path.unlink()
    (draws[1] / "seed0/draw.parquet").unlink()
    assert snakemake(*line, cwd=clone).code == 0
    assert (draws[2] / "seed0/draw.parquet").read_bytes() == last
    assert "Nothing to be done" in snakemake(*line, cwd=clone).text
