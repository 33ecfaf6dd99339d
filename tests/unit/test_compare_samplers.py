"""The gate before training: pairs of samplers that hardly differ are called so."""

from __future__ import annotations

import csv
import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.keys import keys
from winnow.sample.compare_samplers import main, plans
from winnow.sample.overlap import (
    DIFFER,
    HARDLY,
    NEARLY,
    REFERENCES,
    UNSEEN,
    Facts,
    chance_jaccard,
    compare_pair,
    jaccard,
    kolmogorov_smirnov,
    limits_of,
    make_draw,
    mean_of,
    total_variation,
    verdict,
)
from winnow.stage import InputError

N = 6000


@pytest.fixture
def corpus(tmp_path):
    """6,000 documents in 10 clusters and 3 domains; draws of 900: random twice, one cluster's, long ones'."""
    generator = np.random.default_rng(0)
    doc, cluster = np.arange(N), generator.integers(0, 10, N).astype(np.int32)
    size = generator.integers(100, 1000, N).astype(np.int32)
    domain = np.array(["all", None, ""], dtype=object)[cluster % 3]
    distance = generator.random(N).astype(np.float32)
    digest = np.where(doc % 40 == 0, 0, doc).astype(np.uint64)  # every fortieth document has the same text
    label = generator.integers(0, 4, N)
    for i, part in enumerate(np.array_split(doc, 2)):
        columns = {"doc": doc[part], "bytes": size[part], "domain": pa.array(domain[part].tolist(), pa.string()),
                   "digest": digest[part], "label": label[part]}  # fmt: skip
        pq.write_table(pa.table(columns), tmp_path / f"d{i}.parquet")
        pq.write_table(
            pa.table({"doc": doc[part], "cluster": cluster[part], "distance": distance[part]}),
            tmp_path / f"a{i}.parquet",
        )
    excluded = np.arange(10) >= 10
    pq.write_table(pa.table({"cluster": np.arange(10), "excluded": excluded}), tmp_path / "clusters.parquet")
    pq.write_table(pa.table({"doc": [7]}), tmp_path / "heldout.parquet")
    draws = {}
    for seed in (0, 1):
        order = doc[np.argsort(keys("draw", seed, doc))]
        draws["random", seed] = order[:900]
        draws["again", seed] = np.concatenate((order[:890], order[2000:2010]))
        draws["other", seed] = doc[np.argsort(keys("mixture", seed, doc))][:900]
        draws["lopsided", seed] = order[cluster[order] < 2][:900]
        draws["long", seed] = order[size[order] > 600][:900]
        draws["kin", seed] = np.concatenate(
            (order[:600], order[1000:1300])
        )  # shares most documents with random
        fresh = doc[np.argsort(keys("mixture", seed, doc))]
        draws["far", seed] = fresh[distance[fresh] > 0.5][:900]
        draws["unique", seed] = fresh[digest[fresh] > 0][:900]
        draws["one-label", seed] = fresh[label[fresh] > 0][:900]
    return tmp_path, draws


def run_gate(corpus, arms, **spec):
    folder, draws = corpus
    paths, names, counts = [], [], []
    for i, (sampler, seed) in enumerate(arms):
        paths.append(folder / f"{i}.parquet")
        pq.write_table(pa.table({"doc": np.sort(draws[sampler, seed])}), paths[-1])
        experiment, _, name = sampler.rpartition("/")
        tokens = (sampler, seed) == ("random", 0)
        if tokens:
            counts.append(folder / "tokens.json")
            counts[-1].write_text('{"tokens": 1234}')
        names.append({"experiment": experiment or "e", "sampler": name, "seed": seed, "clustering": "k", "tokens": tokens,
                      "probe": False})  # fmt: skip
    settings = {"name": "corpus", "arms": names, "clusterings": [["k", 2]], "group": "domain", "label": True,
                "tables": []} | spec  # fmt: skip
    main(draws=paths, documents=[folder / "d0.parquet", folder / "d1.parquet"], heldout=folder / "heldout.parquet",
         assignments=[folder / "a0.parquet", folder / "a1.parquet"], clusters=[folder / "clusters.parquet"], tokens=counts,
         spec=json.dumps(settings), out=folder / "gate")  # fmt: skip
    with open(folder / "gate.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {(r["a"], r["b"]): r for r in rows}


def test_pairs_that_hardly_differ_are_called_so_loudly_and_others_are_not(corpus, capsys):
    arms = [
        (name, seed) for name in ("random", "again", "kin", "other", "lopsided", "long") for seed in (0, 1)
    ]
    rows = run_gate(corpus, arms)
    assert rows["random", "again"]["verdict"] == NEARLY
    assert rows["random", "kin"]["verdict"] == HARDLY
    assert rows["random", "other"]["verdict"] == UNSEEN
    assert float(rows["random", "other"]["jaccard"]) == pytest.approx(
        float(rows["random", "other"]["chance_jaccard"]), abs=0.02
    )
    assert rows["random", "lopsided"]["verdict"] == DIFFER
    assert rows["random", "long"]["verdict"] == DIFFER
    reference = rows["random draw", "another random draw"]
    assert float(reference["jaccard"]) == pytest.approx(0.15 / 1.85, abs=0.02)
    assert float(reference["allocation_tv"]) < 0.08
    assert rows["random", "lopsided"]["seeds"] == "2"
    assert float(rows["random", "again"]["tokens_a"]) == 1234
    assert "random and again ARE NEARLY THE SAME DOCUMENTS" in capsys.readouterr().err
    page = (corpus[0] / "gate.html").read_text()
    assert page.count('class="warning"') == 6  # random, again and kin with each other, and other with each
    assert "**e: random and kin HARDLY DIFFER: overlap" in (corpus[0] / "gate.md").read_text()


def test_draws_of_probes_are_compared_like_all_others(corpus):
    """Of probes one file holds the draws of all seeds: a pair must not be compared over all of them at once."""
    arms = [(name, seed) for name in ("random", "lopsided") for seed in (0, 1)]
    expected = run_gate(corpus, arms)
    folder, draws = corpus
    whole = folder / "draws.parquet"
    paths = []
    for name in ("random", "lopsided"):
        doc = np.concatenate([draws[name, seed] for seed in (0, 1)])
        seeds = np.repeat([0, 1], [len(draws[name, seed]) for seed in (0, 1)])
        paths += [whole.with_stem(name)] * 2
        pq.write_table(pa.table({"doc": doc, "data_seed": seeds}), paths[-1])
    named = [{"experiment": "e", "sampler": n, "seed": s, "clustering": "k", "tokens": False, "probe": True}
             for n, s in arms]  # fmt: skip
    settings = {
        "name": "corpus",
        "arms": named,
        "clusterings": [["k", 2]],
        "group": "domain",
        "label": True,
        "tables": [],
    }
    files = {"documents": [folder / "d0.parquet", folder / "d1.parquet"], "heldout": folder / "heldout.parquet",
             "assignments": [folder / "a0.parquet", folder / "a1.parquet"], "clusters": [folder / "clusters.parquet"]}  # fmt: skip
    main(draws=paths, **files, spec=json.dumps(settings), out=folder / "probes")
    with open(folder / "probes.csv", newline="") as file:
        rows = {(r["a"], r["b"]): r for r in csv.DictReader(file)}
    for pair, row in expected.items():
        assert row | {"tokens_a": ""} == rows[pair] | {"tokens_a": ""}
    named[0]["seed"] = 7
    with pytest.raises(InputError, match="no draw of data seed 7"):
        main(draws=paths, **files, spec=json.dumps(settings), out=folder / "probes")


@pytest.mark.parametrize("sampler", ["far", "unique", "one-label"])
def test_a_difference_in_distance_duplicates_or_labels_is_seen_at_chance_overlap(corpus, sampler):
    rows = run_gate(corpus, [(name, seed) for name in ("random", sampler) for seed in (0, 1)])
    found = rows["random", sampler]
    assert found["verdict"] == DIFFER
    assert float(found["allocation_tv"]) < 0.1
    assert abs(float(found["jaccard"]) - float(found["chance_jaccard"])) < 0.03


def test_arms_of_another_experiment_are_set_against_the_tables_baseline(corpus):
    """Else a table over two experiments says nothing of how far its arms are from what they are compared with."""
    corpus[1].update({(f"f/{name}", s): d for (name, s), d in corpus[1].items() if name in ("long", "kin")})
    tables = [{"name": "t", "baseline": "e/random", "arms": ["e/random", "e/long", "f/long", "f/kin"]}]
    arms = [(name, seed) for name in ("random", "long", "f/long", "f/kin") for seed in (0, 1)]
    rows = run_gate(corpus, arms, tables=tables)
    assert {pair: row["verdict"] for pair, row in rows.items() if row["table"] == "t" and row["verdict"]} == {
        ("e/random", "e/long"): DIFFER,
        ("e/random", "f/long"): DIFFER,
        ("e/random", "f/kin"): HARDLY,
    }
    assert rows["long", "kin"]["experiment"] == "f"
    assert "table t: 2 of 3 arms differ from e/random: e/long, f/long." in (corpus[0] / "gate.md").read_text()


def test_a_baseline_of_another_corpus_has_no_chapter():
    arms = [{"experiment": "e", "sampler": name} for name in ("a", "b")]
    table = {"name": "t", "baseline": "other/a", "arms": ["e/a", "e/b"]}
    assert [(plan.table, plan.pairs) for plan in plans(arms, [table])] == [(None, [("e/a", "e/b")])]


def test_the_pool_is_without_excluded_clusters(corpus):
    excluded = np.arange(10) < 5
    pq.write_table(pa.table({"cluster": np.arange(10), "excluded": excluded}), corpus[0] / "clusters.parquet")
    pool = N - 1 - int((np.random.default_rng(0).integers(0, 10, N) < 5).sum())
    rows = run_gate(corpus, [("random", 0), ("long", 0)])
    assert abs(int(rows["random", "long"]["pool"]) - pool) <= 1  # the held-out document may be of either
    assert float(rows["random", "long"]["chance_jaccard"]) > 0.15


def test_the_same_bytes_again(corpus):
    run_gate(corpus, [("random", 0), ("long", 0)])
    first = [(corpus[0] / f"gate.{s}").read_bytes() for s in ("csv", "md", "html")]
    run_gate(corpus, [("random", 0), ("long", 0)])
    assert first == [(corpus[0] / f"gate.{s}").read_bytes() for s in ("csv", "md", "html")]


def test_a_corpus_without_domains_is_compared_all_the_same(corpus):
    rows = run_gate(corpus, [("random", 0), ("lopsided", 0)], group=None, label=False)
    assert rows["random", "lopsided"]["group_tv"] == rows["random", "lopsided"]["label_tv"] == ""
    assert "domains" not in (corpus[0] / "gate.md").read_text().split("| --- |")[0]
    assert rows["random", "lopsided"]["verdict"] == DIFFER


def test_a_draw_of_another_corpus_is_an_error(corpus):
    corpus[1]["random", 0] = np.arange(N, N + 900)
    with pytest.raises(InputError, match="the draws have"):
        run_gate(corpus, [("random", 0), ("long", 0)])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("tokens", "--tokens: 0 files; 1 arms of --spec have tokens"),
        ("assignments", "--assignments: 0 files; the clusterings of --spec have 2"),
        ("clusters", "--clusters: 0 files; the clusterings of --spec have 1"),
        ("draws", "--draws: 0 files for the 1 arms of --spec"),
    ],
)
def test_files_that_do_not_fit_the_spec_are_named(tmp_path, option, message):
    """Files are told apart by their order: one too few would stand for another arm's."""
    arm = {
        "experiment": "e",
        "sampler": "random",
        "seed": 0,
        "clustering": "k",
        "tokens": True,
        "probe": False,
    }
    spec = {
        "name": "c",
        "arms": [arm],
        "clusterings": [["k", 2]],
        "group": None,
        "label": False,
        "tables": [],
    }
    pq.write_table(pa.table({"doc": [1]}), tmp_path / "doc.parquet")
    excluded = {"cluster": [0], "excluded": [False]}
    pq.write_table(pa.table(excluded), tmp_path / "clusters.parquet")
    files = {"draws": [tmp_path / "doc.parquet"], "assignments": [tmp_path / "doc.parquet"] * 2,
             "clusters": [tmp_path / "clusters.parquet"], "tokens": [tmp_path / "tokens.json"]}  # fmt: skip
    with pytest.raises(InputError, match=message):
        main(documents=[], heldout=tmp_path / "doc.parquet", spec=json.dumps(spec), out=tmp_path / "gate",
             **files | {option: []})  # fmt: skip


def test_measures_by_hand():
    assert jaccard(np.array([1, 2, 3]), np.array([2, 3, 4])) == 0.5
    assert total_variation(np.array([1, 1]), np.array([4, 0])) == 0.5
    assert total_variation(None, np.array([1])) is None
    assert kolmogorov_smirnov(np.array([1, 2, 3, 4]), np.array([3, 4, 5, 6])) == 0.5
    assert kolmogorov_smirnov(None, np.array([1])) is None
    assert chance_jaccard(50, 50, 100) == pytest.approx(25 / 75)  # 50 x 50 / 100 documents in common
    assert chance_jaccard(10, 100, 100) == pytest.approx(10 / 100)  # the pool itself holds all of the other
    limits = {
        "jaccard": 0.1,
        "jaccard_above": 0.15,
        "allocation_tv": 0.1,
        "group_tv": None,
        "length_difference": 0.1,
    }
    pair = {"jaccard": 0.2, "allocation_tv": 0.05, "group_tv": 0.5, "length_difference": -0.05}
    assert verdict(pair, limits) == HARDLY
    assert verdict(pair | {"jaccard": 0.12}, limits) == UNSEEN
    assert verdict(pair | {"jaccard": 0.05}, limits) == DIFFER
    assert verdict(pair | {"length_difference": -0.2}, limits) == DIFFER


@pytest.mark.parametrize("seeds", [1, 3])
def test_two_random_arms_are_seldom_called_different(seeds):
    generator = np.random.default_rng(3)
    facts = Facts(
        np.arange(N), generator.integers(100, 1000, N), generator.integers(0, 3, N), generator.integers(0, 4, N),
        generator.integers(0, 20 * N, N).astype(np.uint64), generator.integers(0, 10, N), generator.random(N),
    )  # fmt: skip

    def draw():
        return make_draw(np.sort(generator.choice(N, 900, replace=False)), facts)

    found = []
    for _ in range(8):
        made = [draw() for _ in range(REFERENCES)]
        limits = limits_of([compare_pair(*pair) for pair in itertools.combinations(made, 2)], seeds, 900)
        for _ in range(40):
            found.append(verdict(mean_of([compare_pair(draw(), draw()) for _ in range(seeds)]), limits))
    assert found.count(DIFFER) / len(found) < 0.12
