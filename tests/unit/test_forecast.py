"""The forecast of a run: counts that are exact, times that follow the work, silence where nothing is heavy."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from winnow.commands.corpus_sizes import corpus_size
from winnow.commands.forecast import forecast
from winnow.config.checks import resolve
from winnow.config.files import definition_files, read_files
from winnow.work.machine import DEFAULT

ROOT = Path(__file__).parents[2]
Jobs = list[tuple[str, dict[str, str]]]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return resolve(read_files(definition_files(ROOT)))


def embed(corpus: str, encoder: str = "minilm", shards: int = 1) -> Jobs:
    return [
        ("embed_documents", {"corpus": corpus, "encoder": encoder, "shard": f"{i:04d}"})
        for i in range(shards)
    ]


def train(corpus: str, model: str, budget: str, count: int = 1) -> Jobs:
    ids = {"corpus": corpus, "model": model, "budget": budget, "clustering": "none", "sampler": "random"}
    return [("train_model", {**ids, "data_seed": str(i), "training_seed": str(i)}) for i in range(count)]


def minutes(message: str) -> float:
    number, unit = message.rsplit("about ", 1)[1].split(" on ")[0].split()
    return float(number.replace(",", "")) * {"minutes": 1, "hours": 60, "days": 1440}[unit]


def test_a_run_without_heavy_jobs_has_no_forecast(config: dict[str, Any], tmp_path: Path) -> None:
    assert forecast(config, str(tmp_path), [("compare_published", {"table": "idea-1"})], 2) == ""


def unstated(config: dict[str, Any], corpus: str) -> dict[str, Any]:
    """The configuration without the stated size of a corpus."""
    return {**config, "corpora": {**config["corpora"], corpus: {**config["corpora"][corpus], "size": None}}}


def test_documents_that_nobody_has_counted_are_named(config: dict[str, Any], tmp_path: Path) -> None:
    jobs = embed("pile", "e5-large", 256) + embed("sst2-mini")
    message = forecast(unstated(config, "pile"), str(tmp_path), jobs, 0)
    assert message == (
        "Forecast: embed 4,000 documents (about 61,000 tokens) and the documents of pile (not counted yet)"
    )


def test_an_nli_model_costs_a_pass_for_each_document_and_text(config: dict[str, Any], tmp_path: Path) -> None:
    labels = {"joy": ["It is happy."], "fear": ["It is afraid."]}
    nli = {"source": {"folder": "nli", "sha256": "0" * 64}, "max_tokens": 512}
    jobs = [("entail_documents", {"corpus": "tinystories-mini", "label_set": "mine", "shard": "0000"})]
    few = {**config, "label_sets": {"mine": {"labels": labels, "nli": nli}}}
    many = {**config, "label_sets": {"mine": {"labels": {k: v * 10 for k, v in labels.items()}, "nli": nli}}}
    one, ten = (forecast(each, str(tmp_path), jobs, 1) for each in (few, many))
    assert "judge 1 label set by an NLI model" in one
    assert minutes(ten) == pytest.approx(10 * minutes(one), rel=0.2)


def test_documents_are_known_once_a_source_was_indexed(config: dict[str, Any], tmp_path: Path) -> None:
    unknown = unstated(config, "sst2")
    assert corpus_size(unknown, str(tmp_path), "sst2") is None
    (tmp_path / "sst2").mkdir()
    index = tmp_path / "sst2" / "source.json"
    index.write_text(json.dumps({"rows": 67_349}))
    size = corpus_size(unknown, str(tmp_path), "sst2")
    assert size is not None
    assert (size.documents, size.counted) == (67_349, True)
    for broken in ("", "[]", '{"rows": null}'):
        index.write_text(broken)
        assert corpus_size(unknown, str(tmp_path), "sst2") is None


def test_a_large_model_takes_longer_than_a_small_one(config: dict[str, Any], tmp_path: Path) -> None:
    names = ("pythia-70m", "pythia-160m", "pythia-1.4b")
    took = [minutes(forecast(config, str(tmp_path), train("pile", n, "minipile"), 2)) for n in names]
    assert took == sorted(took)
    assert took[0] < took[-1] / 20


def test_more_cores_take_less_time(config: dict[str, Any], tmp_path: Path) -> None:
    jobs = train("pile-mini", "neox-nano", "mini", 60)
    took = [minutes(forecast(config, str(tmp_path), jobs, cores)) for cores in (1, 4)]
    assert took[0] == pytest.approx(4 * took[1], rel=0.3)


def test_a_measured_machine_decides_the_time(config: dict[str, Any], tmp_path: Path) -> None:
    jobs = train("pile-mini", "neox-nano", "mini", 60)
    usual = minutes(forecast(config, str(tmp_path), jobs, 1))
    slow = dataclasses.replace(DEFAULT, train=DEFAULT.train / 20, heavy=DEFAULT.heavy * 2)
    (tmp_path / "calibration.json").write_text(json.dumps({"machine": dataclasses.asdict(slow)}))
    assert minutes(forecast(config, str(tmp_path), jobs, 1)) > 5 * usual


def test_a_umap_of_many_documents_takes_longer_on_any_number_of_cores(
    config: dict[str, Any], tmp_path: Path
) -> None:
    job: Jobs = [("reduce_vectors", {"corpus": "sst2", "encoder": "minilm", "reduction": "umap-50"})]
    unknown = forecast(config, str(tmp_path), job, 2)
    assert unknown.startswith("Forecast: reduce 1 set of vectors: ")
    (tmp_path / "sst2").mkdir()
    (tmp_path / "sst2" / "source.json").write_text(json.dumps({"rows": 67_349}))
    took = [minutes(forecast(config, str(tmp_path), job, cores)) for cores in (1, 8)]
    assert took[0] == took[1] > 4


def test_a_sweep_is_priced_by_its_clusterings(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "sst2").mkdir()
    (tmp_path / "sst2" / "source.json").write_text(json.dumps({"rows": 67_349}))
    job: Jobs = [("sweep_clusters", {"corpus": "sst2", "clustering": "minilm-k100"})]
    few = {**config, "sweep": {**config["sweep"], "k": [2, 3]}}
    more = {**config, "sweep": {**config["sweep"], "k": list(range(2, 41))}}
    said = [forecast(one, str(tmp_path), job, 1) for one in (few, more)]
    assert said[0].startswith("Forecast: sweep k for 1 clustering: ")
    assert minutes(said[1]) > 5


@pytest.mark.parametrize("scorer", ["proxy-loss", "web-likelihood", "entropy", "web-ngrams"])
def test_every_kind_of_scorer_is_priced(config: dict[str, Any], tmp_path: Path, scorer: str) -> None:
    jobs: Jobs = [("score_documents", {"corpus": "pile-mini", "scorer": scorer, "shard": "0000"})]
    assert forecast(config, str(tmp_path), jobs + train("pile-mini", "neox-nano", "mini"), 1).startswith(
        "Forecast: train 1"
    )


def test_completions_are_priced_by_their_tokens(config: dict[str, Any], tmp_path: Path) -> None:
    def said(**settings: int) -> float:
        completion = {"words": 16, "tokens": 64, "samples": 2, "temperature": 1.0, **settings}
        benchmark = {"heldout": "completion", "items": 5000, "seed": 0, "completion": completion}
        corpora = {
            **config["corpora"],
            "stories": {**config["corpora"]["tinystories-mini"], "heldout": {"documents": 9000}},
        }
        one = {**config, "benchmarks": {"b": benchmark}, "suites": {"s": ["b"]}, "corpora": corpora}
        ids = {"corpus": "stories", "model": "stories-8m", "suite": "s"}
        return minutes(forecast(one, str(tmp_path), [("evaluate_model", ids)] * 4, 1))

    assert said(tokens=256) == pytest.approx(4 * said(), rel=0.1)
    assert said(samples=5) == pytest.approx(2 * said(), rel=0.2)


def test_a_disk_with_too_little_room_is_named_before_the_run(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = train("sst2-mini", "neox-nano", "mini")
    room = type("Usage", (), {"free": 10_000})
    monkeypatch.setattr("winnow.commands.forecast.shutil.disk_usage", lambda folder: room)
    first, second = forecast(config, str(tmp_path / "later"), jobs, 2).splitlines()
    assert first.startswith("Forecast: train 1 model")
    assert second.startswith("Disk: the run keeps about")
    assert "0 GB are free: make room" in second
    room.free = 10**9
    assert len(forecast(config, str(tmp_path), jobs, 2).splitlines()) == 1
