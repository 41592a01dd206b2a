"""The right values of a convolution and its gradients, in float64, and the bound on rounding.

The functions whose names begin with ``layer`` take a layer of torch and its input.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchconv2d import Conv2d
from torchconv2d.layout import kernel_to_weight
from torchconv2d.testing import rounding_bound, unit_roundoff

from .arrays import Array, Arrays, Results, wide
from .convolution import convolve, gradients, magnitude

Bound = Callable[[Array, Array, int], Array]  # of a value, its magnitude, the number of products


def value(arrays: Arrays, geometry: dict[str, Any]) -> Results:
    """The output and the gradients, by the definition."""
    y = convolve(arrays.x, arrays.masked, arrays.bias, **geometry)
    by_x, by_kernel = gradients(arrays.x, arrays.masked, arrays.cotangent, **geometry)
    by_kernel = by_kernel if arrays.mask is None else by_kernel * arrays.mask
    by_bias = None if arrays.bias is None else arrays.cotangent.sum((0, 1, 2))
    return Results(y, by_x, by_kernel, by_bias)


def bound(
    arrays: Arrays,
    geometry: dict[str, Any],
    expected: Results,
    dtype: torch.dtype,
    *,
    by_reference: bool = False,
) -> Results:
    """How far results in ``dtype`` may be from ``expected`` (docs/parity.md).

    Args:
        arrays: the arguments of the convolution.
        geometry: the keyword arguments of ``convolve``.
        expected: the ``value`` of ``arrays`` and ``geometry``.
        dtype: the dtype of the results.
        by_reference: whether the results are the reference's. It rounds its output once more before
            it adds the bias, and XLA holds some sums of half precision in half precision.
    """
    largest = value(_absolute(arrays), geometry)
    output = _bound(dtype, expected.output, largest.output, _taps(arrays))
    limit: Bound = partial(_bound, dtype)
    if by_reference:
        limit = partial(_reference_gradient_bound, dtype)
        if arrays.bias is not None:
            output = output + unit_roundoff(dtype) * abs(expected.output - arrays.bias)
    kh, kw, _, outputs = arrays.kernel.shape
    positions = int(np.prod(arrays.cotangent.shape[:3]))
    by_bias = None
    if expected.bias is not None:
        by_bias = limit(expected.bias, largest.bias, positions)
    return Results(
        output,
        limit(expected.input, largest.input, kh * kw * outputs // geometry["groups"]),
        limit(expected.weight, largest.weight, positions),
        by_bias,
    )


def ratio(actual: Array, expected: Array, limit: Array) -> float:
    """The largest error / bound; infinite if an entry is not finite or the shape is wrong."""
    if actual.shape != expected.shape or not np.isfinite(actual).all():
        return np.inf
    error = abs(actual - expected)
    # Where the bound is zero, only an error of zero passes.
    ratios = np.divide(error, limit, out=np.where(error == 0, 0.0, np.inf), where=limit > 0)
    return float(ratios.max(initial=0.0))


class Bounded(NamedTuple):
    """A true value, and the bound on the error of a computed one."""

    value: Tensor
    bound: Tensor

    def ratio(self, found: Tensor) -> float:
        return ratio(wide(found), wide(self.value), wide(self.bound))


def layer_output(layer: Conv2d, x: Tensor) -> Bounded:
    """The layer's output, in the layer's order of axes."""
    arrays, dtype = _arrays(layer, x), layer.weight.dtype
    y = convolve(arrays.x, arrays.masked, arrays.bias, **_geometry(layer))
    limit = _bound(dtype, y, _magnitude(layer, arrays), _taps(arrays))
    return Bounded(_in_layers_order(layer, y, x), _in_layers_order(layer, limit, x))


def layer_magnitude(layer: Conv2d, x: Tensor) -> Tensor:
    """``M`` of the rounding bound on the layer's output."""
    return _in_layers_order(layer, _magnitude(layer, _arrays(layer, x)), x)


def layer_gradients(layer: Conv2d, x: Tensor, cotangent: Tensor) -> list[Bounded]:
    """The gradients of ``<layer(x), cotangent>`` by the input, the weight and any bias."""
    arrays, geometry = _arrays(layer, x, cotangent), _geometry(layer)
    right = value(arrays, geometry)
    limit = bound(arrays, geometry, right, x.dtype)
    mask = 1 if layer.w_mask is None else wide(layer.w_mask)
    by_kernel = Bounded(
        *(torch.from_numpy(each) for each in (right.weight * mask, limit.weight * abs(mask)))
    )
    found = [
        Bounded(*(_in_layers_order(layer, each.input, x) for each in (right, limit))),
        Bounded(*map(kernel_to_weight, by_kernel)),
    ]
    if layer.bias is not None:
        found.append(Bounded(*(torch.from_numpy(each.bias) for each in (right, limit))))
    return found


def _absolute(arrays: Arrays) -> Arrays:
    return Arrays(*(None if each is None else abs(each) for each in arrays))


def _taps(arrays: Arrays) -> int:
    """The number of products whose sum is one output."""
    return int(np.prod(arrays.kernel.shape[:3]))


def _bound(dtype: torch.dtype, y: Array, largest: Array, products: int) -> Array:
    limit = rounding_bound(torch.from_numpy(y), torch.from_numpy(largest), products, dtype)
    # A subnormal result is rounded to a multiple of the smallest subnormal number.
    return limit.numpy() + torch.finfo(dtype).smallest_normal * unit_roundoff(dtype)


def _reference_gradient_bound(dtype: torch.dtype, y: Array, largest: Array, products: int) -> Array:
    limit = _bound(dtype, y, largest, products)
    if dtype in (torch.float16, torch.bfloat16):
        limit = limit + (products + 2) * unit_roundoff(dtype) * largest
    return limit


def _geometry(layer: Conv2d) -> dict[str, Any]:
    names = ("stride", "padding", "lhs_dilation", "rhs_dilation", "groups")
    return {name: getattr(layer, name) for name in names}


def _arrays(layer: Conv2d, x: Tensor, cotangent: Tensor | None = None) -> Arrays:
    # The masked kernel is rounded to the layer's dtype, as in the reference.
    masked = layer.kernel if layer.w_mask is None else layer.kernel * layer.w_mask
    return Arrays(
        _images(layer, x),
        wide(masked),
        None if layer.bias is None else wide(layer.bias),
        None,
        np.empty(0) if cotangent is None else _images(layer, cotangent),  # not used then
    )


def _magnitude(layer: Conv2d, arrays: Arrays) -> Array:
    return magnitude(arrays.x, arrays.masked, arrays.bias, **_geometry(layer))


def _images(layer: Conv2d, x: Tensor) -> Array:
    """A batch, channels last."""
    values = wide(x) if x.dim() == 4 else wide(x)[None]
    return np.moveaxis(values, 1, 3) if layer.channel_first else values


def _in_layers_order(layer: Conv2d, images: Array, like: Tensor) -> Tensor:
    images = np.moveaxis(images, 3, 1) if layer.channel_first else images
    return torch.from_numpy(images if like.dim() == 4 else images[0])
