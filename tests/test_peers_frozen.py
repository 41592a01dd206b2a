"""Gradients of layers of which a part is frozen, of all layers of the grid of ``parity``.

What is differentiated decides who differentiates: the package where the weight needs a gradient,
torch where it needs none, and in scripts, traces and compiled layers always torch.
"""

from __future__ import annotations

from collections.abc import Callable

import grid_layers
import numpy as np
import pytest
import torch
from grid_layers import NAMES, Cell, cases
from thinned import thinned
from torch import Tensor

from parity.cases.case import Case
from parity.cases.numbers import integers
from parity.definition.arrays import Arrays

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
]

Run = Callable[[Tensor], Tensor]


def eager(cell: Cell) -> Run:
    return cell.layer


def script(cell: Cell) -> Run:
    return torch.jit.script(cell.layer)


def trace(cell: Cell) -> Run:
    return torch.jit.trace(cell.layer, cell.x, check_trace=False)


def compiled(cell: Cell) -> Run:
    torch.compiler.reset()
    return torch.compile(cell.layer, backend="aot_eager", fullgraph=True)


def check(cell: Cell, make: Callable[[Cell], Run], part: str) -> None:
    """Compare the gradients of one part, or of all, with the definition's."""
    layer, x = cell.layer, cell.x
    parts = {"input": x, **dict(layer.named_parameters())}
    right = dict(zip(parts, cell.right()[1:], strict=True))
    wanted = list(parts) if part == "all" else [part]
    for name, tensor in parts.items():
        tensor.requires_grad_(name in wanted)
    y = make(cell)(x)
    for _ in range(2):  # a gradient that reads memory of others differs from run to run
        assert torch.equal(y, cell.right()[0])
        gradients = torch.autograd.grad(
            y, [parts[name] for name in wanted], cell.cotangent, retain_graph=True
        )
        for name, gradient in zip(wanted, gradients, strict=True):
            assert torch.equal(gradient, right[name]), name


PARTS = ("input", "weight", "all")
BIASED = [name for name, case in cases().items() if case.bias]


@thinned("name, part", NAMES, PARTS, keep=90)
def test_of_layers(name: str, part: str) -> None:
    check(grid_layers.cell(name), eager, part)


@thinned("name", BIASED, keep=15)
def test_of_the_bias_alone(name: str) -> None:
    check(grid_layers.cell(name), eager, "bias")


@pytest.mark.parametrize("make", [script, trace])
@thinned("name, part", NAMES, PARTS, keep=12)
def test_of_scripts_and_traces(name: str, part: str, make: Callable[[Cell], Run]) -> None:
    check(grid_layers.cell(name), make, part)


@pytest.mark.parametrize("make", [script, trace])
@thinned("name", BIASED, keep=3)
def test_of_the_bias_alone_in_scripts_and_traces(name: str, make: Callable[[Cell], Run]) -> None:
    check(grid_layers.cell(name), make, "bias")


@thinned("name, part", NAMES, PARTS, keep=3)
def test_of_compiled_layers(name: str, part: str) -> None:
    check(grid_layers.cell(name), compiled, part)


# One output channel and a lone column or row: on some processors torch's own backward of such a
# transposed layer reads outside its memory. Grouped ones are several of them.
LONE = {
    f"{size}, {channels}, {dilation}, {dtype}": Case(
        size=size,
        channels=channels,
        kernel=(2, 3),
        padding=((1, 1), (2, 2)),
        lhs_dilation=dilation,
        dtype=dtype,
    )
    for size in ((16, 1), (1, 9))
    for channels in ((2, 1, 1), (1, 1, 1), (3, 3, 3))
    for dilation in ((1, 2), (3, 1), (2, 3))
    for dtype in ("float32", "float64", "bfloat16")
}


@pytest.mark.parametrize("make", [eager, script, trace])
@thinned("name", LONE, keep=18)
def test_of_lone_columns_and_rows(name: str, make: Callable[[Cell], Run]) -> None:
    check(grid_layers.of_case(LONE[name], integers(LONE[name])), make, "input")


# Whose outputs are not empty. A bad complex number is bad in one part or in both, and oneDNN's
# bfloat16 multiplies neighbours by zeros of its own; float16 is computed in float32.
STRICT = [
    name
    for name, case in grid_layers.cases().items()
    if case.dtype in ("float16", "float32", "float64")
    and all(axis.out for axis in case.planned.axes)
]


BAD = pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf], ids=str)


@BAD
@thinned("name, part", STRICT, ["input", "weight", "bias"], keep=30)
def test_a_bad_entry_reaches_what_reads_it_and_no_other(name: str, part: str, bad: float) -> None:
    check_bad(name, part, bad, eager)


@BAD
@pytest.mark.parametrize("make", [script, trace])
@thinned("name, part", STRICT, ["input", "bias"], keep=10)
def test_a_bad_entry_in_scripts_and_traces(
    name: str, part: str, make: Callable[[Cell], Run], bad: float
) -> None:
    """Not of the weight, whose gradient by torch spreads a NaN (docs/differences.md, "Limits")."""
    check_bad(name, part, bad, make)


@thinned("name, part", STRICT, ["input", "bias"], keep=2)
def test_a_nan_in_compiled_layers(name: str, part: str) -> None:
    check_bad(name, part, torch.nan, compiled)


def check_bad(name: str, part: str, bad: float, make: Callable[[Cell], Run]) -> None:
    """Of ones, so that a bad number meets no zero: a bad cotangent in the gradient by the input
    and the bias, a bad input in that by the weight."""
    case = grid_layers.cases()[name]._replace(mask=None, bias=True, memory="contiguous")
    ones = Arrays(*(None if each is None else np.ones_like(each) for each in integers(case)))
    place = "x" if part == "weight" else "cotangent"
    array = getattr(ones, place)
    at = tuple(n // 2 for n in array.shape)
    marked, spoilt = np.zeros_like(array), array.copy()
    marked[at], spoilt[at] = 1.0, bad
    cell = grid_layers.of_case(case, ones._replace(**{place: spoilt}))
    reads = grid_layers.of_case(case, ones._replace(**{place: marked})).right()
    order = ["input", "weight", "bias"]
    parts = dict(zip(order, (cell.x, cell.layer.weight, cell.layer.bias), strict=True))
    for each, tensor in parts.items():
        tensor.requires_grad_(each == part)
    y = make(cell)(parts["input"])
    (gradient,) = torch.autograd.grad(y, parts[part], cell.cotangent)
    assert torch.equal(~gradient.isfinite(), reads[1 + order.index(part)] != 0)
