"""Every shipped sampler, drawn for real from long labelled posts of which a person excluded a cluster.

The commands are those that Snakemake would run. Light stages run as they are; vectors, clusters, models and the scores that
need them are made up and written by the stages' own writers.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT, Snakemake, copy_workflow

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
# Those of rounds of labelling are drawn in test_acquisition.py: they ask the model of a round before.
SHIPPED = {
    name: sampler
    for name, sampler in yaml.safe_load((ROOT / "config" / "samplers.yaml").read_text())["samplers"].items()
    if "start" not in sampler
}
PROXIES = [name for name in SHIPPED if name.startswith("proxy-train")]
ARMS = [name for name in SHIPPED if name not in PROXIES]
GROUPS = ["rec.autos", "sci.med", "talk.religion", "comp.graphics"]
ITEM = "A farmer carried seven heavy baskets of green apples over the old stone bridge before the rain began"
POSTS, HELDOUT, DUPLICATES, K, BUDGET, SPAM = 900, 40, 7, 6, 80, 4
RUN: dict[str, Any] = {
    "corpora": {
        "posts": {
            "source": {"files": ["data/posts-*.jsonl"]},
            "text": "body",
            "label": "newsgroup",
            "meta": ["newsgroup", "domain", "head"],
            "group": "newsgroup",
            "shards": 2,
            "deduplicate": True,
            "heldout": {"documents": HELDOUT},
        }
    },
    "clusterings": {"toy-k6": {"encoder": "minilm", "k": K}},
    "budgets": {
        "posts": {"train": BUDGET - 10, "validation": 6, "test": 4},
        "proxy": {"train": 30},
        "proxy-target": {"train": 12},
        "proxy-labels": {"train": 25},
        "minipile-proxy": {"train": 20},
    },
    "scorers": {
        "proxy-loss": {"probe": 5},
        "proxy-loss-70m": {"probe": 5},
        "proxy-loss-step72000": {"probe": 5},
        "web-ngrams": {"documents": 50},
    },
    "experiments": [
        {
            "name": "posts",
            "corpus": "posts",
            "clustering": "toy-k6",
            "samplers": ARMS,
            "budget": "posts",
            "model": "neox-nano",
            "data_seeds": [0],
            "suites": ["mini"],
        }
    ],
    "targets": [],
}


def write_posts(folder: Path) -> None:
    """Long posts with a newsgroup by its name and nested meta; a few are there twice, a few hold a benchmark item."""
    generator = np.random.default_rng(0)
    words = np.array(
        [
            "the",
            "of",
            "and",
            "engine",
            "doctor",
            "faith",
            "pixel",
            "road",
            "dose",
            "prayer",
            "shader",
            "we",
            "they",
            "said",
            "that",
            "was",
        ]
    )
    rows = []
    for i in range(POSTS):
        body = " ".join(generator.choice(words, 1200)) + f" Post {i}."
        rows.append(
            {
                "body": f"{body} {ITEM}" if i % 50 == 0 else body,
                "newsgroup": GROUPS[i % 4],
                "domain": "web" if i % 3 == 0 else "mail",
                "head": {"from": f"user{i % 9}@example.org", "lines": i},
            }
        )
    rows += rows[1 : DUPLICATES + 1]
    folder.mkdir()
    for part in range(2):
        lines = "".join(json.dumps(row) + "\n" for row in rows[part * 500 : (part + 1) * 500])
        (folder / f"posts-{part}.jsonl").write_text(lines)


class Command:
    """A command line of a stage, as a rule of the workflow has it."""

    def __init__(self, line: str) -> None:
        line = re.sub(r"\$\(\(10#(\d+)\)\)", lambda number: str(int(number.group(1))), line)
        line = re.sub(r"@<\(printf '%s\\+n' ?(.*?)\)", r"\1", line)  # a list that bash hands over as a file
        words = [w for w in shlex.split(line) if not w.startswith("&>")]
        at = next(i for i, w in enumerate(words) if w.startswith("winnow."))
        self.module, self.arguments = words[at].removeprefix("winnow."), words[at + 1 :]
        self.name = self.arguments[0] if not self.arguments[0].startswith("-") else ""
        self.spec = json.loads(self.get("--spec")[0]) if "--spec" in self.arguments else {}

    def get(self, key: str) -> list[str]:
        """Values of an argument."""
        if key not in self.arguments:
            return []
        rest = self.arguments[self.arguments.index(key) + 1 :]
        return rest[: next((i for i, w in enumerate(rest) if w.startswith("--")), len(rest))]

    def run(self) -> None:
        file = importlib.import_module(f"winnow.{self.module}").__file__
        assert file
        before, sys.argv = sys.argv, [self.module, *self.arguments]
        try:
            runpy.run_path(file, run_name="__main__")
        finally:
            sys.argv = before


class Posts:
    """What the workflow made of the posts, up to the subsets."""

    def __init__(self, folder: Path, snakemake: Snakemake) -> None:
        self.folder, self.results = folder, Path("results/posts")
        write_posts(folder / "data")
        (folder / "run.yaml").write_text(yaml.safe_dump(RUN))
        generator = np.random.default_rng(1)
        centre = generator.standard_normal((K, 384))
        centre /= np.linalg.norm(centre, axis=1, keepdims=True)
        self.clusters = self.results / "clusterings" / "toy-k6"
        self.clusters.mkdir(parents=True)
        np.save(self.clusters / "centroids.npy", centre.astype(np.float32))
        from winnow.cluster.kmeans import fingerprint

        mark = fingerprint(np.load(self.clusters / "centroids.npy"))
        exclusions = Path("config/exclusions/posts.toy-k6.tsv")
        exclusions.write_text(f"# clustering {mark}\ncluster\treason\n{SPAM}\tspam\n")
        shown = snakemake("subsets", "-n", "-p", "--configfile", "run.yaml", "--cores", "1", cwd=folder)
        assert shown.code == 0, shown.text
        self.commands = [Command(line) for line in re.findall(r"python -m .*", shown.out + shown.err)]
        self.ran: list[Command] = []
        for module, name in (
            ("documents.shards", "index"),
            ("documents.shards", "write"),
            ("documents.heldout", ""),
        ):
            self.all(module, name)
        self.make_vectors(centre, generator)
        for module, name in (("cluster.kmeans", "summarise"), ("cluster.exclude", "")):
            self.all(module, name)
        self.draws(proxies=True)
        for command in self.these("train.loop", ""):
            self.make_model(command)
        self.make_contaminated()
        for module, name in (
            ("score.dsir", ""),
            ("score.probes", "probe"),
            ("score.documents", "vectors"),
        ):
            self.all(module, name)
        for command in self.these("score.documents", "texts"):
            self.make_scores(command, generator)
        for module, name in (("score.probes", "losses"), ("score.semdedup", "score")):
            self.all(module, name)
        self.draws(proxies=False)
        documents = [pq.read_table(path) for path in sorted((self.results / "documents").glob("*.parquet"))]
        self.documents = pa.concat_tables(documents)
        assigned = [pq.read_table(path) for path in sorted((self.clusters / "assignments").glob("*.parquet"))]
        table = pa.concat_tables(assigned)
        self.cluster = dict(zip(table["doc"].to_pylist(), table["cluster"].to_pylist(), strict=True))
        self.heldout = set(pq.read_table(self.results / "heldout.parquet")["doc"].to_pylist())

    def these(self, module: str, name: str) -> list[Command]:
        found = [c for c in self.commands if (c.module, c.name) == (module, name)]
        assert found, f"winnow.{module} {name} is not among the commands"
        return found

    def all(self, module: str, name: str) -> None:
        for command in self.these(module, name):
            command.run()

    def draws(self, proxies: bool) -> None:
        for module in ("sample.draw", "sample.subset"):
            for command in self.these(module, ""):
                if (command.spec["ids"]["sampler"] in PROXIES) == proxies:
                    command.run()
                    self.ran.append(command)

    def make_vectors(self, centre: np.ndarray, generator: np.random.Generator) -> None:
        from winnow.cluster.kmeans import write_assignments

        for path in sorted((self.results / "documents").glob("*.parquet")):
            doc = pq.read_table(path, columns=["doc"])["doc"]
            rows = centre[generator.integers(0, K, len(doc))] + 0.05 * generator.standard_normal(
                (len(doc), 384)
            )
            rows = np.repeat(rows[::4], 4, axis=0)[: len(doc)]  # near-duplicates, four of each
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            out = self.results / "embeddings" / "minilm" / f"{path.stem}.npy"
            out.parent.mkdir(parents=True, exist_ok=True)
            np.save(out, rows.astype(np.float16))
            near = rows @ centre.T
            own = near.argmax(1).astype(np.int32)
            write_assignments(
                self.clusters / "assignments" / path.name, doc, own, (1 - near.max(1)).astype(np.float32)
            )

    def make_model(self, command: Command) -> None:
        from winnow.stage import write_json

        language = command.spec["model"]["kind"] == "language-model"
        write_json(
            Path(command.get("--out")[0]),
            {"training_tokens": 5000} if language else {"training_examples": 75},
        )

    def make_contaminated(self) -> None:
        from winnow.evaluate.contamination import shard

        toy = Path("benchmark")
        toy.mkdir()
        (toy / "manifest.json").write_text(json.dumps({"name": "toy", "kind": "minimal-pairs"}))
        pq.write_table(pa.table({"item": [0], "choices": [[ITEM, "no"]]}), toy / "data.parquet")
        for command in self.these("evaluate.contamination", "shard"):
            documents, out = Path(command.get("--documents")[0]), Path(command.get("--out")[0])
            shard(documents=documents, benchmarks=[toy], out=out)

    def make_scores(self, command: Command, generator: np.random.Generator) -> None:
        from winnow.parquet import is_listed, listed_docs
        from winnow.score.documents import write_scores

        (documents,) = command.get("--documents")
        doc = pq.read_table(documents, columns=["doc"])["doc"].to_numpy()
        out_of = [Path(p) for p in command.get("--heldout") + command.get("--trained")]
        doc = doc[~is_listed(doc, listed_docs(out_of))]
        if only := command.get("--only"):
            doc = doc[is_listed(doc, listed_docs([Path(p) for p in only]))]
        columns = {"doc": doc, "score": generator.random(len(doc))}
        if command.spec["scorer"]["kind"] == "proxy-loss":
            columns |= {"log_probability": -generator.random(len(doc)) - 1, "tokens": np.full(len(doc), 100),
                        "bytes": np.full(len(doc), 400)}  # fmt: skip
        write_scores(columns, Path(command.get("--out")[0]))

    def sample(self, sampler: str) -> list[Command]:
        return [c for c in self.ran if c.module == "sample.draw" and c.spec["ids"]["sampler"] == sampler]

    def drawn(self, sampler: str) -> set[int]:
        """Documents of all draws of a sampler."""
        paths = [c.get("--out")[0] for c in self.sample(sampler)]
        assert paths
        return {doc for path in paths for doc in pq.read_table(self.folder / path)["doc"].to_pylist()}

    def manifest(self, sampler: str) -> dict[str, Any]:
        path = self.sample(sampler)[0].get("--out")[0]
        return json.loads((self.folder / path).with_name("manifest.json").read_text())


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Iterator[Posts]:
    folder = copy_workflow(tmp_path_factory.mktemp("posts"))
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("winnow.device.pick_device", lambda: "cpu")  # without torch
        os.chdir(folder)
        try:
            yield Posts(folder, snakemake)
        finally:
            os.chdir(before)


@pytest.mark.parametrize("sampler", ARMS)
def test_every_shipped_sampler_draws(posts: Posts, sampler: str) -> None:
    drawn = posts.drawn(sampler)
    short = sampler.endswith("-published") or sampler == "semdedup-after"
    assert len(drawn) == BUDGET or (short and abs(len(drawn) - BUDGET) < BUDGET / 2)
    assert posts.manifest(sampler)["counts"]["documents"] == len(drawn)


@pytest.mark.parametrize("sampler", SHIPPED)
def test_no_arm_and_no_proxy_draws_what_a_person_excluded_but_the_whole_corpus_does(
    posts: Posts, sampler: str
) -> None:
    drawn = posts.drawn(sampler)
    assert not drawn & posts.heldout
    excluded = {doc for doc in drawn if posts.cluster[doc] == SPAM}
    assert bool(excluded) == (sampler == "random-whole")


@pytest.mark.parametrize("sampler", ARMS)
def test_every_arm_states_its_pool(posts: Posts, sampler: str) -> None:
    pool = posts.manifest(sampler)["pool"]
    excluded = pool["excluded"]
    spam = sum(c == SPAM and doc not in posts.heldout for doc, c in posts.cluster.items())
    assert pool["documents"] + sum(excluded.values()) == POSTS + DUPLICATES
    assert (excluded["heldout"], excluded["duplicates"]) == (HELDOUT, DUPLICATES)
    assert excluded["clusters"] == (0 if sampler == "random-whole" else spam)
    filters = SHIPPED[sampler].get("filters", {})
    assert bool(excluded["contaminated"]) == ("contaminated" in filters)
    assert bool(excluded["near-duplicates"]) == (filters.get("semdedup", {}).get("when", "after") == "before" or sampler in ("semdedup", "random-semdedup"))  # fmt: skip
    assert bool(excluded["trained"]) == ("scorer" in SHIPPED[sampler].get("ranking", {}) and sampler not in ("lsh", "dsir"))  # fmt: skip


def test_baselines_of_a_filtered_pool_have_that_pool(posts: Posts) -> None:
    for one, other in (
        ("random", "proportionate"),
        ("random-clean", "proportionate-clean"),
        ("random-semdedup", "semdedup"),
    ):
        assert posts.manifest(one)["pool"] == posts.manifest(other)["pool"]
    texts = dict(zip(posts.documents["doc"].to_pylist(), posts.documents["text"].to_pylist(), strict=True))
    assert [doc for doc in posts.drawn("random-clean") if ITEM in texts[doc]] == []
    removed = posts.manifest("semdedup-after")["removed"]["near-duplicates"]
    assert removed == BUDGET - len(posts.drawn("semdedup-after")) > 0


NOTHING = {"documents": 0, "labels": 0, "tokens": 0}
# Training sets of proxies (30 and 12 documents, 5,000 tokens each; 20 of the 70M's), probes of 5 documents a cluster and 100
# tokens a document, 25 labels, and the pool's and the target's 50 documents of the ratios.
CONSUMED = {
    "entropy": {"documents": 25, "labels": 25, "tokens": 0},
    "repset": {"documents": 30 + 12, "labels": 0, "tokens": 10000},
    "dsir": {"documents": 100, "labels": 0, "tokens": 0},
    **{name: {"documents": 30 + 5 * K, "labels": 0, "tokens": 5000 + 500 * K}
       for name in ("lossi", "lossi-3", "lossi-3-top", "lossi-published")},
    **{name: {"documents": 20 + 5 * K, "labels": 0, "tokens": 5000 + 500 * K}
       for name in ("lossi-70m", "lossi-3-70m", "lossi-70m-published")},
    "lossi-step72000-published": {"documents": 5 * K, "labels": 0, "tokens": 500 * K},  # a proxy from the Hub is not trained here
}  # fmt: skip


@pytest.mark.parametrize("sampler", ARMS)
def test_labels_documents_and_tokens_are_counted_where_they_are_spent(posts: Posts, sampler: str) -> None:
    manifest = posts.manifest(sampler)
    assert manifest["consumed"] == CONSUMED.get(sampler, NOTHING)
    for what, many in manifest["consumed"].items():
        assert sum(part[what] for part in manifest["consumed_parts"]) == many


def test_a_target_chosen_by_its_label_costs_labels(posts: Posts) -> None:
    from winnow.sample.consumed import consumed, total

    path = posts.folder / "ratios.json"
    path.write_text(json.dumps({"target": {"documents": 7}, "source": {"documents": 9}}))
    for labels, many in ((True, 7), (False, 0)):
        selection = {"proxies": [], "probe": None, "targets": [{"scorer": "s", "labels": labels}]}
        assert total(consumed(selection, ratios=[path])) == {"documents": 16, "labels": many, "tokens": 0}
    hub = {
        "proxies": [{"scorer": "s", "role": "proxy", "hub": "a/b", "labels": False}],
        "probe": None,
        "targets": [],
    }
    (part,) = consumed(hub)
    assert part == {"scorer": "s", "role": "proxy", "hub": "a/b", **NOTHING}


def test_subsets_of_posts_hold_their_labels_and_nested_meta_whole(posts: Posts) -> None:
    source = [
        json.loads(line) for part in range(2) for line in (posts.folder / f"data/posts-{part}.jsonl").open()
    ]
    table = pq.read_table(posts.folder / posts.sample("random")[0].get("--out")[0].replace("draw", "train"))
    rows = table.to_pylist()
    assert len({row["newsgroup"] for row in rows}) == 4
    codes = {row["newsgroup"]: row["label"] for row in rows}
    for row in rows:
        origin = source[row["doc"]]
        assert row["text"] == origin["body"]
        assert len(row["text"]) > 4000
        assert row["newsgroup"] == origin["newsgroup"]
        assert row["head"] == origin["head"]
        assert row["label"] == codes[row["newsgroup"]]
    assert len(set(codes.values())) == 4
