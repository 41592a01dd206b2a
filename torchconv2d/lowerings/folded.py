"""Each entry's share in each output by one matrix product, then ``F.fold``, which adds them up.

For a single output channel, with which a convolution fills one of the processor's 16 lanes. Each
product is one of the definition's, so that NaN stays where it belongs.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..geometry import Geometry
from ..layout import adjoint_weight
from .summed import Summed
from .transposed import Transposed, computed, crop


class Folded(Summed):
    """``F.fold``, whose crop is that of a transposed convolution.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((28, 28, 32), 1, 3).lowering
    Folded()
    """

    __constants__ = [*Summed.__constants__, "cut"]

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        # Else ``F.fold`` would count one entry more.
        counted = all(crop(axis)[1] < axis.lhs_dilation for axis in geometry.axes)
        return counted and Summed.applies(geometry) and Transposed.applies(geometry)

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.kernel = (geometry.height.kernel, geometry.width.kernel)
        height, width = geometry.axes
        self.padding = (crop(height)[0], crop(width)[0])
        self.computed = (computed(height), computed(width))
        self.cut = self.out != self.computed
        self.stride, self.dilation = geometry.lhs_dilation, geometry.rhs_dilation

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        # (in, out * kh * kw), and of each image (in, entries)
        taps = adjoint_weight(weight, 1).flatten(1)
        shares = taps.t().matmul(x.flatten(2))
        y = F.fold(shares, self.computed, self.kernel, self.dilation, self.padding, self.stride)
        return y.narrow(2, 0, self.out[0]).narrow(3, 0, self.out[1]) if self.cut else y
