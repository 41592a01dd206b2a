"""``torch.nn``."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import nn

from . import Example, Run

FRAMEWORK = "torch"


def examples() -> dict[str, Example]:
    conv, transposed = nn.Conv2d, nn.ConvTranspose2d
    return {
        "plain": _example(conv(3, 5, (2, 3)), 7, 6),
        "strides and pads": _example(conv(3, 5, (3, 4), (2, 3), (1, 2)), 9, 8),
        "same, even kernel": _example(conv(3, 5, (2, 4), padding="same"), 7, 6),
        "same, dilated": _example(conv(3, 5, (4, 3), padding="same", dilation=(3, 2)), 9, 11),
        "valid": _example(conv(3, 5, (2, 4), padding="valid", bias=False), 7, 6),
        "groups": _example(conv(4, 6, (2, 3), (1, 2), 1, groups=2), 7, 6),
        "depthwise": _example(conv(4, 8, (3, 2), 2, (0, 1), groups=4), 7, 6),
        "double": _example(conv(3, 5, (2, 3), padding=2, dtype=torch.float64), 7, 6),
        "transposed": _example(transposed(3, 5, (2, 3), (2, 3)), 5, 4),
        "transposed, pads": _example(transposed(3, 5, (4, 5), (2, 3), (1, 3)), 5, 6),
        "transposed, output padding": _example(transposed(3, 5, (3, 2), (2, 3), 1, (1, 2)), 5, 4),
        "transposed, groups": _example(transposed(4, 6, (2, 3), (3, 2), (0, 1), groups=2), 5, 4),
        "transposed, depthwise": _example(transposed(4, 4, (3, 2), 2, groups=4, bias=False), 5, 4),
        "transposed, dilated": _example(
            transposed(3, 4, (2, 3), (3, 2), (1, 0), (2, 0), dilation=(2, 3)), 5, 4
        ),
        "transposed, stride 1": _example(transposed(4, 4, (2, 3), 1, (0, 1)), 5, 6),
    }


def _example(layer: Any, height: int, width: int) -> Example:
    def run(layer: Any) -> Run:
        def call(x: Any) -> Any:
            with warnings.catch_warnings():
                # torch warns that it may copy the input for an even kernel.
                warnings.filterwarnings("ignore", "Using padding='same'", UserWarning)
                return layer(torch.as_tensor(x)).numpy(force=True)

        return call

    def refilled(exported: Any) -> Run:
        fresh = copy.deepcopy(layer)
        fresh.load_state_dict({name: torch.as_tensor(each) for name, each in exported.items()})
        return run(fresh)

    return Example(layer, run(layer), refilled, (layer.in_channels, height, width))
