"""Draws: what is drawn depends on nothing but the documents, the settings and the seed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.keys import PURPOSES, keys
from winnow.sample.candidates import Candidates, Rows, Smallest, gather
from winnow.sample.choose import choose_documents, choose_tokens, level, split_documents
from winnow.sample.draw import main
from winnow.stage import InputError

quick = settings(max_examples=60)


@st.composite
def pools(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Documents with cluster (up to 5), a value with ties, and a length (0 among them)."""
    n = draw(st.integers(1, 60))
    doc = np.array(draw(st.lists(st.integers(0, 10_000), min_size=n, max_size=n, unique=True)))
    column = [st.integers(0, 4), st.integers(0, 3), st.integers(0, 9)]
    cluster, value, length = (np.array(draw(st.lists(c, min_size=n, max_size=n))) for c in column)
    return doc, cluster.astype(np.int32), value.astype(float), length


def candidates(pool, caps, ranked=False, lengths=False, pieces=1, buffer=1, order=None, seed=0) -> Candidates:
    doc, cluster, value, length = pool
    order = np.arange(len(doc)) if order is None else order
    smallest = Smallest(np.asarray(caps, dtype=float), seed, buffer)
    for part in np.array_split(order, pieces):
        if len(part):
            smallest.add(Rows(cluster[part], doc[part], value[part] if ranked else None,
                              length[part] if lengths else None))  # fmt: skip
    return smallest.finish()


@quick
@given(
    pools(),
    st.lists(st.integers(0, 20), min_size=5, max_size=5),
    st.booleans(),
    st.integers(1, 7),
    st.randoms(),
)
def test_the_first_of_each_cluster_are_drawn_however_the_documents_arrive(pool, caps, ranked, pieces, random):
    doc, cluster, value, _ = pool
    order = list(range(len(doc)))
    random.shuffle(order)
    found = candidates(pool, caps, ranked, pieces=pieces, order=np.array(order))
    given_ = np.minimum(np.array(caps), np.bincount(cluster, minlength=5))
    chosen, probability = choose_documents(found, given_)
    key = keys("draw", 0, doc)
    for c in range(5):
        mine = sorted(np.flatnonzero(cluster == c), key=lambda i: (value[i] if ranked else 0, key[i]))
        expected = [int(doc[i]) for i in mine[: caps[c]]]
        here = found.cluster[chosen] == c
        assert found.doc[chosen][here].tolist() == expected
        # Probabilities are those of the set of documents, so they sum to the size of the draw.
        if ranked and expected:
            last = value[mine[len(expected) - 1]]
            share = sum(value[i] == last for i in mine[: len(expected)]) / sum(value[i] == last for i in mine)
            assert probability[here] == pytest.approx(
                [share if value[i] == last else 1 for i in mine[: caps[c]]]
            )
        elif expected:
            assert probability[here] == pytest.approx(len(expected) / len(mine))


def test_a_duplicate_document_in_the_shards_is_an_error():
    smallest = Smallest(np.array([5.0]), 0)
    for _ in range(2):
        smallest.add(Rows(np.zeros(3, dtype=np.int32), np.array([4, 5, 6])))
    with pytest.raises(InputError, match=r"document . is in more than one row"):
        smallest.finish()


@quick
@given(pools(), st.lists(st.floats(0.1, 3), min_size=5, max_size=5), st.integers(0, 300), st.integers(0, 300))
def test_token_budgets_are_met_to_within_one_document_and_nested(pool, weight, one, other):
    doc, _, _, length = pool
    weight = np.array(weight)
    drawn = []
    for budget in sorted((one, other)):
        found = candidates(pool, np.full(5, np.inf), lengths=True)
        chosen, probability = choose_tokens(found, weight, budget)
        taken = set(found.doc[chosen].tolist())
        total = int(found.length[chosen].sum())
        assert total <= budget
        rest = [n for d, n in zip(doc.tolist(), length.tolist(), strict=True) if d not in taken]
        assert not rest or total + max(rest) > budget
        assert ((probability > 0) & (probability <= 1)).all()
        drawn.append(taken)
    assert drawn[0] <= drawn[1]


@quick
@given(pools(), st.integers(1, 60))
def test_tokens_of_one_each_are_allocated_as_documents_are(pool, budget):
    from winnow.sample.apportion import webster

    doc, cluster, value, _ = pool
    pool = (doc, cluster, value, np.ones(len(doc), dtype=np.int64))
    weight = np.array([1.0, 2.0, 3.5, 0.7, 1.0])
    size = np.bincount(cluster, minlength=5)
    budget = min(budget, len(doc))
    found = candidates(pool, np.full(5, np.inf), lengths=True)
    chosen, _ = choose_tokens(found, weight, budget)
    tie = found.smallest_key()
    assert (
        np.bincount(found.cluster[chosen], minlength=5).tolist()
        == webster(weight, size, budget, tie).tolist()
    )


@quick
@given(pools(), st.integers(1, 200))
def test_candidates_cut_too_early_are_noticed(pool, budget):
    weight = np.array([1.0, 2.0, 0.5, 1.0, 1.0])
    whole = candidates(pool, np.full(5, np.inf), lengths=True)
    expected = whole.doc[choose_tokens(whole, weight, budget)[0]].tolist()
    caps = np.full(5, 3.0)
    while (chosen := choose_tokens(cut := candidates(pool, caps, lengths=True), weight, budget)) is None:
        caps = 2 * caps
    assert cut.doc[chosen[0]].tolist() == expected


@quick
@given(st.lists(st.tuples(st.floats(0.1, 5), st.integers(1, 50)), min_size=1, max_size=6), st.floats(0.05, 1))
def test_the_water_level_spends_the_budget(rows, share):
    weight, capacity = np.array([w for w, _ in rows]), np.array([c for _, c in rows])
    budget = share * capacity.sum()
    assert np.minimum(capacity, level(weight, capacity, budget) * weight).sum() == pytest.approx(budget)


@quick
@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 5))
def test_split_sizes_are_exact(validation, test, seed):
    doc = np.arange(60) * 7
    counts = Counter(split_documents(doc, seed, validation, test).tolist())
    assert (counts[0], counts[1], counts[2]) == (60 - validation - test, validation, test)


def test_no_documents_left_for_train_is_an_error():
    with pytest.raises(InputError, match="leave none for train"):
        split_documents(np.arange(5), 0, 3, 2)


def test_inclusion_probabilities_are_right_on_average_over_seeds():
    generator = np.random.default_rng(0)
    doc = generator.choice(10_000, 60, replace=False)
    cluster = np.repeat([0, 1, 2], [10, 20, 30]).astype(np.int32)
    given_, seeds = np.array([3, 5, 25]), 2000
    drawn: Counter[int] = Counter()
    for seed in range(seeds):
        found = gather([Rows(cluster, doc)], given_ + 1.0, seed)
        chosen, probability = choose_documents(found, given_)
        drawn.update(found.doc[chosen].tolist())
        assert probability == pytest.approx((given_ / [10, 20, 30])[found.cluster[chosen]])
    share = np.array([drawn[d] for d in doc.tolist()]) / seeds
    chance = (given_ / [10, 20, 30])[cluster]
    z = (share - chance) / np.sqrt(chance * (1 - chance) / seeds)
    assert np.abs(z).max() < 4.5
    assert np.square(z).sum() < 110  # chi-square of 57 degrees of freedom: 1e-5 lies at 109


def test_purposes_never_share_keys():
    doc = np.arange(2000)
    drawn = {p: set(np.argsort(keys(p, 0, doc))[:200].tolist()) for p in PURPOSES}
    for a in PURPOSES:
        for b in PURPOSES:
            if a < b:
                assert not np.intersect1d(keys(a, 0, doc), keys(b, 0, doc)).size
                assert len(drawn[a] & drawn[b]) < 50  # 20 by chance


class Corpus:
    """Shards of 3,000 documents in six clusters (ids with gaps, one excluded), on disk."""

    def __init__(self, folder):
        self.folder = folder
        generator = np.random.default_rng(0)
        self.doc = np.sort(generator.choice(5000, 3000, replace=False))
        self.ids = np.array([2, 5, 6, 40, 41, 90])
        self.cluster = self.ids[generator.choice(6, 3000, p=[0.4, 0.2, 0.2, 0.1, 0.08, 0.02])].astype(
            np.int32
        )
        self.distance = generator.random(3000, dtype=np.float32)
        self.tokens = generator.integers(1, 100, 3000)
        self.score = generator.random(3000)
        self.held = self.doc[generator.choice(3000, 300, replace=False)]
        self.heldout = folder / "heldout.parquet"
        pq.write_table(pa.table({"doc": np.sort(self.held), "role": ["heldout"] * 300}), self.heldout)
        pool = ~np.isin(self.doc, self.held)
        rows = [self.cluster[pool] == c for c in self.ids]
        distance = [float(self.distance[pool][r].mean()) for r in rows]
        self.clusters = folder / "clusters.parquet"
        self.size = {int(c): int(r.sum()) for c, r in zip(self.ids, rows, strict=True)}
        columns = {"cluster": self.ids, "documents": list(self.size.values()), "mean_distance": distance,
                   "excluded": self.ids == 5}  # fmt: skip
        pq.write_table(pa.table(columns), self.clusters)
        self.turn = 0

    def shards(self, pieces=3, order=None):
        """The corpus cut into shards, given in any order."""
        self.turn += 1
        paths = []
        for i, part in enumerate(np.array_split(np.arange(3000), pieces)):
            paths.append(self.folder / f"{self.turn}-{i}.parquet")
            columns = {"doc": self.doc, "cluster": self.cluster, "distance": self.distance, "tokens": self.tokens,
                       "score": self.score, "bucket": self.doc % 7}  # fmt: skip
            pq.write_table(pa.table({n: v[part] for n, v in columns.items()}), paths[-1])
        return paths if order is None else [paths[i] for i in order]

    def draw(self, sampler, budget, seed=0, shards=None, out="draw.parquet", **more):
        paths = self.shards() if shards is None else shards
        spec = {"ids": {}, "sampler": sampler, "budget": budget, "data_seed": seed, "semdedup": None,
                "selection": {"proxies": [], "probe": None, "targets": []}}  # fmt: skip
        files = {"documents": paths, "assignments": paths, "clusters": [self.clusters], "scores": paths,
                 "lengths": paths} | more  # fmt: skip
        main(
            heldout=self.heldout,
            spec=json.dumps(spec),
            out=self.folder / out,
            facts=self.folder / "draw.json",
            **files,
        )
        return pq.read_table(self.folder / out)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(tmp_path_factory.mktemp("corpus"))


RANDOM = {"allocation": {"weight": "none"}}
UNIFORM = {"allocation": {"weight": "equal"}}
DENSITY = {"allocation": {"weight": "density", "omega": 0.5}}
NEAREST = {"allocation": {"weight": "size"}, "ranking": {"by": "nearest"}}
FARTHEST = {"allocation": {"weight": "size"}, "ranking": {"by": "farthest"}}
LOWEST = {"allocation": {"weight": "size"}, "ranking": {"by": "score", "scorer": "s"}}
HIGHEST = {"allocation": {"weight": "none"}, "ranking": {"by": "score", "scorer": "s", "order": "descending"}}
MIXTURE = {"allocation": {"weight": "equal"}, "ranking": {"by": "score", "scorer": "s", "order": "mixture"}}
WEIGHTED = {"allocation": {"weight": "size"}, "ranking": {"by": "weighted", "scorer": "s", "scale": "linear"}}
LSH = {"allocation": {"weight": "equal"},
       "ranking": {"by": "lsh", "scorer": "s", "shares": {"proportional": 1, "random": 1, "diverse": 1}}}  # fmt: skip
ALL = {"random": RANDOM, "uniform": UNIFORM, "density": DENSITY, "nearest": NEAREST, "farthest": FARTHEST,
       "lowest": LOWEST, "highest": HIGHEST, "mixture": MIXTURE, "weighted": WEIGHTED, "lsh": LSH}  # fmt: skip
UNNESTED = ("mixture", "lsh")  # draw documents only, and a larger draw need not hold a smaller one
BUDGET = {"train": 300, "validation": 20, "test": 30}
TOKENS = {"unit": "tokens", "train": 9000, "validation": 900, "test": 900}


@pytest.mark.parametrize("name", ALL)
def test_a_draw_has_the_exact_budget_and_nothing_held_out_excluded_or_twice(corpus, name):
    table = corpus.draw(ALL[name], BUDGET)
    doc = table["doc"].to_numpy()
    assert (np.diff(doc) > 0).all()
    assert Counter(table["split"].to_pylist()) == BUDGET
    assert not np.isin(doc, corpus.held).any()
    assert np.isin(doc, corpus.doc).all()
    types = [str(t) for t in table.schema.types]
    assert types == ["int64", "int32", "string", "double"]
    cluster = corpus.cluster[np.searchsorted(corpus.doc, doc)]
    assert 5 not in cluster
    if ALL[name]["allocation"]["weight"] == "none":
        assert table["cluster"].null_count == table.num_rows
    else:
        assert (table["cluster"].to_numpy() == cluster).all()
    if name != "mixture":
        assert table["probability"].to_numpy().sum() > 0


@pytest.mark.parametrize("budget", [BUDGET, TOKENS], ids=["documents", "tokens"])
@pytest.mark.parametrize("name", ALL)
def test_the_same_bytes_for_any_number_and_order_of_shards(corpus, name, budget):
    if name in UNNESTED and budget is TOKENS:
        pytest.skip("draws documents only")
    found = set()
    for pieces, order in ((1, None), (7, None), (5, [3, 0, 4, 1, 2])):
        corpus.draw(ALL[name], budget, shards=corpus.shards(pieces, order))
        found.add((corpus.folder / "draw.parquet").read_bytes())
    assert len(found) == 1


def test_scores_may_be_cut_otherwise_than_the_documents(corpus):
    one = corpus.draw(LOWEST, BUDGET, scores=corpus.shards(2))
    assert one.equals(corpus.draw(LOWEST, BUDGET, scores=corpus.shards(5, [4, 3, 2, 1, 0])))


@pytest.mark.parametrize("name", [n for n in ALL if n not in UNNESTED])
def test_a_smaller_draw_is_a_subset_of_a_larger_one(corpus, name):
    shards = corpus.shards()
    for budgets in (
        [{"train": n} for n in (1, 50, 51, 700)],
        [{"unit": "tokens", "train": n} for n in (900, 5000)],
    ):
        drawn = [set(corpus.draw(ALL[name], b, shards=shards)["doc"].to_pylist()) for b in budgets]
        assert all(a <= b for a, b in pairwise(drawn))


def test_rankings_take_what_their_names_say(corpus):
    inside = np.searchsorted(corpus.doc, corpus.draw(NEAREST, {"train": 400})["doc"].to_numpy())
    outside = np.searchsorted(corpus.doc, corpus.draw(FARTHEST, {"train": 400})["doc"].to_numpy())
    assert corpus.distance[inside].max() < 0.4
    assert corpus.distance[outside].min() > 0.6
    highest = np.searchsorted(corpus.doc, corpus.draw(HIGHEST, {"train": 400})["doc"].to_numpy())
    pool = corpus.score[~np.isin(corpus.doc, corpus.held) & (corpus.cluster != 5)]
    assert sorted(corpus.score[highest]) == sorted(pool)[-400:]


def test_the_mixture_takes_the_ends_of_a_random_draw_of_half_as_many_again(corpus):
    table = corpus.draw(MIXTURE, {"train": 200})
    wider = corpus.draw(UNIFORM, {"train": 200})
    quota = Counter(wider["cluster"].to_pylist())
    assert Counter(table["cluster"].to_pylist()) == quota
    key, free = keys("draw", 0, corpus.doc), ~np.isin(corpus.doc, corpus.held)
    for c, n in quota.items():
        mine = np.flatnonzero((corpus.cluster == c) & free)
        sample = mine[np.argsort(key[mine])][: int(np.ceil(1.5 * n))]
        ranked = corpus.doc[sample[np.argsort(-corpus.score[sample])]]
        high = round(0.8 * n)
        expected = set(ranked[:high]) | set(ranked[len(ranked) - (n - high) :])
        assert set(table["doc"].to_numpy()[table["cluster"].to_numpy() == c]) == expected


@pytest.mark.slow
def test_the_probability_of_a_mixture_is_how_often_it_takes_a_document(corpus):
    seeds = 150
    taken, stated = Counter(), {}
    for seed in range(seeds):
        table = corpus.draw(MIXTURE, {"train": 200}, seed=seed)
        taken.update(table["doc"].to_pylist())
        stated.update(zip(table["doc"].to_pylist(), table["probability"].to_pylist(), strict=True))
    doc = sorted(stated)
    p = np.array([stated[d] for d in doc])
    often = np.array([taken[d] for d in doc]) / seeds
    assert p.sum() == pytest.approx(200, rel=0.03)
    often_enough = np.argsort(p)[(p < 0.05).sum() :]  # of rarer ones only the lucky are seen
    assert len(often_enough) > 500
    for part in np.array_split(often_enough, 8):
        assert often[part].mean() == pytest.approx(p[part].mean(), rel=0.1)


@pytest.mark.parametrize("name", ["random", "uniform", "density", "nearest", "highest"])
def test_token_budgets_hold_in_every_split(corpus, name):
    table = corpus.draw(ALL[name], TOKENS)
    tokens = corpus.tokens[np.searchsorted(corpus.doc, table["doc"].to_numpy())]
    split = np.array(table["split"].to_pylist())
    assert 10_800 - 100 < tokens.sum() <= 10_800
    for part in ("validation", "test"):
        assert 800 < tokens[split == part].sum() <= 900


def test_published_rounding_drops_documents_and_train_bears_it(corpus):
    sampler = {"allocation": {"weight": "size"}, "rounding": "floor"}
    splits = Counter(corpus.draw(sampler, BUDGET)["split"].to_pylist())
    assert (splits["validation"], splits["test"]) == (20, 30)
    assert 294 < splits["train"] < 300


def test_seeds_draw_differently_and_arms_of_one_seed_overlap(corpus):
    one, two = (set(corpus.draw(UNIFORM, BUDGET, seed=s)["doc"].to_pylist()) for s in (0, 1))
    coupled = set(corpus.draw(DENSITY, BUDGET)["doc"].to_pylist())
    assert len(one & two) < 150 < len(one & coupled)


@pytest.mark.parametrize("sampler", [UNIFORM, RANDOM], ids=["uniform", "random"])
def test_excluded_clusters_can_be_kept(corpus, sampler):
    table = corpus.draw(sampler | {"filters": {"excluded_clusters": "keep"}}, BUDGET)
    assert 5 in corpus.cluster[np.searchsorted(corpus.doc, table["doc"].to_numpy())]


def test_without_an_exclusion_clusters_change_nothing_of_a_random_draw(corpus):
    keep = RANDOM | {"filters": {"excluded_clusters": "keep"}}
    alone = corpus.draw(RANDOM, BUDGET, assignments=[], clusters=[])
    assert alone.equals(corpus.draw(keep, BUDGET))
    assert not alone.equals(corpus.draw(RANDOM, BUDGET))


def test_the_facts_of_a_draw_count_the_pool_and_every_document_outside_it_once(corpus, tmp_path):
    def part(name, doc):
        pq.write_table(pa.table({"doc": doc}), tmp_path / name)
        return [tmp_path / name]

    rows = pq.read_table(corpus.heldout)
    roles = ["duplicate" if i % 3 == 0 else "heldout" for i in range(300)]
    corpus.heldout = tmp_path / "heldout.parquet"
    pq.write_table(rows.set_column(1, "role", [roles]), corpus.heldout)
    files = {
        "used": part("u", corpus.doc[::7]),
        "trained": part("t", corpus.doc[::5]),
        "contaminated": part("c", corpus.doc[::9]),
    }
    sampler = {"filters": {"contaminated": "suite"}}
    try:
        for one in (RANDOM | sampler, UNIFORM | sampler):
            drawn = corpus.draw(one, BUDGET, **files)["doc"].to_numpy()
            pool = json.loads((corpus.folder / "draw.json").read_text())["pool"]
            left = ~np.isin(corpus.doc, corpus.held)
            expected = {"heldout": 200, "duplicates": 100}
            for kind, out in (("clusters", corpus.doc[corpus.cluster == 5]), ("contaminated", corpus.doc[::9]),
                              ("used", corpus.doc[::7]), ("trained", corpus.doc[::5])):  # fmt: skip
                gone = left & np.isin(corpus.doc, out)
                assert not np.isin(drawn, out).any()
                expected[kind] = int(gone.sum())
                left &= ~gone
            assert pool == {
                "documents": int(left.sum()),
                "excluded": expected | {"where": 0, "near-duplicates": 0},
            }
            assert pool["documents"] + sum(pool["excluded"].values()) == 3000
    finally:
        corpus.heldout = corpus.folder / "heldout.parquet"


def test_random_needs_documents_only(corpus, tmp_path):
    path = tmp_path / "documents.parquet"
    pq.write_table(pa.table({"doc": corpus.doc}), path)
    table = corpus.draw(RANDOM, BUDGET, documents=[path], assignments=[], clusters=[], scores=[], lengths=[])
    assert table.num_rows == 350


def bad_cases(corpus, tmp_path):
    one = corpus.shards(1)
    table = pq.read_table(one[0])

    def written(name, changed):
        pq.write_table(changed, tmp_path / name)
        return [tmp_path / name]

    def column(name, values):
        return table.set_column(table.schema.get_field_index(name), name, [values])

    broken = tmp_path / "broken.parquet"
    broken.write_bytes(one[0].read_bytes()[:-20])
    infinite = corpus.score.copy()
    infinite[:50] = np.nan
    return [
        (UNIFORM, {"train": 2400}, {}, "exceeds the pool"),
        (RANDOM, {"train": 2701}, {"assignments": [], "clusters": []}, "exceed the pool of 2,700"),
        (RANDOM, {"train": 2700}, {}, f"exceed the pool of {2700 - corpus.size[5]:,}"),
        (RANDOM, BUDGET, {"assignments": []}, "requires --assignments and --clusters"),
        (RANDOM, BUDGET, {"assignments": written("h.parquet", table.slice(0, 2000))}, "not the same clustering"),
        (RANDOM | {"filters": {"contaminated": "suite"}}, BUDGET, {}, "requires --contaminated"),
        (RANDOM, BUDGET, {"proxies": one}, "--proxies: 1 files; the selection of --spec requires 0"),
        (RANDOM, {"unit": "tokens", "train": 10**9}, {}, "tokens exceed the pool"),
        (UNIFORM, BUDGET, {"assignments": []}, "requires --assignments and --clusters"),
        (UNIFORM, BUDGET, {"assignments": [*one, *one]}, "named twice"),
        (UNIFORM, BUDGET, {"assignments": [tmp_path / "absent.parquet"]}, "no such file"),
        (UNIFORM, BUDGET, {"assignments": [broken]}, "not a parquet file"),
        (UNIFORM, BUDGET, {"assignments": written("a.parquet", table.drop_columns("cluster"))}, "no column 'cluster'"),
        (UNIFORM, BUDGET, {"assignments": written("b.parquet", table.slice(0, 2000))}, "not the same clustering"),
        (UNIFORM, BUDGET, {"assignments": written("c.parquet", column("cluster", corpus.cluster + 500))},
         "different clusterings"),
        (UNIFORM, BUDGET, {"assignments": written("d.parquet", column("cluster", pa.nulls(3000, pa.int32())))},
         "no value in 3000 rows"),
        (LOWEST, BUDGET, {"scores": []}, "requires --scores"),
        (LOWEST, BUDGET, {"scores": written("e.parquet", table.drop_columns("score"))}, "no column 'score'"),
        (LOWEST, BUDGET, {"scores": written("f.parquet", table.slice(0, 2999))}, "no value for document"),
        (MIXTURE, BUDGET, {"scores": written("f.parquet", table.slice(0, 1500))}, "no value for document"),
        (LOWEST, BUDGET, {"scores": written("g.parquet", column("score", pa.array(infinite)))}, "is nan"),
        (RANDOM, TOKENS, {"lengths": []}, "requires --lengths"),
        (MIXTURE, TOKENS, {}, "draws documents, not tokens"),
        ({"allocation": {"weight": "size"}, "rounding": "floor"}, TOKENS, {}, "counts documents, not tokens"),
        (NEAREST, {"unit": "tokens", "train": 1}, {}, "longer than all of the 1 tokens"),
        (UNIFORM, {"train": 0}, {}, "train"),
    ]  # fmt: skip


def test_bad_input_gets_one_line_and_nothing_is_written(corpus, tmp_path):
    for sampler, budget, files, message in bad_cases(corpus, tmp_path):
        with pytest.raises(InputError) as error:
            corpus.draw(sampler, budget, out="bad.parquet", **files)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
        assert not (corpus.folder / "bad.parquet").exists()


def test_the_command_line_loads_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-m", "winnow.sample.draw", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "datasets", "transformers", "pandas", "scipy"}
