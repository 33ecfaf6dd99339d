"""What an arm is charged for is what its draw depends on: a job that is forgotten would make its sampler look cheap."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake, copy_workflow
from winnow.selection import NOT_CHARGED

SHIPPED = {
    name: sampler
    for name, sampler in yaml.safe_load((ROOT / "config" / "samplers.yaml").read_text())["samplers"].items()
    if "start" not in sampler
}
TEXTS = [name for name in SHIPPED if name != "entropy" and not name.startswith("proxy-train")]
LOCAL = {"task": "arc_challenge", "data": {"files": {"test": "arc.jsonl"}}}


def experiment(name: str, corpus: str, clustering: str, samplers: list[str], **more: Any) -> dict[str, Any]:
    return {"name": name, "corpus": corpus, "clustering": clustering, "samplers": samplers, "budget": "few",
            "model": "neox-nano", "data_seeds": [0], "suites": ["mini"], **more}  # fmt: skip


RUN: dict[str, Any] = {
    "corpora": {"pile-mini": {"shards": 2}, "sst2-mini": {"shards": 20}},
    "budgets": {"few": {"train": 100}, "few-tokens": {"unit": "tokens", "tokenizer": "bpe-2k", "train": 9000}},
    "reductions": {"pca-8": {"method": "pca", "dimensions": 8}},
    "clusterings": {"reduced-k5": {"encoder": "minilm", "reduce": "pca-8", "k": 5}},
    "benchmarks": {"local": LOCAL},
    "suites": {"paper": ["local", "heldout-bpb", "grammar-pairs"]},
    "experiments": [
        experiment("kmeans", "pile-mini", "minilm-k22", [n for n in TEXTS if n != "random-whole"]),
        experiment("hdbscan", "pile-mini", "minilm-hdbscan", TEXTS),
        experiment("tokens", "pile-mini", "minilm-k22", ["random", "uniform"], budget="few-tokens"),
        experiment("labels", "sst2-mini", "minilm-hdbscan", ["random", "entropy"], model="minilm-classifier",
                   suites=["labels"]),
        experiment("proposed", "tinystories-mini", "minilm-k12", ["random", "uniform"]),
        experiment("reduced", "pile-mini", "reduced-k5", ["random", "uniform", "lsh", "semdedup"]),
    ],
    "targets": ["kmeans", "hdbscan", "tokens", "labels", "proposed", "reduced"],
}  # fmt: skip
RUN["corpora"]["tinystories-mini"] = {"apply_proposals": True}
RUN["tables"] = {
    name: {"title": name, "experiments": [name], "baseline": "random"} for name in RUN["targets"]
}
# Of each job its rule, its benchmark file, whether it asks for a GPU, and the jobs that it waits for.
PROBE = """
include: "Snakefile"

import json
from snakemake.logging import logger as _logger


def _dump(record):
    if getattr(record, "event", None) == LogEvent.RUN_INFO:
        jobs = {
            str(job.output[0]): {
                "rule": job.rule.name,
                "timing": str(job.benchmark),
                "gpu": int(job.resources.get("gpu", 0)),
                "spec": job.params.get("spec"),
                "before": [str(other.output[0]) for other in workflow.dag.dependencies[job]],
            }
            for job in workflow.dag.jobs
            if job.output
        }
        with open("jobs.json", "w") as out:
            json.dump(jobs, out)
    return True


if workflow.is_main_process:
    _logger.addFilter(_dump)
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> dict[str, dict[str, Any]]:
    """Every job of the run, by its first output."""
    folder = copy_workflow(tmp_path_factory.mktemp("charges"))
    (folder / "arc.jsonl").write_text("{}\n")
    (folder / "probe.smk").write_text(PROBE)
    (folder / "run.yaml").write_text(yaml.safe_dump(RUN))
    line = ("all", "-s", "probe.smk", "--configfile", "run.yaml", "--dry-run", "--quiet", "rules")
    done = snakemake(*line, cwd=folder)
    assert done.code == 0, done.text
    return json.loads((folder / "jobs.json").read_text())


def charges(jobs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the tables' specs charge each arm for: `gpu` and `cpu` (files), `models`."""
    specs = [json.loads(job["spec"]) for job in jobs.values() if job["rule"] == "chart_costs"]
    return {arm: files for spec in specs for arm, files in spec["selection"].items()}


def draw_of(jobs: dict[str, dict[str, Any]], arm: str) -> str:
    """The first output of the draw of an arm."""
    specs = [json.loads(job["spec"]) for job in jobs.values() if job["rule"] == "chart_costs"]
    (ids,) = [spec["arms"][arm] for spec in specs if arm in spec["arms"]]
    key = "{corpus}/subsets/{clustering}/{sampler}/{budget}/seed0/draw.parquet".format(**ids)
    return f"results/{key}"


def ancestors(jobs: dict[str, dict[str, Any]], output: str) -> set[str]:
    """The jobs that a job waits for, itself included."""
    waits, left = set(), [output]
    while left:
        if (one := left.pop()) not in waits:
            waits.add(one)
            left += jobs[one]["before"]
    return waits


ARMS = [f"{e['name']}/{sampler}" for e in RUN["experiments"] for sampler in e["samplers"]]


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_charged_for_every_job_of_its_draw(jobs: dict[str, dict[str, Any]], arm: str) -> None:
    draw = draw_of(jobs, arm)
    waits = ancestors(jobs, draw)
    of_proxies = {name for name in waits if jobs[name]["rule"] == "draw_sample"} - {draw}
    expected = {jobs[name]["timing"] for name in waits - of_proxies if jobs[name]["rule"] not in NOT_CHARGED}
    charged = charges(jobs)[arm]
    assert {*charged["gpu"], *charged["cpu"]} == expected
    assert draw.removesuffix("/draw.parquet").split("/subsets/")[1] in " ".join(charged["cpu"])


@pytest.mark.parametrize("arm", ARMS)
def test_gpu_hours_are_those_of_jobs_that_ask_for_a_gpu(jobs: dict[str, dict[str, Any]], arm: str) -> None:
    gpus = {job["timing"]: job["gpu"] for job in jobs.values()}
    charged = charges(jobs)[arm]
    assert all(gpus[path] for path in charged["gpu"])
    assert not any(gpus[path] for path in charged["cpu"])
    # sst2-mini has the shards of a large corpus here; of the proxies, Pythia 70M is a large model.
    assert bool(charged["gpu"]) == (arm.startswith("labels/") or "70m" in arm)


def test_flops_are_unknown_only_where_a_model_ran(jobs: dict[str, dict[str, Any]]) -> None:
    charged = charges(jobs)
    models = {arm for arm in ARMS if charged[arm]["models"]}
    assert {"kmeans/uniform", "kmeans/repset", "kmeans/lossi", "labels/entropy"} <= models
    assert not {"kmeans/random", "kmeans/dsir"} & models


def test_every_rule_that_is_not_charged_exists() -> None:
    text = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert [rule for rule in NOT_CHARGED if f"rule {rule}:\n" not in text] == []


def test_the_run_has_every_kind_of_scorer_filter_and_weight(jobs: dict[str, dict[str, Any]]) -> None:
    rules = {job["rule"] for job in jobs.values()}
    scoring = ("score_documents", "score_probe", "score_vectors", "find_near_duplicates", "fit_ratios")
    others = ("find_contaminated_documents", "count_tokens", "inspect_clusters", "reduce_vectors")
    assert {*scoring, *others} <= rules


def test_only_arms_of_a_reduced_clustering_are_charged_for_the_reduction(
    jobs: dict[str, dict[str, Any]],
) -> None:
    charged = {arm for arm, files in charges(jobs).items() if "/reduce_vectors/" in " ".join(files["cpu"])}
    assert charged == {"reduced/uniform", "reduced/lsh", "reduced/semdedup"}
