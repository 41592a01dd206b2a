"""Converts users' arrays (torch, NumPy, JAX, nested lists, numbers) to a layer's tensors.

It imports no other library for this: it reads JAX arrays through NumPy's protocol, and recognizes a
``saiunit``/``brainunit`` Quantity by its attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from .habits import shape_remedy
from .messages import elided, shown, type_name
from .versions import is_fake

DTYPES = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
)

# The dtypes that torch converts to others; it does not convert float4 and integers below a byte.
_CONVERTED = {
    getattr(torch, name, None)
    for name in (
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
        *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
        *("float16", "bfloat16", "float32", "float64", "complex32", "complex64", "complex128"),
    )
}


def check_shares(y: Any, of_layer: str) -> None:
    """Refuse an output DTensor that claims to be replicated while each process has only a part.

    For some placements torch has no rule for a convolution, and convolves each part by itself.
    """
    local = getattr(y, "_local_tensor", None)
    if local is None or any(not each.is_replicate() for each in y.placements):
        return
    if local.shape != y.shape:
        raise ValueError(
            f"The operands{of_layer} are sharded in a way that torch computes wrongly: it takes "
            f"{tuple(local.shape)} for all of the output, {tuple(y.shape)}. Shard the input by "
            f"batch and no parameter, or see docs/deployment.md for the width."
        )


def misplaced(tensor: Any, channels: int | None = None) -> str | None:
    """Why a convolution cannot use a DTensor, and the remedy; None if it can.

    torch has no rule for a sharded weight, for an input that is sharded by channels, or for one
    that is the sum of all processes' parts. It would return wrong numbers, or sizes that differ
    between the processes, which ends them.

    Args:
        tensor: a weight, bias or mask, which must be whole, or an input.
        channels: the channel axis of an input, which may be sharded along the other axes.
    """
    places = getattr(tensor, "placements", ())
    for each in places:
        by_others = channels is not None and each.is_shard() and not each.is_shard(channels)
        if not (each.is_replicate() or by_others):
            wanted = "whole in each process" + ("" if channels is None else " or sharded by batch")
            return (
                f"{wanted}, got a DTensor with the placements {shown(places)}; call "
                f"`.redistribute(placements=[Replicate()])`"
            )
    return None


def layer_dtype(dtype: object) -> torch.dtype:
    """A dtype that convolutions support; torch's default for None."""
    if dtype is None:
        return torch.get_default_dtype()
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"`dtype` must be a torch.dtype or None, got {shown(dtype)}.")
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(map(str, DTYPES))}; got {dtype}.")
    return dtype


def as_parameter(param_type: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """``param_type(tensor)``, if a module can hold it."""
    if not callable(param_type):
        raise TypeError(f"`param_type` must be a callable of a tensor, got {shown(param_type)}.")
    made = param_type(tensor)
    if not isinstance(made, (nn.Parameter, nn.Buffer)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            "`param_type` must return a torch.nn.Parameter or a torch.nn.Buffer, "
            f"{shown(param_type)} returned {type_name(made)}."
        )
    return made


def _without_unit(name: str, value: Any) -> Any:
    """A dimensionless Quantity as its number; anything else as it is."""
    if not (hasattr(value, "mantissa") and hasattr(value, "unit")):
        return value
    if not value.dim.is_dimensionless:
        raise TypeError(
            f"`{name}` must be dimensionless, got the unit {elided(str(value.unit))}; "
            f"divide it by the unit of its numbers."
        )
    return value.to_decimal()


def not_readable(tensor: Tensor) -> str | None:
    """Why the numbers of a tensor cannot be read, and the remedy; None if they can."""
    if isinstance(tensor, (nn.UninitializedParameter, nn.UninitializedBuffer)):
        return "a dense tensor, got an uninitialized one; run the lazy layer once first"
    if hasattr(tensor, "get_mask"):
        return "a dense tensor, got a MaskedTensor; call `.to_tensor(0)`"
    if tensor.is_nested:
        return "a dense tensor, got a nested one; call `.to_padded_tensor(0)`"
    if tensor.layout != torch.strided:
        kind = "an MKL-DNN" if tensor.is_mkldnn else "a sparse"
        return f"a dense tensor, got {kind} one; call `.to_dense()`"
    if tensor.is_quantized:
        return "a dense tensor, got a quantized one; call `.dequantize()`"
    return not_converted(tensor.dtype)


def not_converted(dtype: torch.dtype) -> str | None:
    """Why numbers of a dtype cannot be converted, and the remedy; None if they can."""
    if dtype not in _CONVERTED:
        return f"of numbers that torch can convert, got {dtype}; unpack them to float32"
    return None


def without_numbers(tensor: Tensor) -> str | None:
    """What the tensor is if it has a shape but no numbers; None if it has numbers."""
    if tensor.is_meta:
        return "a tensor on the meta device"
    return "a FakeTensor" if is_fake(tensor) else None


def is_dtensor(tensor: Tensor) -> bool:
    """Whether the tensor is a DTensor; then each process holds a part of it."""
    return hasattr(tensor, "device_mesh")


def gathered(tensor: Tensor) -> Tensor:
    """A DTensor, gathered from all processes; any other tensor unchanged."""
    return cast(Any, tensor).full_tensor() if is_dtensor(tensor) else tensor


def _dense(name: str, tensor: Tensor) -> Tensor:
    """All numbers of a dense tensor."""
    refusal = not_readable(tensor)
    if refusal is not None:
        raise TypeError(f"`{name}` must be {refusal}.")
    if (empty := without_numbers(tensor)) is not None:
        raise ValueError(f"`{name}` must hold numbers, got {empty}.")
    return gathered(tensor.detach())


def _masked(value: object, depth: int = 0) -> int:
    """The number of masked entries in NumPy's masked arrays, which may be inside lists."""
    if isinstance(value, np.ma.MaskedArray):
        return int(cast(Any, np.ma).count_masked(value))
    if isinstance(value, (list, tuple)) and depth < 32:  # NumPy's own limit
        return sum(_masked(each, depth + 1) for each in cast("list[object]", value))
    return 0


def _wrapped(name: str, value: object) -> Tensor:
    """An array of another library, a number or nested lists of them, as a tensor."""
    hidden = _masked(value)
    if hidden:
        raise ValueError(
            f"`{name}` must have all its numbers, but {hidden} of this masked array are masked; "
            "replace them, for example with `array.filled(0)`."
        )
    try:
        # Copied, because what torch wraps must be writable, and JAX's arrays are not.
        array: np.ndarray[Any, Any] = np.array(cast(Any, value))
    except MemoryError:
        raise
    except Exception as error:  # an array of another library may raise anything
        kind = ValueError if isinstance(error, (ValueError, RuntimeError, OSError)) else TypeError
        raise kind(f"`{name}` must be an array of numbers: {elided(str(error))}") from error
    if array.dtype.type.__module__ == "ml_dtypes":  # JAX's bfloat16 and float8
        array = array.astype(np.float32)
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"`{name}` must be an array of numbers, a number or a callable of the shape, "
            f"got {type_name(value)}."
        )
    if not array.dtype.isnative:  # from a file that a machine of the other byte order wrote
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.type in (np.longdouble, np.clongdouble):  # torch has neither
        array = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    if array.dtype.type is np.ulonglong:  # torch lacks it; NumPy uses it for 2**63
        array = array.astype(np.uint64)
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]


def as_tensor(name: str, value: object, dtype: torch.dtype) -> Tensor:
    """A new tensor of ``dtype`` on the CPU, or on the value's device if it is a tensor.

    Raises:
        TypeError: the value is not an array of numbers, or is a Quantity with a unit.
        ValueError: a ragged list, or a complex array for a real ``dtype``.
    """
    value = _without_unit(name, value)
    tensor = _dense(name, value) if isinstance(value, Tensor) else _wrapped(name, value)
    if tensor.is_complex() and not dtype.is_complex:
        raise ValueError(
            f"`{name}` is complex ({tensor.dtype}) and the layer real ({dtype}); "
            f"pass its real part, or `dtype=torch.complex64`."
        )
    return tensor.to(dtype, copy=True)


def floating(name: str, value: Any) -> Tensor:
    """A new tensor of the value's own dtype.

    Raises:
        TypeError: the value is not an array of floating or complex numbers.
    """
    if not hasattr(value, "dtype"):
        raise TypeError(f"{name} must be an array of JAX, NumPy or torch, got {type_name(value)}.")
    kind = value.dtype if isinstance(value, Tensor) else np.asarray(value).dtype.name
    dtype = getattr(torch, str(kind).removeprefix("torch."), torch.uint8)
    if not (dtype.is_floating_point or dtype.is_complex):
        raise TypeError(f"{name} must be floating or complex, got {kind}; cast it to float32.")
    return as_tensor(name, value, dtype)


def fill(name: str, value: object, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor of ``shape``: a number fills it, an array must have this shape.

    Raises:
        ValueError: an array of another shape, even one that would broadcast.
        TypeError, ValueError: as for :func:`as_tensor`.
    """
    tensor = as_tensor(name, value, dtype)
    if tensor.dim() > 0 and tensor.shape != shape:
        raise ValueError(
            f"`{name}` must have the shape {shape} exactly, got {tuple(tensor.shape)}; "
            f"only a number is broadcast{shape_remedy(tensor.shape, shape, broadcasts=False)}."
        )
    return tensor.expand(shape)


def broadcast(name: str, value: object, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """The value broadcast to ``shape``, by NumPy's rule.

    Raises:
        ValueError: the shapes do not fit.
        TypeError, ValueError: as for :func:`as_tensor`.
    """
    tensor = as_tensor(name, value, dtype)
    try:
        return tensor.expand(shape)
    except RuntimeError:
        raise ValueError(
            f"`{name}` must broadcast to the shape {shape}, got {tuple(tensor.shape)}"
            f"{shape_remedy(tensor.shape, shape, broadcasts=True)}."
        ) from None


def per_channel(name: str, value: object, channels: int, axis: int, dtype: torch.dtype) -> Tensor:
    """``(channels,)``, from this shape or one that broadcasts along one of four axes.

    Raises:
        TypeError, ValueError: as for :func:`broadcast`.
    """
    tensor = as_tensor(name, value, dtype)
    if tensor.shape == (channels,):
        return tensor
    shape = tuple(channels if i == axis else 1 for i in range(4))
    return broadcast(name, tensor, shape, dtype).reshape(channels)


def autocasts(x: Tensor, weight: Tensor) -> bool:
    """Whether autocast may cast both to the same dtype."""
    enabled = True
    # A script cannot query autocast: the operator for it crashes in torch 2.13. So torch decides.
    if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        device = x.device.type
        enabled = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    for dtype in (x.dtype, weight.dtype):
        if dtype != torch.float32 and dtype != torch.float16 and dtype != torch.bfloat16:
            enabled = False
    return enabled
