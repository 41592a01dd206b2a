"""Operands that no convolution reads: each gets one error, and the layer stays as it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import make_input, make_layer
from limits import state_of
from needs import needs
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.masked import masked_tensor

from torchconv2d import Conv2d, conv_general_dilated, init

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*(quantize|nested|sparse|Sparse|MaskedTensor):UserWarning"),
]

UNREADABLE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "sparse": (Tensor.to_sparse, r"a sparse one; call `.to_dense()`"),
    "compressed": (lambda each: each.reshape(-1, 2).to_sparse_csr(), r"call `.to_dense()`"),
    "MKL-DNN": (Tensor.to_mkldnn, r"an MKL-DNN one; call `.to_dense()`"),
    "nested": (
        lambda each: torch.nested.nested_tensor(list(each)),
        "a nested one; call `.to_padded_tensor(0)`",
    ),
    "quantized": (
        lambda each: torch.quantize_per_tensor(each, 0.1, 0, torch.qint8),
        "quantize",  # an input has another remedy
    ),
    "masked": (lambda each: masked_tensor(each, each > 0), "MaskedTensor; call `.to_tensor(0)`"),
    "uninitialized": (lambda _: nn.UninitializedParameter(), "run the lazy layer once first"),
    "fake": (lambda each: FakeTensorMode().from_tensor(each), "FakeTensor, which holds no numbers"),
    "float4": (
        lambda each: each.to(torch.uint8).view(torch.float4_e2m1fn_x2),
        "torch.float4_e2m1fn_x2",
    ),
}
KINDS = [
    pytest.param(each, marks=[needs("float4")] if each == "float4" else []) for each in UNREADABLE
]


def layer_of() -> Conv2d:
    return make_layer("mask_lhs", b_init=init.Normal())


def replace(layer: Conv2d, name: str, value: Tensor) -> None:
    is_parameter = name != "w_mask" and not isinstance(value, nn.UninitializedParameter)
    setattr(layer, name, nn.Parameter(value, requires_grad=False) if is_parameter else value)


@pytest.mark.parametrize("name", ["input", "weight", "bias", "w_mask"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_that_no_layer_reads(kind: str, name: str) -> None:
    layer, x = layer_of(), make_input(layer_of())
    make, message = UNREADABLE[kind]
    if name == "input":
        x, before = make(x), state_of(layer)
    else:
        replace(layer, name, make(getattr(layer, name).detach()))
        before = []
    with pytest.raises((TypeError, ValueError), match=re.escape(message)) as caught:
        layer(x)
    assert ("The input" if name == "input" else f"`{name}`") in str(caught.value)
    assert name != "input" or state_of(layer) == before


@pytest.mark.parametrize("name", ["lhs", "rhs"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_that_no_function_reads(kind: str, name: str) -> None:
    operands = {"lhs": torch.ones(2, 4, 6, 8), "rhs": torch.ones(6, 4, 3, 2)}
    make, message = UNREADABLE[kind]
    operands[name] = make(operands[name])
    with pytest.raises(TypeError, match=re.escape(message)) as caught:
        conv_general_dilated(*operands.values(), (1, 1), "SAME")
    assert f"`{name}`" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("bias", lambda each: each.double(), "`bias` .*float64 and its weight torch.float32; cast"),
        ("bias", lambda each: each.to("meta"), "`bias` is on the device meta .*on cpu; move"),
        ("w_mask", lambda each: each.to("meta"), "`w_mask` is on the device meta .*on cpu; move"),
        ("w_mask", lambda each: each * 1j, "`w_mask` is complex .*weight real"),
        ("weight", lambda each: each.to("meta"), "the layer on meta; move"),
        (
            "weight",
            lambda each: each.to(torch.float8_e4m3fn),
            "`weight` must be of a floating .*float8_e4m3fn; cast",
        ),
    ],
)
def test_parameters_that_do_not_fit_each_other(
    name: str, changed: Callable[[Tensor], Tensor], message: str
) -> None:
    layer = layer_of()
    replace(layer, name, changed(getattr(layer, name).detach()))
    with pytest.raises((TypeError, ValueError), match=message):
        layer(make_input(layer))


def test_tensors_that_are_views_or_subclasses_are_read() -> None:
    layer = layer_of()
    x = make_input(layer)
    expected = layer(x)

    class Named(Tensor):
        pass

    assert torch.equal(layer(x.as_subclass(Named)), expected)
    assert torch.equal(layer((x * 1j).conj().neg().imag), expected)  # with a negative bit
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Named))
    assert torch.equal(layer(x), expected)


def test_fake_tensors_meet_real_ones_where_their_mode_allows_it() -> None:
    layer = layer_of()
    allowing = FakeTensorMode(allow_non_fake_inputs=True)
    x = make_input(layer)
    assert layer(allowing.from_tensor(x)).shape == (len(x), *layer.out_size)
    with FakeTensorMode() as mode, pytest.raises(TypeError, match="its `weight` is a FakeTensor"):
        layer(mode.from_tensor(x))


class Raises(dict[str, Any]):
    """A mapping of which one method raises."""

    def __init__(self, entries: dict[str, Any], method: str) -> None:
        super().__init__(entries)
        self.method = method

    def _do(self, method: str, *arguments: Any) -> Any:
        if method == self.method:
            raise ZeroDivisionError("on purpose")
        return getattr(super(), method)(*arguments)

    def __getitem__(self, name: str) -> Any:
        return self._do("__getitem__", name)

    def keys(self) -> Any:
        return self._do("keys")


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("method", ["__getitem__", "keys"])
def test_a_state_dict_that_raises(method: str, assign: bool) -> None:
    layer = layer_of()
    before = state_of(layer)
    hostile = Raises({name: each + 1 for name, each in layer.state_dict().items()}, method)
    with pytest.raises(TypeError, match=r"`state_dict` cannot be read.*ZeroDivisionError: on purp"):
        layer.load_state_dict(hostile, assign=assign)
    with pytest.raises(ZeroDivisionError):  # torch's own method of a network reads it
        nn.Sequential(layer).load_state_dict(hostile, assign=assign)
    assert state_of(layer) == before


@pytest.mark.parametrize("assign", [False, True])
def test_a_network_refuses_names_before_a_layer_sees_them(assign: bool) -> None:
    """The error is torch's own: a network's `load_state_dict` asks no layer about the names."""
    layer = layer_of()
    network, before = nn.Sequential(layer), state_of(layer)
    state: Any = {f"0.{name}": each + 1 for name, each in layer.state_dict().items()}
    for hostile in ({1: 2}, {**state, 1: 2}, {1: 2, **state}):
        with pytest.raises(AttributeError, match="startswith"):
            network.load_state_dict(hostile, assign=assign)
        assert state_of(layer) == before


@pytest.mark.parametrize("metadata", [7, {"": 7}, [1], "versions"])
def test_a_state_dict_with_other_metadata(metadata: Any) -> None:
    layer = layer_of()
    before = state_of(layer)
    state: Any = layer.state_dict()
    state["bias"] = state["bias"] + 1
    kept = state._metadata
    state._metadata = metadata
    with pytest.raises(TypeError, match=r"`state_dict._metadata` must be a dict of dicts, got"):
        layer.load_state_dict(state)
    assert state_of(layer) == before
    state._metadata = kept
    layer.load_state_dict(state)
    assert state_of(layer) != before
