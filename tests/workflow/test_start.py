"""What a new user meets before the first job: targets, folders, messages, the forecast, worked examples."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Finished, Snakemake, copy_workflow

WORDS = ["river", "stone", "market", "winter", "engine", "letter", "garden", "signal", "bridge", "paper"]
HERE = ("--snakefile", str(ROOT / "Snakefile"))
DRY = ("--dry-run", "--quiet", "rules")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_workflow(tmp_path_factory.mktemp("clone"))


def rows(count: int, **more: list[str]) -> str:
    """Rows of short texts, as jsonl; the columns of `more` go round."""
    out = []
    for i in range(count):
        text = " ".join(WORDS[(i * 7 + j * (1 + i % 5)) % len(WORDS)] for j in range(20)) + f" {i}."
        out.append(json.dumps({"text": text, **{k: v[i % len(v)] for k, v in more.items()}}) + "\n")
    return "".join(out)


def forecast(done: Finished) -> str:
    assert done.code == 0, done.text
    found = re.findall(r"^Forecast: (.*)$", done.text, re.MULTILINE)
    assert len(found) <= 1
    return found[0] if found else ""


def error(done: Finished) -> str:
    """The one line that a command ended with."""
    assert done.code == 1, done.text
    assert "Traceback" not in done.text
    (message,) = [row for row in done.err.splitlines() if row.startswith("error: ")]
    assert done.err.rstrip().endswith(message)
    return message.removeprefix("error: ")


# ---------------------------------------------------------------- the command


def test_a_start_announces_no_config_file(clone: Path, snakemake: Snakemake) -> None:
    (clone / "my.yaml").write_text("targets: [pile-mini]\n")
    done = snakemake(*DRY, "--configfile", "my.yaml", cwd=clone)
    assert done.code == 0, done.text
    assert "extended" not in done.text
    assert "config/budgets.yaml" in done.text  # Snakemake's own head still names them


def test_a_run_config_without_its_flag_is_told(clone: Path, snakemake: Snakemake) -> None:
    (clone / "my.yaml").write_text("targets: [pile-mini]\n")
    for arguments in (("my.yaml", *DRY), ("--cores", "1", "my.yaml")):
        assert error(snakemake(*arguments, cwd=clone)) == (
            "my.yaml is among the targets; a run config goes behind --configfile"
        )


def test_a_slip_in_a_target_is_told(clone: Path, snakemake: Snakemake) -> None:
    message = error(snakemake("subset", *DRY, cwd=clone))
    assert message.startswith("no target 'subset'; did you mean 'subsets'? known: all, clusters, models, ")
    assert error(snakemake("everything", *DRY, cwd=clone)).startswith("no target 'everything'; known: all, ")


def test_files_are_targets_as_before(clone: Path, snakemake: Snakemake) -> None:
    assert snakemake("results/pile-mini/heldout.parquet", *DRY, cwd=clone).jobs()["hold_out"] == 1


def test_definitions_are_read_from_the_workflow_in_any_folder(snakemake: Snakemake, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("budgets: {mini: {train: 500}}\n")
    done = snakemake(*HERE, *DRY, "--configfile", "my.yaml", cwd=tmp_path)
    assert done.jobs()["train_model"] == 8
    paper = ("published_tables", "--configfile", str(ROOT / "config" / "minipile.yaml"))
    done = snakemake(*HERE, "--directory", str(tmp_path / "new"), *paper, *DRY, cwd=tmp_path)
    assert done.jobs()["audit_published"] == 1
    (tmp_path / "my.yaml").write_text("budgets: {mini: {trian: 500}}\n")
    message = error(snakemake(*HERE, *DRY, "--configfile", "my.yaml", cwd=tmp_path))
    assert message.startswith("my.yaml:1: budgets.mini: unknown key 'trian'")


def test_a_folder_with_definitions_of_its_own_keeps_them(snakemake: Snakemake, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "budgets.yaml").write_text(
        (ROOT / "config" / "budgets.yaml").read_text().replace("{train: 600,", "{trian: 600,")
    )
    message = error(snakemake(*HERE, *DRY, cwd=tmp_path))
    assert message.startswith("config/budgets.yaml:3: budgets.mini: unknown key 'trian'")


def test_a_slip_in_a_definition_file_has_its_line(clone: Path, snakemake: Snakemake, tmp_path: Path) -> None:
    own = copy_workflow(tmp_path / "own")
    with open(own / "config" / "budgets.yaml", "a") as out:
        out.write("\tmine: {train: 5}\n")
    message = error(snakemake(*DRY, cwd=own))
    assert re.fullmatch(r"config/budgets\.yaml:\d+: a tab; YAML is indented with blanks only", message)


def test_the_command_line_wins_over_run_configs_and_these_over_definitions(
    clone: Path, snakemake: Snakemake
) -> None:
    (clone / "my.yaml").write_text("targets: [nothing]\n")
    message = error(snakemake(*DRY, "--configfile", "my.yaml", cwd=clone))
    assert message.startswith("my.yaml:1: targets[0]: unknown table 'nothing'")
    done = snakemake(*DRY, "--configfile", "my.yaml", "--config", "targets=[pile-mini]", cwd=clone)
    assert done.jobs()["train_model"] == 6


# ---------------------------------------------------------------- tables that are not asked for


def test_equal_arms_of_a_table_stop_its_table_only(clone: Path, snakemake: Snakemake) -> None:
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    one = config["experiments"][0]
    table = {"title": "Twice", "experiments": [one["name"], "again"], "baseline": f"{one['name']}/random"}
    run = {"experiments": [one, {**one, "name": "again"}], "tables": {"twice": table}, "targets": ["twice"]}
    (clone / "twice.yaml").write_text(yaml.safe_dump(run))
    given = ("--configfile", "twice.yaml")
    same = "tables.twice.experiments: arms pile-mini/random and again/random have the same models"
    for target in ((), ("results/tables/twice.md",)):
        assert same in error(snakemake(*target, *DRY, *given, cwd=clone))
    for target in ("subsets", "samplers", "results/pile-mini/heldout.parquet"):
        done = snakemake(target, *DRY, *given, cwd=clone)
        assert done.code == 0, done.text
        assert "warning: twice.yaml:" in done.err
        assert same in done.err


def test_processes_of_jobs_check_neither_tables_nor_data_again(clone: Path, snakemake: Snakemake) -> None:
    (clone / "late.jsonl").write_text("no json\n")
    run: dict[str, Any] = yaml.safe_load(example(ROOT / "README.md"))
    run["corpora"]["mine"]["source"]["files"] = ["late.jsonl"]
    run["tables"]["mine"]["baseline"] = "nothing"
    (clone / "job.yaml").write_text(yaml.safe_dump(run))
    given = ("subsets", *DRY, "--configfile", "job.yaml")
    assert "late.jsonl: row 1: not JSON" in error(snakemake(*given, cwd=clone))
    done = snakemake(*given, "--mode", "remote", cwd=clone)
    assert done.code == 0, done.text
    assert forecast(done) == ""


# ---------------------------------------------------------------- data


def test_a_wrong_column_ends_a_dry_run(clone: Path, snakemake: Snakemake) -> None:
    (clone / "texts.jsonl").write_text(rows(900, domain=["a", "b"]))
    run: dict[str, Any] = yaml.safe_load(example(ROOT / "README.md"))
    run["corpora"]["mine"]["source"]["files"] = ["texts.jsonl"]
    (clone / "mine.yaml").write_text(yaml.safe_dump(run))
    given = (*DRY, "--configfile", "mine.yaml")
    assert snakemake(*given, cwd=clone).code == 1  # 300 held out and 630 drawn of 900
    run["corpora"]["mine"]["heldout"]["documents"] = 200
    run["corpora"]["mine"]["meta"] = ["domian"]
    run["corpora"]["mine"]["group"] = None
    (clone / "mine.yaml").write_text(yaml.safe_dump(run))
    message = error(snakemake(*given, cwd=clone))
    assert re.fullmatch(
        r"mine\.yaml:\d+: corpora\.mine\.meta\[0\]: texts\.jsonl: no column 'domian'; columns: text, domain",
        message,
    )
    assert snakemake("--unlock", "--configfile", "mine.yaml", cwd=clone).code == 0


def example(page: Path) -> str:
    found = re.search(r"```yaml\n(corpora:.*?)```", page.read_text(), flags=re.DOTALL)
    assert found
    return found.group(1)


# ---------------------------------------------------------------- the forecast


def test_a_dry_run_forecasts_what_its_targets_need(clone: Path, snakemake: Snakemake) -> None:
    message = forecast(snakemake(*DRY, "--cores", "2", cwd=clone))
    assert re.fullmatch(
        r"embed 8,544 documents \(about [\d,]+ tokens\), train 8 models, evaluate 8: "
        r"about \d+ minutes on 2 cores of a processor",
        message,
    )
    assert "train" not in forecast(snakemake("subsets", *DRY, cwd=clone))
    paper = ("--configfile", "config/minipile.yaml")
    assert forecast(snakemake("published_tables", *DRY, *paper, cwd=clone)) == ""


def test_more_cores_are_forecast_to_take_less_time(clone: Path, snakemake: Snakemake) -> None:
    minutes = [
        int(re.findall(r"about (\d+) minutes", forecast(snakemake(*DRY, "--cores", str(n), cwd=clone)))[-1])
        for n in (1, 2)
    ]
    assert minutes[0] == pytest.approx(2 * minutes[1], abs=2)


def test_documents_of_local_files_are_counted_or_estimated(
    clone: Path, snakemake: Snakemake, tmp_path: Path
) -> None:
    run: dict[str, Any] = yaml.safe_load(example(ROOT / "README.md"))
    run["corpora"]["mine"]["source"]["files"] = [str(tmp_path / "texts.jsonl")]
    (clone / "mine.yaml").write_text(yaml.safe_dump(run))
    for count, low, high in ((2000, 2000, 2000), (20_000, 19_000, 21_000)):
        (tmp_path / "texts.jsonl").write_text(rows(count, domain=["a", "b"]))
        message = forecast(snakemake(*DRY, "--configfile", "mine.yaml", cwd=clone))
        documents = int(re.match(r"embed ([\d,]+) documents", message).group(1).replace(",", ""))  # type: ignore[union-attr]
        assert low <= documents <= high


# ---------------------------------------------------------------- worked examples


def fill(folder: Path) -> None:
    """Tiny made-up files in the shape that the examples describe."""
    data = folder / "data"
    data.mkdir()
    topics = [f"topic {i}" for i in range(20)]
    (data / "posts-train.jsonl").write_text(rows(1200, topic=topics, forum=["science", "sports", "politics"]))
    (data / "posts-test.jsonl").write_text(rows(60, topic=topics, forum=["science"]))
    with gzip.open(data / "pool.jsonl.gz", "wt") as out:
        out.write(rows(3000))
    (data / "target.jsonl").write_text(rows(400))


@pytest.mark.parametrize(("name", "models"), [("labelled-posts", 12), ("target-corpus", 11)])
def test_a_worked_example_runs_once_its_data_are_there(
    snakemake: Snakemake, tmp_path: Path, name: str, models: int
) -> None:
    file = ROOT / "config" / "examples" / f"{name}.yaml"
    message = error(snakemake(*HERE, *DRY, "--configfile", str(file), cwd=tmp_path))
    assert "data/" in message
    assert "no file there" in message
    fill(tmp_path)
    done = snakemake(*HERE, *DRY, "--configfile", str(file), cwd=tmp_path)
    assert done.jobs()["train_model"] == models
    assert "note: " not in done.err
