"""The page "Works with": the line of code in each row runs, and gives what the layer gives."""

from __future__ import annotations

import ast
import copy
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import normal_numbers
from needs import needs, package
from torch import nn

from docs.pages import ROOT, blocks_run_by
from imports import imported_names
from parity.targets import here
from torchconv2d import Conv2d

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # the tools warn of much that is their own
]

PAGE = (ROOT / "docs/works-with.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| `(.+?)` \| (.+?) \| (.*?) ?\|$", PAGE, re.MULTILINE)
CODE = {tool: code for tool, code, _, _ in ROWS}
BLOCKS = blocks_run_by(__file__)
PACKAGES = ("torchao", "torchinfo", "thop", "onnx", "onnxscript")


def draw(shape: tuple[int, ...]) -> torch.Tensor:
    return normal_numbers(shape, 3, torch.float32)


def names() -> dict[str, Any]:
    """What the lines of code may use."""
    from torch._subclasses import FakeTensorMode
    from torch.ao import quantization
    from torch.ao.quantization import quantize_fx
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.nn.utils import parametrize, prune
    from torch.utils.checkpoint import checkpoint
    from torch.utils.flop_counter import FlopCounterMode

    conv = Conv2d((12, 14, 4), 6, (3, 2), stride=(2, 1), w_init=draw, b_init=0.5).eval()
    conv.qconfig = quantization.default_qconfig
    x = normal_numbers((2, 12, 14, 4), 4, torch.float32)
    y = conv(x)
    known = {
        **{"conv": conv, "network": nn.Sequential(conv, nn.ReLU()), "x": x, "expected": y.detach()},
        **{"leaf": x.clone().requires_grad_(), "both": torch.stack([y, -y]).detach()},
        **{"double": copy.deepcopy(conv).double(), "mapping": quantization.QConfigMapping()},
        **{"mode": FakeTensorMode(allow_non_fake_inputs=True), "before": conv.weight.detach() + 0},
    }
    for parameter in conv.parameters():
        parameter.grad = torch.ones_like(parameter)
    tools = [copy, pickle, torch, nn, Conv2d, FakeTensorMode, make_fx, parametrize, prune]
    tools += [checkpoint, FlopCounterMode, quantization, quantize_fx]
    return {**{each.__name__.split(".")[-1]: each for each in tools}, **known}


def is_expected(found: dict[str, Any]) -> bool:
    return found["y"].shape == found["expected"].shape and bool(
        torch.allclose(found["y"], found["expected"], rtol=1e-5, atol=1e-5)
    )


def has_same_size(found: dict[str, Any]) -> bool:
    return found["size"] == found["expected"].shape


def runs(found: dict[str, Any]) -> bool:
    found["y"] = found["conv"](found["x"])
    return is_expected(found)


def differs(found: dict[str, Any]) -> bool:
    """The tool changes the weight; the call is that of a convolution with the changed one."""
    conv, x = found["conv"], found["x"]
    y = found["y"] if isinstance(found["y"], torch.Tensor) else conv(x)
    other = Conv2d(conv.in_size, 6, conv.kernel_size, conv.stride, b_init=0.5, w_init=conv.kernel)
    return torch.allclose(y, other(x), atol=1e-5) and not torch.equal(conv.weight, found["before"])


def with_relu(found: dict[str, Any]) -> bool:
    found["expected"] = found["expected"].relu()
    return is_expected(found)


def counts(found: dict[str, Any]) -> int:
    return found["expected"].numel() * found["conv"].weight[0].numel()


def counts_as_torch(found: dict[str, Any]) -> bool:
    """With even padding, which both pad alike; of the output and of all gradients."""
    totals = []
    ours = Conv2d((4, 11, 14), 6, 3, stride=(2, 1), b_init=0.5, channel_first=True)
    for layer in (ours, nn.Conv2d(4, 6, 3, stride=(2, 1), padding=1)):
        with found["FlopCounterMode"](display=False) as counter:
            layer(torch.rand(2, 4, 11, 14, requires_grad=True)).sum().backward()
        totals.append(counter.get_total_flops())
    return totals[0] == totals[1] and is_expected(found)


def refuses_quantized(found: dict[str, Any]) -> bool:
    x = torch.quantize_per_tensor(found["x"], 0.1, 0, torch.quint8)
    with pytest.raises(TypeError, match=r"quantized.*torchao"):
        found["conv"](x)
    return runs(found)


def has_observers(found: dict[str, Any]) -> bool:
    from torchao.quantization.pt2e import ObserverBase

    return any(isinstance(each, ObserverBase) for each in found["prepared"].modules())


CHECKS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "`torch.fx.symbolic_trace`": with_relu,
    "FX quantization": with_relu,
    "PT2E quantization": has_observers,
    "eager quantization": refuses_quantized,
    "`torch.onnx.export`": lambda found: Path("layer.onnx").stat().st_size > 0,
    "`torch.onnx.export`, `dynamo=False`": lambda found: Path("layer.onnx").stat().st_size > 0,
    **dict.fromkeys(("`FakeTensorMode`", "meta device"), has_same_size),
    "`torch.func.grad`": lambda found: torch.equal(
        found["gradient"],
        torch.autograd.grad(found["conv"](found["leaf"]).sum(), found["leaf"])[0],
    ),
    "`torch.func.jvp`": lambda found: torch.allclose(
        found["tangent"] + 0.5, found["expected"], atol=1e-5
    ),
    "`torch.func.linearize`": lambda found: torch.allclose(
        found["tangent"](found["x"]) + 0.5, found["expected"], atol=1e-5
    ),
    "batched gradients": lambda found: torch.allclose(
        found["gradients"][0][0], -found["gradients"][0][1]
    ),
    "vectorized Jacobian": lambda found: torch.allclose(
        torch.tensordot(found["jacobian"], found["x"][0], 3) + 0.5, found["expected"][0], atol=1e-4
    ),
    "`gradcheck`": lambda found: found["right"],
    **dict.fromkeys(("`prune`", "`spectral_norm`"), differs),
    "`skip_init`": lambda found: found["empty"].weight.shape == (6, 4, 3, 3),
    "optimizers": lambda found: not torch.equal(found["conv"].weight, found["before"]),
    "autocast": lambda found: found["y"].dtype == torch.bfloat16,
    "`torch.profiler`": lambda found: (
        "aten::conv2d" in [event.key for event in found["profile"].key_averages()]
    ),
    "`FlopCounterMode`": counts_as_torch,
    "torchinfo": lambda found: found["summary"].total_params == 6 * 4 * 3 * 2 + 6,
    "thop": lambda found: found["operations"] == counts(found),
}


def extras(tool: str, known: dict[str, Any]) -> dict[str, Any]:
    """The names of packages that may be missing."""
    if tool == "PT2E quantization":
        package("torchao")
        from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e
        from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

        settings = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
        quantizer = xnnpack.XNNPACKQuantizer().set_global(settings)
        return {"prepare_pt2e": prepare_pt2e, "quantizer": quantizer}
    if tool in ("`torch.onnx.export`", "`torch.onnx.export`, `dynamo=False`"):
        package("onnx", "onnxscript")
    if tool in ("torchinfo", "thop"):
        package(tool)
        return {tool: __import__(tool), "count": count}
    return {}


def count(layer: Conv2d, inputs: Any, y: torch.Tensor) -> None:
    layer.total_ops += y.numel() * layer.weight[0].numel()


@pytest.mark.parametrize("tool", CODE)
def test_the_code_of_the_row_runs(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.compiler.reset()
    found = names()
    found |= extras(tool, found)
    with here.quiet():
        exec(CODE[tool], found)
    assert CHECKS.get(tool, is_expected)(found)


@pytest.mark.parametrize("tool", ["`FlopCounterMode`", "torchinfo", "thop"])
def test_counters_see_a_leaf_and_its_operations(tool: str) -> None:
    """They skip a module that has children."""
    found = names()
    found |= extras(tool, found)
    assert list(found["conv"].children()) == []
    with here.quiet():
        exec(CODE[tool], found)
    assert CHECKS[tool](found)
    assert list(found["conv"].children()) == []


def test_each_row_is_a_tool_with_a_verdict() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]
    assert len(lines) == len(ROWS) == len(CODE)
    assert set(CHECKS) <= set(CODE)
    for tool, code, verdict, note in ROWS:
        assert verdict in ("yes", "no", "partly", "stays float", "with a rule"), tool
        assert verdict == "yes" or note, tool
        assert tool in CHECKS or "y" in re.findall(r"\b(\w+)(?=,| =)", code), tool


def code_blocks() -> list[Any]:
    """The blocks, with a mark if they need what this torch lacks."""
    return [
        pytest.param(
            block,
            id=at,
            marks=[needs("plain ONNX graphs")]
            * ("onnxscript.optimizer" in imported_names(block, "")),
        )
        for at, block in BLOCKS.items()
    ]


@pytest.mark.parametrize("block", code_blocks())
def test_code_blocks_run(block: str) -> None:
    nodes = list(ast.walk(ast.parse(block)))
    used = {name.split(".")[0] for name in imported_names(block, "")}
    used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}  # torch.onnx
    package(*sorted(used.intersection(PACKAGES)))
    assert any(isinstance(node, ast.Assert) for node in nodes)
    exec(block, {})
