"""Messages for calls that are right elsewhere: each says what to do here, and it does work."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from torchconv2d import Conv2d, conv_general_dilated, habits, init, interop

LAST, FIRST = (7, 6, 4), (4, 7, 6)


def layer(**settings: Any) -> Conv2d:
    return Conv2d(settings.pop("in_size", LAST), 8, (3, 2), name="stem", **settings)


def channel_first(x: torch.Tensor) -> torch.Tensor:
    return layer(in_size=FIRST, channel_first=True)(x)


def x(*shape: int) -> torch.Tensor:
    return torch.rand(*shape)


# What is called, the class of the error, its words, and the remedy, which raises nothing.
CALLS: dict[str, tuple[Callable[[], Any], type[Exception], str, Callable[[], Any]]] = {
    "a channel-first input": (
        lambda: layer()(x(2, 4, 7, 6)),
        ValueError,
        r"\[2, 4, 7, 6\]; it looks channel-first: pass `x.movedim\(-3, -1\)`, or .*first=True",
        lambda: layer()(x(2, 4, 7, 6).movedim(-3, -1)),
    ),
    "a channels-last input": (
        lambda: channel_first(x(7, 6, 4)),
        ValueError,
        r"\[7, 6, 4\]; it looks channels-last: pass `x.movedim\(-1, -3\)`, or .*first=False",
        lambda: channel_first(x(7, 6, 4).movedim(-1, -3)),
    ),
    "another image size": (
        lambda: layer()(x(2, 9, 8, 4)),
        ValueError,
        r"\[2, 9, 8, 4\]; for another image size call `layer.resized\(\(H, W\)\)`, or .*None",
        lambda: [layer().resized((9, 8))(x(2, 9, 8, 4)), layer(in_size=(None, None, 4))],
    ),
    "a channel-first input of another size": (
        lambda: layer()(x(2, 4, 9, 8)),
        ValueError,
        r"channel-first: pass `x.movedim\(-3, -1\)`; for another image size call `layer.resized",
        lambda: layer().resized((9, 8))(x(2, 4, 9, 8).movedim(-3, -1)),
    ),
    "a channels-last input of another size": (
        lambda: channel_first(x(9, 8, 4)),
        ValueError,
        r"channels-last: pass `x.movedim\(-1, -3\)`; for another image size call `layer.resized",
        lambda: layer(in_size=FIRST, channel_first=True).resized((9, 8))(x(9, 8, 4).movedim(-1, 0)),
    ),
    "other channels": (
        lambda: layer()(x(2, 7, 6, 5)),
        ValueError,
        r"'stem' must have the shape \(B, 7, 6, 4\) or \(7, 6, 4\), got \[2, 7, 6, 5\]\.$",
        lambda: layer()(x(2, 7, 6, 4)),
    ),
    "torch's in_channels": (
        lambda: Conv2d(4, 8, 3),
        ValueError,
        r"got 4 of type int; the channels are a part of it, as in `Conv2d\(\(H, W, 4\), ...\)`",
        lambda: Conv2d((7, 6, 4), 8, 3),
    ),
    "padding='same'": (
        lambda: layer(padding="same"),
        ValueError,
        "'same'; write 'SAME'",
        lambda: layer(padding="SAME"),
    ),
    "a function of torch.nn.init": (
        lambda: layer(w_init=nn.init.kaiming_normal_),
        AttributeError,
        r"`w_init` was called with the shape \(3, 2, 4, 8\) .*fills a tensor: use .*conv2d.init",
        lambda: [layer(w_init=init.KaimingNormal()), nn.init.kaiming_normal_(layer().weight)],
    ),
    "an initializer that needs a key, as JAX's": (
        lambda: layer(b_init=lambda key, shape: np.ones(shape)),
        TypeError,
        r"`b_init` was called with the shape \(1, 1, 8\) .*needs a key first",
        lambda: layer(b_init=lambda shape: np.ones(shape)),
    ),
    "an initializer that makes another one, as JAX's": (
        lambda: layer(w_init=lambda shape: lambda key, shape: np.ones(shape)),
        TypeError,
        r"`w_init` must make an array .*pass `lambda shape: f\(\)\(key, shape\)`\.",
        lambda: layer(w_init=lambda shape: (lambda: lambda key, shape: np.ones(shape))()(7, shape)),
    ),
    "a bool for a bias": (
        lambda: layer(b_init=True),
        TypeError,
        r"`b_init` must be .*, got True; a bias of zeros is `init.ZeroInit\(\)`, and no",
        lambda: [layer(b_init=init.ZeroInit()), layer(b_init=None)],
    ),
    "a bool for a bias, later": (
        lambda: setattr(layer(b_init=1), "b_init", False),
        TypeError,
        r"`b_init` must be .*, got False; a bias of zeros",
        lambda: setattr(layer(b_init=1), "b_init", init.ZeroInit()),
    ),
    "a weight of torch's layout": (
        lambda: layer(w_init=np.ones((8, 4, 3, 2))),
        ValueError,
        r"layout: pass `array.transpose\(2, 3, 1, 0\)`, of a tensor `.permute\(2, 3, 1, 0\)`",
        lambda: [
            layer(w_init=np.ones((8, 4, 3, 2)).transpose(2, 3, 1, 0)),
            layer(w_init=torch.ones(8, 4, 3, 2).permute(2, 3, 1, 0)),
        ],
    ),
    "a mask of taps": (
        lambda: layer(w_mask=np.ones((3, 2))),
        ValueError,
        r"one value per tap: pass `array\[:, :, None, None\]`",
        lambda: layer(w_mask=np.ones((3, 2))[:, :, None, None]),
    ),
    "a mask of input channels": (
        lambda: layer(w_mask=np.ones(4)),
        ValueError,
        r"one value per input channel: pass `array\[:, None\]`",
        lambda: layer(w_mask=np.ones(4)[:, None]),
    ),
    "a mask of torch's weight": (
        lambda: layer(w_mask=np.ones((8, 4))),
        ValueError,
        r"one value per output and input channel: pass `array.T`",
        lambda: layer(w_mask=np.ones((8, 4)).T),
    ),
    "a mask that broadcasts in torch's layout": (
        lambda: layer(w_mask=torch.ones(8, 1, 3, 1)),
        ValueError,
        r"this is torch's layout: pass .*of a tensor `.permute\(2, 3, 1, 0\)`",
        lambda: layer(w_mask=torch.ones(8, 1, 3, 1).permute(2, 3, 1, 0)),
    ),
    "a kernel of one value per tap, which is not broadcast": (
        lambda: layer(w_init=np.ones((3, 2))),
        ValueError,
        r"got \(3, 2\); only a number is broadcast\. ",
        lambda: layer(w_init=np.ones((3, 2, 4, 8))),
    ),
    "a kernel of JAX's layout in a state dict": (
        lambda: layer().load_state_dict({"weight": torch.ones(3, 2, 4, 8)}),
        RuntimeError,
        r"layout of `layer.kernel`: pass `tensor.permute\(3, 2, 0, 1\)`.*'stem'",
        lambda: layer().load_state_dict({"weight": torch.ones(3, 2, 4, 8).permute(3, 2, 0, 1)}),
    ),
    "a weight of torch's layout for another framework": (
        lambda: interop.load_params(layer(), {"kernel": x(8, 4, 3, 2)}, "flax"),
        ValueError,
        r"torch's layout: load it as `{'weight': array}` of 'torch'",
        lambda: interop.load_params(layer(), {"weight": x(8, 4, 3, 2)}, "torch"),
    ),
    "arrays without a bias": (
        lambda: interop.load_params(layer(b_init=0), {"kernel": x(3, 2, 4, 8)}, "flax"),
        ValueError,
        r"`params` lacks `bias` .* Without a bias the layer has `b_init=None`\.",
        lambda: interop.load_params(layer(), {"kernel": x(3, 2, 4, 8)}, "flax"),
    ),
    "in_size of the other layout in from_layer": (
        lambda: interop.from_layer(nn.Conv2d(4, 8, 3), LAST),
        ValueError,
        r"`in_size` must be \(C, H, W\), with the channels of this layer; got \(7, 6, 4\)",
        lambda: interop.from_layer(nn.Conv2d(4, 8, 3), FIRST),
    ),
    "weights of integers": (
        lambda: interop.load_params(layer(), {"kernel": np.ones((3, 2, 4, 8), int)}, "flax"),
        ValueError,
        "is torch.int64, .*; cast it to torch.float32",
        lambda: interop.load_params(
            layer(), {"kernel": np.ones((3, 2, 4, 8), int).astype("float32")}, "flax"
        ),
    ),
    "a live layer in load_params": (
        lambda: interop.load_params(layer(), nn.Conv2d(4, 8, (3, 2), bias=False), "torch"),
        TypeError,
        r"got a Conv2d itself; pass `module.state_dict\(\)`, or use `from_layer\(layer\)`",
        lambda: interop.load_params(
            layer(), nn.Conv2d(4, 8, (3, 2), bias=False).state_dict(), "torch"
        ),
    ),
    "a state dict with a bias": (
        lambda: layer().load_state_dict(nn.Conv2d(4, 8, (3, 2)).state_dict()),
        RuntimeError,
        r"'bias'.*no bias; make it with `b_init=init.ZeroInit\(\)`",
        lambda: layer(b_init=init.ZeroInit()).load_state_dict(nn.Conv2d(4, 8, (3, 2)).state_dict()),
    ),
    "a state dict without a bias": (
        lambda: layer(b_init=0).load_state_dict(nn.Conv2d(4, 8, (3, 2), bias=False).state_dict()),
        RuntimeError,
        r"'bias'.* The layer has a bias; make it with `b_init=None`.*'stem'",
        lambda: layer().load_state_dict(nn.Conv2d(4, 8, (3, 2), bias=False).state_dict()),
    ),
    "a plain torch layer that crops": (
        lambda: interop.to_torch(layer(padding=[(-1, 0), (0, -1)])),
        ValueError,
        r"\(\(-1, 0\), \(0, -1\)\); torch's layers do not crop; slice the input",
        lambda: interop.to_torch(layer(in_size=(6, 5, 4), padding="VALID")),
    ),
    "channels-last operands without dimension_numbers": (
        lambda: conv_general_dilated(x(2, 7, 6, 4), x(3, 2, 4, 8), (1, 1), "SAME"),
        ValueError,
        r"for channels-last operands pass \('NHWC', 'HWIO', 'NHWC'\)",
        lambda: conv_general_dilated(
            *(x(2, 7, 6, 4), x(3, 2, 4, 8), (1, 1), "SAME"),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ),
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_the_message_has_the_remedy(case: str) -> None:
    call, error, words, remedy = CALLS[case]
    with pytest.raises(error) as caught:
        call()
    said = " ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert re.search(words, said), said
    assert len(said) <= 1000
    remedy()


@pytest.mark.parametrize("argument", habits.FOREIGN)
def test_an_argument_of_another_layer_is_refused_with_its_name_here(argument: str) -> None:
    with pytest.raises(TypeError, match=f"no argument `{argument}`: .{{10}}") as caught:
        layer(**{argument: 1})
    named = set(re.findall(r"`(\w+)`", str(caught.value))) - {argument}
    assert named <= set(Conv2d.__init__.__annotations__), named
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        layer(colour=1)


def refuse_stride(conv: Conv2d) -> None:
    conv.stride = 0


@pytest.mark.parametrize(
    "call",
    [
        lambda _: layer(stride=0),
        lambda _: layer(dilation=2),
        lambda _: Conv2d((7, 6), 8, 3, 1, "SAME", 1, 1, 1, 1.0, None, None, False, "stem"),
        lambda _: layer(w_init=np.ones(3)),
        lambda _: layer(w_init=lambda: 1),
        refuse_stride,
        lambda conv: setattr(conv, "dilation", 2),
        lambda conv: setattr(conv, "groups", 2),
        lambda conv: conv.resized((0, 3)),
        lambda conv: conv(x(3)),
        lambda conv: conv(x(2, 7, 6, 4).double()),
        lambda conv: conv(None),
        lambda conv: interop.load_params(conv, {}, "flax"),
        lambda conv: interop.load_params(conv, {}, "pytorch"),
        lambda conv: conv.load_state_dict({}),
        lambda conv: interop.export_params(conv, "flax", kind="depthwise"),
        lambda _: interop.export_params(layer(device="meta"), "flax"),
        lambda _: interop.to_torch(layer(w_mask=1)),
    ],
)
def test_errors_name_the_layer(call: Callable[[Conv2d], Any]) -> None:
    with pytest.raises((ValueError, TypeError, RuntimeError, AttributeError)) as caught:
        call(layer())
    said = [str(caught.value), *getattr(caught.value, "__notes__", ())]
    assert sum("'stem'" in each for each in said) == 1, said


def test_a_layer_without_a_name_is_not_named() -> None:
    with pytest.raises(ValueError, match="stride") as caught:
        Conv2d(LAST, 8, 3, stride=0)
    assert not hasattr(caught.value, "__notes__")
