"""Where a layer must give the same answer (SPEC section 10): each place is a target, a function."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .. import truth
from . import elsewhere, here
from .here import Outputs, Target
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
}


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
    chosen = cells(tuple(layers))
    for name in targets:
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
    # A target without single images leaves the last input out.
    pairs = list(zip(cell.inputs, outputs, strict=False))
    if len(pairs) < 2:
        return Row(target, cell.name, float("inf"), f"{len(pairs)} outputs")
    return Row(target, cell.name, max(ratio(cell.layer, x, y) for x, y in pairs))


def ratio(layer: torch.nn.Module, x: Tensor, y: Tensor) -> float:
    """The largest error / bound of an output, by the definition, in the output's precision."""
    if y.dtype != x.dtype:  # under autocast
        layer, x = copy.deepcopy(layer).to(y.dtype), x.to(y.dtype)
    value = truth.value(layer, x)
    if y.shape != value.shape or not y.isfinite().all():
        return float("inf")
    error, bound = (y.double() - value).abs(), truth.bound(layer, x, value)
    # Where the bound is zero, nothing but zero will do.
    ratios = torch.where(bound > 0, error / bound, torch.where(error > 0, torch.inf, 0.0))
    return ratios.amax().item() if ratios.numel() else 0.0
