"""Bounds on rounding errors, and comparisons of layers and of whole networks within them."""

from .bound import accumulator, rounding_bound, unit_roundoff
from .networks import Comparison, Judgement, Recording, compare, record
from .parity import assert_parity
from .precision import full_precision

__all__ = [
    "Comparison",
    "Judgement",
    "Recording",
    "accumulator",
    "assert_parity",
    "compare",
    "full_precision",
    "record",
    "rounding_bound",
    "unit_roundoff",
]


def __dir__() -> list[str]:
    return __all__
