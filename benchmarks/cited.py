"""The shapes whose figures ``choose.py`` cites, and the time of every lowering."""

from __future__ import annotations

from torchconv2d.lowerings import choose

from . import contenders
from .contenders import Data
from .rows import applicable
from .shapes import Shape
from .timing import interleave

CITED = (
    Shape("one channel, dilated by 2", 32, (14, 14), (32, 1, 1), (3, 3), lhs_dilation=(2, 2)),
    Shape("one channel, 5x5", 2, (64, 64), (16, 1, 1), (5, 5)),
    Shape("one channel, large", 1, (256, 256), (64, 1, 1), (3, 3)),
    Shape("three channels, 4x4", 16, (32, 32), (64, 3, 1), (4, 4), lhs_dilation=(2, 2)),
    Shape("three channels, undilated", 4, (128, 128), (64, 3, 1), (3, 3)),
    Shape("both dilated by 2", 4, (28, 28), (64, 64, 1), (3, 3), (1, 1), (2, 2), (2, 2)),
    Shape("16 groups, both", 4, (28, 28), (64, 64, 16), (3, 3), (1, 1), (3, 3), (2, 2)),
    Shape("depthwise, both", 4, (28, 28), (64, 64, 64), (3, 3), (1, 1), (2, 2), (3, 3)),
    Shape("two of a lone channel, 5x5", 2, (28, 28), (32, 64, 32), (5, 5), lhs_dilation=(3, 3)),
    Shape("two of a lone channel, 3x3", 2, (28, 28), (32, 64, 32), (3, 3), lhs_dilation=(3, 3)),
    Shape("empty phases", 4, (28, 28), (64, 32, 1), (2, 2), lhs_dilation=(4, 4)),
)


def report() -> None:
    """Milliseconds of inference, one line per shape."""
    for shape in CITED:
        data, candidates = Data(shape), applicable(shape)
        field = {
            lowering.__name__: contenders.of_lowering(lowering, shape, data, False)
            for lowering in candidates
        }
        times = interleave(field, rounds=9)
        figures = ", ".join(f"{name} {each.median * 1e3:.2f}" for name, each in times.items())
        print(f"{shape.name:28} chosen {choose(shape.geometry).__name__}: {figures}", flush=True)
