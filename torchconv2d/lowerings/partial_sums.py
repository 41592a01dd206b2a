"""The base class of lowerings that compute parts of each output and then add them up."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from ..geometry import Geometry
from .lowering import Lowering
from .transposed import Transposed


def is_one_convolution(geometry: Geometry) -> bool:
    """Whether one call of torch computes it: ``F.conv2d``, or ``F.conv_transpose2d``."""
    undilated = geometry.reads_input and geometry.lhs_dilation == (1, 1)
    return undilated or Transposed.applies(geometry)


class PartialSums(Lowering):
    """Adds up partial sums, where one convolution would leave most of the processor idle.

    A graph has one convolution instead (see ``Convolution``), since it may run on another machine
    and expresses in-place sums badly.

    >>> from torchconv2d import Conv2d
    >>> [isinstance(Conv2d((56, 56, 32), out, 3).lowering, PartialSums) for out in (1, 3, 16)]
    [True, True, False]
    """

    rounds_partial_sums = True

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return geometry.groups == geometry.height.stride == 1 and is_one_convolution(geometry)

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        self.out = (geometry.height.out, geometry.width.out)

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = self.sums(x, weight)
        return y if bias is None else y + bias.reshape(-1, 1, 1)

    @abstractmethod
    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """The outputs without a bias."""
