"""The layer as a module of torch: attributes, parameters, mask, copies, meta, memory formats."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from cases import BASE, VALID, make_input, make_layer, normal_numbers, whole_numbers
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from torchconv2d import Conv2d, init


def test_signature() -> None:
    """The reference's fourteen arguments in its order, with its defaults; then torch's two."""
    parameters = inspect.signature(Conv2d).parameters
    assert list(parameters) == [
        *("in_size", "out_channels", "kernel_size", "stride", "padding", "lhs_dilation"),
        *("rhs_dilation", "groups", "w_init", "b_init", "w_mask", "channel_first", "name"),
        *("param_type", "device", "dtype"),
    ]
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    assert repr(defaults.pop("w_init")) == repr(init.XavierNormal())
    assert defaults == {
        **{"stride": 1, "padding": "SAME", "lhs_dilation": 1, "rhs_dilation": 1, "groups": 1},
        **{"b_init": None, "w_mask": None, "channel_first": False, "name": None},
        **{"param_type": nn.Parameter, "device": None, "dtype": None},
    }
    assert parameters["device"].kind == parameters["dtype"].kind == inspect.Parameter.KEYWORD_ONLY


def test_attributes() -> None:
    layer = Conv2d(
        (4, 7, 6), 6, (3, 2), (2, 1), [(1, 2)], (1, 2), 3, 2, channel_first=True, name="a"
    )
    expected: dict[str, Any] = {
        "in_size": (4, 7, 6),
        "out_size": (6, 2, 11),
        "in_channels": 4,
        "out_channels": 6,
        "kernel_size": (3, 2),
        "stride": (2, 1),
        "padding": ((1, 2), (1, 2)),
        "lhs_dilation": (1, 2),
        "rhs_dilation": (3, 3),
        "groups": 2,
        "channel_first": True,
        "channels_last": False,
        "kernel_shape": (3, 2, 2, 6),
        "name": "a",
        "w_mask": None,
        "bias": None,
    }
    assert {name: getattr(layer, name) for name in expected} == expected
    assert layer.weight.shape == (6, 2, 3, 2)
    assert layer.weight.is_contiguous()
    assert layer.kernel.shape == layer.kernel_shape
    assert layer.kernel.data_ptr() == layer.weight.data_ptr()
    assert layer.kernel[2, 1, 0, 5] == layer.weight[5, 0, 2, 1]


def test_a_backward_pass_within_autocast_is_of_the_outputs_type() -> None:
    layer = Conv2d((6, 7, 4), 16, 3, lhs_dilation=2)
    x = torch.rand(2, 6, 7, 4, requires_grad=True)
    y = layer(x).square().sum()
    (expected,) = torch.autograd.grad(y, x, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = torch.autograd.grad(y, x)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["w_init", "b_init"])
def test_a_class_in_place_of_an_initializer_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"`{name}` .* write XavierNormal\(\)"):
        Conv2d((7, 6, 4), 6, 3, **{name: init.XavierNormal})


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_an_input_that_is_not_dense_is_refused() -> None:
    layer, x = Conv2d((7, 6, 4), 6, 3), torch.rand(2, 7, 6, 4)
    for given in (x.to_sparse(), torch.nested.nested_tensor([x[0], x[1]])):
        with pytest.raises(TypeError, match="dense"):
            layer(given)


def test_repr_is_one_line_with_size_lowering_and_what_differs() -> None:
    assert repr(make_layer("same_odd", name="stem")) == (
        "Conv2d(in_size=(7, 6, 4), out_size=(7, 6, 6), kernel_size=(3, 5), name='stem', "
        "lowering=Plain)"
    )
    layer = make_layer("mask_lhs")
    assert repr(layer) == (
        "Conv2d(in_size=(7, 6, 4), out_size=(13, 16, 6), kernel_size=(3, 2), lhs_dilation=(2, 3), "
        "bias=True, w_mask=True, lowering=Transposed)"
    )
    parametrizations.weight_norm(layer)
    assert "parametrizations" in repr(layer)


def test_the_default_kernel_is_xavier_normal_in_the_documented_layout() -> None:
    torch.manual_seed(8)
    layer = Conv2d(**BASE, b_init=init.Normal())
    torch.manual_seed(8)
    assert torch.equal(layer.kernel, init.XavierNormal()((3, 2, 4, 6)))
    assert layer.bias is not None
    assert torch.equal(layer.bias, init.Normal()((1, 1, 6)).reshape(6))


def test_draws_come_in_the_order_mask_weight_bias() -> None:
    order: list[tuple[int, ...]] = []

    def note(shape: tuple[int, ...]) -> torch.Tensor:
        order.append(shape)
        return torch.full(shape, float(len(order)))

    layer = Conv2d(**BASE, w_init=note, b_init=note, w_mask=note)
    assert order == [(3, 2, 4, 6), (3, 2, 4, 6), (1, 1, 6)]
    assert layer.w_mask is not None
    assert layer.bias is not None
    assert (layer.w_mask.max(), layer.weight.max(), layer.bias.max()) == (1, 2, 3)


def test_reset_parameters_draws_anew_and_restores_arrays() -> None:
    mask = np.arange(6.0)
    layer = Conv2d(**BASE, b_init=3.0, w_mask=mask)
    weight, parameter = layer.weight.detach().clone(), layer.weight
    with torch.no_grad():
        for tensor in layer.state_dict().values():
            tensor.fill_(-7.0)
    layer.reset_parameters()
    assert layer.weight is parameter
    assert not torch.equal(layer.weight, weight)
    assert abs(layer.weight).max() < 3
    assert layer.bias is not None
    assert torch.all(layer.bias == 3)
    assert layer.w_mask is not None
    assert torch.equal(layer.w_mask, torch.arange(6.0).expand(3, 2, 4, 6))


def test_a_torch_state_dict_loads() -> None:
    other = nn.Conv2d(4, 6, (3, 2), groups=2)
    layer = Conv2d((7, 6, 4), 6, (3, 2), groups=2, padding="VALID", b_init=0.0)
    layer.load_state_dict(other.state_dict())
    x = make_input(layer, normal_numbers)
    expected = other(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert torch.allclose(layer(x), expected, rtol=1e-5, atol=1e-5)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]


@pytest.mark.parametrize("name", VALID)
def test_copies_pickles_and_state_dicts_give_the_same_layer(name: str) -> None:
    layer = make_layer(name, w_init=init.Normal(), name="original")
    x = make_input(layer)
    expected = layer(x)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded):
        assert repr(other) == repr(layer)
        assert other.name == "original"
        assert other.weight.data_ptr() != layer.weight.data_ptr() or layer.out_channels == 0
        assert torch.equal(other(x), expected)
    fresh = make_layer(name, w_init=init.Normal())
    assert fresh.load_state_dict(layer.state_dict()) == ([], [])
    assert torch.equal(fresh(x), expected)
    assert set(layer.state_dict()) <= {"weight", "bias", "w_mask"}


def test_the_mask_is_a_buffer_and_the_weight_stays_whole() -> None:
    layer = make_layer("mask", b_init=1.0)
    assert set(layer.state_dict()) == {"weight", "bias", "w_mask"}
    assert {name for name, _ in layer.named_parameters()} == {"weight", "bias"}
    assert layer.w_mask is not None
    assert layer.w_mask.shape == layer.kernel_shape
    hidden = (layer.w_mask == 0).permute(3, 2, 0, 1)
    assert torch.any(layer.weight[hidden] != 0)
    before = layer.weight.detach().clone()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    layer(make_input(layer)).square().sum().backward()
    optimizer.step()
    assert torch.equal(layer.weight[hidden], before[hidden])
    assert torch.all(layer.weight[~hidden] != before[~hidden])


@pytest.mark.parametrize("name", [name for name in VALID if "w_mask" in VALID[name]])
def test_fold_mask_changes_no_output_and_leaves_no_mask(name: str) -> None:
    layer = make_layer(name)
    x = make_input(layer)
    expected, parameter = layer(x), layer.weight
    assert layer.fold_mask() is layer
    assert layer.w_mask is None
    assert "w_mask" not in layer.state_dict()
    assert layer.weight is parameter
    assert torch.equal(layer(x), expected)
    assert torch.equal(layer.fold_mask()(x), expected)
    layer.reset_parameters()
    assert layer.w_mask is None


def test_fold_mask_needs_a_stored_weight() -> None:
    layer = make_layer("mask")
    prune.l1_unstructured(layer, "weight", 5)
    with pytest.raises(RuntimeError, match=r"prune\.remove"):
        layer.fold_mask()
    assert layer.w_mask is not None
    prune.remove(layer, "weight")
    layer.fold_mask()
    assert layer.w_mask is None
    layer = parametrizations.weight_norm(make_layer("mask"))
    with pytest.raises(RuntimeError, match="remove_parametrizations"):
        layer.fold_mask()


def test_a_frozen_layer_is_buffers() -> None:
    layer = make_layer("bias_stride", param_type=nn.Buffer)
    assert list(layer.parameters()) == []
    assert set(layer.state_dict()) == {"weight", "bias"}
    x = make_input(layer).requires_grad_()
    assert torch.equal(layer(x), make_layer("bias_stride")(x))
    layer(x).sum().backward()
    assert x.grad is not None
    assert layer.fold_mask().double().weight.dtype == torch.float64
    own = make_layer("same", param_type=lambda tensor: nn.Parameter(tensor, requires_grad=False))
    assert not own.weight.requires_grad


def test_parametrizations_and_pruning() -> None:
    layer = make_layer("same_stride", numbers=normal_numbers)
    x = make_input(layer, normal_numbers)
    expected = layer(x)
    parametrizations.weight_norm(layer)
    assert torch.allclose(layer(x), expected, rtol=1e-4, atol=1e-4)
    assert layer.kernel.shape == layer.kernel_shape
    layer(x).sum().backward()
    parametrize.remove_parametrizations(layer, "weight")
    prune.random_unstructured(layer, "weight", 0.5)
    pruned = layer.get_buffer("weight_mask") == 0
    assert torch.all(layer.kernel.permute(3, 2, 0, 1)[pruned] == 0)
    twin = make_layer("same_stride", w_init=layer.kernel.detach())
    assert torch.equal(layer(x), twin(x))


@pytest.mark.parametrize("name", VALID)
def test_meta_construction_and_forward(name: str) -> None:
    calls: list[tuple[int, ...]] = []
    layer = make_layer(name, device="meta", w_init=lambda shape: calls.append(shape))
    assert not calls
    assert all(tensor.is_meta for tensor in layer.state_dict().values())
    y = layer(torch.empty(5, *layer.in_size, device="meta"))
    assert y.is_meta
    assert y.shape == (5, *layer.out_size)
    assert y.is_contiguous()


def test_meta_then_to_empty_then_reset_is_construction() -> None:
    arguments = {**BASE, "b_init": init.Normal(), "w_mask": init.Uniform()}
    torch.manual_seed(4)
    expected = Conv2d(**arguments).state_dict()
    state = torch.get_rng_state()
    with torch.device("meta"):
        layer = Conv2d(**arguments)
    skipped = nn.utils.skip_init(Conv2d, **arguments)
    assert torch.equal(torch.get_rng_state(), state)
    for other in (layer.to_empty(device="cpu"), skipped):
        torch.manual_seed(4)
        other.reset_parameters()
        for key, value in other.state_dict().items():
            assert torch.equal(value, expected[key])
    with pytest.raises(ValueError, match=r"w_init.*\(3, 2, 4, 6\)"):
        Conv2d(**BASE, w_init=np.ones((2, 3, 4, 6)), device="meta")


def test_default_dtype_and_casting() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert Conv2d(**BASE).weight.dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    layer = make_layer("mask_lhs")
    expected = layer(make_input(layer)).double()
    layer.double()
    assert {tensor.dtype for tensor in layer.state_dict().values()} == {torch.float64}
    assert torch.equal(layer(make_input(layer)), expected)


@pytest.mark.parametrize("name", VALID)
def test_channels_last_weights_change_nothing_but_strides(name: str) -> None:
    """Also with one input channel, where torch was silently wrong (pytorch/pytorch#82060)."""
    layer = make_layer(name)
    x = make_input(layer)
    expected = layer(x)
    layer = layer.to(memory_format=torch.channels_last)
    if layer.weight.is_contiguous():  # else some code reads it wrongly, and calls must correct it
        assert layer.weight.stride() == torch.empty(layer.weight.shape).stride()
    y = layer(x)
    assert torch.equal(y, expected)
    assert y.is_contiguous()


@pytest.mark.parametrize("name", [name for name in VALID if "channel_first" in VALID[name]])
def test_channel_first_keeps_the_memory_format_of_its_input(name: str) -> None:
    layer = make_layer(name)
    x = make_input(layer)
    expected = layer(x)
    assert expected.is_contiguous()
    y = layer(x.contiguous(memory_format=torch.channels_last))
    assert torch.equal(y, expected)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_layouts_agree() -> None:
    last = make_layer("mask_lhs")
    first = make_layer("mask_lhs", in_size=(4, 7, 6), channel_first=True, w_init=last.kernel)
    x = make_input(last)
    assert torch.equal(first(x.permute(0, 3, 1, 2)), last(x).permute(0, 3, 1, 2))


def test_functional_call_and_per_sample_gradients() -> None:
    layer = make_layer("bias_stride", torch.float64)
    x = make_input(layer, batch=(4,))

    def loss(weight: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, sample).square().sum()

    weight = layer.weight.detach()
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weight, x)
    layer(x).square().sum().backward()
    assert layer.weight.grad is not None
    assert torch.equal(each.sum(0), layer.weight.grad)


def test_numbers_drawn_by_tests_are_not_trivial() -> None:
    """The exact tests need them to be integers, small, of both signs, and to depend on the seed."""
    for dtype in (torch.float16, torch.float64, torch.complex64):
        drawn = whole_numbers((40, 25), 3, dtype)
        parts = torch.view_as_real(drawn) if dtype.is_complex else drawn
        assert torch.equal(parts, parts.round())
        assert set(parts.flatten().tolist()) == set(range(-4, 5))
        assert not torch.equal(drawn, whole_numbers((40, 25), 4, dtype))
