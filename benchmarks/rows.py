"""The rows of the table: the times of every contender on one shape."""

from __future__ import annotations

from typing import NamedTuple

from torchconv2d.lowerings import LOWERINGS, Lowering, ZeroInsertion, choose

from . import contenders
from . import limit as limits
from .contenders import Data
from .devices import wait_for
from .shapes import Shape
from .timing import Contender, Ratio, Times, interleave, ratio


class Row(NamedTuple):
    """The times of one shape, as ratios; None if there is no such contender.

    ``reference``, ``textbook`` and ``keras`` are the other's time / the layer's; ``limit``,
    ``torch``, ``bound`` and ``best`` are the layer's time / the other's. ``torch`` is torch's own
    layer of the same size, ``bound`` an evenly padded convolution in the place of an unevenly
    padded one. ``binds`` is ``'arithmetic'`` or ``'memory'``.
    """

    shape: Shape
    lowering: str
    milliseconds: float
    limit: Ratio
    binds: str
    reference: Ratio
    textbook: Ratio
    keras: Ratio | None
    torch: Ratio | None
    bound: Ratio | None
    best: Ratio

    @property
    def limits(self) -> dict[str, float]:
        """The median times of the layer, the reference and the textbook port, over the limit."""
        layer = self.limit.median
        others = {"reference": self.reference.median, "textbook": self.textbook.median}
        return {"torchconv2d": layer, **{name: layer * each for name, each in others.items()}}


def measure(shape: Shape, training: bool, rounds: int = 15, device: str = "cpu") -> Row:
    data = Data(shape, device)
    conv = contenders.layer(shape, data)
    candidates = applicable(shape)
    functions = {
        "keras": contenders.keras(shape),
        "bound": contenders.even_bound(shape) if _is_uneven(shape) else None,
    }
    plain = contenders.plain_torch(shape, data, training)
    field: dict[str, Contender] = {
        "layer": contenders.of_layer(conv, conv.weight, data, training),
        "reference": contenders.reference(shape, data, training),
        "textbook": contenders.of_function(contenders.textbook(shape), data, training),
        **{
            lowering.__name__: contenders.of_lowering(lowering, shape, data, training)
            for lowering in candidates
        },
        **{
            name: contenders.of_function(function, data, training)
            for name, function in functions.items()
            if function is not None
        },
        **({} if plain is None else {"torch": plain}),
        **limits.field(shape, training, data.device),
    }
    times = interleave(field, rounds, wait_for(data.device))
    layer, chosen = times["layer"], choose(shape.geometry).__name__
    best = min((each.__name__ for each in candidates), key=lambda name: times[name].median)
    limit, binds = limits.limit(shape, training, data.device, times)
    return Row(
        shape,
        chosen,
        layer.median * 1e3,
        ratio(layer, limit),
        binds,
        ratio(times["reference"], layer),
        ratio(times["textbook"], layer),
        _maybe(times.get("keras"), layer),
        _maybe(layer, times.get("torch")),
        _maybe(layer, times.get("bound")),
        ratio(times[chosen], times[best]),
    )


def _is_uneven(shape: Shape) -> bool:
    uneven = any(axis.before != axis.after for axis in shape.geometry.axes)
    return uneven and not shape.is_dilated


def applicable(shape: Shape) -> list[type[Lowering]]:
    """The lowerings that apply to a shape, except zero insertion."""
    return [
        lowering
        for lowering in LOWERINGS
        if lowering is not ZeroInsertion and lowering.applies(shape.geometry)
    ]


def _maybe(one: Times | None, other: Times | None) -> Ratio | None:
    return None if one is None or other is None else ratio(one, other)
