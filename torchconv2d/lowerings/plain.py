"""``F.conv2d`` as it is: the input undilated, the padding the same on both sides of an axis."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..geometry import Axis, Geometry
from .by_hand import ByHand, weight_gradient


def _padding(axis: Axis) -> int:
    return max(axis.before, 0)


def _is_even(axis: Axis) -> bool:
    """Whether as many zeros after as before give neither fewer windows nor more."""
    padded = axis.window.length + 2 * _padding(axis)
    return padded >= axis.extent and (padded - axis.extent) // axis.stride + 1 == axis.out


class Plain(ByHand):
    """One call of ``F.conv2d``. Negative padding is a view of the input, not a copy.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((56, 56, 64), 64, 3).lowering
    Plain()
    """

    __constants__ = [*ByHand.__constants__, "cropped", "sliced"]

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        undilated = geometry.reads_input and geometry.lhs_dilation == (1, 1)
        return undilated and all(map(_is_even, geometry.axes))

    @staticmethod
    def differentiates(geometry: Geometry) -> bool:
        return geometry.adjoint().has_few_outputs

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        height, width = geometry.axes
        self.top, self.rows = height.window[:2]
        self.left, self.columns = width.window[:2]
        self.cropped = (self.rows, self.columns) != (height.size, width.size)
        self.padding = (_padding(height), _padding(width))
        self.sliced = geometry.samples_one_axis and self.padding == (0, 0)
        self.step, self.stride = geometry.stride, (1, 1) if self.sliced else geometry.stride
        self.dilation = geometry.rhs_dilation

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.cropped or self.sliced:
            x = self._read(x)
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def weight_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        x = self._read(x)
        settings = (self.stride, self.padding, self.dilation, self.groups)
        return weight_gradient(gradient, x, weight, *settings)

    def _read(self, x: Tensor) -> Tensor:
        """The part of the input that any window reads."""
        if self.cropped:
            x = x.narrow(2, self.top, self.rows).narrow(3, self.left, self.columns)
        if self.sliced:
            x = x[:, :, :: self.step[0], :: self.step[1]]
        return x
