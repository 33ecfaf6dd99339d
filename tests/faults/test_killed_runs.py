"""kill -9 of Snakemake and its jobs at random moments: the next run goes on, and ends with what an undisturbed run writes.

`make test-faults`. Moments are uniform over the processor time that an undisturbed run takes, on a machine of any speed. WINNOW_KILLS (default 50) and
WINNOW_KILL_SEED (default 0) change their number and choice. The demo is killed with WINNOW_DEMO_KILLS=3.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_contents import contents
from runs import RUN, finish, leftovers, prepare, processor_seconds, said, start, timed, unlock

pytestmark = pytest.mark.faults
KILLS = int(os.environ.get("WINNOW_KILLS", "50"))
SEED = int(os.environ.get("WINNOW_KILL_SEED", "0"))
DEMO_KILLS = int(os.environ.get("WINNOW_DEMO_KILLS", "0"))
CHAIN = 4
"""Kills in one folder before the run may end; a fifth of all kills have a folder of their own."""


class Whole:
    """An undisturbed run: its contents, and the processor time that it took and that of a run without jobs, in seconds."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.seconds = timed(folder, *more)
        self.contents = contents(folder / "results")
        self.planning = timed(folder, *more)
        assert "Nothing to be done" in said(folder)

    def again(self) -> float:
        """Seconds of a run that goes on after a kill before it does anything new: it plans, and does the killed jobs again."""
        return self.planning + 6


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    made = Whole(prepare(tmp_path_factory.mktemp("whole")))
    assert {Path(path).suffix for path in made.contents} >= {
        ".parquet", ".npy", ".safetensors", ".json", ".csv", ".md", ".html"
    }  # fmt: skip
    return made


def chains() -> Iterator[tuple[int, int]]:
    """Numbers of chains, and of kills in each."""
    alone = KILLS // 5
    lengths = [CHAIN] * ((KILLS - alone) // CHAIN) + [1] * alone
    lengths += [1] * (KILLS - sum(lengths))
    yield from enumerate(lengths)


def kill_after(seconds: float, folder: Path, *more: str) -> bool:
    """Starts the run and kills its process group when it has used some seconds. Whether it was still going on then."""
    process = start(folder, *more)
    while process.poll() is None and processor_seconds(process.pid) < seconds:
        time.sleep(0.05)
    if process.poll() is not None:
        assert process.returncode == 0, said(folder)
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


@pytest.mark.parametrize(("chain", "kills"), list(chains()))
def test_a_run_killed_at_random_moments_ends_with_what_an_undisturbed_run_writes(
    whole: Whole, tmp_path: Path, chain: int, kills: int
) -> None:
    folder = prepare(tmp_path / "run")
    chance = random.Random(f"{SEED}/{chain}")
    moments = sorted(chance.uniform(0, whole.seconds) for _ in range(kills))
    at = 0.0
    for moment in moments:
        going = kill_after(moment - at + (whole.again() if at else 0), folder)
        done = contents(folder / "results")
        share = 100 * len(done) / len(whole.contents)
        print(
            f"chain {chain}: killed at {moment:.0f} of {whole.seconds:.0f} s, with {share:.0f} % of the files"
        )
        assert done.items() <= whole.contents.items()
        unlock(folder)
        at = moment
        if not going:
            break
    finish(folder)
    assert contents(folder / "results") == whole.contents
    assert leftovers(folder / "results") == []
    assert "Nothing to be done" in finish(folder)


@pytest.mark.skipif(not DEMO_KILLS, reason="set WINNOW_DEMO_KILLS=3")
def test_the_demo_killed_at_random_moments_ends_with_what_an_undisturbed_demo_writes(tmp_path: Path) -> None:
    demo = {"results": RUN["results"]}
    whole = Whole(prepare(tmp_path / "whole", demo))
    folder = prepare(tmp_path / "run", demo)
    chance = random.Random(f"{SEED}/demo")
    at = 0.0
    for moment in sorted(chance.uniform(0, whole.seconds) for _ in range(DEMO_KILLS)):
        kill_after(moment - at + (whole.again() if at else 0), folder)
        assert contents(folder / "results").items() <= whole.contents.items()
        unlock(folder)
        at = moment
    finish(folder)
    assert contents(folder / "results") == whole.contents
    assert leftovers(folder / "results") == []
