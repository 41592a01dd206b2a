"""Copy the input into a padded tensor, then convolve: for uneven padding of a small input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import Geometry
from .lowering import Lowering, every, slices_for_stride
from .traced import UnevenConvolution, is_tracing_onnx
from .weight_gradient import WeightGradient, conv2d_weight_gradient


class Padded(Lowering):
    """``F.pad``, then ``F.conv2d`` without padding. A crop is a view of the input.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((224, 224, 3), 64, 7, stride=2).lowering
    Padded()
    """

    __constants__ = [*Lowering.__constants__, "cropped", "sliced"]

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return geometry.reads_input and geometry.lhs_dilation == (1, 1)

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        height, width = geometry.axes
        self.top, self.rows, *above_below = height.window
        self.left, self.columns, *left_right = width.window
        self.cropped = (self.rows, self.columns) != (height.size, width.size)
        self.zeros = (*left_right, *above_below)  # ``F.pad`` counts from the last axis backwards
        self.sliced = slices_for_stride(geometry)
        self.keeps_formats = not (self.cropped or self.sliced)
        self.step, self.stride = geometry.stride, (1, 1) if self.sliced else geometry.stride
        self.dilation = geometry.rhs_dilation
        self.groups = geometry.groups

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            if is_tracing_onnx() and not self.sliced:
                settings = (self.zeros, self.stride, self.dilation, self.groups)
                return UnevenConvolution.apply(self.crop(x), weight, bias, *settings)  # pyright: ignore
        x = self.pad(x)
        return F.conv2d(x, weight, bias, self.stride, (0, 0), self.dilation, self.groups)

    def pad(self, x: Tensor) -> Tensor:
        """The cropped and padded input."""
        x = F.pad(self.crop(x), self.zeros)
        if self.sliced:
            x = every(x, (0, self.step[0]), (0, self.step[1]))
        return x

    def crop(self, x: Tensor) -> Tensor:
        """The part of the input that the windows read."""
        if self.cropped:
            x = x.narrow(2, self.top, self.rows).narrow(3, self.left, self.columns)
        return x


class PaddedWeightGradient(WeightGradient):
    """The weight gradient of ``F.conv2d`` without padding, for the padded copy of the input."""

    def __init__(self, geometry: Geometry) -> None:
        self._padded = Padded(geometry)

    def __call__(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        padded = self._padded
        settings = (padded.stride, (0, 0), padded.dilation, padded.groups)
        return conv2d_weight_gradient(gradient, padded.pad(x), weight, *settings)
