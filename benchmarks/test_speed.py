"""The table under pytest-benchmark, for statistics and to compare runs: `make bench`."""

import pytest

from . import contenders
from .shapes import SHAPES

# The evenly padded bound is only for undilated inputs.
PAIRS = [
    pytest.param(shape, contender, id=f"{shape.name}-{contender}")
    for shape in SHAPES
    for contender in ("torchconv2d", "reference", "textbook", "bound")
    if contender != "bound" or not shape.is_dilated
]


@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize(("shape", "contender"), PAIRS)
def test_layer(benchmark, shape, contender, training):
    data = contenders.Data(shape)
    match contender:
        case "torchconv2d":
            conv = contenders.layer(shape, data)
            call = contenders.of_layer(conv, conv.weight, data, training)
        case "reference":
            call = contenders.reference(shape, data, training)
        case "textbook":
            call = contenders.of_function(contenders.textbook(shape), data, training)
        case _:
            call = contenders.of_function(contenders.even_bound(shape), data, training)
    benchmark.group = f"{shape.name}, {'training' if training else 'forward'}"
    benchmark.pedantic(call, rounds=5, iterations=3, warmup_rounds=2)
