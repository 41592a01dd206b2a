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

    def normal(
        self, shape: tuple[int, ...], dtype: Any, loc: float = 0.0, scale: float = 1.0
    ) -> Tensor:
        drawn = self._empty(shape, dtype).normal_(generator=self.generator)
        return drawn.mul_(scale).add_(loc)

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
        # draw of float64. torch.nn.init.trunc_normal_ in older versions rejects numbers and draws
        # again. In float32 the uniform numbers next to 1 would be so few that the largest draws are
        # wrong, or infinite.
        interval = StandardInterval((lower - loc) / scale, (upper - loc) / scale)
        drawn = interval.quantiles(self.uniform(shape, np.float64, *interval.probabilities))
        drawn.mul_(scale).add_(loc)
        return drawn.to(self._empty((), dtype).dtype).clamp_(lower, upper)


class StandardInterval:
    """The interval from ``lower`` to ``upper`` of the standard normal distribution.

    ``probabilities`` are the smallest and the largest number whose quantile is drawn. float64 has
    many numbers near 0, but near 1 only multiples of 2^-53. So if the interval reaches further up
    than down, its mirror image is drawn, with the other sign.
    """

    def __init__(self, lower: float, upper: float) -> None:
        self.mirrored = lower + upper > 0
        if self.mirrored:
            lower, upper = -upper, -lower
        low, high = (math.erfc(-bound / math.sqrt(2)) / 2 for bound in (lower, upper))
        # The quantiles of 0 and 1 are infinite. A uniform draw is a multiple of 2^-53 of its range,
        # so that nothing between 0 and 2^-54 of it would be drawn anyway.
        self.probabilities = max(low, high * 2**-54), min(high, 1 - 2**-53)

    def quantiles(self, drawn: Tensor) -> Tensor:
        """The numbers of the interval with these probabilities, written to ``drawn``."""
        # The clamp is against the rounding of `uniform_`.
        torch.special.ndtri(drawn.clamp_(*self.probabilities), out=drawn)  # pyright: ignore
        return drawn.neg_() if self.mirrored else drawn
