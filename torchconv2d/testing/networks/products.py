"""Sums, products, and layers that are made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..bound import accumulator, rounding_bound, unit_roundoff
from .terms import NoBoundError, Term, plus

aten = torch.ops.aten


def _add(dtype: torch.dtype, a: Any, b: Any, *, alpha: float = 1, sign: int = 1) -> Term:
    u, scaled = unit_roundoff(dtype), alpha * _number(b)
    value = _number(a) + sign * scaled
    passed = plus(_error(a), None if _error(b) is None else abs(alpha) * _error(b))
    of_product = None if alpha == 1 else u * abs(scaled)
    return Term(value, plus(passed, of_product, u * value.abs()))


def _number(operand: Any) -> Any:
    return operand.value if isinstance(operand, Term) else operand


def _error(operand: Any) -> Any:
    return operand.error if isinstance(operand, Term) else None


def sub(dtype: torch.dtype, a: Any, b: Any, *, alpha: float = 1) -> Term:
    """The difference of two terms or numbers."""
    return _add(dtype, a, b, alpha=alpha, sign=-1)


def _rsub(dtype: torch.dtype, a: Any, b: Any, alpha: float = 1) -> Term:
    return _add(dtype, b, a, alpha=alpha, sign=-1)


def mul(dtype: torch.dtype, a: Any, b: Any) -> Term:
    """The product of two terms or numbers."""
    value = _number(a) * _number(b)
    passed = plus(
        None if _error(a) is None else _error(a) * abs(_number(b)),
        None if _error(b) is None else _error(b) * abs(_number(a)),
        None if _error(a) is None or _error(b) is None else _error(a) * _error(b),
    )
    return Term(value, plus(passed, unit_roundoff(dtype) * value.abs()))


def _div(dtype: torch.dtype, a: Any, b: Any) -> Term:
    value = _number(a) / _number(b)
    least = abs(_number(b)) if _error(b) is None else (abs(_number(b)) - _error(b)).clamp(min=0)
    passed = plus(
        None if _error(a) is None else _error(a) / least,
        None if _error(b) is None else value.abs() * _error(b) / least,
    )
    # A constant may be divided by, or multiplied by its rounded reciprocal.
    return Term(value, plus(passed, 3 * unit_roundoff(dtype) * value.abs()))


def sum_like(func: Any, spare: int = 0) -> Callable[..., Term]:
    """The rule for a sum of inputs, with positive weights that add up to at most the count."""

    def rule(dtype: torch.dtype, x: Term, /, *settings: Any, **named: Any) -> Term:
        named.pop("dtype", None)
        value = func(x.value, *settings, **named)
        count = spare or math.ceil(x.value.numel() / max(value.numel(), 1))
        magnitude = func(x.value.abs(), *settings, **named)
        passed = None if x.error is None else func(x.error, *settings, **named)
        return Term(value, plus(passed, rounding_bound(value, magnitude, count, dtype)))

    return rule


def axes_sum(dtype: torch.dtype, x: Term, axes: Sequence[int]) -> Term:
    """The sum over some axes."""
    return sum_like(aten.sum.dim_IntList)(dtype, x, list(axes))


def _avg_pool(dtype: torch.dtype, x: Term, kernel: Sequence[int], *settings: Any) -> Term:
    return sum_like(aten.avg_pool2d, math.prod(kernel))(dtype, x, kernel, *settings)


def _col2im(dtype: torch.dtype, x: Term, size: Any, kernel: Sequence[int], *rest: Any) -> Term:
    return sum_like(aten.col2im, math.prod(kernel))(dtype, x, size, kernel, *rest)


def bilinear(
    dtype: torch.dtype,
    product: Callable[[Tensor, Tensor], Tensor],
    a: Term,
    b: Term,
    count: int,
    bias: Term | None = None,
) -> Term:
    """A sum of ``count`` products of ``a`` and ``b``, plus a bias."""
    value, u = product(a.value, b.value), unit_roundoff(accumulator(dtype))
    # A sum of positive numbers is exact enough in the narrower dtype, and much faster.
    sizes = (each.value.to(accumulator(dtype)).abs() for each in (a, b))
    magnitude = product(*sizes).double().mul_(1 + (count + 2) * u)
    passed = plus(
        None if a.error is None else product(a.error, b.value.abs()),
        None if b.error is None else product(a.value.abs() + a.shown, b.error),
    )
    if bias is not None:
        value, magnitude = value.add_(bias.value), magnitude.add_(bias.value.abs())
        # The product alone may be rounded before the bias is added.
        extra = (value.abs() + bias.value.abs()) * unit_roundoff(dtype)
        passed = plus(passed, bias.error, extra)
    return Term(value, plus(passed, rounding_bound(value, magnitude, count, dtype)))


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
) -> Tensor:  # fmt: skip
    """``aten.convolution``, which torch computes slowly for depthwise layers in float64."""
    channels = x.shape[1] if x.dim() == 4 else 0
    if x.dtype != torch.float64 or transposed or not groups == channels == weight.shape[0]:
        settings = stride, padding, dilation, transposed, output_padding, groups
        return aten.convolution(x, weight, bias, *settings)
    geometry = stride, padding, dilation
    rows, columns = (
        list(_reads(x.shape[2 + axis], weight.shape[2 + axis], *(each[axis] for each in geometry)))
        for axis in (0, 1)
    )
    y = x.new_zeros(x.shape[0], channels, rows[0].total, columns[0].total)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            read = x[:, :, row.inputs, column.inputs]
            tap = weight[:, :, i, j].reshape(-1, 1, 1)
            y[:, :, row.outputs, column.outputs].addcmul_(read, tap)
    return y if bias is None else y.add_(bias.reshape(-1, 1, 1))


class _Reads(NamedTuple):
    """Which inputs a tap of an axis reads, for which of the ``total`` outputs."""

    total: int
    inputs: slice
    outputs: slice


def _reads(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Iterator[_Reads]:
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    for tap in range(kernel):
        place = tap * dilation - padding  # of what the first output reads
        first = max(0, -(place // stride))
        end = max(first, min(count, (size - 1 - place) // stride + 1))
        start = place + first * stride
        inputs = slice(start, start + (end - first - 1) * stride + 1, stride)
        yield _Reads(count, inputs if end > first else slice(0), slice(first, end))


def _convolution(
    dtype: torch.dtype, x: Term, weight: Term, bias: Term | None, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int,
) -> Term:  # fmt: skip
    def product(a: Tensor, b: Tensor) -> Tensor:
        settings = stride, padding, dilation, transposed, output_padding, groups
        return convolution(a, b, None, *settings)

    spatial = weight.value.dim() - 2
    shape = weight.value.shape
    count = math.prod(shape[2:]) * (shape[0] // groups if transposed else shape[1])
    if bias is not None:
        column = [-1] + [1] * spatial
        error = None if bias.error is None else bias.error.reshape(column)
        bias = Term(bias.value.reshape(column), error)
    return bilinear(dtype, product, x, weight, count, bias)


def _mm(dtype: torch.dtype, a: Term, b: Term) -> Term:
    return bilinear(dtype, torch.matmul, a, b, a.value.shape[-1])


def _addmm(
    dtype: torch.dtype, bias: Term, a: Term, b: Term, *, beta: float = 1, alpha: float = 1
) -> Term:
    if (beta, alpha) != (1, 1):
        raise NoBoundError("no bound for addmm with factors")
    return bilinear(dtype, torch.matmul, a, b, a.value.shape[-1], bias)


RULES: dict[Any, Callable[..., Any]] = {
    aten._adaptive_avg_pool2d.default: sum_like(aten._adaptive_avg_pool2d.default),
    aten.add.Scalar: _add,
    aten.add.Tensor: _add,
    aten.addmm.default: _addmm,
    aten.avg_pool2d.default: _avg_pool,
    aten.baddbmm.default: _addmm,
    aten.bmm.default: _mm,
    aten.col2im.default: _col2im,
    aten.convolution.default: _convolution,
    aten.div.Scalar: _div,
    aten.div.Tensor: _div,
    aten.mean.default: sum_like(aten.mean.default),
    aten.mean.dim: sum_like(aten.mean.dim),
    aten.mm.default: _mm,
    aten.mul.Scalar: mul,
    aten.mul.Tensor: mul,
    aten.rsub.Scalar: _rsub,
    aten.rsub.Tensor: _rsub,
    aten.sub.Scalar: sub,
    aten.sub.Tensor: sub,
    aten.sum.default: sum_like(aten.sum.default),
    aten.sum.dim_IntList: sum_like(aten.sum.dim_IntList),
    # The weights are rounded too, and come from coordinates of up to some hundreds.
    aten.upsample_bilinear2d.default: sum_like(aten.upsample_bilinear2d.default, 256),
    aten.upsample_bilinear2d.vec: sum_like(aten.upsample_bilinear2d.vec, 256),
}
