"""The shortest case of each kind of failure that torch's and ONNX's tables once found."""

from __future__ import annotations

import pytest
import torch
from cases import whole_numbers
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from torchconv2d import Conv2d, conv_general_dilated, interop

pytestmark = [
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning"),
]


def test_batched_gradients_of_a_transposed_layer() -> None:
    conv = interop.from_layer(nn.ConvTranspose2d(3, 3, 3, 2, 2, 1), (3, 4, 4))
    x = whole_numbers((1, 3, 4, 4), 5, torch.float32).requires_grad_()
    y = conv(x)
    cotangents = whole_numbers((2, *y.shape), 6, torch.float32)
    found = torch.autograd.grad(y, (x, conv.weight), cotangents, True, is_grads_batched=True)
    single = [torch.autograd.grad(y, (x, conv.weight), each, True) for each in cotangents]
    for mine, right in zip(found, zip(*single, strict=True), strict=True):
        torch.testing.assert_close(mine, torch.stack(right))


def test_the_functional_form_with_symbolic_sizes() -> None:
    def run(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return conv_general_dilated(x, kernel, (2, 3), "SAME", (1, 2))

    operands = [whole_numbers(shape, 7, torch.float32) for shape in ((2, 3, 7, 6), (5, 3, 3, 2))]
    graph = make_fx(run, tracing_mode="symbolic")(*operands)
    assert torch.equal(graph(*operands), run(*operands))


def test_gradients_can_be_viewed() -> None:
    conv = Conv2d((7, 6, 4), 6, (3, 2), w_init=2.0)
    x = whole_numbers((2, 7, 6, 4), 8, torch.float32).requires_grad_()
    gradients = torch.autograd.grad(conv(x).square().sum(), (x, conv.weight))
    for gradient in gradients:
        assert torch.equal(gradient.view(-1), gradient.flatten())


def test_the_linear_function_of_phases() -> None:
    conv = Conv2d((7, 6, 4), 6, (3, 2), (3, 2), lhs_dilation=(2, 3), w_init=2.0)
    x = whole_numbers((2, 7, 6, 4), 9, torch.float32)
    y, along = torch.func.linearize(conv, x)
    for _ in range(3):
        dirt = [torch.full_like(y, torch.nan) for _ in range(4)]
        del dirt
        assert torch.equal(along(x), y)


def test_complex_gradients_of_a_script_at_each_call() -> None:
    conv = Conv2d((14, 14, 32), 1, 3, dtype=torch.complex128)
    x = torch.randn(2, 14, 14, 32, dtype=torch.complex128, requires_grad=True)
    script, cotangent = torch.jit.script(conv), torch.randn(2, 14, 14, 1, dtype=torch.complex128)
    right = torch.autograd.grad(conv(x), (x, conv.weight), cotangent)
    for _ in range(3):  # torch rewrites the graph in the first calls
        found = torch.autograd.grad(script(x), (x, conv.weight), cotangent)
        torch.testing.assert_close(found, right)
