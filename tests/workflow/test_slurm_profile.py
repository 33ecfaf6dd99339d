"""What jobs ask for with profiles/slurm: a dry run, with stand-ins for the commands of SLURM."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from conftest import Finished, Snakemake, copy_workflow

SINFO = "cpu|4|9000|(null)\nbig|64|256000|(null)\ngpu|8|64000|gpu:a100:4"
SCONTROL = "PartitionName=cpu MaxTime=01:00:00 State=UP\nPartitionName=big MaxTime=2-00:00:00 State=UP\nPartitionName=gpu MaxTime=UNLIMITED State=UP"
MODEL = "results/pile-mini/models/none/random/mini/seed0/neox-nano/seed0/manifest.json"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_workflow(tmp_path_factory.mktemp("clone"))


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment in which SLURM's commands print a cluster of three partitions."""
    for name, text in (("sinfo", SINFO), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(f"#!/bin/sh\ncat <<END\n{text}\nEND\n")
        (tmp_path / name).chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def asked(done: Finished, name: str) -> dict[str, str]:
    """The resources of the first job of a rule."""
    assert done.code == 0, done.text
    job = re.search(rf"^rule {name}:\n(.*?)\n\n", done.text, re.MULTILINE | re.DOTALL)
    assert job, done.text
    line = re.search(r"resources: (.*)", job[1])
    threads = re.search(r"threads: (\d+)", job[1])
    assert line
    return dict(part.split("=", 1) for part in line[1].split(", ")) | {
        "threads": threads[1] if threads else "1"
    }


def dry_run(snakemake: Snakemake, clone: Path, env: dict[str, str], *more: str) -> Finished:
    return snakemake(MODEL, "--profile", "slurm", "--dry-run", *more, cwd=clone, **env)


def test_a_job_without_a_gpu_goes_to_the_partition_for_such(clone, snakemake, cluster) -> None:
    got = asked(dry_run(snakemake, clone, cluster), "train_model")
    assert (got["slurm_partition"], got["gpu"]) == ("cpu", "0")
    assert "gpu_partition" not in got


def test_a_job_with_a_gpu_goes_to_the_partition_of_gpus(clone, snakemake, cluster) -> None:
    more = ("--set-resources", "train_model:gpu=2", "--default-resources", "runtime=60", "mem_mb=2000", "disk_mb=1000",
            "slurm_partition=cpu", "gpu_partition=gpu", "gpu_model=a100")  # fmt: skip
    done = dry_run(snakemake, clone, cluster, *more)
    got = asked(done, "train_model")
    assert (got["slurm_partition"], got["gpu"], got["gpu_model"]) == ("gpu", "2", "a100")
    got = asked(done, "write_subset")
    assert got["slurm_partition"] == "cpu"
    assert "gpu_model" not in got  # the plugin would ask for a100:0


def test_time_and_threads_are_cut_to_the_partition(clone, snakemake, cluster) -> None:
    more = ("--set-resources", "train_model:runtime=3000", "--set-threads", "train_model=16", "--cores", "64")
    got = asked(dry_run(snakemake, clone, cluster, *more), "train_model")
    assert (got["runtime"], got["threads"], got["slurm_partition"]) == ("60", "4", "cpu")
    assert got["slurm_extra"] == "--signal=USR1@300"  # five minutes before the limit


def test_a_time_that_is_cut_is_noted_unless_the_job_can_resume(clone, snakemake, cluster) -> None:
    more = ("--set-resources", "train_model:runtime=3000", "hold_out:runtime=90")
    done = dry_run(snakemake, clone, cluster, *more)
    (line,) = [row for row in done.text.splitlines() if row.startswith("note: minutes cut")]
    assert "hold_out 90 -> 60" in line
    assert line.endswith("): jobs that take longer fail")
    assert "train_model" not in line


def test_the_first_partition_that_holds_a_job_is_taken(clone, snakemake, cluster) -> None:
    more = ("--set-resources", "train_model:runtime=3000", "--default-resources", "runtime=60", "mem_mb=2000",
            "disk_mb=1000", "slurm_partition=cpu,big")  # fmt: skip
    done = dry_run(snakemake, clone, cluster, *more)
    got = asked(done, "train_model")
    assert (got["runtime"], got["slurm_partition"]) == ("2880", "big")
    assert asked(done, "hold_out")["slurm_partition"] == "cpu"


def test_a_partition_set_for_a_rule_is_kept(clone, snakemake, cluster) -> None:
    done = dry_run(
        snakemake,
        clone,
        cluster,
        "--set-resources",
        "train_model:slurm_partition=big",
        "train_model:runtime=90",
    )
    got = asked(done, "train_model")
    assert (got["slurm_partition"], got["runtime"]) == ("big", "90")


def test_a_dry_run_warns_of_jobs_that_could_never_start(clone, snakemake, cluster) -> None:
    done = dry_run(snakemake, clone, cluster, "--set-resources", "train_model:mem_mb=10000")
    assert done.code == 0
    assert (
        "warning: train_model: asks for 10,000 MB of memory, a node of partition cpu has 9,000; name a partition of "
        "larger nodes in the profile, or lower its mem_mb in set-resources"
    ) in done.text
    done = dry_run(snakemake, clone, cluster, "--set-resources", "train_model:slurm_partition=cup")
    assert (
        "warning: train_model: slurm_partition=cup: the cluster has no such partition; sinfo knows big, cpu, gpu"
        in done.text
    )


def test_one_mistake_in_the_profile_is_one_line(clone, snakemake, cluster) -> None:
    more = ("--set-resources", "train_model:slurm_partition=cup", "hold_out:slurm_partition=cup")
    done = dry_run(snakemake, clone, cluster, *more)
    (line,) = [line for line in done.text.splitlines() if line.startswith("warning: ")]
    assert line.startswith(
        "warning: hold_out, train_model: slurm_partition=cup: the cluster has no such partition"
    )


def test_names_in_the_profile_that_change_nothing_are_told(clone, snakemake, cluster) -> None:
    """Snakemake passes over them: jobs ran with the memory of the rules, and were charged to another account."""
    more = ("--set-resources", "trian_model:mem_mb=9000", "train_model:gpus=1", "--set-threads", "nothing=2",
            "--default-resources", "runtime=60", "mem_mb=2000", "slurm_partition=cpu", "slurm_acount=nlp")  # fmt: skip
    done = dry_run(snakemake, clone, cluster, *more)
    assert done.code == 0
    assert [line for line in done.text.splitlines() if line.startswith("warning: ")] == [
        "warning: set-resources: no rule 'trian_model', so this changes nothing; did you mean 'train_model'?",
        "warning: set-threads: no rule 'nothing', so this changes nothing",
        "warning: default-resources: no job reads 'slurm_acount'; did you mean 'slurm_account'?",
        "warning: set-resources: train_model: no job reads 'gpus'; did you mean 'gpu'?",
    ]


def test_a_node_that_lacks_something_is_not_asked_again(clone, snakemake) -> None:
    """On SLURM three attempts took a minute and a half, and printed the same error three times."""
    line = ("--cores", "1", "--resources", "gpu=1", "--retries", "2")
    done = snakemake("preflight", *line, cwd=clone, CUDA_VISIBLE_DEVICES="")
    assert done.code != 0
    assert done.text.count("Error in rule check_partition") == 1
    assert "The preflight failed; each job says why in a line that begins with error" in done.text


def test_without_slurm_a_dry_run_shows_what_the_rules_ask(clone, snakemake, tmp_path) -> None:
    env = (
        {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        if not Path("/usr/bin/sinfo").exists()
        else {"PATH": str(tmp_path)}
    )
    more = ("--set-resources", "train_model:runtime=3000", "train_model:gpu=1")
    got = asked(dry_run(snakemake, clone, env, *more), "train_model")
    assert (got["runtime"], got["slurm_partition"]) == ("3000", "gpu")


def test_the_local_profile_knows_no_partitions(clone, snakemake, cluster) -> None:
    done = snakemake(MODEL, "--profile", "profiles/local", "--dry-run", cwd=clone, **cluster)
    assert "slurm_partition" not in done.text
    assert done.jobs()["train_model"] == 1


def test_a_dry_run_with_conda_plans_the_same_jobs(clone, snakemake, tmp_path) -> None:
    """With a stand-in for conda, which a dry run only asks for its folders; no environment is created."""
    (tmp_path / "conda").write_text("""#!/bin/sh
case "$*" in
*--version*) echo "conda 24.7.1" ;;
*) echo '{"conda_prefix": "/opt/conda", "platform": "linux-64", "channels": [], "envs": [], "get": {"channel_priority": "strict"}}' ;;
esac
""")
    (tmp_path / "conda").chmod(0o755)
    more = ("--dry-run", "--quiet", "rules", "--software-deployment-method", "conda")
    done = snakemake(MODEL, *more, cwd=clone, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.jobs()["train_model"] == 1
