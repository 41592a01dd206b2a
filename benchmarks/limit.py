"""The limit: no layer is faster than the machine multiplies, or moves its numbers.

Both rates are measured beside the layer, in turns with it, so that the limit is of the same moment.
"""

from __future__ import annotations

import math

import torch

from . import contenders
from .shapes import Shape
from .timing import Contender, Times

# The side of the matrices whose product shows the peak, by type of device. Larger ones are no
# faster.
_SIDES = {"cpu": 1024, "cuda": 8192}
_MATMUL, _COPY = "matrix product", "copy"


def field(shape: Shape, training: bool, device: torch.device) -> dict[str, Contender]:
    """A large matrix product, and a copy that reads and writes as many bytes as the layer."""
    side = _SIDES[device.type]
    one, other, product = (torch.randn(side, side, device=device) for _ in range(3))
    source = torch.randn(max(1, _numbers(shape, training) // 2), device=device)
    target = torch.empty_like(source)
    return {
        _MATMUL: lambda: torch.mm(one, other, out=product),
        _COPY: lambda: target.copy_(source),
    }


def limit(
    shape: Shape, training: bool, device: torch.device, times: dict[str, Times]
) -> tuple[Times, str]:
    """Seconds that the layer needs at least, in each round, and what binds it.

    Args:
        shape: the layer.
        training: whether gradients are computed too.
        device: the device of :func:`field`.
        times: the seconds of the contenders of :func:`field`.

    Returns:
        The larger of the time of the multiplications and of the time of the memory traffic, and
        which of the two it is: ``'arithmetic'`` or ``'memory'``.
    """
    share = 2 * _products(shape, training) / (2 * _SIDES[device.type] ** 3)
    arithmetic = {turn: share * seconds for turn, seconds in times[_MATMUL].rounds.items()}
    memory = times[_COPY]
    if memory.median > Times(arithmetic).median:
        return memory, "memory"
    return Times(arithmetic), "arithmetic"


def _products(shape: Shape, training: bool) -> int:
    """Multiplications by entries. Each of the two gradients has as many as the outputs."""
    return contenders.products(shape.geometry) * shape.batch * (3 if training else 1)


def _numbers(shape: Shape, training: bool) -> int:
    """How many float32 numbers are read and written.

    The outputs read the input and the kernel and are written. Each of the two gradients reads two
    of the three and writes the third.
    """
    inputs, outputs, groups = shape.channels
    height, width = shape.geometry.axes
    image = math.prod(shape.size) * inputs + height.out * width.out * outputs
    kernel = math.prod(shape.kernel) * inputs // groups * outputs
    return (shape.batch * image + kernel) * (3 if training else 1)
