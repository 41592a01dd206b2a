"""What torch's tables ask of its own convolutions, of all layers of the grid of ``parity``."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import grid_layers
import numpy as np
import pytest
import torch
from grid_layers import NAMES, Cell
from thinned import thinned
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._pytree import tree_map_only

from parity.cases.case import Case
from parity.cases.grid import DEMANDING

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # By torch.func.linearize, of itself.
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning"),
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
]


def outputs(name: str) -> int:
    case = grid_layers.cases()[name]
    return prod(axis.out for axis in case.planned.axes) * case.channels[1]


# A Jacobian of more outputs takes seconds, and torch's own function has no Jacobian of none.
JACOBIANS = [name for name in NAMES if 0 < outputs(name) <= 700]


def equal(found: Any, right: Any) -> None:
    assert len(found) == len(right)
    for mine, true in zip(found, right, strict=True):
        assert mine.dtype == true.dtype
        assert torch.equal(mine, true)


@thinned("name", NAMES, keep=20)
def test_batched_gradients(name: str) -> None:
    cell = grid_layers.cell(name)
    operands, arrays = cell.operands, cell.arrays
    second = arrays.cotangent * (np.arange(arrays.cotangent.size) % 3 == 1).reshape(
        arrays.cotangent.shape
    )
    cotangents = [arrays.cotangent, second, -2 * second]
    stacked = torch.stack([cell.tensor(each.conj()) for each in cotangents])
    found = torch.autograd.grad(cell.run(*operands), operands, stacked, is_grads_batched=True)
    right = [cell.right(each)[1:] for each in cotangents]
    equal(found, [torch.stack(each) for each in zip(*right, strict=True)])


def test_most_layers_have_a_jacobian() -> None:
    assert len(JACOBIANS) > 0.7 * len(NAMES)


@thinned("name", JACOBIANS, keep=14)
def test_jacobians_in_one_call(name: str) -> None:
    cell = grid_layers.cell(name, batch=None)
    y, *right = cell.right()
    jacobians = torch.autograd.functional.jacobian(cell.run, cell.operands, vectorize=True)
    wide = torch.complex128 if y.is_complex() else torch.float64
    cotangent = cell.cotangent.to(wide)
    for jacobian, gradient in zip(jacobians, right, strict=True):
        by_cotangent = torch.tensordot(cotangent, jacobian.to(wide), y.dim())
        assert torch.equal(by_cotangent.to(y.dtype), gradient)


@thinned("name, along", NAMES, ["input", "all"], keep=8)
def test_linearized(name: str, along: str) -> None:
    """Several times, in memory that others have left full of other numbers."""
    cell = grid_layers.cell(name)
    if cell.case.memory == "expanded":  # torch's own make_dual writes into it, whatever the layer
        cell = grid_layers.cell(name, memory="contiguous")
    changes, right = cell.tangent() if along == "all" else cell.tangent_of_input()
    operands = tuple(each.detach() for each in cell.operands)
    if along == "all":
        y, linear = torch.func.linearize(cell.run, *operands)
    else:  # of a layer that trains
        y, linear = torch.func.linearize(cell.layer, cell.x)
    assert torch.equal(y, cell.right()[0])
    for _ in range(3):
        dirt = [torch.full_like(right, torch.nan) for _ in range(4)]
        del dirt
        assert torch.equal(linear(*changes), right)


@thinned("name", NAMES, keep=20)
def test_gradients_are_contiguous(name: str) -> None:
    cell = grid_layers.cell(name, memory="contiguous", channels_last_weight=False)
    operands = cell.operands
    gradients = torch.autograd.grad(cell.run(*operands), operands, cell.cotangent)
    right = [each.view(-1) for each in cell.right()[1:]]
    equal([each.view(-1) for each in gradients], right)
    cell.layer(x := cell.x.requires_grad_()).backward(cell.cotangent)
    found = [x.grad, *(each.grad for each in cell.layer.parameters())]
    equal([each.view(-1) for each in found], right)


Operands = tuple[Tensor, ...]


def trained(cell: Cell, operands: Operands, cotangent: Tensor, mask: Tensor | None) -> Operands:
    y = cell.run(*operands, mask=mask)
    return (y, *torch.autograd.grad(y, operands, cotangent))


@thinned("name", NAMES, keep=2)
def test_make_fx_with_symbolic_sizes(name: str) -> None:
    cell = grid_layers.cell(name)
    given = cell.operands, cell.cotangent, cell.layer.w_mask
    graph = make_fx(partial(trained, cell), tracing_mode="symbolic")(*given)
    equal(graph(*given), cell.right())


@pytest.mark.parametrize("sizes", ["plain", "symbolic"])
@thinned("name", NAMES, keep=2)
def test_fake_tensors_have_the_metadata_of_real_ones(name: str, sizes: str) -> None:
    check_fake(name, sizes)


@pytest.mark.parametrize("case", DEMANDING, ids=str)
def test_fake_tensors_of_lowerings_for_few_geometries(case: Case) -> None:
    """The backward pass of ``F.fold`` with a padding took no symbolic sizes, for one."""
    check_fake(str(case), "symbolic")


def check_fake(name: str, sizes: str) -> None:
    cell = grid_layers.cell(name)
    given = cell.operands, cell.cotangent, cell.layer.w_mask
    real = trained(cell, *given)
    mode = FakeTensorMode(shape_env=ShapeEnv() if sizes == "symbolic" else None)
    convert = partial(mode.from_tensor, static_shapes=sizes == "plain")
    with mode:
        found = trained(cell, *tree_map_only(Tensor, convert, given))

    def described(tensors: Operands) -> list[Any]:
        # The stride of an axis of one entry says nothing.
        return [
            (
                each.dtype,
                [(n, step) for n, step in zip(each.shape, each.stride(), strict=True) if n > 1],
            )
            for each in tensors
        ]

    assert [each.shape for each in found] == [each.shape for each in real]
    assert described(found) == described(real)
