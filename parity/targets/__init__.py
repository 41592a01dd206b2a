"""Where a layer must give the same answer (docs/deployment.md): each place is a target."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from torchconv2d import Conv2d

from ..cases.numbers import wide
from ..definition import expected, truth
from . import elsewhere, here, processes
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
} | {name: processes.target(name) for name in processes.WAYS}

# The layers that a target can run, where that is not all of them.
ONLY = {"DTensor by width": processes.BY_WIDTH}


class Row(NamedTuple):
    """One layer on one target: the largest error / bound, or what went wrong."""

    target: str
    layer: str
    ratio: float
    fault: str = ""

    @property
    def agrees(self) -> bool:
        return self.ratio <= 1 and not self.fault


def run(targets: Sequence[str], layers: Sequence[str] = tuple(LAYERS)) -> Iterator[Row]:
    """Each layer on each target, one row after another."""
    for name in targets:
        chosen = cells(tuple(layer for layer in layers if layer in ONLY.get(name, LAYERS)))
        with tempfile.TemporaryDirectory() as folder:
            for cell, outputs in zip(chosen, _tried(name, chosen, Path(folder)), strict=True):
                yield judged(name, cell, outputs)


def _tried(name: str, chosen: Sequence[Cell], folder: Path) -> list[Outputs]:
    try:
        return TARGETS[name](chosen, folder)
    except Exception as error:  # of all layers, then
        return [error] * len(chosen)


def judged(target: str, cell: Cell, outputs: Outputs) -> Row:
    if isinstance(outputs, Exception):
        told = " ".join(str(outputs).split())[:400]
        return Row(target, cell.name, float("inf"), f"{type(outputs).__name__}: {told}")
    if len(outputs) != len(cell.inputs) or sum(y is not None for y in outputs) < 2:
        return Row(target, cell.name, float("inf"), f"{len(outputs)} outputs")
    found = zip(cell.inputs, cell.cotangents, outputs, strict=True)
    ratios = [_worst(cell.layer, x, cotangent, y) for x, cotangent, y in found if y is not None]
    return Row(target, cell.name, max(ratios))


def _worst(layer: Conv2d, x: Tensor, cotangent: Tensor, found: Tensor | Trained) -> float:
    if isinstance(found, Tensor):
        return ratio(layer, x, found)
    true = truth.gradients(layer, x, cotangent)
    if len(true) != len(found.gradients):
        return float("inf")
    pairs = zip(found.gradients, true, strict=True)
    return max(ratio(layer, x, found.output), *(_quotient(each, *right) for each, right in pairs))


def ratio(layer: Conv2d, x: Tensor, y: Tensor) -> float:
    """The largest error / bound of an output, by the definition, in the output's precision."""
    if y.dtype != x.dtype:  # under autocast
        layer, x = copy.deepcopy(layer).to(y.dtype), x.to(y.dtype)
    value = truth.value(layer, x)
    return _quotient(y, value, truth.bound(layer, x, value))


def _quotient(found: Tensor, value: Tensor, bound: Tensor) -> float:
    return expected.ratio(wide(found), wide(value), wide(bound))
