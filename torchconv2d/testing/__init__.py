"""The bound on rounding errors of a convolution, and an assertion that two functions agree."""

from .bound import accumulator, rounding_bound, unit_roundoff
from .parity import assert_parity
from .precision import full_precision

__all__ = ["accumulator", "assert_parity", "full_precision", "rounding_bound", "unit_roundoff"]
