"""No window reads the input: there is no output at all, or every one is the bias."""

from __future__ import annotations

from torch import Tensor

from ..geometry import Geometry
from .lowering import Lowering


class BiasOnly(Lowering):
    """The bias, or zero, everywhere; still hung on all arguments, so that autograd gives zeros.

    For a kernel larger than its input, a crop that leaves nothing, no channels, or windows that
    meet only inserted zeros.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((2, 2, 4), 8, 5, padding=1, b_init=1.0).lowering  # a 5x5 kernel on 4x4
    BiasOnly()
    """

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return not geometry.reads_input

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.out_channels = geometry.out_channels
        self.rows, self.columns = geometry.height.out, geometry.width.out

    def compute(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # Sums over nothing: zero, with zero gradients, whatever the values are. One for each image,
        # so that a batch that is sharded stays so.
        zeros = x.narrow(1, 0, 0).sum((1, 2, 3), keepdim=True) + weight.narrow(0, 0, 0).sum()
        y = zeros.expand(-1, self.out_channels, self.rows, self.columns)
        return y if bias is None else y + bias.reshape(-1, 1, 1)
