"""The networks of ``ports`` in Keras: two of its own, and three built of its layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from .blocks import Size


def mobilenet_v2(size: Size, classes: int = 1000) -> Any:
    return keras.applications.MobileNetV2(
        (*size, 3), weights=None, classes=classes, classifier_activation=None
    )


def efficientnet_b0(size: Size, classes: int = 1000) -> Any:
    keras.utils.clear_session()  # else Keras numbers a name that this process has used
    return keras.applications.EfficientNetB0(
        input_shape=(*size, 3), weights=None, classes=classes, classifier_activation=None
    )


def resnet(
    size: Size,
    classes: int = 1000,
    counts: Sequence[int] = (3, 4, 6, 3),
    width: int = 64,
    expansion: int = 4,
) -> Any:
    x = images = keras.Input((*size, 3))
    x = _conv(x, width, 7, 2, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    block = 0
    for stage, count in enumerate(counts):
        for stride in (2 if stage else 1, *[1] * (count - 1)):
            x = _bottleneck(x, width * 2**stage, stride, expansion, f"blocks_{block}")
            block += 1
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, layers.Dense(classes, name="classifier")(x))


def _bottleneck(x: Any, width: int, stride: int, expansion: int, name: str) -> Any:
    y = layers.ReLU(name=f"{name}_reduce_relu")(_conv(x, width, 1, 1, f"{name}_reduce"))
    y = layers.ReLU(name=f"{name}_middle_relu")(_conv(y, width, 3, stride, f"{name}_middle"))
    y = _conv(y, width * expansion, 1, 1, f"{name}_restore")
    if stride == 2 or x.shape[-1] != width * expansion:
        x = _conv(x, width * expansion, 1, stride, f"{name}_shortcut")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def _conv(x: Any, filters: int, kernel_size: int, stride: int, name: str) -> Any:
    conv = layers.Conv2D(filters, kernel_size, stride, padding="same", use_bias=False, name=name)
    return layers.BatchNormalization(name=f"{name}_norm")(conv(x))


def unet(size: Size, classes: int = 5, width: int = 8, depth: int = 3) -> Any:
    x = images = keras.Input((*size, 3))
    kept: list[Any] = []
    for level in range(depth):
        x = _two_convs(x, width * 2**level, f"down{level}")
        kept.append(x)
        x = layers.AveragePooling2D(2, name=f"pool{level}")(x)
    x = _two_convs(x, width * 2**depth, "bottom")
    for level in reversed(range(depth)):
        up = layers.Conv2DTranspose(width * 2**level, 3, 2, padding="same", name=f"up{level}")
        x = layers.Concatenate(name=f"join{level}")([up(x), kept.pop()])
        x = _two_convs(x, width * 2**level, f"merge{level}")
    return keras.Model(images, layers.Conv2D(classes, 1, name="head")(x))


def _two_convs(x: Any, filters: int, name: str) -> Any:
    for part in ("first", "second"):
        conv = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_{part}_conv")
        x = layers.GroupNormalization(4, name=f"{name}_{part}_norm")(conv(x))
        x = layers.LeakyReLU(0.1, name=f"{name}_{part}_relu")(x)
    return x


def inception(size: Size, classes: int = 5) -> Any:
    images = keras.Input((*size, 3))
    stem = layers.Conv2D(8, 3, 2, padding="same", activation="relu", name="stem")
    x = stem(images)
    y = layers.AveragePooling2D(3, 1, padding="same", name="pool")(x)
    narrow = layers.Conv2D(6, 1, name="narrow")(x)
    wide = layers.Conv2D(10, 5, padding="same", name="wide")(x)
    pooled = layers.Conv2D(4, 1, name="pooled")(y)
    x = layers.ReLU(name="relu")(layers.Concatenate(name="join")([narrow, wide, pooled]))
    return keras.Model(images, layers.Conv2D(classes, 1, name="head")(x))


NETWORKS: dict[str, Callable[..., Any]] = {
    "MobileNetV2": mobilenet_v2,
    "EfficientNetB0": efficientnet_b0,
    "ResNet": resnet,
    "UNet": unet,
    "Inception": inception,
}


def randomize(model: Any, images: np.ndarray, seed: int = 0) -> None:
    """Gives a model random weights and the batch statistics of ``images``: ``ports.randomize``."""
    generator = np.random.default_rng(seed)
    owners = {id(each): layer for layer in model.layers for each in layer.trainable_variables}
    for variable in model.trainable_variables:
        draw, owner = generator.standard_normal(variable.shape), owners[id(variable)]
        if len(variable.shape) > 1:
            # The fan-in; a depthwise kernel has one input channel, a transposed kernel swaps two.
            height, width, *rest = (
                variable.shape if len(variable.shape) == 4 else (1, 1, *variable.shape)
            )
            inputs = rest[isinstance(owner, layers.Conv2DTranspose)]
            inputs = 1 if isinstance(owner, layers.DepthwiseConv2D) else inputs
            variable.assign(draw * (2 / (height * width * inputs)) ** 0.5)
        elif variable.name == "gamma":
            variable.assign(1 + 0.2 * draw)
        else:
            variable.assign(0.1 * draw)
    norms = [each for each in model.layers if isinstance(each, layers.BatchNormalization)]
    momenta = [each.momentum for each in norms]
    for each in norms:
        each.momentum = 0.0
    model(images, training=True)
    for each, momentum in zip(norms, momenta, strict=True):
        each.momentum = momentum
