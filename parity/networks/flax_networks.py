"""The networks of ``ports`` in Flax linen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from .drawn import filled
from .ports import EfficientNetB0, MobileNetV2


def _norm(module: Any, name: str) -> nn.BatchNorm:
    """A batch norm whose momentum is 0, so that one training step sets its statistics."""
    return nn.BatchNorm(not module.train, momentum=0.0, epsilon=1e-3, name=name)


class FlaxInvertedResidual(nn.Module):
    kernel_size: int
    out_channels: int
    stride: int
    expansion: int
    activation: Callable[[jax.Array], jax.Array]
    gated: bool
    train: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels, act = x.shape[-1], self.activation
        wide = channels * self.expansion
        y = x
        if self.expansion > 1:
            y = nn.Conv(wide, (1, 1), use_bias=False, name="expand")(y)
            y = act(_norm(self, "expand_norm")(y))
        y = nn.Conv(
            wide,
            (self.kernel_size, self.kernel_size),
            (self.stride, self.stride),
            feature_group_count=wide,
            use_bias=False,
            name="depthwise",
        )(y)
        y = act(_norm(self, "depthwise_norm")(y))
        if self.gated:
            gate = y.mean((1, 2), keepdims=True)
            gate = act(nn.Conv(max(1, channels // 4), (1, 1), name="gate_reduce")(gate))
            y = y * nn.sigmoid(nn.Conv(wide, (1, 1), name="gate_expand")(gate))
        y = nn.Conv(self.out_channels, (1, 1), use_bias=False, name="project")(y)
        y = _norm(self, "project_norm")(y)
        return x + y if self.stride == 1 and x.shape == y.shape else y


class FlaxInvertedResiduals(nn.Module):
    stages: Sequence[tuple[int, int, int, int, int]]
    activation: Callable[[jax.Array], jax.Array]
    gated: bool
    classes: int = 1000
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        act = self.activation
        # Only EfficientNet takes pixels from 0 to 255.
        x = nn.Conv(32, (3, 3), (2, 2), use_bias=False, name="stem")(x / 255 if self.gated else x)
        x = act(_norm(self, "stem_norm")(x))
        block = 0
        for kernel_size, out_channels, count, first_stride, expansion in self.stages:
            for stride in (first_stride, *[1] * (count - 1)):
                x = FlaxInvertedResidual(
                    kernel_size,
                    out_channels,
                    stride,
                    expansion,
                    act,
                    self.gated,
                    self.train,
                    name=f"blocks_{block}",
                )(x)
                block += 1
        x = nn.Conv(1280, (1, 1), use_bias=False, name="head")(x)
        x = act(_norm(self, "head_norm")(x))
        return nn.Dense(self.classes, name="classifier")(x.mean((1, 2)))


class FlaxBottleneck(nn.Module):
    width: int
    stride: int
    expansion: int
    train: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        out_channels, stride = self.width * self.expansion, (self.stride, self.stride)
        y = nn.Conv(self.width, (1, 1), use_bias=False, name="reduce")(x)
        y = nn.relu(_norm(self, "reduce_norm")(y))
        y = nn.Conv(self.width, (3, 3), stride, use_bias=False, name="middle")(y)
        y = nn.relu(_norm(self, "middle_norm")(y))
        y = nn.Conv(out_channels, (1, 1), use_bias=False, name="restore")(y)
        y = _norm(self, "restore_norm")(y)
        if x.shape != y.shape:
            x = nn.Conv(out_channels, (1, 1), stride, use_bias=False, name="shortcut")(x)
            x = _norm(self, "shortcut_norm")(x)
        return nn.relu(x + y)


class FlaxResNet(nn.Module):
    classes: int = 1000
    counts: Sequence[int] = (3, 4, 6, 3)
    width: int = 64
    expansion: int = 4
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(self.width, (7, 7), (2, 2), use_bias=False, name="stem")(x)
        x = nn.relu(_norm(self, "stem_norm")(x))
        x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
        block = 0
        for stage, count in enumerate(self.counts):
            for stride in (2 if stage else 1, *[1] * (count - 1)):
                x = FlaxBottleneck(
                    self.width * 2**stage,
                    stride,
                    self.expansion,
                    self.train,
                    name=f"blocks_{block}",
                )(x)
                block += 1
        return nn.Dense(self.classes, name="classifier")(x.mean((1, 2)))


class FlaxTwoConvs(nn.Module):
    out_channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for part in ("first", "second"):
            x = nn.Conv(self.out_channels, (3, 3), use_bias=False, name=part)(x)
            x = nn.GroupNorm(4, epsilon=1e-3, name=f"{part}_norm")(x)
            x = nn.leaky_relu(x, 0.1)
        return x


class FlaxUNet(nn.Module):
    classes: int = 5
    width: int = 8
    depth: int = 3
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kept: list[jax.Array] = []
        for level in range(self.depth):
            x = FlaxTwoConvs(self.width * 2**level, name=f"down_{level}")(x)
            kept.append(x)
            x = nn.avg_pool(x, (2, 2), (2, 2))
        x = FlaxTwoConvs(self.width * 2**self.depth, name="bottom")(x)
        for number, level in enumerate(reversed(range(self.depth))):
            out_channels = self.width * 2**level
            x = nn.ConvTranspose(out_channels, (3, 3), (2, 2), name=f"up_{number}")(x)
            x = jnp.concatenate([x, kept.pop()], -1)
            x = FlaxTwoConvs(out_channels, name=f"merge_{number}")(x)
        return nn.Conv(self.classes, (1, 1), name="head")(x)


class FlaxInception(nn.Module):
    classes: int = 5
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(8, (3, 3), (2, 2), name="stem")(x))
        y = nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)
        narrow = nn.Conv(6, (1, 1), name="narrow")(x)
        wide = nn.Conv(10, (5, 5), name="wide")(x)
        pooled = nn.Conv(4, (1, 1), name="pooled")(y)
        x = nn.relu(jnp.concatenate([narrow, wide, pooled], -1))
        return nn.Conv(self.classes, (1, 1), name="head")(x)


NETWORKS: dict[str, Callable[..., Any]] = {
    "MobileNetV2": partial(
        FlaxInvertedResiduals, stages=MobileNetV2.STAGES, activation=nn.relu6, gated=False
    ),
    "EfficientNetB0": partial(
        FlaxInvertedResiduals, stages=EfficientNetB0.STAGES, activation=nn.swish, gated=True
    ),
    "ResNet": FlaxResNet,
    "UNet": FlaxUNet,
    "Inception": FlaxInception,
}


def variables(network: Any, images: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Random weights and the batch statistics of ``images``: ``ports.randomize``."""
    training = network.clone(train=True)
    shapes = jax.eval_shape(training.init, jax.random.key(0), images)
    params = filled(shapes["params"], seed)
    if "batch_stats" not in shapes:
        return {"params": params}
    start = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes["batch_stats"])
    step = jax.jit(lambda tree, x: training.apply(tree, x, mutable=["batch_stats"])[1])
    found = step({"params": params, "batch_stats": start}, images)["batch_stats"]
    return {"params": params, "batch_stats": jax.tree.map(np.asarray, found)}
