"""Pad evenly by more, and drop the outputs that this adds: no copy of the input.

In training the gradients are computed by hand. The weight's is slow by an order of magnitude where
the padding exceeds what the shape needs, and a dropped output would take part in it as zero times
an input that may be NaN. So it is that of a padded copy, or, where the copy would cost more than
the convolution, summed over parts of the output: a main one, which an even padding alone gives,
and the borders, of which small copies are padded.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch.nn.functional as F
from torch import Tensor

from ..geometry import Axis, Geometry, Window
from .by_hand import ByHand, weight_gradient
from .padded import Padded


class Part(NamedTuple):
    """``out`` outputs of an axis from ``first`` on, the entries they read, and zeros around."""

    first: int
    out: int
    window: Window
    padding: int = 0


class Side(NamedTuple):
    """One axis: an even padding that covers both ends, and the parts of its outputs."""

    padding: int
    dropped: int
    computed: int
    main: Part
    borders: list[Part]


def _count(axis: Axis, padding: int) -> int:
    return (axis.size + 2 * padding - axis.extent) // axis.stride + 1


def _border(axis: Axis, first: int, out: int) -> list[Part]:
    """The part of some outputs at an end of the axis, if there are any."""
    before = axis.before - first * axis.stride
    after = (out - 1) * axis.stride + axis.extent - before - axis.size
    window = axis._replace(before=before, after=after).window
    return [Part(first, out, window)] if out else []


def solve(axis: Axis) -> Side:
    """How to pad an axis evenly, by enough for both ends, and by no more than for the lesser."""
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
    """Whether some outputs need the lesser padding only, and few are computed to be dropped."""
    if axis.before < 0:
        return False
    side = solve(axis)
    inside = side.main.out > 0 and side.main.first + side.main.out <= axis.out
    # With a window that reads nothing but zeros oneDNN takes many times as long, if it has groups.
    return inside and 2 * side.computed <= 3 * axis.out and side.padding < axis.extent


class Even(ByHand):
    """``F.conv2d`` with more padding than is asked for; what comes before and after is cut.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((56, 56, 32), 32, 3, stride=2, groups=32).lowering
    Even()
    """

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        undilated = geometry.reads_input and geometry.lhs_dilation == (1, 1)
        solved = undilated and all(map(_is_solved, geometry.axes))
        return solved and not geometry.samples_one_axis

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        height, width = map(solve, geometry.axes)
        self.top, self.left = height.dropped, width.dropped
        self.rows, self.columns = geometry.height.out, geometry.width.out
        self.padding = (height.padding, width.padding)
        self.stride = geometry.stride
        self.dilation = geometry.rhs_dilation
        self._parts = [(height.main, width.main)]
        self._parts += [(border, width.main) for border in height.borders]
        whole = _border(geometry.height, 0, self.rows)[0]
        self._parts += [(whole, border) for border in width.borders]
        # Of a large image the copy takes longer than a convolution that has few products to sum.
        if geometry.groups == 1 or geometry.height.size * geometry.width.size <= 1024:
            self.quicker = [Padded(geometry)]

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        return y.narrow(2, self.top, self.rows).narrow(3, self.left, self.columns)

    def weight_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """The sum over the parts of the output."""
        total = None
        for v, h in self._parts:
            part = gradient.narrow(2, v.first, v.out).narrow(3, h.first, h.out)
            read = x.narrow(2, *v.window[:2]).narrow(3, *h.window[:2])
            zeros = (*h.window[2:], *v.window[2:])
            read = F.pad(read, zeros) if any(zeros) else read
            padding = (v.padding, h.padding)
            settings = (self.stride, padding, self.dilation, self.groups)
            term = weight_gradient(part, read, weight, *settings)
            total = term if total is None else total + term
        return cast(Tensor, total)
