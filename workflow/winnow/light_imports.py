"""Imports of transformers and torch.optim without the parts that a job on a processor never uses: half of their time.

transformers 5.23 imports torch.distributed's sharding and checkpoints, and scipy.optimize for losses of object detection,
if it finds them; its masks, and torch's optimisers, import torch._dynamo, the compiler of torch.compile, to mark functions
that are not to be compiled. `skip_unused` is called before the first import of transformers' models. It changes no
result: nothing of this is called here without a GPU, and a job with a GPU imports all of it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any


class _Dynamo(ModuleType):
    """Stands for torch._dynamo: what marks functions for the compiler does nothing. Whatever else is asked of it imports
    the real module, which takes its place."""

    def __init__(self, folder: Path):
        super().__init__("torch._dynamo")
        self.__path__ = [str(folder)]  # its submodules are torch's

    @staticmethod
    def disable(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
        return function if function is not None else lambda other: other

    @staticmethod
    def allow_in_graph(function: Any) -> Any:
        return function

    @staticmethod
    def assume_constant_result(function: Any) -> Any:
        return function

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.replaced(), name)

    def replaced(self) -> ModuleType:
        """The real module, imported in place of this one."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        real = importlib.import_module(self.__name__)
        for key, module in vars(self).items():  # the submodule that was imported so far
            if isinstance(module, ModuleType):
                real.__dict__.setdefault(key, module)
        return real


class _Submodules:
    """A finder: the import of a submodule of torch._dynamo imports the real package first, and the submodule with it. But for
    the one that transformers' masks import, which is light."""

    def __init__(self, dynamo: _Dynamo):
        self.dynamo = dynamo

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        light = f"{self.dynamo.__name__}._trace_wrapped_higher_order_op"
        if name == light or not name.startswith(f"{self.dynamo.__name__}."):
            return None
        sys.meta_path.remove(self)
        self.dynamo.replaced()
        return ModuleSpec(name, _Imported(sys.modules[name])) if name in sys.modules else None


class _Imported(Loader):
    """Loads a module that is there already."""

    def __init__(self, module: ModuleType):
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def skip_unused() -> None:
    """Before the first import of transformers' models: leaves out what a job on a processor never uses. Does nothing where
    there is a GPU, or more than one process, or where these parts are already imported."""
    import torch

    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if distributed or torch.cuda.is_available():
        return
    if "transformers.modeling_utils" in sys.modules:
        return
    if "torch._dynamo" not in sys.modules:
        dynamo = _Dynamo(Path(torch.__file__).parent / "_dynamo")
        sys.modules[dynamo.__name__] = torch._dynamo = dynamo
        sys.meta_path.insert(0, _Submodules(dynamo))
    # transformers asks once what is installed and keeps the answer.
    real, scipy = torch.distributed.is_available, sys.modules.get("scipy")
    torch.distributed.is_available = lambda: False
    sys.modules["scipy"] = None  # type: ignore[assignment]
    try:
        from transformers.utils import import_utils

        for answer in (import_utils.is_torch_distributed_available, import_utils.is_scipy_available):
            answer.cache_clear()
            answer()
    finally:
        torch.distributed.is_available = real
        del sys.modules["scipy"]
        if scipy is not None:
            sys.modules["scipy"] = scipy
