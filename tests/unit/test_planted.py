"""Corpora with known structure: each scorer and sampler does what its name says.

One long file: the cases share a planted corpus, a library and its proxies, which take seconds to make.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.cluster.hdbscan import assign as hdbscan_assign
from winnow.cluster.hdbscan import cluster_sample
from winnow.cluster.hdbscan import fit as hdbscan_fit
from winnow.keys import keys
from winnow.sample.allocate import allocate
from winnow.sample.candidates import Candidates, Rows, gather
from winnow.sample.choose import bucket_quotas, choose_documents, weighted_probability, weighted_value
from winnow.sample.cluster_table import ClusterTable
from winnow.sample.draw import main
from winnow.sample.sampler import Sampler
from winnow.sample.weights import Allocation
from winnow.score.documents import texts, vectors
from winnow.score.dsir import bag, fit, log_ratios, ngrams
from winnow.score.lsh import bucket, hyperplanes
from winnow.score.probes import losses, probe
from winnow.score.semdedup import largest_similarity, score, sweep
from winnow.stage import InputError

quick = settings(max_examples=40)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


class Planted:
    """3,000 vectors of 32 dimensions in 6 clusters, the last one sparse; 200 near-duplicates of others."""

    def __init__(self, folder):
        generator = np.random.default_rng(7)
        self.folder = folder
        self.centroids = unit(generator.normal(size=(6, 32))).astype(np.float32)
        size, spread = [800, 700, 500, 400, 300, 100], [0.05, 0.05, 0.05, 0.05, 0.05, 0.15]
        cluster = np.repeat(np.arange(6), size)
        spread = np.repeat(spread, size)[:, None]
        points = unit(self.centroids[cluster] + spread * generator.normal(size=(2800, 32)))
        twins = generator.choice(2800, 200, replace=False)
        copies = unit(points[twins] + 0.002 * generator.normal(size=(200, 32)))
        order = generator.permutation(3000)
        self.vectors = np.concatenate((points, copies))[order].astype(np.float16)
        self.cluster = np.concatenate((cluster, cluster[twins]))[order].astype(np.int32)
        place = np.argsort(order)
        self.pairs = np.stack((place[twins], place[2800:]), axis=1)
        self.doc = np.arange(3000) * 3
        self.distance = 1 - (self.vectors.astype(np.float32) * self.centroids[self.cluster]).sum(1)
        self.held = np.array([0, 300])
        self.heldout = folder / "heldout.parquet"
        pq.write_table(pa.table({"doc": self.held, "role": ["heldout"] * len(self.held)}), self.heldout)
        np.save(folder / "centroids.npy", self.centroids)
        self.assignments, self.embeddings = [], []
        for i, part in enumerate(np.array_split(np.arange(3000), 3)):
            self.assignments.append(folder / f"a{i}.parquet")
            self.embeddings.append(folder / f"e{i}.npy")
            columns = {"doc": self.doc, "cluster": self.cluster, "distance": self.distance.astype(np.float32)}
            pq.write_table(pa.table({n: v[part] for n, v in columns.items()}), self.assignments[-1])
            np.save(self.embeddings[-1], self.vectors[part])
        pool = ~np.isin(self.doc, self.held)
        count = np.bincount(self.cluster[pool])
        mean = np.bincount(self.cluster[pool], weights=self.distance[pool]) / count
        self.clusters = folder / "clusters.parquet"
        pq.write_table(
            pa.table({"cluster": np.arange(6), "documents": count, "mean_distance": mean}), self.clusters
        )

    def draw(self, sampler, train=600, seed=0, **files):
        out = self.folder / "draw.parquet"
        spec = {
            "ids": {},
            "sampler": sampler,
            "budget": {"train": train},
            "data_seed": seed,
            "semdedup": None,
            "selection": {"proxies": [], "probe": "s" if "losses" in files else None, "targets": []},
        }
        spec["semdedup"] = files.pop("semdedup", None)
        main(documents=files.pop("documents", []), assignments=self.assignments, clusters=[self.clusters],
             heldout=self.heldout, spec=json.dumps(spec), out=out, facts=self.folder / "draw.json", **files)  # fmt: skip
        return pq.read_table(out)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return Planted(tmp_path_factory.mktemp("planted"))


def test_density_gives_the_sparse_domain_more_than_its_share(planted):
    share = {}
    for omega in (0, 0.5):
        table = planted.draw({"allocation": {"weight": "density", "omega": omega}})
        share[omega] = (table["cluster"].to_numpy() == 5).mean()
    assert share[0.5] >= 1.3 * share[0]


@pytest.fixture(scope="module")
def near(planted):
    out = planted.folder / "near.parquet"
    score(assignments=planted.assignments, embeddings=planted.embeddings, heldout=planted.heldout,
          spec='{"scorer":{"kind":"semdedup","keep":"hard","seed":0}}', out=out)  # fmt: skip
    return out


SEMDEDUP = {"allocation": {"weight": "size"}, "filters": {"semdedup": {"scorer": "s", "eps": 0.005}}}


def test_semdedup_removes_near_duplicates_and_little_else(planted, near):
    table = pq.read_table(near)
    gone = set(table["doc"].to_numpy()[table["score"].to_numpy() > 1 - 0.005].tolist())
    pairs = [p for p in planted.doc[planted.pairs].tolist() if not set(p) & set(planted.held.tolist())]
    removed = [len(set(pair) & gone) for pair in pairs]
    assert np.mean(np.array(removed) >= 1) >= 0.98
    twins = set(planted.doc[planted.pairs].ravel().tolist())
    assert len(gone - twins) <= 0.01 * (3000 - len(twins))
    drawn = set(planted.draw(SEMDEDUP, near=[near])["doc"].to_pylist())
    assert len(drawn) == 600
    assert not drawn & gone


def test_semdedup_after_the_draw_leaves_no_near_duplicates_in_it(planted):
    after = {
        "allocation": {"weight": "size"},
        "filters": {"semdedup": {"scorer": "s", "eps": 0.005, "when": "after"}},
    }
    scorer = {"kind": "semdedup", "keep": "easy", "seed": 0}
    drawn = planted.draw(after, train=2000, embeddings=planted.embeddings, semdedup=scorer)
    doc = set(drawn["doc"].to_pylist())
    assert 1800 < len(doc) < 2000
    assert drawn["probability"].null_count == len(doc)
    both = [set(pair) <= doc for pair in planted.doc[planted.pairs].tolist()]
    assert np.mean(both) <= 0.02


def test_one_pass_serves_every_eps(planted, near, tmp_path):
    sweep(scores=[near], eps=[0.0, 0.005, 0.5], out=tmp_path / "sweep.csv")
    lines = (tmp_path / "sweep.csv").read_text().splitlines()
    found = pq.read_table(near)["score"].to_numpy()
    for line, eps in zip(lines[1:], (0.0, 0.005, 0.5), strict=True):
        assert int(line.split(",")[1]) == (found <= 1 - eps).sum()


@quick
@given(st.integers(1, 40), st.integers(1, 7), st.integers(0, 99))
def test_blocks_of_products_equal_the_whole_matrix(n, block, seed):
    points = unit(np.random.default_rng(seed).normal(size=(n, 5)))
    whole = np.where(np.tri(n, k=-1, dtype=bool), points @ points.T, -1).max(1)
    assert largest_similarity(points, block) == pytest.approx(whole, abs=1e-5)


def test_lsh_covers_more_buckets_than_random_draws_of_the_same_size(planted):
    spec = '{"scorer":{"kind":"lsh","planes":5,"seed":1}}'
    files = []
    for i, (assignments, embeddings) in enumerate(zip(planted.assignments, planted.embeddings, strict=True)):
        files.append(planted.folder / f"lsh{i}.parquet")
        vectors(embeddings=embeddings, assignments=assignments, centroids=planted.folder / "centroids.npy",
                heldout=planted.heldout, spec=spec, out=files[-1])  # fmt: skip
    found = pa.concat_tables([pq.read_table(f) for f in files])
    bucket_of = dict(zip(found["doc"].to_pylist(), found["bucket"].to_pylist(), strict=True))
    lsh = {"allocation": {"weight": "size"},
           "ranking": {"by": "lsh", "scorer": "s", "shares": {"proportional": 0.25, "random": 0.25, "diverse": 0.5}}}  # fmt: skip
    covered = {"random": [], "lsh": []}
    for seed in range(8):
        for name, sampler, more in (
            ("random", {"allocation": {"weight": "size"}}, {}),
            ("lsh", lsh, {"scores": files}),
        ):
            table = planted.draw(sampler, train=300, seed=seed, **more)
            assert table.num_rows == 300
            covered[name].append(len({(c, bucket_of[d]) for c, d in zip(table["cluster"].to_pylist(), table["doc"].to_pylist(), strict=True)}))  # fmt: skip
    difference = np.array(covered["lsh"]) - np.array(covered["random"])
    assert difference.mean() > 3 * difference.std(ddof=1) / np.sqrt(8)
    assert difference.mean() > 0
    # Probabilities count the pool (Horvitz-Thompson), on average over seeds.
    estimates = [
        (1 / planted.draw(lsh, 300, s, scores=files)["probability"].to_numpy()).sum() for s in range(20)
    ]
    assert np.mean(estimates) == pytest.approx(2998, rel=0.03)


@quick
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.floats(0, 1), *[st.floats(0, 1)] * 3)
def test_bucket_quotas_fill_the_quota_and_overfill_no_bucket(sizes, share, proportional, random, diverse):
    sizes = np.array(sizes)
    quota = int(share * sizes.sum())
    shares = {"proportional": proportional, "random": random, "diverse": diverse}
    if not any(shares.values()):
        shares["random"] = 1.0
    mine, rest = bucket_quotas(sizes, quota, shares)
    assert (mine <= sizes).all()
    assert mine.sum() + rest == quota
    if shares["random"] == 0:
        assert rest == 0


def test_a_bucket_is_the_side_of_each_plane_through_the_centroid():
    normals = hyperplanes(3, 16, 0)
    assert normals.std() == pytest.approx(1, abs=0.3)
    centre = np.zeros((8, 16), dtype=np.float32)
    signs = np.array([[1 if i >> p & 1 else -1 for p in range(3)] for i in range(8)])
    points = signs @ np.linalg.pinv(normals).T
    assert bucket(points, centre, normals).tolist() == list(range(8))
    assert not np.array_equal(hyperplanes(3, 16, 1), normals)


# Weighted draws.


def weighted_draw(weight, n, seed):
    doc = np.arange(len(weight))
    value = weighted_value(doc, np.log(weight), seed)
    found = gather([Rows(np.zeros(len(doc), dtype=np.int32), doc, value)], np.array([n + 2.0]), seed)
    chosen, _ = choose_documents(found, np.array([n]))
    return found.doc[chosen], weighted_probability(found, chosen, np.array([n]), seed)


def test_weighted_draws_favour_weight_and_their_probabilities_count_the_pool():
    weight = np.repeat([0.1, 1.0, 10.0], 50)
    totals, drawn = [], np.zeros(150)
    for seed in range(400):
        doc, probability = weighted_draw(weight, 30, seed)
        assert len(doc) == 30
        assert ((probability > 0) & (probability <= 1)).all()
        totals.append((1 / probability).sum())
        drawn[doc] += 1
    by_weight = drawn.reshape(3, 50).mean(1)
    assert by_weight[0] * 5 < by_weight[1] < by_weight[2] / 2
    error = np.std(totals, ddof=1) / np.sqrt(400)
    assert np.mean(totals) == pytest.approx(150, abs=4 * error)


def test_weighted_draws_are_nested_and_take_log_weights_of_any_size():
    doc = np.arange(200)
    log_weight = np.linspace(-2000, 2000, 200)
    value = weighted_value(doc, log_weight, 3)
    assert np.isfinite(value).all()
    assert np.argsort(value)[:5].tolist() == [199, 198, 197, 196, 195]
    weight = np.random.default_rng(0).random(300)
    smaller, larger = (set(weighted_draw(weight, n, 5)[0].tolist()) for n in (20, 60))
    assert smaller < larger


def test_equal_weights_draw_what_a_random_ranking_draws():
    doc, _ = weighted_draw(np.ones(500), 40, 9)
    assert set(doc.tolist()) == set(np.argsort(keys("draw", 9, np.arange(500)))[:40].tolist())


# Scores of texts.

WORDS = {"sea": "wave tide reef coral salt gull anchor sail harbour current", "law": "court clause statute judge appeal plea treaty verdict tort lien"}  # fmt: skip
COMMON = [
    "the",
    "of",
    "and",
    "a",
    "to",
    "in",
    "is",
    "that",
    "it",
    "was",
    "for",
    "on",
    "with",
    "as",
    "by",
    "at",
    "this",
    "from",
    "are",
    "or",
]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """1,000 texts in two shards, 8 % of them about the sea, the others about law."""
    folder = tmp_path_factory.mktemp("library")
    generator = np.random.default_rng(0)
    about = np.where(generator.random(1000) < 0.08, "sea", "law")
    text = [
        " ".join(generator.choice(COMMON + 2 * WORDS[a].split(), generator.integers(20, 60))) for a in about
    ]
    pq.write_table(pa.table({"doc": [5], "role": ["heldout"]}), folder / "heldout.parquet")
    paths = [folder / "d0.parquet", folder / "d1.parquet"]
    for path, part in zip(paths, (slice(0, 480), slice(480, 1000)), strict=True):
        pq.write_table(
            pa.table({"doc": np.arange(1000)[part], "text": text[part], "about": about[part]}), path
        )
    return folder, paths, about, text


DSIR = {"kind": "dsir", "target": {"corpus": None, "where": {"column": "about", "values": ["sea"]}},
        "buckets": 1000, "documents": 500, "characters": 1000, "seed": 0}  # fmt: skip
POOL = {"allocation": {"weight": "none"}}


def draw_from(folder, paths, sampler, train, **files):
    spec = {"ids": {}, "sampler": sampler, "budget": {"train": train}, "data_seed": 0, "semdedup": None,
            "selection": {"proxies": [], "probe": None, "targets": []}}  # fmt: skip
    main(
        documents=paths,
        heldout=folder / "heldout.parquet",
        spec=json.dumps(spec),
        out=folder / "draw.parquet",
        facts=folder / "draw.json",
        **files,
    )
    return pq.read_table(folder / "draw.parquet")["doc"].to_numpy()


def score_all(folder, paths, scorer, name, **files):
    out = [folder / f"{name}{i}.parquet" for i in range(len(paths))]
    spec = json.dumps({"scorer": scorer})
    for path, one in zip(paths, out, strict=True):
        texts(documents=path, heldout=folder / "heldout.parquet", spec=spec, out=one, **files)
    return out


def test_dsir_enriches_the_target(library):
    folder, paths, about, _ = library
    fit(
        documents=paths,
        heldout=folder / "heldout.parquet",
        spec=json.dumps({"scorer": DSIR}),
        out=folder / "r.npy",
        counts=folder / "r.json",
    )
    files = score_all(folder, paths, DSIR, "dsir", ratios=[folder / "r.npy"])
    sampler = POOL | {"ranking": {"by": "weighted", "scorer": "s"}}
    drawn = draw_from(folder, paths, sampler, 60, scores=files)
    assert (about[drawn] == "sea").mean() >= 3 * (about == "sea").mean()


def test_ngrams_are_words_and_pairs_and_their_ratios_are_of_shares():
    assert len(ngrams("One two, three", 1 << 20)) == 7
    assert ngrams("A b", 1 << 20).tolist() == ngrams("a B", 1 << 20).tolist()
    assert ngrams("a b", 1 << 20)[2] != ngrams("b a", 1 << 20)[2]
    assert len(ngrams("", 16)) == 0
    same = bag(["a b c", "d"], 64)
    assert log_ratios(same, same) == pytest.approx(np.zeros(64))


@pytest.fixture(scope="module")
def proxies(library):
    """Two small language models trained on a few texts: of the sea, and of everything."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
    from winnow.train.tokens import train

    folder, paths, about, text = library
    made = {}
    for name, chosen in (("sea", np.flatnonzero(about == "sea")[:20]), ("all", np.arange(100, 140))):
        place = folder / name
        place.mkdir()
        train(documents=paths, heldout=folder / "heldout.parquet",
              spec='{"tokenizer":{"vocabulary":400,"documents":300,"seed":0}}', out=place / "tokenizer.json")  # fmt: skip
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
        torch.manual_seed(0)
        config = GPTNeoXConfig(vocab_size=448, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                               intermediate_size=64, max_position_embeddings=32, bos_token_id=0, eos_token_id=0)  # fmt: skip
        model = GPTNeoXForCausalLM(config)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
        stream = [i for d in chosen for i in [0, *tokenizer.encode(text[d]).ids]]
        rows = torch.tensor(stream[: len(stream) // 32 * 32]).view(-1, 32)
        for _ in range(25):
            loss = model(input_ids=rows, labels=rows).loss
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
        model.save_pretrained(place)
        pq.write_table(pa.table({"doc": np.sort(chosen)}), place / "draw.parquet")
        made[name] = place / "manifest.json"
    return made


PROXY = {"model": "m", "budget": "b", "sampler": "s", "corpus": None, "data_seed": 0, "training_seed": 0}


def test_repset_enriches_the_target_and_leaves_out_what_the_proxies_learned_from(library, proxies):
    folder, paths, about, _ = library
    scorer = {"kind": "likelihood-difference", "in_domain": PROXY, "general": PROXY, "characters": 200}
    trained = [proxies[n].parent / "draw.parquet" for n in ("sea", "all")]
    files = score_all(folder, paths, scorer, "diff", models=[proxies["sea"], proxies["all"]], trained=trained)
    scored = pa.concat_tables([pq.read_table(f) for f in files])
    learned = set(np.concatenate([pq.read_table(t)["doc"].to_numpy() for t in trained]).tolist())
    assert not set(scored["doc"].to_pylist()) & (learned | {5})
    assert scored.num_rows == 1000 - len(learned | {5})
    difference = (scored["general_log_probability"].to_numpy() - scored["log_probability"].to_numpy()) / scored["words"].to_numpy()  # fmt: skip
    assert scored["score"].to_numpy() == pytest.approx(difference)
    sampler = POOL | {"ranking": {"by": "score", "scorer": "s", "order": "ascending"}}
    drawn = draw_from(folder, paths, sampler, 40, scores=files, used=trained)
    assert (about[drawn] == "sea").mean() >= 3 * (about == "sea").mean()
    with pytest.raises(InputError, match="no value for document"):
        draw_from(folder, paths, sampler, 40, scores=files)


def test_sums_of_log_probability_are_those_of_single_texts_and_of_the_model_itself(library, proxies):
    import torch
    from winnow.score.language_model import LanguageModel

    _, _, _, text = library
    proxy = LanguageModel(proxies["all"].parent)
    together, tokens = proxy.sums(text[:12])
    for i, one in enumerate(text[:12]):
        alone, count = proxy.sums([one])
        assert alone[0] == pytest.approx(together[i], rel=1e-4)
        assert count[0] == tokens[i]
    ids = proxy.tokenizer.encode(text[0]).ids
    assert tokens[0] == len(ids)
    total = 0.0
    for at in range(0, len(ids), 32):
        window = torch.tensor([[0, *ids[at : at + 32]]])
        with torch.no_grad():
            log = proxy.model(input_ids=window[:, :-1]).logits.log_softmax(-1)
        total += float(log.gather(2, window[:, 1:, None]).sum())
    assert together[0] == pytest.approx(total, rel=1e-4)


def test_the_mean_loss_of_a_cluster_comes_from_its_probe(library, proxies, tmp_path):
    folder, paths, about, _ = library
    cluster = (about == "sea").astype(np.int32)
    pq.write_table(pa.table({"doc": np.arange(1000), "cluster": cluster}), tmp_path / "a.parquet")
    scorer = {"kind": "proxy-loss", "proxy": PROXY, "characters": 200, "per": "token", "probe": 30, "seed": 0}
    spec, trained = json.dumps({"scorer": scorer}), [proxies["all"].parent / "draw.parquet"]
    probe(assignments=[tmp_path / "a.parquet"], heldout=folder / "heldout.parquet", trained=trained, spec=spec,
          out=tmp_path / "p.parquet")  # fmt: skip
    chosen = pq.read_table(tmp_path / "p.parquet")
    assert np.bincount(chosen["cluster"].to_numpy()).tolist() == [30, 30]
    assert not set(chosen["doc"].to_pylist()) & set(pq.read_table(trained[0])["doc"].to_pylist())
    files = score_all(
        folder, paths, scorer, "loss", models=[proxies["all"]], trained=trained, only=[tmp_path / "p.parquet"]
    )
    losses(probe=tmp_path / "p.parquet", scores=files, spec=spec, out=tmp_path / "l.parquet")
    table = pq.read_table(tmp_path / "l.parquet")
    rows = pa.concat_tables([pq.read_table(f) for f in files])
    sea = cluster[rows["doc"].to_numpy()] == 1
    expected = -rows["log_probability"].to_numpy()[sea].sum() / rows["tokens"].to_numpy()[sea].sum()
    assert table["proxy_loss"].to_pylist()[1] == pytest.approx(expected)
    assert table["proxy_loss"].to_pylist()[1] > table["proxy_loss"].to_pylist()[0]


def test_shards_change_no_score(library, proxies):
    folder, paths, _, _ = library
    scorer = {"kind": "proxy-loss", "proxy": PROXY, "characters": 200, "per": "byte", "probe": 30, "seed": 0}
    whole = folder / "whole.parquet"
    pq.write_table(pa.concat_tables([pq.read_table(p) for p in paths]), whole)
    one = pq.read_table(score_all(folder, [whole], scorer, "one", models=[proxies["all"]])[0])
    two = pa.concat_tables(
        [pq.read_table(f) for f in score_all(folder, paths, scorer, "two", models=[proxies["all"]])]
    )
    assert one["score"].to_numpy() == pytest.approx(two["score"].to_numpy(), rel=1e-4)


def test_only_wanted_values_of_a_meta_column_are_drawn(library):
    folder, paths, about, _ = library
    sampler = POOL | {"filters": {"where": {"column": "about", "values": ["sea"]}}}
    drawn = draw_from(folder, paths, sampler, 30)
    assert (about[drawn] == "sea").all()
    assert len(drawn) == 30
    nobody = POOL | {"filters": {"where": {"column": "about", "values": ["air"]}}}
    with pytest.raises(InputError, match="exceed the pool of 0"):
        draw_from(folder, paths, nobody, 30)


def test_proxies_learn_from_other_documents_than_the_arms_do(library):
    folder, paths, _, _ = library
    arm = set(draw_from(folder, paths, POOL, 200).tolist())
    proxy = set(draw_from(folder, paths, POOL | {"ranking": {"purpose": "proxy-train"}}, 200).tolist())
    assert 15 < len(arm & proxy) < 70  # 40 by chance


def test_used_documents_are_left_out_and_the_budget_still_holds(planted):
    used = planted.folder / "used.parquet"
    first = planted.draw({"allocation": {"weight": "size"}}, train=500)
    pq.write_table(first, used)
    again = planted.draw({"allocation": {"weight": "equal"}}, train=900, used=[used])
    assert again.num_rows == 900
    assert not set(first["doc"].to_pylist()) & set(again["doc"].to_pylist())
    with pytest.raises(InputError, match="exceeds the pool"):
        planted.draw({"allocation": {"weight": "equal"}}, train=2600, used=[used])


# HDBSCAN.


def noisy(seed=0):
    """Five tight clusters on a sphere of 16 dimensions, and 10 % scattered points (label -1)."""
    generator = np.random.default_rng(seed)
    centres = unit(generator.normal(size=(5, 16)))
    label = np.concatenate((np.repeat(np.arange(5), 270), np.full(150, -1)))
    points = np.where(label[:, None] >= 0, centres[label] + 0.04 * generator.normal(size=(1500, 16)),
                      generator.normal(size=(1500, 16)))  # fmt: skip
    order = generator.permutation(1500)
    return unit(points)[order].astype(np.float16), label[order]


HDBSCAN = {"min_cluster_size": 30, "min_samples": 10, "epsilon": 0.0, "fence": 3.0, "selection": "eom", "sample": 900,
           "dimensions": 0, "noise": "own"}  # fmt: skip


@pytest.mark.parametrize("dimensions", [0, 12])
def test_hdbscan_finds_planted_noise_also_outside_its_sample(tmp_path, dimensions):
    points, label = noisy()
    pq.write_table(pa.table({"doc": np.arange(1500)}), tmp_path / "d.parquet")
    pq.write_table(pa.table({"doc": [3]}), tmp_path / "h.parquet")
    np.save(tmp_path / "e.npy", points)
    clustering = {
        "method": "hdbscan",
        "encoder": "e",
        "seed": 0,
        "hdbscan": HDBSCAN | {"dimensions": dimensions},
    }
    hdbscan_fit(documents=[tmp_path / "d.parquet"], embeddings=[tmp_path / "e.npy"], heldout=tmp_path / "h.parquet",
                spec=json.dumps({"clustering": clustering}), out=tmp_path / "c.npy", model=tmp_path / "m.npz",
                exclusions=tmp_path / "x.tsv", report=tmp_path / "r.json")  # fmt: skip
    hdbscan_assign(documents=tmp_path / "d.parquet", embeddings=tmp_path / "e.npy", centroids=tmp_path / "c.npy",
                   model=tmp_path / "m.npz", out=tmp_path / "a.parquet")  # fmt: skip
    found = pq.read_table(tmp_path / "a.parquet")["cluster"].to_numpy()
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["clusters"] == 5
    assert report["sampled"] == 900
    noise = found == report["noise_cluster"]
    hit = (noise & (label < 0)).sum()
    assert hit / noise.sum() >= 0.9
    assert hit / (label < 0).sum() >= 0.9
    for c in range(5):
        mine = found[(label == c) & ~noise]
        assert (mine == np.bincount(mine).argmax()).all()
    assert f"\n{report['noise_cluster']}\tnoise of HDBSCAN" in (tmp_path / "x.tsv").read_text()


def test_hdbscan_without_a_cluster_says_what_to_change():
    points = unit(np.random.default_rng(0).normal(size=(60, 16)))
    with pytest.raises(InputError, match="all 60 sampled documents are noise; lower min_cluster_size"):
        cluster_sample(points, HDBSCAN | {"min_cluster_size": 50})


def test_losses_weigh_clusters(planted, tmp_path):
    loss = np.array([1.0, 1, 1, 1, 1, 5])
    pq.write_table(
        pa.table({"cluster": np.arange(6), "proxy_loss": loss, "probed": [10] * 6, "tokens": [100] * 6}),
        tmp_path / "l.parquet",
    )
    table = planted.draw({"allocation": {"weight": "loss"}}, train=100, losses=[tmp_path / "l.parquet"])
    expected = allocate(
        ClusterTable(np.arange(6), np.full(6, 1000), {"proxy_loss": loss}), Sampler(Allocation("loss")), 100
    )
    assert np.bincount(table["cluster"].to_numpy()).tolist() == expected.tolist()


def test_candidates_know_their_rank():
    found = Candidates(np.array([0, 0, 2]), None, np.zeros(3), np.arange(3), None, np.zeros(3), np.zeros(3))
    assert found.rank().tolist() == [0, 1, 0]
