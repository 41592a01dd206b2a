"""Layers on deployment targets; `python -m parity --targets all` runs the whole table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from needs import needs, package
from torch import Tensor

from parity import targets
from parity.targets import LAYERS, TARGETS, TargetResult, Trained, cells, here, judged, processes
from torchconv2d.versions import LACKING

pytestmark = pytest.mark.usefixtures("one_thread")

# Exporting and compiling take seconds per layer, so only a few different layers run here.
FEW = ("stride-2 SAME", "lhs (2, 3), stride (3, 2), rhs (2, 1)", "masked", "one input channel")
# test_graphs.py tests what ONNX Runtime refuses from torch 2.6, with the reason.
ONNX = [*FEW[:1], *FEW[1:2] * ("ONNX of a sum over nothing" not in LACKING), FEW[2]]
LAYERS_OF = {"ONNX Runtime": ONNX, "ONNX, half precision": ONNX, "compile, traced only": FEW}
LAYERS_OF |= dict.fromkeys(("compile", "AOTInductor"), FEW[:2])
if "export of any size" in LACKING:  # the same
    LAYERS_OF["export"] = tuple(cell.name for cell in cells() if None not in cell.layer.in_size)
LAYERS_OF |= dict.fromkeys(("PT2E int8", "older ONNX exporter", "linearize"), FEW)
ONNX = ("ONNX Runtime", "older ONNX exporter", "ONNX, half precision")
# The first three start compilers; g++ takes most of a minute to read torch's headers.
# test_scale_out.py covers the strategies with two processes; here each would start its own two.
SLOW = ("compile", "AOTInductor", "script in C++", *processes.STRATEGIES)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(name, marks=[needs(name), *[pytest.mark.slow] * (name in SLOW)])
        for name in TARGETS
    ],
)
def test_the_answer_is_the_same(target: str) -> None:
    if target in ONNX:
        package("onnx", "onnxscript", "onnxruntime")
    if target == "PT2E int8":
        package("torchao")
    rows = list(targets.run([target], LAYERS_OF.get(target, tuple(LAYERS))))
    assert rows
    assert [row for row in rows if not row.agrees] == []


@pytest.mark.parametrize(
    "error",
    [
        lambda y: y.flip(-2),
        lambda y: y * (1 + 2**-15),
        lambda y: y[..., 1:],
        lambda y: y.where(y < 1, torch.nan),
    ],
)
def test_another_answer_is_seen(error: Callable[[Tensor], Tensor]) -> None:
    (cell,) = cells(("plain",))
    right = [cell.layer(x).detach() for x in cell.inputs]
    assert judged("eager", cell, right).agrees
    assert judged("eager", cell, [*right[:2], None]).agrees
    assert not judged("eager", cell, [right[0], error(right[1]), right[2]]).agrees
    assert not judged("eager", cell, [right[0], right[1], error(right[2])]).agrees
    assert not judged("eager", cell, [right[0], None, None]).agrees
    assert not judged("eager", cell, right[:2]).agrees


@pytest.mark.parametrize("name", ["plain", "masked", "channel-first"])
def test_another_gradient_is_seen(name: str) -> None:
    (cell,) = cells((name,))
    right = []
    for x, cotangent in zip(cell.inputs, cell.cotangents, strict=True):
        x = x.clone().requires_grad_()
        y = cell.layer(x)
        gradients = torch.autograd.grad(y, [x, *cell.layer.parameters()], cotangent)
        right.append(Trained(y.detach(), list(gradients)))
    assert judged("eager", cell, right).agrees
    for i, gradient in enumerate(right[1].gradients):
        for error in (gradient * (1 + 2**-9), gradient.flip(-1), gradient[1:]):
            wrong = right[1]._replace(gradients=[*right[1].gradients])
            wrong.gradients[i] = error
            assert not judged("eager", cell, [right[0], wrong, None]).agrees
    few = Trained(right[1].output, right[1].gradients[:-1])
    assert not judged("eager", cell, [right[0], few, None]).agrees


def test_a_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    @here.each()
    def failing(cell: targets.Cell, folder: Path) -> here.Run:
        raise ValueError(f"no {cell.name},\nsee elsewhere")

    monkeypatch.setitem(TARGETS, "failing", failing)
    (row,) = targets.run(["failing"], ["plain"])
    assert row == TargetResult(
        "failing", "plain", float("inf"), "ValueError: no plain, see elsewhere"
    )
    assert not row.agrees


def test_a_third_graph_is_a_failure() -> None:
    """The target that counts graphs fails if each batch size has its own graph."""
    static = {"assume_static_by_default": True, "automatic_dynamic_shapes": False}
    with torch._dynamo.config.patch(static):
        (row,) = targets.run(["compile, traced only"], ["plain"])
    assert "compiled anew" in row.error
