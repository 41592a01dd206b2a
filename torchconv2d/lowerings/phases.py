"""Split the output into phases, each a plain convolution that reads only entries of the input.

Per axis, with ``L`` and ``r`` the dilations and ``s`` the stride, output ``i`` meets tap ``u`` at
the place ``i * s + u * r - before`` of the dilated input, which holds an entry only where ``L``
divides it. So outputs ``L / gcd(s, L)`` apart meet the same taps, a phase, and the taps of a phase
are ``L / gcd(r, L)`` apart. Without ``lhs_dilation`` there is one phase, of all taps.
"""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import Axis, Geometry, dilate
from .lowering import Lowering


class Phase(NamedTuple):
    """One phase of an axis: its taps, the entries of the padded input it reads, its outputs."""

    first_tap: int
    taps: int
    start: int
    length: int
    out: int


class Split(NamedTuple):
    """The phases of an axis, and the zeros put around the input, or its crop, that serve all."""

    phases: list[Phase]
    tap_step: int
    stride: int
    dilation: int
    before: int
    after: int


def split(axis: Axis) -> Split:
    """The phases of an axis, ordered by their first output."""
    lhs, rhs = axis.lhs_dilation, axis.rhs_dilation
    count, tap_step = lhs // gcd(axis.stride, lhs), lhs // gcd(rhs, lhs)
    stride, dilation = axis.stride // gcd(axis.stride, lhs), rhs // gcd(rhs, lhs)
    phases: list[Phase] = []
    for i in range(min(count, axis.out)):
        place = i * axis.stride - axis.before
        first = next((u for u in range(tap_step) if (place + u * rhs) % lhs == 0), axis.kernel)
        taps = len(range(first, axis.kernel, tap_step))
        out = len(range(i, axis.out, count))
        length = (out - 1) * stride + dilate(taps, dilation)
        phases.append(Phase(first, taps, (place + first * rhs) // lhs, length, out))
    # Counted from the input's own start till here, from the padded one's in what is returned.
    reading = [phase for phase in phases if phase.taps]
    before = -min(phase.start for phase in reading)
    after = max(phase.start + phase.length for phase in reading) - axis.size
    phases = [phase._replace(start=phase.start + before) for phase in phases]
    return Split(phases, tap_step, stride, dilation, before, after)


class Phases(Lowering):
    """One small ``F.conv2d`` a phase, and their outputs woven.

    The input is copied once, undilated, if it needs zeros around it at all; no multiplication is
    by an inserted zero.
    """

    __constants__ = ["pads", "crops", "weaves"]  # TorchScript then keeps one branch of each test

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return geometry.reads_input

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        height, width = map(split, geometry.axes)
        self.vertical, self.horizontal = height.phases, width.phases
        self.tap_steps = (height.tap_step, width.tap_step)
        self.stride = (height.stride, width.stride)
        self.dilation = (height.dilation, width.dilation)
        self.groups = geometry.groups
        # ``F.pad`` counts from the last axis backwards.
        pads = (width.before, width.after, height.before, height.after)
        self.pads = max(pads) > 0
        self.zeros = tuple(max(pad, 0) for pad in pads)
        self.crops = min(pads) < 0
        self.top, self.left = max(-height.before, 0), max(-width.before, 0)
        self.rows = geometry.height.size - self.top - max(-height.after, 0)
        self.columns = geometry.width.size - self.left - max(-width.after, 0)
        self.weaves = len(height.phases) * len(width.phases) > 1
        self.out_channels = geometry.out_channels
        self.out = (geometry.height.out, geometry.width.out)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.crops:
            x = x.narrow(2, self.top, self.rows).narrow(3, self.left, self.columns)
        if self.pads:
            x = F.pad(x, self.zeros)
        outputs: list[Tensor] = []
        for tap_u, taps_u, top, rows, out_rows in self.vertical:
            for tap_v, taps_v, left, columns, out_columns in self.horizontal:
                if taps_u > 0 and taps_v > 0:
                    window = x.narrow(2, top, rows).narrow(3, left, columns)
                    taps = weight[:, :, tap_u :: self.tap_steps[0], tap_v :: self.tap_steps[1]]
                    y = F.conv2d(window, taps, bias, self.stride, 0, self.dilation, self.groups)
                else:
                    y = x.new_zeros(x.size(0), self.out_channels, out_rows, out_columns)
                    if bias is not None:
                        y = y + bias.reshape(-1, 1, 1)
                outputs.append(y)
        return self._weave(outputs) if self.weaves else outputs[0]

    def _weave(self, outputs: list[Tensor]) -> Tensor:
        """Output ``i`` of phase ``p`` of ``n`` to place ``i * n + p``, on both axes."""
        # The first phase has the most outputs; one that has fewer is filled up, then cut again.
        batch, channels, rows, columns = outputs[0].shape
        filled: list[Tensor] = []
        for y in outputs:
            if y.size(2) < rows or y.size(3) < columns:
                y = F.pad(y, (0, columns - y.size(3), 0, rows - y.size(2)))
            filled.append(y.permute(0, 2, 3, 1))
        phases = (len(self.vertical), len(self.horizontal))
        grid = torch.stack(filled, 3).reshape(batch, rows, columns, phases[0], phases[1], channels)
        woven = grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        return woven.narrow(2, 0, self.out[0]).narrow(3, 0, self.out[1])
