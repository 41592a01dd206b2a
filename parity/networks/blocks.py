"""What the networks of ``ports`` are made of: their convolutions and their blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from torch import Tensor, nn

import torchconv2d
from torchconv2d import init

Size = tuple[int, int]


class Conv(NamedTuple):
    """A convolution that pads as ``'SAME'`` does, on images of one size."""

    size: Size
    channels: int
    out_channels: int
    kernel_size: int
    stride: int = 1
    groups: int = 1
    bias: bool = False


class Layers(ABC):
    """Makes the convolutions of a network."""

    def conv(self, *settings: Any, **named: Any) -> nn.Module:
        """A layer with the settings of :class:`Conv`."""
        return self.make(Conv(*settings, **named))

    @abstractmethod
    def make(self, conv: Conv) -> nn.Module: ...

    @abstractmethod
    def up(self, size: Size, channels: int, out_channels: int, kernel_size: int) -> nn.Module:
        """A transposed convolution with a bias that doubles the height and the width."""


class Ours(Layers):
    """The layers of this package."""

    def make(self, conv: Conv) -> nn.Module:
        return torchconv2d.Conv2d(
            (conv.channels, *conv.size),
            conv.out_channels,
            conv.kernel_size,
            stride=conv.stride,
            groups=conv.groups,
            b_init=init.ZeroInit() if conv.bias else None,
            channel_first=True,
        )

    def up(self, size: Size, channels: int, out_channels: int, kernel_size: int) -> nn.Module:
        # A SAME convolution of stride 2 pads an even size by k - 2, and its gradient by the rest
        # of k - 1 on each side.
        before = kernel_size - 1 - (kernel_size - 2) // 2
        padding = [(before, kernel_size - before)] * 2
        return torchconv2d.Conv2d(
            (channels, *size),
            out_channels,
            kernel_size,
            padding=padding,
            lhs_dilation=2,
            b_init=init.ZeroInit(),
            channel_first=True,
        )


def halved(size: Size) -> Size:
    """The size behind a layer of stride 2 that pads as ``'SAME'`` does."""
    return -(-size[0] // 2), -(-size[1] // 2)


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def same_max_pool(size: Size) -> nn.Sequential:
    """A maximum over 3x3 places, stride 2, padded as ``'SAME'``: at the end of an even size."""
    pads = [side for extent in reversed(size) for side in (extent % 2, 1)]
    return nn.Sequential(nn.ConstantPad2d(pads, float("-inf")), nn.MaxPool2d(3, 2))


class SqueezeExcite(nn.Module):
    """Scales each channel by a number that is computed from the means of all channels."""

    def __init__(self, layers: Layers, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = layers.conv((1, 1), channels, squeezed, 1, bias=True)
        self.expand = layers.conv((1, 1), squeezed, channels, 1, bias=True)
        self.activation = nn.SiLU()
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * self.gate(self.expand(y))


class InvertedResidual(nn.Module):
    """A wide depthwise convolution between two 1x1 ones: the block of MobileNetV2.

    That of EfficientNet is gated by a :class:`SqueezeExcite`.
    """

    def __init__(
        self,
        layers: Layers,
        size: Size,
        channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        expansion: int,
        activation: type[nn.Module],
        gated: bool,
    ) -> None:
        super().__init__()
        wide = channels * expansion
        self.residual = stride == 1 and channels == out_channels
        self.expand = layers.conv(size, channels, wide, 1) if expansion > 1 else None
        self.expand_norm = norm(wide) if expansion > 1 else None
        self.depthwise = layers.conv(size, wide, wide, kernel_size, stride, groups=wide)
        self.depthwise_norm = norm(wide)
        self.gate = SqueezeExcite(layers, wide, max(1, channels // 4)) if gated else None
        self.project = layers.conv(halved(size) if stride == 2 else size, wide, out_channels, 1)
        self.project_norm = norm(out_channels)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expand is not None and self.expand_norm is not None:
            y = self.activation(self.expand_norm(self.expand(y)))
        y = self.activation(self.depthwise_norm(self.depthwise(y)))
        if self.gate is not None:
            y = self.gate(y)
        y = self.project_norm(self.project(y))
        return x + y if self.residual else y


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions; the stride is that of the 3x3 one."""

    def __init__(
        self, layers: Layers, size: Size, channels: int, width: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        out_channels = width * expansion
        after = halved(size) if stride == 2 else size
        self.reduce = layers.conv(size, channels, width, 1)
        self.reduce_norm = norm(width)
        self.middle = layers.conv(size, width, width, 3, stride)
        self.middle_norm = norm(width)
        self.restore = layers.conv(after, width, out_channels, 1)
        self.restore_norm = norm(out_channels)
        projects = stride == 2 or channels != out_channels
        self.shortcut = layers.conv(size, channels, out_channels, 1, stride) if projects else None
        self.shortcut_norm = norm(out_channels) if projects else None
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.reduce_norm(self.reduce(x)))
        y = self.activation(self.middle_norm(self.middle(y)))
        y = self.restore_norm(self.restore(y))
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut_norm(self.shortcut(x))
        return self.activation(x + y)


class TwoConvs(nn.Module):
    """U-Net's block: two 3x3 convolutions, each with a group norm and a leaky ReLU."""

    def __init__(self, layers: Layers, size: Size, channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = layers.conv(size, channels, out_channels, 3)
        self.first_norm = nn.GroupNorm(4, out_channels, eps=1e-3)
        self.second = layers.conv(size, out_channels, out_channels, 3)
        self.second_norm = nn.GroupNorm(4, out_channels, eps=1e-3)
        self.activation = nn.LeakyReLU(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.first_norm(self.first(x)))
        return self.activation(self.second_norm(self.second(x)))
