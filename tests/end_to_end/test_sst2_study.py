"""The SST-2 study at full size, from a stand-in of the Hub's cache: `make test-studies` (two to three hours on 2 cores).

The stand-in holds SST-2 (from WINNOW_DATA) where the Hub's stanfordnlp/sst2 is cached, and the weights of all-MiniLM-L6-v2
where google-bert/bert-base-uncased is; the run is offline. What differs from `config/sst2.yaml` stands in OVERRIDES.
"""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_cache import cells, lay_out_data, lay_out_model, read_rows, run_study

pytestmark = [pytest.mark.real, pytest.mark.study]

OVERRIDES = """
# The size of the vectors of MiniLM; a recipe for it (learning rate chosen on 512 and 2,000 training documents, of 5e-5, 1e-4
# and 2e-4); half as many documents for the model of a round to look at; one epoch for the ceiling.
encoders: {bert-base-uncased: {dimension: 384}}
recipes:
  fine-tune-sst2: {steps: 48, learning_rate: 1.0e-4}
  fine-tune-sst2-all: {epochs: 1, learning_rate: 1.0e-4}
budgets: {sst2-rounds-10k: {rounds: {pool: 5000}}}
"""


@pytest.fixture(scope="module")
def run(root: Path, real_data: Path, tmp_path_factory: pytest.TempPathFactory):
    """Runs Snakemake on the study. WINNOW_STUDY keeps the results in a folder, where a stopped run continues."""
    folder = Path(os.environ.get("WINNOW_STUDY") or tmp_path_factory.mktemp("sst2"))
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "hub").exists():
        for split in ("train", "validation"):
            rows = read_rows(real_data / f"sst2/{split}.jsonl.gz")
            table = {
                "idx": pa.array(range(len(rows)), pa.int32()),
                "sentence": [row["sentence"] for row in rows],
                "label": pa.array([row["label"] for row in rows], pa.int64()),
            }
            lay_out_data(folder / "hub", "sst2", f"data/{split}-00000-of-00001.parquet", pa.table(table))
        lay_out_model(folder / "hub", "bert-base-uncased")
    (folder / "here.yaml").write_text(OVERRIDES)

    def snakemake(*targets: str) -> Path:
        return run_study(root, folder, "sst2", targets, ("here.yaml",))

    return snakemake


def test_probes_reach_a_verdict(run) -> None:
    results = run("results/tables/sst2-probes.curves.csv")
    budgets = {int(float(row["labels"])) for row in cells(results / "tables/sst2-probes.curves.csv")}
    assert {500, 1000, 1500, 2000} <= budgets
    documents = pq.read_table(results / "sst2/documents/0000.parquet")
    assert len(documents) == 67_349
    assert len(pq.read_table(results / "sst2/benchmarks/sst2-validation/data.parquet")) == 872


def test_the_sweep_shows_the_published_figures_beside_its_own(run) -> None:
    results = run("sweep")
    found = (results / "sst2/clusterings/bert-umap50-k2/sweep.md").read_text()
    (two,) = [line for line in found.splitlines() if line.startswith("| 2 |") and "notebook" in line]
    assert "| 0.3800 |" in two
    assert "| 52,931 |" in two  # Calinski-Harabasz 52930.6392


def test_every_table_of_the_study_is_made(run) -> None:
    results = run()
    for table in ("sst2-probes", "sst2-fine-tuned"):
        for name in (f"{table}.curves.csv", f"{table}.curves.html", f"{table}.csv", f"{table}.claims.csv"):
            assert (results / "tables" / name).stat().st_size > 0
    arms = {row["arm"].split("/")[-1] for row in cells(results / "tables/sst2-fine-tuned.curves.csv")}
    assert {"random", "proportionate", "entropy-quantiles", "entropy-clusters", "margin", "badge"} <= arms
