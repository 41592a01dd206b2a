"""Loading a state dict that does not fit leaves the layer unchanged."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn


class AllOrNothing(nn.Module):
    """A layer that loads a state dict completely or, if that raises an error, not at all.

    torch's own loading copies what fits before it raises. When a network loads its state dict, the
    layer sees wrong shapes and types, but cannot know whether missing names will raise an error.
    """

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        # A parametrization keeps the weight in a module below.
        restores = [_saved(module) for module in self.modules()]
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError:
            for restore in restores:
                restore()
            raise

    def _load_from_state_dict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, state_dict: Any, prefix: Any, metadata: Any, strict: Any, *faults: list[str]
    ) -> None:
        restore, errors = _saved(self), len(faults[-1])
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, *faults)  # pyright: ignore[reportUnknownMemberType]
        if len(faults[-1]) > errors:
            restore()


def _saved(module: nn.Module) -> Callable[[], None]:
    """A function that restores the parameters and buffers: the objects and their values."""
    parameters, buffers = dict(module._parameters), dict(module._buffers)
    held = [each for each in (*parameters.values(), *buffers.values()) if each is not None]
    values = [tensor.detach().clone() for tensor in held]

    def restore() -> None:
        module._parameters.update(parameters)
        module._buffers.update(buffers)
        with torch.no_grad():
            for tensor, value in zip(held, values, strict=True):
                tensor.copy_(value)

    return restore
