"""The processes of one training on one node: alone, or one a GPU under torchrun."""

from __future__ import annotations

import os
import sys
from typing import Any


def relaunch(processes: int) -> None:
    """Starts this command line again under torchrun, in place of this process, with one process a GPU."""
    if processes > 1 and "WORLD_SIZE" not in os.environ:
        line = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={processes}",
        ]
        os.execv(sys.executable, [*line, "-m", "winnow.train", *sys.argv[1:]])


class Ranks:
    """This process among its peers. Alone, nothing is communicated."""

    def __init__(self, device: str):
        import torch

        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.count > 1:
            if device == "cuda":
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
        self.device = device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum_up(self, model: Any, loss: float, stop: bool) -> tuple[float, bool]:
        """Adds up gradients and losses of all processes; whether any was told to stop."""
        if self.count == 1:
            return loss, stop
        import torch

        for parameter in model.parameters():
            torch.distributed.all_reduce(parameter.grad)
        both = torch.tensor([loss, float(stop)], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(both)
        return float(both[0]), bool(both[1] > 0)

    def wait(self) -> None:
        """Until all processes are here; then the group is no more."""
        if self.count > 1:
            import torch

            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
