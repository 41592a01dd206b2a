"""The gradients that tools ask for: of frozen layers, batched, in dense memory, linearized."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from cases import VALID, make_input, make_layer, whole_numbers
from torch import Tensor, nn

from parity.definition.expected import layer_gradients
from torchconv2d import Conv2d

pytestmark = pytest.mark.usefixtures("one_thread")

# torch's own backward reads outside its memory here: a transposed layer, one output channel and a
# lone column.
LONE_COLUMN: dict[str, Any] = {
    "in_size": (16, 1, 2),
    "out_channels": 1,
    "kernel_size": (2, 3),
    "padding": [(1, 1), (2, 2)],
    "lhs_dilation": (1, 2),
}


class Setting:
    """A layer with whole numbers, its input and cotangent, and the gradients by definition."""

    def __init__(self, layer: Conv2d) -> None:
        self.layer, self.x = layer, make_input(layer)
        self.cotangent = whole_numbers((2, *layer.out_size), 3, layer.weight.dtype)
        right = layer_gradients(layer, self.x, self.cotangent)
        names = [name for name, _ in layer.named_parameters()]
        self.right = dict(zip(["input", *names], [each.value for each in right], strict=True))

    def leaves(self, *names: str) -> list[Tensor]:
        """The input and parameters of these names; gradients are recorded for no other."""
        found = {"input": self.x.clone(), **dict(self.layer.named_parameters())}
        for name, tensor in found.items():
            tensor.requires_grad_(name in names)
        self.given = found["input"]
        return [found[name] for name in names]


LAYERS = (*VALID, "one output channel and a lone column")


@cache
def setting_of(name: str) -> Setting:
    if name in VALID:
        return Setting(make_layer(name, b_init=lambda shape: whole_numbers(shape, 4, torch.float)))
    return Setting(Conv2d(**LONE_COLUMN, w_init=lambda shape: whole_numbers(shape, 5, torch.float)))


@pytest.fixture(params=LAYERS)
def setting(request: pytest.FixtureRequest) -> Setting:
    return setting_of(request.param)


def one_of_each_lowering() -> list[str]:
    """A layer for each way to compute it, with a stride and without."""
    layers = {name: make_layer(name) for name in VALID}
    found = {(type(each.lowering), each.stride == (1, 1)): name for name, each in layers.items()}
    return list(found.values())


def test_a_frozen_layer_has_the_same_gradients(setting: Setting) -> None:
    """By the input alone, by the weight alone and by the bias alone; and dense, as torch's."""
    for name, right in setting.right.items():
        (leaf,) = setting.leaves(name)
        (gradient,) = torch.autograd.grad(setting.layer(setting.given), leaf, setting.cotangent)
        assert torch.equal(gradient.double(), right), name
        assert gradient.is_contiguous(), name


def test_the_gradients_of_a_lone_column_are_the_same_in_each_run() -> None:
    """Where torch's own backward is used it reads memory that it did not write."""
    layer = Conv2d(**LONE_COLUMN, w_init=1.0).requires_grad_(False)
    x = torch.ones(1, *layer.in_size, requires_grad=True)
    script, trace = torch.jit.script(layer), torch.jit.trace(layer, (x,))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for run in (layer, script, trace, compiled) * 3:
        (gradient,) = torch.autograd.grad(run(x).sum(), x)
        assert torch.equal(gradient, torch.full_like(x, 6.0))


def test_gradients_are_dense(setting: Setting) -> None:
    """So that `gradient.view(-1)` works, as it does with `nn.Conv2d`."""
    leaves = setting.leaves(*setting.right)
    gradients = torch.autograd.grad(setting.layer(setting.given), leaves, setting.cotangent)
    for (name, right), gradient in zip(setting.right.items(), gradients, strict=True):
        assert torch.equal(gradient.view(-1).double(), right.flatten()), name


def test_batched_gradients(setting: Setting) -> None:
    leaves = setting.leaves(*setting.right)
    cotangents = torch.stack([setting.cotangent, -3 * setting.cotangent])
    y = setting.layer(setting.given)
    gradients = torch.autograd.grad(y, leaves, cotangents, is_grads_batched=True)
    for (name, right), gradient in zip(setting.right.items(), gradients, strict=True):
        assert torch.equal(gradient.double(), torch.stack([right, -3 * right])), name


# Jacobians are large, so only some layers of each kind run here.
JACOBIANS = ("same_stride", "lhs_stride", "lhs_upsample", "one_input_channel", "groups_lhs")


@pytest.mark.parametrize("name", [*JACOBIANS, "few_output_channels_subpixel", "mask"])
def test_a_vectorized_jacobian(name: str) -> None:
    channels = make_layer(name).in_channels
    layer = make_layer(name, in_size=(4, 3, channels))
    x = make_input(layer, batch=())
    loop = torch.autograd.functional.jacobian(layer, x)
    assert torch.equal(torch.autograd.functional.jacobian(layer, x, vectorize=True), loop)
    assert loop.any()


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")  # torch's own
@pytest.mark.parametrize("name", one_of_each_lowering())
def test_linearize(name: str) -> None:
    """The first calls once gave memory that nothing had written."""
    setting = setting_of(name)
    layer, x = setting.layer, setting.x
    setting.leaves()
    y, tangent = torch.func.linearize(layer, x)
    assert torch.equal(y, layer(x))
    direction = whole_numbers(tuple(x.shape), 8, x.dtype)
    without_bias = layer(direction) - layer(torch.zeros_like(direction))
    for _ in range(3):
        assert torch.equal(tangent(direction), without_bias)


@pytest.mark.parametrize("mixed", [torch.bfloat16, torch.float16])
def test_a_mask_stays_float32_under_mixed_precision(mixed: torch.dtype) -> None:
    """FSDP2 casts the parameters and the input, but no buffer."""
    layer = make_layer("mask")
    x = make_input(layer)
    expected = layer(x)
    for parameter in layer.parameters():
        parameter.data = parameter.data.to(mixed)
    assert layer.w_mask is not None
    assert layer.w_mask.dtype == torch.float32
    y = layer(x.to(mixed))
    assert y.dtype == mixed
    assert torch.equal(y.float(), expected)  # whole numbers
    (gradient,) = torch.autograd.grad(y.sum(), layer.weight)
    assert gradient.dtype == mixed


@pytest.mark.parametrize("name", ["mask", "bias_stride"])
def test_a_layer_that_starts_on_the_meta_device(name: str) -> None:
    """`to_empty`, then `reset_parameters`, as before `fully_shard` loads or trains it."""
    layer = make_layer(name, device="meta").to_empty(device="cpu")
    for tensor in layer.state_dict().values():
        nn.init.constant_(tensor, torch.nan)
    layer.reset_parameters()
    expected = make_layer(name)
    for key, tensor in expected.state_dict().items():
        assert torch.equal(layer.state_dict()[key], tensor), key


@pytest.mark.parametrize("lhs_dilation", [1, 2])
def test_the_format_of_a_gradient_does_not_depend_on_the_numbers(lhs_dilation: int) -> None:
    """Images and weights with unusual strides: finite, and with a NaN."""
    layer = make_layer(
        "same", torch.float32, in_size=(4, 9, 8), channel_first=True, lhs_dilation=lhs_dilation
    )
    weights = [layer.weight.detach()]
    weights.append(torch.stack([weights[0]] * 2, 2).permute(0, 1, 3, 4, 2)[..., 0])
    weights.append(weights[0].to(memory_format=torch.channels_last))
    weights.append(torch.cat([weights[2]] * 2, 1)[:, :4])
    single = torch.randn(9, 8, 4).permute(2, 0, 1)[None]
    rows = torch.empty_strided((3, 4, 9, 8), (4, 1, 96, 12)).normal_()
    for weight in weights:
        layer.weight = nn.Parameter(weight)
        for x in (single, rows, rows.contiguous()):
            spoilt = torch.empty_strided(x.shape, x.stride()).copy_(x)
            spoilt[0, 1, 2, 3] = torch.nan
            formats = [gradient_strides(layer, each) for each in (x, spoilt)]
            assert formats[0] == formats[1]


def gradient_strides(layer: Conv2d, x: Tensor) -> list[tuple[int, ...]]:
    x = x.detach().requires_grad_()
    gradients = torch.autograd.grad(layer(x).sum(), (x, layer.weight))
    return [each.stride() for each in gradients]
