"""Copy the input into zeros, then convolve: uneven padding where the input is the smaller side."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..geometry import Geometry
from .by_hand import ByHand, weight_gradient


class Padded(ByHand):
    """``F.pad``, then ``F.conv2d`` without padding; a crop is a view before that.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((224, 224, 3), 64, 7, stride=2).lowering
    Padded()
    """

    __constants__ = [*ByHand.__constants__, "sliced"]

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return geometry.reads_input and geometry.lhs_dilation == (1, 1)

    @staticmethod
    def differentiates(geometry: Geometry) -> bool:
        return geometry.adjoint().has_few_outputs

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        height, width = geometry.axes
        self.top, self.rows, *above_below = height.window
        self.left, self.columns, *left_right = width.window
        self.zeros = (*left_right, *above_below)  # ``F.pad`` counts from the last axis backwards
        self.sliced = geometry.samples_one_axis
        self.step, self.stride = geometry.stride, (1, 1) if self.sliced else geometry.stride
        self.dilation = geometry.rhs_dilation

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = self._padded(x)
        return F.conv2d(x, weight, bias, self.stride, (0, 0), self.dilation, self.groups)

    def weight_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        settings = (self.stride, (0, 0), self.dilation, self.groups)
        return weight_gradient(gradient, self._padded(x), weight, *settings)

    def _padded(self, x: Tensor) -> Tensor:
        x = x.narrow(2, self.top, self.rows).narrow(3, self.left, self.columns)
        x = F.pad(x, self.zeros)
        if self.sliced:
            x = x[:, :, :: self.step[0], :: self.step[1]]
        return x
