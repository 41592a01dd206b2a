"""Pad evenly by more, and drop the outputs that this adds: no copy of the input.

In training the gradients are computed by hand. The weight's is slow by an order of magnitude where
the padding exceeds what the shape needs, and a dropped output would take part in it as zero times
an input that may be NaN. So it is summed over parts of the output: a main one, which an even
padding alone gives, and the borders, of which small copies are padded.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import Axis, Geometry, Window
from .lowering import Lowering

Pair = tuple[int, int]


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
    return inside and 2 * side.computed <= 3 * axis.out


class Even(Lowering):
    """``F.conv2d`` with more padding than is asked for; what comes before and after is cut."""

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
        self.groups = geometry.groups
        # Outputs computed beyond the last one, and the parts of the weight's gradient.
        self._below = height.computed - self.top - self.rows
        self._right = width.computed - self.left - self.columns
        self._parts = [(height.main, width.main)]
        self._parts += [(border, width.main) for border in height.borders]
        whole = _border(geometry.height, 0, self.rows)[0]
        self._parts += [(whole, border) for border in width.borders]

    def compute(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            return self.outputs(x, weight, bias)
        else:  # noqa: RET505  the script compiles nothing of this branch
            by_hand = torch.is_grad_enabled() and weight.requires_grad
            if not by_hand or torch.compiler.is_compiling():
                return self.outputs(x, weight, bias)
            if not weight.is_complex():
                return self._trained(x, weight, bias)
            # In three real convolutions, as torch does.
            of_real, of_both = (None, None) if bias is None else (bias.real, bias.real + bias.imag)
            real = self._trained(x.real, weight.real, of_real)
            imaginary = self._trained(x.imag, weight.imag, None)
            mixed = self._trained(x.real + x.imag, weight.real + weight.imag, of_both)
            return torch.complex(real - imaginary, mixed - real - imaginary)

    def _trained(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _Trained.apply(x, weight, bias, self)  # pyright: ignore

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The outputs, of which torch could compute the gradients as well, only slowly."""
        y = F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        return y.narrow(2, self.top, self.rows).narrow(3, self.left, self.columns)

    def input_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """By the padding that computed the outputs, with zeros for those that were dropped."""
        gradient = F.pad(gradient, (self.left, self._right, self.top, self._below))
        return self._backward(gradient, x, weight, self.padding, [True, False, False])[0]

    def weight_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """The sum over the parts of the output."""
        total = None
        for v, h in self._parts:
            part = gradient.narrow(2, v.first, v.out).narrow(3, h.first, h.out)
            read = x.narrow(2, *v.window[:2]).narrow(3, *h.window[:2])
            zeros = (*h.window[2:], *v.window[2:])
            read = F.pad(read, zeros) if any(zeros) else read
            padding = (v.padding, h.padding)
            term = self._backward(part, read, weight, padding, [False, True, False])[1]
            total = term if total is None else total + term
        return cast(Tensor, total)

    def _backward(
        self, gradient: Tensor, x: Tensor, weight: Tensor, padding: Pair, wanted: list[bool]
    ) -> Any:
        # Under autocast the outputs, and so their gradient, are of another type than x and weight.
        return torch.ops.aten.convolution_backward(
            gradient,
            x.to(gradient.dtype),
            weight.to(gradient.dtype),
            None,
            self.stride,
            padding,
            self.dilation,
            False,
            (0, 0),
            self.groups,
            wanted,
        )


class _Trained(torch.autograd.Function):
    """:meth:`Even.outputs`, with its gradients by hand; they can be differentiated again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, way: Even) -> Tensor:
        # Forward mode takes no view here. The copy is dense, and spares the layer its own.
        return way.outputs(x, weight, bias).clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        x, weight, _, ctx.way = inputs
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (x, weight), way, (gradient,) = ctx.saved_tensors, ctx.way, grad_outputs
        for_x, for_weight, for_bias, _ = ctx.needs_input_grad
        return (
            way.input_gradient(gradient, x, weight).to(x.dtype) if for_x else None,
            way.weight_gradient(gradient, x, weight).to(weight.dtype) if for_weight else None,
            gradient.sum((0, 2, 3)).to(weight.dtype) if for_bias else None,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        (x, weight), way = ctx.saved_tensors, ctx.way
        x_tangent, weight_tangent, bias_tangent, _ = grad_inputs
        terms = [
            way.outputs(x_tangent, weight, bias_tangent) if x_tangent is not None else bias_tangent,
            way.outputs(x, weight_tangent, None) if weight_tangent is not None else None,
        ]
        return sum(term for term in terms if term is not None)
