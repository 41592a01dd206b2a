"""No window reads the input: there is no output, or every output is the bias."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..geometry import Geometry
from .lowering import Lowering


class BiasOnly(Lowering):
    """The bias or zero everywhere. Autograd still reaches all arguments, with zero gradients.

    It applies if the kernel is larger than its input, if a crop leaves nothing, if there are no
    channels, or if the windows meet only inserted zeros.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((2, 2, 4), 8, 5, padding=1, b_init=1.0).lowering  # a 5x5 kernel on 4x4
    BiasOnly()
    """

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return not geometry.reads_input

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        self.out_channels = geometry.out_channels
        self.rows, self.columns = geometry.height.out, geometry.width.out

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # Sums over nothing are zero, with zero gradients, whatever the values are. There is one sum
        # for each image, so that a sharded batch stays sharded.
        zeros = x.narrow(1, 0, 0).sum((1, 2, 3), keepdim=True) + weight.narrow(0, 0, 0).sum()
        y = zeros.expand(-1, self.out_channels, self.rows, self.columns)
        return y if bias is None else y + bias.reshape(-1, 1, 1)
