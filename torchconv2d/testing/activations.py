"""The activations that may stand behind a layer, by the names that frameworks give them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..messages import shown

Activation = Callable[[Tensor], Tensor]

# Diagnoses try them in this order. Leaky ReLUs are not here: each framework has its own slope.
ACTIVATIONS: dict[str, Activation] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "elu": F.elu,
    "selu": F.selu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "mish": F.mish,
    "hard_sigmoid": F.hardsigmoid,
    "hard_silu": F.hardswish,
    "hard_tanh": F.hardtanh,
    "log_sigmoid": F.logsigmoid,
    "exponential": torch.exp,
    "softmax": partial(F.softmax, dim=-1),
    "log_softmax": partial(F.log_softmax, dim=-1),
}


def activation_of(name: object) -> Activation:
    """The function of torch with a name, or the function itself.

    Raises:
        ValueError: no activation has the name.
        TypeError: it is neither a name nor a function.
    """
    if isinstance(name, str):
        if name not in ACTIVATIONS:
            raise ValueError(
                f"`activation` must be a function or one of {', '.join(ACTIVATIONS)}; got "
                f"{shown(name)}."
            )
        return ACTIVATIONS[name]
    if not callable(name):
        raise TypeError(f"`activation` must be a name or a function, got {shown(name)}.")
    return cast(Activation, name)
