"""An arm of probes: rounds and seeds in one process, the same bytes again, figures that its own items bear out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from winnow.rounds import probes
from winnow.rounds.probe import fit_probe
from winnow.sample.acquisition import entropy
from winnow.stage import InputError, canonical

RANDOM = {"allocation": {"weight": "none"}}
ENTROPY = {"allocation": {"weight": "none"}, "ranking": {"by": "uncertainty"}, "start": "random"}
UNIFORM_ENTROPY = {"allocation": {"weight": "equal"}, "ranking": {"by": "uncertainty"}, "start": "uniform"}
NOTHING = {"proxies": [], "probe": None, "targets": []}


class Arm:
    """A labelled corpus of 600 documents with planted vectors, and 150 test items."""

    def __init__(self, folder: Path, classes: int = 2):
        self.folder = folder
        generator = np.random.default_rng(0)
        label = generator.integers(0, classes, 750)
        vectors = generator.standard_normal((750, 10)) + 1.2 * np.eye(classes, 10)[label]
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
        doc = np.arange(600)
        files = [folder / "0.parquet", folder / "1.parquet"]
        vector_files = [folder / "0.npy", folder / "1.npy"]
        for file, array, part in zip(files, vector_files, (doc[:250], doc[250:]), strict=True):
            columns = {"doc": part, "label": label[part], "cluster": pa.array(part % 3, pa.int32())}
            pq.write_table(pa.table(columns), file)
            np.save(array, vectors[part])
        sizes = np.bincount(doc % 3)
        pq.write_table(
            pa.table(
                {"cluster": pa.array(range(3), pa.int32()), "documents": sizes, "mean_distance": np.ones(3),
                 "sum_distance": sizes * 1.0, "diversity": np.ones(3), "excluded": [False] * 3, "reason": [""] * 3}
            ),
            folder / "c.parquet",
        )  # fmt: skip
        pq.write_table(
            pa.table({"doc": pa.array([], pa.int64()), "role": pa.array([], pa.string())}),
            folder / "h.parquet",
        )
        names = [str(i) for i in range(classes)]
        (folder / "source.json").write_text(json.dumps({"labels": {"names": names}}))
        (folder / "test").mkdir()
        (folder / "test/manifest.json").write_text(
            json.dumps({"kind": "labels", "classes": names, "name": "test"})
        )
        pq.write_table(
            pa.table(
                {"item": np.arange(150), "group": pa.nulls(150), "text": [""] * 150, "label": label[600:]}
            ),
            folder / "test/data.parquet",
        )
        np.save(folder / "test.npy", vectors[600:])
        self.inputs = {
            "documents": files, "embeddings": vector_files, "source": folder / "source.json", "heldout": folder / "h.parquet",
            "benchmarks": [folder / "test"], "benchmark_vectors": [folder / "test.npy"],
        }  # fmt: skip
        self.clustered = {"assignments": files, "clusters": [folder / "c.parquet"]}

    def run(
        self, name: str, sampler: dict, start: dict | None, budget: dict, seeds: list[int], more=None
    ) -> Path:
        out = self.folder / name
        out.mkdir(exist_ok=True)
        spec = {
            "ids": {"sampler": name}, "sampler": sampler, "start": start, "budget": budget, "data_seeds": seeds,
            "benchmarks": {"test": {}}, "semdedup": None, "selection": NOTHING,
        }  # fmt: skip
        probes.main(**{**self.inputs, **(more or {})}, spec=canonical(spec), items=out / "items.parquet",
                    draws=out / "draws.parquet", timings=out / "timings.json", out=out / "results.json")  # fmt: skip
        return out


BUDGET = {"train": 40, "rounds": {"count": 3, "add": 20}}


@pytest.fixture
def arm(tmp_path: Path) -> Arm:
    return Arm(tmp_path)


def test_rounds_are_nested_trained_on_all_so_far_and_their_figures_are_those_of_their_items(arm: Arm) -> None:
    out = arm.run("entropy", ENTROPY, RANDOM, BUDGET, [0, 1, 2])
    results, items = json.loads((out / "results.json").read_text()), pq.read_table(out / "items.parquet")
    draws = pq.read_table(out / "draws.parquet")
    assert [(r["data_seed"], r["round"], r["labels"]) for r in results["runs"]] == [
        (seed, index, 40 + 20 * index) for seed in range(3) for index in range(4)
    ]
    for run in results["runs"]:
        here = items.filter(
            pc.and_(pc.equal(items["data_seed"], run["data_seed"]), pc.equal(items["round"], run["round"]))
        )
        assert len(here) == 150
        assert run["figures"]["test"]["acc"] == pytest.approx(np.mean(here["value"].to_numpy()))
        assert sum(run["classes"]) == run["labels"]
    for seed in range(3):
        mine = draws.filter(pc.equal(draws["data_seed"], seed))
        assert np.bincount(mine["round"].to_numpy()).tolist() == [40, 20, 20, 20]
        assert len(set(mine["doc"].to_pylist())) == 100
    assert len({r["train"] for r in results["runs"]}) == 12


def test_a_draw_keeps_how_uncertain_the_probe_of_the_round_before_was(arm: Arm) -> None:
    """The page of chosen documents shows it as the reason of a choice; the first draw has none."""
    out = arm.run("entropy", ENTROPY, RANDOM, BUDGET, [0])
    draws = pq.read_table(out / "draws.parquet").to_pandas()
    assert draws[draws["round"] == 0][["entropy", "margin", "confidence"]].isna().all(axis=None)
    corpus = probes.open_corpus(arm.inputs["documents"], arm.inputs["embeddings"], 2)
    first = np.sort(draws[draws["round"] == 0]["doc"].to_numpy())
    p = corpus.probabilities(fit_probe(first, corpus.take(first), corpus.label[first], 2))
    second = draws[draws["round"] == 1]
    chosen = second["doc"].to_numpy()
    expected = entropy(p)
    assert second["entropy"].to_numpy() == pytest.approx(expected[chosen], abs=1e-6)
    assert second["confidence"].to_numpy() == pytest.approx(p[chosen].max(1), abs=1e-6)
    left = np.setdiff1d(np.arange(600), np.concatenate((first, chosen)))
    assert expected[chosen].min() >= expected[left].max()
    seconds = json.loads((out / "timings.json").read_text())["seconds"]
    assert set(seconds) == {"draw", "train", "evaluate", "total"}


def test_a_sampler_without_a_model_draws_the_same_nested_documents_as_its_own_draws(arm: Arm) -> None:
    out = arm.run("random", RANDOM, None, BUDGET, [4])
    one = arm.run("whole", RANDOM, None, {"train": 100}, [4])
    rounds, whole = (set(pq.read_table(o / "draws.parquet")["doc"].to_pylist()) for o in (out, one))
    assert rounds == whole
    first = json.loads((arm.run("first", RANDOM, None, {"train": 40}, [4]) / "results.json").read_text())[
        "runs"
    ][0]
    entropy = json.loads((arm.run("entropy", ENTROPY, RANDOM, BUDGET, [4]) / "results.json").read_text())[
        "runs"
    ][0]
    assert entropy["train"] == first["train"]


def test_clusters_share_each_round_alike(arm: Arm) -> None:
    uniform = {"allocation": {"weight": "equal"}}
    out = arm.run(
        "clusters",
        UNIFORM_ENTROPY,
        uniform,
        {"train": 30, "rounds": {"count": 1, "add": 30}},
        [0],
        arm.clustered,
    )
    draws = pq.read_table(out / "draws.parquet")
    assert np.bincount(draws["cluster"].to_numpy()).tolist() == [20, 20, 20]


def test_the_same_run_has_the_same_bytes_and_more_seeds_change_no_earlier_one(arm: Arm) -> None:
    one = arm.run("a", ENTROPY, RANDOM, BUDGET, [0, 1])
    files = {name: (one / name).read_bytes() for name in ("items.parquet", "draws.parquet", "results.json")}
    arm.run("a", ENTROPY, RANDOM, BUDGET, [0, 1])
    assert files == {name: (one / name).read_bytes() for name in files}
    more = arm.run("b", ENTROPY, RANDOM, BUDGET, [0, 1, 2])
    first = json.loads(files["results.json"])["runs"]
    assert json.loads((more / "results.json").read_text())["runs"][: len(first)] == first


def test_what_is_of_another_corpus_or_missing_is_one_line(arm: Arm) -> None:
    manifest = arm.folder / "test/manifest.json"
    manifest.write_text(json.dumps({"kind": "labels", "classes": ["no", "yes"], "name": "test"}))
    with pytest.raises(InputError, match="its classes are no, yes, those of the corpus 0, 1"):
        arm.run("x", RANDOM, None, {"train": 10}, [0])
    (arm.folder / "source.json").write_text(json.dumps({"labels": None}))
    with pytest.raises(InputError, match=r"source\.json: the corpus has no labels"):
        arm.run("x", RANDOM, None, {"train": 10}, [0])
    assert not (arm.folder / "x/results.json").exists()


def test_a_round_that_looks_at_a_sample_draws_from_it_alone(arm: Arm) -> None:
    seen = {"train": 40, "rounds": {"count": 2, "add": 20, "pool": 50}}
    few = arm.run("few", ENTROPY, RANDOM, seen, [0])
    every = arm.run("every", ENTROPY, RANDOM, {**seen, "rounds": {"count": 2, "add": 20, "pool": None}}, [0])
    runs = json.loads((few / "results.json").read_text())["runs"]
    assert [run["pool"]["documents"] for run in runs] == [600, 50, 50]
    assert runs[1]["pool"]["excluded"]["used"] == 40
    one, other = (set(pq.read_table(out / "draws.parquet")["doc"].to_pylist()) for out in (few, every))
    assert one != other
    assert len(one) == 80
