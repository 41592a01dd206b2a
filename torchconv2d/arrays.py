"""Arrays as users bring them -- torch, NumPy, JAX, nested lists, numbers -- to a layer's tensors.

Nothing is imported for their sake: a JAX array is read through NumPy's protocol, and a
``saiunit``/``brainunit`` Quantity is known by its attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from .messages import elided, shown

DTYPES = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
)

# Whose numbers torch converts; float4 and the integers of less than a byte are not among them.
_CONVERTED = {
    getattr(torch, name, None)
    for name in (
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
        *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
        *("float16", "bfloat16", "float32", "float64", "complex32", "complex64", "complex128"),
    )
}


def layer_dtype(dtype: object) -> torch.dtype:
    """One that convolutions have; torch's default for None."""
    if dtype is None:
        return torch.get_default_dtype()
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"`dtype` must be a torch.dtype or None, got {shown(dtype)}.")
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(map(str, DTYPES))}; got {dtype}.")
    return dtype


def held(param_type: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """What ``param_type`` makes of a tensor, if a module can hold it."""
    if not callable(param_type):
        raise TypeError(f"`param_type` must be a callable of a tensor, got {shown(param_type)}.")
    made = param_type(tensor)
    if not isinstance(made, (nn.Parameter, nn.Buffer)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            "`param_type` must make a torch.nn.Parameter or a torch.nn.Buffer, "
            f"{shown(param_type)} made {type(made).__name__}."
        )
    return made


def _without_unit(name: str, value: Any) -> Any:
    """A dimensionless Quantity as its number; anything else as it is."""
    if not (hasattr(value, "mantissa") and hasattr(value, "unit")):
        return value
    if not value.dim.is_dimensionless:
        raise TypeError(
            f"`{name}` must be dimensionless, got the unit {value.unit}; "
            f"divide by the unit that the numbers are meant in."
        )
    return value.to_decimal()


def not_readable(tensor: Tensor) -> str | None:
    """Why there are no numbers to be read one by one, and the remedy; None if there are."""
    if isinstance(tensor, (nn.UninitializedParameter, nn.UninitializedBuffer)):
        return "a dense tensor, got an uninitialized one; run the lazy layer once before"
    if hasattr(tensor, "get_mask"):
        return "a dense tensor, got a MaskedTensor; call `.to_tensor(0)`"
    if tensor.is_nested or tensor.layout != torch.strided or tensor.is_quantized:
        return "a dense tensor; call `.to_dense()`, `.dequantize()` or `.to_padded_tensor(0)`"
    return not_converted(tensor.dtype)


def not_converted(dtype: torch.dtype) -> str | None:
    """The same of a dtype."""
    if dtype not in _CONVERTED:
        return f"of numbers that torch converts, got {dtype}; unpack them, as float32"
    return None


def is_shared_out(tensor: Tensor) -> bool:
    """Whether it is a DTensor, of which each process has a part."""
    return hasattr(tensor, "device_mesh")


def whole(tensor: Tensor) -> Tensor:
    """All of a DTensor, brought together from all processes; any other tensor as it is."""
    return cast(Any, tensor).full_tensor() if is_shared_out(tensor) else tensor


def _dense(name: str, tensor: Tensor) -> Tensor:
    """The tensor, if it holds its numbers one by one."""
    refusal = not_readable(tensor)
    if refusal is not None:
        raise TypeError(f"`{name}` must be {refusal}.")
    if tensor.is_meta:
        raise ValueError(f"`{name}` must hold numbers, got a tensor on the meta device.")
    return whole(tensor.detach())


def not_dense(x: object) -> TypeError:
    """The refusal of what no layer computes."""
    if not isinstance(x, Tensor):
        return TypeError(f"The input must be a torch.Tensor, got {type(x).__name__}.")
    kind = "nested" if x.is_nested else str(x.layout)
    return TypeError(f"The input must be a dense tensor, got a {kind} one: call `.to_dense()`.")


def _masked(value: object, depth: int = 0) -> int:
    """How many entries a masked array of NumPy hides, also within lists."""
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
            f"`{name}` must have all its numbers, and {hidden} of this masked array are masked; "
            "say what they are, `array.filled(0)`."
        )
    try:
        # Copied, because what torch wraps must be writable, and JAX's arrays are not.
        array: np.ndarray[Any, Any] = np.array(cast(Any, value))
    except MemoryError:
        raise
    except Exception as error:  # whatever another library raises as it hands out its numbers
        kind = ValueError if isinstance(error, (ValueError, RuntimeError, OSError)) else TypeError
        raise kind(f"`{name}` must be an array of numbers: {elided(str(error))}") from error
    if array.dtype.type.__module__ == "ml_dtypes":  # JAX's bfloat16 and float8
        array = array.astype(np.float32)
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"`{name}` must be an array of numbers, a number or a callable of the shape, "
            f"got {type(value).__name__}."
        )
    if not array.dtype.isnative:  # of a file that was written on another machine
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.type in (np.longdouble, np.clongdouble):  # torch has none
        array = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    if array.dtype.type is np.ulonglong:  # nor this one, which is what 2**63 becomes
        array = array.astype(np.uint64)
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]


def as_tensor(name: str, value: object, dtype: torch.dtype) -> Tensor:
    """A new tensor of ``dtype`` on the CPU, or on the value's device if it is a tensor.

    Raises:
        TypeError: the value is no array of numbers, or a Quantity with a unit.
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
        TypeError: no array, or one of other than floating or complex numbers.
    """
    if not hasattr(value, "dtype"):
        kind = type(value).__name__
        raise TypeError(f"{name} must be an array of JAX, NumPy or torch, got {kind}.")
    kind = value.dtype if isinstance(value, Tensor) else np.asarray(value).dtype.name
    dtype = getattr(torch, str(kind).removeprefix("torch."), torch.uint8)
    if not (dtype.is_floating_point or dtype.is_complex):
        raise TypeError(f"{name} must be floating or complex, got {kind}.")
    return as_tensor(name, value, dtype)


def fill(name: str, value: object, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A number fills ``shape``; an array must have it.

    Raises:
        ValueError: another shape, even one that would broadcast.
        TypeError, ValueError: as for :func:`as_tensor`.
    """
    tensor = as_tensor(name, value, dtype)
    if tensor.dim() > 0 and tensor.shape != shape:
        raise ValueError(
            f"`{name}` must have the shape {shape} exactly, got {tuple(tensor.shape)}; "
            f"nothing is broadcast but a number."
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
            f"`{name}` must broadcast to the shape {shape}, got {tuple(tensor.shape)}."
        ) from None


def autocasts(x: Tensor, weight: Tensor) -> bool:
    """Whether autocast may bring both to one dtype."""
    enabled = True
    # A script cannot ask: the operator for it crashes in torch 2.13. It leaves this to torch.
    if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        device = x.device.type
        enabled = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    for dtype in (x.dtype, weight.dtype):
        if dtype != torch.float32 and dtype != torch.float16 and dtype != torch.bfloat16:
            enabled = False
    return enabled
