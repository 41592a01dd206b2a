"""Dtypes and shapes of other libraries' arrays, and conversion of tensors to NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import arrays
from ..messages import elided, shown, type_name


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
    try:
        kind = str(getattr(value.dtype, "name", value.dtype)).removeprefix("torch.")
    except MemoryError:
        raise
    except Exception as error:  # an array of another library may raise anything
        raise _no_array(name, value, error) from error
    dtype = getattr(torch, kind, None)
    if not isinstance(dtype, torch.dtype):
        raise TypeError(
            f"`{elided(name)}` must be an array of numbers that torch has, got {elided(kind)}; "
            f"convert it, for example with `array.astype('float32')`."
        )
    if (refusal := arrays.not_converted(dtype)) is not None:
        raise TypeError(f"`{elided(name)}` must be {refusal}.")
    return dtype


def is_array(value: Any) -> bool:
    """Whether the value is an array of any library, or says so."""
    return hasattr(value, "dtype") and hasattr(value, "shape")


def shape_of(name: str, value: Any, dtype: torch.dtype) -> tuple[int, ...]:
    """The shape of an array, if the layer's dtype does not round its numbers.

    Raises:
        TypeError: as for :func:`dtype_of`.
        ValueError: the layer's dtype does not hold the numbers.
    """
    source = dtype_of(name, value)
    try:
        shape = tuple(value.shape)
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise _no_array(name, value, error) from error
    if not holds(dtype, source):
        both = [each for each in arrays.DTYPES if holds(each, dtype) and holds(each, source)]
        instead = "take its real part" if source.is_complex else f"cast it to {dtype}"
        more = f" yourself, or first call `layer.to({both[0]})`" if both else " yourself"
        raise ValueError(
            f"`{name}`, of the shape {shown(shape)}, is {source}, and the layer's {dtype} "
            f"does not hold it; {instead}{more}."
        )
    return shape


def _no_array(name: str, value: object, error: Exception) -> TypeError:
    why = elided(str(error)) or type_name(error)
    return TypeError(f"`{elided(name)}` must be an array, got {type_name(value)}: {why}")


def shape_or_none(value: Any) -> tuple[int, ...] | None:
    """The shape of an array; None if there is none, or it cannot be read."""
    try:
        return tuple(int(n) for n in value.shape)
    except MemoryError:
        raise
    except Exception:  # another library's array may raise anything; whoever reads it will say so
        return None


def holds(dtype: torch.dtype, source: torch.dtype) -> bool:
    """Whether each number of ``source`` is one of ``dtype``."""
    own = torch.finfo(dtype)
    if not (source.is_floating_point or source.is_complex):
        return (1 if source == torch.bool else torch.iinfo(source).max) <= 2 / own.eps
    needed = torch.finfo(source)
    wide = own.max >= needed.max and own.smallest_normal <= needed.smallest_normal
    return wide and own.eps <= needed.eps and (dtype.is_complex or not source.is_complex)


def numpy_array(tensor: Tensor) -> NDArray[Any]:
    """A copy of the tensor as a NumPy array; bfloat16 has the dtype of ``ml_dtypes``."""
    if tensor.dtype != torch.bfloat16:
        return np.array(tensor.numpy(force=True))
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError(
            "NumPy has no bfloat16; `pip install ml-dtypes`, or export a float32 layer, `.float()`."
        ) from error
    return np.array(tensor.contiguous().view(torch.int16).numpy(force=True)).view(
        ml_dtypes.bfloat16
    )


def shape_told(value: Any) -> str:
    """The shape for a message, for any value."""
    if isinstance(value, Tensor) and arrays.not_readable(value) is not None:
        return type_name(value)
    try:
        return shown(tuple(getattr(value, "shape", ())))
    except Exception as error:  # another library's array may raise anything
        return f"(without a shape: {elided(str(error))})"
