"""What a layer should say, by the NumPy evaluation of the definition, which knows no torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchconv2d import Conv2d
from torchconv2d.layout import kernel_to_weight
from torchconv2d.testing import rounding_bound

from ..cases.numbers import wide
from .convolution import convolve, magnitude, transposed


def geometry(layer: Conv2d) -> dict[str, Any]:
    names = ("stride", "padding", "lhs_dilation", "rhs_dilation", "groups")
    return {name: getattr(layer, name) for name in names}


def _kernel(layer: Conv2d) -> Any:
    # The masked kernel is a kernel of the layer's dtype, here as in the reference.
    return wide(layer.kernel if layer.w_mask is None else layer.kernel * layer.w_mask)


def _images(layer: Conv2d, x: Tensor) -> Any:
    """A batch, channels last."""
    values = wide(x) if x.dim() == 4 else wide(x)[None]
    return np.moveaxis(values, 1, 3) if layer.channel_first else values


def _in_layout(layer: Conv2d, images: Any, like: Tensor) -> Tensor:
    images = np.moveaxis(images, 3, 1) if layer.channel_first else images
    return torch.from_numpy(images if like.dim() == 4 else images[0])


def _evaluate(function: Any, layer: Conv2d, x: Tensor) -> Tensor:
    """``function`` on the layer's kernel, bias and input, in and out of the layer's layout."""
    bias = None if layer.bias is None else wide(layer.bias)
    y = function(_images(layer, x), _kernel(layer), bias, **geometry(layer))
    return _in_layout(layer, y, x)


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


class Gradient(NamedTuple):
    """The true one, and how far the layer's may be from it."""

    value: Tensor
    bound: Tensor


def gradients(layer: Conv2d, x: Tensor, cotangent: Tensor) -> list[Gradient]:
    """Those of ``<layer(x), cotangent>`` by the input, the weight and any bias."""
    kh, kw, _, outputs = layer.kernel_shape
    arrays = _images(layer, x), _kernel(layer), _images(layer, cotangent)
    both = [_gradients(layer, x, *map(change, arrays), change) for change in (np.positive, np.abs)]
    windows = arrays[2][..., 0].size
    counts = (kh * kw * outputs // layer.groups, windows, windows)
    return [
        Gradient(value, rounding_bound(value, largest, count, x.dtype))
        for value, largest, count in zip(*both, counts, strict=False)
    ]


def _gradients(
    layer: Conv2d, x: Tensor, images: Any, kernel: Any, cotangent: Any, change: Any
) -> list[Tensor]:
    by_x, by_kernel = transposed(images, kernel, cotangent, **geometry(layer))
    if layer.w_mask is not None:
        by_kernel = by_kernel * change(wide(layer.w_mask))
    found = [_in_layout(layer, by_x, x), kernel_to_weight(torch.from_numpy(by_kernel))]
    return found if layer.bias is None else [*found, torch.from_numpy(cotangent.sum((0, 1, 2)))]
