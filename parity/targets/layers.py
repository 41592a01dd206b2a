"""The layers that run on every target, and their inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchconv2d import Conv2d

_BASE: dict[str, Any] = {"in_size": (9, 8, 4), "out_channels": 6, "kernel_size": 3}
_CHECKERBOARD = np.arange(3 * 3 * 4 * 6).reshape(3, 3, 4, 6) % 5 > 1

LAYERS: dict[str, dict[str, Any]] = {
    "plain": {"b_init": [3.0, 1, 4, -1, 5, 9]},
    "stride-2 SAME": {"in_size": (10, 8, 4), "stride": 2, "b_init": [2.0, -7, 1, 8, 2, 8]},
    "even kernel": {"kernel_size": (4, 2)},
    "depthwise stride 2": {"in_size": (10, 8, 4), "out_channels": 4, "stride": 2, "groups": 4},
    "lhs 2": {"kernel_size": (4, 3), "lhs_dilation": 2, "b_init": [1.0, 6, -1, 8, 0, 3]},
    "lhs (2, 3), stride (3, 2), rhs (2, 1)": {
        "lhs_dilation": (2, 3),
        "stride": (3, 2),
        "rhs_dilation": (2, 1),
        "b_init": [-2.0, 2, 3, 6, 0, 6],
    },
    "lhs 3, stride 3": {"lhs_dilation": 3, "stride": 3, "padding": [(2, 1), (1, 3)]},
    "few outputs, lhs 2": {"out_channels": 3, "kernel_size": 4, "lhs_dilation": 2, "padding": 2},
    "few outputs": {"in_size": (34, 27, 12), "out_channels": 3, "kernel_size": (4, 7)},
    "masked": {"w_mask": _CHECKERBOARD, "b_init": [1.0, 4, 1, -4, 2, 1]},
    "cropping pads": {"padding": [(-1, -2), (2, -1)], "stride": (1, 2)},
    "channel-first": {"in_size": (4, 9, 8), "stride": 2, "channel_first": True, "b_init": 1.5},
    "empty output": {"kernel_size": (12, 2), "padding": "VALID", "b_init": 0.5},
    "one input channel": {"in_size": (9, 8, 1), "kernel_size": (3, 4)},
    "any size, stride (2, 3)": {"in_size": (None, None, 4), "stride": (2, 3), "b_init": -1.5},
    "any height, lhs (2, 3)": {
        "in_size": (4, None, 8),
        "kernel_size": (4, 3),
        "lhs_dilation": (2, 3),
        "channel_first": True,
    },
}

# The image sizes of the inputs, for a layer of any size.
_SIZES = ((9, 8), (12, 7), (10, 13))


class Cell(NamedTuple):
    """A layer, two batches and one single image as inputs, and a cotangent for each output."""

    name: str
    layer: Conv2d
    inputs: list[Tensor]
    cotangents: list[Tensor]


def cells(names: tuple[str, ...] = tuple(LAYERS)) -> list[Cell]:
    """The layers of these names, with the same weights and inputs each time."""
    return [_cell(name) for name in names]


def make(name: str, **changes: Any) -> Conv2d:
    return Conv2d(**{**_BASE, **LAYERS[name], **changes})


def _cell(name: str) -> Cell:
    generator = torch.Generator().manual_seed(len(name))

    def draw(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=generator)

    layer = make(name, w_init=draw).eval()
    batches = ((2,), (5,), ())
    inputs = [
        draw((*batch, *_filled(layer.in_size, size)))
        for batch, size in zip(batches, _SIZES, strict=True)
    ]
    with torch.no_grad():
        cotangents = [draw(tuple(layer(x).shape)) for x in inputs]
    return Cell(name, layer, inputs, cotangents)


def _filled(in_size: tuple[int | None, ...], size: tuple[int, int]) -> list[int]:
    """``in_size`` with numbers for its Nones."""
    numbers = iter(size)
    return [next(numbers) if n is None else n for n in in_size]
