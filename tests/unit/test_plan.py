"""Plans: what a run will take, by stage and by table, before and beside what it took; and the calibration behind it."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from winnow.benchmark_files import last_look
from winnow.commands.plan import Job, compare, small_shards, stages, summarise, tables
from winnow.commands.run_jobs import RunJob
from winnow.commands.usage import FIELDS, Used, by_rule, read_benchmark
from winnow.stage import InputError
from winnow.work.machine import DEFAULT, read_machine
from winnow.work.requests import Request, Work, start_seconds

ROOT = Path(__file__).parents[2]
HEAD = "|".join(FIELDS)
SACCT = f"""{HEAD}
101|COMPLETED|120|960|01:30.5|| billing=8,cpu=8,gres/gpu=2,mem=8G|rule_train_model_wildcards_pile_none
101.batch|COMPLETED|120|960|01:30.5|2500000000|cpu=8|
101.0|COMPLETED|118|944|01:29|3500000K|cpu=8|
102|TIMEOUT|60|480|00:00:00||cpu=8,gres/gpu:a100=1|rule_train_model_wildcards_pile_none
103|COMPLETED|2|2|00:01||cpu=1|rule_draw_sample_wildcards_a
104|COMPLETED|9|9|00:01||cpu=1|somebody else's
105|PENDING||||||rule_draw_sample
"""


def winnow(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "winnow", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env)


def planned(rule: str, needs: tuple[int, ...] = (), seconds: float = 3600.0, **ids: str) -> Job:
    work = Work(memory_mb=500.0, disk=1e9)
    return Job(RunJob(rule, ids, None, needs), work, Request(2, 1500, 15, 0), 2 * seconds, 0.0, seconds, 0.0)


JOBS = [
    planned("index_source"),
    planned("train_model", (0,), data_seed="0"),
    planned("train_model", (0,), data_seed="1"),
    planned("compare_arms", (1,), table="a"),
    planned("compare_arms", (2,), table="b"),
    planned("all", (3, 4), 0.0),
]


def test_a_table_has_the_jobs_that_it_needs() -> None:
    assert {name: [JOBS.index(job) for job in part] for name, part in tables(JOBS).items()} == {
        "a": [0, 1, 3],
        "b": [0, 2, 4],
    }
    assert {rule: len(part) for rule, part in stages(JOBS).items()} == {
        "index_source": 1,
        "train_model": 2,
        "compare_arms": 2,
    }


def test_wall_time_is_that_of_the_chain_and_of_the_cores() -> None:
    def hours(cores: int) -> float:
        return summarise("all", JOBS, JOBS, cores, 0, 0.0, 0.5).wall_hours

    whole = summarise("all", JOBS, JOBS, 4, 0, 0.0, 0.5)
    assert whole.path_hours == pytest.approx(3, rel=0.01)
    assert [hours(cores) for cores in (2, 4)] == pytest.approx([5, 3], rel=0.01)
    assert (whole.jobs, whole.cpu_hours, whole.disk_gb, whole.price) == (5, 10, 6, 5)


# ---------------------------------------------------------------- what was used


@pytest.mark.parametrize(
    ("seconds", "looked"), [(0.4, 0), (0.8, 0.5), (12.3, 12.0), (15.6, 15.5), (44, 15.5), (46, 45.5)]
)
def test_snakemake_looks_at_a_job_each_half_second_and_later_each_half_minute(
    seconds: float, looked: float
) -> None:
    assert last_look(seconds) == looked


def benchmark(path: Path, seconds: str, cpu: str, memory: str = "800.5") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:32\t{memory}\t{cpu}\n")
    return path


def test_processor_time_is_extended_to_the_end_of_the_job(tmp_path: Path) -> None:
    used = read_benchmark(benchmark(tmp_path / "a.tsv", "31.0", "20.0"))
    assert used == Used(1, 31.0, 40.0, 800.5)
    for cpu in ("NA", "0.00"):
        short = read_benchmark(benchmark(tmp_path / "b.tsv", "0.7", cpu, "NA"))
        assert short == Used(1, 0.7, 0.7, 0.0)
    assert read_benchmark(tmp_path / "none.tsv") is None
    (tmp_path / "c.tsv").write_text("not\ta benchmark\n")
    with pytest.raises(InputError, match=r"c\.tsv: not a benchmark file"):
        read_benchmark(tmp_path / "c.tsv")


def test_many_small_shards_are_named_with_what_would_be_faster() -> None:
    def shards(count: int, seconds: float) -> list[Job]:
        job = planned("embed_documents", seconds=seconds)
        work = dataclasses.replace(job.work, start="encoder")
        return [
            dataclasses.replace(job, job=RunJob("embed_documents", {"shard": str(at)}, None, ()), work=work)
            for at in range(count)
        ]

    assert small_shards(shards(4, 6.0), DEFAULT) == small_shards(shards(40, 500.0), DEFAULT) == []
    assert small_shards([*shards(40, 500.0), *shards(4, 6.0)], DEFAULT) == []
    (line,) = small_shards(shards(40, 6.0), DEFAULT)
    share = 100 * start_seconds(Work("encoder"), DEFAULT) / 6
    assert 50 < share < 80
    assert line.startswith(
        f"embed_documents: 40 jobs take 4.0 min, {share:.0f} % of it to start and to load; fewer shards"
    )


def test_accounting_is_summed_by_rule_with_all_attempts() -> None:
    used = by_rule(SACCT, ["train_model", "draw_sample", "train"])
    assert used["train_model"] == Used(2, 180.0, 90.5 + 480, 3500.0, 2 * 120.0 + 60)
    assert used["draw_sample"] == Used(1, 2.0, 1.0, 0.0)
    assert set(used) == {"train_model", "draw_sample"}


def test_accounting_that_says_nothing_is_an_error_of_one_line() -> None:
    for text, why in (
        (f"{HEAD}\n1|COMPLETED|1|1|00:01||cpu=1|\n", "AccountingStoreFlags"),
        ("JobID|State\n", "columns"),
    ):
        with pytest.raises(InputError, match=why):
            by_rule(text, ["train_model"])


def test_planned_is_compared_with_measured_by_stage(tmp_path: Path) -> None:
    file = benchmark(tmp_path / "t.tsv", "3600", "1")
    jobs = [Job(RunJob("train_model", {}, file, ()), *[getattr(JOBS[1], n) for n in ("work", "asks", "cpu", "gpu", "wall", "watt_seconds")]), JOBS[2]]  # fmt: skip
    (row,) = compare(jobs, None)
    assert (row.name, row.jobs, row.planned_cpu_hours) == ("train_model", 1, 2.0)
    assert row.factor == pytest.approx(row.measured_cpu_hours / 2)
    (row,) = compare(jobs, {"train_model": Used(1, 60.0, 7200.0, 900.0)})
    assert (row.factor, row.measured_gb) == (1.0, 0.9)


# ---------------------------------------------------------------- the commands


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of one corpus of 40 documents."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "texts.jsonl").write_text(
        "".join(json.dumps({"text": f"document {i} " * 20}) + "\n" for i in range(40))
    )
    config: dict[str, Any] = {
        "results": "out",
        "corpora": {"mine": {"source": {"files": ["texts.jsonl"]}, "text": "text", "heldout": {"documents": 5}}},
        "budgets": {"few": {"train": 20}},
        "experiments": [{"name": "e", "corpus": "mine", "clustering": "minilm-k12", "samplers": ["random", "uniform"], "budget": "few",
                         "model": "neox-nano", "data_seeds": [0, 1, 2], "suites": ["mini"]}],
        "tables": {"t": {"title": "t", "experiments": ["e"], "baseline": "random"}},
        "targets": ["t"],
    }  # fmt: skip
    (folder / "run.yaml").write_text(json.dumps(config))
    return folder


def test_a_plan_counts_the_jobs_of_the_run(run: Path) -> None:
    done = winnow(
        "plan", "run.yaml", "--gpus", "2", "--gpu", "h100", "--price", "2.5", "--out", "plan.json", cwd=run
    )
    assert done.returncode == 0, done.stderr
    made = json.loads((run / "plan.json").read_text())
    jobs = {row["name"]: row["jobs"] for row in made["stages"]}
    assert (jobs["train_model"], jobs["evaluate_model"], jobs["write_documents"]) == (6, 6, 1)
    assert made["all"]["jobs"] == sum(jobs.values())
    assert (made["gpu"]["name"], made["gpus"], made["cores"]) == ("H100", 2, 16)
    assert [row["name"] for row in made["tables"]] == ["t"]
    assert made["all"]["path_hours"] <= made["all"]["wall_hours"] <= made["all"]["cpu_hours"]
    assert "| train_model " in done.stdout
    assert "No job of this plan works on a GPU" in done.stdout  # why there is no price
    # index, documents, held-out, tokenizer, tokens, model, evaluation ... report: Snakemake looks for the end of each
    assert re.search(
        r"Under SLURM .* half a minute for each job of the longest chain \(1\d jobs\)", done.stdout
    )
    assert not (run / "out").exists()


def test_missing_jobs_are_those_of_a_target(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    done = winnow("plan", "run.yaml", "--missing", "--target", "subsets", "--out", out, cwd=run)
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["missing"]
    assert "write_subset" in done.stdout
    assert "train_model" not in done.stdout


def test_a_plan_is_made_while_a_run_goes_on(run: Path) -> None:
    """Files that jobs are writing, or were when the run was killed, ended it with the path of one of them."""
    written = "out/mine/source.json"
    (run / written).parent.mkdir(parents=True, exist_ok=True)
    (run / written).write_text("{}")
    marks = run / ".snakemake/incomplete"
    marks.mkdir(parents=True, exist_ok=True)
    (marks / base64.urlsafe_b64encode(written.encode()).decode()).write_text("{}")
    benchmark(run / "out/timings/index_source/mine.tsv", "0.60", "0.50")
    try:
        for option in ("--used", "--missing"):
            done = winnow("plan", "run.yaml", "--target", "subsets", option, cwd=run)
            assert done.returncode == 0, done.stderr
            assert "index_source" in done.stdout
    finally:
        shutil.rmtree(run / ".snakemake")
        shutil.rmtree(run / "out")


def test_a_plan_is_shown_beside_what_was_measured(run: Path) -> None:
    benchmark(run / "out/timings/index_source/mine.tsv", "0.60", "0.50")
    done = winnow("plan", "run.yaml", "--target", "subsets", "--used", "--out", "plan.json", cwd=run)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((run / "plan.json").read_text())["measured"]
    assert (row["name"], row["jobs"]) == ("index_source", 1)
    (run / "sacct.txt").write_text(SACCT)
    done = winnow("plan", "run.yaml", "--target", "subsets", "--sacct", "sacct.txt", cwd=run)
    assert "draw_sample" in done.stdout.split("Planned and measured")[1], done.stderr


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--gpu", "B7"], "error: --gpu: 'B7' is not one of H200"),
        (["--gpus", "-1"], "error: --gpus: -1 is below 0"),
        (["--target", "no_such_target"], "error: no target 'no_such_target'"),
        (["--machine", "none.json"], "error: --machine: no file none.json"),
        (["--sacct", "none.txt"], "error: --sacct: no file none.txt"),
    ],
)
def test_wrong_arguments_end_in_one_line(run: Path, arguments: list[str], error: str) -> None:
    done = winnow("plan", "run.yaml", *arguments, cwd=run)
    assert (done.returncode, done.stderr.strip().count("\n")) == (1, 0), done.stderr
    assert done.stderr.startswith(error)


def test_rates_are_the_best_of_several_tries(tmp_path: Path) -> None:
    from winnow.commands.calibrate import best, table_rates

    times = iter([0.0, 2.0, 2.0, 3.0, 3.0, 7.0])
    assert best(lambda: 10.0, 0.0, lambda: next(times)) == 10.0
    read, written = table_rates(tmp_path, 0.01)
    assert read > 1e6
    assert written > 1e6


@pytest.mark.slow
def test_a_calibration_is_a_machine_that_plans_read(tmp_path: Path) -> None:
    done = winnow("calibrate", "--seconds", "0.05", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    machine = read_machine(tmp_path / "results")
    assert machine != DEFAULT
    assert machine.light < machine.heavy
    assert 1e8 < machine.train < machine.product < 1e13
    assert 0.1 <= machine.scaling <= 1
    assert "| train " in done.stdout
