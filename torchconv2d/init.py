"""Initializers: callables of a shape in the documented layout, ``(kh, kw, in / groups, out)``.

The family, its arguments and its defaults are those of ``brainstate.nn.init``. The variance scaling
schemes are those of LeCun (1998), Glorot & Bengio (2010, "Xavier") and He et al. (2015, "Kaiming");
their "normal" is truncated at two standard deviations unless asked otherwise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from . import arguments

# The standard deviation of a standard normal truncated to [-2, 2].
TRUNCATED_STD = 0.87962566103423978

_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("truncated_normal", "normal", "uniform")


def fans(shape: tuple[int, ...], in_axis: int = -2, out_axis: int = -1) -> tuple[int, int]:
    """``(fan_in, fan_out)``: how many inputs an output sums, how many outputs an input feeds.

    Raises:
        ValueError: the shape lacks one of the two axes, or both are the same one.
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


def _one_of(name: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.")
    return str(value)


def _positive(name: str, value: float, *, or_zero: bool = False) -> float:
    if not (value > 0 or (or_zero and value == 0)):
        rule = "positive or zero" if or_zero else "positive"
        raise ValueError(f"`{name}` must be {rule}, got {value!r}.")
    return value


class Initializer(ABC):
    """What draws or fills a tensor of a shape; subclasses say how in :meth:`draw`.

    Args:
        seed: ``None`` draws from torch's global generator, a ``torch.Generator`` from that one.
    """

    def __init__(self, seed: torch.Generator | None = None) -> None:
        if seed is not None and not isinstance(seed, torch.Generator):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"`seed` must be None or a torch.Generator, got {seed!r}; "
                f"for an int, pass `torch.Generator().manual_seed({seed!r})`."
            )
        self.seed = seed

    def __call__(
        self,
        shape: int | tuple[int, ...] | list[int],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """A new tensor of ``shape``.

        Drawn in float32 for half precision, and in the real type for a complex one, then cast.

        Args:
            shape: its axes, as the class of initializer reads them.
            dtype: torch's default dtype if None.
            device: torch's default device if None.
        """
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        sizes = tuple(arguments.integer("shape", size, 0) for size in sizes)
        dtype = dtype or torch.get_default_dtype()
        wide = torch.float64 if dtype in (torch.float64, torch.complex128) else torch.float32
        where = device if self.seed is None else self.seed.device
        tensor = torch.empty(sizes, dtype=wide, device=where)
        with torch.no_grad():
            if tensor.numel():
                self.draw(tensor)
        return tensor.to(device=device, dtype=dtype)

    @abstractmethod
    def draw(self, tensor: Tensor) -> None:
        """Fill the tensor, a real and contiguous one, in place."""

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in vars(self).items() if value is not None)
        return f"{type(self).__name__}({', '.join(shown)})"


class VarianceScaling(Initializer):
    """Variance ``scale / fan``, whatever the distribution.

    Args:
        scale: the gain of the variance, at least 0.
        mode: the fan: ``'fan_in'``, ``'fan_out'`` or their mean, ``'fan_avg'``.
        distribution: ``'truncated_normal'`` (at two standard deviations, corrected so that the
            variance is the requested one), ``'normal'`` or ``'uniform'``.
        in_axis, out_axis: where the shape holds the channels; the other axes are the kernel's.
        seed: see :class:`Initializer`.
    """

    def __init__(
        self,
        scale: float,
        mode: str,
        distribution: str,
        in_axis: int = -2,
        out_axis: int = -1,
        seed: torch.Generator | None = None,
    ) -> None:
        super().__init__(seed)
        self.scale = _positive("scale", scale, or_zero=True)
        self.mode = _one_of("mode", mode, _MODES)
        self.distribution = _one_of("distribution", distribution, _DISTRIBUTIONS)
        self.in_axis = in_axis
        self.out_axis = out_axis

    def draw(self, tensor: Tensor) -> None:
        fan_in, fan_out = fans(tuple(tensor.shape), self.in_axis, self.out_axis)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        std = math.sqrt(self.scale / fan)
        if self.distribution == "truncated_normal":
            torch.nn.init.trunc_normal_(tensor, 0.0, 1.0, -2.0, 2.0, generator=self.seed)
            tensor.mul_(std / TRUNCATED_STD)
        elif self.distribution == "normal":
            tensor.normal_(0.0, std, generator=self.seed)
        else:
            bound = math.sqrt(3.0) * std
            tensor.uniform_(-bound, bound, generator=self.seed)


class KaimingUniform(VarianceScaling):
    """Uniform with variance ``2 / fan_in``, for layers before a ReLU."""

    def __init__(
        self,
        scale: float = 2.0,
        mode: str = "fan_in",
        distribution: str = "uniform",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: torch.Generator | None = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class KaimingNormal(VarianceScaling):
    """Truncated normal with variance ``2 / fan_in``, for layers before a ReLU."""

    def __init__(
        self,
        scale: float = 2.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: torch.Generator | None = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class XavierUniform(VarianceScaling):
    """Uniform with variance ``2 / (fan_in + fan_out)``."""

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_avg",
        distribution: str = "uniform",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: torch.Generator | None = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class XavierNormal(VarianceScaling):
    """Truncated normal with variance ``2 / (fan_in + fan_out)``; the layer's default."""

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_avg",
        distribution: str = "truncated_normal",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: torch.Generator | None = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class LecunUniform(VarianceScaling):
    """Uniform with variance ``1 / fan_in``."""

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "uniform",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: torch.Generator | None = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class LecunNormal(VarianceScaling):
    """Truncated normal with variance ``1 / fan_in``."""

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: torch.Generator | None = None,
    ) -> None:
        super().__init__(scale, mode, distribution, in_axis, out_axis, seed)


class Normal(Initializer):
    """Normal with this mean, and ``scale`` as its standard deviation."""

    def __init__(
        self, mean: float = 0.0, scale: float = 1.0, seed: torch.Generator | None = None
    ) -> None:
        super().__init__(seed)
        self.mean = mean
        self.scale = _positive("scale", scale, or_zero=True)

    def draw(self, tensor: Tensor) -> None:
        tensor.normal_(self.mean, self.scale, generator=self.seed)


class TruncatedNormal(Initializer):
    """Normal around ``loc`` with standard deviation ``scale``, cut to ``[lower, upper]``.

    The bounds are values, not multiples of ``scale``; the cut moves mean and variance.
    """

    def __init__(
        self,
        loc: float = 0.0,
        scale: float = 1.0,
        lower: float = -2.0,
        upper: float = 2.0,
        seed: torch.Generator | None = None,
    ) -> None:
        super().__init__(seed)
        if not lower < upper:
            raise ValueError(f"`lower` (={lower!r}) must be below `upper` (={upper!r}).")
        self.loc = loc
        self.scale = _positive("scale", scale)
        self.lower = lower
        self.upper = upper

    def draw(self, tensor: Tensor) -> None:
        torch.nn.init.trunc_normal_(
            tensor, self.loc, self.scale, self.lower, self.upper, generator=self.seed
        )


class Uniform(Initializer):
    """Uniform on ``[min_val, max_val)``."""

    def __init__(
        self, min_val: float = 0.0, max_val: float = 1.0, seed: torch.Generator | None = None
    ) -> None:
        super().__init__(seed)
        if not min_val <= max_val:
            raise ValueError(f"`min_val` (={min_val!r}) must not exceed `max_val` (={max_val!r}).")
        self.min_val = min_val
        self.max_val = max_val

    def draw(self, tensor: Tensor) -> None:
        tensor.uniform_(self.min_val, self.max_val, generator=self.seed)


class Constant(Initializer):
    """Every entry ``value``."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.value = value

    def draw(self, tensor: Tensor) -> None:
        tensor.fill_(self.value)


class ZeroInit(Constant):
    """Every entry zero."""

    def __init__(self) -> None:
        super().__init__(0.0)
