"""One run at a time writes to a results folder: the file logs/run.json there names the latest one. In: the folder of
results, and whether that run is over; out: the file, and the environment that the jobs of this run inherit.

Snakemake locks files in the folder from which it was started: it notices neither a run from another folder nor jobs that
outlived their Snakemake. Here a second run is refused while the first goes on; and when the first was killed, its jobs,
which may still compute, see in the file that they belong to an earlier run, and stop before they write (winnow.stage).
No lock of the file system is needed: the file is created exclusively, and replaced by renaming.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from winnow.stage import RUN_FILE, RUN_ID, InputError, follow_umask, write_json

PLACE = "logs/run.json"


def claim(results: Path) -> None:
    """Makes this process the run that writes to the folder `results`, until it ends.

    Sets the environment by which its jobs know that. Raises InputError, in one line, if another run goes on: on this machine
    one whose process lives, on another machine any that has not ended (see `release`).
    """
    path = results.absolute() / PLACE
    path.parent.mkdir(parents=True, exist_ok=True)
    mine: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "process": os.getpid(),
        "start": _start(os.getpid()),
        "folder": os.getcwd(),
        "began": datetime.now().astimezone().isoformat(timespec="seconds"),
        "ended": False,
    }
    os.environ.pop(RUN_ID, None)
    with _one_at_a_time(path.parent):
        try:
            with open(path, "x", encoding="utf-8") as file:
                json.dump(mine, file)
            follow_umask(path)
        except FileExistsError:
            if (other := _read(path)) and _goes_on(other):
                raise InputError(_refusal(results, other)) from None
            write_json(path, mine)
    os.environ.update({RUN_ID: mine["id"], RUN_FILE: str(path)})
    atexit.register(_end, path, mine["id"], os.getpid())


def release(results: Path) -> None:
    """Declares the latest run of the folder ended (`snakemake --unlock`): of one that was killed on another machine nobody
    here can tell. Raises InputError if it goes on here."""
    path = results.absolute() / PLACE
    other = _read(path)
    if other and not other["ended"]:
        if other["host"] == socket.gethostname() and _goes_on(other):
            raise InputError(_refusal(results, other))
        write_json(path, {**other, "ended": True})


def _end(path: Path, run: str, process: int) -> None:
    latest = _read(path)
    if os.getpid() == process and latest and latest["id"] == run:
        with contextlib.suppress(OSError):
            write_json(path, {**latest, "ended": True})


def _read(path: Path) -> dict[str, Any] | None:
    """The run that the file names; None if there is none, or if it was cut short."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return (
        run if isinstance(run, dict) and {"id", "host", "process", "start", "ended"} <= run.keys() else None
    )


def _goes_on(run: dict[str, Any]) -> bool:
    if run["ended"]:
        return False
    if run["host"] != socket.gethostname():
        return True
    start = _start(run["process"])
    return run["process"] != os.getpid() and start is not None and start == run["start"]


def _start(process: int) -> str | None:
    """What tells a process from a later one of the same number: boot and clock ticks since it; None if it does not live."""
    try:
        os.kill(process, 0)
    except PermissionError:
        pass
    except OSError:
        return None
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        state, *fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return "" if not Path("/proc/self").exists() else None  # macOS: by the number alone
    return None if state == "Z" else f"{boot} {fields[18]}"


def _refusal(results: Path, run: dict[str, Any]) -> str:
    here = run["host"] == socket.gethostname()
    where = f"process {run['process']}{'' if here else ' on ' + run['host']}, started in {run.get('folder')} at {run.get('began')}"
    cure = (
        "wait until it has ended, or take another results folder"
        if here
        else "wait until it has ended; if it was killed there, run the same command with --unlock first"
    )
    return f"{results}: another run writes to this results folder ({where}); {cure}"


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Keeps apart two runs that start in the same moment, where the file system can; elsewhere the jobs of the one whose
    name was overwritten stop."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
