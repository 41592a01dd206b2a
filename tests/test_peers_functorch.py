"""Torch's own samples under the compositions that functorch's tests make of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from thinned import thinned
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, jvp, linearize, vjp, vmap
from torch_tables import NAMES, SUBJECTS, sample

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning"),
    # By torch.func.linearize, of itself.
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning"),
]

Operands = tuple[Tensor, ...]
Function = Callable[..., Tensor]


def like(tensors: Any, seed: int) -> Any:
    """Small whole numbers in the shapes of these tensors."""
    if isinstance(tensors, Tensor):
        # By arithmetic, since a transformation may forbid to draw.
        places = torch.arange(tensors.numel()).view(tensors.shape)
        return ((places * 40503 + 977 * seed) % 8191 % 7 - 3).to(tensors.dtype)
    return tuple(like(each, seed + 1 + i) for i, each in enumerate(tensors))


def scalar(f: Function) -> Function:
    """A sum of squares, so that the gradients depend on the operands in whole numbers."""
    return lambda *operands: (f(*operands) ** 2).sum() / 2


def pullback(f: Function, cotangent: Tensor, *operands: Tensor) -> Any:
    return vjp(f, *operands)[1](cotangent)


def pushforward(f: Function, tangents: Operands, *operands: Tensor) -> Any:
    return jvp(f, operands, tangents)


def batch(operands: Operands) -> Operands:
    """Three in the place of each."""
    return tuple(
        torch.stack([like(each, 40 + 7 * i + k) for k in range(3)])
        for i, each in enumerate(operands)
    )


def _vjp(f: Function, ops: Operands) -> Any:
    return pullback(f, like(f(*ops), 5), *ops)


def _jvp(f: Function, ops: Operands) -> Any:
    return pushforward(f, like(ops, 5), *ops)


def _vjp_of(inner: Callable[..., Any]) -> Callable[..., Any]:
    def run(f: Function, ops: Operands) -> Any:
        y, back = vjp(lambda *each: inner(f, each), *ops)
        return back(like(y, 11))

    return run


def _jvp_of(inner: Callable[..., Any]) -> Callable[..., Any]:
    return lambda f, ops: jvp(lambda *each: inner(f, each), ops, like(ops, 13))


def _vmap_of(inner: Callable[..., Any]) -> Callable[..., Any]:
    return lambda f, ops: vmap(lambda *each: inner(f, each))(*batch(ops))


def _value(f: Function, ops: Operands) -> Tensor:
    return f(*ops)


def _grad(f: Function, ops: Operands) -> Any:
    return grad(scalar(f), tuple(range(len(ops))))(*ops)


def _jacrev(f: Function, ops: Operands) -> Any:
    return jacrev(f, tuple(range(len(ops))))(*ops)


def _jacfwd(f: Function, ops: Operands) -> Any:
    return jacfwd(f, tuple(range(len(ops))))(*ops)


def _linearize(f: Function, ops: Operands) -> Any:
    y, along = linearize(f, *ops)
    return y, along(*like(ops, 17)), along(*like(ops, 19))


COMPOSITIONS: dict[str, Callable[[Function, Operands], Any]] = {
    "grad": _grad,
    "vjp": _vjp,
    "jvp": _jvp,
    "jacrev": _jacrev,
    "jacfwd": _jacfwd,
    "linearize": _linearize,
    "vmap of vmap": _vmap_of(_vmap_of(_value)),
    "vmap of grad": _vmap_of(_grad),
    "vmap of vjp": _vmap_of(_vjp),
    "vmap of jvp": _vmap_of(_jvp),
    "vjp of vmap": _vjp_of(_vmap_of(_value)),
    "jvp of vmap": _jvp_of(_vmap_of(_value)),
    "jvp of grad": _jvp_of(_grad),
    "vjp of vjp": _vjp_of(_vjp),
    "jvp of vjp": _jvp_of(_vjp),
    "vjp of jvp": _vjp_of(_jvp),
    "jvp of jvp": _jvp_of(_jvp),
    "vmap of vjp of vjp": _vmap_of(_vjp_of(_vjp)),
    "vmap of jvp of vjp": _vmap_of(_jvp_of(_vjp)),
    "vmap of vjp of jvp": _vmap_of(_vjp_of(_jvp)),
}


@thinned("name, subject, composition", NAMES, SUBJECTS, COMPOSITIONS, keep=90)
def test_compositions(name: str, subject: str, composition: str) -> None:
    its = sample(name).of_integers()
    compose = COMPOSITIONS[composition]
    found = compose(SUBJECTS[subject](its), its.operands)
    right = compose(its.torchs, its.operands)
    torch.testing.assert_close(found, right, rtol=0, atol=0)


@thinned("name, subject", NAMES, SUBJECTS, keep=24)
def test_vmap_of_each_operand_along_each_axis(name: str, subject: str) -> None:
    its = sample(name).of_integers()
    run, operands = SUBJECTS[subject](its), its.operands
    for mapped in range(1, 2 ** len(operands)):
        chosen = [i for i in range(len(operands)) if mapped >> i & 1]
        for axis in range(-1, max(operands[i].dim() for i in chosen) + 1):
            dims: list[int | None] = [None] * len(operands)
            several, singles = list(operands), [list(operands) for _ in range(3)]
            for i in chosen:
                dims[i] = min(axis, operands[i].dim())
                each = [like(operands[i], 23 + 5 * k + i) for k in range(3)]
                several[i] = torch.stack(each, dims[i])
                for k in range(3):
                    singles[k][i] = each[k]
            for out in (0, -1):
                found = vmap(run, tuple(dims), out)(*several)
                assert torch.equal(found, torch.stack([its.torchs(*one) for one in singles], out))
