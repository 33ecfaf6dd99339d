"""Inspection: clusters of junk are proposed with their evidence, clusters of prose are not."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.cluster.exclude import read_exclusions
from winnow.cluster.inspection import CRITERIA, main, measure, near_duplicates, propose

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
    for i, part in enumerate(np.array_split(np.arange(len(doc)), 3)):
        domain = [KINDS[c] if c else (None if n % 2 else "None") for n, c in zip(part, cluster[part], strict=True)]  # fmt: skip
        pq.write_table(
            pa.table({"doc": doc[part], "text": text[part], "domain": domain}), folder / f"d{i}.parquet"
        )
        columns = {"doc": doc[part], "cluster": cluster[part], "distance": distance[part]}
        pq.write_table(pa.table(columns), folder / f"a{i}.parquet")
    held = int(doc[(cluster == 0) & (distance == distance[cluster == 0].min())][0])
    pq.write_table(pa.table({"doc": [held]}), folder / "heldout.parquet")
    (folder / "f.json").write_text(json.dumps({"fingerprint": "abc", "clusters": len(KINDS)}))
    (folder / "noise.tsv").write_text("# clustering abc\ncluster\treason\n7\tnoise of HDBSCAN: 3 %\n")

    def look(pieces=(0, 1, 2), name="one"):
        main(documents=[folder / f"d{i}.parquet" for i in pieces], assignments=[folder / f"a{i}.parquet" for i in pieces],
             heldout=folder / "heldout.parquet", fingerprint=folder / "f.json", always=[folder / "noise.tsv"],
             spec=json.dumps({"name": "c/k", "proposals": {"documents": 30, "thresholds": THRESHOLDS}, "group": "domain"}),
             out=folder / f"{name}.html", proposals=folder / f"{name}.tsv", criteria=folder / f"{name}.csv")  # fmt: skip

    look()
    return folder, look, held


def test_junk_is_proposed_for_its_reason_and_prose_is_not(inspected):
    folder, _, _ = inspected
    reasons = read_exclusions(folder / "one.tsv", "abc", len(KINDS))
    assert 0 not in reasons
    for c, kind in enumerate(KINDS[1:], 1):
        assert kind in reasons[c]
    assert reasons[7].startswith("noise of HDBSCAN: 3 %; ")


def test_the_page_shows_each_cluster_and_nothing_held_out(inspected):
    folder, _, held = inspected
    text = (folder / "one.html").read_text()
    assert all(f'<h2 id="c{c}">' in text for c in range(len(KINDS)))
    assert f"<pre>{held}: " not in text
    assert "symbols 100%" in text
    mix = text.split('<h2 id="c0">')[1].split("<h3>")[0]
    assert "<i>no domain</i> " in mix  # and it is no domain of the name None
    assert re.search(r"\bNone \d+%", mix)
    assert "<h3>farthest</h3>" in text
    assert "<code>abc</code>" in text  # the fingerprint that a file of exclusions must name
    assert f"<code>{folder}/one.tsv</code>" in text
    assert "<code>config/exclusions/c.k.tsv</code>" in text
    assert "without the target <code>clusters</code>" in text
    with open(folder / "one.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["documents"] for r in rows] == ["39"] + ["40"] * (len(KINDS) - 1)


def test_shards_may_come_in_any_order(inspected):
    folder, look, _ = inspected
    look((2, 0, 1), "two")
    for suffix in ("html", "tsv", "csv"):
        other = (folder / f"two.{suffix}").read_bytes().replace(b"two.tsv", b"one.tsv")
        assert (folder / f"one.{suffix}").read_bytes() == other


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
