"""A job of the target preflight: what a node gives to a job.

In: the number of GPUs that the job asked for. Out: JSON with host, Python, CPUs, free disk, and GPUs.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

from winnow.stage import InputError, run, say, write_json

STAGE_VERSION = 1


def main(*, out: Path, gpus: int = 0) -> None:
    """Write what this node gives; exit 1 if the job's GPUs are not there.

    Args:
        out: JSON to write, below the folder of results, which the node has to see.
        gpus: GPUs that the job asked for.
    """
    import torch

    host, visible = platform.node(), os.environ.get("CUDA_VISIBLE_DEVICES")
    found = torch.cuda.device_count()
    if gpus > found:
        given = f"SLURM gave it {visible}" if visible else "CUDA_VISIBLE_DEVICES is not set"
        build = "" if torch.version.cuda else "; this is the CPU build of torch: install another in .venv"
        raise InputError(f"{host}: a job that asked for {gpus} GPU sees {found} ({given}){build}")
    free = shutil.disk_usage(out.parent).free
    names = [torch.cuda.get_device_name(i) for i in range(found)] if gpus else []
    cpus = len(os.sched_getaffinity(0))
    write_json(
        out,
        {
            "host": host,
            "python": sys.executable,
            "torch": torch.__version__,
            "cpus": cpus,
            "free_gb": free // 10**9,
            "gpus": names,
        },
    )
    say(
        f"[preflight] {host}: {cpus} CPUs, {free / 1e9:,.0f} GB free for results, GPUs: {', '.join(names) or 'none asked'}"
    )


if __name__ == "__main__":
    run(main)
