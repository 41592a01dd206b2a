"""Convolve with each row of the kernel separately, all rows in one call, then add the results.

This is for few output channels, which leave most lanes of a processor idle. It computes only
products of the definition, so a NaN reaches only outputs that read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..geometry import Axis, Geometry
from .lowering import Lowering, every
from .partial_sums import PartialSums, is_one_convolution


class Row(NamedTuple):
    """Where the sums of one row of the kernel go.

    The sums of ``entries`` rows of the input, from row ``entry`` on, are added to the rows of the
    output from row ``first`` on.
    """

    entry: int
    entries: int
    first: int


def _rows(axis: Axis) -> list[Row]:
    """One ``Row`` for each tap of the axis; a tap that meets no output has no entries."""
    found: list[Row] = []
    for tap in range(axis.kernel):
        offset = axis.before - tap * axis.rhs_dilation
        entry = max(0, -(offset // axis.lhs_dilation))
        behind = -(-(axis.out - offset) // axis.lhs_dilation)
        entries = max(0, min(axis.size, behind) - entry)
        found.append(Row(entry, entries, offset + entry * axis.lhs_dilation))
    return found


def _across(geometry: Geometry) -> Geometry:
    """The convolution of each row of the input with each row of the kernel."""
    height = Axis(geometry.height.size, 1, 1, 1, 1, 0, 0)
    channels = geometry.height.kernel * geometry.out_channels
    return geometry._replace(height=height, out_channels=channels)


class RowSums(PartialSums):
    """One convolution with the kernel's rows as output channels; its outputs are added up.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((128, 128, 64), 3, 3).lowering
    RowSums(
      (across): Plain()
    )
    """

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return PartialSums.applies(geometry) and is_one_convolution(_across(geometry))

    @staticmethod
    def parts(geometry: Geometry) -> list[Geometry]:
        return [_across(geometry)]

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        (self.across,) = parts
        self.out_channels = geometry.out_channels
        self.step = geometry.height.lhs_dilation
        self.rows = [tuple(row) for row in _rows(geometry.height)]

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        # (out, in, kh, kw) as (kh * out, in, 1, kw).
        taps = weight.permute(2, 0, 1, 3).flatten(0, 1).unsqueeze(2)
        sums = self.across.forward(x, taps, None)
        shape = (x.size(0), self.out[0], self.out[1], self.out_channels)
        y = sums.new_zeros(shape).permute(0, 3, 1, 2)
        for i, (entry, entries, first) in enumerate(self.rows):
            if entries > 0:
                of_row = sums.narrow(1, i * self.out_channels, self.out_channels)
                reach = (entries - 1) * self.step + 1
                of_output = every(y.narrow(2, first, reach), (0, self.step), (0, 1))
                of_output.add_(of_row.narrow(2, entry, entries))
        return y
