"""The interface of a weight gradient: an algorithm for the gradient with respect to the weight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from ..geometry import Geometry, Pair
from ..layout import is_channels_innermost
from .lowering import is_functional


class WeightGradient(ABC):
    """Computes the weight gradient of one geometry where torch's is slow or spreads NaN too far.

    Args:
        geometry: all sizes, see :func:`torchconv2d.geometry.plan`.

    >>> from torchconv2d import Conv2d
    >>> conv = Conv2d((9, 8, 4), 5, 3, stride=2)
    >>> gradient, x = torch.ones(1, 5, 5, 4), torch.ones(1, 4, 9, 8)
    >>> conv.convolution.weight_gradient(gradient, x, conv.weight)[0, 0]
    tensor([[16., 16., 12.],
            [20., 20., 15.],
            [16., 16., 12.]])
    """

    # Whether half-precision sums would be rounded before they are complete.
    rounds_partial_sums = False

    @abstractmethod
    def __init__(self, geometry: Geometry) -> None: ...

    @abstractmethod
    def __call__(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """The weight gradient.

        Args:
            gradient: ``(B, out, out_h, out_w)``, the gradient with respect to the outputs.
            x: ``(B, C, H, W)``.
            weight: ``(out, C / groups, kh, kw)``; only its shape and dtype are used.

        Returns:
            A tensor of ``weight``'s shape. It supports double backward.
        """


def conv2d_weight_gradient(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Tensor:
    """The weight gradient of ``F.conv2d``; only the shape and the dtype of ``weight`` are used."""
    taps: Pair = (weight.size(2), weight.size(3))
    is_plain = (padding, dilation, groups) == ((0, 0), (1, 1), 1) and taps != (1, 1)
    if is_plain and x.is_cpu and is_channels_innermost(x) and not is_functional(x):
        # A single window overlaps with none.
        if all(
            outputs == 1 or step == count
            for outputs, step, count in zip(gradient.shape[2:], stride, taps, strict=True)
        ):
            return _of_tiles(gradient, x, taps)
    weight = empty_weight(weight, list(weight.shape), x, groups)
    settings: tuple[Any, ...] = (stride, padding, dilation, False, (0, 0), groups)
    wanted = [False, True, False]
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, *settings, wanted)[1]


def empty_weight(like: Tensor, shape: list[int], x: Tensor, groups: int) -> Tensor:
    """A weight for torch's weight gradients, which use no more than its shape and strides.

    If the image is channels-last in memory, torch would copy a weight that is not. With several
    groups or an axis of size 1, its gradients of a channels-last weight are wrong, as in
    ``Lowering.readable``.
    """
    out, channels, rows, columns = shape
    if groups == 1 and 1 not in shape and is_channels_innermost(x) and not is_functional(x):
        return like.new_empty((out, rows, columns, channels)).permute(0, 3, 1, 2)
    return like.new_empty(shape)


def _of_tiles(gradient: Tensor, x: Tensor, taps: Pair) -> Tensor:
    """The same if the windows do not overlap: one product of two matrices.

    On an AMD EPYC with AVX2 and one thread it takes 0.25 to 0.95 of the time, most often 0.5 to 0.8
    (``python -m benchmarks --cited``).
    """
    (batch, out), (down, across), channels = gradient.shape[:2], taps, x.size(1)
    rows, columns = gradient.shape[2:]
    x = x.narrow(2, 0, rows * down).narrow(3, 0, columns * across).permute(0, 2, 3, 1)
    x = x.reshape(batch, rows, down, columns, across, channels).transpose(2, 3)
    tiles = x.reshape(batch * rows * columns, down * across * channels)
    outputs = gradient.permute(0, 2, 3, 1).reshape(batch * rows * columns, out)
    return outputs.t().matmul(tiles).reshape(out, down, across, channels).permute(0, 3, 1, 2)
