"""Compute one layer on one picture with both sides, and judge them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import torchconv2d

from ..definition import expected
from ..sides import jax_conv
from .layers import Layer
from .pictures import Picture


class Comparison(NamedTuple):
    """The outputs of both sides, and how far each is from the value in float64.

    A ratio is the largest of ``|y - y64| / bound``, with the bound on rounding errors. It is
    infinite if any output is not finite.
    """

    picture: Picture
    layer: Layer
    reference: NDArray[np.float32]
    port: NDArray[np.float32]
    error: float
    ratio: float
    reference_ratio: float

    @property
    def difference(self) -> NDArray[np.float32]:
        with np.errstate(invalid="ignore"):  # two infinities
            return np.abs(self.port - self.reference)

    @property
    def agrees(self) -> bool:
        """Whether both sides are within the rounding bound of the value.

        The reference must pass too. Otherwise a mistake that the port shares with the evaluation in
        float64 would not show.
        """
        return self.ratio <= 1 and self.reference_ratio <= 1


def compare(picture: Picture, layer: Layer) -> Comparison:
    conv, x = torchconv2d.Conv2d(**layer.arguments), torch.from_numpy(picture.pixels[None])
    value, bound = (each.numpy() for each in expected.layer_output(conv, x))
    reference = _shaped(jax_conv.reference(x.numpy(), **layer.arguments), value.shape)
    with torch.no_grad():
        port = _shaped(conv(x).numpy(), value.shape)
    return Comparison(
        picture,
        layer,
        reference[0],
        port[0],
        float(np.abs(port - value).max()),
        expected.ratio(port, value, bound),
        expected.ratio(reference, value, bound),
    )


def _shaped(y: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Replace an output of the wrong shape by NaN, so that it fails and can be drawn."""
    return y if y.shape == shape else np.full(shape, np.nan, np.float32)
