"""``F.conv_transpose2d``: a dilated input at stride 1, without inserting the zeros.

torch's own weight gradient multiplies entries near the border by padded zeros, which gives NaN if
an entry is not finite. ``TransposedWeightGradient`` is torch's own without such entries.
``RunsWeightGradient`` groups the entries into runs that meet the same taps, and multiplies by no
zeros.
"""

from __future__ import annotations

from cmath import isfinite
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import Axis, Geometry, Pair, dilate
from ..layout import adjoint_weight, with_dense_gradient
from ..versions import is_exporting, is_readable, is_tracing, is_transformed
from .lowering import Lowering, every, is_functional
from .weight_gradient import WeightGradient, conv2d_weight_gradient, empty_weight


def paddings(axis: Axis) -> tuple[int, int]:
    """``(padding, output_padding)`` that give this axis's outputs, and perhaps more at the end.

    Without them, a transposed convolution gives the outputs for ``extent - 1`` zeros on both sides.
    ``padding`` removes the same number of outputs from both ends, and ``output_padding`` adds some
    at the end.
    """
    padding = axis.extent - 1 - axis.before
    return padding, max(0, axis.out - (axis.dilated + axis.extent - 1 - 2 * padding))


def computed(axis: Axis) -> int:
    """The number of outputs before any are cut."""
    padding, output_padding = paddings(axis)
    return axis.dilated + axis.extent - 1 - 2 * padding + output_padding


class Call(NamedTuple):
    """How to call torch for one axis.

    ``zeros`` entries are put before the input. Of the ``computed`` outputs, those after the wanted
    ones are cut.
    """

    zeros: int
    padding: int
    output_padding: int
    computed: int

    @classmethod
    def of(cls, axis: Axis, may_pad: bool) -> Call:
        """With zeros, torch computes the wanted outputs alone: it removes as many on both sides."""
        padding, output_padding = paddings(axis)
        extra = computed(axis) - axis.out
        if extra == 0 or not may_pad:
            return cls(0, padding, output_padding, axis.out + extra)
        zeros = -(-extra // axis.lhs_dilation)
        moved = zeros * axis.lhs_dilation
        return cls(zeros, padding + moved, moved - extra, axis.out)


def copies_input(geometry: Geometry) -> bool:
    """Whether a copy of the input is no larger than one of the outputs."""
    height, width = geometry.axes
    read = geometry.in_channels * height.size * width.size
    return read <= geometry.out_channels * height.out * width.out


def pads_beyond_stride(geometry: Geometry) -> bool:
    """Whether ``output_padding`` reaches the stride, which torch allows and ONNX does not."""
    return any(paddings(axis)[1] >= axis.lhs_dilation for axis in geometry.axes)


def _is_expressible(axis: Axis) -> bool:
    padding, output_padding = paddings(axis)
    # torch requires an ``output_padding`` below the larger of the two dilations.
    limit = max(axis.lhs_dilation, axis.rhs_dilation)
    return axis.stride == 1 and padding >= 0 and output_padding < limit


class Run(NamedTuple):
    """Neighbouring entries that meet the same taps, all of them within the output.

    In the flipped kernel, ``skipped`` taps come before the ``taps`` and ``left`` taps after them.
    The entries meet ``reach`` outputs from ``output`` on. Neighbouring entries are ``stride``
    outputs apart.
    """

    entry: int
    entries: int
    skipped: int
    taps: int
    left: int
    output: int
    reach: int
    stride: int


def runs(axis: Axis) -> list[Run]:
    """The runs of an axis that meet any tap."""

    def met(entry: int) -> Pair:
        """The first and the last tap, in the unflipped kernel, whose output exists."""
        place = axis.before + entry * axis.lhs_dilation
        first = max(0, -(-(place - axis.out + 1) // axis.rhs_dilation))
        return first, min(axis.kernel - 1, place // axis.rhs_dilation)

    # The entries that meet any tap, and those that meet all taps. The latter need no search.
    lhs, before = axis.lhs_dilation, axis.before
    start = max(0, -(before // lhs))
    stop = min(axis.size, (axis.out + axis.extent - 2 - before) // lhs + 1)
    inner = range(
        max(start, -((before - axis.extent + 1) // lhs)),
        min(stop, (axis.out - 1 - before) // lhs + 1),
    )
    groups: list[tuple[Pair, Sequence[int]]] = [((0, axis.kernel - 1), inner)] if inner else []
    others = [range(start, inner.start), range(inner.stop, stop)] if inner else [range(start, stop)]
    for each in others:
        groups += [(taps, list(group)) for taps, group in groupby(each, met)]
    found: list[Run] = []
    for (first, last), entries in sorted(groups, key=lambda group: group[1][0]):
        if last < first:
            continue
        taps = last - first + 1
        output = axis.before + entries[0] * axis.lhs_dilation - last * axis.rhs_dilation
        spread = dilate(len(entries), axis.lhs_dilation)
        reach = spread + (taps - 1) * axis.rhs_dilation
        # A single entry needs no stride: oneDNN fails with one, see `Axis.simplified`.
        stride = axis.lhs_dilation if len(entries) > 1 else 1
        skipped = axis.kernel - 1 - last
        found.append(Run(entries[0], len(entries), skipped, taps, first, output, reach, stride))
    return found


def _is_half(x: Tensor) -> bool:
    """Whether each addition would be rounded to half precision. TorchScript compiles this."""
    return x.dtype == torch.float16 or x.dtype == torch.bfloat16


class Transposed(Lowering):
    """One call of ``F.conv_transpose2d`` with the kernel's channels swapped and its taps flipped.

    It applies if ``padding`` and ``output_padding`` of that function can express the zeros around
    the input. If that gives extra outputs at the end, they are cut, which copies the others; or
    some zeros are put before the input, and ``padding`` removes outputs from both ends. It does
    what copies fewer numbers.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((28, 28, 64), 32, 3, lhs_dilation=2).lowering
    Transposed()
    """

    __constants__ = [*Lowering.__constants__, "cut", "pads"]

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return geometry.reads_input and all(map(_is_expressible, geometry.axes))

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        may_pad = copies_input(geometry)
        height, width = calls = [Call.of(axis, may_pad) for axis in geometry.axes]
        self.zeros = [width.zeros, 0, height.zeros, 0]  # in the order of ``F.pad``
        self.pads = any(self.zeros)
        self.padding = (height.padding, width.padding)
        self.output_padding = (height.output_padding, width.output_padding)
        self.stride = geometry.lhs_dilation
        self.dilation = geometry.rhs_dilation
        self.groups = geometry.groups
        self.out = (geometry.height.out, geometry.width.out)
        self.cut = self.out != (height.computed, width.computed)
        self.is_one_call = not (self.cut or self.pads)
        # oneDNN takes 1.4 to 12 times as long with a bias in these cases, and 1.0 to 1.3 times if
        # it is added to the outputs.
        self.has_slow_bias = (geometry.groups > 1 and geometry.in_per_group < 16) or any(
            call.computed % axis.lhs_dilation
            for call, axis in zip(calls, geometry.axes, strict=True)
        )
        # torch does not use oneDNN for such a call. Its own code rounds the sum over the channels
        # to the input's dtype for each tap, and then adds these sums.
        self.rounds_partial_sums = pads_beyond_stride(geometry)

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # A cut output is copied to be dense, and that copy can add the bias.
        adds_bias = (self.cut or self.has_slow_bias) and bias is not None and not _is_half(x)
        if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            adds_bias = adds_bias and not is_exporting() and not is_tracing()
        y = F.conv_transpose2d(
            F.pad(x, self.zeros) if self.pads else x,
            adjoint_weight(weight, self.groups),
            None if adds_bias else bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )
        if self.cut:
            y = y.narrow(2, 0, self.out[0]).narrow(3, 0, self.out[1])
        if not adds_bias or bias is None:
            return y
        if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            if is_functional(x) or is_transformed(bias):
                return y + bias.view(-1, 1, 1)
        return y + bias.view(-1, 1, 1) if self.cut else y.add_(bias.view(-1, 1, 1))

    @torch.jit.unused
    def in_training(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not self.is_one_call or weight.is_complex():
            return super().in_training(x, weight, bias)
        weight = self.readable(weight)
        # torch reads a permuted weight as contiguous, so the input's gradient has its format.
        return self.outputs(x, with_dense_gradient(weight), bias)


class RunsWeightGradient(WeightGradient):
    """The sum over all runs of the weight gradient of the adjoint convolution.

    The adjoint maps the output's gradient to the input's, so here ``x`` is its output's gradient.
    """

    rounds_partial_sums = True

    def __init__(self, geometry: Geometry) -> None:
        vertical, horizontal = map(runs, geometry.axes)
        self.runs = [(v, h) for v in vertical for h in horizontal]
        self._dilation, self._groups = geometry.rhs_dilation, geometry.groups

    def __call__(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        total = None
        shape = (x.size(1), gradient.size(1) // self._groups, *weight.shape[2:])
        adjoint = weight.new_empty(shape)  # only its shape is used
        for v, h in self.runs:
            read = x.narrow(2, v.entry, v.entries).narrow(3, h.entry, h.entries)
            part = gradient.narrow(2, v.output, v.reach).narrow(3, h.output, h.reach)
            taps = adjoint.narrow(2, v.skipped, v.taps).narrow(3, h.skipped, h.taps)
            stride = (v.stride, h.stride)
            if (v.taps, h.taps) == (1, 1):  # slices instead of a stride, see `slices_for_stride`
                part, stride = every(part, (0, v.stride), (0, h.stride)), (1, 1)
            settings = (stride, (0, 0), self._dilation, self._groups)
            term = conv2d_weight_gradient(read, part, taps, *settings)
            term = F.pad(term, (h.skipped, h.left, v.skipped, v.left))
            total = term if total is None else total + term
        return adjoint_weight(cast(Tensor, total), self._groups)


def is_known_finite(x: Tensor) -> bool:
    """Whether all entries are finite, and a program may look at them.

    One NaN or infinity makes the sum NaN or infinite, and the sum takes little time. Where a sum of
    finite entries overflows, the answer is no.
    """
    return is_readable(x) and isfinite(x.detach().sum().item())


class TransposedWeightGradient(WeightGradient):
    """The weight gradient of ``F.conv_transpose2d``, without what it multiplies by padded zeros.

    Only products with entries that are not finite can differ. They are left out, and the taps that
    meet such an entry become NaN.

    Args:
        geometry: all sizes, see :func:`torchconv2d.geometry.plan`.
    """

    rounds_partial_sums = True

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        """Whether torch has fast code for it: all outputs are wanted, and no entry is cropped."""
        if not Transposed.applies(geometry) or pads_beyond_stride(geometry):
            return False
        if geometry.height.kernel == geometry.width.kernel == 1:  # see `crashes_onednn`
            return False
        return all(computed(axis) == axis.out and axis.before >= 0 for axis in geometry.axes)

    def __init__(self, geometry: Geometry) -> None:
        self._transposed = Transposed(geometry)

    def __call__(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        groups = self._transposed.groups
        if not is_transformed(gradient) and is_known_finite(x):
            return adjoint_weight(self._native(gradient, x, weight), groups)
        finite = x.nan_to_num(0, 0, 0)
        found = self._native(gradient, finite, weight)
        bad = (x != finite).any(0, keepdim=True).to(x.dtype)
        ones = gradient.new_ones((1, groups, *gradient.shape[2:]))
        meetings = self._native(ones, bad, weight)  # how often each tap meets a bad entry
        return adjoint_weight(found.masked_fill(meetings > 0.5, torch.nan), groups)

    def _native(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """``(in, out / groups, kh, kw)``; only the shape and the dtype of ``weight`` are used."""
        transposed = self._transposed
        shape = [x.size(1), gradient.size(1) // transposed.groups, *weight.shape[2:]]
        return torch.ops.aten.convolution_backward(
            gradient,
            x,
            empty_weight(weight, shape, x, transposed.groups),
            None,
            transposed.stride,
            transposed.padding,
            transposed.dilation,
            True,
            transposed.output_padding,
            transposed.groups,
            [False, True, False],
        )[1]
