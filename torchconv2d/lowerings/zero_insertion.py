"""Write the zeros, then convolve: the oracle that the other ways are tested against."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..geometry import Geometry
from .lowering import Lowering


class ZeroInsertion(Lowering):
    """The dilated and padded input made in memory, then ``F.conv2d`` without padding.

    Does ``lhs_dilation`` squared times the work and copies the input, but applies wherever the
    input is read at all.
    """

    __constants__ = ["dilates"]  # TorchScript then keeps one branch only

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return geometry.reads_input

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        height, width = geometry.axes
        self.dilates = geometry.lhs_dilation != (1, 1)
        self.dilated = (height.dilated, width.dilated)
        # ``F.pad`` counts from the last axis backwards.
        self.gaps = (0, width.lhs_dilation - 1, 0, 0, 0, height.lhs_dilation - 1)
        self.top, self.rows, *above_below = height.window
        self.left, self.columns, *left_right = width.window
        self.zeros = (*left_right, *above_below)
        self.stride = geometry.stride
        self.dilation = geometry.rhs_dilation
        self.groups = geometry.groups

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.dilates:
            x = F.pad(x.unsqueeze(3).unsqueeze(5), self.gaps).flatten(4, 5).flatten(2, 3)
            x = x.narrow(2, 0, self.dilated[0]).narrow(3, 0, self.dilated[1])
        x = x.narrow(2, self.top, self.rows).narrow(3, self.left, self.columns)
        x = F.pad(x, self.zeros)
        return F.conv2d(x, weight, bias, self.stride, (0, 0), self.dilation, self.groups)
