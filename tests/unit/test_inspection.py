"""Inspection: clusters of junk are proposed with their evidence, clusters of prose are not."""

from __future__ import annotations

import base64
import csv
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.cluster import review, review_map
from winnow.cluster.exclude import read_exclusions
from winnow.cluster.inspection import CRITERIA, main, measure, propose
from winnow.cluster.near_duplicates import ALIKE, HASHES, have_near_duplicate, near_duplicates, shingles
from winnow.cluster.review import cut, similar_clusters
from winnow.pages import script_json
from winnow.stage import InputError

PROSE = ["the", "boat", "came", "back", "to", "the", "small", "harbour", "before", "night", "and", "all", "of", "them", "were", "glad", "that", "it", "did", "not", "rain", "on", "their", "way", "because", "she", "had", "left", "her", "coat", "at", "home", "with", "my", "brother", "who", "is", "never", "there"]  # fmt: skip
THRESHOLDS = {"near_duplicates": 0.5, "boilerplate": 0.5, "compressed": 0.2, "symbols": 0.3, "digits": 0.3,
              "names": 0.5, "english": 0.1}  # fmt: skip


def prose(generator):
    return " ".join(generator.choice(PROSE, 60)).capitalize() + "."


def junk(kind, generator):
    body = prose(generator)
    match kind:
        case "near_duplicates":
            return "Sign in to go on reading this page of the daily news about the harbour " * 3 + body[:12]
        case "boilerplate":
            return "\n".join(["Home About Contact Imprint and all of the others", "Read more of the news here"] * 3 + [body[:60]])  # fmt: skip
        case "compressed":
            return f"{body.split()[0]} of the boat " * 80 + body[:30]
        case "symbols":
            return " ".join("".join(generator.choice(list("#@%&*{}<>|"), 6)) for _ in range(60))
        case "digits":
            return " ".join(str(generator.integers(10**6)) for _ in range(60))
        case "names":
            return "we met " + " ".join(
                generator.choice(["Anna", "Bela", "Carl", "Dora", "Emil", "Fritz"], 50)
            )
        case "english":
            return " ".join(
                generator.choice(["der", "hafen", "nacht", "regen", "boot", "kam", "mit", "wind"], 60)
            )
    return body


KINDS = ["prose", *CRITERIA]


@pytest.fixture(scope="module")
def inspected(tmp_path_factory):
    """One cluster of prose, and one of each kind of junk, 40 documents each."""
    folder = tmp_path_factory.mktemp("clusters")
    generator = np.random.default_rng(0)
    cluster = np.repeat(np.arange(len(KINDS)), 40).astype(np.int32)
    doc = generator.permutation(len(cluster))
    text = np.array([junk(KINDS[c], generator) for c in cluster])
    order = np.argsort(doc)
    doc, cluster, text = doc[order], cluster[order], text[order]
    distance = generator.random(len(doc)).astype(np.float32)
    centroids = np.eye(len(KINDS), 12, dtype=np.float32)
    vectors = centroids[cluster] + 0.1 * generator.random((len(doc), 12))
    np.save(folder / "centroids.npy", centroids)
    summary = {
        "cluster": range(len(KINDS)),
        "mean_distance": [0.5] * len(KINDS),
        "diversity": [0.25] * len(KINDS),
    }
    pq.write_table(pa.table(summary), folder / "summary.parquet")
    for i, part in enumerate(np.array_split(np.arange(len(doc)), 3)):
        domain = [KINDS[c] if c else (None if n % 2 else "None") for n, c in zip(part, cluster[part], strict=True)]  # fmt: skip
        pq.write_table(
            pa.table({"doc": doc[part], "text": text[part], "domain": domain}), folder / f"d{i}.parquet"
        )
        columns = {"doc": doc[part], "cluster": cluster[part], "distance": distance[part]}
        pq.write_table(pa.table(columns), folder / f"a{i}.parquet")
        np.save(folder / f"v{i}.npy", vectors[doc[part]].astype(np.float16))
        pq.write_table(
            pa.table({"doc": doc[part][::2], "score": distance[part][::2].astype(float)}),
            folder / f"s{i}.parquet",
        )
    held = int(doc[(cluster == 0) & (distance == distance[cluster == 0].min())][0])
    pq.write_table(pa.table({"doc": [held]}), folder / "heldout.parquet")
    (folder / "f.json").write_text(json.dumps({"fingerprint": "abc", "clusters": len(KINDS)}))
    (folder / "noise.tsv").write_text("# clustering abc\ncluster\treason\n7\tnoise of HDBSCAN: 3 %\n")

    def look(pieces=(0, 1, 2), name="one"):
        documents, assignments, scores = ([folder / f"{kind}{i}.parquet" for i in pieces] for kind in "das")
        spec = {
            "name": "c/k",
            "proposals": {"documents": 30, "thresholds": THRESHOLDS, "scorers": ["<b>"]},
            "group": "domain",
        }
        main(documents=documents, assignments=assignments, scores=scores, vectors=[folder / f"v{i}.npy" for i in pieces],
             centroids=folder / "centroids.npy", clusters=folder / "summary.parquet",
             heldout=folder / "heldout.parquet", fingerprint=folder / "f.json", always=[folder / "noise.tsv"],
             spec=json.dumps(spec), out=folder / f"{name}.html", proposals=folder / f"{name}.tsv", criteria=folder / f"{name}.csv")  # fmt: skip

    look()
    return folder, look, held


def test_junk_is_proposed_for_its_reason_and_prose_is_not(inspected):
    folder, _, _ = inspected
    reasons = read_exclusions(folder / "one.tsv", "abc", len(KINDS))
    assert 0 not in reasons
    for c, kind in enumerate(KINDS[1:], 1):
        assert kind in reasons[c]
    assert reasons[7].startswith("noise of HDBSCAN: 3 %; ")


def data_of(path):
    """The content of a review page."""
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.DOTALL)[1])


def numbers(packed, kind):
    return np.frombuffer(base64.b64decode(packed), kind)


def test_the_page_shows_each_cluster_and_nothing_held_out(inspected):
    folder, _, held = inspected
    data = data_of(folder / "one.html")
    assert (data["fingerprint"], data["clusters"], data["file"]) == ("abc", 8, "config/exclusions/c.k.tsv")
    cards = data["cards"]
    assert [card["cluster"] for card in cards] == list(range(len(KINDS)))
    assert [card["documents"] for card in cards] == [39] + [40] * (len(KINDS) - 1)
    shown = {doc for card in cards for documents in card["examples"].values() for doc, *_ in documents}
    assert held not in shown | set(data["map"]["doc"])
    assert len(data["map"]["doc"]) == sum(card["documents"] for card in cards)  # all, as they are few
    assert cards[KINDS.index("symbols")]["domains"] == [["symbols", 1.0]]
    assert {name for name, _ in cards[0]["domains"]} == {None, "None"}  # no domain, and the domain None
    assert list(cards[0]["examples"]) == ["nearest", "farthest", "random"]
    assert cards[0]["scripts"] == [["latin", 1.0]]
    assert (
        cards[7]["preset"] == "noise of HDBSCAN: 3 %"
    )  # excluded from the start, as it is without a reviewed file
    with open(folder / "one.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["documents"] for r in rows] == ["39"] + ["40"] * (len(KINDS) - 1)


def test_the_map_has_the_clusters_domains_scores_and_near_duplicates_of_its_documents(inspected):
    folder, _, _ = inspected
    data = data_of(folder / "one.html")
    points = data["map"]
    x, y = (numbers(points[axis], "<u2").astype(int) for axis in "xy")
    card = numbers(points["card"], "<u4")
    truth = {doc: c for i in range(3) for doc, c in zip(*pq.read_table(folder / f"a{i}.parquet", columns=["doc", "cluster"]).to_pydict().values(), strict=True)}  # fmt: skip
    assert card.tolist() == [truth[doc] for doc in points["doc"]]
    assert max(np.ptp(x), np.ptp(y)) == 65535
    centre = [np.mean([x[card == c], y[card == c]], axis=1) for c in range(2)]
    spread = np.std([x[card == 0], y[card == 0]])
    assert np.linalg.norm(centre[0] - centre[1]) > spread  # documents of a cluster are near each other
    names = [*points["domains"], *[None] * 250]
    symbols = numbers(points["domain"], "u1")[card == KINDS.index("symbols")]
    assert {names[code] for code in symbols} == {"symbols"}
    duplicate = numbers(points["duplicate"], "u1")
    assert duplicate[card == KINDS.index("near_duplicates")].all()
    assert not duplicate[card == 0].any()
    (scores,) = points["scores"]
    assert scores["name"] == "<b>"
    steps = numbers(scores["steps"], "u1")
    assert (steps == 255).mean() == pytest.approx(0.5, abs=0.02)  # every other document has a score
    assert 0 <= scores["low"] < scores["high"] <= 1


def test_no_text_of_a_document_is_markup_in_the_page(inspected, tmp_path):
    text = (inspected[0] / "one.html").read_text()
    assert text.count("<script") == text.count("</script>") == 2  # the data and the code
    hostile = "</script><script>alert(1)</script><!-- \u2028\u2029\x00\x85&amp;\u202e \U0001f600"
    written = script_json([hostile])
    assert not re.search("[<>&\u2028\u2029\x00\x85]", written)
    assert json.loads(written) == [hostile]


@pytest.mark.parametrize(
    "text", ["plain " * 100, "\u4e2d\u6587" * 100, "\x00<" * 100, "\U0001f600" * 100, ""]
)
def test_a_text_is_cut_to_what_it_takes_in_the_page(text):
    part = cut(text, 150)
    assert text.startswith(part)
    assert len(script_json(part).encode()) - 2 <= 150
    assert not text or len(part) >= 10


def test_a_page_of_many_clusters_and_long_documents_stays_below_25_mb():
    text = "\u4e2d<" * 2000
    n, k = 50_000, 440
    sample = review_map.Sample(np.arange(n), np.arange(n, dtype=np.int32) % k)
    points = review.Map(sample, np.zeros((n, 2)), "m", [review.start_of(text)] * n, [text] * n, np.zeros(n, bool),
                        {"a": np.arange(n, dtype=float), "b": np.arange(n, dtype=float)})  # fmt: skip
    row = {"documents": 1, "mean_distance": 0.1, "diversity": 0.1, "measures": [0.1234567] * 7, "preset": None,
           "reasons": ["boilerplate 0.71 > 0.5"] * 7, "terms": [text] * 12, "similar": [(1, 0.5)] * 5,
           "domains": [(text, 0.2)] * 6, "scripts": [("cjk", 1.0)],
           "examples": {kind: [(10**8, text)] * 5 for kind in ("nearest", "farthest", "random")}}  # fmt: skip
    about = {"name": "c/k", "fingerprint": "f", "clusters": k, "documents": n, "sample": 200, "criteria": [],
             "file": "x.tsv", "group": "domain"}  # fmt: skip
    page = review.page(about, [{**row, "cluster": c} for c in range(k)], points)
    assert len(page.encode()) < 25e6


def test_the_sample_of_the_map_depends_on_no_shards_and_is_of_the_pool(tmp_path):
    generator = np.random.default_rng(3)
    doc = generator.permutation(5000)
    for i, part in enumerate(np.array_split(doc, 4)):
        pq.write_table(
            pa.table({"doc": part, "cluster": (part % 7).astype(np.int32)}), tmp_path / f"{i}.parquet"
        )
    removed = np.arange(0, 5000, 3)
    one = review_map.draw([tmp_path / f"{i}.parquet" for i in range(4)], removed, 600)
    other = review_map.draw([tmp_path / f"{i}.parquet" for i in (2, 0, 3, 1)], removed, 600)
    assert one.doc.tolist() == other.doc.tolist()
    assert (one.cluster == one.doc % 7).all()
    assert len(set(one.doc.tolist()) - set(removed.tolist())) == 600
    assert one.doc.mean() == pytest.approx(2500, abs=200)
    smaller = review_map.draw([tmp_path / "1.parquet"], removed, 10)
    assert len(smaller.doc) == 10


def test_a_document_without_a_vector_is_one_line(tmp_path):
    pq.write_table(pa.table({"doc": [0, 1]}), tmp_path / "d.parquet")
    np.save(tmp_path / "v.npy", np.eye(2, dtype=np.float16))
    read = review_map.read_vectors([tmp_path / "d.parquet"], [tmp_path / "v.npy"], np.array([1, 0]))
    assert read.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(InputError, match="document 9 of the assignments is in none of the 1 shards"):
        review_map.read_vectors([tmp_path / "d.parquet"], [tmp_path / "v.npy"], np.array([1, 9]))


def test_vectors_of_two_dimensions_are_their_own_places_and_others_are_projected():
    generator = np.random.default_rng(0)
    flat = generator.random((30, 2)).astype(np.float32)
    places, what = review_map.coordinates(flat)
    assert (places == flat).all()
    assert "reduction" in what
    deep = np.pad(flat, ((0, 0), (0, 6)))
    places, what = review_map.coordinates(deep)
    assert what == "the first two principal components (100 % of the variance)"
    distances = np.linalg.norm(flat[:, None] - flat, axis=2)
    assert np.linalg.norm(places[:, None] - places, axis=2) == pytest.approx(distances, abs=1e-6)
    for few in (np.zeros((0, 8)), np.ones((1, 8)), np.ones((2, 1))):
        assert review_map.grid(review_map.coordinates(few)[0]).shape == (len(few), 2)


def test_similar_clusters_are_those_of_the_nearest_centroids():
    centroids = np.array([[1, 0], [0, 1], [0.9, 0.1], [-1, 0]], dtype=np.float32)
    found = similar_clusters(centroids, [0, 1, 2])
    assert [[c for c, _ in one] for one in found] == [[2, 1], [2, 0], [0, 1]]
    assert found[0][0][1] == pytest.approx(0.9 / np.hypot(0.9, 0.1), abs=1e-3)
    assert similar_clusters(centroids, [3]) == [[]]


def test_shards_may_come_in_any_order(inspected):
    folder, look, _ = inspected
    look((2, 0, 1), "two")
    for suffix in ("html", "tsv", "csv"):
        assert (folder / f"one.{suffix}").read_bytes() == (folder / f"two.{suffix}").read_bytes()


def test_a_threshold_of_null_proposes_nothing():
    found = measure(["### @@@ %%%"] * 3)
    assert [r.split()[0] for r in propose(found, THRESHOLDS)][:2] == ["near_duplicates", "boilerplate"]
    assert propose(found, dict.fromkeys(THRESHOLDS)) == []


def test_near_duplicates_differ_in_a_word_and_others_in_all():
    generator = np.random.default_rng(1)
    base = [prose(generator) for _ in range(4)]
    assert near_duplicates(base) == 0
    assert near_duplicates([*base, base[0] + " indeed"]) == pytest.approx(2 / 5)


def test_short_and_odd_texts_are_measured_too():
    assert measure(["x"])["near_duplicates"] == 0
    assert all(np.isfinite(v) for v in measure(["", "\n", "\u00e4\u00f6\u00fc"]).values())


def test_near_duplicates_among_many_are_those_of_a_comparison_of_all_pairs():
    generator = np.random.default_rng(2)
    texts = [prose(generator) + prose(generator) for _ in range(60)]
    texts += [text + " indeed" for text in texts[:10]] + [texts[10]] * 50 + ["", ""]
    texts += [" ".join(text.split()[:-40]) for text in texts[20:40]]
    signatures = np.stack([shingles(text) for text in texts])
    agree = (signatures[:, None] == signatures).mean(2)
    np.fill_diagonal(agree, 0)
    expected = (agree >= ALIKE).any(1)
    assert 0 < expected.sum() < len(expected)
    assert have_near_duplicate(signatures).tolist() == expected.tolist()
    assert have_near_duplicate(signatures[:1]).tolist() == [False]
    assert len(have_near_duplicate(np.zeros((0, HASHES), dtype=np.uint32))) == 0
