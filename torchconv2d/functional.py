"""``conv_general_dilated``: the layer's convolution as a function, in any layout."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, SupportsIndex, cast

import numpy as np
import torch
from torch import Tensor

from . import arguments, arrays, symbolic
from .geometry import Padding, Pair, Settings, plan
from .layout import dimension_numbers as parse_dimension_numbers
from .layout import inverse
from .lowerings import AnySize, Convolution
from .lowerings.per_size import are_known
from .messages import shown, type_name
from .typing import FunctionPadding, Ints
from .versions import mixes_fakes


def conv_general_dilated(
    lhs: Tensor,
    rhs: Tensor,
    window_strides: Ints | np.ndarray[Any, Any],
    padding: FunctionPadding,
    lhs_dilation: Ints | np.ndarray[Any, Any] | None = None,
    rhs_dilation: Ints | np.ndarray[Any, Any] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: SupportsIndex = 1,
    batch_group_count: SupportsIndex = 1,
    precision: None = None,
    preferred_element_type: Any = None,
) -> Tensor:
    """``jax.lax.conv_general_dilated`` for two spatial dimensions.

    Strides, dilations and padding may also be arrays of integers.

    Args:
        lhs: the input, with four axes.
        rhs: the kernel, with four axes and the dtype of ``lhs``.
        window_strides: ``(vertical, horizontal)``; the vertical axis is the one that
            ``dimension_numbers`` names first in the kernel.
        padding: ``'SAME'``, ``'SAME_LOWER'`` (the extra zero goes before) or ``'VALID'``, in upper
            or lower case, or ``[(top, bottom), (left, right)]``; negative amounts crop.
        lhs_dilation: dilation of the input, per axis; None for 1. Unlike in JAX, ``padding`` may
            then be a string, and uses the dilated size.
        rhs_dilation: dilation of the kernel, per axis; None for 1.
        dimension_numbers: None for ``('NCHW', 'OIHW', 'NCHW')``, three such strings with the axes
            in any order, or JAX's ``ConvDimensionNumbers``.
        feature_group_count: groups of channels; ``rhs`` has ``in / feature_group_count`` input
            channels.
        batch_group_count: groups of the batch. Each group is convolved with its part of the output
            channels, so the output's batch is smaller by this factor. One of the two counts must
            be 1.
        precision: None. In torch the precision is a setting for all operations, see
            :func:`torchconv2d.testing.full_precision`.
        preferred_element_type: None, or the dtype of the operands, which the result always has.

    Returns:
        The result, contiguous, with the axes that ``dimension_numbers`` asks for.

    Raises:
        TypeError: an operand is not a dense tensor; the dtypes differ or are integers; wrong
            ``dimension_numbers``; a dilation below 1; another ``preferred_element_type``.
        ValueError: a shape that does not fit, or another wrong value.

    Example:
        >>> x, kernel = torch.randn(2, 5, 7, 3), torch.randn(3, 3, 3, 8)
        >>> spec = ("NHWC", "HWIO", "NHWC")
        >>> conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=spec).shape
        torch.Size([2, 3, 4, 8])
    """
    if symbolic.is_symbolic(lhs) or symbolic.is_symbolic(rhs):
        return symbolic.call_function(conv_general_dilated, locals())
    _check_operands(lhs, rhs)
    _check_result(lhs.dtype, precision, preferred_element_type)
    axes = parse_dimension_numbers(dimension_numbers)
    features = arguments.integer("feature_group_count", feature_group_count, 1)
    batches = arguments.integer("batch_group_count", batch_group_count, 1)
    if features > 1 and batches > 1:
        raise ValueError(
            f"One of `feature_group_count` (={features}) and `batch_group_count` (={batches}) "
            f"must be 1."
        )
    for name, operand, channels in (("lhs", lhs, axes.lhs[1]), ("rhs", rhs, None)):
        if (refusal := arrays.misplaced(operand, channels)) is not None:
            raise ValueError(f"`{name}` must be {refusal}.")
    x, weight = lhs.permute(axes.lhs), rhs.permute(axes.rhs)
    _check_channels(x, weight, features, batches, dimension_numbers is None)
    if batches > 1:  # Move the groups of the batch to the channels.
        x = x.reshape(batches, x.size(0) // batches, *x.shape[1:]).transpose(0, 1).flatten(1, 2)
    settings = Settings(
        (weight.size(2), weight.size(3)),
        arguments.pair("window_strides", _listed(window_strides)),
        _padding(padding),
        _dilation("lhs_dilation", lhs_dilation),
        _dilation("rhs_dilation", rhs_dilation),
        x.size(1),
        weight.size(0),
        groups=features * batches,
    )
    if are_known(*x.shape, *weight.shape):
        convolve = _planned((x.size(2), x.size(3)), settings)
    else:
        convolve = AnySize(settings)
    y = convolve(x, weight, None)
    if type(y) is not Tensor:
        arrays.check_shares(y, "")
    return y.permute(inverse(axes.out)).contiguous()


@lru_cache(maxsize=1024)
def _planned(size: Pair, settings: Settings) -> Convolution:
    return Convolution.of(plan(size, *settings))


def _check_operands(lhs: object, rhs: object) -> None:
    for name, operand in (("lhs", lhs), ("rhs", rhs)):
        if not isinstance(operand, Tensor):
            raise TypeError(f"`{name}` must be a torch.Tensor, got {type_name(operand)}.")
        if (refusal := arrays.not_readable(operand)) is not None:
            raise TypeError(f"`{name}` must be {refusal}.")
        if operand.dim() != 4:
            raise ValueError(
                f"`{name}` must have four axes, two of them spatial; got the shape "
                f"{tuple(operand.shape)}."
            )
        if operand.dtype not in arrays.DTYPES:
            raise TypeError(
                f"`{name}` must be of a floating or complex dtype, got {operand.dtype}."
            )
    lhs, rhs = cast(Tensor, lhs), cast(Tensor, rhs)
    if lhs.dtype != rhs.dtype:
        raise TypeError(f"`lhs` and `rhs` must have one dtype, got {lhs.dtype} and {rhs.dtype}.")
    if lhs.device != rhs.device:
        raise ValueError(
            f"`lhs` and `rhs` must be on one device, got {lhs.device} and {rhs.device}."
        )
    if mixes_fakes(lhs, rhs):
        raise TypeError(
            "`lhs` or `rhs` is a FakeTensor, which holds no numbers, and the other one is not; "
            "make both of them under one FakeTensorMode."
        )


def _check_result(dtype: torch.dtype, precision: object, wanted: Any) -> None:
    """Refuse a precision, or a dtype of the result, that torch cannot set for a single call."""
    if precision is not None:
        raise ValueError(
            f"`precision` must be None, got {shown(precision)}: torch has one precision for all "
            f"operations; set it with `torch.set_float32_matmul_precision`, or use "
            f"`torchconv2d.testing.full_precision()`."
        )
    if wanted is None or wanted is dtype:
        return
    try:  # a dtype of NumPy or JAX, or its name
        same = not isinstance(wanted, torch.dtype) and f"torch.{np.dtype(wanted)}" == str(dtype)
    except TypeError:
        same = False
    if not same:
        raise TypeError(
            f"`preferred_element_type` must be None or the dtype of the operands, {dtype}, got "
            f"{shown(wanted)}; cast the operands or the result with `.to(dtype)`."
        )


def _check_channels(
    x: Tensor, weight: Tensor, features: int, batches: int, default_layout: bool
) -> None:
    if x.size(1) != weight.size(1) * features:
        more = ""
        if default_layout:
            more = (
                ". Without `dimension_numbers` the layout is ('NCHW', 'OIHW', 'NCHW'); for "
                "channels-last operands pass ('NHWC', 'HWIO', 'NHWC')"
            )
        raise ValueError(
            f"`rhs` must have the channels of `lhs` divided by `feature_group_count`, "
            f"{x.size(1)} / {features}; got {weight.size(1)}{more}."
        )
    for name, size, count in (
        ("feature_group_count", weight.size(0), features),
        ("batch_group_count", weight.size(0), batches),
    ):
        if size % count:
            raise ValueError(
                f"`{name}` (={count}) must divide the {size} output channels of `rhs`."
            )
    if x.size(0) % batches:
        raise ValueError(f"`batch_group_count` (={batches}) must divide the batch, {x.size(0)}.")
    if min(weight.shape[2:]) < 1:
        raise ValueError(
            f"`rhs` must have at least one tap per axis, got {tuple(weight.shape[2:])}."
        )


def _listed(value: Any) -> Any:
    """An array as a list, also in a list or tuple; anything else as it is."""
    if isinstance(value, (list, tuple)):
        entries = [_listed(entry) for entry in cast("Sequence[object]", value)]
        return entries if isinstance(value, list) else tuple(entries)
    # A compiler knows no `hasattr` of a symbol for a size, which counts as an integer.
    if isinstance(value, int) or not hasattr(value, "tolist"):
        return value
    return value.tolist()  # NumPy's, torch's or JAX's


def _dilation(name: str, value: object) -> Pair:
    return (1, 1) if value is None else arguments.pair(name, _listed(value), below=TypeError)


def _padding(value: object) -> Padding:
    if isinstance(value, str):
        value = value.upper()
    return arguments.padding(_listed(value), ("SAME", "SAME_LOWER", "VALID"))
