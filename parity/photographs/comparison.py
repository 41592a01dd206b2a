"""One layer on one picture, computed by both sides, and judged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import torchconv2d

from ..definition import expected, truth
from ..sides import jax_conv as oracles
from .layers import Layer
from .pictures import Picture


class Comparison(NamedTuple):
    """What both sides made of a picture, and how far each is from the value in float64.

    A ratio is the largest of ``|y - y64| / bound``, the bound being the one on rounding errors; it
    is infinite as soon as any output is not finite.
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
        """Whether rounding explains all that sets either side apart from the value.

        Asked of both sides, so that a misreading which the port shared with the float64
        evaluation would not pass.
        """
        return self.ratio <= 1 and self.reference_ratio <= 1


def compare(picture: Picture, layer: Layer) -> Comparison:
    conv, x = torchconv2d.Conv2d(**layer.arguments), torch.from_numpy(picture.pixels[None])
    true = truth.value(conv, x)
    value, bound = true.numpy(), truth.bound(conv, x, true).numpy()
    reference = _shaped(oracles.reference(x.numpy(), **layer.arguments), value.shape)
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
    """An output of the wrong shape counts, and is shown, as NaN throughout."""
    return y if y.shape == shape else np.full(shape, np.nan, np.float32)
