"""Layers of real networks, on which the benchmarks measure speed."""

from __future__ import annotations

from typing import Any, NamedTuple

from parity.cases.case import Case
from torchconv2d.geometry import Geometry

Pair = tuple[int, int]


class Shape(NamedTuple):
    """One layer and its batch; pairs are ``(vertical, horizontal)``."""

    name: str
    batch: int
    size: Pair
    channels: tuple[int, int, int]
    kernel: Pair
    stride: Pair = (1, 1)
    lhs_dilation: Pair = (1, 1)
    rhs_dilation: Pair = (1, 1)
    padding: Any = "SAME"

    @property
    def case(self) -> Case:
        options = self._asdict()
        del options["name"]
        return Case(**options)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of either ``Conv2d``."""
        return self.case.arguments

    @property
    def geometry(self) -> Geometry:
        return self.case.planned

    @property
    def is_dilated(self) -> bool:
        return self.lhs_dilation != (1, 1)


# The undilated ones first, then the dilated.
SHAPES = (
    Shape("ResNet-50 stem", 4, (224, 224), (3, 64, 1), (7, 7), (2, 2)),
    Shape("ResNet-50 3x3", 8, (56, 56), (64, 64, 1), (3, 3)),
    Shape("ResNet-50 1x1", 8, (56, 56), (64, 256, 1), (1, 1)),
    Shape("ResNet-50 3x3, stride 2", 8, (56, 56), (128, 128, 1), (3, 3), (2, 2)),
    Shape("ResNet-50 1x1, stride 2", 8, (56, 56), (256, 512, 1), (1, 1), (2, 2)),
    Shape("ResNet-50 3x3, batch 1", 1, (14, 14), (256, 256, 1), (3, 3)),
    Shape("MobileNetV2 stem", 8, (224, 224), (3, 32, 1), (3, 3), (2, 2)),
    Shape("MobileNetV2 depthwise", 8, (56, 56), (144, 144, 144), (3, 3)),
    Shape("MobileNetV2 depthwise, stride 2", 8, (112, 112), (96, 96, 96), (3, 3), (2, 2)),
    Shape("MobileNetV2 depthwise, stride 2, late", 8, (14, 14), (576, 576, 576), (3, 3), (2, 2)),
    Shape("EfficientNet depthwise 5x5, stride 2", 8, (56, 56), (144, 144, 144), (5, 5), (2, 2)),
    Shape("EfficientNet depthwise 5x5", 8, (14, 14), (672, 672, 672), (5, 5)),
    Shape("DeepLab atrous, rate 6", 2, (33, 33), (256, 256, 1), (3, 3), rhs_dilation=(6, 6)),
    Shape("ResNeXt, 32 groups", 8, (56, 56), (128, 128, 32), (3, 3)),
    Shape("ResNeXt, 32 groups, stride 2", 8, (56, 56), (256, 256, 32), (3, 3), (2, 2)),
    Shape("patches 4x4", 8, (224, 224), (3, 96, 1), (4, 4), (4, 4)),
    Shape("even kernel 4x4", 8, (64, 64), (64, 64, 1), (4, 4)),
    Shape("even kernel 2x2, stride 1", 8, (28, 28), (128, 128, 1), (2, 2)),
    Shape("spectrogram 3x5", 4, (128, 400), (1, 32, 1), (3, 5)),
    Shape("CIFAR 3x3", 64, (32, 32), (3, 64, 1), (3, 3)),
    Shape("CIFAR 3x3, stride 2", 64, (32, 32), (32, 64, 1), (3, 3), (2, 2)),
    Shape("head 3x3 to color", 4, (128, 128), (64, 3, 1), (3, 3)),
    Shape("stem, batch 1", 1, (224, 224), (3, 32, 1), (3, 3), (2, 2)),
    Shape("MobileNetV2 depthwise, stride 2, batch 1", 1, (112, 112), (96, 96, 96), (3, 3), (2, 2)),
    Shape("EfficientNet depthwise 5x5, batch 1", 1, (28, 28), (240, 240, 240), (5, 5)),
    Shape("U-Net up 2x2", 4, (56, 56), (128, 64, 1), (2, 2), (1, 1), (2, 2)),
    Shape("U-Net up 3x3", 4, (28, 28), (128, 64, 1), (3, 3), (1, 1), (2, 2)),
    Shape("DCGAN 4x4", 16, (16, 16), (256, 128, 1), (4, 4), (1, 1), (2, 2), padding=((2, 2),) * 2),
    Shape("DCGAN 5x5", 16, (8, 8), (256, 128, 1), (5, 5), (1, 1), (2, 2)),
    Shape("DCGAN 4x4 to color", 16, (32, 32), (64, 3, 1), (4, 4), (1, 1), (2, 2)),
    Shape("super-resolution 3x, 9x9", 2, (64, 64), (56, 1, 1), (9, 9), (1, 1), (3, 3)),
    Shape("super-resolution 4x, 8x8", 2, (48, 48), (64, 32, 1), (8, 8), (1, 1), (4, 4)),
    Shape("depthwise bilinear 2x", 8, (56, 56), (64, 64, 64), (4, 4), (1, 1), (2, 2)),
    Shape("resampler 2/3", 8, (60, 60), (32, 32, 1), (5, 5), (3, 3), (2, 2)),
    Shape("resampler 4/5", 2, (56, 56), (16, 16, 1), (5, 5), (5, 5), (4, 4)),
    Shape("resampler 8/3", 2, (28, 28), (32, 32, 1), (3, 3), (3, 3), (8, 8)),
    Shape("resampler 32/31", 2, (32, 32), (16, 16, 1), (3, 3), (31, 31), (32, 32)),
    Shape("down after up", 8, (28, 28), (64, 64, 1), (3, 3), (2, 2), (2, 2)),
    Shape("dilated both ways", 4, (28, 28), (64, 64, 1), (3, 3), (1, 1), (2, 2), (2, 2)),
    Shape("autoencoder 3x3 to gray", 32, (14, 14), (32, 1, 1), (3, 3), (1, 1), (2, 2)),
    Shape("decoder 3x3 to color", 8, (64, 64), (64, 3, 1), (3, 3), (1, 1), (2, 2)),
    Shape("U-Net up 2x2, batch 1", 1, (64, 64), (64, 32, 1), (2, 2), (1, 1), (2, 2)),
)
