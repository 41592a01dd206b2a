"""One convolution with a set of output channels for each phase; its outputs are interleaved.

It applies if every phase of a dilated input has the same number of taps (Shi et al. 2016,
"sub-pixel convolution"). The computed outputs start early enough for all phases to share a window;
the extra outputs are cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..geometry import Axis, Geometry
from .lowering import Lowering
from .transposed import Transposed


def _ahead(axis: Axis) -> int:
    """How many extra outputs are computed before the first one that is asked for."""
    return -(axis.before + 1) % axis.lhs_dilation


def _shared(axis: Axis) -> Axis:
    """The undilated axis that all phases share; it ends with the last output asked for."""
    lhs = axis.lhs_dilation
    out = -(-(_ahead(axis) + axis.out) // lhs)
    taps, before = axis.kernel // lhs, (_ahead(axis) + axis.before) // lhs
    return Axis(axis.size, taps, 1, 1, 1, before, out + taps - 1 - before - axis.size).simplified()


def _is_uniform(axis: Axis) -> bool:
    return axis.kernel % axis.lhs_dilation == 0 and axis.rhs_dilation == 1


class Subpixel(Lowering):
    """One convolution with a set of output channels for each phase, then a pixel shuffle.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((32, 32, 64), 3, 4, lhs_dilation=2).lowering
    Subpixel(
      (shared): OverPadded()
    )
    """

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        uniform = geometry.lhs_dilation != (1, 1) and all(map(_is_uniform, geometry.axes))
        return uniform and Transposed.applies(geometry)

    @staticmethod
    def parts(geometry: Geometry) -> list[Geometry]:
        height, width = map(_shared, geometry.axes)
        channels = geometry.lhs_dilation[0] * geometry.lhs_dilation[1] * geometry.out_channels
        return [Geometry(height, width, geometry.in_channels, channels, geometry.groups)]

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        (self.shared,) = parts
        height, width = map(_shared, geometry.axes)
        self.counts = geometry.lhs_dilation  # of phases
        self.phases = self.counts[0] * self.counts[1]
        self.groups = geometry.groups
        self.out = (geometry.height.out, geometry.width.out)
        self.per_group = geometry.out_channels // self.groups
        taps = [(axis.kernel // axis.lhs_dilation, axis.lhs_dilation) for axis in geometry.axes]
        self.split = (self.groups, self.per_group, geometry.in_per_group, *taps[0], *taps[1])
        self.top, self.left = map(_ahead, geometry.axes)
        self.cut = (height.out * self.counts[0], width.out * self.counts[1]) != self.out

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = self.shared.forward(x, self._taps(weight), self._biases(bias)).permute(0, 2, 3, 1)
        batch, rows, columns, (down, across) = y.size(0), y.size(1), y.size(2), self.counts
        y = y.reshape(batch, rows, columns, self.groups, down, across, self.per_group)
        y = y.permute(0, 1, 4, 2, 5, 3, 6)
        y = y.reshape(batch, rows * down, columns * across, self.groups * self.per_group)
        y = y.permute(0, 3, 1, 2)
        if self.cut:
            y = y.narrow(2, self.top, self.out[0]).narrow(3, self.left, self.out[1])
        return y

    def _taps(self, weight: Tensor) -> Tensor:
        """(out, in, kh, kw) as (phases * out, in, ...) within each group, last phase first."""
        return weight.reshape(self.split).flip(4, 6).permute(0, 4, 6, 1, 2, 3, 5).flatten(0, 3)

    def _biases(self, bias: Tensor | None) -> Tensor | None:
        if bias is None:
            return None
        return bias.reshape(self.groups, 1, -1).expand(-1, self.phases, -1).reshape(-1)
