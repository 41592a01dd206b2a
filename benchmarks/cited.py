"""The shapes whose figures ``choose.py`` cites: the time of every lowering and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchconv2d.geometry import Geometry, Padding, Pair
from torchconv2d.lowerings import Convolution, Phases, TapSums, WeightGradient, choose
from torchconv2d.lowerings.choose_gradient import (
    PhasesWeightGradient,
    PlainWeightGradient,
    RunsWeightGradient,
    TapSumsWeightGradient,
    TransposedWeightGradient,
    choose_weight_gradient,
)

from . import contenders
from .contenders import Data
from .rows import applicable
from .shapes import Shape
from .timing import Contender, interleave


def _square(
    batch: int,
    size: int,
    channels: tuple[int, int, int],
    taps: int,
    stride: int = 1,
    lhs: int = 1,
    rhs: int = 1,
    padding: Padding = "SAME",
) -> Shape:
    """A shape with the same numbers for both axes, named after those that are not 1."""
    inputs, outputs, groups = channels
    given = {"groups ": groups, "s=": stride, "L=": lhs, "r=": rhs}
    others = "".join(f", {name}{number}" for name, number in given.items() if number > 1)
    name = f"{batch}x{size}x{size}x{inputs} to {outputs}, {taps}x{taps}{others}"
    pairs = [(number, number) for number in (size, taps, stride, lhs, rhs)]
    return Shape(name, batch, pairs[0], channels, *pairs[1:], padding)


# Small phases: TapSums beside Phases. The last has one phase.
_SMALL_PHASES = tuple(
    _square(batch, size, (channels, channels, 1), taps, stride, lhs)
    for batch, size, channels, taps, stride, lhs in (
        (2, 32, 16, 3, 31, 32),
        (8, 56, 16, 3, 3, 8),
        (2, 56, 16, 5, 5, 4),
        (8, 56, 64, 5, 5, 4),
        (8, 56, 64, 5, 4, 5),
        (1, 56, 64, 3, 2, 3),
        (8, 56, 64, 3, 2, 3),
        (1, 56, 64, 3, 3, 2),
        (8, 56, 64, 3, 3, 2),
        (1, 28, 32, 5, 2, 3),
        (1, 28, 32, 5, 3, 2),
        (8, 60, 32, 5, 3, 2),
        (8, 28, 64, 3, 2, 2),
    )
)
# One image and many, by TapSums and by Phases, whichever the layer takes.
BATCHES = tuple(
    _square(batch, 28, (*channels, 1), taps, stride, lhs)
    for taps, stride, lhs in ((4, 2, 3), (5, 2, 3), (5, 3, 4), (3, 2, 3))
    for channels in ((64, 3), (64, 64), (128, 16))
    for batch in (1, 16)
)

CITED = (
    Shape("one channel, dilated by 2", 32, (14, 14), (32, 1, 1), (3, 3), lhs_dilation=(2, 2)),
    # Of one channel: products around 50,000, then taps times entries around 150,000.
    *(_square(4, size, (32, 1, 1), 3, lhs=2) for size in (6, 10, 13, 16, 64, 112, 128, 144)),
    # Products of 0.3, 1.2 and 9 million.
    Shape("one channel, 32x32", 1, (32, 32), (32, 1, 1), (3, 3)),
    Shape("one channel, 64x64", 1, (64, 64), (32, 1, 1), (3, 3)),
    Shape("one channel, 128x128", 1, (128, 128), (64, 1, 1), (3, 3)),
    Shape("one channel, 5x5", 2, (64, 64), (16, 1, 1), (5, 5)),
    Shape("one channel, large", 1, (256, 256), (64, 1, 1), (3, 3)),
    Shape("three channels, 4x4", 16, (32, 32), (64, 3, 1), (4, 4), lhs_dilation=(2, 2)),
    Shape("three channels, undilated", 4, (128, 128), (64, 3, 1), (3, 3)),
    # 800,000 products are 31x31.
    *(_square(1, size, (32, 3, 1), 3) for size in (8, 12, 16, 24, 48)),
    Shape("both dilated by 2", 4, (28, 28), (64, 64, 1), (3, 3), (1, 1), (2, 2), (2, 2)),
    *(
        Shape(f"{n} groups, both", 4, (28, 28), (64, 64, n), (3, 3), (1, 1), (3, 3), (2, 2))
        for n in (4, 8)
    ),
    Shape("16 groups, both", 4, (28, 28), (64, 64, 16), (3, 3), (1, 1), (3, 3), (2, 2)),
    Shape("depthwise, both", 4, (28, 28), (64, 64, 64), (3, 3), (1, 1), (2, 2), (3, 3)),
    # Two outputs of each channel.
    *(_square(2, 28, (32, 64, 32), taps, lhs=3) for taps in (5, 3)),
    *(_square(8, size, (96, 192, 96), 3, 2) for size in (14, 56, 64, 80, 112)),
    # Outputs that are computed and dropped: with stride 2 by SAME, with stride 1 by padding behind.
    *(_square(8, size, (192, 192, 192), 3, 2) for size in (4, 6, 8, 14, 28)),
    *(
        _square(4, size, (64, 64, 64), taps, padding=((0, taps - 1), (0, taps - 1)))
        for taps, size in ((5, 56), (7, 32), (7, 16), (9, 16))
    ),
    *_SMALL_PHASES,
    # Depthwise kernels dilated along a row: padding that oneDNN has no fast code for, from 5 on.
    *(
        _square(batch, size, (channels, channels, channels), taps, rhs=rhs)
        for batch, size, channels, taps, rhs in (
            (2, 33, 256, 3, 4),
            (2, 33, 256, 3, 6),
            (2, 33, 256, 3, 7),
            (2, 33, 256, 3, 18),
            (2, 65, 256, 3, 12),
            (8, 28, 96, 5, 3),
            (8, 28, 96, 7, 3),
        )
    ),
    # Dilations of input and kernel that share a factor, so that most phases have no taps.
    *(
        Shape(f"shared factor, {name}", batch, (28, 28), channels, taps, (1, 1), lhs, rhs)
        for name, batch, channels, taps, lhs, rhs in (
            ("3 to 128 channels", 8, (3, 128, 1), (4, 7), (4, 4), (2, 2)),
            ("8 to 32 channels", 16, (8, 32, 1), (2, 5), (2, 2), (2, 1)),
            ("64 channels, 4x4", 4, (64, 64, 1), (4, 4), (2, 2), (1, 2)),
            ("64 channels, 3x3", 1, (64, 64, 1), (3, 3), (4, 4), (2, 2)),
            ("8 of 64 channels", 4, (256, 32, 4), (5, 7), (2, 3), (1, 3)),
        )
    ),
    # Phases without taps, in outputs from small to large.
    *(
        Shape(name, batch, size, channels, (k, k), lhs_dilation=(lhs, lhs))
        for name, batch, size, channels, k, lhs in (
            ("empty phases", 4, (28, 28), (64, 32, 1), 2, 4),
            ("empty phases, 1x1 up 4", 1, (28, 28), (64, 64, 1), 1, 4),
            ("empty phases, 1x1 up 2", 16, (65, 14), (8, 256, 1), 1, 2),
            ("empty phases, 2x2 up 4", 1, (112, 112), (1, 256, 1), 2, 4),
            ("empty phases, 96 groups", 8, (112, 112), (96, 192, 96), 1, 3),
        )
    ),
)


# Uneven padding in training: Padded beside OverPadded.
TRAINED = tuple(
    _square(batch, size, channels, taps, 2)
    for batch in (1, 8)
    for size, channels, taps in (
        (14, (576, 576, 576), 3),
        (28, (192, 192, 192), 3),
        (56, (144, 144, 144), 3),
        (56, (144, 144, 144), 5),
        (112, (96, 96, 96), 3),
        (14, (512, 512, 1), 3),
        (56, (128, 128, 1), 3),
    )
)


class ConvolutionBackward(WeightGradient):
    """torch's own weight gradient of an undilated convolution that needs no padding."""

    def __init__(self, geometry: Geometry) -> None:
        self._settings = geometry.stride, (0, 0), geometry.rhs_dilation, False, (0, 0)
        self._groups = geometry.groups

    def __call__(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        backward, wanted = torch.ops.aten.convolution_backward, [False, True, False]
        return backward(gradient, x, weight, None, *self._settings, self._groups, wanted)[1]


# For each pair of weight gradients, the shapes on which they are compared.
GRADIENTS: dict[tuple[type[WeightGradient], type[WeightGradient]], tuple[Shape, ...]] = {
    (RunsWeightGradient, PhasesWeightGradient): tuple(
        _square(8, 28, (64, out, 1), 3, lhs=2) for out in (4, 8, 12, 16, 24, 32, 64)
    ),
    (TransposedWeightGradient, PhasesWeightGradient): tuple(
        Shape(name, batch, (size, size), channels, (k, k), lhs_dilation=(lhs, lhs))
        for name, batch, size, channels, k, lhs in (
            ("3x3", 4, 28, (64, 64, 1), 3, 2),
            ("4x4", 8, 16, (128, 64, 1), 4, 2),
            ("5x5", 8, 8, (256, 128, 1), 5, 2),
            ("5x5, 28x28", 4, 28, (64, 64, 1), 5, 2),
            ("8x8, dilated by 4", 1, 24, (64, 32, 1), 8, 4),
            ("4x4 to three channels", 8, 32, (64, 3, 1), 4, 2),
            ("one small image", 1, 7, (32, 32, 1), 4, 2),
            ("8 groups", 8, 28, (64, 64, 8), 4, 2),
            ("32 groups", 8, 14, (128, 128, 32), 3, 2),
            ("2x2", 8, 28, (64, 64, 1), 2, 2),
            ("2x2, one large image", 1, 64, (64, 32, 1), 2, 2),
            ("depthwise 3x3", 8, 56, (64, 64, 64), 3, 2),
            ("depthwise 4x4", 8, 56, (64, 64, 64), 4, 2),
            ("depthwise 5x5", 2, 28, (64, 64, 64), 5, 2),
            ("depthwise 6x6", 2, 28, (64, 64, 64), 6, 2),
            ("depthwise 4x4, dilated by 3", 8, 28, (64, 64, 64), 4, 3),
        )
    ),
    (TapSumsWeightGradient, PhasesWeightGradient): _SMALL_PHASES,
    # Windows that tile the input: a product of two matrices beside a convolution.
    (PlainWeightGradient, ConvolutionBackward): tuple(
        Shape(name, batch, (size, size), (*channels, 1), (k, k), (k, k))
        for name, batch, size, channels, k in (
            ("patches 4x4", 8, 224, (3, 96), 4),
            ("patches 16x16", 4, 224, (3, 384), 16),
            ("2x2, 32 channels", 8, 56, (32, 32), 2),
            ("2x2, 64 channels", 4, 56, (64, 128), 2),
            ("2x2, 384 channels, one image", 1, 14, (384, 768), 2),
            ("3x3, 16 channels", 8, 96, (16, 32), 3),
        )
    ),
}


# Dilated kernels in groups: the input gradient beside the adjoint convolution, then all gradients.
DILATED = tuple(
    _square(
        *(batch, size, (channels, channels, groups), taps, stride, 1, rhs),
        padding=((taps // 2 * rhs, taps // 2 * rhs),) * 2,
    )
    for batch, size, channels, taps, groups, stride, rhs in (
        (2, 33, 256, 3, 256, 1, 6),
        (2, 33, 256, 3, 256, 1, 12),
        (8, 56, 96, 3, 96, 1, 2),
        (1, 28, 240, 3, 240, 1, 2),
        (1, 14, 96, 3, 96, 1, 2),
        (8, 14, 672, 5, 672, 1, 2),
        (8, 28, 64, 3, 64, 2, 2),
        (16, 56, 96, 3, 96, 2, 2),
        (8, 28, 64, 3, 8, 2, 2),
        (8, 28, 128, 3, 32, 1, 2),
    )
)
# Transposed convolutions, 16x16: channels, groups, taps, dilation, padding and output padding.
BIASES = (
    ((64, 32), 1, 3, 2, 1, 1),  # an even number of outputs
    ((64, 32), 1, 3, 2, 1, 0),
    ((64, 32), 1, 5, 2, 2, 0),
    ((64, 32), 1, 4, 4, 1, 0),
    ((64, 64), 4, 4, 2, 1, 0),
    ((64, 64), 8, 4, 2, 1, 0),
    ((64, 64), 64, 4, 2, 1, 0),
)


def report() -> None:
    """Milliseconds, one line per shape: of inference, of training, and of parts of both."""
    _report_lowerings(CITED, training=False)
    _report_lowerings(TRAINED, training=True)
    for kinds, shapes in GRADIENTS.items():
        for shape in shapes:
            _report_gradients(shape, kinds)
    for shape in BATCHES:
        _report_batches(shape)
    for shape in DILATED:
        _report_dilated(shape)
    for settings in BIASES:
        _report_biases(*settings)


def _report_lowerings(shapes: tuple[Shape, ...], training: bool) -> None:
    for shape in shapes:
        data, candidates = Data(shape), applicable(shape)
        field = {
            lowering.__name__: contenders.of_lowering(lowering, shape, data, training)
            for lowering in candidates
        }
        _time(f"{shape.name:28} chosen {choose(shape.geometry).__name__}", field, rounds=9)


def _report_gradients(shape: Shape, kinds: tuple[type[WeightGradient], ...]) -> None:
    geometry = shape.geometry
    x, weight, gradient = _operands(Data(shape))
    field = {
        kind.__name__: partial(
            Convolution(geometry, weight_gradient=kind).weight_gradient, gradient, x, weight
        )
        for kind in kinds
    }
    chosen = choose_weight_gradient(geometry, choose(geometry))
    _time(f"{shape.name:28} chosen {'none' if chosen is None else chosen.__name__}", field)


def _report_batches(shape: Shape) -> None:
    x, weight, _ = _operands(Data(shape))
    field = {
        kind.__name__: partial(Convolution(shape.geometry, kind), x, weight, None)
        for kind in (TapSums, Phases)
    }
    _time(shape.name, field)


def _report_dilated(shape: Shape) -> None:
    data, geometry = Data(shape), shape.geometry
    x, weight, gradient = _operands(data)
    padding = (geometry.height.before, geometry.width.before)
    settings = geometry.stride, padding, geometry.rhs_dilation, False, (0, 0), geometry.groups
    backward, wanted = torch.ops.aten.convolution_backward, [True, False, False]
    field = {
        "torch's": partial(backward, gradient, x, weight, None, *settings, wanted),
        "adjoint": partial(Convolution(geometry).input_gradient, gradient, weight),
        "all of torch's": cast(Contender, contenders.plain_torch(shape, data, True)),
        "all of the layer's": contenders.of_lowering(choose(geometry), shape, data, True),
    }
    _time(shape.name, field)


def _report_biases(channels: Pair, groups: int, taps: int, *settings: int) -> None:
    inputs, outputs = channels
    dilation, padding, more = settings
    layer = nn.ConvTranspose2d(inputs, outputs, taps, dilation, padding, more, groups)
    layer.requires_grad_(False)
    x = torch.randn(4, inputs, 16, 16, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    call = partial(
        *(F.conv_transpose2d, x, layer.weight),
        **{"stride": dilation, "padding": padding, "output_padding": more, "groups": groups},
    )
    bias = cast(Tensor, layer.bias)
    field = {
        "no bias": call,
        "bias": partial(call, bias=bias),
        "added": lambda: call().add_(bias.view(-1, 1, 1)),
    }
    name = f"{inputs} to {outputs}, groups {groups}, {taps}x{taps}, L={dilation}"
    _time(f"{name}, padding {padding}, {more}", field)


def _operands(data: Data) -> tuple[Tensor, Tensor, Tensor]:
    """The image, the weight and the outputs' gradient, in torch's order of axes."""
    x, gradient = (
        torch.from_numpy(array).permute(0, 3, 1, 2) for array in (data.x, data.cotangent)
    )
    return x, torch.from_numpy(data.kernel).permute(3, 2, 0, 1).contiguous(), gradient


def _time(name: str, field: Mapping[str, Contender], rounds: int = 15) -> None:
    times = interleave(field, rounds)
    figures = ", ".join(f"{each} {time.median * 1e3:.2f}" for each, time in times.items())
    print(f"{name}: {figures}", flush=True)
