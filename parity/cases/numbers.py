"""The arrays of a case: integers, whose sums are exact, and normal numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from ..definition.arrays import Array, Arrays, wide
from ..definition.convolution import Canvas, gradients, magnitude
from .case import Case

Draw = Callable[[tuple[int, ...], np.random.Generator], Array]

# Some checks add several convolutions. Their sums are up to this many times larger.
_HEADROOM = 4


def normals(case: Case) -> Arrays:
    """Standard normal numbers, rounded to the case's dtype."""
    dtype = case.torch_dtype

    def draw(shape: tuple[int, ...], random: np.random.Generator) -> Array:
        numbers = random.standard_normal(shape)
        if dtype.is_complex:
            numbers = numbers + 1j * random.standard_normal(shape)
        return wide(torch.from_numpy(np.asarray(numbers)).to(dtype))

    return _draw_all(case, draw)


def integers(case: Case, beside: Arrays | None = None) -> Arrays:
    """Small integers, some of them zero, so that the dtype holds every sum exactly.

    This is true for every order of summation. With ``beside``, sums of products with the arrays
    ``beside`` are exact too.
    """
    dtype = case.torch_dtype
    limit = 2 / torch.finfo(dtype).eps
    most, density = 4, 1.0
    while True:
        draw = partial(_integers, most=most, density=density, dtype=dtype)
        arrays = _draw_all(case, draw)
        if beside is None:
            fits = _HEADROOM * _largest_sum(case, arrays) <= limit
        else:
            fits = _largest_sum(case, _absolute_sum(arrays, beside)) <= limit
        if fits:
            return arrays
        if most > 1:
            most //= 2
        else:
            density /= 2


def _integers(
    shape: tuple[int, ...],
    random: np.random.Generator,
    most: int,
    density: float,
    dtype: torch.dtype,
) -> Array:
    numbers = random.integers(-most, most + 1, shape) * (random.random(shape) < density)
    if numbers.size and not numbers.any():  # only zeros would test nothing
        numbers.flat[random.integers(numbers.size)] = 1
    if not dtype.is_complex:
        return numbers.astype(np.float64)
    return numbers + 1j * random.integers(-most, most + 1, shape)


def _draw_all(case: Case, draw: Draw) -> Arrays:
    # Each array has its own stream, so none depends on how many numbers another draws.
    of_x, of_kernel, of_bias, of_cotangent, of_mask = np.random.default_rng(case.seed).spawn(5)
    inputs, outputs, _ = case.channels
    batch = 1 if case.batch is None else case.batch

    def images(rows: int, columns: int, channels: int, random: np.random.Generator) -> Array:
        if case.memory == "expanded":  # one column, repeated
            return np.repeat(draw((batch, rows, 1, channels), random), columns, axis=2)
        return draw((batch, rows, columns, channels), random)

    x = images(*case.size, inputs, of_x)
    kernel = draw(case.kernel_shape, of_kernel)
    bias = draw((outputs,), of_bias) if case.bias else None
    cotangent = images(*canvas(case).windows, outputs, of_cotangent)
    return Arrays(x, kernel, bias, _mask(case, of_mask), cotangent)


def canvas(case: Case) -> Canvas:
    """The places of the case's pixels and windows."""
    g = case.geometry
    return Canvas(
        case.size, case.kernel, g["stride"], g["padding"], g["lhs_dilation"], g["rhs_dilation"]
    )


def _mask(case: Case, random: np.random.Generator) -> Array | None:
    """A mask of zeros and powers of two, so that products with it are exact."""
    values = np.array([0.0, 1.0, -1.0, 2.0, 0.0])
    outputs = case.channels[1]
    match case.mask:
        case None:
            return None
        case "bool":
            return random.random(case.kernel_shape) < 0.7
        case "real":
            return random.choice(values, case.kernel_shape)
        case "taps":
            return random.choice(values, (*case.kernel, 1, 1))
        case "outputs":
            return random.choice(values, outputs)
        case "number":
            return np.array(-2.0)
        case unknown:
            raise ValueError(f"There is no mask {unknown!r}.")


def _absolute_sum(first: Arrays, second: Arrays) -> Arrays:
    def add(a: Array | None, b: Array | None) -> Any:
        return None if a is None or b is None else abs(a) + abs(b)

    return Arrays(*map(add, first, second))


def _largest_sum(case: Case, arrays: Arrays) -> float:
    """The largest sum of absolute values in the outputs and gradients, for masks of up to 2."""
    x, kernel, cotangent = arrays.x, 2 * arrays.kernel, arrays.cotangent
    sums = [
        magnitude(x, kernel, arrays.bias, **case.geometry),
        *gradients(abs(x), abs(kernel), abs(cotangent), **case.geometry),
        abs(cotangent).sum((0, 1, 2)),
    ]
    return max(float(each.max(initial=0)) for each in sums)
