"""The short way for the usual call of a layer, which has nothing to check in detail."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .layout import in_format_of
from .operands import fits
from .versions import is_any_autocast_enabled, is_exporting, tracing_state

_PLAIN = (Tensor, nn.Parameter)  # and no subclass
_STRIDED, _FLOAT32 = torch.strided, torch.float32
_DIRECT = (_FLOAT32, torch.bfloat16)


def outputs(layer: Any, x: Any) -> Tensor | None:
    """The outputs of a call with plain, dense tensors that fit; None for any other call.

    Each call of a layer comes here, and on a small image it costs more than the convolution. So
    all tests are in one function, since a call in Python takes as long as several of them, and it
    looks for the parameters where ``nn.Module`` keeps them, which is faster than to ask for them.
    """
    parameters, buffers = layer._parameters, layer._buffers
    if not ("weight" in parameters and "bias" in parameters and "w_mask" in buffers):
        return None  # parametrized, pruned or frozen
    weight, bias = parameters["weight"], parameters["bias"]
    if (
        type(x) is not Tensor
        or type(weight) not in _PLAIN
        or buffers["w_mask"] is not None
        or tracing_state() is not None
        or x.layout is not _STRIDED
        or weight.layout is not _STRIDED
        or x.is_nested
        or weight.is_nested
    ):
        return None
    shape, dtype = x.shape, x.dtype
    if len(shape) != 4 or weight.dtype is not dtype or weight.shape != layer._weight_shape:
        return None
    _, first, second, third = shape
    if (first, second, third) != layer._sizes and not fits(x, layer._sizes):
        return None
    if not (x.is_cpu and weight.is_cpu) and x.device != weight.device:  # `is_cpu` is faster
        return None
    if bias is not None and (
        type(bias) not in _PLAIN
        or bias.layout is not _STRIDED
        or bias.is_nested
        or bias.dtype is not dtype
        or bias.shape != layer._weight_shape[:1]
        or (not (bias.is_cpu and weight.is_cpu) and bias.device != weight.device)
    ):
        return None
    convolve = layer.convolution
    is_last = layer.channels_last
    batch = x.permute(0, 3, 1, 2) if is_last else x
    direct = None
    # There may be nothing to decide.
    if dtype in _DIRECT and not is_any_autocast_enabled() and not is_exporting():
        if dtype is _FLOAT32:
            trains = torch.is_grad_enabled()
            direct = convolve.direct_with_gradients(batch, weight) if trains else convolve.direct
        elif x.is_cpu and not torch.is_grad_enabled():
            direct = convolve.direct_in_bfloat16(batch, weight)
    y = (convolve if direct is None else direct)(batch, weight, bias)
    return y.permute(0, 2, 3, 1).contiguous() if is_last else in_format_of(batch, y)
