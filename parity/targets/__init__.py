"""The targets: the places where a layer must give the same answer (docs/deployment.md)."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from torchconv2d import Conv2d

from ..definition.expected import layer_gradients, layer_output
from . import elsewhere, here, processes, tools
from .here import Outputs, Target, Trained
from .layers import LAYERS, Cell, cells

TARGETS: dict[str, Target] = {
    "eager": here.eager,
    "script": here.script,
    "frozen script": here.frozen_script,
    "optimized script": here.optimized_script,
    "script in another process": elsewhere.other_process,
    "script in C++": elsewhere.libtorch,
    "export": here.export,
    "compile": here.compiled,
    "compile, traced only": here.traced,
    "AOTInductor": here.aot_inductor,
    "ONNX Runtime": here.onnx,
    "autocast bfloat16": here.autocast,
    "vmap": here.vmap,
    "functional_call": here.functional_call,
    "jvp": here.jvp,
    "jacrev": here.jacrev,
    "fx": tools.fx,
    "older ONNX exporter": tools.older_onnx,
    "ONNX, half precision": tools.half_onnx,
    "PT2E int8": tools.int8,
    "linearize": tools.linearize,
    "batched gradients": tools.batched_gradients,
} | {name: processes.target(name) for name in processes.STRATEGIES}

# The layers that a target can run, if it cannot run all.
ONLY = {"DTensor by width": processes.BY_WIDTH}

# The largest relative error where that is judged, and not rounding.
LOSSES = {"PT2E int8": tools.USUAL_LOSS}


class TargetResult(NamedTuple):
    """One layer on one target: the largest error / bound, or what error it raised."""

    target: str
    layer: str
    ratio: float
    error: str | None = None

    @property
    def agrees(self) -> bool:
        return self.ratio <= 1 and self.error is None


def run(targets: Sequence[str], layers: Sequence[str] = tuple(LAYERS)) -> Iterator[TargetResult]:
    """Run each layer on each target, one after another."""
    for name in targets:
        chosen = cells(tuple(layer for layer in layers if layer in ONLY.get(name, LAYERS)))
        with tempfile.TemporaryDirectory() as folder:
            for cell, outputs in zip(chosen, _outputs(name, chosen, Path(folder)), strict=True):
                yield judged(name, cell, outputs)


def _outputs(name: str, chosen: Sequence[Cell], folder: Path) -> list[Outputs]:
    try:
        return TARGETS[name](chosen, folder)
    except Exception as error:  # it concerns all layers
        return [error] * len(chosen)


def judged(target: str, cell: Cell, outputs: Outputs) -> TargetResult:
    if isinstance(outputs, Exception):
        message = " ".join(str(outputs).split())[:400]
        error = f"{type(outputs).__name__}: {message}"
        return TargetResult(target, cell.name, float("inf"), error)
    if len(outputs) != len(cell.inputs) or sum(y is not None for y in outputs) < 2:
        return TargetResult(target, cell.name, float("inf"), f"{len(outputs)} outputs")
    found = zip(cell.inputs, cell.cotangents, outputs, strict=True)
    loss = LOSSES.get(target)
    ratios = [
        _largest(cell.layer, x, cotangent, y) if loss is None else _loss(cell.layer, x, y) / loss
        for x, cotangent, y in found
        if y is not None
    ]
    return TargetResult(target, cell.name, max(ratios))


def section(results: Sequence[TargetResult]) -> dict[str, Any]:
    """The report's section about targets."""
    names = dict.fromkeys(result.target for result in results)
    layers: dict[str, dict[str, Any]] = {}
    for result in results:
        cell = {"ratio": result.ratio, "error": result.error}
        layers.setdefault(result.layer, {**names})[result.target] = cell
    return {"layers": layers}


def _largest(layer: Conv2d, x: Tensor, cotangent: Tensor, found: Tensor | Trained) -> float:
    if isinstance(found, Tensor):
        return ratio(layer, x, found)
    right = layer_gradients(layer, x, cotangent)
    if len(right) != len(found.gradients):
        return float("inf")
    ratios = [each.ratio(mine) for each, mine in zip(right, found.gradients, strict=True)]
    return max(ratio(layer, x, found.output), *ratios)


def _loss(layer: Conv2d, x: Tensor, found: Tensor | Trained) -> float:
    """The relative error of an output, in the Euclidean norm."""
    right, _ = layer_output(layer, x)
    if not isinstance(found, Tensor) or found.shape != right.shape:
        return float("inf")
    error = float((found - right).norm() / right.norm()) if right.numel() else 0.0
    return error if isfinite(error) else float("inf")


def ratio(layer: Conv2d, x: Tensor, y: Tensor) -> float:
    """The largest error / bound of an output, in the output's dtype."""
    if y.dtype != x.dtype:  # under autocast
        layer, x = copy.deepcopy(layer).to(y.dtype), x.to(y.dtype)
    return layer_output(layer, x).ratio(y)
