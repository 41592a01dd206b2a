"""The error function and its inverse as XLA evaluates them on a CPU, to the last bit.

The last bit depends on the order of the operations and on where they round, so both follow the code
that XLA compiles: polynomials by Horner's rule, each step one fused multiply-add. The polynomials:

- the inverse: M. Giles, "Approximating the erfinv function", GPU Computing Gems Jade Edition, 2011;
- log(1 + x), and the float32 logarithm in it: S. Moshier, Cephes, ``unity.c`` and ``logf.c``;
- the float32 error function: the rational function that XLA and Eigen use.

In float64 XLA calls the C library for the logarithm and the error function, and so does this file.

XLA sets the processor to replace denormal numbers, which are nearer to 0 than the smallest normal
number, by zero. The functions at the end do so where a draw can be so small.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor

from ..versions import numbers_only

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]


class Piece(NamedTuple):
    """A polynomial of Giles, for w = -log(1 - u^2) >= ``start``; u is multiplied by its value.

    The first piece is a polynomial in w - ``centre``, the others in sqrt(w) - ``centre``.
    """

    start: float
    centre: float
    coefficients: tuple[float, ...]


# Coefficients start with that of the highest power.
# fmt: off
_LOG1P_NUMERATOR = (
    4.5270000862445199635215e-5, 4.9854102823193375972212e-1, 6.5787325942061044846969e0,
    2.9911919328553073277375e1, 6.0949667980987787057556e1, 5.7112963590585538103336e1,
    2.0039553499201281259648e1,
)
_LOG1P_DENOMINATOR = (
    1.0, 1.5062909083469192043167e1, 8.3047565967967209469434e1, 2.2176239823732856465394e2,
    3.0909872225312059774938e2, 2.1642788614495947685003e2, 6.0118660497603843919306e1,
)
_LOG = (
    (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1),
    (-1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1),
    (2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
_LN2 = (0.693359375, -2.12194440e-4)  # their sum is ln 2; an exponent times the first is exact

_HALF_ROOT = int(np.float32(math.sqrt(0.5)).view(np.int32))

_ERF_IS_ONE = 3.7439213
_ERF_NUMERATOR = (
    0.00022905065, 0.003408291, 0.050955694, 0.18520832, 1.1283791,
)
_ERF_DENOMINATOR = (
    -1.1791603e-07, 2.3547966e-05, 0.0010179626, 0.01407047,
    0.11098505, 0.49746925, 1.0,
)

_PIECES = {
    torch.float32: (
        Piece(0.0, 2.5, (
            2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
            -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
        )),
        Piece(5.0, 3.0, (
            -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
            -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
        )),
    ),
    torch.float64: (
        Piece(0.0, 3.125, (
            -3.64441206401782e-21, -1.6850591381820166e-19, 1.28584807152564e-18,
            1.1157877678025181e-17, -1.333171662854621e-16, 2.0972767875968562e-17,
            6.637638134358324e-15, -4.054566272975207e-14, -8.151934197605472e-14,
            2.6335093153082323e-12, -1.2975133253453532e-11, -5.415412054294628e-11,
            1.0512122733215323e-09, -4.112633980346984e-09, -2.9070369957882005e-08,
            4.2347877827932404e-07, -1.3654692000834679e-06, -1.3882523362786469e-05,
            0.00018673420803405714, -0.000740702534166267, -0.006033670871430149,
            0.24015818242558962, 1.6536545626831027,
        )),
        Piece(6.25, 3.25, (
            2.2137376921775787e-09, 9.075656193888539e-08, -2.7517406297064545e-07,
            1.8239629214389228e-08, 1.5027403968909828e-06, -4.013867526981546e-06,
            2.9234449089955446e-06, 1.2475304481671779e-05, -4.7318229009055734e-05,
            6.828485145957318e-05, 2.4031110387097894e-05, -0.0003550375203628475,
            0.0009532893797373805, -0.0016882755560235047, 0.002491442096107851,
            -0.003751208507569241, 0.005370914553590064, 1.0052589676941592,
            3.0838856104922208,
        )),
        Piece(16.0, 5.0, (
            -2.7109920616438573e-11, -2.555641816996525e-10, 1.5076572693500548e-09,
            -3.789465440126737e-09, 7.61570120807834e-09, -1.496002662714924e-08,
            2.914795345090108e-08, -6.771199775845234e-08, 2.2900482228026655e-07,
            -9.9298272942317e-07, 4.526062597223154e-06, -1.968177810553167e-05,
            7.599527703001776e-05, -0.00021503011930044477, -0.00013871931833623122,
            1.0103004648645344, 4.849906401408584,
        )),
    ),
}
# fmt: on

# Numbers below the first times the second have products and sums that are not denormal.
_LIFTS = {np.dtype(np.float32): (2.0**-60, 2.0**64), np.dtype(np.float64): (2.0**-500, 2.0**512)}


@functools.cache
def _addcmul_rounds_once(dtype: torch.dtype) -> bool:
    """Whether torch's multiply-add is fused, which depends on its build and the processor.

    Tests replace this, since one machine has only one of the two answers.
    """
    third = torch.full((999,), 1 / 3, dtype=dtype, device="cpu")
    ninth = third * third
    # If it rounds twice, the differences are 0, because `ninth` is the rounded product.
    differences = (torch.addcmul(-ninth, third, third), torch.addcmul(-ninth[:1], third, third))
    return all(bool(difference.all()) for difference in differences)


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded sum, and its exact rounding error (Knuth)."""
    of_b = (total := a + b) - a
    return total, (a - (total - of_b)) + (b - of_b)


def _halves(a: Any) -> tuple[Any, Any]:
    """Two float64 numbers of 26 bits each, whose sum is ``a`` (Veltkamp)."""
    large = a * float(2**27 + 1)
    high = large - (large - a)
    return high, a - high


def _two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded product of float64 numbers, and its exact rounding error (Dekker)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    rest = a_high * b_high - product + a_high * b_low + a_low * b_high
    return product, rest + a_low * b_low


def _sum_to_odd(a: Any, b: Any) -> Any:
    """The sum in float64, rounded to odd: if it is not exact, the neighbour whose last bit is 1.

    So it is never halfway between two numbers of fewer bits, and can safely be rounded once more.
    """
    total, rest = _two_sum(a, b)
    words = total.view(np.int64)  # adding 1 gives the next number away from 0
    inexact_even = np.isfinite(rest) & (rest != 0) & (words & 1 == 0)
    words += np.where(inexact_even, np.where((rest > 0) == (total > 0), 1, -1), 0)
    return total


def _rounded_once(a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` rounded once, from sums and products, which all processors have.

    In float64 by S. Boldo and G. Melquiond, "Emulation of a FMA and correctly rounded sums: proved
    algorithms using rounding to odd", IEEE Transactions on Computers 57(4), 2008.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if a.dtype == np.float32:  # float64 holds its products exactly
            wide: Any = _sum_to_odd(a.astype(np.float64) * b, c.astype(np.float64))
            return wide.astype(np.float32)
        product, rest = _two_product(a, b)
        low, lowest = _two_sum(c, rest)
        high, middle = _two_sum(product, low)
        value: Any = high + _sum_to_odd(lowest, middle)
        # The halves of numbers above 2^996 overflow.
        overflowing = ~np.isfinite(value)
        value[overflowing] = (a * b + c)[overflowing]
        return value


def _multiply_add(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    if _addcmul_rounds_once(a.dtype):
        return torch.addcmul(c, a, b, out=a)
    a.numpy()[...] = _rounded_once(a.numpy(), b.numpy(), c.numpy())
    return a


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    value = torch.full_like(x, coefficients[0])
    for summand in _summands(tuple(coefficients), x.dtype):
        value = _multiply_add(value, x, summand)
    return value


@functools.lru_cache(maxsize=64)
def _summands(coefficients: tuple[float, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """All coefficients but the first. None is -0, which the cache would take for 0."""
    rest = torch.from_numpy(np.array(coefficients[1:], np.float64))  # pyright: ignore
    return rest.to(dtype).unbind()


def multiply_add(a: Floats, b: Floats, c: Floats) -> Floats:
    """``a * b + c`` rounded once, written to ``a``.

    It uses torch if torch rounds once, which depends on its build and on the processor, and else
    some thirty operations of NumPy, which give the same bits.
    """
    with numbers_only():
        return _multiply_add(*map(torch.from_numpy, (a, b, c))).numpy()  # pyright: ignore


def polynomial(coefficients: Sequence[float], x: Floats) -> Floats:
    """The polynomial at x, the coefficient of the highest power first."""
    with numbers_only():
        return _polynomial(coefficients, torch.from_numpy(x)).numpy()  # pyright: ignore


def _log(y: Tensor) -> Tensor:
    """The logarithm of positive numbers."""
    if y.dtype == torch.float64:
        logs = map(math.log, cast("list[float]", y.tolist()))  # pyright: ignore
        return torch.from_numpy(np.fromiter(logs, np.float64, len(y)))  # pyright: ignore
    # The bits of y, less those of sqrt(1/2), start with the exponent of y / m, for an m between
    # sqrt(1/2) and sqrt(2).
    words = y.view(torch.int32)
    exponents = words.sub(_HALF_ROOT).bitwise_right_shift_(23)
    x = words.sub(exponents, alpha=1 << 23).view(torch.float32).sub_(1)
    exponent = exponents.to(torch.float32)
    square = x * x
    cube = square * x
    high, middle, low = (_polynomial(coefficients, x) for coefficients in _LOG)
    tail = _multiply_add(_multiply_add(high, cube, middle), cube, low)
    tail = _multiply_add(tail, cube, exponent * _LN2[1])
    # The halves and the multiples of LN2[0] are exact, so fusing makes no difference.
    x.sub_(square, alpha=0.5).add_(tail)
    return exponent.mul_(_LN2[0]).add_(x)


def _log1p(x: Tensor) -> Tensor:
    """The logarithm of 1 + x, for x in (-1, 0]."""
    square = x * x
    value, other = _polynomial(_LOG1P_NUMERATOR, x), _polynomial(_LOG1P_DENOMINATOR, x)
    value /= other
    value *= torch.mul(square, x, out=other)
    value.sub_(square, alpha=0.5).add_(x)
    far = _where_at_most(x, 1 - math.sqrt(2))
    value.index_copy_(0, far, _log(x.index_select(0, far) + 1))
    return value


def _where_at_most(x: Tensor, bound: float) -> Tensor:
    """The places of numbers up to the bound. NumPy finds them in a third of torch's time."""
    if not len(x) or x.amin() > bound:
        return torch.empty(0, dtype=torch.int64, device="cpu")
    return torch.from_numpy(np.flatnonzero(x.numpy() <= bound))  # pyright: ignore


def erf_inv(u: Floats) -> Floats:
    """The inverse error function of a one-dimensional array of numbers in [-1, 1]."""
    with numbers_only():
        return _erf_inv(torch.from_numpy(u)).numpy()  # pyright: ignore


def _erf_inv(u: Tensor) -> Tensor:
    w = (-u).mul_(u)
    ends = _where_at_most(w, -1)
    w[ends] = 0  # the logarithm would be infinite
    log = _log1p(w)
    near, *far = _PIECES[u.dtype]
    factor = _polynomial(near.coefficients, torch.rsub(log, -near.centre))
    for piece in far:
        if not len(there := _where_at_most(log, -piece.start)):
            break
        # torch's square root is not always the nearest number.
        root = torch.from_numpy(np.sqrt(-log[there].numpy())) - piece.centre  # pyright: ignore
        factor[there] = _polynomial(piece.coefficients, root)
    factor[ends] = torch.inf
    return _product(factor, u)


def erf(x: Floats) -> Floats:
    """The error function of an array of any shape."""
    if x.dtype == np.float64:
        return np.fromiter(map(math.erf, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)
    inside = np.clip(x, -_ERF_IS_ONE, _ERF_IS_ONE, dtype=np.float32).ravel()
    square = inside * inside
    numerator, denominator = (polynomial(c, square) for c in (_ERF_NUMERATOR, _ERF_DENOMINATOR))
    value = (inside * numerator / denominator).reshape(x.shape)
    return np.where(np.abs(x) >= np.float32(_ERF_IS_ONE), np.copysign(np.float32(1), x), value)


def lift(*numbers: Floats) -> Floats:
    """A power of two for each entry, above 1 where sums and products of so small numbers underflow.

    Those of the numbers times this power do not underflow, and :func:`lowered` takes it away again.
    Where one number is larger, its sums with multiples of 2^-23 (float64: 2^-52) of the others are
    0 or far above the denormal numbers.
    """
    small, power = _LIFTS[numbers[0].dtype]
    largest = functools.reduce(np.maximum, map(np.abs, numbers))
    return np.where(largest < small, power, 1.0).astype(largest.dtype)


def lowered(values: Floats, power: Floats) -> Floats:
    """``values / power``, with zeros of the same sign for denormal numbers.

    A processor decides on the number rounded to all digits of a normal one, which the values are.
    Rounded to the fewer digits of a denormal number, some would reach the smallest normal one.
    """
    return values * (np.abs(values) >= np.finfo(values.dtype).tiny * power) / power


def _least(values: Tensor) -> float:
    """The least magnitude; most draws have none that is denormal, so that this is all they need."""
    return values.abs().amin().item() if values.numel() else math.inf


def flushed(values: Floats) -> Floats:
    """The values, with zeros of the same sign for denormal numbers."""
    values = np.asarray(values)
    tiny = np.finfo(values.dtype).tiny
    with numbers_only():
        if _least(torch.from_numpy(values)) >= tiny:  # pyright: ignore
            return values
    return np.asarray(values * (np.abs(values) >= tiny))


def product(a: Floats, b: Floats) -> Floats:
    """``a * b``, with zeros of the same sign for denormal products."""
    with numbers_only():
        return _product(torch.from_numpy(a), torch.from_numpy(b)).numpy()  # pyright: ignore


def _product(a: Tensor, b: Tensor) -> Tensor:
    value = a * b
    if _least(value) > np.finfo(value.numpy().dtype).tiny:  # and no product is NaN
        return value
    return torch.from_numpy(_flushed_product(a.numpy(), b.numpy(), value.numpy()))  # pyright: ignore


def _flushed_product(a: Floats, b: Floats, value: Floats) -> Floats:
    power = np.asarray(_LIFTS[value.dtype][1], value.dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # where neither is small
        by_a, by_b = a * power * b, b * power * a
        lifted = lowered(np.where(np.abs(a) < np.abs(b), by_a, by_b), power)  # pyright: ignore
        return np.where(np.abs(value) <= np.finfo(value.dtype).tiny, lifted, value)
