"""A checkpoint that does not fit changes nothing."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn


class AllOrNothing(nn.Module):
    """A layer into which a state dict is loaded whole, or, where that is an error, not at all.

    torch's own loading copies what fits before it raises. Within a network the layer knows of wrong
    shapes and types, but not whether names that are missing will be an error.
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
    """What puts parameters and buffers back, objects and values."""
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
