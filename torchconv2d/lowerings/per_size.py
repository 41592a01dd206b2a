"""The convolution of a layer for any image size: a plan for each size, or one graph for all."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..geometry import Settings, plan
from .any_size import AnySize, AnySizeLowering
from .computation import Function
from .convolution import Convolution

# The image sizes whose plans a layer keeps.
KEPT_SIZES = 256


class PerSize:
    """A function of input, weight and bias, as :class:`Convolution`, for any image size.

    In eager code each size has a plan, and so the lowering of a layer of that size. The last
    ``KEPT_SIZES`` of them are kept. Graphs use :class:`AnySize`.

    Args:
        settings: everything but the size.

    >>> from torchconv2d.geometry import Settings
    >>> settings = Settings((3, 3), (2, 2), "SAME", (1, 1), (1, 1), 3, 8, 1)
    >>> convolve = PerSize(settings)
    >>> weight = torch.randn(8, 3, 3, 3)
    >>> [convolve(torch.randn(1, 3, rows, 9), weight, None).shape[2:] for rows in (7, 12)]
    [torch.Size([4, 5]), torch.Size([6, 5])]
    >>> convolve.of_size(7, 9).lowering
    Plain()
    """

    geometry = direct = None

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.in_graphs = AnySize(settings)
        self.lowering = AnySizeLowering(self.in_graphs)

        def of_size(rows: int, columns: int) -> Convolution:
            return Convolution.of(plan((rows, columns), *settings))

        self.of_size = lru_cache(KEPT_SIZES)(of_size)

    def __reduce__(self) -> Any:
        return PerSize, (self.settings,)

    def __deepcopy__(self, memo: object) -> PerSize:
        return self

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same as :class:`Convolution` computes."""
        rows, columns = x.size(2), x.size(3)
        if are_known(rows, columns):
            return self.of_size(rows, columns)(x, weight, bias)
        return self.in_graphs(x, weight, bias)

    def direct_with_gradients(self, x: Tensor, weight: Tensor) -> Function | None:
        rows, columns = x.size(2), x.size(3)
        known = are_known(rows, columns)
        return self.of_size(rows, columns).direct_with_gradients(x, weight) if known else None

    def direct_in_bfloat16(self, x: Tensor, weight: Tensor) -> Function | None:
        rows, columns = x.size(2), x.size(3)
        known = are_known(rows, columns)
        return self.of_size(rows, columns).direct_in_bfloat16(x, weight) if known else None

    def lowerings_in_scripts(self, is_complex: bool) -> tuple[AnySizeLowering, None]:
        return self.lowering, None


def are_known(*sizes: object) -> bool:
    """Whether the sizes are plain numbers, and not symbols or a trace's tensors.

    A compiled graph may serve other sizes later, and its symbols look like numbers.
    """
    return not torch.compiler.is_compiling() and all(type(size) is int for size in sizes)
