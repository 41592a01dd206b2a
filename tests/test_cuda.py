"""Tests on a CUDA device, if there is one; and tests without one that nothing needs a CPU."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import pytest
import torch
from cases import VALID, make_input, make_layer, normal_numbers
from needs import package
from operations import Operations
from torch import Tensor

from parity.definition.expected import layer_gradients, layer_magnitude, layer_output
from parity.targets import Cell, cells
from torchconv2d import Conv2d
from torchconv2d.testing import full_precision, unit_roundoff

pytestmark = pytest.mark.usefixtures("one_thread")

NO_DEVICE = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
CELLS = [pytest.param(cell, id=cell.name) for cell in cells()]
# Tests that can run on a CPU also do, so that they are known to pass before there is a device.
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, NO_DEVICE])]
HALF = [torch.float16, torch.bfloat16]
TF32 = 2.0**-11  # its unit roundoff: ten bits after the leading one


def rounded(cell: Cell, dtype: torch.dtype) -> tuple[Conv2d, Tensor]:
    """Copies of the layer and of a batch, in ``dtype``."""
    return copy.deepcopy(cell.layer).to(dtype), cell.inputs[1].to(dtype, copy=True)


def moved(layer: Conv2d, device: str) -> Conv2d:
    return copy.deepcopy(layer).to(device)


def assert_within_the_bound(y: Tensor, layer: Conv2d, x: Tensor, device: str) -> None:
    value, bound = layer_output(layer, x)
    if device == "cuda" and layer.bias is not None:  # cuDNN rounds before it adds the bias
        bound = bound + unit_roundoff(x.dtype) * (value.abs() + layer.bias.abs().max())
    assert y.dtype == x.dtype
    assert y.device.type == device
    assert torch.all((y.cpu().double() - value).abs() <= bound)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALF], ids=str)
def test_values_are_within_the_bound(cell: Cell, dtype: torch.dtype, device: str) -> None:
    layer, x = rounded(cell, dtype)
    for weights in (torch.contiguous_format, torch.channels_last):
        with full_precision(), torch.no_grad():
            y = moved(layer, device).to(memory_format=weights)(x.to(device))
        assert_within_the_bound(y, layer, x, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_autocast_is_within_the_bound(cell: Cell, dtype: torch.dtype, device: str) -> None:
    with torch.autocast(device, dtype):
        y = moved(cell.layer, device)(cell.inputs[1].to(device))
    assert_within_the_bound(y, *rounded(cell, dtype), device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cell", CELLS)
def test_tf32_is_within_its_own_bound(cell: Cell, device: str) -> None:
    """Both factors of each product are rounded to TF32; the sums are in float32."""
    layer, x = rounded(cell, torch.float32)
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        with torch.no_grad():
            y = moved(layer, device)(x.to(device)).cpu()
    finally:
        torch.backends.cudnn.allow_tf32 = before
    value, bound = layer_output(layer, x)
    bound = bound + (2 * TF32 + TF32**2) * layer_magnitude(layer, x)
    assert torch.all((y.double() - value).abs() <= bound)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_gradients_are_within_the_bound(cell: Cell, dtype: torch.dtype, device: str) -> None:
    layer, x = rounded(cell, dtype)
    cotangent = cell.cotangents[1].to(dtype)
    there = moved(layer, device)
    leaves = [x.to(device).requires_grad_(), *there.parameters()]
    with full_precision():
        y = there(leaves[0])
        found = torch.autograd.grad(y, leaves, cotangent.to(device), materialize_grads=True)
    for gradient, right in zip(found, layer_gradients(layer, x, cotangent), strict=True):
        assert torch.all((gradient.cpu().double() - right.value).abs() <= right.bound)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cell", CELLS)
def test_a_script_runs_where_it_is_loaded(cell: Cell, device: str, tmp_path: Path) -> None:
    layer, x = rounded(cell, torch.float32)
    torch.jit.script(layer).save(str(tmp_path / "layer.ts"))
    script = torch.jit.load(tmp_path / "layer.ts", map_location=device)
    with full_precision(), torch.no_grad():
        y = script(x.to(device))
    assert_within_the_bound(y, layer, x, device)


@pytest.mark.cuda
@NO_DEVICE
@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")  # the empty output's
@pytest.mark.parametrize("cell", CELLS)
def test_a_cuda_graph_captures_the_layer(cell: Cell) -> None:
    layer, x = rounded(cell, torch.float32)
    layer, static = moved(layer, "cuda"), x.cuda()
    with torch.no_grad():
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            layer(static)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = layer(static)
        static.mul_(-2)
        graph.replay()
        torch.testing.assert_close(y, layer(static))


@pytest.mark.cuda
@NO_DEVICE
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("cell", CELLS)
def test_nothing_waits_for_the_device(cell: Cell) -> None:
    layer, x = rounded(cell, torch.float32)
    layer, x = moved(layer, "cuda"), x.cuda().requires_grad_()

    def call() -> None:
        layer(x).sum().backward()
        with torch.no_grad():
            layer(x)

    call()
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@cache
def kernels() -> dict[str, bool]:
    """Torch's operators, and whether they run on CUDA, from torch's own list of operators."""
    package("yaml")
    import torchgen
    from torchgen.gen import parse_native_yaml
    from torchgen.model import DispatchKey

    folder = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native"
    parsed = parse_native_yaml(str(folder / "native_functions.yaml"), str(folder / "tags.yaml"))
    cuda = parsed.backend_indices[DispatchKey.CUDA]
    named = {function.func.name: function for function in parsed.native_functions}
    # For many operators only the ``out=`` form has a kernel, and the other forms call it.
    return {
        f"aten::{name}": function.has_composite_kernel
        or cuda.has_kernel(named[function.structured_delegate or name])
        for name, function in named.items()
    }


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
    """On a CPU it may compute in another way than on a device: the meta device stands for one."""
    for device in ("cpu", "meta"):
        used = {operator.name() for operator in run(name, device).called}
        assert len(used) > 2
        assert {operator for operator in used if not kernels()[operator]} == set()


@pytest.mark.parametrize("name", VALID)
def test_no_step_asks_for_another_device(name: str) -> None:
    """It runs on the meta device, whose tensors cannot be read or copied to a host."""
    operations = run(name, "meta")
    assert operations.devices <= {"meta"}
    used = {operator.name() for operator in operations.called}
    assert not used & {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero"}


def test_the_operators_of_a_cpu_alone_are_known() -> None:
    assert not kernels()["aten::mkldnn_linear"]
    assert kernels()["aten::convolution"]
