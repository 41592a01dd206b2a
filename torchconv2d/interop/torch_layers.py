"""Converts a layer to the equivalent plain torch layer, if there is one."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from ..conv2d import Conv2d
from ..geometry import Axis, Pair, pads, same_padding
from ..messages import type_name
from ..state import write
from .frameworks import FRAMEWORKS
from .params import numbers_of


def to_torch(conv: Conv2d) -> nn.Conv2d | nn.ConvTranspose2d:
    """The plain torch layer that computes the same, with a copy of the parameters.

    Like every torch layer, it takes and returns channel-first images. It is only for images of
    ``in_size``: padding that depends on the size, such as SAME with a stride, becomes numbers. It
    keeps ``requires_grad`` and ``training``.

    Raises:
        TypeError: ``conv`` is not a ``Conv2d``.
        ValueError: there is no such layer; the message says which property prevents it. Or a
            parameter was replaced by one of another shape.
        RuntimeError: the layer is on the meta device, or a parameter was replaced by one that is
            not dense.

    Example:
        >>> to_torch(Conv2d((28, 32, 3), 8, 3))
        Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """
    if not isinstance(conv, Conv2d):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"`conv` must be a torchconv2d.Conv2d, got {type_name(conv)}.")
    if conv.w_mask is not None:
        raise _none("w_mask", "a mask", "torch has none; first call `fold_mask()` on a copy")
    if None in conv.in_size:
        raise _none("in_size", conv.in_size, "first call `conv.resized((H, W))`")
    if 0 in conv.out_size:
        raise _none("out_size", conv.out_size, "torch makes no empty outputs")
    kind = "conv" if conv.lhs_dilation == (1, 1) else "transposed"
    layer = (_plain if kind == "conv" else _transposed)(conv)
    weight = numbers_of(conv, "weight")
    layer.to_empty(device=weight.device)
    copies = {"weight": FRAMEWORKS["torch"].kernels[kind].stored(weight, conv.groups)}
    with torch.enable_grad():  # so a computed weight needs a gradient if its sources do
        layer.weight.requires_grad_(conv.weight.requires_grad)
    if layer.bias is not None and conv.bias is not None:
        copies["bias"] = numbers_of(conv, "bias")
        layer.bias.requires_grad_(conv.bias.requires_grad)
    write(layer, copies)
    return layer.train(conv.training)


def _plain(conv: Conv2d) -> nn.Conv2d:
    axes = _axes(conv)
    padding: str | Pair = (axes[0].before, axes[1].before)
    # torch may pad as many zeros after as before if that adds no window.
    if min(padding) < 0 or any(axis._replace(after=axis.before).out != axis.out for axis in axes):
        uneven = tuple((axis.before, axis.after) for axis in axes)
        same = tuple(same_padding(axis.dilated, axis.extent, axis.stride) for axis in axes)
        if uneven != same or conv.stride != (1, 1):
            raise _none("padding", conv.padding, f"torch pads evenly, and this is {uneven}")
        padding = "same"  # torch also puts the extra zero after
    return nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        padding,
        conv.rhs_dilation,
        conv.groups,
        conv.bias is not None,
        device="meta",
        dtype=conv.weight.dtype,
    )


def _transposed(conv: Conv2d) -> nn.ConvTranspose2d:
    if conv.stride != (1, 1):
        raise _none(
            "stride", conv.stride, f"torch has one or `lhs_dilation` (={conv.lhs_dilation})"
        )
    axes = _axes(conv)
    padding = (axes[0].extent - 1 - axes[0].before, axes[1].extent - 1 - axes[1].before)
    extra = (axes[0].after - axes[0].before, axes[1].after - axes[1].before)
    if min(padding) < 0 or any(
        not 0 <= more < max(axis.lhs_dilation, axis.rhs_dilation)
        for more, axis in zip(extra, axes, strict=True)
    ):
        there = tuple((axis.before, axis.after) for axis in axes)
        raise _none(
            "padding",
            there,
            "torch has at most `rhs_dilation * (kernel_size - 1)` before, and after as many or more"
            ", but fewer than `lhs_dilation` or `rhs_dilation` more",
        )
    return nn.ConvTranspose2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.lhs_dilation,
        padding,
        extra,
        conv.groups,
        conv.bias is not None,
        conv.rhs_dilation,
        device="meta",
        dtype=conv.weight.dtype,
    )


def _axes(conv: Conv2d) -> tuple[Axis, Axis]:
    """The axes as given by the arguments; those of ``conv.geometry`` are simplified."""
    sides = cast(Any, conv.in_size[1:] if conv.channel_first else conv.in_size[:2])

    def axis(i: int) -> Axis:
        shape = sides[i], conv.kernel_size[i], conv.stride[i]
        bare = Axis(*shape, conv.lhs_dilation[i], conv.rhs_dilation[i], 0, 0)
        before, after = pads(conv.padding, i, bare.dilated, bare.extent, bare.stride)
        return bare._replace(before=before, after=after)

    return axis(0), axis(1)


def _none(name: str, value: object, why: str) -> ValueError:
    return ValueError(f"No plain torch layer says the same: `{name}` is {value}; {why}.")
