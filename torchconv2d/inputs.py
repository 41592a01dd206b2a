"""Checks of a layer's input at each call. TorchScript compiles them too."""

from __future__ import annotations

from torch import Tensor

from . import arrays

ANY = -1  # in a size to check: any number


def check(x: Tensor, weight: Tensor, size: tuple[int, int, int], of_layer: str) -> None:
    """Refuse an input of another shape or dtype, or on another device.

    Args:
        x: the input.
        weight: the layer's weight.
        size: the shape without the batch, with ``ANY`` where the layer takes any.
        of_layer: what errors add to a noun to tell which layer it is about.
    """
    if (x.dim() != 4 and x.dim() != 3) or not fits(x, size):
        first, second, third = size
        sizes = f"{_said(first)}, {_said(second)}, {_said(third)}"
        raise ValueError(
            f"The input{of_layer} must have the shape (B, {sizes}) or ({sizes}), got "
            f"{list(x.shape)}."
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
    """Whether the last three sizes of an input are those to check."""
    first, second, third = size
    return (
        (first < 0 or x.size(-3) == first)
        and (second < 0 or x.size(-2) == second)
        and (third < 0 or x.size(-1) == third)
    )


def _said(size: int) -> str:
    return "any" if size < 0 else str(size)
