"""The result of a function and its gradients, in float64 and of arrays of any framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import floating
from .porting_mistakes import Change

Function = Callable[..., Any]


def cotangent_for(y: Tensor) -> Tensor:
    """Random multiples of 1/8 from -1 to 1 without 0, which no dtype rounds."""
    eighths = torch.randint(-8, 8, (2, *y.shape), generator=torch.Generator().manual_seed(0))
    real, imaginary = torch.where(eighths < 0, eighths, eighths + 1).double() / 8
    return (torch.complex(real, imaginary) if y.is_complex() else real).to(y)


def results(
    function: Function,
    arguments: Sequence[Any],
    vjp: Function | None,
    cotangent_of: Change = cotangent_for,
) -> list[Tensor]:
    """The function's value and, with ``vjp``, its gradients for a cotangent."""
    if vjp is None:
        return [floating("the result", function(*arguments)).cpu()]
    value, pullback = vjp(function, *arguments)
    y = floating("the result", value)
    cotangent = cotangent_of(y).to(y)
    if isinstance(value, Tensor):
        gradients = pullback(cotangent)
    else:  # JAX's convention for complex numbers is the conjugate of torch's.
        array = widened(cotangent).conj().resolve_conj().numpy().astype(np.asarray(value).dtype)
        gradients = [floating("a gradient", each).conj() for each in pullback(array)]
    return [floating("a gradient", result).cpu() for result in (y, *gradients)]


def autograd_vjp(function: Function, *arguments: Tensor) -> tuple[Tensor, Function]:
    """As ``torch.func.vjp``, also for functions that ``torch.func`` cannot transform."""
    leaves = [argument.detach().requires_grad_() for argument in arguments]
    with torch.enable_grad():
        y = function(*leaves)
    if not isinstance(y, Tensor):
        kind = type(y).__name__
        raise TypeError(f"`port` must return a tensor, to be differentiated; got {kind}.")
    return y, partial(torch.autograd.grad, y, leaves, materialize_grads=True)


def widened(tensor: Tensor) -> Tensor:
    """The tensor in float64 or complex128."""
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def modulus(tensor: Tensor) -> Tensor:
    """The absolute values, in the dtype of the tensor."""
    return tensor.abs().to(tensor.dtype)
