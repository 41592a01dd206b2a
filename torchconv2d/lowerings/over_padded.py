"""Pad both sides by more than is asked for, and drop the extra outputs: no copy of the input.

torch's weight gradient is not used. It is about ten times slower if the padding exceeds what the
shape needs, and multiplies the zero gradient of a dropped output by an input that may be NaN.
``BorderedWeightGradient`` sums over parts of the output instead: a main part, for which the same
padding on both sides is enough, and the borders, for which it pads small copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch.nn.functional as F
from torch import Tensor

from ..geometry import Axis, Geometry, Window
from .lowering import Lowering, slices_for_stride
from .weight_gradient import WeightGradient, conv2d_weight_gradient


class Part(NamedTuple):
    """``out`` outputs of an axis from ``first`` on, the entries they read, and the padding."""

    first: int
    out: int
    window: Window
    padding: int = 0


class Side(NamedTuple):
    """How to pad one axis by the same number on both sides, and the parts of its outputs.

    ``padding`` gives ``computed`` outputs. The first ``dropped`` of them and those after the wanted
    ones are cut. ``main`` and ``borders`` are for the weight gradient.
    """

    padding: int
    dropped: int
    computed: int
    main: Part
    borders: list[Part]


def _count(axis: Axis, padding: int) -> int:
    return (axis.size + 2 * padding - axis.extent) // axis.stride + 1


def _border(axis: Axis, first: int, out: int) -> list[Part]:
    """The part for ``out`` outputs at an end of the axis, if there are any."""
    before = axis.before - first * axis.stride
    after = (out - 1) * axis.stride + axis.extent - before - axis.size
    window = axis._replace(before=before, after=after).window
    return [Part(first, out, window)] if out else []


def solve(axis: Axis) -> Side:
    """How to pad an axis by the same number on both sides: for all outputs, and for ``main``."""
    stride, before = axis.stride, axis.before
    after = (axis.out - 1) * stride + axis.extent - before - axis.size
    dropped = max(0, -(-(after - before) // stride))
    padding = before + dropped * stride
    first = min(max(0, -(-(before - max(after, 0)) // stride)), before // stride)
    even = before - first * stride
    main = Part(first, _count(axis, even), Window(0, axis.size, 0, 0), even)
    behind = first + main.out
    borders = _border(axis, 0, first) + _border(axis, behind, max(axis.out - behind, 0))
    return Side(padding, dropped, _count(axis, padding), main, borders)


def _is_solved(axis: Axis) -> bool:
    """Whether :func:`solve` finds a main part, and the padding is not too large.

    No window may read only zeros: with groups, oneDNN then takes many times as long.
    """
    if axis.before < 0:
        return False
    side = solve(axis)
    inside = side.main.out > 0 and side.main.first + side.main.out <= axis.out
    return inside and side.padding < axis.extent


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


class BorderedWeightGradient(WeightGradient):
    """The sum of the weight gradients of the main part of the output and of its borders."""

    rounds_partial_sums = True

    def __init__(self, geometry: Geometry) -> None:
        height, width = map(solve, geometry.axes)
        self.parts = [(height.main, width.main)]
        self.parts += [(border, width.main) for border in height.borders]
        all_rows = _border(geometry.height, 0, geometry.height.out)[0]
        self.parts += [(all_rows, border) for border in width.borders]
        self._stride, self._dilation = geometry.stride, geometry.rhs_dilation
        self._groups = geometry.groups

    def __call__(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        total = None
        for v, h in self.parts:
            part = gradient.narrow(2, v.first, v.out).narrow(3, h.first, h.out)
            read = x.narrow(2, *v.window[:2]).narrow(3, *h.window[:2])
            zeros = (*h.window[2:], *v.window[2:])
            read = F.pad(read, zeros) if any(zeros) else read
            settings = (self._stride, (v.padding, h.padding), self._dilation, self._groups)
            term = conv2d_weight_gradient(part, read, weight, *settings)
            total = term if total is None else total + term
        return cast(Tensor, total)
