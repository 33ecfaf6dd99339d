"""A GPU must not wait for the processor: the next block is prepared while it computes, and results keep their order."""

import threading

import pytest
from winnow.in_flight import Meter, in_flight, side_by_side


def test_the_next_block_is_prepared_while_a_slow_device_computes():
    prepared = [threading.Event() for _ in range(6)]

    def work(item: int) -> int:
        prepared[item].set()
        if item + 1 < len(prepared):  # the device computes until the next block is ready
            assert prepared[item + 1].wait(30), f"block {item + 1} was not prepared during block {item}"
        return item * item

    assert list(in_flight(work, range(6), "cuda")) == [0, 1, 4, 9, 16, 25]


def test_the_processor_computes_one_block_at_a_time():
    thread = threading.get_ident()
    assert list(in_flight(lambda item: (item, threading.get_ident()), "ab", "cpu")) == [
        ("a", thread),
        ("b", thread),
    ]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_an_error_ends_the_work_and_few_blocks_are_held(device):
    read: list[int] = []
    done: list[int] = []

    def items():
        for item in range(100):
            read.append(item)
            yield item

    def work(item: int) -> int:
        if item == 5:
            raise ValueError("no finite vector")
        done.append(item)
        return item

    results = in_flight(work, items(), device)
    for expected in range(5):
        assert next(results) == expected
        assert len(read) <= expected + 3
    with pytest.raises(ValueError, match="no finite vector"):
        next(results)
    assert len(read) <= 7
    assert list(in_flight(work, [], device)) == []


def test_a_meter_counts_the_time_in_which_no_thread_computes(monkeypatch):
    times = iter([0.0, 1.0, 2.0, 3.0, 7.0, 8.0])
    monkeypatch.setattr("winnow.in_flight.time.perf_counter", lambda: next(times) + 100)
    meter = Meter()
    assert meter.waited() == 0
    with meter, meter:  # 0 to 3: two threads that overlap
        pass
    with meter:  # 7 to 8
        pass
    assert meter.waited() == pytest.approx(0.5)
    assert meter.note("cuda") == "the GPU waited 50 % of the time"
    assert meter.note("cpu") == ""


def test_the_cores_of_a_processor_compute_batches_side_by_side_and_in_order():
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    together = threading.Barrier(3, timeout=30)

    def work(item: int) -> tuple[int, int]:
        together.wait()  # passes only when three are computed at a time
        return item, torch.get_num_threads()

    try:
        assert list(side_by_side(work, range(6), "cpu")) == [(item, 1) for item in range(6)]
        assert torch.get_num_threads() == 3
        with pytest.raises(ValueError, match="no finite vector"):
            list(side_by_side(lambda _: (_ for _ in ()).throw(ValueError("no finite vector")), "ab", "cpu"))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
