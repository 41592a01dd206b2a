"""Torch's own inputs of its modules, on the layers that ``from_layer`` makes; and its errors."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_tables as tables
from torch import Tensor, nn

from torchconv2d import Conv2d, conv_general_dilated, interop

pytestmark = [pytest.mark.usefixtures("one_thread")]

# How many inputs ``module_db`` of torch 2.13 has for each layer.
COUNTS = {"Conv2d": 4, "ConvTranspose2d": 2, "LazyConv2d": 4, "LazyConvTranspose2d": 2}
INPUTS = [(kind, number) for kind, count in COUNTS.items() for number in range(count)]

NOT_APPLICABLE = {
    "complex32": "the package has no half-precision complex type",
    "test_cpu_gpu_parity, test_multiple_device_transfer": "they need a second device",
    "test_check_inplace": "the layer has no option `inplace`",
    "test_errors": "module_db has no error inputs of convolutions",
    "test_factory_kwargs": "from_layer takes device and dtype of the layer that it is given",
}


def inputs(kind: str, dtype: torch.dtype = torch.float64) -> list[Any]:
    info = tables.module_infos()[kind]
    torch.manual_seed(11)
    return info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=False, training=True
    )


def pair(kind: str, number: int, dtype: torch.dtype = torch.float64) -> tuple[Any, Conv2d, Tensor]:
    """Torch's layer, ours, and an input of both."""
    given = inputs(kind, dtype)[number]
    made, (x,) = given.constructor_input, given.forward_input.args
    layer = getattr(nn, kind)(*made.args, **made.kwargs, dtype=dtype)
    x = x * 2
    layer(x)  # a lazy one has parameters from now on
    return layer, interop.from_layer(layer, tuple(x.shape[-3:])), x


every_input = pytest.mark.parametrize(("kind", "number"), INPUTS)


@pytest.mark.parametrize("kind", COUNTS)
def test_no_input_of_torchs_is_left_out(kind: str) -> None:
    info = tables.module_infos()[kind]
    assert len(inputs(kind)) == COUNTS[kind]
    assert info.module_error_inputs_func is None


@every_input
def test_forward_and_gradients(kind: str, number: int) -> None:
    layer, conv, x = pair(kind, number)
    x = x.requires_grad_()
    right, found = layer(x), conv(x)
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)
    cotangent = (torch.arange(right.numel()).view(right.shape) % 5 - 1).double()
    by_layer = torch.autograd.grad(right, (x, *layer.parameters()), cotangent)
    by_conv = torch.autograd.grad(found, (x, *conv.parameters()), cotangent)
    exported = {"weight": by_conv[1], "bias": by_conv[2]}
    if isinstance(layer, nn.ConvTranspose2d):
        exported["weight"] = by_conv[1].transpose(0, 1).flip(2, 3)
    torch.testing.assert_close(by_conv[0], by_layer[0], rtol=1e-12, atol=1e-12)
    for name, gradient in zip(("weight", "bias"), by_layer[1:], strict=True):
        torch.testing.assert_close(exported[name], gradient, rtol=1e-12, atol=1e-12)


def _saved(conv: Conv2d) -> Conv2d:
    """Torch's test_save_load, of the state alone."""
    buffer = io.BytesIO()
    torch.save(conv.state_dict(), buffer)
    buffer.seek(0)
    other = copy.deepcopy(conv)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(torch.nan)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    return other


def _saved_whole(conv: Conv2d) -> Conv2d:
    buffer = io.BytesIO()
    torch.save(conv, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def _emptied(conv: Conv2d) -> Conv2d:
    other = copy.deepcopy(conv).to("meta").to_empty(device="cpu")
    other.load_state_dict(conv.state_dict())
    return other


COPIES: dict[str, Callable[[Conv2d], Conv2d]] = {
    "pickle": lambda conv: pickle.loads(pickle.dumps(conv)),
    "deepcopy": copy.deepcopy,
    "saved": _saved,
    "saved whole": _saved_whole,
    "meta and back": _emptied,
    "float32 and back": lambda conv: copy.deepcopy(conv).float().double(),
    "channels last": lambda conv: copy.deepcopy(conv).to(memory_format=torch.channels_last),
    "eval": lambda conv: copy.deepcopy(conv).eval(),
}


@pytest.mark.parametrize("how", COPIES)
@every_input
def test_copies_are_the_layer(kind: str, number: int, how: str) -> None:
    _, conv, x = pair(kind, number)
    with torch.no_grad():  # so that float32 loses nothing, and sums are exact
        for parameter in conv.parameters():
            parameter.copy_((parameter * 20).round())
    x = x.round()
    other = COPIES[how](conv)
    assert other is not conv
    assert repr(other) == repr(conv)
    assert torch.equal(other(x), conv(x))
    assert all(
        torch.equal(mine, right) and mine.data_ptr() != right.data_ptr()
        for mine, right in zip(other.parameters(), conv.parameters(), strict=True)
    )


@every_input
def test_memory_formats(kind: str, number: int) -> None:
    """Torch's test_memory_format: each format of the input with each of the layer."""
    _, conv, x = pair(kind, number)
    right = conv(x)
    for of_layer in (torch.contiguous_format, torch.channels_last):
        conv.to(memory_format=of_layer)
        assert conv.weight.is_contiguous(memory_format=of_layer)
        if x.dim() == 4:
            y = conv(x.to(memory_format=torch.channels_last))
            torch.testing.assert_close(y, right, rtol=1e-12, atol=1e-12)
            assert y.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(conv(x), right, rtol=1e-12, atol=1e-12)
        assert conv(x).is_contiguous()


def test_lazy_layers_that_have_not_run_are_refused() -> None:
    for kind in (nn.LazyConv2d, nn.LazyConvTranspose2d):
        with pytest.raises(ValueError, match="first run it once"):
            interop.from_layer(kind(5, 3), (4, 3, 6))


# What torch says of its error inputs of conv2d, and what the package says in its place; None where
# its functional form, which has no bias, has no such rule. Negative padding crops here: that
# input is refused for its channels, which are wrong as well.
MESSAGES = {
    "should be the same": None,
    "non-positive stride": "`window_strides` must be at least 1",
    "negative padding": "`rhs` must have the channels of `lhs`",
    "dilation should be greater": "`rhs_dilation` must be at least 1",
    "Expected 3-dimensional input": "`rhs` must have four axes",
    "expected weight to be at least": "`rhs` must have the channels of `lhs`",
    "non-positive groups": "`feature_group_count` must be at least 1",
}


def test_errors_of_torchs_are_errors_here() -> None:
    """Ten calls that torch must refuse; two of them differ in the dtype of the bias alone."""
    judged = []
    for each in tables.operator_infos()["conv2d"].error_inputs("cpu"):
        (message,) = (mine for said, mine in MESSAGES.items() if said in each.error_regex)
        judged.append(message)
        x, weight, options = (
            each.sample_input.input,
            each.sample_input.args[0],
            each.sample_input.kwargs,
        )
        if "stride" in options:  # its channels are wrong, too, which is told first here
            x = x.expand(-1, weight.size(1), -1, -1)
        padding = options.get("padding", [0])
        if message is None and x.dtype.is_floating_point:
            continue
        with pytest.raises((TypeError, ValueError), match=message or "floating or complex"):
            conv_general_dilated(
                x if x.dim() == 4 else x.unsqueeze(0),
                weight,
                options.get("stride", 1),
                padding if isinstance(padding, str) else [(padding[0], padding[0])],
                rhs_dilation=options.get("dilation"),
                feature_group_count=options.get("groups", 1),
            )
    assert len(judged) == 10
    assert judged.count(None) == 2
