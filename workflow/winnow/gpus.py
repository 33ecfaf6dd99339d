"""The GPUs of a job on a machine without a scheduler: as many as it asked for, which no other job uses.

In: WINNOW_GPUS, the number that the job asked for. Out: CUDA_VISIBLE_DEVICES. A job of SLURM keeps what SLURM gave it.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from pathlib import Path

HELD: list[int] = []
"""Descriptors of the lock files of this process's devices; they close with the process."""


def devices() -> list[str]:
    """The devices that this process may see: those of CUDA_VISIBLE_DEVICES, or all."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name.strip()]
    numbers = [re.fullmatch(r"nvidia(\d+)", path.name) for path in Path("/dev").glob("nvidia*")]
    return sorted((number[1] for number in numbers if number), key=int)


def claim(every: float = 1.0) -> None:
    """Hides all GPUs from a job that asked for none; claims those of one that did, and waits until they are free.

    A device is claimed by a lock on a file in the temporary folder of this user, until the process ends; a program that is
    started in its place (torchrun) keeps it. Fewer devices than asked for are left as they are, for the stage to say so.
    """
    asked = int(os.environ.pop("WINNOW_GPUS"))
    if not asked:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return
    names = devices()
    if "SLURM_JOB_ID" in os.environ or asked > len(names):
        return
    folder = Path(tempfile.gettempdir()) / f"winnow-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        with open(
            folder / "all.lock", "w"
        ) as everything:  # one job looks at a time: none holds a part and waits
            fcntl.flock(everything, fcntl.LOCK_EX)
            free = {name: number for name in names if (number := _lock(folder / f"{name.strip()}.lock"))}
            taken = list(free)[:asked] if len(free) >= asked else []
            for name, number in free.items():
                if name not in taken:
                    os.close(number)
        if taken:
            break
        time.sleep(every)
    HELD.extend(free[name] for name in taken)
    for number in HELD:
        os.set_inheritable(number, True)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)


def _lock(path: Path) -> int | None:
    """A descriptor of a file that this process has locked; None if another has."""
    number = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        return None
    return number
