"""Each row of the kernel a convolution of its own, as channels of a single one; then their sum.

For few output channels, with which a convolution fills the processor's lanes badly. Each product is
still one of the definition's, so that NaN stays where it belongs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..geometry import Axis, Geometry
from .by_hand import ByHand
from .lowering import is_functional
from .transposed import Transposed
from .undilated import choose_reading


class Row(NamedTuple):
    """Where the sums of a row of the kernel go: entries ``entry``, ... to rows ``first``, ..."""

    entry: int
    entries: int
    first: int


def _rows(axis: Axis) -> list[Row]:
    """One for each tap of the axis, those that no output meets without entries."""
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


def _whole(geometry: Geometry) -> type[ByHand]:
    if geometry.lhs_dilation == (1, 1):
        return choose_reading(geometry)
    return Transposed


class Rows(ByHand):
    """The kernel's rows as output channels of one convolution, and their outputs added up.

    The weight's gradient is that of the convolution as a whole, which has many channels.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((128, 128, 64), 3, 3).lowering
    Rows(
      (across): Plain()
    )
    """

    _in_float32 = True

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        single = geometry.groups == geometry.height.stride == 1 and geometry.reads_input
        across = _across(geometry)
        return single and all(_whole(each).applies(each) for each in (geometry, across))

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        across = _across(geometry)
        self.across = _whole(across)(across)
        self._whole = [_whole(geometry)(geometry)]  # in a list: not for a script
        self.out_channels = geometry.out_channels
        self.out = (geometry.height.out, geometry.width.out)
        self.step = geometry.height.lhs_dilation
        self.rows = [tuple(row) for row in _rows(geometry.height)]

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  # pyright: ignore[reportPrivateImportUsage]
            # A graph is for another machine, and says one convolution better than sums in place.
            if is_functional(x):
                return self._whole[0].outputs(x, weight, bias)
        # (out, in, kh, kw) as (kh * out, in, 1, kw).
        taps = weight.permute(2, 0, 1, 3).flatten(0, 1).unsqueeze(2)
        sums = self.across(x, taps, None)
        shape = (x.size(0), self.out[0], self.out[1], self.out_channels)
        y = sums.new_zeros(shape).permute(0, 3, 1, 2)
        for i, (entry, entries, first) in enumerate(self.rows):
            if entries > 0:
                of_row = sums.narrow(1, i * self.out_channels, self.out_channels)
                last = first + (entries - 1) * self.step
                of_output = y[:, :, first : last + 1 : self.step]
                of_output.add_(of_row.narrow(2, entry, entries))
        return y if bias is None else y + bias.reshape(-1, 1, 1)

    def weight_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return self._whole[0].weight_gradient(gradient, x, weight)
