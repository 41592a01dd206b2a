"""Converts layers to the equivalent plain torch layers, if there are some."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn

from ..conv2d import Conv2d
from ..geometry import Axis, Pair, pads, same_padding
from ..messages import naming, shown, type_name
from ..state import write
from .frameworks import FRAMEWORKS
from .params import numbers_of


def to_torch(module: nn.Module) -> nn.Module:
    """Plain torch layers that compute the same, with copies of the parameters.

    Like every torch layer, they take and return channel-first images. They are only for images of
    ``in_size``: padding that depends on the size, such as SAME with a stride, becomes numbers. They
    keep ``requires_grad`` and ``training``, but not the hooks.

    Args:
        module: a ``Conv2d``, or a module with channel-first ones anywhere in it. It is unchanged.

    Returns:
        For a ``Conv2d`` an ``nn.Conv2d`` or ``nn.ConvTranspose2d``. If the padding is uneven, an
        ``nn.Sequential`` of an ``nn.ZeroPad2d`` and an ``nn.Conv2d``. For another module a deep
        copy, with such layers in the place of each ``Conv2d``.

    Raises:
        TypeError: ``module`` is not a ``Conv2d``, and contains none.
        ValueError: there is no such layer; the message says which property prevents it. Or a
            parameter was replaced by one of another shape.
        RuntimeError: a layer is on the meta device, or a parameter was replaced by one that is
            not dense.

    Example:
        >>> to_torch(Conv2d((28, 32, 3), 8, 3))
        Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
        >>> to_torch(Conv2d((28, 32, 3), 8, 3, stride=2))
        Sequential(
          (0): ZeroPad2d((0, 1, 0, 1))
          (1): Conv2d(3, 8, kernel_size=(3, 3), stride=(2, 2), bias=False)
        )
    """
    if isinstance(module, Conv2d):
        with naming(module.name):
            return _converted(module)
    if isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        modules = cast(Iterator[tuple[str, nn.Module]], module.named_modules())
        found = {name: each for name, each in modules if isinstance(each, Conv2d)}
        if found:
            plain = {id(conv): _within(name, conv) for name, conv in found.items()}
            return copy.deepcopy(module, cast(Any, plain))  # it takes these for copies already made
    raise TypeError(
        f"`module` must be a torchconv2d.Conv2d, or a module that contains one, got "
        f"{type_name(module)}."
    )


def _within(path: str, conv: Conv2d) -> nn.Module:
    """The plain layer for the module at ``path`` of a model."""
    if not conv.channel_first:
        raise _no_equivalent(
            "channel_first", False, "torch's take channel-first images, as your model must", path
        )
    return _converted(conv, path)


def _converted(conv: Conv2d, path: str = "") -> nn.Module:
    if conv.w_mask is not None:
        why = "torch has none; first call `fold_mask()` on a copy"
        raise _no_equivalent("w_mask", "a mask", why, path)
    if None in conv.in_size:
        raise _no_equivalent("in_size", conv.in_size, "first call `conv.resized((H, W))`", path)
    if 0 in conv.out_size:
        raise _no_equivalent("out_size", conv.out_size, "torch makes no empty outputs", path)
    kind = "conv" if conv.lhs_dilation == (1, 1) else "transposed"
    before, layer = _plain(conv, path) if kind == "conv" else (None, _transposed(conv, path))
    weight = numbers_of(conv, "weight")
    layer.to_empty(device=weight.device)
    copies = {"weight": FRAMEWORKS["torch"].kernels[kind].stored(weight, conv.groups)}
    with torch.enable_grad():  # so a computed weight needs a gradient if its sources do
        layer.weight.requires_grad_(conv.weight.requires_grad)
    if layer.bias is not None and conv.bias is not None:
        copies["bias"] = numbers_of(conv, "bias")
        layer.bias.requires_grad_(conv.bias.requires_grad)
    write(layer, copies)
    return (layer if before is None else nn.Sequential(before, layer)).train(conv.training)


def _plain(conv: Conv2d, path: str) -> tuple[nn.ZeroPad2d | None, nn.Conv2d]:
    axes, before = _axes(conv), None
    padding: str | Pair = (axes[0].before, axes[1].before)
    # torch may pad as many zeros after as before if that adds no window.
    if min(padding) < 0 or any(axis._replace(after=axis.before).out != axis.out for axis in axes):
        uneven = tuple((axis.before, axis.after) for axis in axes)
        same = tuple(same_padding(axis.dilated, axis.extent, axis.stride) for axis in axes)
        (top, bottom), (left, right) = uneven
        if uneven == same and conv.stride == (1, 1):
            padding = "same"  # torch also puts the extra zero after
        elif min(top, bottom, left, right) < 0:
            raise _no_equivalent(
                "padding", uneven, "torch's layers do not crop; slice the input", path
            )
        else:
            padding, before = (0, 0), nn.ZeroPad2d((left, right, top, bottom))
    return before, nn.Conv2d(
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


def _transposed(conv: Conv2d, path: str) -> nn.ConvTranspose2d:
    if conv.stride != (1, 1):
        why = f"torch has one or `lhs_dilation` (={conv.lhs_dilation})"
        raise _no_equivalent("stride", conv.stride, why, path)
    axes = _axes(conv)
    padding = (axes[0].extent - 1 - axes[0].before, axes[1].extent - 1 - axes[1].before)
    extra = (axes[0].after - axes[0].before, axes[1].after - axes[1].before)
    if min(padding) < 0 or any(
        not 0 <= more < max(axis.lhs_dilation, axis.rhs_dilation)
        for more, axis in zip(extra, axes, strict=True)
    ):
        there = tuple((axis.before, axis.after) for axis in axes)
        raise _no_equivalent(
            "padding",
            there,
            "torch has at most `rhs_dilation * (kernel_size - 1)` before, and after as many or more"
            ", but fewer than `lhs_dilation` or `rhs_dilation` more",
            path,
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


def _no_equivalent(name: str, value: object, why: str, path: str) -> ValueError:
    of = f" as the layer {shown(path)}" if path else ""
    return ValueError(f"No plain torch layer computes the same{of}: `{name}` is {value}; {why}.")
