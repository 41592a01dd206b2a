"""Time against one size: batch, side, channels, kernel, or dilation of the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import contenders, limit
from .contenders import Data
from .shapes import Shape
from .timing import interleave

_SAME = Shape("sweep", 4, (32, 32), (32, 32, 1), (3, 3), (2, 2))
_UP = Shape("sweep", 4, (16, 16), (32, 32, 1), (4, 4), (1, 1), (2, 2))


class Sweep(NamedTuple):
    """Milliseconds of each contender for each value."""

    title: str
    values: Sequence[int]
    costs: dict[str, list[float]]


def sweeps() -> list[Sweep]:
    return [
        _sweep("batch", {n: _SAME._replace(batch=n) for n in (1, 2, 4, 8, 16, 32)}),
        _sweep("side", {n: _SAME._replace(size=(n, n)) for n in (8, 16, 32, 64, 128)}),
        _sweep("channels", {n: _SAME._replace(channels=(n, n, 1)) for n in (4, 8, 16, 32, 64)}),
        _sweep("kernel", {n: _SAME._replace(kernel=(n, n)) for n in (1, 2, 3, 5, 7, 9)}),
        _sweep("lhs_dilation", {n: _dilated(n) for n in (1, 2, 3, 4, 6, 8)}),
    ]


def _dilated(n: int) -> Shape:
    """A shape whose windows meet two taps, whatever the dilation."""
    return _UP._replace(lhs_dilation=(n, n), kernel=(2 * n, 2 * n))


def _sweep(title: str, shapes: dict[int, Shape]) -> Sweep:
    costs: dict[str, list[float]] = {
        "torchconv2d": [],
        "reference": [],
        "textbook": [],
        "limit": [],
    }
    for shape in shapes.values():
        data = Data(shape)
        conv = contenders.layer(shape, data)
        times = interleave(
            {
                "torchconv2d": contenders.of_layer(conv, conv.weight, data, False),
                "reference": contenders.reference(shape, data, False),
                "textbook": contenders.of_function(contenders.textbook(shape), data, False),
                **limit.field(shape, False, data.device),
            },
            rounds=9,
        )
        times["limit"], _ = limit.limit(shape, False, data.device, times)
        for name, medians in costs.items():
            medians.append(times[name].median * 1e3)
    return Sweep(title, list(shapes), costs)
