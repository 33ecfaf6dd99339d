"""Models that are evaluated: what kind a folder holds, and opening it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from winnow.light_imports import skip_unused
from winnow.stage import InputError, read_json
from winnow.weights import loading


def is_classifier(model: Path) -> bool:
    """Whether the folder holds a sequence classifier. Raises InputError if it is not a model with safetensors."""
    if not (model / "config.json").exists():
        raise InputError(f"{model}: no config.json; a model folder in Hugging Face format is needed")
    if not any(model.glob("*.safetensors")):
        raise InputError(f"{model}: no .safetensors file; other weight formats are not read")
    architectures = read_json(model / "config.json").get("architectures") or [""]
    return architectures[0].endswith("ForSequenceClassification")


def load(model: Path, kind: str) -> tuple[Any, Any]:
    """(model in evaluation mode on its device, device); kind is a suffix of transformers' Auto classes.

    float32, as trained models are saved, whatever the device: in bfloat16 log-likelihoods of hundreds of nats are
    rounded to whole ones, choices tie, and the first of a tie is often the right one. Raises InputError if a weight was
    newly initialised or did not fit: the figures would be those of a partly random model.
    """
    import torch

    skip_unused()
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with loading(model):
        loaded, info = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(
            model, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True,
            output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    wrong = [
        *info["missing_keys"],
        *(key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]),
    ]
    if wrong:
        raise InputError(f"{model}: {len(wrong)} weights were newly initialised on load ({', '.join(sorted(wrong)[:3])}): "
                         "the file does not hold this model")  # fmt: skip
    return loaded.to(device).eval(), device
