"""The TinyStories study at a reduced size, from a stand-in of the Hub's cache: `make test-studies` (about 20 minutes on 2 cores).

The stand-in holds the real stories (WINNOW_DATA) where the Hub's skeskinen/TinyStories-GPT4 is cached, and BLiMP; the run is
offline. The words and features of their prompts, which these stories lack, are made of the words of each story. What differs from
`config/tinystories.yaml` stands in OVERRIDES; the whole of it is planned, too.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_cache import cells, lay_out_benchmark, lay_out_data, read_rows, run_study

pytestmark = [pytest.mark.real, pytest.mark.study]

EVERY = 4  # one of four stories
PAIRS = 20  # of each paradigm of BLiMP
ASKED = ("ball", "bear", "bird", "boat", "cat", "dog", "flower", "friend", "garden", "park", "share", "tree")
OVERRIDES = """
corpora: {tinystories: {shards: 3, heldout: {documents: 300}}}
encoders: {minilm: {max_tokens: 128}}
clusterings: {minilm-k100: {k: 12}}
tokenizers: {bpe-8k: {vocabulary: 2048, documents: 2000}}
models:
  stories-8m: {layers: 2, width: 96, heads: 4, sequence: 128}
  stories-proxy: {layers: 1, width: 64, heads: 2, sequence: 128}
recipes:
  stories: {steps: 60, batch: 8, micro_batch: 8}
  stories-proxy: {steps: 20, batch: 8, micro_batch: 8}
budgets:
  tinystories-100k: {train: 600, validation: 20}
  tinystories-20m: {train: 200000}
  tinystories-2m: {train: 20000}
  tinystories-proxy: {train: 100}
benchmarks:
  heldout-bpb: {items: 100}
  heldout-cloze: {items: 40}
  grammar-pairs: {items: 40}
  blimp: {items: 5}
  heldout-completion: {items: 10, completion: {tokens: 24, samples: 1}}
experiments:
  - name: tinystories-100k
    corpus: tinystories
    clustering: minilm-k100
    samplers: [random, density, lossi, lsh, repset-young, young-readers, calm, rich-words]
    budget: tinystories-100k
    model: stories-8m
    data_seeds: [0]
    suites: [distillation]
  - name: tinystories-20m
    corpus: tinystories
    clustering: minilm-k100
    samplers: [random, semdedup]
    budget: tinystories-20m
    model: stories-8m
    data_seeds: [0]
    suites: [distillation]
  - name: tinystories-2m
    corpus: tinystories
    clustering: minilm-k100
    samplers: [random, semdedup]
    budget: tinystories-2m
    model: stories-8m
    data_seeds: [0]
    suites: [distillation]
# One run an arm: compared over items.
tables:
  tinystories: {experiments: [tinystories-100k], unit: models}
  tinystories-20m: {unit: models}
  tinystories-2m: {unit: models}
  tinystories-sizes: {unit: models}
"""


def prompt_of(story: str, row: int) -> tuple[list[str] | None, str | None]:
    """Words and features that a prompt of the story could have asked for; of every fifth story none."""
    if row % 5 == 0:
        return None, None
    there = set(re.findall(r"[a-z]+", story.lower()))
    features = [
        *(["Dialogue"] if '"' in story else []),
        *(["Twist"] if "suddenly" in there else []),
        *(["BadEnding"] if {"cried", "sad"} & set(re.findall(r"[a-z]+", story[-120:].lower())) else []),
    ]
    return [f" {word.title()}" for word in ASKED if word in there][:3], str(features)


@pytest.fixture(scope="module")
def stories(real_data: Path) -> pa.Table:
    rows = read_rows(real_data / "tinystories/tinystories.jsonl.gz")[::EVERY]
    prompts = [prompt_of(row["story"], place) for place, row in enumerate(rows)]
    table = {
        name: pa.array([row[name] for row in rows], pa.string())
        for name in ("story", "summary", "source", "prompt")
    }
    table["words"] = pa.array([words for words, _ in prompts], pa.list_(pa.string()))
    table["features"] = pa.array([features for _, features in prompts], pa.string())
    return pa.table(table)


@pytest.fixture(scope="module")
def run(root: Path, real_data: Path, stories: pa.Table, tmp_path_factory: pytest.TempPathFactory):
    """Runs Snakemake on the study. WINNOW_STUDY keeps the results in a folder, where a stopped run continues."""
    folder = (
        Path(os.environ.get("WINNOW_STUDY") or tmp_path_factory.mktemp("tinystories")) / "tinystories-study"
    )
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "hub").exists():
        half = len(stories) // 2
        for part, table in enumerate((stories.slice(0, half), stories.slice(half))):
            lay_out_data(folder / "hub", "tinystories", f"data/train-{part:05d}-of-00002.parquet", table)
        paradigms: dict[str, list] = {}
        for row in read_rows(real_data / "benchmarks/blimp.jsonl.gz"):
            paradigms.setdefault(row["UID"], []).append(row)
        tables = {name: pa.Table.from_pylist(rows[:PAIRS]) for name, rows in paradigms.items()}
        lay_out_benchmark(folder / "hub", "blimp", tables)
    (folder / "here.yaml").write_text(OVERRIDES)

    def snakemake(*targets: str, configs: tuple[str, ...] = ("here.yaml",)) -> Path:
        return run_study(root, folder, "tinystories", targets, configs)

    return snakemake


def drawn(results: Path, sampler: str, family: str, measure: str) -> set[str]:
    """Values of a measure among the documents of the draw of a sampler without clusters, or of the clustering."""
    (draw,) = results.glob(f"tinystories/subsets/*/{sampler}/tinystories-100k/seed0/draw.parquet")
    docs = set(pq.read_table(draw)["doc"].to_pylist())
    shards = sorted((results / "tinystories/profile/measures" / family).glob("*.parquet"))
    rows = [row for shard in shards for row in pq.read_table(shard).to_pylist()]
    return {row[measure] for row in rows if row["doc"] in docs}


def test_the_whole_study_can_be_planned(run) -> None:
    run("--dry-run", "--quiet", "all", configs=())
    run("profile", "shifts", "--dry-run", "--quiet", "all", configs=())


def test_every_table_of_the_study_is_made(run) -> None:
    results = run()
    expected = {"tinystories": 8, "tinystories-20m": 2, "tinystories-2m": 2, "tinystories-sizes": 4}
    for table, arms in expected.items():
        rows = cells(results / f"tables/{table}.csv")
        assert len({row["arm"] for row in rows}) == arms
        assert len({row["training_tokens"] for row in rows}) == 1
        benchmarks = {row["benchmark"] for row in rows}
        assert {"heldout-bpb", "heldout-cloze", "grammar-pairs", "blimp", "heldout-completion"} <= benchmarks
    assert drawn(results, "young-readers", "reading", "reading_level") <= {"early_reader", "easy"}
    assert drawn(results, "calm", "emotions", "emotion") <= {"joy", "surprise", "neutral"}


def test_the_profile_describes_the_corpus_and_what_samplers_favour(run, stories: pa.Table) -> None:
    folder = run("profile", "shifts") / "tinystories/profile"
    for what in ("words", "features"):
        rows = stories[what].to_pylist()
        if what == "features":
            rows = [re.findall(r"\w+", row or "") for row in rows]
        counts = Counter(entry.strip().lower() for row in rows for entry in row or [])
        assert {row["name"]: int(row["count"]) for row in cells(folder / f"{what}.csv")} == counts
    assert "The published figures are of 2,745,100 documents" in (folder / "profile.md").read_text()
    creativity = json.loads((folder / "creativity.json").read_text())
    assert creativity["by"] == "same-words"
    assert 0 < creativity["score"] < 1
    labels = {
        (row["arm"], row["column"], row["label"]): row
        for row in cells(folder / "shift/tinystories-100k/shift-labels.csv")
    }
    assert float(labels["young-readers", "reading_level", "middle_grade"]["drawn_share"]) == 0
    assert float(labels["calm", "emotion", "fear"]["drawn_share"]) == 0
    assert float(labels["calm", "emotion", "joy"]["p_adjusted"]) < 0.001
    rows = cells(folder / "shift/tinystories-100k/shift.csv")
    of = {(row["arm"], row["column"]): row for row in rows}
    assert float(of["rich-words", "type_token_ratio"]["value"]) > 1
    assert {"prompt words", "prompt features", "text words"} <= {row["column"] for row in rows}
    assert "flag_evidence" not in {row["column"] for row in rows}  # free text
    page = (folder / "shift/tinystories-100k/shift.html").read_text()
    assert page.count("<figure>") == 8
