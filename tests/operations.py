"""What a layer has torch do, as its dispatcher sees it."""

from __future__ import annotations

from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Operations(TorchDispatchMode):
    """Notes which operators are called, which devices they ask for, and what they make."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[OpOverload] = []
        self.devices: set[str] = set()
        self.made: list[Tensor] = []  # alive, so that no place in memory is used twice

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.called.append(func)
        self.devices |= {str(kwargs.get("device"))} - {"None"}
        result = func(*args, **kwargs)
        self.made += [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        return result
