"""On CUDA, where there is one; and here, that nothing of the layer needs a CPU."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchgen
from cases import VALID, make_input, make_layer, normal_numbers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchgen.gen import parse_native_yaml
from torchgen.model import DispatchKey

from parity import truth
from parity.targets import LAYERS, Cell, cells
from torchconv2d.testing import full_precision, rounding_bound, unit_roundoff

on_cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
CELLS = [pytest.param(cell, id=cell.name, marks=on_cuda) for cell in cells()]
TF32 = 2.0**-11  # its unit roundoff: ten bits behind the leading one


def moved(cell: Cell, dtype: torch.dtype) -> tuple[Any, Tensor, Tensor]:
    """The layer and a batch on the device, and the layer as rounded to that dtype."""
    rounded = copy.deepcopy(cell.layer).to(dtype)
    x = cell.inputs[1].to(dtype)
    return copy.deepcopy(rounded).cuda(), x, truth.value(rounded, x)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_values_on_cuda_are_within_the_bound(cell: Cell, dtype: torch.dtype) -> None:
    layer, x, value = moved(cell, dtype)
    with full_precision(), torch.no_grad():
        y = layer(x.cuda()).cpu()
    rounded = copy.deepcopy(cell.layer).to(dtype)
    assert torch.all((y.double() - value).abs() <= truth.bound(rounded, x, value))


@pytest.mark.parametrize("cell", CELLS)
def test_tf32_is_within_its_own_bound(cell: Cell) -> None:
    """Both factors of each product are rounded to TF32, the sums are float32's."""
    layer, x, value = moved(cell, torch.float32)
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    try:
        with torch.no_grad():
            y = layer(x.cuda()).cpu()
    finally:
        torch.backends.cudnn.conv.fp32_precision = "none"
    magnitude = truth.largest(cell.layer, x)
    kh, kw, inputs, _ = cell.layer.kernel_shape
    bound = rounding_bound(value, magnitude, kh * kw * inputs, torch.float32)
    bound = bound + (2 * TF32 + TF32**2) * magnitude
    assert torch.all((y.double() - value).abs() <= bound)
    assert unit_roundoff(torch.float32) < TF32


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_on_cuda_are_those_of_the_cpu_in_float64(cell: Cell) -> None:
    layer, x, _ = moved(cell, torch.float64)
    here = copy.deepcopy(cell.layer).double()
    for each, batch in ((layer, x.cuda()), (here, x)):
        each(batch).square().sum().backward()
    for one, other in zip(layer.parameters(), here.parameters(), strict=True):
        torch.testing.assert_close(one.grad.cpu(), other.grad, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cuda_graph_captures_the_layer(cell: Cell) -> None:
    layer, x, _ = moved(cell, torch.float32)
    static = x.cuda()
    with torch.no_grad():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            layer(static)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = layer(static)
        static.mul_(-2)
        graph.replay()
        torch.testing.assert_close(y, layer(static))


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_waits_for_the_device(cell: Cell) -> None:
    layer, x, _ = moved(cell, torch.float32)
    x = x.cuda().requires_grad_()
    layer(x).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        layer(x).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@cache
def kernels() -> dict[str, bool]:
    """Torch's operators, and whether they run on CUDA: told by what torch was generated from."""
    folder = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native"
    parsed = parse_native_yaml(str(folder / "native_functions.yaml"), str(folder / "tags.yaml"))
    cuda = parsed.backend_indices[DispatchKey.CUDA]
    named = {function.func.name: function for function in parsed.native_functions}
    # Of many only the form that writes into an argument has a kernel, and the others call it.
    return {
        f"aten::{name}": function.has_composite_kernel
        or cuda.has_kernel(named[function.structured_delegate or name])
        for name, function in named.items()
    }


class Operations(TorchDispatchMode):
    """Notes what reaches the dispatcher, and which devices are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.devices: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.name())
        self.devices |= {str((kwargs or {}).get("device"))} - {"None"}
        return func(*args, **(kwargs or {}))


def run(name: str, device: str) -> Operations:
    layer = make_layer(name, numbers=normal_numbers).to(device)
    x = make_input(layer, normal_numbers).to(device).requires_grad_()
    with Operations() as operations:
        y = layer(x)
        y.backward(torch.ones_like(y))
        with torch.no_grad():
            layer(x)
    return operations


@pytest.mark.parametrize("name", VALID)
def test_every_operator_exists_for_cuda(name: str) -> None:
    """And none asks the device for a number, which would wait for it."""
    used = run(name, "cpu").names
    assert len(used) > 2
    assert {operator for operator in used if not kernels()[operator]} == set()
    assert not used & {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero"}


@pytest.mark.parametrize("name", VALID)
def test_no_step_asks_for_another_device(name: str) -> None:
    """On the meta device, whose tensors have no numbers: neither read, nor copied to a host."""
    operations = run(name, "meta")
    assert operations.devices <= {"meta"}
    assert "aten::_local_scalar_dense" not in operations.names


def test_the_operators_of_a_cpu_alone_are_known() -> None:
    assert not kernels()["aten::mkldnn_linear"]
    assert kernels()["aten::convolution"]
    assert len(LAYERS) == len(CELLS)
