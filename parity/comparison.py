"""One layer on one picture, computed by both sides, and judged."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import torchconv2d
from torchconv2d.testing import rounding_bound

from . import numpy_conv, oracles
from .layers import Layer
from .pictures import Picture

_GEOMETRY = ("stride", "padding", "lhs_dilation", "rhs_dilation", "groups")


class Comparison(NamedTuple):
    """What both sides made of a picture, and how far each is from the value in float64.

    A ratio is the largest of ``|y - y64| / bound``, the bound being the one on rounding errors; it
    is NaN as soon as any output is.
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
    x = picture.pixels[None]
    value, bound = _value_and_bound(x, layer.arguments)
    reference = _shaped(oracles.reference(x, **layer.arguments), value.shape)
    with torch.no_grad():
        y = torchconv2d.Conv2d(**layer.arguments)(torch.from_numpy(x))
    port = _shaped(y.numpy(), value.shape)
    error, reference_error = np.abs(port - value), np.abs(reference - value)
    return Comparison(
        picture,
        layer,
        reference[0],
        port[0],
        float(error.max()),
        _ratio(error, bound),
        _ratio(reference_error, bound),
    )


def _value_and_bound(
    x: NDArray[np.float32], arguments: dict[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The output in float64, and how far from it float32 may round."""
    kernel = np.multiply(arguments["w_init"], arguments.get("w_mask", 1), dtype=np.float64)
    bias = arguments.get("b_init")
    geometry = {name: arguments[name] for name in _GEOMETRY if name in arguments}
    value = numpy_conv.convolve(x, kernel, bias, **geometry)
    magnitude = numpy_conv.magnitude(x, kernel, bias, **geometry)
    products = int(np.prod(kernel.shape[:3]))
    bound = rounding_bound(
        torch.from_numpy(value), torch.from_numpy(magnitude), products, torch.float32
    )
    return value, bound.numpy()


def _shaped(y: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An output of the wrong shape counts, and is shown, as NaN throughout."""
    return y if y.shape == shape else np.full(shape, np.nan, np.float32)


def _ratio(error: NDArray[np.float64], bound: NDArray[np.float64]) -> float:
    # Where the bound is zero, as on black, nothing but zero will do.
    ratio = np.divide(error, bound, out=np.where(error == 0, 0.0, np.inf), where=bound > 0)
    return float(ratio.max())
