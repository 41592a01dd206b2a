"""Converts a layer object of another framework to a layer of this package."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from .. import arguments, arrays, init
from ..conv2d import Conv2d
from ..geometry import dilate, pads
from ..layout import weight_to_kernel
from ..messages import elided, shown
from ..state import write
from ..typing import InSizeLike
from . import leaves
from .activations import following
from .frameworks import FRAMEWORKS
from .numbers import dtype_of
from .params import load_params
from .readers import read
from .source import Source


def from_layer(
    layer: Any,
    in_size: InSizeLike | None = None,
    params: Any = None,
    *,
    activation: Literal["refused", "left", "beside"] = "refused",
) -> Any:
    """A layer that computes what another framework's layer computes, with a copy of its parameters.

    It keeps the layout: layers of torch and Equinox and ``channels_first`` layers of Keras become
    channel-first layers. A transposed layer becomes an input-dilated one. The dtype is that of the
    parameters, and so is the device if they are torch's. :func:`export_params` and
    :func:`load_params` use the result's attribute ``ported_from``, with the framework and the kind.
    It keeps ``requires_grad`` and ``training`` of torch's layers, and freezes the parameters that
    Keras does not train.

    Args:
        layer: brainstate's ``Conv2d`` or ``ConvTranspose2d``; Flax's ``Conv`` or ``ConvTranspose``,
            of linen or nnx; Equinox's ``Conv2d`` or ``ConvTranspose2d``; Keras's ``Conv2D``,
            ``DepthwiseConv2D``, ``Conv2DTranspose`` or ``SeparableConv2D``; torch's ``Conv2d`` or
            ``ConvTranspose2d``.
        in_size: ``(H, W, C)``, or ``(C, H, W)`` for a channel-first layer; None if the layer knows
            it: brainstate's layers do, and Keras's layers that were built for one size.
        params: the parameters, as for :func:`load_params`; None for the layer's own. A linen layer
            has none, unless it is bound.
        activation: what becomes of a Keras layer's own activation. ``'refused'`` is an error unless
            it is linear; ``'left'`` leaves it to the caller; ``'beside'`` returns it as a module.

    Returns:
        A ``Conv2d``; for a ``SeparableConv2D`` an ``nn.Sequential`` of two. With
        ``activation='beside'`` always an ``nn.Sequential``, with the activation as its last part.

    Raises:
        TypeError: not one of these layers, or a subclass that overrides the computation; a property
            is missing or has a wrong type.
        ValueError: a property that has no equivalent here, or that no convolution can have;
            ``in_size`` or ``params`` is missing or does not fit.

    Example:
        >>> from_layer(torch.nn.Conv2d(3, 8, 3, padding=1), in_size=(3, 28, 32)).out_size
        (8, 28, 32)
    """
    source = read(layer)
    behind = following(source.activation, activation)
    if source.second is None:
        made = [convert(source, in_size, params)]
    elif params is None:
        first = convert(source, in_size)
        made = [first, convert(source.second, first.out_size)]
    else:
        raise ValueError("`params` must be None for a layer that becomes two.")
    return made[0] if len(made) == 1 and activation != "beside" else nn.Sequential(*made, *behind)


def convert(source: Source, in_size: InSizeLike | None, params: Any = None) -> Conv2d:
    """As :func:`from_layer`, for properties that were read before."""
    in_size = source.in_size if in_size is None else in_size
    if in_size is None:
        order = "(C, H, W)" if source.channel_first else "(H, W, C)"
        raise ValueError(f"`in_size` must be given, {order}: the layer does not know it.")
    params = source.params if params is None else params
    if params is None:
        raise ValueError("`params` must be given: a linen layer that is not bound has none.")
    found = leaves.read(params, "")
    dtype = _dtype(found)
    mask = None if source.mask is None else _mask(source, dtype)
    # On the meta device nothing is drawn, so no random state advances.
    conv = Conv2d(
        in_size,
        source.out_channels,
        source.kernel_size,
        stride=source.stride,
        padding=_in_numbers(source, in_size),
        lhs_dilation=source.lhs_dilation,
        rhs_dilation=source.rhs_dilation,
        groups=source.groups,
        b_init=init.ZeroInit() if source.bias else None,
        w_mask=mask,
        channel_first=source.channel_first,
        name=source.name,
        device="meta",
        dtype=dtype,
    )
    devices = [each.device for each in found.values() if isinstance(each, Tensor)]
    conv.to_empty(device=devices[0] if devices else "cpu")
    if mask is not None:
        write(conv, {"w_mask": mask.expand(conv.kernel_shape)})
    cast(Any, conv).ported_from = source.framework, source.kind
    try:
        load_params(conv, found, source.framework)
    except ValueError as error:
        order = "(C, H, W)" if source.channel_first else "(H, W, C)"
        error.add_note(
            f"`in_size` must be {order}, with the channels of this layer; "
            f"got {shown(tuple(in_size))}."
        )
        raise
    for name in source.frozen:
        getattr(conv, name).requires_grad_(False)
    return conv.train(source.training)


def _dtype(found: Mapping[str, Any]) -> torch.dtype:
    """The smallest dtype that holds all parameters."""
    dtypes = [dtype_of(name, each) for name, each in found.items()]
    for name, dtype in zip(found, dtypes, strict=True):
        if dtype not in arrays.DTYPES:
            raise ValueError(
                f"`{elided(name)}` must be floating or complex, got {dtype}; "
                f"cast it, for example with `.astype('float32')`."
            )
    return reduce(torch.promote_types, dtypes)


def _mask(source: Source, dtype: torch.dtype) -> Tensor:
    """The mask in ``Conv2d``'s layout."""
    kernel = FRAMEWORKS[source.framework].kernels[source.kind]
    mask = arrays.as_tensor("mask", source.mask, dtype)
    if mask.dim() != 4 or mask.size(kernel.axes.index("G")) % source.groups:
        raise ValueError(
            f"`mask` must have the shape of the kernel, got {shown(tuple(mask.shape))}."
        )
    return weight_to_kernel(kernel.weight(mask, source.groups))


def _in_numbers(source: Source, in_size: InSizeLike) -> Any:
    """The padding; SAME_LOWER, which ``Conv2d`` does not accept, as numbers."""
    if source.padding != "SAME_LOWER":
        return source.padding
    *first, channels = arguments.input_size(in_size, source.channel_first)
    sides = (first[1], channels) if source.channel_first else first
    if any(n is None and s > 1 for n, s in zip(sides, source.stride, strict=True)):
        raise ValueError(
            "`in_size` must have numbers for this layer: its SAME_LOWER padding with a stride "
            "depends on the size."
        )
    sides = [n or 1 for n in sides]  # with stride 1 the padding is the same for every size
    extents = [dilate(k, r) for k, r in zip(source.kernel_size, source.rhs_dilation, strict=True)]
    return [pads("SAME_LOWER", i, sides[i], extents[i], source.stride[i]) for i in (0, 1)]
