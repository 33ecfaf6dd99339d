"""How fast a machine is: what `winnow calibrate` measured, or the figures of the machine on which Winnow is developed.

In: results/calibration.json. Out: a `Machine`, whose rates the model of a job's work (winnow.work.requests) divides by.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

from winnow.device import GPUS, UTILISATION, WATTS_A_THREAD
from winnow.stage import InputError

CALIBRATION = "calibration.json"
"""File of `winnow calibrate` in the folder of results."""


@dataclass(frozen=True)
class Machine:
    """Rates of one machine; the defaults are those of two cores of an AMD EPYC (AVX2, no bfloat16, no GPU), 2026-11-26.

    `light` and `heavy`: CPU-seconds in which a stage starts that reads tables, and one that loads an encoder with torch.
    Floating-point operations a second and core: `product` of a matrix product on one thread (float32), `embed` of an
    encoder, `train` of a small language model, `train_bfloat16` of the same in bfloat16. `scaling`: speed of a product
    a CPU-second with all threads, over that with one. `read` and `written`: bytes of text a second and core from and to
    zstd parquet. Of a GPU (`gpu`: its name; "": none measured): `gpu_embed` and `gpu_train` in all.
    """

    host: str = "the machine of the default figures"
    processor: str = "AMD EPYC, AVX2"
    cores: int = 2
    memory_mb: int = 24_000
    light: float = 0.54
    heavy: float = 3.8
    product: float = 96e9
    scaling: float = 0.95
    embed: float = 73e9
    train: float = 66e9
    train_bfloat16: float = 4.3e9
    read: float = 815e6
    written: float = 340e6
    gpu: str = ""
    gpu_embed: float = 0.0
    gpu_train: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.host} ({self.processor})"


DEFAULT = Machine()


@dataclass(frozen=True)
class Device:
    """A GPU as a plan counts it: FLOP/s that embedding and training reach, and watts."""

    name: str
    embed: float
    train: float
    watts: float


USUAL_GPU = "A100"
"""Assumed where no GPU is named and none was measured."""


def device(name: str | None, machine: Machine) -> Device:
    """The GPU `name`, a key of winnow.device.GPUS in any case; without a name the measured one, or USUAL_GPU.

    Raises InputError for an unknown name.
    """
    keys = {key.lower(): key for key in GPUS}
    if name is None:
        known = [key for key in GPUS if machine.gpu and re.search(rf"\b{key}\b", machine.gpu)]
        if machine.gpu:
            watts = GPUS[known[0]][1] if known else 300.0
            return Device(known[0] if known else machine.gpu, machine.gpu_embed, machine.gpu_train, watts)
        name = USUAL_GPU
    if name.lower() not in keys:
        raise InputError(f"--gpu: {name!r} is not one of {', '.join(GPUS)}")
    key = keys[name.lower()]
    if machine.gpu and re.search(rf"\b{key}\b", machine.gpu):
        return Device(key, machine.gpu_embed, machine.gpu_train, GPUS[key][1])
    peak, watts = GPUS[key]
    return Device(key, peak * UTILISATION, peak * UTILISATION, watts)


def read_machine(results: str | Path, file: Path | None = None) -> Machine:
    """The machine that `winnow calibrate` measured: of `file`, or of the folder of results; DEFAULT if there is none there.

    Raises InputError for a named file that is not there, and for one that `winnow calibrate` did not write.
    """
    path = file or Path(results) / CALIBRATION
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        if file:
            raise InputError(f"--machine: no file {file}; make it with winnow calibrate") from None
        return DEFAULT
    wrong = f"{path}: not a calibration of this version; make it again with winnow calibrate"
    try:
        values = json.loads(text)["machine"]
        machine = Machine(**values)
    except (ValueError, TypeError, KeyError):
        raise InputError(wrong) from None
    for one in dataclasses.fields(Machine):
        value = getattr(machine, one.name)
        optional = one.name.startswith("gpu")
        if one.type in ("int", "float") and not (
            isinstance(value, int | float) and (value > 0 or (optional and value == 0))
        ):
            raise InputError(f"{path}: {one.name} is {value!r}; a number above 0 is required")
    return machine


def watts(device: Device, cores: float, gpus: float) -> float:
    """Rated power of so many cores and GPUs in use, W."""
    return WATTS_A_THREAD * cores + device.watts * gpus
