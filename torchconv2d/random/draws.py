"""Floating-point draws from a key, as ``jax.random`` makes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..messages import shown
from . import xla_math
from .keys import Shape, Words, drawn, joined
from .xla_math import Floats


def float_type(dtype: npt.DTypeLike) -> type[np.floating[Any]]:
    """The type of NumPy's scalars of ``dtype``; anything but float32 and float64 is refused."""
    kind = np.dtype(dtype).type
    if kind not in (np.float32, np.float64):
        raise ValueError(f"`dtype` must be float32 or float64, got {shown(dtype)}.")
    return kind


def uniform_between(
    key: Words,
    shape: Shape,
    low: np.floating[Any],
    high: np.floating[Any],
    then: Callable[[Floats], Floats] = lambda values: values,
) -> Floats:
    """Uniform numbers of the bounds' dtype; ``then`` is applied to each block."""
    one = low.dtype.type(1)
    width, mantissa = 8 * one.itemsize, np.finfo(one).nmant
    line = (float(high - low), float(low))

    def make(words: tuple[Words, Words]) -> Floats:
        # As in JAX, the upper bits are the mantissa of a number in [1, 2).
        kept = joined(words, width)
        kept >>= width - mantissa
        kept |= one.view(kept.dtype)
        values = xla_math.polynomial(line, kept.view(one.dtype) - one)
        return then(np.maximum(values, low, out=values))

    return drawn(key, shape, one.dtype, make)


def uniform(
    key: Words,
    shape: Shape = (),
    dtype: npt.DTypeLike = np.float32,
    minval: float = 0.0,
    maxval: float = 1.0,
) -> Floats:
    """Uniform on ``[minval, maxval)``, in steps of the range / 2^23, or / 2^52 in float64.

    >>> from torchconv2d.random import key
    >>> uniform(key(7), (2,), minval=-1.0)
    array([0.34817982, 0.9492338 ], dtype=float32)
    """
    kind = float_type(dtype)
    return uniform_between(key, shape, kind(float(minval)), kind(float(maxval)))


def normal(key: Words, shape: Shape = (), dtype: npt.DTypeLike = np.float32) -> Floats:
    """Standard normal: the inverse distribution function of uniform numbers.

    >>> from torchconv2d.random import key
    >>> normal(key(7), (2,))
    array([0.45123515, 1.9534509 ], dtype=float32)
    """
    kind = float_type(dtype)
    root = kind(math.sqrt(2))
    low = np.nextafter(kind(-1), kind(0))
    return uniform_between(key, shape, low, kind(1), lambda u: xla_math.erf_inv(u) * root)


def truncated_normal(
    key: Words,
    lower: float,
    upper: float,
    shape: Shape = (),
    dtype: npt.DTypeLike = np.float32,
) -> Floats:
    """Standard normal, cut to the open interval ``(lower, upper)``.

    >>> from torchconv2d.random import key
    >>> truncated_normal(key(7), -1.0, 1.0, (2,))
    array([0.30246016, 0.9307785 ], dtype=float32)
    """
    kind = float_type(dtype)
    root, low, high = kind(math.sqrt(2)), kind(float(lower)), kind(float(upper))
    inside = strictly_between(low, high)
    scale = kind(1) / root  # XLA divides by a constant like this
    return uniform_between(
        key,
        shape,
        xla_math.erf(low * scale),
        xla_math.erf(high * scale),
        lambda u: np.clip(xla_math.erf_inv(u) * root, *inside),
    )


def strictly_between(low: np.floating[Any], high: np.floating[Any]) -> tuple[Any, Any]:
    """The smallest and the largest number strictly between two."""
    return np.nextafter(low, np.inf, dtype=low.dtype), np.nextafter(high, -np.inf, dtype=low.dtype)
