"""Scripted layers give the same answers, even where this package cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import VALID, make_input, make_layer, normal_numbers, whole_numbers

from torchconv2d import Conv2d
from torchconv2d.lowerings import PartialSums, TapSums, precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64], ids=str)
@pytest.mark.parametrize("name", VALID)
def test_scripted_layers_give_the_same_answer(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A script computes bfloat16 in float32 on every processor, so here the layer must do so too.
    monkeypatch.setattr(precision, "_has_bfloat16", lambda: False)
    layer, numbers = make_layer(name, dtype, normal_numbers), normal_numbers
    if dtype.is_complex and isinstance(layer.lowering, (PartialSums, TapSums)):
        # A script has another lowering instead, which rounds differently.
        layer, numbers = make_layer(name, dtype), whole_numbers
    # For complex numbers training runs three real convolutions, which round differently.
    scripted = torch.jit.script(layer.train(not dtype.is_complex))
    for batch in ((2,), (), (0,), (3,)):
        x = make_input(layer, numbers, batch)
        with torch.set_grad_enabled(layer.training):
            y = scripted(x)
            assert torch.equal(y, layer(x))
        assert y.is_contiguous()


@pytest.mark.parametrize("name", ["same_stride", "lhs_stride_rhs", "mask_lhs", "empty"])
def test_scripted_layers_train_the_same(name: str) -> None:
    layer = make_layer(name, torch.float64)
    scripted = torch.jit.script(layer)
    x = make_input(layer)
    layer(x).square().sum().backward()
    assert layer.weight.grad is not None
    expected = layer.weight.grad.clone()
    layer.weight.grad = None
    scripted(x).square().sum().backward()
    assert torch.equal(layer.weight.grad, expected)


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({}, ["aten::pad", "aten::stack", "aten::mul", "aten::narrow"]),
        ({"padding": "SAME", "stride": (2, 3)}, ["aten::stack", "aten::mul"]),
        ({"w_mask": 2.0}, ["aten::pad", "aten::stack"]),
    ],
)
def test_the_script_holds_the_chosen_lowering_only(changes: dict, absent: list[str]) -> None:
    layer = make_layer("valid", **changes)
    graph = str(torch.jit.script(layer).inlined_graph)
    assert graph.count("aten::conv2d") == 1
    for operation in absent:
        assert operation not in graph
    graphs = {
        name: str(torch.jit.script(make_layer(name)).inlined_graph)
        for name in ("lhs_upsample", "depthwise_lhs_stride", "few_output_channels")
    }
    assert graphs["lhs_upsample"].count("aten::conv_transpose2d") == 1
    assert "aten::copy_" in graphs["depthwise_lhs_stride"]
    assert "aten::add_" in graphs["few_output_channels"]


def test_scripted_layers_refuse_what_the_layer_refuses() -> None:
    scripted = torch.jit.script(make_layer("bias"))
    for x, said in (
        (torch.zeros(2, 7, 6, 3), r"\(B, 7, 6, 4\).*\[2, 7, 6, 3\]"),
        (torch.zeros(6, 4), r"\(7, 6, 4\).*\[6, 4\]"),
        (torch.zeros(2, 7, 6, 4).double(), "dtype"),
    ):
        with pytest.raises(torch.jit.Error, match=said):
            scripted(x)


@pytest.mark.parametrize(
    ("settings", "operation"),
    [({}, "conv2d"), ({"lhs_dilation": 2, "padding": ((1, 2), (1, 2))}, "conv_transpose2d")],
)
def test_a_frozen_channel_first_script_is_one_call(settings: dict, operation: str) -> None:
    layer = Conv2d((16, 9, 8), 16, 3, channel_first=True, b_init=0.5, **settings).eval()
    frozen = torch.jit.freeze(torch.jit.script(layer))
    kinds = [node.kind() for node in frozen.graph.nodes()]
    assert [kind for kind in kinds if kind != "prim::Constant"] == [f"aten::{operation}"]
    for x in (torch.randn(2, 16, 9, 8), torch.randn(16, 9, 8)):
        with torch.no_grad():
            assert torch.equal(frozen(x), layer(x))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "settings", [{}, {"kernel_size": 1}, {"groups": 16}, {"stride": 3, "padding": 1, "b_init": 0.5}]
)
def test_a_frozen_script_fuses_a_batch_norm_into_the_layer(
    settings: dict, memory_format: torch.memory_format
) -> None:
    """As one of torch's own layer does; a check of the batch norm's input would prevent it."""
    layer = Conv2d((16, 9, 8), 16, channel_first=True, **{"kernel_size": 3, **settings})
    network = torch.nn.Sequential(layer, torch.nn.BatchNorm2d(16)).double()
    x = torch.randn(3, 16, 9, 8, dtype=torch.float64)
    network(x)  # for batch statistics
    network.eval().to(memory_format=memory_format)
    frozen = torch.jit.freeze(torch.jit.script(network))
    kinds = [node.kind() for node in frozen.graph.nodes()]
    assert len([kind for kind in kinds if kind != "prim::Constant"]) == 1
    with torch.no_grad():
        torch.testing.assert_close(frozen(x), network(x))


def test_autocast_reaches_the_script() -> None:
    layer = make_layer("bias", numbers=normal_numbers)
    scripted, x = torch.jit.script(layer), make_input(layer, normal_numbers)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(scripted(x), layer(x))
        assert scripted(x.bfloat16()).dtype == torch.bfloat16


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = Conv2d((12, 10, 3), 8, 3, stride=2, b_init=0.5)
        self.up = Conv2d(self.down.out_size, 4, 4, lhs_dilation=2, padding=[(2, 2), (2, 2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(torch.relu(self.down(x)))


LOADER = """
import sys
sys.modules["torchconv2d"] = None  # an import of it now fails
import torch
for case in torch.load(sys.argv[1] + "/cases.pt"):
    loaded = torch.jit.load(sys.argv[1] + "/" + case["name"] + ".ts")
    assert torch.equal(loaded(case["x"]), case["y"]), case["name"]
    assert torch.equal(loaded(case["x"][0]), case["single"]), case["name"]
    print("equal", case["name"])
"""


def run(name: str, layer: torch.nn.Module, x: torch.Tensor) -> dict[str, Any]:
    with torch.no_grad():
        return {"name": name, "x": x, "y": layer(x), "single": layer(x[0])}


def test_scripts_run_in_a_process_without_this_package(tmp_path: Path) -> None:
    cases = []
    layers = {name: make_layer(name, numbers=normal_numbers) for name in VALID}
    for name, layer in layers.items():
        x = make_input(layer, normal_numbers)
        torch.jit.script(layer.eval()).save(str(tmp_path / f"{name}.ts"))
        cases.append(run(name, layer, x))
    network, x = Network().eval(), torch.randn(2, 12, 10, 3)
    torch.jit.freeze(torch.jit.script(network)).save(str(tmp_path / "network.ts"))
    cases.append(run("network", network, x))
    torch.save(cases, tmp_path / "cases.pt")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADER, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(VALID) + 1


def test_scripting_warns_of_nothing_else() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.jit.script(make_layer("mask_lhs"))
    assert {str(each.message)[:32] for each in caught} <= {"`torch.jit.script` is deprecated"}


@pytest.mark.parametrize("name", VALID)
def test_a_trace_agrees(name: str) -> None:
    layer = make_layer(name)
    x = make_input(layer)
    assert torch.equal(torch.jit.trace(layer, x)(x), layer(x))


@pytest.mark.parametrize("name", VALID)
def test_an_unscripted_layer_has_no_child_module(name: str) -> None:
    layer = make_layer(name)
    layer(make_input(layer)).sum().backward()
    assert list(layer.children()) == []
