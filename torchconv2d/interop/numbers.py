"""Dtypes and shapes of other libraries' arrays, and conversion of tensors to NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import arrays
from ..messages import elided, shown


def dtype_of(name: str, value: Any) -> torch.dtype:
    """The dtype of an array of any library.

    Raises:
        TypeError: ``value`` is not an array, or torch lacks its dtype or cannot convert it.
    """
    if isinstance(value, Tensor):
        refusal = arrays.not_readable(value)
        if refusal is not None:
            raise TypeError(f"`{elided(name)}` must be {refusal}.")
        return value.dtype
    if not (hasattr(value, "dtype") and hasattr(value, "shape")):
        raise TypeError(f"`{elided(name)}` must be an array, got {type(value).__name__}.")
    kind = getattr(value.dtype, "name", str(value.dtype)).removeprefix("torch.")
    dtype = getattr(torch, kind, None)
    if not isinstance(dtype, torch.dtype):
        raise TypeError(
            f"`{elided(name)}` must be an array of numbers that torch has, got {elided(kind)}."
        )
    if (refusal := arrays.not_converted(dtype)) is not None:
        raise TypeError(f"`{elided(name)}` must be {refusal}.")
    return dtype


def shape_of(name: str, value: Any, dtype: torch.dtype) -> tuple[int, ...]:
    """The shape of an array, if the layer's dtype does not round its numbers.

    Raises:
        TypeError: as for :func:`dtype_of`.
        ValueError: the layer's dtype does not hold the numbers.
    """
    try:
        source, shape = dtype_of(name, value), tuple(value.shape)
    except (TypeError, ValueError, MemoryError):
        raise
    except Exception as error:  # an array of another library may raise anything
        raise TypeError(f"`{name}` must be an array: {elided(str(error))}") from error
    if not holds(dtype, source):
        raise ValueError(
            f"`{name}`, of the shape {shown(shape)}, is {source}, and the layer's {dtype} "
            f"does not hold it; round it yourself, or first call `layer.to({source})`."
        )
    return shape


def holds(dtype: torch.dtype, source: torch.dtype) -> bool:
    """Whether each number of ``source`` is one of ``dtype``."""
    held = torch.finfo(dtype)
    if not (source.is_floating_point or source.is_complex):
        return (1 if source == torch.bool else torch.iinfo(source).max) <= 2 / held.eps
    needed = torch.finfo(source)
    wide = held.max >= needed.max and held.smallest_normal <= needed.smallest_normal
    return wide and held.eps <= needed.eps and (dtype.is_complex or not source.is_complex)


def numpy_array(tensor: Tensor) -> NDArray[Any]:
    """A copy of the tensor as a NumPy array; bfloat16 has the dtype of ``ml_dtypes``."""
    if tensor.dtype != torch.bfloat16:
        return np.array(tensor.numpy(force=True))
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError(
            "NumPy has no bfloat16; install ml_dtypes, or export a float32 layer, `.float()`."
        ) from error
    return np.array(tensor.contiguous().view(torch.int16).numpy(force=True)).view(
        ml_dtypes.bfloat16
    )


def shape_told(value: Any) -> str:
    """The shape for a message, for any value."""
    if isinstance(value, Tensor) and arrays.not_readable(value) is not None:
        return type(value).__name__
    try:
        return shown(tuple(getattr(value, "shape", ())))
    except Exception as error:  # another library's array may raise anything
        return f"(without a shape: {elided(str(error))})"
