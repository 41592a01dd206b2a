"""Axis orders: the documented NHWC and HWIO, torch's NCHW and OIHW, and any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from .messages import shown
from .versions import is_tracing

Permutation = tuple[int, int, int, int]

NCHW: Permutation = (0, 1, 2, 3)
NHWC: Permutation = (0, 3, 1, 2)


def kernel_to_weight(kernel: Tensor) -> Tensor:
    """``(kh, kw, in, out)`` as ``(out, in, kh, kw)``; a view."""
    return kernel.permute(3, 2, 0, 1)


def weight_to_kernel(weight: Tensor) -> Tensor:
    """``(out, in, kh, kw)`` as ``(kh, kw, in, out)``; a view."""
    return weight.permute(2, 3, 1, 0)


def adjoint_weight(weight: Tensor, groups: int) -> Tensor:
    """``(out, in / groups, kh, kw)`` as ``(in, out / groups, kh, kw)``, taps flipped; or back."""
    if groups == 1:
        return _flipped(weight.transpose(0, 1))
    out, per_group, rows, columns = weight.shape
    grouped = weight.reshape(groups, out // groups, per_group, rows, columns)
    # `flatten` does not work under some of torch's function transforms.
    return _flipped(grouped.transpose(1, 2).reshape(-1, out // groups, rows, columns))


def _flipped(weight: Tensor) -> Tensor:
    if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        if is_tracing() and torch.onnx.is_in_onnx_export():
            # The older exporter computes this for a constant weight, but not a flip.
            for axis in (2, 3):
                last = weight.shape[axis] - 1
                weight = weight.index_select(axis, torch.arange(last, -1, -1))
            return weight
    return weight.flip(2, 3)


def is_channels_innermost(x: Tensor) -> bool:
    """Whether a ``(B, C, H, W)`` tensor is in torch's channels-last memory format, and no other.

    It checks the strides, since ``is_contiguous(memory_format=...)`` does not work in ``vmap``.
    """
    return x.stride(1) == 1 and not x.is_contiguous()


def is_read_channels_last(x: Tensor) -> bool:
    """Whether torch reads a ``(B, C, H, W)`` tensor in its channels-last memory format.

    The strides decide, also those of axes of size 1 (``suggest_memory_format`` in C++). So a
    channels-last image of one channel is read as channels-last, although it is contiguous too.
    """
    least = 0
    for axis in (1, 3, 2, 0):
        if x.size(axis) == 0 or x.stride(axis) < least:
            return False
        if axis == 0 and least == x.stride(1):  # each image is a single entry, or a column of them
            return False
        least = x.stride(axis) * x.size(axis)
    return x.stride(1) != 0


def is_dense(x: Tensor) -> bool:
    """Whether torch reads it as contiguous or as channels-last, and it has no gaps."""
    return x.is_contiguous() or (is_read_channels_last(x) and x.permute(0, 2, 3, 1).is_contiguous())


def dense_as(model: Tensor, x: Tensor) -> Tensor:
    """``x`` without gaps, channels-last if the model is, as torch's own gradients are."""
    return with_usual_strides(x, is_channels_innermost(model))


def in_format_of(model: Tensor, x: Tensor) -> Tensor:
    """``x`` in the model's memory format, contiguous or channels-last; a copy only if needed."""
    if not is_channels_innermost(model):
        return x.contiguous()
    if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        if is_tracing():  # sizes are tensors there
            return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    channels, row = x.size(1), x.size(1) * x.size(3)
    if x.stride(1) == 1 and x.stride(3) == channels and x.stride(2) == row:
        if x.stride(0) == row * x.size(2):
            return x
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def with_usual_strides(x: Tensor, channels_last: bool) -> Tensor:
    """``x`` without gaps in this memory format, also by the strides of axes of size 1."""
    if channels_last:
        return _dense(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return _dense(x)


def with_dense_gradient(x: Tensor) -> Tensor:
    """The same tensor; autograd will give it a gradient as :func:`dense_as` makes it."""
    if not x.requires_grad:
        return x
    # Autograd applies the inverse of these views to the gradient, and copies it if it has gaps.
    if x.is_contiguous():
        return _dense(x)
    if is_channels_innermost(x) and (nhwc := x.permute(0, 2, 3, 1)).is_contiguous():
        return _dense(nhwc).permute(0, 3, 1, 2)
    return x


def _dense(x: Tensor) -> Tensor:
    """Contiguous. Unlike with ``contiguous``, an axis of size 1 gets the usual stride too."""
    # Batched gradients do not know `flatten`. torch reads a tensor faster than a shape.
    return x.reshape(-1).reshape_as(x)


def settle_strides(weight: Tensor | None) -> None:
    """Gives a contiguous parameter the usual strides for axes of size 1; its numbers stay in place.

    ``to(memory_format=torch.channels_last)`` gives such axes others, which oneDNN may read wrongly.
    Without this each call would have to correct them, which takes as long as a small convolution.
    """
    if type(weight) is nn.Parameter and weight.layout is torch.strided and weight.is_contiguous():
        if not weight.is_inference():
            weight.data = _dense(weight.data)


class DimensionNumbers(NamedTuple):
    """The positions of batch, channel, height, width; in ``rhs`` of out, in, height, width."""

    lhs: Permutation
    rhs: Permutation
    out: Permutation


def inverse(permutation: Permutation) -> Permutation:
    """The permutation that undoes this one."""
    return cast(Permutation, tuple(permutation.index(axis) for axis in range(4)))


def dimension_numbers(value: Any) -> DimensionNumbers:
    """The ``dimension_numbers`` of ``jax.lax.conv_general_dilated`` as three permutations.

    Args:
        value: None for ``('NCHW', 'OIHW', 'NCHW')``; three strings, with any two characters for
            the spatial axes (their order in the kernel's string is the order of strides and
            padding); or an object with ``lhs_spec``, ``rhs_spec`` and ``out_spec``, such as JAX's
            ``ConvDimensionNumbers``.

    Raises:
        TypeError: ``value`` is none of these.
    """
    if value is None:
        return DimensionNumbers(NCHW, NCHW, NCHW)
    if hasattr(value, "lhs_spec"):
        return _from_specs(value)
    if not isinstance(value, (tuple, list)) or len(cast(Sequence[object], value)) != 3:
        raise TypeError(
            "`dimension_numbers` must be None, three strings such as ('NHWC', 'HWIO', 'NHWC'), "
            f"or a ConvDimensionNumbers; got {shown(cast(object, value))}."
        )
    lhs, rhs, out = cast(Sequence[object], value)
    batch_channel = ("N", "C")
    spatial = _spatial("rhs", rhs, ("O", "I"))
    for side, spec in (("lhs", lhs), ("out", out)):
        if set(_spatial(side, spec, batch_channel)) != set(spatial):
            raise TypeError(
                "`dimension_numbers` must name the same two spatial axes three times, "
                f"got {shown(cast(object, value))}."
            )
    return DimensionNumbers(
        _positions(cast(str, lhs), (*batch_channel, *spatial)),
        _positions(cast(str, rhs), ("O", "I", *spatial)),
        _positions(cast(str, out), (*batch_channel, *spatial)),
    )


def _spatial(side: str, spec: object, others: tuple[str, str]) -> list[str]:
    """The two spatial characters of one string, in its order."""
    if (
        not isinstance(spec, str)
        or len(spec) != 4
        or len(set(spec)) != 4
        or set(others) - set(spec)
    ):
        raise TypeError(
            f"The {side} string of `dimension_numbers` must have four different characters, "
            f"{others[0]!r} and {others[1]!r} among them; got {shown(spec)}."
        )
    return [character for character in spec if character not in others]


def _positions(spec: str, order: tuple[str, ...]) -> Permutation:
    return cast(Permutation, tuple(map(spec.index, order)))


def _from_specs(value: Any) -> DimensionNumbers:
    specs = [
        tuple(int(axis) for axis in s) for s in (value.lhs_spec, value.rhs_spec, value.out_spec)
    ]
    if any(sorted(spec) != [0, 1, 2, 3] for spec in specs):
        raise TypeError(
            "`dimension_numbers` must permute four axes, (0, 1, 2, 3), in each of its three specs; "
            f"got {shown(cast(object, value))}."
        )
    return DimensionNumbers(*cast(list[Permutation], specs))
