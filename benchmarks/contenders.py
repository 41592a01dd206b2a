"""The contenders on a shape: the layer, the reference, and handwritten ports."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import brainstate
import jax
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from torchconv2d import Conv2d, lowerings
from torchconv2d.geometry import Axis, Geometry
from torchconv2d.layout import kernel_to_weight

from .shapes import Shape
from .timing import Contender

Convolution = Callable[[Tensor, Tensor], Tensor]  # of (B, H, W, C) and (out, C / groups, kh, kw)


class Data:
    """The same numbers for every contender on a shape, and torch's device for them."""

    def __init__(self, shape: Shape, device: str = "cpu") -> None:
        self.device = torch.device(device)
        random = np.random.default_rng(7)
        inputs, outputs, groups = shape.channels
        self.x = random.standard_normal((shape.batch, *shape.size, inputs), np.float32)
        self.kernel = random.standard_normal((*shape.kernel, inputs // groups, outputs), np.float32)
        height, width = shape.geometry.axes
        self.cotangent = random.standard_normal(
            (shape.batch, height.out, width.out, outputs), np.float32
        )


def layer(shape: Shape, data: Data) -> Conv2d:
    return Conv2d(**shape.arguments, w_init=data.kernel, device=data.device)


def of_layer(
    conv: Callable[[Tensor], Tensor], weight: Tensor, data: Data, training: bool
) -> Contender:
    return _in_torch(lambda x, _: conv(x), weight, data, training)


def of_function(function: Convolution, data: Data, training: bool) -> Contender:
    weight = kernel_to_weight(torch.from_numpy(data.kernel)).contiguous().to(data.device)
    return _in_torch(function, weight.requires_grad_(), data, training)


def of_lowering(
    lowering: type[lowerings.Lowering], shape: Shape, data: Data, training: bool
) -> Contender:
    chosen = lowering is lowerings.choose(shape.geometry)
    # For the chosen one the gradients are chosen too.
    convolve = lowerings.Convolution(shape.geometry, None if chosen else lowering)

    def run(x: Tensor, weight: Tensor) -> Tensor:
        y = convolve(x.permute(0, 3, 1, 2), weight, None)
        return y.permute(0, 2, 3, 1).contiguous()

    return of_function(run, data, training)


def _in_torch(function: Convolution, weight: Tensor, data: Data, training: bool) -> Contender:
    x, cotangent = (
        torch.from_numpy(numbers).to(data.device) for numbers in (data.x, data.cotangent)
    )
    if not training:

        def infer() -> Tensor:
            with torch.no_grad():
                return function(x, weight)

        return infer
    x.requires_grad_()
    weight.requires_grad_()

    def train() -> Any:
        return torch.autograd.grad(function(x, weight), (x, weight), cotangent)

    return train


def reference(shape: Shape, data: Data, training: bool) -> Contender:
    """``brainstate.nn.Conv2d``, jitted."""
    arguments = shape.arguments
    if shape.is_dilated:  # then it takes no string padding
        arguments["padding"] = [(axis.before, axis.after) for axis in shape.geometry.axes]
    x, kernel, cotangent = map(jax.numpy.asarray, (data.x, data.kernel, data.cotangent))

    def function(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return brainstate.nn.Conv2d(**arguments, w_init=kernel)(x)

    def gradients(x: jax.Array, kernel: jax.Array, cotangent: jax.Array) -> Any:
        _, pull = jax.vjp(function, x, kernel)
        return pull(cotangent)

    # Another device has a queue, as torch has one there: `devices.wait_for` waits at a turn's end.
    ready = jax.block_until_ready if data.device.type == "cpu" else lambda result: result
    if training:
        run = jax.jit(gradients)
        return lambda: ready(run(x, kernel, cotangent))
    run = jax.jit(function)
    return lambda: ready(run(x, kernel))


def textbook(shape: Shape) -> Convolution:
    """The handwritten port: to NCHW, insert zeros, ``F.pad``, ``F.conv2d``, and back."""
    height, width = shape.geometry.axes
    pads = (width.before, width.after, height.before, height.after)
    (down, across), (_, _, groups) = shape.lhs_dilation, shape.channels

    def run(x: Tensor, weight: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2).contiguous()
        if shape.is_dilated:
            b, c, h, w = x.shape
            spread = x.new_zeros((b, c, (h - 1) * down + 1, (w - 1) * across + 1))
            spread[:, :, ::down, ::across] = x
            x = spread
        x = F.pad(x, pads)
        y = F.conv2d(x, weight, None, shape.stride, 0, shape.rhs_dilation, groups)
        return y.permute(0, 2, 3, 1).contiguous()

    return run


def even_bound(shape: Shape) -> Convolution:
    """torch's speed for the same number of outputs, with equal padding on both sides."""
    height, width = shape.geometry.axes

    def even(axis: Axis) -> int:
        return max(0, -(-((axis.out - 1) * axis.stride + axis.extent - axis.size) // 2))

    padding = (even(height), even(width))

    def run(x: Tensor, weight: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        y = F.conv2d(x, weight, None, shape.stride, padding, shape.rhs_dilation, shape.channels[2])
        return y[:, :, : height.out, : width.out].permute(0, 2, 3, 1).contiguous()

    return run


def plain_torch(shape: Shape, data: Data, training: bool) -> Contender | None:
    """torch's own layer of the same size, in channels-last memory, if there is one.

    For an unevenly padded transposed layer it is the one with the larger side after the image.
    """
    height, width = shape.geometry.axes
    inputs, outputs, groups = shape.channels
    if not shape.is_dilated:
        if any(axis.before != axis.after for axis in (height, width)):
            return None
        layer: torch.nn.Module = torch.nn.Conv2d(
            inputs,
            outputs,
            shape.kernel,
            shape.stride,
            (height.before, width.before),
            shape.rhs_dilation,
            groups,
            bias=False,
        )
    else:
        cropped = [axis.extent - 1 - min(axis.before, axis.after) for axis in (height, width)]
        longer = [abs(axis.after - axis.before) for axis in (height, width)]
        fits = all(one < two for one, two in zip(longer, shape.lhs_dilation, strict=True))
        if shape.stride != (1, 1) or min(cropped) < 0 or not fits:
            return None
        layer = torch.nn.ConvTranspose2d(
            inputs,
            outputs,
            shape.kernel,
            shape.lhs_dilation,
            cropped,
            longer,
            groups,
            bias=False,
            dilation=shape.rhs_dilation,
        )
    layer = layer.to(data.device, memory_format=torch.channels_last)

    def run(x: Tensor, _: Tensor) -> Tensor:
        return layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()

    return _in_torch(run, cast(Tensor, layer.weight), data, training)


def products(geometry: Geometry) -> int:
    """The multiplications by entries of one image, without those by zeros."""
    meetings = [
        sum(
            0 <= place < axis.dilated and place % axis.lhs_dilation == 0
            for out in range(axis.out)
            for tap in range(axis.kernel)
            for place in (out * axis.stride + tap * axis.rhs_dilation - axis.before,)
        )
        for axis in geometry.axes
    ]
    return meetings[0] * meetings[1] * geometry.in_per_group * geometry.out_channels


def keras(shape: Shape) -> Convolution | None:
    """Keras 3 on torch, if it is installed and has such a layer."""
    if (
        shape.is_dilated
        or not isinstance(shape.padding, str)
        or 1 not in (max(shape.stride), max(shape.rhs_dilation))
    ):
        return None
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        from keras import backend, ops
    except ImportError:
        return None
    if backend.backend() != "torch":
        return None

    def run(x: Tensor, weight: Tensor) -> Tensor:
        kernel = weight.permute(2, 3, 1, 0)
        return ops.conv(x, kernel, shape.stride, "same", "channels_last", shape.rhs_dilation)

    return run
