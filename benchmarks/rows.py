"""The rows of the table: the times of every contender on one shape."""

from __future__ import annotations

from typing import NamedTuple

from torchconv2d.lowerings import LOWERINGS, Lowering, ZeroInsertion, choose

from . import contenders
from .contenders import Data
from .shapes import Shape
from .timing import Contender, Ratio, Times, interleave, ratio


class Row(NamedTuple):
    """The ratios of one shape. They are ratios of times, except ``useful``, a ratio of rates.

    ``reference``, ``textbook`` and ``keras`` are the other's time / the layer's; ``bound`` and
    ``best`` are the layer's time / the other's. None if there is no such contender.
    """

    shape: Shape
    lowering: str
    even: bool
    milliseconds: float
    reference: Ratio | None
    textbook: Ratio
    keras: Ratio | None
    bound: Ratio | None
    best: Ratio
    best_lowering: str
    useful: Ratio | None


def measure(shape: Shape, training: bool, rounds: int = 15) -> Row:
    data = Data(shape)
    conv = contenders.layer(shape, data)
    candidates = applicable(shape)
    field: dict[str, Contender] = {
        "layer": contenders.of_layer(conv, conv.weight, data, training),
        "reference": contenders.reference(shape, data, training),
        "textbook": contenders.of_function(contenders.textbook(shape), data, training),
        **{
            lowering.__name__: contenders.of_lowering(lowering, shape, data, training)
            for lowering in candidates
        },
    }
    if (keras := contenders.keras(shape)) is not None:
        field["keras"] = contenders.of_function(keras, data, training)
    plain = contenders.useful(shape)
    if shape.is_dilated:
        convolution = contenders.even_bound(plain)
        field["useful"] = contenders.of_function(convolution, Data(plain), training)
    else:
        convolution = contenders.even_bound(shape)
        field["bound"] = contenders.of_function(convolution, data, training)
    times = interleave(field, rounds)
    layer, chosen = times["layer"], choose(shape.geometry).__name__
    best = min((each.__name__ for each in candidates), key=lambda name: times[name].median)
    rate = contenders.products(shape.geometry) / contenders.products(plain.geometry)
    return Row(
        shape,
        chosen,
        all(axis.before == axis.after for axis in shape.geometry.axes),
        layer.median * 1e3,
        ratio(times["reference"], layer),
        ratio(times["textbook"], layer),
        _maybe(times.get("keras"), layer),
        _maybe(layer, times.get("bound")),
        ratio(times[chosen], times[best]),
        best,
        None if (useful := times.get("useful")) is None else _scaled(ratio(useful, layer), rate),
    )


def applicable(shape: Shape) -> list[type[Lowering]]:
    """The lowerings that apply to a shape, except zero insertion."""
    return [
        lowering
        for lowering in LOWERINGS
        if lowering is not ZeroInsertion and lowering.applies(shape.geometry)
    ]


def _maybe(one: Times | None, other: Times | None) -> Ratio | None:
    return None if one is None or other is None else ratio(one, other)


def _scaled(ratio: Ratio, factor: float) -> Ratio:
    return Ratio(*(figure * factor for figure in ratio))
