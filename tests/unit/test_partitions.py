"""The partition of a job and its limits: a job must neither wait for ever nor go to a GPU partition for nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from winnow.partitions import (
    Node,
    Partition,
    Request,
    fit,
    from_plain,
    gpus_of,
    minutes_of,
    read_partitions,
    to_plain,
)
from winnow.stage import InputError

SINFO = """\
cpu|4|9000|gpu:2
cpu|4+|9000+|(null)
gpu|64|512000|gpu:a100:4(S:0-1),nvme:1
gpu|32|256000|gpu:v100:8,gpu:a30:2
long|4|9000|(null)
"""
SCONTROL = """\
PartitionName=cpu AllowGroups=ALL MaxTime=01:00:00 MaxCPUsPerNode=UNLIMITED State=UP MaxMemPerNode=UNLIMITED TRES=cpu=8
PartitionName=gpu MaxTime=2-00:00:00 MaxCPUsPerNode=16 State=UP MaxMemPerNode=100000
PartitionName=long MaxTime=UNLIMITED State=UP
PartitionName=old MaxTime=10:00 State=DOWN
"""


@pytest.fixture
def partitions() -> dict[str, Partition]:
    return read_partitions(SINFO, SCONTROL)


def test_partitions_are_read_from_what_slurm_prints(partitions: dict[str, Partition]) -> None:
    assert partitions["cpu"] == Partition("cpu", 60, (Node(4, 9000, {"": 2}), Node(4, 9000, {})))
    assert partitions["gpu"].minutes == 2880
    assert partitions["gpu"].nodes[0] == Node(16, 100000, {"a100": 4})
    assert partitions["gpu"].nodes[1].gpus == {"v100": 8, "a30": 2}
    assert partitions["long"].minutes == math.inf
    assert partitions["old"] == Partition("old", 10, (), up=False)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("UNLIMITED", math.inf), ("infinite", math.inf), ("01:00:00", 60), ("7-00:00:00", 10080), ("30:00", 30),
     ("90", 90), ("1-12", 2160), ("1-01:30", 1530)],
)  # fmt: skip
def test_times_of_slurm_are_minutes(text: str, minutes: float) -> None:
    assert minutes_of(text) == minutes


def test_gpus_are_counted_by_model() -> None:
    assert gpus_of("(null)") == {}
    assert gpus_of("gpu:2(S:0)") == {"": 2}
    assert gpus_of("craynetwork:4,gpu:h100:4(S:0-3),gpu:h100:2") == {"h100": 6}


def test_a_job_is_cut_to_the_threads_and_the_time_of_its_partition(partitions: dict[str, Partition]) -> None:
    fitted = fit(Request(threads=8, memory=4000, minutes=240), [partitions["cpu"]])
    assert fitted == ("cpu", Request(4, 4000, 60))


def test_a_job_that_fits_is_left_as_it_is(partitions: dict[str, Partition]) -> None:
    request = Request(4, 9000, 60, gpus=2)
    assert fit(request, [partitions["cpu"]]) == ("cpu", request)


def test_a_job_takes_the_first_partition_whose_limits_it_keeps(partitions: dict[str, Partition]) -> None:
    names = [partitions["cpu"], partitions["long"]]
    assert fit(Request(1, 1000, 30), names)[0] == "cpu"
    assert fit(Request(1, 1000, 300), names) == ("long", Request(1, 1000, 300))
    # Neither has eight CPUs: the last one, which has the time.
    assert fit(Request(8, 1000, 300), names) == ("long", Request(4, 1000, 300))


def test_memory_is_refused_at_first_and_cut_when_it_grew(partitions: dict[str, Partition]) -> None:
    with pytest.raises(
        InputError, match=r"^asks for 10,000 MB of memory, a node of partition cpu has 9,000; name a "
    ):
        fit(Request(1, 10_000, 10), [partitions["cpu"]])
    assert fit(Request(1, 10_000, 10), [partitions["cpu"]], attempt=2) == ("cpu", Request(1, 9000, 10))


def test_gpus_that_no_node_has_are_refused(partitions: dict[str, Partition]) -> None:
    with pytest.raises(
        InputError, match="asks for 1 GPU, a node of partition long has none; set gpu_partition in"
    ):
        fit(Request(1, 1000, 10, gpus=1), [partitions["long"]])
    with pytest.raises(
        InputError, match="asks for 8 a100 GPUs, a node of partition gpu has 4; set gpu_partition and"
    ):
        fit(Request(1, 1000, 10, gpus=8, model="a100"), [partitions["gpu"]])
    # Eight there are, of v100, on nodes with less memory.
    assert fit(Request(64, 1000, 10, gpus=8), [partitions["gpu"]])[1].threads == 16


@given(
    st.integers(1, 256), st.integers(1, 10**6), st.integers(1, 10**5), st.integers(0, 10), st.integers(1, 3)
)
def test_a_fitted_request_fits_a_node(
    threads: int, memory: int, minutes: int, gpus: int, attempt: int
) -> None:
    partitions = read_partitions(SINFO, SCONTROL)
    asked = Request(threads, memory, minutes, gpus)
    for names in (["cpu"], ["gpu"], ["cpu", "gpu"], ["long", "cpu", "gpu"]):
        try:
            name, request = fit(asked, [partitions[n] for n in names], attempt)
        except InputError:
            continue
        assert request.minutes <= partitions[name].minutes
        assert any(
            node.cpus >= request.threads and node.memory >= request.memory and node.count() >= request.gpus
            for node in partitions[name].nodes
        )
        assert fit(request, [partitions[name]], attempt) == (name, request)


def test_partitions_reach_a_job_unchanged(partitions: dict[str, Partition]) -> None:
    assert from_plain(to_plain(partitions)) == partitions
