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
        os.execv(sys.executable, [*line, "-m", "winnow.train.loop", *sys.argv[1:]])


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

    def sum_up(self, model: Any, loss: float) -> float:
        """Adds up the gradients of all processes, in place, and their losses."""
        if self.count == 1:
            return loss
        import torch

        for parameter in model.parameters():
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
        return self._total(loss)

    def any(self, told: bool) -> bool:
        """Whether any process was told to stop: all stop at the same place, or none."""
        return told if self.count == 1 else self._total(float(told)) > 0

    def _total(self, value: float) -> float:
        import torch

        both = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(both)
        return float(both)

    def wait(self) -> None:
        """Until all processes are here; then the group is no more."""
        if self.count > 1:
            import torch

            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
