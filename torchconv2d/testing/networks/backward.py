"""The gradients of convolutions, poolings and resizings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .products import axes_sum, bilinear, sum_like
from .terms import NoBoundError, Term, plus

aten = torch.ops.aten


def _convolution(
    dtype: torch.dtype, gradient: Term, x: Term, weight: Term, bias_shape: Any, stride: Any,
    padding: Any, dilation: Any, transposed: bool, output_padding: Any, groups: int,
    wanted: Sequence[bool],
) -> tuple[Term | None, ...]:  # fmt: skip
    settings = stride, padding, dilation, transposed, output_padding, groups

    def by_input(g: Tensor, w: Tensor) -> Tensor:
        like = x.value.to(g.dtype)
        return aten.convolution_backward(g, like, w, None, *settings, [True, False, False])[0]

    def by_weight(g: Tensor, x: Tensor) -> Tensor:
        like = weight.value.to(g.dtype)
        return aten.convolution_backward(g, x, like, None, *settings, [False, True, False])[1]

    batch, shape = gradient.value.shape[0], weight.value.shape
    # A product for each place of the kernel and each output of the group; for the weight one for
    # each place of the smaller image.
    taps = math.prod(shape[2:]) * (shape[1] if transposed else shape[0] // groups)
    image = x if transposed else gradient
    places = batch * math.prod(image.value.shape[2:])
    return (
        bilinear(dtype, by_input, gradient, weight, taps) if wanted[0] else None,
        bilinear(dtype, by_weight, gradient, x, places) if wanted[1] else None,
        axes_sum(dtype, gradient, [0, *range(2, len(shape))]) if wanted[2] else None,
    )


def _pooled(func: Any, dtype: torch.dtype, gradient: Term, x: Term, *settings: Any) -> Term:
    """The gradient of an average: a sum over the windows that an input is in."""
    kernel = settings[0] if settings else [
        out // size + 2
        for out, size in zip(gradient.value.shape[-2:], x.value.shape[-2:], strict=True)
    ]  # fmt: skip

    def summed(g: Tensor) -> Tensor:
        return func(g, x.value, *settings)

    return sum_like(summed, math.prod(kernel))(dtype, gradient)


def _max_pool(
    dtype: torch.dtype, gradient: Term, x: Term, kernel: Sequence[int], stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int], ceil: bool, places: Term,
) -> Term:  # fmt: skip
    settings = kernel, stride, padding, dilation

    def summed(g: Tensor) -> Tensor:
        return aten.max_pool2d_with_indices_backward(g, x.value, *settings, ceil, places.value)

    value, error = sum_like(summed, math.prod(kernel))(dtype, gradient)
    if x.error is not None:
        raise NoBoundError("no bound for the gradient of a max pool whose maximum may be another")
    # Where several inputs are the maximum, each may get the gradient.
    stride, size = stride or kernel, gradient.value.shape[-2:]
    spans = [(n - 1) * s + d * (k - 1) + 1
             for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)]  # fmt: skip
    before, inner = padding, x.value.shape[-2:]
    after = [span - n - p for span, n, p in zip(spans, inner, padding, strict=True)]
    pads = [before[1], after[1], before[0], after[0]]
    image = F.pad(x.value.reshape(-1, 1, *inner), pads, value=-torch.inf)
    unfolding = {"kernel_size": tuple(kernel), "dilation": tuple(dilation), "stride": tuple(stride)}
    windows = F.unfold(image, **unfolding)
    largest = windows == windows.amax(1, keepdim=True)
    tied = largest & (largest.sum(1, keepdim=True) > 1)
    each = (gradient.value.abs() + gradient.shown).reshape(len(windows), 1, -1)
    ties = F.fold(tied * each, image.shape[-2:], **unfolding)
    ties = F.pad(ties, [-pad for pad in pads]).reshape(x.value.shape)
    return Term(value, plus(error, ties))


RULES: dict[Any, Callable[..., Any]] = {
    aten._adaptive_avg_pool2d_backward.default: partial(
        _pooled, aten._adaptive_avg_pool2d_backward.default
    ),
    aten.avg_pool2d_backward.default: partial(_pooled, aten.avg_pool2d_backward.default),
    aten.convolution_backward.default: _convolution,
    aten.max_pool2d_with_indices_backward.default: _max_pool,
    # The weights are rounded too, as in the result.
    aten.upsample_bilinear2d_backward.default: sum_like(
        aten.upsample_bilinear2d_backward.default, 256
    ),
    aten.upsample_nearest2d_backward.default: sum_like(aten.upsample_nearest2d_backward.default),
}
