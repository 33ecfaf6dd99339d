"""The workflow on real text in a reduced size: what a user of their own corpora relies on."""

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from winnow.config.files import merge

pytestmark = pytest.mark.real

EVERY = {"pile": 24, "sst2/train": 40, "tinystories": 30}


def thin(source: Path, target: Path, every: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        gzip.open(source, "rt", encoding="utf-8") as lines,
        gzip.open(target, "wt", encoding="utf-8", compresslevel=1) as out,
    ):
        out.writelines(line for i, line in enumerate(lines) if i % every == 0)


@pytest.fixture(scope="session")
def run(root, real_data, tmp_path_factory) -> Path:
    """Results of tests/configs/real.yaml on every n-th document, two seeds, few items."""
    folder = tmp_path_factory.mktemp("real")
    for source in sorted(real_data.rglob("*.jsonl.gz")):
        name = source.relative_to(real_data)
        every = next((n for part, n in EVERY.items() if str(name).startswith(part)), 1)
        if every == 1:
            (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "data" / name).symlink_to(source)
        else:
            thin(source, folder / "data" / name, every)
    config = yaml.safe_load((root / "tests/configs/real.yaml").read_text())
    paper = yaml.safe_load((root / "tests/configs/pythia.yaml").read_text())
    for experiment in paper["experiments"]:
        for seeds in {"data_seeds", "training_seeds"} & set(experiment):
            experiment[seeds] = experiment[seeds][:1]
    paper["experiments"][0]["samplers"] = ["random", "uniform", "density"]
    paper["targets"].remove("pile-14m-idea-1")
    paper["tables"]["pile-14m-recipes"]["unit"] = "models"
    both = {key: config[key] + paper[key] for key in ("experiments", "targets")}
    merge(config, paper)
    config |= both
    for corpus in ("pile-real", "tinystories-real"):
        config["corpora"][corpus]["heldout"]["documents"] = 100
    config["budgets"] = {"real": {"train": 150}, "real-labels": {"train": 150}}
    config["budgets"]["real-3m"] = {"unit": "tokens", "tokenizer": "bpe-8k", "train": 60_000}
    config["recipes"]["small"]["steps"] = config["recipes"]["fine-tune-real"]["steps"] = 10
    config["recipes"]["pythia-3m"] |= {"tokens": 16_384, "batch": 8, "micro_batch": 8}
    config["recipes"]["study-3m"] |= {"steps": 8, "batch": 8, "micro_batch": 8}
    for name, benchmark in config["benchmarks"].items():
        if name.endswith("-local"):
            benchmark["items"] = 3
    for experiment in config["experiments"][:3]:
        experiment["data_seeds"] = [0]
    config["experiments"][0]["samplers"] = ["random", "uniform"]
    config["experiments"][2]["samplers"] = ["random", "proportionate"]
    config["results"] = str(folder / "results")
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    command = [
        str(Path(sys.executable).parent / "snakemake"),
        "paper_tables",
        "--profile",
        "profiles/local",
    ]
    command += ["--nolock", "--configfile", str(folder / "run.yaml")]
    for extra in ([], ["--report", str(folder / "report.html")]):
        done = subprocess.run(
            [*command, *extra],
            cwd=root,
            env={**os.environ, "WINNOW_DATA": str(folder / "data")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results"


def test_tables_of_all_corpora_come_out(run):
    paper = ("pile-14m", "pile-14m-aa", "pile-14m-variance", "pile-14m-recipes", "pile-14m-idea-3")
    for table in ("pile-real", "sst2-real", "tinystories-real", *paper):
        for ending in (
            "csv",
            "md",
            "tex",
            "html",
            "svg",
            "claims.csv",
            "claims.json",
            "costs.html",
            "losses.svg",
            "pareto.svg",
        ):
            assert (run / f"tables/{table}.{ending}").stat().st_size > 200
    assert (run.parent / "report.html").stat().st_size > 100_000


def test_the_papers_tables_show_what_was_published_and_what_was_measured(run):
    claims = json.loads((run / "tables/paper.claims.json").read_text())
    blimp = [c for c in claims if c["arm"] == "160M Density" and c["benchmark"] == "blimp"]
    assert [(c["published_verdict"], c["raw_verdict"], c["measured_verdict"]) for c in blimp] == [
        ("not distinguishable", "not distinguishable", "too little data")
    ]
    text = (run / "tables/pile-14m-idea-3.md").read_text()
    for heading in ("Figures", "Benchmark items found", "Published comparisons", "Pythia's own checkpoints"):
        assert heading in text
    assert "McNemar" in (run / "tables/pile-14m-recipes.md").read_text()
    with open(run / "tables/pile-14m.costs.csv", newline="") as file:
        cost = {row["arm"]: float(row["selection_hours"]) for row in csv.DictReader(file)}
    assert cost["pile-14m/density"] > cost["pile-14m/random"] > 0


def test_no_subset_holds_a_heldout_document_or_its_copy(run):
    manifests = list(run.glob("*/subsets/**/manifest.json"))
    assert len(manifests) == 11
    for manifest in manifests:
        corpus = run / manifest.relative_to(run).parts[0]
        heldout = pq.read_table(corpus / "heldout.parquet")["doc"].to_numpy()
        shards = [str(path) for path in sorted((corpus / "documents").glob("*.parquet"))]
        documents = pq.ParquetDataset(shards).read(columns=["doc", "digest"])
        digest = dict(zip(documents["doc"].to_pylist(), documents["digest"].to_pylist(), strict=True))
        drawn = pq.read_table(manifest.parent / "train.parquet", columns=["doc", "text"])
        taken = drawn["doc"].to_pylist()
        assert not np.isin(taken, heldout).any()
        if "real-3m" not in str(manifest):
            assert len(taken) == 150
        role = dict(
            zip(heldout.tolist(), pq.read_table(corpus / "heldout.parquet")["role"].to_pylist(), strict=True)
        )
        kept_out = {digest[doc] for doc, what in role.items() if what == "heldout"}
        assert not kept_out & {digest[doc] for doc in taken}
        assert len({digest[doc] for doc in taken}) == len(taken)


def test_subsets_and_models_open_with_the_hub_libraries(run, tmp_path):
    import datasets
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    subset = next(run.glob("pile-real/subsets/*/uniform/real/seed0"))
    opened = datasets.load_dataset(str(subset), cache_dir=str(tmp_path))
    assert opened["train"].num_rows == 150
    assert {"doc", "text", "cluster", "probability", "meta.pile_set_name"} <= set(
        opened["train"].column_names
    )
    model = next(run.glob("pile-real/models/*/uniform/real/seed0/neox-small/seed0"))
    tokens = AutoTokenizer.from_pretrained(model)("A few words", return_tensors="pt")["input_ids"]
    assert AutoModelForCausalLM.from_pretrained(model)(tokens).logits.shape[:2] == tokens.shape
    classifier = next(run.glob("sst2-real/models/*/uniform/*/seed0/*/seed0"))
    assert AutoModelForSequenceClassification.from_pretrained(classifier).num_labels == 2


def test_stock_tasks_keep_their_own_prompts_and_every_item_is_kept(run):
    evaluation = next(run.glob("pile-real/models/**/evaluation/paper-local"))
    items = pq.read_table(evaluation / "items.parquet").to_pandas()
    assert set(items["benchmark"]) == {
        "arc-challenge-local", "mmlu-local", "winogrande-local", "hellaswag-local",
        "lambada-openai-local", "lambada-standard-local", "blimp-local", "heldout-bpb",
    }  # fmt: skip
    acc = items[(items["benchmark"] == "blimp-local") & (items["metric"] == "acc")]
    assert acc["task"].nunique() == 67
    assert len(acc) == 67 * 3
    results = json.loads((evaluation / "results.json").read_text())
    for task, figure in results["tasks"].items():
        if task.startswith("blimp_") and "acc,none" in figure:
            assert figure["acc,none"] == pytest.approx(acc[acc["task"] == task]["value"].mean())


def test_domains_of_the_pile_are_told_apart(run):
    table = (run / "tables/pile-real.md").read_text()
    for domain in ("Wikipedia (en)", "Reuters-21578"):
        assert domain in table
