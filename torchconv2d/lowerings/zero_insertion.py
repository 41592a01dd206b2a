"""Insert the zeros, then convolve. The tests compare the other lowerings with this one."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ..geometry import Geometry
from .lowering import Lowering
from .padded import Padded


class ZeroInsertion(Lowering):
    """Writes the dilated input to memory, then convolves it.

    It copies the input and does ``lhs_dilation`` squared times the work, but it applies whenever
    any output reads the input.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((9, 9, 1), 1, 2, stride=3, lhs_dilation=101).lowering
    ZeroInsertion(
      (padded): Padded()
    )
    """

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        return geometry.reads_input

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        height, width = geometry.axes
        self.dilated = (height.dilated, width.dilated)
        # ``F.pad`` counts from the last axis backwards.
        self.gaps = (0, width.lhs_dilation - 1, 0, 0, 0, height.lhs_dilation - 1)
        self.padded = Padded(geometry.undilated())

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = F.pad(x.unsqueeze(3).unsqueeze(5), self.gaps).flatten(4, 5).flatten(2, 3)
        x = x.narrow(2, 0, self.dilated[0]).narrow(3, 0, self.dilated[1])
        return self.padded(x, weight, bias)
