"""Peak FLOP/s and power of the device, for model-FLOPs utilisation and energy; its choice and its number formats."""

from __future__ import annotations

import contextlib
import ctypes
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

GPUS = {
    "H200": (989e12, 700.0),
    "H100 PCIe": (756e12, 350.0),
    "H100 NVL": (835e12, 400.0),
    "H100": (989e12, 700.0),
    "A100": (312e12, 400.0),
    "A6000": (155e12, 300.0),
    "L40S": (362e12, 350.0),
    "L40": (181e12, 300.0),
    "L4": (121e12, 72.0),
    "A40": (150e12, 300.0),
    "4090": (165e12, 450.0),
    "3090": (71e12, 350.0),
}
"""Dense bfloat16 FLOP/s with float32 sums, and board power in watts, by a part of the device's name (data sheets)."""
UTILISATION = 0.35
"""Of that peak, assumed of a training or an embedding that was not measured. On one H100 a training of pythia-160m reached 36 %,
the layers of an encoder 45 to 52 % (tests/benchmarks/README.md)."""
NEOX_VOCABULARY = 50_304
"""Of the GPT-NeoX tokenizer, as Pythia pads it."""
WATTS_A_THREAD = 8.0
"""Assumed of a processor: 250 W for 32 threads."""


def flops_a_token(layers: int, width: int, sequence: int, vocabulary: int) -> float:
    """Model FLOPs of a trained token of a GPT-NeoX: 6 for each weight of a matrix, 12 x layers x width x sequence for
    attention, halved for the causal mask (Kaplan et al. 2020; Chowdhery et al. 2022, appendix B)."""
    weights = 12 * layers * width**2 + width * vocabulary
    return 6.0 * weights + 6.0 * layers * width * sequence


def encoder_flops(weights: int, layers: int, width: int, lengths: Sequence[int]) -> float:
    """Model FLOPs of training an encoder once on texts of `lengths` tokens: 6 for each token and weight of a matrix, 12 x
    layers x width x length for each token's attention, which is not causal (as `flops_a_token`)."""
    return float(sum(6 * weights * n + 12 * layers * width * n * n for n in lengths))


def keep_memory() -> None:
    """Keeps freed memory in the process (glibc; elsewhere no effect): steps of a training or batches of an encoder free and
    allocate the same blocks, and new pages cost up to a fifth of a training's time on a processor."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        settings = {-4: 0, -1: 2**31 - 1, -2: 2**28}  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
        for setting, value in settings.items():
            mallopt(setting, value)


def peak(device: str, bfloat16: bool, threads: int) -> dict[str, Any]:
    """`flops` (peak FLOP/s), `watts`, and the `source` of the first: a data sheet, or a matrix product measured here."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    for part, (flops, watts) in GPUS.items():
        if device == "cuda" and bfloat16 and re.search(rf"\b{part}\b", name):
            return {"flops": flops, "watts": watts, "source": f"data sheet of {part}, dense bfloat16"}
    size = 8192 if device == "cuda" else 1024
    kind = torch.bfloat16 if bfloat16 else torch.float32
    left, right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    best = 0.0
    for _ in range(4):
        began = time.perf_counter()
        product = left @ right
        float(product[0, 0])
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    watts = 300.0 if device == "cuda" else WATTS_A_THREAD * threads
    return {
        "flops": best,
        "watts": watts,
        "source": f"product of two {size} x {size} matrices in {str(kind).removeprefix('torch.')}",
    }


def native_bfloat16(device: str) -> bool:
    """Whether `device` multiplies bfloat16 matrices natively; elsewhere bfloat16 is slower than float32."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_capability()[0] >= 8
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def pick_device() -> str:
    """`cuda` if there is a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def to_device(array: np.ndarray, device: str) -> Any:
    """The array as a tensor on `device`, without waiting for what a GPU still computes."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
