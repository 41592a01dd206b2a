"""``F.conv_transpose2d``: the dilated input, which it never makes, at stride 1."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..geometry import Axis, Geometry
from .lowering import Lowering


def _crop(axis: Axis) -> tuple[int, int]:
    """``(padding, output_padding)`` that leave just this axis's outputs.

    The transposed convolution alone gives what ``extent - 1`` zeros on both sides would; its
    ``padding`` then takes as many from both ends, and ``output_padding`` gives some back at the
    far one.
    """
    padding = axis.extent - 1 - axis.before
    return padding, axis.out - (axis.dilated + axis.extent - 1 - 2 * padding)


def _folds(axis: Axis) -> bool:
    padding, output_padding = _crop(axis)
    # torch takes no ``output_padding`` beyond the larger of the two dilations.
    limit = max(axis.lhs_dilation, axis.rhs_dilation)
    exact = padding >= 0 and 0 <= output_padding < limit
    return exact and axis.stride == 1


class Transposed(Lowering):
    """One call of ``F.conv_transpose2d`` with the kernel's channels swapped and its taps flipped.

    Only where the crop is said by its own ``padding`` and ``output_padding``, so that nothing is
    computed to be thrown away.
    """

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        folds = geometry.reads_input and all(map(_folds, geometry.axes))
        # oneDNN writes past the memory of that one's weight gradient, see Geometry.
        kernel = (geometry.height.kernel, geometry.width.kernel)
        return folds and kernel != (1, 1)

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        height, width = map(_crop, geometry.axes)
        self.padding = (height[0], width[0])
        self.output_padding = (height[1], width[1])
        self.stride = geometry.lhs_dilation
        self.dilation = geometry.rhs_dilation
        self.groups = groups = geometry.groups
        channels = geometry.out_channels // groups, geometry.in_channels // groups
        self.grouped = (groups, *channels, *(axis.kernel for axis in geometry.axes))

    def compute(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # (out, in / groups, ...) to (in, out / groups, ...), each group by itself.
        swapped = weight.reshape(self.grouped).transpose(1, 2).flatten(0, 1).flip(2, 3)
        return F.conv_transpose2d(
            x,
            swapped,
            bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )
