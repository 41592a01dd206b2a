"""Gradients of layers of which a part is frozen, of all layers of the grid of ``parity``.

What is differentiated decides who differentiates: the package where the weight needs a gradient,
torch where it needs none, and in scripts, traces and compiled layers always torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import grid_layers
import pytest
import torch
from grid_layers import NAMES, Cell
from thinned import thinned
from torch import Tensor

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Converting a tensor to a Python boolean"),
]

Run = Callable[[Tensor], Tensor]


def eager(cell: Cell) -> Run:
    return cell.layer


def script(cell: Cell) -> Run:
    return torch.jit.script(cell.layer)


def frozen_script(cell: Cell) -> Run:
    return torch.jit.freeze(torch.jit.script(cell.layer.eval()))


def trace(cell: Cell) -> Run:
    return torch.jit.trace(cell.layer, cell.x, check_trace=False)


def compiled(cell: Cell) -> Run:
    torch.compiler.reset()
    return torch.compile(cell.layer, backend="aot_eager", fullgraph=True)


PLACES = {"script": script, "trace": trace, "compile": compiled}
PARTS = ("input", "weight", "bias", "all")


def check(cell: Cell, make: Callable[[Cell], Run], part: str) -> None:
    """Compare the gradients of one part, or of all, with the definition's."""
    layer, x = cell.layer, cell.x
    parts = {"input": x, **dict(layer.named_parameters())}
    right = dict(zip(parts, cell.right()[1:], strict=True))
    wanted = list(parts) if part == "all" else [part]
    for name, tensor in parts.items():
        tensor.requires_grad_(name in wanted)
    y = make(cell)(x)
    for _ in range(2):  # one that reads what is not its own says something else each time
        assert torch.equal(y, cell.right()[0])
        gradients = torch.autograd.grad(
            y, [parts[name] for name in wanted], cell.cotangent, retain_graph=True
        )
        for name, gradient in zip(wanted, gradients, strict=True):
            assert torch.equal(gradient, right[name]), name


def has_bias(names: Iterable[str]) -> list[str]:
    return [name for name in names if "bias=True" in name]


@thinned("name, part", NAMES, ["input", "weight", "all"], keep=120)
def test_of_layers(name: str, part: str) -> None:
    check(grid_layers.cell(name), eager, part)


@thinned("name", has_bias(NAMES), keep=20)
def test_of_the_bias_alone(name: str) -> None:
    check(grid_layers.cell(name), eager, "bias")


@thinned("name, part", NAMES, ["input", "weight", "all"], keep=30)
def test_of_scripts(name: str, part: str) -> None:
    check(grid_layers.cell(name), script, part)


@thinned("name, part", NAMES, ["input", "weight", "all"], keep=30)
def test_of_traces(name: str, part: str) -> None:
    check(grid_layers.cell(name), trace, part)


@thinned("name, part", NAMES, ["input", "weight", "all"], keep=30)
def test_of_compiled_layers(name: str, part: str) -> None:
    check(grid_layers.cell(name), compiled, part)
