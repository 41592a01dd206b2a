"""What a layer should say, by the NumPy evaluation of the definition, which knows no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchconv2d import Conv2d
from torchconv2d.testing import rounding_bound

from .numpy_conv import convolve, magnitude


def wide(tensor: Tensor) -> Any:
    """As a NumPy array of float64 or complex128, which holds every value exactly."""
    return tensor.detach().to(torch.complex128 if tensor.is_complex() else torch.float64).numpy()


def geometry(layer: Conv2d) -> dict[str, Any]:
    names = ("stride", "padding", "lhs_dilation", "rhs_dilation", "groups")
    return {name: getattr(layer, name) for name in names}


def _evaluate(function: Any, layer: Conv2d, x: Tensor) -> Tensor:
    """``function`` on the layer's kernel, bias and input, in and out of the layer's layout."""
    # The masked kernel is a kernel of the layer's dtype, here as in the reference.
    kernel = wide(layer.kernel if layer.w_mask is None else layer.kernel * layer.w_mask)
    values = wide(x) if x.dim() == 4 else wide(x)[None]
    if layer.channel_first:
        values = np.moveaxis(values, 1, 3)
    bias = None if layer.bias is None else wide(layer.bias)
    y = function(values, kernel, bias, **geometry(layer))
    if layer.channel_first:
        y = np.moveaxis(y, 3, 1)
    return torch.from_numpy(y if x.dim() == 4 else y[0])


def value(layer: Conv2d, x: Tensor) -> Tensor:
    """The true output, in float64 or complex128."""
    return _evaluate(convolve, layer, x)


def largest(layer: Conv2d, x: Tensor) -> Tensor:
    """``M`` of the rounding bound: what absolute values make."""
    return _evaluate(magnitude, layer, x)


def bound(layer: Conv2d, x: Tensor, y64: Tensor) -> Tensor:
    """How far the layer's output may be from it."""
    kh, kw, in_per_group, _ = layer.kernel_shape
    return rounding_bound(y64, largest(layer, x), kh * kw * in_per_group, layer.weight.dtype)
