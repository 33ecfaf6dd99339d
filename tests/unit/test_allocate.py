"""Allocations: the published counts to the document, the sound forms' promises, one line for bad input."""

from __future__ import annotations

import csv
import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.sample.allocate import allocate, command, weights
from winnow.sample.apportion import webster
from winnow.sample.cluster_table import ClusterTable, read_clusters
from winnow.sample.sampler import SAMPLERS, Sampler, read_sampler
from winnow.sample.weights import Allocation
from winnow.stage import InputError

ROOT = Path(__file__).parents[2]
REFERENCE = Path(os.environ.get("WINNOW_DATA", ROOT.parent / "shared" / "data")).parent / "reference"
K220 = REFERENCE / "pile_clusters_k220.csv"
needs_k220 = pytest.mark.skipif(not K220.exists(), reason=f"no {K220}; set WINNOW_DATA")
SHIPPED = yaml.safe_load(SAMPLERS.read_text())["samplers"]
ALLOCATED = [name for name, entry in SHIPPED.items() if entry["allocation"]["weight"] != "none"]
PUBLISHED = [name for name in ALLOCATED if "rounding" in SHIPPED[name]]
SOUND = [name for name in ALLOCATED if name not in PUBLISHED]


quick = settings(max_examples=60)


@functools.cache
def sampler(name: str) -> Sampler:
    return read_sampler(SAMPLERS, name)


@st.composite
def tables(draw: st.DrawFn) -> ClusterTable:
    """Cluster tables of up to 12 clusters with gaps in the ids, equal rows and empty clusters among them."""
    k = draw(st.integers(1, 12))
    ids = draw(st.lists(st.integers(-1, 1000), min_size=k, max_size=k, unique=True))
    documents = draw(st.lists(st.integers(0, 60), min_size=k, max_size=k).filter(any))
    number = st.floats(0.01, 0.9)
    distance, diversity, loss = (draw(st.lists(number, min_size=k, max_size=k)) for _ in range(3))
    order = np.argsort(ids)
    size = np.array(documents)[order]
    columns = {
        "mean_distance": np.array(distance)[order],
        "sum_distance": np.array(distance)[order] * size,
        "diversity": np.array(diversity)[order],
        "proxy_loss": np.array(loss)[order],
    }
    return ClusterTable(np.array(ids)[order], size, columns)


def brute_force(weight: np.ndarray, capacity: np.ndarray, budget: int) -> np.ndarray:
    """Webster one document at a time."""
    given = np.zeros(len(weight), dtype=np.int64)
    for _ in range(budget):
        with np.errstate(divide="ignore"):
            price = np.where(given < capacity, (given + 0.5) / weight, np.inf)
        given[np.argmin(price)] += 1
    return given


@needs_k220
@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("uniform-published", 1_010_500),
        ("proportionate-published", 1_010_409),
        ("lossi-published", 1_010_498),
        ("density-published", 946_465),
        ("low-density-published", 934_705),
    ],
)
def test_published_counts_come_out_to_the_document(name, total):
    chosen = sampler(name)
    table = read_clusters(K220, chosen)
    assert (len(table.cluster), table.pool) == (182, 114_286_189)
    assert allocate(table, chosen, 1_010_500).sum() == total


@needs_k220
def test_the_published_first_pass_of_low_density():
    chosen = sampler("low-density-published")
    table = read_clusters(K220, chosen)
    first = Sampler(Allocation("density", omega=0.75, form="published"), rounding="floor")
    assert allocate(table, first, 1_010_500).sum() == 914_494


@needs_k220
def test_published_density_hardly_differs_from_proportionate():
    a, b = sampler("density-published"), sampler("proportionate")
    table = read_clusters(K220, a)
    shares = [w / t for w, t in (weights(table, a.allocation), weights(table, b.allocation))]
    shares = [s / s.sum() for s in shares]
    assert 0.5 * np.abs(shares[0] - shares[1]).sum() == pytest.approx(0.0042, abs=5e-5)


@needs_k220
@pytest.mark.parametrize("name", SOUND)
def test_sound_forms_meet_the_budget_on_the_real_clusters(name):
    chosen = sampler(name)
    table = read_clusters(K220, chosen)
    given = allocate(table, chosen, 1_010_500)
    assert given.sum() == 1_010_500
    assert (given <= table.documents).all()


def test_published_formulas_by_hand():
    """Numbers small enough to follow on paper: T = 100, rho = .5 .2 .4, delta / max = .5 1 .75."""
    columns = {"sum_distance": np.array([5.0, 6.0, 24.0]), "diversity": np.array([0.1, 0.2, 0.15])}
    table = ClusterTable(np.array([3, 7, 20]), np.array([10, 30, 60]), columns)
    assert allocate(table, sampler("density-published"), 50).tolist() == [3, 13, 24]  # 3.75 13.5 24
    # .33 x (.1 + .5 + .5, .3 + .8 + 1, .6 + .6 + .75) = .33 x (1.1, 2.1, 1.95), sum .33 x 5.15; the first is full
    assert allocate(table, sampler("inter-published"), 50).tolist() == [10, 20, 18]
    # .25 x (.1 + .5 + 2 x .5, .3 + .8 + 2 x 1, .6 + .6 + 2 x .75) = .25 x (1.6, 3.1, 2.7), sum .25 x 7.4
    assert allocate(table, sampler("inter-high-published"), 20).tolist() == [4, 8, 7]
    assert allocate(table, sampler("uniform-published"), 50).tolist() == [10, 17, 16]  # the first is full
    # first pass at .75: 3.125, 12.75, 21 -> 36, aim 40: 4 to go; int(4 x .1) = 0, int(4 x .3) = 1, int(3 x .6) = 1
    assert allocate(table, sampler("low-density-published"), 50).tolist() == [3, 13, 22]


def test_sound_density_sums_to_the_pool_and_favours_sparse_clusters():
    columns = {"mean_distance": np.array([0.1, 0.1, 0.4])}
    table = ClusterTable(np.arange(3), np.array([400, 400, 200]), columns)
    for omega in (0.0, 0.25, 0.5, 1.0):
        values, total = weights(table, Allocation("density", omega=omega))
        assert total == pytest.approx(1000)
        assert values[2] / 200 == pytest.approx(1 - omega + omega * 0.4 / 0.16)
    assert allocate(table, sampler("density"), 100)[2] >= 1.3 * 20


def test_weighted_terms_are_shares_and_a_weight_of_zero_removes_a_term_exactly():
    table = ClusterTable(np.arange(2), np.array([30, 10]), {"mean_distance": np.array([0.2, 0.3])})
    alone = Allocation("weighted", terms={"size": 1.0, "dispersion": 0.0, "diversity": 0.0})
    assert weights(table, alone)[0].tolist() == [0.75, 0.25]
    both = Allocation("weighted", terms={"size": 0.5, "dispersion": 0.5})
    assert weights(table, both)[0] == pytest.approx([0.5 * 0.75 + 0.5 * 0.4, 0.5 * 0.25 + 0.5 * 0.6])
    assert weights(table, both)[1] == pytest.approx(1)


@quick
@given(tables(), st.integers(1, 720), st.sampled_from(SOUND))
def test_sound_forms_meet_any_budget_that_the_pool_allows_and_never_overfill(table, budget, name):
    chosen = sampler(name)
    if budget > table.pool:
        with pytest.raises(InputError, match="exceeds the pool"):
            allocate(table, chosen, budget)
        return
    result = allocate(table, chosen, budget)
    assert result.sum() == budget
    assert ((result >= 0) & (result <= table.documents)).all()


@quick
@given(tables(), st.integers(1, 720), st.sampled_from(PUBLISHED))
def test_published_forms_never_overfill(table, budget, name):
    result = allocate(table, sampler(name), budget)
    assert ((result >= 0) & (result <= table.documents)).all()


@quick
@given(tables(), st.integers(1, 720), st.integers(1, 720), st.sampled_from(SOUND))
def test_a_larger_budget_never_shrinks_a_cluster(table, one, other, name):
    small, large = sorted(min(b, table.pool) for b in (one, other))
    assert (allocate(table, sampler(name), small) <= allocate(table, sampler(name), large)).all()


@quick
@given(tables(), st.integers(1, 720), st.sampled_from(SOUND), st.randoms())
def test_renaming_clusters_changes_nothing_but_names(table, budget, name, random):
    """Equal rows are the same cluster but for their names, so the multiset of (row, count) is compared."""
    names = list(range(len(table.cluster)))
    random.shuffle(names)
    budget = min(budget, table.pool)
    order = np.argsort(names)
    renamed = ClusterTable(
        np.array(names)[order], table.documents[order], {n: v[order] for n, v in table.columns.items()}
    )

    def rows(t: ClusterTable) -> list[tuple[float, ...]]:
        counts = allocate(t, sampler(name), budget)
        return sorted(zip(t.documents, *(t.columns[c] for c in sorted(t.columns)), counts, strict=True))

    assert rows(table) == rows(renamed)


@quick
@given(tables(), st.integers(1, 720), st.randoms())
def test_ties_break_by_the_smallest_key_if_it_is_given(table, budget, random):
    keys = list(range(len(table.cluster)))
    random.shuffle(keys)
    tie = np.array(keys, dtype=np.uint64)
    result = allocate(table, sampler("uniform"), min(budget, table.pool), tie)
    open_ = np.flatnonzero(result < table.documents)
    if len(open_):
        most = result[open_].max()
        assert result[open_].min() >= most - 1
        extra = open_[result[open_] == most]
        fewer = open_[result[open_] < most]
        assert not len(fewer) or tie[extra].max() < tie[fewer].min()


@quick
@given(
    st.lists(
        st.tuples(st.floats(0, 5) | st.sampled_from([0.0, 1.0, 3.0]), st.integers(0, 30)),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 240),
)
def test_webster_equals_one_document_at_a_time(rows, budget):
    weight = np.array([w if w > 1e-6 else 0.0 for w, _ in rows])
    capacity = np.array([c for _, c in rows])
    budget = min(budget, int(capacity[weight > 0].sum()))
    assert webster(weight, capacity, budget).tolist() == brute_force(weight, capacity, budget).tolist()


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1.0, 1e12, 1e300])
def test_webster_is_exact_for_weights_of_any_magnitude(scale):
    weight = np.array([1.0, 2.0, 3.0, 0.0]) * scale
    assert webster(weight, np.array([100, 100, 100, 100]), 12).tolist() == [2, 4, 6, 0]
    assert webster(weight, np.array([100, 1, 100, 100]), 9).tolist() == [2, 1, 6, 0]


def test_webster_takes_many_clusters_and_a_budget_that_cannot_be_counted_out_one_by_one():
    generator = np.random.default_rng(0)
    weight, capacity = generator.random(50_000), generator.integers(0, 10**9, 50_000)
    quotas = webster(weight, capacity, 10**13)
    assert quotas.sum() == 10**13
    assert (quotas <= capacity).all()


def write_table(path: Path, **changes) -> Path:
    """A small cluster table; `changes` replace columns, None removes one."""
    columns = {
        "diversity": [0.1, 0.2, 0.3, 0.4],
        "cluster": [40, 3, 11, 7],
        "mean_distance": [0.1, 0.2, 0.3, 0.2],
        "sum_distance": [1.0, 4.0, 9.0, 8.0],
        "excluded": [0, 0, 1, 0],
        "documents": [10, 20, 30, 40],
        "proxy_loss": [1.0, 2.0, None, 4.0],
        "note": ["a", None, "b", "c"],
    } | changes
    table = pa.table({name: values for name, values in columns.items() if values is not None})
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("name", [*SOUND, *PUBLISHED])
def test_every_named_sampler_reads_csv_and_parquet_with_gaps_and_any_column_order(
    tmp_path, suffix, name, capsys
):
    path, out = write_table(tmp_path / f"clusters{suffix}"), tmp_path / "out.csv"
    command(clusters=path, sampler=name, budget=35, out=out)
    with open(out) as file:
        rows = [(int(r["cluster"]), int(r["documents"])) for r in csv.DictReader(file)]
    assert [c for c, _ in rows] == [3, 7, 40]
    assert int(capsys.readouterr().out) == sum(n for _, n in rows)
    assert sum(n for _, n in rows) == 35 or name in PUBLISHED


def test_booleans_and_blanks_are_understood_as_exclusions(tmp_path):
    for values in (["True", "False", "true", "false"], [True, None, True, False], [1.0, 0.0, 1.0, 0.0]):
        table = read_clusters(write_table(tmp_path / "c.csv", excluded=values), sampler("uniform"))
        assert table.cluster.tolist() == [3, 7]
    table = read_clusters(write_table(tmp_path / "c.csv", excluded=None), sampler("uniform"))
    assert table.cluster.tolist() == [3, 7, 11, 40]


def test_a_kept_cluster_without_documents_gives_none(tmp_path):
    path = write_table(
        tmp_path / "c.parquet", documents=[0, 20, 30, 40], mean_distance=[float("nan"), 0.2, 0.3, 0.2]
    )
    table = read_clusters(path, sampler("density"))
    assert allocate(table, sampler("density"), 60).tolist() == [20, 40, 0]


BAD = [
    ("density", {"mean_distance": None, "sum_distance": None}, 30, "no column 'mean_distance'"),
    ("density-published", {"sum_distance": None}, 30, "no column 'sum_distance'"),
    ("inter", {"diversity": None}, 30, "no column 'diversity'"),
    ("lossi", {"proxy_loss": None}, 30, "no column 'proxy_loss'"),
    ("uniform", {"cluster": None}, 30, "no column 'cluster'"),
    ("uniform", {"documents": None}, 30, "no column 'documents'"),
    ("uniform", {"documents": [10, -2, 30, 40]}, 30, "cluster 3 has -2 documents"),
    (
        "uniform",
        {"documents": [10.0, float("nan"), 30.0, 40.0]},
        30,
        "cluster 3 has no value in column 'documents'",
    ),
    ("uniform", {"documents": [10.0, 2.5, 30.0, 40.0]}, 30, "whole number"),
    ("uniform", {"documents": ["ten", "2", "30", "40"]}, 30, "numbers are required"),
    ("uniform", {"cluster": [1, 1, 2, 3]}, 30, "cluster 1 has more than one row"),
    ("uniform", {"excluded": [1, 1, 1, 1]}, 30, "all clusters are excluded"),
    ("uniform", {"excluded": [0, 2, 1, 0]}, 30, "must be 0 or 1"),
    ("uniform", {"documents": [0, 0, 30, 0]}, 30, "hold no documents"),
    ("uniform", {}, 71, "budget 71 exceeds the pool"),
    ("uniform", {}, 0, "at least 1 document"),
    ("uniform", {}, -5, "at least 1 document"),
    ("lossi", {"proxy_loss": [1.0, None, None, 4.0]}, 30, "cluster 3 has no value in column 'proxy_loss'"),
    ("lossi", {"proxy_loss": [1.0, -1.0, None, 4.0]}, 30, "cluster 3 has -1 in column 'proxy_loss'"),
    ("lossi", {"proxy_loss": [0.0, 0.0, None, 0.0]}, 30, "sum to zero"),
    ("lossi-published", {"proxy_loss": [0.0, 0.0, None, 0.0]}, 30, "sum to zero"),
    ("density", {"mean_distance": [0.0, 0.0, 0.0, 0.0]}, 30, "no dispersion"),
    ("random", {}, 30, "nothing to allocate"),
    ("nonsense", {}, 30, "no sampler 'nonsense'"),
]


@pytest.mark.parametrize(("name", "changes", "budget", "message"), BAD)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_bad_input_gets_one_line_and_nothing_is_written(tmp_path, name, changes, budget, message, suffix):
    path, out = write_table(tmp_path / f"clusters{suffix}", **changes), tmp_path / "out.csv"
    with pytest.raises(InputError, match=message) as error:
        command(clusters=path, sampler=name, budget=budget, out=out)
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_command_line_prints_the_total_and_ends_with_one_line_on_bad_input(tmp_path):
    path, out = write_table(tmp_path / "clusters.csv"), tmp_path / "out.csv"
    command = [
        sys.executable,
        "-m",
        "winnow",
        "allocate",
        "--clusters",
        path,
        "--sampler",
        "uniform",
        "--out",
        out,
    ]
    done = subprocess.run([*command, "--budget", "31"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "31\n")
    assert out.read_text() == "cluster,documents\n3,10\n7,11\n40,10\n"
    out.unlink()
    done = subprocess.run([*command, "--budget", "-1"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert not out.exists()
