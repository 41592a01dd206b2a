"""``F.conv2d`` as it is: the input is not dilated and the padding is the same on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ..geometry import Axis, Geometry, Pair
from .lowering import Lowering, every, slices_for_stride
from .weight_gradient import WeightGradient, conv2d_weight_gradient


def padding(axis: Axis) -> int:
    """The zeros on both sides."""
    return max(axis.before, 0)


def is_even(axis: Axis) -> bool:
    """Whether padding both sides by ``before`` gives exactly the windows that are wanted."""
    padded = axis.window.length + 2 * padding(axis)
    return padded >= axis.extent and (padded - axis.extent) // axis.stride + 1 == axis.out


def _shortest(both: Pair) -> Pair | int:
    return both[0] if both[0] == both[1] else both


class Plain(Lowering):
    """One call of ``F.conv2d``. Negative padding is a view of the input, not a copy.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((56, 56, 64), 64, 3).lowering
    Plain()
    """

    __constants__ = [*Lowering.__constants__, "cropped", "sliced", "is_dense"]

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        undilated = geometry.reads_input and geometry.lhs_dilation == (1, 1)
        return undilated and all(map(is_even, geometry.axes))

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        height, width = geometry.axes
        self.top, self.rows = height.window[:2]
        self.left, self.columns = width.window[:2]
        self.cropped = (self.rows, self.columns) != (height.size, width.size)
        self.padding = (padding(height), padding(width))
        self.sliced = slices_for_stride(geometry) and self.padding == (0, 0)
        self.is_one_call = self.keeps_formats = not (self.cropped or self.sliced)
        self.step, self.stride = geometry.stride, (1, 1) if self.sliced else geometry.stride
        self.dilation = geometry.rhs_dilation
        self.groups = geometry.groups
        # On a small image torch takes 8% of the time of a call to read pairs for all of the last
        # four arguments instead of numbers for two.
        self.is_dense = self.dilation == (1, 1) and self.groups == 1
        self.short_stride, self.short_padding = _shortest(self.stride), _shortest(self.padding)

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.cropped or self.sliced:
            x = self.read(x)
        if self.is_dense:
            return F.conv2d(x, weight, bias, self.short_stride, self.short_padding)
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def read(self, x: Tensor) -> Tensor:
        """The part of the input that the windows read."""
        if self.cropped:
            x = x.narrow(2, self.top, self.rows).narrow(3, self.left, self.columns)
        if self.sliced:
            x = every(x, (0, self.step[0]), (0, self.step[1]))
        return x


class PlainWeightGradient(WeightGradient):
    """The weight gradient of ``F.conv2d``, for the part of the input that the windows read."""

    def __init__(self, geometry: Geometry) -> None:
        self._plain = Plain(geometry)

    def __call__(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        plain = self._plain
        settings = (plain.stride, plain.padding, plain.dilation, plain.groups)
        return conv2d_weight_gradient(gradient, plain.read(x), weight, *settings)
