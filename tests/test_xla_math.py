"""The arithmetic of JAX's draws: multiply-add with one rounding, and error functions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from torchconv2d.random import xla_math


def nearly_halfway(dtype: type[np.floating[Any]]) -> list[np.ndarray]:
    """Sums that are not halfway between two numbers, but nearer to that than a wider type can say.

    Half a last bit of a number from 1 to 2, less or more by so little, of either sign; then others.
    """
    eps = np.finfo(dtype).eps
    generator = np.random.default_rng(5)
    c = (1 + eps * np.arange(40)).astype(dtype)
    signs = np.where(np.arange(40) % 3 > 0, 1, -1)
    below = [(1 + eps) * np.ones(40), (1 - eps) / 2 * eps * signs, c]
    above = [(1 + eps) * np.ones(40), (1 + eps) / 2 * eps * signs, c]
    others = [generator.standard_normal(2000) * 2.0 ** generator.integers(-30, 30, 2000) for _ in c]
    cancelled = [others[0], others[1], -(others[0].astype(dtype) * others[1].astype(dtype))]
    columns = zip(below, above, others[:3], cancelled, strict=True)
    return [np.concatenate(column).astype(dtype) for column in columns]


@pytest.mark.parametrize("by", ["torch or NumPy", "NumPy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_multiply_add_rounds_once(
    dtype: type[np.floating[Any]], by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "NumPy":
        monkeypatch.setattr(xla_math, "_addcmul_rounds_once", lambda dtype: False)
    a, b, c = nearly_halfway(dtype)
    found = xla_math.multiply_add(a.copy(), b, c)
    twice = a * b + c
    assert np.count_nonzero(found != twice) > 40
    for value, *factors in zip(found, a, b, c, strict=True):
        x, y, z = (Fraction(float(each)) for each in factors)
        exact = x * y + z
        beside = [np.nextafter(value, dtype(end)) for end in (-np.inf, np.inf)]
        error, *others = (abs(Fraction(float(each)) - exact) for each in (value, *beside))
        assert error <= min(others)


def test_multiply_add_of_the_largest_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla_math, "_addcmul_rounds_once", lambda dtype: False)
    for dtype in (np.float32, np.float64):
        large = np.array([np.finfo(dtype).max, np.inf, 2.0], dtype)
        half = np.array([0.5, 2.0, np.inf], dtype)
        found = xla_math.multiply_add(large.copy(), half, np.ones(3, dtype))
        assert np.array_equal(found, [large[0] / 2, np.inf, np.inf])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverse_error_function(dtype: type[np.floating[Any]]) -> None:
    """In every piece, erf undoes it, up to the rounding of u^2 and of the result."""
    small = 1 - np.logspace(-1, math.log10(np.finfo(dtype).eps), 300)
    u = np.concatenate([-small, np.linspace(-0.9, 0.9, 601), small]).astype(dtype)
    x = xla_math.erf_inv(u)
    back = np.array([math.erf(float(value)) for value in x])
    slope = 2 / math.sqrt(math.pi) * np.exp(-(x.astype(np.float64) ** 2))
    allowed = 4 * np.spacing(np.abs(x)) * slope + np.finfo(dtype).eps
    # XLA's log(1 + x) uses down to -0.414 a fraction that Cephes fitted only down to -0.293.
    strained = (u * u > 0.293) & (u * u < 0.415)
    allowed[strained] *= 4
    assert (np.abs(back - u) <= allowed).all()
    assert xla_math.erf_inv(np.array([-1, 0.5, 1], dtype))[[0, 2]].tolist() == [-math.inf, math.inf]


def test_float32_error_function() -> None:
    for x in (-5.0, -3.7, -0.3, 1e-3, 0.9, 2.2, 3.8):
        value = xla_math.erf(np.float32(x))
        assert value.dtype == np.float32
        assert abs(float(value) - math.erf(float(np.float32(x)))) <= 4 * np.spacing(np.float32(1))
