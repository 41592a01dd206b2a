"""Floating-point draws from a key, as ``jax.random`` makes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import arguments
from ..messages import shown
from ..versions import numbers_only
from . import xla_math
from .keys import Shape, Words, drawn, joined, sizes_of
from .xla_math import Floats

# One or several numbers. Arrays may be NumPy's, JAX's or torch's.
Bound = npt.ArrayLike


def float_type(dtype: npt.DTypeLike) -> type[np.floating[Any]]:
    """The type of NumPy's scalars of ``dtype``; anything but float32 and float64 is refused."""
    kind = np.dtype(dtype).type
    if kind not in (np.float32, np.float64):
        raise ValueError(f"`dtype` must be float32 or float64, got {shown(dtype)}.")
    return kind


def bound(name: str, value: Any, kind: type[np.floating[Any]]) -> Floats:
    """The number or array in this dtype, with zero for denormal numbers, never -0."""
    try:
        array: Any = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    except ValueError as error:
        raise ValueError(f"`{name}` must be an array of numbers: {error}") from error
    if array.ndim == 0:
        array = np.asarray(arguments.number(name, value))
    elif array.dtype.kind not in "biuf" and array.dtype.type.__module__ != "ml_dtypes":
        raise TypeError(f"`{name}` must hold real numbers, got an array of {array.dtype}.")
    with np.errstate(over="ignore"):
        return np.asarray(xla_math.flushed(array.astype(kind)) + kind(0))


def bounded_shape(shape: Shape | None, **bounds: Floats) -> tuple[int, ...]:
    """The sizes of ``shape``, to which the bounds must broadcast; their own shape if it is None."""
    named = ", ".join(f"`{name}` of the shape {array.shape}" for name, array in bounds.items())
    try:
        together = np.broadcast_shapes(*(array.shape for array in bounds.values()))
    except ValueError:
        raise ValueError(f"{named} do not broadcast to one shape.") from None
    if shape is None:
        return together
    sizes = sizes_of(shape)
    # A longer shape fits only with each size the same or 1, and never gains axes.
    fits = len(together) <= len(sizes) and all(
        size in (1, wanted) for size, wanted in zip(together[::-1], sizes[::-1], strict=False)
    )
    if not fits:
        raise ValueError(f"{named} do not broadcast to `shape` (={sizes}).")
    return sizes


def entries(array: Floats, sizes: tuple[int, ...]) -> Callable[[slice], Floats]:
    """A function that gives a bound's entries for a slice of a draw, in row-major order.

    For a bound of one number it gives this number.
    """
    if array.size == 1:
        return lambda part: array.reshape(1)
    flat = np.broadcast_to(array, sizes).flat
    return lambda part: flat[part]


Then = Callable[[Floats, slice], Floats]


def uniform_between(
    key: Words, sizes: tuple[int, ...], low: Floats, high: Floats, then: Then | None = None
) -> Floats:
    """Uniform numbers between bounds from :func:`bound`, in their dtype.

    ``then`` is applied to each block of numbers, with the block's slice.
    """
    info = np.finfo(low.dtype)
    width, mantissa = info.bits, info.nmant
    low, high = np.broadcast_arrays(low, high)
    power = xla_math.lift(low, high)
    with np.errstate(over="ignore", invalid="ignore"):
        span = xla_math.lowered(high * power - low * power, power) * power
    steps, lows, powers = (
        entries(np.asarray(x), sizes) for x in (span * info.eps, low * power, power)
    )
    small, rising, lone = bool((power > 1).any()), bool((span >= 0).all()), low.size == 1
    kind = getattr(torch, low.dtype.name)

    def make(words: tuple[Tensor, Tensor], part: slice) -> Tensor:
        # In JAX the upper bits are the mantissa of a number in [1, 2), less 1, times the span. To
        # count steps of the span gives the same, since the multiply-add rounds once.
        counts = joined(words, width).bitwise_right_shift_(width - mantissa)
        values = counts.bitwise_and_((1 << mantissa) - 1).to(kind).numpy()
        step, low = steps(part), lows(part)
        if lone:
            values = xla_math.polynomial((float(step[0]), float(low[0])), values)
        else:
            values = xla_math.multiply_add(values, step, low)
        if not rising:
            _raise_to(values, low)
        if small:
            values = xla_math.lowered(values, powers(part))
        return torch.from_numpy(values if then is None else then(values, part))  # pyright: ignore

    return drawn(key, sizes, kind, make)


def uniform(
    key: Words,
    shape: Shape | None = (),
    dtype: npt.DTypeLike = np.float32,
    minval: Bound = 0.0,
    maxval: Bound = 1.0,
) -> Floats:
    """Uniform on ``[minval, maxval)``, in steps of the range / 2^23, or / 2^52 in float64.

    Bounds may be arrays that broadcast to ``shape``; with None, they give the shape.

    >>> from torchconv2d.random import key
    >>> uniform(key(7), (2,), minval=-1.0)
    array([0.34817982, 0.9492338 ], dtype=float32)
    >>> uniform(key(7), (2,), minval=[-1.0, 5.0], maxval=[1.0, 6.0])
    array([0.34817982, 5.974617  ], dtype=float32)
    """
    kind = float_type(dtype)
    low, high = bound("minval", minval, kind), bound("maxval", maxval, kind)
    return uniform_between(key, bounded_shape(shape, minval=low, maxval=high), low, high)


def normal(key: Words, shape: Shape = (), dtype: npt.DTypeLike = np.float32) -> Floats:
    """Standard normal: the inverse distribution function of uniform numbers.

    >>> from torchconv2d.random import key
    >>> normal(key(7), (2,))
    array([0.45123515, 1.9534509 ], dtype=float32)
    """
    return normal_then(key, shape, float_type(dtype), lambda values: values)


def normal_then(
    key: Words, shape: Shape, kind: type[np.floating[Any]], then: Callable[[Floats], Floats]
) -> Floats:
    """``then`` applied to standard normal numbers, block by block, while they are in the cache."""
    root = kind(math.sqrt(2))
    low, high = np.asarray(np.nextafter(kind(-1), kind(0))), np.asarray(kind(1))

    def finish(u: Floats, part: slice) -> Floats:
        values = xla_math.erf_inv(u)
        values *= root
        return then(values)

    return uniform_between(key, sizes_of(shape), low, high, finish)


def truncated_normal(
    key: Words,
    lower: Bound,
    upper: Bound,
    shape: Shape | None = None,
    dtype: npt.DTypeLike = np.float32,
) -> Floats:
    """Standard normal, cut to the open interval ``(lower, upper)``.

    As in JAX, float32 draws between wide bounds go up to 5.17. One of 2^23 is next to ``lower``.

    Bounds may be arrays that broadcast to ``shape``; with None, they give the shape.

    >>> from torchconv2d.random import key
    >>> truncated_normal(key(7), -1.0, 1.0, (2,))
    array([0.30246016, 0.9307785 ], dtype=float32)
    >>> truncated_normal(key(7), [-1.0, 0.5], [1.0, 2.0])
    array([0.30246016, 1.8807299 ], dtype=float32)
    """
    kind = float_type(dtype)
    root = kind(math.sqrt(2))
    low, high = bound("lower", lower, kind), bound("upper", upper, kind)
    sizes = bounded_shape(shape, lower=low, upper=high)
    least, most = (entries(np.asarray(x), sizes) for x in strictly_between(low, high))
    scale = kind(1) / root  # XLA divides by a constant like this
    scaled = (xla_math.product(x, np.asarray(scale)) + kind(0) for x in (low, high))  # -0 is 0
    below, above = (xla_math.erf(np.asarray(x)) for x in scaled)

    def finish(u: Floats, part: slice) -> Floats:
        return clipped(xla_math.erf_inv(u) * root, least(part), most(part))

    return uniform_between(key, sizes, below, above, finish)


def _raise_to(values: Floats, least: Floats) -> None:
    """Replace the values that are below ``least``. NumPy takes seven times as long."""
    with numbers_only():
        raised = torch.from_numpy(values)  # pyright: ignore
        torch.maximum(raised, torch.from_numpy(least), out=raised)  # pyright: ignore


def strictly_between(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The smallest and the largest number strictly between two; zero if it is denormal."""
    pair = np.nextafter(low, np.inf, dtype=low.dtype), np.nextafter(high, -np.inf, dtype=low.dtype)
    least, most = (np.asarray(xla_math.flushed(x) + low.dtype.type(0)) for x in pair)
    return least, most


def clipped(values: Floats, least: Floats, most: Floats) -> Floats:
    """The values, which it may overwrite, cut to an interval. As in XLA, -0 is below 0."""
    inside = values.max(initial=-np.inf) <= most.min(initial=np.inf)  # the quicker question
    above = False if inside else values > most
    _raise_to(values, least)
    if np.any(above):
        values = np.where(above, most, values)
    if (least == 0).any():
        values += np.where(least == 0, 0.0, -0.0).astype(values.dtype)
    return values
