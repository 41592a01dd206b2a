"""Five layers whose outputs on a photograph can be shown."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Channels = tuple[int, int, int]


class Layer(NamedTuple):
    """``arguments`` build either ``Conv2d``; ``shown`` are the output channels that are drawn."""

    name: str
    arguments: dict[str, Any]
    shown: Channels
    makes_picture: bool  # rather than feature maps


def layers(in_size: tuple[int, ...]) -> list[Layer]:
    """The layers for a color picture, with the same weights each time.

    They are chosen so that mistakes show. SAME padding is uneven for stride 2 and an even side. No
    random kernel and no Sobel kernel is its own mirror image. No two biases are equal.
    """
    random = np.random.default_rng(2026)

    def kernel(*shape: int) -> NDArray[np.float64]:
        """A random kernel, scaled so that input and output have similar variances."""
        return random.normal(0, np.prod(shape[:3]) ** -0.5, shape)

    def bias(channels: int) -> NDArray[np.float32]:
        return random.uniform(-0.5, 0.5, channels).astype(np.float32)

    sobel = np.outer([1, 2, 1], [-1, 0, 1]) / 8
    bilinear = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
    # The taps before the center in reading order, without the center: PixelCNN's type A.
    causal = np.arange(25).reshape(5, 5, 1, 1) < 12

    return [
        _layer("7x7 stem, stride 2", in_size, kernel(7, 7, 3, 32), stride=(2, 2)),
        _layer(
            "depthwise Sobel, stride 2",
            in_size,
            # For each color, the slope from left to right and the slope from top to bottom.
            _per_color(sobel, sobel.T),
            (0, 2, 4),
            stride=(2, 2),
            groups=3,
            b_init=bias(6),
        ),
        _layer(
            "atrous 3x3, rate 4",
            in_size,
            kernel(3, 3, 3, 16),
            rhs_dilation=(4, 4),
            b_init=bias(16),
        ),
        _layer(
            "bilinear 2x upsampler",
            in_size,
            _per_color(bilinear),
            makes_picture=True,
            lhs_dilation=(2, 2),
            padding=((2, 2), (2, 2)),  # the reference takes no string with lhs_dilation
            groups=3,
        ),
        _layer(
            "causally masked 5x5",
            in_size,
            kernel(5, 5, 3, 16),
            w_mask=causal,
            b_init=bias(16),
        ),
    ]


def _layer(
    name: str,
    in_size: tuple[int, ...],
    kernel: NDArray[np.float64],
    shown: Channels = (0, 1, 2),
    makes_picture: bool = False,
    **others: Any,
) -> Layer:
    shapes = {
        "in_size": in_size,
        "out_channels": kernel.shape[3],
        "kernel_size": kernel.shape[:2],
        "w_init": kernel.astype(np.float32),
    }
    return Layer(name, shapes | others, shown, makes_picture)


def _per_color(*taps: ArrayLike) -> NDArray[np.float64]:
    """A depthwise kernel that applies each of ``taps`` to red, then to green, then to blue."""
    return np.stack(taps * 3, -1)[:, :, None]
