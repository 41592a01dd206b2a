"""One batched matrix product for all taps, where a dilated input has many phases of few taps.

Each tap meets entries in one phase only (see ``phases.py``), and is there a 1x1 convolution. This
gathers the entries that each tap meets, multiplies all of them at once, adds up the taps of each
phase, and interleaves the phases. The steps are a few for each tap and each phase of an axis, and
none for each pair of them. A phase without taps costs nothing but its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import Axis, Geometry
from .lowering import Lowering
from .phases import Phases, phase_count
from .weight_gradient import WeightGradient

Numbers = tuple[int, int, int, int, int, int, int]  # those of `Reads`, for TorchScript


class Reads(NamedTuple):
    """What a tap of an axis reads: ``entries`` from ``start`` on, ``step`` apart.

    The outputs of its phase are ``zeros_before`` that read only padding, then one for each entry,
    then ``zeros_after`` others.
    """

    tap: int
    phase: int
    start: int
    entries: int
    step: int
    zeros_before: int
    zeros_after: int


def reads(axis: Axis) -> list[Reads]:
    """What each tap of an axis reads, for the taps that read any entry."""
    count, step = phase_count(axis), axis.stride // gcd(axis.stride, axis.lhs_dilation)
    longest = len(range(0, axis.out, count))
    found: list[Reads] = []
    for tap in range(axis.kernel):
        phase = _phase_of(tap, axis)
        if phase is not None and phase < count:
            place = phase * axis.stride + tap * axis.rhs_dilation - axis.before
            position = place // axis.lhs_dilation  # of what the first output reads, if it exists
            zeros = max(0, -(position // step))
            start = position + zeros * step
            outputs = len(range(phase, axis.out, count))
            entries = min(len(range(start, axis.size, step)), outputs - zeros)
            if entries > 0:
                after = longest - zeros - entries
                found.append(Reads(tap, phase, start, entries, step, zeros, after))
    return found


def _phase_of(tap: int, axis: Axis) -> int | None:
    """The first output that meets an entry by this tap, if the image is large enough."""
    place = axis.before - tap * axis.rhs_dilation  # modulo lhs_dilation, that of output * stride
    shared = gcd(axis.stride, axis.lhs_dilation)
    if place % shared:
        return None
    period = axis.lhs_dilation // shared
    return place // shared * pow(axis.stride // shared, -1, period) % period


def gathered(x: Tensor, taps: list[Numbers]) -> Tensor:
    """What each tap reads of the axis 1 of ``(N, size, numbers)``, stacked."""
    found: list[Tensor] = []
    for _, _, start, entries, step, before, after in taps:
        part = x.narrow(1, start, (entries - 1) * step + 1)
        if step > 1:
            part = part[:, ::step]
        if before + after > 0:
            part = F.pad(part, (0, 0, before, after))
        found.append(part)
    return torch.stack(found)


def by_tap(x: Tensor, rows: list[Numbers], columns: list[Numbers]) -> Tensor:
    """What all taps read of ``(B, C, H, W)``: ``(columns, rows, B, n, m, C)``.

    It uses `reshape` and `narrow`: batched gradients have no rules for `flatten` and a slice of
    everything.
    """
    batch, channels, height, width = x.size(0), x.size(1), x.size(2), x.size(3)
    x = gathered(x.permute(0, 2, 3, 1).reshape(batch, height, width * channels), rows)
    v, n = x.size(0), x.size(2)
    x = gathered(x.reshape(v * batch * n, width, channels), columns)
    return x.reshape(x.size(0), v, batch, n, x.size(2), channels)


class TapSums(Lowering):
    """One batched matrix product for all taps; the sums of each phase are interleaved.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((56, 56, 16), 16, 5, stride=5, lhs_dilation=4).lowering
    TapSums()
    """

    rounds_partial_sums = True

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        # `reads` looks at each tap, and the outputs are summed tap by tap.
        few = all(axis.kernel <= 64 for axis in geometry.axes)
        return geometry.groups == 1 and few and Phases.applies(geometry)

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        self.rows = cast(list[Numbers], [tuple(each) for each in reads(geometry.height)])
        self.columns = cast(list[Numbers], [tuple(each) for each in reads(geometry.width)])
        self.counts = (phase_count(geometry.height), phase_count(geometry.width))
        self.out = (geometry.height.out, geometry.width.out)

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = by_tap(x, self.rows, self.columns)
        h, v, batch, n, m, channels = (
            x.size(0),
            x.size(1),
            x.size(2),
            x.size(3),
            x.size(4),
            x.size(5),
        )
        y = self._products(x.reshape(h * v, batch * n * m, channels), weight)
        # (h, v, B, n, m, out), where the taps of an axis become phases: (B, rows, columns, out)
        out = y.size(2)
        y = y.reshape(h, v, batch, n, m, out)
        y = self._stacked(y, self.columns, self.counts[1], 4)
        y = y.reshape(v, batch, n, m * self.counts[1], out).narrow(3, 0, self.out[1])
        y = self._stacked(y, self.rows, self.counts[0], 2)
        y = y.reshape(batch, n * self.counts[0], self.out[1], out).narrow(1, 0, self.out[0])
        y = y.permute(0, 3, 1, 2)
        return y if bias is None else y + bias.reshape(-1, 1, 1)

    def _products(self, x: Tensor, weight: Tensor) -> Tensor:
        """The products of ``(h * v, N, C)`` with the taps: ``(h * v, N, out)``."""
        weight = torch.stack([weight.select(3, tap) for tap, _, _, _, _, _, _ in self.columns])
        weight = torch.stack([weight.select(3, tap) for tap, _, _, _, _, _, _ in self.rows], 1)
        weight = weight.reshape(x.size(0), weight.size(2), weight.size(3))
        return x.bmm(weight.transpose(1, 2))

    def _stacked(self, y: Tensor, taps: list[Numbers], count: int, axis: int) -> Tensor:
        """The sums over the taps of each phase, which are on the first axis, stacked on another."""
        sums: list[Tensor] = []
        nothing = y.new_zeros(1).expand_as(y[0])
        for phase in range(count):
            total = nothing
            first = True
            for i, tap in enumerate(taps):
                if tap[1] == phase:
                    total = y[i] if first else total + y[i]
                    first = False
            sums.append(total)
        return torch.stack(sums, axis)


class TapSumsWeightGradient(WeightGradient):
    """One batched matrix product: what each tap reads, times the gradient of the tap's phase."""

    rounds_partial_sums = True  # a product of matrices may, on a device

    def __init__(self, geometry: Geometry) -> None:
        read = [reads(axis) for axis in geometry.axes]
        met = [
            [_outputs(tap, axis) for tap in taps]
            for taps, axis in zip(read, geometry.axes, strict=True)
        ]
        self._read, self._met = cast(Any, read), cast(Any, met)

    def __call__(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        met, read = by_tap(gradient, *self._met), by_tap(x, *self._read)
        h, v, batch, n, m, _ = read.shape
        met, read = (each.reshape(h * v, batch * n * m, each.size(5)) for each in (met, read))
        found = met.transpose(1, 2).bmm(read).reshape(h, v, *weight.shape[:2])
        rows, columns = self._read
        return _placed(_placed(found, columns, weight.size(3)), rows, weight.size(2), 2)


def _outputs(tap: Reads, axis: Axis) -> Reads:
    """The outputs that a tap contributes to, those of its phase, in place of what it reads."""
    count = phase_count(axis)
    longest, outputs = (len(range(first, axis.out, count)) for first in (0, tap.phase))
    return Reads(tap.tap, tap.phase, tap.phase, outputs, count, 0, longest - outputs)


def _placed(x: Tensor, taps: Sequence[Reads], kernel: int, axis: int = -1) -> Tensor:
    """What the first axis has for each tap, on another axis; 0 for a tap that reads nothing."""
    found = {each.tap: x[i] for i, each in enumerate(taps)}
    nothing = torch.zeros_like(x[0])
    return torch.stack([found.get(tap, nothing) for tap in range(kernel)], axis)
