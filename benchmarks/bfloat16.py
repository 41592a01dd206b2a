"""What bfloat16 costs in inference on this processor, by its own code and by way of float32."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torchconv2d import Conv2d
from torchconv2d.lowerings.precision import native_bfloat16

from .shapes import Shape
from .timing import Contender, interleave, ratio

SHAPES = (
    Shape("3x3", 8, (56, 56), (64, 64, 1), (3, 3)),
    Shape("3x3, stride 2", 8, (56, 56), (128, 128, 1), (3, 3), (2, 2)),
    Shape("1x1", 8, (56, 56), (64, 256, 1), (1, 1)),
    Shape("depthwise 3x3", 8, (56, 56), (144, 144, 144), (3, 3)),
    Shape("stem 7x7, stride 2", 4, (224, 224), (3, 64, 1), (7, 7), (2, 2)),
)


def report(rounds: int) -> None:
    """A line a shape: milliseconds of the layer, and what others take as a multiple of it."""
    for odd, channels in ((False, "an even number"), (True, "an odd number")):
        chosen = "bfloat16" if native_bfloat16(odd) else "float32"
        print(f"{channels} of input channels in a group: the layer computes bfloat16 in {chosen}")
    print(f"{'':20} {'ms':>7} {'F.conv2d':>9} {'float32 and casts':>18} {'float32':>8}")
    for shape in SHAPES:
        conv = Conv2d(**shape.arguments)
        narrow = Conv2d(**shape.arguments, w_init=conv.kernel, dtype=torch.bfloat16)
        x = torch.randn(shape.batch, *conv.in_size)
        with torch.no_grad():
            times = interleave(_contenders(shape, conv, narrow, x), rounds)
        layer = times.pop("layer")
        native, casts, wide = (ratio(other, layer).median for other in times.values())
        print(f"{shape.name:20} {layer.median * 1e3:7.2f} {native:9.2f} {casts:18.2f} {wide:8.2f}")


def _contenders(shape: Shape, conv: Conv2d, narrow: Conv2d, x: Tensor) -> dict[str, Contender]:
    padding = tuple(axis.before for axis in shape.geometry.axes)
    options: Any = (None, shape.stride, padding, shape.rhs_dilation, shape.channels[2])
    first, first16 = x.permute(0, 3, 1, 2), x.bfloat16().permute(0, 3, 1, 2)
    weight, weight16 = conv.weight, narrow.weight
    return {
        "layer": lambda: narrow(first16.permute(0, 2, 3, 1)),
        "native": lambda: F.conv2d(first16, weight16, *options),
        "casts": lambda: F.conv2d(first16.float(), weight16.float(), *options).bfloat16(),
        "float32": lambda: F.conv2d(first, weight, *options),
    }
