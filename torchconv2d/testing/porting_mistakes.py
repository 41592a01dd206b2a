"""Common porting mistakes by name, as changes of a tensor that keep its shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, permutations, product
from typing import Any, NamedTuple

import torch
from torch import Tensor

Change = Callable[[Tensor], Tensor]


class Mistake(NamedTuple):
    """A change of a tensor, with its name in messages.

    A shift moves unknown entries in at the border, so results are compared away from there.
    """

    name: str
    change: Change
    is_shift: bool = False


def rearrangements(tensor: Tensor) -> Iterator[Mistake]:
    """The changes that only move entries."""
    axes = [axis for axis, size in enumerate(tensor.shape) if size > 1]
    for order in permutations(range(tensor.dim())):
        if list(order) == sorted(order):
            continue  # the tensor itself
        if tensor.permute(order).shape == tensor.shape:
            yield Mistake(f"transposed to {order}", partial(torch.permute, dims=order))
        elif [axis for axis in order if axis in axes] != axes:
            in_memory = partial(_transposed_in_memory, order)
            yield Mistake(f"reshaped as if transposed to {order}", in_memory)
            yield Mistake(f"transposed to {order}, then reshaped", partial(_reshaped, order))
    for some in [*combinations(axes, 1), *combinations(axes, 2)]:
        yield Mistake(f"flipped along {some}", partial(torch.flip, dims=some))
        for steps in product((-1, 1), repeat=len(some)):
            if min(tensor.shape[axis] for axis in some) > 2:
                shift = partial(torch.roll, shifts=steps, dims=some)
                yield Mistake(f"shifted {steps} along {some}", shift, is_shift=True)
    for axis in axes:
        for groups in range(2, tensor.shape[axis]):
            if tensor.shape[axis] % groups == 0:
                regrouped = partial(_regrouped, axis, groups)
                yield Mistake(f"regrouped along {axis} by {groups}", regrouped)


def _regrouped(axis: int, groups: int, tensor: Any) -> Tensor:
    grouped = tensor.unflatten(axis, (groups, -1))
    return grouped.transpose(axis, axis + 1).flatten(axis, axis + 1)


def _transposed_in_memory(order: tuple[int, ...], tensor: Tensor) -> Tensor:
    return tensor.permute(order).reshape(tensor.shape)


def _reshaped(order: tuple[int, ...], tensor: Tensor) -> Tensor:
    """The inverse of ``_transposed_in_memory``."""
    back = sorted(range(len(order)), key=order.__getitem__)
    return tensor.reshape([tensor.shape[axis] for axis in order]).permute(back)


def _rounded(bits: int, rounding: Change, tensor: Tensor) -> Tensor:
    """The tensor rounded to ``bits`` significant bits; autograd sees the identity."""
    parts = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    mantissa, exponent = torch.frexp(parts.detach())
    rounded = torch.ldexp(rounding(mantissa * 2**bits), exponent - bits)
    rounded = torch.view_as_complex(rounded) if tensor.is_complex() else rounded
    return tensor + (rounded - tensor).detach()


def _ones(tensor: Tensor) -> Tensor:
    """Ones that depend on the tensor, so that its gradient is zero and not missing."""
    return 0 * tensor + 1


ROUNDINGS = [
    Mistake("rounded to bfloat16", partial(_rounded, 8, torch.round)),
    Mistake("rounded to TF32/float16", partial(_rounded, 11, torch.round)),
    Mistake("cut off to TF32", partial(_rounded, 11, torch.trunc)),
]

LOSSES = [
    Mistake("left out", partial(torch.mul, other=0)),
    Mistake("taken for ones", _ones),
    *ROUNDINGS,
]
