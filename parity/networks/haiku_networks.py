"""Haiku's own ResNet, as small as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import haiku as hk
import jax
import numpy as np


def resnet(classes: int, counts: Sequence[int], width: int) -> hk.TransformedWithState:
    """``ports.ResNet`` of four stages and expansion 4; called with images and whether it trains."""

    def forward(images: jax.Array, train: bool) -> jax.Array:
        network = hk.nets.ResNet(
            blocks_per_group=counts,
            num_classes=classes,
            # The decay of 0 lets one training step set the statistics.
            bn_config={"eps": 1e-3, "decay_rate": 0.0, "create_scale": True, "create_offset": True},
            bottleneck=True,
            channels_per_group=[4 * width * 2**stage for stage in range(len(counts))],
            use_projection=[True] * len(counts),
            strides=[1] + [2] * (len(counts) - 1),
            initial_conv_config={"output_channels": width},
        )
        return network(images, train)

    return hk.transform_with_state(forward)


def variables(
    network: hk.TransformedWithState, images: np.ndarray, seed: int = 0
) -> tuple[Any, Any]:
    """Random parameters, and the state with the batch statistics of ``images``."""
    generator = np.random.default_rng(seed)
    params, state = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, True), images)

    def fill(path: Sequence[Any], leaf: Any) -> np.ndarray:
        name, draw = path[-1].key, generator.standard_normal(leaf.shape)
        if name == "w":
            draw *= (2 / np.prod(leaf.shape[:-1])) ** 0.5
        elif name == "scale":
            draw = 1 + 0.2 * draw
        else:
            draw *= 0.1
        return draw.astype(leaf.dtype)

    params = jax.tree_util.tree_map_with_path(fill, params)
    start = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)
    step = jax.jit(lambda p, s, x: network.apply(p, s, None, x, True)[1])
    return params, jax.tree.map(np.asarray, step(params, start, images))
