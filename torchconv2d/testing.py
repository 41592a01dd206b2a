"""How equal two convolutions must be: a bound that follows from the arithmetic, not from taste."""

from __future__ import annotations

import torch
from torch import Tensor


def unit_roundoff(dtype: torch.dtype) -> float:
    """The largest relative error of rounding one number to ``dtype``, half its ``eps``."""
    return torch.finfo(dtype).eps / 2


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which sums of products of ``dtype`` are expected to be held."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def rounding_bound(y64: Tensor, magnitude: Tensor, products: int, dtype: torch.dtype) -> Tensor:
    """How far each output may be from the true value: ``(K + 2) u_acc M + u_out |y64|``.

    From the error of a sum of ``K`` rounded products in any order, to first order (Higham,
    *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.1), with two more roundings
    for the bias and a masked weight, and one of the result to ``dtype``.

    Args:
        y64: the value, computed in float64 or complex128.
        magnitude: ``M``, the same convolution of absolute values, plus ``|bias|``.
        products: ``K``, how many products one output sums.
        dtype: the type of the result that is judged.

    Returns:
        A float64 tensor of ``y64``'s shape.
    """
    u_acc, u_out = unit_roundoff(accumulator(dtype)), unit_roundoff(dtype)
    return (products + 2) * u_acc * magnitude + u_out * y64.abs()
