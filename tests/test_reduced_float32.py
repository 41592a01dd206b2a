"""float32 layers where the user lets torch reduce the precision of its products."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from cases import make_input, make_layer, normal_numbers
from needs import needs
from torch import Tensor
from torch.backends import mkldnn
from torch.utils._python_dispatch import TorchDispatchMode

from parity.definition.expected import Bounded, layer_gradients, layer_output
from torchconv2d import Conv2d
from torchconv2d.versions import float32_is_reduced, fp32_settings

# With this many significant bits a number is off by at most 2**-bits of itself.
BFLOAT16_BITS = 8
TF32_BITS = 11

# The operators that multiply, and which of their arguments are the factors.
FACTORS = {
    "convolution": (0, 1),
    "mkldnn_convolution": (0, 1),
    "convolution_backward": (0, 1, 2),
    "mm": (0, 1),
    "bmm": (0, 1),
    "addmm": (1, 2),
    "baddbmm": (1, 2),
}


def use_medium() -> None:
    torch.set_float32_matmul_precision("medium")


def let_onednn_use(precision: str) -> None:
    mkldnn.conv.fp32_precision = precision
    mkldnn.matmul.fp32_precision = precision


REDUCED = [
    pytest.param(use_medium, BFLOAT16_BITS, id="medium"),
    pytest.param(
        partial(let_onednn_use, "bf16"), BFLOAT16_BITS, id="bf16", marks=needs("fp32_precision")
    ),
    pytest.param(
        partial(let_onednn_use, "tf32"), TF32_BITS, id="tf32", marks=needs("fp32_precision")
    ),
]


class Reducing(TorchDispatchMode):
    """Rounds the factors of each product, as processors with instructions for it do."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.dropped = 24 - bits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        factors = FACTORS.get(func.overloadpacket.__name__, ())
        rounded = [self._round(each) if i in factors else each for i, each in enumerate(args)]
        return func(*rounded, **(kwargs or {}))

    def _round(self, factor: Tensor) -> Tensor:
        half, kept = 1 << (self.dropped - 1), -(1 << self.dropped)
        return ((factor.view(torch.int32) + half) & kept).view(torch.float32)


@pytest.fixture
def _settings_put_back() -> Iterator[None]:
    before = [(setting, setting.fp32_precision) for setting in fp32_settings()]
    matmul = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(matmul)
    for setting, value in before:
        setting.fp32_precision = value


def found_by(layer: Conv2d, x: Tensor, cotangent: Tensor) -> list[Tensor]:
    """The output of inference, that of training, and the gradients."""
    x = x.clone().requires_grad_()
    with torch.no_grad():
        inference = layer(x)
    y = layer(x)
    return [inference, y.detach(), *torch.autograd.grad(y, [x, *layer.parameters()], cotangent)]


def right_for(layer: Conv2d, x: Tensor, cotangent: Tensor) -> list[Bounded]:
    """The right values of ``found_by``, with their bounds."""
    output = layer_output(layer, x)
    return [output, output, *layer_gradients(layer, x, cotangent)]


def absolute(layer: Conv2d) -> Conv2d:
    found = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.abs_()
    return found


@pytest.mark.usefixtures("_settings_put_back")
@pytest.mark.parametrize("imitated", [False, True], ids=["this processor", "imitated"])
@pytest.mark.parametrize(("reduce", "bits"), REDUCED)
@pytest.mark.parametrize(
    "name",
    [
        "pointwise",
        "same_stride",
        "groups",
        "bias_stride",
        "lone_output_channel",
        "few_output_channels",
        "lhs_same",
        "lhs_upsample",
        "lhs_stride",
        "channel_first_lhs",
    ],
)
def test_results_are_within_the_bound_of_the_reduced_precision(
    name: str, reduce: Callable[[], None], bits: int, imitated: bool
) -> None:
    """Each factor may be rounded once. On a processor without instructions for it, none is."""
    layer = make_layer(name, numbers=normal_numbers, b_init=0.7)
    x = make_input(layer, normal_numbers)
    cotangent = normal_numbers((2, *layer.out_size), 5, torch.float32)
    expected = right_for(layer, x, cotangent)
    full = found_by(layer, x, cotangent)
    for actual, (value, bound) in zip(full, expected, strict=True):
        assert ((actual.double() - value).abs() <= bound).all()

    reduce()
    assert float32_is_reduced("cpu")
    with Reducing(bits) if imitated else nullcontext():
        reduced = found_by(layer, x, cotangent)
    magnitudes = right_for(absolute(layer), x.abs(), cotangent.abs())
    u = 2.0**-bits
    for actual, (value, bound), largest in zip(reduced, expected, magnitudes, strict=True):
        error = (actual.double() - value).abs()
        assert (error <= bound + (2 * u + u**2) * largest.value).all()
    if imitated:  # then each of them is affected, except that a bias's gradient has no products
        pairs = zip(reduced[:-1], full[:-1], strict=True)
        assert not any(torch.equal(actual, exact) for actual, exact in pairs)
