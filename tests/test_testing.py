"""The tools for users' own ports: the bound, and ports that pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from cases import normal_numbers, whole_numbers
from hand_port import conv, inputs, mistakes
from torch import Tensor

from parity.definition.convolution import convolve
from torchconv2d import Conv2d
from torchconv2d.testing import assert_parity, rounding_bound, unit_roundoff

pytestmark = pytest.mark.usefixtures("one_thread")  # hundreds of tiny convolutions


# The bound


def test_the_bound_is_its_formula() -> None:
    y64, magnitude = torch.tensor([-2.0, 0.0]).double(), torch.tensor([8.0, 1.0]).double()
    bound = rounding_bound(y64, magnitude, 30, torch.float32)
    assert torch.equal(bound, torch.tensor([32 * 8 + 2, 32]).double() * 2**-24)
    bound = rounding_bound(y64, magnitude, torch.tensor([30, 6]), torch.bfloat16)
    assert torch.equal(bound, torch.tensor([32 * 8 * 2**-24 + 2 * 2**-8, 8 * 2**-24]).double())
    bound = rounding_bound(y64, magnitude, 30, torch.complex64)
    assert torch.equal(bound, torch.tensor([4 * 34 * 8 + 2, 4 * 34]).double() * 2**-24)


def three_products(x: Tensor, y: Tensor) -> Tensor:
    ac, bd = x.real * y.real, x.imag * y.imag
    return torch.complex(ac - bd, (x.real + x.imag) * (y.real + y.imag) - ac - bd)


def gauss(x: Tensor, y: Tensor) -> Tensor:
    first, second = (x.real + x.imag) * y.real, x.real * (y.imag - y.real)
    return torch.complex(first - x.imag * (y.real + y.imag), first + second)


@pytest.mark.parametrize("multiply", [torch.mul, three_products, gauss])
def test_every_way_to_multiply_complex_numbers_is_within_the_bound(multiply: Any) -> None:
    x, y = (normal_numbers((100_000,), seed, torch.complex64) for seed in (1, 2))
    exact = x.to(torch.complex128) * y.to(torch.complex128)
    error = (multiply(x, y) - exact).abs()
    assert torch.all(error < rounding_bound(exact, exact.abs(), 1, torch.complex64))
    if multiply is not torch.mul:  # The formula for real numbers would not be enough.
        assert torch.any(error > 3 * unit_roundoff(torch.complex64) * exact.abs())


# Ports that pass


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float32, torch.float64, torch.complex64], ids=str
)
def test_a_port_passes_with_its_gradients(dtype: torch.dtype) -> None:
    # The dtype in which torch sums bfloat16 gradients depends on the processor.
    wide = torch.float32 if dtype == torch.bfloat16 else dtype

    def port(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        if x.dtype != dtype:  # `assert_parity` also calls it in float64
            return conv(x, kernel, bias)
        return conv(x.to(wide), kernel.to(wide)).to(dtype) + bias

    def taps(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """The same sums in another order."""
        x, kernel = torch.nn.functional.pad(x.to(wide), (0, 0, 1, 1, 1, 1)), kernel.to(wide)
        places = [(u, v) for v in reversed(range(3)) for u in range(3)]
        y = sum(x[:, u : u + 9, v : v + 8] @ kernel[u, v] for u, v in places)
        return y.to(dtype) + bias

    assert 0 < assert_parity(port, taps, inputs(dtype), vjp=torch.func.vjp) <= 1


def test_float16_passes() -> None:
    """Only forward, since torch sums float16 gradients in float16 on a CPU."""
    assert 0 < assert_parity(conv, conv, inputs(torch.float16)) <= 1


def test_the_ratio_is_zero_without_an_error() -> None:
    assert assert_parity(conv, conv, inputs(numbers=whole_numbers), vjp=torch.func.vjp) == 0
    x, kernel, bias = inputs()
    assert assert_parity(conv, conv, (x[:0], kernel, bias), vjp=torch.func.vjp) == 0


def test_the_bound_is_not_a_loose_one() -> None:
    """It detects an accumulator that rounds each partial sum to the output's dtype."""

    def narrow(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        padded, y = torch.nn.functional.pad(x, (0, 0, 1, 1, 1, 1)), bias.expand(2, 9, 8, 6)
        for u, v, c in np.ndindex(3, 3, 4):
            y = y + padded[:, u : u + 9, v : v + 8, c, None] * kernel[u, v, c]
        return y

    assert assert_parity(conv, narrow, inputs()) <= 1
    for dtype in (torch.float16, torch.bfloat16):
        assert mistakes(conv, narrow, inputs(dtype)) == "no common porting mistake"


def numpy_vjp(function: Any, *primals: np.ndarray) -> tuple[np.ndarray, Any]:
    """Like ``jax.vjp``: arrays, and the transpose without torch's complex conjugation."""
    value = function(*primals).astype(primals[0].dtype)

    def pullback(cotangent: np.ndarray) -> list[np.ndarray]:
        assert cotangent.dtype == value.dtype
        pull = torch.func.vjp(conv, *map(torch.tensor, primals))[1]
        return [each.numpy().conj() for each in pull(torch.from_numpy(cotangent.conj()))]

    return value, pullback


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
def test_arrays_and_their_gradients(dtype: torch.dtype) -> None:
    arrays = [tensor.numpy() for tensor in inputs(dtype)]
    for array in arrays:
        array.setflags(write=False)  # like JAX's arrays
    assert 0 < assert_parity(conv, convolve, arrays, vjp=numpy_vjp) <= 1
    assert 0 < assert_parity(conv, convolve, arrays) <= 1  # in float64


def test_a_module_brings_its_own_weights() -> None:
    x, kernel, bias = inputs()
    layer = Conv2d((9, 8, 4), 6, 3, w_init=kernel, b_init=bias)
    assert 0 < assert_parity(layer, lambda x: conv(x, kernel, bias), [x], vjp=torch.func.vjp) <= 1
    mistake = mistakes(layer, lambda x: conv(x, kernel.flip(0, 1), bias), [x])
    assert mistake == "weight flipped along (2, 3)"
    assert torch.equal(layer.kernel, kernel)
    assert layer.weight.grad is None
    masked = Conv2d((9, 8, 4), 6, 3, w_init=kernel, b_init=bias, w_mask=kernel > 0)
    assert 0 < assert_parity(masked, lambda x: conv(x, kernel.relu(), bias), [x]) <= 1
