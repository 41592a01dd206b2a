"""Split the output into phases; each is a convolution that reads no inserted zeros.

Per axis, let ``L`` and ``r`` be the dilations of input and kernel, and ``s`` the stride. Output
``i`` reads the dilated input with tap ``u`` at position ``i * s + u * r - before``, which holds an
entry only if ``L`` divides it. So outputs that are ``L / gcd(s, L)`` apart use the same taps; they
form a phase. The taps of a phase are ``L / gcd(r, L)`` apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..geometry import Axis, Geometry, dilate
from .lowering import Lowering, every, is_functional
from .weight_gradient import WeightGradient


class Phase(NamedTuple):
    """The first of a phase's taps, and the undilated axis that gives its outputs."""

    first_tap: int
    axis: Axis


def phase_count(axis: Axis) -> int:
    """The number of phases."""
    return min(axis.lhs_dilation // gcd(axis.stride, axis.lhs_dilation), axis.out)


def split(axis: Axis) -> list[Phase]:
    """The phases of an axis, ordered by their first output."""
    lhs, rhs = axis.lhs_dilation, axis.rhs_dilation
    count, step = lhs // gcd(axis.stride, lhs), lhs // gcd(rhs, lhs)
    stride, dilation = axis.stride // gcd(axis.stride, lhs), rhs // gcd(rhs, lhs)
    phases: list[Phase] = []
    for i in range(phase_count(axis)):
        place = i * axis.stride - axis.before
        first = next(
            (u for u in range(min(step, axis.kernel)) if (place + u * rhs) % lhs == 0), axis.kernel
        )
        taps = len(range(first, axis.kernel, step))
        # A phase without taps gets one that meets only zeros: the whole input is cropped.
        before = -(place + first * rhs) // lhs if taps else -axis.size
        reach = (len(range(i, axis.out, count)) - 1) * stride + dilate(max(taps, 1), dilation)
        after = reach - before - axis.size
        part = Axis(axis.size, max(taps, 1), stride, 1, dilation, before, after)
        phases.append(Phase(first, part.simplified()))
    return phases


def _pairs(geometry: Geometry) -> list[tuple[Phase, Phase]]:
    """The vertical and the horizontal phase of each phase of the output, row by row."""
    height, width = map(split, geometry.axes)
    return [(v, h) for v in height for h in width]


def tap_steps(geometry: Geometry) -> list[int]:
    """Per axis, how far apart the taps of a phase are."""
    return [
        axis.lhs_dilation // gcd(axis.rhs_dilation, axis.lhs_dilation) for axis in geometry.axes
    ]


class Phases(Lowering):
    """One small convolution for each phase; their outputs are interleaved.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((60, 60, 32), 32, 5, stride=3, lhs_dilation=2).lowering
    Phases(
      (convolutions): ModuleList(
        (0): Plain()
        (1-3): 3 x Padded()
      )
    )
    """

    @staticmethod
    def parts(geometry: Geometry) -> list[Geometry]:
        """The undilated convolution of each phase."""
        return [geometry._replace(height=v.axis, width=h.axis) for v, h in _pairs(geometry)]

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        # Creating a module for each of 4096 phases takes half a second.
        few = prod(map(phase_count, geometry.axes)) <= 4096
        return few and geometry.reads_input and geometry.lhs_dilation != (1, 1)

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        height, width = map(phase_count, geometry.axes)
        self.counts = (height, width)  # of phases
        self.taps = [(v.first_tap, h.first_tap) for v, h in _pairs(geometry)]
        self.step_v, self.step_h = tap_steps(geometry)
        self.convolutions = nn.ModuleList(parts)
        self.reads = [part.reads_input for part in self.parts(geometry)]
        self.places = [i for i, reads in enumerate(self.reads) if reads]
        self.leaves_gaps = not all(self.reads)
        self.out = (geometry.height.out, geometry.width.out)

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            if is_functional(x):
                return self._stacked(self._computed(x, weight, bias, True))
        outputs = self._computed(x, weight, bias, False)
        y = outputs[0]
        y = y.new_empty((y.size(0), self.out[0], self.out[1], y.size(1))).permute(0, 3, 1, 2)
        if self.leaves_gaps:  # one write instead of one for each phase that reads nothing
            if bias is None:
                y.zero_()
            else:
                y.copy_(bias.reshape(-1, 1, 1).expand_as(y))
        # This copies a whole phase at once, the fastest of several variants.
        for i, of_phase in zip(self.places, outputs):  # noqa: B905  not in TorchScript
            first, second = i // self.counts[1], i % self.counts[1]
            places = every(y, (first, self.counts[0]), (second, self.counts[1]))
            places.copy_(of_phase)
        return y

    def _computed(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, constants: bool
    ) -> list[Tensor]:
        """The outputs of each phase that reads the input, or of all phases."""
        outputs: list[Tensor] = []
        for i, convolution in enumerate(self.convolutions):
            v, h = self.taps[i]
            # A phase without taps ignores the weight. The older ONNX exporter fails on empty ones.
            reads = self.reads[i]
            if reads or constants:
                taps = every(weight, (v, self.step_v), (h, self.step_h)) if reads else weight
                outputs.append(convolution.forward(x, taps, bias))
        return outputs

    def _stacked(self, outputs: list[Tensor]) -> Tensor:
        """The same for graphs, which express a stack better than an assignment."""
        # The first phase has the most outputs. Smaller ones are padded, and cut at the end.
        rows, columns = outputs[0].size(2), outputs[0].size(3)
        filled = [
            F.pad(y, (0, columns - y.size(3), 0, rows - y.size(2))).permute(0, 2, 3, 1)
            for y in outputs
        ]
        lines = [
            torch.stack(filled[i : i + self.counts[1]], 3).flatten(2, 3)
            for i in range(0, len(filled), self.counts[1])
        ]
        stacked = torch.stack(lines, 2).flatten(1, 2).permute(0, 3, 1, 2)
        return stacked.narrow(2, 0, self.out[0]).narrow(3, 0, self.out[1])


class PhasesWeightGradient(WeightGradient):
    """The weight gradient of each phase, at the taps of that phase.

    ``parts`` has a weight gradient for each phase, or None for a phase that reads no input.
    """

    rounds_partial_sums = True

    def __init__(self, geometry: Geometry, parts: Sequence[WeightGradient | None] = ()) -> None:
        self._parts = parts
        height, width = map(phase_count, geometry.axes)
        self._counts = (height, width)  # of phases
        self._taps = [(v.first_tap, h.first_tap) for v, h in _pairs(geometry)]
        self._steps = tap_steps(geometry)

    def __call__(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        total = None
        step_v, step_h = self._steps
        for i, part in enumerate(self._parts):
            if part is None:  # this phase reads no input
                continue
            v, h = self._taps[i]
            taps = (v, step_v), (h, step_h)
            first, second = divmod(i, self._counts[1])
            of_phase = every(gradient, (first, self._counts[0]), (second, self._counts[1]))
            term = part(of_phase, x, every(weight, *taps))
            total = term.new_zeros(weight.shape) if total is None else total
            every(total, *taps).add_(term)
        return cast(Tensor, total)
