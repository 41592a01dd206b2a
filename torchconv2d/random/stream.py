"""A key that splits once a draw, and the stream that initializers share inside ``seeded``."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast

import numpy as np
import numpy.typing as npt

from . import xla_math
from .draws import (
    bound,
    clipped,
    float_type,
    normal_then,
    strictly_between,
    uniform,
    uniform_between,
)
from .keys import Shape, Words, fold_in_names, key, sizes_of, split
from .xla_math import Floats


class Stream:
    """A key that is split at each draw, as in ``brainstate.random.RandomState``.

    Args:
        seed: an int or a key, see :func:`key`.

    >>> stream = Stream(42)
    >>> stream.normal((2,))
    array([0.60576403, 0.7990441 ], dtype=float32)
    >>> stream.uniform((2,))
    array([0.41648638, 0.08647358], dtype=float32)
    """

    def __init__(self, seed: object) -> None:
        self.key = key(seed)

    def split(self) -> Words:
        """A new key for one draw; the stream continues with another one."""
        self.key, drawn = split(self.key)
        return drawn

    def uniform(
        self, shape: Shape, dtype: npt.DTypeLike = np.float32, low: float = 0.0, high: float = 1.0
    ) -> Floats:
        """Uniform on ``[low, high)``."""
        return uniform(self.split(), shape, dtype, low, high)

    def normal(
        self,
        shape: Shape,
        dtype: npt.DTypeLike = np.float32,
        loc: float = 0.0,
        scale: float = 1.0,
    ) -> Floats:
        """Normal around ``loc`` with standard deviation ``scale``."""
        kind = float_type(dtype)
        centre, spread = bound("loc", loc, kind), bound("scale", scale, kind)

        def scaled(values: Floats) -> Floats:
            return xla_math.flushed(xla_math.product(values, spread) + centre)

        return normal_then(self.split(), shape, kind, scaled)

    def truncated_normal(
        self,
        shape: Shape,
        dtype: npt.DTypeLike = np.float32,
        lower: float = -2.0,
        upper: float = 2.0,
        loc: float = 0.0,
        scale: float = 1.0,
    ) -> Floats:
        """Normal around ``loc``, cut to ``(lower, upper)``; rounded as in brainstate, not JAX."""
        kind = float_type(dtype)
        root = np.asarray(kind(math.sqrt(2)))
        low, high = bound("lower", lower, kind), bound("upper", upper, kind)
        centre, spread = bound("loc", loc, kind), bound("scale", scale, kind)
        below, above = (cumulative(x - centre, spread, root) for x in (low, high))
        below, above = strictly_between(kind(2) * below - kind(1), kind(2) * above - kind(1))
        least, most = strictly_between(low, high)

        def finish(u: Floats, part: slice) -> Floats:
            value = xla_math.erf_inv(u)
            if spread != 1:
                value = xla_math.product(value, spread)
            value = xla_math.product(value, root)
            value += centre  # also if it is 0, which makes -0 to 0
            return clipped(xla_math.flushed(value) if centre else value, least, most)

        return uniform_between(self.split(), sizes_of(shape), below, above, finish)

    def __repr__(self) -> str:
        return f"Stream({self.key.tolist()})"


class NamedStream(Stream):
    """The draws of one layer of Flax's linen, which depend on its name and not on other layers.

    Each draw has the key that :func:`fold_in_names` gives for the names and the draw's number, from
    1 on. So a network keeps its weights when a layer is added, removed or built in another order.

    Args:
        seed: an int or a key, see :func:`key`, the same for all layers.
        names: the names on the way to the layer.

    >>> from torchconv2d import Conv2d
    >>> with seeded(NamedStream(42, "encoder", "stem")):
    ...     stem = Conv2d((8, 8, 3), 16, 3)
    >>> stem.kernel[0, 0, :, 0]
    tensor([-0.0898, -0.1313,  0.0102], grad_fn=<SelectBackward0>)
    """

    def __init__(self, seed: object, *names: str) -> None:
        super().__init__(seed)
        self.names, self.count = names, 0
        fold_in_names(self.key, *names)  # refuses what is no name

    def split(self) -> Words:
        """The key for one draw."""
        self.count += 1
        return fold_in_names(self.key, *self.names, self.count)

    def __repr__(self) -> str:
        named = "".join(f", {name!r}" for name in self.names)
        return f"NamedStream({self.key.tolist()}{named})"


def cumulative(distance: Floats, spread: Floats, root: Floats) -> Floats:
    """The normal distribution function, in steps that each round."""
    one = root.dtype.type(1)
    with np.errstate(over="ignore", divide="ignore"):
        # Where the scale rounds to 0, all of the distribution is at its centre: 0 / 0 must be 0.
        ratio = distance / spread / root if distance else distance
    return np.asarray((one + xla_math.erf(np.asarray(ratio))) / (one + one))


_current: ContextVar[Stream | None] = ContextVar("_current", default=None)


def current() -> Stream | None:
    """The stream of the innermost surrounding :func:`seeded`, or None.

    >>> with seeded(42):
    ...     current()
    Stream([0, 42])
    """
    return _current.get()


@contextmanager
def seeded(seed: object) -> Generator[Stream]:
    """Inside this block, initializers without a seed draw from one stream, in order.

    So layers get the same weights as the reference's layers after ``brainstate.random.seed(seed)``;
    each layer draws mask, weight and bias in this order. Blocks nest. They do not affect threads
    that are started inside.

    Args:
        seed: an int or a key, see :func:`key`; or a :class:`Stream` to continue.

    Example:
        >>> from torchconv2d import Conv2d
        >>> with seeded(42):
        ...     conv = Conv2d((8, 8, 3), 16, 3)
        >>> conv.kernel[0, 0, :, 0]
        tensor([ 0.0707, -0.1114, -0.0356], grad_fn=<SelectBackward0>)
    """
    token = _current.set(seed if isinstance(seed, Stream) else Stream(seed))
    try:
        yield cast(Stream, _current.get())
    finally:
        _current.reset(token)
