"""JAX's random draws without JAX: the same seed gives the same numbers, bit for bit.

The functions have the names, arguments and results of those in ``jax.random`` (JAX 0.10, with its
defaults: threefry2x32, partitionable), and :class:`Stream` those of ``brainstate.random``. Words of
32 bits come from the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random
numbers: as easy as 1, 2, 3" (SC 2011); how JAX counts, and makes floats of the words, is said where
it is done. Arrays are NumPy's; torch's generators are neither read nor moved.

A ``key`` is what :func:`key` takes or makes, a ``shape`` an int or several. Another ``dtype`` than
float32 or float64 (of :func:`bits`, uint32 or uint64) is a ``ValueError``.

    >>> from torchconv2d import random
    >>> random.normal(random.key(7), (2, 3)).shape
    (2, 3)
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from . import arguments, special
from .messages import shown
from .special import Floats

Words: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
Shape: TypeAlias = int | Sequence[int]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_MASK = 0xFFFFFFFF
# What one pass makes: few enough to stay in the processor's cache, so many that calls cost nothing.
_BLOCK = 1 << 15


def key(seed: object) -> Words:
    """A key, an array of two uint32 words.

    Args:
        seed: an int, of which the low 32 bits count (the high word is 0, as JAX makes it without
            ``jax_enable_x64``); or a pair of 32-bit words, such as another key,
            ``jax.random.key_data`` or JAX's key itself.

    Raises:
        TypeError: neither.
        ValueError: not two words of 32 bits, or a JAX key of another generator.

    >>> key(7)
    array([0, 7], dtype=uint32)
    """
    number = arguments.as_index(seed)
    if number is not None:
        return np.array([0, number & 0xFFFFFFFF], np.uint32)
    kind = str(getattr(seed, "dtype", ""))
    if kind.startswith("key<"):
        if kind != "key<fry>":
            raise ValueError(f"`seed` must be a threefry2x32 key, got one of the type {kind}.")
        # Whoever holds such a key has imported JAX.
        seed = sys.modules["jax"].random.key_data(seed)
    try:
        words = np.asarray(cast(Any, seed))
    except ValueError as error:
        raise ValueError(f"`seed` must be an int or a pair of words: {error}") from error
    if words.dtype.kind not in "iu":
        raise TypeError(
            f"`seed` must be an int or a pair of 32-bit words, such as a key, got {shown(seed)}."
        )
    if words.shape != (2,) or not all(0 <= word < 2**32 for word in words.tolist()):
        raise ValueError(f"A key must be two words from 0 to 2**32 - 1, got {shown(seed)}.")
    return words.astype(np.uint32)


_key = key  # where an argument has this name


def _threefry(key: Words, start: int, count: int) -> tuple[Words, Words]:
    """Both words that ``count`` 64-bit numbers from ``start`` on, of one high word, encrypt to."""
    first, second = key.tolist()
    words = (first, second, first ^ second ^ _PARITY)
    low = np.arange(start & _MASK, (start & _MASK) + count, dtype=np.uint32)
    low += second
    high = np.full_like(low, ((start >> 32) + first) & _MASK)
    shifted = np.empty_like(low)
    for i in range(5):
        for rotation in _ROTATIONS[i % 2]:
            high += low
            np.left_shift(low, rotation, out=shifted)
            low >>= 32 - rotation
            low |= shifted
            low ^= high
        high += words[(i + 1) % 3]
        low += (words[(i + 2) % 3] + i + 1) & _MASK
    return high, low


def _sizes(shape: Shape, name: str = "shape") -> tuple[int, ...]:
    sizes = shape if isinstance(shape, (Sequence, np.ndarray)) else (shape,)
    return tuple(arguments.integer(name, size, 0) for size in sizes)


def _drawn(
    key: Words,
    shape: Shape,
    dtype: npt.DTypeLike,
    make: Callable[[tuple[Words, Words]], npt.NDArray[Any]],
) -> npt.NDArray[Any]:
    """An array of what ``make`` makes of each entry's words, its row-major index encrypted."""
    key, sizes = _key(key), _sizes(shape)
    out = np.empty(math.prod(sizes), dtype)
    # One after the other: threads were slower, handing over the interpreter at each short step.
    for start in range(0, out.size, _BLOCK):
        part = out[start : start + _BLOCK]
        part[:] = make(_threefry(key, start, part.size))
    return out.reshape(sizes)


def split(key: Words, num: Shape = 2) -> Words:
    """``num`` new keys: ``(num, 2)``, or ``(*num, 2)``. What was split should not be used again.

    >>> first, second = split(key(7))
    >>> first
    array([3625411723, 1954958720], dtype=uint32)
    """
    sizes = _sizes(num, "num")
    words = np.stack(_threefry(_key(key), 0, math.prod(sizes)), axis=-1)
    return words.reshape(*sizes, 2)


def _joined(words: tuple[Words, Words], width: int) -> Words:
    """Random integers of 32 or 64 bits, one a pair of words."""
    high, low = words
    return cast(Words, high ^ low if width == 32 else (high.astype(np.uint64) << 32) | low)


def bits(key: Words, shape: Shape = (), dtype: npt.DTypeLike = np.uint32) -> Words:
    """Random bits, as unsigned integers of 32 or 64 of them.

    >>> bits(key(7), (2,))
    array([2895194379, 4185947648], dtype=uint32)
    """
    width = {"uint32": 32, "uint64": 64}.get(np.dtype(dtype).name)
    if width is None:
        raise ValueError(f"`dtype` must be uint32 or uint64, got {shown(dtype)}.")
    return _drawn(key, shape, dtype, lambda words: _joined(words, width))


def _float_type(dtype: npt.DTypeLike) -> type[np.floating[Any]]:
    kind = np.dtype(dtype).type
    if kind not in (np.float32, np.float64):
        raise ValueError(f"`dtype` must be float32 or float64, got {shown(dtype)}.")
    return kind


def _uniform(
    key: Words,
    shape: Shape,
    low: np.floating[Any],
    high: np.floating[Any],
    then: Callable[[Floats], Floats] = lambda values: values,
) -> Floats:
    """Uniform numbers of the type of the bounds, block by block through ``then``."""
    one = low.dtype.type(1)
    width, mantissa = 8 * one.itemsize, np.finfo(one).nmant
    line = (float(high - low), float(low))

    def make(words: tuple[Words, Words]) -> Floats:
        # The upper bits are the mantissa of a number in [1, 2).
        kept = _joined(words, width)
        kept >>= width - mantissa
        kept |= one.view(kept.dtype)
        values = special.polynomial(line, kept.view(one.dtype) - one)
        return then(np.maximum(values, low, out=values))

    return _drawn(key, shape, one.dtype, make)


def uniform(
    key: Words,
    shape: Shape = (),
    dtype: npt.DTypeLike = np.float32,
    minval: float = 0.0,
    maxval: float = 1.0,
) -> Floats:
    """Uniform on ``[minval, maxval)``, in steps of a part in 2^23, in float64 of one in 2^52.

    >>> uniform(key(7), (2,), minval=-1.0)
    array([0.34817982, 0.9492338 ], dtype=float32)
    """
    kind = _float_type(dtype)
    return _uniform(key, shape, kind(float(minval)), kind(float(maxval)))


def normal(key: Words, shape: Shape = (), dtype: npt.DTypeLike = np.float32) -> Floats:
    """Standard normal: the inverse of its distribution function at uniform numbers.

    >>> normal(key(7), (2,))
    array([0.45123515, 1.9534509 ], dtype=float32)
    """
    kind = _float_type(dtype)
    root = kind(math.sqrt(2))
    low = np.nextafter(kind(-1), kind(0))
    return _uniform(key, shape, low, kind(1), lambda u: special.erf_inv(u) * root)


def truncated_normal(
    key: Words,
    lower: float,
    upper: float,
    shape: Shape = (),
    dtype: npt.DTypeLike = np.float32,
) -> Floats:
    """Standard normal, cut to the open interval ``(lower, upper)``.

    >>> truncated_normal(key(7), -1.0, 1.0, (2,))
    array([0.30246016, 0.9307785 ], dtype=float32)
    """
    kind = _float_type(dtype)
    root, low, high = kind(math.sqrt(2)), kind(float(lower)), kind(float(upper))
    inside = _inside(low, high)
    scale = kind(1) / root  # XLA divides by a constant in this way
    return _uniform(
        key,
        shape,
        special.erf(low * scale),
        special.erf(high * scale),
        lambda u: np.clip(special.erf_inv(u) * root, *inside),
    )


def _inside(low: np.floating[Any], high: np.floating[Any]) -> tuple[Any, Any]:
    """The least and the greatest number between two."""
    return np.nextafter(low, np.inf, dtype=low.dtype), np.nextafter(high, -np.inf, dtype=low.dtype)


class Stream:
    """A key that splits once a draw, as ``brainstate.random.RandomState`` does.

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
        """A key of its own for one draw; the stream goes on with another."""
        self.key, drawn = split(self.key)
        return drawn

    def uniform(
        self, shape: Shape, dtype: npt.DTypeLike = np.float32, low: float = 0.0, high: float = 1.0
    ) -> Floats:
        """Uniform on ``[low, high)``."""
        return uniform(self.split(), shape, dtype, low, high)

    def normal(self, shape: Shape, dtype: npt.DTypeLike = np.float32) -> Floats:
        """Standard normal."""
        return normal(self.split(), shape, dtype)

    def truncated_normal(
        self,
        shape: Shape,
        dtype: npt.DTypeLike = np.float32,
        lower: float = -2.0,
        upper: float = 2.0,
        loc: float = 0.0,
        scale: float = 1.0,
    ) -> Floats:
        """Normal around ``loc``, cut to ``(lower, upper)``; rounded otherwise than JAX's own."""
        kind = _float_type(dtype)
        root = kind(math.sqrt(2))
        low, high, centre, spread = (kind(float(x)) for x in (lower, upper, loc, scale))
        below, above = (
            (kind(1) + special.erf((x - centre) / spread / root)) / kind(2) for x in (low, high)
        )
        ends = _inside(kind(2) * below - kind(1), kind(2) * above - kind(1))
        inside = _inside(low, high)

        def finish(u: Floats) -> Floats:
            value = special.erf_inv(u)
            value *= spread
            value *= root
            value += centre
            return np.clip(value, *inside, out=value)

        return _uniform(self.split(), shape, *ends, finish)

    def __repr__(self) -> str:
        return f"Stream({self.key.tolist()})"


_current: ContextVar[Stream | None] = ContextVar("_current", default=None)


def current() -> Stream | None:
    """The stream of the innermost :func:`seeded` around, or None.

    >>> with seeded(42):
    ...     current()
    Stream([0, 42])
    """
    return _current.get()


@contextmanager
def seeded(seed: object) -> Generator[Stream]:
    """Initializers without a seed of their own draw from one stream inside, in order.

    So layers get the weights that ``brainstate.random.seed(seed)`` gives the reference's; each
    draws its mask, its weight and its bias. Blocks nest. A thread that is started inside is not
    concerned.

    Args:
        seed: an int or a key, see :func:`key`; or a :class:`Stream`, to go on with.

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
