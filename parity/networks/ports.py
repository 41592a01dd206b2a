"""Networks as torch modules, channel-first, for images of one size.

Each takes ``layers`` (``blocks.Layers``), so that a benchmark can build the same network of other
convolutions. ``nn.BatchNorm2d`` has Keras's epsilon, 0.001, in all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import (
    Bottleneck,
    InvertedResidual,
    Layers,
    Ours,
    Size,
    TwoConvs,
    halved,
    norm,
    same_max_pool,
)


class _InvertedResiduals(nn.Module):
    """A stem, inverted residuals, a wide 1x1 convolution and a classifier of the means."""

    # Kernel size, channels, blocks, stride and expansion of each stage.
    STAGES: tuple[tuple[int, int, int, int, int], ...]
    ACTIVATION: type[nn.Module]
    GATED: bool

    def __init__(
        self,
        size: Size,
        classes: int = 1000,
        layers: Layers | None = None,
        stages: Sequence[tuple[int, int, int, int, int]] | None = None,
    ) -> None:
        super().__init__()
        layers = layers or Ours()
        self.stem = layers.conv(size, 3, 32, 3, 2)
        self.stem_norm = norm(32)
        size, channels = halved(size), 32
        self.blocks = nn.ModuleList()
        for kernel_size, out_channels, count, first_stride, expansion in stages or self.STAGES:
            for stride in (first_stride, *[1] * (count - 1)):
                shape = (size, channels, out_channels, kernel_size, stride, expansion)
                self.blocks.append(InvertedResidual(layers, *shape, self.ACTIVATION, self.GATED))
                size, channels = halved(size) if stride == 2 else size, out_channels
        self.head = layers.conv(size, channels, 1280, 1)
        self.head_norm = norm(1280)
        self.gated = self.GATED
        self.activation = self.ACTIVATION()
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.gated:  # only EfficientNet takes pixels from 0 to 255
            x = x / 255
        x = self.activation(self.stem_norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        x = self.activation(self.head_norm(self.head(x)))
        return self.classifier(x.mean((2, 3)))


def _stages(
    kernel_sizes: Sequence[int], channels: Sequence[int], blocks: Sequence[int]
) -> tuple[tuple[int, int, int, int, int], ...]:
    """Seven stages; EfficientNet has MobileNetV2's strides and expansions."""
    strides, expansions = (1, 2, 2, 2, 1, 2, 1), (1, 6, 6, 6, 6, 6, 6)
    return tuple(zip(kernel_sizes, channels, blocks, strides, expansions, strict=True))


class MobileNetV2(_InvertedResiduals):
    """MobileNetV2 of width 1, as in Keras. ``size`` is the height and width of the images."""

    STAGES = _stages((3,) * 7, (16, 24, 32, 64, 96, 160, 320), (1, 2, 3, 4, 3, 3, 1))
    ACTIVATION, GATED = nn.ReLU6, False


class EfficientNetB0(_InvertedResiduals):
    """EfficientNet-B0 as in Keras, on pixels from 0 to 255."""

    STAGES = _stages((3, 3, 5, 3, 5, 5, 3), (16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1))
    ACTIVATION, GATED = nn.SiLU, True


class ResNet(nn.Module):
    """ResNet of bottlenecks that pads as ``'SAME'`` everywhere; the default is ResNet-50."""

    def __init__(
        self,
        size: Size,
        classes: int = 1000,
        layers: Layers | None = None,
        counts: Sequence[int] = (3, 4, 6, 3),
        width: int = 64,
        expansion: int = 4,
    ) -> None:
        super().__init__()
        layers = layers or Ours()
        self.stem = layers.conv(size, 3, width, 7, 2)
        self.stem_norm = norm(width)
        size, channels = halved(size), width
        self.pool = same_max_pool(size)
        size = halved(size)
        self.blocks = nn.ModuleList()
        for number, count in enumerate(counts):
            for stride in (2 if number else 1, *[1] * (count - 1)):
                narrow = width * 2**number
                self.blocks.append(Bottleneck(layers, size, channels, narrow, stride, expansion))
                size, channels = halved(size) if stride == 2 else size, narrow * expansion
        self.activation = nn.ReLU()
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.activation(self.stem_norm(self.stem(x))))
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean((2, 3)))


class UNet(nn.Module):
    """A U-Net with 2x2 average pooling and transposed 3x3 convolutions.

    ``size`` must be divisible by ``2**depth``.
    """

    def __init__(
        self, size: Size, classes: int = 5, layers: Layers | None = None, width: int = 8,
        depth: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        layers = layers or Ours()
        self.down, self.up, self.merge = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.pool = nn.AvgPool2d(2)
        channels, sizes = 3, [size]
        for level in range(depth):
            self.down.append(TwoConvs(layers, sizes[-1], channels, width * 2**level))
            channels = width * 2**level
            sizes.append(halved(sizes[-1]))
        self.bottom = TwoConvs(layers, sizes[-1], channels, 2 * channels)
        channels *= 2
        for level in reversed(range(depth)):
            out_channels = width * 2**level
            self.up.append(layers.up(sizes[level + 1], channels, out_channels, 3))
            self.merge.append(TwoConvs(layers, sizes[level], 2 * out_channels, out_channels))
            channels = out_channels
        self.head = layers.conv(size, channels, classes, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for block in self.down:
            x = block(x)
            kept.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), kept.pop()], 1))
        return self.head(x)


class Inception(nn.Module):
    """A stem and a block of Inception, where one branch averages the places inside the image."""

    def __init__(self, size: Size, classes: int = 5, layers: Layers | None = None) -> None:
        super().__init__()
        layers = layers or Ours()
        self.stem = layers.conv(size, 3, 8, 3, 2, bias=True)
        size = halved(size)
        self.narrow = layers.conv(size, 8, 6, 1, bias=True)
        self.wide = layers.conv(size, 8, 10, 5, bias=True)
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.pooled = layers.conv(size, 8, 4, 1, bias=True)
        self.head = layers.conv(size, 20, classes, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        branches = self.narrow(x), self.wide(x), self.pooled(self.pool(x))
        return self.head(torch.cat(branches, 1).relu())


def randomize(network: nn.Module, images: Tensor, seed: int = 0) -> None:
    """Gives a network random weights and the batch statistics of ``images``, as if it was trained.

    Without such statistics the activations of a deep network vanish or overflow.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    with torch.no_grad():
        for module in network.modules():
            for name, value in module.named_parameters(recurse=False):
                if value.ndim > 1:
                    value.copy_(draw(value) * (2 / value[0].numel()) ** 0.5)
                elif name == "weight":
                    value.copy_(1 + 0.2 * draw(value))
                else:
                    value.copy_(0.1 * draw(value))
        momenta = [each.momentum for each in norms]
        for each in norms:
            each.momentum = 1.0
        was_training = network.training
        network.train()(images)
        network.train(was_training)
        for each, momentum in zip(norms, momenta, strict=True):
            each.momentum = momentum
