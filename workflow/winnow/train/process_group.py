"""The processes of one training on one node: one alone, or one per GPU under torchrun."""

from __future__ import annotations

import os
import sys
from typing import Any


def relaunch(processes: int) -> None:
    """Starts this command line again under torchrun, in place of this process, with one process per GPU."""
    if processes > 1 and "WORLD_SIZE" not in os.environ:
        line = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={processes}",
        ]
        os.execv(sys.executable, [*line, "-m", "winnow.train.loop", *sys.argv[1:]])


class ProcessGroup:
    """The group of this process, which is number `rank` of `count`. A process alone communicates nothing."""

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

    def sum_gradients(self, model: Any, loss: float) -> float:
        """Sums the gradients of all processes, in place; returns the sum of their losses."""
        if self.count == 1:
            return loss
        import torch

        for parameter in model.parameters():
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
        return self._sum(loss)

    def any(self, flag: bool) -> bool:
        """Whether the flag of any process is set, so that all stop at the same place, or none."""
        return flag if self.count == 1 else self._sum(float(flag)) > 0

    def _sum(self, value: float) -> float:
        import torch

        total = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return float(total)

    def close(self) -> None:
        """Waits for all processes, then ends the group."""
        if self.count > 1:
            import torch

            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
