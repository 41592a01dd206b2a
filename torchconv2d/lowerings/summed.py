"""What the ways have in common that compute parts of each output and then sum them."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ..geometry import Geometry
from .by_hand import ByHand
from .lowering import is_functional
from .transposed import Transposed
from .undilated import choose_reading


def whole(geometry: Geometry) -> type[ByHand]:
    """The way that does it in one convolution."""
    return choose_reading(geometry) if geometry.lhs_dilation == (1, 1) else Transposed


class Summed(ByHand):
    """Sums, where one convolution would leave most lanes of the processor idle.

    The weight's gradient is that of the one convolution, and so is a graph: it is for another
    machine, and says sums in place badly.

    >>> from torchconv2d import Conv2d
    >>> [isinstance(Conv2d((28, 28, 32), out, 3).lowering, Summed) for out in (1, 3, 16)]
    [True, True, False]
    """

    _in_float32 = True

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        single = geometry.groups == geometry.height.stride == 1 and geometry.reads_input
        return single and whole(geometry).applies(geometry)

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self._whole = [whole(geometry)(geometry)]  # in a list: not for a script
        self.out = (geometry.height.out, geometry.width.out)

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            if is_functional(x):
                return self._whole[0].outputs(x, weight, bias)
        y = self.sums(x, weight)
        return y if bias is None else y + bias.reshape(-1, 1, 1)

    @abstractmethod
    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """The outputs without a bias."""

    def weight_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return self._whole[0].quickest(gradient).weight_gradient(gradient, x, weight)
