"""Draws of rounds as the workflow makes them, on odd pools: no document twice, every document accounted for, and defined ends
where labels or documents run out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_probes import BUDGET, ENTROPY, RANDOM, Arm
from winnow.rounds.probe import fit_probe
from winnow.rounds.probes import Corpus, draw_round, train_split
from winnow.sample.acquisition import round_sample
from winnow.sample.pool import Inputs
from winnow.sample.sampler import parse_sampler
from winnow.stage import InputError

SHIPPED = yaml.safe_load((ROOT / "config" / "samplers.yaml").read_text())["samplers"]
DRAWN = ["random", "proportionate", "uniform", *(name for name, one in SHIPPED.items() if "start" in one)]


class Files:
    """Documents 3, 6, 9, ... in clusters, some held out, duplicates or excluded, as the files that a draw reads."""

    def __init__(self, folder: Path, role: list[str], cluster: list[int], excluded: list[bool], classes: int):
        generator = np.random.default_rng(len(role))
        n, self.excluded = len(role), excluded
        doc = 3 + 3 * np.arange(n)
        self.cluster = np.array(cluster)
        self.out = doc[np.array(role) != "pool"]
        self.gone = doc[np.isin(self.cluster, np.flatnonzero(excluded))]
        vectors = generator.standard_normal((n, 5)).astype(np.float16)
        self.corpus = Corpus(doc, generator.integers(0, classes, n), [vectors], classes)
        where = folder / "d.parquet"
        pq.write_table(
            pa.table(
                {"doc": doc, "cluster": pa.array(cluster, pa.int32()), "distance": np.zeros(n, np.float32)}
            ),
            where,
        )
        held = [i for i in range(n) if role[i] != "pool"]
        pq.write_table(
            pa.table(
                {
                    "doc": pa.array(doc[held], pa.int64()),
                    "role": pa.array([role[i] for i in held], pa.string()),
                }
            ),
            folder / "h.parquet",
        )
        k = len(excluded)
        sizes = np.bincount(self.cluster[[i for i in range(n) if role[i] == "pool"]], minlength=k)
        pq.write_table(
            pa.table(
                {"cluster": pa.array(range(k), pa.int32()), "documents": sizes, "mean_distance": np.ones(k),
                 "sum_distance": sizes * 1.0, "diversity": np.ones(k), "excluded": excluded, "reason": [""] * k}
            ),
            folder / "c.parquet",
        )  # fmt: skip
        self.inputs = Inputs(heldout=folder / "h.parquet", documents=[where], assignments=[where], clusters=folder / "c.parquet")  # fmt: skip


@st.composite
def pools(draw) -> tuple[list[str], list[int], list[bool]]:
    n, k = draw(st.integers(30, 90)), draw(st.integers(1, 4))
    role = draw(st.lists(st.sampled_from(["pool"] * 6 + ["heldout", "duplicate"]), min_size=n, max_size=n))
    cluster = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    excluded = draw(st.lists(st.booleans(), min_size=k, max_size=k))
    excluded[draw(st.integers(0, k - 1))] = False
    return role, cluster, excluded


@pytest.mark.parametrize("name", DRAWN)
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(
    pools(),
    st.integers(2, 12),
    st.integers(1, 12),
    st.none() | st.integers(12, 40),
    st.integers(2, 4),
    st.integers(0, 9),
)
def test_no_document_is_drawn_twice_and_every_document_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, name: str, pool, first: int, add: int, looked_at: int | None, classes: int,
    seed: int,
) -> None:  # fmt: skip
    files = Files(tmp_path_factory.mktemp("p"), *pool, classes)
    corpus, budget = files.corpus, {"train": first, "rounds": {"count": 3, "add": add, "pool": looked_at}}
    sampler = parse_sampler(SHIPPED[name])
    start = parse_sampler(SHIPPED[SHIPPED[name]["start"]]) if "start" in SHIPPED[name] else sampler
    free = set(corpus.doc.tolist()) - set(files.out.tolist()) - set(files.gone.tolist())
    table, probe, used = None, None, set()
    for index in range(4):
        asks = "start" in SHIPPED[name] and index > 0
        available, required = free, first + index * add
        if asks:
            left = np.setdiff1d(corpus.doc, [*used, *files.out])
            available, required = free & set(round_sample(left, looked_at, seed, index).tolist()), add
        arguments = (index, files.inputs, (start, sampler), budget, seed, None, corpus, table, probe)
        if len(available) < required:
            with pytest.raises(InputError, match=r"exceed|no document passes"):
                draw_round(*arguments)
            return
        table, facts = draw_round(*arguments)
        doc = table["doc"].to_pylist()
        assert len(doc) == len(set(doc)) == first + index * add
        assert used <= set(doc) <= free
        where = files.cluster[corpus.rows(np.array(doc, dtype=np.int64))]
        assert not any(files.excluded[c] for c in where)
        counted = facts["pool"]["documents"] + sum(facts["pool"]["excluded"].values())
        assert counted == len(corpus.doc)
        assert facts["pool"]["documents"] == len(available)
        if asks:
            assert facts["pool"]["excluded"]["used"] == len(used)
            assert looked_at is not None or len(available) == len(free) - len(used)
        used = set(doc)
        at = corpus.rows(train_split(table))
        probe = fit_probe(train_split(table), corpus.take(at), corpus.label[at], classes)


@pytest.mark.parametrize(
    "name", ["margin", "least-confidence", "entropy-quantiles", "entropy-clusters", "badge"]
)
def test_the_region_between_two_classes_is_found_by_a_probe(tmp_path: Path, name: str) -> None:
    """4 % of the vectors lie halfway between two classes; a random draw would take 4 % of its documents there."""
    generator = np.random.default_rng(1)
    n, between = 1500, 60
    label = generator.integers(0, 2, n)
    centre = np.where(label[:, None] == 0, [4.0, 0, 0, 0, 0], [0, 4.0, 0, 0, 0])
    centre[:between] = [2.0, 2.0, 0, 0, 0]
    vectors = centre + 0.3 * generator.standard_normal((n, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    files = Files(tmp_path, ["pool"] * n, [0] * n, [False], 2)
    corpus = Corpus(files.corpus.doc, label, [vectors.astype(np.float16)], 2)
    sampler, start = parse_sampler(SHIPPED[name]), parse_sampler(SHIPPED["random"])
    budget = {"train": 40, "rounds": {"count": 1, "add": 30, "pool": None}}
    first, _ = draw_round(0, files.inputs, (start, sampler), budget, 0, None, corpus, None, None)
    at = corpus.rows(train_split(first))
    probe = fit_probe(train_split(first), corpus.take(at), label[at], 2)
    table, _ = draw_round(1, files.inputs, (start, sampler), budget, 0, None, corpus, first, probe)
    new = corpus.rows(np.setdiff1d(table["doc"].to_numpy(), first["doc"].to_numpy()))
    # Ten quantiles with equal quotas ask the sure documents, too: only their first three documents are certain to be there.
    assert (new < between).mean() >= (0.09 if name == "entropy-quantiles" else 0.6)


class Rare(Arm):
    """An arm of which all documents but a few are of class 0, and class 2 occurs in the test only."""

    def __init__(self, folder: Path, few: int):
        super().__init__(folder, classes=3)
        for path in self.inputs["documents"]:
            table = pq.read_table(path)
            label = np.where(np.isin(table["doc"].to_numpy(), np.arange(few) * 90 + 7), 1, 0)
            pq.write_table(table.set_column(1, "label", pa.array(label)), path)


@pytest.mark.parametrize("few", [0, 6])
def test_a_first_round_of_one_class_draws_the_next_at_random_and_goes_on(tmp_path: Path, few: int) -> None:
    out = Rare(tmp_path, few).run("entropy", ENTROPY, RANDOM, BUDGET, [0, 1, 2])
    runs = json.loads((out / "results.json").read_text())["runs"]
    assert [run["labels"] for run in runs] == [40, 60, 80, 100] * 3
    assert all(run["classes"][2] == 0 for run in runs)
    items = pq.read_table(out / "items.parquet").to_pandas()
    assert not (items["prediction"] == 2).any()  # a class that no training document has
    alone = {(run["data_seed"], run["round"]) for run in runs if run["classes"][1] == 0}
    assert alone
    for (seed, index), part in items.groupby(["data_seed", "round"]):
        if (seed, index) in alone:
            assert (part["prediction"] == 0).all()
            assert (part["confidence"] == 1).all()
    assert np.isfinite([run["figures"]["test"]["f1"] for run in runs]).all()
    if few:  # found in the end, and known from then on
        assert any(run["classes"][1] for run in runs if run["round"] == 3)


def test_a_pool_that_runs_dry_is_one_line_that_says_where_and_leaves_nothing(tmp_path: Path) -> None:
    arm = Arm(tmp_path)
    budget = {"train": 500, "rounds": {"count": 2, "add": 60}}
    expected = {
        "entropy": r"^data seed 3, round 2: budget: 60 documents exceed the pool of 40 \(left out: 560 used\); lower the "
        r"budget, in rounds of labelling count or add, or raise rounds\.pool$",
        "random": r"^data seed 3, round 2: budget: 620 documents exceed the pool of 600; lower the budget",
    }
    for name, sampler in (("entropy", ENTROPY), ("random", RANDOM)):
        with pytest.raises(InputError, match=expected[name]):
            arm.run(name, sampler, RANDOM if name == "entropy" else None, budget, [3])
        assert list((tmp_path / name).iterdir()) == []
