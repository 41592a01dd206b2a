"""One matrix product computes what each entry adds to each output; ``F.fold`` adds it up.

This is for a single output channel, which leaves most lanes of a processor idle. It computes only
products of the definition, so a NaN reaches only outputs that read it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import Geometry
from ..layout import adjoint_weight
from .lowering import Lowering
from .partial_sums import PartialSums
from .transposed import Transposed, computed, paddings, pads_beyond_stride


class MatmulFold(PartialSums):
    """A matrix product, then ``F.fold``, with the ``padding`` of a transposed convolution.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((28, 28, 32), 1, 3).lowering
    MatmulFold()
    """

    __constants__ = [*Lowering.__constants__, "cut"]

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        # Otherwise ``F.fold`` would expect one more entry.
        counted = not pads_beyond_stride(geometry)
        return counted and PartialSums.applies(geometry) and Transposed.applies(geometry)

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__(geometry, parts)
        self.kernel = (geometry.height.kernel, geometry.width.kernel)
        height, width = geometry.axes
        self.padding = (paddings(height)[0], paddings(width)[0])
        self.computed = (computed(height), computed(width))
        self.cut = self.out != self.computed
        self.stride, self.dilation = geometry.lhs_dilation, geometry.rhs_dilation

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        # (in, out * kh * kw), and (in, entries) for each image
        taps = adjoint_weight(weight, 1).flatten(1)
        products = taps.t().matmul(x.flatten(2))
        if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            if not all(type(size) is int for size in x.shape):
                return self._cropped(products)
        y = F.fold(products, self.computed, self.kernel, self.dilation, self.padding, self.stride)
        return y.narrow(2, 0, self.out[0]).narrow(3, 0, self.out[1]) if self.cut else y

    def _cropped(self, products: Tensor) -> Tensor:
        """The sums of symbolic sizes, for which torch has no ``F.fold`` with a ``padding``."""
        (above, before), (rows, columns) = self.padding, self.computed
        size = (rows + 2 * above, columns + 2 * before)
        y = F.fold(products, size, self.kernel, self.dilation, 0, self.stride)
        return y.narrow(2, above, self.out[0]).narrow(3, before, self.out[1]).contiguous()
