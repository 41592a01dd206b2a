"""Initializers: callables of a shape in the documented layout, ``(kh, kw, in / groups, out)``.

The family, its arguments and its defaults are those of ``brainstate.nn.init``. The variance scaling
schemes are those of LeCun (1998), Glorot & Bengio (2010, "Xavier") and He et al. (2015, "Kaiming");
their "normal" is truncated at two standard deviations unless asked otherwise.

With an int or a key as ``seed``, or inside :func:`torchconv2d.random.seeded`, they draw the same
numbers as the reference; otherwise they draw torch's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import arguments
from ..random.xla_math import flushed
from ..typing import Distribution, Fan
from .initializer import Initializer, Source

__all__ = [
    "Constant",
    "Initializer",
    "KaimingNormal",
    "KaimingUniform",
    "LecunNormal",
    "LecunUniform",
    "Normal",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "XavierNormal",
    "XavierUniform",
    "ZeroInit",
    "fans",
]


def __dir__() -> list[str]:
    return __all__


# The standard deviation of a standard normal truncated to [-2, 2].
TRUNCATED_STD = 0.87962566103423978

_DISTRIBUTIONS = ("truncated_normal", "normal", "uniform")


def fans(shape: tuple[int, ...], in_axis: int = -2, out_axis: int = -1) -> tuple[int, int]:
    """``(fan_in, fan_out)``: how many inputs an output sums, how many outputs an input reaches.

    Raises:
        ValueError: the shape lacks one of the two axes, or they are the same axis.

    >>> fans((3, 5, 4, 8))  # (kh, kw, in / groups, out)
    (60, 120)
    """
    rank = len(shape)
    if not (-rank <= in_axis < rank and -rank <= out_axis < rank) or (
        in_axis % rank == out_axis % rank
    ):
        raise ValueError(
            f"`in_axis` (={in_axis}) and `out_axis` (={out_axis}) must be two different axes "
            f"of the shape {shape}."
        )
    receptive = math.prod(
        size for axis, size in enumerate(shape) if axis not in (in_axis % rank, out_axis % rank)
    )
    return receptive * shape[in_axis], receptive * shape[out_axis]


class VarianceScaling(Initializer):
    """Variance ``scale / fan``, whatever the distribution.

    Args:
        scale: the gain of the variance, at least 0.
        mode: the fan: ``'fan_in'``, ``'fan_out'`` or their mean, ``'fan_avg'``.
        distribution: ``'truncated_normal'`` (at two standard deviations, and scaled to have the
            requested variance), ``'normal'`` or ``'uniform'``.
        in_axis, out_axis: the axes of the channels; the other axes are spatial.
        seed: see :class:`Initializer`.

    Raises:
        ValueError: a negative ``scale``, an unknown ``mode`` or ``distribution``.

    >>> VarianceScaling(2.0, "fan_out", "normal", seed=7)((3, 3, 64, 32)).std()
    tensor(0.0831)
    """

    def __init__(
        self,
        scale: float,
        mode: Fan,
        distribution: Distribution,
        in_axis: int = -2,
        out_axis: int = -1,
        seed: object = None,
    ) -> None:
        super().__init__(seed)
        self.scale = arguments.positive("scale", scale, or_zero=True)
        self.mode = arguments.one_of("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        self.distribution = arguments.one_of("distribution", distribution, _DISTRIBUTIONS)
        self.in_axis = arguments.integer("in_axis", in_axis, -arguments.LARGEST)
        self.out_axis = arguments.integer("out_axis", out_axis, -arguments.LARGEST)

    def draw(self, source: Source, shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> Any:
        fan_in, fan_out = fans(shape, self.in_axis, self.out_axis)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        # This rounds to the dtype at each step, as the reference does. An empty kernel has fan 0.
        variance = flushed(np.asarray(self.scale / fan if fan else 0.0, dtype))
        if self.distribution == "truncated_normal":
            drawn = source.truncated_normal(shape, dtype)
            std = np.sqrt(variance) / dtype(TRUNCATED_STD)
        elif self.distribution == "normal":
            drawn = source.normal(shape, dtype)
            std = np.sqrt(variance)
        else:
            drawn = source.uniform(shape, dtype, -1.0, 1.0)
            std = np.sqrt(dtype(3) * variance)
        drawn *= float(std)
        return drawn


class KaimingUniform(VarianceScaling):
    """Uniform with variance ``2 / fan_in``, for layers before a ReLU (He et al. 2015).

    >>> KaimingUniform(seed=7)((3, 3, 64, 32)).std()
    tensor(0.0589)
    """

    def __init__(
        self,
        scale: float = 2.0,
        mode: Fan = "fan_in",
        distribution: Distribution = "uniform",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: object = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class KaimingNormal(VarianceScaling):
    """Truncated normal with variance ``2 / fan_in``, for layers before a ReLU.

    >>> KaimingNormal(seed=7)((3, 3, 64, 32)).std()
    tensor(0.0588)
    """

    def __init__(
        self,
        scale: float = 2.0,
        mode: Fan = "fan_in",
        distribution: Distribution = "truncated_normal",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: object = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class XavierUniform(VarianceScaling):
    """Uniform with variance ``2 / (fan_in + fan_out)`` (Glorot & Bengio 2010).

    >>> XavierUniform(seed=7)((3, 3, 64, 32)).std()
    tensor(0.0481)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: Fan = "fan_avg",
        distribution: Distribution = "uniform",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: object = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class XavierNormal(VarianceScaling):
    """Truncated normal with variance ``2 / (fan_in + fan_out)``; the layer's default.

    >>> XavierNormal(seed=7)((3, 3, 64, 32)).std()
    tensor(0.0480)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: Fan = "fan_avg",
        distribution: Distribution = "truncated_normal",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: object = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class LecunUniform(VarianceScaling):
    """Uniform with variance ``1 / fan_in`` (LeCun et al. 1998).

    >>> LecunUniform(seed=7)((3, 3, 64, 32)).std()
    tensor(0.0416)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: Fan = "fan_in",
        distribution: Distribution = "uniform",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: object = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class LecunNormal(VarianceScaling):
    """Truncated normal with variance ``1 / fan_in``.

    >>> LecunNormal(seed=7)((3, 3, 64, 32)).std()
    tensor(0.0416)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: Fan = "fan_in",
        distribution: Distribution = "truncated_normal",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: object = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class Normal(Initializer):
    """Normal with this mean and the standard deviation ``scale``, which is at least 0.

    Without a seed it is torch's ``normal_``. On a CPU that draws nothing beyond 5.77 ``scale`` in
    float32, for 16 numbers or more; 2 of 1e9 numbers should be beyond 6. For seeds, see
    :class:`TruncatedNormal`.

    >>> Normal(1.0, 0.5, seed=7)((1, 3))
    tensor([[1.2271, 1.4696, 0.8655]])
    """

    def __init__(self, mean: float = 0.0, scale: float = 1.0, seed: object = None) -> None:
        super().__init__(seed)
        self.mean = arguments.number("mean", mean)
        self.scale = arguments.positive("scale", scale, or_zero=True)

    def draw(self, source: Source, shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> Any:
        return source.normal(shape, dtype, self.mean, self.scale)


class TruncatedNormal(Initializer):
    """Normal around ``loc`` with standard deviation ``scale``, cut to ``[lower, upper]``.

    The bounds are values, not multiples of ``scale``. ``loc`` must be at most two ``scale`` outside
    them. The cut changes mean and variance.

    With wide bounds, draws without a seed follow the normal distribution up to 8.2 ``scale`` from
    ``loc``, in every dtype. With a seed they are the reference's. Then a float32 draw is one of
    2^23 values from -5.42 to 5.12 ``scale`` (:class:`Normal`: to 5.22), and a float64 draw is
    between -8.29 and 8.10 (8.16). Of float32 draws, the number beyond 4.5 ``scale`` is right within
    2%, and the number beyond 5 within 25%. If the bounds leave only a tail, seeded float32 draws
    still end at 5.42 ``scale``; near that end there are few values, and each is drawn often.

    >>> TruncatedNormal(lower=0.0, seed=7)((1, 3))
    tensor([[0.9238, 1.2497, 0.4903]])
    """

    def __init__(
        self,
        loc: float = 0.0,
        scale: float = 1.0,
        lower: float = -2.0,
        upper: float = 2.0,
        seed: object = None,
    ) -> None:
        super().__init__(seed)
        lower, upper = arguments.number("lower", lower), arguments.number("upper", upper)
        if not lower < upper:
            raise ValueError(f"`lower` (={lower!r}) must be below `upper` (={upper!r}).")
        loc, scale = arguments.number("loc", loc), arguments.positive("scale", scale)
        if not lower - 2 * scale <= loc <= upper + 2 * scale:
            raise ValueError(
                f"`loc` (={loc!r}) must be at most two `scale` (={scale!r}) below `lower` "
                f"(={lower!r}) or above `upper` (={upper!r}): too little is left to draw beyond."
            )
        self.loc, self.scale, self.lower, self.upper = loc, scale, lower, upper

    def draw(self, source: Source, shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> Any:
        return source.truncated_normal(shape, dtype, self.lower, self.upper, self.loc, self.scale)


class Uniform(Initializer):
    """Uniform on ``[min_val, max_val)``; ``min_val`` is not above ``max_val``.

    >>> Uniform(-1.0, seed=7)((1, 3))
    tensor([[ 0.3503,  0.6524, -0.2120]])
    """

    def __init__(self, min_val: float = 0.0, max_val: float = 1.0, seed: object = None) -> None:
        super().__init__(seed)
        min_val = arguments.number("min_val", min_val)
        max_val = arguments.number("max_val", max_val)
        if not min_val <= max_val:
            raise ValueError(f"`min_val` (={min_val!r}) must not exceed `max_val` (={max_val!r}).")
        self.min_val, self.max_val = min_val, max_val

    def draw(self, source: Source, shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> Any:
        return source.uniform(shape, dtype, self.min_val, self.max_val)


class Constant(Initializer):
    """Every entry ``value``.

    >>> Constant(0.5)((1, 3))
    tensor([[0.5000, 0.5000, 0.5000]])
    """

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.value = arguments.number("value", value)

    def draw(self, source: Source, shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> Any:
        return np.full(shape, self.value, dtype)


class ZeroInit(Initializer):
    """Every entry zero.

    >>> ZeroInit()((1, 3))
    tensor([[0., 0., 0.]])
    """

    def __init__(self) -> None:
        super().__init__()

    def draw(self, source: Source, shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> Any:
        return np.zeros(shape, dtype)
