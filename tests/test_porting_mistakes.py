"""The tools for users' own ports: ports that fail, and whether the right mistake is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cases import normal_numbers, whole_numbers
from hand_port import conv, failure, inputs, mistakes
from torch import Tensor

from torchconv2d.testing import assert_parity

pytestmark = pytest.mark.usefixtures("one_thread")  # hundreds of tiny convolutions


def dealt(tensor: Tensor, groups: int) -> Tensor:
    order = np.arange(tensor.shape[3]).reshape(groups, -1).T.ravel()
    return tensor.index_select(3, torch.from_numpy(order))


def tf32(tensor: Tensor, half: int = 0x1000) -> Tensor:
    """Keep the leading 10 of 23 stored bits; leave float64 unchanged, as the hardware does."""
    if tensor.dtype != torch.float32:
        return tensor
    return ((tensor.view(torch.int32) + half) & ~0x1FFF).view(torch.float32)


def cut_off(tensor: Tensor) -> Tensor:
    return tf32(tensor, 0)


def bfloat16(tensor: Tensor) -> Tensor:
    return tensor.bfloat16().float() if tensor.dtype == torch.float32 else tensor


def port(x: Any = None, w: Any = None, y: Any = None, **geometry: Any) -> Callable[..., Tensor]:
    """The convolution with a change of the input, the kernel or the result."""
    x, w, y = (change or (lambda tensor: tensor) for change in (x, w, y))
    return lambda image, kernel, *bias: y(conv(x(image), w(kernel), *bias, **geometry))


GROUPED, STRIDED = {"groups": 2}, {"stride": 2, "pads": (0, 1, 0, 1)}
FORBIDDEN = ", which full_precision() forbids,"
# By name: a port with a mistake, its explanation, and the geometry of the right port.
MISTAKES: dict[str, tuple[Any, ...]] = {
    "flip": (port(w=lambda w: w.flip(0, 1)), "input 1 flipped along (0, 1)"),
    "flip_columns": (port(w=lambda w: w.flip(1)), "input 1 flipped along (1,)"),
    "flip_channels": (
        port(lambda x: x.flip(3)),
        "input 0 flipped along (3,) or input 1 flipped along (2,)",
    ),
    "flip_batch": (
        port(lambda x: x.flip(0)),
        "the result flipped along (0,) or input 0 flipped along (0,)",
    ),
    "swap": (port(w=lambda w: w.transpose(0, 1)), "input 1 transposed to (1, 0, 2, 3)"),
    "shift_down": (
        port(pads=(1, 1, 2, 0)),
        "the result shifted (-1,) along (1,) or input 0 shifted (-1,) along (1,)",
    ),
    "shift_left": (
        port(pads=(0, 2, 1, 1)),
        "the result shifted (1,) along (2,) or input 0 shifted (1,) along (2,)",
    ),
    "same": (port(stride=2, pads=(1, 0, 1, 0)), "input 0 shifted (-1, -1) along (1, 2)", STRIDED),
    "same_width": (port(stride=2, pads=(1, 0, 0, 1)), "input 0 shifted (-1,) along (2,)", STRIDED),
    "groups_in": (
        port(lambda x: dealt(x, 2), **GROUPED),
        "input 0 regrouped along 3 by 2",
        GROUPED,
    ),
    "groups_out": (
        port(w=lambda w: dealt(w, 2), **GROUPED),
        "input 1 regrouped along 3 by 3",
        GROUPED,
    ),
    "groups_result": (
        port(y=lambda y: dealt(y, 2), **GROUPED),
        "the result regrouped along 3 by 3",
        GROUPED,
    ),
    "input_reshaped": (
        port(lambda x: x.reshape(2, 4, 9, 8).permute(0, 2, 3, 1)),
        "input 0 reshaped as if transposed to (0, 3, 1, 2)",
    ),
    "kernel_reshaped": (
        port(w=lambda w: w.reshape(6, 4, 3, 3).permute(2, 3, 1, 0)),
        "input 1 reshaped as if transposed to (3, 2, 0, 1)",
    ),
    "result_reshaped": (
        port(y=lambda y: y.permute(0, 3, 1, 2).reshape(y.shape)),
        "the result transposed to (0, 3, 1, 2), then reshaped",
    ),
    "bias": (lambda x, w, b: conv(x, w), "a bias along 3"),
    "factor": (port(y=lambda y: y / 4), "the result times 4"),
    "bfloat16": (
        port(bfloat16, bfloat16),
        f"all but biases rounded to bfloat16{FORBIDDEN}",
    ),
    "tf32": (port(tf32, tf32), f"all but biases rounded to TF32/float16{FORBIDDEN}"),
    "tf32_cut": (port(cut_off, cut_off), f"all but biases cut off to TF32{FORBIDDEN}"),
    "tf32_kernel": (port(w=tf32), "input 1 rounded to TF32/float16"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_named_and_no_other(name: str) -> None:
    mistaken, expected, geometry = (*MISTAKES[name], {})[:3]
    # An even size: "SAME" with a stride pads by other numbers before and after.
    size = (12, 10) if geometry.get("stride") else (9, 8)
    sound, given = port(**geometry), inputs(groups=geometry.get("groups", 1), size=size)
    assert mistakes(mistaken, sound, given) == expected
    assert 0 < assert_parity(sound, sound, given, vjp=torch.func.vjp) <= 1


def test_an_argument_that_the_reference_lacks() -> None:
    assert mistakes(conv, MISTAKES["bias"][0], inputs()) == "input 2 left out or a bias along 3"


def test_a_mask_that_one_side_lacks() -> None:
    def masked(x: Tensor, kernel: Tensor, mask: Tensor) -> Tensor:
        return conv(x, kernel * mask)

    def unmasked(x: Tensor, kernel: Tensor, mask: Tensor) -> Tensor:
        return conv(x, kernel)

    x, kernel, _ = inputs()
    given = x, kernel, (normal_numbers(tuple(kernel.shape), 9, torch.float32) > 0).float()
    assert mistakes(unmasked, masked, given) == "input 1 not times input 2"
    assert mistakes(masked, unmasked, given) == "input 2 taken for ones"


@pytest.mark.parametrize("narrow", [torch.float32, torch.float16], ids=str)
def test_a_port_whose_float64_is_none(narrow: torch.dtype) -> None:
    """Its result and its dtype look right, so the reference would be blamed for its errors."""

    def rounds(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        return conv(x, kernel.to(narrow).to(kernel.dtype), bias)

    given = inputs(torch.float64)
    assert mistakes(rounds, conv, given) == "input 1 rounded even in float64"


def test_a_port_of_a_coarser_dtype() -> None:
    def coarse(*given: Tensor) -> Tensor:
        y = conv(*given)
        return y.bfloat16() if y.dtype == torch.float32 else y

    said = "forward: the reference has the dtype torch.float32, the port torch.bfloat16."
    assert failure(coarse, conv, inputs(numbers=whole_numbers)) == said
    assert assert_parity(coarse, coarse, inputs()) <= 1


def test_a_port_that_writes_into_its_input() -> None:
    given = inputs()
    before = [tensor.clone() for tensor in given]
    twice = port(lambda x: x.mul_(2))
    assert 0 < assert_parity(twice, lambda x, *others: conv(2 * x, *others), given) <= 1
    assert all(map(torch.equal, given, before))


def test_complex_numbers_are_diagnosed_too() -> None:
    given = inputs(torch.complex64)
    assert mistakes(MISTAKES["flip"][0], conv, given) == "input 1 flipped along (0, 1)"
    assert mistakes(port(y=lambda y: (2 + 1j) * y), conv, given) == "the result times 0.4-0.2j"
    assert mistakes(conv, port(y=lambda y: y.real), given) == "no common porting mistake"


class Spoiled(torch.autograd.Function):
    """The convolution with a wrong bias gradient or, without a bias, a flipped kernel gradient."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        ctx.save_for_backward(*given)
        return conv(*given)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        dx, dkernel, *dbias = torch.func.vjp(conv, *ctx.saved_tensors)[1](cotangent)
        return (dx, dkernel, dbias[0].sin()) if dbias else (dx, dkernel.flip(0, 1))


def test_mistakes_of_a_gradient_alone() -> None:
    """If a kernel is flipped, so is its gradient; so the message names both."""
    x, kernel, bias = inputs()
    assert 0 < assert_parity(Spoiled.apply, conv, (x, kernel)) <= 1
    message = failure(Spoiled.apply, conv, (x, kernel), vjp=torch.func.vjp)
    # All taps except the middle one.
    assert message.startswith("gradient of input 1: 192 of 216 entries of the reference exceed")
    mistake = "the result flipped along (0, 1) or input 1 flipped along (0, 1)"
    assert message.endswith(f"Explained by {mistake} in the port.")
    even = kernel + kernel.flip(0, 1)  # the output does not show that it is flipped
    assert mistakes(MISTAKES["flip"][0], conv, (x, even, bias), vjp=torch.func.vjp) == mistake
    row = bias.reshape(1, 1, 6)  # Each entry of its gradient could be a separate bias.
    message = failure(Spoiled.apply, conv, (x, kernel, row), vjp=torch.func.vjp)
    assert message.startswith("gradient of input 2: 6 of 6 entries")
    assert message.endswith("Explained by no common porting mistake in the port.")


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_one_weight_a_thousandth_off_is_seen(scale: float) -> None:
    """Also in a channel that is much smaller than the others."""
    x, kernel, bias = inputs()
    kernel[..., 3] *= scale
    off = kernel.clone()
    off[1, 1, 2, 3] *= 1 + 2**-10
    message = failure(conv, lambda x, w, b: conv(x, off, 0 * b), (x, kernel, 0 * bias))
    assert re.search(r"Worst at \(\d, \d, \d, 3\)", message)
    assert "Explained by no common porting mistake" in message


def test_the_message_says_where_and_how_much() -> None:
    def spoiled(*given: Tensor) -> Tensor:
        y = conv(*given)
        y[1, 2, 3, 4] = 5.0
        y[0, 0, 0, 0] += 1e-3
        return y

    given = inputs()
    exact = conv(*(tensor.double() for tensor in given))[1, 2, 3, 4].item()
    message = failure(conv, spoiled, given)
    assert "forward: 2 of 864 entries of the reference exceed" in message
    assert f"Worst at (1, 2, 3, 4): reference 5, port {exact:.5}"[:-1] in message
    numbers = re.search(r"error (\S+), bound (\S+), ratio (\S+)\.", message)
    assert numbers
    error, bound, ratio = map(float, numbers.groups())
    assert error == pytest.approx(abs(5 - exact), rel=1e-2)
    assert ratio == pytest.approx(error / bound, rel=2e-2)
    reduced = MISTAKES["tf32"][0]
    assert "entries of the port exceed" in failure(reduced, conv, given)
    assert "entries of the reference exceed" in failure(conv, reduced, given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
def test_what_is_not_finite(dtype: torch.dtype) -> None:
    x, *others = inputs(dtype)
    x[0, 3, 3, 1], x[1, 2, 2, 0] = torch.nan, torch.inf
    assert assert_parity(conv, conv, (x, *others), vjp=torch.func.vjp) <= 1
    for value in (torch.nan, torch.inf):

        def more(*given: Tensor, value: float = value) -> Tensor:
            return conv(*given).index_fill(1, torch.tensor(8), value)

        assert re.search("forward: 96 of 864 .* ratio inf", failure(conv, more, (x, *others)))
        assert re.search("forward: 96 of 864 .* ratio inf", failure(more, conv, (x, *others)))
    y = conv(x, *others)
    turned = torch.where(y.isinf(), -y, y)
    if dtype == torch.float32:
        assert "forward: 54 of 864" in failure(conv, lambda *_: turned, (x, *others))


def test_one_array_is_no_sequence_of_them() -> None:
    with pytest.raises(TypeError, match=r"`inputs` .* \[x\]"):
        assert_parity(torch.neg, torch.neg, torch.rand(2, 3))  # pyright: ignore


def test_what_cannot_be_compared() -> None:
    message = failure(conv, lambda *given: conv(*given, (0, 1, 2, 3)), inputs())
    assert message == "forward: the reference has the shape (2, 12, 7, 6), the port (2, 9, 8, 6)."
    x, kernel, bias = inputs()
    with pytest.raises(TypeError, match="input 0 must be floating or complex, got int64"):
        assert_parity(conv, conv, (np.arange(4), kernel, bias))
    for result, kind in (((x, kernel), "tuple"), ([1.0], "list"), (None, "NoneType")):
        message = f"the result must be an array of JAX, NumPy or torch, got {kind}"
        with pytest.raises(TypeError, match=message):
            assert_parity(conv, lambda *_, result=result: result, (x, kernel, bias))
        with pytest.raises(TypeError, match=f"must return a tensor, .* got {kind}"):
            assert_parity(
                lambda *_, result=result: result, conv, (x, kernel, bias), vjp=torch.func.vjp
            )
    with pytest.raises(TypeError, match=r"the result must be floating .* got torch\.int32"):
        assert_parity(conv, lambda *given: conv(*given).int(), (x, kernel, bias))
    with pytest.raises(TypeError, match=r"float64 in float64, not in torch\.float32"):
        assert_parity(lambda *given: conv(*(each.float() for each in given)), conv, (x, kernel))
