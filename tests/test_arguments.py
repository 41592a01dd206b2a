"""Every refusal, and odd arguments that are accepted."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from cases import BASE, make_input, make_layer, normal_numbers
from refusals import INVALID

from torchconv2d import Conv2d, init


@pytest.mark.parametrize("name", INVALID)
def test_refused_with_rule_argument_and_value(name: str) -> None:
    arguments, error, fragments = INVALID[name]
    random_state = torch.get_rng_state()
    with pytest.raises(error) as caught:
        Conv2d(**{**BASE, **arguments})
    assert type(caught.value) is error
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize(
    ("arguments", "attribute", "expected"),
    [
        ({"kernel_size": 3}, "kernel_size", (3, 3)),
        ({"kernel_size": [3]}, "kernel_size", (3, 3)),
        ({"kernel_size": range(2, 4)}, "kernel_size", (2, 3)),
        ({"kernel_size": np.int8(3)}, "kernel_size", (3, 3)),
        ({"kernel_size": (np.int64(3), torch.tensor(2))}, "kernel_size", (3, 2)),
        ({"stride": np.array(2)}, "stride", (2, 2)),
        ({"lhs_dilation": [2, 3]}, "lhs_dilation", (2, 3)),
        ({"rhs_dilation": (2,)}, "rhs_dilation", (2, 2)),
        ({"in_size": [7, 6, 4]}, "in_size", (7, 6, 4)),
        ({"in_size": np.array([7, 6, 4])}, "in_size", (7, 6, 4)),
        ({"in_size": torch.Size((7, 6, 4))}, "in_size", (7, 6, 4)),
        ({"out_channels": np.uint8(6)}, "out_channels", 6),
        ({"groups": np.int32(2)}, "groups", 2),
        ({"padding": np.int64(1)}, "padding", ((1, 1), (1, 1))),
        ({"padding": (1, np.int64(2))}, "padding", ((1, 1), (2, 2))),
        ({"padding": [(np.int64(1), 2)]}, "padding", ((1, 2), (1, 2))),
        ({"padding": [[0, 1], [2, 3]]}, "padding", ((0, 1), (2, 3))),
        ({"padding": "VALID"}, "padding", "VALID"),
        ({"channel_first": np.True_}, "channel_first", True),
        ({"channel_first": 0}, "channel_first", False),
        ({"name": "stem"}, "name", "stem"),
    ],
)
def test_taken_and_made_canonical(arguments: Any, attribute: str, expected: Any) -> None:
    value = getattr(Conv2d(**{**BASE, **arguments}), attribute)
    assert value == expected
    assert type(value) is type(expected)
    if isinstance(value, tuple):
        assert [type(entry) for entry in value] == [type(entry) for entry in expected]


class Quantity:
    """A number with a unit, with the interface of ``saiunit`` and ``brainunit``."""

    def __init__(self, mantissa: Any, unit: str, scale: float = 1.0) -> None:
        self.mantissa = np.asarray(mantissa)
        self.unit = unit
        self.scale = scale
        self.dim = self

    @property
    def is_dimensionless(self) -> bool:
        return self.unit == "1"

    def to_decimal(self) -> Any:
        return self.mantissa * self.scale


@pytest.mark.parametrize("argument", ["w_init", "b_init", "w_mask"])
def test_a_quantity_is_its_number_or_refused_by_its_unit(argument: str) -> None:
    layer = Conv2d(**BASE, **{"b_init": 0.0, argument: Quantity(3.0, "1", scale=0.5)})
    value = {"w_init": layer.weight, "b_init": layer.bias, "w_mask": layer.w_mask}[argument]
    assert value is not None
    assert torch.all(value == 1.5)
    with pytest.raises(TypeError, match=rf"{argument}.*mV"):
        Conv2d(**BASE, **{argument: Quantity(3.0, "mV")})


KERNEL = np.arange(3 * 2 * 4 * 6).reshape(3, 2, 4, 6) - 70


@pytest.mark.parametrize(
    "kernel",
    [
        KERNEL,
        KERNEL.tolist(),
        KERNEL.astype(np.float16),
        KERNEL.astype(np.longdouble),
        KERNEL[::-1][::-1],
        np.asfortranarray(KERNEL),
        torch.from_numpy(KERNEL),
        torch.from_numpy(KERNEL).bfloat16(),
        torch.from_numpy(KERNEL).double().requires_grad_(),
        lambda shape: KERNEL.reshape(shape).tolist(),
    ],
    ids=lambda kernel: getattr(type(kernel), "__name__", "?"),
)
def test_any_array_is_cast_to_the_layers_dtype(kernel: Any) -> None:
    for dtype in (torch.float32, torch.complex128):
        layer = Conv2d(**BASE, w_init=kernel, dtype=dtype)
        assert layer.weight.dtype == dtype
        assert torch.equal(
            layer.kernel.real.detach(), torch.from_numpy(KERNEL).to(layer.weight.real.dtype)
        )


def test_an_array_is_copied() -> None:
    kernel, bias, mask = torch.ones(3, 2, 4, 6), np.ones(6, np.float32), np.ones((3, 2, 4, 6))
    layer = Conv2d(**BASE, w_init=kernel, b_init=bias, w_mask=mask)
    kernel.fill_(7)
    bias.fill(7)
    mask.fill(7)
    assert layer.weight.max() == 1
    assert layer.bias is not None
    assert layer.bias.max() == 1
    assert layer.w_mask is not None
    assert layer.w_mask.max() == 1


@pytest.mark.parametrize("scalar", [2, 2.0, True, np.float64(2)])
def test_a_number_fills(scalar: Any) -> None:
    layer = Conv2d(**BASE, w_init=scalar, b_init=float(scalar))
    assert torch.all(layer.weight == float(scalar))
    assert layer.bias is not None
    assert torch.all(layer.bias == float(scalar))


BIAS = np.array([3.0, 1, 4, 1, -5, 9])


@pytest.mark.parametrize(
    ("channel_first", "bias"),
    [
        (False, BIAS),
        (False, BIAS.reshape(1, 6)),
        (False, BIAS.reshape(1, 1, 6)),
        (False, BIAS.reshape(1, 1, 1, 6)),
        (False, lambda shape: BIAS.reshape(shape) if shape == (1, 1, 6) else None),
        (True, BIAS),
        (True, BIAS.reshape(6, 1, 1)),
        (True, BIAS.reshape(1, 6, 1, 1)),
        (True, lambda shape: BIAS.reshape(shape) if shape == (1, 6, 1, 1) else None),
    ],
)
def test_spellings_of_the_bias(channel_first: bool, bias: Any) -> None:
    in_size = (4, 7, 6) if channel_first else (7, 6, 4)
    layer = Conv2d(in_size, 6, 3, b_init=bias, channel_first=channel_first)
    assert layer.bias is not None
    assert layer.bias.tolist() == BIAS.tolist()


@pytest.mark.parametrize(
    ("x", "error", "fragments"),
    [
        (torch.zeros(2, 7, 6, 3), ValueError, ["[2, 7, 6, 3]", "(7, 6, 4)", "(B, 7, 6, 4)"]),
        (torch.zeros(2, 6, 7, 4), ValueError, ["[2, 6, 7, 4]", "(7, 6, 4)"]),
        (torch.zeros(1, 2, 7, 6, 4), ValueError, ["[1, 2, 7, 6, 4]", "(7, 6, 4)"]),
        (torch.zeros(6, 4), ValueError, ["[6, 4]", "(7, 6, 4)"]),
        (torch.zeros(()), ValueError, ["[]", "(7, 6, 4)"]),
        (torch.zeros(2, 7, 6, 4).double(), TypeError, ["float64", "float32"]),
        (torch.zeros(2, 7, 6, 4).int(), TypeError, ["int32", "float32"]),
        (torch.zeros(2, 7, 6, 4).cfloat(), TypeError, ["complex64", "float32"]),
        (torch.zeros(2, 7, 6, 4, device="meta"), ValueError, ["meta", "cpu"]),
        (np.zeros((2, 7, 6, 4), np.float32), TypeError, ["torch.Tensor", "ndarray"]),
        (None, TypeError, ["torch.Tensor", "NoneType"]),
    ],
)
def test_an_input_that_does_not_fit(x: Any, error: type[Exception], fragments: list[str]) -> None:
    layer = make_layer("mask", b_init=1.0)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    with pytest.raises(error) as caught:
        layer(x)
    assert type(caught.value) is error
    for fragment in fragments:
        assert fragment in str(caught.value)
    after = layer.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_meta_layer_refuses_as_any_other() -> None:
    layer = make_layer("bias", device="meta")
    with pytest.raises(TypeError, match=r"float64.*float32"):
        layer(torch.empty(2, 7, 6, 4, device="meta", dtype=torch.float64))


def test_autocast_takes_another_dtype_and_nothing_but_floats() -> None:
    layer = make_layer("bias")
    x = make_input(layer, normal_numbers)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x.bfloat16())
        with pytest.raises(TypeError, match=r"float64.*float32"):
            layer(x.double())
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.float(), layer(x), rtol=0.05, atol=0.5)


def test_random_arguments_are_taken_or_refused_by_name() -> None:
    """Only ValueError and TypeError are raised, and each message names an argument."""
    values = [0, 1, -1, 2, 3.5, True, None, "SAME", "x", (), (1,), (2, 3), [1, 2, 3], [(1, 2)]]
    values += [[(0, -1), (2, 0)], np.int64(2), np.array([1, 2]), object(), {}, 1j, (0, 0), -(10**9)]
    names = ["in_size", "out_channels", "kernel_size", "stride", "padding", "lhs_dilation"]
    names += ["rhs_dilation", "groups", "w_init", "b_init", "w_mask", "channel_first", "name"]
    pick = random.Random(5)
    taken = refused = 0
    for _ in range(3000):
        changed = {name: pick.choice(values) for name in pick.sample(names, pick.choice([1, 1, 2]))}
        try:
            Conv2d(**{**BASE, "w_init": init.Constant(2.0), **changed})
        except (ValueError, TypeError) as error:
            refused += 1
            message = str(error)
        else:
            taken += 1
            continue
        assert any(f"`{name}`" in message for name in [*names, "in_channels"]), message
    assert taken > 300
    assert refused > 300
