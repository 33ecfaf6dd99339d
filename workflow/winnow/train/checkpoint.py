"""Optimiser and checkpoints of a training: a run that was stopped continues, on a processor with the same bits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from winnow.stage import atomic_path, canonical, say


def optimiser_names(model: Any) -> list[str]:
    """Names of the trained parameters in the optimiser's order: matrices (decayed), then vectors."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [n for n, p in named if p.ndim >= 2] + [n for n, p in named if p.ndim < 2]


def make_optimiser(model: Any, recipe: dict[str, Any]) -> Any:
    """AdamW with decay of matrices only; or Adam with L2 on all, coupled to the gradient, as in the study. Fused."""
    import torch

    parameters = dict(model.named_parameters())
    names = optimiser_names(model)
    coupled = recipe.get("optimizer", "adamw") == "adam"
    groups = [
        {
            "params": [parameters[n] for n in names if parameters[n].ndim >= 2],
            "weight_decay": recipe["weight_decay"],
        },
        {
            "params": [parameters[n] for n in names if parameters[n].ndim < 2],
            "weight_decay": recipe["weight_decay"] if coupled else 0.0,
        },
    ]
    kind = torch.optim.Adam if coupled else torch.optim.AdamW
    return kind(groups, lr=0.0, betas=tuple(recipe["betas"]), eps=recipe["epsilon"], fused=True)


class Checkpoint:
    """The checkpoint of a run under its fingerprint: weights and moments as safetensors, the rest as JSON."""

    def __init__(self, folder: Path, fingerprint: str):
        self.folder, self.fingerprint = folder, fingerprint
        self.path = folder / "checkpoint.safetensors"

    def load(self, model: Any, optimiser: Any) -> tuple[int, list[list[float]], float]:
        """Step to continue from, the history so far, and its seconds; (0, [], 0) without a checkpoint of this
        fingerprint."""
        from safetensors import safe_open

        if not self.path.exists():
            return 0, [], 0.0
        with safe_open(self.path, "pt") as file:
            meta = file.metadata()
            if meta.get("fingerprint") != self.fingerprint:
                say(f"[train] {self.path} is of other settings or inputs: starting clean")
                return 0, [], 0.0
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model.load_state_dict({n[6:]: t for n, t in tensors.items() if n.startswith("model.")})
        state = {
            i: {key: tensors[f"optimiser.{key}.{n}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for i, n in enumerate(optimiser_names(model))
        }
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        return int(meta["step"]), json.loads(meta["history"]), float(meta["seconds"])

    def save(self, step: int, model: Any, optimiser: Any, history: list[list[float]], seconds: float) -> None:
        from safetensors.torch import save_file

        tensors = {f"model.{n}": t.detach().contiguous().clone() for n, t in model.state_dict().items()}
        for i, n in enumerate(optimiser_names(model)):
            for key, value in optimiser.state_dict()["state"][i].items():
                tensors[f"optimiser.{key}.{n}"] = value.detach().contiguous()
        meta = {"fingerprint": self.fingerprint, "step": str(step), "history": canonical(history),
                "seconds": str(seconds)}  # fmt: skip
        with atomic_path(self.path) as partial:
            save_file(tensors, partial, metadata=meta)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
