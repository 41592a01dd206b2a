"""No output at all: a kernel larger than its input, say. Only the shape and the graph remain."""

from __future__ import annotations

from torch import Tensor

from ..geometry import Geometry
from .lowering import Lowering


class Empty(Lowering):
    """A tensor of no elements that still hangs on its arguments, so that autograd gives zeros."""

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return geometry.out_channels == 0 or any(axis.out == 0 for axis in geometry.axes)

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.out_channels = geometry.out_channels
        self.out_height, self.out_width = geometry.height.out, geometry.width.out

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # Sums over nothing: zero, and zero gradients, whatever the values are.
        zero = x.narrow(1, 0, 0).sum() + weight.narrow(1, 0, 0).sum()
        if bias is not None:
            zero = zero + bias.narrow(0, 0, 0).sum()
        return zero.expand(x.size(0), self.out_channels, self.out_height, self.out_width)
