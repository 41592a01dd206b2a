"""What bfloat16 costs on this processor, beside torch's own layer and by way of float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchconv2d import Conv2d

from .shapes import Shape
from .timing import Contender, interleave, ratio

SHAPES = (
    Shape("3x3", 8, (56, 56), (64, 64, 1), (3, 3)),
    Shape("3x3, stride 2", 8, (56, 56), (128, 128, 1), (3, 3), (2, 2)),
    Shape("1x1", 8, (56, 56), (64, 256, 1), (1, 1)),
    Shape("depthwise 3x3", 8, (56, 56), (144, 144, 144), (3, 3)),
    Shape("stem 7x7, stride 2", 4, (224, 224), (3, 64, 1), (7, 7), (2, 2)),
)

Function = Callable[[Tensor, Tensor], Tensor]


def report(rounds: int) -> None:
    """A line a shape: milliseconds of the layer, and what others take as a multiple of it.

    torch's own layer pads evenly, and is wrong for three channels (see ``precision``).
    """
    for training in (False, True):
        print("forward and backward" if training else "inference")
        print(f"{'':20} {'ms':>7} {'nn.Conv2d':>9} {'float32 and casts':>18} {'float32':>8}")
        for shape in SHAPES:
            times = interleave(_contenders(shape, training), rounds)
            layer = times.pop("layer")
            native, casts, wide = (ratio(other, layer).median for other in times.values())
            milliseconds = layer.median * 1e3
            print(f"{shape.name:20} {milliseconds:7.2f} {native:9.2f} {casts:18.2f} {wide:8.2f}")


def _contenders(shape: Shape, training: bool) -> dict[str, Contender]:
    conv = Conv2d(**shape.arguments)
    narrow = Conv2d(**shape.arguments, w_init=conv.kernel, dtype=torch.bfloat16)
    x = torch.randn(shape.batch, *conv.in_size)
    padding = tuple(axis.before for axis in shape.geometry.axes)
    options: Any = (shape.stride, padding, shape.rhs_dilation, shape.channels[2])
    of_torch = nn.Conv2d(*shape.channels[:2], shape.kernel, *options, bias=False)
    of_torch.weight = narrow.weight

    def native(x: Tensor, _: Tensor) -> Tensor:
        return of_torch(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def plain(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x.permute(0, 3, 1, 2), weight, None, *options).permute(0, 2, 3, 1)

    def casts(x: Tensor, weight: Tensor) -> Tensor:
        return plain(x.float(), weight.float()).bfloat16()

    x16, weight, weight16 = x.bfloat16(), conv.weight, narrow.weight
    return {
        "layer": _run(lambda x, _: narrow(x), x16, weight16, training),
        "native": _run(native, x16, weight16, training),
        "casts": _run(casts, x16, weight16, training),
        "float32": _run(plain, x, weight, training),
    }


def _run(function: Function, x: Tensor, weight: Tensor, training: bool) -> Contender:
    if not training:

        def infer() -> Tensor:
            with torch.no_grad():
                return function(x, weight)

        return infer
    x = x.clone().requires_grad_()
    cotangent = torch.randn_like(function(x, weight))
    return lambda: torch.autograd.grad(function(x, weight), (x, weight), cotangent)
