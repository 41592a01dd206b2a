"""Checks of a call's operands: the input, and parameters and buffers that a user replaced."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import Any

from torch import Tensor

from . import arrays
from .messages import shown, type_name
from .versions import is_tracing, mixes_fakes, untraced

ANY = -1  # in a size to check: any number


def check(
    x: Tensor, weight: Tensor, size: tuple[int, int, int], channels_last: bool, of_layer: str
) -> None:
    """Refuse an input of another shape or dtype, or on another device. TorchScript compiles this.

    Args:
        x: the input.
        weight: the layer's weight.
        size: the shape without the batch, with ``ANY`` where the layer takes any.
        channels_last: the layer's layout.
        of_layer: how errors mention the layer, as in ``The input of the layer 'stem' ...``
    """
    if (x.dim() != 4 and x.dim() != 3) or not fits(x, size):
        first, second, third = size
        sizes = f"{_size_text(first)}, {_size_text(second)}, {_size_text(third)}"
        raise ValueError(
            f"The input{of_layer} must have the shape (B, {sizes}) or ({sizes}), got "
            f"{list(x.shape)}{_shape_remedy(x, size, channels_last)}."
        )
    if x.dtype != weight.dtype and not arrays.autocasts(x, weight):
        if x.is_quantized:
            raise TypeError(
                f"The input{of_layer} is quantized. torch.ao's eager quantization knows "
                f"torch's own layers only; quantize an exported network with torchao (PT2E)."
            )
        raise TypeError(
            f"The input{of_layer} has the dtype {x.dtype} and the layer {weight.dtype}; "
            f"cast one of them with `.to(dtype)`."
        )
    if not (x.is_cpu and weight.is_cpu) and x.device != weight.device:  # `is_cpu` is faster
        raise ValueError(
            f"The input{of_layer} is on the device {x.device} and the layer on "
            f"{weight.device}; move one of them with `.to(device)`."
        )


def fits(x: Tensor, size: tuple[int, int, int]) -> bool:
    """Whether the last three sizes of an input are the wanted ones."""
    first, second, third = size
    return (
        (first < 0 or x.size(-3) == first)
        and (second < 0 or x.size(-2) == second)
        and (third < 0 or x.size(-1) == third)
    )


def _shape_remedy(x: Tensor, size: tuple[int, int, int], channels_last: bool) -> str:
    """What to do with an input of the other layout or of another image size."""
    if x.dim() != 4 and x.dim() != 3:
        return ""
    if channels_last and fits(x.movedim(-3, -1), size):
        return (
            "; it looks channel-first: pass `x.movedim(-3, -1)`, or make a layer with "
            "`channel_first=True`"
        )
    if not channels_last and fits(x.movedim(-1, -3), size):
        return (
            "; it looks channels-last: pass `x.movedim(-1, -3)`, or make a layer with "
            "`channel_first=False`"
        )
    channels = size[2 if channels_last else 0]
    another = (
        "; for another image size call `layer.resized((H, W))`, or make a layer with None for "
        "height and width"
    )
    if x.size(-1 if channels_last else -3) == channels:
        return another
    if channels_last and x.size(-3) == channels:
        return "; it looks channel-first: pass `x.movedim(-3, -1)`" + another
    if not channels_last and x.size(-1) == channels:
        return "; it looks channels-last: pass `x.movedim(-1, -3)`" + another
    return ""


def _size_text(size: int) -> str:
    return "any" if size < 0 else str(size)


def check_call(
    layer: Any, x: Any, weight: Tensor, bias: Tensor | None, mask: Tensor | None
) -> None:
    """Refuse operands of a call that do not fit the layer or each other."""
    if is_tracing():
        with untraced():
            _check_call(layer, x, weight, bias, mask)
    else:
        _check_call(layer, x, weight, bias, mask)


def _check_call(
    layer: Any, x: Any, weight: Tensor | None, bias: Tensor | None, mask: Tensor | None
) -> None:
    of_layer: str = layer._of_layer
    if not isinstance(x, Tensor):
        raise TypeError(f"The input{of_layer} must be a torch.Tensor, got {type_name(x)}.")
    if x.dtype in arrays.DTYPES and (refusal := arrays.not_readable(x)) is not None:
        raise TypeError(f"The input{of_layer} must be {refusal}.")
    if weight is None:
        raise TypeError(
            f"The layer's `weight`{of_layer} must be a torch.Tensor, got None; set it "
            f"again, or replace the layer by `torch.nn.Identity()`."
        )
    stored = {"weight": weight, "bias": bias, "w_mask": mask}
    for name, tensor in stored.items():
        if tensor is not None:
            refusal = arrays.not_readable(tensor)
            if refusal is not None:
                raise TypeError(f"The layer's `{name}`{of_layer} must be {refusal}.")
            check_shape(name, tensor, shapes(layer)[name], of_layer)
    if weight.dtype not in arrays.DTYPES:
        raise TypeError(
            f"The layer's `weight`{of_layer} must be of a floating or complex dtype, got "
            f"{weight.dtype}; cast the layer with `.to(dtype)`."
        )
    check(x, weight, layer._sizes, layer.channels_last, of_layer)
    if (refusal := arrays.misplaced(x, x.dim() - (1 if layer.channels_last else 3))) is not None:
        raise ValueError(f"The input{of_layer} must be {refusal}.")
    if bias is not None and bias.dtype != weight.dtype and not arrays.autocasts(bias, weight):
        raise TypeError(
            f"The layer's `bias`{of_layer} has the dtype {bias.dtype} and its weight "
            f"{weight.dtype}; cast the layer with `.to(dtype)`."
        )
    if mask is not None and mask.is_complex() and not weight.is_complex():
        raise ValueError(
            f"The layer's `w_mask`{of_layer} is complex ({mask.dtype}) and its weight real "
            f"({weight.dtype}); take its real part."
        )
    for name, tensor in stored.items():
        if tensor is None:
            continue
        if (refusal := arrays.misplaced(tensor)) is not None:
            raise ValueError(f"The layer's `{name}`{of_layer} must be {refusal}.")
        if tensor.device != weight.device:
            raise ValueError(
                f"The layer's `{name}`{of_layer} is on the device {tensor.device} and its weight "
                f"on {weight.device}; move the layer with `.to(device)`."
            )
        if mixes_fakes(x, tensor):
            raise TypeError(
                f"The input{of_layer} or its `{name}` is a FakeTensor, which holds no numbers, and "
                f"the other one is not; make both of them under one FakeTensorMode."
            )


def shapes(layer: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of parameters and buffers at construction."""
    rows, columns, per_group, out = layer.kernel_shape
    return {
        "weight": (out, per_group, rows, columns),
        "bias": (out,),
        "w_mask": (rows, columns, per_group, out),
    }


def check_shape(name: str, tensor: Tensor, shape: tuple[int, ...], of_layer: str = "") -> None:
    """Refuse a parameter or buffer that was replaced by one of another shape."""
    if tensor.shape != shape:
        raise ValueError(
            f"The layer's `{name}`{of_layer} must have the shape {shape}, as at construction, but "
            f"has {shown(tuple(tensor.shape))}; restore that shape, or make another layer."
        )
