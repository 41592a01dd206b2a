"""Torch's own draws, with the interface of :class:`.random.Stream`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor


class TorchDraws:
    """Draws of a torch generator, the global one if None.

    The methods are those of :class:`torchconv2d.random.Stream`.
    """

    def __init__(self, generator: torch.Generator | None, device: torch.device) -> None:
        self.generator = generator
        self.device = device if generator is None else generator.device

    def _empty(self, shape: tuple[int, ...], dtype: Any) -> Tensor:
        wide = torch.float64 if dtype == np.float64 else torch.float32
        return torch.empty(shape, dtype=wide, device=self.device)

    def uniform(self, shape: tuple[int, ...], dtype: Any, low: float, high: float) -> Tensor:
        return self._empty(shape, dtype).uniform_(low, high, generator=self.generator)

    def normal(self, shape: tuple[int, ...], dtype: Any) -> Tensor:
        return self._empty(shape, dtype).normal_(generator=self.generator)

    def truncated_normal(
        self,
        shape: tuple[int, ...],
        dtype: Any,
        lower: float = -2.0,
        upper: float = 2.0,
        loc: float = 0.0,
        scale: float = 1.0,
    ) -> Tensor:
        # This inverts the distribution function, so the generator advances as far as for any other
        # draw. torch.nn.init.trunc_normal_ rejects numbers and draws again.
        root = math.sqrt(2)
        below, above = (math.erf((bound - loc) / scale / root) for bound in (lower, upper))
        drawn = self.uniform(shape, dtype, below, above)
        return drawn.erfinv_().mul_(root * scale).add_(loc).clamp_(lower, upper)
