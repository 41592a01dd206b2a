"""Values for the arguments of a layer, made for the sizes of the layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..sides.jax_conv import jax

jnp = jax.numpy

Arguments = dict[str, Any]


class Sizes(NamedTuple):
    """The sizes that follow from the legal arguments of a list.

    ``image`` is the output's shape, if its sides are those of the input.
    """

    in_size: tuple[int, int, int]
    out: int
    kernel_shape: tuple[int, int, int, int]
    bias_shape: tuple[int, ...]
    image: tuple[int, int, int]


# Several values of one argument, created again each time, because one may be an iterator.
Values = Callable[[Sizes], Sequence[Any]]
Table = dict[str, Values]


def each(names: Sequence[str], values: Values) -> Table:
    return dict.fromkeys(names, values)


DILATIONS = ("lhs_dilation", "rhs_dilation")
PAIRS = ("kernel_size", "stride", *DILATIONS)
ARRAYS = ("w_init", "b_init", "w_mask")


def pairs(s: Sizes) -> Sequence[Any]:
    """Forms of a pair that both layers accept."""
    return 2, [2], (2,), (1, 2), np.int64(2), (2, np.int8(1)), torch.tensor(2)


NEGATIVE = -1, (1, -1)


def no_pairs(s: Sizes) -> Sequence[Any]:
    """Values that neither layer accepts as a dilation; without bools, arrays, negative numbers.

    The reference raises TypeError too, unless another error comes first. The float equals no int:
    JAX's caches would find an earlier 2 for 2.0, and the reference would accept it.
    """
    numbers = 0, (1, 0), 7.0, (2.5, 1), None, (1, None), 1j
    return *numbers, "2", "22", {1, 2}, {1: 2}, ((1, 2),), object()


def no_dilations(s: Sizes) -> Sequence[Any]:
    return *no_pairs(s), *NEGATIVE, False, np.array([1, 2])


# Conditions on all arguments of a list.


def string_padding(a: Arguments) -> bool:
    return isinstance(a["padding"], str)


def dilated_input(a: Arguments) -> bool:
    return bool(np.any(np.asarray(a["lhs_dilation"], object) != 1))


def channel_first(a: Arguments) -> bool:
    return bool(a["channel_first"])


def channels_last(a: Arguments) -> bool:
    return not a["channel_first"]
