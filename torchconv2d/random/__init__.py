"""JAX's random draws without JAX: the same seed gives the same numbers, bit for bit.

The functions have the names, arguments and results of those in ``jax.random`` (JAX 0.10, with its
defaults: threefry2x32, partitionable), and :class:`Stream` those of ``brainstate.random``.
:class:`NamedStream` has the keys of Flax's linen. Arrays are NumPy's. torch's
generators are not used.

A ``key`` is anything that :func:`key` takes or returns, a ``shape`` an int or several. The dtype is
float32 or float64, in :func:`bits` uint32 or uint64; any other raises a ``ValueError``.

    >>> from torchconv2d import random
    >>> random.normal(random.key(7), (2, 3)).shape
    (2, 3)
"""

from .draws import normal, truncated_normal, uniform
from .keys import Shape, Words, bits, fold_in, fold_in_names, key, split
from .stream import NamedStream, Stream, current, seeded

__all__ = [
    "NamedStream",
    "Shape",
    "Stream",
    "Words",
    "bits",
    "current",
    "fold_in",
    "fold_in_names",
    "key",
    "normal",
    "seeded",
    "split",
    "truncated_normal",
    "uniform",
]


def __dir__() -> list[str]:
    return __all__
