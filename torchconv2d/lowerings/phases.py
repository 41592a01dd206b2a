"""Split the output into phases, each a plain convolution that reads only entries of the input.

Per axis, with ``L`` and ``r`` the dilations and ``s`` the stride, output ``i`` meets tap ``u`` at
the place ``i * s + u * r - before`` of the dilated input, which holds an entry only where ``L``
divides it. So outputs ``L / gcd(s, L)`` apart meet the same taps, a phase, and the taps of a phase
are ``L / gcd(r, L)`` apart.
"""

from __future__ import annotations

from math import gcd, prod
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..geometry import Axis, Geometry, dilate
from .by_hand import ByHand
from .lowering import is_functional
from .undilated import choose_undilated


class Phase(NamedTuple):
    """The first of a phase's taps, and the undilated axis that gives its outputs."""

    first_tap: int
    axis: Axis


def _count(axis: Axis) -> int:
    return min(axis.lhs_dilation // gcd(axis.stride, axis.lhs_dilation), axis.out)


def split(axis: Axis) -> list[Phase]:
    """The phases of an axis, ordered by their first output."""
    lhs, rhs = axis.lhs_dilation, axis.rhs_dilation
    count, step = lhs // gcd(axis.stride, lhs), lhs // gcd(rhs, lhs)
    stride, dilation = axis.stride // gcd(axis.stride, lhs), rhs // gcd(rhs, lhs)
    phases: list[Phase] = []
    for i in range(_count(axis)):
        place = i * axis.stride - axis.before
        first = next(
            (u for u in range(min(step, axis.kernel)) if (place + u * rhs) % lhs == 0), axis.kernel
        )
        taps = len(range(first, axis.kernel, step))
        # Without a tap, one that meets zeros alone: the whole input is cropped.
        before = -(place + first * rhs) // lhs if taps else -axis.size
        reach = (len(range(i, axis.out, count)) - 1) * stride + dilate(max(taps, 1), dilation)
        after = reach - before - axis.size
        part = Axis(axis.size, max(taps, 1), stride, 1, dilation, before, after)
        phases.append(Phase(first, part.settled()))
    return phases


class Phases(ByHand):
    """One small convolution a phase, each computed as suits it, and their outputs woven.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((60, 60, 32), 32, 3, stride=3, lhs_dilation=2).lowering
    Phases(
      (parts): ModuleList(
        (0-3): 4 x Plain()
      )
    )
    """

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        # Of more phases than these the modules alone take seconds to make.
        few = prod(map(_count, geometry.axes)) <= 4096
        return few and geometry.reads_input and geometry.lhs_dilation != (1, 1)

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        height, width = map(split, geometry.axes)
        self.grid = (len(height), len(width))
        self.taps = [(u.first_tap, v.first_tap) for u in height for v in width]
        steps = [
            axis.lhs_dilation // gcd(axis.rhs_dilation, axis.lhs_dilation) for axis in geometry.axes
        ]
        self.step_u, self.step_v = steps
        parts = (geometry._replace(height=u.axis, width=v.axis) for u in height for v in width)
        self.parts = nn.ModuleList([choose_undilated(part)(part) for part in parts])
        self.out = (geometry.height.out, geometry.width.out)

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        outputs: list[Tensor] = []
        for i, part in enumerate(self.parts):
            u, v = self.taps[i]
            taps = weight[:, :, u :: self.step_u, v :: self.step_v]
            outputs.append(part.forward(x, taps, bias))
        if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            if is_functional(x):
                return self._woven(outputs)
        # Each phase to its places at once; of several copies this one is the fastest.
        y = outputs[0]
        y = y.new_empty((y.size(0), self.out[0], self.out[1], y.size(1))).permute(0, 3, 1, 2)
        for i, of_phase in enumerate(outputs):
            first, second = i // self.grid[1], i % self.grid[1]
            y[:, :, first :: self.grid[0], second :: self.grid[1]].copy_(of_phase)
        return y

    def weight_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """Those of the phases, each at the taps that it meets."""
        total = None
        for i, part in enumerate(self.parts):
            u, v = self.taps[i]
            taps = weight[:, :, u :: self.step_u, v :: self.step_v]
            if isinstance(part, ByHand):  # the others read nothing
                first = divmod(i, self.grid[1])
                of_phase = gradient[:, :, first[0] :: self.grid[0], first[1] :: self.grid[1]]
                term = part.quickest(of_phase).weight_gradient(of_phase, x, taps)
                total = term.new_zeros(weight.shape) if total is None else total
                total[:, :, u :: self.step_u, v :: self.step_v].add_(term)
        return cast(Tensor, total)

    def _woven(self, outputs: list[Tensor]) -> Tensor:
        """The same for graphs, which say a stack better than an assignment."""
        # The first phase has the most outputs; one that has fewer is filled up, then cut again.
        rows, columns = outputs[0].size(2), outputs[0].size(3)
        filled = [
            F.pad(y, (0, columns - y.size(3), 0, rows - y.size(2))).permute(0, 2, 3, 1)
            for y in outputs
        ]
        lines = [
            torch.stack(filled[i : i + self.grid[1]], 3).flatten(2, 3)
            for i in range(0, len(filled), self.grid[1])
        ]
        woven = torch.stack(lines, 2).flatten(1, 2).permute(0, 3, 1, 2)
        return woven.narrow(2, 0, self.out[0]).narrow(3, 0, self.out[1])
