"""The table under pytest-benchmark, for statistics and comparisons of runs: `make bench`."""

import pytest

from . import contenders
from .shapes import SHAPES

CONTENDERS = ("torchconv2d", "reference", "textbook", "bound")


@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_layer(benchmark, shape, contender, training):
    if contender == "bound" and shape.is_dilated:
        pytest.skip("a dilated input has no evenly padded bound")
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
