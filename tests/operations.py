"""The operations of a layer, recorded by torch's dispatcher."""

from __future__ import annotations

from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Operations(TorchDispatchMode):
    """Records the operators that are called, the devices they ask for, and their results."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[OpOverload] = []
        self.devices: set[str] = set()
        self.made: list[Tensor] = []  # kept alive, so that no memory is used twice

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.called.append(func)
        self.devices |= {str(kwargs.get("device"))} - {"None"}
        result = func(*args, **kwargs)
        self.made += [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        return result
