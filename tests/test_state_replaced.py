"""Layers whose parameters were deleted, replaced or pruned by the user, and odd state dicts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import make_layer
from limits import state_of
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn.utils import parametrizations, prune

from torchconv2d import Conv2d, init, interop

pytestmark = pytest.mark.usefixtures("one_thread")


def layer_of(**changes: Any) -> Conv2d:
    return make_layer("mask_lhs", b_init=init.Normal(), **changes)


def forward(layer: Conv2d) -> Tensor:
    return layer(torch.ones(layer.in_size))


def export(layer: Conv2d) -> Any:
    return interop.export_params(layer, "torch")


def load_params(layer: Conv2d) -> None:
    params = {"kernel": torch.ones(layer.kernel_shape), "bias": torch.ones(6)}
    interop.load_params(layer, params, "flax")


USES: list[Callable[[Conv2d], Any]] = [
    *(forward, export, load_params, Conv2d.reset_parameters, Conv2d.fold_mask)
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_deleted_parameter_is_named(name: str, use: Callable[[Conv2d], Any]) -> None:
    layer = layer_of()
    delattr(layer, name)
    before = state_of(layer)
    if (name, use) == ("bias", Conv2d.fold_mask):  # it needs no bias
        assert use(layer) is layer
        return
    with pytest.raises(AttributeError, match=rf"`{name}` was deleted; set it .*`layer\.{name} = "):
        use(layer)
    assert state_of(layer) == before
    assert not hasattr(layer, name)
    with pytest.raises(AttributeError, match="no attribute 'wieght'"):
        layer.wieght  # noqa: B018


SHAPES: dict[str, tuple[tuple[int, ...], str]] = {
    "w_mask": ((1, 1, 1, 6), "(3, 2, 4, 6)"),  # it would broadcast
    "bias": ((1,), "(6,)"),
    "weight": ((6, 4, 2, 3), "(6, 4, 3, 2)"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", SHAPES)
def test_another_shape_is_refused(name: str, use: Callable[[Conv2d], Any]) -> None:
    layer = layer_of()
    shape, right = SHAPES[name]
    other = torch.full(shape, 2.0)
    setattr(layer, name, other if name == "w_mask" else nn.Parameter(other))
    before = state_of(layer)
    if (name, use) in (("bias", Conv2d.fold_mask), ("w_mask", load_params)):  # they do not use it
        use(layer)
        return
    with pytest.raises(ValueError, match=re.escape(f"`{name}` must have the shape {right}, as at")):
        use(layer)
    assert state_of(layer) == before


@pytest.mark.parametrize("use", [export, interop.to_torch, load_params, Conv2d.reset_parameters])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_sparse_parameter_is_refused_with_the_remedy(
    name: str, use: Callable[[Conv2d], Any]
) -> None:
    layer = make_layer("bias_stride", b_init=init.Normal(), padding=1)
    dense = getattr(layer, name).detach()
    setattr(layer, name, nn.Parameter(dense.to_sparse()))
    with pytest.raises(RuntimeError, match=rf"`{name}` .*got a sparse one; call `.to_dense\(\)`"):
        use(layer)
    setattr(layer, name, nn.Parameter(getattr(layer, name).detach().to_dense()))
    assert torch.equal(getattr(layer, name), dense)
    use(layer)


COMPUTED: dict[str, tuple[Callable[[Conv2d], Any], Callable[[Conv2d], Any]]] = {
    "pruned": (
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
        lambda layer: prune.remove(layer, "weight"),
    ),
    "parametrized": (
        parametrizations.weight_norm,
        lambda layer: nn.utils.parametrize.remove_parametrizations(layer, "weight"),
    ),
}


@pytest.mark.parametrize("kind", COMPUTED)
@pytest.mark.parametrize("write", [Conv2d.reset_parameters, Conv2d.fold_mask, load_params])
def test_a_computed_weight_is_not_written(kind: str, write: Callable[[Conv2d], Any]) -> None:
    layer = layer_of(w_init=init.Normal())
    compute, store = COMPUTED[kind]
    compute(layer)
    before, random = state_of(layer), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="`weight` cannot be written: it is computed"):
        write(layer)
    assert state_of(layer) == before
    assert torch.equal(torch.get_rng_state(), random)
    store(layer)
    stored = layer.weight.detach().clone()
    write(layer)
    assert not torch.equal(layer.weight, stored)


WITHOUT_NUMBERS: dict[str, Callable[[Tensor], Tensor]] = {
    "a tensor on the meta device": lambda tensor: tensor.to("meta"),
    "a FakeTensor": lambda tensor: FakeTensorMode().from_tensor(tensor),
}


@pytest.mark.parametrize("kind", WITHOUT_NUMBERS)
def test_a_tensor_without_numbers_is_refused(kind: str) -> None:
    layer, empty = layer_of(), WITHOUT_NUMBERS[kind]
    before = state_of(layer)
    kernel, bias = torch.ones(layer.kernel_shape), torch.ones(6)
    for name, argument in (("w_init", kernel), ("w_mask", kernel), ("b_init", bias)):
        with pytest.raises(ValueError, match=f"`{name}` must hold numbers, got {kind}"):
            make_layer("mask_lhs", **{name: empty(argument)})
    with pytest.raises(ValueError, match=f"`bias` must hold numbers, got {kind}"):
        interop.load_params(layer, {"kernel": kernel, "bias": empty(bias)}, "flax")
    for assign in (False, True):
        state = layer.state_dict() | {"bias": empty(bias)}
        with pytest.raises(RuntimeError, match=f"`bias` must hold numbers, got {kind}"):
            layer.load_state_dict(state, assign=assign)
    assert state_of(layer) == before
    with FakeTensorMode():  # here torch pretends to compute
        fake = make_layer("bias", w_init=torch.ones(make_layer("bias").kernel_shape))
        fake.reset_parameters()
        fake.load_state_dict(fake.state_dict())
        assert forward(fake).shape == fake.out_size
    meta = make_layer("bias").to("meta")
    meta.load_state_dict(meta.state_dict(), assign=True)
    with pytest.raises(RuntimeError, match="must hold numbers, but has a tensor on the meta"):
        export(meta)


def test_names_that_a_layer_has_not() -> None:
    layer = layer_of()
    before, state = state_of(layer), layer.state_dict()
    for more, words in (
        ({f"body.{i}": i for i in range(100_000)}, "'body.7' and 99992 more"),
        ({f"{i}" * 5000: i for i in range(9)}, "(5000 characters) and 8 more"),
        ({"\U000e0001" * 5000: 1}, "(5000 characters)"),
    ):
        with pytest.raises(RuntimeError, match="Unexpected") as caught:
            layer.load_state_dict(state | more)
        assert words in str(caught.value)
        assert len(str(caught.value)) < 1000
        assert layer.load_state_dict(state | more, strict=False).unexpected_keys == list(more)
    with pytest.raises(RuntimeError, match=r"Missing .*'weight', 'bias'\. Unexpected .*'kernel'"):
        layer.load_state_dict({"w_mask": state["w_mask"], "kernel": 1})
    wrong: Any
    for wrong in ({1: 2}, {None: state["bias"], **state}, {("bias",): state["bias"]}):
        with pytest.raises(TypeError, match=r"names of a state dict must be strings, got .*[1Nb]"):
            layer.load_state_dict(wrong)
    for wrong in ([1], "weight", None):
        with pytest.raises(TypeError, match="`state_dict` must be a mapping, got"):
            layer.load_state_dict(wrong)
    assert state_of(layer) == before
