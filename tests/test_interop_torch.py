"""Plain torch layers: ported, refused, and created where there is an equivalent one."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from porting import draw, make
from torch import nn
from torch.fx.experimental.optimization import fuse

from torchconv2d import Conv2d, interop
from torchconv2d.testing import assert_parity


class Padded(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.pad(x, (1, 2, 0, 1)))


# torch has layers of the same name that compute something else.
Quantized = type("Conv2d", (nn.Module,), {"__module__": "torch.ao.nn.quantized"})


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
def test_torch_s_other_paddings_are_refused(mode: str) -> None:
    layer = nn.Conv2d(4, 6, 3, padding=1, padding_mode=mode)
    with pytest.raises(ValueError, match=f"`padding_mode` '{mode}' .*pad the input yourself"):
        interop.from_layer(layer, (4, 7, 6))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv1d(4, 6, 3), "Conv1d. It does not have two spatial dimensions"),
        (nn.ConvTranspose3d(4, 6, 3), "ConvTranspose3d. It does not have two"),
        (nn.Linear(4, 6), "torch.nn.modules.linear.Linear. To replace .* use `replace_convs`"),
        (nn.Sequential(nn.Conv2d(4, 6, 3)), "Sequential. To replace .* use `replace_convs`"),
        (nn.Conv2d, "got builtins.type. Conv2d is a class; give an instance of it"),
        (nn.PReLU(), "PReLU. To replace .* use `replace_convs`"),
        (Padded(4, 6, 3), "Padded has its own forward"),
        (Quantized(), "got torch.ao.nn.quantized.Conv2d"),
        (Conv2d((7, 6, 4), 6, 3), "Conv2d. It is a layer of this package already"),
    ],
)
def test_other_layers_are_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        interop.from_layer(layer, (4, 7, 6))


def test_from_torch() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, (3, 2), (1, 2), dtype=float))
    state = torch.get_rng_state()
    conv = interop.from_layer(layer, (4, 7, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert_parity(conv, layer, [torch.randn(2, 4, 7, 6, dtype=torch.float64)])
    with pytest.raises(ValueError, match=r"`in_size` must be given, \(C, H, W\)"):
        interop.from_layer(layer)
    with pytest.raises(ValueError, match=r"`weight` must have the shape \(6, 5, 3, 2\)"):
        interop.from_layer(layer, (5, 7, 6))
    with pytest.raises(ValueError, match="lazy"):
        interop.from_layer(nn.LazyConv2d(6, 3), (4, 7, 6))


def test_a_ported_layer_is_a_layer_like_any_other() -> None:
    conv = interop.from_layer(nn.ConvTranspose2d(4, 6, (3, 2), 2), (4, 7, 6))
    x = torch.randn(2, 4, 7, 6)
    for other in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(other(x), conv(x))
        assert interop.export_params(other, "torch")["weight"].shape == (4, 6, 3, 2)
    conv.reset_parameters()
    assert conv.weight.std() > 0


PLAIN = {
    "same": make(groups=2, kernel_size=(3, 5)),
    "same, even": make(),
    "same, even, dilated": make(rhs_dilation=(2, 3)),
    "same, stride, odd": make(kernel_size=(3, 5), in_size=(7, 9, 4), stride=2),
    "valid": make(padding="VALID", stride=(2, 1)),
    "numbers": make(padding=(2, 1)),
    "same in numbers": make(padding=((1, 1), (0, 1))),
    "more after than is read": make(padding=((1, 2), (0, 0)), stride=(3, 1), in_size=(7, 5, 4)),
    "channel first": make(in_size=(4, 7, 6), channel_first=True, padding=1),
    "transposed": make(lhs_dilation=(2, 3), padding=((2, 2), (1, 1))),
    "transposed, pads": make(lhs_dilation=(2, 3), padding=((1, 2), (0, 2))),
    "transposed, dilated": make(lhs_dilation=2, rhs_dilation=(2, 3), padding=((3, 4), (2, 4))),
    "transposed, same": make(lhs_dilation=3),
    "frozen": make(b_init=None, param_type=nn.Buffer),
    "double": make(dtype=torch.float64),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("conv", PLAIN.values(), ids=PLAIN)
def test_to_torch(conv: Conv2d) -> None:
    layer = interop.to_torch(conv)
    assert type(layer) is (nn.Conv2d if conv.lhs_dilation == (1, 1) else nn.ConvTranspose2d)

    def run(x: torch.Tensor) -> torch.Tensor:
        return layer(x) if conv.channel_first else layer(x.movedim(-1, -3)).movedim(-3, -1)

    x = torch.randn(2, *conv.in_size, dtype=conv.weight.dtype)
    assert_parity(conv, run, [x])
    assert layer.weight.data_ptr() != conv.weight.data_ptr()
    back = interop.from_layer(layer, conv.in_size if conv.channel_first else (4, *conv.in_size[:2]))
    assert torch.equal(back.weight, conv.weight)


IN_THE_WAY = {
    "crop": (make(padding=-1), "`padding` is ((-1, -1)", "slice the input"),
    "crop at one end": (make(padding=((2, 1), (3, -1))), "`padding` is ((2, 1), (3, -1)", "slice"),
    "mask": (make(w_mask=draw(3, 2, 2, 6)), "`w_mask`", "fold_mask"),
    "two strides": (make(stride=2, lhs_dilation=3), "`stride` is (2, 2)", "`lhs_dilation`"),
    "transposed, too much": (make(lhs_dilation=2, padding=3), "`padding` is ((3, 3)", "at most"),
    "transposed, less after": (
        make(lhs_dilation=2, padding=((2, 1), (0, 0))),
        "`padding` is ((2, 1)",
        "after",
    ),
    "empty": (make(kernel_size=8, padding="VALID"), "`out_size` is (0, 0, 6)", "empty"),
}


@pytest.mark.parametrize(("conv", "first", "second"), IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_what_stands_in_the_way_is_named(conv: Conv2d, first: str, second: str) -> None:
    with pytest.raises(ValueError, match="No plain torch layer computes the same") as caught:
        interop.to_torch(conv)
    assert first in str(caught.value)
    assert second in str(caught.value)


UNEVEN = {
    "same, stride": make(in_size=(8, 6, 4), stride=2),
    "pairs": make(padding=((1, 0), (2, 2)), rhs_dilation=(1, 2)),
    "one axis": make(padding=((0, 3), (1, 1)), groups=2, channel_first=True, in_size=(4, 7, 6)),
}


@pytest.mark.parametrize("conv", UNEVEN.values(), ids=UNEVEN)
def test_uneven_padding_is_a_layer_of_its_own(conv: Conv2d) -> None:
    conv.weight.requires_grad_(False)
    layer = interop.to_torch(conv.eval())
    assert [type(each) for each in layer.children()] == [nn.ZeroPad2d, nn.Conv2d]

    def run(x: torch.Tensor) -> torch.Tensor:
        return layer(x) if conv.channel_first else layer(x.movedim(-1, -3)).movedim(-3, -1)

    assert_parity(conv, run, [torch.randn(2, *conv.in_size)])
    frozen = {name: p.requires_grad for name, p in layer.named_parameters()}
    assert frozen == {"1.weight": False, "1.bias": True}
    assert not layer.training
    assert not layer[1].training
    conv.train().weight.requires_grad_()


class Block(nn.Module):
    """Layers of this package within others; one of them stands at two places."""

    def __init__(self) -> None:
        super().__init__()
        first: dict[str, Any] = {"channel_first": True, "b_init": draw(6)}
        self.stem = nn.Sequential(Conv2d((4, 8, 6), 6, 3, 2, **first), nn.BatchNorm2d(6), nn.ReLU())
        self.body = Conv2d((6, 4, 3), 6, (3, 5), **first)
        self.again = self.body
        self.up = Conv2d((6, 4, 3), 6, 4, padding=2, lhs_dilation=2, **first)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(self.stem(x))
        return self.up(torch.relu(self.again(y)))


def test_to_torch_of_a_tree() -> None:
    model = Block().eval()
    state = copy.deepcopy(model.state_dict())
    plain = interop.to_torch(model)
    kinds = {type(each) for each in plain.modules()}
    assert not any(issubclass(kind, Conv2d) for kind in kinds)
    assert {Block, nn.ZeroPad2d, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d} <= kinds
    assert plain.body is plain.again
    assert [name for name, _ in plain.named_parameters()][:2] == [
        "stem.0.1.weight",
        "stem.0.1.bias",
    ]
    x = torch.randn(2, 4, 8, 6)
    torch.testing.assert_close(plain(x), model(x))
    assert [type(each) for each in model.stem] == [Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_fuser_of_torch_sees_plain_layers() -> None:
    plain = interop.to_torch(Block().eval())
    fused = fuse(plain)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in fused.modules())
    x = torch.randn(2, 4, 8, 6)
    torch.testing.assert_close(fused(x), plain(x))


def test_what_stands_in_the_way_in_a_tree_is_named_with_its_path() -> None:
    model = Block()
    model.body.padding = ((-1, 1), (2, 2))
    with pytest.raises(ValueError, match=r"the layer 'body': `padding` is \(\(-1, 1\)"):
        interop.to_torch(model)
    inner = nn.Sequential(nn.Sequential(make()))
    with pytest.raises(
        ValueError, match=r"the layer '0.0': `channel_first` is False; .*channel-fi"
    ):
        interop.to_torch(inner)
    with pytest.raises(TypeError, match=r"or a module that contains one, got Sequential"):
        interop.to_torch(nn.Sequential(nn.Conv2d(3, 4, 3)))


@pytest.mark.parametrize("transposed", [False, True])
def test_what_is_frozen_and_what_is_trained_stays_so(transposed: bool) -> None:
    layer = (nn.ConvTranspose2d if transposed else nn.Conv2d)(4, 6, 3, padding=1).eval()
    layer.weight.requires_grad_(False)
    conv = interop.from_layer(layer, (4, 7, 6))
    assert [p.requires_grad for p in conv.parameters()] == [False, True]
    assert not conv.training
    back = interop.to_torch(conv)
    assert [p.requires_grad for p in back.parameters()] == [False, True]
    assert not back.training
    plain = interop.to_torch(make(padding=1, param_type=nn.Buffer))
    assert [p.requires_grad for p in plain.parameters()] == [False, False]
    computed = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3))
    with torch.no_grad():
        assert interop.from_layer(computed, (4, 7, 6)).weight.requires_grad
    for parameter in computed.parameters():
        parameter.requires_grad_(False)
    assert not interop.from_layer(computed, (4, 7, 6)).weight.requires_grad


ODD: list[Any] = [
    *(None, 0, -1, 3.5, "x", "same", (), (0, 0), (1,), (1, 2, 3), ((1, 2), (3,)), (1.5, 2), {}, []),
    *(object(), np.ones((2, 2)), 10**5000, [(1, 2)] * 3, float("nan"), torch.ones(2), (-1, -1)),
    nn.UninitializedParameter(),
]
PROPERTIES = [
    *("kernel_size", "stride", "padding", "dilation", "groups", "out_channels", "padding_mode"),
    *("weight", "bias", "training", "output_padding"),
]


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_an_odd_property_is_named(kind: type[nn.Conv2d], name: str) -> None:
    """A few of these values are valid: a bias of None means no bias."""
    refused = 0
    for value in ODD:
        layer = kind(4, 6, (3, 2), (2, 1))
        layer.__dict__[name] = value
        layer._parameters.pop(name, None)
        try:
            conv = interop.from_layer(layer, (4, 7, 6))
        except (TypeError, ValueError) as error:
            refused += 1
            text = str(error)
        else:
            text = repr(conv) + "`"
        assert "`" in text
        assert len(text) < 1000
    read = name != "output_padding" or kind is nn.ConvTranspose2d
    assert refused > 15 or not read
    layer = kind(4, 6, (3, 2))
    if read:
        delattr(layer, name)
        with pytest.raises(TypeError, match=f"`layer` must have the properties .* '{name}'"):
            interop.from_layer(layer, (4, 7, 6))


def test_a_weight_of_another_shape_is_not_exported() -> None:
    conv = make(padding=1)
    conv.weight = nn.Parameter(torch.ones(6, 2, 2, 3))
    for function in (interop.to_torch, lambda conv: interop.export_params(conv, "flax")):
        with pytest.raises(ValueError, match=r"`weight` must have the shape \(6, 2, 3, 2\)"):
            function(conv)
