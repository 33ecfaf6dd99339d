"""Shared by all stages: the command line, atomic files, progress lines, errors of one line."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import math
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from winnow import job_record


class InputError(Exception):
    """Bad input. The message is one line: the file, key or row, what is wrong, and what would be right."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: the form in which settings are passed and compared."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


RUN_ID, RUN_FILE = "WINNOW_RUN_ID", "WINNOW_RUN_FILE"
"""Environment of a job: the id of the run that started it, and the file that names the latest run of its results folder."""

WRITTEN: list[Path] = []
"""Files that this process has written, for its record (winnow.job_record)."""

WATCH = 5.0
"""Seconds between two looks of a job at that file."""


def check_current() -> None:
    """Raises InputError if a later run writes to the results folder of this job (winnow.run_lock): then it must not.

    A job outlives its Snakemake if that is killed; the next run starts the same job again.
    """
    latest = _latest_run()
    if latest is not None and latest["id"] != os.environ[RUN_ID]:
        raise InputError(
            f"{os.environ[RUN_FILE]}: a later run (process {latest['process']} on {latest['host']}) writes to this "
            "results folder; this job of an earlier run stops and writes nothing"
        )


def _latest_run() -> dict[str, Any] | None:
    if RUN_ID not in os.environ or RUN_FILE not in os.environ:
        return None  # started by hand
    try:
        return json.loads(Path(os.environ[RUN_FILE]).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # removed, or not visible from here
        return None


def _stop_when_superseded() -> None:
    """Ends this process, from a thread, once a later run writes to its results folder."""
    while True:
        time.sleep(WATCH)
        try:
            check_current()
        except InputError as error:
            say(f"error: {error}")
            os._exit(1)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; synced and renamed to it when the block succeeds, removed otherwise.

    Temporary files of the same path that a killed run left are removed first. Raises InputError as `check_current` does.
    """
    check_current()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{glob.escape(path.stem)}.{'?' * 8}{glob.escape(path.suffix)}"):
        stale.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        follow_umask(partial)
        check_current()
        partial.replace(path)
        WRITTEN.append(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def follow_umask(path: Path) -> None:
    """Sets the mode of a file by the umask; libraries ignore it and write files of mode 0600 or 0644."""
    path.chmod(0o666 & ~_UMASK)


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder `.name-*` inside `parent`, removed when the block ends; those that a killed run left are removed first."""
    check_current()
    parent.mkdir(parents=True, exist_ok=True)
    for stale in parent.glob(f".{name}-*"):
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=parent) as folder:
        yield Path(folder)


_UMASK = os.umask(0)
os.umask(_UMASK)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(digests: dict[str, str]) -> str:
    """The digest of a data set, from those of its files by name."""
    return "sha256 " + hashlib.sha256(canonical(digests).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises InputError for a file that is absent, a folder, not UTF-8 or not JSON, and, later, for
    a key that is looked up in its objects and is not there."""

    class Object(dict):
        def __missing__(self, key: str) -> Any:
            raise InputError(f"{path}: no key {key!r}; keys: {', '.join(map(str, self)) or 'none'}")

    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), object_hook=Object)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON ({error.msg}, line {error.lineno})") from None
    except (UnicodeDecodeError, RecursionError):
        raise InputError(f"{path}: not JSON in UTF-8; make it again") from None
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}; make it again") from None


class Progress:
    """Progress lines `[what] done of total unit (share), rate, time left`, at most one each `every` seconds, the first
    after half of that.

    `add` takes fractions of a unit, too. `done` of the `total` were done by an earlier run that this one continues, and
    do not count for the rate. Lines go to stderr (a rule's log) and, under Snakemake, to its terminal (file descriptor 3,
    opened by the shell prefix).
    """

    def __init__(
        self, what: str, total: float | None = None, unit: str = "", every: float = 10.0, done: float = 0.0
    ):
        self.what, self.total, self.unit, self.every = what, total, unit, every
        self.done = self.before = done
        self.start = time.monotonic()
        self.last = self.start - every / 2

    def add(self, amount: float, note: str = "") -> None:
        self.done += amount
        if time.monotonic() - self.last >= self.every:
            self.line(note)

    def line(self, note: str = "") -> None:
        self.last = time.monotonic()
        elapsed = max(self.last - self.start, 1e-9)
        parts = f"{math.floor(self.done + 1e-6):,}"
        if self.total:
            parts += f" of {self.total:,.0f}"
        parts += f" {self.unit}"
        if self.total:
            parts += f" ({100 * self.done / self.total:.0f} %)"
        if elapsed > 0.5 and self.done > self.before:
            rate = (self.done - self.before) / elapsed
            parts += f", {rate:,.0f} {self.unit}/s" if rate >= 10 else f", {rate:.2g} {self.unit}/s"
            if self.total and self.done < self.total - 1e-6:
                parts += f", {timedelta(seconds=round((self.total - self.done) / rate))} left"
        say(f"[{self.what}] {parts}{', ' + note if note else ''}")


def say(line: str) -> None:
    """Writes a line to the log and to the terminal of the run."""
    print(line, file=sys.stderr, flush=True)
    if os.environ.get("WINNOW_TERMINAL_FD"):
        try:
            os.write(int(os.environ["WINNOW_TERMINAL_FD"]), (line + "\n").encode())
        except (OSError, ValueError):
            del os.environ["WINNOW_TERMINAL_FD"]


REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)
"""Errors of a file system that is mounted read-only, is closed to this user, or fails."""


def disk_full(error: BaseException) -> bool:
    """Whether a write failed because the disk or a quota is full. Of Arrow and safetensors only the message says it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return (
        "No space left on device" in str(error)
        or "Disk quota exceeded" in str(error)
        or "File too large" in str(error)
    )


def _expand_lists(arguments: list[str]) -> list[str]:
    """A command line in which `@/dev/fd/N` (bash's `@<(...)`) is replaced by the lines of that file: such a list may be
    longer than a command line can be (2 MB; some 20,000 paths)."""
    out: list[str] = []
    for argument in arguments:
        if argument.startswith("@/dev/fd/"):
            out += [line for line in Path(argument[1:]).read_text(encoding="utf-8").split("\n") if line]
        else:
            out.append(argument)
    return out


def _first_values(arguments: list[str], lists: set[str]) -> tuple[list[str], dict[str, list[str]]]:
    """A command line with only the first value of each option in `lists`, and all values of each option."""
    short: list[str] = []
    values: dict[str, list[str]] = {}
    option = ""
    for argument in arguments:
        if argument.startswith("--"):
            option = argument
            if option not in values:
                short.append(option)
        elif option not in lists:
            short.append(argument)
        else:
            if option not in values:
                short.append(argument)
            values.setdefault(option, []).append(argument)
    return short, values


def _check_kinds(values: list[Any]) -> None:
    """Raises InputError for a path that is neither a file nor a folder: reading a named pipe waits for ever."""
    paths = [path for value in values for path in (value if isinstance(value, list) else [value])]
    for path in paths:
        if isinstance(path, Path) and not str(path).startswith("/dev/"):
            try:
                mode = os.stat(path).st_mode
            except OSError:
                continue  # absent, as outputs are; those who read it say so
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise InputError(f"{path}: a named pipe, socket or device; a file is required")


def _write_record(record: Path, given: list[Any], began: float) -> None:
    """The record of a job with the arguments `given`, which began at so many seconds since the epoch."""
    check_current()
    paths = [one for value in given for one in (value if isinstance(value, list) else [value])]
    module = getattr(sys.modules["__main__"].__spec__, "name", sys.argv[0])
    job_record.write(
        record,
        Path(os.environ[RUN_FILE]).parent.parent,
        os.environ.get(RUN_ID),
        [module, *job_record.shown(sys.argv[1:])],
        [path for path in paths if isinstance(path, Path)],
        WRITTEN,
        began,
    )


def run(*commands: Callable[..., None], name: str = "") -> None:
    """Makes a command line from the signatures of `commands` and runs it; `name` is its name in the help.

    Several commands become sub-commands. An InputError, a full disk and one that refuses or fails end the process with one
    line on stderr and exit code 1. A job of a run that ends well leaves a record (winnow.job_record).
    """
    import gc
    import typing

    began = time.time()

    from cyclopts import App, Parameter

    gc.set_threshold(
        200_000, 20, 20
    )  # heavy imports make objects that live on: a quarter of start-up was garbage collection
    app = App(
        name=name or None,
        help=None if name else sys.modules["__main__"].__doc__,
        default_parameter=Parameter(consume_multiple=True, negative=(), json_list=False, json_dict=False),
        result_action="return_value",
    )
    for command in commands:
        if len(commands) == 1:
            app.default(command)
        else:
            app.command(command)
    sys.argv[1:] = _expand_lists(sys.argv[1:])
    if "WINNOW_GPUS" in os.environ:
        from winnow.gpus import claim

        claim()
    # As Snakemake sets it for a job: tokenizers take no more.
    if threads := os.environ.get("OMP_NUM_THREADS"):
        os.environ.setdefault("RAYON_NUM_THREADS", threads)
    if RUN_ID in os.environ:
        threading.Thread(target=_stop_when_superseded, daemon=True).start()
    named = [c for c in commands if len(commands) == 1 or c.__name__.replace("_", "-") in sys.argv[1:2]]
    hints = {name: hint for command in named for name, hint in typing.get_type_hints(command).items()}
    lists = {f"--{n.replace('_', '-')}": n for n, hint in hints.items() if hint in (list[Path], list[str])}
    # cyclopts is quadratic in the values of an option: 20,000 take 40 s.
    short, values = _first_values(sys.argv[1:], set(lists))
    try:
        command, bound, _ = app.parse_args(short)
        if command in commands:
            for option, given in values.items():
                bound.arguments[lists[option]] = list(map(hints[lists[option]].__args__[0], given))
        given = [*bound.args, *bound.kwargs.values()]
        _check_kinds(given)
        record = job_record.place(os.environ.get(RUN_FILE))
        if record is None:
            command(*bound.args, **bound.kwargs)
        else:
            check_current()
            record.unlink(missing_ok=True)
            command(*bound.args, **bound.kwargs)
            _write_record(record, given, began)
    except InputError as error:
        say(f"error: {error}")
        sys.exit(1)
    except Exception as error:
        if disk_full(error):
            say(
                f"error: no space left on the disk while writing {getattr(error, 'filename', None) or 'a result'}: "
                "free some, then run the same command again; no partial file was kept"
            )
            sys.exit(1)
        if isinstance(error, OSError) and error.errno in REFUSED:
            say(
                f"error: {error.filename or 'a file'}: {(error.strerror or str(error)).lower()}; mend the file system or its "
                "permissions, then run the same command again"
            )
            sys.exit(1)
        if os.environ.get("WINNOW_TERMINAL_FD"):
            say(f"error: {type(error).__name__}: {error} (the traceback is in the log)")
        raise
