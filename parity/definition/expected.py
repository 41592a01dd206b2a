"""What a layer and its gradients should be, in float64, and how far rounding may go."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from torchconv2d.testing import rounding_bound, unit_roundoff

from ..cases.case import Case
from ..cases.numbers import Array, Arrays
from .convolution import convolve, magnitude, transposed


class Results(NamedTuple):
    """An output, and the gradients of its product with the cotangent; None without a bias.

    In the order of axes of :class:`Arrays`, whatever the layer's. The gradients are what
    ``jax.vjp`` means by them: of complex numbers nothing is conjugated.
    """

    output: Array
    input: Array
    weight: Array
    bias: Array | None


def value(case: Case, arrays: Arrays) -> Results:
    y = convolve(arrays.x, arrays.masked, arrays.bias, **case.geometry)
    by_x, by_kernel = transposed(arrays.x, arrays.masked, arrays.cotangent, **case.geometry)
    by_kernel = by_kernel if arrays.mask is None else by_kernel * arrays.mask
    by_bias = None if arrays.bias is None else arrays.cotangent.sum((0, 1, 2))
    return Results(y, by_x, by_kernel, by_bias)


def bound(case: Case, arrays: Arrays, expected: Results, *, by_reference: bool = False) -> Results:
    """How far from ``expected`` the case's dtype may be (docs/parity.md).

    Args:
        case: for its dtype and geometry.
        arrays: the numbers that were convolved.
        expected: their ``value``.
        by_reference: the reference rounds its output once more, before it adds the bias.
    """
    x, kernel, cotangent = (abs(a) for a in (arrays.x, arrays.masked, arrays.cotangent))
    kh, kw, inputs, outputs = case.kernel_shape
    positions = int(np.prod(cotangent.shape[:3]))
    by_x, by_kernel = transposed(x, kernel, cotangent, **case.geometry)
    by_kernel = by_kernel if arrays.mask is None else by_kernel * abs(arrays.mask)
    by_bias = None if expected.bias is None else cotangent.sum((0, 1, 2))
    output = _bound(
        case, expected.output, magnitude(x, kernel, arrays.bias, **case.geometry), kh * kw * inputs
    )
    if by_reference and arrays.bias is not None:
        output = output + _roundoff(case) * abs(expected.output - arrays.bias)
    limit = _reference_gradient_bound if by_reference else _bound
    return Results(
        output,
        limit(case, expected.input, by_x, kh * kw * outputs // case.channels[2]),
        limit(case, expected.weight, by_kernel, positions),
        None if by_bias is None else limit(case, expected.bias, by_bias, positions),
    )


def _roundoff(case: Case) -> float:
    return unit_roundoff(getattr(torch, case.dtype))


def _bound(case: Case, y: Array, largest: Array, products: int) -> Array:
    dtype = getattr(torch, case.dtype)
    limit = rounding_bound(torch.from_numpy(y), torch.from_numpy(largest), products, dtype)
    # A result below the normal numbers is rounded to a multiple of the smallest one.
    return limit.numpy() + torch.finfo(dtype).smallest_normal * _roundoff(case)


def _reference_gradient_bound(case: Case, y: Array, largest: Array, products: int) -> Array:
    """The same, but half-precision sums may be held in half precision, as XLA's for the bias."""
    limit = _bound(case, y, largest, products)
    if case.dtype in ("float16", "bfloat16"):
        limit = limit + (products + 2) * _roundoff(case) * largest
    return limit


def ratio(actual: Array, expected: Array, limit: Array) -> float:
    """The largest of error / bound; infinite as soon as an entry or the shape is wrong for good."""
    if actual.shape != expected.shape or not np.isfinite(actual).all():
        return np.inf
    error = abs(actual - expected)
    # Where the bound is zero, nothing but zero will do.
    ratios = np.divide(error, limit, out=np.where(error == 0, 0.0, np.inf), where=limit > 0)
    return float(ratios.max(initial=0.0))
