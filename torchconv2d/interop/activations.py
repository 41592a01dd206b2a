"""The activations of Keras's layers as modules of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ..messages import shown
from .source import refuse

# By Keras's names, with Keras's defaults. None of these needs to know which axis has the channels.
_MODULES: Mapping[str, Callable[[], nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_silu": nn.Hardswish,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "linear": nn.Identity,
    "log_sigmoid": nn.LogSigmoid,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "tanh": nn.Tanh,
}


def following(activation: Any, wanted: object) -> list[nn.Module]:
    """The modules to put behind a layer for its activation, at most one.

    Args:
        activation: the framework's function, or None.
        wanted: ``'refused'``, ``'left'`` or ``'beside'``, see :func:`from_layer`.

    Raises:
        ValueError: it is refused, or torch has no module for it; ``wanted`` is something else.
    """
    if wanted not in ("refused", "left", "beside"):
        raise ValueError(
            f"`activation` must be 'refused', 'left' or 'beside', got {shown(wanted)}."
        )
    if wanted == "left":
        return []
    name = "linear" if activation is None else getattr(activation, "__name__", None)
    shown_name = activation if name is None else name
    if wanted == "refused":
        if name != "linear":
            refuse(
                "activation",
                shown_name,
                "pass `activation='beside'` to get it as a second layer, or `activation='left'` "
                "and apply it to the result yourself",
            )
        return []
    is_theirs = f"{getattr(activation, '__module__', 'keras')}.".startswith("keras.")
    if name not in _MODULES or not is_theirs:
        refuse("activation", shown_name, "pass `activation='left'` and apply it yourself")
    return [_MODULES[str(name)]()]
