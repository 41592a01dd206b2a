"""How equal two convolutions must be: a bound on the rounding of any computation of one."""

from __future__ import annotations

import torch
from torch import Tensor


def unit_roundoff(dtype: torch.dtype) -> float:
    """The largest relative error of rounding a number to ``dtype``: half its ``eps``.

    >>> unit_roundoff(torch.float32) == 2**-24
    True
    """
    return torch.finfo(dtype).eps / 2


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The dtype that is expected to hold sums of products of ``dtype``.

    >>> accumulator(torch.bfloat16)
    torch.float32
    """
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def rounding_bound(
    y64: Tensor, magnitude: Tensor, products: int | Tensor, dtype: torch.dtype
) -> Tensor:
    """How far each output may be from the true value: ``(K + 2) u_acc M + u_out |y64|``.

    This is the error of a sum of ``K`` rounded products in any order, to first order (Higham,
    *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.1). It adds two roundings, for
    the bias and for a masked weight, and the rounding of the result to ``dtype``. It ignores
    underflow.

    For complex numbers it bounds the modulus of the error, with ``4 (K + 4)`` instead of ``K + 2``.
    If a complex product is computed from four real ones, each part is a sum of ``2 K`` products,
    which with Cauchy's inequality gives ``2 sqrt(2) (K + 1)`` (compare lemma 3.5 there). If it is
    computed from three, as in torch and JAX, the terms of the imaginary part, ``sum (a + b)(c + d)
    - sum ac - sum bd``, add up to ``3 M`` (section 23.2.4). This gives slightly more than
    ``sqrt(10) (K + 4)``, which is below ``4 (K + 4)`` for every ``K``.

    Args:
        y64: the value, computed in float64 or complex128.
        magnitude: ``M``, the same convolution of absolute values, plus ``|bias|``.
        products: ``K``, the number of products in an output, as one number or one per output.
        dtype: the dtype of the result to judge.

    Returns:
        A float64 tensor of ``y64``'s shape.

    Raises:
        TypeError: an integer ``dtype``.

    >>> x, weight = torch.randn(1, 3, 8, 9), torch.randn(4, 3, 3, 3)
    >>> y64 = torch.conv2d(x.double(), weight.double())
    >>> magnitude = torch.conv2d(x.double().abs(), weight.double().abs())
    >>> bound = rounding_bound(y64, magnitude, 3 * 3 * 3, torch.float32)
    >>> bool(((torch.conv2d(x, weight) - y64).abs() <= bound).all())
    True
    """
    u_acc, u_out = unit_roundoff(accumulator(dtype)), unit_roundoff(dtype)
    roundings = 4 * (products + 4) if dtype.is_complex else products + 2
    each = torch.as_tensor(roundings * u_acc, dtype=torch.float64, device=y64.device)
    return y64.abs().mul_(u_out).addcmul_(magnitude, each)  # in place: networks have large arrays
