"""Pad both sides by more than is asked for, and drop the extra outputs: no copy of the input.

It is for inference. In training torch's weight gradient takes about ten times as long if the
padding exceeds what the shape needs, and multiplies the zero gradient of a dropped output by an
input that may be NaN; so there ``Padded`` replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ..geometry import Axis, Geometry
from .lowering import Lowering, slices_for_stride
from .plain import is_even, padding
from .weight_gradient import WeightGradient, conv2d_weight_gradient


class Side(NamedTuple):
    """How to pad one axis by the same number on both sides.

    ``padding`` gives ``computed`` outputs. The first ``dropped`` of them and those after the wanted
    ones are cut.
    """

    padding: int
    dropped: int
    computed: int


def solve(axis: Axis) -> Side:
    """The smallest padding on both sides that gives all outputs of an axis."""
    stride, before = axis.stride, axis.before
    after = (axis.out - 1) * stride + axis.extent - before - axis.size
    dropped = max(0, -(-(after - before) // stride))
    padding = before + dropped * stride
    return Side(padding, dropped, (axis.size + 2 * padding - axis.extent) // stride + 1)


def _is_solved(axis: Axis) -> bool:
    """Whether no window reads only zeros: with groups, oneDNN then takes many times as long."""
    return axis.before >= 0 and solve(axis).padding < axis.extent


class OverPadded(Lowering):
    """``F.conv2d`` with more padding than is asked for; the extra outputs are cut.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((56, 56, 32), 32, 3, stride=2, groups=32).lowering
    OverPadded()
    """

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        undilated = geometry.reads_input and geometry.lhs_dilation == (1, 1)
        solved = undilated and all(map(_is_solved, geometry.axes))
        return solved and not slices_for_stride(geometry)

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        height, width = map(solve, geometry.axes)
        self.top, self.left = height.dropped, width.dropped
        self.rows, self.columns = geometry.height.out, geometry.width.out
        self.padding = (height.padding, width.padding)
        self.stride = geometry.stride
        self.dilation = geometry.rhs_dilation
        self.groups = geometry.groups

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        return y.narrow(2, self.top, self.rows).narrow(3, self.left, self.columns)


class OverPaddedWeightGradient(WeightGradient):
    """The weight gradient of ``F.conv2d`` for a copy that is padded along uneven axes alone.

    torch cannot pad a copy along an axis along which DTensors are sharded.
    """

    def __init__(self, geometry: Geometry) -> None:
        height, width = geometry.axes
        self._read = height.window[:2], width.window[:2]
        even = [
            (padding(axis), (0, 0)) if is_even(axis) else (0, axis.window[2:])
            for axis in geometry.axes
        ]
        (above, above_below), (left, left_right) = even
        self._zeros = (*left_right, *above_below)
        settings = geometry.rhs_dilation, geometry.groups
        self._settings = (geometry.stride, (above, left), *settings)

    def __call__(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        rows, columns = self._read
        x = F.pad(x.narrow(2, *rows).narrow(3, *columns), self._zeros)
        return conv2d_weight_gradient(gradient, x, weight, *self._settings)
